// The timers' step: deadlines, the floor, ids that are forgotten, engine time.
//
// A slot comes up once a deadline or the end of its window has passed; what to do is read from the
// slot itself (due.c). Forgetting an id takes four steps: the floor that refuses it is durable; it
// is freed and unlinked; a grace period passes, so that no look-up still stands on it; the pool
// gets it back.
#include "core/core_internal.h"

#include "rcu/rcu.h"

static void floor_append(struct core *c, struct core_worker *w, uint64_t floor)
{
    struct encode e = {.type = CORE_RECORD_FLOOR, .body_hash = floor, .time_ms = w->now_ms};
    if (!worker_afford(w, record_bytes(0), 0))
        return;                        // ids stay a little longer
    hf_store_seq(&c->floor_ms, floor); // from here on refused; told, and forgotten, when durable
    encode_record(w, &e);
    uint32_t count;
    hf_store_release(&c->floor_ticket, journal_push(w->producer, &count)); // F1
    w->record_count = 0;
}

static void floor_move(struct core *c, struct core_worker *w)
{
    if (c->floor_ticket != 0) {
        if (journal_durable(c->journal) < c->floor_ticket)
            return;
        hf_store_release(&c->floor_durable_ms, c->floor_ms);
        hf_store_release(&c->floor_ticket, 0u); // F1
    }
    uint64_t window = hf_load_relaxed(&c->window_ms);
    if (w->now_ms < window)
        return;
    uint64_t floor = w->now_ms - window;
    if (floor >= c->floor_ms + window_granularity(c))
        floor_append(c, w, floor);
}

static void forget_finish(struct core *c, struct core_worker *w)
{
    struct stock_wheels *wheels = &c->stock.wheels;
    if (c->forget_count == 0 && wheels->retired_count < STOCK_WHEEL_RETIRED)
        return;
    rcu_wait_grace();
    stock_wheel_reclaim(wheels);
    for (uint32_t i = 0; i < c->forget_count; i++)
        stock_release(&w->thread.slots, c->forget[i]);
    hf_store_relaxed(&w->stats.forgotten, w->stats.forgotten + c->forget_count);
    c->forget_count = 0;
    stock_cache_flush(&w->thread.slots); // this thread only frees: let others have them
    stock_cache_flush(&w->thread.blocks);
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
    return n;
}

enum hf_status core_step_timers(struct core *c, uint64_t now_ms, uint32_t budget)
{
    struct core_worker *w = c->timers;
    enum hf_status status = core_status(c);
    if (status == HF_OK && (status = core_time_step(c)) != HF_OK)
        core_stop(c, status);
    if (status != HF_OK)
        return status;
    uint32_t done = 0, due[CORE_DUE_MAX];
    bool more = true;
    window_step(c, now_ms);
    while (done < budget) {
        worker_step_begin(w, now_ms);
        if (done == 0)
            floor_move(c, w);
        uint32_t left = budget - done, max = left < CORE_DUE_MAX ? left : CORE_DUE_MAX;
        uint32_t n = due_collect(c, due, now_ms, max);
        uint32_t gone = due_pass(w, due, n, &c->forget[c->forget_count]);
        if (gone && c->forget_count == 0)
            c->forget_since_ms = now_ms;
        c->forget_count += gone;
        worker_step_end(w);
        done += n;
        more = n > 0;
        if (!more)
            break;
        if (c->forget_count + CORE_DUE_MAX > CORE_FORGET_MAX ||
            c->stock.wheels.retired_count >= STOCK_WHEEL_RETIRED)
            forget_finish(c, w);
    }
    if (!more)
        more = window_sweep(c); // what it finds comes first in the next step
    bool scarce = stock_pool_free(&c->stock.slots.slot_pool) < c->options.ids_max / 4;
    if (c->forget_count && (scarce || now_ms - c->forget_since_ms >= 20))
        forget_finish(c, w);
    return done || more ? HF_OK : HF_AGAIN;
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
