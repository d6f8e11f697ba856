// A push and the drainer's advance race: the push may land on a list that was just drained and
// would wait there for a whole turn. Each states its intent before it looks (both sequentially
// consistent): the drainer stores `now` before it takes the list (W0); the pusher swaps the head
// and then loads `now` (W1). At least one sees the other. A pusher that sees that it came late
// takes the whole list back and moves it to `late`, which the drainer always looks at.
#include "stock/wheel.h"

#include <stddef.h>

// The place of a tick: STOCK_WHEEL_LANES heads.
static uint32_t *place_of(struct stock_wheel *wheel, uint64_t now, uint64_t tick, unsigned *shift)
{
    for (unsigned level = 0; level < STOCK_WHEEL_LEVELS; level++) {
        *shift = level * STOCK_WHEEL_BITS;
        uint64_t at = tick >> *shift, base = now >> *shift;
        if (at - base < STOCK_WHEEL_SLOTS || level == STOCK_WHEEL_LEVELS - 1)
            return wheel->heads[level][at & (STOCK_WHEEL_SLOTS - 1)];
    }
    return NULL;
}

static void list_push(struct stock_wheels *w, uint32_t *head, uint32_t first, uint32_t last)
{
    uint32_t old = hf_load_relaxed(head);
    do
        hf_store_relaxed(&w->links[last], old);
    while (!hf_cas(head, &old, first));
}

void stock_wheel_start(struct stock_wheels *w, uint64_t tick)
{
    hf_store_seq(&w->now, tick);
}

void stock_wheel_push(struct stock_wheels *w, uint32_t thread, uint32_t slot, uint64_t tick)
{
    stock_wheel_push_chain(w, thread, slot, slot, tick);
}

void stock_wheel_push_chain(struct stock_wheels *w, uint32_t thread, uint32_t first, uint32_t last,
                            uint64_t tick)
{
    struct stock_wheel *wheel = &w->wheels[thread];
    uint64_t now = hf_load_acquire(&w->now);
    if (tick <= now)
        tick = now + 1;
    if (tick - now >= STOCK_WHEEL_SPAN - STOCK_WHEEL_SLOTS)
        tick = now + STOCK_WHEEL_SPAN - STOCK_WHEEL_SLOTS; // looked at early, put back then
    unsigned shift;
    uint32_t *head = place_of(wheel, now, tick, &shift) + wheel->lane++ % STOCK_WHEEL_LANES;
    list_push(w, head, first, last);
    if (hf_load_seq(&w->now) >> shift < tick >> shift) // W1
        return;
    for (uint32_t at = hf_exchange(head, 0u); at != 0;) {
        uint32_t next = hf_load_relaxed(&w->links[at]);
        list_push(w, &wheel->late, at, at);
        at = next;
    }
}

// Takes `count` lists to hand out. False: they were empty.
static bool lists_take(struct stock_wheels *w, uint32_t *heads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        w->lists[i] = hf_load_seq(&heads[i]) ? hf_exchange(&heads[i], 0u) : 0; // after W0
        if (w->lists[i]) {
            w->open++;
            hf_prefetch(&w->links[w->lists[i]]);
        }
    }
    return w->open > 0;
}

// The lists of one wheel that the present tick opens, one place a call. False: no more.
static bool wheel_take(struct stock_wheels *w, struct stock_wheel *wheel, uint64_t now)
{
    while (w->level <= STOCK_WHEEL_LEVELS) {
        unsigned level = w->level++, shift = level * STOCK_WHEEL_BITS;
        if (level == STOCK_WHEEL_LEVELS) {
            if (lists_take(w, &wheel->late, 1))
                return true;
        } else if ((now & ((UINT64_C(1) << shift) - 1)) == 0 &&
                   lists_take(w, wheel->heads[level][(now >> shift) & (STOCK_WHEEL_SLOTS - 1)],
                              STOCK_WHEEL_LANES)) {
            return true;
        }
    }
    return false;
}

// One slot of the open lists, each in turn.
static uint32_t slot_take(struct stock_wheels *w)
{
    do
        w->lane = (w->lane + 1) % STOCK_WHEEL_LANES;
    while (!w->lists[w->lane]);
    uint32_t slot = w->lists[w->lane], next = hf_load_relaxed(&w->links[slot]);
    w->lists[w->lane] = next;
    if (next)
        hf_prefetch(&w->links[next]);
    else
        w->open--;
    return slot;
}

uint32_t stock_wheel_next(struct stock_wheels *w, uint64_t tick)
{
    for (;;) {
        if (w->open)
            return slot_take(w);
        if (w->thread < w->wheel_count) {
            if (!wheel_take(w, &w->wheels[w->thread], w->now)) {
                w->thread++;
                w->level = 0;
            }
            continue;
        }
        if (w->now >= tick)
            return 0;
        hf_store_seq(&w->now, w->now + 1); // W0
        w->thread = 0;
        w->level = 0;
    }
}

void stock_wheel_ahead(struct stock_wheels *w)
{
    uint32_t cursor = w->ahead++ % (STOCK_WHEEL_SLOTS * 2 * w->wheel_count);
    struct stock_wheel *wheel = &w->wheels[cursor % w->wheel_count];
    uint32_t place = cursor / w->wheel_count;
    lists_take(w, wheel->heads[1 + (place & 1)][place >> 1], STOCK_WHEEL_LANES);
}
