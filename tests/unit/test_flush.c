// The flusher against a fake Odoo: what it posts, how it nets, what it does with refusals.
#include "flush_tests.h"

static void movements_are_netted_per_product_place_and_kind(void **state)
{
    struct flush_world *fw = *state;
    for (int i = 0; i < 500; i++)
        fworld_sell(fw, 0, 1, i & 1);
    fworld_sell(fw, 1, 3, false);
    fworld_take_back(fw, &fw->sold[(fw->sold_count - 1) % 64], CORE_CANCEL, 0, 3);
    assert_true(fworld_run(fw));
    fworld_check(fw);
    struct flush_metrics m = metrics(fw);
    assert_int_equal(m.movements, 502);
    assert_int_equal(m.lines_posted, 1); // the other one came and went
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 1);
    assert_int_equal(m.oldest_ms, 0);
}

static void every_kind_goes_its_way(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 40, true);
    assert_true(fworld_run(fw));
    // After the sale was posted: a cancellation becomes a document of its own, against the sale.
    fworld_take_back(fw, &fw->sold[0], CORE_CANCEL, 0, 10);
    fworld_take_back(fw, &fw->sold[0], CORE_RETURN, 0, 5);
    fworld_take_back(fw, &fw->sold[0], CORE_RETURN, CORE_SCRAP, 2);
    fworld_change(fw, 2, 30, FLUSH_REASON_RECEIPT);
    fworld_change(fw, 4, -7, "counted");
    fworld_change(fw, 11, 250, NULL);
    fw->vendors[1] = 30;
    fw->corrected[2] = -7;
    fw->corrected[5] = 250;
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_int_equal(sandbox_quantity(fw->sandbox, "kg", "SHOP/Stock"), 1250000); // 1.25 kg
    assert_int_equal(metrics(fw).batches_posted, 7);
}

static void random_work_comes_out_as_the_oracle_says(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    for (int i = 0; i < 3000; i++) {
        fworld_work(fw);
        if (prng_chance(&fw->prng, 1, 4))
            assert_true(fworld_pump(fw, &did));
        if (prng_chance(&fw->prng, 1, 10))
            fake_clock_advance_ms(&fw->w.clock, 300);
        if (i % 50 == 0)
            world_settle(&fw->w);
    }
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_true(metrics(fw).batches_posted > 50);
    assert_int_equal(metrics(fw).dead_letters, 0);
}

static void the_server_action_posts_in_one_call(void **state)
{
    struct flush_world *fw = *state;
    with_action(fw);
    fault(fw, "{\"kind\":\"commit_504\",\"method\":\"run\"}");
    for (int i = 0; i < 200; i++)
        fworld_work(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_true(sandbox_pickings(fw->sandbox, "done") > 3);
    assert_int_equal(sandbox_pickings(fw->sandbox, "cancel"), 0);
}

// A real Odoo tells its UUID to administrators only.
static void with_the_action_the_key_needs_no_administrators_rights(void **state)
{
    struct flush_world *fw = *state;
    with_action(fw);
    fault(fw, "{\"kind\":\"access\",\"model\":\"ir.config_parameter\",\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void the_action_posts_into_no_other_database(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    with_action(fw);
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    // Exchanged behind the address between contact and posting.
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "POST",
                                .path = "/sandbox/database",
                                .body = "{\"uuid\":\"5ca1ab1e-0000-4000-8000-0000000000ff\"}"};
    r.body_bytes = strlen(r.body);
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
    fworld_sell(fw, 0, 2, false);
    for (int i = 0; i < 100; i++) {
        assert_true(fworld_pump(fw, &did));
        if (!did)
            fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 1);
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_FOREIGN_DATABASE);
}

static void each_line_names_its_lsn_span(void **state)
{
    struct flush_world *fw = *state;
    for (int way = 0; way < 2; way++) {
        char want[64];
        uint64_t first = journal_appended(core_journal(fw->w.core)) + 1;
        fworld_sell(fw, 2, 3, false);
        fworld_sell(fw, 2, 1, false);
        snprintf(want, sizeof want, "LSN %" PRIu64 "..%" PRIu64, first, first + 1);
        assert_true(fworld_run(fw));
        json_t *rows = read_back(fw, "stock.move",
                                 "{\"domain\":[],\"fields\":[\"origin\"],\"order\":\"id desc\"}");
        assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 0), "origin")),
                            want);
        json_decref(rows);
        with_action(fw);
    }
}

static void pages_and_errors_that_pass_are_waited_out(void **state)
{
    static const char *const kinds[] = {
        "close",    "commit_close",  "hang",        "commit_hang",  "http_429",   "http_500",
        "http_502", "http_503",      "http_504",    "commit_502",   "commit_504", "database_down",
        "html_200", "serialization", "operational", "unauthorized", "access",     "value_error"};
    struct flush_world *fw = *state;
    char text[128];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int on = 0; on < 3; on++) {
            static const char *const methods[] = {"create", "button_validate", "search_read"};
            snprintf(text, sizeof text, "{\"kind\":\"%s\",\"method\":\"%s\",\"count\":%d}",
                     kinds[i], methods[on], on == 1 ? 2 : 1);
            fault(fw, text);
            fworld_sell(fw, (uint32_t)(i + (size_t)on) % CELLS, 2, false);
            fworld_sell(fw, (uint32_t)(i + (size_t)on + 3) % CELLS, 1, false);
            assert_true(fworld_run(fw));
            fworld_check(fw);
            struct sandbox_answer a;
            struct sandbox_request r = {.method = "DELETE", .path = "/sandbox/faults"};
            sandbox_handle(fw->sandbox, &r, &a);
            free(a.body);
        }
    assert_int_equal(metrics(fw).dead_letters, 0);
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_NONE);
}

// The memory of requests and answers; Odoo's own, in this process, does not count.
static struct {
    uint64_t asked, fail_at;
    bool away;
    const struct http_ops *ops;
} json_memory;

static void *json_malloc(size_t bytes)
{
    bool fails = !json_memory.away && ++json_memory.asked == json_memory.fail_at;
    return fails ? NULL : malloc(bytes);
}

static enum http_outcome call_away(struct http *h, const struct http_request *r,
                                   struct http_answer *a)
{
    json_memory.away = true;
    enum http_outcome o = json_memory.ops->call(h, r, a);
    json_memory.away = false;
    return o;
}

static void without_memory_nothing_is_left_out(void **state)
{
    struct flush_world *fw = *state;
    static struct http_ops ops;
    json_memory.ops = fw->odoo.base.ops;
    ops = *json_memory.ops;
    ops.call = call_away;
    fw->odoo.base.ops = &ops;
    uint64_t failed = 0, most = 1;
    for (uint64_t n = 1; n <= most && n <= 250; n++) {
        for (uint32_t cell = 0; cell < CELLS; cell += 2)
            fworld_sell(fw, cell, 1 + (cell + (uint32_t)n) % 3, false);
        json_memory.asked = 0;
        json_memory.fail_at = n;
        json_set_alloc_funcs(json_malloc, free);
        bool run = fworld_run(fw);
        json_set_alloc_funcs(malloc, free);
        assert_true(run);
        failed += json_memory.asked >= n;
        most = json_memory.asked > most && n == 1 ? json_memory.asked : most;
        fworld_check(fw); // every unit
    }
    fw->odoo.base.ops = json_memory.ops;
    assert_true(failed > 200);
    assert_int_equal(metrics(fw).dead_letters, 0);
}

static void a_refused_line_becomes_a_dead_letter_and_the_rest_is_posted(void **state)
{
    struct flush_world *fw = *state;
    fw->options.batch_lines = 100;
    fworld_restart(fw);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"product\":\"rye\","
              "\"count\":-1}");
    for (uint32_t i = 0; i < CELLS; i += 2)
        fworld_sell(fw, i, 5 + i, false);
    assert_true(fworld_run(fw));
    struct flush_dead_letter d[4];
    assert_int_equal(flush_dead_list(fw->f, 0, d, 4), 1);
    assert_int_equal(d[0].handle, fw->cells[4]);
    assert_int_equal(d[0].cause, FLUSH_CAUSE_REFUSED);
    assert_int_equal(d[0].quantity, 9);
    assert_int_equal(d[0].movements, 1);
    assert_non_null(strstr(d[0].why, "UserError"));
    // Everything else is there; this one is still committed.
    assert_int_equal(world_read(&fw->w, fw->cells[4]).committed, 9);
    assert_int_equal(world_read(&fw->w, fw->cells[2]).committed, 0);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 5000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "rye", CUSTOMERS), 0);
    fworld_restart(fw); // dead letters last
    assert_int_equal(flush_dead_list(fw->f, 0, d, 4), 1);
    struct sandbox_answer a;
    struct sandbox_request r = {.method = "DELETE", .path = "/sandbox/faults"};
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
    assert_int_equal(flush_dead_retry(fw->f, d[0].id + 7, core_now(fw->w.core)), HF_NOT_FOUND);
    assert_int_equal(flush_dead_retry(fw->f, d[0].id, core_now(fw->w.core)), HF_OK);
    assert_int_equal(flush_dead_retry(fw->f, d[0].id, core_now(fw->w.core)),
                     HF_OK); // asked again, it acts once
    assert_true(fworld_run(fw));
    assert_int_equal(flush_dead_list(fw->f, 0, d, 4), 0);
    fworld_check(fw);
}

static void what_odoo_does_not_know_is_told_line_by_line(void **state)
{
    struct flush_world *fw = *state;
    uint32_t handles[4];
    static const char *const rows[][2] = {
        {"ghost", "Store"}, {"twin", "Store"}, {"lot", "Store"}, {"tea", "Attic"}};
    catalogue(fw, "{\"products\":[{\"default_code\":\"twin\"},{\"default_code\":\"twin\","
                  "\"duplicate\":true},{\"default_code\":\"lot\",\"tracking\":\"lot\"}]}");
    for (int i = 0; i < 4; i++) {
        struct core_admin_answer a;
        core_cell_make(fw->w.worker, core_now(fw->w.core), rows[i][0], (uint32_t)strlen(rows[i][0]),
                       rows[i][1], (uint32_t)strlen(rows[i][1]), 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        handles[i] = a.handle;
        struct core_line line = {a.handle, 0, 1};
        struct core_request r = {
            .verb = CORE_RECORD, .id = world_id(&fw->w), .lines = &line, .line_count = 1};
        assert_int_equal(fworld_do(fw, &r).outcome, CORE_OUT_DONE);
    }
    fworld_sell(fw, 0, 2, false);
    assert_true(fworld_run(fw));
    struct flush_dead_letter d[8];
    static const enum flush_cause causes[] = {FLUSH_CAUSE_NO_PRODUCT, FLUSH_CAUSE_AMBIGUOUS,
                                              FLUSH_CAUSE_TRACKED, FLUSH_CAUSE_NO_LOCATION};
    assert_int_equal(flush_dead_list(fw->f, 0, d, 8), 4);
    unsigned seen = 0;
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 4; i++)
            if (d[k].handle == handles[i]) {
                assert_int_equal(d[k].cause, causes[i]);
                seen |= 1u << i;
            }
    assert_int_equal(seen, 15);
    fworld_check(fw);                                               // the rest was posted
    catalogue(fw, "{\"products\":[{\"default_code\":\"ghost\"}]}"); // a person has mended it
    for (int k = 0; k < 4; k++)
        if (d[k].handle == handles[0])
            assert_int_equal(flush_dead_retry(fw->f, d[k].id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    assert_int_equal(sandbox_quantity(fw->sandbox, "ghost", CUSTOMERS), 1000000);
    assert_int_equal(flush_dead_list(fw->f, 0, d, 8), 3);
}

static void wizards_are_no_success(void **state)
{
    struct flush_world *fw = *state;
    fault(fw, "{\"kind\":\"wizard\",\"method\":\"button_validate\",\"count\":1}");
    fworld_sell(fw, 0, 2, false);
    fworld_sell(fw, 2, 2, false);
    assert_true(fworld_run(fw));
    fworld_check(fw); // the halves went through
    assert_int_equal(sandbox_pickings(fw->sandbox, "cancel"), 1);
    assert_int_equal(metrics(fw).batches_failed, 1);
}

static void a_batch_that_keeps_failing_is_halved_and_a_line_tried_on(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    // Its worker dies of one product, every time; look-ups go through.
    fault(fw, "{\"kind\":\"close\",\"method\":\"button_validate\",\"product\":\"oil\","
              "\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    fworld_sell(fw, 2, 4, false);
    fworld_sell(fw, 4, 5, false);
    for (int i = 0; i < 4000; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, did ? 0 : 500);
    }
    assert_int_equal(metrics(fw).open_batches, 1);
    assert_int_equal(metrics(fw).open_movements, 1);
    assert_int_equal(metrics(fw).dead_letters, 0); // it may pass
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 3000000);
    assert_int_equal(sandbox_quantity(fw->sandbox, "rye", CUSTOMERS), 5000000);
    // Others are not held up by it.
    fworld_sell(fw, 6, 1, false);
    for (int i = 0; i < 200; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 100);
    }
    assert_int_equal(sandbox_quantity(fw->sandbox, "fig", CUSTOMERS), 1000000);
    faults_clear(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void dead_letters_without_room_hold_the_flusher(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    fw->options.dead_max = 1;
    fworld_restart(fw);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"create\",\"count\":-1}");
    fworld_sell(fw, 0, 3, false);
    fworld_sell(fw, 2, 4, false);
    for (int i = 0; i < 1000; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    // Neither can even be burned, so nothing is given up.
    assert_int_equal(metrics(fw).dead_letters, 0);
    faults_clear(fw);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\",\"count\":-1}");
    for (int i = 0; i < 2000 && metrics(fw).pause != FLUSH_PAUSE_DEAD_LETTERS; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_DEAD_LETTERS);
    assert_int_equal(metrics(fw).dead_letters, 1);
    faults_clear(fw);
    struct flush_dead_letter d;
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    fake_clock_advance_ms(&fw->w.clock, 120000);
    assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    while (flush_dead_list(fw->f, 0, &d, 1)) {
        assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
        assert_true(fworld_run(fw));
    }
    fworld_check(fw);
}

static void a_full_disk_holds_the_flusher(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    assert_true(fworld_run(fw));
    fworld_sell(fw, 0, 3, false);
    world_settle(&fw->w);
    uint64_t calls = fw->odoo.calls;
    fw->w.disk->faults.capacity_bytes = fake_storage_used_bytes(fw->w.disk);
    for (int i = 0; i < 50; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_DISK_FULL);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 0); // nothing without a durable name
    assert_true(fw->odoo.calls < calls + 10);
    fw->w.disk->faults.capacity_bytes = 0;
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_NONE);
    fworld_check(fw);
}

// The first try is lost and commits only after n further calls, while Odoo refuses the second one:
// the name must be burned before its parts go out. Any n may be the one that hurts.
static void late_commit(bool action, uint32_t n)
{
    struct flush_world *fw = malloc(sizeof *fw);
    fworld_init(fw, 40 + n);
    fw->options.action_id = action ? 13000000 : 0;
    fworld_restart(fw);
    fworld_sell(fw, 0, 3, false);
    fworld_sell(fw, 2, 4, false);
    fworld_sell(fw, 4, 5, false);
    fw->odoo.late_at = fw->odoo.calls + 7; // after contact and products
    fw->odoo.late_by = n;
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"create\",\"product\":\"oil\"},"
              "{\"kind\":\"user_error\",\"method\":\"run\",\"product\":\"oil\"}");
    assert_true(fworld_run(fw));
    assert_non_null(strstr(fw->odoo.late_path, action ? "/run" : "/create"));
    fake_odoo_settle(&fw->odoo);
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).dead_letters, 0);
    fworld_check(fw);
    fworld_fini(fw);
    free(fw);
}

static void a_first_try_that_commits_late_is_not_doubled(void **state)
{
    (void)state;
    for (uint32_t n = 0; n < 20; n++) {
        late_commit(false, n);
        late_commit(true, n);
    }
}

static void odoo_away_costs_nothing_but_time(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    fw->odoo.away = true;
    for (int i = 0; i < 500; i++) {
        fworld_work(fw);
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 1000);
        if (i % 20 == 0)
            world_settle(&fw->w);
    }
    struct flush_metrics m = metrics(fw);
    assert_int_equal(m.pause, FLUSH_PAUSE_ODOO_AWAY);
    assert_true(m.window_movements > 400);
    assert_true(m.oldest_ms != 0 && m.oldest_ms < core_now(fw->w.core) - 400000);
    assert_true(m.calls < 60); // the waits grow
    fworld_restart(fw);        // also across a start: what was read is read again
    fw->odoo.away = false;
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void another_database_stops_posting(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 2, false);
    assert_true(fworld_run(fw));
    struct sandbox_answer a;
    static const char other[] = "{\"uuid\":\"11111111-2222-4333-8444-555555555555\"}";
    static const char same[] = "{\"uuid\":\"5ca1ab1e-0000-4000-8000-0000000d0019\"}";
    struct sandbox_request r = {.method = "POST",
                                .path = "/sandbox/database",
                                .body = other,
                                .body_bytes = sizeof other - 1};
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
    fworld_restart(fw);
    fworld_sell(fw, 0, 3, false);
    bool did;
    for (int i = 0; i < 200; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 1000);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_FOREIGN_DATABASE);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 2000000);
    r.body = same;
    r.body_bytes = sizeof same - 1;
    sandbox_handle(fw->sandbox, &r, &a);
    free(a.body);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void a_wrong_key_pauses_until_it_is_exchanged(void **state)
{
    struct flush_world *fw = *state;
    flush_key_set(fw->f, "expired");
    fworld_sell(fw, 0, 2, false);
    bool did;
    for (int i = 0; i < 100; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_KEY);
    flush_key_set(fw->f, "sandbox");
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void a_document_cancelled_by_a_person_is_a_dead_letter(void **state)
{
    struct flush_world *fw = *state;
    fault(fw, "{\"kind\":\"close\",\"method\":\"button_validate\"}");
    fworld_sell(fw, 0, 2, false);
    bool did;
    while (sandbox_pickings(fw->sandbox, "assigned") == 0) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 100);
    }
    assert_true(fworld_pump(fw, &did)); // the validation that is lost
    struct sandbox_answer a;
    static const char body[] = "{\"ids\":[40000000]}";
    struct sandbox_request r = {.method = "POST",
                                .path = "/json/2/stock.picking/action_cancel",
                                .authorization = "Bearer sandbox",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = sizeof body - 1};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
    assert_true(fworld_run(fw));
    struct flush_dead_letter d[2];
    assert_int_equal(flush_dead_list(fw->f, 0, d, 2), 1);
    assert_int_equal(d[0].cause, FLUSH_CAUSE_CANCELLED);
    assert_int_equal(flush_dead_retry(fw->f, d[0].id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void anothers_document_of_its_name_stops_it(void **state)
{
    struct flush_world *fw = *state;
    struct sandbox_answer a;
    static const char body[] =
        "{\"vals_list\":[{\"name\":\"HF/test/123456789abc/0/2\",\"origin\":\"x\","
        "\"picking_type_id\":12000000,\"location_id\":10000004,\"location_dest_id\":10000000}]}";
    struct sandbox_request r = {.method = "POST",
                                .path = "/json/2/stock.picking/create",
                                .authorization = "Bearer sandbox",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = sizeof body - 1};
    fworld_sell(fw, 0, 1, false);
    assert_true(fworld_run(fw)); // a start that finds such a document does not even begin
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
    fworld_sell(fw, 0, 2, false);
    assert_false(fworld_run(fw));
    assert_int_equal(flush_step(fw->f, fw->w.worker, core_now(fw->w.core)), HF_FOREIGN);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 1000000);
}

static void a_lost_state_is_noticed(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 2, false);
    assert_true(fworld_run(fw));
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    assert_int_equal(fw->w.disk->base.ops->unlink(&fw->w.disk->base, "flush.hfs"), HF_OK);
    fw->options.fresh_id.lo ^= 0x5555;
    fworld_open(fw);
    assert_false(fworld_run(fw)); // the journal tells of acknowledgements that are not its own
    assert_int_equal(flush_step(fw->f, fw->w.worker, core_now(fw->w.core)), HF_FOREIGN);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), 1);
}

static void a_damaged_state_is_refused(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 2, false);
    assert_true(fworld_run(fw));
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    uint64_t bytes;
    assert_non_null(fake_storage_content(fw->w.disk, "flush.hfs", &bytes));
    for (uint64_t at = 0; at < bytes; at += 97) {
        assert_true(fake_storage_flip_bit(fw->w.disk, "flush.hfs", at, at % 8));
        enum hf_status s = fworld_try_open(fw);
        if (s != HF_DAMAGED && s != HF_TOO_NEW && s != HF_FOREIGN)
            fail_msg("byte %llu: %s", (unsigned long long)at, hf_status_name(s));
        assert_null(fw->f);
        world_close(&fw->w);
        fake_storage_kill(fw->w.disk);
        assert_true(fake_storage_flip_bit(fw->w.disk, "flush.hfs", at, at % 8));
    }
    fworld_open(fw);
    fworld_check(fw);
}

static void options_are_checked(void **state)
{
    struct flush_world *fw = *state;
    struct flush_options o = fw->options;
    struct flush *f;
    char why[200];
    o.engine = "Upper";
    assert_int_equal(flush_open(&o, &f, why), HF_INVALID);
    o = fw->options;
    o.key = "two words";
    assert_int_equal(flush_open(&o, &f, why), HF_INVALID);
    assert_null(strstr(why, "two words"));
    o = fw->options;
    o.batch_lines = HF_LINES_MAX + 1;
    assert_int_equal(flush_open(&o, &f, why), HF_INVALID);
    bool did;
    assert_true(fworld_pump(fw, &did)); // the state is written
    o = fw->options;
    o.engine = "renamed";
    assert_int_equal(flush_open(&o, &f, why), HF_INVALID); // the folder posts under one name
}

static void a_flusher_far_behind_reads_the_archive(void **state)
{
    struct flush_world *fw = *state;
    fw->odoo.away = true;
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fw->w.options.checkpoint_bytes = 64 << 10;
    fw->w.options.ids_max = 60000;
    fworld_open(fw);
    struct core *c = fw->w.core;
    bool did;
    for (int i = 0; i < 40000; i++) {
        fworld_sell(fw, (uint32_t)i % CELLS, 1, false);
        if (i % 100 == 99)
            world_settle(&fw->w);
        if (i % 2000 == 1999) {
            for (int k = 0; k < 2000; k++) {
                enum hf_status a = core_step_checkpoint(c, core_now(c), 1000);
                enum hf_status b = core_step_archive(c, core_now(c));
                core_step_segments(c);
                if (a == HF_AGAIN && b == HF_AGAIN)
                    break;
            }
            world_pass(&fw->w, 20000);
        }
    }
    struct journal_segment oldest;
    assert_int_equal(journal_closed_segments(core_journal(c), &oldest, 1), 1);
    assert_true(oldest.first_lsn > 10000); // the beginning is in the archive alone
    fw->odoo.away = false;
    assert_true(fworld_pump(fw, &did));
    assert_true(fworld_run(fw));
    fworld_check(fw);
    assert_int_equal(metrics(fw).movements, CELLS * START);
}

// Found by the simulator: without an archive, a journal shorter than what a quiet flusher waits for
// filled up with records that are nobody's to post, and nothing was decided any more.
static void a_quiet_flusher_lets_segments_go(void **state)
{
    struct flush_world *fw = *state;
    fworld_close(fw);
    fw->w.options.archive = false;
    fw->w.options.journal.segment_bytes = 64 << 10;
    fw->w.options.journal.segments_max = 6;
    fw->w.options.journal.space_margin_blocks = 4;
    fw->w.options.journal.group_bytes_max = 16 << 10;
    fw->w.options.journal.buffer_bytes = 8 << 10;
    fw->w.options.checkpoint_bytes = 64 << 10;
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
    struct core *c = fw->w.core;
    for (int i = 0; i < 6000; i++) {
        struct core_line line = {fw->cells[i % CELLS], 0, 1};
        struct core_request hold = {.verb = CORE_RESERVE,
                                    .id = world_id(&fw->w),
                                    .lines = &line,
                                    .line_count = 1,
                                    .ttl_ms = 60000};
        struct core_request release = {.verb = CORE_RELEASE, .id = hold.id};
        assert_int_equal(fworld_do(fw, &hold).outcome, CORE_OUT_DONE);
        assert_int_equal(fworld_do(fw, &release).outcome, CORE_OUT_DONE);
        bool did = i % 20 == 19;
        for (int k = 0; did && k < 1000; k++) {
            assert_true(fworld_pump(fw, &did));
            did |= core_step_checkpoint(c, core_now(c), 1000) == HF_OK;
        }
        if (i % 1000 == 999)
            world_pass(&fw->w, 20000);
    }
}

// ------------------------------------------------------------------------------- JSON-RPC

static void by_json_rpc(struct flush_world *fw)
{
    fw->options.login = "admin";
    reopen(fw);
}

static void everything_goes_out_by_json_rpc_too(void **state)
{
    struct flush_world *fw = *state;
    for (int way = 0; way < 2; way++) {
        fw->options.action_id = way ? 13000000 : 0;
        by_json_rpc(fw);
        for (int i = 0; i < 60; i++)
            fworld_work(fw);
        fault(fw, way ? "{\"kind\":\"commit_504\",\"method\":\"run\"}"
                      : "{\"kind\":\"commit_504\",\"method\":\"create\"}");
        assert_true(fworld_run(fw));
        fworld_check(fw);
    }
    fault(fw, "{\"kind\":\"user_error\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(fw, 0, 1, false);
    assert_true(fworld_run(fw));
    struct flush_dead_letter d;
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    assert_int_equal(d.cause, FLUSH_CAUSE_REFUSED);
    assert_non_null(strstr(d.why, "odoo.exceptions.UserError"));
}

// HTTP says 200 to all of it; the name tells them apart.
static void errors_by_json_rpc_are_told_by_their_names(void **state)
{
    struct flush_world *fw = *state;
    const struct {
        const char *fault;
        enum flush_pause pause;
    } rows[] = {{"unauthorized", FLUSH_PAUSE_KEY},      {"access", FLUSH_PAUSE_RIGHTS},
                {"operational", FLUSH_PAUSE_ODOO_AWAY}, {"database_down", FLUSH_PAUSE_ODOO_AWAY},
                {"http_502", FLUSH_PAUSE_ODOO_AWAY},    {"value_error", FLUSH_PAUSE_SCHEMA}};
    by_json_rpc(fw);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[96];
        bool did;
        snprintf(text, sizeof text, "{\"kind\":\"%s\",\"method\":\"search_read\",\"count\":9}",
                 rows[i].fault);
        reopen(fw);
        fault(fw, text);
        fworld_sell(fw, 0, 1, false);
        for (int n = 0; n < 60 && metrics(fw).pause == FLUSH_PAUSE_NONE; n++) {
            assert_true(fworld_pump(fw, &did));
            fake_clock_advance_ms(&fw->w.clock, 100);
        }
        assert_int_equal(metrics(fw).pause, rows[i].pause);
        assert_true(fworld_run(fw));
        fworld_check(fw);
    }
}

static void a_key_that_json_rpc_refuses_holds_until_another_comes(void **state)
{
    struct flush_world *fw = *state;
    bool did;
    fw->options.key = "wrong";
    by_json_rpc(fw);
    fworld_sell(fw, 0, 1, false);
    for (int n = 0; n < 60; n++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 100);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_KEY);
    flush_key_set(fw->f, "sandbox");
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

int main(void)
{
    hf_log_set_level(HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        EACH(movements_are_netted_per_product_place_and_kind),
        EACH(every_kind_goes_its_way),
        EACH(random_work_comes_out_as_the_oracle_says),
        EACH(the_server_action_posts_in_one_call),
        EACH(with_the_action_the_key_needs_no_administrators_rights),
        EACH(the_action_posts_into_no_other_database),
        EACH(each_line_names_its_lsn_span),
        EACH(pages_and_errors_that_pass_are_waited_out),
        EACH(without_memory_nothing_is_left_out),
        EACH(a_refused_line_becomes_a_dead_letter_and_the_rest_is_posted),
        EACH(what_odoo_does_not_know_is_told_line_by_line),
        EACH(wizards_are_no_success),
        cmocka_unit_test(a_first_try_that_commits_late_is_not_doubled),
        EACH(a_batch_that_keeps_failing_is_halved_and_a_line_tried_on),
        EACH(dead_letters_without_room_hold_the_flusher),
        EACH(a_full_disk_holds_the_flusher),
        EACH(odoo_away_costs_nothing_but_time),
        EACH(another_database_stops_posting),
        EACH(a_wrong_key_pauses_until_it_is_exchanged),
        EACH(a_document_cancelled_by_a_person_is_a_dead_letter),
        EACH(anothers_document_of_its_name_stops_it),
        EACH(a_lost_state_is_noticed),
        EACH(a_damaged_state_is_refused),
        EACH(options_are_checked),
        EACH(a_flusher_far_behind_reads_the_archive),
        EACH(a_quiet_flusher_lets_segments_go),
        EACH(everything_goes_out_by_json_rpc_too),
        EACH(errors_by_json_rpc_are_told_by_their_names),
        EACH(a_key_that_json_rpc_refuses_holds_until_another_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
