"""A wire that does its worst: takes Ethernet frames off one device and puts them on another, and
loses, copies, delays and damages some on the way. What happens to a frame is drawn from a seed.

Two kinds of damage, to IPv4 frames only: a bit that flips, which a checksum ought to see; and bytes
of a UDP payload that change with the checksum put right, which only the frame's tag can see.
"""
import heapq
import random
import select
import socket
import struct
import threading
import time

ETH_P_ALL, OUTGOING, ETHER, IPV4, UDP = 3, 4, 14, 20, 17


def checksum(data, total=0):
    data += b"\0" * (len(data) % 2)
    total += sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def udp_of(frame):
    """Where UDP begins and what it says to be long; None: it is something else."""
    at = ETHER + IPV4
    if frame[12:14] != b"\x08\x00" or frame[ETHER] != 0x45 or frame[ETHER + 9] != UDP:
        return None
    return at, struct.unpack_from(">H", frame, at + 4)[0]


def flipped(frame, chance):
    """One bit, anywhere behind the Ethernet header that a card looks at itself."""
    out = bytearray(frame)
    end = ETHER + struct.unpack_from(">H", frame, ETHER + 2)[0]  # not of the padding
    out[chance.randrange(ETHER, min(end, len(out)))] ^= 1 << chance.randrange(8)
    return bytes(out)


def forged(frame, chance):
    at, long = udp_of(frame)
    out = bytearray(frame)
    out[chance.randrange(at + 8, at + long)] ^= chance.randrange(1, 256)
    out[at + 6:at + 8] = b"\0\0"
    pseudo = sum(struct.unpack_from(">4H", out, ETHER + 12)) + UDP + long
    out[at + 6:at + 8] = struct.pack(">H", checksum(bytes(out[at:at + long]), pseudo) or 0xffff)
    return bytes(out)


class Way:
    """One direction."""

    def __init__(self, taken, put):
        self.taken, self.put = taken, put
        self.counts = dict.fromkeys(("passed", "dropped", "copied", "late", "flipped", "forged"), 0)


class FrameRelay:
    def __init__(self, space, door, client, seed=1, drop=0.01, copy=0.01, late=0.03, flip=0.01,
                 forge=0.01):
        self.chances = {"drop": drop, "copy": copy, "late": late, "flip": flip, "forge": forge}
        self.random = random.Random(seed)
        ends = [space.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2)]
        for end, name in zip(ends, (door, client)):
            for size in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                end.setsockopt(socket.SOL_SOCKET, size, 4 << 20)
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
                frame, address = way.taken.recvfrom(4096)
            except OSError:  # nothing more, or the link is down
                return
            if address[2] != OUTGOING:
                self.treat(way, frame)

    def drawn(self, way, chance, name):
        happens = self.random.random() < self.chances[chance]
        way.counts[name] += happens
        return happens

    def treat(self, way, frame):
        if self.drawn(way, "drop", "dropped"):
            return
        udp = udp_of(frame)
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
        try:
            way.put.send(frame)
            way.counts["passed"] += 1
        except OSError:  # full, or the link is down: one more that is lost
            way.counts["dropped"] += 1
