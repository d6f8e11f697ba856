// Operations: what a client asks, and what came of it.
//
//   made --sender_submit--> asked (again and again, same ids) --> known outcome, or UNKNOWN
//
// An operation is its owner's memory and stays put from sender_submit to the done callback.
#ifndef HOLDFAST_LOADGEN_OP_H
#define HOLDFAST_LOADGEN_OP_H

#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

// name, service and method
#define OP_VERB_TABLE(X)                                                                           \
    X(RESERVE, "ReservationService/Reserve")                                                       \
    X(ORDER, "ReservationService/Order")                                                           \
    X(RECORD, "ReservationService/Record")                                                         \
    X(COMMIT, "ReservationService/Commit")                                                         \
    X(RELEASE, "ReservationService/Release")                                                       \
    X(EXTEND, "ReservationService/Extend")                                                         \
    X(CANCEL, "ReservationService/Cancel")                                                         \
    X(RETURN, "ReservationService/ReturnGoods")                                                    \
    X(GET, "ReservationService/GetReservation")                                                    \
    X(ADJUST, "StockAdminService/AdjustStock")
enum op_verb {
#define X(name, method) OP_##name,
    OP_VERB_TABLE(X)
#undef X
        OP_VERB_COUNT
};

// known: what happened on the server is certain.
#define OP_OUTCOME_TABLE(X)                                                                        \
    X(DONE, "taken, ended or changed as asked")                                                    \
    X(REFUSED, "not enough available")                                                             \
    X(EXPIRED, "the hold's deadline had passed")                                                   \
    X(WRONG_STATE, "the reservation's state does not allow the verb")                              \
    X(EXCEEDS, "more than is held, or was committed")                                              \
    X(CONFLICT, "the id was used with another body")                                               \
    X(NOT_FOUND, "no such reservation or stock")                                                   \
    X(REJECTED, "another status that says: not done, and never will be")                           \
    X(UNKNOWN, "no answer that says what happened, at any try")
enum op_outcome {
#define X(name, help) OP_OUT_##name,
    OP_OUTCOME_TABLE(X)
#undef X
        OP_OUTCOME_COUNT
};

// Numbers as in the API.
#define OP_STATE_TABLE(X) X(NONE) X(HELD) X(COMMITTED) X(RELEASED) X(EXPIRED) X(REJECTED)
enum op_state {
#define X(name) OP_STATE_##name,
    OP_STATE_TABLE(X)
#undef X
        OP_STATE_COUNT
};

enum op_flags {
    OP_RETAKE = 1, // COMMIT
    OP_SCRAP = 2,  // RETURN
};

struct op_line {
    uint32_t cell;    // index into struct cells
    int64_t quantity; // ADJUST: signed
};

#define OP_REASON_BYTES 40

struct op_result {
    enum op_outcome outcome;
    enum op_state state; // the reservation's, at the answer
    bool repeat;         // decided by an earlier try, or by an earlier operation
    bool durable;
    uint32_t version;
    int64_t expires_at_ms, ended_at_ms;
    uint64_t lsn;
    int code; // gRPC status of the last try
    uint32_t retry_ms;
    char reason[OP_REASON_BYTES]; // one word; empty: none
};

struct op {
    enum op_verb verb;
    uint32_t flags;
    struct hf_uuid id, op_id; // nil: none
    const struct op_line *lines;
    uint32_t line_count;
    uint32_t ttl_ms;
    const char *reference; // RESERVE, ORDER, RECORD; ADJUST: the reason. NULL: none
    uint32_t client;       // for the history: one operation of a client at a time
    void *owner;

    uint64_t intended_ns; // when it should have been asked
    // GET: room for the lines told, by the caller. Cells that are not known are UINT32_MAX.
    struct op_line *got;
    uint32_t got_room, got_count;

    // The sender's.
    uint64_t invoke_ns, return_ns; // first try, last answer
    uint32_t tries;
    struct op_result result;
    uint64_t submitted_ns, due_ns;
    struct op *next;
    uint32_t lane, slot;
    bool by_grpc; // packets don't have it any more
};

const char *op_verb_name(enum op_verb v);
const char *op_outcome_name(enum op_outcome o);
const char *op_outcome_help(enum op_outcome o);
const char *op_state_name(enum op_state s);

#endif
