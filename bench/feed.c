#include "feed.h"

#include "base/atomics.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"
#include "packet/tag.h"
#include "sys/park.h"

#include <stdlib.h>

#define SLOT_BYTES 2048 // as a device's buffers

void feed_init(struct feed *f, const struct feed_options *o)
{
    struct packet_writer w;
    struct packet_item item = {.kind = PACKET_ORDER, .lines = 1};
    *f = (struct feed){.options = *o, .position = (uint64_t)o->session << 40};
    packet_begin(&w, f->template, sizeof f->template);
    for (uint32_t i = 0; i < o->items; i++)
        HF_ASSERT(packet_add(&w, item, &(struct packet_line){0, 1}));
    f->bytes = packet_end(&w, o->session, 1, o->generation, 0);
}

void feed_make(struct feed *f, uint8_t *frame)
{
    uint64_t sequence = PACKET_LE64(++f->sequence);
    memcpy(frame, f->template, f->bytes);
    memcpy(frame + offsetof(struct packet_header, sequence), &sequence, sizeof sequence);
    uint8_t *at = frame + PACKET_HEADER_BYTES;
    for (uint32_t i = 0; i < f->options.items; i++, at += packet_item_bytes(1)) {
        uint64_t random = hf_mix64(++f->position);
        struct hf_uuid id = hf_uuid_v7(f->now_ms, f->position, random);
        const uint64_t words[2] = {__builtin_bswap64(id.hi), __builtin_bswap64(id.lo)};
        uint32_t handle = (uint32_t)((random & 0xffffffff) * f->options.cells >> 32);
        memcpy(at, words, sizeof words);
        memcpy(at + PACKET_ITEM_BYTES, &handle, sizeof handle);
    }
    if (f->options.tagged)
        packet_seal(frame, f->bytes, f->options.key);
}

void feed_count(const struct feed *f, const uint8_t *frame, struct feed_result *out)
{
    const uint8_t *at = frame + PACKET_HEADER_BYTES;
    out->frames++;
    for (uint32_t i = 0; i < f->options.items; i++, at += packet_item_bytes(1)) {
        uint8_t outcome = at[offsetof(struct packet_answer, outcome)];
        out->done += outcome == PACKET_OUT_DONE;
        out->other += outcome != PACKET_OUT_DONE;
        out->busy += outcome == PACKET_OUT_BUSY;
    }
}

// ------------------------------------------------------------------------------- the port

struct feed_port {
    struct ingest_port port;
    struct feed *feed;
    struct feed_result result;
    uint32_t free_count;
    uint32_t ringing;
    struct park park;
    uint8_t **free, *memory;
};

static uint32_t port_receive(struct ingest_port *port, struct ingest_frame *frames, uint32_t max)
{
    struct feed_port *p = (struct feed_port *)port;
    uint32_t n = p->free_count < max ? p->free_count : max;
    if (p->feed->receiving)
        p->feed->receiving(true);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = p->free[--p->free_count];
        feed_make(p->feed, at);
        frames[i] = (struct ingest_frame){.payload = at, .cookie = at, .bytes = p->feed->bytes};
    }
    if (p->feed->receiving)
        p->feed->receiving(false);
    return n;
}

static void port_drop(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    struct feed_port *p = (struct feed_port *)port;
    for (uint32_t i = 0; i < count; i++)
        p->free[p->free_count++] = frames[i].cookie;
}

static void port_answer(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    struct feed_port *p = (struct feed_port *)port;
    for (uint32_t i = 0; i < count; i++)
        feed_count(p->feed, frames[i].payload, &p->result);
    port_drop(port, frames, count);
}

static void port_wait(struct ingest_port *port, uint32_t timeout_ms)
{
    struct feed_port *p = (struct feed_port *)port;
    uint32_t key = park_prepare(&p->park);
    if (hf_exchange(&p->ringing, 0u))
        park_cancel(&p->park);
    else
        park_wait(&p->park, key, timeout_ms);
}

static void port_ring(struct ingest_port *port)
{
    struct feed_port *p = (struct feed_port *)port;
    hf_store_seq(&p->ringing, 1u);
    park_wake(&p->park);
}

static void port_destroy(struct ingest_port *port)
{
    (void)port;
}

struct feed_port *feed_port_create(struct feed *f, uint32_t outstanding)
{
    static const struct ingest_port_ops ops = {.receive = port_receive,
                                               .answer = port_answer,
                                               .drop = port_drop,
                                               .wait = port_wait,
                                               .ring = port_ring,
                                               .destroy = port_destroy};
    struct feed_port *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->feed = f;
    p->free = calloc(outstanding, sizeof *p->free);
    p->memory = aligned_alloc(HF_CACHE_LINE, (size_t)outstanding * SLOT_BYTES);
    if (!p->free || !p->memory) {
        feed_port_destroy(p);
        return NULL;
    }
    memset(p->memory, 0, (size_t)outstanding * SLOT_BYTES);
    // A device leaves room in front; frames begin where an Ethernet frame's payload would.
    for (uint32_t i = 0; i < outstanding; i++)
        p->free[p->free_count++] = p->memory + (size_t)i * SLOT_BYTES + 128 + 42;
    // Never BUSY for want of buffers: there are fewer frames than it would hold.
    p->port = (struct ingest_port){.ops = &ops, .frames_max = outstanding + INGEST_BURST_MAX};
    return p;
}

void feed_port_destroy(struct feed_port *p)
{
    if (!p)
        return;
    free(p->free);
    free(p->memory);
    free(p);
}

struct ingest_port *feed_port_of(struct feed_port *p)
{
    return &p->port;
}

struct feed_result feed_port_result(const struct feed_port *p)
{
    return p->result;
}
