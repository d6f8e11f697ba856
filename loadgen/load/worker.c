#include "load/worker.h"

#include "load/customer.h"
#include "load/due.h"
#include "sys/clock.h"

#include <sched.h>
#include <stdlib.h>

#define STARTS_MOST 256      // in a row, before answers are looked at
#define SPIN_NS     1500000  // gRPC waits in whole milliseconds
#define IDLE_NS     50000000 // looks at `stop` so often

struct worker_run {
    struct plan *plan;
    struct plan_customer planned;
    struct arrivals arrivals;
    struct customer_context context;
    struct customer *free, *loose;
    struct due thinking;
    uint64_t begin_ns, next_ns; // of the arrival that comes next
    uint64_t started;
    uint32_t open, next_client;
    bool closing;
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

static uint64_t now_ms(void)
{
    return clock_wall_ms(clock_os());
}

// ------------------------------------------------------------------------------- customers

static struct customer *customer_take(struct worker *w)
{
    struct worker_run *r = w->run;
    struct customer *c = r->free;
    if (c) {
        r->free = c->next;
        return c;
    }
    c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->op.owner = c;
    c->op.client = r->next_client++;
    return c;
}

static void customer_over(struct worker *w, struct customer *c)
{
    w->run->open--;
    hf_store_relaxed(&w->tally->open, w->run->open);
    c->next = w->run->free;
    w->run->free = c;
}

static void submit(struct worker *w, struct customer *c, uint64_t intended_ns)
{
    uint64_t now = now_ns();
    c->op.intended_ns = intended_ns;
    hf_histogram_record(&w->tally->late, now > intended_ns ? now - intended_ns : 0);
    sender_submit(w->sender, &c->op);
}

static void start(struct worker *w, uint64_t intended_ns)
{
    struct worker_run *r = w->run;
    struct customer *c = customer_take(w);
    plan_next(r->plan, &r->planned);
    r->started++;
    r->open++;
    tally_count(&w->tally->customers, 1);
    hf_store_relaxed(&w->tally->open, r->open);
    if (!customer_start(c, &r->context, &r->planned, now_ms()))
        abort();
    submit(w, c, intended_ns);
}

static void go_on(struct worker *w, struct customer *c)
{
    struct worker_run *r = w->run;
    if (!customer_next(c, &r->context, now_ms()))
        customer_over(w, c);
    else if (w->o.think_ms)
        due_push(&r->thinking, now_ns() + w->o.think_ms * UINT64_C(1000000), c);
    else
        submit(w, c, now_ns());
}

static void done(void *ctx, struct op *op)
{
    struct worker *w = ctx;
    struct worker_run *r = w->run;
    struct customer *c = op->owner;
    tally_count(&w->tally->again, op->tries - 1);
    if (op->result.outcome == OP_OUT_UNKNOWN && !r->closing) {
        c->next = r->loose;
        r->loose = c;
        r->open--; // others may come in its place
        hf_store_relaxed(&w->tally->open, r->open);
        return;
    }
    tally_op(w->tally, op);
    if (w->o.history)
        history_op(w->o.history, op);
    if (op->result.outcome == OP_OUT_UNKNOWN) {
        if (w->unknown++ == 0)
            w->unknown_first = op->id;
        customer_over(w, c);
        return;
    }
    customer_told(c, &r->context, now_ms());
    go_on(w, c);
}

// ------------------------------------------------------------------------------- the loop

static bool more_to_start(const struct worker *w, uint64_t now)
{
    return now < w->o.end_ns && (w->o.customers == 0 || w->run->started < w->o.customers) &&
           atomic_load_explicit(w->o.stop, memory_order_relaxed) == 0;
}

static void start_due(struct worker *w, uint64_t now)
{
    struct worker_run *r = w->run;
    for (uint32_t n = 0; n < STARTS_MOST && r->open < w->o.customers_max; n++) {
        if (!more_to_start(w, now) || (w->o.rate > 0 && r->next_ns > now))
            return;
        start(w, w->o.rate > 0 ? r->next_ns : now);
        if (w->o.rate > 0)
            r->next_ns = r->begin_ns + arrivals_next(&r->arrivals);
    }
}

static void thinking_due(struct worker *w, uint64_t now)
{
    struct worker_run *r = w->run;
    uint64_t due;
    struct customer *c;
    for (due = due_next(&r->thinking); (c = due_pop(&r->thinking, now)) != NULL;
         due = due_next(&r->thinking))
        submit(w, c, due);
}

static void wait(struct worker *w, uint64_t now)
{
    struct worker_run *r = w->run;
    uint64_t until = now + IDLE_NS, thought = due_next(&r->thinking);
    bool starting = w->o.rate > 0 && r->open < w->o.customers_max && more_to_start(w, now);
    if (starting && r->next_ns < until)
        until = r->next_ns;
    if (thought < until)
        until = thought;
    if (until <= now)
        sender_poll(w->sender, 0);
    else if (!w->o.spin || until > now + SPIN_NS)
        sender_poll(w->sender, until);
    else {
        sender_poll(w->sender, 0);
        sched_yield();
    }
}

// Asks again what nobody told so far. The hold that then turns out to be there expires.
static void settle(struct worker *w)
{
    struct worker_run *r = w->run;
    struct customer *list = r->loose;
    r->loose = NULL;
    r->closing = true;
    while (list) {
        struct customer *c = list;
        list = c->next;
        c->closing = true;
        r->open++;
        sender_submit(w->sender, &c->op);
    }
    while (sender_open(w->sender))
        sender_poll(w->sender, now_ns() + IDLE_NS);
}

static void *worker_main(void *ctx)
{
    struct worker *w = ctx;
    struct worker_run *r = w->run;
    r->next_ns = r->begin_ns + (w->o.rate > 0 ? arrivals_next(&r->arrivals) : 0);
    for (;;) {
        uint64_t now = now_ns();
        thinking_due(w, now);
        start_due(w, now);
        if (sender_open(w->sender) == 0 && r->thinking.count == 0 && !more_to_start(w, now))
            break;
        wait(w, now);
    }
    settle(w);
    atomic_fetch_sub(w->o.running, 1);
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

enum hf_status worker_create(struct worker *w, const struct worker_options *o, char why[200])
{
    *w = (struct worker){.o = *o};
    w->o.sender.done = done;
    w->o.sender.ctx = w;
    w->run = calloc(1, sizeof *w->run);
    w->tally = calloc(1, sizeof *w->tally);
    if (!w->run || !w->tally || (o->keep_book && !book_init(&w->book, o->plan.cells)))
        return HF_NO_MEMORY;
    struct worker_run *r = w->run;
    r->next_client = o->first_client;
    r->plan = plan_create(&o->plan);
    r->context = (struct customer_context){.book = o->keep_book ? &w->book : NULL,
                                           .tally = w->tally,
                                           .ttl_ms = o->ttl_ms,
                                           .deadline_ms = &w->deadline_ms};
    r->arrivals = (struct arrivals){.rate = o->rate / plan_requests_mean(&o->plan),
                                    .ramp_s = o->ramp_s,
                                    .poisson = o->poisson,
                                    .random = {hf_mix64(o->plan.seed + 1)}};
    return r->plan ? sender_create(&w->o.sender, &w->sender, why) : HF_NO_MEMORY;
}

bool worker_start(struct worker *w, uint64_t begin_ns)
{
    w->run->begin_ns = begin_ns;
    return pthread_create(&w->thread, NULL, worker_main, w) == 0;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

void worker_destroy(struct worker *w)
{
    if (w->sender)
        sender_destroy(w->sender);
    for (struct customer *c = w->run ? w->run->free : NULL, *next; c; c = next) {
        next = c->next;
        customer_free(c);
    }
    if (w->run && w->run->plan)
        plan_destroy(w->run->plan);
    if (w->run)
        due_fini(&w->run->thinking);
    book_fini(&w->book);
    free(w->tally);
    free(w->run);
}
