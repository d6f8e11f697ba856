// Threads that keep an engine under durable load: each issues batches without waiting for them,
// up to a bound, and counts an answer once the journal is durable past its ticket.
#ifndef HOLDFAST_BENCH_PUMP_H
#define HOLDFAST_BENCH_PUMP_H

#include "load.h"

#include <pthread.h>
#include <stdatomic.h>

#define PUMP_THREADS_MAX 2
#define PUMP_OUTSTANDING 1024 // batches of one thread that wait for the disk

struct pump_totals {
    uint64_t durable; // DONE answers that may be told
    uint64_t stalls;  // batches that met BUSY
    uint64_t issued;  // batches
    uint64_t cpu_ns;  // of the thread
};

struct pump_thread {
    struct rig *rig;
    struct load_options options;
    struct load load; // the thread's own, like all that follows but the totals
    struct {
        uint64_t ticket;
        uint32_t done;
    } waiting[PUMP_OUTSTANDING];
    uint64_t head, tail;
    pthread_t thread;
    _Atomic uint64_t durable, stalls, issued, cpu_ns; // published by the thread
    _Atomic uint32_t request_ns;                      // the median batch's, a request
    _Atomic bool stop;
};

struct pump {
    struct pump_thread threads[PUMP_THREADS_MAX];
    uint32_t count;
};

// Starts `count` threads with this load; their seeds are o->seed and those that follow.
bool pump_start(struct pump *p, struct rig *rig, const struct load_options *o, uint32_t count);
// Ends them; what was outstanding stays uncounted. Safe when none was started.
void pump_stop(struct pump *p);
void pump_totals(const struct pump *p, struct pump_totals *out);
// What the threads did while the caller slept for so long; returns how long that was, in ns.
double pump_during(const struct pump *p, double seconds, struct pump_totals *out);
// Mean over the threads.
double pump_request_ns(const struct pump *p);

#endif
