#!/usr/bin/env python3
"""One client that opens ten thousand streams, and what becomes of the others meanwhile.

The streams go over as many connections as their documented limit needs, half of them ReserveStream
and half WatchStock. What is beyond the limits is refused with RESOURCE_EXHAUSTED and a time to
wait, the daemon's memory stays bounded, and a client in a process of its own is answered all the
time. When the streams are gone, nothing is left of them.

Usage: test_many_streams.py HOLDFASTD [--streams N] [--rounds N]
       test_many_streams.py --other ADDRESS STUBS      (the other client; started by the first form)
"""
import argparse
import asyncio
import collections
import os
import subprocess
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import client_world as world  # noqa: E402  (finds an interpreter that has grpc)
from test_hostile import eventually, metric  # noqa: E402
from test_reservations import CODE, DONE, Client, operations, uuid7  # noqa: E402

import grpc  # noqa: E402

POLLERS, STREAMS_MAX, WATCHERS_MAX, CONNECTION_STREAMS = 2, 1024, 256, 1024
STREAM_KIB = 48  # of the daemon's memory; an idle stream that was used once takes about half of it
OPENING = 500    # streams that are being opened at once
WAIT_S = 120     # for anything: the machine may be slow


# ------------------------------------------------------------------------------- the other client

def other(address, stubs):
    """Holds one after the other; a line for each with its seconds, until standard input ends."""
    sys.path.insert(0, stubs)
    c = Client(grpc.insecure_channel(address))
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    while True:
        begin = time.monotonic()
        try:
            assert c.reserve([c.line("other", 1)], ttl_ms=1000).outcome == DONE
        except grpc.RpcError as e:  # BUSY, by its disk: not what is measured
            if e.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            time.sleep(0.05)
            continue
        print(time.monotonic() - begin, flush=True)


class Other:
    def __init__(self, server, stubs):
        self.took = []
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--other", server.address, stubs],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=lambda: self.took.extend(map(float, self.process.stdout)),
                         daemon=True).start()

    def p99(self, least=300):
        """Of what is answered from now on."""
        begin = len(self.took)
        eventually(lambda: len(self.took) >= begin + least or self.ended(), WAIT_S)
        assert not self.ended(), "the other client's call failed"
        took = sorted(self.took[begin:])
        return took[len(took) * 99 // 100]

    def ended(self):
        return self.process.poll() is not None

    def stop(self):
        self.process.communicate()


# ------------------------------------------------------------------------------- the many streams

class Many:
    """Streams over one event loop: threads for all would be the end of the client first."""

    def __init__(self, server, c, count):
        self.server, self.c, self.count = server, c, count
        self.open, self.refused = [], collections.Counter()

    async def begin(self):
        from holdfast.v1 import reservation_pb2_grpc as rg, stock_read_pb2_grpc as sg
        need = -(-self.count // (CONNECTION_STREAMS - 24))
        self.channels = [grpc.aio.insecure_channel(
            self.server.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(need)]
        room = asyncio.Semaphore(OPENING)

        async def one(i):
            channel = self.channels[i % need]
            async with room:
                if i // need % 2:
                    await self.watch(sg.StockReadServiceStub(channel))
                else:
                    await self.reserve(rg.ReservationServiceStub(channel))
        await asyncio.gather(*map(one, range(self.count)))

    async def reserve(self, stub):
        call = stub.ReserveStream()
        c = self.c
        batch = operations(c, [dict(reserve=c.r.ReserveRequest(
            reservation_id=uuid7(), lines=[c.line("many", 1)], ttl_ms=600000))])
        try:
            await call.write(batch)
        except grpc.RpcError as e:
            return self.refuse(e)
        except asyncio.InvalidStateError:  # it has ended before the message was given to it
            pass
        await self.first(call, lambda a: a.results[0].decision.outcome == DONE)

    async def watch(self, stub):
        stock = [self.c.s.StockName(sku="many", location="main")]
        call = stub.WatchStock(self.c.s.WatchStockRequest(stock=stock, interval_ms=60000))
        await self.first(call, lambda a: a.snapshot_complete and a.cells[0].sku == "many")

    async def first(self, call, good):
        try:
            answer = await asyncio.wait_for(call.read(), WAIT_S)
            if answer is grpc.aio.EOF:
                raise AssertionError(f"ended without an answer: {await call.code()}")
        except grpc.RpcError as e:
            return self.refuse(e)
        assert good(answer), answer
        self.open.append(call)

    def refuse(self, error):
        assert error.code() == CODE.RESOURCE_EXHAUSTED, error
        import hf_status_pb2 as pb
        raw = dict(tuple(error.trailing_metadata()))["grpc-status-details-bin"]
        status = pb.Status.FromString(raw)
        details = {d.type_url.rpartition(".")[2]: d.value for d in status.details}
        assert pb.RetryInfo.FromString(details["RetryInfo"]).retry_delay.seconds == 1, details
        reason = pb.ErrorInfo.FromString(details["ErrorInfo"]).reason
        assert reason in ("TOO_MANY_STREAMS", "TOO_MANY_WATCHERS"), reason
        self.refused[reason] += 1

    async def end(self):
        for call in self.open:
            call.cancel()
        for channel in self.channels:
            await channel.close()


async def one_round(server, c, other_client, options):
    before_kib, before = server.resident_kib(), other_client.p99()
    many = Many(server, c, options.streams)
    opening = asyncio.create_task(many.begin())
    during = await asyncio.to_thread(other_client.p99)
    await opening
    refused, held = sum(many.refused.values()), len(many.open)
    assert held + refused == options.streams, (held, many.refused)
    open_ = await asyncio.to_thread(metric, server, "holdfast_rpc_open_streams")
    most = POLLERS * STREAMS_MAX
    assert held <= open_ <= most, (held, open_)
    assert metric(server, "holdfast_watchers") <= WATCHERS_MAX
    if options.streams >= 4 * most:  # gRPC decides which poller gets a call
        assert held > WATCHERS_MAX and many.refused["TOO_MANY_STREAMS"] > 0, (held, many.refused)
        assert many.refused["TOO_MANY_WATCHERS"] > 0, many.refused
    while_open = await asyncio.to_thread(other_client.p99)
    grown = server.resident_kib() - before_kib
    print(f"    {held} open, refused {dict(many.refused)}, {grown} KiB more, p99 of another's "
          f"holds {before * 1e3:.1f} ms before, {during * 1e3:.1f} while they were opened, "
          f"{while_open * 1e3:.1f} while they were open")
    assert grown < 64 * 1024 + most * STREAM_KIB, grown
    # Generous: what is told apart is a server that answers from one that is busy with somebody.
    assert max(during, while_open) < max(2, 50 * before), (before, during, while_open)
    await many.end()


def all_gone(server):
    return (metric(server, "holdfast_rpc_open_streams") == 0
            and metric(server, "holdfast_watchers") == 0)


async def rounds(server, c, other_client, options):
    for _ in range(options.rounds):
        begin = time.monotonic()
        await one_round(server, c, other_client, options)
        await asyncio.to_thread(eventually, lambda: all_gone(server), WAIT_S)
        print(f"ok  {time.monotonic() - begin:6.2f} s  {options.streams} streams", flush=True)


def run(options, folder):
    stubs = os.path.join(folder, "stubs")
    world.make_stubs(stubs)
    with world.Server(os.path.abspath(options.holdfastd), os.path.join(folder, "data"),
                      "--watchers-max", str(WATCHERS_MAX), admin="127.0.0.1:0") as server:
        c = Client(server.channel())
        c.make("many", 10**9)
        c.make("other", 10**9)
        other_client = Other(server, stubs)
        asyncio.run(rounds(server, c, other_client, options))
        other_client.stop()
        # Whoever was refused has its turn now.
        last = operations(c, [dict(order=c.r.OrderRequest(reservation_id=uuid7(),
                                                          lines=[c.line("many", 1)]))])
        answers = list(c.reservations.ReserveStream(iter([last])))
        assert answers[0].results[0].decision.outcome == DONE, answers
        c.channel.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("holdfastd")
    p.add_argument("--streams", type=int, default=10000)
    p.add_argument("--rounds", type=int, default=1)
    options = p.parse_args()
    code = 1
    try:
        with world.scratch() as folder:
            run(options, folder)
        print("all passed")
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # gRPC's event loop would not end by itself after a failure


if __name__ == "__main__":
    if sys.argv[1:2] == ["--other"]:
        other(*sys.argv[2:])
    main()
