// Found in the flusher, each by a review of its code: what stopped it, or told less than was true.
#include "flush_tests.h"

#include "flush/odoo_internal.h"

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

// The record's id was too old after weeks, and the disk too full to note another: that was used all
// the same, and after a crash a third, so that what was discarded once was booked twice.
static void a_discard_s_new_id_is_durable_before_it_is_used(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    fworld_sell(fw, 0, 4, false);
    assert_true(fworld_run(fw));
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    struct flush_discarding k = discarding(fw, d.id);
    assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_OK);
    fworld_close(fw); // before anything is appended
    fake_storage_kill(fw->w.disk);
    fake_clock_advance_ms(&fw->w.clock, 29 * DAY_MS);
    fworld_open(fw);
    for (int i = 0; i < 4; i++)
        world_pass(&fw->w, 20000); // the floor moves
    for (int i = 0; i < 100 && fw->f->must_save; i++)
        pump_for(fw, 1, 0);
    fw->w.disk->faults.capacity_bytes = fake_storage_used_bytes(fw->w.disk);
    uint64_t refused = fw->w.disk->counts.no_space;
    pump_for(fw, 20, 100);
    assert_true(fw->w.disk->counts.no_space > refused);
    fw->w.disk->faults.capacity_bytes = 0;
    fworld_restart(fw); // power is lost
    assert_true(fworld_run(fw));
    assert_int_equal(world_read(&fw->w, fw->cells[0]).on_hand, START - 7);
    assert_int_equal(world_read(&fw->w, fw->cells[0]).committed, 0);
}

// More than there is room for at first.
static void many_discards_are_kept(void **state)
{
    struct flush_world *fw = *state;
    struct flush_discarded list[64];
    struct flush_dead_letter d;
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"count\":-1}");
    for (int64_t i = 1; i <= 40; i++) {
        fworld_sell(fw, 0, i, false);
        assert_true(fworld_run(fw));
        assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
        struct flush_discarding k = discarding(fw, d.id);
        assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_OK);
        assert_true(fworld_run(fw));
    }
    for (int starts = 0; starts < 2; starts++) {
        assert_int_equal(flush_discard_list(fw->f, 0, list, 64), 40);
        for (int64_t i = 0; i < 40; i++) {
            assert_int_equal(list[i].letter.quantity, i + 1);
            assert_true(list[i].booked);
        }
        reopen(fw);
        assert_true(fworld_run(fw));
    }
    assert_int_equal(world_read(&fw->w, fw->cells[0]).on_hand, START - 820);
}

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

#define MANY 4200 // more than there may be batches

// Booked whether or not there is any: each of a product of its own.
static void many_sell(struct flush_world *fw, uint32_t first)
{
    for (uint32_t i = 0; i < MANY; i++) {
        struct core_line line = {first + i, 0, 1};
        struct core_request r = {
            .verb = CORE_RECORD, .id = world_id(&fw->w), .lines = &line, .line_count = 1};
        assert_int_equal(fworld_do(fw, &r).outcome, CORE_OUT_DONE);
        if (i % 100 == 0)
            world_settle(&fw->w);
    }
    world_settle(&fw->w);
}

static uint32_t many_make(struct flush_world *fw)
{
    struct core_admin_answer a = {0};
    for (uint32_t i = 0; i < MANY; i++) {
        char sku[16];
        int n = snprintf(sku, sizeof sku, "p%04u", i);
        core_cell_make(fw->w.worker, core_now(fw->w.core), sku, (uint32_t)n, "Store", 5, 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 100 == 0)
            world_settle(&fw->w);
    }
    world_settle(&fw->w);
    return a.handle - MANY + 1;
}

static void many_known(struct flush_world *fw)
{
    const size_t room = MANY * 16 + 1;
    char *csv = malloc(room);
    size_t bytes = 0;
    uint32_t line;
    for (uint32_t i = 0; i < MANY; i++)
        bytes += (size_t)snprintf(csv + bytes, room - bytes, "p%04u,WH,10\n", i);
    assert_true(sandbox_seed_csv(fw->sandbox, csv, bytes, &line));
    free(csv);
}

static void until_all_is_taken(struct flush_world *fw)
{
    for (int i = 0; i < 60000; i++) {
        struct flush_metrics m = metrics(fw);
        if (m.taken_lsn == core_durable(fw->w.core) && m.window_movements == 0)
            return;
        pump_for(fw, 1, 100);
    }
    fail_msg("the window never closes: %llu batches open",
             (unsigned long long)metrics(fw).open_batches);
}

// More batches than may be open at once: it waited for room that there could never be, for good and
// without a word.
static void a_window_of_more_batches_than_there_may_be_is_closed_in_parts(void **state)
{
    struct flush_world *fw = *state;
    fw->w.options.cells_max = CELLS + MANY;
    fw->w.options.journal.segments_max = 512; // nobody makes checkpoints
    fw->options.window_lines = 16384;
    fw->options.dead_max = 5000;
    fw->options.batch_lines = 1;
    fw->options.action_id = 13000000;
    reopen(fw);
    uint32_t first = many_make(fw);
    many_sell(fw, first);
    until_all_is_taken(fw);
    assert_int_equal(metrics(fw).dead_letters, MANY); // no such products
    many_known(fw);
    for (uint32_t i = 0; i < fw->f->dead_count; i++) // all of them, at once
        fw->f->dead[i].retry = 1;
    pump_for(fw, 100, 100);
    assert_int_equal(metrics(fw).dead_letters, MANY - FLUSH_WINDOW_BATCHES);
}

static void a_window_of_more_lines_than_there_may_be_batches_is_closed_in_parts(void **state)
{
    struct flush_world *fw = *state;
    fw->w.options.cells_max = CELLS + MANY;
    fw->w.options.journal.segments_max = 512; // nobody makes checkpoints
    fw->options.window_lines = 16384;
    fw->options.batch_lines = 1;
    fw->options.action_id = 13000000;
    fw->options.window_ms = 60000;
    reopen(fw);
    many_known(fw);
    many_sell(fw, many_make(fw));
    until_all_is_taken(fw);
    assert_int_equal(metrics(fw).open_batches + metrics(fw).lines_posted, MANY);
}

// Each window added a batch to what waited for it, until there was room for no other: all posting
// ended, because of one product.
static void what_waits_for_a_failing_product_stays_one_batch(void **state)
{
    struct flush_world *fw = *state;
    fw->options.batch_lines = 100;
    fw->options.retry_max_ms = 2000;
    reopen(fw);
    fault(fw, "{\"kind\":\"operational\",\"product\":\"tea\",\"count\":-1}");
    fault(fw, "{\"kind\":\"operational\",\"product\":\"nut\",\"count\":-1}");
    int64_t oil = 0;
    uint32_t mine[4] = {0}; // sales of tea that can be taken back
    for (uint32_t round = 0; round < 120; round++) {
        fworld_sell(fw, 0, 3, false);
        mine[round % 4] = (fw->sold_count - 1) % 64;
        fworld_sell(fw, 2, 1, false);
        oil++;
        if (round % 3 == 0)
            fworld_sell(fw, 8, 2, false);
        pump_for(fw, 30, 100);
        if (round % 4 == 3) // more comes back than goes
            for (int i = 0; i < 3; i++)
                fworld_take_back(fw, &fw->sold[mine[i]], CORE_CANCEL, 0, 3);
        if (round == 60)
            reopen(fw);
    }
    pump_for(fw, 300, 100);
    assert_true(metrics(fw).open_batches <= 8);
    assert_int_equal(metrics(fw).dead_letters, 0);
    assert_int_equal(sandbox_quantity(fw->sandbox, "oil", CUSTOMERS), oil * 1000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 0);
    faults_clear(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// A letter between the two that would be netted: the records behind it are told by its span.
static void nothing_is_netted_across_a_letter(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    fault(fw, "{\"kind\":\"operational\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(fw, 0, 1, false);
    pump_for(fw, 60, 100);
    fworld_sell(fw, 0, 2, false); // waits
    pump_for(fw, 60, 100);
    assert_int_equal(metrics(fw).open_batches, 2);
    catalogue(fw, "{\"products\":[{\"default_code\":\"tea\",\"tracking\":\"lot\"}]}");
    fworld_sell(fw, 0, 3, false); // a letter
    pump_for(fw, 60, 100);
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    catalogue(fw, "{\"products\":[{\"default_code\":\"tea\",\"tracking\":\"none\"}]}");
    fworld_sell(fw, 0, 4, false);
    pump_for(fw, 60, 100);
    assert_int_equal(metrics(fw).open_batches, 3);
    fworld_sell(fw, 0, 5, false); // there is nothing between these two
    pump_for(fw, 60, 100);
    assert_int_equal(metrics(fw).open_batches, 3);
    const struct flush_batch *b = fw->f->batches;
    assert_int_equal(b[1].lines->quantity, 2);
    assert_int_equal(b[2].lines->quantity, 9);
    assert_true(b[1].lines->last_lsn < d.first_lsn && b[2].lines->first_lsn > d.last_lsn);
    assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
    pump_for(fw, 60, 100); // a line of its own stays one
    assert_int_equal(metrics(fw).open_batches, 4);
    fworld_sell(fw, 0, 6, false);
    pump_for(fw, 60, 100);
    assert_int_equal(metrics(fw).open_batches, 4);
    faults_clear(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// It may pass; when it does not for hours, somebody shall see it, and be able to end it.
static void a_line_that_keeps_failing_for_hours_is_a_dead_letter(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    fw->options.attempts_max = 2;
    fw->options.retry_max_ms = 2000;
    reopen(fw);
    fault(fw, "{\"kind\":\"http_500\",\"method\":\"button_validate\",\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    pump_for(fw, 300, 500);
    assert_int_equal(metrics(fw).dead_letters, 0);
    for (int i = 0; i < 100 && metrics(fw).dead_letters == 0; i++)
        pump_for(fw, 100, 500);
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    assert_int_equal(d.cause, FLUSH_CAUSE_REFUSED);
    assert_non_null(strstr(d.why, "500"));
    assert_int_equal(metrics(fw).open_batches, 0);
    letter_retried(fw, d.id);
}

// Errors of other names held all posting, for good: the first in the row was tried again each time.
static void what_odoo_does_not_know_of_one_product_holds_up_no_other(void **state)
{
    static const char *const kinds[] = {"value_error", "missing"};
    struct flush_world *fw = *state;
    fw->options.batch_lines = 100;
    for (uint32_t way = 0; way < 4; way++) {
        char text[96];
        struct flush_dead_letter d;
        fw->options.action_id = way % 2 ? 13000000 : 0;
        reopen(fw);
        for (int on = 0; on < 2; on++) {
            snprintf(text, sizeof text,
                     "{\"kind\":\"%s\",\"method\":\"%s\",\"product\":\"rye\",\"count\":-1}",
                     kinds[way / 2], on ? "create" : "run");
            fault(fw, text);
        }
        for (uint32_t i = 0; i < CELLS; i += 2)
            fworld_sell(fw, i, 1 + i, false);
        assert_true(fworld_run(fw));
        assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
        assert_int_equal(d.handle, fw->cells[4]);
        assert_int_equal(d.cause, FLUSH_CAUSE_REFUSED);
        assert_non_null(strstr(d.why, way / 2 ? "MissingError" : "ValueError"));
        letter_retried(fw, d.id);
    }
}

// An Odoo that was upgraded, say: nothing of it is buried but the first few.
static void what_odoo_knows_of_no_batch_holds_posting(void **state)
{
    static const char *const methods[] = {"create", "button_validate"};
    struct flush_world *fw = *state;
    fw->options.batch_lines = 1;
    reopen(fw);
    for (int i = 0; i < 2; i++) {
        char text[96];
        struct flush_dead_letter d[4];
        snprintf(text, sizeof text, "{\"kind\":\"value_error\",\"method\":\"%s\",\"count\":-1}",
                 methods[i]);
        fault(fw, text);
        for (int round = 0; round < 10; round++) {
            fworld_sell(fw, (uint32_t)round, 1, false);
            pump_for(fw, 300, 500);
        }
        assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_SCHEMA);
        assert_true(metrics(fw).dead_letters <=
                    (i ? 3 : 0)); // a name that cannot be burned is kept
        faults_clear(fw);
        assert_true(fworld_run(fw)); // what was given up is ended
        uint32_t dead = flush_dead_list(fw->f, 0, d, 4);
        assert_true(dead > 0 && dead <= 3);
        for (uint32_t k = 0; k < dead; k++)
            assert_int_equal(flush_dead_retry(fw->f, d[k].id, core_now(fw->w.core)), HF_OK);
        assert_true(fworld_run(fw));
        assert_int_equal(metrics(fw).dead_letters, 0);
        fworld_check(fw);
    }
}

static void errors_are_told_apart_by_their_names(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *name;
        enum odoo_class class;
    } rows[] = {{422, "odoo.exceptions.UserError", ODOO_REFUSED},
                {422, "odoo.exceptions.RedirectWarning", ODOO_REFUSED},
                {0, "odoo.exceptions.RedirectWarning", ODOO_REFUSED},
                {422, "odoo.addons.module.exceptions.Nothing", ODOO_REFUSED},
                {422, "werkzeug.exceptions.UnprocessableEntity", ODOO_SCHEMA},
                {404, "werkzeug.exceptions.NotFound", ODOO_SCHEMA},
                {404, "odoo.exceptions.MissingError", ODOO_MISSING},
                {500, "builtins.ValueError", ODOO_SCHEMA},
                {500, "builtins.ZeroDivisionError", ODOO_RETRY},
                {403, "odoo.exceptions.AccessError", ODOO_RIGHTS},
                {401, "werkzeug.exceptions.Unauthorized", ODOO_KEY}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(odoo_class_of(rows[i].status, rows[i].name), rows[i].class);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_VERBOSE") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(a_batch_is_divided_when_its_location_has_left_the_options),
        EACH(a_letter_is_durable_before_its_discard),
        EACH(a_discard_s_new_id_is_durable_before_it_is_used),
        EACH(many_discards_are_kept),
        EACH(a_letter_of_before_its_location_had_a_zone_is_posted),
        EACH(a_batch_on_a_wrong_day_holds_up_its_own_product_only),
        EACH(a_window_of_more_batches_than_there_may_be_is_closed_in_parts),
        EACH(a_window_of_more_lines_than_there_may_be_batches_is_closed_in_parts),
        EACH(what_waits_for_a_failing_product_stays_one_batch),
        EACH(nothing_is_netted_across_a_letter),
        EACH(a_line_that_keeps_failing_for_hours_is_a_dead_letter),
        EACH(what_odoo_does_not_know_of_one_product_holds_up_no_other),
        EACH(what_odoo_knows_of_no_batch_holds_posting),
        cmocka_unit_test(errors_are_told_apart_by_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
