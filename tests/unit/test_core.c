#include "core/record.h"
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

static struct core_request reserve(struct world *w, const struct core_line *lines, uint32_t n)
{
    return (struct core_request){.verb = CORE_RESERVE,
                                 .id = world_id(w),
                                 .lines = lines,
                                 .line_count = n,
                                 .ttl_ms = 5000};
}

static void a_hold_takes_and_a_commit_sells(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 10);
    struct core_line line = {h, 0, 4};
    struct core_request r = reserve(w, &line, 1);
    struct core_answer a = world_do(w, &r);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(a.state, CORE_STATE_HELD);
    assert_true(a.ticket > 0);
    struct core_cell c = world_read(w, h);
    assert_int_equal(c.available, 6);
    assert_int_equal(c.held, 4);
    struct core_request commit = {.verb = CORE_COMMIT, .id = r.id};
    a = world_do(w, &commit);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(a.state, CORE_STATE_COMMITTED);
    c = world_read(w, h);
    assert_int_equal(c.available, 6);
    assert_int_equal(c.held, 0);
    assert_int_equal(c.committed, 4);
    a = world_do(w, &commit);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    a = world_do(w, &r);
    assert_true(a.repeat);
    assert_int_equal(a.state, CORE_STATE_COMMITTED);
}

static void the_same_id_with_another_body_is_a_conflict(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 10);
    struct core_line line = {h, 0, 4};
    struct core_request r = reserve(w, &line, 1);
    world_do(w, &r);
    line.quantity = 5;
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_CONFLICT);
    assert_int_equal(world_read(w, h).available, 6);
}

static void a_hold_ends_at_its_deadline(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 10);
    struct core_line line = {h, 0, 4};
    struct core_request r = reserve(w, &line, 1);
    world_do(w, &r);
    world_pass(w, 4990);
    assert_int_equal(world_read(w, h).available, 6);
    world_pass(w, 20);
    assert_int_equal(world_read(w, h).available, 10);
    struct core_request commit = {.verb = CORE_COMMIT, .id = r.id};
    assert_int_equal(world_do(w, &commit).outcome, CORE_OUT_EXPIRED);
    commit.flags = CORE_RETAKE;
    struct core_answer a = world_do(w, &commit);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(a.state, CORE_STATE_COMMITTED);
    assert_int_equal(world_read(w, h).available, 6);
    assert_int_equal(world_read(w, h).committed, 4);
}

static void a_wide_order_takes_all_or_nothing(void **state)
{
    struct world *w = *state;
    struct core_line lines[30];
    char sku[16];
    for (uint32_t i = 0; i < 30; i++) {
        snprintf(sku, sizeof sku, "sku%u", i);
        lines[29 - i] = (struct core_line){world_cell(w, sku, i), 0, 1};
    }
    struct core_line_answer told[30];
    struct core_request r = {.verb = CORE_ORDER, .id = world_id(w), .lines = lines,
                             .line_count = 30, .line_answers = told};
    struct core_answer a = world_do(w, &r);
    assert_int_equal(a.outcome, CORE_OUT_REFUSED);
    assert_int_equal(a.state, CORE_STATE_REJECTED);
    assert_int_equal(told[29].shortfall, 1);
    assert_int_equal(told[0].shortfall, 0);
    for (uint32_t i = 0; i < 30; i++)
        assert_int_equal(world_read(w, lines[i].handle).available, 29 - i);
    a = world_do(w, &r);
    assert_int_equal(a.outcome, CORE_OUT_REFUSED);
    assert_true(a.repeat);
    r.id = world_id(w);
    r.line_count = 29;
    a = world_do(w, &r);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    for (uint32_t i = 0; i < 29; i++) {
        assert_int_equal(world_read(w, lines[i].handle).available, 28 - i);
        assert_int_equal(world_read(w, lines[i].handle).committed, 1);
        assert_int_equal(told[i].taken, 1);
    }
}

static void partial_ends_and_operations_act_once(void **state)
{
    struct world *w = *state;
    struct core_line lines[2] = {{world_cell(w, "a", 100), 0, 10},
                                 {world_cell(w, "b", 100), 0, 20}};
    struct core_request r = reserve(w, lines, 2);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    struct core_line part = {lines[1].handle, 0, 5};
    struct core_request release = {.verb = CORE_RELEASE, .id = r.id, .op_id = world_id(w),
                                   .lines = &part, .line_count = 1};
    struct core_answer a = world_do(w, &release);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(a.state, CORE_STATE_HELD);
    assert_int_equal(a.version, 2);
    assert_true(world_do(w, &release).repeat);
    assert_int_equal(world_read(w, lines[1].handle).available, 85);
    struct core_request extend = {.verb = CORE_EXTEND, .id = r.id, .op_id = world_id(w),
                                  .ttl_ms = 60000};
    a = world_do(w, &extend);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(a.time_ms, core_now(w->core) + 60000);
    world_pass(w, 9000);
    struct core_line some[2] = {{lines[0].handle, 0, 3}, {lines[1].handle, 0, 15}};
    struct core_request commit = {.verb = CORE_COMMIT, .id = r.id, .lines = some, .line_count = 2};
    a = world_do(w, &commit);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(world_read(w, lines[0].handle).available, 97);
    assert_int_equal(world_read(w, lines[0].handle).committed, 3);
    assert_int_equal(world_read(w, lines[1].handle).committed, 15);
    struct core_request cancel = {.verb = CORE_CANCEL, .id = r.id, .op_id = world_id(w),
                                  .lines = &part, .line_count = 1};
    assert_int_equal(world_do(w, &cancel).outcome, CORE_OUT_NEEDS_RECALL);
    assert_int_equal(core_recall(w->worker, core_now(w->core), r.id), HF_OK);
    assert_int_equal(world_do(w, &cancel).outcome, CORE_OUT_DONE);
    assert_true(world_do(w, &cancel).repeat);
    assert_int_equal(world_read(w, lines[1].handle).committed, 10);
    assert_int_equal(world_read(w, lines[1].handle).available, 90);
    part.quantity = 11;
    struct core_request back = {.verb = CORE_RETURN, .id = r.id, .op_id = world_id(w),
                                .lines = &part, .line_count = 1};
    assert_int_equal(core_recall(w->worker, core_now(w->core), r.id), HF_OK);
    assert_int_equal(world_do(w, &back).outcome, CORE_OUT_EXCEEDS);
    part.quantity = 10;
    assert_int_equal(world_do(w, &back).outcome, CORE_OUT_DONE);
    assert_int_equal(world_read(w, lines[1].handle).on_hand, 110);
    assert_int_equal(world_read(w, lines[1].handle).available, 100);
}

static void everything_is_there_after_a_kill(void **state)
{
    struct world *w = *state;
    struct core_line lines[3] = {{world_cell(w, "a", 1000), 0, 1},
                                 {world_cell(w, "b", 1000), 0, 2},
                                 {world_cell(w, "c", 1000), 0, 3}};
    struct core_text text = {.reference = "order-1", .buyer = "buyer", .reference_bytes = 7,
                             .buyer_bytes = 5};
    struct core_request r = reserve(w, lines, 3);
    r.text = &text;
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    struct core_request ended = reserve(w, lines, 2);
    world_do(w, &ended);
    struct core_request commit = {.verb = CORE_COMMIT, .id = ended.id};
    world_do(w, &commit);
    for (int round = 0; round < 3; round++) {
        world_kill(w);
        world_open(w);
        assert_int_equal(w->report.live, 1);
        assert_int_equal(world_read(w, lines[0].handle).available, 998);
        assert_int_equal(world_read(w, lines[1].handle).committed, 2);
        assert_int_equal(world_read(w, lines[2].handle).held, 3);
        assert_true(world_do(w, &commit).repeat);
        assert_true(world_do(w, &r).repeat);
        struct core_view v;
        struct core_line got[3];
        assert_int_equal(core_get(w->worker, core_now(w->core), r.id, &v, got, 3), HF_OK);
        assert_int_equal(v.line_count, 3);
        assert_string_equal(v.reference, "order-1");
        assert_int_equal(got[2].quantity, 3);
        // The next round starts from a checkpoint.
        fake_clock_advance_ms(&w->clock, 1);
        for (int i = 0; i < 1000; i++)
            core_step_checkpoint(w->core, core_now(w->core) + 61000, 16);
    }
    assert_true(w->report.checkpoint[0] != '\0');
    world_pass(w, 6000);
    assert_int_equal(world_read(w, lines[2].handle).held, 0);
}

static void ids_are_forgotten_and_then_refused(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 1000000);
    struct core_line line = {h, 0, 1};
    struct core_request first = {.verb = CORE_ORDER, .id = world_id(w), .lines = &line,
                                 .line_count = 1};
    assert_int_equal(world_do(w, &first).outcome, CORE_OUT_DONE);
    struct core_metrics m;
    for (int i = 0; i < 300; i++) {
        struct core_request r = {.verb = CORE_ORDER, .id = world_id(w), .lines = &line,
                                 .line_count = 1};
        assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
        if (i == 50)
            assert_true(world_do(w, &first).repeat);
        world_pass(w, 100);
    }
    core_metrics(w->core, &m);
    assert_true(m.forgotten > 150);
    assert_int_equal(world_do(w, &first).outcome, CORE_OUT_ID_TOO_OLD);
    assert_int_equal(world_read(w, h).committed, 301);
    // A cancel weeks later still works: the journal has it.
    struct core_request cancel = {.verb = CORE_CANCEL, .id = first.id, .op_id = world_id(w),
                                  .lines = &line, .line_count = 1};
    assert_int_equal(world_do(w, &cancel).outcome, CORE_OUT_NEEDS_RECALL);
    assert_int_equal(core_recall(w->worker, core_now(w->core), first.id), HF_OK);
    assert_int_equal(world_do(w, &cancel).outcome, CORE_OUT_DONE);
    assert_int_equal(world_read(w, h).committed, 300);
}

static void a_quiet_engine_equals_its_shadow(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 50);
    struct core_line line = {h, 0, 1};
    for (int i = 0; i < 60; i++) {
        struct core_request r = reserve(w, &line, 1);
        assert_int_equal(world_do(w, &r).outcome, i < 50 ? CORE_OUT_DONE : CORE_OUT_REFUSED);
    }
    world_pass(w, 6000);
    for (int i = 0; i < 100; i++)
        assert_true(core_step_checkpoint(w->core, core_now(w->core), 4) <= HF_AGAIN ||
                    core_status(w->core) == HF_OK);
    struct core_metrics m;
    core_metrics(w->core, &m);
    assert_int_equal(m.expired, 50);
    assert_true(m.compared > 0);
    assert_int_equal(world_read(w, h).available, 50);
}

static void a_batch_on_one_cell_is_served_in_order(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 10);
    struct core_line lines[20];
    struct core_request r[20];
    struct core_answer a[20];
    for (int i = 0; i < 20; i++) {
        lines[i] = (struct core_line){h, 0, i == 5 ? 100 : 1};
        r[i] = reserve(w, &lines[i], 1);
    }
    r[7].id = r[6].id; // the same again, in one batch
    core_execute(w->worker, core_now(w->core), r, a, 20);
    for (int i = 0; i < 20; i++)
        assert_int_equal(a[i].outcome, i == 5 || i > 11 ? CORE_OUT_REFUSED : CORE_OUT_DONE);
    assert_true(a[7].repeat);
    assert_int_equal(a[7].ticket, a[6].ticket);
    assert_int_equal(world_read(w, h).available, 0);
}

// A hold without text ends in the straight pass, one with text in the general way.
static void both_ways_to_expire_say_the_same(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "apple", 100);
    struct core_line line = {h, 0, 7};
    struct core_text text = {.reference = "4711", .reference_bytes = 4};
    struct core_request plain = reserve(w, &line, 1), told = reserve(w, &line, 1);
    told.text = &text;
    struct core_answer a = world_do(w, &plain), b = world_do(w, &told);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_int_equal(b.outcome, CORE_OUT_DONE);
    uint64_t before = core_durable(w->core);
    world_pass(w, plain.ttl_ms + 1);
    assert_int_equal(world_read(w, h).available, 100);
    assert_int_equal(world_read(w, h).held, 0);
    struct core_view views[2];
    struct core_line lines[2];
    assert_int_equal(core_get(w->worker, core_now(w->core), plain.id, &views[0], lines, 2), HF_OK);
    assert_int_equal(core_get(w->worker, core_now(w->core), told.id, &views[1], lines, 2), HF_OK);
    assert_int_equal(views[0].state, CORE_STATE_EXPIRED);
    assert_int_equal(views[1].state, CORE_STATE_EXPIRED);
    assert_int_equal(views[0].version, views[1].version);
    assert_int_equal(views[0].time_ms, views[1].time_ms);
    _Alignas(8) char records[2][HF_RECORD_BYTES_MAX];
    struct core_record *r[2] = {(struct core_record *)records[0], (struct core_record *)records[1]};
    uint32_t found = 0;
    for (uint64_t lsn = before + 1; lsn <= core_durable(w->core); lsn++) {
        assert_true(found < 2);
        struct journal_record *into = &r[found]->frame;
        assert_int_equal(journal_read_one(core_journal(w->core), lsn, into, HF_RECORD_BYTES_MAX),
                         HF_OK);
        found += into->type == CORE_RECORD_EXPIRE;
    }
    assert_int_equal(found, 2);
    bool first = hf_uuid_equal(r[0]->frame.id, plain.id);
    assert_true(hf_uuid_equal(r[!first]->frame.id, plain.id));
    assert_true(hf_uuid_equal(r[first]->frame.id, told.id));
    for (int i = 0; i < 2; i++) {
        r[i]->frame.id = (struct hf_uuid){0, 0};
        r[i]->frame.crc = 0;
    }
    assert_int_equal(journal_record_bytes(&r[0]->frame), journal_record_bytes(&r[1]->frame));
    assert_memory_equal(r[0], r[1], journal_record_bytes(&r[0]->frame));
}

// Background work stands back until it is far behind, by records or by segments.
static void a_checkpointer_far_behind_is_pressed(void **state)
{
    struct world *w = *state;
    world_kill(w);
    w->options.lag_max_bytes = 8 * 64 * 1000; // pressed by more than 1,000 records
    world_open(w);
    uint32_t h = world_cell(w, "a", 100);
    struct core_line line = {h, 0, 1};
    enum hf_status s = HF_OK;
    while (s == HF_OK) // what made the cell
        s = core_step_checkpoint(w->core, core_now(w->core), 16);
    for (int records = 0; records < 1100; records += 2) {
        struct core_request take = reserve(w, &line, 1);
        struct core_request give = {.verb = CORE_RELEASE, .id = take.id};
        struct core_answer a;
        assert_int_equal(core_pressed(w->core), records > 1000);
        core_execute(w->worker, core_now(w->core), &take, &a, 1);
        core_execute(w->worker, core_now(w->core), &give, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        world_settle(w);
    }
    for (s = HF_OK; s == HF_OK;)
        s = core_step_checkpoint(w->core, core_now(w->core), 16);
    assert_int_equal(s, HF_AGAIN);
    assert_false(core_pressed(w->core));
}

static const struct storage_ops *disk_ops;
static size_t largest;

static enum hf_status noting_write(struct storage *s, int file, const void *buffer, size_t bytes,
                                   uint64_t offset)
{
    largest = bytes > largest ? bytes : largest;
    return disk_ops->pwrite(s, file, buffer, bytes, offset);
}

static enum hf_status noting_read(struct storage *s, int file, void *buffer, size_t bytes,
                                  uint64_t offset, size_t *done)
{
    largest = bytes > largest ? bytes : largest;
    return disk_ops->pread(s, file, buffer, bytes, offset, done);
}

// A large one keeps the journal's next write waiting in the disk's queue.
static void background_work_reads_and_writes_in_small_pieces(void **state)
{
    struct world *w = *state;
    world_kill(w);
    w->options.archive = true;
    w->options.ids_max = 60000;
    w->options.journal.segment_bytes = 3 << 20;
    w->options.checkpoint_bytes = 2000000;
    disk_ops = w->disk->base.ops;
    struct storage_ops noting = *disk_ops;
    noting.pwrite = noting_write;
    noting.pread = noting_read;
    world_open(w);
    uint32_t h = world_cell(w, "a", 100000);
    struct core_line line = {h, 0, 1};
    w->disk->base.ops = &noting;
    largest = 0;
    for (int i = 0; i < 50000; i++) {
        struct core_request order = {
            .verb = CORE_ORDER, .id = world_id(w), .lines = &line, .line_count = 1};
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &order, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 100 == 0)
            world_settle(w);
    }
    world_settle(w);
    enum hf_status s = HF_OK, t = HF_OK;
    while (s == HF_OK || t == HF_OK) {
        s = core_step_checkpoint(w->core, core_now(w->core), 16);
        t = core_step_archive(w->core, core_now(w->core));
        world_settle(w);
    }
    struct core_metrics m;
    core_metrics(w->core, &m);
    w->disk->base.ops = disk_ops;
    assert_true(m.checkpoints > 0);
    assert_true(m.archive_lsn > 20000);
    assert_true(largest > 0 && largest <= STORAGE_PIECE_BYTES);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_hold_takes_and_a_commit_sells),
        TEST(the_same_id_with_another_body_is_a_conflict),
        TEST(a_hold_ends_at_its_deadline),
        TEST(a_wide_order_takes_all_or_nothing),
        TEST(partial_ends_and_operations_act_once),
        TEST(everything_is_there_after_a_kill),
        TEST(ids_are_forgotten_and_then_refused),
        TEST(a_quiet_engine_equals_its_shadow),
        TEST(a_batch_on_one_cell_is_served_in_order),
        TEST(both_ways_to_expire_say_the_same),
        TEST(a_checkpointer_far_behind_is_pressed),
        TEST(background_work_reads_and_writes_in_small_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
