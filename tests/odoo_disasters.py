"""What happens to data folders, for tests/odoo --disasters: each is followed by its runbook
(docs/OPERATIONS.md), and both sides are equal to the unit again.

  backup    an old backup is put in the place of the folder
  copy      a copy is started beside the original
  deleted   the folder is gone

The shop's part of the runbook is played here: its sales, as a file for holdfastctl. What that told
is held against the sums of the answers, as ever.
"""
import csv
import json
import os
import shutil
import subprocess
import time

ELSEWHERE = 79
SETTLE = "1s"


def backlog_grows(seller, orders):
    """Orders alone, while the flusher posts some of them."""
    for _ in range(orders):
        seller.order()
        time.sleep(seller.rng.random() * 0.03)


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


def others_of(tools):
    """A real Odoo has the documents of earlier runs at the same places."""
    rows = tools.odoo.search("stock.picking", [["name", "=like", "HF/%"]], ["name"])
    return sorted({row["name"].split("/")[1] for row in rows} - set(tools.engines))


def shop_tells_again(daemon, seller, tools):
    """Units that were sold and that Odoo has not deducted, by holdfastctl from the shop's sales."""
    tools.settle(daemon, seller)
    book = daemon.data + ".sales.csv"
    with open(book, "w", encoding="ascii", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["reference", "sold_at", "sku", "location", "quantity"])
        rows.writerows(seller.ledger)
    options = ["--odoo-url", tools.odoo.url, "--odoo-database", tools.odoo.database,
               "--odoo-key-file", tools.key_file, "--odoo-engine", ",".join(tools.engines),
               "--odoo-locations", ",".join(f"{p}={c}" for p, c in zip(seller.args.places,
                                                                     seller.args.codes))]
    others = others_of(tools)
    if others:
        options += ["--other-engines", ",".join(others)]
    if seller.args.json_rpc:
        options += ["--odoo-login", tools.odoo.admin_login]
    out = subprocess.run([tools.ctl, "odoo", "tell-again", book, "--json", *options, "--address",
                          f"127.0.0.1:{daemon.port}"], capture_output=True, text=True, check=False,
                         timeout=300)
    assert out.returncode == 0, out
    said = json.loads(out.stdout)
    assert said["told"] == len(said["orders"]) and not said["failed"], said
    return sum(line["quantity"] for order in said["orders"] for line in order["lines"])


def leftovers_cancelled(tools):
    """Documents that the lost folder had made and not posted: the command names them."""
    left = tools.odoo.search("stock.picking", [
        ["name", "=like", f"HF/{tools.engines[0]}/%"], ["state", "not in", ["done", "cancel"]]],
        ["name"])
    if left:
        tools.odoo.call("stock.picking", "action_cancel", {"ids": [row["id"] for row in left]})


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
    backlog_grows(seller, 60)
    daemon.halt()
    shutil.rmtree(data)
    os.rename(data + ".backup", data)
    refused(daemon)
    daemon.start("--moved", "--odoo-settle", SETTLE)
    seller.connect()
    told = shop_tells_again(daemon, seller, tools)
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
    backlog_grows(seller, 40)
    daemon.halt()
    shutil.rmtree(daemon.data)
    time.sleep(1)  # calls that were under way end
    seller.args.engine += "n"
    tools.engines.append(seller.args.engine)
    daemon.options[daemon.options.index("--odoo-engine") + 1] = seller.args.engine
    daemon.start()
    seller.connect()
    out = subprocess.run([tools.ctl, "odoo", "import", "--actor", "test", "--address",
                          f"127.0.0.1:{daemon.port}"], capture_output=True, text=True, check=False,
                         timeout=300)
    assert out.returncode == 0, out
    leftovers_cancelled(tools)
    told = shop_tells_again(daemon, seller, tools)
    return check(f"folder deleted, {told} units told again", tools.settle, tools.compare, daemon,
                 seller, began)


def all_of_them(daemon, seller, tools):
    return sum(disaster(daemon, seller, tools) for disaster in (backup, copy, deleted))
