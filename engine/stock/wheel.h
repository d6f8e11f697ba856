// One timer for a slot's whole life: its deadline while held, the end of its id window afterwards.
//
// A slot is on exactly one list from the moment it is decided until it is forgotten, so a stale
// timer can't exist, and memory for all is there from the start. Moving a deadline writes nothing
// here: the slot is looked at when its list comes up and put back where it belongs (lazily
// re-armed).
//
// A list is a chain of blocks, one cache line each with up to 14 slots: a link a slot would be a
// cache miss for the pusher and one more, behind the one before, for the drainer.
//
// Hashed and hierarchical (Varghese and Lauck, SOSP 1987): ticks of 1 ms; 8,192 lists of 1 tick,
// 8,192 of 4.096 s, 4,096 of 4.7 h. Each thread has lists of its own to push to, which no other
// pusher touches; the one drainer takes whole lists by exchange.
//
// A list of an upper level is opened a whole width before the first tick that it holds, and handed
// out between what is due: it may be long, and deadlines don't wait for it. What it holds by then
// belongs to the levels below, which reach two widths ahead for that.
//
// Pushers are inside RCU steps: one may be about to write to a block that has just been drained.
#ifndef HOLDFAST_STOCK_WHEEL_H
#define HOLDFAST_STOCK_WHEEL_H

#include "base/atomics.h"
#include "base/limits.h"
#include "stock/pool.h"

#include <assert.h>
#include <stdint.h>

#define STOCK_WHEEL_BITS   12
#define STOCK_WHEEL_SLOTS  (1u << STOCK_WHEEL_BITS)
#define STOCK_WHEEL_LEVELS 3
#define STOCK_WHEEL_LISTS  (2 * STOCK_WHEEL_SLOTS) // of a level; the highest has half as many
#define STOCK_WHEEL_HEADS  (STOCK_WHEEL_LISTS * STOCK_WHEEL_LEVELS - STOCK_WHEEL_SLOTS)
#define STOCK_WHEEL_SPAN   (UINT64_C(1) << (STOCK_WHEEL_BITS * STOCK_WHEEL_LEVELS))

#define STOCK_WHEEL_ENTRIES 14
struct stock_wheel_block {
    uint32_t word; // slots in it; STOCK_WHEEL_SEALED once it takes no more
    uint32_t next; // block below
    uint32_t slots[STOCK_WHEEL_ENTRIES];
} __attribute__((aligned(HF_CACHE_LINE)));
static_assert(sizeof(struct stock_wheel_block) == HF_CACHE_LINE, "one cache line");
#define STOCK_WHEEL_SEALED (UINT32_C(1) << 31)

// Lists are named by their newest block; 0: empty.
#define STOCK_WHEEL_LATE 4 // a power of two
struct stock_wheel {
    // Places on which slots arrived whose tick had passed: the drainer takes them once more.
    uint32_t late[STOCK_WHEEL_LATE];                                  // number of the head
    uint32_t late_in;                                                 // told so far; the owner's
    uint32_t late_out;                                                // done so far; the drainer's
    uint32_t heads[STOCK_WHEEL_HEADS];                                // level after level
    struct stock_cache cache __attribute__((aligned(HF_CACHE_LINE))); // the owner's
};

// What the drainer hands out of one level: one place, of one wheel after the other.
struct stock_wheel_cursor {
    uint32_t open, left; // block that is handed out, slots left in it
    uint32_t place;      // number of the head
    uint32_t thread;     // next wheel to take it of
};

struct stock_wheels {
    struct stock_wheel_block *blocks;
    struct stock_wheel *wheels; // one a thread
    uint32_t wheel_count;
    struct stock_pool pool;                               // of blocks
    uint64_t now __attribute__((aligned(HF_CACHE_LINE))); // last tick that was drained
    // The drainer's own:
    struct stock_cache cache;
    struct stock_wheel_cursor cursors[STOCK_WHEEL_LEVELS];
    uint32_t retired, retired_count; // drained blocks that wait for a grace period
    uint32_t ahead;                  // places that stock_wheel_ahead has passed
};

// Blocks that `ids` slots on the lists of `threads` threads can need at most.
uint32_t stock_wheel_blocks(uint32_t ids, uint32_t threads);
// blocks and wheels are set and zero. Set-up.
void stock_wheel_init(struct stock_wheels *w, uint32_t blocks);
// Sets the present tick; before any push, and before stock_wheel_next.
void stock_wheel_start(struct stock_wheels *w, uint64_t tick);
// Puts slots, which are on no list, where they come up at `tick` or just after. Lock-free; thread
// is the caller's number; inside an RCU step.
void stock_wheel_push_all(struct stock_wheels *w, uint32_t thread, const uint32_t *slots,
                          uint32_t count, uint64_t tick);
static inline void stock_wheel_push(struct stock_wheels *w, uint32_t thread, uint32_t slot,
                                    uint64_t tick)
{
    stock_wheel_push_all(w, thread, &slot, 1, tick);
}
// The next slot whose list has come up by `tick`, what is due before what upper lists hold; 0:
// none. It is on no list now. One thread.
uint32_t stock_wheel_next(struct stock_wheels *w, uint64_t tick);
// When that many drained blocks wait, and at any time: wait for a grace period, then call
// stock_wheel_reclaim. The drainer, outside of a step.
#define STOCK_WHEEL_RETIRED 1024
void stock_wheel_reclaim(struct stock_wheels *w);
// Takes one further list before its time, so that slots can be looked at early, passing at most
// `most` places. Returns how many it passed. Call when stock_wheel_next has returned 0; then its
// slots come next.
uint32_t stock_wheel_ahead(struct stock_wheels *w, uint32_t most);
static inline uint32_t stock_wheel_places(const struct stock_wheels *w) // of a whole turn
{
    return STOCK_WHEEL_HEADS * w->wheel_count;
}

#endif
