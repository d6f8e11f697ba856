// An engine, a table of sessions and a queue on a port in memory, driven by hand. Frames are copied
// into memory of their exact size, so that a reader beyond the end is caught.
#ifndef HOLDFAST_TESTS_UNIT_PACKET_WORLD_H
#define HOLDFAST_TESTS_UNIT_PACKET_WORLD_H

#include "unit/core_world.h"

#include "ingest/ingest.h"
#include "packet/packet.h"
#include "packet/tag.h"

#define FAKE_FRAMES_MAX 256

struct fake_frame {
    uint8_t *data;
    uint32_t bytes;
};

struct fake_port {
    struct ingest_port port;
    struct fake_frame in[FAKE_FRAMES_MAX], out[FAKE_FRAMES_MAX];
    uint32_t in_count, in_taken, out_count, dropped, alive, waits, rings;
};

static inline uint32_t fake_receive(struct ingest_port *port, struct ingest_frame *frames,
                                    uint32_t max)
{
    struct fake_port *p = (struct fake_port *)port;
    uint32_t n = 0;
    for (; n < max && p->in_taken < p->in_count; n++, p->in_taken++)
        frames[n] = (struct ingest_frame){.payload = p->in[p->in_taken].data,
                                          .cookie = p->in[p->in_taken].data,
                                          .bytes = p->in[p->in_taken].bytes};
    return n;
}

static inline void fake_answer(struct ingest_port *port, const struct ingest_frame *frames,
                               uint32_t count)
{
    struct fake_port *p = (struct fake_port *)port;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(p->out_count < FAKE_FRAMES_MAX);
        assert_ptr_equal(frames[i].cookie, frames[i].payload);
        p->out[p->out_count++] = (struct fake_frame){frames[i].payload, frames[i].bytes};
    }
}

static inline void fake_drop(struct ingest_port *port, const struct ingest_frame *frames,
                             uint32_t count)
{
    struct fake_port *p = (struct fake_port *)port;
    for (uint32_t i = 0; i < count; i++) {
        free(frames[i].cookie);
        p->dropped++;
        p->alive--;
    }
}

static inline void fake_wait(struct ingest_port *port, uint32_t timeout_ms)
{
    (void)timeout_ms;
    ((struct fake_port *)port)->waits++;
}

static inline void fake_ring(struct ingest_port *port)
{
    ((struct fake_port *)port)->rings++;
}

static inline void fake_destroy(struct ingest_port *port)
{
    (void)port;
}

static const struct ingest_port_ops fake_port_ops = {.receive = fake_receive,
                                                     .answer = fake_answer,
                                                     .drop = fake_drop,
                                                     .wait = fake_wait,
                                                     .ring = fake_ring,
                                                     .destroy = fake_destroy};

static inline void fake_put(struct fake_port *p, const void *frame, uint32_t bytes)
{
    uint8_t *copy = malloc(bytes ? bytes : 1);
    assert_true(p->in_count < FAKE_FRAMES_MAX);
    memcpy(copy, frame, bytes);
    p->in[p->in_count++] = (struct fake_frame){copy, bytes};
    p->alive++;
}

// Frees what was answered, and begins anew.
static inline void fake_clear(struct fake_port *p)
{
    for (uint32_t i = 0; i < p->out_count; i++) {
        free(p->out[i].data);
        p->alive--;
    }
    assert_int_equal(p->in_taken, p->in_count);
    p->out_count = p->in_count = p->in_taken = 0;
}

struct packet_world {
    struct world w;
    struct ingest_sessions *sessions;
    struct ingest_queue *queue;
    struct fake_port port;
    struct ingest_port *real;   // instead of it, if set
    struct ingest_session what; // of the session
    uint32_t session;
    uint64_t sequence; // the last one used
    struct packet_writer writer;
    uint8_t frame[PACKET_BYTES_MAX];
};

static inline void packets_session(struct packet_world *t)
{
    assert_int_equal(ingest_session_open(t->sessions, &t->what, core_now(t->w.core), &t->session),
                     HF_OK);
    t->sequence = 0;
}

static inline void packets_open(struct packet_world *t, uint32_t frames_max, uint32_t burst)
{
    world_open(&t->w);
    t->port.port = (struct ingest_port){.ops = &fake_port_ops, .frames_max = frames_max};
    assert_int_equal(ingest_sessions_create(8, 99, &t->sessions), HF_OK);
    struct ingest_queue_options o = {.core = t->w.core,
                                     .worker = t->w.worker,
                                     .sessions = t->sessions,
                                     .port = t->real ? t->real : &t->port.port,
                                     .burst = burst};
    assert_int_equal(ingest_queue_create(&o, &t->queue), HF_OK);
    t->what = (struct ingest_session){.key = {7, 1, [9] = 3},
                                      .tagged = true,
                                      .kinds = INGEST_KINDS_ALL,
                                      .expires_ms = INGEST_SESSION_FOREVER};
    packets_session(t);
}

static inline void packets_close(struct packet_world *t)
{
    ingest_queue_destroy(t->queue);
    ingest_sessions_destroy(t->sessions);
    fake_clear(&t->port);
    assert_int_equal(t->port.alive, 0);
    world_close(&t->w);
}

static inline uint32_t packets_cell(struct packet_world *t, const char *sku, int64_t stock)
{
    struct core_admin_answer a;
    core_cell_make(t->w.worker, core_now(t->w.core), sku, (uint32_t)strlen(sku), "shop", 4, 0, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    uint32_t handle = a.handle;
    struct core_change change = {
        .op_id = world_id(&t->w), .handle = handle, .setting = CORE_SET_ON_HAND, .value = stock};
    core_change(t->w.worker, core_now(t->w.core), &change, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(&t->w);
    return handle;
}

static inline int64_t packets_available(struct packet_world *t, uint32_t handle)
{
    struct core_cell c;
    assert_int_equal(core_cell_read(t->w.core, handle, &c), HF_OK);
    return c.available;
}

static inline void packets_begin(struct packet_world *t)
{
    packet_begin(&t->writer, t->frame, sizeof t->frame);
}

static inline void packets_id(struct hf_uuid id, uint8_t bytes[16])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id.hi >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(id.lo >> (56 - 8 * i));
    }
}

static inline void packets_add(struct packet_world *t, enum packet_kind kind, struct hf_uuid id,
                               const struct packet_line *lines, uint8_t count)
{
    struct packet_item item = {
        .kind = (uint8_t)kind, .lines = count, .time = kind == PACKET_HOLD ? 60000 : 0};
    packets_id(id, item.id);
    assert_true(packet_add(&t->writer, item, lines));
}

// Numbered and sealed, in t->frame. Returns its bytes.
static inline uint32_t packets_end(struct packet_world *t)
{
    uint32_t bytes =
        packet_end(&t->writer, t->session, ++t->sequence, core_generation(t->w.core), 0x5eed);
    if (t->what.tagged)
        packet_seal(t->frame, bytes, t->what.key);
    return bytes;
}

static inline void packets_put(struct packet_world *t)
{
    uint32_t bytes = packets_end(t);
    fake_put(&t->port, t->frame, bytes);
}

// Steps until nothing comes any more.
static inline void packets_run(struct packet_world *t)
{
    while (ingest_queue_step(t->queue))
        ;
}

// Answer `item` of reply `n`, which is checked as a client would.
static inline struct packet_answer packets_answer(struct packet_world *t, uint32_t n, uint32_t item,
                                                  const uint8_t **lines)
{
    struct packet_header h;
    assert_true(n < t->port.out_count);
    struct fake_frame *f = &t->port.out[n];
    assert_int_equal(packet_read(f->data, f->bytes, PACKET_REPLY, &h), PACKET_FAULT_NONE);
    assert_int_equal(h.session, t->session);
    assert_int_equal(h.stamp, 0x5eed);
    assert_true(h.generation == core_generation(t->w.core));
    if (t->what.tagged)
        assert_true(packet_open(f->data, f->bytes, t->what.key));
    else
        assert_int_equal(h.tag, 0);
    assert_true(item < h.count);
    const uint8_t *at = f->data + PACKET_HEADER_BYTES;
    struct packet_answer a = packet_answer_read(at);
    for (uint32_t i = 0; i < item; i++) {
        at += packet_item_bytes(a.lines);
        a = packet_answer_read(at);
    }
    if (lines)
        *lines = at + PACKET_ITEM_BYTES;
    return a;
}

#endif
