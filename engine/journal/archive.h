// The archive: closed segments, compressed (zstd) and indexed by id and by reference, kept for
// `retention_ms` (default 400 days). Trace, late Cancel and Return, and finance read it.
//
// One archive file a segment, immutable once it has its final name; erasing a buyer key rewrites
// one under a new name first. Format: docs/archive-format.md.
#ifndef HOLDFAST_JOURNAL_ARCHIVE_H
#define HOLDFAST_JOURNAL_ARCHIVE_H

#include "journal/journal.h"

// What the archive must know of a payload, supplied by engine/core. Pure functions, any thread.
struct archive_keys {
    // Hash of the record's reference (order number), 0 when it has none.
    uint64_t (*reference)(const struct journal_record *r);
    // Hash of the record's buyer key, 0 when it has none.
    uint64_t (*buyer)(const struct journal_record *r);
    // Second id that finds this record too (the reservation that an operation acted on);
    // false: none.
    bool (*second_id)(const struct journal_record *r, struct hf_uuid *id);
    // Zeroes the buyer key in place; the caller recomputes the crc.
    void (*erase_buyer)(struct journal_record *r);
};

struct archive_options {
    struct storage *storage; // borrowed; the journal's folder
    struct hf_uuid engine_id;
    const struct archive_keys *keys; // borrowed
    uint64_t retention_ms;   // default 400 days
    uint32_t block_bytes;    // uncompressed bytes a block, default 256 KiB
    int zstd_level;          // default 1
};

struct archive;
// Lists what is there, checks headers, removes temporary files. Set-up, blocking.
enum hf_status archive_create(const struct archive_options *o, struct archive **out) HF_CHECKED;
void archive_destroy(struct archive *a);

// Highest LSN such that everything up to it is in archive files, durable. 0 when empty. Any thread.
uint64_t archive_lsn(const struct archive *a);

// Archives the next closed segment of `j`, a bounded piece per call. HF_OK: did a piece;
// HF_AGAIN: no closed segment is waiting; HF_NO_SPACE: passes, try later; HF_DAMAGED, HF_IO: final.
// One background thread.
enum hf_status archive_step(struct archive *a, struct journal *j);
// Removes files whose newest record is older than now - retention. Same thread.
enum hf_status archive_expire(struct archive *a, uint64_t now_ms);

// Visits every record whose id or second id is `id`, in LSN order. Any thread; blocking.
enum hf_status archive_find_id(struct archive *a, struct hf_uuid id, journal_visit visit,
                               void *ctx);
// Visits every record whose reference hash is `hash` (the caller compares the text).
enum hf_status archive_find_reference(struct archive *a, uint64_t hash, journal_visit visit,
                                      void *ctx);
// One record by LSN. HF_NOT_FOUND.
enum hf_status archive_read_one(struct archive *a, uint64_t lsn, struct journal_record *buffer,
                                uint32_t buffer_bytes);
// Visits all records with lsn > after, in order; for export.
enum hf_status archive_walk(struct archive *a, uint64_t after, journal_visit visit, void *ctx);

// Rewrites every file that holds this buyer's key, without it. Returns files rewritten in *files.
enum hf_status archive_erase_buyer(struct archive *a, uint64_t buyer_hash, uint32_t *files);

#endif
