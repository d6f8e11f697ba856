// Sessions and handles over gRPC's C core. Opening a session and closing others are looked at
// without waiting, so that frames go on meanwhile. A call's own address is its tag on the queue:
// whoever looks for one call notes what else has ended.
#include "packet_client/packet_client.h"

#include "holdfast/v1/packet.pb-c.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_MS_DEFAULT   2000
#define CLOSE_MS          200 // at the end: a session that is not closed expires
#define CLOSINGS_MAX      16
#define RECONNECT_MS_MIN  50
#define RECONNECT_MS_MAX  1000
#define MESSAGE_BYTES_MAX (16 << 20)
#define NAMES_A_CALL      1000
#define PACKAGE           "/holdfast.v1.PacketService/"

struct call {
    grpc_call *call; // NULL: none
    bool over;       // as the queue told
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code status;
    grpc_slice details;
};

struct control {
    struct packet_control ops; // first
    grpc_completion_queue *cq;
    grpc_channel *channel;
    grpc_metadata metadata[1];
    size_t metadata_count;
    uint32_t call_ms, life_ms, items_per_second;
    char channel_name[64], door[64];
    struct call opening, handles, closings[CLOSINGS_MAX];
};

// ------------------------------------------------------------------------------- calls

static grpc_byte_buffer *packed(const ProtobufCMessage *m)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

static void call_begin(struct control *c, struct call *l, const char *path,
                       const ProtobufCMessage *request, uint32_t ms)
{
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(ms, GPR_TIMESPAN));
    grpc_slice name = grpc_slice_from_static_string(path);
    *l = (struct call){.request = packed(request), .details = grpc_empty_slice()};
    l->call = grpc_channel_create_call(c->channel, NULL, 0, c->cq, name, NULL, deadline, NULL);
    grpc_metadata_array_init(&l->initial);
    grpc_metadata_array_init(&l->trailing);
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
    ops[0].data.send_initial_metadata.count = c->metadata_count;
    ops[0].data.send_initial_metadata.metadata = c->metadata;
    ops[1].data.send_message.send_message = l->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &l->initial;
    ops[4].data.recv_message.recv_message = &l->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &l->trailing;
    ops[5].data.recv_status_on_client.status = &l->status;
    ops[5].data.recv_status_on_client.status_details = &l->details;
    if (grpc_call_start_batch(l->call, ops, 6, l, NULL) != GRPC_CALL_OK)
        abort(); // only a batch of a wrong form is refused
}

// True: a call has ended, and says so.
static bool calls_look(struct control *c, gpr_timespec until)
{
    grpc_event e = grpc_completion_queue_next(c->cq, until, NULL);
    if (e.type == GRPC_OP_COMPLETE)
        ((struct call *)e.tag)->over = true;
    return e.type == GRPC_OP_COMPLETE;
}

// Frees the call. The reply of an OK one, if it reads; else NULL, and `why` says what.
static ProtobufCMessage *call_end(struct call *l, const ProtobufCMessageDescriptor *type,
                                  char why[PACKET_CLIENT_WHY])
{
    grpc_byte_buffer_reader reader;
    ProtobufCMessage *reply = NULL;
    if (l->status == GRPC_STATUS_OK && l->response &&
        grpc_byte_buffer_reader_init(&reader, l->response)) {
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        reply = protobuf_c_message_unpack(type, NULL, GRPC_SLICE_LENGTH(all),
                                          GRPC_SLICE_START_PTR(all));
        memset(GRPC_SLICE_START_PTR(all), 0, GRPC_SLICE_LENGTH(all)); // a key may be in it
        grpc_slice_unref(all);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    if (!reply && l->status == GRPC_STATUS_OK)
        snprintf(why, PACKET_CLIENT_WHY, "the server's answer does not read");
    else if (!reply)
        snprintf(why, PACKET_CLIENT_WHY, "status %d: %.*s", (int)l->status,
                 (int)(GRPC_SLICE_LENGTH(l->details) < 150 ? GRPC_SLICE_LENGTH(l->details) : 150),
                 (const char *)GRPC_SLICE_START_PTR(l->details));
    grpc_byte_buffer_destroy(l->request);
    if (l->response)
        grpc_byte_buffer_destroy(l->response);
    grpc_metadata_array_destroy(&l->initial);
    grpc_metadata_array_destroy(&l->trailing);
    grpc_slice_unref(l->details);
    grpc_call_unref(l->call);
    *l = (struct call){0};
    return reply;
}

// Cancelled if it is still under way, and freed. The reply of one that had ended well.
static ProtobufCMessage *call_drop(struct control *c, struct call *l,
                                   const ProtobufCMessageDescriptor *type)
{
    char why[PACKET_CLIENT_WHY];
    if (!l->call)
        return NULL;
    grpc_call_cancel(l->call, NULL);
    while (!l->over)
        calls_look(c, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    return call_end(l, type, why);
}

// ------------------------------------------------------------------------------- sessions

static void control_open(struct packet_control *p)
{
    struct control *c = (struct control *)p;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    r.channel = c->channel_name;
    r.life_ms = c->life_ms;
    r.items_per_second = c->items_per_second;
    call_begin(c, &c->opening, PACKAGE "OpenSession", &r.base, c->call_ms);
}

// More of them than there are places for expire.
static void control_close(struct packet_control *p, uint32_t session)
{
    struct control *c = (struct control *)p;
    Holdfast__V1__CloseSessionRequest r = HOLDFAST__V1__CLOSE_SESSION_REQUEST__INIT;
    r.session_id = session;
    for (uint32_t i = 0; i < CLOSINGS_MAX; i++)
        if (!c->closings[i].call) {
            call_begin(c, &c->closings[i], PACKAGE "CloseSession", &r.base, c->call_ms);
            return;
        }
}

// Frees those that have ended. True: others are under way.
static bool closings_look(struct control *c)
{
    bool more = false;
    char why[PACKET_CLIENT_WHY];
    for (uint32_t i = 0; i < CLOSINGS_MAX; i++) {
        struct call *l = &c->closings[i];
        more = more || (l->call && !l->over);
        ProtobufCMessage *m =
            l->over ? call_end(l, &holdfast__v1__close_session_response__descriptor, why) : NULL;
        if (m)
            protobuf_c_message_free_unpacked(m, NULL);
    }
    return more;
}

static const Holdfast__V1__PacketDoor *door_of(const struct control *c,
                                               const Holdfast__V1__OpenSessionResponse *r)
{
    for (size_t i = 0; i < r->n_doors; i++)
        if (!c->door[0] || strcmp(c->door, r->doors[i]->address) == 0)
            return r->doors[i];
    return NULL;
}

// False: `why` says what can't be.
static bool grant_read(const struct control *c, const Holdfast__V1__OpenSessionResponse *r,
                       struct packet_grant *g, char why[PACKET_CLIENT_WHY])
{
    const Holdfast__V1__PacketDoor *door = door_of(c, r);
    if (!door || strlen(door->address) >= sizeof g->door || door->port < 1 || door->port > 65535)
        snprintf(why, PACKET_CLIENT_WHY, "the server has no such door%s%.60s",
                 c->door[0] ? ": " : "", c->door);
    else if (r->session_id == 0 || (r->tagged && r->key.len != PACKET_KEY_BYTES) ||
             r->frame_bytes_max < PACKET_HEADER_BYTES + PACKET_ITEM_BYTES || r->window_frames < 2 ||
             r->expires_in_ms < 1)
        snprintf(why, PACKET_CLIENT_WHY, "the server's session is of no use");
    else
        why[0] = '\0';
    if (why[0])
        return false;
    *g = (struct packet_grant){.session = r->session_id,
                               .tagged = r->tagged,
                               .generation = r->generation,
                               .life_ms = (uint64_t)r->expires_in_ms,
                               .frame_bytes_max = r->frame_bytes_max,
                               .items_per_second = r->items_per_second,
                               .window_frames = r->window_frames,
                               .port = (uint16_t)door->port};
    if (r->tagged)
        memcpy(g->key, r->key.data, PACKET_KEY_BYTES);
    for (size_t i = 0; i < r->n_kinds; i++)
        g->kinds |= r->kinds[i] < 32 ? 1u << r->kinds[i] : 0;
    snprintf(g->door, sizeof g->door, "%s", door->address);
    return true;
}

// What a status says of asking again.
static enum packet_control_step step_of(grpc_status_code code)
{
    switch (code) {
    case GRPC_STATUS_INVALID_ARGUMENT:
    case GRPC_STATUS_PERMISSION_DENIED:
    case GRPC_STATUS_UNAUTHENTICATED:
    case GRPC_STATUS_FAILED_PRECONDITION:
    case GRPC_STATUS_UNIMPLEMENTED:
        return PACKET_CONTROL_REFUSED;
    default:
        return PACKET_CONTROL_AWAY;
    }
}

static enum packet_control_step opened(struct control *c, Holdfast__V1__OpenSessionResponse *r,
                                       struct packet_grant *grant, char why[PACKET_CLIENT_WHY])
{
    bool good = grant_read(c, r, grant, why);
    if (!good && r->session_id)
        control_close(&c->ops, r->session_id);
    if (r->key.len)
        explicit_bzero(r->key.data, r->key.len);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return good ? PACKET_CONTROL_OPENED : PACKET_CONTROL_REFUSED;
}

static enum packet_control_step control_step(struct packet_control *p, struct packet_grant *grant,
                                             char why[PACKET_CLIENT_WHY])
{
    struct control *c = (struct control *)p;
    while (calls_look(c, gpr_inf_past(GPR_CLOCK_MONOTONIC)))
        continue;
    bool closing = closings_look(c);
    if (!c->opening.over)
        return c->opening.call || closing ? PACKET_CONTROL_WAITING : PACKET_CONTROL_IDLE;
    grpc_status_code code = c->opening.status;
    ProtobufCMessage *m =
        call_end(&c->opening, &holdfast__v1__open_session_response__descriptor, why);
    return m ? opened(c, (void *)m, grant, why) : step_of(code);
}

// ------------------------------------------------------------------------------- handles

static ProtobufCMessage *handles_call(struct control *c, const Holdfast__V1__GetHandlesRequest *r,
                                      char why[PACKET_CLIENT_WHY])
{
    call_begin(c, &c->handles, PACKAGE "GetHandles", &r->base, c->call_ms);
    while (!c->handles.over) // the deadline ends it
        calls_look(c, gpr_inf_future(GPR_CLOCK_MONOTONIC));
    return call_end(&c->handles, &holdfast__v1__get_handles_response__descriptor, why);
}

static bool handles_page(struct control *c, struct packet_name *names, size_t count,
                         uint64_t *generation, char why[PACKET_CLIENT_WHY])
{
    Holdfast__V1__GetHandlesRequest r = HOLDFAST__V1__GET_HANDLES_REQUEST__INIT;
    Holdfast__V1__StockName *stock = calloc(count, sizeof *stock);
    Holdfast__V1__StockName **list = calloc(count, sizeof *list);
    ProtobufCMessage *m = NULL;
    snprintf(why, PACKET_CLIENT_WHY, "no memory");
    for (size_t i = 0; stock && list && i < count; i++) {
        holdfast__v1__stock_name__init(&stock[i]);
        stock[i].sku = (char *)(uintptr_t)names[i].sku;
        stock[i].location = (char *)(uintptr_t)names[i].location;
        list[i] = &stock[i];
    }
    r.stock = list;
    r.n_stock = count;
    if (stock && list)
        m = handles_call(c, &r, why);
    free(stock);
    free(list);
    if (!m)
        return false;
    const Holdfast__V1__GetHandlesResponse *a = (const void *)m;
    bool good = a->n_results == count;
    *generation = a->generation;
    for (size_t i = 0; good && i < count; i++) {
        names[i].handle = PACKET_HANDLE_NONE;
        if (a->results[i]->result_case != HOLDFAST__V1__HANDLE_RESULT__RESULT_HANDLE)
            continue;
        names[i].handle = a->results[i]->handle->handle;
        names[i].unit_scale = (uint8_t)a->results[i]->handle->unit_scale;
        names[i].active = a->results[i]->handle->active;
    }
    protobuf_c_message_free_unpacked(m, NULL);
    snprintf(why, PACKET_CLIENT_WHY, "%s", good ? "" : "the server's answer does not fit");
    return good;
}

bool packet_control_handles(struct packet_control *p, struct packet_name *names, size_t count,
                            uint64_t *generation, char why[PACKET_CLIENT_WHY])
{
    struct control *c = (struct control *)p;
    uint64_t first = 0;
    for (size_t at = 0; at < count; at += NAMES_A_CALL) {
        size_t some = count - at < NAMES_A_CALL ? count - at : NAMES_A_CALL;
        if (!handles_page(c, &names[at], some, generation, why))
            return false;
        if (at && *generation != first) {
            snprintf(why, PACKET_CLIENT_WHY, "the directory has changed meanwhile: ask again");
            return false;
        }
        first = *generation;
    }
    why[0] = '\0';
    return true;
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

static const char *options_bad(const struct packet_control_options *o)
{
    if (!o->address)
        return "an address is needed";
    if (!o->tls && !o->clear_anywhere && !address_local(o->address))
        return "this address is beyond the machine: session keys need TLS";
    if (!o->cert_pem != !o->key_pem)
        return "a client certificate and its key come together";
    if ((o->channel && strlen(o->channel) > 32) || (o->door && strlen(o->door) > 63))
        return "the channel or the door is too long";
    return NULL;
}

static grpc_channel *channel_make(const struct packet_control_options *o)
{
    grpc_ssl_pem_key_cert_pair pair = {o->key_pem, o->cert_pem};
    grpc_channel_credentials *creds =
        o->tls ? grpc_ssl_credentials_create_ex(o->ca_pem, o->cert_pem ? &pair : NULL, NULL, NULL)
               : grpc_insecure_credentials_create();
    if (!creds)
        return NULL;
    const struct {
        const char *key;
        int value;
    } numbers[] = {{GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, MESSAGE_BYTES_MAX},
                   {GRPC_ARG_ENABLE_RETRIES, 0},
                   {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_MS_MIN},
                   {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, RECONNECT_MS_MIN},
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
    grpc_channel *channel = grpc_channel_create(o->address, creds, &all);
    grpc_channel_credentials_release(creds);
    return channel;
}

// What was opened and not told yet is closed too; for CLOSE_MS in all.
static void sessions_leave(struct control *c)
{
    gpr_timespec until =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(CLOSE_MS, GPR_TIMESPAN));
    ProtobufCMessage *m =
        call_drop(c, &c->opening, &holdfast__v1__open_session_response__descriptor);
    if (m) {
        control_close(&c->ops, ((Holdfast__V1__OpenSessionResponse *)m)->session_id);
        protobuf_c_message_free_unpacked(m, NULL);
    }
    while (closings_look(c) && calls_look(c, until))
        continue;
    for (uint32_t i = 0; i < CLOSINGS_MAX; i++) {
        m = call_drop(c, &c->closings[i], &holdfast__v1__close_session_response__descriptor);
        if (m)
            protobuf_c_message_free_unpacked(m, NULL);
    }
}

static void control_destroy(struct packet_control *p)
{
    struct control *c = (struct control *)p;
    sessions_leave(c);
    if (c->channel)
        grpc_channel_destroy(c->channel);
    grpc_completion_queue_shutdown(c->cq);
    while (grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(c->cq);
    if (c->metadata_count)
        grpc_slice_unref(c->metadata[0].value);
    grpc_shutdown();
    free(c);
}

struct packet_control *packet_control_grpc(const struct packet_control_options *o,
                                           char why[PACKET_CLIENT_WHY])
{
    const char *bad = options_bad(o);
    struct control *c = bad ? NULL : calloc(1, sizeof *c);
    snprintf(why, PACKET_CLIENT_WHY, "%s", bad ? bad : c ? "" : "no memory");
    if (!c)
        return NULL;
    grpc_init();
    c->ops = (struct packet_control){.open = control_open,
                                     .step = control_step,
                                     .close = control_close,
                                     .destroy = control_destroy};
    c->call_ms = o->call_ms ? o->call_ms : CALL_MS_DEFAULT;
    c->life_ms = o->life_ms;
    c->items_per_second = o->items_per_second;
    snprintf(c->channel_name, sizeof c->channel_name, "%s", o->channel ? o->channel : "");
    snprintf(c->door, sizeof c->door, "%s", o->door ? o->door : "");
    c->cq = grpc_completion_queue_create_for_next(NULL);
    if (o->api_key) {
        char value[600];
        snprintf(value, sizeof value, "Bearer %.580s", o->api_key);
        c->metadata[0] = (grpc_metadata){.key = grpc_slice_from_static_string("authorization"),
                                         .value = grpc_slice_from_copied_string(value)};
        c->metadata_count = 1;
    }
    c->channel = channel_make(o);
    if (!c->channel) {
        snprintf(why, PACKET_CLIENT_WHY, "the certificates cannot be used");
        control_destroy(&c->ops);
        return NULL;
    }
    return &c->ops;
}
