// engine/rcu for fibers: the same contract, with steps and grace periods that the explorer can see
// and hold up. It takes the place of engine/rcu/rcu.c when the program is linked.
#include "explore/explore.h"
#include "rcu/rcu.h"

static uint64_t steps[EXPLORE_FIBERS_MAX + 1]; // begun and ended; odd: inside. The last: main's

static uint64_t *mine(void)
{
    uint32_t self = explore_self();
    return &steps[self == UINT32_MAX ? EXPLORE_FIBERS_MAX : self];
}

void rcu_thread_register_once(void)
{
}

void rcu_thread_unregister_once(void)
{
}

void rcu_step_begin(void)
{
    ++*mine();
    explore_check(*mine() & 1, "a step inside a step");
}

void rcu_step_end(void)
{
    ++*mine();
    explore_check(!(*mine() & 1), "a step ended twice");
}

struct grace {
    uint64_t seen[EXPLORE_FIBERS_MAX + 1];
};

static bool grace_over(void *ctx)
{
    const struct grace *g = ctx;
    for (uint32_t i = 0; i <= EXPLORE_FIBERS_MAX; i++)
        if ((g->seen[i] & 1) && steps[i] == g->seen[i])
            return false;
    return true;
}

void rcu_wait_grace(void)
{
    struct grace g;
    explore_check(!(*mine() & 1), "a step waits for itself");
    for (uint32_t i = 0; i <= EXPLORE_FIBERS_MAX; i++)
        g.seen[i] = steps[i];
    explore_wait(grace_over, &g);
}
