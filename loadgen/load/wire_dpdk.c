// One queue of one device, polled. Nothing wakes a thread here: waiting is short sleeps.
#include "load/wire.h"

#include "packet/packet.h"

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ARGUMENTS_MAX 64
#define DESCRIPTORS   1024
#define BUFFERS       8191
#define BURST         64
#define ASK_NS        100000000 // between two questions for the door's address
#define SLEEP_NS_MIN  20000
#define SLEEP_NS_MAX  200000

struct wire {
    struct packet_transport ops; // first
    struct wire_ends ends;
    uint16_t device;
    bool started, environment; // what is its own
    struct rte_mempool *pool;
    uint64_t asked_ns;
    struct rte_mbuf *came[BURST]; // received while waiting
    uint16_t came_count;
};

static uint64_t wire_now_ns(struct packet_transport *t)
{
    struct timespec now;
    (void)t;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// ------------------------------------------------------------------------------- out

static uint32_t mbufs_send(struct wire *w, struct rte_mbuf **out, uint32_t n)
{
    uint16_t sent = 0;
    for (int tries = 0; tries < 4 && sent < n; tries++)
        sent += rte_eth_tx_burst(w->device, 0, out + sent, (uint16_t)(n - sent));
    if (sent < n)
        rte_pktmbuf_free_bulk(out + sent, n - sent);
    return sent;
}

static void door_ask(struct wire *w)
{
    uint64_t now = wire_now_ns(&w->ops);
    if (w->asked_ns && now < w->asked_ns + ASK_NS)
        return;
    struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
    uint8_t *at = m ? (void *)rte_pktmbuf_append(m, WIRE_ARP_BYTES) : NULL;
    if (!at)
        return;
    w->asked_ns = now;
    wire_ask(&w->ends, at);
    (void)mbufs_send(w, &m, 1);
}

static bool wire_connect(struct packet_transport *t, const char *address, uint16_t port)
{
    struct wire *w = (struct wire *)t;
    struct wire_ends *e = &w->ends;
    char text[80];
    uint8_t before[4];
    memcpy(before, e->door_ip, sizeof before);
    snprintf(text, sizeof text, "%.63s:%u", address, port);
    if (!wire_address_read(text, e->door_ip, &e->door_port))
        return false;
    if (memcmp(before, e->door_ip, sizeof before) != 0) {
        e->door_known = false;
        w->asked_ns = 0;
    }
    door_ask(w);
    return true;
}

static uint32_t wire_send(struct packet_transport *t, const struct packet_buffer *frames,
                          uint32_t n)
{
    struct wire *w = (struct wire *)t;
    struct rte_mbuf *out[BURST];
    uint32_t made = 0;
    if (!w->ends.door_known) {
        door_ask(w);
        return 0;
    }
    for (; made < n && made < BURST; made++) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
        uint32_t bytes = WIRE_HEADERS_BYTES + frames[made].count;
        uint8_t *at = m ? (void *)rte_pktmbuf_append(m, (uint16_t)bytes) : NULL;
        if (!at) {
            rte_pktmbuf_free(m);
            break;
        }
        memcpy(at + WIRE_HEADERS_BYTES, frames[made].bytes, frames[made].count);
        wire_wrap(&w->ends, at, frames[made].count);
        out[made] = m;
    }
    return mbufs_send(w, out, made);
}

// ------------------------------------------------------------------------------- in

static bool frame_take(struct wire *w, struct rte_mbuf *m, struct packet_buffer *out)
{
    uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
    size_t bytes = 0;
    enum wire_says says = WIRE_OTHER;
    if (m->nb_segs == 1)
        says = wire_read(&w->ends, at, m->data_len, &bytes);
    if (says == WIRE_ANSWER) {
        m->ol_flags = 0;
        (void)mbufs_send(w, &m, 1);
        return false;
    }
    bool taken = says == WIRE_PAYLOAD && bytes <= out->count;
    if (taken) {
        memcpy(out->bytes, at + WIRE_HEADERS_BYTES, bytes);
        out->count = (uint32_t)bytes;
    }
    rte_pktmbuf_free(m);
    return taken;
}

static uint32_t wire_receive(struct packet_transport *t, struct packet_buffer *frames, uint32_t n)
{
    struct wire *w = (struct wire *)t;
    uint32_t kept = 0, room = n < BURST ? n : BURST;
    if (w->came_count == 0)
        w->came_count = rte_eth_rx_burst(w->device, 0, w->came, (uint16_t)room);
    uint16_t some = w->came_count < room ? w->came_count : (uint16_t)room;
    for (uint16_t i = 0; i < some; i++)
        kept += frame_take(w, w->came[i], &frames[kept]);
    w->came_count = (uint16_t)(w->came_count - some);
    memmove(w->came, w->came + some, w->came_count * sizeof(void *));
    return kept;
}

static void wire_wait(struct packet_transport *t, uint64_t until_ns)
{
    struct wire *w = (struct wire *)t;
    uint64_t sleep_ns = SLEEP_NS_MIN, now;
    while (w->came_count == 0 && (now = wire_now_ns(t)) < until_ns) {
        struct timespec span = {0, (long)(sleep_ns < until_ns - now ? sleep_ns : until_ns - now)};
        w->came_count = rte_eth_rx_burst(w->device, 0, w->came, BURST);
        if (w->came_count == 0)
            nanosleep(&span, NULL);
        sleep_ns = sleep_ns * 2 < SLEEP_NS_MAX ? sleep_ns * 2 : SLEEP_NS_MAX;
    }
}

// ------------------------------------------------------------------------------- set-up

static void wire_destroy(struct packet_transport *t)
{
    struct wire *w = (struct wire *)t;
    rte_pktmbuf_free_bulk(w->came, w->came_count);
    if (w->started) {
        (void)!rte_eth_dev_stop(w->device);
        (void)!rte_eth_dev_close(w->device);
    }
    if (w->pool && rte_mempool_in_use_count(w->pool))
        fprintf(stderr, "holdfast-load: %u packet buffers are lost: a bug\n",
                rte_mempool_in_use_count(w->pool));
    rte_mempool_free(w->pool);
    if (w->environment)
        rte_eal_cleanup();
    free(w);
}

// EAL puts its caller on one processor, which is undone; without a list it gets the first one.
static bool eal_start(const char *arguments, char why[PACKET_CLIENT_WHY])
{
    static char own[][20] = {"holdfast-load", "--no-telemetry", "--log-level=4", "-l", "0"};
    char *list[ARGUMENTS_MAX + 5], *next;
    char *text = strdup(arguments), *rest = text;
    int count = 0;
    cpu_set_t before;
    if (!text) {
        snprintf(why, PACKET_CLIENT_WHY, "no memory");
        return false;
    }
    CPU_ZERO(&before);
    sched_getaffinity(0, sizeof before, &before);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &before)) {
            snprintf(own[4], sizeof own[4], "%d", i);
            break;
        }
    for (int i = 0; i < 5; i++)
        list[count++] = own[i];
    while ((next = strsep(&rest, " \t")) != NULL)
        if (next[0] && count < ARGUMENTS_MAX)
            list[count++] = next;
    int taken = rte_eal_init(count, list);
    sched_setaffinity(0, sizeof before, &before);
    free(text);
    if (taken < 0)
        snprintf(why, PACKET_CLIENT_WHY, "EAL: %s: %.120s", rte_strerror(rte_errno), arguments);
    return taken >= 0;
}

static const char *device_start(struct wire *w, const char *name)
{
    struct rte_eth_conf conf = {0};
    struct rte_ether_addr mac;
    uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
    w->device = (uint16_t)rte_eth_find_next_owned_by(0, RTE_ETH_DEV_NO_OWNER);
    if (w->device >= RTE_MAX_ETHPORTS)
        return "EAL has opened no device";
    if (name && rte_eth_dev_get_port_by_name(name, &w->device) != 0)
        return "EAL has opened no such device";
    unsigned socket = (unsigned)rte_eth_dev_socket_id(w->device);
    w->pool =
        rte_pktmbuf_pool_create("hf-load", BUFFERS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, (int)socket);
    if (!w->pool)
        return "no memory for buffers: give EAL more (-m, or huge pages)";
    if (rte_eth_dev_configure(w->device, 1, 1, &conf) != 0 ||
        rte_eth_dev_adjust_nb_rx_tx_desc(w->device, &rx, &tx) != 0 ||
        rte_eth_rx_queue_setup(w->device, 0, rx, socket, NULL, w->pool) != 0 ||
        rte_eth_tx_queue_setup(w->device, 0, tx, socket, NULL) != 0 ||
        rte_eth_macaddr_get(w->device, &mac) != 0 || rte_eth_dev_start(w->device) != 0)
        return "the device refuses";
    w->started = true;
    memcpy(w->ends.mac, mac.addr_bytes, sizeof w->ends.mac);
    return NULL;
}

struct packet_transport *wire_transport(const struct wire_options *o, char why[PACKET_CLIENT_WHY])
{
    static bool there; // an environment cannot be started again
    bool again = there && o->eal;
    struct wire *w = again ? NULL : calloc(1, sizeof *w);
    snprintf(why, PACKET_CLIENT_WHY, "%s", again ? "DPDK is for one thread" : "no memory");
    if (!w)
        return NULL;
    if (!o->local || !wire_address_read(o->local, w->ends.ip, &w->ends.port)) {
        snprintf(why, PACKET_CLIENT_WHY,
                 "DPDK needs an IPv4 address and a port of its own, such as 10.0.0.1:40000");
        free(w);
        return NULL;
    }
    if (o->eal && !eal_start(o->eal, why)) {
        free(w);
        return NULL;
    }
    w->environment = o->eal != NULL;
    there = there || w->environment;
    w->ops = (struct packet_transport){.connect = wire_connect,
                                       .send = wire_send,
                                       .receive = wire_receive,
                                       .wait = wire_wait,
                                       .now_ns = wire_now_ns,
                                       .destroy = wire_destroy};
    const char *bad = device_start(w, o->device);
    if (!bad) {
        why[0] = '\0';
        return &w->ops;
    }
    snprintf(why, PACKET_CLIENT_WHY, "%s (%s)", bad, rte_strerror(rte_errno));
    wire_destroy(&w->ops);
    return NULL;
}
