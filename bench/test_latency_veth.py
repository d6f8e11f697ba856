#!/usr/bin/env python3
"""A short bench/packets-veth: its rows answer everything that they are asked, its figures are sane
(not how large they are), and nothing is left of it, also when it is interrupted.

Usage: test_latency_veth.py BENCH BUILD [unittest options]

Needs what bench/packets-veth needs; else it is skipped, aloud.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "tests", "load"))
import veth  # noqa: E402

BENCH, BUILD = (os.path.abspath(path) for path in sys.argv[1:3])
ROWS = {"kernel": ("kernel", "", False),  # by what, which device, whether it polls
        "af_packet-poll-nosync": ("dpdk", "net_af_packet0", True),
        "af_xdp": ("dpdk", "net_af_xdp0", False)}
ORDERS = 300


def start(folder, *args, **environment):
    return subprocess.Popen([BENCH, "--build", BUILD, "--reps", "1", *args], text=True,
                            env={**os.environ, "MESON_TEST_ITERATION": "1", "TMPDIR": folder,
                                 **environment},
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def programs_of(folder):
    """Command lines that name the folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().decode(errors="replace")
        except OSError:
            continue
        if folder in line:
            found.append(line.replace("\0", " "))
    return found


class Short(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="holdfast-veth-")
        self.addCleanup(os.rmdir, self.folder)  # fails unless everything else is gone

    def told(self, process):
        with process:
            out = process.stdout.read()
        self.assertEqual(programs_of(self.folder), [], out)
        self.assertEqual(os.listdir(self.folder), [], out)
        if process.returncode == veth.SKIPPED:
            print(out)
            self.skipTest("the bench is skipped here")
        return out

    def test_rows_and_yardsticks(self):
        with tempfile.TemporaryDirectory() as other:
            path = os.path.join(other, "result.json")
            process = start(self.folder, "--seconds", "0.5", "--rate", str(2 * ORDERS),
                            "--only", ",".join(ROWS), "--json", path)
            out = self.told(process)
            self.assertEqual(process.returncode, 0, out)
            with open(path, encoding="ascii") as f:
                result = json.load(f)
        print(out)
        for name in result["skipped"]:
            self.assertEqual(ROWS[name][0], "dpdk")
            self.assertIn(f"SKIPPED: {name}", out)
        self.assertEqual({*result["rows"], *result["skipped"]}, {*ROWS, "echo", "disk"})
        for name, row in result["rows"].items():
            (run,) = row["runs"]
            self.assertEqual(run["answered"], run["asked"], out)
            if name != "disk":
                self.assertEqual(run["asked"], ORDERS)
            self.assertGreater(run["p50_us"], 0)
            self.assertLessEqual(run["p50_us"], run["p99_us"])
            self.assertLessEqual(run["p99_us"], run["p999_us"])
            for figure in ("p50_us", "p99_us", "p999_us"):
                self.assertEqual(row[figure], dict.fromkeys(("median", "least", "greatest"),
                                                            run[figure]))
        for name in {*ROWS} & result["rows"].keys():
            (run,) = result["rows"][name]["runs"]
            self.assertEqual((run["by"], run["device"], run["polling"]), ROWS[name])
            parts = ["echo"] + ["disk"] * ("nosync" not in name)
            self.assertAlmostEqual(run["rest_us"], run["p50_us"] - sum(
                result["rows"][part]["runs"][0]["p50_us"] for part in parts))

    # In the middle of a run: a daemon serves, and a client asks it.
    def test_an_interrupt_leaves_nothing(self):
        process = start(self.folder, "--reps", "1000", "--seconds", "1", "--rate", "100", "--only",
                        "kernel")
        self.addCleanup(process.terminate)
        end = time.monotonic() + 120
        while not any("holdfast-load" in line and "--rate" in line
                      for line in programs_of(self.folder)):
            self.assertIsNone(process.poll(), "it ended by itself")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        self.told(process)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)

    def test_without_its_tools_it_is_skipped(self):
        with tempfile.TemporaryDirectory() as empty:
            for under_test, code in (("1", veth.SKIPPED), (None, 0)):
                environment = {"PATH": empty, "TMPDIR": self.folder}
                if under_test:
                    environment["MESON_TEST_ITERATION"] = under_test
                done = subprocess.run([sys.executable, BENCH, "--build", BUILD], env=environment,
                                      capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, done.stderr), (code, ""))
                self.assertTrue(done.stdout.startswith("SKIPPED: "), done.stdout)


if __name__ == "__main__":
    veth.skip_if_not_here()
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
