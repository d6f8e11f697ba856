// The built-in check: when nothing has been appended since the checkpointer caught up, what it
// replayed and what the engine decided from must be equal, cell by cell and hold by hold. What has
// ended is compared no more: ended ids leave the shadow.
//
// A decision that is between its swap and its push makes a passing difference. So one counts only
// when it is still there after many looks that are some time apart each: a thread that stands still
// so long is the watchdog's, and a whole machine that slept looks as often again when it wakes.
#include "core/core_internal.h"

#include "base/log.h"
#include "rcu/rcu.h"

#define PIECE        4096u // cells or slots of a step
#define LOOKS_MAX    100
#define LOOK_PACE_MS 20

static bool cell_equal(const struct core *c, const struct stock *shadow, uint32_t i)
{
    const struct stock_cell *a = &shadow->cells.cells[i];
    struct stock_reading r;
    if (!stock_cell_read(&c->stock.cells, i, &r))
        return false;
    return stock_word_available(a->decision.lo) == r.available && a->on_hand == r.on_hand &&
           a->committed == r.committed && a->external == r.external && a->safety == r.safety &&
           a->backorder == r.backorder && (a->decision.lo & STOCK_FLAG_ACTIVE) == r.flags;
}

// A start with restart_grace has moved deadlines, in memory only.
static bool deadline_equal(const struct core *c, const struct stock_slot *live,
                           const struct stock_slot *replayed)
{
    if (c->options.restart_grace_ms == 0)
        return live->time_channel == replayed->time_channel;
    return (live->time_channel & 0xffff) == (replayed->time_channel & 0xffff) &&
           live->time_channel >> 16 >= replayed->time_channel >> 16;
}

static bool hold_equal(const struct core *c, const struct stock_slot *live,
                       const struct stock_slot *replayed)
{
    return stock_word_state(live->word) == stock_word_state(replayed->word) &&
           stock_word_version(live->word) == stock_word_version(replayed->word) &&
           stock_word_kind(live->word) == stock_word_kind(replayed->word) &&
           deadline_equal(c, live, replayed) && live->body_hash == replayed->body_hash;
}

// A hold of one side is the other's, too.
static bool slot_equal(const struct core *c, const struct stock_slots *here,
                       const struct stock_slots *there, uint32_t i)
{
    struct stock_slot a, b;
    if (stock_word_state(hf_load_acquire(&here->slots[i].word)) != CORE_STATE_HELD)
        return true;
    if (!stock_slot_copy(here, i, &a))
        return false;
    if (stock_word_state(a.word) != CORE_STATE_HELD)
        return true;
    uint32_t at = stock_find(there, a.id, stock_hash(there, &a.id));
    bool live = here == &c->stock.slots;
    return at && stock_slot_copy(there, at, &b) && hold_equal(c, live ? &a : &b, live ? &b : &a);
}

static uint64_t slots_end(const struct stock_slots *s)
{
    uint64_t fresh = hf_load_relaxed(&s->slot_pool.fresh);
    return fresh > s->slot_pool.max ? s->slot_pool.max + UINT64_C(1) : fresh;
}

// Goes on with a part until it ends or *left is used up. False: a difference, and m->at is there.
static bool part_equal(struct core *c, const struct stock *shadow, struct core_compare *m,
                       uint32_t *left)
{
    const struct stock_slots *live = &c->stock.slots, *replayed = &shadow->slots;
    uint64_t end = m->part == CORE_COMPARE_CELLS    ? stock_directory_count(shadow->directory)
                   : m->part == CORE_COMPARE_SHADOW ? slots_end(replayed)
                                                    : slots_end(live);
    for (; m->at<end && * left> 0; m->at++, --*left) {
        uint32_t i = (uint32_t)m->at;
        if (!(m->part == CORE_COMPARE_CELLS    ? cell_equal(c, shadow, i)
              : m->part == CORE_COMPARE_SHADOW ? slot_equal(c, replayed, live, i)
                                               : slot_equal(c, live, replayed, i)))
            return false;
    }
    if (m->at >= end) {
        m->part++;
        m->at = m->part == CORE_COMPARE_CELLS ? 0 : 1;
    }
    return true;
}

static void begin(struct core_compare *m, uint64_t lsn)
{
    *m = (struct core_compare){.lsn = lsn, .part = CORE_COMPARE_CELLS};
}

static enum hf_status differs(struct core_compare *m, uint64_t now_ms)
{
    static const char *const parts[] = {"cell", "replayed_slot", "live_slot"};
    if (m->looks > 0 && now_ms - m->looked_ms < LOOK_PACE_MS)
        return HF_AGAIN;
    HF_ASSERT(m->part < CORE_COMPARE_DONE);
    m->looked_ms = now_ms;
    if (++m->looks < LOOKS_MAX)
        return HF_AGAIN;
    hf_log(HF_LOG_ERROR, "state_differs", "%s=%llu lsn=%llu", parts[m->part],
           (unsigned long long)m->at, (unsigned long long)m->lsn);
    return HF_DAMAGED;
}

enum hf_status compare_step(struct core *c, const struct stock *shadow, uint64_t lsn,
                            uint64_t now_ms, struct core_compare *m)
{
    if (journal_appended(c->journal) != lsn || m->lsn != lsn) {
        begin(m, lsn);
        return HF_AGAIN;
    }
    if (m->part == CORE_COMPARE_DONE)
        return HF_AGAIN;
    uint64_t from = m->at;
    unsigned part = m->part;
    uint32_t left = PIECE;
    bool equal = true;
    rcu_thread_register_once();
    rcu_step_begin();
    while (equal && left > 0 && m->part != CORE_COMPARE_DONE)
        equal = part_equal(c, shadow, m, &left);
    rcu_step_end();
    rcu_thread_unregister_once();
    if (journal_appended(c->journal) != lsn)
        return HF_AGAIN;
    if (m->at != from || m->part != part)
        m->looks = 0; // the difference before was a passing one
    if (!equal)
        return differs(m, now_ms);
    if (m->part == CORE_COMPARE_DONE)
        hf_store_relaxed(&c->compared, c->compared + 1);
    return HF_OK;
}
