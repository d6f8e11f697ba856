#!/usr/bin/env python3
"""`meson install` puts into place what OPERATIONS.md tells, for the prefix that was chosen, and
holdfastd takes the sample of its configuration.

Usage: test_install.py SOURCE BUILD PREFIX
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD, PREFIX = sys.argv[1:4]
PROGRAMS = {"holdfastd.8": "holdfastd", "holdfastctl.1": "holdfastctl",
            "holdfast-load.1": "holdfast-load",
            "holdfast-odoo-sandbox.1": "holdfast-odoo-sandbox"}


def run(*words, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HOLDFAST_")}
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False,
                          env={**clean, **more})


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="holdfast-install-")
        cls.root = os.path.join(cls.folder.name, "root")
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", DESTDIR=cls.root)
        assert done.returncode == 0, done.stdout + done.stderr

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def there(self, path):
        """A path of the page, which is told for a prefix of /usr, under this build's prefix."""
        if PREFIX != "/usr":
            path = PREFIX + (path if path.startswith("/etc/") else path[len("/usr"):])
        return self.root + path

    def read(self, path):
        with open(self.there(path), encoding="utf-8") as f:
            return f.read()

    def test_everything_that_the_page_tells_is_there(self):
        with open(os.path.join(SOURCE, "docs", "OPERATIONS.md"), encoding="utf-8") as f:
            page = f.read().split("## Installation")[1].split("Then, once:")[0]
        told = re.findall(r"`(/(?:usr|etc)/[^` ]+\.?[a-z0-9]+)`", page)
        told = [t for t in told if t != "/usr/local" and t != "/usr/local/etc"]
        self.assertGreater(len(told), 10)
        for path in told:
            self.assertTrue(os.path.isfile(self.there(path)), path)
        for name in ("holdfast-packet.pc", "libholdfast-packet.so"):
            self.assertTrue(any(name in names for _, _, names in os.walk(self.root)), name)
        for name in os.listdir(os.path.join(SOURCE, "docs")):
            self.assertTrue(os.path.exists(self.there(f"/usr/share/doc/holdfast/{name}")), name)

    def test_the_unit_has_this_prefix(self):
        unit = self.read("/usr/lib/systemd/system/holdfastd.service")
        start = re.search(r"^ExecStart=(\S+) --config=(\S+)$", unit, re.M)
        self.assertEqual(self.root + start.group(1), self.there("/usr/bin/holdfastd"))
        self.assertEqual(self.root + start.group(2), self.there("/etc/holdfast/holdfast.yaml"))
        page = re.search(r"^Documentation=.*file://(\S+)$", unit, re.M).group(1)
        self.assertTrue(os.path.isfile(self.root + page), page)
        if shutil.which("systemd-analyze"):
            with open(os.path.join(self.folder.name, "holdfastd.service"), "w",
                      encoding="utf-8") as f:
                f.write(unit.replace(start.group(1), "/bin/true").replace("man:holdfastd(8) ", ""))
            told = run("systemd-analyze", "verify", f.name)
            self.assertNotIn("holdfastd.service:", told.stderr)

    def check(self, text):
        path = os.path.join(self.folder.name, "h.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return run(self.there("/usr/bin/holdfastd"), "--check-config", "--config", path)

    def test_the_sample_is_accepted_and_so_are_its_lines_for_odoo_and_packets(self):
        sample = self.read("/etc/holdfast/holdfast.yaml.sample")
        done = self.check(sample)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        whole, count = re.subn(r"^# ((?:odoo|packet)_\w+: )", r"\1", sample, flags=re.M)
        self.assertGreaterEqual(count, 7)
        key = os.path.join(self.folder.name, "odoo.key")
        with open(key, "w", encoding="ascii") as f:
            f.write("secret\n")
        os.chmod(key, 0o600)
        whole, count = re.subn(r"^odoo_key_file: .*$", f"odoo_key_file: {key}", whole, flags=re.M)
        self.assertEqual(count, 1)
        done = self.check(whole)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # The paths in it are this prefix's.
        for path in re.findall(r"(/\S*/holdfast)/", sample):
            self.assertIn(self.root + path, (self.there("/etc/holdfast"), self.root + "/var/lib"))

    def test_manual_pages_name_options_that_there_are(self):
        for page, program in PROGRAMS.items():
            text = self.read(f"/usr/share/man/man{page[-1]}/{page}").replace("\\-", "-")
            helped = run(self.there(f"/usr/bin/{program}"), "--help").stdout
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help", "--version"}
            self.assertGreater(len(options), 3, page)
            for option in options:
                self.assertRegex(helped, rf"{option}\b", page)
            if shutil.which("groff"):
                told = run("groff", "-man", "-Tutf8", "-ww", "-z",
                           self.there(f"/usr/share/man/man{page[-1]}/{page}"))
                self.assertEqual(told.stderr, "", page)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
