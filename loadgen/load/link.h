// Connections to a server: calls and streams as bytes, on gRPC's C core. One thread a link.
//
// Every connection is one of its own (gRPC would share one). A connection that breaks is made
// again by itself; the calls on it end with UNAVAILABLE. Nothing is asked twice here: see sender.h.
#ifndef HOLDFAST_LOADGEN_LINK_H
#define HOLDFAST_LOADGEN_LINK_H

#include "base/status.h"
#include "rpc_code.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The standard's status codes.
enum link_code {
#define X(number, name) LINK_##name = number,
    RPC_CODE_TABLE(X)
#undef X
        LINK_CODE_COUNT
};
const char *link_code_name(int code); // static; "unknown" for others
// The status says nothing about whether the request was done, or that it was not and may be later:
// asking again with the same ids is safe and useful.
bool link_code_again(int code);

struct link_options {
    const char *address; // host:port, [v6]:port, unix:/path
    bool tls;
    bool clear_anywhere;            // in clear also to addresses beyond this machine
    const char *ca_pem;             // NULL: the system's
    const char *cert_pem, *key_pem; // client's certificate, both or none
    const char *server_name;        // NULL: the address's
    const char *api_key;            // NULL: none
    uint32_t connections;           // 1..LINK_CONNECTIONS_MAX
};
#define LINK_CONNECTIONS_MAX 64

// How a call or a stream ended. Texts live during the callback.
struct link_end {
    int code;
    const unsigned char *bytes; // of the reply
    size_t byte_count;
    uint32_t retry_ms; // RetryInfo; 0: not told
    char reason[64];   // ErrorInfo
    char message[200]; // cut to fit
};

struct link;
struct link_stream;

// Connects lazily. HF_INVALID (why says what), HF_NO_MEMORY.
enum hf_status link_create(const struct link_options *o, struct link **out,
                           char why[200]) HF_CHECKED;
// Cancels what is open; callbacks run until all has ended.
void link_destroy(struct link *l);

// A unary call of "Service/Method" of holdfast.v1. The message is packed before it returns. `done`
// runs once, in link_poll or link_destroy.
void link_call(struct link *l, uint32_t connection, const char *method, const ProtobufCMessage *m,
               uint32_t deadline_ms, void (*done)(void *ctx, const struct link_end *end),
               void *ctx);

struct link_stream_events {
    void (*sent)(void *ctx); // the message was handed to the transport: the next may follow
    void (*received)(void *ctx, const unsigned char *bytes, size_t byte_count);
    void (*closed)(void *ctx, const struct link_end *end); // the last; the stream is gone after it
};
// A bidirectional stream. One message on its way at a time: the first may be sent at once.
struct link_stream *link_stream_open(struct link *l, uint32_t connection, const char *method,
                                     const struct link_stream_events *events, void *ctx);
void link_stream_send(struct link_stream *s, const ProtobufCMessage *m);
void link_stream_finish(struct link_stream *s); // half-close, once, with no message on its way
void link_stream_cancel(struct link_stream *s);

// Runs callbacks: waits for the first until `until_ns` (monotonic), takes what else is there, at
// most `most`. Returns how many events there were.
uint32_t link_poll(struct link *l, uint64_t until_ns, uint32_t most);

#endif
