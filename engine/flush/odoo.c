#include "flush/odoo_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PATH_BYTES 160

static bool named(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

enum odoo_class odoo_class_of(int status, const char *name)
{
    static const char *const key[] = {"werkzeug.exceptions.Unauthorized",
                                      "odoo.exceptions.AccessDenied", NULL};
    static const char *const refused[] = {"odoo.exceptions.ValidationError",
                                          "odoo.exceptions.UserError",
                                          "odoo.exceptions.RedirectWarning", NULL};
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
    // What is not of the web server is of the model: of a module's own exceptions, say.
    if (named(name, refused) || (status == 422 && strncmp(name, "werkzeug.", 9) != 0))
        return ODOO_REFUSED;
    if (status == 400 || status == 415 || status == 422 || named(name, schema))
        return ODOO_SCHEMA;
    return ODOO_RETRY; // serialization failures, lost connections, and what is not known
}

void odoo_words_set(struct odoo_answer *a, const char *head, const char *text)
{
    snprintf(a->words, sizeof a->words, "%.50s%s%.64s", head, *text ? ": " : "", text);
    for (char *c = a->words; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"')
            *c = ' ';
}

static void answer_read(const struct odoo *o, const struct http_answer *h, struct odoo_answer *a)
{
    char status[16];
    snprintf(status, sizeof status, "HTTP %d", h->status);
    a->status = h->status;
    bool json = strncmp(h->content_type, "application/json", 16) == 0;
    json_t *body = json ? json_loadb(h->body, h->body_bytes, JSON_DECODE_ANY, NULL) : NULL;
    if (h->status == 200 && body && o->login[0]) {
        odoo_rpc_read(body, a);
        json_decref(body);
        return;
    }
    if (h->status == 200 && body) {
        a->class = ODOO_OK;
        a->result = body;
        return;
    }
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *message = json_string_value(json_object_get(body, "message"));
    // A page of a proxy, or of an Odoo without its database, tells nothing of the call.
    a->class = name ? odoo_class_of(h->status, name) : ODOO_RETRY;
    odoo_words_set(a, name ? name : status, message ? message : "");
    json_decref(body);
}

void odoo_post(struct odoo *o, const char *path, json_t *whole, struct odoo_answer *a)
{
    *a = (struct odoo_answer){.class = ODOO_RETRY};
    char *body = whole ? json_dumps(whole, JSON_COMPACT) : NULL;
    json_decref(whole);
    if (!body) {
        odoo_words_set(a, "no memory", "");
        return;
    }
    struct http_request r = {
        .path = path,
        .headers = {"Content-Type: application/json", o->database_header, o->key_header},
        .body = body,
        .body_bytes = strlen(body),
        .timeout_ms = o->timeout_ms,
    };
    if (o->login[0]) // the key is inside
        r.headers[1] = r.headers[2] = NULL;
    struct http_answer h = {.body = o->body, .body_capacity = ODOO_ANSWER_BYTES};
    enum http_outcome outcome = http_call(o->http, &r, &h);
    if (outcome == HTTP_ANSWERED)
        answer_read(o, &h, a);
    else
        odoo_words_set(a, http_outcome_name(outcome), h.why);
    explicit_bzero(body, r.body_bytes);
    free(body);
}

void odoo_ask(struct odoo *o, const char *model, const char *method, json_t *args,
              struct odoo_answer *a)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "/json/2/%s/%s", model, method);
    if (o->login[0])
        odoo_rpc_ask(o, model, method, args, a);
    else
        odoo_post(o, path, args, a);
}

bool odoo_init(struct odoo *o, struct http *http, const char *database, const char *key,
               uint32_t timeout_ms)
{
    *o = (struct odoo){.http = http, .timeout_ms = timeout_ms};
    snprintf(o->database_header, sizeof o->database_header, "X-Odoo-Database: %s", database);
    odoo_key_set(o, key);
    o->body = malloc(ODOO_ANSWER_BYTES);
    return o->body != NULL;
}

void odoo_fini(struct odoo *o)
{
    free(o->body);
    o->body = NULL;
    explicit_bzero(o->key_header, sizeof o->key_header);
}

void odoo_login_set(struct odoo *o, const char *login)
{
    snprintf(o->login, sizeof o->login, "%s", login);
    o->uid = 0;
}

void odoo_key_set(struct odoo *o, const char *key)
{
    snprintf(o->key_header, sizeof o->key_header, "Authorization: Bearer %.*s", ODOO_KEY_BYTES_MAX,
             key);
}

json_t *odoo_quantity(int64_t quantity, uint8_t scale)
{
    double unit = 1;
    for (uint8_t i = 0; i < scale; i++)
        unit *= 10;
    return scale ? json_real((double)quantity / unit) : json_integer(quantity);
}

json_t *odoo_append(json_t *list, json_t *item)
{
    if (json_array_append_new(list, item) == 0)
        return list;
    json_decref(list);
    return NULL;
}

json_t *odoo_put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return object;
    json_decref(object);
    return NULL;
}

json_t *odoo_search(json_t *domain, json_t *fields)
{
    return json_pack("{s:o,s:o,s:n}", "domain", domain, "fields", fields, "load");
}

bool odoo_time_parse(const char *text, uint64_t *ms)
{
    struct tm t = {0};
    const char *end = text ? strptime(text, "%Y-%m-%d %H:%M:%S", &t) : NULL;
    time_t s = end ? timegm(&t) : -1;
    *ms = s < 0 ? 0 : (uint64_t)s * 1000;
    return s >= 0;
}

const char *odoo_time_format(uint64_t ms, char text[ODOO_TIME_BYTES])
{
    time_t s = (time_t)(ms / 1000);
    struct tm t;
    gmtime_r(&s, &t);
    if (strftime(text, ODOO_TIME_BYTES, "%Y-%m-%d %H:%M:%S", &t) == 0)
        text[0] = '\0';
    return text;
}
