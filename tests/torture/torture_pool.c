// Threads acquire and release over a pool that is too small for them: no index is out twice, none
// is lost, and what the pool says is free is right when it stands still.
#include "torture/torture.h"

#include "stock/slot.h"

#include <stdlib.h>
#include <string.h>

#define THREADS 4
#define MAX     1000 // not a multiple of the chunk
#define MINE    400

struct world {
    struct stock_pool pool;
    struct stock_slot *slots;
    struct stock_cache caches[THREADS];
    _Atomic uint32_t owner[MAX + 1]; // thread + 1
    _Atomic uint64_t acquired, empty;
};

static uint32_t take(struct world *w, uint32_t self)
{
    uint32_t index = stock_acquire(&w->caches[self]), nobody = 0;
    if (index == 0) {
        w->empty++;
        return 0;
    }
    torture_check(index <= MAX, "index %u of %u", index, MAX);
    torture_check(atomic_compare_exchange_strong(&w->owner[index], &nobody, self + 1),
                  "index %u is out twice: %u and %u", index, nobody - 1, self);
    // The object is its owner's: whatever it holds now must not disturb the pool.
    hf_store_relaxed(&w->slots[index].id.hi, torture_random());
    hf_store_relaxed(&w->slots[index].id.lo, torture_random());
    hf_store_relaxed(&w->slots[index].next, (uint32_t)torture_random());
    w->acquired++;
    return index;
}

static void drop(struct world *w, uint32_t self, uint32_t index)
{
    torture_check(atomic_exchange(&w->owner[index], 0) == self + 1, "index %u changed hands",
                  index);
    stock_release(&w->caches[self], index);
}

static void churn(void *ctx, uint32_t self)
{
    struct world *w = ctx;
    uint32_t mine[MINE], count = 0;
    while (torture_time_left()) {
        uint32_t want = (uint32_t)torture_below(MINE + 1);
        while (count < want) {
            uint32_t index = take(w, self);
            if (index == 0)
                break;
            mine[count++] = index;
        }
        want = (uint32_t)torture_below(count + 1);
        while (count > want) {
            uint32_t at = (uint32_t)torture_below(count);
            drop(w, self, mine[at]);
            mine[at] = mine[--count];
        }
        if (torture_below(8) == 0)
            stock_cache_flush(&w->caches[self]);
        if (torture_below(8) == 0 && stock_cache_ensure(&w->caches[self], STOCK_POOL_CHUNK))
            torture_check(w->caches[self].count >= STOCK_POOL_CHUNK, "ensured too few");
        // Unused and stacked are read apart: a chunk on its way may be counted twice.
        torture_check(stock_pool_free(&w->pool) <= MAX + THREADS * 2 * STOCK_POOL_CHUNK,
                      "more is free than there is");
    }
    while (count > 0)
        drop(w, self, mine[--count]);
    stock_cache_flush(&w->caches[self]);
}

int main(int argc, char **argv)
{
    static struct world w;
    torture_begin("torture_pool", argc, argv);
    w.slots = aligned_alloc(64, (MAX + 1) * sizeof *w.slots);
    memset(w.slots, 0, (MAX + 1) * sizeof *w.slots);
    stock_pool_init(&w.pool, w.slots, sizeof *w.slots, offsetof(struct stock_slot, id), MAX);
    for (uint32_t i = 0; i < THREADS; i++)
        w.caches[i].pool = &w.pool;
    torture_run(THREADS, churn, &w);
    uint64_t said = stock_pool_free(&w.pool), acquired = w.acquired, empty = w.empty;
    torture_check(said == MAX, "%llu of %d are said to be free", (unsigned long long)said, MAX);
    uint32_t out = 0;
    while (take(&w, 0) != 0)
        out++;
    torture_check(out == MAX, "%u of %u came back", out, MAX);
    torture_check(empty > 0, "the pool never ran dry");
    torture_end("%llu acquired, %llu times empty", (unsigned long long)acquired,
                (unsigned long long)empty);
    free(w.slots);
    return 0;
}
