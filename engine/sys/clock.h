// The only door to time. Two readings, so that the engine's own time can be derived from both.
#ifndef HOLDFAST_SYS_CLOCK_H
#define HOLDFAST_SYS_CLOCK_H

#include <stdint.h>

struct clock;

struct clock_ops {
    uint64_t (*monotonic_ns)(struct clock *c); // never falls, arbitrary origin; any thread
    uint64_t (*wall_ms)(struct clock *c);      // since 1970, may jump; any thread
};

struct clock {
    const struct clock_ops *ops;
};

// Static, never destroyed. CLOCK_MONOTONIC and CLOCK_REALTIME.
struct clock *clock_os(void);

static inline uint64_t clock_monotonic_ns(struct clock *c)
{
    return c->ops->monotonic_ns(c);
}
static inline uint64_t clock_wall_ms(struct clock *c)
{
    return c->ops->wall_ms(c);
}

#endif
