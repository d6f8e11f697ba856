// What the files of the client share.
//
// Everything that is on its way lives in slots, named by index and, where a name may outlive what
// it names, by index and generation. The heap holds every slot that is taken: whatever happens to
// an item, it ends.
#ifndef HOLDFAST_PACKET_CLIENT_INTERNAL_H
#define HOLDFAST_PACKET_CLIENT_INTERNAL_H

#include "packet_client/packet_client.h"

#define NO_SLOT UINT32_MAX
#define BURST   32 // frames of one system call
// The one in use and those before it, in which answers are still read. A server lets a key have
// 256.
#define SESSIONS_KEPT 8

enum slot_state {
    SLOT_FREE,
    SLOT_QUEUED,  // for a frame
    SLOT_FLYING,  // until due_ns, then again
    SLOT_WAITING, // as the server told, until due_ns
};

struct slot {
    struct packet_client_item *item;
    enum slot_state state;
    uint32_t generation; // one more at each end
    uint32_t next;       // of the queue, or of the free ones
    uint32_t heap_at;
    uint32_t doublings;
    uint64_t due_ns, end_ns;
    uint64_t sequence;  // of the last frame that it was in
    uint64_t directory; // that its handles are of; 0: that of the first session it is sent in
};

// A frame that was sent. Its items answer it by their place, as replies don't tell their kind.
struct sent_frame {
    uint64_t sequence; // 0: none
    uint32_t session;
    uint16_t left; // items that still wait for this very frame
    uint16_t count;
    struct sent_item {
        uint32_t slot, generation;
    } items[UINT8_MAX];
};

struct session {
    struct packet_grant grant; // .session 0: none
    uint64_t begun_ns;
    bool heard; // somebody has answered in it
};

struct packet_client {
    struct packet_client_options o;
    struct packet_client_counts counts;
    struct slot *slots;
    uint32_t *heap; // of slots, by due_ns
    uint32_t heap_count, open, free;
    uint32_t queue_head, queue_tail, queued;
    uint64_t queued_since_ns; // the oldest of the queue
    struct sent_frame *sent;  // by sequence & sent_mask
    uint32_t sent_mask, flying_frames;
    uint64_t sequence, random;
    struct session sessions[SESSIONS_KEPT]; // the newest first; [0] is in use
    uint64_t first_unheard_ns;              // sent since somebody answered; 0: nothing was
    uint64_t silence_ns;                    // that long is a silence; grows while it lasts
    bool opening, control_busy;
    uint64_t open_due_ns, open_wait_ms;
    double allowance; // items that the session's rate allows
    uint64_t allowance_ns;
    uint8_t (*buffers)[PACKET_BYTES_MAX]; // BURST of them, in and out
};

static inline const struct packet_grant *client_grant(const struct packet_client *c)
{
    return &c->sessions[0].grant;
}

// ------------------------------------------------------------------------------- items.c
uint64_t client_now(const struct packet_client *c);
struct packet_item client_item(const struct packet_client_item *item); // as frames carry it
// ms +- half of it, in ns.
uint64_t client_jitter_ns(struct packet_client *c, uint64_t ms);
// Puts a slot that is in the heap at its place anew: at due_ns, or end_ns if that is earlier.
void slot_due(struct packet_client *c, uint32_t slot, uint64_t due_ns);
void slot_queue(struct packet_client *c, uint32_t slot);
// Takes the first of the queue out.
uint32_t slot_unqueue(struct packet_client *c);
// Ends the item: the slot is free, then `done` runs.
void slot_end(struct packet_client *c, uint32_t slot, enum packet_client_end end, uint64_t now);
// What is due by now: again, or given up.
void slots_due(struct packet_client *c, uint64_t now);

// ------------------------------------------------------------------------------- frames.c
void frames_send(struct packet_client *c, uint64_t now);
// How many frames came, good or bad.
uint32_t frames_receive(struct packet_client *c);
// The item does not wait for the frame that it was last in any more.
void frame_item_over(struct packet_client *c, const struct slot *s);

// ------------------------------------------------------------------------------- session.c
void session_step(struct packet_client *c, uint64_t now);
// When the session has to be looked after next.
uint64_t session_due(const struct packet_client *c);
void session_sent(struct packet_client *c, uint64_t now);
void session_heard(struct packet_client *c, struct session *s);
void sessions_close(struct packet_client *c); // all of them
// NULL: no session of ours.
struct session *session_find(struct packet_client *c, uint32_t session);
// How many items may be sent now.
uint32_t session_allowance(struct packet_client *c, uint64_t now);

#endif
