#include "fuzz/fuzz_folder.h"

void folder_options(struct world *w)
{
    struct core_options *o = &w->options;
    o->cells_max = 16;
    o->ids_max = 200;
    o->blocks_max = 64;
    o->workers_max = 3;
    o->checkpoint_bytes = 1;
    o->journal.segment_bytes = 64 << 10;
    o->journal.segments_ready = 1;
    o->journal.group_bytes_max = 36 << 10;
    o->journal.buffer_bytes = 36 << 10;
    o->journal.buffers_per_producer = 6;
    o->journal.space_margin_blocks = 8;
}

void folder_world(struct world *w)
{
    world_init(w);
    folder_options(w);
    fake_clock_init(&w->clock, 1000000000, SHAPE_TIME_MS);
    w->options.fresh_id = (struct hf_uuid){UINT64_C(0x1234567812347000), SHAPE_GENERATION};
}

void folder_clone(struct world *w, const struct fake_storage *image)
{
    struct fake_storage *disk = fake_storage_clone(image);
    memset(w, 0, sizeof *w);
    fake_clock_init(&w->clock, 1000000000, SHAPE_TIME_MS);
    w->disk = disk;
    disk->clock = &w->clock;
    core_options_default(&w->options);
    w->options.storage = &disk->base;
    w->options.clock = &w->clock.base;
    w->options.window_ms = 10000;
    w->options.window_min_ms = 1000;
    w->options.skew_ms = 1000;
    w->options.ttl_max_ms = 3600000;
    w->options.huge_pages = false;
    w->options.journal.segments_max = 64;
    folder_options(w);
}

void folder_pass(struct world *w, uint64_t ms)
{
    fake_clock_advance_ms(&w->clock, ms);
    for (int i = 0; i < 1000; i++) {
        enum hf_status s = core_step_timers(w->core, core_now(w->core), 100000);
        HF_ASSERT(s == HF_OK || s == HF_AGAIN);
        if (s == HF_AGAIN)
            break;
    }
}

void folder_housekeep(struct world *w)
{
    for (int i = 0; i < 300; i++) {
        enum hf_status a = core_step_checkpoint(w->core, core_now(w->core), 100);
        enum hf_status b = core_step_archive(w->core, core_now(w->core));
        enum hf_status c = core_step_segments(w->core);
        HF_ASSERT((a == HF_OK || a == HF_AGAIN) && (b == HF_OK || b == HF_AGAIN));
        HF_ASSERT(c == HF_OK || c == HF_AGAIN);
        if (a == HF_AGAIN && b == HF_AGAIN && c == HF_AGAIN)
            break;
    }
}

static void cell(struct world *w, const char *sku, const char *location, int64_t on_hand)
{
    struct core_admin_answer a;
    core_cell_make(w->worker, core_now(w->core), sku, (uint32_t)strlen(sku), location,
                   (uint32_t)strlen(location), 0, &a);
    HF_ASSERT(a.outcome == CORE_OUT_DONE);
    struct core_change ch = {.op_id = world_id(w), .handle = a.handle, .value = on_hand};
    if (on_hand == 0)
        ch.setting = CORE_SET_ACTIVE;
    core_change(w->worker, core_now(w->core), &ch, &a);
    HF_ASSERT(a.outcome == CORE_OUT_DONE);
    world_settle(w);
}

static void simple_fill(struct world *w)
{
    struct core_admin_answer a;
    folder_world(w);
    world_open(w);
    cell(w, "A", "main", 100);
    cell(w, "A", "W2", 5);
    cell(w, "B", "main", INT64_C(1) << 40);
    cell(w, "C", "main", 0);
    core_channel_make(w->worker, core_now(w->core), "web", 3, &a);
    core_channel_make(w->worker, core_now(w->core), "app", 3, &a);
    world_settle(w);
}

struct fake_storage *folder_simple(void)
{
    struct world w;
    simple_fill(&w);
    world_kill(&w);
    w.disk->clock = NULL;
    return w.disk;
}

static void act(struct world *w, enum core_verb verb, unsigned id, const struct core_line *lines,
                uint32_t count)
{
    static const struct core_text text = {
        .reference = "order 7", .buyer = "buyer", .reference_bytes = 7, .buyer_bytes = 5};
    bool first = verb <= CORE_RECORD;
    bool op = verb >= CORE_EXTEND || (verb == CORE_RELEASE && count);
    struct core_request r = {.verb = verb,
                             .id = shape_id(id),
                             .op_id = op ? world_id(w) : (struct hf_uuid){0, 0},
                             .lines = lines,
                             .line_count = count,
                             .ttl_ms = verb == CORE_RESERVE || verb == CORE_EXTEND ? 2000 : 0,
                             .channel = first ? 1 : 0,
                             .text = first && count > 1 ? &text : NULL};
    struct core_answer a = world_do(w, &r);
    if (a.outcome == CORE_OUT_NEEDS_RECALL &&
        core_recall(w->worker, core_now(w->core), r.id) == HF_OK)
        a = world_do(w, &r);
    if (a.outcome != CORE_OUT_DONE && a.outcome != CORE_OUT_REFUSED)
        fail_msg("%s %u: %s %s", core_verb_name(verb), id, core_outcome_name(a.outcome),
                 core_field_name(a.field));
}

static void every_kind(struct world *w)
{
    static const struct core_line one[] = {{0, 0, 2}};
    static const struct core_line part[] = {{0, 0, 1}};
    static const struct core_line wide[] = {{0, 0, 3}, {1, 0, 1}, {2, 0, INT64_C(1) << 33}};
    static const struct core_line many[] = {{1, 0, 99}};
    act(w, CORE_RESERVE, 0, wide, 3);
    act(w, CORE_RESERVE, 1, one, 1);
    act(w, CORE_RESERVE, 2, one, 1);
    act(w, CORE_RESERVE, 3, wide, 3);
    act(w, CORE_ORDER, 4, wide, 3);
    act(w, CORE_ORDER, 5, one, 1);
    act(w, CORE_ORDER, 6, many, 1); // refused
    act(w, CORE_RECORD, 7, wide, 3);
    act(w, CORE_COMMIT, 0, part, 1);
    act(w, CORE_COMMIT, 1, NULL, 0);
    act(w, CORE_RELEASE, 2, part, 1);
    act(w, CORE_RELEASE, 2, part, 1);
    act(w, CORE_EXTEND, 3, NULL, 0);
    act(w, CORE_CANCEL, 5, part, 1);
    act(w, CORE_RETURN, 7, part, 1);
}

// Holds expire, one is taken again, ids leave the window.
static void later(struct world *w)
{
    static const struct core_line sold[] = {{0, 0, 2}};
    struct core_admin_answer a;
    core_acknowledge(w->worker, core_now(w->core), world_id(w), sold, 1, &a);
    HF_ASSERT(a.outcome == CORE_OUT_DONE);
    act(w, CORE_RESERVE, 10, sold, 1);
    world_pass(w, 2500);
    struct core_request retake = {.verb = CORE_COMMIT, .id = shape_id(10), .flags = CORE_RETAKE};
    HF_ASSERT(world_do(w, &retake).outcome == CORE_OUT_DONE);
}

struct fake_storage *folder_records(void)
{
    struct world w;
    simple_fill(&w);
    every_kind(&w);
    later(&w);
    world_pass(&w, 12000);
    world_kill(&w);
    w.disk->clock = NULL;
    return w.disk;
}

struct fake_storage *folder_full(void)
{
    static const struct core_line sold[] = {{0, 0, 2}};
    struct core_admin_answer a;
    struct world w;
    simple_fill(&w);
    every_kind(&w);
    later(&w);
    folder_housekeep(&w);
    for (int i = 0; i < 40; i++) { // more than a segment
        struct core_change ch = {
            .op_id = world_id(&w), .handle = 2, .value = i + 1, .relative = true};
        core_change(w.worker, core_now(w.core), &ch, &a);
        world_settle(&w);
    }
    act(&w, CORE_RESERVE, 8, sold, 1);
    folder_housekeep(&w);
    world_pass(&w, 1000);
    act(&w, CORE_RESERVE, 9, sold, 1);
    world_settle(&w);
    folder_housekeep(&w);
    world_kill(&w);
    w.disk->clock = NULL;
    return w.disk;
}
