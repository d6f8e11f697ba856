// Slots whose time has come, a batch at a time: what they touch is fetched side by side, and the
// commonest two kinds take a straight pass.
//
//   Holds of one line, past their deadline: win the slot (HELD -> ENDING), append all ends with one
//   push, then publish the stock, then the final state. The order and the record are end_expire's
//   in end.c, which has all other holds; tests hold both against each other.
//
//   Ended ids that the durable floor has passed: freed for look-ups and taken off the index here;
//   the caller waits for the grace period and gives them to the pool.
#include "core/core_internal.h"

#define RECORD_BYTES                                                                               \
    ((uint32_t)sizeof(struct core_record) + (uint32_t)sizeof(struct core_record_line))

struct due {
    struct core *c;
    struct core_worker *w;
    uint64_t floor_ms; // outcomes before it may go
    uint32_t holds, leaving, others;
    uint32_t hold[CORE_DUE_MAX], leave[CORE_DUE_MAX], other[CORE_DUE_MAX];
    uint64_t word[CORE_DUE_MAX];                         // of hold: as it was found
    uint32_t cell[CORE_DUE_MAX], quantity[CORE_DUE_MAX]; // of hold, once it is won
    uint32_t *bucket[CORE_DUE_MAX];                      // of leave
};

static struct stock_slot *slot_at(const struct due *d, uint32_t index)
{
    return &d->c->stock.slots.slots[index];
}

// The word's state, when nothing else is said by the flags: a line in place, an id with its time.
static bool plain_hold(const struct stock_slot *s, uint64_t word, uint64_t now_ms)
{
    return stock_word_state(word) == CORE_STATE_HELD && stock_word_flags(word) == 0 &&
           stock_slot_time(s) <= now_ms && hf_load_relaxed(&s->b) != 0;
}

// After the load of its word: the time belongs to that word, or to one that has replaced it.
static bool outcome_is_old(const struct due *d, const struct stock_slot *s)
{
    return stock_slot_time(s) + d->c->options.skew_ms < d->floor_ms;
}

static void sort_out(struct due *d, const uint32_t *slots, uint32_t count)
{
    struct stock *st = &d->c->stock;
    for (uint32_t i = 0; i < count; i++) {
        struct stock_slot *s = slot_at(d, slots[i]);
        uint64_t word = hf_load_acquire(&s->word); // S1
        uint32_t cell = hf_load_relaxed(&s->a);
        if (plain_hold(s, word, d->w->now_ms) && cell < st->sizes.cells) {
            hf_prefetch_write(&st->cells.cells[cell]);
            d->word[d->holds] = word;
            d->hold[d->holds++] = slots[i];
        } else if (stock_word_state(word) == CORE_STATE_FREE ||
                   (stock_word_state(word) >= CORE_STATE_COMMITTED && outcome_is_old(d, s))) {
            d->bucket[d->leaving] = stock_bucket(&st->slots, stock_hash(&st->slots, &s->id));
            hf_prefetch_write(d->bucket[d->leaving]);
            d->leave[d->leaving++] = slots[i];
        } else {
            d->other[d->others++] = slots[i];
        }
    }
}

// ------------------------------------------------------------------------------- ends

// Wins hold k; false: somebody else has it, so it is looked at again later.
static bool win(struct due *d, uint32_t k)
{
    struct stock_slot *s = slot_at(d, d->hold[k]);
    uint64_t expected = d->word[k];
    if (!stock_slot_win(s, &expected, CORE_STATE_ENDING))
        return false;
    d->cell[k] = hf_load_relaxed(&s->a);
    d->quantity[k] = hf_load_relaxed(&s->b);
    uint64_t *at = journal_reserve(d->w->producer, RECORD_BYTES);
    HF_ASSERT(at != NULL); // there was room
    const uint64_t words[8] = {
        (uint64_t)(RECORD_BYTES / 8) << 32 | (uint64_t)CORE_RECORD_EXPIRE << 48,
        s->id.hi,
        s->id.lo,
        d->w->now_ms << 16 | (uint16_t)(stock_word_version(expected) + 1),
        UINT64_C(1) << 32 | (s->time_channel & 0xffff) << 48,
        0,
        d->cell[k] | (uint64_t)CORE_ROLE_GIVE_BACK << 32,
        d->quantity[k],
    };
    encode_words(at, words);
    return true;
}

// Appended: publish hold k, and its final state.
static void publish(struct due *d, uint32_t k, uint64_t ticket)
{
    struct core *c = d->c;
    struct stock_slot *s = slot_at(d, d->hold[k]);
    uint64_t word = d->word[k], now_ms = d->w->now_ms, deadline = stock_slot_time(s);
    stock_give(&c->stock.cells.cells[d->cell[k]], d->quantity[k]);
    if (now_ms - deadline > c->expiry_lag_ms_max)
        hf_store_relaxed(&c->expiry_lag_ms_max, now_ms - deadline);
    hf_store_relaxed(&s->ticket, ticket);
    hf_store_relaxed(&s->time_channel, now_ms << 16 | (s->time_channel & 0xffff));
    hf_store_release(&s->word, // S0
                     stock_word_make(word, CORE_STATE_EXPIRED, stock_word_kind(word), 0,
                                     (uint16_t)(stock_word_version(word) + 1)));
}

static void holds_end(struct due *d)
{
    struct core_worker *w = d->w;
    uint32_t won = 0, count;
    bool room = worker_has_room(w, (uint64_t)d->holds * RECORD_BYTES);
    for (uint32_t i = 0; i < d->holds; i++) {
        d->hold[won] = d->hold[i];
        d->word[won] = d->word[i];
        if (room && win(d, won))
            won++;
        else
            d->other[d->others++] = d->hold[i];
    }
    if (won == 0)
        return;
    uint64_t lsn = journal_push(w->producer, &count);
    HF_ASSERT(count == won);
    // What each had kept back, less what its record took.
    w->credit += (uint64_t)won * (end_bytes(1) - RECORD_BYTES);
    for (uint32_t k = 0; k < won; k++)
        publish(d, k, lsn + k);
    stock_wheel_push_all(&d->c->stock.wheels, w->number, d->hold, won, forget_at(d->c, w->now_ms));
    hf_store_relaxed(&w->stats.expired, w->stats.expired + won); // core_metrics reads it
}

// ------------------------------------------------------------------------------- ids that go

// The CHANGING of a late cancel or retake keeps the slot, and so does the outcome that one has
// renewed since the slot was sorted; FREE lets look-ups pass by.
static bool set_free(struct due *d, uint32_t index)
{
    struct stock_slot *s = slot_at(d, index);
    uint64_t word = hf_load_acquire(&s->word);
    unsigned state = stock_word_state(word);
    if (state != CORE_STATE_FREE && (state < CORE_STATE_COMMITTED || !outcome_is_old(d, s)))
        return false;
    uint64_t freed = stock_word_make(word, CORE_STATE_FREE, KIND_NONE, 0, 0);
    if (!hf_cas(&s->word, &word, freed))
        return false;
    hf_fence_release(); // as in stock_slot_win
    stock_lines_drop(&d->c->stock.slots, &d->w->thread.blocks, s, stock_word_flags(word));
    return true;
}

static uint32_t ids_leave(struct due *d, uint32_t *gone)
{
    struct stock_slots *slots = &d->c->stock.slots;
    for (uint32_t i = 0; i < d->leaving; i++) {
        uint32_t head = hf_load_relaxed(d->bucket[i]);
        if (head != d->leave[i])
            hf_prefetch_write(&slots->slots[head]); // the chain is walked from there
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->leaving; i++) {
        if (!set_free(d, d->leave[i])) {
            d->other[d->others++] = d->leave[i];
            continue;
        }
        stock_unlink(slots, d->leave[i]);
        gone[count++] = d->leave[i];
    }
    return count;
}

// ------------------------------------------------------------------------------- the others

static uint64_t again_at(const struct core *c, uint64_t outcome_ms, uint64_t now_ms)
{
    uint64_t again = forget_at(c, outcome_ms);
    return again > now_ms ? again : now_ms + hf_load_relaxed(&c->window_ms) / 64 + 1;
}

// One slot, whatever it is by now; what it was found to be may have changed.
static void other_due(struct due *d, uint32_t index)
{
    struct core *c = d->c;
    struct core_worker *w = d->w;
    struct stock_slot *slot = slot_at(d, index);
    uint64_t word = hf_load_acquire(&slot->word); // S1
    uint64_t time = stock_slot_time(slot), again = w->now_ms + 1;
    unsigned state = stock_word_state(word);
    if (state == CORE_STATE_HELD && time > w->now_ms) {
        again = time;
    } else if (state == CORE_STATE_HELD) {
        if (end_expire(w, index)) {
            if (w->now_ms - time > c->expiry_lag_ms_max)
                hf_store_relaxed(&c->expiry_lag_ms_max, w->now_ms - time);
            again = forget_at(c, w->now_ms);
        }
    } else if (state >= CORE_STATE_COMMITTED && time + c->options.skew_ms >= d->floor_ms) {
        again = again_at(c, time, w->now_ms);
    } // else somebody is at it
    stock_wheel_push(&c->stock.wheels, w->number, index, again);
}

uint32_t due_pass(struct core_worker *w, const uint32_t *slots, uint32_t count, uint32_t *gone)
{
    struct due d = {.c = w->core, .w = w, .floor_ms = w->core->floor_durable_ms};
    sort_out(&d, slots, count);
    holds_end(&d);
    uint32_t left = ids_leave(&d, gone);
    for (uint32_t i = 0; i < d.others; i++)
        other_due(&d, d.other[i]);
    worker_flush(w);
    return left;
}
