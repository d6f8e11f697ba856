// What a queue's step spends on what: the calls that lead from one stage to the next are taken over
// by the linker (--wrap), and read the processor's counter. In programs that are linked so, and
// only in a thread that has begun.
//
//   make     the frame, where a network would bring it: not the queue's
//   parse    header, session, window, items into requests
//   tag      of the request and of the reply
//   decide   core_execute, without
//   append   journal_push: the batch's records into the journal's ring
//   answer   outcomes into the reply, and giving it back
//
// With more items in a burst than are decided at once, reading and answering alternate inside one
// function: then `parse` is both.
#ifndef HOLDFAST_BENCH_STAGES_H
#define HOLDFAST_BENCH_STAGES_H

#include "ingest/ingest.h"

enum stage {
    STAGE_MAKE,
    STAGE_PARSE,
    STAGE_TAG,
    STAGE_DECIDE,
    STAGE_APPEND,
    STAGE_ANSWER,
    STAGE_COUNT,
};

struct stages {
    double ticks[STAGE_COUNT]; // of steps that were not interrupted, without reading the counter
    uint64_t steps, interrupted;
    double hz, read; // of the counter: ticks a second, and of one look at it
    bool merged;     // answers count as parsing
};

void stages_begin(struct stages *s, bool merged);
// One ingest_queue_step whose stages are added to `s`, unless it was interrupted: then nothing is,
// and false comes back. The step has been done either way.
bool stages_step(struct stages *s, struct ingest_queue *q);
// For struct feed: what lies between is `make`.
void stages_receiving(bool begins);

#endif
