// Producers: buffers, bursts, and the stack that orders them.
//
// A producer fills a burst (a run of records) in the memory of one of its buffers. A push closes
// the burst and links it, with those of the buffers filled since the last push, in front of the
// stack's head by one compare-and-swap of {newest burst, last LSN}. The writer takes the whole
// stack by swapping in {NULL, same LSN} and reverses it.
//
// Guarantees:
//  Q1 Place and content appear together: the compare-and-swap that gives a burst its LSNs is the
//     one that makes it visible. Whoever loses it computes its LSNs anew. A producer stopped
//     before it has no place yet; stopped after, it is not needed. So nobody waits for anybody.
//  Q2 The head cannot recur (no ABA): every push raises the LSN, and a take, which keeps it, only
//     replaces a burst by NULL; {burst, LSN} returns only if that push had not happened.
//  Q3 A burst's records and first_lsn are written before the compare-and-swap in journal_push (a
//     full barrier) and read after the one in journal_queue_take.
//  Q4 A buffer is written again only after R1, `closed == consumed`, has seen the release in
//     journal_queue_release (R2) of each of its bursts: the writer's copy is finished.
//
// Linearization: journal_push at its successful compare-and-swap. The stack is Treiber's (IBM
// RJ 5118, 1986), with take-all instead of pop.
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

// Bursts begin on a cache line of their own: the writer reads one while the next is written.
#define BURST_ALIGN HF_CACHE_LINE
// Below this many bytes for records, the rest of a buffer is not worth a burst.
#define BURST_ROOM_MIN 64

static struct journal_producer_full *full(struct journal_producer *p)
{
    return (struct journal_producer_full *)p;
}

// A buffer's memory holds one burst with exactly buffer_bytes of records.
static size_t buffer_memory(const struct journal *j)
{
    return j->o.buffer_bytes + BURST_ALIGN;
}

struct journal_producer *journal_producer_create(struct journal *j)
{
    if (j->producer_count == j->o.producers_max)
        return NULL;
    uint32_t n = j->o.buffers_per_producer;
    struct journal_producer_full *p = aligned_alloc(HF_CACHE_LINE, (sizeof *p + 63) / 64 * 64);
    struct journal_buffer *buffers = aligned_alloc(HF_CACHE_LINE, n * sizeof *buffers);
    struct hf_memory memory = {0};
    if (!p || !buffers || !hf_memory_map(&memory, n * buffer_memory(j), HF_PAGES_TRANSPARENT)) {
        free(p);
        free(buffers);
        return NULL;
    }
    memset(p, 0, sizeof *p);
    memset(buffers, 0, n * sizeof *buffers);
    for (uint32_t i = 0; i < n; i++)
        buffers[i].bytes = (unsigned char *)memory.base + i * buffer_memory(j);
    p->journal = j;
    p->buffers = buffers;
    p->memory = memory;
    j->producers[j->producer_count++] = p;
    return &p->hot;
}

void journal_producers_destroy(struct journal *j)
{
    for (uint32_t i = 0; i < j->producer_count; i++) {
        hf_memory_unmap(&j->producers[i]->memory);
        free(j->producers[i]->buffers);
        free(j->producers[i]);
    }
    j->producer_count = 0;
}

static void burst_open(struct journal_producer_full *p, struct journal_buffer *b, size_t at)
{
    p->open = (struct journal_burst *)(b->bytes + at);
    p->open->buffer = b;
    p->hot.cursor = (unsigned char *)(p->open + 1);
    p->hot.room = (uint32_t)(buffer_memory(p->journal) - at - sizeof *p->open);
    if (p->hot.room > p->journal->o.buffer_bytes)
        p->hot.room = p->journal->o.buffer_bytes;
    p->hot.count = 0;
}

// Closes the open burst, which holds records, into the chain of the next push.
static void burst_close(struct journal_producer_full *p)
{
    struct journal_burst *b = p->open;
    b->bytes = (uint32_t)(p->hot.cursor - (unsigned char *)(b + 1));
    b->count = p->hot.count;
    b->next = p->newest;
    p->newest = b;
    if (!p->oldest)
        p->oldest = b;
    p->closed_records += b->count;
    b->buffer->closed++;
    p->open = NULL;
    p->hot.room = 0;
    p->hot.count = 0;
}

static bool buffer_free(const struct journal_buffer *b)
{
    // R1 pairs with R2 in journal_queue_release.
    HF_YIELD();
    return atomic_load_explicit(&b->consumed, memory_order_acquire) == b->closed;
}

void *journal_reserve_next(struct journal_producer *hot, uint32_t bytes)
{
    struct journal_producer_full *p = full(hot);
    struct journal *j = p->journal;
    HF_ASSERT(bytes >= sizeof(struct journal_record) && bytes % 8 == 0);
    HF_ASSERT(bytes <= j->o.buffer_bytes);
    struct journal_buffer *b = &p->buffers[p->turn];
    // An emptied buffer is begun again rather than left: its memory is still in the cache.
    if (hot->count != 0 || !buffer_free(b)) {
        uint32_t next = p->turn + 1 == j->o.buffers_per_producer ? 0 : p->turn + 1;
        b = &p->buffers[next];
        if (next == p->turn || !buffer_free(b))
            return NULL;
        if (hot->count != 0)
            burst_close(p);
        p->turn = next;
    }
    burst_open(p, b, 0);
    return journal_reserve(hot, bytes);
}

bool journal_has_room_next(struct journal_producer *hot, uint32_t bytes)
{
    struct journal_producer_full *p = full(hot);
    uint64_t whole = p->journal->o.buffer_bytes;
    uint64_t loss = whole < HF_RECORD_BYTES_MAX ? whole : HF_RECORD_BYTES_MAX;
    uint32_t n = p->journal->o.buffers_per_producer;
    if (atomic_load_explicit(&p->journal->status, memory_order_relaxed) != HF_OK)
        return false;
    // The one in use counts too when it is emptied: begun again at once, so that nothing goes into
    // what is left behind its last burst.
    bool again = hot->count == 0 && buffer_free(&p->buffers[p->turn]);
    if (again)
        burst_open(p, &p->buffers[p->turn], 0);
    uint64_t free_count = again;
    for (uint32_t i = 1; i < n; i++) {
        if (!buffer_free(&p->buffers[(p->turn + i) % n]))
            break;
        free_count++;
    }
    if (free_count == 0)
        return false;
    uint64_t paired = (free_count + 1) / 2 * whole;
    uint64_t lossy = (free_count - 1) * (whole - loss) + whole;
    return bytes <= (paired > lossy ? paired : lossy);
}

// Begins a burst behind the one just closed, in the same buffer, if that is worth it.
static void burst_follow(struct journal_producer_full *p)
{
    struct journal_buffer *b = &p->buffers[p->turn];
    size_t at = (size_t)(p->hot.cursor - b->bytes);
    at = (at + BURST_ALIGN - 1) / BURST_ALIGN * BURST_ALIGN;
    if (at + sizeof(struct journal_burst) + BURST_ROOM_MIN <= buffer_memory(p->journal))
        burst_open(p, b, at);
}

uint64_t journal_push(struct journal_producer *hot, uint32_t *count)
{
    struct journal_producer_full *p = full(hot);
    struct journal *j = p->journal;
    if (hot->count != 0) {
        burst_close(p);
        burst_follow(p);
    }
    struct journal_burst *newest = p->newest, *oldest = p->oldest;
    uint32_t records = p->closed_records;
    *count = records;
    if (!newest)
        return 0;
    struct hf_word128 seen;
    do {
        seen.lo = hf_load_relaxed(&j->head.lo);
        seen.hi = hf_load_relaxed(&j->head.hi);
        uint64_t lsn = seen.hi + records + 1;
        struct journal_burst *b = newest;
        for (;; b = b->next) {
            lsn -= b->count;
            b->first_lsn = lsn;
            if (b == oldest)
                break;
        }
        oldest->next = (struct journal_burst *)(uintptr_t)seen.lo;
    } while (!hf_cas16(&j->head, seen, // Q1, Q3
                        (struct hf_word128){(uintptr_t)newest, seen.hi + records}));
    p->newest = p->oldest = NULL;
    p->closed_records = 0;
    if (HF_UNLIKELY(atomic_load_explicit(&j->status, memory_order_relaxed) != HF_OK))
        hot->room = 0; // the next reservation finds out
    park_wake(&j->writer_park);
    return seen.hi + 1;
}

struct journal_burst *journal_queue_take(struct journal *j, struct journal_burst **newest)
{
    struct hf_word128 seen;
    do {
        seen.lo = hf_load_relaxed(&j->head.lo);
        seen.hi = hf_load_relaxed(&j->head.hi);
        if (!seen.lo)
            return NULL;
    } while (!hf_cas16(&j->head, seen, (struct hf_word128){0, seen.hi})); // Q2, Q3
    struct journal_burst *b = (struct journal_burst *)(uintptr_t)seen.lo;
    struct journal_burst *oldest = NULL;
    *newest = b;
    while (b) {
        struct journal_burst *older = b->next;
        b->next = oldest;
        oldest = b;
        b = older;
    }
    return oldest;
}

void journal_queue_release(struct journal_burst *b)
{
    struct journal_buffer *buffer = b->buffer;
    // Only the writer writes it. R2 pairs with R1 in buffer_free.
    uint32_t n = atomic_load_explicit(&buffer->consumed, memory_order_relaxed);
    HF_YIELD();
    atomic_store_explicit(&buffer->consumed, n + 1, memory_order_release);
}

uint64_t journal_appended(const struct journal *j)
{
    return hf_load_acquire(&j->head.hi);
}
