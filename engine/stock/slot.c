// The index is an array of chains. Inserts go to the head, by a swap that proves that nothing was
// inserted since the chain was searched: so an id is linked once. Unlinking is one thread's job;
// it swaps the head or stores into a predecessor that only it could remove. A node is reused after
// a grace period, so a walk that stands on an unlinked node still reaches the chain's end.
#include "stock/slot.h"

#include "base/status.h"

#include <string.h>

static bool slot_is(const struct stock_slot *slot, struct hf_uuid id)
{
    return hf_load_relaxed(&slot->id.lo) == id.lo && hf_load_relaxed(&slot->id.hi) == id.hi &&
           stock_word_state(hf_load_acquire(&slot->word)) != 0;
}

static uint32_t chain_find(const struct stock_slots *s, uint32_t from, uint32_t end,
                           struct hf_uuid id)
{
    for (uint32_t at = from; at != 0 && at != end;) {
        const struct stock_slot *slot = &s->slots[at];
        if (slot_is(slot, id))
            return at;
        at = hf_load_acquire(&slot->next);
    }
    return 0;
}

uint32_t stock_find(const struct stock_slots *s, struct hf_uuid id, uint64_t hash)
{
    return chain_find(s, hf_load_acquire(stock_bucket(s, hash)), 0, id);
}

uint32_t stock_insert(struct stock_slots *s, uint32_t index, uint64_t hash)
{
    struct stock_slot *slot = &s->slots[index];
    uint32_t *bucket = stock_bucket(s, hash);
    uint32_t head = hf_load_acquire(bucket), searched = 0;
    for (;;) {
        uint32_t found = chain_find(s, head, searched, slot->id);
        if (found)
            return found;
        searched = head;
        hf_store_relaxed(&slot->next, head);
        if (hf_cas(bucket, &head, index)) // I0: publishes the slot; pairs with chain_find's loads
            return 0;
    }
}

void stock_unlink(struct stock_slots *s, uint32_t index)
{
    struct stock_slot *slot = &s->slots[index];
    uint32_t *bucket = stock_bucket(s, stock_hash(s, &slot->id));
    uint32_t next = hf_load_acquire(&slot->next);
    for (;;) {
        uint32_t head = hf_load_acquire(bucket);
        if (head == index) {
            if (hf_cas(bucket, &head, next))
                return;
            continue;
        }
        uint32_t at = head;
        while (at != 0 && hf_load_acquire(&s->slots[at].next) != index)
            at = hf_load_acquire(&s->slots[at].next);
        HF_ASSERT(at != 0);
        hf_store_release(&s->slots[at].next, next);
        return;
    }
}

bool stock_slot_copy(const struct stock_slots *s, uint32_t index, struct stock_slot *out)
{
    const struct stock_slot *slot = &s->slots[index];
    for (int attempt = 0; attempt < 16; attempt++) {
        uint64_t word = hf_load_acquire(&slot->word); // S1
        out->word = word;
        out->id.hi = hf_load_relaxed(&slot->id.hi);
        out->id.lo = hf_load_relaxed(&slot->id.lo);
        out->body_hash = hf_load_relaxed(&slot->body_hash);
        out->ticket = hf_load_relaxed(&slot->ticket);
        out->time_channel = hf_load_relaxed(&slot->time_channel);
        out->next = 0;
        out->end_hash = hf_load_relaxed(&slot->end_hash);
        out->a = hf_load_relaxed(&slot->a);
        out->b = hf_load_relaxed(&slot->b);
        hf_fence_acquire(); // pairs with S2
        if (hf_load_relaxed(&slot->word) == word)
            return true;
    }
    return false;
}

static void line_put(struct stock_block *b, uint32_t word, const struct stock_line *line)
{
    hf_store_relaxed(&b->words[word], line->handle);
    hf_store_relaxed(&b->words[word + 1], (uint32_t)line->quantity);
    hf_store_relaxed(&b->words[word + 2], (uint32_t)((uint64_t)line->quantity >> 32));
}

static uint32_t lines_fit(uint32_t text_words)
{
    return (STOCK_BLOCK_WORDS - text_words) / 3;
}

static void chain_release(struct stock_slots *s, struct stock_cache *cache, uint32_t at)
{
    while (at) {
        uint32_t next = hf_load_relaxed(&s->blocks[at].next);
        stock_release(cache, at);
        at = next;
    }
}

bool stock_lines_store(struct stock_slots *s, struct stock_cache *cache, struct stock_slot *slot,
                       const struct stock_line *lines, uint32_t count, const void *text,
                       uint32_t text_bytes, unsigned *flags)
{
    if (count == 1 && text_bytes == 0 && lines[0].quantity <= UINT32_MAX) {
        hf_store_relaxed(&slot->a, lines[0].handle);
        hf_store_relaxed(&slot->b, (uint32_t)lines[0].quantity);
        *flags &= ~(unsigned)STOCK_SLOT_BLOCKS;
        return true;
    }
    uint32_t text_words = (text_bytes + 3) / 4, first = 0, last = 0, done = 0;
    HF_ASSERT(text_words + 3 <= STOCK_BLOCK_WORDS);
    do {
        uint32_t at = stock_acquire(cache);
        if (!at) {
            chain_release(s, cache, first);
            return false;
        }
        struct stock_block *b = &s->blocks[at];
        uint32_t skip = first ? 0 : text_words, take = count - done;
        if (take > lines_fit(skip))
            take = lines_fit(skip);
        hf_store_relaxed(&b->next, 0u);
        hf_store_relaxed(&b->lines, (uint16_t)take);
        hf_store_relaxed(&b->text_words, (uint16_t)skip);
        if (skip) {
            uint32_t padded[STOCK_BLOCK_WORDS] = {0};
            memcpy(padded, text, text_bytes);
            for (uint32_t i = 0; i < skip; i++)
                hf_store_relaxed(&b->words[i], padded[i]);
        }
        for (uint32_t i = 0; i < take; i++)
            line_put(b, skip + 3 * i, &lines[done + i]);
        done += take;
        if (last)
            hf_store_relaxed(&s->blocks[last].next, at);
        else
            first = at;
        last = at;
    } while (done < count);
    hf_store_relaxed(&slot->a, first);
    hf_store_relaxed(&slot->b, count);
    *flags |= STOCK_SLOT_BLOCKS;
    return true;
}

// Walks the chain of blocks, calling nothing: a cursor over lines, safe on stale content.
struct line_cursor {
    const struct stock_slots *s;
    struct stock_block *block;
    uint32_t word, left, hops;
};

static bool cursor_block(struct line_cursor *c, uint32_t index)
{
    if (index == 0 || index > c->s->block_pool.max || ++c->hops > HF_LINES_MAX)
        return false;
    c->block = &c->s->blocks[index];
    uint32_t skip = hf_load_relaxed(&c->block->text_words);
    uint32_t lines = hf_load_relaxed(&c->block->lines);
    if (skip + 3 * lines > STOCK_BLOCK_WORDS)
        return false;
    c->word = skip;
    c->left = lines;
    return true;
}

static bool cursor_next(struct line_cursor *c)
{
    while (c->left == 0)
        if (!cursor_block(c, hf_load_relaxed(&c->block->next)))
            return false;
    c->left--;
    return true;
}

uint32_t stock_lines_load(const struct stock_slots *s, const struct stock_slot *slot,
                          unsigned flags, struct stock_line *out, uint32_t max)
{
    uint32_t a = hf_load_relaxed(&slot->a), b = hf_load_relaxed(&slot->b);
    if (!(flags & STOCK_SLOT_BLOCKS)) {
        if (b == 0 || max == 0)
            return 0;
        out[0] = (struct stock_line){a, 0, b};
        return 1;
    }
    struct line_cursor c = {.s = s};
    uint32_t n = 0;
    if (b > max || !cursor_block(&c, a))
        return 0;
    for (; n < b && cursor_next(&c); n++, c.word += 3) {
        uint64_t lo = hf_load_relaxed(&c.block->words[c.word + 1]);
        uint64_t hi = hf_load_relaxed(&c.block->words[c.word + 2]);
        out[n] = (struct stock_line){hf_load_relaxed(&c.block->words[c.word]), 0,
                                     (int64_t)(lo | hi << 32)};
    }
    return n;
}

void stock_lines_update(struct stock_slots *s, struct stock_slot *slot, unsigned flags,
                        const struct stock_line *lines, uint32_t count)
{
    if (!(flags & STOCK_SLOT_BLOCKS)) {
        HF_ASSERT(count == 1 && lines[0].quantity <= UINT32_MAX);
        hf_store_relaxed(&slot->b, (uint32_t)lines[0].quantity);
        return;
    }
    struct line_cursor c = {.s = s};
    bool ok = cursor_block(&c, slot->a);
    for (uint32_t n = 0; n < count; n++, c.word += 3) {
        ok = ok && cursor_next(&c);
        HF_ASSERT(ok);
        line_put(c.block, c.word, &lines[n]);
    }
}

uint32_t stock_text_load(const struct stock_slots *s, const struct stock_slot *slot,
                         unsigned flags, void *out, uint32_t max)
{
    uint32_t a = hf_load_relaxed(&slot->a);
    if (!(flags & STOCK_SLOT_BLOCKS) || a == 0 || a > s->block_pool.max)
        return 0;
    const struct stock_block *b = &s->blocks[a];
    uint32_t words = hf_load_relaxed(&b->text_words);
    if (words > STOCK_BLOCK_WORDS || words * 4 > max)
        return 0;
    for (uint32_t i = 0; i < words; i++) {
        uint32_t w = hf_load_relaxed(&b->words[i]);
        memcpy((char *)out + 4 * i, &w, 4);
    }
    return words * 4;
}

void stock_lines_drop(struct stock_slots *s, struct stock_cache *cache, struct stock_slot *slot,
                      unsigned flags)
{
    if (flags & STOCK_SLOT_BLOCKS)
        chain_release(s, cache, slot->a);
    hf_store_relaxed(&slot->a, 0u);
    hf_store_relaxed(&slot->b, 0u);
}
