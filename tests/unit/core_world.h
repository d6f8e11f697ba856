// An engine on a fake disk and a fake clock, driven by hand, for the unit tests of engine/core.
#ifndef HOLDFAST_TESTS_UNIT_CORE_WORLD_H
#define HOLDFAST_TESTS_UNIT_CORE_WORLD_H

#include "base/hash.h"
#include "core/core.h"
#include "sim/fake_clock.h"
#include "sim/fake_storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct world {
    struct fake_clock clock;
    struct fake_storage *disk;
    struct core_options options;
    struct core *core;
    struct core_worker *worker;
    struct core_report report;
    uint64_t random;
};

static inline uint64_t world_random(struct world *w)
{
    w->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = w->random;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline struct hf_uuid world_id(struct world *w)
{
    return hf_uuid_v7(core_now(w->core), world_random(w), world_random(w));
}

static inline enum hf_status world_try_open(struct world *w)
{
    enum hf_status s = core_open(&w->options, &w->core, &w->report);
    if (s == HF_OK)
        w->worker = core_worker_create(w->core);
    return s;
}

static inline void world_open(struct world *w)
{
    enum hf_status s = world_try_open(w);
    if (s != HF_OK)
        fail_msg("open: %s: %s", hf_status_name(s), w->report.why);
    assert_non_null(w->worker);
}

static inline void world_close(struct world *w)
{
    if (w->core) {
        core_worker_destroy(w->worker);
        core_close(w->core);
    }
    w->core = NULL;
}

static inline void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    fake_clock_init(&w->clock, 1000000000, 1700000000000);
    w->disk = fake_storage_create(1, &w->clock);
    core_options_default(&w->options);
    w->options.storage = &w->disk->base;
    w->options.clock = &w->clock.base;
    w->options.fresh_id = (struct hf_uuid){0x1234567812347000, 0x8000000000000001};
    w->options.cells_max = 100;
    w->options.ids_max = 10000;
    w->options.blocks_max = 2000;
    w->options.workers_max = 2;
    w->options.window_ms = 10000;
    w->options.window_min_ms = 1000;
    w->options.skew_ms = 1000;
    w->options.ttl_max_ms = 3600000;
    w->options.huge_pages = false;
    w->options.journal.segment_bytes = 256 << 10;
    w->options.journal.segments_max = 64;
    w->options.journal.group_bytes_max = 64 << 10;
    w->options.journal.buffer_bytes = 64 << 10;
}

static inline void world_fini(struct world *w)
{
    world_close(w);
    storage_destroy(&w->disk->base);
}

// Writes everything that was appended, and keeps segments ready.
static inline void world_settle(struct world *w)
{
    for (int i = 0; i < 1000; i++) {
        enum hf_status a = core_step_segments(w->core), b = core_step_writer(w->core, false);
        if (a == HF_AGAIN && b == HF_AGAIN)
            break;
        assert_true(a == HF_OK || a == HF_AGAIN);
        assert_true(b == HF_OK || b == HF_AGAIN);
    }
    assert_int_equal(core_durable(w->core), journal_appended(core_journal(w->core)));
}

static inline void world_pass(struct world *w, uint64_t ms)
{
    fake_clock_advance_ms(&w->clock, ms);
    for (int i = 0; i < 1000; i++) {
        enum hf_status s = core_step_timers(w->core, core_now(w->core), 100000);
        assert_true(s == HF_OK || s == HF_AGAIN);
        if (s == HF_AGAIN)
            break;
    }
    world_settle(w);
}

static inline struct core_answer world_do(struct world *w, const struct core_request *r)
{
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), r, &a, 1);
    world_settle(w);
    return a;
}

static inline uint32_t world_cell(struct world *w, const char *sku, int64_t on_hand)
{
    struct core_admin_answer a;
    core_cell_make(w->worker, core_now(w->core), sku, (uint32_t)strlen(sku), "main", 4, 0, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    uint32_t handle = a.handle;
    struct core_change ch = {.op_id = world_id(w), .handle = handle, .value = on_hand};
    core_change(w->worker, core_now(w->core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(w);
    return handle;
}

static inline struct core_cell world_read(struct world *w, uint32_t handle)
{
    struct core_cell c;
    assert_int_equal(core_cell_read(w->core, handle, &c), HF_OK);
    return c;
}

static inline void world_kill(struct world *w)
{
    world_close(w);
    fake_storage_kill(w->disk);
}

#endif
