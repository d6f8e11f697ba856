// Every call has a completion queue to pluck from: the tags are addresses of what is waited for.
// A batch that was started is always waited for before its memory goes, cancelled or not.
#include "client/client_internal.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API_KEY_BYTES_MIN  16 // shorter ones are none to a server
#define API_KEY_BYTES_MAX  128
#define REPLY_BYTES_MAX    (64 << 20) // a page of wide reservations
#define RECONNECT_FIRST_MS 100
#define RECONNECT_MOST_MS  2000
#define WAIT_FIRST_MS      50
#define WAIT_MOST_MS       5000
#define METHOD_BYTES       160

struct client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
    char authorization[sizeof "Bearer " + API_KEY_BYTES_MAX]; // empty: none
    struct client_options options;                            // only numbers and `again`
};

// One call on the wire: of a unary method, or a stream.
struct client_stream {
    struct client *client;
    const ProtobufCMessageDescriptor *output;
    grpc_call *call;
    grpc_metadata_array initial, trailing;
    bool over;
};

static void be_silent(gpr_log_func_args *args)
{
    (void)args;
}

static enum hf_status refuse(char why[200], const char *text)
{
    snprintf(why, 200, "%s", text);
    return HF_INVALID;
}

bool client_address_local(const char *address)
{
    static const char *const starts[] = {"localhost:", "[::1]:", "unix:"};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncmp(address, starts[i], strlen(starts[i])) == 0)
            return true;
    // 127.0.0.0/8, and no name that looks like it.
    return strncmp(address, "127.", 4) == 0 && address[strspn(address, "0123456789.")] == ':';
}

// The library would find it out only when it connects, and say little.
static bool is_pem(const char *text, const char *what)
{
    const char *begin = text ? strstr(text, "-----BEGIN ") : NULL;
    return !text || (begin && strstr(begin, what));
}

static enum hf_status check_options(const struct client_options *o, char why[200])
{
    if (!o->address || !o->address[0] || !strchr(o->address, ':'))
        return refuse(why, "the address must be host:port or unix:/path");
    if (!o->tls && !o->clear_anywhere && !client_address_local(o->address))
        return refuse(why, "the address is not of this machine: it needs TLS, or to be told that "
                           "everything may travel in clear");
    if (!o->cert_pem != !o->key_pem)
        return refuse(why, "a client certificate and its key go together");
    if (!o->tls && (o->cert_pem || o->ca_pem))
        return refuse(why, "certificates without TLS have no effect");
    if (!is_pem(o->ca_pem, "CERTIFICATE-----") || !is_pem(o->cert_pem, "CERTIFICATE-----") ||
        !is_pem(o->key_pem, "PRIVATE KEY-----"))
        return refuse(why, "a certificate or a private key is no PEM text");
    if (!o->api_key)
        return HF_OK;
    size_t n = strlen(o->api_key);
    if (n < API_KEY_BYTES_MIN || n > API_KEY_BYTES_MAX)
        return refuse(why, "the API key must have 16 to 128 characters");
    for (size_t i = 0; i < n; i++)
        if (o->api_key[i] <= ' ' || o->api_key[i] > '~')
            return refuse(why, "the API key must be visible ASCII without spaces");
    return HF_OK;
}

static grpc_channel_credentials *make_credentials(const struct client_options *o)
{
    if (!o->tls)
        return grpc_insecure_credentials_create();
    grpc_ssl_pem_key_cert_pair pair = {.private_key = o->key_pem, .cert_chain = o->cert_pem};
    return grpc_ssl_credentials_create(o->ca_pem, o->cert_pem ? &pair : NULL, NULL, NULL);
}

static grpc_channel *make_channel(const struct client_options *o, grpc_channel_credentials *creds)
{
    grpc_arg args[] = {
        {GRPC_ARG_INTEGER,
         (char *)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
         {.integer = REPLY_BYTES_MAX}},
        {GRPC_ARG_INTEGER,
         (char *)GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
         {.integer = RECONNECT_FIRST_MS}},
        {GRPC_ARG_INTEGER,
         (char *)GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
         {.integer = RECONNECT_MOST_MS}},
        {GRPC_ARG_INTEGER,
         (char *)GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
         {.integer = RECONNECT_MOST_MS}},
        // The address is the engine's: no proxy, and nobody else says how to call it.
        {GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_HTTP_PROXY, {.integer = 0}},
        {GRPC_ARG_INTEGER, (char *)GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, {.integer = 1}},
        {GRPC_ARG_INTEGER, (char *)GRPC_ARG_ENABLE_RETRIES, {.integer = 0}},
        {GRPC_ARG_STRING,
         (char *)GRPC_ARG_PRIMARY_USER_AGENT_STRING,
         {.string = (char *)(o->user_agent ? o->user_agent : "holdfast-client")}},
        {GRPC_ARG_STRING,
         (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
         {.string = (char *)o->server_name}},
    };
    size_t count = sizeof args / sizeof *args - (o->server_name ? 0 : 1);
    grpc_channel_args list = {.num_args = count, .args = args};
    return grpc_channel_create(o->address, creds, &list);
}

enum hf_status client_create(const struct client_options *o, struct client **out, char why[200])
{
    enum hf_status st = check_options(o, why);
    if (st != HF_OK)
        return st;
    struct client *c = calloc(1, sizeof *c);
    if (!c)
        return HF_NO_MEMORY;
    // What the library would print, a status says; GRPC_VERBOSITY asks for it all the same.
    if (!getenv("GRPC_VERBOSITY"))
        gpr_set_log_function(be_silent);
    grpc_init();
    grpc_channel_credentials *creds = make_credentials(o);
    if (!creds) {
        grpc_shutdown();
        free(c);
        return refuse(why, "the certificates are no PEM texts, or don't fit each other");
    }
    c->channel = make_channel(o, creds);
    grpc_channel_credentials_release(creds);
    c->queue = grpc_completion_queue_create_for_pluck(NULL);
    if (o->api_key)
        snprintf(c->authorization, sizeof c->authorization, "Bearer %s", o->api_key);
    c->options.call_ms = o->call_ms;
    c->options.tries = o->tries > 0 ? o->tries : 1;
    c->options.again = o->again;
    c->options.ctx = o->ctx;
    *out = c;
    return HF_OK;
}

void client_destroy(struct client *c)
{
    if (!c)
        return;
    grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->queue);
    while (grpc_completion_queue_pluck(c->queue, NULL, gpr_inf_future(GPR_CLOCK_REALTIME), NULL)
               .type != GRPC_QUEUE_SHUTDOWN)
        ;
    grpc_completion_queue_destroy(c->queue);
    grpc_shutdown_blocking();
    // Not left behind in memory that is given back.
    explicit_bzero(c->authorization, sizeof c->authorization);
    free(c);
}

// ------------------------------------------------------------------------------------ one call

static gpr_timespec after(uint32_t ms)
{
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
}

static grpc_byte_buffer *pack(const ProtobufCMessage *m)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

// NULL: no message of that type.
static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, grpc_byte_buffer *b)
{
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, b))
        return NULL;
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(all), GRPC_SLICE_START_PTR(all));
    grpc_slice_unref(all);
    grpc_byte_buffer_reader_destroy(&reader);
    return m;
}

static void run_batch(struct client_stream *s, const grpc_op *ops, size_t count, void *tag)
{
    HF_ASSERT(grpc_call_start_batch(s->call, ops, count, tag, NULL) == GRPC_CALL_OK);
    grpc_completion_queue_pluck(s->client->queue, tag, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
}

// Sends the request; what goes wrong with it shows in the status.
static void call_start(struct client_stream *s, const ProtobufCServiceDescriptor *service,
                       const char *method, const ProtobufCMessage *request, gpr_timespec deadline)
{
    const ProtobufCMethodDescriptor *m =
        protobuf_c_service_descriptor_get_method_by_name(service, method);
    HF_ASSERT(m && m->input == request->descriptor);
    s->output = m->output;
    grpc_metadata_array_init(&s->initial);
    grpc_metadata_array_init(&s->trailing);
    char path[METHOD_BYTES];
    int n = snprintf(path, sizeof path, "/%s/%s", service->name, method);
    HF_ASSERT(n > 0 && (size_t)n < sizeof path);
    grpc_slice name = grpc_slice_from_copied_string(path);
    s->call = grpc_channel_create_call(s->client->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                       s->client->queue, name, NULL, deadline, NULL);
    grpc_slice_unref(name);
    grpc_metadata authorization = {.key = grpc_slice_from_static_string("authorization"),
                                   .value =
                                       grpc_slice_from_static_string(s->client->authorization)};
    grpc_byte_buffer *message = pack(request);
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
                      {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    ops[0].data.send_initial_metadata.metadata = &authorization;
    ops[0].data.send_initial_metadata.count = s->client->authorization[0] ? 1 : 0;
    ops[1].data.send_message.send_message = message;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    run_batch(s, ops, 4, &s->initial);
    grpc_byte_buffer_destroy(message);
}

static void call_status(struct client_stream *s, struct client_status *status)
{
    grpc_status_code code = GRPC_STATUS_UNKNOWN;
    grpc_slice text = grpc_empty_slice();
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &s->trailing;
    op.data.recv_status_on_client.status = &code;
    op.data.recv_status_on_client.status_details = &text;
    run_batch(s, &op, 1, &s->trailing);
    client_status_fill(status, code, text, &s->trailing);
    grpc_slice_unref(text);
    s->over = true;
}

// The next message; NULL when the call is over or its message makes no sense, `status` is filled.
static ProtobufCMessage *call_receive(struct client_stream *s, struct client_status *status)
{
    grpc_byte_buffer *bytes = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &bytes;
    run_batch(s, &op, 1, s);
    if (!bytes) {
        call_status(s, status);
        return NULL;
    }
    ProtobufCMessage *m = unpack(s->output, bytes);
    grpc_byte_buffer_destroy(bytes);
    if (m)
        return m;
    grpc_call_cancel(s->call, NULL);
    call_status(s, status);
    status->code = RPC_INTERNAL;
    snprintf(status->message, sizeof status->message, "the answer is no %s", s->output->name);
    return NULL;
}

static void call_end(struct client_stream *s)
{
    struct client_status unread = {0};
    if (!s->over) {
        grpc_call_cancel(s->call, NULL);
        call_status(s, &unread);
    }
    grpc_call_unref(s->call);
    grpc_metadata_array_destroy(&s->initial);
    grpc_metadata_array_destroy(&s->trailing);
}

// ------------------------------------------------------------------------------------ unary

static bool try_once(struct client *c, const ProtobufCServiceDescriptor *service,
                     const char *method, const ProtobufCMessage *request, gpr_timespec deadline,
                     ProtobufCMessage **reply, struct client_status *status)
{
    struct client_stream s = {.client = c};
    call_start(&s, service, method, request, deadline);
    *reply = call_receive(&s, status);
    if (*reply)
        call_status(&s, status); // a reply counts only with the status that follows it
    else if (status->code == RPC_OK) {
        status->code = RPC_INTERNAL;
        snprintf(status->message, sizeof status->message, "no answer came with the status OK");
    }
    call_end(&s);
    if (*reply && status->code != RPC_OK) {
        protobuf_c_message_free_unpacked(*reply, NULL);
        *reply = NULL;
    }
    return *reply != NULL;
}

// Doubles with each try, at least what the server asked for, and spread by up to a half so that
// clients that were refused together don't come back together.
static uint32_t wait_for(uint32_t tries, uint32_t asked_ms)
{
    uint32_t wait = WAIT_FIRST_MS << (tries < 8 ? tries - 1 : 7);
    if (wait > WAIT_MOST_MS)
        wait = WAIT_MOST_MS;
    if (wait < asked_ms)
        wait = asked_ms;
    uint32_t spread = wait / 2 + 1;
    return wait + (uint32_t)gpr_now(GPR_CLOCK_MONOTONIC).tv_nsec / 1000 % spread;
}

bool client_call(struct client *c, const ProtobufCServiceDescriptor *service, const char *method,
                 const ProtobufCMessage *request, ProtobufCMessage **reply,
                 struct client_status *status)
{
    gpr_timespec deadline = after(c->options.call_ms);
    status->tries = 0;
    for (;;) {
        status->tries++;
        if (try_once(c, service, method, request, deadline, reply, status))
            return true;
        if (!client_code_again(status->code) || status->tries >= c->options.tries)
            return false;
        uint32_t wait = wait_for(status->tries, status->retry_ms);
        if (gpr_time_cmp(after(wait), deadline) >= 0)
            return false; // the reason to wait tells more than a deadline would
        if (c->options.again)
            c->options.again(c->options.ctx, status, wait);
        client_pause(wait);
    }
}

void client_pause(uint32_t ms)
{
    gpr_sleep_until(after(ms));
}

// ------------------------------------------------------------------------------------ streams

struct client_stream *client_stream_open(struct client *c,
                                         const ProtobufCServiceDescriptor *service,
                                         const char *method, const ProtobufCMessage *request,
                                         uint32_t stream_ms)
{
    struct client_stream *s = gpr_zalloc(sizeof *s); // ends the process when there is no memory
    s->client = c;
    gpr_timespec deadline = stream_ms > 0 ? after(stream_ms) : gpr_inf_future(GPR_CLOCK_MONOTONIC);
    call_start(s, service, method, request, deadline);
    return s;
}

bool client_stream_next(struct client_stream *s, ProtobufCMessage **reply,
                        struct client_status *status)
{
    *reply = NULL;
    status->tries = 1;
    if (s->over) {
        *status = (struct client_status){.code = RPC_CANCELLED, .tries = 1};
        return false;
    }
    *reply = call_receive(s, status);
    return *reply != NULL;
}

void client_stream_close(struct client_stream *s)
{
    if (!s)
        return;
    call_end(s);
    gpr_free(s);
}
