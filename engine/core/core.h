// The engine: decides reservations over shared stock, journals every decision, recovers exactly.
//
// Callers hand batches of requests to core_execute in any thread that owns a worker; the answers
// name a ticket (LSN), and an answer may leave the process once journal durability has reached it
// (core_wait, or core_durable). Time is an argument. The engine starts no thread: whoever composes
// it calls the step functions below (see api/daemon/node.h for the usual set of threads).
//
//   reservation:  PENDING -> HELD -> (CHANGING -> HELD)* -> ENDING -> COMMITTED|RELEASED|EXPIRED
//   order:        PENDING -> COMMITTED | REJECTED;   record (a fact): PENDING -> COMMITTED
//   retake:       EXPIRED -> CHANGING -> COMMITTED;  cancel, return: COMMITTED -> CHANGING -> same
//
// A cell: available = on hand - held - committed - external - safety + backorder, always.
#ifndef HOLDFAST_CORE_CORE_H
#define HOLDFAST_CORE_CORE_H

#include "base/limits.h"
#include "base/status.h"
#include "base/uuid.h"
#include "journal/archive.h"
#include "journal/journal.h"

#include <stdint.h>

struct core;
struct core_worker;

// --------------------------------------------------------------------------------- words

#define CORE_VERB_TABLE(X)                                                                         \
    X(RESERVE, "hold stock until a deadline")                                                      \
    X(ORDER, "reserve and commit at once")                                                         \
    X(RECORD, "book a sale that has already happened, even when short")                            \
    X(COMMIT, "turn a hold into a sale, whole or per line")                                        \
    X(RELEASE, "give a hold back, whole or per line")                                              \
    X(EXTEND, "move a hold's deadline; never to an earlier time")                                  \
    X(CANCEL, "take back a sale before shipment: stock comes back")                                \
    X(RETURN, "take back a sale after shipment: restock or scrap")
enum core_verb {
#define X(name, help) CORE_##name,
    CORE_VERB_TABLE(X)
#undef X
        CORE_VERB_COUNT
};

// remembered: the same request again gets the same outcome for the id window.
#define CORE_OUTCOME_TABLE(X)                                                                      \
    X(DONE, "taken, ended or changed as asked; remembered")                                        \
    X(REFUSED, "not enough available (orders: remembered); see the lines' shortfalls")             \
    X(EXPIRED, "the hold's deadline has passed and its stock is back")                             \
    X(WRONG_STATE, "the reservation's state does not allow this verb; see state")                  \
    X(CONFLICT, "this id was used with another body")                                              \
    X(UNKNOWN, "no such reservation")                                                              \
    X(EXCEEDS, "more than the reservation's line holds, or than was committed and not taken back") \
    X(IN_PROGRESS, "another request is deciding this id right now; retry")                         \
    X(NEEDS_RECALL, "the lines have left memory: core_recall, then the same request again")        \
    X(BUSY, "no room for now: ask again, with the same id, after retry_after_ms")                  \
    X(ID_TOO_OLD, "an unknown id whose own time lies before the window: never acts again")         \
    X(ID_IN_FUTURE, "an unknown id whose own time is ahead of the engine by more than the skew")   \
    X(INVALID, "bad input; see field and line")
enum core_outcome {
#define X(name, help) CORE_OUT_##name,
    CORE_OUTCOME_TABLE(X)
#undef X
        CORE_OUTCOME_COUNT
};

// What a BUSY answer was short of. The texts are for clients.
#define CORE_SHORT_TABLE(X)                                                                        \
    X(NOTHING, "")                                                                                 \
    X(SPACE, "no room in the journal for now: its disk or its segments are full, or wait for a "   \
             "checkpoint; ask again, with the same id, after retry_after_ms")                      \
    X(BUFFERS, "the journal's buffers are full for now: the disk is slower than requests come; "   \
               "ask again, with the same id, after retry_after_ms")                                \
    X(LAG, "the checkpointer is too far behind the journal for now; ask again, with the same id, " \
           "after retry_after_ms")                                                                 \
    X(IDS, "no room for further ids for now (ids_max); ask again, with the same id, after "        \
           "retry_after_ms")                                                                       \
    X(BLOCKS, "no room for further lines and texts for now (blocks_max); ask again, with the "     \
              "same id, after retry_after_ms")
enum core_short {
#define X(name, help) CORE_SHORT_##name,
    CORE_SHORT_TABLE(X)
#undef X
        CORE_SHORT_COUNT
};
const char *core_short_help(enum core_short s); // static text, any thread

#define CORE_FIELD_TABLE(X)                                                                        \
    X(NONE, "")                                                                                    \
    X(VERB, "verb")                                                                                \
    X(FLAGS, "flags")                                                                              \
    X(ID, "reservation_id")                                                                        \
    X(OPERATION_ID, "operation_id")                                                                \
    X(LINES, "lines")                                                                              \
    X(HANDLE, "lines.stock")                                                                       \
    X(INACTIVE, "lines.stock (not active)")                                                        \
    X(QUANTITY, "lines.quantity")                                                                  \
    X(TTL, "ttl_ms")                                                                               \
    X(CHANNEL, "channel")                                                                          \
    X(REFERENCE, "reference")                                                                      \
    X(BUYER, "buyer_key")                                                                          \
    X(TRACE, "trace_context")                                                                      \
    X(SKU, "sku")                                                                                  \
    X(LOCATION, "location")                                                                        \
    X(SCALE, "unit_scale")                                                                         \
    X(VALUE, "value")                                                                              \
    X(REASON, "reason")
enum core_field {
#define X(name, text) CORE_FIELD_##name,
    CORE_FIELD_TABLE(X)
#undef X
        CORE_FIELD_COUNT
};

#define CORE_STATE_TABLE(X)                                                                        \
    X(FREE)                                                                                        \
    X(PENDING)                                                                                     \
    X(HELD)                                                                                        \
    X(CHANGING)                                                                                    \
    X(ENDING)                                                                                      \
    X(COMMITTED)                                                                                   \
    X(RELEASED)                                                                                    \
    X(EXPIRED)                                                                                     \
    X(REJECTED)
enum core_state {
#define X(name) CORE_STATE_##name,
    CORE_STATE_TABLE(X)
#undef X
        CORE_STATE_COUNT
};

// Static text, any thread. Unknown codes yield "unknown".
const char *core_verb_name(enum core_verb v);
const char *core_outcome_name(enum core_outcome o);
const char *core_outcome_help(enum core_outcome o);
const char *core_field_name(enum core_field f);
const char *core_state_name(enum core_state s);

// --------------------------------------------------------------------------------- requests

enum core_flags {
    CORE_BEST_EFFORT = 1, // RESERVE, ORDER: each line takes what there is, up to its quantity;
                          // done when anything was taken
    CORE_RETAKE = 2,      // COMMIT: on an expired hold take the stock again, else EXPIRED. REFUSED
                          // when it is not there, or the cell is no longer active
    CORE_SCRAP = 4,       // RETURN: the goods come back unsellable: available does not change
};

struct core_line {
    uint32_t handle;
    uint32_t unused;  // zero
    int64_t quantity; // 1..HF_QUANTITY_MAX; lines of one cell add up; so does the whole request,
                      // to at most HF_QUANTITY_MAX
};

// What travels along and is journaled; every part may be empty.
struct core_text {
    const char *reference; // <= HF_REFERENCE_BYTES_MAX, UTF-8
    const char *buyer;     // <= HF_BUYER_BYTES_MAX, opaque
    const uint8_t *trace;  // 25 bytes or NULL: W3C trace id, parent id, flags
    uint8_t reference_bytes, buyer_bytes;
    const char *reason; // RELEASE alone looks at it, and at nothing else here: why, <=
                        // HF_REASON_BYTES_MAX, UTF-8. No part of what makes a repeat
    uint8_t reason_bytes;
};
#define CORE_TRACE_BYTES 25

struct core_line_answer {
    int64_t taken;     // RESERVE, ORDER: quantity of this line that was taken (of equal cells, the
                       // first line shows the sum, the others 0); else 0. Told again of a best
                       // effort: what it has now, 0 when its lines have left memory
    int64_t available; // the cell's available just after, advisory
    int64_t shortfall; // REFUSED: how much was missing for this cell (at the first line naming it);
                       // 0: enough
    uint64_t hint_ms;  // REFUSED: engine time at which a hold on this cell ends, 0: not known
};

struct core_request {
    enum core_verb verb;
    uint32_t flags;
    struct hf_uuid id;    // the reservation, chosen by the client: UUIDv7 (v4 for RESERVE when
                          // allowed)
    struct hf_uuid op_id; // EXTEND, CANCEL, RETURN, RELEASE with lines: UUIDv7; else nil
    const struct core_line *lines; // RESERVE, ORDER, RECORD, CANCEL, RETURN: 1..HF_LINES_MAX;
                                   // COMMIT, RELEASE: none means whole, else the quantities to
                                   // commit (the rest returns) or to give back (the rest stays)
    uint32_t line_count;
    uint32_t ttl_ms;              // RESERVE, EXTEND: 1..ttl_max_ms from now; else 0
    uint16_t channel;             // number of core_channel, 0: none. RESERVE, ORDER, RECORD
    const struct core_text *text; // NULL: none. RESERVE, ORDER, RECORD, RELEASE
    struct core_line_answer *line_answers; // NULL, or line_count entries of the caller's
};

struct core_answer {
    enum core_outcome outcome;
    enum core_state state; // the reservation's present state, where there is one
    enum core_field field; // INVALID
    uint32_t line;         // INVALID: index of the line; BUSY: enum core_short
    bool repeat;           // told again: decided earlier
    bool durable;          // mode sync: wait for the ticket; else false and no need to wait
    uint16_t version;      // of the reservation
    uint32_t retry_ms;     // BUSY, IN_PROGRESS
    uint64_t ticket;       // may be told once durable >= ticket; 0: at once
    uint64_t time_ms;      // HELD: the deadline; ended: the outcome's time (the recall's, when it
                           // was brought back). Engine time
};

// --------------------------------------------------------------------------------- set-up

#define CORE_SKEW_MS_MAX (24u * 3600 * 1000)
struct core_options {
    struct storage *storage; // borrowed; the data folder
    struct clock *clock;     // borrowed
    struct hf_uuid fresh_id; // engine id if the folder is new: random, from the caller
    uint64_t index_key[2];   // of the index of ids, in memory alone: random, from the caller, where
                             // clients choose ids. default 0
    uint32_t cells_max;      // default 1,000,000
    uint32_t ids_max;        // live reservations and remembered ids, of them 1/32, at most 512,
                             // for administration. default 4,000,000
    uint32_t blocks_max;     // 256-byte blocks for lines and text beyond one short line.
                             // default 1,000,000
    uint32_t workers_max;    // default 16, <= HF_THREADS_MAX - 2
    uint32_t window_ms;      // how long outcomes are remembered. default 24 h
    uint32_t window_min_ms;  // when memory is short. default 10 min
    uint32_t skew_ms;        // ids ahead of the engine's time, at most a day. default 5 min
    uint32_t ttl_max_ms;     // default 7 days
    uint32_t restart_grace_ms; // deadlines that passed or pass within it after a start move to
                               // start + grace; not journaled, the next start does so again.
                               // default 0
    bool allow_v4;           // v4 ids for RESERVE
    bool accept_clock;       // start although the wall clock contradicts the journal
    bool huge_pages;         // try. default true
    bool prefault;           // touch all memory at the start: no decision waits for a page, the
                             // start does. default false
    uint64_t checkpoint_bytes; // journal written since the last checkpoint that starts one.
                               // default 256 MiB
    uint32_t checkpoint_ms;    // or that much engine time, if anything was written. default 60 s
    uint64_t lag_max_bytes;    // the checkpointer behind by more: BUSY. default 16 GiB
    bool archive;            // keep closed segments as archive files. default true
    uint64_t retention_ms;   // of the archive. default 400 days
    bool outbox; // a reader posts movements elsewhere: what core_outbox_taken has not passed stays,
                 // in the archive or, without one, in segments. default false
    struct journal_options journal; // storage and clock are filled in by core. With a buffer_bytes
                                    // below HF_RECORD_BYTES_MAX the caller keeps orders narrower:
                                    // 48 + 32 bytes a line + 256 must fit, or the engine asserts
};
void core_options_default(struct core_options *o);

struct core_report {
    struct journal_report journal;
    char checkpoint[STORAGE_NAME_BYTES]; // file that was loaded, empty: none
    uint64_t checkpoint_lsn;
    uint64_t cells, live, remembered, id_files;
    uint64_t memory_bytes, memory_shadow_bytes;
    bool huge_pages;
    uint64_t load_ns, replay_ns, total_ns;
    char why[200]; // when it failed: one sentence that names file and offset
};

// Opens or makes the data folder, recovers, and is ready to serve. Blocking, set-up only.
// HF_INVALID (report->why names the option), HF_LOCKED, HF_DAMAGED, HF_TOO_NEW, HF_CLOCK,
// HF_FULL (the options are smaller than what the folder holds), HF_NO_MEMORY, HF_NO_SPACE, HF_IO.
enum hf_status core_open(const struct core_options *o, struct core **out,
                         struct core_report *report) HF_CHECKED;
// After all workers are destroyed and all steps have returned. Writes nothing: stopping is
// crashing.
void core_close(struct core *c);

// A worker belongs to one thread at a time; the calling thread is registered with it. At most
// workers_max. NULL when there are none left.
struct core_worker *core_worker_create(struct core *c);
void core_worker_destroy(struct core_worker *w); // by the thread that made it, outside a step

struct journal *core_journal(struct core *c);
struct archive *core_archive(struct core *c); // NULL when off

// The outbox reader has taken every movement up to lsn into its own durable state. Only rises; 0
// at the start. One thread, wait-free.
void core_outbox_taken(struct core *c, uint64_t lsn);

// Engine time, ms since 1970. Wait-free, any thread.
uint64_t core_now(struct core *c);
// HF_OK, or why the engine stopped. Wait-free.
enum hf_status core_status(const struct core *c);

// --------------------------------------------------------------------------------- decisions

// Decides count <= HF_BATCH_MAX requests, in order for equal ids. Lock-free, no allocation, no
// system call but at most one wake of the writer per 32 requests. Every request gets its answer
// in memory; tell it when durable. now_ms is engine time.
void core_execute(struct core_worker *w, uint64_t now_ms, const struct core_request *requests,
                  struct core_answer *answers, uint32_t count);

// Mode sync: answers wait for their tickets. Any thread.
bool core_answers_wait(const struct core *c);
static inline uint64_t core_durable(struct core *c)
{
    return journal_durable(core_journal(c));
}
// Blocks until an answer with this ticket may be told. HF_AGAIN on time-out, HF_STOPPED.
enum hf_status core_wait(struct core *c, uint64_t ticket, uint32_t timeout_ms);

// Brings a reservation's lines back into memory from journal or archive, for NEEDS_RECALL.
// Blocking. HF_NOT_FOUND: no such reservation was ever committed; HF_BUSY: no memory now, or in
// progress; HF_IO, HF_DAMAGED.
enum hf_status core_recall(struct core_worker *w, uint64_t now_ms, struct hf_uuid id);

// --------------------------------------------------------------------------------- reading

struct core_view {
    struct hf_uuid id;
    enum core_state state;
    enum core_verb verb;  // RESERVE, ORDER or RECORD
    uint16_t version, channel;
    uint32_t line_count;  // lines in memory now; 0 with lines_away: they have left memory
    bool lines_away;
    uint64_t time_ms, ticket;
    char reference[HF_REFERENCE_BYTES_MAX + 1]; // while in memory with lines
    char buyer[HF_BUYER_BYTES_MAX + 1];
    uint8_t trace[CORE_TRACE_BYTES];
    bool has_trace;
};
// Lines: HELD: what is held; COMMITTED: what was committed and not taken back. lines may be NULL.
// A hold past its deadline is ended first. HF_NOT_FOUND; HF_AGAIN: in progress. Tell the answer
// when durable >= view->ticket.
enum hf_status core_get(struct core_worker *w, uint64_t now_ms, struct hf_uuid id,
                        struct core_view *view, struct core_line *lines, uint32_t lines_max);

struct core_filter {
    bool by_handle, by_state, by_channel;
    uint32_t handle;
    enum core_state state;
    uint16_t channel;
    const char *reference;   // NULL: any; exact otherwise
    const uint32_t *handles; // handle_count of them, ascending: on any of these; NULL: not asked
    uint32_t handle_count;
    uint32_t looks_max; // reservations that one call looks at; 0: as many as it takes
};
// Scans memory from *cursor (0 first), in no promised order; at most max views. Returns how many;
// *cursor is 0 when the end was reached. Not on any hot path: O(ids_max) over all pages, and over a
// single one that finds little, unless looks_max bounds it. Holds past their deadline are ended
// first; what is undecided at the moment is left out. An ended reservation whose lines have left
// memory has neither cells nor reference here: see core_find_reference.
uint32_t core_list(struct core_worker *w, const struct core_filter *f, uint64_t *cursor,
                   struct core_view *views, uint32_t max);
// Ids of the reservations, orders and facts that carried this reference, oldest first, as far back
// as the archive reaches: fills up to max, *count is how many there are. What is not durable yet is
// not among them. Blocking, reads files; outside any step. HF_NOT_FOUND: none; HF_INVALID; HF_BUSY:
// segments moved too fast, ask again; HF_IO, HF_DAMAGED, HF_NO_MEMORY.
enum hf_status core_find_reference(struct core *c, const char *reference, uint32_t bytes,
                                   struct hf_uuid *ids, uint32_t max, uint32_t *count);

struct core_cell {
    int64_t available, on_hand, held, committed, external, safety, backorder;
    bool active;
    uint8_t scale; // decimal places of the unit
    bool unsettled; // an administrative change was in progress all the while
};
// One cell, adding up. HF_NOT_FOUND for a handle that was never given out. Wait-free.
enum hf_status core_cell_read(struct core *c, uint32_t handle, struct core_cell *out);
// The sum of a SKU's cells, each adding up (no snapshot across them), and how many there are.
// active: any is; unsettled: any is. A cell that is below zero lessens the sum: what can be sold
// somewhere may be more. HF_NOT_FOUND: no cell of this SKU. Wait-free, O(cells of the SKU).
enum hf_status core_sku_totals(struct core *c, const char *sku, uint32_t sku_bytes,
                               struct core_cell *out, uint32_t *cells);

// --------------------------------------------------------------------------------- the directory

// Handle of a pair of names. HF_NOT_FOUND. Wait-free, any thread.
enum hf_status core_find(struct core *c, const char *sku, uint32_t sku_bytes, const char *location,
                         uint32_t location_bytes, uint32_t *handle);
struct core_name {
    const char *sku, *location; // not terminated; live as long as the engine
    uint8_t sku_bytes, location_bytes;
};
enum hf_status core_cell_name(struct core *c, uint32_t handle, struct core_name *out);
uint32_t core_cell_count(struct core *c); // handles 0 .. count-1 exist
uint64_t core_generation(struct core *c); // of the directory
// Cells of one SKU, one per location: up to max handles, returns how many there are.
uint32_t core_sku_cells(struct core *c, const char *sku, uint32_t sku_bytes, uint32_t *handles,
                        uint32_t max);
enum hf_status core_channel_find(struct core *c, const char *name, uint32_t bytes,
                                 uint16_t *channel);
const char *core_channel_name(struct core *c, uint16_t channel); // NULL: unknown

// --------------------------------------------------------------------------------- administration

// One at a time under a mutex, outside the lock-free promise; the worker gives journal buffers.
// Every answer is told when durable >= ticket. Outcomes: DONE, INVALID, CONFLICT, IN_PROGRESS (a
// verb is deciding an operation of this id), BUSY, ID_*,
// REFUSED (compare-and-set failed: `value` is what it is).
struct core_admin_answer {
    enum core_outcome outcome;
    enum core_field field;
    bool repeat;
    uint64_t ticket;
    uint32_t handle;
    int64_t value; // the new (or, refused, the present) value
};

// Makes a cell, or finds it. Its handle is told when durable. CONFLICT: the cell, or another one of
// the SKU, has another scale. BUSY with field SKU: cells_max is used up.
void core_cell_make(struct core_worker *w, uint64_t now_ms, const char *sku, uint32_t sku_bytes,
                    const char *location, uint32_t location_bytes, uint8_t scale,
                    struct core_admin_answer *out);
void core_channel_make(struct core_worker *w, uint64_t now_ms, const char *name, uint32_t bytes,
                       struct core_admin_answer *out); // handle is the channel's number

#define CORE_SETTING_TABLE(X)                                                                      \
    X(ON_HAND, "corrected stock; Odoo is told the difference")                                     \
    X(SAFETY, "safety stock, >= 0")                                                                \
    X(BACKORDER, "backorder limit, >= 0")                                                          \
    X(EXTERNAL, "Odoo's own open demand, >= 0")                                                    \
    X(ACTIVE, "1: may be taken, 0: refused")
enum core_setting {
#define X(name, help) CORE_SET_##name,
    CORE_SETTING_TABLE(X)
#undef X
        CORE_SETTING_COUNT
};
struct core_change {
    struct hf_uuid op_id; // v7; a repeat with the same body acts once
    uint32_t handle;
    enum core_setting setting;
    bool relative; // ON_HAND only: value is a difference (Adjust), else the new value (Set)
    bool compare;  // only if the present value is `expected`
    int64_t value, expected;
    const char *reason; // <= HF_REASON_BYTES_MAX, may be NULL
};
// A fact: may drive available below zero. on hand stays in -HF_QUANTITY_MAX..HF_QUANTITY_MAX.
void core_change(struct core_worker *w, uint64_t now_ms, const struct core_change *change,
                 struct core_admin_answer *out);

// Odoo has taken over `quantity` sold units of each line: on hand and committed fall together.
// Quantities may be negative (returns posted). op_id as above.
void core_acknowledge(struct core_worker *w, uint64_t now_ms, struct hf_uuid op_id,
                      const struct core_line *lines, uint32_t count,
                      struct core_admin_answer *out);

// --------------------------------------------------------------------------------- steps
// Each belongs to one thread at a time; segments, checkpoint and archive to the same one. HF_OK:
// did something; HF_AGAIN: nothing to do now; anything else: the engine has stopped.

// Writes and syncs one group. quiet: nothing was pushed for a while.
enum hf_status core_step_writer(struct core *c, bool quiet);
// Ends holds past their deadline, forgets what left the window, moves the floor, keeps time.
// At most `budget` slots. Call at least every 2 ms for the 10 ms promise. Waits for grace periods:
// its thread is registered with engine/rcu and outside a step.
enum hf_status core_step_timers(struct core *c, uint64_t now_ms, uint32_t budget);
// Makes segments ready and recycles them.
enum hf_status core_step_segments(struct core *c);
// A reader of the journal outside the engine has applied every record up to lsn: segments that hold
// later ones are kept for it, as long as they are no more than a quarter of segments_max (at least
// 1, at most CORE_FOLLOW_SEGMENTS_MAX) beyond what the engine keeps for itself, and as long as no
// request is refused for want of room. Then it is let go, with a line in the log, and its reader
// meets HF_NOT_FOUND. UINT64_MAX: nobody follows, as after the start. Any one thread; wait-free.
#define CORE_FOLLOW_SEGMENTS_MAX 64
void core_follow(struct core *c, uint64_t lsn);
// Follows the journal into the shadow; writes checkpoints and id files. budget: groups or, while
// writing, 64 KiB pieces.
enum hf_status core_step_checkpoint(struct core *c, uint64_t now_ms, uint32_t budget);
// Archives closed segments. A thread of its own, or that of the checkpoints.
enum hf_status core_step_archive(struct core *c, uint64_t now_ms);

// True when the checkpointer or the archive is so far behind that decisions will soon be BUSY: the
// threads of these steps, which else stand back, take their full share. Any thread.
bool core_pressed(const struct core *c);

// True when a worker has been inside one core_execute batch for more than `ticks` calls of this
// function (call once every 100 ms; 10 ticks = 1 s): the caller ends the process.
bool core_watchdog(struct core *c, uint32_t ticks);

// --------------------------------------------------------------------------------- metrics

#define CORE_METRIC_TABLE(X)                                                                       \
    X(decisions, "requests answered, by any outcome")                                              \
    X(done, "requests with outcome DONE")                                                          \
    X(refused, "requests refused for stock")                                                       \
    X(repeats, "answers told again")                                                               \
    X(busy, "requests refused for room of any kind")                                               \
    X(busy_space, "of them, for room on the journal's disk or in its segments")                    \
    X(busy_buffers, "of them, for room in the journal's buffers: the disk is slow")                \
    X(busy_lag, "of them, because the checkpointer is too far behind")                             \
    X(busy_ids, "of them, for room for ids (ids_max)")                                             \
    X(busy_blocks, "of them, for room for lines and texts (blocks_max)")                           \
    X(invalid, "bad input")                                                                        \
    X(in_progress, "requests that met an undecided id")                                            \
    X(expired, "holds ended by their deadline")                                                    \
    X(forgotten, "ids that left the window")                                                       \
    X(helped, "multi-line takes finished for another thread")                                      \
    X(cas_retries, "takes that met another writer of the cell")
struct core_metrics {
#define X(name, help) uint64_t name;
    CORE_METRIC_TABLE(X)
#undef X
    uint64_t ids_used, ids_max, blocks_used, blocks_max;
    uint64_t floor_ms, window_ms;      // the oldest id time still accepted; the window in force
    uint64_t expiry_lag_ms_max;        // worst since start
    uint64_t checkpoint_lsn, shadow_lsn, archive_lsn, checkpoints;
    uint64_t follow_lsn, follow_lost;  // UINT64_MAX: nobody follows; times that it was let go
    uint64_t compared;                 // times that shadow and live state were found equal
};
void core_metrics(struct core *c, struct core_metrics *out); // any thread

#endif
