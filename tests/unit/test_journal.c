// The journal's life: append, write, recover; its options, modes, readers and errors.
#include "unit/journal_world.h"

static void what_was_appended_is_there_after_a_restart(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_int_equal(w.report.epoch, 1);
    assert_int_equal(journal_durable(w.j), 0);
    assert_true(world_push(&w, 5, 0));
    assert_int_equal(journal_appended(w.j), 5);
    assert_int_equal(journal_durable(w.j), 0);
    assert_int_equal(world_step(&w), HF_OK);
    assert_int_equal(journal_durable(w.j), 5);
    assert_int_equal(world_step(&w), HF_AGAIN);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(world_push(&w, 1 + i % 9, 0));
        assert_int_equal(world_drain(&w, 0), HF_OK);
    }
    uint64_t last = journal_durable(w.j);
    assert_int_equal(last, journal_appended(w.j));
    world_reopen(&w);
    assert_int_equal(w.seen, last);
    assert_int_equal(w.report.last_lsn, last);
    assert_int_equal(w.report.first_lsn, 1);
    assert_int_equal(w.report.records, last);
    assert_int_equal(w.report.groups, 21);
    assert_int_equal(w.report.epoch, 2);
    assert_false(w.report.torn_tail);
    assert_int_equal(w.report.why[0], 0);
    assert_int_equal(journal_durable(w.j), last);
    assert_true(world_push(&w, 3, 0));
    assert_int_equal(world_drain(&w, 0), HF_OK);
    world_reopen(&w);
    assert_int_equal(w.seen, last + 3);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_there_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
