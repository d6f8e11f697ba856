// Where other threads ask for what was read of Odoo's stock. Who owns the thread that reads
// implements it.
#ifndef HOLDFAST_FLUSH_OBSERVE_H
#define HOLDFAST_FLUSH_OBSERVE_H

#include "flush/import.h"
#include "flush/inbound.h"
#include "flush/reconcile.h"

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
    // A reconciliation, soon. Any thread, at once.
    void (*reconcile)(struct flush_observer *o, const struct observe_wish *wish);
    // How it stands, and up to max rows of the last report from the from-th on; its rows change
    // with its run. Returns how many. Any thread, at once.
    uint32_t (*report)(struct flush_observer *o, struct observe_state *state, uint32_t from,
                       struct reconcile_row *rows, uint32_t max);
};

#endif
