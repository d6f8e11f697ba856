#!/usr/bin/env python3
"""holdfastd as a process: options, exit codes, signals, keys, TLS, metrics, recovery.

Usage: test_daemon.py HOLDFASTD [unittest's own arguments]
"""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import grpc

import daemon as d

PROGRAM = sys.argv[1]
STUBS = d.make_stubs()
from holdfast.v1 import common_pb2, reservation_pb2, reservation_pb2_grpc  # noqa: E402
from holdfast.v1 import stock_admin_pb2, stock_admin_pb2_grpc  # noqa: E402

SERVING, NOT_SERVING = 1, 2
UNITS = ("_total", "_seconds", "_bytes", "_lsn", "_ids", "_blocks", "_cells", "_watchers",
         "_segments", "_calls", "_streams", "_fds", "_keys", "_state", "_active")


def run(*args, env=None):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(env or {})})


def health(channel, timeout=5):
    """grpc.health.v1 by hand: the package's name is that of the gRPC module itself."""
    check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes,
                                response_deserializer=bytes)
    reply = check(b"", timeout=timeout)
    return reply[1] if reply[:1] == b"\x08" else 0


def line(sku, quantity):
    return common_pb2.Line(sku=sku, location="main", quantity=quantity)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="holdfast-daemon.")
        self.data = os.path.join(self.folder, "data")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.started = []

    def tearDown(self):
        for ran in self.started:
            ran.kill()
        result = self._outcome.result
        if any(case is self for case, _ in result.failures + result.errors):
            for ran in self.started:
                print(f"--- exit {ran.process.returncode}, its log:\n{ran.log()}", file=sys.stderr)

    def start(self, *args, **more):
        ran = d.Daemon(PROGRAM, self.data, *args, **more)
        self.started.append(ran)
        return ran

    def file(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def stock(self, channel, sku, on_hand, metadata=None):
        admin = stock_admin_pb2_grpc.StockAdminServiceStub(channel)
        admin.CreateStock(stock_admin_pb2.CreateStockRequest(sku=sku, location="main"),
                          metadata=metadata, timeout=10)
        admin.AdjustStock(stock_admin_pb2.AdjustStockRequest(
            operation_id=d.uuid7(), sku=sku, location="main", difference=on_hand),
            metadata=metadata, timeout=10)


class Commands(Case):
    def test_help_tells_options_exit_codes_and_signals(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for part in ("--cells-max count", "Exit codes:", "SIGHUP", "--check-config"):
            self.assertIn(part, done.stdout)

    def test_version(self):
        done = run("--version")
        self.assertRegex(done.stdout, r"^holdfastd \d+\.\d+\.\d+\n$")

    def test_check_config_tells_all_that_is_wrong(self):
        keys = self.file("keys", "shop storefront oops\n")
        config = self.file("h.yaml", f"cells_max: 0\nkey_file: {keys}\nspeed: 9\n"
                                     "tls_certificate: /nowhere/c\ntls_key: /nowhere/k\n")
        done = run("--check-config", f"--config={config}", "--id-window=1")
        self.assertEqual(done.returncode, 78)
        for part in ("h.yaml:1: cells_max: '0' is out of range", "h.yaml:3: speed: no such option",
                     "--id-window: '1' needs a unit", "tls_certificate: /nowhere/c: is not there",
                     "tls_key: /nowhere/k: is not there", "keys:1: the third word"):
            self.assertIn(part, done.stderr)
        good = run("--check-config", f"--config={d.SOURCE}/packaging/holdfast.yaml")
        self.assertEqual((good.returncode, good.stderr), (0, ""))

    def test_check_config_tells_of_odoo_what_a_start_would_refuse(self):
        key = self.file("key", "secret\n")

        def check(url="https://odoo.example", locations="main=WH", key_file=key, *more):
            done = run("--check-config", f"--odoo-url={url}", "--odoo-database=d",
                       f"--odoo-key-file={key_file}", f"--odoo-locations={locations}", *more)
            self.assertNotIn("secret", done.stderr)
            return done.returncode, done.stderr
        self.assertEqual(check(), (0, ""))
        self.assertEqual(check("http://[::1]:8069", "main=WH:stage:Europe/Berlin"), (0, ""))
        code, said = check("http://odoo.example:8069")
        self.assertEqual(code, 0)
        self.assertIn("warning: odoo_url: http://odoo.example:8069: http:// outside loopback", said)
        for arguments, part in (
                (("https://odoo.example/odoo",), "odoo_url: https://odoo.example/odoo: must be"),
                (("https://odoo.example/",), "odoo_url: https://odoo.example/: must be"),
                (("https://odoo.example", "berlin"), "odoo_locations: 'berlin': wants LOCATION="),
                (("https://odoo.example", "main=WH,berlin=WH:xx"),
                 "odoo_locations: 'berlin=WH:xx': a mode is"),
                (("https://odoo.example", "main=WH:ship:Mars/Foo"),
                 "odoo_locations: main: no time zone 'Mars/Foo'"),
                (("https://odoo.example", "a=B,a=C"), "odoo_locations: a location is there twice"),
                (("https://odoo.example", "main=WH", "/nope"),
                 "odoo_key_file: /nope: is not there"),
                (("https://odoo.example", "main=WH", key, "--odoo-engine=Foo_!"),
                 "odoo_engine: 'Foo_!' must be"),
                (("https://odoo.example", "main=WH", key, "--odoo-ca-file=/nope"),
                 "odoo_ca_file: /nope: is not there")):
            code, said = check(*arguments)
            self.assertEqual(code, 78, arguments)
            self.assertIn(part, said)

    def test_print_config_is_a_configuration(self):
        done = run("--print-config", "--cells-max=77", env={"HOLDFAST_ID_WINDOW": "20min"})
        self.assertIn("cells_max: 77  # flag\n", done.stdout)
        self.assertIn("id_window: 20min  # environment\n", done.stdout)
        again = run("--print-config", "--config=" + self.file("p.yaml", done.stdout))
        self.assertIn("cells_max: 77  # file, line ", again.stdout)

    def test_a_wrong_option_never_starts(self):
        done = run("--data-folder", self.data, "--listen=0.0.0.0:0")
        self.assertEqual(done.returncode, 78)
        self.assertIn("outside loopback", done.stderr)
        self.assertFalse(os.path.exists(self.data))


    def test_two_locations_of_one_warehouse_never_start(self):
        odoo = ["--odoo-url=http://127.0.0.1:1", "--odoo-database=odoo",
                "--odoo-key-file=" + self.file("odoo.key", "secret\n"),
                "--odoo-locations=berlin=WH2,hamburg=WH2:stage"]
        for args in (["--check-config"], ["--data-folder", self.data, "--listen=127.0.0.1:0"]):
            done = run(*args, *odoo)
            self.assertEqual(done.returncode, 78, args)
            self.assertIn("one warehouse", done.stderr)


class Ends(Case):
    def test_one_folder_one_process(self):
        self.start().serving()
        second = self.start()
        self.assertEqual(second.wait(), 75)

    def test_a_copy_is_not_served_unasked(self):
        self.start().serving().kill()
        copy, third = os.path.join(self.folder, "copy"), os.path.join(self.folder, "third")
        shutil.copytree(self.data, copy)
        shutil.copytree(self.data, third)
        refused = d.Daemon(PROGRAM, copy)
        self.assertEqual(refused.wait(), 79)
        self.assertIn("a copy", refused.log())
        self.assertIn("--moved", refused.log())
        self.assertIn("--as-new", refused.log())
        self.assertEqual(d.Daemon(PROGRAM, copy, "--moved", "--as-new").wait(), 78)
        for folder, options in ((copy, ["--as-new"]), (copy, []), (third, ["--moved"]), (third, []),
                                (self.data, [])):
            ran = d.Daemon(PROGRAM, folder, *options)
            self.started.append(ran)
            ran.serving().kill()
        # A backup in the place of the folder is another one, too.
        shutil.rmtree(self.data)
        shutil.copytree(third, self.data)
        self.assertEqual(self.start().wait(), 79)

    def test_what_binds_a_folder_is_checked(self):
        self.start().serving().kill()
        with open(os.path.join(self.data, "binding.hfb"), "r+b") as f:
            f.seek(20)
            f.write(b"x")
        self.assertEqual(self.start().wait(), 65)

    def test_a_data_folder_of_another_kind_or_owner_is_told_with_its_path(self):
        as_another = {}
        program = PROGRAM
        if os.geteuid() == 0:  # root may everything
            program = shutil.copy(PROGRAM, self.folder)
            os.chmod(self.folder, 0o755)
            as_another = {"user": 65534, "group": 65534, "extra_groups": []}
        closed, lock = os.path.join(self.folder, "closed"), os.path.join(self.folder, "theirs")
        os.mkdir(closed, 0o500)
        os.mkdir(lock, 0o777)
        os.chmod(lock, 0o777)
        os.close(os.open(os.path.join(lock, "lock"), os.O_CREAT, 0o400))
        bound = os.path.join(self.folder, "bound")
        os.mkdir(bound)
        os.chmod(bound, 0o777)
        os.close(os.open(os.path.join(bound, "binding.hfb"), os.O_CREAT, 0))
        for path, why in ((closed, "Permission denied"), (lock, "Permission denied"),
                          (bound, "Permission denied"),
                          (os.path.join(closed, "made"), "Permission denied"),
                          (self.file("file", "x"), "is no folder"),
                          (os.path.join(self.folder, "none", "data"), "No such file")):
            done = subprocess.run([program, f"--data-folder={path}", "--listen=127.0.0.1:0",
                                   *d.SMALL], capture_output=True, text=True, timeout=60,
                                  check=False, **as_another)
            self.assertEqual(done.returncode, 78, done.stderr)
            self.assertIn(f"data_folder: {path}: {why}", done.stderr)

    def test_an_address_in_use(self):
        first = self.start().serving()
        second = d.Daemon(PROGRAM, os.path.join(self.folder, "other"),
                          listen=f"127.0.0.1:{first.port}")
        self.assertEqual(second.wait(), 69)
        self.assertIn("part=listener", second.log())
        third = d.Daemon(PROGRAM, os.path.join(self.folder, "other"),
                         f"--admin-listen=127.0.0.1:{first.admin_port}")
        self.assertEqual(third.wait(), 69)
        self.assertIn("part=admin", third.log())

    def test_a_unix_socket_in_use_is_not_taken_over(self):
        path = os.path.join(self.folder, "s.sock")
        first = self.start("--listener-check=200ms", listen=f"unix:{path}").serving()
        second = d.Daemon(PROGRAM, os.path.join(self.folder, "other"), listen=f"unix:{path}")
        self.assertEqual(second.wait(), 69)
        self.assertIn("another process listens on that socket", second.log())
        with grpc.insecure_channel(f"unix:{path}") as channel:
            self.assertEqual(health(channel), SERVING)
        first.kill()  # which leaves its file
        third = self.start(listen=f"unix:{path}").serving()
        self.assertEqual(third.end(), 0)

    def test_another_listener_at_its_path_is_not_taken_for_its_own(self):
        path = os.path.join(self.folder, "s.sock")
        ran = self.start("--listener-check=100ms", listen=f"unix:{path}").serving()
        os.unlink(path)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            other.listen(16)
            other.settimeout(0.1)
            asked = []

            def answer():
                while ran.process.poll() is None:
                    try:
                        peer, _ = other.accept()
                    except TimeoutError:
                        continue
                    asked.append(peer)
                    peer.sendall(b"\0\0\0\4\0\0\0\0\0")
            thread = threading.Thread(target=answer)
            thread.start()
            self.assertEqual(ran.wait(), 72)
            thread.join()
        self.assertIn("not the daemon's own", ran.log())

    def test_damage(self):
        first = self.start().serving()
        with first.channel() as channel:
            for i in range(20):
                self.stock(channel, f"sku-{i}", 5)
        first.kill()
        name = os.path.join(self.data, "journal-000000000001.hfj")
        with open(name, "r+b") as f:
            f.seek(3 * 4096 + 40)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 0x55]))
        second = self.start()
        self.assertEqual(second.wait(), 65)
        self.assertIn("journal-000000000001.hfj", second.log())

    def test_options_smaller_than_the_folder_holds(self):
        first = self.start().serving()
        with first.channel() as channel:
            for i in range(3):
                self.stock(channel, f"sku-{i}", 5)
        self.assertEqual(first.end(), 0, first.log())
        second = d.Daemon(PROGRAM, self.data, "--cells-max=2", "--ids-max=100", "--blocks-max=100",
                          small=False)
        self.assertEqual(second.wait(), 78)

    def test_strangers_that_use_up_descriptors_are_refused(self):
        ran = self.start("--listener-check=100ms", wrap=("prlimit", "--nofile=80:80")).serving()
        strangers = []
        self.addCleanup(lambda: [s.close() for s in strangers])

        def refused():
            page = ran.get("/metrics")[1]  # the admin address still lets people in
            return int(re.search(r"^holdfast_rpc_connections_refused_total (\d+)", page,
                                 re.M).group(1))
        with ran.channel() as channel:
            self.stock(channel, "apple", 5)
            for _ in range(200):
                s = socket.create_connection(("127.0.0.1", ran.port), timeout=5)
                s.sendall(b"PRI * HTTP/2.0\r\n")
                strangers.append(s)
            until = time.monotonic() + 30
            while refused() < 100 and time.monotonic() < until:
                time.sleep(0.05)
            self.assertGreater(refused(), 100)
            time.sleep(1)  # several of the daemon's checks, all refused
            self.assertIsNone(ran.process.poll(), ran.log())
            self.stock(channel, "pear", 5)  # who was there before is served
            files = len(os.listdir(f"/proc/{ran.process.pid}/fd"))
            self.assertLess(files, 80 - 8, "the engine has its share")
        self.assertIn("event=connections_refused", ran.log())
        self.assertNotIn("listener_silent", ran.log())
        for s in strangers:
            s.close()
        until = time.monotonic() + 30
        served = 0
        while served != SERVING and time.monotonic() < until:
            with ran.channel() as channel:
                try:
                    served = health(channel)
                except grpc.RpcError:
                    time.sleep(0.1)  # the strangers are just going
        self.assertEqual(served, SERVING)
        self.assertEqual(ran.end(), 0, ran.log())

    def test_a_deaf_listener_ends_the_process(self):
        ran = self.start("--listener-check=200ms", "--admin-listen=").serving()
        time.sleep(1)  # the engine has its files: it would end for the want of one, with 74
        # Nobody can be let in any more, not even the daemon's own check.
        resource.prlimit(ran.process.pid, resource.RLIMIT_NOFILE,
                         (4, resource.prlimit(ran.process.pid, resource.RLIMIT_NOFILE)[1]))
        self.assertEqual(ran.wait(), 72, ran.log())
        self.assertIn("event=listener_deaf exit=72", ran.log())

    def test_a_listener_lives_on_when_descriptors_come_back(self):
        # gRPC 1.51 by itself would listen no more.
        ran = self.start("--listener-check=0", "--admin-listen=").serving()
        before = resource.prlimit(ran.process.pid, resource.RLIMIT_NOFILE)
        time.sleep(1)
        resource.prlimit(ran.process.pid, resource.RLIMIT_NOFILE, (4, before[1]))
        with ran.channel() as channel:
            with self.assertRaises(grpc.RpcError):
                health(channel, timeout=1)
        resource.prlimit(ran.process.pid, resource.RLIMIT_NOFILE, before)
        with ran.channel() as channel:
            self.assertEqual(health(channel, timeout=20), SERVING)
        self.assertEqual(ran.end(), 0, ran.log())

    def test_a_healthy_listener_is_not_ended_by_its_checks(self):
        ran = self.start("--listener-check=50ms").serving()
        time.sleep(1)
        self.assertIsNone(ran.process.poll())
        self.assertNotIn("listener_silent", ran.log())
        self.assertEqual(ran.end(), 0, ran.log())


class Signals(Case):
    def test_term_drains_and_ends_with_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            ran = self.start().serving()
            with ran.channel() as channel:
                self.assertEqual(health(channel), SERVING)
                ran.signal(number)
                self.assertEqual(ran.wait(), 0, ran.log())
            self.assertIn("event=draining", ran.log())
            self.assertIn("event=ended exit=0", ran.log())

    def test_while_the_drain_is_delayed_health_warns_and_calls_are_taken(self):
        ran = self.start("--drain-delay=1500ms").serving()
        with ran.channel() as channel:
            self.stock(channel, "apple", 5)
            self.assertEqual(ran.get("/readyz")[:2], (200, "ok\n"))
            ran.signal(signal.SIGTERM)
            ran.wait_event("draining")
            time.sleep(0.2)
            self.assertEqual(health(channel), NOT_SERVING)
            self.assertEqual(ran.get("/readyz")[:2], (503, "draining\n"))
            self.assertEqual(ran.get("/healthz")[0], 200)
            stub = reservation_pb2_grpc.ReservationServiceStub(channel)
            reply = stub.Order(reservation_pb2.OrderRequest(
                reservation_id=d.uuid7(), lines=[line("apple", 1)]), timeout=5)
            self.assertEqual(len(reply.decision.lines), 1)
        self.assertEqual(ran.wait(), 0, ran.log())

    def test_pipe_is_ignored(self):
        ran = self.start().serving()
        ran.signal(signal.SIGPIPE)
        time.sleep(0.3)
        with ran.channel() as channel:
            self.assertEqual(health(channel), SERVING)
        self.assertEqual(ran.end(), 0, ran.log())

    def test_the_service_manager_is_told(self):
        path = os.path.join(self.folder, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(path)
            s.settimeout(60)
            ran = self.start(env={"NOTIFY_SOCKET": path})
            self.assertEqual(s.recv(100), b"READY=1")
            self.assertEqual(ran.end(), 0, ran.log())
            self.assertEqual(s.recv(100), b"STOPPING=1")


class Serving(Case):
    def test_decisions_survive_a_kill_and_are_counted(self):
        ran = self.start().serving()
        held, sold = d.uuid7(), d.uuid7()
        buyer = "buyer-key-0123456789"
        with ran.channel() as channel:
            self.stock(channel, "apple", 10)
            stub = reservation_pb2_grpc.ReservationServiceStub(channel)
            stub.Reserve(reservation_pb2.ReserveRequest(
                reservation_id=held, lines=[line("apple", 3)], ttl_ms=600000, buyer_key=buyer),
                timeout=10)
            stub.Order(reservation_pb2.OrderRequest(
                reservation_id=sold, lines=[line("apple", 5)]), timeout=10)
            refused = stub.Order(reservation_pb2.OrderRequest(
                reservation_id=d.uuid7(), lines=[line("apple", 3)]), timeout=10)
            self.assertEqual(refused.decision.lines[0].shortfall, 1)
        families = ran.metrics()
        self.check_families(families)
        counted = [(verb, outcome, d.value(families, "holdfast_decisions_total", verb=verb,
                                           outcome=outcome))
                   for verb, outcome in (("RESERVE", "DONE"), ("ORDER", "DONE"),
                                         ("ORDER", "REFUSED"), ("CANCEL", "DONE"))]
        self.assertEqual([n for _, _, n in counted], [1, 1, 1, 0])
        self.assertGreaterEqual(d.value(families, "holdfast_journal_syncs_total"), 2)
        self.assertEqual(d.value(families, "holdfast_stock_cells"), 1)
        self.assertEqual(d.value(families, "holdfast_ready_state"), 1)
        ran.kill()
        again = self.start().serving()
        self.assertIn("event=recovered", again.log())
        with again.channel() as channel:
            stub = reservation_pb2_grpc.ReservationServiceStub(channel)
            states = [stub.GetReservation(reservation_pb2.GetReservationRequest(
                reservation_id=i), timeout=10).reservation for i in (held, sold)]
            self.assertEqual([sum(x.quantity for x in s.lines) for s in states], [3, 5])
        self.assertEqual(again.end(), 0, again.log())
        self.assertNotIn(buyer, ran.log() + again.log())

    def check_families(self, families):
        self.assertGreater(len(families), 50)
        for name, family in families.items():
            self.assertTrue(name.endswith(UNITS), f"{name} has no unit")
            self.assertTrue(family.help.strip(), f"{name} has no help")
            self.assertTrue(family.samples, f"{name} has no sample")
            self.assertIn(family.type, ("counter", "gauge", "histogram"))
            self.assertEqual(family.type == "counter", name.endswith("_total"), name)
            self.assertNotIn("_max_total", name)
            if family.type == "histogram":
                self.check_histogram(family)

    def check_histogram(self, family):
        series = {}
        for (name, labels), count in family.samples.items():
            if name.endswith("_bucket"):
                rest = tuple(x for x in labels if x[0] != "le")
                bound = float(dict(labels)["le"].replace("+Inf", "inf"))
                series.setdefault(rest, []).append((bound, count))
        self.assertTrue(series)
        for rest, buckets in series.items():
            self.assertEqual(buckets, sorted(buckets))
            counts = [c for _, c in buckets]
            self.assertEqual(counts, sorted(counts))
            self.assertEqual(buckets[-1][0], float("inf"))
            self.assertEqual(counts[-1], family.samples[(family.name + "_count", rest)])

    def test_curl_reads_the_admin_address(self):
        ran = self.start().serving()
        base = f"http://127.0.0.1:{ran.admin_port}"
        done = subprocess.run(["curl", "-sS", "-i", base + "/version"], capture_output=True,
                              text=True, timeout=20)
        self.assertRegex(done.stdout, r"HTTP/1.1 200 OK\r?\n(?s:.*)application/json(?s:.*)"
                                      r'"version":"\d(?s:.*)"grpc_core":"\d')
        self.assertEqual(ran.get("/nothing")[0], 404)
        self.assertEqual(ran.get("/metrics", "POST")[0], 405)

    def test_a_unix_socket(self):
        path = os.path.join(self.folder, "s")
        ran = self.start("--listener-check=100ms", listen=f"unix:{path}").serving()
        with grpc.insecure_channel(f"unix:{path}") as channel:
            self.assertEqual(health(channel), SERVING)
        time.sleep(0.5)
        self.assertNotIn("listener_silent", ran.log())
        self.assertEqual(ran.end(), 0, ran.log())

    def test_answers_do_not_wait_in_mode_group(self):
        ran = self.start("--durability=group:50ms").serving()
        with ran.channel() as channel:
            self.stock(channel, "apple", 5)
            stub = reservation_pb2_grpc.ReservationServiceStub(channel)
            reply = stub.Order(reservation_pb2.OrderRequest(
                reservation_id=d.uuid7(), lines=[line("apple", 1)]), timeout=10)
            self.assertFalse(reply.decision.durable)
            refused = stub.Reserve(reservation_pb2.ReserveRequest(
                reservation_id=d.uuid7(), lines=[line("apple", 9)], ttl_ms=60000), timeout=10)
            self.assertTrue(refused.decision.durable)  # nothing was written that could be lost
        self.assertIn("event=durability", ran.log())

    def test_every_decision_is_durable_in_mode_sync(self):
        ran = self.start().serving()
        with ran.channel() as channel:
            self.stock(channel, "apple", 5)
            stub = reservation_pb2_grpc.ReservationServiceStub(channel)
            for ask, request, more in (
                    (stub.Reserve, reservation_pb2.ReserveRequest, {"ttl_ms": 60000}),
                    (stub.Order, reservation_pb2.OrderRequest, {})):
                for quantity, outcome in ((9, common_pb2.OUTCOME_REFUSED),
                                          (1, common_pb2.OUTCOME_DONE)):
                    reply = ask(request(reservation_id=d.uuid7(),
                                        lines=[line("apple", quantity)], **more), timeout=10)
                    self.assertEqual(reply.decision.outcome, outcome)
                    self.assertTrue(reply.decision.durable)


class Keys(Case):
    KEY = "hf_" + "k" * 43
    OTHER = "hf_" + "o" * 43

    def key_line(self, name, roles, key, more=""):
        import hashlib
        return f"{name} {roles} {hashlib.sha256(key.encode()).hexdigest()} {more}\n"

    def call(self, channel, key):
        """The status with which a read is answered; NOT_FOUND: the key was good."""
        stub = reservation_pb2_grpc.ReservationServiceStub(channel)
        metadata = [("authorization", f"Bearer {key}")] if key else None
        try:
            stub.GetReservation(reservation_pb2.GetReservationRequest(
                reservation_id=d.uuid7()), metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            return error.code()
        return None

    def test_keys_are_asked_for_reloaded_and_never_logged(self):
        path = self.file("keys", self.key_line("shop", "storefront", self.KEY))
        ran = self.start(f"--key-file={path}").serving()
        with ran.channel() as channel:
            self.assertEqual(self.call(channel, None), grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(self.call(channel, self.OTHER), grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(self.call(channel, self.KEY), grpc.StatusCode.NOT_FOUND)
            with self.assertRaises(grpc.RpcError) as refused:
                self.stock(channel, "apple", 1, [("authorization", f"Bearer {self.KEY}")])
            self.assertEqual(refused.exception.code(), grpc.StatusCode.PERMISSION_DENIED)
            self.assertEqual(health(channel), SERVING)  # open to everybody
            self.file("keys", self.key_line("shop", "storefront", self.OTHER))
            ran.signal(signal.SIGHUP)
            ran.wait_event("reloaded")
            self.assertEqual(self.call(channel, self.KEY), grpc.StatusCode.UNAUTHENTICATED)
            self.assertEqual(self.call(channel, self.OTHER), grpc.StatusCode.NOT_FOUND)
            self.file("keys", f"shop storefront {self.KEY}\n")  # in clear, by mistake
            ran.signal(signal.SIGHUP)
            ran.wait_event("reload_failed")
            self.assertEqual(self.call(channel, self.OTHER), grpc.StatusCode.NOT_FOUND)
            self.assertEqual(d.value(ran.metrics(), "holdfast_valid_keys"), 1)
        self.assertEqual(ran.end(), 0, ran.log())
        self.assertNotIn(self.KEY, ran.log())
        self.assertNotIn(self.OTHER, ran.log())

    def test_without_a_file_the_log_says_so(self):
        ran = self.start().serving()
        self.assertIn("everybody may do everything", ran.log())


@unittest.skipUnless(shutil.which("openssl"), "needs the openssl program")
class Tls(Case):
    def certificates(self):
        def openssl(*args):
            subprocess.run(["openssl", *args], cwd=self.folder, check=True, capture_output=True,
                           timeout=60)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
                "-subj", "/CN=test authority")
        self.file("names", "subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        for name in ("server", "client"):
            openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                    f"/CN={name}")
            openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                    "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", f"{name}.pem")

    def path(self, name):
        return os.path.join(self.folder, name)

    def pem(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def channel(self, ran, *mine):
        return grpc.secure_channel(f"localhost:{ran.port}",
                                   grpc.ssl_channel_credentials(self.pem("ca.pem"), *mine))

    def tls_args(self):
        return (f"--tls-certificate={self.path('server.pem')}",
                f"--tls-key={self.path('server.key')}", "--listener-check=100ms")

    def test_tls_and_its_self_check(self):
        self.certificates()
        ran = self.start(*self.tls_args()).serving()
        with self.channel(ran) as channel:
            self.assertEqual(health(channel), SERVING)
        end = d.value(ran.metrics(), "holdfast_tls_certificate_end_seconds")
        self.assertAlmostEqual(end, time.time() + 2 * 86400, delta=3600)
        with ran.channel() as plain, self.assertRaises(grpc.RpcError):
            health(plain)
        time.sleep(0.5)
        self.assertNotIn("listener_silent", ran.log())
        self.assertEqual(ran.end(), 0, ran.log())

    def test_mutual_tls_and_its_quiet_self_check(self):
        self.certificates()
        ran = self.start(*self.tls_args(), f"--tls-client-ca={self.path('ca.pem')}").serving()
        time.sleep(0.5)
        self.assertNotIn("event=grpc", ran.log())
        self.assertNotIn("listener_silent", ran.log())
        with self.channel(ran, self.pem("client.key"), self.pem("client.pem")) as channel:
            self.assertEqual(health(channel), SERVING)
        with self.channel(ran) as stranger, self.assertRaises(grpc.RpcError):
            health(stranger)
        self.assertEqual(ran.end(), 0, ran.log())

    def test_certificates_change_under_a_live_daemon(self):
        self.certificates()
        ran = self.start(*self.tls_args(), f"--tls-client-ca={self.path('ca.pem')}").serving()
        mine = self.pem("client.key"), self.pem("client.pem")
        with self.channel(ran, *mine) as before:
            self.assertEqual(health(before), SERVING)
            with open(self.path("server.key"), "w", encoding="ascii") as f:
                f.write("no key\n")
            ran.signal(signal.SIGHUP)
            self.assertIn("the certificates in force stay", ran.wait_event("reload_failed"))
            self.assertIn("certificates=stay", ran.wait_event("reloaded"))  # the keys were read
            with self.channel(ran, *mine) as channel:
                self.assertEqual(health(channel), SERVING)
            old_authority = grpc.ssl_channel_credentials(self.pem("ca.pem"), *mine)
            old_server = grpc.ssl_channel_credentials(self.pem("ca.pem"))
            self.certificates()  # another authority, server and client
            ran.signal(signal.SIGHUP)
            self.assertIn("certificates=read", ran.wait_event("reloaded"))
            new = self.pem("client.key"), self.pem("client.pem")
            with self.channel(ran, *new) as channel:
                self.assertEqual(health(channel), SERVING)
            for stranger in (old_authority, old_server):
                with grpc.secure_channel(f"localhost:{ran.port}", stranger,
                                         [("grpc.use_local_subchannel_pool", 1)]) as channel, \
                        self.assertRaises(grpc.RpcError):
                    health(channel)
            with self.channel(ran, *mine) as channel, self.assertRaises(grpc.RpcError):
                health(channel)  # a client certificate of the old authority
            self.assertEqual(health(before), SERVING)  # its connection stays
        self.assertEqual(ran.end(), 0, ran.log())

    def test_a_certificate_changes_without_client_authorities(self):
        self.certificates()
        ran = self.start(*self.tls_args()).serving()
        with self.channel(ran) as channel:
            self.assertEqual(health(channel), SERVING)
        self.certificates()
        ran.signal(signal.SIGHUP)
        ran.wait_event("reloaded")
        with self.channel(ran) as channel:
            self.assertEqual(health(channel), SERVING)
        self.assertEqual(ran.end(), 0, ran.log())

    def test_a_certificate_that_is_none(self):
        self.file("server.pem", "no certificate\n")
        self.file("server.key", "no key\n")
        done = run("--check-config", *self.tls_args(), f"--tls-client-ca={self.path('server.key')}")
        self.assertEqual(done.returncode, 78)
        for part in ("server.pem: has no certificate", "server.key: has no private key",
                     "tls_client_ca: "):
            self.assertIn(part, done.stderr)
        self.assertEqual(self.start(*self.tls_args()).wait(), 78)

    def test_a_key_of_another_certificate_and_an_encrypted_one(self):
        self.certificates()
        shutil.copy(self.path("client.key"), self.path("server.key"))
        done = run("--check-config", *self.tls_args())
        self.assertEqual(done.returncode, 78)
        self.assertIn("is not the key of the certificate", done.stderr)
        subprocess.run(["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", "client.key",
                        "-out", "server.key"], cwd=self.folder, check=True, capture_output=True)
        done = run("--check-config", *self.tls_args())
        self.assertEqual(done.returncode, 78)
        self.assertIn("an encrypted one", done.stderr)


class Documents(unittest.TestCase):
    def read(self, *names):
        with open(os.path.join(d.SOURCE, *names), encoding="utf-8") as f:
            return f.read()

    def test_the_runbook_has_every_exit_code_and_the_metrics_it_names_exist(self):
        page = self.read("docs", "OPERATIONS.md")
        codes = re.findall(r"^  (\d+) +\S", run("--help").stdout, re.M)
        self.assertGreater(len(codes), 8)
        self.assertEqual(codes, re.findall(r"^\| (\d+) \|", page, re.M))
        folder = tempfile.mkdtemp(prefix="holdfast-daemon.")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        key = os.path.join(folder, "key")
        with open(key, "w", encoding="ascii") as f:
            f.write("nobody-listens-there\n")
        ran = d.Daemon(PROGRAM, os.path.join(folder, "data"), "--odoo-url=http://127.0.0.1:9",
                       "--odoo-database=none", f"--odoo-key-file={key}",
                       "--odoo-locations=main=WH", "--packet-listen=127.0.0.1:0").serving()
        self.addCleanup(ran.kill)
        families = ran.metrics()
        named = set(re.findall(r"`((?:holdfast|process)_[a-z_]+)`", page))
        self.assertGreater(len(named), 10)
        # A device's are there with a device only: tests/clients/test_packets_veth.py reads them.
        named = {n for n in named if not n.startswith("holdfast_packet_device_")}
        self.assertEqual(named - set(families), set())

    def test_the_page_of_the_api_has_every_reason(self):
        folder, told = os.path.join(d.SOURCE, "api"), set()
        no_reasons = {"HELD", "COMMITTED"}
        for name in ("rpc", "service"):
            for file in os.listdir(os.path.join(folder, name)):
                if file.endswith((".c", ".h")):
                    told |= set(re.findall(r'"([A-Z]+(?:_[A-Z]+)*)"',
                                           self.read("api", name, file))) - no_reasons
        # Those of the engine's outcomes, which are told by their names.
        told |= {"CONFLICT", "IN_PROGRESS", "ID_TOO_OLD", "ID_IN_FUTURE"}
        page = self.read("docs", "api.md")
        named = set()
        for row in re.findall(r"^\| `[A-Z_]+` \|([^|]*)\|.*\|.*\|$", page, re.M):
            named |= set(re.findall(r"`([A-Z_]+)`", row))
        self.assertGreater(len(told), 30)
        self.assertEqual(told, named)

    def test_the_service_config_of_the_page_is_one(self):
        import json
        page = self.read("docs", "api.md")
        text = re.search(r"^    (\{\"methodConfig.*?)\n\n", page, re.M | re.S).group(1)
        config = json.loads(text)["methodConfig"][0]
        self.assertEqual(config["name"], [{"service": "holdfast.v1.ReservationService"}])
        policy = config["retryPolicy"]
        self.assertLessEqual(policy["maxAttempts"], 5)  # gRPC takes no more
        for code in policy["retryableStatusCodes"]:
            self.assertTrue(hasattr(grpc.StatusCode, code))

    def test_the_unit_file_matches_the_exit_codes(self):
        unit = self.read("packaging", "holdfastd.service")
        never = re.findall(r"^  (\d+) +.*starting again won't help", run("--help").stdout, re.M)
        self.assertIn("RestartPreventExitStatus=" + " ".join(never) + "\n", unit)


if __name__ == "__main__":
    try:
        unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
    finally:
        shutil.rmtree(STUBS, ignore_errors=True)
