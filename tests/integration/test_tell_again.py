#!/usr/bin/env python3
"""holdfastctl odoo tell-again: a data folder is lost with sales that Odoo was not told of, and the
shop's file brings them back, once, however often the command is run.

Usage: test_tell_again.py HOLDFASTD HOLDFAST-ODOO-SANDBOX HOLDFASTCTL
"""
import csv
import datetime
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True
from test_operator import World, uuid7, wait, DONE  # noqa: E402
import client_world as world  # noqa: E402

OK, REFUSED, USAGE, NOT_FOUND, FAILED = 0, 1, 2, 3, 9
SKUS, START = ["tea", "oil", "fig", "rye"], 1000


class Shop:
    """A shop with its own book, and what its goods come to."""

    def __init__(self, w, folder):
        self.w, self.rows, self.folder = w, [], folder
        self.stock = {sku: START for sku in SKUS}
        self.ids = {}
        self.key = os.path.join(folder, "key")

    def write_down(self, reference, sku, quantity, channel):
        at = datetime.datetime.now().astimezone().isoformat()
        self.rows.append([at, reference, sku, "main", quantity, channel])

    def order(self, reference, channel="web", **lines):
        c, ident = self.w.c, uuid7()
        request = c.r.OrderRequest(reservation_id=ident, reference=reference, channel=channel,
                                   lines=[c.line(s, q) for s, q in lines.items()])
        assert c.reservations.Order(request, timeout=20).decision.outcome == DONE
        for sku, quantity in lines.items():
            self.write_down(reference, sku, quantity, channel)
            self.stock[sku] -= quantity
        self.ids[reference] = ident

    def take_back(self, reference, sku, quantity, scrap=None):
        """A cancellation, or a return: into stock, or not."""
        r, lines = self.w.c.r, [self.w.c.line(sku, quantity)]
        names = {"reservation_id": self.ids[reference], "operation_id": uuid7(), "lines": lines}
        if scrap is None:
            answer = self.w.c.reservations.Cancel(r.CancelRequest(**names), timeout=20)
        else:
            answer = self.w.c.reservations.ReturnGoods(r.ReturnGoodsRequest(
                **names, disposition=r.DISPOSITION_SCRAP if scrap else
                r.DISPOSITION_RESTOCK), timeout=20)
        assert answer.decision.outcome == DONE, answer
        self.write_down(reference, sku, -quantity, "web")
        if not scrap:
            self.stock[sku] += quantity

    def file(self, name="sales.csv", extra=()):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8", newline="") as f:
            rows = csv.writer(f)
            rows.writerow(["sold_at", "reference", "sku", "location", "quantity", "channel"])
            rows.writerows([*self.rows, *extra])
        return path

    def tell(self, *args, code=OK, engines="holdfast,later", path=None):
        p = subprocess.run(
            [self.w.program, "odoo", "tell-again", path or self.file(), *args, "--address",
             self.w.server.address, "--odoo-url", f"http://127.0.0.1:{self.w.sandbox.port}",
             "--odoo-database", "odoo", "--odoo-key-file", self.key, "--odoo-locations",
             "main=WH", "--odoo-engine", engines], text=True, capture_output=True, timeout=120,
            check=False)
        assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
        return p

    def json(self, *args, **more):
        return json.loads(self.tell("--json", *args, **more).stdout)


def missing(said):
    return {cell["sku"]: cell["missing"] for cell in said["cells"]}


def to_tell(said):
    return [(o["reference"], {line["sku"]: line["quantity"] for line in o["lines"]})
            for o in said["orders"]]


def sells_and_is_cut_off(w, shop):
    """Some of it is posted; then Odoo hears no more."""
    w.ctl.text("channel", "create", "web")
    shop.order("S-1", tea=5, oil=2)
    shop.order("S-2", tea=4, rye=3)
    shop.order("S-3", fig=6)
    w.settle()
    shop.take_back("S-1", "tea", 1, scrap=False)
    shop.take_back("S-2", "tea", 1, scrap=True)
    shop.take_back("S-2", "rye", 1)
    w.settle()
    said = shop.json("--all", engines="holdfast")  # nothing is missing, and all of it is counted
    assert said["orders"] == [] and said["told"] == 0, said
    cells = {c["sku"]: c for c in said["cells"]}
    assert {s: (c["sold"], c["erp"]) for s, c in cells.items()} == {
        "tea": (7, 7), "oil": (2, 2), "rye": (2, 2), "fig": (6, 6)}, cells
    assert "0 orders: 0 told" in shop.tell(engines="holdfast").stdout
    w.fault(kind="http_503", model="stock.picking", count=-1)
    shop.order("S-4", tea=3, oil=1)
    shop.order("S-5", oil=7)
    shop.order("S-6", tea=2, rye=5)
    shop.take_back("S-6", "rye", 2)
    shop.take_back("S-3", "fig", 4)  # of what Odoo knows: nobody will tell it
    paused(w)
    said = shop.tell("--dry-run", code=REFUSED)
    assert "posting is not at rest" in said.stderr, said
    print("ok  at rest or not at all", flush=True)


def paused(w):
    wait(lambda: w.ctl.json("posting")[0]["pause"] != "NONE", "Odoo's absence is not noticed")


def loses_its_folder(w, shop):
    w.server.kill()
    shutil.rmtree(w.data)
    w.mended()
    w.options += ["--odoo-engine", "later"]
    w.start()
    w.settle()
    # A cell that is not here yet is told by its name, before anything is asked of Odoo.
    assert "main" in shop.tell(code=NOT_FOUND).stderr
    w.ctl.text("odoo", "import", "--actor", "ann")
    w.settle()


def looks_first(w, shop):
    before = {s: w.odoo(s) for s in SKUS}
    lines = len(shop.rows) + 1
    bad = shop.file("bad.csv", [["yesterday", "S-7", "tea", "main", 1, ""],
                                ["2026-01-01T00:00:00Z", "S-8", "tea", "attic", 1, ""],
                                ["2026-01-01T00:00:00Z", "S-9", "tea", "main", "1.5", ""]])
    said = shop.tell(path=bad, code=USAGE).stderr
    assert f"bad.csv:{lines + 1}: sold_at" in said and f":{lines + 2}: location" in said, said
    assert "2 errors; nothing was sent" in said, said
    # What is no whole number of the cell's units is told when these are known.
    part = shop.file("part.csv", [["2026-01-01T00:00:00Z", "S-9", "tea", "main", "1.5", ""]])
    assert f"part.csv:{lines + 1}: quantity" in shop.tell(path=part, code=USAGE).stderr
    # The lost folder's documents are there under a name that has to be said.
    said = shop.tell(engines="later", code=USAGE).stderr
    assert "engine holdfast" in said and "--other-engines" in said, said
    said = shop.json("--dry-run", "--other-engines", "holdfast", engines="later", code=REFUSED)
    assert missing(said) == {"tea": 12, "oil": 10, "rye": 5, "fig": 2}, said
    shop.tell("--since", "tomorrow", code=USAGE)
    assert shop.json("--since", "2100-01-01")["cells"] == []
    said = shop.json("--dry-run", code=REFUSED)
    assert missing(said) == {"tea": 5, "oil": 8, "rye": 3, "fig": -4}, said
    # Of S-6 five rye were sold, and two taken back.
    assert sorted(to_tell(said)) == [("S-4", {"tea": 3, "oil": 1}), ("S-5", {"oil": 7}),
                                     ("S-6", {"tea": 2, "rye": 3})], said
    out = shop.tell("--dry-run", code=REFUSED).stdout
    assert "a cancellation of 4 was lost" in out and "3 orders to be told (dry run)" in out, out
    assert not os.path.exists(shop.file() + ".tell-again-state")
    w.settle()
    assert {s: w.odoo(s) for s in SKUS} == before
    print("ok  bad rows, other names and a dry run tell nothing", flush=True)
    return said


def tells_once(w, shop, plan):
    path = shop.file()
    state = path + ".tell-again-state"
    # Without a place for the plan nothing is told.
    shop.tell("--state-file", "/nonexistent/state", code=FAILED)
    assert w.c.cell("oil").on_hand == START - 2

    def interrupted(orders):
        with open(state, "w", encoding="utf-8") as f:
            json.dump({"tell_again": 1, "run_id": plan["run_id"], "orders": orders}, f)
    interrupted(plan["orders"][:1])  # it ended after one
    assert "--resume goes on" in shop.tell(code=USAGE).stderr
    shop.tell("--resume", "--dry-run", code=USAGE)
    assert "1 orders: 1 told, 0 failed" in shop.tell("--resume").stdout
    assert not os.path.exists(state)
    shop.tell("--resume", code=USAGE)
    for _ in range(2):  # the one that was told is a repeat; then all of them are
        interrupted(plan["orders"])
        w.restart()
        assert "3 orders: 3 told" in shop.tell("--resume").stdout
    w.settle()
    traced = w.ctl.json("trace", "S-5")[0]["reservations"]
    assert len(traced) == 1 and traced[0]["channel"] == "web", traced
    # Without the plan, by the comparison alone: only what no record mends is left.
    said = shop.json(code=REFUSED)
    assert missing(said) == {"fig": -4} and said["orders"] == [], said
    shop.stock["fig"] -= 4  # which nobody has told
    assert {s: w.odoo(s) for s in SKUS} == shop.stock, shop.stock
    assert {s: w.c.cell(s).on_hand for s in SKUS} == shop.stock, shop.stock
    print("ok  told once, through interruptions and kill -9", flush=True)


def tells_what_was_lost_again(w, shop):
    """A part of an order was told before; the rest of it is. What is dead is known."""
    w.fault(kind="user_error", product="rye", count=-1)
    shop.order("S-10", rye=2)  # it becomes a dead letter: known here, if not to Odoo
    wait(lambda: w.ctl.json("deadletter", "list"), "no dead letter")
    w.settle()
    shop.write_down("S-6", "oil", 4, "web")  # known here, without its oil
    shop.write_down("S-11", "tea", 1, "kiosk")
    assert "2 orders: 2 told" in shop.tell(code=REFUSED).stdout  # and fig is left
    w.settle()
    said = shop.json("--all", code=REFUSED)
    cells = {c["sku"]: c for c in said["cells"]}
    assert missing(said) == {"tea": 0, "oil": 0, "rye": 0, "fig": -4}, said
    assert (cells["rye"]["here"], cells["rye"]["erp"]) == (2, 5), cells
    assert w.odoo("oil") == shop.stock["oil"] - 4 and w.odoo("tea") == shop.stock["tea"] - 1
    # Paused again, it says why.
    w.mended()
    w.fault(kind="unauthorized", count=-1)
    shop.order("S-12", tea=1)
    wait(lambda: w.ctl.json("posting")[0]["pause"] == "KEY", "the refused key is not noticed")
    assert "KEY" in shop.tell(code=REFUSED).stderr
    w.mended()
    print("ok  parts of orders, dead letters, and a pause", flush=True)


def main():
    with world.scratch() as folder:
        with World(folder, sys.argv[1:4], SKUS, START) as w:
            w.opening(SKUS, START)
            shop = Shop(w, folder)
            sells_and_is_cut_off(w, shop)
            loses_its_folder(w, shop)
            plan = looks_first(w, shop)
            tells_once(w, shop, plan)
            tells_what_was_lost_again(w, shop)


if __name__ == "__main__":
    main()
