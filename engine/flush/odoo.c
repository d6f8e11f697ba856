// Odoo's JSON-2 API: one call, and what kind of answer it was. Errors are told apart by HTTP
// status and exception name, never by their text, which is translated.
#include "flush/flush_internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 160

static bool named(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static enum odoo_class class_of(int status, const char *name)
{
    static const char *const key[] = {"werkzeug.exceptions.Unauthorized",
                                      "odoo.exceptions.AccessDenied", NULL};
    static const char *const refused[] = {"odoo.exceptions.ValidationError",
                                          "odoo.exceptions.UserError", NULL};
    static const char *const schema[] = {"werkzeug.exceptions.NotFound",
                                         "builtins.ValueError",
                                         "builtins.TypeError",
                                         "builtins.KeyError",
                                         "psycopg2.errors.InvalidTextRepresentation",
                                         NULL};
    if (status == 401 || named(name, key))
        return ODOO_KEY;
    if (status == 403 || strcmp(name, "odoo.exceptions.AccessError") == 0)
        return ODOO_RIGHTS;
    if (strcmp(name, "odoo.exceptions.MissingError") == 0)
        return ODOO_MISSING;
    if (named(name, refused))
        return ODOO_REFUSED;
    if (status == 400 || status == 415 || status == 422 || named(name, schema))
        return ODOO_SCHEMA;
    return ODOO_RETRY; // serialization failures, lost connections, and what is not known
}

// Words for logs and dead letters: printable, without quotes.
static void words_set(struct odoo_answer *a, const char *head, const char *text)
{
    snprintf(a->words, sizeof a->words, "%.50s%s%.64s", head, *text ? ": " : "", text);
    for (char *c = a->words; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"')
            *c = ' ';
}

static void answer_read(const struct http_answer *h, struct odoo_answer *a)
{
    char status[16];
    snprintf(status, sizeof status, "HTTP %d", h->status);
    bool json = strncmp(h->content_type, "application/json", 16) == 0;
    json_t *body = json ? json_loadb(h->body, h->body_bytes, JSON_DECODE_ANY, NULL) : NULL;
    if (h->status == 200 && body) {
        a->class = ODOO_OK;
        a->result = body;
        return;
    }
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *message = json_string_value(json_object_get(body, "message"));
    // A page of a proxy, or of an Odoo without its database, tells nothing of the call.
    a->class = name ? class_of(h->status, name) : ODOO_RETRY;
    words_set(a, name ? name : status, message ? message : "");
    json_decref(body);
}

void odoo_call(struct flush *f, const char *model, const char *method, json_t *args,
               struct odoo_answer *a)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/json/2/%s/%s", model, method);
    *a = (struct odoo_answer){.class = ODOO_RETRY};
    char *body = args ? json_dumps(args, JSON_COMPACT) : NULL;
    json_decref(args);
    if (!body) {
        words_set(a, "no memory", "");
        return;
    }
    struct http_request r = {
        .path = path,
        .headers = {f->key_header, f->database_header, "Content-Type: application/json"},
        .body = body,
        .body_bytes = strlen(body),
        .timeout_ms = f->options.timeout_ms,
    };
    struct http_answer h = {.body = f->answer, .body_capacity = FLUSH_ANSWER_BYTES};
    enum http_outcome o = http_call(f->options.http, &r, &h);
    if (o == HTTP_ANSWERED)
        answer_read(&h, a);
    else
        words_set(a, http_outcome_name(o), h.why);
    free(body);
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

json_t *odoo_quantity(int64_t quantity, uint8_t scale)
{
    double unit = 1;
    for (uint8_t i = 0; i < scale; i++)
        unit *= 10;
    return scale ? json_real((double)quantity / unit) : json_integer(quantity);
}

json_t *odoo_search(json_t *domain, json_t *fields)
{
    return json_pack("{s:o,s:o,s:n}", "domain", domain, "fields", fields, "load");
}
