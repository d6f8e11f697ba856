// A storage that passes calls on and fails the n-th that can fail: one header for unit tests.
// With `crash` set, every later call fails too, so nothing after the n-th reaches the folder.
// HF_NO_SPACE is only given to open with create and to pwrite, as storage.h promises; other calls
// are not counted then. close and unlink never fail unless crashed, free_bytes and lock never.
#ifndef HOLDFAST_TESTS_UNIT_FAILING_STORAGE_H
#define HOLDFAST_TESTS_UNIT_FAILING_STORAGE_H

#include "sys/storage.h"

struct failing_storage {
    struct storage base;
    struct storage *below;
    enum hf_status error;
    unsigned left; // calls until the failure; 0: has failed, or never will
    bool failed, crash;
    int open_files;
};

static inline struct failing_storage *failing_of(struct storage *s)
{
    return (struct failing_storage *)s;
}

static inline bool failing_now(struct failing_storage *f, bool allocates)
{
    if (f->failed && f->crash)
        return true;
    if (f->error == HF_NO_SPACE && !allocates)
        return false;
    if (f->left == 0 || --f->left != 0)
        return false;
    f->failed = true;
    return true;
}

static inline enum hf_status failing_open(struct storage *s, const char *name, unsigned flags,
                                          int *file)
{
    struct failing_storage *f = failing_of(s);
    if (failing_now(f, flags & STORAGE_CREATE))
        return f->error;
    enum hf_status status = f->below->ops->open(f->below, name, flags, file);
    f->open_files += status == HF_OK;
    return status;
}

static inline void failing_close(struct storage *s, int file)
{
    failing_of(s)->open_files--;
    failing_of(s)->below->ops->close(failing_of(s)->below, file);
}

static inline enum hf_status failing_pread(struct storage *s, int file, void *buffer, size_t bytes,
                                           uint64_t offset, size_t *done)
{
    struct failing_storage *f = failing_of(s);
    if (failing_now(f, false))
        return f->error;
    return f->below->ops->pread(f->below, file, buffer, bytes, offset, done);
}

static inline enum hf_status failing_pwrite(struct storage *s, int file, const void *buffer,
                                            size_t bytes, uint64_t offset)
{
    struct failing_storage *f = failing_of(s);
    if (f->failed && f->crash)
        return f->error;
    if (failing_now(f, true)) {
        // Half of it reached the file.
        (void)f->below->ops->pwrite(f->below, file, buffer, bytes / 2 & ~(size_t)4095, offset);
        return f->error;
    }
    return f->below->ops->pwrite(f->below, file, buffer, bytes, offset);
}

static inline enum hf_status failing_sync(struct storage *s, int file)
{
    struct failing_storage *f = failing_of(s);
    return failing_now(f, false) ? f->error : f->below->ops->sync(f->below, file);
}

static inline enum hf_status failing_size(struct storage *s, int file, uint64_t *bytes)
{
    struct failing_storage *f = failing_of(s);
    return failing_now(f, false) ? f->error : f->below->ops->size(f->below, file, bytes);
}

static inline enum hf_status failing_rename(struct storage *s, const char *from, const char *to)
{
    struct failing_storage *f = failing_of(s);
    return failing_now(f, false) ? f->error : f->below->ops->rename(f->below, from, to);
}

static inline enum hf_status failing_unlink(struct storage *s, const char *name)
{
    struct failing_storage *f = failing_of(s);
    return f->failed && f->crash ? f->error : f->below->ops->unlink(f->below, name);
}

static inline enum hf_status failing_sync_folder(struct storage *s)
{
    struct failing_storage *f = failing_of(s);
    return failing_now(f, false) ? f->error : f->below->ops->sync_folder(f->below);
}

static inline enum hf_status failing_list(struct storage *s,
                                          void (*each)(void *ctx, const char *name), void *ctx)
{
    struct failing_storage *f = failing_of(s);
    return failing_now(f, false) ? f->error : f->below->ops->list(f->below, each, ctx);
}

static inline enum hf_status failing_free_bytes(struct storage *s, uint64_t *bytes)
{
    return failing_of(s)->below->ops->free_bytes(failing_of(s)->below, bytes);
}

static inline enum hf_status failing_lock(struct storage *s)
{
    return failing_of(s)->below->ops->lock(failing_of(s)->below);
}

static inline void failing_storage_init(struct failing_storage *f, struct storage *below,
                                        unsigned nth, enum hf_status error)
{
    static const struct storage_ops ops = {
        .open = failing_open,
        .close = failing_close,
        .pread = failing_pread,
        .pwrite = failing_pwrite,
        .sync = failing_sync,
        .size = failing_size,
        .rename = failing_rename,
        .unlink = failing_unlink,
        .sync_folder = failing_sync_folder,
        .list = failing_list,
        .free_bytes = failing_free_bytes,
        .lock = failing_lock,
    };
    *f = (struct failing_storage){.base = {&ops}, .below = below, .error = error, .left = nth};
}

#endif
