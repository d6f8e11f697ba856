// Holds the server's cells to the book, to the unit.
#ifndef HOLDFAST_LOADGEN_AUDIT_H
#define HOLDFAST_LOADGEN_AUDIT_H

#include "load/book.h"
#include "load/catalogue.h"
#include "load/history.h"

struct audit {
    struct catalogue *catalogue;
    const struct book *book; // of all threads together
    uint64_t deadline_ms;    // wall clock: no hold of ours lives longer
    uint32_t settle_ms;      // what differs then may take so long to become equal
    struct history *history; // NULL: none
    const _Atomic int *stop; // above 1: look once, now; NULL: never

    // Out.
    uint64_t cells, wrong;
    uint64_t others; // cells that held stock when the run began
    struct book_cell totals;
    char first[400]; // what is wrong with the first cell that is
    bool read;       // false: the cells could not be read, see the catalogue's error
};

// Blocking, before the run. Reads what every cell holds, and waits up to settle_ms until none holds
// stock any more: a hold that somebody else left would end during the run. False: the cells could
// not be read.
bool audit_begin(struct audit *a);
// Blocking. True: every touched cell is exact; where stock was held at the start, what is held is
// between the book and the book with that.
bool audit_run(struct audit *a);
// One cell: NULL, or what is wrong with it in `why`. Pure.
const char *audit_cell(const struct cell_values *begin, const struct book_cell *book,
                       const struct cell_values *end, char *why, size_t bytes);

#endif
