// A listener that is not there: what handlers answer is kept for the test to look at. Include in
// one file a program; it stands in for rpc/call.c and rpc/stream.c.
#ifndef HOLDFAST_TESTS_FAKE_RPC_H
#define HOLDFAST_TESTS_FAKE_RPC_H

#include "rpc/rpc.h"

#include <stdlib.h>
#include <string.h>

#define FAKE_SENT_MAX 64

struct fake_call {
    struct rpc_call pub; // first
    struct rpc_error error;
    bool ended, failed, receiving, expired, draining;
    unsigned wakes;     // asked for, not yet called
    unsigned malformed; // told by a raw method
    bool may_defer;     // there is room in the slow lane
    bool deferred;
    uint64_t ticket;      // of the reply, the largest of a stream's messages
    uint32_t sent, taken; // messages; those that the client has read
    size_t bytes[FAKE_SENT_MAX];
    unsigned char *packed[FAKE_SENT_MAX];
};

static inline void fake_call_init(struct fake_call *c, const struct auth_identity *who)
{
    memset(c, 0, sizeof *c);
    arena_init(&c->pub.arena, 64 << 20);
    c->pub.who = who;
}

static inline void fake_call_fini(struct fake_call *c)
{
    for (uint32_t i = c->taken; i < c->sent; i++)
        free(c->packed[i % FAKE_SENT_MAX]);
    arena_reset(&c->pub.arena);
}

// The request as the listener would hand it on: packed and unpacked.
static inline void fake_request(struct fake_call *c, const ProtobufCMessage *m)
{
    size_t bytes = protobuf_c_message_get_packed_size(m);
    unsigned char *packed = malloc(bytes + 1);
    protobuf_c_message_pack(m, packed);
    c->pub.request =
        protobuf_c_message_unpack(m->descriptor, &c->pub.arena.allocator, bytes, packed);
    free(packed);
    HF_ASSERT(c->pub.request);
}

static inline void fake_keep_packed(struct fake_call *c, const unsigned char *bytes, size_t count,
                                    uint64_t ticket)
{
    HF_ASSERT(c->sent - c->taken < FAKE_SENT_MAX && !c->ended);
    uint32_t at = c->sent++ % FAKE_SENT_MAX;
    c->bytes[at] = count;
    c->packed[at] = malloc(count + 1);
    memcpy(c->packed[at], bytes, count);
    c->ticket = ticket > c->ticket ? ticket : c->ticket;
}

static inline void fake_keep(struct fake_call *c, const ProtobufCMessage *m, uint64_t ticket)
{
    size_t count = protobuf_c_message_get_packed_size(m);
    unsigned char *packed = malloc(count + 1);
    protobuf_c_message_pack(m, packed);
    fake_keep_packed(c, packed, count, ticket);
    free(packed);
}

// The oldest message that was not taken; NULL: none. Freed by protobuf_c_message_free_unpacked.
static inline void *fake_take(struct fake_call *c, const ProtobufCMessageDescriptor *d)
{
    if (c->taken == c->sent)
        return NULL;
    uint32_t at = c->taken++ % FAKE_SENT_MAX;
    ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, c->bytes[at], c->packed[at]);
    free(c->packed[at]);
    HF_ASSERT(m);
    return m;
}

void rpc_reply(struct rpc_call *call, const ProtobufCMessage *message, uint64_t ticket)
{
    struct fake_call *c = (struct fake_call *)call;
    fake_keep(c, message, ticket);
    c->ended = true;
}
void rpc_reply_packed(struct rpc_call *call, const unsigned char *bytes, size_t count,
                      uint64_t ticket)
{
    struct fake_call *c = (struct fake_call *)call;
    fake_keep_packed(c, bytes, count, ticket);
    c->ended = true;
}
void rpc_fail(struct rpc_call *call, const struct rpc_error *error)
{
    struct fake_call *c = (struct fake_call *)call;
    HF_ASSERT(!c->ended);
    c->ended = c->failed = true;
    c->error = *error;
}
void rpc_fail_durable(struct rpc_call *call, const struct rpc_error *error, uint64_t ticket)
{
    rpc_fail(call, error);
    ((struct fake_call *)call)->ticket = ticket;
}
void rpc_send(struct rpc_call *call, const ProtobufCMessage *message, uint64_t ticket)
{
    fake_keep((struct fake_call *)call, message, ticket);
}
void rpc_send_packed(struct rpc_call *call, const unsigned char *bytes, size_t count,
                     uint64_t ticket)
{
    fake_keep_packed((struct fake_call *)call, bytes, count, ticket);
}
void rpc_malformed(struct rpc_call *call)
{
    ((struct fake_call *)call)->malformed++;
}
void rpc_finish(struct rpc_call *call, const struct rpc_error *error)
{
    struct fake_call *c = (struct fake_call *)call;
    if (error)
        rpc_fail(call, error);
    c->ended = true;
}
void rpc_receive(struct rpc_call *call)
{
    ((struct fake_call *)call)->receiving = true;
}
void rpc_wake(struct rpc_call *call)
{
    ((struct fake_call *)call)->wakes++;
}
bool rpc_draining(const struct rpc_call *call)
{
    return ((const struct fake_call *)call)->draining;
}
bool rpc_expired(const struct rpc_call *call)
{
    return ((const struct fake_call *)call)->expired;
}
bool rpc_given_up(const struct rpc_call *call, struct rpc_error *error)
{
    *error = (struct rpc_error){.code = RPC_DEADLINE_EXCEEDED, .message = "given up"};
    return rpc_expired(call);
}
bool rpc_defer(struct rpc_call *call)
{
    struct fake_call *c = (struct fake_call *)call;
    c->deferred = c->may_defer;
    return c->may_defer;
}
struct rpc_error rpc_invalid(const char *field, const char *message)
{
    struct rpc_error e = {.code = RPC_INVALID_ARGUMENT, .message = message};
    size_t bytes = strlen(field);
    HF_ASSERT(bytes < sizeof e.field);
    memcpy(e.field, field, bytes);
    return e;
}

#endif
