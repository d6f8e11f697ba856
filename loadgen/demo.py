#!/usr/bin/env python3
"""The demonstration: a flash sale through the whole loop, on this machine and loopback alone.

holdfastd on its embedded defaults, holdfast-load as its customers by gRPC and by packet,
holdfast-odoo-sandbox as the Odoo behind it. In the middle the daemon is killed. At the end the
customers' book, the engine and Odoo have to agree to the unit.
"""
import argparse
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
LOCATIONS = {"L-01": "WH", "L-02": "EAST", "L-03": "WEST"}
KEY = "demonstration"


class Failed(Exception):
    pass


class Interrupts:
    """The first SIGINT or SIGTERM ends the demonstration, further ones don't disturb its end. While
    a program is being started they wait, so that none is left behind."""

    def __init__(self):
        self.came, self.held = 0, False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.take)

    def take(self, number, _frame):
        self.came = self.came or number
        if not self.held:
            self.end()

    def end(self):
        self.ignore()
        sys.exit(128 + self.came)

    def ignore(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def __enter__(self):
        self.held = True

    def __exit__(self, *_):
        self.held = False
        if self.came:
            self.end()


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tell(text):
    print(f"  {text}", flush=True)


class Process:
    """A program whose log goes to a file; `wait_for` finds a line in it."""

    def __init__(self, words, log):
        self.words, self.log = words, log
        with open(log, "ab") as out:
            self.at = out.tell()
            self.process = subprocess.Popen(words, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)

    def wait_for(self, pattern, seconds=60):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with open(self.log, "rb") as f:
                f.seek(self.at)
                found = re.search(pattern, f.read().decode(errors="replace"))
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise Failed(f"{self.words[0]} did not say {pattern}; see {self.log}")

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait()


class Demo:
    def __init__(self, arguments, folder, interrupts):
        self.arguments, self.folder, self.interrupts = arguments, folder, interrupts
        self.build = os.path.abspath(arguments.build)
        self.socket = "unix:" + os.path.join(folder, "holdfast.sock")
        self.packets = f"127.0.0.1:{free_udp_port()}"  # the same after the restart
        self.running = []

    def program(self, name):
        return os.path.join(self.build, name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, words, log):
        with self.interrupts:
            self.running.append(Process(words, self.path(log)))
        return self.running[-1]

    def start_sandbox(self, *latency):
        with open(self.path("catalogue.csv"), "w", newline="", encoding="ascii") as f:
            rows = csv.writer(f)
            rows.writerow(["default_code", "warehouse", "quantity"])
            for number in range(1, self.arguments.skus + 1):
                for warehouse in LOCATIONS.values():
                    rows.writerow([f"SKU-{number:07}", warehouse, 0])
        with open(self.path("odoo.key"), "w", encoding="ascii") as f:
            f.write(KEY + "\n")
        os.chmod(self.path("odoo.key"), 0o600)
        self.sandbox = self.start(
            [self.program("loadgen/holdfast-odoo-sandbox"), "--port", "0", "--key", KEY,
             "--keep-alive", *(latency or ("--fixed-ms", "20")),
             "--seed-catalogue", self.path("catalogue.csv")],
            "sandbox.log")
        self.odoo = "http://127.0.0.1:" + self.sandbox.wait_for(r":(\d+)").group(1)

    def start_daemon(self):
        begin = time.monotonic()
        locations = ",".join(f"{mine}={theirs}" for mine, theirs in LOCATIONS.items())
        self.daemon = self.start(
            [self.program("api/holdfastd"), "--data-folder", self.path("data"), "--listen",
             self.socket, "--admin-listen", "127.0.0.1:0", "--packet-listen", self.packets,
             "--odoo-url", self.odoo,
             "--odoo-database", "odoo", "--odoo-key-file", self.path("odoo.key"),
             "--odoo-locations", locations, "--odoo-window", "200ms", "--odoo-retry-max", "1s"],
            "holdfastd.log")
        found = self.daemon.wait_for(r"event=serving .*admin_port=(\d+)")
        self.admin = "http://127.0.0.1:" + found.group(1)
        return time.monotonic() - begin

    def get(self, url):
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode()

    def metric(self, name):
        found = re.search(rf"^{name} (\S+)$", self.get(self.admin + "/metrics"), re.M)
        if not found:
            raise Failed(f"no metric {name}")
        return float(found.group(1))

    def ctl(self, *words):
        done = subprocess.run([self.program("api/holdfastctl"), *words, "--address", self.socket,
                               "--json"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"holdfastctl {' '.join(words)}: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]

    def sale(self):
        """The flash sale, with a kill in its middle. Returns the load's result."""
        a = self.arguments
        load = self.start(
            [self.program("loadgen/load/holdfast-load"), "--address", self.socket,
             "--make-catalogue", f"{a.skus}x{len(LOCATIONS)}", "--stock", str(a.stock), "--stream",
             "--outstanding", "256", "--spread", "flash:12:0.5", "--lines", "mean:3",
             "--duration", f"{a.seconds}s", "--transport", "mixed", "--audit", "--settle", "60s",
             "--quiet", "--json", self.path("load.json")], "load.log")
        until = time.monotonic() + 60
        while self.metric("holdfast_core_decisions_total") < 1000:
            if time.monotonic() > until or load.process.poll() is not None:
                raise Failed(f"the sale did not begin; see {load.log}")
            time.sleep(0.05)
        time.sleep(a.seconds / 2)
        before = self.metric("holdfast_core_decisions_total")
        self.daemon.end(signal.SIGKILL)
        self.back_s = self.start_daemon()
        tell(f"killed with SIGKILL after {before:,.0f} decisions, serving again in "
             f"{self.back_s:.2f} s")
        code = load.process.wait()
        with open(self.path("load.json"), encoding="utf-8") as f:
            result = json.load(f)
        if code != 0 or result["audit"]["wrong"] or not result["audit"]["read"]:
            raise Failed(f"the customers' audit failed with {code}; see {load.log}")
        return result

    def posted(self, seconds=120):
        """Waits until Odoo has everything. Returns how long that took."""
        begin = time.monotonic()
        while time.monotonic() - begin < seconds:
            if self.metric("holdfast_flush_dead_letters"):
                raise Failed("a movement could not be posted; see holdfastd.log")
            ends = self.metric("holdfast_journal_durable_lsn") - \
                self.metric("holdfast_flush_read_lsn")
            if self.metric("holdfast_flush_backlog_movements") == 0 and ends <= 64:
                cells = self.ctl("stock", "list")
                if all(c["committed"] == 0 for c in cells):
                    return time.monotonic() - begin, cells
            time.sleep(0.2)
        raise Failed("Odoo did not get everything in time; see holdfastd.log")

    def pickings(self):
        found, after = [], 0
        while True:
            page = json.loads(self.get(f"{self.odoo}/sandbox/pickings?after={after}"))
            found += page["pickings"]
            after = page["next"]
            if not after:
                return found

    def compare(self, cells):
        """Odoo's stock against the engine's. Returns how many cells agree."""
        page = json.loads(self.get(f"{self.odoo}/sandbox/stock"))
        rows = page["stock"] if isinstance(page, dict) else page
        theirs = {(r["product"], r["location"].split("/")[0]): r["quantity"] for r in rows
                  if r["location"].endswith("/Stock")}
        wrong = [c for c in cells
                 if theirs.get((c["sku"], LOCATIONS[c["location"]]), 0) != c["on_hand"]]
        if wrong:
            raise Failed(f"{len(wrong)} cells differ between engine and Odoo, first {wrong[0]}")
        return len(cells)

    def trace(self):
        """One order from its request to its document."""
        before = {p["name"] for p in self.pickings()}
        sku, location = f"SKU-{self.arguments.skus:07}", "L-02"
        decision = self.ctl("record", f"{sku}@{location}=1", "--reference", "order-4711")[0]
        ident = decision.get("reservation_id") or decision["id"]
        self.posted()
        new = [p for p in self.pickings() if p["name"] not in before and p["state"] == "done"]
        if len(new) != 1:
            raise Failed(f"one order made {len(new)} documents")
        told = self.ctl("get", ident)[0]
        lsn = told.get("position", {}).get("lsn", told.get("lsn"))
        return ident, sku, location, lsn, new[0]["name"]


def screen(demo, result, seconds, cells, documents, traced):
    verbs, book = result["verbs"], result["book"]
    sums = {}
    for verb in verbs.values():
        for outcome, count in verb.items():
            if outcome != "latency":
                sums[outcome] = sums.get(outcome, 0) + count
    packets = result["packets"]
    orders, holds = verbs["ORDER"].get("DONE", 0), verbs["RESERVE"].get("DONE", 0)
    p50, p99 = (result["latency"][f"{p}_ns"] / 1e6 for p in ("p50", "p99"))
    ident, sku, location, lsn, name = traced
    rows = [
        ("Storefronts", f"{result['requests']:,} requests in {result['ns'] / 1e9:.1f} s, "
         f"{result['requests_per_s']:,.0f} a second, the restart included"),
        ("", f"orders sold {orders:,}, holds taken {holds:,}, refused {sums.get('REFUSED', 0):,}, "
         f"units expired {book['expired']:,}"),
        ("", f"p50 {p50:.2f} ms, p99 {p99:.2f} ms, each answer told after it was on the disk"),
        ("Doors", f"packets over the kernel's UDP: {packets['answered']:,} requests in "
         f"{packets['frames']:,} frames; the rest by gRPC"),
        ("Restart", f"kill -9 in the middle, back in {demo.back_s:.2f} s; what had no answer was "
         f"asked again: {result['tries'] + packets['tries'] - result['requests']:,}"),
        ("Audit", f"{result['audit']['cells']:,} cells agree with the customers' own book, to the "
         "unit"),
        ("Odoo", f"{documents:,} documents, the last {seconds:.1f} s after the sale; {cells:,} "
         "cells agree, to the unit"),
        ("One order", f"{ident}, order-4711: 1 x {sku} in {location},"),
        ("", f"record {lsn} of the journal, document {name}"),
    ]
    print()
    for head, text in rows:
        print(f"  {head:<12}  {text}")
    print()


def run(arguments, folder, interrupts):
    demo = Demo(arguments, folder, interrupts)
    try:
        print("Holdfast: a flash sale, on loopback\n", flush=True)
        demo.start_sandbox()
        begin = demo.start_daemon()
        tell(f"holdfastd serves after {begin:.2f} s; Odoo's stand-in listens at {demo.odoo}")
        tell(f"{arguments.skus} SKUs in {len(LOCATIONS)} places, {arguments.stock} of each; half "
             f"of the demand for 12 of them; {arguments.seconds} s")
        result = demo.sale()
        tell("sold, asked again, audited; waiting for Odoo")
        seconds, cells = demo.posted()
        count = demo.compare(cells)
        documents = len(demo.pickings())
        screen(demo, result, seconds, count, documents, demo.trace())
        if demo.daemon.end() != 0:
            raise Failed("holdfastd did not end in order; see holdfastd.log")
        return 0
    except Failed as e:
        print(f"\ndemo: FAILED: {e}", file=sys.stderr)
        if not arguments.keep:
            for name in ("holdfastd.log", "load.log", "sandbox.log"):
                path = os.path.join(folder, name)
                if os.path.exists(path):
                    with open(path, encoding="utf-8", errors="replace") as f:
                        print(f"--- {name}", *f.read().splitlines()[-8:], sep="\n",
                              file=sys.stderr)
        return 1
    finally:
        interrupts.ignore()
        for process in demo.running:
            process.end(signal.SIGKILL)


def number(most):
    def read(text):
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not 1 .. {most:,}")
        return int(text)
    return read


def folder_take(path):
    """The folder of --keep, made where it is missing. It has to be empty: an older run's stock
    would be in it."""
    try:
        os.makedirs(path, exist_ok=True)
        if os.listdir(path):
            return f"--keep: {path} is not empty"
    except OSError as e:
        return f"--keep: {path}: {e.strerror}"
    return None if os.access(path, os.W_OK | os.X_OK) else f"--keep: {path} can't be written to"


def main():
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--seconds", type=number(86400), default=10, help="of the sale; default 10")
    parser.add_argument("--skus", type=number(100000), default=500, help="default 500")
    parser.add_argument("--stock", type=number(10**9), default=400,
                        help="of each cell; default 400")
    parser.add_argument("--keep", metavar="FOLDER",
                        help="data and logs go there, and stay; new or empty")
    parser.add_argument("--build", default=os.path.join(os.path.dirname(HERE), "build"),
                        metavar="FOLDER", help="where the programs were built; default ./build")
    arguments = parser.parse_args()
    if arguments.keep:
        wrong = folder_take(arguments.keep)
        if wrong:
            parser.error(wrong)
    interrupts = Interrupts()
    with interrupts:
        folder = os.path.abspath(arguments.keep or tempfile.mkdtemp(prefix="holdfast-demo."))
    try:
        return run(arguments, folder, interrupts)
    finally:
        interrupts.ignore()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
