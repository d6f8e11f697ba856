"""What the integration tests share: a holdfastd to start and end, stubs, ids, a reader of metrics.

Stubs are made at test time by protoc and gRPC's own plugin, as a client's author would make them.
"""
import http.client
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import grpc

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
SMALL = ["--cells-max=1000", "--ids-max=20000", "--blocks-max=2000", "--segment-bytes=4MiB",
         "--no-huge-pages", "--grpc-drain=3s"]


def make_stubs():
    """Generates the API's Python modules into a folder of their own and imports them."""
    folder = tempfile.mkdtemp(prefix="holdfast-stubs.")
    proto = os.path.join(SOURCE, "proto")
    names = ["common", "reservation", "stock_read", "stock_admin"]
    plugin = shutil.which("grpc_python_plugin")
    subprocess.run(["protoc", "-I", proto, "--python_out", folder, "--grpc_python_out", folder,
                    f"--plugin=protoc-gen-grpc_python={plugin}"] +
                   [f"holdfast/v1/{n}.proto" for n in names], cwd=proto, check=True)
    sys.path.insert(0, folder)
    return folder


def uuid7(ahead_ms=0):
    at = int(time.time() * 1000) + ahead_ms
    value = at << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


class Daemon:
    """One holdfastd. Ports are chosen by the system and read from its log."""

    def __init__(self, program, folder, *args, small=True, env=None, wrap=(), listen="127.0.0.1:0"):
        self.lines, self.lock = [], threading.Lock()
        self.events = queue.Queue()
        command = [*wrap, program, f"--data-folder={folder}", f"--listen={listen}",
                   *(SMALL if small else [])]
        if not any(a.startswith("--admin-listen") for a in args):
            command.append("--admin-listen=127.0.0.1:0")
        self.process = subprocess.Popen([*command, *args], stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self.lock:
                self.lines.append(line.rstrip("\n"))
            found = re.search(r"event=(\w+)", line)
            if found:
                self.events.put((found.group(1), line))
        self.events.put((None, ""))

    def log(self):
        with self.lock:
            return "\n".join(self.lines)

    def wait_event(self, name, seconds=60):
        """The line of the event; fails when the daemon ends first or takes too long."""
        until = time.monotonic() + seconds
        while True:
            try:
                event, line = self.events.get(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no event {name} in {seconds} s:\n{self.log()}") from None
            if event == name:
                return line
            if event is None:
                raise AssertionError(f"ended before event {name}:\n{self.log()}")

    def serving(self):
        line = self.wait_event("serving")
        self.port = int(re.search(r" port=(\d+)", line).group(1))
        self.admin_port = int(re.search(r"admin_port=(\d+)", line).group(1))
        return self

    def channel(self):
        return grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=120):
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"has not ended in {seconds} s:\n{self.log()}") from None
        self.reader.join(timeout=10)
        self.process.stderr.close()
        return code

    def end(self):
        """Ends it in order; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.wait()

    def get(self, path, method="GET"):
        """(status, body, headers) of the admin address."""
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=10)
        try:
            c.request(method, path)
            r = c.getresponse()
            return r.status, r.read().decode(), dict(r.getheaders())
        finally:
            c.close()

    def metrics(self):
        status, text, _ = self.get("/metrics")
        assert status == 200, text
        return parse_metrics(text)


# ------------------------------------------------------------------------------------- metrics

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (-?\d+(?:\.\d+)?|\+Inf|NaN)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


class Family:
    def __init__(self, name, help_text):
        self.name, self.help, self.type, self.samples = name, help_text, None, {}


def parse_labels(text):
    labels, at = [], 0
    while at < len(text or ""):
        found = LABEL.match(text, at)
        assert found, f"labels: {text}"
        labels.append((found.group(1), found.group(2)))
        at = found.end()
    assert len({n for n, _ in labels}) == len(labels), f"a label is there twice: {text}"
    return tuple(labels)


def parse_metrics(text):
    """Families by name. Strict: HELP, then TYPE, then the family's samples, no series twice."""
    families, now = {}, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, help_text = line[7:].split(" ", 1)
            assert name not in families, f"{name} is there twice"
            now = families[name] = Family(name, help_text)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert now and now.name == name and now.type is None, line
            now.type = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, f"no sample: {line}"
            name, labels = found.group(1), parse_labels(found.group(2))
            ends = ("", "_bucket", "_sum", "_count") if now.type == "histogram" else ("",)
            assert now.type and name in [now.name + e for e in ends], line
            assert (name, labels) not in now.samples, f"twice: {line}"
            now.samples[(name, labels)] = float(found.group(3))
    return families


def value(families, name, **labels):
    return families[name].samples[(name, tuple(labels.items()))]
