// What the files of the loop share. queue.c: frames; item.c: items; ingest.c: set-up and words.
#ifndef HOLDFAST_INGEST_INTERNAL_H
#define HOLDFAST_INGEST_INTERNAL_H

#include "ingest/ingest.h"
#include "ingest/session_internal.h"

#include "base/memory.h"

// Requests that are decided together: beyond some hundred, what was fetched for the first would be
// out of the nearest cache before it is answered.
#define ASKED_MAX 256
// One frame of one item with many lines fits behind any number of others.
#define LINES_MAX (ASKED_MAX + PACKET_LINES_MAX)
static_assert(ASKED_MAX <= HF_BATCH_MAX, "the engine takes them at once");

// Who sent a frame, as it was when it was admitted.
struct sender {
    uint8_t key[PACKET_KEY_BYTES];
    uint16_t channel;
    uint8_t kinds;
    bool tagged;
    bool stale;       // the frame's directory is another one
    bool no_handles;  // it has none: fine as long as there are no lines
    uint8_t outcome;  // not 0: every item is answered so, undecided
    uint32_t wait_ms; // and told to wait so long
};

// A request that waits for core_execute: the item it came from, and its lines' answers.
struct asked {
    uint8_t *at;
    uint16_t frame;
    uint16_t line; // the first, in lines and line_answers
    uint8_t kind, lines;
};

struct ingest_queue {
    // What each burst reads.
    struct core *core;
    struct core_worker *worker;
    struct ingest_port *port;
    struct session_table sessions;
    struct session_window *windows; // a place each
    struct ingest_frame *held;      // a ring
    uint32_t held_mask, held_max;
    uint32_t number, burst;
    uint64_t generation;
    bool waits; // answers do, for the disk

    // The queue's thread.
    uint64_t now_ms;
    uint32_t frame_count, asked_count, line_count;
    uint64_t held_in, held_out; // ever; their difference is held. held_out: read by any
    struct ingest_frame frames[INGEST_BURST_MAX];
    struct packet_header headers[INGEST_BURST_MAX];
    struct sender senders[INGEST_BURST_MAX];
    struct ingest_frame out[INGEST_BURST_MAX];
    struct asked asked[ASKED_MAX];
    struct core_request requests[ASKED_MAX];
    struct core_answer answers[ASKED_MAX];
    struct core_line lines[LINES_MAX];
    struct core_line_answer line_answers[LINES_MAX];
    struct ingest_metrics metrics; // read by any, relaxed

    struct hf_memory held_memory, window_memory;
    uint32_t waiting __attribute__((aligned(HF_CACHE_LINE))); // answers wait, the thread may sleep
} __attribute__((aligned(HF_CACHE_LINE)));

static inline void count_add(uint64_t *counter, uint64_t more)
{
    hf_store_relaxed(counter, *counter + more);
}

// Asks, or answers at once, every item of frame f.
void frame_ask(struct ingest_queue *q, uint32_t f);
// Decides what was asked and writes the answers; frames' tickets rise.
void asked_decide(struct ingest_queue *q);

#endif
