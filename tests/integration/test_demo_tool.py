#!/usr/bin/env python3
"""How the demonstration is called, and that it leaves nothing behind.

Usage: test_demo_tool.py DEMO.PY BUILD
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DEMO, BUILD = (os.path.abspath(p) for p in sys.argv[1:3])


def demo(*args):
    return subprocess.run([sys.executable, DEMO, "--build", BUILD, *args], capture_output=True,
                          text=True, timeout=120, check=False)


def processes_naming(text):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in words and int(pid) != os.getpid():
            found.append(words)
    return found


class Demo(unittest.TestCase):
    def refused(self, *args):
        done = demo(*args)
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_numbers_are_checked(self):
        for name in ("--seconds", "--skus", "--stock"):
            for value in ("0", "-1", "x", "1e3"):
                self.assertIn("is not 1 ..", self.refused(f"{name}={value}"))

    def test_the_kept_folder_is_new_or_empty(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "data"), "w", encoding="ascii"):
                pass
            self.assertIn("is not empty", self.refused("--keep", folder))
            self.assertIn("--keep", self.refused("--keep", os.path.join(folder, "data")))
            self.assertIn("--keep", self.refused("--keep", os.path.join(folder, "data", "x")))

    def test_help_is_for_who_calls_it(self):
        done = demo("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("usage: demo [-h]", done.stdout)
        self.assertNotRegex(done.stdout, r"\n +build\b")

    # Found: a second SIGTERM came while it ended its programs, and one of them was left.
    def test_two_signals_leave_nothing_behind(self):
        with tempfile.TemporaryDirectory() as folder:
            kept = os.path.join(folder, "kept")
            running = subprocess.Popen(
                [sys.executable, DEMO, "--build", BUILD, "--seconds", "60", "--skus", "20",
                 "--keep", kept], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                until = time.monotonic() + 90
                while not any(re.search("holdfast-load", p) for p in processes_naming(kept)):
                    self.assertIsNone(running.poll())
                    self.assertLess(time.monotonic(), until, "it does not begin")
                    time.sleep(0.05)
                for _ in range(20):
                    running.send_signal(signal.SIGTERM)
                    time.sleep(0.002)
                error = running.communicate(timeout=60)[1]
            finally:
                running.kill()
            self.assertEqual(running.returncode, 143, error)
            self.assertNotIn("Traceback", error)
            self.assertEqual(processes_naming(kept), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
