// One run: the safety phase, the liveness phase, the last look.
#include "sim/sim.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_something(struct sim *s)
{
    const struct oracle *o = &s->audit.oracle;
    if (!o->reservation_count)
        return true;
    uint64_t n = prng_below(&s->prng, o->reservation_count);
    return auditor_get(&s->audit, s->core, s->workers[0], sim_now(s), o->reservations[n].id);
}

// Straight to an edge of the id window, or of a deadline: where mistakes are off by one.
static void time_to_an_edge(struct sim *s)
{
    const struct oracle *o = &s->audit.oracle;
    if (!o->reservation_count)
        return;
    const struct oracle_reservation *r =
        &o->reservations[prng_below(&s->prng, o->reservation_count)];
    uint64_t now = sim_now(s);
    uint64_t edge = r->state == CORE_STATE_HELD
                        ? r->deadline_ms
                        : r->ended_ms + s->options.window_ms +
                              prng_below(&s->prng, 2) * s->options.skew_ms;
    edge += prng_below(&s->prng, 3);
    if (edge > now && edge - now < 10000)
        fake_clock_advance_ms(&s->clock, edge - now - 1);
}

static void move_time(struct sim *s)
{
    struct prng *p = &s->prng;
    if (s->plan.step_ms)
        fake_clock_advance_ns(&s->clock,
                              prng_below(p, (uint64_t)s->plan.step_ms * 1000000 + 1));
    if (prng_chance(p, 1, 40))
        time_to_an_edge(s);
    else if (prng_chance(p, 1, 60))
        fake_clock_advance_ms(&s->clock, prng_below(p, s->options.window_ms * 2 + 10));
}

static bool act(struct sim *s)
{
    struct prng *p = &s->prng;
    const struct sim_plan *l = &s->plan;
    s->stats.actions++;
    move_time(s);
    if (prng_chance(p, l->writer_in_100, 100) && (!sim_writer(s, prng_chance(p, 1, 4))))
        return false;
    if (!s->stopped && prng_chance(p, l->timers_in_100, 100) &&
        !sim_timers(s, (uint32_t)prng_between(p, 1, 2 * l->batch + 8)))
        return false;
    if (!s->stopped && prng_chance(p, l->background_in_100, 100) &&
        !sim_background(s, (uint32_t)prng_next(p) % 3, (uint32_t)prng_between(p, 1, 8)))
        return false;
    if (s->plan.odoo && !s->stopped) {
        if (prng_chance(&s->odoo.prng, l->mishap_in_1000, 1000))
            sim_odoo_mishap(s);
        if (prng_chance(&s->odoo.prng, l->flush_in_100, 100))
            for (uint64_t n = prng_between(&s->odoo.prng, 1, 8); n > 0 && !s->stopped; n--)
                if (!sim_flush(s))
                    return false;
    }
    if (s->plan.packets && !s->stopped && !sim_packets_act(s))
        return false;
    if (!s->stopped && prng_chance(p, 1, 20) && !sim_pump(s, (uint32_t)prng_between(p, 1, 5)))
        return false;
    if (s->stopped)
        return sim_ok(s);
    if (prng_chance(p, l->admin_in_100, 100) || !s->audit.oracle.cell_count)
        return sim_admin(s);
    if (prng_chance(p, 1, 25))
        return read_something(s);
    return sim_batch(s);
}

static void squeeze(struct sim *s)
{
    struct fake_faults *f = &s->fs->faults;
    if (!s->plan.full_disk || !prng_chance(&s->fault, 1, 30))
        return;
    if (f->capacity_bytes)
        f->capacity_bytes = 0;
    else
        f->capacity_bytes =
            fake_storage_used_bytes(s->fs) + prng_below(&s->fault, 8) * HF_BLOCK + 1;
}

static bool crash_and_return(struct sim *s)
{
    sim_log(s, "ends: %s", s->fs->crashed ? "power loss" : "process");
    sim_close(s);
    if (s->fs->crashed || prng_chance(&s->fault, 1, 2)) {
        s->stats.crashes++, fake_storage_restart(s->fs);
        sim_moved_backup(s);
    } else {
        s->stats.kills++, fake_storage_kill(s->fs);
    }
    if (!sim_open(s))
        return false;
    if (!s->plan.damage || !prng_chance(&s->fault, 1, 2) || s->calm)
        return true;
    for (int i = 0; i < 5 && !s->stopped; i++)
        if (!sim_writer(s, true))
            return false;
    if (s->stopped || s->fs->crashed || s->audit.durable < s->audit.last_lsn)
        return sim_ok(s); // the copy would not know what is not durable
    sim_close(s);
    fake_storage_kill(s->fs);
    return sim_damage_trial(s) && sim_open(s);
}

static bool safety(struct sim *s)
{
    if (!sim_open(s) || !sim_cells_make(s, s->plan.cells))
        return false;
    for (uint32_t i = 0; i < s->plan.actions; i++) {
        squeeze(s);
        bool ends = s->stopped || (s->plan.kills && prng_chance(&s->fault, 1, 150));
        if (ends && !crash_and_return(s))
            return false;
        if (!act(s))
            return false;
    }
    return true;
}

// ------------------------------------------------------------------------------- liveness

// After BUSY a client comes back later: checkpoints and the id window need their time.
static bool wait_a_while(struct sim *s, uint32_t tries)
{
    if (tries > 2)
        fake_clock_advance_ms(&s->clock, (s->options.window_ms + s->options.skew_ms) / 40 +
                                             s->options.checkpoint_ms / 10 + 1);
    return sim_pump(s, 4);
}

static bool end_all_holds(struct sim *s)
{
    struct oracle *o = &s->audit.oracle;
    for (uint32_t tries = 0, i = 0; i < o->reservation_count; tries++) {
        const struct oracle_reservation *r = &o->reservations[i];
        if (r->state != CORE_STATE_HELD) {
            i++;
            continue;
        }
        struct hf_uuid id = r->id;
        sim_request_new(s, 0, prng_chance(&s->prng, 1, 2) ? CORE_COMMIT : CORE_RELEASE, 0)->id = id;
        if (!sim_execute(s, 1) || !sim_pump(s, 2))
            return false;
        if (tries > 3 * o->reservation_count + 500)
            return auditor_violate(&s->audit, "LIVENESS: %s cannot be ended: %s",
                                   core_verb_name(s->requests[0].verb),
                                   core_outcome_name(s->answers[0].outcome));
    }
    return true;
}

static bool acknowledge_all(struct sim *s)
{
    if (s->plan.odoo)
        return sim_odoo_settle(s);
    for (uint32_t tries = 0; tries < 200; tries++) {
        bool left = false;
        for (uint32_t h = 0; h < s->audit.oracle.cell_count; h++)
            left |= s->audit.oracle.cells[h].committed != 0;
        if (!left)
            return true;
        if (!sim_acknowledge(s, true) || !wait_a_while(s, tries))
            return false;
    }
    return auditor_violate(&s->audit, "LIVENESS: what was sold cannot be acknowledged");
}

// What threads may keep in hand for later: slots, blocks, room in the journal.
static bool only_caches(const struct sim *s, const struct core_metrics *m,
                        const struct journal_space *space)
{
    uint64_t threads = s->plan.workers + s->plan.packet_workers + 1, cached = threads * SIM_CACHED;
    // A worker takes credit by chunks and gives back what lies above four of them (execute.c).
    uint64_t credit = 4 * (s->options.journal.segment_bytes / 256);
    uint64_t widest = 48 + 2 * 16 * (uint64_t)s->plan.lines_wide + 256;
    credit = credit > widest ? credit : widest;
    return m->ids_used <= cached && m->blocks_used <= cached &&
           space->promised_bytes <= 2 * threads * credit;
}

static bool all_is_free(struct sim *s)
{
    struct core_metrics m;
    struct journal_space space;
    // Past the window everything is forgotten, but by whole buckets.
    for (uint32_t tries = 0; tries < 100; tries++) {
        fake_clock_advance_ms(&s->clock,
                              (s->options.window_ms + s->options.skew_ms) / 4 + 100);
        if (!sim_pump(s, 6))
            return false;
        core_metrics(s->core, &m);
        journal_space(core_journal(s->core), &space);
        if (only_caches(s, &m, &space))
            return true;
    }
    return auditor_violate(&s->audit, "LIVENESS: %lu ids, %lu blocks, %lu promised bytes stay",
                           m.ids_used, m.blocks_used, space.promised_bytes);
}

static bool sells_again(struct sim *s)
{
    for (uint32_t h = 0; h < s->audit.oracle.cell_count; h++) {
        const struct oracle_cell *c = &s->audit.oracle.cells[h];
        if (!c->active || oracle_available(c) < 1)
            continue;
        for (uint32_t tries = 0; tries < 100; tries++) {
            struct core_request *r = sim_request_new(s, 0, CORE_ORDER, 1);
            r->id = hf_uuid_v7(sim_now(s), prng_next(&s->prng), prng_next(&s->prng));
            s->kept[0].lines[0] = (struct core_line){.handle = h, .quantity = 1};
            if (!sim_execute(s, 1) || !wait_a_while(s, tries))
                return false;
            if (s->answers[0].outcome == CORE_OUT_DONE)
                break;
            if (tries == 99)
                return auditor_violate(&s->audit, "LIVENESS: an order is answered %s",
                                       core_outcome_name(s->answers[0].outcome));
        }
    }
    return true;
}

// Every frame is answered in the end, and what it asked is decided once.
static bool settle_packets(struct sim *s)
{
    for (uint32_t tries = 0; tries < 300; tries++) {
        if (!sim_packets_settle(s))
            return false;
        if (!sim_packets_unanswered(s))
            return true;
        if (!wait_a_while(s, tries))
            return false;
    }
    return auditor_violate(&s->audit, "LIVENESS: %u frames are never answered",
                           sim_packets_unanswered(s));
}

bool sim_liveness(struct sim *s)
{
    s->calm = true;
    memset(&s->fs->faults, 0, sizeof s->fs->faults);
    if (s->plan.odoo)
        sim_odoo_calm(s);
    sim_log(s, "calm from here");
    bool ended = s->stopped || s->fs->crashed || core_status(s->core) != HF_OK;
    if (ended && !crash_and_return(s))
        return false;
    if (!sim_pump(s, 30) || (s->plan.packets && !settle_packets(s)) || !end_all_holds(s) ||
        !acknowledge_all(s) || !all_is_free(s) || !sells_again(s) || !sim_pump(s, 10))
        return false;
    if (!auditor_check_all(&s->audit, s->core, s->workers[0], sim_now(s)))
        return false;
    sim_close(s);
    fake_storage_restart(s->fs);
    return sim_journal_audit(s) && sim_open(s);
}

// ------------------------------------------------------------------------------- the run

static void set_up(struct sim *s, uint64_t seed, enum sim_parts parts)
{
    s->seed = seed;
    s->prng.state = hf_mix64(seed + 1);
    s->fault = prng_fork(&s->prng);
    uint64_t disk_seed = prng_next(&s->prng);
    fake_clock_init(&s->clock, 1000000000, UINT64_C(1750000000000));
    s->fs = fake_storage_create(disk_seed, &s->clock);
    sim_plan_make(s, parts);
    if (s->plan.odoo)
        sim_odoo_init(s);
    if (s->plan.packets)
        sim_packets_init(s);
    auditor_init(&s->audit, &s->options);
    // Past the archive's retention nothing can be recalled.
    s->audit.archive &= !s->plan.years;
    s->audit.trace = s->fs->trace = s->verbose;
}

bool sim_run(struct sim *s, uint64_t seed, uint64_t crash_at, enum sim_parts parts)
{
    set_up(s, seed, parts);
    if (s->plan.latency) {
        s->fs->faults.latency_ns_max = 200000;
        s->fs->faults.slow_one_in = 50;
        s->fs->faults.slow_ns_max = 30000000;
    }
    if (crash_at) {
        s->exact = true;
        struct sim_plan *l = &s->plan;
        l->crashes = l->errors = l->full_disk = l->damage = l->clock_jumps = l->kills = false;
        l->actions = l->actions < 60 ? l->actions : 60;
        s->fs->faults.crash_in = crash_at;
        s->fs->faults.crash_counts_reads = true;
    }
    bool fine = safety(s) && sim_liveness(s);
    if (s->core)
        s->stats.archived_lsn += core_archive(s->core) ? archive_lsn(core_archive(s->core)) : 0;
    fine = fine && sim_moved_trial(s);
    return fine && sim_ok(s);
}

void sim_fini(struct sim *s)
{
    sim_close(s);
    for (uint32_t i = 0; i < SIM_HISTORY; i++)
        sim_request_free(&s->history[i]);
    for (uint32_t i = 0; i < SIM_BATCH_MAX; i++)
        sim_request_free(&s->kept[i]);
    sim_odoo_fini(s);
    sim_moved_fini(s);
    sim_packets_fini(s);
    auditor_fini(&s->audit);
    storage_destroy(&s->fs->base);
}
