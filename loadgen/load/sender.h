// Sends operations until their outcome is known.
//
//   submitted --> on its way --answer--> done (known)
//                  ^      | status that says: ask again; no answer in time; connection lost
//                  +-wait-+ with the same ids; doubling, jittered, at least what the server says
//                         | give_up_ms after it was submitted
//                         +--> done (UNKNOWN), to be asked again later, or to be listed
//
// Unary: each operation is a call. Stream: what has gathered goes as one message of each
// connection's stream; an ADJUST, which streams don't carry, is a call all the same.
// Packets: what packets have goes as items of frames, the rest as above; mixed: each try takes
// either way by chance, with the same ids.
// One thread a sender. The callback may submit.
#ifndef HOLDFAST_LOADGEN_SENDER_H
#define HOLDFAST_LOADGEN_SENDER_H

#include "load/cells.h"
#include "load/door.h"
#include "load/link.h"
#include "load/op.h"

enum sender_transport { SENDER_GRPC, SENDER_PACKET, SENDER_MIXED };

struct sender_options {
    struct link_options link;
    enum sender_transport transport;
    uint32_t frame_items, packet_try_ms; // packets
    struct wire_options wire;            // packets; eal NULL: over the kernel's UDP
    bool stream;
    uint32_t batch_max;   // stream: operations of a message, 1..1,024
    uint32_t window;      // stream: messages without all their results, each connection
    uint32_t deadline_ms; // of a try
    uint32_t give_up_ms;  // after sender_submit
    uint32_t wait_ms_min, wait_ms_max;
    uint64_t seed;             // of the jitter
    const struct cells *cells; // borrowed
    void (*done)(void *ctx, struct op *op);
    void *ctx;
};

// Of tries that did not tell.
struct sender_counts {
    uint64_t tries, messages, breaks; // all tries; stream messages; streams that ended
    uint64_t again[LINK_CODE_COUNT];  // by status
    struct packet_client_counts packets;
};

struct sender;

enum hf_status sender_create(const struct sender_options *o, struct sender **out,
                             char why[200]) HF_CHECKED;
void sender_destroy(struct sender *s); // with nothing open

// op->tries is 0 the first time; one that was UNKNOWN may be submitted again as it is, and counts
// on. Sends at the next sender_poll or at once.
void sender_submit(struct sender *s, struct op *op);
uint32_t sender_open(const struct sender *s); // submitted and not done
// Sends what has gathered, waits for something to happen until `until_ns` (0: not at all), and runs
// callbacks.
void sender_poll(struct sender *s, uint64_t until_ns);
// How operations fared, up to now. The owner's thread.
const struct sender_counts *sender_counts(struct sender *s);
struct link *sender_link(struct sender *s);

#endif
