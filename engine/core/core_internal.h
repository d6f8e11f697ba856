// What the files of engine/core share. See execute.c for the order of every operation.
#ifndef HOLDFAST_CORE_INTERNAL_H
#define HOLDFAST_CORE_INTERNAL_H

#include "core/core.h"
#include "core/record.h"
#include "stock/stock.h"
#include "sys/lock.h"

#define CORE_CHUNK       32   // requests decided, and appended, together
#define CORE_DUE_MAX     64   // slots whose time has come, handled together
#define CORE_EFFECTS_MAX (4 * HF_LINES_MAX)
#define CORE_TEXT_WORDS  40   // reference, buyer, trace and their lengths, at most 124 bytes
#define CORE_IDS_KEPT_MAX 512 // ids kept for administration
#define CORE_FORGET_MAX  4096 // slots unlinked before a grace period is waited for

// Kinds of slots: what the id names.
enum core_kind { KIND_NONE, KIND_HOLD, KIND_ORDER, KIND_FACT, KIND_OPERATION };

// One decision on its way from the swap to the answer. Everything here happens after the push.
struct core_pend {
    uint32_t request;   // index in the chunk; UINT32_MAX: an expiry, nobody asked
    uint32_t slot;      // the reservation
    uint32_t operation; // slot of the operation, 0: none
    uint32_t record;    // ordinal in this push
    uint32_t effects, effect_count; // to publish, from worker->effects
    uint64_t word;      // the slot's word afterwards
    uint64_t time_ms;   // deadline or outcome time afterwards
    uint32_t wheel_at;  // 1: newly decided, to be put on the wheel
    uint32_t next_same; // chain of undecided takes of one cell, index + 1
    enum core_outcome outcome;
    bool undecided;     // a single-line take that waits to be combined
    bool drop_lines;    // the lines leave memory
};

struct core_stats {
#define X(name, help) uint64_t name;
    CORE_METRIC_TABLE(X)
#undef X
};

struct core_worker {
    struct core *core;
    struct stock_thread thread;
    struct journal_producer *producer;
    uint64_t credit;      // bytes of record bodies that may still be appended
    uint64_t beat;        // odd while inside a step; for the watchdog
    uint64_t beat_seen;
    uint32_t beat_ticks;
    uint32_t number;
    bool used;
    // The chunk in hand:
    uint64_t now_ms;
    enum core_short shortage; // what was missing when room was last asked for in vain
    const struct core_request *requests;
    struct core_answer *answers;
    uint32_t record_count; // since the last push
    uint32_t undecided_bytes; // journal room that undecided takes will need
    uint32_t undecided_blocks; // blocks for their lines
    uint64_t undecided_credit; // and credit: their records and the ends they will keep back
    uint32_t pend_count;
    struct core_pend pends[CORE_CHUNK];
    uint8_t same_cell[64]; // cell hash -> first undecided pend of it, index + 1
    uint32_t effect_count;
    struct core_record_line effects[CORE_EFFECTS_MAX];
    struct stock_take takes[HF_LINES_MAX];
    struct stock_line lines[HF_LINES_MAX];
    struct stock_line asked[HF_LINES_MAX];
    struct core_stats stats;
};

struct core_time_line {
    int64_t from_ns, engine_ns; // engine time at this reading of the monotonic clock
    int64_t slew_ns;            // to be gained (or lost) from there on
};
struct core_time {
    uint64_t count; // atomic; low bit: the line in force
    struct core_time_line lines[2];
    int64_t slewed_at_ns; // timers' thread
};

#define CORE_CELLS_UNTOLD 4096 // cells that are made and not durable yet; beyond it BUSY

// A count of the outcomes by how long they have been kept beyond the skew, in equal parts of the
// window; the last count: longer than the window.
#define CORE_AGES 256
struct core_ages {
    uint64_t at_ms;     // when it was begun
    uint32_t next;      // slot to look at; 0: none is being made
    uint32_t window_ms; // then
    uint32_t counts[CORE_AGES + 1];
};

struct core_shadow; // checkpoint.c

struct core {
    struct core_options options;
    struct journal *journal;
    struct archive *archive;
    struct stock stock;
    struct hf_uuid engine_id;
    struct core_time time;
    uint64_t floor_ms;         // atomic: what decisions go by
    uint64_t floor_ticket;     // atomic: its record; 0: not appended, or known to be durable
    uint64_t floor_durable_ms; // atomic
    uint32_t window_ms;        // in force; atomic
    uint32_t lagging;          // atomic: the checkpointer is too far behind
    uint32_t starved;          // atomic: a credit was refused; a checkpoint would free segments
    uint32_t status;           // atomic enum hf_status
    uint32_t cell_count;       // atomic: handles below it may be used
    uint32_t cell_durable;     // atomic: handles below it may be told
    uint64_t cell_tickets[CORE_CELLS_UNTOLD]; // atomic: of the newest cells, by handle
    uint32_t credit_chunk;
    struct lock admin;
    struct lock folder; // while it is listed, the archive changes no name
    struct core_worker *workers; // workers_max, then the timers' own
    struct core_worker *timers;
    uint64_t expiry_lag_ms_max;
    uint32_t forget_count;
    uint64_t forget_since_ms;
    uint32_t forget[CORE_FORGET_MAX];
    uint64_t grown_at_ms;    // when the window last grew, or could have
    uint64_t count_at_ms;    // the next count not before
    uint64_t sweep_floor_ms; // once it is durable the wheel is to be swept; 0: it is not
    uint32_t sweep_left;     // places of that sweep
    struct core_ages ages;
    struct core_shadow *shadow;
    uint64_t checkpoint_lsn, checkpoints, compared; // atomic copies for metrics
    uint64_t keep_after; // atomic: no start needs records up to here
    uint64_t follow_lsn; // atomic: core_follow
    uint64_t follow_lost; // atomic copy for metrics
    uint32_t id_files_max; // that a checkpoint names at most; CORE_ID_FILES_MAX, less in tests
    uint64_t shadow_lsn;
    uint64_t outbox_taken; // atomic: see core_outbox_taken
};

// ------------------------------------------------------------------- time.c
enum hf_status core_time_start(struct core *c, uint64_t journaled_ms);
enum hf_status core_time_step(struct core *c);
void core_stop(struct core *c, enum hf_status why);

// ------------------------------------------------------------------- execute.c
void worker_init(struct core *c, struct core_worker *w, uint32_t number);
void worker_step_begin(struct core_worker *w, uint64_t now_ms);
void worker_step_end(struct core_worker *w);
// Appends what is encoded, publishes, finishes slots and answers.
void worker_flush(struct core_worker *w);
// True when the slot is being decided by this very chunk.
bool worker_owns(const struct core_worker *w, uint32_t slot);
struct core_pend *pend_add(struct core_worker *w, uint32_t request, uint32_t slot);
void pend_effect(struct core_worker *w, struct core_pend *p, uint32_t handle, enum core_role role,
                 int64_t quantity);
// Room and credit for a record of `bytes` and for `kept` bytes of a later end: taken from the
// journal if need be. False: BUSY. Nothing is used up yet.
bool worker_afford(struct core_worker *w, uint64_t bytes, uint64_t kept);
// The checkpointer is too far behind for anything new.
bool lags(struct core_worker *w);
// Room alone: the credit was kept back.
bool worker_has_room(struct core_worker *w, uint64_t bytes);
// When an ended slot may be forgotten.
uint64_t forget_at(const struct core *c, uint64_t outcome_ms);
// Answers without a decision.
void answer_plain(struct core_answer *a, enum core_outcome outcome);
// BUSY, for what was missing just now.
void answer_busy(const struct core_worker *w, struct core_answer *a);
void answer_invalid(struct core_answer *a, enum core_field field, uint32_t line);
// Tells the reservation's present state; outcome DONE unless told otherwise.
void answer_slot(struct core_worker *w, struct core_answer *a, const struct stock_slot *s,
                 enum core_outcome outcome, bool repeat);
// An unknown id by its own time: OUT_DONE when it may act.
enum core_outcome id_admissible(const struct core *c, struct hf_uuid id, uint64_t now_ms,
                                bool allow_v4);
// Makes a slot PENDING under this id. 0: see *outcome: BUSY, or *found is the slot that has it, or
// an ID_ outcome.
uint32_t slot_claim(struct core_worker *w, struct hf_uuid id, uint64_t hash, enum core_kind kind,
                    uint64_t body_hash, bool v4, uint32_t *found, enum core_outcome *outcome);
// A PENDING slot that came to nothing: skipped by look-ups, forgotten soon.
void slot_abandon(struct core_worker *w, uint32_t slot);

// ------------------------------------------------------------------- encode.c
struct encode {
    enum core_record_type type;
    unsigned flags;
    struct hf_uuid id;
    uint16_t version, channel;
    uint32_t ttl_ms;
    uint64_t body_hash, time_ms;
    const struct core_record_line *lines;
    uint32_t line_count;
    const struct core_record_op *op;
    const struct core_text *text;
    const char *reason;
    uint8_t reason_bytes;
};
uint32_t text_bytes(const struct core_text *t, uint32_t reason_bytes);
static inline uint32_t record_bytes(uint32_t lines)
{
    return (uint32_t)sizeof(struct core_record) + lines * (uint32_t)sizeof(struct core_record_line);
}
// What a live hold keeps back: a commit that names two roles a line.
static inline uint32_t end_bytes(uint32_t lines)
{
    return record_bytes(2 * lines);
}
// Bytes of why a Release happens, 0: it does not say.
static inline uint8_t reason_bytes(const struct core_request *r)
{
    return r->verb == CORE_RELEASE && r->text ? r->text->reason_bytes : 0;
}
void op_part(struct core_record_op *part, struct hf_uuid op_id, const struct stock_slot *s);
uint32_t encode_bytes(const struct encode *e);
// Writes the record into the worker's buffer (room is there) and pays for it.
void encode_record(struct core_worker *w, const struct encode *e);
// The same without a worker's credit.
void encode_at(const struct encode *e, void *at, uint32_t bytes);
// A record of one line, composed in registers: checksummed while it is stored.
static inline void encode_words(uint64_t *at, const uint64_t words[8])
{
    uint64_t crc = hf_crc32c_step_half(UINT32_MAX, (uint32_t)(words[0] >> 32));
    for (int k = 1; k < 8; k++) {
        crc = hf_crc32c_step(crc, words[k]);
        at[k] = words[k];
    }
    at[0] = words[0] | (uint32_t)~crc;
}
// Text as it is kept in memory beside the lines: lengths, then bytes. Returns its length.
uint32_t text_pack(const struct core_text *t, uint8_t packed[CORE_TEXT_WORDS * 4]);
void text_unpack(const uint8_t *packed, uint32_t bytes, struct core_view *view);

// ------------------------------------------------------------------- lines.c
// Sorted by cell, equal cells added up; `unused` is the index of the cell's first line.
uint32_t lines_merge(const struct core_line *lines, uint32_t count, struct stock_take *out);
static inline uint64_t body_seed(unsigned kind, unsigned flags, uint32_t ttl_ms)
{
    return hf_mix64(((uint64_t)ttl_ms << 32) | (flags << 8) | kind);
}
static inline uint64_t body_hash_one(uint64_t seed, uint32_t cell, int64_t quantity)
{
    return hf_mix64(seed ^ hf_mix64(((uint64_t)cell << 32) ^
                                    (uint64_t)quantity * UINT64_C(0x9e3779b97f4a7c15)));
}
uint64_t body_hash(unsigned kind, unsigned flags, uint32_t ttl_ms, const struct stock_take *takes,
                   uint32_t count);
// Checks ids, lines, text; false after having answered INVALID.
bool request_valid(const struct core *c, const struct core_request *r, struct core_answer *a);
bool op_id_valid(struct hf_uuid id);

// ------------------------------------------------------------------- verbs
void take_request(struct core_worker *w, uint32_t i, uint64_t hash); // take.c
void take_decide_combined(struct core_worker *w);
void take_refuse_told(struct core_worker *w, const struct core_request *r,
                      const struct stock_take *takes, uint32_t count); // line answers of a refusal
void take_hint(struct stock_cell *cell, uint64_t now_ms, uint64_t deadline_ms);
// Requests of the commonest form, when the whole chunk has it. Sets bits of *rest for those that
// must go the general way afterwards. False: nothing was done.
bool narrow_chunk(struct core_worker *w, uint32_t count, uint32_t *rest); // narrow.c
void end_request(struct core_worker *w, uint32_t i, uint64_t hash); // end.c
// Ends a hold past its deadline. False: someone else has it, or BUSY.
bool end_expire(struct core_worker *w, uint32_t slot);
void change_request(struct core_worker *w, uint32_t i, uint64_t hash); // change.c
// Up to CORE_DUE_MAX slots whose time has come, all appended and published when it returns. Those
// that are off the index now, and need a grace period, go to *gone; returns how many. The rest are
// on the wheel again. The timers' worker, inside a step.
uint32_t due_pass(struct core_worker *w, const uint32_t *slots, uint32_t count,
                  uint32_t *gone); // due.c

// ------------------------------------------------------------------- window.c
// The timers' thread. How far the floor moves at a time, and a window is measured.
uint32_t window_granularity(const struct core *c);
void window_start(struct core *c, uint64_t now_ms); // the floor is known
void window_step(struct core *c, uint64_t now_ms);  // narrower or wider, as memory allows
// Takes lists before their time if there may be something to forget. Nothing else has come up.
// False: nothing to look for.
bool window_sweep(struct core *c);

// ------------------------------------------------------------------- replay.c
struct replay {
    struct stock *stock;
    struct stock_thread *thread;
    uint64_t lsn, time_ms, floor_ms;
    uint32_t skew_ms;
    uint64_t records;
    bool stuck; // the pool is empty; the record was not applied
    char why[160];
};
// Applies one record. HF_FULL: no slot, block or cell left (stuck); HF_DAMAGED.
enum hf_status replay_record(struct replay *r, uint64_t lsn, uint64_t group_time_ms,
                             const struct journal_record *record);
// Fetches what a record will touch (journal_ahead, with the replay itself).
void replay_ahead(const struct replay *r, const struct journal_record *record, unsigned stage);
// Drops every ended id that the floor lets go. Returns how many.
uint32_t replay_forget(struct replay *r);
void replay_drop_slot(struct replay *r, uint32_t slot);

// ------------------------------------------------------------------- compare.c
enum { CORE_COMPARE_CELLS, CORE_COMPARE_SHADOW, CORE_COMPARE_LIVE, CORE_COMPARE_DONE };
struct core_compare {
    uint64_t lsn;   // what is compared, both sides there
    unsigned part;  // cells, the shadow's holds, the engine's
    uint64_t at;    // next cell or slot
    uint32_t looks; // at a difference that has stayed
    uint64_t looked_ms;
};
// One piece. The checkpointer's thread, when it has followed up to `lsn`. HF_AGAIN: nothing to do
// now; HF_DAMAGED: a difference that lasts.
enum hf_status compare_step(struct core *c, const struct stock *shadow, uint64_t lsn,
                            uint64_t now_ms, struct core_compare *m);

// ------------------------------------------------------------------- checkpoint.c and files.c
#define CORE_CHECKPOINT_KIND "HFCKPT\0"
#define CORE_IDS_KIND        "HFIDS\0\0"
#define CORE_FILE_VERSION    1
#define CORE_ID_FILES_MAX    65536

struct core_id_file {
    uint64_t lsn, time_max_ms;
};
struct core_id_files {
    struct core_id_file *files;
    uint32_t count;
};
struct core_checkpoints { // the two newest that are whole
    uint64_t lsn[2];
    uint32_t count;
};
void checkpoint_name(uint64_t lsn, char name[STORAGE_NAME_BYTES]);
void id_file_name(uint64_t lsn, char name[STORAGE_NAME_BYTES]);
// Loads the newest whole checkpoint into r (an empty stock).
enum hf_status checkpoint_load(struct core *c, struct replay *r, struct core_checkpoints *kept,
                               struct core_id_files *files, struct core_report *report);
// Takes its memory; the newest of `kept` is loaded by the first steps, while decisions are made.
enum hf_status shadow_create(struct core *c, const struct core_checkpoints *kept);
void shadow_destroy(struct core *c);
uint64_t shadow_bytes(const struct core *c);
// The most that the files of the next checkpoint may take, when the journal's segments and one
// more have been filled by then.
uint64_t shadow_files_bytes(struct core *c);

// ------------------------------------------------------------------------------- read.c
// Of one of the newest cells; of an older one, that of a later cell.
static inline uint64_t cell_ticket(const struct core *c, uint32_t handle)
{
    return hf_load_acquire(&c->cell_tickets[handle % CORE_CELLS_UNTOLD]);
}
bool cell_told(struct core *c, uint32_t handle); // it exists and its record is durable; any thread

#endif
