// ReserveStream: a message is a batch of operations, its results are one message.
//
// A batch is decided at once. Up to WINDOW batches may wait for the disk or the client's reading;
// then no further message is received, and HTTP/2 flow control stops the client. A batch with an
// operation that needs the disk goes through the slow lane; nothing is received meanwhile.
#include "service/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 8
static_assert(WINDOW <= RPC_UNSENT_MAX, "what waits has room");

struct batch {
    const Holdfast__V1__ReserveStreamRequest *in;
    Holdfast__V1__ReserveStreamResponse out;
    struct core_request *requests; // of the verbs among the operations
    struct core_answer *answers;
    uint32_t *place; // operation of each
    uint32_t count;  // requests collected and not told yet
    uint64_t ticket;
    bool away; // something needs the slow lane
};

struct reserve_stream {
    uint32_t unsent;
    bool half_closed, refused;
    struct batch *deferred; // with the slow lane, in the call's arena
};

static struct rpc_error no_memory(void)
{
    return convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
}

static void result_error(struct arena *a, Holdfast__V1__StreamResult *result,
                         const struct rpc_error *error)
{
    result->error = convert_error(a, error);
    if (result->error)
        result->result_case = HOLDFAST__V1__STREAM_RESULT__RESULT_ERROR;
}

static void result_decision(struct service_local *l, struct arena *a,
                            Holdfast__V1__StreamResult *result, const struct core_request *r,
                            const struct core_answer *answer, uint64_t *ticket)
{
    if (verb_is_answer(answer->outcome)) {
        result->decision = verb_decision(a, r, answer, core_now(local_core(l)));
        if (result->decision) {
            result->result_case = HOLDFAST__V1__STREAM_RESULT__RESULT_DECISION;
            *ticket = verb_ticket(answer) > *ticket ? verb_ticket(answer) : *ticket;
            return;
        }
    }
    struct rpc_error error =
        verb_is_answer(answer->outcome)
            ? no_memory()
            : convert_outcome(answer->outcome, answer->field, answer->line, answer->retry_ms);
    result_error(a, result, &error);
}

// Decides what was collected. In the poller, what needs the disk is left for the slow lane.
static void batch_decide(struct service_local *l, struct arena *a, struct batch *b, bool may_recall)
{
    if (b->count == 0)
        return;
    verb_execute(l, b->requests, b->answers, b->count, may_recall);
    for (uint32_t i = 0; i < b->count; i++) {
        Holdfast__V1__StreamResult *result = b->out.results[b->place[i]];
        if (b->answers[i].outcome == CORE_OUT_NEEDS_RECALL && !may_recall)
            b->away = true; // its result is still empty: the slow lane asks again
        else
            result_decision(l, a, result, &b->requests[i], &b->answers[i], &b->ticket);
    }
    b->count = 0;
}

static void operation_get(struct service_local *l, struct arena *a, struct batch *b,
                          Holdfast__V1__StreamResult *result, const char *id_text,
                          struct reservation_asked *asked)
{
    struct rpc_error error;
    uint64_t ticket = 0;
    if (!convert_uuid(id_text, "get.reservation_id", &asked->id, &error)) {
        result_error(a, result, &error);
        return;
    }
    batch_decide(l, a, b, asked->may_recall); // what stands before it comes first
    enum hf_status s = reservation_tell(l, a, asked, &result->reservation, &ticket);
    if (s == HF_BUSY && !asked->may_recall) {
        b->away = true;
        return;
    }
    if (s == HF_OK) {
        result->result_case = HOLDFAST__V1__STREAM_RESULT__RESULT_RESERVATION;
        b->ticket = ticket > b->ticket ? ticket : b->ticket;
        return;
    }
    error = reservation_error(s);
    result_error(a, result, &error);
}

// One operation whose result is still empty.
static void operation_run(struct service_local *l, const struct rpc_call *call, struct arena *a,
                          struct batch *b, uint32_t i, bool may_recall)
{
    const Holdfast__V1__StreamOperation *op = b->in->operations[i];
    Holdfast__V1__StreamResult *result = b->out.results[i];
    struct verb_message m;
    struct rpc_error error;
    if (op->operation_case == HOLDFAST__V1__STREAM_OPERATION__OPERATION__NOT_SET) {
        error = rpc_invalid("operation", "none is given");
        result_error(a, result, &error);
        return;
    }
    if (op->operation_case == HOLDFAST__V1__STREAM_OPERATION__OPERATION_GET) {
        struct reservation_asked asked = {.who = call->who, .may_recall = may_recall};
        operation_get(l, a, b, result, op->get->reservation_id, &asked);
        return;
    }
    // The members of the oneof share their place, and each is a message.
    if (!verb_read((const ProtobufCMessage *)op->reserve, &m) ||
        !verb_convert(l, call->who, a, &m, "", &b->requests[b->count], &error)) {
        result_error(a, result, &error);
        return;
    }
    b->place[b->count++] = i;
}

static void batch_run(struct service_local *l, struct rpc_call *call, struct batch *b,
                      bool may_recall)
{
    b->away = false;
    for (uint32_t i = 0; i < b->in->n_operations; i++)
        if (b->out.results[i]->result_case == HOLDFAST__V1__STREAM_RESULT__RESULT__NOT_SET)
            operation_run(l, call, &call->arena, b, i, may_recall);
    batch_decide(l, &call->arena, b, may_recall);
}

static struct batch *batch_make(struct arena *a, const Holdfast__V1__ReserveStreamRequest *in)
{
    size_t n = in->n_operations;
    struct batch *b = arena_take(a, sizeof *b);
    Holdfast__V1__StreamResult *results = arena_take(a, n * sizeof *results);
    if (!b || !results)
        return NULL;
    *b = (struct batch){.in = in, .out = HOLDFAST__V1__RESERVE_STREAM_RESPONSE__INIT};
    b->out.results = arena_take(a, n * sizeof *b->out.results);
    b->requests = arena_take(a, n * sizeof *b->requests);
    b->answers = arena_take(a, n * sizeof *b->answers);
    b->place = arena_take(a, n * sizeof *b->place);
    if (!b->out.results || !b->requests || !b->answers || !b->place)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        holdfast__v1__stream_result__init(&results[i]);
        results[i].correlation_id = in->operations[i]->correlation_id;
        b->out.results[i] = &results[i];
    }
    b->out.n_results = n;
    return b;
}

static void batch_send(struct rpc_call *call, struct batch *b)
{
    struct reserve_stream *s = call->state;
    s->unsent++;
    rpc_send(call, &b->out.base, b->ticket);
}

static void go_on(struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    if (s->deferred)
        return; // the slow lane has the call; an answer before it may have left meanwhile
    if (s->half_closed && s->unsent == 0)
        rpc_finish(call, NULL);
    else if (!s->half_closed && s->unsent < WINDOW)
        rpc_receive(call);
}

// ------------------------------------------------------------------------------- callbacks

void reserve_stream_opened(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    call->state = calloc(1, sizeof(struct reserve_stream));
    if (!call->state) {
        struct rpc_error error = no_memory();
        rpc_finish(call, &error);
        return;
    }
    rpc_receive(call);
}

void reserve_stream_received(void *ctx, void *local, struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    const Holdfast__V1__ReserveStreamRequest *in = (const void *)call->request;
    struct rpc_error error = rpc_invalid("operations", "1..1,024 in a message");
    struct batch *b = NULL;
    (void)ctx;
    if (in->n_operations >= 1 && in->n_operations <= HF_BATCH_MAX) {
        error = no_memory();
        b = batch_make(&call->arena, in);
    }
    if (!b) {
        rpc_finish(call, &error);
        return;
    }
    batch_run(local, call, b, false);
    if (b->away) {
        s->deferred = b;
        if (rpc_defer(call))
            return;
        error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                   .reason = "SLOW_QUEUE_FULL",
                                   .message = "too many requests of this kind wait",
                                   .retry_ms = 200};
        for (uint32_t i = 0; i < in->n_operations; i++)
            if (b->out.results[i]->result_case == HOLDFAST__V1__STREAM_RESULT__RESULT__NOT_SET)
                result_error(&call->arena, b->out.results[i], &error);
        s->deferred = NULL;
    }
    batch_send(call, b);
    go_on(call);
}

// In the slow lane.
void reserve_stream_deferred(struct service_local *l, struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    batch_run(l, call, s->deferred, true);
}

void reserve_stream_woken(void *ctx, void *local, struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    (void)ctx, (void)local;
    if (s->deferred) {
        batch_send(call, s->deferred);
        s->deferred = NULL;
        go_on(call);
    }
    if (rpc_draining(call))
        rpc_finish(call, &RPC_DRAINING_ERROR); // after the results of all that was received
}

void reserve_stream_sent(void *ctx, void *local, struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    (void)ctx, (void)local;
    s->unsent--;
    go_on(call);
}

void reserve_stream_half_closed(void *ctx, void *local, struct rpc_call *call)
{
    struct reserve_stream *s = call->state;
    (void)ctx, (void)local;
    s->half_closed = true;
    go_on(call);
}

void reserve_stream_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    free(call->state);
    call->state = NULL;
}
