// The keys of an index arrive in LSN order and leave sorted by hash, in slices: each key goes to
// one of 256 lists by its hash's top byte; a slice is then sorted by the bytes below, least
// significant first (radix sort, Knuth vol. 3, 5.2.5). Two bytes set keys of honest hashes apart
// but for a few neighbours, which one insertion pass puts right; where that is a long way, hashes
// were chosen, and all seven bytes are sorted by. Each pass is stable, so keys of one hash stay in
// LSN order, and no choice of hashes makes it slower than linear.
#include "journal/archive_internal.h"

#include <stdlib.h>
#include <string.h>

#define SLICES    256
#define NODE_KEYS 340
#define NEAR      4 // places a key may move in the insertion pass, on average

struct key_node {
    struct key_node *next;
    uint32_t count;
    struct archive_disk_key key[NODE_KEYS];
};

struct archive_keyset {
    struct {
        struct key_node *first, *last;
        uint64_t count;
    } slice[SLICES];
    uint64_t count;
    unsigned next;
    struct archive_disk_key *sorted, *spare;
    uint64_t capacity; // of sorted and of spare
};

struct archive_keyset *archive_keyset_create(void)
{
    return calloc(1, sizeof(struct archive_keyset));
}

static void slice_free(struct archive_keyset *k, unsigned i)
{
    for (struct key_node *n = k->slice[i].first, *next; n; n = next) {
        next = n->next;
        free(n);
    }
    k->slice[i].first = k->slice[i].last = NULL;
}

void archive_keyset_destroy(struct archive_keyset *k)
{
    if (!k)
        return;
    for (unsigned i = 0; i < SLICES; i++)
        slice_free(k, i);
    free(k->sorted);
    free(k->spare);
    free(k);
}

enum hf_status archive_keyset_add(struct archive_keyset *k, uint64_t hash, uint32_t ordinal)
{
    const unsigned i = (unsigned)(hash >> 56);
    struct key_node *n = k->slice[i].last;
    if (!n || n->count == NODE_KEYS) {
        struct key_node *fresh = malloc(sizeof *fresh);
        if (!fresh)
            return HF_NO_MEMORY;
        fresh->next = NULL;
        fresh->count = 0;
        if (n)
            n->next = fresh;
        else
            k->slice[i].first = fresh;
        k->slice[i].last = n = fresh;
    }
    n->key[n->count++] = (struct archive_disk_key){(uint32_t)hash, (uint32_t)(hash >> 32), ordinal};
    k->slice[i].count++;
    k->count++;
    return HF_OK;
}

uint64_t archive_keyset_count(const struct archive_keyset *k)
{
    return k->count;
}

static enum hf_status room_for(struct archive_keyset *k, uint64_t count)
{
    if (count <= k->capacity)
        return HF_OK;
    free(k->sorted);
    free(k->spare);
    k->sorted = malloc(count * sizeof *k->sorted);
    k->spare = malloc(count * sizeof *k->spare);
    k->capacity = k->sorted && k->spare ? count : 0;
    return k->capacity ? HF_OK : HF_NO_MEMORY;
}

static void radix_pass(struct archive_keyset *k, uint64_t count, unsigned shift)
{
    uint64_t start[257] = {0};
    for (uint64_t i = 0; i < count; i++)
        start[((archive_key_hash(&k->sorted[i]) >> shift) & 255) + 1]++;
    for (unsigned b = 1; b < 257; b++)
        if (start[b] == count)
            return; // one value throughout: nothing moves
    for (unsigned b = 1; b < 257; b++)
        start[b] += start[b - 1];
    for (uint64_t i = 0; i < count; i++)
        k->spare[start[(archive_key_hash(&k->sorted[i]) >> shift) & 255]++] = k->sorted[i];
    struct archive_disk_key *swap = k->sorted;
    k->sorted = k->spare;
    k->spare = swap;
}

// Moves keys to their places among those before them. False: it would be too long a way.
static bool insertion_pass(struct archive_disk_key *key, uint64_t count)
{
    uint64_t moves = 0;
    for (uint64_t i = 1; i < count; i++) {
        const struct archive_disk_key k = key[i];
        const uint64_t hash = archive_key_hash(&k);
        uint64_t at = i;
        for (; at > 0 && archive_key_hash(&key[at - 1]) > hash && moves < NEAR * count; at--) {
            key[at] = key[at - 1];
            moves++;
        }
        key[at] = k;
    }
    return moves < NEAR * count;
}

enum hf_status archive_keyset_next(struct archive_keyset *k, const struct archive_disk_key **keys,
                                   uint64_t *count)
{
    *count = 0;
    if (k->next == SLICES)
        return HF_AGAIN;
    const unsigned i = k->next;
    const uint64_t n = k->slice[i].count;
    enum hf_status status = room_for(k, n);
    if (status != HF_OK)
        return status;
    uint64_t at = 0;
    for (const struct key_node *node = k->slice[i].first; node; node = node->next) {
        memcpy(k->sorted + at, node->key, node->count * sizeof *node->key);
        at += node->count;
    }
    slice_free(k, i);
    for (unsigned shift = 40; shift < 56 && n > 1; shift += 8)
        radix_pass(k, n, shift);
    if (n > 1 && !insertion_pass(k->sorted, n))
        for (unsigned shift = 0; shift < 56; shift += 8)
            radix_pass(k, n, shift);
    *keys = k->sorted;
    *count = n;
    k->next++;
    return HF_OK;
}
