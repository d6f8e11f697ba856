// The promises, each with a test that fails when it is broken. P6 (lock-free) is torture_frozen's,
// P7 (the ERP) comes with the flusher; races and crashes at every place are the simulator's.
#include "unit/core_world.h"

static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_init(w);
    world_open(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

static struct core_request request(struct world *w, enum core_verb verb,
                                   const struct core_line *lines, uint32_t n)
{
    return (struct core_request){.verb = verb,
                                 .id = world_id(w),
                                 .lines = lines,
                                 .line_count = n,
                                 .ttl_ms = verb == CORE_RESERVE ? 3000 : 0};
}

static void p1_no_decision_takes_available_below_zero(void **state)
{
    struct world *w = *state;
    uint32_t cells[5];
    char sku[8];
    for (int i = 0; i < 5; i++) {
        snprintf(sku, sizeof sku, "s%d", i);
        cells[i] = world_cell(w, sku, 40);
    }
    uint32_t done = 0, refused = 0;
    for (int round = 0; round < 2000; round++) {
        struct core_line lines[4];
        uint32_t n = 1 + (uint32_t)(world_random(w) % 4);
        for (uint32_t k = 0; k < n; k++)
            lines[k] = (struct core_line){cells[world_random(w) % 5], 0,
                                          1 + (int64_t)(world_random(w) % 3)};
        struct core_request r =
            request(w, world_random(w) % 3 ? CORE_RESERVE : CORE_ORDER, lines, n);
        r.flags = world_random(w) % 4 ? 0 : CORE_BEST_EFFORT;
        struct core_answer a = world_do(w, &r);
        done += a.outcome == CORE_OUT_DONE;
        refused += a.outcome == CORE_OUT_REFUSED;
        for (int i = 0; i < 5; i++)
            assert_true(world_read(w, cells[i]).available >= 0);
        if (world_random(w) % 8 == 0)
            world_pass(w, world_random(w) % 1000);
    }
    assert_true(done > 50 && refused > 50);
}

static void p2_what_was_durable_survives_a_power_loss(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 1000000);
    struct core_line line = {h, 0, 1};
    int64_t told = 0;
    for (int life = 0; life < 10; life++) {
        for (int i = 0; i < 50; i++) {
            struct core_request r = request(w, CORE_ORDER, &line, 1);
            struct core_answer a;
            core_execute(w->worker, core_now(w->core), &r, &a, 1);
            if (a.outcome == CORE_OUT_BUSY)
                break;
            if (i % 3 == 0)
                core_step_writer(w->core, false);
            if (i % 10 == 0)
                core_step_segments(w->core);
        }
        told = world_read(w, h).committed -
               (int64_t)(journal_appended(core_journal(w->core)) - core_durable(w->core));
        world_close(w);
        fake_storage_crash(w->disk);
        fake_storage_restart(w->disk);
        world_open(w);
        assert_true(world_read(w, h).committed >= told);
        assert_int_equal(world_read(w, h).available + world_read(w, h).committed, 1000000);
    }
    assert_true(told > 200);
}

static void p3_an_id_is_decided_once_across_restarts(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 5);
    struct core_line line = {h, 0, 4}, other = {h, 0, 3};
    struct core_request taken = request(w, CORE_ORDER, &line, 1);
    struct core_request refused = request(w, CORE_ORDER, &line, 1);
    struct core_request hold = request(w, CORE_RESERVE, &line, 1);
    uint64_t ticket = world_do(w, &taken).ticket;
    assert_int_equal(world_do(w, &refused).outcome, CORE_OUT_REFUSED);
    assert_int_equal(world_do(w, &hold).outcome, CORE_OUT_REFUSED);
    struct core_change more = {.op_id = world_id(w), .handle = h, .value = 100, .relative = true};
    struct core_admin_answer admin;
    core_change(w->worker, core_now(w->core), &more, &admin);
    world_settle(w);
    for (int life = 0; life < 3; life++) {
        struct core_answer a = world_do(w, &taken);
        assert_true(a.outcome == CORE_OUT_DONE && a.repeat && a.ticket == ticket);
        a = world_do(w, &refused); // though there is enough now
        assert_true(a.outcome == CORE_OUT_REFUSED && a.repeat);
        struct core_request conflict = taken;
        conflict.lines = &other;
        assert_int_equal(world_do(w, &conflict).outcome, CORE_OUT_CONFLICT);
        core_change(w->worker, core_now(w->core), &more, &admin);
        assert_true(admin.outcome == CORE_OUT_DONE && admin.repeat);
        assert_int_equal(world_read(w, h).available, 101);
        world_kill(w);
        world_open(w);
    }
    assert_int_equal(world_do(w, &hold).outcome, CORE_OUT_DONE); // a refused hold is not remembered
    world_pass(w, 30000);
    struct core_answer late = world_do(w, &taken);
    assert_true(late.outcome == CORE_OUT_ID_TOO_OLD || late.repeat);
    assert_int_equal(world_read(w, h).committed, 4);
}

static void p4_a_refused_order_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    struct core_line lines[700];
    char sku[16];
    w->options.cells_max = 1000;
    world_kill(w);
    world_open(w);
    for (uint32_t i = 0; i < 700; i++) {
        snprintf(sku, sizeof sku, "w%u", i);
        lines[i] = (struct core_line){world_cell(w, sku, i == 350 ? 1 : 10), 0, 2};
    }
    struct core_request r = request(w, CORE_ORDER, lines, 700);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_REFUSED);
    for (uint32_t i = 0; i < 700; i++)
        assert_int_equal(world_read(w, lines[i].handle).available, i == 350 ? 1 : 10);
    lines[350].quantity = 1;
    r.id = world_id(w);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    world_kill(w);
    world_open(w);
    for (uint32_t i = 0; i < 700; i++)
        assert_int_equal(world_read(w, lines[i].handle).committed, i == 350 ? 1 : 2);
}

// A million within one second; fewer where every access is checked. What the machine's own clock
// says of a million is row `expiry` of bench/ratios.
#ifdef HF_DEBUG_CHECKS
#define MANY_HOLDS 100000u
#else
#define MANY_HOLDS 1000000u
#endif

static void p5_many_holds_end_within_ten_milliseconds(void **state)
{
    struct world *w = *state;
    w->options.ids_max = 3 * MANY_HOLDS;
    w->options.window_ms = 2000;
    w->options.window_min_ms = 500;
    w->options.journal.segment_bytes = 16 << 20;
    world_kill(w);
    storage_destroy(&w->disk->base);
    w->disk = fake_storage_create(2, &w->clock);
    w->options.storage = &w->disk->base;
    world_open(w);
    uint32_t h = world_cell(w, "a", 2000000);
    struct core_line line = {h, 0, 1};
    uint32_t held = 0;
    for (uint32_t i = 0; i < MANY_HOLDS; i++) { // all of them end within one second
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        struct core_answer a;
        r.ttl_ms = 1000 + i / (MANY_HOLDS / 1000);
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        held += a.outcome == CORE_OUT_DONE;
        if (i % 200 == 0)
            world_settle(w);
    }
    world_settle(w);
    assert_int_equal(held, MANY_HOLDS);
    for (int ms = 0; ms < 2100; ms += 2) {
        fake_clock_advance_ms(&w->clock, 2);
        core_step_timers(w->core, core_now(w->core), 5000);
        world_settle(w);
    }
    struct core_metrics m;
    core_metrics(w->core, &m);
    assert_int_equal(m.expired, MANY_HOLDS);
    assert_true(m.expiry_lag_ms_max <= 10);
    assert_int_equal(world_read(w, h).available, 2000000);
    assert_int_equal(world_read(w, h).held, 0);
}

// In steps of a few slots, while a list of thousands opens: at its own time or before.
static void p5_a_deadline_waits_for_no_list_of_later_ones(void **state)
{
    struct world *w = *state;
    const uint64_t turn = 4096;
    uint32_t h = world_cell(w, "a", 100000);
    uint64_t edge = (core_now(w->core) / turn + 3) * turn;
    struct core_line line = {h, 0, 1};
    for (int i = 0; i < 6000; i++) {
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        r.ttl_ms = (uint32_t)(edge - core_now(w->core)) + 300 + (uint32_t)i % 3000;
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 100 == 0)
            world_settle(w);
    }
    while (core_now(w->core) + turn + 1000 < edge)
        world_pass(w, 100);
    // Each 100 ms a hold ends, at the first of two steps of 128 slots.
    while (core_now(w->core) < edge + 100) {
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        r.ttl_ms = 50;
        assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
        struct core_metrics before, after;
        core_metrics(w->core, &before);
        for (int i = 0; i < 2; i++) {
            fake_clock_advance_ms(&w->clock, 50);
            assert_true(core_step_timers(w->core, core_now(w->core), 128) <= HF_AGAIN);
        }
        core_metrics(w->core, &after);
        assert_int_equal(after.expired, before.expired + 1);
    }
    world_pass(w, 300 + 3000);
    world_pass(w, 100);
    assert_int_equal(world_read(w, h).available, 100000);
}

static void p5_holds_end_when_the_disk_is_full(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 1000000);
    struct core_line line = {h, 0, 1};
    static struct hf_uuid ids[100000];
    uint32_t held = 0;
    w->disk->faults.capacity_bytes = fake_storage_used_bytes(w->disk); // no new segment
    for (int tries = 0; tries < 100000; tries++) {
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        struct core_answer a;
        r.ttl_ms = 3600000;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        if (a.outcome == CORE_OUT_BUSY)
            break;
        ids[held++] = r.id;
        if (held % 16 == 0)
            core_step_writer(w->core, false);
    }
    assert_in_range(held, 100, 99999);
    static const char reason[] = "sixty-four bytes of a reason, which is the most that it may have";
    uint32_t busy = 0;
    for (uint32_t i = 0; i < held; i++) {
        // What a hold keeps back is for its end alone: a reason that needs more is BUSY, and never
        // at the cost of another hold.
        struct core_text why = {.reason = reason, .reason_bytes = 64};
        struct core_request r = {
            .verb = i % 2 ? CORE_COMMIT : CORE_RELEASE, .id = ids[i], .text = &why};
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        busy += a.outcome == CORE_OUT_BUSY;
        if (a.outcome == CORE_OUT_BUSY) {
            r.text = NULL;
            core_execute(w->worker, core_now(w->core), &r, &a, 1);
        }
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 16 == 0)
            core_step_writer(w->core, false);
    }
    for (int i = 0; i < 100; i++)
        core_step_writer(w->core, true);
    assert_int_equal(core_durable(w->core), journal_appended(core_journal(w->core)));
    assert_int_equal(world_read(w, h).held, 0);
    assert_int_equal(world_read(w, h).committed, held / 2);
    assert_true(busy > 0);
}

static enum hf_status count_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r)
{
    (void)lsn;
    (void)time_ms;
    (void)r;
    ++*(int *)ctx;
    return HF_OK;
}

static void p8_an_order_is_found_in_the_archive(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 1000000);
    struct core_line line = {h, 0, 1};
    struct core_text text = {.reference = "A-1", .reference_bytes = 3};
    struct core_request hold = request(w, CORE_RESERVE, &line, 1);
    hold.text = &text;
    assert_int_equal(world_do(w, &hold).outcome, CORE_OUT_DONE);
    struct core_request commit = {.verb = CORE_COMMIT, .id = hold.id};
    assert_int_equal(world_do(w, &commit).outcome, CORE_OUT_DONE);
    for (int i = 0; i < 20000 && archive_lsn(core_archive(w->core)) == 0; i++) {
        struct core_request r = request(w, CORE_ORDER, &line, 1);
        world_do(w, &r);
        core_step_archive(w->core, core_now(w->core));
    }
    int found = 0;
    assert_int_equal(archive_find_id(core_archive(w->core), hold.id, count_visit, &found), HF_OK);
    assert_int_equal(found, 2);
    found = 0;
    assert_int_equal(
        archive_find_reference(core_archive(w->core), hf_hash("A-1", 3, 0), count_visit, &found),
        HF_OK);
    assert_int_equal(found, 1);
}

static void p9_a_refusal_says_why(void **state)
{
    struct world *w = *state;
    struct core_line lines[2] = {{world_cell(w, "a", 10), 0, 8}, {world_cell(w, "b", 3), 0, 2}};
    struct core_request first = request(w, CORE_RESERVE, lines, 1);
    uint64_t deadline = world_do(w, &first).time_ms;
    struct core_line_answer told[2];
    struct core_request r = request(w, CORE_RESERVE, lines, 2);
    r.line_answers = told;
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_REFUSED);
    assert_int_equal(told[0].shortfall, 6);
    assert_int_equal(told[0].available, 2);
    assert_int_equal(told[1].shortfall, 0);
    assert_in_range(told[0].hint_ms, deadline - 100, deadline + 200);
    lines[1].quantity = 0;
    struct core_answer a = world_do(w, &r);
    assert_true(a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_QUANTITY && a.line == 1);
    lines[1] = (struct core_line){99, 0, 1};
    a = world_do(w, &r);
    assert_true(a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_HANDLE && a.line == 1);
    r.line_count = 1;
    r.ttl_ms = 0;
    assert_int_equal(world_do(w, &r).field, CORE_FIELD_TTL);
    r.ttl_ms = 1000;
    r.id.hi = (r.id.hi & ~UINT64_C(0xf000)) | 0x4000; // v4 is not allowed here
    assert_int_equal(world_do(w, &r).field, CORE_FIELD_ID);
    r.id = hf_uuid_v7(core_now(w->core) + 5000, 1, 2);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_ID_IN_FUTURE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(p1_no_decision_takes_available_below_zero),
        TEST(p2_what_was_durable_survives_a_power_loss),
        TEST(p3_an_id_is_decided_once_across_restarts),
        TEST(p4_a_refused_order_leaves_nothing_behind),
        TEST(p5_many_holds_end_within_ten_milliseconds),
        TEST(p5_a_deadline_waits_for_no_list_of_later_ones),
        TEST(p5_holds_end_when_the_disk_is_full),
        TEST(p8_an_order_is_found_in_the_archive),
        TEST(p9_a_refusal_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
