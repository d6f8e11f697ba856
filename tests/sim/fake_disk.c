#include "sim/fake_disk.h"

#include <stdlib.h>
#include <string.h>

void *fake_room(void *at, uint32_t *room, uint32_t need, size_t each)
{
    if (need <= *room)
        return at;
    *room = need < 8 ? 8 : need * 2;
    at = realloc(at, *room * each);
    HF_ASSERT(at);
    return at;
}

void fake_bytes_grow(struct fake_bytes *b, uint64_t bytes)
{
    if (bytes <= b->bytes)
        return;
    if (bytes > b->room) {
        b->room = bytes < 4096 ? 4096 : bytes + bytes / 2;
        b->at = realloc(b->at, b->room);
        HF_ASSERT(b->at);
    }
    memset(b->at + b->bytes, 0, bytes - b->bytes);
    b->bytes = bytes;
}

void fake_bytes_put(struct fake_bytes *b, uint64_t offset, const void *data, uint64_t bytes)
{
    fake_bytes_grow(b, offset + bytes);
    if (bytes)
        memcpy(b->at + offset, data, bytes);
}

void fake_bytes_copy(struct fake_bytes *to, const struct fake_bytes *from)
{
    to->bytes = 0;
    fake_bytes_put(to, 0, from->at, from->bytes);
}

// ------------------------------------------------------------------------------- names

static uint32_t names_place(const struct fake_names *n, const char *name, bool *found)
{
    uint32_t low = 0, high = n->count;
    *found = false;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int c = strcmp(n->at[mid].name, name);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct fake_inode *fake_names_find(const struct fake_names *n, const char *name)
{
    bool found;
    uint32_t i = names_place(n, name, &found);
    return found ? n->at[i].inode : NULL;
}

void fake_names_set(struct fake_names *n, const char *name, struct fake_inode *inode)
{
    bool found;
    uint32_t i = names_place(n, name, &found);
    if (!found) {
        n->at = fake_room(n->at, &n->room, n->count + 1, sizeof *n->at);
        memmove(&n->at[i + 1], &n->at[i], (n->count - i) * sizeof *n->at);
        n->count++;
        memset(&n->at[i], 0, sizeof n->at[i]);
        strncpy(n->at[i].name, name, STORAGE_NAME_BYTES - 1);
    }
    n->at[i].inode = inode;
}

bool fake_names_remove(struct fake_names *n, const char *name)
{
    bool found;
    uint32_t i = names_place(n, name, &found);
    if (!found)
        return false;
    n->count--;
    memmove(&n->at[i], &n->at[i + 1], (n->count - i) * sizeof *n->at);
    return true;
}

// A change speaks of its file, not of a name: when changes survive independently, a rename does
// not pick up another file that had the name before.
void fake_names_apply(struct fake_names *n, const struct fake_change *c)
{
    switch (c->kind) {
    case FAKE_CREATE:
        fake_names_set(n, c->name, c->inode);
        break;
    case FAKE_RENAME:
        if (strcmp(c->name, c->to) == 0)
            break;
        fake_names_set(n, c->to, c->inode);
        if (fake_names_find(n, c->name) == c->inode)
            fake_names_remove(n, c->name);
        break;
    case FAKE_UNLINK:
        if (fake_names_find(n, c->name) == c->inode)
            fake_names_remove(n, c->name);
        break;
    }
}

static void names_copy(struct fake_names *to, const struct fake_names *from)
{
    to->at = fake_room(to->at, &to->room, from->count, sizeof *to->at);
    to->count = from->count;
    if (from->count)
        memcpy(to->at, from->at, from->count * sizeof *from->at);
}

// ------------------------------------------------------------------------------- files

struct fake_inode *fake_inode_add(struct fake_disk *d)
{
    struct fake_inode *i = calloc(1, sizeof *i);
    HF_ASSERT(i);
    d->inodes = fake_room(d->inodes, &d->inodes_room, d->inodes_count + 1, sizeof *d->inodes);
    d->inodes[d->inodes_count++] = i;
    return i;
}

static void writes_clear(struct fake_inode *i)
{
    for (uint32_t w = 0; w < i->writes_count; w++)
        free(i->writes[w].data);
    i->writes_count = 0;
}

void fake_inode_write(struct fake_disk *d, struct fake_inode *i, uint64_t offset,
                      const void *data, uint32_t bytes, bool direct)
{
    if (bytes == 0)
        return;
    i->writes = fake_room(i->writes, &i->writes_room, i->writes_count + 1, sizeof *i->writes);
    struct fake_write *w = &i->writes[i->writes_count++];
    *w = (struct fake_write){offset, ++d->write_order, bytes, direct, malloc(bytes)};
    HF_ASSERT(w->data);
    memcpy(w->data, data, bytes);
    fake_bytes_put(&i->now, offset, data, bytes);
}

void fake_inode_sync(struct fake_inode *i)
{
    for (uint32_t w = 0; w < i->writes_count; w++)
        fake_bytes_put(&i->durable, i->writes[w].offset, i->writes[w].data, i->writes[w].bytes);
    fake_bytes_grow(&i->durable, i->now.bytes);
    writes_clear(i);
}

void fake_change_add(struct fake_disk *d, const struct fake_change *c)
{
    d->changes = fake_room(d->changes, &d->changes_room, d->changes_count + 1, sizeof *c);
    d->changes[d->changes_count++] = *c;
    fake_names_apply(&d->now, c);
}

void fake_folder_sync(struct fake_disk *d)
{
    for (uint32_t c = 0; c < d->changes_count; c++)
        fake_names_apply(&d->durable, &d->changes[c]);
    d->changes_count = 0;
    fake_disk_collect(d);
}

static bool inode_in_use(const struct fake_disk *d, const struct fake_inode *i)
{
    if (i->handles)
        return true;
    for (uint32_t n = 0; n < d->now.count; n++)
        if (d->now.at[n].inode == i)
            return true;
    for (uint32_t n = 0; n < d->durable.count; n++)
        if (d->durable.at[n].inode == i)
            return true;
    for (uint32_t c = 0; c < d->changes_count; c++)
        if (d->changes[c].inode == i)
            return true;
    return false;
}

static void inode_free(struct fake_inode *i)
{
    writes_clear(i);
    free(i->writes);
    free(i->now.at);
    free(i->durable.at);
    free(i);
}

void fake_disk_collect(struct fake_disk *d)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < d->inodes_count; i++) {
        if (inode_in_use(d, d->inodes[i]))
            d->inodes[kept++] = d->inodes[i];
        else
            inode_free(d->inodes[i]);
    }
    d->inodes_count = kept;
}

// ------------------------------------------------------------------------------- the whole

struct fake_disk *fake_disk_create(uint64_t seed)
{
    struct fake_disk *d = calloc(1, sizeof *d);
    HF_ASSERT(d);
    pthread_mutex_init(&d->mutex, NULL);
    d->prng.state = seed;
    return d;
}

static struct fake_inode *clone_of(const struct fake_disk *from, const struct fake_disk *to,
                                   const struct fake_inode *inode)
{
    for (uint32_t i = 0; i < from->inodes_count; i++)
        if (from->inodes[i] == inode)
            return to->inodes[i];
    return NULL;
}

static void inode_copy(struct fake_inode *to, const struct fake_inode *from)
{
    fake_bytes_copy(&to->now, &from->now);
    fake_bytes_copy(&to->durable, &from->durable);
    to->writes = fake_room(NULL, &to->writes_room, from->writes_count, sizeof *to->writes);
    to->writes_count = from->writes_count;
    for (uint32_t w = 0; w < from->writes_count; w++) {
        to->writes[w] = from->writes[w];
        to->writes[w].data = malloc(from->writes[w].bytes);
        HF_ASSERT(to->writes[w].data);
        memcpy(to->writes[w].data, from->writes[w].data, from->writes[w].bytes);
    }
}

struct fake_disk *fake_disk_clone(const struct fake_disk *d)
{
    struct fake_disk *c = fake_disk_create(d->prng.state);
    c->write_order = d->write_order;
    for (uint32_t i = 0; i < d->inodes_count; i++)
        inode_copy(fake_inode_add(c), d->inodes[i]);
    names_copy(&c->now, &d->now);
    names_copy(&c->durable, &d->durable);
    for (uint32_t n = 0; n < c->now.count; n++)
        c->now.at[n].inode = clone_of(d, c, c->now.at[n].inode);
    for (uint32_t n = 0; n < c->durable.count; n++)
        c->durable.at[n].inode = clone_of(d, c, c->durable.at[n].inode);
    c->changes = fake_room(NULL, &c->changes_room, d->changes_count, sizeof *c->changes);
    c->changes_count = d->changes_count;
    for (uint32_t n = 0; n < d->changes_count; n++) {
        c->changes[n] = d->changes[n];
        if (d->changes[n].inode)
            c->changes[n].inode = clone_of(d, c, d->changes[n].inode);
    }
    fake_disk_collect(c);
    return c;
}

void fake_disk_destroy(struct fake_disk *d)
{
    for (uint32_t i = 0; i < d->inodes_count; i++)
        inode_free(d->inodes[i]);
    free(d->inodes);
    free(d->now.at);
    free(d->durable.at);
    free(d->changes);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

// ------------------------------------------------------------------------------- power loss

enum sector_fate { SECTOR_KEPT, SECTOR_LOST, SECTOR_TORN };

static enum sector_fate sector_fate(struct fake_storage *fs, uint32_t style, bool before_cut)
{
    struct prng *p = &fs->disk->prng;
    switch (style) {
    case 0: // up to an instant, everything; after it, nothing
        return before_cut ? SECTOR_KEPT : SECTOR_LOST;
    case 1: // nothing that was not synced
        return SECTOR_LOST;
    case 2: // everything
        return SECTOR_KEPT;
    default: // each for itself
        switch (prng_below(p, 16)) {
        case 0:
            return fs->loss.torn_sectors ? SECTOR_TORN : SECTOR_LOST;
        case 1 ... 7:
            return SECTOR_LOST;
        default:
            return SECTOR_KEPT;
        }
    }
}

static void write_lose(struct fake_storage *fs, struct fake_inode *i, const struct fake_write *w,
                       uint32_t style, uint64_t cut)
{
    for (uint64_t at = 0; at < w->bytes;) {
        uint64_t offset = w->offset + at;
        uint64_t n = FAKE_SECTOR - offset % FAKE_SECTOR;
        n = n < w->bytes - at ? n : w->bytes - at;
        switch (sector_fate(fs, style, w->order < cut)) {
        case SECTOR_KEPT:
            fake_bytes_put(&i->durable, offset, w->data + at, n);
            break;
        case SECTOR_TORN:
            fs->counts.sectors_torn++;
            fake_bytes_put(&i->durable, offset, w->data + at, prng_below(&fs->disk->prng, n));
            break;
        case SECTOR_LOST:
            fs->counts.sectors_lost++;
            break;
        }
        at += n;
    }
}

static void inode_lose(struct fake_storage *fs, struct fake_inode *i, uint64_t cut)
{
    if (!i->writes_count && i->durable.bytes == i->now.bytes)
        return;
    struct prng *p = &fs->disk->prng;
    uint64_t synced_bytes = i->durable.bytes;
    uint32_t style = (uint32_t)prng_below(p, 6);
    for (uint32_t w = 0; w < i->writes_count; w++)
        write_lose(fs, i, &i->writes[w], style, cut);
    writes_clear(i);
    // The size is metadata: it may have grown without the content, or not grown with it.
    uint64_t bytes = i->durable.bytes;
    switch (prng_below(p, 4)) {
    case 0:
        bytes = synced_bytes;
        break;
    case 1:
        bytes = i->now.bytes;
        break;
    case 2:
        bytes = prng_between(p, synced_bytes, i->now.bytes);
        break;
    }
    fake_bytes_grow(&i->durable, bytes);
    i->durable.bytes = bytes;
}

void fake_inode_sync_fails(struct fake_storage *fs, struct fake_inode *i)
{
    struct prng *p = &fs->disk->prng;
    uint32_t kept = 0;
    bool waits = false; // later ones may not overtake it: they may overlap
    for (uint32_t w = 0; w < i->writes_count; w++) {
        struct fake_write *write = &i->writes[w];
        waits |= write->direct && prng_chance(p, 1, 2);
        if (waits) {
            i->writes[kept++] = *write;
            continue;
        }
        write_lose(fs, i, write, write->direct ? 2 : 3, 0);
        free(write->data);
    }
    i->writes_count = kept;
}

static void folder_lose(struct fake_storage *fs)
{
    struct fake_disk *d = fs->disk;
    uint64_t prefix = prng_between(&d->prng, 0, d->changes_count);
    bool each = fs->loss.folder_reorder && prng_chance(&d->prng, 1, 2);
    for (uint32_t c = 0; c < d->changes_count; c++) {
        if (each ? prng_chance(&d->prng, 1, 2) : c < prefix)
            fake_names_apply(&d->durable, &d->changes[c]);
        else
            fs->counts.folder_changes_lost++;
    }
    d->changes_count = 0;
}

void fake_disk_lose(struct fake_storage *fs)
{
    struct fake_disk *d = fs->disk;
    uint64_t first = d->write_order + 1;
    for (uint32_t i = 0; i < d->inodes_count; i++)
        if (d->inodes[i]->writes_count && d->inodes[i]->writes[0].order < first)
            first = d->inodes[i]->writes[0].order;
    uint64_t cut = prng_between(&d->prng, first, d->write_order + 1);
    folder_lose(fs);
    for (uint32_t i = 0; i < d->inodes_count; i++) {
        inode_lose(fs, d->inodes[i], cut);
        fake_bytes_copy(&d->inodes[i]->now, &d->inodes[i]->durable);
    }
    names_copy(&d->now, &d->durable);
    fake_disk_collect(d);
}
