#include "fuzz/fuzz_engine.h"

static bool status_ok(enum hf_status s)
{
    return s == HF_OK || s == HF_DAMAGED || s == HF_TOO_NEW || s == HF_FOREIGN || s == HF_CLOCK ||
           s == HF_FULL || s == HF_NO_SPACE || s == HF_NOT_FOUND;
}

static void cells_take(struct world *w, struct engine_cells *out)
{
    out->count = core_cell_count(w->core);
    HF_ASSERT(out->count <= 16);
    for (uint32_t i = 0; i < out->count; i++) {
        struct core_name name;
        uint32_t handle;
        HF_ASSERT(core_cell_read(w->core, i, &out->cell[i]) == HF_OK);
        HF_ASSERT(core_cell_name(w->core, i, &name) == HF_OK);
        HF_ASSERT(core_find(w->core, name.sku, name.sku_bytes, name.location, name.location_bytes,
                            &handle) == HF_OK);
        HF_ASSERT(handle == i);
    }
}

bool engine_start(struct world *w, struct engine_cells *cells)
{
    enum hf_status s = world_try_open(w);
    HF_ASSERT(status_ok(s));
    HF_ASSERT(strnlen(w->report.why, sizeof w->report.why) < sizeof w->report.why);
    if (s != HF_OK) {
        w->core = NULL;
        return false;
    }
    HF_ASSERT(w->worker);
    cells_take(w, cells);
    return true;
}

// False: the engine has stopped, or there is nothing more to do.
static bool steps(struct world *w)
{
    for (int i = 0; i < 200; i++) {
        enum hf_status a = core_step_segments(w->core), b = core_step_writer(w->core, false);
        if (a != HF_OK && b != HF_OK)
            break;
    }
    return core_status(w->core) == HF_OK;
}

static void reads(struct world *w)
{
    static struct core_line lines[HF_LINES_MAX];
    struct core_view views[16];
    const struct core_filter all = {0};
    uint64_t cursor = 0;
    struct hf_uuid ids[8];
    uint32_t count;
    for (int i = 0; i < 64; i++) {
        uint32_t n = core_list(w->worker, &all, &cursor, views, 16);
        for (uint32_t k = 0; k < n; k++)
            (void)core_channel_name(w->core, views[k].channel);
        if (cursor == 0)
            break;
    }
    for (unsigned i = 0; i < SHAPE_IDS; i++)
        if (core_get(w->worker, core_now(w->core), shape_id(i), views, lines, HF_LINES_MAX) ==
            HF_OK)
            HF_ASSERT(views[0].lines_away || views[0].line_count <= HF_LINES_MAX);
    (void)core_find_reference(w->core, "order 7", 7, ids, 8, &count);
}

static void decide(struct world *w, enum core_verb verb, unsigned id, bool part)
{
    static const struct core_line one[] = {{0, 0, 1}};
    bool op = verb >= CORE_EXTEND || (verb == CORE_RELEASE && part);
    bool lines = verb <= CORE_RECORD || verb == CORE_CANCEL || verb == CORE_RETURN || part;
    struct core_request r = {.verb = verb,
                             .id = shape_id(id),
                             .op_id = op ? world_id(w) : (struct hf_uuid){0, 0},
                             .flags = verb == CORE_COMMIT && id % 2 ? CORE_RETAKE : 0,
                             .lines = lines ? one : NULL,
                             .line_count = lines,
                             .ttl_ms = verb == CORE_RESERVE || verb == CORE_EXTEND ? 500 : 0};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    if (a.outcome == CORE_OUT_NEEDS_RECALL &&
        core_recall(w->worker, core_now(w->core), shape_id(id)) == HF_OK)
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
    (void)steps(w);
}

void engine_exercise(struct world *w)
{
    reads(w);
    for (unsigned i = 0; i < 10 && core_status(w->core) == HF_OK; i++) {
        decide(w, i % 2 ? CORE_COMMIT : CORE_RELEASE, i, i % 3 == 0);
        decide(w, i % 2 ? CORE_CANCEL : CORE_RETURN, i, false);
        decide(w, CORE_EXTEND, i, false);
    }
    decide(w, CORE_RESERVE, 10, false);
    decide(w, CORE_ORDER, 11, false);
    for (int i = 0; i < 3 && core_status(w->core) == HF_OK; i++) {
        fake_clock_advance_ms(&w->clock, 1500);
        (void)core_step_timers(w->core, core_now(w->core), 1000);
        (void)steps(w);
        for (int k = 0; k < 40; k++)
            if (core_step_checkpoint(w->core, core_now(w->core), 100) != HF_OK &&
                core_step_archive(w->core, core_now(w->core)) != HF_OK)
                break;
    }
    reads(w);
}

void engine_restart(struct world *w, const struct engine_cells *cells)
{
    struct engine_cells again;
    world_kill(w);
    if (!engine_start(w, &again))
        return;
    HF_ASSERT(again.count == cells->count);
    for (uint32_t i = 0; i < again.count; i++) {
        const struct core_cell *a = &again.cell[i], *b = &cells->cell[i];
        HF_ASSERT(a->available == b->available && a->on_hand == b->on_hand &&
                  a->committed == b->committed && a->external == b->external &&
                  a->safety == b->safety && a->backorder == b->backorder &&
                  a->active == b->active && a->scale == b->scale);
    }
}
