// Applies records to a stock that one thread owns: the live one while it is being recovered, or
// the checkpointer's shadow. Records hold outcomes; nothing is decided again. Each record of a
// reservation names its version, and the version before it must be what is here: anything else is
// damage.
#include "core/core_internal.h"

#include <stdio.h>
#include <string.h>

static enum hf_status damaged(struct replay *r, uint64_t lsn, const char *what)
{
    snprintf(r->why, sizeof r->why, "record %llu contradicts what came before: %s",
             (unsigned long long)lsn, what);
    return HF_DAMAGED;
}

static void available_add(struct stock_cell *cell, int64_t quantity)
{
    cell->decision.lo += (uint64_t)quantity << STOCK_FLAG_BITS;
}

static void term_set(struct stock_cell *cell, int64_t *term, int64_t value, int sign)
{
    available_add(cell, sign * (value - *term));
    *term = value;
}

static void effect_apply(struct stock *s, const struct core_record_line *l)
{
    struct stock_cell *cell = &s->cells.cells[l->handle];
    int64_t q = l->quantity;
    switch ((enum core_role)l->role) {
    case CORE_ROLE_HOLD:
        available_add(cell, -q);
        break;
    case CORE_ROLE_ORDER:
        available_add(cell, -q);
        cell->committed += q;
        break;
    case CORE_ROLE_COMMIT:
        cell->committed += q;
        break;
    case CORE_ROLE_GIVE_BACK:
        available_add(cell, q);
        break;
    case CORE_ROLE_CANCEL:
        cell->committed -= q;
        available_add(cell, q);
        break;
    case CORE_ROLE_RESTOCK:
    case CORE_ROLE_ON_HAND:
        cell->on_hand += q;
        available_add(cell, q);
        break;
    case CORE_ROLE_SAFETY:
        term_set(cell, &cell->safety, q, -1);
        break;
    case CORE_ROLE_BACKORDER:
        term_set(cell, &cell->backorder, q, 1);
        break;
    case CORE_ROLE_EXTERNAL:
        term_set(cell, &cell->external, q, -1);
        break;
    case CORE_ROLE_ACTIVE:
        cell->decision.lo = (cell->decision.lo & ~(uint64_t)STOCK_FLAG_ACTIVE) | (q != 0);
        break;
    case CORE_ROLE_ACKNOWLEDGE:
        cell->on_hand -= q;
        cell->committed -= q;
        break;
    case CORE_ROLE_SCALE:
        s->scales[l->handle] = (uint8_t)q;
        break;
    default: // SCRAP
        break;
    }
}

void replay_drop_slot(struct replay *r, uint32_t index)
{
    struct stock_slots *slots = &r->stock->slots;
    struct stock_slot *slot = &slots->slots[index];
    stock_unlink(slots, index);
    stock_lines_drop(slots, &r->thread->blocks, slot, stock_word_flags(slot->word));
    slot->word = stock_word_make(slot->word, CORE_STATE_FREE, KIND_NONE, 0, 0);
    stock_release(&r->thread->slots, index);
}

uint32_t replay_forget(struct replay *r)
{
    struct stock_slots *slots = &r->stock->slots;
    uint32_t dropped = 0;
    uint64_t end = slots->slot_pool.fresh;
    for (uint64_t i = 1; i < end && i <= slots->slot_pool.max; i++) {
        const struct stock_slot *slot = &slots->slots[i];
        unsigned state = stock_word_state(slot->word);
        if (state >= CORE_STATE_COMMITTED && stock_slot_time(slot) + r->skew_ms < r->floor_ms) {
            replay_drop_slot(r, (uint32_t)i);
            dropped++;
        }
    }
    return dropped;
}

// A slot for an id that is not here. 0: none left.
static uint32_t slot_make(struct replay *r, struct hf_uuid id)
{
    struct stock_slots *slots = &r->stock->slots;
    uint64_t hash = stock_hash(slots, &id);
    uint32_t index = stock_acquire(&r->thread->slots);
    if (!index && replay_forget(r) > 0)
        index = stock_acquire(&r->thread->slots);
    if (!index)
        return 0;
    struct stock_slot *slot = &slots->slots[index];
    uint64_t word = slot->word + (UINT64_C(1) << 32);
    *slot = (struct stock_slot){.word = stock_word_make(word, CORE_STATE_PENDING, 0, 0, 0),
                                .id = id};
    uint32_t found = stock_insert(slots, index, hash);
    HF_ASSERT(found == 0);
    return index;
}

static void slot_set(struct stock_slot *slot, const struct core_record *rec, uint64_t lsn,
                     enum core_state state, unsigned kind, unsigned flags)
{
    uint64_t channel = slot->time_channel & 0xffff;
    slot->ticket = lsn;
    slot->time_channel = (core_record_time(rec) + rec->ttl_ms) << 16 | channel;
    slot->word = stock_word_make(slot->word, state, kind, flags, core_record_version(rec));
}

static bool inline_line(const struct core_record *rec, const struct core_record_parts *p, bool held)
{
    bool text = p->reference_bytes || p->buyer_bytes || p->trace_bytes;
    return rec->line_count == 1 && rec->lines[0].quantity <= UINT32_MAX && (!held || !text);
}

static uint32_t parts_pack(const struct core_record_parts *p, uint8_t *packed)
{
    struct core_text text = {.reference = p->reference,
                             .buyer = p->buyer,
                             .trace = p->trace_bytes ? p->trace : NULL,
                             .reference_bytes = p->reference_bytes,
                             .buyer_bytes = p->buyer_bytes};
    return text_pack(&text, packed);
}

// HOLD, ORDER, REJECT, FACT.
static enum hf_status replay_take(struct replay *r, uint64_t lsn, const struct core_record *rec,
                                  const struct core_record_parts *p)
{
    struct stock_slots *slots = &r->stock->slots;
    uint32_t old = stock_find(slots, rec->frame.id, stock_hash(slots, &rec->frame.id));
    if (old) {
        // Only an id without time can come again, after it was forgotten.
        unsigned state = stock_word_state(slots->slots[old].word);
        if (!(rec->frame.flags & CORE_RECORD_V4) || state < CORE_STATE_COMMITTED)
            return damaged(r, lsn, "its id is known already");
        replay_drop_slot(r, old);
    }
    if (core_record_version(rec) != 1)
        return damaged(r, lsn, "a first record that is not version 1");
    bool held = rec->frame.type == CORE_RECORD_HOLD;
    uint8_t packed[CORE_TEXT_WORDS * 4];
    uint32_t bytes = held ? parts_pack(p, packed) : 0;
    if (held && !stock_cache_ensure(&r->thread->blocks,
                                    stock_blocks_needed(rec->line_count, bytes)) &&
        !inline_line(rec, p, held))
        return r->stuck = true, HF_FULL;
    uint32_t index = slot_make(r, rec->frame.id);
    if (!index)
        return r->stuck = true, HF_FULL;
    struct stock_slot *slot = &slots->slots[index];
    unsigned flags = (rec->frame.flags & CORE_RECORD_V4) ? STOCK_SLOT_V4 : 0;
    unsigned kind = held ? KIND_HOLD : rec->frame.type == CORE_RECORD_FACT ? KIND_FACT : KIND_ORDER;
    slot->body_hash = rec->body_hash;
    slot->time_channel = rec->channel;
    if (inline_line(rec, p, held)) {
        slot->a = rec->lines[0].handle;
        slot->b = (uint32_t)rec->lines[0].quantity;
    } else if (held) {
        struct stock_line lines[HF_LINES_MAX];
        for (uint32_t i = 0; i < rec->line_count; i++)
            lines[i] = (struct stock_line){rec->lines[i].handle, 0, rec->lines[i].quantity};
        bool stored = stock_lines_store(slots, &r->thread->blocks, slot, lines, rec->line_count,
                                        packed, bytes, &flags);
        HF_ASSERT(stored);
    } else if (rec->line_count) {
        flags |= STOCK_SLOT_AWAY;
    }
    slot_set(slot, rec, lsn,
             held                                       ? CORE_STATE_HELD
             : rec->frame.type == CORE_RECORD_REJECT ? CORE_STATE_REJECTED
                                                     : CORE_STATE_COMMITTED,
             kind, flags);
    return HF_OK;
}

static enum hf_status replay_operation(struct replay *r, uint64_t lsn, struct hf_uuid id,
                                       const struct core_record *rec)
{
    struct stock_slots *slots = &r->stock->slots;
    if (stock_find(slots, id, stock_hash(slots, &id)))
        return damaged(r, lsn, "its operation id is known already");
    uint32_t index = slot_make(r, id);
    if (!index)
        return r->stuck = true, HF_FULL;
    struct stock_slot *slot = &slots->slots[index];
    slot->body_hash = rec->body_hash;
    slot->ticket = lsn;
    slot->time_channel = core_record_time(rec) << 16;
    slot->word = stock_word_make(slot->word, CORE_STATE_COMMITTED, KIND_OPERATION, 0, 1);
    return HF_OK;
}

// What a partial release, cancel or return leaves in memory. False: more than there is.
static bool lines_reduce(struct replay *r, struct stock_slot *slot, unsigned flags,
                         const struct core_record *rec)
{
    struct stock_line lines[HF_LINES_MAX];
    if (flags & STOCK_SLOT_AWAY)
        return true;
    uint32_t have = stock_lines_load(&r->stock->slots, slot, flags, lines, HF_LINES_MAX), k = 0;
    for (uint32_t i = 0; i < have && k < rec->line_count; i++) {
        if (rec->lines[k].handle != lines[i].handle)
            continue;
        if (rec->lines[k].quantity > lines[i].quantity)
            return false;
        lines[i].quantity -= rec->lines[k++].quantity;
    }
    if (have)
        stock_lines_update(&r->stock->slots, slot, flags, lines, have);
    return k == rec->line_count;
}

// The ended slot keeps one short line at most; a commit per line leaves its own quantity.
static unsigned slot_end_lines(struct replay *r, struct stock_slot *slot, unsigned flags,
                               const struct core_record *rec)
{
    if (flags & STOCK_SLOT_BLOCKS) {
        stock_lines_drop(&r->stock->slots, &r->thread->blocks, slot, flags);
        return (flags & ~(unsigned)STOCK_SLOT_BLOCKS) | STOCK_SLOT_AWAY;
    }
    if (rec->frame.type == CORE_RECORD_COMMIT && rec->line_count && !(flags & STOCK_SLOT_AWAY))
        slot->b = (uint32_t)rec->lines[0].quantity;
    return flags;
}

static bool transition_ok(unsigned state, const struct core_record *rec)
{
    switch (rec->frame.type) {
    case CORE_RECORD_COMMIT:
        return state == ((rec->frame.flags & CORE_RECORD_RETAKE) ? CORE_STATE_EXPIRED
                                                                 : CORE_STATE_HELD);
    case CORE_RECORD_CANCEL:
    case CORE_RECORD_RETURN:
        return state == CORE_STATE_COMMITTED;
    default:
        return state == CORE_STATE_HELD;
    }
}

// A reservation that had left memory before this record: only what acts on ended ones may find it
// so.
static uint32_t slot_recalled(struct replay *r, const struct core_record *rec,
                              const struct core_record_op *op)
{
    bool late = op && op->kind >= KIND_HOLD && op->kind <= KIND_FACT &&
                (rec->frame.type == CORE_RECORD_CANCEL || rec->frame.type == CORE_RECORD_RETURN ||
                 (rec->frame.flags & CORE_RECORD_RETAKE));
    uint32_t index = late ? slot_make(r, rec->frame.id) : 0;
    if (!index) {
        r->stuck = late;
        return 0;
    }
    struct stock_slot *slot = &r->stock->slots.slots[index];
    unsigned flags = STOCK_SLOT_AWAY |
                     ((rec->frame.flags & CORE_RECORD_V4) ? (unsigned)STOCK_SLOT_V4 : 0u);
    slot->word = stock_word_make(slot->word,
                                 (rec->frame.flags & CORE_RECORD_RETAKE) ? CORE_STATE_EXPIRED
                                                                         : CORE_STATE_COMMITTED,
                                 op->kind, flags, (uint16_t)(core_record_version(rec) - 1));
    slot->body_hash = op->body_hash;
    slot->end_hash = op->end_hash;
    slot->time_channel = core_record_time(rec) << 16 | op->channel;
    return index;
}

static enum hf_status replay_next(struct replay *r, uint64_t lsn, const struct core_record *rec,
                                  const struct core_record_parts *p)
{
    struct stock_slots *slots = &r->stock->slots;
    // Room for what this record may add, made before the look-up: forgetting might take away the
    // very slot that was found.
    if (p->op && !stock_cache_ensure(&r->thread->slots, 2))
        replay_forget(r);
    uint32_t index = stock_find(slots, rec->frame.id, stock_hash(slots, &rec->frame.id));
    if (!index)
        index = slot_recalled(r, rec, p->op);
    if (!index)
        return r->stuck ? HF_FULL : damaged(r, lsn, "its reservation is not known");
    struct stock_slot *slot = &slots->slots[index];
    unsigned flags = stock_word_flags(slot->word), kind = stock_word_kind(slot->word);
    if (stock_word_version(slot->word) + 1 != core_record_version(rec))
        return damaged(r, lsn, "not the version that follows");
    if (!transition_ok(stock_word_state(slot->word), rec))
        return damaged(r, lsn, "the reservation's state does not allow it");
    bool operation = p->op && !hf_uuid_is_nil(p->op->op_id);
    if (operation) { // first, because it may find no room
        enum hf_status s = replay_operation(r, lsn, p->op->op_id, rec);
        if (s != HF_OK)
            return s;
    }
    enum core_state state = CORE_STATE_HELD;
    switch (rec->frame.type) {
    case CORE_RECORD_COMMIT:
    case CORE_RECORD_RELEASE:
    case CORE_RECORD_EXPIRE:
        if (operation && !lines_reduce(r, slot, flags, rec))
            return damaged(r, lsn, "more than the reservation holds");
        if (operation && !(rec->frame.flags & CORE_RECORD_LAST))
            break;
        if (rec->frame.type != CORE_RECORD_EXPIRE && !operation)
            slot->end_hash = (uint32_t)rec->body_hash;
        flags = slot_end_lines(r, slot, flags, rec);
        state = rec->frame.type == CORE_RECORD_COMMIT    ? CORE_STATE_COMMITTED
                : rec->frame.type == CORE_RECORD_RELEASE ? CORE_STATE_RELEASED
                                                         : CORE_STATE_EXPIRED;
        break;
    case CORE_RECORD_CANCEL:
    case CORE_RECORD_RETURN:
        if (!lines_reduce(r, slot, flags, rec))
            return damaged(r, lsn, "more than was committed");
        state = CORE_STATE_COMMITTED;
        break;
    default: // EXTEND
        break;
    }
    uint64_t deadline = slot->time_channel;
    slot_set(slot, rec, lsn, state, kind, flags);
    if (state == CORE_STATE_HELD && rec->frame.type == CORE_RECORD_RELEASE)
        slot->time_channel = deadline;
    return HF_OK;
}

static enum hf_status replay_names(struct replay *r, uint64_t lsn, const struct core_record *rec,
                                   const struct core_record_parts *p)
{
    enum hf_status s;
    if (rec->frame.type == CORE_RECORD_CHANNEL) {
        uint16_t channel;
        if (!stock_name_valid(p->reference, p->reference_bytes, HF_CHANNEL_BYTES_MAX))
            return damaged(r, lsn, "a channel without a valid name");
        s = stock_channel_add(r->stock->directory, p->reference, p->reference_bytes, &channel);
        if (s == HF_OK && channel != rec->channel)
            return damaged(r, lsn, "a channel number out of turn");
    } else {
        uint32_t handle;
        if (rec->line_count == 0 ||
            !stock_name_valid(p->reference, p->reference_bytes, HF_SKU_BYTES_MAX) ||
            !stock_name_valid(p->buyer, p->buyer_bytes, HF_LOCATION_BYTES_MAX))
            return damaged(r, lsn, "a cell without valid names");
        s = stock_directory_add(r->stock->directory, p->reference, p->reference_bytes, p->buyer,
                                p->buyer_bytes, &handle);
        for (uint32_t i = 0; s == HF_OK && i < rec->line_count; i++)
            if (handle != rec->lines[i].handle)
                return damaged(r, lsn, "a handle out of turn");
    }
    if (s == HF_FULL)
        snprintf(r->why, sizeof r->why, "cells_max %u is smaller than what the folder holds",
                 r->stock->sizes.cells);
    return s == HF_EXISTS ? damaged(r, lsn, "a name that exists") : s;
}

static enum hf_status replay_by_type(struct replay *r, uint64_t lsn, const struct core_record *rec,
                                     const struct core_record_parts *p)
{
    switch ((enum core_record_type)rec->frame.type) {
    case CORE_RECORD_CELL:
    case CORE_RECORD_CHANNEL:
        return replay_names(r, lsn, rec, p);
    case CORE_RECORD_HOLD:
    case CORE_RECORD_ORDER:
    case CORE_RECORD_REJECT:
    case CORE_RECORD_FACT:
        return replay_take(r, lsn, rec, p);
    case CORE_RECORD_CHANGE:
    case CORE_RECORD_ACKNOWLEDGE:
        return replay_operation(r, lsn, rec->frame.id, rec);
    case CORE_RECORD_FLOOR:
        r->floor_ms = rec->body_hash > r->floor_ms ? rec->body_hash : r->floor_ms;
        return HF_OK;
    default:
        return replay_next(r, lsn, rec, p);
    }
}

// Most records touch an index bucket, the slot that it leads to, and a cell: a miss each.
void replay_ahead(const struct replay *r, const struct journal_record *frame, unsigned stage)
{
    const struct core_record *rec = (const struct core_record *)frame;
    const struct stock *s = r->stock;
    uint32_t *bucket = stock_bucket(&s->slots, stock_hash(&s->slots, &frame->id));
    if (stage == 0) {
        hf_prefetch_write(bucket);
        if (journal_record_bytes(frame) >= sizeof *rec + sizeof rec->lines[0] && rec->line_count &&
            rec->lines[0].handle < s->sizes.cells)
            hf_prefetch_write(&s->cells.cells[rec->lines[0].handle]);
        return;
    }
    if (*bucket)
        hf_prefetch_write(&s->slots.slots[*bucket]);
    const struct stock_cache *cache = &r->thread->slots;
    if (cache->count > 16)
        hf_prefetch_write(&s->slots.slots[cache->index[cache->count - 16]]);
}

// ------------------------------------------------------------------------------- the straight way
// Nearly all records of a peak: a hold or an order of one line is taken, a hold of one line
// expires; no text, no flags, a slot of its own. The same steps as above with nothing to look for.
// False: not of that kind, or not as it should be, and nothing was done: the general way knows what
// to say.

static bool plain(const struct core_record *rec, uint32_t cells)
{
    const struct core_record_line *l = &rec->lines[0];
    unsigned type = rec->frame.type;
    uint32_t role = type == CORE_RECORD_HOLD     ? CORE_ROLE_HOLD
                    : type == CORE_RECORD_ORDER  ? CORE_ROLE_ORDER
                    : type == CORE_RECORD_EXPIRE ? CORE_ROLE_GIVE_BACK
                                                 : 0;
    return journal_record_bytes(&rec->frame) == sizeof *rec + sizeof *l && rec->line_count == 1 &&
           rec->frame.flags == 0 && role != 0 && l->role == role && l->handle < cells &&
           (uint64_t)l->quantity - 1 < UINT32_MAX;
}

static bool plain_take(struct replay *r, uint64_t lsn, const struct core_record *rec)
{
    struct stock_slots *slots = &r->stock->slots;
    // With that many at hand, replay_ahead fetches those that come next.
    if (core_record_version(rec) != 1 || !stock_cache_ensure(&r->thread->slots, 32))
        return false;
    uint32_t index = stock_acquire(&r->thread->slots);
    struct stock_slot *slot = &slots->slots[index];
    bool held = rec->frame.type == CORE_RECORD_HOLD;
    uint64_t word = slot->word + (UINT64_C(1) << 32);
    *slot = (struct stock_slot){
        .word = stock_word_make(word, held ? CORE_STATE_HELD : CORE_STATE_COMMITTED,
                                held ? KIND_HOLD : KIND_ORDER, 0, 1),
        .id = rec->frame.id,
        .body_hash = rec->body_hash,
        .ticket = lsn,
        .time_channel = (core_record_time(rec) + rec->ttl_ms) << 16 | rec->channel,
        .a = rec->lines[0].handle,
        .b = (uint32_t)rec->lines[0].quantity,
    };
    if (stock_insert(slots, index, stock_hash(slots, &rec->frame.id)) == 0)
        return true;
    slot->word = stock_word_make(word, CORE_STATE_FREE, KIND_NONE, 0, 0);
    stock_release(&r->thread->slots, index);
    return false;
}

static bool plain_expire(struct replay *r, uint64_t lsn, const struct core_record *rec)
{
    struct stock_slots *slots = &r->stock->slots;
    uint32_t index = stock_find(slots, rec->frame.id, stock_hash(slots, &rec->frame.id));
    struct stock_slot *slot = &slots->slots[index];
    if (index == 0 || stock_word_state(slot->word) != CORE_STATE_HELD ||
        stock_word_flags(slot->word) != 0 ||
        stock_word_version(slot->word) + 1 != core_record_version(rec))
        return false;
    slot_set(slot, rec, lsn, CORE_STATE_EXPIRED, stock_word_kind(slot->word), 0);
    return true;
}

static bool replay_plain(struct replay *r, uint64_t lsn, const struct core_record *rec)
{
    if (!plain(rec, stock_directory_count(r->stock->directory)))
        return false;
    return rec->frame.type == CORE_RECORD_EXPIRE ? plain_expire(r, lsn, rec)
                                                 : plain_take(r, lsn, rec);
}

static enum hf_status replay_general(struct replay *r, uint64_t lsn, const struct core_record *rec)
{
    struct core_record_parts p;
    if (!core_record_parse(&rec->frame, &p))
        return damaged(r, lsn, "its parts do not fit together");
    uint32_t cells = stock_directory_count(r->stock->directory);
    for (uint32_t i = 0; i < rec->line_count && rec->frame.type != CORE_RECORD_CELL; i++)
        if (rec->lines[i].handle >= cells)
            return damaged(r, lsn, "a handle that was never given out");
    return replay_by_type(r, lsn, rec, &p);
}

enum hf_status replay_record(struct replay *r, uint64_t lsn, uint64_t group_time_ms,
                             const struct journal_record *frame)
{
    const struct core_record *rec = (const struct core_record *)frame;
    r->stuck = false;
    if (!replay_plain(r, lsn, rec)) {
        enum hf_status s = replay_general(r, lsn, rec);
        if (s != HF_OK)
            return s;
    }
    for (uint32_t i = 0; i < rec->line_count; i++)
        effect_apply(r->stock, &rec->lines[i]);
    r->lsn = lsn;
    r->time_ms = group_time_ms > r->time_ms ? group_time_ms : r->time_ms;
    r->records++;
    return HF_OK;
}
