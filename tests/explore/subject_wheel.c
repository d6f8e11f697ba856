// The timers: pushers against the drainer. Each slot comes up once a push, and no later than the
// first look that begins after its push is over and reaches its tick and the drainer's time then
// by two: a list that comes late waits for the next tick. Drained blocks are used again after a
// grace period, and pushers may stand in one.
#include "explore/interleave.h"

#include "rcu/rcu.h"
#include "stock/wheel.h"

#include <stdio.h>
#include <string.h>

#define PUSHERS  2
#define DRAINER  PUSHERS
#define PUSHES   4
#define EACH     5 // slots of one push
#define SLOTS    (PUSHERS * PUSHES * EACH)
#define LOOKS    5
#define BLOCKS   600
#define LATE_MAX 2
#define START    4093 // a list of the second level opens at 4096

struct push {
    uint32_t first, count;
    uint64_t tick, to, now; // now: of the drainer, when the push was over
};

static struct {
    struct stock_wheels wheels;
    struct stock_wheel each[PUSHERS];
    struct stock_wheel_block blocks[BLOCKS + 1];
    struct push pushes[PUSHERS][PUSHES];
    uint32_t push_count[PUSHERS];
    uint64_t looks[LOOKS], look_from[LOOKS];
    uint32_t look_count;
    bool reclaim[LOOKS];
    bool far;                    // some pushes go to the second level
    uint32_t came[SLOTS + 1];    // how often
    uint32_t came_at[SLOTS + 1]; // look + 1
    uint64_t pushed, reclaimed;
} w;

static void pusher(uint32_t self)
{
    for (uint32_t n = 0; n < w.push_count[self]; n++) {
        struct push *p = &w.pushes[self][n];
        uint32_t slots[EACH];
        for (uint32_t i = 0; i < p->count; i++)
            slots[i] = p->first + i;
        explore_time();
        rcu_step_begin();
        stock_wheel_push_all(&w.wheels, self, slots, p->count, p->tick);
        rcu_step_end();
        p->now = w.wheels.now;
        p->to = explore_time();
        w.pushed += p->count;
    }
}

static void look(uint64_t tick, uint32_t number)
{
    for (uint32_t slot; (slot = stock_wheel_next(&w.wheels, tick)) != 0;) {
        explore_check(slot <= SLOTS, "slot %u was never pushed", slot);
        w.came[slot]++;
        w.came_at[slot] = number;
    }
}

static void body(void *ctx, uint32_t fiber)
{
    (void)ctx;
    if (fiber < PUSHERS) {
        pusher(fiber);
        return;
    }
    for (uint32_t i = 0; i < w.look_count; i++) {
        w.look_from[i] = explore_time();
        look(w.looks[i], i + 1);
        explore_time();
        if (!w.reclaim[i])
            continue;
        rcu_wait_grace();
        w.reclaimed += w.wheels.retired_count;
        stock_wheel_reclaim(&w.wheels);
    }
}

static void clear(void)
{
    memset(&w.wheels, 0, sizeof w.wheels);
    memset(w.each, 0, sizeof w.each);
    memset(w.blocks, 0, sizeof w.blocks);
    memset(w.came, 0, sizeof w.came);
    memset(w.came_at, 0, sizeof w.came_at);
    w.wheels.blocks = w.blocks;
    w.wheels.wheels = w.each;
    w.wheels.wheel_count = PUSHERS;
    stock_wheel_init(&w.wheels, BLOCKS);
    stock_wheel_start(&w.wheels, START);
}

static uint64_t tick_draw(struct prng *r)
{
    uint64_t near = prng_below(r, 6);
    if (!w.far || prng_chance(r, 1, 2))
        return START + near;
    // Anywhere, or about the end of the list of the second level that opens at 4096.
    return START + (prng_chance(r, 1, 2) ? prng_below(r, 3 * 4096) : 2 * 4096 - 2 + near);
}

static uint32_t make(struct prng *r, uint32_t small)
{
    uint32_t slot = 1;
    clear();
    w.far = !small && prng_chance(r, 1, 16);
    for (uint32_t t = 0; t < PUSHERS; t++) {
        w.push_count[t] =
            small ? (t == 0 || small == 3 ? 1 : 0) : (uint32_t)prng_below(r, PUSHES + 1);
        for (uint32_t n = 0; n < w.push_count[t]; n++) {
            struct push *p = &w.pushes[t][n];
            p->first = slot;
            p->count = small ? 1 : (uint32_t)prng_between(r, 1, EACH);
            p->tick = small ? START + small % 2 : tick_draw(r);
            slot += p->count;
        }
    }
    uint64_t tick = START;
    w.look_count = small ? 1 : (uint32_t)prng_between(r, 1, LOOKS);
    for (uint32_t i = 0; i < w.look_count; i++) {
        tick += small ? 2 : prng_below(r, 4);
        w.looks[i] = tick;
        w.reclaim[i] = !small && prng_chance(r, 1, 2);
    }
    return PUSHERS + 1;
}

static void judge(const struct explore_run *run)
{
    (void)run;
    look(w.far ? START + 4 * 4096 : START + 100, LOOKS + 1); // everything is due
    for (uint32_t t = 0; t < PUSHERS; t++)
        for (uint32_t n = 0; n < w.push_count[t]; n++) {
            const struct push *p = &w.pushes[t][n];
            for (uint32_t s = p->first; s < p->first + p->count; s++) {
                explore_check(w.came[s] == 1, "slot %u of tick %lu came up %u times", s, p->tick,
                              w.came[s]);
                for (uint32_t i = 0; i + 1 < w.came_at[s] && i < w.look_count; i++)
                    explore_check(p->to > w.look_from[i] || w.looks[i] < p->tick + LATE_MAX ||
                                      w.looks[i] < p->now + LATE_MAX,
                                  "slot %u of tick %lu missed the look at %lu", s, p->tick,
                                  w.looks[i]);
            }
        }
}

static const char *tell(void)
{
    static char text[60];
    snprintf(text, sizeof text, "%lu slots pushed, %lu blocks used again", w.pushed, w.reclaimed);
    return text;
}

const struct subject subject_wheel = {
    .name = "wheel",
    .help = "the timers' lists: pushers against the drainer",
    .rounds = 1,
    .small_count = 3,
    .freezable = UINT32_MAX,
    .make = make,
    .body = body,
    .judge = judge,
    .tell = tell,
};
