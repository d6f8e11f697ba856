#include "daemon/packets.h"

#include "base/atomics.h"
#include "base/log.h"
#include "ingest/dpdk.h"
#include "ingest/udp.h"
#include "sys/clock.h"
#include "sys/park.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define QUEUES_MAX    16
#define WAIT_MS       100 // idle; what ends it sooner rings
#define DRAIN_WAIT_MS 10
#define SOCKET_BYTES  (4u << 20) // asked of the kernel for frames that wait to be received
#define MS_NS         UINT64_C(1000000)

struct packet_thread {
    struct packets *all;
    uint32_t number;
    struct ingest_port *port;
    struct ingest_queue *queue; // made and freed by the thread; read by others once ready
    pthread_t thread;
    bool started;
    uint32_t status; // atomic: HF_AGAIN: not yet known; HF_OK: `queue` is there
};

struct packets {
    const struct config *config;
    struct core *core;
    struct ingest_sessions *sessions;
    struct ingest_dpdk *device; // NULL: the kernel's sockets
    uint16_t port;
    uint32_t count;
    uint32_t stopping;       // atomic: no new frames
    uint64_t drain_until_ns; // before `stopping`
    struct park ready;
    struct packet_thread threads[QUEUES_MAX];
};

uint32_t packets_workers(const struct config *c)
{
    return c->packet_listen[0] ? (uint32_t)c->packet_queues : 0;
}

// ------------------------------------------------------------------------------- a thread

static void queue_run(struct packet_thread *t)
{
    struct packets *p = t->all;
    bool polling = p->config->packet_polling;
    while (!hf_load_acquire(&p->stopping)) {
        if (ingest_queue_step(t->queue))
            continue;
        if (!polling)
            ingest_queue_wait(t->queue, WAIT_MS);
    }
    while (!ingest_queue_drain(t->queue) && clock_monotonic_ns(clock_os()) < p->drain_until_ns)
        ingest_queue_wait(t->queue, DRAIN_WAIT_MS);
}

static void thread_says(struct packet_thread *t, enum hf_status s)
{
    hf_store_release(&t->status, (uint32_t)s);
    park_wake(&t->all->ready);
}

static void *thread_run(void *arg)
{
    struct packet_thread *t = arg;
    struct packets *p = t->all;
    struct core_worker *worker = core_worker_create(p->core);
    struct ingest_queue_options o = {.core = p->core,
                                     .worker = worker,
                                     .sessions = p->sessions,
                                     .port = t->port,
                                     .number = t->number,
                                     .burst = (uint32_t)p->config->packet_burst};
    enum hf_status s = worker ? ingest_queue_create(&o, &t->queue) : HF_FULL;
    thread_says(t, s);
    if (s == HF_OK)
        queue_run(t);
    if (worker)
        core_worker_destroy(worker);
    return NULL;
}

static bool pin(pthread_t thread, const char *cores, uint32_t number)
{
    cpu_set_t set;
    char *end;
    for (; number > 0 && cores; number--)
        cores = strchr(cores, ',') ? strchr(cores, ',') + 1 : NULL;
    unsigned long core = cores ? strtoul(cores, &end, 10) : CPU_SETSIZE;
    if (!cores || end == cores || core >= CPU_SETSIZE)
        return false;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np(thread, sizeof set, &set) == 0;
}

static enum hf_status thread_start(struct packets *p, uint32_t i, char why[200])
{
    struct packet_thread *t = &p->threads[i];
    char name[16];
    hf_store_relaxed(&t->status, HF_AGAIN);
    if (pthread_create(&t->thread, NULL, thread_run, t) != 0) {
        snprintf(why, 200, "a thread could not be started");
        return HF_NO_MEMORY;
    }
    t->started = true;
    snprintf(name, sizeof name, "hf-packet-%u", i % 100);
    pthread_setname_np(t->thread, name);
    if (p->config->packet_cores[0] && !pin(t->thread, p->config->packet_cores, i)) {
        snprintf(why, 200, "packet_cores: no such processor for thread %u", i);
        return HF_INVALID;
    }
    for (;;) {
        uint32_t key = park_prepare(&p->ready);
        enum hf_status s = (enum hf_status)hf_load_acquire(&t->status);
        if (s == HF_AGAIN) {
            park_wait(&p->ready, key, WAIT_MS);
            continue;
        }
        park_cancel(&p->ready);
        if (s != HF_OK)
            snprintf(why, 200, "queue %u: %s", i, hf_status_help(s));
        return s;
    }
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status sockets_open(struct packets *p, const char *host, uint16_t port,
                                   char why[200])
{
    const struct config *c = p->config;
    struct ingest_udp_options o = {.udp = {.host = host,
                                           .port = port,
                                           .shared = c->packet_queues > 1,
                                           .buffer_bytes = SOCKET_BYTES},
                                   .buffers = (uint32_t)c->packet_buffers};
    for (uint32_t i = 0; i < p->count; i++) {
        enum hf_status s = ingest_udp_create(&o, &p->threads[i].port, why);
        if (s != HF_OK) {
            p->threads[i].port = NULL;
            return s;
        }
        o.udp.port = ingest_udp_port(p->threads[i].port); // the same for all of them
    }
    p->port = o.udp.port;
    return HF_OK;
}

#ifdef HF_DPDK
static enum hf_status device_open(struct packets *p, const char *host, uint16_t port, char why[200])
{
    const struct config *c = p->config;
    struct ingest_dpdk_options o = {.device = c->packet_device,
                                    .host = host,
                                    .also = c->packet_also,
                                    .port = port,
                                    .vlan = (uint16_t)c->packet_vlan,
                                    .queues = p->count,
                                    .frames = (uint32_t)c->packet_buffers,
                                    .burst = (uint32_t)c->packet_burst,
                                    .descriptors = (uint32_t)c->packet_descriptors,
                                    .idle_us = (uint32_t)c->packet_idle_us,
                                    .polling = c->packet_polling};
    enum hf_status s = ingest_dpdk_start(c->packet_eal, why);
    if (s == HF_OK)
        s = ingest_dpdk_open(&o, &p->device, why);
    if (s != HF_OK) {
        p->device = NULL;
        return s;
    }
    for (uint32_t i = 0; i < p->count; i++)
        p->threads[i].port = ingest_dpdk_port(p->device, i);
    p->port = port;
    return HF_OK;
}

static void device_close(struct packets *p)
{
    if (p->device)
        ingest_dpdk_close(p->device); // says what is missing
}
#else
static enum hf_status device_open(struct packets *p, const char *host, uint16_t port, char why[200])
{
    (void)p, (void)host, (void)port;
    snprintf(why, 200, "packet_eal: this holdfastd was built without DPDK");
    return HF_INVALID;
}

static void device_close(struct packets *p)
{
    (void)p;
}
#endif

static enum hf_status ports_open(struct packets *p, char why[200])
{
    char host[108];
    uint16_t port;
    HF_ASSERT(config_host_port(p->config->packet_listen, host, sizeof host, &port));
    return p->config->packet_eal[0] ? device_open(p, host, port, why)
                                    : sockets_open(p, host, port, why);
}

static enum hf_status parts_make(struct packets *p, char why[200])
{
    uint32_t seed;
    snprintf(why, 200, "no memory, or no random numbers");
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        return HF_IO;
    enum hf_status s =
        ingest_sessions_create((uint32_t)p->config->packet_sessions_max, seed, &p->sessions);
    if (s != HF_OK) {
        p->sessions = NULL;
        return s;
    }
    s = ports_open(p, why);
    for (uint32_t i = 0; i < p->count && s == HF_OK; i++)
        s = thread_start(p, i, why);
    return s;
}

enum hf_status packets_create(const struct config *c, struct core *core, struct packets **out,
                              char why[200])
{
    struct packets *p = calloc(1, sizeof *p);
    HF_ASSERT(c->packet_queues <= QUEUES_MAX);
    snprintf(why, 200, "no memory");
    if (!p)
        return HF_NO_MEMORY;
    p->config = c;
    p->core = core;
    p->count = packets_workers(c);
    for (uint32_t i = 0; i < p->count; i++) {
        p->threads[i].all = p;
        p->threads[i].number = i;
    }
    enum hf_status s = parts_make(p, why);
    if (s != HF_OK) {
        packets_destroy(p);
        return s;
    }
    hf_log(HF_LOG_INFO, "packets",
           "listen=\"%.107s\" by=%s port=%u queues=%u buffers=%llu tags=%d polling=%d",
           c->packet_listen, p->device ? "dpdk" : "kernel", p->port, p->count,
           (unsigned long long)c->packet_buffers, c->packet_tags, c->packet_polling);
    *out = p;
    return HF_OK;
}

static bool random_take(void *bytes, size_t count)
{
    return getrandom(bytes, count, 0) == (ssize_t)count;
}

static struct service_door door_make(const char *host, uint16_t port)
{
    struct service_door door = {.port = port};
    snprintf(door.address, sizeof door.address, "%.63s", host);
    return door;
}

void packets_to_service(const struct packets *p, struct service_packets *out)
{
    const struct config *c = p->config;
    char host[108];
    uint16_t port = 0;
    *out = (struct service_packets){.sessions = p->sessions,
                                    .tagged = c->packet_tags,
                                    .life_ms = c->packet_session_life_ms,
                                    .items_per_second = (uint32_t)c->packet_session_rate,
                                    .key_sessions_max = (uint32_t)c->packet_key_sessions_max,
                                    .window_frames = INGEST_WINDOW_FRAMES,
                                    .door_count = 1,
                                    .random = random_take};
    const char *told = c->packet_advertise[0] ? c->packet_advertise : c->packet_listen;
    HF_ASSERT(config_host_port(told, host, sizeof host, &port));
    out->doors[0] = door_make(host, c->packet_advertise[0] && port ? port : p->port);
    if (c->packet_also[0] && !c->packet_advertise[0])
        out->doors[out->door_count++] = door_make(c->packet_also, p->port);
}

uint16_t packets_port(const struct packets *p)
{
    return p->port;
}

const struct ingest_sessions *packets_sessions(const struct packets *p)
{
    return p->sessions;
}

// ------------------------------------------------------------------------------- meanwhile

// A queue is there from `status` HF_OK on, until packets_destroy.
static bool ready(const struct packet_thread *t)
{
    return hf_load_acquire(&t->status) == HF_OK && t->queue;
}

void packets_durable_advanced(struct packets *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (ready(&p->threads[i]))
            ingest_queue_durable_advanced(p->threads[i].queue);
}

bool packets_device(const struct packets *p, struct ingest_device *out)
{
    const struct ingest_port *port = p->threads[0].port;
    if (!port->ops->device)
        return false;
    port->ops->device(port, out);
    return true;
}

void packets_metrics(const struct packets *p, struct ingest_metrics *out)
{
    *out = (struct ingest_metrics){0};
    for (uint32_t i = 0; i < p->count; i++)
        if (ready(&p->threads[i]))
            ingest_queue_metrics(p->threads[i].queue, out);
}

// ------------------------------------------------------------------------------- the end

void packets_drain_begin(struct packets *p, uint32_t timeout_ms)
{
    p->drain_until_ns = clock_monotonic_ns(clock_os()) + timeout_ms * MS_NS;
    hf_store_release(&p->stopping, 1u);
    for (uint32_t i = 0; i < p->count; i++)
        if (ready(&p->threads[i]))
            ingest_queue_ring(p->threads[i].queue);
}

void packets_drain_end(struct packets *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (!p->threads[i].started)
            continue;
        if (ready(&p->threads[i])) // it may have been made ready since
            ingest_queue_ring(p->threads[i].queue);
        pthread_join(p->threads[i].thread, NULL);
        p->threads[i].started = false;
    }
}

void packets_destroy(struct packets *p)
{
    if (!p)
        return;
    if (!hf_load_acquire(&p->stopping))
        packets_drain_begin(p, 0);
    packets_drain_end(p);
    for (uint32_t i = 0; i < p->count; i++) {
        if (ready(&p->threads[i]))
            ingest_queue_destroy(p->threads[i].queue);
        if (p->threads[i].port)
            p->threads[i].port->ops->destroy(p->threads[i].port);
    }
    device_close(p);
    ingest_sessions_destroy(p->sessions);
    free(p);
}
