// Faults on purpose: each matches calls by model, method and product, lets some pass, strikes some.
#include "sandbox/sandbox_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const names[FAULT_KINDS] = {
    [FAULT_CLOSE] = "close",
    [FAULT_COMMIT_CLOSE] = "commit_close",
    [FAULT_HANG] = "hang",
    [FAULT_COMMIT_HANG] = "commit_hang",
    [FAULT_SLOW] = "slow",
    [FAULT_429] = "http_429",
    [FAULT_500] = "http_500",
    [FAULT_502] = "http_502",
    [FAULT_503] = "http_503",
    [FAULT_504] = "http_504",
    [FAULT_COMMIT_502] = "commit_502",
    [FAULT_COMMIT_504] = "commit_504",
    [FAULT_DATABASE_DOWN] = "database_down",
    [FAULT_HTML_200] = "html_200",
    [FAULT_SERIALIZATION] = "serialization",
    [FAULT_OPERATIONAL] = "operational",
    [FAULT_UNAUTHORIZED] = "unauthorized",
    [FAULT_ACCESS] = "access",
    [FAULT_USER_ERROR] = "user_error",
    [FAULT_VALIDATION] = "validation",
    [FAULT_VALUE_ERROR] = "value_error",
    [FAULT_MISSING] = "missing",
    [FAULT_WIZARD] = "wizard",
};

const char *fault_name(enum fault_kind k)
{
    return names[k];
}

static void text_take(const json_t *v, const char *key, char *to, size_t room)
{
    const char *text = json_string_value(json_object_get(v, key));
    snprintf(to, room, "%s", text ? text : "");
}

static json_int_t number_take(const json_t *v, const char *key, json_int_t otherwise)
{
    const json_t *n = json_object_get(v, key);
    return json_is_integer(n) ? json_integer_value(n) : otherwise;
}

bool fault_add(struct sandbox *s, const json_t *v)
{
    const char *kind = json_string_value(json_object_get(v, "kind"));
    struct fault f = {.kind = FAULT_KINDS};
    for (int i = 0; kind && i < FAULT_KINDS; i++)
        if (strcmp(kind, names[i]) == 0)
            f.kind = (enum fault_kind)i;
    if (f.kind == FAULT_KINDS || s->fault_count == SANDBOX_FAULTS_MAX)
        return false;
    text_take(v, "model", f.model, sizeof f.model);
    text_take(v, "method", f.method, sizeof f.method);
    text_take(v, "product", f.product, sizeof f.product);
    f.skip = number_take(v, "skip", 0);
    f.count = number_take(v, "count", 1);
    f.chance = (uint32_t)number_take(v, "chance", 1000);
    f.ms = (uint32_t)number_take(v, "ms", f.kind == FAULT_SLOW ? 1000 : 120000);
    s->faults[s->fault_count++] = f;
    return true;
}

static bool product_is(struct sandbox *s, const json_t *id, const char *code)
{
    const struct product *p = product_of(s, json_integer_value(id));
    return p && strcmp(p->code, code) == 0;
}

// Whether a posting names this product: in what it creates, or in the document it validates.
static bool names_product(struct sandbox *s, const json_t *args, const char *code)
{
    size_t i, k;
    json_t *vals, *command, *line, *id;
    json_array_foreach(json_object_get(args, "vals_list"), i, vals) json_array_foreach(
        json_object_get(vals, "move_ids"), k,
        command) if (product_is(s, json_object_get(json_array_get(command, 2), "product_id"),
                                code)) return true;
    const json_t *batch = json_object_get(json_object_get(args, "context"), "hf_batch");
    json_array_foreach(json_object_get(batch, "lines"), i,
                       line) if (product_is(s, json_array_get(line, 0), code)) return true;
    json_array_foreach(json_object_get(args, "ids"), i, id)
    {
        const struct picking *p = picking_of(s, json_integer_value(id));
        for (uint32_t m = 0; p && m < p->move_count; m++)
            if (strcmp(s->products[s->moves[p->move_first + m].product].code, code) == 0)
                return true;
    }
    return false;
}

static bool matches(struct sandbox *s, const struct fault *f, const char *model, const char *method,
                    const json_t *args)
{
    return (!f->model[0] || strcmp(f->model, model) == 0) &&
           (!f->method[0] || strcmp(f->method, method) == 0) &&
           (!f->product[0] || names_product(s, args, f->product));
}

static uint32_t per_mille(struct sandbox *s)
{
    s->random += UINT64_C(0x9e3779b97f4a7c15); // splitmix64
    uint64_t x = s->random;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((x ^ (x >> 31)) % 1000);
}

const struct fault *fault_strike(struct sandbox *s, const char *model, const char *method,
                                 const json_t *args)
{
    for (uint32_t i = 0; i < s->fault_count; i++) {
        struct fault *f = &s->faults[i];
        if (f->count == 0 || !matches(s, f, model, method, args))
            continue;
        if (f->skip > 0) {
            f->skip--;
            continue;
        }
        if (f->chance < 1000 && per_mille(s) >= f->chance)
            continue;
        if (f->count > 0)
            f->count--;
        s->struck++;
        return f;
    }
    return NULL;
}

void fault_error(const struct fault *f, struct outcome *o)
{
    switch (f->kind) {
    case FAULT_SERIALIZATION:
        outcome_fail(o, 500, "psycopg2.errors.SerializationFailure",
                     "could not serialize access due to concurrent update");
        break;
    case FAULT_OPERATIONAL:
        outcome_fail(o, 500, "psycopg2.OperationalError", "server closed the connection");
        break;
    case FAULT_UNAUTHORIZED:
        outcome_fail(o, 401, "werkzeug.exceptions.Unauthorized", "Invalid apikey");
        break;
    case FAULT_ACCESS:
        outcome_fail(o, 403, "odoo.exceptions.AccessError", "You are not allowed to do this");
        break;
    case FAULT_USER_ERROR:
        outcome_fail(o, 422, "odoo.exceptions.UserError", "A rule of the business forbids it");
        break;
    case FAULT_VALIDATION:
        outcome_fail(o, 422, "odoo.exceptions.ValidationError",
                     "The operation cannot be "
                     "completed");
        break;
    case FAULT_VALUE_ERROR:
        outcome_fail(o, 500, "builtins.ValueError", "Invalid field on a model");
        break;
    case FAULT_MISSING:
        outcome_fail(o, 404, "odoo.exceptions.MissingError", "Record does not exist");
        break;
    default:
        break;
    }
}
