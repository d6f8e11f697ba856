// One message of ReserveStream: its operations as they stand on the wire, core's requests made of
// them, and the message of their results.
//
// An operation's result is open until it is decided or told; each gets one before the message of
// results is packed. The batch lives in an arena and points into the message's bytes.
#ifndef HOLDFAST_API_STREAM_BATCH_H
#define HOLDFAST_API_STREAM_BATCH_H

#include "service/verb.h"

#include "rpc/wire.h"

enum stream_result { STREAM_OPEN, STREAM_DECIDED, STREAM_TOLD };

struct stream_op {
    uint64_t correlation;
    const unsigned char *bytes; // of the member that is given
    uint32_t count;
    uint8_t member;     // its field number; 0: none is given
    uint8_t result;     // enum stream_result
    bool malformed;     // something is wrong with its bytes
    uint8_t told_field; // TOLD: what stands in the result, packed; 0: nothing, there was no memory
    uint32_t told_bytes;
    uint32_t request; // its place among the requests, once it is collected
    unsigned char *told;
    uint64_t now_ms; // DECIDED: when
};

struct stream_batch {
    struct stream_op *ops;
    struct core_request *requests; // of the verbs among the operations
    struct core_answer *answers;
    uint32_t *place; // operation of each request
    uint32_t op_count, request_count;
    uint32_t decided;  // requests before it have an answer
    uint64_t ticket;   // from when on the results may be told
    bool away;         // something needs the slow lane
    size_t told_bytes; // of reservations; when they are more than an answer holds, no more is told
};

// Reads a message down to its operations' members. NULL: *error is filled, and the stream ends:
// the message itself is broken, holds no operations or too many, or there is no memory. What is
// wrong inside an operation is left for its own result.
struct stream_batch *stream_batch_read(struct arena *a, const unsigned char *bytes, size_t count,
                                       struct rpc_error *error);

// What all operations of a message are read against.
struct stream_reader {
    struct service_local *local;
    const struct auth_identity *who;
    struct arena *arena;
    uint64_t generation;
    uint32_t cells;
    bool straight; // the short way may be tried
};
struct stream_reader stream_reader_make(struct service_local *l, const struct auth_identity *who,
                                        struct arena *a);
// The common form of a hold or an order, straight from its bytes: lines by handle and generation,
// no text. False: another form, or something is wrong: the general way says what.
bool stream_op_straight(const struct stream_reader *r, const struct stream_op *op,
                        struct core_request *out);
// Any form of any verb, see verb_convert.
enum verb_way stream_op_general(const struct stream_reader *r, struct stream_op *op,
                                struct core_request *out, struct rpc_error *error);
// Checks and unpacks the member of an operation. NULL: it is malformed; *error is filled.
const ProtobufCMessage *stream_op_unpack(struct arena *a, struct stream_op *op,
                                         struct rpc_error *error);

// Tells an operation's result; no memory for it leaves the result empty.
void stream_op_fail(struct arena *a, struct stream_op *op, const struct rpc_error *error);
void stream_op_tell(struct arena *a, struct stream_op *op, const Holdfast__V1__Reservation *r);
void stream_op_too_large(struct arena *a, struct stream_op *op);
// The message of all results, in the arena. NULL: no memory. It is no larger than clients take in
// (ANSWER_BYTES_MAX): results that find no room become errors.
unsigned char *stream_batch_pack(struct arena *a, struct stream_batch *b, size_t *count);

#endif
