// Both sides held against each other.
#include "inbound_world.h"

#include "flush/observe.h"
#include "flush/reconcile.h"

static enum hf_status poll_between(void *ctx)
{
    return poll(ctx) ? HF_OK : HF_IO;
}

static struct reconcile_report reconcile_with(struct inbound_world *t,
                                              enum hf_status (*between)(void *ctx))
{
    struct reconcile_report r;
    const struct reconcile_options o = {.core = t->fw.w.core,
                                        .mirror = &t->mirror,
                                        .desk = &t->desk.base,
                                        .passes = 3,
                                        .between = between,
                                        .ctx = t};
    world_settle(&t->fw.w);
    assert_int_equal(reconcile_run(&o, &r), HF_OK);
    assert_int_equal(r.count, CELLS);
    return r;
}

static struct reconcile_report reconcile(struct inbound_world *t)
{
    return reconcile_with(t, NULL);
}

// What Odoo shows of a move that nobody has read yet moves ours in between, and is no difference:
// else a person would set it right, and the move would come on top.
static void a_move_that_was_not_read_yet_is_no_difference(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(9);
    assert_true(poll(t));
    move(t, "fig", "WH/Stock", CUSTOMERS, 11, true);
    struct reconcile_report r = reconcile_with(t, poll_between);
    assert_int_equal(r.rows[6].cause, RECONCILE_AGREES);
    assert_int_equal(r.differing + r.moving, 0);
    assert_int_equal(cell(t, 6).on_hand, START - 11);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

// Found: they were rounded to the nearest unit, which was sold and not there, and told of nowhere.
static void fractions_are_told_and_never_for_sale(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(21);
    struct inbound_metrics m;
    assert_true(poll(t));
    move(t, "tea", "WH/Stock", CUSTOMERS, 0.4, true);
    assert_true(poll(t));
    assert_true(poll(t)); // the same line again
    assert_int_equal(cell(t, 0).on_hand, START - 1);
    inbound_metrics(t->in, &m);
    assert_int_equal(m.fractions, 1);
    move(t, "oil", "WH/Stock", CUSTOMERS, 0.4, false); // open: together one unit less for sale
    move(t, "oil", "WH/Stock", CUSTOMERS, 0.5, false);
    move(t, "kg", VENDORS, "WH/Stock", 1.234, true); // of three decimal places: whole
    assert_true(poll(t));
    assert_int_equal(cell(t, 2).external, 1);
    assert_int_equal(cell(t, 10).on_hand, START + 1234);
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.rows[0].cause, RECONCILE_FRACTION);
    assert_int_equal(r.rows[0].odoo, START - 1);
    assert_int_equal(r.rows[0].odoo_millionths, 600000);
    assert_int_equal(r.rows[10].cause, RECONCILE_AGREES);
    assert_int_equal(r.differing, 0);
    assert_int_equal(r.odd, 1);
    reconcile_report_free(&r);
    // Two parts in two places below the location are one unit, and no fraction.
    catalogue(&t->fw, "{\"locations\":[{\"complete_name\":\"WH/Stock/Shelf\",\"company_id\":1}],"
                      "\"stock\":[{\"product\":\"tea\",\"location\":\"WH/Stock/Shelf\","
                      "\"quantity\":1.4}]}");
    r = reconcile(t);
    assert_int_equal(r.rows[0].odoo, START + 1);
    assert_int_equal(r.rows[0].odoo_millionths, 0);
    assert_int_equal(r.rows[0].cause, RECONCILE_DIFFERENCE);
    assert_int_equal(r.odd, 0);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void what_is_on_its_way_explains_the_difference(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(5);
    fworld_sell(&t->fw, 0, 9, false);
    fworld_change(&t->fw, 1, 20, FLUSH_REASON_RECEIPT);
    fworld_change(&t->fw, 2, -3, "counted");
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.differing + r.moving, 0);
    assert_int_equal(r.rows[0].cause, RECONCILE_AGREES); // a sale moves neither side yet
    assert_int_equal(r.rows[1].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[1].terms.unposted, 20);
    assert_int_equal(r.rows[2].terms.unposted, -3);
    reconcile_report_free(&r);
    assert_true(fworld_run(&t->fw));
    r = reconcile(t);
    for (uint32_t i = 0; i < r.count; i++)
        assert_int_equal(r.rows[i].cause, RECONCILE_AGREES);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void a_difference_is_told_and_a_discard_explains_one(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(6);
    struct sandbox_answer a;
    static const char faults[] = "{\"faults\":[{\"kind\":\"user_error\",\"product\":\"tea\","
                                 "\"count\":-1}]}";
    struct sandbox_request fault = {
        .method = "POST", .path = "/sandbox/faults", .body = faults, .body_bytes = strlen(faults)};
    sandbox_handle(t->fw.sandbox, &fault, &a);
    free(a.body);
    fworld_sell(&t->fw, 0, 5, false);
    fworld_change(&t->fw, 1, -4, "counted");
    move(t, "fig", "WH/Stock", CUSTOMERS, 11, true); // and nobody has read it yet
    assert_true(fworld_run(&t->fw));
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.rows[1].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[1].terms.dead, -4);
    assert_int_equal(r.rows[6].cause, RECONCILE_DIFFERENCE);
    assert_int_equal(r.rows[6].difference, -11);
    assert_int_equal(r.differing, 1);
    reconcile_report_free(&r);
    for (uint64_t i = 1; i <= 2; i++) {
        struct flush_discarding k = {i, world_id(&t->fw.w), "ann", "gone"};
        assert_int_equal(flush_dead_discard(t->fw.f, &k, core_now(t->fw.w.core)), HF_OK);
    }
    for (int i = 0; i < 50; i++) {
        bool did;
        assert_true(fworld_pump(&t->fw, &did));
    }
    r = reconcile(t);
    assert_int_equal(r.rows[0].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[0].terms.discarded, -5);
    assert_int_equal(r.rows[0].odoo, START);
    assert_int_equal(r.rows[0].terms.on_hand, START - 5);
    assert_int_equal(r.rows[1].terms.discarded, -4);
    assert_int_equal(r.differing, 1);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void random_work_on_both_sides_comes_out_even(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(7);
    assert_true(poll(t));
    for (int i = 0; i < 300; i++) {
        bool did;
        fworld_work(&t->fw);
        if (prng_chance(&t->fw.prng, 1, 8))
            move(t, sku_of((uint32_t)prng_below(&t->fw.prng, 5) * 2),
                 prng_chance(&t->fw.prng, 1, 2) ? VENDORS : "SHOP/Stock", "WH/Stock",
                 (int)prng_between(&t->fw.prng, 1, 5), true);
        if (prng_chance(&t->fw.prng, 1, 4))
            assert_true(fworld_pump(&t->fw, &did));
        if (prng_chance(&t->fw.prng, 1, 20))
            assert_true(poll(t));
        if (i % 50 == 0)
            world_settle(&t->fw.w);
    }
    assert_true(fworld_run(&t->fw));
    assert_true(poll(t));
    struct reconcile_report r = reconcile(t);
    for (uint32_t i = 0; i < r.count; i++)
        if (r.rows[i].cause != RECONCILE_AGREES)
            fail_msg("cell %u: %s %lld", i,
                     reconcile_cause_name((enum reconcile_cause)r.rows[i].cause),
                     (long long)r.rows[i].difference);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void a_wish_is_answered_by_a_run_that_begins_after_it(void **state)
{
    struct observe_runs r = {0};
    (void)state;
    assert_int_equal(observe_runs_wish(&r), 1);
    observe_runs_begin(&r);
    assert_int_equal(observe_runs_wish(&r), 2); // the first is under way: it may have read before
    observe_runs_end(&r, true);
    assert_int_equal(r.told, 1);
    assert_true(r.wanted); // so nobody takes a failure before it for its own
    observe_runs_begin(&r);
    assert_int_equal(observe_runs_wish(&r), 3);
    observe_runs_end(&r, false);
    assert_true(r.failed && r.wanted);
    assert_int_equal(r.told, 1);
    observe_runs_begin(&r);
    observe_runs_end(&r, true);
    assert_int_equal(r.told, 3);
    assert_false(r.failed || r.wanted || r.under_way);
}

// Found: the old picture was thrown away first. What was left of it said that nobody else wants
// anything, so that what others had asked for was for sale until the next reading.
static void a_reading_that_fails_leaves_what_was_read_before(void **state)
{
    static const char *const faults[] = {NULL,
                                         "{\"kind\":\"http_500\",\"model\":\"stock.location\"}",
                                         "{\"kind\":\"http_500\",\"model\":\"product.product\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct inbound_world *t = inbound_world_make(30 + i);
        struct reconcile_report r;
        const struct reconcile_options o = {
            .core = t->fw.w.core, .mirror = &t->mirror, .desk = &t->desk.base, .passes = 1};
        assert_true(poll(t));
        move(t, "tea", "WH/Stock", CUSTOMERS, 5, false);
        move(t, "oil", VENDORS, "WH/Stock", 40, true);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).external, 5);
        assert_int_equal(cell(t, 2).on_hand, START + 40);
        t->odoo.away = !faults[i];
        if (faults[i])
            fault(&t->fw, faults[i]);
        assert_int_equal(reconcile_run(&o, &r), HF_AGAIN);
        t->odoo.away = false;
        fake_clock_advance_ms(&t->fw.w.clock, 10000);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).external, 5);
        assert_int_equal(cell(t, 2).on_hand, START + 40);
        inbound_world_free(t);
    }
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_that_was_not_read_yet_is_no_difference),
        cmocka_unit_test(fractions_are_told_and_never_for_sale),
        cmocka_unit_test(what_is_on_its_way_explains_the_difference),
        cmocka_unit_test(a_difference_is_told_and_a_discard_explains_one),
        cmocka_unit_test(random_work_on_both_sides_comes_out_even),
        cmocka_unit_test(a_wish_is_answered_by_a_run_that_begins_after_it),
        cmocka_unit_test(a_reading_that_fails_leaves_what_was_read_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
