// The bare compare-and-swap over 1 GiB of cells: the floor under every decision, and the reason
// why decisions come in prefetched batches.
#include "base/status.h"
#include "harness.h"
#include "suites.h"
#include "yardstick.h"

#include <stdlib.h>

#define CELLS ((uint64_t)16 << 20)
#define BATCH (1000 * YARDSTICK_BATCH)

static struct yardstick_cells cells;

static void unmap_cells(void)
{
    yardstick_cells_destroy(&cells);
}

// Mapped by the first benchmark that runs, so that a filter that leaves them out costs nothing.
static bool cells_ready(void)
{
    if (cells.memory.base)
        return true;
    if (!yardstick_cells_create(&cells, CELLS))
        return false;
    atexit(unmap_cells);
    return true;
}

static void cas(struct bench_state *s, bool prefetch)
{
    if (!cells_ready()) {
        bench_skip(s, "1 GiB of memory cannot be had");
        return;
    }
    while (bench_next(s, BATCH))
        bench_use(yardstick_cas_ns_x1000(&cells, BATCH, prefetch));
    bench_items(s, bench_iterations(s));
    bench_counter(s, "huge_pages", cells.memory.huge);
}

static void cas_prefetched(struct bench_state *s)
{
    cas(s, true);
}

static void cas_bare(struct bench_state *s)
{
    cas(s, false);
}

void bench_memory_register(void)
{
    bench_register("memory/cas_prefetched", cas_prefetched, NULL);
    bench_register("memory/cas_bare", cas_bare, NULL);
}
