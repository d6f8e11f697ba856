// A small gRPC client for tools: one thread, blocking calls, bounded retries.
//
//   client_create -> client_call ...                                     -> client_destroy
//                    client_stream_open -> client_stream_next ... -> client_stream_close
//
// A call is tried again when the server says that this is safe and useful: RESOURCE_EXHAUSTED,
// ABORTED, UNAVAILABLE. The message is sent again as it was, so its ids are the same and the server
// acts once. A deadline that passes is not tried again: its call has used up the time.
//
// One thread at a time per client. Every function but client_code_again may block.
#ifndef HOLDFAST_CLIENT_H
#define HOLDFAST_CLIENT_H

#include "base/status.h"
#include "rpc_code.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The same request may be sent again, and may then succeed.
bool client_code_again(int code);

// How a call ended; texts are cut to fit.
struct client_status {
    int code;          // enum rpc_code
    char message[400]; // one sentence, from the server or from the transport
    char reason[64];   // ErrorInfo: one word; empty: none
    char field[128];   // BadRequest: the first field; empty: none
    char field_why[200];
    uint32_t retry_ms; // RetryInfo: wait so long; 0: not told
    uint32_t tries;    // how often the request was sent
};

struct client_options {
    const char *address;            // host:port, [v6]:port, unix:/path
    bool tls;                       // off: in clear
    bool clear_anywhere;            // in clear also to addresses beyond this machine
    const char *ca_pem;             // roots to trust, PEM text; NULL: the system's
    const char *cert_pem, *key_pem; // client's certificate, both or none
    const char *server_name;        // that the certificate must carry; NULL: the address's
    const char *api_key;            // sent as `authorization: Bearer`; NULL: none
    const char *user_agent;
    uint32_t call_ms; // for a call, its further tries and the waits between them
    uint32_t tries;   // at most, 1..; a stream is tried once
    // Before each wait. NULL: silent.
    void (*again)(void *ctx, const struct client_status *why, uint32_t wait_ms);
    void *ctx;
};

struct client;

// Connects lazily: an address where nobody listens shows at the first call. Options are copied,
// but for `again`. HF_INVALID (why says what), HF_NO_MEMORY.
enum hf_status client_create(const struct client_options *o, struct client **out,
                             char why[200]) HF_CHECKED;
void client_destroy(struct client *c);
// The address is this machine's own, so that nothing in clear leaves it.
bool client_address_local(const char *address);

// A unary call of a method of `service`. True: *reply is of the method's output type, to be freed
// by protobuf_c_message_free_unpacked(reply, NULL). `status` is filled either way.
bool client_call(struct client *c, const ProtobufCServiceDescriptor *service, const char *method,
                 const ProtobufCMessage *request, ProtobufCMessage **reply,
                 struct client_status *status) HF_CHECKED;

struct client_stream;

// Waits, for who tries again by itself.
void client_pause(uint32_t ms);

// A method whose answers stream. stream_ms: how long it may live; 0: for ever. Never NULL: what
// goes wrong shows at the first client_stream_next.
struct client_stream *client_stream_open(struct client *c,
                                         const ProtobufCServiceDescriptor *service,
                                         const char *method, const ProtobufCMessage *request,
                                         uint32_t stream_ms);
// True: *reply is the next message, to be freed as above. False: it is over, `status` says how.
bool client_stream_next(struct client_stream *s, ProtobufCMessage **reply,
                        struct client_status *status) HF_CHECKED;
void client_stream_close(struct client_stream *s); // cancels what is still open; NULL is fine

#endif
