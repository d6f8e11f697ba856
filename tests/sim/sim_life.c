// The engine's life in a simulation: opening, stepping, crashing, being damaged.
#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool sim_ok(const struct sim *s)
{
    return s->audit.violation[0] == 0;
}

void sim_log(struct sim *s, const char *format, ...)
{
    if (!s->verbose)
        return;
    va_list args;
    va_start(args, format);
    printf("  [%lu ms, io %lu] ", s->core ? core_now(s->core) : 0, s->fs->calls);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

uint64_t sim_now(struct sim *s)
{
    return core_now(s->core);
}

static uint64_t errors_injected(const struct sim *s)
{
    const struct fake_counts *c = &s->fs->counts;
    return c->read_errors + c->write_errors + c->sync_errors;
}

bool sim_status(struct sim *s, enum hf_status status, const char *what)
{
    if (status == HF_OK || status == HF_AGAIN)
        return sim_ok(s);
    sim_log(s, "%s: %s", what, hf_status_name(status));
    if (status == HF_NO_SPACE && s->fs->faults.capacity_bytes && core_status(s->core) == HF_OK)
        return sim_ok(s); // passes
    if (status == HF_BUSY && core_status(s->core) == HF_OK)
        return sim_ok(s);
    s->stopped = true;
    s->stats.stops++;
    bool injected = s->fs->crashed || errors_injected(s) != s->errors_known;
    if (!injected || (status != HF_IO && status != HF_STOPPED))
        return auditor_violate(&s->audit, "%s answered %s (engine: %s) without such a fault",
                               what, hf_status_name(status),
                               hf_status_name(core_status(s->core)));
    return sim_ok(s);
}

// ------------------------------------------------------------------------------- open, close

void sim_close(struct sim *s)
{
    if (!s->core)
        return;
    sim_packets_close(s);
    sim_odoo_close(s);
    struct core_metrics m;
    core_metrics(s->core, &m);
    s->stats.checkpoints += m.checkpoints;
    s->stats.compared += m.compared;
    for (uint32_t w = 0; w < s->plan.workers; w++)
        if (s->workers[w])
            core_worker_destroy(s->workers[w]);
    memset(s->workers, 0, sizeof s->workers);
    core_close(s->core);
    s->core = NULL;
}

static void come_back(struct sim *s)
{
    struct prng *p = &s->fault;
    if (s->fs->crashed || !s->plan.kills || prng_chance(p, 1, 2)) {
        s->stats.crashes++;
        fake_storage_restart(s->fs);
        fake_clock_reboot(&s->clock, prng_below(p, 1000000000));
    } else {
        s->stats.kills++;
        fake_storage_kill(s->fs);
    }
    if (s->calm)
        return;
    fake_clock_advance_ms(&s->clock, prng_below(p, s->plan.step_ms + 2));
    if (s->plan.years && prng_chance(&s->odoo.prng, 1, 4)) {
        static const uint64_t days[] = {1, 29, 31, 200, 399, 401, 3000};
        s->stats.years++;
        fake_clock_advance_ms(&s->clock, days[prng_below(&s->odoo.prng, 7)] * 86400000);
    }
    if (s->plan.clock_jumps && prng_chance(p, 1, 3)) {
        static const int64_t jumps[] = {-1000000, -299000, -5000,     -10, 10,
                                        5000,     600000,  86400000, INT64_C(2) * 30 * 86400000};
        fake_clock_jump_wall_ms(&s->clock, jumps[prng_below(p, sizeof jumps / sizeof *jumps)]);
    }
}

static void arm(struct sim *s, bool opening)
{
    struct fake_faults *f = &s->fs->faults;
    struct prng *p = &s->fault;
    if (s->calm || s->exact)
        return;
    f->crash_counts_reads = prng_chance(p, 1, 2);
    if (s->plan.crashes && (!opening || prng_chance(p, 1, 3)))
        f->crash_in = prng_between(p, 1, opening ? 40 : s->plan.life_ios);
    if (s->plan.errors && prng_chance(p, 1, opening ? 6 : 2)) {
        uint64_t in = prng_between(p, 1, opening ? 10 : s->plan.life_ios);
        switch (prng_below(p, 3)) {
        case 0:
            f->read_error_in = in;
            break;
        case 1:
            f->write_error_in = in;
            break;
        default:
            f->sync_error_in = in;
        }
    }
}

static void disarm(struct sim *s)
{
    struct fake_faults *f = &s->fs->faults;
    if (s->exact)
        return;
    f->crash_in = f->read_error_in = f->write_error_in = f->sync_error_in = 0;
}

static bool open_once(struct sim *s, enum hf_status *status, struct core_report *report)
{
    s->errors_known = errors_injected(s);
    memset(report, 0, sizeof *report);
    *status = core_open(&s->options, &s->core, report);
    if (*status != HF_OK)
        s->core = NULL;
    else if (s->plan.odoo)
        *status = sim_odoo_open(s, report->why);
    if (*status == HF_OK)
        return true;
    if (s->core)
        sim_close(s);
    s->stats.opens_failed++;
    sim_log(s, "open: %s: %s", hf_status_name(*status), report->why);
    bool injected = s->fs->crashed || errors_injected(s) != s->errors_known;
    s->stats.recovery_crashes += s->fs->crashed;
    switch (*status) {
    case HF_IO:
        return injected ||
               auditor_violate(&s->audit, "open answered IO without a fault: %s", report->why);
    case HF_NO_SPACE:
        s->stats.no_space_opens++;
        if (!s->fs->faults.capacity_bytes)
            return auditor_violate(&s->audit, "open answered NO_SPACE on an endless disk");
        s->fs->faults.capacity_bytes = 0;
        return true;
    case HF_CLOCK:
        s->stats.clock_refusals++;
        if ((!s->plan.clock_jumps && !s->plan.years) || s->options.accept_clock)
            return auditor_violate(&s->audit, "open answered CLOCK: %s", report->why);
        s->options.accept_clock = true;
        return true;
    default:
        return auditor_violate(&s->audit, "open answered %s: %s (%s at %lu: %s)",
                               hf_status_name(*status), report->why, report->journal.where,
                               report->journal.offset, report->journal.why);
    }
}

static bool make_workers(struct sim *s)
{
    for (uint32_t w = 0; w < s->plan.workers; w++) {
        s->workers[w] = core_worker_create(s->core);
        if (!s->workers[w])
            return auditor_violate(&s->audit, "no worker %u of %u", w, s->plan.workers);
    }
    return true;
}

bool sim_open(struct sim *s)
{
    struct core_report report;
    enum hf_status status = HF_IO;
    for (uint32_t tries = 0; status != HF_OK; tries++) {
        if (tries)
            come_back(s);
        if (tries < 5)
            arm(s, true);
        if (!open_once(s, &status, &report))
            return false;
    }
    s->options.accept_clock = false;
    disarm(s);
    s->stopped = false;
    s->stats.lives++;
    sim_log(s, "open: last lsn %lu, checkpoint %s, torn %d", report.journal.last_lsn,
            report.checkpoint, report.journal.torn_tail);
    uint64_t lsn = report.journal.last_lsn > report.checkpoint_lsn ? report.journal.last_lsn
                                                                   : report.checkpoint_lsn;
    if (!make_workers(s) || !auditor_restarted(&s->audit, s->core, s->workers[0], lsn))
        return false;
    if (s->plan.packets && !sim_packets_open(s))
        return false;
    arm(s, false);
    return true;
}

// ------------------------------------------------------------------------------- steps

static bool after_step(struct sim *s, enum hf_status st, const char *what)
{
    s->did_something = st == HF_OK;
    if (!sim_status(s, st, what))
        return false;
    uint64_t now = sim_now(s);
    return auditor_expiries(&s->audit, s->core, s->workers[0], now) &&
           auditor_settle(&s->audit) && auditor_look(&s->audit, s->core, now);
}

bool sim_writer(struct sim *s, bool quiet)
{
    return after_step(s, core_step_writer(s->core, quiet), "writer");
}

bool sim_timers(struct sim *s, uint32_t budget)
{
    return after_step(s, core_step_timers(s->core, sim_now(s), budget), "timers");
}

bool sim_background(struct sim *s, uint32_t which, uint32_t budget)
{
    switch (which % 3) {
    case 0:
        return after_step(s, core_step_segments(s->core), "segments");
    case 1:
        return after_step(s, core_step_checkpoint(s->core, sim_now(s), budget), "checkpoint");
    default:
        return after_step(s, core_step_archive(s->core, sim_now(s)), "archive");
    }
}

bool sim_flush(struct sim *s)
{
    enum hf_status st = sim_odoo_step(s);
    return sim_ok(s) && after_step(s, st, "flusher");
}

bool sim_pump(struct sim *s, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds && !s->stopped; i++) {
        if (!sim_timers(s, 1000) || s->stopped || !sim_writer(s, true) || s->stopped)
            return sim_ok(s);
        s->did_something = s->plan.odoo;
        for (uint32_t n = 0; n < 64 && s->did_something && !s->stopped; n++)
            if (!sim_flush(s) || (!s->stopped && n % 8 == 7 && !sim_writer(s, false)))
                return false;
        for (uint32_t n = 0, which = 0; which < 3 && !s->stopped; n++) {
            if (!sim_background(s, which, 64))
                return false;
            if (!s->did_something || n % 8 == 7) // each works in small pieces
                which++;
        }
        fake_clock_advance_ms(&s->clock, 1);
    }
    return sim_ok(s);
}

// ------------------------------------------------------------------------------- damage

// A damaged image that opens must tell the truth, or refuse to open.
static bool tells_the_truth(struct sim *s, const struct fake_damage_place *place)
{
    struct oracle_times times = s->audit.times;
    uint64_t now = core_now(s->core), durable = s->audit.durable;
    s->audit.times.now_ms = 0;
    s->audit.times.floor_ms = 0;
    bool fine = make_workers(s) && auditor_look(&s->audit, s->core, now) &&
                auditor_check_cells(&s->audit, s->core) &&
                auditor_check_list(&s->audit, s->workers[0], now);
    s->audit.times = times;
    s->audit.durable = durable;
    if (!fine) {
        char what[sizeof s->audit.violation];
        memcpy(what, s->audit.violation, sizeof what);
        s->audit.violation[0] = 0;
        auditor_violate(&s->audit, "DAMAGE in %s at %lu went unseen: %.400s", place->name,
                        place->offset, what);
    }
    return fine;
}

static bool refused_well(struct sim *s, const struct fake_damage_place *place,
                         enum hf_status status, const struct core_report *report)
{
    s->stats.damages_refused++;
    if (status != HF_DAMAGED && status != HF_FOREIGN && status != HF_TOO_NEW)
        return auditor_violate(&s->audit, "DAMAGE in %s at %lu was answered %s", place->name,
                               place->offset, hf_status_name(status));
    if (!report->why[0])
        return auditor_violate(&s->audit, "DAMAGE in %s at %lu: no word of it", place->name,
                               place->offset);
    return true;
}

static bool open_damaged(struct sim *s, const struct fake_damage_place *place)
{
    struct core_report report;
    memset(&report, 0, sizeof report);
    enum hf_status st = core_open(&s->options, &s->core, &report);
    sim_log(s, "open of the damaged copy: %s: %s", hf_status_name(st), report.why);
    if (st != HF_OK) {
        s->core = NULL;
        return refused_well(s, place, st, &report);
    }
    uint64_t lsn = report.journal.last_lsn > report.checkpoint_lsn ? report.journal.last_lsn
                                                                   : report.checkpoint_lsn;
    if (lsn >= s->audit.durable) {
        s->stats.damages_harmless++;
        return tells_the_truth(s, place);
    }
    // Nothing vouched for the last group yet: damage there looks like a torn tail.
    s->stats.damages_tail++;
    return lsn >= s->audit.durable_before ||
           auditor_violate(&s->audit,
                           "DAMAGE in %s at %lu: LSN %lu was durable, recovery ends at %lu",
                           place->name, place->offset, s->audit.durable, lsn);
}

bool sim_damage_trial(struct sim *s)
{
    HF_ASSERT(!s->core && !s->fs->crashed);
    struct fake_damage_place place;
    struct fake_storage *healthy = s->fs;
    struct fake_storage *hurt = fake_storage_clone(healthy);
    enum fake_damage kind = (enum fake_damage)prng_below(&s->fault, FAKE_DAMAGE_COUNT);
    fake_storage_kill(hurt);
    fake_storage_reseed(hurt, prng_next(&s->fault));
    bool fine = true;
    if (fake_storage_damage(hurt, kind, "", &place) && place.changed) {
        s->stats.damages++;
        sim_log(s, "damage %d in %s at %lu", kind, place.name, place.offset);
        s->fs = hurt;
        s->options.storage = &hurt->base;
        s->options.accept_clock = true;
        fine = open_damaged(s, &place);
        sim_close(s);
        s->fs = healthy;
        s->options.accept_clock = false;
        s->options.storage = &healthy->base;
    }
    storage_destroy(&hurt->base);
    return fine;
}
