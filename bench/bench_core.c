// engine/core verb by verb: batches of 32 on one thread, 1 and 19 lines, over 1M cells. Nothing
// runs beside: writer, timers and checkpointer are stepped while the clock stands still.
#include "harness.h"
#include "load.h"
#include "suites.h"

#include <stdlib.h>

#define CELLS     ((uint32_t)1 << 20)
#define IDS_MAX   ((uint32_t)6 << 20)
#define BLOCKS    ((uint32_t)2 << 20)
#define TTL_MS    60000
#define WINDOW_MS 100
#define ROUND     64 // batches between two stops of the clock

static struct rig rig;
static struct load load;
static struct hf_uuid held[ROUND][RIG_BATCH];

static void rig_gone(void)
{
    rig_stop(&rig);
}

static bool ready(struct bench_state *s)
{
    struct rig_options o = {.parent = ".", .cells = CELLS, .ids_max = IDS_MAX,
                            .blocks_max = BLOCKS, .stock = RIG_STOCK, .mode = JOURNAL_NONE,
                            .by_hand = true, .window_ms = WINDOW_MS, .buffers = 128,
                            .checkpoint_bytes = UINT64_C(1) << 30};
    if (rig.core)
        return true;
    if (rig_start(&rig, &o) == HF_OK) {
        atexit(rig_gone);
        return true;
    }
    rig_stop(&rig);
    bench_skip(s, "no engine can be made here");
    return false;
}

static void load_begin(enum core_verb verb, uint32_t lines)
{
    static uint64_t seed;
    load_init(&load, &rig, rig.worker,
              &(struct load_options){.verb = verb, .lines = lines, .cells = CELLS,
                                     .ttl_ms = verb == CORE_RESERVE ? TTL_MS : 0, .quantity = 1,
                                     .seed = ++seed});
}

// A batch whose answers are all DONE, or the clock is stopped until there is room.
static bool execute(struct bench_state *s)
{
    for (int tries = 0; tries < 1000; tries++) {
        struct load_result r = {0};
        load_execute(&load, &r);
        if (r.done == RIG_BATCH)
            return true;
        bench_pause(s);
        bool good = rig_steps(&rig);
        load_fill(&load);
        bench_resume(s);
        if (!good)
            return false;
    }
    return false;
}

static void take(struct bench_state *s, enum core_verb verb)
{
    if (!ready(s))
        return;
    load_begin(verb, (uint32_t)bench_arg(s));
    for (uint64_t i = 0; bench_next(s, RIG_BATCH); i++) {
        if (i % ROUND == 0) {
            bench_pause(s);
            rig_steps(&rig);
            bench_resume(s);
        }
        load_fill(&load);
        if (!execute(s)) {
            bench_skip(s, "the engine has no room");
            break;
        }
        if (verb == CORE_RESERVE) { // not measured: holds don't pile up
            bench_pause(s);
            for (int k = 0; k < RIG_BATCH; k++)
                load.requests[k] = (struct core_request){.verb = CORE_RELEASE,
                                                         .id = load.requests[k].id};
            struct load_result r = {0};
            load_execute(&load, &r);
            bench_resume(s);
        }
    }
    bench_items(s, bench_iterations(s));
}

static void hold(struct bench_state *s)
{
    take(s, CORE_RESERVE);
}

static void order(struct bench_state *s)
{
    take(s, CORE_ORDER);
}

// Holds for a round, the clock standing still.
static bool holds_make(void)
{
    for (int i = 0; i < ROUND; i++) {
        struct load_result r = {0};
        for (int tries = 0; tries < 1000 && r.done < RIG_BATCH; tries++) {
            r = (struct load_result){0};
            rig_steps(&rig);
            load_fill(&load);
            load_execute(&load, &r);
        }
        if (r.done < RIG_BATCH)
            return false;
        for (int k = 0; k < RIG_BATCH; k++)
            held[i][k] = load.requests[k].id;
    }
    return rig_steps(&rig);
}

static void end(struct bench_state *s, enum core_verb verb)
{
    if (!ready(s))
        return;
    load_begin(CORE_RESERVE, (uint32_t)bench_arg(s));
    for (uint64_t i = 0; bench_next(s, RIG_BATCH); i++) {
        if (i % ROUND == 0) {
            bench_pause(s);
            bool made = holds_make();
            bench_resume(s);
            if (!made) {
                bench_skip(s, "the engine has no room");
                break;
            }
        }
        load.now_ms = core_now(rig.core);
        for (int k = 0; k < RIG_BATCH; k++)
            load.requests[k] = (struct core_request){.verb = verb, .id = held[i % ROUND][k]};
        struct load_result r = {0};
        load_execute(&load, &r);
        if (r.done != RIG_BATCH)
            bench_counter(s, "not_done", 1);
    }
    bench_items(s, bench_iterations(s));
}

static void commit(struct bench_state *s)
{
    end(s, CORE_COMMIT);
}

static void release(struct bench_state *s)
{
    end(s, CORE_RELEASE);
}

void bench_core_register(void)
{
    static const int64_t lines[] = {1, RIG_LINES};
    const struct bench_options o = {lines, 2, 1};
    bench_register("core/hold", hold, &o);
    bench_register("core/order", order, &o);
    bench_register("core/commit", commit, &o);
    bench_register("core/release", release, &o);
}
