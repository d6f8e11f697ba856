// Faults of recalls that were found by reading, each as a short story.
#include "unit/core_world.h"

static struct world *w;
static struct core_worker *other;
static const struct storage_ops *below;
static struct storage_ops hooked;
static void (*hook)(void); // runs once, before the next segment is opened
static struct hf_uuid sold;
static uint32_t apple, pear;

static enum hf_status hooked_open(struct storage *s, const char *name, unsigned flags, int *file)
{
    void (*run)(void) = hook;
    if (run && strncmp(name, "journal-", 8) == 0) {
        hook = NULL;
        run();
    }
    return below->open(s, name, flags, file);
}

static int make(bool archive)
{
    w = malloc(sizeof *w);
    world_init(w);
    w->options.archive = archive;
    w->options.checkpoint_ms = 1;
    w->options.blocks_max = 256;
    world_open(w);
    other = core_worker_create(w->core);
    below = w->disk->base.ops;
    hooked = *below;
    hooked.open = hooked_open;
    w->disk->base.ops = &hooked;
    apple = world_cell(w, "apple", 100000);
    pear = world_cell(w, "pear", 100000);
    return 0;
}

static int with_archive(void **state)
{
    (void)state;
    return make(true);
}

static int without_archive(void **state)
{
    (void)state;
    return make(false);
}

static int unmake(void **state)
{
    (void)state;
    core_worker_destroy(other);
    world_fini(w);
    free(w);
    return 0;
}

static void sell(void)
{
    struct core_line lines[] = {{apple, 0, 5000}, {pear, 0, 5000}};
    sold = world_id(w);
    struct core_request r = {.verb = CORE_ORDER, .id = sold, .lines = lines, .line_count = 2};
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
}

static enum core_outcome cancel(int64_t apples)
{
    struct core_line line = {apple, 0, apples};
    struct core_request r = {.verb = CORE_CANCEL,
                             .id = sold,
                             .op_id = world_id(w),
                             .lines = &line,
                             .line_count = 1};
    return world_do(w, &r).outcome;
}

static enum hf_status recall(void)
{
    return core_recall(w->worker, core_now(w->core), sold);
}

// A group each, until the segment in use is another one.
static void fill_segment(void)
{
    struct core_line line = {apple, 0, 1};
    for (int i = 0; i < 64; i++) {
        struct core_request r = {
            .verb = CORE_ORDER, .id = world_id(w), .lines = &line, .line_count = 1};
        assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    }
}

static void archive_all(void)
{
    while (core_step_archive(w->core, core_now(w->core)) == HF_OK)
        ;
}

static void checkpoint(void)
{
    struct core_metrics before, m;
    struct core_admin_answer a;
    struct core_change ch = {.op_id = world_id(w), .handle = pear, .relative = true, .value = 1};
    core_change(other, core_now(w->core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(w);
    fake_clock_advance_ms(&w->clock, 2);
    core_metrics(w->core, &before);
    do {
        enum hf_status s = core_step_checkpoint(w->core, core_now(w->core), 1000);
        assert_true(s == HF_OK || s == HF_AGAIN);
        core_metrics(w->core, &m);
    } while (m.checkpoints == before.checkpoints);
}

static void archive_and_recycle(void)
{
    archive_all();
    checkpoint();
    checkpoint(); // segments are kept for the older of the two
    world_settle(w);
}

static void forget(void)
{
    struct core_view v;
    for (int i = 0; i < 10; i++)
        world_pass(w, 3000);
    assert_int_equal(core_get(w->worker, core_now(w->core), sold, &v, NULL, 0), HF_NOT_FOUND);
}

static void a_segment_that_is_archived_meanwhile_is_not_passed_over(void **state)
{
    (void)state;
    sell();
    fill_segment();
    archive_all();
    assert_int_equal(recall(), HF_OK);
    assert_int_equal(cancel(5000), CORE_OUT_DONE);
    fill_segment();
    forget();
    hook = archive_and_recycle;
    assert_int_equal(recall(), HF_OK); // it looked once, and what was cancelled was there again
    assert_null(hook);
    assert_int_equal(cancel(5000), CORE_OUT_EXCEEDS);
}

static void without_an_archive_the_segment_in_use_is_searched(void **state)
{
    (void)state;
    fill_segment();
    fill_segment();
    sell();
    forget();
    checkpoint();
    checkpoint();
    world_settle(w);
    struct journal_segment oldest;
    assert_int_equal(journal_closed_segments(core_journal(w->core), &oldest, 1), 0);
    assert_int_equal(recall(), HF_OK); // was NOT_FOUND
    assert_int_equal(cancel(5000), CORE_OUT_DONE);
}

static void recall_by_another(void)
{
    assert_int_equal(core_recall(other, core_now(w->core), sold), HF_OK);
}

static void two_recalls_of_one_order_bring_its_lines_back_once(void **state)
{
    (void)state;
    sell();
    for (int i = 0; i < 300; i++) {
        hook = recall_by_another;
        assert_int_equal(recall(), HF_OK); // ran out of blocks: each left one behind
        assert_null(hook);
        assert_int_equal(cancel(1), CORE_OUT_DONE);
        if (i % 100 == 0) {
            archive_and_recycle();
            forget();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_segment_that_is_archived_meanwhile_is_not_passed_over,
                                        with_archive, unmake),
        cmocka_unit_test_setup_teardown(without_an_archive_the_segment_in_use_is_searched,
                                        without_archive, unmake),
        cmocka_unit_test_setup_teardown(two_recalls_of_one_order_bring_its_lines_back_once,
                                        with_archive, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
