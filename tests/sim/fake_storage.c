#include "sim/fake_storage.h"

#include "sim/fake_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fake_storage *fake_of(struct storage *s)
{
    return (struct fake_storage *)s;
}

// ------------------------------------------------------------------------------- one call

static bool strikes(uint64_t *countdown)
{
    if (*countdown == 0)
        return false;
    return --*countdown == 0;
}

static void latency(struct fake_storage *fs)
{
    const struct fake_faults *f = &fs->faults;
    if (!fs->clock || (!f->latency_ns_max && !f->slow_one_in))
        return;
    struct prng *p = &fs->disk->prng;
    uint64_t ns = f->latency_ns_max ? prng_below(p, f->latency_ns_max + 1) : 0;
    if (f->slow_one_in && prng_below(p, f->slow_one_in) == 0) {
        ns += prng_below(p, f->slow_ns_max + 1);
        fs->counts.slow++;
    }
    fake_clock_advance_ns(fs->clock, ns);
}

static void hash_add(struct fake_storage *fs, const void *data, size_t bytes)
{
    fs->hash = hf_hash(data, bytes, fs->hash);
}

// Enters a call: false when the power is off. *dying: the power fails within this call.
static bool enter(struct fake_storage *fs, bool mutates, bool *dying)
{
    pthread_mutex_lock(&fs->disk->mutex);
    *dying = false;
    if (fs->crashed)
        return false;
    fs->calls++;
    fs->changes += mutates;
    latency(fs);
    if ((mutates || fs->faults.crash_counts_reads) && strikes(&fs->faults.crash_in)) {
        *dying = true;
        fs->crashed = true;
        fs->counts.crashes++;
    }
    return true;
}

static enum hf_status leave(struct fake_storage *fs, enum hf_status status)
{
    pthread_mutex_unlock(&fs->disk->mutex);
    return status;
}

static struct fake_handle *handle_of(struct fake_storage *fs, int file)
{
    HF_ASSERT(file >= 0 && file < FAKE_HANDLES_MAX);
    struct fake_handle *h = &fs->disk->handles[file];
    HF_ASSERT(h->inode); // a handle from before a restart, or closed
    return h;
}

static uint64_t used_bytes(const struct fake_disk *d)
{
    uint64_t sum = 0;
    for (uint32_t n = 0; n < d->now.count; n++)
        sum += d->now.at[n].inode->now.bytes;
    return sum;
}

static uint64_t room_bytes(const struct fake_storage *fs)
{
    if (!fs->faults.capacity_bytes)
        return UINT64_C(1) << 50;
    uint64_t used = used_bytes(fs->disk);
    return used < fs->faults.capacity_bytes ? fs->faults.capacity_bytes - used : 0;
}

static void trace(const struct fake_storage *fs, const char *what, const struct fake_inode *i,
                  uint64_t offset, uint64_t bytes)
{
    const char *name = "";
    if (!fs->trace)
        return;
    for (uint32_t n = 0; n < fs->disk->now.count && i; n++)
        if (fs->disk->now.at[n].inode == i)
            name = fs->disk->now.at[n].name;
    printf("  io %lu %s %s %lu+%lu%s\n", fs->calls, what, name, offset, bytes,
           fs->crashed ? " (power fails)" : "");
}

static void change_name(struct fake_storage *fs, enum fake_change_kind kind, const char *name,
                        const char *to, struct fake_inode *inode)
{
    struct fake_change c = {.kind = kind, .inode = inode};
    strncpy(c.name, name, STORAGE_NAME_BYTES - 1);
    strncpy(c.to, to, STORAGE_NAME_BYTES - 1);
    if (fs->trace)
        printf("  io %lu %s %s %s%s\n", fs->calls,
               kind == FAKE_CREATE ? "create" : kind == FAKE_RENAME ? "rename" : "unlink", name, to,
               fs->crashed ? " (power fails)" : "");
    hash_add(fs, &c.kind, sizeof c.kind);
    hash_add(fs, c.name, strlen(c.name));
    hash_add(fs, c.to, strlen(c.to));
    fake_change_add(fs->disk, &c);
}

// ------------------------------------------------------------------------------- ops

static enum hf_status create_file(struct fake_storage *fs, const char *name, bool dying,
                                  struct fake_inode **inode)
{
    if (fake_names_find(&fs->disk->now, name))
        return HF_EXISTS;
    bool fails = strikes(&fs->faults.write_error_in);
    if (room_bytes(fs) == 0) {
        fs->counts.no_space++;
        return HF_NO_SPACE;
    }
    fs->counts.write_errors += fails;
    if ((dying || fails) && prng_chance(&fs->disk->prng, 1, 2))
        return HF_IO;
    *inode = fake_inode_add(fs->disk);
    change_name(fs, FAKE_CREATE, name, "", *inode);
    fs->counts.creates++;
    return dying || fails ? HF_IO : HF_OK;
}

static enum hf_status open_file(struct fake_storage *fs, const char *name, unsigned flags,
                                bool dying, int *file)
{
    HF_ASSERT(strlen(name) < STORAGE_NAME_BYTES && name[0] && !strchr(name, '/'));
    HF_ASSERT(flags & (STORAGE_READ | STORAGE_WRITE));
    struct fake_inode *inode = fake_names_find(&fs->disk->now, name);
    if (flags & STORAGE_CREATE) {
        enum hf_status st = create_file(fs, name, dying, &inode);
        if (st != HF_OK)
            return st;
    } else if (dying) {
        return HF_IO;
    }
    if (!inode)
        return HF_NOT_FOUND;
    for (int h = 0; h < FAKE_HANDLES_MAX; h++) {
        if (!fs->disk->handles[h].inode) {
            fs->disk->handles[h] = (struct fake_handle){inode, flags};
            inode->handles++;
            fs->counts.opens++;
            *file = h;
            return HF_OK;
        }
    }
    HF_ASSERT(!"handles leak");
    return HF_IO;
}

static enum hf_status fake_open(struct storage *s, const char *name, unsigned flags, int *file)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, flags & STORAGE_CREATE, &dying))
        return leave(fs, HF_IO);
    return leave(fs, open_file(fs, name, flags, dying, file));
}

static void fake_close(struct storage *s, int file)
{
    struct fake_storage *fs = fake_of(s);
    pthread_mutex_lock(&fs->disk->mutex);
    struct fake_handle *h = handle_of(fs, file);
    h->inode->handles--;
    h->inode = NULL;
    if (!fs->crashed)
        fake_disk_collect(fs->disk);
    pthread_mutex_unlock(&fs->disk->mutex);
}

static void check_direct(const struct fake_handle *h, const void *buffer, size_t bytes,
                         uint64_t offset)
{
    if (h->flags & STORAGE_DIRECT)
        HF_ASSERT(((uintptr_t)buffer | bytes | offset) % 4096 == 0);
}

static enum hf_status fake_pread(struct storage *s, int file, void *buffer, size_t bytes,
                                 uint64_t offset, size_t *done)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, false, &dying))
        return leave(fs, HF_IO);
    struct fake_handle *h = handle_of(fs, file);
    check_direct(h, buffer, bytes, offset);
    fs->counts.reads++;
    if (strikes(&fs->faults.read_error_in)) {
        fs->counts.read_errors++;
        return leave(fs, HF_IO);
    }
    if (dying)
        return leave(fs, HF_IO);
    const struct fake_bytes *b = &h->inode->now;
    size_t n = offset >= b->bytes ? 0 : (b->bytes - offset < bytes ? b->bytes - offset : bytes);
    if (n)
        memcpy(buffer, b->at + offset, n);
    fs->counts.read_bytes += n;
    *done = n;
    return leave(fs, HF_OK);
}

// Whole sectors from the front, as a controller would, then perhaps nothing more.
static size_t some_of(struct fake_storage *fs, size_t bytes)
{
    return prng_below(&fs->disk->prng, bytes / FAKE_SECTOR + 1) * FAKE_SECTOR;
}

static enum hf_status fake_pwrite(struct storage *s, int file, const void *buffer, size_t bytes,
                                  uint64_t offset)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, true, &dying))
        return leave(fs, HF_IO);
    struct fake_handle *h = handle_of(fs, file);
    HF_ASSERT(h->flags & STORAGE_WRITE);
    check_direct(h, buffer, bytes, offset);
    hash_add(fs, &offset, sizeof offset);
    hash_add(fs, buffer, bytes);
    fs->counts.writes++;
    enum hf_status status = dying ? HF_IO : HF_OK;
    if (strikes(&fs->faults.write_error_in)) {
        fs->counts.write_errors++;
        status = HF_IO;
    }
    uint64_t have = h->inode->now.bytes;
    uint64_t more = offset + bytes > have ? offset + bytes - have : 0;
    if (status == HF_OK && more && more > room_bytes(fs)) {
        fs->counts.no_space++;
        status = HF_NO_SPACE;
        uint64_t fits = bytes - (more - room_bytes(fs) < bytes ? more - room_bytes(fs) : bytes);
        bytes = fits < bytes ? fits / FAKE_SECTOR * FAKE_SECTOR : bytes;
    }
    if (status != HF_OK)
        bytes = some_of(fs, bytes);
    trace(fs, "write", h->inode, offset, bytes);
    fake_inode_write(fs->disk, h->inode, offset, buffer, (uint32_t)bytes,
                     h->flags & STORAGE_DIRECT);
    fs->counts.written_bytes += bytes;
    return leave(fs, status);
}

static enum hf_status fake_sync(struct storage *s, int file)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, true, &dying))
        return leave(fs, HF_IO);
    struct fake_handle *h = handle_of(fs, file);
    fs->counts.syncs++;
    trace(fs, "sync", h->inode, 0, 0);
    bool fails = strikes(&fs->faults.sync_error_in);
    if (!fails && !dying) {
        fake_inode_sync(h->inode);
        return leave(fs, HF_OK);
    }
    if (fails) {
        fs->counts.sync_errors++;
        fake_inode_sync_fails(fs, h->inode);
    } else if (prng_chance(&fs->disk->prng, 1, 3)) {
        fake_inode_sync(h->inode); // done, but nobody heard
    }
    return leave(fs, HF_IO);
}

static enum hf_status fake_size(struct storage *s, int file, uint64_t *bytes)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, false, &dying) || dying)
        return leave(fs, HF_IO);
    fs->counts.sizes++;
    *bytes = handle_of(fs, file)->inode->now.bytes;
    return leave(fs, HF_OK);
}

static enum hf_status fake_rename(struct storage *s, const char *from, const char *to)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    HF_ASSERT(strlen(to) < STORAGE_NAME_BYTES);
    if (!enter(fs, true, &dying))
        return leave(fs, HF_IO);
    if (!fake_names_find(&fs->disk->now, from))
        return leave(fs, HF_NOT_FOUND);
    bool fails = strikes(&fs->faults.write_error_in);
    fs->counts.write_errors += fails;
    fs->counts.renames++;
    if (!(dying || fails) || prng_chance(&fs->disk->prng, 1, 2))
        change_name(fs, FAKE_RENAME, from, to, fake_names_find(&fs->disk->now, from));
    return leave(fs, dying || fails ? HF_IO : HF_OK);
}

static enum hf_status fake_unlink(struct storage *s, const char *name)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, true, &dying))
        return leave(fs, HF_IO);
    if (!fake_names_find(&fs->disk->now, name))
        return leave(fs, HF_NOT_FOUND);
    bool fails = strikes(&fs->faults.write_error_in);
    fs->counts.write_errors += fails;
    fs->counts.unlinks++;
    if (!(dying || fails) || prng_chance(&fs->disk->prng, 1, 2))
        change_name(fs, FAKE_UNLINK, name, "", fake_names_find(&fs->disk->now, name));
    return leave(fs, dying || fails ? HF_IO : HF_OK);
}

static enum hf_status fake_sync_folder(struct storage *s)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, true, &dying))
        return leave(fs, HF_IO);
    fs->counts.folder_syncs++;
    trace(fs, "sync folder", NULL, 0, 0);
    bool fails = strikes(&fs->faults.sync_error_in);
    fs->counts.sync_errors += fails;
    if (!(dying || fails) || prng_chance(&fs->disk->prng, 1, 3))
        fake_folder_sync(fs->disk);
    return leave(fs, dying || fails ? HF_IO : HF_OK);
}

static enum hf_status fake_list(struct storage *s, void (*each)(void *ctx, const char *name),
                                void *ctx)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, false, &dying) || dying)
        return leave(fs, HF_IO);
    fs->counts.lists++;
    // A copy, so that the callback may call in here again.
    uint32_t count = fs->disk->now.count;
    struct fake_name *copy = malloc((count + 1) * sizeof *copy);
    HF_ASSERT(copy);
    if (count)
        memcpy(copy, fs->disk->now.at, count * sizeof *copy);
    leave(fs, HF_OK);
    for (uint32_t n = 0; n < count; n++)
        each(ctx, copy[n].name);
    free(copy);
    return HF_OK;
}

static enum hf_status fake_free_bytes(struct storage *s, uint64_t *bytes)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, false, &dying) || dying)
        return leave(fs, HF_IO);
    *bytes = room_bytes(fs);
    return leave(fs, HF_OK);
}

static enum hf_status fake_lock(struct storage *s)
{
    struct fake_storage *fs = fake_of(s);
    bool dying;
    if (!enter(fs, false, &dying) || dying)
        return leave(fs, HF_IO);
    if (fs->disk->locked)
        return leave(fs, HF_LOCKED);
    fs->disk->locked = true;
    return leave(fs, HF_OK);
}

static void fake_destroy(struct storage *s)
{
    struct fake_storage *fs = fake_of(s);
    fake_disk_destroy(fs->disk);
    free(fs);
}

static const struct storage_ops fake_ops = {
    .open = fake_open,
    .close = fake_close,
    .pread = fake_pread,
    .pwrite = fake_pwrite,
    .sync = fake_sync,
    .size = fake_size,
    .rename = fake_rename,
    .unlink = fake_unlink,
    .sync_folder = fake_sync_folder,
    .list = fake_list,
    .free_bytes = fake_free_bytes,
    .lock = fake_lock,
    .destroy = fake_destroy,
};

// ------------------------------------------------------------------------------- life

struct fake_storage *fake_storage_create(uint64_t seed, struct fake_clock *clock)
{
    struct fake_storage *fs = calloc(1, sizeof *fs);
    HF_ASSERT(fs);
    fs->base.ops = &fake_ops;
    fs->clock = clock;
    fs->loss = (struct fake_loss){true, true};
    fs->disk = fake_disk_create(seed);
    return fs;
}

struct fake_storage *fake_storage_clone(const struct fake_storage *fs)
{
    struct fake_storage *c = malloc(sizeof *c);
    HF_ASSERT(c);
    *c = *fs;
    c->disk = fake_disk_clone(fs->disk);
    return c;
}

void fake_storage_reseed(struct fake_storage *fs, uint64_t seed)
{
    fs->disk->prng.state = seed;
}

void fake_storage_crash(struct fake_storage *fs)
{
    if (!fs->crashed)
        fs->counts.crashes++;
    fs->crashed = true;
}

static void process_ends(struct fake_storage *fs)
{
    for (int h = 0; h < FAKE_HANDLES_MAX; h++) {
        if (fs->disk->handles[h].inode) {
            fs->disk->handles[h].inode->handles--;
            fs->disk->handles[h].inode = NULL;
        }
    }
    fs->disk->locked = false;
    fs->crashed = false;
    fs->faults.crash_in = 0;
    fs->faults.read_error_in = 0;
    fs->faults.write_error_in = 0;
    fs->faults.sync_error_in = 0;
}

void fake_storage_restart(struct fake_storage *fs)
{
    process_ends(fs);
    fs->counts.power_losses++;
    fake_disk_lose(fs);
    for (uint32_t n = 0; fs->trace && n < fs->disk->now.count; n++)
        printf("  left: %s %lu\n", fs->disk->now.at[n].name, fs->disk->now.at[n].inode->now.bytes);
    uint64_t image = fake_storage_image_hash(fs);
    hash_add(fs, &image, sizeof image);
}

void fake_storage_kill(struct fake_storage *fs)
{
    HF_ASSERT(!fs->crashed);
    process_ends(fs);
    fake_disk_collect(fs->disk);
}
