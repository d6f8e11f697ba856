#include "base/arena.h"

#include "base/atomics.h"

#include <stddef.h>
#include <stdio.h>

// jemalloc's control, if it is there: a weak reference, so that one library serves every build.
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

// The allocator is the process's, and so is what is known of it. 0: not made yet (jemalloc's own
// arenas come first, so none of ours is number 0).
static unsigned indices[HF_ARENA_COUNT];

static _Thread_local struct {
    enum hf_arena bound;
    unsigned automatic; // the arena that jemalloc had chosen
} mine;

static const char *const names[] = {
#define X(id, name, help) name,
    HF_ARENA_TABLE(X)
#undef X
};
static const char *const helps[] = {
#define X(id, name, help) help,
    HF_ARENA_TABLE(X)
#undef X
};

const char *hf_arena_name(enum hf_arena a)
{
    return (unsigned)a < HF_ARENA_COUNT ? names[a] : "unknown";
}

const char *hf_arena_help(enum hf_arena a)
{
    return (unsigned)a < HF_ARENA_COUNT ? helps[a] : "unknown";
}

// Two threads that make the same one at once: the later gives its own back.
static unsigned arena_make(enum hf_arena a)
{
    unsigned made, index = 0;
    size_t bytes = sizeof made;
    char name[64];
    if (mallctl("arenas.create", &made, &bytes, NULL, 0) != 0)
        return 0;
    if (hf_cas(&indices[a], &index, made))
        return made;
    snprintf(name, sizeof name, "arena.%u.destroy", made);
    (void)mallctl(name, NULL, NULL, NULL, 0);
    return index;
}

enum hf_arena hf_arena_use(enum hf_arena a)
{
    enum hf_arena was = mine.bound;
    if (!mallctl || a == was || (unsigned)a >= HF_ARENA_COUNT)
        return was;
    unsigned index = a == HF_ARENA_OTHER ? mine.automatic : hf_load_relaxed(&indices[a]), before;
    size_t bytes = sizeof before;
    if (a != HF_ARENA_OTHER && index == 0)
        index = arena_make(a);
    if (a != HF_ARENA_OTHER && index == 0)
        return was;
    // Cached pieces belong to the arena that they came from: give them back, or the next
    // allocations are counted there.
    (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    if (mallctl("thread.arena", &before, &bytes, &index, sizeof index) != 0)
        return was;
    if (was == HF_ARENA_OTHER)
        mine.automatic = before;
    mine.bound = a;
    return was;
}

static uint64_t number(const char *format, unsigned index)
{
    char name[64];
    size_t value = 0, bytes = sizeof value;
    snprintf(name, sizeof name, format, index);
    return mallctl(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

static struct hf_arena_reading one_read(unsigned index)
{
    return (struct hf_arena_reading){
        .measured = true,
        .allocated_bytes = number("stats.arenas.%u.small.allocated", index) +
                           number("stats.arenas.%u.large.allocated", index),
        .resident_bytes = number("stats.arenas.%u.resident", index),
    };
}

struct hf_arena_reading hf_arena_read(enum hf_arena a)
{
    struct hf_arena_reading r = {0};
    uint64_t epoch = 1;
    size_t bytes = sizeof epoch;
    if (!mallctl || (unsigned)a >= HF_ARENA_COUNT)
        return r;
    if (mallctl("epoch", &epoch, &bytes, &epoch, sizeof epoch) != 0) // statistics are of now
        return r;
    if (a != HF_ARENA_OTHER) {
        unsigned index = hf_load_relaxed(&indices[a]);
        return index ? one_read(index) : r;
    }
    r = (struct hf_arena_reading){true, number("stats.allocated", 0), number("stats.resident", 0)};
    for (enum hf_arena i = HF_ARENA_OTHER + 1; i < HF_ARENA_COUNT; i++) {
        unsigned index = hf_load_relaxed(&indices[i]);
        struct hf_arena_reading named = index ? one_read(index) : (struct hf_arena_reading){0};
        r.allocated_bytes -= named.allocated_bytes;
        r.resident_bytes -= named.resident_bytes;
    }
    return r;
}
