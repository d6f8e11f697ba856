// Commit, whole Release, and expiry: a hold ends once.
//
// The swap HELD -> ENDING picks the winner. It alone appends the end, then publishes the stock,
// then stores the final state. Passing the deadline only entitles: a commit may still win.
#include "core/core_internal.h"

#include <string.h>

static struct stock_slot *slot_at(struct core_worker *w, uint32_t index)
{
    return &w->core->stock.slots.slots[index];
}

static void effects_give_back(struct core_worker *w, struct core_pend *p, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++)
        pend_effect(w, p, w->lines[k].handle, CORE_ROLE_GIVE_BACK, w->lines[k].quantity);
}

// Sums what was asked per cell and matches it with the lines held (both sorted by cell).
// False: a cell that the hold has not, or more than it holds.
static bool asked_matches(struct core_worker *w, const struct stock_take *takes, uint32_t asked,
                          uint32_t held)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < held; i++) {
        w->asked[i] = (struct stock_line){w->lines[i].handle, 0, 0};
        if (k == asked || takes[k].cell != w->lines[i].handle)
            continue;
        if (takes[k].quantity > w->lines[i].quantity)
            return false;
        w->asked[i].quantity = takes[k++].quantity;
    }
    return k == asked;
}

static uint64_t ending_hash(struct core_worker *w, const struct core_request *r, uint32_t *count)
{
    *count = lines_merge(r->lines, r->line_count, w->takes);
    return body_hash(16u + (unsigned)r->verb, 0, 0, w->takes, *count);
}

// What the record says of an ending out of ENDING or, retaken, CHANGING.
static void end_encode(struct core_worker *w, struct core_pend *p, enum core_record_type type,
                       unsigned flags, uint64_t hash, const struct stock_slot *s)
{
    struct core_record_op part;
    const struct core_request *r = p->request == UINT32_MAX ? NULL : &w->requests[p->request];
    uint8_t reason = r ? reason_bytes(r) : 0;
    if (flags & CORE_RECORD_RETAKE)
        op_part(&part, (struct hf_uuid){0, 0}, s);
    struct encode e = {
        .type = type,
        .flags = flags | ((stock_word_flags(s->word) & STOCK_SLOT_V4) ? CORE_RECORD_V4 : 0u),
        .id = s->id,
        .version = stock_word_version(p->word),
        .channel = (uint16_t)s->time_channel,
        .body_hash = hash,
        .time_ms = w->now_ms,
        .lines = &w->effects[p->effects],
        .line_count = p->effect_count,
        .op = (flags & CORE_RECORD_RETAKE) ? &part : NULL,
        .reason = reason ? r->text->reason : NULL,
        .reason_bytes = reason,
    };
    p->record = w->record_count;
    encode_record(w, &e);
}

// The final word, and which lines stay in memory with it: one short line stays in the slot.
static void end_finish(struct core_worker *w, struct core_pend *p, const struct stock_slot *s,
                       enum core_state state, int64_t inline_left)
{
    unsigned flags = stock_word_flags(s->word);
    if (flags & STOCK_SLOT_BLOCKS) {
        p->drop_lines = true;
        flags = (flags & ~(unsigned)STOCK_SLOT_BLOCKS) | STOCK_SLOT_AWAY;
    } else if (inline_left >= 0) {
        hf_store_relaxed(&slot_at(w, p->slot)->b, (uint32_t)inline_left);
    }
    p->time_ms = w->now_ms;
    p->word = stock_word_make(s->word, state, stock_word_kind(s->word), flags,
                              (uint16_t)(stock_word_version(s->word) + 1));
}

static bool slot_win(struct core_worker *w, uint32_t index, const struct stock_slot *s,
                     enum core_state state)
{
    uint64_t expected = s->word;
    return stock_slot_win(slot_at(w, index), &expected, state);
}

bool end_expire(struct core_worker *w, uint32_t index)
{
    struct stock_slot s;
    if (w->pend_count == CORE_CHUNK || w->effect_count + 2 * HF_LINES_MAX > CORE_EFFECTS_MAX)
        worker_flush(w);
    if (!stock_slot_copy(&w->core->stock.slots, index, &s) ||
        stock_word_state(s.word) != CORE_STATE_HELD || s.time_channel >> 16 > w->now_ms)
        return false;
    uint32_t count = stock_lines_load(&w->core->stock.slots, &s, stock_word_flags(s.word), w->lines,
                                      HF_LINES_MAX);
    if (!worker_has_room(w, record_bytes(count)) || !slot_win(w, index, &s, CORE_STATE_ENDING))
        return false;
    w->credit += end_bytes(count);
    struct core_pend *p = pend_add(w, UINT32_MAX, index);
    effects_give_back(w, p, count);
    end_finish(w, p, &s, CORE_STATE_EXPIRED, -1);
    end_encode(w, p, CORE_RECORD_EXPIRE, 0, 0, &s);
    hf_store_relaxed(&w->stats.expired, w->stats.expired + 1); // core_metrics reads it
    return true;
}

static void commit_effects(struct core_worker *w, struct core_pend *p, uint32_t held, bool whole)
{
    for (uint32_t k = 0; k < held; k++) {
        int64_t commit = whole ? w->lines[k].quantity : w->asked[k].quantity;
        if (commit)
            pend_effect(w, p, w->lines[k].handle, CORE_ROLE_COMMIT, commit);
        if (commit < w->lines[k].quantity)
            pend_effect(w, p, w->lines[k].handle, CORE_ROLE_GIVE_BACK,
                        w->lines[k].quantity - commit);
    }
}

// Room for an end's record, whose space the hold kept back. A long reason may not fit into that:
// what it needs more must be had anew, so on a full disk it may be BUSY. Without a reason it never
// is.
static bool end_afford(struct core_worker *w, const struct core_request *r, uint32_t held)
{
    uint32_t kept = end_bytes(held);
    uint32_t bytes = record_bytes(held) + text_bytes(NULL, reason_bytes(r));
    if (bytes <= kept || r->verb != CORE_RELEASE)
        return worker_has_room(w, kept);
    return worker_has_room(w, bytes) && worker_afford(w, bytes - kept, 0);
}

// A hold, ended as asked. False: somebody else was first; look again.
static bool end_held(struct core_worker *w, uint32_t i, uint32_t index, const struct stock_slot *s,
                     uint64_t hash, uint32_t asked)
{
    const struct core_request *r = &w->requests[i];
    bool whole = r->line_count == 0;
    uint32_t held = stock_lines_load(&w->core->stock.slots, s, stock_word_flags(s->word), w->lines,
                                     HF_LINES_MAX);
    if (hf_load_acquire(&slot_at(w, index)->word) != s->word)
        return false;
    if (!whole && !asked_matches(w, w->takes, asked, held)) {
        answer_slot(w, &w->answers[i], s, CORE_OUT_EXCEEDS, false);
        return true;
    }
    if (!end_afford(w, r, held)) {
        answer_busy(w, &w->answers[i]);
        return true;
    }
    if (!slot_win(w, index, s, CORE_STATE_ENDING))
        return false;
    w->credit += end_bytes(held);
    struct core_pend *p = pend_add(w, i, index);
    bool commit = r->verb == CORE_COMMIT;
    if (commit)
        commit_effects(w, p, held, whole);
    else
        effects_give_back(w, p, held);
    hf_store_relaxed(&slot_at(w, index)->end_hash, (uint32_t)hash);
    end_finish(w, p, s, commit ? CORE_STATE_COMMITTED : CORE_STATE_RELEASED,
               commit && !whole ? w->asked[0].quantity : -1);
    end_encode(w, p, commit ? CORE_RECORD_COMMIT : CORE_RECORD_RELEASE, 0, hash, s);
    return true;
}

// Takes an expired hold's stock again and commits it. False: somebody else was first.
static bool end_retake(struct core_worker *w, uint32_t i, uint32_t index,
                       const struct stock_slot *s, uint64_t hash, uint32_t asked)
{
    const struct core_request *r = &w->requests[i];
    struct core_answer *a = &w->answers[i];
    if (stock_word_flags(s->word) & STOCK_SLOT_AWAY) {
        answer_plain(a, CORE_OUT_NEEDS_RECALL);
        return true;
    }
    uint32_t held = stock_lines_load(&w->core->stock.slots, s, stock_word_flags(s->word), w->lines,
                                     HF_LINES_MAX);
    if (hf_load_acquire(&slot_at(w, index)->word) != s->word)
        return false;
    // Changes stop short of the last version for the end; there is none left for a retake then.
    if (stock_word_version(s->word) == UINT16_MAX ||
        (r->line_count && !asked_matches(w, w->takes, asked, held))) {
        answer_slot(w, a, s, CORE_OUT_EXCEEDS, false);
        return true;
    }
    uint64_t bytes = record_bytes(held) + sizeof(struct core_record_op);
    if (lags(w) || !worker_afford(w, bytes, 0)) {
        answer_busy(w, a);
        return true;
    }
    if (!slot_win(w, index, s, CORE_STATE_CHANGING))
        return false;
    uint32_t count = 0;
    for (uint32_t k = 0; k < held; k++) {
        int64_t quantity = r->line_count ? w->asked[k].quantity : w->lines[k].quantity;
        if (quantity)
            w->takes[count++] = (struct stock_take){w->lines[k].handle, 0, quantity};
    }
    uint32_t refused;
    if (!stock_take_all(&w->thread.taker, w->takes, count, &refused)) {
        hf_store_release(&slot_at(w, index)->word, s->word); // as it was
        answer_slot(w, a, s, CORE_OUT_REFUSED, false);
        return true;
    }
    struct core_pend *p = pend_add(w, i, index);
    for (uint32_t k = 0; k < count; k++)
        pend_effect(w, p, w->takes[k].cell, CORE_ROLE_ORDER, w->takes[k].quantity);
    hf_store_relaxed(&slot_at(w, index)->end_hash, (uint32_t)hash);
    end_finish(w, p, s, CORE_STATE_COMMITTED, count == 1 ? w->takes[0].quantity : -1);
    end_encode(w, p, CORE_RECORD_COMMIT, CORE_RECORD_RETAKE, hash, s);
    return true;
}

// The reservation has ended already, or cannot be ended.
static void end_late(struct core_worker *w, uint32_t i, const struct stock_slot *s, uint64_t hash)
{
    const struct core_request *r = &w->requests[i];
    struct core_answer *a = &w->answers[i];
    unsigned state = stock_word_state(s->word);
    unsigned wanted = r->verb == CORE_COMMIT ? CORE_STATE_COMMITTED : CORE_STATE_RELEASED;
    bool ended_so = stock_word_kind(s->word) == KIND_HOLD && state == wanted;
    if (state == CORE_STATE_EXPIRED)
        answer_slot(w, a, s, CORE_OUT_EXPIRED, false);
    else if (ended_so && s->end_hash == (uint32_t)hash)
        answer_slot(w, a, s, CORE_OUT_DONE, true);
    else if (ended_so && s->end_hash != 0)
        answer_slot(w, a, s, CORE_OUT_CONFLICT, false);
    else
        answer_slot(w, a, s, CORE_OUT_WRONG_STATE, false);
}

void end_request(struct core_worker *w, uint32_t i, uint64_t id_hash)
{
    struct core *c = w->core;
    const struct core_request *r = &w->requests[i];
    for (int attempt = 0; attempt < 8; attempt++) {
        uint32_t found = stock_find(&c->stock.slots, r->id, id_hash), asked;
        if (found && worker_owns(w, found))
            worker_flush(w);
        uint64_t hash = ending_hash(w, r, &asked);
        struct stock_slot s;
        if (!found) {
            answer_plain(&w->answers[i], CORE_OUT_UNKNOWN);
            return;
        }
        if (!stock_slot_copy(&c->stock.slots, found, &s))
            break;
        if (stock_word_state(s.word) == CORE_STATE_FREE || !hf_uuid_equal(s.id, r->id))
            continue; // a refused hold that was just taken off: look again
        if (stock_word_kind(s.word) == KIND_OPERATION) {
            answer_plain(&w->answers[i], CORE_OUT_UNKNOWN);
            return;
        }
        bool won = true;
        if (stock_word_state(s.word) == CORE_STATE_HELD)
            won = end_held(w, i, found, &s, hash, asked);
        else if (stock_word_state(s.word) == CORE_STATE_EXPIRED && (r->flags & CORE_RETAKE))
            won = end_retake(w, i, found, &s, hash, asked);
        else
            end_late(w, i, &s, hash);
        if (won)
            return;
    }
    answer_plain(&w->answers[i], CORE_OUT_IN_PROGRESS);
}
