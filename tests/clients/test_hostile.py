#!/usr/bin/env python3
"""Clients that use up what is for all, that leave at a bad moment, and keys that go.

Usage: test_hostile.py HOLDFASTD [TEST ...]
"""
import os
import re
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402  (finds an interpreter that has grpc)
from test_reservations import DONE, Client, operations, uuid7  # noqa: E402


LONG_AGO_MS = 1500000000000  # before any id window


def metric(server, name):
    port = re.search(r" admin_port=([0-9]+)", "".join(server.log)).group(1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as page:
        return next(float(line.split()[1]) for line in page.read().decode().splitlines()
                    if line.startswith(name + " "))


def eventually(holds, seconds=10):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)


def reserves(c, sku, count):
    return [dict(reserve=c.r.ReserveRequest(reservation_id=uuid7(), lines=[c.line(sku, 1)],
                                            ttl_ms=60000)) for _ in range(count)]


def old_get(c):
    return dict(get=c.r.GetReservationRequest(reservation_id=uuid7(LONG_AGO_MS)))


# ------------------------------------------------------------------------------- streams

def test_a_stream_that_ends_while_its_results_wait_for_the_disk_is_let_go(start):
    with start("--durability", "group:300ms") as server:
        c = Client(server.channel())
        c.make("gone", 10**6)
        for _ in range(8):
            hold = threading.Event()

            def requests(hold=hold, ident=uuid7()):
                yield operations(c, [
                    dict(reserve=c.r.ReserveRequest(reservation_id=ident, ttl_ms=60000,
                                                    lines=[c.line("gone", 1)])),
                    dict(get=c.r.GetReservationRequest(reservation_id=ident))])
                hold.wait(20)
            before = metric(server, "holdfast_rpc_messages_total")
            call = c.reservations.ReserveStream(requests())
            eventually(lambda b=before: metric(server, "holdfast_rpc_messages_total") > b)
            call.cancel()
            hold.set()
        eventually(lambda: metric(server, "holdfast_rpc_open_streams") == 0)


def test_nothing_is_received_while_a_message_is_with_the_slow_lane(start):
    with start() as server:
        c = Client(server.channel())
        c.make("slow", 10**6)
        for _ in range(4):
            sent = [operations(c, [old_get(c)] * 4 if i % 2 else reserves(c, "slow", 4))
                    for i in range(100)]
            answers = list(c.reservations.ReserveStream(iter(sent)))
            assert len(answers) == len(sent)
            for i, answer in enumerate(answers):
                assert len(answer.results) == 4
                for r in answer.results:
                    assert r.error.reason == "UNKNOWN" if i % 2 else r.decision.outcome == DONE, r


def main():
    program = os.path.abspath(sys.argv[1])
    only = sys.argv[2:]
    with world.scratch() as folder:
        world.make_stubs(os.path.join(folder, "stubs"))
        for name, test in list(globals().items()):
            if not name.startswith("test_") or (only and name not in only):
                continue
            begin = time.monotonic()
            data = os.path.join(folder, name)
            test(lambda *more, data=data: world.Server(program, data, *more, admin="127.0.0.1:0"))
            print(f"ok  {time.monotonic() - begin:6.2f} s  {name[5:].replace('_', ' ')}",
                  flush=True)
    print("all passed")


if __name__ == "__main__":
    main()
