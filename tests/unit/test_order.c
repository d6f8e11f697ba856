// What comes first. P1 rests on two orders: stock that is taken is gone from its cell before its
// record has a place in the journal; stock that is returned is there only after. P3 rests on a
// third: an id is forgotten, and told as too old, only when the floor is durable.
//
// journal_push is where a record gets its place. The linker (--wrap) lets this program look at the
// cell in that moment.
#include "unit/core_world.h"

struct journal_producer;
uint64_t __real_journal_push(struct journal_producer *p, uint32_t *count);
uint64_t __wrap_journal_push(struct journal_producer *p, uint32_t *count);

static struct core *watched;
static uint32_t cells[2];
static int64_t at_push[2]; // the most that the cells had available when a record got its place
static uint32_t pushes;

uint64_t __wrap_journal_push(struct journal_producer *p, uint32_t *count)
{
    for (int i = 0; watched && i < 2; i++) {
        struct core_cell c;
        assert_int_equal(core_cell_read(watched, cells[i], &c), HF_OK);
        at_push[i] = c.available > at_push[i] ? c.available : at_push[i];
    }
    pushes++;
    return __real_journal_push(p, count);
}

static void watch_anew(void)
{
    at_push[0] = at_push[1] = INT64_MIN;
}

static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    watched = NULL;
    world_init(w);
    world_open(w);
    cells[0] = world_cell(w, "apple", 100);
    cells[1] = world_cell(w, "pear", 100);
    watched = w->core;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    watched = NULL;
    world_fini(*state);
    free(*state);
    return 0;
}

// 10 apples, and 10 pears if it is wide.
static struct hf_uuid take(struct world *w, enum core_verb verb, bool wide, uint32_t ttl_ms)
{
    struct core_line lines[2] = {{cells[0], 0, 10}, {cells[1], 0, 10}};
    struct core_request r = {.verb = verb,
                             .id = world_id(w),
                             .lines = lines,
                             .line_count = wide ? 2 : 1,
                             .ttl_ms = ttl_ms};
    watch_anew();
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    return r.id;
}

static void change(struct world *w, enum core_verb verb, struct hf_uuid id, int64_t quantity,
                   uint32_t flags)
{
    struct core_line line = {cells[0], 0, quantity};
    bool operation =
        verb == CORE_CANCEL || verb == CORE_RETURN || (verb == CORE_RELEASE && quantity);
    struct core_request r = {.verb = verb, .id = id, .flags = flags};
    if (operation)
        r.op_id = world_id(w);
    if (quantity) {
        r.lines = &line;
        r.line_count = 1;
    }
    watch_anew();
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
}

static void expect(int64_t apples_at_push, int64_t apples_now)
{
    struct core_cell c;
    assert_int_equal(core_cell_read(watched, cells[0], &c), HF_OK);
    assert_int_equal(at_push[0], apples_at_push);
    assert_int_equal(c.available, apples_now);
}

static void p1_what_is_taken_is_gone_before_its_record(void **state)
{
    struct world *w = *state;
    take(w, CORE_RESERVE, false, 60000);
    expect(90, 90);
    take(w, CORE_ORDER, false, 0);
    expect(80, 80);
    take(w, CORE_RECORD, false, 0);
    expect(70, 70);
    take(w, CORE_ORDER, true, 0);
    expect(60, 60);
    assert_int_equal(at_push[1], 90);
    struct hf_uuid id = take(w, CORE_RESERVE, false, 5);
    watch_anew();
    world_pass(w, 10);
    expect(50, 60);
    change(w, CORE_COMMIT, id, 0, CORE_RETAKE);
    expect(50, 50);
}

static void p1_what_is_returned_is_there_only_after_its_record(void **state)
{
    struct world *w = *state;
    struct hf_uuid id = take(w, CORE_RESERVE, false, 60000);
    change(w, CORE_RELEASE, id, 4, 0);
    expect(90, 94);
    change(w, CORE_RELEASE, id, 0, 0);
    expect(94, 100);
    id = take(w, CORE_RESERVE, false, 60000);
    change(w, CORE_COMMIT, id, 7, 0); // the rest comes back
    expect(90, 93);
    change(w, CORE_CANCEL, id, 2, 0);
    expect(93, 95);
    change(w, CORE_RETURN, id, 5, 0);
    expect(95, 100);
}

static void p1_a_hold_that_expires_returns_after_its_record(void **state)
{
    struct world *w = *state;
    take(w, CORE_RESERVE, true, 5);
    fake_clock_advance_ms(&w->clock, 10);
    watch_anew();
    uint32_t before = pushes;
    while (core_step_timers(w->core, core_now(w->core), 1) == HF_OK && pushes == before)
        ;
    expect(90, 100);
    assert_int_equal(at_push[1], 90);
}

static void p1_corrections_keep_the_same_order(void **state)
{
    struct world *w = *state;
    struct core_admin_answer a;
    struct core_change up = {.op_id = world_id(w), .handle = cells[0], .value = 130};
    watch_anew();
    core_change(w->worker, core_now(w->core), &up, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    expect(100, 130);
    struct core_change down = {.op_id = world_id(w), .handle = cells[0], .value = 40};
    watch_anew();
    core_change(w->worker, core_now(w->core), &down, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    expect(40, 40);
}

static struct core_answer order(struct world *w, struct hf_uuid id)
{
    struct core_line line = {cells[0], 0, 1};
    struct core_request r = {.verb = CORE_ORDER, .id = id, .lines = &line, .line_count = 1};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    return a;
}

// No group is written here but where it says so: the floor has moved, and is not durable.
static void p3_an_id_is_forgotten_only_when_the_floor_is_durable(void **state)
{
    struct world *w = *state;
    struct hf_uuid known = world_id(w), unknown = world_id(w);
    assert_int_equal(order(w, known).outcome, CORE_OUT_DONE);
    world_settle(w);
    fake_clock_advance_ms(&w->clock, 3 * (w->options.window_ms + w->options.skew_ms));
    uint32_t before = pushes;
    for (int i = 0; i < 100; i++)
        assert_true(core_step_timers(w->core, core_now(w->core), 1000) <= HF_AGAIN);
    assert_true(pushes > before); // the floor's record
    struct core_answer a = order(w, known);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    assert_int_equal(order(w, unknown).outcome, CORE_OUT_BUSY);
    world_kill(w); // and the floor is where it was
    world_open(w);
    watched = w->core;
    a = order(w, known);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    fake_clock_advance_ms(&w->clock, w->options.window_ms);
    for (int i = 0; i < 100; i++) {
        world_pass(w, 10);
        world_settle(w);
    }
    assert_int_equal(order(w, known).outcome, CORE_OUT_ID_TOO_OLD);
    assert_int_equal(order(w, unknown).outcome, CORE_OUT_ID_TOO_OLD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(p1_what_is_taken_is_gone_before_its_record),
        TEST(p1_what_is_returned_is_there_only_after_its_record),
        TEST(p1_a_hold_that_expires_returns_after_its_record),
        TEST(p1_corrections_keep_the_same_order),
        TEST(p3_an_id_is_forgotten_only_when_the_floor_is_durable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
