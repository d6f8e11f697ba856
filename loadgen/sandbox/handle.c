// One call: who asks, which database, which model and method, and what a fault makes of it.
#include "sandbox/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_json(struct sandbox_answer *a, int status, json_t *v)
{
    a->status = status;
    a->content_type = "application/json; charset=utf-8";
    a->body = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    a->body_bytes = a->body ? strlen(a->body) : 0;
    json_decref(v);
}

void answer_html(struct sandbox_answer *a, int status, const char *text)
{
    char page[512];
    snprintf(page, sizeof page, "<!doctype html>\n<html><title>%d</title><h1>%s</h1></html>\n",
             status, text);
    a->status = status;
    a->content_type = "text/html; charset=utf-8";
    a->body = strdup(page);
    a->body_bytes = a->body ? strlen(page) : 0;
}

static void answer_error(struct sandbox_answer *a, const struct outcome *o)
{
    answer_json(a, o->status,
                json_pack("{s:s,s:s,s:[s],s:{},s:s}", "name", o->error, "message", o->message,
                          "arguments", o->message, "context", "debug", "Traceback ..."));
}

struct call {
    char model[64], method[64];
};

// "/json/2/<model>/<method>"
static bool path_parse(const char *path, struct call *c)
{
    char rest[8];
    return strncmp(path, "/json/2/", 8) == 0 &&
           sscanf(path + 8, "%63[^/]/%63[^/?]%7s", c->model, c->method, rest) == 2;
}

void call_do(struct sandbox *s, const char *model, const char *method, const json_t *args,
             uint64_t now_ms, struct outcome *o)
{
    bool picking = strcmp(model, "stock.picking") == 0;
    bool action = strcmp(model, "ir.actions.server") == 0;
    if (strcmp(model, "res.users") == 0 && strcmp(method, "context_get") == 0)
        o->result = json_pack("{s:s,s:b,s:i}", "lang", "en_US", "tz", 0, "uid", 2);
    else if (!search_knows(model))
        outcome_fail(o, 404, "werkzeug.exceptions.NotFound", "the model '%s' does not exist",
                     model);
    else if (strcmp(method, "search_read") == 0)
        search_run(s, model, args, false, o);
    else if (strcmp(method, "search_count") == 0)
        search_run(s, model, args, true, o);
    else if (strcmp(method, "has_access") == 0)
        o->result = json_true();
    else if (strcmp(method, "fields_get") == 0)
        o->result = json_pack("{s:{s:s}}", "id", "type", "integer");
    else if (picking && strcmp(method, "create") == 0)
        picking_create(s, args, now_ms, o);
    else if (picking && strcmp(method, "button_validate") == 0)
        picking_validate(s, args, now_ms, o);
    else if (picking && strcmp(method, "action_cancel") == 0)
        picking_cancel(s, args, now_ms, o);
    else if (picking && strcmp(method, "write") == 0)
        picking_write(s, args, now_ms, o);
    else if (strcmp(model, "stock.move") == 0 && strcmp(method, "write") == 0)
        move_write(s, args, now_ms, o);
    else if (action && strcmp(method, "run") == 0)
        action_run(s, args, now_ms, o);
    else if (action && strcmp(method, "create") == 0)
        action_create(s, args, o);
    else if (action && strcmp(method, "write") == 0)
        action_write(s, args, o);
    else
        outcome_fail(o, 404, "werkzeug.exceptions.NotFound",
                     "the method '%s' does not exist on the model '%s'", method, model);
}

static bool authorized(const struct sandbox *s, const struct sandbox_request *r)
{
    return r->authorization && strncasecmp(r->authorization, "Bearer ", 7) == 0 &&
           strcmp(r->authorization + 7, s->key) == 0;
}

static bool commits(enum fault_kind k)
{
    return k == FAULT_COMMIT_CLOSE || k == FAULT_COMMIT_HANG || k == FAULT_COMMIT_502 ||
           k == FAULT_COMMIT_504 || k == FAULT_SLOW;
}

// What the client sees of a fault that is no error of Odoo's.
static void fault_answer(const struct fault *f, struct sandbox_answer *a)
{
    free(a->body);
    a->body = NULL;
    a->body_bytes = 0;
    switch (f->kind) {
    case FAULT_429:
        answer_html(a, 429, "Too Many Requests");
        break;
    case FAULT_500:
        answer_html(a, 500, "Internal Server Error");
        break;
    case FAULT_502:
    case FAULT_COMMIT_502:
        answer_html(a, 502, "Bad Gateway");
        break;
    case FAULT_503:
        answer_html(a, 503, "Service Unavailable");
        break;
    case FAULT_504:
    case FAULT_COMMIT_504:
        answer_html(a, 504, "Gateway Time-out");
        break;
    case FAULT_DATABASE_DOWN:
        answer_html(a, 404, "Not Found: No database is selected");
        break;
    case FAULT_HTML_200:
        answer_html(a, 200, "Please log in");
        break;
    case FAULT_WIZARD:
        answer_json(a, 200,
                    json_pack("{s:s,s:s}", "type", "ir.actions.act_window", "res_model",
                              "confirm.stock.sms"));
        break;
    default:
        a->delivery = SANDBOX_CLOSE;
        a->delay_ms += f->kind == FAULT_HANG || f->kind == FAULT_COMMIT_HANG ? f->ms : 0;
        break;
    }
}

static bool is_posting(const char *method)
{
    return strcmp(method, "create") == 0 || strcmp(method, "button_validate") == 0 ||
           strcmp(method, "run") == 0;
}

void call_run(struct sandbox *s, const char *model, const char *method, const json_t *args,
              uint64_t now_ms, struct sandbox_answer *a)
{
    struct outcome o = {0};
    const struct fault *f = fault_strike(s, model, method, args);
    if (f)
        fault_error(f, &o);
    bool told = !f || o.status || f->kind == FAULT_SLOW;
    if (!o.status && (!f || commits(f->kind))) {
        call_do(s, model, method, args, now_ms, &o);
        if (!o.status)
            log_append(s, model, method, args, now_ms);
    }
    // A posting by two calls takes its fixed time twice, as measured.
    a->delay_ms = is_posting(method) ? s->options.fixed_ms / (strcmp(method, "run") == 0 ? 1 : 2) +
                                           s->options.line_ms * o.lines / 2
                                     : s->options.lookup_ms;
    if (f && f->kind == FAULT_SLOW)
        a->delay_ms += f->ms;
    if (!told)
        fault_answer(f, a);
    else if (o.status)
        answer_error(a, &o);
    else
        answer_json(a, 200, json_incref(o.result));
    json_decref(o.result);
}

static void json2_handle(struct sandbox *s, const struct sandbox_request *r,
                         struct sandbox_answer *a)
{
    struct call c;
    struct outcome o = {0};
    if (!r->database || strcmp(r->database, s->database) != 0) {
        answer_html(a, 404, "Not Found: No database is selected");
        return;
    }
    json_t *args = json_loadb(r->body ? r->body : "", r->body_bytes, 0, NULL);
    if (!path_parse(r->path, &c))
        outcome_fail(&o, 404, "werkzeug.exceptions.NotFound", "no such route");
    else if (!authorized(s, r))
        outcome_fail(&o, 401, "werkzeug.exceptions.Unauthorized", "Invalid apikey");
    else if (!r->content_type || strncmp(r->content_type, "application/json", 16) != 0)
        outcome_fail(&o, 415, "werkzeug.exceptions.UnsupportedMediaType", "not JSON");
    else if (!json_is_object(args))
        outcome_fail(&o, 400, "werkzeug.exceptions.BadRequest", "the body is no JSON object");
    if (o.status)
        answer_error(a, &o);
    else
        call_run(s, c.model, c.method, args, r->now_ms, a);
    json_decref(args);
}

void sandbox_handle(struct sandbox *s, const struct sandbox_request *r, struct sandbox_answer *a)
{
    *a = (struct sandbox_answer){.delivery = SANDBOX_SEND};
    pthread_mutex_lock(&s->mutex);
    if (strncmp(r->path, "/sandbox/", 9) == 0) {
        admin_handle(s, r, a);
    } else if (strcmp(r->path, "/jsonrpc") == 0) {
        s->calls++;
        rpc_handle(s, r, a);
    } else if (strncmp(r->path, "/json/2/", 8) == 0 && s->options.version >= 19) {
        s->calls++;
        json2_handle(s, r, a);
    } else if (strncmp(r->path, "/web/version", 12) == 0 && s->options.version >= 19) {
        answer_json(a, 200,
                    json_pack("{s:s,s:[i,i,i,s,i,s]}", "version", "19.0", "version_info", 19, 0, 0,
                              "final", 0, ""));
    } else if (strncmp(r->path, "/web/health", 11) == 0) {
        answer_json(a, 200, json_pack("{s:s}", "status", "pass"));
    } else {
        answer_html(a, 404, "Not Found");
    }
    pthread_mutex_unlock(&s->mutex);
}
