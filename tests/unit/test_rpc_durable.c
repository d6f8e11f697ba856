// The listener over loopback: an answer that rests on a ticket, success or failure, is told when
// the ticket is durable and not before; what rests on none goes past those that wait.
#include "rpc/rpc.h"

#include "client/client.h"
#include "holdfast/v1/reservation.pb-c.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define TICKET     7
#define PATIENT_MS 30000

struct world {
    struct rpc *rpc;
    char address[40];
    _Atomic uint64_t durable;
    _Atomic uint32_t decided;
    char why[200];
};

// One call from another thread.
struct asked {
    struct world *w;
    const char *reference; // what the fake is to do
    pthread_t thread;
    bool good;
    struct client_status status;
    _Atomic bool ended;
};

static const struct rpc_error conflict = {
    .code = RPC_ALREADY_EXISTS, .reason = "CONFLICT", .message = "another body"};

// Reference "conflict": fails on the ticket; "free": fails on none; else: answers on the ticket.
static void burst(void *ctx, void *local, struct rpc_call **calls, uint32_t count)
{
    struct world *w = ctx;
    (void)local;
    for (uint32_t i = 0; i < count; i++) {
        const Holdfast__V1__ReserveRequest *r = (const void *)calls[i]->request;
        Holdfast__V1__ReserveResponse out = HOLDFAST__V1__RESERVE_RESPONSE__INIT;
        if (strcmp(r->reference, "conflict") == 0)
            rpc_fail_durable(calls[i], &conflict, TICKET);
        else if (strcmp(r->reference, "free") == 0)
            rpc_fail_durable(calls[i], &conflict, 0);
        else
            rpc_reply(calls[i], &out.base, TICKET);
        w->decided++;
    }
}

static void *thread_start(void *ctx, unsigned lane)
{
    (void)lane;
    return ctx;
}

static void thread_stop(void *ctx, void *local)
{
    (void)ctx, (void)local;
}

static uint64_t durable(void *ctx)
{
    return ((struct world *)ctx)->durable;
}

static const struct rpc_method methods[] = {
    {.path = "/holdfast.v1.ReservationService/Reserve",
     .kind = RPC_FAST,
     .request = &holdfast__v1__reserve_request__descriptor,
     .posted = 8},
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct rpc_options o = {.address = "127.0.0.1:0", .methods = methods, .method_count = 1};
    rpc_limits_default(&o.limits);
    o.limits.drain_ms = 0;
    o.hooks = (struct rpc_hooks){.ctx = w,
                                 .thread_start = thread_start,
                                 .thread_stop = thread_stop,
                                 .burst = burst,
                                 .durable = durable};
    w->durable = TICKET - 1;
    if (rpc_create(&o, &w->rpc, w->why) != HF_OK)
        return -1;
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", rpc_port(w->rpc));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    rpc_destroy(w->rpc);
    free(w);
    return 0;
}

static void *ask(void *ctx)
{
    struct asked *a = ctx;
    struct client_options o = {.address = a->w->address, .call_ms = PATIENT_MS, .tries = 1};
    struct client *c;
    char why[200];
    if (client_create(&o, &c, why) != HF_OK)
        abort();
    Holdfast__V1__ReserveRequest r = HOLDFAST__V1__RESERVE_REQUEST__INIT;
    r.reference = (char *)(uintptr_t)a->reference;
    ProtobufCMessage *reply = NULL;
    a->good = client_call(c, &holdfast__v1__reservation_service__descriptor, "Reserve", &r.base,
                          &reply, &a->status);
    if (a->good)
        protobuf_c_message_free_unpacked(reply, NULL);
    client_destroy(c);
    a->ended = true;
    return NULL;
}

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

// Begins the call; when this returns the fake has decided it.
static void begin(struct world *w, struct asked *a, const char *reference)
{
    uint32_t before = w->decided;
    *a = (struct asked){.w = w, .reference = reference};
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
    for (int i = 0; i < PATIENT_MS && w->decided == before; i++)
        pause_ms(1);
    assert_int_equal(w->decided, before + 1);
}

static void a_failure_that_rests_on_a_ticket_waits_for_it(void **state)
{
    struct world *w = *state;
    static struct asked fails, passes, free_one; // threads outlive a test that fails
    struct rpc_metrics m;
    begin(w, &fails, "conflict");
    begin(w, &passes, "answer");
    begin(w, &free_one, "free"); // rests on nothing: it goes past the two
    pthread_join(free_one.thread, NULL);
    assert_false(free_one.good);
    assert_int_equal(free_one.status.code, RPC_ALREADY_EXISTS);
    rpc_durable_advanced(w->rpc); // a ring without progress tells nothing
    pause_ms(200);
    assert_false(fails.ended);
    assert_false(passes.ended);
    w->durable = TICKET;
    rpc_durable_advanced(w->rpc);
    pthread_join(fails.thread, NULL);
    pthread_join(passes.thread, NULL);
    assert_false(fails.good);
    assert_int_equal(fails.status.code, RPC_ALREADY_EXISTS);
    assert_string_equal(fails.status.reason, "CONFLICT");
    assert_string_equal(fails.status.message, "another body");
    assert_true(passes.good);
    rpc_metrics(w->rpc, &m);
    assert_int_equal(m.codes[RPC_ALREADY_EXISTS], 2);
    assert_int_equal(m.codes[RPC_OK], 1);
}

static void a_failure_whose_ticket_is_durable_goes_at_once(void **state)
{
    struct world *w = *state;
    static struct asked a;
    w->durable = TICKET;
    begin(w, &a, "conflict");
    pthread_join(a.thread, NULL);
    assert_int_equal(a.status.code, RPC_ALREADY_EXISTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failure_that_rests_on_a_ticket_waits_for_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_failure_whose_ticket_is_durable_goes_at_once, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
