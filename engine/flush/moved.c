// moved.hfs, and what follows from it; learn.c reads Odoo. docs/flush-format.md has the file.
//
//  M1 The file is durable before the first call of a folder that was moved.
//  M2 What was learned, and the ids of the changes that follow, are durable before the new
//     incarnation is (flush.hfs), and that before anything is posted or changed. A start between
//     the two does the second again from the first.
//  M3 A change is appended once: a start looks for its id in archive and journal first.
#include "flush/moved.h"

#include "flush/flush_internal.h"

#include "base/log.h"
#include "flush/records.h"
#include "journal/chunkfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME        "moved.hfs"
#define KIND        "HFMOVED"
#define VERSION     1
#define CHUNK_BYTES (64u << 10)
#define BUSY_MS     100

struct head {
    struct hf_uuid fresh;
    uint64_t moved_lsn, moved_ms, settled_lsn;
    uint32_t phase, foreign_upto, posted, intents, lives, zero;
    struct flush_life life[FLUSH_LIVES_MAX];
};
static_assert(sizeof(struct head) == 256, "head");

// ------------------------------------------------------------------------------- the file

static enum hf_status file_write(struct storage *s, struct core *c, const struct flush_moved *m,
                                 uint64_t now_ms)
{
    struct chunkfile_header h = {.version = VERSION,
                                 .engine_id = journal_engine_id(core_journal(c)),
                                 .lsn = m->moved_lsn,
                                 .time_ms = now_ms};
    struct head head = {.fresh = m->fresh,
                        .moved_lsn = m->moved_lsn,
                        .moved_ms = m->moved_ms,
                        .settled_lsn = m->settled_lsn,
                        .phase = m->phase,
                        .foreign_upto = m->foreign_upto,
                        .posted = m->posted_count,
                        .intents = m->intent_count,
                        .lives = m->life_count};
    struct chunkfile_writer *w;
    memcpy(h.kind, KIND, sizeof h.kind);
    memcpy(head.life, m->lives, m->life_count * sizeof *m->lives);
    enum hf_status st = chunkfile_writer_create(s, NAME, &h, CHUNK_BYTES, &w);
    if (st != HF_OK)
        return st;
    st = chunkfile_write(w, &head, sizeof head);
    if (st == HF_OK)
        st = chunkfile_write(w, m->posted, m->posted_count * sizeof *m->posted);
    if (st == HF_OK)
        st = chunkfile_write(w, m->intents, m->intent_count * sizeof *m->intents);
    if (st == HF_OK)
        return chunkfile_finish(w);
    chunkfile_abandon(w);
    return st;
}

static bool sound(struct core *c, const struct flush_moved *m)
{
    uint32_t cells = core_cell_count(c);
    for (uint32_t i = 0; i < m->posted_count; i++)
        if (m->posted[i].handle >= cells || m->posted[i].kind >= FLUSH_KIND_COUNT ||
            m->posted[i].zero || m->posted[i].first_lsn > m->posted[i].last_lsn)
            return false;
    for (uint32_t i = 0; i < m->intent_count; i++)
        if (m->intents[i].handle >= cells || m->intents[i].acknowledges > 1)
            return false;
    return m->moved_lsn <= core_durable(c);
}

static enum hf_status body_read(struct core *c, struct flush_moved *m, struct chunkfile_reader *r)
{
    struct head head;
    enum hf_status s = chunkfile_read(r, &head, sizeof head);
    if (s != HF_OK)
        return s;
    if (head.zero || head.lives > FLUSH_LIVES_MAX ||
        (head.phase != FLUSH_SETTLING && head.phase != FLUSH_LEARNED) ||
        head.posted > FLUSH_LEARNED_MAX || head.intents > 2 * FLUSH_LEARNED_MAX)
        return HF_DAMAGED;
    *m = (struct flush_moved){.phase = (enum flush_moved_phase)head.phase,
                              .fresh = head.fresh,
                              .moved_lsn = head.moved_lsn,
                              .moved_ms = head.moved_ms,
                              .settled_lsn = head.settled_lsn,
                              .life_count = head.lives,
                              .foreign_upto = head.foreign_upto};
    memcpy(m->lives, head.life, sizeof m->lives);
    m->posted = malloc((head.posted + 1) * sizeof *m->posted);
    m->intents = malloc((head.intents + 1) * sizeof *m->intents);
    if (!m->posted || !m->intents)
        return HF_NO_MEMORY;
    s = chunkfile_read(r, m->posted, head.posted * sizeof *m->posted);
    if (s == HF_OK)
        s = chunkfile_read(r, m->intents, head.intents * sizeof *m->intents);
    if (s == HF_OK) {
        m->posted_count = head.posted;
        m->intent_count = head.intents;
        s = sound(c, m) ? chunkfile_read_end(r) : HF_DAMAGED;
    }
    return s;
}

static void clear(struct flush_moved *m)
{
    free(m->posted);
    free(m->intents);
    *m = (struct flush_moved){.phase = FLUSH_NOT_MOVED};
}

void moved_fini(struct flush *f)
{
    clear(&f->moved);
}

static enum hf_status file_read(struct storage *s, struct core *c, struct flush_moved *m)
{
    struct chunkfile_header h;
    struct chunkfile_reader *r;
    enum hf_status st =
        chunkfile_reader_create(s, NAME, KIND, VERSION, journal_engine_id(core_journal(c)), &h, &r);
    if (st == HF_OK) {
        st = body_read(c, m, r);
        chunkfile_reader_destroy(r);
    }
    return st;
}

enum hf_status flush_moved_begin(struct storage *s, struct core *c, struct hf_uuid fresh,
                                 uint64_t now_ms)
{
    struct flush_moved m = {.phase = FLUSH_NOT_MOVED};
    enum hf_status st = file_read(s, c, &m); // what an earlier move has left to do stays
    if (st == HF_OK || st == HF_NOT_FOUND) {
        uint64_t durable = core_durable(c);
        if (m.phase == FLUSH_SETTLING && m.life_count == FLUSH_LIVES_MAX)
            memmove(m.lives, m.lives + 1, --m.life_count * sizeof *m.lives);
        // What was appended since is of the life that never began.
        if (m.phase == FLUSH_SETTLING)
            m.lives[m.life_count++] = (struct flush_life){m.fresh, durable};
        else
            m.moved_lsn = durable;
        m.phase = FLUSH_SETTLING;
        m.fresh = fresh;
        m.moved_ms = now_ms;
        st = file_write(s, c, &m, now_ms);
    }
    clear(&m);
    return st;
}

// What was not posted under its old name is parked; it goes out under the new incarnation.
static void batches_doom(struct flush *f)
{
    for (uint32_t i = 0; i < f->batch_count; i++) {
        struct flush_batch *b = &f->batches[i];
        if (b->state != FLUSH_FORMED)
            continue;
        f->must_save |= b->doom != FLUSH_CAUSE_MOVED || b->split; // E3
        b->doom = FLUSH_CAUSE_MOVED;
        b->split = false; // its halves would have names that Odoo may know already
    }
}

enum hf_status moved_load(struct flush *f, char why[200])
{
    enum hf_status s = file_read(f->options.storage, f->options.core, &f->moved);
    if (s == HF_NOT_FOUND)
        return HF_OK;
    if (s != HF_OK) {
        snprintf(why, 200, "%s: %s", NAME, hf_status_help(s));
        return s;
    }
    if (f->foreign_upto < f->moved.foreign_upto)
        f->foreign_upto = f->moved.foreign_upto;
    if (f->moved.phase == FLUSH_SETTLING)
        batches_doom(f);
    else if (!hf_uuid_equal(f->incarnation, f->moved.fresh))
        moved_turn(f); // M2
    hf_log(HF_LOG_WARN, "flush_moved", "phase=%s lsn=%llu",
           f->moved.phase == FLUSH_SETTLING ? "settling" : "learned",
           (unsigned long long)f->moved.moved_lsn);
    return HF_OK;
}

enum hf_status moved_save(struct flush *f, uint64_t now_ms)
{
    enum hf_status s = file_write(f->options.storage, f->options.core, &f->moved, now_ms);
    if (s == HF_NO_SPACE || s == HF_NO_MEMORY) {
        flush_hold(f, FLUSH_PAUSE_DISK_FULL, now_ms, hf_status_help(s));
        return HF_AGAIN;
    }
    return s == HF_OK ? HF_OK : flush_fail(f, s, "what was learned could not be written");
}

// ------------------------------------------------------------------------------- what Odoo has

static int before(const struct flush_posted *p, uint32_t handle, uint32_t kind, uint32_t day,
                  uint64_t lsn)
{
    if (p->handle != handle)
        return p->handle < handle;
    if (p->kind != kind)
        return p->kind < kind;
    if (p->day != day)
        return p->day < day;
    return p->first_lsn <= lsn;
}

uint32_t moved_find(const struct flush_posted *posted, size_t stride, uint32_t count,
                    const struct flush_line *l)
{
    uint32_t low = 0, high = count; // the first that begins past it
    const char *base = (const char *)posted;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const void *at = base + middle * stride;
        if (before(at, l->handle, l->kind, l->day, l->first_lsn))
            low = middle + 1;
        else
            high = middle;
    }
    const struct flush_posted *p = low ? (const void *)(base + (low - 1) * stride) : NULL;
    return p && p->handle == l->handle && p->kind == l->kind && p->day == l->day &&
                   p->last_lsn >= l->last_lsn
               ? low - 1
               : UINT32_MAX;
}

bool moved_appends(const struct flush *f, struct hf_uuid op_id)
{
    for (uint32_t i = 0; f->moved.phase == FLUSH_LEARNED && i < f->moved.intent_count; i++)
        if (hf_uuid_equal(f->moved.intents[i].op_id, op_id))
            return true;
    return false;
}

bool moved_covers(const struct flush *f, const struct flush_line *l)
{
    const struct flush_moved *m = &f->moved;
    return m->phase == FLUSH_LEARNED &&
           moved_find(m->posted, sizeof *m->posted, m->posted_count, l) != UINT32_MAX;
}

void moved_turn(struct flush *f)
{
    uint32_t kept = 0;
    f->incarnation = f->moved.fresh;
    f->born_lsn = f->moved.moved_lsn;
    f->foreign_upto = f->moved.foreign_upto;
    f->guard_from = f->foreign_upto; // those of the former life are nobody else's
    for (uint32_t i = 0; i < f->dead_count; i++) {
        if (moved_covers(f, &f->dead[i].line))
            continue;
        f->dead[kept] = f->dead[i];
        f->dead[kept].retry |= f->dead[kept].cause == FLUSH_CAUSE_MOVED;
        kept++;
    }
    f->dead_count = kept;
    memset(f->retrying, 0, f->options.dead_max * sizeof *f->retrying);
    f->must_save = true;
}

// ------------------------------------------------------------------------------- the changes

static enum hf_status any_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                const struct journal_record *r)
{
    bool *found = ctx;
    (void)lsn, (void)time_ms, (void)r;
    *found = true;
    return HF_OK;
}

static void intent_append(struct core_worker *w, const struct flush_intent *k, uint64_t now_ms,
                          struct core_admin_answer *a)
{
    const struct core_line line = {k->handle, 0, k->quantity};
    const struct core_change change = {.op_id = k->op_id,
                                       .handle = k->handle,
                                       .setting = CORE_SET_ON_HAND,
                                       .relative = true,
                                       .value = k->quantity,
                                       .reason = FLUSH_REASON_INBOUND "lost with the folder"};
    if (k->acknowledges)
        core_acknowledge(w, now_ms, k->op_id, &line, 1, a);
    else
        core_change(w, now_ms, &change, a);
}

// Its id is of long ago, so nothing was appended under it: one of today, durable first.
static enum hf_status intent_renew(struct flush *f, struct flush_intent *k, uint64_t now_ms)
{
    struct hf_uuid old = k->op_id;
    k->op_id = flush_moved_op_id(f, (uint32_t)(k - f->moved.intents), now_ms);
    enum hf_status s = moved_save(f, now_ms);
    if (s != HF_OK)
        k->op_id = old;
    return s;
}

static enum hf_status intent_apply(struct flush *f, struct core_worker *w, struct flush_intent *k,
                                   uint64_t now_ms)
{
    struct core_admin_answer a;
    bool found = false;
    if (!f->moved.looked_up) { // M3
        enum hf_status s = records_of(f->options.core, k->op_id, any_visit, &found);
        if (s == HF_BUSY || s == HF_NOT_FOUND || s == HF_NO_MEMORY)
            return HF_AGAIN;
        if (s != HF_OK)
            return flush_fail(f, s, "the journal could not be read");
    }
    if (found)
        return HF_OK;
    intent_append(w, k, now_ms, &a);
    if (a.outcome == CORE_OUT_ID_TOO_OLD) {
        enum hf_status s = intent_renew(f, k, now_ms);
        if (s != HF_OK)
            return s;
        intent_append(w, k, now_ms, &a); // now: in a short window it is old soon
    }
    switch (a.outcome) {
    case CORE_OUT_DONE:
        return HF_OK;
    case CORE_OUT_BUSY:
    case CORE_OUT_ID_IN_FUTURE:
    case CORE_OUT_ID_TOO_OLD:
        return HF_AGAIN;
    default:
        return flush_fail(f, HF_DAMAGED, "the engine does not take what was learned of Odoo");
    }
}

enum hf_status moved_step(struct flush *f, struct core_worker *w, uint64_t now_ms)
{
    struct flush_moved *m = &f->moved;
    if (m->phase != FLUSH_LEARNED || now_ms < f->moved_at_ms)
        return HF_AGAIN;
    if (m->intents_done < m->intent_count) {
        enum hf_status s = intent_apply(f, w, &m->intents[m->intents_done], now_ms);
        m->intents_done += s == HF_OK;
        if (s == HF_AGAIN)
            f->moved_at_ms = now_ms + BUSY_MS;
        return s;
    }
    if (!m->applied_lsn) { // whoever appended them
        m->looked_up = true;
        m->applied_lsn = journal_appended(core_journal(f->options.core));
    }
    // All that the file explains was read, and is durable.
    if (f->saved_taken < m->applied_lsn)
        return HF_AGAIN;
    enum hf_status s = f->options.storage->ops->unlink(f->options.storage, NAME);
    if (s == HF_OK)
        s = f->options.storage->ops->sync_folder(f->options.storage);
    if (s != HF_OK)
        return flush_fail(f, s, "the end of what was learned could not be written");
    moved_fini(f);
    hf_log(HF_LOG_INFO, "flush_moved", "phase=done");
    return HF_OK;
}
