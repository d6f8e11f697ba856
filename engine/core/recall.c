// Brings the lines of an ended reservation back into memory, for a cancel, a return or a retake.
//
// The latest record is found by the slot's ticket or, when the id has left memory too, in the
// archive and the segments that are not archived yet. From there the chain of `previous` leads
// back to the record that committed (or expired) the lines; what cancels and returns on the way
// took off is subtracted. All reading is done outside of any step.
#include "core/core_internal.h"

#include "rcu/rcu.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_ATTEMPTS 8

struct recall {
    struct hf_uuid id;
    uint64_t ticket; // of the latest record
    uint16_t version, channel;
    unsigned kind;
    enum core_state state;
    uint64_t body_hash, end_hash;
    bool v4;
    uint32_t count;
    struct stock_line lines[HF_LINES_MAX];
    uint64_t buffer[HF_RECORD_BYTES_MAX / 8];
};

static enum hf_status read_one(struct core *c, uint64_t lsn, void *buffer, uint32_t bytes)
{
    enum hf_status s = journal_read_one(c->journal, lsn, buffer, bytes);
    if (s == HF_NOT_FOUND && c->archive)
        s = archive_read_one(c->archive, lsn, buffer, bytes);
    return s;
}

static enum hf_status latest_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *r)
{
    struct recall *rc = ctx;
    const struct core_record *rec = (const struct core_record *)r;
    (void)time_ms;
    if (!hf_uuid_equal(r->id, rc->id) || r->type < CORE_RECORD_HOLD || r->type > CORE_RECORD_RETURN)
        return HF_OK;
    if (r->type <= CORE_RECORD_FACT) { // the first of them all
        rc->body_hash = rec->body_hash;
        rc->channel = rec->channel;
    }
    if (lsn > rc->ticket)
        rc->ticket = lsn;
    return HF_OK;
}

// ------------------------------------------------------------------------------- history

static enum hf_status rest_visit(struct core *c, uint64_t after, journal_visit visit, void *ctx)
{
    struct journal_reader *reader;
    enum hf_status s = journal_reader_create(c->journal, after, &reader);
    if (s != HF_OK)
        return s;
    while ((s = journal_reader_step(reader, 64, visit, ctx)) == HF_OK)
        ;
    journal_reader_destroy(reader);
    return s == HF_AGAIN ? HF_OK : s;
}

// Everything that is still to be had: the archive by its index, then what it does not hold yet.
// A segment may be archived and recycled between the two; then the archive has it by now, and all
// is visited once more, so a visit must bear to see a record again.
static enum hf_status history_visit(struct core *c,
                                    enum hf_status (*archived)(struct archive *a, void *ctx),
                                    journal_visit visit, void *ctx)
{
    enum hf_status s = HF_NOT_FOUND;
    for (int attempt = 0; attempt < HISTORY_ATTEMPTS && s == HF_NOT_FOUND; attempt++) {
        uint64_t after = journal_oldest_lsn(c->journal) - 1;
        if (c->archive && archive_lsn(c->archive) > after)
            after = archive_lsn(c->archive);
        s = c->archive ? archived(c->archive, ctx) : HF_OK;
        if (s != HF_OK && s != HF_NOT_FOUND)
            return s;
        s = rest_visit(c, after, visit, ctx); // HF_NOT_FOUND: archived and recycled since
    }
    return s == HF_NOT_FOUND ? HF_BUSY : s;
}

static enum hf_status latest_archived(struct archive *a, void *ctx)
{
    return archive_find_id(a, ((struct recall *)ctx)->id, latest_visit, ctx);
}

static enum hf_status latest_find(struct core *c, struct recall *rc)
{
    enum hf_status s = history_visit(c, latest_archived, latest_visit, rc);
    if (s != HF_OK)
        return s;
    return rc->ticket ? HF_OK : HF_NOT_FOUND;
}

struct reference_search {
    const char *reference;
    uint32_t bytes, max, count;
    uint64_t last; // LSN of the newest that was counted
    struct hf_uuid *ids;
};

static enum hf_status reference_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                      const struct journal_record *r)
{
    struct reference_search *f = ctx;
    struct core_record_parts p;
    (void)time_ms;
    // First records alone carry one, each reservation has one of those, and they come by LSN.
    if (r->type < CORE_RECORD_HOLD || r->type > CORE_RECORD_FACT || lsn <= f->last)
        return HF_OK;
    if (!core_record_parse(r, &p))
        return HF_DAMAGED;
    if (p.reference_bytes != f->bytes || memcmp(p.reference, f->reference, f->bytes) != 0)
        return HF_OK;
    if (f->count < f->max)
        f->ids[f->count] = r->id;
    f->count++;
    f->last = lsn;
    return HF_OK;
}

static enum hf_status reference_archived(struct archive *a, void *ctx)
{
    struct reference_search *f = ctx;
    return archive_find_reference(a, hf_hash(f->reference, f->bytes, 0), reference_visit, f);
}

enum hf_status core_find_reference(struct core *c, const char *reference, uint32_t bytes,
                                   struct hf_uuid *ids, uint32_t max, uint32_t *count)
{
    struct reference_search f = {.reference = reference, .bytes = bytes, .max = max, .ids = ids};
    *count = 0;
    if (!stock_name_valid(reference, bytes, HF_REFERENCE_BYTES_MAX))
        return HF_INVALID;
    enum hf_status s = history_visit(c, reference_archived, reference_visit, &f);
    *count = f.count;
    return s == HF_OK && f.count == 0 ? HF_NOT_FOUND : s;
}

// ------------------------------------------------------------------------------- the lines

static void lines_from(struct recall *rc, const struct core_record *r, enum core_role role)
{
    rc->count = 0;
    for (uint32_t i = 0; i < r->line_count; i++)
        if (r->lines[i].role == (uint32_t)role && rc->count < HF_LINES_MAX)
            rc->lines[rc->count++] =
                (struct stock_line){r->lines[i].handle, 0, r->lines[i].quantity};
}

struct taken_back {
    uint32_t handle;
    int64_t quantity;
};

static bool subtract(struct recall *rc, const struct taken_back *t, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = 0;
        while (i < rc->count && rc->lines[i].handle != t[k].handle)
            i++;
        if (i == rc->count || rc->lines[i].quantity < t[k].quantity)
            return false;
        rc->lines[i].quantity -= t[k].quantity;
    }
    return true;
}

// Collects what later records took back; grows by doubling, off every decision path.
static bool collect(struct taken_back **list, uint32_t *n, uint32_t *room,
                    const struct core_record *r)
{
    if (*n + r->line_count > *room) {
        *room = (*n + r->line_count) * 2;
        void *bigger = realloc(*list, *room * sizeof **list);
        if (!bigger)
            return false;
        *list = bigger;
    }
    for (uint32_t i = 0; i < r->line_count; i++)
        (*list)[(*n)++] = (struct taken_back){r->lines[i].handle, r->lines[i].quantity};
    return true;
}

static enum hf_status base_take(struct recall *rc, const struct core_record *r)
{
    switch (r->frame.type) {
    case CORE_RECORD_ORDER:
    case CORE_RECORD_FACT:
        lines_from(rc, r, CORE_ROLE_ORDER);
        rc->kind = r->frame.type == CORE_RECORD_ORDER ? KIND_ORDER : KIND_FACT;
        rc->body_hash = r->body_hash;
        rc->channel = r->channel;
        rc->state = CORE_STATE_COMMITTED;
        return HF_OK;
    case CORE_RECORD_COMMIT:
        lines_from(rc, r,
                   (r->frame.flags & CORE_RECORD_RETAKE) ? CORE_ROLE_ORDER : CORE_ROLE_COMMIT);
        rc->kind = KIND_HOLD;
        rc->channel = r->channel;
        rc->end_hash = r->body_hash;
        rc->state = CORE_STATE_COMMITTED;
        return HF_OK;
    case CORE_RECORD_EXPIRE:
        lines_from(rc, r, CORE_ROLE_GIVE_BACK);
        rc->kind = KIND_HOLD;
        rc->channel = r->channel;
        rc->state = CORE_STATE_EXPIRED;
        return HF_OK;
    default:
        return HF_NOT_FOUND; // released, rejected or still held: nothing to bring back
    }
}

static enum hf_status chain_read(struct core *c, struct recall *rc)
{
    const struct core_record *r = (const struct core_record *)rc->buffer;
    struct core_record_parts p;
    struct taken_back *back = NULL;
    uint32_t n = 0, room = 0;
    enum hf_status s = HF_OK;
    for (uint64_t lsn = rc->ticket; s == HF_OK; lsn = p.op->previous) {
        s = read_one(c, lsn, rc->buffer, sizeof rc->buffer);
        if (s != HF_OK)
            break;
        if (!hf_uuid_equal(r->frame.id, rc->id) || !core_record_parse(&r->frame, &p)) {
            s = HF_DAMAGED;
            break;
        }
        if (lsn == rc->ticket) {
            rc->version = core_record_version(r);
            rc->v4 = (r->frame.flags & CORE_RECORD_V4) != 0;
        }
        if (r->frame.type != CORE_RECORD_CANCEL && r->frame.type != CORE_RECORD_RETURN) {
            s = base_take(rc, r);
            break;
        }
        if (!p.op || p.op->previous >= lsn || !collect(&back, &n, &room, r)) {
            s = p.op && p.op->previous < lsn ? HF_NO_MEMORY : HF_DAMAGED;
            break;
        }
        rc->body_hash = p.op->body_hash;
    }
    if (s == HF_OK && !subtract(rc, back, n))
        s = HF_DAMAGED;
    free(back);
    return s;
}

// A slot for an id that has left memory, CHANGING at once. 0: none.
static uint32_t slot_bring_back(struct core_worker *w, const struct recall *rc, uint64_t *word)
{
    struct stock_slots *slots = &w->core->stock.slots;
    uint32_t index = stock_acquire(&w->thread.slots);
    if (!index)
        return 0;
    struct stock_slot *slot = &slots->slots[index];
    unsigned flags = STOCK_SLOT_AWAY | (rc->v4 ? (unsigned)STOCK_SLOT_V4 : 0u);
    *word = stock_word_make(hf_load_relaxed(&slot->word) + (UINT64_C(1) << 32), rc->state, rc->kind,
                            flags, rc->version);
    hf_store_relaxed(&slot->id.hi, rc->id.hi);
    hf_store_relaxed(&slot->id.lo, rc->id.lo);
    hf_store_relaxed(&slot->body_hash, rc->body_hash);
    hf_store_relaxed(&slot->ticket, rc->ticket);
    hf_store_relaxed(&slot->time_channel, w->now_ms << 16 | rc->channel);
    hf_store_relaxed(&slot->end_hash, (uint32_t)rc->end_hash);
    hf_store_relaxed(&slot->a, 0);
    hf_store_relaxed(&slot->b, 0);
    hf_store_relaxed(&slot->word, stock_word_with_state(*word, CORE_STATE_CHANGING));
    if (stock_insert(slots, index, stock_hash(slots, &rc->id))) {
        hf_store_relaxed(&slot->word, stock_word_make(*word, CORE_STATE_FREE, KIND_NONE, 0, 0));
        stock_release(&w->thread.slots, index);
        return 0;
    }
    return index;
}

static enum hf_status lines_attach(struct core_worker *w, const struct recall *rc, uint32_t found)
{
    struct stock_slots *slots = &w->core->stock.slots;
    uint64_t word = found ? hf_load_acquire(&slots->slots[found].word) : 0;
    uint64_t expected = word;
    uint32_t index = found;
    if (!stock_cache_ensure(&w->thread.blocks, stock_blocks_needed(rc->count, 0)))
        return HF_BUSY;
    if (!found)
        index = slot_bring_back(w, rc, &word);
    else if (!(stock_word_flags(word) & STOCK_SLOT_AWAY))
        return HF_OK; // another recall was faster
    else if (hf_load_relaxed(&slots->slots[found].ticket) != rc->ticket ||
             stock_word_state(word) != (unsigned)rc->state ||
             !stock_slot_win(&slots->slots[found], &expected, CORE_STATE_CHANGING))
        return HF_BUSY; // it changed meanwhile
    if (!index)
        return HF_BUSY;
    struct stock_slot *slot = &slots->slots[index];
    unsigned flags = stock_word_flags(word) & ~(unsigned)STOCK_SLOT_AWAY;
    bool stored = rc->count == 0 || stock_lines_store(slots, &w->thread.blocks, slot, rc->lines,
                                                      rc->count, NULL, 0, &flags);
    HF_ASSERT(stored);
    hf_store_release(&slot->word, stock_word_make(word, rc->state, stock_word_kind(word), flags,
                                                  stock_word_version(word)));
    if (!found)
        stock_wheel_push(&w->core->stock.wheels, w->number, index, forget_at(w->core, w->now_ms));
    return HF_OK;
}

static enum hf_status recall_run(struct core_worker *w, uint64_t now_ms, struct recall *rc)
{
    struct core *c = w->core;
    struct stock_slot s = {0};
    enum hf_status status = HF_OK;
    worker_step_begin(w, now_ms);
    uint32_t found = stock_find(&c->stock.slots, rc->id, stock_hash(&c->stock.slots, &rc->id));
    if (found && !stock_slot_copy(&c->stock.slots, found, &s))
        status = HF_BUSY;
    worker_step_end(w);
    if (status != HF_OK)
        return status;
    if (found) {
        if (!(stock_word_flags(s.word) & STOCK_SLOT_AWAY))
            return stock_word_kind(s.word) == KIND_OPERATION ? HF_NOT_FOUND : HF_OK;
        if (s.ticket == 0)
            return HF_BUSY; // its first record is not appended yet
        rc->ticket = s.ticket;
        status = journal_wait(c->journal, s.ticket, 0);
        if (status != HF_OK)
            return status == HF_AGAIN ? HF_BUSY : status;
    } else {
        status = latest_find(c, rc);
        if (status != HF_OK)
            return status;
    }
    status = chain_read(c, rc);
    if (status != HF_OK)
        return status;
    worker_step_begin(w, now_ms);
    found = stock_find(&c->stock.slots, rc->id, stock_hash(&c->stock.slots, &rc->id));
    status = lines_attach(w, rc, found);
    worker_step_end(w);
    return status;
}

enum hf_status core_recall(struct core_worker *w, uint64_t now_ms, struct hf_uuid id)
{
    struct recall *rc = calloc(1, sizeof *rc);
    if (!rc)
        return HF_NO_MEMORY;
    rc->id = id;
    enum hf_status s = recall_run(w, now_ms, rc);
    free(rc);
    return s;
}
