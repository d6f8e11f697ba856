// Reservation slots, the index that finds them by id, and the blocks for what a slot can't hold.
//
//    0       8               24      32       40                48     52     56        64
//    +-------+---------------+-------+--------+-----------------+------+------+---------+
//    | word  | id            | body  | ticket | time 48|channel | next | end  | a  | b  |
//    |       |               | hash  |        |                 |      | hash |         |
//    +-------+---------------+-------+--------+-----------------+------+------+---------+
//    word: state 4 | kind 4 | flags 8 | version 16 | generation 32
//    a, b: handle and quantity of the one line, or first block and line count
//
// Every transition is a compare-and-swap of the word. PENDING, CHANGING and ENDING give their
// winner the slot: only it writes the other fields, and it publishes them with the next word
// (S0, pairs with S1 in stock_slot_copy). Readers copy and then compare the word again.
//
// The id, once linked, does not change until the slot has been unlinked and a grace period passed.
// A slot in the pool lends everything behind its word.
#ifndef HOLDFAST_STOCK_SLOT_H
#define HOLDFAST_STOCK_SLOT_H

#include "base/atomics.h"
#include "base/hash.h"
#include "base/limits.h"
#include "stock/pool.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct stock_slot {
    uint64_t word;
    struct hf_uuid id;
    uint64_t body_hash;
    uint64_t ticket;       // LSN of the latest record
    uint64_t time_channel; // deadline while held, else the outcome's time; ms << 16 | channel
    uint32_t next;         // index chain
    uint32_t end_hash;     // of the commit or release
    uint32_t a, b;
};
static_assert(sizeof(struct stock_slot) == 64, "one cache line");

enum stock_slot_flags {
    STOCK_SLOT_BLOCKS = 1, // a, b name blocks; else, when b != 0, the one line
    STOCK_SLOT_V4 = 2,     // the id carries no time
    STOCK_SLOT_AWAY = 8, // the lines have left memory; the journal has them
};

#define STOCK_STATE_MASK 0xfu
static inline unsigned stock_word_state(uint64_t w)
{
    return (unsigned)w & STOCK_STATE_MASK;
}
static inline unsigned stock_word_kind(uint64_t w)
{
    return (unsigned)(w >> 4) & 0xf;
}
static inline unsigned stock_word_flags(uint64_t w)
{
    return (unsigned)(w >> 8) & 0xff;
}
static inline uint16_t stock_word_version(uint64_t w)
{
    return (uint16_t)(w >> 16);
}
static inline uint64_t stock_word_make(uint64_t old, unsigned state, unsigned kind, unsigned flags,
                                       uint16_t version)
{
    return (old & ~UINT64_C(0xffffffff)) | ((uint64_t)version << 16) | ((uint64_t)flags << 8) |
           ((uint64_t)kind << 4) | state;
}
static inline uint64_t stock_word_with_state(uint64_t old, unsigned state)
{
    return (old & ~(uint64_t)STOCK_STATE_MASK) | state;
}
// From the word read to CHANGING or ENDING. True: the caller may write the other fields, none of
// which is seen with the word that was there before (S2, pairs with the fence in stock_slot_copy).
static inline bool stock_slot_win(struct stock_slot *s, uint64_t *expected, unsigned state)
{
    bool won = hf_cas(&s->word, expected, stock_word_with_state(*expected, state));
    hf_fence_release();
    return won;
}
static inline uint64_t stock_slot_time(const struct stock_slot *s)
{
    return hf_load_relaxed(&s->time_channel) >> 16;
}

// 256 bytes: lines of three words (handle, quantity low, high), in the first block behind the text.
#define STOCK_BLOCK_WORDS 62
struct stock_block {
    uint32_t next;
    uint16_t lines, text_words;
    uint32_t words[STOCK_BLOCK_WORDS];
};
static_assert(sizeof(struct stock_block) == 256, "four cache lines");

struct stock_slots {
    struct stock_slot *slots;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint64_t hash_key[2];
    struct stock_block *blocks;
    struct stock_pool slot_pool, block_pool;
};

struct stock_line {
    uint32_t handle;
    uint32_t unused;
    int64_t quantity;
};

// ------------------------------------------------------------------------------ index
// The caller is inside an RCU step.

// Of the index alone, never stored. Clients choose ids: without the key they could choose a chain.
static inline uint64_t stock_hash(const struct stock_slots *s, const struct hf_uuid *id)
{
    return hf_mix64(hf_mix64(id->hi ^ s->hash_key[0]) + (id->lo ^ s->hash_key[1]));
}

static inline uint32_t *stock_bucket(const struct stock_slots *s, uint64_t hash)
{
    return &s->buckets[hash & s->bucket_mask];
}

// Index of the slot that holds `id` and is not FREE; 0: none. Wait-free over a short chain.
uint32_t stock_find(const struct stock_slots *s, struct hf_uuid id, uint64_t hash); // stock_hash
// Links slot `index` (word PENDING, id and all fields filled), or returns the slot that already
// has this id. 0: linked. Lock-free.
uint32_t stock_insert(struct stock_slots *s, uint32_t index, uint64_t hash);
// Unlinks; the caller is the only thread that unlinks, and waits a grace period before release.
void stock_unlink(struct stock_slots *s, uint32_t index);

// A copy that is consistent with *word, the slot's word then. False: it kept changing.
bool stock_slot_copy(const struct stock_slots *s, uint32_t index, struct stock_slot *out);

// ------------------------------------------------------------------------------ lines and text
// The slot belongs to the caller (PENDING, CHANGING, ENDING, or one thread only).

// Blocks that stock_lines_store takes at most.
static inline uint32_t stock_blocks_needed(uint32_t lines, uint32_t text_bytes)
{
    return 1 + (text_bytes / 4 + 4 + 3 * lines) / (STOCK_BLOCK_WORDS - 2);
}
// Stores the lines (and text, a byte string) in place or in blocks; sets a and b. *flags gets
// STOCK_SLOT_BLOCKS. False: no block left, nothing changed.
bool stock_lines_store(struct stock_slots *s, struct stock_cache *blocks, struct stock_slot *slot,
                       const struct stock_line *lines, uint32_t count, const void *text,
                       uint32_t text_bytes, unsigned *flags);
// Copies the lines out; returns how many. flags: of the slot's word. Bounded and safe on any
// content (for readers that validate afterwards).
uint32_t stock_lines_load(const struct stock_slots *s, const struct stock_slot *slot,
                          unsigned flags, struct stock_line *out, uint32_t max);
// Overwrites quantities in place: the same count and order as loaded. An inline quantity must
// still fit 32 bits (it only falls).
void stock_lines_update(struct stock_slots *s, struct stock_slot *slot, unsigned flags,
                        const struct stock_line *lines, uint32_t count);
// Copies the text out; returns its bytes rounded up to 4, 0: none.
uint32_t stock_text_load(const struct stock_slots *s, const struct stock_slot *slot,
                         unsigned flags, void *out, uint32_t max);
// Frees blocks, if any; leaves a = b = 0.
void stock_lines_drop(struct stock_slots *s, struct stock_cache *blocks, struct stock_slot *slot,
                      unsigned flags);

#endif
