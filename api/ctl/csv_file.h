// A CSV file that is given to a command: read whole, its columns found by the header, its errors
// told with their lines.
#ifndef HOLDFAST_CTL_CSV_FILE_H
#define HOLDFAST_CTL_CSV_FILE_H

#include "ctl/csv.h"
#include "ctl/ctl.h"

#define CSV_COLUMNS_MAX 8

// What a command wants to read.
struct csv_columns {
    const char *const *names;
    size_t count;  // <= CSV_COLUMNS_MAX
    size_t needed; // the first so many must be there
};

struct csv_file {
    const char *path; // borrowed; "-": standard input
    char *text;
    size_t bad;                 // errors that were told
    uint64_t hash;              // of its bytes
    struct csv rows;            // those after the header
    int field[CSV_COLUMNS_MAX]; // of a row, of each column; -1: the file does not have it
    size_t fields;              // that every row must have
};

// Reads it, and its header. False: told; the text is the file's all the same.
bool csv_file_open(struct ctl *c, const char *path, const struct csv_columns *columns,
                   struct csv_file *f);
void csv_file_fini(struct csv_file *f);
// The next row that has as many fields as the header; what is none is told. False: no more.
bool csv_file_row(struct ctl *c, struct csv_file *f, struct csv_row *row);
// The field of a column; empty when the file does not have it.
const char *csv_file_field(const struct csv_file *f, const struct csv_row *row, size_t column);
// One error, as "FILE:LINE: WHAT WHY" on `err`.
void csv_file_bad(struct ctl *c, struct csv_file *f, uint64_t line, const char *what,
                  const char *why);
// Whether the field is a name of 1 to `most` bytes. False: told.
bool csv_file_name(struct ctl *c, struct csv_file *f, const struct csv_row *row, size_t column,
                   const char *what, uint32_t most);

#endif
