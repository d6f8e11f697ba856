// An engine over a folder that an input has changed: started, asked, worked, started again.
#ifndef HOLDFAST_TESTS_FUZZ_ENGINE_H
#define HOLDFAST_TESTS_FUZZ_ENGINE_H

#include "fuzz/fuzz_folder.h"

// Nothing but a status: what such a folder says is nobody's fault but the disk's. True when it
// started. What the cells were right after that is in *cells.
struct engine_cells {
    uint32_t count;
    struct core_cell cell[16];
};
bool engine_start(struct world *w, struct engine_cells *cells);
// Asks for every reservation and cell, decides, lets time pass, makes checkpoints and archives. All
// statuses are good; what must not be is an assertion.
void engine_exercise(struct world *w);
// The same folder again. It may be refused, but not read in two ways.
void engine_restart(struct world *w, const struct engine_cells *cells);

#endif
