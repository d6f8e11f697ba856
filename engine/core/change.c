// Verbs that may act on a reservation more than once: Extend, Release per line, Cancel, Return.
//
// Each carries an operation id, which gets a slot of its own: a retry finds it and acts no second
// time. The reservation goes CHANGING by a swap and comes back when the record is appended.
#include "core/core_internal.h"

#include <string.h>

enum change_result { CHANGED, ANSWERED, LOST };

static enum core_record_type type_of(enum core_verb v)
{
    return v == CORE_EXTEND    ? CORE_RECORD_EXTEND
           : v == CORE_RELEASE ? CORE_RECORD_RELEASE
           : v == CORE_CANCEL  ? CORE_RECORD_CANCEL
                               : CORE_RECORD_RETURN;
}

static uint64_t operation_hash(struct core_worker *w, const struct core_request *r, uint32_t *count)
{
    *count = lines_merge(r->lines, r->line_count, w->takes);
    uint64_t h = body_hash(32u + (unsigned)r->verb, r->flags, r->ttl_ms, w->takes, *count);
    return hf_mix64(h ^ hf_hash_uuid(&r->id));
}

// The operation's id is known: tell what it did, and the reservation's present state.
static void operation_repeat(struct core_worker *w, uint32_t i, uint32_t op, uint32_t slot,
                             uint64_t hash)
{
    struct core *c = w->core;
    struct core_answer *a = &w->answers[i];
    struct stock_slot o, s;
    if (worker_owns(w, op) || (slot && worker_owns(w, slot)))
        worker_flush(w);
    if (!stock_slot_copy(&c->stock.slots, op, &o) ||
        stock_word_state(o.word) == CORE_STATE_PENDING ||
        stock_word_state(o.word) == CORE_STATE_FREE) {
        answer_plain(a, CORE_OUT_IN_PROGRESS);
        return;
    }
    if (slot && end_expire(w, slot))
        worker_flush(w); // it must not be told as held past its deadline
    bool same = stock_word_kind(o.word) == KIND_OPERATION && o.body_hash == hash;
    // One that was forgotten since it was found has nothing more to tell.
    if (slot && stock_slot_copy(&c->stock.slots, slot, &s) &&
        stock_word_state(s.word) != CORE_STATE_FREE && hf_uuid_equal(s.id, w->requests[i].id))
        answer_slot(w, a, &s, same ? CORE_OUT_DONE : CORE_OUT_CONFLICT, same);
    else
        answer_plain(a, same ? CORE_OUT_DONE : CORE_OUT_CONFLICT);
    if (a->outcome == CORE_OUT_DONE && a->state == CORE_STATE_HELD && a->time_ms <= w->now_ms)
        answer_plain(a, CORE_OUT_BUSY); // its end found no room: not to be told as held
    if (a->outcome == CORE_OUT_DONE || a->outcome == CORE_OUT_CONFLICT) {
        a->repeat = same;
        a->ticket = a->ticket > o.ticket ? a->ticket : o.ticket;
        a->durable = c->options.journal.mode == JOURNAL_SYNC;
    }
}

// Which state the verb needs; answers when it is another.
static bool state_fits(struct core_worker *w, uint32_t i, const struct stock_slot *s)
{
    const struct core_request *r = &w->requests[i];
    unsigned state = stock_word_state(s->word);
    bool held = r->verb == CORE_EXTEND || r->verb == CORE_RELEASE;
    if (stock_word_kind(s->word) == KIND_OPERATION) {
        answer_plain(&w->answers[i], CORE_OUT_UNKNOWN);
        return false;
    }
    if (state == (held ? CORE_STATE_HELD : CORE_STATE_COMMITTED)) {
        if (stock_word_version(s->word) < UINT16_MAX - 1)
            return true;
        answer_slot(w, &w->answers[i], s, CORE_OUT_EXCEEDS, false);
        return false;
    }
    answer_slot(w, &w->answers[i], s,
                held && state == CORE_STATE_EXPIRED ? CORE_OUT_EXPIRED : CORE_OUT_WRONG_STATE,
                false);
    return false;
}

// Subtracts what is asked (w->takes) from w->lines. False: more than there is.
static bool lines_subtract(struct core_worker *w, uint32_t asked, uint32_t have)
{
    uint32_t k = 0;
    for (uint32_t n = 0; n < have && k < asked; n++) {
        if (w->takes[k].cell != w->lines[n].handle)
            continue;
        if (w->takes[k].quantity > w->lines[n].quantity)
            return false;
        w->lines[n].quantity -= w->takes[k++].quantity;
    }
    return k == asked;
}

static bool lines_empty(const struct core_worker *w, uint32_t have)
{
    for (uint32_t n = 0; n < have; n++)
        if (w->lines[n].quantity)
            return false;
    return true;
}

static enum core_role role_of(const struct core_request *r)
{
    if (r->verb == CORE_RELEASE)
        return CORE_ROLE_GIVE_BACK;
    if (r->verb == CORE_CANCEL)
        return CORE_ROLE_CANCEL;
    return (r->flags & CORE_SCRAP) ? CORE_ROLE_SCRAP : CORE_ROLE_RESTOCK;
}

static bool restock_fits(struct core_worker *w, const struct core_request *r, uint32_t count)
{
    for (uint32_t k = 0; k < count && r->verb == CORE_RETURN; k++)
        if (hf_load_relaxed(&w->core->stock.cells.cells[w->takes[k].cell].on_hand) +
                w->takes[k].quantity >
            HF_QUANTITY_MAX)
            return false;
    return true;
}

// Checks the lines and answers when they do not fit; else w->lines is what remains of `*have`.
static enum change_result lines_check(struct core_worker *w, uint32_t i, uint32_t index,
                                      const struct stock_slot *s, uint32_t asked, uint32_t *have)
{
    const struct core_request *r = &w->requests[i];
    unsigned flags = stock_word_flags(s->word);
    if (flags & STOCK_SLOT_AWAY) {
        answer_plain(&w->answers[i], CORE_OUT_NEEDS_RECALL);
        return ANSWERED;
    }
    *have = stock_lines_load(&w->core->stock.slots, s, flags, w->lines, HF_LINES_MAX);
    if (hf_load_acquire(&w->core->stock.slots.slots[index].word) != s->word)
        return LOST;
    if (r->verb == CORE_EXTEND)
        return CHANGED;
    if (!lines_subtract(w, asked, *have)) {
        answer_slot(w, &w->answers[i], s, CORE_OUT_EXCEEDS, false);
        return ANSWERED;
    }
    if (!restock_fits(w, r, asked)) {
        answer_invalid(&w->answers[i], CORE_FIELD_QUANTITY, 0);
        return ANSWERED;
    }
    return CHANGED;
}

// The reservation is CHANGING and ours: pend, slot fields, record.
static void change_apply(struct core_worker *w, uint32_t i, uint32_t index, uint32_t op,
                         const struct stock_slot *s, uint32_t asked, uint32_t have, uint64_t hash)
{
    const struct core_request *r = &w->requests[i];
    struct stock_slot *slot = &w->core->stock.slots.slots[index];
    unsigned flags = stock_word_flags(s->word);
    struct core_pend *p = pend_add(w, i, index);
    p->operation = op;
    p->time_ms = s->time_channel >> 16;
    enum core_state state = (enum core_state)stock_word_state(s->word);
    for (uint32_t k = 0; r->verb != CORE_EXTEND && k < asked; k++)
        pend_effect(w, p, w->takes[k].cell, role_of(r), w->takes[k].quantity);
    bool last = r->verb == CORE_RELEASE && lines_empty(w, have);
    if (r->verb == CORE_EXTEND && w->now_ms + r->ttl_ms > p->time_ms)
        p->time_ms = w->now_ms + r->ttl_ms;
    if (r->verb != CORE_EXTEND && have)
        stock_lines_update(&w->core->stock.slots, slot, flags, w->lines, have);
    if (last) {
        state = CORE_STATE_RELEASED;
        w->credit += end_bytes(have);
    }
    if (state != CORE_STATE_HELD) {
        p->time_ms = w->now_ms;
        if (flags & STOCK_SLOT_BLOCKS) {
            p->drop_lines = true;
            flags = (flags & ~(unsigned)STOCK_SLOT_BLOCKS) | STOCK_SLOT_AWAY;
        }
    }
    p->word = stock_word_make(s->word, state, stock_word_kind(s->word), flags,
                              (uint16_t)(stock_word_version(s->word) + 1));
    struct core_record_op part;
    op_part(&part, r->op_id, s);
    struct encode e = {
        .type = type_of(r->verb),
        .flags = (last ? CORE_RECORD_LAST : 0u) | ((flags & STOCK_SLOT_V4) ? CORE_RECORD_V4 : 0u),
        .id = r->id,
        .version = stock_word_version(p->word),
        .channel = (uint16_t)s->time_channel,
        .ttl_ms = r->verb == CORE_EXTEND ? (uint32_t)(p->time_ms - w->now_ms) : 0,
        .body_hash = hash,
        .time_ms = w->now_ms,
        .lines = &w->effects[p->effects],
        .line_count = p->effect_count,
        .op = &part,
        .reason = reason_bytes(r) ? r->text->reason : NULL,
        .reason_bytes = reason_bytes(r),
    };
    p->record = w->record_count;
    encode_record(w, &e);
}

static enum change_result change_try(struct core_worker *w, uint32_t i, uint32_t index,
                                     const struct stock_slot *s, uint32_t asked, uint64_t hash)
{
    const struct core_request *r = &w->requests[i];
    struct core_answer *a = &w->answers[i];
    uint32_t have, found;
    if (!state_fits(w, i, s))
        return ANSWERED;
    enum change_result checked = lines_check(w, i, index, s, asked, &have);
    if (checked != CHANGED)
        return checked;
    uint64_t bytes =
        record_bytes(asked) + sizeof(struct core_record_op) + text_bytes(NULL, reason_bytes(r));
    if (!worker_afford(w, bytes, 0)) {
        answer_busy(w, a);
        return ANSWERED;
    }
    enum core_outcome outcome;
    uint32_t op = slot_claim(w, r->op_id, stock_hash(&w->core->stock.slots, &r->op_id),
                             KIND_OPERATION, hash, false, &found, &outcome);
    if (!op) {
        if (!found && outcome == CORE_OUT_BUSY)
            answer_busy(w, a);
        else
            answer_plain(a, found ? CORE_OUT_IN_PROGRESS : outcome);
        return ANSWERED;
    }
    uint64_t expected = s->word;
    if (!stock_slot_win(&w->core->stock.slots.slots[index], &expected, CORE_STATE_CHANGING)) {
        slot_abandon(w, op);
        return LOST;
    }
    change_apply(w, i, index, op, s, asked, have, hash);
    return CHANGED;
}

void change_request(struct core_worker *w, uint32_t i, uint64_t id_hash)
{
    struct core *c = w->core;
    const struct core_request *r = &w->requests[i];
    bool recallable = r->verb == CORE_CANCEL || r->verb == CORE_RETURN;
    for (int attempt = 0; attempt < 8; attempt++) {
        uint32_t asked;
        struct stock_slot s;
        uint32_t found = stock_find(&c->stock.slots, r->id, id_hash);
        if (found && worker_owns(w, found))
            worker_flush(w);
        bool whole = found && stock_slot_copy(&c->stock.slots, found, &s);
        // The operation is looked up after the reservation was copied: one that is not there now
        // has not changed the copy. The other way round, the second of two that ask at once is
        // judged by what the first has done.
        hf_fence_acquire();
        const struct stock_slots *slots = &c->stock.slots;
        uint32_t op = stock_find(slots, r->op_id, stock_hash(slots, &r->op_id));
        uint64_t hash = operation_hash(w, r, &asked);
        if (op) {
            operation_repeat(w, i, op, found, hash);
            return;
        }
        enum core_outcome outcome = id_admissible(c, r->op_id, w->now_ms, false);
        if (outcome != CORE_OUT_DONE || !found) {
            answer_plain(&w->answers[i], outcome != CORE_OUT_DONE ? outcome
                                         : recallable             ? CORE_OUT_NEEDS_RECALL
                                                                  : CORE_OUT_UNKNOWN);
            return;
        }
        if (!whole)
            break;
        if (stock_word_state(s.word) == CORE_STATE_FREE || !hf_uuid_equal(s.id, r->id))
            continue;
        if (stock_word_state(s.word) == CORE_STATE_HELD && s.time_channel >> 16 <= w->now_ms) {
            if (end_expire(w, found)) { // passing the deadline entitles whoever comes by
                worker_flush(w);
            } else if (hf_load_acquire(&c->stock.slots.slots[found].word) == s.word) {
                answer_plain(&w->answers[i], CORE_OUT_BUSY); // no room for its end: not to be
                return;                                      // told as held
            }
            continue;
        }
        if (change_try(w, i, found, &s, asked, hash) != LOST)
            return;
    }
    answer_plain(&w->answers[i], CORE_OUT_IN_PROGRESS);
}
