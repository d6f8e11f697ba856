// The two processes: the one that is killed, and the one that takes over.
#include "daemon/demo.h"

#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES   200 // cells looked at every few milliseconds while the sale runs
#define SAMPLE_MS 5

void demo_error(struct demo_shared *d, const char *fmt, ...)
{
    va_list args;
    if (atomic_exchange(&d->error_taken, true))
        return;
    va_start(args, fmt);
    vsnprintf(d->error, sizeof d->error, fmt, args);
    va_end(args);
}

static struct node *open_node(struct demo_shared *d, struct core_report *report)
{
    struct node_options o;
    struct node *node;
    node_options_default(&o);
    o.folder = d->folder;
    o.core.cells_max = d->cells;
    // A quarter more than all carts, so that no id has to be forgotten early.
    uint32_t carts = d->carts_max * d->options.threads;
    o.core.ids_max = carts + carts / 4 + d->cells + 100000;
    o.core.blocks_max = carts / 4 + 100000;
    o.core.workers_max = d->options.threads + 2;
    o.core.checkpoint_ms = 2000;
    o.core.journal.mode = JOURNAL_SYNC;
    enum hf_status s = node_open(&o, &node, report);
    if (s == HF_OK)
        return node;
    demo_error(d, "the engine did not open: %s: %s", hf_status_name(s), report->why);
    return NULL;
}

// ------------------------------------------------------------------------------- the sale

static void cells_sample(struct demo_shared *d, struct core *core, struct rehearsal_random *r)
{
    for (int i = 0; i < SAMPLES; i++) {
        struct core_cell c;
        uint32_t cell = rehearsal_below(r, d->cells);
        if (core_cell_read(core, d->handles[cell], &c) != HF_OK)
            continue;
        atomic_fetch_add(&d->samples, 1);
        if (c.available < 0)
            atomic_fetch_add(&d->below_zero, 1);
        if (!c.unsettled &&
            (c.held < 0 || c.committed < 0 || c.available != c.on_hand - c.held - c.committed))
            atomic_fetch_add(&d->uneven, 1);
    }
}

// Lets the clients sell until the sale's time is over; joins them when all carts have their end.
static bool sale_run(struct demo_shared *d, struct node *node)
{
    struct demo_client_task tasks[DEMO_THREADS_MAX];
    pthread_t threads[DEMO_THREADS_MAX];
    _Atomic bool over = false;
    uint32_t started = 0;
    uint64_t length = (uint64_t)d->options.seconds * 1000000000;
    uint64_t before = atomic_load(&d->sale_ns), began = clock_monotonic_ns(clock_os());
    struct rehearsal_random random = {d->options.seed ^ before};
    atomic_store(&d->phase, PHASE_SALE);
    for (; started < d->options.threads; started++) {
        tasks[started] = (struct demo_client_task){d, node, started, &over};
        if (pthread_create(&threads[started], NULL, demo_client, &tasks[started]) != 0)
            break;
    }
    while (atomic_load(&d->sale_ns) < length && node_wait_failed(node, SAMPLE_MS) == HF_OK &&
           !atomic_load(&d->error_taken)) {
        cells_sample(d, node_core(node), &random);
        atomic_store(&d->sale_ns, before + clock_monotonic_ns(clock_os()) - began);
    }
    atomic_store(&over, true);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started < d->options.threads)
        demo_error(d, "a client's thread could not be started");
    if (node_failed(node) != HF_OK)
        demo_error(d, "the engine stopped: %s", hf_status_name(node_failed(node)));
    return d->error[0] == '\0';
}

int demo_first_child(void *shared)
{
    struct demo_shared *d = shared;
    struct core_report report;
    uint64_t began = clock_monotonic_ns(clock_os());
    struct node *node = open_node(d, &report);
    if (!node)
        return 1;
    if (report.cells != 0)
        demo_error(d, "the folder holds an engine already; the demonstration needs an empty one");
    else if (demo_catalogue(d, node_core(node))) {
        d->catalogue_ns = clock_monotonic_ns(clock_os()) - began;
        sale_run(d, node); // until the kill
    }
    node_close(node);
    return 1; // nobody killed it
}

// ------------------------------------------------------------------------------- after the kill

static void ledgers_count(struct demo_shared *d)
{
    for (uint32_t i = 0; i < d->options.threads; i++) {
        struct demo_ledger *l = &d->ledgers[i];
        uint32_t count = atomic_load(&l->count);
        for (uint32_t cart = 0; cart < count; cart++) {
            uint8_t take = atomic_load(&l->carts[cart].take),
                    end = atomic_load(&l->carts[cart].end);
            bool open = end == END_COMMIT_ASKED || end == END_RELEASE_ASKED;
            d->acknowledged += (take != TAKE_ASKED) + (end >= END_COMMITTED);
            d->unanswered += take == TAKE_ASKED || open;
        }
    }
}

// Abandoned carts expire by themselves.
static void carts_expire(struct demo_shared *d, struct node *node)
{
    atomic_store(&d->phase, PHASE_DRAIN);
    for (uint32_t ms = 0; ms < DEMO_TTL_MS + 200 && node_failed(node) == HF_OK; ms += SAMPLE_MS)
        node_wait_failed(node, SAMPLE_MS);
}

int demo_second_child(void *shared)
{
    struct demo_shared *d = shared;
    uint64_t began = clock_monotonic_ns(clock_os());
    struct node *node = open_node(d, &d->recovery);
    if (!node)
        return 1;
    d->recovery_ns = clock_monotonic_ns(clock_os()) - began;
    ledgers_count(d);
    demo_check(d, node, false, &d->check);
    if (sale_run(d, node)) {
        carts_expire(d, node);
        began = clock_monotonic_ns(clock_os());
        demo_check(d, node, true, &d->audit);
        demo_check_cells(d, node_core(node), &d->audit);
        d->audit_ns = clock_monotonic_ns(clock_os()) - began;
        struct core_metrics m;
        core_metrics(node_core(node), &m);
        d->expired = m.expired;
        atomic_store(&d->phase, PHASE_DONE);
    }
    node_close(node);
    return demo_exact(d) ? 0 : 1;
}
