// Inside of the journal: what its sources share. Nobody else includes this.
//
// Threads: any number of producers, one writer, one housekeeper (journal_maintain), readers. Fields
// are grouped by who writes them. Files: queue.c (producers), writer.c, segment.c (table, space,
// housekeeping), scan.c (reading and checking groups), recover.c, reader.c, meta.c, journal.c.
#ifndef HOLDFAST_JOURNAL_INTERNAL_H
#define HOLDFAST_JOURNAL_INTERNAL_H

#include "base/atomics.h"
#include "journal/journal.h"
#include "journal/journal_format.h"
#include "base/memory.h"
#include "sys/lock.h"
#include "sys/park.h"

#include <stdatomic.h>

#define JOURNAL_INDEX_MAX    1024 // entries a segment
#define JOURNAL_INDEX_STRIDE (UINT64_C(64) << 10)
#define JOURNAL_SCAN_BYTES   ((size_t)4 << 20) // window of recovery

// -------------------------------------------------------------------------------- queue.c

// What one push adds for each buffer that it filled: a run of records in that buffer's memory.
// The records follow right behind.
struct journal_burst {
    struct journal_burst *next; // older, on the stack; younger, once the writer has reversed it
    uint64_t first_lsn;         // set before the push
    uint32_t bytes, count;
    struct journal_buffer *buffer; // to give back to
};
static_assert(sizeof(struct journal_burst) == 32, "records behind it stay 8-byte aligned");

// A buffer is free when as many bursts were copied out of it as were closed in it.
struct journal_buffer {
    _Alignas(HF_CACHE_LINE) _Atomic uint32_t consumed; // bursts; the writer's
    _Alignas(HF_CACHE_LINE) uint32_t closed;           // bursts; the producer's
    unsigned char *bytes;
};

// The producer, as journal.h shows it, and what is behind it.
struct journal_producer_full {
    struct journal_producer hot; // first member
    struct journal *journal;
    struct journal_burst *open;            // NULL when no burst is begun (then hot.room is 0)
    struct journal_burst *newest, *oldest; // closed, not pushed yet
    uint32_t closed_records;
    uint32_t turn; // index of the buffer in use
    struct journal_buffer *buffers;
    struct hf_memory memory;
};

// Takes all that was pushed, oldest first; NULL when nothing was. The writer.
struct journal_burst *journal_queue_take(struct journal *j, struct journal_burst **newest);
// The writer has copied the burst: its memory belongs to the producer again.
void journal_queue_release(struct journal_burst *b);
void journal_producers_destroy(struct journal *j);

// -------------------------------------------------------------------------------- segment.c

enum journal_segment_state {
    JOURNAL_SEGMENT_READY,  // zero-written or recycled, not used yet
    JOURNAL_SEGMENT_ACTIVE, // holds the last durable group
    JOURNAL_SEGMENT_CLOSED, // a later segment holds a durable group
};

struct journal_index_entry {
    uint64_t lsn, offset; // a group begins here
};

// One file. In the table by number, without gaps: CLOSED... ACTIVE READY...
struct journal_segment_entry {
    uint64_t number, bytes;
    uint64_t first_lsn, last_lsn; // last_lsn == first_lsn - 1 when only empty groups are in it
    uint64_t first_group;
    uint64_t written; // offset behind the last durable group of this process; 0: not known
    enum journal_segment_state state;
    int file; // READY and opened for the writer; else -1
    uint32_t index_count;
    struct journal_index_entry index[JOURNAL_INDEX_MAX];
};

struct journal_table {
    struct lock lock;                      // held for look-ups and small changes, never over I/O
    struct journal_segment_entry *entries; // ring
    uint32_t capacity, first, count;
    uint64_t next_number; // housekeeper's
};

// A segment being zero-written, a piece a call.
struct journal_preparation {
    bool running;
    int file;
    uint64_t offset;
    uint64_t leave_bytes; // of the free space, to others
    bool no_space; // the last try found the file system full
    uint64_t retry_ns;
    unsigned char *header; // HF_BLOCK bytes, aligned
    unsigned char *zeros;
    size_t zeros_bytes;
};

// Table, with its lock held. i counts from the oldest.
struct journal_segment_entry *journal_table_at(struct journal_table *t, uint32_t i);
struct journal_segment_entry *journal_table_number(struct journal_table *t, uint64_t number);
// The used segment that holds lsn, or would hold it next; NULL when it is gone.
struct journal_segment_entry *journal_table_lsn(struct journal_table *t, uint64_t lsn);
void journal_index_note(struct journal_segment_entry *s, uint64_t lsn, uint64_t offset);

void journal_segment_name(uint64_t number, char name[STORAGE_NAME_BYTES]);
// The number in a segment's name; 0 when it is none.
uint64_t journal_segment_number(const char *name);
// Fills the 4,096 bytes of a segment's header.
void journal_segment_header_fill(void *block, struct hf_uuid engine, uint64_t number,
                                 uint64_t bytes);
// Makes one segment ready at once (start). HF_NO_SPACE, HF_IO.
enum hf_status journal_segment_prepare_now(struct journal *j);
bool journal_preparation_init(struct journal *j);
void journal_preparation_fini(struct journal *j);

// Block bytes that a segment with `blocks` free blocks is sure to take.
uint64_t journal_space_of(const struct journal *j, uint64_t blocks);
void journal_space_add(struct journal *j, uint64_t bytes);
// Before a group is written: it will take `taken` usable block bytes and redeem `body` bytes of
// credit. False, and nothing is done: it would eat into what is promised (never for a closed one).
// Claimed first and written then, so that no credit is granted out of it in between.
bool journal_space_claim(struct journal *j, uint64_t taken, uint64_t body, bool closed);

// -------------------------------------------------------------------------------- writer.c

struct journal_writer {
    // What was taken off the stack and is not staged yet.
    struct journal_burst *pending, *pending_newest;
    // The group that is being put together.
    unsigned char *staging; // header and body, HF_BLOCK-aligned
    uint32_t body, body_limit, records, crc;
    uint64_t staged_lsn; // of the first record after the staged ones
    bool blocked;        // needs a segment and none is ready
    // Where it goes.
    uint64_t segment; // 0: none yet
    uint64_t segment_bytes, offset;
    int file;
    // The last group.
    uint64_t number, checksum, time_ms, last_lsn;
    uint32_t last_records;
    uint64_t synced_ns;
};

// -------------------------------------------------------------------------------- scan.c

// A window on one file: whole blocks, read ahead.
struct journal_scan {
    struct storage *storage;
    int file; // -1: none
    uint64_t file_bytes;
    uint64_t written; // nothing to read from here on; 0: not known
    unsigned char *buffer; // HF_BLOCK-aligned
    size_t capacity;
    size_t ahead;   // bytes to read at a time; <= capacity
    uint64_t start; // offset of buffer[0] in the file
    size_t have;
};

bool journal_scan_init(struct journal_scan *s, struct storage *storage, size_t capacity);
void journal_scan_fini(struct journal_scan *s);
// Closes the file before, if any.
enum hf_status journal_scan_open(struct journal_scan *s, const char *name) HF_CHECKED;
void journal_scan_close(struct journal_scan *s);
void journal_scan_forget(struct journal_scan *s); // what was read may be stale
// Makes bytes [offset, offset + bytes) present; *at stays valid until the next load. HF_DAMAGED:
// the file ends before.
enum hf_status journal_scan_load(struct journal_scan *s, uint64_t offset, size_t bytes,
                                 unsigned char **at) HF_CHECKED;

// What a block is, seen as the first one of a group.
enum journal_block_kind {
    JOURNAL_BLOCK_NONE,    // no group begins here
    JOURNAL_BLOCK_BROKEN,  // the magic, but the checksum fails or the numbers are impossible
    JOURNAL_BLOCK_STALE,   // a group of this file's earlier life
    JOURNAL_BLOCK_FOREIGN, // another engine's
    JOURNAL_BLOCK_NEWER,   // a format this program does not know
    JOURNAL_BLOCK_GROUP,   // a group of this engine, segment and place
};
struct journal_place {
    struct hf_uuid engine;
    uint64_t segment, offset, file_bytes;
};
enum journal_block_kind journal_block_kind(const struct journal_group_header *h,
                                           const struct journal_place *at);

// The rest of a group whose header is good. NULL when all is well; else a sentence, and the offset
// in the group in *offset. `*intact` is true when the body's checksum held, so the group was
// written whole and what is wrong inside was wrong before. Takes the mask off the body, so a
// second check of the same group needs a fresh load (journal_scan_forget).
const char *journal_body_check(unsigned char *group, uint32_t *offset, bool *intact);
// Visits the records with lsn > after.
enum hf_status journal_body_visit(const unsigned char *group, uint64_t after, journal_visit visit,
                                  journal_ahead ahead, void *ahead_ctx,
                                  void *ctx);
// The mask that keeps the magic out of the further blocks; 0 nearly always.
uint64_t journal_mask_choose(const unsigned char *group, uint32_t body_bytes);
void journal_mask_apply(unsigned char *group, uint32_t body_bytes, uint64_t mask);

// -------------------------------------------------------------------------------- meta.c

struct journal_meta {
    struct hf_uuid engine_id;
    uint64_t sequence, epoch;
};
// HF_NOT_FOUND, HF_DAMAGED, HF_TOO_NEW, HF_IO.
enum hf_status journal_meta_read(struct storage *s, struct journal_meta *m,
                                 struct journal_report *report) HF_CHECKED;
enum hf_status journal_meta_create(struct storage *s, struct hf_uuid fresh_id,
                                   struct journal_meta *m) HF_CHECKED;
// Makes the epoch durable in the older slot.
enum hf_status journal_meta_raise(struct storage *s, struct journal_meta *m,
                                  uint64_t epoch) HF_CHECKED;

// -------------------------------------------------------------------------------- journal.c

struct journal_counters {
    _Atomic uint64_t groups, records, bytes_written, syncs, sync_ns_total, sync_ns_max;
    _Atomic uint64_t group_bytes_max, pressure_waits;
};

struct journal {
    // Written at set-up.
    struct journal_options o;
    uint32_t body_max;     // of one group
    uint32_t burst_blocks; // most that one burst takes as a group of its own
    int64_t margin;        // bytes
    struct journal_meta meta;
    uint64_t epoch; // that this process writes
    bool recovered, started;
    struct journal_producer_full *producers[HF_THREADS_MAX];
    uint32_t producer_count;

    // The burst stack: {newest burst, last LSN given out}. All producers and the writer.
    _Alignas(HF_CACHE_LINE) struct hf_word128 head;

    // Producers read it at each push, the writer when it goes to sleep.
    _Alignas(HF_CACHE_LINE) struct park writer_park;
    _Atomic uint32_t status; // enum hf_status; HF_OK, or why it stopped, for good

    // The writer publishes, everybody reads.
    _Alignas(HF_CACHE_LINE) _Atomic uint64_t durable;
    struct park durable_park;

    // Space. slack = usable - promised.
    _Alignas(HF_CACHE_LINE) _Atomic int64_t slack;
    _Atomic int64_t usable;
    _Atomic bool pressure;

    _Alignas(HF_CACHE_LINE) struct journal_table table;
    struct journal_preparation preparation;
    _Alignas(HF_CACHE_LINE) struct journal_writer writer;
    struct journal_counters counters;
};

// Stops the journal for good: the first reason stays. Wakes all who wait. Any thread.
void journal_stop(struct journal *j, enum hf_status why);
// Whole-block memory; NULL when there is none. free() it.
void *journal_blocks_alloc(size_t bytes);
void journal_report_say(struct journal_report *r, const char *where, uint64_t offset,
                        const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
