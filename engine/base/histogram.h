// Latencies in a fixed-size log-linear histogram: 32 buckets an octave, so a bucket is at most 1/32
// (3.1%) of its values wide; below 1,024 ns the buckets are 32 ns wide.
//
//   value ns    0 .. 1,023        1,024 .. 2,047      ...   2^36 .. 2^37 - 1 (137 s)
//   bucket      value / 32        32 + mantissa's           895 holds the rest, too
//               0 .. 31           top 5 bits, 32 .. 63
//
// Single writer, any number of readers: the owner records with relaxed stores, anybody merges it
// into a histogram of their own and asks that one. A merge taken meanwhile may miss what is being
// recorded; no bucket ever falls.
//
// After HdrHistogram (Tene) and DDSketch's observation that a bounded relative error is enough.
#ifndef HOLDFAST_BASE_HISTOGRAM_H
#define HOLDFAST_BASE_HISTOGRAM_H

#include "base/atomics.h"

#include <assert.h>
#include <stdint.h>

#define HF_HISTOGRAM_SUB_BITS 5  // buckets an octave, as a power of two
#define HF_HISTOGRAM_LOW_BITS 10 // below 2^10 ns the buckets are equally wide
#define HF_HISTOGRAM_TOP_BITS 37 // values from 2^37 ns on share the last bucket
#define HF_HISTOGRAM_BUCKETS                                                                       \
    ((HF_HISTOGRAM_TOP_BITS - HF_HISTOGRAM_LOW_BITS + 1) << HF_HISTOGRAM_SUB_BITS)

static_assert(HF_HISTOGRAM_LOW_BITS >= HF_HISTOGRAM_SUB_BITS, "the first buckets are whole ns");
static_assert((UINT64_C(1) << HF_HISTOGRAM_TOP_BITS) > UINT64_C(100000000000), "100 s fit");

struct hf_histogram {
    uint64_t counts[HF_HISTOGRAM_BUCKETS];
    uint64_t sum_ns, max_ns; // of the values as they came
};

// Bucket of a value. Pure.
static inline uint32_t hf_histogram_bucket(uint64_t ns)
{
    const uint32_t low = HF_HISTOGRAM_LOW_BITS, sub = HF_HISTOGRAM_SUB_BITS;
    if (ns >> low == 0)
        return (uint32_t)(ns >> (low - sub));
    if (ns >> HF_HISTOGRAM_TOP_BITS != 0)
        return HF_HISTOGRAM_BUCKETS - 1;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(ns);
    uint32_t mantissa = (uint32_t)(ns >> (top - sub)) & ((1u << sub) - 1);
    return ((top - low + 1) << sub) + mantissa;
}

// Records `count` values of `ns`. The owner's thread; wait-free, no system call.
static inline void hf_histogram_record_many(struct hf_histogram *h, uint64_t ns, uint64_t count)
{
    uint64_t *bucket = &h->counts[hf_histogram_bucket(ns)];
    // Only this thread writes, so a plain sum is enough; relaxed, as a merge reads any time.
    hf_store_relaxed(bucket, *bucket + count);
    hf_store_relaxed(&h->sum_ns, h->sum_ns + ns * count);
    if (ns > h->max_ns)
        hf_store_relaxed(&h->max_ns, ns);
}
static inline void hf_histogram_record(struct hf_histogram *h, uint64_t ns)
{
    hf_histogram_record_many(h, ns, 1);
}

// The rest is for the reader's own copy, except `from`, which its owner may be recording into.
// All wait-free.

void hf_histogram_clear(struct hf_histogram *h);
// Adds `from` to `into`. Any thread that owns `into`.
void hf_histogram_merge(struct hf_histogram *into, const struct hf_histogram *from);
uint64_t hf_histogram_count(const struct hf_histogram *h);
// Smallest bucket end that at least `permille` / 1000 of the values don't exceed, at most max_ns:
// over the true percentile by at most 1/32 of it, never under it. 0 when empty. permille <= 1000.
uint64_t hf_histogram_percentile(const struct hf_histogram *h, uint32_t permille);
// How many values are surely <= ns: those of the buckets that end at or below it.
uint64_t hf_histogram_count_to(const struct hf_histogram *h, uint64_t ns);
// Largest value of a bucket; UINT64_MAX for the last one.
uint64_t hf_histogram_bucket_end(uint32_t bucket);

#endif
