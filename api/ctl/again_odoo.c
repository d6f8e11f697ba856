// What the engine's documents have moved. A document is one of a batch: its origin tells the kind,
// its type the warehouse and with it our location, its date the accounting day, which is that of
// every movement in it. So the days since `since` are whole on both sides.
#include "ctl/again.h"

#include "ctl/progress.h"
#include "sys/zone.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAY_MS            (INT64_C(24) * 3600 * 1000)
#define ZONE_MS           (INT64_C(14) * 3600 * 1000) // no zone is farther ahead
#define DOCUMENTS_AT_ONCE 100
#define OTHERS_NAMED_MAX  4
#define MICRO_MAX         9e15
#define NAME_BYTES        128

struct document {
    uint32_t id, place;
    int sign; // of what it brings to customers
};

struct reading {
    struct ctl *c;
    struct ctl_odoo *o;
    struct again_book *b;
    const struct again_engines *engines;
    struct odoo_answer a;
    struct document *documents; // by id
    uint32_t count, room;
    json_t *moves;                    // of some documents
    json_t *codes;                    // product's id -> default_code
    json_t *strangers;                // engines that nobody named, with a document of each
    char open[NAME_BYTES], wrong[80]; // a document that is not done; what is odd
    struct progress progress;
};

// ------------------------------------------------------------------------------- engines

static bool name_good(const char *name)
{
    return *name && strlen(name) <= FLUSH_ENGINE_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static bool list_cut(struct ctl *c, enum ctl_option o, char *text,
                     const char *names[AGAIN_ENGINES_MAX], uint32_t *count)
{
    char *name;
    for (*count = 0; (name = strsep(&text, ",")) != NULL; ++*count) {
        if (!name_good(name) || *count == AGAIN_ENGINES_MAX) {
            ctl_usage(c, "--%s must be at most %d names of a-z, 0-9 and '-', not %s",
                      ctl_option_name(o), AGAIN_ENGINES_MAX, name);
            return false;
        }
        names[*count] = name;
    }
    return true;
}

bool again_engines_read(struct ctl *c, struct again_engines *e)
{
    const char *named = c->option[OPT_ODOO_ENGINE] ? c->option[OPT_ODOO_ENGINE] : "holdfast";
    const char *others = c->option[OPT_OTHER_ENGINES];
    size_t bytes = strlen(named) + 1;
    *e = (struct again_engines){.text = ctl_alloc(bytes + (others ? strlen(others) : 0) + 1)};
    memcpy(e->text, named, bytes);
    if (others)
        memcpy(e->text + bytes, others, strlen(others));
    return list_cut(c, OPT_ODOO_ENGINE, e->text, e->named, &e->named_count) &&
           (!others || list_cut(c, OPT_OTHER_ENGINES, e->text + bytes, e->others, &e->other_count));
}

void again_engines_fini(struct again_engines *e)
{
    free(e->text);
}

const char *again_engine_of(const char *document, char out[FLUSH_ENGINE_BYTES_MAX + 1])
{
    const char *end = strncmp(document, "HF/", 3) == 0 ? strchr(document + 3, '/') : NULL;
    size_t bytes = end ? (size_t)(end - document - 3) : 0;
    if (bytes == 0 || bytes > FLUSH_ENGINE_BYTES_MAX)
        return NULL;
    memcpy(out, document + 3, bytes);
    out[bytes] = 0;
    return out;
}

static bool among(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

// ------------------------------------------------------------------------------- warehouses

static enum ctl_exit warehouse_visit(void *ctx, const json_t *row)
{
    struct reading *k = ctx;
    const char *code = ctl_odoo_text(row, "code");
    for (uint32_t i = 0; i < k->b->place_count; i++) {
        struct again_place *p = &k->b->places[i];
        if (strcmp(p->location->warehouse, code) != 0)
            continue;
        p->stock = ctl_odoo_id(row, "lot_stock_id");
        p->type_out = ctl_odoo_id(row, "out_type_id");
        p->type_in = ctl_odoo_id(row, "in_type_id");
        p->type_internal = ctl_odoo_id(row, "int_type_id");
    }
    return CTL_OK;
}

static enum ctl_exit warehouses_read(struct reading *k)
{
    json_t *codes = json_array();
    for (uint32_t i = 0; i < k->b->place_count; i++)
        json_array_append_new(codes, json_string(k->b->places[i].location->warehouse));
    enum ctl_exit e =
        ctl_odoo_pages(k->o, "stock.warehouse", json_pack("[[s,s,o]]", "code", "in", codes),
                       json_pack("[s,s,s,s,s]", "code", "lot_stock_id", "out_type_id", "in_type_id",
                                 "int_type_id"),
                       warehouse_visit, k, &k->a);
    for (uint32_t i = 0; i < k->b->place_count && e == CTL_OK; i++)
        if (!k->b->places[i].stock)
            e = ctl_usage(k->c, "--odoo-locations: Odoo has no warehouse %s",
                          k->b->places[i].location->warehouse);
    return e;
}

// ------------------------------------------------------------------------------- documents

static uint32_t place_of_type(const struct again_book *b, uint32_t type)
{
    for (uint32_t i = 0; i < b->place_count; i++) {
        const struct again_place *p = &b->places[i];
        if (type && (type == p->type_out || type == p->type_in || type == p->type_internal))
            return i;
    }
    return AGAIN_NONE;
}

// Of a kind that has nothing to do with customers: 0. Nothing takes a scrapping back.
static int sign_of(const struct again_place *p, const char *kind, const json_t *row)
{
    if (strcmp(kind, flush_kind_name(FLUSH_SALE)) == 0)
        return ctl_odoo_id(row, "location_id") == p->stock ? 1 : -1;
    if (strcmp(kind, flush_kind_name(FLUSH_RESTOCK)) == 0)
        return ctl_odoo_id(row, "location_dest_id") == p->stock ? -1 : 1;
    return strcmp(kind, flush_kind_name(FLUSH_SCRAP)) == 0 ? -1 : 0;
}

static void stranger_note(struct reading *k, const char *engine, const char *document)
{
    if (json_object_size(k->strangers) < OTHERS_NAMED_MAX)
        json_object_set_new(k->strangers, engine, json_string(document));
}

static void document_add(struct reading *k, const struct document *d)
{
    if (k->count == k->room) {
        k->room = k->room ? 2 * k->room : 1024;
        k->documents = ctl_grow(k->documents, k->room * sizeof *k->documents);
    }
    k->documents[k->count++] = *d;
    progress_tell(&k->progress, k->count, 0, false);
}

static enum ctl_exit document_visit(void *ctx, const json_t *row)
{
    struct reading *k = ctx;
    char engine[FLUSH_ENGINE_BYTES_MAX + 1], kind[16];
    const char *name = ctl_odoo_text(row, "name"), *after;
    uint64_t done_ms;
    struct document d = {.id = ctl_odoo_id(row, "id"),
                         .place = place_of_type(k->b, ctl_odoo_id(row, "picking_type_id"))};
    if (d.place == AGAIN_NONE || !again_engine_of(name, engine) ||
        k->b->places[d.place].location->mode == FLUSH_MODE_EXTERNAL ||
        among(k->engines->others, k->engines->other_count, engine))
        return CTL_OK;
    const struct again_place *p = &k->b->places[d.place];
    bool done = strcmp(ctl_odoo_text(row, "state"), "done") == 0;
    if (done && !odoo_time_parse(ctl_odoo_text(row, "date_done"), &done_ms))
        snprintf(k->wrong, sizeof k->wrong, "has no date");
    else if (done && zone_day(p->zone, done_ms) < k->b->since)
        return CTL_OK;
    if (!among(k->engines->named, k->engines->named_count, engine)) {
        stranger_note(k, engine, name);
        return CTL_OK;
    }
    if (!done && !*k->open)
        snprintf(k->open, sizeof k->open, "%s", name);
    after = strchr(ctl_odoo_text(row, "origin"), ' ');
    if (!after || sscanf(after, " %*16[0-9a-f] %15s", kind) != 1)
        snprintf(k->wrong, sizeof k->wrong, "does not tell its kind");
    else if ((d.sign = sign_of(p, kind, row)) != 0)
        document_add(k, &d);
    if (!*k->wrong)
        return CTL_OK;
    ctl_usage(k->c, "%s in Odoo %s", name, k->wrong);
    return CTL_FAILED;
}

static enum ctl_exit documents_read(struct reading *k)
{
    char from[ODOO_TIME_BYTES];
    int64_t ms = k->b->since * DAY_MS - ZONE_MS;
    odoo_time_format(ms > 0 ? (uint64_t)ms : 0, from);
    progress_begin(&k->progress, k->c, "documents read", 0);
    // Done since then, or on their way.
    enum ctl_exit e = ctl_odoo_pages(
        k->o, "stock.picking",
        json_pack("[[s,s,s],[s,s,s],s,[s,s,s],[s,s,s]]", "name", "=like", "HF/%", "state",
                  "!=", "cancel", "|", "state", "!=", "done", "date_done", ">=", from),
        json_pack("[s,s,s,s,s,s,s]", "name", "state", "origin", "date_done", "picking_type_id",
                  "location_id", "location_dest_id"),
        document_visit, k, &k->a);
    if (k->count)
        progress_tell(&k->progress, k->count, 0, true);
    return e;
}

// Documents that make the comparison wrong. CTL_OK: none.
static enum ctl_exit documents_judge(struct reading *k)
{
    const char *engine;
    json_t *document;
    json_object_foreach(k->strangers, engine, document)
    {
        ctl_usage(k->c,
                  "Odoo has documents of the engine %s at these locations since then, such as %s: "
                  "name it by --odoo-engine when it is a former name of this one, and by "
                  "--other-engines when it is another",
                  engine, json_string_value(document));
    }
    if (json_object_size(k->strangers))
        return CTL_USAGE;
    if (!*k->open)
        return CTL_OK;
    ctl_usage(k->c,
              "%s is neither done nor cancelled in Odoo: when nobody posts it any more, cancel it "
              "there",
              k->open);
    return CTL_REFUSED;
}

// ------------------------------------------------------------------------------- moves

static enum ctl_exit move_visit(void *ctx, const json_t *row)
{
    struct reading *k = ctx;
    json_array_append(k->moves, (json_t *)row);
    return CTL_OK;
}

static void id_text(uint32_t id, char out[16])
{
    snprintf(out, 16, "%u", id);
}

static enum ctl_exit product_visit(void *ctx, const json_t *row)
{
    struct reading *k = ctx;
    char id[16];
    id_text(ctl_odoo_id(row, "id"), id);
    json_object_set_new(k->codes, id, json_string(ctl_odoo_text(row, "default_code")));
    return CTL_OK;
}

// Names of the products that were not met before.
static enum ctl_exit products_read(struct reading *k)
{
    json_t *ids = json_array(), *row;
    char id[16];
    size_t i;
    json_array_foreach(k->moves, i, row)
    {
        id_text(ctl_odoo_id(row, "product_id"), id);
        if (json_object_get(k->codes, id))
            continue;
        json_object_set_new(k->codes, id, json_string(""));
        json_array_append_new(ids, json_integer(ctl_odoo_id(row, "product_id")));
    }
    if (json_array_size(ids) == 0) {
        json_decref(ids);
        return CTL_OK;
    }
    return ctl_odoo_pages(k->o, "product.product", json_pack("[[s,s,o]]", "id", "in", ids),
                          json_pack("[s]", "default_code"), product_visit, k, &k->a);
}

static const struct document *document_of(const struct reading *k, uint32_t id)
{
    uint32_t low = 0, high = k->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (k->documents[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < k->count && k->documents[low].id == id ? &k->documents[low] : NULL;
}

static enum ctl_exit move_take(struct reading *k, const json_t *row)
{
    char id[16];
    const struct document *d = document_of(k, ctl_odoo_id(row, "picking_id"));
    id_text(ctl_odoo_id(row, "product_id"), id);
    const char *sku = json_string_value(json_object_get(k->codes, id));
    double micro = round(json_number_value(json_object_get(row, "quantity")) * AGAIN_MICRO);
    if (!d || !sku || !*sku || strlen(sku) > HF_SKU_BYTES_MAX || !(fabs(micro) < MICRO_MAX)) {
        ctl_usage(k->c, "move %u in Odoo is not understood: product %s, %s", ctl_odoo_id(row, "id"),
                  id, !sku || !*sku ? "without a default_code" : sku);
        return CTL_FAILED;
    }
    const char *location = k->b->places[d->place].location->name;
    struct again_cell *cell = &k->b->cells[again_cell(k->b, sku, location, true)];
    return __builtin_add_overflow(cell->micro, d->sign * (int64_t)micro, &cell->micro) ? CTL_FAILED
                                                                                       : CTL_OK;
}

static enum ctl_exit moves_read(struct reading *k, uint32_t from, uint32_t upto)
{
    json_t *ids = json_array(), *row;
    size_t i;
    for (uint32_t d = from; d < upto; d++)
        json_array_append_new(ids, json_integer(k->documents[d].id));
    json_array_clear(k->moves);
    enum ctl_exit e = ctl_odoo_pages(
        k->o, "stock.move",
        json_pack("[[s,s,o],[s,s,s]]", "picking_id", "in", ids, "state", "=", "done"),
        json_pack("[s,s,s]", "product_id", "quantity", "picking_id"), move_visit, k, &k->a);
    e = e == CTL_OK ? products_read(k) : e;
    json_array_foreach(k->moves, i, row) e = e == CTL_OK ? move_take(k, row) : e;
    return e;
}

static enum ctl_exit read_all(struct reading *k)
{
    enum ctl_exit e = warehouses_read(k);
    e = e == CTL_OK ? documents_read(k) : e;
    e = e == CTL_OK ? documents_judge(k) : e;
    progress_begin(&k->progress, k->c, "documents summed", 0);
    for (uint32_t at = 0; at < k->count && e == CTL_OK; at += DOCUMENTS_AT_ONCE) {
        uint32_t upto = at + DOCUMENTS_AT_ONCE < k->count ? at + DOCUMENTS_AT_ONCE : k->count;
        e = moves_read(k, at, upto);
        progress_tell(&k->progress, upto, k->count, upto == k->count);
    }
    return e;
}

enum ctl_exit again_odoo_read(struct ctl *c, struct ctl_odoo *o, struct again_book *b,
                              const struct again_engines *engines)
{
    struct reading k = {.c = c,
                        .o = o,
                        .b = b,
                        .engines = engines,
                        .moves = json_array(),
                        .codes = json_object(),
                        .strangers = json_object()};
    enum ctl_exit e = read_all(&k);
    if (e != CTL_OK && k.a.class != ODOO_OK)
        ctl_usage(c, "reading Odoo: %s", k.a.words);
    json_decref(k.moves);
    json_decref(k.codes);
    json_decref(k.strangers);
    free(k.documents);
    return e;
}
