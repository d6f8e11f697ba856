// What takes back: which earlier orders it is held against.
#include "trace/trace.h"

#include <stdlib.h>

struct taking {
    const struct trace *t;
    bool (*accepted)(const void *ctx, uint32_t invoice);
    const void *ctx;
    int64_t *taken_back;
    struct trace_piece *pieces;
    uint32_t count;
};

static void add(struct taking *k, uint32_t order, uint32_t line, uint32_t cell, int64_t quantity)
{
    k->pieces[k->count++] = (struct trace_piece){order, line, cell, quantity};
    if (line != TRACE_NONE)
        k->taken_back[line] += quantity;
}

// Newest order first; what no order explains is an adjustment.
static void line_take(struct taking *k, uint32_t invoice, const struct trace_line *line)
{
    const struct trace *t = k->t;
    int64_t left = line->quantity;
    uint32_t splits = 0;
    // The last piece of a line is the adjustment's.
    for (uint32_t at = t->invoices[invoice].before;
         at != TRACE_NONE && left > 0 && splits < TRACE_PIECES_MAX - 1;
         at = t->invoices[at].before) {
        if (t->invoices[at].kind != TRACE_ORDER || !k->accepted(k->ctx, at))
            continue;
        const struct trace_line *sold = trace_find(t, &t->invoices[at], line->cell);
        int64_t rest = sold ? sold->quantity - k->taken_back[sold - t->lines] : 0;
        if (rest <= 0)
            continue;
        splits++;
        int64_t part = rest < left ? rest : left;
        add(k, at, (uint32_t)(sold - t->lines), line->cell, part);
        left -= part;
    }
    if (left > 0)
        add(k, TRACE_NONE, TRACE_NONE, line->cell, left);
}

static int by_order(const void *a, const void *b)
{
    const struct trace_piece *x = a, *y = b;
    return x->order < y->order ? -1 : x->order > y->order;
}

uint32_t trace_take_back(const struct trace *t, uint32_t invoice,
                         bool (*accepted)(const void *ctx, uint32_t invoice), const void *ctx,
                         int64_t *taken_back, struct trace_piece *pieces)
{
    const struct trace_invoice *i = &t->invoices[invoice];
    struct taking k = {t, accepted, ctx, taken_back, pieces, 0};
    for (uint32_t n = 0; n < i->count; n++) {
        const struct trace_line *line = &t->lines[i->first + n];
        if (i->kind == TRACE_RETURN)
            line_take(&k, invoice, line);
        else
            add(&k, TRACE_NONE, TRACE_NONE, line->cell, -line->quantity);
    }
    qsort(pieces, k.count, sizeof *pieces, by_order);
    return k.count;
}
