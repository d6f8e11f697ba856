// Packet sessions: who may send frames, under which key, how much, until when. They live in memory
// only and end with the process.
//
//   (free) --open--> open --close, expiry, close_owner--> (free)
//                     ^  |
//                     +--+ extend
//
// Whoever has checked a caller by other means (gRPC over TLS) opens a session for it and tells it
// session and key. Queues (ingest.h) look sessions up at every frame, without a lock; the functions
// here take one, so none of them belongs on a decision path. A session's first good frame pins it
// to the queue that received it; that queue alone keeps its replay window and its rate.
#ifndef HOLDFAST_INGEST_SESSION_H
#define HOLDFAST_INGEST_SESSION_H

#include "base/status.h"
#include "packet/packet.h"

#include <stdint.h>

#define INGEST_SESSIONS_MAX 65536
// Sequences so far behind a session's newest are still taken, once each.
#define INGEST_WINDOW_FRAMES 960

struct ingest_sessions;

// max: 1 .. INGEST_SESSIONS_MAX. seed: random; session numbers begin there. HF_NO_MEMORY. Set-up.
enum hf_status ingest_sessions_create(uint32_t max, uint32_t seed,
                                      struct ingest_sessions **out) HF_CHECKED;
void ingest_sessions_destroy(struct ingest_sessions *s); // after the queues

#define INGEST_KIND(kind)      (1u << (kind))
#define INGEST_KINDS_ALL       ((1u << PACKET_KIND_END) - 2)
#define INGEST_KINDS_QUERY     INGEST_KIND(PACKET_QUERY)
#define INGEST_QUEUE_NONE      UINT32_MAX
#define INGEST_SESSION_FOREVER UINT64_MAX

struct ingest_session {
    uint8_t key[PACKET_KEY_BYTES]; // random, of this session only. Not used without `tagged`
    bool tagged;                   // false: a closed network, frames carry no tag
    uint8_t kinds;                 // INGEST_KIND of what it may ask; else FORBIDDEN
    uint16_t channel;              // of holds, orders and records; 0: none
    uint32_t rate;                 // items a second; 0: as many as come
    uint32_t burst;                // items at once, but for one larger frame; 0: one second's
    uint64_t expires_ms;           // engine time; INGEST_SESSION_FOREVER
    uint64_t owner;                // the caller's, for count and close_owner
};

// All below: any thread, blocking (a mutex), never a queue's.
//
// HF_FULL: as many as there may be, after those that have expired at now_ms were closed;
// HF_INVALID: no kinds, or expired already. *session is never 0, and not one that was open before
// (it comes again after 65,536 others of its place).
enum hf_status ingest_session_open(struct ingest_sessions *s, const struct ingest_session *what,
                                   uint64_t now_ms, uint32_t *session) HF_CHECKED;
// Frames that a queue is just looking at may still be decided. HF_NOT_FOUND.
enum hf_status ingest_session_close(struct ingest_sessions *s, uint32_t session);
// Moves the end, to any time. HF_NOT_FOUND.
enum hf_status ingest_session_extend(struct ingest_sessions *s, uint32_t session,
                                     uint64_t expires_ms);
// Closes them all and tells how many they were: a key was revoked.
uint32_t ingest_session_close_owner(struct ingest_sessions *s, uint64_t owner);
// Open, and not yet expired at now_ms.
uint32_t ingest_session_count_owner(struct ingest_sessions *s, uint64_t owner, uint64_t now_ms);
// HF_NOT_FOUND. *queue: INGEST_QUEUE_NONE before the first good frame. Neither may be NULL.
enum hf_status ingest_session_read(struct ingest_sessions *s, uint32_t session,
                                   struct ingest_session *out, uint32_t *queue);
// Closes what has expired at now_ms; tells how many. open does so when it needs room; a clock that
// calls this now and then keeps the count honest.
uint32_t ingest_sessions_sweep(struct ingest_sessions *s, uint64_t now_ms);
uint32_t ingest_sessions_open_count(const struct ingest_sessions *s); // any thread, wait-free
uint32_t ingest_sessions_max(const struct ingest_sessions *s);

#endif
