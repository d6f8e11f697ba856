// What Odoo has of this engine's documents that the folder does not know: those of other
// incarnations, and of its own with numbers that it has not given out. A line's span tells which
// records are behind it. What the folder has of them was posted; the rest of the line's quantity
// is of records that it has lost.
//
// A line is netted of all movements of its cell, kind and day with LSNs in its span, so summing the
// folder's own movements in there gives exactly what it knows. Its day is told by the records at
// the ends of its span, not by its document, which may be dated wrongly or by another zone's days:
// a line that touches two days by today's zone counts for both.
//
// A line of records that the folder has, and that no cell is found for, was posted all the same:
// its records would be posted again. So nothing goes on until a person has mended that.
#include "flush/flush_internal.h"

#include "base/hash.h"
#include "base/log.h"
#include "flush/mirror.h"
#include "flush/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS         1000
#define DOCUMENTS_AT_ONCE 100
#define OWN_LOOKED_AT     100

struct document {
    uint32_t id;
    const struct flush_place *place;
    uint8_t kind;
    bool back;
    uint16_t day;
    uint64_t upto_lsn; // its lines' records up to it are the folder's own
};

struct learned {
    struct flush_posted at; // first: it is found by it
    int64_t quantity, known;
    uint32_t document;
};

struct moment { // an end of a line's span
    uint64_t lsn;
    uint32_t line;
    bool last;
    bool found, ours; // its record was read; and is of the line's cell and kind
    uint16_t day;
};

struct learning {
    struct flush *f;
    uint64_t now_ms;
    struct document *documents; // by id
    uint32_t document_count, document_room;
    struct learned *lines;
    uint32_t count, room;
    struct moment *moments; // by LSN
    uint32_t moment_count, moment_at;
    uint32_t newest, strange;
    uint32_t open; // a document that is neither done nor cancelled
};

static uint32_t id_of(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

static void *grown(void *array, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room)
        return array;
    uint32_t more = *room ? 2 * *room : 256;
    void *bigger = more <= 2 * FLUSH_LEARNED_MAX ? realloc(array, more * bytes) : NULL;
    if (bigger)
        *room = more;
    return bigger;
}

// ------------------------------------------------------------------------------- asking

// The rows of a page by id, or NULL after the flusher was held. Takes domain and fields.
static json_t *page_get(struct flush *f, const char *model, json_t *args, uint32_t limit,
                        const char *order, uint64_t now_ms)
{
    struct odoo_answer a;
    args = odoo_put(args, "order", json_string(order));
    args = odoo_put(args, "limit", json_integer(limit));
    odoo_call(f, model, "search_read", args, &a);
    if (a.class == ODOO_OK && json_is_array(a.result))
        return a.result;
    odoo_failed(f, &a, now_ms);
    json_decref(a.result);
    return NULL;
}

static void own_pattern(const struct flush *f, bool incarnation, char out[FLUSH_NAME_BYTES])
{
    if (incarnation)
        snprintf(out, FLUSH_NAME_BYTES, "HF/%s/%012" PRIx64 "/%%", f->engine,
                 f->incarnation.lo & UINT64_C(0xffffffffffff));
    else
        snprintf(out, FLUSH_NAME_BYTES, "HF/%s/%%", f->engine);
}

// ------------------------------------------------------------------------------- the guard

// Whether this folder's own documents are all known to it.
static bool own_known(struct flush *f, uint64_t now_ms)
{
    char pattern[FLUSH_NAME_BYTES];
    size_t i;
    json_t *row;
    own_pattern(f, true, pattern);
    json_t *rows = page_get(
        f, "stock.picking",
        odoo_search(json_pack("[[s,s,s]]", "name", "=like", pattern), json_pack("[s]", "name")),
        OWN_LOOKED_AT, "id desc", now_ms);
    bool known = rows != NULL;
    json_array_foreach(rows, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        if (i == 0)
            f->guard_id = id_of(row, "id");
        known &= !name || flush_batch_number(name) < f->next_batch;
    }
    if (rows && !known)
        flush_hold(f, FLUSH_PAUSE_RESTORED, now_ms, "");
    json_decref(rows);
    return known;
}

bool guard_check(struct flush *f, uint64_t now_ms)
{
    char all[FLUSH_NAME_BYTES], own[FLUSH_NAME_BYTES];
    if (f->moved.phase == FLUSH_SETTLING)
        return true;
    if (!f->guarded && !own_known(f, now_ms))
        return false;
    own_pattern(f, false, all);
    own_pattern(f, true, own);
    json_t *rows =
        page_get(f, "stock.picking",
                 odoo_search(json_pack("[[s,s,s],s,[s,s,s],[s,s,I]]", "name", "=like", all, "!",
                                       "name", "=like", own, "id", ">", (json_int_t)f->guard_from),
                             json_pack("[s]", "name")),
                 1, "id", now_ms);
    if (!rows)
        return false;
    const char *name = json_string_value(json_object_get(json_array_get(rows, 0), "name"));
    if (name)
        flush_hold(f, FLUSH_PAUSE_ANOTHER, now_ms, name);
    else if (!f->guarded || now_ms > f->guard_ms + GUARD_MS) {
        // Not up to the newest: what began before it may become visible after it.
        f->guard_from =
            f->guard_ms && f->guard_next > f->guard_from ? f->guard_next : f->guard_from;
        f->guard_next = f->guard_id;
        f->guard_ms = now_ms;
        f->guarded = true;
    }
    bool alone = name == NULL;
    json_decref(rows);
    return alone;
}

// ------------------------------------------------------------------------------- documents

// "<name> <16 hex digits> <KIND> <8 hex digits of the folder's line>/<its birth>". False: it is not
// of this line.
static bool origin_read(const struct flush *f, const char *origin, enum flush_kind *kind,
                        uint64_t *born_lsn)
{
    char word[16];
    unsigned line;
    const char *at = origin ? strchr(origin, ' ') : NULL;
    if (!at || sscanf(at, " %*16[0-9a-f] %15s %8x/%" SCNu64, word, &line, born_lsn) != 3 ||
        line != batch_line_of(f))
        return false;
    for (unsigned i = 0; i < FLUSH_KIND_COUNT; i++)
        if (strcmp(word, flush_kind_name((enum flush_kind)i)) == 0) {
            *kind = (enum flush_kind)i;
            return true;
        }
    return false;
}

static const struct flush_place *place_by_type(const struct flush *f, uint32_t type)
{
    for (uint32_t i = 0; i < f->place_count; i++) {
        const struct flush_place *p = &f->places[i];
        if (type && (type == p->type_out || type == p->type_in || type == p->type_internal))
            return p;
    }
    return NULL;
}

static bool goes_back(const struct flush_place *p, enum flush_kind kind, uint32_t source,
                      uint32_t destination)
{
    if (kind == FLUSH_SALE)
        return source != p->location;
    return destination != (kind == FLUSH_SCRAP ? p->scrap : p->location);
}

// Up to where the records behind a document are the folder's: of its own incarnation, and of moves
// that were interrupted, all that it had then; of another, what that was born with.
static uint64_t shared_upto(const struct flush *f, const char *name, uint64_t born_lsn)
{
    const struct flush_moved *m = &f->moved;
    struct flush_life own = {f->incarnation, m->moved_lsn};
    for (uint32_t i = 0; i <= m->life_count; i++) {
        const struct flush_life *l = i < m->life_count ? &m->lives[i] : &own;
        char prefix[FLUSH_NAME_BYTES];
        int n = snprintf(prefix, sizeof prefix, "HF/%s/%012" PRIx64 "/", f->engine,
                         l->incarnation.lo & UINT64_C(0xffffffffffff));
        if (strncmp(name, prefix, (size_t)n) == 0)
            return l->upto_lsn;
    }
    return born_lsn < m->moved_lsn ? born_lsn : m->moved_lsn;
}

static bool document_take(struct learning *k, const json_t *row)
{
    char own[FLUSH_NAME_BYTES];
    struct flush *f = k->f;
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *state = json_string_value(json_object_get(row, "state"));
    const char *origin = json_string_value(json_object_get(row, "origin"));
    enum flush_kind kind = FLUSH_SALE;
    struct document d = {.id = id_of(row, "id")};
    uint64_t ms;
    own_pattern(f, true, own);
    k->newest = d.id > k->newest ? d.id : k->newest;
    if (!name || !state || strcmp(state, "cancel") == 0 ||
        (strncmp(name, own, strlen(own) - 1) == 0 && flush_batch_number(name) < f->next_batch))
        return true;
    if (!origin_read(f, origin, &kind, &d.upto_lsn))
        return true; // another folder's line: its records are none of these
    if (strcmp(state, "done") != 0) {
        k->open = d.id;
        return true;
    }
    d.place = place_by_type(f, id_of(row, "picking_type_id"));
    d.kind = (uint8_t)kind;
    d.back = d.place &&
             goes_back(d.place, kind, id_of(row, "location_id"), id_of(row, "location_dest_id"));
    if (odoo_time_parse(json_string_value(json_object_get(row, "date_done")), &ms))
        d.day = place_day(d.place, ms); // for records that have expired
    d.upto_lsn = shared_upto(f, name, d.upto_lsn);
    struct document *more = grown(k->documents, k->document_count, &k->document_room, sizeof *more);
    if (!more)
        return false;
    k->documents = more;
    k->documents[k->document_count++] = d;
    return true;
}

static bool documents_read(struct learning *k)
{
    char all[FLUSH_NAME_BYTES];
    uint32_t last = k->f->foreign_upto;
    bool ok = true;
    own_pattern(k->f, false, all);
    k->newest = last;
    for (bool more = true; more && ok;) {
        size_t i;
        json_t *row;
        json_t *rows = page_get(
            k->f, "stock.picking",
            odoo_search(
                json_pack("[[s,s,s],[s,s,I]]", "name", "=like", all, "id", ">", (json_int_t)last),
                json_pack("[s,s,s,s,s,s,s]", "name", "state", "origin", "date_done",
                          "picking_type_id", "location_id", "location_dest_id")),
            PAGE_ROWS, "id", k->now_ms);
        if (!rows)
            return false;
        json_array_foreach(rows, i, row)
        {
            last = id_of(row, "id");
            ok = ok && last && document_take(k, row);
        }
        more = json_array_size(rows) == PAGE_ROWS;
        json_decref(rows);
    }
    return ok;
}

// A document that was made and not posted: nobody shall post it later.
static void document_cancel(struct learning *k)
{
    struct odoo_answer a;
    odoo_call(k->f, "stock.picking", "action_cancel",
              json_pack("{s:[I]}", "ids", (json_int_t)k->open), &a);
    if (a.class != ODOO_OK)
        odoo_failed(k->f, &a, k->now_ms);
    json_decref(a.result);
}

// ------------------------------------------------------------------------------- lines

static const struct document *document_of(const struct learning *k, uint32_t id)
{
    uint32_t low = 0, high = k->document_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (k->documents[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->document_count && k->documents[low].id == id ? &k->documents[low] : NULL;
}

static const char *code_of(const json_t *products, uint32_t id)
{
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)products, i,
                       row) if (id_of(row, "id") ==
                                id) return json_string_value(json_object_get(row, "default_code"));
    return NULL;
}

// Records that the folder has are in a line that it cannot place.
static void line_hold(struct learning *k, uint32_t document, const struct flush_posted *at,
                      const char *why)
{
    char words[ODOO_WORDS_BYTES];
    snprintf(words, sizeof words, "document %u, LSN %" PRIu64 "..%" PRIu64 ": %s", document,
             at->first_lsn, at->last_lsn, why);
    flush_hold(k->f, FLUSH_PAUSE_RESTORED, k->now_ms, words);
}

// Its cell and quantity. NULL, or why not: static text.
static const char *line_place(const struct learning *k, const struct document *d, const json_t *row,
                              const json_t *products, struct learned *l)
{
    struct core *c = k->f->options.core;
    const char *code = code_of(products, id_of(row, "product_id"));
    struct core_cell cell;
    double fraction = 0;
    if (!d->place)
        return "no location here has its picking type";
    if (!code || core_find(c, code, (uint32_t)strlen(code), d->place->name,
                           (uint32_t)strlen(d->place->name), &l->at.handle) != HF_OK)
        return "its product's code has no cell here";
    if (core_cell_read(c, l->at.handle, &cell) != HF_OK ||
        !mirror_quantity(json_object_get(row, "quantity"), cell.scale, &l->quantity, &fraction) ||
        fraction > 0)
        return "its quantity is no whole number of smallest units";
    return NULL;
}

static bool line_take(struct learning *k, const json_t *row, const json_t *products)
{
    const struct document *d = document_of(k, id_of(row, "picking_id"));
    const char *origin = json_string_value(json_object_get(row, "origin"));
    struct learned l = {0};
    if (!d || !origin ||
        sscanf(origin, "LSN %" SCNu64 "..%" SCNu64, &l.at.first_lsn, &l.at.last_lsn) != 2) {
        k->strange++; // not of ours: somebody added it
        return true;
    }
    const char *wrong = line_place(k, d, row, products, &l);
    if (wrong && l.at.first_lsn <= d->upto_lsn) {
        line_hold(k, d->id, &l.at, wrong);
        return false;
    }
    if (wrong) {
        k->strange++; // no cell here, say: made after the backup
        return true;
    }
    l.document = d->id;
    l.at.kind = d->kind;
    l.at.day = d->day;
    l.quantity = d->back ? -l.quantity : l.quantity;
    if (l.at.first_lsn > d->upto_lsn) // of no record that is here
        l.at.first_lsn = l.at.last_lsn = UINT64_MAX;
    else if (l.at.last_lsn > d->upto_lsn)
        l.at.last_lsn = d->upto_lsn;
    struct learned *more = grown(k->lines, k->count, &k->room, sizeof *more);
    if (!more)
        return false;
    k->lines = more;
    k->lines[k->count++] = l;
    return true;
}

static json_t *products_of(struct learning *k, const json_t *moves)
{
    json_t *ids = json_array(), *row;
    size_t i;
    json_array_foreach((json_t *)moves, i, row) ids =
        odoo_append(ids, json_integer(id_of(row, "product_id")));
    // Also those that are no longer sold.
    json_t *args =
        odoo_search(json_pack("[[s,s,o]]", "id", "in", ids), json_pack("[s]", "default_code"));
    args = odoo_put(args, "context", json_pack("{s:b}", "active_test", 0));
    return page_get(k->f, "product.product", args, 2 * PAGE_ROWS, "id", k->now_ms);
}

static bool moves_read(struct learning *k, uint32_t from, uint32_t upto)
{
    json_t *ids = json_array();
    for (uint32_t i = from; i < upto; i++)
        ids = odoo_append(ids, json_integer(k->documents[i].id));
    bool ok = ids != NULL;
    uint32_t last = 0;
    for (bool more = true; more && ok;) {
        size_t i;
        json_t *row;
        json_t *rows = page_get(
            k->f, "stock.move",
            odoo_search(json_pack("[[s,s,O],[s,s,s],[s,s,I]]", "picking_id", "in", ids, "state",
                                  "=", "done", "id", ">", (json_int_t)last),
                        json_pack("[s,s,s,s]", "product_id", "quantity", "origin", "picking_id")),
            PAGE_ROWS, "id", k->now_ms);
        json_t *products = rows ? products_of(k, rows) : NULL;
        ok = products != NULL;
        json_array_foreach(rows, i, row)
        {
            last = id_of(row, "id");
            ok = ok && last && line_take(k, row, products);
        }
        more = json_array_size(rows) == PAGE_ROWS;
        json_decref(products);
        json_decref(rows);
    }
    json_decref(ids);
    return ok;
}

// ------------------------------------------------------------------------------- their days

static void moment_take(struct learning *k, struct moment *m, const struct journal_record *frame)
{
    const struct core_record *rec = (const struct core_record *)frame;
    const struct flush_posted *at = &k->lines[m->line].at;
    struct core_record_parts p;
    struct flush_line l;
    if (!core_record_parse(frame, &p))
        return;
    m->found = true;
    m->day = place_day(place_of(k->f, at->handle), core_record_time(rec));
    for (uint32_t i = 0; i < rec->line_count && !m->ours; i++)
        m->ours =
            outbox_movement(&rec->lines[i], &p, &l) && l.handle == at->handle && l.kind == at->kind;
}

static enum hf_status moment_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *frame)
{
    struct learning *k = ctx;
    (void)time_ms;
    while (k->moment_at < k->moment_count && k->moments[k->moment_at].lsn < lsn)
        k->moment_at++;
    for (; k->moment_at < k->moment_count && k->moments[k->moment_at].lsn == lsn; k->moment_at++)
        moment_take(k, &k->moments[k->moment_at], frame);
    return HF_OK;
}

static int moment_order(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

// Reads the records at the ends: those that were taken one by one, the others, which are most, in
// one go. What has expired is not found.
static enum hf_status moments_read(struct learning *k)
{
    struct core *c = k->f->options.core;
    struct journal_record *room = malloc(HF_RECORD_BYTES_MAX);
    uint64_t taken = k->f->taken_lsn, durable = core_durable(c);
    enum hf_status s = room ? HF_OK : HF_NO_MEMORY;
    uint32_t i = 0;
    for (; s == HF_OK && i < k->moment_count && k->moments[i].lsn <= taken; i++) {
        s = records_one(c, k->moments[i].lsn, room);
        if (s == HF_OK)
            moment_take(k, &k->moments[i], room);
        else if (s == HF_NOT_FOUND)
            s = HF_OK;
    }
    free(room);
    if (s != HF_OK || i == k->moment_count)
        return s;
    k->moment_at = i;
    return records_walk(c, taken, durable, moment_visit, k);
}

// By today's zone a line may touch two days.
static bool line_dated(struct learning *k, const struct moment *m)
{
    struct learned l = k->lines[m->line];
    if (!m->found || !m->last || m->day <= l.at.day)
        return true;
    l.at.day++;
    l.quantity = 0; // counted once
    struct learned *more = grown(k->lines, k->count, &k->room, sizeof *more);
    if (!more)
        return false;
    k->lines = more;
    k->lines[k->count++] = l;
    return true;
}

// HF_AGAIN: the flusher is held, or there is no memory.
static enum hf_status moments_judge(struct learning *k)
{
    for (uint32_t i = 0; i < k->moment_count; i++) {
        const struct moment *m = &k->moments[i];
        struct learned *l = &k->lines[m->line];
        if (!m->last && m->found && !m->ours) {
            line_hold(k, l->document, &l->at, "its product's code is another cell's");
            return HF_AGAIN;
        }
        if (!m->last && m->found)
            l->at.day = m->day;
    }
    for (uint32_t i = 0; i < k->moment_count; i++)
        if (!line_dated(k, &k->moments[i]))
            return HF_AGAIN;
    return HF_OK;
}

static enum hf_status lines_date(struct learning *k)
{
    k->moments = calloc(2 * (size_t)k->count + 1, sizeof *k->moments);
    if (!k->moments)
        return HF_NO_MEMORY;
    for (uint32_t i = 0; i < k->count; i++) {
        const struct flush_posted *at = &k->lines[i].at;
        if (at->first_lsn == UINT64_MAX)
            continue;
        k->moments[k->moment_count++] = (struct moment){.lsn = at->first_lsn, .line = i};
        k->moments[k->moment_count++] =
            (struct moment){.lsn = at->last_lsn, .line = i, .last = true};
    }
    if (k->moment_count)
        qsort(k->moments, k->moment_count, sizeof *k->moments, moment_order);
    enum hf_status s = k->moment_count ? moments_read(k) : HF_OK;
    return s == HF_OK ? moments_judge(k) : s;
}

// ------------------------------------------------------------------------------- what is known

static int line_order(const void *a, const void *b)
{
    const struct flush_posted *x = a, *y = b;
    if (x->handle != y->handle)
        return x->handle < y->handle ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    return x->first_lsn < y->first_lsn ? -1 : x->first_lsn > y->first_lsn;
}

static void known_add(struct learning *k, const struct flush_line *l)
{
    uint32_t i = moved_find(&k->lines->at, sizeof *k->lines, k->count, l);
    if (i != UINT32_MAX)
        k->lines[i].known += l->quantity;
}

static enum hf_status record_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *frame)
{
    struct learning *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    struct flush_line l = {.first_lsn = lsn, .last_lsn = lsn};
    (void)time_ms;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    for (uint32_t i = 0; i < rec->line_count; i++)
        if (outbox_movement(&rec->lines[i], &p, &l)) {
            l.day = place_day(place_of(k->f, l.handle), core_record_time(rec));
            known_add(k, &l);
        }
    return HF_OK;
}

static enum hf_status known_find(struct learning *k)
{
    struct flush *f = k->f;
    struct flush_line l;
    if (k->count)
        qsort(k->lines, k->count, sizeof *k->lines, line_order);
    for (uint32_t i = 0; i < f->dead_count && k->count; i++)
        known_add(k, moved_letter(f, &f->dead[i].line, &l));
    uint64_t durable = core_durable(f->options.core);
    if (!k->count || durable <= f->taken_lsn)
        return HF_OK;
    return records_walk(f->options.core, f->taken_lsn, durable, record_visit, k);
}

// ------------------------------------------------------------------------------- what follows

static void intent_add(struct learning *k, uint32_t handle, bool acknowledges, int64_t quantity)
{
    struct flush_moved *m = &k->f->moved;
    if (quantity == 0)
        return;
    struct flush_intent *i = &m->intents[m->intent_count];
    *i = (struct flush_intent){.op_id = flush_moved_op_id(k->f, m->intent_count, k->now_ms),
                               .handle = handle,
                               .acknowledges = acknowledges,
                               .quantity = quantity};
    m->intent_count++;
}

// What a line does to its location's stock.
static int64_t effect(uint8_t kind, int64_t quantity)
{
    return kind == FLUSH_SALE ? -quantity : kind == FLUSH_SCRAP ? 0 : quantity;
}

// Beside what an earlier move has left to do.
static bool room_make(struct learning *k)
{
    struct flush_moved *m = &k->f->moved;
    size_t posted = (size_t)m->posted_count + k->count + 1;
    struct flush_posted *p = realloc(m->posted, posted * sizeof *p);
    m->posted = p ? p : m->posted;
    size_t intents = m->intent_count + 2 * (size_t)k->count + 1;
    struct flush_intent *i = realloc(m->intents, intents * sizeof *i);
    m->intents = i ? i : m->intents;
    return p && i;
}

// The lines of the cell from `at` on. Returns how many.
static uint32_t cell_follow(struct learning *k, uint32_t at, uint32_t *lost_lines)
{
    struct flush_moved *m = &k->f->moved;
    uint32_t handle = k->lines[at].at.handle, n = 0;
    int64_t sold = 0, lost = 0;
    for (; at + n < k->count && k->lines[at + n].at.handle == handle; n++) {
        const struct learned *l = &k->lines[at + n];
        sold += l->at.kind == FLUSH_SALE ? l->known : 0;
        lost += effect(l->at.kind, l->quantity - l->known);
        *lost_lines += l->quantity != l->known;
        if (l->at.first_lsn != UINT64_MAX)
            m->posted[m->posted_count++] = l->at;
    }
    intent_add(k, handle, true, sold);
    intent_add(k, handle, false, lost);
    return n;
}

static void follow(struct learning *k)
{
    struct flush_moved *m = &k->f->moved;
    uint32_t lost_lines = 0;
    for (uint32_t at = 0; at < k->count;)
        at += cell_follow(k, at, &lost_lines);
    if (m->posted_count)
        qsort(m->posted, m->posted_count, sizeof *m->posted, line_order);
    hf_log(HF_LOG_WARN, "flush_learned", "documents=%u lines=%u lost_lines=%u not_understood=%u",
           k->document_count, k->count, lost_lines, k->strange);
}

static enum hf_status learn(struct learning *k)
{
    struct flush *f = k->f;
    if (!documents_read(k))
        return HF_AGAIN;
    if (k->open) {
        document_cancel(k);
        return HF_OK; // and look again
    }
    for (uint32_t at = 0; at < k->document_count; at += DOCUMENTS_AT_ONCE) {
        uint32_t upto = at + DOCUMENTS_AT_ONCE;
        if (!moves_read(k, at, upto < k->document_count ? upto : k->document_count))
            return HF_AGAIN;
    }
    enum hf_status s = lines_date(k);
    if (s == HF_OK)
        s = known_find(k);
    if (s == HF_AGAIN || s == HF_BUSY || s == HF_NO_MEMORY)
        return HF_AGAIN;
    if (s != HF_OK)
        return flush_fail(f, s, "the journal could not be read");
    struct flush_moved *m = &f->moved;
    if (!room_make(k))
        return HF_AGAIN;
    m->phase = FLUSH_LEARNED;
    m->foreign_upto = k->newest;
    m->settled_lsn = journal_appended(core_journal(f->options.core));
    m->looked_up = m->intent_count == 0; // those of before may be appended
    follow(k);
    s = moved_save(f, k->now_ms); // M2
    if (s == HF_OK) {
        moved_turn(f);
        return HF_OK;
    }
    char why[200]; // what was not written down is not believed
    moved_fini(f);
    return moved_load(f, why) == HF_OK ? s : flush_fail(f, HF_IO, why);
}

enum hf_status moved_learn(struct flush *f, uint64_t now_ms)
{
    struct learning k = {.f = f, .now_ms = now_ms};
    if (f->batch_count)
        return HF_AGAIN;
    if (f->stale) // the file names batches that are done
        return state_save(f, now_ms);
    if (now_ms < f->moved.moved_ms + f->options.settle_ms)
        return HF_AGAIN;
    if (!f->contacted)
        return contact_make(f, now_ms) ? HF_OK : HF_AGAIN;
    enum hf_status s = learn(&k);
    free(k.documents);
    free(k.lines);
    free(k.moments);
    return s;
}
