// The stand-in's own door: /sandbox/... for seeding, faults and looking. Not part of Odoo.
#include "sandbox/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PICKINGS_AT_ONCE 1000

static const char *const states[] = {"draft", "assigned", "done", "cancel"};

static json_t *stock_json(struct sandbox *s)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < s->quant_count; i++) {
        const struct quant *q = &s->quants[i];
        const struct location *l = &s->locations[q->location];
        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s,s:I,s:o,s:o}", "product", s->products[q->product].code,
                            "location", l->complete, "usage", l->usage, "location_id",
                            (json_int_t)(BASE_LOCATION + (json_int_t)q->location), "quantity",
                            quantity_json(q->quantity), "reserved", quantity_json(q->reserved)));
    }
    return json_pack("{s:o}", "stock", rows);
}

static json_t *moves_json(const struct sandbox *s, const struct picking *p)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < p->move_count; i++) {
        const struct move *m = &s->moves[p->move_first + i];
        json_array_append_new(
            rows, json_pack("[s,o]", s->products[m->product].code, quantity_json(m->quantity)));
    }
    return rows;
}

// At most a thousand from ?after=ID on; `next` names the last one while there are more.
static json_t *pickings_json(struct sandbox *s, const char *query)
{
    const char *after = query ? strstr(query, "after=") : NULL;
    uint64_t id = after ? strtoull(after + 6, NULL, 10) : 0;
    uint32_t from = id >= BASE_PICKING ? (uint32_t)(id - BASE_PICKING) + 1 : 0;
    uint32_t stop = s->picking_count - from > PICKINGS_AT_ONCE && s->picking_count > from
                        ? from + PICKINGS_AT_ONCE
                        : s->picking_count;
    json_t *rows = json_array();
    for (uint32_t i = from; i < stop; i++) {
        const struct picking *p = &s->pickings[i];
        json_array_append_new(rows,
                              json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:I,s:o}", "id",
                                        (json_int_t)(BASE_PICKING + (json_int_t)i), "name", p->name,
                                        "origin", p->origin, "state", states[p->state], "source",
                                        s->locations[p->source].complete, "destination",
                                        s->locations[p->destination].complete, "company_id",
                                        (json_int_t)p->company_id, "moves", moves_json(s, p)));
    }
    json_int_t next = stop < s->picking_count ? BASE_PICKING + (json_int_t)stop - 1 : 0;
    return json_pack("{s:o,s:I}", "pickings", rows, "next", next);
}

static json_t *counters_json(struct sandbox *s)
{
    uint32_t by_state[4] = {0};
    for (uint32_t i = 0; i < s->picking_count; i++)
        by_state[s->pickings[i].state]++;
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:{s:I,s:I,s:I,s:I}}", "calls", (json_int_t)s->calls,
                     "faults_struck", (json_int_t)s->struck, "names_refused",
                     (json_int_t)s->duplicates, "products", (json_int_t)s->product_count, "moves",
                     (json_int_t)s->move_count, "pickings", "draft", (json_int_t)by_state[0],
                     "assigned", (json_int_t)by_state[1], "done", (json_int_t)by_state[2], "cancel",
                     (json_int_t)by_state[3]);
}

static json_t *faults_json(const struct sandbox *s)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < s->fault_count; i++) {
        const struct fault *f = &s->faults[i];
        json_array_append_new(
            rows, json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I}", "kind", fault_name(f->kind),
                            "model", f->model, "method", f->method, "product", f->product, "skip",
                            (json_int_t)f->skip, "count", (json_int_t)f->count, "chance",
                            (json_int_t)f->chance, "ms", (json_int_t)f->ms));
    }
    return json_pack("{s:o}", "faults", rows);
}

static const char *text_of(const json_t *v, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(v, key));
    return text ? text : otherwise;
}

static void text_set(const json_t *v, const char *key, char *to, size_t room)
{
    const char *text = json_string_value(json_object_get(v, key));
    if (text)
        snprintf(to, room, "%s", text);
}

static bool product_take(struct sandbox *s, const json_t *v)
{
    const char *code = text_of(v, "default_code", NULL);
    json_int_t uom = json_integer_value(json_object_get(v, "uom_id"));
    // A second product of one code is made on demand: Odoo does not forbid it.
    bool twin = json_is_true(json_object_get(v, "duplicate"));
    struct product *p = code && !twin ? product_find(s, code) : NULL;
    if (!p && code)
        p = product_add(s, code);
    if (!p)
        return false;
    const char *renamed = text_of(v, "rename", NULL);
    if (renamed && !product_rename(s, p, renamed))
        return false;
    text_set(v, "name", p->name, sizeof p->name);
    text_set(v, "tracking", p->tracking, sizeof p->tracking);
    p->uom_id = uom > 0 ? (uint32_t)uom : p->uom_id;
    if (json_object_get(v, "is_storable"))
        p->storable = json_is_true(json_object_get(v, "is_storable"));
    return true;
}

static bool place_take(struct sandbox *s, const json_t *v)
{
    return location_make(s, text_of(v, "complete_name", ""), text_of(v, "usage", "internal"),
                         (uint32_t)json_integer_value(json_object_get(v, "company_id")));
}

static bool stock_take(struct sandbox *s, const json_t *v)
{
    const char *code = text_of(v, "product", ""), *where = text_of(v, "location", "WH/Stock");
    struct product *p = product_find(s, code);
    int64_t quantity;
    uint32_t l = 0;
    while (l < s->location_count && strcmp(s->locations[l].complete, where) != 0)
        l++;
    struct quant *q =
        p && l < s->location_count ? quant_get(s, (uint32_t)(p - s->products), l) : NULL;
    if (!q || !quantity_parse(json_object_get(v, "quantity"), &quantity))
        return false;
    q->quantity = quantity;
    return true;
}

static bool warehouse_take(struct sandbox *s, const json_t *v)
{
    json_int_t company = json_integer_value(json_object_get(v, "company_id"));
    return warehouse_get(s, text_of(v, "code", ""), company > 0 ? (uint32_t)company : 1) != NULL;
}

static bool each(struct sandbox *s, const json_t *body, const char *key,
                 bool (*take)(struct sandbox *s, const json_t *v))
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(body, key), i, v) if (!take(s, v)) return false;
    return true;
}

bool catalogue_take(struct sandbox *s, const json_t *body)
{
    return each(s, body, "warehouses", warehouse_take) && each(s, body, "locations", place_take) &&
           each(s, body, "products", product_take) && each(s, body, "stock", stock_take);
}

static bool is(const struct sandbox_request *r, const char *method, const char *path)
{
    size_t n = strcspn(r->path, "?");
    return strcmp(r->method, method) == 0 && strlen(path) == n && memcmp(r->path, path, n) == 0;
}

static void post(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a)
{
    json_t *body = json_loadb(r->body ? r->body : "", r->body_bytes, 0, NULL);
    bool known = true, ok = body != NULL;
    if (is(r, "POST", "/sandbox/catalogue"))
        ok = ok && catalogue_take(s, body);
    else if (is(r, "POST", "/sandbox/faults") && json_is_true(json_object_get(body, "clear")))
        s->fault_count = 0;
    else if (is(r, "POST", "/sandbox/faults"))
        ok = ok && each(s, body, "faults", fault_add);
    else if (is(r, "POST", "/sandbox/database") && ok)
        text_set(body, "uuid", s->uuid, sizeof s->uuid);
    else
        known = is(r, "POST", "/sandbox/database");
    if (ok && is(r, "POST", "/sandbox/catalogue"))
        log_append(s, SANDBOX_DOOR, "catalogue", body, r->now_ms);
    json_decref(body);
    if (!known)
        answer_json(a, 404, json_pack("{s:s}", "error", "no such door"));
    else if (!ok)
        answer_json(a, 400, json_pack("{s:s}", "error", "the body was not understood, or full"));
    else
        answer_json(a, 200, json_pack("{s:b}", "ok", 1));
}

void admin_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a)
{
    const char *query = strchr(r->path, '?');
    if (strcmp(r->method, "POST") == 0) {
        post(s, r, a);
    } else if (is(r, "DELETE", "/sandbox/faults")) {
        s->fault_count = 0;
        answer_json(a, 200, json_pack("{s:b}", "ok", 1));
    } else if (is(r, "GET", "/sandbox/faults")) {
        answer_json(a, 200, faults_json(s));
    } else if (is(r, "GET", "/sandbox/stock")) {
        answer_json(a, 200, stock_json(s));
    } else if (is(r, "GET", "/sandbox/pickings")) {
        answer_json(a, 200, pickings_json(s, query));
    } else if (is(r, "GET", "/sandbox/counters")) {
        answer_json(a, 200, counters_json(s));
    } else {
        answer_json(a, 404, json_pack("{s:s}", "error", "no such door"));
    }
}
