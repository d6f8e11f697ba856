#include "fuzz/fuzz_device.h"

#include "base/status.h"

#ifdef HF_DPDK
#include "ingest/dpdk.h"

#include <rte_config.h>
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <string.h>

#define RING 1024

static struct {
    struct rte_ring *to, *from;
    struct rte_mempool *wire, *device; // pools: of the wire's, and of the device's own
} d;

struct ingest_port *fuzz_device_open(void)
{
    char why[200];
    struct ingest_dpdk *device;
    const struct ingest_dpdk_options o = {.device = "net_ring_fuzz",
                                          .host = FUZZ_DEVICE_IP,
                                          .also = FUZZ_DEVICE_IP6,
                                          .port = FUZZ_DEVICE_PORT,
                                          .queues = 1,
                                          .frames = 48, // as the target's port in memory
                                          .burst = 8,
                                          .descriptors = 64,
                                          .idle_us = 50};
    HF_ASSERT(ingest_dpdk_start("--no-huge --no-pci --no-shconf -m 32 --log-level=*:error", why) ==
              HF_OK);
    d.to = rte_ring_create("fuzz-to", RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    d.from = rte_ring_create("fuzz-from", RING, -1, RING_F_SP_ENQ | RING_F_SC_DEQ);
    d.wire = rte_pktmbuf_pool_create("fuzz-wire", RING - 1, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, -1);
    HF_ASSERT(d.to && d.from && d.wire);
    HF_ASSERT(rte_eth_from_rings("fuzz", &d.to, 1, &d.from, 1, 0) >= 0);
    HF_ASSERT(ingest_dpdk_open(&o, &device, why) == HF_OK);
    d.device = rte_mempool_lookup("hf-0-0");
    HF_ASSERT(d.device);
    return ingest_dpdk_port(device, 0);
}

void fuzz_device_put(const uint8_t *frame, size_t bytes)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(d.wire);
    HF_ASSERT(m && bytes <= FUZZ_DEVICE_MAX);
    memcpy(rte_pktmbuf_append(m, (uint16_t)bytes), frame, bytes);
    HF_ASSERT(rte_ring_enqueue(d.to, m) == 0);
}

void fuzz_device_clear(void)
{
    struct rte_mbuf *m;
    while (rte_ring_dequeue(d.from, (void **)&m) == 0) {
        HF_ASSERT(m->nb_segs == 1 && m->pkt_len == m->data_len);
        rte_pktmbuf_free(m);
    }
}

uint32_t fuzz_device_used(void)
{
    return rte_mempool_in_use_count(d.wire) + rte_mempool_in_use_count(d.device);
}
#else
struct ingest_port *fuzz_device_open(void)
{
    return NULL;
}

void fuzz_device_put(const uint8_t *frame, size_t bytes)
{
    (void)frame, (void)bytes;
}

void fuzz_device_clear(void)
{
}

uint32_t fuzz_device_used(void)
{
    return 0;
}
#endif
