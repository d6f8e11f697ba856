// What the machine itself can do: the figures that the engine's own are held against, taken in the
// same process and interleaved with them.
//
// Nothing here is tuned to the engine, nor the other way round: the bare loop, the bare file.
#ifndef HOLDFAST_BENCH_YARDSTICK_H
#define HOLDFAST_BENCH_YARDSTICK_H

#include "base/status.h"
#include "base/memory.h"
#include "sys/storage.h"

#include <stdbool.h>
#include <stdint.h>

// ------------------------------------------------------------------------------- memory
// Cells of one cache line whose first 16 bytes are subtracted from by a 128-bit compare-and-swap.
struct yardstick_cells {
    struct hf_memory memory;
    uint64_t count; // a power of two
    uint64_t position; // in the pseudo-random order of the cells; moves on from run to run
};

#define YARDSTICK_BATCH 32

// Maps and touches count * 64 bytes, with huge pages when there are any. False: no memory.
bool yardstick_cells_create(struct yardstick_cells *c, uint64_t count);
void yardstick_cells_destroy(struct yardstick_cells *c);
// Subtracts 1 from `ops` cells picked uniformly (ops is rounded up to whole batches), returns
// nanoseconds an operation times 1,000. prefetch: each batch of 32 is prefetched, then changed.
uint64_t yardstick_cas_ns_x1000(struct yardstick_cells *c, uint64_t ops, bool prefetch);

// ------------------------------------------------------------------------------- storage
// A zero-written file, opened past the page cache, written from its start in whole blocks, one
// sync a write: what a journal does, without a journal.
struct yardstick_file {
    struct storage *storage; // borrowed
    struct hf_memory buffer; // holds group_bytes_max, then the samples
    int file;
    uint64_t file_bytes, at;
    uint32_t group_bytes_max, samples_max;
};

struct yardstick_file_options {
    struct storage *storage;
    uint64_t file_bytes; // multiples of HF_BLOCK
    uint32_t group_bytes_max;
    uint32_t samples_max; // most writes in one measurement
};

// Makes "yardstick" in the folder, zero-writes and syncs it. Blocking, for long.
enum hf_status yardstick_file_create(struct yardstick_file *f,
                                     const struct yardstick_file_options *o) HF_CHECKED;
void yardstick_file_destroy(struct yardstick_file *f); // removes the file

struct yardstick_sync {
    uint64_t count, bytes, total_ns, p50_ns, p99_ns, max_ns;
};
// `count` (<= samples_max) times: write group_bytes at the next place, sync. Starts over at the
// file's end.
enum hf_status yardstick_sync_run(struct yardstick_file *f, uint32_t group_bytes, uint32_t count,
                                  struct yardstick_sync *out) HF_CHECKED;

#endif
