#!/usr/bin/env python3
"""holdfast-load with the kernel's sockets, holdfastd with DPDK, and between them a wire that loses,
copies, delays and damages frames; kill -9 in the middle, the audit exact, and what was damaged
counted by its cause. Over IPv4, by two drivers, and over IPv6 in a VLAN.

Usage: load_through_relay.py LOAD DAEMON [unittest options]

Needs root, iproute2, util-linux, ethtool, a kernel with veth, and DPDK in the daemon, and AF_XDP
for a part; else it is skipped, aloud. Nothing outside of three namespaces of its own is touched.
RELAY_CUSTOMERS: how many there are; RELAY_SEED: another story.
"""
import json
import os
import subprocess
import sys
import time
import unittest

import veth
from frame_relay import FrameRelay
from packet_metrics import Metrics
from server import Server

LOAD, DAEMON = (os.path.abspath(path) for path in sys.argv[1:3])
DOOR, OURS, PORT = "10.77.2.1", "10.77.2.2", 7422
DOOR6, OURS6, VLAN = "fd77:2::1", "fd77:2::2", 7
CUSTOMERS = int(os.environ.get("RELAY_CUSTOMERS", "8000"))
SEED = int(os.environ.get("RELAY_SEED", "1"))
EAL = "--no-huge --no-pci --no-shconf -m 128 --vdev="
# Not damage: a session that a killed process knew, and copies.
UNDAMAGED = {"SESSION", "REPLAYED", "OLD"}


class AfPacket(unittest.TestCase):
    device, listen, vlan = "net_af_packet0,iface=hfa", f"{DOOR}:{PORT}", 0

    def setUp(self):
        self.relay = FrameRelay(WIRE, "hfb", "hfc", SEED, self.vlan)
        self.addCleanup(self.relay.close)
        self.server = self.serve()
        self.addCleanup(self.stop)

    def serve(self):
        return Server(DAEMON, "--packet-listen", self.listen, "--packet-eal", EAL + self.device,
                      "--packet-vlan", str(self.vlan), "--packet-buffers", "1024",
                      admin="127.0.0.1:0")

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
        # The client's kernel says things that are nobody's, too.
        self.among(told.port("bad_checksum", "foreign", "fragments"), sent["flipped"], story,
                   self.relay.to_door.other)
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


class SixInVlan(AfPacket):
    listen, vlan = f"[{DOOR6}]:{PORT}", VLAN

    def setUp(self):
        try:
            CLIENT.run("ip", "-6", "address", "replace", f"{OURS6}/64", "dev", "hfd", "nodad")
        except subprocess.CalledProcessError as e:
            print("SKIPPED: this kernel speaks no IPv6")
            raise unittest.SkipTest("this kernel speaks no IPv6") from e
        super().setUp()


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
