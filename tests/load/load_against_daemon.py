#!/usr/bin/env python3
"""holdfast-load against the real daemon. Usage: load_against_daemon.py LOAD DAEMON"""
import json
import os
import subprocess
import sys
import time
import unittest
from unittest import mock

from relay import Relay, free_port
from server import Server

LOAD, DAEMON = sys.argv[1], sys.argv[2]
EVERYTHING = ("order=9,commit=9,release=5,abandon=5,extend=5,partial=5,cancel=5,return=5,scrap=5,"
              "repeat=5,twice=5,conflict=5,record=1")


class Case(unittest.TestCase):
    def serve(self, *options):
        self.server = Server(DAEMON, *options)
        self.addCleanup(self.server.stop)

    def command(self, *args):
        self.json = os.path.join(self.server.folder.name, "result.json")
        return [LOAD, "--address", self.server.address, "--quiet", "--json", self.json, *args]

    def load(self, *args, expect=0):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=240)
        result = None
        if os.path.exists(self.json):
            with open(self.json, encoding="utf-8") as f:
                result = json.load(f)
            os.unlink(self.json)
        self.assertEqual(done.returncode, expect, f"{done.stderr}\n{result}\n{self.server.tail()}")
        return result

    def history(self, name):
        with open(os.path.join(self.server.folder.name, name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def kill_meanwhile(self, *args, before=lambda process: time.sleep(1)):
        """Two kills in the middle of a run; `before` says when."""
        process = subprocess.Popen(self.command(*args), stderr=subprocess.PIPE, text=True)
        for _ in range(2):
            before(process)
            self.server.kill()
        self.assertIsNone(process.poll(), "it ended before the second kill")
        error = process.communicate(timeout=200)[1]
        with open(self.json, encoding="utf-8") as f:
            result = json.load(f)
        self.assertEqual(process.returncode, 0, f"{error}\n{result}\n{self.server.tail()}")
        self.assertGreater(sum(result["asked_again"].values()), 0)
        self.assertEqual(result["unknown"], 0)
        return result


class Load(Case):
    def setUp(self):
        self.serve()

    def test_every_scenario_is_exact(self):
        path = os.path.join(self.server.folder.name, "h")
        result = self.load("--make-catalogue", "50x2", "--stock", "100", "--lines", "1-6", "--mix",
                           EVERYTHING, "--customers",
                           "4000", "--duration", "0", "--ttl", "500ms", "--audit", "--history",
                           path, "--quantity", "1-3")
        self.assertEqual(result["customers"], 4000)
        self.assertEqual(result["audit"]["cells"], 100)
        for column in ("committed", "released", "expired", "ordered", "recorded", "cancelled",
                       "returned"):
            self.assertGreater(result["book"][column], 0, column)
        self.assertGreater(result["verbs"]["ORDER"].get("REFUSED", 0), 0)  # it sells out
        self.check_history(self.history("h"), result)

    def check_history(self, lines, result):
        self.assertEqual(lines[0]["format"], "holdfast-history")
        ops = [x for x in lines if "op" in x]
        self.assertEqual(len(ops), result["requests"])
        self.assertEqual(len([x for x in lines if "cell" in x]), 100)
        self.assertEqual(len([x for x in lines if "end_cell" in x]), 100)
        busy = {}
        for op in sorted(ops, key=lambda x: x["invoke_ns"]):
            self.assertLess(op["invoke_ns"], op["return_ns"])
            self.assertGreaterEqual(op["invoke_ns"], busy.get(op["client"], 0))  # one at a time
            busy[op["client"]] = op["return_ns"]
        # An outsider who knows the format comes to the same stock.
        held = {x["cell"]: x["on_hand"] - x["committed"] for x in lines if "cell" in x}
        sold = {}
        for op in sorted(ops, key=lambda x: x.get("lsn", 0)):
            if op["outcome"] != "DONE" or op["repeat"]:
                continue
            if op["op"] in ("ORDER", "RECORD", "RESERVE"):
                sold[op["id"]] = {cell: n for cell, n in op["lines"]}
            sign = {"ORDER": -1, "RECORD": -1, "CANCEL": 1, "RETURN": 0 if op.get("scrap") else 1,
                    "COMMIT": -1}.get(op["op"], 0)
            if op["op"] == "RELEASE":
                for cell, n in op["lines"]:
                    sold[op["id"]][cell] -= n
            what = op["lines"] if op["op"] != "COMMIT" else list(sold[op["id"]].items())
            for cell, n in what:
                held[cell] += sign * n
        end = {x["end_cell"]: x["on_hand"] - x["committed"] for x in lines if "end_cell" in x}
        self.assertEqual(held, end)

    # Found by holdfast-load: a stream's next message was received while the slow lane still read
    # the one before, and its memory was used again.
    def test_recalls_on_a_stream_while_results_wait(self):
        result = self.load("--make-catalogue", "200x1", "--stock", "1000000", "--stream",
                           "--connections", "2", "--outstanding", "1500", "--batch", "64",
                           "--window", "8", "--lines", "30-60", "--mix",
                           "cancel=1,return=1,order=2", "--duration", "3s", "--audit",
                           "--give-up", "10s", "--settle", "5s")
        self.assertGreater(result["book"]["cancelled"], 0)
        self.assertGreater(result["stream_messages"], 20)

    def test_open_loop_keeps_the_rate(self):
        result = self.load("--make-catalogue", "100x1", "--rate", "400", "--duration", "3s",
                           "--mix", "order", "--audit")
        # A machine that is busy with something else may cost the last arrivals their start.
        self.assertLessEqual(result["requests"], 1203)
        self.assertGreaterEqual(result["requests"], 1100)

    def first_requests(self, name, seed):
        path = os.path.join(self.server.folder.name, name)
        self.load("--seed", str(seed), "--customers", "300", "--outstanding", "1", "--spread",
                  "zipf:0.9", "--lines", "basket", "--history", path)
        seen, first = set(), []
        for op in (x for x in self.history(name) if "op" in x):
            if op["id"] not in seen:
                first.append((op["op"], op["lines"]))
                seen.add(op["id"])
        return first

    def test_a_seed_gives_the_same_requests(self):
        self.load("--make-catalogue", "1000x1", "--stock", "1000000", "--customers", "1")
        one = self.first_requests("a", 5)
        self.assertEqual(len(one), 300)
        self.assertEqual(one, self.first_requests("b", 5))
        self.assertNotEqual(one, self.first_requests("c", 6))

    def test_kills_leave_the_audit_exact(self):
        self.kill_meanwhile("--make-catalogue", "300x1", "--lines", "1-8", "--duration", "4s",
                            "--ttl", "700ms", "--audit", "--outstanding", "100")

    def test_kills_under_streams_leave_the_audit_exact(self):
        self.kill_meanwhile("--make-catalogue", "300x1", "--lines", "1-8", "--duration", "4s",
                            "--ttl", "700ms", "--audit", "--outstanding", "200", "--stream",
                            "--stock", "5000")

    # Found: holds of the run before ended during the next, whose audit failed.
    def test_holds_of_the_run_before_do_no_harm(self):
        abandon = ["--mix", "abandon", "--customers", "60", "--duration", "0"]
        self.load("--make-catalogue", "10x1", "--ttl", "2s", *abandon)
        result = self.load("--mix", "order", "--customers", "60", "--duration", "0", "--audit")
        self.assertEqual(result["audit"]["held_at_start"], 0)  # they were waited for
        self.load("--ttl", "1h", *abandon)
        result = self.load("--mix", "abandon", "--ttl", "300ms", "--customers", "60",
                           "--duration", "0", "--audit", "--settle", "300ms")
        self.assertGreater(result["audit"]["held_at_start"], 0)  # they were not

    def test_the_clients_key_is_not_the_servers_key_file(self):
        key = os.path.join(self.server.folder.name, "k")
        with open(key, "w", encoding="ascii") as f:
            f.write("client-key-0123456789\n")
        args = ["--make-catalogue", "1x1", "--customers", "1"]
        with mock.patch.dict(os.environ, {"HOLDFAST_KEY_FILE": "/nonexistent"}):
            self.load(*args)
        with mock.patch.dict(os.environ, {"HOLDFAST_CLIENT_KEY_FILE": "/nonexistent"}):
            self.load(*args, expect=2)
        with mock.patch.dict(os.environ, {"HOLDFAST_CLIENT_KEY_FILE": key}):
            self.load(*args, "--insecure")

    def test_the_audit_sees_one_unit(self):
        self.load("--make-catalogue", "10x1", "--customers", "1", "--mix", "order")
        args = self.command("--mix", "order", "--rate", "50", "--duration", "3s", "--audit",
                            "--settle", "500ms")
        process = subprocess.Popen(args)
        time.sleep(1.5)
        subprocess.run([LOAD, "--address", self.server.address, "--quiet", "--customers", "1",
                        "--mix", "order"], check=True, timeout=60)
        process.wait(timeout=60)
        with open(self.json, encoding="utf-8") as f:
            result = json.load(f)
        self.assertEqual(process.returncode, 1)
        self.assertEqual(result["audit"]["wrong"], 1)

    def test_exit_codes(self):
        self.load("--rate", "x", expect=2)
        self.load("--customers", "1", expect=2)  # no cells yet
        self.load("--handles", "5", expect=2)
        for path in ("/nonexistent/x", self.server.folder.name):
            told = subprocess.run([LOAD, "--address", "unix:/nonexistent", "--json", path],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(told.returncode, 2)
            self.assertIn("--json", told.stderr)
        self.load("--address", self.server.address + "-not", "--give-up", "500ms", expect=7)


class Packets(Case):
    """The same by UDP frames, straight and through a network that does its worst."""

    def serve_packets(self, relayed=False):
        port = free_port()
        options = ["--packet-listen", f"127.0.0.1:{port}"]
        if relayed:
            self.relay = Relay(port)
            self.addCleanup(self.relay.close)
            options += ["--packet-advertise", f"127.0.0.1:{self.relay.port}"]
        self.serve(*options)

    def test_every_scenario_is_exact_by_packet(self):
        self.serve_packets()
        path = os.path.join(self.server.folder.name, "h")
        result = self.load("--make-catalogue", "50x2", "--stock", "100", "--lines", "1-6", "--mix",
                           EVERYTHING, "--customers", "3000", "--duration", "0", "--ttl", "500ms",
                           "--audit", "--history", path, "--transport", "packet")
        self.assertGreater(result["packets"]["answered"], 4000)
        self.assertEqual(result["packets"]["forged"] + result["packets"]["foreign"], 0)
        self.assertLess(result["packets"]["frames"], result["packets"]["tries"])  # they share them
        self.assertGreater(result["verbs"]["ORDER"]["CONFLICT"], 0)
        self.assertGreater(result["verbs"]["ORDER"].get("REFUSED", 0), 0)  # it sells out
        ops = [x for x in self.history("h") if "op" in x]
        self.assertEqual(len(ops), result["requests"])
        done = [x for x in ops if x["outcome"] == "DONE"]
        self.assertTrue(all(x["durable"] for x in done))

    # A repeat, another body and an end are asked at either door, whichever took the stock.
    def test_an_id_is_one_at_both_doors(self):
        self.serve_packets()
        result = self.load("--make-catalogue", "20x2", "--stock", "5000", "--lines", "1-3", "--mix",
                           "repeat=2,twice=2,conflict=2,commit=2,release=1", "--customers", "2000",
                           "--duration", "0", "--audit", "--transport", "mixed")
        self.assertGreater(result["packets"]["answered"], 1000)
        self.assertGreater(result["tries"], 1000)  # over gRPC
        self.assertGreater(result["verbs"]["ORDER"]["CONFLICT"], 100)

    def answered(self, process):
        """Waits until the server has answered some frames in its present life."""
        least, until = self.relay.answers + 150, time.monotonic() + 100
        while self.relay.answers < least and process.poll() is None:
            self.assertLess(time.monotonic(), until, "no answers")
            time.sleep(0.005)

    def worst_of_networks(self, transport):
        self.serve_packets(relayed=True)
        result = self.kill_meanwhile(
            "--make-catalogue", "300x1", "--stock", "2000", "--lines", "1-8", "--mix", EVERYTHING,
            "--customers", "6000", "--duration", "0", "--ttl", "700ms", "--audit", "--outstanding",
            "100", "--transport", transport, "--packet-try", "50ms", "--frame-items", "4",
            before=self.answered)
        for what, count in self.relay.counts.items():
            self.assertGreater(count, 0, what)
        packets = result["packets"]
        self.assertGreaterEqual(packets["sessions"], 3)  # one for each life of the server
        self.assertGreater(packets["lost"], 0)
        self.assertGreater(packets["late"] + packets["foreign"] + packets["forged"], 0)
        self.assertEqual(result["contradictions"], 0)

    def test_kills_on_the_worst_of_networks_leave_the_audit_exact(self):
        self.worst_of_networks("packet")

    def test_kills_under_both_doors_leave_the_audit_exact(self):
        self.worst_of_networks("mixed")

    def test_a_server_without_packets_is_found_before_the_run(self):
        self.serve()
        self.load("--make-catalogue", "2x1", "--transport", "packet", expect=6)
        self.load("--transport", "pigeon", expect=2)
        self.load("--transport", "packet", "--by-name", expect=2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
