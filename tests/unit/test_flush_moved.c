// A data folder that is older than Odoo: a backup is taken while the engine sells and posts, the
// engine goes on, and then the backup is opened in its place. Nothing that Odoo has is posted
// again, nothing that it has not is lost, also when power fails while the rest is learned.
#include "flush_tests.h"

static void pumps(struct flush_world *fw, unsigned most)
{
    for (uint64_t n = prng_below(&fw->prng, most + 1); n > 0; n--) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        if (!did)
            fake_clock_advance_ms(&fw->w.clock, 300);
    }
}

static void work(struct flush_world *fw, unsigned steps, bool pump)
{
    for (unsigned i = 0; i < steps; i++) {
        fworld_work(fw);
        fake_clock_advance_ms(&fw->w.clock, 20);
        if (i % 8 == 7)
            world_settle(&fw->w);
        if (pump)
            pumps(fw, 4);
    }
    world_settle(&fw->w);
}

static void disk_use(struct flush_world *fw, struct fake_storage *disk)
{
    fw->w.disk = disk;
    fw->w.options.storage = fw->options.storage = &disk->base;
    fw->odoo.disk = disk;
}

// The backup is opened in the place of what there was.
static enum hf_status try_restore(struct flush_world *fw, struct hf_uuid fresh)
{
    enum hf_status s = world_try_open(&fw->w);
    if (s != HF_OK)
        return s;
    fw->options.core = fw->w.core;
    s = flush_moved_begin(&fw->w.disk->base, fw->w.core, fresh, core_now(fw->w.core));
    return s == HF_OK ? flush_open(&fw->options, &fw->f, fw->why) : s;
}

static void restore(struct flush_world *fw, struct fake_storage *backup, uint64_t salt)
{
    fworld_close(fw);
    storage_destroy(&fw->w.disk->base);
    disk_use(fw, backup);
    fw->sold_count = 0;
    fake_storage_kill(backup);
    enum hf_status s = try_restore(fw, (struct hf_uuid){0x0190000000007abd, salt});
    if (s != HF_OK)
        fail_msg("restore: %s: %s %s", hf_status_name(s), fw->w.report.why, fw->why);
    fake_odoo_settle(&fw->odoo); // what was under way in the former life commits at last
}

static struct fake_storage *backup_of(struct flush_world *fw)
{
    world_settle(&fw->w);
    return fake_storage_clone(fw->w.disk);
}

// With sales alone that are not posted yet: what nets to nothing with lost movements is in no
// document, so the folder posts its part, and whether Odoo ends as before would be by chance. For
// the same reason no order that it has is cancelled afterwards.
static struct fake_storage *backup_with_sales_waiting(struct flush_world *fw)
{
    work(fw, 40, true);
    assert_true(fworld_run(fw));
    for (unsigned i = 0; i < 20; i++) {
        fworld_sell(fw, (uint32_t)prng_below(&fw->prng, CELLS), 2, i % 3 == 0);
        world_settle(&fw->w);
        pumps(fw, 2);
    }
    fw->sold_count = 0;
    return backup_of(fw);
}

static void world_make(struct flush_world *fw, uint64_t seed)
{
    fworld_init(fw, seed);
    fw->options.settle_ms = 2000;
    if (seed % 2)
        fw->options.action_id = 13000000;
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
}

static const uint64_t seeds = 12;

// Nothing was sold after the backup, but some of what had been was posted.
static void what_was_posted_after_the_backup_is_not_posted_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct flush_world fw;
        world_make(&fw, seed);
        work(&fw, 60, true);
        struct fake_storage *backup = backup_of(&fw);
        pumps(&fw, 60);
        restore(&fw, backup, 0x8000a00000000000 + seed);
        work(&fw, 20, true); // it sells meanwhile
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        assert_int_equal(metrics(&fw).dead_letters, 0);
        assert_false(fake_storage_exists(fw.w.disk, "moved.hfs"));
        fworld_fini(&fw);
    }
}

// What was sold after the backup and is in Odoo is taken out of on hand.
static void what_was_lost_with_the_folder_stays_booked(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct flush_world fw;
        world_make(&fw, seed);
        struct fake_storage *backup = backup_with_sales_waiting(&fw);
        work(&fw, 60, true);
        assert_true(fworld_run(&fw));
        restore(&fw, backup, 0x8000a00000000000 + seed);
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        work(&fw, 20, true);
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        fworld_fini(&fw);
    }
}

// The same backup once more, after the restored engine has gone on.
static void a_backup_may_be_restored_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct flush_world fw;
        world_make(&fw, seed);
        struct fake_storage *backup = backup_with_sales_waiting(&fw),
                            *again = fake_storage_clone(backup);
        work(&fw, 30, true);
        assert_true(fworld_run(&fw));
        restore(&fw, backup, 0x8000a00000000000 + seed);
        work(&fw, 30, true);
        assert_true(fworld_run(&fw));
        restore(&fw, again, 0x8000b00000000000 + seed);
        work(&fw, 10, true);
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        fworld_fini(&fw);
    }
}

// Some of what was sold after the backup was posted, some not: both sides are equal all the same.
static void both_sides_are_equal_whatever_was_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct flush_world fw;
        world_make(&fw, seed);
        work(&fw, 40, true);
        struct fake_storage *backup = backup_of(&fw);
        work(&fw, 40, true);
        pumps(&fw, 50);
        restore(&fw, backup, 0x8000a00000000000 + seed);
        assert_true(fworld_run(&fw));
        for (uint32_t i = 0; i < CELLS; i++) {
            struct core_cell c = world_read(&fw.w, fw.cells[i]);
            assert_int_equal(c.committed, 0);
            assert_int_equal(millionths(&fw, i, c.on_hand),
                             sandbox_quantity(fw.sandbox, sku_of(i), stock_of(i)));
        }
        fworld_fini(&fw);
    }
}

static void power_fails_at_every_call_while_it_is_learned(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    bool through = false;
    for (uint64_t at = 1; !through; at++) {
        struct flush_world fw;
        world_make(&fw, 5);
        struct fake_storage *backup = backup_with_sales_waiting(&fw);
        work(&fw, 25, true);
        assert_true(fworld_run(&fw));
        restore(&fw, backup, 0x8000a00000000000 + at);
        fw.w.disk->faults.crash_in = at;
        through = fworld_run(&fw);
        fw.w.disk->faults.crash_in = 0;
        if (!through) {
            crashes++;
            fworld_restart(&fw);
            assert_true(fworld_run(&fw));
        }
        fworld_check(&fw);
        fworld_fini(&fw);
    }
    printf("%llu power losses\n", (unsigned long long)crashes);
    assert_true(crashes >= 20);
}

// Moved once more before the first move was over.
static void a_move_may_be_interrupted_by_another(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct flush_world fw;
        world_make(&fw, seed);
        struct fake_storage *backup = backup_with_sales_waiting(&fw);
        work(&fw, 20, true);
        assert_true(fworld_run(&fw));
        restore(&fw, backup, 0x8000a00000000000 + seed);
        work(&fw, 10, false);
        pumps(&fw, 60);
        fworld_close(&fw);
        fake_storage_restart(fw.w.disk);
        assert_int_equal(
            try_restore(&fw, (struct hf_uuid){0x0190000000007abd, 0x8000b00000000000 + seed}),
            HF_OK);
        work(&fw, 10, true);
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        fworld_fini(&fw);
    }
}

// Without --moved an older folder stops at once, before it posts anything.
static void an_older_folder_is_recognized(void **state)
{
    struct flush_world *fw = *state;
    work(fw, 30, true);
    struct fake_storage *backup = backup_of(fw);
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    uint32_t documents = sandbox_pickings(fw->sandbox, "done");
    fworld_close(fw);
    storage_destroy(&fw->w.disk->base);
    disk_use(fw, backup);
    fake_storage_kill(backup);
    fworld_open(fw);
    fworld_sell(fw, 0, 5, false);
    pumps(fw, 0);
    for (int i = 0; i < 300; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_RESTORED);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), documents);
}

// A restored folder and its original, which was not gone after all: the original stops.
static void the_original_stops_once_its_copy_has_taken_over(void **state)
{
    struct flush_world *fw = *state;
    work(fw, 30, true);
    assert_true(fworld_run(fw));
    struct fake_storage *original = fw->w.disk, *copy = backup_of(fw);
    fworld_close(fw);
    disk_use(fw, copy);
    fake_storage_kill(copy);
    fw->options.settle_ms = 2000;
    assert_int_equal(try_restore(fw, (struct hf_uuid){0x0190000000007abd, 0x8000c00000000000}),
                     HF_OK);
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    fworld_close(fw);
    storage_destroy(&copy->base);
    disk_use(fw, original);
    fake_storage_restart(original);
    uint32_t documents = sandbox_pickings(fw->sandbox, "done");
    fworld_open(fw);
    fworld_sell(fw, 0, 5, false);
    for (int i = 0; i < 300; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_ANOTHER);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), documents);
}

// A new folder under the old one's name must not post beside its documents unasked; asked to, it
// takes none of them for its own records.
static void a_new_folder_does_not_take_the_old_ones_documents_for_its_own(void **state)
{
    struct flush_world *fw = *state;
    fworld_sell(fw, 0, 7, false);
    assert_true(fworld_run(fw));
    fworld_close(fw);
    storage_destroy(&fw->w.disk->base);
    disk_use(fw, fake_storage_create(9, &fw->w.clock));
    fw->w.options.fresh_id.lo++;
    fw->options.fresh_id.lo++;
    fw->options.settle_ms = 2000;
    fworld_open(fw);
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_admin_answer a;
        core_cell_make(fw->w.worker, core_now(fw->w.core), sku_of(i), (uint32_t)strlen(sku_of(i)),
                       i % 2 ? "Shop" : "Store", i % 2 ? 4 : 5, i >= 10 ? 3 : 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        fw->cells[i] = a.handle;
        int64_t odoo = sandbox_quantity(fw->sandbox, sku_of(i), stock_of(i));
        fworld_change(fw, i, odoo / (i >= 10 ? 1000 : 1000000), FLUSH_REASON_INBOUND "import");
    }
    fworld_sell(fw, 0, 4, false);
    for (int i = 0; i < 100; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, 500);
    }
    assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_ANOTHER);
    fworld_close(fw);
    fake_storage_restart(fw->w.disk);
    assert_int_equal(try_restore(fw, (struct hf_uuid){0x0190000000007abd, 0x8000d00000000000}),
                     HF_OK);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// Something to do after it: without, it would be taken to rest while it settles.
static void run_on(struct flush_world *fw)
{
    fworld_sell(fw, 2, 1, false);
    assert_true(fworld_run(fw));
    assert_int_equal(fw->f->moved.phase, FLUSH_NOT_MOVED);
}

// A sale of three that Odoo has refused once.
static struct flush_dead_letter letter_make(struct flush_world *fw)
{
    struct flush_dead_letter d;
    fw->options.settle_ms = 2000;
    reopen(fw);
    fault(fw, "{\"kind\":\"user_error\",\"method\":\"button_validate\"}");
    fworld_sell(fw, 0, 3, false);
    assert_true(fworld_run(fw));
    assert_int_equal(flush_dead_list(fw->f, 0, &d, 1), 1);
    return d;
}

// Found: Odoo has the letter, and the discard booked it once more; the acknowledgement was of an
// incarnation that had ended, which stopped the flusher at each start.
static void while_it_is_learned_no_letter_is_discarded(void **state)
{
    struct flush_world *fw = *state;
    struct flush_dead_letter d = letter_make(fw);
    struct fake_storage *backup = backup_of(fw);
    assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
    assert_true(fworld_run(fw)); // and the former life posts it
    fworld_check(fw);
    restore(fw, backup, 0x8000a00000000001);
    struct flush_discarding k = {d.id, world_id(&fw->w), "ann", "a test"};
    assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_BUSY);
    run_on(fw);
    fworld_check(fw);
    assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_NOT_FOUND);
}

static void a_discard_that_a_backup_holds_is_booked_after_the_move(void **state)
{
    struct flush_world *fw = *state;
    for (int gone = 0; gone < 2; gone++) { // whether the letter has left its file by then
        bool did;
        struct flush_dead_letter d = letter_make(fw);
        struct core_cell before = world_read(&fw->w, fw->cells[0]);
        struct flush_discarding k = {d.id, world_id(&fw->w), "ann", "a test"};
        assert_int_equal(flush_dead_discard(fw->f, &k, core_now(fw->w.core)), HF_OK);
        if (gone)
            assert_int_equal(flush_step(fw->f, fw->w.worker, core_now(fw->w.core)), HF_OK);
        struct fake_storage *backup = backup_of(fw);
        assert_true(fworld_run(fw));
        restore(fw, backup, 0x8000a00000000001 + (uint64_t)gone);
        // A letter with a discard is none that could be retried.
        assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_NOT_FOUND);
        run_on(fw);
        for (int i = 0; i < 20; i++)
            assert_true(fworld_pump(fw, &did));
        reopen(fw);
        assert_true(fworld_run(fw));
        assert_int_equal(metrics(fw).discards_open, 0);
        struct core_cell after = world_read(&fw->w, fw->cells[0]);
        assert_int_equal(after.on_hand, before.on_hand - 3);
        assert_int_equal(after.committed, 0);
    }
}

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

// Some seconds before a moment of the next day, in UTC.
static void until(struct flush_world *fw, uint64_t of_day_ms)
{
    fw->options.settle_ms = 2000;
    uint64_t at = (core_now(fw->w.core) / DAY_MS + 1) * DAY_MS + of_day_ms;
    fake_clock_advance_ms(&fw->w.clock, at - core_now(fw->w.core));
    reopen(fw);
}

static void pump_for(struct flush_world *fw, int steps, uint32_t step_ms)
{
    for (int i = 0; i < steps; i++) {
        bool did;
        assert_true(fworld_pump(fw, &did));
        fake_clock_advance_ms(&fw->w.clock, did ? 1 : step_ms);
    }
}

// Found: the day was taken from the document, which is on another between its posting and its date,
// for weeks where the period is closed. The movement was of no line then, and posted again.
static void a_document_on_a_wrong_day_is_known_all_the_same(void **state)
{
    struct flush_world *fw = *state;
    until(fw, DAY_MS - 20000);
    fw->odoo.away = true;
    fworld_sell(fw, 0, 3, false);
    struct fake_storage *backup = backup_of(fw);
    pump_for(fw, 100, 500);
    fw->odoo.away = false;
    fault(fw, "{\"kind\":\"wizard\",\"method\":\"write\",\"count\":-1}");
    pump_for(fw, 300, 500);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 3000000);
    restore(fw, backup, 0x8000a00000000001);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// Also as a letter that the former life has retried, whose records are read no more.
static void a_letter_on_a_wrong_day_is_known_all_the_same(void **state)
{
    struct flush_world *fw = *state;
    fw->w.options.archive = false;
    until(fw, DAY_MS - 20000);
    struct flush_dead_letter d = letter_make(fw);
    struct fake_storage *backup = backup_of(fw);
    until(fw, 3600 * 1000);
    fault(fw, "{\"kind\":\"wizard\",\"method\":\"write\",\"count\":-1}");
    assert_int_equal(flush_dead_retry(fw->f, d.id, core_now(fw->w.core)), HF_OK);
    pump_for(fw, 300, 500);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 3000000);
    restore(fw, backup, 0x8000a00000000001);
    run_on(fw);
    fworld_check(fw);
    assert_int_equal(metrics(fw).dead_letters, 0);
}

// What the former life has posted, and this one cannot place, would be posted once more.
static void held(struct flush_world *fw)
{
    uint64_t documents = sandbox_pickings(fw->sandbox, "done");
    fworld_sell(fw, 2, 1, false);
    pump_for(fw, 200, 500);
    assert_int_equal(fw->f->pause, FLUSH_PAUSE_UNPLACED);
    assert_int_equal(fw->f->moved.phase, FLUSH_SETTLING);
    assert_int_equal(sandbox_pickings(fw->sandbox, "done"), documents);
}

static void a_document_of_a_location_that_has_left_the_options_holds(void **state)
{
    struct flush_world *fw = *state;
    fw->options.settle_ms = 2000;
    reopen(fw);
    fworld_sell(fw, 1, 3, false);
    struct fake_storage *backup = backup_of(fw);
    assert_true(fworld_run(fw));
    fw->options.location_count = 1;
    restore(fw, backup, 0x8000a00000000001);
    held(fw);
    fw->options.location_count = 2;
    reopen(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

static void movements_of_two_days_by_another_zone_hold(void **state)
{
    struct flush_world *fw = *state;
    until(fw, 15 * 3600 * 1000 - 20000); // Tokyo's midnight
    fw->odoo.away = true;
    fworld_sell(fw, 0, 3, false);
    pump_for(fw, 100, 500);
    fworld_sell(fw, 0, 2, false);
    struct fake_storage *backup = backup_of(fw);
    pump_for(fw, 10, 500);
    fw->odoo.away = false;
    assert_true(fworld_run(fw));
    assert_int_equal(metrics(fw).lines_posted, 1);
    fw->places[0].zone = "Asia/Tokyo";
    restore(fw, backup, 0x8000a00000000001);
    held(fw);
    fw->places[0].zone = NULL;
    reopen(fw);
    assert_true(fworld_run(fw));
    fworld_check(fw);
}

// What was lost with the folder is not posted again, whether or not it can be placed.
static void a_lost_line_that_cannot_be_placed_holds_nothing(void **state)
{
    struct flush_world *fw = *state;
    fw->options.settle_ms = 2000;
    reopen(fw);
    fworld_sell(fw, 0, 3, false);
    struct fake_storage *backup = backup_of(fw);
    fworld_sell(fw, 1, 2, false);
    assert_true(fworld_run(fw));
    fw->options.location_count = 1;
    restore(fw, backup, 0x8000a00000000001);
    assert_true(fworld_run(fw));
    assert_int_equal(world_read(&fw->w, fw->cells[0]).committed, 0);
    assert_int_equal(sandbox_quantity(fw->sandbox, "tea", CUSTOMERS), 5000000);
}

// By a code that is nobody's or another cell's by now; or in a part, by hand.
static void a_line_that_somebody_changed_in_odoo_holds(void **state)
{
    static const char *const changes[][2] = {
        {"{\"products\":[{\"default_code\":\"tea\",\"rename\":\"chai\"}]}",
         "{\"products\":[{\"default_code\":\"chai\",\"rename\":\"tea\"}]}"},
        {"{\"products\":[{\"default_code\":\"nut\",\"rename\":\"x\"},"
         "{\"default_code\":\"tea\",\"rename\":\"nut\"}]}",
         "{\"products\":[{\"default_code\":\"nut\",\"rename\":\"tea\"},"
         "{\"default_code\":\"x\",\"rename\":\"nut\"}]}"},
        {"{\"ids\":[60000000],\"vals\":{\"quantity\":2.5}}",
         "{\"ids\":[60000000],\"vals\":{\"quantity\":3}}"}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct flush_world fw;
        world_make(&fw, 2);
        fworld_sell(&fw, 0, 3, false);
        struct fake_storage *backup = backup_of(&fw);
        assert_true(fworld_run(&fw));
        if (i < 2)
            catalogue(&fw, changes[i][0]);
        else
            others_call(&fw, "/json/2/stock.move/write", changes[i][0]);
        restore(&fw, backup, 0x8000a00000000001);
        held(&fw);
        if (i < 2)
            catalogue(&fw, changes[i][1]);
        else
            others_call(&fw, "/json/2/stock.move/write", changes[i][1]);
        assert_true(fworld_run(&fw));
        fworld_check(&fw);
        fworld_fini(&fw);
    }
}

// The documents of its former life were somebody else's when it looked for such the next time, a
// minute later: all posting stopped until the next start.
static void it_goes_on_posting_after_the_move(void **state)
{
    struct flush_world *fw = *state;
    work(fw, 40, true);
    struct fake_storage *backup = backup_of(fw);
    assert_true(fworld_run(fw));
    fw->options.settle_ms = 2000;
    restore(fw, backup, 0x8000a00000000000);
    assert_true(fworld_run(fw));
    assert_false(fake_storage_exists(fw->w.disk, "moved.hfs"));
    for (int i = 0; i < 3; i++) {
        fake_clock_advance_ms(&fw->w.clock, fw->options.contact_ms + 1000);
        fworld_sell(fw, 0, 1, false);
        assert_true(fworld_run(fw));
        assert_int_equal(metrics(fw).pause, FLUSH_PAUSE_NONE);
    }
    fworld_check(fw);
}

// What was learned waits for long, and then its ids are too old while the disk has no room to note
// others: nothing is passed over.
static void what_was_learned_is_applied_when_its_ids_are_too_old(void **state)
{
    (void)state;
    for (uint64_t full = 0; full < 2; full++) {
        struct flush_world fw;
        world_make(&fw, 3);
        struct fake_storage *backup = backup_with_sales_waiting(&fw);
        work(&fw, 20, true);
        assert_true(fworld_run(&fw));
        restore(&fw, backup, 0x8000a00000000000 + full);
        for (int i = 0; i < 2000 && (fw.f->moved.phase != FLUSH_LEARNED || fw.f->must_save); i++) {
            bool did;
            assert_true(fworld_pump(&fw, &did));
            fake_clock_advance_ms(&fw.w.clock, did ? 0 : 100);
        }
        assert_int_equal(fw.f->moved.phase, FLUSH_LEARNED);
        assert_true(fw.f->moved.intent_count > fw.f->moved.intents_done);
        fake_clock_advance_ms(&fw.w.clock, UINT64_C(60) * 60 * 1000); // the window: 10 s
        for (int i = 0; i < 4; i++)
            world_pass(&fw.w, 20000); // the floor moves
        if (full)
            fw.w.disk->faults.capacity_bytes = fake_storage_used_bytes(fw.w.disk);
        for (int i = 0; full && i < 20; i++) {
            bool did;
            assert_true(fworld_pump(&fw, &did));
            fake_clock_advance_ms(&fw.w.clock, 100);
        }
        assert_true(!full || fw.w.disk->counts.no_space > 0);
        fw.w.disk->faults.capacity_bytes = 0;
        for (int i = 0; i < 100 && fake_storage_exists(fw.w.disk, "moved.hfs"); i++) {
            assert_true(fworld_run(&fw));
            fake_clock_advance_ms(&fw.w.clock, 1000);
        }
        assert_false(fake_storage_exists(fw.w.disk, "moved.hfs"));
        fworld_check(&fw);
        fworld_fini(&fw);
    }
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_posted_after_the_backup_is_not_posted_again),
        cmocka_unit_test(what_was_lost_with_the_folder_stays_booked),
        cmocka_unit_test(a_backup_may_be_restored_twice),
        cmocka_unit_test(both_sides_are_equal_whatever_was_lost),
        cmocka_unit_test(power_fails_at_every_call_while_it_is_learned),
        cmocka_unit_test(a_move_may_be_interrupted_by_another),
        EACH(an_older_folder_is_recognized),
        EACH(it_goes_on_posting_after_the_move),
        EACH(the_original_stops_once_its_copy_has_taken_over),
        EACH(a_new_folder_does_not_take_the_old_ones_documents_for_its_own),
        EACH(while_it_is_learned_no_letter_is_discarded),
        EACH(a_discard_that_a_backup_holds_is_booked_after_the_move),
        EACH(a_document_on_a_wrong_day_is_known_all_the_same),
        EACH(a_letter_on_a_wrong_day_is_known_all_the_same),
        EACH(a_document_of_a_location_that_has_left_the_options_holds),
        EACH(movements_of_two_days_by_another_zone_hold),
        EACH(a_lost_line_that_cannot_be_placed_holds_nothing),
        cmocka_unit_test(a_line_that_somebody_changed_in_odoo_holds),
        cmocka_unit_test(what_was_learned_is_applied_when_its_ids_are_too_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
