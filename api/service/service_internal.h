// What the files of api/service share.
#ifndef HOLDFAST_API_SERVICE_INTERNAL_H
#define HOLDFAST_API_SERVICE_INTERNAL_H

#include "service/service.h"

#include "google/rpc/status.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "holdfast/v1/common.pb-c.h"
#include "holdfast/v1/packet.pb-c.h"
#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

struct service {
    struct service_options options;
    uint32_t serving;              // atomic bool
    struct health *health;         // health.c: who watches
    uint32_t *key_watching;        // atomic: WatchStock streams of each key; NULL: no keys
    struct packet_book *packets;   // packet_sessions.c: whose sessions are open; NULL: off
    struct service_local **locals; // pollers, then the slow lane; for metrics
};

// Of one thread of the listener.
struct service_local {
    struct service *service;
    struct core_worker *worker;
    unsigned lane;
    uint64_t decisions[CORE_VERB_COUNT][CORE_OUTCOME_COUNT]; // written here, read by anybody
    uint64_t by_channel[HF_CHANNELS_MAX + 1][2];
    struct service_batch *batch; // service.c
    struct arena scratch;        // of one reservation that a stream is told
};

static inline struct core *local_core(const struct service_local *l)
{
    return l->service->options.core;
}

// ------------------------------------------------------------------- convert.c
// Cell of {sku, location} or {handle, generation}. False: *error is filled; `field` is the path of
// the message that names it, such as "lines[3]" or "" at the top.
struct stock_ref {
    const char *sku, *location;
    uint32_t handle;
    uint64_t generation;
};
bool convert_stock(struct service_local *l, const struct auth_identity *who,
                   const struct stock_ref *ref, const char *field, uint32_t *handle,
                   struct rpc_error *error);
// Canonical UUID. False: *error is filled.
bool convert_uuid(const char *text, const char *field, struct hf_uuid *out,
                  struct rpc_error *error);
// An outcome that is no business outcome, as a status: INVALID, UNKNOWN, CONFLICT, IN_PROGRESS,
// BUSY, ID_TOO_OLD, ID_IN_FUTURE. Exhaustive.
struct rpc_error convert_outcome(enum core_outcome outcome, enum core_field field, uint32_t line,
                                 uint32_t retry_ms);
// The same as the message of streams and batches, in the arena.
Holdfast__V1__Error *convert_error(struct arena *a, const struct rpc_error *error);

// ------------------------------------------------------------------- lists.c
// Clients of gRPC take in 4 MiB at most unless they are told otherwise: no answer is larger than
// this, in bytes as packed. A list ends its page before it, what cannot be paged is cut and says
// so.
#define ANSWER_BYTES_MAX  ((size_t)7 << 19)
#define ANSWER_ITEM_BYTES 6 // key and length of a repeated message
// Takes the room that `m` needs as one of a list's. False: there is not so much left.
bool answer_room(size_t *bytes_left, const ProtobufCMessage *m);
void call_fail(struct rpc_call *call, enum rpc_code code, const char *reason, const char *field,
               const char *message);
void call_fail_memory(struct rpc_call *call); // RESOURCE_EXHAUSTED
// A page's token names the generation and the handle that comes next; an empty one, the first.
// False: not one that a list of this generation gave out.
bool page_token_read(const char *token, uint64_t generation, uint32_t *handle);
char *page_token_make(struct arena *a, uint64_t generation, uint32_t handle); // NULL: no memory
// A cell's handle is told when its record is durable; the newest ones may not be yet.
uint64_t names_ticket(struct core *c);

// ------------------------------------------------------------------- handlers
// FAST, called by the burst for methods that don't decide.
void stock_get(struct service_local *l, struct rpc_call *call);
void stock_batch_get(struct service_local *l, struct rpc_call *call);
void health_check(struct service_local *l, struct rpc_call *call);
// SLOW.
void stock_list(void *ctx, void *local, struct rpc_call *call);
void stock_sku(void *ctx, void *local, struct rpc_call *call);
void admin_create(void *ctx, void *local, struct rpc_call *call);
void admin_set(void *ctx, void *local, struct rpc_call *call);
void admin_adjust(void *ctx, void *local, struct rpc_call *call);
void admin_import(void *ctx, void *local, struct rpc_call *call);
void admin_channel(void *ctx, void *local, struct rpc_call *call);
void reservation_list(void *ctx, void *local, struct rpc_call *call);
void packet_get_handles(void *ctx, void *local, struct rpc_call *call);
void packet_list_handles(void *ctx, void *local, struct rpc_call *call);
void packet_open(void *ctx, void *local, struct rpc_call *call);
void packet_close(void *ctx, void *local, struct rpc_call *call);
void packet_list(void *ctx, void *local, struct rpc_call *call);
#define SERVICE_ERP_TABLE(X)                                                                       \
    X(status)                                                                                      \
    X(letters) X(letter) X(retry) X(discard) X(discards) X(batches) X(batch) X(trace) X(reconcile) \
        X(reconciliation) X(close) X(short)
#define X(name) void erp_##name(void *ctx, void *local, struct rpc_call *call);
SERVICE_ERP_TABLE(X)
#undef X
// Streams: opened, received, half_closed, sent, woken, closed of each.
#define SERVICE_STREAM_TABLE(X) X(reserve_stream) X(watch_stock) X(health_watch) X(reflection)
#define X(name)                                                                                    \
    void name##_opened(void *ctx, void *local, struct rpc_call *call);                             \
    void name##_received(void *ctx, void *local, struct rpc_call *call);                           \
    void name##_half_closed(void *ctx, void *local, struct rpc_call *call);                        \
    void name##_sent(void *ctx, void *local, struct rpc_call *call);                               \
    void name##_woken(void *ctx, void *local, struct rpc_call *call);                              \
    void name##_closed(void *ctx, void *local, struct rpc_call *call);
SERVICE_STREAM_TABLE(X)
#undef X

// packet_sessions.c
enum hf_status packet_book_create(struct service *s);
void packet_book_destroy(struct service *s);

// health.c
enum hf_status health_create(struct service *s);
void health_destroy(struct service *s);
void health_changed(struct service *s); // wakes whoever watches; any thread

#endif
