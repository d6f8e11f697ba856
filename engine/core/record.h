// Payloads of the journal's records: outcomes, never intentions. docs/journal-format.md.
//
//    0        24                 32      36      38      40          48
//    +--------+------------------+-------+-------+-------+-----------+---------+------+------+
//    | frame  |time 48|version 16| ttl   | lines |channel| body hash | lines.. | op?  |text? |
//    +--------+------------------+-------+-------+-------+-----------+---------+------+------+
//
// Every line says its own effect on its cell by its role, so replay of stock needs no look-up.
#ifndef HOLDFAST_CORE_RECORD_H
#define HOLDFAST_CORE_RECORD_H

#include "journal/archive.h"
#include "journal/record.h"

#include <stdio.h>

// id of the frame: the reservation, or for CHANGE, ACKNOWLEDGE the operation, else nil.
#define CORE_RECORD_TABLE(X)                                                                       \
    X(1, CELL, "a stock cell and its names")                                                       \
    X(2, CHANNEL, "a channel's number and name")                                                   \
    X(3, HOLD, "a hold was taken")                                                                 \
    X(4, ORDER, "an order was taken")                                                              \
    X(5, REJECT, "an order was refused")                                                           \
    X(6, FACT, "a sale that had already happened")                                                 \
    X(7, COMMIT, "a hold became a sale")                                                           \
    X(8, RELEASE, "a hold or a part of it was given back")                                         \
    X(9, EXPIRE, "a hold's deadline passed")                                                       \
    X(10, EXTEND, "a hold's deadline moved")                                                       \
    X(11, CANCEL, "a sale was taken back before shipment")                                         \
    X(12, RETURN, "a sale was taken back after shipment")                                          \
    X(13, CHANGE, "a term of a cell was changed")                                                  \
    X(14, ACKNOWLEDGE, "Odoo has booked these quantities")                                         \
    X(15, FLOOR, "ids from before this time are forgotten")
enum core_record_type {
#define X(code, name, help) CORE_RECORD_##name = code,
    CORE_RECORD_TABLE(X)
#undef X
        CORE_RECORD_TYPE_END
};

// code, name, effect of quantity q on the cell.
#define CORE_ROLE_TABLE(X)                                                                         \
    X(1, HOLD, "available -q")                                                                     \
    X(2, ORDER, "available -q, committed +q")                                                      \
    X(3, COMMIT, "committed +q")                                                                   \
    X(4, GIVE_BACK, "available +q")                                                                \
    X(5, CANCEL, "committed -q, available +q")                                                     \
    X(6, RESTOCK, "on hand +q, available +q")                                                      \
    X(7, SCRAP, "none")                                                                            \
    X(8, ON_HAND, "on hand +q, available +q; q is signed")                                         \
    X(9, SAFETY, "safety stock := q")                                                              \
    X(10, BACKORDER, "backorder limit := q")                                                       \
    X(11, EXTERNAL, "external := q")                                                               \
    X(12, ACTIVE, "active := q")                                                                   \
    X(13, ACKNOWLEDGE, "on hand -q, committed -q; q is signed")                                    \
    X(14, SCALE, "unit scale := q")
enum core_role {
#define X(code, name, help) CORE_ROLE_##name = code,
    CORE_ROLE_TABLE(X)
#undef X
        CORE_ROLE_END
};

enum core_record_flags {
    CORE_RECORD_OP = 1,    // struct core_record_op follows the lines
    CORE_RECORD_TEXT = 2,  // struct core_record_text follows
    CORE_RECORD_V4 = 4,    // the id carries no time
    CORE_RECORD_LAST = 8,  // RELEASE with lines that left nothing: state RELEASED
    CORE_RECORD_BEST_EFFORT = 16,
    CORE_RECORD_RETAKE = 32, // COMMIT out of EXPIRED: its lines have role ORDER
};

struct core_record_line {
    uint32_t handle;
    uint32_t role;
    int64_t quantity;
};
static_assert(sizeof(struct core_record_line) == 16, "line");

struct core_record {
    struct journal_record frame;
    uint64_t time_version; // engine time of the decision, ms << 16 | version of the reservation
    uint32_t ttl_ms;       // HOLD, EXTEND: deadline - time; else 0
    uint16_t line_count;
    uint16_t channel;   // number; CHANNEL: the one that the text names
    uint64_t body_hash; // HOLD, ORDER, REJECT, FACT: of the request's body; COMMIT, RELEASE: of the
                        // ending's; with an operation: of the operation's. FLOOR: the floor, ms
    struct core_record_line lines[];
};
static_assert(sizeof(struct core_record) == 48, "fixed part");

// What a record says of the reservation as it was before, so that replay can put it back when it
// had left memory. A retaking COMMIT carries one too, with a nil operation id.
struct core_record_op {
    struct hf_uuid op_id;
    uint64_t previous;  // LSN of the reservation's record before this one
    uint64_t body_hash; // of the first request
    uint32_t end_hash;  // low half of the ending's hash; 0: none
    uint16_t channel;
    uint8_t kind; // 1 hold, 2 order, 3 fact
    uint8_t zero;
};
static_assert(sizeof(struct core_record_op) == 40, "operation part");

// Four parts, back to back after the lengths, padded with zeros to 8 bytes. CELL uses reference
// for the SKU and buyer for the location; CHANNEL reference for the name; CHANGE and RELEASE
// reason.
struct core_record_text {
    uint8_t reference_bytes, buyer_bytes, trace_bytes, reason_bytes;
    char bytes[];
};

struct core_record_parts {
    const struct core_record_op *op;
    const char *reference, *buyer, *reason;
    const uint8_t *trace;
    uint8_t reference_bytes, buyer_bytes, trace_bytes, reason_bytes;
};

static inline uint64_t core_record_time(const struct core_record *r)
{
    return r->time_version >> 16;
}
static inline uint16_t core_record_version(const struct core_record *r)
{
    return (uint16_t)r->time_version;
}

// Checks lengths, type, roles and padding of a record whose crc held, and finds its parts. False:
// not a well-formed record (damage). Any thread, pure.
bool core_record_parse(const struct journal_record *r, struct core_record_parts *parts);

// How much a line moves its cell's available. `before`: what the term was, for the roles that set
// one (SAFETY, BACKORDER, EXTERNAL); the others don't look. Agrees with replay, for every role.
int64_t core_line_available(const struct core_record_line *line, int64_t before);

const char *core_record_type_name(unsigned type); // "unknown" otherwise
const char *core_role_name(unsigned role);

// What the payload means, as further members of a JSON object (`,"record":"HOLD",...`). buyer: the
// buyer key too. False: malformed; then a member says so.
bool core_record_print(FILE *out, const struct journal_record *r, bool buyer);

extern const struct archive_keys core_record_keys; // for the archive

#endif
