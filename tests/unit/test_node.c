#include "daemon/node.h"
#include "core/core_internal.h"
#include "watch/hub.h"

#include "base/arena.h"
#include "base/log.h"
#include "sys/thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    char folder[64];
    struct node_options options;
    struct node *node;
    struct core_worker *worker;
    struct core_report report;
    uint64_t random;
    _Atomic uint32_t told; // calls of on_durable
};

static void on_durable(void *ctx)
{
    ((struct fixture *)ctx)->told++;
}

static struct hf_uuid fresh_id(struct fixture *f)
{
    f->random = f->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return hf_uuid_v7(core_now(node_core(f->node)), f->random >> 7, ~f->random);
}

static void node_up(struct fixture *f)
{
    enum hf_status s = node_open(&f->options, &f->node, &f->report);
    if (s != HF_OK)
        fail_msg("open: %s: %s", hf_status_name(s), f->report.why);
    f->worker = core_worker_create(node_core(f->node));
    assert_non_null(f->worker);
}

static void node_down(struct fixture *f)
{
    core_worker_destroy(f->worker);
    node_close(f->node);
    f->node = NULL;
}

static int set_up_closed(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->random = 7;
    snprintf(f->folder, sizeof f->folder, "/tmp/holdfast-node.XXXXXX");
    if (!mkdtemp(f->folder))
        return 1;
    node_options_default(&f->options);
    f->options.on_durable = on_durable;
    f->options.ctx = f;
    f->options.folder = f->folder;
    f->options.core.cells_max = 100;
    f->options.core.ids_max = 10000;
    f->options.core.blocks_max = 1000;
    f->options.core.workers_max = 2;
    f->options.core.huge_pages = false;
    f->options.core.journal.segment_bytes = 4 << 20;
    *state = f;
    return 0;
}

static int set_up(void **state)
{
    if (set_up_closed(state) != 0)
        return 1;
    node_up(*state);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    if (f->node)
        node_down(f);
    DIR *d = opendir(f->folder);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void durable(struct fixture *f, uint64_t ticket)
{
    assert_int_equal(core_wait(node_core(f->node), ticket, 10000), HF_OK);
}

static uint32_t cell_make(struct fixture *f, const char *sku, int64_t on_hand)
{
    struct core_admin_answer a;
    core_cell_make(f->worker, core_now(node_core(f->node)), sku, (uint32_t)strlen(sku), "main", 4,
                   0, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    struct core_change c = {.op_id = fresh_id(f), .handle = a.handle, .value = on_hand};
    core_change(f->worker, core_now(node_core(f->node)), &c, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    durable(f, a.ticket);
    return c.handle;
}

static struct core_answer decide(struct fixture *f, const struct core_request *r)
{
    struct core_answer a;
    core_execute(f->worker, core_now(node_core(f->node)), r, &a, 1);
    durable(f, a.ticket);
    return a;
}

static struct core_cell cell_read(struct fixture *f, uint32_t handle)
{
    struct core_cell c;
    assert_int_equal(core_cell_read(node_core(f->node), handle, &c), HF_OK);
    return c;
}

static void each_start_draws_a_key_for_its_index(void **state)
{
    struct fixture *f = *state;
    const uint64_t *key = node_core(f->node)->stock.slots.hash_key;
    const uint64_t first = key[0], second = key[1];
    assert_true(first != 0 && second != 0 && first != second);
    node_down(f);
    node_up(f);
    assert_true(node_core(f->node)->stock.slots.hash_key[0] != first);
}

static void what_was_durable_is_there_after_a_close(void **state)
{
    struct fixture *f = *state;
    struct core_line lines[2] = {{cell_make(f, "apple", 10), 0, 2},
                                 {cell_make(f, "pear", 5), 0, 1}};
    struct core_request hold = {
        .verb = CORE_RESERVE, .id = fresh_id(f), .lines = lines, .line_count = 2, .ttl_ms = 60000};
    struct core_request sold = hold;
    sold.id = fresh_id(f);
    struct core_request order = {
        .verb = CORE_ORDER, .id = fresh_id(f), .lines = lines, .line_count = 1};
    struct core_request commit = {.verb = CORE_COMMIT, .id = sold.id};
    assert_int_equal(decide(f, &hold).outcome, CORE_OUT_DONE);
    assert_int_equal(decide(f, &sold).outcome, CORE_OUT_DONE);
    assert_int_equal(decide(f, &order).outcome, CORE_OUT_DONE);
    assert_int_equal(decide(f, &commit).outcome, CORE_OUT_DONE);
    for (int round = 0; round < 3; round++) {
        node_down(f);
        node_up(f);
        assert_int_equal(f->report.cells, 2);
        assert_int_equal(f->report.live, 1);
        struct core_cell apple = cell_read(f, lines[0].handle), pear = cell_read(f, 1);
        assert_int_equal(apple.available, 4);
        assert_int_equal(apple.held, 2);
        assert_int_equal(apple.committed, 4);
        assert_int_equal(pear.available, 3);
        assert_int_equal(pear.committed, 1);
        assert_true(decide(f, &order).repeat);
        assert_true(decide(f, &commit).repeat);
        assert_int_equal(decide(f, &hold).state, CORE_STATE_HELD);
    }
}

static void the_threads_end_holds_in_time(void **state)
{
    struct fixture *f = *state;
    struct core_line line = {cell_make(f, "apple", 10), 0, 4};
    struct core_request r = {
        .verb = CORE_RESERVE, .id = fresh_id(f), .lines = &line, .line_count = 1, .ttl_ms = 20};
    assert_int_equal(decide(f, &r).outcome, CORE_OUT_DONE);
    for (int ms = 0; ms < 5000 && cell_read(f, line.handle).available != 10; ms++)
        node_wait_failed(f->node, 1);
    assert_int_equal(cell_read(f, line.handle).available, 10);
    struct core_request commit = {.verb = CORE_COMMIT, .id = r.id};
    assert_int_equal(decide(f, &commit).outcome, CORE_OUT_EXPIRED);
}

static void whoever_waits_is_told_of_each_group(void **state)
{
    struct fixture *f = *state;
    struct core_line line = {cell_make(f, "apple", 10), 0, 1};
    for (int i = 0; i < 5; i++) {
        uint32_t before = f->told;
        struct core_request r = {
            .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
        assert_int_equal(decide(f, &r).outcome, CORE_OUT_DONE);
        for (int ms = 0; ms < 5000 && f->told == before; ms++)
            node_wait_failed(f->node, 1);
        assert_int_not_equal(f->told, before);
    }
}

// The writer stops before a step that would find all quiet, until something has been pushed.
static _Atomic uint32_t writer_stop; // 0: no; 1: asked for; 2: it stands; 3: it may go on
enum hf_status __real_core_step_writer(struct core *c, bool quiet);
enum hf_status __wrap_core_step_writer(struct core *c, bool quiet);
enum hf_status __wrap_core_step_writer(struct core *c, bool quiet)
{
    uint32_t asked = 1;
    if (quiet && atomic_compare_exchange_strong(&writer_stop, &asked, 2))
        while (writer_stop != 3)
            sched_yield();
    return __real_core_step_writer(c, quiet);
}

static void whoever_pushes_when_all_was_quiet_is_told(void **state)
{
    struct fixture *f = *state;
    struct core_line line = {cell_make(f, "apple", 1000), 0, 1};
    struct core_answer a;
    writer_stop = 1;
    for (int i = 0; i < 100 && writer_stop == 1; i++) {
        struct core_request r = {
            .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
        core_execute(f->worker, core_now(node_core(f->node)), &r, &a, 1); // then all is quiet
        for (int ms = 0; ms < 50 && writer_stop == 1; ms++)
            node_wait_failed(f->node, 1);
    }
    assert_int_equal(writer_stop, 2);
    uint32_t before = f->told;
    struct core_request r = {
        .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
    core_execute(f->worker, core_now(node_core(f->node)), &r, &a, 1);
    writer_stop = 3;
    durable(f, a.ticket);
    for (int ms = 0; ms < 5000 && f->told == before; ms++)
        node_wait_failed(f->node, 1);
    assert_int_not_equal(f->told, before);
}

// The nice level of this process's thread of that name; INT_MAX: there is none.
static int level_of(const char *thread)
{
    int level = INT_MAX;
    DIR *d = opendir("/proc/self/task");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], name[20] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", e->d_name);
        FILE *f = fopen(path, "r");
        if (f && fscanf(f, "%19s", name) == 1 && strcmp(name, thread) == 0)
            level = getpriority(PRIO_PROCESS, (id_t)strtoul(e->d_name, NULL, 10));
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return level;
}

static void what_follows_the_journal_stands_back(void **state)
{
    (void)state;
    int mine = getpriority(PRIO_PROCESS, 0);
    struct thread_place p;
    thread_place_init(&p);
    if (!p.free) {
        print_message("no right to come back: nobody stands back here\n");
        return;
    }
    int back = mine + 10 < 19 ? mine + 10 : 19;
    const struct timespec moment = {0, 10000000};
    for (int i = 0; i < 1000 && (level_of("hf-archive") != back || level_of("hf-keeper") != back);
         i++)
        nanosleep(&moment, NULL);
    assert_int_equal(level_of("hf-archive"), back);
    assert_int_equal(level_of("hf-keeper"), back);
    assert_int_equal(level_of("hf-writer"), mine);
    assert_int_equal(level_of("hf-timers"), mine);
}

static _Atomic uint32_t said; // lines of no_room

static void listen(void *ctx, enum hf_log_level level, const char *line)
{
    (void)ctx;
    if (level == HF_LOG_WARN && strstr(line, "event=no_room ids_used="))
        said++;
}

static void room_that_runs_out_is_said(void **state)
{
    struct fixture *f = *state;
    uint32_t cell = cell_make(f, "tea", 1000000), refused = 0;
    struct core_line line = {cell, 0, 1};
    said = 0;
    hf_log_set_sink(listen, NULL);
    const struct timespec moment = {0, 10000000};
    for (int i = 0; i < 3000 && said == 0; i++) {
        struct core_answer a = {0};
        do {
            struct core_request r = {
                .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
            core_execute(f->worker, core_now(node_core(f->node)), &r, &a, 1);
        } while (a.outcome == CORE_OUT_DONE);
        assert_int_equal(a.outcome, CORE_OUT_BUSY);
        refused++;
        nanosleep(&moment, NULL);
    }
    assert_int_equal(said, 1);
    for (int i = 0; i < 120; i++) // it goes on, and is not said each second
        nanosleep(&moment, NULL);
    hf_log_set_sink(NULL, NULL);
    assert_int_equal(said, 1);
    assert_true(refused > 0);
}

static void a_folder_is_open_once(void **state)
{
    struct fixture *f = *state;
    struct node *other;
    struct core_report report;
    assert_int_equal(node_open(&f->options, &other, &report), HF_LOCKED);
    assert_string_not_equal(report.why, "");
    assert_int_equal(node_failed(f->node), HF_OK);
    assert_int_equal(node_wait_failed(f->node, 1), HF_OK);
}

static void what_is_wrong_is_said(void **state)
{
    struct fixture *f = *state;
    struct node *other;
    struct core_report report;
    struct node_options o = f->options;
    o.folder = NULL;
    assert_int_equal(node_open(&o, &other, &report), HF_INVALID);
    o.folder = "/nowhere/at/all";
    o.make = false;
    assert_int_equal(node_open(&o, &other, &report), HF_NOT_FOUND);
    assert_non_null(strstr(report.why, "/nowhere/at/all"));
    o = f->options;
    node_down(f);
    o.core.cells_max = 0;
    assert_int_equal(node_open(&o, &other, &report), HF_INVALID);
    assert_non_null(strstr(report.why, "cells_max"));
    node_up(f);
}

static void a_node_held_back_appends_nothing_before_it_is_started(void **state)
{
    struct fixture *f = *state;
    struct core_line line = {cell_make(f, "apple", 10), 0, 2};
    struct core_request hold = {
        .verb = CORE_RESERVE, .id = fresh_id(f), .lines = &line, .line_count = 1, .ttl_ms = 60};
    assert_int_equal(decide(f, &hold).outcome, CORE_OUT_DONE);
    node_down(f);
    f->options.hold_back = true;
    node_up(f);
    struct journal *j = core_journal(node_core(f->node));
    uint64_t before = journal_appended(j);
    poll(NULL, 0, 100); // past the deadline
    assert_int_equal(journal_appended(j), before);
    assert_int_equal(node_start(f->node), HF_OK);
    cell_make(f, "pear", 1); // durable: the writer runs
    assert_true(journal_appended(j) > before);
}

static void count_wake(void *ctx)
{
    __atomic_fetch_add((unsigned *)ctx, 1, __ATOMIC_SEQ_CST);
}

static void hub_reaches(struct fixture *f, uint64_t lsn)
{
    for (int ms = 0; ms < 10000 && watch_hub_lsn(node_hub(f->node)) < lsn; ms++)
        node_wait_failed(f->node, 1);
    assert_true(watch_hub_lsn(node_hub(f->node)) >= lsn);
}

static void the_hub_follows_while_the_node_runs(void **state)
{
    struct fixture *f = *state;
    assert_null(node_hub(f->node));
    node_down(f);
    f->options.watch = true;
    for (int64_t life = 0; life < 3; life++) {
        node_up(f);
        if (life == 0)
            cell_make(f, "apple", 1000);
        unsigned wakes = 0;
        struct watch_watcher w = {.wake = count_wake, .ctx = &wakes, .interval_ms = 10};
        w.seen = UINT64_MAX; // has seen everything
        assert_true(watch_hub_add(node_hub(f->node), &w, 1));
        struct core_line line = {0, 0, 1};
        uint64_t ticket = 0;
        for (int i = 0; i < 100; i++) {
            struct core_request r = {
                .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
            struct core_answer a = decide(f, &r);
            assert_int_equal(a.outcome, CORE_OUT_DONE);
            ticket = a.ticket;
        }
        hub_reaches(f, ticket);
        struct watch_value v = watch_hub_read(node_hub(f->node), 0);
        assert_int_equal(v.available, 1000 - 100 * (life + 1));
        assert_int_equal(v.lsn, ticket);
        assert_int_equal(__atomic_load_n(&wakes, __ATOMIC_SEQ_CST), 0);
        __atomic_store_n(&w.seen, 0, __ATOMIC_SEQ_CST); // now it wants to see
        for (int ms = 0; ms < 10000 && __atomic_load_n(&wakes, __ATOMIC_SEQ_CST) < 3; ms++)
            node_wait_failed(f->node, 1);
        assert_true(__atomic_load_n(&wakes, __ATOMIC_SEQ_CST) >= 3);
        watch_hub_remove(node_hub(f->node), &w);
        node_down(f);
    }
    node_up(f);
}

// ------------------------------------------------------------------------------- the watchdog

static void stand_still(int number)
{
    (void)number;
    for (;;)
        pause();
}

// A thread that a page of its request's lines never comes for stands still inside a decision.
static void *decide_and_stand_still(void *ctx)
{
    struct fixture *f = ctx;
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct core_worker *w = core_worker_create(node_core(f->node));
    struct core_request r = {
        .verb = CORE_ORDER, .id = fresh_id(f), .lines = nowhere, .line_count = 1};
    struct core_answer a;
    core_execute(w, core_now(node_core(f->node)), &r, &a, 1);
    return NULL;
}

static void child_run(struct fixture *f, int told)
{
    pthread_t stuck;
    struct sigaction action = {.sa_handler = stand_still};
    sigaction(SIGSEGV, &action, NULL);
    node_up(f);
    struct core_line line = {cell_make(f, "apple", 10), 0, 1};
    struct core_request r = {
        .verb = CORE_ORDER, .id = fresh_id(f), .lines = &line, .line_count = 1};
    if (decide(f, &r).outcome != CORE_OUT_DONE || write(told, &r.id, sizeof r.id) < 0 ||
        pthread_create(&stuck, NULL, decide_and_stand_still, f) != 0)
        _exit(1);
    node_wait_failed(f->node, 20000);
    _exit(2); // nobody ended the process
}

static void a_stuck_decision_ends_the_process_and_recovery_is_exact(void **state)
{
    struct fixture *f = *state;
    struct hf_uuid id;
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_run(f, ends[1]);
    assert_int_equal(read(ends[0], &id, sizeof id), sizeof id);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), NODE_EXIT_STUCK);
    close(ends[0]);
    close(ends[1]);
    node_up(f);
    assert_int_equal(cell_read(f, 0).committed, 1);
    struct core_view v;
    assert_int_equal(core_get(f->worker, core_now(node_core(f->node)), id, &v, NULL, 0), HF_OK);
    assert_int_equal(v.state, CORE_STATE_COMMITTED);
}

// What is outside the sealed memory has a name, where jemalloc measures it.
static void memory_at_the_edges_is_told_apart(void **state)
{
    struct fixture *f = *state;
    struct hf_arena_reading setup = hf_arena_read(HF_ARENA_SETUP);
#ifdef WITH_JEMALLOC
    assert_true(setup.measured);
    assert_true(setup.allocated_bytes > 1u << 20); // workers, buffers, staging
    node_down(f);
    assert_true(hf_arena_read(HF_ARENA_SETUP).allocated_bytes < setup.allocated_bytes / 10);
#else
    assert_false(setup.measured);
    assert_non_null(f->node);
#endif
}

// `process`: what a run under valgrind would change, its allocator and its exit codes.
int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_durable_is_there_after_a_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_start_draws_a_key_for_its_index, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_threads_end_holds_in_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_waits_is_told_of_each_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_pushes_when_all_was_quiet_is_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_hub_follows_while_the_node_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_follows_the_journal_stands_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(room_that_runs_out_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_is_open_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_node_held_back_appends_nothing_before_it_is_started,
                                        set_up, tear_down),
    };
    const struct CMUnitTest of_process[] = {
        cmocka_unit_test_setup_teardown(memory_at_the_edges_is_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stuck_decision_ends_the_process_and_recovery_is_exact,
                                        set_up_closed, tear_down),
    };
    if (argc > 1 && strcmp(argv[1], "process") == 0)
        return cmocka_run_group_tests(of_process, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
