// A client in JavaScript: grpc-js and proto-loader, whose makers know nothing of Holdfast.
//
// Usage: node client.js ADDRESS PROTO_FOLDER
"use strict";
const assert = require("assert");
const path = require("path");
const {randomBytes} = require("crypto");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [address, folder] = process.argv.slice(2);
const OPTIONS = {includeDirs: [folder], keepCase: true, longs: Number, enums: String,
  defaults: true, oneofs: true};
const FILES = ["holdfast/v1/reservation.proto", "holdfast/v1/stock_admin.proto",
  "holdfast/v1/stock_read.proto", "grpc/health/v1/health.proto"];
const api = grpc.loadPackageDefinition(loader.loadSync(FILES, OPTIONS));
const clear = grpc.credentials.createInsecure();
const v1 = api.holdfast.v1;
const reservations = new v1.ReservationService(address, clear);
const admin = new v1.StockAdminService(address, clear);
const stock = new v1.StockReadService(address, clear);
const health = new api.grpc.health.v1.Health(address, clear);

function uuid7() {
  const b = randomBytes(16);
  b.writeUIntBE(Date.now(), 0, 6);
  b[6] = b[6] & 15 | 0x70;
  b[8] = b[8] & 63 | 0x80;
  return b.toString("hex").replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function call(client, method, request) {
  return new Promise((good, bad) => client[method](request, {deadline: Date.now() + 30000},
    (error, answer) => error ? bad(error) : good(answer)));
}

function line(sku, quantity) {
  return {sku, location: "main", quantity};
}

const protobuf = require("protobufjs"); // proto-loader's own
const rpc = new protobuf.Root();
rpc.resolvePath = (_, target) => path.join(folder, target);
rpc.loadSync("google/rpc/status.proto", {keepCase: true});

function decode(name, bytes) {
  const type = rpc.lookupType(name);
  return type.toObject(type.decode(bytes), {longs: Number, defaults: true, arrays: true});
}

// What google.rpc.Status says in the trailer, by the type of the detail.
function details(error) {
  const packed = error.metadata.get("grpc-status-details-bin")[0];
  const found = {};
  for (const d of decode("google.rpc.Status", packed).details) {
    const name = d.type_url.split("/").pop();
    found[name] = decode(name, d.value);
  }
  return found;
}

async function fails(promise, code) {
  try {
    await promise;
  } catch (error) {
    assert.strictEqual(error.code, code, error.message);
    return details(error);
  }
  assert.fail("answered");
}

const tests = {
  async "health says that it serves"() {
    assert.strictEqual((await call(health, "Check", {service: ""})).status, "SERVING");
  },

  async "stock is made and read"() {
    await call(admin, "CreateStock", {sku: "node", location: "main"});
    await call(admin, "AdjustStock", {operation_id: uuid7(), sku: "node", location: "main",
      difference: 2 ** 40});
    const {cell} = await call(stock, "GetStock", {stock: {sku: "node", location: "main"}});
    assert.strictEqual(cell.available, 2 ** 40);
  },

  async "a hold is repeated and committed"() {
    const request = {reservation_id: uuid7(), lines: [line("node", 2 ** 33)], ttl_ms: 60000};
    const first = (await call(reservations, "Reserve", request)).decision;
    assert.strictEqual(first.outcome, "OUTCOME_DONE");
    assert.strictEqual(first.durable, true);
    const again = (await call(reservations, "Reserve", request)).decision;
    assert(again.repeat && again.position.lsn === first.position.lsn);
    const id = {reservation_id: request.reservation_id};
    const done = (await call(reservations, "Commit", id)).decision;
    assert.strictEqual(done.state, "RESERVATION_STATE_COMMITTED");
    const {reservation} = await call(reservations, "GetReservation", id);
    assert.strictEqual(reservation.lines[0].quantity, 2 ** 33);
  },

  async "what is short is told"() {
    const {decision} = await call(reservations, "Order", {reservation_id: uuid7(),
      lines: [line("node", 2 ** 50)]});
    assert.strictEqual(decision.outcome, "OUTCOME_REFUSED");
    assert(decision.lines[0].shortfall > 2 ** 49);
  },

  async "errors carry their details"() {
    let d = await fails(call(reservations, "Reserve", {reservation_id: uuid7(), ttl_ms: 60000,
      lines: [line("node", 1), line("node", -1)]}), grpc.status.INVALID_ARGUMENT);
    assert.strictEqual(d["google.rpc.BadRequest"].field_violations[0].field, "lines[1].quantity");
    d = await fails(call(reservations, "GetReservation", {reservation_id: uuid7()}),
      grpc.status.NOT_FOUND);
    assert.strictEqual(d["google.rpc.ErrorInfo"].reason, "UNKNOWN");
    assert.strictEqual(d["google.rpc.ErrorInfo"].domain, "holdfast");
  },

  "a stream's messages are answered in order"() {
    return new Promise((good, bad) => {
      const stream = reservations.ReserveStream({deadline: Date.now() + 60000});
      let got = 0;
      stream.on("data", (answer) => {
        for (const r of answer.results) {
          if (r.correlation_id !== got++ || r.decision.outcome !== "OUTCOME_DONE")
            bad(new Error(JSON.stringify(r)));
        }
      });
      stream.on("error", bad);
      stream.on("end", () => got === 1000 ? good() : bad(new Error(`${got} results`)));
      for (let i = 0; i < 1000; i += 10) {
        stream.write({operations: Array.from({length: 10}, (_, k) => ({correlation_id: i + k,
          order: {reservation_id: uuid7(), lines: [line("node", 1)]}}))});
      }
      stream.end();
    });
  },

  "a watcher sees the snapshot, then the change"() {
    return new Promise((good, bad) => {
      const watch = stock.WatchStock({stock: [{sku: "node", location: "main"}], interval_ms: 10},
        {deadline: Date.now() + 60000});
      let before;
      watch.on("data", (answer) => {
        for (const cell of answer.cells) {
          if (before === undefined) {
            before = cell.available;
            call(reservations, "Order", {reservation_id: uuid7(), lines: [line("node", 7)]})
              .catch(bad);
          } else if (cell.available === before - 7) {
            watch.cancel();
            good();
          }
        }
      });
      watch.on("error", (error) => error.code === grpc.status.CANCELLED || bad(error));
    });
  },
};

(async () => {
  for (const [name, test] of Object.entries(tests)) {
    await test();
    console.log(`ok  ${name}`);
  }
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
