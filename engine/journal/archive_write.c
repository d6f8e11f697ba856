// Writes one archive file: blocks as records come, then the block table, then the three indexes a
// slice at a time, then the header and the one sync. It goes past the page cache, a megabyte at a
// time: the cache would cost a copy, a page fault for each 4 KiB, and dirty pages in front of the
// journal's next sync. Memory: one block twice (plain and packed), the megabyte,
// the block table (24 bytes a block) and the keys (12 bytes an entry until they are written; a
// 256 MiB segment of 64-byte records has 4M of them: 50 MB).
#include "journal/archive_internal.h"

#include "base/crc32c.h"
#include "base/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

const char archive_magic[8] = "HFARCH\0";

struct archive_writer {
    struct archive_options options;
    struct archive_disk_header header;
    uint32_t seed;
    int file;
    enum hf_status status; // the first failure
    uint64_t offset;       // where the next part goes
    unsigned char *out;    // STORAGE_PIECE_BYTES: the file's bytes from out_offset on, up to offset
    uint64_t out_offset;
    unsigned char *first; // the file's first block, which the header completes
    ZSTD_CCtx *zstd;
    unsigned char *raw; // the block's records, then its runs
    size_t raw_capacity;
    uint32_t raw_bytes, block_records;
    struct archive_disk_run *runs;
    uint32_t run_count, runs_max;
    unsigned char *packed; // the block as it goes to disk
    size_t packed_capacity;
    struct archive_disk_entry *table;
    uint32_t table_capacity;
    struct archive_keyset *keys[ARCHIVE_INDEXES];
    struct archive_disk_page page;
    unsigned phase; // of finishing: 0 last block and table, then one for each index, the header
    uint32_t page_number;
    char temporary[STORAGE_NAME_BYTES];
};

uint32_t archive_header_crc(const struct archive_disk_header *h)
{
    return hf_crc32c(0, (const char *)h + 12, sizeof *h - 12);
}

uint32_t archive_seed(const struct archive_disk_header *h)
{
    const uint64_t identity[] = {h->engine_hi, h->engine_lo, h->number, h->first_lsn, h->rewrites};
    return hf_crc32c(0, identity, sizeof identity);
}

uint32_t archive_page_crc(uint32_t seed, const struct archive_disk_page *p)
{
    return hf_crc32c(seed, (const char *)p + 4, sizeof *p - 4);
}

void archive_file_name(char name[STORAGE_NAME_BYTES], uint64_t number)
{
    snprintf(name, STORAGE_NAME_BYTES, "archive-%012" PRIu64 ".hfa", number);
}

static enum hf_status temporary_open(struct archive_writer *w)
{
    struct storage *s = w->options.storage;
    const unsigned flags = STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE | STORAGE_DIRECT;
    enum hf_status status = s->ops->open(s, w->temporary, flags, &w->file);
    if (status != HF_EXISTS)
        return status;
    status = s->ops->unlink(s, w->temporary);
    return status != HF_OK ? status : s->ops->open(s, w->temporary, flags, &w->file);
}

static bool writer_allocate(struct archive_writer *w)
{
    const uint32_t block = w->options.block_bytes;
    w->runs_max = block / 64 + 1;
    w->raw_capacity =
        (size_t)block + HF_RECORD_BYTES_MAX + w->runs_max * sizeof(struct archive_disk_run);
    w->packed_capacity =
        sizeof(struct archive_disk_block) + ZSTD_compressBound(w->raw_capacity) + 8;
    w->raw = malloc(w->raw_capacity);
    w->runs = malloc(w->runs_max * sizeof *w->runs);
    w->packed = malloc(w->packed_capacity);
    w->zstd = ZSTD_createCCtx();
    w->out = aligned_alloc(HF_BLOCK, STORAGE_PIECE_BYTES + HF_BLOCK);
    bool ok = w->raw && w->runs && w->packed && w->zstd && w->out;
    if (w->out) {
        w->first = w->out + STORAGE_PIECE_BYTES;
        memset(w->out, 0, HF_BLOCK); // where the header will be
    }
    for (int i = 0; i < ARCHIVE_INDEXES; i++)
        ok = (w->keys[i] = archive_keyset_create()) && ok;
    return ok;
}

enum hf_status archive_writer_create(const struct archive_target *t, struct archive_writer **out)
{
    *out = NULL;
    struct archive_writer *w = calloc(1, sizeof *w);
    if (!w)
        return HF_NO_MEMORY;
    w->options = *t->options;
    w->options.zstd_level = t->zstd_level;
    w->file = -1;
    struct archive_disk_header *h = &w->header;
    memcpy(h->magic, archive_magic, sizeof h->magic);
    h->version = ARCHIVE_VERSION;
    h->engine_hi = t->options->engine_id.hi;
    h->engine_lo = t->options->engine_id.lo;
    h->number = t->number;
    h->first_lsn = t->first_lsn;
    h->last_lsn = t->first_lsn - 1;
    h->min_time_ms = UINT64_MAX;
    h->rewrites = t->rewrites;
    w->seed = archive_seed(h);
    w->offset = sizeof *h;
    char name[STORAGE_NAME_BYTES];
    archive_file_name(name, t->number);
    snprintf(w->temporary, sizeof w->temporary, "%.58s.tmp", name);
    enum hf_status status = writer_allocate(w) ? temporary_open(w) : HF_NO_MEMORY;
    if (status != HF_OK) {
        archive_writer_destroy(w, false);
        return status;
    }
    *out = w;
    return HF_OK;
}

void archive_writer_destroy(struct archive_writer *w, bool remove)
{
    if (!w)
        return;
    struct storage *s = w->options.storage;
    if (w->file >= 0)
        s->ops->close(s, w->file);
    if (remove)
        (void)s->ops->unlink(s, w->temporary);
    for (int i = 0; i < ARCHIVE_INDEXES; i++)
        archive_keyset_destroy(w->keys[i]);
    ZSTD_freeCCtx(w->zstd);
    free(w->out);
    free(w->table);
    free(w->packed);
    free(w->runs);
    free(w->raw);
    free(w);
}

// Writes what has come together: whole blocks, since every part is padded before the last flush.
static enum hf_status flush(struct archive_writer *w)
{
    struct storage *s = w->options.storage;
    const size_t bytes = w->offset - w->out_offset;
    if (w->out_offset == 0)
        memcpy(w->first, w->out, HF_BLOCK);
    enum hf_status status = s->ops->pwrite(s, w->file, w->out, bytes, w->out_offset);
    w->out_offset = w->offset;
    return status;
}

static enum hf_status append(struct archive_writer *w, const void *data, size_t bytes)
{
    const unsigned char *from = data;
    enum hf_status status = HF_OK;
    while (bytes && status == HF_OK) {
        const size_t used = w->offset - w->out_offset;
        const size_t n = bytes < STORAGE_PIECE_BYTES - used ? bytes : STORAGE_PIECE_BYTES - used;
        memcpy(w->out + used, from, n);
        w->offset += n;
        from += n;
        bytes -= n;
        if (used + n == STORAGE_PIECE_BYTES)
            status = flush(w);
    }
    return status;
}

static enum hf_status table_add(struct archive_writer *w, const struct archive_disk_entry *e)
{
    if (w->header.blocks == w->table_capacity) {
        uint32_t capacity = w->table_capacity ? 2 * w->table_capacity : 256;
        struct archive_disk_entry *grown = realloc(w->table, capacity * sizeof *grown);
        if (!grown)
            return HF_NO_MEMORY;
        w->table = grown;
        w->table_capacity = capacity;
    }
    w->table[w->header.blocks++] = *e;
    return HF_OK;
}

static enum hf_status block_cut(struct archive_writer *w)
{
    if (!w->block_records)
        return HF_OK;
    struct archive_disk_header *h = &w->header;
    const size_t run_bytes = w->run_count * sizeof *w->runs;
    const size_t raw = w->raw_bytes + run_bytes;
    memcpy(w->raw + w->raw_bytes, w->runs, run_bytes);
    struct archive_disk_block *b = (struct archive_disk_block *)w->packed;
    const size_t packed = ZSTD_compressCCtx(w->zstd, b + 1, w->packed_capacity - sizeof *b - 8,
                                            w->raw, raw, w->options.zstd_level);
    if (ZSTD_isError(packed))
        return HF_NO_MEMORY; // the bound holds, so this is all that is left
    const size_t bytes = (sizeof *b + packed + 7) & ~(size_t)7;
    memset(w->packed + sizeof *b + packed, 0, bytes - sizeof *b - packed);
    *b = (struct archive_disk_block){
        .magic = ARCHIVE_BLOCK_MAGIC,
        .number = h->blocks,
        .records = w->block_records,
        .first_lsn = h->last_lsn + 1 - w->block_records,
        .record_bytes = w->raw_bytes,
        .runs = w->run_count,
        .packed_bytes = (uint32_t)packed,
    };
    b->crc = hf_crc32c(w->seed, w->packed + 8, bytes - 8);
    const struct archive_disk_entry e = {w->offset, (uint32_t)(b->first_lsn - h->first_lsn),
                                         b->records, (uint32_t)bytes, b->crc};
    if (h->raw_bytes_max < raw)
        h->raw_bytes_max = (uint32_t)raw;
    w->block_records = w->raw_bytes = w->run_count = 0;
    enum hf_status status = append(w, b, bytes);
    return status == HF_OK ? table_add(w, &e) : status;
}

static enum hf_status keys_add(struct archive_writer *w, uint32_t ordinal,
                               const struct journal_record *r)
{
    const struct archive_keys *keys = w->options.keys;
    const uint64_t id = hf_hash_uuid(&r->id);
    enum hf_status status = archive_keyset_add(w->keys[ARCHIVE_BY_ID], id, ordinal);
    struct hf_uuid second;
    if (status == HF_OK && keys->second_id(r, &second) && hf_hash_uuid(&second) != id)
        status = archive_keyset_add(w->keys[ARCHIVE_BY_ID], hf_hash_uuid(&second), ordinal);
    const uint64_t reference = keys->reference(r);
    if (status == HF_OK && reference)
        status = archive_keyset_add(w->keys[ARCHIVE_BY_REFERENCE], reference, ordinal);
    const uint64_t buyer = keys->buyer(r);
    if (status == HF_OK && buyer)
        status = archive_keyset_add(w->keys[ARCHIVE_BY_BUYER], buyer, ordinal);
    return status;
}

static void run_add(struct archive_writer *w, uint64_t time_ms)
{
    if (!w->run_count || w->runs[w->run_count - 1].time_ms != time_ms)
        w->runs[w->run_count++] = (struct archive_disk_run){.time_ms = time_ms};
    w->runs[w->run_count - 1].records++;
    if (w->header.min_time_ms > time_ms)
        w->header.min_time_ms = time_ms;
    if (w->header.max_time_ms < time_ms)
        w->header.max_time_ms = time_ms;
}

enum hf_status archive_writer_add(void *writer, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r)
{
    struct archive_writer *w = writer;
    struct archive_disk_header *h = &w->header;
    const uint32_t bytes = journal_record_bytes(r);
    if (w->status != HF_OK)
        return w->status;
    HF_ASSERT(w->phase == 0);
    if (lsn != h->last_lsn + 1 || h->records == ARCHIVE_RECORDS_MAX || bytes < sizeof *r ||
        bytes > HF_RECORD_BYTES_MAX)
        return w->status = HF_DAMAGED;
    const bool new_run = !w->run_count || w->runs[w->run_count - 1].time_ms != time_ms;
    if ((w->raw_bytes + bytes > w->options.block_bytes && w->block_records) ||
        (new_run && w->run_count == w->runs_max))
        w->status = block_cut(w);
    if (w->status == HF_OK)
        w->status = keys_add(w, (uint32_t)(lsn - h->first_lsn), r);
    if (w->status != HF_OK)
        return w->status;
    HF_ASSERT(w->raw_bytes + bytes + w->runs_max * sizeof *w->runs <= w->raw_capacity);
    memcpy(w->raw + w->raw_bytes, r, bytes);
    w->raw_bytes += bytes;
    w->block_records++;
    h->last_lsn = lsn;
    h->records++;
    h->record_bytes += bytes;
    run_add(w, time_ms);
    return HF_OK;
}

uint64_t archive_writer_next_lsn(const struct archive_writer *w)
{
    return w->header.last_lsn + 1;
}

uint64_t archive_writer_record_bytes(const struct archive_writer *w)
{
    return w->header.record_bytes;
}

static enum hf_status table_write(struct archive_writer *w)
{
    enum hf_status status = block_cut(w);
    if (status != HF_OK)
        return status;
    struct archive_disk_header *h = &w->header;
    const size_t bytes = h->blocks * sizeof *w->table;
    h->table_offset = w->offset;
    h->table_crc = hf_crc32c(w->seed, w->table, bytes);
    status = append(w, w->table, bytes);
    static const unsigned char zeros[HF_BLOCK];
    const size_t pad = -w->offset % HF_BLOCK;
    if (status == HF_OK && pad)
        status = append(w, zeros, pad);
    return status;
}

static enum hf_status page_write(struct archive_writer *w, unsigned kind)
{
    struct archive_disk_page *p = &w->page;
    memset(p->key + p->count, 0, (ARCHIVE_PAGE_KEYS - p->count) * sizeof *p->key);
    p->number = w->page_number++;
    p->kind = kind;
    p->crc = archive_page_crc(w->seed, p);
    enum hf_status status = append(w, p, sizeof *p);
    p->count = 0;
    return status;
}

// HF_AGAIN: the index is complete.
static enum hf_status index_write(struct archive_writer *w, unsigned kind)
{
    struct archive_disk_index *x = &w->header.index[kind];
    if (!x->offset) {
        x->offset = w->offset;
        w->page.count = w->page_number = 0;
    }
    const struct archive_disk_key *keys;
    uint64_t count;
    enum hf_status status = archive_keyset_next(w->keys[kind], &keys, &count);
    if (status == HF_AGAIN && w->page.count) {
        enum hf_status last = page_write(w, kind);
        return last == HF_OK ? HF_AGAIN : last;
    }
    if (status == HF_OK && count) {
        if (!x->entries)
            x->min_hash = archive_key_hash(&keys[0]);
        x->max_hash = archive_key_hash(&keys[count - 1]);
        x->entries += count;
    }
    while (status == HF_OK && count) {
        uint64_t n = ARCHIVE_PAGE_KEYS - w->page.count;
        if (n > count)
            n = count;
        memcpy(w->page.key + w->page.count, keys, n * sizeof *keys);
        w->page.count += (uint32_t)n;
        keys += n;
        count -= n;
        if (w->page.count == ARCHIVE_PAGE_KEYS)
            status = page_write(w, kind);
    }
    return status;
}

static enum hf_status header_write(struct archive_writer *w)
{
    struct storage *s = w->options.storage;
    struct archive_disk_header *h = &w->header;
    h->file_bytes = w->offset;
    h->crc = archive_header_crc(h);
    enum hf_status status = w->offset > w->out_offset ? flush(w) : HF_OK;
    if (status != HF_OK)
        return status;
    memcpy(w->first, h, sizeof *h);
    status = s->ops->pwrite(s, w->file, w->first, HF_BLOCK, 0);
    return status == HF_OK ? s->ops->sync(s, w->file) : status;
}

enum hf_status archive_writer_finish_step(struct archive_writer *w)
{
    if (w->status != HF_OK)
        return w->status;
    HF_ASSERT(w->header.records);
    enum hf_status status;
    if (w->phase == 0) {
        status = table_write(w);
        w->phase++;
    } else if (w->phase <= ARCHIVE_INDEXES) {
        status = index_write(w, w->phase - 1);
        if (status == HF_AGAIN) {
            archive_keyset_destroy(w->keys[w->phase - 1]);
            w->keys[w->phase - 1] = NULL;
            w->phase++;
            status = HF_OK;
        }
    } else {
        status = header_write(w);
        w->status = status == HF_OK ? HF_AGAIN : status;
        return w->status;
    }
    w->status = status;
    return status;
}

const struct archive_disk_header *archive_writer_header(const struct archive_writer *w)
{
    return &w->header;
}

const char *archive_writer_temporary(const struct archive_writer *w)
{
    return w->temporary;
}
