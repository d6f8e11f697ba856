// Inside the archive: the format's structs and the parts that the archive_*.c share.
//
// A file, version 1 (docs/archive-format.md has the rules):
//
//    0        256                                  multiple of 4096 each
//    +--------+---------+-----+---------+-------+--+----------+-----------------+-------------+
//    | header | block 0 | ... | block n | block | 0| id index | reference index | buyer index |
//    |        |         |     |         | table |  | pages    | pages           | pages       |
//    +--------+---------+-----+---------+-------+--+----------+-----------------+-------------+
//
// The header is written last, before the one sync; the final name follows. Blocks, pages and the
// block table have checksums of their own, all seeded with the header's identity, so that one of
// another file fails.
#ifndef HOLDFAST_JOURNAL_ARCHIVE_INTERNAL_H
#define HOLDFAST_JOURNAL_ARCHIVE_INTERNAL_H

#include "journal/archive.h"

#include "base/limits.h"
#include "sys/lock.h"

#include <assert.h>
#include <stdatomic.h>

#define ARCHIVE_VERSION         1u
#define ARCHIVE_BLOCK_BYTES_MIN 1024u
#define ARCHIVE_BLOCK_BYTES_MAX (16u << 20)
#define ARCHIVE_PIECE_BYTES     (4u << 20) // of records that one step takes in, about
#define ARCHIVE_RECORDS_MAX     UINT32_MAX // of one file

enum archive_index_kind { ARCHIVE_BY_ID, ARCHIVE_BY_REFERENCE, ARCHIVE_BY_BUYER, ARCHIVE_INDEXES };

struct archive_disk_index {
    uint64_t offset; // multiple of 4096
    uint64_t entries;
    uint64_t min_hash, max_hash; // 0 when empty
};

struct archive_disk_header {
    char magic[8];
    uint32_t crc; // CRC32C of the header from offset 12 on
    uint32_t version;
    uint64_t engine_hi, engine_lo;
    uint64_t number; // of the journal segment
    uint64_t first_lsn, last_lsn;
    uint64_t min_time_ms, max_time_ms;
    uint64_t records;
    uint64_t record_bytes; // of all records, before compression
    uint64_t file_bytes;
    uint32_t blocks;
    uint32_t raw_bytes_max; // of the largest block, before compression
    uint32_t rewrites;      // how often erasure has rewritten this file
    uint32_t table_crc;     // of the block table
    uint64_t table_offset;
    struct archive_disk_index index[ARCHIVE_INDEXES];
    unsigned char zero[40];
};
static_assert(sizeof(struct archive_disk_header) == 256, "header");
static_assert(offsetof(struct archive_disk_header, version) == 12, "the crc covers the rest");
static_assert(offsetof(struct archive_disk_header, index) == 120, "no padding");

// A block: this, the zstd frame, zeros up to a multiple of 8. The frame holds the records back to
// back, then the runs.
struct archive_disk_block {
    uint32_t magic;
    uint32_t crc; // seeded CRC32C from offset 8 to the block's end
    uint32_t number;
    uint32_t records;
    uint64_t first_lsn;
    uint32_t record_bytes; // before compression
    uint32_t runs;
    uint32_t packed_bytes; // of the zstd frame
    uint32_t zero;
};
static_assert(sizeof(struct archive_disk_block) == 40, "block header");

// That many records in a row have this engine time.
struct archive_disk_run {
    uint64_t time_ms;
    uint32_t records;
    uint32_t zero;
};
static_assert(sizeof(struct archive_disk_run) == 16, "run");

struct archive_disk_entry {
    uint64_t offset; // of the block, in the file
    uint32_t first;  // first LSN of the block less that of the file
    uint32_t records;
    uint32_t bytes; // of the block, header and zeros included
    uint32_t crc;   // the block's
};
static_assert(sizeof(struct archive_disk_entry) == 24, "block table entry");

// An index is a sorted list of (hash, LSN less the file's first), cut into pages; all are full
// but the last.
struct archive_disk_key {
    uint32_t hash_low, hash_high;
    uint32_t ordinal;
};
static_assert(sizeof(struct archive_disk_key) == 12, "index entry");

#define ARCHIVE_PAGE_KEYS 340
struct archive_disk_page {
    uint32_t crc; // seeded CRC32C from offset 4 to the page's end
    uint32_t count;
    uint32_t number;
    uint32_t kind;
    struct archive_disk_key key[ARCHIVE_PAGE_KEYS];
};
static_assert(sizeof(struct archive_disk_page) == HF_BLOCK, "index page");

static inline uint64_t archive_key_hash(const struct archive_disk_key *k)
{
    return (uint64_t)k->hash_high << 32 | k->hash_low;
}

#define ARCHIVE_BLOCK_MAGIC 0x42414648u // "HFAB"
extern const char archive_magic[8];
uint32_t archive_header_crc(const struct archive_disk_header *h);
// What every other checksum of the file starts from.
uint32_t archive_seed(const struct archive_disk_header *h);
uint32_t archive_page_crc(uint32_t seed, const struct archive_disk_page *p);
void archive_file_name(char name[STORAGE_NAME_BYTES], uint64_t number);

// --------------------------------------------------------------------------- sorting the keys
// Collects keys in LSN order, hands them out sorted. Memory: 12 bytes a key and 256 nodes.
struct archive_keyset;
struct archive_keyset *archive_keyset_create(void); // NULL: no memory
void archive_keyset_destroy(struct archive_keyset *k);
enum hf_status archive_keyset_add(struct archive_keyset *k, uint64_t hash,
                                  uint32_t ordinal) HF_CHECKED;
uint64_t archive_keyset_count(const struct archive_keyset *k);
// The next of 256 slices by the hash's top byte, sorted by hash, then LSN. *count may be 0; *keys
// is valid until the next call. HF_AGAIN: that was the last one.
enum hf_status archive_keyset_next(struct archive_keyset *k, const struct archive_disk_key **keys,
                                   uint64_t *count) HF_CHECKED;

// --------------------------------------------------------------------------- writing one file
struct archive_target {
    const struct archive_options *options;
    uint64_t number; // the segment's
    uint64_t first_lsn;
    uint32_t rewrites;
    int zstd_level;
};
struct archive_writer;
// Opens the temporary file (an old one is replaced). HF_IO, HF_NO_SPACE, HF_NO_MEMORY.
enum hf_status archive_writer_create(const struct archive_target *t,
                                     struct archive_writer **out) HF_CHECKED;
// A journal_visit with the writer as its context. LSNs must follow each other: else HF_DAMAGED.
enum hf_status archive_writer_add(void *writer, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r) HF_CHECKED;
uint64_t archive_writer_next_lsn(const struct archive_writer *w);
uint64_t archive_writer_record_bytes(const struct archive_writer *w);
// One slice of one index, or the end. HF_OK: more to do; HF_AGAIN: complete and synced under the
// temporary name.
enum hf_status archive_writer_finish_step(struct archive_writer *w) HF_CHECKED;
const struct archive_disk_header *archive_writer_header(const struct archive_writer *w);
const char *archive_writer_temporary(const struct archive_writer *w);
// Frees the writer; removes the temporary file as far as it can, if told to.
void archive_writer_destroy(struct archive_writer *w, bool remove);

// --------------------------------------------------------------------------- reading one file
struct archive_reader;
// Opens the file and checks its header; for one that is not in the set yet.
// HF_NOT_FOUND, HF_DAMAGED, HF_TOO_NEW, HF_FOREIGN, HF_IO.
enum hf_status archive_header_read(struct storage *s, const char *name, struct hf_uuid expected,
                                   struct archive_disk_header *h) HF_CHECKED;
// Takes over `file`, which is open and has the header `h`; closes it in every case.
enum hf_status archive_reader_create(struct storage *s, int file,
                                     const struct archive_disk_header *h,
                                     struct archive_reader **out) HF_CHECKED;
void archive_reader_destroy(struct archive_reader *r);
// Calls back with the LSN of each entry of this hash, ascending. Other keys of the same hash too.
typedef enum hf_status (*archive_hit)(void *ctx, uint64_t lsn);
enum hf_status archive_reader_lookup(struct archive_reader *r, enum archive_index_kind kind,
                                     uint64_t hash, archive_hit hit, void *ctx) HF_CHECKED;
// The record of that LSN, valid until the next call. HF_NOT_FOUND past the file's end. Fast when
// LSNs ascend.
struct archive_found {
    uint64_t time_ms;
    const struct journal_record *record;
};
enum hf_status archive_reader_get(struct archive_reader *r, uint64_t lsn,
                                  struct archive_found *found) HF_CHECKED;

// --------------------------------------------------------------------------- the set of files
// `lock` guards files, count and capacity, and every rename, unlink and open by final name: a
// header in `files` is that of the file which an open under the lock yields. The background
// thread alone writes them.
struct archive {
    struct archive_options options;
    struct lock lock;
    struct archive_disk_header *files; // by segment number
    uint32_t count, capacity;
    _Atomic uint64_t lsn;
    // Background thread:
    enum hf_status failed; // final
    struct archive_writer *writer;
    struct journal_segment segment; // that the writer takes in
    struct journal_reader *source;
    uint32_t behind;                // closed segments that were waiting when it was begun
    struct journal_segment *closed; // scratch of archive_step
    uint32_t closed_capacity;
};

// Copies the header of the first file whose last LSN is past `lsn` and opens it.
// HF_NOT_FOUND: there is none.
enum hf_status archive_open_after(struct archive *a, uint64_t lsn, struct archive_disk_header *h,
                                  int *file) HF_CHECKED;
// The same, passing over files that cannot hold the hash or that ended before from_ms.
struct archive_match {
    enum archive_index_kind kind;
    uint64_t hash;
    uint64_t from_ms;
};
enum hf_status archive_open_match(struct archive *a, const struct archive_match *m, uint64_t lsn,
                                  struct archive_disk_header *h, int *file) HF_CHECKED;

// Takes in a segment from any source of records: begin, then step while a->writer is there.
// step: visits the records of one further group, as journal_reader_step does; HF_AGAIN: none yet.
struct archive_source {
    enum hf_status (*step)(void *ctx, journal_visit visit, void *visit_ctx);
    void *ctx;
};
// HF_OK, or as archive_step. On HF_NO_SPACE and HF_NO_MEMORY the segment is begun anew later.
enum hf_status archive_take_begin(struct archive *a, const struct journal_segment *s) HF_CHECKED;
enum hf_status archive_take_step(struct archive *a, const struct archive_source *source) HF_CHECKED;
// Gives up the segment under way; its temporary file goes.
void archive_take_abandon(struct archive *a);
// Passes the status on; remembers and logs what is final (all but the passing shortages).
enum hf_status archive_fail(struct archive *a, enum hf_status status, const char *what);

#endif
