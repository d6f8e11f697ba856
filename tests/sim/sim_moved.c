// A folder that is restored from a backup, or was copied, in a story with an Odoo. A backup is
// taken after a power loss. At the end, when all that was ever sold is in Odoo, it is
// opened in the place of what there was: P7, P8: it learns what Odoo has, and both sides are equal
// to the unit again, whatever was lost with the folder. Then the original is started once more, as
// if it had been copied and not lost: it must notice, and post nothing.
//
// The auditor does not know this second life, so nothing here is told to it.
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX 5000
#define GROUP_MS  20 // longer than the engine's groups wait

// After a power loss: what it has is on the disk. (What the page cache alone had, and the original
// then lost, would be another history; it rightly waits for somebody.)
void sim_moved_backup(struct sim *s)
{
    HF_ASSERT(!s->core);
    if (!s->plan.odoo || s->exact || s->calm || !prng_chance(&s->moved.prng, 1, 3))
        return;
    if (s->moved.backup)
        storage_destroy(&s->moved.backup->base);
    s->moved.backup = fake_storage_clone(s->fs);
    sim_log(s, "a backup is taken");
}

void sim_moved_fini(struct sim *s)
{
    if (s->moved.backup)
        storage_destroy(&s->moved.backup->base);
}

// ------------------------------------------------------------------------------- another folder

static void folder_use(struct sim *s, struct fake_storage *fs)
{
    fake_storage_kill(fs);
    memset(&fs->faults, 0, sizeof fs->faults);
    s->options.storage = s->odoo.options.storage = &fs->base;
    s->odoo.http.disk = fs;
}

static void folder_close(struct sim *s)
{
    sim_odoo_close(s);
    if (s->workers[0])
        core_worker_destroy(s->workers[0]);
    s->workers[0] = NULL;
    if (s->core)
        core_close(s->core);
    s->core = NULL;
}

static bool folder_open(struct sim *s, bool moved)
{
    const struct hf_uuid fresh = {0x0190000000007abd,
                                  UINT64_C(0x8000000000000000) | prng_next(&s->moved.prng) >> 2};
    struct core_report report = {0};
    s->options.accept_clock = true; // years may have passed
    enum hf_status st = core_open(&s->options, &s->core, &report);
    s->options.accept_clock = false;
    if (st != HF_OK)
        s->core = NULL;
    else if (moved)
        st = flush_moved_begin(s->options.storage, s->core, fresh, core_now(s->core));
    if (st == HF_OK)
        st = sim_odoo_open(s, report.why);
    if (st == HF_OK)
        s->workers[0] = core_worker_create(s->core);
    return (st == HF_OK && s->workers[0]) ||
           auditor_violate(&s->audit, "MOVED: open answered %s: %s", hf_status_name(st),
                           report.why);
}

// ------------------------------------------------------------------------------- its work

static bool fine(struct sim *s, enum hf_status st, const char *what)
{
    s->did_something |= st == HF_OK;
    return st == HF_OK || st == HF_AGAIN || (st == HF_BUSY && core_status(s->core) == HF_OK) ||
           auditor_violate(&s->audit, "MOVED: %s answered %s", what, hf_status_name(st));
}

// Then once more without the timers, whose floor moves with the time that a group may wait.
static bool turn(struct sim *s, bool timers)
{
    struct core *c = s->core;
    s->did_something = true;
    for (uint32_t n = 0; n < 200 && s->did_something; n++) {
        s->did_something = false;
        if ((timers && !fine(s, core_step_timers(c, core_now(c), 1000), "timers")) ||
            !fine(s, core_step_writer(c, true), "writer") ||
            !fine(s, flush_step(s->odoo.flush, s->workers[0], core_now(c)), "flusher") ||
            !fine(s, core_step_segments(c), "segments") ||
            !fine(s, core_step_checkpoint(c, core_now(c), 64), "checkpoint") ||
            !fine(s, core_step_archive(c, core_now(c)), "archive"))
            return false;
    }
    fake_clock_advance_ms(&s->clock, GROUP_MS);
    return !timers || turn(s, false);
}

static bool comes_to_rest(struct sim *s)
{
    struct flush_metrics m;
    for (uint32_t tries = 0; tries < TRIES_MAX; tries++) {
        uint32_t dead = 0;
        if (!turn(s, true))
            return false;
        flush_metrics(s->odoo.flush, &m);
        bool rests = m.pause == FLUSH_PAUSE_NONE && sim_odoo_idle(s) &&
                     !fake_storage_exists(s->moved.backup, "moved.hfs");
        if ((rests || m.pause == FLUSH_PAUSE_DEAD_LETTERS) && !sim_odoo_dead_retry(s, &dead))
            return false;
        if (rests && dead == 0)
            return true;
        fake_clock_advance_ms(&s->clock, flush_wait_ms(s->odoo.flush, core_now(s->core), 500) +
                                             (tries > 500 ? 2000 : 0));
    }
    return auditor_violate(&s->audit,
                           "MOVED: pause %s, %lu movements in the window, %lu batches open, %lu "
                           "dead, read %lu of %lu durable, %lu appended",
                           flush_pause_name((enum flush_pause)m.pause), m.window_movements,
                           m.open_batches, m.dead_letters, m.read_lsn, core_durable(s->core),
                           journal_appended(core_journal(s->core)));
}

static bool both_sides_are_equal(struct sim *s)
{
    for (uint32_t h = 0; h < core_cell_count(s->core); h++) {
        struct core_cell c;
        struct core_name n;
        char sku[HF_SKU_BYTES_MAX + 1], place[HF_LOCATION_BYTES_MAX + 8];
        if (core_cell_read(s->core, h, &c) != HF_OK || core_cell_name(s->core, h, &n) != HF_OK)
            return auditor_violate(&s->audit, "MOVED: cell %u is gone", h);
        snprintf(sku, sizeof sku, "%.*s", n.sku_bytes, n.sku);
        snprintf(place, sizeof place, "%.*s/Stock", n.location_bytes, n.location);
        __int128 have = c.on_hand;
        for (uint32_t i = c.scale; i < HF_UNIT_SCALE_MAX; i++)
            have *= 10;
        int64_t odoo = sandbox_quantity(s->odoo.sandbox, sku, place);
        if (c.committed != 0 || have != odoo)
            return auditor_violate(&s->audit,
                                   "MOVED: %s in %s: %ld millionths in Odoo; on hand %ld, "
                                   "committed %ld, scale %u",
                                   sku, place, odoo, c.on_hand, c.committed, c.scale);
    }
    s->stats.moved++;
    return true;
}

// Something is sold that has to be posted. False: there is no cell.
static bool sell(struct sim *s)
{
    struct core_answer a = {.outcome = CORE_OUT_BUSY};
    for (uint32_t h = 0; h < core_cell_count(s->core) && a.outcome != CORE_OUT_DONE; h++) {
        struct core_line line = {.handle = h, .quantity = 1};
        struct core_request r = {.verb = CORE_RECORD,
                                 .id = hf_uuid_v7(core_now(s->core), prng_next(&s->moved.prng), h),
                                 .lines = &line,
                                 .line_count = 1};
        core_execute(s->workers[0], core_now(s->core), &r, &a, 1);
        sim_log(s, "a sale of cell %u: %s", h, core_outcome_name(a.outcome));
    }
    return a.outcome == CORE_OUT_DONE;
}

// It stands still, since another folder posts in its name.
static bool original_stands(struct sim *s)
{
    uint64_t documents = sandbox_pickings(s->odoo.sandbox, "done");
    bool sold = sell(s);
    for (uint32_t i = 0; i < 100; i++) {
        if (!turn(s, true))
            return false;
        fake_clock_advance_ms(&s->clock, 1000);
    }
    struct flush_metrics m;
    flush_metrics(s->odoo.flush, &m);
    bool stands = m.pause == FLUSH_PAUSE_ANOTHER;
    s->stats.originals += stands;
    return ((stands || !sold) && sandbox_pickings(s->odoo.sandbox, "done") == documents) ||
           auditor_violate(&s->audit, "MOVED: the original goes on: pause %s",
                           flush_pause_name((enum flush_pause)m.pause));
}

// Cells that were made since have their stock in Odoo, and lead to nothing in the backup: then it
// rightly waits for somebody (FLUSH_PAUSE_UNPLACED).
static bool same_cells(struct sim *s)
{
    return core_cell_count(s->core) == s->audit.oracle.cell_count;
}

bool sim_moved_trial(struct sim *s)
{
    if (!s->moved.backup)
        return true;
    if (!sim_odoo_settle(s)) // what was sold at last
        return false;
    sim_close(s);
    sim_log(s, "the backup takes over");
    s->odoo.options.settle_ms = 1000;
    // Without an archive the journal keeps what is to be posted. A full one has no room for what is
    // to be acknowledged before it learns: somebody has to make some.
    s->options.journal.segments_max += s->options.archive ? 0 : 16;
    s->odoo.options.dead_max = 100; // a letter's end waits until it has learned, too
    folder_use(s, s->moved.backup);
    bool good = folder_open(s, true);
    bool goes = good && same_cells(s);
    bool posts = false;
    if (goes) {
        good = comes_to_rest(s) && both_sides_are_equal(s);
        posts = good && sell(s);
        good = good && (!posts || (comes_to_rest(s) && both_sides_are_equal(s)));
    }
    folder_close(s);
    folder_use(s, s->fs);
    if (good && posts)
        good = folder_open(s, false) && original_stands(s);
    folder_close(s);
    return good;
}
