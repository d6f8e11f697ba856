#!/usr/bin/env python3
"""Holds the sources to the rules that the compiler and meson cannot hold them to.

Usage: tidy.py --root FOLDER [--compiler CC ...]     (everything after --compiler is the command)

Prints one line a finding, `path:line: rule: what`, and exits 1 when there is any. Standard library
only. The tables below are the rules' one place; tidy_selftest.py sees every rule fire.
"""
import concurrent.futures
import os
import platform
import re
import subprocess
import sys

# Folder -> folders that it may include, besides itself; arrows are followed transitively.
# The most specific folder counts. "*" is everything that is not under tests/.
ARROWS = {
    "engine/base": [],
    "engine/sys": ["engine/base"],
    "engine/rcu": ["engine/base"],
    "engine/stock": ["engine/rcu"],
    "engine/journal": ["engine/sys"],
    "engine/core": ["engine/stock", "engine/journal"],
    "engine/ingest": ["engine/core", "proto"],
    "engine/flush": ["engine/core", "engine/sys"],
    "proto": [],
    # A library of its own for clients: the format and the messages, nothing of the server.
    "proto/packet_client": ["proto"],
    "api": ["engine/core", "engine/flush", "engine/ingest", "proto", "api/auth"],
    "api/auth": ["engine/sys"],
    "api/daemon": ["*"],
    # Tools: the wire, never the engine behind it.
    "api/client": ["proto", "engine/base"],
    "api/ctl": ["proto", "engine/journal", "engine/core", "api/client", "api/auth"],
    # Out of process: identifiers and the clock, never the engine.
    "loadgen": ["proto", "proto/packet_client", "engine/sys"],
    "bench": ["*"],
    "tests": ["*", "tests"],
}

# Quoted includes are looked up beside the file, then here.
INCLUDE_ROOTS = ["engine", "api", "proto", "bench", "loadgen", "tests", ""]
# Made in the build folder, so not found by looking.
GENERATED = [(re.compile(r"\.pb-c\.h$"), "proto")]

# System headers that only some may include: pattern, folders or files.
RESTRICTED = [
    (r"urcu", ["engine/rcu"]),
    (r"rte_", ["engine/ingest", "loadgen", "bench", "tests"]),
    (r"grpc/", ["api", "loadgen", "proto/packet_client", "bench", "tests"]),
    (r"curl/", ["engine/sys", "loadgen", "tests"]),
    (r"(pthread|threads)\.h$", ["engine/sys", "engine/base/crc32c.c", "api", "loadgen", "bench",
                                "tests"]),
]

BANNED_EVERYWHERE = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "atoi", "atol", "atof",
                     "usleep"]
# Time and randomness enter through engine/sys; the composition root may hold them too.
BANNED_CLOCK = ["time", "clock", "gettimeofday", "clock_gettime", "nanosleep", "sleep", "rand",
                "srand", "random", "rand_r", "drand48", "getrandom"]
CLOCK_FOLDERS = ["engine", "api"]
CLOCK_EXEMPT = ["engine/sys", "api/daemon", "api/ctl/main.c"]
# What runs between a request and its answer: memory was taken at set-up, elsewhere.
BANNED_HEAP = ["malloc", "calloc", "realloc", "free", "strdup", "aligned_alloc", "posix_memalign"]
DECISION_PATH = [
    "engine/base/atomic128.h", "engine/base/crc32c.c", "engine/base/crc32c.h",
    "engine/base/hash.c", "engine/base/hash.h", "engine/base/uuid.c", "engine/base/uuid.h",
    "engine/sys/park.c", "engine/sys/park.h", "engine/sys/clock_os.c", "engine/rcu/rcu.c",
    "engine/stock", "engine/core/execute.c", "engine/core/take.c",
    "engine/core/encode.c", "engine/core/lines.c", "engine/core/record.c",
    "engine/ingest/queue.c", "engine/ingest/item.c", "engine/ingest/session_internal.h",
    "proto/packet",
]
# The directory's set-up, beside the decision path.
DECISION_EXEMPT = ["engine/stock/names.c"]

FUNCTION_LINES_MAX = 70
FUNCTION_FOLDERS = ["engine", "api"]
# `path function lines`, one a line; exact, so an entry can only be lowered or taken out.
LONG_FUNCTIONS = "tests/tidy/long_functions.txt"
COLUMNS_MAX = 100

TOP_FOLDERS = ["engine", "api", "proto", "bench", "loadgen", "tests", "packaging", "docs", ".ci"]
CODE = (".c", ".h", ".cc")
TEXT = CODE + (".py", ".proto", ".sh", ".lua", ".js", ".html", ".css", ".txt", ".md", ".supp")


class Findings:
    def __init__(self):
        self.list = []

    def add(self, path, line, rule, text):
        self.list.append((path, line, rule, text))


def within(path, folders):
    return any(path == f or path.startswith(f + "/") for f in folders)


def strip_code(text):
    """Blanks comments, strings and character constants; keeps every newline and column."""
    pattern = re.compile(
        r'//(?:\\\n|[^\n])*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def strip_directives(code):
    """Blanks preprocessor directives with their continuation lines."""
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()), code,
                  flags=re.M)


class Source:
    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
            self.text = f.read()
        self.lines = self.text.split("\n")
        self.is_code = path.endswith(CODE)
        self.code = strip_code(self.text) if self.is_code else ""
        self.plain = strip_directives(self.code)

    def line_of(self, at):
        return self.code.count("\n", 0, at) + 1


def tree_files(root):
    """Repository-relative paths of what is to be checked, sorted."""
    found = []
    for top in TOP_FOLDERS:
        for folder, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = [d for d in dirs if d != "__pycache__" and not d.startswith("build")]
            found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    found += [n for n in os.listdir(root) if os.path.isfile(os.path.join(root, n))]
    return sorted(p for p in found if is_text(root, p))


def is_text(root, path):
    name = os.path.basename(path)
    if name.endswith(TEXT) or name == "meson.build":
        return True
    if "." in name:
        return False
    with open(os.path.join(root, path), "rb") as f:  # scripts without an ending
        return f.read(2) == b"#!"


# ------------------------------------------------------------------------------------- includes

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.M)


def includes_of(source):
    """(line, quoted, target, depth of conditionals around it; an include guard counts none)."""
    depth, guard = 0, None
    for number, line in enumerate(source.lines, 1):
        word = re.match(r"[ \t]*#[ \t]*(\w+)", line)
        if not word:
            continue
        if word.group(1) in ("if", "ifdef", "ifndef"):
            depth += 1
            if guard is None and word.group(1) == "ifndef" and "HOLDFAST_" in line:
                guard = depth
        elif word.group(1) == "endif":
            depth -= 1
        else:
            found = INCLUDE.match(line)
            if found:
                inner = depth - (1 if guard is not None and depth >= guard else 0)
                yield number, found.group(1) == '"', found.group(2), inner


def folder_of(path):
    best = None
    for folder in ARROWS:
        if within(path, [folder]) and (best is None or len(folder) > len(best)):
            best = folder
    return best


def reachable(folder):
    seen, todo = set(), [folder]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += ARROWS.get(at, [])
    return seen


def resolve(root, source, target):
    """The included file's repository path; a generated header gives its folder; None: unknown."""
    beside = os.path.normpath(os.path.join(os.path.dirname(source.path), target))
    candidates = [beside] + [os.path.join(r, target) for r in INCLUDE_ROOTS]
    for path in candidates:
        if os.path.isfile(os.path.join(root, path)):
            return os.path.normpath(path)
    for pattern, folder in GENERATED:
        if pattern.search(target):
            return folder
    return None


def check_arrows(root, source, out):
    mine = folder_of(source.path)
    if mine is None:
        return
    allowed = reachable(mine)
    for line, quoted, target, _ in includes_of(source):
        if not quoted:
            continue
        path = resolve(root, source, target)
        if path is None:
            out.add(source.path, line, "arrow", f'"{target}" is nowhere in the tree')
            continue
        theirs = folder_of(path)
        if theirs not in allowed and not ("*" in allowed and theirs != "tests"):
            out.add(source.path, line, "arrow", f"{mine} may not include {theirs}")
        same = os.path.dirname(path) == os.path.dirname(source.path)
        if path.endswith("_internal.h") and not same and not within(source.path, ["tests"]):
            out.add(source.path, line, "internal", f'"{target}" stays inside its folder')


def check_restricted(root, source, out):
    for line, _, target, _ in includes_of(source):
        for pattern, allowed in RESTRICTED:
            if re.match(pattern, target) and not within(source.path, allowed):
                out.add(source.path, line, "restricted", f"<{target}> belongs to {allowed[0]}")


def check_order(root, source, out):
    listed = [i for i in includes_of(source) if i[3] == 0]
    own = os.path.splitext(source.path)[0] + ".h"
    if source.path.endswith((".c", ".cc")) and os.path.isfile(os.path.join(root, own)):
        first = next(iter(includes_of(source)), None)
        # What stays inside may come in its stead: it includes the public one itself.
        inner = own[:-2] + "_internal.h"
        if first is None or not first[1] or resolve(root, source, first[2]) not in (own, inner):
            line = first[0] if first else 1
            out.add(source.path, line, "own-first", f"the first include must be its own {own}")
    system = False
    for line, quoted, target, _ in listed:
        if quoted and system:
            out.add(source.path, line, "order", f'"{target}" after a system header')
        system = system or not quoted


# ------------------------------------------------------------------------------------- functions

def functions_of(source):
    """(name, line of the name, lines between the braces) of every function body."""
    text, depth, head, start = source.plain, 0, 0, None
    for match in re.finditer(r"[{};]|^\}", text, re.M):
        at, token = match.start(), match.group()
        if token == "{":
            if depth == 0 and start is None:
                start = function_head(text, head, at)
            depth += 1
        elif token == "}":
            # A closing brace in the first column ends whatever conditionals left open.
            depth = 0 if at == 0 or text[at - 1] == "\n" else max(0, depth - 1)
            if depth == 0:
                if start:
                    body = source.line_of(at) - source.line_of(start[2]) - 1
                    yield start[0], source.line_of(start[1]), max(0, body)
                start, head = None, at + 1
        elif depth == 0:
            head = at + 1


def function_head(text, begin, brace):
    declared = text[begin:brace]
    plain = re.sub(r"__attribute__\s*\(\(.*?\)\)", lambda m: " " * len(m.group()), declared,
                   flags=re.S)
    if not plain.rstrip().endswith(")") or "=" in plain:
        return None
    name = re.search(r"\b([A-Za-z_]\w*)\s*\(", plain)
    return (name.group(1), begin + name.start(), brace) if name else None


def load_long_functions(root):
    entries = {}
    path = os.path.join(root, LONG_FUNCTIONS)
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as f:
            for number, line in enumerate(f, 1):
                words = line.split("#")[0].split()
                if words:
                    entries[(words[0], words[1])] = (int(words[2]), number)
    return entries


def check_functions(root, sources, out):
    entries = load_long_functions(root)
    for source in sources:
        if not source.is_code or not within(source.path, FUNCTION_FOLDERS):
            continue
        for name, line, length in functions_of(source):
            if length <= FUNCTION_LINES_MAX:
                continue
            allowed, number = entries.pop((source.path, name), (0, 0))
            if length < allowed:
                entries[(source.path, name)] = (allowed, number)
            elif length > allowed:
                out.add(source.path, line, "function-length",
                        f"{name} has {length} lines, at most {allowed or FUNCTION_LINES_MAX}")
    for (path, name), (_, number) in entries.items():
        out.add(LONG_FUNCTIONS, number, "allowlist",
                f"{path} {name}: shorter than listed, or gone; lower or take out the entry")


# ------------------------------------------------------------------------------------- calls, text

def check_calls(root, source, out):
    banned = {name: "banned" for name in BANNED_EVERYWHERE}
    if within(source.path, CLOCK_FOLDERS) and not within(source.path, CLOCK_EXEMPT):
        banned.update({name: "clock" for name in BANNED_CLOCK})
    if within(source.path, DECISION_PATH) and not within(source.path, DECISION_EXEMPT):
        banned.update({name: "heap" for name in BANNED_HEAP})
    # A member (`x.time(`, `x->free(`) or a function pointer's declaration is no call of libc.
    for match in re.finditer(r"(?<![\w.>])([a-z_]\w*)\s*\(", source.code):
        rule = banned.get(match.group(1))
        if rule:
            out.add(source.path, source.line_of(match.start()), rule, f"call of {match.group(1)}")


def check_text(root, source, out):
    for number, line in enumerate(source.lines, 1):
        if "\t" in line:
            out.add(source.path, number, "tab", "a tab")
        if line != line.rstrip():
            out.add(source.path, number, "trailing", "trailing space")
        if len(line) > COLUMNS_MAX and not source.path.endswith(".md"):
            out.add(source.path, number, "columns", f"{len(line)} columns, at most {COLUMNS_MAX}")
    if source.text and not source.text.endswith("\n"):
        out.add(source.path, len(source.lines), "last-newline", "no newline at the end")


def check_guards(sources, out):
    seen = {}
    for source in sources:
        if not source.path.endswith(".h"):
            continue
        found = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", source.text, re.M)
        stem = re.sub(r"\W", "_", os.path.basename(source.path)[:-2]).upper()
        if not found or found.group(1) != found.group(2) or not re.fullmatch(
                rf"HOLDFAST_(\w+_)?{stem}_H", found.group(1)):
            out.add(source.path, 1, "guard", f"needs a guard HOLDFAST_<MODULE>_{stem}_H")
        elif found.group(1) in seen:
            out.add(source.path, 1, "guard", f"same guard as {seen[found.group(1)]}")
        else:
            seen[found.group(1)] = source.path


# ------------------------------------------------------------------------------------- headers

def compile_flags(root):
    flags = ["-x", "c", "-std=gnu11", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
             "-D_GNU_SOURCE"]
    machine = platform.machine()
    if machine == "x86_64":
        flags += ["-mcx16", "-msse4.2"]
    elif machine == "aarch64":
        flags += ["-march=armv8.1-a+crc"]
    return flags + ["-I" + os.path.join(root, r) for r in INCLUDE_ROOTS]


def header_error(root, compiler, path):
    done = subprocess.run(compiler + compile_flags(root) + ["-"], cwd=root, text=True,
                          input=f'#include "{path}"\n', capture_output=True, timeout=120)
    if done.returncode == 0:
        return None
    errors = [s for s in done.stderr.splitlines() if "error" in s]
    return errors[0] if errors else done.stderr.strip()[:200] or f"exit code {done.returncode}"


def check_headers(root, sources, compiler, out):
    # What includes generated headers is compiled by the build, with the build's include paths.
    by_path = {s.path: s for s in sources}

    def generated(source, seen):
        if source is None or source.path in seen:
            return False
        seen.add(source.path)
        return any(any(pattern.search(i[2]) for pattern, _ in GENERATED) or generated(
            by_path.get(resolve(root, source, i[2])), seen) for i in includes_of(source) if i[1])

    alone = [s.path for s in sources if s.path.endswith(".h") and not generated(s, set())]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = pool.map(lambda p: (p, header_error(root, compiler, p)), alone)
    for path, error in results:
        if error:
            out.add(path, 1, "alone", f"does not compile alone: {error}")


# ------------------------------------------------------------------------------------- all of it

RULES = ["arrow", "internal", "restricted", "own-first", "order", "function-length", "allowlist",
         "banned", "clock", "heap", "tab", "trailing", "columns", "last-newline", "guard", "alone"]


def check_tree(root, compiler):
    out = Findings()
    sources = [Source(root, path) for path in tree_files(root)]
    for source in sources:
        check_text(root, source, out)
        if source.is_code:
            check_arrows(root, source, out)
            check_restricted(root, source, out)
            check_order(root, source, out)
            check_calls(root, source, out)
    check_functions(root, sources, out)
    check_guards(sources, out)
    if compiler:
        check_headers(root, sources, compiler, out)
    return out.list, len(sources)


def main(args):
    if len(args) < 2 or args[0] != "--root":
        print(__doc__.strip(), file=sys.stderr)
        return 2
    compiler = args[3:] if len(args) > 3 and args[2] == "--compiler" else []
    findings, count = check_tree(os.path.abspath(args[1]), compiler)
    for path, line, rule, text in sorted(findings):
        print(f"{path}:{line}: {rule}: {text}")
    print(f"{count} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
