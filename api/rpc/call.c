// Unary calls: one request, one reply, both in one batch each.
#include "rpc/rpc_internal.h"

#include "rpc/details.h"

#include <grpc/byte_buffer.h>
#include <string.h>

struct rpc_error rpc_invalid(const char *field, const char *message)
{
    struct rpc_error e = {.code = RPC_INVALID_ARGUMENT, .message = message};
    size_t bytes = strlen(field);
    bytes = bytes < sizeof e.field ? bytes : sizeof e.field - 1;
    memcpy(e.field, field, bytes);
    return e;
}

struct rpc_error rpc_no_memory(void)
{
    return (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                              .reason = "MEMORY",
                              .message = "no memory for a request of this size",
                              .retry_ms = RETRY_BUSY_MS};
}

struct rpc_error rpc_no_room(void)
{
    struct rpc_error e = rpc_no_memory();
    e.message = "answers that nobody reads take all the memory that there is for them";
    return e;
}

bool rpc_expired(const struct rpc_call *pub)
{
    const struct call *c = (const struct call *)pub;
    return c->deadline_ns != UINT64_MAX && rpc_now_ns() >= c->deadline_ns;
}

static struct rpc_error expired_error(const struct call *c)
{
    hf_add(&c->poller->metrics.expired, 1); // also from the slow lane
    return (struct rpc_error){.code = RPC_DEADLINE_EXCEEDED,
                              .message = "the deadline passed before the decision"};
}

bool rpc_given_up(const struct rpc_call *pub, struct rpc_error *error)
{
    const struct call *c = (const struct call *)pub;
    bool ends = hf_load_acquire(&c->poller->rpc->giving_up) != 0;
    if (!ends && !rpc_expired(pub))
        return false;
    *error = ends ? RPC_DRAINING_ERROR : expired_error(c);
    return true;
}

static bool call_prepare(struct call *c, struct rpc_error *error)
{
    if (!call_admit(c, error))
        return false;
    if (rpc_expired(&c->pub)) {
        *error = expired_error(c);
        return false;
    }
    if (!call_bytes(c)) {
        *error = rpc_no_memory();
        return false;
    }
    return c->pub.method->raw || call_unpack(c, error);
}

void call_arrived(struct call *c)
{
    struct poller *p = c->poller;
    struct rpc_error error;
    count_up(&p->metrics.calls);
    if (!call_prepare(c, &error)) {
        rpc_fail(&c->pub, &error);
    } else if (c->pub.method->kind == RPC_FAST) {
        HF_ASSERT(p->burst_count < RPC_BURST_MAX);
        p->burst[p->burst_count++] = &c->pub;
    } else if (!rpc_defer(&c->pub)) {
        count_up(&p->metrics.refused);
        error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                   .reason = "SLOW_QUEUE_FULL",
                                   .message = "too many requests of this kind wait",
                                   .retry_ms = 4 * RETRY_BUSY_MS};
        rpc_fail(&c->pub, &error);
    }
}

bool rpc_defer(struct rpc_call *pub)
{
    struct call *c = (struct call *)pub;
    bool stream = pub->method->kind == RPC_STREAM;
    size_t bytes = pub->arena.bytes + pub->byte_count; // the slow lane has the call after the push
    if (!slow_push(c->poller->rpc, c))
        return false;
    if (stream) {
        c->stream.deferred_bytes = bytes;
        call_hold(c, bytes);
    }
    count_up(&c->poller->metrics.deferred);
    return true;
}

// ------------------------------------------------------------------------------- replies

// The call is its poller's again from here on, perhaps before this returns. gRPC orders both; H0
// says so to whoever cannot see into gRPC, and pairs with H1 in call_done.
static void batch_start(struct call *c, const grpc_op *ops, size_t count)
{
    grpc_call *call = c->call;
    hf_store_release(&c->handed, 1u); // H0
    grpc_call_error e = grpc_call_start_batch(call, ops, count, &c->tags[TAG_ANSWERED], NULL);
    HF_ASSERT(e == GRPC_CALL_OK); // the operations are always the same, and each comes once
}

void call_answer(struct call *c)
{
    if (!c->reply) {
        rpc_fail(&c->pub, &c->error);
        return;
    }
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    ops[1].data.send_message.send_message = c->reply;
    ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
    ops[3].data.recv_close_on_server.cancelled = &c->cancelled;
    count_up(&c->poller->metrics.codes[RPC_OK]);
    if (c->ticket)
        hf_histogram_record(&c->poller->latency[RPC_STAGE_DURABLE], rpc_now_ns() - c->decided_ns);
    batch_start(c, ops, 4);
}

// message NULL: the call's error.
static void reply(struct rpc_call *pub, grpc_byte_buffer *message, uint64_t ticket)
{
    struct call *c = (struct call *)pub;
    struct poller *p = c->poller;
    c->reply = message;
    if (message) {
        c->reply_bytes = grpc_byte_buffer_length(message);
        call_hold(c, c->reply_bytes);
    }
    c->ticket = ticket;
    c->decided_ns = rpc_now_ns();
    if (!on_own_poller(c)) {
        poller_post(p, c, POSTED_DONE);
        return;
    }
    hf_histogram_record(&p->latency[RPC_STAGE_DECIDE], c->decided_ns - pub->arrived_ns);
    if (!p->first_waiting && ticket_durable(p->rpc, ticket)) {
        call_answer(c);
        return;
    }
    if (ticket == 0) { // nobody waits for those
        call_answer(c);
        return;
    }
    c->next = NULL;
    *p->last_waiting = c;
    p->last_waiting = &c->next;
}

void rpc_reply(struct rpc_call *pub, const ProtobufCMessage *message, uint64_t ticket)
{
    reply(pub, message_pack(message), ticket);
}

void rpc_reply_packed(struct rpc_call *pub, const unsigned char *bytes, size_t count,
                      uint64_t ticket)
{
    reply(pub, bytes_copy(bytes, count), ticket);
}

void rpc_fail(struct rpc_call *pub, const struct rpc_error *error)
{
    struct call *c = (struct call *)pub;
    unsigned char packed[DETAILS_BYTES_MAX];
    char text[256];
    details_message(error, text, sizeof text);
    size_t bytes = details_pack(error, packed);
    grpc_slice message = grpc_slice_from_copied_string(text);
    grpc_metadata trailer = {.key = grpc_slice_from_static_string("grpc-status-details-bin"),
                             .value = grpc_slice_from_copied_buffer((const char *)packed, bytes)};
    grpc_op ops[3] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    ops[1].data.send_status_from_server.status = (grpc_status_code)error->code;
    ops[1].data.send_status_from_server.status_details = &message;
    ops[1].data.send_status_from_server.trailing_metadata = &trailer;
    ops[1].data.send_status_from_server.trailing_metadata_count = 1;
    ops[2].data.recv_close_on_server.cancelled = &c->cancelled;
    hf_add(&c->poller->metrics.codes[error->code], 1); // also from the slow lane
    batch_start(c, ops, 3);
    grpc_slice_unref(message); // the batch has its own references
    grpc_slice_unref(trailer.value);
}

void rpc_fail_durable(struct rpc_call *pub, const struct rpc_error *error, uint64_t ticket)
{
    if (ticket == 0) {
        rpc_fail(pub, error);
        return;
    }
    ((struct call *)pub)->error = *error;
    reply(pub, NULL, ticket);
}

void call_done(struct call *c)
{
    HF_ASSERT(hf_load_acquire(&c->handed)); // H1
    if (c->cancelled)
        count_up(&c->poller->metrics.cancelled);
    call_release(c);
}
