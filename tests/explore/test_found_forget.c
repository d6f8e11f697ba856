// Found by a review: the timers looked at an outcome's time, and forgot it later without another
// look. A cancel in between renews the outcome; forgotten all the same, the reservation came back
// from the journal as it was before that cancel, and a second cancel gave the same units back once
// more. Here the first cancel comes at each point of a timers' step at which a thread can be
// interrupted.
#include "base/atomics.h"
#include "unit/core_world.h"

#define SOLD 10

static uint64_t points, interrupt_at; // 0: never
static struct world *w;
static struct core_worker *other; // the storefront's
static struct hf_uuid sold;
static uint32_t cell;
static enum core_outcome first;

static enum core_outcome cancel(void)
{
    struct core_line line = {cell, 0, SOLD};
    struct core_request r = {.verb = CORE_CANCEL,
                             .id = sold,
                             .op_id = world_id(w),
                             .lines = &line,
                             .line_count = 1};
    struct core_answer a;
    core_execute(other, core_now(w->core), &r, &a, 1);
    return a.outcome;
}

void hf_yield_hook(void)
{
    if (interrupt_at && ++points == interrupt_at) {
        interrupt_at = 0;
        first = cancel();
    }
}

static void sell(void)
{
    cell = world_cell(w, "a", 100);
    sold = world_id(w);
    struct core_line line = {cell, 0, SOLD};
    struct core_request r = {.verb = CORE_ORDER, .id = sold, .lines = &line, .line_count = 1};
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
}

static void start(void)
{
    w = malloc(sizeof *w);
    assert_non_null(w);
    world_init(w);
    w->options.archive = false;
    world_open(w);
    other = core_worker_create(w->core);
    assert_non_null(other);
    sell();
}

static void end(void)
{
    core_worker_destroy(other);
    world_settle(w);
    world_kill(w);
    world_open(w); // what was journaled replays
    world_fini(w);
    free(w);
}

// How long after its sale the order is forgotten when nobody comes in between.
static uint64_t forgotten_after(void)
{
    struct core_view v;
    start();
    const uint64_t from = core_now(w->core);
    while (core_get(w->worker, core_now(w->core), sold, &v, NULL, 0) == HF_OK)
        world_pass(w, 1);
    const uint64_t after = core_now(w->core) - from;
    end();
    return after;
}

// False: the step that forgets has fewer points.
static bool interrupted_at(uint64_t point, uint64_t after)
{
    start();
    const uint64_t from = core_now(w->core);
    while (core_now(w->core) < from + after - 1)
        world_pass(w, 1);
    fake_clock_advance_ms(&w->clock, 1);
    points = 0;
    interrupt_at = point;
    (void)core_step_timers(w->core, core_now(w->core), 64);
    const bool there = interrupt_at == 0;
    interrupt_at = 0;
    if (there) {
        enum core_outcome second = cancel();
        if (second == CORE_OUT_NEEDS_RECALL &&
            core_recall(w->worker, core_now(w->core), sold) == HF_OK)
            second = cancel();
        const struct core_cell c = world_read(w, cell);
        if (first == CORE_OUT_DONE && second == CORE_OUT_DONE)
            fail_msg("point %llu: cancelled twice, %lld available of 100",
                     (unsigned long long)point, (long long)c.available);
        assert_in_range(c.available, 100 - SOLD, 100);
    }
    end();
    return there;
}

static void an_outcome_renewed_in_the_step_that_forgets_it_stays(void **state)
{
    (void)state;
    const uint64_t after = forgotten_after();
    uint64_t point = 1;
    while (interrupted_at(point, after))
        point++;
    assert_true(point > 20); // it did forget
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_outcome_renewed_in_the_step_that_forgets_it_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
