// Threads push slots, alone and in chains, against a drainer that runs ahead, stands still and
// sweeps ahead: each slot comes up exactly once per push, and never later than two ticks after its
// time, or after its push returned if that was later. What comes up early is put back or, far
// ahead, sometimes done with, as the engine does it.
#include "torture/torture.h"

#include "rcu/rcu.h"
#include "stock/stock.h"

#include <sched.h>
#include <string.h>

#define PUSHERS   3
#define DRAINER   PUSHERS
#define SLOTS     96 // a pusher
#define SLOTS_ALL (PUSHERS * SLOTS)
#define LATE_MAX  2

enum state { IDLE, QUEUED };

struct world {
    struct stock stock;
    _Atomic uint32_t state[SLOTS_ALL + 1];
    _Atomic uint64_t due[SLOTS_ALL + 1];
    _Atomic uint64_t returned[SLOTS_ALL + 1]; // tick at which the push was over
    _Atomic uint32_t pushers;
    uint64_t pushed[PUSHERS], up, put_back, latest;
};

static uint64_t ticks_ahead(void)
{
    switch (torture_below(8)) {
    case 0:
        return torture_below(4096 + 8);
    case 1:
        return torture_below(3 * 4096);
    case 2:
        return torture_below(8) ? torture_below(64)
                                : torture_below(UINT64_C(1) << (12 + torture_below(30)));
    default:
        return torture_below(6);
    }
}

static void push_chain(struct world *w, uint32_t self, const uint32_t *slots, uint32_t count)
{
    struct stock_wheels *wheels = &w->stock.wheels;
    uint64_t tick = hf_load_seq(&wheels->now) + ticks_ahead();
    for (uint32_t i = 0; i < count; i++) {
        w->due[slots[i]] = tick;
        w->returned[slots[i]] = UINT64_MAX;
        w->state[slots[i]] = QUEUED;
    }
    rcu_step_begin();
    stock_wheel_push_all(wheels, self, slots, count, tick);
    rcu_step_end();
    uint64_t now = hf_load_seq(&wheels->now);
    for (uint32_t i = 0; i < count; i++)
        w->returned[slots[i]] = now;
    w->pushed[self] += count;
}

static void pusher(struct world *w, uint32_t self)
{
    while (torture_time_left()) {
        uint32_t most = torture_below(4) ? 4 : 20; // within a block, and over several
        uint32_t chain[20], want = 1 + (uint32_t)torture_below(most), count = 0;
        for (uint32_t i = 0; i < SLOTS && count < want; i++) {
            uint32_t slot = 1 + self * SLOTS + (uint32_t)torture_below(SLOTS);
            bool twice = false;
            for (uint32_t k = 0; k < count; k++)
                twice |= chain[k] == slot;
            if (!twice && w->state[slot] == IDLE)
                chain[count++] = slot;
        }
        if (count > 0)
            push_chain(w, self, chain, count);
        else
            sched_yield();
    }
    w->pushers--;
}

// One slot has come up at tick `now`.
static void come_up(struct world *w, uint32_t slot)
{
    torture_check(slot >= 1 && slot <= SLOTS_ALL, "slot %u", slot);
    torture_check(w->state[slot] == QUEUED, "slot %u came up twice", slot);
    uint64_t now = w->stock.wheels.now, due = w->due[slot], returned = w->returned[slot];
    if (due > now && (due < now + 3 * STOCK_WHEEL_SLOTS || torture_below(2))) {
        w->put_back++;
        stock_wheel_push(&w->stock.wheels, DRAINER, slot, due);
        return;
    }
    uint64_t last = due;
    if (returned != UINT64_MAX) {
        if (returned > last)
            last = returned;
        torture_check(due > now || now <= last + LATE_MAX,
                      "slot %u, due %llu, pushed by %llu, came up at %llu", slot,
                      (unsigned long long)due, (unsigned long long)returned,
                      (unsigned long long)now);
        if (now - last > w->latest && now > last)
            w->latest = now - last;
    }
    w->up++;
    w->state[slot] = IDLE;
}

static void drain(struct world *w, uint64_t tick)
{
    for (uint32_t slot; (slot = stock_wheel_next(&w->stock.wheels, tick)) != 0;)
        come_up(w, slot);
}

static uint64_t queued(struct world *w)
{
    uint64_t n = 0;
    for (uint32_t i = 1; i <= SLOTS_ALL; i++)
        n += w->state[i] == QUEUED;
    return n;
}

static void drainer(struct world *w)
{
    struct stock_wheels *wheels = &w->stock.wheels;
    while (w->pushers > 0) {
        uint64_t step = torture_below(50) == 0 ? torture_below(6000) : torture_below(3);
        drain(w, wheels->now + step);
        if (torture_below(16) == 0)
            stock_wheel_ahead(wheels, 1);
        if (torture_below(128) == 0 || wheels->retired_count >= STOCK_WHEEL_RETIRED) {
            rcu_wait_grace();
            stock_wheel_reclaim(wheels);
        }
        if (torture_below(8) == 0)
            sched_yield();
    }
    // Everything is somewhere: what lies far ahead is fetched by sweeping and brought nearer.
    for (uint32_t sweep = 0; queued(w) > 0; sweep++) {
        torture_check(sweep < 3, "%llu slots were lost", (unsigned long long)queued(w));
        for (uint32_t i = 1; i <= SLOTS_ALL; i++)
            w->due[i] = 0;
        for (uint32_t i = 0; i < stock_wheel_places(wheels); i++) {
            stock_wheel_ahead(wheels, 1);
            for (uint32_t slot; (slot = stock_wheel_next(wheels, wheels->now)) != 0;) {
                torture_check(w->state[slot] == QUEUED, "slot %u came up twice", slot);
                w->state[slot] = IDLE;
                w->up++;
            }
        }
        for (uint32_t i = 0; i <= STOCK_WHEEL_SLOTS; i++)
            for (uint32_t slot; (slot = stock_wheel_next(wheels, wheels->now + 1)) != 0;) {
                torture_check(w->state[slot] == QUEUED, "slot %u came up twice", slot);
                w->state[slot] = IDLE;
                w->up++;
            }
    }
}

static void body(void *ctx, uint32_t self)
{
    rcu_thread_register_once();
    if (self == DRAINER)
        drainer(ctx);
    else
        pusher(ctx, self);
    rcu_thread_unregister_once();
}

int main(int argc, char **argv)
{
    static struct world w;
    const struct stock_sizes sizes = {
        .cells = 1, .ids = SLOTS_ALL, .blocks = 1, .threads = PUSHERS + 1, .timers = true};
    torture_begin("torture_wheel", argc, argv);
    torture_check(stock_init(&w.stock, &sizes) == HF_OK, "no memory");
    w.pushers = PUSHERS;
    // Just before an edge of every level.
    stock_wheel_start(&w.stock.wheels,
                      ((1700000000000 >> 24) << 24) + (UINT64_C(1) << 24) - torture_below(5000));
    torture_run(PUSHERS + 1, body, &w);
    uint64_t pushed = 0;
    for (uint32_t i = 0; i < PUSHERS; i++)
        pushed += w.pushed[i];
    torture_check(pushed == w.up, "%llu pushed, %llu came up", (unsigned long long)pushed,
                  (unsigned long long)w.up);
    torture_check(w.put_back > 0 && pushed > SLOTS_ALL, "too little happened");
    torture_end("%llu pushed, %llu put back, at most %llu ticks late", (unsigned long long)pushed,
                (unsigned long long)w.put_back, (unsigned long long)w.latest);
    stock_fini(&w.stock);
    return 0;
}
