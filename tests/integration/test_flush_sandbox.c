// The whole way out, nothing faked: an engine with its threads on a real folder, a flusher thread
// with libcurl, and holdfast-odoo-sandbox as a process of its own that misbehaves. Sales go on
// meanwhile; the engine is closed without a word (which is crashing) and opened again. At the end
// the stand-in's stock is the engine's, to the unit.
//
// Usage: test_flush_sandbox PATH-OF-HOLDFAST-ODOO-SANDBOX
#include "base/log.h"
#include "daemon/node.h"
#include "flush/flush.h"
#include "base/prng.h"

#include <jansson.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define SKUS     20
#define CELLS    (2 * SKUS)
#define START    100000
#define ROUNDS   4
#define ROUND_MS 700
// Every order keeps its id, and an acknowledgement needs one, too: a fast disk must not use them
// up.
#define IDS          400000
#define ROUND_ORDERS (IDS / 2 / ROUNDS)

static const char *sandbox_path;

struct rig {
    char folder[64], origin[64];
    pid_t sandbox;
    struct node *node;
    struct core_worker *worker;
    struct storage *storage;
    struct http *http, *admin;
    struct flush *flush;
    pthread_t thread;
    atomic_bool stopping;
    atomic_int flush_status;
    uint32_t cells[CELLS];
    struct prng prng;
    uint64_t orders, taken_back;
    int64_t sold[SKUS]; // left to customers
    uint32_t action_id, posters;
    struct caller {
        struct rig *rig;
        struct http *http;
        struct flush_poster *poster;
        pthread_t thread;
    } callers[FLUSH_POSTERS_MAX];
};

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static uint64_t wall_ms(void)
{
    return clock_wall_ms(clock_os());
}

// ------------------------------------------------------------------------------- the stand-in

static void sandbox_start(struct rig *r)
{
    char csv[96], line[128] = "";
    int out[2];
    snprintf(csv, sizeof csv, "%s/catalogue.csv", r->folder);
    FILE *f = fopen(csv, "w");
    assert_non_null(f);
    for (int i = 0; i < CELLS; i++)
        fprintf(f, "sku-%d,%s,%d\n", i / 2, i % 2 ? "SHOP" : "WH", START);
    fclose(f);
    assert_int_equal(pipe(out), 0);
    r->sandbox = fork();
    if (r->sandbox == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that fails leaves nobody behind
        dup2(out[1], 1);
        execl(sandbox_path, sandbox_path, "--port", "0", "--seed-catalogue", csv, "--fixed-ms", "4",
              "--key", "secret", (char *)NULL);
        _exit(9);
    }
    close(out[1]);
    FILE *told = fdopen(out[0], "r");
    assert_non_null(fgets(line, sizeof line, told));
    fclose(told);
    assert_int_equal(sscanf(line, "listening on %63s", r->origin), 1);
}

static json_t *admin_call(struct rig *r, const char *path, const char *body)
{
    static char buffer[1 << 20];
    struct http_answer a = {.body = buffer, .body_capacity = sizeof buffer};
    struct http_request q = {.path = path, .body = body, .body_bytes = body ? strlen(body) : 0};
    assert_int_equal(http_call(r->admin, &q, &a), HTTP_ANSWERED);
    assert_int_equal(a.status, 200);
    return json_loadb(a.body, a.body_bytes, 0, NULL);
}

static void mishap(struct rig *r)
{
    static const char *const kinds[] = {
        "commit_close", "close",         "commit_hang", "http_502", "commit_504",  "database_down",
        "html_200",     "serialization", "user_error",  "wizard",   "operational", "http_503"};
    static const char *const methods[] = {"create", "button_validate", "search_read", "run"};
    char body[200];
    snprintf(body, sizeof body,
             "{\"faults\":[{\"kind\":\"%s\",\"method\":\"%s\",\"count\":%u,\"skip\":%u,"
             "\"ms\":1200}]}",
             kinds[prng_below(&r->prng, 12)], methods[prng_below(&r->prng, 4)],
             (unsigned)prng_between(&r->prng, 1, 2), (unsigned)prng_below(&r->prng, 3));
    json_decref(admin_call(r, "/sandbox/faults", body));
}

// ------------------------------------------------------------------------------- the engine

static void *flush_run(void *ctx)
{
    struct rig *r = ctx;
    struct core *c = node_core(r->node);
    struct core_worker *w = core_worker_create(c);
    enum hf_status s = HF_OK;
    while (!atomic_load(&r->stopping) && (s == HF_OK || s == HF_AGAIN)) {
        s = flush_step(r->flush, w, core_now(c));
        if (s == HF_AGAIN)
            sleep_ms(flush_wait_ms(r->flush, core_now(c), 5));
    }
    atomic_store(&r->flush_status, s == HF_AGAIN ? HF_OK : s);
    core_worker_destroy(w);
    return NULL;
}

static void *caller_run(void *ctx)
{
    struct caller *c = ctx;
    while (!atomic_load(&c->rig->stopping))
        flush_poster_step(c->poster, 100);
    return NULL;
}

static void threads_up(struct rig *r)
{
    atomic_store(&r->stopping, false);
    for (uint32_t i = 0; i < r->posters; i++)
        assert_int_equal(pthread_create(&r->callers[i].thread, NULL, caller_run, &r->callers[i]),
                         0);
    assert_int_equal(pthread_create(&r->thread, NULL, flush_run, r), 0);
}

static void threads_down(struct rig *r)
{
    atomic_store(&r->stopping, true);
    for (uint32_t i = 0; i < r->posters; i++)
        pthread_join(r->callers[i].thread, NULL);
    pthread_join(r->thread, NULL);
}

static void flush_up(struct rig *r)
{
    static const struct flush_location places[] = {{.name = "Store", .warehouse = "WH"},
                                                   {.name = "Shop", .warehouse = "SHOP"}};
    struct http_os_options ho = {.origin = r->origin};
    struct flush_options o;
    char why[200];
    assert_int_equal(storage_os_create(r->folder, false, &r->storage), HF_OK);
    assert_int_equal(http_os_create(&ho, &r->http), HF_OK);
    flush_options_default(&o);
    o.core = node_core(r->node);
    o.storage = r->storage;
    o.http = r->http;
    o.engine = "loopback";
    o.database = "odoo";
    o.key = "secret";
    o.locations = places;
    o.location_count = 2;
    o.action_id = r->action_id;
    o.fresh_id = hf_uuid_v7(wall_ms(), prng_next(&r->prng), prng_next(&r->prng));
    o.seed = 1;
    o.window_ms = 30;
    o.batch_lines = 15;
    o.retry_ms = 20;
    o.retry_max_ms = 150;
    o.timeout_ms = 600;
    o.posters = r->posters;
    enum hf_status s = flush_open(&o, &r->flush, why);
    if (s != HF_OK)
        fail_msg("%s: %s", hf_status_name(s), why);
    for (uint32_t i = 0; i < r->posters; i++) {
        struct caller *c = &r->callers[i];
        c->rig = r;
        assert_int_equal(http_os_create(&ho, &c->http), HF_OK);
        c->poster = flush_poster_create(r->flush, c->http);
        assert_non_null(c->poster);
    }
    threads_up(r);
}

static void up(struct rig *r)
{
    struct node_options o;
    struct core_report report;
    node_options_default(&o);
    o.folder = r->folder;
    o.core.outbox = true;
    o.core.cells_max = 100;
    o.core.ids_max = IDS;
    o.core.blocks_max = 10000;
    o.core.workers_max = 3;
    o.core.huge_pages = false;
    o.core.journal.segment_bytes = 4 << 20;
    enum hf_status s = node_open(&o, &r->node, &report);
    if (s != HF_OK)
        fail_msg("open: %s: %s", hf_status_name(s), report.why);
    r->worker = core_worker_create(node_core(r->node));
    assert_non_null(r->worker);
    flush_up(r);
}

static void down(struct rig *r)
{
    threads_down(r);
    assert_int_equal(atomic_load(&r->flush_status), HF_OK);
    for (uint32_t i = 0; i < r->posters; i++) {
        flush_poster_destroy(r->callers[i].poster);
        http_destroy(r->callers[i].http);
    }
    flush_close(r->flush);
    http_destroy(r->http);
    core_worker_destroy(r->worker);
    node_close(r->node);
    storage_destroy(r->storage);
}

static uint64_t now(struct rig *r)
{
    return core_now(node_core(r->node));
}

static struct hf_uuid fresh(struct rig *r)
{
    return hf_uuid_v7(now(r), prng_next(&r->prng), prng_next(&r->prng));
}

static void told(struct rig *r, uint64_t ticket)
{
    assert_int_equal(core_wait(node_core(r->node), ticket, 10000), HF_OK);
}

static void import(struct rig *r)
{
    struct core_admin_answer a;
    for (uint32_t i = 0; i < CELLS; i++) {
        char sku[16];
        int n = snprintf(sku, sizeof sku, "sku-%u", i / 2);
        const char *where = i % 2 ? "Shop" : "Store";
        core_cell_make(r->worker, now(r), sku, (uint32_t)n, where, (uint32_t)strlen(where), 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        r->cells[i] = a.handle;
        struct core_change ch = {.op_id = fresh(r),
                                 .handle = a.handle,
                                 .setting = CORE_SET_ON_HAND,
                                 .value = START,
                                 .reason = FLUSH_REASON_INBOUND "import"};
        core_change(r->worker, now(r), &ch, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
    }
    told(r, a.ticket);
}

// An order, and now and then a part of it taken back.
static void sell(struct rig *r)
{
    uint32_t cell = (uint32_t)prng_below(&r->prng, CELLS);
    struct core_line line = {r->cells[cell], 0, (int64_t)prng_between(&r->prng, 1, 5)};
    struct core_request q = {.verb = CORE_ORDER, .id = fresh(r), .lines = &line, .line_count = 1};
    struct core_answer a;
    core_execute(r->worker, now(r), &q, &a, 1);
    if (a.outcome == CORE_OUT_BUSY)
        return;
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    r->orders++;
    r->sold[cell / 2] += line.quantity;
    if (prng_chance(&r->prng, 1, 8)) {
        q.verb = prng_chance(&r->prng, 1, 2) ? CORE_CANCEL : CORE_RETURN;
        q.op_id = fresh(r);
        line.quantity = 1;
        core_execute(r->worker, now(r), &q, &a, 1);
        if (a.outcome == CORE_OUT_DONE) {
            r->sold[cell / 2] -= 1;
            r->taken_back++;
        }
    }
    // What is not durable is gone when the engine is closed, so the test waits as a client would.
    if (r->orders % 64 == 0)
        told(r, a.ticket ? a.ticket : 0);
}

static void settle(struct rig *r)
{
    struct flush_metrics m;
    struct core *c = node_core(r->node);
    told(r, journal_appended(core_journal(c)));
    for (int i = 0; i < 3000; i++) {
        flush_metrics(r->flush, &m);
        if (m.read_lsn == core_durable(c) && m.window_movements == 0 && m.open_batches == 0 &&
            journal_appended(core_journal(c)) == m.read_lsn)
            return;
        if (atomic_load(&r->flush_status) != HF_OK)
            fail_msg("the flusher stopped");
        sleep_ms(10);
    }
    fail_msg("it does not come to rest: %llu batches open, pause %s",
             (unsigned long long)m.open_batches, flush_pause_name((enum flush_pause)m.pause));
}

static void compare(struct rig *r)
{
    json_t *all = admin_call(r, "/sandbox/stock", NULL), *row;
    size_t n;
    int64_t customers[SKUS] = {0};
    unsigned seen = 0;
    json_array_foreach(json_object_get(all, "stock"), n, row)
    {
        unsigned sku;
        const char *where = json_string_value(json_object_get(row, "location"));
        assert_int_equal(sscanf(json_string_value(json_object_get(row, "product")), "sku-%u", &sku),
                         1);
        int64_t quantity = (int64_t)json_number_value(json_object_get(row, "quantity"));
        if (strcmp(where, "Partners/Customers") == 0)
            customers[sku] = quantity;
        bool shop = strcmp(where, "SHOP/Stock") == 0;
        if (!shop && strcmp(where, "WH/Stock") != 0)
            continue;
        struct core_cell c;
        assert_int_equal(core_cell_read(node_core(r->node), r->cells[2 * sku + shop], &c), HF_OK);
        if (c.on_hand != quantity || c.committed != 0)
            fail_msg("sku-%u in %s: on hand %lld, committed %lld, Odoo %lld", sku, where,
                     (long long)c.on_hand, (long long)c.committed, (long long)quantity);
        seen++;
    }
    json_decref(all);
    assert_int_equal(seen, CELLS);
    for (int i = 0; i < SKUS; i++)
        assert_int_equal(customers[i], r->sold[i]);
}

// The flusher belongs to its thread: it stands while its dead letters are handled here.
static void dead_letters_retry(struct rig *r)
{
    struct flush_dead_letter d[64];
    uint64_t end = wall_ms() + 60000;
    while (wall_ms() < end) {
        threads_down(r);
        uint32_t n = flush_dead_list(r->flush, 0, d, 64);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(flush_dead_retry(r->flush, d[i].id, core_now(node_core(r->node))),
                             HF_OK);
        threads_up(r);
        if (n == 0)
            return;
        // A wish that no step has looked at yet looks like rest.
        sleep_ms(50);
        settle(r);
    }
    fail_msg("dead letters keep coming: %s", d[0].why);
}

static void run(uint32_t action_id, uint32_t posters)
{
    struct rig r = {.prng = {7 + action_id}, .action_id = action_id, .posters = posters};
    snprintf(r.folder, sizeof r.folder, "/tmp/holdfast-flush-XXXXXX");
    assert_non_null(mkdtemp(r.folder));
    sandbox_start(&r);
    struct http_os_options admin = {.origin = r.origin};
    assert_int_equal(http_os_create(&admin, &r.admin), HF_OK);
    up(&r);
    import(&r);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t until = wall_ms() + ROUND_MS, next = wall_ms() + 60;
        while (wall_ms() < until) {
            if (r.orders < (uint64_t)(round + 1) * ROUND_ORDERS)
                sell(&r);
            else
                sleep_ms(1);
            if (wall_ms() >= next) {
                mishap(&r);
                next = wall_ms() + 60;
            }
        }
        told(&r, journal_appended(core_journal(node_core(r.node))));
        if (round % 2) {
            down(&r);
            up(&r);
        }
    }
    struct flush_metrics m;
    flush_metrics(r.flush, &m);
    json_t *counters = admin_call(&r, "/sandbox/counters", NULL);
    printf("%llu orders, %llu taken back, %lld faults struck, %lld names refused\n",
           (unsigned long long)r.orders, (unsigned long long)r.taken_back,
           (long long)json_integer_value(json_object_get(counters, "faults_struck")),
           (long long)json_integer_value(json_object_get(counters, "names_refused")));
    assert_true(json_integer_value(json_object_get(counters, "faults_struck")) > 3);
    json_decref(counters);
    // Every fault that is still armed goes; a person's part.
    char command[160];
    snprintf(command, sizeof command, "rm -r %s", r.folder);
    struct http_request q = {
        .path = "/sandbox/faults", .body = "{\"clear\":true}", .body_bytes = 14};
    static char buffer[4096];
    struct http_answer a = {.body = buffer, .body_capacity = sizeof buffer};
    assert_int_equal(http_call(r.admin, &q, &a), HTTP_ANSWERED);
    assert_int_equal(a.status, 200);
    settle(&r);
    dead_letters_retry(&r);
    compare(&r);
    down(&r);
    http_destroy(r.admin);
    kill(r.sandbox, SIGTERM);
    int status;
    assert_int_equal(waitpid(r.sandbox, &status, 0), r.sandbox);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(system(command), 0);
}

static void two_calls_end_equal_to_the_unit(void **state)
{
    (void)state;
    run(0, 0);
}

static void one_call_ends_equal_to_the_unit(void **state)
{
    (void)state;
    run(13000000, 0);
}

static void several_posters_end_equal_to_the_unit(void **state)
{
    (void)state;
    run(13000000, 4);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s PATH-OF-HOLDFAST-ODOO-SANDBOX\n", argv[0]);
        return 2;
    }
    sandbox_path = argv[1];
    hf_log_set_level(HF_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_calls_end_equal_to_the_unit),
        cmocka_unit_test(one_call_ends_equal_to_the_unit),
        cmocka_unit_test(several_posters_end_equal_to_the_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
