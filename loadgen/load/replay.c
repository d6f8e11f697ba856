#include "load/replay_internal.h"

#include "sys/clock.h"

#include <stdlib.h>
#include <string.h>

#define IDLE_NS     50000000
#define STARTS_MOST 64

struct replay_run {
    struct deal_context context;
    struct prng random;
    struct deal *free;
    enum deal_phase phase;
    uint64_t begin_ns;
    uint32_t next, open, next_client;
    bool lost; // some outcome stayed unknown
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

// ------------------------------------------------------------------------------- shared

int64_t replay_stock(const struct trace *t, uint32_t cell, uint64_t percent)
{
    return (int64_t)(((uint64_t)t->cells[cell].demand * percent + 99) / 100);
}

struct replay *replay_create(const struct trace *t, uint32_t threads)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->t = t;
    r->threads = threads;
    r->told = calloc(t->invoice_count + 1, sizeof *r->told);
    r->lines = calloc(t->line_count + 1, sizeof *r->lines);
    r->taken_back = calloc(t->line_count + 1, sizeof *r->taken_back);
    if (!r->told || !r->lines || !r->taken_back) {
        replay_destroy(r);
        return NULL;
    }
    for (uint32_t i = 0; i < t->line_count; i++)
        r->lines[i] = (struct op_line){t->lines[i].cell, t->lines[i].quantity};
    for (uint32_t n = 0; n < t->invoice_count; n++)
        r->told[n].after = TRACE_NONE;
    for (uint32_t n = 0; n < t->invoice_count; n++)
        if (t->invoices[n].before != TRACE_NONE)
            r->told[t->invoices[n].before].after = n;
    return r;
}

void replay_destroy(struct replay *r)
{
    for (uint32_t n = 0; r->told && n < r->t->invoice_count; n++) {
        free(r->told[n].pieces);
        free(r->told[n].op_ids);
    }
    free(r->told);
    free(r->lines);
    free(r->taken_back);
    free(r);
}

static bool is_mine(const struct replay_worker *w, uint32_t invoice)
{
    uint32_t customer = w->o.replay->t->invoices[invoice].customer;
    return (customer == TRACE_NONE ? invoice : customer) % w->o.replay->threads == w->o.number;
}

// ------------------------------------------------------------------------------- deals

static struct deal *deal_take(struct replay_worker *w, uint32_t invoice)
{
    struct replay_run *r = w->run;
    struct deal *d = r->free;
    if (d) {
        r->free = d->next;
    } else {
        d = calloc(1, sizeof *d);
        if (!d)
            abort();
        d->op.client = r->next_client;
        r->next_client += w->o.replay->threads;
    }
    d->invoice = invoice;
    d->phase = r->phase;
    return d;
}

static uint64_t intended_of(const struct replay_worker *w, uint32_t invoice)
{
    double minutes = w->o.replay->t->invoices[invoice].minute;
    return w->run->begin_ns + (uint64_t)(minutes * 60e9 / w->o.time_scale);
}

static void invoice_start(struct replay_worker *w, uint32_t invoice);

static void deal_over(struct replay_worker *w, struct deal *d)
{
    struct replay_run *r = w->run;
    uint32_t after = w->o.replay->told[d->invoice].after;
    r->open--;
    hf_store_relaxed(&w->tally->open, r->open);
    d->next = r->free;
    r->free = d;
    if (r->phase == DEAL_RUN && after != TRACE_NONE &&
        w->o.replay->told[after].state == REPLAY_WAITING)
        invoice_start(w, after);
}

static void submit(struct replay_worker *w, struct deal *d, uint64_t intended_ns)
{
    uint64_t now = now_ns();
    d->op.intended_ns = intended_ns;
    hf_histogram_record(&w->tally->late, now > intended_ns ? now - intended_ns : 0);
    sender_submit(w->sender, &d->op);
}

static void invoice_start(struct replay_worker *w, uint32_t invoice)
{
    struct replay_run *r = w->run;
    struct deal *d = deal_take(w, invoice);
    bool timed = w->o.time_scale > 0 && r->phase == DEAL_RUN;
    r->open++;
    hf_store_relaxed(&w->tally->open, r->open);
    if (r->phase == DEAL_RUN)
        tally_count(&w->tally->customers, 1);
    if (deal_start(d, &r->context, clock_wall_ms(clock_os())))
        submit(w, d, timed ? intended_of(w, invoice) : now_ns());
    else
        deal_over(w, d);
}

static void done(void *ctx, struct op *op)
{
    struct replay_worker *w = ctx;
    struct deal *d = op->owner;
    tally_count(&w->tally->again, op->tries - 1);
    w->run->lost = w->run->lost || op->result.outcome == OP_OUT_UNKNOWN;
    if (d->phase == DEAL_RUN)
        tally_op(w->tally, op); // the checks afterwards are no load
    if (w->o.history)
        history_op(w->o.history, op);
    if (deal_told(d, &w->run->context))
        submit(w, d, now_ns());
    else
        deal_over(w, d);
}

// ------------------------------------------------------------------------------- the loop

// A server that did not come back in all the time that an operation has is not coming back.
static bool stopped(const struct replay_worker *w)
{
    return atomic_load_explicit(w->o.stop, memory_order_relaxed) != 0 || w->run->lost;
}

// What was decided is checked also when the user has ended the run.
static bool ends_early(const struct replay_worker *w)
{
    return w->run->phase == DEAL_RUN ? stopped(w) : w->run->lost;
}

// True: in this phase there is something to do for it.
static bool wanted(const struct replay_worker *w, uint32_t invoice)
{
    enum replay_state s = w->o.replay->told[invoice].state;
    return is_mine(w, invoice) && (w->run->phase == DEAL_RUN || s == REPLAY_ACCEPTED ||
                                   s == REPLAY_REFUSED || s == REPLAY_DONE);
}

// Starts what is next. Returns when the next one is due; UINT64_MAX: an answer has to come first,
// or there is none.
static uint64_t start_due(struct replay_worker *w)
{
    struct replay_run *r = w->run;
    const struct trace *t = w->o.replay->t;
    uint32_t started = 0;
    for (; r->next < t->invoice_count; r->next++) {
        struct told *told = &w->o.replay->told[r->next];
        uint32_t before = t->invoices[r->next].before;
        if (!wanted(w, r->next))
            continue;
        if (r->open >= w->o.outstanding || ends_early(w))
            return UINT64_MAX;
        if (started++ == STARTS_MOST)
            return 0;
        if (r->phase == DEAL_RUN && w->o.time_scale > 0 && intended_of(w, r->next) > now_ns())
            return intended_of(w, r->next);
        if (r->phase == DEAL_RUN && before != TRACE_NONE &&
            w->o.replay->told[before].state < REPLAY_ACCEPTED)
            told->state = REPLAY_WAITING;
        else
            invoice_start(w, r->next);
    }
    return UINT64_MAX;
}

static void phase_run(struct replay_worker *w, enum deal_phase phase)
{
    struct replay_run *r = w->run;
    r->phase = phase;
    r->next = 0;
    for (;;) {
        uint64_t due = start_due(w), idle = now_ns() + IDLE_NS;
        bool more = r->next < w->o.replay->t->invoice_count && !ends_early(w);
        if (r->open == 0 && !more)
            return;
        sender_poll(w->sender, due < idle ? due : idle);
    }
}

static void *worker_main(void *ctx)
{
    struct replay_worker *w = ctx;
    phase_run(w, DEAL_RUN);
    phase_run(w, DEAL_AGAIN);
    for (uint32_t n = 0; n < w->o.replay->t->invoice_count; n++)
        if (is_mine(w, n) && w->o.replay->told[n].state < REPLAY_ACCEPTED)
            w->counts.undecided++;
    atomic_fetch_sub(w->o.running, 1);
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

enum hf_status replay_worker_create(struct replay_worker *w, const struct replay_worker_options *o,
                                    char why[200])
{
    *w = (struct replay_worker){.o = *o};
    w->o.sender.done = done;
    w->o.sender.ctx = w;
    w->run = calloc(1, sizeof *w->run);
    w->tally = calloc(1, sizeof *w->tally);
    if (!w->run || !w->tally || !book_init(&w->book, o->replay->t->cell_count))
        return HF_NO_MEMORY;
    w->run->random.state = o->seed;
    w->run->next_client = o->number;
    w->run->context = (struct deal_context){.replay = o->replay,
                                            .book = &w->book,
                                            .tally = w->tally,
                                            .counts = &w->counts,
                                            .random = &w->run->random};
    return sender_create(&w->o.sender, &w->sender, why);
}

bool replay_worker_start(struct replay_worker *w, uint64_t begin_ns)
{
    w->run->begin_ns = begin_ns;
    return pthread_create(&w->thread, NULL, worker_main, w) == 0;
}

void replay_worker_join(struct replay_worker *w)
{
    pthread_join(w->thread, NULL);
}

void replay_worker_destroy(struct replay_worker *w)
{
    if (w->sender)
        sender_destroy(w->sender);
    for (struct deal *d = w->run ? w->run->free : NULL, *next; d; d = next) {
        next = d->next;
        free(d->part);
        free(d);
    }
    book_fini(&w->book);
    free(w->tally);
    free(w->run);
}
