// Where other threads ask for what was read of Odoo's stock. Who owns the thread that reads
// implements it.
#ifndef HOLDFAST_FLUSH_OBSERVE_H
#define HOLDFAST_FLUSH_OBSERVE_H

#include "flush/import.h"
#include "flush/inbound.h"
#include "flush/reconcile.h"

// Runs are numbered as they begin. Who wishes for one gets the number of the one that begins next:
// that one saw all that was done before the wish, and one that is under way by then may not have.
struct observe_runs {
    uint64_t begun, told; // the last that began; whose report is in hand, 0: none
    bool under_way, wanted, failed;
};
static inline uint64_t observe_runs_wish(struct observe_runs *r)
{
    r->wanted = true;
    return r->begun + 1;
}
static inline void observe_runs_begin(struct observe_runs *r)
{
    r->begun++;
    r->under_way = true;
    r->wanted = false; // a wish from here on is for the next
}
static inline void observe_runs_end(struct observe_runs *r, bool done)
{
    r->under_way = false;
    r->failed = !done;
    r->told = done ? r->begun : r->told;
}

struct observe_state {
    uint64_t run; // of the report in hand; 0: there was none yet
    bool running; // another is under way, or wanted
    bool failed;  // the last one came to nothing, for want of an answer
    uint64_t started_ms, finished_ms;
    uint32_t cells, differing, moving, odd;
    struct import_result import;    // of the last one that imported
    uint64_t short_cells, released; // short now; holds given back since the start
};

struct observe_wish {
    bool import, dry_run; // first makes cells for what Odoo has, or counts them
    uint8_t scale;        // of new cells
};

struct flush_observer {
    // A reconciliation, soon: the number that it will have. Any thread, at once.
    uint64_t (*reconcile)(struct flush_observer *o, const struct observe_wish *wish);
    // How it stands, and up to max rows of the last report from the from-th on; its rows change
    // with its run. Returns how many. Any thread, at once.
    uint32_t (*report)(struct flush_observer *o, struct observe_state *state, uint32_t from,
                       struct reconcile_row *rows, uint32_t max);
};

#endif
