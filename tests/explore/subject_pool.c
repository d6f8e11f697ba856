// The pool of equal objects: caches that fill and spill over the shared stack. Nothing is given to
// two, nothing is lost, and the free count is true at the end.
#include "explore/interleave.h"

#include "stock/pool.h"

#include <stdio.h>
#include <string.h>

#define THREADS  3
#define OPS      5
#define OBJECTS  40
#define OFFSET   8
#define STRIDE   32 // chunks of 5
#define HAND_MAX 24

enum verb { ACQUIRE, RELEASE, SPILL, FLUSH, VERBS };

struct program {
    struct stock_cache cache;
    enum verb ops[OPS];
    uint32_t n[OPS];
    uint32_t count;
    uint32_t hand[HAND_MAX], held;
};

static struct {
    char objects[(OBJECTS + 1) * STRIDE] __attribute__((aligned(64)));
    struct stock_pool pool;
    struct program programs[THREADS];
    struct stock_cache main;
    uint32_t owner[OBJECTS + 1]; // thread + 1
    uint64_t acquired, empty;
} w;

static void acquire(struct program *p, uint32_t fiber)
{
    if (p->held == HAND_MAX)
        return;
    uint32_t at = stock_acquire(&p->cache);
    w.empty += at == 0;
    if (at == 0)
        return;
    w.acquired++;
    explore_check(at <= OBJECTS, "object %u of %u", at, OBJECTS);
    explore_check(w.owner[at] == 0, "object %u is given to %u and to %u", at, w.owner[at] - 1,
                  fiber);
    w.owner[at] = fiber + 1;
    p->hand[p->held++] = at;
    memset(w.objects + at * STRIDE + OFFSET, 0xee, STRIDE - OFFSET); // it is ours
}

static void release(struct program *p)
{
    if (p->held == 0)
        return;
    uint32_t at = p->hand[--p->held];
    w.owner[at] = 0;
    stock_release(&p->cache, at);
}

static void body(void *ctx, uint32_t fiber)
{
    (void)ctx;
    struct program *p = &w.programs[fiber];
    for (uint32_t i = 0; i < p->count; i++) {
        for (uint32_t n = 0; n < p->n[i] && p->ops[i] <= RELEASE; n++) {
            if (p->ops[i] == ACQUIRE)
                acquire(p, fiber);
            else
                release(p);
        }
        if (p->ops[i] == SPILL && p->cache.count > 0)
            stock_pool_spill(&p->cache);
        if (p->ops[i] == FLUSH)
            stock_cache_flush(&p->cache);
    }
}

// One object in hand, then away with all: the stack is popped and pushed.
static const enum verb smalls[][THREADS][OPS] = {
    {{ACQUIRE, FLUSH}, {ACQUIRE, FLUSH}},
    {{ACQUIRE}, {ACQUIRE, RELEASE, FLUSH, ACQUIRE}},
    {{ACQUIRE, RELEASE, FLUSH}, {ACQUIRE}, {ACQUIRE}},
};

static void stack_make(uint32_t objects)
{
    memset(&w.main, 0, sizeof w.main);
    memset(w.owner, 0, sizeof w.owner);
    stock_pool_init(&w.pool, w.objects, STRIDE, OFFSET, objects);
    w.main.pool = &w.pool;
    uint32_t first = stock_acquire(&w.main); // all are in one cache now
    stock_release(&w.main, first);
    stock_cache_flush(&w.main); // and all on the stack
}

static uint32_t make(struct prng *r, uint32_t small)
{
    uint32_t fibers = small && small < 3 ? 2 : THREADS;
    stack_make(small ? 10 : (uint32_t)prng_between(r, 1, OBJECTS));
    for (uint32_t t = 0; t < THREADS; t++) {
        struct program *p = &w.programs[t];
        *p = (struct program){.cache = {.pool = &w.pool}, .count = OPS};
        for (uint32_t i = 0; i < OPS; i++) {
            p->ops[i] = small ? smalls[small - 1][t][i] : (enum verb)prng_below(r, VERBS);
            p->n[i] = small ? 1 : (uint32_t)prng_between(r, 1, 8);
        }
        while (small && p->count > 1 && p->ops[p->count - 1] == ACQUIRE)
            p->count--;
    }
    return fibers;
}

static void judge(const struct explore_run *run)
{
    (void)run;
    uint32_t found = 0;
    for (uint32_t t = 0; t < THREADS; t++) {
        while (w.programs[t].held > 0)
            release(&w.programs[t]);
        stock_cache_flush(&w.programs[t].cache);
    }
    explore_check(stock_pool_free(&w.pool) == w.pool.max, "%lu free of %u",
                  stock_pool_free(&w.pool), w.pool.max);
    w.main.count = 0;
    for (uint32_t at; (at = stock_pool_refill(&w.main)) != 0; found++) {
        explore_check(w.owner[at] == 0, "object %u lies there twice", at);
        w.owner[at] = THREADS + 1;
        while (w.main.count > 0) {
            at = w.main.index[--w.main.count];
            explore_check(w.owner[at] == 0, "object %u lies there twice", at);
            w.owner[at] = THREADS + 1;
            found++;
        }
    }
    explore_check(found == w.pool.max, "%u objects of %u are left", found, w.pool.max);
}

static const char *tell(void)
{
    static char text[60];
    snprintf(text, sizeof text, "%lu acquired, %lu times empty", w.acquired, w.empty);
    return text;
}

const struct subject subject_pool = {
    .name = "pool",
    .help = "the pool's caches and their shared stack",
    .rounds = 1,
    .small_count = sizeof smalls / sizeof *smalls,
    .freezable = UINT32_MAX,
    .make = make,
    .body = body,
    .judge = judge,
    .tell = tell,
};
