#!/usr/bin/env python3
"""Packets to a running holdfastd over the kernel's UDP, by a client written from the format's page.

Usage: test_packets.py HOLDFASTD [unittest options]
"""
import os
import sys
import threading
import unittest

import client_world
import packet_codec as packets

SCRATCH = client_world.scratch()
client_world.make_stubs(os.path.join(SCRATCH.name, "stubs"))

from holdfast.v1 import common_pb2, packet_pb2, reservation_pb2  # noqa: E402
import packet_shop  # noqa: E402

PROGRAM = None
LISTEN = ["--packet-listen", "127.0.0.1:0"]


class Packets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.shop = packet_shop.Shop(PROGRAM, os.path.join(SCRATCH.name, "data"), *LISTEN)

    @classmethod
    def tearDownClass(cls):
        cls.shop.close()

    def setUp(self):
        self.session = self.shop.session()
        self.addCleanup(self.session.close)

    def test_an_order_is_sold(self):
        sku, handle = self.shop.cell(10)
        one = packets.new_id()
        (a,) = self.session.ask(packets.item(packets.ORDER, one, [(handle, 3)]))
        self.assertEqual((a.id, a.outcome, a.state), (one, packets.DONE, packets.COMMITTED))
        self.assertTrue(a.flags & packets.DURABLE)
        self.assertEqual(a.lines, [(7, 3)])
        self.assertEqual(self.shop.available(sku), 7)
        (a,) = self.session.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 8)]))
        self.assertEqual((a.outcome, a.lines), (packets.REFUSED, [(7, 1)]))

    def test_both_doors_know_the_same_ids(self):
        sku, handle = self.shop.cell(10)
        one = packets.new_id()
        (a,) = self.session.ask(packets.item(packets.HOLD, one, [(handle, 4)], ms=60000))
        self.assertEqual((a.outcome, a.state), (packets.DONE, packets.HELD))
        self.assertTrue(0 < a.detail <= 60000)
        told = self.shop.reservations.Commit(reservation_pb2.CommitRequest(
            reservation_id=packets.id_text(one)))
        self.assertEqual(told.decision.outcome, common_pb2.OUTCOME_DONE)
        (a,) = self.session.ask(packets.item(packets.COMMIT, one))
        self.assertEqual((a.outcome, a.state), (packets.DONE, packets.COMMITTED))
        self.assertTrue(a.flags & packets.REPEAT)
        (a,) = self.session.ask(packets.item(packets.QUERY, one))
        self.assertEqual((a.outcome, a.state), (packets.DONE, packets.COMMITTED))
        self.assertEqual(self.shop.available(sku), 6)

    def test_a_full_frame_is_answered_item_by_item(self):
        sku, handle = self.shop.cell(1000)
        ids = [packets.new_id() for _ in range(44)]
        answers = self.session.ask(*[packets.item(packets.ORDER, i, [(handle, 1)]) for i in ids])
        self.assertEqual([a.id for a in answers], ids)
        self.assertEqual({a.outcome for a in answers}, {packets.DONE})
        self.assertEqual(self.shop.available(sku), 956)

    def test_strangers_are_counted_and_not_answered(self):
        sku, handle = self.shop.cell(10)
        good = self.session.frame([packets.item(packets.ORDER, packets.new_id(), [(handle, 1)])])
        self.session.socket.send(good)
        self.assertTrue(self.session.receive(60))
        item = packets.item(packets.ORDER, packets.new_id(), [(handle, 1)])
        forged = bytearray(self.session.frame([item]))
        forged[-1] ^= 1
        other = packets.Session(self.session.socket.getpeername(), self.session.number ^ 0x30000,
                                self.session.key, self.session.generation)
        self.addCleanup(other.close)
        for cause, data in (("REPLAYED", good), ("FORGED", bytes(forged)), ("SHORT", b""),
                            ("SHORT", b"HF"), ("TRUNCATED", good[:-1]), ("LONGER", good + b"x"),
                            ("MAGIC", b"GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n"),
                            ("SESSION", other.frame([item]))):
            name = f'holdfast_packet_dropped_total{{cause="{cause}"}}'
            before = self.shop.metric(name)
            self.session.silent(data)
            self.assertEqual(self.shop.metric(name), before + 1, cause)
        self.assertEqual(self.shop.available(sku), 9)

    def test_a_stale_directory_is_refused(self):
        sku, handle = self.shop.cell(10)
        items = [packets.item(packets.ORDER, packets.new_id(), [(handle, 1)])]
        self.session.socket.send(self.session.frame(items, generation=self.session.generation ^ 1))
        _, generation, _, (a,) = self.session.receive(60)
        self.assertEqual(a.outcome, packets.STALE_DIRECTORY)
        self.assertEqual(generation, self.session.generation)
        self.assertEqual(self.shop.available(sku), 10)

    def test_a_closed_session_is_gone(self):
        _, handle = self.shop.cell(10)
        self.session.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
        self.shop.packets.CloseSession(packet_pb2.CloseSessionRequest(
            session_id=self.session.number))
        self.session.silent(self.session.frame([packets.item(packets.ORDER, packets.new_id(),
                                                             [(handle, 1)])]))

    def test_a_rate_is_kept(self):
        _, handle = self.shop.cell(1000)
        slow = self.shop.session(items_per_second=1)
        self.addCleanup(slow.close)
        answers = [slow.ask(packets.item(packets.QUERY, bytes(16), [(handle, 0)]))[0]
                   for _ in range(5)]
        limited = [a for a in answers if a.outcome == packets.RATE_LIMITED]
        self.assertTrue(limited)
        self.assertTrue(all(0 < a.detail <= 1000 for a in limited))

    # P1 and P3: eight at once at both doors, each order twice; nothing oversells.
    def test_nobody_oversells_at_two_doors(self):
        sku, handle = self.shop.cell(200)
        done, wrong, lock = [], [], threading.Lock()

        def by_packet():
            s = self.shop.session()
            for _ in range(50):
                one = packets.new_id()
                ask = packets.item(packets.ORDER, one, [(handle, 1)])
                first, again = s.ask(ask)[0], s.ask(ask)[0]
                with lock:
                    if first.outcome != again.outcome or not again.flags & packets.REPEAT:
                        wrong.append((first.outcome, again.outcome, again.flags))
                    if first.outcome == packets.DONE:
                        done.append(one)
            s.close()

        def by_call():
            for _ in range(50):
                told = self.shop.reservations.Order(reservation_pb2.OrderRequest(
                    reservation_id=packets.id_text(packets.new_id()),
                    lines=[common_pb2.Line(sku=sku, location="shop", quantity=1)]))
                if told.decision.outcome == common_pb2.OUTCOME_DONE:
                    with lock:
                        done.append(None)

        def counted(work):
            try:
                work()
            except Exception as e:  # a thread's would go unnoticed
                with lock:
                    wrong.append(e)
        threads = [threading.Thread(target=counted, args=(f,)) for f in [by_packet, by_call] * 4]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(done), 200)
        self.assertEqual(self.shop.available(sku), 0)


class Lives(unittest.TestCase):
    # P2: what was answered is there after kill -9; and sessions are not.
    def test_what_was_answered_survives_a_kill(self):
        folder = os.path.join(SCRATCH.name, "killed")
        shop = packet_shop.Shop(PROGRAM, folder, *LISTEN, "--packet-queues", "2")
        sku, handle = shop.cell(100)
        sessions = [shop.session() for _ in range(4)]
        done = [(i, s) for s in sessions for i in (packets.new_id() for _ in range(5))]
        for one, s in done:
            (a,) = s.ask(packets.item(packets.ORDER, one, [(handle, 1)]))
            self.assertEqual(a.outcome, packets.DONE)
        shop.kill()
        again = packet_shop.Shop(PROGRAM, folder, *LISTEN)
        try:
            s = again.session()
            self.assertEqual(again.available(sku), 80)
            self.assertEqual(again.handle(sku), handle)
            for one, _ in done:
                (a,) = s.ask(packets.item(packets.ORDER, one, [(handle, 1)]))
                self.assertEqual((a.outcome, a.flags),
                                 (packets.DONE, packets.REPEAT | packets.DURABLE))
            door = s.socket.getpeername()
            sessions[0].socket.connect(door)
            sessions[0].silent(sessions[0].frame([]))
            for each in sessions + [s]:
                each.close()
        finally:
            again.close()

    def test_without_tags_and_without_sleep(self):
        shop = packet_shop.Shop(PROGRAM, os.path.join(SCRATCH.name, "bare"), *LISTEN,
                                "--no-packet-tags", "--packet-polling")
        try:
            sku, handle = shop.cell(10)
            s = shop.session()
            self.assertEqual(s.key, b"")
            (a,) = s.ask(packets.item(packets.ORDER, packets.new_id(), [(handle, 1)]))
            self.assertEqual(a.outcome, packets.DONE)
            s.close()
        finally:
            shop.close()


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
