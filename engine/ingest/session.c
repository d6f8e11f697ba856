#include "ingest/session.h"

#include "ingest/session_internal.h"

#include "base/memory.h"
#include "sys/lock.h"

#include <stdlib.h>
#include <string.h>

struct ingest_sessions {
    struct session_table table;
    struct lock lock; // everything below, and every write to a slot but the pin
    struct hf_memory memory;
    uint32_t max, open, next; // next: where to look for a free place
    uint16_t *lives;          // of each place: the upper half of its next number
};

static uint32_t places_of(uint32_t max)
{
    uint32_t places = 1;
    while (places < max)
        places *= 2;
    return places;
}

enum hf_status ingest_sessions_create(uint32_t max, uint32_t seed, struct ingest_sessions **out)
{
    HF_ASSERT(max >= 1 && max <= INGEST_SESSIONS_MAX);
    uint32_t places = places_of(max);
    struct ingest_sessions *s = calloc(1, sizeof *s);
    if (!s)
        return HF_NO_MEMORY;
    s->lives = calloc(places, sizeof *s->lives);
    if (!s->lives ||
        !hf_memory_map(&s->memory, places * sizeof(struct session_slot), HF_PAGES_SMALL)) {
        free(s->lives);
        free(s);
        return HF_NO_MEMORY;
    }
    for (uint32_t i = 0; i < places; i++)
        s->lives[i] = (uint16_t)(seed >> 16 ^ seed ^ i * 40503u);
    s->table = (struct session_table){s->memory.base, places - 1};
    s->max = max;
    lock_init(&s->lock);
    *out = s;
    return HF_OK;
}

void ingest_sessions_destroy(struct ingest_sessions *s)
{
    if (!s)
        return;
    memset(s->memory.base, 0, s->memory.bytes); // the keys
    hf_memory_unmap(&s->memory);
    lock_fini(&s->lock);
    free(s->lives);
    free(s);
}

struct session_table ingest_sessions_table(const struct ingest_sessions *s)
{
    return s->table;
}

static void slot_close(struct ingest_sessions *s, struct session_slot *slot)
{
    hf_store_relaxed(&slot->word, 0);
    hf_fence_seq(); // S0: whoever copied what is written below sees another word at S1
    hf_store_relaxed(&slot->key[0], 0);
    hf_store_relaxed(&slot->key[1], 0);
    hf_store_relaxed(&s->open, s->open - 1);
}

static uint32_t sweep(struct ingest_sessions *s, uint64_t now_ms)
{
    uint32_t closed = 0;
    for (uint32_t i = 0; i <= s->table.mask && s->open > 0; i++) {
        struct session_slot *slot = &s->table.slots[i];
        if (slot->word && slot->expires_ms <= now_ms) {
            slot_close(s, slot);
            closed++;
        }
    }
    return closed;
}

static void slot_fill(struct ingest_sessions *s, struct session_slot *slot, uint32_t number,
                      const struct ingest_session *w)
{
    uint64_t key[2];
    uint32_t burst = w->burst ? w->burst : w->rate;
    memcpy(key, w->key, sizeof key);
    hf_store_relaxed(&slot->key[0], w->tagged ? key[0] : 0);
    hf_store_relaxed(&slot->key[1], w->tagged ? key[1] : 0);
    hf_store_relaxed(&slot->expires_ms, w->expires_ms);
    hf_store_relaxed(&slot->rate, (uint64_t)burst << 32 | w->rate);
    slot->owner = w->owner;
    hf_store_relaxed(&slot->pin, (uint64_t)number << 32);
    hf_store_release(&slot->word, number | (uint64_t)w->channel << 32 | (uint64_t)w->kinds << 48 |
                                      (uint64_t)w->tagged << 56);
    hf_store_relaxed(&s->open, s->open + 1);
}

enum hf_status ingest_session_open(struct ingest_sessions *s, const struct ingest_session *what,
                                   uint64_t now_ms, uint32_t *session)
{
    if ((what->kinds & INGEST_KINDS_ALL) == 0 || what->expires_ms <= now_ms)
        return HF_INVALID;
    lock_acquire(&s->lock);
    if (s->open == s->max)
        sweep(s, now_ms);
    enum hf_status status = s->open < s->max ? HF_OK : HF_FULL;
    if (status == HF_OK) {
        while (s->table.slots[s->next].word)
            s->next = (s->next + 1) & s->table.mask;
        uint32_t place = s->next, number;
        do // the upper half alone tells lives apart, and with the place it is never 0
            number = (uint32_t)s->lives[place]++ << 16 | place;
        while (number == 0);
        s->next = (place + 1) & s->table.mask;
        slot_fill(s, &s->table.slots[place], number, what);
        *session = number;
    }
    lock_release(&s->lock);
    return status;
}

// Under the lock. NULL: not open.
static struct session_slot *slot_of(struct ingest_sessions *s, uint32_t session)
{
    struct session_slot *slot = &s->table.slots[session & s->table.mask];
    return session && session_word_number(slot->word) == session ? slot : NULL;
}

enum hf_status ingest_session_close(struct ingest_sessions *s, uint32_t session)
{
    lock_acquire(&s->lock);
    struct session_slot *slot = slot_of(s, session);
    if (slot)
        slot_close(s, slot);
    lock_release(&s->lock);
    return slot ? HF_OK : HF_NOT_FOUND;
}

enum hf_status ingest_session_extend(struct ingest_sessions *s, uint32_t session,
                                     uint64_t expires_ms)
{
    lock_acquire(&s->lock);
    struct session_slot *slot = slot_of(s, session);
    if (slot)
        hf_store_relaxed(&slot->expires_ms, expires_ms);
    lock_release(&s->lock);
    return slot ? HF_OK : HF_NOT_FOUND;
}

uint32_t ingest_session_close_owner(struct ingest_sessions *s, uint64_t owner)
{
    uint32_t closed = 0;
    lock_acquire(&s->lock);
    for (uint32_t i = 0; i <= s->table.mask; i++) {
        struct session_slot *slot = &s->table.slots[i];
        if (slot->word && slot->owner == owner) {
            slot_close(s, slot);
            closed++;
        }
    }
    lock_release(&s->lock);
    return closed;
}

uint32_t ingest_session_count_owner(struct ingest_sessions *s, uint64_t owner, uint64_t now_ms)
{
    uint32_t count = 0;
    lock_acquire(&s->lock);
    for (uint32_t i = 0; i <= s->table.mask; i++) {
        const struct session_slot *slot = &s->table.slots[i];
        count += slot->word && slot->owner == owner && slot->expires_ms > now_ms;
    }
    lock_release(&s->lock);
    return count;
}

enum hf_status ingest_session_read(struct ingest_sessions *s, uint32_t session,
                                   struct ingest_session *out, uint32_t *queue)
{
    lock_acquire(&s->lock);
    const struct session_slot *slot = slot_of(s, session);
    if (slot) {
        uint32_t pin = (uint32_t)hf_load_relaxed(&slot->pin);
        *out = (struct ingest_session){.tagged = session_word_tagged(slot->word),
                                       .kinds = session_word_kinds(slot->word),
                                       .channel = session_word_channel(slot->word),
                                       .rate = (uint32_t)slot->rate,
                                       .burst = (uint32_t)(slot->rate >> 32),
                                       .expires_ms = slot->expires_ms,
                                       .owner = slot->owner};
        memcpy(out->key, slot->key, sizeof out->key);
        *queue = pin ? pin - 1 : INGEST_QUEUE_NONE;
    }
    lock_release(&s->lock);
    return slot ? HF_OK : HF_NOT_FOUND;
}

uint32_t ingest_sessions_sweep(struct ingest_sessions *s, uint64_t now_ms)
{
    lock_acquire(&s->lock);
    uint32_t closed = sweep(s, now_ms);
    lock_release(&s->lock);
    return closed;
}

uint32_t ingest_sessions_open_count(const struct ingest_sessions *s)
{
    return hf_load_relaxed(&s->open);
}

uint32_t ingest_sessions_max(const struct ingest_sessions *s)
{
    return s->max;
}
