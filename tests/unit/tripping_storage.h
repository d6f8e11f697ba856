// The flusher's own door to a fake disk: the n-th call through it fails as the disk can fail there,
// once or for a while. The engine, which has another door, is not concerned.
#ifndef HOLDFAST_TESTS_UNIT_TRIPPING_STORAGE_H
#define HOLDFAST_TESTS_UNIT_TRIPPING_STORAGE_H

#include "sim/fake_storage.h"

struct tripping_storage {
    struct storage base;
    struct fake_storage *disk;
    uint64_t calls;
    uint64_t from, to; // those calls fail; 0: none
    uint64_t tripped;
};

static inline struct storage *tripping_below(struct storage *s)
{
    return &((struct tripping_storage *)s)->disk->base;
}

// Sets the countdown that the next call underneath meets.
static inline void tripping_count(struct storage *s, uint64_t *countdown)
{
    struct tripping_storage *t = (struct tripping_storage *)s;
    t->calls++;
    if (t->from && t->calls >= t->from && t->calls <= t->to) {
        *countdown = 1;
        t->tripped++;
    }
}

#define TRIP(s, fault) tripping_count(s, &((struct tripping_storage *)(s))->disk->faults.fault)

static inline enum hf_status tripping_open(struct storage *s, const char *name, unsigned flags,
                                           int *file)
{
    if (flags & STORAGE_CREATE)
        TRIP(s, write_error_in);
    return tripping_below(s)->ops->open(tripping_below(s), name, flags, file);
}

static inline void tripping_close(struct storage *s, int file)
{
    tripping_below(s)->ops->close(tripping_below(s), file);
}

static inline enum hf_status tripping_pread(struct storage *s, int file, void *buffer, size_t bytes,
                                            uint64_t offset, size_t *done)
{
    TRIP(s, read_error_in);
    return tripping_below(s)->ops->pread(tripping_below(s), file, buffer, bytes, offset, done);
}

static inline enum hf_status tripping_pwrite(struct storage *s, int file, const void *buffer,
                                             size_t bytes, uint64_t offset)
{
    TRIP(s, write_error_in);
    return tripping_below(s)->ops->pwrite(tripping_below(s), file, buffer, bytes, offset);
}

static inline enum hf_status tripping_sync(struct storage *s, int file)
{
    TRIP(s, sync_error_in);
    return tripping_below(s)->ops->sync(tripping_below(s), file);
}

static inline enum hf_status tripping_size(struct storage *s, int file, uint64_t *bytes)
{
    return tripping_below(s)->ops->size(tripping_below(s), file, bytes);
}

static inline enum hf_status tripping_rename(struct storage *s, const char *from, const char *to)
{
    TRIP(s, write_error_in);
    return tripping_below(s)->ops->rename(tripping_below(s), from, to);
}

static inline enum hf_status tripping_unlink(struct storage *s, const char *name)
{
    TRIP(s, write_error_in);
    return tripping_below(s)->ops->unlink(tripping_below(s), name);
}

static inline enum hf_status tripping_sync_folder(struct storage *s)
{
    TRIP(s, sync_error_in);
    return tripping_below(s)->ops->sync_folder(tripping_below(s));
}

static inline enum hf_status tripping_list(struct storage *s,
                                           void (*each)(void *ctx, const char *name), void *ctx)
{
    return tripping_below(s)->ops->list(tripping_below(s), each, ctx);
}

static inline enum hf_status tripping_free_bytes(struct storage *s, uint64_t *bytes)
{
    return tripping_below(s)->ops->free_bytes(tripping_below(s), bytes);
}

static inline enum hf_status tripping_lock(struct storage *s)
{
    return tripping_below(s)->ops->lock(tripping_below(s));
}

static inline void tripping_storage_init(struct tripping_storage *t, struct fake_storage *disk)
{
    static const struct storage_ops ops = {
        .open = tripping_open,
        .close = tripping_close,
        .pread = tripping_pread,
        .pwrite = tripping_pwrite,
        .sync = tripping_sync,
        .size = tripping_size,
        .rename = tripping_rename,
        .unlink = tripping_unlink,
        .sync_folder = tripping_sync_folder,
        .list = tripping_list,
        .free_bytes = tripping_free_bytes,
        .lock = tripping_lock,
    };
    *t = (struct tripping_storage){.base = {&ops}, .disk = disk};
}

#endif
