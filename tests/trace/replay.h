// Replays a trace on an engine that is killed twice, and holds the outcome to plain sums.
//
// Every invoice is one order, all lines or none. What takes goods back becomes returns against
// earlier orders of the same customer, or an adjustment with its reason. What was told of each lies
// in memory that the kills do not reach; what had no answer is asked again with the same id.
#ifndef HOLDFAST_TRACE_REPLAY_H
#define HOLDFAST_TRACE_REPLAY_H

#include "daemon/node.h"
#include "daemon/rehearsal.h"
#include "trace/trace.h"

#include <stdatomic.h>

#define REPLAY_RUNS        3 // two are killed
#define REPLAY_THREADS_MAX 8
#define REPLAY_BATCH       16

struct replay_options {
    const char *path;
    uint32_t invoices; // made up, when there is no path
    uint64_t seed;
    uint32_t percent; // initial stock in each cell, of its demand
    uint32_t threads;
    bool one_location;
};

// What is known of an invoice. ASKED: no answer yet.
enum replay_state { STATE_NEW, STATE_ASKED, STATE_ACCEPTED, STATE_REFUSED, STATE_DONE };

struct replay_told {
    struct hf_uuid id; // of the order
    _Atomic uint8_t state;
    uint32_t first_op, op_count; // of what takes back or corrects
};

// One engine operation that takes back: a return against `order`, or an adjustment of one cell.
struct replay_op {
    struct hf_uuid id;
    uint32_t order; // invoice; TRACE_NONE: adjustment
    uint32_t first_piece, piece_count;
};
struct replay_piece {
    uint32_t cell;
    int64_t quantity; // adjustments: signed
};

struct replay_run {
    struct core_report report;
    uint64_t open_ns, active_ns;
    uint32_t decided_before, unanswered_before;
    _Atomic uint32_t asked_again;
};

struct replay_audit {
    uint64_t accepted, refused, returned_ops, adjustments, whole_checked;
    uint64_t units_sold, units_returned;
    uint64_t missing, different, not_whole, cells_wrong, oversold;
    char first[200];
};

struct replay_shared {
    struct replay_options options;
    char folder[256];
    _Atomic uint32_t decided; // invoices with their last answer
    uint32_t limit;           // this run takes up no more than so many
    uint32_t run;             // 0 .. REPLAY_RUNS - 1
    bool catalogued;
    struct replay_run runs[REPLAY_RUNS];
    struct rehearsal_latency latency[REPLAY_THREADS_MAX]; // of a whole batch, to durable
    _Atomic uint64_t recalled, busy;
    struct replay_audit audit;
    _Atomic bool error_taken;
    char error[256];
    // Shared memory of their own.
    uint32_t *handles;        // by cell
    struct replay_told *told; // by invoice
    struct replay_op *ops;
    struct replay_piece *pieces;
    _Atomic uint32_t op_count, piece_count;
    uint32_t op_max;
};

// What a child works with: the trace was read before the fork.
struct replay {
    struct replay_shared *s;
    const struct trace *trace;
};

void replay_error(struct replay_shared *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
int64_t replay_stock(const struct replay *r, uint32_t cell);     // initial
uint32_t replay_owner(const struct replay *r, uint32_t invoice); // thread
uint8_t replay_state(const struct replay *r, uint32_t invoice);

// One process: opens, replays up to the limit; the last one audits. A struct replay.
int replay_child(void *ctx);

struct replay_task {
    const struct replay *replay;
    struct node *node;
    uint32_t number;
};
void *replay_client(void *task);

// An order as a request; lines has room for HF_LINES_MAX.
void replay_order_request(const struct replay *r, uint32_t invoice, struct core_line *lines,
                          struct core_request *out);
// Waits until it may be told. False: the engine has stopped, or does not get there in 10 s.
bool replay_durable(const struct replay *r, struct core *core, uint64_t ticket);
// Brings an order's lines back, whatever is busy.
enum hf_status replay_recall(const struct replay *r, struct core_worker *w, struct core *core,
                             struct hf_uuid id);

void replay_check(const struct replay *r, struct core *core, struct core_worker *w);
bool replay_exact(const struct replay_shared *s);

#endif
