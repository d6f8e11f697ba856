#include "rpc/arena.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 8192

struct arena_block {
    struct arena_block *next;
    size_t bytes;
    unsigned char data[] __attribute__((aligned(16)));
};

static void *allocator_take(void *data, size_t bytes)
{
    return arena_take(data, bytes);
}

static void allocator_free(void *data, void *pointer)
{
    (void)data, (void)pointer; // all at once, by reset
}

void arena_init(struct arena *a, size_t bytes_max)
{
    a->at = a->first;
    a->end = a->first + sizeof a->first;
    a->blocks = NULL;
    a->bytes = 0;
    a->no_memory = a->full = false;
    a->bytes_max = bytes_max;
    a->allocator = (ProtobufCAllocator){allocator_take, allocator_free, a};
}

void arena_reset(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->at = a->first;
    a->end = a->first + sizeof a->first;
    a->bytes = 0;
    a->no_memory = a->full = false;
}

void *arena_take_slow(struct arena *a, size_t bytes)
{
    size_t whole = (bytes + 15) & ~(size_t)15;
    // Blocks double, so that a large message takes few of them.
    size_t want = a->bytes < BLOCK_BYTES ? BLOCK_BYTES : a->bytes;
    if (want < whole)
        want = whole;
    if (whole < bytes || whole > a->bytes_max - a->bytes) {
        a->full = true;
        return NULL;
    }
    if (want > a->bytes_max - a->bytes)
        want = whole;
    struct arena_block *b = malloc(sizeof *b + want);
    if (!b) {
        a->no_memory = true;
        return NULL;
    }
    *b = (struct arena_block){.next = a->blocks, .bytes = want};
    a->blocks = b;
    a->bytes += want;
    a->at = b->data + whole;
    a->end = b->data + want;
    return b->data;
}

char *arena_text(struct arena *a, const char *text, size_t bytes)
{
    char *out = arena_take(a, bytes + 1);
    if (out) {
        if (bytes > 0) // text may be NULL then
            memcpy(out, text, bytes);
        out[bytes] = 0;
    }
    return out;
}
