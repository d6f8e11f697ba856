// What others do in Odoo, brought here: receipts, adjustments, transfers and other sellers' moves
// into on hand, their open demand into external.
//
//   demand read -> moves read -> intents durable (inbound.hfs) -> applied -> demand set
//
// Demand is read before the moves and set after they are applied, so nothing is for sale for a
// moment that is sold. A done move line is applied once: by its id, with the quantity that was
// applied, so an edited line brings its difference. Our own documents are left out by the query.
// Where an order in Odoo ships what was sold (mode external), its moves settle that: settle.c.
//
// One thread owns it, with its own connection to Odoo; calls block.
#ifndef HOLDFAST_FLUSH_INBOUND_H
#define HOLDFAST_FLUSH_INBOUND_H

#include "flush/desk.h"
#include "flush/mirror.h"

#define INBOUND_LINES_MAX 262144 // remembered; the oldest go first

struct inbound_options {
    struct core *core;       // borrowed
    struct storage *storage; // borrowed; the data folder
    struct flush_desk *desk; // borrowed
    struct mirror *mirror;   // borrowed
    const char *engine;      // as the flusher's
    uint32_t overlap_ms;     // moves are read again so far back: more than Odoo's longest
                             // transaction. default 300,000
    uint32_t refresh_ms;     // locations and products are read again. default 60,000
    uint32_t plan_max;       // lines that one poll plans, <= INBOUND_LINES_MAX / 2, the default
};
void inbound_options_default(struct inbound_options *o);

struct inbound;

// Loads inbound.hfs; without one it begins at `since_ms`: what was done in Odoo before is taken as
// known. *why gets one sentence. HF_DAMAGED, HF_TOO_NEW, HF_FOREIGN, HF_IO, HF_NO_MEMORY.
enum hf_status inbound_open(const struct inbound_options *o, uint64_t since_ms,
                            struct inbound **out, char why[200]) HF_CHECKED;
void inbound_close(struct inbound *in); // writes nothing

// One poll. `w` is a worker of the calling thread. HF_OK; HF_AGAIN: Odoo, the disk or the engine
// had no answer now, try again later; anything else is final.
enum hf_status inbound_poll(struct inbound *in, struct core_worker *w, uint64_t now_ms);

#define INBOUND_METRIC_TABLE(X)                                                                    \
    X(polls, "polls that went through")                                                            \
    X(polls_failed, "polls without an answer")                                                     \
    X(lines, "move lines of others applied to on hand")                                            \
    X(unknown, "move lines of a product or location that has no cell here")                        \
    X(fractions, "move lines of others that are no whole number of smallest units: what went was " \
                 "rounded up, what came down; see reconciliation")                                 \
    X(late_edits, "edits of lines older than what is remembered: see reconciliation")              \
    X(demand_changes, "times that a cell's external demand was set")
struct inbound_metrics {
#define X(name, help) uint64_t name;
    INBOUND_METRIC_TABLE(X)
#undef X
    uint64_t polled_ms; // engine time of the last poll that went through, 0: none
    uint64_t began_ms;  // when it was opened
    uint64_t ended;     // 1: for good, with a line in the log
    uint64_t remembered;
};
// Since others' moves were read through, or since it began and never was.
static inline uint64_t inbound_age_ms(const struct inbound_metrics *m, uint64_t now_ms)
{
    uint64_t at = m->polled_ms ? m->polled_ms : m->began_ms;
    return now_ms > at ? now_ms - at : 0;
}
void inbound_metrics(const struct inbound *in, struct inbound_metrics *out); // any thread

#endif
