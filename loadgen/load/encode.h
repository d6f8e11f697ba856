// Operations as messages, and answers as results.
#ifndef HOLDFAST_LOADGEN_ENCODE_H
#define HOLDFAST_LOADGEN_ENCODE_H

#include "load/cells.h"
#include "load/link.h"
#include "load/op.h"

struct encoder;

// One thread. batch_max: operations of a stream's message. NULL: no memory.
struct encoder *encoder_create(const struct cells *cells, uint32_t batch_max);
void encoder_destroy(struct encoder *e);

// Messages, valid until the encoder's next call.
const ProtobufCMessage *encode_op(struct encoder *e, const struct op *op);
// A ReserveStreamRequest; ops[i]->slot is its correlation id. None of them is an ADJUST.
const ProtobufCMessage *encode_batch(struct encoder *e, struct op *const *ops, uint32_t count);

// "ReservationService/Reserve"
const char *op_method(enum op_verb v);

// Reads the end of a unary call into op->result. True: the outcome is known; false: the status says
// that asking again is safe and useful.
bool decode_end(const struct cells *cells, struct op *op, const struct link_end *end);
// The results of a stream's message. `told` gets each correlation id; it answers with the operation
// or NULL, and `settled` hears whether the outcome is known. False: not a ReserveStreamResponse.
bool decode_batch(const struct cells *cells, const unsigned char *bytes, size_t byte_count,
                  struct op *(*told)(void *ctx, uint64_t correlation),
                  void (*settled)(void *ctx, struct op *op, bool known), void *ctx);

#endif
