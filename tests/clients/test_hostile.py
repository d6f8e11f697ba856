#!/usr/bin/env python3
"""Clients that use up what is for all, that leave at a bad moment, and keys that go.

Usage: test_hostile.py HOLDFASTD [TEST ...]
"""
import hashlib
import os
import queue
import re
import resource
import signal
import socket
import struct
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402  (finds an interpreter that has grpc)
from test_reservations import (  # noqa: E402
    CODE, DONE, Client, details_of, fails, operations, quick, uuid7)

import grpc  # noqa: E402

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


def make_key(folder, *lines):
    """A key file; each line is name, roles and limits. The keys by name."""
    keys = {name: f"hf_{name}_0123456789abcdef" for name, *_ in lines}
    with open(os.path.join(folder, "keys"), "w", encoding="ascii") as f:
        for name, *words in lines:
            digest = hashlib.sha256(keys[name].encode()).hexdigest()
            print(name, words[0], digest, *words[1:], file=f)
    return keys


class Keyed(Client):
    """A client whose every call carries a key."""

    def __init__(self, server, key):
        class Carry(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
                    grpc.StreamStreamClientInterceptor):
            def carry(self, go_on, details, request):
                return go_on(details._replace(metadata=[("authorization", f"Bearer {key}")]),
                             request)
            intercept_unary_unary = intercept_unary_stream = intercept_stream_stream = carry
        super().__init__(grpc.intercept_channel(server.channel(), Carry()))


# ------------------------------------------------------------------------------- without a key

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def unread_calls(server, path, count, *more):
    """Unary calls whose answers may not be sent: HTTP/2 with a window of 0."""
    host, port = server.address.split(":")
    s = socket.create_connection((host, int(port)))
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
              frame(4, 0, 0, struct.pack(">HI", 4, 0)) + frame(4, 1, 0))
    headers = b"".join(b"\x00" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more))
    for i in range(count):
        s.sendall(frame(1, 4, 2 * i + 1, headers) + frame(0, 1, 2 * i + 1, b"\0" * 5))
    return s


def test_nobody_writes_lines_of_their_own_into_the_log(start):
    with start() as server:
        lie = b'x"\nlevel=error event=lie why="'
        calls = unread_calls(server, b"/grpc.health.v1.Health/Check", 1, (b"grpc-timeout", lie))
        eventually(lambda: "event=lie" in "".join(server.log))
        calls.close()
        for line in server.log:
            assert line.startswith("level=") and line.count('"') % 2 == 0, line
            assert not line.startswith("level=error"), line
            assert "event=lie" not in line or line.count('"') == 2, line


def test_who_has_no_key_takes_no_place_from_those_who_have(start, folder):
    import hf_health_pb2 as h, hf_health_pb2_grpc as hg
    keys = make_key(folder, ("shop", "storefront,stock_admin"))
    with start("--key-file", os.path.join(folder, "keys"), "--grpc-calls-max", "20",
               "--grpc-streams-max", "20") as server:
        c = Keyed(server, keys["shop"])
        c.make("place", 10**6)
        stranger = server.channel()
        watch = [hg.HealthStub(stranger).Watch(h.HealthCheckRequest()) for _ in range(100)]
        calls = unread_calls(server, b"/grpc.health.v1.Health/Check", 100)
        eventually(lambda: metric(server, "holdfast_rpc_open_calls") >= 20)
        eventually(lambda: metric(server, "holdfast_rpc_open_streams") >= 20)
        quick(c, "place")
        answers = list(c.reservations.ReserveStream(iter([operations(
            c, reserves(c, "place", 1))])))
        assert answers[0].results[0].decision.outcome == DONE
        eventually(lambda: metric(server, "holdfast_rpc_refused_total") > 0)
        for w in watch:
            w.cancel()
        calls.close()
        eventually(lambda: metric(server, "holdfast_rpc_open_calls") == 0)
        stranger.close()


def test_who_has_a_wrong_key_counts_as_one_who_has_none(start, folder):
    make_key(folder, ("shop", "storefront,stock_admin"))
    with start("--key-file", os.path.join(folder, "keys"), "--grpc-calls-max", "20",
               "--grpc-pollers", "1") as server:
        wrong = Keyed(server, "hf_wrong_0123456789abcdef")
        fails(lambda: wrong.cell("any"), CODE.UNAUTHENTICATED, reason="KEY")
        calls = unread_calls(server, b"/grpc.health.v1.Health/Check", 20)
        eventually(lambda: metric(server, "holdfast_rpc_open_calls") >= 20)
        fails(lambda: wrong.cell("any"), CODE.RESOURCE_EXHAUSTED, reason="TOO_MANY_CALLS")
        calls.close()


def test_a_key_has_its_share_of_calls_and_streams(start, folder):
    keys = make_key(folder, ("wild", "storefront"), ("calm", "storefront,stock_admin"))
    with start("--key-file", os.path.join(folder, "keys"), "--grpc-calls-max", "20",
               "--grpc-streams-max", "20", "--grpc-pollers", "1", "--grpc-key-share",
               "50") as server:
        wild, calm = Keyed(server, keys["wild"]), Keyed(server, keys["calm"])
        calm.make("share", 10**6)
        hold = threading.Event()

        def one(c):
            yield operations(c, reserves(c, "share", 1))
            hold.wait(60)

        def opened(c):
            call = c.reservations.ReserveStream(one(c), timeout=60)
            return call, next(call)
        streams = [opened(wild) for _ in range(10)]
        for _ in range(3):
            fails(lambda: opened(wild), CODE.RESOURCE_EXHAUSTED, reason="KEY_SHARE")
        streams.append(opened(calm))
        # 30 calls that are admitted one after the other, and whose answers may not be sent.
        bearer = (b"authorization", b"Bearer " + keys["wild"].encode())
        calls = unread_calls(server, b"/holdfast.v1.StockReadService/ListStock", 30, bearer)
        eventually(lambda: metric(server, "holdfast_rpc_key_refused_total") >= 3 + 20)
        assert metric(server, "holdfast_rpc_open_calls") == 10
        try:
            wild.cell("share")
            raise AssertionError("admitted")
        except grpc.RpcError as e:
            field, reason, retry_ns = details_of(e)
            assert (e.code(), reason) == (CODE.RESOURCE_EXHAUSTED, "KEY_SHARE"), e
            assert retry_ns == 50 * 10**6, retry_ns
        quick(calm, "share")
        assert metric(server, "holdfast_rpc_key_refused_total") == 3 + 20 + 1
        calls.close()
        hold.set()
        for call, _ in streams:
            call.cancel()
        eventually(lambda: metric(server, "holdfast_rpc_open_calls") == 0)
        eventually(lambda: metric(server, "holdfast_rpc_open_streams") == 0)
        quick(wild, "share")  # what it had it may have again

        def watching(c):
            call = c.stock.WatchStock(c.s.WatchStockRequest(), timeout=60)
            assert next(call).snapshot_complete
            return call
        for _ in range(2):  # of watchers_max, 8
            watches = [watching(wild) for _ in range(4)]
            fails(lambda: watching(wild), CODE.RESOURCE_EXHAUSTED, reason="KEY_SHARE")
            watches.append(watching(calm))
            for w in watches:
                w.cancel()
            eventually(lambda: metric(server, "holdfast_watchers") == 0)
        streams = [opened(wild) for _ in range(10)]
        for call, _ in streams:
            call.cancel()


def test_idle_streams_hold_no_memory_of_what_they_were_sent(start):
    with start() as server:
        c = Client(server.channel())
        c.make("large", 10**6)
        # Fields that nobody knows, two bytes each, and fifty when unpacked.
        padding = b"\x78\x01" * 400000
        serialize = dict(request_serializer=lambda m: m, response_deserializer=lambda m: m)
        message = operations(c, reserves(c, "large", 1)).SerializeToString() + padding
        before = server.resident_kib()
        streams = []
        for path, bytes_ in (
                ("/holdfast.v1.ReservationService/ReserveStream", message),
                ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", padding)):
            for _ in range(30):
                sent = queue.Queue()
                streams.append(c.channel.stream_stream(path, **serialize)(
                    iter(sent.get, None), timeout=60))
                sent.put(bytes_)
                try:
                    next(streams[-1])
                except grpc.RpcError as e:
                    assert e.code() == CODE.RESOURCE_EXHAUSTED, e
        assert server.resident_kib() - before < 1 << 20, server.resident_kib() - before
        for s in streams:
            s.cancel()


def wide_holds(c, count):
    """Holds of 1,024 lines."""
    rows = [c.a.ImportStockRow(operation_id=uuid7(), sku=f"wide-{i}", location="main",
                               on_hand=c.a.OptionalQuantity(value=100)) for i in range(1024)]
    for at in range(0, 1024, 512):
        c.admin.ImportStock(c.a.ImportStockRequest(rows=rows[at:at + 512]))
    ids = [uuid7() for _ in range(count)]
    for ident in ids:
        assert c.reserve([c.line(f"wide-{i}", 1) for i in range(1024)], ident,
                         ttl_ms=600000).outcome == DONE
    return ids


def test_answers_that_nobody_reads_take_so_much_memory_and_no_more(start):
    with start("--grpc-memory-bytes-max", "64MiB", "--grpc-pollers", "1") as server:
        c = Client(server.channel())
        wide_holds(c, 20)
        answers = metric(server, "holdfast_rpc_deferred_total")
        before = server.resident_kib()
        calls = unread_calls(server, b"/holdfast.v1.ReservationService/ListReservations", 150)
        eventually(lambda: metric(server, "holdfast_rpc_deferred_total") == answers + 150, 60)

        def refused():
            try:
                return c.cell("wide-0").held < 0
            except grpc.RpcError as e:
                assert e.code() == CODE.RESOURCE_EXHAUSTED, e
                return details_of(e)[1:] == ("MEMORY", 50 * 10**6)
        eventually(refused, 60)
        grown = server.resident_kib() - before
        assert grown < 200 * 1024, grown
        calls.close()
        eventually(lambda: metric(server, "holdfast_rpc_open_calls") == 0)
        assert c.cell("wide-0").held == 20


def test_results_that_nobody_reads_take_so_much_memory_and_no_more(start):
    streams, messages, gets = 12, 6, 90
    with start("--grpc-memory-bytes-max", "32MiB", "--grpc-pollers", "1") as server:
        c = Client(server.channel())
        wide = wide_holds(c, 1)[0]
        get = dict(get=c.r.GetReservationRequest(reservation_id=wide))
        plain = operations(c, [get] * gets).SerializeToString()
        slow = operations(c, [old_get(c)] + [get] * gets).SerializeToString()
        serialize = dict(request_serializer=lambda m: m, response_deserializer=len)
        path = "/holdfast.v1.ReservationService/ReserveStream"
        before = server.resident_kib()
        channels = [server.narrow_channel() for _ in range(streams)]
        calls = [channel.stream_stream(path, **serialize)(iter([slow if i % 2 else plain] *
                                                               messages), timeout=150)
                 for i, channel in enumerate(channels)]
        last = -1  # until nothing is taken in any more
        while (taken := metric(server, "holdfast_rpc_messages_total")) != last:
            last = taken
            time.sleep(1)
        grown = server.resident_kib() - before
        assert grown < 120 * 1024, grown
        assert metric(server, "holdfast_rpc_held_total") > 0
        sizes = [[] for _ in calls]  # all of it comes when it is read
        readers = [threading.Thread(target=lambda to, call: to.extend(call), args=pair)
                   for pair in zip(sizes, calls)]
        for r in readers:
            r.start()
        for r in readers:
            r.join()
        for each in sizes:
            assert len(each) == messages and min(each) > 1 << 20, each
        for channel in channels:
            channel.close()


# ------------------------------------------------------------------------------- keys that go

def ends_with(call, code):
    """What is left of a stream's answers, then how it ends."""
    try:
        for _ in call:
            pass
    except grpc.RpcError as e:
        assert e.code() == code, e
        return
    raise AssertionError(f"ended with OK, wanted {code}")


def test_a_revoked_key_ends_its_streams(start, folder):
    keys = make_key(folder, ("shop", "storefront,stock_admin"), ("next", "storefront"))
    with start("--key-file", os.path.join(folder, "keys")) as server:
        c = Keyed(server, keys["shop"])
        c.make("revoked", 10**6)
        sent = queue.Queue()
        stream = c.reservations.ReserveStream(iter(sent.get, None), timeout=20)
        sent.put(operations(c, reserves(c, "revoked", 1)))
        assert next(stream).results[0].decision.outcome == DONE
        watch = c.stock.WatchStock(c.s.WatchStockRequest(interval_ms=10), timeout=20)
        assert next(watch).snapshot_complete
        make_key(folder, ("next", "storefront"))
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: "event=reloaded" in "".join(server.log))
        sent.put(operations(c, reserves(c, "revoked", 1)))
        ends_with(stream, CODE.UNAUTHENTICATED)
        Keyed(server, keys["next"]).reserve([c.line("revoked", 1)])  # something to be told
        ends_with(watch, CODE.UNAUTHENTICATED)
        sent.put(None)


def test_a_key_with_limits_keeps_to_its_own_reservations(start, folder):
    keys = make_key(folder, ("root", "operator"), ("web", "storefront", "channels=web"),
                    ("north", "storefront", "locations=north"), ("read", "reader", "channels=web"))
    with start("--key-file", os.path.join(folder, "keys")) as server:
        root, web, north, read = (Keyed(server, keys[k]) for k in ("root", "web", "north", "read"))
        for channel in ("web", "shop"):
            root.admin.CreateChannel(root.a.CreateChannelRequest(channel=channel))
        root.make("own", 1000, "north")
        root.make("own", 1000, "south")
        denied = dict(code=CODE.PERMISSION_DENIED, reason="RESERVATION")

        def each(c, ident):
            op, r = dict(reservation_id=ident, operation_id=uuid7()), c.reservations
            yield lambda: r.Extend(c.r.ExtendRequest(ttl_ms=70000, **op))
            yield lambda: r.Release(c.r.ReleaseRequest(reservation_id=ident))
            yield lambda: r.Commit(c.r.CommitRequest(reservation_id=ident))

        for owner, channel, location, others in ((root, "shop", "north", (web,)),
                                                 (root, "web", "south", (north,)),
                                                 (root, "", "south", (web, north))):
            ident = uuid7()
            owner.reserve([owner.line("own", 1, location)], ident, channel=channel)
            for c in others:
                for call in each(c, ident):
                    fails(call, **denied)
                fails(lambda c=c, i=ident: c.get(i), **denied)
                results = list(c.reservations.ReserveStream(iter([operations(c, [
                    dict(commit=c.r.CommitRequest(reservation_id=ident)),
                    dict(get=c.r.GetReservationRequest(reservation_id=ident))])])))[0].results
                assert [r.error.reason for r in results] == ["RESERVATION"] * 2, results
            assert owner.get(ident).state == 1, "held as before"
        mine = uuid7()
        web.reserve([web.line("own", 1, "south")], mine, channel="web")
        listed = read.reservations.ListReservations(read.r.ListReservationsRequest()).reservations
        assert {r.channel for r in listed} == {"web"}, listed
        assert web.get(mine).reservation_id == mine
        for call in list(each(web, mine))[::2]:
            assert call().decision.outcome == DONE


def test_a_key_with_limits_keeps_to_its_own_when_lines_are_on_the_disk(start, folder):
    keys = make_key(folder, ("root", "operator"), ("north", "storefront", "locations=north"))
    with start("--key-file", os.path.join(folder, "keys")) as server:
        root, north = Keyed(server, keys["root"]), Keyed(server, keys["north"])
        for sku in ("one", "two"):
            for location in ("north", "south"):
                root.make(sku, 1000, location)

        def order(*places):  # of two lines: they leave memory as soon as it is decided
            ident = uuid7()
            lines = [root.line(sku, 1, place) for sku, place in zip(("one", "two"), places)]
            assert root.reservations.Order(root.r.OrderRequest(
                reservation_id=ident, lines=lines)).decision.outcome == DONE
            return ident

        def cancel(ident):
            return north.r.CancelRequest(reservation_id=ident, operation_id=uuid7(),
                                         lines=[north.line("one", 1, "north")])
        listing = north.r.ListReservationsRequest()
        mine = order("north", "north")
        for ident in (order("south", "south"), order("north", "south")):
            assert not north.reservations.ListReservations(listing).reservations
            for call in (lambda i=ident: north.get(i),
                         lambda i=ident: north.reservations.Cancel(cancel(i))):
                fails(call, CODE.PERMISSION_DENIED, reason="RESERVATION")
            results = list(north.reservations.ReserveStream(iter([operations(north, [
                dict(cancel=cancel(ident)),
                dict(commit=north.r.CommitRequest(reservation_id=ident)),
                dict(get=north.r.GetReservationRequest(reservation_id=ident))])])))[0].results
            assert [r.error.reason for r in results] == ["RESERVATION"] * 3, results
        results = list(north.reservations.ReserveStream(iter([operations(north, [
            dict(cancel=cancel(i)) for i in (order("south", "south"), mine)])])))[0].results
        assert results[0].error.reason == "RESERVATION", results
        assert results[1].decision.outcome == DONE, results
        assert len(north.get(mine).lines) == 2
        listed = north.reservations.ListReservations(listing).reservations
        assert [r.reservation_id for r in listed] == [mine], listed


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


# ------------------------------------------------------------------------------- the end

def test_an_engine_that_fails_during_the_drain_ends_it(start):
    server = start("--drain-delay", "1s", "--grpc-drain", "1s")
    c = Client(server.channel())
    c.make("end", 10)
    server.terminate()
    eventually(lambda: "event=draining" in "".join(server.log))
    # Writes fail from now on; SIGXFSZ is ignored, as Python has it.
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, 0))
    fails(lambda: c.reserve([c.line("end", 1)]), CODE.UNAVAILABLE)
    try:
        assert server.ended(20) == 74, server.log[-5:]
    finally:
        server.process.kill()


# ------------------------------------------------------------------------------- the slow lane

def busy_lane(c, server, messages=1):
    """Streams that keep the slow lane busy for a while."""
    before = metric(server, "holdfast_rpc_deferred_total")
    calls = [c.reservations.ReserveStream(iter([operations(c, [old_get(c)] * 1024)]))
             for _ in range(messages)]
    eventually(lambda: metric(server, "holdfast_rpc_deferred_total") == before + messages)
    return calls


def test_a_deadline_that_passes_in_the_slow_lane_does_nothing(start):
    with start() as server:
        c = Client(server.channel())
        c.make("lane", 10)
        before = metric(server, "holdfast_rpc_expired_total")
        busy = busy_lane(c, server, 24)
        fails(lambda: c.reservations.Cancel(c.r.CancelRequest(
            reservation_id=uuid7(LONG_AGO_MS), operation_id=uuid7(), lines=[c.line("lane", 1)]),
            timeout=0.05), CODE.DEADLINE_EXCEEDED)
        for b in busy:
            assert len(next(b).results) == 1024
        eventually(lambda: metric(server, "holdfast_rpc_expired_total") == before + 1)


def test_who_keeps_the_slow_lane_busy_does_not_hold_up_other_roles(start):
    with start() as server:
        c = Client(server.channel())
        done = []
        readers = [threading.Thread(target=lambda b=b: done.append(list(b)))
                   for b in busy_lane(c, server, 12)]
        for r in readers:
            r.start()
        c.admin.CreateChannel(c.a.CreateChannelRequest(channel="urgent"), timeout=60)
        assert len(done) < 8, len(done)  # of 12 that had come before
        for r in readers:
            r.join()
        assert len(done) == 12


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
            os.mkdir(data)

            def start(*more, data=data):
                return world.Server(program, os.path.join(data, "data"), *more,
                                    admin="127.0.0.1:0")
            test(*((start, data) if test.__code__.co_argcount == 2 else (start,)))
            print(f"ok  {time.monotonic() - begin:6.2f} s  {name[5:].replace('_', ' ')}",
                  flush=True)
    print("all passed")


if __name__ == "__main__":
    main()
