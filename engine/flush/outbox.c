// The outbox: every record past read_lsn, from the archive where the journal's segments are gone,
// else from the durable journal, into the window. Records follow each other without a gap, or
// something is lost and the flusher stops.
//
// Acknowledgements are read too. Their ids carry the incarnation and the batch, so one that this
// state cannot have written shows: the state was lost, or is older than the journal. Going on
// would post again what another has posted.
#include "flush/flush_internal.h"

#include "base/hash.h"
#include "base/log.h"

#include <string.h>

#define GROUPS_AT_ONCE  64
#define RECORDS_AT_ONCE 65536 // out of the archive

struct reading {
    struct flush *f;
    uint64_t now_ms;
    uint32_t budget;
};

// ------------------------------------------------------------------------------- operation ids

#define OP_BATCH_BITS 40
#define OP_DISCARD    (UINT64_C(1) << (OP_BATCH_BITS - 1)) // of a dead letter, not of a batch
#define OP_MOVED      (UINT64_C(1) << (OP_BATCH_BITS - 2)) // of what was learned after a move

static struct hf_uuid op_id_of(struct hf_uuid incarnation, uint64_t batch, uint64_t now_ms)
{
    uint64_t tag = hf_hash_uuid(&incarnation), low = batch & ((UINT64_C(1) << OP_BATCH_BITS) - 1);
    uint64_t middle = (tag >> 12 & 0x3fffff) << OP_BATCH_BITS;
    return hf_uuid_v7(now_ms, tag & 0xfff, (middle | low) << 2);
}

struct hf_uuid flush_op_id(const struct flush *f, uint64_t batch, uint64_t now_ms)
{
    return op_id_of(f->incarnation, batch, now_ms);
}

struct hf_uuid flush_settle_op_id(struct core *c, uint64_t serial, uint64_t now_ms)
{
    uint64_t low = serial & ((UINT64_C(1) << OP_BATCH_BITS) - 1);
    return op_id_of(journal_engine_id(core_journal(c)), low, now_ms);
}

struct hf_uuid flush_moved_op_id(const struct flush *f, uint32_t serial, uint64_t now_ms)
{
    return op_id_of(f->moved.fresh, serial | OP_MOVED, now_ms);
}

struct hf_uuid flush_discard_op_id(const struct flush *f, uint64_t letter, uint64_t now_ms)
{
    return flush_op_id(f, letter | OP_DISCARD, now_ms);
}

// False: another's. *batch is the batch that it acknowledges.
static bool op_id_mine(const struct flush *f, struct hf_uuid id, uint64_t *batch)
{
    *batch = id.lo & ((UINT64_C(1) << OP_BATCH_BITS) - 1);
    return hf_uuid_equal(id, flush_op_id(f, *batch, hf_uuid_ms(id)));
}

static enum hf_status acknowledgement_check(struct flush *f, struct hf_uuid id, uint64_t lsn)
{
    uint64_t batch;
    if (f->moved.phase == FLUSH_LEARNED && lsn <= f->moved.settled_lsn)
        return HF_OK; // of the former incarnation, and known
    if (moved_appends(f, id))
        return HF_OK; // an earlier move's, too
    if (!op_id_mine(f, id, &batch) &&
        hf_uuid_equal(id, flush_settle_op_id(f->options.core, batch, hf_uuid_ms(id))))
        return HF_OK;
    // Of a former incarnation, when what a discard books came after a move.
    for (uint32_t i = 0; i < f->discard_count; i++)
        if (hf_uuid_equal(f->discards[i].op_id, id))
            return HF_OK;
    if (!op_id_mine(f, id, &batch))
        return flush_fail(f, HF_FOREIGN,
                          "another flusher has acknowledged postings here: the "
                          "state file was lost or exchanged");
    if (batch & OP_MOVED)
        return HF_OK;
    if (batch & OP_DISCARD)
        return (batch & ~OP_DISCARD) < f->next_dead
                   ? HF_OK
                   : flush_fail(f, HF_DAMAGED, "the state file is older than the journal");
    for (uint32_t i = 0; i < f->batch_count; i++)
        if (f->batches[i].number == batch &&
            (f->batches[i].state != FLUSH_POSTED || !hf_uuid_equal(f->batches[i].op_id, id)))
            return flush_fail(f, HF_DAMAGED, "the state file is older than the journal");
    if (batch >= f->next_batch)
        return flush_fail(f, HF_DAMAGED, "the state file is older than the journal");
    return HF_OK;
}

// ------------------------------------------------------------------------------- records

static bool starts_with(const char *text, uint32_t bytes, const char *prefix)
{
    return bytes >= strlen(prefix) && memcmp(text, prefix, strlen(prefix)) == 0;
}

bool outbox_movement(const struct core_record_line *l, const struct core_record_parts *p,
                     struct flush_line *out)
{
    out->handle = l->handle;
    out->movements = 1;
    out->quantity = l->quantity;
    switch ((enum core_role)l->role) {
    case CORE_ROLE_ORDER:
    case CORE_ROLE_COMMIT:
        out->kind = FLUSH_SALE;
        return true;
    case CORE_ROLE_CANCEL:
        out->kind = FLUSH_SALE;
        out->quantity = -l->quantity;
        return true;
    case CORE_ROLE_RESTOCK:
        out->kind = FLUSH_RESTOCK;
        return true;
    case CORE_ROLE_SCRAP:
        out->kind = FLUSH_SCRAP;
        return true;
    case CORE_ROLE_ON_HAND:
        out->kind = FLUSH_CORRECTION;
        if (starts_with(p->reason, p->reason_bytes, FLUSH_REASON_RECEIPT))
            out->kind = FLUSH_RECEIPT;
        return !starts_with(p->reason, p->reason_bytes, FLUSH_REASON_INBOUND);
    default:
        return false;
    }
}

// An order in Odoo ships what was sold there; what it did comes in as done moves.
static bool others_post(const struct flush_place *p, const struct flush_line *l)
{
    return p && p->mode == FLUSH_MODE_EXTERNAL && l->kind == FLUSH_SALE;
}

static enum hf_status record_take(struct reading *r, uint64_t lsn, const struct core_record *rec,
                                  const struct core_record_parts *p)
{
    struct flush *f = r->f;
    struct flush_line moved = {
        .first_lsn = lsn, .last_lsn = lsn, .since_ms = core_record_time(rec)};
    int64_t total = 0;
    for (uint32_t i = 0; i < rec->line_count; i++)
        if (outbox_movement(&rec->lines[i], p, &moved))
            total += moved.quantity < 0 ? -moved.quantity : moved.quantity;
    if (!window_fits(&f->window, rec->line_count, total)) {
        f->window.full = true;
        return HF_BUSY;
    }
    if (f->window.movements == 0)
        f->window.opened_ms = r->now_ms;
    uint32_t movements = 0;
    for (uint32_t i = 0; i < rec->line_count; i++)
        if (outbox_movement(&rec->lines[i], p, &moved)) {
            const struct flush_place *place = place_of(f, moved.handle);
            movements++;
            if (others_post(place, &moved))
                continue;
            moved.day = place_day(place, moved.since_ms);
            if (moved_covers(f, &moved)) {
                window_seal(&f->window, &moved);
                continue;
            }
            window_add(&f->window, &moved);
        }
    flush_count(&f->metrics.movements, movements);
    return HF_OK;
}

static enum hf_status visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *frame)
{
    struct reading *r = ctx;
    struct flush *f = r->f;
    struct core_record_parts parts;
    (void)time_ms;
    if (r->budget == 0)
        return HF_BUSY;
    if (lsn != f->read_lsn + 1)
        return flush_fail(f, HF_DAMAGED, "records are in neither archive nor journal");
    if (!core_record_parse(frame, &parts))
        return flush_fail(f, HF_DAMAGED, "a record's parts do not fit together");
    enum hf_status s = frame->type == CORE_RECORD_ACKNOWLEDGE
                           ? acknowledgement_check(f, frame->id, lsn)
                           : record_take(r, lsn, (const struct core_record *)frame, &parts);
    if (s != HF_OK)
        return s;
    f->read_lsn = lsn;
    r->budget--;
    return HF_OK;
}

// ------------------------------------------------------------------------------- reading

void outbox_close(struct flush *f)
{
    journal_reader_destroy(f->reader);
    f->reader = NULL;
}

// The journal no longer has what comes next.
static enum hf_status archive_read(struct flush *f, struct reading *r)
{
    struct archive *a = core_archive(f->options.core);
    uint64_t before = f->read_lsn;
    enum hf_status s = a ? archive_walk(a, f->read_lsn, visit, r) : HF_OK;
    if (s != HF_OK && s != HF_BUSY)
        return s;
    if (f->read_lsn == before && !f->window.full)
        return flush_fail(f, HF_DAMAGED, "records are in neither archive nor journal");
    return f->read_lsn == before ? HF_AGAIN : HF_OK;
}

enum hf_status outbox_step(struct flush *f, uint64_t now_ms)
{
    struct reading r = {f, now_ms, RECORDS_AT_ONCE};
    uint64_t before = f->read_lsn;
    if (f->window.full)
        return HF_AGAIN;
    enum hf_status s = HF_OK;
    if (!f->reader)
        s = journal_reader_create(core_journal(f->options.core), f->read_lsn, &f->reader);
    if (s == HF_OK)
        s = journal_reader_step(f->reader, GROUPS_AT_ONCE, visit, &r);
    if (s == HF_NOT_FOUND) {
        outbox_close(f);
        // The segment behind whose end the reader stood may be gone, and what follows be there.
        bool there = journal_oldest_lsn(core_journal(f->options.core)) <= f->read_lsn + 1;
        s = there ? HF_AGAIN : archive_read(f, &r);
    }
    if (f->failed != HF_OK)
        return f->failed;
    if (s == HF_BUSY)
        s = f->read_lsn == before ? HF_AGAIN : HF_OK;
    if (s != HF_OK && s != HF_AGAIN && s != HF_NO_MEMORY)
        return flush_fail(f, s, "the journal could not be read");
    return s == HF_NO_MEMORY ? HF_AGAIN : s;
}

// ------------------------------------------------------------------------------- looking back

struct finding {
    struct hf_uuid id;
    bool found;
};

static enum hf_status finding_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                    const struct journal_record *r)
{
    struct finding *k = ctx;
    (void)lsn;
    (void)time_ms;
    k->found |= r->type == CORE_RECORD_ACKNOWLEDGE && hf_uuid_equal(r->id, k->id);
    return HF_OK;
}

enum hf_status outbox_find_after(struct flush *f, struct hf_uuid op_id, uint64_t after, bool *found)
{
    struct archive *a = core_archive(f->options.core);
    struct finding k = {op_id, false};
    // Before the archive is asked, so that nothing falls between the two.
    uint64_t archived = a ? archive_lsn(a) : 0;
    struct journal_reader *reader;
    enum hf_status s = a ? archive_find_id(a, op_id, finding_visit, &k) : HF_OK;
    if (s != HF_OK && s != HF_NOT_FOUND)
        return s;
    if (after < archived)
        after = archived;
    // Without an archive what was taken may have gone with its segment; then the engine's memory of
    // ids is the guard.
    uint64_t oldest = journal_oldest_lsn(core_journal(f->options.core));
    if (!a && after + 1 < oldest)
        after = oldest - 1;
    s = k.found ? HF_AGAIN : journal_reader_create(core_journal(f->options.core), after, &reader);
    if (s == HF_OK) {
        while ((s = journal_reader_step(reader, GROUPS_AT_ONCE, finding_visit, &k)) == HF_OK)
            ;
        journal_reader_destroy(reader);
    }
    *found = k.found;
    return s == HF_AGAIN ? HF_OK : s;
}

enum hf_status outbox_find(struct flush *f, struct hf_uuid op_id, bool *found)
{
    // It was appended after the state that names it was written.
    return outbox_find_after(f, op_id, f->taken_lsn, found);
}
