// Engine time across starts and clocks: what a start refuses, what a running engine notices, and
// what becomes of deadlines meanwhile.
#include "unit/core_world.h"

#define MINUTE_MS 60000
#define DAY_MS    (INT64_C(24) * 60 * MINUTE_MS)

static uint32_t cell;
static uint64_t journaled_ms; // engine time of the last group

static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_init(w);
    world_open(w);
    cell = world_cell(w, "apple", 10);
    journaled_ms = core_now(w->core);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

static struct hf_uuid hold(struct world *w, uint32_t ttl_ms)
{
    struct core_line line = {cell, 0, 4};
    struct core_request r = {
        .verb = CORE_RESERVE, .id = world_id(w), .lines = &line, .line_count = 1, .ttl_ms = ttl_ms};
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    journaled_ms = core_now(w->core);
    return r.id;
}

static enum core_outcome commit(struct world *w, struct hf_uuid id)
{
    struct core_request r = {.verb = CORE_COMMIT, .id = id};
    return world_do(w, &r).outcome;
}

static enum hf_status starts_with_wall_moved(struct world *w, int64_t ms)
{
    world_kill(w);
    fake_clock_jump_wall_ms(&w->clock, ms);
    enum hf_status s = world_try_open(w);
    if (s != HF_OK) {
        w->core = NULL;
        assert_non_null(
            strstr(w->report.why, ms < 0 ? " s behind the last" : " s ahead of the last"));
        fake_storage_kill(w->disk);
    }
    return s;
}

static void a_wall_clock_too_far_behind_stops_the_start(void **state)
{
    struct world *w = *state;
    assert_int_equal(starts_with_wall_moved(w, -5 * MINUTE_MS + 1000), HF_OK);
    assert_true(core_now(w->core) >= journaled_ms); // engine time never goes back
    assert_int_equal(starts_with_wall_moved(w, -2000), HF_CLOCK);
    w->options.accept_clock = true;
    assert_int_equal(starts_with_wall_moved(w, -DAY_MS), HF_OK);
    assert_true(core_now(w->core) >= journaled_ms);
}

static void a_wall_clock_too_far_ahead_stops_the_start(void **state)
{
    struct world *w = *state;
    assert_int_equal(starts_with_wall_moved(w, 30 * DAY_MS - MINUTE_MS), HF_OK);
    uint64_t there = core_now(w->core);
    assert_true(there >= journaled_ms + 29 * DAY_MS);
    hold(w, 1000); // journals that time
    assert_int_equal(starts_with_wall_moved(w, 30 * DAY_MS + MINUTE_MS), HF_CLOCK);
    w->options.accept_clock = true;
    assert_int_equal(starts_with_wall_moved(w, 0), HF_OK);
}

static void a_process_that_stood_still_ends(void **state)
{
    struct world *w = *state;
    fake_clock_advance_ms(&w->clock, 20);
    fake_clock_jump_wall_ms(&w->clock, MINUTE_MS - 1000); // a correction: followed slowly
    assert_true(core_step_timers(w->core, core_now(w->core), 10) <= HF_AGAIN);
    assert_true(core_now(w->core) < journaled_ms + 1000);
    fake_clock_advance_ms(&w->clock, 20);
    fake_clock_jump_wall_ms(&w->clock, 2000);
    assert_int_equal(core_step_timers(w->core, core_now(w->core), 10), HF_CLOCK);
    assert_int_equal(core_status(w->core), HF_CLOCK);
    struct core_line line = {cell, 0, 1};
    struct core_request r = {
        .verb = CORE_ORDER, .id = world_id(w), .lines = &line, .line_count = 1};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_BUSY);            // it decides nothing more
    assert_int_equal(starts_with_wall_moved(w, 0), HF_OK); // and a start is at the wall's time
    assert_true(core_now(w->core) >= journaled_ms + MINUTE_MS);
}

static void deadlines_run_through_downtime(void **state)
{
    struct world *w = *state;
    struct hf_uuid id = hold(w, 5000);
    world_kill(w);
    fake_clock_advance_ms(&w->clock, 4000);
    world_open(w);
    world_pass(w, 500);
    assert_int_equal(world_read(w, cell).held, 4);
    world_kill(w);
    fake_clock_advance_ms(&w->clock, 4000);
    world_open(w);
    world_pass(w, 2);
    assert_int_equal(world_read(w, cell).held, 0);
    assert_int_equal(commit(w, id), CORE_OUT_EXPIRED);
}

static void restart_grace_moves_deadlines_that_the_downtime_ate(void **state)
{
    struct world *w = *state;
    struct hf_uuid bought = hold(w, 1000), late = hold(w, 1000);
    w->options.restart_grace_ms = 3000;
    world_kill(w);
    fake_clock_advance_ms(&w->clock, 5000);
    world_open(w);
    world_pass(w, 2900);
    assert_int_equal(world_read(w, cell).held, 8);
    assert_int_equal(commit(w, bought), CORE_OUT_DONE);
    world_pass(w, 110);
    assert_int_equal(world_read(w, cell).held, 0);
    assert_int_equal(commit(w, late), CORE_OUT_EXPIRED);
    // One that has longer to go keeps its deadline.
    struct hf_uuid far = hold(w, 60000);
    uint64_t deadline = core_now(w->core) + 60000;
    world_kill(w);
    world_open(w);
    struct core_view v;
    assert_int_equal(core_get(w->worker, core_now(w->core), far, &v, NULL, 0), HF_OK);
    assert_in_range(v.time_ms, deadline - 10, deadline);
}

static void an_idle_worker_is_no_stuck_one(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 100; i++)
        assert_false(core_watchdog(w->core, 10));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_wall_clock_too_far_behind_stops_the_start),
        TEST(a_wall_clock_too_far_ahead_stops_the_start),
        TEST(a_process_that_stood_still_ends),
        TEST(deadlines_run_through_downtime),
        TEST(restart_grace_moves_deadlines_that_the_downtime_ate),
        TEST(an_idle_worker_is_no_stuck_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
