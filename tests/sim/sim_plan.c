// From a seed to a workload and to the engine's options: tiny limits, so that all are met.
#include "sim/sim.h"

#include <string.h>

static uint32_t pick(struct prng *p, const uint32_t *from, uint32_t count)
{
    return from[prng_below(p, count)];
}
#define PICK(p, ...)                                                                               \
    pick(p, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void workload(struct sim_plan *l, struct prng *p)
{
    l->actions = PICK(p, 60, 120, 200, 400);
    l->cells = PICK(p, 1, 2, 3, 5, 8, 40);
    l->lines_wide = PICK(p, 2, 4, 16, 60);
    l->wide_in_100 = PICK(p, 0, 10, 40, 80);
    l->hot_in_100 = PICK(p, 0, 30, 90);
    l->stock = PICK(p, 0, 3, 20, 100, 5000);
    l->ttl_ms = PICK(p, 1, 5, 50, 1000, 5000);
    l->batch = PICK(p, 1, 2, 8, 32, SIM_BATCH_MAX);
    l->workers = PICK(p, 1, 1, 2, SIM_WORKERS_MAX);
    l->writer_in_100 = PICK(p, 5, 20, 40);
    l->timers_in_100 = PICK(p, 1, 5, 15);
    l->background_in_100 = PICK(p, 1, 10, 30);
    l->admin_in_100 = PICK(p, 1, 4, 10);
    l->retry_in_100 = PICK(p, 5, 20, 50);
    l->step_ms = PICK(p, 0, 1, 3, 20, 200);
}

static void faults(struct sim_plan *l, struct prng *p)
{
    l->crashes = prng_chance(p, 4, 5);
    l->errors = prng_chance(p, 1, 3);
    l->full_disk = prng_chance(p, 1, 4);
    l->damage = prng_chance(p, 1, 4);
    l->clock_jumps = prng_chance(p, 1, 2);
    l->kills = prng_chance(p, 1, 2);
    l->latency = prng_chance(p, 1, 4);
    l->life_ios = PICK(p, 10, 40, 150, 600);
}

static void journal_limits(struct journal_options *j, struct prng *p)
{
    j->segment_bytes = (uint64_t)PICK(p, 4, 6, 8, 16, 32) * HF_BLOCK;
    j->segments_max = j->segment_bytes < 6 * HF_BLOCK ? PICK(p, 8, 32) : PICK(p, 4, 6, 10, 32);
    j->segments_ready = PICK(p, 1, 2);
    uint32_t most = (uint32_t)(j->segment_bytes / HF_BLOCK) - 2; // a group fits a segment
    j->group_bytes_max = (uint32_t)prng_between(p, 2, most < 4 ? most : 4) * HF_BLOCK;
    j->buffer_bytes = most > 2 ? PICK(p, 1, 2) * HF_BLOCK : HF_BLOCK;
    j->buffers_per_producer = PICK(p, 2, 4, 8);
    j->space_margin_blocks = j->segment_bytes < 6 * HF_BLOCK ? 1 : PICK(p, 1, 2, 3);
    if (prng_chance(p, 1, 12)) {
        j->mode = JOURNAL_GROUP;
        j->group_ms = PICK(p, 1, 10);
    }
}

static void engine_limits(struct core_options *o, const struct sim_plan *l, struct prng *p)
{
    o->cells_max = l->cells + PICK(p, 0, 2, 16);
    // Each thread keeps up to SIM_CACHED free ones to itself.
    o->ids_max = SIM_CACHED * (l->workers + 2) + PICK(p, 32, 64, 256, 2048);
    o->blocks_max = SIM_CACHED * (l->workers + 2) + PICK(p, 64, 256, 2048);
    o->workers_max = l->workers;
    o->window_ms = PICK(p, 2, 20, 200, 2000, 20000);
    o->window_min_ms = prng_chance(p, 1, 2) ? o->window_ms : (o->window_ms + 1) / 2;
    o->skew_ms = PICK(p, 0, 1, 10, 300);
    o->ttl_max_ms = l->ttl_ms + PICK(p, 0, 1000);
    o->restart_grace_ms = prng_chance(p, 1, 4) ? PICK(p, 1, 50, 500) : 0;
    o->allow_v4 = prng_chance(p, 1, 3);
    o->huge_pages = false;
    o->checkpoint_bytes = (uint64_t)PICK(p, 1, 4, 16, 64) * HF_BLOCK;
    o->checkpoint_ms = PICK(p, 10, 100, 2000);
    o->lag_max_bytes = (uint64_t)PICK(p, 64, 1024) * HF_BLOCK;
    o->archive = prng_chance(p, 2, 3);
    o->retention_ms = UINT64_C(400) * 86400000;
}

// Drawn from a stream of its own: the stories of seeds without it stay what they are.
static void odoo(struct sim *s)
{
    struct prng *p = &s->odoo.prng;
    struct sim_plan *l = &s->plan;
    l->odoo = prng_chance(p, 1, 2);
    l->flush_in_100 = PICK(p, 5, 30, 60);
    l->mishap_in_1000 = PICK(p, 0, 10, 60);
    l->years = prng_chance(p, 1, 4);
}

void sim_plan_make(struct sim *s, enum sim_parts parts)
{
    struct prng p = prng_fork(&s->prng);
    workload(&s->plan, &p);
    faults(&s->plan, &p);
    core_options_default(&s->options);
    struct core_options *o = &s->options;
    engine_limits(o, &s->plan, &p);
    journal_limits(&o->journal, &p);
    s->odoo.prng.state = hf_mix64(s->seed ^ UINT64_C(0x0d00));
    s->moved.prng.state = hf_mix64(s->seed ^ UINT64_C(0x0e00));
    if (parts != SIM_PARTS_NONE)
        odoo(s);
    if (parts == SIM_PARTS_ALL)
        sim_packets_plan(s);
    o->outbox = s->plan.odoo;
    o->storage = &s->fs->base;
    o->clock = &s->clock.base;
    o->fresh_id = (struct hf_uuid){0x4000 | (prng_next(&p) << 16),
                                   (prng_next(&p) >> 2) | UINT64_C(2) << 62};
}
