// A frame's cookie is its mbuf; the answer is written over the request and goes out in the same
// one.
//
// Buffers of a queue: its pool holds what the loop may keep, what the device's rings may keep, the
// caches of the pool and a few bursts, so that the loop's share is its own whatever the others
// hold. At the end all are counted: those that this file has taken and not given on (`taken`), and
// those of the pool, of which one driver keeps its rings' for good.
#include "ingest/dpdk.h"

#include "ingest/net.h"

#include "base/atomics.h"
#include "base/limits.h"
#include "base/log.h"
#include "packet/packet.h"
#include "sys/park.h"

#include <arpa/inet.h>
#include <errno.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_interrupts.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ARGUMENTS_MAX 64
#define CACHE_BUFFERS 256
#define IDLE_US_MAX   1000 // a quiet port is looked at a thousand times a second
#define VLAN_MAX      4094
#define TELL_S        60 // less than a switch's time of forgetting (260 by default)
#define IDLE_SHORT    16 // waits that sleep for idle_us before they grow longer

static_assert(RTE_MBUF_DEFAULT_DATAROOM >= NET_HEADERS_MAX + PACKET_BYTES_MAX, "one is enough");

struct dpdk_port {
    struct ingest_port port; // first: the loop holds a pointer to it
    struct net_self self;
    uint16_t device, queue;
    unsigned offload_out;  // enum net_checked: what the device writes
    uint64_t flags_out[2]; // of an mbuf whose checksums it writes; [1]: IPv6
    uint32_t idle_us, idle_waits, burst;
    int epoll, bell; // for sleeping on interrupts, else -1
    struct rte_epoll_event bell_event;
    bool tells;          // that it listens to its IPv6 group; one queue does
    uint32_t told;       // times
    uint64_t tell_next;  // of the processor's counter
    bool found;          // the last look found frames, be they nobody's
    uint32_t came_count; // frames that were there when it was about to sleep
    struct rte_mbuf *came[INGEST_BURST_MAX];
    struct rte_mempool *pool;
    uint64_t taken;   // buffers received and neither sent nor freed; the queue's thread
    uint32_t resting; // of the pool, in the device's rings before the first frame
    uint32_t ringing; // atomic: ring was called since the last wait
    struct park park;
} __attribute__((aligned(HF_CACHE_LINE)));

struct ingest_dpdk {
    uint16_t device, queues, descriptors_out;
    bool started;
    bool keeps; // what its rings hold, when it is closed
    bool wakes; // by interrupts
    struct dpdk_port ports[INGEST_DPDK_QUEUES_MAX];
};

static void count_add(uint64_t *counter, uint64_t more)
{
    hf_store_relaxed(counter, *counter + more);
}

// ------------------------------------------------------------------------------- environment

// EAL's lines, as events of this program's log.
static ssize_t log_line(void *cookie, const char *text, size_t bytes)
{
    (void)cookie;
    char line[240];
    size_t n = bytes < sizeof line - 1 ? bytes : sizeof line - 1;
    memcpy(line, text, n);
    line[n] = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *quote = line; (quote = strchr(quote, '"'));)
        *quote = '\'';
    if (line[0])
        hf_log(HF_LOG_INFO, "dpdk", "says=\"%s\"", line);
    return (ssize_t)bytes;
}

static void log_take(void)
{
    FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_line});
    if (!f)
        return; // then they go where EAL sends them
    setvbuf(f, NULL, _IOLBF, 0);
    rte_openlog_stream(f);
}

static bool names_cores(char *const *arguments, int count)
{
    for (int i = 0; i < count; i++)
        if (strncmp(arguments[i], "-l", 2) == 0 || strncmp(arguments[i], "-c", 2) == 0 ||
            strncmp(arguments[i], "--lcores", 8) == 0)
            return true;
    return false;
}

static int first_core(const cpu_set_t *set)
{
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, set))
            return i;
    return 0;
}

enum hf_status ingest_dpdk_start(const char *arguments, char why[200])
{
    static bool started;
    static char own[4][32] = {"holdfast", "--no-telemetry", "-l", ""};
    char *list[ARGUMENTS_MAX + 4] = {own[0], own[1]}, *rest, *next;
    int count = 2;
    cpu_set_t before;
    char *text = strdup(arguments);
    if (!text || started) {
        free(text);
        snprintf(why, 200, started ? "EAL was started before" : "no memory");
        return started ? HF_EXISTS : HF_NO_MEMORY;
    }
    for (rest = text; (next = strsep(&rest, " \t")) != NULL;)
        if (next[0] && count < ARGUMENTS_MAX)
            list[count++] = next;
    CPU_ZERO(&before);
    sched_getaffinity(0, sizeof before, &before);
    if (!names_cores(list, count)) {
        snprintf(own[3], sizeof own[3], "%d", first_core(&before));
        list[count++] = own[2];
        list[count++] = own[3];
    }
    log_take();
    int taken = rte_eal_init(count, list);
    sched_setaffinity(0, sizeof before, &before); // it has put this thread on one processor
    free(text);                                   // EAL keeps copies
    if (taken < 0) {
        snprintf(why, 200, "EAL: %s: %.150s", rte_strerror(rte_errno), arguments);
        return HF_INVALID;
    }
    started = true;
    return HF_OK;
}

void ingest_dpdk_stop(void)
{
    rte_eal_cleanup();
}

// ------------------------------------------------------------------------------- receive

static unsigned checked_in(const struct rte_mbuf *m)
{
    return ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD
                ? NET_CHECKED_IPV4
                : 0u) |
           ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD
                ? NET_CHECKED_UDP
                : 0u);
}

// Whatever does not go out is lost, as on the wire.
static void mbufs_send(struct dpdk_port *p, struct rte_mbuf **out, uint16_t count)
{
    uint16_t sent = 0;
    p->taken -= count;
    for (int tries = 0; tries < 4 && sent < count; tries++)
        sent += rte_eth_tx_burst(p->device, p->queue, out + sent, (uint16_t)(count - sent));
    if (HF_UNLIKELY(sent < count)) {
        count_add(&p->port.metrics.send_lost, (uint64_t)(count - sent));
        rte_pktmbuf_free_bulk(out + sent, (unsigned)(count - sent));
    }
    count_add(&p->port.metrics.frames_out, sent);
}

static void mbuf_free(struct dpdk_port *p, struct rte_mbuf *m)
{
    p->taken--;
    rte_pktmbuf_free(m);
}

// Not an order: answered here, or let go.
static void neighbour(struct dpdk_port *p, struct rte_mbuf *m, enum net_says says, size_t bytes)
{
    struct ingest_port_metrics *c = &p->port.metrics;
    if (says == NET_ARP || says == NET_NEIGHBOUR || says == NET_MEMBER || says == NET_ECHO) {
        count_add(says == NET_ARP         ? &c->arp
                  : says == NET_ECHO      ? &c->echo
                  : says == NET_NEIGHBOUR ? &c->neighbours
                                          : &c->members,
                  1);
        m->ol_flags = 0;
        m->data_len = (uint16_t)bytes;
        m->pkt_len = (uint32_t)bytes;
        mbufs_send(p, &m, 1);
        return;
    }
    count_add(says == NET_FRAGMENT       ? &c->fragments
              : says == NET_BAD_CHECKSUM ? &c->bad_checksum
                                         : &c->foreign,
              1);
    mbuf_free(p, m);
}

// Twice at first, since it may be lost, and then again and again: links and switches come back
// without a word.
static void member_tell(struct dpdk_port *p, uint64_t now)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);
    p->tell_next = now + (p->told++ ? TELL_S : 1) * rte_get_tsc_hz();
    if (!m)
        return;
    p->taken++;
    count_add(&p->port.metrics.members, 1);
    m->data_len = (uint16_t)net_member_report(&p->self, rte_pktmbuf_mtod(m, uint8_t *));
    m->pkt_len = m->data_len;
    mbufs_send(p, &m, 1);
}

static uint16_t mbufs_receive(struct dpdk_port *p, struct rte_mbuf **in, uint32_t max)
{
    uint16_t got = rte_eth_rx_burst(p->device, p->queue, in, (uint16_t)max);
    p->taken += got;
    return got;
}

static uint16_t came_take(struct dpdk_port *p, struct rte_mbuf **in, uint32_t max)
{
    uint16_t got = (uint16_t)(p->came_count < max ? p->came_count : max);
    memcpy(in, p->came, got * sizeof(void *));
    p->came_count -= got;
    memmove(p->came, p->came + got, p->came_count * sizeof(void *));
    return got;
}

static uint32_t port_receive(struct ingest_port *port, struct ingest_frame *frames, uint32_t max)
{
    struct dpdk_port *p = (struct dpdk_port *)port;
    struct rte_mbuf *in[INGEST_BURST_MAX];
    uint64_t now = p->tells ? rte_rdtsc() : 0;
    if (HF_UNLIKELY(p->tells && now >= p->tell_next))
        member_tell(p, now);
    uint16_t got = HF_UNLIKELY(p->came_count) ? came_take(p, in, max) : mbufs_receive(p, in, max);
    uint32_t n = 0;
    uint64_t all = 0;
    p->found = got != 0;
    if (got == 0)
        return 0;
    p->idle_waits = 0;
    for (uint16_t i = 0; i < got; i++)
        hf_prefetch_write(rte_pktmbuf_mtod(in[i], void *));
    for (uint16_t i = 0; i < got; i++) {
        struct rte_mbuf *m = in[i];
        uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
        struct net_part part = {0};
        enum net_says says = NET_FRAGMENT;
        if (HF_LIKELY(m->nb_segs == 1))
            says = net_receive(&p->self, at, m->data_len, checked_in(m), &part);
        if (HF_UNLIKELY(says != NET_PAYLOAD)) {
            neighbour(p, m, says, part.bytes);
            continue;
        }
        all += part.bytes;
        frames[n++] = (struct ingest_frame){
            .payload = at + part.at, .cookie = m, .bytes = (uint32_t)part.bytes};
    }
    count_add(&port->metrics.frames_in, got);
    count_add(&port->metrics.bytes_in, all);
    return n;
}

static void port_answer(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    struct dpdk_port *p = (struct dpdk_port *)port;
    struct rte_mbuf *out[INGEST_BURST_MAX];
    uint64_t all = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct rte_mbuf *m = frames[i].cookie;
        uint8_t *at = rte_pktmbuf_mtod(m, uint8_t *);
        struct net_headers h = net_answer(at, frames[i].bytes, p->offload_out);
        m->data_len = (uint16_t)(frames[i].payload - at + frames[i].bytes); // without the padding
        m->pkt_len = m->data_len;
        m->ol_flags = p->flags_out[h.six];
        if (HF_UNLIKELY(!h.summed))
            m->ol_flags &= ~RTE_MBUF_F_TX_UDP_CKSUM; // else it would sum over a field that is 0
        m->l2_len = h.ether;
        m->l3_len = h.ip;
        all += frames[i].bytes;
        out[i] = m;
    }
    count_add(&port->metrics.bytes_out, all);
    mbufs_send(p, out, (uint16_t)count);
}

static void port_drop(struct ingest_port *port, const struct ingest_frame *frames, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mbuf_free((struct dpdk_port *)port, frames[i].cookie);
}

// ------------------------------------------------------------------------------- sleep

// Where the driver can wake a thread, it is asked to. What came before that raises no interrupt, so
// the queue is looked at once more before the thread sleeps. A ring is one more thing to wake for.
static void interrupt_wait(struct dpdk_port *p, uint32_t timeout_ms)
{
    struct rte_epoll_event woken[2];
    eventfd_t rings;
    (void)!rte_eth_dev_rx_intr_enable(p->device, p->queue);
    p->came_count = mbufs_receive(p, p->came, p->burst);
    if (p->came_count == 0)
        (void)!rte_epoll_wait(p->epoll, woken, 2, (int)timeout_ms);
    (void)!rte_eth_dev_rx_intr_disable(p->device, p->queue);
    (void)!eventfd_read(p->bell, &rings);
}

// Few drivers can, so a quiet port of the others is looked at again after a short sleep, which
// grows while nothing comes. A ring ends it. Frames of which none was left for the loop
// are no quiet: more of them would fill the device's ring meanwhile.
static void port_wait(struct ingest_port *port, uint32_t timeout_ms)
{
    struct dpdk_port *p = (struct dpdk_port *)port;
    if (p->found)
        return;
    if (p->epoll >= 0 && p->came_count == 0) {
        interrupt_wait(p, timeout_ms);
        return;
    }
    uint32_t us = p->idle_us;
    if (p->idle_waits++ >= IDLE_SHORT)
        us = us * 8 < IDLE_US_MAX ? us * 8 : IDLE_US_MAX;
    if (us / 1000 > timeout_ms)
        us = timeout_ms * 1000;
    uint32_t key = park_prepare(&p->park);
    if (hf_exchange(&p->ringing, 0u)) // R1, pairs with R0
        park_cancel(&p->park);
    else
        park_wait_us(&p->park, key, us);
}

static void port_ring(struct ingest_port *port)
{
    struct dpdk_port *p = (struct dpdk_port *)port;
    if (p->epoll >= 0) {
        (void)!eventfd_write(p->bell, 1);
        return;
    }
    hf_store_seq(&p->ringing, 1u); // R0
    park_wake(&p->park);
}

static void port_attach(struct ingest_port *port)
{
    (void)port;
    // A number of its own lets the pools cache for this thread; without one they only are slower.
    if (rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() != 0)
        hf_log(HF_LOG_WARN, "dpdk", "says=\"a thread could not be registered: %s\"",
               rte_strerror(rte_errno));
}

static void port_destroy(struct ingest_port *port)
{
    (void)port; // ingest_dpdk_close
}

static void port_device(const struct ingest_port *port, struct ingest_device *out)
{
    const struct dpdk_port *p = (const struct dpdk_port *)port;
    struct rte_eth_stats s = {0};
    struct rte_eth_link link = {0};
    (void)!rte_eth_stats_get(p->device, &s);
    if (rte_eth_link_get_nowait(p->device, &link) != 0)
        link.link_status = RTE_ETH_LINK_UP; // nothing to tell: a device without a link
    *out = (struct ingest_device){.missed = s.imissed,
                                  .errors_in = s.ierrors,
                                  .errors_out = s.oerrors,
                                  .no_mbuf = s.rx_nombuf,
                                  .link_up = link.link_status == RTE_ETH_LINK_UP};
    if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
        out->link_mbps = link.link_speed;
}

// ------------------------------------------------------------------------------- set-up

static const struct ingest_port_ops ops = {.attach = port_attach,
                                           .receive = port_receive,
                                           .answer = port_answer,
                                           .drop = port_drop,
                                           .wait = port_wait,
                                           .ring = port_ring,
                                           .destroy = port_destroy,
                                           .device = port_device};

static enum hf_status failed(char why[200], enum hf_status s, const char *what, int error)
{
    snprintf(why, 200, "%s: %s", what, rte_strerror(error < 0 ? -error : error));
    return s;
}

static enum hf_status device_find(const struct ingest_dpdk_options *o, uint16_t *device,
                                  char why[200])
{
    if (o->device[0] == 0) {
        uint16_t first = rte_eth_find_next_owned_by(0, RTE_ETH_DEV_NO_OWNER);
        *device = first;
        if (first < RTE_MAX_ETHPORTS)
            return HF_OK;
    } else if (rte_eth_dev_get_port_by_name(o->device, device) == 0) {
        return HF_OK;
    }
    snprintf(why, 200, "no device%s%.100s among those that EAL has opened", o->device[0] ? " " : "",
             o->device);
    return HF_NOT_FOUND;
}

static enum hf_status pool_make(struct dpdk_port *p, const struct ingest_dpdk_options *o,
                                uint16_t rx, uint16_t tx, char why[200])
{
    if (p->pool)
        return HF_OK; // of the first try
    char name[RTE_MEMPOOL_NAMESIZE];
    int socket = rte_eth_dev_socket_id(p->device);
    unsigned count = o->frames + rx + tx + 2 * CACHE_BUFFERS + 4 * o->burst;
    snprintf(name, sizeof name, "hf-%u-%u", p->device, p->queue);
    p->pool =
        rte_pktmbuf_pool_create(name, count, CACHE_BUFFERS, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
    if (p->pool)
        return HF_OK;
    snprintf(why, 200, "%u buffers of a queue: %s; give EAL more memory (-m, or huge pages)", count,
             rte_strerror(rte_errno));
    return HF_NO_MEMORY;
}

static struct rte_eth_conf conf_make(const struct rte_eth_dev_info *info, uint32_t queues)
{
    struct rte_eth_conf c = {0};
    const uint64_t sums_in = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
    const uint64_t sums_out = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
    if ((info->rx_offload_capa & sums_in) == sums_in)
        c.rxmode.offloads |= sums_in;
    if ((info->tx_offload_capa & sums_out) == sums_out)
        c.txmode.offloads |= sums_out;
    uint64_t spread =
        info->flow_type_rss_offloads & (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_UDP |
                                        RTE_ETH_RSS_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_UDP);
    if (queues > 1 && spread) {
        c.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        c.rx_adv_conf.rss_conf.rss_hf = spread;
    }
    return c;
}

static enum hf_status queues_make(struct ingest_dpdk *d, const struct ingest_dpdk_options *o,
                                  const struct rte_eth_conf *conf, char why[200])
{
    uint16_t rx = (uint16_t)o->descriptors, tx = (uint16_t)o->descriptors;
    struct rte_ether_addr mac;
    int socket = rte_eth_dev_socket_id(d->device);
    int error = rte_eth_dev_configure(d->device, d->queues, d->queues, conf);
    if (error == 0)
        error = rte_eth_dev_adjust_nb_rx_tx_desc(d->device, &rx, &tx);
    if (error == 0)
        error = rte_eth_macaddr_get(d->device, &mac);
    if (error != 0)
        return failed(why, HF_INVALID, "the device refuses its configuration", error);
    d->descriptors_out = tx;
    for (uint16_t i = 0; i < d->queues; i++) {
        struct dpdk_port *p = &d->ports[i];
        enum hf_status s = pool_make(p, o, rx, tx, why);
        if (s != HF_OK)
            return s;
        memcpy(p->self.mac, mac.addr_bytes, sizeof p->self.mac);
        error = rte_eth_rx_queue_setup(d->device, i, rx, (unsigned)socket, NULL, p->pool);
        if (error == 0)
            error = rte_eth_tx_queue_setup(d->device, i, tx, (unsigned)socket, NULL);
        if (error != 0)
            return failed(why, HF_INVALID, "the device refuses a queue", error);
    }
    return HF_OK;
}

// Who looks for an IPv6 neighbour asks a group. False: the device says that it can't hear it, which
// is so of some that hear everything.
static bool group_join(const struct ingest_dpdk *d)
{
    struct rte_ether_addr groups[2];
    net_neighbour_group(d->ports[0].self.ip6, groups[0].addr_bytes);
    net_everybody(groups[1].addr_bytes);
    return rte_eth_dev_set_mc_addr_list(d->device, groups, 2) == 0 ||
           rte_eth_allmulticast_enable(d->device) == 0 ||
           rte_eth_promiscuous_enable(d->device) == 0;
}

static void interrupts_leave(struct dpdk_port *p)
{
    if (p->epoll >= 0)
        close(p->epoll);
    if (p->bell >= 0)
        close(p->bell);
    p->epoll = p->bell = -1;
}

// False: the driver cannot wake a thread, or there are no descriptors left for that. Some have an
// interrupt that is always on.
static bool interrupts_take(struct dpdk_port *p)
{
    int on = rte_eth_dev_rx_intr_enable(p->device, p->queue);
    if ((on != 0 && on != -ENOTSUP) ||
        (on == 0 && rte_eth_dev_rx_intr_disable(p->device, p->queue) != 0))
        return false;
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->bell_event = (struct rte_epoll_event){.epdata.event = EPOLLIN};
    if (p->epoll >= 0 && p->bell >= 0 &&
        rte_epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->bell, &p->bell_event) == 0 &&
        rte_eth_dev_rx_intr_ctl_q(p->device, p->queue, p->epoll, RTE_INTR_EVENT_ADD, NULL) == 0)
        return true;
    interrupts_leave(p);
    return false;
}

// All queues or none.
static bool interrupts_make(struct ingest_dpdk *d)
{
    for (uint16_t i = 0; i < d->queues; i++)
        if (!interrupts_take(&d->ports[i])) {
            for (uint16_t k = 0; k < i; k++) {
                (void)!rte_eth_dev_rx_intr_ctl_q(d->device, k, d->ports[k].epoll,
                                                 RTE_INTR_EVENT_DEL, NULL);
                interrupts_leave(&d->ports[k]);
            }
            return false;
        }
    return true;
}

// Some driver refuses to be configured for interrupts that it has not got.
static enum hf_status device_try(struct ingest_dpdk *d, const struct ingest_dpdk_options *o,
                                 struct rte_eth_conf *conf, char why[200])
{
    for (int interrupts = !o->polling; interrupts >= 0; interrupts--) {
        conf->intr_conf.rxq = (uint32_t)interrupts & 1;
        enum hf_status s = queues_make(d, o, conf, why);
        int error = s == HF_OK ? rte_eth_dev_start(d->device) : 0;
        if (s == HF_OK && error == 0)
            return HF_OK;
        if (interrupts == 0)
            return s != HF_OK ? s : failed(why, HF_IO, "the device does not start", error);
    }
    return HF_IO;
}

static enum hf_status device_start(struct ingest_dpdk *d, const struct ingest_dpdk_options *o,
                                   char why[200])
{
    struct rte_eth_dev_info info;
    int error = rte_eth_dev_info_get(d->device, &info);
    if (error != 0)
        return failed(why, HF_IO, "the device does not tell what it is", error);
    if (d->queues > info.max_rx_queues || d->queues > info.max_tx_queues) {
        snprintf(why, 200, "the device has %u queues in and %u out, not %u", info.max_rx_queues,
                 info.max_tx_queues, d->queues);
        return HF_INVALID;
    }
    struct rte_eth_conf conf = conf_make(&info, d->queues);
    bool sums_out = conf.txmode.offloads != 0;
    for (uint16_t i = 0; i < d->queues; i++) {
        struct dpdk_port *p = &d->ports[i];
        p->offload_out = sums_out ? NET_CHECKED_IPV4 | NET_CHECKED_UDP : 0;
        if (!sums_out)
            continue;
        p->flags_out[0] = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_UDP_CKSUM;
        p->flags_out[1] = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_UDP_CKSUM;
    }
    enum hf_status s = device_try(d, o, &conf, why);
    if (s != HF_OK)
        return s;
    d->started = true;
    d->wakes = !o->polling && interrupts_make(d);
    d->keeps = strcmp(info.driver_name, "net_af_xdp") == 0;
    for (uint16_t i = 0; i < d->queues; i++)
        d->ports[i].resting = rte_mempool_in_use_count(d->ports[i].pool);
    return HF_OK;
}

static void device_tell(const struct ingest_dpdk *d, const struct ingest_dpdk_options *o)
{
    char name[RTE_ETH_NAME_MAX_LEN] = "";
    const uint8_t *mac = d->ports[0].self.mac;
    (void)!rte_eth_dev_get_name_by_port(d->device, name);
    hf_log(HF_LOG_INFO, "dpdk_device",
           "name=\"%s\" mac=%02x:%02x:%02x:%02x:%02x:%02x ip=%s also=\"%s\" vlan=%u queues=%u "
           "frames=%u checksums_by_device=%d waits=%s",
           name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], o->host, o->also, o->vlan,
           d->queues, o->frames, d->ports[0].offload_out != 0,
           o->polling ? "never"
           : d->wakes ? "interrupts"
                      : "naps");
    if (d->ports[0].self.has_ip6 && !group_join(d))
        hf_log(HF_LOG_WARN, "dpdk_multicast",
               "note=\"the device may not hear who looks for its IPv6 address\"");
}

static bool self_add(struct net_self *self, const char *text)
{
    struct in_addr ip;
    struct in6_addr ip6;
    if (inet_pton(AF_INET, text, &ip) == 1) {
        if (self->has_ip || ip.s_addr == 0)
            return false;
        self->has_ip = true;
        memcpy(self->ip, &ip, sizeof self->ip);
        return true;
    }
    if (self->has_ip6 || inet_pton(AF_INET6, text, &ip6) != 1 || IN6_IS_ADDR_UNSPECIFIED(&ip6) ||
        IN6_IS_ADDR_MULTICAST(&ip6))
        return false;
    self->has_ip6 = true;
    memcpy(self->ip6, &ip6, sizeof self->ip6);
    return true;
}

static bool self_make(const struct ingest_dpdk_options *o, struct net_self *self)
{
    *self = (struct net_self){.port = o->port, .vlan = o->vlan};
    return o->port != 0 && self_add(self, o->host) && (!o->also[0] || self_add(self, o->also));
}

enum hf_status ingest_dpdk_open(const struct ingest_dpdk_options *o, struct ingest_dpdk **out,
                                char why[200])
{
    struct net_self self;
    HF_ASSERT(o->queues >= 1 && o->queues <= INGEST_DPDK_QUEUES_MAX && o->vlan <= VLAN_MAX);
    if (!self_make(o, &self)) {
        snprintf(why, 200,
                 "%.50s %.50s: an address of the device's own and a port are needed, at most one "
                 "of a family",
                 o->host, o->also);
        return HF_INVALID;
    }
    struct ingest_dpdk *d = aligned_alloc(HF_CACHE_LINE, sizeof *d);
    snprintf(why, 200, "no memory");
    if (!d)
        return HF_NO_MEMORY;
    *d = (struct ingest_dpdk){.queues = (uint16_t)o->queues};
    enum hf_status s = device_find(o, &d->device, why);
    for (uint16_t i = 0; i < d->queues; i++) {
        struct dpdk_port *p = &d->ports[i];
        p->port = (struct ingest_port){.ops = &ops, .frames_max = o->frames};
        p->device = d->device;
        p->queue = i;
        p->self = self;
        p->tells = i == 0 && self.has_ip6;
        p->idle_us = o->idle_us;
        p->burst = o->burst;
        p->epoll = p->bell = -1;
    }
    if (s == HF_OK)
        s = device_start(d, o, why);
    if (s != HF_OK) {
        (void)ingest_dpdk_close(d);
        return s;
    }
    device_tell(d, o);
    *out = d;
    return HF_OK;
}

struct ingest_port *ingest_dpdk_port(struct ingest_dpdk *d, uint32_t queue)
{
    HF_ASSERT(queue < d->queues);
    return &d->ports[queue].port;
}

// After the device is closed. Some driver leaves to the kernel what it has lent to it.
static uint32_t buffers_lost(const struct ingest_dpdk *d, const struct dpdk_port *p)
{
    uint32_t used = rte_mempool_in_use_count(p->pool);
    uint32_t kept = d->keeps ? p->resting + d->descriptors_out : 0;
    uint32_t lost = used > kept ? used - kept : 0;
    return p->taken > lost ? (uint32_t)p->taken : lost;
}

uint32_t ingest_dpdk_close(struct ingest_dpdk *d)
{
    uint32_t all = 0, lost = 0;
    for (uint16_t i = 0; i < d->queues; i++) {
        struct dpdk_port *p = &d->ports[i];
        for (; p->came_count; p->came_count--)
            mbuf_free(p, p->came[p->came_count - 1]);
        if (p->epoll >= 0)
            (void)!rte_eth_dev_rx_intr_ctl_q(d->device, i, p->epoll, RTE_INTR_EVENT_DEL, NULL);
        interrupts_leave(p);
    }
    if (d->started && rte_eth_dev_stop(d->device) == 0)
        (void)!rte_eth_dev_close(d->device); // gives back what its rings hold
    for (uint16_t i = 0; i < d->queues; i++) {
        struct dpdk_port *p = &d->ports[i];
        if (p->pool && d->started) {
            all += p->pool->size;
            lost += buffers_lost(d, p);
        }
        rte_mempool_free(p->pool);
    }
    if (d->started)
        hf_log(lost ? HF_LOG_ERROR : HF_LOG_INFO, "dpdk_closed", "buffers=%u buffers_lost=%u", all,
               lost);
    free(d);
    return lost;
}
