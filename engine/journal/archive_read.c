// Reads one archive file. Nothing is handed out before its checksum held: the header's at open,
// the block table's at first use, a page's, a block's and a record's each time. What a valid
// checksum covers is still bounded before it is used, since a checksum proves no honesty.
#include "journal/archive_internal.h"

#include "base/crc32c.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define NO_BLOCK UINT32_MAX

struct archive_reader {
    struct storage *storage;
    int file;
    uint32_t seed;
    struct archive_disk_header header;
    struct archive_disk_entry *table; // NULL until the first block is read
    unsigned char *packed;            // one block as on disk
    unsigned char *raw;               // one block, plain; 8-byte aligned
    ZSTD_DCtx *zstd;
    uint32_t packed_capacity;
    // The block in hand and the place in it:
    uint32_t block; // NO_BLOCK: none
    uint32_t record, run, run_left;
    uint32_t at; // offset of `record` in raw
    uint32_t record_bytes, runs;
    struct archive_disk_page page;
};

static enum hf_status damaged(uint64_t number, uint64_t offset, const char *why)
{
    char name[STORAGE_NAME_BYTES];
    archive_file_name(name, number);
    hf_log(HF_LOG_ERROR, "archive_damaged", "file=%s offset=%" PRIu64 " why=\"%s\"", name, offset,
           why);
    return HF_DAMAGED;
}

static enum hf_status read_exactly(struct archive_reader *r, void *to, size_t bytes,
                                   uint64_t offset)
{
    size_t done = 0;
    enum hf_status status = r->storage->ops->pread(r->storage, r->file, to, bytes, offset, &done);
    if (status == HF_OK && done != bytes)
        return damaged(r->header.number, offset, "the file ends early");
    return status;
}

// ------------------------------------------------------------------------------------- header

static const char *header_fault(const struct archive_disk_header *h, uint64_t size)
{
    const uint64_t table_bytes = (uint64_t)h->blocks * sizeof(struct archive_disk_entry);
    if (h->file_bytes != size)
        return "the file's size contradicts its header";
    if (!h->first_lsn || !h->records || h->records > ARCHIVE_RECORDS_MAX ||
        h->last_lsn - h->first_lsn != h->records - 1 || h->last_lsn < h->first_lsn)
        return "the header's LSNs contradict its count";
    if (!h->blocks || h->blocks > h->records || h->table_offset > size ||
        table_bytes > size - h->table_offset ||
        h->raw_bytes_max > 2 * (ARCHIVE_BLOCK_BYTES_MAX + HF_RECORD_BYTES_MAX))
        return "the header's block table is out of range";
    for (int i = 0; i < ARCHIVE_INDEXES; i++) {
        const struct archive_disk_index *x = &h->index[i];
        const uint64_t pages = (x->entries + ARCHIVE_PAGE_KEYS - 1) / ARCHIVE_PAGE_KEYS;
        if (x->entries > 2 * h->records || x->offset > size ||
            pages > (size - x->offset) / sizeof(struct archive_disk_page))
            return "an index of the header is out of range";
    }
    return NULL;
}

enum hf_status archive_header_read(struct storage *s, const char *name, struct hf_uuid expected,
                                   struct archive_disk_header *h)
{
    int file;
    uint64_t size = 0;
    size_t done = 0;
    enum hf_status status = s->ops->open(s, name, STORAGE_READ, &file);
    if (status != HF_OK)
        return status;
    status = s->ops->size(s, file, &size);
    if (status == HF_OK)
        status = s->ops->pread(s, file, h, sizeof *h, 0, &done);
    s->ops->close(s, file);
    if (status != HF_OK)
        return status;
    const char *fault = NULL;
    if (done != sizeof *h || memcmp(h->magic, archive_magic, sizeof h->magic) != 0)
        fault = "no archive header";
    else if (h->crc != archive_header_crc(h))
        fault = "the header's checksum fails";
    else if (h->version > ARCHIVE_VERSION)
        status = HF_TOO_NEW;
    else if (h->engine_hi != expected.hi || h->engine_lo != expected.lo)
        status = HF_FOREIGN;
    else
        fault = header_fault(h, size);
    if (!fault && status == HF_OK) {
        char right[STORAGE_NAME_BYTES];
        archive_file_name(right, h->number);
        if (strcmp(name, right) != 0)
            fault = "the header names another segment";
    }
    if (fault) {
        hf_log(HF_LOG_ERROR, "archive_damaged", "file=%s offset=0 why=\"%s\"", name, fault);
        return HF_DAMAGED;
    }
    return status;
}

// ------------------------------------------------------------------------------------- blocks

enum hf_status archive_reader_create(struct storage *s, int file,
                                     const struct archive_disk_header *h,
                                     struct archive_reader **out)
{
    *out = NULL;
    struct archive_reader *r = calloc(1, sizeof *r);
    if (!r) {
        s->ops->close(s, file);
        return HF_NO_MEMORY;
    }
    r->storage = s;
    r->file = file;
    r->header = *h;
    r->seed = archive_seed(h);
    r->block = NO_BLOCK;
    *out = r;
    return HF_OK;
}

void archive_reader_destroy(struct archive_reader *r)
{
    if (!r)
        return;
    r->storage->ops->close(r->storage, r->file);
    ZSTD_freeDCtx(r->zstd);
    free(r->raw);
    free(r->packed);
    free(r->table);
    free(r);
}

// The table must tile the LSNs and the space between header and table.
static enum hf_status table_check(struct archive_reader *r)
{
    const struct archive_disk_header *h = &r->header;
    uint64_t ordinal = 0, offset = sizeof *h;
    for (uint32_t i = 0; i < h->blocks; i++) {
        const struct archive_disk_entry *e = &r->table[i];
        if (e->first != ordinal || e->offset != offset || !e->records ||
            e->bytes < sizeof(struct archive_disk_block) || e->bytes % 8 ||
            e->bytes > h->table_offset - offset)
            return damaged(h->number, h->table_offset, "the block table contradicts itself");
        ordinal += e->records;
        offset += e->bytes;
        if (r->packed_capacity < e->bytes)
            r->packed_capacity = e->bytes;
    }
    if (ordinal != h->records || offset != h->table_offset)
        return damaged(h->number, h->table_offset, "the block table contradicts the header");
    return HF_OK;
}

static enum hf_status table_load(struct archive_reader *r)
{
    const struct archive_disk_header *h = &r->header;
    const size_t bytes = h->blocks * sizeof *r->table;
    r->table = malloc(bytes);
    if (!r->table)
        return HF_NO_MEMORY;
    enum hf_status status = read_exactly(r, r->table, bytes, h->table_offset);
    if (status == HF_OK && hf_crc32c(r->seed, r->table, bytes) != h->table_crc)
        status = damaged(h->number, h->table_offset, "the block table's checksum fails");
    if (status == HF_OK)
        status = table_check(r);
    if (status == HF_OK) {
        r->packed = malloc(r->packed_capacity);
        r->raw = malloc(h->raw_bytes_max);
        r->zstd = ZSTD_createDCtx();
        if (!r->packed || !r->raw || !r->zstd)
            status = HF_NO_MEMORY;
    }
    if (status != HF_OK) {
        free(r->table);
        free(r->packed);
        free(r->raw);
        ZSTD_freeDCtx(r->zstd);
        r->table = NULL;
        r->packed = r->raw = NULL;
        r->zstd = NULL;
    }
    return status;
}

// All records lie inside, and the runs count each of them.
static bool block_adds_up(const struct archive_reader *r, uint32_t records)
{
    uint32_t at = 0, n = 0;
    for (; at + sizeof(struct journal_record) <= r->record_bytes; n++) {
        const struct journal_record *rec = (const struct journal_record *)(r->raw + at);
        if (journal_record_bytes(rec) < sizeof *rec ||
            journal_record_bytes(rec) > r->record_bytes - at)
            return false;
        at += journal_record_bytes(rec);
    }
    uint64_t timed = 0;
    for (uint32_t i = 0; i < r->runs; i++) {
        struct archive_disk_run run;
        memcpy(&run, r->raw + r->record_bytes + i * sizeof run, sizeof run);
        if (!run.records)
            return false;
        timed += run.records;
    }
    return at == r->record_bytes && n == records && timed == records;
}

static const struct archive_disk_run *run_of(const struct archive_reader *r)
{
    // Records are multiples of 8 bytes, so the runs behind them are aligned.
    return (const struct archive_disk_run *)(r->raw + r->record_bytes) + r->run;
}

static void block_rewind(struct archive_reader *r)
{
    r->record = r->at = r->run = 0;
    r->run_left = run_of(r)->records;
}

static enum hf_status block_load(struct archive_reader *r, uint32_t number)
{
    const struct archive_disk_header *h = &r->header;
    const struct archive_disk_entry *e = &r->table[number];
    r->block = NO_BLOCK;
    enum hf_status status = read_exactly(r, r->packed, e->bytes, e->offset);
    if (status != HF_OK)
        return status;
    struct archive_disk_block b;
    memcpy(&b, r->packed, sizeof b);
    if (b.magic != ARCHIVE_BLOCK_MAGIC || b.crc != e->crc ||
        b.crc != hf_crc32c(r->seed, r->packed + 8, e->bytes - 8))
        return damaged(h->number, e->offset, "a block's checksum fails");
    const uint64_t raw = b.record_bytes + (uint64_t)b.runs * sizeof(struct archive_disk_run);
    if (b.number != number || b.records != e->records || b.first_lsn != h->first_lsn + e->first ||
        b.packed_bytes > e->bytes - sizeof b || b.record_bytes % 8 || !b.runs ||
        raw > h->raw_bytes_max)
        return damaged(h->number, e->offset, "a block contradicts the block table");
    const size_t plain =
        ZSTD_decompressDCtx(r->zstd, r->raw, raw, r->packed + sizeof b, b.packed_bytes);
    r->record_bytes = b.record_bytes;
    r->runs = b.runs;
    if (ZSTD_isError(plain) || plain != raw || !block_adds_up(r, b.records))
        return damaged(h->number, e->offset, "a block's content does not add up");
    r->block = number;
    block_rewind(r);
    return HF_OK;
}

static uint32_t block_of(const struct archive_reader *r, uint32_t ordinal)
{
    uint32_t low = 0, high = r->header.blocks;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (r->table[middle].first <= ordinal)
            low = middle;
        else
            high = middle;
    }
    return low;
}

enum hf_status archive_reader_get(struct archive_reader *r, uint64_t lsn,
                                  struct archive_found *found)
{
    const struct archive_disk_header *h = &r->header;
    if (lsn < h->first_lsn || lsn > h->last_lsn)
        return HF_NOT_FOUND;
    enum hf_status status = r->table ? HF_OK : table_load(r);
    if (status != HF_OK)
        return status;
    const uint32_t ordinal = (uint32_t)(lsn - h->first_lsn);
    if (r->block == NO_BLOCK || ordinal < r->table[r->block].first ||
        ordinal - r->table[r->block].first >= r->table[r->block].records)
        status = block_load(r, block_of(r, ordinal));
    if (status != HF_OK)
        return status;
    const uint32_t wanted = ordinal - r->table[r->block].first;
    if (wanted < r->record)
        block_rewind(r);
    for (; r->record < wanted; r->record++) {
        r->at += journal_record_bytes((const struct journal_record *)(r->raw + r->at));
        if (--r->run_left == 0) {
            r->run++;
            r->run_left = run_of(r)->records;
        }
    }
    found->time_ms = run_of(r)->time_ms;
    found->record = (const struct journal_record *)(r->raw + r->at);
    if (found->record->type == 0 || found->record->crc != journal_record_crc(found->record))
        return damaged(h->number, r->table[r->block].offset, "a record's checksum fails");
    return HF_OK;
}

// ------------------------------------------------------------------------------------- indexes

static uint64_t page_count(const struct archive_disk_index *x)
{
    return (x->entries + ARCHIVE_PAGE_KEYS - 1) / ARCHIVE_PAGE_KEYS;
}

static enum hf_status page_load(struct archive_reader *r, enum archive_index_kind kind,
                                uint64_t number)
{
    const struct archive_disk_index *x = &r->header.index[kind];
    const uint64_t offset = x->offset + number * sizeof r->page;
    enum hf_status status = read_exactly(r, &r->page, sizeof r->page, offset);
    if (status != HF_OK)
        return status;
    const uint64_t left = x->entries - number * ARCHIVE_PAGE_KEYS;
    const uint32_t count = left < ARCHIVE_PAGE_KEYS ? (uint32_t)left : ARCHIVE_PAGE_KEYS;
    if (r->page.crc != archive_page_crc(r->seed, &r->page))
        return damaged(r->header.number, offset, "an index page's checksum fails");
    if (r->page.kind != kind || r->page.number != number || r->page.count != count)
        return damaged(r->header.number, offset, "an index page stands where another belongs");
    return HF_OK;
}

static uint64_t page_first(const struct archive_reader *r)
{
    return archive_key_hash(&r->page.key[0]);
}

static uint64_t page_last(const struct archive_reader *r)
{
    return archive_key_hash(&r->page.key[r->page.count - 1]);
}

// Leaves the first page whose last hash is >= hash in r->page, its number in *number. Interpolation
// search (Perl, Itai, Avni, CACM 1978) while it pays, then bisection: hashes may be chosen by a
// client, and no choice costs more than a logarithm of pages.
static enum hf_status page_find(struct archive_reader *r, enum archive_index_kind kind,
                                uint64_t hash, uint64_t *number)
{
    const struct archive_disk_index *x = &r->header.index[kind];
    uint64_t low = 0, high = page_count(x) - 1; // the page is in [low, high]: hash <= max_hash
    uint64_t low_hash = x->min_hash, high_hash = x->max_hash;
    uint64_t loaded = UINT64_MAX;
    for (int step = 0; low < high; step++) {
        uint64_t at = low + (high - low) / 2;
        if (step < 4 && hash >= low_hash && hash < high_hash)
            at = low + (uint64_t)((double)(high - low) *
                                  ((double)(hash - low_hash) / (double)(high_hash - low_hash)));
        if (at >= high)
            at = high - 1;
        enum hf_status status = page_load(r, kind, at);
        if (status != HF_OK)
            return status;
        loaded = at;
        if (page_last(r) < hash) {
            low = at + 1;
            low_hash = page_last(r);
        } else {
            high = at;
            high_hash = page_first(r);
            if (high_hash < hash)
                low = at;
        }
    }
    *number = low;
    return loaded == low ? HF_OK : page_load(r, kind, low);
}

enum hf_status archive_reader_lookup(struct archive_reader *r, enum archive_index_kind kind,
                                     uint64_t hash, archive_hit hit, void *ctx)
{
    const struct archive_disk_index *x = &r->header.index[kind];
    if (!x->entries || hash < x->min_hash || hash > x->max_hash)
        return HF_OK;
    uint64_t number;
    enum hf_status status = page_find(r, kind, hash, &number);
    while (status == HF_OK) {
        for (uint32_t i = 0; i < r->page.count && status == HF_OK; i++) {
            const struct archive_disk_key *k = &r->page.key[i];
            if (archive_key_hash(k) < hash)
                continue;
            if (archive_key_hash(k) > hash)
                return HF_OK;
            status = k->ordinal < r->header.records
                         ? hit(ctx, r->header.first_lsn + k->ordinal)
                         : damaged(r->header.number, x->offset + number * sizeof r->page,
                                   "an index entry names no record");
        }
        if (status == HF_OK && ++number == page_count(x))
            break;
        if (status == HF_OK)
            status = page_load(r, kind, number);
    }
    return status;
}
