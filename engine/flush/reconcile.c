#include "flush/reconcile.h"

#include "core/record.h"
#include "flush/fate.h"
#include "flush/records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS  10000
#define WAIT_MS 10000

struct side { // the engine's, at one moment; arrays by handle
    struct reconcile_terms *terms;
    bool *busy; // a batch of it is under way
};

struct run {
    const struct reconcile_options *o;
    uint32_t cells;
    struct side before, after;
    struct mirror_sums odoo;
    bool *judged;
    struct reconcile_report *out;
};

#define TEXTS(table, what) static const char *const table[] = {RECONCILE_CAUSE_TABLE(what)};
#define NAME(name, help)   #name,
#define HELP(name, help)   help,
TEXTS(names, NAME)
TEXTS(helps, HELP)

const char *reconcile_cause_name(enum reconcile_cause c)
{
    return (unsigned)c < RECONCILE_CAUSE_COUNT ? names[c] : "unknown";
}

const char *reconcile_cause_help(enum reconcile_cause c)
{
    return (unsigned)c < RECONCILE_CAUSE_COUNT ? helps[c] : "unknown";
}

void reconcile_report_free(struct reconcile_report *r)
{
    free(r->rows);
    *r = (struct reconcile_report){0};
}

// ------------------------------------------------------------------------------- the engine's side

// What a movement does to its stock location in Odoo, when on hand has it already.
static int64_t ahead(enum flush_kind kind, int64_t quantity)
{
    return kind == FLUSH_SALE || kind == FLUSH_SCRAP ? 0 : quantity;
}

struct fates_asked {
    struct flush_fates *fates;
    enum hf_status status;
};

static void fates_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    struct fates_asked *k = ctx;
    (void)w, (void)now_ms;
    k->status = flush_fates_create(f, &k->fates);
}

static void spans_add(struct run *r, struct side *s, const struct flush_fates *fates)
{
    uint32_t n;
    const struct flush_span *at = flush_fates_spans(fates, &n);
    for (uint32_t i = 0; i < n; i++) {
        if (at[i].handle >= r->cells)
            continue;
        struct reconcile_terms *t = &s->terms[at[i].handle];
        int64_t q = at[i].quantity, more = ahead((enum flush_kind)at[i].kind, q);
        bool sale = at[i].kind == FLUSH_SALE;
        switch ((enum flush_where)at[i].where) {
        case FLUSH_IN_FLIGHT:
            t->in_flight += more;
            s->busy[at[i].handle] = true;
            break;
        case FLUSH_BOOKED:
            t->booked += sale ? q : 0;
            break;
        case FLUSH_DEAD:
            t->dead += more;
            break;
        case FLUSH_DISCARDED:
            t->discarded += sale ? -q : more;
            s->busy[at[i].handle] |= at[i].unsettled;
            break;
        default:
            break;
        }
    }
}

struct unread {
    struct run *r;
    struct side *s;
};

static enum hf_status unread_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *frame)
{
    struct unread *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    (void)lsn, (void)time_ms;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    for (uint32_t i = 0; i < rec->line_count; i++) {
        enum flush_kind kind;
        int64_t q;
        if (rec->lines[i].handle < k->r->cells && flush_movement_of(&rec->lines[i], &p, &kind, &q))
            k->s->terms[rec->lines[i].handle].unposted += ahead(kind, q);
    }
    return HF_OK;
}

static enum hf_status side_read(struct run *r, struct side *s)
{
    struct core *c = r->o->core;
    struct fates_asked asked = {0};
    memset(s->terms, 0, r->cells * sizeof *s->terms);
    memset(s->busy, 0, r->cells * sizeof *s->busy);
    enum hf_status st = r->o->desk->ask(r->o->desk, fates_work, &asked, ASK_MS);
    if (st != HF_OK || asked.status != HF_OK)
        return st != HF_OK ? st : asked.status;
    spans_add(r, s, asked.fates);
    uint64_t taken = flush_fates_taken(asked.fates);
    flush_fates_destroy(asked.fates);
    for (uint32_t i = 0; i < r->cells; i++) {
        struct core_cell cell;
        if (core_cell_read(c, i, &cell) == HF_OK)
            s->terms[i].on_hand = cell.on_hand;
    }
    uint64_t appended = journal_appended(core_journal(c));
    if (core_wait(c, appended, WAIT_MS) != HF_OK)
        return HF_AGAIN;
    struct unread k = {r, s};
    st = appended > taken ? records_walk(c, taken, appended, unread_visit, &k) : HF_OK;
    return st == HF_BUSY || st == HF_NOT_FOUND ? HF_AGAIN : st;
}

// ------------------------------------------------------------------------------- judging

static enum reconcile_cause cause_of(const struct run *r, const struct reconcile_row *row)
{
    const struct reconcile_terms *t = &row->terms;
    if (row->difference)
        return r->odoo.seen[row->handle] ? RECONCILE_DIFFERENCE : RECONCILE_ABSENT;
    if (row->odoo_millionths)
        return RECONCILE_FRACTION;
    return t->unposted || t->in_flight || t->booked || t->dead || t->discarded ? RECONCILE_EXPLAINED
                                                                               : RECONCILE_AGREES;
}

static void judge(struct run *r, bool last)
{
    for (uint32_t i = 0; i < r->out->count; i++) {
        struct reconcile_row *row = &r->out->rows[i];
        uint32_t h = row->handle;
        if (r->judged[h])
            continue;
        row->terms = r->after.terms[h];
        row->odoo = r->odoo.whole[h];
        row->odoo_millionths = (uint32_t)lrint(r->odoo.fraction[h] * 1e6);
        const struct reconcile_terms *t = &row->terms;
        row->difference = row->odoo - (t->on_hand - t->unposted - t->in_flight - t->booked -
                                       t->dead - t->discarded);
        bool still = !r->before.busy[h] && !r->after.busy[h] &&
                     memcmp(&r->before.terms[h], t, sizeof *t) == 0;
        row->cause = still ? cause_of(r, row) : RECONCILE_MOVING;
        // What differs is looked at twice: quants may have been merged between two pages.
        r->judged[h] = still && (row->difference == 0 || last);
    }
}

static bool all_judged(const struct run *r)
{
    for (uint32_t i = 0; i < r->out->count; i++)
        if (!r->judged[r->out->rows[i].handle])
            return false;
    return true;
}

static enum hf_status pass(struct run *r, bool last)
{
    enum hf_status s = side_read(r, &r->before);
    if (s == HF_OK)
        s = mirror_quants(r->o->mirror, &r->odoo, &r->out->odd);
    if (s == HF_OK && r->o->between)
        s = r->o->between(r->o->ctx);
    if (s == HF_OK)
        s = side_read(r, &r->after);
    if (s == HF_OK)
        judge(r, last);
    return s;
}

static bool ours(const struct mirror *m, const struct core_name *n)
{
    for (uint32_t i = 0; i < m->location_count; i++)
        if (strlen(m->locations[i].name) == n->location_bytes &&
            memcmp(m->locations[i].name, n->location, n->location_bytes) == 0)
            return true;
    return false;
}

static bool rows_make(struct run *r)
{
    r->out->rows = calloc(r->cells + 1, sizeof *r->out->rows);
    for (uint32_t i = 0; r->out->rows && i < r->cells; i++) {
        struct core_name n;
        if (core_cell_name(r->o->core, i, &n) == HF_OK && ours(r->o->mirror, &n))
            r->out->rows[r->out->count++].handle = i;
    }
    return r->out->rows != NULL;
}

static bool memory_take(struct run *r)
{
    size_t n = r->cells + 1;
    struct side *sides[] = {&r->before, &r->after};
    bool ok = true;
    for (int i = 0; i < 2; i++) {
        sides[i]->terms = calloc(n, sizeof *sides[i]->terms);
        sides[i]->busy = calloc(n, sizeof *sides[i]->busy);
        ok &= sides[i]->terms && sides[i]->busy;
    }
    r->odoo = (struct mirror_sums){.whole = calloc(n, sizeof(int64_t)),
                                   .fraction = calloc(n, sizeof(double)),
                                   .seen = calloc(n, sizeof(bool)),
                                   .cells = r->cells};
    r->judged = calloc(n, sizeof *r->judged);
    return ok && r->odoo.whole && r->odoo.fraction && r->odoo.seen && r->judged && rows_make(r);
}

static void memory_give(struct run *r)
{
    free(r->before.terms);
    free(r->before.busy);
    free(r->after.terms);
    free(r->after.busy);
    free(r->odoo.whole);
    free(r->odoo.fraction);
    free(r->odoo.seen);
    free(r->judged);
}

enum hf_status reconcile_run(const struct reconcile_options *o, struct reconcile_report *out)
{
    struct run r = {.o = o, .cells = core_cell_count(o->core), .out = out};
    uint32_t passes = o->passes ? o->passes : 3;
    *out = (struct reconcile_report){.started_ms = core_now(o->core)};
    enum hf_status s = memory_take(&r) ? mirror_read(o->mirror) : HF_NO_MEMORY;
    for (uint32_t i = 0; s == HF_OK && i < passes && (i == 0 || !all_judged(&r)); i++)
        s = pass(&r, i > 0);
    memory_give(&r);
    out->finished_ms = core_now(o->core);
    for (uint32_t i = 0; i < out->count; i++) {
        out->differing += out->rows[i].cause >= RECONCILE_ABSENT;
        out->moving += out->rows[i].cause == RECONCILE_MOVING;
    }
    if (s != HF_OK)
        reconcile_report_free(out);
    return s;
}
