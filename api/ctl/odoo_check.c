// odoo check: one point after the other, each with what to do when it fails. A point that the later
// ones stand on ends the check.
#include "ctl/commands.h"
#include "ctl/message_json.h"
#include "ctl/odoo.h"
#include "flush/action.h"
#include "flush/flush.h"
#include "sys/zone.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VERSION_LEAST  19
#define VERSION_RPC    18 // by JSON-RPC, with a login
#define PAGE_ROWS      2000
#define NAMED_MAX      5 // products or rights named in one line
#define EXPIRY_DAYS    21
#define DAY_MS         (UINT64_C(24) * 3600 * 1000)
#define TEXT_BYTES     400
#define NAMES_BYTES    200
#define VERSION_PATH   "/web/version"
#define LOCATION_USAGE "customer", "supplier", "inventory"

enum verdict { FINE, WARNING, FAILURE };

struct check {
    struct ctl *c;
    struct ctl_odoo o;
    unsigned warnings, failures;
    uint32_t action;
    uint64_t scale; // the finest that is to be posted
};

static void tell(struct check *k, enum verdict v, const char *point, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(struct check *k, enum verdict v, const char *point, const char *fmt, ...)
{
    static const char *const names[] = {"ok", "warn", "FAIL"};
    static const char *const plain[] = {"ok", "warning", "failure"};
    char text[TEXT_BYTES];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    k->warnings += v == WARNING;
    k->failures += v == FAILURE;
    if (k->c->json)
        json_print(json_pack("{s:s,s:s,s:s}", "point", point, "verdict", plain[v], "text", text),
                   k->c->io.out);
    else
        fprintf(k->c->io.out, "%-5s %-12s %s\n", names[v], point, text);
}

// ----------------------------------------------------------------------------- the way there

static bool loopback(const char *url)
{
    return strncmp(url, "http://127.", 11) == 0 || strncmp(url, "http://localhost", 16) == 0 ||
           strncmp(url, "http://[::1]", 12) == 0;
}

// Odoo 18 tells its version to nobody who does not ask by JSON-RPC.
static bool version_check(struct check *k, const struct http_answer *a)
{
    struct odoo_answer ignored;
    json_t *body = a->status == 200 ? json_loadb(a->body, a->body_bytes, 0, NULL) : NULL;
    json_int_t major = json_integer_value(json_array_get(json_object_get(body, "version_info"), 0));
    bool rpc = k->o.odoo.login[0] != '\0';
    json_decref(body);
    if (rpc) {
        odoo_ask(&k->o.odoo, "res.users", "context_get", json_object(), &ignored);
        json_decref(ignored.result);
        major = k->o.odoo.version;
    }
    bool known = major >= (rpc ? VERSION_RPC : VERSION_LEAST);
    if (known)
        tell(k, FINE, "version", "%lld%s", (long long)major, rpc ? ", by JSON-RPC" : "");
    else if (rpc)
        tell(k, FAILURE, "version", "no Odoo %d or later by JSON-RPC", VERSION_RPC);
    else
        tell(k, FAILURE, "version",
             "no Odoo %d or later: " VERSION_PATH
             " answers HTTP %d. Is this Odoo's address? Odoo %d wants --odoo-login",
             VERSION_LEAST, a->status, VERSION_RPC);
    return known;
}

static bool url_check(struct check *k)
{
    struct http_request r = {.path = VERSION_PATH, .timeout_ms = k->o.odoo.timeout_ms};
    struct http_answer a = {.body = k->o.odoo.body, .body_capacity = ODOO_ANSWER_BYTES};
    enum http_outcome outcome = http_call(k->o.http, &r, &a);
    if (outcome != HTTP_ANSWERED) {
        tell(k, FAILURE, "url", "%s does not answer: %s", k->o.url, a.why);
        return false;
    }
    tell(k, FINE, "url", "%s answers", k->o.url);
    if (strncmp(k->o.url, "https://", 8) == 0)
        tell(k, FINE, "tls", "certificate and host name are verified");
    else if (loopback(k->o.url))
        tell(k, FINE, "tls", "in clear, on this machine");
    else
        tell(k, WARNING, "tls", "in clear: the key can be read on the way; use https://");
    return version_check(k, &a);
}

static bool key_check(struct check *k)
{
    struct odoo_answer a;
    odoo_ask(&k->o.odoo, "res.users", "context_get", json_object(), &a);
    json_int_t uid = json_integer_value(json_object_get(a.result, "uid"));
    json_decref(a.result);
    if (a.class == ODOO_OK && uid <= 0)
        uid = k->o.odoo.uid;
    if (a.class == ODOO_OK && uid > 0) {
        tell(k, FINE, "database", "%s", k->c->option[OPT_ODOO_DATABASE]);
        tell(k, FINE, "key", "taken, of user %lld", (long long)uid);
        return true;
    }
    if (a.class == ODOO_KEY) {
        tell(k, FINE, "database", "%s", k->c->option[OPT_ODOO_DATABASE]);
        tell(k, FAILURE, "key",
             "refused: wrong or expired. Make one in Odoo: the user's preferences, Account "
             "Security, New API Key");
    } else {
        tell(k, FAILURE, "database", "%s: %s. Is the name right, and its database up?",
             k->c->option[OPT_ODOO_DATABASE], a.words);
    }
    return false;
}

// Days since 1970 of "YYYY-MM-DD ..."; 0: not understood.
static int64_t days_of(const char *text)
{
    int y, m, d;
    if (sscanf(text, "%4d-%2d-%2d", &y, &m, &d) != 3)
        return 0;
    y -= m <= 2; // the year begins in March, so that the leap day is its last
    int era = y / 400, of_era = y - era * 400;
    int of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * INT64_C(146097) + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

// Which of the user's keys is ours Odoo does not tell; the first to end is named.
static void expiry_check(struct check *k)
{
    struct odoo_answer a;
    char first[24] = "";
    json_t *row, *rows = ctl_odoo_rows(&k->o, "res.users.apikeys", json_array(),
                                       json_pack("[s,s]", "name", "expiration_date"), &a);
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *ends = ctl_odoo_text(row, "expiration_date");
        if (*ends && (!*first || strcmp(ends, first) < 0))
            snprintf(first, sizeof first, "%s", ends);
    }
    json_decref(rows);
    int64_t left = days_of(first) - (int64_t)(clock_wall_ms(k->c->io.clock) / DAY_MS);
    if (!rows)
        tell(k, WARNING, "key expiry", "cannot be read: %s", a.words);
    else if (!*first)
        tell(k, FINE, "key expiry", "none");
    else
        tell(k, left < EXPIRY_DAYS ? WARNING : FINE, "key expiry",
             "this user's first key ends %.10s, in %lld days%s", first, (long long)left,
             left < EXPIRY_DAYS ? ": make another, write it to the key file, send SIGHUP" : "");
}

// ----------------------------------------------------------------------------- what it may do

struct right {
    const char *model, *operation;
};

static void rights_check(struct check *k)
{
    static const struct right rights[] = {{"product.product", "read"}, {"stock.warehouse", "read"},
                                          {"stock.location", "read"},  {"stock.quant", "read"},
                                          {"stock.move.line", "read"}, {"stock.move", "create"},
                                          {"stock.move", "write"},     {"stock.picking", "read"},
                                          {"stock.picking", "create"}, {"stock.picking", "write"}};
    char lacks[NAMES_BYTES] = "";
    size_t at = 0;
    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) {
        struct odoo_answer a;
        odoo_ask(&k->o.odoo, rights[i].model, "has_access",
                 json_pack("{s:[],s:s}", "ids", "operation", rights[i].operation), &a);
        if (!(a.class == ODOO_OK && json_is_true(a.result)) && at < sizeof lacks)
            at += (size_t)snprintf(lacks + at, sizeof lacks - at, "%s%s %s", at ? ", " : "",
                                   rights[i].operation, rights[i].model);
        json_decref(a.result);
    }
    if (at)
        tell(k, FAILURE, "rights", "the key's user may not %s: give it Inventory / User", lacks);
    else
        tell(k, FINE, "rights", "products, warehouses, stock and transfers");
}

// ODOO_MISSING and not found are told apart by nobody: there is no such model, then.
static bool model_there(struct check *k, const char *model)
{
    struct odoo_answer a;
    odoo_ask(&k->o.odoo, model, "fields_get",
             json_pack("{s:[s],s:[s]}", "allfields", "id", "attributes", "type"), &a);
    json_decref(a.result);
    return a.status != 404;
}

static void modules_check(struct check *k)
{
    if (!model_there(k, "stock.picking")) {
        tell(k, FAILURE, "modules", "no Inventory app (stock): install it in Odoo's Apps");
        return;
    }
    bool valued = model_there(k, "product.value"), sells = model_there(k, "sale.order");
    tell(k, FINE, "modules", "stock%s%s", valued ? ", stock_account" : "", sells ? ", sale" : "");
}

static void uuid_tell(struct check *k, const char *uuid)
{
    struct hf_uuid id;
    if (hf_uuid_parse(uuid, &id))
        tell(k, FINE, "uuid", "%s; bound at first contact", uuid);
    else
        tell(k, FAILURE, "uuid", "the database has none, or a malformed one");
}

static void action_check(struct check *k)
{
    struct odoo_answer a;
    odoo_ask(&k->o.odoo, "ir.actions.server", "run",
             json_pack("{s:[I]}", "ids", (json_int_t)k->action), &a);
    json_int_t version = json_integer_value(json_object_get(a.result, "holdfast"));
    if (a.class != ODOO_OK)
        tell(k, FAILURE, "action",
             "%u: %s. Install it with an administrator's key: holdfastctl odoo install-action",
             k->action, a.words);
    else if (version != FLUSH_ACTION_VERSION)
        tell(k, FAILURE, "action",
             "%u is version %lld, wanted %d: renew it with holdfastctl odoo install-action",
             k->action, (long long)version, FLUSH_ACTION_VERSION);
    else
        tell(k, FINE, "action", "%u, version %lld: one call a batch", k->action,
             (long long)version);
    if (a.class == ODOO_OK)
        uuid_tell(k, ctl_odoo_text(a.result, "uuid"));
    json_decref(a.result);
}

static void uuid_check(struct check *k)
{
    struct odoo_answer a;
    if (k->action) {
        action_check(k);
        return;
    }
    tell(k, WARNING, "action",
         "none (odoo_action_id): two calls a batch, half as fast. holdfastctl odoo install-action");
    json_t *rows = ctl_odoo_rows(&k->o, "ir.config_parameter",
                                 json_pack("[[s,s,s]]", "key", "=", "database.uuid"),
                                 json_pack("[s]", "value"), &a);
    if (rows)
        uuid_tell(k, ctl_odoo_text(json_array_get(rows, 0), "value"));
    else
        tell(k, FAILURE, "uuid", "%s. Without the server action the key must be an administrator's",
             a.words);
    json_decref(rows);
}

// ----------------------------------------------------------------------------- locations

static const json_t *row_by(const json_t *rows, const char *field, const char *text)
{
    json_t *row;
    size_t i;
    json_array_foreach((json_t *)rows, i,
                       row) if (strcmp(ctl_odoo_text(row, field), text) == 0) return row;
    return NULL;
}

static unsigned rows_with(const json_t *rows, const char *field, const char *text)
{
    unsigned count = 0;
    json_t *row;
    size_t i;
    json_array_foreach((json_t *)rows, i, row) count +=
        strcmp(ctl_odoo_text(row, field), text) == 0;
    return count;
}

static const json_t *row_of_id(const json_t *rows, uint32_t id)
{
    json_t *row;
    size_t i;
    json_array_foreach((json_t *)rows, i, row) if (ctl_odoo_id(row, "id") == id) return row;
    return NULL;
}

// The other ends of its transfers, in its company or shared.
static bool ends_there(const json_t *places, uint32_t company, const char **lacking)
{
    static const char *const usages[] = {LOCATION_USAGE};
    json_t *row;
    size_t i;
    for (unsigned u = 0; u < sizeof usages / sizeof *usages; u++) {
        bool found = false;
        json_array_foreach((json_t *)places, i, row)
        {
            uint32_t theirs = ctl_odoo_id(row, "company_id");
            found |= strcmp(ctl_odoo_text(row, "usage"), usages[u]) == 0 &&
                     (!theirs || theirs == company);
        }
        if (!found) {
            *lacking = usages[u];
            return false;
        }
    }
    return true;
}

// Mode stage needs a location for what is sold; the zone must be known here.
static bool mode_check(struct check *k, const struct flush_location *l, const json_t *places,
                       uint32_t company)
{
    char name[FLUSH_WAREHOUSE_BYTES_MAX + 8];
    snprintf(name, sizeof name, "%s/Sold", l->warehouse);
    const json_t *sold = row_by(places, "complete_name", name);
    struct zone *zone = l->zone ? zone_create(l->zone) : NULL;
    bool zoned = !l->zone || zone;
    zone_destroy(zone);
    bool fine =
        l->mode != FLUSH_MODE_STAGE || (sold && ctl_odoo_id(sold, "company_id") == company &&
                                        strcmp(ctl_odoo_text(sold, "usage"), "internal") == 0);
    if (!zoned)
        tell(k, FAILURE, "location", "%s: there is no time zone %s", l->name, l->zone);
    else if (!fine)
        tell(k, FAILURE, "location",
             "%s: mode stage needs an internal location %s of company %u, beside the stock",
             l->name, name, company);
    return zoned && fine;
}

static void alias_check(struct check *k, const struct flush_location *l, const json_t *warehouses,
                        const json_t *places)
{
    const json_t *w = row_by(warehouses, "code", l->warehouse);
    const json_t *stock = row_of_id(places, ctl_odoo_id(w, "lot_stock_id"));
    uint32_t company = ctl_odoo_id(w, "company_id"), of_stock = ctl_odoo_id(stock, "company_id");
    const char *lacking = "?";
    if (!w)
        tell(k, FAILURE, "location",
             "%s: no warehouse has the code %s, or its company is not the key's user's", l->name,
             l->warehouse);
    else if (rows_with(warehouses, "code", l->warehouse) > 1)
        tell(k, FAILURE, "location",
             "%s: warehouses of several companies have the code %s: change one, or take the other "
             "company from the key's user",
             l->name, l->warehouse);
    else if (!stock || (of_stock && of_stock != company))
        tell(k, FAILURE, "location",
             "%s: %s's stock location cannot be read, or is another "
             "company's",
             l->name, l->warehouse);
    else if (!ctl_odoo_id(w, "out_type_id") || !ctl_odoo_id(w, "in_type_id") ||
             !ctl_odoo_id(w, "int_type_id"))
        tell(k, FAILURE, "location",
             "%s: %s lacks an operation type: deliveries, receipts or "
             "internal transfers",
             l->name, l->warehouse);
    else if (!ends_there(places, company, &lacking))
        tell(k, FAILURE, "location", "%s: company %u has no %s location", l->name, company,
             lacking);
    else if (mode_check(k, l, places, company))
        tell(k, FINE, "location", "%s is %s, company %u, mode %s, days of %s", l->name,
             ctl_odoo_text(stock, "complete_name"), company, flush_mode_name(l->mode),
             l->zone ? l->zone : "UTC");
}

static void locations_check(struct check *k)
{
    struct flush_location l[FLUSH_LOCATIONS_MAX];
    const char *given = k->c->option[OPT_ODOO_LOCATIONS];
    uint32_t count = 0;
    char *text = given ? strdup(given) : NULL;
    const char *wrong = text ? flush_locations_parse(text, l, &count) : "none are given";
    if (wrong) {
        tell(k, FAILURE, "location", "--odoo-locations: %s", wrong);
        free(text);
        return;
    }
    struct odoo_answer a;
    json_t *warehouses =
        ctl_odoo_rows(&k->o, "stock.warehouse", json_array(),
                      json_pack("[s,s,s,s,s,s]", "code", "company_id", "lot_stock_id",
                                "out_type_id", "in_type_id", "int_type_id"),
                      &a);
    json_t *places =
        ctl_odoo_rows(&k->o, "stock.location", json_array(),
                      json_pack("[s,s,s]", "usage", "complete_name", "company_id"), &a);
    if (!warehouses || !places)
        tell(k, FAILURE, "location", "warehouses and locations cannot be read: %s", a.words);
    for (uint32_t i = 0; warehouses && places && i < count; i++)
        alias_check(k, &l[i], warehouses, places);
    json_decref(warehouses);
    json_decref(places);
    free(text);
}

// ----------------------------------------------------------------------------- products

struct listed {
    unsigned count;
    char names[NAMES_BYTES];
};

static void list_add(struct listed *l, const char *name)
{
    size_t at = strlen(l->names);
    if (l->count++ < NAMED_MAX)
        snprintf(l->names + at, sizeof l->names - at, "%s%.60s", at ? ", " : "", name);
}

static void list_tell(struct check *k, enum verdict v, const struct listed *l, const char *what)
{
    if (l->count)
        tell(k, v, "products", "%u %s: %s%s", l->count, what, l->names,
             l->count > NAMED_MAX ? ", ..." : "");
}

struct products {
    json_t *seen; // default_code -> null
    struct listed twice, tracked, no_unit;
    unsigned count;
};

static void product_take(struct products *p, const json_t *row)
{
    const char *code = ctl_odoo_text(row, "default_code");
    p->count++;
    if (json_object_get(p->seen, code))
        list_add(&p->twice, code);
    json_object_set_new(p->seen, code, json_true());
    if (strcmp(ctl_odoo_text(row, "tracking"), "none") != 0)
        list_add(&p->tracked, code);
    if (!ctl_odoo_id(row, "uom_id"))
        list_add(&p->no_unit, code);
}

static bool products_page(struct check *k, struct products *p, json_int_t *after)
{
    struct odoo_answer a;
    json_t *args = odoo_search(json_pack("[[s,s,b],[s,s,b],[s,s,I]]", "default_code", "!=", 0,
                                         "is_storable", "=", 1, "id", ">", *after),
                               json_pack("[s,s,s]", "default_code", "tracking", "uom_id"));
    json_object_set_new(args, "order", json_string("id"));
    json_object_set_new(args, "limit", json_integer(PAGE_ROWS));
    odoo_ask(&k->o.odoo, "product.product", "search_read", args, &a);
    json_t *row;
    size_t i, rows = json_array_size(a.result);
    json_array_foreach(a.result, i, row)
    {
        product_take(p, row);
        *after = json_integer_value(json_object_get(row, "id"));
    }
    if (a.class != ODOO_OK)
        tell(k, FAILURE, "products", "cannot be read: %s", a.words);
    json_decref(a.result);
    return rows == PAGE_ROWS;
}

static void products_check(struct check *k)
{
    struct products p = {.seen = json_object()};
    json_int_t after = 0;
    while (products_page(k, &p, &after))
        ;
    list_tell(k, FAILURE, &p.twice,
              "have a default_code of another (archive or rename one; they become dead letters)");
    list_tell(k, WARNING, &p.tracked,
              "are tracked by lot or serial number, which is not posted yet");
    list_tell(k, WARNING, &p.no_unit, "have no unit");
    if (!p.twice.count)
        tell(k, p.count ? FINE : WARNING, "products", "%u with a default_code and kept in stock%s",
             p.count, p.count ? "" : ": nothing can be posted");
    json_decref(p.seen);
}

// The decimal places that all units keep; a cell with more of them has sales that Odoo would round.
static void units_check(struct check *k)
{
    struct odoo_answer a;
    double coarsest = 0;
    unsigned digits = 0;
    size_t i;
    json_t *row,
        *rows = ctl_odoo_rows(&k->o, "uom.uom", json_array(), json_pack("[s]", "rounding"), &a);
    json_array_foreach(rows, i, row)
    {
        double rounding = json_number_value(json_object_get(row, "rounding"));
        coarsest = rounding > coarsest ? rounding : coarsest;
    }
    json_decref(rows);
    for (; coarsest > 0 && coarsest < 0.9999 && digits < 9; digits++)
        coarsest *= 10;
    if (!rows)
        tell(k, FAILURE, "units", "cannot be read: %s", a.words);
    else
        tell(k, digits < k->scale ? FAILURE : FINE, "units", "quantities have %u decimal places%s",
             digits,
             digits < k->scale
                 ? ", fewer than the unit scale: raise Product Unit in Odoo's Decimal "
                   "Accuracy, or what is finer becomes a dead letter"
                 : "");
}

static void till_check(struct check *k)
{
    struct odoo_answer a;
    if (!model_there(k, "pos.config")) {
        tell(k, FINE, "till", "no Point of Sale app");
        return;
    }
    json_t *row,
        *rows =
            ctl_odoo_rows(&k->o, "res.company", json_array(),
                          json_pack("[s,s]", "name", "point_of_sale_update_stock_quantities"), &a);
    bool late = false;
    size_t i;
    json_array_foreach(rows, i, row) late |=
        strcmp(ctl_odoo_text(row, "point_of_sale_update_stock_quantities"), "real") != 0;
    json_decref(rows);
    if (!rows)
        tell(k, WARNING, "till", "its settings cannot be read: %s", a.words);
    else if (late)
        tell(k, WARNING, "till",
             "tills update stock when their session is closed: until then what they sold is not "
             "seen. Set Inventory Management to real time, or keep safety stock");
    else
        tell(k, FINE, "till", "tills update stock in real time");
}

enum ctl_exit ctl_odoo_check(struct ctl *c)
{
    struct check k = {.c = c};
    uint64_t action = 0;
    if (c->option[OPT_ODOO_ACTION_ID] && !ctl_number(c, OPT_ODOO_ACTION_ID, 0, INT32_MAX, &action))
        return CTL_USAGE;
    if (!ctl_number(c, OPT_UNIT_SCALE, 0, HF_UNIT_SCALE_MAX, &k.scale))
        return CTL_USAGE;
    k.action = (uint32_t)action;
    enum ctl_exit e = ctl_odoo_open(c, &k.o);
    if (e == CTL_OK && !url_check(&k))
        e = CTL_UNREACHED;
    if (e == CTL_OK && !key_check(&k))
        e = CTL_FORBIDDEN;
    if (e == CTL_OK) {
        expiry_check(&k);
        modules_check(&k);
        rights_check(&k);
        uuid_check(&k);
        locations_check(&k);
        products_check(&k);
        units_check(&k);
        till_check(&k);
        e = k.failures ? CTL_REFUSED : CTL_OK;
        if (!c->json)
            fprintf(c->io.out, "%u failed, %u warnings\n", k.failures, k.warnings);
    }
    ctl_odoo_close(&k.o);
    return e;
}
