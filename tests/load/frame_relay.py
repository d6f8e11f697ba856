"""A wire that does its worst: takes Ethernet frames off one device and puts them on another, and
loses, copies, delays and damages some on the way. What happens to a frame is drawn from a seed.

Two kinds of damage, to UDP only: a bit that flips, which a checksum ought to see (but for those of
IPv6's header that none covers); and bytes of a payload that change with the checksum put right,
which only the frame's own tag can see.

With a VLAN, the door's side of the wire is tagged with it and the client's is not, as at a switch's
ports: what the door sends with another tag, or none, goes nowhere.
"""
import heapq
import random
import select
import socket
import struct
import threading
import time

ETH_P_ALL, OUTGOING, ETHER, UDP = 3, 4, 14, 17
TREATED = ("passed", "dropped", "copied", "late", "flipped", "forged")
SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 263, 8, 1 << 4


def checksum(data, total=0):
    data += b"\0" * (len(data) % 2)
    total += sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def udp_of(frame):
    """Where UDP begins, what it says to be long, and the addresses; None: it is something else."""
    if frame[12:14] == b"\x08\x00" and frame[ETHER] == 0x45 and frame[ETHER + 9] == UDP:
        at, addresses = ETHER + 20, frame[ETHER + 12:ETHER + 20]
    elif frame[12:14] == b"\x86\xdd" and frame[ETHER + 6] == UDP:
        at, addresses = ETHER + 40, frame[ETHER + 8:ETHER + 40]
    else:
        return None
    return at, struct.unpack_from(">H", frame, at + 4)[0], addresses


def flipped(frame, chance):
    """One bit, anywhere behind the Ethernet header that a card looks at itself."""
    out = bytearray(frame)
    at, long, _ = udp_of(frame)  # not of the padding
    out[chance.randrange(ETHER, at + long)] ^= 1 << chance.randrange(8)
    return bytes(out)


def forged(frame, chance):
    at, long, addresses = udp_of(frame)
    out = bytearray(frame)
    out[chance.randrange(at + 8, at + long)] ^= chance.randrange(1, 256)
    out[at + 6:at + 8] = b"\0\0"
    pseudo = sum(word for word, in struct.iter_unpack(">H", addresses)) + UDP + long
    out[at + 6:at + 8] = struct.pack(">H", checksum(bytes(out[at:at + long]), pseudo) or 0xffff)
    return bytes(out)


class Way:
    """One direction."""

    def __init__(self, taken, put):
        self.taken, self.put = taken, put
        self.counts = dict.fromkeys(TREATED, 0)
        self.other = 0  # frames that are no UDP


class FrameRelay:
    def __init__(self, space, door, client, seed=1, vlan=0, drop=0.01, copy=0.01, late=0.03,
                 flip=0.01, forge=0.01):
        self.vlan = vlan
        self.chances = {"drop": drop, "copy": copy, "late": late, "flip": flip, "forge": forge}
        self.random = random.Random(seed)
        ends = [space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2)]
        for end, name in zip(ends, (door, client)):
            for size in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                end.setsockopt(socket.SOL_SOCKET, size, 4 << 20)
            end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            end.setblocking(False)
            end.bind((name, ETH_P_ALL))
        self.in_door, self.to_door = Way(ends[0], ends[1]), Way(ends[1], ends[0])
        self.waiting = []  # heap of (when, order, way, frame)
        self.order, self.over = 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.over = True
        self.thread.join(timeout=30)
        self.in_door.taken.close()
        self.to_door.taken.close()

    def run(self):
        ways = {way.taken: way for way in (self.in_door, self.to_door)}
        while not self.over:
            wait = 0.05
            if self.waiting:
                wait = min(wait, max(0, self.waiting[0][0] - time.monotonic()))
            for end in select.select(list(ways), [], [], wait)[0]:
                self.take(ways[end])
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, _, way, frame = heapq.heappop(self.waiting)
                self.pass_on(way, frame)

    def take(self, way):
        for _ in range(64):
            try:
                frame, more, _, address = way.taken.recvmsg(4096, 64)
            except OSError:  # nothing more, or the link is down
                return
            if address[2] != OUTGOING and self.tag_of(more) == (self.vlan if way is self.in_door
                                                                else 0):
                self.treat(way, frame)

    @staticmethod
    def tag_of(more):
        """The kernel takes a frame's tag out, and tells it beside the frame."""
        for level, kind, data in more:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                told = struct.unpack_from("=IIIHHH", data)
                return told[5] if told[0] & VLAN_VALID else 0
        return 0

    def drawn(self, way, chance, name):
        happens = self.random.random() < self.chances[chance]
        way.counts[name] += happens
        return happens

    def treat(self, way, frame):
        if self.drawn(way, "drop", "dropped"):
            return
        udp = udp_of(frame)
        way.other += udp is None
        if udp and self.drawn(way, "flip", "flipped"):
            frame = flipped(frame, self.random)
        elif udp and udp[1] > 8 and self.drawn(way, "forge", "forged"):
            frame = forged(frame, self.random)
        elif udp and self.drawn(way, "copy", "copied"):
            self.later(way, frame)
        self.later(way, frame)

    def later(self, way, frame):
        self.order += 1
        if self.drawn(way, "late", "late"):  # later ones overtake it
            when = time.monotonic() + self.random.uniform(0.0005, 0.02)
            heapq.heappush(self.waiting, (when, self.order, way, frame))
        else:
            self.pass_on(way, frame)

    def pass_on(self, way, frame):
        if self.vlan and way is self.to_door:
            frame = frame[:12] + struct.pack(">HH", 0x8100, self.vlan) + frame[12:]
        try:
            way.put.send(frame)
            way.counts["passed"] += 1
        except OSError:  # full, or the link is down: one more that is lost
            way.counts["dropped"] += 1
