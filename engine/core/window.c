// The id window's width: how long outcomes are kept.
//
// Memory short: all slots are looked at, a piece a step, and the ages of the outcomes counted. The
// window is cut at once to where enough of them lie beyond it; to narrow it bit by bit would free
// nothing for hours when all are young. They are found by one turn over the wheel, which begins
// once the floor that lets them go is durable. A quarter of the memory free again: it grows back.
//
// A count takes in what the window as it is will let go anyway, so one cut is made and not one
// after the other until its effect is seen.
#include "core/core_internal.h"

#define LOOKS    8192 // slots a step
#define PLACES   4096 // of the wheel a step
#define PAUSE_MS 1000 // between two counts, at most; and four times as long as one took

uint32_t window_granularity(const struct core *c)
{
    return hf_load_relaxed(&c->window_ms) / 64 + 1;
}

static void window_grow(struct core *c, uint64_t now_ms)
{
    if (now_ms - c->grown_at_ms < window_granularity(c))
        return;
    c->grown_at_ms = now_ms;
    uint64_t window = (uint64_t)c->window_ms + c->window_ms / 16 + 1;
    uint32_t most = c->options.window_ms;
    hf_store_relaxed(&c->window_ms, window < most ? (uint32_t)window : most);
}

static void count_begin(struct core_ages *a, uint64_t now_ms, uint32_t window_ms)
{
    *a = (struct core_ages){.at_ms = now_ms, .next = 1, .window_ms = window_ms};
}

// Counts one piece. True: that was the last.
static bool count_piece(struct core *c)
{
    struct core_ages *a = &c->ages;
    const struct stock_slots *slots = &c->stock.slots;
    uint64_t end = hf_load_relaxed(&slots->slot_pool.fresh);
    if (end > (uint64_t)slots->slot_pool.max + 1)
        end = (uint64_t)slots->slot_pool.max + 1;
    bool last = end <= (uint64_t)a->next + LOOKS;
    if (!last)
        end = (uint64_t)a->next + LOOKS;
    for (; a->next < end; a->next++) {
        const struct stock_slot *s = &slots->slots[a->next];
        if (stock_word_state(hf_load_relaxed(&s->word)) < CORE_STATE_COMMITTED)
            continue; // this thread alone frees an ended one
        uint64_t kept_to = stock_slot_time(s) + c->options.skew_ms;
        if (kept_to >= a->at_ms)
            continue; // no window lets it go yet
        uint64_t age = (a->at_ms - kept_to) * CORE_AGES / a->window_ms;
        a->counts[age < CORE_AGES ? age : CORE_AGES]++;
    }
    return last;
}

// The widest window that leaves 3/16 free.
static uint32_t window_that_frees(const struct core *c, uint64_t unused)
{
    const struct core_ages *a = &c->ages;
    uint64_t wanted = (uint64_t)c->options.ids_max * 3 / 16;
    uint32_t age = CORE_AGES;
    for (unused += a->counts[age]; age > 0 && unused < wanted;)
        unused += a->counts[--age];
    uint32_t window = (uint32_t)((uint64_t)a->window_ms * age / CORE_AGES);
    return window > c->options.window_min_ms ? window : c->options.window_min_ms;
}

static void window_cut(struct core *c, uint64_t now_ms, uint64_t unused)
{
    struct core_ages *a = &c->ages;
    if (a->next == 0) {
        if (now_ms >= c->count_at_ms)
            count_begin(a, now_ms, c->window_ms);
        return;
    }
    if (!count_piece(c))
        return;
    uint32_t window = window_that_frees(c, unused), pause = window_granularity(c);
    // Also when many outstay their window: a hold that ended early is found at its old deadline.
    bool overstay = a->counts[CORE_AGES] > c->options.ids_max / 16;
    if ((window < c->window_ms || overstay) && now_ms > window)
        c->sweep_floor_ms = now_ms - window;
    if (window < c->window_ms)
        hf_store_relaxed(&c->window_ms, window);
    c->count_at_ms = now_ms + (pause < PAUSE_MS ? pause : PAUSE_MS) + 4 * (now_ms - a->at_ms);
    a->next = 0;
}

void window_start(struct core *c, uint64_t now_ms)
{
    const struct core_options *o = &c->options;
    // What the floor has let go is gone: a wider window would only keep timers from coming up.
    uint64_t window = now_ms > c->floor_ms ? now_ms - c->floor_ms : 0;
    window = window > o->window_min_ms ? window : o->window_min_ms;
    c->window_ms = window < o->window_ms ? (uint32_t)window : o->window_ms;
    c->grown_at_ms = now_ms;
}

void window_step(struct core *c, uint64_t now_ms)
{
    uint64_t unused = stock_pool_free(&c->stock.slots.slot_pool), max = c->options.ids_max;
    if (unused < max / 8)
        window_cut(c, now_ms, unused);
    else
        c->ages.next = 0;
    if (unused > max / 4)
        window_grow(c, now_ms);
}

bool window_sweep(struct core *c)
{
    struct stock_wheels *wheels = &c->stock.wheels;
    if (c->sweep_floor_ms && c->floor_durable_ms >= c->sweep_floor_ms) {
        c->sweep_floor_ms = 0;
        c->sweep_left = stock_wheel_places(wheels);
    }
    if (c->sweep_left == 0)
        return false;
    uint32_t most = c->sweep_left < PLACES ? c->sweep_left : PLACES;
    c->sweep_left -= stock_wheel_ahead(wheels, most);
    return true;
}
