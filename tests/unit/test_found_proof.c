// What kills, faults and sweeps found, each pinned by a test.
#include "unit/core_world.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_full_disk_is_shared_with_the_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
