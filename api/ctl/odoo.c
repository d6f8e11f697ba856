// odoo install-action, and the connection that all odoo commands use.
#include "ctl/odoo.h"

#include "ctl/commands.h"
#include "ctl/message_json.h"
#include "flush/action.h"
#include "sys/text_file.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 60000
#define KEY_FILE_BYTES     4096
#define PAGE_ROWS          1000

// The first line of the file, or the variable. NULL: told.
static char *key_read(struct ctl *c)
{
    const char *path = c->option[OPT_ODOO_KEY_FILE], *why = NULL;
    const char *given = path ? NULL : c->io.variable("HOLDFAST_ODOO_KEY");
    char *text = NULL;
    size_t bytes;
    if (path && text_file_read(path, KEY_FILE_BYTES, &text, &bytes, &why) != HF_OK) {
        ctl_usage(c, "--odoo-key-file %s: %s", path, why);
        return NULL;
    }
    if (given)
        text = strdup(given);
    if (text)
        text[strcspn(text, "\r\n")] = '\0';
    if (text && *text && strlen(text) <= ODOO_KEY_BYTES_MAX)
        return text;
    ctl_usage(c, "Odoo's API key is missing or too long: --odoo-key-file, or HOLDFAST_ODOO_KEY");
    free(text);
    return NULL;
}

enum ctl_exit ctl_odoo_open(struct ctl *c, struct ctl_odoo *o)
{
    uint32_t timeout_ms = DEFAULT_TIMEOUT_MS;
    const char *database = c->option[OPT_ODOO_DATABASE];
    *o = (struct ctl_odoo){.url = c->option[OPT_ODOO_URL]};
    if (!o->url || !database || strlen(database) > ODOO_DATABASE_BYTES_MAX)
        return ctl_usage(c, "--odoo-url and --odoo-database are needed");
    if (c->option[OPT_TIMEOUT] && !ctl_span(c, OPT_TIMEOUT, &timeout_ms))
        return CTL_USAGE;
    char *key = key_read(c);
    if (!key)
        return CTL_USAGE;
    struct http_os_options http = {.origin = o->url, .ca_file = c->option[OPT_ODOO_CA_FILE]};
    enum hf_status s = http_os_create(&http, &o->http);
    bool ready = s == HF_OK && odoo_init(&o->odoo, o->http, database, key, timeout_ms);
    odoo_login_set(&o->odoo, c->option[OPT_ODOO_LOGIN] ? c->option[OPT_ODOO_LOGIN] : "");
    explicit_bzero(key, strlen(key));
    free(key);
    if (s != HF_OK)
        return ctl_usage(c, "--odoo-url or --odoo-ca-file: %s", hf_status_help(s));
    HF_ASSERT(ready);
    return CTL_OK;
}

void ctl_odoo_close(struct ctl_odoo *o)
{
    odoo_fini(&o->odoo);
    http_destroy(o->http);
}

json_t *ctl_odoo_rows(struct ctl_odoo *o, const char *model, json_t *domain, json_t *fields,
                      struct odoo_answer *a)
{
    odoo_ask(&o->odoo, model, "search_read", odoo_search(domain, fields), a);
    if (a->class == ODOO_OK && json_is_array(a->result))
        return a->result;
    json_decref(a->result);
    a->result = NULL;
    return NULL;
}

enum ctl_exit ctl_odoo_exit(const struct odoo_answer *a)
{
    return a->class == ODOO_KEY || a->class == ODOO_RIGHTS ? CTL_FORBIDDEN
           : a->class == ODOO_RETRY                        ? CTL_UNREACHED
                                                           : CTL_FAILED;
}

// One page after `*after`, which moves on. *more: there may be another.
static enum ctl_exit page_visit(struct ctl_odoo *o, const char *model, json_t *args,
                                ctl_odoo_visit visit, void *ctx, json_int_t *after, bool *more,
                                struct odoo_answer *a)
{
    odoo_ask(&o->odoo, model, "search_read", args, a);
    enum ctl_exit e = a->class == ODOO_OK ? CTL_OK : ctl_odoo_exit(a);
    json_t *row;
    size_t i;
    *more = json_array_size(a->result) == PAGE_ROWS;
    json_array_foreach(a->result, i, row)
    {
        json_int_t id = ctl_odoo_id(row, "id");
        if (e == CTL_OK && id <= *after) { // it would go on for ever
            a->class = ODOO_RETRY;
            snprintf(a->words, sizeof a->words, "%s: its rows are in disorder", model);
            e = ctl_odoo_exit(a);
        }
        e = e == CTL_OK ? visit(ctx, row) : e;
        *after = id;
    }
    json_decref(a->result);
    a->result = NULL;
    return e;
}

enum ctl_exit ctl_odoo_pages(struct ctl_odoo *o, const char *model, json_t *domain, json_t *fields,
                             ctl_odoo_visit visit, void *ctx, struct odoo_answer *a)
{
    json_int_t after = 0;
    enum ctl_exit e = CTL_OK;
    for (bool more = true; more && e == CTL_OK;) {
        json_t *page = odoo_append(json_copy(domain), json_pack("[s,s,I]", "id", ">", after));
        json_t *args = odoo_search(page, json_incref(fields));
        args = odoo_put(args, "order", json_string("id"));
        args = odoo_put(args, "limit", json_integer(PAGE_ROWS));
        // What is archived in Odoo was sold once, too.
        args = odoo_put(args, "context", json_pack("{s:b}", "active_test", 0));
        e = page_visit(o, model, args, visit, ctx, &after, &more, a);
    }
    json_decref(domain);
    json_decref(fields);
    return e;
}

uint32_t ctl_odoo_id(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

const char *ctl_odoo_text(const json_t *row, const char *field)
{
    const char *text = json_string_value(json_object_get(row, field));
    return text ? text : "";
}

// ----------------------------------------------------------------------------- install-action

static enum ctl_exit failed(struct ctl *c, const struct odoo_answer *a, const char *doing)
{
    const char *todo = a->class == ODOO_KEY      ? "the key is refused"
                       : a->class == ODOO_RIGHTS ? "the key's user is no administrator"
                       : a->class == ODOO_RETRY  ? "Odoo does not answer as it should"
                                                 : "Odoo refuses";
    ctl_usage(c, "%s: %s (%s)", doing, todo, a->words);
    return ctl_odoo_exit(a);
}

static enum ctl_exit told(struct ctl *c, uint32_t id, const char *what)
{
    if (c->json)
        json_print(json_pack("{s:I,s:i,s:s}", "id", (json_int_t)id, "version", FLUSH_ACTION_VERSION,
                             "was", what),
                   c->io.out);
    else
        fprintf(c->io.out, "%s: server action %u, version %d\nodoo_action_id: %u\n", what, id,
                FLUSH_ACTION_VERSION, id);
    return CTL_OK;
}

static enum ctl_exit create(struct ctl *c, struct ctl_odoo *o)
{
    struct odoo_answer a;
    json_t *rows =
        ctl_odoo_rows(o, "ir.model", json_pack("[[s,s,s]]", "model", "=", "stock.picking"),
                      json_pack("[s]", "model"), &a);
    uint32_t model = ctl_odoo_id(json_array_get(rows, 0), "id");
    json_decref(rows);
    if (!rows)
        return failed(c, &a, "looking for the model stock.picking");
    if (!model) {
        ctl_usage(c, "this Odoo has no Inventory app (stock): install it first");
        return CTL_FAILED;
    }
    odoo_ask(&o->odoo, "ir.actions.server", "create",
             json_pack("{s:[{s:s,s:s,s:s,s:I}]}", "vals_list", "name", FLUSH_ACTION_NAME, "state",
                       "code", "code", flush_action_code, "model_id", (json_int_t)model),
             &a);
    json_int_t id = json_integer_value(json_array_get(a.result, 0));
    json_decref(a.result);
    return a.class == ODOO_OK && id > 0 ? told(c, (uint32_t)id, "made")
                                        : failed(c, &a, "making the action");
}

static enum ctl_exit renew(struct ctl *c, struct ctl_odoo *o, const json_t *row)
{
    struct odoo_answer a;
    uint32_t id = ctl_odoo_id(row, "id");
    // Odoo takes blanks off the ends.
    if (strncmp(ctl_odoo_text(row, "code"), flush_action_code, strlen(flush_action_code) - 1) == 0)
        return told(c, id, "is there");
    odoo_ask(&o->odoo, "ir.actions.server", "write",
             json_pack("{s:[I],s:{s:s}}", "ids", (json_int_t)id, "vals", "code", flush_action_code),
             &a);
    json_decref(a.result);
    return a.class == ODOO_OK ? told(c, id, "renewed") : failed(c, &a, "renewing the action");
}

enum ctl_exit ctl_odoo_install_action(struct ctl *c)
{
    struct ctl_odoo o;
    struct odoo_answer a;
    enum ctl_exit e = ctl_odoo_open(c, &o);
    if (e == CTL_OK) {
        json_t *rows = ctl_odoo_rows(&o, "ir.actions.server",
                                     json_pack("[[s,s,s]]", "name", "=", FLUSH_ACTION_NAME),
                                     json_pack("[s]", "code"), &a);
        if (!rows)
            e = failed(c, &a, "looking for the action");
        else if (json_array_size(rows) > 1)
            e = ctl_usage(c, "there are several actions '%s': delete all but one",
                          FLUSH_ACTION_NAME);
        else
            e = json_array_size(rows) ? renew(c, &o, json_array_get(rows, 0)) : create(c, &o);
        json_decref(rows);
    }
    ctl_odoo_close(&o);
    return e;
}
