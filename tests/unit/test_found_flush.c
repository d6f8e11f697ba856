// Found in the flusher, each by a review of its code: what stopped it, or told less than was true.
#include "flush_tests.h"

static void faults_clear(struct flush_world *fw)
{
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "DELETE", .path = "/sandbox/faults"};
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
}

// For a while, whether or not all is posted then.
static void pump_for(struct flush_world *fw, int steps, uint32_t step_ms)
{
    for (int i = 0; i < steps; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, did ? 1 : step_ms);
    }
}

// Its halves looked for the location's place in the options, and there was none: the process ended,
// at each start again.
static void a_batch_is_divided_when_its_location_has_left_the_options(void **state)
{
    struct flush_world *fw = *state;
    fw->options.batch_lines = 100;
    reopen(fw);
    fault(fw, "{\"kind\":\"close\",\"method\":\"create\",\"count\":-1}");
    for (uint32_t i = 1; i < 9; i += 2)
        fworld_sell(fw, i, 2, false);
    pump_for(fw, 20, 100);
    assert_int_equal(metrics(fw).open_batches, 1);
    fw->options.location_count = 1;
    reopen(fw);
    faults_clear(fw);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"product\":\"oil\","
              "\"count\":-1}");
    assert_true(fworld_run(fw));
    struct flush_dead_letter d[2];
    assert_int_equal(flush_dead_list(fw->f, 0, d, 2), 1);
    assert_int_equal(d[0].handle, fw->cells[3]);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "SHOP/Stock"), (START - 2) * 1000000);
    faults_clear(fw);
    fw->options.location_count = 2;
    reopen(fw);
    assert_int_equal(flush_dead_retry(fw->f, d[0].id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static struct flush_discarding discarding(struct flush_world *fw, uint64_t letter)
{
    return (struct flush_discarding){letter, world_id(&fw->w), "ann", "a test"};
}

// The letter was in memory alone, because the disk was full for the larger file of the two. After a
// crash the discard was of a letter that had never been: damage, and no start.
static void a_letter_is_durable_before_its_discard(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    for (int i = 0; i < 1000 && flush_dead_list(fw->f, 0, &d, 1) == 0; i++)
        pump_for(fw, 1, 100);
    assert_true(fw->f->must_save);
    struct flush_discarding k = discarding(fw, d.id);
    fw->w.disk->faults.capacity_bytes = 1; // full
    assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_BUSY);
    fw->w.disk->faults.capacity_bytes = 0;
    assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_OK);
    fworld_close(fw); // before the state is written again
    fake_storage_kill(fw->w.disk);
    fworld_open(fw);
    assert_true(fworld_run(fw));
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 0);
    assert_int_equal(world_read(&fw->w, fw->cells[0]).on_hand, START - 3);
    assert_int_equal(world_read(&fw->w, fw->cells[0]).committed, 0);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_VERBOSE") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(a_batch_is_divided_when_its_location_has_left_the_options),
        EACH(a_letter_is_durable_before_its_discard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
