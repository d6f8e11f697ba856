// Faults of the engine that were found, by the simulator or by reading, each as a short story.
#include "core/core.h"
#include "core/record.h"
#include "sim/fake_storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct fake_clock fake_clock;
static struct fake_storage *fs;
static struct core *core;
static struct core_options options;
static struct core_worker *worker;
static uint64_t ids;

static struct hf_uuid id(void)
{
    return hf_uuid_v7(core_now(core), 0, ++ids << 2);
}

static void step_all(void)
{
    for (int i = 0; i < 4; i++) {
        assert_true(core_step_timers(core, core_now(core), 1000) <= HF_AGAIN);
        assert_true(core_step_writer(core, true) == HF_OK || core_status(core) == HF_OK);
        assert_int_equal(core_status(core), HF_OK);
        while (core_step_segments(core) == HF_OK)
            ;
    }
}

static int make(void **state)
{
    (void)state;
    struct core_report report;
    core_options_default(&options);
    fake_clock_init(&fake_clock, 1000000000, 1750000000000);
    fs = fake_storage_create(1, &fake_clock);
    options.storage = &fs->base;
    options.clock = &fake_clock.base;
    options.fresh_id = (struct hf_uuid){0x4001, UINT64_C(2) << 62 | 1};
    options.cells_max = HF_LINES_MAX;
    options.ids_max = 1 << 17;
    options.blocks_max = 1024;
    options.workers_max = 1;
    options.huge_pages = false;
    options.archive = false;
    options.journal.segment_bytes = 1 << 20;
    options.journal.segments_max = 16;
    options.journal.space_margin_blocks = 256;
    options.journal.group_bytes_max = 1 << 18;
    if (core_open(&options, &core, &report) != HF_OK)
        return -1;
    worker = core_worker_create(core);
    struct core_admin_answer out;
    core_cell_make(worker, core_now(core), "S", 1, "L", 1, 0, &out);
    struct core_change stock = {.op_id = id(), .setting = CORE_SET_ON_HAND, .value = 5};
    core_change(worker, core_now(core), &stock, &out);
    step_all();
    return out.outcome == CORE_OUT_DONE ? 0 : -1;
}

static int unmake(void **state)
{
    (void)state;
    core_worker_destroy(worker);
    core_close(core);
    storage_destroy(&fs->base);
    return 0;
}

static void a_refused_hold_asked_again_in_one_batch_is_refused_again(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 6};
    struct core_request r[2];
    struct core_answer a[2];
    r[0] = (struct core_request){
        .verb = CORE_RESERVE, .id = id(), .lines = &line, .line_count = 1, .ttl_ms = 1000};
    r[0].flags = CORE_BEST_EFFORT;
    struct core_line all = {0, 0, 5};
    struct core_request take = {.verb = CORE_ORDER, .id = id(), .lines = &all, .line_count = 1};
    core_execute(worker, core_now(core), &take, a, 1);
    assert_int_equal(a[0].outcome, CORE_OUT_DONE);
    r[1] = r[0];
    core_execute(worker, core_now(core), r, a, 2);
    assert_int_equal(a[0].outcome, CORE_OUT_REFUSED);
    assert_int_equal(a[1].outcome, CORE_OUT_REFUSED); // was IN_PROGRESS
}

static void engine_time_never_falls_when_the_wall_is_behind(void **state)
{
    (void)state;
    fake_clock_jump_wall_ms(&fake_clock, -100000);
    uint64_t last = core_now(core);
    for (int i = 0; i < 100; i++) {
        fake_clock_advance_ms(&fake_clock, (uint64_t)i % 7 * 100);
        uint64_t before = core_now(core);
        assert_true(before >= last);
        (void)core_step_timers(core, before, 10);
        last = core_now(core);
        assert_true(last >= before); // fell by a tenth of what had passed
    }
}

static void a_repeated_extend_does_not_tell_a_dead_hold_as_held(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 1};
    struct core_request r = {
        .verb = CORE_RESERVE, .id = id(), .lines = &line, .line_count = 1, .ttl_ms = 10};
    struct core_answer a;
    core_execute(worker, core_now(core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    struct core_request extend = {.verb = CORE_EXTEND, .id = r.id, .op_id = id(), .ttl_ms = 50};
    core_execute(worker, core_now(core), &extend, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    fake_clock_advance_ms(&fake_clock, 60);
    core_execute(worker, core_now(core), &extend, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    assert_int_equal(a.state, CORE_STATE_EXPIRED); // was HELD
}

static void credit_comes_back_from_the_thread_that_ends_holds(void **state)
{
    (void)state;
    struct journal_space before, after;
    for (int round = 0; round < 40; round++) {
        struct core_line line = {0, 0, 1};
        struct core_request r = {
            .verb = CORE_RESERVE, .id = id(), .lines = &line, .line_count = 1, .ttl_ms = 1};
        struct core_answer a;
        if (round == 10)
            journal_space(core_journal(core), &before);
        core_execute(worker, core_now(core), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        fake_clock_advance_ms(&fake_clock, 10);
        step_all(); // the timers' thread ends it and keeps what was kept back for that
    }
    journal_space(core_journal(core), &after);
    assert_true(after.promised_bytes <= before.promised_bytes + 8192);
}

static struct core_request hold_of(const struct core_line *lines, uint32_t count)
{
    return (struct core_request){
        .verb = CORE_RESERVE, .id = id(), .lines = lines, .line_count = count, .ttl_ms = 60000};
}

static void cells_make(struct core_line *lines)
{
    struct core_admin_answer out;
    for (uint32_t i = 0; i < HF_LINES_MAX; i++) {
        char sku[8];
        int n = snprintf(sku, sizeof sku, i ? "S%u" : "S", i);
        core_cell_make(worker, core_now(core), sku, (uint32_t)n, "L", 1, 0, &out);
        lines[i] = (struct core_line){out.handle, 0, 1};
        struct core_change stock = {
            .op_id = id(), .handle = i, .setting = CORE_SET_ON_HAND, .value = 100};
        core_change(worker, core_now(core), &stock, &out);
        assert_int_equal(out.outcome, CORE_OUT_DONE);
        step_all();
    }
}

static void the_widest_hold_behind_a_chunk_of_single_ones_finds_its_blocks(void **state)
{
    (void)state;
    static struct core_line lines[HF_LINES_MAX];
    struct core_request r[32];
    struct core_answer a[32];
    cells_make(lines);
    for (int i = 0; i < 2; i++)
        r[i] = hold_of(lines, HF_LINES_MAX);
    core_execute(worker, core_now(core), r, a, 2);
    // Ended, it leaves more than a chunk of blocks in the worker's cache.
    r[0] = (struct core_request){.verb = CORE_RELEASE, .id = r[0].id};
    core_execute(worker, core_now(core), r, a, 1);
    assert_int_equal(a[0].outcome, CORE_OUT_DONE);
    for (int i = 0; i < 31; i++)
        r[i] = hold_of(&lines[i], 1);
    r[31] = hold_of(lines, HF_LINES_MAX);
    core_execute(worker, core_now(core), r, a, 32); // wrote past the cache's end
    for (int i = 0; i < 32; i++)
        assert_int_equal(a[i].outcome, CORE_OUT_DONE);
    step_all();
    assert_true(core_durable(core) >= a[31].ticket);
}

static void reopen(void)
{
    struct core_report report;
    core_worker_destroy(worker);
    core_close(core);
    fake_storage_kill(fs);
    if (core_open(&options, &core, &report) != HF_OK)
        fail_msg("%s", report.why);
    worker = core_worker_create(core);
}

static void a_retake_of_the_last_version_is_refused(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 1};
    struct core_request hold = hold_of(&line, 1), r;
    struct core_answer a;
    core_execute(worker, core_now(core), &hold, &a, 1);
    do {
        if (a.version % 1024 == 0) {
            fake_clock_advance_ms(&fake_clock, 10);
            step_all();
        }
        r = (struct core_request){
            .verb = CORE_EXTEND, .id = hold.id, .op_id = id(), .ttl_ms = 60000};
        core_execute(worker, core_now(core), &r, &a, 1);
    } while (a.outcome == CORE_OUT_DONE);
    assert_int_equal(a.outcome, CORE_OUT_EXCEEDS);
    fake_clock_advance_ms(&fake_clock, 60001);
    step_all(); // it expires, which is its last version
    r = (struct core_request){.verb = CORE_COMMIT, .id = hold.id, .flags = CORE_RETAKE};
    core_execute(worker, core_now(core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_EXCEEDS); // was DONE, as version 0
    assert_int_equal(a.version, UINT16_MAX);
    step_all();
    reopen(); // the journal that held version 0 could not be replayed
}

static uint64_t checkpoints_after(uint64_t ms)
{
    struct core_metrics m;
    struct core_line line = {0, 0, 1};
    for (uint64_t passed = 0; passed < ms; passed += 20) {
        struct core_request r = hold_of(&line, 1);
        struct core_answer a;
        core_execute(worker, core_now(core), &r, &a, 1);
        r = (struct core_request){.verb = CORE_RELEASE, .id = r.id};
        core_execute(worker, core_now(core), &r, &a, 1);
        step_all();
        for (int i = 0; i < 50; i++)
            (void)core_step_checkpoint(core, core_now(core), 1000);
        fake_clock_advance_ms(&fake_clock, 20);
    }
    core_metrics(core, &m);
    return m.checkpoints;
}

static void a_credit_refused_once_does_not_keep_the_checkpointer_at_it(void **state)
{
    (void)state;
    enum { CHUNKS = 2048 };
    static struct core_request holds[CHUNKS][32];
    struct core_line line = {0, 0, 1};
    struct core_answer a[32];
    struct core_admin_answer out;
    struct core_change stock = {.op_id = id(), .setting = CORE_SET_ON_HAND, .value = 1 << 20};
    core_change(worker, core_now(core), &stock, &out);
    uint32_t chunk = 0;
    do {
        for (int i = 0; i < 32; i++)
            holds[chunk][i] = hold_of(&line, 1);
        core_execute(worker, core_now(core), holds[chunk], a, 32);
        step_all();
    } while (a[31].outcome == CORE_OUT_DONE && ++chunk < CHUNKS);
    assert_int_equal(a[31].outcome, CORE_OUT_BUSY); // the disk is as good as full
    for (uint32_t end = chunk - 100; chunk-- > end;) {
        for (int i = 0; i < 32; i++)
            holds[chunk][i] = (struct core_request){.verb = CORE_RELEASE, .id = holds[chunk][i].id};
        core_execute(worker, core_now(core), holds[chunk], a, 32);
        assert_int_equal(a[31].outcome, CORE_OUT_DONE);
        step_all();
    }
    uint64_t before = checkpoints_after(1000);
    assert_true(before >= 1);
    assert_true(checkpoints_after(2000) <= before + 1); // was one every 20 ms
}

static void the_second_of_one_id_in_a_chunk_does_not_overtake_the_first(void **state)
{
    (void)state;
    struct core_line six = {0, 0, 6}, one = {0, 0, 1}; // of five
    struct core_request r[2];
    struct core_answer a[2];
    r[0] = (struct core_request){.verb = CORE_ORDER, .id = id(), .lines = &six, .line_count = 1};
    r[1] = r[0];
    r[1].lines = &one;
    core_execute(worker, core_now(core), r, a, 2);
    assert_int_equal(a[0].outcome, CORE_OUT_REFUSED); // was CONFLICT, with the other one DONE
    assert_int_equal(a[1].outcome, CORE_OUT_CONFLICT);
}

// A record of `lines` lines with a reference of that many bytes, well-formed but for its sizes.
static bool record_parses(enum core_record_type type, uint32_t lines, uint32_t reference)
{
    static uint64_t memory[8192];
    struct core_record *r = (struct core_record *)memory;
    struct core_record_parts parts;
    uint32_t bytes = (uint32_t)sizeof *r + lines * 16 + (4 + reference + 7) / 8 * 8;
    memset(memory, 0, sizeof memory);
    r->frame.units = (uint16_t)(bytes / 8);
    r->frame.type = (uint8_t)type;
    r->frame.flags = CORE_RECORD_TEXT;
    r->line_count = (uint16_t)lines;
    for (uint32_t i = 0; i < lines; i++)
        r->lines[i] = (struct core_record_line){0, CORE_ROLE_COMMIT, 1};
    ((struct core_record_text *)&r->lines[lines])->reference_bytes = (uint8_t)reference;
    return core_record_parse(&r->frame, &parts);
}

static void a_record_larger_than_any_is_not_taken_for_one(void **state)
{
    (void)state;
    assert_true(record_parses(CORE_RECORD_HOLD, HF_LINES_MAX, HF_REFERENCE_BYTES_MAX));
    assert_false(record_parses(CORE_RECORD_HOLD, HF_LINES_MAX + 1, 1)); // ran over replay's arrays
    assert_true(record_parses(CORE_RECORD_COMMIT, 2 * HF_LINES_MAX, 1));
    assert_false(record_parses(CORE_RECORD_COMMIT, 2 * HF_LINES_MAX + 1, 1));
    assert_false(record_parses(CORE_RECORD_CELL, 2, HF_REFERENCE_BYTES_MAX + 1));
    assert_true(record_parses(CORE_RECORD_CHANNEL, 0, HF_CHANNEL_BYTES_MAX));
    assert_false(record_parses(CORE_RECORD_CHANNEL, 0, HF_CHANNEL_BYTES_MAX + 1));
}

static uint32_t cell(const char *form, uint32_t i, char sku[16])
{
    struct core_admin_answer out;
    int bytes = snprintf(sku, 16, form, i);
    core_cell_make(worker, core_now(core), sku, (uint32_t)bytes, "L", 1, 0, &out);
    assert_int_equal(out.outcome, CORE_OUT_DONE);
    return out.handle;
}

static void a_cell_that_was_told_stays_known_while_others_are_made(void **state)
{
    char old[16], fresh[16];
    uint32_t handle, told = cell("A%u", 0, old);
    (void)state;
    for (uint32_t i = 1; i < 400; i++) {
        step_all(); // the old one is durable: whoever made it has the answer
        cell("B%u", i, fresh);
        assert_int_equal(core_find(core, old, (uint32_t)strlen(old), "L", 1, &handle), HF_OK);
        assert_int_equal(handle, told);
        assert_int_equal(core_sku_cells(core, old, (uint32_t)strlen(old), &handle, 1), 1);
        assert_int_equal(core_find(core, fresh, (uint32_t)strlen(fresh), "L", 1, &handle),
                         HF_NOT_FOUND);
        told = cell("A%u", i, old);
    }
}

// "Used with another body" is said of a decision: it may be told when that is on the disk.
static void a_conflict_names_the_record_that_it_rests_on(void **state)
{
    (void)state;
    struct core_line line = {.handle = 0, .quantity = 1};
    struct core_request hold = {
        .verb = CORE_RESERVE, .id = id(), .lines = &line, .line_count = 1, .ttl_ms = 60000};
    struct core_request extend = {
        .verb = CORE_EXTEND, .id = hold.id, .op_id = id(), .ttl_ms = 70000};
    struct core_answer a, first;
    core_execute(worker, core_now(core), &hold, &first, 1);
    hold.ttl_ms++;
    core_execute(worker, core_now(core), &hold, &a, 1);
    assert_true(a.outcome == CORE_OUT_CONFLICT && a.ticket == first.ticket && a.durable);
    core_execute(worker, core_now(core), &extend, &first, 1);
    assert_int_equal(first.outcome, CORE_OUT_DONE);
    extend.ttl_ms++;
    core_execute(worker, core_now(core), &extend, &a, 1);
    assert_true(a.outcome == CORE_OUT_CONFLICT && a.ticket == first.ticket && !a.repeat);
    extend.id = id(); // of a reservation that is not there: nothing but the operation says so
    core_execute(worker, core_now(core), &extend, &a, 1);
    assert_true(a.outcome == CORE_OUT_CONFLICT && a.ticket == first.ticket && a.durable);
    struct core_admin_answer done, other;
    struct core_change change = {.op_id = id(), .setting = CORE_SET_SAFETY, .value = 1};
    core_change(worker, core_now(core), &change, &done);
    change.value = 2;
    core_change(worker, core_now(core), &change, &other);
    assert_true(other.outcome == CORE_OUT_CONFLICT && other.ticket == done.ticket);
    assert_true(core_durable(core) < done.ticket);
}

// An id told as too old must never act again, also when the power fails before the next group.
static void an_id_is_too_old_only_when_the_floor_is_on_the_disk(void **state)
{
    (void)state;
    struct core_line line = {.handle = 0, .quantity = 1};
    struct core_request r = {.verb = CORE_ORDER, .id = id(), .lines = &line, .line_count = 1};
    struct core_answer a;
    fake_clock_advance_ms(&fake_clock, options.window_ms + 24 * 3600 * 1000);
    for (int i = 0; i < 4; i++) // the floor's record is appended, and not written
        assert_true(core_step_timers(core, core_now(core), 1000) <= HF_AGAIN);
    core_execute(worker, core_now(core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_BUSY);
    assert_true(a.retry_ms > 0);
    reopen();
    // The floor was lost: the id may act, and has not.
    core_execute(worker, core_now(core), &r, &a, 1);
    assert_true(a.outcome == CORE_OUT_DONE && !a.repeat);
    step_all();
    r.id = hf_uuid_v7(hf_uuid_ms(r.id), 1, 1);
    core_execute(worker, core_now(core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_ID_TOO_OLD);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(a_refused_hold_asked_again_in_one_batch_is_refused_again),
        TEST(engine_time_never_falls_when_the_wall_is_behind),
        TEST(a_repeated_extend_does_not_tell_a_dead_hold_as_held),
        TEST(credit_comes_back_from_the_thread_that_ends_holds),
        TEST(the_widest_hold_behind_a_chunk_of_single_ones_finds_its_blocks),
        TEST(a_retake_of_the_last_version_is_refused),
        TEST(a_credit_refused_once_does_not_keep_the_checkpointer_at_it),
        TEST(the_second_of_one_id_in_a_chunk_does_not_overtake_the_first),
        TEST(a_record_larger_than_any_is_not_taken_for_one),
        TEST(a_cell_that_was_told_stays_known_while_others_are_made),
        TEST(a_conflict_names_the_record_that_it_rests_on),
        TEST(an_id_is_too_old_only_when_the_floor_is_on_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
