// A server that does as it is told: it decides each id once, and loses, refuses or delays answers.
// The real listener (api/rpc) with handlers of the test's own.
#ifndef HOLDFAST_TESTS_FAKE_SERVICE_H
#define HOLDFAST_TESTS_FAKE_SERVICE_H

#include "base/hash.h"
#include "rpc/rpc.h"

#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_IDS 4096

enum fake_mood {
    FAKE_ANSWER,
    FAKE_FAIL, // not decided
    FAKE_LOSE, // decided, and then failed all the same
    FAKE_MUTE, // streams: decided, and never answered
};

struct fake_counts {
    uint32_t ids, asked, streams, messages, widest;
    int64_t quantity; // of all lines of what was decided
};

struct fake {
    pthread_mutex_t mutex; // of all that follows; a test reads counts by fake_counts()
    struct rpc *rpc;
    enum fake_mood mood; // of the next `left` requests or stream messages
    uint32_t left;
    enum rpc_code code;
    uint32_t retry_ms;
    Holdfast__V1__Outcome outcome;
    char ids[FAKE_IDS][37]; // that were decided
    struct fake_counts counts;
};

// A poller may still be at work on a call whose answer was read.
static inline struct fake_counts fake_counts(struct fake *f)
{
    pthread_mutex_lock(&f->mutex);
    struct fake_counts c = f->counts;
    pthread_mutex_unlock(&f->mutex);
    return c;
}

static inline bool fake_decided(struct fake *f, const char *id)
{
    for (uint32_t i = 0; i < f->counts.ids; i++)
        if (strcmp(f->ids[i], id) == 0)
            return true;
    return false;
}

// True: it was decided before.
static inline bool fake_decide(struct fake *f, const char *id, Holdfast__V1__Line **lines, size_t n)
{
    bool repeat = fake_decided(f, id);
    if (!repeat && f->counts.ids < FAKE_IDS) {
        snprintf(f->ids[f->counts.ids++], 37, "%.36s", id);
        for (size_t i = 0; i < n; i++)
            f->counts.quantity += lines[i]->quantity;
    }
    return repeat;
}

static inline Holdfast__V1__Decision fake_decision(const struct fake *f, bool repeat)
{
    Holdfast__V1__Decision d = HOLDFAST__V1__DECISION__INIT;
    d.outcome = f->outcome;
    d.state = HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_HELD;
    d.durable = true;
    d.repeat = repeat;
    d.version = 1;
    d.expires_at_ms = 1234;
    return d;
}

static inline struct rpc_error fake_error(const struct fake *f)
{
    return (struct rpc_error){
        .code = f->code, .reason = "FAKE", .message = "as told", .retry_ms = f->retry_ms};
}

static inline enum fake_mood fake_next(struct fake *f)
{
    if (f->left == 0)
        return FAKE_ANSWER;
    f->left--;
    return f->mood;
}

static inline void fake_burst(void *ctx, void *local, struct rpc_call **calls, uint32_t count)
{
    struct fake *f = ctx;
    (void)local;
    pthread_mutex_lock(&f->mutex);
    for (uint32_t i = 0; i < count; i++) {
        const Holdfast__V1__ReserveRequest *q = (const void *)calls[i]->request;
        enum fake_mood mood = fake_next(f);
        struct rpc_error error = fake_error(f);
        f->counts.asked++;
        bool repeat = false;
        if (mood != FAKE_FAIL)
            repeat = fake_decide(f, q->reservation_id, q->lines, q->n_lines);
        if (mood != FAKE_ANSWER) {
            rpc_fail(calls[i], &error);
            continue;
        }
        Holdfast__V1__Decision d = fake_decision(f, repeat);
        Holdfast__V1__ReserveResponse r = HOLDFAST__V1__RESERVE_RESPONSE__INIT;
        r.decision = &d;
        rpc_reply(calls[i], &r.base, 0);
    }
    pthread_mutex_unlock(&f->mutex);
}

static inline void fake_opened(void *ctx, void *local, struct rpc_call *call)
{
    struct fake *f = ctx;
    (void)local;
    pthread_mutex_lock(&f->mutex);
    f->counts.streams++;
    pthread_mutex_unlock(&f->mutex);
    rpc_receive(call);
}

// Results in reverse order: they are matched by their correlation ids.
static inline void fake_received(void *ctx, void *local, struct rpc_call *call)
{
    struct fake *f = ctx;
    const Holdfast__V1__ReserveStreamRequest *in = (const void *)call->request;
    size_t n = in->n_operations;
    Holdfast__V1__ReserveStreamResponse out = HOLDFAST__V1__RESERVE_STREAM_RESPONSE__INIT;
    Holdfast__V1__StreamResult *results = calloc(n, sizeof *results);
    Holdfast__V1__StreamResult **refs = calloc(n, sizeof *refs);
    Holdfast__V1__Decision *decisions = calloc(n, sizeof *decisions);
    (void)local;
    pthread_mutex_lock(&f->mutex);
    enum fake_mood mood = fake_next(f);
    struct rpc_error error = fake_error(f);
    f->counts.messages++;
    f->counts.widest = n > f->counts.widest ? (uint32_t)n : f->counts.widest;
    for (size_t i = 0; i < n && results && refs && decisions; i++) {
        const Holdfast__V1__ReserveRequest *q = in->operations[i]->reserve;
        f->counts.asked++;
        bool repeat = mood != FAKE_FAIL && fake_decide(f, q->reservation_id, q->lines, q->n_lines);
        decisions[i] = fake_decision(f, repeat);
        holdfast__v1__stream_result__init(&results[i]);
        results[i].correlation_id = in->operations[i]->correlation_id;
        results[i].result_case = HOLDFAST__V1__STREAM_RESULT__RESULT_DECISION;
        results[i].decision = &decisions[i];
        refs[n - 1 - i] = &results[i];
    }
    pthread_mutex_unlock(&f->mutex);
    out.results = refs;
    out.n_results = n;
    if (mood == FAKE_ANSWER)
        rpc_send(call, &out.base, 0);
    if (mood == FAKE_FAIL || mood == FAKE_LOSE)
        rpc_finish(call, &error);
    else
        rpc_receive(call);
    free(results);
    free(refs);
    free(decisions);
}

static inline void fake_half_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    rpc_finish(call, NULL);
}

static inline void fake_nothing(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local, (void)call;
}

static inline void fake_adjust(void *ctx, void *local, struct rpc_call *call)
{
    struct fake *f = ctx;
    const Holdfast__V1__AdjustStockRequest *q = (const void *)call->request;
    Holdfast__V1__AdjustStockResponse r = HOLDFAST__V1__ADJUST_STOCK_RESPONSE__INIT;
    (void)local;
    pthread_mutex_lock(&f->mutex);
    r.repeat = fake_decide(f, q->operation_id, NULL, 0);
    f->counts.quantity += q->difference;
    pthread_mutex_unlock(&f->mutex);
    r.outcome = HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE;
    rpc_reply(call, &r.base, 0);
}

static inline void *fake_thread_start(void *ctx, unsigned lane)
{
    (void)lane;
    return ctx;
}
static inline void fake_thread_stop(void *ctx, void *local)
{
    (void)ctx, (void)local;
}
static inline uint64_t fake_durable(void *ctx)
{
    (void)ctx;
    return UINT64_MAX;
}

static const struct rpc_method fake_methods[] = {
    {.path = "/holdfast.v1.ReservationService/Reserve",
     .kind = RPC_FAST,
     .request = &holdfast__v1__reserve_request__descriptor,
     .posted = 16},
    {.path = "/holdfast.v1.StockAdminService/AdjustStock",
     .kind = RPC_SLOW,
     .request = &holdfast__v1__adjust_stock_request__descriptor,
     .posted = 4,
     .run = fake_adjust},
    {.path = "/holdfast.v1.ReservationService/ReserveStream",
     .kind = RPC_STREAM,
     .request = &holdfast__v1__reserve_stream_request__descriptor,
     .posted = 4,
     .opened = fake_opened,
     .received = fake_received,
     .half_closed = fake_half_closed,
     .sent = fake_nothing,
     .woken = fake_nothing,
     .closed = fake_nothing},
};

// port 0: any. Aborts where there is none: a test without its server tests nothing.
static inline uint16_t fake_start(struct fake *f, uint16_t port)
{
    char address[40], why[200] = "";
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    struct rpc_options o = {.address = address,
                            .methods = fake_methods,
                            .method_count = sizeof fake_methods / sizeof *fake_methods};
    rpc_limits_default(&o.limits);
    o.limits.drain_ms = 0;
    o.hooks = (struct rpc_hooks){.ctx = f,
                                 .thread_start = fake_thread_start,
                                 .thread_stop = fake_thread_stop,
                                 .burst = fake_burst,
                                 .durable = fake_durable};
    f->outcome = HOLDFAST__V1__OUTCOME__OUTCOME_DONE;
    if (rpc_create(&o, &f->rpc, why) != HF_OK) {
        fprintf(stderr, "fake service: %s\n", why);
        abort();
    }
    return rpc_port(f->rpc);
}

static inline void fake_stop(struct fake *f)
{
    rpc_destroy(f->rpc);
    f->rpc = NULL;
}

#endif
