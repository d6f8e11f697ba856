// A push and the drainer's advance race: the push may land on a list that was just drained and
// would wait there for a whole turn. Each states its intent before it looks (both sequentially
// consistent): the drainer stores `now` before it takes the list (W0); the pusher swaps the head
// and then loads `now` (W1). At least one sees the other. A pusher that sees that it came late
// takes the whole list back and moves it to `late`, which the drainer always looks at.
#include "stock/wheel.h"

#include <stddef.h>

static uint32_t *place_of(struct stock_wheel *wheel, uint64_t now, uint64_t tick, unsigned *shift)
{
    for (unsigned level = 0; level < STOCK_WHEEL_LEVELS; level++) {
        *shift = level * STOCK_WHEEL_BITS;
        uint64_t at = tick >> *shift, base = now >> *shift;
        if (at - base < STOCK_WHEEL_SLOTS || level == STOCK_WHEEL_LEVELS - 1)
            return &wheel->heads[level][at & (STOCK_WHEEL_SLOTS - 1)];
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
    uint32_t *head = place_of(wheel, now, tick, &shift);
    list_push(w, head, first, last);
    if (hf_load_seq(&w->now) >> shift < tick >> shift) // W1
        return;
    for (uint32_t at = hf_exchange(head, 0u); at != 0;) {
        uint32_t next = hf_load_relaxed(&w->links[at]);
        list_push(w, &wheel->late, at, at);
        at = next;
    }
}

static uint32_t list_take(uint32_t *head)
{
    return hf_load_acquire(head) ? hf_exchange(head, 0u) : 0;
}

// The lists of one wheel that the present tick opens, one a call.
static uint32_t wheel_take(struct stock_wheels *w, struct stock_wheel *wheel, uint64_t now)
{
    while (w->level <= STOCK_WHEEL_LEVELS) {
        uint32_t list = 0;
        if (w->level == STOCK_WHEEL_LEVELS) {
            list = list_take(&wheel->late);
        } else {
            unsigned shift = w->level * STOCK_WHEEL_BITS;
            if ((now & ((UINT64_C(1) << shift) - 1)) == 0)
                list = list_take(&wheel->heads[w->level][(now >> shift) & (STOCK_WHEEL_SLOTS - 1)]);
        }
        w->level++;
        if (list)
            return list;
    }
    return 0;
}

uint32_t stock_wheel_next(struct stock_wheels *w, uint64_t tick)
{
    for (;;) {
        if (w->list) {
            uint32_t slot = w->list;
            w->list = hf_load_relaxed(&w->links[slot]);
            return slot;
        }
        if (w->thread < w->wheel_count) {
            w->list = wheel_take(w, &w->wheels[w->thread], w->now);
            if (!w->list) {
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
    w->list = list_take(&wheel->heads[1 + (place & 1)][place >> 1]);
}
