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
    uint64_t lists = (uint64_t)STOCK_WHEEL_HEADS + 1;
    return (uint32_t)(ids / STOCK_WHEEL_ENTRIES + threads * (lists + CACHED) + CACHED +
                      STOCK_WHEEL_LEVELS + 4 * STOCK_WHEEL_RETIRED);
}

void stock_wheel_init(struct stock_wheels *w, uint32_t blocks)
{
    stock_pool_init(&w->pool, w->blocks, sizeof *w->blocks, 0, blocks);
    w->cache.pool = &w->pool;
    for (uint32_t i = 0; i < w->wheel_count; i++)
        w->wheels[i].cache.pool = &w->pool;
}

static unsigned shift_of(unsigned level)
{
    return level * STOCK_WHEEL_BITS;
}

static uint32_t head_number(unsigned level, uint64_t at)
{
    uint32_t lists = level < STOCK_WHEEL_LEVELS - 1 ? STOCK_WHEEL_LISTS : STOCK_WHEEL_SLOTS;
    return level * STOCK_WHEEL_LISTS + (uint32_t)(at & (lists - 1));
}

// The level of a tick. Its place there is two or more ahead, of an upper level: not opened yet.
static unsigned level_of(uint64_t now, uint64_t tick)
{
    unsigned level = 0;
    while (level < STOCK_WHEEL_LEVELS - 1 &&
           (tick >> shift_of(level)) - (now >> shift_of(level)) >= STOCK_WHEEL_LISTS)
        level++;
    return level;
}

// An upper place is opened when the one before it begins.
static bool is_open(unsigned level, uint64_t now, uint64_t tick)
{
    return (now >> shift_of(level)) + (level > 0) >= tick >> shift_of(level);
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
    for (unsigned level = 0; level < STOCK_WHEEL_LEVELS; level++)
        w->cursors[level] = (struct stock_wheel_cursor){.thread = w->wheel_count};
}

static void late_tell(struct stock_wheel *wheel, uint32_t place)
{
    uint32_t in = hf_load_relaxed(&wheel->late_in);
    HF_ASSERT(in - hf_load_acquire(&wheel->late_out) < STOCK_WHEEL_LATE);
    hf_store_relaxed(&wheel->late[in % STOCK_WHEEL_LATE], place);
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
    unsigned level = level_of(now, tick);
    uint32_t place = head_number(level, tick >> shift_of(level));
    list_push(w, wheel, &wheel->heads[place], slots, count);
    if (is_open(level, hf_load_seq(&w->now), tick)) // W1
        late_tell(wheel, place);
}

// Opens block `at` of a list that was taken.
static void block_open(struct stock_wheels *w, struct stock_wheel_cursor *c, uint32_t at)
{
    struct stock_wheel_block *b = &w->blocks[at];
    uint32_t word = hf_load_acquire(&b->word);
    if (word < STOCK_WHEEL_ENTRIES)
        word = hf_exchange(&b->word, STOCK_WHEEL_SEALED); // B1, pairs with B0
    c->open = at;
    c->left = word;
    hf_prefetch(&w->blocks[hf_load_relaxed(&b->next)]);
}

// Takes a list to hand out. False: it was empty.
static bool list_take(struct stock_wheels *w, struct stock_wheel_cursor *c, uint32_t *head)
{
    uint32_t at = hf_load_seq(head) ? hf_exchange(head, 0u) : 0; // after W0
    if (at)
        block_open(w, c, at);
    return at != 0;
}

static uint32_t slot_take(struct stock_wheels *w, struct stock_wheel_cursor *c)
{
    struct stock_wheel_block *b = &w->blocks[c->open];
    uint32_t slot = hf_load_relaxed(&b->slots[--c->left]);
    if (c->left > 0)
        return slot;
    uint32_t next = hf_load_relaxed(&b->next);
    hf_store_relaxed(&b->next, w->retired);
    w->retired = c->open;
    w->retired_count++;
    c->open = 0;
    if (next)
        block_open(w, c, next);
    return slot;
}

// What the cursor's place holds. 0: no more.
static uint32_t upper_next(struct stock_wheels *w, unsigned level)
{
    struct stock_wheel_cursor *c = &w->cursors[level];
    while (!c->open) {
        if (c->thread == w->wheel_count)
            return 0;
        list_take(w, c, &w->wheels[c->thread++].heads[c->place]);
    }
    return slot_take(w, c);
}

// A place that a late push to this wheel has told. False: none, or its list was taken meanwhile, or
// will be: an upper place that is being handed out, where nothing is due yet.
static bool late_take(struct stock_wheels *w, uint32_t thread)
{
    struct stock_wheel *wheel = &w->wheels[thread];
    uint32_t out = hf_load_relaxed(&wheel->late_out);
    while (out != hf_load_acquire(&wheel->late_in)) { // L1, pairs with L0
        uint32_t place = hf_load_relaxed(&wheel->late[out % STOCK_WHEEL_LATE]);
        hf_store_release(&wheel->late_out, ++out);
        const struct stock_wheel_cursor *c = &w->cursors[place / STOCK_WHEEL_LISTS];
        bool comes = place >= STOCK_WHEEL_LISTS && c->place == place && c->thread <= thread;
        if (!comes && list_take(w, &w->cursors[0], &wheel->heads[place]))
            return true;
    }
    return false;
}

// What is due at the present tick: of each wheel its list, then what came late. 0: no more.
static uint32_t lowest_next(struct stock_wheels *w)
{
    struct stock_wheel_cursor *c = &w->cursors[0];
    while (!c->open) {
        if (c->thread == w->wheel_count)
            return 0;
        if (!list_take(w, c, &w->wheels[c->thread].heads[c->place]) && !late_take(w, c->thread))
            c->thread++;
    }
    return slot_take(w, c);
}

// The highest level of which a place is opened at this tick.
static unsigned opens_at(uint64_t tick)
{
    unsigned level = 0;
    while (level < STOCK_WHEEL_LEVELS - 1 &&
           (tick & ((UINT64_C(1) << shift_of(level + 1)) - 1)) == 0)
        level++;
    return level;
}

static void tick_begin(struct stock_wheels *w, uint64_t now)
{
    hf_store_seq(&w->now, now); // W0
    for (unsigned level = opens_at(now);; level--) {
        struct stock_wheel_cursor *c = &w->cursors[level];
        c->place = head_number(level, (now >> shift_of(level)) + (level > 0));
        c->thread = 0;
        if (level == 0)
            return;
    }
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
    uint32_t slot;
    while ((slot = lowest_next(w)) == 0 && w->now < tick) {
        // What was opened before is handed out by now, and before the first tick that it holds.
        for (unsigned level = opens_at(w->now + 1); level > 0; level--)
            if ((slot = upper_next(w, level)) != 0)
                return slot;
        tick_begin(w, w->now + 1);
    }
    for (unsigned level = 1; slot == 0 && level < STOCK_WHEEL_LEVELS; level++)
        slot = upper_next(w, level);
    return slot;
}

uint32_t stock_wheel_ahead(struct stock_wheels *w, uint32_t most)
{
    for (uint32_t passed = 1; passed <= most; passed++) {
        uint32_t at = w->ahead++ % stock_wheel_places(w);
        uint32_t place = at / w->wheel_count;
        struct stock_wheel *wheel = &w->wheels[at % w->wheel_count];
        struct stock_wheel_cursor *c = &w->cursors[place / STOCK_WHEEL_LISTS];
        HF_ASSERT(!c->open);
        if (list_take(w, c, &wheel->heads[place]))
            return passed;
    }
    return most;
}
