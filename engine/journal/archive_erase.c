// Erasing a buyer's key: each file that holds it is written again without it and renamed over, so
// a crash leaves the old file or the new one. LSNs, times and every other byte stay.
#include "journal/archive_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct erasure {
    struct archive *archive;
    uint64_t buyer;
    struct archive_disk_header header; // of the file as it is
    struct archive_reader *reader;
    struct archive_writer *writer;
    struct journal_record *scratch; // HF_RECORD_BYTES_MAX
};

static enum hf_status hit_any(void *ctx, uint64_t lsn)
{
    (void)lsn;
    *(bool *)ctx = true;
    return HF_OK;
}

static enum hf_status records_copy(struct erasure *e)
{
    const struct archive_keys *keys = e->archive->options.keys;
    enum hf_status status = HF_OK;
    for (uint64_t lsn = e->header.first_lsn; lsn <= e->header.last_lsn && status == HF_OK; lsn++) {
        struct archive_found found;
        status = archive_reader_get(e->reader, lsn, &found);
        if (status != HF_OK)
            return status;
        const struct journal_record *r = found.record;
        if (keys->buyer(r) == e->buyer) {
            if (journal_record_bytes(r) > HF_RECORD_BYTES_MAX)
                return HF_DAMAGED;
            memcpy(e->scratch, r, journal_record_bytes(r));
            keys->erase_buyer(e->scratch);
            HF_ASSERT(e->scratch->units == r->units && keys->buyer(e->scratch) != e->buyer);
            e->scratch->crc = journal_record_crc(e->scratch);
            r = e->scratch;
        }
        status = archive_writer_add(e->writer, lsn, found.time_ms, r);
    }
    while (status == HF_OK)
        status = archive_writer_finish_step(e->writer);
    return status == HF_AGAIN ? HF_OK : status;
}

static enum hf_status file_replace(struct erasure *e)
{
    struct archive *a = e->archive;
    struct storage *s = a->options.storage;
    char name[STORAGE_NAME_BYTES];
    archive_file_name(name, e->header.number);
    lock_acquire(&a->lock);
    enum hf_status status = s->ops->rename(s, archive_writer_temporary(e->writer), name);
    for (uint32_t i = 0; i < a->count && status == HF_OK; i++)
        if (a->files[i].number == e->header.number)
            a->files[i] = *archive_writer_header(e->writer);
    lock_release(&a->lock);
    return status == HF_OK ? s->ops->sync_folder(s) : status;
}

static enum hf_status file_rewrite(struct erasure *e)
{
    const struct archive_target target = {
        .options = &e->archive->options,
        .number = e->header.number,
        .first_lsn = e->header.first_lsn,
        .rewrites = e->header.rewrites + 1,
        .zstd_level = e->archive->options.zstd_level,
    };
    enum hf_status status = archive_writer_create(&target, &e->writer);
    if (status != HF_OK)
        return status;
    status = records_copy(e);
    bool remove = status != HF_OK;
    if (status == HF_OK) {
        status = file_replace(e);
        remove = false; // replaced, or not known: the next start removes what is temporary
    }
    archive_writer_destroy(e->writer, remove);
    return status;
}

enum hf_status archive_erase_buyer(struct archive *a, uint64_t buyer_hash, uint32_t *files)
{
    struct erasure e = {.archive = a, .buyer = buyer_hash};
    const struct archive_match match = {ARCHIVE_BY_BUYER, buyer_hash, 0};
    *files = 0;
    if (!buyer_hash)
        return HF_INVALID;
    if (a->failed != HF_OK)
        return a->failed;
    e.scratch = aligned_alloc(8, HF_RECORD_BYTES_MAX);
    if (!e.scratch)
        return HF_NO_MEMORY;
    enum hf_status status;
    int file;
    for (uint64_t lsn = 0; (status = archive_open_match(a, &match, lsn, &e.header, &file)) == HF_OK;
         lsn = e.header.last_lsn) {
        bool there = false;
        status = archive_reader_create(a->options.storage, file, &e.header, &e.reader);
        if (status != HF_OK)
            break;
        status = archive_reader_lookup(e.reader, ARCHIVE_BY_BUYER, buyer_hash, hit_any, &there);
        if (status == HF_OK && there)
            status = file_rewrite(&e);
        archive_reader_destroy(e.reader);
        if (status != HF_OK)
            break;
        *files += there;
    }
    free(e.scratch);
    if (status == HF_NOT_FOUND)
        status = HF_OK;
    return archive_fail(a, status, "erase");
}
