// The loop: one burst from the wire to its answers.
//
//   tell      frames whose ticket has become durable, in the order of their decisions
//   receive   a burst
//   admit     header, session, path, window, tag, items' bounds; what fails is dropped and counted
//   ask       items into requests; core_execute prefetches, decides and appends (item.c)
//   answer    tag the reply while it is warm; send it now, or hold it until its ticket is durable
//
// A frame's ticket is the highest of its items'. Held frames leave in the order in which they came:
// one behind a later ticket waits a little longer, and the ring stays a ring.
//
// Sleeping is as in api/rpc/poller.c: the queue states that it waits (`waiting`, sequentially
// consistent) before it looks at the journal a last time and sleeps (D0); the writer publishes what
// is durable before it looks at `waiting` (D1): at least one sees the other. Nothing else is asked
// of the writer, and the loop reads the durable mark once a burst.
#include "ingest/ingest_internal.h"

#include "packet/tag.h"

#include <string.h>

#define BUSY_WAIT_MS 5 // what a frame is told that found too many waiting: a few syncs

static uint32_t held_count(const struct ingest_queue *q)
{
    return (uint32_t)(q->held_in - q->held_out);
}

// ------------------------------------------------------------------------------- admit

// In the order of INGEST_DROP_TABLE.
static const uint8_t drop_of[PACKET_FAULT_COUNT] = {
    [PACKET_FAULT_SHORT] = INGEST_DROP_SHORT,         [PACKET_FAULT_MAGIC] = INGEST_DROP_MAGIC,
    [PACKET_FAULT_VERSION] = INGEST_DROP_VERSION,     [PACKET_FAULT_KIND] = INGEST_DROP_KIND,
    [PACKET_FAULT_TRUNCATED] = INGEST_DROP_TRUNCATED, [PACKET_FAULT_LONGER] = INGEST_DROP_LONGER,
    [PACKET_FAULT_HEADER] = INGEST_DROP_HEADER,       [PACKET_FAULT_ITEMS] = INGEST_DROP_ITEMS,
};

static void drop(struct ingest_queue *q, const struct ingest_frame *f, enum ingest_drop why)
{
    count_add(&q->metrics.dropped[why], 1);
    q->port->ops->drop(q->port, f, 1);
}

// Frames move up in the burst only over ones that were dropped: what has just been written in
// pieces and is then copied whole costs as much as the rest of an admission.
static void headers_read(struct ingest_queue *q)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->frame_count; i++) {
        struct ingest_frame *f = &q->frames[i];
        struct packet_header *h = &q->headers[kept];
        enum packet_fault fault = packet_header_read(f->payload, f->bytes, PACKET_REQUEST, h);
        if (HF_UNLIKELY(fault != PACKET_FAULT_NONE)) {
            drop(q, f, (enum ingest_drop)drop_of[fault]);
            continue;
        }
        uint32_t place = h->session & q->sessions.mask;
        hf_prefetch(&q->sessions.slots[place]);
        hf_prefetch_write(&q->windows[place]);
        hf_prefetch_write((char *)&q->windows[place] + HF_CACHE_LINE);
        if (HF_UNLIKELY(kept != i))
            q->frames[kept] = *f;
        kept++;
    }
    q->frame_count = kept;
}

static void sender_fill(struct sender *s, const struct session_slot *slot)
{
    s->channel = session_word_channel(slot->word);
    s->kinds = session_word_kinds(slot->word);
    s->tagged = session_word_tagged(slot->word);
    s->outcome = 0;
    if (s->tagged)
        memcpy(s->key, slot->key, sizeof s->key);
}

static bool tag_right(const struct ingest_frame *f, const struct packet_header *h,
                      const struct sender *s)
{
    return s->tagged ? packet_open(f->payload, f->bytes, s->key) : h->tag == 0;
}

// INGEST_DROP_COUNT: a good frame. What a stranger can cause is before the tag, and changes
// nothing.
static enum ingest_drop admit(struct ingest_queue *q, const struct ingest_frame *f,
                              const struct packet_header *h, struct sender *s)
{
    struct session_slot slot;
    struct session_window *w = &q->windows[h->session & q->sessions.mask];
    if (!session_find(&q->sessions, h->session, &slot))
        return INGEST_DROP_SESSION;
    if (slot.expires_ms <= q->now_ms)
        return INGEST_DROP_EXPIRED;
    uint32_t pin = (uint32_t)slot.pin;
    if (pin != 0 && pin != q->number + 1)
        return INGEST_DROP_QUEUE;
    if (HF_LIKELY(w->session == h->session)) {
        enum window_says says = window_look(w, h->sequence);
        if (says != WINDOW_NEW)
            return says == WINDOW_OLD ? INGEST_DROP_OLD : INGEST_DROP_REPLAYED;
    }
    sender_fill(s, &slot);
    if (!tag_right(f, h, s))
        return INGEST_DROP_FORGED;
    if (!session_pin(&q->sessions, h->session, slot.pin, q->number))
        return INGEST_DROP_QUEUE;
    if (HF_UNLIKELY(w->session != h->session))
        window_begin(w, h->session);
    window_note(w, h->sequence);
    if (!packet_items_fill(f->payload, h))
        return INGEST_DROP_ITEMS;
    s->stale = h->generation != q->generation;
    s->no_handles = h->generation == 0;
    if (!window_afford(w, slot.rate, h->count, q->now_ms, &s->wait_ms))
        s->outcome = PACKET_OUT_RATE_LIMITED;
    return INGEST_DROP_COUNT;
}

static void burst_admit(struct ingest_queue *q)
{
    uint32_t kept = 0, room = q->held_max - held_count(q);
    uint64_t items = 0;
    headers_read(q);
    for (uint32_t i = 0; i < q->frame_count; i++) {
        struct ingest_frame *f = &q->frames[i];
        enum ingest_drop why = admit(q, f, &q->headers[i], &q->senders[kept]);
        if (HF_UNLIKELY(why != INGEST_DROP_COUNT)) {
            drop(q, f, why);
            continue;
        }
        if (HF_UNLIKELY(kept >= room)) { // before anything is decided
            q->senders[kept].outcome = PACKET_OUT_BUSY;
            q->senders[kept].wait_ms = BUSY_WAIT_MS;
            count_add(&q->metrics.held_busy, 1);
        }
        items += q->headers[i].count;
        if (HF_UNLIKELY(kept != i)) {
            q->headers[kept] = q->headers[i];
            q->frames[kept] = *f;
        }
        kept++;
    }
    q->frame_count = kept;
    count_add(&q->metrics.frames, kept);
    count_add(&q->metrics.items, items);
}

// ------------------------------------------------------------------------------- answer

static void out_send(struct ingest_queue *q, uint32_t count)
{
    if (count == 0)
        return;
    q->port->ops->answer(q->port, q->out, count);
    count_add(&q->metrics.answered, count);
}

static void burst_answer(struct ingest_queue *q)
{
    uint64_t durable = core_durable(q->core);
    uint32_t now = 0;
    for (uint32_t i = 0; i < q->frame_count; i++) {
        const struct ingest_frame *f = &q->frames[i];
        packet_reply_header(f->payload, q->generation);
        if (q->senders[i].tagged)
            packet_seal(f->payload, f->bytes, q->senders[i].key);
        if (f->ticket <= durable)
            q->out[now++] = *f;
        else
            q->held[q->held_in++ & q->held_mask] = *f;
    }
    out_send(q, now);
}

// True: something was told.
static bool held_tell(struct ingest_queue *q)
{
    if (q->held_out == q->held_in)
        return false;
    uint64_t durable = core_durable(q->core), before = q->held_out;
    for (uint32_t n = 1; n > 0;) {
        uint64_t at = q->held_out;
        for (n = 0; n < q->burst && at != q->held_in; n++, at++) {
            const struct ingest_frame *f = &q->held[at & q->held_mask];
            if (f->ticket > durable)
                break;
            q->out[n] = *f;
        }
        out_send(q, n);
        q->held_out = at;
    }
    return q->held_out != before;
}

// ------------------------------------------------------------------------------- the loop

bool ingest_queue_step(struct ingest_queue *q)
{
    bool did = held_tell(q);
    q->frame_count = q->port->ops->receive(q->port, q->frames, q->burst);
    if (q->frame_count) {
        did = true;
        q->now_ms = core_now(q->core);
        count_add(&q->metrics.bursts, 1);
        burst_admit(q);
        for (uint32_t f = 0; f < q->frame_count; f++)
            frame_ask(q, f);
        asked_decide(q);
        burst_answer(q);
    }
    hf_store_relaxed(&q->metrics.held, held_count(q));
    return did;
}

bool ingest_queue_drain(struct ingest_queue *q)
{
    held_tell(q);
    hf_store_relaxed(&q->metrics.held, held_count(q));
    return held_count(q) == 0;
}

void ingest_queue_wait(struct ingest_queue *q, uint32_t timeout_ms)
{
    if (held_count(q)) {
        hf_store_seq(&q->waiting, 1u); // D0
        if (q->held[q->held_out & q->held_mask].ticket <= core_durable(q->core)) {
            hf_store_relaxed(&q->waiting, 0u);
            return;
        }
    }
    q->port->ops->wait(q->port, timeout_ms);
    hf_store_relaxed(&q->waiting, 0u);
}

void ingest_queue_durable_advanced(struct ingest_queue *q)
{
    hf_fence_seq();               // what is durable, before D1
    if (hf_load_seq(&q->waiting)) // D1
        q->port->ops->ring(q->port);
}

void ingest_queue_ring(struct ingest_queue *q)
{
    q->port->ops->ring(q->port);
}
