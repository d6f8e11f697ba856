// What a queue needs of a session, and the replay window that it keeps.
//
// A slot is one cache line and type-stable. Its first word holds the session's number and what is
// asked for at every frame; 0: free. A reader copies the slot and looks at the word again (S1): if
// it has not changed, the copy is whole. Numbers of one place recur after 65,536 openings only.
//
// A window is the queue's own: no other thread writes it. It is begun anew when another session
// uses its place.
#ifndef HOLDFAST_INGEST_SESSION_INTERNAL_H
#define HOLDFAST_INGEST_SESSION_INTERNAL_H

#include "base/atomics.h"
#include "base/limits.h"
#include "ingest/session.h"

//  0         32        48      56
//  | session | channel | kinds | tagged |
struct session_slot {
    uint64_t word;
    uint64_t key[2];
    uint64_t expires_ms;
    uint64_t rate; // items a second, burst in the upper half
    uint64_t owner;
    uint64_t pin; // queue + 1, the session in the upper half
    uint64_t unused;
} __attribute__((aligned(HF_CACHE_LINE)));
static_assert(sizeof(struct session_slot) == HF_CACHE_LINE, "one line a session");

static inline uint32_t session_word_number(uint64_t word)
{
    return (uint32_t)word;
}
static inline uint16_t session_word_channel(uint64_t word)
{
    return (uint16_t)(word >> 32);
}
static inline uint8_t session_word_kinds(uint64_t word)
{
    return (uint8_t)(word >> 48);
}
static inline bool session_word_tagged(uint64_t word)
{
    return word >> 56;
}

// What a queue sees of the table.
struct session_table {
    struct session_slot *slots;
    uint32_t mask; // places - 1; a session's place is its low bits
};
struct session_table ingest_sessions_table(const struct ingest_sessions *s);

// A whole copy. False: no such session. Wait-free.
static inline bool session_find(const struct session_table *t, uint32_t session,
                                struct session_slot *out)
{
    struct session_slot *slot = &t->slots[session & t->mask];
    out->word = hf_load_acquire(&slot->word);
    if (session_word_number(out->word) != session || session == 0)
        return false;
    out->key[0] = hf_load_relaxed(&slot->key[0]);
    out->key[1] = hf_load_relaxed(&slot->key[1]);
    out->expires_ms = hf_load_relaxed(&slot->expires_ms);
    out->rate = hf_load_relaxed(&slot->rate);
    out->pin = hf_load_relaxed(&slot->pin);
    hf_fence_acquire();
    return hf_load_relaxed(&slot->word) == out->word; // S1, pairs with S0 in session.c
}

// Pins the session to the queue, or tells whether it is pinned there already. Lock-free.
static inline bool session_pin(const struct session_table *t, uint32_t session, uint64_t seen,
                               uint32_t queue)
{
    uint64_t mine = (uint64_t)session << 32 | (queue + 1);
    if (HF_LIKELY(seen == mine))
        return true;
    uint64_t free = (uint64_t)session << 32;
    return hf_cas(&t->slots[session & t->mask].pin, &free, mine) || free == mine;
}

// ------------------------------------------------------------------------------- the window

#define WINDOW_WORDS 16
#define WINDOW_BITS  (WINDOW_WORDS * 64)
// The block of the newest is being filled: only so far back is everything known.
#define WINDOW_BACK (WINDOW_BITS - 64)

// After RFC 6479: a ring of words, whole words are cleared as the newest moves on. Place for a
// rate: tokens are thousandths of an item, so that a millisecond's share is a whole number. Below
// 0: a frame with more items than the bucket holds took what will come.
struct session_window {
    uint32_t session; // whose it is; 0: nobody's yet
    uint32_t filled;  // the tokens have been set
    uint64_t newest;
    int64_t tokens;
    uint64_t refilled_ms;
    uint64_t bits[WINDOW_WORDS];
} __attribute__((aligned(HF_CACHE_LINE)));

enum window_says { WINDOW_NEW, WINDOW_REPLAYED, WINDOW_OLD };

static inline void window_begin(struct session_window *w, uint32_t session)
{
    *w = (struct session_window){.session = session};
}

// Changes nothing: it is asked before the tag is looked at.
static inline enum window_says window_look(const struct session_window *w, uint64_t sequence)
{
    if (sequence > w->newest)
        return WINDOW_NEW;
    if (w->newest - sequence >= WINDOW_BACK)
        return WINDOW_OLD;
    uint64_t word = w->bits[(sequence / 64) % WINDOW_WORDS];
    return word >> (sequence % 64) & 1 ? WINDOW_REPLAYED : WINDOW_NEW;
}

// `sequence` was new: from now on it is known.
static inline void window_note(struct session_window *w, uint64_t sequence)
{
    if (sequence > w->newest) {
        uint64_t from = w->newest / 64, to = sequence / 64;
        uint64_t clear = to - from < WINDOW_WORDS ? to - from : WINDOW_WORDS;
        for (uint64_t i = 1; i <= clear; i++)
            w->bits[(to + 1 - i) % WINDOW_WORDS] = 0;
        w->newest = sequence;
    }
    w->bits[(sequence / 64) % WINDOW_WORDS] |= UINT64_C(1) << (sequence % 64);
}

// Takes `items` from the session's rate, or tells how long to wait. A full bucket pays for any
// frame, or one with more items than it holds would wait for ever. rate as in the slot.
static inline bool window_afford(struct session_window *w, uint64_t rate, uint32_t items,
                                 uint64_t now_ms, uint32_t *wait_ms)
{
    int64_t a_second = (uint32_t)rate, most = (int64_t)(rate >> 32) * 1000;
    if (a_second == 0)
        return true;
    uint64_t passed = now_ms > w->refilled_ms ? now_ms - w->refilled_ms : 0;
    if (!w->filled || passed > 3600000) { // long enough for any burst, and no product is too large
        w->tokens = most;
        w->filled = 1;
    } else {
        w->tokens += (int64_t)passed * a_second;
        w->tokens = w->tokens < most ? w->tokens : most;
    }
    w->refilled_ms = passed || !w->refilled_ms ? now_ms : w->refilled_ms;
    int64_t takes = (int64_t)items * 1000, need = takes < most ? takes : most;
    if (w->tokens >= need) {
        w->tokens -= takes;
        return true;
    }
    uint64_t wait = (uint64_t)((need - w->tokens + a_second - 1) / a_second);
    *wait_ms = wait < UINT32_MAX ? (uint32_t)wait : UINT32_MAX;
    return false;
}

#endif
