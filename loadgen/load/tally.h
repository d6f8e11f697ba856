// What a thread of a run counts: one writer, the others read any time.
#ifndef HOLDFAST_LOADGEN_TALLY_H
#define HOLDFAST_LOADGEN_TALLY_H

#include "base/atomics.h"
#include "base/histogram.h"
#include "load/link.h"
#include "load/op.h"

struct tally {
    uint64_t counts[OP_VERB_COUNT][OP_OUTCOME_COUNT];
    struct hf_histogram by_verb[OP_VERB_COUNT]; // from the intended start to the known outcome
    struct hf_histogram all;
    struct hf_histogram late; // from the intended start until it was handed to the sender
    uint64_t customers, again, open;
    uint64_t contradictions; // answers that can't be
    char first[240];         // the first of them; read after the run
};

static inline void tally_count(uint64_t *counter, uint64_t n)
{
    // One writer; relaxed, as whoever shows progress reads any time.
    hf_store_relaxed(counter, hf_load_relaxed(counter) + n);
}

void tally_op(struct tally *t, const struct op *op);
void tally_contradiction(struct tally *t, const struct op *op, const char *what);
void tally_merge(struct tally *into, const struct tally *from);
uint64_t tally_requests(const struct tally *t);
uint64_t tally_outcome(const struct tally *t, enum op_outcome o);

#endif
