"""A server of the API in Python, for what a real one does only in trouble: it fails as it is told,
is slow, forgets, and remembers everything that it was asked. Its stock is a dictionary.

    fake = Fake()                      # after stubs.load()
    fake.fail("Reserve", code, ...)    # the next call of that method
    fake.asked["Reserve"]              # the requests so far, with their metadata
"""
import collections
import concurrent.futures
import threading
import time

import grpc
import rpc_status_pb2
from health.v1 import health_pb2, health_pb2_grpc
from holdfast.v1 import (common_pb2, erp_pb2, erp_pb2_grpc, reservation_pb2, reservation_pb2_grpc,
                         stock_admin_pb2, stock_admin_pb2_grpc, stock_read_pb2, stock_read_pb2_grpc)

GENERATION = 2 ** 63 + 5  # more than a double, or a signed number, can hold
TERMS = ["on_hand", "held", "committed", "external", "safety_stock", "backorder_limit"]


def error_trailer(code, message, reason="", field="", retry_ms=0):
    status = rpc_status_pb2.Status(code=code.value[0], message=message)

    def add(name, detail):
        status.details.add(type_url="type.googleapis.com/google.rpc." + name,
                           value=detail.SerializeToString())
    if reason:
        add("ErrorInfo", rpc_status_pb2.ErrorInfo(reason=reason, domain="holdfast"))
    if field:
        violation = rpc_status_pb2.BadRequest.FieldViolation(field=field, description=message)
        add("BadRequest", rpc_status_pb2.BadRequest(field_violations=[violation]))
    if retry_ms:
        delay = rpc_status_pb2.DetailDuration(seconds=retry_ms // 1000,
                                              nanos=retry_ms % 1000 * 1000000)
        add("RetryInfo", rpc_status_pb2.RetryInfo(retry_delay=delay))
    return (("grpc-status-details-bin", status.SerializeToString()),)


class Base:
    def __init__(self, fake):
        self.fake = fake


def method(function):
    """Counts the call, then fails or waits as the test told."""
    name = function.__name__

    def run(self, request, context):
        fake = self.fake
        with fake.lock:
            fake.asked[name].append(request)
            fake.metadata[name].append(dict(context.invocation_metadata()))
            planned = fake.planned[name].pop(0) if fake.planned[name] else None
        if planned and planned.get("delay"):
            fake.closing.wait(planned["delay"])
        if planned and planned.get("code"):
            context.set_trailing_metadata(planned["trailer"])
            context.abort(planned["code"], planned["message"])
        return function(self, request, context)
    return run


def not_found(context, message):
    context.set_trailing_metadata(error_trailer(grpc.StatusCode.NOT_FOUND, message))
    context.abort(grpc.StatusCode.NOT_FOUND, message)


class StockRead(Base, stock_read_pb2_grpc.StockReadServiceServicer):
    @method
    def GetStock(self, request, context):
        cell = self.fake.cells.get((request.stock.sku, request.stock.location))
        if not cell:
            not_found(context, "no such cell")
        return stock_read_pb2.GetStockResponse(cell=cell)

    @method
    def BatchGetStock(self, request, context):
        reply = stock_read_pb2.BatchGetStockResponse()
        for name in request.stock:
            cell = self.fake.cells.get((name.sku, name.location))
            result = reply.results.add()
            if cell:
                result.cell.CopyFrom(cell)
            else:
                result.error.code = 5
                result.error.message = "no such cell"
        return reply

    @method
    def ListStock(self, request, context):
        found = [c for c in self.fake.cells.values()
                 if (not request.location or c.location == request.location)
                 and (not request.short_only or c.available < 0)]
        at = int(request.page_token or 0)
        size = min(request.page_size or 100, 2)  # small pages, so that there are several
        return stock_read_pb2.ListStockResponse(
            cells=found[at:at + size],
            next_page_token=str(at + size) if at + size < len(found) else "")

    @method
    def GetSkuStock(self, request, context):
        found = [c for c in self.fake.cells.values() if c.sku == request.sku]
        if not found:
            not_found(context, "no such SKU")
        total = stock_read_pb2.StockCell(sku=request.sku, unit_scale=found[0].unit_scale,
                                         active=True)
        for term in TERMS + ["available"]:
            setattr(total, term, sum(getattr(c, term) for c in found))
        room = self.fake.cells_in_an_answer
        return stock_read_pb2.GetSkuStockResponse(total=total, cells=found[:room],
                                                  cells_left_out=len(found[room:]))

    def WatchStock(self, request, context):
        fake = self.fake
        fake.asked["WatchStock"].append(request)
        chosen = [(n.sku, n.location) for n in request.stock] or list(fake.cells)
        yield stock_read_pb2.WatchStockResponse(
            generation=GENERATION, snapshot_complete=True,
            cells=[stock_read_pb2.WatchedCell(
                handle=fake.cells[n].handle, sku=n[0], location=n[1],
                available=fake.cells[n].available, position=7) for n in chosen])
        if fake.planned["WatchStock"]:
            fake.planned["WatchStock"].pop(0)
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
        first = fake.cells[chosen[0]]
        for k in range(3):
            yield stock_read_pb2.WatchStockResponse(
                generation=GENERATION, cells=[stock_read_pb2.WatchedCell(
                    handle=first.handle, available=first.available - k - 1, position=8 + k)])
        while context.is_active():
            time.sleep(0.02)


class StockAdmin(Base, stock_admin_pb2_grpc.StockAdminServiceServicer):
    @method
    def CreateStock(self, request, context):
        cell = self.fake.cell(request.sku, request.location, request.unit_scale)
        return stock_admin_pb2.CreateStockResponse(handle=cell.handle, generation=GENERATION)

    @method
    def SetStock(self, request, context):
        cell = self.fake.cells.get((request.sku, request.location))
        if not cell:
            not_found(context, "no such cell")
        name = {1: "on_hand", 2: "safety_stock", 3: "backorder_limit", 4: "external",
                5: "active"}[request.setting]
        if request.compare and getattr(cell, name) != request.expected:
            return stock_admin_pb2.SetStockResponse(outcome=2, value=getattr(cell, name))
        setattr(cell, name, request.value)
        self.fake.settle(cell)
        return stock_admin_pb2.SetStockResponse(outcome=1, value=request.value)

    @method
    def AdjustStock(self, request, context):
        cell = self.fake.cells.get((request.sku, request.location))
        if not cell:
            not_found(context, "no such cell")
        repeat = request.operation_id in self.fake.operations
        if not repeat:
            self.fake.operations[request.operation_id] = b""
            cell.on_hand += request.difference
            self.fake.settle(cell)
        return stock_admin_pb2.AdjustStockResponse(outcome=1, value=cell.on_hand, repeat=repeat)

    @method
    def ImportStock(self, request, context):
        fake = self.fake
        reply = stock_admin_pb2.ImportStockResponse(generation=GENERATION)
        for row in request.rows:
            reply.results.append(fake.import_row(row))
        return reply

    @method
    def CreateChannel(self, request, context):
        return stock_admin_pb2.CreateChannelResponse(number=3)


class Reservations(Base, reservation_pb2_grpc.ReservationServiceServicer):
    def decide(self, request, state, response):
        fake = self.fake
        decision = common_pb2.Decision(durable=True, version=1)
        known = fake.reservations.get(request.reservation_id)
        if known:
            decision.outcome, decision.state, decision.repeat = 1, known.state, True
            return response(decision=decision)
        missing = False
        for line in request.lines:
            cell = fake.cells[(line.sku, line.location)]
            shortfall = max(0, line.quantity - cell.available)
            missing = missing or shortfall > 0
            decision.lines.add(available=cell.available, shortfall=shortfall,
                               earliest_expiry_ms=1800000000000 if shortfall else 0)
        decision.outcome = 2 if missing else 1
        if not missing:
            decision.state = state
            if state == 1:
                decision.expires_at_ms = int(time.time() * 1000) + request.ttl_ms
                decision.expires_in_ms = request.ttl_ms
            self.take(request, decision, state)
        return response(decision=decision)

    def take(self, request, decision, state):
        fake = self.fake
        r = reservation_pb2.Reservation(
            reservation_id=request.reservation_id, kind=state, state=state, version=1,
            channel=request.channel, reference=request.reference,
            expires_at_ms=decision.expires_at_ms, expires_in_ms=decision.expires_in_ms)
        for line, told in zip(request.lines, decision.lines):
            cell = fake.cells[(line.sku, line.location)]
            told.taken = line.quantity
            if state == 1:
                cell.held += line.quantity
            else:
                cell.committed += line.quantity
            fake.settle(cell)
            told.available = cell.available
            r.lines.add(sku=line.sku, location=line.location, quantity=line.quantity)
        fake.reservations[request.reservation_id] = r

    @method
    def Reserve(self, request, context):
        return self.decide(request, 1, reservation_pb2.ReserveResponse)

    @method
    def Order(self, request, context):
        return self.decide(request, 2, reservation_pb2.OrderResponse)

    @method
    def Record(self, request, context):
        return self.decide(request, 2, reservation_pb2.RecordResponse)

    def end(self, request, context, state, response):
        r = self.fake.reservations.get(request.reservation_id)
        if not r:
            not_found(context, "no such reservation")
        if r.state not in (1, state):
            return response(decision=common_pb2.Decision(outcome=4, state=r.state, durable=True))
        r.state = state
        r.version += 1
        if state != 1:
            r.expires_at_ms = r.expires_in_ms = 0
        return response(decision=common_pb2.Decision(outcome=1, state=state, durable=True,
                                                     version=r.version))

    @method
    def Commit(self, request, context):
        return self.end(request, context, 2, reservation_pb2.CommitResponse)

    @method
    def Release(self, request, context):
        return self.end(request, context, 3, reservation_pb2.ReleaseResponse)

    @method
    def Extend(self, request, context):
        return self.end(request, context, 1, reservation_pb2.ExtendResponse)

    @method
    def Cancel(self, request, context):
        return self.end(request, context, 2, reservation_pb2.CancelResponse)

    @method
    def ReturnGoods(self, request, context):
        return self.end(request, context, 2, reservation_pb2.ReturnGoodsResponse)

    @method
    def GetReservation(self, request, context):
        r = self.fake.reservations.get(request.reservation_id)
        if not r:
            not_found(context, "no such reservation")
        return reservation_pb2.GetReservationResponse(reservation=r)

    @method
    def ListReservations(self, request, context):
        found = [r for r in self.fake.reservations.values()
                 if (not request.state or r.state == request.state)
                 and (not request.channel or r.channel == request.channel)
                 and (not request.reference or r.reference == request.reference)
                 and (not request.sku or any(
                     (line.sku, line.location) == (request.sku, request.location)
                     for line in r.lines))]
        if found and not request.page_token:  # a page may be empty and have a successor
            return reservation_pb2.ListReservationsResponse(next_page_token="0")
        at = int(request.page_token or 0)
        return reservation_pb2.ListReservationsResponse(
            reservations=found[at:at + 1],
            next_page_token=str(at + 1) if at + 1 < len(found) else "")


class Erp(Base, erp_pb2_grpc.ErpServiceServicer):
    """Every comparison comes to nothing, for `fake.pause`."""
    @method
    def StartReconciliation(self, request, context):
        return erp_pb2.StartReconciliationResponse()

    @method
    def GetReconciliation(self, request, context):
        return erp_pb2.GetReconciliationResponse(failed=True)

    @method
    def GetPostingStatus(self, request, context):
        return erp_pb2.GetPostingStatusResponse(pause=self.fake.pause[0],
                                                pause_help=self.fake.pause[1],
                                                **self.fake.backlog)

    @method
    def Trace(self, request, context):
        record = erp_pb2.TraceRecord(record="ORDER", lsn=7, version=1, movements=[
            erp_pb2.TraceMovement(sku="TEA", location="WH1", kind="SALE", quantity=1)])
        return erp_pb2.TraceResponse(reservations=[
            erp_pb2.TracedReservation(reservation_id=request.reservation_id, records=[record])])


class Health(Base, health_pb2_grpc.HealthServicer):
    @method
    def Check(self, request, context):
        return health_pb2.HealthCheckResponse(status=self.fake.health)


class Fake:
    def __init__(self, credentials=None, address="127.0.0.1:0"):
        self.lock = threading.Lock()
        self.closing = threading.Event()  # nobody need wait any longer
        self.asked = collections.defaultdict(list)
        self.metadata = collections.defaultdict(list)
        self.planned = collections.defaultdict(list)
        self.cells, self.reservations, self.operations = {}, {}, {}
        self.row_errors = {}  # (sku, location) -> list of (code, reason, message), used up
        self.cells_in_an_answer = 1000
        self.health = 1
        self.pause, self.backlog = ("NONE", "posting"), {}
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        stock_read_pb2_grpc.add_StockReadServiceServicer_to_server(StockRead(self), self.server)
        stock_admin_pb2_grpc.add_StockAdminServiceServicer_to_server(StockAdmin(self), self.server)
        reservation_pb2_grpc.add_ReservationServiceServicer_to_server(Reservations(self),
                                                                      self.server)
        erp_pb2_grpc.add_ErpServiceServicer_to_server(Erp(self), self.server)
        health_pb2_grpc.add_HealthServicer_to_server(Health(self), self.server)
        if credentials:
            self.port = self.server.add_secure_port(address, credentials)
        else:
            self.port = self.server.add_insecure_port(address)
        self.server.start()

    def stop(self):
        self.closing.set()
        self.server.stop(None).wait()

    def fail(self, name, code=None, message="told to fail", delay=0, **details):
        self.planned[name].append({
            "code": code, "message": message, "delay": delay,
            "trailer": error_trailer(code, message, **details) if code else ()})

    def cell(self, sku, location, unit_scale=0, **terms):
        cell = self.cells.get((sku, location))
        if not cell:
            cell = stock_read_pb2.StockCell(sku=sku, location=location, unit_scale=unit_scale,
                                            handle=len(self.cells) + 1, generation=GENERATION,
                                            active=True)
            self.cells[(sku, location)] = cell
        for name, value in terms.items():
            setattr(cell, name, value)
        self.settle(cell)
        return cell

    @staticmethod
    def settle(cell):
        cell.available = (cell.on_hand - cell.held - cell.committed - cell.external
                          - cell.safety_stock + cell.backorder_limit)

    def import_row(self, row):
        """Acts once for each operation id; the same id with another body is a conflict."""
        result = stock_admin_pb2.ImportStockResult()
        errors = self.row_errors.get((row.sku, row.location))
        body = row.SerializeToString()
        if errors:
            code, reason, message = errors.pop(0)
            result.error.code, result.error.reason = code, reason
            result.error.message = message
        elif self.operations.get(row.operation_id, body) != body:
            result.error.code, result.error.message = 6, "this id was used with another body"
        elif row.operation_id not in self.operations:
            self.operations[row.operation_id] = body
            cell = self.cell(row.sku, row.location, row.unit_scale)
            for name in ["on_hand", "safety_stock", "backorder_limit"]:
                if row.HasField(name):
                    setattr(cell, name, getattr(row, name).value)
            self.settle(cell)
        return result
