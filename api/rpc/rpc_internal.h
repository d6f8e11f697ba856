// What the files of api/rpc share. See poller.c for how a call goes through.
#ifndef HOLDFAST_API_RPC_INTERNAL_H
#define HOLDFAST_API_RPC_INTERNAL_H

#include "rpc/rpc.h"

#include "base/atomics.h"
#include "base/histogram.h"
#include "sys/clock.h"
#include "sys/park.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>

struct call;
struct poller;

enum tag_kind {
    TAG_REQUESTED, // a call has arrived (or the server is shutting down)
    TAG_ANSWERED,  // unary: the reply is out, or the client is gone
    TAG_OPENED,    // stream: initial metadata is out
    TAG_RECEIVED,
    TAG_SENT,
    TAG_FINISHED, // stream: the status is out
    TAG_CLOSED,   // stream: the transport's last word
    TAG_COUNT
};

struct tag {
    struct call *call; // NULL: the poller itself was woken
    enum tag_kind kind;
};

struct unsent {
    struct unsent *next;
    grpc_byte_buffer *message;
    size_t bytes;
    uint64_t ticket;
};

// A stream's own.
struct stream {
    struct unsent *first, **last;
    struct unsent *in_flight;
    uint32_t ops; // batches whose tags are still to come
    bool open, receiving, finishing, finished, closed, gone;
    bool listed;   // on the poller's list of streams with something to send
    bool deferred; // its message is with the slow lane
    bool wanted;   // to be received as soon as less is unsent
    bool held;     // its message waits for room, on the poller's list
    size_t unsent_bytes, deferred_bytes;
    struct call *next_listed, *next_held;
    struct call *next_open, **link_open; // the poller's open streams
    enum rpc_code code;
    grpc_slice message, details;
    bool has_details;
};

struct call {
    struct rpc_call pub; // first: handlers hold a pointer to it
    struct poller *poller;
    grpc_call *call;
    gpr_timespec deadline;
    grpc_call_details details; // of a call for a method that is not in the table
    uint64_t deadline_ns;      // monotonic; UINT64_MAX: none
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    struct tag tags[TAG_COUNT];
    uint32_t handed; // atomic: its last batch has been started
    int cancelled;
    uint32_t slot; // of the method in the table; method_count: a method that is not there
    bool counted;  // in calls_open or streams_open
    bool stranger; // counted as one who has no key: needs none, or came without a valid one
    // A reply that waits for its ticket.
    uint64_t ticket, decided_ns;
    grpc_byte_buffer *reply; // NULL: it fails with `error`
    size_t reply_bytes;      // that are held until the client has read them
    struct rpc_error error;
    struct call *next; // free list, waiting replies, slow queue
    struct stream stream;
    // The poller's inbox: whoever sets `posted` from 0 links it.
    uint32_t posted; // atomic: POSTED_ bits
    struct call *next_posted;
};
enum { POSTED_WAKE = 1, POSTED_DONE = 2 };

struct poller {
    struct rpc *rpc;
    unsigned lane;
    grpc_completion_queue *cq;
    grpc_channel *bell_channel; // leads nowhere
    grpc_call *bell;            // bound to cq: an empty batch on it is an event there
    struct tag wake_tag;
    pthread_mutex_t bell_lock; // the queue must not be shut down between look and ring
    bool rung, closing;        // under bell_lock
    uint32_t waiting;          // atomic: replies wait for the disk
    uint32_t posting;          // atomic: asks gRPC for a call right now
    struct call *inbox;        // atomic stack
    pthread_t thread;
    bool started;
    void *local;
    struct call *free;
    uint32_t *owed;    // per method, and one more: calls that are not awaited for want of memory
    uint32_t owed_sum; // of them all
    struct call *first_waiting, **last_waiting; // replies, in the order of their decisions
    struct call *listed;                        // streams that wait for the disk
    struct call *open;                          // streams that handlers have
    struct call *first_held, **last_held;       // streams whose message waits for room
    bool room_again;                            // they are to be looked at
    bool drain_told;
    struct rpc_call *burst[RPC_BURST_MAX];
    uint32_t burst_count;
    uint32_t calls_open, streams_open;
    uint32_t strangers_open[2]; // of them, strangers' calls and streams
    uint32_t *key_open[2];      // calls and streams of each key, by its number; NULL: no keys
    // What is kept in memory: answers that nobody reads, streams' messages in the slow lane.
    uint64_t bytes_max;
    uint64_t bytes_held[2];     // atomic: those with a key, strangers
    uint64_t *key_bytes;        // atomic: of each key; NULL: no keys
    struct rpc_metrics metrics; // its own; read by anybody
    struct hf_histogram latency[RPC_STAGE_COUNT];
};

// How long to wait when there is no room.
#define RETRY_BUSY_MS   50
#define RETRY_STREAM_MS 1000
// Of one stream: no further message is received while so much is unsent.
#define STREAM_UNSENT_BYTES (1u << 20)

#define SLOW_QUEUES 4 // one for each role
struct slow_queue {
    struct call *first, **last;
    uint32_t count;
};

struct slow_lane {
    struct rpc *rpc;
    pthread_t thread;
    bool started, stopping; // under lock
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct slow_queue queues[SLOW_QUEUES]; // under lock
    unsigned turn;                         // of the queue that was served last
    void *local;
};

struct rpc {
    struct rpc_options options;
    grpc_server *server;
    grpc_server_credentials *credentials;
    pthread_mutex_t certificates_lock;
    grpc_ssl_server_certificate_config *certificates; // under it: not fetched yet; NULL: none
    void **registered;                                // per method
    struct poller *pollers;
    uint32_t *owed; // the pollers'
    struct slow_lane slow;
    uint16_t port;
    bool guarded;       // see accept.h
    uint32_t draining;  // atomic
    uint32_t giving_up; // atomic: what is left is cancelled
    uint32_t shut_down; // atomic: the server has no call left
    struct park park;
    struct tag shutdown_tag;
    // Threads report their start.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t running, failed; // under lock
};

static inline uint64_t rpc_now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}
static inline void count_up(uint64_t *counter)
{
    hf_store_relaxed(counter, *counter + 1);
}
static inline bool ticket_durable(const struct rpc *r, uint64_t ticket)
{
    return ticket == 0 || r->options.hooks.durable(r->options.hooks.ctx) >= ticket;
}

// ------------------------------------------------------------------- args.c
grpc_channel_args *args_create(const struct rpc_options *o);
void args_destroy(grpc_channel_args *args);
grpc_server_credentials *credentials_create(struct rpc *r);
void certificates_fini(struct rpc *r);

// ------------------------------------------------------------------- poller.c
void *poller_run(void *poller);
void poller_wake(struct poller *p);
void poller_post(struct poller *p, struct call *c, uint32_t bit); // any thread
// Who is calling, and whether there is room: counts it in. False: *error is filled. Strangers have
// the same limits once more, for themselves: whoever comes without a key takes nothing from those
// who have one. Of what these have, one key gets a share.
bool call_admit(struct call *c, struct rpc_error *error);
void call_release(struct call *c); // back to the poller's list, after its last tag
// Memory that is kept until a client reads on. The same shares as above: room for another call or
// message is there as long as less than all of it is held, so one answer may go beyond.
void call_hold(struct call *c, size_t bytes); // also the slow lane
void call_let_go(struct call *c, size_t bytes);
bool call_has_room(const struct call *c); // also the slow lane
struct rpc_error rpc_no_room(void);
// Makes payload contiguous in pub.bytes. False: no memory, or larger than strangers' may be.
bool call_bytes(struct call *c);
// Checks and unpacks pub.bytes. False: *error is filled.
struct rpc_error rpc_no_memory(void);
bool call_unpack(struct call *c, struct rpc_error *error);
grpc_byte_buffer *message_pack(const ProtobufCMessage *m);
grpc_byte_buffer *bytes_copy(const unsigned char *bytes, size_t count);
bool on_own_poller(const struct call *c);

// ------------------------------------------------------------------- call.c
void call_arrived(struct call *c); // unary, requested
void call_answer(struct call *c);  // the reply is durable: send it
void call_done(struct call *c);    // its last tag

// ------------------------------------------------------------------- stream.c
void stream_arrived(struct call *c);
void stream_tag(struct call *c, enum tag_kind kind, bool ok);
void stream_posted(struct call *c, uint32_t bits);
void streams_drain(struct poller *p); // wakes all that are open
void streams_held(struct poller *p);  // takes the messages that waited and have room by now
void stream_pump(struct call *c);     // sends what may go now
void stream_listed(struct call *c);   // taken off the poller's list: tells, or ends
void stream_refuse(struct call *c, const struct rpc_error *error);

// ------------------------------------------------------------------- slow.c
enum hf_status slow_start(struct rpc *r);
void slow_stop(struct rpc *r);
bool slow_push(struct rpc *r, struct call *c);

// ------------------------------------------------------------------- rpc.c
void thread_started(struct rpc *r, bool good);
// Who is calling, by metadata. NULL: *error is filled.
const struct auth_identity *call_identify(const struct call *c, struct rpc_error *error);
void call_context(struct call *c); // traceparent, deadline, arrival

#endif
