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
    uint64_t retention_ms;   // default (0) 400 days
    uint32_t block_bytes;    // uncompressed bytes a block, 1 KiB .. 16 MiB; default (0) 256 KiB
    int zstd_level;          // default (0) 1; negative ones are faster and pack less. While
                             // segments wait in a queue, a faster one is taken
    // How far a v7 id's own time may be ahead of the time of its records' groups, at most, ever
    // since the oldest file: files that ended before that are not searched for it. 0: search all.
    uint64_t id_skew_ms;
};

struct archive;
// Lists what is there, checks headers, removes temporary files. Set-up, blocking. Copies *o.
// HF_DAMAGED (a header fails, or records are missing between two files: logged with the file),
// HF_TOO_NEW, HF_FOREIGN, HF_INVALID, HF_IO, HF_NO_MEMORY.
enum hf_status archive_create(const struct archive_options *o, struct archive **out) HF_CHECKED;
void archive_destroy(struct archive *a);

// Highest LSN such that everything up to it is in archive files, durable, or has been there and
// has expired. 0 when empty; so after a start that found nothing, too. Any thread, wait-free.
uint64_t archive_lsn(const struct archive *a);

// Archives the next closed segment of `j`, a bounded piece per call (about 4 MiB of records, or
// a 24th of its keys). HF_OK: did a piece; HF_AGAIN: no closed segment is waiting; HF_NO_SPACE,
// HF_NO_MEMORY: pass, try later, the segment is begun anew; HF_DAMAGED, HF_IO: final.
// One background thread. Memory meanwhile: 12 bytes a key, 50 MB for the ids of a 256 MiB segment
// of 64-byte records, and as much again for each of second ids, references and buyers if all its
// records have one.
enum hf_status archive_step(struct archive *a, struct journal *j);
// Removes files whose newest record is older than now - retention, oldest first; none with a
// record past keep_after, which a reader has not taken yet. Same thread.
enum hf_status archive_expire(struct archive *a, uint64_t now_ms, uint64_t keep_after);

// Queries: any thread, several at once; blocking, allocate for their own duration. What the visit
// returns other than HF_OK ends the query and is its status. HF_DAMAGED (logged with file and
// offset), HF_IO, HF_NO_MEMORY.
//
// Visits every record whose id or second id is `id`, in LSN order.
enum hf_status archive_find_id(struct archive *a, struct hf_uuid id, journal_visit visit,
                               void *ctx);
// Visits every record whose reference hash is `hash` (the caller compares the text), in LSN order.
// HF_INVALID: hash 0.
enum hf_status archive_find_reference(struct archive *a, uint64_t hash, journal_visit visit,
                                      void *ctx);
// One record by LSN. HF_NOT_FOUND: not there yet, or expired. HF_INVALID: the buffer is too small.
enum hf_status archive_read_one(struct archive *a, uint64_t lsn, struct journal_record *buffer,
                                uint32_t buffer_bytes);
// Visits all records with lsn > after, in order; for export.
enum hf_status archive_walk(struct archive *a, uint64_t after, journal_visit visit, void *ctx);

// Rewrites every file that holds this buyer's key, without it. Returns files rewritten in *files.
// A crash leaves each file old or new. The background thread; blocking, long. HF_NO_SPACE,
// HF_NO_MEMORY pass: call again. Segments that are not archived yet, and one under way, still hold
// the key: call again once archive_lsn has passed the LSN that the journal had at the request.
// Another key of the same 64-bit hash would be erased too.
enum hf_status archive_erase_buyer(struct archive *a, uint64_t buyer_hash, uint32_t *files);

#endif
