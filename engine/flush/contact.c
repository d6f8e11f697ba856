// What must be known of Odoo before anything is posted: that it is the bound database, and which
// ids its warehouses, locations and products have. Looked up anew after every failure, and now and
// then.
#include "flush/flush_internal.h"

#include "base/log.h"
#include "flush/action.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PRODUCTS_AT_ONCE 500
#define DAY_MS           (UINT64_C(24) * 3600 * 1000)

void odoo_call(struct flush *f, const char *model, const char *method, json_t *args,
               struct odoo_answer *a)
{
    odoo_ask(&f->odoo, model, method, args, a);
    flush_count(&f->metrics.calls, 1);
    if (a->class == ODOO_OK)
        f->failures = 0;
    else
        flush_count(&f->metrics.calls_failed, 1);
}

void odoo_failed(struct flush *f, const struct odoo_answer *a, uint64_t now_ms)
{
    static const enum flush_pause pauses[] = {
        [ODOO_OK] = FLUSH_PAUSE_SCHEMA, // an answer, but not of the form that was expected
        [ODOO_RETRY] = FLUSH_PAUSE_ODOO_AWAY, [ODOO_KEY] = FLUSH_PAUSE_KEY,
        [ODOO_RIGHTS] = FLUSH_PAUSE_RIGHTS,   [ODOO_REFUSED] = FLUSH_PAUSE_SCHEMA,
        [ODOO_MISSING] = FLUSH_PAUSE_SCHEMA,  [ODOO_SCHEMA] = FLUSH_PAUSE_SCHEMA,
    };
    flush_hold(f, pauses[a->class], now_ms, a->words);
}

static uint32_t id_of(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

// The rows of a search, or NULL after the flusher was held.
static json_t *rows_get(struct flush *f, const char *model, json_t *domain, json_t *fields,
                        uint64_t now_ms)
{
    struct odoo_answer a;
    odoo_call(f, model, "search_read", odoo_search(domain, fields), &a);
    if (a.class == ODOO_OK && json_is_array(a.result))
        return a.result;
    odoo_failed(f, &a, now_ms);
    json_decref(a.result);
    return NULL;
}

// ------------------------------------------------------------------------------- the database

// The database's UUID: told by the action, else a parameter that only administrators may read.
static bool uuid_from_action(struct flush *f, uint64_t now_ms)
{
    struct odoo_answer a;
    odoo_call(f, "ir.actions.server", "run",
              json_pack("{s:[I]}", "ids", (json_int_t)f->options.action_id), &a);
    const char *text = json_string_value(json_object_get(a.result, "uuid"));
    json_int_t version = json_integer_value(json_object_get(a.result, "holdfast"));
    bool known = a.class == ODOO_OK && text && version == FLUSH_ACTION_VERSION;
    snprintf(f->database, sizeof f->database, "%s", text ? text : "");
    if (a.class != ODOO_OK)
        odoo_failed(f, &a, now_ms);
    else if (!known)
        flush_hold(f, FLUSH_PAUSE_SCHEMA, now_ms,
                   "the server action is another version: holdfastctl odoo install-action");
    json_decref(a.result);
    return known;
}

static bool uuid_from_parameter(struct flush *f, uint64_t now_ms)
{
    json_t *rows =
        rows_get(f, "ir.config_parameter", json_pack("[[s,s,s]]", "key", "=", "database.uuid"),
                 json_pack("[s]", "value"), now_ms);
    if (!rows)
        return false;
    const char *text = json_string_value(json_object_get(json_array_get(rows, 0), "value"));
    snprintf(f->database, sizeof f->database, "%s", text ? text : "");
    json_decref(rows);
    return true;
}

static bool database_check(struct flush *f, uint64_t now_ms)
{
    struct hf_uuid uuid;
    if (!(f->options.action_id ? uuid_from_action(f, now_ms) : uuid_from_parameter(f, now_ms)))
        return false;
    if (!hf_uuid_parse(f->database, &uuid)) {
        flush_hold(f, FLUSH_PAUSE_CONFIG, now_ms, "no database.uuid");
        return false;
    }
    if (hf_uuid_is_nil(f->bound)) {
        char bound[HF_UUID_TEXT_BYTES];
        f->bound = uuid;
        f->must_save = true; // before the first post
        hf_uuid_format(uuid, bound);
        hf_log(HF_LOG_INFO, "flush_database_bound", "uuid=%s", bound);
    }
    if (hf_uuid_equal(f->bound, uuid))
        return true;
    flush_hold(f, FLUSH_PAUSE_FOREIGN_DATABASE, now_ms, "");
    return false;
}

// ------------------------------------------------------------------------------- places

static bool place_fill(struct flush_place *p, const json_t *row)
{
    p->location = p->location_option ? p->location_option : id_of(row, "lot_stock_id");
    p->company = id_of(row, "company_id");
    p->type_out = id_of(row, "out_type_id");
    p->type_in = id_of(row, "in_type_id");
    p->type_internal = id_of(row, "int_type_id");
    return p->location && p->company && p->type_out && p->type_in && p->type_internal;
}

// A code is one company's, and another company may have it too: then which one is meant is not
// known.
static bool warehouse_take(struct flush *f, struct flush_place *p, const json_t *rows,
                           uint64_t now_ms)
{
    char words[ODOO_WORDS_BYTES];
    unsigned count = 0;
    bool found = false;
    size_t n;
    json_t *row;
    json_array_foreach((json_t *)rows, n, row)
    {
        const char *code = json_string_value(json_object_get(row, "code"));
        if (!code || strcmp(code, p->warehouse) != 0)
            continue;
        count++;
        found = place_fill(p, row);
    }
    if (found && count == 1)
        return true;
    snprintf(words, sizeof words, "%s%s", p->warehouse,
             count > 1 ? " is the code of warehouses of several companies" : "");
    flush_hold(f, FLUSH_PAUSE_CONFIG, now_ms, words);
    return false;
}

static bool warehouses_find(struct flush *f, uint64_t now_ms)
{
    json_t *codes = json_array();
    for (uint32_t i = 0; i < f->place_count; i++)
        codes = odoo_append(codes, json_string(f->places[i].warehouse));
    json_t *rows = rows_get(f, "stock.warehouse", json_pack("[[s,s,o]]", "code", "in", codes),
                            json_pack("[s,s,s,s,s,s]", "code", "company_id", "lot_stock_id",
                                      "out_type_id", "in_type_id", "int_type_id"),
                            now_ms);
    if (!rows)
        return false;
    bool all = true;
    for (uint32_t i = 0; i < f->place_count && all; i++)
        all = warehouse_take(f, &f->places[i], rows, now_ms);
    json_decref(rows);
    return all;
}

// Two of ours that lead to one location of Odoo's would sell its stock twice.
static bool places_apart(struct flush *f, uint64_t now_ms)
{
    for (uint32_t i = 0; i < f->place_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (f->places[i].location == f->places[k].location) {
                char words[ODOO_WORDS_BYTES];
                snprintf(words, sizeof words, "%s and %s are one location in Odoo",
                         f->places[k].name, f->places[i].name);
                flush_hold(f, FLUSH_PAUSE_CONFIG, now_ms, words);
                return false;
            }
    return true;
}

// The first location of a usage that the place's company may use; scrap by its name.
static uint32_t partner_of(const json_t *rows, const struct flush_place *p, const char *usage,
                           bool scrap)
{
    uint32_t best = 0;
    size_t n;
    json_t *row;
    json_array_foreach((json_t *)rows, n, row)
    {
        const char *have = json_string_value(json_object_get(row, "usage"));
        const char *name = json_string_value(json_object_get(row, "complete_name"));
        uint32_t company = id_of(row, "company_id"), id = id_of(row, "id");
        if (!have || strcmp(have, usage) != 0 || (company && company != p->company))
            continue;
        if (best == 0 || (scrap && name && strcasestr(name, "scrap")))
            best = id;
        if (scrap && name && strcasestr(name, "scrap"))
            break;
    }
    return best;
}

// Where stage puts what was sold: "<warehouse>/Sold", beside the stock and not below it.
static bool sold_find(struct flush *f, uint64_t now_ms)
{
    for (uint32_t i = 0; i < f->place_count; i++) {
        struct flush_place *p = &f->places[i];
        char name[FLUSH_WAREHOUSE_BYTES_MAX + 8];
        if (p->mode != FLUSH_MODE_STAGE)
            continue;
        snprintf(name, sizeof name, "%s/Sold", p->warehouse);
        json_t *rows =
            rows_get(f, "stock.location",
                     json_pack("[[s,s,s],[s,s,s],[s,s,I]]", "complete_name", "=", name, "usage",
                               "=", "internal", "company_id", "=", (json_int_t)p->company),
                     json_pack("[s]", "complete_name"), now_ms);
        if (!rows)
            return false;
        p->sold = id_of(json_array_get(rows, 0), "id");
        json_decref(rows);
        if (!p->sold) {
            flush_hold(f, FLUSH_PAUSE_CONFIG, now_ms, name);
            return false;
        }
    }
    return true;
}

static bool partners_find(struct flush *f, uint64_t now_ms)
{
    const struct flush_options *o = &f->options;
    json_t *args = odoo_search(
        json_pack("[[s,s,[s,s,s]]]", "usage", "in", "customer", "supplier", "inventory"),
        json_pack("[s,s,s]", "usage", "company_id", "complete_name"));
    struct odoo_answer a;
    args = odoo_put(args, "order", json_string("id"));
    odoo_call(f, "stock.location", "search_read", args, &a);
    if (a.class != ODOO_OK || !json_is_array(a.result)) {
        odoo_failed(f, &a, now_ms);
        json_decref(a.result);
        return false;
    }
    bool all = true;
    for (uint32_t i = 0; i < f->place_count && all; i++) {
        struct flush_place *p = &f->places[i];
        p->customer = o->customer_id ? o->customer_id : partner_of(a.result, p, "customer", false);
        p->supplier = o->supplier_id ? o->supplier_id : partner_of(a.result, p, "supplier", false);
        p->inventory =
            o->inventory_id ? o->inventory_id : partner_of(a.result, p, "inventory", false);
        p->scrap = o->scrap_id ? o->scrap_id : partner_of(a.result, p, "inventory", true);
        all = p->customer && p->supplier && p->inventory && p->scrap;
    }
    json_decref(a.result);
    if (!all)
        flush_hold(f, FLUSH_PAUSE_CONFIG, now_ms, "a customer, supplier or inventory location");
    return all;
}

bool contact_make(struct flush *f, uint64_t now_ms)
{
    if (!database_check(f, now_ms) || !warehouses_find(f, now_ms) || !places_apart(f, now_ms) ||
        !partners_find(f, now_ms) || !sold_find(f, now_ms) || !guard_check(f, now_ms)) {
        f->unmet = true;
        return false;
    }
    f->contacted = true;
    f->contact_at_ms = now_ms;
    if (f->pause != FLUSH_PAUSE_NONE)
        hf_log(HF_LOG_INFO, "flush_posting", "after=%s", flush_pause_name(f->pause));
    f->pause = FLUSH_PAUSE_NONE;
    return true;
}

bool contact_look(struct flush *f, uint64_t now_ms)
{
    f->looking = true;
    bool met = database_check(f, now_ms) && guard_check(f, now_ms);
    f->looking = false;
    return met;
}

const struct flush_place *place_of(const struct flush *f, uint32_t handle)
{
    struct core_name n;
    if (core_cell_name(f->options.core, handle, &n) != HF_OK)
        return NULL;
    for (uint32_t i = 0; i < f->place_count; i++)
        if (strlen(f->places[i].name) == n.location_bytes &&
            memcmp(f->places[i].name, n.location, n.location_bytes) == 0)
            return &f->places[i];
    return NULL;
}

uint16_t place_day(const struct flush_place *p, uint64_t ms)
{
    uint64_t utc = ms / DAY_MS;
    int32_t day = p && p->zone ? zone_day(p->zone, ms) : (int32_t)utc;
    return day > 0 && day <= UINT16_MAX ? (uint16_t)day : 0;
}

// ------------------------------------------------------------------------------- products

static void product_take(struct flush *f, const json_t *rows, struct flush_line *l,
                         enum flush_cause *cause)
{
    struct core_name n;
    size_t i;
    json_t *row;
    *cause = FLUSH_CAUSE_NO_PRODUCT;
    if (core_cell_name(f->options.core, l->handle, &n) != HF_OK)
        return;
    json_array_foreach((json_t *)rows, i, row)
    {
        const json_t *code = json_object_get(row, "default_code");
        const char *tracking = json_string_value(json_object_get(row, "tracking"));
        if (!json_is_string(code) || json_string_length(code) != n.sku_bytes ||
            memcmp(json_string_value(code), n.sku, n.sku_bytes) != 0)
            continue;
        if (*cause != FLUSH_CAUSE_NO_PRODUCT) {
            *cause = FLUSH_CAUSE_AMBIGUOUS;
            return;
        }
        l->product = id_of(row, "id");
        l->uom = id_of(row, "uom_id");
        *cause = tracking && strcmp(tracking, "none") != 0 ? FLUSH_CAUSE_TRACKED
                 : l->product && l->uom                    ? FLUSH_CAUSE_NONE
                                                           : FLUSH_CAUSE_NO_PRODUCT;
    }
}

static bool products_some(struct flush *f, struct flush_line *lines, uint32_t count,
                          enum flush_cause *causes, uint64_t now_ms)
{
    json_t *codes = json_array();
    struct core_name n;
    for (uint32_t i = 0; i < count; i++)
        if (core_cell_name(f->options.core, lines[i].handle, &n) == HF_OK)
            codes = odoo_append(codes, json_stringn(n.sku, n.sku_bytes));
    json_t *rows =
        rows_get(f, "product.product", json_pack("[[s,s,o]]", "default_code", "in", codes),
                 json_pack("[s,s,s]", "default_code", "uom_id", "tracking"), now_ms);
    if (!rows)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (place_of(f, lines[i].handle))
            product_take(f, rows, &lines[i], &causes[i]);
        else
            causes[i] = FLUSH_CAUSE_NO_LOCATION;
    }
    json_decref(rows);
    return true;
}

// Odoo rounds what is finer than its unit's rounding: it would book another quantity.
static bool unit_holds(const struct flush_line *l, double rounding)
{
    double step = rounding; // in smallest units
    for (uint8_t i = 0; i < l->scale; i++)
        step *= 10;
    int64_t whole = step < 1e15 ? llround(step) : 0;
    if (!(step > 1 + 1e-6))
        return true;
    if (whole > 0 && fabs(step - (double)whole) < 1e-6 * step)
        return l->quantity % whole == 0;
    return fabs(remainder((double)l->quantity, step)) < 1e-3;
}

static bool in_parts(const struct flush_line *l, enum flush_cause cause)
{
    return l->scale > 0 && cause == FLUSH_CAUSE_NONE;
}

// Of lines of units that are sold in parts: what their units round to.
static bool units_check(struct flush *f, struct flush_line *lines, uint32_t count,
                        enum flush_cause *causes, uint64_t now_ms)
{
    json_t *ids = json_array(), *row;
    bool any = false;
    size_t n;
    for (uint32_t i = 0; i < count; i++)
        if (in_parts(&lines[i], causes[i])) {
            ids = odoo_append(ids, json_integer(lines[i].uom));
            any = true;
        }
    if (!any) {
        json_decref(ids);
        return true;
    }
    json_t *rows = rows_get(f, "uom.uom", json_pack("[[s,s,o]]", "id", "in", ids),
                            json_pack("[s]", "rounding"), now_ms);
    if (!rows)
        return false;
    for (uint32_t i = 0; i < count; i++)
        json_array_foreach(
            rows, n,
            row) if (in_parts(&lines[i], causes[i]) && id_of(row, "id") == lines[i].uom &&
                     !unit_holds(&lines[i], json_number_value(json_object_get(row, "rounding"))))
            causes[i] = FLUSH_CAUSE_REFUSED;
    json_decref(rows);
    return true;
}

bool products_find(struct flush *f, struct flush_line *lines, uint32_t count,
                   enum flush_cause *causes, uint64_t now_ms)
{
    for (uint32_t at = 0, n; at < count; at += n) {
        n = count - at < PRODUCTS_AT_ONCE ? count - at : PRODUCTS_AT_ONCE;
        if (!products_some(f, &lines[at], n, &causes[at], now_ms) ||
            !units_check(f, &lines[at], n, &causes[at], now_ms))
            return false;
    }
    return true;
}
