// Memory for fewer ids than the window is long: it narrows in time, not below its least width, and
// what it lets go is found and given back.
#include "unit/core_world.h"

#define MINUTE UINT64_C(60000)
#define HOUR   (60 * MINUTE)

static struct world world, *w = &world;
static uint32_t cell;

static int setup(void **state)
{
    (void)state;
    world_init(w);
    w->options.ids_max = 2000;
    w->options.window_ms = 24 * HOUR;
    w->options.window_min_ms = 10 * MINUTE;
    w->options.skew_ms = 5 * MINUTE;
    w->options.ttl_max_ms = 48 * HOUR;
    w->options.archive = false;
    w->options.checkpoint_ms = MINUTE;
    world_open(w);
    cell = world_cell(w, "a", 1000000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_fini(w);
    return 0;
}

static enum core_outcome order(struct hf_uuid id)
{
    struct core_line line = {cell, 0, 1};
    struct core_request r = {.verb = CORE_ORDER, .id = id, .lines = &line, .line_count = 1};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    return a.outcome;
}

static void steps(uint64_t ms)
{
    world_pass(w, ms);
    for (int k = 0; k < 8; k++)
        assert_true(core_step_checkpoint(w->core, core_now(w->core), 1000) <= HF_AGAIN);
}

// Orders, evenly. Returns how many were BUSY.
static uint32_t orders(uint32_t count, uint64_t apart_ms)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < count; i++) {
        enum core_outcome got = order(world_id(w));
        assert_true(got == CORE_OUT_DONE || got == CORE_OUT_BUSY);
        busy += got == CORE_OUT_BUSY;
        steps(apart_ms);
    }
    return busy;
}

static uint64_t window(void)
{
    struct core_metrics m;
    core_metrics(w->core, &m);
    return m.window_ms;
}

static void a_young_engine_narrows_before_it_is_full(void **state)
{
    (void)state;
    // Two hours' worth of ids, at a pace at which 24 hours' would be ten times the memory.
    assert_int_equal(orders(3500, 4000), 0);
    assert_in_range(window(), HOUR, 2 * HOUR);
    assert_int_equal(orders(2000, 4000), 0); // and goes on
    assert_in_range(window(), HOUR, 2 * HOUR);
}

static void a_rush_after_quiet_hours_is_made_room_for(void **state)
{
    (void)state;
    assert_int_equal(orders(10, 2 * HOUR), 0);
    // The oldest outcome is 20 hours old, nearly all are under half an hour.
    assert_int_equal(orders(1500, 1000), 0);
    steps(10 * MINUTE);
    assert_int_equal(orders(4000, 1000), 0);
    assert_in_range(window(), 10 * MINUTE, 30 * MINUTE);
}

static void the_least_width_is_kept_and_then_it_is_busy(void **state)
{
    (void)state;
    struct hf_uuid first = world_id(w), id = first;
    uint64_t began = core_now(w->core);
    while (order(id) == CORE_OUT_DONE) {
        steps(10);
        id = world_id(w);
    }
    assert_true(core_now(w->core) - began < MINUTE);
    steps(9 * MINUTE);
    assert_int_equal(order(id), CORE_OUT_BUSY);
    assert_int_equal(window(), 10 * MINUTE);
    struct core_line line = {cell, 0, 1};
    struct core_request r = {.verb = CORE_ORDER, .id = first, .lines = &line, .line_count = 1};
    struct core_answer a = world_do(w, &r);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    for (int i = 0; i < 10; i++)
        steps(MINUTE);
    assert_int_equal(order(world_id(w)), CORE_OUT_DONE);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_ID_TOO_OLD);
}

static void a_start_goes_on_from_the_floor_and_the_window_grows_back(void **state)
{
    (void)state;
    assert_int_equal(orders(3500, 4000), 0);
    uint64_t before = window();
    world_settle(w);
    world_kill(w);
    world_open(w);
    assert_in_range(window(), before, before + before / 16);
    assert_int_equal(orders(1000, 4000), 0);
    for (int i = 0; i < 200; i++)
        steps(2 * MINUTE);
    assert_in_range(window(), 6 * HOUR, 24 * HOUR);
}

static void a_first_start_has_the_whole_window(void **state)
{
    (void)state;
    assert_int_equal(window(), 24 * HOUR);
    order(world_id(w));
    world_settle(w);
    world_kill(w);
    world_open(w);
    assert_int_equal(window(), 24 * HOUR);
}

// Their timers stand at the deadlines, hours behind the ends of their windows.
static void holds_that_ended_early_are_found_when_memory_is_short(void **state)
{
    (void)state;
    world_kill(w);
    w->options.window_ms = w->options.window_min_ms;
    world_open(w);
    uint32_t busy = 0;
    for (uint32_t i = 0; i < 4000; i++) {
        struct core_line line = {cell, 0, 1};
        struct core_request r = {.verb = CORE_RESERVE,
                                 .id = world_id(w),
                                 .lines = &line,
                                 .line_count = 1,
                                 .ttl_ms = 24 * HOUR};
        struct core_answer a = world_do(w, &r);
        busy += a.outcome == CORE_OUT_BUSY;
        struct core_request end = {.verb = CORE_RELEASE, .id = r.id};
        if (a.outcome == CORE_OUT_DONE)
            assert_int_equal(world_do(w, &end).outcome, CORE_OUT_DONE);
        steps(2000);
    }
    assert_int_equal(busy, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_young_engine_narrows_before_it_is_full),
        TEST(a_rush_after_quiet_hours_is_made_room_for),
        TEST(the_least_width_is_kept_and_then_it_is_busy),
        TEST(a_start_goes_on_from_the_floor_and_the_window_grows_back),
        TEST(a_first_start_has_the_whole_window),
        TEST(holds_that_ended_early_are_found_when_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
