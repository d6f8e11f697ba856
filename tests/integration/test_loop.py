#!/usr/bin/env python3
"""The whole way: a client's orders through holdfastd and its flusher into the Odoo stand-in, with
kill -9 and a stand-in that fails in between. At the end the stand-in's stock is the engine's to the
unit, and nothing was posted twice.

Usage: test_loop.py HOLDFASTD HOLDFAST-ODOO-SANDBOX
"""
import json
import os
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "clients"))
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402
from test_reservations import Client, uuid7, DONE  # noqa: E402

SKUS, START = 12, 1000


class Sandbox:
    def __init__(self, program, catalogue):
        self.process = subprocess.Popen(
            [program, "--port", "0", "--key", "secret", "--seed-catalogue", catalogue,
             "--fixed-ms", "5"], stdout=subprocess.PIPE, text=True)
        words = self.process.stdout.readline().replace(":", " ").split()
        self.port = next(int(w) for w in reversed(words) if w.isdigit())

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=20) as r:
            return json.load(r)

    def stock(self):
        rows = self.ask("/sandbox/stock")
        rows = rows["stock"] if isinstance(rows, dict) else rows
        return {r["product"]: r["quantity"] for r in rows if r["location"].endswith("/Stock")}

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()


def sell(c, book, rounds):
    for i in range(rounds):
        sku = f"sku-{i % SKUS}"
        ident = uuid7()
        request = c.r.OrderRequest(reservation_id=ident, lines=[c.line(sku, 1 + i % 3)])
        decision = c.reservations.Order(request, timeout=20).decision
        if decision.outcome == DONE:
            book[sku] -= 1 + i % 3
        if i % 5 == 0:
            c.reservations.Cancel(c.r.CancelRequest(
                reservation_id=ident, operation_id=uuid7(), lines=[c.line(sku, 1)]), timeout=20)
            book[sku] += 1


def settled(sandbox, c, book):
    """Waits until the stand-in has everything, and the engine knows."""
    for _ in range(400):
        cells = {sku: c.cell(sku) for sku in book}
        if all(x.committed == 0 for x in cells.values()):
            break
        time.sleep(0.05)
    assert {s: x.on_hand for s, x in cells.items()} == book, (cells, book)
    found = {s: int(q) for s, q in sandbox.stock().items()}
    assert found == book, (found, book)


def main():
    daemon, sandbox_program = (os.path.abspath(p) for p in sys.argv[1:3])
    with world.scratch() as folder:
        world.make_stubs(os.path.join(folder, "stubs"))
        catalogue, key = os.path.join(folder, "catalogue.csv"), os.path.join(folder, "key")
        with open(catalogue, "w", encoding="ascii") as f:
            f.write("default_code,warehouse,quantity\n")
            f.writelines(f"sku-{i},WH,{START}\n" for i in range(SKUS))
        with open(key, "w", encoding="ascii") as f:
            f.write("secret\n")
        sandbox = Sandbox(sandbox_program, catalogue)
        options = ["--odoo-url", f"http://127.0.0.1:{sandbox.port}", "--odoo-database", "odoo",
                   "--odoo-key-file", key, "--odoo-locations", "main=WH", "--odoo-window", "100ms",
                   "--odoo-batch-lines", "5", "--odoo-retry-max", "1s", "--odoo-timeout", "3s"]
        data = os.path.join(folder, "data")
        book = {f"sku-{i}": START for i in range(SKUS)}
        server = world.Server(daemon, data, *options)
        c = Client(server.channel())
        rows = [c.a.ImportStockRow(operation_id=uuid7(), sku=sku, location="main",
                                   on_hand=c.a.OptionalQuantity(value=START)) for sku in book]
        c.admin.ImportStock(c.a.ImportStockRequest(rows=rows, reason="odoo:opening"))
        sell(c, book, 60)
        settled(sandbox, c, book)
        print("ok  posted in peace", flush=True)
        for kind in ("commit_close", "close", "commit_504", "http_503", "serialization"):
            sandbox.ask("/sandbox/faults", {"faults": [
                {"kind": kind, "model": "stock.picking", "count": 2}]})
            sell(c, book, 30)
            server.kill()
            server = world.Server(daemon, data, *options)
            c = Client(server.channel())
            sell(c, book, 30)
            sandbox.ask("/sandbox/faults", {"clear": True})
            settled(sandbox, c, book)
            print(f"ok  {kind}, and kill -9", flush=True)
        names = [p["name"] for p in sandbox.ask("/sandbox/pickings?after=0")["pickings"]]
        assert len(names) == len(set(names)) and names, names
        server.stop()
        sandbox.stop()
    print("all passed")


if __name__ == "__main__":
    main()
