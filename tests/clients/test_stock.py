#!/usr/bin/env python3
"""Stock, health and reflection of a running holdfastd, asked by a client that no one here wrote.

Usage: test_stock.py HOLDFASTD [unittest options]
"""
import os
import random
import sys
import threading
import time
import unittest

import client_world

SCRATCH = client_world.scratch()
client_world.make_stubs(os.path.join(SCRATCH.name, "stubs"))

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402
from holdfast.v1 import common_pb2, reservation_pb2, reservation_pb2_grpc  # noqa: E402
from holdfast.v1 import stock_admin_pb2, stock_admin_pb2_grpc  # noqa: E402
from holdfast.v1 import stock_read_pb2, stock_read_pb2_grpc  # noqa: E402
import hf_health_pb2  # noqa: E402
import hf_health_pb2_grpc  # noqa: E402
import hf_reflection_alpha_pb2  # noqa: E402
import hf_reflection_alpha_pb2_grpc  # noqa: E402
import hf_reflection_pb2  # noqa: E402
import hf_reflection_pb2_grpc  # noqa: E402
import hf_status_pb2  # noqa: E402

PROGRAM = None
NAMES = iter(range(1 << 30))


def new_id():
    """A UUID of version 7."""
    value = (int(time.time() * 1000) & (1 << 48) - 1) << 80 | 7 << 76 | random.getrandbits(76)
    value = value & ~(3 << 62) | 2 << 62
    text = f"{value:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Client:
    def __init__(self, server, channel=None):
        self.channel = channel or server.channel()
        self.admin = stock_admin_pb2_grpc.StockAdminServiceStub(self.channel)
        self.read = stock_read_pb2_grpc.StockReadServiceStub(self.channel)
        self.reservation = reservation_pb2_grpc.ReservationServiceStub(self.channel)
        self.health = hf_health_pb2_grpc.HealthStub(self.channel)

    def load(self, rows):
        """rows: (sku, location, on hand). Returns handles and the generation."""
        handles, generation = [], 0
        for at in range(0, len(rows), 1000):
            answer = self.admin.ImportStock(stock_admin_pb2.ImportStockRequest(rows=[
                stock_admin_pb2.ImportStockRow(
                    operation_id=new_id(), sku=sku, location=location,
                    on_hand=stock_admin_pb2.OptionalQuantity(value=on_hand))
                for sku, location, on_hand in rows[at:at + 1000]]))
            for result in answer.results:
                assert not result.HasField("error"), result
                handles.append(result.handle)
            generation = answer.generation
        return handles, generation

    def order(self, sku, location, quantity=1):
        return self.reservation.Order(reservation_pb2.OrderRequest(
            reservation_id=new_id(),
            lines=[common_pb2.Line(sku=sku, location=location, quantity=quantity)])).decision

    def close(self):
        self.channel.close()


class Watch:
    """Reads a WatchStock stream in a thread and checks what must hold for every message."""

    def __init__(self, client, stock=(), interval_ms=10):
        self.lock = threading.Condition()
        self.available, self.position, self.names = {}, {}, {}
        self.messages, self.complete, self.wrong, self.error = 0, False, [], None
        self.call = client.read.WatchStock(stock_read_pb2.WatchStockRequest(
            stock=list(stock), interval_ms=interval_ms))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def take(self, message):
        self.messages += 1
        if self.complete and not message.snapshot_complete:
            self.wrong.append("complete, then not")
        self.complete = message.snapshot_complete
        for cell in message.cells:
            if bool(cell.sku) == (cell.handle in self.names):
                self.wrong.append(f"names of {cell.handle} not exactly once")
            if cell.sku:
                self.names[cell.handle] = (cell.sku, cell.location)
            if cell.position < self.position.get(cell.handle, 0):
                self.wrong.append(f"position of {cell.handle} fell")
            self.position[cell.handle] = cell.position
            self.available[cell.handle] = cell.available

    def run(self):
        try:
            for message in self.call:
                with self.lock:
                    self.take(message)
                    self.lock.notify_all()
        except grpc.RpcError as error:
            with self.lock:
                self.error = error
                self.lock.notify_all()

    def wait(self, condition, seconds=20):
        with self.lock:
            return self.lock.wait_for(lambda: condition(self), timeout=seconds)

    def close(self):
        self.call.cancel()
        self.thread.join()
        assert not self.wrong, self.wrong[:5]


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.join(SCRATCH.name, cls.__name__)
        cls.server = client_world.Server(PROGRAM, cls.folder)
        cls.client = Client(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def sku(self):
        return f"sku-{next(NAMES)}"

    def refused(self, code, field, call, request):
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=20)
        error = caught.exception
        self.assertEqual(error.code(), code, error)
        if field:
            details = dict(error.trailing_metadata())["grpc-status-details-bin"]
            status = hf_status_pb2.Status.FromString(details)
            self.assertEqual(status.code, code.value[0])
            fields = []
            for detail in status.details:
                if detail.type_url.endswith("google.rpc.BadRequest"):
                    bad = hf_status_pb2.BadRequest.FromString(detail.value)
                    fields += [violation.field for violation in bad.field_violations]
            self.assertIn(field, fields + [error.details().split(":")[0]], error)
        return error


class Stock(Case):
    def test_a_cell_is_made_set_adjusted_and_told(self):
        admin, read, sku = self.client.admin, self.client.read, self.sku()
        made = admin.CreateStock(stock_admin_pb2.CreateStockRequest(
            sku=sku, location="WH1", unit_scale=3))
        again = admin.CreateStock(stock_admin_pb2.CreateStockRequest(
            sku=sku, location="WH1", unit_scale=3))
        self.assertEqual(made, again)
        setting = stock_admin_pb2.SetStockRequest(
            operation_id=new_id(), sku=sku, location="WH1",
            setting=stock_admin_pb2.STOCK_SETTING_ON_HAND, value=2500, reason="count")
        for repeat in (False, True):
            answer = admin.SetStock(setting)
            self.assertEqual(answer.outcome, stock_admin_pb2.STOCK_CHANGE_OUTCOME_DONE)
            self.assertEqual((answer.value, answer.repeat), (2500, repeat))
        answer = admin.AdjustStock(stock_admin_pb2.AdjustStockRequest(
            operation_id=new_id(), handle=made.handle, generation=made.generation,
            difference=-3000))
        self.assertEqual(answer.value, -500)
        cell = read.GetStock(stock_read_pb2.GetStockRequest(
            stock=stock_read_pb2.StockName(sku=sku, location="WH1"))).cell
        self.assertEqual((cell.available, cell.on_hand, cell.unit_scale, cell.handle),
                         (-500, -500, 3, made.handle))
        total = read.GetSkuStock(stock_read_pb2.GetSkuStockRequest(sku=sku)).total
        self.assertEqual(total.available, -500)
        setting.operation_id = new_id()
        setting.compare, setting.expected, setting.value = True, 7, 1
        answer = admin.SetStock(setting)
        self.assertEqual(answer.outcome, stock_admin_pb2.STOCK_CHANGE_OUTCOME_MISMATCH)
        self.assertEqual(answer.value, -500)

    def test_pages_hold_every_cell_once(self):
        location = self.sku()
        rows = [(self.sku(), location, i) for i in range(2500)]
        handles, _ = self.client.load(rows)
        seen, token = [], ""
        while True:
            page = self.client.read.ListStock(stock_read_pb2.ListStockRequest(
                location=location, page_size=999, page_token=token))
            seen += [(c.sku, c.location, c.on_hand) for c in page.cells]
            token = page.next_page_token
            if not token:
                break
        self.assertEqual(seen, rows)
        batch = self.client.read.BatchGetStock(stock_read_pb2.BatchGetStockRequest(stock=[
            stock_read_pb2.StockName(sku=sku, location=location) for sku, _, _ in rows[:1000]]))
        self.assertEqual([r.cell.handle for r in batch.results], handles[:1000])

    def test_an_import_sent_again_acts_once_also_after_a_kill(self):
        folder = os.path.join(SCRATCH.name, "import")
        request = stock_admin_pb2.ImportStockRequest(reason="import", rows=[
            stock_admin_pb2.ImportStockRow(
                operation_id=new_id(), sku=f"i{i}", location="L",
                on_hand=stock_admin_pb2.OptionalQuantity(value=100),
                safety_stock=stock_admin_pb2.OptionalQuantity(value=10)) for i in range(300)])
        server = client_world.Server(PROGRAM, folder)
        client = Client(server)
        first = client.admin.ImportStock(request)
        self.assertEqual(client.order("i7", "L", 40).outcome, common_pb2.OUTCOME_DONE)
        client.close()
        server.kill()
        with client_world.Server(PROGRAM, folder) as server:
            client = Client(server)
            self.assertEqual(client.admin.ImportStock(request), first)
            cell = client.read.GetStock(stock_read_pb2.GetStockRequest(
                stock=stock_read_pb2.StockName(sku="i7", location="L"))).cell
            self.assertEqual((cell.on_hand, cell.committed, cell.available), (100, 40, 50))
            client.close()

    def test_bad_input_names_its_field(self):
        admin, read = self.client.admin, self.client.read
        bad = grpc.StatusCode.INVALID_ARGUMENT
        create = stock_admin_pb2.CreateStockRequest
        self.refused(bad, "sku", admin.CreateStock, create(location="L"))
        self.refused(bad, "location", admin.CreateStock, create(sku="s"))
        self.refused(bad, "unit_scale", admin.CreateStock,
                     create(sku="s", location="L", unit_scale=7))
        self.refused(bad, "sku", admin.CreateStock, create(sku="x" * 65, location="L"))
        self.refused(bad, "sku", admin.CreateStock, create(sku="a\x07", location="L"))
        self.refused(bad, "operation_id", admin.SetStock, stock_admin_pb2.SetStockRequest(
            setting=1, sku="s", location="L"))
        self.refused(bad, "setting", admin.SetStock, stock_admin_pb2.SetStockRequest(
            operation_id=new_id(), sku="s", location="L", setting=99))
        self.refused(bad, "rows", admin.ImportStock, stock_admin_pb2.ImportStockRequest())
        self.refused(bad, "stock", read.GetStock, stock_read_pb2.GetStockRequest())
        self.refused(bad, "page_size", read.ListStock,
                     stock_read_pb2.ListStockRequest(page_size=1001))
        self.refused(bad, "page_token", read.ListStock,
                     stock_read_pb2.ListStockRequest(page_token="next"))
        self.refused(grpc.StatusCode.NOT_FOUND, None, read.GetStock,
                     stock_read_pb2.GetStockRequest(stock=stock_read_pb2.StockName(
                         sku="nobody", location="nowhere")))

    def test_broken_bytes_are_refused(self):
        for method in ("StockReadService/GetStock", "StockAdminService/ImportStock",
                       "StockReadService/ListStock"):
            raw = self.client.channel.unary_unary(f"/holdfast.v1.{method}",
                                                  request_serializer=lambda b: b,
                                                  response_deserializer=lambda b: b)
            # Cut varint, length beyond the end, group, invalid UTF-8, NUL in a string.
            for data in (b"\x08\x80", b"\x0a\x7fx", b"\x0b", b"\x0a\x02\xc3\x28\x12\x02\xff\xfe",
                         b"\x0a\x03a\x00b"):
                self.refused(grpc.StatusCode.INVALID_ARGUMENT, None, raw, data)
        self.test_a_cell_is_made_set_adjusted_and_told()


class WatchStock(Case):
    def name(self, sku, location="W"):
        return stock_read_pb2.StockName(sku=sku, location=location)

    def test_the_snapshot_is_whole_and_changes_follow(self):
        rows = [(self.sku(), "W", 1000) for _ in range(3000)]
        handles, _ = self.client.load(rows)
        watch = Watch(self.client)
        self.assertTrue(watch.wait(lambda w: w.complete))
        for handle, (sku, location, on_hand) in zip(handles, rows):
            self.assertEqual(watch.names[handle], (sku, location))
            self.assertEqual(watch.available[handle], on_hand)
        sold = {}
        for _ in range(500):
            at = random.randrange(len(rows))
            decision = self.client.order(rows[at][0], "W", 2)
            self.assertEqual(decision.outcome, common_pb2.OUTCOME_DONE)
            sold[at] = (sold.get(at, (0, 0))[0] + 2, decision.position.lsn)
        for at, (count, lsn) in sold.items():
            self.assertTrue(watch.wait(lambda w, h=handles[at], n=lsn: w.position[h] >= n))
            self.assertEqual(watch.available[handles[at]], 1000 - count)
            self.assertEqual(watch.position[handles[at]], lsn)
        late, _ = self.client.load([(self.sku(), "W", 5)])  # made while watched
        self.assertTrue(watch.wait(lambda w: w.available.get(late[0]) == 5))
        watch.close()

    def test_chosen_cells_only_and_positions_outlive_the_stream_and_the_server(self):
        folder = os.path.join(SCRATCH.name, "watch")
        server = client_world.Server(PROGRAM, folder)
        client = Client(server)
        handles, generation = client.load([(f"w{i}", "W", 100) for i in range(50)])
        chosen = [self.name("w3"), stock_read_pb2.StockName(handle=handles[4],
                                                             generation=generation)]
        watch = Watch(client, chosen)
        self.assertTrue(watch.wait(lambda w: w.complete))
        self.assertEqual(set(watch.names), {handles[3], handles[4]})
        lsn = client.order("w3", "W", 60).position.lsn
        client.order("w5", "W", 60)
        self.assertTrue(watch.wait(lambda w: w.position[handles[3]] == lsn))
        watch.close()
        known = dict(watch.position)
        client.close()
        server.kill()
        with client_world.Server(PROGRAM, folder) as server:
            client = Client(server)
            watch = Watch(client, chosen)
            self.assertTrue(watch.wait(lambda w: w.complete))
            self.assertEqual(watch.available, {handles[3]: 40, handles[4]: 100})
            for handle, position in watch.position.items():
                self.assertGreaterEqual(position, known[handle])
            watch.close()
            client.close()

    def test_a_client_that_does_not_read_costs_little_and_finds_the_present(self):
        rows = [(self.sku(), "W", 1 << 40) for _ in range(4000)]
        handles, _ = self.client.load(rows)
        narrow = Client(self.server, self.server.narrow_channel())
        lazy = [narrow.read.WatchStock(stock_read_pb2.WatchStockRequest(interval_ms=10))
                for _ in range(4)]
        for call in lazy:
            next(call)
        for round_ in range(20):  # 20 x 4000 changes: 80,000 cells to tell, were they queued
            for at in range(0, len(rows), 1000):
                self.client.admin.ImportStock(stock_admin_pb2.ImportStockRequest(rows=[
                    stock_admin_pb2.ImportStockRow(
                        operation_id=new_id(), sku=sku, location=location,
                        on_hand=stock_admin_pb2.OptionalQuantity(value=round_))
                    for sku, location, _ in rows[at:at + 1000]]))
        values, told = {}, 0
        for message in lazy[0]:
            told += len(message.cells)
            for cell in message.cells:
                values[cell.handle] = cell.available
            if all(values.get(h) == 19 for h in handles):
                break
        self.assertLess(told, 30000)  # it was told what is, not all that was
        for call in lazy:
            call.cancel()
        narrow.close()

    def test_bad_requests_and_bounds(self):
        watch = self.client.read.WatchStock

        def first(request, timeout):
            return next(watch(request, timeout=timeout))
        request = stock_read_pb2.WatchStockRequest
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "interval_ms", first,
                     request(interval_ms=1))
        error = self.refused(grpc.StatusCode.NOT_FOUND, None, first,
                             request(stock=[self.name("nobody")]))
        self.assertIn("stock[0].sku", error.details())
        self.refused(grpc.StatusCode.FAILED_PRECONDITION, None, first, request(
            stock=[stock_read_pb2.StockName(handle=0, generation=1)]))
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "stock", first, request(
            stock=[self.name("nobody")] * 10001))
        open_ = [watch(request()) for _ in range(8)]
        for call in open_:
            next(call)
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, None, first, request())
        for call in open_:
            call.cancel()
        deadline = time.time() + 10  # the server hears of the cancelled ones
        while True:
            try:
                call = watch(request())
                next(call)
                break
            except grpc.RpcError:
                self.assertLess(time.time(), deadline)
                time.sleep(0.05)
        call.cancel()


class Protocols(Case):
    def test_health_is_told_and_watched(self):
        serving = hf_health_pb2.HealthCheckResponse.SERVING
        request = hf_health_pb2.HealthCheckRequest
        for service in ("", "holdfast.v1.ReservationService", "grpc.health.v1.Health"):
            self.assertEqual(self.client.health.Check(request(service=service)).status, serving)
        self.refused(grpc.StatusCode.NOT_FOUND, None, self.client.health.Check,
                     request(service="nobody"))
        unknown = self.client.health.Watch(request(service="nobody"))
        self.assertEqual(next(unknown).status, hf_health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        unknown.cancel()

    def test_a_server_that_goes_says_so_and_ends_its_streams(self):
        server = client_world.Server(PROGRAM, os.path.join(SCRATCH.name, "drain"),
                                     "--grpc-drain", "1min")
        client = Client(server)
        client.load([("a", "L", 5)])
        health = client.health.Watch(hf_health_pb2.HealthCheckRequest())
        self.assertEqual(next(health).status, hf_health_pb2.HealthCheckResponse.SERVING)
        stock = client.read.WatchStock(stock_read_pb2.WatchStockRequest())
        self.assertTrue(next(stock).snapshot_complete)
        never = threading.Event()  # requests that never end
        idle = iter(never.wait, True)
        streams = [hf_reflection_pb2_grpc.ServerReflectionStub(client.channel)
                   .ServerReflectionInfo(idle), client.reservation.ReserveStream(idle)]
        self.assertEqual(client.order("a", "L").outcome, common_pb2.OUTCOME_DONE)
        server.terminate()
        self.assertEqual(next(health).status, hf_health_pb2.HealthCheckResponse.NOT_SERVING)
        for stream in (health, stock, *streams):
            with self.assertRaises(grpc.RpcError) as caught:
                while True:
                    next(stream)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        began = time.time()
        self.assertEqual(server.ended(), 0)
        self.assertLess(time.time() - began, 20)  # not for as long as a drain may take
        never.set()
        client.close()

    def ask(self, stub, pb2, **question):
        """One question on a stream of its own."""
        call = stub.ServerReflectionInfo(iter([pb2.ServerReflectionRequest(**question)]))
        answers = list(call)
        self.assertEqual(len(answers), 1)
        return answers[0]

    def versions(self):
        return ((hf_reflection_pb2_grpc.ServerReflectionStub(self.client.channel),
                 hf_reflection_pb2),
                (hf_reflection_alpha_pb2_grpc.ServerReflectionStub(self.client.channel),
                 hf_reflection_alpha_pb2))

    def pool(self, stub, pb2, symbol):
        """What a tool builds from an answer alone."""
        answer = self.ask(stub, pb2, file_containing_symbol=symbol)
        pool = descriptor_pool.DescriptorPool()
        files = [descriptor_pb2.FileDescriptorProto.FromString(data)
                 for data in answer.file_descriptor_response.file_descriptor_proto]
        left = {file.name: file for file in files}
        self.assertEqual(len(left), len(files))

        def add(file):
            for name in file.dependency:
                if name in left:
                    add(left.pop(name))
            pool.Add(file)

        while left:  # in any order, but all that is needed is there
            add(left.pop(next(iter(left))))
        return pool

    def test_reflection_describes_exactly_what_is_served(self):
        for stub, pb2 in self.versions():
            listed = [s.name for s in
                      self.ask(stub, pb2, list_services="").list_services_response.service]
            self.assertEqual(len(listed), len(set(listed)))
            self.assertIn("holdfast.v1.ReservationService", listed)
            self.assertIn("grpc.reflection.v1.ServerReflection", listed)
            for name in listed:
                service = self.pool(stub, pb2, name).FindServiceByName(name)
                for method in service.methods:
                    self.served(f"/{name}/{method.name}")
        raw = self.client.channel.unary_unary("/holdfast.v1.StockReadService/Nothing",
                                              request_serializer=lambda b: b)
        self.refused(grpc.StatusCode.UNIMPLEMENTED, None, raw, b"")

    def served(self, path):
        call = self.client.channel.stream_stream(path, request_serializer=lambda b: b)(
            iter([b""]), timeout=5)
        try:
            next(call, None)
        except grpc.RpcError as error:
            self.assertNotEqual(error.code(), grpc.StatusCode.UNIMPLEMENTED, path)
        call.cancel()

    def test_a_call_can_be_made_from_reflection_alone(self):
        sku = self.sku()
        self.client.load([(sku, "R", 42)])
        for stub, pb2 in self.versions():
            name = "holdfast.v1.StockReadService"
            pool = self.pool(stub, pb2, name)
            method = pool.FindServiceByName(name).FindMethodByName("GetStock")
            factory = message_factory.MessageFactory(pool)
            request = factory.GetPrototype(method.input_type)()
            request.stock.sku, request.stock.location = sku, "R"
            call = self.client.channel.unary_unary(
                f"/{name}/GetStock", request_serializer=lambda m: m.SerializeToString(),
                response_deserializer=factory.GetPrototype(method.output_type).FromString)
            self.assertEqual(call(request).cell.available, 42)

    def test_what_is_not_there_does_not_end_the_stream(self):
        for stub, pb2 in self.versions():
            ask = pb2.ServerReflectionRequest
            answers = list(stub.ServerReflectionInfo(iter([
                ask(file_by_filename="nothing.proto"), ask(file_containing_symbol="no.Thing"),
                ask(all_extension_numbers_of_type="holdfast.v1.Line"), ask(),
                ask(file_by_filename="holdfast/v1/common.proto")])))
            self.assertEqual([a.error_response.error_code for a in answers], [5, 5, 5, 3, 0])
            self.assertTrue(answers[4].HasField("file_descriptor_response"))


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
