"""A holdfastd of the test's own on a Unix socket in a temporary folder, to be killed at will."""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time


class Server:
    def __init__(self, daemon, *options, admin=""):
        self.daemon, self.options = daemon, ["--admin-listen", admin, *options]
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-load-")
        self.path = os.path.join(self.folder.name, "s")
        self.address = "unix:" + self.path
        self.log = open(os.path.join(self.folder.name, "log"), "ab")
        self.process = None
        self.last = None  # its log, when it has been stopped
        try:
            self.start()
        except BaseException:  # nobody has it yet who could end it
            self.discard()
            raise

    def start(self):
        self.process = subprocess.Popen(
            [self.daemon, "--listen", self.address, "--data-folder",
             os.path.join(self.folder.name, "data"), "--listener-check", "0", "--cells-max",
             "40000", "--ids-max", "1000000", *self.options], stdout=self.log, stderr=self.log)
        end = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"holdfastd did not start:\n{self.tail()}")
            time.sleep(0.02)

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
            return True
        except OSError:
            return False

    def kill(self, away_s=0):
        """kill -9, and the next one on the same folder, some time later."""
        self.end()
        time.sleep(away_s)
        self.start()

    def end(self):
        if self.process.poll() is not None:
            sys.exit(f"holdfastd ended by itself, {self.process.returncode}:\n{self.tail()}")
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def told(self):
        with open(os.path.join(self.folder.name, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def tail(self):
        return "".join(self.told().splitlines(keepends=True)[-15:])

    def discard(self):
        """Whatever state it is in: gone, with its folder."""
        if self.last is not None:
            return
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.last = self.told()
        self.folder.cleanup()

    def stop(self):
        """In order, and once."""
        if self.last is not None:
            return
        alive = self.process.poll() is None
        if alive:
            self.process.terminate()
            self.process.wait(timeout=60)
        self.log.close()
        self.last = self.told()
        self.folder.cleanup()
        if not alive:
            sys.exit(f"holdfastd ended by itself, {self.process.returncode}:\n{self.last}")
