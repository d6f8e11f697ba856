#!/usr/bin/env python3
"""holdfastctl against a server that fails on demand: what it sends, prints and exits with.

Usage: ctl_against_fake.py HOLDFASTCTL [unittest's arguments]
"""
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
import stubs  # noqa: E402

stubs.load()
import grpc  # noqa: E402
from fake_server import GENERATION, Fake  # noqa: E402

CTL = os.path.abspath(sys.argv[1])
DONE, REFUSED, USAGE, NOT_FOUND, REJECTED, PARTLY, FORBIDDEN, UNREACHED, BUSY, FAILED = range(10)
HELD_ID = "0193a000-0000-7000-8000-000000000001"


def environment(**more):
    """Nothing of the caller's settings, a known time zone and locale."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith("HOLDFAST_") and not k.lower().endswith("_proxy")}
    return {**kept, "TZ": "UTC-3", "LC_ALL": "C.UTF-8", **more}


class Case(unittest.TestCase):
    def setUp(self):
        self.fake = Fake()
        self.addCleanup(self.fake.stop)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.env = {}

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            with open(path, "wb") as f:
                f.write(text.encode() if isinstance(text, str) else text)
        return path

    def address(self):
        return f"127.0.0.1:{self.fake.port}"

    def start(self, *args, **options):
        return subprocess.Popen(
            [CTL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(**{"HOLDFAST_ADDRESS": self.address(), **self.env}), **options)

    def run_ctl(self, *args, code=DONE, stdin=""):
        p = self.start(*args, stdin=subprocess.PIPE)
        out, err = p.communicate(stdin, timeout=60)
        self.assertEqual(p.returncode, code, f"{args}\n{out}\n{err}")
        return out, err


class Stock(Case):
    def test_show_and_list(self):
        self.fake.cell("TEA", "WH1", 3, on_hand=2500, safety_stock=100)
        self.fake.cell("TEA", "WH2", 3, on_hand=1000, held=1500)
        self.fake.cell("POT", "WH1", 0, on_hand=7)
        out, _ = self.run_ctl("stock", "show", "TEA", "WH1")
        self.assertEqual([line.split() for line in out.splitlines()], [
            "SKU LOCATION AVAILABLE ON HAND HELD COMMITTED EXTERNAL SAFETY BACKORDER NOTE".split(),
            "TEA WH1 2.400 2.500 0.000 0.000 0.000 0.100 0.000 -".split()])
        out, _ = self.run_ctl("stock", "show", "TEA", "--raw")
        self.assertRegex(out, r"(?m)^TEA +WH2 +-500 +1000 +1500 .*short$")
        self.assertRegex(out, r"(?m)^TEA +- +1900 +3500 .*total$")
        out, _ = self.run_ctl("stock", "list")
        self.assertEqual(len(out.splitlines()), 4)  # one line of titles over two pages
        out, _ = self.run_ctl("stock", "list", "--short")
        self.assertEqual(len(out.splitlines()), 2)
        out, _ = self.run_ctl("stock", "list", "--location", "WH1", "--json")
        rows = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(r["sku"], r["available"]) for r in rows], [("TEA", 2400), ("POT", 7)])
        self.assertEqual(rows[0]["generation"], str(GENERATION))
        out, _ = self.run_ctl("stock", "list", "--limit", "1")
        self.assertEqual(len(out.splitlines()), 2)
        self.run_ctl("stock", "show", "NONE", "WH1", code=NOT_FOUND)
        self.run_ctl("stock", "show", "NONE", code=NOT_FOUND)

    def test_cells_that_an_answer_has_no_room_for_are_counted(self):
        for i in range(4):
            self.fake.cell("TEA", f"WH{i}", on_hand=10)
        out, _ = self.run_ctl("stock", "show", "TEA")
        self.assertNotIn("more cells", out)
        self.fake.cells_in_an_answer = 1
        out, _ = self.run_ctl("stock", "show", "TEA")
        self.assertRegex(out, r"(?m)^TEA +- +40 .*total$")
        self.assertRegex(out, r"(?m)^3 more cells are in the total")
        out, _ = self.run_ctl("stock", "show", "TEA", "--json")
        told = json.loads(out)
        self.assertEqual((len(told["cells"]), told["cells_left_out"]), (1, 3))

    def test_columns_are_aligned(self):
        self.fake.cell("A", "WH1", on_hand=1)
        self.fake.cell("日本茶", "WH1", on_hand=123456)
        out, _ = self.run_ctl("stock", "list")
        ends = [line.index("WH1") + sum(2 if ord(ch) > 0x2e80 else 1
                                        for ch in line[:line.index("WH1")])
                - line.index("WH1") for line in out.splitlines()[1:]]
        self.assertEqual(ends[0], ends[1])

    def test_terminal_controls_are_not_passed_on(self):
        self.fake.cell("A", "WH1", on_hand=5)
        self.run_ctl("reserve", "A@WH1=1", "--reference", "x\x1b[2Jy\u009b1m", "--id", HELD_ID)
        out, _ = self.run_ctl("get", HELD_ID)
        self.assertIn("x?[2Jy?1m", out)
        out, _ = self.run_ctl("get", HELD_ID, "--json")
        self.assertEqual(json.loads(out)["reference"], "x\x1b[2Jy\u009b1m")

    def test_set_adjust_create(self):
        self.fake.cell("TEA", "WH1", 3, on_hand=2500)
        out, err = self.run_ctl("stock", "set", "TEA", "WH1", "on-hand", "3.25",
                                "--reason", "count")
        self.assertEqual(out, "is now 3.250\n")
        self.assertRegex(err, r"^operation_id [0-9a-f-]{36}\n$")
        asked = self.fake.asked["SetStock"][-1]
        self.assertEqual((asked.value, asked.reason, asked.compare), (3250, "count", False))
        self.assertEqual(asked.operation_id, err.split()[1])
        out, _ = self.run_ctl("stock", "set", "TEA", "WH1", "on-hand", "4", "--expect", "3",
                              code=REFUSED)
        self.assertIn("the present value is 3.250", out)
        out, _ = self.run_ctl("stock", "adjust", "TEA", "WH1", "-0.25", "--json",
                              "--operation-id", HELD_ID)
        told = json.loads(out)
        self.assertEqual((told["value"], told["operation_id"]), (3000, HELD_ID))
        out, _ = self.run_ctl("stock", "adjust", "TEA", "WH1", "-0.25", "--operation-id", HELD_ID)
        self.assertIn("done earlier", out)
        self.run_ctl("stock", "set", "TEA", "WH1", "active", "0")
        self.assertFalse(self.fake.cells[("TEA", "WH1")].active)
        self.run_ctl("stock", "set", "TEA", "WH1", "active", "true")
        self.assertTrue(self.fake.cells[("TEA", "WH1")].active)
        self.run_ctl("stock", "create", "TEA", "WH1")  # is found, whatever its unit
        self.assertEqual(self.fake.asked["CreateStock"][-1].unit_scale, 3)
        out, _ = self.run_ctl("stock", "create", "POT", "WH1", "--unit-scale", "2")
        self.assertIn(str(GENERATION), out)
        out, _ = self.run_ctl("channel", "create", "web")
        self.assertEqual(out, "channel number 3\n")
        for wrong in [["on-hand", "1.0001"], ["colour", "1"], ["on-hand", "x"], ["on-hand", ""]]:
            self.run_ctl("stock", "set", "TEA", "WH1", *wrong, code=USAGE)
        self.assertEqual(len(self.fake.asked["SetStock"]), 4)


class Reservations(Case):
    def setUp(self):
        super().setUp()
        self.fake.cell("TEA", "WH1", 3, on_hand=2500)
        self.fake.cell("A@B=C", "WH1", 0, on_hand=4)

    def test_reserve_prints_the_id_before_it_sends(self):
        self.fake.fail("Reserve", delay=1.5)
        p = self.start("reserve", "TEA@WH1=1.5", "--ttl", "2m", "--channel", "web",
                       "--reference", "S-1")
        told = p.stderr.readline()
        self.assertIsNone(p.poll())
        out, _ = p.communicate(timeout=30)
        self.assertEqual(p.returncode, DONE)
        asked = self.fake.asked["Reserve"][0]
        self.assertEqual(told, f"reservation_id {asked.reservation_id}\n")
        self.assertEqual(uuid.UUID(asked.reservation_id).version, 7)
        self.assertLess(abs(int(asked.reservation_id.replace("-", "")[:12], 16) / 1000
                            - time.time()), 60)
        self.assertEqual((asked.ttl_ms, asked.channel, asked.reference), (120000, "web", "S-1"))
        self.assertEqual(asked.lines[0].quantity, 1500)
        self.assertRegex(out, r"(?m)^done$")
        self.assertRegex(out, r"(?m)^state +held until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(2m\)")
        self.assertRegex(out, r"(?m)^TEA +WH1 +1\.500 +1\.500 +- +1\.000")

    def test_refusal_differs_from_failure(self):
        out, _ = self.run_ctl("order", "TEA@WH1=9", "A@B=C@WH1=1", code=REFUSED)
        self.assertIn("not enough is available", out)
        self.assertRegex(out, r"(?m)^TEA +WH1 +9\.000 +0\.000 +6\.500 +2\.500 +2027-01-15 11:00:00")
        self.assertRegex(out, r"(?m)^A@B=C +WH1 +1 +0 +- +4 +-")
        out, _ = self.run_ctl("order", "TEA@WH1=9", "--json", "--raw")
        self.assertEqual(json.loads(out)["lines"][0]["taken"], 9)
        self.run_ctl("order", "NONE@WH1=1", code=NOT_FOUND)
        self.run_ctl("order", "NONE@WH1", code=USAGE)
        self.run_ctl("order", "TEA=1", code=USAGE)
        self.run_ctl("order", "TEA@WH1=0", code=USAGE)
        self.run_ctl("order", "TEA@WH1=1", "--id", "no-uuid", code=USAGE)

    def test_life(self):
        self.run_ctl("reserve", "TEA@WH1=0.5", "--id", HELD_ID, "--channel", "web")
        out, _ = self.run_ctl("reserve", "TEA@WH1=0.5", "--id", HELD_ID)
        self.assertIn("decided earlier", out)
        self.run_ctl("extend", HELD_ID, "--ttl", "1h")
        self.assertEqual(self.fake.asked["Extend"][0].ttl_ms, 3600000)
        self.assertEqual(len(self.fake.asked["Extend"][0].operation_id), 36)
        self.run_ctl("extend", HELD_ID, code=USAGE)
        self.run_ctl("release", HELD_ID, "--operation-id", HELD_ID, code=USAGE)
        out, _ = self.run_ctl("commit", HELD_ID.upper(), "TEA@WH1=0.5", "--retake", "--json")
        told = json.loads(out)
        self.assertEqual(told["reservation_id"], HELD_ID)
        self.assertEqual((told["outcome"], told["state"]),
                         ("OUTCOME_DONE", "RESERVATION_STATE_COMMITTED"))
        self.assertEqual(self.fake.asked["Commit"][0].on_expired, 2)
        out, _ = self.run_ctl("release", HELD_ID, code=REFUSED)
        self.assertIn("state does not allow", out)
        self.assertEqual(self.fake.asked["Release"][0].operation_id, "")
        self.run_ctl("release", HELD_ID, "--reason", "buyer left", code=REFUSED)
        self.assertEqual([r.reason for r in self.fake.asked["Release"]], ["", "buyer left"])
        self.run_ctl("cancel", HELD_ID, "TEA@WH1=0.1")
        self.run_ctl("return", HELD_ID, "TEA@WH1=0.1", "--scrap", "--operation-id", HELD_ID)
        asked = self.fake.asked["ReturnGoods"][0]
        self.assertEqual((asked.disposition, asked.operation_id, asked.lines[0].quantity),
                         (2, HELD_ID, 100))
        self.run_ctl("cancel", HELD_ID, code=USAGE)
        self.run_ctl("commit", "0193a000-0000-7000-8000-0000000000ff", code=NOT_FOUND)
        self.run_ctl("record", "TEA@WH1=0.1", "--reference", "till-9")
        out, _ = self.run_ctl("get", HELD_ID)
        self.assertRegex(out, r"(?m)^state +committed, version 5$")
        self.assertRegex(out, r"(?m)^channel +web$")
        self.assertRegex(out, r"(?m)^TEA +WH1 +0\.500$")

    def test_who_holds_the_last_ones(self):
        for k, quantity in enumerate(["1", "0.5", "0.25"]):
            self.run_ctl("reserve", f"TEA@WH1={quantity}", "--reference", f"S-{k}",
                         "--channel", "web" if k else "app")
        self.run_ctl("order", "TEA@WH1=0.75")
        out, _ = self.run_ctl("holds", "TEA")
        lines = out.splitlines()
        self.assertEqual(lines[0].split(), "LOCATION QUANTITY UNTIL IN CHANNEL REFERENCE "
                         "RESERVATION".split())
        self.assertRegex(lines[2], r"^WH1 +0\.500 +\d{4}-.* 10m +web +S-1 +[0-9a-f-]{36}$")
        self.assertEqual(lines[4], "TEA@WH1: 3 holds of 1.750 in all; on hand 2.500, "
                         "available 0.000")
        out, _ = self.run_ctl("holds", "TEA", "WH1", "--channel", "app", "--json")
        self.assertEqual([json.loads(x)["reference"] for x in out.splitlines()], ["S-0"])
        self.run_ctl("holds", "TEA", "WH9", code=NOT_FOUND)

    def test_list(self):
        self.run_ctl("reserve", "TEA@WH1=1", "A@B=C@WH1=2", "--reference", "S-1")
        self.run_ctl("order", "A@B=C@WH1=1", "--channel", "web")
        out, _ = self.run_ctl("list")
        self.assertRegex(out, r"(?m) hold +held +- +S-1 +2 lines ")
        self.assertRegex(out, r"(?m) order +committed +web +- +1 line ")
        out, _ = self.run_ctl("list", "--state", "committed", "--json")
        self.assertEqual(len(out.splitlines()), 1)
        out, _ = self.run_ctl("list", "--sku", "A@B=C", "--limit", "1")
        self.assertRegex(out, r"(?m) held +- +S-1 +2 ")
        self.run_ctl("list", "--location", "WH1", code=USAGE)
        self.run_ctl("list", "--state", "lost", code=USAGE)


class Failures(Case):
    def setUp(self):
        super().setUp()
        self.fake.cell("TEA", "WH1", 0, on_hand=5)

    def test_details_of_a_failure(self):
        self.fake.fail("GetStock", grpc.StatusCode.INVALID_ARGUMENT, "must not be empty",
                       reason="BAD_FIELD", field="stock.sku")
        _, err = self.run_ctl("stock", "show", "TEA", "WH1", code=REJECTED)
        self.assertEqual(err, "holdfastctl: INVALID_ARGUMENT BAD_FIELD: must not be empty\n"
                              "  field: stock.sku\n")
        self.fake.fail("GetStock", grpc.StatusCode.INVALID_ARGUMENT, "must not be empty",
                       reason="BAD_FIELD", field="stock.sku")
        _, err = self.run_ctl("stock", "show", "TEA", "WH1", "--json", code=REJECTED)
        self.assertEqual(json.loads(err)["error"], {
            "code": "INVALID_ARGUMENT", "reason": "BAD_FIELD", "field": "stock.sku",
            "message": "must not be empty", "retry_after_ms": 0, "tries": 1, "exit": REJECTED})

    def test_exit_codes(self):
        code = grpc.StatusCode
        for status, exit_code in [
                (code.NOT_FOUND, NOT_FOUND), (code.ALREADY_EXISTS, REJECTED),
                (code.FAILED_PRECONDITION, REJECTED), (code.PERMISSION_DENIED, FORBIDDEN),
                (code.UNAUTHENTICATED, FORBIDDEN), (code.UNAVAILABLE, UNREACHED),
                (code.DEADLINE_EXCEEDED, UNREACHED), (code.RESOURCE_EXHAUSTED, BUSY),
                (code.ABORTED, BUSY), (code.INTERNAL, FAILED), (code.UNIMPLEMENTED, FAILED)]:
            self.fake.fail("GetStock", status)
            self.run_ctl("stock", "show", "TEA", "WH1", "--tries", "1", code=exit_code)

    def test_tries_again_with_the_same_id_and_as_long_as_asked(self):
        self.fake.fail("Reserve", grpc.StatusCode.RESOURCE_EXHAUSTED, retry_ms=400)
        self.fake.fail("Reserve", grpc.StatusCode.ABORTED)
        self.fake.fail("Reserve", grpc.StatusCode.UNAVAILABLE)
        begin = time.monotonic()
        self.run_ctl("reserve", "TEA@WH1=1")
        self.assertGreaterEqual(time.monotonic() - begin, 0.4)
        ids = [r.reservation_id for r in self.fake.asked["Reserve"]]
        self.assertEqual(len(ids), 4)
        self.assertEqual(len(set(ids)), 1)

    def test_tries_are_bounded(self):
        for _ in range(20):
            self.fake.fail("Reserve", grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_ms=1)
        _, err = self.run_ctl("reserve", "TEA@WH1=1", "--tries", "3", code=BUSY)
        self.assertEqual(len(self.fake.asked["Reserve"]), 3)
        self.assertIn(f"the id {self.fake.asked['Reserve'][0].reservation_id} asks again", err)
        # Not longer than the call may take, either.
        self.fake.planned["Reserve"].clear()
        self.fake.fail("Reserve", grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_ms=60000)
        begin = time.monotonic()
        _, err = self.run_ctl("reserve", "TEA@WH1=1", "--timeout", "5s", code=BUSY)
        self.assertLess(time.monotonic() - begin, 4)
        self.assertIn("the server asks to wait 60000 ms", err)

    def test_does_not_try_again_what_cannot_help(self):
        self.fake.fail("Reserve", grpc.StatusCode.FAILED_PRECONDITION)
        self.run_ctl("reserve", "TEA@WH1=1", code=REJECTED)
        self.assertEqual(len(self.fake.asked["Reserve"]), 1)

    def test_slow_server(self):
        self.fake.fail("Reserve", delay=3)
        begin = time.monotonic()
        _, err = self.run_ctl("reserve", "TEA@WH1=1", "--timeout", "500ms", code=UNREACHED)
        self.assertLess(time.monotonic() - begin, 2.5)
        self.assertIn("DEADLINE_EXCEEDED", err)
        self.assertIn("asks again, and acts once", err)

    def test_nobody_listens(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            free = f"127.0.0.1:{s.getsockname()[1]}"
        begin = time.monotonic()
        _, err = self.run_ctl("health", "--address", free, "--tries", "2", code=UNREACHED)
        self.assertLess(time.monotonic() - begin, 8)
        self.assertIn(free, err)

    def test_server_that_comes_back(self):
        port = self.fake.port
        self.fake.stop()
        later = threading.Timer(1.0, lambda: setattr(
            self, "fake", Fake(address=f"127.0.0.1:{port}")))
        later.start()
        out, _ = self.run_ctl("health", "--tries", "20")
        later.join()
        self.addCleanup(self.fake.stop)
        self.assertIn("serving", out)

    def test_health(self):
        out, _ = self.run_ctl("health", "--json")
        self.assertEqual(json.loads(out), {"status": "SERVING"})
        self.fake.health = 2
        out, _ = self.run_ctl("health", code=UNREACHED)
        self.assertTrue(out.startswith("not serving at "))

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run([CTL, "health"], stdout=full, stderr=subprocess.DEVNULL,
                                  env=environment(HOLDFAST_ADDRESS=self.address()), check=False)
        self.assertEqual(done.returncode, FAILED)


class Erp(Case):
    def test_a_comparison_that_failed_tells_what_holds_it_up(self):
        self.fake.pause = "CONFIG", "a warehouse is not there"
        _, err = self.run_ctl("odoo", "reconcile", code=FAILED)
        self.assertIn("CONFIG: a warehouse is not there", err)
        self.assertIn("`odoo check`", err)
        self.fake.pause = "ODOO_AWAY", "Odoo does not answer"
        _, err = self.run_ctl("odoo", "reconcile", code=UNREACHED)
        self.assertIn("did not answer", err)

    def test_a_fix_names_what_is_missing_and_a_dry_run_asks_for_nothing(self):
        self.env["USER"] = self.env["LOGNAME"] = "ann"
        _, err = self.run_ctl("odoo", "reconcile", "--fix", code=USAGE)
        self.assertIn("needs --reason\n", err)
        self.env["USER"] = self.env["LOGNAME"] = ""
        _, err = self.run_ctl("odoo", "reconcile", "--fix", "--reason", "x", code=USAGE)
        self.assertIn("needs --actor\n", err)
        _, err = self.run_ctl("odoo", "reconcile", "--fix", code=USAGE)
        self.assertIn("needs --reason and --actor\n", err)
        self.assertEqual(self.fake.asked["StartReconciliation"], [])
        self.run_ctl("odoo", "reconcile", "--fix", "--dry-run", code=UNREACHED)
        self.assertTrue(self.fake.asked["StartReconciliation"][0])

    def test_a_trace_without_an_erp_leaves_the_place_out(self):
        out, _ = self.run_ctl("trace", HELD_ID)
        self.assertIn("TEA@WH1 SALE 1\n", out)

    def test_a_reference_that_no_live_hold_has_hints_at_the_trace(self):
        out, err = self.run_ctl("list", "--reference", "S-9")
        self.assertIn("holdfastctl trace", err)


class Keys(Case):
    def sent(self):
        return self.fake.metadata["Check"][-1].get("authorization")

    def test_where_the_key_comes_from(self):
        self.run_ctl("health")
        self.assertIsNone(self.sent())
        self.run_ctl("health", "--key-file", self.path("key", "hf_from_the_file\nnot this\n"))
        self.assertEqual(self.sent(), "Bearer hf_from_the_file")
        self.env["HOLDFAST_KEY"] = "hf_from_the_environment"
        self.run_ctl("health")
        self.assertEqual(self.sent(), "Bearer hf_from_the_environment")
        self.run_ctl("health", "--key-file", self.path("key"))
        self.assertEqual(self.sent(), "Bearer hf_from_the_file")
        self.env = {"HOLDFAST_CLIENT_KEY_FILE": self.path("key")}
        self.run_ctl("health")
        self.assertEqual(self.sent(), "Bearer hf_from_the_file")

    def test_a_key_is_never_an_argument_nor_told(self):
        self.run_ctl("health", "--key", "hf_secret_secret", code=USAGE)
        self.env["HOLDFAST_KEY"] = "hf_secret secret"
        _, err = self.run_ctl("health", code=USAGE)
        self.assertNotIn("secret", err)
        self.env["HOLDFAST_KEY"] = "hf_15_bytes_key"  # none to any server
        _, err = self.run_ctl("health", code=USAGE)
        self.assertIn("16 to 128", err)
        self.run_ctl("health", "--key-file", self.path("none"), code=USAGE)
        self.run_ctl("health", "--key-file", self.path("empty", ""), code=USAGE)

    def test_make(self):
        out, _ = self.run_ctl("key", "make", "shop-eu", "--roles", "storefront,reader")
        key, line = (x.split(maxsplit=1)[1] for x in out.splitlines())
        self.assertRegex(key, r"^hf_[A-Za-z0-9_-]{43}$")
        self.assertEqual(line, "shop-eu storefront,reader "
                         + hashlib.sha256(key.encode()).hexdigest())
        out, _ = self.run_ctl("key", "make", "shop-eu", "--roles", "operator", "--json")
        self.assertNotEqual(json.loads(out)["key"], key)
        out, _ = self.run_ctl("key", "make", "till", "--roles", "storefront", "--channels",
                              "till,web", "--locations", "WH1")
        self.assertTrue(out.rstrip().endswith(" channels=till,web locations=WH1"), out)
        for wrong in [["a b", "--roles", "reader"], ["shop", "--roles", "king"], ["shop"],
                      ["a", "--roles", "reader", "--channels", ""],
                      ["a", "--roles", "reader", "--channels", "a,,b"],
                      ["a", "--roles", "reader", "--locations", "a b"],
                      ["a", "--roles", "reader", "--channels", "x" * 33]]:
            self.run_ctl("key", "make", *wrong, code=USAGE)

    def test_nothing_leaves_this_machine_in_clear(self):
        _, err = self.run_ctl("health", "--address", "192.0.2.1:7420", code=USAGE)
        self.assertIn("--insecure", err)
        self.run_ctl("health", "--address", "192.0.2.1:7420", "--insecure", "--timeout", "300ms",
                     code=UNREACHED)


class Tls(Case):
    @classmethod
    def setUpClass(cls):
        cls.made = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.made.cleanup)
        for ca in ["ca", "other"]:
            cls.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
        for name in ["server", "client"]:
            cls.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                        "-keyout", f"{name}.key", "-out", f"{name}.csr")
            with open(os.path.join(cls.made.name, "names"), "w", encoding="ascii") as f:
                f.write(f"subjectAltName=DNS:{name}.example")
            cls.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                        "-CAcreateserial", "-days", "2", "-extfile", "names",
                        "-out", f"{name}.pem")

    @classmethod
    def openssl(cls, *args):
        subprocess.run(["openssl", *args], cwd=cls.made.name, check=True, capture_output=True)

    @classmethod
    def made_path(cls, name):
        return os.path.join(cls.made.name, name)

    def read(self, name):
        with open(self.made_path(name), "rb") as f:
            return f.read()

    def secure(self, mutual=False):
        self.fake = Fake(grpc.ssl_server_credentials(
            [(self.read("server.key"), self.read("server.pem"))],
            self.read("ca.pem") if mutual else None, mutual))
        self.addCleanup(self.fake.stop)

    def test_tls(self):
        self.secure()
        name = ["--server-name", "server.example"]
        self.run_ctl("health", "--ca", self.made_path("ca.pem"), *name)
        quick = ["--tries", "1", "--timeout", "3s"]
        for wrong in [["--ca", self.made_path("other.pem"), *name],  # not whom I trust
                      ["--ca", self.made_path("ca.pem")],            # not the name
                      ["--tls", *name], []]:                         # in clear to a TLS port
            _, err = self.run_ctl("health", *wrong, *quick, code=UNREACHED)
        self.assertIn("does it want TLS?", err)
        self.run_ctl("health", "--ca", self.made_path("names"), *quick, code=USAGE)

    def test_clear_server(self):
        self.run_ctl("health", "--ca", self.made_path("ca.pem"), "--tries", "1", "--timeout", "3s",
                     code=UNREACHED)

    def test_mutual_tls(self):
        self.secure(mutual=True)
        self.env = {"HOLDFAST_CA": self.made_path("ca.pem"),
                    "HOLDFAST_SERVER_NAME": "server.example"}
        cert = ["--cert", self.made_path("client.pem")]
        self.run_ctl("health", *cert, "--cert-key", self.made_path("client.key"))
        self.run_ctl("health", "--tries", "1", "--timeout", "3s", code=UNREACHED)
        self.run_ctl("health", *cert, code=USAGE)


class Watch(Case):
    def setUp(self):
        super().setUp()
        self.fake.cell("TEA", "WH1", 1, on_hand=50)
        self.fake.cell("POT", "WH1", 0, on_hand=7)

    def test_people_and_programs(self):
        out, _ = self.run_ctl("watch", "--count", "4")
        self.assertRegex(out, r"^\d{4}-\d\d-\d\d [0-9:]{8} +5\.0  TEA@WH1\n")
        self.assertRegex(out, r" 4\.8  TEA@WH1\n$")
        out, _ = self.run_ctl("watch", "TEA@WH1", "--interval", "1s", "--json", "--count", "2")
        first, second = (json.loads(line) for line in out.splitlines())
        self.assertEqual((second["sku"], second["available"], second["position"]), ("TEA", 49, 8))
        self.assertEqual(first["generation"], str(GENERATION))
        self.assertEqual(self.fake.asked["WatchStock"][-1].interval_ms, 1000)
        out, _ = self.run_ctl("watch", "POT@WH1", "--once")
        self.assertEqual(len(out.splitlines()), 1)
        self.run_ctl("watch", "POT", code=USAGE)

    def test_ends_in_time(self):
        begin = time.monotonic()
        out, _ = self.run_ctl("watch", "POT@WH1", "--for", "700ms")
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(len(out.splitlines()), 4)

    def test_a_broken_stream_is_opened_again(self):
        self.fake.planned["WatchStock"].append({})
        out, err = self.run_ctl("watch", "POT@WH1", "--count", "4")
        self.assertIn("opened again", err)
        self.assertEqual(len(self.fake.asked["WatchStock"]), 2)


HEADER = "sku,location,unit_scale,on_hand,safety_stock,backorder_limit\n"


class Import(Case):
    def csv(self, rows, header=HEADER):
        return self.path("stock.csv", header + rows)

    def many(self, count):
        return self.csv("".join(f"S{i},WH1,0,{i},,\n" for i in range(count)))

    def test_good_file(self):
        path = self.csv('TEA,WH1,3,2.5,0.1,\r\n"Tea, ""green""",WH1,0,7,,3\n\nPOT,WH2,,,,\n',
                        "\ufeff" + HEADER)
        out, err = self.run_ctl("stock", "import", path, "--reason", "count 7")
        self.assertEqual(out, "3 rows: 3 done, 0 failed, 0 not sent\n")
        self.assertRegex(err, r"^import_id [0-9a-f-]{36} \(begun \d{4}-")
        cell = self.fake.cells[("TEA", "WH1")]
        self.assertEqual((cell.on_hand, cell.safety_stock, cell.unit_scale), (2500, 100, 3))
        self.assertEqual(self.fake.cells[('Tea, "green"', "WH1")].backorder_limit, 3)
        request = self.fake.asked["ImportStock"][0]
        self.assertEqual(request.reason, "count 7")
        self.assertFalse(request.rows[2].HasField("on_hand"))
        self.assertFalse(os.path.exists(path + ".import-state"))

    def test_every_error_has_its_line(self):
        path = self.csv("A,WH1,0,1,,\n,WH1,0,1,,\nB,WH1,7,1,,\nC,WH1,0,1.5,,\nD,WH1,0,x,,\n"
                        'E,WH1,0,1,-1,\n"F\nF",WH1,0,1,,\nG,WH1\nA,WH1,0,2,,\nH"x,WH1,0,1,,\n'
                        "I,WH1,0,9007199254740992,,\nJ,WH1,0,9007199254740991,,\n"
                        '"K,WH1,0,1,,\nL,WH1,0,1,,\n')
        out, err = self.run_ctl("stock", "import", path, code=USAGE)
        told = re.findall(r"(?m)^\S*stock\.csv:(\d+): (.*)$", err)
        self.assertEqual(sorted(int(line) for line, _ in told),
                         [3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15])
        self.assertIn("11 errors\n", err)
        self.assertIn("A@WH1 was in line 2 already", err)
        self.assertEqual(self.fake.asked["ImportStock"], [])
        out, _ = self.run_ctl("stock", "import", path, "--dry-run", code=USAGE)
        self.assertEqual(out, "3 good rows, 11 errors; nothing was sent\n")
        out, _ = self.run_ctl("stock", "import", path, "--skip-bad", code=PARTLY)
        self.assertEqual(out, "3 rows: 3 done, 0 failed, 0 not sent, 11 bad ones skipped\n")

    def test_bad_files(self):
        for text in ["", "sku,place\n", "sku;location;on_hand\nA;B;1\n", "sku,sku,location\n",
                     "location\nWH1\n"]:
            self.run_ctl("stock", "import", self.path("bad.csv", text), code=USAGE)
        self.run_ctl("stock", "import", self.path("none.csv"), code=USAGE)
        self.run_ctl("stock", "import", self.path("nul.csv", HEADER + "A,W\0H,0,1,,\n"),
                     code=USAGE)
        self.run_ctl("stock", "import", self.path("utf.csv", b"sku,location\n\xff,WH1\n"),
                     code=USAGE)

    def test_rows_of_their_own(self):
        self.fake.row_errors[("S3", "WH1")] = [(3, "SCALE", "another unit scale")]
        self.fake.row_errors[("S4", "WH1")] = [(8, "BUSY", "later")] * 2
        path = self.many(10)
        out, err = self.run_ctl("stock", "import", path, "--batch", "4", code=PARTLY)
        self.assertEqual(out, "10 rows: 9 done, 1 failed, 0 not sent\n")
        self.assertIn(f"{path}:5: S3@WH1: INVALID_ARGUMENT SCALE: another unit scale\n", err)
        self.assertEqual(self.fake.cells[("S4", "WH1")].on_hand, 4)
        self.assertIn("--resume", err)
        # Mended, with the same import: only what was not done acts.
        sold = self.fake.cells[("S9", "WH1")]
        sold.on_hand = 2
        with open(path, "a", encoding="ascii") as f:
            f.write("S10,WH1,0,10,,\n")
        out, err = self.run_ctl("stock", "import", path, "--resume")
        self.assertIn("the file has changed", err)
        self.assertEqual(self.fake.cells[("S3", "WH1")].on_hand, 3)
        self.assertEqual(self.fake.cells[("S10", "WH1")].on_hand, 10)
        self.assertEqual(sold.on_hand, 2)
        self.assertFalse(os.path.exists(path + ".import-state"))

    def test_json(self):
        self.fake.row_errors[("S1", "WH1")] = [(3, "SCALE", 'a "quoted" word')]
        out, _ = self.run_ctl("stock", "import", self.many(3), "--json", code=PARTLY)
        told = json.loads(out)
        self.assertEqual((told["rows"], told["done"], told["failed"]), (3, 2, 1))
        self.assertEqual(told["errors"][0]["line"], 3)
        self.assertEqual(told["errors"][0]["message"], 'a "quoted" word')

    def test_raw(self):
        path = self.csv("TEA,WH1,3,2500,,\n")
        self.run_ctl("stock", "import", path, "--raw")
        self.assertEqual(self.fake.cells[("TEA", "WH1")].on_hand, 2500)
        self.run_ctl("stock", "import", self.csv("TEA,WH1,3,2.5,,\n"), "--raw", code=USAGE)

    def test_a_row_without_a_scale_has_its_cells(self):
        self.fake.cell("TEA", "WH1", 3, on_hand=1)
        self.fake.cell("POT", "WH1", 0, on_hand=1)
        path = self.path("stock.csv", "sku,location,on_hand\nTEA,WH1,2.5\nPOT,WH1,4\nNEW,WH1,3\n")
        self.run_ctl("stock", "import", path)
        self.assertEqual(self.fake.cells[("TEA", "WH1")].on_hand, 2500)
        self.assertEqual(self.fake.cells[("POT", "WH1")].on_hand, 4)
        self.assertEqual(self.fake.cells[("NEW", "WH1")].on_hand, 3)
        scales = [(r.sku, r.unit_scale) for r in self.fake.asked["ImportStock"][-1].rows]
        self.assertEqual(scales, [("TEA", 3), ("POT", 0), ("NEW", 0)])
        self.run_ctl("stock", "import", self.csv("TEA,WH1,,77,,\n"), "--raw")
        self.assertEqual(self.fake.cells[("TEA", "WH1")].on_hand, 77)
        self.assertEqual(self.fake.asked["ImportStock"][-1].rows[0].unit_scale, 3)
        # What does not fit is told with its line, and the others are done.
        path = self.csv("POT,WH1,,1.5,,\nTEA,WH1,,1.5,,\n")
        out, err = self.run_ctl("stock", "import", path, code=PARTLY)
        self.assertEqual(out, "2 rows: 1 done, 1 failed, 0 not sent\n")
        self.assertIn("stock.csv:2: POT@WH1: INVALID_ARGUMENT: on_hand ", err)
        self.assertEqual(self.fake.cells[("TEA", "WH1")].on_hand, 1500)
        os.unlink(path + ".import-state")
        for bad in ("x", "1.0000001", str(2**53)):
            _, err = self.run_ctl("stock", "import", self.csv(f"POT,WH1,,{bad},,\n"), code=USAGE)
            self.assertIn("stock.csv:2: on_hand ", err)
        self.run_ctl("stock", "import", self.csv(f"POT,WH1,,{2**53 - 1},,\n"))
        self.assertEqual(self.fake.cells[("POT", "WH1")].on_hand, 2**53 - 1)

    def test_standard_input(self):
        out, _ = self.run_ctl("stock", "import", "-", stdin="sku,location,on_hand\nA,WH1,5\n")
        self.assertEqual(self.fake.cells[("A", "WH1")].on_hand, 5)

    def killed_import(self):
        """An import killed while its third batch is under way; its id and file."""
        path = self.many(10)
        self.fake.fail("ImportStock")
        self.fake.fail("ImportStock")
        self.fake.fail("ImportStock", delay=60)
        p = self.start("stock", "import", path, "--batch", "2")
        told = p.stderr.readline()
        while len(self.fake.asked["ImportStock"]) < 3:
            time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        return told.split()[1], path

    def ids(self, since):
        return [r.operation_id for q in self.fake.asked["ImportStock"][since:] for r in q.rows]

    def test_killed_and_resumed_from_the_state_file(self):
        import_id, path = self.killed_import()
        before = self.ids(0)
        _, err = self.run_ctl("stock", "import", path, code=USAGE)  # not silently a second one
        self.assertIn("--resume", err)
        out, err = self.run_ctl("stock", "import", path, "--resume")
        self.assertIn(import_id, err)
        self.assertEqual(out, "10 rows: 6 done, 4 done before, 0 failed, 0 not sent\n")
        self.assertEqual(self.ids(3)[:2], before[4:6])  # the batch that was under way, again
        self.assertEqual(len(self.fake.operations), 10)
        self.assertFalse(os.path.exists(path + ".import-state"))

    def test_killed_and_resumed_by_id(self):
        import_id, path = self.killed_import()
        os.unlink(path + ".import-state")
        before = self.ids(0)
        self.fake.cells[("S1", "WH1")].on_hand = 0  # sold meanwhile: must not come back
        self.run_ctl("stock", "import", path, "--import-id", import_id)
        self.assertEqual(self.ids(3)[:6], before)
        self.assertEqual(self.fake.cells[("S1", "WH1")].on_hand, 0)
        self.assertEqual(self.fake.cells[("S9", "WH1")].on_hand, 9)
        since = len(self.fake.asked["ImportStock"])
        self.run_ctl("stock", "import", path, "--import-id", import_id, "--from-line", "8")
        self.assertEqual(self.ids(since), [self.ids(3)[k] for k in range(6, 10)])

    def test_ids_carry_the_time_of_the_import(self):
        began = int((time.time() - 5 * 3600) * 1000)
        import_id = str(uuid.UUID(int=(began << 80) | (7 << 76) | (2 << 62) | 99))
        _, err = self.run_ctl("stock", "import", self.many(3), "--import-id", import_id)
        for text in self.ids(0):
            self.assertEqual(uuid.UUID(text).int >> 80, began)
            self.assertEqual(uuid.UUID(text).version, 7)
        self.assertEqual(len(set(self.ids(0))), 3)
        self.assertIn(time.strftime("begun %Y-%m-%d %H:%M", time.gmtime(began / 1000 + 10800)), err)

    def test_beyond_the_id_window(self):
        for k in range(2, 6):
            self.fake.row_errors[(f"S{k}", "WH1")] = [(9, "ID_TOO_OLD", "before the window")]
        path = self.many(6)
        out, err = self.run_ctl("stock", "import", path, "--batch", "3", code=PARTLY)
        self.assertEqual(out, "6 rows: 2 done, 1 failed, 3 not sent\n")
        self.assertIn("before the server's id window", err)
        self.assertEqual(len(self.fake.asked["ImportStock"]), 1)

    def test_clock_ahead_of_the_server(self):
        for k in range(6):
            self.fake.row_errors[(f"S{k}", "WH1")] = [(9, "ID_IN_FUTURE", "ahead")]
        out, err = self.run_ctl("stock", "import", self.many(6), "--batch", "3", code=PARTLY)
        self.assertEqual(out, "6 rows: 0 done, 3 failed, 3 not sent\n")
        self.assertIn("compare the clocks", err)

    def test_connection_lost_for_good(self):
        path = self.many(6)
        self.fake.fail("ImportStock")
        for _ in range(3):
            self.fake.fail("ImportStock", grpc.StatusCode.UNAVAILABLE)
        out, err = self.run_ctl("stock", "import", path, "--batch", "2", "--tries", "3",
                                code=UNREACHED)
        self.assertIn("2 done, 0 failed, 4 not sent", out)
        self.assertIn("--resume", err)
        self.run_ctl("stock", "import", path, "--resume")
        self.assertEqual(len(self.fake.cells), 6)

    def test_progress_on_a_terminal(self):
        master, slave = os.openpty()
        p = subprocess.Popen([CTL, "stock", "import", self.many(2000)], stdout=subprocess.PIPE,
                             stderr=slave, env=environment(HOLDFAST_ADDRESS=self.address()))
        os.close(slave)
        seen = b""
        try:
            while chunk := os.read(master, 4096):
                seen += chunk
        except OSError:  # how a terminal ends
            pass
        os.close(master)
        p.communicate(timeout=30)
        self.assertEqual(p.returncode, DONE)
        self.assertIn(b"100%  2000 of 2000 rows", seen)

    def test_usage(self):
        path = self.many(1)
        for wrong in [["--resume"], ["--from-line", "3"], ["--import-id", "x"], ["--batch", "0"],
                      ["--import-id", "0193a000-0000-4000-8000-000000000001"],
                      ["--reason", "x" * 65]]:
            self.run_ctl("stock", "import", path, *wrong, code=USAGE)
        self.assertEqual(self.fake.asked["ImportStock"], [])


class Help(Case):
    def test_commands_options_and_exits_are_documented(self):
        out, _ = self.run_ctl("--help")
        with open(os.path.join(stubs.ROOT, "docs", "holdfastctl.md"), encoding="utf-8") as f:
            page = f.read()
        part = out.split("commands:\n")[1].split("\n\n")[0]
        commands = [re.split(r"  +", line.strip())[0] for line in part.splitlines()]
        self.assertGreater(len(commands), 20)
        for command in commands:
            self.assertTrue(f"`{command}`" in page, command)
            words = re.match(r"([a-z]+)( [a-z-]+)?", command).group().split()
            told, _ = self.run_ctl(*words, "--help")
            self.assertTrue(told.startswith(f"usage: holdfastctl {command} "), told)
            for option in re.findall(r"(?m)^  --([a-z-]+)", told):
                self.assertTrue(f"`--{option}" in page, f"{command} --{option}")
            self.assertLessEqual(max(len(line) for line in told.splitlines()), 100)
        for code, text in re.findall(r"(?m)^  ([ \d]\d)  (.*)$", out.split("exit codes:")[1]):
            self.assertTrue(f"\n| {code.strip()} | {text} |\n" in page, text)

    def test_usage(self):
        for wrong in [[], ["stock"], ["dance"], ["stock", "dance"], ["health", "--dance"],
                      ["health", "now"], ["health", "--ttl", "1s"], ["health", "-x"],
                      ["health", "--json=yes"], ["health", "--timeout"], ["get"],
                      ["health", "--timeout", "1"], ["health", "--tries", "0"],
                      ["health", "--json", "--json"], ["health", "--address", "nowhere"]]:
            _, err = self.run_ctl(*wrong, code=USAGE)
            self.assertTrue(err.startswith("holdfastctl: "), err)
        self.assertEqual(self.run_ctl("help", "stock", "set"),
                         self.run_ctl("stock", "set", "--help"))
        self.assertEqual(self.run_ctl("help"), self.run_ctl("--help"))
        out, _ = self.run_ctl("stock", "--help")
        self.assertIn("stock import", out)
        out, _ = self.run_ctl("--version")
        self.assertRegex(out, r"^holdfastctl \d+\.\d+\.\d+\n$")



class TellAgain(Case):
    """Without an Odoo: what comes before it is asked, and the plan that goes on."""
    RUN = "0193a5c0-0000-7000-8000-00000000abcd"

    def setUp(self):
        super().setUp()
        self.env = {"HOLDFAST_ODOO_URL": "http://127.0.0.1:1", "HOLDFAST_ODOO_DATABASE": "odoo",
                    "HOLDFAST_ODOO_KEY": "secret", "HOLDFAST_ODOO_LOCATIONS": "WH1=WH"}
        self.fake.cell("TEA", "WH1", 1, on_hand=100)
        self.sales = self.path("sales.csv", "reference,sold_at,sku,location,quantity\n"
                                            "S-1,2026-11-26T10:00:00Z,TEA,WH1,1.5\n")

    def tell(self, *args, **more):
        return self.run_ctl("odoo", "tell-again", self.sales, *args, **more)

    def plan(self, *orders):
        lines = [{"sku": "TEA", "location": "WH1", "unit_scale": 1, "quantity": 15}]
        return self.path("sales.csv.tell-again-state", json.dumps(
            {"tell_again": 1, "run_id": self.RUN, "orders": [
                {"reservation_id": self.RUN[:-1] + str(n), "reference": f"S-{n}", "channel": "web",
                 "sold_ms": 1764151200000, "lines": lines} for n in orders]}))

    def test_it_wants_posting_at_rest(self):
        for backlog in ({"window_movements": 2}, {"open_batches": 1}, {"durable_lsn": 7}):
            self.fake.backlog = backlog
            _, err = self.tell(code=BUSY)
            self.assertIn("not at rest", err)
        self.fake.backlog, self.fake.pause = {}, ("MOVED", "what Odoo has is being learned")
        _, err = self.tell("--dry-run", code=REFUSED)
        self.assertIn("MOVED: what Odoo has is being learned", err)
        self.fake.pause = ("NONE", "posting")
        _, err = self.tell(code=UNREACHED)
        self.assertIn("reading Odoo", err)
        self.assertEqual(self.fake.asked["Record"], [])

    def test_options_that_are_wrong_ask_nothing(self):
        for more in (["--odoo-engine", "Shop"], ["--other-engines", "a,,b"],
                     ["--odoo-locations", "WH1=WH:fly"], ["--since", "2026-13-01"],
                     ["--odoo-locations", "WH1=WH:ship:Mars/Base"]):
            self.tell(*more, code=USAGE)
        self.path("sales.csv", "reference,sold_at,sku,location,quantity\n")
        self.assertIn("--since", self.tell(code=USAGE)[1])
        self.assertEqual(self.fake.asked["GetPostingStatus"], [])

    def test_a_plan_goes_on_with_the_same_ids(self):
        path = self.plan(1, 2, 3)
        self.fake.fail("Record", grpc.StatusCode.INTERNAL, "broken")
        self.tell("--resume", code=FAILED)
        self.assertTrue(os.path.exists(path))
        for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNAVAILABLE):
            self.fake.fail("Record", code, "not now")
        out, err = self.tell("--resume", code=PARTLY)
        self.assertIn("3 orders: 2 told, 1 failed", out)
        self.assertRegex(err, r"(?m)^S-1: INVALID_ARGUMENT: not now$")
        out, _ = self.tell("--resume", "--json")
        said = json.loads(out)
        self.assertEqual((said["run_id"], said["told"], said["failed"]), (self.RUN, 3, 0))
        self.assertFalse(os.path.exists(path))
        asked = self.fake.asked["Record"]
        for n in (1, 2, 3):
            mine = [r for r in asked if r.reservation_id == self.RUN[:-1] + str(n)]
            self.assertGreater(len(mine), 1)
            self.assertTrue(all(r == mine[0] for r in mine), mine)
            self.assertEqual((mine[0].reference, mine[0].channel, mine[0].lines[0].quantity),
                             (f"S-{n}", "web", 15))

    def test_a_plan_that_is_too_old_is_told(self):
        self.plan(1, 2)
        self.fake.fail("Record", grpc.StatusCode.OUT_OF_RANGE, "too old", reason="ID_TOO_OLD")
        _, err = self.tell("--resume", code=PARTLY)
        self.assertIn("older than the server's id window", err)
        self.assertEqual(len(self.fake.asked["Record"]), 1)  # the others would be refused like it


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
