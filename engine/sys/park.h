// Sleeping and waking: an event count on a futex. Nobody spins.
//
// Waiter:  key = park_prepare(p); if (condition) { park_cancel(p); } else park_wait(p, key, ms);
// Waker:   make the condition true; park_wake(p).  One load and no system call when nobody sleeps.
#ifndef HOLDFAST_SYS_PARK_H
#define HOLDFAST_SYS_PARK_H

#include <stdatomic.h>
#include <stdint.h>

struct park {
    _Atomic uint32_t epoch;
    _Atomic uint32_t waiters;
};

// Any thread. prepare counts the caller in; exactly one cancel or wait follows.
uint32_t park_prepare(struct park *p);
void park_cancel(struct park *p);
// Returns after a wake since prepare, after timeout_ms, or spuriously.
void park_wait(struct park *p, uint32_t key, uint32_t timeout_ms);
void park_wait_us(struct park *p, uint32_t key, uint32_t timeout_us); // the same
// Wakes all. Sequentially consistent with the waiter's prepare, so no wake is lost.
void park_wake(struct park *p);

#endif
