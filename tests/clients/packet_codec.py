"""Packets as docs/packet-format.md has them, written from that page and from nothing else."""
import random
import socket
import struct
import time

HEADER = struct.Struct("<2sBBIQQIHBB8s")
ITEM = struct.Struct("<16sBBBBI")
HOLD, ORDER, COMMIT, RELEASE, RECORD, QUERY = range(1, 7)
(DONE, REFUSED, EXPIRED, WRONG_STATE, CONFLICT, UNKNOWN, EXCEEDS, IN_PROGRESS, BUSY, ID_TOO_OLD,
 ID_IN_FUTURE, INVALID, STALE_DIRECTORY, RATE_LIMITED, FORBIDDEN, ELSEWHERE) = range(1, 17)
NONE, HELD, COMMITTED, RELEASED, GONE, REJECTED = range(6)
REPEAT, DURABLE = 1, 2
MASK = (1 << 64) - 1


def siphash(key, message):
    """SipHash-2-4, 64 bits (Aumasson, Bernstein, 2012)."""
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
         k1 ^ 0x7465646279746573]

    def left(x, bits):
        return (x << bits | x >> 64 - bits) & MASK

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = left(v[1], 13) ^ v[0]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = left(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = left(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = left(v[1], 17) ^ v[2]
            v[2] = left(v[2], 32)

    padded = message + bytes((7 - len(message)) % 8) + bytes([len(message) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xff
    rounds(4)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


def new_id():
    """The bytes of a UUID of version 7."""
    value = (int(time.time() * 1000) & (1 << 48) - 1) << 80 | 7 << 76 | random.getrandbits(76)
    return (value & ~(3 << 62) | 2 << 62).to_bytes(16, "big")


def id_text(raw):
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def item(kind, raw_id, lines=(), flags=0, ms=0):
    return ITEM.pack(raw_id, kind, flags, len(lines), 0, ms) + b"".join(
        struct.pack("<II", *line) for line in lines)


class Answer:
    def __init__(self, data, at):
        self.id, self.outcome, self.state, self.flags, count, self.detail = ITEM.unpack_from(data,
                                                                                             at)
        at += ITEM.size
        self.lines = [struct.unpack_from("<iI", data, at + 8 * i) for i in range(count)]
        self.end = at + 8 * count


class Session:
    """One UDP socket and a session; asks in lockstep."""

    def __init__(self, door, number, key, generation, sequence=0, via=None):
        self.socket = via or socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(door)
        self.number, self.key, self.generation = number, key, generation
        self.sequence = sequence

    def frame(self, items, sequence=None, generation=None, stamp=7):
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        body = b"".join(items)

        def header(tag):
            return HEADER.pack(b"HF", 1, 1, self.number, sequence,
                               self.generation if generation is None else generation, stamp,
                               HEADER.size + len(body), len(items), 0, tag)
        tag = siphash(self.key, header(bytes(8)) + body) if self.key else bytes(8)
        return header(tag) + body

    def receive(self, timeout):
        """(sequence, generation, stamp, answers), checked; None: nothing came."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(2048)
        except socket.timeout:
            return None
        (magic, version, kind, session, sequence, generation, stamp, length, count, flags,
         tag) = HEADER.unpack_from(data)
        assert (magic, version, kind, session, flags) == (b"HF", 1, 2, self.number, 0)
        assert length == len(data)
        bare = data[:32] + bytes(8) + data[40:]
        assert tag == (siphash(self.key, bare) if self.key else bytes(8)), "a wrong tag"
        answers, at = [], HEADER.size
        for _ in range(count):
            answers.append(Answer(data, at))
            at = answers[-1].end
        assert at == len(data)
        return sequence, generation, stamp, answers

    def ask(self, *items, seconds=60):
        """The answers to the items; asks again, in a new frame, until they come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.socket.send(self.frame(items))
            sent, wait = self.sequence, time.monotonic() + 1
            while time.monotonic() < wait:
                told = self.receive(max(0.01, wait - time.monotonic()))
                if told and told[0] == sent:
                    return told[3]
        raise TimeoutError("no answer")

    def silent(self, data, seconds=0.3):
        """Sends bytes that are not to be answered."""
        self.socket.send(data)
        told = self.receive(seconds)
        assert told is None, f"answered: {told}"

    def close(self):
        self.socket.close()
