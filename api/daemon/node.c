#include "daemon/node.h"

#include "base/arena.h"
#include "base/log.h"
#include "rcu/rcu.h"
#include "sys/park.h"
#include "sys/thread.h"
#include "watch/hub.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define NODE_THREADS_MAX 6
#define MS_NS            UINT64_C(1000000)

// The writer: quiet after this long without a push, then it sleeps longer.
#define QUIET_MS 5
#define IDLE_MS  50

#define TIMERS_BUDGET 4096 // slots a step
#define TIMERS_RUN    64   // steps at once, then a look at whether to stop

// The keeper gives segments precedence: at 500 MB/s one of 64 MiB is used up in 130 ms. Checkpoints
// get pieces that are short beside that. The archive has a thread of its own: both read the journal
// from the disk, and one waits while the other computes.
#define SEGMENT_STEPS_MAX 512
#define CHECKPOINT_BUDGET 16
#define KEEPER_SLEEP_MS   10 // each turn costs reads: let some groups gather
#define ARCHIVE_SLEEP_MS  20 // a segment is closed, or is not

// The hub reads what has gathered meanwhile, instead of being woken for each group; watchers are
// told every 10 ms at most.
#define HUB_GATHER_MS 2
#define HUB_IDLE_MS   50

#define WATCHDOG_MS    100
#define WATCHDOG_TICKS 10
#define ROOM_TURNS     10 // of the watchdog, between two looks at who found no room
#define ROOM_TELL_MS   60000

struct room {
    uint64_t busy_ids, busy_blocks, told_ms;
};

struct node {
    struct storage *storage;
    struct core *core;
    struct watch_hub *hub;
    void (*on_failed)(void *ctx, enum hf_status why, const char *step);
    void (*on_durable)(void *ctx);
    void *ctx;
    _Atomic bool stopping;
    _Atomic uint32_t failed;   // enum hf_status; set once
    struct park failed_park;   // failed is set
    struct park stopping_park; // stopping is set
    pthread_t threads[NODE_THREADS_MAX];
    uint32_t thread_count;
};

void node_options_default(struct node_options *o)
{
    *o = (struct node_options){.make = true};
    core_options_default(&o->core);
}

struct core *node_core(struct node *n)
{
    return n->core;
}

struct watch_hub *node_hub(struct node *n)
{
    return n->hub;
}

enum hf_status node_failed(const struct node *n)
{
    // Pairs with the exchange in node_fail.
    return (enum hf_status)atomic_load_explicit(&n->failed, memory_order_acquire);
}

enum hf_status node_wait_failed(struct node *n, uint32_t timeout_ms)
{
    uint32_t key = park_prepare(&n->failed_park);
    if (node_failed(n) != HF_OK)
        park_cancel(&n->failed_park);
    else
        park_wait(&n->failed_park, key, timeout_ms);
    return node_failed(n);
}

static void node_fail(struct node *n, enum hf_status why, const char *step)
{
    uint32_t expected = HF_OK;
    if (!atomic_compare_exchange_strong_explicit(&n->failed, &expected, (uint32_t)why,
                                                 memory_order_acq_rel, memory_order_acquire))
        return;
    hf_log(HF_LOG_ERROR, "node_failed", "step=%s status=%s help=\"%s\"", step, hf_status_name(why),
           hf_status_help(why));
    if (n->on_failed)
        n->on_failed(n->ctx, why, step);
    park_wake(&n->failed_park);
}

// ------------------------------------------------------------------------------- threads

static bool node_stopping(const struct node *n)
{
    // Pairs with the store in node_stop.
    return atomic_load_explicit(&n->stopping, memory_order_acquire);
}

static void node_sleep(struct node *n, uint32_t ms)
{
    uint32_t key = park_prepare(&n->stopping_park);
    if (node_stopping(n))
        park_cancel(&n->stopping_park);
    else
        park_wait(&n->stopping_park, key, ms);
}

// True when the step did something. A failed one is told.
static bool step_did(struct node *n, enum hf_status s, const char *step)
{
    if (s != HF_OK && s != HF_AGAIN)
        node_fail(n, s, step);
    return s == HF_OK;
}

static bool node_goes_on(const struct node *n)
{
    return !node_stopping(n) && node_failed(n) == HF_OK;
}

static void *writer_run(void *ctx)
{
    struct node *n = ctx;
    thread_prompt(); // between a decision and its answer nothing else has to happen
    struct clock *clock = clock_os();
    uint64_t wrote_ns = clock_monotonic_ns(clock);
    bool vouched = false;
    while (node_goes_on(n)) {
        bool quiet = !vouched && clock_monotonic_ns(clock) - wrote_ns >= QUIET_MS * MS_NS;
        // Also a step that looks for quiet may find what has been pushed in that moment.
        if (step_did(n, core_step_writer(n->core, quiet), "writer")) {
            wrote_ns = clock_monotonic_ns(clock);
            vouched = false;
            if (n->on_durable)
                n->on_durable(n->ctx);
            journal_writer_pace(core_journal(n->core));
            continue;
        }
        vouched |= quiet;
        journal_writer_wait(core_journal(n->core), vouched ? IDLE_MS : QUIET_MS);
    }
    return NULL;
}

// To the next whole millisecond.
static void timers_sleep(struct clock *clock)
{
    uint64_t at = (clock_monotonic_ns(clock) / MS_NS + 1) * MS_NS;
    struct timespec t = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void *timers_run(void *ctx)
{
    struct node *n = ctx;
    rcu_thread_register_once();
    while (node_goes_on(n)) {
        for (int i = 0; i < TIMERS_RUN; i++)
            if (!step_did(n, core_step_timers(n->core, core_now(n->core), TIMERS_BUDGET), "timers"))
                break;
        timers_sleep(clock_os());
    }
    rcu_thread_unregister_once();
    return NULL;
}

static bool segments_run(struct node *n)
{
    bool did = false;
    for (int i = 0; i < SEGMENT_STEPS_MAX && node_goes_on(n); i++) {
        if (!step_did(n, core_step_segments(n->core), "segments"))
            break;
        did = true;
    }
    return did;
}

static void *keeper_run(void *ctx)
{
    struct node *n = ctx;
    struct thread_place place;
    thread_place_init(&place);
    hf_arena_use(HF_ARENA_KEEPER);
    rcu_thread_register_once();
    while (node_goes_on(n)) {
        thread_stand_back(&place, !core_pressed(n->core));
        uint64_t now_ms = core_now(n->core);
        bool did = segments_run(n);
        did |= step_did(n, core_step_checkpoint(n->core, now_ms, CHECKPOINT_BUDGET), "checkpoint");
        if (!did)
            node_sleep(n, KEEPER_SLEEP_MS);
    }
    rcu_thread_unregister_once();
    return NULL;
}

static void *hub_run(void *ctx)
{
    struct node *n = ctx;
    while (node_goes_on(n)) {
        enum hf_status s;
        bool did = false;
        while ((s = watch_hub_step(n->hub)) == HF_OK && node_goes_on(n))
            did = true;
        if (s == HF_NOT_FOUND)
            break; // it fell behind and has said so; decisions are not concerned
        step_did(n, s, "hub");
        if (did)
            node_sleep(n, HUB_GATHER_MS);
        else
            watch_hub_wait(n->hub, HUB_IDLE_MS);
    }
    return NULL;
}

static void *archive_run(void *ctx)
{
    struct node *n = ctx;
    struct thread_place place;
    thread_place_init(&place);
    while (node_goes_on(n)) {
        thread_stand_back(&place, !core_pressed(n->core));
        if (!step_did(n, core_step_archive(n->core, core_now(n->core)), "archive"))
            node_sleep(n, ARCHIVE_SLEEP_MS);
    }
    return NULL;
}

// Whoever is refused for room hears BUSY, for hours when ids are used up: said when it begins, and
// again each minute that it goes on.
static void room_look(struct core *c, struct room *r)
{
    struct core_metrics m;
    uint64_t now_ms = core_now(c);
    core_metrics(c, &m);
    bool more = m.busy_ids > r->busy_ids || m.busy_blocks > r->busy_blocks;
    if (more && (r->told_ms == 0 || now_ms >= r->told_ms + ROOM_TELL_MS)) {
        hf_log(HF_LOG_WARN, "no_room",
               "ids_used=%" PRIu64 " ids_max=%" PRIu64 " blocks_used=%" PRIu64
               " blocks_max=%" PRIu64 " refused=%" PRIu64,
               m.ids_used, m.ids_max, m.blocks_used, m.blocks_max, m.busy_ids + m.busy_blocks);
        r->told_ms = now_ms;
    }
    r->busy_ids = m.busy_ids;
    r->busy_blocks = m.busy_blocks;
}

static void *watchdog_run(void *ctx)
{
    struct node *n = ctx;
    struct room room = {0};
    for (uint32_t turn = 1; !node_stopping(n); turn++) {
        node_sleep(n, WATCHDOG_MS);
        if (turn % ROOM_TURNS == 0)
            room_look(n->core, &room);
        // Nothing is flushed or unwound: another thread may stand anywhere.
        if (core_watchdog(n->core, WATCHDOG_TICKS)) {
            hf_log(HF_LOG_ERROR, "watchdog", "exit=%d why=\"a decision stood still\"",
                   NODE_EXIT_STUCK);
            _Exit(NODE_EXIT_STUCK);
        }
        enum hf_status s = core_status(n->core);
        if (s != HF_OK)
            node_fail(n, s, "core");
    }
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status thread_start(struct node *n, void *(*run)(void *), const char *name)
{
    HF_ASSERT(n->thread_count < NODE_THREADS_MAX);
    pthread_t *thread = &n->threads[n->thread_count];
    if (pthread_create(thread, NULL, run, n) != 0)
        return HF_NO_MEMORY;
    n->thread_count++;
    pthread_setname_np(*thread, name);
    return HF_OK;
}

enum hf_status node_start(struct node *n)
{
    HF_ASSERT(n->thread_count == 0);
    enum hf_status s = thread_start(n, writer_run, "hf-writer");
    if (s == HF_OK)
        s = thread_start(n, timers_run, "hf-timers");
    if (s == HF_OK)
        s = thread_start(n, keeper_run, "hf-keeper");
    if (s == HF_OK)
        s = thread_start(n, archive_run, "hf-archive");
    if (s == HF_OK)
        s = thread_start(n, watchdog_run, "hf-watchdog");
    if (s == HF_OK && n->hub)
        s = thread_start(n, hub_run, "hf-hub");
    return s;
}

static void node_stop(struct node *n)
{
    atomic_store_explicit(&n->stopping, true, memory_order_release); // pairs with node_stopping
    park_wake(&n->stopping_park);
    for (uint32_t i = 0; i < n->thread_count; i++)
        pthread_join(n->threads[i], NULL);
    n->thread_count = 0;
}

static struct hf_uuid random_id(struct clock *clock)
{
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return (struct hf_uuid){0, 0}; // core_open refuses it
    return hf_uuid_v7(clock_wall_ms(clock), random[0], random[1]);
}

static enum hf_status node_fill(struct node *n, const struct node_options *o,
                                struct core_report *report)
{
    struct core_options core = o->core;
    enum hf_status s = storage_os_create(o->folder, o->make, &n->storage);
    if (s != HF_OK) {
        int error = errno;
        n->storage = NULL;
        snprintf(report->why, sizeof report->why, "data_folder: %.120s: %s", o->folder,
                 storage_os_why(error));
        return s;
    }
    core.storage = n->storage;
    if (!core.clock)
        core.clock = clock_os();
    if (hf_uuid_is_nil(core.fresh_id))
        core.fresh_id = random_id(core.clock);
    if (getrandom(core.index_key, sizeof core.index_key, 0) != (ssize_t)sizeof core.index_key)
        return HF_IO;
    s = core_open(&core, &n->core, report);
    if (s != HF_OK) {
        n->core = NULL;
        return s;
    }
    struct watch_hub_options hub = {.core = n->core,
                                    .clock = core.clock,
                                    .cells_max = core.cells_max,
                                    .huge_pages = core.huge_pages};
    // Before any thread: the cells are as recovery left them.
    if (o->watch && (s = watch_hub_create(&hub, &n->hub)) != HF_OK) {
        snprintf(report->why, sizeof report->why, "the hub for stock watchers: %s",
                 hf_status_help(s));
        return s;
    }
    s = o->hold_back ? HF_OK : node_start(n);
    if (s != HF_OK)
        snprintf(report->why, sizeof report->why, "a thread could not be started");
    return s;
}

enum hf_status node_open(const struct node_options *o, struct node **out,
                         struct core_report *report)
{
    memset(report, 0, sizeof *report);
    if (!o->folder) {
        snprintf(report->why, sizeof report->why, "a data folder is needed");
        return HF_INVALID;
    }
    struct node *n = calloc(1, sizeof *n);
    if (!n)
        return HF_NO_MEMORY;
    n->on_failed = o->on_failed;
    n->on_durable = o->on_durable;
    n->ctx = o->ctx;
    enum hf_arena before = hf_arena_use(HF_ARENA_SETUP);
    enum hf_status s = node_fill(n, o, report);
    hf_arena_use(before);
    if (s != HF_OK) {
        node_close(n);
        return s;
    }
    *out = n;
    return HF_OK;
}

void node_close(struct node *n)
{
    node_stop(n);
    watch_hub_destroy(n->hub);
    if (n->core)
        core_close(n->core);
    storage_destroy(n->storage);
    free(n);
}
