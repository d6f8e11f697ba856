// A thread of a run: its own connections, its own customers, its own account.
//
// Open loop: customers arrive when the plan says, whether or not the server keeps up, and latency
// counts from then (no coordinated omission). Closed loop: a fixed number of customers, each as
// fast as it is answered.
#ifndef HOLDFAST_LOADGEN_WORKER_H
#define HOLDFAST_LOADGEN_WORKER_H

#include "load/book.h"
#include "load/history.h"
#include "load/plan.h"
#include "load/sender.h"
#include "load/tally.h"

#include <pthread.h>
#include <stdatomic.h>

struct worker_options {
    struct sender_options sender; // done and ctx are filled in
    struct plan_options plan;     // of this thread: its own seed
    double rate;                  // requests a second; 0: closed loop
    double ramp_s;
    bool poisson, spin;
    uint32_t customers_max; // closed loop: so many; open loop: at most so many at once
    uint64_t customers;     // then end; 0: no such end
    uint64_t end_ns;        // start no more after it; UINT64_MAX: no such end
    uint32_t think_ms;      // between a customer's requests
    uint32_t ttl_ms;
    uint32_t settle_ms;    // after the run, for what is unknown
    uint32_t first_client; // for the history
    bool keep_book;
    struct history *history;   // NULL: none
    const _Atomic int *stop;   // not 0: start no more
    _Atomic uint32_t *running; // falls by one at the end
};

struct worker {
    struct worker_options o;
    pthread_t thread;
    struct sender *sender;
    struct tally *tally;
    struct book book;
    uint64_t deadline_ms; // wall clock: all holds have ended by then
    uint64_t unknown;     // operations whose outcome nobody told, after all
    struct hf_uuid unknown_first;
    struct worker_run *run;
};

// Set-up, one thread: connections and memory. HF_INVALID: why says what.
enum hf_status worker_create(struct worker *w, const struct worker_options *o,
                             char why[200]) HF_CHECKED;
// The run, in a thread of its own; to be joined.
bool worker_start(struct worker *w, uint64_t begin_ns);
void worker_join(struct worker *w);
void worker_destroy(struct worker *w);

#endif
