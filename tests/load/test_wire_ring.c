// The load generator's DPDK transport under the packet client, and the engine's DPDK port under the
// loop: two devices of rings in one process, and between them a wire that loses and copies frames.
// No root, no huge pages.
#include "ingest/dpdk.h"

#include "base/prng.h"
#include "load/wire.h"
#include "unit/packet_world.h"

#include <rte_config.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#define RING   4096
#define ITEMS  3000
#define OPEN   300
#define STOCK  2000
#define FRAMES 512
#define BURST  32

struct end {
    struct rte_ring *to, *from; // as the device sees it: from is what it sends
    char name[32];
};

struct story {
    struct packet_world p;
    struct ingest_dpdk *device;
    struct end door, client;
    struct prng random;
    uint32_t lose, copy; // of a thousand frames
    uint32_t lost, copied;
    struct packet_control control;
    bool asked;
    struct packet_client *packets;
    struct packet_client_item items[ITEMS];
    struct packet_line line;
    uint32_t done[PACKET_OUT_END], ended;
};

// ------------------------------------------------------------------------------- the wire

static void end_make(struct end *e, const char *name)
{
    char text[32];
    snprintf(text, sizeof text, "%s-to", name);
    e->to = rte_ring_create(text, RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(text, sizeof text, "%s-from", name);
    e->from = rte_ring_create(text, RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    assert_true(e->to && e->from);
    assert_true(rte_eth_from_rings(name, &e->to, 1, &e->from, 1, 0) >= 0);
    snprintf(e->name, sizeof e->name, "net_ring_%s", name);
}

static void carry(struct story *t, struct end *from, struct end *to)
{
    struct rte_mbuf *m;
    while (rte_ring_dequeue(from->from, (void **)&m) == 0) {
        if (prng_chance(&t->random, t->lose, 1000)) {
            rte_pktmbuf_free(m);
            t->lost++;
            continue;
        }
        if (prng_chance(&t->random, t->copy, 1000)) {
            struct rte_mbuf *copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);
            assert_non_null(copy);
            assert_int_equal(rte_ring_enqueue(to->to, copy), 0);
            t->copied++;
        }
        assert_int_equal(rte_ring_enqueue(to->to, m), 0);
    }
}

// ------------------------------------------------------------------------------- the client

static void control_open(struct packet_control *c)
{
    container_of(c, struct story, control)->asked = true;
}

static enum packet_control_step control_step(struct packet_control *c, struct packet_grant *grant,
                                             char why[PACKET_CLIENT_WHY])
{
    struct story *t = container_of(c, struct story, control);
    (void)why;
    if (!t->asked)
        return PACKET_CONTROL_IDLE;
    t->asked = false;
    packets_session(&t->p);
    *grant = (struct packet_grant){.session = t->p.session,
                                   .tagged = true,
                                   .generation = core_generation(t->p.w.core),
                                   .life_ms = 3600000,
                                   .frame_bytes_max = PACKET_BYTES_MAX,
                                   .kinds = INGEST_KINDS_ALL,
                                   .window_frames = INGEST_WINDOW_FRAMES,
                                   .door = "10.0.0.2",
                                   .port = 7422};
    memcpy(grant->key, t->p.what.key, sizeof grant->key);
    return PACKET_CONTROL_OPENED;
}

static void control_destroy(struct packet_control *c)
{
    (void)c;
}

static void done(void *ctx, struct packet_client_item *item)
{
    struct story *t = ctx;
    assert_int_equal(item->end, PACKET_CLIENT_ANSWERED);
    t->done[item->outcome]++;
    t->ended++;
}

static void client_make(struct story *t)
{
    char why[PACKET_CLIENT_WHY];
    struct wire_options where = {.device = t->client.name, .local = "10.0.0.1:40000"};
    struct packet_client_options o = {.items_max = OPEN,
                                      .frame_items = 4,
                                      .try_ms = 20,
                                      .try_ms_max = 200,
                                      .silence_ms = 600000, // however slow this machine is
                                      .give_up_ms = 86400000,
                                      .transport = wire_transport(&where, why),
                                      .control = &t->control,
                                      .done = done,
                                      .ctx = t};
    if (!o.transport || packet_client_create(&o, &t->packets, why) != PACKET_CLIENT_OK)
        fail_msg("%s", why);
}

// ------------------------------------------------------------------------------- stories

static void story_open(struct story *t)
{
    char why[200];
    struct ingest_dpdk_options o = {.device = t->door.name,
                                    .host = "10.0.0.2",
                                    .also = "",
                                    .port = 7422,
                                    .queues = 1,
                                    .frames = FRAMES,
                                    .burst = BURST,
                                    .descriptors = 256,
                                    .idle_us = 50};
    end_make(&t->door, "door");
    end_make(&t->client, "client");
    o.device = t->door.name;
    if (ingest_dpdk_open(&o, &t->device, why) != HF_OK)
        fail_msg("%s", why);
    world_init(&t->p.w);
    t->p.real = ingest_dpdk_port(t->device, 0);
    packets_open(&t->p, FRAMES, BURST);
    t->control = (struct packet_control){
        .open = control_open, .step = control_step, .destroy = control_destroy};
    client_make(t);
}

static void turn(struct story *t, uint32_t n)
{
    packet_client_poll(t->packets, packet_client_now_ns(t->packets) + (n % 16 ? 0 : 1000000));
    carry(t, &t->client, &t->door);
    packets_run(&t->p);
    if (n % 3 == 0)
        world_settle(&t->p.w);
    carry(t, &t->door, &t->client);
}

static void story_close(struct story *t)
{
    struct packet_client_counts counts = *packet_client_counts(t->packets);
    t->lose = t->copy = 0;
    for (uint32_t i = 0; i < 4; i++) // what is still on its way
        turn(t, 0);
    assert_int_equal(counts.forged + counts.foreign + counts.unknown, 0);
    struct rte_mempool *pool = rte_mempool_lookup("hf-load");
    assert_non_null(pool);
    packets_close(&t->p);
    assert_int_equal(ingest_dpdk_close(t->device), 0);
    assert_int_equal(rte_mempool_in_use_count(pool), 0); // every buffer of the client's, too
    packet_client_destroy(t->packets);
    world_fini(&t->p.w);
}

// P3 and P1 past the kernel, both sides: each order decided once, whatever the wire does.
static void each_order_is_decided_once(void **state)
{
    struct story *t = calloc(1, sizeof *t);
    (void)state;
    assert_non_null(t);
    t->random.state = 5;
    t->lose = t->copy = 30;
    story_open(t);
    t->line = (struct packet_line){packets_cell(&t->p, "tea", STOCK), 1};
    uint32_t asked = 0;
    for (uint32_t n = 1; t->ended < ITEMS; n++) {
        for (; asked < ITEMS && packet_client_open(t->packets) < OPEN; asked++) {
            struct packet_client_item *i = &t->items[asked];
            *i = (struct packet_client_item){.kind = PACKET_ORDER, .lines = &t->line};
            i->line_count = 1;
            packets_id(world_id(&t->p.w), i->id);
            assert_int_equal(packet_client_submit(t->packets, i), PACKET_CLIENT_OK);
        }
        turn(t, n);
    }
    const struct packet_client_counts *counts = packet_client_counts(t->packets);
    struct ingest_metrics m = {0};
    ingest_queue_metrics(t->p.queue, &m);
    assert_int_equal(t->done[PACKET_OUT_DONE], STOCK);
    assert_int_equal(t->done[PACKET_OUT_REFUSED], ITEMS - STOCK);
    assert_int_equal(packets_available(&t->p, t->line.handle), 0);
    assert_true(t->lost > 10 && t->copied > 10 && counts->lost > 0);
    assert_true(m.dropped[INGEST_DROP_REPLAYED] > 0 && m.port.arp > 0);
    assert_int_equal(m.port.bad_checksum + m.dropped[INGEST_DROP_FORGED], 0);
    story_close(t);
    free(t);
}

int main(void)
{
    char why[200];
    if (ingest_dpdk_start("--no-huge --no-pci --no-shconf -m 128 --log-level=*:error", why) !=
        HF_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_order_is_decided_once)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ingest_dpdk_stop();
    return failed;
}
