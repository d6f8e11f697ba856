// A pool of equal objects in one array, named by index: 1 .. max; 0 is nobody.
//
// Free objects travel in chunks: each thread keeps a few in a cache of its own, and whole chunks
// go over a lock-free stack that threads share (Treiber's, with a counter beside the head). A
// chunk is a list of numbers in the memory of its first object, so taking one reads that object
// alone: a chain through all of them would be a cache miss after the other. Objects are
// type-stable: an index may be read at any time, its content is validated by whoever reads it.
#ifndef HOLDFAST_STOCK_POOL_H
#define HOLDFAST_STOCK_POOL_H

#include "base/atomics.h"

#include <stdint.h>

#define STOCK_POOL_CHUNK 64 // objects of the largest chunk

// What a free object lends, as far as it is lent: the first of a chunk names the others.
struct stock_chunk {
    uint32_t next; // first object of the chunk below
    uint32_t count; // of others
    uint32_t others[STOCK_POOL_CHUNK - 1];
};

struct stock_pool {
    char *base; // of object 0, which is never used
    uint32_t stride, offset; // where in an object the lent bytes begin
    uint32_t chunk; // objects of a full chunk, by how much is lent
    uint32_t max;
    uint64_t fresh; // next index that was never used; may run past max
    int64_t stacked; // objects on the stack
    struct hf_word128 head __attribute__((aligned(64))); // {chunk's first index, counter}
};

struct stock_cache {
    struct stock_pool *pool;
    uint32_t kept; // this cache takes nothing when no more than so many are left; about, see below
    uint32_t count;
    uint32_t index[3 * STOCK_POOL_CHUNK]; // two chunks; a third while it is filled
};

// A free object lends its bytes from `offset` on, at least 12.
void stock_pool_init(struct stock_pool *p, void *base, uint32_t stride, uint32_t offset,
                     uint32_t max);
// Slow half of acquire: 0 when the pool is empty, or has no more than is kept from this cache: a
// chunk, or as many as threads look at once, may be taken of that. Lock-free.
uint32_t stock_pool_refill(struct stock_cache *c);
void stock_pool_spill(struct stock_cache *c);

// The cache belongs to the calling thread. 0: none left. Lock-free, mostly wait-free.
static inline uint32_t stock_acquire(struct stock_cache *c)
{
    return __builtin_expect(c->count > 0, 1) ? c->index[--c->count] : stock_pool_refill(c);
}
// Nobody else can name the object any more, or everybody validates.
static inline void stock_release(struct stock_cache *c, uint32_t index)
{
    if (c->count >= 2 * STOCK_POOL_CHUNK)
        stock_pool_spill(c);
    c->index[c->count++] = index;
}
// Sees to it that the next n <= 2 * STOCK_POOL_CHUNK acquisitions succeed. False: the pool gives
// none.
static inline bool stock_cache_ensure(struct stock_cache *c, uint32_t n)
{
    while (c->count < n) {
        uint32_t index = stock_pool_refill(c);
        if (!index)
            return false;
        c->index[c->count++] = index;
    }
    return true;
}
// Hands all cached objects back to the pool.
void stock_cache_flush(struct stock_cache *c);
// Objects not in use, not counting what sits in caches. Any thread; approximate.
uint64_t stock_pool_free(const struct stock_pool *p);

#endif
