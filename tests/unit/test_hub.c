// watch/hub.h against the engine: after a drain every cell's value is what core_cell_read tells,
// whatever was done, and again after a restart.
#include "unit/core_world.h"

#include "watch/hub.h"

#include <pthread.h>

#define CELLS    24
#define LIVE_MAX 64

struct hub_world {
    struct world w;
    struct watch_hub *hub;
    struct hf_uuid held[LIVE_MAX], sold[LIVE_MAX]; // one line of quantity 4 each, on `cell`
    uint32_t held_cell[LIVE_MAX], sold_cell[LIVE_MAX];
    uint32_t held_count, sold_count;
};

static void hub_open(struct hub_world *t)
{
    world_open(&t->w);
    struct watch_hub_options o = {t->w.core, &t->w.clock.base, t->w.options.cells_max, false};
    assert_int_equal(watch_hub_create(&o, &t->hub), HF_OK);
}

static void hub_close(struct hub_world *t)
{
    watch_hub_destroy(t->hub);
    t->hub = NULL;
}

static int set_up(void **state)
{
    struct hub_world *t = calloc(1, sizeof *t);
    world_init(&t->w);
    t->w.options.cells_max = 10000;
    hub_open(t);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct hub_world *t = *state;
    hub_close(t);
    world_fini(&t->w);
    free(t);
    return 0;
}

static void drain(struct hub_world *t)
{
    enum hf_status s;
    world_settle(&t->w);
    while ((s = watch_hub_step(t->hub)) == HF_OK)
        ;
    assert_int_equal(s, HF_AGAIN);
    assert_int_equal(watch_hub_lsn(t->hub), core_durable(t->w.core));
}

static void agree(struct hub_world *t)
{
    uint32_t cells = core_cell_count(t->w.core), shorts = 0;
    assert_int_equal(watch_hub_cells(t->hub), cells);
    for (uint32_t i = 0; i < cells; i++) {
        int64_t available = world_read(&t->w, i).available;
        assert_int_equal(watch_hub_read(t->hub, i).available, available);
        shorts += available < 0;
    }
    assert_int_equal(watch_hub_short(t->hub), shorts);
}

// ------------------------------------------------------------------------------- workload

static void change_any(struct hub_world *t)
{
    struct world *w = &t->w;
    enum core_setting setting = (enum core_setting)(world_random(w) % CORE_SETTING_COUNT);
    int64_t value = setting == CORE_SET_ACTIVE ? (int64_t)(world_random(w) % 8 != 0)
                                               : (int64_t)(world_random(w) % 200);
    struct core_change ch = {.op_id = world_id(w),
                             .handle = (uint32_t)(world_random(w) % core_cell_count(w->core)),
                             .setting = setting,
                             .relative = setting == CORE_SET_ON_HAND && world_random(w) % 2,
                             .value = value};
    if (ch.relative && world_random(w) % 2)
        ch.value = -ch.value;
    struct core_admin_answer a;
    core_change(w->worker, core_now(w->core), &ch, &a);
    assert_true(a.outcome == CORE_OUT_DONE || a.outcome == CORE_OUT_INVALID);
}

static void acknowledge_any(struct hub_world *t)
{
    struct world *w = &t->w;
    struct core_line lines[3];
    for (int i = 0; i < 3; i++) // one cell may come twice
        lines[i] = (struct core_line){(uint32_t)(world_random(w) % core_cell_count(w->core)), 0,
                                      1 + (int64_t)(world_random(w) % 4)};
    struct core_admin_answer a;
    core_acknowledge(w->worker, core_now(w->core), world_id(w), lines, 3, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
}

static void take_any(struct hub_world *t)
{
    struct world *w = &t->w;
    static const enum core_verb verbs[] = {CORE_RESERVE, CORE_ORDER, CORE_RECORD};
    struct core_line lines[5];
    uint32_t n = world_random(w) % 2 ? 1 : 1 + (uint32_t)(world_random(w) % 5);
    for (uint32_t i = 0; i < n; i++)
        lines[i] = (struct core_line){(uint32_t)(world_random(w) % core_cell_count(w->core)), 0,
                                      n == 1 ? 4 : 1 + (int64_t)(world_random(w) % 9)};
    struct core_request r = {
        .verb = verbs[world_random(w) % 3], .id = world_id(w), .lines = lines, .line_count = n};
    r.ttl_ms = r.verb == CORE_RESERVE ? 1 + (uint32_t)(world_random(w) % 2000) : 0;
    r.flags = r.verb != CORE_RECORD && n > 1 && world_random(w) % 3 == 0 ? CORE_BEST_EFFORT : 0;
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    if (a.outcome != CORE_OUT_DONE || n > 1)
        return;
    bool hold = r.verb == CORE_RESERVE;
    uint32_t *count = hold ? &t->held_count : &t->sold_count;
    uint32_t at = *count < LIVE_MAX ? (*count)++ : (uint32_t)(world_random(w) % LIVE_MAX);
    (hold ? t->held : t->sold)[at] = r.id;
    (hold ? t->held_cell : t->sold_cell)[at] = lines[0].handle;
}

// Whole and partial ends, retakes of what has expired, cancels and returns.
static unsigned end_any(struct hub_world *t)
{
    static const enum core_verb of_held[] = {CORE_COMMIT, CORE_RELEASE, CORE_EXTEND};
    static const enum core_verb of_sold[] = {CORE_CANCEL, CORE_RETURN};
    struct world *w = &t->w;
    bool hold = world_random(w) % 3 != 0;
    uint32_t count = hold ? t->held_count : t->sold_count;
    if (count == 0)
        return 0;
    uint32_t at = (uint32_t)(world_random(w) % count);
    struct core_line line = {(hold ? t->held_cell : t->sold_cell)[at], 0,
                             1 + (int64_t)(world_random(w) % 3)};
    struct core_request r = {.verb =
                                 hold ? of_held[world_random(w) % 3] : of_sold[world_random(w) % 2],
                             .id = (hold ? t->held : t->sold)[at]};
    bool part = !hold || (r.verb != CORE_EXTEND && world_random(w) % 2);
    r.lines = part ? &line : NULL;
    r.line_count = part;
    r.op_id = r.verb == CORE_EXTEND || (part && r.verb != CORE_COMMIT) ? world_id(w)
                                                                       : (struct hf_uuid){0, 0};
    r.ttl_ms = r.verb == CORE_EXTEND ? 1000 : 0;
    if (r.verb == CORE_COMMIT && !part && world_random(w) % 2)
        r.flags = CORE_RETAKE;
    if (r.verb == CORE_RETURN && world_random(w) % 2)
        r.flags = CORE_SCRAP;
    struct core_answer a;
    core_execute(w->worker, core_now(w->core), &r, &a, 1);
    assert_int_not_equal(a.outcome, CORE_OUT_INVALID);
    return a.outcome == CORE_OUT_DONE ? 1u << r.verb : 0;
}

static void cell_new(struct hub_world *t)
{
    char sku[16];
    snprintf(sku, sizeof sku, "s%u", core_cell_count(t->w.core));
    world_cell(&t->w, sku, (int64_t)(world_random(&t->w) % 100));
}

static unsigned work(struct hub_world *t, unsigned steps)
{
    unsigned done = 0;
    for (unsigned i = 0; i < steps; i++) {
        switch (world_random(&t->w) % 16) {
        case 0:
            change_any(t);
            break;
        case 1:
            acknowledge_any(t);
            break;
        case 2:
            world_pass(&t->w, world_random(&t->w) % 500);
            break;
        case 3:
            if (core_cell_count(t->w.core) < 3 * CELLS)
                cell_new(t);
            break;
        case 4:
        case 5:
        case 6:
        case 7:
        case 8:
            done |= end_any(t);
            break;
        default:
            take_any(t);
        }
        if (i % 64 == 63)
            world_settle(&t->w);
    }
    return done;
}

static void after_any_work_the_hub_agrees_with_the_cells(void **state)
{
    struct hub_world *t = *state;
    unsigned done = 0;
    for (uint32_t i = 0; i < CELLS; i++)
        cell_new(t);
    for (int life = 0; life < 3; life++) {
        for (int round = 0; round < 20; round++) {
            done |= work(t, 500);
            drain(t);
            agree(t);
        }
        hub_close(t);
        world_kill(&t->w);
        hub_open(t);
        agree(t); // taken over from recovery
        drain(t);
        agree(t);
    }
    for (enum core_verb v = CORE_COMMIT; v <= CORE_RETURN; v++)
        if (!(done & 1u << v))
            fail_msg("%s never succeeded: nothing was shown for it", core_verb_name(v));
}

// ------------------------------------------------------------------------------- positions

static void a_position_is_the_last_change_and_nothing_later(void **state)
{
    struct hub_world *t = *state;
    uint32_t a = world_cell(&t->w, "a", 10), b = world_cell(&t->w, "b", 10);
    drain(t);
    uint64_t before = watch_hub_read(t->hub, a).lsn;
    struct core_line line = {b, 0, 3};
    struct core_request r = {
        .verb = CORE_ORDER, .id = world_id(&t->w), .lines = &line, .line_count = 1};
    struct core_answer answer;
    core_execute(t->w.worker, core_now(t->w.core), &r, &answer, 1);
    assert_int_equal(watch_hub_step(t->hub), HF_AGAIN); // decided, not durable: not told
    assert_int_equal(watch_hub_read(t->hub, b).available, 10);
    assert_int_equal(world_read(&t->w, b).available, 7);
    drain(t);
    assert_int_equal(watch_hub_read(t->hub, b).available, 7);
    assert_int_equal(watch_hub_read(t->hub, b).lsn, answer.ticket);
    assert_int_equal(watch_hub_read(t->hub, a).lsn, before);
    uint64_t told = watch_hub_read(t->hub, b).lsn;
    hub_close(t);
    world_kill(&t->w);
    hub_open(t);
    assert_true(watch_hub_read(t->hub, b).lsn >= told); // never falls, over a restart too
    assert_int_equal(watch_hub_read(t->hub, b).available, 7);
}

static uint32_t next(struct hub_world *t, uint32_t from, uint64_t after)
{
    uint32_t looks = UINT32_MAX;
    return watch_hub_next(t->hub, &from, watch_hub_cells(t->hub), after, &looks);
}

static void what_changed_is_found_by_its_lsn(void **state)
{
    struct hub_world *t = *state;
    enum { MANY = 9000 };
    char sku[16];
    struct core_admin_answer a;
    for (uint32_t i = 0; i < MANY; i++) {
        int n = snprintf(sku, sizeof sku, "s%u", i);
        core_cell_make(t->w.worker, core_now(t->w.core), sku, (uint32_t)n, "m", 1, 0, &a);
        if (i % 100 == 0)
            world_settle(&t->w);
    }
    drain(t);
    static const uint32_t picked[] = {0, 63, 64, 4095, 4096, 5000, MANY - 1};
    uint64_t seen = watch_hub_lsn(t->hub);
    assert_int_equal(next(t, 0, seen), MANY);         // nothing
    assert_int_equal(next(t, 0, seen - 1), MANY - 1); // the newest cell
    for (unsigned i = 0; i < sizeof picked / sizeof *picked; i++) {
        struct core_change ch = {
            .op_id = world_id(&t->w), .handle = picked[i], .value = 5 + (int64_t)i};
        core_change(t->w.worker, core_now(t->w.core), &ch, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
    }
    drain(t);
    uint32_t from = 0;
    for (unsigned i = 0; i < sizeof picked / sizeof *picked; i++) {
        assert_int_equal(next(t, from, seen), picked[i]);
        from = picked[i] + 1;
    }
    assert_int_equal(next(t, from, seen), MANY);
    // In pieces: the same cells.
    uint32_t found = 0, got, looks = 3;
    from = 0;
    while ((got = watch_hub_next(t->hub, &from, MANY, seen, &looks)) != MANY) {
        if (got == UINT32_MAX) {
            assert_int_equal(looks, 0);
            looks = 3;
            continue;
        }
        assert_int_equal(got, picked[found++]);
        from = got + 1;
    }
    assert_int_equal(found, sizeof picked / sizeof *picked);
}

// ------------------------------------------------------------------------------- watchers

static void count_wake(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void order_one(struct hub_world *t, uint32_t cell)
{
    struct core_line line = {cell, 0, 1};
    struct core_request r = {
        .verb = CORE_ORDER, .id = world_id(&t->w), .lines = &line, .line_count = 1};
    assert_int_equal(world_do(&t->w, &r).outcome, CORE_OUT_DONE);
}

static void a_watcher_is_woken_once_an_interval_while_it_has_something_to_see(void **state)
{
    struct hub_world *t = *state;
    uint32_t cell = world_cell(&t->w, "a", 100);
    unsigned wakes = 0;
    struct watch_watcher w = {.wake = count_wake, .ctx = &wakes, .interval_ms = 100}, more = w;
    drain(t);
    w.seen = watch_hub_lsn(t->hub);
    assert_true(watch_hub_add(t->hub, &w, 1));
    assert_false(watch_hub_add(t->hub, &more, 1)); // bounded
    watch_hub_step(t->hub);
    assert_int_equal(wakes, 0); // nothing new
    for (int i = 0; i < 5; i++) {
        order_one(t, cell);
        drain(t);
    }
    assert_int_equal(wakes, 1); // and not again within the interval
    fake_clock_advance_ms(&t->w.clock, 100);
    watch_hub_step(t->hub);
    assert_int_equal(wakes, 2); // it has not looked yet
    w.busy = 1;
    fake_clock_advance_ms(&t->w.clock, 1000);
    watch_hub_step(t->hub);
    assert_int_equal(wakes, 2); // a scan is under way
    w.busy = 0;
    w.seen = watch_hub_lsn(t->hub);
    watch_hub_step(t->hub);
    assert_int_equal(wakes, 2); // has seen everything
    order_one(t, cell);
    drain(t);
    assert_int_equal(wakes, 3);
    watch_hub_remove(t->hub, &w);
    assert_int_equal(watch_hub_watchers(t->hub), 0);
    assert_true(watch_hub_add(t->hub, &more, 1));
    watch_hub_remove(t->hub, &more);
}

static void a_hub_that_fell_behind_says_so(void **state)
{
    struct hub_world *t = *state;
    struct world *w = &t->w;
    unsigned wakes = 0;
    hub_close(t);
    world_kill(w);
    w->options.archive = false;
    w->options.checkpoint_bytes = 64 << 10;
    w->options.journal.segments_max = 8;
    hub_open(t);
    uint32_t cell = world_cell(w, "a", 1000000);
    struct watch_watcher watcher = {.wake = count_wake, .ctx = &wakes, .interval_ms = 100};
    watcher.busy = 1;
    assert_true(watch_hub_add(t->hub, &watcher, 1));
    for (uint32_t i = 0; i < 60000; i++) { // 3.8 MB; the bound is two segments of 256 KiB
        struct core_line line = {cell, 0, 1};
        struct core_request r = {
            .verb = CORE_ORDER, .id = world_id(w), .lines = &line, .line_count = 1};
        struct core_answer a;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        assert_int_equal(a.outcome, CORE_OUT_DONE); // decisions don't mind
        if (i % 200 == 199)
            world_settle(w);
        if (i % 1000 == 999) {
            world_pass(w, 20000);
            while (core_step_checkpoint(w->core, core_now(w->core), 1000) == HF_OK)
                ;
        }
    }
    assert_int_equal(watch_hub_step(t->hub), HF_NOT_FOUND);
    assert_int_equal(watch_hub_status(t->hub), HF_NOT_FOUND);
    assert_int_equal(wakes, 1); // busy or not
    assert_int_equal(watch_hub_step(t->hub), HF_NOT_FOUND);
    assert_int_equal(wakes, 1);
    watch_hub_remove(t->hub, &watcher);
}

// Every order takes one unit and gets the next LSN: available + LSN stays the same, if and only if
// the two belong together.
struct reader {
    struct watch_hub *hub;
    uint32_t cell, stop; // stop: atomic
    int64_t sum;
    uint64_t reads, torn, fell;
};

static void *read_all_the_while(void *ctx)
{
    struct reader *r = ctx;
    uint64_t last = 0;
    do {
        uint64_t seen = watch_hub_lsn(r->hub);
        struct watch_value v = watch_hub_read(r->hub, r->cell);
        r->torn += v.available + (int64_t)v.lsn != r->sum;
        r->fell += v.lsn < last || v.lsn < seen;
        last = v.lsn;
        r->reads++;
    } while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE));
    return NULL;
}

static void a_reader_in_another_thread_gets_what_belongs_together(void **state)
{
    struct hub_world *t = *state;
    uint32_t cell = world_cell(&t->w, "a", 1000000);
    drain(t);
    struct watch_value v = watch_hub_read(t->hub, cell);
    struct reader r = {.hub = t->hub, .cell = cell, .sum = v.available + (int64_t)v.lsn};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_all_the_while, &r), 0);
    for (int i = 0; i < 3000; i++) {
        order_one(t, cell);
        if (i % 3 == 0)
            watch_hub_step(t->hub);
    }
    __atomic_store_n(&r.stop, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_int_equal(r.torn, 0);
    assert_int_equal(r.fell, 0);
    assert_true(r.reads > 0);
}

static void a_hub_comes_before_the_first_record(void **state)
{
    struct hub_world *t = *state;
    struct core_admin_answer a;
    core_cell_make(t->w.worker, core_now(t->w.core), "a", 1, "m", 1, 0, &a);
    struct watch_hub_options o = {t->w.core, &t->w.clock.base, t->w.options.cells_max, false};
    struct watch_hub *late;
    assert_int_equal(watch_hub_create(&o, &late), HF_BUSY);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(after_any_work_the_hub_agrees_with_the_cells),
        TEST(a_position_is_the_last_change_and_nothing_later),
        TEST(what_changed_is_found_by_its_lsn),
        TEST(a_watcher_is_woken_once_an_interval_while_it_has_something_to_see),
        TEST(a_hub_that_fell_behind_says_so),
        TEST(a_reader_in_another_thread_gets_what_belongs_together),
        TEST(a_hub_comes_before_the_first_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
