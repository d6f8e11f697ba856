#!/usr/bin/env python3
"""holdfastd past the kernel, on one end of a veth pair; a client with the kernel's sockets, in a
network namespace of its own, on the other: ARP, checksums, MTU and link are real.

Usage: test_packets_veth.py HOLDFASTD [unittest options]

Needs root, iproute2, util-linux and ethtool, and a kernel with veth; else it is skipped, aloud.
Nothing outside of the two namespaces is touched, and they end with this process.
"""
import ctypes
import itertools
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import unittest

import capture
import client_world
import packet_codec as packets

CLONE_NEWNET = 0x40000000
SO_NO_CHECK = 11  # of Linux
LIBC = ctypes.CDLL(None, use_errno=True)
OURS, PEER = "10.77.0.2", "10.77.0.1"
OURS6, PEER6 = "fd77::3:402", "fd77::1"
PORT = 7422
GOOD, BAD = "1", {"_ws.malformed", "_ws.short"}  # as tshark says
PROGRAM = None
SCRATCH = client_world.scratch()


def must(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Wire:
    """The daemon's namespace, in which this process is from now on, and the client's."""

    def __init__(self):
        must(LIBC.unshare(CLONE_NEWNET))
        self.here = os.open("/proc/self/ns/net", os.O_RDONLY)
        must(LIBC.unshare(CLONE_NEWNET))
        self.there = os.open("/proc/self/ns/net", os.O_RDONLY)
        must(LIBC.setns(self.here, CLONE_NEWNET))
        self.run("ip", "link", "set", "lo", "up")
        self.run_there("ip", "link", "add", "hfb", "type", "veth", "peer", "name", "hfa", "netns",
                       str(os.getpid()))
        self.run("ip", "link", "set", "hfa", "up")
        self.run_there("ip", "address", "add", f"{PEER}/24", "dev", "hfb")
        # veth leaves checksums to nobody; on a wire they would be there.
        self.run_there("ethtool", "-K", "hfb", "tx", "off")
        self.run_there("ip", "link", "set", "hfb", "up")

    @staticmethod
    def run(*args):
        subprocess.run(args, check=True, stdout=subprocess.DEVNULL)

    def run_there(self, *args):
        self.run("nsenter", f"--net=/proc/{os.getpid()}/fd/{self.there}", *args)

    def open(self, *args):
        must(LIBC.setns(self.there, CLONE_NEWNET))
        try:
            return socket.socket(*args)
        finally:
            must(LIBC.setns(self.here, CLONE_NEWNET))

    def six(self):
        """False: this kernel speaks no IPv6."""
        try:
            self.run_there("ip", "-6", "address", "replace", f"{PEER6}/64", "dev", "hfb", "nodad")
        except subprocess.CalledProcessError:
            return False
        return True


def options(device, queues=1, listen=f"{OURS}:{PORT}", *more):
    return ["--packet-listen", listen, "--packet-queues", str(queues), "--packet-buffers", "1024",
            "--packet-eal", f"--no-huge --no-pci --no-shconf -m 128 --vdev={device}", *more]


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


PINGS = itertools.count(1)


def ping(data, ours=OURS):
    """True when the echo comes back. Of IPv6 the kernel makes and looks at the checksum, and hands
    on no header."""
    with WIRE.open(*((socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) if ":" in ours else
                     (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))) as s:
        return ping_over(s, data, ours)


def ping_over(s, data, ours):
    six = ":" in ours
    asked, told_type, head_bytes = (128, 129, 0) if six else (8, 0, 20)
    s.settimeout(1)
    number = next(PINGS)  # one that was asked twice may be answered when the next one listens
    head = struct.pack(">BBHHH", asked, 0, 0, 0x4842, number)
    head = head[:2] + struct.pack(">H", checksum(head + data)) + head[4:]
    for _ in range(60):
        s.sendto(head + data, (ours, 0))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                told = s.recv(4096)[head_bytes:]
            except socket.timeout:
                break
            if told[0] == told_type and told[6:8] == head[6:8]:  # and no advertisement
                return (six or checksum(told) == 0) and told[8:] == data
    return False


class Veth(unittest.TestCase):
    device, queues = "net_af_packet0,iface=hfa", 1
    ours, peer, family, asked = OURS, PEER, socket.AF_INET, "arp"
    listen = [f"{OURS}:{PORT}"]

    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.join(SCRATCH.name, cls.__name__)
        cls.shop = packet_shop.Shop(PROGRAM, cls.folder,
                                    *options(cls.device, cls.queues, *cls.listen))

    @classmethod
    def tearDownClass(cls):
        close(cls.shop)

    def session(self):
        s = self.shop.session(via=WIRE.open(self.family, socket.SOCK_DGRAM))
        self.addCleanup(s.close)
        return s

    def test_orders_come_over_the_wire(self):
        sku, handle = self.shop.cell(1000)
        s = self.session()
        one = packets.new_id()
        (a,) = s.ask(packets.item(packets.ORDER, one, [(handle, 3)]))
        self.assertEqual((a.outcome, a.state, a.lines),
                         (packets.DONE, packets.COMMITTED, [(997, 3)]))
        (a,) = s.ask(packets.item(packets.ORDER, one, [(handle, 3)]))
        self.assertTrue(a.flags & packets.REPEAT)
        ids = [packets.new_id() for _ in range(44)]  # as many as fit the MTU
        answers = s.ask(*[packets.item(packets.ORDER, i, [(handle, 1)]) for i in ids])
        self.assertEqual([(a.id, a.outcome) for a in answers], [(i, packets.DONE) for i in ids])
        self.assertEqual(self.shop.available(sku), 953)

    def test_it_is_a_neighbour(self):
        WIRE.run_there("ip", "neighbour", "flush", "dev", "hfb")
        self.assertTrue(ping(bytes(range(56)), self.ours))
        self.assertTrue(ping(bytes(1400), self.ours))
        self.assertGreater(self.shop.metric("holdfast_packet_port_echo_total"), 1)
        self.assertGreater(self.shop.metric(f"holdfast_packet_port_{self.asked}_total"), 0)
        # Another port: nobody's. What comes in fragments (the driver may put them together, and is
        # then too long for a buffer) does no harm.
        with WIRE.open(self.family, socket.SOCK_DGRAM) as s:
            s.sendto(b"hello", (self.ours, PORT + 1))
            s.sendto(bytes(4000), (self.ours, PORT))
        client_wait(lambda: self.shop.metric("holdfast_packet_port_foreign_total") >= 1)

    # Buffers are for frames of 1,500 bytes, whatever a link may carry.
    def test_longer_frames_do_no_harm(self):
        def mtu(size):
            WIRE.run("ip", "link", "set", "hfa", "mtu", size)
            WIRE.run_there("ip", "link", "set", "hfb", "mtu", size)

        mtu("3000")
        self.addCleanup(mtu, "1500")
        _, handle = self.shop.cell(10)
        s = self.session()
        with WIRE.open(self.family, socket.SOCK_DGRAM) as other:
            for _ in range(50):
                other.sendto(bytes(2500), (self.ours, PORT))
        (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
        self.assertEqual((a.outcome, a.lines), (packets.DONE, [(9, 1)]))

    def test_several_clients_sell_what_there_is(self):
        sku, handle = self.shop.cell(100)
        sessions = [self.session() for _ in range(6)]
        done = 0
        for _ in range(20):
            for s in sessions:
                (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
                done += a.outcome == packets.DONE
        self.assertEqual(done, 100)
        self.assertEqual(self.shop.available(sku), 0)

    def test_a_link_may_go_and_come(self):
        _, handle = self.shop.cell(10)
        s = self.session()
        s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
        WIRE.run("ip", "link", "set", "hfa", "down")
        time.sleep(0.2)
        WIRE.run("ip", "link", "set", "hfa", "up")
        (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
        self.assertEqual(a.outcome, packets.DONE)
        with open(os.path.join(client_world.ROOT, "docs", "OPERATIONS.md"), encoding="utf-8") as f:
            named = set(re.findall(r"`(holdfast_packet_device_[a-z_]+[a-z])`", f.read()))
        self.assertGreater(len(named), 1)
        for name in named:
            self.shop.metric(name)

    # Another's reading of what went over the wire: addresses, lengths, checksums, ports.
    def test_a_capture_reads_well(self):
        if not capture.TSHARK:
            print("SKIPPED: the capture is not read: tshark is not installed")
            self.skipTest("tshark is not installed")
        _, handle = self.shop.cell(1000)
        s = self.session()
        WIRE.run_there("ip", "neighbour", "flush", "dev", "hfb")
        wire = capture.Capture(WIRE.open, "hfb")
        for count in (1, 2, 44):
            s.ask(*[packets.item(packets.ORDER, packets.new_id(), [(handle, 1)])
                    for _ in range(count)])
        self.assertTrue(ping(bytes(999), self.ours))
        path = os.path.join(self.folder, "wire.pcap")
        wire.save(path)
        said = self.said(path)
        for frame in said:
            self.assertFalse(BAD & frame.keys(), frame)
            for protocol in ("ip", "udp", "icmp", "icmpv6"):
                spoken = any(field.startswith(f"{protocol}.") for field in frame)
                self.assertEqual(frame.get(f"{protocol}.checksum.status"),
                                 GOOD if spoken else None, frame)
        replies = [f for f in said if f.get("udp.srcport") == str(PORT)]
        asked = [f for f in said if f.get("udp.dstport") == str(PORT)]
        self.assertGreaterEqual(len(replies), 3)
        for reply in replies:
            sequence = reply["udp.payload"][16:32]
            (request,) = [f for f in asked if f["udp.payload"][16:32] == sequence]
            self.assertEqual((reply["eth.src"], reply["eth.dst"], reply["src"], reply["dst"],
                              reply["udp.dstport"], reply["udp.length"], reply["long"]),
                             (request["eth.dst"], request["eth.src"], self.ours, self.peer,
                              request["udp.srcport"], request["udp.length"], request["long"]))
            payload = bytes.fromhex(reply["udp.payload"])
            self.assertEqual(packets.HEADER.unpack_from(payload)[7], len(payload))
            self.assertEqual(int(reply["udp.length"]), 8 + len(payload))
        self.judge_neighbour(said)

    def judge_neighbour(self, said):
        self.assertIn(("2", OURS, PEER), [(f.get("arp.opcode"), f.get("arp.src.proto_ipv4"),
                                           f.get("arp.dst.proto_ipv4")) for f in said])
        self.assertIn(("0", OURS), [(f.get("icmp.type"), f.get("src")) for f in said])

    @staticmethod
    def said(path):
        said = capture.read(path, "eth.src", "eth.dst", "ip.src", "ip.dst", "ip.len", "ipv6.src",
                            "ipv6.dst", "ipv6.plen", "ip.checksum.status", "udp.srcport",
                            "udp.dstport", "udp.length", "udp.checksum.status", "udp.payload",
                            "icmp.type", "icmp.checksum.status", "icmpv6.type",
                            "icmpv6.checksum.status", "icmpv6.nd.na.target_address", "arp.opcode",
                            "arp.src.proto_ipv4", "arp.dst.proto_ipv4", *BAD)
        for frame in said:
            for name, four, six in (("src", "ip.src", "ipv6.src"), ("dst", "ip.dst", "ipv6.dst"),
                                    ("long", "ip.len", "ipv6.plen")):
                frame[name] = frame.get(four, frame.get(six))
        return said


class VethTwoQueues(Veth):
    device, queues = "net_af_packet0,iface=hfa,qpairs=2", 2


class VethSix(Veth):
    """IPv6, and IPv4 beside it; on the other side the kernel's neighbour discovery."""
    ours, peer, family, asked = OURS6, PEER6, socket.AF_INET6, "neighbours"
    listen = [f"[{OURS6}]:{PORT}", "--packet-also", OURS]

    @classmethod
    def setUpClass(cls):
        if not WIRE.six():
            print("SKIPPED: this kernel speaks no IPv6")
            raise unittest.SkipTest("this kernel speaks no IPv6")
        super().setUpClass()

    def judge_neighbour(self, said):
        self.assertIn(("136", OURS6, OURS6), [
            (f.get("icmpv6.type"), f.get("src"), f.get("icmpv6.nd.na.target_address"))
            for f in said])
        self.assertIn(("129", OURS6), [(f.get("icmpv6.type"), f.get("src")) for f in said])

    def test_the_other_family_is_answered_too(self):
        self.assertTrue(ping(bytes(56)))
        _, handle = self.shop.cell(10)
        told = self.shop.packets.OpenSession(packet_shop.packet_pb2.OpenSessionRequest())
        self.assertEqual([(d.address, d.port) for d in told.doors], [(OURS6, PORT), (OURS, PORT)])
        s = packets.Session((OURS, PORT), told.session_id, told.key, told.generation,
                            via=WIRE.open(socket.AF_INET, socket.SOCK_DGRAM))
        self.addCleanup(s.close)
        (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
        self.assertEqual(a.outcome, packets.DONE)


class Switch(unittest.TestCase):
    """Behind a bridge that watches who listens (MLD), and passes on nothing to others. Its own port
    is the client."""
    ours, peer = "fd78::3:402", "fd78::1"

    @classmethod
    def setUpClass(cls):
        try:
            WIRE.run_there("ip", "link", "add", "hfs", "type", "bridge", "mcast_snooping", "1",
                           "mcast_querier", "1", "mcast_startup_query_interval", "50",
                           "mcast_last_member_count", "2")
        except subprocess.CalledProcessError as e:
            print("SKIPPED: no bridges here")
            raise unittest.SkipTest("no bridges here") from e
        cls.addClassCleanup(WIRE.run_there, "ip", "link", "delete", "hfs")
        WIRE.run_there("ip", "-6", "address", "add", f"{cls.peer}/64", "dev", "hfs", "nodad")
        WIRE.run_there("ip", "link", "set", "hfb", "master", "hfs")
        WIRE.run_there("ip", "link", "set", "hfs", "up")
        cls.shop = packet_shop.Shop(PROGRAM, os.path.join(SCRATCH.name, "switch"),
                                    *options(Veth.device, 1, f"[{cls.ours}]:{PORT}"))

    @classmethod
    def tearDownClass(cls):
        close(cls.shop)

    @staticmethod
    def members():
        told = subprocess.run(
            ["nsenter", f"--net=/proc/{os.getpid()}/fd/{WIRE.there}", "bridge", "mdb", "show",
             "dev", "hfs"], check=True, capture_output=True, text=True).stdout
        return [line for line in told.splitlines() if "port hfb" in line and "ff03:402" in line]

    def test_it_says_that_it_listens(self):
        client_wait(self.members)
        WIRE.run_there("ip", "neighbour", "flush", "dev", "hfs")
        self.assertTrue(ping(bytes(56), self.ours))
        # The switch forgets, and hears it again when it asks: no report is due for a minute.
        told = self.shop.metric("holdfast_packet_port_members_total")
        time.sleep(1.2)
        WIRE.run_there("ip", "link", "set", "hfs", "type", "bridge", "mcast_snooping", "0")
        WIRE.run_there("ip", "link", "set", "hfs", "type", "bridge", "mcast_snooping", "1")
        client_wait(lambda: self.shop.metric("holdfast_packet_port_members_total") > told + 1)
        client_wait(self.members)


class VethXdp(Veth):
    device = "net_af_xdp0,iface=hfa"

    @classmethod
    def setUpClass(cls):
        known = os.path.join(SCRATCH.name, "leaks")
        with open(known, "w", encoding="ascii") as f:
            f.write("leak:libxdp.so\n")  # what the driver's library forgets, 80 bytes a device
        os.environ["LSAN_OPTIONS"] = f"suppressions={known}:print_suppressions=0"
        cls.addClassCleanup(os.environ.pop, "LSAN_OPTIONS")
        try:
            super().setUpClass()
        except RuntimeError as e:
            if "xdp" not in str(e):
                raise
            print(f"SKIPPED: no AF_XDP here: {e}")
            raise unittest.SkipTest("no AF_XDP here") from e


class Tap(unittest.TestCase):
    """A driver that can wake a thread, and that writes checksums itself."""
    ours, peer = "10.77.3.2", "10.77.3.1"

    @classmethod
    def setUpClass(cls):
        try:
            cls.shop = packet_shop.Shop(PROGRAM, os.path.join(SCRATCH.name, "tap"),
                                        *options("net_tap0,iface=hft", 1, f"{cls.ours}:{PORT}"))
        except RuntimeError as e:
            if "tap" not in str(e):
                raise
            print(f"SKIPPED: no tap device here: {e}")
            raise unittest.SkipTest("no tap device here") from e
        WIRE.run("ip", "link", "set", "hft", "addrgenmode", "none")
        WIRE.run("ip", "address", "add", f"{cls.peer}/24", "dev", "hft")
        WIRE.run("ip", "link", "set", "hft", "up")

    @classmethod
    def tearDownClass(cls):
        close(cls.shop)

    def switches(self):
        """How often the thread has gone to sleep."""
        tasks = f"/proc/{self.shop.server.process.pid}/task"
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status", encoding="ascii") as f:
                told = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
            if told["Name"] == "hf-packet-0":
                return int(told["voluntary_ctxt_switches"])
        raise AssertionError("no such thread")

    def test_it_sleeps_until_a_frame_comes(self):
        self.assertIn(" checksums_by_device=1 waits=interrupts\n", "".join(self.shop.server.log))
        sku, handle = self.shop.cell(100)
        s = self.shop.session(via=socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.addCleanup(s.close)
        for _ in range(5):
            (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
            self.assertEqual(a.outcome, packets.DONE)
            before = self.switches()
            time.sleep(0.3)  # one that looks again all the time does so hundreds of times
            self.assertLess(self.switches() - before, 50)
        self.assertEqual(self.shop.available(sku), 95)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            self.assertTrue(ping_over(raw, bytes(56), self.ours))

    # What the driver is asked to sum gets a checksum: there is to be none.
    def test_a_client_without_checksums_is_answered_without(self):
        _, handle = self.shop.cell(10)
        via = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        via.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        s = self.shop.session(via=via)
        self.addCleanup(s.close)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            raw.settimeout(60)
            (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
            self.assertEqual(a.outcome, packets.DONE)
            told = raw.recv(4096)
            while told[20:22] != struct.pack(">H", PORT):
                told = raw.recv(4096)
        self.assertEqual(told[26:28], bytes(2))


class Killed(unittest.TestCase):
    # P2 and P3 past the kernel.
    def test_what_was_answered_survives_a_kill(self):
        folder = os.path.join(SCRATCH.name, "killed")
        shop = packet_shop.Shop(PROGRAM, folder, *options(Veth.device))
        sku, handle = shop.cell(100)
        s = shop.session(via=WIRE.open(socket.AF_INET, socket.SOCK_DGRAM))
        ids = [packets.new_id() for _ in range(20)]
        for one in ids:
            self.assertEqual(s.ask(packets.item(packets.ORDER, one, [(handle, 1)]))[0].outcome,
                             packets.DONE)
        s.close()
        shop.kill()
        shop = packet_shop.Shop(PROGRAM, folder, *options(Veth.device))
        try:
            s = shop.session(via=WIRE.open(socket.AF_INET, socket.SOCK_DGRAM))
            for one in ids:
                (a,) = s.ask(packets.item(packets.ORDER, one, [(handle, 1)]))
                self.assertEqual((a.outcome, a.flags & packets.REPEAT),
                                 (packets.DONE, packets.REPEAT))
            self.assertEqual(shop.available(sku), 80)
            s.close()
        finally:
            close(shop)


def close(shop):
    """In order; every buffer of the device is back."""
    shop.close()
    log = "".join(shop.server.log)
    if not re.search(r"event=dpdk_closed buffers=[1-9][0-9]* buffers_lost=0$", log, re.M):
        raise AssertionError(log)


def client_wait(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if os.geteuid() != 0:
        client_world.skip("needs root, for network namespaces and packet sockets")
    for tool in ("ip", "nsenter", "ethtool"):
        if not shutil.which(tool):
            client_world.skip(f"needs {tool}")
    try:
        WIRE = Wire()
    except (OSError, subprocess.CalledProcessError) as e:
        client_world.skip(f"no network namespaces or no veth here: {e}")
    client_world.make_stubs(os.path.join(SCRATCH.name, "stubs"))
    import packet_shop
    unittest.main(verbosity=2)
