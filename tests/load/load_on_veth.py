#!/usr/bin/env python3
"""holdfast-load past the kernel: on one end of a veth pair with DPDK, holdfastd on the other, by
the kernel's UDP and by DPDK; killed in the middle, and the audit exact.

Usage: load_on_veth.py LOAD DAEMON

Needs root, iproute2, util-linux, ethtool, a kernel with veth, and DPDK in both programs; else it is
skipped, aloud. Nothing outside of the two namespaces is touched, and they end with this process.
"""
import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

from server import Server

LOAD, DAEMON = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
CLONE_NEWNET, SKIPPED = 0x40000000, 77
LIBC = ctypes.CDLL(None, use_errno=True)
DOOR, OURS, PORT = "10.77.1.1", "10.77.1.2", 7422
EAL = "--no-huge --no-pci --no-shconf -m {m} --vdev=net_af_packet0,iface={end}"
INSIDE = None


def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def run(*args):
    subprocess.run(args, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wire():
    """This process, and the daemon, are on hfa from now on; `nsenter` words for hfb's side."""
    must(LIBC.unshare(CLONE_NEWNET))
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    must(LIBC.unshare(CLONE_NEWNET))
    there = os.open("/proc/self/ns/net", os.O_RDONLY)
    must(LIBC.setns(here, CLONE_NEWNET))
    inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{there}"]
    run("ip", "link", "set", "lo", "up")
    run(*inside, "ip", "link", "set", "lo", "up")
    run(*inside, "ip", "link", "add", "hfb", "type", "veth", "peer", "name", "hfa", "netns",
        str(os.getpid()))
    # veth leaves checksums to nobody; on a wire they would be there.
    run("ethtool", "-K", "hfa", "tx", "off")
    run("ip", "link", "set", "hfa", "up")
    run(*inside, "ip", "link", "set", "hfb", "up")
    return inside


class Veth(unittest.TestCase):
    def serve(self, *options):
        self.server = Server(DAEMON, "--packet-listen", f"{DOOR}:{PORT}", *options)
        self.addCleanup(self.server.stop)

    def load(self, *args, kill=False):
        path = os.path.join(self.server.folder.name, "result.json")
        process = subprocess.Popen(
            [*INSIDE, LOAD, "--address", self.server.address, "--quiet", "--json", path,
             "--transport", "packet", "--packet-local", f"{OURS}:40000", "--packet-eal",
             EAL.format(m=64, end="hfb"), "--make-catalogue", "200x1", "--stock", "3000",
             "--lines", "1-6", "--audit", "--outstanding", "200", *args],
            stderr=subprocess.PIPE, text=True)
        if kill:
            time.sleep(1.5)
            self.server.kill()
        error = process.communicate(timeout=200)[1]
        self.assertEqual(process.returncode, 0, f"{error}\n{self.server.tail()}")
        self.assertNotIn("buffers are lost", error)
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
        self.assertGreater(result["packets"]["answered"], 1000)
        return result

    def test_to_the_kernels_udp(self):
        run("ip", "address", "add", f"{DOOR}/24", "dev", "hfa")
        self.addCleanup(run, "ip", "address", "flush", "dev", "hfa")
        self.serve()
        self.load("--customers", "3000", "--duration", "0")

    def test_to_dpdk_through_a_kill(self):
        self.serve("--packet-eal", EAL.format(m=128, end="hfa"), "--packet-buffers", "1024")
        result = self.load("--duration", "3s", "--ttl", "700ms", kill=True)
        self.assertGreaterEqual(result["packets"]["sessions"], 2)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("needs root")
    for tool in ("ip", "nsenter", "ethtool"):
        if not shutil.which(tool):
            skip(f"{tool} is not installed")
    tried = subprocess.run([LOAD, "--transport", "packet", "--packet-eal", "--no-such",
                            "--packet-local", "10.0.0.1:1", "--handles", "1", "--quiet"],
                           capture_output=True, text=True, check=False)
    if "without DPDK" in tried.stderr:
        skip("holdfast-load was built without DPDK")
    try:
        INSIDE = wire()
    except (OSError, subprocess.CalledProcessError) as e:
        skip(f"no namespaces or no veth here: {e}")
    unittest.main(argv=sys.argv[:1])
