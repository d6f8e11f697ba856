// Every operation of a run, for outside checkers: docs/history-format.md. JSON, a line each.
#ifndef HOLDFAST_LOADGEN_HISTORY_H
#define HOLDFAST_LOADGEN_HISTORY_H

#include "load/cells.h"
#include "load/op.h"

struct history;

#define HISTORY_VERSION 1

// Writes the head and the cells as they are at the start. NULL: the file can't be made.
struct history *history_create(const char *path, const struct cells *cells, uint64_t seed);
// An operation that has its outcome, or won't get one. Any thread.
void history_op(struct history *h, const struct op *op);
// A cell at the end of the run.
void history_cell(struct history *h, uint32_t cell, const struct cell_values *v);
// False: something could not be written.
bool history_close(struct history *h);

#endif
