// The journal: one ordered, durable sequence of records per engine.
//
// Producers encode records into buffers of their own and push a whole buffer with one 128-bit
// compare-and-swap; that fixes the records' LSNs (1, 2, 3 ... over the engine's life). One writer
// takes all that was pushed, writes it as one group of 4 KiB blocks, syncs, and publishes the
// durable LSN. A group is written only after the one before it is synced.
//
// Life: create -> recover -> start -> (producers append, the writer steps) -> stop -> destroy.
// The caller supplies the threads: everything that blocks is a step function.
//
// Errors are final: after HF_IO or HF_DAMAGED the journal is stopped, appends answer BUSY, nothing
// more becomes durable, and the process must end and recover.
#ifndef HOLDFAST_JOURNAL_JOURNAL_H
#define HOLDFAST_JOURNAL_JOURNAL_H

#include "base/status.h"
#include "journal/record.h"
#include "sys/clock.h"
#include "sys/storage.h"

#include <stdint.h>

enum journal_mode {
    JOURNAL_SYNC,  // every group is synced before it counts as durable (default)
    JOURNAL_GROUP, // a group is written and synced when group_ms have passed since the last one,
                   // or when it is full; callers are told not to wait
    JOURNAL_NONE,  // never synced: for benchmarks
};

struct journal_options {
    struct storage *storage; // borrowed; outlives the journal
    struct clock *clock;     // borrowed
    uint64_t segment_bytes;  // file size of a segment, multiple of HF_BLOCK, >= 4 blocks.
                             // default 64 MiB
    uint32_t segments_max;   // at most that many segment files at once, >= 3. default 64
    uint32_t segments_ready; // zero-written ahead of the writer. default 2
    uint32_t group_bytes_max;  // body of one group, multiple of HF_BLOCK, >= buffer_bytes.
                               // default 1 MiB. Counts as buffer_bytes + HF_BLOCK if that is
                               // more; such a group must fit a segment
    uint32_t buffer_bytes;   // of one producer buffer, multiple of 64, >= 1,024; the largest
                             // record that can be appended. default 64 KiB
    uint32_t buffers_per_producer; // >= 2. default 8
    uint32_t producers_max;  // <= HF_THREADS_MAX
    enum journal_mode mode;
    uint32_t group_ms;       // for JOURNAL_GROUP
    uint32_t space_margin_blocks; // kept out of every credit: group overhead and lone syncs.
                                  // default 64
};
void journal_options_default(struct journal_options *o);

struct journal;

// The open part of a producer; the rest is the journal's. Only its thread touches it, through the
// functions below.
struct journal_producer {
    unsigned char *cursor; // where the next record goes
    uint32_t room;         // bytes left there
    uint32_t count;        // records since the last push, in the open buffer
};

// What a start found. Offsets and file names are for messages.
struct journal_report {
    uint64_t first_lsn, last_lsn;   // of what was replayed; last_lsn 0: nothing
    uint64_t groups, records, bytes;
    uint64_t epoch;                 // the one this start will write
    uint64_t engine_time_ms;        // of the last accepted group
    bool torn_tail;                 // an unfinished last group was cut
    char where[STORAGE_NAME_BYTES]; // file of the damage or of the cut
    uint64_t offset;                // in that file, bytes
    char why[160];                  // one sentence, empty when all is well
};

// Takes the folder's lock (it is given back with the storage, not with the journal); reads or (in
// an empty folder) makes the meta file with a new engine id from `fresh_id`. HF_LOCKED, HF_TOO_NEW,
// HF_DAMAGED (with report->where), HF_IO, HF_INVALID, HF_NO_MEMORY. Set-up, blocking.
enum hf_status journal_create(const struct journal_options *o, struct hf_uuid fresh_id,
                              struct journal **out, struct journal_report *report) HF_CHECKED;
void journal_destroy(struct journal *j); // after its threads have ended

// The engine's id (made at init) as the data folder's name in every header and file.
struct hf_uuid journal_engine_id(const struct journal *j);

// Called once a record, in LSN order. time_ms: engine time of its group. Anything but HF_OK ends
// the walk with that status. `r` is valid during the call only, 8-byte aligned, already checked.
typedef enum hf_status (*journal_visit)(void *ctx, uint64_t lsn, uint64_t time_ms,
                                        const struct journal_record *r);

// Shown the records that will be visited soon, so that what they touch can be fetched meanwhile:
// stage 0 some 32 records before the visit, stage 1 some sixteen. May be NULL. Not every record
// is shown.
typedef void (*journal_ahead)(void *ctx, const struct journal_record *r, unsigned stage);

// Walks all records with lsn > after that the folder holds, cuts a torn tail, syncs what it
// accepted. HF_DAMAGED when the middle is bad, a segment is missing, records right after `after`
// are gone, or the journal ends before `after`; HF_TOO_NEW; HF_IO; what visit answered. Once,
// before start. visit may be NULL.
enum hf_status journal_recover(struct journal *j, uint64_t after, journal_visit visit,
                               journal_ahead ahead, void *ctx,
                               struct journal_report *report) HF_CHECKED;

// Raises the epoch durably, makes the first segment ready, opens for appending. HF_NO_SPACE, HF_IO.
enum hf_status journal_start(struct journal *j) HF_CHECKED;

// ------------------------------------------------------------------------------- producers
// A producer belongs to one thread at a time. Created at set-up, owned by the journal.
struct journal_producer *journal_producer_create(struct journal *j);

// Continues journal_reserve and journal_has_room when the open buffer is short.
void *journal_reserve_next(struct journal_producer *p, uint32_t bytes);
bool journal_has_room_next(struct journal_producer *p, uint32_t bytes);

// Room for one record of `bytes` (a multiple of 8, 24..buffer_bytes): the caller writes every
// byte. Moves on to the next free buffer when the open one is short (both are pushed together, in
// order). NULL: no buffer is free now (BUSY). Wait-free.
static inline void *journal_reserve(struct journal_producer *p, uint32_t bytes)
{
    if (HF_UNLIKELY(bytes > p->room))
        return journal_reserve_next(p, bytes);
    void *at = p->cursor;
    p->cursor += bytes;
    p->room -= bytes;
    p->count++;
    return at;
}
// Whether journal_reserve is sure to grant `bytes` in all before the next push, whatever the sizes
// of the records, over the open and free buffers. Exact for the open buffer; with n free ones it
// is sure of the greater of: ceil(n / 2) buffers (any two neighbours hold more than one buffer's
// bytes), and n buffers that each lose the largest record at their end. False once the journal has
// stopped, at the next push at the latest; what was promised before is granted all the same.
static inline bool journal_has_room(struct journal_producer *p, uint32_t bytes)
{
    return HF_LIKELY(bytes <= p->room) || journal_has_room_next(p, bytes);
}
// Seals the record at `r`, already filled (units, type, flags, id, payload): computes its crc.
// Reads whole words: right after narrower stores to them that costs three times as much, so either
// write the frame and the payload as words, or seal a few records later.
static inline void journal_seal(struct journal_record *r)
{
    r->crc = journal_record_crc(r);
}
// Takes back the last reservation (nothing was reserved or pushed since).
static inline void journal_unreserve(struct journal_producer *p, uint32_t bytes)
{
    HF_DEBUG_ASSERT(p->count > 0);
    p->cursor -= bytes;
    p->room += bytes;
    p->count--;
}

// Pushes everything reserved since the last push. Returns the LSN of the first of `*count`
// records (0 and *count 0: there was none). Records keep their order. Lock-free; wakes the writer
// if it sleeps (at most one system call).
uint64_t journal_push(struct journal_producer *p, uint32_t *count);

// ------------------------------------------------------------------------------- durability
uint64_t journal_durable(const struct journal *j);  // any thread, wait-free
uint64_t journal_appended(const struct journal *j); // highest LSN given out; wait-free
// Blocks until durable >= lsn, the journal stopped (HF_STOPPED) or timeout_ms passed (HF_AGAIN).
// A clock that stands still ends the wait at the first wake-up. Any thread.
enum hf_status journal_wait(struct journal *j, uint64_t lsn, uint32_t timeout_ms);
enum hf_status journal_status(const struct journal *j); // HF_OK, or why it stopped; wait-free

// ------------------------------------------------------------------------------- the writer
// Writes and syncs at most one group, stamped with engine_time_ms. HF_OK: did one; HF_AGAIN: had
// nothing to do, waits for more to fill a block because space is short (or, in JOURNAL_GROUP, for
// its time), or needs a segment and journal_maintain has none ready: nothing is lost, and buffers
// are free again once their bytes wait in the group. An empty group vouches for the last one once
// the journal has been quiet (called with quiet = true); none is written out of promised space.
// HF_STOPPED: it had stopped before; any other: it stops now. One thread.
enum hf_status journal_writer_step(struct journal *j, uint64_t engine_time_ms, bool quiet);
// Sleeps until a producer pushes, or timeout_ms. The writer's thread.
void journal_writer_wait(struct journal *j, uint32_t timeout_ms);
// After a step that wrote: in JOURNAL_NONE, which no sync paces, sleeps for a millisecond unless
// more is waiting than fitted the group: groups become worth a system call. The writer's thread.
void journal_writer_pace(struct journal *j);

// ------------------------------------------------------------------------------- space
// Credits are bytes of record bodies as they will be appended. The journal counts a credit double,
// which covers block padding as long as blocks are at least half full; see docs/journal-format.md.
// The group that holds a record redeems its credit, so each appended byte needs one: records
// without would use up what is promised to others.
// take: false when free space less all that is promised would fall below the margin, or stopped.
bool journal_credit_take(struct journal *j, uint64_t bytes); // any thread, lock-free
void journal_credit_give(struct journal *j, uint64_t bytes); // unused credit back
// Credit for live holds found by recovery: never refused, may leave the journal over-promised
// (then takes fail until space is freed).
void journal_credit_force(struct journal *j, uint64_t bytes);
struct journal_space {
    uint64_t usable_bytes, promised_bytes; // both in block bytes
    uint32_t segments, segments_free;
    bool pressure; // lone records wait for company before they are synced
};
void journal_space(const struct journal *j, struct journal_space *out);

// Makes segments ready ahead of the writer and of what is promised, and recycles those that hold
// only records with lsn <= keep_after and are closed: the caller has them in a checkpoint and in
// the archive. One bounded piece a call (128 KiB of zeros, or one file recycled). Blocking; one
// housekeeping thread. HF_NO_SPACE and HF_NO_MEMORY are remembered and retried after a second, not
// final. Returns HF_OK if it did something, HF_AGAIN if not, HF_STOPPED; any other stops the
// journal.
enum hf_status journal_maintain(struct journal *j, uint64_t keep_after);
// From now on a new segment is only made when so much of the disk's free space is left beside it:
// for the files without which no segment would ever be free again. The housekeeping thread.
void journal_leave_free(struct journal *j, uint64_t bytes);

// ------------------------------------------------------------------------------- readers
// Reads the durable prefix while the journal runs: checkpointer, archive, flusher, watchers. Each
// belongs to one thread. A reader must be ahead of keep_after (else HF_NOT_FOUND). From recover on.
// HF_DAMAGED and HF_IO from a reader don't stop the journal: the caller decides.
struct journal_reader;
enum hf_status journal_reader_create(struct journal *j, uint64_t after,
                                     struct journal_reader **out) HF_CHECKED;
void journal_reader_destroy(struct journal_reader *r);
// From now on `ahead` is shown what the steps will visit, with the step's ctx.
void journal_reader_look_ahead(struct journal_reader *r, journal_ahead ahead);
// Visits the records of at most max_groups further groups. HF_AGAIN: nothing more is durable yet.
// When visit refuses a record (any other status ends the step with it), the next step begins there.
enum hf_status journal_reader_step(struct journal_reader *r, uint32_t max_groups,
                                   journal_visit visit, void *ctx);
// One record by its LSN out of the segments: copied to buffer (HF_RECORD_BYTES_MAX). Blocking.
// HF_NOT_FOUND: not durable yet, or in the archive only. HF_INVALID: the buffer is too small. Takes
// memory for the time of the call.
enum hf_status journal_read_one(struct journal *j, uint64_t lsn, struct journal_record *buffer,
                                uint32_t buffer_bytes);

// First LSN and last LSN of each closed segment, oldest first, for the archive. Returns the count,
// at most max. last_lsn is first_lsn - 1 when it holds empty groups only. A segment is closed when
// the next one holds a durable group.
struct journal_segment {
    uint64_t number, first_lsn, last_lsn;
    char name[STORAGE_NAME_BYTES];
};
uint32_t journal_closed_segments(struct journal *j, struct journal_segment *out, uint32_t max);
// Lowest LSN that the segments hold, or will: a reader can begin there until keep_after passes it.
uint64_t journal_oldest_lsn(struct journal *j);

// ------------------------------------------------------------------------------- offline tools
// Reads a folder without locking or changing it, from the oldest group on. Calls on_group for every
// accepted group and visit for every record (either may be NULL); fills the report, damage located
// to the byte. HF_NOT_FOUND: no meta file, or a file was recycled meanwhile.
struct journal_group_info {
    uint64_t number, epoch, first_lsn, time_ms, offset;
    uint32_t records, body_bytes;
    char segment[STORAGE_NAME_BYTES];
};
enum hf_status journal_inspect(struct storage *s,
                               void (*on_group)(void *ctx, const struct journal_group_info *g),
                               journal_visit visit, void *ctx, struct journal_report *report);

// Told of each place in a damaged journal: the byte, the record's LSN if it is known (else 0).
typedef void (*journal_damage)(void *ctx, const char *segment, uint64_t offset, uint64_t lsn,
                               const char *why);
// Visits every record with lsn > after that can still be read, before, between and behind the
// damage, in LSN order, never one that no start would accept in a whole folder. LSNs that are
// missing were unreadable. Reads all segments twice, changes nothing. Either may be NULL.
// HF_NOT_FOUND, HF_DAMAGED (no meta file: whose journal it is is not known), HF_TOO_NEW, HF_IO,
// what visit answered.
enum hf_status journal_salvage(struct storage *s, uint64_t after, journal_visit visit,
                               journal_damage damage, void *ctx);

// ------------------------------------------------------------------------------- metrics
struct journal_metrics {
    uint64_t groups, records, bytes_written, syncs, sync_ns_total, sync_ns_max, group_bytes_max;
    uint64_t pressure_waits;
};
void journal_metrics(const struct journal *j, struct journal_metrics *out); // any thread

#endif
