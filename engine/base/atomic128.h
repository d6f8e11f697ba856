// The 128-bit compare-and-swap, in the one header that may spell it.
//
// gcc routes __atomic on 16 bytes through libatomic; the __sync builtin with -mcx16 (x86-64) or a
// CASP (arm64 with LSE) is inline and lock-free. Loads are two 64-bit loads: every user either
// validates by the compare-and-swap that follows or re-reads.
#ifndef HOLDFAST_BASE_ATOMIC128_H
#define HOLDFAST_BASE_ATOMIC128_H

#include <stdbool.h>
#include <stdint.h>

struct hf_word128 {
    uint64_t lo;
    uint64_t hi;
} __attribute__((aligned(16)));

// Full barrier on success and on failure. On failure *expected is left as it was: callers re-read.
static inline bool hf_cas128(struct hf_word128 *word, struct hf_word128 expected,
                             struct hf_word128 desired)
{
    __extension__ typedef unsigned __int128 u128;
    u128 e = ((u128)expected.hi << 64) | expected.lo;
    u128 d = ((u128)desired.hi << 64) | desired.lo;
    return __sync_bool_compare_and_swap((u128 *)word, e, d);
}

#endif
