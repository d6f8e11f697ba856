// A clock that stands still until it is moved.
#ifndef HOLDFAST_TESTS_SIM_FAKE_CLOCK_H
#define HOLDFAST_TESTS_SIM_FAKE_CLOCK_H

#include "sys/clock.h"

#include <stdatomic.h>

struct fake_clock {
    struct clock base; // hand out &fake.base
    _Atomic uint64_t monotonic_ns;
    _Atomic uint64_t wall_ns;
    // Every reading moves the clock by this much: ends loops that wait for time to pass. 0: none.
    uint64_t reading_ns;
};

// In the caller's storage; nothing to undo.
void fake_clock_init(struct fake_clock *c, uint64_t monotonic_ns, uint64_t wall_ms);

// Time passes: both readings move. Any thread.
void fake_clock_advance_ns(struct fake_clock *c, uint64_t ns);
void fake_clock_advance_ms(struct fake_clock *c, uint64_t ms);
// Somebody sets the wall clock: only that reading moves, back when negative (not below 0).
void fake_clock_jump_wall_ms(struct fake_clock *c, int64_t ms);
// Another boot of the machine: the monotonic reading starts at a new origin.
void fake_clock_reboot(struct fake_clock *c, uint64_t monotonic_ns);

#endif
