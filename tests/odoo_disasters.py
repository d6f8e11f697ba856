"""What happens to data folders, for tests/odoo --disasters: each is followed by its runbook
(docs/OPERATIONS.md), and both sides are equal to the unit again.

  backup    an old backup is put in the place of the folder
  copy      a copy is started beside the original
  deleted   the folder is gone

The shop's part of the runbook is played here: its own book of orders, the newest first, against
what Odoo has deducted.
"""
import collections
import os
import shutil
import subprocess
import time

from test_reservations import uuid7, DONE

ELSEWHERE = 79
SETTLE = "1s"


def backlog_grows(seller, orders):
    """Orders alone, while the flusher posts some of them."""
    book = []
    for _ in range(orders):
        seller.order()
        book.append(seller.last_order)
        time.sleep(seller.rng.random() * 0.03)
    return book


def refused(daemon):
    """The daemon does not serve this folder, and says what to do."""
    with open(daemon.log.name, "rb") as f:
        f.seek(0, os.SEEK_END)
        at = f.tell()
    process = daemon.spawn()
    code = process.wait(120)
    with open(daemon.log.name, "rb") as f:
        f.seek(at)
        said = f.read().decode()
    assert code == ELSEWHERE, (code, said)
    assert "--moved" in said and "--as-new" in said, said


def shop_tells_again(seller, rows, book):
    """Units that were sold and that Odoo has not deducted, as records: the newest orders' first."""
    stock = collections.Counter(rows(seller.args)[0])
    missing = {c: round(stock[c]) - want for c, want in seller.stock.items()
               if round(stock[c]) != want}
    assert all(units > 0 for units in missing.values()), missing
    told = 0
    for place, lines in reversed(book):
        again = []
        for sku, quantity in lines:
            units = min(quantity, missing.get((sku, place), 0))
            if units:
                missing[sku, place] -= units
                again.append(seller.client.line(sku, units, place))
                told += units
        if again:
            answer = seller.ask("Record", seller.client.r.RecordRequest(
                reservation_id=uuid7(), lines=again, reference="again"))
            assert answer.decision.outcome == DONE, answer
    assert not any(missing.values()), {c: n for c, n in missing.items() if n}
    return told


def check(what, settle, compare, daemon, seller, began):
    settle(daemon, seller)
    wrong, _ = compare()
    for line in wrong[:40]:
        print(f"NOT EQUAL {line}")
    print(f"  {what}: {int(time.monotonic() - began)} s: {'NOT EQUAL' if wrong else 'equal'}",
          flush=True)
    return len(wrong)


def backup(daemon, seller, tools):
    began, data = time.monotonic(), daemon.data
    backlog_grows(seller, 30)
    daemon.halt()
    shutil.copytree(data, data + ".backup")
    daemon.start()
    seller.connect()
    book = backlog_grows(seller, 60)
    daemon.halt()
    shutil.rmtree(data)
    os.rename(data + ".backup", data)
    refused(daemon)
    daemon.start("--moved", "--odoo-settle", SETTLE)
    seller.connect()
    tools.settle(daemon, seller)
    told = shop_tells_again(seller, tools.rows, book)
    daemon.kill()  # an ordinary start takes it from here
    seller.connect()
    return check(f"backup restored, {told} units told again", tools.settle, tools.compare, daemon,
                 seller, began)


def copy(daemon, seller, tools):
    began = time.monotonic()
    backlog_grows(seller, 20)
    daemon.halt()
    shutil.copytree(daemon.data, daemon.data + ".copy")
    daemon.start()
    seller.connect()
    other = daemon.twin(daemon.data + ".copy")
    refused(other)
    other.start("--as-new")
    other.kill()  # it stays a copy
    there = type(seller)(seller.args, other, seller.rng)
    for _ in range(10):
        there.order()
    backlog_grows(seller, 20)
    other.halt()
    shutil.rmtree(other.data)
    return check("copy started beside it", tools.settle, tools.compare, daemon, seller, began)


def deleted(daemon, seller, tools):
    began = time.monotonic()
    book = backlog_grows(seller, 40)
    daemon.halt()
    shutil.rmtree(daemon.data)
    time.sleep(1)  # calls that were under way end
    seller.args.engine += "n"
    daemon.options[daemon.options.index("--odoo-engine") + 1] = seller.args.engine
    daemon.start()
    seller.connect()
    out = subprocess.run([tools.ctl, "odoo", "import", "--actor", "test", "--address",
                          f"127.0.0.1:{daemon.port}"], capture_output=True, text=True, check=False,
                         timeout=300)
    assert out.returncode == 0, out
    told = shop_tells_again(seller, tools.rows, book)
    return check(f"folder deleted, {told} units told again", tools.settle, tools.compare, daemon,
                 seller, began)


def all_of_them(daemon, seller, tools):
    return sum(disaster(daemon, seller, tools) for disaster in (backup, copy, deleted))
