#include "stock/pool.h"

#include "base/status.h"

void stock_pool_init(struct stock_pool *p, void *base, uint32_t stride, uint32_t link_offset,
                     uint32_t chunk_offset, uint32_t max)
{
    *p = (struct stock_pool){.base = base,
                             .stride = stride,
                             .link_offset = link_offset,
                             .chunk_offset = chunk_offset,
                             .max = max,
                             .fresh = 1};
}

static inline uint32_t *link_of(const struct stock_pool *p, uint32_t index)
{
    return (uint32_t *)(p->base + (uint64_t)index * p->stride + p->link_offset);
}

static inline uint32_t *chunk_of(const struct stock_pool *p, uint32_t index)
{
    return (uint32_t *)(p->base + (uint64_t)index * p->stride + p->chunk_offset);
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
        struct hf_word128 next = {hf_load_relaxed(chunk_of(p, (uint32_t)w.lo)), w.hi + 1};
        if (hf_cas16(&p->head, w, next))
            return (uint32_t)w.lo;
    }
}

static void chunk_push(struct stock_pool *p, uint32_t first, int64_t count)
{
    hf_add(&p->stacked, count); // before it can be popped: the sum never falls below zero
    for (;;) {
        struct hf_word128 w = head_read(p);
        hf_store_relaxed(chunk_of(p, first), (uint32_t)w.lo);
        struct hf_word128 next = {first, w.hi + 1};
        if (hf_cas16(&p->head, w, next))
            return;
    }
}

uint32_t stock_pool_refill(struct stock_cache *c)
{
    struct stock_pool *p = c->pool;
    uint32_t first = chunk_pop(p);
    if (first) {
        uint32_t before = c->count;
        for (uint32_t at = first; at; at = hf_load_relaxed(link_of(p, at)))
            c->index[c->count++] = at;
        hf_add(&p->stacked, -(int64_t)(c->count - before));
        return c->index[--c->count];
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
    HF_ASSERT(c->count >= STOCK_POOL_CHUNK);
    uint32_t next = 0;
    for (int i = 0; i < STOCK_POOL_CHUNK; i++) {
        uint32_t at = c->index[--c->count];
        hf_store_relaxed(link_of(c->pool, at), next);
        next = at;
    }
    chunk_push(c->pool, next, STOCK_POOL_CHUNK);
}

void stock_cache_flush(struct stock_cache *c)
{
    while (c->count >= STOCK_POOL_CHUNK)
        stock_pool_spill(c);
    if (c->count == 0)
        return;
    // A short chunk: as good as a long one.
    uint32_t next = 0, count = c->count;
    while (c->count) {
        uint32_t at = c->index[--c->count];
        hf_store_relaxed(link_of(c->pool, at), next);
        next = at;
    }
    chunk_push(c->pool, next, count);
}

uint64_t stock_pool_free(const struct stock_pool *p)
{
    uint64_t fresh = hf_load_relaxed(&p->fresh);
    int64_t stacked = hf_load_relaxed(&p->stacked);
    uint64_t unused = fresh > p->max ? 0 : p->max + 1 - fresh;
    return unused + (uint64_t)stacked;
}
