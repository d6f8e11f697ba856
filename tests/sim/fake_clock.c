#include "sim/fake_clock.h"

static uint64_t fake_monotonic_ns(struct clock *base)
{
    struct fake_clock *c = (struct fake_clock *)base;
    if (c->reading_ns)
        fake_clock_advance_ns(c, c->reading_ns);
    return c->monotonic_ns;
}

static uint64_t fake_wall_ms(struct clock *base)
{
    struct fake_clock *c = (struct fake_clock *)base;
    if (c->reading_ns)
        fake_clock_advance_ns(c, c->reading_ns);
    return c->wall_ns / 1000000;
}

static const struct clock_ops fake_ops = {fake_monotonic_ns, fake_wall_ms};

void fake_clock_init(struct fake_clock *c, uint64_t monotonic_ns, uint64_t wall_ms)
{
    c->base.ops = &fake_ops;
    c->monotonic_ns = monotonic_ns;
    c->wall_ns = wall_ms * 1000000;
    c->reading_ns = 0;
}

void fake_clock_advance_ns(struct fake_clock *c, uint64_t ns)
{
    atomic_fetch_add(&c->monotonic_ns, ns);
    atomic_fetch_add(&c->wall_ns, ns);
}

void fake_clock_advance_ms(struct fake_clock *c, uint64_t ms)
{
    fake_clock_advance_ns(c, ms * 1000000);
}

void fake_clock_jump_wall_ms(struct fake_clock *c, int64_t ms)
{
    uint64_t by = ms < 0 ? (uint64_t)-ms * 1000000 : (uint64_t)ms * 1000000;
    if (ms >= 0)
        atomic_fetch_add(&c->wall_ns, by);
    else
        c->wall_ns = c->wall_ns > by ? c->wall_ns - by : 0;
}

void fake_clock_reboot(struct fake_clock *c, uint64_t monotonic_ns)
{
    c->monotonic_ns = monotonic_ns;
}
