// What kills, faults and sweeps found, each pinned by a test.
#include "core/core_internal.h"
#include "journal/journal.h"
#include "unit/core_world.h"
#include "unit/failing_storage.h"

// Takes one unit and gives it back. False: BUSY.
static bool take_and_give(struct world *w, uint32_t h)
{
    struct core_line line = {h, 0, 1};
    struct core_request take = {
        .verb = CORE_RESERVE, .id = world_id(w), .lines = &line, .line_count = 1, .ttl_ms = 60000};
    struct core_request give = {.verb = CORE_RELEASE, .id = take.id};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &take, &a, 1);
    if (a.outcome == CORE_OUT_BUSY)
        return false;
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    core_execute(w->worker, core_now(w->core), &give, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    return true;
}

static void step(enum hf_status s, const char *name)
{
    if (s != HF_OK && s != HF_AGAIN)
        fail_msg("%s: %s", name, hf_status_name(s));
}

// The disk gets full while the checkpointer does not come to its turn.
static uint64_t fill(struct world *w, uint32_t h)
{
    uint64_t done = 0;
    for (uint32_t refused = 0; refused < 50;) {
        fake_clock_advance_ms(&w->clock, 1);
        bool taken = true;
        for (int i = 0; i < 64 && taken; i++)
            done += taken = take_and_give(w, h);
        refused = taken ? 0 : refused + 1;
        step(core_step_timers(w->core, core_now(w->core), 1000), "timers");
        step(core_step_writer(w->core, false), "writer");
        step(core_step_segments(w->core), "segments");
    }
    return done;
}

// Found by tests/kill on a small disk. Segments took all of it, so that no checkpoint could be
// written any more, without which no segment is ever free again: BUSY for good, also when an
// operator gave it some room, because the next segment took that, too.
static void a_full_disk_is_shared_with_the_checkpoint(void **state)
{
    struct world *w = *state;
    w->options.archive = false; // what it keeps for a year fills any disk
    w->options.checkpoint_ms = 3600000;
    w->options.ids_max = 50000;
    w->disk->faults.capacity_bytes = 14 * w->options.journal.segment_bytes;
    world_open(w);
    uint32_t h = world_cell(w, "a", 100);
    for (int round = 0; round < 5; round++) {
        if (fill(w, h) == 0)
            fail_msg("round %d: nothing but BUSY, with %llu bytes of %llu used", round,
                     (unsigned long long)fake_storage_used_bytes(w->disk),
                     (unsigned long long)w->disk->faults.capacity_bytes);
        for (int i = 0; i < 2000; i++) {
            fake_clock_advance_ms(&w->clock, 20); // ids leave their window
            step(core_step_timers(w->core, core_now(w->core), 1000), "timers");
            step(core_step_writer(w->core, false), "writer");
            step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
            step(core_step_segments(w->core), "segments");
        }
    }
}

static const struct storage_ops *real_ops;
static bool no_descriptors;
static int opens_refused;

static enum hf_status scarce_open(struct storage *s, const char *name, unsigned flags, int *file)
{
    if (!no_descriptors)
        return real_ops->open(s, name, flags, file);
    opens_refused++;
    return HF_NO_MEMORY;
}

// Found by the fault sweep. A moment without file descriptors, which strangers' connections can
// cause, counted as a broken disk and stopped the engine.
static void a_moment_without_descriptors_stops_nothing(void **state)
{
    struct world *w = *state;
    real_ops = w->disk->base.ops;
    static struct storage_ops ops;
    ops = *real_ops;
    ops.open = scarce_open;
    w->options.checkpoint_bytes = 10000;
    world_open(w);
    w->disk->base.ops = &ops;
    uint32_t h = world_cell(w, "a", 100);
    for (int i = 0; i < 6000; i++) {
        no_descriptors = i % 1000 > 500;
        fake_clock_advance_ms(&w->clock, 2);
        (void)take_and_give(w, h);
        step(core_step_timers(w->core, core_now(w->core), 1000), "timers");
        step(core_step_writer(w->core, false), "writer");
        step(core_step_segments(w->core), "segments");
        step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
        step(core_step_archive(w->core, core_now(w->core)), "archive");
    }
    no_descriptors = false;
    assert_true(opens_refused > 10);
    assert_int_equal(core_status(w->core), HF_OK);
    struct core_metrics m;
    core_metrics(w->core, &m);
    assert_in_range(m.checkpoints, 2, 1000);
    assert_true(m.archive_lsn > 1000);
    w->disk->base.ops = real_ops;
    world_kill(w);
    world_open(w);
    assert_int_equal(world_read(w, h).available, 100);
}

// Found by reading. A start with restart_grace moves deadlines in memory; the comparison with what
// was replayed took that for damage, as soon as the engine was quiet, and at the next start again.
static void moved_deadlines_are_no_damage(void **state)
{
    struct world *w = *state;
    world_open(w);
    uint32_t h = world_cell(w, "a", 100);
    struct core_line line = {h, 0, 1};
    struct core_request take = {
        .verb = CORE_RESERVE, .id = world_id(w), .lines = &line, .line_count = 1, .ttl_ms = 60000};
    assert_int_equal(world_do(w, &take).outcome, CORE_OUT_DONE);
    world_kill(w);
    w->options.restart_grace_ms = 600000;
    world_open(w);
    for (int i = 0; i < 400; i++) {
        fake_clock_advance_ms(&w->clock, 25);
        step(core_step_writer(w->core, true), "writer");
        step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
    }
    struct core_metrics m;
    core_metrics(w->core, &m);
    assert_int_equal(core_status(w->core), HF_OK);
    assert_true(m.compared > 0);
    struct core_view v;
    assert_int_equal(core_get(w->worker, core_now(w->core), take.id, &v, NULL, 0), HF_OK);
    assert_int_equal(v.state, CORE_STATE_HELD);
    assert_true(v.time_ms > core_now(w->core) + 500000);
}

// Found by reading. When checkpoints came so fast that one window's ids needed more id files than a
// checkpoint names, the engine stopped, and at every start again.
static void too_many_id_files_wait_for_the_floor(void **state)
{
    struct world *w = *state;
    struct core_metrics m;
    w->options.checkpoint_bytes = 1;
    world_open(w);
    w->core->id_files_max = 3;
    uint32_t h = world_cell(w, "a", 100);
    uint64_t reached = 0;
    for (int i = 0; i < 3000; i++) {
        // Many within a window of ten seconds, then the window passes.
        fake_clock_advance_ms(&w->clock, i < 1000 ? 1 : 20);
        (void)take_and_give(w, h);
        step(core_step_timers(w->core, core_now(w->core), 1000), "timers");
        step(core_step_writer(w->core, false), "writer");
        step(core_step_segments(w->core), "segments");
        step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
        core_metrics(w->core, &m);
        if (i == 999)
            reached = m.checkpoints;
    }
    assert_in_range(reached, 2, 5);
    assert_true(m.checkpoints > reached);
    world_kill(w);
    world_open(w);
    assert_int_equal(world_read(w, h).available, 100);
}

static int set_up(void **state)
{
    static struct world w;
    world_init(&w);
    *state = &w;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

// Found by reading: a start's shadow that could not be loaded for want of a descriptor was taken
// for loaded, and followed the journal with nothing in it.
static void a_shadow_that_is_loaded_later_is_whole(void **state)
{
    struct world *w = *state;
    struct failing_storage bad;
    w->options.checkpoint_ms = 100;
    w->options.archive = false;
    world_open(w);
    uint32_t h = world_cell(w, "a", 100);
    struct core_metrics m = {0};
    for (int round = 0; round < 3; round++) { // until the journal's beginning is gone
        for (int i = 0; i < 150; i++) {
            assert_true(take_and_give(w, h));
            world_settle(w);
        }
        uint64_t all = journal_appended(core_journal(w->core));
        for (int i = 0; i < 3000 && m.checkpoint_lsn < all; i++) {
            fake_clock_advance_ms(&w->clock, 20);
            step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
            core_metrics(w->core, &m);
        }
        assert_true(m.checkpoint_lsn >= all);
        world_settle(w);
    }
    failing_storage_init(&bad, &w->disk->base, 0, HF_NO_MEMORY);
    w->options.storage = &bad.base;
    w->options.checkpoint_ms = 3600000;
    uint32_t failed = 0;
    for (unsigned nth = 1; nth <= 12; nth++) {
        world_kill(w);
        bad.left = 0;
        world_open(w);
        bad.failed = false;
        bad.left = nth;
        for (int i = 0; i < 200; i++)
            step(core_step_checkpoint(w->core, core_now(w->core), 1), "checkpoint");
        failed += bad.failed;
        bad.left = 0;
        assert_true(take_and_give(w, h));
        world_settle(w);
        for (int i = 0; i < 400; i++) {
            fake_clock_advance_ms(&w->clock, 30);
            step(core_step_checkpoint(w->core, core_now(w->core), 16), "checkpoint");
        }
        core_metrics(w->core, &m);
        assert_true(m.compared > 0); // live and replayed state are equal
        assert_int_equal(core_status(w->core), HF_OK);
    }
    assert_true(failed >= 4);
    world_kill(w);
    w->options.storage = &w->disk->base;
}

static void archive_pass(struct world *w, uint32_t h, uint32_t orders)
{
    for (uint32_t i = 0; i < orders; i++) {
        assert_true(take_and_give(w, h));
        world_settle(w); // a block of its own: segments fill soon
    }
    for (int i = 0; i < 200; i++) {
        fake_clock_advance_ms(&w->clock, 2);
        step(core_step_archive(w->core, core_now(w->core)), "archive");
        step(core_step_checkpoint(w->core, core_now(w->core), 1000), "checkpoint");
        step(core_step_segments(w->core), "segments");
    }
    assert_int_equal(core_status(w->core), HF_OK);
}

struct names {
    uint32_t count;
    char of[64][40];
};

static void archive_name(void *ctx, const char *name)
{
    struct names *n = ctx;
    if (strncmp(name, "archive-", 8) == 0 && n->count < 64)
        snprintf(n->of[n->count++], sizeof n->of[0], "%s", name);
}

static void archive_away(struct storage *s)
{
    struct names n = {0};
    assert_int_equal(s->ops->list(s, archive_name, &n), HF_OK);
    assert_in_range(n.count, 1, 63);
    for (uint32_t i = 0; i < n.count; i++)
        assert_int_equal(s->ops->unlink(s, n.of[i]), HF_OK);
}

// Found by a review. The engine started and then stopped, at each start.
static void an_archive_that_was_off_for_a_while_is_said_at_the_start(void **state)
{
    struct world *w = *state;
    w->options.checkpoint_ms = 1;
    world_open(w);
    uint32_t h = world_cell(w, "a", 1000000);
    archive_pass(w, h, 300);
    const uint64_t archived = archive_lsn(core_archive(w->core));
    assert_true(archived > 0);
    world_kill(w);
    w->options.archive = false;
    world_open(w);
    for (int i = 0; i < 50 && journal_oldest_lsn(core_journal(w->core)) <= archived + 1; i++)
        archive_pass(w, h, 100);
    assert_true(journal_oldest_lsn(core_journal(w->core)) > archived + 1);
    world_kill(w);
    w->options.archive = true;
    assert_int_equal(world_try_open(w), HF_DAMAGED);
    assert_non_null(strstr(w->report.why, "archive"));
    fake_storage_kill(w->disk);
    archive_away(&w->disk->base);
    world_open(w);
    archive_pass(w, h, 300);
    assert_true(archive_lsn(core_archive(w->core)) > archived);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_is_shared_with_the_checkpoint),
        TEST(a_moment_without_descriptors_stops_nothing),
        TEST(moved_deadlines_are_no_damage),
        TEST(too_many_id_files_wait_for_the_floor),
        TEST(a_shadow_that_is_loaded_later_is_whole),
        TEST(an_archive_that_was_off_for_a_while_is_said_at_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
