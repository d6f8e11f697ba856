// The listener without memory for a moment. Its allocations fail in its own threads (the linker's
// --wrap), not in the test's, whose client asks meanwhile.
#include "load/fake_service.h"
#include "load/link.h"
#include "sys/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ASKED   6 // more than are awaited of the method
#define AWAITED 4
#define WAIT_S  30
#define LINES   200 // beyond what a call has for its message without asking

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

static pthread_t mine;
static _Atomic bool none_left;
static _Atomic uint32_t refused;

static bool refuse(void)
{
    bool refuses = none_left && !pthread_equal(pthread_self(), mine);
    refused += refuses;
    return refuses;
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    return refuse() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_malloc(size_t bytes)
{
    return refuse() ? NULL : __real_malloc(bytes);
}

struct asked {
    uint32_t done, good;
    int code; // the last
};

static void done(void *ctx, const struct link_end *end)
{
    struct asked *a = ctx;
    a->done++;
    a->good += end->code == LINK_OK;
    a->code = end->code;
}

static void ask(struct link *link, uint32_t number, uint32_t deadline_ms, struct asked *a)
{
    Holdfast__V1__AdjustStockRequest q = HOLDFAST__V1__ADJUST_STOCK_REQUEST__INIT;
    char id[37];
    snprintf(id, sizeof id, "0190a5d0-c000-7abc-8def-%012u", number);
    q.operation_id = id;
    q.difference = 1;
    link_call(link, 0, "StockAdminService/AdjustStock", &q.base, deadline_ms, done, a);
}

static void wait_for(struct link *link, const struct asked *a, uint32_t count)
{
    uint64_t end = clock_monotonic_ns(clock_os()) + WAIT_S * UINT64_C(1000000000);
    while (a->done < count && clock_monotonic_ns(clock_os()) < end)
        link_poll(link, clock_monotonic_ns(clock_os()) + 10000000, 16);
}

static struct fake *begin(struct link **link)
{
    struct fake *f = calloc(1, sizeof *f);
    char address[40], why[200];
    assert_non_null(f);
    mine = pthread_self();
    refused = 0;
    pthread_mutex_init(&f->mutex, NULL);
    snprintf(address, sizeof address, "127.0.0.1:%u", fake_start(f, 0));
    struct link_options o = {.address = address, .connections = 1};
    assert_int_equal(link_create(&o, link, why), HF_OK);

    // One answer: the listener awaits calls of every method by now.
    struct asked before = {0};
    ask(*link, 0, 1000 * WAIT_S, &before);
    wait_for(*link, &before, 1);
    assert_int_equal(before.good, 1);
    return f;
}

static void end_all(struct fake *f, struct link *link)
{
    link_destroy(link);
    fake_stop(f);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

// All calls that are awaited of a method come while there is no memory to await others; the method
// is still there afterwards.
static void a_moment_without_memory_closes_no_method(void **state)
{
    (void)state;
    struct asked first = {0}, later = {0};
    struct link *link;
    struct fake *f = begin(&link);
    pthread_mutex_lock(&f->mutex); // its handler waits, so that no call ends
    none_left = true;
    for (uint32_t i = 0; i < ASKED; i++)
        ask(link, 1 + i, 1000 * WAIT_S, &first);
    uint64_t end = clock_monotonic_ns(clock_os()) + WAIT_S * UINT64_C(1000000000);
    while (refused < AWAITED && clock_monotonic_ns(clock_os()) < end)
        link_poll(link, clock_monotonic_ns(clock_os()) + 10000000, 16);
    assert_true(refused >= AWAITED);
    none_left = false;
    pthread_mutex_unlock(&f->mutex);

    wait_for(link, &first, ASKED);
    assert_int_equal(first.good, ASKED);
    ask(link, 1 + ASKED, 1000 * WAIT_S, &later);
    wait_for(link, &later, 1);
    assert_int_equal(later.good, 1);
    end_all(f, link);
}

static void reserve(struct link *link, struct asked *a)
{
    Holdfast__V1__ReserveRequest q = HOLDFAST__V1__RESERVE_REQUEST__INIT;
    Holdfast__V1__Line line = HOLDFAST__V1__LINE__INIT, *lines[LINES];
    for (int i = 0; i < LINES; i++)
        lines[i] = &line;
    q.reservation_id = "0190a5d0-c000-7abc-8def-000000000001";
    q.lines = lines;
    q.n_lines = LINES;
    line.quantity = 1;
    link_call(link, 0, "ReservationService/Reserve", &q.base, 1000 * WAIT_S, done, a);
}

// A request that is too large for what is at hand is no bad request: it may be asked again.
static void without_memory_a_request_is_asked_again(void **state)
{
    (void)state;
    struct asked first = {0}, later = {0};
    struct link *link;
    struct fake *f = begin(&link);
    none_left = true;
    reserve(link, &first);
    wait_for(link, &first, 1);
    none_left = false;
    assert_int_equal(first.code, LINK_RESOURCE_EXHAUSTED);
    reserve(link, &later);
    wait_for(link, &later, 1);
    assert_int_equal(later.code, LINK_OK);
    end_all(f, link);
}

struct listener {
    uint32_t received, closed;
    int code;
};

static void stream_sent(void *ctx)
{
    (void)ctx;
}

static void stream_received(void *ctx, const unsigned char *bytes, size_t byte_count)
{
    (void)bytes, (void)byte_count;
    ((struct listener *)ctx)->received++;
}

static void stream_closed(void *ctx, const struct link_end *end)
{
    struct listener *s = ctx;
    s->closed++;
    s->code = end->code;
}

static void listen_for(struct link *link, const struct listener *s)
{
    uint64_t end = clock_monotonic_ns(clock_os()) + WAIT_S * UINT64_C(1000000000);
    while (s->received + s->closed == 0 && clock_monotonic_ns(clock_os()) < end)
        link_poll(link, clock_monotonic_ns(clock_os()) + 10000000, 16);
}

// An answer that finds no memory ends its stream: a client would wait for it for ever.
static void without_memory_for_an_answer_a_stream_ends(void **state)
{
    (void)state;
    static const struct link_stream_events events = {stream_sent, stream_received, stream_closed};
    struct listener first = {0};
    struct link *link;
    struct fake *f = begin(&link);
    Holdfast__V1__ReserveStreamRequest q = HOLDFAST__V1__RESERVE_STREAM_REQUEST__INIT;
    struct link_stream *s =
        link_stream_open(link, 0, "ReservationService/ReserveStream", &events, &first);
    assert_non_null(s);
    uint64_t end = clock_monotonic_ns(clock_os()) + WAIT_S * UINT64_C(1000000000);
    struct rpc_metrics m = {0};
    while (rpc_metrics(f->rpc, &m), m.streams_open == 0 && clock_monotonic_ns(clock_os()) < end)
        link_poll(link, clock_monotonic_ns(clock_os()) + 10000000, 16);
    none_left = true;
    link_stream_send(s, &q.base);
    listen_for(link, &first);
    none_left = false;
    assert_int_equal(first.received, 0);
    assert_int_equal(first.closed, 1);
    assert_int_equal(first.code, LINK_RESOURCE_EXHAUSTED);
    end_all(f, link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_moment_without_memory_closes_no_method),
        cmocka_unit_test(without_memory_a_request_is_asked_again),
        cmocka_unit_test(without_memory_for_an_answer_a_stream_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
