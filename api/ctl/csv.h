// A reader of comma-separated values (RFC 4180) over text in memory: fields in double quotes may
// hold commas, line ends and doubled quotes; lines end with LF or CR LF; a byte order mark at the
// beginning and empty lines are skipped. What the RFC forbids is an error, told with its line, and
// reading goes on with the next line.
#ifndef HOLDFAST_CTL_CSV_H
#define HOLDFAST_CTL_CSV_H

#include <stddef.h>
#include <stdint.h>

#define CSV_FIELDS_MAX 32

struct csv {
    char *at, *end; // the rest; *end is writable
    uint64_t line;  // of `at`, from 1 on
};

struct csv_row {
    uint64_t line; // where it begins
    size_t count;
    char *fields[CSV_FIELDS_MAX]; // terminated, in the text itself
    size_t bytes[CSV_FIELDS_MAX];
};

enum csv_result { CSV_ROW, CSV_BAD, CSV_END };

// The text is changed; text[bytes] must be writable.
void csv_init(struct csv *c, char *text, size_t bytes);
// CSV_BAD: row->line and *why (static text).
enum csv_result csv_next(struct csv *c, struct csv_row *row, const char **why);

#endif
