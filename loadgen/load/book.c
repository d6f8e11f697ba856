#include "load/book.h"

#include <stdlib.h>

bool book_init(struct book *b, uint32_t cells)
{
    b->cells = calloc(cells ? cells : 1, sizeof *b->cells);
    b->count = cells;
    return b->cells != NULL;
}

void book_fini(struct book *b)
{
    free(b->cells);
    *b = (struct book){0};
}

static int64_t *column_of(struct book_cell *c, enum book_column column)
{
    static const size_t offsets[] = {
#define X(name, help) offsetof(struct book_cell, name),
        BOOK_COLUMN_TABLE(X)
#undef X
    };
    return (int64_t *)(void *)((char *)c + offsets[column]);
}

void book_touch(struct book *b, const struct op_line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        b->cells[lines[i].cell].touched = true;
}

void book_add(struct book *b, enum book_column column, const struct op_line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        *column_of(&b->cells[lines[i].cell], column) += lines[i].quantity;
}

void book_merge(struct book *into, const struct book *from)
{
    for (uint32_t i = 0; i < into->count; i++) {
        if (!from->cells[i].touched)
            continue;
        into->cells[i].touched = true;
        for (int c = 0; c < BOOK_COLUMN_COUNT; c++)
            *column_of(&into->cells[i], (enum book_column)c) +=
                *column_of(&from->cells[i], (enum book_column)c);
    }
}
