// One invoice: what is asked for it, and whether the answers can be.
#include "load/replay_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *number_of(const struct deal *d, const struct deal_context *x)
{
    return x->replay->t->invoices[d->invoice].number;
}

static void wrong(struct deal *d, const struct deal_context *x, uint64_t *counter, const char *what)
{
    (*counter)++;
    if (x->counts->first[0] == '\0')
        snprintf(x->counts->first, sizeof x->counts->first,
                 "invoice %s: %s: %s of try %u: %s, state %s%s, status %s %s", number_of(d, x),
                 what, op_verb_name(d->op.verb), d->op.tries, op_outcome_name(d->op.result.outcome),
                 op_state_name(d->op.result.state), d->op.result.repeat ? ", repeat" : "",
                 link_code_name(d->op.result.code), d->op.result.reason);
}

// ------------------------------------------------------------------------------- asking

static bool accepted(const void *ctx, uint32_t invoice)
{
    return ((const struct replay *)ctx)->told[invoice].state == REPLAY_ACCEPTED;
}

// Worked out once, from what was told so far; a retry asks the same.
static void pieces_plan(struct deal *d, const struct deal_context *x, uint64_t now_ms)
{
    struct replay *r = x->replay;
    struct told *told = &r->told[d->invoice];
    size_t room = r->t->invoices[d->invoice].count * (size_t)TRACE_PIECES_MAX;
    told->pieces = calloc(room, sizeof *told->pieces);
    told->op_ids = calloc(room, sizeof *told->op_ids);
    if (!told->pieces || !told->op_ids)
        abort();
    told->piece_count = trace_take_back(r->t, d->invoice, accepted, r, r->taken_back, told->pieces);
    for (uint32_t i = 0; i < told->piece_count; i++)
        told->op_ids[i] = hf_uuid_v7(now_ms, prng_next(x->random), prng_next(x->random));
}

// How many pieces the operation that begins at d->at stands for.
static uint32_t group_of(const struct deal *d, const struct told *told)
{
    uint32_t order = told->pieces[d->at].order, n = 1;
    while (order != TRACE_NONE && d->at + n < told->piece_count &&
           told->pieces[d->at + n].order == order)
        n++;
    return n;
}

static void ask(struct deal *d, enum op_verb verb, struct hf_uuid id)
{
    struct op *op = &d->op;
    *op = (struct op){
        .verb = verb, .id = id, .client = op->client, .owner = d, .intended_ns = op->intended_ns};
}

static void ask_piece(struct deal *d, const struct deal_context *x)
{
    const struct replay *r = x->replay;
    const struct told *told = &r->told[d->invoice];
    uint32_t n = group_of(d, told), order = told->pieces[d->at].order;
    for (uint32_t i = 0; i < n; i++)
        d->part[i] =
            (struct op_line){told->pieces[d->at + i].cell, told->pieces[d->at + i].quantity};
    if (order == TRACE_NONE) {
        ask(d, OP_ADJUST, (struct hf_uuid){0, 0});
        d->op.reference = r->t->invoices[d->invoice].kind == TRACE_RETURN
                              ? "return of an unknown order"
                              : "correction";
    } else {
        ask(d, OP_RETURN, r->told[order].id);
    }
    d->op.op_id = told->op_ids[d->at];
    d->op.lines = d->part;
    d->op.line_count = n;
}

static void ask_order(struct deal *d, const struct deal_context *x)
{
    const struct replay *r = x->replay;
    const struct trace_invoice *i = &r->t->invoices[d->invoice];
    ask(d, OP_ORDER, r->told[d->invoice].id);
    d->op.lines = &r->lines[i->first];
    d->op.line_count = i->count;
    d->op.reference = i->number;
}

static void ask_read(struct deal *d, const struct deal_context *x)
{
    ask(d, OP_GET, x->replay->told[d->invoice].id);
    d->op.got = d->part;
    d->op.got_room = HF_LINES_MAX;
}

bool deal_start(struct deal *d, const struct deal_context *x, uint64_t now_ms)
{
    struct told *told = &x->replay->told[d->invoice];
    bool order = x->replay->t->invoices[d->invoice].kind == TRACE_ORDER;
    d->at = 0;
    if (!d->part)
        d->part = calloc(HF_LINES_MAX, sizeof *d->part);
    if (!d->part)
        abort();
    if (d->phase == DEAL_RUN) {
        told->id = hf_uuid_v7(now_ms, prng_next(x->random), prng_next(x->random));
        told->state = REPLAY_ASKED;
        book_touch(x->book, &x->replay->lines[x->replay->t->invoices[d->invoice].first],
                   x->replay->t->invoices[d->invoice].count);
        if (!order)
            pieces_plan(d, x, now_ms);
    }
    if (!order && told->piece_count == 0) {
        told->state = REPLAY_DONE;
        return false;
    }
    if (order)
        ask_order(d, x);
    else
        ask_piece(d, x);
    return true;
}

// ------------------------------------------------------------------------------- being told

static void told_order(struct deal *d, const struct deal_context *x)
{
    struct told *told = &x->replay->told[d->invoice];
    if (d->op.result.outcome == OP_OUT_DONE) {
        told->state = REPLAY_ACCEPTED;
        x->counts->accepted++;
        book_add(x->book, BOOK_ordered, d->op.lines, d->op.line_count);
    } else if (d->op.result.outcome == OP_OUT_REFUSED) {
        told->state = REPLAY_REFUSED;
        x->counts->refused++;
    } else {
        told->state = REPLAY_UNDECIDED;
        wrong(d, x, &x->counts->undecided, "an order");
    }
}

static bool told_piece(struct deal *d, const struct deal_context *x)
{
    struct told *told = &x->replay->told[d->invoice];
    if (d->op.result.outcome != OP_OUT_DONE) {
        told->state = REPLAY_UNDECIDED;
        wrong(d, x, &x->counts->undecided, "what takes back");
        return false;
    }
    if (d->op.verb == OP_RETURN) {
        x->counts->returns++;
        book_add(x->book, BOOK_returned, d->part, d->op.line_count);
    } else {
        struct op_line lost = {d->part[0].cell, -d->part[0].quantity};
        x->counts->adjustments++;
        book_add(x->book, BOOK_adjusted, d->part, 1);
        if (lost.quantity > 0)
            book_add(x->book, BOOK_written_off, &lost, 1);
    }
    return true;
}

static void told_again(struct deal *d, const struct deal_context *x)
{
    const struct told *told = &x->replay->told[d->invoice];
    enum op_outcome before = told->state == REPLAY_REFUSED ? OP_OUT_REFUSED : OP_OUT_DONE;
    x->counts->checked++;
    if (d->op.result.outcome != before)
        wrong(d, x, &x->counts->different, "asked again");
    else if (!d->op.result.repeat)
        wrong(d, x, &x->counts->missing, "asked again");
}

// The sale as the server has it: every line, less what was returned of it, and nothing else.
static void told_read(struct deal *d, const struct deal_context *x)
{
    const struct replay *r = x->replay;
    const struct trace_invoice *i = &r->t->invoices[d->invoice];
    int64_t expected = 0, got = 0;
    bool whole = d->op.result.outcome == OP_OUT_DONE && d->op.result.state == OP_STATE_COMMITTED;
    x->counts->checked++;
    for (uint32_t g = 0; g < d->op.got_count; g++)
        got += d->part[g].quantity;
    for (uint32_t k = i->first; k < i->first + i->count; k++) {
        int64_t left = r->t->lines[k].quantity - r->taken_back[k], there = 0;
        for (uint32_t g = 0; g < d->op.got_count; g++)
            there += d->part[g].cell == r->t->lines[k].cell ? d->part[g].quantity : 0;
        whole = whole && there == left;
        expected += left;
    }
    if (!whole || got != expected)
        wrong(d, x, &x->counts->not_whole, "read back");
}

static bool next_piece(struct deal *d, const struct deal_context *x)
{
    struct told *told = &x->replay->told[d->invoice];
    d->at += group_of(d, told);
    if (d->at < told->piece_count) {
        ask_piece(d, x);
        return true;
    }
    if (d->phase == DEAL_RUN)
        told->state = REPLAY_DONE;
    return false;
}

bool deal_told(struct deal *d, const struct deal_context *x)
{
    bool order = x->replay->t->invoices[d->invoice].kind == TRACE_ORDER;
    switch (d->phase) {
    case DEAL_RUN:
        if (order)
            told_order(d, x);
        return !order && told_piece(d, x) && next_piece(d, x);
    case DEAL_AGAIN:
        told_again(d, x);
        if (!order)
            return next_piece(d, x);
        if (x->replay->told[d->invoice].state != REPLAY_ACCEPTED)
            return false;
        d->phase = DEAL_READ;
        ask_read(d, x);
        return true;
    case DEAL_READ:
        told_read(d, x);
        return false;
    }
    return false;
}
