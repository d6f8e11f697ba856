// The audit: every answer asked again, every order read back line by line, every cell added up by
// plain sums over what was told. Nothing here uses what the engine computed on the way.
#include "trace/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct plain {
    int64_t sold, returned, adjusted, written_off;
};

struct audit {
    const struct replay *r;
    struct core *core;
    struct core_worker *worker;
    struct replay_audit *out;
    struct plain *cells;
    int64_t *taken_back; // by line of the trace
    struct core_line lines[HF_LINES_MAX], got[HF_LINES_MAX];
};

static void differs(struct audit *a, uint64_t *counter, uint32_t invoice, const char *what,
                    const char *got)
{
    (*counter)++;
    if (a->out->first[0] == '\0')
        snprintf(a->out->first, sizeof a->out->first, "invoice %s: %s: %s",
                 a->r->trace->invoices[invoice].number, what, got);
}

static struct core_answer ask(struct audit *a, const struct core_request *q)
{
    struct core_answer answer;
    for (int attempt = 0; attempt < 1000; attempt++) {
        core_execute(a->worker, core_now(a->core), q, &answer, 1);
        if (answer.outcome != CORE_OUT_BUSY && answer.outcome != CORE_OUT_IN_PROGRESS)
            break;
        rehearsal_sleep_ms(2);
    }
    return answer;
}

// ------------------------------------------------------------------------------- plain sums

static void op_sum(struct audit *a, const struct replay_op *op)
{
    const struct trace *t = a->r->trace;
    for (uint32_t k = 0; k < op->piece_count; k++) {
        const struct replay_piece *p = &a->r->s->pieces[op->first_piece + k];
        struct plain *cell = &a->cells[p->cell];
        if (op->order == TRACE_NONE) {
            cell->adjusted += p->quantity;
            cell->written_off -= p->quantity < 0 ? p->quantity : 0;
        } else {
            cell->returned += p->quantity;
            a->out->units_returned += (uint64_t)p->quantity;
            a->taken_back[trace_find(t, &t->invoices[op->order], p->cell) - t->lines] +=
                p->quantity;
        }
    }
    a->out->returned_ops += op->order != TRACE_NONE;
    a->out->adjustments += op->order == TRACE_NONE;
}

static void invoice_sum(struct audit *a, uint32_t n)
{
    const struct trace_invoice *i = &a->r->trace->invoices[n];
    const struct replay_told *told = &a->r->s->told[n];
    uint8_t state = replay_state(a->r, n);
    if (state < STATE_ACCEPTED) {
        differs(a, &a->out->missing, n, "never decided", "asked");
        return;
    }
    a->out->accepted += state == STATE_ACCEPTED;
    a->out->refused += state == STATE_REFUSED;
    for (uint32_t k = 0; state == STATE_ACCEPTED && k < i->count; k++) {
        const struct trace_line *line = &a->r->trace->lines[i->first + k];
        a->cells[line->cell].sold += line->quantity;
        a->out->units_sold += (uint64_t)line->quantity;
    }
    for (uint32_t o = told->first_op; o < told->first_op + told->op_count; o++)
        op_sum(a, &a->r->s->ops[o]);
}

// ------------------------------------------------------------------------------- asked again

static int64_t got_quantity(const struct audit *a, uint32_t count, uint32_t handle)
{
    int64_t sum = 0; // a line that went back whole may be left out
    for (uint32_t g = 0; g < count; g++)
        sum += a->got[g].handle == handle ? a->got[g].quantity : 0;
    return sum;
}

// The order as the engine has it: every line, less what was returned of it, and nothing else.
static void order_read(struct audit *a, uint32_t n)
{
    const struct trace *t = a->r->trace;
    const struct trace_invoice *i = &t->invoices[n];
    struct hf_uuid id = a->r->s->told[n].id;
    struct core_view view;
    enum hf_status s = replay_recall(a->r, a->worker, a->core, id);
    if (s == HF_OK)
        s = core_get(a->worker, core_now(a->core), id, &view, a->got, HF_LINES_MAX);
    if (s != HF_OK) {
        differs(a, &a->out->missing, n, "read back", hf_status_name(s));
        return;
    }
    bool whole = view.state == CORE_STATE_COMMITTED && !view.lines_away;
    int64_t got = 0, expected = 0;
    for (uint32_t g = 0; g < view.line_count; g++)
        got += a->got[g].quantity;
    for (uint32_t k = 0; k < i->count; k++) {
        const struct trace_line *line = &t->lines[i->first + k];
        int64_t left = line->quantity - a->taken_back[i->first + k];
        whole &= got_quantity(a, view.line_count, a->r->s->handles[line->cell]) == left;
        expected += left;
    }
    if (!whole || got != expected)
        differs(a, &a->out->not_whole, n, "its lines", core_state_name(view.state));
    a->out->whole_checked++;
}

static void order_ask(struct audit *a, uint32_t n)
{
    struct core_request q;
    bool accepted = replay_state(a->r, n) == STATE_ACCEPTED;
    replay_order_request(a->r, n, a->lines, &q);
    struct core_answer got = ask(a, &q);
    if (!got.repeat)
        differs(a, &a->out->missing, n, "asked again", core_outcome_name(got.outcome));
    else if (got.outcome != (accepted ? CORE_OUT_DONE : CORE_OUT_REFUSED) ||
             got.state != (accepted ? CORE_STATE_COMMITTED : CORE_STATE_REJECTED))
        differs(a, &a->out->different, n, "asked again", core_outcome_name(got.outcome));
    if (accepted)
        order_read(a, n);
}

static void op_ask(struct audit *a, uint32_t n, const struct replay_op *op)
{
    const struct replay_shared *s = a->r->s;
    bool repeat, done;
    if (op->order == TRACE_NONE) {
        const struct replay_piece *p = &s->pieces[op->first_piece];
        struct core_admin_answer got;
        struct core_change change = {.op_id = op->id,
                                     .handle = s->handles[p->cell],
                                     .setting = CORE_SET_ON_HAND,
                                     .relative = true,
                                     .value = p->quantity};
        change.reason = a->r->trace->invoices[n].kind == TRACE_RETURN ? "return of an unknown order"
                                                                      : "correction";
        core_change(a->worker, core_now(a->core), &change, &got);
        repeat = got.repeat;
        done = got.outcome == CORE_OUT_DONE;
    } else {
        for (uint32_t k = 0; k < op->piece_count; k++) {
            const struct replay_piece *p = &s->pieces[op->first_piece + k];
            a->lines[k] = (struct core_line){s->handles[p->cell], 0, p->quantity};
        }
        struct core_request q = {.verb = CORE_RETURN,
                                 .id = s->told[op->order].id,
                                 .op_id = op->id,
                                 .lines = a->lines,
                                 .line_count = op->piece_count};
        struct core_answer got = ask(a, &q);
        repeat = got.repeat;
        done = got.outcome == CORE_OUT_DONE;
    }
    if (!repeat)
        differs(a, &a->out->missing, n, "taken back", "not known any more");
    else if (!done)
        differs(a, &a->out->different, n, "taken back", "told otherwise");
}

static void cell_check(struct audit *a, uint32_t cell)
{
    const struct plain *p = &a->cells[cell];
    int64_t initial = replay_stock(a->r, cell);
    int64_t on_hand = initial + p->returned + p->adjusted, available = on_hand - p->sold;
    struct core_cell got = {0};
    enum hf_status s = core_cell_read(a->core, a->r->s->handles[cell], &got);
    bool exact = s == HF_OK && got.on_hand == on_hand && got.committed == p->sold &&
                 got.held == 0 && got.available == available;
    // Only a correction takes available below zero, and no further than itself.
    a->out->oversold += available + p->written_off < 0;
    a->out->cells_wrong += !exact;
    if (!exact && a->out->first[0] == '\0')
        snprintf(a->out->first, sizeof a->out->first,
                 "cell %s, %s: told %lld on hand, %lld sold, %lld available; is %lld, %lld, %lld",
                 a->r->trace->cells[cell].sku, a->r->trace->cells[cell].location,
                 (long long)on_hand, (long long)p->sold, (long long)available,
                 (long long)got.on_hand, (long long)got.committed, (long long)got.available);
}

void replay_check(const struct replay *r, struct core *core, struct core_worker *w)
{
    const struct trace *t = r->trace;
    struct audit *a = calloc(1, sizeof *a);
    struct plain *cells = calloc(t->cell_count + 1, sizeof *cells);
    int64_t *taken_back = calloc(t->line_count + 1, sizeof *taken_back);
    if (!a || !cells || !taken_back)
        abort();
    *a = (struct audit){.r = r,
                        .core = core,
                        .worker = w,
                        .out = &r->s->audit,
                        .cells = cells,
                        .taken_back = taken_back};
    for (uint32_t n = 0; n < t->invoice_count; n++)
        invoice_sum(a, n);
    for (uint32_t n = 0; n < t->invoice_count && core_status(core) == HF_OK; n++) {
        const struct replay_told *told = &r->s->told[n];
        if (t->invoices[n].kind == TRACE_ORDER && replay_state(r, n) >= STATE_ACCEPTED)
            order_ask(a, n);
        for (uint32_t o = told->first_op; o < told->first_op + told->op_count; o++)
            op_ask(a, n, &r->s->ops[o]);
    }
    for (uint32_t cell = 0; cell < t->cell_count; cell++)
        cell_check(a, cell);
    if (core_status(core) != HF_OK)
        replay_error(r->s, "the engine stopped during the audit");
    free(taken_back);
    free(cells);
    free(a);
}

bool replay_exact(const struct replay_shared *s)
{
    const struct replay_audit *a = &s->audit;
    return a->missing + a->different + a->not_whole + a->cells_wrong + a->oversold == 0 &&
           a->accepted > 0 && a->whole_checked == a->accepted && s->error[0] == '\0';
}
