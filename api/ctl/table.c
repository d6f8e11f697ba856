#include "ctl/table.h"

#include "ctl/ctl.h"
#include "ctl/format.h"

#include <stdlib.h>
#include <string.h>

#define GAP        2 // between columns
#define SHRUNK_MIN 8

void table_init(struct table *t, const struct table_column *columns)
{
    *t = (struct table){.columns = columns};
    while (columns[t->count].title) {
        t->widths[t->count] = strlen(columns[t->count].title);
        t->count++;
    }
}

void table_fini(struct table *t)
{
    free(t->cells);
    t->cells = NULL;
}

void table_add(struct table *t, const char *text)
{
    if (t->cell_count == t->cell_room) {
        t->cell_room = t->cell_room ? 2 * t->cell_room : 256;
        t->cells = ctl_grow(t->cells, t->cell_room * sizeof *t->cells);
    }
    size_t width =
        format_clean(text && *text ? text : "-", t->cells[t->cell_count], sizeof *t->cells);
    size_t column = t->cell_count++ % t->count;
    if (width > t->widths[column])
        t->widths[column] = width;
}

// Takes from the widest column that may shrink, a column at a time, until the line fits.
static void fit(const struct table *t, size_t widths[TABLE_COLUMNS_MAX], size_t columns_max)
{
    size_t sum = 0;
    for (size_t i = 0; i < t->count; i++)
        sum += widths[i] + (i > 0 ? GAP : 0);
    while (sum > columns_max) {
        size_t widest = t->count;
        for (size_t i = 0; i < t->count; i++)
            if (t->columns[i].may_shrink && widths[i] > SHRUNK_MIN &&
                (widest == t->count || widths[i] > widths[widest]))
                widest = i;
        if (widest == t->count)
            return;
        widths[widest]--;
        sum--;
    }
}

// Bytes of `text` that fill at most `columns`; *taken tells how many columns they do fill.
static size_t cut(const char *text, size_t columns, size_t *taken)
{
    char clean[TABLE_CELL_BYTES], one[TABLE_CELL_BYTES];
    size_t end = 0, bytes = strlen(text);
    *taken = 0;
    for (size_t next = 1; next <= bytes; next++) {
        if (next < bytes && ((unsigned char)text[next] & 0xc0) == 0x80)
            continue; // inside a character
        snprintf(one, sizeof one, "%.*s", (int)next, text);
        size_t width = format_clean(one, clean, sizeof clean);
        if (width > columns)
            break;
        *taken = width;
        end = next;
    }
    return end;
}

static void print_cell(const char *text, size_t width, bool right, bool at_end, FILE *out)
{
    char unused[TABLE_CELL_BYTES];
    size_t columns = format_clean(text, unused, sizeof unused), bytes = strlen(text);
    bool shortened = columns > width;
    if (shortened) {
        bytes = cut(text, width - 1, &columns);
        columns++;
    }
    int pad = (int)(width - columns);
    fprintf(out, "%*s%.*s%s", right ? pad : 0, "", (int)bytes, text, shortened ? "…" : "");
    if (!at_end)
        fprintf(out, "%*s", (right ? 0 : pad) + GAP, "");
}

void table_print(struct table *t, FILE *out, int columns_max)
{
    size_t widths[TABLE_COLUMNS_MAX];
    HF_ASSERT(t->count > 0);
    memcpy(widths, t->widths, sizeof widths);
    if (columns_max > 0)
        fit(t, widths, (size_t)columns_max);
    for (size_t i = 0; i < t->count && !t->titled; i++) {
        print_cell(t->columns[i].title, widths[i], t->columns[i].right, i + 1 == t->count, out);
        if (i + 1 == t->count)
            fputc('\n', out);
    }
    t->titled = true;
    for (size_t k = 0; k < t->cell_count; k++) {
        size_t i = k % t->count;
        print_cell(t->cells[k], widths[i], t->columns[i].right, i + 1 == t->count, out);
        if (i + 1 == t->count)
            fputc('\n', out);
    }
    t->cell_count = 0;
}
