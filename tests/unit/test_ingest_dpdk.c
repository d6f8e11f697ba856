// The loop past the kernel: over a pair of rings and over a file of captured frames. EAL without
// huge pages, bus or root.
#include "ingest/dpdk.h"

#include "base/atomics.h"
#include "base/prng.h"
#include "unit/packet_world.h"
#include "unit/wire_frames.h"

#include <rte_config.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#define RING   4096
#define FRAMES 512
#define BURST  32

static char folder[64], rx_file[96], tx_file[96];

struct dpdk_world {
    struct packet_world p;
    struct ingest_dpdk *device;
    struct wire_self self;
    struct rte_ring *to, *from; // of the neighbour's view
    struct rte_mempool *pool;   // the neighbour's
    const char *also;           // its second address
    uint16_t vlan;
    uint32_t idle_us;
};

static struct ingest_dpdk_options options(const char *device)
{
    return (struct ingest_dpdk_options){.device = device,
                                        .host = "10.0.0.2",
                                        .also = "",
                                        .port = 7422,
                                        .queues = 1,
                                        .frames = FRAMES,
                                        .burst = BURST,
                                        .descriptors = 256,
                                        .idle_us = 50};
}

static void device_open(struct dpdk_world *t, const char *name)
{
    char why[200];
    struct ingest_dpdk_options o = options(name);
    o.also = t->also ? t->also : "";
    o.vlan = t->vlan;
    o.idle_us = t->idle_us ? t->idle_us : o.idle_us;
    if (ingest_dpdk_open(&o, &t->device, why) != HF_OK)
        fail_msg("%s", why);
    uint16_t id;
    struct rte_ether_addr mac;
    assert_int_equal(rte_eth_dev_get_port_by_name(name, &id), 0);
    assert_int_equal(rte_eth_macaddr_get(id, &mac), 0);
    t->self =
        (struct wire_self){.ip = {10, 0, 0, 2}, .port = 7422, .ip6 = {0xfd, 0x77, [13] = 3, 4, 2}};
    memcpy(t->self.mac, mac.addr_bytes, 6);
    world_init(&t->p.w);
    t->p.real = ingest_dpdk_port(t->device, 0);
    packets_open(&t->p, FRAMES, BURST);
}

static void device_close(struct dpdk_world *t)
{
    packets_close(&t->p);
    assert_int_equal(ingest_dpdk_close(t->device), 0); // every buffer is back
    world_fini(&t->p.w);
}

static int set_up_as(void **state, struct dpdk_world as)
{
    static int life;
    char name[32];
    struct dpdk_world *t = calloc(1, sizeof *t);
    *t = as;
    snprintf(name, sizeof name, "to%d", ++life);
    t->to = rte_ring_create(name, RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(name, sizeof name, "from%d", life);
    t->from = rte_ring_create(name, RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(name, sizeof name, "neighbour%d", life);
    t->pool = rte_pktmbuf_pool_create(name, 2047, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
    if (!t->to || !t->from || !t->pool)
        return -1;
    snprintf(name, sizeof name, "wire%d", life);
    if (rte_eth_from_rings(name, &t->to, 1, &t->from, 1, 0) < 0)
        return -1;
    snprintf(name, sizeof name, "net_ring_wire%d", life);
    device_open(t, name);
    *state = t;
    return 0;
}

static int set_up(void **state)
{
    return set_up_as(state, (struct dpdk_world){0});
}

static int set_up_six(void **state)
{
    return set_up_as(state, (struct dpdk_world){.also = "fd77::3:402", .vlan = 7});
}

#define LONG_NAP_S 60

static int set_up_sleepy(void **state)
{
    return set_up_as(state, (struct dpdk_world){.idle_us = LONG_NAP_S * 1000000});
}

static int tear_down(void **state)
{
    struct dpdk_world *t = *state;
    struct rte_mbuf *m;
    device_close(t);
    while (rte_ring_dequeue(t->from, (void **)&m) == 0)
        rte_pktmbuf_free(m);
    assert_int_equal(rte_ring_count(t->to), 0);
    assert_int_equal(rte_mempool_in_use_count(t->pool), 0);
    rte_mempool_free(t->pool);
    rte_ring_free(t->to);
    rte_ring_free(t->from);
    free(t);
    return 0;
}

static void wire_send(struct dpdk_world *t, const uint8_t *frame, size_t bytes)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(t->pool);
    assert_non_null(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)bytes), frame, bytes);
    assert_int_equal(rte_ring_enqueue(t->to, m), 0);
}

// The next frame that the neighbour sees; 0: none.
static size_t wire_next(struct dpdk_world *t, uint8_t frame[WIRE_MAX])
{
    struct rte_mbuf *m;
    if (rte_ring_dequeue(t->from, (void **)&m) != 0)
        return 0;
    size_t bytes = m->data_len;
    assert_int_equal(m->pkt_len, bytes);
    assert_true(bytes <= WIRE_MAX);
    memcpy(frame, rte_pktmbuf_mtod(m, void *), bytes);
    rte_pktmbuf_free(m);
    return bytes;
}

static void order_send(struct dpdk_world *t, uint32_t handle, uint32_t quantity)
{
    uint8_t frame[WIRE_MAX];
    packets_begin(&t->p);
    packets_add(&t->p, PACKET_ORDER, world_id(&t->p.w), &(struct packet_line){handle, quantity}, 1);
    uint32_t bytes = packets_end(&t->p);
    wire_send(t, frame, wire_udp(frame, &t->self, t->p.frame, bytes));
}

// The outcome of the next answer's first item; checked as the neighbour does.
static uint8_t answer_next(struct dpdk_world *t)
{
    uint8_t frame[WIRE_MAX];
    struct packet_header h;
    size_t bytes = 0, all = wire_next(t, frame);
    if (all == 0)
        return 0;
    assert_true(wire_udp_good(frame, all, &t->self, &bytes));
    uint8_t *payload = frame + WIRE_HEADERS;
    assert_int_equal(packet_read(payload, bytes, PACKET_REPLY, &h), PACKET_FAULT_NONE);
    assert_true(packet_open(payload, bytes, t->p.what.key));
    return packet_answer_read(payload + PACKET_HEADER_BYTES).outcome;
}

static struct ingest_port_metrics port_metrics(struct dpdk_world *t)
{
    struct ingest_metrics m = {0};
    ingest_queue_metrics(t->p.queue, &m);
    return m.port;
}

static void orders_come_and_go_in_one_buffer(void **state)
{
    struct dpdk_world *t = *state;
    uint32_t cell = packets_cell(&t->p, "tea", 10);
    order_send(t, cell, 3);
    order_send(t, cell, 8);
    packets_run(&t->p);
    assert_int_equal(answer_next(t), 0); // refused, but an order's refusal is journaled, too
    world_settle(&t->p.w);
    packets_run(&t->p);
    assert_int_equal(answer_next(t), PACKET_OUT_DONE);
    assert_int_equal(answer_next(t), PACKET_OUT_REFUSED);
    assert_int_equal(answer_next(t), 0);
    assert_int_equal(packets_available(&t->p, cell), 7);
    struct ingest_port_metrics m = port_metrics(t);
    assert_int_equal(m.frames_in, 2);
    assert_int_equal(m.frames_out, 2);
    assert_int_equal(m.bytes_out, 2 * (PACKET_HEADER_BYTES + 32));
}

static void the_neighbour_is_answered(void **state)
{
    struct dpdk_world *t = *state;
    static const uint8_t other[4] = {10, 0, 0, 3};
    uint8_t frame[WIRE_MAX];
    wire_send(t, frame, wire_arp(frame, t->self.ip));
    wire_send(t, frame, wire_arp(frame, other));
    wire_send(t, frame, wire_echo(frame, &t->self, 56));
    size_t all = wire_udp(frame, &t->self, "x", 1);
    frame[42] ^= 1;
    wire_send(t, frame, all);
    wire_send(t, frame, 3);
    packets_run(&t->p);
    all = wire_next(t, frame);
    assert_true(wire_arp_good(frame, all, &t->self));
    all = wire_next(t, frame);
    assert_true(wire_echo_good(frame, all, &t->self, 56));
    assert_int_equal(wire_next(t, frame), 0);
    struct ingest_port_metrics m = port_metrics(t);
    assert_int_equal(m.arp, 1);
    assert_int_equal(m.echo, 1);
    assert_int_equal(m.foreign, 2);
    assert_int_equal(m.bad_checksum, 1);
}

// Both families on one device, in a VLAN.
static void a_second_address_and_a_vlan(void **state)
{
    struct dpdk_world *t = *state;
    uint8_t frame[WIRE_MAX];
    uint32_t cell = packets_cell(&t->p, "tea", 10);
    for (int six = 0; six < 2; six++) {
        packets_begin(&t->p);
        packets_add(&t->p, PACKET_ORDER, world_id(&t->p.w), &(struct packet_line){cell, 2}, 1);
        uint32_t bytes = packets_end(&t->p);
        size_t all = six ? wire_udp6(frame, &t->self, t->p.frame, bytes)
                         : wire_udp(frame, &t->self, t->p.frame, bytes);
        wire_send(t, frame, all); // without the tag: nobody's
        wire_send(t, frame, wire_tag(frame, all, 0x2007));
    }
    wire_send(t, frame, wire_tag(frame, wire_solicit(frame, t->self.ip6, wire_peer_ip6), 0x2007));
    packets_run(&t->p);
    world_settle(&t->p.w);
    packets_run(&t->p);
    size_t told = 0, all = wire_untag(frame, wire_next(t, frame), 7); // unasked, at the start
    assert_true(wire_report_good(frame, all, &t->self, false, false));
    all = wire_untag(frame, wire_next(t, frame), 0x2007);
    assert_true(wire_advert_good(frame, all, &t->self, wire_peer_ip6));
    for (int six = 0; six < 2; six++) {
        all = wire_untag(frame, wire_next(t, frame), 0x2007);
        assert_true(six ? wire_udp6_good(frame, all, &t->self, &told)
                        : wire_udp_good(frame, all, &t->self, &told));
        const uint8_t *payload = frame + (six ? WIRE6_HEADERS : WIRE_HEADERS);
        assert_true(packet_open((uint8_t *)(uintptr_t)payload, told, t->p.what.key));
        assert_int_equal(packet_answer_read(payload + PACKET_HEADER_BYTES).outcome,
                         PACKET_OUT_DONE);
    }
    assert_int_equal(packets_available(&t->p, cell), 6);
    struct ingest_port_metrics m = port_metrics(t);
    assert_int_equal(m.foreign, 2);
    assert_int_equal(m.neighbours, 1);
    assert_int_equal(m.members, 1);
    wire_send(t, frame, wire_tag(frame, wire_query(frame, NULL, 28), 0x2007));
    packets_run(&t->p);
    all = wire_untag(frame, wire_next(t, frame), 0x2007);
    assert_true(wire_report_good(frame, all, &t->self, false, true));
    assert_int_equal(port_metrics(t).members, 2);
    struct timespec second = {.tv_sec = 1, .tv_nsec = 50000000};
    nanosleep(&second, NULL); // the first one may have been lost
    packets_run(&t->p);
    all = wire_untag(frame, wire_next(t, frame), 7);
    assert_true(wire_report_good(frame, all, &t->self, false, false));
    packets_run(&t->p);
    assert_int_equal(port_metrics(t).members, 3);
}

// More wait for the disk than may: the rest is BUSY at once, and all buffers come back.
static void held_buffers_are_bounded(void **state)
{
    struct dpdk_world *t = *state;
    uint32_t cell = packets_cell(&t->p, "tea", 100000), busy = 0, done = 0;
    for (int i = 0; i < 1000; i++)
        order_send(t, cell, 1);
    packets_run(&t->p);
    for (uint8_t o; (o = answer_next(t)) != 0; busy++)
        assert_int_equal(o, PACKET_OUT_BUSY);
    assert_int_equal(busy, 1000 - (FRAMES - BURST));
    world_settle(&t->p.w);
    packets_run(&t->p);
    for (uint8_t o; (o = answer_next(t)) != 0; done++)
        assert_int_equal(o, PACKET_OUT_DONE);
    assert_int_equal(done, FRAMES - BURST);
    assert_int_equal(packets_available(&t->p, cell), 100000 - (int64_t)done);
}

// A ring that is full loses answers, counted, and no buffer.
static void a_wire_that_takes_nothing_loses_answers(void **state)
{
    struct dpdk_world *t = *state;
    struct rte_mbuf *m;
    packets_close(&t->p);
    fake_storage_kill(t->p.w.disk);
    t->p.w.options.journal.mode = JOURNAL_NONE; // so that answers come at once
    packets_open(&t->p, FRAMES, BURST);
    uint32_t cell = packets_cell(&t->p, "tea", 100000);
    m = rte_pktmbuf_alloc(t->pool);
    for (; rte_ring_free_count(t->from) > 10; rte_pktmbuf_refcnt_update(m, 1))
        assert_int_equal(rte_ring_enqueue(t->from, m), 0);
    rte_pktmbuf_free(m);
    for (int i = 0; i < 100; i++)
        order_send(t, cell, 1);
    packets_run(&t->p);
    while (rte_ring_dequeue(t->from, (void **)&m) == 0)
        rte_pktmbuf_free(m);
    struct ingest_port_metrics now = port_metrics(t);
    assert_int_equal(now.send_lost + now.frames_out, 100);
    assert_in_range(now.send_lost, 80, 95);
}

// Any bytes on the wire: nothing crashes, and tear_down finds every buffer.
static void any_frame_gives_its_buffer_back(void **state)
{
    struct dpdk_world *t = *state;
    struct prng rng = {11};
    uint32_t cell = packets_cell(&t->p, "tea", 1 << 30);
    for (int i = 0; i < 20000; i++) {
        uint8_t frame[WIRE_MAX];
        packets_begin(&t->p);
        for (uint64_t k = prng_below(&rng, 4); k > 0; k--)
            packets_add(&t->p, PACKET_ORDER, world_id(&t->p.w), &(struct packet_line){cell, 1}, 1);
        uint32_t bytes = packets_end(&t->p);
        size_t all =
            i % 7 ? wire_udp(frame, &t->self, t->p.frame, bytes) : wire_echo(frame, &t->self, 30);
        for (uint64_t k = prng_below(&rng, 3); k > 0; k--)
            frame[prng_below(&rng, all)] = (uint8_t)prng_next(&rng);
        if (prng_chance(&rng, 1, 4))
            all = prng_below(&rng, all) + 1;
        wire_send(t, frame, all);
        if (i % 64 == 63) {
            packets_run(&t->p);
            if (i % 1024 == 1023)
                world_pass(&t->p.w, 10);
            packets_run(&t->p);
            while (wire_next(t, frame))
                ;
        }
    }
    packets_run(&t->p);
    world_settle(&t->p.w);
    packets_run(&t->p);
    struct ingest_metrics m = {0};
    ingest_queue_metrics(t->p.queue, &m);
    assert_true(m.outcomes[PACKET_OUT_DONE] > 1000 && m.dropped[INGEST_DROP_FORGED] > 0 &&
                m.port.bad_checksum > 1000);
}

static void it_sleeps_until_rung(void **state)
{
    struct dpdk_world *t = *state;
    struct ingest_device device;
    ingest_queue_ring(t->p.queue);
    ingest_queue_wait(t->p.queue, 60000); // was rung: at once
    for (int i = 0; i < 100; i++)
        ingest_queue_wait(t->p.queue, 60000); // quiet: short sleeps, whatever may be asked
    t->p.real->ops->device(t->p.real, &device);
    assert_true(device.link_up);
    assert_int_equal(device.no_mbuf, 0);
}

// Frames of which none is ours don't send the thread to sleep: ours may be behind them.
static void nobody_s_frames_are_no_quiet(void **state)
{
    struct dpdk_world *t = *state;
    uint8_t frame[WIRE_MAX];
    uint32_t cell = packets_cell(&t->p, "tea", 10);
    for (int i = 0; i < 10 * BURST; i++)
        wire_send(t, frame, 3);
    order_send(t, cell, 1);
    time_t end = time(NULL) + LONG_NAP_S;
    while (!ingest_queue_step(t->p.queue)) {
        ingest_queue_wait(t->p.queue, UINT32_MAX);
        assert_true(time(NULL) < end);
    }
    world_settle(&t->p.w);
    packets_run(&t->p);
    assert_int_equal(answer_next(t), PACKET_OUT_DONE);
    assert_int_equal(port_metrics(t).foreign, 10 * BURST);
}

// Another thread puts frames on the wire, rings, and looks at counters and device, as a daemon's
// do. DPDK's own code is none that the thread sanitizer sees, so the edge from a frame's writer to
// its reader, which its rings make, is stated here once more: E0 pairs with E1.
#define THREADED 1200

struct threaded {
    struct dpdk_world *t;
    struct rte_mbuf *made[THREADED];
    uint64_t sent; // atomic
    const struct ingest_port_ops *ops;
    struct ingest_port_ops seen;
};
static struct threaded *threaded;

static uint32_t receive_seen(struct ingest_port *port, struct ingest_frame *frames, uint32_t max)
{
    uint32_t n = threaded->ops->receive(port, frames, max);
    (void)hf_load_acquire(&threaded->sent); // E1
    return n;
}

static void *neighbour_run(void *arg)
{
    struct threaded *h = arg;
    struct dpdk_world *t = h->t;
    struct ingest_device device;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < THREADED; i++) {
        hf_store_release(&h->sent, i + UINT64_C(1)); // E0
        while (rte_ring_enqueue(t->to, h->made[i]) != 0)
            sched_yield();
        if (i % 7 == 0) {
            struct ingest_metrics m = {0};
            ingest_queue_metrics(t->p.queue, &m);
            HF_ASSERT(m.frames >= seen);
            seen = m.frames;
            t->p.real->ops->device(t->p.real, &device);
            ingest_queue_ring(t->p.queue);
            ingest_queue_durable_advanced(t->p.queue);
        }
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void threads_meet_at_a_queue(void **state)
{
    struct dpdk_world *t = *state;
    struct threaded h = {.t = t, .ops = t->p.real->ops, .seen = *t->p.real->ops};
    uint32_t cell = packets_cell(&t->p, "tea", 100000), done = 0, busy = 0;
    pthread_t other;
    for (uint32_t i = 0; i < THREADED; i++) {
        order_send(t, cell, 1);
        assert_int_equal(rte_ring_dequeue(t->to, (void **)&h.made[i]), 0);
    }
    threaded = &h;
    h.seen.receive = receive_seen;
    t->p.real->ops = &h.seen;
    assert_int_equal(pthread_create(&other, NULL, neighbour_run, &h), 0);
    while (done + busy < THREADED) {
        if (!ingest_queue_step(t->p.queue)) {
            ingest_queue_wait(t->p.queue, 10);
            world_settle(&t->p.w);
        }
        for (uint8_t o; (o = answer_next(t)) != 0;) {
            done += o == PACKET_OUT_DONE;
            busy += o == PACKET_OUT_BUSY;
        }
    }
    pthread_join(other, NULL);
    t->p.real->ops = h.ops;
    assert_int_equal(packets_available(&t->p, cell), 100000 - (int64_t)done);
    assert_true(done >= FRAMES - BURST);
}

static void wrong_options_are_told(void **state)
{
    (void)state;
    char why[200];
    struct ingest_dpdk *d;
    struct ingest_dpdk_options o = options("nowhere0");
    assert_int_equal(ingest_dpdk_open(&o, &d, why), HF_NOT_FOUND);
    assert_non_null(strstr(why, "nowhere0"));
    static const struct {
        const char *host, *also;
    } bad[] = {{"not an address", ""},   {"0.0.0.0", ""},        {"::", ""},       {"ff02::1", ""},
               {"10.0.0.2", "10.0.0.3"}, {"fd77::2", "fd77::3"}, {"10.0.0.2", "x"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.host = bad[i].host;
        o.also = bad[i].also;
        assert_int_equal(ingest_dpdk_open(&o, &d, why), HF_INVALID);
    }
    o = options("net_pcap0");
    o.frames = 1u << 24; // more than EAL has
    assert_int_equal(ingest_dpdk_open(&o, &d, why), HF_NO_MEMORY);
    o = options("net_pcap0");
    o.queues = 9;
    assert_int_equal(ingest_dpdk_open(&o, &d, why), HF_INVALID);
    assert_int_equal(ingest_dpdk_start("", why), HF_EXISTS);
}

// ------------------------------------------------------------------------------- capture

// The session that packets_open will open, and its engine's generation, as they always come out.
#define SESSION_SEED_99 (99u << 16)
#define CAPTURED        40

static void capture_write(void)
{
    const uint32_t head[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1};
    // Not the device's own address: a capture's device takes what it finds under its own.
    const struct wire_self to = {
        .mac = {2, 0x70, 0x63, 0x61, 0x70, 0}, .ip = {10, 0, 0, 2}, .port = 7422};
    const uint8_t key[PACKET_KEY_BYTES] = {7, 1, [9] = 3};
    FILE *f = fopen(rx_file, "wb");
    assert_non_null(f);
    fwrite(head, sizeof head, 1, f);
    for (uint32_t i = 0; i < CAPTURED; i++) {
        uint8_t frame[WIRE_MAX], payload[PACKET_BYTES_MAX];
        struct packet_writer w;
        struct packet_item item = {.kind = PACKET_ORDER, .lines = 1};
        packets_id(hf_uuid_v7(1700000000000, 1, hf_mix64(i / 2)), item.id); // each twice
        packet_begin(&w, payload, sizeof payload);
        assert_true(packet_add(&w, item, &(struct packet_line){0, 1}));
        uint32_t bytes =
            packet_end(&w, SESSION_SEED_99, i + 1, UINT64_C(0x8000000000000001), 0x5eed);
        packet_seal(payload, bytes, key);
        uint32_t all = (uint32_t)wire_udp(frame, &to, payload, bytes);
        const uint32_t record[4] = {i, 0, all, all};
        fwrite(record, sizeof record, 1, f);
        fwrite(frame, all, 1, f);
    }
    assert_int_equal(fclose(f), 0);
}

static void a_capture_is_answered_into_another(void **state)
{
    (void)state;
    struct dpdk_world t = {0};
    device_open(&t, "net_pcap0");
    const struct wire_self self = t.self;
    assert_int_equal(t.p.session, SESSION_SEED_99);
    assert_int_equal(packets_cell(&t.p, "tea", 100), 0);
    for (int i = 0; i < 10; i++)
        (void)ingest_queue_step(t.p.queue);
    world_settle(&t.p.w);
    packets_run(&t.p);
    assert_int_equal(packets_available(&t.p, 0), 100 - CAPTURED / 2);
    device_close(&t);

    uint32_t head[6], record[4], count = 0, repeats = 0;
    FILE *f = fopen(tx_file, "rb");
    assert_non_null(f);
    assert_int_equal(fread(head, sizeof head, 1, f), 1);
    while (fread(record, sizeof record, 1, f) == 1) {
        uint8_t frame[WIRE_MAX];
        struct packet_header h;
        size_t bytes = 0;
        assert_true(record[2] <= sizeof frame);
        assert_int_equal(fread(frame, record[2], 1, f), 1);
        assert_true(wire_udp_good(frame, record[2], &self, &bytes));
        assert_int_equal(packet_read(frame + WIRE_HEADERS, bytes, PACKET_REPLY, &h),
                         PACKET_FAULT_NONE);
        struct packet_answer a = packet_answer_read(frame + WIRE_HEADERS + PACKET_HEADER_BYTES);
        assert_int_equal(a.outcome, PACKET_OUT_DONE);
        repeats += (a.flags & PACKET_REPEAT) != 0;
        count++;
    }
    fclose(f);
    assert_int_equal(count, CAPTURED);
    assert_int_equal(repeats, CAPTURED / 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    char arguments[400], why[200];
    snprintf(folder, sizeof folder, "/tmp/holdfast-dpdk.XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(rx_file, sizeof rx_file, "%s/in.pcap", folder);
    snprintf(tx_file, sizeof tx_file, "%s/out.pcap", folder);
    capture_write();
    snprintf(arguments, sizeof arguments,
             "--no-huge --no-pci --no-shconf -m 64 --log-level=*:error "
             "--vdev=net_pcap0,rx_pcap=%s,tx_pcap=%s",
             rx_file, tx_file);
    if (ingest_dpdk_start(arguments, why) != HF_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(orders_come_and_go_in_one_buffer),
        TEST(the_neighbour_is_answered),
        cmocka_unit_test_setup_teardown(a_second_address_and_a_vlan, set_up_six, tear_down),
        TEST(held_buffers_are_bounded),
        TEST(a_wire_that_takes_nothing_loses_answers),
        TEST(any_frame_gives_its_buffer_back),
        TEST(it_sleeps_until_rung),
        cmocka_unit_test_setup_teardown(nobody_s_frames_are_no_quiet, set_up_sleepy, tear_down),
        TEST(threads_meet_at_a_queue),
        cmocka_unit_test(wrong_options_are_told),
        cmocka_unit_test(a_capture_is_answered_into_another),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(rx_file);
    unlink(tx_file);
    rmdir(folder);
    ingest_dpdk_stop();
    return failed;
}
