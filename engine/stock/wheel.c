// A push and the drainer's advance race: the push may land on a list that was just drained and
// would wait there for a whole turn. Each states its intent before it looks (both sequentially
// consistent): the drainer stores `now` before it takes the list (W0); the pusher makes its slots
// visible and then loads `now` (W1). At least one sees the other. A pusher that sees that it came
// late tells the drainer the place (L0); the drainer looks at what it was told each tick (L1) and
// takes that list once more. The pusher never takes a list itself: stopped with it in its hand, it
// would hold up what others' decisions wait for, its own earlier slots.
//
// A push is late only when `now` moved while it ran, and between two looks at a wheel `now` moves
// once: at most two places wait there, the one of a push that ran then and the one of a push that
// began before the look and told its place after it.
//
// A block is filled while it is on its list: the owner writes slots behind the ones that count and
// then raises the count by a swap (B0); the drainer, which took the list before, seals the block
// (B1) and hands out what counted then. A swap that finds the seal fails, and the slots go to a new
// block. What the owner wrote before that swap lands in a drained block, where nobody looks: it is
// not used again before a grace period has passed, and the owner is inside a step.
#include "stock/wheel.h"

#include "base/status.h"

#include <stddef.h>

#define CACHED (2 * STOCK_POOL_CHUNK) // blocks in one thread's cache

uint32_t stock_wheel_blocks(uint32_t ids, uint32_t threads)
{
    // Full ones; one on each list that is not; caches; drained ones.
    uint64_t lists = (uint64_t)STOCK_WHEEL_LEVELS * STOCK_WHEEL_SLOTS + 1;
    return (uint32_t)(ids / STOCK_WHEEL_ENTRIES + threads * (lists + CACHED) + CACHED +
                      4 * STOCK_WHEEL_RETIRED);
}

void stock_wheel_init(struct stock_wheels *w, uint32_t blocks)
{
    stock_pool_init(&w->pool, w->blocks, sizeof *w->blocks, 0, blocks);
    w->cache.pool = &w->pool;
    for (uint32_t i = 0; i < w->wheel_count; i++)
        w->wheels[i].cache.pool = &w->pool;
}

static uint32_t *head_of(struct stock_wheel *wheel, unsigned level, uint64_t at)
{
    return &wheel->heads[level * STOCK_WHEEL_SLOTS + (at & (STOCK_WHEEL_SLOTS - 1))];
}

// The place of a tick: a list's head.
static uint32_t *place_of(struct stock_wheel *wheel, uint64_t now, uint64_t tick, unsigned *shift)
{
    for (unsigned level = 0;; level++) {
        *shift = level * STOCK_WHEEL_BITS;
        uint64_t at = tick >> *shift, base = now >> *shift;
        if (at - base < STOCK_WHEEL_SLOTS || level == STOCK_WHEEL_LEVELS - 1)
            return head_of(wheel, level, at);
    }
}

static uint32_t entries_write(struct stock_wheel_block *b, uint32_t from, const uint32_t *slots,
                              uint32_t count)
{
    uint32_t n = STOCK_WHEEL_ENTRIES - from;
    if (n > count)
        n = count;
    for (uint32_t i = 0; i < n; i++)
        hf_store_relaxed(&b->slots[from + i], slots[i]);
    return n;
}

// Adds to the list's newest block. Returns how many went in.
static uint32_t block_fill(struct stock_wheel_block *b, const uint32_t *slots, uint32_t count)
{
    uint32_t word = hf_load_acquire(&b->word);
    if (word >= STOCK_WHEEL_ENTRIES) // full, or sealed
        return 0;
    uint32_t n = entries_write(b, word, slots, count);
    return hf_cas(&b->word, &word, word + n) ? n : 0; // B0, pairs with B1
}

static void list_push(struct stock_wheels *w, struct stock_wheel *wheel, uint32_t *head,
                      const uint32_t *slots, uint32_t count)
{
    uint32_t newest = hf_load_acquire(head), done = 0;
    if (newest)
        done = block_fill(&w->blocks[newest], slots, count);
    while (done < count) {
        uint32_t at = stock_acquire(&wheel->cache);
        HF_ASSERT(at != 0); // stock_wheel_blocks counts them
        struct stock_wheel_block *b = &w->blocks[at];
        uint32_t n = entries_write(b, 0, slots + done, count - done);
        hf_store_relaxed(&b->word, n);
        do
            hf_store_relaxed(&b->next, newest);
        while (!hf_cas(head, &newest, at)); // fails once at most: the drainer took the list
        newest = at;
        done += n;
    }
}

void stock_wheel_start(struct stock_wheels *w, uint64_t tick)
{
    hf_store_seq(&w->now, tick);
}

static void late_tell(struct stock_wheel *wheel, const uint32_t *head)
{
    uint32_t in = hf_load_relaxed(&wheel->late_in);
    HF_ASSERT(in - hf_load_acquire(&wheel->late_out) < STOCK_WHEEL_LATE);
    hf_store_relaxed(&wheel->late[in % STOCK_WHEEL_LATE], (uint32_t)(head - wheel->heads));
    hf_store_release(&wheel->late_in, in + 1); // L0, pairs with L1
}

void stock_wheel_push_all(struct stock_wheels *w, uint32_t thread, const uint32_t *slots,
                          uint32_t count, uint64_t tick)
{
    struct stock_wheel *wheel = &w->wheels[thread];
    uint64_t now = hf_load_acquire(&w->now);
    if (tick <= now)
        tick = now + 1;
    if (tick - now >= STOCK_WHEEL_SPAN - STOCK_WHEEL_SLOTS)
        tick = now + STOCK_WHEEL_SPAN - STOCK_WHEEL_SLOTS; // looked at early, put back then
    unsigned shift;
    uint32_t *head = place_of(wheel, now, tick, &shift);
    list_push(w, wheel, head, slots, count);
    if (hf_load_seq(&w->now) >> shift >= tick >> shift) // W1
        late_tell(wheel, head);
}

// Opens block `at` of a list that was taken.
static void block_open(struct stock_wheels *w, uint32_t at)
{
    struct stock_wheel_block *b = &w->blocks[at];
    uint32_t word = hf_load_acquire(&b->word);
    if (word < STOCK_WHEEL_ENTRIES)
        word = hf_exchange(&b->word, STOCK_WHEEL_SEALED); // B1, pairs with B0
    w->open = at;
    w->left = word;
    hf_prefetch(&w->blocks[hf_load_relaxed(&b->next)]);
}

// Takes a list to hand out. False: it was empty.
static bool list_take(struct stock_wheels *w, uint32_t *head)
{
    uint32_t at = hf_load_seq(head) ? hf_exchange(head, 0u) : 0; // after W0
    if (at)
        block_open(w, at);
    return at != 0;
}

// A place that a late push has told. False: none, or its list was taken meanwhile.
static bool late_take(struct stock_wheels *w, struct stock_wheel *wheel)
{
    uint32_t out = hf_load_relaxed(&wheel->late_out);
    while (out != hf_load_acquire(&wheel->late_in)) { // L1, pairs with L0
        uint32_t place = hf_load_relaxed(&wheel->late[out % STOCK_WHEEL_LATE]);
        hf_store_release(&wheel->late_out, ++out);
        if (list_take(w, &wheel->heads[place]))
            return true;
    }
    return false;
}

// The lists of one wheel that the present tick opens, one a call. False: no more.
static bool wheel_take(struct stock_wheels *w, struct stock_wheel *wheel, uint64_t now)
{
    while (w->level < STOCK_WHEEL_LEVELS) {
        unsigned level = w->level++, shift = level * STOCK_WHEEL_BITS;
        if ((now & ((UINT64_C(1) << shift) - 1)) == 0 &&
            list_take(w, head_of(wheel, level, now >> shift)))
            return true;
    }
    return late_take(w, wheel);
}

static uint32_t slot_take(struct stock_wheels *w)
{
    struct stock_wheel_block *b = &w->blocks[w->open];
    uint32_t slot = hf_load_relaxed(&b->slots[--w->left]);
    if (w->left > 0)
        return slot;
    uint32_t next = hf_load_relaxed(&b->next);
    hf_store_relaxed(&b->next, w->retired);
    w->retired = w->open;
    w->retired_count++;
    w->open = 0;
    if (next)
        block_open(w, next);
    return slot;
}

void stock_wheel_reclaim(struct stock_wheels *w)
{
    for (uint32_t at = w->retired; at != 0;) {
        uint32_t next = hf_load_relaxed(&w->blocks[at].next);
        stock_release(&w->cache, at);
        at = next;
    }
    w->retired = w->retired_count = 0;
    stock_cache_flush(&w->cache); // the drainer only frees
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

uint32_t stock_wheel_ahead(struct stock_wheels *w, uint32_t most)
{
    for (uint32_t passed = 1; passed <= most; passed++) {
        uint32_t cursor = w->ahead++ % stock_wheel_places(w);
        struct stock_wheel *wheel = &w->wheels[cursor % w->wheel_count];
        uint32_t place = cursor / w->wheel_count;
        if (list_take(w, head_of(wheel, 1 + (place & 1), place >> 1)))
            return passed;
    }
    return most;
}
