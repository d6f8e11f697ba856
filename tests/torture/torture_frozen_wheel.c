// P5 and P6, for timers: a pusher stopped for good at any shared access of a push, with the drainer
// anywhere in a step, holds up no timer whose push is over. Both are stopped at each of their
// accesses in turn; the drainer goes on first.
#include "torture/torture.h"

#include "rcu/rcu.h"
#include "stock/stock.h"

#include <string.h>

#define START    ((UINT64_C(1) << 24) * 101300 - 2) // the next tick but one opens every level
#define OPENS    (START + 2 * STOCK_WHEEL_SLOTS)    // the first tick that goes to an upper list
#define SLOTS    40
#define STOP_MAX 200

struct world {
    struct stock stock;
    uint64_t due;     // of all
    uint64_t look;    // when they come up: their tick, or when their list opens
    uint32_t earlier; // slots 1.. that were pushed before
    uint32_t count;   // slots that the stopped push brings
    bool up[SLOTS + 1];
};

static void pusher(void *ctx)
{
    struct world *w = ctx;
    uint32_t slots[SLOTS];
    for (uint32_t i = 0; i < w->count; i++)
        slots[i] = w->earlier + 1 + i;
    rcu_thread_register_once();
    rcu_step_begin();
    stock_wheel_push_all(&w->stock.wheels, 0, slots, w->count, w->due);
    rcu_step_end();
    rcu_thread_unregister_once();
}

static void drain(struct world *w, uint64_t tick)
{
    for (uint32_t slot; (slot = stock_wheel_next(&w->stock.wheels, tick)) != 0;) {
        torture_check(slot <= SLOTS && !w->up[slot], "slot %u came up twice", slot);
        w->up[slot] = true;
    }
}

static void drainer(void *ctx)
{
    struct world *w = ctx;
    drain(w, w->look);
}

static void all_up(const struct world *w, uint32_t count, const char *when, uint64_t push,
                   uint64_t step)
{
    for (uint32_t i = 1; i <= count; i++)
        torture_check(w->up[i], "slot %u has not come up %s: push stopped at %llu, drainer at %llu",
                      i, when, (unsigned long long)push, (unsigned long long)step);
}

// The pusher stops at `first` (it has or has not looked at the tick), the drainer at `step`, the
// pusher goes on to `first + more`. False: the drainer's stops are all done.
static bool once(uint64_t due, uint64_t look, uint32_t earlier, uint32_t count, uint64_t first,
                 uint64_t more, uint64_t step, bool *pushed)
{
    static struct world w;
    const struct stock_sizes sizes = {
        .cells = 1, .ids = SLOTS, .blocks = 1, .threads = 2, .timers = true};
    struct torture_frozen push, drains;
    memset(&w, 0, sizeof w);
    w.due = due;
    w.look = look;
    w.earlier = earlier;
    w.count = count;
    torture_check(stock_init(&w.stock, &sizes) == HF_OK, "no memory");
    stock_wheel_start(&w.stock.wheels, START);
    uint32_t slots[SLOTS];
    for (uint32_t i = 0; i < earlier; i++)
        slots[i] = 1 + i;
    rcu_step_begin();
    stock_wheel_push_all(&w.stock.wheels, 0, slots, earlier, due);
    rcu_step_end();
    torture_at("push, drainer", first + more, step);
    *pushed = !torture_freeze(&push, 1, first, pusher, &w);
    bool stood = torture_freeze(&drains, 2, step, drainer, &w);
    if (!*pushed)
        *pushed = !torture_thaw_until(&push, more);
    torture_thaw(&drains);
    all_up(&w, earlier, "in time", first + more, step);
    torture_thaw(&push);
    drain(&w, look + 1);
    if (due > look) { // a push that looked at the tick late has put them where they are due
        w.stock.wheels.now = due - 1;
        drain(&w, due);
    }
    all_up(&w, earlier + count, "after its push", first + more, step);
    stock_fini(&w.stock);
    return stood;
}

static uint64_t every_stop(uint64_t due, uint64_t look, uint32_t earlier, uint32_t count)
{
    uint64_t runs = 0;
    for (uint64_t step = 1; step < STOP_MAX; step++) {
        bool stood = true;
        for (uint64_t first = 1; first <= 3; first++) {
            bool pushed = false;
            for (uint64_t more = 1; more < STOP_MAX && !pushed; more++, runs++)
                stood = once(due, look, earlier, count, first, more, step, &pushed);
            torture_check(pushed, "the push does not end");
        }
        if (!stood)
            return runs;
    }
    torture_fail(__FILE__, __LINE__, "the drainer does not end");
}

int main(int argc, char **argv)
{
    uint64_t runs = 0;
    torture_begin("torture_frozen_wheel", argc, argv);
    rcu_thread_register_once();
    runs += every_stop(START + 1, START + 1, 2, 1);   // into the block of the earlier ones
    runs += every_stop(START + 1, START + 1, 14, 16); // behind a full block, into two
    runs += every_stop(START + 2, START + 2, 2, 1);   // where upper levels open
    runs += every_stop(OPENS, START + 2, 2, 1);       // on a list that opens there
    runs += every_stop(OPENS, START + 2, 14, 16);
    rcu_thread_unregister_once();
    torture_end("%llu pairs of stops", (unsigned long long)runs);
    return 0;
}
