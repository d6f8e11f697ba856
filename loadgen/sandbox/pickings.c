// Transfers: creating, validating, cancelling, and the one-call server action.
//
// A move's quantity is what validating books; its demand alone is served from free stock or
// refused. Everything is checked before anything is changed, so an error leaves nothing behind.
#include "sandbox/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VALIDATION "odoo.exceptions.ValidationError"
#define USER       "odoo.exceptions.UserError"
#define MISSING    "odoo.exceptions.MissingError"
#define VALUE      "builtins.ValueError"

static bool among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static bool fields_known(const json_t *vals, const char *model, const char *const *names,
                         struct outcome *o)
{
    const char *key;
    json_t *value;
    if (!json_is_object(vals)) {
        outcome_fail(o, 500, VALUE, "values of %s must be an object", model);
        return false;
    }
    json_object_foreach((json_t *)vals, key, value)
    {
        if (!among(key, names)) {
            outcome_fail(o, 500, VALUE, "Invalid field '%.60s' on '%s'", key, model);
            return false;
        }
    }
    return true;
}

static bool bypasses(const struct location *l)
{
    return strcmp(l->usage, "internal") != 0 && strcmp(l->usage, "transit") != 0;
}

static struct quant *source_quant(struct sandbox *s, const struct move *m)
{
    return quant_get(s, m->product, m->source);
}

// ------------------------------------------------------------------------------- creating

static bool ids_read(struct sandbox *s, const json_t *vals, uint32_t *source, uint32_t *destination,
                     struct outcome *o)
{
    struct location *a = location_of(s, json_integer_value(json_object_get(vals, "location_id")));
    struct location *b =
        location_of(s, json_integer_value(json_object_get(vals, "location_dest_id")));
    if (!a || !b) {
        outcome_fail(o, 422, VALIDATION, "The operation cannot be completed: a location");
        return false;
    }
    *source = (uint32_t)(a - s->locations);
    *destination = (uint32_t)(b - s->locations);
    return true;
}

static bool move_create(struct sandbox *s, struct picking *p, const json_t *command,
                        struct outcome *o)
{
    static const char *const known[] = {"product_id",       "product_uom",     "product_uom_qty",
                                        "quantity",         "picked",          "location_id",
                                        "location_dest_id", "company_id",      "date",
                                        "origin",           "picking_type_id", NULL};
    const json_t *vals = json_array_get(command, 2);
    if (json_integer_value(json_array_get(command, 0)) != 0 || !vals) {
        outcome_fail(o, 500, VALUE, "only the create command is known for move_ids");
        return false;
    }
    // Odoo 18 demands a name, Odoo 19 does not know it.
    bool named = json_is_string(json_object_get(vals, "name")), old = s->options.version < 19;
    json_t *rest = json_copy((json_t *)vals);
    if (old)
        json_object_del(rest, "name");
    bool fine = fields_known(rest, "stock.move", known, o);
    json_decref(rest);
    if (fine && old && !named) {
        outcome_fail(o, 422, VALIDATION, "The operation cannot be completed: name");
        return false;
    }
    if (!fine)
        return false;
    struct product *product =
        product_of(s, json_integer_value(json_object_get(vals, "product_id")));
    if (!product) {
        // What Odoo says of a product that is not there.
        outcome_fail(o, 422, VALIDATION, "The operation cannot be completed: product_uom");
        return false;
    }
    struct move *m = move_add(s, p);
    if (!m) {
        outcome_fail(o, 507, "sandbox.Full", "moves_max is reached");
        return false;
    }
    m->product = (uint32_t)(product - s->products);
    m->uom_id = (uint32_t)json_integer_value(json_object_get(vals, "product_uom"));
    m->picked = json_is_true(json_object_get(vals, "picked"));
    const json_t *demand = json_object_get(vals, "product_uom_qty");
    const json_t *quantity = json_object_get(vals, "quantity");
    if (m->uom_id != product->uom_id) {
        outcome_fail(o, 422, USER, "The unit of measure is not the product's");
        return false;
    }
    if ((demand && !quantity_parse(demand, &m->demand)) ||
        (quantity && !quantity_parse(quantity, &m->quantity)) || m->quantity < 0 || m->demand < 0) {
        outcome_fail(o, 500, VALUE, "a quantity is no number, or out of range");
        return false;
    }
    m->demand = quantity_round(s, m->demand);
    m->quantity = quantity_round(s, m->quantity);
    const char *origin = json_string_value(json_object_get(vals, "origin"));
    snprintf(m->origin, sizeof m->origin, "%s", origin ? origin : "");
    return ids_read(s, vals, &m->source, &m->destination, o);
}

static void reserve(struct sandbox *s, const struct picking *p, int sign)
{
    for (uint32_t i = 0; i < p->move_count; i++) {
        const struct move *m = &s->moves[p->move_first + i];
        struct quant *q = bypasses(&s->locations[m->source]) ? NULL : source_quant(s, m);
        if (q)
            q->reserved += sign * m->quantity;
    }
}

static bool type_read(struct sandbox *s, const json_t *vals, struct picking *p, struct outcome *o)
{
    json_int_t type = json_integer_value(json_object_get(vals, "picking_type_id"));
    if (type < BASE_TYPE || type >= BASE_TYPE + (json_int_t)s->warehouse_count * TYPE_KINDS) {
        outcome_fail(o, 422, VALIDATION, "The operation cannot be completed: picking_type_id");
        return false;
    }
    p->type = (uint32_t)(type - BASE_TYPE);
    p->company_id = s->warehouses[p->type / TYPE_KINDS].company_id;
    return true;
}

// One picking with its moves; leaves what it added for the caller to rewind when it fails.
static struct picking *create_one(struct sandbox *s, const json_t *vals, uint64_t now_ms,
                                  struct outcome *o)
{
    static const char *const known[] = {
        "name", "origin",     "picking_type_id", "location_id",    "location_dest_id", "move_ids",
        "note", "partner_id", "company_id",      "scheduled_date", "move_type",        "user_id",
        NULL};
    struct picking head = {0};
    char made[SANDBOX_NAME_BYTES];
    const char *name = json_string_value(json_object_get(vals, "name"));
    const char *origin = json_string_value(json_object_get(vals, "origin"));
    if (!fields_known(vals, "stock.picking", known, o) || !type_read(s, vals, &head, o) ||
        !ids_read(s, vals, &head.source, &head.destination, o))
        return NULL;
    if (!name) {
        snprintf(made, sizeof made, "SANDBOX/%08llu", (unsigned long long)++s->name_sequence);
        name = made;
    }
    if (strlen(name) >= SANDBOX_NAME_BYTES || (origin && strlen(origin) >= SANDBOX_TEXT_BYTES)) {
        outcome_fail(o, 500, VALUE, "a text is longer than the sandbox keeps");
        return NULL;
    }
    if (picking_find(s, name, head.company_id)) {
        s->duplicates++;
        outcome_fail(o, 422, VALIDATION, "Reference must be unique per company!");
        return NULL;
    }
    struct picking *p = picking_add(s, name);
    if (!p) {
        outcome_fail(o, 507, "sandbox.Full", "pickings_max is reached");
        return NULL;
    }
    p->type = head.type;
    p->company_id = head.company_id;
    p->source = head.source;
    p->destination = head.destination;
    p->write_ms = now_ms;
    snprintf(p->origin, sizeof p->origin, "%s", origin ? origin : "");
    const json_t *moves = json_object_get(vals, "move_ids");
    bool assigned = json_array_size(moves) > 0;
    for (size_t i = 0; i < json_array_size(moves); i++) {
        if (!move_create(s, p, json_array_get(moves, i), o))
            return NULL;
        assigned &= s->moves[s->move_count - 1].quantity > 0;
    }
    p->state = assigned ? PICKING_ASSIGNED : PICKING_DRAFT;
    o->lines += p->move_count;
    return p;
}

void picking_create(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    const json_t *list = json_object_get(args, "vals_list");
    uint32_t pickings = s->picking_count, moves = s->move_count;
    json_t *ids = json_array();
    if (!json_is_array(list))
        outcome_fail(o, 422, VALUE, "missing a required argument: 'vals_list'");
    for (size_t i = 0; i < json_array_size(list) && !o->status; i++) {
        struct picking *p = create_one(s, json_array_get(list, i), now_ms, o);
        if (p)
            json_array_append_new(ids, json_integer(BASE_PICKING + (p - s->pickings)));
    }
    if (o->status) {
        store_rewind(s, pickings, moves);
        json_decref(ids);
        return;
    }
    for (uint32_t i = pickings; i < s->picking_count; i++)
        if (s->pickings[i].state == PICKING_ASSIGNED)
            reserve(s, &s->pickings[i], 1);
    o->result = ids;
}

// ------------------------------------------------------------------------------- validating

static bool has(const json_t *context, const char *key, json_int_t id)
{
    const json_t *list = json_object_get(context, key);
    size_t i;
    json_t *v;
    json_array_foreach((json_t *)list, i, v) if (json_integer_value(v) == id) return true;
    return false;
}

static json_t *wizard(const char *model)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "type", "ir.actions.act_window", "res_model", model,
                     "view_mode", "form", "target", "new");
}

// Demand without quantity is served from what is free; a lot must be named.
static bool validate_check(struct sandbox *s, const struct picking *p, struct outcome *o)
{
    if (p->move_count == 0) {
        outcome_fail(o, 422, USER, "You can't validate an empty transfer");
        return false;
    }
    for (uint32_t i = 0; i < p->move_count; i++) {
        const struct move *m = &s->moves[p->move_first + i];
        const struct product *product = &s->products[m->product];
        if (strcmp(product->tracking, "none") != 0) {
            outcome_fail(o, 422, USER, "You need to supply a Lot/Serial Number for product %.60s",
                         product->code);
            return false;
        }
        if (m->quantity == 0) {
            struct quant *q = bypasses(&s->locations[m->source]) ? NULL : source_quant(s, m);
            if (m->demand == 0 || (q && q->quantity - q->reserved < m->demand)) {
                outcome_fail(o, 422, USER,
                             "You cannot validate a transfer if no quantities are "
                             "reserved");
                return false;
            }
        }
    }
    return true;
}

static bool falls_short(const struct sandbox *s, const struct picking *p)
{
    for (uint32_t i = 0; i < p->move_count; i++) {
        const struct move *m = &s->moves[p->move_first + i];
        if (m->quantity > 0 && m->quantity < m->demand)
            return true;
    }
    return false;
}

static bool book(struct sandbox *s, struct picking *p, uint64_t now_ms)
{
    if (p->state == PICKING_ASSIGNED)
        reserve(s, p, -1);
    for (uint32_t i = 0; i < p->move_count; i++) {
        struct move *m = &s->moves[p->move_first + i];
        if (m->quantity == 0)
            m->quantity = m->demand;
        m->picked = true;
        struct quant *from = quant_get(s, m->product, m->source);
        if (!from)
            return false;
        from->quantity -= m->quantity;
        struct quant *to = quant_get(s, m->product, m->destination); // may move the array
        if (!to)
            return false;
        to->quantity += m->quantity;
    }
    p->state = PICKING_DONE;
    p->write_ms = now_ms;
    time_t t = (time_t)(now_ms / 1000);
    struct tm parts;
    gmtime_r(&t, &parts);
    strftime(p->date_done, sizeof p->date_done, "%Y-%m-%d %H:%M:%S", &parts);
    return true;
}

// NULL: an error is in *o; else the call's result.
static json_t *validate_one(struct sandbox *s, struct picking *p, const json_t *context,
                            uint64_t now_ms, struct outcome *o)
{
    json_int_t id = BASE_PICKING + (p - s->pickings);
    if (p->state == PICKING_DONE)
        return json_true();
    if (p->state == PICKING_CANCEL) {
        outcome_fail(o, 422, USER, "You can't validate a cancelled transfer");
        return NULL;
    }
    if (!validate_check(s, p, o))
        return NULL;
    bool told = json_is_true(json_object_get(context, "skip_backorder"));
    if (falls_short(s, p) && (!told || !has(context, "picking_ids_not_to_backorder", id)))
        return wizard("stock.backorder.confirmation");
    if (!book(s, p, now_ms)) {
        outcome_fail(o, 507, "sandbox.Full", "no room for a quant");
        return NULL;
    }
    o->lines += p->move_count;
    return json_true();
}

void picking_validate(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    const json_t *ids = json_object_get(args, "ids");
    json_t *result = NULL;
    for (size_t i = 0; i < json_array_size(ids) && !o->status; i++) {
        struct picking *p = picking_of(s, json_integer_value(json_array_get(ids, i)));
        json_decref(result);
        result = NULL;
        if (p)
            result = validate_one(s, p, json_object_get(args, "context"), now_ms, o);
        else
            outcome_fail(o, 404, MISSING, "Record does not exist or has been deleted.");
    }
    if (!o->status && !result)
        outcome_fail(o, 422, USER, "Please add some items to move");
    o->result = result;
}

void picking_cancel(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    const json_t *ids = json_object_get(args, "ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        struct picking *p = picking_of(s, json_integer_value(json_array_get(ids, i)));
        if (!p) {
            outcome_fail(o, 404, MISSING, "Record does not exist or has been deleted.");
            return;
        }
        if (p->state == PICKING_DONE) {
            outcome_fail(o, 422, USER,
                         "You cannot cancel a stock move that has been set to "
                         "'Done'.");
            return;
        }
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        struct picking *p = picking_of(s, json_integer_value(json_array_get(ids, i)));
        if (p->state == PICKING_ASSIGNED)
            reserve(s, p, -1);
        p->state = PICKING_CANCEL;
        p->write_ms = now_ms;
    }
    o->result = json_true();
}

void picking_write(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    static const char *const known[] = {"date_done", "origin", "note", NULL};
    const json_t *vals = json_object_get(args, "vals"), *ids = json_object_get(args, "ids");
    const char *date = json_string_value(json_object_get(vals, "date_done"));
    const char *origin = json_string_value(json_object_get(vals, "origin"));
    if (!fields_known(vals, "stock.picking", known, o))
        return;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        struct picking *p = picking_of(s, json_integer_value(json_array_get(ids, i)));
        if (!p) {
            outcome_fail(o, 404, MISSING, "Record does not exist or has been deleted.");
            return;
        }
        p->write_ms = now_ms;
        if (date)
            snprintf(p->date_done, sizeof p->date_done, "%s", date);
        if (origin)
            snprintf(p->origin, sizeof p->origin, "%s", origin);
    }
    o->result = json_true();
}

static bool quant_shift(struct sandbox *s, const struct move *m, int64_t by)
{
    struct quant *from = quant_get(s, m->product, m->source);
    if (!from)
        return false;
    from->quantity -= by;
    struct quant *to = quant_get(s, m->product, m->destination); // may move the array
    if (to)
        to->quantity += by;
    return to != NULL;
}

// Of a done move the stock follows, of an open one what is reserved.
static bool move_change(struct sandbox *s, struct move *m, int64_t quantity)
{
    struct picking *p = &s->pickings[m->picking];
    if (p->state == PICKING_DONE && !quant_shift(s, m, quantity - m->quantity))
        return false;
    if (p->state == PICKING_ASSIGNED)
        reserve(s, p, -1);
    m->quantity = quantity;
    if (p->state == PICKING_ASSIGNED)
        reserve(s, p, 1);
    return true;
}

void move_write(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    static const char *const known[] = {"quantity", "picked", NULL};
    const json_t *vals = json_object_get(args, "vals"), *ids = json_object_get(args, "ids");
    const json_t *picked = json_object_get(vals, "picked");
    const json_t *wanted = json_object_get(vals, "quantity");
    int64_t quantity = 0;
    if (!fields_known(vals, "stock.move", known, o))
        return;
    if (wanted && (!quantity_parse(wanted, &quantity) || quantity < 0)) {
        outcome_fail(o, 500, VALUE, "a quantity is no number, or out of range");
        return;
    }
    for (size_t i = 0; i < json_array_size(ids) && !o->status; i++) {
        json_int_t at = json_integer_value(json_array_get(ids, i)) - BASE_MOVE;
        struct move *m = at >= 0 && at < (json_int_t)s->move_count ? &s->moves[at] : NULL;
        if (!m)
            outcome_fail(o, 404, MISSING, "Record does not exist or has been deleted.");
        else if (wanted && !move_change(s, m, quantity_round(s, quantity)))
            outcome_fail(o, 507, "sandbox.Full", "no room for a quant");
        else if (picked)
            m->picked = json_is_true(picked);
        if (m)
            s->pickings[m->picking].write_ms = now_ms;
    }
    o->result = o->status ? NULL : json_true();
}

// ------------------------------------------------------------------------------- one call

static json_t *vals_of(const struct sandbox *s, const json_t *batch)
{
    const json_t *lines = json_object_get(batch, "lines");
    const json_t *src = json_object_get(batch, "src"), *dst = json_object_get(batch, "dst");
    const json_t *origin = json_object_get(batch, "origin");
    json_t *moves = json_array(), *line;
    size_t i;
    json_array_foreach((json_t *)lines, i, line)
    {
        json_t *qty = json_array_get(line, 2);
        json_array_append_new(
            moves, json_pack("[i,i,{s:O*,s:O,s:O,s:O,s:O,s:b,s:O,s:O,s:O}]", 0, 0, "name",
                             s->options.version < 19 ? json_array_get(line, 3) : NULL, "product_id",
                             json_array_get(line, 0), "product_uom", json_array_get(line, 1),
                             "product_uom_qty", qty, "quantity", qty, "picked", 1, "origin",
                             json_array_get(line, 3), "location_id", src, "location_dest_id", dst));
    }
    return json_pack("{s:O,s:O,s:O,s:O,s:O,s:o}", "name", json_object_get(batch, "name"), "origin",
                     origin ? origin : json_object_get(batch, "name"), "picking_type_id",
                     json_object_get(batch, "type"), "location_id", src, "location_dest_id", dst,
                     "move_ids", moves);
}

// ------------------------------------------------------------------------------- the action

static bool action_take(struct sandbox *s, const json_t *vals, struct outcome *o)
{
    static const char *const known[] = {"name", "state", "code", "model_id", NULL};
    const char *code = json_string_value(json_object_get(vals, "code"));
    if (!fields_known(vals, "ir.actions.server", known, o))
        return false;
    char *copy = code && strncmp(code, "# Holdfast", 10) == 0 ? strdup(code) : NULL;
    if (!copy) {
        outcome_fail(o, 422, VALIDATION, "only the one-call action is known here");
        return false;
    }
    free(s->action_code);
    s->action_code = copy;
    return true;
}

void action_create(struct sandbox *s, const json_t *args, struct outcome *o)
{
    if (action_take(s, json_array_get(json_object_get(args, "vals_list"), 0), o))
        o->result = json_pack("[i]", BASE_ACTION);
}

void action_write(struct sandbox *s, const json_t *args, struct outcome *o)
{
    if (action_take(s, json_object_get(args, "vals"), o))
        o->result = json_true();
}

static const char *const state_texts[] = {"draft", "assigned", "done", "cancel"};

static void action_tell(struct sandbox *s, const struct picking *p, bool dup, struct outcome *o)
{
    o->result =
        json_pack("{s:I,s:s,s:s,s:b,s:o}", "id", (json_int_t)(BASE_PICKING + (p - s->pickings)),
                  "state", state_texts[p->state], "origin", p->origin, "dup", (int)dup, "date",
                  *p->date_done ? json_string(p->date_done) : json_false());
}

static struct picking *action_make(struct sandbox *s, const json_t *batch, uint64_t now_ms,
                                   struct outcome *o)
{
    json_t *vals = vals_of(s, batch);
    struct picking *p = NULL;
    if (vals)
        p = create_one(s, vals, now_ms, o);
    else
        outcome_fail(o, 500, VALUE, "hf_batch lacks a value");
    json_decref(vals);
    // Inside an action the refusal of bad data comes out as an error of the code.
    if (o->error && strcmp(o->error, VALIDATION) == 0)
        outcome_fail(o, 500, VALUE, "%s while evaluating the action", VALIDATION);
    return o->status ? NULL : p;
}

static bool action_validate(struct sandbox *s, struct picking *p, const json_t *batch,
                            uint64_t now_ms, struct outcome *o)
{
    const char *date = json_string_value(json_object_get(batch, "date"));
    json_t *context = json_pack("{s:b,s:[I]}", "skip_backorder", 1, "picking_ids_not_to_backorder",
                                (json_int_t)(BASE_PICKING + (p - s->pickings)));
    json_decref(validate_one(s, p, context, now_ms, o));
    json_decref(context);
    if (!o->status && date && p->state == PICKING_DONE)
        snprintf(p->date_done, sizeof p->date_done, "%s", date);
    return !o->status;
}

// What the action does in one transaction: look the name up, create, validate.
void action_run(struct sandbox *s, const json_t *args, uint64_t now_ms, struct outcome *o)
{
    const json_t *batch = json_object_get(json_object_get(args, "context"), "hf_batch");
    const char *name = json_string_value(json_object_get(batch, "name"));
    const char *origin = json_string_value(json_object_get(batch, "origin"));
    const char *uuid = json_string_value(json_object_get(batch, "uuid"));
    uint32_t company = (uint32_t)json_integer_value(json_object_get(batch, "company_id"));
    uint32_t pickings = s->picking_count, moves = s->move_count;
    if (!s->action_code ||
        json_integer_value(json_array_get(json_object_get(args, "ids"), 0)) != BASE_ACTION) {
        outcome_fail(o, 404, MISSING, "Record does not exist or has been deleted.");
        return;
    }
    if (!batch || (uuid && strcmp(uuid, s->uuid) != 0)) {
        o->result = json_pack("{s:i,s:s}", "holdfast", SANDBOX_ACTION_VERSION, "uuid", s->uuid);
        return;
    }
    if (!name || !origin || !json_is_array(json_object_get(batch, "lines"))) {
        outcome_fail(o, 500, VALUE, "hf_batch lacks its name, origin or lines");
        return;
    }
    struct picking *p = picking_find(s, name, company);
    bool dup = p != NULL;
    if (!p && (p = action_make(s, batch, now_ms, o)))
        reserve(s, p, 1);
    bool ours = p && strcmp(p->origin, origin) == 0;
    bool open = ours && (p->state == PICKING_DRAFT || p->state == PICKING_ASSIGNED);
    if (!o->status && (!open || action_validate(s, p, batch, now_ms, o))) {
        action_tell(s, p, dup, o);
        return;
    }
    if (p && !dup)
        reserve(s, p, -1);
    store_rewind(s, pickings, moves);
}
