// The fake storage's insides: contents, names, and what of them is durable.
#ifndef HOLDFAST_TESTS_SIM_FAKE_DISK_H
#define HOLDFAST_TESTS_SIM_FAKE_DISK_H

#include "base/prng.h"
#include "sim/fake_storage.h"

#include <pthread.h>

struct fake_bytes {
    uint8_t *at;
    uint64_t bytes, room;
};

struct fake_write {
    uint64_t offset, order;
    uint32_t bytes;
    bool direct; // past the page cache
    uint8_t *data;
};

struct fake_inode {
    struct fake_bytes now, durable; // `now` is `durable` with every write applied
    struct fake_write *writes;
    uint32_t writes_count, writes_room;
    uint32_t handles;
};

struct fake_name {
    char name[STORAGE_NAME_BYTES];
    struct fake_inode *inode;
};
struct fake_names {
    struct fake_name *at; // sorted
    uint32_t count, room;
};

enum fake_change_kind { FAKE_CREATE, FAKE_RENAME, FAKE_UNLINK };
struct fake_change {
    enum fake_change_kind kind;
    char name[STORAGE_NAME_BYTES], to[STORAGE_NAME_BYTES];
    struct fake_inode *inode; // the file that is made, renamed or taken away
};

struct fake_handle {
    struct fake_inode *inode; // NULL: free
    unsigned flags;
};

#define FAKE_HANDLES_MAX 1024

struct fake_disk {
    pthread_mutex_t mutex;
    struct prng prng;
    struct fake_inode **inodes;
    uint32_t inodes_count, inodes_room;
    struct fake_names now, durable;
    struct fake_change *changes;
    uint32_t changes_count, changes_room;
    struct fake_handle handles[FAKE_HANDLES_MAX];
    uint64_t write_order;
    bool locked;
};

void *fake_room(void *at, uint32_t *room, uint32_t need, size_t each);

void fake_bytes_grow(struct fake_bytes *b, uint64_t bytes);
void fake_bytes_put(struct fake_bytes *b, uint64_t offset, const void *data, uint64_t bytes);
void fake_bytes_copy(struct fake_bytes *to, const struct fake_bytes *from);

struct fake_inode *fake_names_find(const struct fake_names *n, const char *name);
void fake_names_set(struct fake_names *n, const char *name, struct fake_inode *inode);
bool fake_names_remove(struct fake_names *n, const char *name);
void fake_names_apply(struct fake_names *n, const struct fake_change *c);

struct fake_inode *fake_inode_add(struct fake_disk *d);
// Remembers an unsynced write and applies it to what the process sees.
void fake_inode_write(struct fake_disk *d, struct fake_inode *i, uint64_t offset,
                      const void *data, uint32_t bytes, bool direct);
void fake_inode_sync(struct fake_inode *i);
void fake_change_add(struct fake_disk *d, const struct fake_change *c);
void fake_folder_sync(struct fake_disk *d);
// Frees files that no name, change or handle leads to.
void fake_disk_collect(struct fake_disk *d);
struct fake_disk *fake_disk_create(uint64_t seed);
struct fake_disk *fake_disk_clone(const struct fake_disk *d);
void fake_disk_destroy(struct fake_disk *d);

// A sync that failed. What went through the page cache stays visible, and part of it will never be
// durable, whatever later syncs say. What went past it is durable or still waits.
void fake_inode_sync_fails(struct fake_storage *fs, struct fake_inode *i);
// A power loss: decides what is left of all that is not synced.
void fake_disk_lose(struct fake_storage *fs);

#endif
