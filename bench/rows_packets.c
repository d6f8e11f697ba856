// Packets: what a queue decides, a core, by frames of 1, 8 and 32 orders; with tags and without,
// waiting for the disk and not, all cells and one.
//
// Ports: memory (feed.h), DPDK's rings and captures (packets_device.h), and the kernel's sockets
// over loopback. The yardstick of a row is the least that anybody can do with the same frames on
// the same port: take them, turn their addresses around, give them back. testpmd's macswap on such
// a device is the yardstick of `testpmd`.
// The engine's threads share the machine's cores with the queue; CPU of the queue's thread is
// noted.
#include "ratio_rows.h"

#include "feed.h"
#include "packets_device.h"
#include "rig.h"
#include "stages.h"

#include "base/atomics.h"
#include "ingest/ingest.h"
#include "ingest/udp.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELLS       (1u << 20)
#define IDS_MAX     (32u << 20)
#define WINDOW_MS   1000
#define BURST       32
#define OUTSTANDING 4096 // frames, at most
#define WAIT_MS     100

enum port_kind { PORT_MEMORY, PORT_RING, PORT_CAPTURE, PORT_UDP };

struct form {
    enum port_kind port;
    uint32_t items, cells;
    bool tagged, durable, stale;
};

// name, what, whether the goal is on the rate itself, goal, form
// clang-format off
#define PACKETS_ROWS(ROW)                                                                          \
    ROW(frame1, "1 order a frame, no tag, not synced; a port in memory", true, 10,                 \
        {PORT_MEMORY, 1, CELLS, false, false, false})                                              \
    ROW(frame8, "8 orders a frame, the same", true, 10,                                            \
        {PORT_MEMORY, 8, CELLS, false, false, false})                                              \
    ROW(frame32, "32 orders a frame, the same", true, 15,                                          \
        {PORT_MEMORY, 32, CELLS, false, false, false})                                             \
    ROW(bare1, "1 order a frame, answered STALE_DIRECTORY: no decision", false, 0,                 \
        {PORT_MEMORY, 1, CELLS, false, false, true})                                               \
    ROW(bare32, "32 orders a frame, the same", false, 0,                                           \
        {PORT_MEMORY, 32, CELLS, false, false, true})                                              \
    ROW(baretag1, "bare1 with tags", false, 0,                                                     \
        {PORT_MEMORY, 1, CELLS, true, false, true})                                                \
    ROW(tag1, "frame1 with tags", false, 0,                                                        \
        {PORT_MEMORY, 1, CELLS, true, false, false})                                               \
    ROW(tag32, "frame32 with tags", false, 0,                                                      \
        {PORT_MEMORY, 32, CELLS, true, false, false})                                              \
    ROW(hot1, "frame1, all of one SKU", false, 0,                                                  \
        {PORT_MEMORY, 1, 1, false, false, false})                                                  \
    ROW(hot32, "frame32, all of one SKU", false, 0,                                                \
        {PORT_MEMORY, 32, 1, false, false, false})                                                 \
    ROW(durable1, "frame1, each answer after it was synced", true, 8,                              \
        {PORT_MEMORY, 1, CELLS, false, true, false})                                               \
    ROW(durable32, "frame32, each answer after it was synced", true, 8,                            \
        {PORT_MEMORY, 32, CELLS, false, true, false})                                              \
    ROW(udp1, "frame1 over the kernel's loopback, its client on the machine", true, 0,             \
        {PORT_UDP, 1, CELLS, false, false, false})                                                 \
    ROW(udp32, "frame32, the same", true, 0,                                                       \
        {PORT_UDP, 32, CELLS, false, false, false})
#ifdef HF_DPDK
#define PACKETS_RING_ROWS(ROW)                                                                     \
    ROW(ring1, "frame1 on a ring of DPDK's, against macswap there", false, 0,                      \
        {PORT_RING, 1, CELLS, false, false, false})                                                \
    ROW(ring32, "frame32 on a ring of DPDK's, the same", false, 0,                                 \
        {PORT_RING, 32, CELLS, false, false, false})                                               \
    ROW(capture1, "frame1 on a capture that DPDK reads without end, against macswap there", false, \
        0, {PORT_CAPTURE, 1, CELLS, false, false, false})                                          \
    ROW(capture32, "frame32 on such a capture, the same", false, 0,                                \
        {PORT_CAPTURE, 32, CELLS, false, false, false})
#else
#define PACKETS_RING_ROWS(ROW)
#endif
// clang-format on

struct packets_row {
    struct form form;
    double seconds;
    struct rig rig;
    struct ingest_sessions *sessions;
    struct feed feed;
    struct feed_port *memory;
    struct ingest_port *port;
    struct ingest_queue *queue;
    // PORT_UDP: the client's thread
    pthread_t client;
    bool client_started;
    uint32_t stopping;
    uint16_t udp_port;
    struct feed_result udp_result; // read when the thread stands still between two steps: relaxed
#ifdef HF_DPDK
    struct packets_device *device;
#endif
};

static struct ingest_queue *told; // by the journal's writer

static void on_durable(void *ctx)
{
    (void)ctx;
    struct ingest_queue *q = hf_load_acquire(&told);
    if (q)
        ingest_queue_durable_advanced(q);
}

// ------------------------------------------------------------------------------- the client

#define CLIENT_OUT 256 // frames on their way, at most

static void client_receive(struct packets_row *r, struct udp *u, struct udp_datagram **in,
                           uint32_t *out)
{
    uint32_t got = udp_receive(u, in, BURST);
    struct feed_result sum = {0};
    for (uint32_t i = 0; i < got; i++)
        feed_count(&r->feed, in[i]->data, &sum);
    *out -= got < *out ? got : *out;
    hf_store_relaxed(&r->udp_result.frames, r->udp_result.frames + sum.frames);
    hf_store_relaxed(&r->udp_result.done, r->udp_result.done + sum.done);
    hf_store_relaxed(&r->udp_result.busy, r->udp_result.busy + sum.busy);
    if (got == 0) {
        udp_wait(u, 20);
        if (udp_receive(u, in, 1) == 0)
            *out = 0; // lost on the way: go on with others
    }
}

static void *client_run(void *arg)
{
    static uint8_t data[2 * BURST][2048];
    struct packets_row *r = arg;
    struct udp_datagram datagrams[2 * BURST], *in[BURST], *outs[BURST];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(r->udp_port)};
    struct udp_options o = {.host = "127.0.0.1", .buffer_bytes = 4 << 20};
    struct udp *u;
    char why[200];
    uint32_t out = 0;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (udp_os_create(&o, &u, why) != HF_OK)
        return NULL;
    for (uint32_t i = 0; i < 2 * BURST; i++) {
        datagrams[i] =
            (struct udp_datagram){.data = data[i], .room = sizeof data[i], .bytes = r->feed.bytes};
        memcpy(&datagrams[i].peer, &to, sizeof to);
        datagrams[i].peer_bytes = sizeof to;
        *(i < BURST ? &outs[i] : &in[i - BURST]) = &datagrams[i];
    }
    while (!hf_load_acquire(&r->stopping)) {
        if (out + BURST <= CLIENT_OUT) {
            r->feed.now_ms = core_now(r->rig.core);
            for (uint32_t i = 0; i < BURST; i++)
                feed_make(&r->feed, outs[i]->data);
            out += udp_send(u, outs, BURST);
        }
        client_receive(r, u, in, &out);
    }
    udp_destroy(u);
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status port_open(struct packets_row *r)
{
    char why[200];
    if (r->form.port == PORT_MEMORY) {
        r->memory = feed_port_create(&r->feed, r->form.durable ? OUTSTANDING : 2 * BURST);
        r->port = r->memory ? feed_port_of(r->memory) : NULL;
        return r->memory ? HF_OK : HF_NO_MEMORY;
    }
#ifdef HF_DPDK
    if (r->form.port == PORT_RING || r->form.port == PORT_CAPTURE) {
        enum packets_kind kind = r->form.port == PORT_RING ? PACKETS_RING : PACKETS_CAPTURE;
        enum hf_status s =
            packets_device_create(kind, &r->feed, OUTSTANDING, BURST, &r->device);
        r->port = s == HF_OK ? packets_device_port(r->device) : NULL;
        return s;
    }
#endif
    struct ingest_udp_options o = {.udp = {.host = "127.0.0.1", .buffer_bytes = 4 << 20},
                                   .buffers = OUTSTANDING};
    enum hf_status s = ingest_udp_create(&o, &r->port, why);
    if (s == HF_OK)
        r->udp_port = ingest_udp_port(r->port);
    return s;
}

static enum hf_status queue_open(struct packets_row *r)
{
    struct ingest_session session = {.key = {1, 2, 3},
                                     .tagged = r->form.tagged,
                                     .kinds = INGEST_KINDS_ALL,
                                     .expires_ms = INGEST_SESSION_FOREVER};
    struct feed_options f = {.items = r->form.items,
                             .cells = r->form.cells,
                             .generation = core_generation(r->rig.core) ^ r->form.stale,
                             .tagged = r->form.tagged};
    memcpy(f.key, session.key, sizeof f.key);
    enum hf_status s = ingest_sessions_create(4096, (uint32_t)rig_ns(), &r->sessions);
    if (s == HF_OK)
        s = ingest_session_open(r->sessions, &session, core_now(r->rig.core), &f.session);
    feed_init(&r->feed, &f);
    r->feed.now_ms = core_now(r->rig.core);
    if (s == HF_OK)
        s = port_open(r);
    if (s != HF_OK)
        return s;
    struct ingest_queue_options o = {.core = r->rig.core,
                                     .worker = r->rig.worker,
                                     .sessions = r->sessions,
                                     .port = r->port,
                                     .burst = BURST};
    s = ingest_queue_create(&o, &r->queue);
    if (s == HF_OK)
        hf_store_release(&told, r->queue);
    if (s == HF_OK && r->form.port == PORT_UDP)
        r->client_started = pthread_create(&r->client, NULL, client_run, r) == 0;
    return s;
}

// Less than a row is meant to have, where there is less memory or time.
static uint32_t number_from(const char *name, uint32_t usual)
{
    const char *text = getenv(name);
    return text ? (uint32_t)strtoul(text, NULL, 10) : usual;
}

static enum hf_status set_up(const struct ratio_settings *settings, const struct form *form,
                             void **ctx)
{
    struct packets_row *r = calloc(1, sizeof *r);
    *ctx = r;
    if (!r)
        return HF_NO_MEMORY;
    r->form = *form;
    r->seconds = settings->seconds;
    if (number_from("HOLDFAST_BENCH_CELLS", CELLS) < r->form.cells)
        r->form.cells = number_from("HOLDFAST_BENCH_CELLS", CELLS);
    struct rig_options o = {.parent = settings->folder,
                            .cells = number_from("HOLDFAST_BENCH_CELLS", CELLS),
                            .ids_max = number_from("HOLDFAST_BENCH_IDS", IDS_MAX),
                            .stock = RIG_STOCK,
                            .mode = form->durable ? JOURNAL_SYNC : JOURNAL_NONE,
                            .background = true,
                            .buffers = 64,
                            .segments_max = 128,
                            .window_ms = WINDOW_MS,
                            .on_durable = on_durable};
    enum hf_status s = rig_start(&r->rig, &o);
    return s == HF_OK ? queue_open(r) : s;
}

static void tear_down(void *ctx)
{
    struct packets_row *r = ctx;
    hf_store_release(&r->stopping, 1u);
    if (r->client_started)
        pthread_join(r->client, NULL);
    hf_store_release(&told, NULL);
    if (r->queue) {
        rig_settle(&r->rig);
        (void)ingest_queue_drain(r->queue);
        ingest_queue_destroy(r->queue);
    }
#ifdef HF_DPDK
    packets_device_destroy(r->device);
#endif
    if (r->port && r->form.port == PORT_UDP)
        r->port->ops->destroy(r->port);
    feed_port_destroy(r->memory);
    ingest_sessions_destroy(r->sessions);
    rig_stop(&r->rig);
    free(r);
}

// ------------------------------------------------------------------------------- measuring

static struct feed_result answered(const struct packets_row *r)
{
    if (r->memory)
        return feed_port_result(r->memory);
#ifdef HF_DPDK
    if (r->device)
        return packets_device_result(r->device);
#endif
    return (struct feed_result){.frames = hf_load_relaxed(&r->udp_result.frames),
                                .done = hf_load_relaxed(&r->udp_result.done),
                                .busy = hf_load_relaxed(&r->udp_result.busy)};
}

// Takes frames and gives them back with their addresses turned around. Frames a second.
static double bare_rate(struct packets_row *r, double seconds)
{
    struct ingest_frame frames[INGEST_BURST_MAX];
    uint64_t begin = rig_ns(), spent = 0, count = 0;
    if (r->form.port == PORT_UDP)
        return 0;
    while ((double)spent < seconds * 1e9) {
        for (int k = 0; k < 64; k++) {
#ifdef HF_DPDK
            if (r->device) {
                count += packets_device_macswap(r->device);
                continue;
            }
#endif
            uint32_t n = r->port->ops->receive(r->port, frames, BURST);
            for (uint32_t i = 0; i < n; i++) {
                uint8_t *head = frames[i].payload - 42, mac[6];
                memcpy(mac, head, 6);
                memcpy(head, head + 6, 6);
                memcpy(head + 6, mac, 6);
            }
            r->port->ops->drop(r->port, frames, n);
            count += n;
        }
        spent = rig_ns() - begin;
    }
    return (double)count * 1e9 / (double)spent;
}

static double feed_ns(struct packets_row *r)
{
    static uint8_t frame[PACKET_BYTES_MAX];
    uint64_t begin = rig_self_cpu_ns();
    struct feed f = r->feed;
    for (int i = 0; i < 100000; i++)
        feed_make(&f, frame);
    return (double)(rig_self_cpu_ns() - begin) / 100000;
}

static enum hf_status loop(struct packets_row *r, double seconds, uint64_t *spent)
{
    uint64_t begin = rig_ns(), busy = answered(r).busy;
    for (*spent = 0; (double)*spent < seconds * 1e9; *spent = rig_ns() - begin) {
        if (r->form.port != PORT_UDP)
            r->feed.now_ms = core_now(r->rig.core);
        for (int k = 0; k < 16; k++)
            if (!ingest_queue_step(r->queue))
                ingest_queue_wait(r->queue, WAIT_MS);
        uint64_t now = answered(r).busy;
        if (now != busy)
            rig_sleep_us(100); // as a client that is told to come again
        busy = now;
    }
    return rig_failed(&r->rig) ? HF_STOPPED : HF_OK;
}

// A row that tells more than the engine has done is none.
static bool counts_agree(const struct packets_row *r)
{
    struct core_metrics m;
    uint64_t answers = answered(r).done;
    core_metrics(r->rig.core, &m);
    if (answers > m.done)
        fprintf(stderr, "%" PRIu64 " orders are told of, %" PRIu64 " were done\n", answers, m.done);
    return answers <= m.done;
}

static enum hf_status measure(void *ctx, struct ratio_sample *out)
{
    struct packets_row *r = ctx;
    uint64_t spent;
    enum hf_status s = loop(r, r->seconds / 4, &spent); // warm
    if (s != HF_OK)
        return s;
    struct feed_result from = answered(r);
    struct rig_cpu cpu_from, cpu_to;
    rig_cpu(&r->rig, &cpu_from);
    s = loop(r, r->seconds, &spent);
    if (s == HF_OK && !counts_agree(r))
        s = HF_DAMAGED;
    rig_cpu(&r->rig, &cpu_to);
    struct feed_result to = answered(r);
    double frames = (double)(to.frames - from.frames);
    double orders = r->form.stale ? frames * r->form.items : (double)(to.done - from.done);
    double cpu = (double)(cpu_to.self_ns - cpu_from.self_ns);
    out->subject = orders * 1e3 / (double)spent;
    out->yardstick = bare_rate(r, r->seconds / 2) * r->form.items / 1e6;
    out->notes[0] = frames * 1e3 / (double)spent;
    out->notes[1] = orders > 0 ? cpu / orders : 0;
    out->notes[2] = feed_ns(r) / r->form.items;
    out->notes[3] = frames > 0 ? 100 * (double)(to.busy - from.busy) / (frames * r->form.items) : 0;
    return s;
}

// What a queue does with an order, stage by stage, of bursts that nothing interrupted.
static enum hf_status stages_measure(void *ctx, struct ratio_sample *out)
{
    struct packets_row *r = ctx;
    struct stages s;
    uint64_t spent, done = 0, begin;
    enum hf_status st = loop(r, r->seconds / 4, &spent); // warm
    stages_begin(&s, r->form.items > 1);
    r->feed.receiving = stages_receiving;
    for (begin = rig_ns(); st == HF_OK && (double)(rig_ns() - begin) < r->seconds * 1e9;) {
        r->feed.now_ms = core_now(r->rig.core);
        for (int k = 0; k < 16; k++) {
            uint64_t before = answered(r).done;
            if (stages_step(&s, r->queue))
                done += answered(r).done - before;
        }
        st = rig_failed(&r->rig) ? HF_STOPPED : HF_OK;
    }
    r->feed.receiving = NULL;
    if (st != HF_OK || done == 0)
        return st == HF_OK ? HF_STOPPED : st;
    for (int i = STAGE_PARSE; i < STAGE_COUNT; i++) {
        out->notes[i - STAGE_PARSE] = s.ticks[i] / (double)done;
        out->subject += out->notes[i - STAGE_PARSE];
    }
    out->notes[5] = s.ticks[STAGE_MAKE] / (double)done;
    out->notes[6] = s.hz / 1e9;
    out->notes[7] = 100 * (double)s.interrupted / (double)s.steps;
    return HF_OK;
}

#ifdef HF_DPDK
// The same frames a second against another program's.
static enum hf_status testpmd_measure(void *ctx, struct ratio_sample *out)
{
    struct packets_row *r = ctx;
    enum hf_status s = measure(ctx, out);
    out->yardstick = packets_device_testpmd(r->device, r->seconds) / 1e6;
    return s == HF_OK && out->yardstick == 0 ? HF_NOT_FOUND : s;
}
#endif

// name, what, what the first stage is, form
// clang-format off
#define STAGES_ROWS(ROW)                                                                           \
    ROW(stages1, "an order's way through the queue, 1 a frame, tagged", "parse",                   \
        {PORT_MEMORY, 1, CELLS, true, false, false})                                               \
    ROW(stages32, "the same, 32 a frame", "parse and answer",                                      \
        {PORT_MEMORY, 32, CELLS, true, false, false})
// clang-format on

#define ROW(name_, what_, first_, ...)                                                             \
    static enum hf_status name_##_set_up(const struct ratio_settings *s, void **ctx)               \
    {                                                                                              \
        static const struct form form = __VA_ARGS__;                                               \
        return set_up(s, &form, ctx);                                                              \
    }
STAGES_ROWS(ROW)
#undef ROW
#define ROW(name_, what_, alone_, goal_, ...)                                                      \
    static enum hf_status name_##_set_up(const struct ratio_settings *s, void **ctx)               \
    {                                                                                              \
        static const struct form form = __VA_ARGS__;                                               \
        return set_up(s, &form, ctx);                                                              \
    }
PACKETS_ROWS(ROW)
PACKETS_RING_ROWS(ROW)
#undef ROW

#define NOTES                                                                                      \
    {                                                                                              \
        "M frames/s", "ns CPU of the queue an order", "of it, making it, ns", "% BUSY", NULL       \
    }
const struct ratio_row ratio_rows_core[] = {
#define ROW(name_, what_, alone_, goal_, ...)                                                      \
    {.name = #name_,                                                                               \
     .what = what_,                                                                                \
     .unit = "M orders/s",                                                                         \
     .alone = alone_,                                                                              \
     .direction = RATIO_AT_LEAST,                                                                  \
     .goal = goal_,                                                                                \
     .notes = NOTES,                                                                               \
     .set_up = name_##_set_up,                                                                     \
     .measure = measure,                                                                           \
     .tear_down = tear_down},
    PACKETS_ROWS(ROW) PACKETS_RING_ROWS(ROW)
#undef ROW
#define ROW(name_, what_, first_, ...)                                                             \
    {.name = #name_,                                                                               \
     .what = what_,                                                                                \
     .unit = "cycles/order",                                                                       \
     .alone = true,                                                                                \
     .direction = RATIO_AT_LEAST,                                                                  \
     .notes = {first_, "tag", "decide", "append", "answer", "beside them: making it",              \
               "GHz of the counter", "% of bursts left out: interrupted"},                         \
     .set_up = name_##_set_up,                                                                     \
     .measure = stages_measure,                                                                    \
     .tear_down = tear_down},
        STAGES_ROWS(ROW)
#undef ROW
#ifdef HF_DPDK
#define TESTPMD(name_, what_, row)                                                                 \
    {.name = name_,                                                                                \
     .what = what_,                                                                                \
     .unit = "M frames/s",                                                                         \
     .direction = RATIO_AT_LEAST,                                                                  \
     .goal = 0.25,                                                                                 \
     .notes = NOTES,                                                                               \
     .set_up = row##_set_up,                                                                       \
     .measure = testpmd_measure,                                                                   \
     .tear_down = tear_down},
        TESTPMD("testpmd/capture",
                "frames of one order from a capture, against testpmd's macswap over one", capture1)
            TESTPMD("testpmd/ring",
                    "frames of one order over a ring, against testpmd's macswap over one", ring1)
#endif
    {.name = NULL}};
