// The tables of rows; each ends with a row without a name.
#ifndef HOLDFAST_BENCH_RATIO_ROWS_H
#define HOLDFAST_BENCH_RATIO_ROWS_H

#include "ratio.h"

// The engine in process: decisions, durability, recovery.
extern const struct ratio_row ratio_rows_core[];

#endif
