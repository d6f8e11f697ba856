// Frames of orders through the whole loop, over a port in memory or over DPDK's rings: nothing that
// a stranger sends reaches the engine or is answered; every frame of a session is answered once, in
// its own bytes, when what it tells is durable; every buffer comes back, mbufs too; and the engine
// stays whole.
//
//   byte 0: 1 which rights the sessions have, 2 over the rings, where DPDK is; then steps:
//   0 raw       1 byte of length x 8, bytes: a payload
//   1 wire      the same: from the Ethernet header on, as a device would hand it on
//   2..5 frame  items as below; made by the format's own writer, numbered and sealed
//   6 disk      has everything
//   7 time      1 byte x 10 ms passes
// A frame: flags (1 untagged session, 2 damaged, 4 the same again, 8 stale), items; if damaged, a
// place and a byte; an item: kind, id, flags, lines (2 bits) and time, lines of handle and
// quantity.
#include "fuzz/fuzz.h"
#include "fuzz/fuzz_conserve.h"
#include "fuzz/fuzz_device.h"
#include "unit/packet_world.h"
#include "unit/wire_frames.h"

#include "base/prng.h"
#include "base/status.h"
#include "ingest/net.h"

#define FRAMES_MAX 48
#define BURST      8
#define STEPS_MAX  64

struct packets {
    struct packet_world p;
    uint32_t bare; // the session without tags
    uint64_t bare_sequence;
    uint64_t fed, answered, dropped, alive; // dropped, alive: of the device's
    bool device;
    bool facts; // sessions may RECORD
    struct conserve before, after;
};

static struct fake_storage *folder;
static struct packets *now;
static struct ingest_port *device; // NULL: there is no DPDK
static const struct ingest_port_ops *device_ops;
// Who the device is, and who is asked when the bytes are looked at without one.
static const struct wire_self device_self = {
    .ip = {10, 0, 0, 2}, .port = FUZZ_DEVICE_PORT, .ip6 = {0xfd, 0x77, [13] = 3, 4, 2}};
static const struct net_self self = {.has_ip = true,
                                     .has_ip6 = true,
                                     .ip = {10, 0, 0, 2},
                                     .ip6 = {0xfd, 0x77, [13] = 3, 4, 2},
                                     .port = FUZZ_DEVICE_PORT};

// ------------------------------------------------------------------------------- the port

static void reply_judge(const struct ingest_frame *f)
{
    struct packet_world *p = &now->p;
    struct packet_header h;
    HF_ASSERT(f->ticket <= core_durable(p->w.core)); // P2: nothing is told before
    HF_ASSERT(packet_read(f->payload, f->bytes, PACKET_REPLY, &h) == PACKET_FAULT_NONE);
    HF_ASSERT(h.session == p->session || h.session == now->bare);
    HF_ASSERT(h.generation == core_generation(p->w.core));
    HF_ASSERT(h.session == now->bare ? h.tag == 0 : packet_open(f->payload, f->bytes, p->what.key));
    const uint8_t *at = f->payload + PACKET_HEADER_BYTES;
    for (unsigned i = 0; i < h.count; i++) {
        struct packet_answer a = packet_answer_read(at);
        HF_ASSERT(a.outcome >= 1 && a.outcome < PACKET_OUT_END && a.state < PACKET_STATE_END);
        HF_ASSERT((a.flags & ~(PACKET_REPEAT | PACKET_DURABLE)) == 0);
        at += packet_item_bytes(a.lines);
    }
    now->answered++;
}

static void judged_answer(struct ingest_port *port, const struct ingest_frame *frames,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        reply_judge(&frames[i]);
    fake_drop(port, frames, count);
    ((struct fake_port *)port)->dropped -= count;
}

static const struct ingest_port_ops judged_ops = {.receive = fake_receive,
                                                  .answer = judged_answer,
                                                  .drop = fake_drop,
                                                  .wait = fake_wait,
                                                  .ring = fake_ring,
                                                  .destroy = fake_destroy};

static uint32_t device_receive(struct ingest_port *port, struct ingest_frame *frames, uint32_t max)
{
    uint32_t n = device_ops->receive(port, frames, max);
    now->fed += n;
    now->alive += n;
    return n;
}

static void device_answer(struct ingest_port *port, const struct ingest_frame *frames,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        reply_judge(&frames[i]);
    now->alive -= count;
    device_ops->answer(port, frames, count);
}

static void device_drop(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    now->alive -= count;
    now->dropped += count;
    device_ops->drop(port, frames, count);
}

static const struct ingest_port_ops judged_device_ops = {
    .receive = device_receive, .answer = device_answer, .drop = device_drop};

void fuzz_set_up(void)
{
    folder = folder_simple();
    device = fuzz_device_open();
    if (device) {
        device_ops = device->ops;
        device->ops = &judged_device_ops;
    }
}

// ------------------------------------------------------------------------------- a life

static void open_all(struct packets *t)
{
    struct ingest_session bare = {
        .kinds = t->p.what.kinds, .rate = 1000, .burst = 60, .expires_ms = INGEST_SESSION_FOREVER};
    t->p.real = t->device ? device : NULL;
    packets_open(&t->p, FRAMES_MAX, BURST);
    t->p.port.port.ops = &judged_ops;
    t->p.what.kinds = (uint8_t)(INGEST_KINDS_ALL & ~(t->facts ? 0u : INGEST_KIND(PACKET_RECORD)));
    packets_session(&t->p);
    bare.kinds = t->p.what.kinds;
    HF_ASSERT(ingest_session_open(t->p.sessions, &bare, core_now(t->p.w.core), &t->bare) == HF_OK);
}

static void run(struct packets *t)
{
    struct fake_port *port = &t->p.port;
    while (ingest_queue_step(t->p.queue))
        ;
    HF_ASSERT(port->in_taken == port->in_count);
    port->in_count = port->in_taken = 0;
    if (t->device)
        fuzz_device_clear();
}

// Over either family, with a priority or without.
static void put_on_wire(const uint8_t *bytes, size_t count)
{
    uint8_t frame[FUZZ_DEVICE_MAX];
    bool six = count % 2 && count <= PACKET_BYTES_IPV6;
    if (count > PACKET_BYTES_MAX)
        count = PACKET_BYTES_MAX;
    size_t all = six ? wire_udp6(frame, &device_self, bytes, count)
                     : wire_udp(frame, &device_self, bytes, count);
    fuzz_device_put(frame, count % 3 ? all : wire_tag(frame, all, 0xa000));
}

static void put(struct packets *t, const uint8_t *bytes, uint32_t count)
{
    if (t->device) {
        put_on_wire(bytes, count);
        return;
    }
    fake_put(&t->p.port, bytes, count);
    t->fed++;
}

// ------------------------------------------------------------------------------- steps

static void raw(struct packets *t, struct fuzz_input *in, bool wire)
{
    struct net_part part = {0};
    struct net_self me = self;
    size_t got;
    const uint8_t *data = fuzz_take(in, fuzz_byte(in) * (size_t)8, &got);
    if (!wire) {
        put(t, data, (uint32_t)got);
        return;
    }
    if (t->device) {
        fuzz_device_put(data, got);
        return;
    }
    uint8_t *exact = malloc(got > NET_ANSWER_BYTES ? got : NET_ANSWER_BYTES);
    HF_ASSERT(exact);
    memcpy(exact, data, got);
    uint8_t how = fuzz_byte(in);
    me.vlan = how & 4 ? 7 : 0;
    enum net_says says = net_receive(&me, exact, got, how & 3, &part);
    bool grows = says == NET_NEIGHBOUR || says == NET_MEMBER;
    HF_ASSERT(part.at + part.bytes <= (grows ? NET_ANSWER_BYTES : got));
    if (says == NET_PAYLOAD) {
        put(t, exact + part.at, (uint32_t)part.bytes);
        net_answer(exact, part.bytes, fuzz_byte(in) & 3);
    }
    free(exact);
}

static bool item_add(struct packets *t, struct fuzz_input *in)
{
    struct packet_line lines[4];
    struct packet_item item = {.kind = fuzz_byte(in) % 9};
    uint8_t which = fuzz_byte(in);
    item.flags = fuzz_byte(in) & 7;
    uint8_t shape = fuzz_byte(in);
    item.lines = shape & 3;
    item.time = item.kind == PACKET_HOLD ? 1 + (shape >> 2) * 100u : shape >> 7;
    if (which < 240)
        packets_id(shape_id(which % SHAPE_IDS), item.id);
    for (uint8_t i = 0; i < item.lines; i++) {
        lines[i].handle = fuzz_byte(in) % 6;
        lines[i].quantity = item.kind == PACKET_QUERY ? 0 : fuzz_byte(in);
        if (lines[i].quantity == 255)
            lines[i].quantity = UINT32_MAX;
    }
    return packet_add(&t->p.writer, item, lines);
}

static void frame(struct packets *t, struct fuzz_input *in)
{
    struct packet_world *p = &t->p;
    uint8_t flags = fuzz_byte(in);
    bool bare = flags & 1;
    packets_begin(p);
    for (uint8_t left = fuzz_byte(in) % 64; left > 0 && fuzz_left(in); left--)
        if (!item_add(t, in))
            break;
    uint64_t generation = core_generation(p->w.core) - (flags & 8 ? 1 : 0);
    uint32_t bytes = packet_end(&p->writer, bare ? t->bare : p->session,
                                bare ? ++t->bare_sequence : ++p->sequence, generation, flags);
    if (flags & 2 && flags & 16) // damaged before the tag: the sender's fault
        p->frame[fuzz_number(in, 2) % bytes] = fuzz_byte(in);
    if (!bare)
        packet_seal(p->frame, bytes, p->what.key);
    if (flags & 2 && !(flags & 16))
        p->frame[fuzz_number(in, 2) % bytes] ^= fuzz_byte(in);
    put(t, p->frame, bytes);
    if (flags & 4)
        put(t, p->frame, bytes);
}

static void step(struct packets *t, struct fuzz_input *in)
{
    switch (fuzz_byte(in) % 8) {
    case 0:
    case 1:
        raw(t, in, in->at[-1] % 8 == 1);
        break;
    case 6:
        world_settle(&t->p.w);
        break;
    case 7:
        folder_pass(&t->p.w, fuzz_byte(in) * UINT64_C(10));
        break;
    default:
        frame(t, in);
    }
    if (t->p.port.in_count >= BURST || fuzz_left(in) == 0)
        run(t);
}

// What came in was answered, dropped by a cause, or is held; and the cells hold what they should.
static void judge(struct packets *t)
{
    struct ingest_metrics m = {0};
    uint64_t dropped = 0;
    ingest_queue_metrics(t->p.queue, &m);
    for (int i = 0; i < INGEST_DROP_COUNT; i++)
        dropped += m.dropped[i];
    HF_ASSERT(dropped == t->p.port.dropped + t->dropped && m.answered == t->answered);
    HF_ASSERT(t->fed == dropped + t->answered + m.held);
    HF_ASSERT(t->p.port.alive + t->alive == m.held);
    world_settle(&t->p.w);
    run(t);
    HF_ASSERT(t->p.port.alive + t->alive == 0);
    HF_ASSERT(!t->device || fuzz_device_used() == 0);
    conserve_take(&t->p.w, &t->after);
    if (!t->facts)
        conserve_not_oversold(&t->before, &t->after);
}

static void close_all(struct packets *t)
{
    struct world *w = &t->p.w;
    world_settle(w);
    conserve_take(w, &t->before); // may end holds
    world_settle(w);
    conserve_records(w, &t->before);
    packets_close(&t->p);
    fake_storage_kill(w->disk);
    world_open(w);
    conserve_take(w, &t->after);
    conserve_restarted(&t->before, &t->after);
    world_fini(w);
}

// What a neighbour sends, over both families, with a tag and without, to the device and without.
static void wire_seed(uint8_t n)
{
    uint8_t bytes[256] = {0}, *frame = bytes + 3;
    char name[32];
    size_t all = n % 6 == 0   ? wire_udp(frame, &device_self, "an order", 8)
                 : n % 6 == 1 ? wire_udp6(frame, &device_self, "an order", 8)
                 : n % 6 == 2 ? wire_arp(frame, device_self.ip)
                 : n % 6 == 3 ? wire_solicit(frame, device_self.ip6, wire_peer_ip6)
                 : n % 6 == 4 ? wire_echo(frame, &device_self, 8)
                              : wire_echo6(frame, &device_self, 8);
    bool tagged = n >= 12;
    if (tagged)
        all = wire_tag(frame, all, 0x2007);
    all = (all + 7) / 8 * 8;
    bytes[0] = n / 6 % 2 * 2;
    bytes[1] = 1;
    bytes[2] = (uint8_t)(all / 8);
    frame[all] = tagged ? 4 : 0;
    snprintf(name, sizeof name, "wire-%02u", n);
    fuzz_seed(name, bytes, all + 8);
}

void fuzz_seeds(void)
{
    for (uint32_t n = 0; n < 80; n++) {
        struct prng p = {n + 7000};
        uint8_t bytes[600];
        char name[32];
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)prng_next(&p);
        bytes[0] = n & 3;
        bytes[1] = 2;
        bytes[2] = n % 5 ? 0 : 4;
        snprintf(name, sizeof name, "frames-%02u", n);
        fuzz_seed(name, bytes, 60 + n * 6);
    }
    for (uint8_t n = 0; n < 24; n++)
        wire_seed(n);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct packets *t = calloc(1, sizeof *t);
    HF_ASSERT(t);
    now = t;
    uint8_t how = fuzz_byte(&in);
    t->facts = how & 1;
    t->device = device && how & 2;
    folder_clone(&t->p.w, folder);
    open_all(t);
    conserve_take(&t->p.w, &t->before);
    for (int i = 0; i < STEPS_MAX && fuzz_left(&in); i++)
        step(t, &in);
    run(t);
    judge(t);
    close_all(t);
    free(t);
}
