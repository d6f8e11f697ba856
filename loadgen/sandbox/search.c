// search_read over every model that the flusher reads: fields, domains, order, many2one forms.
//
// A domain is a list of terms, all of which must hold, or prefix operators as Odoo has them. Names
// of pickings and codes of products are found by their buckets, everything else by scanning.
#include "sandbox/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define VALUE "builtins.ValueError"

struct model {
    const char *name;
    enum sandbox_base base;
    uint32_t (*count)(const struct sandbox *s);
    // A new reference; NULL: no such field. many2one fields give the id or false.
    json_t *(*field)(struct sandbox *s, uint32_t index, const char *name);
    const char *const *many2one; // field, model, field, model, ... NULL
};

static json_t *date_json(uint64_t ms)
{
    char text[24];
    time_t t = (time_t)(ms / 1000);
    struct tm parts;
    gmtime_r(&t, &parts);
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    return json_string(text);
}

static json_t *id_or_false(uint32_t id)
{
    return id ? json_integer(id) : json_false();
}

static json_t *text_or_false(const char *text)
{
    return *text ? json_string(text) : json_false();
}

#define IS(field) (strcmp(name, field) == 0)

// ------------------------------------------------------------------------------- fields

static uint32_t product_total(const struct sandbox *s)
{
    return s->product_count;
}
static json_t *product_field(struct sandbox *s, uint32_t i, const char *name)
{
    const struct product *p = &s->products[i];
    if (IS("id"))
        return json_integer(BASE_PRODUCT + (json_int_t)i);
    if (IS("default_code"))
        return text_or_false(p->code);
    if (IS("name") || IS("display_name"))
        return json_string(p->name);
    if (IS("uom_id"))
        return json_integer(p->uom_id);
    if (IS("tracking"))
        return json_string(p->tracking);
    if (IS("is_storable"))
        return json_boolean(p->storable);
    return IS("active") ? json_true() : NULL;
}

static uint32_t location_total(const struct sandbox *s)
{
    return s->location_count;
}
// "10000004/10000009/": a location is below those whose whole name is the beginning of its own.
static void parent_path(const struct sandbox *s, uint32_t i, char *path, size_t room)
{
    const char *whole = s->locations[i].complete, *end = whole;
    size_t at = 0;
    while (*end && at < room) {
        end += strcspn(end, "/");
        for (uint32_t k = 0; k < s->location_count; k++) {
            const char *name = s->locations[k].complete;
            size_t bytes = (size_t)(end - whole);
            if (at < room && (k == i || s->locations[k].company_id == s->locations[i].company_id) &&
                strlen(name) == bytes && memcmp(name, whole, bytes) == 0 && (*end || k == i))
                at += (size_t)snprintf(path + at, room - at, "%d/", (int)BASE_LOCATION + (int)k);
        }
        end += *end == '/';
    }
}

static json_t *location_field(struct sandbox *s, uint32_t i, const char *name)
{
    const struct location *l = &s->locations[i];
    if (IS("id"))
        return json_integer(BASE_LOCATION + (json_int_t)i);
    if (IS("name"))
        return json_string(l->name);
    if (IS("complete_name") || IS("display_name"))
        return json_string(l->complete);
    if (IS("usage"))
        return json_string(l->usage);
    if (IS("parent_path")) {
        char path[64];
        parent_path(s, i, path, sizeof path);
        return json_string(path);
    }
    if (IS("barcode"))
        return json_false();
    if (IS("active"))
        return json_true();
    return IS("company_id") ? id_or_false(l->company_id) : NULL;
}

static uint32_t warehouse_total(const struct sandbox *s)
{
    return s->warehouse_count;
}
static json_t *warehouse_field(struct sandbox *s, uint32_t i, const char *name)
{
    const struct warehouse *w = &s->warehouses[i];
    json_int_t type = BASE_TYPE + (json_int_t)i * TYPE_KINDS;
    if (IS("id"))
        return json_integer(BASE_WAREHOUSE + (json_int_t)i);
    if (IS("code"))
        return json_string(w->code);
    if (IS("name") || IS("display_name"))
        return json_string(w->name);
    if (IS("company_id"))
        return json_integer(w->company_id);
    if (IS("lot_stock_id"))
        return json_integer(BASE_LOCATION + (json_int_t)w->stock);
    if (IS("out_type_id"))
        return json_integer(type + TYPE_OUT);
    if (IS("in_type_id"))
        return json_integer(type + TYPE_IN);
    return IS("int_type_id") ? json_integer(type + TYPE_INTERNAL) : NULL;
}

static uint32_t quant_total(const struct sandbox *s)
{
    return s->quant_count;
}
static json_t *quant_field(struct sandbox *s, uint32_t i, const char *name)
{
    const struct quant *q = &s->quants[i];
    if (IS("id"))
        return json_integer(BASE_QUANT + (json_int_t)i);
    if (IS("product_id"))
        return json_integer(BASE_PRODUCT + (json_int_t)q->product);
    if (IS("location_id"))
        return json_integer(BASE_LOCATION + (json_int_t)q->location);
    if (IS("quantity"))
        return quantity_json(q->quantity);
    if (IS("reserved_quantity"))
        return quantity_json(q->reserved);
    return IS("lot_id") || IS("package_id") || IS("owner_id") ? json_false() : NULL;
}

static uint32_t picking_total(const struct sandbox *s)
{
    return s->picking_count;
}
static json_t *picking_field(struct sandbox *s, uint32_t i, const char *name)
{
    static const char *const states[] = {"draft", "assigned", "done", "cancel"};
    const struct picking *p = &s->pickings[i];
    if (IS("id"))
        return json_integer(BASE_PICKING + (json_int_t)i);
    if (IS("name") || IS("display_name"))
        return json_string(p->name);
    if (IS("origin"))
        return text_or_false(p->origin);
    if (IS("state"))
        return json_string(states[p->state]);
    if (IS("company_id"))
        return json_integer(p->company_id);
    if (IS("picking_type_id"))
        return json_integer(BASE_TYPE + (json_int_t)p->type);
    if (IS("location_id"))
        return json_integer(BASE_LOCATION + (json_int_t)p->source);
    if (IS("location_dest_id"))
        return json_integer(BASE_LOCATION + (json_int_t)p->destination);
    if (IS("date_done"))
        return text_or_false(p->date_done);
    return IS("write_date") ? date_json(p->write_ms) : NULL;
}

static uint32_t move_total(const struct sandbox *s)
{
    return s->move_count;
}
static json_t *move_field(struct sandbox *s, uint32_t i, const char *name)
{
    const struct move *m = &s->moves[i];
    if (IS("id") || IS("move_id"))
        return json_integer(BASE_MOVE + (json_int_t)i);
    if (IS("picking_id"))
        return json_integer(BASE_PICKING + (json_int_t)m->picking);
    if (IS("product_id"))
        return json_integer(BASE_PRODUCT + (json_int_t)m->product);
    if (IS("location_id"))
        return json_integer(BASE_LOCATION + (json_int_t)m->source);
    if (IS("location_dest_id"))
        return json_integer(BASE_LOCATION + (json_int_t)m->destination);
    if (IS("quantity") || IS("quantity_product_uom"))
        return quantity_json(m->quantity);
    if (IS("product_uom_qty") || IS("product_qty"))
        return quantity_json(m->demand);
    if (IS("date"))
        return picking_field(s, m->picking, "write_date");
    if (IS("picked"))
        return json_boolean(m->picked);
    if (IS("reference"))
        return json_string(s->pickings[m->picking].name);
    if (IS("origin"))
        return text_or_false(m->origin);
    if (IS("lot_id"))
        return json_false();
    if (IS("state") || IS("write_date") || IS("company_id"))
        return picking_field(s, m->picking, name);
    return NULL;
}

// Since Odoo 19 all units have the rounding of the decimal accuracy "Product Unit".
static uint32_t unit_total(const struct sandbox *s)
{
    (void)s;
    return SANDBOX_UNITS;
}
static json_t *unit_field(struct sandbox *s, uint32_t i, const char *name)
{
    if (IS("id"))
        return json_integer(1 + (json_int_t)i);
    if (IS("name"))
        return json_string("Units");
    if (!IS("rounding"))
        return NULL;
    double rounding = 1;
    for (uint32_t n = 0; n < s->options.unit_digits; n++)
        rounding /= 10;
    return json_real(rounding);
}

// ir.model has what the one-call action hangs on, res.users.apikeys the one key.
static uint32_t one(const struct sandbox *s)
{
    (void)s;
    return 1;
}
static json_t *model_field(struct sandbox *s, uint32_t i, const char *name)
{
    (void)s;
    (void)i;
    if (IS("id"))
        return json_integer(1);
    return IS("model") ? json_string("stock.picking") : NULL;
}
static json_t *apikey_field(struct sandbox *s, uint32_t i, const char *name)
{
    (void)s;
    (void)i;
    if (IS("id"))
        return json_integer(1);
    if (IS("name"))
        return json_string("sandbox");
    return IS("expiration_date") ? json_false() : NULL;
}

static uint32_t parameter_total(const struct sandbox *s)
{
    (void)s;
    return 1;
}
static json_t *parameter_field(struct sandbox *s, uint32_t i, const char *name)
{
    (void)i;
    if (IS("id"))
        return json_integer(1);
    if (IS("key"))
        return json_string("database.uuid");
    return IS("value") ? json_string(s->uuid) : NULL;
}

static uint32_t action_total(const struct sandbox *s)
{
    return s->action_code ? 1 : 0;
}
static json_t *action_field(struct sandbox *s, uint32_t i, const char *name)
{
    (void)i;
    if (IS("id"))
        return json_integer(BASE_ACTION);
    if (IS("name") || IS("display_name"))
        return json_string(SANDBOX_ACTION_NAME);
    if (IS("code"))
        return json_string(s->action_code);
    if (IS("model_name"))
        return json_string("stock.picking");
    return IS("state") ? json_string("code") : NULL;
}

static const char *const no_links[] = {NULL};
static const char *const quant_links[] = {"product_id", "product.product", "location_id",
                                          "stock.location", NULL};
static const char *const picking_links[] = {"location_id", "stock.location", "location_dest_id",
                                            "stock.location", NULL};
static const char *const move_links[] = {"product_id",     "product.product",  "location_id",
                                         "stock.location", "location_dest_id", "stock.location",
                                         "picking_id",     "stock.picking",    NULL};
static const char *const warehouse_links[] = {"lot_stock_id", "stock.location", NULL};

static const struct model models[] = {
    {"product.product", BASE_PRODUCT, product_total, product_field, no_links},
    {"stock.location", BASE_LOCATION, location_total, location_field, no_links},
    {"stock.warehouse", BASE_WAREHOUSE, warehouse_total, warehouse_field, warehouse_links},
    {"stock.quant", BASE_QUANT, quant_total, quant_field, quant_links},
    {"stock.picking", BASE_PICKING, picking_total, picking_field, picking_links},
    {"stock.move", BASE_MOVE, move_total, move_field, move_links},
    {"stock.move.line", BASE_MOVE, move_total, move_field, move_links},
    {"uom.uom", (enum sandbox_base)1, unit_total, unit_field, no_links},
    {"ir.config_parameter", (enum sandbox_base)1, parameter_total, parameter_field, no_links},
    {"ir.actions.server", BASE_ACTION, action_total, action_field, no_links},
    {"ir.model", (enum sandbox_base)1, one, model_field, no_links},
    {"res.users.apikeys", (enum sandbox_base)1, one, apikey_field, no_links},
};

static const struct model *model_find(const char *name)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0)
            return &models[i];
    return NULL;
}

bool search_knows(const char *model)
{
    return model_find(model) != NULL;
}

static const struct model *link_of(const struct model *m, const char *field)
{
    for (const char *const *l = m->many2one; *l; l += 2)
        if (strcmp(l[0], field) == 0)
            return model_find(l[1]);
    return NULL;
}

// A field, or one behind a many2one: "location_id.usage".
static json_t *value_of(struct sandbox *s, const struct model *m, uint32_t index, const char *path)
{
    char head[64];
    const char *dot = strchr(path, '.');
    if (!dot)
        return m->field(s, index, path);
    if ((size_t)(dot - path) >= sizeof head)
        return NULL;
    memcpy(head, path, (size_t)(dot - path));
    head[dot - path] = '\0';
    const struct model *to = link_of(m, head);
    json_t *id = to ? m->field(s, index, head) : NULL;
    if (!id)
        return NULL;
    json_int_t at = json_integer_value(id) - (json_int_t)to->base;
    json_decref(id);
    return at >= 0 && at < to->count(s) ? value_of(s, to, (uint32_t)at, dot + 1) : json_false();
}

// ------------------------------------------------------------------------------- domains

// SQL's pattern: % any run, _ any one; a pattern without either matches anywhere inside.
static bool like_at(const char *text, const char *pattern, bool fold)
{
    for (; *pattern; pattern++, text++) {
        if (*pattern == '%') {
            do
                if (like_at(text, pattern + 1, fold))
                    return true;
            while (*text++);
            return false;
        }
        if (!*text ||
            (*pattern != '_' && (fold ? strncasecmp(text, pattern, 1) != 0 : *text != *pattern)))
            return false;
    }
    return !*text;
}

static bool like(const char *text, const char *pattern, bool whole, bool fold)
{
    char wide[SANDBOX_TEXT_BYTES + 3];
    if (whole)
        return like_at(text, pattern, fold);
    snprintf(wide, sizeof wide, "%%%s%%", pattern);
    return like_at(text, wide, fold);
}

static int compare(const json_t *a, const json_t *b)
{
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    double x = json_is_true(a) ? 1 : json_number_value(a);
    double y = json_is_true(b) ? 1 : json_number_value(b);
    return (x > y) - (x < y);
}

static bool equal(const json_t *a, const json_t *b)
{
    bool none_a = json_is_false(a) || json_is_null(a), none_b = json_is_false(b) || json_is_null(b);
    if (none_a || none_b)
        return none_a == none_b;
    return json_is_string(a) == json_is_string(b) && compare(a, b) == 0;
}

static bool in_list(const json_t *v, const json_t *list)
{
    size_t i;
    json_t *each;
    json_array_foreach((json_t *)list, i, each) if (equal(v, each)) return true;
    return false;
}

// -1: the operator is not known.
static int term_holds(const json_t *v, const char *op, const json_t *want)
{
    static const char *const likes[] = {"like", "ilike", "=like", "=ilike"};
    if (strcmp(op, "=") == 0)
        return equal(v, want);
    if (strcmp(op, "!=") == 0)
        return !equal(v, want);
    if (strcmp(op, "in") == 0)
        return in_list(v, want);
    if (strcmp(op, "not in") == 0)
        return !in_list(v, want);
    bool negated = strncmp(op, "not ", 4) == 0;
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(negated ? op + 4 : op, likes[i]) == 0) {
            const char *text = json_string_value(v), *pattern = json_string_value(want);
            bool is = text && pattern && like(text, pattern, i >= 2, i & 1);
            return negated ? !is : is;
        }
    if (op[0] != '<' && op[0] != '>')
        return -1;
    if (json_is_false(v) || json_is_null(v))
        return 0;
    int c = compare(v, want);
    bool same = op[1] == '=' && c == 0;
    return same || (op[0] == '<' ? c < 0 : c > 0);
}

struct walk {
    struct sandbox *s;
    const struct model *model;
    const json_t *domain;
    uint32_t index;
    struct outcome *o;
};

// One operand in prefix notation, from *at on. Every part is evaluated: *at must move past it.
static bool domain_part(struct walk *w, size_t *at)
{
    const json_t *part = json_array_get(w->domain, (*at)++);
    const char *prefix = json_string_value(part);
    if (prefix && strcmp(prefix, "!") == 0)
        return !domain_part(w, at);
    if (prefix && (strcmp(prefix, "&") == 0 || strcmp(prefix, "|") == 0)) {
        bool a = domain_part(w, at), b = domain_part(w, at);
        return prefix[0] == '&' ? a && b : a || b;
    }
    const char *field = json_string_value(json_array_get(part, 0));
    const char *op = json_string_value(json_array_get(part, 1));
    if (json_array_size(part) != 3 || !field || !op) {
        outcome_fail(w->o, 500, VALUE, "Invalid domain");
        return false;
    }
    json_t *v = value_of(w->s, w->model, w->index, field);
    int holds = v ? term_holds(v, op, json_array_get(part, 2)) : -1;
    json_decref(v);
    if (holds < 0)
        outcome_fail(w->o, 500, VALUE, "Invalid field or operator '%.60s' on '%s'", field,
                     w->model->name);
    return holds > 0;
}

static bool domain_holds(struct walk *w, uint32_t index)
{
    w->index = index;
    bool all = true;
    for (size_t at = 0; at < json_array_size(w->domain) && !w->o->status;)
        all &= domain_part(w, &at);
    return all && !w->o->status;
}

// ------------------------------------------------------------------------------- candidates

struct list {
    uint32_t *at, count, room;
};

static bool list_add(struct list *l, uint32_t index)
{
    if (l->count == l->room) {
        uint32_t room = l->room ? l->room * 2 : 256;
        uint32_t *more = realloc(l->at, room * sizeof *more);
        if (!more)
            return false;
        l->at = more;
        l->room = room;
    }
    l->at[l->count++] = index;
    return true;
}

static int by_index(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

// A code that is asked for twice is one row all the same.
static void list_unique(struct list *l)
{
    uint32_t kept = 0;
    if (l->count > 1)
        qsort(l->at, l->count, sizeof *l->at, by_index);
    for (uint32_t i = 0; i < l->count; i++)
        if (kept == 0 || l->at[kept - 1] != l->at[i])
            l->at[kept++] = l->at[i];
    l->count = kept;
}

static const json_t *term_value(const json_t *domain, const char *field, const char *op)
{
    size_t i;
    json_t *part;
    json_array_foreach((json_t *)domain, i, part)
    {
        if (json_is_string(part))
            return NULL; // with prefix operators a term alone decides nothing
        const char *f = json_string_value(json_array_get(part, 0));
        const char *o = json_string_value(json_array_get(part, 1));
        if (f && o && strcmp(f, field) == 0 && strcmp(o, op) == 0)
            return json_array_get(part, 2);
    }
    return NULL;
}

// Everything that a bucket holds is a candidate; the domain decides.
static bool candidates(struct sandbox *s, const struct model *m, const json_t *domain,
                       struct list *l)
{
    const json_t *name = m->field == picking_field ? term_value(domain, "name", "=") : NULL;
    const json_t *codes =
        m->field == product_field ? term_value(domain, "default_code", "in") : NULL;
    bool ok = true;
    if (json_is_string(name)) {
        struct picking *p = NULL;
        for (uint32_t c = 0; c <= SANDBOX_WAREHOUSES && ok; c++)
            if ((p = picking_find(s, json_string_value(name), c)))
                ok = list_add(l, (uint32_t)(p - s->pickings));
        return ok;
    }
    if (json_is_array(codes)) {
        size_t i;
        json_t *code;
        json_array_foreach((json_t *)codes, i, code)
        {
            const char *text = json_string_value(code);
            struct product *p = text ? product_find(s, text) : NULL;
            for (; p; p = p->next ? &s->products[p->next - 1] : NULL)
                if (strcmp(p->code, text) == 0)
                    ok &= list_add(l, (uint32_t)(p - s->products));
        }
        list_unique(l);
        return ok;
    }
    for (uint32_t i = 0; i < m->count(s) && ok; i++)
        ok = list_add(l, i);
    return ok;
}

// ------------------------------------------------------------------------------- reading

static json_t *row_read(struct sandbox *s, const struct model *m, uint32_t index,
                        const json_t *fields, bool classic, struct outcome *o)
{
    json_t *row = json_object(), *each;
    size_t i;
    json_object_set_new(row, "id", m->field(s, index, "id"));
    json_array_foreach((json_t *)fields, i, each)
    {
        const char *name = json_string_value(each);
        json_t *v = name ? m->field(s, index, name) : NULL;
        if (!v) {
            outcome_fail(o, 500, VALUE, "Invalid field '%.60s' on '%s'", name ? name : "?",
                         m->name);
            break;
        }
        const struct model *to = classic && !json_is_false(v) ? link_of(m, name) : NULL;
        if (to) {
            json_int_t id = json_integer_value(v);
            json_t *shown = to->field(s, (uint32_t)(id - (json_int_t)to->base), "display_name");
            json_decref(v);
            v = json_pack("[I,o]", id, shown);
        }
        json_object_set_new(row, name, v);
    }
    return row;
}

struct sorter {
    struct sandbox *s;
    const struct model *model;
    char fields[4][64];
    bool descending[4];
    unsigned count;
};

static bool order_parse(const char *text, struct sorter *k)
{
    char copy[128], *rest = copy;
    snprintf(copy, sizeof copy, "%s", text);
    for (char *part; (part = strsep(&rest, ",")) && k->count < 4; k->count++) {
        while (*part == ' ')
            part++;
        char *space = strchr(part, ' ');
        k->descending[k->count] = space && strcasestr(space, "desc");
        if (space)
            *space = '\0';
        snprintf(k->fields[k->count], sizeof k->fields[0], "%.60s", part);
    }
    return true;
}

static int sorter_compare(const void *a, const void *b, void *ctx)
{
    const struct sorter *k = ctx;
    const uint32_t *x = a, *y = b;
    int c = 0;
    for (unsigned i = 0; i < k->count && c == 0; i++) {
        json_t *v = k->model->field(k->s, *x, k->fields[i]);
        json_t *w = k->model->field(k->s, *y, k->fields[i]);
        c = v && w ? compare(v, w) : 0;
        c = k->descending[i] ? -c : c;
        json_decref(v);
        json_decref(w);
    }
    return c ? c : (*x > *y) - (*x < *y);
}

static void rows_read(struct sandbox *s, const struct model *m, const json_t *args,
                      const struct list *found, struct outcome *o)
{
    const json_t *load = json_object_get(args, "load"), *fields = json_object_get(args, "fields");
    json_int_t offset = json_integer_value(json_object_get(args, "offset"));
    json_int_t limit = json_integer_value(json_object_get(args, "limit"));
    json_t *rows = json_array();
    bool classic = !load || json_is_string(load);
    for (uint32_t i = 0; i < found->count && !o->status; i++) {
        if (i < offset || (limit > 0 && i >= offset + limit))
            continue;
        json_array_append_new(rows, row_read(s, m, found->at[i], fields, classic, o));
    }
    if (o->status)
        json_decref(rows);
    else
        o->result = rows;
}

bool search_run(struct sandbox *s, const char *model, const json_t *args, bool count,
                struct outcome *o)
{
    const struct model *m = model_find(model);
    struct list all = {0}, found = {0};
    if (!m)
        return false;
    struct walk w = {s, m, json_object_get(args, "domain"), 0, o};
    bool ok = candidates(s, m, w.domain, &all);
    for (uint32_t i = 0; i < all.count && ok && !o->status; i++)
        if (domain_holds(&w, all.at[i]))
            ok = list_add(&found, all.at[i]);
    if (!ok)
        outcome_fail(o, 507, "sandbox.Full", "no memory for the search");
    const char *order = json_string_value(json_object_get(args, "order"));
    struct sorter k = {.s = s, .model = m};
    if (order && order_parse(order, &k) && found.count > 1)
        qsort_r(found.at, found.count, sizeof *found.at, sorter_compare, &k);
    if (!o->status && count)
        o->result = json_integer(found.count);
    else if (!o->status)
        rows_read(s, m, args, &found, o);
    free(all.at);
    free(found.at);
    return true;
}
