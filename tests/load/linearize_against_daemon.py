#!/usr/bin/env python3
"""tests/linearize judges holdfastd under kill -9, and what was done to its history afterwards.

usage: linearize_against_daemon.py LINEARIZE LOAD DAEMON [--kills N] [--rate N] [--seed N]
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time
import unittest

from server import Server

MIX = ("order=3,commit=4,release=8,abandon=3,extend=2,partial=4,cancel=6,return=3,scrap=1,"
       "repeat=2,twice=2,conflict=2,record=1")


def record(args, path):
    """A run with kills; its history."""
    server = Server(args.daemon)
    try:
        load = subprocess.Popen(
            [args.load, "--address", server.address, "--quiet", "--seed", str(args.seed),
             "--make-catalogue", "40x1", "--stock", "60", "--lines", "1-5", "--quantity", "1-3",
             "--mix", MIX, "--ttl", "400ms", "--outstanding", "60", "--give-up", "500ms",
             "--rate", str(args.rate), "--duration", f"{2 * args.kills + 1}s", "--audit",
             "--history", path])
        for n in range(args.kills):
            time.sleep(1)
            server.kill(0.8 if n % 2 == 0 else 0)  # away for longer than the clients wait
        load.wait(timeout=200)
    finally:
        server.stop()
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


class Judged(unittest.TestCase):
    def judge(self, lines, *more):
        path = self.path + ".changed"
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(x) + "\n" for x in lines)
        done = subprocess.run([sys.executable, self.args.linearize, path, *more],
                              capture_output=True, text=True, timeout=200)
        os.unlink(path)
        return done

    def caught(self, change, *words):
        lines = json.loads(json.dumps(self.lines))
        ops = [x for x in lines if "op" in x]
        change(lines, ops)
        done = self.judge(lines)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertTrue(any(word in done.stdout for word in words), done.stdout)

    def fresh(self, ops, verb):
        """Fresh decisions of a verb, on ids that nobody asks for again."""
        times = {}
        for x in ops:
            times[x["id"]] = times.get(x["id"], 0) + 1
        return [x for x in ops if x["op"] == verb and x["outcome"] == "DONE" and not x["repeat"]
                and x["tries"] == 1 and times[x["id"]] == 1]

    def test_what_was_recorded_holds(self):
        done = self.judge(self.lines)
        print(done.stdout, end="")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        ops = [x for x in self.lines if "op" in x]
        self.assertGreater(len(ops), 1000)
        self.assertTrue(any(x["tries"] > 1 for x in ops), "no kill was noticed")
        self.assertTrue(any(x["outcome"] == "REFUSED" for x in ops))

    def test_answers_that_nobody_got(self):
        lines = json.loads(json.dumps(self.lines))
        for x in lines:
            if "op" in x and x["outcome"] == "DONE" and self.random.random() < 0.1:
                x.update({"outcome": "UNKNOWN", "return_ns": None})
                for key in ("state", "repeat", "durable", "version", "lsn", "expires_at_ms"):
                    x.pop(key, None)
        done = self.judge(lines)
        print(done.stdout, end="")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_an_acknowledged_order_that_is_lost(self):
        def cells(x):
            return {line[0] for line in x.get("lines") or ()}

        def change(lines, ops):
            # One whose outcome nobody knows could stand for the lost one. On a slow machine each
            # cell has some: then they are lost, too, with all sure ones of that cell.
            ids = {x["id"] for x in ops if x["outcome"] == "UNKNOWN"}
            unknown = set().union(*(cells(x) for x in ops if x["id"] in ids))
            fresh = self.fresh(ops, "ORDER")
            sure = [x for x in fresh if not cells(x) & unknown]
            if sure:
                lines.remove(self.random.choice(sure))
                return
            cell = cells(self.random.choice(fresh))
            lost = {x["id"] for x in ops if cells(x) & cell and (x["id"] in ids or x in fresh)}
            lines[:] = [x for x in lines if x.get("id") not in lost or "op" not in x]
        self.caught(change, "END", "REFUSED")

    def test_a_place_in_the_journal_given_twice(self):
        def change(_, ops):
            one, other = self.random.sample(self.fresh(ops, "ORDER"), 2)
            one["lsn"] = other["lsn"]
        self.caught(change, "LSN")

    def test_a_unit_that_was_never_there(self):
        def change(lines, ops):
            cell = self.random.choice(self.fresh(ops, "ORDER"))["lines"][0][0]
            for x in lines:
                if x.get("cell", x.get("end_cell")) == cell:
                    x["on_hand"] -= 40
                    x["available"] -= 40
        self.caught(change, "OVERSOLD")

    def test_a_refusal_with_stock_at_hand(self):
        def change(lines, _):
            for x in lines:
                if "cell" in x or "end_cell" in x:
                    x["on_hand"] += 100000
                    x["available"] += 100000
        self.caught(change, "REFUSED")

    def test_an_order_that_sells_another_quantity(self):
        def change(_, ops):
            self.random.choice(self.fresh(ops, "ORDER"))["lines"][0][1] += 1
        self.caught(change, "END", "OVERSOLD")

    def test_a_hold_that_ends_twice(self):
        def change(lines, ops):
            done = [x for x in ops if x["op"] == "COMMIT" and x["outcome"] == "DONE"
                    and not x["repeat"] and not x["lines"]]
            other = dict(self.random.choice(done))
            other.update({"op": "RELEASE", "state": "RELEASED", "lsn": 1 << 40,
                          "version": other["version"] + 1, "client": 1 << 20,
                          "invoke_ns": other["return_ns"] + 1,
                          "return_ns": other["return_ns"] + 2})
            lines.append(other)
        self.caught(change, "RESERVATION")

    def test_a_later_decision_with_an_earlier_place(self):
        def change(_, ops):
            ordered = sorted(self.fresh(ops, "ORDER"), key=lambda x: x["invoke_ns"])
            ordered[0]["lsn"], ordered[-1]["lsn"] = ordered[-1]["lsn"], ordered[0]["lsn"]
        self.caught(change, "ORDER")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("linearize")
    p.add_argument("load")
    p.add_argument("daemon")
    p.add_argument("--kills", type=int, default=3)
    p.add_argument("--rate", type=int, default=700, help="customers a second")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args = p.parse_args()
    print(f"seed {args.seed}", flush=True)
    path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"holdfast-linearize-{os.getpid()}")
    Judged.args, Judged.path, Judged.random = args, path, random.Random(args.seed)
    try:
        Judged.lines = record(args, path)
        unittest.main(argv=sys.argv[:1])
    finally:
        if os.path.exists(path):
            os.unlink(path)


if __name__ == "__main__":
    main()
