// What people do in Odoo while a batch is on its way, and what Odoo does with figures: bugs found,
// by name.
#include "flush_tests.h"

#include "flush/mirror.h"

// A document lies open in Odoo, since validating it fails.
static void left_open(struct flush_world *fw)
{
    fault(fw, "{\"kind\":\"operational\",\"method\":\"button_validate\"}");
    for (int i = 0; i < 200 && sandbox_pickings(fw->sandbox, "assigned") == 0; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, did ? 0 : 100);
    }
    assert_int_equal(sandbox_pickings(fw->sandbox, "assigned"), 1);
}

// And somebody edits its first line.
static void altered_by_hand(struct flush_world *fw)
{
    left_open(fw);
    others_call(fw, "/json/2/stock.move/write", "{\"ids\":[60000000],\"vals\":{\"quantity\":3}}");
}

static void an_altered_document_is_not_booked(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d;
    fworld_sell(fw, 0, 5, false);
    altered_by_hand(fw);
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 0);
    assert_int_equal(sandbox_pickings(fw->sandbox, "cancel"), 1);
    assert_int_equal(metrics(fw).altered, 1);
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    assert_int_equal(d.cause, FLUSH_CAUSE_REFUSED);
    assert_int_equal(d.quantity, 5);
    assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void the_lines_of_an_altered_document_go_out_anew(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 5, false);
    fworld_sell(fw, 2, 7, false);
    altered_by_hand(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_int_equal(sandbox_pickings(fw->sandbox, "cancel"), 1);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 2);
    assert_int_equal(metrics(fw).dead_letters, 0);
}

// A line that is not marked as picked would be left behind.
static void a_line_that_is_not_picked_any_more_is_altered(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 3, false);
    altered_by_hand(fw);
    others_call(fw, "/json/2/stock.move/write", "{\"ids\":[60000000],\"vals\":{\"picked\":false}}");
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).altered, 1);
    assert_int_equal(metrics(fw).dead_letters, 1);
}

// Booked by whoever altered it, it stays so, and is told.
static void an_altered_document_that_is_booked_is_told(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 5, false);
    altered_by_hand(fw);
    while (metrics(fw).calls_failed == 0) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        assert_true(did);
    }
    others_call(fw, "/json/2/stock.picking/button_validate",
                "{\"ids\":[40000000],\"context\":{\"skip_backorder\":true,"
                "\"picking_ids_not_to_backorder\":[40000000]}}");
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 1);
    assert_int_equal(metrics(fw).altered, 1);
    assert_int_equal(metrics(fw).dead_letters, 0);
    assert_int_equal(world_read(&fw->w, fw->cells[0]).committed, 0);
}

// What failed on the way and was left alone goes on, with its lines as they were.
static void an_open_document_that_nobody_altered_is_booked(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 5, false);
    fworld_sell(fw, 10, 1250, false);
    fworld_sell(fw, 10, 1, false);
    fault(fw, "{\"kind\":\"operational\",\"method\":\"button_validate\",\"count\":2}");
    fault(fw, "{\"kind\":\"commit_502\",\"method\":\"button_validate\",\"skip\":2}");
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_int_equal(metrics(fw).altered, 0);
    assert_int_equal(sandbox_pickings(fw->sandbox, "cancel"), 0);
}

// Somebody renames products while a document of theirs lies open: it stays with the products that
// were sold, and what is sold from then on goes to the code's new one.
static void a_code_that_moves_on_takes_no_open_document_along(void **state)
{
    struct flush_world *fw = *state;
    int64_t tea = sandbox_quantity(fw->sandbox, "tea", stock_of(0));
    int64_t rye = sandbox_quantity(fw->sandbox, "rye", stock_of(4));
    fworld_sell(fw, 0, 5, false);
    left_open(fw);
    catalogue(fw, "{\"products\":[{\"default_code\":\"tea\",\"rename\":\"chai\"},"
                  "{\"default_code\":\"rye\",\"rename\":\"tea\"}]}");
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).dead_letters, 0);
    assert_int_equal(metrics(fw).altered, 0);
    assert_int_equal(tea - sandbox_quantity(fw->sandbox, "chai", stock_of(0)), 5000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", stock_of(4)), rye);
    fworld_sell(fw, 0, 2, false);
    fworld_sell(fw, 4, 1, false); // nobody's now
    assert_true(fworld_run(fw));
    struct flush_dead_letter d;
    assert_int_equal(rye - sandbox_quantity(fw->sandbox, "tea", stock_of(4)), 2000000);
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    assert_int_equal(d.cause, FLUSH_CAUSE_NO_PRODUCT);
    assert_int_equal(d.handle, fw->cells[4]);
}

// Odoo has a warehouse's code once per company, not once.
static void a_code_of_two_companies_warehouses_is_not_guessed(void **state)
{
    struct flush_world *fw = *state;
    struct mirror m;
    bool did;
    assert_true(fworld_run(fw));
    catalogue(fw, "{\"warehouses\":[{\"code\":\"SHOP\",\"company_id\":2}]}");
    reopen(fw);
    fworld_sell(fw, 0, 5, false);
    for (int i = 0; i < 100; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_CONFIG);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 0);
    assert_int_equal(mirror_init(&m, fw->w.core, &fw->odoo.base, &fw->options), HF_OK);
    assert_int_equal(mirror_read(&m), HF_INVALID);
    assert_non_null(strstr(m.words, "several companies: warehouse SHOP"));
    mirror_fini(&m);
}

// Odoo has two decimal places unless told otherwise, and rounds what is finer.
static void what_odoo_would_round_is_not_posted(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d[2];
    struct sandbox_options so;
    assert_true(fworld_run(fw));
    fworld_close(fw);
    sandbox_destroy(fw->sandbox);
    sandbox_options_default(&so);
    fw->sandbox = fw->odoo.sandbox = sandbox_create(&so);
    const char *csv = "kg,WH,1\nkg,SHOP,1\n";
    uint32_t line;
    assert_true(sandbox_seed_csv(fw->sandbox, csv, strlen(csv), &line));
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
    fworld_sell(fw, 10, 125, false); // of 0.001
    fworld_sell(fw, 11, 250, false);
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "kg", CUSTOMERS), 250000);
    assert_int_equal(flush_dead_list(fw->f, 0, d, 2), 1);
    assert_int_equal(d[0].quantity, 125);
    assert_int_equal(d[0].cause, FLUSH_CAUSE_REFUSED);
    assert_non_null(strstr(d[0].why, "Decimal Accuracy"));
    assert_int_equal(world_read(&fw->w, fw->cells[10]).committed, 125);
}

int main(void)
{
    hf_log_set_level(HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(an_altered_document_is_not_booked),
        EACH(the_lines_of_an_altered_document_go_out_anew),
        EACH(a_line_that_is_not_picked_any_more_is_altered),
        EACH(an_altered_document_that_is_booked_is_told),
        EACH(an_open_document_that_nobody_altered_is_booked),
        EACH(a_code_that_moves_on_takes_no_open_document_along),
        EACH(a_code_of_two_companies_warehouses_is_not_guessed),
        EACH(what_odoo_would_round_is_not_posted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
