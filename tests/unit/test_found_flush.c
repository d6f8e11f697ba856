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

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

static void until(struct flush_world *fw, uint64_t ms)
{
    // A process that slept for hours ends itself.
    fake_clock_advance_ms(&fw->w.clock, ms - core_now(fw->w.core));
    reopen(fw);
}

// The day in its line was of no zone; in the location's new one no moment of the sale is on it, so
// that its date was set and read for ever.
static void a_letter_of_before_its_location_had_a_zone_is_posted(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    until(fw, (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS - 1800 * 1000);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\"}");
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    for (int way = 0; way < 2; way++) {
        fw->places[0].zone = "Asia/Tokyo";
        until(fw, (core_now(fw->w.core) / DAY_MS + 2) * DAY_MS + 3600 * 1000);
        assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
        assert_true(fworld_run(fw));
        fworld_check(fw);
        json_t *rows = read_back(fw, "stock.picking",
                                 "{\"domain\":[[\"state\",\"=\",\"done\"]],"
                                 "\"fields\":[\"date_done\"],\"order\":\"id desc\"}");
        uint64_t ms;
        assert_true(odoo_time_parse(
            json_string_value(json_object_get(json_array_get(rows, 0), "date_done")), &ms));
        json_decref(rows);
        assert_int_equal(ms / 1000, d.since_ms / 1000);
        if (way)
            break;
        fw->places[0].zone = NULL; // and by one call
        fw->options.action_id = 13000000;
        until(fw, (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS - 1800 * 1000);
        fault(fw, "{\"kind\":\"user_error\",\"method\":\"run\",\"product\":\"tea\"}");
        fworld_sell(fw, 0, 2, false);
        assert_true(fworld_run(fw));
        assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    }
}

// Odoo takes the date and keeps its own: a person's. What else was sold goes out all the same.
static void a_batch_on_a_wrong_day_holds_up_its_own_product_only(void **state)
{
    struct flush_world *fw = *state;
    fw->options.batch_lines = 100;
    until(fw, (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS - 20 * 1000);
    fw->odoo.away = true;
    fworld_sell(fw, 0, 1, false);
    pump_for(fw, 80, 500);
    fw->odoo.away = false;
    fault(fw, "{\"kind\":\"wizard\",\"method\":\"write\",\"count\":-1}");
    pump_for(fw, 1000, 500);
    assert_int_equal(metrics(fw).open_batches, 1);
    fworld_sell(fw, 0, 1, false);
    fworld_sell(fw, 2, 2, false);
    fworld_sell(fw, 4, 3, false);
    pump_for(fw, 300, 500);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 1000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "oil", CUSTOMERS), 2000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "rye", CUSTOMERS), 3000000);
    faults_clear(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_VERBOSE") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(a_batch_is_divided_when_its_location_has_left_the_options),
        EACH(a_letter_is_durable_before_its_discard),
        EACH(a_letter_of_before_its_location_had_a_zone_is_posted),
        EACH(a_batch_on_a_wrong_day_holds_up_its_own_product_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
