// The flusher against a fake Odoo: by which mode, on which day, and at what pace it posts.
#include "flush_tests.h"

// ------------------------------------------------------------------------------- modes

static void a_staged_sale_stays_owned_until_odoo_ships_it(void **state)
{
    struct flush_world *fw = *state;
    fw->places[0].mode = FLUSH_MODE_STAGE;
    reopen(fw);
    fworld_sell(fw, 0, 10, false);
    bool did;
    for (int i = 0; i < 20; i++) { // without its location nothing is posted, and that is told
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_CONFIG);
    catalogue(fw, "{\"locations\":[{\"complete_name\":\"WH/Sold\",\"company_id\":1}]}");
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Sold"), 10000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 0);
    struct core_cell c = world_read(&fw->w, fw->cells[0]);
    assert_int_equal(c.on_hand, START - 10);
    assert_int_equal(c.committed, 0);
    fworld_take_back(fw, &fw->sold[0], CORE_CANCEL, 0, 4); // before shipment: back to the stock
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Sold"), 6000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Stock"), (START - 6) * 1000000);
    fworld_take_back(fw, &fw->sold[0], CORE_RETURN, 0, 1); // after it: from the customer
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Sold"), 6000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), -1000000);
}

static void where_an_order_of_odoo_ships_no_sale_is_posted(void **state)
{
    struct flush_world *fw = *state;
    fw->places[0].mode = FLUSH_MODE_EXTERNAL;
    reopen(fw);
    fworld_sell(fw, 0, 10, false);
    fworld_sell(fw, 2, 4, true);
    fworld_take_back(fw, &fw->sold[0], CORE_CANCEL, 0, 3);
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 0);
    struct core_cell c = world_read(&fw->w, fw->cells[0]);
    assert_int_equal(c.committed, 7); // until its order's done move comes in
    assert_int_equal(c.on_hand, START);
    // What only Holdfast knows is told.
    fworld_change(fw, 0, 5, FLUSH_REASON_RECEIPT);
    fworld_change(fw, 0, -2, "counted");
    fworld_sell(fw, 1, 6, false); // the other place ships
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Stock"), (START + 3) * 1000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 6000000);
}

// ------------------------------------------------------------------------------- places

static const char *parsed(const char *options)
{
    char text[64];
    struct flush_location out[FLUSH_LOCATIONS_MAX];
    uint32_t count;
    snprintf(text, sizeof text, "%s", options);
    return flush_locations_parse(text, out, &count);
}

static void two_locations_of_one_warehouse_are_refused(void **state)
{
    struct flush_world *fw = *state;
    assert_null(parsed("berlin=WH,hamburg=SHOP"));
    assert_non_null(strstr(parsed("berlin=WH,hamburg=SHOP,x=WH:stage"), "one warehouse"));
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fw->places[1].warehouse = "WH";
    assert_int_equal(fworld_try_open(fw), HF_INVALID);
    assert_non_null(strstr(fw->why, "one warehouse"));
    fw->places[1].warehouse = "SHOP";
    world_close(&fw->w);
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
}

// By two names; only Odoo can tell.
static void two_names_of_one_location_stop_posting(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    json_t *rows = read_back(fw, "stock.location",
                             "{\"domain\":[[\"complete_name\",\"=\",\"WH/Stock\"]],"
                             "\"fields\":[\"complete_name\"]}");
    fw->places[1].location_id =
        (uint32_t)json_integer_value(json_object_get(json_array_get(rows, 0), "id"));
    json_decref(rows);
    assert_true(fw->places[1].location_id > 0);
    reopen(fw);
    fworld_sell(fw, 0, 1, false);
    for (int i = 0; i < 20; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_CONFIG);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 0);
    fw->places[1].location_id = 0;
    reopen(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// ------------------------------------------------------------------------------- days

#define DAY_MS  (UINT64_C(24) * 3600 * 1000)
#define HOUR_MS (UINT64_C(3600) * 1000)

static void until(struct flush_world *fw, uint64_t ms)
{
    while (core_now(fw->w.core) < ms) {
        fake_clock_advance_ms(&fw->w.clock, 1000);
        world_settle(&fw->w);
    }
}

// Midnight in Tokyo, which has no summer time, is at 15:00 UTC.
static void documents_are_of_the_sales_day(void **state)
{
    struct flush_world *fw = *state;
    fw->places[0].zone = "Asia/Tokyo";
    for (int way = 0; way < 2; way++) {
        reopen(fw);
        uint64_t now = core_now(fw->w.core);
        uint64_t midnight = (now / DAY_MS + 2) * DAY_MS + 15 * HOUR_MS;
        // No steps of hours: a process that slept so long ends itself.
        fake_clock_advance_ms(&fw->w.clock, midnight - 20000 - now);
        reopen(fw);
        fw->odoo.away = true;
        fworld_sell(fw, 0, 3, false);
        fworld_sell(fw, 4, 1, false);
        world_settle(&fw->w);
        until(fw, midnight + 5000);
        fworld_sell(fw, 0, 2, false);
        world_settle(&fw->w);
        fw->odoo.away = false;
        assert_true(fworld_run(fw));
        fworld_check(fw);
        json_t *rows = read_back(fw, "stock.picking",
                                 "{\"domain\":[],\"fields\":[\"date_done\",\"id\"],"
                                 "\"order\":\"id desc\",\"limit\":2}");
        uint64_t later, sooner;
        assert_true(odoo_time_parse(
            json_string_value(json_object_get(json_array_get(rows, 0), "date_done")), &later));
        assert_true(odoo_time_parse(
            json_string_value(json_object_get(json_array_get(rows, 1), "date_done")), &sooner));
        json_decref(rows);
        assert_true(sooner >= midnight - 20000 && sooner < midnight);
        assert_true(later >= midnight && later < midnight + DAY_MS);
        fw->options.action_id = 13000000;
    }
}

// Decisions of several threads stand in the journal in almost their order, so around midnight the
// lines of two days overlap by LSN.
static void a_movement_near_midnight_is_found_in_its_own_days_line(void **state)
{
    struct flush_world *fw = *state;
    uint64_t midnight = (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS, lsn[4];
    const int64_t after[] = {3, -2, 2, -1}; // ms, of each movement
    struct flush_fates *k;
    fake_clock_advance_ms(&fw->w.clock, midnight - core_now(fw->w.core));
    for (uint32_t i = 0; i < 4; i++) {
        struct core_line line = {fw->cells[0], 0, 1 + i};
        struct core_request r = {
            .verb = CORE_ORDER, .id = world_id(&fw->w), .lines = &line, .line_count = 1};
        struct core_answer a;
        core_execute(fw->w.worker, (uint64_t)((int64_t)midnight + after[i]), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        lsn[i] = a.ticket;
        fw->customers[0] += 1 + i;
    }
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_int_equal(flush_fates_create(fw->f, &k), HF_OK);
    struct flush_history_filter all = {.max = 1000};
    assert_int_equal(flush_fates_day(k, midnight / DAY_MS, &all), HF_OK);
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t at = (uint64_t)((int64_t)midnight + after[i]);
        const struct flush_span *s = flush_fates_find(k, fw->cells[0], FLUSH_SALE, lsn[i], at);
        assert_non_null(s);
        assert_int_equal(s->day, at / DAY_MS);
        assert_int_equal(s->quantity, i % 2 ? 2 + 4 : 1 + 3);
        assert_true(flush_fates_of_day(k, s, at));
        assert_false(flush_fates_of_day(k, s, i % 2 ? midnight : midnight - 1));
    }
    flush_fates_destroy(k);
}

static void the_close_of_a_day_leaves_out_what_came_after_it(void **state)
{
    struct flush_world *fw = *state;
    uint64_t day = core_now(fw->w.core) / DAY_MS, midnight = (day + 1) * DAY_MS;
    struct flush_fates *k;
    uint32_t count;
    fworld_sell(fw, 0, 5, false);
    fworld_change(fw, 0, 9, FLUSH_REASON_RECEIPT " 1");
    fw->vendors[0] += 9;
    assert_true(fworld_run(fw));
    fake_clock_advance_ms(&fw->w.clock, midnight + 1000 - core_now(fw->w.core));
    for (uint32_t i = 0; i < CELLS; i++)
        fworld_sell(fw, i, 1, false);
    assert_true(fworld_run(fw));
    fworld_check(fw);
    struct flush_history_filter sales = {
        .max = 1, .kinds = 1u << FLUSH_SALE, .before_ms = midnight};
    assert_int_equal(flush_fates_create(fw->f, &k), HF_OK);
    for (uint64_t d = day; d <= day + 1; d++)
        assert_int_equal(flush_fates_day(k, d, &sales), HF_OK);
    const struct flush_span *s = flush_fates_spans(k, &count);
    assert_int_equal(count, 1);
    assert_int_equal(s->quantity, 5);
    flush_fates_destroy(k);
}

static void a_zone_that_is_not_known_is_told_at_the_start(void **state)
{
    struct flush_world *fw = *state;
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fw->places[1].zone = "Mars/Olympus";
    assert_int_equal(fworld_try_open(fw), HF_INVALID);
    assert_non_null(strstr(fw->why, "time zone"));
    fw->f = NULL;
    fw->places[1].zone = NULL;
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
}

// ------------------------------------------------------------------------------- pace

// Posters that the test steps itself: what is handed out stays under way until it lets one go.
static struct flush_poster *with_posters(struct flush_world *fw, uint32_t count)
{
    fw->options.posters = count;
    reopen(fw);
    struct flush_poster *p = flush_poster_create(fw->f, &fw->odoo.base);
    assert_non_null(p);
    return p;
}

static bool shares(const struct flush_batch *a, const struct flush_batch *b)
{
    for (uint32_t i = 0; i < a->line_count; i++)
        for (uint32_t k = 0; k < b->line_count; k++)
            if (a->lines[i].product == b->lines[k].product)
                return true;
    return false;
}

// A batch that was sent once may be on its way still; beside it none of its products is sent.
static void one_batch_a_product(const struct flush *f)
{
    for (uint32_t i = 0; i < f->batch_count; i++)
        for (uint32_t k = 0; k < i; k++) {
            const struct flush_batch *a = &f->batches[i], *b = &f->batches[k];
            bool both = a->state == FLUSH_FORMED && b->state == FLUSH_FORMED;
            bool sent_a = a->calling || a->waits, sent_b = b->calling || b->waits;
            if (both && sent_a && sent_b && shares(a, b))
                fail_msg("batches %llu and %llu share a product", (unsigned long long)b->number,
                         (unsigned long long)a->number);
        }
}

// Until all is posted; *most is how many calls were under way at once.
static void run_posters(struct flush_world *fw, struct flush_poster *p, uint64_t *most)
{
    *most = 0;
    for (int i = 0; i < 100000; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        one_batch_a_product(fw->f);
        uint64_t out = metrics(fw).calling;
        *most = out > *most ? out : *most;
        if (did)
            continue;
        if (out)
            flush_poster_step(p, 0);
        else if (fworld_idle(fw))
            return;
        else
            fake_clock_advance_ms(&fw->w.clock, 500);
    }
    fail_msg("it does not come to rest");
}

static void several_batches_are_under_way_but_one_a_product(void **state)
{
    struct flush_world *fw = *state;
    uint64_t most;
    fw->options.batch_lines = 1;
    struct flush_poster *p = with_posters(fw, 3);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 20; i++)
            fworld_work(fw);
        if (round % 3 == 0) {
            fault(fw, "{\"kind\":\"commit_504\",\"method\":\"create\"}");
            fault(fw, "{\"kind\":\"close\",\"method\":\"button_validate\",\"skip\":1}");
            fault(fw, "{\"kind\":\"serialization\",\"method\":\"search_read\"}");
        }
        run_posters(fw, p, &most);
        fworld_check(fw);
    }
    flush_poster_destroy(p);
}

static void calls_at_once_grow_with_successes_and_are_halved_by_failures(void **state)
{
    struct flush_world *fw = *state;
    uint64_t most;
    fw->options.batch_lines = 1;
    struct flush_poster *p = with_posters(fw, 4);
    for (uint32_t i = 0; i < 5; i++)
        fworld_sell(fw, 2 * i, 1, false); // five products
    run_posters(fw, p, &most);
    assert_true(most >= 2);
    for (uint32_t i = 0; i < 6; i++)
        fworld_sell(fw, 2 * i, 1, false);
    run_posters(fw, p, &most);
    assert_int_equal(most, 4);
    assert_int_equal(metrics(fw).pace_cuts, 0);
    fault(fw, "{\"kind\":\"http_503\",\"model\":\"stock.picking\",\"count\":2}");
    for (uint32_t i = 0; i < 6; i++)
        fworld_sell(fw, 2 * i, 1, false);
    run_posters(fw, p, &most);
    assert_int_equal(metrics(fw).pace_cuts, 2);
    fworld_check(fw);
    flush_poster_destroy(p);
}

static void a_product_that_keeps_failing_holds_up_no_other(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    fault(fw, "{\"kind\":\"operational\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(fw, 0, 1, false);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 100; i++) {
            assert_true(fworld_pump(fw, &did));
            fake_clock_advance_ms(&fw->w.clock, 100);
        }
        fworld_sell(fw, 0, 1, false); // tea
        fworld_sell(fw, 2, 2, false); // and two others, in one window
        fworld_sell(fw, 4, 3, false);
    }
    for (int i = 0; i < 100; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 100);
    }
    assert_int_equal(sandbox_quantity(fw->sandbox, "oil", CUSTOMERS), 12000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "rye", CUSTOMERS), 18000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 0);
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "DELETE", .path = "/sandbox/faults"};
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void nothing_is_sent_in_closed_hours(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    fw->options.closed = "09:00-10:00,22:00-01:00 Asia/Tokyo"; // 00:00-01:00, 13:00-16:00 UTC
    reopen(fw);
    uint64_t day = (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS;
    const struct {
        uint64_t at; // minutes since UTC's midnight
        bool open;
    } times[] = {{1, false},       {59, false},      {60, true},           {12 * 60, true},
                 {13 * 60, false}, {14 * 60, false}, {16 * 60 - 1, false}, {16 * 60, true}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        fake_clock_advance_ms(&fw->w.clock, day + times[i].at * 60000 - core_now(fw->w.core));
        fworld_sell(fw, 0, 1, false);
        uint32_t before = sandbox_pickings(fw->sandbox, "done");
        for (int k = 0; k < 60; k++) {
            assert_true(fworld_pump(fw, &did));
            fake_clock_advance_ms(&fw->w.clock, 400);
        }
        assert_int_equal(sandbox_pickings(fw->sandbox, "done") > before, times[i].open);
        assert_int_equal(metrics(fw).pause, times[i].open ? FLUSH_PAUSE_NONE : FLUSH_PAUSE_CLOSED);
    }
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void closed_hours_that_are_none_are_told_at_the_start(void **state)
{
    static const char *const wrong[] = {"22-4",
                                        "22:00-24:00",
                                        "9:00-10:00",
                                        "10:00-10:00",
                                        "10:00-11:00,",
                                        "10:00-11:60",
                                        "10:00-11:00 Mars/Olympus",
                                        "10:00-11:00 ",
                                        "10:00-11:00;12:00-13:00"};
    struct flush_hours h;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        if (i != 6)
            assert_non_null(flush_hours_parse(wrong[i], &h));
    assert_null(flush_hours_parse("", &h));
    assert_null(flush_hours_parse(wrong[6], &h));
    assert_string_equal(h.zone, "Mars/Olympus"); // the flusher's start knows zones
}

static void lines_are_posted_no_faster_than_asked(void **state)
{
    struct flush_world *fw = *state;
    fw->options.batch_lines = 1;
    fw->options.lines_per_s = 2;
    reopen(fw);
    for (uint32_t i = 0; i < CELLS; i++)
        fworld_sell(fw, i, 1, false);
    uint64_t began = core_now(fw->w.core);
    assert_true(fworld_run(fw));
    fworld_check(fw);
    // Four at once from the burst; the others as the credit comes.
    assert_true(core_now(fw->w.core) - began >= (CELLS - 5) * 1000 / 2);
}

int main(void)
{
    hf_log_set_level(HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(a_staged_sale_stays_owned_until_odoo_ships_it),
        EACH(where_an_order_of_odoo_ships_no_sale_is_posted),
        EACH(two_locations_of_one_warehouse_are_refused),
        EACH(two_names_of_one_location_stop_posting),
        EACH(documents_are_of_the_sales_day),
        EACH(a_movement_near_midnight_is_found_in_its_own_days_line),
        EACH(the_close_of_a_day_leaves_out_what_came_after_it),
        EACH(a_zone_that_is_not_known_is_told_at_the_start),
        EACH(several_batches_are_under_way_but_one_a_product),
        EACH(calls_at_once_grow_with_successes_and_are_halved_by_failures),
        EACH(a_product_that_keeps_failing_holds_up_no_other),
        EACH(nothing_is_sent_in_closed_hours),
        EACH(closed_hours_that_are_none_are_told_at_the_start),
        EACH(lines_are_posted_no_faster_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
