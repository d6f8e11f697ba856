// Files of the archive that must not be passed over. Found in a review.
#include "unit/core_world.h"

#define HOUR UINT64_C(3600000)

static struct world world, *w = &world;
static uint32_t cell;

static int setup(void **state)
{
    (void)state;
    world_init(w);
    w->options.checkpoint_ms = 1;
    w->options.journal.segment_bytes = 64 << 10;
    w->options.journal.group_bytes_max = 16 << 10;
    w->options.journal.buffer_bytes = 8 << 10;
    w->options.journal.space_margin_blocks = 2;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_fini(w);
    return 0;
}

static void order(struct hf_uuid id)
{
    struct core_line line = {cell, 0, 1};
    struct core_request r = {.verb = CORE_ORDER, .id = id, .lines = &line, .line_count = 1};
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
}

static enum hf_status count(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    (void)lsn, (void)time_ms, (void)r;
    ++*(int *)ctx;
    return HF_OK;
}

static int found(struct hf_uuid id)
{
    int n = 0;
    assert_int_equal(archive_find_id(core_archive(w->core), id, count, &n), HF_OK);
    return n;
}

// Closes the segment and archives it.
static void archive(uint64_t lsn)
{
    for (int i = 0; i < 1000 && archive_lsn(core_archive(w->core)) < lsn; i++) {
        order(world_id(w));
        (void)core_step_segments(w->core);
        (void)core_step_writer(w->core, false);
        (void)core_step_archive(w->core, core_now(w->core));
    }
    assert_true(archive_lsn(core_archive(w->core)) >= lsn);
}

static void an_id_that_a_wider_skew_admitted_is_found(void **state)
{
    (void)state;
    w->options.skew_ms = HOUR;
    world_open(w);
    cell = world_cell(w, "a", 1000000);
    struct hf_uuid ahead = hf_uuid_v7(core_now(w->core) + HOUR - 1000, 1, 2);
    order(ahead);
    world_settle(w);
    archive(core_durable(w->core));
    assert_int_equal(found(ahead), 1);
    world_kill(w);
    w->options.skew_ms = 1000;
    world_open(w);
    assert_int_equal(found(ahead), 1);
}

// The writer reads the time, is held up, and takes what was decided meanwhile.
static void a_record_later_than_its_group_is_found(void **state)
{
    (void)state;
    w->options.skew_ms = 24 * HOUR;
    world_open(w);
    cell = world_cell(w, "a", 1000000);
    uint64_t read = core_now(w->core);
    world_settle(w);
    fake_clock_advance_ms(&w->clock, 20000);
    struct hf_uuid ahead = hf_uuid_v7(core_now(w->core) + 24 * HOUR, 1, 2);
    order(ahead);
    // It closes its segment.
    struct journal *j = core_journal(w->core);
    uint64_t lsn = journal_appended(j);
    for (int i = 0; i < 1000 && archive_lsn(core_archive(w->core)) < lsn; i++) {
        order(world_id(w));
        (void)core_step_segments(w->core);
        (void)journal_writer_step(j, read, false);
        (void)core_step_archive(w->core, core_now(w->core));
    }
    assert_int_equal(found(ahead), 1);
}

static void a_skew_of_more_than_a_day_is_refused(void **state)
{
    (void)state;
    w->options.skew_ms = 24 * HOUR + 1;
    assert_int_equal(world_try_open(w), HF_INVALID);
    assert_string_equal(w->report.why, "skew_ms must be at most a day");
    w->core = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(an_id_that_a_wider_skew_admitted_is_found),
        TEST(a_record_later_than_its_group_is_found),
        TEST(a_skew_of_more_than_a_day_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
