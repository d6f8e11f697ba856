// stock import: rows of a CSV file into stock cells, exactly once.
//
// Every row carries an operation id made from the import's id and the row's cell. The server acts
// once on an id, so an import that was interrupted is simply sent again, from the state file's
// place or from the beginning, with the same import id. The ids carry the time of the import's id,
// and the server refuses unknown ids that are older than its window: within it a resumed import is
// exact, beyond it the rows that were not done are refused, and told.
#ifndef HOLDFAST_CTL_IMPORT_H
#define HOLDFAST_CTL_IMPORT_H

#include "base/uuid.h"
#include "ctl/csv_file.h"

#define IMPORT_VALUES 3 // on hand, safety stock, backorder limit

struct import_row {
    uint64_t line;
    const char *sku, *location; // in the file's text
    unsigned unit_scale;
    bool scale_given; // else the cell's own, or 0 of one that is made: import_row_scale
    bool given[IMPORT_VALUES];
    const char *texts[IMPORT_VALUES]; // of those that are given
    int64_t values[IMPORT_VALUES];
    bool done;
};

// A file that was read and checked.
struct import_file {
    struct csv_file csv;
    struct import_row *rows;
    size_t count, room;
};

// Reads a file ("-": standard input) and checks every row; each error is a line on `err`. Same cell
// twice is an error: which row counts would depend on their order. CTL_USAGE: the file or its
// header cannot be read; bad rows only count. `raw`: quantities are smallest units.
enum ctl_exit import_read(struct ctl *c, const char *path, struct import_file *f);
void import_fini(struct import_file *f);
// Reads a row's quantities by its scale: again, once that is known. False: *why is which and why.
bool import_row_scale(struct import_row *r, unsigned unit_scale, bool raw, const char **which,
                      const char **why);

// The operation of a row. Depends on nothing but the import and the cell, so that lines may be
// moved, and rows that failed may be mended, between an import and its resumption.
struct hf_uuid import_operation(struct hf_uuid import, const char *sku, const char *location);

// Where an import stands, as its state file tells it.
struct import_state {
    struct hf_uuid id;
    uint64_t file_hash;
    uint64_t next_row; // all before it are done; counts only for a file of the same hash
    bool raw;
    char reason[65];
};

// Written to a new file beside it, synced, and renamed. False: told, errno's text.
bool import_state_write(struct ctl *c, const char *path, const struct import_state *s);
// False: told.
bool import_state_read(struct ctl *c, const char *path, struct import_state *s);

#endif
