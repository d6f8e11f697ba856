// An error of the flusher's own files: it begins anew from what is on the disk, and Odoo has each
// movement once all the same. The engine goes on deciding.
#include "flush_tests.h"
#include "tripping_storage.h"

struct variant {
    const char *name;
    bool action, archive;
};
static const struct variant variants[] = {
    {"two calls", false, true}, {"one call", true, true}, {"without archive", false, false}};

struct tripping_world {
    struct flush_world fw;
    struct tripping_storage door;
};

static struct tripping_world *world_make(const struct variant *v, uint64_t seed)
{
    struct tripping_world *t = calloc(1, sizeof *t);
    fworld_init(&t->fw, seed);
    tripping_storage_init(&t->door, t->fw.w.disk);
    t->fw.options.storage = &t->door.base;
    t->fw.options.action_id = v->action ? 13000000 : 0;
    t->fw.w.options.archive = v->archive;
    reopen(&t->fw);
    return t;
}

static void world_free(struct tripping_world *t)
{
    fworld_fini(&t->fw);
    free(t);
}

static void work(struct tripping_world *t, int count)
{
    for (int i = 0; i < count; i++)
        fworld_work(&t->fw);
    world_settle(&t->fw.w);
}

// The history tells of every line that was posted. A batch may stand there twice: it is written
// down before the state is, and power may fail in between.
static void history_check(struct flush_world *fw)
{
    struct flush_fates *fates;
    const struct flush_history_filter all = {.max = 1000000};
    int64_t at_customers[CELLS / 2] = {0};
    uint64_t today = core_now(fw->w.core) / HISTORY_DAY_MS;
    uint32_t n;
    assert_int_equal(flush_fates_create(fw->f, &fates), HF_OK);
    for (uint64_t day = today - 2; day <= today; day++)
        assert_int_equal(flush_fates_day(fates, day, &all), HF_OK);
    const struct flush_span *s = flush_fates_spans(fates, &n);
    for (uint32_t i = 0; i < n; i++) {
        bool again = s[i].where != FLUSH_ACKNOWLEDGED;
        for (uint32_t k = 0; k < i && !again; k++)
            again = s[k].batch == s[i].batch && s[k].handle == s[i].handle;
        int sign = s[i].kind == FLUSH_SALE                                  ? 1
                   : s[i].kind == FLUSH_RESTOCK || s[i].kind == FLUSH_SCRAP ? -1
                                                                            : 0;
        for (uint32_t c = 0; c < CELLS && !again; c++)
            if (fw->cells[c] == s[i].handle)
                at_customers[c / 2] += sign * s[i].quantity;
    }
    for (uint32_t i = 0; i < CELLS / 2; i++)
        assert_int_equal(at_customers[i], fw->customers[i]);
    flush_fates_destroy(fates);
}

static void p7_p8_each_call_for_its_files_fails_once(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        uint64_t errors = 0;
        for (uint64_t at = 1, through = 0; !through; at += v ? 5 : 2) {
            struct tripping_world *t = world_make(&variants[v], 5);
            work(t, 40);
            t->door.from = t->door.to = t->door.calls + at;
            assert_true(fworld_run(&t->fw));
            through = t->door.tripped == 0;
            errors += t->door.tripped;
            // What a history read or an expiry may do without is no failure.
            assert_true(metrics(&t->fw).recoveries <= t->door.tripped);
            work(t, 10);
            assert_true(fworld_run(&t->fw));
            fworld_check(&t->fw);
            fworld_restart(&t->fw);
            assert_true(fworld_run(&t->fw));
            fworld_check(&t->fw);
            history_check(&t->fw);
            world_free(t);
        }
        printf("%s: %" PRIu64 " errors\n", variants[v].name, errors);
        assert_true(errors > 10);
    }
}

// R3: what was read back after a failed sync need not be on the disk.
static void p7_p8_power_fails_after_an_error_of_its_files(void **state)
{
    (void)state;
    uint64_t errors = 0, crashes = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct tripping_world *t = world_make(&variants[seed % 3], seed);
        for (int round = 0; round < 4; round++) {
            work(t, 20);
            t->door.from = t->door.calls + prng_between(&t->fw.prng, 1, 60);
            t->door.to = t->door.from + prng_below(&t->fw.prng, 5);
            t->fw.w.disk->faults.crash_in = prng_between(&t->fw.prng, 1, 150);
            if (!fworld_run(&t->fw)) {
                assert_true(t->fw.w.disk->crashed);
                crashes++;
                t->door.from = 0;
                fworld_restart(&t->fw);
            }
            t->fw.w.disk->faults.crash_in = t->door.from = 0;
        }
        errors += t->door.tripped;
        assert_true(fworld_run(&t->fw));
        fworld_check(&t->fw);
        history_check(&t->fw);
        world_free(t);
    }
    printf("%" PRIu64 " errors, %" PRIu64 " power losses\n", errors, crashes);
    assert_true(errors > 30 && crashes > 10);
}

// R3, to the point: what was read back after the error is sent, and then power fails. False: there
// was no error.
static bool sent_and_lost(uint64_t seed, uint64_t error_at, uint64_t lost_at)
{
    struct tripping_world *t = world_make(&variants[1], seed);
    struct flush_world *fw = &t->fw;
    bool did;
    work(t, 12);
    t->door.from = t->door.to = t->door.calls + error_at;
    for (int i = 0; i < 400 && metrics(fw).recoveries == 0; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, did ? 1 : 500);
    }
    bool tripped = metrics(fw).recoveries > 0;
    fw->odoo.crash_at = tripped ? fw->odoo.calls + lost_at : 0;
    fw->odoo.crash_after = true;
    if (!fworld_run(fw)) {
        t->door.from = 0;
        fworld_restart(fw);
        for (uint32_t i = 0; i < CELLS; i++) // a batch of the same number has another content now
            fworld_sell(fw, i, 1, false);
    }
    fw->odoo.crash_at = 0;
    assert_true(fworld_run(fw));
    fworld_check(fw);
    world_free(t);
    return tripped;
}

static void p7_what_was_read_back_is_durable_before_it_is_sent(void **state)
{
    (void)state;
    uint64_t errors = 0;
    for (uint64_t seed = 12; seed < 18; seed++)
        for (uint64_t at = 19; at <= 22; at++)
            for (uint64_t lost_at = 4; lost_at <= 6; lost_at++)
                errors += sent_and_lost(seed, at, lost_at);
    assert_true(errors > 40);
}

static void while_its_files_fail_the_engine_sells_and_that_is_told(void **state)
{
    (void)state;
    struct tripping_world *t = world_make(&variants[0], 7);
    struct flush_world *fw = &t->fw;
    struct flush_fates *fates;
    bool did;
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    uint64_t posted = metrics(fw).batches_posted;
    t->door.from = t->door.calls + 1;
    t->door.to = UINT64_MAX;
    for (int i = 0; i < 200; i++) {
        fworld_sell(fw, (uint32_t)i % CELLS, 1, false);
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    struct flush_metrics m = metrics(fw);
    assert_int_equal(m.pause, FLUSH_PAUSE_DISK_ERROR);
    assert_int_equal(m.batches_posted, posted);
    assert_true(t->door.tripped > 3 && t->door.tripped < 60); // it backs off
    assert_int_equal(flush_fates_create(fw->f, &fates), HF_BUSY);
    assert_int_equal(flush_dead_retry(fw->f, 1, core_now(fw->w.core)), HF_AGAIN);
    assert_false(flush_contact(fw->f, core_now(fw->w.core)));
    t->door.from = 0;
    assert_true(fworld_run(fw));
    m = metrics(fw);
    assert_int_equal(m.pause, FLUSH_PAUSE_NONE);
    assert_int_equal(m.recoveries, 1);
    fworld_check(fw);
    world_free(t);
}

// Found by the simulator: the files are written anew, and there was no room for that. It ended for
// good, by a disk that was full for a moment.
static void a_disk_that_is_full_while_it_begins_anew_is_waited_for(void **state)
{
    (void)state;
    struct tripping_world *t = world_make(&variants[0], 9);
    struct flush_world *fw = &t->fw;
    bool did;
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    fworld_sell(fw, 1, 2, false);
    world_settle(&fw->w);
    t->door.from = t->door.calls + 1;
    t->door.to = UINT64_MAX;
    for (int i = 0; i < 50 && metrics(fw).pause != FLUSH_PAUSE_DISK_ERROR; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 100);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_DISK_ERROR);
    t->door.from = 0;
    fw->w.disk->faults.capacity_bytes = 1; // full
    for (int i = 0; i < 100; i++) {
        assert_true(fworld_pump(fw, &did)); // it has not ended
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).recoveries, 0);
    fw->w.disk->faults.capacity_bytes = 0;
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).recoveries, 1);
    fworld_check(fw);
    world_free(t);
}

// R1: the call that is under way when a file fails may still be booked.
static void a_call_under_way_is_waited_for(void **state)
{
    (void)state;
    struct tripping_world *t = world_make(&variants[1], 8);
    struct flush_world *fw = &t->fw;
    fw->options.posters = 2;
    reopen(fw);
    struct flush_poster *p = flush_poster_create(fw->f, &fw->odoo.base);
    bool did = true;
    fworld_sell(fw, 0, 3, false);
    for (int i = 0; i < 100 && metrics(fw).calling == 0; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).calling, 1);
    // It has something else to write meanwhile.
    t->door.from = t->door.calls + 1;
    t->door.to = t->door.from;
    fworld_sell(fw, 2, 1, false);
    for (int i = 0; i < 20; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    fw->f->failed = t->door.tripped ? fw->f->failed : flush_fail(fw->f, HF_IO, "a test");
    uint64_t recovered = metrics(fw).recoveries;
    for (int i = 0; i < 200; i++) {
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).recoveries, recovered);
    flush_poster_step(p, 0); // booked, and its answer is thrown away
    for (int i = 0; i < 1000 && !(fworld_idle(fw) && !did); i++) {
        assert_true(fworld_pump(fw, &did));
        if (metrics(fw).calling)
            flush_poster_step(p, 0);
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_true(metrics(fw).recoveries > recovered);
    fworld_check(fw);
    flush_poster_destroy(p);
    world_free(t);
}

// R2: what was appended is not among what a reader sees before it is durable.
static void an_acknowledgement_that_is_not_durable_yet_is_waited_for(void **state)
{
    (void)state;
    struct tripping_world *t = world_make(&variants[1], 11);
    struct flush_world *fw = &t->fw;
    enum hf_status s = HF_OK;
    fworld_sell(fw, 0, 3, false);
    world_settle(&fw->w);
    for (int i = 0; i < 200 && fw->f->appended_lsn == 0; i++) { // nobody writes the journal
        s = flush_step(fw->f, fw->w.worker, core_now(fw->w.core));
        assert_true(s == HF_OK || s == HF_AGAIN);
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_true(fw->f->appended_lsn > core_durable(fw->w.core));
    (void)!flush_fail(fw->f, HF_IO, "a test");
    for (int i = 0; i < 50; i++) {
        s = flush_step(fw->f, fw->w.worker, core_now(fw->w.core));
        assert_int_equal(s, HF_AGAIN);
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).recoveries, 1);
    fworld_check(fw);
    world_free(t);
}

// R4
static void a_state_that_is_gone_is_no_new_beginning(void **state)
{
    (void)state;
    struct tripping_world *t = world_make(&variants[0], 9);
    struct flush_world *fw = &t->fw;
    bool did;
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    assert_int_equal(fw->w.disk->base.ops->unlink(&fw->w.disk->base, FLUSH_STATE_NAME), HF_OK);
    (void)!flush_fail(fw->f, HF_IO, "a test");
    fworld_sell(fw, 0, 2, false);
    bool ended = false;
    for (int i = 0; i < 20 && !ended; i++) {
        ended = !fworld_pump(fw, &did);
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_true(ended);
    assert_int_equal(flush_step(fw->f, fw->w.worker, core_now(fw->w.core)), HF_DAMAGED);
    assert_int_equal(core_status(fw->w.core), HF_OK);
    fworld_sell(fw, 0, 1, false); // the engine sells
    world_free(t);
}

static void discard_all(struct flush_world *fw, const struct hf_uuid ids[2])
{
    for (int i = 0; i < 2; i++) {
        struct flush_discarding k = {(uint64_t)i + 1, ids[i], "ann", "the product is gone"};
        enum hf_status s = HF_BUSY;
        for (int n = 0; n < 100 && s != HF_OK; n++) {
            s = flush_dead_discard(fw->f, &k, core_now(fw->w.core));
            assert_true(s == HF_OK || s == HF_AGAIN || s == HF_IO);
            assert_true(fworld_run(fw)); // and whoever got no answer asks again
        }
        assert_int_equal(s, HF_OK);
    }
}

static void p7_p8_each_call_fails_while_letters_are_discarded(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (uint64_t at = 1, through = 0; !through; at += v ? 4 : 2) {
            struct tripping_world *t = world_make(&variants[v], 10);
            struct flush_world *fw = &t->fw;
            fault(fw, "{\"kind\":\"user_error\",\"product\":\"tea\",\"count\":-1}");
            fworld_sell(fw, 0, 5, false);
            fworld_change(fw, 1, -4, "counted");
            assert_true(fworld_run(fw));
            assert_int_equal(metrics(fw).dead_letters, 2);
            const struct hf_uuid ids[2] = {world_id(&fw->w), world_id(&fw->w)};
            t->door.from = t->door.to = t->door.calls + at;
            discard_all(fw, ids);
            for (int i = 0; i < 50; i++) {
                bool did;
                assert_true(fworld_pump(fw, &did));
                fake_clock_advance_ms(&fw->w.clock, 100);
            }
            through = t->door.tripped == 0;
            assert_int_equal(metrics(fw).dead_letters, 0);
            assert_int_equal(metrics(fw).discards, 2);
            assert_int_equal(metrics(fw).discards_open, 0);
            struct core_cell c = world_read(&fw->w, fw->cells[0]);
            assert_int_equal(c.on_hand, START - 5); // once
            assert_int_equal(c.committed, 0);
            assert_int_equal(world_read(&fw->w, fw->cells[1]).on_hand, START - 4);
            assert_int_equal(sandbox_quantity(fw->sandbox, "tea", "WH/Stock"), START * 1000000);
            world_free(t);
        }
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_VERBOSE") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p7_p8_each_call_for_its_files_fails_once),
        cmocka_unit_test(p7_p8_power_fails_after_an_error_of_its_files),
        cmocka_unit_test(p7_what_was_read_back_is_durable_before_it_is_sent),
        cmocka_unit_test(while_its_files_fail_the_engine_sells_and_that_is_told),
        cmocka_unit_test(a_disk_that_is_full_while_it_begins_anew_is_waited_for),
        cmocka_unit_test(a_call_under_way_is_waited_for),
        cmocka_unit_test(an_acknowledgement_that_is_not_durable_yet_is_waited_for),
        cmocka_unit_test(a_state_that_is_gone_is_no_new_beginning),
        cmocka_unit_test(p7_p8_each_call_fails_while_letters_are_discarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
