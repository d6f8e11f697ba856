// Buffers hold a datagram, its peer and its payload; the free ones are a stack. A frame's cookie is
// its buffer.
#include "ingest/udp.h"

#include "base/atomics.h"
#include "base/limits.h"
#include "base/memory.h"
#include "packet/packet.h"

#include <stdlib.h>
#include <stdio.h>

// One byte more than a frame may have: a longer one shows.
struct udp_buffer {
    struct udp_datagram datagram;
    uint8_t payload[PACKET_BYTES_MAX + 1];
} __attribute__((aligned(HF_CACHE_LINE)));

struct udp_port {
    struct ingest_port port; // first: the loop holds a pointer to it
    struct udp *udp;
    struct hf_memory memory;
    struct udp_datagram **free;
    uint32_t free_count;
};
static_assert(INGEST_BURST_MAX <= UDP_BATCH_MAX, "a burst is one call");

static void count_add(uint64_t *counter, uint64_t more)
{
    hf_store_relaxed(counter, *counter + more);
}

static uint32_t port_receive(struct ingest_port *port, struct ingest_frame *frames, uint32_t max)
{
    struct udp_port *p = (struct udp_port *)port;
    uint32_t room = max < p->free_count ? max : p->free_count;
    if (room == 0)
        return 0; // the loop keeps a burst's worth of them: only at the very end
    struct udp_datagram **first = p->free + p->free_count - room;
    uint32_t got = udp_receive(p->udp, first, room);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < got; i++) {
        frames[i] = (struct ingest_frame){
            .payload = first[i]->data, .cookie = first[i], .bytes = first[i]->bytes};
        bytes += first[i]->bytes;
    }
    if (got == 0)
        return 0;
    for (uint32_t i = got; i < room; i++) // the unused ones move down
        first[i - got] = first[i];
    p->free_count -= got;
    count_add(&port->metrics.frames_in, got);
    count_add(&port->metrics.bytes_in, bytes);
    return got;
}

static void port_drop(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    struct udp_port *p = (struct udp_port *)port;
    for (uint32_t i = 0; i < count; i++)
        p->free[p->free_count++] = frames[i].cookie;
}

static void port_answer(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    struct udp_port *p = (struct udp_port *)port;
    struct udp_datagram *out[INGEST_BURST_MAX];
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = frames[i].cookie;
        bytes += out[i]->bytes;
    }
    uint32_t sent = udp_send(p->udp, out, count);
    count_add(&port->metrics.frames_out, sent);
    count_add(&port->metrics.bytes_out, bytes);
    count_add(&port->metrics.send_lost, count - sent);
    port_drop(port, frames, count);
}

static void port_wait(struct ingest_port *port, uint32_t timeout_ms)
{
    udp_wait(((struct udp_port *)port)->udp, timeout_ms);
}

static void port_ring(struct ingest_port *port)
{
    udp_ring(((struct udp_port *)port)->udp);
}

static void port_destroy(struct ingest_port *port)
{
    struct udp_port *p = (struct udp_port *)port;
    HF_ASSERT(!p->free || p->free_count == port->frames_max);
    udp_destroy(p->udp);
    hf_memory_unmap(&p->memory);
    free(p->free);
    free(p);
}

uint16_t ingest_udp_port(const struct ingest_port *port)
{
    return udp_port(((const struct udp_port *)port)->udp);
}

static bool buffers_make(struct udp_port *p, uint32_t count)
{
    struct udp_datagram **list = calloc(count, sizeof(struct udp_datagram *));
    if (!list || !hf_memory_map(&p->memory, count * sizeof(struct udp_buffer), HF_PAGES_SMALL)) {
        free(list);
        return false;
    }
    struct udp_buffer *buffers = p->memory.base;
    for (uint32_t i = 0; i < count; i++) {
        buffers[i].datagram.data = buffers[i].payload;
        buffers[i].datagram.room = sizeof buffers[i].payload;
        list[i] = &buffers[count - 1 - i].datagram;
    }
    p->free = list;
    p->free_count = count;
    return true;
}

enum hf_status ingest_udp_create(const struct ingest_udp_options *o, struct ingest_port **out,
                                 char why[200])
{
    static const struct ingest_port_ops ops = {.receive = port_receive,
                                               .answer = port_answer,
                                               .drop = port_drop,
                                               .wait = port_wait,
                                               .ring = port_ring,
                                               .destroy = port_destroy};
    struct udp_port *p = calloc(1, sizeof *p);
    snprintf(why, 200, "no memory");
    if (!p)
        return HF_NO_MEMORY;
    p->port.ops = &ops;
    p->port.frames_max = o->buffers;
    enum hf_status s =
        buffers_make(p, o->buffers) ? udp_os_create(&o->udp, &p->udp, why) : HF_NO_MEMORY;
    if (s != HF_OK) {
        p->udp = NULL;
        port_destroy(&p->port);
        return s;
    }
    *out = &p->port;
    return HF_OK;
}
