// How the set changes at its two ends: a segment is taken in, expired files go.
//
// A. A file enters the set, and archive_lsn passes it, only after its content, then its name, are
//    synced: whoever recycles the segment by archive_lsn finds the file after any crash.
// B. Expired files go oldest first, and the folder is synced between two of them: after a crash
//    the files left still join without a gap.
#include "journal/archive_internal.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS_A_STEP 4096 // most of them are small when the journal is quiet
#define SLICES_A_STEP 32   // of 256 for each index

// A peak fills segments faster than they are packed: then packing takes less of the processors.
// Measured a 64-byte record and what becomes of its size: level 1 100 ns, 0.41; -5 53 ns, 0.53;
// -20 24 ns, 0.80.
#define BEHIND       2
#define BEHIND_LEVEL (-5)
#define FAR_BEHIND   6
#define FAR_LEVEL    (-20)

static int level_by_lag(const struct archive *a)
{
    const int most = a->behind > FAR_BEHIND ? FAR_LEVEL : a->behind > BEHIND ? BEHIND_LEVEL : 22;
    return a->options.zstd_level < most ? a->options.zstd_level : most;
}

enum hf_status archive_fail(struct archive *a, enum hf_status status, const char *what)
{
    if (status == HF_OK || status == HF_AGAIN || status == HF_NO_SPACE || status == HF_NO_MEMORY)
        return status;
    if (a->failed == HF_OK)
        hf_log(HF_LOG_ERROR, "archive_stopped", "status=%s while=%s segment=%" PRIu64,
               hf_status_name(status), what, a->segment.number);
    a->failed = status;
    return status;
}

void archive_take_abandon(struct archive *a)
{
    archive_writer_destroy(a->writer, true);
    a->writer = NULL;
}

enum hf_status archive_take_begin(struct archive *a, const struct journal_segment *s)
{
    HF_ASSERT(!a->writer);
    if (a->failed != HF_OK)
        return a->failed;
    a->segment = *s;
    const struct archive_disk_header *last = a->count ? &a->files[a->count - 1] : NULL;
    if (!s->first_lsn || s->last_lsn < s->first_lsn ||
        (last && (s->number <= last->number || s->first_lsn != last->last_lsn + 1)))
        return archive_fail(a, HF_DAMAGED, "begin");
    const struct archive_target target = {
        .options = &a->options,
        .number = s->number,
        .first_lsn = s->first_lsn,
        .zstd_level = level_by_lag(a),
    };
    return archive_fail(a, archive_writer_create(&target, &a->writer), "begin");
}

static enum hf_status take_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *r)
{
    struct archive *a = ctx;
    return lsn > a->segment.last_lsn ? HF_DAMAGED : archive_writer_add(a->writer, lsn, time_ms, r);
}

static enum hf_status take_records(struct archive *a, const struct archive_source *source)
{
    const uint64_t enough = archive_writer_record_bytes(a->writer) + ARCHIVE_PIECE_BYTES;
    enum hf_status status = HF_OK;
    for (int i = 0; i < GROUPS_A_STEP && status == HF_OK; i++) {
        if (archive_writer_next_lsn(a->writer) > a->segment.last_lsn ||
            archive_writer_record_bytes(a->writer) >= enough)
            break;
        status = source->step(source->ctx, take_visit, a);
        if (status == HF_AGAIN && i > 0)
            return HF_OK;
    }
    return status;
}

static bool room_for_one(struct archive *a)
{
    if (a->count < a->capacity)
        return true;
    const uint32_t capacity = 2 * a->capacity;
    struct archive_disk_header *grown = realloc(a->files, capacity * sizeof *grown);
    if (!grown)
        return false;
    a->files = grown;
    a->capacity = capacity;
    return true;
}

// The file is complete and synced under its temporary name.
static enum hf_status take_publish(struct archive *a)
{
    struct storage *s = a->options.storage;
    char name[STORAGE_NAME_BYTES];
    lock_acquire(&a->lock);
    const bool room = room_for_one(a);
    lock_release(&a->lock);
    if (!room)
        return HF_NO_MEMORY;
    const struct archive_disk_header *h = archive_writer_header(a->writer);
    archive_file_name(name, h->number);
    enum hf_status status = s->ops->rename(s, archive_writer_temporary(a->writer), name);
    if (status == HF_OK)
        status = s->ops->sync_folder(s);
    if (status != HF_OK)
        return status;
    lock_acquire(&a->lock);
    a->files[a->count++] = *h;
    lock_release(&a->lock);
    // Pairs with archive_lsn.
    atomic_store_explicit(&a->lsn, h->last_lsn, memory_order_release);
    archive_writer_destroy(a->writer, false);
    a->writer = NULL;
    return HF_OK;
}

static enum hf_status take_finish(struct archive *a)
{
    enum hf_status status = HF_OK;
    for (int i = 0; i < SLICES_A_STEP && status == HF_OK; i++)
        status = archive_writer_finish_step(a->writer);
    return status == HF_AGAIN ? take_publish(a) : status;
}

enum hf_status archive_take_step(struct archive *a, const struct archive_source *source)
{
    if (a->failed != HF_OK)
        return a->failed;
    enum hf_status status;
    if (archive_writer_next_lsn(a->writer) <= a->segment.last_lsn)
        status = take_records(a, source);
    else
        status = take_finish(a);
    if (status != HF_OK && status != HF_AGAIN)
        archive_take_abandon(a);
    return archive_fail(a, status, "take");
}

enum hf_status archive_expire(struct archive *a, uint64_t now_ms, uint64_t keep_after)
{
    struct storage *s = a->options.storage;
    if (a->failed != HF_OK)
        return a->failed;
    while (a->count && now_ms > a->options.retention_ms &&
           a->files[0].max_time_ms < now_ms - a->options.retention_ms &&
           a->files[0].last_lsn <= keep_after) {
        char name[STORAGE_NAME_BYTES];
        archive_file_name(name, a->files[0].number);
        lock_acquire(&a->lock);
        enum hf_status status = s->ops->unlink(s, name);
        if (status == HF_NOT_FOUND)
            status = HF_OK; // someone else's hand; it had to go
        if (status == HF_OK)
            memmove(a->files, a->files + 1, --a->count * sizeof *a->files);
        lock_release(&a->lock);
        if (status == HF_OK)
            status = s->ops->sync_folder(s); // B
        if (status != HF_OK)
            return archive_fail(a, status, "expire");
    }
    return HF_OK;
}
