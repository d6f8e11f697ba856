"""A network that does its worst: a UDP relay that drops, copies, delays and damages datagrams.

One thread in this process; every client address gets a socket of its own towards the server,
so that it sees one path for each. What happens to a datagram is drawn from a seed.
"""
import heapq
import random
import selectors
import socket
import threading
import time


def free_port():
    """For a server that is to be found at the same place after a kill."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Relay:
    def __init__(self, server_port, seed=1, drop=0.01, copy=0.01, late=0.05, damage=0.01):
        self.server = ("127.0.0.1", server_port)
        self.chances = (drop, copy, late, damage)
        self.random = random.Random(seed)
        self.counts = {"passed": 0, "dropped": 0, "copied": 0, "late": 0, "damaged": 0}
        self.answers = 0  # that came from the server
        self.selector = selectors.DefaultSelector()
        self.front = self.open(None)
        self.front.bind(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        self.paths = {}  # client address -> socket towards the server
        self.waiting = []  # heap of (when, order, socket, address or None, bytes)
        self.order, self.over = 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def open(self, client):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.setblocking(False)
        for size in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            s.setsockopt(socket.SOL_SOCKET, size, 4 << 20)
        self.selector.register(s, selectors.EVENT_READ, client)
        return s

    def close(self):
        self.over = True
        self.thread.join(timeout=30)
        for s in [self.front, *self.paths.values()]:
            s.close()
        self.selector.close()

    def run(self):
        while not self.over:
            wait = 0.05
            if self.waiting:
                wait = min(wait, max(0, self.waiting[0][0] - time.monotonic()))
            for key, _ in self.selector.select(wait):
                self.receive(key.fileobj, key.data)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                _, _, s, address, data = heapq.heappop(self.waiting)
                self.send(s, address, data)

    def receive(self, s, client):
        for _ in range(64):
            try:
                data, address = s.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:  # the server's port is closed: it is being killed
                continue
            if client is not None:
                self.answers += 1
                self.treat(self.front, client, data)
                continue
            if address not in self.paths:
                self.paths[address] = self.open(address)
            self.treat(self.paths[address], None, data)

    def treat(self, s, address, data):
        drop, copy, late, damage = self.chances
        copies = 1
        if self.random.random() < drop:
            self.counts["dropped"] += 1
            return
        if self.random.random() < copy:
            self.counts["copied"] += 1
            copies = 2
        if data and self.random.random() < damage:
            self.counts["damaged"] += 1
            at = self.random.randrange(len(data))
            data = data[:at] + bytes([data[at] ^ 1 << self.random.randrange(8)]) + data[at + 1:]
        for _ in range(copies):
            self.order += 1
            if self.random.random() < late:  # later ones overtake it
                self.counts["late"] += 1
                when = time.monotonic() + self.random.uniform(0.0005, 0.02)
                heapq.heappush(self.waiting, (when, self.order, s, address, data))
            else:
                self.send(s, address, data)

    def send(self, s, address, data):
        self.counts["passed"] += 1
        try:
            s.sendto(data, address or self.server)
        except OSError:  # full, or nobody is there: one more that is lost
            self.counts["dropped"] += 1
