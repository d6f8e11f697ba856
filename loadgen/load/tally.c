#include "load/tally.h"

#include <stdio.h>
#include <string.h>

void tally_op(struct tally *t, const struct op *op)
{
    uint64_t ns = op->return_ns > op->intended_ns ? op->return_ns - op->intended_ns : 0;
    tally_count(&t->counts[op->verb][op->result.outcome], 1);
    if (op->result.outcome == OP_OUT_UNKNOWN)
        return; // it has no latency, and is counted where everybody looks
    hf_histogram_record(&t->by_verb[op->verb], ns);
    hf_histogram_record(&t->all, ns);
}

void tally_contradiction(struct tally *t, const struct op *op, const char *what)
{
    char id[HF_UUID_TEXT_BYTES];
    if (t->contradictions == 0) {
        hf_uuid_format(op->id, id);
        snprintf(t->first, sizeof t->first, "%s of %s, try %u: %s, state %s%s%s: %.100s",
                 op_verb_name(op->verb), id, op->tries, op_outcome_name(op->result.outcome),
                 op_state_name(op->result.state), op->result.reason[0] ? ", " : "",
                 op->result.reason, what);
    }
    tally_count(&t->contradictions, 1);
}

void tally_merge(struct tally *into, const struct tally *from)
{
    for (int v = 0; v < OP_VERB_COUNT; v++) {
        for (int o = 0; o < OP_OUTCOME_COUNT; o++)
            into->counts[v][o] += hf_load_relaxed(&from->counts[v][o]);
        hf_histogram_merge(&into->by_verb[v], &from->by_verb[v]);
    }
    hf_histogram_merge(&into->all, &from->all);
    hf_histogram_merge(&into->late, &from->late);
    into->customers += hf_load_relaxed(&from->customers);
    into->again += hf_load_relaxed(&from->again);
    into->open += hf_load_relaxed(&from->open);
    uint64_t contradictions = hf_load_relaxed(&from->contradictions);
    if (into->contradictions == 0 && contradictions)
        memcpy(into->first, from->first, sizeof into->first);
    into->contradictions += contradictions;
}

uint64_t tally_requests(const struct tally *t)
{
    uint64_t sum = 0;
    for (int o = 0; o < OP_OUTCOME_COUNT; o++)
        sum += tally_outcome(t, (enum op_outcome)o);
    return sum;
}

uint64_t tally_outcome(const struct tally *t, enum op_outcome o)
{
    uint64_t sum = 0;
    for (int v = 0; v < OP_VERB_COUNT; v++)
        sum += t->counts[v][o];
    return sum;
}
