// api/watch: what following the journal costs for each record, and what a watcher's scan costs. The
// engine stands still while either runs.
#include "harness.h"
#include "load.h"
#include "suites.h"

#include "watch/hub.h"

#include <stdlib.h>

#define CELLS     ((uint32_t)1 << 20)
#define IDS_MAX   ((uint32_t)2 << 20)
#define WINDOW_MS 100
#define BATCHES   512

static struct rig rig;
static struct load load;
static struct watch_hub *hub;

static void rig_gone(void)
{
    watch_hub_destroy(hub);
    rig_stop(&rig);
}

static bool ready(struct bench_state *s)
{
    struct rig_options o = {.parent = ".", .cells = CELLS, .ids_max = IDS_MAX, .blocks_max = 1024,
                            .stock = RIG_STOCK, .mode = JOURNAL_NONE, .by_hand = true,
                            .window_ms = WINDOW_MS, .buffers = 128,
                            .checkpoint_bytes = UINT64_C(1) << 30};
    if (hub)
        return true;
    if (rig_start(&rig, &o) == HF_OK && rig_settle(&rig)) {
        struct watch_hub_options h = {rig.core, clock_os(), CELLS, true};
        load_init(&load, &rig, rig.worker,
                  &(struct load_options){.verb = CORE_ORDER, .lines = 1, .cells = CELLS,
                                         .quantity = 1, .seed = 1});
        if (watch_hub_create(&h, &hub) == HF_OK) {
            atexit(rig_gone);
            return true;
        }
    }
    rig_stop(&rig);
    bench_skip(s, "no engine can be made here");
    return false;
}

// Orders on random cells, written.
static void orders(uint32_t batches)
{
    struct load_result r = {0};
    for (uint32_t i = 0; i < batches; i++) {
        if (i % 64 == 0)
            rig_steps(&rig);
        load_fill(&load);
        load_execute(&load, &r);
    }
    rig_steps(&rig);
}

static void apply(struct bench_state *s)
{
    uint64_t records = 0;
    if (!ready(s))
        return;
    while (bench_next(s, (uint64_t)BATCHES * RIG_BATCH)) {
        bench_pause(s);
        orders(BATCHES);
        uint64_t before = watch_hub_lsn(hub);
        bench_resume(s);
        while (watch_hub_step(hub) == HF_OK)
            continue;
        records += watch_hub_lsn(hub) - before;
    }
    bench_items(s, records);
}

// A scan of a million cells of which so many, or nearly, have changed.
static void scan(struct bench_state *s)
{
    if (!ready(s))
        return;
    orders(0);
    while (watch_hub_step(hub) == HF_OK)
        continue;
    uint64_t seen = watch_hub_lsn(hub);
    orders((uint32_t)bench_arg(s) / RIG_BATCH);
    while (watch_hub_step(hub) == HF_OK)
        continue;
    while (bench_next(s, 1)) {
        uint32_t end = watch_hub_cells(hub), looks = UINT32_MAX;
        for (uint32_t at = 0; watch_hub_next(hub, &at, end, seen, &looks) != end; at++)
            bench_use((uint64_t)watch_hub_read(hub, at).available);
    }
}

void bench_watch_register(void)
{
    static const int64_t changed[] = {0, 1024, 65536};
    const struct bench_options o = {changed, 3, 1};
    bench_register("watch/apply", apply, NULL);
    bench_register("watch/scan", scan, &o);
}
