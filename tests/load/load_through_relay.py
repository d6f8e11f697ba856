#!/usr/bin/env python3
"""holdfast-load with the kernel's sockets, holdfastd with DPDK, and between them a wire that loses,
copies, delays and damages frames; kill -9 in the middle, the audit exact, and what was damaged
counted by its cause.

Usage: load_through_relay.py LOAD DAEMON [unittest options]

Needs root, iproute2, util-linux, ethtool, a kernel with veth, and DPDK in the daemon, and AF_XDP
for a part; else it is skipped, aloud. Nothing outside of three namespaces of its own is touched.
HOLDFAST_RELAY_CUSTOMERS: how many there are; HOLDFAST_RELAY_SEED: another story.
"""
import json
import os
import re
import subprocess
import sys
import time
import unittest
import urllib.request

import veth
from frame_relay import FrameRelay
from server import Server

LOAD, DAEMON = (os.path.abspath(path) for path in sys.argv[1:3])
DOOR, OURS, PORT = "10.77.2.1", "10.77.2.2", 7422
CUSTOMERS = int(os.environ.get("HOLDFAST_RELAY_CUSTOMERS", "8000"))
SEED = int(os.environ.get("HOLDFAST_RELAY_SEED", "1"))
EAL = "--no-huge --no-pci --no-shconf -m 128 --vdev="
# Not damage: a session that a killed process knew, and copies.
UNDAMAGED = {"SESSION", "REPLAYED", "OLD"}


class Metrics(dict):
    """What the daemon tells of packets."""

    def __init__(self, server):
        port = re.findall(r"admin_port=([0-9]+)", server.told())[-1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            text = page.read().decode()
        super().__init__((name, int(value)) for name, value in re.findall(
            r"^holdfast_packet_(\S+) ([0-9]+)$", text, re.M))

    def port(self, *names):
        return sum(self[f"port_{name}_total"] for name in names)

    def causes(self):
        return {cause: self[f'dropped_total{{cause="{cause}"}}'] for cause in re.findall(
            r'dropped_total{cause="([A-Z]+)"}', "\n".join(self))}


class AfPacket(unittest.TestCase):
    device = "net_af_packet0,iface=hfa"

    def setUp(self):
        self.relay = FrameRelay(WIRE, "hfb", "hfc", SEED)
        self.addCleanup(self.relay.close)
        self.server = self.serve()
        self.addCleanup(self.stop)

    def serve(self):
        return Server(DAEMON, "--packet-listen", f"{DOOR}:{PORT}", "--packet-eal",
                      EAL + self.device, "--packet-buffers", "1024", admin="127.0.0.1:0")

    def stop(self):
        self.server.stop()
        self.assertRegex(self.server.last, r"event=dpdk_closed buffers=[1-9]\d* buffers_lost=0\n")

    def load(self, middle):
        path = os.path.join(self.server.folder.name, "result.json")
        process = subprocess.Popen(
            [*CLIENT.inside, LOAD, "--address", self.server.address, "--quiet", "--json", path,
             "--transport", "packet", "--make-catalogue", "200x1", "--stock", "3000", "--lines",
             "1-6", "--audit", "--outstanding", "100", "--frame-items", "4", "--ttl", "700ms",
             "--customers", str(CUSTOMERS), "--duration", "0"], stderr=subprocess.PIPE, text=True)
        while process.poll() is None and self.relay.to_door.counts["passed"] < CUSTOMERS / 8:
            time.sleep(0.02)
        middle()
        error = process.communicate(timeout=200 + CUSTOMERS / 50)[1]
        self.assertEqual(process.returncode, 0, f"{error}\n{self.server.tail()}")
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def test_the_worst_wire_and_a_kill(self):
        before = {}

        def middle():
            self.server.end()
            before.update(self.relay.to_door.counts)
            self.server.start()

        packets = self.load(middle)["packets"]
        sent = {name: self.relay.to_door.counts[name] - count for name, count in before.items()}
        told = Metrics(self.server)
        causes = told.causes()
        story = f"{sent} {told} {packets} {self.relay.in_door.counts}"
        self.assertGreater(packets["answered"], 1000, story)
        self.assertGreaterEqual(packets["sessions"], 2, story)
        for count in self.relay.in_door.counts.values():
            self.assertGreater(count, 0, story)
        # Since the kill: each flipped bit is found by a checksum or makes the frame nobody's, each
        # forged payload by the format or by its tag, each copy by its sequence. What was on the
        # wire while nobody listened, or was copied of a session that is gone, is not among them.
        self.among(told.port("bad_checksum", "foreign", "fragments"), sent["flipped"], story)
        damaged = sum(n for cause, n in causes.items() if cause not in UNDAMAGED)
        self.among(damaged, sent["forged"], story)
        self.assertGreater(causes["FORGED"], 0, story)
        self.among(causes["REPLAYED"] + causes["SESSION"], sent["copied"], story, more=None)
        # And the replies: the client believes none that was forged.
        self.assertGreater(packets["forged"], 0, story)

    def among(self, found, sent, story, more=0):
        self.assertGreater(sent, 0, story)
        self.assertGreaterEqual(found, sent // 2, story)
        if more is not None:
            self.assertLessEqual(found, sent + more, story)


class AfXdp(AfPacket):
    device = "net_af_xdp0,iface=hfa"

    def serve(self):
        try:
            return super().serve()
        except SystemExit as e:
            if "xdp" not in str(e):
                raise
            print(f"SKIPPED: no AF_XDP here: {e}")
            raise unittest.SkipTest("no AF_XDP here") from e


def wire():
    home, relay, client = veth.Space(), veth.Space(), veth.Space()
    veth.cable(home, "hfa", relay, "hfb")
    veth.cable(relay, "hfc", client, "hfd")
    client.run("ip", "address", "add", f"{OURS}/24", "dev", "hfd")
    return relay, client


if __name__ == "__main__":
    veth.skip_if_not_here()
    try:
        WIRE, CLIENT = wire()
    except (OSError, subprocess.CalledProcessError) as e:
        veth.skip(f"no namespaces or no veth here: {e}")
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
