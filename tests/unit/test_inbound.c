// What others do in Odoo, brought here once.
#include "inbound_world.h"

static void others_moves_are_applied_once(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    assert_true(poll(t)); // what was before is known
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
    move(t, "oil", "SHOP/Stock", CUSTOMERS, 7, true);
    for (int i = 0; i < 3; i++) {
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).on_hand, START + 25);
        assert_int_equal(cell(t, 1).on_hand, START + 15);
        assert_int_equal(cell(t, 3).on_hand, START - 7);
        fake_clock_advance_ms(&t->fw.w.clock, 70000);
    }
    assert_true(fworld_run(&t->fw));
    assert_int_equal(sandbox_pickings(t->fw.sandbox, "done"), 3); // none was told back
    inbound_world_free(t);
}

static void our_own_documents_are_left_out(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(2);
    assert_true(poll(t));
    fworld_sell(&t->fw, 0, 9, false);
    fworld_change(&t->fw, 2, -3, "counted");
    assert_true(fworld_run(&t->fw));
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 9);
    assert_int_equal(cell(t, 2).on_hand, START - 3);
    assert_int_equal(odoo_of(t, 0), START - 9);
    struct inbound_metrics m;
    inbound_metrics(t->in, &m);
    assert_int_equal(m.lines, 0);
    inbound_world_free(t);
}

static void open_demand_is_external_until_it_is_shipped(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(3);
    assert_true(poll(t));
    json_int_t id = move(t, "rye", "WH/Stock", CUSTOMERS, 30, false);
    assert_true(poll(t));
    assert_int_equal(cell(t, 4).external, 30);
    assert_int_equal(cell(t, 4).available, START - 30);
    json_decref(other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", id)));
    assert_true(poll(t));
    assert_int_equal(cell(t, 4).external, 0);
    assert_int_equal(cell(t, 4).on_hand, START - 30);
    assert_int_equal(cell(t, 4).available, START - 30); // never more in between
    inbound_world_free(t);
}

static void power_fails_at_every_storage_call_and_moves_count_once(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++) {
        struct inbound_world *t = inbound_world_make(4);
        assert_true(poll(t));
        move(t, "tea", VENDORS, "WH/Stock", 40, true);
        move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
        through = poll_through(t, at);
        crashes += !through;
        move(t, "oil", VENDORS, "WH/Stock", 1, true);
        assert_true(poll(t));
        inbound_world_restart(t);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).on_hand, START + 25);
        assert_int_equal(cell(t, 1).on_hand, START + 15);
        assert_int_equal(cell(t, 2).on_hand, START + 1);
        inbound_world_free(t);
    }
    printf("%llu power losses\n", (unsigned long long)crashes);
    assert_true(crashes >= 8);
}

// False: power failed.
static bool moves_come_in(struct inbound_world *t)
{
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
    return poll(t) && poll(t);
}

// I3: its file fails, it is read back, and then power fails too.
static void each_call_for_its_file_fails_and_moves_count_once(void **state)
{
    (void)state;
    uint64_t errors = 0, crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++)
        for (uint64_t crash = 0; crash < 12; crash++) {
            struct inbound_world *t = inbound_world_make(40 + crash);
            assert_true(poll(t));
            tripping_storage_init(&t->door, t->fw.w.disk);
            inbound_world_restart(t);
            assert_true(poll(t));
            t->door.from = t->door.to = t->door.calls + at;
            t->fw.w.disk->faults.crash_in = crash ? at + crash : 0;
            bool lost = !moves_come_in(t);
            through = !lost && t->door.tripped == 0;
            errors += t->door.tripped;
            t->fw.w.disk->faults.crash_in = t->door.from = 0;
            if (lost) {
                crashes++;
                inbound_world_restart(t);
            }
            assert_true(poll(t));
            assert_int_equal(cell(t, 0).on_hand, START + 25);
            assert_int_equal(cell(t, 1).on_hand, START + 15);
            inbound_world_restart(t);
            assert_true(poll(t));
            assert_int_equal(cell(t, 0).on_hand, START + 25);
            inbound_world_free(t);
        }
    printf("%llu errors, %llu power losses\n", (unsigned long long)errors,
           (unsigned long long)crashes);
    assert_true(errors > 30 && crashes > 20);
}

// A file that was there and is not any more is no new beginning: every line would count again.
static void a_file_that_is_gone_ends_it(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(60);
    tripping_storage_init(&t->door, t->fw.w.disk);
    inbound_world_restart(t);
    assert_true(poll(t));
    struct storage *disk = &t->fw.w.disk->base;
    assert_int_equal(disk->ops->unlink(disk, "inbound.hfs"), HF_OK);
    t->door.from = t->door.calls + 1;
    t->door.to = t->door.from;
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    enum hf_status s = HF_AGAIN;
    for (int i = 0; i < 50 && s == HF_AGAIN; i++) {
        s = inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core));
        fake_clock_advance_ms(&t->fw.w.clock, 500);
    }
    assert_int_equal(s, HF_DAMAGED);
    assert_int_equal(cell(t, 0).on_hand, START);
    struct inbound_metrics m;
    inbound_metrics(t->in, &m);
    assert_int_equal(m.ended, 1);
    inbound_world_free(t);
}

// A batch that Odoo answers with a missing right holds the flusher, for good when nobody mends it.
static void others_moves_come_in_while_a_batch_holds_the_flusher(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    bool did;
    assert_true(poll(t));
    fault(&t->fw, "{\"kind\":\"access\",\"method\":\"create\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(&t->fw, 0, 5, false);
    for (int round = 1; round <= 3; round++) {
        move(t, "oil", VENDORS, "WH/Stock", 10, true);
        fake_clock_advance_ms(&t->fw.w.clock, 70000); // locations are to be read again
        for (int i = 0; i < 50; i++)
            assert_true(fworld_pump(&t->fw, &did));
        fake_clock_advance_ms(&t->fw.w.clock, 2000);
        for (int i = 0; i < 50; i++)
            assert_true(fworld_pump(&t->fw, &did));
        uint64_t until_ms = t->fw.f->pause_until_ms;
        assert_int_equal(metrics(&t->fw).pause, FLUSH_PAUSE_RIGHTS);
        enum hf_status s = HF_AGAIN;
        for (int i = 0; i < 3 && s == HF_AGAIN; i++) { // the flusher does nothing meanwhile
            s = inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core));
            world_settle(&t->fw.w);
        }
        assert_int_equal(s, HF_OK);
        assert_int_equal(cell(t, 2).on_hand, START + 10 * round);
        assert_int_equal(t->fw.f->pause, FLUSH_PAUSE_RIGHTS);
        assert_int_equal(t->fw.f->pause_until_ms, until_ms);
    }
    inbound_world_free(t);
}

// Another database is none to be read, whatever else holds the flusher.
static void another_database_is_not_read_while_a_batch_holds_the_flusher(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    struct sandbox_answer a;
    const char *other = "{\"uuid\":\"11111111-2222-4333-8444-555555555555\"}";
    struct sandbox_request r = {
        .method = "POST", .path = "/sandbox/database", .body = other, .body_bytes = strlen(other)};
    bool did;
    assert_true(poll(t));
    fault(&t->fw, "{\"kind\":\"access\",\"method\":\"create\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(&t->fw, 0, 5, false);
    for (int i = 0; i < 100; i++) {
        fake_clock_advance_ms(&t->fw.w.clock, 700);
        assert_true(fworld_pump(&t->fw, &did));
    }
    for (int i = 0; i < 20 && t->fw.f->pause_until_ms <= core_now(t->fw.w.core); i++)
        assert_true(fworld_pump(&t->fw, &did));
    sandbox_handle(t->fw.sandbox, &r, &a);
    free(a.body);
    move(t, "oil", VENDORS, "WH/Stock", 10, true);
    assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
    assert_int_equal(cell(t, 2).on_hand, START);
    assert_int_equal(t->fw.f->pause, FLUSH_PAUSE_RIGHTS);
    inbound_world_free(t);
}

// Reads of the disk that the first poll after a restart costs when so many changes were planned.
static uint64_t reads_after(uint32_t changes)
{
    struct inbound_world *t = inbound_world_make(34);
    assert_true(poll(t));
    for (uint32_t i = 0; i < changes; i++)
        move(t, "tea", VENDORS, "WH/Stock", 1, true);
    assert_true(poll(t));
    for (uint32_t i = 0; i < 40; i++)
        fworld_sell(&t->fw, 2, 1, false);
    world_settle(&t->fw.w);
    inbound_world_restart(t);
    assert_int_equal(t->in->intent_count, changes);
    uint64_t reads = t->fw.w.disk->counts.reads;
    assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_OK);
    reads = t->fw.w.disk->counts.reads - reads;
    assert_int_equal(cell(t, 0).on_hand, START + changes);
    inbound_world_free(t);
    return reads;
}

static void a_start_looks_for_all_changes_in_one_go(void **state)
{
    (void)state;
    uint64_t one = reads_after(1), many = reads_after(50);
    printf("%llu reads, %llu\n", (unsigned long long)one, (unsigned long long)many);
    assert_true(one > 0 && many <= 3 * one);
}

// More moves than one poll plans: else the file could be written larger than it is read.
static void more_moves_than_a_poll_plans_come_in_by_and_by(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(31);
    t->plan_max = 3;
    inbound_world_restart(t);
    assert_true(poll(t));
    json_int_t open = move(t, "tea", "WH/Stock", CUSTOMERS, 50, false);
    assert_true(poll(t));
    for (int i = 0; i < 10; i++)
        move(t, "tea", VENDORS, "WH/Stock", 1, true);
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", open)));
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
        assert_true(t->in->intent_count <= 3);
        world_settle(&t->fw.w);
        struct core_cell c = cell(t, 0);
        // Demand is what it was until all that was shipped is known: nothing is free in between.
        assert_true(c.available <= START - 50 + 10);
        if (i == 2) {
            inbound_world_restart(t);
            assert_int_equal(t->in->line_count, 6);
        }
    }
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 50 + 10);
    assert_int_equal(cell(t, 0).external, 0);
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 50 + 10);
    inbound_world_free(t);
}

// It read as fresh as long as no poll had ever gone through.
static void its_age_counts_from_the_start(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(35);
    struct inbound_metrics m;
    t->odoo.away = true;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
        fake_clock_advance_ms(&t->fw.w.clock, 60000);
    }
    inbound_metrics(t->in, &m);
    assert_true(inbound_age_ms(&m, core_now(t->fw.w.core)) >= 600000);
    assert_int_equal(m.ended, 0);
    t->odoo.away = false;
    assert_true(poll(t));
    inbound_metrics(t->in, &m);
    assert_true(inbound_age_ms(&m, core_now(t->fw.w.core)) < 60000);
    inbound_world_free(t);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_moves_are_applied_once),
        cmocka_unit_test(our_own_documents_are_left_out),
        cmocka_unit_test(open_demand_is_external_until_it_is_shipped),
        cmocka_unit_test(power_fails_at_every_storage_call_and_moves_count_once),
        cmocka_unit_test(each_call_for_its_file_fails_and_moves_count_once),
        cmocka_unit_test(a_file_that_is_gone_ends_it),
        cmocka_unit_test(others_moves_come_in_while_a_batch_holds_the_flusher),
        cmocka_unit_test(another_database_is_not_read_while_a_batch_holds_the_flusher),
        cmocka_unit_test(a_start_looks_for_all_changes_in_one_go),
        cmocka_unit_test(more_moves_than_a_poll_plans_come_in_by_and_by),
        cmocka_unit_test(its_age_counts_from_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
