#include "peer.h"

#include "base/hash.h"
#include "base/histogram.h"
#include "base/uuid.h"
#include "rig.h"
#include "sys/clock.h"

#include "holdfast/v1/reservation.pb-c.h"

#include <fcntl.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// ------------------------------------------------------------------------------- the server

enum hf_status peer_start(struct peer_server *s, const char *folder, uint32_t cells)
{
    char path[512], count[16];
    int to[2], from[2];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 40);
    if (n <= 0 || pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        return HF_IO;
    path[n] = 0;
    snprintf(strrchr(path, '/') + 1, 30, "holdfast-bench-server");
    snprintf(count, sizeof count, "%u", cells);
    s->pid = fork();
    if (s->pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        if (folder)
            execl(path, path, "engine", folder, count, (char *)NULL);
        else
            execl(path, path, "echo", (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    s->to = to[1];
    FILE *f = fdopen(from[0], "r");
    unsigned long long generation = 0;
    bool good = f && fscanf(f, "%d %llu", &s->port, &generation) == 2;
    s->generation = generation;
    if (f)
        fclose(f);
    return good ? HF_OK : HF_IO;
}

void peer_stop(struct peer_server *s)
{
    if (s->pid <= 0)
        return;
    close(s->to);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

uint64_t peer_cpu_ns(const struct peer_server *s)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(s->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return 0;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

// ------------------------------------------------------------------------------- requests

struct client {
    const struct peer_load *load;
    struct peer_result *result;
    grpc_completion_queue *cq;
    grpc_channel *channels[PEER_CONNECTIONS];
    void *registered[PEER_CONNECTIONS];
    struct hf_histogram latency;
    uint64_t random, end_ns;
    uint32_t open;       // calls or streams that have not ended
    unsigned char *form; // a stream's message, each operation form_bytes long
    size_t form_bytes, id_at, handle_at;
    bool stopping;
};

struct slot {
    struct client *client;
    grpc_call *call;
    uint32_t connection;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *request, *response;
    grpc_status_code status;
    grpc_slice details;
    uint64_t sent_ns;
    // Streams: a message in each direction at a time, tags of their own.
    enum { UNARY, STREAM_START, STREAM_SEND, STREAM_RECEIVE, STREAM_END } kind;
    struct slot *main;
};

static uint64_t random_next(struct client *c)
{
    return hf_mix64(++c->random);
}

static size_t reserve_fill(struct client *c, Holdfast__V1__ReserveRequest *r,
                           Holdfast__V1__Line *line, char id[HF_UUID_TEXT_BYTES])
{
    const struct peer_load *l = c->load;
    uint64_t now_ms = clock_wall_ms(clock_os()), x = random_next(c);
    holdfast__v1__line__init(line);
    line->handle = (uint32_t)(((x >> 32) * l->cells) >> 32);
    line->generation = l->server->generation;
    line->quantity = 1;
    holdfast__v1__reserve_request__init(r);
    hf_uuid_format(hf_uuid_v7(now_ms, x, random_next(c)), id);
    r->reservation_id = id;
    r->n_lines = 1;
    r->ttl_ms = l->ttl_ms;
    return 1;
}

static grpc_byte_buffer *packed(const ProtobufCMessage *m)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

static grpc_byte_buffer *unary_request(struct client *c)
{
    Holdfast__V1__ReserveRequest r;
    Holdfast__V1__Line line, *lines[1] = {&line};
    char id[HF_UUID_TEXT_BYTES];
    if (c->load->cells == 0)
        return grpc_raw_byte_buffer_create(NULL, 0);
    reserve_fill(c, &r, &line, id);
    r.lines = lines;
    return packed(&r.base);
}

// A load generator must not be what is measured: every operation has the same form, so a message is
// packed once, and only its ids and handles are written anew.
#define HANDLE_WIDEST 0xfffffffu // four bytes of a varint; a smaller one is padded to them
#define CORRELATION   1000       // two bytes of a varint, from here on

static void form_make(struct client *c)
{
    const uint32_t batch = c->load->batch;
    Holdfast__V1__ReserveRequest r;
    Holdfast__V1__Line line, *lines[1] = {&line};
    Holdfast__V1__StreamOperation op = HOLDFAST__V1__STREAM_OPERATION__INIT, *ops[1] = {&op};
    Holdfast__V1__ReserveStreamRequest m = HOLDFAST__V1__RESERVE_STREAM_REQUEST__INIT;
    char id[HF_UUID_TEXT_BYTES];
    reserve_fill(c, &r, &line, id);
    line.handle = HANDLE_WIDEST;
    r.lines = lines;
    op.operation_case = HOLDFAST__V1__STREAM_OPERATION__OPERATION_RESERVE;
    op.reserve = &r;
    m.operations = ops;
    m.n_operations = 1;
    op.correlation_id = CORRELATION;
    c->form_bytes = holdfast__v1__reserve_stream_request__get_packed_size(&m);
    c->form = calloc(batch, c->form_bytes);
    for (uint32_t i = 0; c->form && i < batch; i++) {
        op.correlation_id = CORRELATION + i;
        holdfast__v1__reserve_stream_request__pack(&m, c->form + i * c->form_bytes);
    }
    static const unsigned char widest[] = {0x18, 0xff, 0xff, 0xff, 0x7f};
    if (c->form) {
        c->id_at = (size_t)((unsigned char *)memmem(c->form, c->form_bytes, id, 36) - c->form);
        c->handle_at =
            1 + (size_t)((unsigned char *)memmem(c->form, c->form_bytes, widest, sizeof widest) -
                         c->form);
    }
}

static grpc_byte_buffer *stream_request(struct client *c)
{
    const struct peer_load *l = c->load;
    uint64_t now_ms = clock_wall_ms(clock_os());
    grpc_slice slice = grpc_slice_malloc(c->form_bytes * l->batch);
    unsigned char *at = GRPC_SLICE_START_PTR(slice);
    memcpy(at, c->form, c->form_bytes * l->batch);
    for (uint32_t i = 0; i < l->batch; i++, at += c->form_bytes) {
        char id[HF_UUID_TEXT_BYTES];
        uint64_t x = random_next(c);
        uint32_t handle = (uint32_t)(((x >> 32) * l->cells) >> 32);
        hf_uuid_format(hf_uuid_v7(now_ms, x, random_next(c)), id);
        memcpy(at + c->id_at, id, 36);
        for (int k = 0; k < 4; k++, handle >>= 7)
            at[c->handle_at + (size_t)k] = (unsigned char)((handle & 0x7f) | (k < 3 ? 0x80 : 0));
    }
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

// ------------------------------------------------------------------------------- unary

static bool goes_on(struct client *c)
{
    if (!c->stopping && rig_ns() >= c->end_ns)
        c->stopping = true;
    return !c->stopping;
}

static void unary_start(struct slot *s)
{
    struct client *c = s->client;
    s->call = grpc_channel_create_registered_call(c->channels[s->connection], NULL, 0, c->cq,
                                                  c->registered[s->connection],
                                                  gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    s->request = unary_request(c);
    s->response = NULL;
    s->initial.count = s->trailing.count = 0;
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT}};
    ops[1].data.send_message.send_message = s->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &s->initial;
    ops[4].data.recv_message.recv_message = &s->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &s->trailing;
    ops[5].data.recv_status_on_client.status = &s->status;
    ops[5].data.recv_status_on_client.status_details = &s->details;
    s->sent_ns = rig_ns();
    grpc_call_start_batch(s->call, ops, 6, s, NULL);
    c->open++;
}

static bool decided(grpc_byte_buffer *b)
{
    grpc_byte_buffer_reader reader;
    if (!b || !grpc_byte_buffer_reader_init(&reader, b))
        return false;
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    Holdfast__V1__ReserveResponse *r = holdfast__v1__reserve_response__unpack(
        NULL, GRPC_SLICE_LENGTH(slice), GRPC_SLICE_START_PTR(slice));
    bool good = r && r->decision && r->decision->outcome == HOLDFAST__V1__OUTCOME__OUTCOME_DONE &&
                r->decision->durable;
    if (r)
        holdfast__v1__reserve_response__free_unpacked(r, NULL);
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    return good;
}

static void unary_event(struct slot *s)
{
    struct client *c = s->client;
    hf_histogram_record(&c->latency, rig_ns() - s->sent_ns);
    bool good = s->status == GRPC_STATUS_OK && (c->load->cells == 0 || decided(s->response));
    c->result->done += good;
    c->result->failed += !good;
    grpc_call_unref(s->call);
    grpc_slice_unref(s->details);
    grpc_byte_buffer_destroy(s->request);
    if (s->response)
        grpc_byte_buffer_destroy(s->response);
    c->open--;
    if (goes_on(c))
        unary_start(s);
}

// ------------------------------------------------------------------------------- streams

static void stream_op(struct slot *s, const grpc_op *op)
{
    grpc_call_start_batch(s->main->call, op, 1, s, NULL);
    s->client->open++;
}

static void stream_send(struct slot *s)
{
    grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
    s->request = stream_request(s->client);
    op.data.send_message.send_message = s->request;
    stream_op(s, &op);
}

static void stream_receive(struct slot *s)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &s->response;
    stream_op(s, &op);
}

static uint64_t varint(const unsigned char **at, const unsigned char *end)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char b = *(*at)++;
        value |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            break;
    }
    return value;
}

// The values of fields 1 to 15 that are varints; where a message or text begins, and its length.
static void fields_read(const unsigned char *at, const unsigned char *end, uint64_t numbers[16],
                        const unsigned char *texts[16])
{
    while (at < end) {
        uint64_t key = varint(&at, end), value = varint(&at, end);
        unsigned field = (unsigned)(key >> 3) & 15;
        numbers[field] = value;
        texts[field] = at;
        if ((key & 7) == 2)
            at += value;
    }
}

// How many of a batch were decided and are durable: results[].decision.{outcome, durable}.
static uint32_t stream_count(grpc_byte_buffer *b)
{
    grpc_byte_buffer_reader reader;
    uint32_t good = 0;
    if (!grpc_byte_buffer_reader_init(&reader, b))
        return 0;
    grpc_slice slice = grpc_byte_buffer_reader_readall(&reader);
    const unsigned char *at = GRPC_SLICE_START_PTR(slice), *end = at + GRPC_SLICE_LENGTH(slice);
    while (at < end) {
        uint64_t key = varint(&at, end), bytes = varint(&at, end);
        uint64_t result[16] = {0}, decision[16] = {0};
        const unsigned char *texts[16] = {0}, *unused[16];
        if (key != 10 || bytes > (uint64_t)(end - at))
            break;
        fields_read(at, at + bytes, result, texts);
        if (texts[2])
            fields_read(texts[2], texts[2] + result[2], decision, unused);
        good += decision[1] == HOLDFAST__V1__OUTCOME__OUTCOME_DONE && decision[4] == 1;
        at += bytes;
    }
    grpc_slice_unref(slice);
    grpc_byte_buffer_reader_destroy(&reader);
    return good;
}

struct stream_client {
    struct slot start, send, receive, end;
    uint32_t waiting; // messages without their results
    bool sending, closing;
};

static void stream_go_on(struct stream_client *s)
{
    struct client *c = s->start.client;
    if (s->sending || s->closing)
        return;
    if (goes_on(c) && s->waiting < c->load->outstanding) {
        s->sending = true;
        s->waiting++;
        stream_send(&s->send);
    } else if (c->stopping && s->waiting == 0) {
        grpc_op op = {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT};
        s->closing = true;
        stream_op(&s->send, &op);
    }
}

static void stream_event(struct slot *slot, bool ok)
{
    struct stream_client *s = (struct stream_client *)(void *)slot->main;
    struct client *c = slot->client;
    c->open--;
    if (slot->kind == STREAM_SEND && slot->request) {
        grpc_byte_buffer_destroy(slot->request);
        slot->request = NULL;
        s->sending = false;
    } else if (slot->kind == STREAM_RECEIVE && ok && slot->response) {
        uint32_t good = stream_count(slot->response);
        grpc_byte_buffer_destroy(slot->response);
        slot->response = NULL;
        c->result->done += good;
        c->result->failed += c->load->batch - good;
        s->waiting--;
        stream_receive(slot);
    } else if (slot->kind == STREAM_END) {
        c->stopping = true;
        grpc_slice_unref(slot->details);
        return;
    }
    stream_go_on(s);
}

static void stream_start(struct client *c, struct stream_client *s, uint32_t connection)
{
    struct slot *all[4] = {&s->start, &s->send, &s->receive, &s->end};
    for (int i = 0; i < 4; i++) {
        all[i]->client = c;
        all[i]->main = &s->start;
        all[i]->kind = (int)STREAM_START + i;
    }
    s->start.call = grpc_channel_create_registered_call(c->channels[connection], NULL, 0, c->cq,
                                                        c->registered[connection],
                                                        gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_op open[2] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                       {.op = GRPC_OP_RECV_INITIAL_METADATA}};
    open[1].data.recv_initial_metadata.recv_initial_metadata = &s->start.initial;
    grpc_call_start_batch(s->start.call, open, 2, &s->start, NULL);
    c->open++;
    grpc_op end = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    end.data.recv_status_on_client.trailing_metadata = &s->end.trailing;
    end.data.recv_status_on_client.status = &s->end.status;
    end.data.recv_status_on_client.status_details = &s->end.details;
    stream_op(&s->end, &end);
    stream_receive(&s->receive);
}

// ------------------------------------------------------------------------------- a run

static void client_open(struct client *c)
{
    char target[64];
    const char *method =
        c->load->method ? c->load->method : "/holdfast.v1.ReservationService/ReserveStream";
    snprintf(target, sizeof target, "127.0.0.1:%d", c->load->server->port);
    grpc_init();
    c->cq = grpc_completion_queue_create_for_next(NULL);
    for (int i = 0; i < PEER_CONNECTIONS; i++) {
        // A pool of its own each, else they would share one connection.
        grpc_arg args[] = {{.type = GRPC_ARG_INTEGER,
                            .key = GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL,
                            .value.integer = 1},
                           {.type = GRPC_ARG_INTEGER,
                            .key = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
                            .value.integer = 64 << 20},
                           {.type = GRPC_ARG_INTEGER,
                            .key = GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION,
                            .value.integer = 0}};
        grpc_channel_args all = {3, args};
        c->channels[i] = grpc_channel_create(target, grpc_insecure_credentials_create(), &all);
        c->registered[i] = grpc_channel_register_call(c->channels[i], method, NULL, NULL);
    }
}

static void client_close(struct client *c)
{
    for (int i = 0; i < PEER_CONNECTIONS; i++)
        grpc_channel_destroy(c->channels[i]);
    grpc_completion_queue_shutdown(c->cq);
    while (grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
           GRPC_QUEUE_SHUTDOWN)
        continue;
    grpc_completion_queue_destroy(c->cq);
    grpc_shutdown();
}

static void client_drive(struct client *c)
{
    while (c->open) {
        grpc_event e = grpc_completion_queue_next(c->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct slot *s = e.tag;
        if (e.type != GRPC_OP_COMPLETE)
            continue;
        if (s->kind == UNARY)
            unary_event(s);
        else
            stream_event(s, e.success != 0);
    }
}

enum hf_status peer_run(const struct peer_load *l, struct peer_result *out)
{
    uint32_t count = l->method ? l->outstanding : PEER_CONNECTIONS;
    struct client *c = calloc(1, sizeof *c);
    struct slot *slots = calloc(count, sizeof *slots);
    struct stream_client *streams = calloc(count, sizeof *streams);
    *out = (struct peer_result){0};
    if (!c || !slots || !streams)
        return HF_NO_MEMORY;
    c->load = l;
    c->result = out;
    c->random = rig_ns();
    client_open(c);
    if (!l->method)
        form_make(c);
    uint64_t begin = rig_ns(), server = peer_cpu_ns(l->server), self = rig_self_cpu_ns();
    c->end_ns = begin + (uint64_t)(l->seconds * 1e9);
    for (uint32_t i = 0; i < count; i++) {
        if (l->method) {
            slots[i].client = c;
            slots[i].connection = i % PEER_CONNECTIONS;
            unary_start(&slots[i]);
        } else {
            stream_start(c, &streams[i], i);
        }
    }
    client_drive(c);
    out->wall_ns = rig_ns() - begin;
    out->server_cpu_ns = peer_cpu_ns(l->server) - server;
    out->client_cpu_ns = rig_self_cpu_ns() - self;
    out->p50_us = (double)hf_histogram_percentile(&c->latency, 500) / 1e3;
    out->p99_us = (double)hf_histogram_percentile(&c->latency, 990) / 1e3;
    for (uint32_t i = 0; i < count; i++)
        if (!l->method)
            grpc_call_unref(streams[i].start.call);
    client_close(c);
    free(c->form);
    free(streams);
    free(slots);
    free(c);
    return HF_OK;
}
