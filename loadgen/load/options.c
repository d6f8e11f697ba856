#include "load/options.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum type { TEXT, FLAG, COUNT, SPAN, REAL };

struct row {
    const char *title; // a group's; the rest is empty then
    const char *name, *argument, *variable, *standard, *help;
    enum type type;
    double least, most;
    size_t offset;
};

static const struct row rows[] = {
#define G(text) {.title = text},
#define X(field, type, name, argument, variable, standard, least, most, help)                      \
    {NULL, name, argument,        variable,       standard,                                        \
     help, type, (double)(least), (double)(most), offsetof(struct options, field)},
    OPTIONS_TABLE(G, X)
#undef G
#undef X
};
#define ROWS (sizeof rows / sizeof *rows)

// ------------------------------------------------------------------------------- values

static bool span_read(const char *text, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1},      {"s", 1000},    {"m", 60000},
                 {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    double n = strtod(text, &end);
    if (end == text || !(n >= 0) || n > 1e9)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].unit) == 0) {
            *ms = (uint64_t)(n * (double)units[i].ms + 0.5);
            return true;
        }
    *ms = 0;
    return n == 0 && *end == '\0';
}

static bool count_read(const char *text, uint64_t *n)
{
    char *end;
    errno = 0;
    *n = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
}

static bool value_set(struct options *o, const struct row *r, const char *text, char why[200])
{
    void *at = (char *)o + r->offset;
    uint64_t n = 0;
    double x = 0;
    char *end;
    bool ok = true;
    switch (r->type) {
    case TEXT:
        *(const char **)at = text;
        return true;
    case FLAG:
        *(bool *)at = true;
        return true;
    case COUNT:
        ok = count_read(text, &n) && (double)n >= r->least && (double)n <= r->most;
        *(uint64_t *)at = n;
        break;
    case SPAN:
        ok = span_read(text, &n) && (double)n >= r->least && (double)n <= r->most;
        *(uint64_t *)at = n;
        break;
    case REAL:
        x = strtod(text, &end);
        ok = end != text && *end == '\0' && x >= r->least && x <= r->most;
        *(double *)at = x;
        break;
    }
    if (!ok)
        snprintf(why, 200, "--%s: \"%.60s\" is not %s in range", r->name, text,
                 r->type == SPAN ? "a time such as 250ms, 30s or 10m" : "a number");
    return ok;
}

// ------------------------------------------------------------------------------- reading

static const struct row *row_find(const char *name, size_t bytes)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].name && strlen(rows[i].name) == bytes && memcmp(rows[i].name, name, bytes) == 0)
            return &rows[i];
    return NULL;
}

// One option of the command line, and its argument. *at moves over what it takes.
static bool argument_take(struct options *o, int argc, char **argv, int *at, char why[200])
{
    const char *text = argv[*at];
    if (strncmp(text, "--", 2) != 0) {
        snprintf(why, 200, "\"%.60s\" is no option", text);
        return false;
    }
    const char *equal = strchr(text, '=');
    size_t bytes = equal ? (size_t)(equal - text) - 2 : strlen(text) - 2;
    const struct row *r = row_find(text + 2, bytes);
    if (!r || (!r->argument && equal)) {
        snprintf(why, 200, r ? "--%.*s takes no argument" : "there is no option --%.*s",
                 (int)(bytes < 60 ? bytes : 60), text + 2);
        return false;
    }
    const char *value = equal ? equal + 1 : NULL;
    if (r->argument && !value) {
        if (*at + 1 >= argc) {
            snprintf(why, 200, "--%s needs %s", r->name, r->argument);
            return false;
        }
        value = argv[++*at];
    }
    return value_set(o, r, value, why);
}

static bool transport_read(const char *text, enum sender_transport *out)
{
    static const char *const names[] = {"grpc", "packet", "mixed"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], text) == 0) {
            *out = (enum sender_transport)i;
            return true;
        }
    return false;
}

static bool texts_read(struct options *o, char why[200])
{
    const char *bad = NULL;
    char end;
    if (!plan_read_spread(o->spread, &o->plan.spread))
        bad = "--spread: uniform, zipf:EXPONENT or flash:CELLS:SHARE";
    else if (!plan_read_width(o->lines, &o->plan.width))
        bad = "--lines: N, A-B, mean:N or basket, at most 1,024";
    else if (!plan_read_quantity(o->quantity, &o->plan.quantity_least, &o->plan.quantity_most))
        bad = "--quantity: N or A-B";
    else if (o->mix && !plan_read_mix(o->mix, o->plan.weights))
        bad = "--mix: NAME=N,NAME=N with the names that --help tells";
    else if (o->make_catalogue &&
             (sscanf(o->make_catalogue, "%ux%u%c", &o->skus, &o->locations, &end) != 2 ||
              o->skus < 1 || o->locations < 1 || o->locations > 10000 ||
              (uint64_t)o->skus * o->locations > UINT64_C(1) << 28))
        bad = "--make-catalogue: SKUSxLOCATIONS, such as 1000x2";
    else if (o->handles && (o->audit || o->make_catalogue || o->by_name))
        bad = "--handles knows no names and no stock: no --audit, --make-catalogue or --by-name";
    else if (o->handles && !o->generation)
        bad = "--handles needs the --generation that they are of";
    else if (o->replay && (o->handles || o->make_catalogue))
        bad = "--replay makes its own cells: no --handles or --make-catalogue";
    else if (!transport_read(o->transport, &o->way))
        bad = "--transport: grpc, packet or mixed";
    else if (o->way != SENDER_GRPC && o->by_name)
        bad = "packets carry handles, not names: no --by-name";
    else if (o->packet_eal && (o->way == SENDER_GRPC || o->threads > 1 || !o->packet_local))
        bad = "--packet-eal: with --transport packet or mixed, --packet-local, and one thread";
    else if (o->retry_ms > o->retry_ms_max)
        bad = "--retry-wait is longer than --retry-wait-max";
    if (bad)
        snprintf(why, 200, "%s", bad);
    return bad == NULL;
}

bool options_read(struct options *o, int argc, char **argv, char why[200])
{
    *o = (struct options){0};
    plan_options_default(&o->plan);
    for (size_t i = 0; i < ROWS; i++) {
        const char *variable = rows[i].variable ? getenv(rows[i].variable) : NULL;
        const char *value = variable && variable[0] ? variable : rows[i].standard;
        if (value && !value_set(o, &rows[i], value, why))
            return false;
    }
    for (int at = 1; at < argc; at++)
        if (!argument_take(o, argc, argv, &at, why))
            return false;
    return o->help || o->version || texts_read(o, why);
}

// ------------------------------------------------------------------------------- help

static void row_help(FILE *out, const struct row *r)
{
    char left[48];
    if (r->title) {
        fprintf(out, "\n%s:\n", r->title);
        return;
    }
    snprintf(left, sizeof left, "--%s%s%s", r->name, r->argument ? " " : "",
             r->argument ? r->argument : "");
    fprintf(out, "  %-33s %s", left, r->help);
    if (r->standard && r->standard[0])
        fprintf(out, "; default %s", r->standard);
    if (r->variable)
        fprintf(out, " [%s]", r->variable);
    fputc('\n', out);
}

void options_help(FILE *out)
{
    struct plan_options p;
    plan_options_default(&p);
    fprintf(out, "usage: holdfast-load [OPTION...]\n"
                 "Drives a Holdfast server as its customers would, and holds it to its answers.\n");
    for (size_t i = 0; i < ROWS; i++)
        row_help(out, &rows[i]);
    fprintf(out, "\nScenarios of --mix, and their weights where none is given:\n");
    for (int s = 0; s < PLAN_SCENARIO_COUNT; s++)
        fprintf(out, "  %-10s %3.0f  %s\n", plan_scenario_name((enum plan_scenario)s), p.weights[s],
                plan_scenario_help((enum plan_scenario)s));
    fprintf(out, "\nExit codes:\n");
#define X(code, name, help) fprintf(out, "  %2d  %s\n", code, help);
    OPTIONS_EXIT_TABLE(X)
#undef X
}
