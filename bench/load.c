#include "load.h"

#include "base/hash.h"
#include "counter.h"

#include <stdlib.h>

#define STALL_US 50

void load_init(struct load *l, struct rig *rig, struct core_worker *worker,
               const struct load_options *o)
{
    l->rig = rig;
    l->worker = worker;
    l->options = *o;
    l->position = o->seed << 40;
    l->ticket = 0;
    l->recent = 0;
}

static inline uint32_t below(uint64_t random, uint32_t bound)
{
    return (uint32_t)(((random >> 32) * bound) >> 32);
}

void load_fill(struct load *l)
{
    const struct load_options *o = &l->options;
    l->now_ms = core_now(l->rig->core);
    for (int i = 0; i < RIG_BATCH; i++) {
        for (uint32_t k = 0; k < o->lines; k++)
            l->lines[i][k] = (struct core_line){
                .handle = o->first_cell + below(hf_mix64(++l->position), o->cells),
                .quantity = o->quantity};
        uint64_t random = hf_mix64(++l->position);
        if (o->other_cells)
            l->lines[i][o->lines - 1].handle =
                o->other_first + below(hf_mix64(~random), o->other_cells);
        l->requests[i] = (struct core_request){
            .verb = o->verb,
            .id = hf_uuid_v7(l->now_ms, random >> 8, random),
            .lines = l->lines[i],
            .line_count = o->lines,
            .ttl_ms = o->verb == CORE_RESERVE
                          ? o->ttl_ms + (o->ttl_spread_ms ? below(random * 3, o->ttl_spread_ms) : 0)
                          : 0,
        };
    }
}

void load_execute(struct load *l, struct load_result *out)
{
    uint64_t allocations = counter_allocations(), begin = rig_ns();
    core_execute(l->worker, l->now_ms, l->requests, l->answers, RIG_BATCH);
    uint64_t spent = rig_ns() - begin;
    out->allocations += counter_allocations() - allocations;
    uint32_t done = 0, refused = 0, busy = 0;
    for (int i = 0; i < RIG_BATCH; i++) {
        done += l->answers[i].outcome == CORE_OUT_DONE;
        refused += l->answers[i].outcome == CORE_OUT_REFUSED;
        busy += l->answers[i].outcome == CORE_OUT_BUSY;
        if (l->answers[i].ticket > l->ticket)
            l->ticket = l->answers[i].ticket;
    }
    out->done += done;
    out->refused += refused;
    out->busy += busy;
    if (busy) {
        out->stalls++;
        rig_sleep_us(STALL_US);
        return;
    }
    l->recent_ns[l->recent++ % LOAD_RECENT] = spent < UINT32_MAX ? (uint32_t)spent : UINT32_MAX;
    out->execute_ns += spent;
    out->executed += RIG_BATCH;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

double load_request_ns(struct load *l)
{
    size_t count = l->recent < LOAD_RECENT ? l->recent : LOAD_RECENT;
    if (count == 0)
        return 0;
    qsort(l->recent_ns, count, sizeof *l->recent_ns, by_size);
    l->recent = 0;
    return (double)l->recent_ns[count / 2] / RIG_BATCH;
}

enum hf_status load_run(struct load *l, double seconds, struct load_result *out)
{
    *out = (struct load_result){0};
    l->recent = 0;
    uint64_t begin = rig_ns(), end = begin + (uint64_t)(seconds * 1e9);
    while (rig_ns() < end && !rig_failed(l->rig)) {
        load_fill(l);
        load_execute(l, out);
    }
    out->wall_ns = rig_ns() - begin;
    out->request_ns = load_request_ns(l);
    return rig_failed(l->rig) ? HF_STOPPED : HF_OK;
}
