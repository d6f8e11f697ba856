// What replay.c (the run) and replay_deal.c (one invoice) share.
#ifndef HOLDFAST_LOADGEN_REPLAY_INTERNAL_H
#define HOLDFAST_LOADGEN_REPLAY_INTERNAL_H

#include "load/replay.h"

#include "base/prng.h"

enum replay_state {
    REPLAY_NEW,
    REPLAY_WAITING,
    REPLAY_ASKED,
    REPLAY_ACCEPTED,
    REPLAY_REFUSED,
    REPLAY_DONE,
    REPLAY_UNDECIDED
};

// What is known of an invoice.
struct told {
    struct hf_uuid id;
    enum replay_state state;
    uint32_t after; // the customer's next invoice; TRACE_NONE: none
    // Of what takes back: pieces of one order are one operation, others one each.
    struct trace_piece *pieces;
    struct hf_uuid *op_ids; // by an operation's first piece
    uint32_t piece_count;
};

struct replay {
    const struct trace *t;
    uint32_t threads;
    struct told *told;     // by invoice
    struct op_line *lines; // by line of the trace
    int64_t *taken_back;   // by line of the trace
};

enum deal_phase { DEAL_RUN, DEAL_AGAIN, DEAL_READ };

// An invoice on its way.
struct deal {
    struct op op;
    uint32_t invoice, at; // first piece of the operation asked
    enum deal_phase phase;
    struct op_line *part; // lines of a return; what a read tells
    struct deal *next;
};

struct deal_context {
    struct replay *replay;
    struct book *book;
    struct tally *tally;
    struct replay_counts *counts;
    struct prng *random;
};

// Prepares the first operation of an invoice's phase. False: nothing to ask.
bool deal_start(struct deal *d, const struct deal_context *x, uint64_t now_ms);
// Takes the answer to d->op and prepares the next operation. False: the invoice is through with
// this phase.
bool deal_told(struct deal *d, const struct deal_context *x);

#endif
