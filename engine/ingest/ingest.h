// Packets: frames of orders, decided by the thread that received them and answered in place.
//
//   receive a burst -> who sent it -> what it asks -> core_execute -> answers -> hold until durable
//
// A queue is a port (port.h), a worker of the engine and a thread of the caller's:
//
//     ingest_queue_create; while (!stop) if (!ingest_queue_step(q)) ingest_queue_wait(q, ms);
//     ingest_queue_drain; ingest_queue_destroy
//
// Nothing that a stranger sends reaches the engine: sessions, tags and the replay window are looked
// at first, cheapest test first, and what fails is counted by its cause. Between two frames of one
// session the order of arrival holds; items of one frame with one id act in the frame's order.
#ifndef HOLDFAST_INGEST_INGEST_H
#define HOLDFAST_INGEST_INGEST_H

#include "core/core.h"
#include "ingest/port.h"
#include "ingest/session.h"

struct ingest_queue;

struct ingest_queue_options {
    struct core *core;                // borrowed
    struct core_worker *worker;       // borrowed; this queue's alone
    struct ingest_sessions *sessions; // borrowed
    struct ingest_port *port;         // borrowed; destroyed by the caller, after the queue
    uint32_t number;                  // of the queue, 0 .. ; sessions are pinned by it
    uint32_t burst;                   // frames a step, 1 .. INGEST_BURST_MAX
};

// HF_NO_MEMORY. Set-up, by the worker's thread. port->frames_max is at least 2 x burst.
enum hf_status ingest_queue_create(const struct ingest_queue_options *o,
                                   struct ingest_queue **out) HF_CHECKED;
// Drops what is still held. By the queue's thread, or after it.
void ingest_queue_destroy(struct ingest_queue *q);

// One burst: tells what has become durable, receives, decides. False: there was nothing. The
// queue's thread; no lock, no allocation, no system call but the port's own and at most one
// wake of the journal's writer per 32 items.
bool ingest_queue_step(struct ingest_queue *q);
// Sleeps as port->wait does, and returns when more is durable than before and answers wait for it.
void ingest_queue_wait(struct ingest_queue *q, uint32_t timeout_ms);
// Answers what is held, without receiving: true when nothing is left. Steps of the same kind.
bool ingest_queue_drain(struct ingest_queue *q);

// More is durable than before. Any thread, wait-free but for the port's ring.
void ingest_queue_durable_advanced(struct ingest_queue *q);
// Ends a wait. Any thread.
void ingest_queue_ring(struct ingest_queue *q);

// Why a frame was dropped, in the order of the tests: all that come before the tag cost less
// than a good frame, the tag's included.
#define INGEST_DROP_TABLE(X)                                                                       \
    X(SHORT, "fewer bytes than a header")                                                          \
    X(MAGIC, "not this protocol")                                                                  \
    X(VERSION, "a version that is not known")                                                      \
    X(KIND, "not a request")                                                                       \
    X(TRUNCATED, "fewer bytes than its header says")                                               \
    X(LONGER, "more bytes than its header says")                                                   \
    X(HEADER, "a header that cannot be")                                                           \
    X(SESSION, "of no session that is open")                                                       \
    X(EXPIRED, "of a session whose time is over")                                                  \
    X(QUEUE, "of a session that belongs to another queue")                                         \
    X(REPLAYED, "a sequence that was seen before")                                                 \
    X(OLD, "a sequence from before the window")                                                    \
    X(FORGED, "a wrong tag")                                                                       \
    X(ITEMS, "items that don't fill the frame")
enum ingest_drop {
#define X(name, help) INGEST_DROP_##name,
    INGEST_DROP_TABLE(X)
#undef X
        INGEST_DROP_COUNT
};
const char *ingest_drop_name(enum ingest_drop d); // static text; any thread
const char *ingest_drop_help(enum ingest_drop d);

#define INGEST_METRIC_TABLE(X)                                                                     \
    X(bursts, "bursts with at least one frame")                                                    \
    X(frames, "frames taken, of open sessions")                                                    \
    X(items, "items in them")                                                                      \
    X(answered, "frames answered")                                                                 \
    X(held_busy, "frames answered BUSY because too many waited for the disk")
struct ingest_metrics {
#define X(name, help) uint64_t name;
    INGEST_METRIC_TABLE(X)
#undef X
    uint64_t dropped[INGEST_DROP_COUNT];
    uint64_t outcomes[PACKET_OUT_END];
    uint64_t held; // frames that wait for the disk now
    struct ingest_port_metrics port;
};
// Adds the queue's counters. Any thread; each is whole, together they are of about one moment.
void ingest_queue_metrics(const struct ingest_queue *q, struct ingest_metrics *sum);

#endif
