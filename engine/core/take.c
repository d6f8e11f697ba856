// Reserve, Order and Record: requests that take stock under a new id.
//
// Single-line takes of a chunk wait until all of its requests have been looked up; then those on
// one cell are decided by one swap, in the order in which they came. Wide ones are decided at once.
#include "core/core_internal.h"

#include <string.h>

static enum core_kind kind_of(enum core_verb v)
{
    return v == CORE_RESERVE ? KIND_HOLD : v == CORE_ORDER ? KIND_ORDER : KIND_FACT;
}

// What a take that was done took, told again: all that was asked for, or of a best effort what the
// reservation has now, where its lines are in memory. The merged lines are in w->takes.
static void take_told_again(struct core_worker *w, const struct core_request *r, uint32_t found,
                            const struct stock_slot *s, uint32_t count)
{
    const struct stock_slots *slots = &w->core->stock.slots;
    bool best_effort = r->flags & CORE_BEST_EFFORT;
    unsigned state = stock_word_state(s->word);
    uint32_t kept = 0, at = 0;
    if (best_effort && (state == CORE_STATE_HELD || state == CORE_STATE_COMMITTED)) {
        kept = stock_lines_load(slots, s, stock_word_flags(s->word), w->lines, HF_LINES_MAX);
        hf_fence_acquire();
        if (hf_load_relaxed(&slots->slots[found].word) != s->word)
            kept = 0; // it is being changed
    }
    memset(r->line_answers, 0, r->line_count * sizeof *r->line_answers);
    for (uint32_t k = 0; k < count; k++) {
        const struct stock_take *t = &w->takes[k];
        struct core_line_answer *l = &r->line_answers[t->unused];
        l->available = stock_available(&w->core->stock.cells.cells[t->cell]);
        while (at < kept && w->lines[at].handle < t->cell)
            at++;
        if (!best_effort)
            l->taken = t->quantity;
        else if (at < kept && w->lines[at].handle == t->cell)
            l->taken = w->lines[at].quantity;
    }
}

// The id is known: the same body gets the same outcome and the present state. False: it was a hold
// that has just been refused, which nobody remembers: decide afresh.
static bool take_repeat(struct core_worker *w, uint32_t i, uint32_t found, uint64_t body,
                        uint32_t count)
{
    const struct core_request *r = &w->requests[i];
    struct core_answer *a = &w->answers[i];
    struct stock_slot s;
    if (worker_owns(w, found))
        worker_flush(w); // an earlier item of this chunk: now it is decided
    bool whole = stock_slot_copy(&w->core->stock.slots, found, &s);
    bool held = whole && stock_word_state(s.word) == CORE_STATE_HELD;
    if (held && s.time_channel >> 16 <= w->now_ms) {
        if (end_expire(w, found))
            worker_flush(w);
        whole = stock_slot_copy(&w->core->stock.slots, found, &s);
    }
    if (!whole) {
        answer_plain(a, CORE_OUT_IN_PROGRESS);
        return true;
    }
    if (!hf_uuid_equal(s.id, r->id) || stock_word_state(s.word) == CORE_STATE_FREE)
        return false;
    if (s.body_hash == 0) { // brought back from disk after its first request was forgotten
        answer_plain(a, CORE_OUT_ID_TOO_OLD);
        return true;
    }
    if (stock_word_kind(s.word) != kind_of(r->verb) || s.body_hash != body) {
        answer_slot(w, a, &s, CORE_OUT_CONFLICT, false);
        return true;
    }
    bool rejected = stock_word_state(s.word) == CORE_STATE_REJECTED;
    answer_slot(w, a, &s, rejected ? CORE_OUT_REFUSED : CORE_OUT_DONE, true);
    // Still HELD past its deadline: its end found no room. It must not be told as held.
    if (stock_word_state(s.word) == CORE_STATE_HELD && s.time_channel >> 16 <= w->now_ms)
        answer_plain(a, CORE_OUT_BUSY);
    else if (!rejected && r->line_answers)
        take_told_again(w, r, found, &s, count);
    return true;
}

void take_refuse_told(struct core_worker *w, const struct core_request *r,
                      const struct stock_take *takes, uint32_t count)
{
    if (!r->line_answers)
        return;
    memset(r->line_answers, 0, r->line_count * sizeof *r->line_answers);
    for (uint32_t k = 0; k < count; k++) {
        const struct stock_cell *cell = &w->core->stock.cells.cells[takes[k].cell];
        struct core_line_answer *l = &r->line_answers[takes[k].unused];
        l->available = stock_available(cell);
        if (l->available >= takes[k].quantity)
            continue;
        l->shortfall = takes[k].quantity - l->available;
        // The hint counts tenths of a second; zero and the past say nothing.
        uint32_t hint = hf_load_relaxed(&cell->hint), now = (uint32_t)(w->now_ms / 100);
        if (hint != 0 && (int32_t)(hint - now) >= 0)
            l->hint_ms = (w->now_ms / 100 + (hint - now)) * 100 + 100;
    }
}

void take_hint(struct stock_cell *cell, uint64_t now_ms, uint64_t deadline_ms)
{
    uint32_t now = (uint32_t)(now_ms / 100), at = (uint32_t)(deadline_ms / 100);
    uint32_t hint = hf_load_relaxed(&cell->hint);
    if (hint == 0 || (int32_t)(hint - now) < 0 || (int32_t)(at - hint) < 0)
        hf_store_relaxed(&cell->hint, at ? at : 1);
}

static void take_lines_told(const struct core_worker *w, const struct core_request *r,
                            const struct core_pend *p, const struct stock_take *takes,
                            uint32_t count)
{
    memset(r->line_answers, 0, r->line_count * sizeof *r->line_answers);
    for (uint32_t k = 0, e = 0; k < count; k++) {
        struct core_line_answer *l = &r->line_answers[takes[k].unused];
        l->available = stock_available(&w->core->stock.cells.cells[takes[k].cell]);
        if (e < p->effect_count && w->effects[p->effects + e].handle == takes[k].cell)
            l->taken = w->effects[p->effects + e++].quantity;
    }
}

// The take has succeeded: lines into the slot. The blocks for them are in the cache.
static void take_keep(struct core_worker *w, struct core_pend *p, const struct core_request *r)
{
    struct stock_slot *slot = &w->core->stock.slots.slots[p->slot];
    uint64_t word = hf_load_relaxed(&slot->word);
    unsigned flags = stock_word_flags(word);
    const struct core_record_line *e = &w->effects[p->effects];
    bool held = r->verb == CORE_RESERVE;
    if (p->effect_count == 1 && e->quantity <= UINT32_MAX && (!held || !r->text)) {
        hf_store_relaxed(&slot->a, e->handle);
        hf_store_relaxed(&slot->b, (uint32_t)e->quantity);
    } else if (held) {
        uint8_t packed[CORE_TEXT_WORDS * 4];
        uint32_t bytes = text_pack(r->text, packed);
        for (uint32_t k = 0; k < p->effect_count; k++)
            w->lines[k] = (struct stock_line){e[k].handle, 0, e[k].quantity};
        bool stored = stock_lines_store(&w->core->stock.slots, &w->thread.blocks, slot, w->lines,
                                        p->effect_count, packed, bytes, &flags);
        HF_ASSERT(stored);
    } else {
        flags |= STOCK_SLOT_AWAY;
    }
    p->time_ms = w->now_ms + (held ? r->ttl_ms : 0);
    p->wheel_at = 1;
    p->word = stock_word_make(word, held ? CORE_STATE_HELD : CORE_STATE_COMMITTED,
                              stock_word_kind(word), flags, 1);
    hf_store_relaxed(&slot->time_channel, p->time_ms << 16 | r->channel);
    hf_store_relaxed(&slot->word,
                     stock_word_make(word, CORE_STATE_PENDING, stock_word_kind(word), flags, 1));
}

static void take_encode(struct core_worker *w, struct core_pend *p, const struct core_request *r,
                        enum core_record_type type)
{
    const struct stock_slot *slot = &w->core->stock.slots.slots[p->slot];
    bool v4 = (stock_word_flags(hf_load_relaxed(&slot->word)) & STOCK_SLOT_V4) != 0;
    struct encode e = {
        .type = type,
        .flags = (v4 ? CORE_RECORD_V4 : 0u) |
                 ((r->flags & CORE_BEST_EFFORT) ? CORE_RECORD_BEST_EFFORT : 0u),
        .id = r->id,
        .version = 1,
        .channel = r->channel,
        .ttl_ms = r->ttl_ms,
        .body_hash = hf_load_relaxed(&slot->body_hash),
        .time_ms = w->now_ms,
        .lines = &w->effects[p->effects],
        .line_count = p->effect_count,
        .text = r->text,
    };
    p->record = w->record_count;
    encode_record(w, &e);
    if (type == CORE_RECORD_HOLD)
        w->credit -= end_bytes(p->effect_count); // kept back until the hold ends
}

// Refused: a hold leaves no trace, an order is remembered.
static void take_refuse(struct core_worker *w, struct core_pend *p, const struct core_request *r,
                        const struct stock_take *takes, uint32_t count)
{
    p->effect_count = 0;
    take_refuse_told(w, r, takes, count);
    if (r->verb == CORE_ORDER) {
        struct stock_slot *slot = &w->core->stock.slots.slots[p->slot];
        p->outcome = CORE_OUT_REFUSED;
        p->time_ms = w->now_ms;
        p->wheel_at = 1;
        p->word = stock_word_make(hf_load_relaxed(&slot->word), CORE_STATE_REJECTED, KIND_ORDER,
                                  stock_word_flags(hf_load_relaxed(&slot->word)), 1);
        hf_store_relaxed(&slot->time_channel, p->time_ms << 16 | r->channel);
        take_encode(w, p, r, CORE_RECORD_REJECT);
        return;
    }
    answer_plain(&w->answers[p->request], CORE_OUT_REFUSED);
    slot_abandon(w, p->slot);
    p->slot = 0;
}

// A fact that would pass every sensible bound: what it took goes back.
static void take_undo(struct core_worker *w, struct core_pend *p)
{
    for (uint32_t k = 0; k < p->effect_count; k++)
        stock_give(&w->core->stock.cells.cells[w->effects[p->effects + k].handle],
                   w->effects[p->effects + k].quantity);
    slot_abandon(w, p->slot);
    p->slot = 0;
    p->effect_count = 0;
}

// The stock is ours (effects say what): keep, encode, tell.
static void take_done(struct core_worker *w, struct core_pend *p, const struct core_request *r,
                      const struct stock_take *takes, uint32_t count)
{
    take_keep(w, p, r);
    static const enum core_record_type types[] = {CORE_RECORD_HOLD, CORE_RECORD_ORDER,
                                                  CORE_RECORD_FACT};
    take_encode(w, p, r, types[r->verb]);
    if (r->verb == CORE_RESERVE)
        for (uint32_t k = 0; k < p->effect_count; k++)
            take_hint(&w->core->stock.cells.cells[w->effects[p->effects + k].handle], w->now_ms,
                      p->time_ms);
    if (r->line_answers)
        take_lines_told(w, r, p, takes, count);
}

// Decides the undecided takes of one cell together, in order.
static void combine_cell(struct core_worker *w, uint32_t first)
{
    struct stock_wish wishes[CORE_CHUNK];
    struct core_pend *group[CORE_CHUNK];
    uint32_t n = 0;
    uint32_t cell = w->effects[w->pends[first].effects].handle;
    for (uint32_t at = first + 1; at != 0; at = w->pends[at - 1].next_same) {
        struct core_pend *p = &w->pends[at - 1];
        const struct core_record_line *e = &w->effects[p->effects];
        if (!p->undecided || e->handle != cell)
            continue;
        const struct core_request *r = &w->requests[p->request];
        wishes[n] = (struct stock_wish){e->quantity, 0, (r->flags & CORE_BEST_EFFORT) != 0};
        group[n++] = p;
    }
    int64_t left;
    stock_take_combined(&w->thread.taker, cell, wishes, n, &left);
    for (uint32_t k = 0; k < n; k++) {
        struct core_pend *p = group[k];
        struct stock_take take = {cell, 0, w->effects[p->effects].quantity};
        p->undecided = false;
        if (wishes[k].given > 0) {
            w->effects[p->effects].quantity = wishes[k].given;
            take_done(w, p, &w->requests[p->request], &take, 1);
        } else {
            take_refuse(w, p, &w->requests[p->request], &take, 1);
        }
    }
}

void take_decide_combined(struct core_worker *w)
{
    if (w->undecided_bytes == 0)
        return;
    w->undecided_bytes = 0;
    w->undecided_credit = 0;
    w->undecided_blocks = 0;
    for (uint32_t i = 0; i < w->pend_count; i++) {
        if (!w->pends[i].undecided)
            continue;
        w->same_cell[w->effects[w->pends[i].effects].handle & 63] = 0;
        combine_cell(w, i);
    }
}

static void combine_later(struct core_worker *w, struct core_pend *p, uint32_t cell)
{
    uint32_t self = (uint32_t)(p - w->pends) + 1;
    uint8_t *head = &w->same_cell[cell & 63];
    p->undecided = true;
    if (*head == 0) {
        *head = (uint8_t)self;
        return;
    }
    // Append, so that the chain is in arrival order. Other cells of this hash share it.
    uint32_t at = *head;
    while (w->pends[at - 1].next_same)
        at = w->pends[at - 1].next_same;
    w->pends[at - 1].next_same = self;
}

// Takes of several cells, or facts. True: something was taken, effects say what.
static bool take_wide(struct core_worker *w, struct core_pend *p, const struct core_request *r,
                      uint32_t count)
{
    enum core_role role = r->verb == CORE_RESERVE ? CORE_ROLE_HOLD : CORE_ROLE_ORDER;
    bool all_or_nothing = r->verb != CORE_RECORD && !(r->flags & CORE_BEST_EFFORT);
    uint32_t refused;
    if (all_or_nothing && !stock_take_all(&w->thread.taker, w->takes, count, &refused))
        return false;
    for (uint32_t k = 0; k < count; k++) {
        const struct stock_take *t = &w->takes[k];
        struct stock_wish wish = {t->quantity, t->quantity, true};
        int64_t left;
        if (r->verb == CORE_RECORD) {
            if (!stock_take_one(&w->thread.taker, t->cell, t->quantity, true, &left))
                return false; // past every sensible bound; the caller undoes
        } else if (!all_or_nothing) {
            stock_take_combined(&w->thread.taker, t->cell, &wish, 1, &left);
        }
        if (wish.given > 0)
            pend_effect(w, p, t->cell, role, wish.given);
    }
    return p->effect_count > 0;
}

// Refuse from loads alone: holds that plainly can't be had cost no slot.
static bool plainly_short(const struct core_worker *w, const struct core_request *r, uint32_t count)
{
    if (r->verb != CORE_RESERVE || (r->flags & CORE_BEST_EFFORT))
        return false;
    for (uint32_t k = 0; k < count; k++)
        if (stock_available(&w->core->stock.cells.cells[w->takes[k].cell]) < w->takes[k].quantity)
            return true;
    return false;
}

// The first cell that may not be taken from; count: none.
static uint32_t cell_inactive(const struct core_worker *w, const struct core_request *r,
                              uint32_t count)
{
    uint32_t k = 0;
    while (k < count && r->verb != CORE_RECORD &&
           stock_active(&w->core->stock.cells.cells[w->takes[k].cell]))
        k++;
    return r->verb == CORE_RECORD ? count : k;
}

static void take_decide(struct core_worker *w, uint32_t i, uint32_t slot, uint32_t count,
                        uint64_t bytes, uint64_t kept)
{
    const struct core_request *r = &w->requests[i];
    struct core_pend *p = pend_add(w, i, slot);
    if (count == 1 && r->verb != CORE_RECORD) {
        pend_effect(w, p, w->takes[0].cell,
                    r->verb == CORE_RESERVE ? CORE_ROLE_HOLD : CORE_ROLE_ORDER,
                    w->takes[0].quantity);
        w->undecided_bytes += (uint32_t)bytes;
        w->undecided_credit += bytes + kept;
        w->undecided_blocks += r->verb == CORE_RESERVE;
        combine_later(w, p, w->takes[0].cell);
        return;
    }
    if (take_wide(w, p, r, count)) {
        take_done(w, p, r, w->takes, count);
    } else if (r->verb == CORE_RECORD) {
        take_undo(w, p);
        answer_invalid(&w->answers[i], CORE_FIELD_QUANTITY, 0);
    } else {
        take_refuse(w, p, r, w->takes, count);
    }
}

static_assert(CORE_CHUNK + 1 + (128 / 4 + 4 + 3 * HF_LINES_MAX) / (STOCK_BLOCK_WORDS - 2) <=
                  2 * STOCK_POOL_CHUNK,
              "the widest hold behind a chunk of undecided ones finds its blocks in the cache");

// The blocks of a hold's lines must be at hand before it is decided: a take that succeeded is never
// undone for want of memory.
static bool blocks_afford(struct core_worker *w, const struct core_request *r, uint32_t count,
                          uint32_t blocks)
{
    if (count == 1 && !r->text && r->lines[0].quantity <= UINT32_MAX && r->line_count == 1)
        return true;
    if (stock_cache_ensure(&w->thread.blocks, w->undecided_blocks + blocks))
        return true;
    w->shortage = CORE_SHORT_BLOCKS;
    return false;
}

static bool take_attempt(struct core_worker *w, uint32_t i, uint64_t hash)
{
    struct core *c = w->core;
    const struct core_request *r = &w->requests[i];
    struct core_answer *a = &w->answers[i];
    uint32_t count = lines_merge(r->lines, r->line_count, w->takes);
    enum core_kind kind = kind_of(r->verb);
    uint64_t body = body_hash(kind, r->flags, r->ttl_ms, w->takes, count);
    // The cells are looked at before the id: one that is not there now had taken nothing then. The
    // other way round, the second of two that ask at once is refused for what the first has got.
    bool too_little = plainly_short(w, r, count);
    uint32_t inactive = cell_inactive(w, r, count);
    hf_fence_acquire();
    uint32_t found = stock_find(&c->stock.slots, r->id, hash);
    enum core_outcome outcome;
    if (found)
        return take_repeat(w, i, found, body, count);
    bool v4 = r->verb == CORE_RESERVE && c->options.allow_v4;
    outcome = id_admissible(c, r->id, w->now_ms, v4);
    if (outcome != CORE_OUT_DONE) {
        answer_plain(a, outcome);
        return true;
    }
    if (inactive < count) {
        answer_invalid(a, CORE_FIELD_INACTIVE, w->takes[inactive].unused);
        return true;
    }
    if (too_little) {
        answer_plain(a, CORE_OUT_REFUSED);
        take_refuse_told(w, r, w->takes, count);
        return true;
    }
    uint64_t bytes = record_bytes(count) + text_bytes(r->text, 0);
    uint64_t kept = r->verb == CORE_RESERVE ? end_bytes(count) : 0;
    uint32_t blocks = r->verb == CORE_RESERVE ? stock_blocks_needed(count, 128) : 0;
    if (lags(w) || !worker_afford(w, bytes, kept) ||
        (blocks && !blocks_afford(w, r, count, blocks))) {
        answer_busy(w, a);
        return true;
    }
    uint32_t slot = slot_claim(w, r->id, hash, kind, body, v4, &found, &outcome);
    if (slot)
        take_decide(w, i, slot, count, bytes, kept);
    else if (found)
        return take_repeat(w, i, found, body, count);
    else if (outcome == CORE_OUT_BUSY)
        answer_busy(w, a);
    else
        answer_plain(a, outcome);
    return true;
}

void take_request(struct core_worker *w, uint32_t i, uint64_t hash)
{
    for (int attempt = 0; attempt < 8; attempt++)
        if (take_attempt(w, i, hash))
            return;
    answer_plain(&w->answers[i], CORE_OUT_IN_PROGRESS);
}
