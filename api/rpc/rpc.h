// The gRPC listener: connections, calls, streams, limits and statuses; knows methods by table, not
// what they mean.
//
//   listening --rpc_drain--> draining --(no call left, or grace over)--> rpc_destroy
//
// Threads. Each *poller* owns a completion queue and decides in place: it gathers what has arrived,
// hands it on as a burst (hooks->burst), and sends replies whose ticket is durable. It never waits
// for the disk. One *slow lane* thread runs what may block: administration, lists, the archive.
// Each has a `local` of the service's own, made in that thread.
//
// Connections are bounded by the process' descriptors: when few are left, new ones are closed at
// once (rpc/accept.h), and those that there are stay.
//
// A call is one request and one reply, or a stream. It belongs to one thread at a time: to its
// poller, or, between rpc_defer and the reply, to the slow lane.
#ifndef HOLDFAST_API_RPC_H
#define HOLDFAST_API_RPC_H

#include "auth/auth.h"
#include "base/status.h"
#include "rpc/arena.h"
#include "rpc_code.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RPC_FIELD_BYTES 96
// Why a call or an item failed. Text is static or lives in the call's arena.
struct rpc_error {
    enum rpc_code code;
    const char *reason;          // one word for programs, such as ID_TOO_OLD; NULL: none
    const char *message;         // one sentence
    char field[RPC_FIELD_BYTES]; // INVALID_ARGUMENT: path of the field; empty: none
    uint32_t retry_ms;           // RESOURCE_EXHAUSTED, ABORTED, UNAVAILABLE; 0: not told
};

#define RPC_TRACEPARENT_BYTES 55

struct rpc_method;

// What handlers see of a call; the rest is the listener's.
struct rpc_call {
    const struct rpc_method *method;
    const struct auth_identity *who;
    struct arena arena;              // reset when the call, or a stream's message, is over
    const ProtobufCMessage *request; // unary: of the method's type; in the arena
    const unsigned char *bytes;      // the request as it came, in the arena
    size_t byte_count;
    char traceparent[RPC_TRACEPARENT_BYTES + 1]; // metadata; empty: none
    uint64_t arrived_ns;                         // monotonic
    void *state;                                 // a stream's, the handler's own
};

enum rpc_kind {
    RPC_FAST,   // unary; in a poller, in bursts
    RPC_SLOW,   // unary; in the slow lane
    RPC_STREAM, // streaming; callbacks in the stream's poller
};

// All callbacks get hooks->ctx and the `local` of the thread that they run in.
struct rpc_method {
    const char *path; // "/holdfast.v1.ReservationService/Reserve"
    enum rpc_kind kind;
    unsigned role; // enum auth_role: one of these is needed; 0: open to everybody
    const ProtobufCMessageDescriptor *request; // streams: of each message
    uint32_t posted;                           // calls awaited at once, each poller
    void (*run)(void *ctx, void *local, struct rpc_call *call); // SLOW: replies or fails
    // STREAM. Nothing is received before rpc_receive is called, once for each message.
    void (*opened)(void *ctx, void *local, struct rpc_call *call);
    void (*received)(void *ctx, void *local, struct rpc_call *call); // see call->request
    void (*half_closed)(void *ctx, void *local, struct rpc_call *call);
    void (*sent)(void *ctx, void *local, struct rpc_call *call); // one message has left
    void (*woken)(void *ctx, void *local, struct rpc_call *call);
    void (*closed)(void *ctx, void *local, struct rpc_call *call); // last; frees call->state
    bool raw; // requests are left packed: call->bytes only, not looked at
};

struct rpc_hooks {
    void *ctx;
    // In a new thread of the listener; lane: index of the poller, or `pollers` for the slow lane.
    // NULL ends the start with HF_NO_MEMORY.
    void *(*thread_start)(void *ctx, unsigned lane);
    void (*thread_stop)(void *ctx, void *local);
    // FAST calls that arrived together, at most RPC_BURST_MAX: each is replied to, failed or
    // deferred before it returns.
    void (*burst)(void *ctx, void *local, struct rpc_call **calls, uint32_t count);
    // A FAST call or a stream's message that was deferred; in the slow lane.
    void (*deferred)(void *ctx, void *local, struct rpc_call *call);
    uint64_t (*durable)(void *ctx); // tickets up to it may be told
    const struct auth *auth;
};

#define RPC_BURST_MAX 64

#define RPC_LIMIT_TABLE(X)                                                                         \
    X(pollers, 1, "threads that take requests, each with its own completion queue")                \
    X(calls_max, 4096, "unary calls in progress, each poller; beyond it RESOURCE_EXHAUSTED")       \
    X(streams_max, 1024, "streaming calls open, each poller; beyond it RESOURCE_EXHAUSTED")        \
    X(key_share, 50, "percent of calls_max, streams_max and unread results that may be one key's") \
    X(connection_streams_max, 1024, "HTTP/2 streams of one connection")                            \
    X(message_bytes_max, 4194304, "largest request message")                                       \
    X(metadata_bytes_max, 16384, "request metadata")                                               \
    X(memory_bytes_max, 536870912,                                                                 \
      "gRPC's own buffers, all connections; half as much again for results that nobody reads")     \
    X(handshake_ms, 10000, "TLS and HTTP/2 settings")                                              \
    X(connection_age_ms, 3600000, "a connection is asked to go after it; spread by a tenth")       \
    X(connection_idle_ms, 900000, "a connection without calls is closed after it")                 \
    X(keepalive_ms, 60000, "a silent connection is asked whether it lives")                        \
    X(keepalive_timeout_ms, 20000, "and closed when it does not answer")                           \
    X(drain_ms, 10000, "at the end, calls in progress may take so long")                           \
    X(slow_queue_max, 1024, "calls of a role that wait for the slow lane; beyond it as above")
struct rpc_limits {
#define X(name, value, help) uint32_t name;
    RPC_LIMIT_TABLE(X)
#undef X
};
void rpc_limits_default(struct rpc_limits *l);

struct rpc_tls {                   // PEM text, borrowed during rpc_create
    const char *certificate, *key; // NULL: no TLS
    const char *client_ca;         // NULL: clients need no certificate
};

struct rpc_options {
    const char *address; // "127.0.0.1:7420", "[::1]:0", "unix:/run/holdfast.sock"
    struct rpc_tls tls;
    struct rpc_limits limits;
    struct rpc_hooks hooks;
    const struct rpc_method *methods; // borrowed
    uint32_t method_count;
};

struct rpc;

// Binds, starts the threads, serves. Set-up, blocking. HF_INVALID (why says what: an address, a
// certificate, a method that proto/descriptors.h does not have as the table says), HF_EXISTS: the
// address is in use; HF_NO_MEMORY.
enum hf_status rpc_create(const struct rpc_options *o, struct rpc **out, char why[200]) HF_CHECKED;
// The certificate, key and client authorities for every handshake from now on; connections that
// there are stay. Whether clients need a certificate was settled by rpc_create. PEM text, borrowed
// during the call. HF_INVALID: nothing has changed. What gRPC cannot use in spite of that it says
// in its log, and goes on with what it has. Any thread; of a listener with TLS.
enum hf_status rpc_certificates(struct rpc *r, const struct rpc_tls *tls) HF_CHECKED;
uint16_t rpc_port(const struct rpc *r); // bound; 0: not TCP
// No new calls: connections get GOAWAY, new calls UNAVAILABLE. Calls in progress go on; streams are
// woken once, and end themselves when rpc_draining says so. Waits until all have ended, or
// drain_ms; then cancels the rest. Once, any one thread.
void rpc_drain(struct rpc *r);
void rpc_destroy(struct rpc *r); // drains first, ends the threads

// The journal is durable further than before. Any thread; wait-free but for one system call a
// poller that has replies waiting.
void rpc_durable_advanced(struct rpc *r);

// ------------------------------------------------------------------------------- replies
// By the thread that the call belongs to; exactly one of these ends a unary call.

// Sends `message` when `ticket` is durable (0: at once). The message is packed before it returns.
void rpc_reply(struct rpc_call *call, const ProtobufCMessage *message, uint64_t ticket);
// The same of a message that is packed already; copied before it returns.
void rpc_reply_packed(struct rpc_call *call, const unsigned char *bytes, size_t count,
                      uint64_t ticket);
void rpc_fail(struct rpc_call *call, const struct rpc_error *error);
// The same when `ticket` is durable: a conflict rests on another's decision.
void rpc_fail_durable(struct rpc_call *call, const struct rpc_error *error, uint64_t ticket);
// Hands the call to the slow lane. False: its queue is full, the call is still the caller's.
bool rpc_defer(struct rpc_call *call);

// ------------------------------------------------------------------------------- streams
// By the stream's poller, unless told otherwise.

// Asks for the next message; nothing while one is asked for. Half-close: the callback. It comes
// later while much is unsent (1 MiB), or while what all streams of the poller, or the
// key's, keep in memory is as much as may be: the client is held up by flow control. The bytes of
// the message before are gone then. What was unpacked, and the arena, are gone when `received` has
// returned or, of a message that was deferred, `woken`.
void rpc_receive(struct rpc_call *call);
// Queues a message, sent in order, when `ticket` is durable. Bounded by the caller, who counts
// `sent`: at most RPC_UNSENT_MAX wait. Packed before it returns. Without memory for it the stream
// ends: nothing may be sent after rpc_send until the handler returns.
#define RPC_UNSENT_MAX 64
void rpc_send(struct rpc_call *call, const ProtobufCMessage *message, uint64_t ticket);
// The same of a message that is packed already; copied before it returns.
void rpc_send_packed(struct rpc_call *call, const unsigned char *bytes, size_t count,
                     uint64_t ticket);
// Ends the stream after what is queued. error NULL: OK.
void rpc_finish(struct rpc_call *call, const struct rpc_error *error);
// Any thread, while the stream is not closed: `woken` will be called in its poller.
void rpc_wake(struct rpc_call *call);

// The server is going: `woken` ends the stream with RPC_DRAINING_ERROR. The stream's poller.
bool rpc_draining(const struct rpc_call *call);
#define RPC_DRAINING_ERROR                                                                         \
    ((struct rpc_error){.code = RPC_UNAVAILABLE,                                                   \
                        .reason = "DRAINING",                                                      \
                        .message = "this server is going; ask again, on another connection"})

// ------------------------------------------------------------------------------- reading
// Of a raw method's message: it, or a part of it, is not well-formed. Counts it. The poller.
void rpc_malformed(struct rpc_call *call);
// True when the client will not wait for the answer any more.
bool rpc_expired(const struct rpc_call *call);
// The same, or the drain is over and everything that is left is cancelled: *error says which. What
// takes long in the slow lane looks at it between its steps.
bool rpc_given_up(const struct rpc_call *call, struct rpc_error *error);
// An INVALID_ARGUMENT for `field`.
struct rpc_error rpc_invalid(const char *field, const char *message);

#define RPC_STAGE_TABLE(X)                                                                         \
    X(DECIDE, "from a unary call's arrival to its decision")                                       \
    X(DURABLE, "from its decision until it was told")
enum rpc_stage {
#define X(name, help) RPC_STAGE_##name,
    RPC_STAGE_TABLE(X)
#undef X
        RPC_STAGE_COUNT
};
struct hf_histogram; // base/histogram.h
// Adds all pollers' latencies of a stage. Any thread that owns `into`.
void rpc_latency(const struct rpc *r, enum rpc_stage stage, struct hf_histogram *into);

#define RPC_METRIC_TABLE(X)                                                                        \
    X(calls, "unary calls that arrived")                                                           \
    X(streams, "streams that were opened")                                                         \
    X(messages, "messages received on streams")                                                    \
    X(bursts, "bursts of unary calls")                                                             \
    X(refused, "calls refused for a limit")                                                        \
    X(key_refused, "of them, calls whose key had its share")                                       \
    X(unauthenticated, "calls without a valid key, or without the role")                           \
    X(malformed, "messages that are not well-formed")                                              \
    X(expired, "calls whose deadline had passed before the decision")                              \
    X(cancelled, "calls that the client gave up")                                                  \
    X(deferred, "calls that went through the slow lane")                                           \
    X(held, "messages of streams that waited until earlier results were read")
struct rpc_metrics {
#define X(name, help) uint64_t name;
    RPC_METRIC_TABLE(X)
#undef X
    uint64_t calls_open, streams_open, codes[RPC_CODE_COUNT];
    uint64_t connections_refused; // closed at once, as descriptors are short; of all listeners
};
void rpc_metrics(const struct rpc *r, struct rpc_metrics *out); // any thread

#endif
