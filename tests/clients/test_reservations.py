#!/usr/bin/env python3
"""Reservations through gRPC as a client of another make sees them: every verb, every kind of bad
input with the field that it names, streams, and clients that behave badly.

Usage: test_reservations.py HOLDFASTD [TEST ...]
"""
import os
import secrets
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402  (finds an interpreter that has grpc)

import grpc  # noqa: E402

OK, HELD, COMMITTED, RELEASED, EXPIRED, REJECTED = 1, 1, 2, 3, 4, 5
DONE, REFUSED, OUT_EXPIRED, WRONG_STATE, EXCEEDS = 1, 2, 3, 4, 5
CODE = grpc.StatusCode


def uuid7(ms=None, tail=None):
    ms = int(time.time() * 1000) if ms is None else ms
    tail = secrets.token_bytes(10) if tail is None else tail
    raw = bytearray(struct.pack(">Q", ms)[2:] + tail)
    raw[6] = raw[6] & 0x0f | 0x70
    raw[8] = raw[8] & 0x3f | 0x80
    h = raw.hex()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"


class Client:
    def __init__(self, channel):
        from holdfast.v1 import reservation_pb2 as r, reservation_pb2_grpc as rg
        from holdfast.v1 import stock_admin_pb2 as a, stock_admin_pb2_grpc as ag
        from holdfast.v1 import stock_read_pb2 as s, stock_read_pb2_grpc as sg, common_pb2 as c
        self.r, self.a, self.s, self.c = r, a, s, c
        self.reservations = rg.ReservationServiceStub(channel)
        self.stock = sg.StockReadServiceStub(channel)
        self.admin = ag.StockAdminServiceStub(channel)
        self.channel = channel

    def make(self, sku, on_hand, location="main"):
        rows = [self.a.ImportStockRow(operation_id=uuid7(), sku=sku, location=location,
                                      on_hand=self.a.OptionalQuantity(value=on_hand))]
        results = self.admin.ImportStock(self.a.ImportStockRequest(rows=rows)).results
        assert not results[0].HasField("error"), results

    def line(self, sku, quantity, location="main"):
        return self.c.Line(sku=sku, location=location, quantity=quantity)

    def cell(self, sku, location="main"):
        return self.stock.GetStock(self.s.GetStockRequest(
            stock=self.s.StockName(sku=sku, location=location))).cell

    def reserve(self, lines, ident=None, ttl_ms=60000, **more):
        request = self.r.ReserveRequest(reservation_id=ident or uuid7(), lines=lines,
                                        ttl_ms=ttl_ms, **more)
        return self.reservations.Reserve(request, timeout=20).decision

    def get(self, ident):
        return self.reservations.GetReservation(
            self.r.GetReservationRequest(reservation_id=ident), timeout=20).reservation


def details_of(error):
    """Field, reason and retry of a failed call, out of grpc-status-details-bin."""
    import hf_status_pb2 as pb
    raw = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    status = pb.Status.FromString(raw) if raw else pb.Status()
    field, reason, retry = "", "", 0
    for any_ in status.details:
        if any_.type_url.endswith("BadRequest"):
            field = pb.BadRequest.FromString(any_.value).field_violations[0].field
        if any_.type_url.endswith("ErrorInfo"):
            reason = pb.ErrorInfo.FromString(any_.value).reason
        if any_.type_url.endswith("RetryInfo"):
            retry = pb.RetryInfo.FromString(any_.value).retry_delay.nanos
    return field, reason, retry


def fails(call, code, field=None, reason=None):
    try:
        answer = call()
    except grpc.RpcError as e:
        found = details_of(e)
        assert e.code() == code, (e.code(), e.details(), code)
        assert field is None or found[0] == field, (found, field)
        assert reason is None or found[1] == reason, (found, reason)
        return
    raise AssertionError(f"answered {answer}, wanted {code}")


# ------------------------------------------------------------------------------------ the verbs

def test_a_hold_lives_and_ends(c):
    c.make("life", 100)
    ident = uuid7()
    d = c.reserve([c.line("life", 5)], ident, reference="cart-1")
    assert (d.outcome, d.state, d.repeat, d.durable, d.version) == (DONE, HELD, False, True, 1), d
    assert d.lines[0].taken == 5 and d.lines[0].available == 95 and d.position.lsn > 0
    assert 0 < d.expires_in_ms <= 60000 and abs(d.expires_at_ms / 1000 - time.time() - 60) < 5
    again = c.reserve([c.line("life", 5)], ident, reference="cart-1")
    assert again.repeat and again.outcome == DONE and again.position.lsn == d.position.lsn
    fails(lambda: c.reserve([c.line("life", 6)], ident), CODE.ALREADY_EXISTS, reason="CONFLICT")
    r = c.get(ident)
    assert (r.state, r.reference) == (HELD, "cart-1"), r
    assert (r.lines[0].sku, r.lines[0].quantity) == ("life", 5), r
    op = uuid7()
    for repeat in (False, True):
        e = c.reservations.Extend(c.r.ExtendRequest(reservation_id=ident, operation_id=op,
                                                    ttl_ms=120000)).decision
        assert (e.outcome, e.repeat, e.version) == (DONE, repeat, 2), e
        assert e.expires_at_ms > d.expires_at_ms + 30000
    op = uuid7()
    for repeat in (False, True):
        p = c.reservations.Release(c.r.ReleaseRequest(
            reservation_id=ident, operation_id=op, lines=[c.line("life", 2)],
            reason="too many")).decision
        assert (p.outcome, p.repeat, p.state) == (DONE, repeat, HELD), p
    assert c.cell("life").held == 3 and c.cell("life").available == 97
    for repeat in (False, True):
        k = c.reservations.Commit(c.r.CommitRequest(reservation_id=ident)).decision
        assert (k.outcome, k.repeat, k.state) == (DONE, repeat, COMMITTED), k
    cell = c.cell("life")
    assert (cell.held, cell.committed, cell.available, cell.on_hand) == (0, 3, 97, 100), cell
    k = c.reservations.Release(c.r.ReleaseRequest(reservation_id=ident)).decision
    assert (k.outcome, k.state) == (WRONG_STATE, COMMITTED), k
    c.reservations.Cancel(c.r.CancelRequest(reservation_id=ident, operation_id=uuid7(),
                                            lines=[c.line("life", 1)]))
    too_many = c.reservations.ReturnGoods(c.r.ReturnGoodsRequest(
        reservation_id=ident, operation_id=uuid7(), lines=[c.line("life", 3)])).decision
    assert too_many.outcome == EXCEEDS, too_many
    c.reservations.ReturnGoods(c.r.ReturnGoodsRequest(
        reservation_id=ident, operation_id=uuid7(), lines=[c.line("life", 1)], disposition=2))
    assert c.get(ident).lines[0].quantity == 1


def test_what_is_short_is_told(c):
    c.make("short", 10)
    c.make("plenty", 1000)
    d = c.reserve([c.line("short", 4), c.line("plenty", 1)], ttl_ms=30000)
    assert d.outcome == DONE
    d = c.reserve([c.line("plenty", 1), c.line("short", 8)])
    assert d.outcome == REFUSED and d.state == 0, d
    assert [x.shortfall for x in d.lines] == [0, 2], d
    assert abs(d.lines[1].earliest_expiry_ms / 1000 - time.time() - 30) < 5, d
    d = c.reserve([c.line("plenty", 1), c.line("short", 8)], best_effort=True)
    assert d.outcome == DONE and [x.taken for x in d.lines] == [1, 6], d
    ident = uuid7()
    order = c.r.OrderRequest(reservation_id=ident, lines=[c.line("short", 1)])
    d = c.reservations.Order(order).decision
    assert d.outcome == REFUSED and d.state == REJECTED, d
    assert c.reservations.Order(order).decision.repeat
    d = c.reservations.Record(c.r.RecordRequest(reservation_id=uuid7(),
                                                lines=[c.line("short", 3)])).decision
    assert d.outcome == DONE and c.cell("short").available == -3


def test_deadlines_pass(c):
    c.make("soon", 5)
    ident = uuid7()
    assert c.reserve([c.line("soon", 5)], ident, ttl_ms=50).outcome == DONE
    time.sleep(0.1)
    assert c.cell("soon").available == 5
    assert c.get(ident).state == EXPIRED
    k = c.reservations.Commit(c.r.CommitRequest(reservation_id=ident)).decision
    assert k.outcome == OUT_EXPIRED, k
    k = c.reservations.Commit(c.r.CommitRequest(reservation_id=ident, on_expired=2)).decision
    assert (k.outcome, k.state) == (DONE, COMMITTED), k
    assert c.cell("soon").committed == 5


def test_lists_find_holders(c):
    c.make("listed", 1000)
    c.admin.CreateChannel(c.a.CreateChannelRequest(channel="web"))
    mine = {uuid7() for _ in range(40)}
    for ident in mine:
        c.reserve([c.line("listed", 1)], ident, channel="web", reference="ref-7")
    for more in ({}, {"channel": "web"}, {"reference": "ref-7"}, {"state": HELD}):
        found, token = set(), ""
        while True:
            page = c.reservations.ListReservations(c.r.ListReservationsRequest(
                sku="listed", location="main", page_size=7, page_token=token, **more))
            found |= {r.reservation_id for r in page.reservations}
            token = page.next_page_token
            if not token:
                break
        assert found == mine, (more, len(found))


# ------------------------------------------------------------------------------------ bad input

def test_every_bad_field_is_named(c):
    c.make("bad", 100)
    good = [c.line("bad", 1)]
    top = 2**53 - 1
    cases = [
        (dict(lines=[]), "lines"),
        (dict(lines=good * 1025), "lines"),
        (dict(lines=[c.line("bad", 0)]), "lines[0].quantity"),
        (dict(lines=good + [c.line("bad", -1)]), "lines[1].quantity"),
        (dict(lines=[c.line("bad", top + 1)]), "lines[0].quantity"),
        (dict(lines=[c.line("bad", 2**63 - 1)]), "lines[0].quantity"),
        (dict(lines=[c.line("bad", top), c.line("bad", top)]), "lines[1].quantity"),
        (dict(lines=[c.line("", 1)]), "lines[0].sku"),
        (dict(lines=[c.line("x" * 65, 1)]), "lines[0].sku"),
        (dict(lines=[c.line("bad", 1, "")]), "lines[0].location"),
        (dict(lines=[c.line("bad", 1, "y" * 33)]), "lines[0].location"),
        (dict(lines=[c.c.Line(sku="bad", location="main", handle=1, generation=5, quantity=1)]),
         "lines[0].sku"),
        (dict(lines=[c.c.Line(handle=1, quantity=1)]), "lines[0].generation"),
        (dict(lines=good, ttl_ms=0), "ttl_ms"),
        (dict(lines=good, ttl_ms=2**32 - 1), "ttl_ms"),
        (dict(lines=good, ident="not-a-uuid"), "reservation_id"),
        (dict(lines=good, ident="00000000-0000-0000-0000-000000000000"), "reservation_id"),
        (dict(lines=good, ident="3f2504e0-4f89-41d3-9a0c-0305e82c3301"), "reservation_id"),
        (dict(lines=good, channel="nobody knows"), "channel"),
        (dict(lines=good, reference="r" * 65), "reference"),
        (dict(lines=good, buyer_key="b" * 33), "buyer_key"),
        (dict(lines=good, traceparent="00-zz"), "traceparent"),
    ]
    for arguments, field in cases:
        fails(lambda: c.reserve(**arguments), CODE.INVALID_ARGUMENT, field)
    fails(lambda: c.reserve([c.line("nowhere", 1)]), CODE.NOT_FOUND, reason="UNKNOWN_STOCK")
    fails(lambda: c.reserve([c.c.Line(handle=1, generation=99, quantity=1)]),
          CODE.FAILED_PRECONDITION, reason="STALE_GENERATION")
    day = 24 * 3600 * 1000
    now = int(time.time() * 1000)
    fails(lambda: c.reserve(good, uuid7(now - 3 * day)), CODE.FAILED_PRECONDITION,
          reason="ID_TOO_OLD")
    fails(lambda: c.reserve(good, uuid7(now + day)), CODE.FAILED_PRECONDITION,
          reason="ID_IN_FUTURE")
    fails(lambda: c.get(uuid7()), CODE.NOT_FOUND, reason="UNKNOWN")
    fails(lambda: c.reservations.Commit(c.r.CommitRequest(reservation_id=uuid7(), on_expired=7)),
          CODE.INVALID_ARGUMENT, "on_expired")
    fails(lambda: c.reservations.ReturnGoods(c.r.ReturnGoodsRequest(
        reservation_id=uuid7(), operation_id=uuid7(), lines=good, disposition=9)),
          CODE.INVALID_ARGUMENT, "disposition")
    fails(lambda: c.reservations.Cancel(c.r.CancelRequest(reservation_id=uuid7(), lines=good)),
          CODE.INVALID_ARGUMENT, "operation_id")
    for reason in ("r" * 65, "line\nbreak"):
        fails(lambda: c.reservations.Release(c.r.ReleaseRequest(reservation_id=uuid7(),
                                                                reason=reason)),
              CODE.INVALID_ARGUMENT, "reason")
    fails(lambda: c.reservations.ListReservations(c.r.ListReservationsRequest(page_size=1001)),
          CODE.INVALID_ARGUMENT, "page_size")
    fails(lambda: c.reservations.ListReservations(c.r.ListReservationsRequest(page_token="x")),
          CODE.INVALID_ARGUMENT, "page_token")
    assert c.cell("bad").available == 100


def raw(c, method):
    return c.channel.unary_unary(f"/holdfast.v1.ReservationService/{method}",
                                 request_serializer=lambda b: b,
                                 response_deserializer=lambda b: b)


def test_what_is_not_protobuf_is_refused(c):
    c.make("raw", 100)
    call = raw(c, "Reserve")
    good = c.r.ReserveRequest(reservation_id=uuid7(), lines=[c.line("raw", 1)],
                              ttl_ms=1000).SerializeToString()
    for n in range(1, len(good)):
        try:
            call(good[:n])
        except grpc.RpcError as e:
            assert e.code() == CODE.INVALID_ARGUMENT, e
    for at in range(len(good)):
        for bit in range(8):
            bad = bytearray(good)
            bad[at] ^= 1 << bit
            try:
                call(bytes(bad))
            except grpc.RpcError as e:
                assert e.code() in (CODE.INVALID_ARGUMENT, CODE.NOT_FOUND, CODE.ALREADY_EXISTS,
                                    CODE.FAILED_PRECONDITION), e
    for junk in (b"\xff" * 100, b"\x0b\x0c", b"\x12\xff\xff\xff\xff\x0f"):
        fails(lambda: call(junk), CODE.INVALID_ARGUMENT)
    utf8 = c.r.ReserveRequest(reservation_id=uuid7(), lines=[c.line("raw", 1)],
                              ttl_ms=1000).SerializeToString().replace(b"raw", b"r\xffw")
    fails(lambda: call(utf8), CODE.INVALID_ARGUMENT, "lines[0].sku")
    nul = utf8.replace(b"r\xffw", b"r\0w")
    fails(lambda: call(nul), CODE.INVALID_ARGUMENT, "lines[0].sku")
    deep = b""
    for _ in range(200):
        deep = b"\x12" + bytes([len(deep) % 128]) + deep[:127]
    try:
        call(deep)
    except grpc.RpcError as e:
        assert e.code() == CODE.INVALID_ARGUMENT, e
    fails(lambda: call(b"\x0a" + b"\x80\x80\x80\x04" + b"x" * (8 << 20)), CODE.RESOURCE_EXHAUSTED)
    # Small on the wire, large when unpacked.
    bomb = b"\x12\x00" * 2000000
    fails(lambda: call(bomb), CODE.INVALID_ARGUMENT)
    fails(lambda: raw(c, "Nothing")(b""), CODE.UNIMPLEMENTED)


# ------------------------------------------------------------------------------------ streams

def operations(c, items):
    return c.r.ReserveStreamRequest(operations=[
        c.r.StreamOperation(correlation_id=i, **op) for i, op in enumerate(items)])


def test_a_bad_item_ends_no_stream(c):
    c.make("stream", 100000)
    hold = uuid7()
    batch = operations(c, [
        {"reserve": c.r.ReserveRequest(reservation_id=hold, lines=[c.line("stream", 2)],
                                       ttl_ms=60000)},
        {"get": c.r.GetReservationRequest(reservation_id=hold)},
        {"reserve": c.r.ReserveRequest(reservation_id="x", ttl_ms=1)},
        {},
        {"commit": c.r.CommitRequest(reservation_id=hold)},
        {"get": c.r.GetReservationRequest(reservation_id=hold)},
        {"order": c.r.OrderRequest(reservation_id=uuid7(), lines=[c.line("stream", -5)])},
        {"order": c.r.OrderRequest(reservation_id=uuid7(), lines=[c.line("stream", 1)])},
        {"get": c.r.GetReservationRequest(reservation_id=uuid7())},
    ])
    results = list(next(iter(c.reservations.ReserveStream(iter([batch])))).results)
    assert [r.correlation_id for r in results] == list(range(9))
    assert results[0].decision.state == HELD
    assert results[1].reservation.state == HELD
    assert (results[2].error.code, results[2].error.field) == (3, "reservation_id")
    assert (results[3].error.code, results[3].error.field) == (3, "operation")
    assert results[4].decision.state == COMMITTED
    assert results[5].reservation.state == COMMITTED
    assert results[6].error.field == "lines[0].quantity"
    assert results[7].decision.state == COMMITTED
    assert (results[8].error.code, results[8].error.reason) == (5, "UNKNOWN")


def test_a_malformed_item_ends_no_stream(c):
    c.make("malformed", 100)
    good = operations(c, [{"order": c.r.OrderRequest(
        reservation_id=uuid7(), lines=[c.line("malformed", 1)])}]).SerializeToString()
    cut = b"\x0a\x04\x08\x07\x1a\x05"      # correlation id 7, then an order beyond its end
    text = b"\x0a\x07\x12\x05\x12\x03\x0a\x01\xff"  # a hold of a line whose SKU is not UTF-8
    stream = c.channel.stream_stream(
        "/holdfast.v1.ReservationService/ReserveStream",
        response_deserializer=c.r.ReserveStreamResponse.FromString)
    first, second = stream(iter([good + cut + text + good, good]))
    assert [r.WhichOneof("result") for r in first.results] == [
        "decision", "error", "error", "decision"]
    assert [(r.error.code, r.error.field) for r in first.results[1:3]] == [
        (3, "operation"), (3, "lines[0].sku")]
    assert first.results[1].correlation_id == 7
    assert first.results[3].decision.repeat and second.results[0].decision.repeat
    fails(lambda: list(stream(iter([good + b"\x0a\x7f"]))), CODE.INVALID_ARGUMENT)


def test_many_batches_in_flight(c):
    c.make("wide", 10**9)
    batches = [operations(c, [{"order": c.r.OrderRequest(
        reservation_id=uuid7(), lines=[c.line("wide", 1)])} for _ in range(1024)])
        for _ in range(20)]
    before = c.cell("wide").available
    unanswered = batches
    for _ in range(100):
        again = []
        for batch, response in zip(unanswered, c.reservations.ReserveStream(iter(unanswered))):
            assert [r.correlation_id for r in response.results] == \
                [o.correlation_id for o in batch.operations]
            busy = [o for o, r in zip(batch.operations, response.results)
                    if r.error.reason == "BUSY"]
            assert all(r.decision.outcome == DONE and r.decision.durable
                       for r in response.results if not r.HasField("error"))
            assert sum(r.HasField("error") for r in response.results) == len(busy)
            if busy:
                again.append(c.r.ReserveStreamRequest(operations=busy))
        unanswered = again
        if not unanswered:
            break
        time.sleep(0.05)
    assert not unanswered
    for response in c.reservations.ReserveStream(iter(batches[:3])):
        assert all(r.decision.repeat for r in response.results)
    assert c.cell("wide").available == before - 20 * 1024
    too_many = operations(c, [{}] * 1025)
    fails(lambda: list(c.reservations.ReserveStream(iter([too_many]))), CODE.INVALID_ARGUMENT,
          "operations")
    assert list(c.reservations.ReserveStream(iter([]))) == []


def all_at_once(count, ask):
    """ask(i) from as many threads at once: their answers, or statuses for those that failed."""
    gate, answers = threading.Barrier(count), [None] * count

    def one(i):
        gate.wait()
        try:
            answers[i] = ask(i)
        except grpc.RpcError as e:
            answers[i] = e
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_an_operation_asked_by_many_connections_is_decided_once(c, server):
    c.make("race", 10**6)
    channels = [server.channel() for _ in range(8)]
    for channel in channels:  # or the first calls would race their connections
        grpc.channel_ready_future(channel).result(timeout=20)
    many = [Client(channel) for channel in channels]
    waited = 0

    def decided(ask, repeat):
        """One decides; the others are told the same, or to wait."""
        nonlocal waited
        firsts = 0
        for a in all_at_once(len(many), lambda i: ask(many[i])):
            if isinstance(a, grpc.RpcError):
                field, reason, retry_ns = details_of(a)
                assert (a.code(), reason) == (CODE.ABORTED, "IN_PROGRESS") and retry_ns > 0, a
                waited += 1
            else:
                firsts += not repeat(a)
        assert firsts == 1, firsts
        assert repeat(ask(c))

    for _ in range(12):
        ident, before = uuid7(), c.cell("race").available
        reserve = c.r.ReserveRequest(reservation_id=ident, lines=[c.line("race", 10)],
                                     ttl_ms=60000)
        decided(lambda m: m.reservations.Reserve(reserve), lambda a: a.decision.repeat)
        assert c.cell("race").available == before - 10
        release = c.r.ReleaseRequest(reservation_id=ident, operation_id=uuid7(),
                                     lines=[c.line("race", 6)])
        decided(lambda m: m.reservations.Release(release), lambda a: a.decision.repeat)
        assert c.cell("race").available == before - 4
        commit = c.r.CommitRequest(reservation_id=ident)
        decided(lambda m: m.reservations.Commit(commit), lambda a: a.decision.repeat)
        cancel = c.r.CancelRequest(reservation_id=ident, operation_id=uuid7(),
                                   lines=[c.line("race", 3)])
        decided(lambda m: m.reservations.Cancel(cancel), lambda a: a.decision.repeat)
        assert c.cell("race").available == before - 1
        adjust = c.a.AdjustStockRequest(operation_id=uuid7(), sku="race", location="main",
                                        difference=1)
        decided(lambda m: m.admin.AdjustStock(adjust), lambda a: a.repeat)
        assert c.cell("race").available == before
    for m in many:
        m.channel.close()


ANSWER_BYTES_MAX = 7 << 19  # the client under test takes in 4 MiB, its default


def wide_stock(c):
    """Cells with names as long as they may be; the lines that take one of each."""
    names = [f"{i:04}" + "w" * 60 for i in range(1024)]
    location = "l" * 32
    for at in (0, 512):
        rows = [c.a.ImportStockRow(operation_id=uuid7(), sku=n, location=location,
                                   on_hand=c.a.OptionalQuantity(value=2**53 - 1))
                for n in names[at:at + 512]]
        for result in c.admin.ImportStock(c.a.ImportStockRequest(rows=rows)).results:
            assert not result.HasField("error"), result
    return [c.line(n, 2**42, location) for n in names]


def test_answers_are_no_larger_than_clients_take_in(c):
    from holdfast.v1 import erp_pb2 as e, erp_pb2_grpc as eg
    lines, channel = wide_stock(c), "c" * 32
    c.admin.CreateChannel(c.a.CreateChannelRequest(channel=channel))
    held, sold = [[uuid7() for _ in range(n)] for n in (40, 14)]
    for ident in held:
        assert c.reserve(lines, ident, channel=channel, reference="h" * 64).outcome == DONE
    for ident in sold:
        assert c.reservations.Order(c.r.OrderRequest(
            reservation_id=ident, lines=lines, channel=channel,
            reference="s" * 64)).decision.outcome == DONE
    # Pages of a list.
    found, pages, token = [], 0, ""
    while pages == 0 or token:
        page = c.reservations.ListReservations(c.r.ListReservationsRequest(
            reference="h" * 64, page_size=1000, page_token=token))
        assert page.ByteSize() <= ANSWER_BYTES_MAX, page.ByteSize()
        found += [r.reservation_id for r in page.reservations]
        token, pages = page.next_page_token, pages + 1
    assert sorted(found) == sorted(held) and 2 <= pages <= 4, (len(found), pages)
    # Results of a stream's message: those that have no room are asked for again.
    left, messages = list(held), 0
    while left:
        answer = list(c.reservations.ReserveStream(iter([operations(c, [
            dict(get=c.r.GetReservationRequest(reservation_id=i)) for i in left])])))[0]
        assert answer.ByteSize() <= ANSWER_BYTES_MAX, answer.ByteSize()
        again = [left[r.correlation_id] for r in answer.results if r.HasField("error")]
        for r in answer.results:
            assert not r.HasField("error") or r.error.reason == "ANSWER_TOO_LARGE", r
            assert r.HasField("error") or len(r.reservation.lines) == 1024
        assert len(answer.results) == len(left) and len(again) < len(left)
        left, messages = again, messages + 1
    assert 2 <= messages <= 4, messages
    # A trace.
    traced = eg.ErpServiceStub(c.channel).Trace(e.TraceRequest(reference="s" * 64))
    assert traced.cut and 0 < len(traced.reservations) < len(sold), len(traced.reservations)
    assert traced.ByteSize() <= ANSWER_BYTES_MAX, traced.ByteSize()
    one = eg.ErpServiceStub(c.channel).Trace(e.TraceRequest(reservation_id=sold[0]))
    assert not one.cut and len(one.reservations[0].records[0].movements) == 1024, one


# ------------------------------------------------------------------------------------ bad clients

def quick(c, sku):
    """The others' latency: the slowest of 30 holds, seconds."""
    worst = 0
    for _ in range(30):
        begin = time.monotonic()
        assert c.reserve([c.line(sku, 1)], ttl_ms=1000).outcome == DONE
        worst = max(worst, time.monotonic() - begin)
    return worst


def test_a_client_that_does_not_read(c, server):
    c.make("unread", 10**9)
    other = Client(server.channel())
    batch = operations(c, [{"order": c.r.OrderRequest(
        reservation_id=uuid7(), lines=[c.line("unread", 1)] * 4)} for _ in range(1024)])
    sent = [0]

    def flood():
        while sent[0] < 2000:
            sent[0] += 1
            yield batch

    before = server.resident_kib()
    stream = other.reservations.ReserveStream(flood())
    time.sleep(3)
    stuck = sent[0]
    assert stuck < 2000, "the server took everything in though nobody read"
    assert server.resident_kib() < before + 300 * 1024
    assert quick(c, "unread") < 2
    stream.cancel()
    other.channel.close()


def test_a_client_that_sends_a_byte_at_a_time(c, server):
    c.make("slow", 10**6)
    host, port = server.address.split(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(50)]
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    for i in range(20):
        for s in sockets:
            s.sendall(preface[i:i + 1])
        time.sleep(0.05)
    assert quick(c, "slow") < 2
    for s in sockets:
        s.close()
    junk = socket.create_connection((host, int(port)))
    junk.sendall(os.urandom(100000))
    junk.close()
    assert quick(c, "slow") < 2


def test_a_deadline_that_has_passed_does_nothing(c):
    c.make("late", 1000)
    before = c.cell("late").available
    late = 0
    for _ in range(20):
        try:
            c.reservations.Reserve(c.r.ReserveRequest(
                reservation_id=uuid7(), lines=[c.line("late", 1)], ttl_ms=60000), timeout=0.000001)
        except grpc.RpcError as e:
            assert e.code() == CODE.DEADLINE_EXCEEDED, e
            late += 1
    assert late > 0
    time.sleep(0.2)
    assert before - 20 <= c.cell("late").available <= before - (20 - late)




def main():
    program = os.path.abspath(sys.argv[1])
    only = sys.argv[2:]
    with world.scratch() as folder:
        world.make_stubs(os.path.join(folder, "stubs"))
        with world.Server(program, os.path.join(folder, "data")) as server:
            c = Client(server.channel())
            for name, test in list(globals().items()):
                if not name.startswith("test_"):
                    continue
                if only and name not in only:
                    continue
                begin = time.monotonic()
                test(*((c, server) if test.__code__.co_argcount == 2 else (c,)))
                print(f"ok  {time.monotonic() - begin:6.2f} s  {name[5:].replace('_', ' ')}",
                      flush=True)
    print("all passed")


if __name__ == "__main__":
    main()
