// Looking at the fake disk from outside, and damaging it.
#include "sim/fake_disk.h"

#include <stdlib.h>
#include <string.h>

uint32_t fake_storage_names(const struct fake_storage *fs, char (*names)[STORAGE_NAME_BYTES],
                            uint32_t max)
{
    const struct fake_names *n = &fs->disk->now;
    for (uint32_t i = 0; i < n->count && i < max; i++)
        memcpy(names[i], n->at[i].name, STORAGE_NAME_BYTES);
    return n->count;
}

bool fake_storage_exists(const struct fake_storage *fs, const char *name)
{
    return fake_names_find(&fs->disk->now, name) != NULL;
}

uint64_t fake_storage_used_bytes(const struct fake_storage *fs)
{
    uint64_t sum = 0;
    for (uint32_t n = 0; n < fs->disk->now.count; n++)
        sum += fs->disk->now.at[n].inode->now.bytes;
    return sum;
}

uint64_t fake_storage_unsynced(const struct fake_storage *fs)
{
    uint64_t sum = fs->disk->changes_count;
    for (uint32_t i = 0; i < fs->disk->inodes_count; i++)
        for (uint32_t w = 0; w < fs->disk->inodes[i]->writes_count; w++)
            sum += fs->disk->inodes[i]->writes[w].bytes;
    return sum;
}

const uint8_t *fake_storage_content(const struct fake_storage *fs, const char *name,
                                    uint64_t *bytes)
{
    static const uint8_t nothing[1];
    const struct fake_inode *i = fake_names_find(&fs->disk->now, name);
    if (!i)
        return NULL;
    *bytes = i->now.bytes;
    return i->now.at ? i->now.at : nothing;
}

uint64_t fake_storage_image_hash(const struct fake_storage *fs)
{
    uint64_t h = 0;
    const struct fake_names *n = &fs->disk->durable;
    for (uint32_t i = 0; i < n->count; i++) {
        const struct fake_bytes *b = &n->at[i].inode->durable;
        h = hf_hash(n->at[i].name, strlen(n->at[i].name), h);
        h = hf_hash(&b->bytes, sizeof b->bytes, h);
        if (b->bytes)
            h = hf_hash(b->at, b->bytes, h);
    }
    return h;
}

// ------------------------------------------------------------------------------- damage

static bool overwrite(struct fake_inode *i, uint64_t offset, const uint8_t *data, uint64_t bytes)
{
    if (!i || offset >= i->now.bytes || bytes > i->now.bytes - offset)
        return false;
    memcpy(i->now.at + offset, data, bytes);
    if (offset < i->durable.bytes) {
        uint64_t n = i->durable.bytes - offset;
        memcpy(i->durable.at + offset, data, n < bytes ? n : bytes);
    }
    return true;
}

bool fake_storage_flip_bit(struct fake_storage *fs, const char *name, uint64_t offset,
                           unsigned bit)
{
    struct fake_inode *i = fake_names_find(&fs->disk->now, name);
    if (!i || offset >= i->now.bytes)
        return false;
    uint8_t byte = i->now.at[offset] ^ (uint8_t)(1u << (bit % 8));
    return overwrite(i, offset, &byte, 1);
}

bool fake_storage_zero(struct fake_storage *fs, const char *name, uint64_t offset,
                       uint64_t bytes)
{
    uint8_t *zeros = calloc(1, bytes ? bytes : 1);
    HF_ASSERT(zeros);
    bool done = overwrite(fake_names_find(&fs->disk->now, name), offset, zeros, bytes);
    free(zeros);
    return done;
}

bool fake_storage_misdirect(struct fake_storage *fs, const char *from, uint64_t from_offset,
                            const char *to, uint64_t to_offset, uint64_t bytes)
{
    const struct fake_inode *i = fake_names_find(&fs->disk->now, from);
    if (!i || from_offset >= i->now.bytes || bytes > i->now.bytes - from_offset)
        return false;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    HF_ASSERT(copy);
    memcpy(copy, i->now.at + from_offset, bytes);
    bool done = overwrite(fake_names_find(&fs->disk->now, to), to_offset, copy, bytes);
    free(copy);
    return done;
}

bool fake_storage_truncate(struct fake_storage *fs, const char *name, uint64_t bytes)
{
    struct fake_inode *i = fake_names_find(&fs->disk->now, name);
    if (!i || bytes > i->now.bytes)
        return false;
    fake_inode_sync(i);
    i->now.bytes = bytes;
    i->durable.bytes = bytes;
    return true;
}

static const struct fake_name *random_file(struct fake_storage *fs, const char *prefix)
{
    const struct fake_names *n = &fs->disk->now;
    const struct fake_name *chosen = NULL;
    uint32_t seen = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        if (strncmp(n->at[i].name, prefix, strlen(prefix)) || !n->at[i].inode->now.bytes)
            continue;
        if (prng_below(&fs->disk->prng, ++seen) == 0)
            chosen = &n->at[i];
    }
    return chosen;
}

bool fake_storage_damage(struct fake_storage *fs, enum fake_damage kind, const char *prefix,
                         struct fake_damage_place *place)
{
    struct prng *p = &fs->disk->prng;
    const struct fake_name *f = random_file(fs, prefix);
    if (!f)
        return false;
    memset(place, 0, sizeof *place);
    memcpy(place->name, f->name, STORAGE_NAME_BYTES);
    uint64_t bytes = f->inode->now.bytes, unit = kind == FAKE_MISDIRECT ? 4096 : FAKE_SECTOR;
    uint64_t before = hf_hash(f->inode->now.at, bytes, 0);
    unit = unit < bytes ? unit : bytes;
    place->offset = prng_below(p, bytes / unit) * unit;
    place->bytes = unit;
    switch (kind) {
    case FAKE_FLIP:
        place->offset += prng_below(p, unit);
        place->bytes = 1;
        fake_storage_flip_bit(fs, f->name, place->offset, (unsigned)prng_below(p, 8));
        break;
    case FAKE_ZERO:
        fake_storage_zero(fs, f->name, place->offset, unit);
        break;
    case FAKE_MISDIRECT:
        fake_storage_misdirect(fs, f->name, prng_below(p, bytes / unit) * unit, f->name,
                               place->offset, unit);
        break;
    case FAKE_DAMAGE_COUNT:
        HF_ASSERT(!"a count is no kind");
    }
    place->changed = hf_hash(f->inode->now.at, bytes, 0) != before;
    return true;
}
