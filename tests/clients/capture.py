"""A capture of what goes over a device, and what tshark, a foreign reader, makes of it."""
import select
import shutil
import socket
import struct
import subprocess
import threading
import time

ETH_P_ALL = 3
TSHARK = shutil.which("tshark")


class Capture:
    """Both directions, from now until it is saved. `device` as the packet socket's `opener` sees
    it. Frames as they are on the wire: the devices' offloads have to be off."""

    def __init__(self, opener, device):
        self.socket = opener(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind((device, ETH_P_ALL))
        self.frames, self.over = [], False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while select.select([self.socket], [], [], 0 if self.over else 0.05)[0] or not self.over:
            try:
                self.frames.append((time.time(), self.socket.recv(16384, socket.MSG_DONTWAIT)))
            except OSError:  # nothing there, or the link is down
                pass

    def save(self, path):
        self.over = True
        self.thread.join(timeout=30)
        self.socket.close()
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
            for when, frame in self.frames:
                f.write(struct.pack("<IIII", int(when), int(when % 1 * 1e6), len(frame),
                                    len(frame)) + frame)


def read(path, *fields):
    """A list of dicts, a frame each: the named fields, as text, when it has them."""
    options = [f"-o{protocol}.check_checksum:TRUE" for protocol in ("ip", "udp")]
    told = subprocess.run(
        [TSHARK, "-n", "-r", path, *options, "-Tfields", "-Eseparator=/t", "-Eoccurrence=f",
         *(f"-e{field}" for field in fields)], check=True, capture_output=True, text=True).stdout
    return [{field: value for field, value in zip(fields, line.split("\t")) if value}
            for line in told.splitlines()]
