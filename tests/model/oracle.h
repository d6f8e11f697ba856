// The engine as a slow, obvious state machine: what every request ought to do.
//
// Written from the promises, not from the engine. One thread, plain arrays, one table from id to
// place. A decision that took effect is an event with its LSN; applying events 1..n in LSN order
// gives the state as of n, so the state after a crash is a rebuild from the prefix that survived.
//
// A judgement is a set of verdicts, because some answers are free: past its deadline a hold may
// still be committed or may have expired, an old outcome may have been forgotten or not.
#ifndef HOLDFAST_TESTS_MODEL_ORACLE_H
#define HOLDFAST_TESTS_MODEL_ORACLE_H

#include "core/core.h"

#include <stdbool.h>
#include <stddef.h>

enum oracle_event_kind {
    ORACLE_CELL,
    ORACLE_CHANNEL,
    ORACLE_TAKE,        // RESERVE, ORDER or RECORD; lines: what was taken
    ORACLE_REJECT,      // ORDER refused
    ORACLE_COMMIT,      // of a live hold; lines: what was committed
    ORACLE_RETAKE,      // of an expired hold; lines: what was committed
    ORACLE_RELEASE,     // whole; no lines
    ORACLE_RELEASE_PART, // lines: what was given back
    ORACLE_EXPIRE,
    ORACLE_EXTEND,
    ORACLE_CANCEL,
    ORACLE_RETURN,
    ORACLE_CHANGE, // setting, value (the new one)
    ORACLE_ACKNOWLEDGE,
    ORACLE_EVENT_KINDS
};

struct oracle_event {
    uint64_t lsn, time_ms;
    enum oracle_event_kind kind;
    enum core_verb verb;
    uint32_t flags, ttl_ms;
    uint16_t channel, version; // version: as answered, 0 when not told
    struct hf_uuid id, op_id;
    uint64_t body_hash;
    bool whole;              // COMMIT, RELEASE without lines
    struct core_line *lines; // owned; merged and sorted by handle
    uint32_t line_count;
    struct core_line *ends; // owned; what a hold still held when this ended it
    uint32_t end_count;
    uint32_t handle; // ORACLE_CELL, ORACLE_CHANNEL: the number; ORACLE_CHANGE: the cell
    enum core_setting setting;
    int64_t value;
    uint8_t scale;
    // CELL: SKU and location; CHANNEL: its name; ORACLE_TAKE: reference and buyer.
    char text[HF_SKU_BYTES_MAX + 1], text2[HF_LOCATION_BYTES_MAX + 1];
};
static_assert(HF_REFERENCE_BYTES_MAX <= HF_SKU_BYTES_MAX, "both fit");
static_assert(HF_BUYER_BYTES_MAX <= HF_LOCATION_BYTES_MAX, "both fit");

struct oracle_cell {
    __int128 on_hand, held, committed, external, safety, backorder;
    bool made, active;
    uint8_t scale;
    char sku[HF_SKU_BYTES_MAX + 1], location[HF_LOCATION_BYTES_MAX + 1];
};

struct oracle_line {
    uint32_t handle;
    int64_t taken;      // at first
    int64_t held;       // now
    int64_t committed;  // when it was committed
    int64_t taken_back; // cancelled or returned since
};

struct oracle_reservation {
    struct hf_uuid id;
    enum core_state state;
    enum core_verb verb;
    uint16_t channel, version;
    uint64_t body_hash, ending_hash;
    bool ended_whole; // by a COMMIT or RELEASE without lines
    uint64_t deadline_ms;
    uint64_t ended_ms;     // when it left HELD, or an order's own time
    uint64_t time_ms, lsn; // of the newest event
    bool recalled;         // came back from disk: its time is then the recall's
    char reference[HF_REFERENCE_BYTES_MAX + 1], buyer[HF_BUYER_BYTES_MAX + 1];
    struct oracle_line *lines;
    uint32_t line_count;
};

struct oracle_op {
    struct hf_uuid op_id, id;
    uint64_t body_hash, time_ms, lsn;
    int64_t value;
};

// A table from id to place: linear probing, grows by doubling.
struct oracle_index {
    struct hf_uuid *keys;
    uint32_t *places; // 0: empty, else place + 1
    uint32_t room, count;
};

struct oracle {
    struct oracle_cell *cells;
    uint32_t cell_count, cell_room;
    char (*channels)[HF_CHANNEL_BYTES_MAX + 1]; // by number; "" is no channel
    uint32_t channel_count, channel_room;
    struct oracle_reservation *reservations;
    uint32_t reservation_count, reservation_room;
    struct oracle_op *ops;
    uint32_t op_count, op_room;
    struct oracle_index by_id, by_op;
    uint64_t lsn; // highest applied
};

void oracle_init(struct oracle *o);
void oracle_fini(struct oracle *o);
void oracle_clear(struct oracle *o);

// The two halves of an event: the reservation (or directory, or operation) it changes, and the
// quantities of its cells. Both in LSN order; the first in order of arrival for equal ids will do.
void oracle_apply_state(struct oracle *o, const struct oracle_event *e);
// False: a decision took a cell below zero, *handle says which.
bool oracle_apply_cells(struct oracle *o, const struct oracle_event *e, uint32_t *handle);

struct oracle_reservation *oracle_find(const struct oracle *o, struct hf_uuid id);
struct oracle_op *oracle_find_op(const struct oracle *o, struct hf_uuid op_id);
struct oracle_line *oracle_line_of(const struct oracle_reservation *r, uint32_t handle);
__int128 oracle_available(const struct oracle_cell *c);
// Sum over the live holds, by looking at all of them.
__int128 oracle_held(const struct oracle *o, uint32_t handle);

// What the hold holds now, for an event that ends it. The caller frees.
struct core_line *oracle_held_lines(const struct oracle_reservation *r, uint32_t *count);

// Lines of one cell added up, sorted by handle. The caller frees. False: a sum over the limit.
bool oracle_merge(const struct core_line *lines, uint32_t count, struct core_line **out,
                  uint32_t *out_count);
// Over verb, ttl, flags and merged lines, and for operations the reservation.
uint64_t oracle_body_hash(const struct core_request *r, const struct core_line *merged,
                          uint32_t count);

// --------------------------------------------------------------------------------- judging

struct oracle_times {
    uint64_t now_ms;
    uint64_t floor_ms;       // below: unknown ids are refused
    uint64_t window_ms;      // in force now
    uint64_t window_ms_low;  // lowest that was ever in force
    uint32_t skew_ms;
    uint32_t ttl_max_ms;
    bool allow_v4;
    __int128 batch_units; // all quantities of the batch together: what earlier items of it may have
                          // used up of a cell's range
};

enum oracle_effect {
    ORACLE_NOTHING,
    ORACLE_TAKES,       // a new reservation
    ORACLE_REJECTS,     // a remembered refusal
    ORACLE_CHANGES,     // COMMIT, RELEASE, EXTEND, CANCEL, RETURN as asked
    ORACLE_RETAKES,     // COMMIT of a hold that had expired before
    ORACLE_EXPIRES,     // the hold ended by its deadline first
    ORACLE_EXPIRES_RETAKES,
};

struct oracle_verdict {
    enum core_outcome outcome;
    bool repeat;
    enum oracle_effect effect;
};
#define ORACLE_VERDICTS_MAX 16
struct oracle_judgement {
    struct oracle_verdict verdicts[ORACLE_VERDICTS_MAX];
    uint32_t count;
    uint32_t fields; // with INVALID: one bit a field that may be named
    const struct oracle_reservation *known;
};
// What may be answered. BUSY may always be. Stock is not looked at: where both DONE and REFUSED
// are allowed, the cells decide.
void oracle_judge(const struct oracle *o, const struct oracle_times *t,
                  const struct core_request *r, struct oracle_judgement *j);

#endif
