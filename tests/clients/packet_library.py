#!/usr/bin/env python3
"""libholdfast-packet as a stranger gets it: installed, found by pkg-config, used by the program of
docs/packet-client.md against a real holdfastd.

Usage: packet_library.py BUILD HOLDFASTD HOLDFASTCTL
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "load"))
from relay import free_port  # noqa: E402
from server import Server  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD, DAEMON, CTL = (os.path.abspath(p) for p in sys.argv[1:4])
SKIP = 77
# What the page leaves to the reader.
UUID = """
#include <stdint.h>
#include <time.h>
static void make_uuid_v7(uint8_t id[16])
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    for (int i = 0; i < 6; i++)
        id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = 0x70;
    id[8] = 0x80;
    for (int i = 9; i < 16; i++)
        id[i] = (uint8_t)(now.tv_nsec >> i);
}
"""


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def install(folder):
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", folder, "--quiet",
        env={**os.environ, "DESTDIR": folder})
    for where, _, names in os.walk(folder):
        if "holdfast-packet.pc" in names:
            return where
    sys.exit("no holdfast-packet.pc was installed")


def program():
    with open(os.path.join(ROOT, "docs", "packet-client.md"), encoding="utf-8") as f:
        code = re.search(r"```c\n(.*?)```", f.read(), re.S).group(1)
    return UUID + code


def main():
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        print("SKIP: pkg-config or cc is missing")
        return SKIP
    with tempfile.TemporaryDirectory(prefix="holdfast-packet-") as folder:
        found = install(os.path.join(folder, "root"))
        env = {**os.environ, "PKG_CONFIG_LIBDIR": found,
               "PKG_CONFIG_SYSROOT_DIR": os.path.join(folder, "root")}
        flags = run("pkg-config", "--cflags", "--libs", "holdfast-packet", env=env).split()
        source, shop = os.path.join(folder, "shop.c"), os.path.join(folder, "shop")
        port = free_port()
        server = Server(DAEMON, "--packet-listen", f"127.0.0.1:{port}")
        with open(source, "w", encoding="utf-8") as f:
            f.write(program().replace('"127.0.0.1:7420"', f'"{server.address}"'))
        try:
            run("cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", source, *flags, "-o", shop)
            libraries = next(w[2:] for w in flags if w.startswith("-L"))
            ask = [shop], {"env": {**os.environ, "LD_LIBRARY_PATH": libraries}, "timeout": 60}
            run(CTL, "--address", server.address, "stock", "create", "MUG", "main")
            run(CTL, "--address", server.address, "stock", "set", "MUG", "main", "on-hand", "1")
            told = [run(*ask[0], **ask[1]).strip() for _ in range(2)]
        finally:
            server.stop()
        if told != ["DONE", "REFUSED"]:
            sys.exit(f"the program was told {told}")
        names = run("nm", "-D", "--defined-only", os.path.join(libraries, "libholdfast-packet.so"))
        strangers = [n for n in re.findall(r" [A-Z] (\w+)", names) if not n.startswith("packet_")]
        if strangers:
            sys.exit(f"the library shows what is not its own: {strangers}")
    print("installed, found, built, sold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
