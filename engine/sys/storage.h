// The only door to files. One `struct storage` is one data folder; names are flat (no '/').
//
// Every call blocks. Calls on different files may run in several threads at once; one file belongs
// to one thread at a time. Buffers and offsets of pread/pwrite on a file opened with
// STORAGE_DIRECT are multiples of 4,096 bytes and 4,096-aligned.
//
// Failure: HF_IO is final (crash-only: the engine stops and recovers); HF_NO_SPACE only from
// create, pwrite and rename, and may pass, as HF_NO_MEMORY (memory, descriptors) from open and
// list; HF_NOT_FOUND and HF_EXISTS by name. After a failed sync nothing is known of what was
// written since the last good one: never sync again.
#ifndef HOLDFAST_SYS_STORAGE_H
#define HOLDFAST_SYS_STORAGE_H

#include "base/status.h"

#include <stdint.h>

#define STORAGE_NAME_BYTES 64 // with the terminator

// What background work reads or writes in one call. One that is larger can fill a device's queue by
// itself, and the journal's next write waits behind it.
#define STORAGE_PIECE_BYTES ((size_t)128 << 10)

enum storage_flags {
    STORAGE_READ = 1,
    STORAGE_WRITE = 2,
    STORAGE_CREATE = 4, // must not exist yet: HF_EXISTS
    STORAGE_DIRECT = 8, // past the page cache where the file system can; else as without
};

struct storage;

struct storage_ops {
    // A handle >= 0 goes to *file.
    enum hf_status (*open)(struct storage *s, const char *name, unsigned flags, int *file);
    void (*close)(struct storage *s, int file);
    // All bytes or an error; *done < bytes with HF_OK only at the end of the file.
    enum hf_status (*pread)(struct storage *s, int file, void *buffer, size_t bytes,
                            uint64_t offset, size_t *done);
    // All bytes or an error (short writes are continued inside).
    enum hf_status (*pwrite)(struct storage *s, int file, const void *buffer, size_t bytes,
                             uint64_t offset);
    // fdatasync: the content and the size.
    enum hf_status (*sync)(struct storage *s, int file);
    enum hf_status (*size)(struct storage *s, int file, uint64_t *bytes);
    // Atomic; replaces `to`. Durable after sync_folder.
    enum hf_status (*rename)(struct storage *s, const char *from, const char *to);
    enum hf_status (*unlink)(struct storage *s, const char *name);
    enum hf_status (*sync_folder)(struct storage *s);
    // Calls back once a name, in no order. The folder must not be changed meanwhile.
    enum hf_status (*list)(struct storage *s, void (*each)(void *ctx, const char *name), void *ctx);
    // Bytes that can still be written in this file system.
    enum hf_status (*free_bytes)(struct storage *s, uint64_t *bytes);
    // Exclusive until the storage is closed or the process ends: HF_LOCKED when another has it.
    enum hf_status (*lock)(struct storage *s);
    void (*destroy)(struct storage *s);
};

struct storage {
    const struct storage_ops *ops;
};

// Opens a folder of the operating system; with `make` it is made if need be, and must let itself be
// written. HF_NOT_FOUND; HF_INVALID: no folder, or this process may not; HF_NO_SPACE, HF_NO_MEMORY,
// HF_IO. After each of them errno is what it came from.
enum hf_status storage_os_create(const char *path, bool make, struct storage **out) HF_CHECKED;
// In words, for a message that names the path; static text.
const char *storage_os_why(int error);

static inline void storage_destroy(struct storage *s)
{
    if (s)
        s->ops->destroy(s);
}

#endif
