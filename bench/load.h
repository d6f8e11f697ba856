// Requests for a rig, made as a client would make them: fresh UUIDv7s, cells picked uniformly.
#ifndef HOLDFAST_BENCH_LOAD_H
#define HOLDFAST_BENCH_LOAD_H

#include "rig.h"

struct load_options {
    enum core_verb verb; // RESERVE, ORDER
    uint32_t lines;      // a request, 1..RIG_LINES
    uint32_t first_cell, cells; // picked among these
    uint32_t other_first, other_cells; // the last line's, when not 0
    uint32_t ttl_ms, ttl_spread_ms; // RESERVE: ttl .. ttl + spread - 1, uniform
    int64_t quantity;
    uint64_t seed; // another one for each load of a rig: ids must differ
};

#define LOAD_RECENT 4096 // batches whose times are kept

// One thread's. Big: not on a stack.
struct load {
    struct rig *rig;
    struct core_worker *worker;
    struct load_options options;
    uint64_t position; // in the pseudo-random sequence
    uint64_t now_ms;   // of the last batch
    uint64_t ticket;   // the highest that an answer named
    struct core_request requests[RIG_BATCH];
    struct core_answer answers[RIG_BATCH];
    struct core_line lines[RIG_BATCH][RIG_LINES];
    uint32_t recent_ns[LOAD_RECENT]; // inside core_execute, of batches without a BUSY answer
    uint64_t recent;                 // how many there were
};

struct load_result {
    uint64_t done, refused, busy; // answers
    uint64_t wall_ns;
    uint64_t execute_ns; // inside core_execute, of batches without a BUSY answer
    uint64_t executed;   // requests of those batches
    uint64_t stalls;     // batches with a BUSY answer, after which the load slept
    uint64_t allocations; // of the calling thread, inside core_execute
    double request_ns;    // the median batch's, a request: knows nothing of preemption
};

void load_init(struct load *l, struct rig *rig, struct core_worker *worker,
               const struct load_options *o);
// Fills all requests anew.
void load_fill(struct load *l);
// Executes what was filled, counting into *out; sleeps after a BUSY answer.
void load_execute(struct load *l, struct load_result *out);
// The median of the batches since the last call, a request. 0: there were none.
double load_request_ns(struct load *l);
// For about that long, batch after batch. HF_STOPPED: the engine failed.
enum hf_status load_run(struct load *l, double seconds, struct load_result *out) HF_CHECKED;

#endif
