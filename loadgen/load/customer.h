// A customer: takes a scenario's steps one after the other, keeps account of what it was told, and
// knows which answers can't be.
//
//   start --> asking <--> (thinking) --> over
//                |  UNKNOWN
//                +--> loose: asked again after the run, with the same ids; then over
#ifndef HOLDFAST_LOADGEN_CUSTOMER_H
#define HOLDFAST_LOADGEN_CUSTOMER_H

#include "load/book.h"
#include "load/plan.h"
#include "load/tally.h"

struct customer {
    struct op op;
    enum plan_scenario scenario;
    uint32_t step;
    struct op_line *lines; // of the first request
    struct op_line *left;  // of a hold, or of a sale: what is still held, or sold
    struct op_line part[1];
    uint32_t count, room;
    uint64_t op_random;
    bool holding, refused, closing;
    enum op_outcome first; // of what is asked again later
    struct customer *next; // for whoever keeps it
};

// What customers share with their thread.
struct customer_context {
    struct book *book; // NULL: none is kept
    struct tally *tally;
    uint32_t ttl_ms;
    uint64_t *deadline_ms; // wall clock: by then every hold that was left alone has ended
};

// Prepares the first request. False: no memory.
bool customer_start(struct customer *c, const struct customer_context *x,
                    const struct plan_customer *plan, uint64_t now_ms);
// Books the answer to c->op. Not for UNKNOWN, which tells nothing.
void customer_told(struct customer *c, const struct customer_context *x, uint64_t now_ms);
// Prepares the next request. False: there is none, the customer is over, and a hold that is left
// was booked as one that expires.
bool customer_next(struct customer *c, const struct customer_context *x, uint64_t now_ms);
void customer_free(struct customer *c);

#endif
