// The listener over loopback: streams that send faster than they are answered leave others their
// turn, and what waits for the slow lane does not hold up the end.
#include "rpc/rpc.h"

#include "client/client.h"
#include "holdfast/v1/reservation.pb-c.h"
#include "sys/clock.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
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

#define SERVICE    "/holdfast.v1.ReservationService/"
#define PATIENT_MS 60000
#define BURN_NS    200000 // of a stream's message
#define STREAMS    32
#define CALLS      20

struct world {
    struct rpc *rpc;
    char address[40];
    _Atomic uint32_t messages; // of streams, that were answered
    _Atomic uint32_t runs;     // of the slow method
    _Atomic bool go_on;        // the slow method may return
    char why[200];
};

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

// ------------------------------------------------------------------------------- the server

static void burst(void *ctx, void *local, struct rpc_call **calls, uint32_t count)
{
    Holdfast__V1__ReserveResponse out = HOLDFAST__V1__RESERVE_RESPONSE__INIT;
    (void)ctx, (void)local;
    for (uint32_t i = 0; i < count; i++)
        rpc_reply(calls[i], &out.base, 0);
}

static void slow_run(void *ctx, void *local, struct rpc_call *call)
{
    struct world *w = ctx;
    Holdfast__V1__ListReservationsResponse out = HOLDFAST__V1__LIST_RESERVATIONS_RESPONSE__INIT;
    (void)local;
    w->runs++;
    while (!w->go_on)
        pause_ms(1);
    rpc_reply(call, &out.base, 0);
}

static void opened(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_receive(call);
}

static void received(void *ctx, void *local, struct rpc_call *call)
{
    struct world *w = ctx;
    uint64_t until = clock_monotonic_ns(clock_os()) + BURN_NS;
    (void)local;
    while (clock_monotonic_ns(clock_os()) < until)
        ;
    w->messages++;
    rpc_send_packed(call, call->bytes, call->byte_count, 0);
    rpc_receive(call);
}

static void half_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_finish(call, NULL);
}

static void nothing(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local, (void)call;
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
    (void)ctx;
    return 0;
}

static const struct rpc_method methods[] = {
    {.path = SERVICE "Reserve",
     .kind = RPC_FAST,
     .request = &holdfast__v1__reserve_request__descriptor,
     .posted = 8},
    {.path = SERVICE "ListReservations",
     .kind = RPC_SLOW,
     .request = &holdfast__v1__list_reservations_request__descriptor,
     .posted = 8,
     .run = slow_run},
    {.path = SERVICE "ReserveStream",
     .kind = RPC_STREAM,
     .request = &holdfast__v1__reserve_stream_request__descriptor,
     .posted = STREAMS,
     .opened = opened,
     .received = received,
     .half_closed = half_closed,
     .sent = nothing,
     .woken = nothing,
     .closed = nothing,
     .raw = true},
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct rpc_options o = {.address = "127.0.0.1:0", .methods = methods, .method_count = 3};
    rpc_limits_default(&o.limits);
    o.limits.pollers = 1;
    o.limits.drain_ms = 0;
    o.hooks = (struct rpc_hooks){.ctx = w,
                                 .thread_start = thread_start,
                                 .thread_stop = thread_stop,
                                 .burst = burst,
                                 .durable = durable};
    if (rpc_create(&o, &w->rpc, w->why) != HF_OK)
        return -1;
    snprintf(w->address, sizeof w->address, "127.0.0.1:%u", rpc_port(w->rpc));
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    if (w->rpc)
        rpc_destroy(w->rpc);
    free(w);
    return 0;
}

// ------------------------------------------------------------------------------- calls

// One call from another thread.
struct asked {
    struct world *w;
    const char *method;
    pthread_t thread;
    bool good;
};

static void *ask(void *ctx)
{
    struct asked *a = ctx;
    struct client_options o = {.address = a->w->address, .call_ms = PATIENT_MS, .tries = 1};
    Holdfast__V1__ReserveRequest reserve = HOLDFAST__V1__RESERVE_REQUEST__INIT;
    Holdfast__V1__ListReservationsRequest list = HOLDFAST__V1__LIST_RESERVATIONS_REQUEST__INIT;
    struct client_status status;
    ProtobufCMessage *reply = NULL;
    struct client *c;
    char why[200];
    if (client_create(&o, &c, why) != HF_OK)
        abort();
    a->good = client_call(c, &holdfast__v1__reservation_service__descriptor, a->method,
                          a->method[0] == 'R' ? &reserve.base : &list.base, &reply, &status);
    if (a->good)
        protobuf_c_message_free_unpacked(reply, NULL);
    client_destroy(c);
    return NULL;
}

static void ask_begin(struct world *w, struct asked *a, const char *method)
{
    *a = (struct asked){.w = w, .method = method};
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

// ------------------------------------------------------------------------------- streams

// Streams that send the next message as soon as they have the answer of the one before, so that
// all others' messages are there while one is at work.
struct flood {
    grpc_channel *channel;
    grpc_completion_queue *cq;
    grpc_call *calls[STREAMS];
    grpc_byte_buffer *answers[STREAMS];
    grpc_metadata_array metadata[STREAMS];
    grpc_byte_buffer *message;
    pthread_t thread;
    _Atomic bool stopping;
};

static void flood_next(struct flood *f, size_t i, bool first)
{
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_MESSAGE}, {.op = GRPC_OP_RECV_MESSAGE}};
    size_t count = 2;
    ops[0].data.send_message.send_message = f->message;
    ops[1].data.recv_message.recv_message = &f->answers[i];
    if (first) {
        ops[count++].op = GRPC_OP_SEND_INITIAL_METADATA;
        ops[count].op = GRPC_OP_RECV_INITIAL_METADATA;
        ops[count++].data.recv_initial_metadata.recv_initial_metadata = &f->metadata[i];
    }
    grpc_call_error e =
        grpc_call_start_batch(f->calls[i], ops, count, (void *)(uintptr_t)(i + 1), NULL);
    if (e != GRPC_CALL_OK)
        abort();
}

static void *flood_run(void *ctx)
{
    struct flood *f = ctx;
    for (size_t i = 0; i < STREAMS; i++)
        flood_next(f, i, true);
    for (size_t open = STREAMS; open > 0;) {
        gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
        grpc_event e = grpc_completion_queue_next(f->cq, never, NULL);
        size_t i = (uintptr_t)e.tag - 1;
        bool more = e.success && f->answers[i] && !f->stopping;
        if (f->answers[i])
            grpc_byte_buffer_destroy(f->answers[i]);
        f->answers[i] = NULL;
        if (more)
            flood_next(f, i, false);
        else
            open--;
    }
    return NULL;
}

static void flood_begin(struct world *w, struct flood *f)
{
    grpc_slice bytes = grpc_slice_from_static_string("message");
    grpc_channel_credentials *open = grpc_insecure_credentials_create();
    grpc_init();
    f->message = grpc_raw_byte_buffer_create(&bytes, 1);
    f->cq = grpc_completion_queue_create_for_next(NULL);
    f->channel = grpc_channel_create(w->address, open, NULL);
    grpc_channel_credentials_release(open);
    for (size_t i = 0; i < STREAMS; i++) {
        grpc_metadata_array_init(&f->metadata[i]);
        f->calls[i] = grpc_channel_create_call(
            f->channel, NULL, 0, f->cq, grpc_slice_from_static_string(SERVICE "ReserveStream"),
            NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    }
    assert_int_equal(pthread_create(&f->thread, NULL, flood_run, f), 0);
}

static void flood_end(struct flood *f)
{
    f->stopping = true;
    pthread_join(f->thread, NULL);
    for (size_t i = 0; i < STREAMS; i++) {
        grpc_call_cancel(f->calls[i], NULL);
        grpc_call_unref(f->calls[i]);
        grpc_metadata_array_destroy(&f->metadata[i]);
    }
    grpc_byte_buffer_destroy(f->message);
    grpc_channel_destroy(f->channel);
    grpc_completion_queue_shutdown(f->cq);
    while (grpc_completion_queue_next(f->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(f->cq);
    grpc_shutdown();
}

static void streams_that_never_pause_leave_calls_their_turn(void **state)
{
    struct world *w = *state;
    static struct flood f;
    static struct asked a;
    flood_begin(w, &f);
    while (w->messages < 4 * STREAMS)
        pause_ms(1);
    ask_begin(w, &a, "Reserve");
    pthread_join(a.thread, NULL);
    bool good = a.good;
    flood_end(&f);
    assert_true(good);
}

// ------------------------------------------------------------------------------- the end

static void *drain(void *ctx)
{
    rpc_drain(((struct world *)ctx)->rpc);
    return NULL;
}

static void what_waits_for_the_slow_lane_is_given_up_at_the_end(void **state)
{
    struct world *w = *state;
    static struct asked calls[CALLS];
    struct rpc_metrics m = {0};
    for (int i = 0; i < CALLS; i++)
        ask_begin(w, &calls[i], "ListReservations");
    while (rpc_metrics(w->rpc, &m), m.deferred < CALLS || w->runs < 1)
        pause_ms(1);
    pthread_t end;
    assert_int_equal(pthread_create(&end, NULL, drain, w), 0);
    for (int i = 0; i < CALLS; i++) { // all are cancelled; one is being answered
        pthread_join(calls[i].thread, NULL);
        assert_false(calls[i].good);
    }
    w->go_on = true;
    pthread_join(end, NULL);
    rpc_destroy(w->rpc);
    w->rpc = NULL;
    assert_int_equal(w->runs, 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(streams_that_never_pause_leave_calls_their_turn),
        TEST(what_waits_for_the_slow_lane_is_given_up_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
