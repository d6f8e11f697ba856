// Frames of orders without an end, for the rows of packets: made where a network would put them.
//
// A frame is a template restamped as it is received: sequence, ids and handles are new each time,
// and the tag where the session has one. What that costs is in every row and in its yardstick, and
// told beside them.
#ifndef HOLDFAST_BENCH_FEED_H
#define HOLDFAST_BENCH_FEED_H

#include "ingest/port.h"
#include "packet/packet.h"

struct feed_options {
    uint32_t items; // a frame, one line each
    uint32_t cells; // handles below; 1: one hot cell
    uint32_t session;
    uint64_t generation;
    bool tagged;
    uint8_t key[PACKET_KEY_BYTES];
};

struct feed {
    struct feed_options options;
    void (*receiving)(bool begins); // told around the making of a burst; NULL: nobody
    uint64_t sequence, position; // position: of the pseudo-random ids
    uint64_t now_ms;             // of the ids; the caller keeps it fresh
    uint32_t bytes;              // of a frame
    uint8_t template[PACKET_BYTES_MAX];
};

void feed_init(struct feed *f, const struct feed_options *o);
// The next frame, f->bytes long.
void feed_make(struct feed *f, uint8_t *frame);

struct feed_result {
    uint64_t frames, done, other; // answered frames; their items by outcome
    uint64_t busy;                // of other: BUSY
};
// Counts what a reply says.
void feed_count(const struct feed *f, const uint8_t *frame, struct feed_result *out);

// A port in memory: frames come as fast as they are taken, at most `outstanding` at once; answers
// are counted and their memory is used again, the last one first, as a pool's cache would.
struct feed_port;
struct feed_port *feed_port_create(struct feed *f, uint32_t outstanding);
void feed_port_destroy(struct feed_port *p);
struct ingest_port *feed_port_of(struct feed_port *p);
struct feed_result feed_port_result(const struct feed_port *p); // since it was made

#endif
