// Closing a window: its lines become batches of one kind, direction and location each, or dead
// letters. Names and contents are then saved before anything is sent.
#include "flush/flush_internal.h"

#include "base/hash.h"
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Records without movements move the durable position along when so many have been read.
#define IDLE_RECORDS 65536

void batch_name(const struct flush *f, uint64_t number, char name[FLUSH_NAME_BYTES])
{
    // 48 of the incarnation's random bits.
    snprintf(name, FLUSH_NAME_BYTES, "HF/%s/%012" PRIx64 "/%d/%" PRIu64, f->engine,
             f->incarnation.lo & UINT64_C(0xffffffffffff), FLUSH_SHARD, number);
}

uint32_t batch_line_of(const struct flush *f)
{
    struct hf_uuid id = journal_engine_id(core_journal(f->options.core));
    return (uint32_t)hf_hash_uuid(&id);
}

void batch_origin(const struct flush *f, const struct flush_batch *b, char origin[FLUSH_NAME_BYTES])
{
    char name[FLUSH_NAME_BYTES];
    batch_name(f, b->number, name);
    snprintf(origin, FLUSH_NAME_BYTES, "%.72s %016" PRIx64 " %.10s %08" PRIx32 "/%" PRIu64, name,
             b->hash, flush_kind_name(b->kind), batch_line_of(f), f->born_lsn);
}

uint64_t batch_hash(const struct flush_batch *b)
{
    uint64_t head[] = {b->company, b->type, b->source, b->destination};
    uint64_t h = hf_hash(head, sizeof head, 0);
    for (uint32_t i = 0; i < b->line_count; i++) {
        const struct flush_line *l = &b->lines[i];
        uint64_t line[] = {l->product, l->uom, l->scale, (uint64_t)l->quantity};
        h = hf_hash(line, sizeof line, h);
    }
    return h;
}

// ------------------------------------------------------------------------------- the window's end

struct closing {
    struct flush *f;
    struct flush_line *lines;
    enum flush_cause *causes;
    uint32_t count;
};

static int line_order(const void *a, const void *b, void *ctx)
{
    const struct flush_line *x = a, *y = b;
    const struct flush *f = ctx;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    const struct flush_place *p = place_of(f, x->handle), *q = place_of(f, y->handle);
    if (p != q)
        return p < q ? -1 : 1;
    bool back = x->quantity < 0, back_too = y->quantity < 0;
    if (back != back_too)
        return back ? 1 : -1;
    if (x->sealed != y->sealed)
        return x->sealed < y->sealed ? -1 : 1;
    return x->handle < y->handle ? -1 : x->handle > y->handle;
}

static bool same_batch(const struct flush *f, const struct flush_line *a,
                       const struct flush_line *b)
{
    return a->kind == b->kind && a->day == b->day && (a->quantity < 0) == (b->quantity < 0) &&
           a->sealed == b->sealed && place_of(f, a->handle) == place_of(f, b->handle);
}

// How many lines from `at` on go into one batch.
static uint32_t run_length(const struct closing *c, uint32_t at)
{
    uint32_t n = 1;
    while (at + n < c->count && n < c->f->options.batch_lines &&
           same_batch(c->f, &c->lines[at], &c->lines[at + n]) &&
           c->lines[at + n].handle != c->lines[at + n - 1].handle) // Odoo would merge them
        n++;
    return n;
}

static void collect(struct closing *c)
{
    struct flush *f = c->f;
    for (uint32_t i = 0; i < f->window.count; i++) {
        const struct flush_line *l = &f->window.lines[i];
        struct core_cell cell;
        if (l->quantity == 0)
            continue; // came and went within the window
        c->lines[c->count] = *l;
        if (core_cell_read(f->options.core, l->handle, &cell) == HF_OK)
            c->lines[c->count].scale = cell.scale;
        c->count++;
    }
    qsort_r(c->lines, c->count, sizeof *c->lines, line_order, f);
}

// What should become a dead letter waits for room: of a batch only itself, of a window the whole of
// it, and what is read after it.
static void dead_full(struct flush *f)
{
    if (!f->dead_full)
        hf_log(HF_LOG_ERROR, "flush_dead_letters_full", "dead_max=%u", f->options.dead_max);
    f->dead_full = true;
}

static void letter_explain(struct flush_dead *d)
{
    if (d->cause == FLUSH_CAUSE_REFUSED)
        snprintf(d->why, sizeof d->why,
                 "its unit has fewer decimal places in Odoo: raise Decimal Accuracy, Product Unit");
}

// Those that cannot be posted go to the end, as dead letters; the others keep their order.
static bool bury(struct closing *c, uint64_t now_ms)
{
    struct flush *f = c->f;
    uint32_t kept = 0, dead = 0, retried = 0;
    for (uint32_t i = 0; i < c->count; i++)
        dead += c->causes[i] != FLUSH_CAUSE_NONE;
    for (uint32_t i = 0; i < f->dead_count; i++)
        retried += f->retrying[i];
    if (f->dead_count - retried + dead > f->options.dead_max) {
        dead_full(f);
        f->close_at_ms = now_ms + f->options.retry_max_ms;
        return false;
    }
    f->dead_full = false;
    for (uint32_t i = 0; i < f->dead_count; i++)
        if (!f->retrying[i])
            f->dead[kept++] = f->dead[i];
    f->dead_count = kept;
    memset(f->retrying, 0, f->options.dead_max * sizeof *f->retrying);
    kept = 0;
    for (uint32_t i = 0; i < c->count; i++) {
        if (c->causes[i] == FLUSH_CAUSE_NONE) {
            c->lines[kept++] = c->lines[i];
            continue;
        }
        f->dead[f->dead_count++] = (struct flush_dead){.line = c->lines[i],
                                                       .id = f->next_dead++,
                                                       .dead_ms = now_ms,
                                                       .cause = (uint8_t)c->causes[i]};
        letter_explain(&f->dead[f->dead_count - 1]);
        f->dead[f->dead_count - 1].line.sealed = 0;
    }
    c->count = kept;
    if (dead)
        hf_log(HF_LOG_ERROR, "flush_dead_letters", "new=%u all=%u", dead, f->dead_count);
    return true;
}

static void route(struct flush_batch *b, const struct flush_place *p)
{
    bool stages = b->kind == FLUSH_SALE && p->mode == FLUSH_MODE_STAGE;
    uint32_t other[FLUSH_KIND_COUNT] = {[FLUSH_SALE] = stages ? p->sold : p->customer,
                                        [FLUSH_RESTOCK] = p->customer,
                                        [FLUSH_SCRAP] = p->customer,
                                        [FLUSH_RECEIPT] = p->supplier,
                                        [FLUSH_CORRECTION] = p->inventory};
    bool leaves = (b->kind == FLUSH_SALE) != b->back;
    uint32_t here = b->kind == FLUSH_SCRAP ? p->scrap : p->location;
    b->company = p->company;
    b->source = leaves ? here : other[b->kind];
    b->destination = leaves ? other[b->kind] : here;
    b->type = b->kind == FLUSH_CORRECTION || stages ? p->type_internal
              : leaves                              ? p->type_out
                                                    : p->type_in;
}

// Of lines of one kind, day and direction. `parent`: the batch that they were in, whose places they
// keep, also when their location is in the options no more; NULL: their place in the options.
static bool batch_form(struct flush *f, const struct flush_line *lines, uint32_t count,
                       const struct flush_batch *parent)
{
    struct flush_batch *b = &f->batches[f->batch_count];
    *b = (struct flush_batch){.number = f->next_batch,
                              .line_count = count,
                              .state = FLUSH_FORMED,
                              .kind = (enum flush_kind)lines->kind,
                              .back = lines->quantity < 0,
                              .step = FLUSH_STEP_SEND,
                              .unsent = true};
    b->lines = malloc(count * sizeof *b->lines);
    if (!b->lines)
        return false;
    memcpy(b->lines, lines, count * sizeof *b->lines);
    for (uint32_t i = 0; i < count; i++)
        b->lines[i].sealed = 0;
    // After a move Odoo may have what lies between this line and the next of its cell.
    b->alone = parent ? parent->alone : lines->sealed || f->moved.phase != FLUSH_NOT_MOVED;
    if (parent) {
        b->company = parent->company;
        b->type = parent->type;
        b->source = parent->source;
        b->destination = parent->destination;
        b->strange = parent->strange;
    } else {
        route(b, place_of(f, lines->handle));
    }
    b->hash = batch_hash(b);
    f->next_batch++;
    f->batch_count++;
    f->claims_stale = true;
    flush_count(&f->metrics.batches_formed, 1);
    return true;
}

static uint32_t open_lines(const struct flush *f)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->batch_count; i++)
        n += f->batches[i].line_count;
    return n;
}

static uint32_t batches_of(const struct closing *c)
{
    uint32_t batches = 0;
    for (uint32_t at = 0; at < c->count; at += run_length(c, at))
        batches++;
    return batches;
}

static bool room_for(const struct closing *c, uint32_t batches, uint64_t now_ms)
{
    struct flush *f = c->f;
    // A split needs one more than it ends.
    bool room = f->batch_count + batches < FLUSH_BATCHES_MAX &&
                open_lines(f) + c->count <= f->options.open_lines_max;
    if (!room && !f->batches_full)
        hf_log(HF_LOG_ERROR, "flush_batches_full", "open=%u more=%u lines=%u", f->batch_count,
               batches, c->count);
    f->batches_full = !room;
    if (!room)
        f->close_at_ms = now_ms + f->options.retry_ms;
    return room;
}

// ------------------------------------------------------------------------------- what waits

static bool within(const struct flush_line *l, const struct flush_line *span)
{
    return l->handle == span->handle && l->kind == span->kind && l->day == span->day &&
           l->last_lsn >= span->first_lsn && l->first_lsn <= span->last_lsn;
}

// Whether a line would take in the LSNs of another of its cell, kind and day, which is neither of
// the two that it is netted of: a letter, say. Each record's movement is to be found in one line.
static bool span_taken(const struct closing *c, const struct flush_line *span,
                       const struct flush_line *a, const struct flush_line *b)
{
    const struct flush *f = c->f;
    bool taken = false;
    for (uint32_t i = 0; i < c->count; i++)
        taken |= &c->lines[i] != a && within(&c->lines[i], span);
    for (uint32_t i = 0; i < f->batch_count; i++)
        for (uint32_t k = 0; k < f->batches[i].line_count; k++)
            taken |= &f->batches[i].lines[k] != b && within(&f->batches[i].lines[k], span);
    for (uint32_t i = 0; i < f->dead_count; i++)
        taken |= within(&f->dead[i].line, span);
    for (uint32_t i = 0; i < f->discard_count; i++)
        taken |= within(&f->discards[i].line, span);
    return taken;
}

// The window's line that this one of a waiting batch may be netted with; *both is what they become.
static struct flush_line *partner_of(const struct closing *c, const struct flush_line *l,
                                     struct flush_line *both)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct flush_line *have = &c->lines[i];
        if (have->sealed || have->handle != l->handle || have->kind != l->kind ||
            have->day != l->day || have->product != l->product)
            continue;
        *both = *have;
        both->quantity += l->quantity;
        both->movements += l->movements;
        both->first_lsn = l->first_lsn < have->first_lsn ? l->first_lsn : have->first_lsn;
        both->last_lsn = l->last_lsn > have->last_lsn ? l->last_lsn : have->last_lsn;
        both->since_ms = l->since_ms < have->since_ms ? l->since_ms : have->since_ms;
        return llabs(both->quantity) <= HF_QUANTITY_MAX && !span_taken(c, both, have, l) ? have
                                                                                         : NULL;
    }
    return NULL;
}

static bool any_partner(const struct closing *c, const struct flush_batch *b)
{
    struct flush_line both;
    bool any = false;
    for (uint32_t i = 0; i < b->line_count && !any; i++)
        any = partner_of(c, &b->lines[i], &both) != NULL;
    return any;
}

static void take_back(struct closing *c, struct flush_batch *b)
{
    for (uint32_t i = 0; i < b->line_count; i++) {
        struct flush_line both, *have = partner_of(c, &b->lines[i], &both);
        if (have)
            *have = both;
        else
            c->lines[c->count++] = b->lines[i];
    }
    batch_remove(c->f, b);
}

// What waits for a batch that keeps failing, and was never sent, is taken back and netted with what
// came since. Else each window would add a batch to it, until there is room for no other. `spare`:
// batches that there is room for beside those of the window.
static void waiting_absorb(struct closing *c, uint32_t spare)
{
    struct flush *f = c->f;
    uint32_t kept = 0;
    for (uint32_t i = f->batch_count; i-- > 0;) { // from the end: they wait for earlier ones
        struct flush_batch *b = &f->batches[i];
        if (b->unsent && !b->alone && b->behind && !b->calling && !b->doom &&
            b->line_count <= spare && pace_stuck(f, b) && any_partner(c, b)) {
            spare -= b->line_count; // each line may become a batch of its own
            take_back(c, b);
        }
    }
    for (uint32_t i = 0; i < c->count; i++)
        if (c->lines[i].quantity != 0)
            c->lines[kept++] = c->lines[i];
    c->count = kept;
    qsort_r(c->lines, c->count, sizeof *c->lines, line_order, f);
}

// ------------------------------------------------------------------------------- closing

// Of one product alone, or by batch_lines, the window would become more batches than may be open at
// once, however long it waits. Nothing of it is durable: it is thrown away and read again.
static void window_shorten(struct flush *f)
{
    window_clear(&f->window);
    f->window.most = FLUSH_WINDOW_BATCHES;
    memset(f->retrying, 0, f->options.dead_max * sizeof *f->retrying);
    f->read_lsn = f->taken_lsn;
    outbox_close(f);
}

static enum hf_status close_into(struct closing *c, uint64_t now_ms)
{
    struct flush *f = c->f;
    collect(c);
    uint32_t batches = batches_of(c);
    if (batches > FLUSH_WINDOW_BATCHES) {
        window_shorten(f);
        return HF_OK;
    }
    if (!room_for(c, batches, now_ms) || !products_find(f, c->lines, c->count, c->causes, now_ms) ||
        !bury(c, now_ms))
        return HF_AGAIN;
    waiting_absorb(c, FLUSH_BATCHES_MAX - 1 - f->batch_count - batches);
    for (uint32_t at = 0, n; at < c->count; at += n) {
        n = run_length(c, at);
        if (!batch_form(f, &c->lines[at], n, NULL))
            return flush_fail(f, HF_NO_MEMORY, "no memory for a batch");
    }
    f->taken_lsn = f->read_lsn;
    f->must_save = true;
    if (!f->window.full)
        f->window.most = f->window.max; // it has caught up
    window_clear(&f->window);
    return HF_OK;
}

// A whole segment that only waits to be taken: without an archive it is not recycled before.
static bool segment_waits(const struct flush *f)
{
    struct journal_segment oldest;
    return !core_archive(f->options.core) &&
           journal_closed_segments(core_journal(f->options.core), &oldest, 1) == 1 &&
           oldest.last_lsn > f->taken_lsn && oldest.last_lsn <= f->read_lsn;
}

// Nothing was read that has to be posted: whether that is worth a write. Not while an
// acknowledgement is looked for past what was taken.
static bool idle_worth(const struct flush *f)
{
    for (uint32_t i = 0; i < f->batch_count; i++)
        if (f->batches[i].step == FLUSH_STEP_ACK_FIND)
            return false;
    // What was learned after a move is needed until then.
    uint64_t applied = f->moved.phase == FLUSH_LEARNED ? f->moved.applied_lsn : 0;
    return f->read_lsn >= f->taken_lsn + IDLE_RECORDS || segment_waits(f) ||
           (f->taken_lsn < applied && f->read_lsn >= applied);
}

enum hf_status window_close(struct flush *f, uint64_t now_ms)
{
    if (f->window.movements == 0) {
        if (!idle_worth(f))
            return HF_AGAIN;
        f->taken_lsn = f->read_lsn;
        f->must_save = true;
        return HF_OK;
    }
    if (now_ms < f->close_at_ms ||
        (!f->window.full && now_ms < f->window.opened_ms + f->options.window_ms))
        return HF_AGAIN;
    if (!f->contacted)
        return contact_make(f, now_ms) ? HF_OK : HF_AGAIN;
    struct closing c = {.f = f};
    c.lines = calloc(f->window.count + (size_t)open_lines(f), sizeof *c.lines);
    c.causes = calloc(f->window.count, sizeof *c.causes);
    enum hf_status s = c.lines && c.causes ? close_into(&c, now_ms) : HF_AGAIN;
    free(c.lines);
    free(c.causes);
    return s;
}

// ------------------------------------------------------------------------------- the batch's end

void batch_remove(struct flush *f, struct flush_batch *b)
{
    free(b->lines);
    memmove(b, b + 1, (size_t)(f->batches + f->batch_count - (b + 1)) * sizeof *b);
    f->batch_count--;
    f->claims_stale = true;
}

static bool halves(struct flush *f, struct flush_batch *b)
{
    if (f->batch_count + 1 >= FLUSH_BATCHES_MAX)
        return false;
    struct flush_batch parent = *b;
    struct flush_line *lines = b->lines;
    uint32_t count = b->line_count, half = count / 2;
    b->lines = NULL;
    batch_remove(f, b);
    bool formed =
        batch_form(f, lines, half, &parent) && batch_form(f, lines + half, count - half, &parent);
    free(lines);
    if (!formed)
        flush_fail(f, HF_NO_MEMORY, "no memory for a batch");
    return formed;
}

bool batch_divide(struct flush *f, struct flush_batch *b, const bool *apart)
{
    if (f->batch_count + 1 >= FLUSH_BATCHES_MAX)
        return false;
    struct flush_line *lines = malloc(b->line_count * sizeof *lines);
    uint32_t count = b->line_count, n = 0;
    if (!lines)
        return false;
    for (int part = 0; part < 2; part++)
        for (uint32_t i = 0; i < count; i++)
            if (apart[i] == (part == 0))
                lines[n++] = b->lines[i];
    uint32_t first = 0;
    for (uint32_t i = 0; i < count; i++)
        first += apart[i];
    struct flush_batch parent = *b;
    batch_remove(f, b);
    bool formed = batch_form(f, lines, first, &parent) &&
                  batch_form(f, lines + first, count - first, &parent);
    free(lines);
    if (!formed)
        flush_fail(f, HF_NO_MEMORY, "no memory for a batch");
    f->must_save = true;
    return formed;
}

bool batch_give_up(struct flush *f, struct flush_batch *b, uint64_t now_ms)
{
    char name[FLUSH_NAME_BYTES];
    batch_name(f, b->number, name);
    bool split = b->split && b->line_count > 1;
    if (!split && f->dead_count + b->line_count > f->options.dead_max) {
        dead_full(f);
        return false;
    }
    hf_log(HF_LOG_WARN, "flush_batch_failed", "batch=%s lines=%u then=%s cause=%s odoo=\"%s\"",
           name, b->line_count, split ? "halves" : "dead_letters", flush_cause_name(b->doom),
           b->why);
    if (split) {
        if (!halves(f, b))
            return false;
    } else {
        for (uint32_t i = 0; i < b->line_count; i++) {
            struct flush_dead *d = &f->dead[f->dead_count++];
            *d = (struct flush_dead){.line = b->lines[i],
                                     .id = f->next_dead++,
                                     .batch = b->number,
                                     .dead_ms = now_ms,
                                     .cause = (uint8_t)b->doom};
            memcpy(d->why, b->why, sizeof d->why);
        }
        batch_remove(f, b);
        f->dead_full = false;
    }
    flush_count(&f->metrics.batches_failed, 1);
    f->must_save = true;
    return true;
}
