// A client: takes its invoices in the order of the file, orders in batches, everything that takes
// back alone and after the answers to what came before.
//
// A customer belongs to one client, so a return is asked after its order was answered. What a
// return asks is worked out once, from what was told so far, and written down before it is asked:
// after a kill the same operations are asked again.
#include "trace/replay.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 2000

struct client {
    const struct replay *r;
    struct replay_shared *s;
    const struct trace *t;
    struct core *core;
    struct core_worker *worker;
    struct node *node;
    uint32_t number;
    struct rehearsal_random random;
    int64_t *taken_back; // by line of the trace: asked back so far
    uint32_t count;
    uint32_t invoices[REPLAY_BATCH];
    struct core_request requests[REPLAY_BATCH];
    struct core_answer answers[REPLAY_BATCH];
    struct core_line lines[REPLAY_BATCH][HF_LINES_MAX];
    struct core_line_answer told[REPLAY_BATCH][HF_LINES_MAX];
};

static struct hf_uuid fresh_id(struct client *c)
{
    return hf_uuid_v7(core_now(c->core), rehearsal_next(&c->random), rehearsal_next(&c->random));
}

static void state_set(struct client *c, uint32_t invoice, enum replay_state state)
{
    atomic_store_explicit(&c->s->told[invoice].state, (uint8_t)state, memory_order_release);
    if (state >= STATE_ACCEPTED)
        atomic_fetch_add(&c->s->decided, 1);
}

static bool wrong(struct client *c, uint32_t invoice, const char *what, const struct core_answer *a)
{
    replay_error(c->s, "invoice %s: %s: %s, field %s, state %s", c->t->invoices[invoice].number,
                 what, core_outcome_name(a->outcome), core_field_name(a->field),
                 core_state_name(a->state));
    return false;
}

static bool passing(const struct core_answer *a)
{
    return a->outcome == CORE_OUT_BUSY || a->outcome == CORE_OUT_IN_PROGRESS;
}

// ------------------------------------------------------------------------------- orders

// Whole, or refused with its reason.
static bool order_settle(struct client *c, uint32_t n)
{
    const struct core_answer *a = &c->answers[n];
    const struct core_request *q = &c->requests[n];
    uint32_t invoice = c->invoices[n];
    bool done = a->outcome == CORE_OUT_DONE;
    if (!done && a->outcome != CORE_OUT_REFUSED)
        return wrong(c, invoice, "order", a);
    if (a->state != (done ? CORE_STATE_COMMITTED : CORE_STATE_REJECTED))
        return wrong(c, invoice, "order's state", a);
    bool shortfall = false;
    for (uint32_t i = 0; i < q->line_count && !a->repeat; i++) {
        if (q->line_answers[i].taken != (done ? q->lines[i].quantity : 0))
            return wrong(c, invoice, "an order that is neither whole nor refused", a);
        shortfall |= q->line_answers[i].shortfall > 0;
    }
    // Another client's order may have come and gone meanwhile, but here nobody gives back at once.
    if (!done && !a->repeat && !shortfall && c->s->options.threads == 1)
        return wrong(c, invoice, "a refusal without a shortfall", a);
    state_set(c, invoice, done ? STATE_ACCEPTED : STATE_REFUSED);
    return true;
}

static bool orders_run(struct client *c)
{
    struct clock *clock = clock_os();
    for (int attempt = 0; c->count && attempt < TRIES; attempt++) {
        uint64_t began = clock_monotonic_ns(clock), ticket = 0;
        core_execute(c->worker, core_now(c->core), c->requests, c->answers, c->count);
        for (uint32_t n = 0; n < c->count; n++)
            if (c->answers[n].ticket > ticket)
                ticket = c->answers[n].ticket;
        if (!replay_durable(c->r, c->core, ticket))
            return false;
        rehearsal_note(&c->s->latency[c->number], clock_monotonic_ns(clock) - began, c->count);
        uint32_t left = 0;
        for (uint32_t n = 0; n < c->count; n++) {
            if (!passing(&c->answers[n])) {
                if (!order_settle(c, n))
                    return false;
                continue;
            }
            atomic_fetch_add(&c->s->busy, 1);
            c->invoices[left++] = c->invoices[n];
        }
        c->count = left;
        for (uint32_t n = 0; n < left; n++) {
            replay_order_request(c->r, c->invoices[n], c->lines[n], &c->requests[n]);
            c->requests[n].line_answers = c->told[n];
        }
        if (left)
            rehearsal_sleep_ms(2);
    }
    if (c->count)
        replay_error(c->s, "client %u: an order stays busy", c->number);
    return c->count == 0;
}

static void order_add(struct client *c, uint32_t invoice)
{
    struct replay_told *told = &c->s->told[invoice];
    if (replay_state(c->r, invoice) == STATE_NEW) {
        told->id = fresh_id(c);
        state_set(c, invoice, STATE_ASKED);
    } else {
        c->s->runs[c->s->run].asked_again++;
    }
    uint32_t n = c->count++;
    c->invoices[n] = invoice;
    replay_order_request(c->r, invoice, c->lines[n], &c->requests[n]);
    c->requests[n].line_answers = c->told[n];
}

// ------------------------------------------------------------------------------- taking back

struct plan {
    uint32_t piece_count;
    struct trace_piece pieces[HF_LINES_MAX * TRACE_PIECES_MAX];
};

// Writes the operations down. Their numbers are handed out for good, whether or not a kill comes.
static bool plan_write(struct client *c, const struct plan *p, uint32_t invoice)
{
    struct replay_shared *s = c->s;
    uint32_t piece = atomic_fetch_add(&s->piece_count, p->piece_count);
    uint32_t op = atomic_fetch_add(&s->op_count, p->piece_count);
    uint32_t first = op;
    if (op + p->piece_count > s->op_max) {
        replay_error(s, "more operations than there is room for");
        return false;
    }
    for (uint32_t i = 0; i < p->piece_count; i++) {
        uint32_t order = p->pieces[i].order;
        s->pieces[piece + i] = (struct replay_piece){p->pieces[i].cell, p->pieces[i].quantity};
        bool joins = i && order != TRACE_NONE && p->pieces[i - 1].order == order;
        if (joins)
            s->ops[op - 1].piece_count++;
        else
            s->ops[op++] = (struct replay_op){fresh_id(c), order, piece + i, 1};
    }
    s->told[invoice].first_op = first;
    s->told[invoice].op_count = op - first;
    state_set(c, invoice, STATE_ASKED);
    return true;
}

static bool accepted(const void *ctx, uint32_t invoice)
{
    return replay_state(ctx, invoice) == STATE_ACCEPTED;
}

static bool plan_make(struct client *c, uint32_t invoice)
{
    struct plan *p = calloc(1, sizeof *p);
    if (!p)
        return false;
    p->piece_count = trace_take_back(c->t, invoice, accepted, c->r, c->taken_back, p->pieces);
    bool ok = plan_write(c, p, invoice);
    free(p);
    return ok;
}

// After a kill: what was written down counts as asked.
static void taken_back_recount(struct client *c)
{
    for (uint32_t n = 0; n < c->t->invoice_count; n++) {
        const struct replay_told *told = &c->s->told[n];
        if (c->t->invoices[n].kind != TRACE_RETURN || replay_state(c->r, n) == STATE_NEW)
            continue;
        for (uint32_t o = told->first_op; o < told->first_op + told->op_count; o++) {
            const struct replay_op *op = &c->s->ops[o];
            for (uint32_t k = 0; k < op->piece_count && op->order != TRACE_NONE; k++) {
                const struct replay_piece *piece = &c->s->pieces[op->first_piece + k];
                const struct trace_line *line =
                    trace_find(c->t, &c->t->invoices[op->order], piece->cell);
                c->taken_back[line - c->t->lines] += piece->quantity;
            }
        }
    }
}

// Asks; *ticket rises to the answer's.
static bool return_ask(struct client *c, uint32_t invoice, const struct replay_op *op,
                       uint64_t *ticket)
{
    struct core_answer *a = &c->answers[0];
    struct hf_uuid order = c->s->told[op->order].id;
    for (uint32_t k = 0; k < op->piece_count; k++) {
        const struct replay_piece *piece = &c->s->pieces[op->first_piece + k];
        c->lines[0][k] = (struct core_line){c->s->handles[piece->cell], 0, piece->quantity};
    }
    struct core_request q = {.verb = CORE_RETURN,
                             .id = order,
                             .op_id = op->id,
                             .lines = c->lines[0],
                             .line_count = op->piece_count};
    for (int attempt = 0; attempt < TRIES; attempt++) {
        core_execute(c->worker, core_now(c->core), &q, a, 1);
        if (a->outcome == CORE_OUT_DONE) {
            *ticket = a->ticket > *ticket ? a->ticket : *ticket;
            return true;
        }
        if (a->outcome == CORE_OUT_NEEDS_RECALL) {
            enum hf_status s = replay_recall(c->r, c->worker, c->core, order);
            if (s != HF_OK) {
                replay_error(c->s, "invoice %s: recall of its order: %s",
                             c->t->invoices[invoice].number, hf_status_name(s));
                return false;
            }
        } else if (!passing(a)) {
            return wrong(c, invoice, "return", a);
        } else {
            rehearsal_sleep_ms(2);
        }
    }
    return wrong(c, invoice, "return", a);
}

static bool adjustment_ask(struct client *c, uint32_t invoice, const struct replay_op *op,
                           uint64_t *ticket)
{
    const struct replay_piece *piece = &c->s->pieces[op->first_piece];
    bool back = c->t->invoices[invoice].kind == TRACE_RETURN;
    struct core_admin_answer a;
    struct core_change change = {.op_id = op->id,
                                 .handle = c->s->handles[piece->cell],
                                 .setting = CORE_SET_ON_HAND,
                                 .relative = true,
                                 .value = piece->quantity,
                                 .reason = back ? "return of an unknown order" : "correction"};
    for (int attempt = 0; attempt < TRIES; attempt++) {
        core_change(c->worker, core_now(c->core), &change, &a);
        if (a.outcome != CORE_OUT_BUSY && a.outcome != CORE_OUT_IN_PROGRESS)
            break;
        rehearsal_sleep_ms(2);
    }
    if (a.outcome == CORE_OUT_DONE) {
        *ticket = a.ticket > *ticket ? a.ticket : *ticket;
        return true;
    }
    replay_error(c->s, "invoice %s: adjustment: %s, field %s", c->t->invoices[invoice].number,
                 core_outcome_name(a.outcome), core_field_name(a.field));
    return false;
}

static bool take_back(struct client *c, uint32_t invoice)
{
    struct replay_told *told = &c->s->told[invoice];
    if (replay_state(c->r, invoice) == STATE_NEW) {
        if (!plan_make(c, invoice))
            return false;
    } else {
        c->s->runs[c->s->run].asked_again++;
    }
    uint64_t ticket = 0;
    uint32_t end = told->first_op + told->op_count;
    for (uint32_t o = told->first_op; o < end; o++) {
        const struct replay_op *op = &c->s->ops[o];
        if (!(op->order == TRACE_NONE ? adjustment_ask(c, invoice, op, &ticket)
                                      : return_ask(c, invoice, op, &ticket)))
            return false;
    }
    if (!replay_durable(c->r, c->core, ticket))
        return false;
    state_set(c, invoice, STATE_DONE);
    return true;
}

// ------------------------------------------------------------------------------- the client

static bool invoices_run(struct client *c)
{
    for (uint32_t n = 0; n < c->t->invoice_count; n++) {
        if (replay_owner(c->r, n) != c->number || replay_state(c->r, n) >= STATE_ACCEPTED)
            continue;
        if (node_failed(c->node) != HF_OK || atomic_load(&c->s->error_taken))
            return false;
        if (atomic_load(&c->s->decided) + c->count >= c->s->limit)
            break;
        if (c->t->invoices[n].kind == TRACE_ORDER) {
            order_add(c, n);
            if (c->count == REPLAY_BATCH && !orders_run(c))
                return false;
        } else if (!orders_run(c) || !take_back(c, n)) {
            return false;
        }
    }
    return orders_run(c);
}

void *replay_client(void *ctx)
{
    const struct replay_task *task = ctx;
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->r = task->replay;
    c->s = task->replay->s;
    c->t = task->replay->trace;
    c->node = task->node;
    c->core = node_core(task->node);
    c->number = task->number;
    c->random.state = hf_mix64(c->s->options.seed + (c->s->run * 100 + task->number) * 7919);
    c->taken_back = calloc(c->t->line_count + 1, sizeof *c->taken_back);
    c->worker = core_worker_create(c->core);
    if (!c->worker || !c->taken_back) {
        replay_error(c->s, "client %u could not start", c->number);
    } else {
        taken_back_recount(c);
        invoices_run(c);
    }
    if (c->worker)
        core_worker_destroy(c->worker);
    free(c->taken_back);
    free(c);
    return NULL;
}
