#include "stock/pool.h"

#include "base/status.h"

void stock_pool_init(struct stock_pool *p, void *base, uint32_t stride, uint32_t offset,
                     uint32_t max)
{
    uint32_t chunk = (stride - offset) / 4 - 1; // next and count take the place of two others
    HF_ASSERT(stride >= offset + 12);
    *p = (struct stock_pool){.base = base,
                             .stride = stride,
                             .offset = offset,
                             .chunk = chunk < STOCK_POOL_CHUNK ? chunk : STOCK_POOL_CHUNK,
                             .max = max,
                             .fresh = 1};
}

static inline struct stock_chunk *chunk_of(const struct stock_pool *p, uint32_t index)
{
    return (struct stock_chunk *)(p->base + (uint64_t)index * p->stride + p->offset);
}

static struct hf_word128 head_read(const struct stock_pool *p)
{
    struct hf_word128 w;
    w.hi = hf_load_acquire(&p->head.hi);
    w.lo = hf_load_acquire(&p->head.lo);
    return w;
}

static uint32_t chunk_pop(struct stock_pool *p)
{
    for (;;) {
        struct hf_word128 w = head_read(p);
        if (w.lo == 0)
            return 0;
        // Stale when another thread popped it: then the counter has moved and the swap fails.
        uint32_t below = hf_load_relaxed(&chunk_of(p, (uint32_t)w.lo)->next);
        struct hf_word128 next = {below, w.hi + 1};
        if (hf_cas16(&p->head, w, next)) {
            hf_prefetch(chunk_of(p, below)); // the next pop reads it
            return (uint32_t)w.lo;
        }
    }
}

static void chunk_push(struct stock_pool *p, uint32_t first, int64_t count)
{
    hf_add(&p->stacked, count); // before it can be popped: the sum never falls below zero
    for (;;) {
        struct hf_word128 w = head_read(p);
        hf_store_relaxed(&chunk_of(p, first)->next, (uint32_t)w.lo);
        struct hf_word128 next = {first, w.hi + 1};
        if (hf_cas16(&p->head, w, next))
            return;
    }
}

uint32_t stock_pool_refill(struct stock_cache *c)
{
    struct stock_pool *p = c->pool;
    if (c->kept > 0 && stock_pool_free(p) <= c->kept)
        return 0;
    uint32_t first = chunk_pop(p);
    if (first) {
        const struct stock_chunk *chunk = chunk_of(p, first);
        uint32_t others = hf_load_relaxed(&chunk->count);
        for (uint32_t i = 0; i < others; i++)
            c->index[c->count++] = hf_load_relaxed(&chunk->others[i]);
        hf_add(&p->stacked, -(int64_t)(others + 1));
        return first;
    }
    if (hf_load_relaxed(&p->fresh) > p->max)
        return 0;
    uint64_t from = hf_add(&p->fresh, (uint64_t)STOCK_POOL_CHUNK);
    for (uint64_t i = from + STOCK_POOL_CHUNK; i-- > from;)
        if (i <= p->max)
            c->index[c->count++] = (uint32_t)i;
    return c->count ? c->index[--c->count] : 0;
}

void stock_pool_spill(struct stock_cache *c)
{
    struct stock_pool *p = c->pool;
    HF_ASSERT(c->count > 0);
    uint32_t first = c->index[--c->count];
    uint32_t others = c->count < p->chunk - 1 ? c->count : p->chunk - 1;
    struct stock_chunk *chunk = chunk_of(p, first);
    for (uint32_t i = 0; i < others; i++)
        hf_store_relaxed(&chunk->others[i], c->index[--c->count]);
    hf_store_relaxed(&chunk->count, others);
    chunk_push(p, first, others + 1);
}

void stock_cache_flush(struct stock_cache *c)
{
    while (c->count > 0)
        stock_pool_spill(c);
}

uint64_t stock_pool_free(const struct stock_pool *p)
{
    uint64_t fresh = hf_load_relaxed(&p->fresh);
    int64_t stacked = hf_load_relaxed(&p->stacked);
    uint64_t unused = fresh > p->max ? 0 : p->max + 1 - fresh;
    return unused + (uint64_t)stacked;
}
