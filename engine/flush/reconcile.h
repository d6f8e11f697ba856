// Both sides' stock held against each other, cell by cell, while both go on.
//
//   Odoo's sum = on hand - what was received, returned or corrected here and is not booked there
//   yet
//                        - sales that are booked there and not acknowledged here yet
//                        - what was discarded (of sales: + )
//
// The engine's side is read before and after Odoo's; a cell is judged only when both readings agree
// and none of its batches was under way. What moved is looked at again, a few times.
#ifndef HOLDFAST_FLUSH_RECONCILE_H
#define HOLDFAST_FLUSH_RECONCILE_H

#include "flush/desk.h"
#include "flush/mirror.h"

#define RECONCILE_CAUSE_TABLE(X)                                                                   \
    X(AGREES, "both sides are equal")                                                              \
    X(EXPLAINED, "both sides are equal but for what is on its way, dead or discarded")             \
    X(FRACTION, "equal in whole smallest units; a fraction that Odoo has is not for sale here")    \
    X(MOVING, "it moved all the while: look again")                                                \
    X(ABSENT, "Odoo has no stock record of it")                                                    \
    X(DIFFERENCE, "nothing explains the difference; changes in Odoo that were not read yet do so")
enum reconcile_cause {
#define X(name, help) RECONCILE_##name,
    RECONCILE_CAUSE_TABLE(X)
#undef X
        RECONCILE_CAUSE_COUNT
};
const char *reconcile_cause_name(enum reconcile_cause c); // static text; "unknown" otherwise
const char *reconcile_cause_help(enum reconcile_cause c);

// Smallest units. odoo = on_hand - unposted - in_flight - booked - dead - discarded + difference.
struct reconcile_terms {
    int64_t on_hand, unposted, in_flight, booked, dead, discarded;
};
struct reconcile_row {
    uint32_t handle;
    uint32_t cause;           // enum reconcile_cause
    int64_t odoo, difference; // whole smallest units
    uint32_t odoo_millionths; // of a smallest unit, which Odoo has besides
    uint32_t zero;
    struct reconcile_terms terms;
};
struct reconcile_report {
    uint64_t started_ms, finished_ms; // engine time
    struct reconcile_row *rows;       // every cell at one of our locations, by handle
    uint32_t count;
    // odd: cells that are no whole number of smallest units in Odoo, and quants that are no number.
    uint32_t differing, moving, odd;
};
void reconcile_report_free(struct reconcile_report *r);

struct reconcile_options {
    struct core *core;
    struct mirror *mirror; // read
    struct flush_desk *desk;
    uint32_t passes; // at most; 3
    // Called when Odoo's side was read, before ours is read again: brings in what others have done,
    // so that what Odoo showed of it moves ours and is not taken for a difference. NULL: nothing.
    enum hf_status (*between)(void *ctx);
    void *ctx;
};
// Blocking, long. HF_AGAIN: Odoo or the flusher did not answer, or segments moved: later.
enum hf_status reconcile_run(const struct reconcile_options *o, struct reconcile_report *out);

#endif
