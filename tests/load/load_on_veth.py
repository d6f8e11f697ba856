#!/usr/bin/env python3
"""holdfast-load past the kernel: on one end of a veth pair with DPDK, holdfastd on the other, by
the kernel's UDP and by DPDK; killed in the middle, and the audit exact.

Usage: load_on_veth.py LOAD DAEMON

Needs root, iproute2, util-linux, ethtool, a kernel with veth, and DPDK in both programs; else it is
skipped, aloud. Nothing outside of the two namespaces is touched, and they end with this process.
"""
import json
import os
import subprocess
import sys
import time
import unittest

import veth
from packet_metrics import Metrics
from server import Server

LOAD, DAEMON = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DOOR, OURS, PORT = "10.77.1.1", "10.77.1.2", 7422
EAL = "--no-huge --no-pci --no-shconf -m {m} --vdev=net_af_packet0,iface={end}"
CLIENT = None


class Veth(unittest.TestCase):
    def serve(self, *options):
        self.server = Server(DAEMON, "--packet-listen", f"{DOOR}:{PORT}", *options,
                             admin="127.0.0.1:0")
        self.addCleanup(self.server.stop)

    def load(self, *args, kill=False):
        path = os.path.join(self.server.folder.name, "result.json")
        process = subprocess.Popen(
            [*CLIENT.inside, LOAD, "--address", self.server.address, "--quiet", "--json", path,
             "--transport", "packet", "--packet-local", f"{OURS}:40000", "--packet-eal",
             EAL.format(m=64, end="hfb"), "--make-catalogue", "200x1", "--stock", "3000",
             "--lines", "1-6", "--audit", *args],
            stderr=subprocess.PIPE, text=True)
        if kill:
            while process.poll() is None and Metrics(self.server)["frames_total"] < 100:
                time.sleep(0.02)
            self.server.kill()
        error = process.communicate(timeout=200)[1]
        self.assertEqual(process.returncode, 0, f"{error}\n{self.server.tail()}")
        self.assertNotIn("buffers are lost", error)
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
        self.assertGreater(result["packets"]["answered"], 1000)
        return result

    def test_to_the_kernels_udp(self):
        veth.run("ip", "address", "add", f"{DOOR}/24", "dev", "hfa")
        self.addCleanup(veth.run, "ip", "address", "flush", "dev", "hfa")
        self.serve()
        self.load("--customers", "3000", "--duration", "0", "--outstanding", "200")

    def test_to_dpdk_through_a_kill(self):
        self.serve("--packet-eal", EAL.format(m=128, end="hfa"), "--packet-buffers", "1024")
        # Small frames, few on their way: it is far from done when the kill comes.
        result = self.load("--customers", "6000", "--duration", "0", "--ttl", "700ms",
                           "--outstanding", "40", "--frame-items", "2", kill=True)
        self.assertGreaterEqual(result["packets"]["sessions"], 2)
        self.server.stop()
        self.assertRegex(self.server.last, r"event=dpdk_closed buffers=[1-9]\d* buffers_lost=0\n")


if __name__ == "__main__":
    veth.skip_if_not_here()
    try:
        home, CLIENT = veth.Space(), veth.Space()
        veth.cable(home, "hfa", CLIENT, "hfb")
    except (OSError, subprocess.CalledProcessError) as e:
        veth.skip(f"no namespaces or no veth here: {e}")
    unittest.main(argv=sys.argv[:1])
