// Well-formed messages out of any bytes: an input chooses which fields are there and, of the values
// that mean something to the engine, which one. So the fuzzer gets past the checks of form and
// mutates what a request says.
#ifndef HOLDFAST_TESTS_FUZZ_SHAPE_H
#define HOLDFAST_TESTS_FUZZ_SHAPE_H

#include "fuzz/fuzz.h"

#include "base/uuid.h"

#include <protobuf-c/protobuf-c.h>

#define SHAPE_TIME_MS    UINT64_C(1700000000000) // the engine's, when an input begins
#define SHAPE_GENERATION UINT64_C(0x8000000000000001)
#define SHAPE_IDS        12

// The ids that requests share, so that they meet.
struct hf_uuid shape_id(unsigned n);
// Packs a message of this type into `out`; returns its bytes, at most `room`: what does not fit is
// left out.
size_t shape_message(struct fuzz_input *in, const ProtobufCMessageDescriptor *d, uint8_t *out,
                     size_t room);

#endif
