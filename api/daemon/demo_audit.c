// The audit: everything that was told is asked again, and every cell is added up from what was
// told.
//
// It runs once after the kill, when some carts are still open, and once at the end, when none is.
// A ledger is walked by its own client's thread, so both cores are at work.
#include "daemon/demo.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct walk {
    struct demo_shared *d;
    struct core *core;
    struct core_worker *worker;
    struct demo_ledger *ledger;
    bool final;
    bool started, stopped;
    struct demo_audit audit;
    uint32_t count;
    uint32_t carts[DEMO_BATCH];
    bool ends[DEMO_BATCH]; // the end is asked again, not the take
    struct demo_body bodies[DEMO_BATCH];
    struct core_request requests[DEMO_BATCH];
    struct core_answer answers[DEMO_BATCH];
};

static void tell_first(struct demo_audit *a, const char *what, struct hf_uuid id, const char *got)
{
    char text[HF_UUID_TEXT_BYTES];
    if (a->first[0] != '\0')
        return;
    hf_uuid_format(id, text);
    snprintf(a->first, sizeof a->first, "%s %s: %s", what, text, got);
}

// May a hold of this ledger entry be found in this state?
static bool state_fits(enum demo_end end, enum core_state state, bool final)
{
    switch (end) {
    case END_NONE:
        return state == CORE_STATE_EXPIRED || (!final && state == CORE_STATE_HELD);
    case END_EXPIRED:
        return state == CORE_STATE_EXPIRED;
    case END_COMMITTED:
        return state == CORE_STATE_COMMITTED;
    case END_RELEASED:
        return state == CORE_STATE_RELEASED;
    default: // asked before the kill, not answered
        return !final &&
               (state == CORE_STATE_HELD || state == CORE_STATE_EXPIRED ||
                state == (end == END_COMMIT_ASKED ? CORE_STATE_COMMITTED : CORE_STATE_RELEASED));
    }
}

static void sold_add(struct walk *w, const struct demo_body *b)
{
    for (uint32_t i = 0; i < b->line_count; i++) {
        atomic_fetch_add(&w->d->sold[b->cells[i]], b->lines[i].quantity);
        w->audit.units_sold += (uint64_t)b->lines[i].quantity;
    }
    w->audit.orders++;
}

static void take_judge(struct walk *w, uint32_t n)
{
    struct demo_cart *cart = &w->ledger->carts[w->carts[n]];
    const struct core_answer *a = &w->answers[n];
    enum demo_take take = (enum demo_take)atomic_load(&cart->take);
    enum demo_end end = (enum demo_end)atomic_load(&cart->end);
    bool ok = a->repeat && a->outcome == CORE_OUT_DONE;
    if (take == TAKE_REJECTED)
        ok = a->repeat && a->outcome == CORE_OUT_REFUSED;
    else if (take == TAKE_SOLD)
        ok &= a->state == CORE_STATE_COMMITTED;
    else
        ok &= state_fits(end, a->state, w->final);
    w->audit.missing += !a->repeat;
    w->audit.different += a->repeat && !ok;
    if (!ok)
        tell_first(&w->audit, "asked again", cart->id,
                   a->repeat ? core_state_name(a->state) : core_outcome_name(a->outcome));
    w->audit.refused += take == TAKE_REJECTED;
    w->audit.holds_expired += take == TAKE_HELD && a->state == CORE_STATE_EXPIRED;
    if (w->final && (take == TAKE_SOLD || (take == TAKE_HELD && end == END_COMMITTED)))
        sold_add(w, &w->bodies[n]);
}

static void end_judge(struct walk *w, uint32_t n)
{
    struct demo_cart *cart = &w->ledger->carts[w->carts[n]];
    const struct core_answer *a = &w->answers[n];
    if (a->outcome == CORE_OUT_DONE && a->repeat)
        return;
    w->audit.different++;
    tell_first(&w->audit, "ended again", cart->id, core_outcome_name(a->outcome));
}

static void batch_ask(struct walk *w)
{
    uint64_t ticket = 0;
    for (int attempt = 0; attempt < 1000 && w->count; attempt++) {
        core_execute(w->worker, core_now(w->core), w->requests, w->answers, w->count);
        bool again = false;
        for (uint32_t n = 0; n < w->count; n++) {
            enum core_outcome o = w->answers[n].outcome;
            again |= o == CORE_OUT_BUSY || o == CORE_OUT_IN_PROGRESS;
            if (w->answers[n].ticket > ticket)
                ticket = w->answers[n].ticket;
        }
        if (!again || core_status(w->core) != HF_OK)
            break;
        rehearsal_sleep_ms(2);
    }
    if (core_status(w->core) != HF_OK || core_wait(w->core, ticket, 10000) != HF_OK) {
        demo_error(w->d, "the engine stopped during the audit: %s",
                   hf_status_name(core_status(w->core)));
        w->audit.missing += w->count;
        w->count = 0;
        w->stopped = true;
        return;
    }
    for (uint32_t n = 0; n < w->count; n++) {
        if (w->ends[n])
            end_judge(w, n);
        else
            take_judge(w, n);
    }
    w->audit.asked_again += w->count;
    w->count = 0;
}

static void batch_add(struct walk *w, uint32_t cart, bool end)
{
    struct hf_uuid id = w->ledger->carts[cart].id;
    uint32_t n = w->count++;
    w->carts[n] = cart;
    w->ends[n] = end;
    demo_body(w->d, id, &w->bodies[n]);
    demo_take_request(&w->bodies[n], id, &w->requests[n]);
    if (end)
        w->requests[n] = (struct core_request){
            .verb = w->bodies[n].plan == PLAN_RELEASE ? CORE_RELEASE : CORE_COMMIT, .id = id};
}

// A refused hold leaves no trace.
static void refused_judge(struct walk *w, struct hf_uuid id)
{
    struct core_view view;
    w->audit.refused++;
    if (core_get(w->worker, core_now(w->core), id, &view, NULL, 0) == HF_NOT_FOUND)
        return;
    w->audit.different++;
    tell_first(&w->audit, "refused, but there is", id, core_state_name(view.state));
}

static void cart_walk(struct walk *w, uint32_t cart)
{
    struct demo_cart *c = &w->ledger->carts[cart];
    enum demo_take take = (enum demo_take)atomic_load(&c->take);
    enum demo_end end = (enum demo_end)atomic_load(&c->end);
    if (take == TAKE_ASKED || (w->final && (end == END_COMMIT_ASKED || end == END_RELEASE_ASKED))) {
        if (w->final) {
            w->audit.missing++;
            tell_first(&w->audit, "never answered", c->id, "asked");
        }
        return;
    }
    if (take == TAKE_REFUSED) {
        refused_judge(w, c->id);
        return;
    }
    batch_add(w, cart, false);
    if (end == END_COMMITTED || end == END_RELEASED)
        batch_add(w, cart, true);
    if (w->count >= DEMO_BATCH - 1)
        batch_ask(w);
}

static void *walk_run(void *ctx)
{
    struct walk *w = ctx;
    w->worker = core_worker_create(w->core);
    if (!w->worker) {
        w->audit.missing++;
        return NULL;
    }
    uint32_t count = atomic_load_explicit(&w->ledger->count, memory_order_acquire);
    for (uint32_t cart = 0; cart < count && !w->stopped; cart++)
        cart_walk(w, cart);
    batch_ask(w);
    core_worker_destroy(w->worker);
    return NULL;
}

static void audit_merge(struct demo_audit *to, const struct demo_audit *from)
{
    to->asked_again += from->asked_again;
    to->orders += from->orders;
    to->holds_expired += from->holds_expired;
    to->refused += from->refused;
    to->units_sold += from->units_sold;
    to->missing += from->missing;
    to->different += from->different;
    if (to->first[0] == '\0')
        memcpy(to->first, from->first, sizeof to->first);
}

void demo_check(struct demo_shared *d, struct node *node, bool final, struct demo_audit *out)
{
    struct walk *walks = calloc(d->options.threads, sizeof *walks);
    pthread_t threads[DEMO_THREADS_MAX];
    if (!walks) {
        out->missing++;
        return;
    }
    for (uint32_t i = 0; i < d->options.threads; i++) {
        walks[i].d = d;
        walks[i].core = node_core(node);
        walks[i].ledger = &d->ledgers[i];
        walks[i].final = final;
        walks[i].started = pthread_create(&threads[i], NULL, walk_run, &walks[i]) == 0;
    }
    for (uint32_t i = 0; i < d->options.threads; i++) {
        if (walks[i].started)
            pthread_join(threads[i], NULL);
        else
            walks[i].audit.missing++;
        audit_merge(out, &walks[i].audit);
    }
    free(walks);
}

void demo_check_cells(struct demo_shared *d, struct core *core, struct demo_audit *out)
{
    for (uint32_t i = 0; i < d->cells; i++) {
        struct core_cell c;
        int64_t sold = atomic_load(&d->sold[i]);
        bool read = core_cell_read(core, d->handles[i], &c) == HF_OK;
        bool exact = read && c.on_hand == d->stock[i] && c.committed == sold && c.held == 0 &&
                     c.available == d->stock[i] - sold;
        out->below_zero += read && c.available < 0;
        if (exact)
            continue;
        out->cells_wrong++;
        if (out->first[0] == '\0')
            snprintf(out->first, sizeof out->first,
                     "cell %u: initial %lld, told sold %lld; committed %lld, held %lld, "
                     "available %lld",
                     i, (long long)d->stock[i], (long long)sold, (long long)c.committed,
                     (long long)c.held, (long long)c.available);
    }
    out->below_zero += atomic_load(&d->below_zero);
}

bool demo_exact(const struct demo_shared *d)
{
    const struct demo_audit *a = &d->audit, *k = &d->check;
    uint64_t faults = 0;
    for (uint32_t i = 0; i < d->options.threads; i++)
        faults += d->ledgers[i].counts.faults;
    return a->missing + a->different + a->cells_wrong + a->below_zero + k->missing + k->different +
                   faults + d->uneven ==
               0 &&
           a->asked_again > 0 && d->error[0] == '\0';
}
