#include "flush/mirror.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_ROWS 2000
#define DUST      1e-3 // of a smallest unit: Odoo's doubles carry that of their sums

static uint32_t id_of(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

enum hf_status mirror_init(struct mirror *m, struct core *core, struct http *http,
                           const struct flush_options *o)
{
    *m = (struct mirror){
        .core = core, .locations = o->locations, .location_count = o->location_count};
    bool ready = odoo_init(&m->odoo, http, o->database, o->key, o->timeout_ms);
    odoo_login_set(&m->odoo, o->login ? o->login : "");
    return ready ? HF_OK : HF_NO_MEMORY;
}

static void picture_set(struct mirror *m, const struct mirror *from)
{
    m->inside = from->inside;
    m->inside_count = from->inside_count;
    m->products = from->products;
    m->product_count = from->product_count;
    m->product_room = from->product_room;
    m->texts = from->texts;
    m->text_bytes = from->text_bytes;
    m->text_room = from->text_room;
}

static void picture_drop(struct mirror *m)
{
    free(m->inside);
    free(m->products);
    free(m->texts);
}

void mirror_fini(struct mirror *m)
{
    odoo_fini(&m->odoo);
    picture_drop(m);
}

// ------------------------------------------------------------------------------- asking

// NULL: m->words tells why.
static json_t *rows_ask(struct mirror *m, const char *model, json_t *args)
{
    struct odoo_answer a;
    odoo_ask(&m->odoo, model, "search_read", args, &a);
    if (a.class == ODOO_OK && json_is_array(a.result))
        return a.result;
    snprintf(m->words, sizeof m->words, "%s", a.class == ODOO_OK ? "no list" : a.words);
    json_decref(a.result);
    return NULL;
}

enum hf_status mirror_pages(struct mirror *m, const char *model, json_t *domain, json_t *fields,
                            mirror_visit visit, void *ctx)
{
    enum hf_status s = HF_OK;
    json_int_t last = 0;
    for (bool more = true; more && s == HF_OK;) {
        json_t *page = odoo_append(json_copy(domain), json_pack("[s,s,I]", "id", ">", last));
        json_t *args = odoo_search(page, json_incref(fields));
        args = odoo_put(args, "order", json_string("id"));
        args = odoo_put(args, "limit", json_integer(PAGE_ROWS));
        json_t *rows = rows_ask(m, model, args), *row;
        size_t i;
        if (!rows) {
            s = HF_AGAIN;
            break;
        }
        json_array_foreach(rows, i, row)
        {
            last = id_of(row, "id");
            s = last ? visit(ctx, row) : HF_AGAIN;
            if (s != HF_OK)
                break;
        }
        more = json_array_size(rows) == PAGE_ROWS;
        json_decref(rows);
    }
    json_decref(domain);
    json_decref(fields);
    return s;
}

// ------------------------------------------------------------------------------- locations

struct places {
    struct mirror *m;
    uint32_t root[FLUSH_LOCATIONS_MAX];       // Odoo's location of each of ours
    uint32_t warehouses[FLUSH_LOCATIONS_MAX]; // that have its code: one, or several companies'
    uint32_t room;
};

static enum hf_status warehouse_visit(void *ctx, const json_t *row)
{
    struct places *k = ctx;
    const char *code = json_string_value(json_object_get(row, "code"));
    for (uint32_t i = 0; code && i < k->m->location_count; i++)
        if (strcmp(k->m->locations[i].warehouse, code) == 0) {
            k->warehouses[i]++;
            k->root[i] = k->m->locations[i].location_id ? k->m->locations[i].location_id
                                                        : id_of(row, "lot_stock_id");
        }
    return HF_OK;
}

// The deepest of our locations on the way up.
static uint32_t place_on(const struct places *k, const char *path)
{
    uint32_t best = MIRROR_NONE;
    for (const char *at = path; at && *at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL) {
        uint32_t id = (uint32_t)strtoul(at, NULL, 10);
        for (uint32_t i = 0; id && i < k->m->location_count; i++)
            if (k->root[i] == id)
                best = i;
    }
    return best;
}

static enum hf_status location_visit(void *ctx, const json_t *row)
{
    struct places *k = ctx;
    struct mirror *m = k->m;
    const char *path = json_string_value(json_object_get(row, "parent_path"));
    uint32_t place = path ? place_on(k, path) : MIRROR_NONE;
    if (place == MIRROR_NONE)
        return HF_OK;
    if (m->inside_count == k->room) {
        uint32_t room = k->room ? 2 * k->room : 64;
        struct mirror_location *more = realloc(m->inside, room * sizeof *more);
        if (!more)
            return HF_NO_MEMORY;
        m->inside = more;
        k->room = room;
    }
    m->inside[m->inside_count++] = (struct mirror_location){id_of(row, "id"), place};
    return HF_OK;
}

static enum hf_status locations_read(struct mirror *m)
{
    struct places *k = calloc(1, sizeof *k);
    if (!k)
        return HF_NO_MEMORY;
    k->m = m;
    json_t *codes = json_array();
    for (uint32_t i = 0; i < m->location_count; i++)
        codes = odoo_append(codes, json_string(m->locations[i].warehouse));
    enum hf_status s =
        mirror_pages(m, "stock.warehouse", json_pack("[[s,s,o]]", "code", "in", codes),
                     json_pack("[s,s]", "code", "lot_stock_id"), warehouse_visit, k);
    for (uint32_t i = 0; s == HF_OK && i < m->location_count; i++)
        if (!k->root[i] || k->warehouses[i] > 1) {
            snprintf(m->words, sizeof m->words, "%s warehouse %.16s",
                     k->root[i] ? "in several companies:" : "no", m->locations[i].warehouse);
            s = HF_INVALID;
        }
    if (s == HF_OK)
        s = mirror_pages(m, "stock.location", json_pack("[[s,s,s]]", "usage", "=", "internal"),
                         json_pack("[s]", "parent_path"), location_visit, k);
    free(k);
    return s;
}

// ------------------------------------------------------------------------------- products

static enum hf_status product_visit(void *ctx, const json_t *row)
{
    struct mirror *m = ctx;
    const json_t *code = json_object_get(row, "default_code");
    const char *tracking = json_string_value(json_object_get(row, "tracking"));
    size_t bytes = json_string_length(code);
    if (!json_is_string(code) || bytes == 0 || bytes > HF_SKU_BYTES_MAX)
        return HF_OK;
    if (m->product_count == m->product_room) {
        uint32_t room = m->product_room ? 2 * m->product_room : 1024;
        struct mirror_product *more = realloc(m->products, room * sizeof *more);
        if (!more)
            return HF_NO_MEMORY;
        m->products = more;
        m->product_room = room;
    }
    if (m->text_bytes + bytes + 1 > m->text_room) {
        size_t room = 2 * m->text_room + 65536;
        char *more = realloc(m->texts, room);
        if (!more || room > UINT32_MAX) {
            m->texts = more ? more : m->texts;
            return HF_NO_MEMORY;
        }
        m->texts = more;
        m->text_room = room;
    }
    memcpy(m->texts + m->text_bytes, json_string_value(code), bytes + 1);
    m->products[m->product_count++] =
        (struct mirror_product){.id = id_of(row, "id"),
                                .sku = (uint32_t)m->text_bytes,
                                .tracked = tracking && strcmp(tracking, "none") != 0};
    m->text_bytes += bytes + 1;
    return HF_OK;
}

static int code_order(const void *a, const void *b, void *ctx)
{
    const struct mirror *m = ctx;
    const uint32_t *x = a, *y = b;
    return strcmp(m->texts + m->products[*x].sku, m->texts + m->products[*y].sku);
}

static enum hf_status twins_mark(struct mirror *m)
{
    uint32_t *order = malloc((m->product_count + 1) * sizeof *order);
    if (!order)
        return HF_NO_MEMORY;
    for (uint32_t i = 0; i < m->product_count; i++)
        order[i] = i;
    qsort_r(order, m->product_count, sizeof *order, code_order, m);
    for (uint32_t i = 1; i < m->product_count; i++)
        if (code_order(&order[i - 1], &order[i], m) == 0)
            m->products[order[i - 1]].ambiguous = m->products[order[i]].ambiguous = true;
    free(order);
    return HF_OK;
}

// Into an empty picture.
static enum hf_status picture_read(struct mirror *m)
{
    enum hf_status s = locations_read(m);
    if (s == HF_OK)
        s = mirror_pages(m, "product.product", json_pack("[[s,s,b]]", "default_code", "!=", 0),
                         json_pack("[s,s]", "default_code", "tracking"), product_visit, m);
    return s == HF_OK ? twins_mark(m) : s;
}

enum hf_status mirror_read(struct mirror *m)
{
    static const struct mirror empty;
    struct mirror old = *m;
    picture_set(m, &empty);
    enum hf_status s = picture_read(m);
    if (s == HF_OK) {
        picture_drop(&old);
        return HF_OK;
    }
    picture_drop(m);
    picture_set(m, &old);
    return s;
}

// ------------------------------------------------------------------------------- looking

static int location_order(const void *a, const void *b)
{
    const struct mirror_location *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int product_order(const void *a, const void *b)
{
    const struct mirror_product *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

uint32_t mirror_place(const struct mirror *m, uint32_t location)
{
    struct mirror_location key = {location, 0};
    const struct mirror_location *l =
        m->inside ? bsearch(&key, m->inside, m->inside_count, sizeof key, location_order) : NULL;
    return l ? l->place : MIRROR_NONE;
}

const struct mirror_product *mirror_product(const struct mirror *m, uint32_t id)
{
    struct mirror_product key = {.id = id};
    return m->products ? bsearch(&key, m->products, m->product_count, sizeof key, product_order)
                       : NULL;
}

const char *mirror_sku(const struct mirror *m, const struct mirror_product *p)
{
    return m->texts + p->sku;
}

uint32_t mirror_cell(const struct mirror *m, uint32_t product, uint32_t location)
{
    uint32_t place = mirror_place(m, location), handle;
    const struct mirror_product *p = place == MIRROR_NONE ? NULL : mirror_product(m, product);
    if (!p || p->ambiguous)
        return MIRROR_NONE;
    const char *sku = mirror_sku(m, p), *name = m->locations[place].name;
    return core_find(m->core, sku, (uint32_t)strlen(sku), name, (uint32_t)strlen(name), &handle) ==
                   HF_OK
               ? handle
               : MIRROR_NONE;
}

bool mirror_quantity(const json_t *v, uint8_t scale, int64_t *whole, double *fraction)
{
    double q = json_number_value(v);
    for (uint8_t i = 0; i < scale; i++)
        q *= 10;
    double below = floor(q + DUST);
    if (!json_is_number(v) || !(fabs(below) <= (double)HF_QUANTITY_MAX))
        return false;
    *whole = (int64_t)below;
    *fraction = q - below > DUST ? q - below : 0;
    return true;
}

json_t *mirror_inside(const struct mirror *m)
{
    json_t *ids = json_array();
    for (uint32_t i = 0; i < m->inside_count; i++)
        ids = odoo_append(ids, json_integer(m->inside[i].id));
    return ids;
}

// ------------------------------------------------------------------------------- quants

struct summing {
    struct mirror *m;
    const struct mirror_sums *out;
    uint32_t unread;
};

static enum hf_status quant_visit(void *ctx, const json_t *row)
{
    struct summing *k = ctx;
    const struct mirror_sums *o = k->out;
    struct core_cell cell;
    int64_t whole;
    double fraction;
    uint32_t h = mirror_cell(k->m, id_of(row, "product_id"), id_of(row, "location_id"));
    if (h >= o->cells || core_cell_read(k->m->core, h, &cell) != HF_OK)
        return HF_OK;
    o->seen[h] = true;
    if (!mirror_quantity(json_object_get(row, "quantity"), cell.scale, &whole, &fraction)) {
        k->unread++;
        return HF_OK;
    }
    o->whole[h] += whole;
    o->fraction[h] += fraction;
    return HF_OK;
}

enum hf_status mirror_quants(struct mirror *m, const struct mirror_sums *out, uint32_t *odd)
{
    struct summing k = {m, out, 0};
    for (uint32_t i = 0; i < out->cells; i++) {
        out->whole[i] = 0;
        out->fraction[i] = 0;
        out->seen[i] = false;
    }
    enum hf_status s = mirror_pages(
        m, "stock.quant", json_pack("[[s,s,o]]", "location_id", "in", mirror_inside(m)),
        json_pack("[s,s,s]", "product_id", "location_id", "quantity"), quant_visit, &k);
    *odd = k.unread;
    for (uint32_t i = 0; i < out->cells; i++) {
        double carried = floor(out->fraction[i] + DUST), rest = out->fraction[i] - carried;
        out->whole[i] += (int64_t)carried;
        out->fraction[i] = rest > DUST ? rest : 0;
        *odd += out->fraction[i] > 0;
    }
    return s;
}
