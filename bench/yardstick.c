#include "yardstick.h"

#include "base/atomic128.h"
#include "base/hash.h"
#include "base/limits.h"
#include "sys/clock.h"

#include <stdlib.h>
#include <string.h>

static const char file_name[] = "yardstick";

struct yardstick_cell {
    struct hf_word128 word;
    uint64_t rest[6];
};
static_assert(sizeof(struct yardstick_cell) == HF_CACHE_LINE, "a cell is one cache line");

bool yardstick_cells_create(struct yardstick_cells *c, uint64_t count)
{
    HF_ASSERT(count > 0 && (count & (count - 1)) == 0);
    *c = (struct yardstick_cells){.count = count};
    if (!hf_memory_map(&c->memory, count * sizeof(struct yardstick_cell), HF_PAGES_EXPLICIT))
        return false;
    struct yardstick_cell *cells = c->memory.base;
    for (uint64_t i = 0; i < count; i++)
        cells[i].word.lo = UINT64_MAX / 2;
    return true;
}

void yardstick_cells_destroy(struct yardstick_cells *c)
{
    hf_memory_unmap(&c->memory);
}

static inline void subtract(struct yardstick_cell *cell)
{
    struct hf_word128 seen, wanted;
    do {
        seen.lo = __atomic_load_n(&cell->word.lo, __ATOMIC_RELAXED);
        seen.hi = __atomic_load_n(&cell->word.hi, __ATOMIC_RELAXED);
        wanted.lo = seen.lo - 1;
        wanted.hi = seen.hi + 1;
    } while (!hf_cas128(&cell->word, seen, wanted));
}

static void batches_prefetched(struct yardstick_cells *c, uint64_t batches)
{
    struct yardstick_cell *cells = c->memory.base, *picked[YARDSTICK_BATCH];
    uint64_t position = c->position, mask = c->count - 1;
    while (batches--) {
        for (int i = 0; i < YARDSTICK_BATCH; i++) {
            picked[i] = &cells[hf_mix64(++position) & mask];
            __builtin_prefetch(picked[i], 1, 3);
        }
        for (int i = 0; i < YARDSTICK_BATCH; i++)
            subtract(picked[i]);
    }
    c->position = position;
}

static void batches_bare(struct yardstick_cells *c, uint64_t batches)
{
    struct yardstick_cell *cells = c->memory.base;
    uint64_t position = c->position, mask = c->count - 1;
    for (uint64_t i = 0; i < batches * YARDSTICK_BATCH; i++)
        subtract(&cells[hf_mix64(++position) & mask]);
    c->position = position;
}

uint64_t yardstick_cas_ns_x1000(struct yardstick_cells *c, uint64_t ops, bool prefetch)
{
    uint64_t batches = (ops + YARDSTICK_BATCH - 1) / YARDSTICK_BATCH;
    HF_ASSERT(batches > 0);
    uint64_t begin = clock_monotonic_ns(clock_os());
    if (prefetch)
        batches_prefetched(c, batches);
    else
        batches_bare(c, batches);
    uint64_t spent = clock_monotonic_ns(clock_os()) - begin;
    return spent * 1000 / (batches * YARDSTICK_BATCH);
}

// ------------------------------------------------------------------------------- storage

static uint64_t *samples_of(const struct yardstick_file *f)
{
    return (uint64_t *)((char *)f->buffer.base + f->group_bytes_max);
}

static enum hf_status write_zeros(struct yardstick_file *f)
{
    const struct storage_ops *ops = f->storage->ops;
    for (uint64_t at = 0; at < f->file_bytes; at += f->group_bytes_max) {
        uint64_t left = f->file_bytes - at;
        size_t bytes = left < f->group_bytes_max ? left : f->group_bytes_max;
        enum hf_status st = ops->pwrite(f->storage, f->file, f->buffer.base, bytes, at);
        if (st != HF_OK)
            return st;
    }
    enum hf_status st = ops->sync(f->storage, f->file);
    return st == HF_OK ? ops->sync_folder(f->storage) : st;
}

enum hf_status yardstick_file_create(struct yardstick_file *f,
                                     const struct yardstick_file_options *o)
{
    *f = (struct yardstick_file){.storage = o->storage,
                                 .file = -1,
                                 .file_bytes = o->file_bytes,
                                 .group_bytes_max = o->group_bytes_max,
                                 .samples_max = o->samples_max};
    if (o->group_bytes_max == 0 || o->group_bytes_max % HF_BLOCK || o->file_bytes % HF_BLOCK ||
        o->file_bytes < o->group_bytes_max || o->samples_max == 0)
        return HF_INVALID;
    size_t bytes = o->group_bytes_max + o->samples_max * sizeof(uint64_t);
    if (!hf_memory_map(&f->buffer, bytes, HF_PAGES_SMALL))
        return HF_NO_MEMORY;
    enum hf_status st = o->storage->ops->open(
        o->storage, file_name, STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE | STORAGE_DIRECT,
        &f->file);
    if (st == HF_OK)
        st = write_zeros(f);
    if (st != HF_OK)
        yardstick_file_destroy(f);
    // Not zeros again: what a device does with zeros says nothing about records.
    for (uint64_t i = 0; st == HF_OK && i < o->group_bytes_max / 8; i++)
        ((uint64_t *)f->buffer.base)[i] = hf_mix64(i + 1);
    return st;
}

void yardstick_file_destroy(struct yardstick_file *f)
{
    if (f->file >= 0) {
        f->storage->ops->close(f->storage, f->file);
        if (f->storage->ops->unlink(f->storage, file_name) != HF_OK)
            f->at = 0; // a left-over file harms nobody: the folder is temporary
    }
    f->file = -1;
    hf_memory_unmap(&f->buffer);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum hf_status yardstick_sync_run(struct yardstick_file *f, uint32_t group_bytes, uint32_t count,
                                  struct yardstick_sync *out)
{
    const struct storage_ops *ops = f->storage->ops;
    uint64_t *samples = samples_of(f);
    if (group_bytes == 0 || group_bytes % HF_BLOCK || group_bytes > f->group_bytes_max ||
        count == 0 || count > f->samples_max)
        return HF_INVALID;
    *out = (struct yardstick_sync){.count = count, .bytes = (uint64_t)group_bytes * count};
    for (uint32_t i = 0; i < count; i++) {
        if (f->at + group_bytes > f->file_bytes)
            f->at = 0;
        uint64_t begin = clock_monotonic_ns(clock_os());
        enum hf_status st =
            ops->pwrite(f->storage, f->file, f->buffer.base, group_bytes, f->at);
        if (st == HF_OK)
            st = ops->sync(f->storage, f->file);
        if (st != HF_OK)
            return st;
        samples[i] = clock_monotonic_ns(clock_os()) - begin;
        out->total_ns += samples[i];
        f->at += group_bytes;
    }
    qsort(samples, count, sizeof *samples, by_size);
    out->p50_ns = samples[count / 2];
    out->p99_ns = samples[(uint64_t)count * 99 / 100];
    out->max_ns = samples[count - 1];
    return HF_OK;
}
