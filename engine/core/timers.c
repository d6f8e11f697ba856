// The timers' step: deadlines, the id window, the floor, engine time.
//
// A slot comes up once a deadline or the end of its window has passed; what to do is read from the
// slot itself. Forgetting an id takes four steps: the floor that refuses it is durable; it is
// unlinked; a grace period passes, so that no look-up still stands on it; its slot is free.
#include "core/core_internal.h"

#include "rcu/rcu.h"

#define DUE_MAX 64 // slots looked at together: what they touch is fetched side by side

static uint32_t granularity(const struct core *c)
{
    return hf_load_relaxed(&c->window_ms) / 64 + 1;
}

// A quarter of the memory free again: the window grows back. Nearly none: it shrinks.
static void window_adapt(struct core *c, uint64_t now_ms)
{
    if (now_ms - c->resize_at_ms < granularity(c))
        return;
    c->resize_at_ms = now_ms;
    uint64_t unused = stock_pool_free(&c->stock.slots.slot_pool), max = c->options.ids_max;
    uint64_t window = c->window_ms;
    if (unused < max / 8)
        window -= window / 8;
    else if (unused > max / 4)
        window += window / 16 + 1;
    if (window < c->options.window_min_ms)
        window = c->options.window_min_ms;
    if (window > c->options.window_ms)
        window = c->options.window_ms;
    hf_store_relaxed(&c->window_ms, (uint32_t)window);
}

static void floor_append(struct core *c, struct core_worker *w, uint64_t floor)
{
    struct encode e = {.type = CORE_RECORD_FLOOR, .body_hash = floor, .time_ms = w->now_ms};
    if (!worker_afford(w, record_bytes(0), 0))
        return; // ids stay a little longer
    hf_store_seq(&c->floor_ms, floor); // from here on refused; forgotten when durable
    encode_record(w, &e);
    uint32_t count;
    c->floor_ticket = journal_push(w->producer, &count);
    w->record_count = 0;
}

static void floor_move(struct core *c, struct core_worker *w)
{
    if (c->floor_ticket != 0) {
        if (journal_durable(c->journal) < c->floor_ticket)
            return;
        c->floor_durable_ms = c->floor_ms;
        c->floor_ticket = 0;
    }
    uint64_t window = hf_load_relaxed(&c->window_ms);
    if (w->now_ms < window)
        return;
    uint64_t floor = w->now_ms - window;
    if (floor >= c->floor_ms + granularity(c))
        floor_append(c, w, floor);
}

static void forget_finish(struct core *c, struct core_worker *w)
{
    if (c->forget_count == 0)
        return;
    rcu_wait_grace();
    for (uint32_t i = 0; i < c->forget_count; i++) {
        struct stock_slot *slot = &c->stock.slots.slots[c->forget[i]];
        if (i + 16 < c->forget_count)
            hf_prefetch_write(&c->stock.slots.slots[c->forget[i + 16]]);
        stock_lines_drop(&c->stock.slots, &w->thread.blocks, slot,
                         stock_word_flags(hf_load_relaxed(&slot->word)));
        uint64_t word = hf_load_relaxed(&slot->word);
        hf_store_relaxed(&slot->word, stock_word_make(word, CORE_STATE_FREE, KIND_NONE, 0, 0));
        stock_release(&w->thread.slots, c->forget[i]);
    }
    hf_store_relaxed(&w->stats.forgotten, w->stats.forgotten + c->forget_count);
    c->forget_count = 0;
    stock_cache_flush(&w->thread.slots); // this thread only frees: let others have them
    stock_cache_flush(&w->thread.blocks);
}

static void forget_slot(struct core *c, struct core_worker *w, uint32_t index, uint64_t word)
{
    struct stock_slot *slot = &c->stock.slots.slots[index];
    if (stock_word_state(word) != CORE_STATE_FREE) {
        // CHANGING keeps a late cancel or retake away; FREE lets look-ups pass by.
        uint64_t expected = word;
        if (!hf_cas(&slot->word, &expected, stock_word_with_state(word, CORE_STATE_FREE))) {
            stock_wheel_push(&c->stock.wheels, w->number, index, w->now_ms + 1);
            return;
        }
    }
    stock_unlink(&c->stock.slots, index);
    if (c->forget_count == 0)
        c->forget_since_ms = w->now_ms;
    c->forget[c->forget_count++] = index;
}

// One slot whose time has come.
static void slot_due(struct core *c, struct core_worker *w, uint32_t index)
{
    struct stock_slot *slot = &c->stock.slots.slots[index];
    uint64_t word = hf_load_acquire(&slot->word);
    uint64_t time = stock_slot_time(slot), again = w->now_ms + 1;
    switch ((enum core_state)stock_word_state(word)) {
    case CORE_STATE_FREE: // abandoned
        forget_slot(c, w, index, word);
        return;
    case CORE_STATE_HELD:
        if (time > w->now_ms) {
            again = time;
        } else if (end_expire(w, index)) {
            if (w->now_ms - time > c->expiry_lag_ms_max)
                hf_store_relaxed(&c->expiry_lag_ms_max, w->now_ms - time);
            again = forget_at(c, w->now_ms);
        }
        break;
    case CORE_STATE_COMMITTED:
    case CORE_STATE_RELEASED:
    case CORE_STATE_EXPIRED:
    case CORE_STATE_REJECTED:
        if (time + c->options.skew_ms < c->floor_durable_ms) {
            forget_slot(c, w, index, word);
            return;
        }
        again = forget_at(c, time);
        if (again <= w->now_ms)
            again = w->now_ms + granularity(c);
        break;
    default: // somebody is at it
        break;
    }
    stock_wheel_push(&c->stock.wheels, w->number, index, again);
}

// What a slot that comes up will touch next: its cell when it expires, its chain when it goes.
static void due_fetch(const struct core *c, uint32_t index)
{
    const struct stock_slot *s = &c->stock.slots.slots[index];
    unsigned state = stock_word_state(hf_load_relaxed(&s->word));
    if (state != CORE_STATE_HELD) {
        hf_prefetch_write(stock_bucket(&c->stock.slots, hf_hash_uuid(&s->id)));
        return;
    }
    uint32_t cell = hf_load_relaxed(&s->a);
    if (cell < c->stock.sizes.cells)
        hf_prefetch_write(&c->stock.cells.cells[cell]);
}

static uint32_t due_collect(struct core *c, uint32_t *due, uint64_t now_ms, uint32_t max)
{
    uint32_t n = 0;
    while (n < max) {
        uint32_t slot = stock_wheel_next(&c->stock.wheels, now_ms);
        if (!slot)
            break;
        hf_prefetch_write(&c->stock.slots.slots[slot]);
        due[n++] = slot;
    }
    for (uint32_t i = 0; i < n; i++)
        due_fetch(c, due[i]);
    // Slots that go: the head of their chain, which is in the cache by now.
    for (uint32_t i = 0; i < n; i++) {
        const struct stock_slot *s = &c->stock.slots.slots[due[i]];
        if (stock_word_state(hf_load_relaxed(&s->word)) != CORE_STATE_HELD)
            hf_prefetch_write(&c->stock.slots.slots[hf_load_relaxed(
                stock_bucket(&c->stock.slots, hf_hash_uuid(&s->id)))]);
    }
    return n;
}

static void forget_early(struct core *c)
{
    if (stock_pool_free(&c->stock.slots.slot_pool) < c->options.ids_max / 8 &&
        c->window_ms > c->options.window_min_ms)
        stock_wheel_ahead(&c->stock.wheels);
}

enum hf_status core_step_timers(struct core *c, uint64_t now_ms, uint32_t budget)
{
    struct core_worker *w = c->timers;
    enum hf_status status = core_status(c);
    if (status == HF_OK && (status = core_time_step(c)) != HF_OK)
        core_stop(c, status);
    if (status != HF_OK)
        return status;
    uint32_t done = 0, due[DUE_MAX];
    window_adapt(c, now_ms);
    while (done < budget) {
        worker_step_begin(w, now_ms);
        if (done == 0)
            floor_move(c, w);
        uint32_t n = due_collect(c, due, now_ms, budget - done < DUE_MAX ? budget - done : DUE_MAX);
        if (c->forget_count + n <= CORE_FORGET_MAX)
            for (uint32_t i = 0; i < n; i++)
                slot_due(c, w, due[i]);
        else
            for (uint32_t i = 0; i < n; i++)
                stock_wheel_push(&c->stock.wheels, w->number, due[i], now_ms);
        worker_flush(w);
        worker_step_end(w);
        done += n;
        if (n == 0)
            break;
        if (c->forget_count + DUE_MAX > CORE_FORGET_MAX)
            forget_finish(c, w);
    }
    if (done == 0)
        forget_early(c);
    bool scarce = stock_pool_free(&c->stock.slots.slot_pool) < c->options.ids_max / 4;
    if (c->forget_count && (scarce || now_ms - c->forget_since_ms >= 20))
        forget_finish(c, w);
    return done ? HF_OK : HF_AGAIN;
}

bool core_watchdog(struct core *c, uint32_t ticks)
{
    bool stuck = false;
    for (uint32_t i = 0; i <= c->options.workers_max; i++) {
        struct core_worker *w = &c->workers[i];
        uint64_t beat = hf_load_relaxed(&w->beat);
        bool same = (beat & 1) && beat == w->beat_seen;
        w->beat_seen = beat;
        w->beat_ticks = same ? w->beat_ticks + 1 : 0;
        stuck |= w->beat_ticks >= ticks;
    }
    return stuck;
}
