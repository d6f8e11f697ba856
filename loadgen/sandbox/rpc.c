// POST /jsonrpc, as Odoo has it up to 21: the services common and object, answered with HTTP 200
// also for errors. What is called by it is the same as by JSON-2.
#include "sandbox/sandbox_internal.h"

#include <string.h>

#define UID 2

static void answer_rpc(struct sandbox_answer *a, const json_t *id, const char *key, json_t *v)
{
    json_t *whole = json_pack("{s:s,s:O?}", "jsonrpc", "2.0", "id", id);
    json_object_set_new(whole, key, v);
    answer_json(a, 200, whole);
}

static void answer_rpc_error(struct sandbox_answer *a, const json_t *id, const char *name,
                             const char *message)
{
    answer_rpc(a, id, "error",
               json_pack("{s:i,s:s,s:{s:s,s:s,s:[s],s:{},s:s}}", "code", 0, "message",
                         "Odoo Server Error", "data", "name", name, "message", message, "arguments",
                         message, "context", "debug", "Traceback ..."));
}

// By the places of execute_kw into JSON-2's names.
static json_t *arguments(const char *method, const json_t *by_place, const json_t *by_name)
{
    json_t *args = json_is_object(by_name) ? json_copy((json_t *)by_name) : json_object();
    json_t *first = json_array_get(by_place, 0);
    if (first)
        json_object_set(args, strcmp(method, "create") == 0 ? "vals_list" : "ids", first);
    return args;
}

// What call_run made of it, as JSON-RPC tells it. Pages of a proxy stay pages.
static void answer_wrap(struct sandbox_answer *a, const json_t *id)
{
    json_t *body = a->body && strncmp(a->content_type, "application/json", 16) == 0
                       ? json_loadb(a->body, a->body_bytes, JSON_DECODE_ANY, NULL)
                       : NULL;
    if (!body)
        return;
    bool fine = a->status == 200;
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *message = json_string_value(json_object_get(body, "message"));
    free(a->body);
    a->body = NULL;
    if (fine)
        answer_rpc(a, id, "result", json_incref(body));
    else if (name && strcmp(name, "werkzeug.exceptions.Unauthorized") == 0)
        answer_rpc_error(a, id, "odoo.exceptions.AccessDenied", "Access Denied");
    else
        answer_rpc_error(a, id, name ? name : "builtins.ValueError", message ? message : "");
    json_decref(body);
}

static void common(struct sandbox *s, const char *method, const json_t *args, const json_t *id,
                   struct sandbox_answer *a)
{
    const char *database = json_string_value(json_array_get(args, 0));
    const char *key = json_string_value(json_array_get(args, 2));
    if (strcmp(method, "version") == 0)
        answer_rpc(a, id, "result",
                   json_pack("{s:[i,i,i,s,i,s],s:i}", "server_version_info", s->options.version, 0,
                             0, "final", 0, "", "protocol_version", 1));
    else if (strcmp(method, "authenticate") != 0 || !database || !key)
        answer_rpc_error(a, id, "builtins.AttributeError", "no such method");
    else if (strcmp(database, s->database) != 0)
        answer_rpc_error(a, id, "psycopg2.OperationalError", "the database does not exist");
    else
        answer_rpc(a, id, "result", strcmp(key, s->key) == 0 ? json_integer(UID) : json_false());
}

static void object(struct sandbox *s, const json_t *args, uint64_t now_ms, const json_t *id,
                   struct sandbox_answer *a)
{
    const char *database = json_string_value(json_array_get(args, 0));
    const char *key = json_string_value(json_array_get(args, 2));
    const char *model = json_string_value(json_array_get(args, 3));
    const char *method = json_string_value(json_array_get(args, 4));
    const json_t *place = json_array_get(args, 5);
    if (!database || strcmp(database, s->database) != 0) {
        answer_rpc_error(a, id, "psycopg2.OperationalError", "the database does not exist");
        return;
    }
    if (json_integer_value(json_array_get(args, 1)) != UID || !key || strcmp(key, s->key) != 0) {
        answer_rpc_error(a, id, "odoo.exceptions.AccessDenied", "Access Denied");
        return;
    }
    if (!model || !method || !json_is_array(place)) {
        answer_rpc_error(a, id, "builtins.IndexError", "list index out of range");
        return;
    }
    json_t *named = arguments(method, place, json_array_get(args, 6));
    call_run(s, model, method, named, now_ms, a);
    answer_wrap(a, id);
    json_decref(named);
}

void rpc_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a)
{
    json_t *body = json_loadb(r->body ? r->body : "", r->body_bytes, 0, NULL);
    const json_t *params = json_object_get(body, "params"), *id = json_object_get(body, "id");
    const char *service = json_string_value(json_object_get(params, "service"));
    const char *method = json_string_value(json_object_get(params, "method"));
    const json_t *args = json_object_get(params, "args");
    if (!r->content_type || strncmp(r->content_type, "application/json", 16) != 0 || !service ||
        !method || !json_is_array(args))
        answer_html(a, 400, "Bad Request: Invalid JSON-RPC data");
    else if (strcmp(service, "common") == 0)
        common(s, method, args, id, a);
    else if (strcmp(service, "object") == 0 && strcmp(method, "execute_kw") == 0)
        object(s, args, r->now_ms, id, a);
    else
        answer_rpc_error(a, id, "builtins.KeyError", service);
    json_decref(body);
}
