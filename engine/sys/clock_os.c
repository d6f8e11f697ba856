#include "sys/clock.h"

#include <time.h>

static uint64_t os_monotonic_ns(struct clock *c)
{
    (void)c;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t os_wall_ms(struct clock *c)
{
    (void)c;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static const struct clock_ops os_ops = {os_monotonic_ns, os_wall_ms};
static struct clock os_clock = {&os_ops};

struct clock *clock_os(void)
{
    return &os_clock;
}
