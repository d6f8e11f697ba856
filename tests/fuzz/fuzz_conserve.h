// What must hold of an engine whatever it was asked.
#ifndef HOLDFAST_TESTS_FUZZ_CONSERVE_H
#define HOLDFAST_TESTS_FUZZ_CONSERVE_H

#include "fuzz/fuzz_folder.h"

#define CONSERVE_CELLS_MAX 64
#define CONSERVE_VIEWS_MAX 256

struct conserve {
    uint32_t cells, views;
    struct core_cell cell[CONSERVE_CELLS_MAX];
    struct core_view view[CONSERVE_VIEWS_MAX]; // by id
};

// Reads every cell and reservation. Each cell adds up, and holds what its reservations hold.
void conserve_take(struct world *w, struct conserve *out);
// No decision brought a cell below zero, or further below.
void conserve_not_oversold(const struct conserve *before, const struct conserve *after);
bool conserve_same_cells(const struct conserve *a, const struct conserve *b);
// The sum of all records, by core/record.h's table of roles, is what the cells say. Everything is
// settled; nothing when segments were recycled.
void conserve_records(struct world *w, const struct conserve *now);
// After a kill and a start there is what there was.
void conserve_restarted(const struct conserve *before, const struct conserve *after);

#endif
