// Odoo 18 and before: /jsonrpc, service object, method execute_kw. It answers HTTP 200 also for
// errors, and wants to be told the user's number, which is asked for once a key.
#include "flush/odoo_internal.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

#define KEY_PREFIX      "Authorization: Bearer "
#define DATABASE_PREFIX "X-Odoo-Database: "

static const char *key_of(const struct odoo *o)
{
    return o->key_header + strlen(KEY_PREFIX);
}

static const char *database_of(const struct odoo *o)
{
    return o->database_header + strlen(DATABASE_PREFIX);
}

// Takes args.
static void service_ask(struct odoo *o, const char *service, const char *method, json_t *args,
                        struct odoo_answer *a)
{
    json_t *whole =
        args ? json_pack("{s:s,s:s,s:i,s:{s:s,s:s,s:o}}", "jsonrpc", "2.0", "method", "call", "id",
                         1, "params", "service", service, "method", method, "args", args)
             : NULL;
    odoo_post(o, "/jsonrpc", whole, a);
}

void odoo_rpc_read(json_t *body, struct odoo_answer *a)
{
    json_t *data = json_object_get(json_object_get(body, "error"), "data");
    json_t *result = json_object_get(body, "result");
    const char *name = json_string_value(json_object_get(data, "name"));
    const char *message = json_string_value(json_object_get(data, "message"));
    if (!json_object_get(body, "error") && result) {
        a->class = ODOO_OK;
        a->result = json_incref(result);
        return;
    }
    a->class = name ? odoo_class_of(0, name) : ODOO_RETRY;
    if (name && strcmp(name, "builtins.AttributeError") == 0)
        a->class = ODOO_SCHEMA; // no such method
    if (name && (strcmp(name, "builtins.KeyError") == 0 ||
                 strcmp(name, "werkzeug.exceptions.NotFound") == 0))
        a->status = 404; // no such model
    odoo_words_set(a, name ? name : "no answer of JSON-RPC", message ? message : "");
}

// Who the key is, and which Odoo this. False: *a says why.
static bool who(struct odoo *o, struct odoo_answer *a)
{
    uint64_t key = hf_hash(o->key_header, strlen(o->key_header), 0);
    if (o->uid && o->uid_key == key)
        return true;
    service_ask(o, "common", "version", json_array(), a);
    const json_t *info = json_object_get(a->result, "server_version_info");
    json_int_t version = json_integer_value(json_array_get(info, 0));
    json_decref(a->result);
    a->result = NULL;
    if (a->class != ODOO_OK)
        return false;
    o->version = version > 0 && version < 1000 ? (uint32_t)version : 0;
    service_ask(o, "common", "authenticate",
                json_pack("[s,s,s,{}]", database_of(o), o->login, key_of(o)), a);
    json_int_t uid = json_integer_value(a->result);
    json_decref(a->result);
    a->result = NULL;
    if (a->class == ODOO_OK && (uid <= 0 || uid > INT32_MAX)) {
        a->class = ODOO_KEY;
        odoo_words_set(a, "the login or the key is refused", "");
    }
    o->uid = a->class == ODOO_OK ? (uint32_t)uid : 0;
    o->uid_key = key;
    return o->uid > 0;
}

// What comes by its place: a model's own methods want nothing there, create its values, and the
// others the records. NULL: no memory.
static json_t *by_place(const char *method, json_t *args)
{
    static const char *const of_models[] = {"search_read", "search_count", "fields_get",
                                            "context_get"};
    const char *name = strcmp(method, "create") == 0 ? "vals_list" : "ids";
    for (size_t i = 0; i < sizeof of_models / sizeof *of_models; i++)
        if (strcmp(method, of_models[i]) == 0)
            return json_array();
    json_t *first = json_incref(json_object_get(args, name));
    json_object_del(args, name);
    return odoo_append(json_array(), first ? first : json_array());
}

void odoo_rpc_ask(struct odoo *o, const char *model, const char *method, json_t *args,
                  struct odoo_answer *a)
{
    if (args && !who(o, a)) {
        json_decref(args);
        return;
    }
    json_t *place = args ? by_place(method, args) : NULL;
    json_t *whole = place ? json_pack("[s,I,s,s,s,o,o]", database_of(o), (json_int_t)o->uid,
                                      key_of(o), model, method, place, args)
                          : NULL;
    if (!place)
        json_decref(args);
    service_ask(o, "object", "execute_kw", whole, a);
    if (a->class == ODOO_KEY)
        o->uid = 0;
}
