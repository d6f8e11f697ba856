// The sender: the same ids until the outcome is known, whatever happens on the way.
#include "load/fake_service.h"

#include "load/due.h"
#include "load/sender.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define OPS 200

struct world {
    struct fake fake;
    struct cells cells;
    struct sender *sender;
    struct op ops[OPS];
    struct op_line line;
    uint32_t done;
    uint16_t port;
    char address[40];
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

static void done(void *ctx, struct op *op)
{
    (void)op;
    ((struct world *)ctx)->done++;
}

static struct sender_options options(struct world *w)
{
    struct sender_options o = {.batch_max = 16,
                               .window = 4,
                               .deadline_ms = 60000, // on a slow machine nothing is asked twice
                               .give_up_ms = 5000,
                               .wait_ms_min = 2,
                               .wait_ms_max = 20,
                               .seed = 1,
                               .cells = &w->cells,
                               .done = done,
                               .ctx = w};
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", w->port);
    o.link.address = w->address;
    o.link.connections = 2;
    return o;
}

static void sender_start(struct world *w, const struct sender_options *o)
{
    char why[200];
    if (sender_create(o, &w->sender, why) != HF_OK)
        fail_msg("%s", why);
}

static struct world *world_make(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    pthread_mutex_init(&w->fake.mutex, NULL);
    cells_init(&w->cells);
    assert_non_null(cells_add(&w->cells, "MUG", "main"));
    w->line = (struct op_line){0, 3};
    w->port = fake_start(&w->fake, 0);
    return w;
}

static void world_free(struct world *w)
{
    if (w->sender)
        sender_destroy(w->sender);
    if (w->fake.rpc)
        fake_stop(&w->fake);
    cells_fini(&w->cells);
    free(w);
}

static struct op *op_make(struct world *w, uint32_t n)
{
    struct op *op = &w->ops[n];
    *op = (struct op){.verb = OP_RESERVE,
                      .id = hf_uuid_v7(1700000000000, n, n * 7919),
                      .lines = &w->line,
                      .line_count = 1,
                      .ttl_ms = 1000};
    return op;
}

static void run(struct world *w, uint32_t count)
{
    uint64_t end = now_ns() + UINT64_C(20000000000);
    while (w->done < count && now_ns() < end)
        sender_poll(w->sender, now_ns() + 50000000);
    assert_int_equal(w->done, count);
    assert_int_equal(sender_open(w->sender), 0);
}

static void mood(struct world *w, enum fake_mood m, uint32_t left, enum rpc_code code, uint32_t ms)
{
    pthread_mutex_lock(&w->fake.mutex);
    w->fake.mood = m;
    w->fake.left = left;
    w->fake.code = code;
    w->fake.retry_ms = ms;
    pthread_mutex_unlock(&w->fake.mutex);
}

static void test_an_answer_is_read(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    sender_start(w, &o);
    struct op *op = op_make(w, 0);
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_int_equal(op->result.state, OP_STATE_HELD);
    assert_int_equal(op->result.expires_at_ms, 1234);
    assert_false(op->result.repeat);
    assert_int_equal(op->tries, 1);
    assert_true(op->return_ns > op->invoke_ns);
    assert_int_equal(fake_counts(&w->fake).quantity, 3);
    world_free(w);
}

static void test_busy_is_asked_again_and_waits(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    sender_start(w, &o);
    mood(w, FAKE_FAIL, 2, RPC_RESOURCE_EXHAUSTED, 60);
    struct op *op = op_make(w, 0);
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_int_equal(op->tries, 3);
    assert_int_equal(fake_counts(&w->fake).ids, 1); // one id, at every try
    assert_true(op->return_ns - op->invoke_ns >= UINT64_C(120000000));
    assert_int_equal(sender_counts(w->sender)->again[LINK_RESOURCE_EXHAUSTED], 2);
    world_free(w);
}

static void test_a_lost_answer_is_fetched(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    sender_start(w, &o);
    mood(w, FAKE_LOSE, 1, RPC_UNAVAILABLE, 0);
    struct op *op = op_make(w, 0);
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_true(op->result.repeat);
    assert_int_equal(fake_counts(&w->fake).quantity, 3);
    world_free(w);
}

static void test_unknown_when_nobody_tells(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    o.give_up_ms = 1000; // several times what four tries wait
    sender_start(w, &o);
    mood(w, FAKE_FAIL, 100000, RPC_ABORTED, 0);
    struct op *op = op_make(w, 0);
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_UNKNOWN);
    assert_true(op->tries > 3);
    uint64_t invoked = op->invoke_ns;
    mood(w, FAKE_ANSWER, 0, RPC_OK, 0);
    sender_submit(w->sender, op); // asked again later
    run(w, 2);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_int_equal(op->invoke_ns, invoked);
    world_free(w);
}

static void test_final_statuses(void **state)
{
    static const struct {
        enum rpc_code code;
        enum op_outcome first, second; // at the first try, and at the second
    } rows[] = {{RPC_ALREADY_EXISTS, OP_OUT_CONFLICT, OP_OUT_CONFLICT},
                {RPC_NOT_FOUND, OP_OUT_NOT_FOUND, OP_OUT_NOT_FOUND},
                {RPC_INVALID_ARGUMENT, OP_OUT_REJECTED, OP_OUT_UNKNOWN},
                {RPC_PERMISSION_DENIED, OP_OUT_REJECTED, OP_OUT_UNKNOWN}};
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    sender_start(w, &o);
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mood(w, FAKE_FAIL, 1, rows[i].code, 0);
        struct op *op = op_make(w, i);
        sender_submit(w->sender, op);
        run(w, 2 * i + 1);
        assert_int_equal(op->result.outcome, rows[i].first);
        assert_string_equal(op->result.reason, "FAKE");
        // An earlier try, whose answer got lost, may have acted.
        mood(w, FAKE_FAIL, 1, rows[i].code, 0);
        op->tries = 1;
        sender_submit(w->sender, op);
        run(w, 2 * i + 2);
        assert_int_equal(op->result.outcome, rows[i].second);
    }
    world_free(w);
}

static void stream_all(struct world *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        sender_submit(w->sender, op_make(w, i));
    run(w, count);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(w->ops[i].result.outcome, OP_OUT_DONE);
    assert_int_equal(fake_counts(&w->fake).ids, count);
    assert_int_equal(fake_counts(&w->fake).quantity, 3 * (int64_t)count);
}

static void test_streams_carry_batches(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    o.stream = true;
    sender_start(w, &o);
    stream_all(w, OPS);
    assert_int_equal(fake_counts(&w->fake).asked, OPS);
    assert_int_equal(fake_counts(&w->fake).streams, 2);
    assert_int_equal(fake_counts(&w->fake).widest, 16);
    assert_int_equal(sender_counts(w->sender)->messages, fake_counts(&w->fake).messages);
    world_free(w);
}

static void test_a_broken_stream_is_asked_again(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    o.stream = true;
    sender_start(w, &o);
    mood(w, FAKE_LOSE, 3, RPC_UNAVAILABLE, 0);
    stream_all(w, OPS);
    assert_true(fake_counts(&w->fake).asked > OPS);
    assert_true(sender_counts(w->sender)->breaks >= 2);
    uint32_t repeats = 0;
    for (uint32_t i = 0; i < OPS; i++)
        repeats += w->ops[i].result.repeat;
    assert_true(repeats >= 3 * 16 - 15);
    world_free(w);
}

static void test_a_mute_stream_is_given_up(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    (void)state;
    o.stream = true;
    o.deadline_ms = 400;
    sender_start(w, &o);
    mood(w, FAKE_MUTE, 1, RPC_OK, 0);
    stream_all(w, 40);
    assert_true(sender_counts(w->sender)->breaks >= 1);
    world_free(w);
}

static void test_adjustments_go_beside_the_stream(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    struct op_line line = {0, -5};
    (void)state;
    o.stream = true;
    sender_start(w, &o);
    struct op *op = op_make(w, 0);
    op->verb = OP_ADJUST;
    op->op_id = op->id;
    op->lines = &line;
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_int_equal(fake_counts(&w->fake).quantity, -5);
    world_free(w);
}

static void test_a_server_that_comes_back(void **state)
{
    struct world *w = world_make();
    (void)state;
    for (int stream = 0; stream < 2; stream++) {
        struct sender_options o = options(w);
        o.stream = stream;
        sender_start(w, &o);
        fake_stop(&w->fake);
        w->done = 0;
        struct op *op = op_make(w, (uint32_t)stream);
        sender_submit(w->sender, op);
        uint64_t back = now_ns() + 300000000;
        while (now_ns() < back)
            sender_poll(w->sender, back);
        assert_int_equal(w->done, 0);
        fake_start(&w->fake, w->port);
        run(w, 1);
        assert_int_equal(op->result.outcome, OP_OUT_DONE);
        assert_true(op->tries > 1);
        sender_destroy(w->sender);
        w->sender = NULL;
    }
    world_free(w);
}

struct slow_way {
    int listener;
    uint16_t to;
};

// Two ends of one way, until one of them closes it.
static void carry(int a, int b)
{
    struct pollfd p[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    char bytes[4096];
    for (ssize_t n = 1; n > 0;) {
        if (poll(p, 2, 10000) <= 0)
            return;
        int from = p[0].revents ? 0 : 1;
        n = read(p[from].fd, bytes, sizeof bytes);
        if (n > 0)
            n = write(p[1 - from].fd, bytes, (size_t)n);
    }
}

// One connection, of which nothing is heard for a while.
static void *slow_way(void *ctx)
{
    const struct slow_way *w = ctx;
    const struct timespec quiet = {.tv_nsec = 600000000};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(w->to)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int a = accept(w->listener, NULL, NULL), b = socket(AF_INET, SOCK_STREAM, 0);
    nanosleep(&quiet, NULL);
    if (a >= 0 && b >= 0 && connect(b, (struct sockaddr *)&to, sizeof to) == 0)
        carry(a, b);
    close(a);
    close(b);
    return NULL;
}

// Found: an attempt to connect was given up after 100 ms, so that a server far away, or a busy one,
// was UNAVAILABLE again and again.
static void test_a_slow_way_is_waited_for(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    struct slow_way way = {.listener = socket(AF_INET, SOCK_STREAM, 0), .to = w->port};
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t bytes = sizeof at;
    pthread_t thread;
    (void)state;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(way.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(way.listener, 4), 0);
    assert_int_equal(getsockname(way.listener, (struct sockaddr *)&at, &bytes), 0);
    assert_int_equal(pthread_create(&thread, NULL, slow_way, &way), 0);
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", ntohs(at.sin_port));
    o.link.connections = 1;
    sender_start(w, &o);
    struct op *op = op_make(w, 0);
    sender_submit(w->sender, op);
    run(w, 1);
    assert_int_equal(op->result.outcome, OP_OUT_DONE);
    assert_int_equal(op->tries, 1);
    world_free(w);
    pthread_join(thread, NULL);
    close(way.listener);
}

static void test_clear_stays_on_this_machine(void **state)
{
    struct world *w = world_make();
    struct sender_options o = options(w);
    char why[200];
    (void)state;
    o.link.address = "192.0.2.1:7420";
    assert_int_equal(sender_create(&o, &w->sender, why), HF_INVALID);
    assert_non_null(strstr(why, "TLS"));
    world_free(w);
}

static void test_due_in_order(void **state)
{
    struct due d = {0};
    uint64_t before = 0;
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        due_push(&d, i * 7919 % 1009 + 1, (void *)(uintptr_t)(i * 7919 % 1009 + 1));
    assert_null(due_pop(&d, 0));
    for (uint32_t left = d.count; left; left--) {
        uint64_t next = due_next(&d), got = (uintptr_t)due_pop(&d, UINT64_MAX);
        assert_int_equal(got, next);
        assert_true(got >= before);
        before = got;
    }
    assert_int_equal(due_next(&d), UINT64_MAX);
    due_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_read),
        cmocka_unit_test(test_busy_is_asked_again_and_waits),
        cmocka_unit_test(test_a_lost_answer_is_fetched),
        cmocka_unit_test(test_unknown_when_nobody_tells),
        cmocka_unit_test(test_final_statuses),
        cmocka_unit_test(test_streams_carry_batches),
        cmocka_unit_test(test_a_broken_stream_is_asked_again),
        cmocka_unit_test(test_a_mute_stream_is_given_up),
        cmocka_unit_test(test_adjustments_go_beside_the_stream),
        cmocka_unit_test(test_a_server_that_comes_back),
        cmocka_unit_test(test_a_slow_way_is_waited_for),
        cmocka_unit_test(test_clear_stays_on_this_machine),
        cmocka_unit_test(test_due_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
