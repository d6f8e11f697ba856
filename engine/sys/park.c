#include "sys/park.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

uint32_t park_prepare(struct park *p)
{
    atomic_fetch_add(&p->waiters, 1); // W1, pairs with W2 in park_wake
    return atomic_load(&p->epoch);
}

void park_cancel(struct park *p)
{
    atomic_fetch_sub(&p->waiters, 1);
}

static void wait_for(struct park *p, uint32_t key, const struct timespec *t)
{
    syscall(SYS_futex, &p->epoch, FUTEX_WAIT_PRIVATE, key, t, NULL, 0);
    atomic_fetch_sub(&p->waiters, 1);
}

void park_wait(struct park *p, uint32_t key, uint32_t timeout_ms)
{
    wait_for(p, key, &(struct timespec){timeout_ms / 1000, (long)(timeout_ms % 1000) * 1000000});
}

void park_wait_us(struct park *p, uint32_t key, uint32_t timeout_us)
{
    wait_for(p, key, &(struct timespec){timeout_us / 1000000, (long)(timeout_us % 1000000) * 1000});
}

void park_wake(struct park *p)
{
    atomic_thread_fence(memory_order_seq_cst); // the condition before W2
    if (atomic_load(&p->waiters) == 0)         // W2, pairs with W1
        return;
    atomic_fetch_add(&p->epoch, 1);
    syscall(SYS_futex, &p->epoch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
