// The demonstration: a flash sale on an engine that is killed in the middle.
//
//   catalogue -> sale -> kill -9 -> recovery -> check -> sale goes on -> carts expire -> audit
//
// A shop's clients run in the engine's process, each with a ledger in memory that survives the
// kill. A cart is a function of its id: lines, quantities and what its customer will do are drawn
// from the id, so the ledger needs only the id and what was told of it, and a retry after the kill
// is the same request to the byte.
#ifndef HOLDFAST_API_DEMO_H
#define HOLDFAST_API_DEMO_H

#include "daemon/node.h"
#include "daemon/rehearsal.h"

#include <stdatomic.h>
#include <stdint.h>

#define DEMO_LOCATIONS   5
#define DEMO_LINES_MAX   12
#define DEMO_THREADS_MAX 8
#define DEMO_BATCH       64
#define DEMO_TTL_MS      1500
#define DEMO_CARTS_MAX   UINT64_C(8000000)
// New carts come no faster, so that memory for their ids can be set aside.
#define DEMO_CARTS_PER_S UINT64_C(250000)

struct demo_options {
    const char *data; // NULL: a folder of its own, removed afterwards
    uint64_t seed;
    uint32_t seconds; // of selling
    uint32_t skus;
    uint32_t threads;
    bool json;
};

// ------------------------------------------------------------------------------- the ledger

// What the shop knows of a cart. ASKED: no answer yet; it may or may not have been decided.
enum demo_take { TAKE_ASKED, TAKE_HELD, TAKE_SOLD, TAKE_REFUSED, TAKE_REJECTED };
enum demo_end {
    END_NONE,
    END_COMMIT_ASKED,
    END_RELEASE_ASKED,
    END_COMMITTED,
    END_RELEASED,
    END_EXPIRED // the answer to a commit or release that came too late
};

struct demo_cart {
    struct hf_uuid id;
    _Atomic uint8_t take; // enum demo_take; written by its client, read by others
    _Atomic uint8_t end;  // enum demo_end
    uint8_t unused[6];
};

struct demo_counts {
    uint64_t decisions, held, sold, committed, released, refused, expired_told;
    uint64_t retried; // asked again: duplicates, and what had no answer before the kill
    uint64_t again;   // of these, asked again because the kill left them unanswered
    uint64_t busy, faults;
};

struct demo_ledger {
    _Atomic uint32_t count; // carts; raised after the entry is written
    struct demo_counts counts;
    struct rehearsal_latency latency; // of every answer, to durable
    struct demo_cart *carts;          // shared memory of its own
};

enum demo_phase { PHASE_CATALOGUE, PHASE_SALE, PHASE_DRAIN, PHASE_DONE };

struct demo_audit {
    uint64_t asked_again, orders, holds_expired, refused, units_sold;
    uint64_t missing;     // acknowledged, and the engine does not know it
    uint64_t different;   // told otherwise than before
    uint64_t cells_wrong; // do not add up to the unit
    uint64_t below_zero;  // seen at any moment
    char first[160];      // the first difference
};

// Shared by parent and children.
struct demo_shared {
    struct demo_options options;
    char folder[256];
    uint32_t cells, carts_max; // carts of one ledger
    _Atomic uint32_t phase;    // enum demo_phase
    _Atomic uint64_t sale_ns;  // how long selling has gone on, over both processes
    _Atomic uint64_t samples, below_zero, uneven; // cells looked at while the sale runs
    struct core_report recovery;
    uint64_t recovery_ns, catalogue_ns, audit_ns;
    uint64_t expired; // holds that the engine ended by their deadline, second process
    uint64_t acknowledged, unanswered; // at the kill
    struct demo_audit check, audit;    // after the kill; at the end
    _Atomic bool error_taken;
    char error[256]; // the first one
    struct demo_ledger ledgers[DEMO_THREADS_MAX];
    // Per cell, shared memory of their own.
    uint32_t *handles;
    int64_t *stock;        // initial
    _Atomic int64_t *sold; // as told
};

// The first one stays. Any thread.
void demo_error(struct demo_shared *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// ------------------------------------------------------------------------------- carts

enum demo_plan { PLAN_ORDER, PLAN_COMMIT, PLAN_LATE_COMMIT, PLAN_RELEASE, PLAN_ABANDON };

struct demo_body {
    enum demo_plan plan;
    uint32_t line_count;
    uint32_t cells[DEMO_LINES_MAX]; // index into handles
    struct core_line lines[DEMO_LINES_MAX];
};
// What is in the cart with this id. Any thread.
void demo_body(const struct demo_shared *d, struct hf_uuid id, struct demo_body *out);
// The request that takes for it; borrows the body's lines.
void demo_take_request(const struct demo_body *b, struct hf_uuid id, struct core_request *r);
int64_t demo_stock(const struct demo_shared *d, uint32_t cell); // initial, from a fixed seed
// Makes every cell with its stock, durably. Errors go to d->error.
bool demo_catalogue(struct demo_shared *d, struct core *core);

// ------------------------------------------------------------------------------- processes

// Each runs in a child: catalogue and sale until killed; recovery, sale, audit.
int demo_first_child(void *shared);
int demo_second_child(void *shared);

// A client: sells until *over, then finishes what is open. Holds its ledger's order of events.
struct demo_client_task {
    struct demo_shared *d;
    struct node *node;
    uint32_t number;
    const _Atomic bool *over;
};
void *demo_client(void *task);

// Asks everything that was acknowledged again. final: every cart must have reached its end.
void demo_check(struct demo_shared *d, struct node *node, bool final, struct demo_audit *out);
// Every cell to the unit, after demo_check(final).
void demo_check_cells(struct demo_shared *d, struct core *core, struct demo_audit *out);
bool demo_exact(const struct demo_shared *d);

void demo_show(const struct demo_shared *d, uint64_t kill_ns);
void demo_show_json(const struct demo_shared *d, uint64_t kill_ns);

#endif
