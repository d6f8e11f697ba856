// Each batch of operations that gRPC is given carries a tag: who is told, and of what. A call lives
// until all its tags have come back.
#include "load/link_internal.h"

#include "sys/clock.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS        5000 // an attempt gets so long, or as long as the pause after it
#define RECONNECT_MS_MIN  50
#define RECONNECT_MS_MAX  1000
#define MESSAGE_BYTES_MAX (64 << 20)
#define METHOD_BYTES      80

struct link {
    grpc_completion_queue *cq;
    uint32_t connections;
    grpc_channel *channels[LINK_CONNECTIONS_MAX];
    grpc_metadata metadata[1];
    size_t metadata_count;
    struct call *calls; // open ones
    uint32_t open;      // tags that have not come back
};

struct tag {
    void (*run)(struct tag *t, bool ok);
    struct call *call;
};

// A unary call, or a stream: then `start`, `send` and `receive` come back by themselves.
struct call {
    struct link *link;
    struct call *before, *after;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code status;
    grpc_slice details;
    struct tag end, start, send, receive;
    uint32_t tags;
    bool ended;
    void (*done)(void *ctx, const struct link_end *end);
    void *ctx;
    struct link_stream_events events;
};
struct link_stream {
    struct call call;
};

// ------------------------------------------------------------------------------- bytes

static grpc_byte_buffer *packed(const ProtobufCMessage *m)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

static grpc_slice bytes_of(grpc_byte_buffer *b)
{
    grpc_byte_buffer_reader reader;
    if (!b || !grpc_byte_buffer_reader_init(&reader, b))
        return grpc_empty_slice();
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return slice;
}

// ------------------------------------------------------------------------------- calls

static struct call *call_make(struct link *l, size_t bytes, uint32_t connection, const char *method,
                              gpr_timespec deadline)
{
    char path[METHOD_BYTES];
    struct call *c = calloc(1, bytes);
    if (!c)
        abort(); // a load generator without memory measures nothing
    snprintf(path, sizeof path, "/holdfast.v1.%s", method);
    c->link = l;
    c->details = grpc_empty_slice();
    grpc_metadata_array_init(&c->initial);
    grpc_metadata_array_init(&c->trailing);
    grpc_slice name = grpc_slice_from_copied_string(path);
    c->call = grpc_channel_create_call(l->channels[connection % l->connections], NULL, 0, l->cq,
                                       name, NULL, deadline, NULL);
    grpc_slice_unref(name);
    c->after = l->calls;
    if (l->calls)
        l->calls->before = c;
    l->calls = c;
    return c;
}

static void call_free(struct call *c)
{
    if (c->before)
        c->before->after = c->after;
    else
        c->link->calls = c->after;
    if (c->after)
        c->after->before = c->before;
    grpc_call_unref(c->call);
    grpc_slice_unref(c->details);
    grpc_metadata_array_destroy(&c->initial);
    grpc_metadata_array_destroy(&c->trailing);
    if (c->request)
        grpc_byte_buffer_destroy(c->request);
    if (c->response)
        grpc_byte_buffer_destroy(c->response);
    free(c);
}

static void call_start(struct call *c, struct tag *t, void (*run)(struct tag *, bool),
                       const grpc_op *ops, size_t count)
{
    *t = (struct tag){run, c};
    c->tags++;
    c->link->open++;
    if (grpc_call_start_batch(c->call, ops, count, t, NULL) != GRPC_CALL_OK)
        HF_ASSERT(!"a batch that gRPC refuses");
}

static grpc_op op_metadata(const struct call *c)
{
    grpc_op op = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    op.data.send_initial_metadata.count = c->link->metadata_count;
    op.data.send_initial_metadata.metadata = (grpc_metadata *)(uintptr_t)c->link->metadata;
    return op;
}

static grpc_op op_send(struct call *c, const ProtobufCMessage *m)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    c->request = packed(m);
    op.data.send_message.send_message = c->request;
    return op;
}

static grpc_op op_initial(struct call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    op.data.recv_initial_metadata.recv_initial_metadata = &c->initial;
    return op;
}

static grpc_op op_receive(struct call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &c->response;
    return op;
}

static grpc_op op_status(struct call *c)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &c->trailing;
    op.data.recv_status_on_client.status = &c->status;
    op.data.recv_status_on_client.status_details = &c->details;
    return op;
}

static void unary_end(struct tag *t, bool ok)
{
    struct call *c = t->call;
    struct link_end end;
    grpc_slice reply = bytes_of(c->response);
    (void)ok;
    link_end_read(&end, c->status, &c->details, &c->trailing);
    end.bytes = GRPC_SLICE_START_PTR(reply);
    end.byte_count = GRPC_SLICE_LENGTH(reply);
    c->done(c->ctx, &end);
    grpc_slice_unref(reply);
    call_free(c);
}

void link_call(struct link *l, uint32_t connection, const char *method, const ProtobufCMessage *m,
               uint32_t deadline_ms, void (*done)(void *ctx, const struct link_end *end), void *ctx)
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline_ms, GPR_TIMESPAN));
    struct call *c = call_make(l, sizeof *c, connection, method, deadline);
    c->done = done;
    c->ctx = ctx;
    grpc_op ops[6] = {op_metadata(c), op_send(c, m), {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                      op_initial(c),  op_receive(c), op_status(c)};
    call_start(c, &c->end, unary_end, ops, 6);
}

// ------------------------------------------------------------------------------- streams

// The last tag is back, and the status was among them.
static void stream_over(struct call *c)
{
    struct link_end end;
    if (c->tags || !c->ended)
        return;
    link_end_read(&end, c->status, &c->details, &c->trailing);
    c->events.closed(c->ctx, &end);
    call_free(c);
}

static void stream_end(struct tag *t, bool ok)
{
    (void)ok;
    t->call->ended = true;
    stream_over(t->call);
}

static void stream_start(struct tag *t, bool ok)
{
    (void)ok;
    stream_over(t->call);
}

static void stream_sent(struct tag *t, bool ok)
{
    struct call *c = t->call;
    if (c->request)
        grpc_byte_buffer_destroy(c->request);
    c->request = NULL;
    if (ok && !c->ended)
        c->events.sent(c->ctx);
    stream_over(c);
}

static void stream_received(struct tag *t, bool ok)
{
    struct call *c = t->call;
    if (ok && c->response) {
        grpc_slice bytes = bytes_of(c->response);
        grpc_byte_buffer_destroy(c->response);
        c->response = NULL;
        grpc_op op = op_receive(c);
        call_start(c, &c->receive, stream_received, &op, 1);
        c->events.received(c->ctx, GRPC_SLICE_START_PTR(bytes), GRPC_SLICE_LENGTH(bytes));
        grpc_slice_unref(bytes);
    }
    stream_over(c);
}

struct link_stream *link_stream_open(struct link *l, uint32_t connection, const char *method,
                                     const struct link_stream_events *events, void *ctx)
{
    struct call *c = call_make(l, sizeof(struct link_stream), connection, method,
                               gpr_inf_future(GPR_CLOCK_MONOTONIC));
    c->events = *events;
    c->ctx = ctx;
    grpc_op open[2] = {op_metadata(c), op_initial(c)};
    grpc_op status = op_status(c), receive = op_receive(c);
    call_start(c, &c->start, stream_start, open, 2);
    call_start(c, &c->end, stream_end, &status, 1);
    call_start(c, &c->receive, stream_received, &receive, 1);
    return (struct link_stream *)(void *)c;
}

void link_stream_send(struct link_stream *s, const ProtobufCMessage *m)
{
    grpc_op op = op_send(&s->call, m);
    call_start(&s->call, &s->call.send, stream_sent, &op, 1);
}

void link_stream_finish(struct link_stream *s)
{
    grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
    call_start(&s->call, &s->call.send, stream_start, &op, 1);
}

void link_stream_cancel(struct link_stream *s)
{
    grpc_call_cancel(s->call.call, NULL);
}

// ------------------------------------------------------------------------------- polling

static gpr_timespec moment(uint64_t ns)
{
    uint64_t now = clock_monotonic_ns(clock_os());
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                        gpr_time_from_nanos(ns > now ? (int64_t)(ns - now) : 0, GPR_TIMESPAN));
}

static bool event_take(struct link *l, gpr_timespec until)
{
    grpc_event e = grpc_completion_queue_next(l->cq, until, NULL);
    if (e.type != GRPC_OP_COMPLETE)
        return false;
    struct tag *t = e.tag;
    l->open--;
    t->call->tags--;
    t->run(t, e.success != 0);
    return true;
}

uint32_t link_poll(struct link *l, uint64_t until_ns, uint32_t most)
{
    uint32_t count = 0;
    if (!event_take(l, until_ns ? moment(until_ns) : gpr_inf_past(GPR_CLOCK_MONOTONIC)))
        return 0;
    for (count = 1; count < most; count++)
        if (!event_take(l, gpr_inf_past(GPR_CLOCK_MONOTONIC)))
            break;
    return count;
}

// ------------------------------------------------------------------------------- set-up

static bool address_local(const char *a)
{
    static const char *const local[] = {"127.", "localhost:", "[::1]:", "unix:"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if (strncmp(a, local[i], strlen(local[i])) == 0)
            return true;
    return false;
}

static grpc_channel *channel_make(const struct link_options *o, grpc_channel_credentials *creds)
{
    struct {
        const char *key;
        int value;
    } numbers[] = {{GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1}, // else they would share a connection
                   {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_BYTES_MAX},
                   {GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0},
                   {GRPC_ARG_ENABLE_RETRIES, 0}, // every try is counted, see sender.h
                   {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_MS_MIN},
                   {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_MS},
                   {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MS_MAX}};
    grpc_arg args[sizeof numbers / sizeof *numbers + 1];
    size_t count = sizeof numbers / sizeof *numbers;
    for (size_t i = 0; i < count; i++)
        args[i] = (grpc_arg){.type = GRPC_ARG_INTEGER,
                             .key = (char *)(uintptr_t)numbers[i].key,
                             .value.integer = numbers[i].value};
    if (o->server_name)
        args[count++] = (grpc_arg){.type = GRPC_ARG_STRING,
                                   .key = GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
                                   .value.string = (char *)(uintptr_t)o->server_name};
    grpc_channel_args all = {count, args};
    return grpc_channel_create(o->address, creds, &all);
}

static grpc_channel_credentials *credentials(const struct link_options *o)
{
    grpc_ssl_pem_key_cert_pair pair = {o->key_pem, o->cert_pem};
    if (!o->tls)
        return grpc_insecure_credentials_create();
    return grpc_ssl_credentials_create_ex(o->ca_pem, o->cert_pem ? &pair : NULL, NULL, NULL);
}

static bool options_ok(const struct link_options *o, char why[200])
{
    const char *bad = NULL;
    if (!o->tls && !o->clear_anywhere && !address_local(o->address))
        bad = "this address is beyond the machine: use TLS, or --insecure to send in clear";
    else if (!o->cert_pem != !o->key_pem)
        bad = "a client certificate and its key come together";
    else if (o->connections < 1 || o->connections > LINK_CONNECTIONS_MAX)
        bad = "1..64 connections";
    if (bad)
        snprintf(why, 200, "%s", bad);
    return bad == NULL;
}

enum hf_status link_create(const struct link_options *o, struct link **out, char why[200])
{
    if (!options_ok(o, why))
        return HF_INVALID;
    struct link *l = calloc(1, sizeof *l);
    if (!l)
        return HF_NO_MEMORY;
    grpc_init();
    l->cq = grpc_completion_queue_create_for_next(NULL);
    l->connections = o->connections;
    grpc_channel_credentials *creds = credentials(o);
    if (!creds) {
        snprintf(why, 200, "the certificates cannot be used");
        link_destroy(l);
        return HF_INVALID;
    }
    for (uint32_t i = 0; i < l->connections; i++)
        l->channels[i] = channel_make(o, creds);
    grpc_channel_credentials_release(creds);
    if (o->api_key) {
        char value[600];
        snprintf(value, sizeof value, "Bearer %.580s", o->api_key);
        l->metadata[0] = (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                                         .value = grpc_slice_from_copied_string(value)};
        l->metadata_count = 1;
    }
    *out = l;
    return HF_OK;
}

void link_destroy(struct link *l)
{
    for (struct call *c = l->calls; c; c = c->after)
        grpc_call_cancel(c->call, NULL);
    while (l->open)
        event_take(l, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    for (uint32_t i = 0; i < l->connections; i++)
        if (l->channels[i])
            grpc_channel_destroy(l->channels[i]);
    grpc_completion_queue_shutdown(l->cq);
    while (grpc_completion_queue_next(l->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(l->cq);
    if (l->metadata_count)
        grpc_slice_unref(l->metadata[0].value);
    grpc_shutdown();
    free(l);
}
