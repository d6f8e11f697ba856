#!/usr/bin/env python3
"""Feeds tidy.py small trees, bad and good, and sees every rule fire, and fire only where it should.

Usage: tidy_selftest.py CC ...
"""
import os
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402


def header(guard, body=""):
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif\n"


def function(lines, head="int f(void)"):
    return head + "\n{\n" + "    ;\n" * (lines - 1) + "    return 0;\n}\n"


BASE = {"engine/base/b.h": header("HOLDFAST_BASE_B_H")}
STOCK = {"engine/stock/s.h": header("HOLDFAST_STOCK_S_H")}
CORE = {"engine/core/core.h": header("HOLDFAST_CORE_CORE_H")}
INTERNAL = {"engine/core/core_internal.h": header("HOLDFAST_CORE_CORE_INTERNAL_H")}

# rule that must fire (and no other), path where, tree
BAD = [
    ("arrow", "engine/base/x.c", {**STOCK, "engine/base/x.c": '#include "stock/s.h"\n'}),
    ("arrow", "engine/stock/x.c",
     {"engine/journal/j.h": header("HOLDFAST_JOURNAL_J_H"),
      "engine/stock/x.c": '#include "journal/j.h"\n'}),
    ("arrow", "engine/core/x.c",
     {"tests/fake.h": header("HOLDFAST_TESTS_FAKE_H"), "engine/core/x.c": '#include "fake.h"\n'}),
    ("arrow", "api/daemon/x.c",
     {"tests/fake.h": header("HOLDFAST_TESTS_FAKE_H"), "api/daemon/x.c": '#include "fake.h"\n'}),
    ("arrow", "loadgen/x.c", {**CORE, "loadgen/x.c": '#include "core/core.h"\n'}),
    ("arrow", "engine/core/x.c", {"engine/core/x.c": '#include "orders.pb-c.h"\n'}),
    ("arrow", "engine/core/x.c", {"engine/core/x.c": '#include "nowhere.h"\n'}),
    ("arrow", "api/ctl/x.c",
     {"api/service/s.h": header("HOLDFAST_SERVICE_S_H"),
      "api/ctl/x.c": '#include "service/s.h"\n'}),
    ("arrow", "api/client/x.c", {**CORE, "api/client/x.c": '#include "core/core.h"\n'}),
    ("internal", "api/x.c", {**INTERNAL, "api/x.c": '#include "core/core_internal.h"\n'}),
    ("restricted", "engine/core/x.c", {"engine/core/x.c": "#include <urcu-qsbr.h>\n"}),
    ("restricted", "engine/core/x.c", {"engine/core/x.c": "#include <urcu/static/x.h>\n"}),
    ("restricted", "api/x.c", {"api/x.c": "#include <rte_mbuf.h>\n"}),
    ("restricted", "engine/flush/x.c", {"engine/flush/x.c": "#include <grpc/grpc.h>\n"}),
    ("restricted", "engine/flush/x.c", {"engine/flush/x.c": "#include <curl/curl.h>\n"}),
    ("restricted", "engine/base/log.c", {"engine/base/log.c": "#include <pthread.h>\n"}),
    ("restricted", "engine/rcu/x.c", {"engine/rcu/x.c": "#  include <threads.h>\n"}),
    ("own-first", "engine/base/b.c", {**BASE, "engine/base/b.c": "#include <stdio.h>\n"}),
    ("own-first", "engine/base/b.c", {**BASE, "engine/base/b.c": "int x;\n"}),
    ("own-first", "engine/base/b.c",
     {**BASE, "engine/base/a.h": header("HOLDFAST_BASE_A_H"),
      "engine/base/b.c": '#include "base/a.h"\n#include "base/b.h"\n'}),
    ("order", "engine/base/x.c",
     {**BASE, "engine/base/x.c": '#include <stdio.h>\n#include "base/b.h"\n'}),
    ("order", "engine/base/x.h",
     {**BASE, "engine/base/x.h": header(
         "HOLDFAST_BASE_X_H", '#include <stdint.h>\n#include "base/b.h"\n')}),
    ("function-length", "engine/core/x.c", {"engine/core/x.c": function(71)}),
    ("function-length", "api/x.c",
     {"api/x.c": function(71, "static int\n__attribute__((noinline)) f(int a,\n        int b)")}),
    ("function-length", "engine/core/x.c", {"engine/core/x.c": function(71, "int f(void) {")
                                            .replace("{\n{", "{")}),
    ("function-length", "engine/core/x.c",
     {"engine/core/x.c": "#define M(x) do { x; \\\n  } while (0)\nstruct s { int a; };\n"
      + function(71)}),
    ("function-length", "engine/core/x.c",
     {"engine/core/x.c": function(73), tidy.LONG_FUNCTIONS: "engine/core/x.c f 72\n"}),
    ("allowlist", tidy.LONG_FUNCTIONS,
     {"engine/core/x.c": function(71), tidy.LONG_FUNCTIONS: "engine/core/x.c f 71\n"
      "engine/core/x.c gone 80\n"}),
    ("allowlist", tidy.LONG_FUNCTIONS,
     {"engine/core/x.c": function(72), tidy.LONG_FUNCTIONS: "engine/core/x.c f 75\n"}),
    ("banned", "tests/x.c", {"tests/x.c": "void f(char *a) { strcpy(a, a); }\n"}),
    ("banned", "bench/x.c", {"bench/x.c": "int f(char *a) { return atoi (a); }\n"}),
    ("clock", "engine/core/x.c", {"engine/core/x.c": "long f(void) { return time(0); }\n"}),
    ("clock", "api/x.c", {"api/x.c": "int f(void) { return rand(); }\n"}),
    ("clock", "engine/core/x.h", {"engine/core/x.h": header(
        "HOLDFAST_CORE_X_H",
        "#include <time.h>\nstatic inline int f(struct timespec *t)\n{\n"
        "    return clock_gettime(0, t);\n}\n")}),
    ("heap", "engine/rcu/rcu.c",
     {"engine/rcu/rcu.c": "#include <stdlib.h>\nvoid *f(void) { return malloc(1); }\n"}),
    ("tab", "engine/core/x.c", {"engine/core/x.c": "\tint x;\n"}),
    ("trailing", "docs/x.md", {"docs/x.md": "words \n"}),
    ("columns", "tests/x.py", {"tests/x.py": "#" * 101 + "\n"}),
    ("columns", "demo", {"demo": "#!/bin/sh\n#" + "x" * 100 + "\n"}),
    ("last-newline", "README.md", {"README.md": "words"}),
    ("guard", "engine/core/x.h", {"engine/core/x.h": "int x(void);\n"}),
    ("guard", "engine/core/x.h", {"engine/core/x.h": header("CORE_X_H")}),
    ("guard", "engine/core/x.h", {"engine/core/x.h": header("HOLDFAST_CORE_Y_H")}),
    ("guard", "engine/core/x.h",
     {"api/x.h": header("HOLDFAST_X_H"), "engine/core/x.h": header("HOLDFAST_X_H")}),
    ("alone", "engine/core/x.h",
     {"engine/core/x.h": header("HOLDFAST_CORE_X_H", "size_t f(void);")}),
]

GOOD = [
    {**CORE, **INTERNAL, "engine/core/core.c": '#include "core/core_internal.h"\n'},
    {**BASE, **CORE, **STOCK, "engine/base/b.c": '#include "base/b.h"\n\n#include <stdio.h>\n',
     "engine/core/x.c": '#include "base/b.h"\n#include "stock/s.h"\n#include <stdio.h>\n'},
    {**INTERNAL, "engine/core/x.c": '#include "core/core_internal.h"\n',
     "tests/x.c": '#include "core/core_internal.h"\n'},
    {**CORE, "api/daemon/x.c": '#include "core/core.h"\n#include <pthread.h>\n',
     "api/x.c": '#include "orders.pb-c.h"\n#include <grpc/grpc.h>\n'},
    {"engine/sys/x.c": "#include <time.h>\nlong f(void)\n{\n    return time(0);\n}\n"},
    {"engine/core/x.c": "// strcpy(a, b) in words\nconst char *s = \"time(0) { }\";\n"
     "long f(struct c *c)\n{\n    return c->time(c) + c->ops.free(c);\n}\n"},
    {"engine/core/x.c": function(70)},
    {"engine/core/x.c": "static const int table[] = {\n" + "    1,\n" * 90 + "};\n"},
    {"engine/core/x.c": function(80), tidy.LONG_FUNCTIONS: "# why\nengine/core/x.c f 80\n"},
    # Either branch opens a block: the brace in the first column ends the function all the same.
    {"engine/core/x.c": "int f(int a)\n{\n#ifdef A\n    if (a) {\n#else\n    {\n#endif\n    }\n"
     "    return a;\n}\n" + function(70, "int g(void)")},
    {"engine/base/x.h": header("HOLDFAST_BASE_X_H", "#include <stdint.h>\nuint8_t f(void);")},
    {**BASE, "engine/base/x.c": "#ifdef __linux__\n#include <stdio.h>\n#endif\n"
     '#include "base/b.h"\n'},
]


def findings_of(tree, compiler):
    with tempfile.TemporaryDirectory(prefix="holdfast-tidy-") as root:
        for path, text in tree.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        return tidy.check_tree(root, compiler)[0]


def main(compiler):
    failed = 0
    for number, (rule, path, tree) in enumerate(BAD):
        found = {(f[2], f[0]) for f in findings_of(tree, compiler)}
        if found != {(rule, path)}:
            failed += 1
            print(f"bad tree {number}: wanted {rule} at {path}, found {sorted(found)}")
    for number, tree in enumerate(GOOD):
        found = findings_of(tree, compiler)
        if found:
            failed += 1
            print(f"good tree {number}: found {found}")
    for rule in sorted(set(tidy.RULES) - {b[0] for b in BAD}):
        failed += 1
        print(f"rule {rule} has no tree that breaks it")
    print(f"{len(BAD)} bad and {len(GOOD)} good trees, {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["cc"]))
