// Orders out of a file, over the network: every invoice is decided, whole, however often the server
// dies meanwhile; then every answer is asked again, and every sale read back.
//
//   invoice:  new --> asked --> accepted | refused   (an order)
//                        +----> done                 (what takes back or corrects)
//
// A customer's invoices belong to one thread and are asked in turn, each after the answer to the
// one before. What takes back becomes returns of earlier sales where there are any, else an
// adjustment (trace/trace.h).
#ifndef HOLDFAST_LOADGEN_REPLAY_H
#define HOLDFAST_LOADGEN_REPLAY_H

#include "load/book.h"
#include "load/history.h"
#include "load/sender.h"
#include "load/tally.h"
#include "trace/trace.h"

#include <pthread.h>
#include <stdatomic.h>

// What all threads share: each writes what belongs to its customers only.
struct replay;
// NULL: no memory. Borrows the trace; its cells have the same indexes in struct cells.
struct replay *replay_create(const struct trace *t, uint32_t threads);
void replay_destroy(struct replay *r);
// Stock of a cell: so many percent of its orders' demand, rounded up.
int64_t replay_stock(const struct trace *t, uint32_t cell, uint64_t percent);

struct replay_worker_options {
    struct sender_options sender; // done and ctx are filled in
    struct replay *replay;
    uint32_t number; // of this thread
    uint32_t outstanding;
    double time_scale; // 0: as fast as it goes
    uint64_t seed;
    struct history *history;   // NULL: none
    const _Atomic int *stop;   // not 0: start no more
    _Atomic uint32_t *running; // falls by one at the end
};

// Invoices by what came of them, and what the checks afterwards found.
#define REPLAY_COUNT_TABLE(X)                                                                      \
    X(accepted, "orders sold, every line whole")                                                   \
    X(refused, "orders refused for want of stock")                                                 \
    X(returns, "returns of earlier sales")                                                         \
    X(adjustments, "adjustments of stock")                                                         \
    X(undecided, "invoices whose outcome nobody told")                                             \
    X(checked, "answers asked again, sales read back")                                             \
    X(missing, "of these: not remembered")                                                         \
    X(different, "of these: told differently")                                                     \
    X(not_whole, "of these: with other lines")
struct replay_counts {
#define X(name, help) uint64_t name;
    REPLAY_COUNT_TABLE(X)
#undef X
    char first[200]; // what is wrong with the first that is
};

struct replay_worker {
    struct replay_worker_options o;
    pthread_t thread;
    struct sender *sender;
    struct tally *tally;
    struct book book;
    struct replay_counts counts;
    struct replay_run *run;
};

enum hf_status replay_worker_create(struct replay_worker *w, const struct replay_worker_options *o,
                                    char why[200]) HF_CHECKED;
bool replay_worker_start(struct replay_worker *w, uint64_t begin_ns);
void replay_worker_join(struct replay_worker *w);
void replay_worker_destroy(struct replay_worker *w);

#endif
