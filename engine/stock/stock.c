#include "stock/stock.h"

static uint32_t power_of_two_from(uint32_t n)
{
    uint32_t p = 1;
    while (p < n && p < UINT32_C(1) << 31)
        p *= 2;
    return p;
}

enum hf_status stock_init(struct stock *s, const struct stock_sizes *z)
{
    *s = (struct stock){.sizes = *z};
    if (z->cells == 0 || z->ids == 0 || z->blocks == 0 || z->threads == 0 ||
        z->threads > HF_THREADS_MAX)
        return HF_INVALID;
    uint32_t buckets = power_of_two_from(z->ids);
    uint32_t timer_blocks = stock_wheel_blocks(z->ids, z->threads);
    struct stock_map *m = &s->map;
    stock_map_want(m, (void **)&s->cells.cells, (uint64_t)z->cells * sizeof(struct stock_cell));
    stock_map_want(m, (void **)&s->cells.descriptors,
                   (uint64_t)z->threads * sizeof(struct stock_descriptor));
    stock_map_want(m, (void **)&s->slots.slots,
                   ((uint64_t)z->ids + 1) * sizeof(struct stock_slot));
    stock_map_want(m, (void **)&s->slots.buckets, (uint64_t)buckets * sizeof(uint32_t));
    stock_map_want(m, (void **)&s->slots.blocks,
                   ((uint64_t)z->blocks + 1) * sizeof(struct stock_block));
    stock_map_want(m, (void **)&s->scales, z->cells);
    if (z->timers) {
        stock_map_want(m, (void **)&s->wheels.blocks,
                       ((uint64_t)timer_blocks + 1) * sizeof(struct stock_wheel_block));
        stock_map_want(m, (void **)&s->wheels.wheels,
                       (uint64_t)z->threads * sizeof(struct stock_wheel));
        s->wheels.wheel_count = z->threads;
    }
    if (!stock_map_take(m, z->huge, z->prefault))
        return HF_NO_MEMORY;
    s->directory = stock_directory_create(z->cells, z->huge);
    if (!s->directory) {
        stock_map_drop(m);
        return HF_NO_MEMORY;
    }
    if (z->timers)
        stock_wheel_init(&s->wheels, timer_blocks);
    s->slots.bucket_mask = buckets - 1;
    s->slots.hash_key[0] = z->hash_key[0];
    s->slots.hash_key[1] = z->hash_key[1];
    stock_pool_init(&s->slots.slot_pool, s->slots.slots, sizeof(struct stock_slot),
                    offsetof(struct stock_slot, id), z->ids); // the word keeps the generation
    stock_pool_init(&s->slots.block_pool, s->slots.blocks, sizeof(struct stock_block),
                    offsetof(struct stock_block, next), z->blocks);
    return HF_OK;
}

void stock_fini(struct stock *s)
{
    stock_directory_destroy(s->directory);
    stock_map_drop(&s->map);
    s->directory = NULL;
}

uint64_t stock_bytes(const struct stock *s)
{
    return s->map.memory.bytes + stock_directory_bytes(s->directory);
}

void stock_thread_init(struct stock *s, struct stock_thread *t, uint32_t number)
{
    *t = (struct stock_thread){.taker = {.cells = &s->cells, .number = number},
                               .slots = {.pool = &s->slots.slot_pool},
                               .blocks = {.pool = &s->slots.block_pool}};
    // A number may be taken over from a thread that ended: its tags must not come again.
    t->taker.sequence = hf_load_relaxed(&s->cells.descriptors[number].status) >> 2;
}

void stock_thread_fini(struct stock_thread *t)
{
    struct stock_descriptor *d = &t->taker.cells->descriptors[t->taker.number];
    hf_store_seq(&d->status, (t->taker.sequence << 2) | 2);
    stock_cache_flush(&t->slots);
    stock_cache_flush(&t->blocks);
}
