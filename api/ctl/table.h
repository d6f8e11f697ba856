// Aligned columns for people. Rows are gathered, then printed together; widths only grow, so that
// a long list can be printed page by page.
#ifndef HOLDFAST_CTL_TABLE_H
#define HOLDFAST_CTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 16
#define TABLE_CELL_BYTES  128 // with the terminator; longer texts are cut

struct table_column {
    const char *title; // NULL ends the list
    bool right;        // numbers
    bool may_shrink;   // on a narrow terminal
};

struct table {
    const struct table_column *columns;
    size_t count, widths[TABLE_COLUMNS_MAX];
    char (*cells)[TABLE_CELL_BYTES]; // row by row
    size_t cell_count, cell_room;
    bool titled;
};

// `columns` is borrowed.
void table_init(struct table *t, const struct table_column *columns);
void table_fini(struct table *t);
void table_add(struct table *t, const char *text); // the next cell; NULL or empty: "-"
// Prints what was gathered, the titles before the first, and forgets it. columns_max 0: as wide as
// it gets; else cells of columns that may shrink are cut, with an ellipsis.
void table_print(struct table *t, FILE *out, int columns_max);

#endif
