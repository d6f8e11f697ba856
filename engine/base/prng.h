// Seeded randomness of simulators, fakes and load: splitmix64, one stream a purpose. Never for
// secrets, never on a decision path.
#ifndef HOLDFAST_BASE_PRNG_H
#define HOLDFAST_BASE_PRNG_H

#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct prng {
    uint64_t state;
};

static inline uint64_t prng_next(struct prng *p)
{
    p->state += UINT64_C(0x9e3779b97f4a7c15);
    return hf_mix64(p->state);
}

// 0 .. bound - 1; 0 when bound is 0. The bias of the modulus does not matter here.
static inline uint64_t prng_below(struct prng *p, uint64_t bound)
{
    uint64_t r = prng_next(p);
    return bound ? r % bound : 0;
}

static inline uint64_t prng_between(struct prng *p, uint64_t least, uint64_t most)
{
    return least + prng_below(p, most - least + 1);
}

// True n times in `of`.
static inline bool prng_chance(struct prng *p, uint32_t n, uint32_t of)
{
    return prng_below(p, of) < n;
}

// A stream of its own, so that one consumer's draws do not shift another's.
static inline struct prng prng_fork(struct prng *p)
{
    struct prng child = {prng_next(p)};
    return child;
}

#endif
