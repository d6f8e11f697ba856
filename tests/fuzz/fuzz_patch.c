#include "fuzz/fuzz_patch.h"

#include "base/status.h"
#include "journal/archive_internal.h"
#include "journal/journal_format.h"
#include "journal/record.h"

#include <stdlib.h>

static size_t place(struct fuzz_input *in, size_t bytes)
{
    return fuzz_number(in, bytes > 65536 ? 3 : 2) % bytes;
}

static void add(uint8_t *at, size_t width, int8_t by)
{
    uint64_t word = 0;
    memcpy(&word, at, width);
    word += (uint64_t)(int64_t)by;
    memcpy(at, &word, width);
}

void patch_one(struct fuzz_input *in, uint8_t *data, size_t bytes)
{
    static const uint64_t special[] = {0,          1,          UINT64_MAX, INT64_MAX,
                                       1ull << 63, UINT32_MAX, 1ull << 53, 0xffff};
    size_t got, n;
    if (bytes < 16)
        return;
    uint8_t kind = fuzz_byte(in) % 7;
    size_t at = place(in, bytes - 8);
    switch (kind) {
    case 0: {
        const uint8_t *from = fuzz_take(in, fuzz_byte(in), &got);
        memcpy(data + at, from, got < bytes - at ? got : bytes - at);
        break;
    }
    case 1:
        add(data + at / 4 * 4, 4, (int8_t)fuzz_byte(in));
        break;
    case 2:
        add(data + at / 8 * 8, 8, (int8_t)fuzz_byte(in));
        break;
    case 3:
        n = fuzz_byte(in) * 8u;
        memset(data + at, 0, n < bytes - at ? n : bytes - at);
        break;
    case 4: {
        n = fuzz_byte(in) * 32u;
        size_t to = place(in, bytes), most = bytes - (at > to ? at : to);
        memmove(data + to, data + at, n < most ? n : most);
        break;
    }
    case 5:
        memcpy(data + at / 8 * 8, &special[fuzz_byte(in) % 8], 8);
        break;
    default:
        data[at] ^= (uint8_t)(1u << fuzz_byte(in) % 8);
        break;
    }
}

// ------------------------------------------------------------------------ files

uint8_t *patch_read(struct fake_storage *disk, const char *name, size_t *bytes)
{
    uint64_t n;
    const uint8_t *from = fake_storage_content(disk, name, &n);
    HF_ASSERT(from);
    uint8_t *copy = aligned_alloc(HF_BLOCK, (n + HF_BLOCK) / HF_BLOCK * HF_BLOCK);
    HF_ASSERT(copy);
    memcpy(copy, from, n);
    *bytes = n;
    return copy;
}

void patch_write(struct fake_storage *disk, const char *name, const uint8_t *data, size_t bytes)
{
    struct storage *s = &disk->base;
    int file;
    HF_ASSERT(s->ops->unlink(s, name) == HF_OK);
    HF_ASSERT(s->ops->open(s, name, STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE, &file) == HF_OK);
    HF_ASSERT(s->ops->pwrite(s, file, data, bytes, 0) == HF_OK);
    HF_ASSERT(s->ops->sync(s, file) == HF_OK);
    s->ops->close(s, file);
    HF_ASSERT(s->ops->sync_folder(s) == HF_OK);
}

// ------------------------------------------------------------------------ checksums

static void fix_records(struct journal_group_header *h)
{
    uint8_t *at = (uint8_t *)(h + 1), *end = at + h->body_bytes;
    for (uint32_t i = 0; i < h->records && (size_t)(end - at) >= sizeof(struct journal_record);
         i++) {
        struct journal_record *r = (struct journal_record *)at;
        if (r->units < 3 || journal_record_bytes(r) > (size_t)(end - at))
            return;
        r->crc = journal_record_crc(r);
        at += journal_record_bytes(r);
    }
}

// Only the first block of a group is looked into: the others are masked.
static size_t fix_group(struct journal_group_header *h, size_t left, bool records, uint64_t *chain)
{
    size_t whole = JOURNAL_GROUP_HEADER + (size_t)h->body_bytes;
    if (records && whole <= HF_BLOCK && whole <= left)
        fix_records(h);
    if (whole <= left)
        h->body_crc = hf_crc32c(0, h + 1, h->body_bytes);
    if (*chain)
        h->previous = *chain;
    h->crc = journal_header_crc(h, sizeof *h);
    *chain = records ? journal_group_checksum(h) : 0;
    return whole <= left ? (whole + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK : HF_BLOCK;
}

void patch_fix_journal(uint8_t *data, size_t bytes, bool records)
{
    uint64_t chain = 0;
    for (size_t at = 0; at + HF_BLOCK <= bytes;) {
        uint64_t magic;
        size_t step = HF_BLOCK;
        memcpy(&magic, data + at, 8);
        if (magic == JOURNAL_MAGIC_GROUP) {
            step =
                fix_group((struct journal_group_header *)(data + at), bytes - at, records, &chain);
        } else if (magic == JOURNAL_MAGIC_META || magic == JOURNAL_MAGIC_SEGMENT) {
            uint32_t crc = journal_header_crc(data + at, HF_BLOCK);
            memcpy(data + at + 12, &crc, 4);
        }
        at += step;
    }
}

void patch_fix_chunkfile(uint8_t *data, size_t bytes)
{
    if (bytes < 2 * HF_BLOCK || bytes % HF_BLOCK)
        return;
    uint32_t chunk, crc = hf_crc32c(0, data + 12, HF_BLOCK - 12);
    memcpy(data + 8, &crc, 4);
    memcpy(&chunk, data + 28, 4);
    size_t at = HF_BLOCK, end = bytes - HF_BLOCK;
    if (chunk == 0 || chunk % HF_BLOCK)
        return;
    while (at < end) {
        size_t n = end - at < chunk ? end - at : chunk;
        memcpy(data + at + 20, &crc, 4);
        crc = hf_crc32c(0, data + at + 8, n - 8);
        memcpy(data + at + 4, &crc, 4);
        at += n;
    }
    memcpy(data + end + 12, &crc, 4);
    crc = hf_crc32c(0, data + end + 12, HF_BLOCK - 12);
    memcpy(data + end + 8, &crc, 4);
}

static void fix_blocks(uint8_t *data, size_t bytes, struct archive_disk_header *h)
{
    struct archive_disk_entry *table = (void *)(data + h->table_offset);
    uint32_t seed = archive_seed(h);
    for (uint32_t i = 0; i < h->blocks; i++) {
        struct archive_disk_entry *e = &table[i];
        if (e->offset % 8 || e->offset >= bytes || e->bytes > bytes - e->offset || e->bytes < 40)
            continue;
        uint8_t *b = data + e->offset;
        uint32_t crc = hf_crc32c(seed, b + 8, e->bytes - 8);
        memcpy(b + 4, &crc, 4);
        e->crc = crc;
    }
    h->table_crc = hf_crc32c(seed, table, h->blocks * sizeof *table);
}

void patch_fix_archive(uint8_t *data, size_t bytes)
{
    struct archive_disk_header *h = (void *)data;
    if (bytes < sizeof *h)
        return;
    if (h->table_offset % 8 == 0 && h->table_offset < bytes &&
        h->blocks <= (bytes - h->table_offset) / sizeof(struct archive_disk_entry))
        fix_blocks(data, bytes, h);
    uint32_t seed = archive_seed(h);
    for (unsigned k = 0; k < ARCHIVE_INDEXES; k++)
        for (uint64_t at = h->index[k].offset, n = h->index[k].entries;
             n && at % HF_BLOCK == 0 && at < bytes && HF_BLOCK <= bytes - at;
             at += HF_BLOCK, n -= n < ARCHIVE_PAGE_KEYS ? n : ARCHIVE_PAGE_KEYS) {
            struct archive_disk_page *p = (void *)(data + at);
            p->crc = archive_page_crc(seed, p);
        }
    h->crc = archive_header_crc(h);
}
