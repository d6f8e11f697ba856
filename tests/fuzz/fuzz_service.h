// The service on an engine of the fake disk, asked what an input says, as the listener would ask.
#ifndef HOLDFAST_TESTS_FUZZ_SERVICE_H
#define HOLDFAST_TESTS_FUZZ_SERVICE_H

#include "fuzz/fuzz.h"

#include "rpc/rpc.h"

struct fuzz_service;

void fuzz_service_set_up(void); // the folder that every input begins with
// First byte: what the engine and the caller may do.
struct fuzz_service *fuzz_service_open(struct fuzz_input *in);
// One call, or one message of a stream, with what happens around it; then everything is judged.
// An open stream of another method is closed first.
//
//   byte 0: flags as below; byte 1, if PASS: time; then the message: raw: 2 bytes of length, bytes;
//   else what shape_message makes of the bytes that follow
enum {
    STEP_RAW = 1,
    STEP_REPEAT = 2, // the same again at once
    STEP_PASS = 4,   // time passes before
    STEP_SETTLE = 8, // the disk has everything afterwards
    STEP_KEEP = 16,  // checkpoint, archive
    STEP_EXPIRED = 32,
    STEP_NO_SLOW_LANE = 64,
    STEP_CLOSE = 128, // streams: half-close after it; else the server drains
};
void fuzz_service_step(struct fuzz_service *f, const struct rpc_method *m, struct fuzz_input *in);
// One message of ReserveStream read in both ways, which must not differ. Decides nothing.
void fuzz_service_batch(struct fuzz_service *f, const uint8_t *bytes, size_t count);
// Writes everything, holds the records against the cells, kills, starts, compares.
void fuzz_service_close(struct fuzz_service *f);

#endif
