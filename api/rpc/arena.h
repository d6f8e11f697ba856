// Memory of one call: handed out from a block, given back all at once. One thread at a time.
#ifndef HOLDFAST_API_ARENA_H
#define HOLDFAST_API_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA_FIRST_BYTES 2048

struct arena_block;

struct arena {
    unsigned char *at, *end;
    struct arena_block *blocks;   // beyond the first; freed by reset
    size_t bytes, bytes_max;      // taken from the heap, and how much may be
    bool no_memory;               // the heap had none, since the last reset
    bool full;                    // bytes_max was reached, since the last reset
    ProtobufCAllocator allocator; // for protobuf_c_message_unpack
    unsigned char first[ARENA_FIRST_BYTES] __attribute__((aligned(16)));
};

void arena_init(struct arena *a, size_t bytes_max);
void arena_reset(struct arena *a); // also the end: nothing is left on the heap
// 16-byte aligned, not cleared. NULL: bytes_max is reached, or there is no memory.
void *arena_take_slow(struct arena *a, size_t bytes);
static inline void *arena_take(struct arena *a, size_t bytes)
{
    size_t whole = (bytes + 15) & ~(size_t)15;
    if (__builtin_expect(whole >= bytes && whole <= (size_t)(a->end - a->at), 1)) {
        void *p = a->at;
        a->at += whole;
        return p;
    }
    return arena_take_slow(a, bytes);
}
// What was taken last, at `p`, turned out to need no more than `bytes` of it.
static inline void arena_trim(struct arena *a, void *p, size_t bytes)
{
    a->at = (unsigned char *)p + ((bytes + 15) & ~(size_t)15);
}
// A copy, terminated. NULL as above.
char *arena_text(struct arena *a, const char *text, size_t bytes);

#endif
