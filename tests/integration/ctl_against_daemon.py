#!/usr/bin/env python3
"""holdfastctl against a real holdfastd: every command, and imports through kill -9.

Usage: ctl_against_daemon.py HOLDFASTCTL HOLDFASTD [unittest's arguments]
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
from daemon import Daemon, wait_until  # noqa: E402

CTL, HOLDFASTD = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
DONE, REFUSED, USAGE, NOT_FOUND, REJECTED, PARTLY, FORBIDDEN, UNREACHED, BUSY, FAILED = range(10)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.env = {}
        self.daemon = None

    def path(self, name, text=None):
        path = os.path.join(self.folder.name, name)
        if text is not None:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        return path

    def serve(self, **options):
        self.daemon = Daemon(HOLDFASTD, self.path("data"), **options)
        self.addCleanup(self.daemon.__exit__)
        self.env["HOLDFAST_ADDRESS"] = self.daemon.address

    def start(self, *args):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
        return subprocess.Popen([CTL, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env={**kept, **self.env})

    def run_ctl(self, *args, code=DONE):
        p = self.start(*args)
        out, err = p.communicate(timeout=120)
        self.assertEqual(p.returncode, code, f"{args}\n{out}\n{err}")
        return out, err

    def run_json(self, *args, code=DONE):
        out, _ = self.run_ctl(*args, "--json", code=code)
        return [json.loads(line) for line in out.splitlines()]

    def cell(self, sku, location="WH1"):
        return self.run_json("stock", "show", sku, location)[0]


class Commands(Case):
    def setUp(self):
        super().setUp()
        self.serve()
        self.run_ctl("stock", "create", "TEA", "WH1", "--unit-scale", "3")
        self.run_ctl("stock", "set", "TEA", "WH1", "on-hand", "10")
        self.run_ctl("channel", "create", "web")

    def reserve(self, *lines, **options):
        flags = [x for k, v in options.items() for x in (f"--{k}", v)]
        return self.run_json("reserve", *lines, *flags)[0]

    def test_stock(self):
        out, _ = self.run_ctl("stock", "create", "TEA", "WH2", "--unit-scale", "3")
        self.assertRegex(out, r"^handle \d+, generation \d+\n$")
        self.run_ctl("stock", "create", "TEA", "WH1", "--unit-scale", "2", code=REJECTED)
        self.run_ctl("stock", "set", "TEA", "WH1", "safety-stock", "0.5", "--reason", "floor")
        self.run_ctl("stock", "set", "TEA", "WH1", "backorder-limit", "0.25")
        self.run_ctl("stock", "set", "TEA", "WH1", "on-hand", "9", "--expect", "9.5", code=REFUSED)
        self.run_ctl("stock", "set", "TEA", "WH1", "on-hand", "9", "--expect", "10")
        operation = str(uuid.UUID(int=(int(time.time() * 1000) << 80) | (7 << 76) | (2 << 62)))
        for repeat in [False, True]:
            told = self.run_json("stock", "adjust", "TEA", "WH1", "1.5",
                                 "--operation-id", operation)[0]
            self.assertEqual((told["value"], told["repeat"]), (10500, repeat))
        cell = self.cell("TEA")
        self.assertEqual((cell["on_hand"], cell["safety_stock"], cell["available"]),
                         (10500, 500, 10250))
        out, _ = self.run_ctl("stock", "show", "TEA")
        self.assertRegex(out, r"(?m)^TEA +WH1 +10\.250 +10\.500 +0\.000 ")
        self.assertRegex(out, r"(?m)^TEA +- +10\.250 .* total$")
        self.run_ctl("stock", "set", "TEA", "WH2", "external", "1")
        out, _ = self.run_ctl("stock", "list", "--short")
        self.assertRegex(out, r"(?m)^TEA +WH2 +-1\.000 .* short$")
        self.assertEqual(len(self.run_json("stock", "list", "--location", "WH1")), 1)
        self.run_ctl("stock", "set", "TEA", "WH2", "active", "0")
        self.assertIn("not active", self.run_ctl("stock", "show", "TEA", "WH2")[0])
        self.run_ctl("reserve", "TEA@WH2=1", code=REJECTED)
        self.run_ctl("stock", "show", "NONE", "WH1", code=NOT_FOUND)

    def test_life_of_a_hold(self):
        held = self.reserve("TEA@WH1=4", channel="web", reference="S-1", ttl="1h")
        rid = held["reservation_id"]
        self.assertEqual(held["state"], "RESERVATION_STATE_HELD")
        self.assertEqual(self.cell("TEA")["held"], 4000)
        again = self.run_json("reserve", "TEA@WH1=4", "--channel", "web", "--reference", "S-1",
                              "--ttl", "1h", "--id", rid)[0]
        self.assertTrue(again["repeat"])
        self.run_ctl("reserve", "TEA@WH1=5", "--id", rid, code=REJECTED)  # another body
        out, _ = self.run_ctl("order", "TEA@WH1=7", code=REFUSED)
        self.assertRegex(out, r"(?m)^TEA +WH1 +7\.000 +0\.000 +1\.000 +6\.000 +\d{4}-")
        extended = self.run_json("extend", rid, "--ttl", "2h")[0]
        self.assertGreater(extended["expires_at_ms"], held["expires_at_ms"])
        self.run_ctl("release", rid, "TEA@WH1=1", "--reason", "one too many")
        self.run_ctl("release", rid, "TEA@WH1=9", code=REFUSED)
        out, _ = self.run_ctl("commit", rid, "TEA@WH1=2")
        self.assertRegex(out, r"(?m)^state +committed since \d{4}-")
        self.assertEqual(self.cell("TEA")["committed"], 2000)
        self.run_ctl("release", rid, code=REFUSED)
        self.run_ctl("cancel", rid, "TEA@WH1=0.5")
        self.run_ctl("return", rid, "TEA@WH1=0.25", "--scrap")
        self.run_ctl("cancel", rid, "TEA@WH1=9", code=REFUSED)
        out, _ = self.run_ctl("get", rid)
        self.assertRegex(out, r"(?m)^state +committed, version \d+$")
        self.assertRegex(out, r"(?m)^channel +web$")
        self.run_ctl("get", str(uuid.UUID(int=(int(time.time() * 1000) << 80)
                                          | (7 << 76) | (2 << 62) | 5)), code=NOT_FOUND)
        self.run_ctl("reserve", "TEA@WH1=1", "--channel", "nowhere", code=REJECTED)

    def test_order_record_best_effort_and_expiry(self):
        self.run_ctl("order", "TEA@WH1=1.5", "--reference", "S-2")
        told = self.run_json("reserve", "TEA@WH1=100", "--best-effort", "--ttl", "2s")[0]
        self.assertEqual(told["lines"][0]["taken"], 8500)
        self.run_ctl("record", "TEA@WH1=2", "--reference", "till-4")
        self.assertEqual(self.cell("TEA")["available"], -2000)
        self.assertEqual(len(self.run_json("stock", "list", "--short")), 1)
        wait_until(lambda: self.cell("TEA")["held"] == 0)
        rid = told["reservation_id"]
        out, _ = self.run_ctl("commit", rid, code=REFUSED)
        self.assertIn("expired", out)
        self.run_ctl("commit", rid, "--retake", code=REFUSED)  # 2 of it were sold meanwhile
        self.run_ctl("stock", "adjust", "TEA", "WH1", "2")
        self.run_ctl("commit", rid, "--retake")

    def test_who_holds_the_last_ones(self):
        for k, quantity in enumerate(["4", "3.5", "2.5"]):
            self.reserve(f"TEA@WH1={quantity}", reference=f"S-{k}", channel="web")
        self.run_ctl("order", "TEA@WH1=0.001", code=REFUSED)
        out, _ = self.run_ctl("holds", "TEA")
        lines = out.splitlines()
        self.assertEqual(len(lines), 5)
        self.assertEqual(sorted(re.search(r"WH1 +(\S+)", x).group(1) for x in lines[1:4]),
                         ["2.500", "3.500", "4.000"])
        self.assertEqual(lines[4], "TEA@WH1: 3 holds of 10.000 in all; on hand 10.000, "
                         "available 0.000")
        listed = self.run_json("list", "--state", "held", "--channel", "web")
        self.assertEqual({r["reference"] for r in listed}, {"S-0", "S-1", "S-2"})
        self.assertEqual(len(self.run_json("list", "--reference", "S-1")), 1)
        self.assertEqual(len(self.run_json("list", "--limit", "2")), 2)
        out, _ = self.run_ctl("list", "--sku", "TEA", "--location", "WH1")
        self.assertEqual(len(out.splitlines()), 4)

    def test_watch(self):
        p = self.start("watch", "TEA@WH1", "--interval", "20ms", "--count", "2", "--json")
        first = json.loads(p.stdout.readline())
        self.assertEqual((first["sku"], first["available"]), ("TEA", 10000))
        self.run_ctl("order", "TEA@WH1=1")
        second = json.loads(p.stdout.readline())
        p.communicate(timeout=30)
        self.assertEqual((second["sku"], second["available"]), ("TEA", 9000))
        self.assertGreater(second["position"], first["position"])
        out, _ = self.run_ctl("watch", "--once")
        self.assertRegex(out, r" 9\.000  TEA@WH1\n$")
        self.run_ctl("watch", "--for", "300ms")

    def test_health_and_what_a_crash_leaves(self):
        self.assertIn("serving", self.run_ctl("health")[0])
        held = self.reserve("TEA@WH1=4", reference="S-1", ttl="1h")
        self.run_ctl("release", self.reserve("TEA@WH1=1", reference="S-2", ttl="1h")
                     ["reservation_id"], "--reason", "buyer left")
        self.daemon.kill()
        self.run_ctl("health", "--tries", "2", "--timeout", "2s", code=UNREACHED)
        out, _ = self.run_ctl("journal", "verify", self.path("data"))
        self.assertRegex(out, r"^OK: \d+ groups")
        out, _ = self.run_ctl("journal", "export", self.path("data"))
        self.assertIn(held["reservation_id"], out)
        self.assertRegex(out, r'"record":"RELEASE".*"reason":"buyer left"')
        self.run_ctl("journal", "inspect", self.path("data"), "--json")
        self.run_ctl("journal", "verify", self.path("nowhere"), code=FAILED)
        self.daemon.start()
        self.assertEqual(self.cell("TEA")["held"], 4000)
        self.assertEqual(self.daemon.stop(), 0)


class Import(Case):
    ROWS = 6000

    def csv(self, rows=ROWS):
        return self.path("stock.csv", "sku,location,unit_scale,on_hand,safety_stock\n" + "".join(
            f"S{i},WH{i % 3},0,{i + 10},{i % 5}\n" for i in range(rows)))

    def progress(self, path):
        try:
            with open(path + ".import-state", encoding="utf-8") as f:
                return json.load(f)["next_row"]
        except FileNotFoundError:
            return 0

    def cells(self):
        return {c["sku"]: c for c in self.run_json("stock", "list")}

    def expect_all(self, rows=ROWS, but=()):
        cells = self.cells()
        self.assertEqual(len(cells), rows)
        wrong = [c["sku"] for i in range(rows)
                 if (c := cells[f"S{i}"]) and c["sku"] not in but
                 and (c["on_hand"], c["safety_stock"]) != (i + 10, i % 5)]
        self.assertEqual(wrong, [])

    def test_tool_killed_and_resumed(self):
        self.serve()
        path = self.csv()
        p = self.start("stock", "import", path, "--batch", "50")
        wait_until(lambda: self.progress(path) >= 300)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        self.assertLess(len(self.cells()), self.ROWS)
        # Sold and moved meanwhile: what was done must not be done again.
        self.run_ctl("stock", "adjust", "S1", "WH1", "-3")
        self.run_ctl("order", "S2@WH2=5")
        out, err = self.run_ctl("stock", "import", path, "--resume")
        self.assertRegex(out, rf"^{self.ROWS} rows: \d+ done, \d+ done before, 0 failed, 0 not")
        self.expect_all(but=["S1"])
        self.assertEqual(self.cell("S1", "WH1")["on_hand"], 8)
        # All of it once more, by id: nothing changes.
        import_id = err.split("import_id ")[1].split()[0]
        self.run_ctl("stock", "import", path, "--import-id", import_id)
        self.assertEqual(self.cell("S1", "WH1")["on_hand"], 8)
        self.assertEqual(self.cell("S2", "WH2")["committed"], 5)

    def test_daemon_killed_while_the_tool_goes_on(self):
        self.serve()
        path = self.csv()
        p = self.start("stock", "import", path, "--batch", "50", "--tries", "100", "--timeout",
                       "60s")
        for least in [300, 900]:
            wait_until(lambda: self.progress(path) >= least)
            self.daemon.kill()
            self.daemon.start()
        out, err = p.communicate(timeout=120)
        self.assertEqual(p.returncode, DONE, err)
        self.assertIn(f"{self.ROWS} done", out)
        self.expect_all()

    def test_daemon_killed_for_good_and_resumed_after_its_restart(self):
        self.serve()
        path = self.csv()
        p = self.start("stock", "import", path, "--batch", "50", "--tries", "2", "--timeout", "5s")
        wait_until(lambda: self.progress(path) >= 300)
        self.daemon.kill()
        _, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, UNREACHED)
        self.assertIn("--resume", err)
        self.daemon.start()
        self.run_ctl("stock", "import", path, "--resume")
        self.expect_all()

    def test_beyond_the_id_window(self):
        self.serve(id_window="2s", id_window_min="1s", id_skew="1s", ttl_max="1s")
        path = self.csv(400)
        p = self.start("stock", "import", path, "--batch", "10")
        wait_until(lambda: self.progress(path) >= 20)
        p.send_signal(signal.SIGKILL)
        p.communicate()
        before = {sku: c["on_hand"] for sku, c in self.cells().items()}
        self.assertLess(len(before), 400)
        time.sleep(5)
        out, err = self.run_ctl("stock", "import", path, "--resume", code=PARTLY)
        self.assertIn("before the server's id window", err)
        self.assertRegex(out, r"\d+ failed, \d+ not sent")
        cells = self.cells()
        self.assertEqual({k: cells[k]["on_hand"] for k in before}, before)
        os.unlink(path + ".import-state")
        self.run_ctl("stock", "import", path)
        self.expect_all(400)

    def test_rows_that_the_server_rejects(self):
        self.serve()
        self.run_ctl("stock", "create", "S7", "WH1", "--unit-scale", "2")
        path = self.csv(20)
        _, err = self.run_ctl("stock", "import", path, code=PARTLY)
        self.assertRegex(err, r"stock\.csv:9: S7@WH1: ALREADY_EXISTS UNIT_SCALE: ")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.path("stock.csv", text.replace("S7,WH1,0,", "S7,WH1,2,"))
        self.run_ctl("stock", "import", path, "--resume")
        self.assertEqual(self.cell("S7", "WH1")["on_hand"], 1700)


class Packets(Case):
    def test_sessions_and_handles(self):
        self.serve(packet_listen="127.0.0.1:0")
        self.run_ctl("stock", "create", "TEA", "WH1")
        self.run_ctl("channel", "create", "web")
        out, _ = self.run_ctl("handle", "TEA", "WH1")
        self.assertRegex(out, r"^handle 0, generation \d+\n$")
        told = self.run_json("handle", "TEA", "WH1")[0]
        self.assertEqual((told["handle"], told["sku"], told["active"]), (0, "TEA", True))
        self.run_ctl("handle", "TEA", "WH9", code=NOT_FOUND)
        opened = self.run_json("session", "open", "--channel", "web", "--ttl", "1m")[0]
        self.assertEqual(len(opened["key"]), 32)
        self.assertEqual(opened["expires_in_ms"], 60000)
        self.assertEqual(opened["doors"][0]["address"], "127.0.0.1")
        self.assertEqual(opened["generation"], told["generation"])
        self.assertIn("PACKET_KIND_ORDER", opened["kinds"])
        out, _ = self.run_ctl("session", "open")
        self.assertRegex(out, r"(?m)^key [0-9a-f]{32}$")
        listed = self.run_json("session", "list")
        self.assertEqual([x["channel"] for x in listed], ["web", ""])
        number = str(opened["session_id"])
        self.assertIn(number, self.run_ctl("session", "list")[0])
        self.run_ctl("session", "close", number)
        self.run_ctl("session", "close", number, code=NOT_FOUND)
        self.run_ctl("session", "close", "-1", code=USAGE)
        self.assertEqual(len(self.run_json("session", "list")), 1)

    def test_packets_are_off(self):
        self.serve()
        _, err = self.run_ctl("session", "open", code=REJECTED)
        self.assertIn("packet_listen", err)


class Doors(Case):
    def test_keys_and_roles(self):
        keys, lines = {}, ""
        for role in ["reader", "storefront", "stock_admin"]:
            made = self.run_json("key", "make", role.replace("_", "-"), "--roles", role)[0]
            keys[role] = self.path(role, made["key"] + "\n")
            lines += made["line"] + "\n"
        self.serve(key_file=self.path("keys", lines))
        self.run_ctl("stock", "list", code=FORBIDDEN)
        self.env["HOLDFAST_KEY"] = "hf_not_a_key_that_anybody_knows"
        _, err = self.run_ctl("stock", "list", code=FORBIDDEN)
        self.assertIn("UNAUTHENTICATED", err)
        reader, shop, admin = (["--key-file", keys[r]]
                               for r in ["reader", "storefront", "stock_admin"])
        self.run_ctl("stock", "create", "TEA", "WH1", *reader, code=FORBIDDEN)
        self.run_ctl("stock", "create", "TEA", "WH1", *admin)
        self.run_ctl("stock", "adjust", "TEA", "WH1", "3", *admin)
        self.run_ctl("order", "TEA@WH1=1", *reader, code=FORBIDDEN)
        self.run_ctl("order", "TEA@WH1=1", *shop)
        self.run_ctl("stock", "list", *reader)
        self.run_ctl("health")  # needs no key

    def test_mutual_tls(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.folder.name, check=True,
                           capture_output=True)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=ca",
                "-keyout", "ca.key", "-out", "ca.pem")
        for name in ["server", "client"]:
            openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                    f"{name}.key", "-out", f"{name}.csr")
            self.path("names", "subjectAltName=IP:127.0.0.1")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.pem")
        self.serve(tls_certificate=self.path("server.pem"), tls_key=self.path("server.key"),
                   tls_client_ca=self.path("ca.pem"))
        quick = ["--tries", "1", "--timeout", "3s"]
        self.run_ctl("health", *quick, code=UNREACHED)
        self.run_ctl("health", "--ca", self.path("ca.pem"), *quick, code=UNREACHED)
        self.run_ctl("health", "--ca", self.path("ca.pem"), "--cert", self.path("client.pem"),
                     "--cert-key", self.path("client.key"))


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
