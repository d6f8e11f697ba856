// ReserveStream: a message is a batch of operations, its results are one message.
//
// A batch is decided at once. Up to WINDOW batches may wait for the disk or the client's reading;
// then no further message is received, and HTTP/2 flow control stops the client; nor is one when
// the listener finds that too much is unread (rpc/stream.c). A batch with an operation that needs
// the disk goes through the slow lane; nothing is received meanwhile, so the message's bytes stay.
#include "service/stream_batch.h"

#include <stdlib.h>

#define WINDOW 8
static_assert(WINDOW <= RPC_UNSENT_MAX, "what waits has room");

struct reserve_stream {
    uint32_t unsent;
    bool half_closed;
    struct stream_batch *deferred; // with the slow lane, in the call's arena
};

static struct rpc_error no_memory(void)
{
    return convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
}

static void op_decided(struct arena *a, struct stream_batch *b, struct stream_op *op,
                       uint64_t now_ms)
{
    const struct core_answer *answer = &b->answers[op->request];
    uint64_t ticket = verb_ticket(answer); // of a conflict, too: it rests on another's decision
    b->ticket = ticket > b->ticket ? ticket : b->ticket;
    if (!verb_is_answer(answer->outcome)) {
        struct rpc_error error =
            convert_outcome(answer->outcome, answer->field, answer->line, answer->retry_ms);
        stream_op_fail(a, op, &error);
        return;
    }
    op->result = STREAM_DECIDED;
    op->now_ms = now_ms;
}

// Decides what was collected; what needs the disk is left for the slow lane.
static void batch_decide(struct service_local *l, struct arena *a, struct stream_batch *b)
{
    uint32_t first = b->decided, count = b->request_count - first;
    if (count == 0)
        return;
    verb_execute(l, &b->requests[first], &b->answers[first], count, false);
    uint64_t now_ms = core_now(local_core(l));
    for (uint32_t i = first; i < b->request_count; i++)
        if (b->answers[i].outcome == CORE_OUT_NEEDS_RECALL)
            b->away = true; // its result stays open: the slow lane asks again
        else
            op_decided(a, b, &b->ops[b->place[i]], now_ms);
    b->decided = b->request_count;
}

static bool get_read(struct arena *scratch, struct stream_op *op, struct hf_uuid *id,
                     struct rpc_error *error)
{
    const Holdfast__V1__GetReservationRequest *get =
        (const void *)stream_op_unpack(scratch, op, error);
    return get && convert_uuid(get->reservation_id, "get.reservation_id", id, error);
}

static void op_get(struct service_local *l, struct rpc_call *call, struct stream_batch *b,
                   struct stream_op *op, bool may_recall)
{
    struct arena *a = &call->arena;
    struct reservation_asked asked = {.who = call->who, .may_recall = may_recall};
    struct rpc_error error;
    Holdfast__V1__Reservation *r;
    uint64_t ticket = 0;
    arena_reset(&l->scratch); // of a message's answers only what is packed is kept
    if (!get_read(&l->scratch, op, &asked.id, &error)) {
        stream_op_fail(a, op, &error);
        return;
    }
    if (b->told_bytes > ANSWER_BYTES_MAX) {
        stream_op_too_large(a, op);
        return;
    }
    enum hf_status s = reservation_tell(l, &l->scratch, &asked, &r, &ticket);
    if (s == HF_BUSY && !may_recall) {
        b->away = true;
    } else if (s == HF_OK) {
        stream_op_tell(a, op, r);
        b->told_bytes += op->told_bytes;
        b->ticket = ticket > b->ticket ? ticket : b->ticket;
    } else {
        error = reservation_error(s);
        stream_op_fail(a, op, &error);
    }
}

static void op_collect(const struct stream_reader *r, struct stream_batch *b, struct stream_op *op)
{
    struct core_request *out = &b->requests[b->request_count];
    struct rpc_error error;
    enum verb_way way =
        stream_op_straight(r, op, out) ? VERB_READY : stream_op_general(r, op, out, &error);
    if (way == VERB_REFUSED) {
        stream_op_fail(r->arena, op, &error);
        return;
    }
    if (way == VERB_AWAY) { // left out of what is decided here
        batch_decide(r->local, r->arena, b);
        b->away = true;
        b->decided++;
    }
    op->request = b->request_count;
    b->place[b->request_count++] = (uint32_t)(op - b->ops);
}

// In the poller.
static void batch_run(struct service_local *l, struct rpc_call *call, struct stream_batch *b)
{
    struct stream_reader reader = stream_reader_make(l, call->who, &call->arena);
    for (uint32_t i = 0; i < b->op_count; i++) {
        struct stream_op *op = &b->ops[i];
        if (op->member == 0 && !op->malformed) {
            struct rpc_error error = rpc_invalid("operation", "none is given");
            stream_op_fail(&call->arena, op, &error);
        } else if (op->member == HOLDFAST__V1__STREAM_OPERATION__OPERATION_GET) {
            batch_decide(l, &call->arena, b); // what stands before it comes first
            op_get(l, call, b, op, false);
        } else {
            op_collect(&reader, b, op);
        }
        if (op->malformed)
            rpc_malformed(call);
    }
    batch_decide(l, &call->arena, b);
}

static void batch_send(struct rpc_call *call, struct stream_batch *b)
{
    struct reserve_stream *s = call->state;
    size_t count;
    const unsigned char *packed = stream_batch_pack(&call->arena, b, &count);
    if (!packed) { // the client asks again, on another stream, with the same ids
        struct rpc_error error = no_memory();
        rpc_finish(call, &error);
        return;
    }
    s->unsent++;
    rpc_send_packed(call, packed, count, b->ticket);
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
    struct arena *a = &call->arena;
    struct rpc_error error;
    struct stream_batch *b = stream_batch_read(a, call->bytes, call->byte_count, &error);
    (void)ctx;
    if (!b) {
        if (error.code == RPC_INVALID_ARGUMENT && !error.field[0])
            rpc_malformed(call);
        rpc_finish(call, &error);
        return;
    }
    batch_run(local, call, b);
    if (b->away) {
        s->deferred = b;
        if (rpc_defer(call))
            return;
        error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                   .reason = "SLOW_QUEUE_FULL",
                                   .message = "too many requests of this kind wait",
                                   .retry_ms = 200};
        for (uint32_t i = 0; i < b->op_count; i++)
            if (b->ops[i].result == STREAM_OPEN)
                stream_op_fail(a, &b->ops[i], &error);
        s->deferred = NULL;
    }
    batch_send(call, b);
    go_on(call);
}

// In the slow lane: what is still open, one after the other.
void reserve_stream_deferred(struct service_local *l, struct rpc_call *call)
{
    struct stream_batch *b = ((struct reserve_stream *)call->state)->deferred;
    struct rpc_error ends;
    bool given_up = false;
    for (uint32_t i = 0; i < b->op_count; i++) {
        struct stream_op *op = &b->ops[i];
        if (op->result != STREAM_OPEN)
            continue;
        given_up = given_up || rpc_given_up(call, &ends);
        if (given_up) {
            stream_op_fail(&call->arena, op, &ends);
            continue;
        }
        if (op->member == HOLDFAST__V1__STREAM_OPERATION__OPERATION_GET) {
            op_get(l, call, b, op, true);
            continue;
        }
        // What was away could not be looked at before.
        struct rpc_error error;
        struct core_request *r = &b->requests[op->request];
        if (verb_allowed(l, call->who, &call->arena, r, &error) == VERB_REFUSED) {
            stream_op_fail(&call->arena, op, &error);
            continue;
        }
        verb_execute(l, r, &b->answers[op->request], 1, true);
        op_decided(&call->arena, b, op, core_now(local_core(l)));
    }
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
