// durable: two threads issue single-line orders as fast as they are taken, with many batches on
// their way to the disk; checkpointer, id window and archive run beside them. An order counts when
// it is durable. The yardstick is the goal, a figure of its own; what the file itself can do is
// told beside it.
//
// latency: orders arrive at fixed times in two threads, at half the rate that two reached in this
// very engine, whatever became of those before them. An order's time runs from when it should have
// been issued to when its thread sees it durable. The threads sleep when nothing is due: one that
// polled would take a whole core, and the engine's threads would wait for what it leaves. Measured
// when the ids of the full rate are forgotten, which takes window and skew: until then the engine
// has the work of more than half. The yardstick is one write and one fdatasync of as many bytes as
// the engine's groups had on average.
#include "rows_durable.h"

#include "base/limits.h"
#include "pump.h"
#include "yardstick.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define GOAL_M      8.0
#define CELLS       (1u << 20)
#define GROUP_BYTES (2u << 20)
#define FILE_BYTES  (256u << 20)
#define SYNCS_MAX   4096

// Forgetting takes window and skew: the ids of that time are all in memory.
#define DURABLE_IDS (96u << 20)

struct durable_row {
    struct rig rig;
    struct pump pump;
    double seconds, raw_mb;
};

static enum hf_status yardstick_run(const char *folder, uint32_t group_bytes, double seconds,
                                    struct yardstick_sync *out)
{
    struct storage *storage;
    struct yardstick_file f;
    struct yardstick_file_options o = {.file_bytes = FILE_BYTES,
                                       .group_bytes_max = GROUP_BYTES,
                                       .samples_max = SYNCS_MAX};
    enum hf_status st = storage_os_create(folder, false, &storage);
    if (st != HF_OK)
        return st;
    o.storage = storage;
    st = yardstick_file_create(&f, &o);
    if (st == HF_OK) {
        struct yardstick_sync probe;
        st = yardstick_sync_run(&f, group_bytes, 32, &probe);
        double each = (double)probe.p50_ns;
        double count = st == HF_OK ? seconds * 1e9 / (each + 1) : 0;
        if (st == HF_OK)
            st = yardstick_sync_run(&f, group_bytes,
                                    count < 32          ? 32
                                    : count < SYNCS_MAX ? (uint32_t)count
                                                        : SYNCS_MAX,
                                    out);
        yardstick_file_destroy(&f);
    }
    storage_destroy(storage);
    return st;
}

enum hf_status durable_engine_start(struct rig *rig, const struct ratio_settings *s, uint32_t cells)
{
    // Buffers: what a thread may have outstanding, several times over, so that none waits for the
    // writer's copy. Segments: ready for half a second of the goal; 16 GiB at most.
    struct rig_options o = {.parent = s->folder,
                            .cells = cells,
                            .ids_max = DURABLE_IDS,
                            .stock = RIG_STOCK,
                            .mode = JOURNAL_SYNC,
                            .background = true,
                            .group_bytes_max = GROUP_BYTES,
                            .buffers = 128,
                            .segments_ready = 4,
                            .segments_max = 256,
                            .checkpoint_bytes = UINT64_C(1) << 30};
    return rig_start(rig, &o);
}

static const struct load_options orders = {
    .verb = CORE_ORDER, .lines = 1, .cells = CELLS, .quantity = 1, .seed = 1};

// ------------------------------------------------------------------------------- durable

enum hf_status durable_set_up(const struct ratio_settings *s, void **ctx)
{
    struct durable_row *d = calloc(1, sizeof *d);
    struct yardstick_sync raw;
    *ctx = d;
    if (!d)
        return HF_NO_MEMORY;
    d->seconds = s->seconds * DURABLE_LONG;
    enum hf_status st = yardstick_run(s->folder, GROUP_BYTES, 0.5, &raw);
    if (st != HF_OK)
        return st;
    d->raw_mb = (double)raw.bytes * 1e3 / (double)raw.total_ns;
    st = durable_engine_start(&d->rig, s, CELLS);
    if (st != HF_OK)
        return st;
    if (!pump_start(&d->pump, &d->rig, &orders, 2))
        return HF_NO_MEMORY;
    rig_sleep_us(DURABLE_WARM_SECONDS * 1000000);
    return HF_OK;
}

enum hf_status durable_measure(void *ctx, struct ratio_sample *out)
{
    struct durable_row *d = ctx;
    struct pump_totals spent;
    struct rig_cpu cpu_from, cpu_to;
    struct journal_metrics journal_from, journal_to;
    struct journal *j = core_journal(d->rig.core);
    rig_cpu(&d->rig, &cpu_from);
    journal_metrics(j, &journal_from);
    double spent_ns = pump_during(&d->pump, d->seconds, &spent);
    rig_cpu(&d->rig, &cpu_to);
    journal_metrics(j, &journal_to);
    double done = (double)spent.durable;
    if (rig_failed(&d->rig) || done == 0)
        return HF_STOPPED;
    out->subject = done * 1e3 / spent_ns;
    out->yardstick = GOAL_M;
    out->notes[0] = d->raw_mb;
    out->notes[1] = (double)(journal_to.bytes_written - journal_from.bytes_written) /
                    (double)(journal_to.groups - journal_from.groups + 1) / 1024;
    out->notes[2] = pump_request_ns(&d->pump);
    out->notes[3] = (double)spent.cpu_ns / done;
    for (int i = 0; i < RIG_THREADS; i++)
        out->notes[4 + i] = (double)(cpu_to.of_ns[i] - cpu_from.of_ns[i]) / done;
    out->notes[7] = (double)spent.stalls * 100 / (double)(spent.issued + 1);
    return HF_OK;
}

void durable_tear_down(void *ctx)
{
    struct durable_row *d = ctx;
    pump_stop(&d->pump);
    rig_stop(&d->rig);
    free(d);
}

// ------------------------------------------------------------------------------- latency

#define LATENCIES_MAX (1u << 20) // batches of one thread and repetition
#define LOOK_NS       20000      // between two looks at what is durable
#define THREADS       2          // as `durable` has

// One thread's arrivals: batch k is due at begin + k * interval.
struct arrivals {
    struct latency_row *row;
    struct load load;
    pthread_t thread;
    uint64_t begin_ns;
    uint32_t batches, issued, told;
    uint64_t tickets[LATENCIES_MAX];
    uint32_t latency_ns[LATENCIES_MAX];
};

struct latency_row {
    struct rig rig;
    struct pump pump;
    const char *folder;
    double seconds;
    double interval_ns; // between two batches of one thread
    struct arrivals arrivals[THREADS];
    uint32_t all_ns[THREADS * LATENCIES_MAX];
};

enum hf_status latency_set_up(const struct ratio_settings *s, void **ctx)
{
    struct latency_row *l = calloc(1, sizeof *l);
    struct pump_totals spent;
    *ctx = l;
    if (!l)
        return HF_NO_MEMORY;
    l->folder = s->folder;
    enum hf_status st = durable_engine_start(&l->rig, s, CELLS);
    if (st != HF_OK)
        return st;
    if (!pump_start(&l->pump, &l->rig, &orders, 2))
        return HF_NO_MEMORY;
    rig_sleep_us(DURABLE_WARM_SECONDS * 1000000); // until ids are forgotten as fast as they come
    double spent_ns = pump_during(&l->pump, 3, &spent);
    pump_stop(&l->pump);
    if (rig_failed(&l->rig) || spent.durable == 0)
        return HF_STOPPED;
    l->interval_ns = THREADS * 2 * RIG_BATCH * spent_ns / (double)spent.durable;
    for (uint32_t i = 0; i < THREADS; i++) {
        struct arrivals *a = &l->arrivals[i];
        a->row = l;
        load_init(&a->load, &l->rig, i ? NULL : l->rig.worker, &orders);
        a->load.position = (UINT64_C(99) + i) << 40; // other ids than the pump's
    }
    struct ratio_sample unused;
    l->seconds = DURABLE_WARM_SECONDS;
    st = latency_measure(l, &unused);
    l->seconds = s->seconds * 2;
    return st;
}

// Batches that became durable since the last look get their times.
static bool collect(struct arrivals *a)
{
    uint64_t durable = core_durable(a->row->rig.core), now = rig_ns();
    uint32_t before = a->told;
    for (; a->told < a->issued && a->tickets[a->told] <= durable; a->told++) {
        double due = (double)a->begin_ns + a->told * a->row->interval_ns, late = (double)now - due;
        a->latency_ns[a->told] = late < (double)UINT32_MAX ? (uint32_t)late : UINT32_MAX;
    }
    return a->told != before;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void arrive(struct arrivals *a)
{
    struct latency_row *l = a->row;
    struct load_result r = {0};
    prctl(PR_SET_TIMERSLACK, 1UL); // or each sleep is 50 us longer
    while (a->told < a->batches && !rig_failed(&l->rig)) {
        uint64_t due = a->begin_ns + (uint64_t)(a->issued * l->interval_ns), now = rig_ns();
        if (a->issued < a->batches && now >= due) {
            load_fill(&a->load);
            load_execute(&a->load, &r);
            a->tickets[a->issued++] = a->load.ticket;
        } else if (!collect(a)) {
            sleep_until(a->issued < a->batches && due < now + LOOK_NS ? due : now + LOOK_NS);
        }
    }
    prctl(PR_SET_TIMERSLACK, 0UL); // as before
}

static void *other_main(void *ctx)
{
    struct arrivals *a = ctx;
    a->load.worker = core_worker_create(a->row->rig.core);
    if (!a->load.worker)
        return NULL; // told < batches
    arrive(a);
    core_worker_destroy(a->load.worker);
    return NULL;
}

static enum hf_status open_loop(struct latency_row *l, uint32_t batches)
{
    uint64_t begin = rig_ns() + 1000000;
    uint32_t told = 0;
    for (uint32_t i = 0; i < THREADS; i++) {
        struct arrivals *a = &l->arrivals[i];
        a->begin_ns = begin + (uint64_t)(i * l->interval_ns / THREADS);
        a->batches = batches;
        a->issued = a->told = 0;
        if (i > 0 && pthread_create(&a->thread, NULL, other_main, a) != 0)
            return HF_NO_MEMORY;
    }
    arrive(&l->arrivals[0]);
    for (uint32_t i = 0; i < THREADS; i++) {
        struct arrivals *a = &l->arrivals[i];
        if (i > 0)
            pthread_join(a->thread, NULL);
        memcpy(l->all_ns + told, a->latency_ns, a->told * sizeof *a->latency_ns);
        told += a->told;
    }
    qsort(l->all_ns, told, sizeof *l->all_ns, by_size);
    return told == THREADS * batches ? HF_OK : HF_STOPPED;
}

enum hf_status latency_measure(void *ctx, struct ratio_sample *out)
{
    struct latency_row *l = ctx;
    struct journal_metrics from, to;
    struct yardstick_sync raw;
    struct journal *j = core_journal(l->rig.core);
    double wanted = l->seconds * 1e9 / l->interval_ns;
    uint32_t batches = wanted < LATENCIES_MAX ? (uint32_t)wanted + 1 : LATENCIES_MAX;
    journal_metrics(j, &from);
    enum hf_status st = open_loop(l, batches);
    journal_metrics(j, &to);
    if (st != HF_OK)
        return st;
    uint64_t group = (to.bytes_written - from.bytes_written) / (to.groups - from.groups + 1);
    group = (group + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK;
    st = yardstick_run(l->folder, group < GROUP_BYTES ? (uint32_t)group : GROUP_BYTES, 0.5, &raw);
    if (st != HF_OK)
        return st;
    out->subject = l->all_ns[batches] / 1e3;
    out->yardstick = (double)raw.p50_ns / 1e3;
    out->notes[0] = l->all_ns[(uint64_t)batches * THREADS * 99 / 100] / 1e3;
    out->notes[1] = (double)raw.p99_ns / 1e3;
    out->notes[2] = THREADS * RIG_BATCH * 1e3 / l->interval_ns;
    out->notes[3] = (double)group / 1024;
    out->notes[4] =
        (double)(to.sync_ns_total - from.sync_ns_total) / (double)(to.syncs - from.syncs + 1) / 1e3;
    return HF_OK;
}

void latency_tear_down(void *ctx)
{
    struct latency_row *l = ctx;
    pump_stop(&l->pump);
    rig_stop(&l->rig);
    free(l);
}
