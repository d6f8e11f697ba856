#!/usr/bin/env python3
"""Clients in other languages, by libraries that no one here wrote, against holdfastd.

Each needs its toolchain and its packages, which are used where they are found and never fetched;
where they are not, it is skipped, aloud. To have them:

    Node    npm install --prefix FOLDER @grpc/grpc-js @grpc/proto-loader
            and HOLDFAST_NODE_MODULES=FOLDER/node_modules (or NODE_PATH, or npm's global folder)
    Go      go mod download, in tests/clients/go: into Go's module cache

Usage: test_languages.py HOLDFASTD DESCRIPTORS [--only node|go] [--build-seconds N]
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
from daemon import Daemon  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = os.path.join(HERE, "..", "..", "proto")
SKIP = 77  # meson's code for a test that cannot run here


def run(command, seconds=120, **more):
    """Its output, or None where it fails or takes too long."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, **more)
    return done.stdout if done.returncode == 0 else None


def node_client(_folder, _options):
    """Command, arguments and environment, or why there is none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node:
        return "no node"
    places = [os.environ.get("HOLDFAST_NODE_MODULES"), os.environ.get("NODE_PATH")]
    if npm:
        places.append((run([npm, "root", "--global"]) or "").strip())
    env = {**os.environ, "NODE_PATH": os.pathsep.join(p for p in places if p)}
    wanted = "@grpc/grpc-js", "@grpc/proto-loader", "protobufjs"
    found = run([node, "-e", "".join(f"require.resolve('{w}');" for w in wanted)], env=env)
    if found is None:
        return "no @grpc/grpc-js and @grpc/proto-loader (HOLDFAST_NODE_MODULES)"
    return [node, os.path.join(HERE, "node", "client.js")], [PROTO], env


def go_client(folder, options):
    go = shutil.which("go")
    if not go:
        return "no go"
    # Neither packages nor another toolchain are fetched.
    env = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    source, program = os.path.join(HERE, "go"), os.path.join(folder, "client")
    if run([go, "list", "-deps", "."], env=env, cwd=source) is None:
        return "no google.golang.org/grpc in the module cache, or Go is too old for it"
    build = subprocess.Popen([go, "build", "-o", program, "."], env=env, cwd=source,
                             start_new_session=True)
    try:
        assert build.wait(options.build_seconds) == 0, "the client does not build"
    except subprocess.TimeoutExpired:
        os.killpg(build.pid, signal.SIGKILL)
        build.wait()
        return (f"not compiled within {options.build_seconds} s; what is compiled is kept: one run "
                "with more --build-seconds makes the next quick")
    return [program], [os.path.abspath(options.descriptors)], env


def main():
    clients = {"node": node_client, "go": go_client}
    p = argparse.ArgumentParser()
    p.add_argument("holdfastd")
    p.add_argument("descriptors")
    p.add_argument("--only", choices=clients)
    p.add_argument("--build-seconds", type=int, default=900,
                   help="for Go, which compiles gRPC when it is used for the first time")
    options = p.parse_args()
    ran = 0
    for name in [options.only] if options.only else clients:
        with tempfile.TemporaryDirectory(prefix="holdfast-languages.") as folder:
            client = clients[name](folder, options)
            if isinstance(client, str):
                print(f"SKIPPED: {name}: {client}", flush=True)
                continue
            command, arguments, env = client
            with Daemon(os.path.abspath(options.holdfastd), os.path.join(folder, "data")) as d:
                print(f"{name}:", flush=True)
                subprocess.run([*command, d.address, *arguments], env=env, timeout=300, check=True)
                assert d.stop() == 0, d.log[-5:]
            ran += 1
    sys.exit(0 if ran else SKIP)


if __name__ == "__main__":
    main()
