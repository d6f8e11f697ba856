// The largest stock that is promised, for real: 16M cells of 4M SKUs in 4 locations, made, sold
// from, listed, killed and recovered, on the disk and with the threads of a node.
//
//   test_capacity [CELLS]
//
// Asks for 400 bytes of memory and 500 bytes of disk a cell; skips (exit 77) without, and in
// builds that check every access, where it takes too long.
#include "daemon/node.h"

#include "base/hash.h"
#include "sys/clock.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define LOCATIONS     4u
#define EVERY         16u // one cell of so many gets stock
#define STOCK         1000
#define ORDERS        204800u
#define BATCH         32u
#define PAGE          1000u
#define MEMORY_A_CELL 400u
#define DISK_A_CELL   500u
#define SKIP          77

static struct node *node;
static struct core *core;
static struct core_worker *worker;
static struct node_options options;
static char folder[64] = "/tmp/holdfast-capacity.XXXXXX";
static uint32_t cells = 16u << 20;
static uint8_t *sold; // by cell that has stock

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expr);                             \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static void folder_remove(void)
{
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d)
        closedir(d);
    rmdir(folder);
}

static uint64_t memory_available(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "MemAvailable: %llu", &kib) != 1)
        ;
    if (f)
        fclose(f);
    return kib * 1024;
}

static const char *cannot(void)
{
#if defined HF_DEBUG_CHECKS || defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return "this build checks every access";
#endif
    struct statvfs disk;
    if (memory_available() < (uint64_t)cells * MEMORY_A_CELL)
        return "not enough memory";
    if (statvfs("/tmp", &disk) != 0 ||
        (uint64_t)disk.f_bavail * disk.f_frsize < (uint64_t)cells * DISK_A_CELL)
        return "not enough room in /tmp";
    return NULL;
}

static double seconds_since(uint64_t begin_ns)
{
    return (double)(clock_monotonic_ns(clock_os()) - begin_ns) / 1e9;
}

static void node_up(void)
{
    struct core_report report;
    uint64_t begin = clock_monotonic_ns(clock_os());
    enum hf_status s = node_open(&options, &node, &report);
    if (s != HF_OK) {
        fprintf(stderr, "open: %s: %s\n", hf_status_name(s), report.why);
        exit(1);
    }
    core = node_core(node);
    worker = core_worker_create(core);
    printf("open: %.1f s, %llu cells, %llu + %llu MiB\n", seconds_since(begin),
           (unsigned long long)report.cells, (unsigned long long)report.memory_bytes >> 20,
           (unsigned long long)report.memory_shadow_bytes >> 20);
}

static uint32_t names_of(uint32_t handle, char sku[24], char location[8])
{
    snprintf(location, 8, "loc-%u", handle % LOCATIONS);
    return (uint32_t)snprintf(sku, 24, "article-%u", handle / LOCATIONS);
}

static void writer_let(void)
{
    nanosleep(&(struct timespec){0, 100000}, NULL);
}

static bool admin_again(const struct core_admin_answer *a)
{
    if (a->outcome != CORE_OUT_BUSY)
        return false;
    writer_let();
    return true;
}

static void settle(void)
{
    enum hf_status s;
    do
        s = core_wait(core, journal_appended(core_journal(core)), 1000);
    while (s == HF_AGAIN);
    CHECK(s == HF_OK);
}

static void cells_make(void)
{
    uint64_t begin = clock_monotonic_ns(clock_os());
    for (uint32_t h = 0; h < cells; h++) {
        struct core_admin_answer a;
        char sku[24], location[8];
        uint32_t bytes = names_of(h, sku, location);
        do
            core_cell_make(worker, core_now(core), sku, bytes, location, 5, 0, &a);
        while (admin_again(&a));
        CHECK(a.outcome == CORE_OUT_DONE && a.handle == h);
        if (h % EVERY)
            continue;
        struct core_change c = {.handle = h, .setting = CORE_SET_ON_HAND, .value = STOCK};
        do {
            c.op_id = hf_uuid_v7(core_now(core), hf_mix64(h), ~hf_mix64(h));
            core_change(worker, core_now(core), &c, &a);
        } while (admin_again(&a));
        CHECK(a.outcome == CORE_OUT_DONE);
    }
    settle();
    printf("made: %.1f s\n", seconds_since(begin));
}

static void one_more_is_refused(void)
{
    struct core_admin_answer a;
    core_cell_make(worker, core_now(core), "one-too-many", 12, "loc-0", 5, 0, &a);
    CHECK(a.outcome != CORE_OUT_DONE);
    CHECK(core_cell_count(core) == cells);
}

// True when one of them was BUSY: then all are asked again, and the others act once all the same.
static bool batch_take(const struct core_request *requests)
{
    struct core_answer answers[BATCH];
    bool busy = false;
    core_execute(worker, core_now(core), requests, answers, BATCH);
    for (uint32_t i = 0; i < BATCH; i++) {
        bool done = answers[i].outcome == CORE_OUT_DONE;
        CHECK(done || answers[i].outcome == CORE_OUT_BUSY);
        sold[requests[i].lines[0].handle / EVERY] += done && !answers[i].repeat;
        busy |= !done;
    }
    if (busy)
        writer_let();
    return busy;
}

static void orders_take(void)
{
    struct core_line lines[BATCH];
    struct core_request requests[BATCH];
    uint64_t begin = clock_monotonic_ns(clock_os());
    for (uint32_t done = 0; done < ORDERS; done += BATCH) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint64_t random = hf_mix64(done + i + 1);
            lines[i] = (struct core_line){(uint32_t)(random % (cells / EVERY)) * EVERY, 0, 1};
            requests[i] =
                (struct core_request){.verb = CORE_ORDER,
                                      .id = hf_uuid_v7(core_now(core), random, hf_mix64(random)),
                                      .lines = &lines[i],
                                      .line_count = 1};
        }
        while (batch_take(requests))
            ;
    }
    settle();
    printf("sold: %.1f s for %u orders\n", seconds_since(begin), ORDERS);
}

// Page by page over all handles, as a list of the stock is read.
static void every_cell_is_exact(void)
{
    uint64_t begin = clock_monotonic_ns(clock_os());
    uint64_t total = 0;
    CHECK(core_cell_count(core) == cells);
    for (uint32_t from = 0; from < cells; from += PAGE)
        for (uint32_t h = from; h < from + PAGE && h < cells; h++) {
            struct core_cell c;
            struct core_name n;
            char sku[24], location[8];
            uint32_t bytes = names_of(h, sku, location), found;
            CHECK(core_cell_read(core, h, &c) == HF_OK);
            CHECK(core_cell_name(core, h, &n) == HF_OK);
            CHECK(n.sku_bytes == bytes && memcmp(n.sku, sku, bytes) == 0);
            CHECK(memcmp(n.location, location, 5) == 0);
            if (h % 97 == 0)
                CHECK(core_find(core, sku, bytes, location, 5, &found) == HF_OK && found == h);
            int64_t stock = h % EVERY ? 0 : STOCK, gone = h % EVERY ? 0 : sold[h / EVERY];
            CHECK(c.on_hand == stock && c.committed == gone && c.available == stock - gone);
            CHECK(c.active && c.held == 0);
            total += (uint64_t)gone;
        }
    CHECK(total == ORDERS);
    printf("read: %.1f s, %llu sold\n", seconds_since(begin), (unsigned long long)total);
}

static void node_down(void)
{
    core_worker_destroy(worker);
    node_close(node); // writes nothing: the next start recovers
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cells = (uint32_t)strtoul(argv[1], NULL, 10);
    const char *why = cannot();
    if (why) {
        printf("SKIPPED: %u cells: %s\n", cells, why);
        return SKIP;
    }
    sold = calloc(cells / EVERY + 1, 1);
    CHECK(sold && mkdtemp(folder));
    atexit(folder_remove);
    node_options_default(&options);
    options.folder = folder;
    options.core.cells_max = cells;
    options.core.ids_max = 4u << 20;
    options.core.workers_max = 2;
    options.core.journal.segments_max = 256;
    options.core.journal.buffers_per_producer = 256; // cells are pushed one by one
    options.core.journal.buffer_bytes = 16 << 10;
    node_up();
    cells_make();
    one_more_is_refused();
    orders_take();
    every_cell_is_exact();
    node_down();
    node_up();
    every_cell_is_exact();
    node_down();
    free(sold);
    return 0;
}
