// What a start or a running engine answers to each failure of its folder: the tables of
// docs/record-format.md and docs/journal-format.md, on a whole engine. The journal's own cases, to
// the block, are in test_journal_recover.c.
#include "unit/core_world.h"

#include "base/crc32c.h"
#include "journal/chunkfile.h"

#define NAMES_MAX 64

static struct core_request order(struct world *w, const struct core_line *line)
{
    return (struct core_request){
        .verb = CORE_ORDER, .id = world_id(w), .lines = line, .line_count = 1};
}

static void checkpoint_take(struct world *w)
{
    struct core_metrics m;
    core_metrics(w->core, &m);
    uint64_t before = m.checkpoints;
    fake_clock_advance_ms(&w->clock, w->options.checkpoint_ms + 1);
    for (int i = 0; i < 2000 && m.checkpoints == before; i++) {
        enum hf_status s = core_step_checkpoint(w->core, core_now(w->core), 16);
        assert_true(s == HF_OK || s == HF_AGAIN);
        core_metrics(w->core, &m);
    }
    assert_int_equal(m.checkpoints, before + 1);
}

static void sell(struct world *w, uint32_t handle, int count)
{
    struct core_line line = {handle, 0, 1};
    for (int i = 0; i < count; i++) {
        struct core_request r = order(w, &line);
        assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    }
}

// 1,000 of one cell; three sold before the first checkpoint, three before the second, three after.
static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_init(w);
    w->options.window_ms = 3600000; // nothing is forgotten here
    w->options.journal.segment_bytes = 64 << 10;
    w->options.journal.group_bytes_max = 16 << 10;
    w->options.journal.buffer_bytes = 8 << 10;
    w->options.journal.space_margin_blocks = 2;
    world_open(w);
    uint32_t h = world_cell(w, "apple", 1000);
    for (int i = 0; i < 2; i++) {
        sell(w, h, 3);
        checkpoint_take(w);
    }
    sell(w, h, 3);
    world_kill(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    world_fini(w);
    free(w);
    return 0;
}

// The nth file, by name, that begins so. Fails the test when there is none.
static const char *file_named(struct world *w, const char *prefix, uint32_t nth)
{
    static char names[NAMES_MAX][STORAGE_NAME_BYTES];
    uint32_t count = fake_storage_names(w->disk, names, NAMES_MAX);
    assert_true(count <= NAMES_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (strncmp(names[i], prefix, strlen(prefix)) == 0 && nth-- == 0)
            return names[i];
    fail_msg("no file %s", prefix);
    return NULL;
}

static void damage(struct world *w, const char *name)
{
    uint64_t bytes;
    assert_non_null(fake_storage_content(w->disk, name, &bytes));
    assert_true(fake_storage_flip_bit(w->disk, name, bytes / 2 + 40, 3));
}

static void opens_whole(struct world *w)
{
    world_open(w);
    assert_int_equal(world_read(w, 0).committed, 9);
    assert_int_equal(world_read(w, 0).available, 991);
}

static void refuses(struct world *w, enum hf_status with, const char *naming)
{
    assert_int_equal(world_try_open(w), with);
    w->core = NULL;
    if (!strstr(w->report.why, naming))
        fail_msg("\"%s\" does not name %s", w->report.why, naming);
    fake_storage_kill(w->disk);
}

static void remove_file(struct world *w, const char *name)
{
    struct storage *s = &w->disk->base;
    assert_int_equal(s->ops->unlink(s, name), HF_OK);
    assert_int_equal(s->ops->sync_folder(s), HF_OK);
}

static void a_start_says_what_it_recovered_from_where_and_in_how_long(void **state)
{
    struct world *w = *state;
    w->disk->faults.latency_ns_max = 100000; // reading takes time
    opens_whole(w);
    assert_string_equal(w->report.checkpoint, file_named(w, "ckpt-", 1));
    assert_int_equal(w->report.journal.records, 3);
    assert_int_equal(w->report.cells, 1);
    assert_true(w->report.remembered >= 9);
    assert_true(w->report.load_ns > 0 && w->report.replay_ns > 0);
    assert_true(w->report.total_ns >= w->report.load_ns + w->report.replay_ns);
    assert_true(w->report.memory_bytes > 0 && w->report.memory_shadow_bytes > 0);
}

static void the_older_checkpoint_stands_in_for_a_damaged_one(void **state)
{
    struct world *w = *state;
    char older[STORAGE_NAME_BYTES];
    memcpy(older, file_named(w, "ckpt-", 0), sizeof older);
    damage(w, file_named(w, "ckpt-", 1));
    opens_whole(w);
    assert_string_equal(w->report.checkpoint, older);
    assert_int_equal(w->report.journal.records, 6);
}

static void two_damaged_checkpoints_stop_the_start(void **state)
{
    struct world *w = *state;
    char older[STORAGE_NAME_BYTES];
    memcpy(older, file_named(w, "ckpt-", 0), sizeof older);
    damage(w, file_named(w, "ckpt-", 1));
    damage(w, older);
    refuses(w, HF_DAMAGED, older);
    refuses(w, HF_DAMAGED, "byte");
}

static void a_checkpoint_that_is_gone_is_replayed_if_the_journal_is_whole(void **state)
{
    struct world *w = *state;
    remove_file(w, file_named(w, "ckpt-", 1));
    damage(w, file_named(w, "ckpt-", 0)); // the only one
    opens_whole(w);
    assert_string_equal(w->report.checkpoint, "");
    world_kill(w);
    damage(w, file_named(w, "ckpt-", 0));
    remove_file(w, file_named(w, "journal-0", 0));
    assert_int_equal(world_try_open(w), HF_DAMAGED);
    w->core = NULL;
    fake_storage_kill(w->disk);
}

static void damaged_ids_make_their_checkpoint_unusable(void **state)
{
    struct world *w = *state;
    char older[STORAGE_NAME_BYTES], ids[STORAGE_NAME_BYTES];
    memcpy(older, file_named(w, "ckpt-", 0), sizeof older);
    memcpy(ids, file_named(w, "ids-", 0), sizeof ids);
    remove_file(w, file_named(w, "ids-", 1)); // the newest checkpoint's alone
    opens_whole(w);
    assert_string_equal(w->report.checkpoint, older);
    world_kill(w);
    damage(w, ids); // both checkpoints need this one: forgetting an id could let a late one act
    refuses(w, HF_DAMAGED, ids);
}

static void newer_file_is_refused(struct world *w, const char *prefix, const char kind[8])
{
    char name[STORAGE_NAME_BYTES];
    struct chunkfile_header h = {.version = 99, .engine_id = w->options.fresh_id};
    struct chunkfile_writer *f;
    memcpy(name, file_named(w, prefix, 1), sizeof name);
    memcpy(h.kind, kind, sizeof h.kind);
    assert_int_equal(chunkfile_writer_create(&w->disk->base, name, &h, HF_BLOCK, &f), HF_OK);
    assert_int_equal(chunkfile_write(f, "?", 1), HF_OK);
    assert_int_equal(chunkfile_finish(f), HF_OK);
    refuses(w, HF_TOO_NEW, name);
}

static void newer_checkpoints_and_id_files_are_refused(void **state)
{
    newer_file_is_refused(*state, "ids-", "HFIDS\0\0");
    newer_file_is_refused(*state, "ckpt-", "HFCKPT\0");
}

static void a_newer_journal_is_refused(void **state)
{
    struct world *w = *state;
    struct storage *s = &w->disk->base;
    char name[STORAGE_NAME_BYTES];
    uint8_t block[HF_BLOCK];
    uint64_t bytes;
    int file;
    memcpy(name, file_named(w, "journal-0", 0), sizeof name);
    memcpy(block, fake_storage_content(w->disk, name, &bytes), sizeof block);
    // Every header of every version begins with magic, version and crc: docs/journal-format.md.
    uint32_t version = 99;
    memcpy(block + 8, &version, 4);
    uint32_t crc = hf_crc32c(hf_crc32c(0, block, 12), block + 16, HF_BLOCK - 16);
    memcpy(block + 12, &crc, 4);
    assert_int_equal(s->ops->open(s, name, STORAGE_READ | STORAGE_WRITE, &file), HF_OK);
    assert_int_equal(s->ops->pwrite(s, file, block, sizeof block, 0), HF_OK);
    assert_int_equal(s->ops->sync(s, file), HF_OK);
    s->ops->close(s, file);
    refuses(w, HF_TOO_NEW, name);
}

static void a_damaged_middle_and_a_missing_segment_stop_the_start(void **state)
{
    struct world *w = *state;
    world_open(w);
    sell(w, 0, 400); // several segments, none of them in a checkpoint
    world_kill(w);
    char second[STORAGE_NAME_BYTES];
    memcpy(second, file_named(w, "journal-0", 1), sizeof second);
    assert_true(fake_storage_flip_bit(w->disk, second, 5 * HF_BLOCK + 200, 1));
    refuses(w, HF_DAMAGED, second);
    assert_int_equal(w->report.journal.offset / HF_BLOCK, 5);
    assert_true(fake_storage_flip_bit(w->disk, second, 5 * HF_BLOCK + 200, 1));
    remove_file(w, second);
    refuses(w, HF_DAMAGED, "is missing");
}

static void a_second_process_is_refused(void **state)
{
    struct world *w = *state;
    world_open(w);
    struct core *other;
    struct core_report report;
    assert_int_equal(core_open(&w->options, &other, &report), HF_LOCKED);
    assert_true(report.why[0] != '\0');
    sell(w, 0, 1); // the first one goes on
}

// Every verb that would need the disk is BUSY, nothing is told as done, and a start is exact.
static void after_an_io_error_nothing_is_acknowledged(void **state)
{
    struct world *w = *state;
    struct core_line line = {0, 0, 1};
    world_open(w);
    for (int kind = 0; kind < 2; kind++) {
        struct core_request r = order(w, &line);
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE); // decided, but not to be told yet
        *(kind ? &w->disk->faults.sync_error_in : &w->disk->faults.write_error_in) = 1;
        assert_int_equal(core_step_writer(w->core, false), HF_IO);
        assert_int_equal(core_status(w->core), HF_IO);
        assert_int_equal(core_wait(w->core, a.ticket, 0), HF_STOPPED);
        assert_true(core_durable(w->core) < a.ticket);
        assert_true(core_step_writer(w->core, false) != HF_OK); // a failed sync is not tried again
        struct core_request next = order(w, &line);
        core_execute(w->worker, core_now(w->core), &next, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_BUSY);
        assert_true(core_step_timers(w->core, core_now(w->core), 10) != HF_OK);
        assert_true(core_step_checkpoint(w->core, core_now(w->core), 10) != HF_OK);
        world_close(w);
        fake_storage_crash(w->disk);
        fake_storage_restart(w->disk);
        world_open(w);
        int64_t committed = world_read(w, 0).committed;
        assert_in_range(committed, 9, 11);
        assert_int_equal(world_read(w, 0).available, 1000 - committed);
    }
}

static void a_start_that_cannot_read_is_no_start(void **state)
{
    struct world *w = *state;
    uint64_t n = 1;
    for (; n < 1000; n++) { // each read of a start in turn
        w->disk->faults.read_error_in = n;
        enum hf_status s = world_try_open(w);
        if (s == HF_OK)
            break;
        w->core = NULL;
        assert_int_equal(s, HF_IO);
        assert_true(w->report.why[0] != '\0');
        fake_storage_kill(w->disk);
    }
    assert_in_range(n, 5, 999);
    assert_int_equal(world_read(w, 0).committed, 9);
}

static void a_full_disk_is_busy_and_passes(void **state)
{
    struct world *w = *state;
    struct core_line line = {0, 0, 1};
    world_open(w);
    world_settle(w);
    w->disk->faults.capacity_bytes = fake_storage_used_bytes(w->disk);
    struct core_answer a = {0};
    struct core_metrics m;
    int64_t sold = 9;
    for (int i = 0; i < 5000 && a.outcome != CORE_OUT_BUSY; i++) {
        struct core_request r = order(w, &line);
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        sold += a.outcome == CORE_OUT_DONE;
        core_step_writer(w->core, false);
    }
    assert_int_equal(a.outcome, CORE_OUT_BUSY); // before any stock was touched
    assert_int_equal(a.line, CORE_SHORT_SPACE);
    assert_true(a.retry_ms > 0);
    core_metrics(w->core, &m);
    assert_true(m.busy_space > 0 && m.busy_space == m.busy);
    assert_int_equal(m.busy_ids + m.busy_blocks + m.busy_lag + m.busy_buffers, 0);
    assert_int_equal(world_read(w, 0).committed, sold);
    assert_int_equal(core_status(w->core), HF_OK); // full is no failure
    w->disk->faults.capacity_bytes = 0;
    fake_clock_advance_ms(&w->clock, 2000);
    world_settle(w);
    struct core_request r = order(w, &line);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
}

// Its outcome was decided and is durable: no room is needed to tell it.
static void an_operation_is_told_again_on_a_full_disk(void **state)
{
    struct world *w = *state;
    struct core_line line = {0, 0, 1};
    struct core_admin_answer a;
    world_open(w);
    struct core_change ch = {.op_id = world_id(w), .handle = 0, .value = 500};
    core_change(w->worker, core_now(w->core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    struct hf_uuid posted = world_id(w);
    core_acknowledge(w->worker, core_now(w->core), posted, &line, 1, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(w);
    w->disk->faults.capacity_bytes = fake_storage_used_bytes(w->disk);
    struct core_change other = {.handle = 0, .value = 501};
    for (int i = 0; i < 5000 && a.outcome != CORE_OUT_BUSY; i++) {
        other.op_id = world_id(w);
        core_change(w->worker, core_now(w->core), &other, &a);
        core_step_writer(w->core, false);
    }
    assert_int_equal(a.outcome, CORE_OUT_BUSY);
    core_change(w->worker, core_now(w->core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    core_acknowledge(w->worker, core_now(w->core), posted, &line, 1, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_true(a.repeat);
    ch.value++;
    core_change(w->worker, core_now(w->core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_CONFLICT);
}

static void a_checkpoint_on_a_full_disk_is_tried_again(void **state)
{
    struct world *w = *state;
    struct core_metrics m;
    world_open(w);
    sell(w, 0, 3);
    w->disk->faults.capacity_bytes = fake_storage_used_bytes(w->disk);
    fake_clock_advance_ms(&w->clock, w->options.checkpoint_ms + 1);
    for (int i = 0; i < 200; i++)
        assert_int_not_equal(core_step_checkpoint(w->core, core_now(w->core), 16), HF_IO);
    core_metrics(w->core, &m);
    assert_int_equal(m.checkpoints, 0);
    assert_int_equal(core_status(w->core), HF_OK);
    sell(w, 0, 3);
    w->disk->faults.capacity_bytes = 0;
    checkpoint_take(w);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_start_says_what_it_recovered_from_where_and_in_how_long),
        TEST(the_older_checkpoint_stands_in_for_a_damaged_one),
        TEST(two_damaged_checkpoints_stop_the_start),
        TEST(a_checkpoint_that_is_gone_is_replayed_if_the_journal_is_whole),
        TEST(damaged_ids_make_their_checkpoint_unusable),
        TEST(newer_checkpoints_and_id_files_are_refused),
        TEST(a_newer_journal_is_refused),
        TEST(a_damaged_middle_and_a_missing_segment_stop_the_start),
        TEST(a_second_process_is_refused),
        TEST(after_an_io_error_nothing_is_acknowledged),
        TEST(a_start_that_cannot_read_is_no_start),
        TEST(a_full_disk_is_busy_and_passes),
        TEST(an_operation_is_told_again_on_a_full_disk),
        TEST(a_checkpoint_on_a_full_disk_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
