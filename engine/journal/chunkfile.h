// Immutable files of checksummed chunks: checkpoints and id files.
//
// Written under a temporary name, synced, renamed, folder synced: a file of the final name is
// whole, or damaged since. The header names kind, format version, engine and LSN; the trailer
// counts chunks and bytes and chains their checksums, so a lost tail shows. Files are written and
// read past the page cache (STORAGE_DIRECT). Format: docs/archive-format.md.
//
// A writer or reader belongs to one thread; calls block. After a failure it answers that failure.
#ifndef HOLDFAST_JOURNAL_CHUNKFILE_H
#define HOLDFAST_JOURNAL_CHUNKFILE_H

#include "base/status.h"
#include "base/uuid.h"
#include "sys/storage.h"

#include <stdint.h>

struct chunkfile_header {
    char kind[8];      // "HFCKPT\0\0", "HFIDS\0\0\0": zero-padded
    uint32_t version;  // the newest that the caller knows / that was written
    struct hf_uuid engine_id;
    uint64_t lsn;      // state as of this record
    uint64_t time_ms;  // engine time
};

struct chunkfile_writer;
// Opens "<name>.tmp" (an old one is replaced). chunk_bytes: multiple of 4 KiB, at most 64 MiB;
// 1 MiB is fast. HF_INVALID (that, or no room for ".tmp" in the name), HF_NO_SPACE, HF_IO,
// HF_NO_MEMORY.
enum hf_status chunkfile_writer_create(struct storage *s, const char *name,
                                       const struct chunkfile_header *h, uint32_t chunk_bytes,
                                       struct chunkfile_writer **out) HF_CHECKED;
// Appends bytes to the stream; chunks are cut inside. Writes as buffers fill: so the work of one
// call is bounded by `bytes` + one chunk.
enum hf_status chunkfile_write(struct chunkfile_writer *w, const void *data,
                               size_t bytes) HF_CHECKED;
// Trailer, sync, rename to `name` (replaces), sync of the folder. Frees the writer in every case,
// and on failure removes the temporary file as far as it can.
enum hf_status chunkfile_finish(struct chunkfile_writer *w) HF_CHECKED;
// Frees the writer and removes the temporary file, as far as it can.
void chunkfile_abandon(struct chunkfile_writer *w);

struct chunkfile_reader;
// HF_NOT_FOUND, HF_DAMAGED (logged with the offset; another kind is damage too), HF_TOO_NEW
// (version > max_version), HF_FOREIGN (another engine id, unless expected is nil), HF_IO,
// HF_NO_MEMORY.
enum hf_status chunkfile_reader_create(struct storage *s, const char *name, const char kind[8],
                                       uint32_t max_version, struct hf_uuid expected,
                                       struct chunkfile_header *h,
                                       struct chunkfile_reader **out) HF_CHECKED;
// Exactly `bytes` or an error: HF_DAMAGED when a checksum fails or the stream ends early. Data is
// handed out only after its chunk's checksum held.
enum hf_status chunkfile_read(struct chunkfile_reader *r, void *data, size_t bytes) HF_CHECKED;
// HF_OK when the stream ended exactly here and the trailer agrees; else HF_DAMAGED.
enum hf_status chunkfile_read_end(struct chunkfile_reader *r) HF_CHECKED;
// File offset of the chunk in hand, for messages.
uint64_t chunkfile_offset(const struct chunkfile_reader *r);
void chunkfile_reader_destroy(struct chunkfile_reader *r);

#endif
