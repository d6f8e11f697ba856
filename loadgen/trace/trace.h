// A trace of real orders: a file in the format of the UCI "Online Retail" set, as invoices.
//
// Columns by name: InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID,
// Country (the second edition's names too). Plain or gzip. An InvoiceNo that starts with C takes
// goods back; a negative line elsewhere is a correction of stock. Codes that are no goods (postage,
// fees, discounts: what begins with no digit, but for DCGS) are left out and counted. InvoiceDate
// may be missing: then all have minute 0.
#ifndef HOLDFAST_LOADGEN_TRACE_H
#define HOLDFAST_LOADGEN_TRACE_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_NONE UINT32_MAX

enum trace_kind { TRACE_ORDER, TRACE_RETURN, TRACE_CORRECTION };

struct trace_line {
    uint32_t cell;
    int64_t quantity; // > 0; of a correction: what is written off
};

struct trace_invoice {
    char number[16];
    enum trace_kind kind;
    uint32_t customer;     // TRACE_NONE: not known
    uint32_t before;       // the customer's invoice before this one, TRACE_NONE: none
    uint32_t minute;       // since the trace's first invoice
    uint32_t first, count; // lines: sorted by cell, each cell once
};

struct trace_cell {
    char sku[HF_SKU_BYTES_MAX + 1];
    char location[HF_LOCATION_BYTES_MAX + 1];
    int64_t demand; // of all orders
};

struct trace {
    struct trace_invoice *invoices;
    struct trace_line *lines;
    struct trace_cell *cells;
    uint32_t invoice_count, line_count, cell_count, customer_count, widest;
    // Rows; of them left out: no goods, not to be read; kept, with a date that could not be read.
    uint64_t rows, rows_skipped, rows_bad, dates_bad, orders, returns, corrections;
    char first[120]; // the first of those, with its line; "": none
    char why[320];   // when it could not be read
};

// one_location: all countries are one place. False: t->why says what was wrong.
bool trace_read(struct trace *t, const char *path, bool one_location);
void trace_free(struct trace *t);

// A part of what an invoice takes back: of an earlier order's line, or of nobody's.
struct trace_piece {
    uint32_t order; // invoice; TRACE_NONE: no order explains it, stock is adjusted
    uint32_t line;  // of t->lines
    uint32_t cell;
    int64_t quantity; // of a correction: below zero
};
#define TRACE_PIECES_MAX 4 // for each line that takes back: orders that it is split over

// Which pieces stand for an invoice that is no order, sorted by order: the customer's newest
// accepted orders first, and what none explains as adjustments. taken_back, by line of the trace,
// is what was taken back so far, and rises. Room for TRACE_PIECES_MAX a line. Returns the count.
uint32_t trace_take_back(const struct trace *t, uint32_t invoice,
                         bool (*accepted)(const void *ctx, uint32_t invoice), const void *ctx,
                         int64_t *taken_back, struct trace_piece *pieces);

// Writes a made-up trace in the same format, gzipped: `invoices` of skewed widths up to 705 lines.
bool trace_make(const char *path, uint32_t invoices, uint64_t seed);

// The line of an invoice for a cell; NULL: none.
const struct trace_line *trace_find(const struct trace *t, const struct trace_invoice *i,
                                    uint32_t cell);

#endif
