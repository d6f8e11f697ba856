// The commonest requests in one straight pass: holds and orders of one line, no text, no flags, an
// unknown id, stock at hand. The profile of the general way (take.c, execute.c) is spread thin over
// some thirty places; this does the same steps in the same order for a whole chunk at once, and
// leaves to the general way whatever turns out to be anything else: known ids, orders that must be
// refused, ids out of the window. tests hold both ways against each other.
#include "core/core_internal.h"

#define RECORD_BYTES 64
#define END_BYTES    80
static_assert(sizeof(struct core_record) + sizeof(struct core_record_line) == RECORD_BYTES, "size");

struct narrow {
    struct core_worker *w;
    uint32_t count;
    uint32_t rest, taken; // a bit each: for the general way; whose stock is taken
    uint32_t buckets[CORE_CHUNK]; // position in the index
    uint32_t slots[CORE_CHUNK];   // claimed; 0: none
    uint64_t bodies[CORE_CHUNK];
    uint32_t records[CORE_CHUNK]; // ordinal in the push
    int64_t left[CORE_CHUNK];
};

// The form, and what is wrong with it: anything but the plain case says no.
static bool form_fits(const struct core *c, const struct core_request *r, uint32_t cells,
                      uint32_t channels)
{
    const struct core_line *l = r->lines;
    uint32_t ttl_ok = r->verb == CORE_RESERVE ? r->ttl_ms - 1 < c->options.ttl_max_ms
                                              : r->ttl_ms == 0;
    return r->verb <= CORE_ORDER && r->line_count == 1 && r->flags == 0 && !r->text && ttl_ok &&
           hf_uuid_version(r->id) == 7 && hf_uuid_variant_ok(r->id) &&
           hf_uuid_is_nil(r->op_id) && r->channel <= channels && l->handle < cells &&
           (uint64_t)(l->quantity - 1) < UINT32_MAX;
}

static bool prepare(struct narrow *n)
{
    struct core_worker *w = n->w;
    const struct core *c = w->core;
    uint32_t cells = hf_load_acquire(&c->cell_count);
    uint32_t channels = stock_channel_count(c->stock.directory);
    uint64_t kept = 0, seed = 0;
    uint32_t seed_ttl = 0, seed_verb = CORE_VERB_COUNT;
    for (uint32_t i = 0; i < n->count; i++) {
        const struct core_request *r = &w->requests[i];
        if (!form_fits(c, r, cells, channels))
            return false;
        uint64_t hash = stock_hash(&c->stock.slots, &r->id);
        n->buckets[i] = (uint32_t)(hash & c->stock.slots.bucket_mask);
        hf_prefetch_write(&c->stock.slots.buckets[n->buckets[i]]);
        hf_prefetch_write(&c->stock.cells.cells[r->lines->handle]);
        if (r->ttl_ms != seed_ttl || r->verb != seed_verb) {
            seed_ttl = r->ttl_ms;
            seed_verb = r->verb;
            seed = body_seed(r->verb == CORE_RESERVE ? KIND_HOLD : KIND_ORDER, 0, r->ttl_ms);
        }
        n->bodies[i] = body_hash_one(seed, r->lines->handle, r->lines->quantity);
        kept += r->verb == CORE_RESERVE ? END_BYTES : 0;
    }
    if (hf_load_relaxed(&c->lagging) ||
        !worker_afford(w, (uint64_t)n->count * RECORD_BYTES, kept) ||
        !stock_cache_ensure(&w->thread.slots, n->count))
        return false;
    for (uint32_t i = 0; i < n->count; i++)
        hf_prefetch_write(w->producer->cursor + i * RECORD_BYTES);
    const uint32_t *cache = &w->thread.slots.index[w->thread.slots.count];
    for (uint32_t i = 0; i < n->count; i++)
        hf_prefetch_write(&c->stock.slots.slots[cache[-1 - (int32_t)i]]);
    for (uint32_t i = 0; i < n->count; i++) {
        uint32_t head = hf_load_relaxed(&c->stock.slots.buckets[n->buckets[i]]);
        if (head)
            hf_prefetch(&c->stock.slots.slots[head]);
    }
    return true;
}

static void slot_fill(struct stock_slot *slot, const struct core_request *r, uint64_t body,
                      uint64_t time_ms)
{
    uint64_t word = hf_load_relaxed(&slot->word) + (UINT64_C(1) << 32);
    unsigned kind = r->verb == CORE_RESERVE ? KIND_HOLD : KIND_ORDER;
    hf_store_relaxed(&slot->id.hi, r->id.hi);
    hf_store_relaxed(&slot->id.lo, r->id.lo);
    hf_store_relaxed(&slot->body_hash, body);
    hf_store_relaxed(&slot->ticket, 0);
    hf_store_relaxed(&slot->time_channel, time_ms << 16 | r->channel);
    hf_store_relaxed(&slot->end_hash, 0);
    hf_store_relaxed(&slot->a, r->lines->handle);
    hf_store_relaxed(&slot->b, (uint32_t)r->lines->quantity);
    hf_store_relaxed(&slot->word, stock_word_make(word, CORE_STATE_PENDING, kind, 0, 1));
}

// An earlier request of this id goes the general way: this one must not overtake it.
static bool is_behind(const struct narrow *n, uint32_t i)
{
    for (uint32_t left = n->rest & ((1u << i) - 1); left; left &= left - 1) {
        uint32_t k = (uint32_t)__builtin_ctz(left);
        if (n->buckets[k] == n->buckets[i] &&
            hf_uuid_equal(n->w->requests[k].id, n->w->requests[i].id))
            return true;
    }
    return false;
}

// Looks the id up and claims a slot for it, or leaves the request to the general way.
static void claim(struct narrow *n, uint32_t i, uint64_t floor_ms, uint64_t ahead_ms)
{
    struct core_worker *w = n->w;
    struct stock *st = &w->core->stock;
    const struct core_request *r = &w->requests[i];
    uint64_t lo = hf_load_relaxed(&st->cells.cells[r->lines->handle].decision.lo);
    uint64_t ms = hf_uuid_ms(r->id);
    n->slots[i] = 0;
    n->rest |= 1u << i;
    if (ms < floor_ms || ms > ahead_ms || !(lo & STOCK_FLAG_ACTIVE) || is_behind(n, i))
        return;
    if (stock_word_available(lo) < r->lines->quantity) {
        uint64_t hash = n->buckets[i]; // the low bits are all that a look-up needs
        hf_fence_acquire(); // the cell was looked at before the id: see take_attempt
        if (r->verb != CORE_RESERVE || stock_find(&st->slots, r->id, hash))
            return;
        if (ms < hf_load_seq(&w->core->floor_ms)) // its outcome may just have been forgotten
            return;
        struct stock_take take = {r->lines->handle, 0, r->lines->quantity};
        n->rest &= ~(1u << i);
        answer_plain(&w->answers[i], CORE_OUT_REFUSED);
        take_refuse_told(w, r, &take, 1);
        return;
    }
    uint32_t index = stock_acquire(&w->thread.slots);
    struct stock_slot *slot = &st->slots.slots[index];
    slot_fill(slot, r, n->bodies[i], w->now_ms + r->ttl_ms);
    if (stock_insert(&st->slots, index, n->buckets[i])) {
        hf_store_relaxed(&slot->word, stock_word_with_state(slot->word, CORE_STATE_FREE));
        stock_release(&w->thread.slots, index);
        return;
    }
    n->slots[i] = index;
    n->rest &= ~(1u << i);
}

static void give_up(struct narrow *n, uint32_t i)
{
    slot_abandon(n->w, n->slots[i]);
    n->slots[i] = 0;
    n->rest |= 1u << i;
}

static void encode(struct narrow *n, uint32_t i)
{
    struct core_worker *w = n->w;
    const struct core_request *r = &w->requests[i];
    bool hold = r->verb == CORE_RESERVE;
    uint64_t *at = journal_reserve(w->producer, RECORD_BYTES);
    HF_ASSERT(at != NULL);
    uint64_t type = hold ? CORE_RECORD_HOLD : CORE_RECORD_ORDER;
    uint64_t role = hold ? CORE_ROLE_HOLD : CORE_ROLE_ORDER;
    const uint64_t words[8] = {
        (uint64_t)(RECORD_BYTES / 8) << 32 | type << 48,
        r->id.hi,
        r->id.lo,
        w->now_ms << 16 | 1,
        r->ttl_ms | UINT64_C(1) << 32 | (uint64_t)r->channel << 48,
        n->bodies[i],
        r->lines->handle | role << 32,
        (uint64_t)r->lines->quantity,
    };
    encode_words(at, words);
    w->credit -= RECORD_BYTES + (hold ? END_BYTES : 0);
    n->records[i] = w->record_count++;
}

// Several takes of one cell in this chunk are decided by one swap, in order.
static void decide_group(struct narrow *n, const uint8_t *members, uint32_t count)
{
    struct core_worker *w = n->w;
    struct stock_wish wishes[CORE_CHUNK];
    uint32_t cell = w->requests[members[0]].lines->handle;
    int64_t left;
    for (uint32_t k = 0; k < count; k++)
        wishes[k] = (struct stock_wish){w->requests[members[k]].lines->quantity, 0, false};
    stock_take_combined(&w->thread.taker, cell, wishes, count, &left);
    for (uint32_t k = 0; k < count; k++) {
        n->left[members[k]] = left;
        if (wishes[k].given)
            n->taken |= 1u << members[k];
        else
            give_up(n, members[k]); // found short only now: the general way refuses
    }
}

static void decide(struct narrow *n)
{
    struct core_worker *w = n->w;
    uint8_t first[64] = {0}, next[CORE_CHUNK] = {0}, members[CORE_CHUNK];
    for (uint32_t i = n->count; i-- > 0;) { // chains in arrival order
        uint8_t *head = &first[w->requests[i].lines->handle & 63];
        next[i] = *head;
        *head = (uint8_t)(i + 1);
    }
    uint32_t undone = 0;
    for (uint32_t i = 0; i < n->count; i++)
        undone |= n->slots[i] ? 1u << i : 0;
    for (uint32_t i = 0; i < n->count; i++) {
        if (!(undone & (1u << i)))
            continue;
        uint32_t count = 0, cell = w->requests[i].lines->handle;
        for (uint32_t at = i + 1; at; at = next[at - 1])
            if ((undone & (1u << (at - 1))) && w->requests[at - 1].lines->handle == cell)
                members[count++] = (uint8_t)(at - 1);
        for (uint32_t k = 0; k < count; k++)
            undone &= ~(1u << members[k]);
        if (count > 1) {
            decide_group(n, members, count);
        } else if (stock_take_one(&w->thread.taker, cell, w->requests[i].lines->quantity, false,
                                  &n->left[i])) {
            n->taken |= 1u << i;
        } else {
            give_up(n, i);
        }
    }
    // Apart from the swaps: a locked instruction waits for all that was stored before it.
    for (uint32_t left = n->taken; left; left &= left - 1)
        encode(n, (uint32_t)__builtin_ctz(left));
}

// Appended: publish, finish the slots, answer. Returns when the slot comes up next.
static uint64_t finish(struct narrow *n, uint32_t i, uint64_t ticket, uint64_t ended_at)
{
    struct core_worker *w = n->w;
    struct stock *st = &w->core->stock;
    const struct core_request *r = &w->requests[i];
    struct stock_slot *slot = &st->slots.slots[n->slots[i]];
    struct stock_cell *cell = &st->cells.cells[r->lines->handle];
    bool hold = r->verb == CORE_RESERVE;
    enum core_state state = hold ? CORE_STATE_HELD : CORE_STATE_COMMITTED;
    uint64_t time = w->now_ms + r->ttl_ms;
    if (hold)
        take_hint(cell, w->now_ms, time);
    else
        hf_add(&cell->committed, r->lines->quantity);
    hf_store_relaxed(&slot->ticket, ticket);
    hf_store_release(&slot->word, stock_word_with_state(slot->word, state)); // S0
    w->answers[i] = (struct core_answer){
        .outcome = CORE_OUT_DONE,
        .state = state,
        .durable = w->core->options.journal.mode == JOURNAL_SYNC,
        .version = 1,
        .ticket = ticket,
        .time_ms = time,
    };
    if (r->line_answers)
        *r->line_answers = (struct core_line_answer){.taken = r->lines->quantity,
                                                     .available = n->left[i]};
    return hold ? time : ended_at;
}

static void finish_all(struct narrow *n)
{
    struct core_worker *w = n->w;
    struct stock_wheels *wheels = &w->core->stock.wheels;
    uint32_t count, run[CORE_CHUNK], length = 0;
    if (w->record_count == 0)
        return;
    uint64_t lsn = journal_push(w->producer, &count), tick = 0;
    uint64_t ended_at = forget_at(w->core, w->now_ms);
    HF_ASSERT(count == w->record_count);
    w->record_count = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        if (!n->slots[i])
            continue;
        uint64_t at = finish(n, i, lsn + n->records[i], ended_at);
        if (length && at != tick) {
            stock_wheel_push_all(wheels, w->number, run, length, tick);
            length = 0;
        }
        run[length++] = n->slots[i];
        tick = at;
    }
    if (length)
        stock_wheel_push_all(wheels, w->number, run, length, tick);
}

bool narrow_chunk(struct core_worker *w, uint32_t count, uint32_t *rest)
{
    struct narrow n = {.w = w, .count = count};
    if (!prepare(&n))
        return false;
    uint64_t floor_ms = hf_load_seq(&w->core->floor_ms);
    uint64_t ahead_ms = w->now_ms + w->core->options.skew_ms;
    for (uint32_t i = 0; i < count; i++)
        claim(&n, i, floor_ms, ahead_ms);
    // The floor may have passed an id while it was looked up: its outcome may just be forgotten.
    uint64_t floor_now = hf_load_seq(&w->core->floor_ms);
    for (uint32_t i = 0; floor_now != floor_ms && i < count; i++)
        if (n.slots[i] && hf_uuid_ms(w->requests[i].id) < floor_now)
            give_up(&n, i);
    decide(&n);
    finish_all(&n);
    *rest = n.rest;
    return true;
}
