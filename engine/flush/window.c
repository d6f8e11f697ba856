// Movements netted per stock cell and kind: an open-addressing table over an array of lines.
#include "flush/flush_internal.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

bool window_init(struct flush_window *w, uint32_t lines_max)
{
    uint32_t size = 1;
    while (size < 2 * lines_max)
        size *= 2;
    *w = (struct flush_window){.max = lines_max, .most = lines_max, .mask = size - 1};
    w->lines = calloc(lines_max, sizeof *w->lines);
    w->table = calloc(size, sizeof *w->table);
    return w->lines && w->table;
}

void window_fini(struct flush_window *w)
{
    free(w->lines);
    free(w->table);
}

void window_clear(struct flush_window *w)
{
    w->count = 0;
    w->movements = 0;
    w->full = false;
    memset(w->table, 0, ((size_t)w->mask + 1) * sizeof *w->table);
}

bool window_fits(const struct flush_window *w, uint32_t lines, int64_t total)
{
    if (w->count > w->most || lines > w->most - w->count)
        return false;
    // One line carries no more than Odoo's doubles hold exactly.
    for (uint32_t i = 0; total > HF_QUANTITY_MAX / 2 && i < w->count; i++)
        if (llabs(w->lines[i].quantity) > HF_QUANTITY_MAX - total)
            return false;
    return true;
}

// NULL: none; *slot is where it belongs.
static struct flush_line *line_find(struct flush_window *w, const struct flush_line *l,
                                    uint32_t *slot)
{
    uint64_t key = (uint64_t)l->handle << 24 | (uint64_t)l->day << 8 | l->kind;
    uint32_t at = (uint32_t)hf_mix64(key) & w->mask;
    while (w->table[at]) {
        struct flush_line *have = &w->lines[w->table[at] - 1];
        if (!have->sealed && have->handle == l->handle && have->kind == l->kind &&
            have->day == l->day)
            return have;
        at = (at + 1) & w->mask;
    }
    *slot = at;
    return NULL;
}

static struct flush_line *line_get(struct flush_window *w, const struct flush_line *l)
{
    uint32_t at;
    struct flush_line *have = line_find(w, l, &at);
    if (have)
        return have;
    HF_ASSERT(w->count < w->max);
    w->table[at] = ++w->count;
    struct flush_line *fresh = &w->lines[w->count - 1];
    *fresh = *l;
    fresh->quantity = 0;
    fresh->movements = 0;
    return fresh;
}

void window_add(struct flush_window *w, const struct flush_line *l)
{
    struct flush_line *have = line_get(w, l);
    have->quantity += l->quantity;
    have->movements += l->movements;
    if (l->first_lsn < have->first_lsn)
        have->first_lsn = l->first_lsn;
    if (l->last_lsn > have->last_lsn)
        have->last_lsn = l->last_lsn;
    if (l->since_ms < have->since_ms)
        have->since_ms = l->since_ms;
    w->movements += l->movements;
}

void window_seal(struct flush_window *w, const struct flush_line *l)
{
    uint32_t at;
    struct flush_line *have = line_find(w, l, &at);
    if (have)
        have->sealed = 1;
}

void window_add_alone(struct flush_window *w, const struct flush_line *l)
{
    HF_ASSERT(w->count < w->max);
    w->lines[w->count] = *l; // in no table: it is never found again
    w->lines[w->count++].sealed = 1;
    w->movements += l->movements;
}
