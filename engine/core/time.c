// Engine time: max(last journaled, wall at start) plus monotonic progress, slewed to the wall clock
// by at most a tenth of what has passed. A wall clock that jumps under a running engine is followed
// slowly; one that shows that this process stood still for over a minute ends it.
#include "core/core_internal.h"

#define BEHIND_MAX_MS  (5 * 60 * 1000)
#define AHEAD_MAX_MS   (UINT64_C(30) * 24 * 3600 * 1000)
#define STOOD_STILL_MS 60000

uint64_t core_now(struct core *c)
{
    int64_t offset = hf_load_relaxed(&c->time.offset_ns);
    return (uint64_t)((int64_t)clock_monotonic_ns(c->options.clock) + offset) / 1000000;
}

enum hf_status core_time_start(struct core *c, uint64_t journaled_ms)
{
    uint64_t wall = clock_wall_ms(c->options.clock);
    if (journaled_ms != 0 && !c->options.accept_clock &&
        (wall + BEHIND_MAX_MS < journaled_ms || wall > journaled_ms + AHEAD_MAX_MS))
        return HF_CLOCK;
    uint64_t start = wall > journaled_ms ? wall : journaled_ms;
    uint64_t mono = clock_monotonic_ns(c->options.clock);
    c->time.journaled_ms = journaled_ms;
    c->time.slewed_at_ns = mono;
    hf_store_relaxed(&c->time.offset_ns, (int64_t)(start * 1000000) - (int64_t)mono);
    return HF_OK;
}

enum hf_status core_time_step(struct core *c)
{
    uint64_t mono = clock_monotonic_ns(c->options.clock);
    int64_t room = (int64_t)(mono - c->time.slewed_at_ns) / 10;
    if (room < 1000000)
        return HF_OK;
    int64_t offset = hf_load_relaxed(&c->time.offset_ns);
    int64_t behind = (int64_t)(clock_wall_ms(c->options.clock) * 1000000) -
                     ((int64_t)mono + offset);
    if (behind > (int64_t)STOOD_STILL_MS * 1000000 && !c->options.accept_clock)
        return HF_CLOCK;
    int64_t step = behind > room ? room : behind < -room ? -room : behind;
    hf_store_relaxed(&c->time.offset_ns, offset + step);
    c->time.slewed_at_ns = mono;
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
