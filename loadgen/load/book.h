// The client's own account of stock, by cell: plain sums over what it was told.
//
// A cell's stock on the server must be what it was at the start, changed by exactly this:
//
//   held                 + taken - committed - released - expired
//   on hand - committed  + adjusted - committed - ordered - recorded + cancelled + returned
//
// and available is not below zero, but for what facts (recorded, written off) took.
//
// The difference of on hand and committed is compared, as both fall together when the ERP takes
// over what was sold. Scrapped returns change neither. Quantities of one writer; sums over books.
#ifndef HOLDFAST_LOADGEN_BOOK_H
#define HOLDFAST_LOADGEN_BOOK_H

#include "load/op.h"

#include <stddef.h>

#define BOOK_COLUMN_TABLE(X)                                                                       \
    X(taken, "by holds")                                                                           \
    X(committed, "of holds, sold")                                                                 \
    X(released, "of holds, given back")                                                            \
    X(expired, "of holds, ended by their deadline")                                                \
    X(ordered, "sold at once")                                                                     \
    X(recorded, "sold elsewhere")                                                                  \
    X(cancelled, "of what was sold, back before shipment")                                         \
    X(returned, "of what was sold, back on the shelf")                                             \
    X(adjusted, "counted, plus or minus")                                                          \
    X(written_off, "of the adjustments, what went below what was there")

struct book_cell {
#define X(name, help) int64_t name;
    BOOK_COLUMN_TABLE(X)
#undef X
    bool touched; // some request named it
};
enum book_column {
#define X(name, help) BOOK_##name,
    BOOK_COLUMN_TABLE(X)
#undef X
        BOOK_COLUMN_COUNT
};

struct book {
    struct book_cell *cells;
    uint32_t count;
};

bool book_init(struct book *b, uint32_t cells); // false: no memory
void book_fini(struct book *b);
void book_touch(struct book *b, const struct op_line *lines, uint32_t count);
void book_add(struct book *b, enum book_column column, const struct op_line *lines, uint32_t count);
void book_merge(struct book *into, const struct book *from); // of the same cells

static inline int64_t book_held(const struct book_cell *c)
{
    return c->taken - c->committed - c->released - c->expired;
}
// Change of on hand - committed.
static inline int64_t book_net(const struct book_cell *c)
{
    return c->adjusted - c->committed - c->ordered - c->recorded + c->cancelled + c->returned;
}

#endif
