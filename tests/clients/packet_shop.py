"""A holdfastd that takes packets, and what tests ask of it over gRPC. Needs the stubs of
client_world.make_stubs."""
import re
import urllib.request

from holdfast.v1 import packet_pb2, packet_pb2_grpc, reservation_pb2_grpc
from holdfast.v1 import stock_admin_pb2, stock_admin_pb2_grpc
from holdfast.v1 import stock_read_pb2, stock_read_pb2_grpc

import client_world
import packet_codec as packets

NAMES = iter(range(1 << 30))


class Shop:
    """A server with packets, and what a test asks of it over gRPC."""

    def __init__(self, program, folder, *more):
        self.server = client_world.Server(program, folder, *more, admin="127.0.0.1:0")
        self.channel = self.server.channel()
        self.packets = packet_pb2_grpc.PacketServiceStub(self.channel)
        self.admin = stock_admin_pb2_grpc.StockAdminServiceStub(self.channel)
        self.read = stock_read_pb2_grpc.StockReadServiceStub(self.channel)
        self.reservations = reservation_pb2_grpc.ReservationServiceStub(self.channel)

    def session(self, via=None, **wanted):
        told = self.packets.OpenSession(packet_pb2.OpenSessionRequest(**wanted))
        return packets.Session((told.doors[0].address, told.doors[0].port), told.session_id,
                               told.key, told.generation, via=via)

    def cell(self, on_hand, sku=None):
        """A cell's name and handle."""
        sku = sku or f"packet-{next(NAMES)}"
        told = self.admin.ImportStock(stock_admin_pb2.ImportStockRequest(rows=[
            stock_admin_pb2.ImportStockRow(
                operation_id=packets.id_text(packets.new_id()), sku=sku, location="shop",
                on_hand=stock_admin_pb2.OptionalQuantity(value=on_hand))]))
        assert not told.results[0].HasField("error"), told
        return sku, self.handle(sku)

    def handle(self, sku):
        told = self.packets.GetHandles(packet_pb2.GetHandlesRequest(
            stock=[stock_read_pb2.StockName(sku=sku, location="shop")]))
        return told.results[0].handle.handle

    def available(self, sku):
        return self.read.GetStock(stock_read_pb2.GetStockRequest(
            stock=stock_read_pb2.StockName(sku=sku, location="shop"))).cell.available

    def metric(self, name):
        port = re.search(r"admin_port=([0-9]+)", "".join(self.server.log)).group(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
            text = page.read().decode()
        return int(re.search(rf"^{re.escape(name)} ([0-9]+)$", text, re.M).group(1))

    def close(self):
        self.channel.close()
        self.server.stop()

    def kill(self):
        self.channel.close()
        self.server.kill()
