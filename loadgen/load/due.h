// What is to be done when: a binary heap by time, equal times in any order. One thread.
#ifndef HOLDFAST_LOADGEN_DUE_H
#define HOLDFAST_LOADGEN_DUE_H

#include <stdint.h>
#include <stdlib.h>

struct due_entry {
    uint64_t ns;
    void *what;
};
struct due { // zeroed: empty
    struct due_entry *heap;
    uint32_t count, room;
};

static inline void due_swap(struct due *d, uint32_t a, uint32_t b)
{
    struct due_entry e = d->heap[a];
    d->heap[a] = d->heap[b];
    d->heap[b] = e;
}

static inline void due_push(struct due *d, uint64_t ns, void *what)
{
    if (d->count == d->room) {
        d->room = d->room ? d->room * 2 : 64;
        d->heap = realloc(d->heap, d->room * sizeof *d->heap);
        if (!d->heap)
            abort(); // a load generator without memory measures nothing
    }
    uint32_t at = d->count++;
    d->heap[at] = (struct due_entry){ns, what};
    for (; at && d->heap[(at - 1) / 2].ns > d->heap[at].ns; at = (at - 1) / 2)
        due_swap(d, at, (at - 1) / 2);
}

// When the first is due; UINT64_MAX: none.
static inline uint64_t due_next(const struct due *d)
{
    return d->count ? d->heap[0].ns : UINT64_MAX;
}

// The first whose time has come by `now`; NULL: none.
static inline void *due_pop(struct due *d, uint64_t now)
{
    if (d->count == 0 || d->heap[0].ns > now)
        return NULL;
    void *what = d->heap[0].what;
    d->heap[0] = d->heap[--d->count];
    for (uint32_t at = 0;;) {
        uint32_t least = at, left = 2 * at + 1;
        for (uint32_t child = left; child <= left + 1 && child < d->count; child++)
            if (d->heap[child].ns < d->heap[least].ns)
                least = child;
        if (least == at)
            return what;
        due_swap(d, at, least);
        at = least;
    }
}

static inline void due_fini(struct due *d)
{
    free(d->heap);
    *d = (struct due){0};
}

#endif
