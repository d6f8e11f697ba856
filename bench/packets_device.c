#include "packets_device.h"

#include "ingest/dpdk.h"
#include "ingest/net.h"

#include <rte_bus_vdev.h>
#include <rte_config.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RING_FRAMES 8192
#define BURST_MAX   64
#define IN_FLIGHT   64 // frames that go round: as few as keep the loop's bursts full

struct packets_device {
    enum packets_kind kind;
    char name[64], capture[64]; // the capture's file
    struct ingest_dpdk *device;
    struct feed *feed;
    struct feed_result result;
    bool bare;                  // what is sent are no answers
    struct rte_ring *to, *from; // of the neighbour
    struct rte_mempool *pool;   // its frames
    uint16_t id;
    const struct rte_eth_rxtx_callback *receives, *sends;
    uint8_t head[NET_HEADERS_BYTES];
};

// The neighbour's headers: its UDP checksum is left out, as tags make up for it.
static void head_make(struct packets_device *r)
{
    struct rte_ether_addr mac;
    uint8_t *ip = r->head + NET_ETHER_BYTES, *udp = ip + NET_IPV4_BYTES;
    uint32_t sum = 0, all = NET_IPV4_BYTES + NET_UDP_BYTES + r->feed->bytes;
    static const uint8_t fixed[20] = {0x45, 0, 0,  0, 0, 0, 0,  0, 64, 17,
                                      0,    0, 10, 0, 0, 1, 10, 0, 0,  2};
    (void)!rte_eth_macaddr_get(r->id, &mac);
    memcpy(r->head, mac.addr_bytes, 6);
    memcpy(r->head + 6, "\2\0\0\0\0\x99", 6);
    memcpy(r->head + 12, "\x08\0", 2);
    memcpy(ip, fixed, sizeof fixed);
    ip[2] = (uint8_t)(all >> 8);
    ip[3] = (uint8_t)all;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = ~((sum & 0xffff) + (sum >> 16));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
    memcpy(udp, "\x9c\x40\x1c\xfe", 4); // 40000 to 7422
    all -= NET_IPV4_BYTES;
    udp[4] = (uint8_t)(all >> 8);
    udp[5] = (uint8_t)all;
}

static void orders_make(struct packets_device *r, struct rte_mbuf **m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = rte_pktmbuf_mtod(m[i], uint8_t *);
        memcpy(at, r->head, sizeof r->head);
        feed_make(r->feed, at + NET_HEADERS_BYTES);
    }
}

// One turn of the neighbour: what came back goes out again as new orders, and so does what was
// dropped.
static void neighbour_step(struct packets_device *r)
{
    struct rte_mbuf *m[BURST_MAX];
    uint32_t got = rte_ring_dequeue_burst(r->from, (void **)m, BURST_MAX, NULL);
    while (got < BURST_MAX && (m[got] = rte_pktmbuf_alloc(r->pool)) != NULL)
        got++;
    orders_make(r, m, got);
    for (uint32_t i = 0; i < got; i++) {
        m[i]->data_len = (uint16_t)(NET_HEADERS_BYTES + r->feed->bytes);
        m[i]->pkt_len = m[i]->data_len;
        m[i]->ol_flags = 0;
    }
    HF_ASSERT(rte_ring_enqueue_bulk(r->to, (void **)m, got, NULL) == got);
}

// After each burst that was received, an empty one too.
static uint16_t received(uint16_t id, uint16_t queue, struct rte_mbuf **m, uint16_t count,
                         uint16_t max, void *ctx)
{
    struct packets_device *r = ctx;
    (void)id;
    (void)queue;
    (void)max;
    if (r->kind == PACKETS_RING)
        neighbour_step(r);
    else
        orders_make(r, m, count);
    return count;
}

// Before a burst is sent.
static uint16_t sending(uint16_t id, uint16_t queue, struct rte_mbuf **m, uint16_t count, void *ctx)
{
    struct packets_device *r = ctx;
    (void)id;
    (void)queue;
    for (uint16_t i = 0; i < count && !r->bare; i++)
        feed_count(r->feed, rte_pktmbuf_mtod(m[i], uint8_t *) + NET_HEADERS_BYTES, &r->result);
    return count;
}

uint32_t packets_device_macswap(struct packets_device *r)
{
    struct rte_mbuf *m[BURST_MAX];
    r->bare = true;
    uint16_t got = rte_eth_rx_burst(r->id, 0, m, 32);
    for (uint16_t i = 0; i < got; i++) {
        uint8_t *at = rte_pktmbuf_mtod(m[i], uint8_t *), mac[6];
        memcpy(mac, at, 6);
        memcpy(at, at + 6, 6);
        memcpy(at + 6, mac, 6);
    }
    uint16_t sent = rte_eth_tx_burst(r->id, 0, m, got);
    HF_ASSERT(sent == got); // a ring takes more than there are, and nothing takes all
    r->bare = false;
    return got;
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status eal_start(void)
{
    static bool started;
    char why[200];
    if (started)
        return HF_OK;
    enum hf_status s =
        ingest_dpdk_start("--no-huge --no-pci --no-shconf -m 128 --log-level=*:error", why);
    started = s == HF_OK;
    if (!started)
        fprintf(stderr, "%s\n", why);
    return s;
}

static bool rings_make(struct packets_device *r, int life)
{
    char text[32];
    snprintf(text, sizeof text, "to%d", life);
    r->to = rte_ring_create(text, RING_FRAMES, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(text, sizeof text, "from%d", life);
    r->from = rte_ring_create(text, RING_FRAMES, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    snprintf(text, sizeof text, "neighbour%d", life);
    r->pool = rte_pktmbuf_pool_create(text, IN_FLIGHT, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
    snprintf(text, sizeof text, "bench%d", life);
    snprintf(r->name, sizeof r->name, "net_ring_%s", text);
    return r->to && r->from && r->pool && rte_eth_from_rings(text, &r->to, 1, &r->from, 1, 0) >= 0;
}

// A file of one frame of the right length, of zeros.
static bool capture_write(struct packets_device *r)
{
    static const uint8_t frame[NET_HEADERS_BYTES + PACKET_BYTES_MAX];
    const uint32_t bytes = NET_HEADERS_BYTES + r->feed->bytes;
    const uint32_t head[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1},
                   each[4] = {0, 0, bytes, bytes};
    snprintf(r->capture, sizeof r->capture, "/tmp/holdfast-bench-XXXXXX");
    int fd = mkstemp(r->capture);
    bool good = fd >= 0 && write(fd, head, sizeof head) == sizeof head &&
                write(fd, each, sizeof each) == sizeof each &&
                write(fd, frame, bytes) == (ssize_t)bytes;
    if (fd < 0)
        r->capture[0] = 0;
    else
        close(fd);
    return good;
}

static bool capture_make(struct packets_device *r, int life)
{
    char options[128];
    snprintf(r->name, sizeof r->name, "net_pcap%d", life);
    if (!capture_write(r))
        return false;
    snprintf(options, sizeof options, "rx_pcap=%s,infinite_rx=1", r->capture);
    return rte_vdev_init(r->name, options) == 0;
}

enum hf_status packets_device_create(enum packets_kind kind, struct feed *f, uint32_t outstanding,
                                     uint32_t burst, struct packets_device **out)
{
    static int life;
    char why[200] = "no such device";
    struct ingest_dpdk_options o = {.host = "10.0.0.2",
                                    .also = "",
                                    .port = 7422,
                                    .queues = 1,
                                    .frames = outstanding,
                                    .burst = burst,
                                    .descriptors = 1024,
                                    .idle_us = 50};
    bool (*const make)(struct packets_device *, int) =
        kind == PACKETS_RING ? rings_make : capture_make;
    enum hf_status s = eal_start();
    struct packets_device *r = s == HF_OK ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return s == HF_OK ? HF_NO_MEMORY : s;
    *out = r;
    r->kind = kind;
    r->feed = f;
    o.device = r->name;
    s = make(r, ++life) ? ingest_dpdk_open(&o, &r->device, why) : HF_NO_MEMORY;
    if (s != HF_OK) {
        fprintf(stderr, "%s\n", why);
        r->device = NULL;
        return s;
    }
    (void)!rte_eth_dev_get_port_by_name(r->name, &r->id);
    head_make(r);
    r->receives = rte_eth_add_rx_callback(r->id, 0, received, r);
    r->sends = rte_eth_add_tx_callback(r->id, 0, sending, r);
    return r->receives && r->sends ? HF_OK : HF_NO_MEMORY;
}

void packets_device_destroy(struct packets_device *r)
{
    struct rte_mbuf *m;
    if (!r)
        return;
    // They would outlive the device, and be those of the next one with its number.
    if (r->receives)
        HF_ASSERT(rte_eth_remove_rx_callback(r->id, 0, r->receives) == 0);
    if (r->sends)
        HF_ASSERT(rte_eth_remove_tx_callback(r->id, 0, r->sends) == 0);
    while (r->to && rte_ring_dequeue(r->to, (void **)&m) == 0)
        rte_pktmbuf_free(m);
    while (r->from && rte_ring_dequeue(r->from, (void **)&m) == 0)
        rte_pktmbuf_free(m);
    if (r->device)
        HF_ASSERT(ingest_dpdk_close(r->device) == 0);
    rte_free((void *)(uintptr_t)r->receives);
    rte_free((void *)(uintptr_t)r->sends);
    HF_ASSERT(!r->pool || rte_mempool_in_use_count(r->pool) == 0);
    rte_mempool_free(r->pool);
    rte_ring_free(r->to);
    rte_ring_free(r->from);
    if (r->capture[0])
        unlink(r->capture);
    free(r);
}

struct ingest_port *packets_device_port(struct packets_device *r)
{
    return ingest_dpdk_port(r->device, 0);
}

struct feed_result packets_device_result(const struct packets_device *r)
{
    return r->result;
}

// ------------------------------------------------------------------------------- testpmd

double packets_device_testpmd(const struct packets_device *r, double seconds)
{
    char command[512], device[128] = "net_ring0", line[256];
    double best = 0, told;
    if (r->kind == PACKETS_CAPTURE)
        snprintf(device, sizeof device, "net_pcap0,rx_pcap=%s,infinite_rx=1", r->capture);
    // Frames that were sent once go round its ring for good. Its second thread only reads keys.
    snprintf(command, sizeof command,
             "timeout -s INT %d dpdk-testpmd --no-huge --no-pci --no-shconf --no-telemetry -m 128 "
             "--file-prefix=hfbench%d -l 0,1 --vdev=%s -- --forward-mode=macswap "
             "%s --stats-period 1 --txpkts=114 --burst=32 --total-num-mbufs=4096 "
             "--no-lsc-interrupt 2>/dev/null",
             (int)seconds + 4, (int)getpid(), device, r->kind == PACKETS_RING ? "--tx-first" : "");
    FILE *f = popen(command, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        const char *at = strstr(line, "Rx-pps:");
        if (at && sscanf(at, "Rx-pps: %lf", &told) == 1 && told > best)
            best = told;
    }
    pclose(f);
    return best;
}
