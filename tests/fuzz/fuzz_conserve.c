#include "fuzz/fuzz_conserve.h"

#include "core/record.h"

static int by_id(const void *a, const void *b)
{
    const struct core_view *x = a, *y = b;
    if (x->id.hi != y->id.hi)
        return x->id.hi < y->id.hi ? -1 : 1;
    return x->id.lo < y->id.lo ? -1 : x->id.lo > y->id.lo;
}

static void views_take(struct world *w, struct conserve *out, int64_t held[CONSERVE_CELLS_MAX])
{
    static struct core_line lines[HF_LINES_MAX];
    const struct core_filter all = {0};
    uint64_t cursor = 0;
    do {
        HF_ASSERT(out->views < CONSERVE_VIEWS_MAX);
        out->views += core_list(w->worker, &all, &cursor, &out->view[out->views],
                                CONSERVE_VIEWS_MAX - out->views);
    } while (cursor);
    for (uint32_t i = 0; i < out->views; i++) {
        struct core_view v;
        HF_ASSERT(out->view[i].ticket <= journal_appended(core_journal(w->core)));
        if (out->view[i].state != CORE_STATE_HELD)
            continue;
        HF_ASSERT(core_get(w->worker, core_now(w->core), out->view[i].id, &v, lines,
                           HF_LINES_MAX) == HF_OK);
        HF_ASSERT(v.state == CORE_STATE_HELD && !v.lines_away && v.line_count <= HF_LINES_MAX);
        for (uint32_t k = 0; k < v.line_count; k++) {
            HF_ASSERT(lines[k].handle < out->cells && lines[k].quantity >= 0);
            held[lines[k].handle] += lines[k].quantity;
        }
    }
    qsort(out->view, out->views, sizeof out->view[0], by_id);
}

void conserve_take(struct world *w, struct conserve *out)
{
    int64_t held[CONSERVE_CELLS_MAX] = {0};
    out->views = 0;
    out->cells = core_cell_count(w->core);
    HF_ASSERT(out->cells <= CONSERVE_CELLS_MAX);
    views_take(w, out, held);
    for (uint32_t i = 0; i < out->cells; i++) {
        struct core_cell *c = &out->cell[i];
        *c = (struct core_cell){0};
        HF_ASSERT(core_cell_read(w->core, i, c) == HF_OK);
        HF_ASSERT(!c->unsettled && c->held == held[i]);
        HF_ASSERT(c->available ==
                  c->on_hand - c->held - c->committed - c->external - c->safety + c->backorder);
    }
}

void conserve_not_oversold(const struct conserve *before, const struct conserve *after)
{
    for (uint32_t i = 0; i < before->cells; i++)
        HF_ASSERT(after->cell[i].available >= before->cell[i].available ||
                  after->cell[i].available >= 0);
}

bool conserve_same_cells(const struct conserve *a, const struct conserve *b)
{
    for (uint32_t i = 0; i < a->cells && a->cells == b->cells; i++) {
        const struct core_cell *x = &a->cell[i], *y = &b->cell[i];
        if (x->available != y->available || x->on_hand != y->on_hand || x->held != y->held ||
            x->committed != y->committed || x->external != y->external || x->safety != y->safety ||
            x->backorder != y->backorder || x->active != y->active || x->scale != y->scale)
            return false;
    }
    return a->cells == b->cells;
}

// ------------------------------------------------------------------------ the sum of records

struct sums {
    struct core_cell cell[CONSERVE_CELLS_MAX];
    uint32_t cells;
};

static void line_add(struct sums *s, const struct core_record_line *l)
{
    HF_ASSERT(l->handle < CONSERVE_CELLS_MAX);
    struct core_cell *c = &s->cell[l->handle];
    int64_t q = l->quantity;
    switch ((enum core_role)l->role) {
    case CORE_ROLE_HOLD:
        c->held += q;
        break;
    case CORE_ROLE_ORDER:
        c->committed += q;
        break;
    case CORE_ROLE_COMMIT:
        c->held -= q;
        c->committed += q;
        break;
    case CORE_ROLE_GIVE_BACK:
        c->held -= q;
        break;
    case CORE_ROLE_CANCEL:
        c->committed -= q;
        break;
    case CORE_ROLE_RESTOCK:
    case CORE_ROLE_ON_HAND:
        c->on_hand += q;
        break;
    case CORE_ROLE_SAFETY:
        c->safety = q;
        break;
    case CORE_ROLE_BACKORDER:
        c->backorder = q;
        break;
    case CORE_ROLE_EXTERNAL:
        c->external = q;
        break;
    case CORE_ROLE_ACTIVE:
        c->active = q != 0;
        break;
    case CORE_ROLE_ACKNOWLEDGE:
        c->on_hand -= q;
        c->committed -= q;
        break;
    case CORE_ROLE_SCALE:
        c->scale = (uint8_t)q;
        break;
    case CORE_ROLE_SCRAP:
    case CORE_ROLE_END:
        break;
    }
}

static enum hf_status record_add(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *frame)
{
    const struct core_record *r = (const struct core_record *)frame;
    struct core_record_parts parts;
    struct sums *s = ctx;
    (void)lsn, (void)time_ms;
    HF_ASSERT(core_record_parse(frame, &parts));
    s->cells += frame->type == CORE_RECORD_CELL;
    for (uint32_t i = 0; i < r->line_count; i++)
        line_add(s, &r->lines[i]);
    return HF_OK;
}

void conserve_records(struct world *w, const struct conserve *now)
{
    static struct conserve wanted;
    struct journal_report report;
    struct sums s = {0};
    HF_ASSERT(journal_inspect(w->options.storage, NULL, record_add, &s, &report) == HF_OK);
    if (report.first_lsn != 1)
        return;
    HF_ASSERT(report.last_lsn == journal_appended(core_journal(w->core)));
    wanted.cells = s.cells;
    for (uint32_t i = 0; i < s.cells; i++) {
        struct core_cell *c = &s.cell[i];
        c->available = c->on_hand - c->held - c->committed - c->external - c->safety + c->backorder;
        wanted.cell[i] = *c;
    }
    HF_ASSERT(conserve_same_cells(&wanted, now));
}

void conserve_restarted(const struct conserve *before, const struct conserve *after)
{
    HF_ASSERT(conserve_same_cells(before, after));
    for (uint32_t i = 0, k = 0; i < before->views; i++) {
        const struct core_view *x = &before->view[i];
        while (k < after->views && by_id(&after->view[k], x) < 0)
            k++;
        const struct core_view *y = k < after->views ? &after->view[k] : NULL;
        if (!y || !hf_uuid_equal(y->id, x->id)) {
            // Brought back from the disk, or past the window.
            HF_ASSERT(x->state != CORE_STATE_HELD);
            continue;
        }
        HF_ASSERT(x->state == y->state && x->verb == y->verb && x->version == y->version);
        HF_ASSERT(x->state != CORE_STATE_HELD ||
                  (x->time_ms == y->time_ms && x->channel == y->channel &&
                   strcmp(x->reference, y->reference) == 0 && strcmp(x->buyer, y->buyer) == 0));
    }
}
