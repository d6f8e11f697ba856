#!/usr/bin/env python3
"""What an operator does: status, dead letters, batches with the orders behind them, traces; through
holdfastctl, against holdfastd and the Odoo stand-in, with a kill -9 in between.

Usage: test_operator.py HOLDFASTD HOLDFAST-ODOO-SANDBOX HOLDFASTCTL
"""
import json
import os
import re
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "clients"))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402
from test_loop import Sandbox  # noqa: E402
from test_reservations import Client, uuid7, DONE  # noqa: E402

OK, USAGE, NOT_FOUND, REJECTED = 0, 2, 3, 4


class Ctl:
    def __init__(self, program, address):
        self.program, self.address = program, address

    def text(self, *args, code=OK):
        p = subprocess.run([self.program, *args, "--address", self.address], text=True,
                           capture_output=True, timeout=120, check=False)
        assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
        return p.stdout

    def json(self, *args):
        return [json.loads(line) for line in self.text(*args, "--json").splitlines()]


def wait(what, say):
    for _ in range(600):
        found = what()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(say)


class World:
    """A daemon with an Odoo, one SKU a product."""
    def __init__(self, folder, programs, skus, start=1000, extra=()):
        self.daemon, sandbox, self.program = (os.path.abspath(p) for p in programs)
        world.make_stubs(os.path.join(folder, "stubs"))
        catalogue, key = os.path.join(folder, "catalogue.csv"), os.path.join(folder, "key")
        with open(catalogue, "w", encoding="ascii") as f:
            f.write("default_code,warehouse,quantity\n")
            f.writelines(f"{sku},WH,{start}\n" for sku in skus)
        with open(key, "w", encoding="ascii") as f:
            f.write("secret\n")
        self.sandbox = Sandbox(sandbox, catalogue)
        self.options = ["--odoo-url", f"http://127.0.0.1:{self.sandbox.port}",
                        "--odoo-database", "odoo", "--odoo-key-file", key,
                        "--odoo-locations", "main=WH", "--odoo-window", "100ms",
                        "--odoo-batch-lines", "50", "--odoo-retry-max", "1s",
                        "--odoo-timeout", "3s", *extra]
        self.data = os.path.join(folder, "data")
        self.start()

    def start(self):
        self.server = world.Server(self.daemon, self.data, *self.options)
        self.c = Client(self.server.channel())
        self.ctl = Ctl(self.program, self.server.address)

    def restart(self):
        self.server.kill()
        self.start()

    def opening(self, skus, start=1000):
        c = self.c
        rows = [c.a.ImportStockRow(operation_id=uuid7(), sku=sku, location="main",
                                   on_hand=c.a.OptionalQuantity(value=start)) for sku in skus]
        c.admin.ImportStock(c.a.ImportStockRequest(rows=rows, reason="odoo:opening"))

    def order(self, sku, quantity, reference="", channel=""):
        ident = uuid7()
        request = self.c.r.OrderRequest(reservation_id=ident, reference=reference, channel=channel,
                                        lines=[self.c.line(sku, quantity)])
        assert self.c.reservations.Order(request, timeout=20).decision.outcome == DONE
        return ident

    def fault(self, **fault):
        self.sandbox.ask("/sandbox/faults", {"faults": [fault]})

    def mended(self):
        self.sandbox.ask("/sandbox/faults", {"clear": True})

    def settle(self):
        def done():
            s = self.ctl.json("posting")[0]
            return s["read_lsn"] == s["durable_lsn"] and s["open_batches"] == 0 and \
                s["window_movements"] == 0
        wait(done, "it does not come to rest")

    def odoo(self, sku):
        return int(self.sandbox.stock()[sku])

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        (self.server.kill if kind else self.server.stop)()
        self.sandbox.stop()


def movements(traced):
    return [m for r in traced["records"] for m in r["movements"]]


def posted_and_traced(w):
    w.ctl.text("channel", "create", "web")
    first = w.order("tea", 2, reference="SO-1", channel="web")
    w.order("tea", 3, reference="SO-2")
    w.order("oil", 1, reference="SO-1")
    w.settle()
    traced = w.ctl.json("trace", "SO-1")[0]["reservations"]
    assert [t["reference"] for t in traced] == ["SO-1", "SO-1"], traced
    assert traced[0]["reservation_id"] == first and traced[0]["channel"] == "web", traced
    move = movements(traced[0])[0]
    assert move["where"] == "ACKNOWLEDGED" and move["document"] > 0, move
    assert move["batch"].startswith("HF/") and move["acknowledged_ms"] >= move["time_ms"], move
    # The batch tells the orders behind each line, and each of them only once.
    seen = {}
    for name in {m["batch"] for t in traced for m in movements(t)}:
        batch = w.ctl.json("batch", "show", name, "--orders")[0]
        assert batch["where"] == "ACKNOWLEDGED" and batch["document"] > 0, batch
        for line in batch["lines"]:
            assert sum(o["quantity"] for o in line["orders"]) == line["quantity"], line
            for o in line["orders"]:
                seen.setdefault((line["sku"], o["id"]), []).append(o["reference"])
    assert seen[("tea", first)] == ["SO-1"], seen
    documents = w.sandbox.ask("/sandbox/pickings?after=0")["pickings"]
    assert move["batch"] in [d["name"] for d in documents], documents
    assert "record" in w.ctl.text("trace", first)
    w.ctl.text("trace", "SO-none", code=NOT_FOUND)
    w.ctl.text("batch", "show", "999999", code=NOT_FOUND)
    w.ctl.text("batch", "show", "rubbish", code=REJECTED)
    print("ok  posted, traced, and the orders behind a batch", flush=True)


def retried(w):
    w.fault(kind="user_error", product="rye", count=-1)
    ident = w.order("rye", 4)
    letter = wait(lambda: w.ctl.json("deadletter", "list"), "no dead letter")[0]
    assert (letter["sku"], letter["quantity"], letter["kind"]) == ("rye", 4, "SALE"), letter
    assert movements(w.ctl.json("trace", ident)[0]["reservations"][0])[0]["where"] == "DEAD"
    assert "odoo" in w.ctl.text("deadletter", "show", str(letter["id"]))
    before = w.odoo("rye")
    w.mended()
    w.ctl.text("deadletter", "retry", str(letter["id"]))
    w.restart()  # the wish is durable
    wait(lambda: not w.ctl.json("deadletter", "list"), "it stays dead")
    w.settle()
    assert w.odoo("rye") == before - 4
    move = movements(w.ctl.json("trace", ident)[0]["reservations"][0])[0]
    assert move["where"] == "ACKNOWLEDGED" and move["document"] > 0, move
    w.ctl.text("deadletter", "retry", str(letter["id"]), code=NOT_FOUND)
    print("ok  a dead letter retried, through kill -9", flush=True)


def discarded(w):
    w.fault(kind="user_error", product="fig", count=-1)
    ident = w.order("fig", 5)
    letter = str(wait(lambda: w.ctl.json("deadletter", "list"), "no dead letter")[0]["id"])
    before = w.odoo("fig")
    operation = uuid7()
    args = ("deadletter", "discard", letter, "--operation-id", operation, "--actor", "ann")
    w.ctl.text(*args, code=USAGE)
    w.ctl.text(*args, "--reason", "gone")
    w.restart()
    w.ctl.text(*args, "--reason", "gone")  # asked again, it acts once
    w.mended()
    wait(lambda: w.c.cell("fig").committed == 0, "the counter-entry is not booked")
    cell = w.c.cell("fig")
    assert (cell.on_hand, cell.available) == (995, 995), cell
    assert w.odoo("fig") == before
    shown = w.ctl.json("deadletter", "show", letter)[0]
    assert shown["discard"]["actor"] == "ann" and shown["discard"]["reason"] == "gone", shown
    assert movements(w.ctl.json("trace", ident)[0]["reservations"][0])[0]["where"] == "DISCARDED"
    w.ctl.text("deadletter", "discard", letter, "--actor", "bob", "--reason", "other",
               code=REJECTED)
    w.ctl.text("deadletter", "discard", "77", "--actor", "bob", "--reason", "other",
               code=NOT_FOUND)
    print("ok  a dead letter discarded, through kill -9", flush=True)


def reconciled(w):
    def rows(*args, code=OK):
        out = w.ctl.text("odoo", "reconcile", "--json", *args, code=code)
        return {r["sku"]: r for r in map(json.loads, out.splitlines())}
    w.order("oil", 2)
    w.settle()
    found = rows("--all")
    assert set(found) == {"tea", "oil", "rye", "fig"}, found
    assert found["oil"]["cause"] == "AGREES" and found["oil"]["erp"] == 997, found
    assert found["fig"]["cause"] == "EXPLAINED" and found["fig"]["discarded"] == -5, found
    # Somebody sets a quantity behind everybody's back: no move tells of it.
    w.sandbox.ask("/sandbox/catalogue", {"stock": [
        {"product": "tea", "location": "WH/Stock", "quantity": 900}]})
    drift = 900 - w.c.cell("tea").on_hand
    found = rows(code=1)
    assert found["tea"]["difference"] == drift != 0, found
    args = ("--fix", "--reason", "count of today", "--actor", "ann")
    w.ctl.text("odoo", "reconcile", "--fix", "--dry-run", code=1)
    assert w.c.cell("tea").on_hand != 900
    w.ctl.text("odoo", "reconcile", *args)
    assert w.c.cell("tea").on_hand == 900
    csv = w.ctl.text("odoo", "reconcile", "--all", "--csv").splitlines()
    assert csv[0].startswith("sku,location,odoo,on_hand,") and len(csv) == 5, csv
    w.settle()
    assert w.odoo("tea") == 900  # Odoo was not told
    print("ok  reconciled, and set right", flush=True)


def closed(w):
    today = time.strftime("%Y-%m-%d")
    day = w.ctl.json("odoo", "close", "--date", today)[0]
    totals = {t["channel"]: t for t in day["totals"]}
    # tea 2+3, oil 1+2, rye 4, fig 5 (discarded); the first by channel web
    assert totals["web"]["committed"] == totals["web"]["acknowledged"] == 2, day
    assert totals[""]["committed"] == 15 and totals[""]["discarded"] == 5, day
    assert totals[""]["acknowledged"] == 10 and totals[""]["movements"] == 5, day
    documents = {d["name"]: d for d in w.sandbox.ask("/sandbox/pickings?after=0")["pickings"]}
    assert sum(d["quantity"] for d in day["documents"]) == 12, day
    for d in day["documents"]:
        assert documents[d["batch"]]["id"] == d["document"], (d, documents)
    w.ctl.text("odoo", "close", "--date", "2020-01-01")
    w.ctl.text("odoo", "close", "--date", "tomorrow", code=USAGE)
    print("ok  the day's end", flush=True)


def short(w):
    assert w.ctl.text("short") == "0 cells are short\n"
    w.fault(kind="user_error", product="tea", count=-1)
    first = w.order("tea", 600, reference="big")
    second = w.order("tea", 250)
    w.c.admin.AdjustStock(w.c.a.AdjustStockRequest(
        operation_id=uuid7(), sku="tea", location="main", difference=-100, reason="odoo:lost"))
    wait(lambda: w.ctl.json("deadletter", "list"), "no dead letter")
    out = w.ctl.text("short", "--json", code=1)
    cell = json.loads(out)
    assert cell["sku"] == "tea" and cell["available"] == -50, cell
    assert [o["reservation_id"] for o in cell["orders"]] == [first, second], cell
    assert cell["orders"][0]["reference"] == "big" and cell["orders"][0]["quantity"] == 600, cell
    w.mended()
    for letter in w.ctl.json("deadletter", "list"):
        w.ctl.text("deadletter", "retry", str(letter["id"]))
    wait(lambda: w.c.cell("tea").committed == 0, "it is not posted")
    cell = json.loads(w.ctl.text("short", "--json", code=1))
    assert cell["orders"] == [], cell
    print("ok  short cells and who waits for them", flush=True)


def imported(w):
    """Cells and stock come from Odoo while somebody sells, and again without harm."""
    dry = w.ctl.text("odoo", "import", "--dry-run", "--actor", "ann", code=OK)
    assert "4 cells were missing, 0 made" in dry, dry
    w.sandbox.ask("/sandbox/catalogue", {"products": [
        {"default_code": "lot", "tracking": "lot"}], "stock": [
            {"product": "lot", "location": "WH/Stock", "quantity": 3}]})
    told = w.ctl.text("odoo", "import", "--actor", "ann")
    assert "5 cells were missing, 4 made" in told and " 1 tracked" in told, told
    assert w.c.cell("tea").on_hand == 1000
    # Odoo has 2.6: two are for sale, and the rest is told.
    w.sandbox.ask("/sandbox/catalogue", {"products": [{"default_code": "wire"}], "stock": [
        {"product": "wire", "location": "WH/Stock", "quantity": 2.6}]})
    told = w.ctl.text("odoo", "import", "--actor", "ann")
    assert w.c.cell("wire").on_hand == 2 and "1 are no whole number" in told, told
    told = w.ctl.text("odoo", "reconcile")
    assert re.search(r"wire +main +2\.6 +2 .* FRACTION", told) and "1 are no whole" in told, told
    wire = [r for r in w.ctl.json("odoo", "reconcile") if r["sku"] == "wire"][0]
    assert (wire["erp"], wire["erp_exact"], wire["difference"]) == (2, "2.6", 0), wire
    sold, stop = [], threading.Event()

    def sell():
        while not stop.is_set():
            w.order("tea", 1)
            sold.append(1)
            time.sleep(0.01)
    seller = threading.Thread(target=sell)
    seller.start()
    for _ in range(3):
        w.ctl.text("odoo", "import", "--actor", "ann")
    stop.set()
    seller.join()
    w.settle()
    wait(lambda: w.c.cell("tea").committed == 0, "it is not posted")
    assert w.c.cell("tea").on_hand == w.odoo("tea") == 1000 - len(sold) < 1000, len(sold)
    w.ctl.text("odoo", "reconcile")
    print(f"ok  imported, and again with {len(sold)} sales going on", flush=True)


def main():
    with world.scratch() as folder:
        skus = ["tea", "oil", "rye", "fig"]
        with World(folder, sys.argv[1:4], skus) as w:
            w.opening(skus)
            posted_and_traced(w)
            retried(w)
            discarded(w)
            reconciled(w)
            closed(w)
            short(w)
    with world.scratch() as folder, World(folder, sys.argv[1:4], skus) as w:
        imported(w)
    print("all passed")


if __name__ == "__main__":
    main()
