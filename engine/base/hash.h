// Hashing glue over xxHash (XXH3, 64 bit). Values never go to the wire unless a format says so.
#ifndef HOLDFAST_BASE_HASH_H
#define HOLDFAST_BASE_HASH_H

#include "base/uuid.h"

#include <stddef.h>
#include <stdint.h>

// Any thread, wait-free.
uint64_t hf_hash(const void *data, size_t bytes, uint64_t seed);

// Finalizer of splitmix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that mixes well.
static inline uint64_t hf_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

// An id's random half carries the entropy; its time half is folded in.
static inline uint64_t hf_hash_uuid(const struct hf_uuid *id)
{
    return hf_mix64(id->lo ^ (id->hi * UINT64_C(0x9e3779b97f4a7c15)));
}

#endif
