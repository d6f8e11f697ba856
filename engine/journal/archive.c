// The set of archive files: what is there, what the next one is, and the queries over all of them.
//
// Files are immutable and small in number beside their records, so one sorted array of headers in
// memory (256 bytes a file) is the whole directory. A query walks it by LSN, not by position: it
// takes the header of the next file past an LSN and opens that file under the lock, then reads
// without it. Expiry and erasure may change the array meanwhile; an open file stays readable, and
// the next step goes by LSN again.
#include "journal/archive_internal.h"

#include "base/hash.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------- set-up

// Names as the folder lists them: nothing may be opened or removed during the listing.
struct listing {
    uint64_t *numbers, *temporary;
    uint32_t count, capacity, temporary_count, temporary_capacity;
    bool no_memory;
};

static bool number_add(uint64_t **list, uint32_t *count, uint32_t *capacity, uint64_t number)
{
    if (*count == *capacity) {
        uint32_t grown = *capacity ? 2 * *capacity : 64;
        uint64_t *more = realloc(*list, grown * sizeof *more);
        if (!more)
            return false;
        *list = more;
        *capacity = grown;
    }
    (*list)[(*count)++] = number;
    return true;
}

static void listing_each(void *ctx, const char *name)
{
    struct listing *l = ctx;
    char right[STORAGE_NAME_BYTES];
    if (strncmp(name, "archive-", 8) != 0)
        return;
    const uint64_t number = strtoull(name + 8, NULL, 10);
    archive_file_name(right, number);
    const size_t n = strlen(right);
    if (strcmp(name, right) == 0)
        l->no_memory |= !number_add(&l->numbers, &l->count, &l->capacity, number);
    else if (strncmp(name, right, n) == 0 && strcmp(name + n, ".tmp") == 0)
        l->no_memory |=
            !number_add(&l->temporary, &l->temporary_count, &l->temporary_capacity, number);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum hf_status temporary_remove(struct archive *a, const struct listing *l)
{
    struct storage *s = a->options.storage;
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; i < l->temporary_count && status == HF_OK; i++) {
        char name[STORAGE_NAME_BYTES];
        archive_file_name(name, l->temporary[i]);
        memcpy(name + strlen(name), ".tmp", sizeof ".tmp");
        status = s->ops->unlink(s, name);
    }
    return status;
}

static enum hf_status file_load(struct archive *a, uint64_t number)
{
    char name[STORAGE_NAME_BYTES];
    archive_file_name(name, number);
    struct archive_disk_header *h = &a->files[a->count];
    enum hf_status status = archive_header_read(a->options.storage, name, a->options.engine_id, h);
    if (status != HF_OK)
        return status == HF_NOT_FOUND ? HF_IO : status;
    if (a->count && h->first_lsn != h[-1].last_lsn + 1) {
        hf_log(HF_LOG_ERROR, "archive_damaged",
               "file=%s offset=0 why=\"records are missing before it\" first_lsn=%" PRIu64
               " expected_lsn=%" PRIu64,
               name, h->first_lsn, h[-1].last_lsn + 1);
        return HF_DAMAGED;
    }
    a->count++;
    atomic_store_explicit(&a->lsn, h->last_lsn, memory_order_relaxed);
    return HF_OK;
}

static enum hf_status set_load(struct archive *a)
{
    struct listing l = {0};
    enum hf_status status = a->options.storage->ops->list(a->options.storage, listing_each, &l);
    if (status == HF_OK && l.no_memory)
        status = HF_NO_MEMORY;
    if (status == HF_OK)
        status = temporary_remove(a, &l);
    a->capacity = l.count + 64;
    a->files = calloc(a->capacity, sizeof *a->files);
    if (!a->files && status == HF_OK)
        status = HF_NO_MEMORY;
    if (l.count)
        qsort(l.numbers, l.count, sizeof *l.numbers, by_value);
    for (uint32_t i = 0; i < l.count && status == HF_OK; i++)
        status = file_load(a, l.numbers[i]);
    free(l.numbers);
    free(l.temporary);
    return status;
}

enum hf_status archive_create(const struct archive_options *o, struct archive **out)
{
    *out = NULL;
    struct archive_options fixed = *o;
    if (!fixed.retention_ms)
        fixed.retention_ms = UINT64_C(400) * 24 * 3600 * 1000;
    if (!fixed.block_bytes)
        fixed.block_bytes = 256u << 10;
    if (!fixed.zstd_level)
        fixed.zstd_level = 1;
    if (!fixed.storage || !fixed.keys || fixed.block_bytes < ARCHIVE_BLOCK_BYTES_MIN ||
        fixed.block_bytes > ARCHIVE_BLOCK_BYTES_MAX)
        return HF_INVALID;
    struct archive *a = calloc(1, sizeof *a);
    if (!a)
        return HF_NO_MEMORY;
    a->options = fixed;
    lock_init(&a->lock);
    enum hf_status status = set_load(a);
    if (status != HF_OK) {
        archive_destroy(a);
        return status;
    }
    *out = a;
    return HF_OK;
}

uint64_t archive_lsn(const struct archive *a)
{
    // Pairs with the store in archive_take_step: whoever sees an LSN finds its file in the set.
    return atomic_load_explicit(&a->lsn, memory_order_acquire);
}

// ------------------------------------------------------------------------------------- queries

// Position of the first file whose last LSN is past `lsn`; under the lock.
static uint32_t position_after(const struct archive *a, uint64_t lsn)
{
    uint32_t low = 0, high = a->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (a->files[middle].last_lsn > lsn)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static enum hf_status position_open(struct archive *a, uint32_t at, struct archive_disk_header *h,
                                    int *file)
{
    struct storage *s = a->options.storage;
    char name[STORAGE_NAME_BYTES];
    *h = a->files[at];
    archive_file_name(name, h->number);
    enum hf_status status = s->ops->open(s, name, STORAGE_READ, file);
    if (status == HF_NOT_FOUND) {
        hf_log(HF_LOG_ERROR, "archive_damaged", "file=%s offset=0 why=\"the file is gone\"", name);
        status = HF_DAMAGED;
    }
    return status;
}

enum hf_status archive_open_after(struct archive *a, uint64_t lsn, struct archive_disk_header *h,
                                  int *file)
{
    lock_acquire(&a->lock);
    const uint32_t at = position_after(a, lsn);
    enum hf_status status = at < a->count ? position_open(a, at, h, file) : HF_NOT_FOUND;
    lock_release(&a->lock);
    return status;
}

enum hf_status archive_open_match(struct archive *a, const struct archive_match *m, uint64_t lsn,
                                  struct archive_disk_header *h, int *file)
{
    enum hf_status status = HF_NOT_FOUND;
    lock_acquire(&a->lock);
    for (uint32_t at = position_after(a, lsn); at < a->count; at++) {
        const struct archive_disk_index *x = &a->files[at].index[m->kind];
        if (!x->entries || m->hash < x->min_hash || m->hash > x->max_hash ||
            a->files[at].max_time_ms < m->from_ms)
            continue;
        status = position_open(a, at, h, file);
        break;
    }
    lock_release(&a->lock);
    return status;
}

struct query {
    struct archive_match match;
    struct hf_uuid id; // for ARCHIVE_BY_ID
    const struct archive_keys *keys;
    struct archive_reader *reader;
    journal_visit visit;
    void *ctx;
};

static bool matches(const struct query *q, const struct journal_record *r)
{
    struct hf_uuid second;
    if (q->match.kind == ARCHIVE_BY_REFERENCE)
        return q->keys->reference(r) == q->match.hash;
    return hf_uuid_equal(r->id, q->id) ||
           (q->keys->second_id(r, &second) && hf_uuid_equal(second, q->id));
}

static enum hf_status query_hit(void *ctx, uint64_t lsn)
{
    struct query *q = ctx;
    struct archive_found found;
    enum hf_status status = archive_reader_get(q->reader, lsn, &found);
    if (status != HF_OK || !matches(q, found.record))
        return status;
    return q->visit(q->ctx, lsn, found.time_ms, found.record);
}

static enum hf_status query_run(struct archive *a, struct query *q)
{
    struct archive_disk_header h;
    int file;
    q->keys = a->options.keys;
    enum hf_status status;
    for (uint64_t lsn = 0; (status = archive_open_match(a, &q->match, lsn, &h, &file)) == HF_OK;
         lsn = h.last_lsn) {
        status = archive_reader_create(a->options.storage, file, &h, &q->reader);
        if (status != HF_OK)
            return status;
        status = archive_reader_lookup(q->reader, q->match.kind, q->match.hash, query_hit, q);
        archive_reader_destroy(q->reader);
        if (status != HF_OK)
            return status;
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}

enum hf_status archive_find_id(struct archive *a, struct hf_uuid id, journal_visit visit, void *ctx)
{
    struct query q = {
        .match = {ARCHIVE_BY_ID, hf_hash_uuid(&id), 0}, .id = id, .visit = visit, .ctx = ctx};
    const uint64_t skew = a->options.id_skew_ms;
    if (skew && hf_uuid_version(id) == 7 && hf_uuid_ms(id) > skew)
        q.match.from_ms = hf_uuid_ms(id) - skew;
    return query_run(a, &q);
}

enum hf_status archive_find_reference(struct archive *a, uint64_t hash, journal_visit visit,
                                      void *ctx)
{
    struct query q = {.match = {ARCHIVE_BY_REFERENCE, hash, 0}, .visit = visit, .ctx = ctx};
    return hash ? query_run(a, &q) : HF_INVALID;
}

enum hf_status archive_read_one(struct archive *a, uint64_t lsn, struct journal_record *buffer,
                                uint32_t buffer_bytes)
{
    struct archive_disk_header h;
    struct archive_reader *r;
    struct archive_found found;
    int file;
    if (!lsn)
        return HF_NOT_FOUND;
    enum hf_status status = archive_open_after(a, lsn - 1, &h, &file);
    if (status == HF_OK)
        status = archive_reader_create(a->options.storage, file, &h, &r);
    if (status != HF_OK)
        return status;
    status = archive_reader_get(r, lsn, &found);
    if (status == HF_OK) {
        const uint32_t bytes = journal_record_bytes(found.record);
        if (bytes <= buffer_bytes)
            memcpy(buffer, found.record, bytes);
        else
            status = HF_INVALID;
    }
    archive_reader_destroy(r);
    return status;
}

enum hf_status archive_walk(struct archive *a, uint64_t after, journal_visit visit, void *ctx)
{
    struct archive_disk_header h;
    int file;
    enum hf_status status;
    while ((status = archive_open_after(a, after, &h, &file)) == HF_OK) {
        struct archive_reader *r;
        struct archive_found found;
        status = archive_reader_create(a->options.storage, file, &h, &r);
        if (status != HF_OK)
            return status;
        if (after < h.first_lsn - 1)
            after = h.first_lsn - 1;
        while (status == HF_OK && after < h.last_lsn) {
            status = archive_reader_get(r, ++after, &found);
            if (status == HF_OK)
                status = visit(ctx, after, found.time_ms, found.record);
        }
        archive_reader_destroy(r);
        if (status != HF_OK)
            return status;
    }
    return status == HF_NOT_FOUND ? HF_OK : status;
}
