#include "base/histogram.h"

#include "base/status.h"

#include <string.h>

void hf_histogram_clear(struct hf_histogram *h)
{
    memset(h, 0, sizeof *h);
}

void hf_histogram_merge(struct hf_histogram *into, const struct hf_histogram *from)
{
    // Pairs with nothing: each number stands for itself, and none is used to reach other memory.
    for (uint32_t i = 0; i < HF_HISTOGRAM_BUCKETS; i++)
        into->counts[i] += hf_load_relaxed(&from->counts[i]);
    into->sum_ns += hf_load_relaxed(&from->sum_ns);
    uint64_t max_ns = hf_load_relaxed(&from->max_ns);
    if (max_ns > into->max_ns)
        into->max_ns = max_ns;
}

uint64_t hf_histogram_count(const struct hf_histogram *h)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HF_HISTOGRAM_BUCKETS; i++)
        count += h->counts[i];
    return count;
}

uint64_t hf_histogram_bucket_end(uint32_t bucket)
{
    const uint32_t sub = HF_HISTOGRAM_SUB_BITS;
    const uint32_t width_bits = HF_HISTOGRAM_LOW_BITS - sub; // of the first buckets
    uint32_t octave = bucket >> sub, in = bucket & ((1u << sub) - 1);
    if (bucket >= HF_HISTOGRAM_BUCKETS - 1)
        return UINT64_MAX;
    if (octave == 0)
        return ((uint64_t)(in + 1) << width_bits) - 1;
    return ((uint64_t)((1u << sub) + in + 1) << (width_bits + octave - 1)) - 1;
}

uint64_t hf_histogram_percentile(const struct hf_histogram *h, uint32_t permille)
{
    HF_ASSERT(permille <= 1000);
    uint64_t count = hf_histogram_count(h);
    if (count == 0)
        return 0;
    // Rounded up; a product of the whole count would overflow after 1.8e16 values, the rest never.
    uint64_t rank = count / 1000 * permille + (count % 1000 * permille + 999) / 1000;
    if (rank == 0)
        rank = 1;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HF_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank) {
            uint64_t end = hf_histogram_bucket_end(i);
            return end < h->max_ns ? end : h->max_ns;
        }
    }
    return h->max_ns;
}

uint64_t hf_histogram_count_to(const struct hf_histogram *h, uint64_t ns)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < HF_HISTOGRAM_BUCKETS && hf_histogram_bucket_end(i) <= ns; i++)
        count += h->counts[i];
    return count;
}
