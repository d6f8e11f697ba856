// Engine time: max(last journaled, wall at start) plus monotonic progress, slewed to the wall clock
// by at most a tenth of what passes. A wall clock that jumps under a running engine is followed
// slowly; one that shows that this process stood still for over a minute ends it.
//
// Two lines (time as a function of the monotonic clock) are kept, and a count whose low bit says
// which holds. The timers' thread writes the other one and then moves the count (C0); a reader
// copies a line and takes it if the count has not moved meanwhile (C1): it never waits for
// the writer. The new line begins where the old one is, so time does not fall.
#include "core/core_internal.h"

#define BEHIND_MAX_MS  (5 * 60 * 1000)
#define AHEAD_MAX_MS   (UINT64_C(30) * 24 * 3600 * 1000)
#define STOOD_STILL_NS (INT64_C(60) * 1000000000)
#define SLEW_DIVISOR   10
#define SLEW_MIN_NS    1000000

static int64_t line_at(const struct core_time_line *l, int64_t mono)
{
    int64_t passed = mono - hf_load_relaxed(&l->from_ns);
    int64_t slew = hf_load_relaxed(&l->slew_ns), part = passed / SLEW_DIVISOR;
    if (slew >= 0)
        slew = part < slew ? part : slew;
    else
        slew = -part > slew ? -part : slew;
    return hf_load_relaxed(&l->engine_ns) + passed + slew;
}

static int64_t engine_ns(const struct core_time *t, int64_t mono)
{
    for (;;) {
        uint64_t count = hf_load_acquire(&t->count);
        int64_t ns = line_at(&t->lines[count & 1], mono);
        hf_fence_acquire();
        if (hf_load_relaxed(&t->count) - count < 1) // C1
            return ns;
    }
}

static void line_set(struct core_time *t, int64_t mono, int64_t engine, int64_t slew)
{
    struct core_time_line *l = &t->lines[(t->count + 1) & 1];
    hf_store_relaxed(&l->from_ns, mono);
    hf_store_relaxed(&l->engine_ns, engine);
    hf_store_relaxed(&l->slew_ns, slew);
    hf_store_seq(&t->count, t->count + 1); // C0
}

uint64_t core_now(struct core *c)
{
    return (uint64_t)engine_ns(&c->time, (int64_t)clock_monotonic_ns(c->options.clock)) / 1000000;
}

enum hf_status core_time_start(struct core *c, uint64_t journaled_ms)
{
    uint64_t wall = clock_wall_ms(c->options.clock);
    if (journaled_ms != 0 && !c->options.accept_clock &&
        (wall + BEHIND_MAX_MS < journaled_ms || wall > journaled_ms + AHEAD_MAX_MS))
        return HF_CLOCK;
    uint64_t start = wall > journaled_ms ? wall : journaled_ms;
    int64_t mono = (int64_t)clock_monotonic_ns(c->options.clock);
    c->time.slewed_at_ns = mono;
    line_set(&c->time, mono, (int64_t)(start * 1000000), 0);
    return HF_OK;
}

enum hf_status core_time_step(struct core *c)
{
    struct core_time *t = &c->time;
    int64_t mono = (int64_t)clock_monotonic_ns(c->options.clock);
    if (mono - t->slewed_at_ns < SLEW_DIVISOR * SLEW_MIN_NS)
        return HF_OK;
    int64_t engine = engine_ns(t, mono);
    int64_t behind = (int64_t)(clock_wall_ms(c->options.clock) * 1000000) - engine;
    if (behind > STOOD_STILL_NS && !c->options.accept_clock)
        return HF_CLOCK;
    if (behind < SLEW_MIN_NS && behind > -SLEW_MIN_NS)
        behind = 0;
    t->slewed_at_ns = mono;
    line_set(t, mono, engine, behind);
    return HF_OK;
}

void core_stop(struct core *c, enum hf_status why)
{
    uint32_t expected = HF_OK;
    hf_cas(&c->status, &expected, (uint32_t)why);
}

enum hf_status core_status(const struct core *c)
{
    enum hf_status s = (enum hf_status)hf_load_acquire(&c->status);
    return s != HF_OK ? s : journal_status(c->journal);
}
