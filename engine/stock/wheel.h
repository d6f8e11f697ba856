// One timer for a slot's whole life: its deadline while held, the end of its id window afterwards.
//
// A slot is on exactly one list from the moment it is decided until it is forgotten: the lists are
// intrusive (one u32 link a slot, beside the slots), so a timer costs no memory of its own, and a
// stale one can't exist. Moving a deadline writes nothing here: the slot is looked at when its
// list comes up and put back where it belongs (lazily re-armed).
//
// A place is eight lists, filled in turn and drained in turn: a list is a walk through memory, one
// miss after the other, and eight walks miss side by side.
//
// Hashed and hierarchical (Varghese and Lauck, SOSP 1987): ticks of 1 ms; 4,096 lists of 1 tick,
// 4,096 of 4.096 s, 4,096 of 4.7 h. Each thread has lists of its own to push to, by one swap of a
// head that no other pusher touches; the one drainer takes whole lists by exchange.
#ifndef HOLDFAST_STOCK_WHEEL_H
#define HOLDFAST_STOCK_WHEEL_H

#include "base/atomics.h"
#include "base/limits.h"

#include <stdint.h>

#define STOCK_WHEEL_BITS   12
#define STOCK_WHEEL_SLOTS  (1u << STOCK_WHEEL_BITS)
#define STOCK_WHEEL_LEVELS 3
#define STOCK_WHEEL_LANES  8u
#define STOCK_WHEEL_SPAN   (UINT64_C(1) << (STOCK_WHEEL_BITS * STOCK_WHEEL_LEVELS))

struct stock_wheel {
    uint32_t late; // list of slots whose tick had passed when they arrived
    uint32_t lane; // where the owner pushes next
    uint32_t heads[STOCK_WHEEL_LEVELS][STOCK_WHEEL_SLOTS][STOCK_WHEEL_LANES];
};

struct stock_wheels {
    uint32_t *links;            // one a slot
    struct stock_wheel *wheels; // one a thread number
    uint32_t wheel_count;
    uint64_t now; // last tick that was drained
    // The drainer's own:
    uint32_t lists[STOCK_WHEEL_LANES]; // taken, not yet handed out
    uint32_t open;   // of them, not empty
    uint32_t lane;   // handed out last
    uint32_t thread; // next wheel to look at
    uint32_t level;  // next level to look at, of that wheel
    uint32_t ahead;  // cursor of stock_wheel_ahead
};

// Sets the present tick; before any push.
void stock_wheel_start(struct stock_wheels *w, uint64_t tick);
// Puts a slot, which is on no list, where it comes up at `tick` or just after. Lock-free; thread
// is the caller's number.
void stock_wheel_push(struct stock_wheels *w, uint32_t thread, uint32_t slot, uint64_t tick);
// The same for a chain: links[first] leads on to last, whose own link is set here.
void stock_wheel_push_chain(struct stock_wheels *w, uint32_t thread, uint32_t first, uint32_t last,
                            uint64_t tick);
// The next slot whose list has come up by `tick`; 0: none. It is on no list now. One thread.
uint32_t stock_wheel_next(struct stock_wheels *w, uint64_t tick);
// Takes the lists of one further place of the upper levels before their time, so that slots can be
// looked at early. Call when stock_wheel_next has returned 0; then its slots come next.
void stock_wheel_ahead(struct stock_wheels *w);

#endif
