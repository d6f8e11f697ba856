#!/usr/bin/env python3
"""holdfastctl odoo check and install-action against the Odoo stand-in.

Usage: test_odoo_tool.py HOLDFASTCTL HOLDFAST-ODOO-SANDBOX
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import urllib.request

CTL, SANDBOX = (os.path.abspath(p) for p in sys.argv[1:3])
OK, REFUSED, USAGE, FORBIDDEN, UNREACHED = 0, 1, 2, 6, 7


class Case(unittest.TestCase):
    version = "19"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.key = os.path.join(folder.name, "key")
        with open(self.key, "w", encoding="ascii") as f:
            f.write("secret\n")
        os.chmod(self.key, 0o600)
        self.sandbox = subprocess.Popen([SANDBOX, "--port", "0", "--key", "secret", "--no-action",
                                         "--odoo", self.version],
                                        stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end)
        self.url = self.sandbox.stdout.readline().split()[-1]
        self.door("catalogue", {"products": [{"default_code": "tea"}], "stock": [
            {"product": "tea", "location": "WH/Stock", "quantity": 5}]})

    def end(self):
        self.sandbox.terminate()
        self.sandbox.wait(30)
        self.sandbox.stdout.close()

    def door(self, name, body):
        with urllib.request.urlopen(f"{self.url}/sandbox/{name}", json.dumps(body).encode(),
                                    timeout=30) as a:
            return json.load(a)

    def fault(self, **more):
        self.door("faults", {"faults": [{"count": -1, **more}]})

    def ctl(self, *args, key=None, **env):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
        options = {"--odoo-url": self.url, "--odoo-database": "odoo",
                   "--odoo-key-file": key or self.key}
        given = [a for a in args if a.startswith("--")]
        more = [x for k, v in options.items() if k not in given and v for x in (k, v)]
        return subprocess.run([CTL, "odoo", *args, *more], capture_output=True, text=True,
                              env={**clean, **env}, timeout=120, check=False)

    def check(self, *args, code=OK, **more):
        """Verdicts by point; of several the worst."""
        out = self.ctl("check", "--json", *args, **more)
        self.assertEqual(out.returncode, code, out.stdout + out.stderr)
        worst, order = {}, ["ok", "warning", "failure"]
        for line in map(json.loads, out.stdout.splitlines()):
            before = worst.get(line["point"], "ok")
            worst[line["point"]] = max(before, line["verdict"], key=order.index)
        return worst

    def install(self):
        out = self.ctl("install-action", "--json")
        self.assertEqual(out.returncode, OK, out.stderr)
        return json.loads(out.stdout)

    def test_the_action_is_made_once_and_renewed(self):
        made = self.install()
        self.assertEqual((made["was"], made["version"]), ("made", 1))
        self.assertEqual(self.install()["was"], "is there")
        request = urllib.request.Request(
            f"{self.url}/json/2/ir.actions.server/write",
            json.dumps({"ids": [made["id"]], "vals": {"code": "# Holdfast, version 0\n"}}).encode(),
            {"Authorization": "Bearer secret", "X-Odoo-Database": "odoo",
             "Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).close()
        self.assertEqual(self.install(), {**made, "was": "renewed"})

    def test_who_is_no_administrator_is_told(self):
        self.fault(kind="access", model="ir.actions.server", method="search_read")
        out = self.ctl("install-action")
        self.assertEqual(out.returncode, FORBIDDEN)
        self.assertIn("no administrator", out.stderr)

    def test_all_is_well(self):
        action = str(self.install()["id"])
        points = self.check("--odoo-action-id", action, "--odoo-locations", "main=WH")
        self.assertEqual(set(points.values()), {"ok"}, points)

    def test_the_environment_is_the_servers(self):
        self.assertEqual(self.check(HOLDFAST_ODOO_LOCATIONS="main=WH:stage", code=REFUSED)
                         ["location"], "failure")
        self.assertEqual(self.check(HOLDFAST_ODOO_LOCATIONS="main=WH:ship:Mars/Olympus",
                                    code=REFUSED)["location"], "failure")
        self.door("catalogue", {"locations": [{"complete_name": "WH/Sold", "company_id": 1}]})
        points = self.check(HOLDFAST_ODOO_LOCATIONS="main=WH:stage:Europe/Berlin")
        self.assertEqual(points["location"], "ok")
        self.assertEqual(points["action"], "warning")

    def test_each_failure_is_told_at_its_point(self):
        self.assertEqual(self.check("--odoo-locations", "main=NO", code=REFUSED)["location"],
                         "failure")
        self.assertEqual(self.check(code=REFUSED)["location"], "failure")
        twice = self.check("--odoo-locations", "a=WH,b=WH", code=REFUSED)
        self.assertEqual(twice["location"], "failure")
        points = self.check("--odoo-action-id", "77", "--odoo-locations", "m=WH", code=REFUSED)
        self.assertEqual(points["action"], "failure")
        self.assertEqual(self.check("--odoo-database", "other", code=FORBIDDEN)["database"],
                         "failure")
        self.assertEqual(self.check("--odoo-url", "http://127.0.0.1:1", code=UNREACHED)["url"],
                         "failure")
        self.fault(kind="access", model="ir.config_parameter")
        self.assertEqual(self.check("--odoo-locations", "m=WH", code=REFUSED)["uuid"], "failure")
        self.fault(kind="unauthorized", model="res.users")
        self.assertEqual(self.check(code=FORBIDDEN)["key"], "failure")

    # Found: the first row of the code was taken, whosever it was.
    def test_a_code_of_two_companies_is_told(self):
        self.door("catalogue", {"warehouses": [{"code": "WH", "company_id": 2}]})
        out = self.ctl("check", "--odoo-locations", "m=WH")
        self.assertEqual(out.returncode, REFUSED)
        self.assertRegex(out.stdout, "FAIL +location +m: warehouses of several companies")

    def test_finer_units_than_odoo_has_are_told(self):
        self.assertEqual(self.check("--odoo-locations", "m=WH", "--unit-scale", "2")["units"], "ok")
        self.assertEqual(self.check("--odoo-locations", "m=WH", "--unit-scale", "3",
                                    code=REFUSED)["units"], "failure")

    def test_products_that_cannot_be_posted_are_named(self):
        self.door("catalogue", {"products": [{"default_code": "lot", "tracking": "lot"},
                                             {"default_code": "tea", "duplicate": True}]})
        out = self.ctl("check", "--odoo-locations", "m=WH")
        self.assertEqual(out.returncode, REFUSED)
        self.assertRegex(out.stdout, "FAIL +products +1 have a default_code of another.*: tea")
        self.assertRegex(out.stdout, "warn +products +1 are tracked by lot.*: lot")

    def sandbox_refuses(self, *args, code=2):
        done = subprocess.run([SANDBOX, *args], capture_output=True, text=True, timeout=60,
                              check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    # Found: two of them shared a port, and --port 99999 was another one.
    def test_the_stand_in_checks_its_options(self):
        port = self.url.rsplit(":", 1)[1]
        self.assertIn("in use", self.sandbox_refuses("--port", port, code=1))
        self.assertIn("65535", self.sandbox_refuses("--port", "99999"))
        self.sandbox_refuses("--port", "-1")
        self.assertIn("UUID", self.sandbox_refuses("--uuid", "zzz"))
        catalogue = os.path.join(os.path.dirname(self.key), "c.csv")
        with open(catalogue, "w", encoding="ascii") as f:
            f.write("tea,WH,1\noil,WH,much\n")
        self.assertIn("c.csv:2: its quantity is no number",
                      self.sandbox_refuses("--seed-catalogue", catalogue, code=1))

    def test_no_key_is_told_before_anything_is_sent(self):
        self.assertEqual(self.ctl("check", "--odoo-key-file", "/nonexistent").returncode, USAGE)
        self.assertNotIn("secret", self.ctl("check", "--odoo-locations", "m=WH").stdout)


class Odoo18(unittest.TestCase):
    """By JSON-RPC."""
    version, setUp, end, door, ctl, check, fault = (
        "18", Case.setUp, Case.end, Case.door, Case.ctl, Case.check, Case.fault)

    def test_it_wants_a_login(self):
        self.assertEqual(self.check(code=UNREACHED)["version"], "failure")
        out = self.ctl("install-action", "--json", "--odoo-login", "admin")
        self.assertEqual(out.returncode, OK, out.stderr)
        points = self.check("--odoo-action-id", str(json.loads(out.stdout)["id"]),
                            "--odoo-locations", "main=WH", HOLDFAST_ODOO_LOGIN="admin")
        self.assertEqual(set(points.values()), {"ok"}, points)

    def test_a_refused_key_is_told(self):
        with open(self.key, "w", encoding="ascii") as f:
            f.write("another\n")
        self.assertEqual(self.check("--odoo-login", "admin", code=FORBIDDEN)["key"], "failure")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
