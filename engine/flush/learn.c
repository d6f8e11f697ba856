// What Odoo has of this engine's documents that the folder does not know: those of other
// incarnations, and of its own with numbers that it has not given out. A line's span tells which
// records are behind it. What the folder has of them was posted; the rest of the line's quantity
// is of records that it has lost.
//
// A line is netted of all movements of its cell, kind and day with LSNs in its span, so summing the
// folder's own movements in there gives exactly what it knows.
//
// Which day a line is of, its first record tells: the document may be on another, before it is
// dated or in a closed period. A line with records that this folder would post again, and which
// leads to none of its movements, holds everything (L1): a product that got another code, a
// location that left the options, a zone by which its movements are of two days.
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
#define TOLD_MAX          20
#define JITTER_MS         1000 // records stand in almost the order of their times

struct document {
    uint32_t id;
    const struct flush_place *place;
    uint8_t kind;
    bool back;
    uint16_t day;      // as Odoo has it
    uint64_t upto_lsn; // its lines' records up to it are the folder's own
};

struct learned {
    struct flush_posted at; // first: it is found by it
    int64_t quantity, known;
};

struct learning {
    struct flush *f;
    uint64_t now_ms;
    struct document *documents; // by id
    uint32_t document_count, document_room;
    struct learned *lines;
    uint32_t count, room;
    uint32_t newest, strange;
    uint32_t open;                // a document that is neither done nor cancelled
    uint32_t unplaced;            // L1
    char words[ODOO_WORDS_BYTES]; // the first of them
    struct journal_record *record;
    enum hf_status failed;
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
        d.day = place_day(d.place, ms);
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

// A letter whose records are behind this line: it is one that the former life has retried. `any`:
// whatever its cell.
static const struct flush_line *letter_in(const struct flush *f, const struct flush_posted *at,
                                          bool any)
{
    for (uint32_t i = 0; i < f->dead_count; i++) {
        const struct flush_line *l = &f->dead[i].line;
        if (l->kind == at->kind && (any || l->handle == at->handle) &&
            l->first_lsn >= at->first_lsn && l->last_lsn <= at->last_lsn)
            return l;
    }
    return NULL;
}

// The cell and quantity that a line of Odoo's is of. Static text: why there are none.
static const char *cell_find(struct learning *k, const struct document *d, const json_t *row,
                             const char *code, struct learned *l)
{
    struct core_cell cell;
    double fraction = 0;
    if (!d->place)
        return "its picking type is of no location here";
    if (!code)
        return "its product has no default_code";
    if (core_find(k->f->options.core, code, (uint32_t)strlen(code), d->place->name,
                  (uint32_t)strlen(d->place->name), &l->at.handle) != HF_OK ||
        core_cell_read(k->f->options.core, l->at.handle, &cell) != HF_OK)
        return "no cell is of its product's default_code";
    if (!mirror_quantity(json_object_get(row, "quantity"), cell.scale, &l->quantity, &fraction) ||
        fraction > 0)
        return "its quantity is no number of whole units";
    return NULL;
}

static bool moves_cell(const struct journal_record *frame, const struct flush_posted *at)
{
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    struct flush_line l = {0};
    bool moves = false;
    for (uint32_t i = 0; core_record_parse(frame, &p) && i < rec->line_count; i++)
        moves |=
            outbox_movement(&rec->lines[i], &p, &l) && l.handle == at->handle && l.kind == at->kind;
    return moves;
}

// When the record of this LSN was decided. HF_NOT_FOUND: it has expired.
static enum hf_status record_ms(struct learning *k, uint64_t lsn, uint64_t *ms)
{
    enum hf_status s = records_one(k->f->options.core, lsn, k->record);
    if (s == HF_OK)
        *ms = core_record_time((const struct core_record *)k->record);
    else if (s != HF_NOT_FOUND)
        k->failed = s;
    return s;
}

// The accounting day that its movements have here. Static text: why there is none.
static const char *day_find(struct learning *k, const struct document *d, struct learned *l)
{
    const struct flush_line *letter = letter_in(k->f, &l->at, false);
    uint64_t ms, upto = l->at.last_lsn < d->upto_lsn ? l->at.last_lsn : d->upto_lsn;
    enum hf_status first = record_ms(k, l->at.first_lsn, &ms);
    if (first == HF_OK && !moves_cell(k->record, &l->at))
        return "its records are of another cell: its product has another default_code by now";
    l->at.day = first == HF_OK ? place_day(d->place, ms) : letter ? letter->day : d->day;
    if (letter && letter->first_lsn == l->at.first_lsn && letter->last_lsn == l->at.last_lsn) {
        l->at.day = letter->day; // the very line: of the zone that was in force then
        return NULL;
    }
    if (record_ms(k, upto, &ms) != HF_OK)
        return NULL;
    if (first != HF_OK && upto == l->at.last_lsn)
        l->at.day = place_day(d->place, ms);
    bool same = place_day(d->place, ms) == l->at.day ||
                (upto < l->at.last_lsn && place_day(d->place, ms - JITTER_MS) == l->at.day);
    bool kept = !letter || letter->day == place_day(d->place, letter->since_ms);
    return same && kept
               ? NULL
               : "by the location's time zone its movements are of two days: another was in force";
}

static void line_unplaced(struct learning *k, const json_t *row, const struct learned *l,
                          const char *code, const char *why)
{
    const char *name = json_string_value(json_object_get(row, "reference"));
    if (k->unplaced++ < TOLD_MAX)
        hf_log(HF_LOG_ERROR, "flush_not_understood",
               "document=%s line=%u sku=\"%s\" lsn=%" PRIu64 "..%" PRIu64 " why=\"%s\"",
               name ? name : "?", id_of(row, "id"), code ? code : "", l->at.first_lsn,
               l->at.last_lsn, why);
    if (k->unplaced == 1)
        snprintf(k->words, sizeof k->words, "%.56s: %.60s", name ? name : "?", why);
}

static bool line_take(struct learning *k, const json_t *row, const json_t *products)
{
    const struct document *d = document_of(k, id_of(row, "picking_id"));
    const char *code = code_of(products, id_of(row, "product_id"));
    const char *origin = json_string_value(json_object_get(row, "origin"));
    struct learned l = {0};
    if (!d || !origin ||
        sscanf(origin, "LSN %" SCNu64 "..%" SCNu64, &l.at.first_lsn, &l.at.last_lsn) != 2) {
        k->strange++; // somebody's line in our document
        return true;
    }
    l.at.kind = d->kind;
    l.at.day = d->day;
    bool ours = l.at.first_lsn <= d->upto_lsn;
    const char *why = cell_find(k, d, row, code, &l);
    // Whether it has something that would be posted once more.
    bool matters = ours && (l.at.last_lsn > k->f->taken_lsn || letter_in(k->f, &l.at, why != NULL));
    if (!why && matters)
        why = day_find(k, d, &l);
    if (k->failed != HF_OK)
        return false;
    if (why && matters)
        line_unplaced(k, row, &l, code, why);
    else
        k->strange += why != NULL; // no cell here, say: made after the backup
    if (why)
        return true;
    l.quantity = d->back ? -l.quantity : l.quantity;
    if (!ours) // of no record that is here
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
        json_t *rows =
            page_get(k->f, "stock.move",
                     odoo_search(json_pack("[[s,s,O],[s,s,s],[s,s,I]]", "picking_id", "in", ids,
                                           "state", "=", "done", "id", ">", (json_int_t)last),
                                 json_pack("[s,s,s,s,s]", "product_id", "quantity", "origin",
                                           "picking_id", "reference")),
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
    if (k->count)
        qsort(k->lines, k->count, sizeof *k->lines, line_order);
    for (uint32_t i = 0; i < f->dead_count && k->count; i++)
        known_add(k, &f->dead[i].line);
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
            return k->failed == HF_OK || k->failed == HF_NO_MEMORY
                       ? HF_AGAIN
                       : flush_fail(f, k->failed, "the journal could not be read");
    }
    if (k->unplaced) { // L1
        flush_hold(f, FLUSH_PAUSE_UNPLACED, k->now_ms, k->words);
        return HF_AGAIN;
    }
    enum hf_status s = known_find(k);
    if (s == HF_BUSY || s == HF_NO_MEMORY)
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
    k.record = malloc(HF_RECORD_BYTES_MAX);
    enum hf_status s = k.record ? learn(&k) : HF_AGAIN;
    free(k.record);
    free(k.documents);
    free(k.lines);
    return s;
}
