// core_follow: segments stay for a reader outside the engine, but not for ever.
#include "unit/core_world.h"

static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_init(w);
    w->options.archive = false;
    w->options.checkpoint_bytes = 64 << 10;
    w->options.journal.segments_max = 32; // the bound: 8 segments
    world_open(w);
    *state = w;
    return 0;
}

static int set_up_outbox(void **state)
{
    if (set_up(state) != 0)
        return -1;
    struct world *w = *state;
    world_close(w);
    fake_storage_kill(w->disk);
    w->options.outbox = true;
    world_open(w);
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

static void checkpoint_all(struct world *w)
{
    for (int i = 0; i < 10000; i++) {
        enum hf_status s = core_step_checkpoint(w->core, core_now(w->core), 1000);
        if (s == HF_AGAIN)
            return;
        assert_int_equal(s, HF_OK);
    }
}

// Closes about `segments` more, checkpoints them, recycles what may go.
static void write_segments(struct world *w, uint32_t cell, unsigned segments)
{
    struct core_line line = {cell, 0, 1};
    for (uint32_t i = 0; i < segments * 5000; i++) {
        struct core_request r = {
            .verb = CORE_ORDER, .id = world_id(w), .lines = &line, .line_count = 1};
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 200 == 199)
            world_settle(w);
        if (i % 2000 == 1999) {
            checkpoint_all(w);
            world_pass(w, 20000); // ids leave the window
        }
    }
    world_settle(w);
}

static enum hf_status count(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    (void)time_ms, (void)r;
    *(uint64_t *)ctx = lsn;
    return HF_OK;
}

static enum hf_status read_on(struct journal_reader *r, uint64_t *lsn)
{
    enum hf_status s;
    while ((s = journal_reader_step(r, 100, count, lsn)) == HF_OK)
        ;
    return s;
}

static void segments_stay_for_a_follower(void **state)
{
    struct world *w = *state;
    uint32_t cell = world_cell(w, "a", 1000000);
    struct core_metrics m;
    struct journal_reader *reader;
    uint64_t lsn = core_durable(w->core);
    assert_int_equal(journal_reader_create(core_journal(w->core), lsn, &reader), HF_OK);
    core_follow(w->core, lsn);
    write_segments(w, cell, 5);
    core_metrics(w->core, &m);
    assert_int_equal(m.follow_lsn, lsn);
    assert_int_equal(m.follow_lost, 0);
    assert_int_equal(read_on(reader, &lsn), HF_AGAIN);
    assert_int_equal(lsn, core_durable(w->core));
    core_follow(w->core, lsn);
    struct journal_segment oldest;
    assert_int_equal(journal_closed_segments(core_journal(w->core), &oldest, 1), 1);
    write_segments(w, cell, 5); // what it has read is recycled
    struct journal_segment now;
    assert_int_equal(journal_closed_segments(core_journal(w->core), &now, 1), 1);
    assert_true(now.first_lsn > oldest.first_lsn);
    assert_int_equal(read_on(reader, &lsn), HF_AGAIN);
    journal_reader_destroy(reader);
}

static void a_follower_that_stands_still_is_let_go(void **state)
{
    struct world *w = *state;
    uint32_t cell = world_cell(w, "a", 10000000);
    struct core_metrics m;
    struct journal_reader *reader;
    uint64_t lsn = core_durable(w->core);
    assert_int_equal(journal_reader_create(core_journal(w->core), lsn, &reader), HF_OK);
    core_follow(w->core, lsn);
    write_segments(w, cell, 40); // more than all segments hold: each answer was DONE
    core_metrics(w->core, &m);
    assert_int_equal(m.follow_lost, 1);
    assert_int_equal(m.follow_lsn, UINT64_MAX);
    assert_int_equal(read_on(reader, &lsn), HF_NOT_FOUND);
    journal_reader_destroy(reader);
}

// Nobody has taken anything yet, not even at the start: an outbox is not to be outrun.
static void segments_stay_until_an_outbox_has_taken_them(void **state)
{
    struct world *w = *state;
    uint32_t cell = world_cell(w, "a", 10000000);
    struct journal_reader *reader;
    struct journal_segment oldest;
    uint64_t lsn = 0;
    write_segments(w, cell, 12); // a follower would have been let go
    assert_int_equal(journal_reader_create(core_journal(w->core), 0, &reader), HF_OK);
    assert_int_equal(read_on(reader, &lsn), HF_AGAIN);
    assert_int_equal(lsn, core_durable(w->core));
    journal_reader_destroy(reader);
    core_outbox_taken(w->core, lsn);
    core_outbox_taken(w->core, 1); // never falls
    write_segments(w, cell, 2);
    assert_int_equal(journal_closed_segments(core_journal(w->core), &oldest, 1), 1);
    assert_true(oldest.first_lsn > 1);
    assert_int_equal(journal_reader_create(core_journal(w->core), 0, &reader), HF_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments_stay_for_a_follower, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_follower_that_stands_still_is_let_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_stay_until_an_outbox_has_taken_them,
                                        set_up_outbox, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
