// One process of the replay: opens the engine, lets the clients work, and waits for its end.
#include "trace/replay.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void replay_error(struct replay_shared *s, const char *fmt, ...)
{
    va_list args;
    if (atomic_exchange(&s->error_taken, true))
        return;
    va_start(args, fmt);
    vsnprintf(s->error, sizeof s->error, fmt, args);
    va_end(args);
}

// Never less than one unit, so that every cell sells something.
int64_t replay_stock(const struct replay *r, uint32_t cell)
{
    return (r->trace->cells[cell].demand * r->s->options.percent + 99) / 100;
}

uint32_t replay_owner(const struct replay *r, uint32_t invoice)
{
    uint32_t customer = r->trace->invoices[invoice].customer;
    return (customer == TRACE_NONE ? invoice : customer) % r->s->options.threads;
}

uint8_t replay_state(const struct replay *r, uint32_t invoice)
{
    return atomic_load_explicit(&r->s->told[invoice].state, memory_order_acquire);
}

void replay_order_request(const struct replay *r, uint32_t invoice, struct core_line *lines,
                          struct core_request *out)
{
    const struct trace_invoice *i = &r->trace->invoices[invoice];
    for (uint32_t k = 0; k < i->count; k++) {
        const struct trace_line *line = &r->trace->lines[i->first + k];
        lines[k] = (struct core_line){r->s->handles[line->cell], 0, line->quantity};
    }
    *out = (struct core_request){
        .verb = CORE_ORDER, .id = r->s->told[invoice].id, .lines = lines, .line_count = i->count};
}

bool replay_durable(const struct replay *r, struct core *core, uint64_t ticket)
{
    enum hf_status s = HF_AGAIN;
    for (int i = 0; i < 100 && s == HF_AGAIN && core_status(core) == HF_OK; i++)
        s = core_wait(core, ticket, 100);
    if (s == HF_OK)
        return true;
    replay_error(r->s, "waiting for durability: %s, engine: %s", hf_status_name(s),
                 hf_status_name(core_status(core)));
    return false;
}

enum hf_status replay_recall(const struct replay *r, struct core_worker *w, struct core *core,
                             struct hf_uuid id)
{
    enum hf_status s = HF_BUSY;
    atomic_fetch_add(&r->s->recalled, 1);
    for (int attempt = 0; attempt < 1000 && s == HF_BUSY; attempt++) {
        s = core_recall(w, core_now(core), id);
        if (s == HF_BUSY)
            rehearsal_sleep_ms(2);
    }
    return s;
}

// ------------------------------------------------------------------------------- the catalogue

static bool cell_make(const struct replay *r, struct core *core, struct core_worker *w,
                      uint32_t cell, struct rehearsal_random *random, uint64_t *ticket)
{
    const struct trace_cell *name = &r->trace->cells[cell];
    struct core_admin_answer a = {.outcome = CORE_OUT_BUSY};
    for (int i = 0; i < 1000 && a.outcome == CORE_OUT_BUSY; i++) {
        core_cell_make(w, core_now(core), name->sku, (uint32_t)strlen(name->sku), name->location,
                       (uint32_t)strlen(name->location), 0, &a);
        if (a.outcome == CORE_OUT_BUSY && !replay_durable(r, core, *ticket))
            return false;
    }
    r->s->handles[cell] = a.handle;
    struct core_change change = {
        .op_id = hf_uuid_v7(core_now(core), rehearsal_next(random), rehearsal_next(random)),
        .handle = a.handle,
        .setting = CORE_SET_ON_HAND,
        .value = replay_stock(r, cell),
        .reason = "initial count"};
    bool made = a.outcome == CORE_OUT_DONE;
    a.outcome = CORE_OUT_BUSY;
    for (int i = 0; i < 1000 && made && a.outcome == CORE_OUT_BUSY; i++) {
        core_change(w, core_now(core), &change, &a);
        if (a.outcome == CORE_OUT_BUSY && !replay_durable(r, core, *ticket))
            return false;
    }
    *ticket = a.ticket;
    if (a.outcome != CORE_OUT_DONE)
        replay_error(r->s, "cell %s, %s: %s, field %s", name->sku, name->location,
                     core_outcome_name(a.outcome), core_field_name(a.field));
    return a.outcome == CORE_OUT_DONE;
}

static bool catalogue_make(const struct replay *r, struct core *core)
{
    struct core_worker *w = core_worker_create(core);
    struct rehearsal_random random = {r->s->options.seed};
    uint64_t ticket = 0;
    bool ok = w != NULL;
    for (uint32_t cell = 0; cell < r->trace->cell_count && ok; cell++)
        ok = cell_make(r, core, w, cell, &random, &ticket);
    ok = ok && replay_durable(r, core, ticket);
    if (w)
        core_worker_destroy(w);
    return ok;
}

// ------------------------------------------------------------------------------- the process

static struct node *open_node(const struct replay *r, struct replay_run *run)
{
    struct node_options o;
    struct node *node;
    uint64_t began = clock_monotonic_ns(clock_os());
    node_options_default(&o);
    o.folder = r->s->folder;
    o.core.cells_max = r->trace->cell_count;
    o.core.ids_max =
        (r->trace->invoice_count + r->s->op_max + r->trace->cell_count) * 5 / 4 + 10000;
    o.core.blocks_max = r->trace->line_count + 10000;
    o.core.workers_max = REPLAY_THREADS_MAX + 1;
    enum hf_status s = node_open(&o, &node, &run->report);
    run->open_ns = clock_monotonic_ns(clock_os()) - began;
    if (s == HF_OK)
        return node;
    replay_error(r->s, "the engine did not open: %s: %s", hf_status_name(s), run->report.why);
    return NULL;
}

static void told_count(const struct replay *r, struct replay_run *run)
{
    for (uint32_t n = 0; n < r->trace->invoice_count; n++) {
        run->decided_before += replay_state(r, n) >= STATE_ACCEPTED;
        run->unanswered_before += replay_state(r, n) == STATE_ASKED;
    }
    // A kill may have come between an answer's note and the count of it.
    atomic_store(&r->s->decided, run->decided_before);
}

struct watch {
    struct node *node;
    struct replay_run *run;
    _Atomic bool over;
};

static void *watch_run(void *ctx)
{
    struct watch *w = ctx;
    uint64_t began = clock_monotonic_ns(clock_os());
    while (!atomic_load(&w->over) && node_wait_failed(w->node, 1) == HF_OK)
        w->run->active_ns = clock_monotonic_ns(clock_os()) - began;
    return NULL;
}

static bool clients_run(const struct replay *r, struct node *node, struct replay_run *run)
{
    pthread_t threads[REPLAY_THREADS_MAX], watcher;
    struct replay_task tasks[REPLAY_THREADS_MAX];
    struct watch watch = {.node = node, .run = run};
    if (pthread_create(&watcher, NULL, watch_run, &watch) != 0)
        abort();
    for (uint32_t i = 0; i < r->s->options.threads; i++) {
        tasks[i] = (struct replay_task){r, node, i};
        if (pthread_create(&threads[i], NULL, replay_client, &tasks[i]) != 0)
            abort();
    }
    for (uint32_t i = 0; i < r->s->options.threads; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&watch.over, true);
    pthread_join(watcher, NULL);
    if (node_failed(node) != HF_OK)
        replay_error(r->s, "the engine stopped: %s", hf_status_name(node_failed(node)));
    return !atomic_load(&r->s->error_taken);
}

int replay_child(void *ctx)
{
    const struct replay *r = ctx;
    struct replay_shared *s = r->s;
    struct replay_run *run = &s->runs[s->run];
    struct node *node = open_node(r, run);
    if (!node)
        return 1;
    told_count(r, run);
    bool ok = s->catalogued || catalogue_make(r, node_core(node));
    s->catalogued = ok;
    ok = ok && clients_run(r, node, run);
    while (ok && s->run + 1 < REPLAY_RUNS) // at the limit; the kill is on its way
        rehearsal_sleep_ms(1000);
    struct core_worker *w = ok ? core_worker_create(node_core(node)) : NULL;
    if (w) {
        replay_check(r, node_core(node), w);
        core_worker_destroy(w);
    }
    node_close(node);
    return ok && replay_exact(s) ? 0 : 1;
}
