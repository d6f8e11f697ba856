// One of the shop's servers: carts come in, customers make up their minds, answers are told when
// they are durable.
//
// A batch mixes what is open from before (retries, endings that are due), duplicates that a nervous
// network sends, and new carts. It is written down before it is asked, and what was answered is
// written down after it is durable: whatever the kill cuts, the ledger knows less than the engine,
// never more.
#include "daemon/demo.h"

#include "base/hash.h"

#include <stdlib.h>

#define THINK_MS  40                  // between an answered hold and its commit or release
#define RING_SIZE (UINT32_C(1) << 19) // holds that a client keeps in mind; power of two
#define WAIT_MS   10000

struct waiting {
    uint32_t cart, due_ms; // due: low bits of engine time
};

// First in, first out; due times rise.
struct ring {
    struct waiting *entries;
    uint32_t head, tail;
};

enum item_kind { ITEM_TAKE, ITEM_END, ITEM_AGAIN, ITEM_FOREIGN };

struct item {
    enum item_kind kind;
    uint32_t cart;
    bool retry;
    uint8_t take, end;          // AGAIN, FOREIGN: as known when asked
    struct demo_ledger *ledger; // FOREIGN: another client's
};

struct client {
    struct demo_shared *d;
    struct core *core;
    struct core_worker *worker;
    struct demo_ledger *ledger;
    uint32_t number;
    struct rehearsal_random random;
    struct ring think, late, retries;
    uint32_t count;
    struct item items[DEMO_BATCH];
    struct demo_body bodies[DEMO_BATCH];
    struct core_request requests[DEMO_BATCH];
    struct core_answer answers[DEMO_BATCH];
};

// ------------------------------------------------------------------------------- rings

static bool ring_push(struct ring *r, uint32_t cart, uint64_t due_ms)
{
    if (r->tail - r->head == RING_SIZE)
        return false;
    r->entries[r->tail++ % RING_SIZE] = (struct waiting){cart, (uint32_t)due_ms};
    return true;
}

static bool ring_pop_due(struct ring *r, uint64_t now_ms, uint32_t *cart)
{
    if (r->head == r->tail)
        return false;
    struct waiting w = r->entries[r->head % RING_SIZE];
    if ((int32_t)((uint32_t)now_ms - w.due_ms) < 0)
        return false;
    r->head++;
    *cart = w.cart;
    return true;
}

static bool ring_empty(const struct ring *r)
{
    return r->head == r->tail;
}

// ------------------------------------------------------------------------------- the ledger

static uint8_t take_of(struct demo_cart *cart)
{
    return atomic_load_explicit(&cart->take, memory_order_acquire);
}

static uint8_t end_of(struct demo_cart *cart)
{
    return atomic_load_explicit(&cart->end, memory_order_acquire);
}

static void take_note(struct client *c, uint32_t cart, enum demo_take take)
{
    atomic_store_explicit(&c->ledger->carts[cart].take, (uint8_t)take, memory_order_release);
}

static void end_note(struct client *c, uint32_t cart, enum demo_end end)
{
    atomic_store_explicit(&c->ledger->carts[cart].end, (uint8_t)end, memory_order_release);
}

static void fault(struct client *c, const struct item *i, const struct core_answer *a)
{
    c->ledger->counts.faults++;
    demo_error(c->d,
               "client %u, cart %u: item %d, known take %u end %u, got %s (field %s) in state %s",
               c->number, i->cart, i->kind, i->take, i->end, core_outcome_name(a->outcome),
               core_field_name(a->field), core_state_name(a->state));
}

// A hold was told: when will its customer act?
static void plan_end(struct client *c, uint32_t cart, enum demo_plan plan, uint64_t now_ms)
{
    if (plan == PLAN_LATE_COMMIT)
        ring_push(&c->late, cart, now_ms + DEMO_TTL_MS);
    else if (plan == PLAN_COMMIT || plan == PLAN_RELEASE)
        ring_push(&c->think, cart, now_ms + THINK_MS);
}

// ------------------------------------------------------------------------------- asking

static struct item *item_add(struct client *c, enum item_kind kind, struct demo_ledger *ledger,
                             uint32_t cart)
{
    struct item *i = &c->items[c->count];
    struct demo_cart *known = &ledger->carts[cart];
    *i = (struct item){kind, cart, false, take_of(known), end_of(known), ledger};
    demo_body(c->d, known->id, &c->bodies[c->count]);
    demo_take_request(&c->bodies[c->count], known->id, &c->requests[c->count]);
    if (kind == ITEM_END) {
        bool commit = c->bodies[c->count].plan != PLAN_RELEASE;
        end_note(c, cart, commit ? END_COMMIT_ASKED : END_RELEASE_ASKED);
        c->requests[c->count] =
            (struct core_request){.verb = commit ? CORE_COMMIT : CORE_RELEASE, .id = known->id};
    }
    c->count++;
    return i;
}

static void ask_again(struct client *c, uint32_t cart)
{
    struct demo_cart *known = &c->ledger->carts[cart];
    enum item_kind kind = take_of(known) == TAKE_ASKED ? ITEM_TAKE : ITEM_END;
    item_add(c, kind, c->ledger, cart)->retry = true;
}

// A duplicate of an answered request of ours, or of anybody's order. A refused hold is not
// remembered, by contract: asked again it may succeed.
static void ask_duplicate(struct client *c)
{
    bool foreign = rehearsal_below(&c->random, 4) == 0;
    uint32_t other = rehearsal_below(&c->random, c->d->options.threads);
    struct demo_ledger *l = foreign ? &c->d->ledgers[other] : c->ledger;
    uint32_t count = atomic_load_explicit(&l->count, memory_order_acquire);
    if (count == 0)
        return;
    uint32_t cart = count - 1 - rehearsal_below(&c->random, count < 2000 ? count : 2000);
    struct demo_body body;
    demo_body(c->d, l->carts[cart].id, &body);
    uint8_t take = take_of(&l->carts[cart]);
    if (body.plan != PLAN_ORDER && (l != c->ledger || take == TAKE_REFUSED || take == TAKE_ASKED))
        return;
    item_add(c, l == c->ledger ? ITEM_AGAIN : ITEM_FOREIGN, l, cart);
}

static bool new_cart(struct client *c)
{
    struct demo_ledger *l = c->ledger;
    uint32_t cart = atomic_load_explicit(&l->count, memory_order_relaxed);
    if (cart == c->d->carts_max)
        return false;
    l->carts[cart].id =
        hf_uuid_v7(core_now(c->core), rehearsal_next(&c->random), rehearsal_next(&c->random));
    // Pairs with the acquire in ask_duplicate; a kill may come right here.
    atomic_store_explicit(&l->count, cart + 1, memory_order_release);
    item_add(c, ITEM_TAKE, l, cart);
    return true;
}

static void batch_fill(struct client *c, bool over, uint32_t new_max)
{
    uint64_t now = core_now(c->core);
    uint32_t cart;
    c->count = 0;
    while (c->count < DEMO_BATCH / 2 && ring_pop_due(&c->retries, now, &cart))
        ask_again(c, cart);
    while (c->count < DEMO_BATCH - 8 && ring_pop_due(&c->late, now, &cart))
        item_add(c, ITEM_END, c->ledger, cart);
    while (c->count < DEMO_BATCH - 8 && ring_pop_due(&c->think, now, &cart))
        item_add(c, ITEM_END, c->ledger, cart);
    if (over)
        return;
    ask_duplicate(c);
    while (c->count < DEMO_BATCH && new_max-- > 0 && new_cart(c))
        ;
    // The same request twice in one batch: the second is a repeat.
    if (c->count < DEMO_BATCH && c->count > 0 && c->items[c->count - 1].kind == ITEM_TAKE &&
        c->bodies[c->count - 1].plan == PLAN_ORDER)
        item_add(c, ITEM_AGAIN, c->ledger, c->items[c->count - 1].cart);
}

// ------------------------------------------------------------------------------- answers

static bool try_later(struct client *c, const struct item *i, const struct core_answer *a)
{
    if (a->outcome != CORE_OUT_BUSY && a->outcome != CORE_OUT_IN_PROGRESS)
        return false;
    c->ledger->counts.busy++;
    if (i->kind == ITEM_TAKE || i->kind == ITEM_END)
        ring_push(&c->retries, i->cart, core_now(c->core) + a->retry_ms);
    return true;
}

static void settle_take(struct client *c, uint32_t n)
{
    const struct item *i = &c->items[n];
    const struct core_answer *a = &c->answers[n];
    struct demo_counts *k = &c->ledger->counts;
    bool order = c->bodies[n].plan == PLAN_ORDER;
    if (a->outcome == CORE_OUT_REFUSED) {
        take_note(c, i->cart, order ? TAKE_REJECTED : TAKE_REFUSED);
        k->refused++;
    } else if (a->outcome != CORE_OUT_DONE) {
        fault(c, i, a);
    } else if (order) {
        take_note(c, i->cart, TAKE_SOLD);
        k->sold++;
    } else {
        take_note(c, i->cart, TAKE_HELD);
        k->held++;
        plan_end(c, i->cart, c->bodies[n].plan, core_now(c->core));
    }
}

static void settle_end(struct client *c, uint32_t n)
{
    const struct item *i = &c->items[n];
    const struct core_answer *a = &c->answers[n];
    struct demo_counts *k = &c->ledger->counts;
    bool commit = c->requests[n].verb == CORE_COMMIT;
    if (a->outcome == CORE_OUT_EXPIRED) {
        end_note(c, i->cart, END_EXPIRED);
        k->expired_told++;
    } else if (a->outcome != CORE_OUT_DONE) {
        fault(c, i, a);
    } else {
        end_note(c, i->cart, commit ? END_COMMITTED : END_RELEASED);
        k->committed += commit;
        k->released += !commit;
    }
}

// A duplicate: told as before. What was not answered yet when it was asked may be either.
static void settle_again(struct client *c, uint32_t n)
{
    const struct item *i = &c->items[n];
    const struct core_answer *a = &c->answers[n];
    bool ok = a->outcome == CORE_OUT_DONE || a->outcome == CORE_OUT_REFUSED;
    if (i->take == TAKE_REJECTED)
        ok = a->outcome == CORE_OUT_REFUSED && a->repeat;
    else if (i->take != TAKE_ASKED)
        ok = a->outcome == CORE_OUT_DONE && a->repeat;
    if (!ok)
        fault(c, i, a);
}

static enum hf_status wait_durable(struct client *c, uint64_t ticket)
{
    enum hf_status s = HF_AGAIN;
    for (uint32_t ms = 0; s == HF_AGAIN && ms < WAIT_MS && core_status(c->core) == HF_OK; ms += 100)
        s = core_wait(c->core, ticket, 100);
    return s;
}

static bool batch_run(struct client *c)
{
    struct clock *clock = clock_os();
    uint64_t began = clock_monotonic_ns(clock), ticket = 0;
    core_execute(c->worker, core_now(c->core), c->requests, c->answers, c->count);
    for (uint32_t n = 0; n < c->count; n++)
        if (c->answers[n].ticket > ticket)
            ticket = c->answers[n].ticket;
    enum hf_status s = wait_durable(c, ticket);
    if (s != HF_OK) {
        demo_error(c->d, "client %u waited for durability: %s", c->number, hf_status_name(s));
        return false;
    }
    rehearsal_note(&c->ledger->latency, clock_monotonic_ns(clock) - began, c->count);
    for (uint32_t n = 0; n < c->count; n++) {
        const struct item *i = &c->items[n];
        c->ledger->counts.decisions++;
        c->ledger->counts.retried += i->retry || i->kind >= ITEM_AGAIN;
        if (try_later(c, i, &c->answers[n]))
            continue;
        if (i->kind == ITEM_TAKE)
            settle_take(c, n);
        else if (i->kind == ITEM_END)
            settle_end(c, n);
        else
            settle_again(c, n);
    }
    return true;
}

// ------------------------------------------------------------------------------- the client

// After a kill: what has no answer is asked again, what is held goes on.
static void take_up(struct client *c)
{
    struct demo_ledger *l = c->ledger;
    uint64_t now = core_now(c->core);
    uint32_t count = atomic_load_explicit(&l->count, memory_order_acquire);
    for (uint32_t cart = 0; cart < count; cart++) {
        struct demo_cart *known = &l->carts[cart];
        uint8_t take = take_of(known), end = end_of(known);
        bool asked = take == TAKE_ASKED || end == END_COMMIT_ASKED || end == END_RELEASE_ASKED;
        if (asked) {
            ring_push(&c->retries, cart, now);
            l->counts.again++;
        } else if (take == TAKE_HELD && end == END_NONE) {
            struct demo_body body;
            demo_body(c->d, known->id, &body);
            plan_end(c, cart, body.plan, now);
        }
    }
}

// New carts come evenly over the time of the sale, so that the ledger lasts for it; when it could
// come faster, this paces it.
static uint32_t new_carts_due(const struct client *c)
{
    uint64_t length = (uint64_t)c->d->options.seconds * 1000000000;
    uint64_t passed = atomic_load_explicit(&c->d->sale_ns, memory_order_relaxed) + 20000000;
    uint64_t due = passed >= length
                       ? c->d->carts_max
                       : (uint64_t)((double)c->d->carts_max * (double)passed / (double)length);
    uint32_t count = atomic_load_explicit(&c->ledger->count, memory_order_relaxed);
    return due > count ? (uint32_t)(due - count) : 0;
}

static bool rings_make(struct client *c)
{
    c->think.entries = calloc(RING_SIZE, sizeof *c->think.entries);
    c->late.entries = calloc(RING_SIZE, sizeof *c->late.entries);
    c->retries.entries = calloc(RING_SIZE, sizeof *c->retries.entries);
    return c->think.entries && c->late.entries && c->retries.entries;
}

static void sell(struct client *c, const struct demo_client_task *task)
{
    take_up(c);
    while (node_failed(task->node) == HF_OK) {
        bool over = atomic_load_explicit(task->over, memory_order_relaxed);
        batch_fill(c, over, new_carts_due(c));
        if (c->count) {
            if (!batch_run(c))
                return;
        } else if (over && ring_empty(&c->think) && ring_empty(&c->late) &&
                   ring_empty(&c->retries)) {
            return;
        } else {
            rehearsal_sleep_ms(1);
        }
    }
}

void *demo_client(void *ctx)
{
    const struct demo_client_task *task = ctx;
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->d = task->d;
    c->number = task->number;
    c->core = node_core(task->node);
    c->ledger = &task->d->ledgers[task->number];
    c->worker = core_worker_create(c->core);
    // Another stream after each start: ids never recur.
    c->random.state = hf_mix64(task->d->options.seed + task->number * 1000 +
                               hf_mix64(atomic_load(&c->ledger->count)));
    if (c->worker && rings_make(c))
        sell(c, task);
    else
        demo_error(task->d, "client %u could not start", c->number);
    if (c->worker)
        core_worker_destroy(c->worker);
    free(c->think.entries);
    free(c->late.entries);
    free(c->retries.entries);
    free(c);
    return NULL;
}
