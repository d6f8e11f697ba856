// Threads link, find and give up a few ids in very few chains, while one thread unlinks and waits
// for grace periods: an id is linked at most once, is found as long as its slot is somebody's, and
// a slot that a look-up stands on keeps its id.
#include "torture/torture.h"

#include "rcu/rcu.h"
#include "stock/stock.h"

#include <sched.h>
#include <string.h>

#define THREADS 4 // the last one unlinks
#define LINKERS (THREADS - 1)
#define IDS     12
#define CHAINS  2
#define SLOTS   160 // few, so that chains are short and indexes come back soon
#define PENDING 1   // any state that is not FREE

struct world {
    struct stock stock;
    struct stock_thread threads[THREADS];
    struct hf_uuid ids[IDS];
    _Atomic uint32_t owner[IDS]; // slot that has it
    _Atomic bool linked[SLOTS + 1];
    pthread_mutex_t lock; // of gone
    uint32_t gone[SLOTS], gone_count;
    _Atomic uint32_t linkers;
    _Atomic uint64_t links, met, unlinked;
};

static struct stock_slot *slot_of(struct world *w, uint32_t index)
{
    return &w->stock.slots.slots[index];
}

static void id_check(struct world *w, uint32_t index, uint32_t k)
{
    const struct stock_slot *s = slot_of(w, index);
    struct hf_uuid id = {hf_load_relaxed(&s->id.hi), hf_load_relaxed(&s->id.lo)};
    torture_check(hf_uuid_equal(id, w->ids[k]), "slot %u has another id under a look-up", index);
}

static uint32_t slot_make(struct world *w, struct stock_thread *t, uint32_t k)
{
    uint32_t index = stock_acquire(&t->slots);
    if (index == 0)
        return 0;
    torture_check(!w->linked[index], "slot %u is linked and free", index);
    struct stock_slot *s = slot_of(w, index);
    uint64_t word = hf_load_relaxed(&s->word) + (UINT64_C(1) << 32);
    hf_store_relaxed(&s->id.hi, w->ids[k].hi);
    hf_store_relaxed(&s->id.lo, w->ids[k].lo);
    hf_store_relaxed(&s->word, stock_word_with_state(word, PENDING));
    return index;
}

static void slot_free(struct world *w, uint32_t index)
{
    struct stock_slot *s = slot_of(w, index);
    hf_store_release(&s->word, stock_word_with_state(hf_load_relaxed(&s->word), 0));
}

// Ours for a while: found by everybody, then given up and handed to the unlinker.
static void own(struct world *w, uint32_t index, uint32_t k, uint64_t hash)
{
    uint32_t before = atomic_exchange(&w->owner[k], index);
    torture_check(before == 0, "id %u is linked twice: slots %u and %u", k, before, index);
    w->linked[index] = true;
    w->links++;
    for (uint64_t turns = torture_below(4); turns > 0; turns--) {
        uint32_t found = stock_find(&w->stock.slots, w->ids[k], hash);
        torture_check(found == index, "id %u is slot %u's and slot %u was found", k, index, found);
    }
    w->owner[k] = 0;
    slot_free(w, index);
    pthread_mutex_lock(&w->lock);
    w->gone[w->gone_count++] = index;
    pthread_mutex_unlock(&w->lock);
}

static void link_step(struct world *w, struct stock_thread *t)
{
    uint32_t k = (uint32_t)torture_below(IDS);
    uint64_t hash = stock_hash(&w->stock.slots, &w->ids[k]);
    uint32_t found = torture_below(2) ? stock_find(&w->stock.slots, w->ids[k], hash) : 0;
    if (found) {
        id_check(w, found, k);
        for (uint64_t turns = torture_below(3); turns > 0; turns--)
            sched_yield();
        id_check(w, found, k);
        return;
    }
    uint32_t index = slot_make(w, t, k);
    if (index == 0)
        return;
    found = stock_insert(&w->stock.slots, index, hash);
    if (found == 0) {
        own(w, index, k, hash);
        return;
    }
    w->met++;
    id_check(w, found, k);
    slot_free(w, index);
    stock_release(&t->slots, index);
}

static void linker(struct world *w, uint32_t self)
{
    while (torture_time_left()) {
        rcu_step_begin();
        for (uint64_t steps = 1 + torture_below(8); steps > 0; steps--)
            link_step(w, &w->threads[self]);
        rcu_step_end();
    }
    stock_cache_flush(&w->threads[self].slots);
    w->linkers--;
}

static uint32_t gone_take(struct world *w, uint32_t *gone)
{
    pthread_mutex_lock(&w->lock);
    uint32_t n = w->gone_count;
    memcpy(gone, w->gone, n * sizeof *gone);
    w->gone_count = 0;
    pthread_mutex_unlock(&w->lock);
    return n;
}

static void unlinker(struct world *w, uint32_t self)
{
    static uint32_t gone[SLOTS];
    uint32_t n;
    bool last;
    do {
        last = w->linkers == 0;
        n = gone_take(w, gone);
        for (uint32_t i = n; i > 1; i--) { // in any order
            uint32_t j = (uint32_t)torture_below(i), at = gone[j];
            gone[j] = gone[i - 1];
            gone[i - 1] = at;
        }
        rcu_step_begin();
        for (uint32_t i = 0; i < n; i++)
            stock_unlink(&w->stock.slots, gone[i]);
        rcu_step_end();
        rcu_wait_grace();
        for (uint32_t i = 0; i < n; i++) {
            torture_check(w->linked[gone[i]], "slot %u came twice", gone[i]);
            w->linked[gone[i]] = false;
            stock_release(&w->threads[self].slots, gone[i]);
        }
        stock_cache_flush(&w->threads[self].slots);
        w->unlinked += n;
        if (n == 0)
            sched_yield();
    } while (!last || n > 0);
}

static void body(void *ctx, uint32_t self)
{
    rcu_thread_register_once();
    if (self == THREADS - 1)
        unlinker(ctx, self);
    else
        linker(ctx, self);
    rcu_thread_unregister_once();
}

int main(int argc, char **argv)
{
    static struct world w;
    const struct stock_sizes sizes = {.cells = 1, .ids = SLOTS, .blocks = 1, .threads = THREADS};
    torture_begin("torture_ids", argc, argv);
    torture_check(stock_init(&w.stock, &sizes) == HF_OK, "no memory");
    w.stock.slots.bucket_mask = CHAINS - 1;
    pthread_mutex_init(&w.lock, NULL);
    w.linkers = LINKERS;
    for (uint32_t i = 0; i < THREADS; i++)
        stock_thread_init(&w.stock, &w.threads[i], i);
    for (uint32_t i = 0; i < IDS; i++)
        w.ids[i] = hf_uuid_v7(1700000000000 + i, torture_random(), torture_random());
    torture_run(THREADS, body, &w);
    for (uint32_t i = 0; i < CHAINS; i++)
        torture_check(w.stock.slots.buckets[i] == 0, "chain %u is not empty", i);
    torture_check(stock_pool_free(&w.stock.slots.slot_pool) == SLOTS, "%llu of %d slots came back",
                  (unsigned long long)stock_pool_free(&w.stock.slots.slot_pool), SLOTS);
    torture_check(w.links == w.unlinked && w.links > 0 && w.met > 0, "%llu linked, %llu unlinked",
                  (unsigned long long)w.links, (unsigned long long)w.unlinked);
    torture_end("%llu linked, %llu met another's", (unsigned long long)w.links,
                (unsigned long long)w.met);
    stock_fini(&w.stock);
    return 0;
}
