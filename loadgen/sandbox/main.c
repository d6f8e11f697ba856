// holdfast-odoo-sandbox: the stand-in behind a socket. A thread a connection; Odoo's prefork server
// answers one request a connection, so by default this one does too.
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BODY_BYTES_MAX  (64u << 20)
#define CONNECTIONS_MAX 256
#define HOLD_SLICE_MS   20

struct server {
    struct sandbox *sandbox;
    bool keep_alive;
    atomic_bool stopping; // lock-free, so a signal may set it
};

static struct server server;

struct upload {
    char *data;
    size_t bytes, room;
    bool too_big;
};

static bool upload_add(struct upload *u, const char *data, size_t bytes)
{
    if (u->bytes + bytes > BODY_BYTES_MAX)
        return false;
    if (u->bytes + bytes > u->room) {
        size_t room = (u->bytes + bytes) * 2;
        char *more = realloc(u->data, room);
        if (!more)
            return false;
        u->data = more;
        u->room = room;
    }
    memcpy(u->data + u->bytes, data, bytes);
    u->bytes += bytes;
    return true;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void hold(uint32_t ms)
{
    while (ms > 0 && !atomic_load(&server.stopping)) {
        uint32_t slice = ms < HOLD_SLICE_MS ? ms : HOLD_SLICE_MS;
        nanosleep(&(struct timespec){0, (long)slice * 1000000}, NULL);
        ms -= slice;
    }
}

static enum MHD_Result deliver(struct MHD_Connection *c, struct sandbox_answer *a)
{
    hold(a->delay_ms);
    if (a->delivery == SANDBOX_CLOSE) {
        free(a->body);
        return MHD_NO;
    }
    struct MHD_Response *r =
        MHD_create_response_from_buffer(a->body_bytes, a->body, MHD_RESPMEM_MUST_FREE);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, "Content-Type", a->content_type ? a->content_type : "text/plain");
    if (!server.keep_alive)
        MHD_add_response_header(r, "Connection", "close");
    enum MHD_Result queued = MHD_queue_response(c, (unsigned)a->status, r);
    MHD_destroy_response(r);
    return queued;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *bytes, void **ctx)
{
    (void)cls;
    (void)version;
    struct upload *u = *ctx;
    if (!u) {
        *ctx = u = calloc(1, sizeof *u);
        return u ? MHD_YES : MHD_NO;
    }
    if (*bytes) {
        u->too_big |= !upload_add(u, data, *bytes);
        *bytes = 0;
        return MHD_YES;
    }
    char path[1024];
    const char *after = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "after");
    snprintf(path, sizeof path, "%s%s%s", url, after ? "?after=" : "", after ? after : "");
    struct sandbox_request r = {
        .method = method,
        .path = path,
        .authorization = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization"),
        .database = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Odoo-Database"),
        .content_type = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Type"),
        .body = u->data,
        .body_bytes = u->bytes,
        .now_ms = now_ms(),
    };
    struct sandbox_answer a = {.status = 413};
    if (!u->too_big)
        sandbox_handle(server.sandbox, &r, &a);
    return deliver(c, &a);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **ctx,
                         enum MHD_RequestTerminationCode code)
{
    (void)cls;
    (void)c;
    (void)code;
    struct upload *u = *ctx;
    if (u)
        free(u->data);
    free(u);
    *ctx = NULL;
}

static void on_signal(int number)
{
    (void)number;
    atomic_store(&server.stopping, true);
}

static int seed(const char *file)
{
    FILE *f = fopen(file, "rb");
    if (!f) {
        fprintf(stderr, "holdfast-odoo-sandbox: cannot open %s\n", file);
        return 1;
    }
    char *text = malloc(BODY_BYTES_MAX);
    size_t n = text ? fread(text, 1, BODY_BYTES_MAX, f) : 0;
    uint32_t line = 0;
    bool fits = text && n < BODY_BYTES_MAX && !ferror(f);
    bool ok = fits && sandbox_seed_csv(server.sandbox, text, n, &line);
    if (!fits)
        fprintf(stderr, "holdfast-odoo-sandbox: %s: cannot be read, or is above 64 MiB\n", file);
    else if (!ok)
        fprintf(stderr, "holdfast-odoo-sandbox: %s:%u: %s\n", file, line,
                sandbox_seed_wrong(server.sandbox));
    free(text);
    fclose(f);
    return ok ? 0 : 1;
}

static const char usage[] =
    "holdfast-odoo-sandbox [options]: a stand-in for Odoo 19's JSON-2 API, in memory\n"
    "  --listen ADDRESS      IPv4 to listen on [127.0.0.1]\n"
    "  --port N              [8069]; 0: any, told on the first line\n"
    "  --database NAME       [odoo]      --uuid UUID   its database.uuid\n"
    "  --key KEY             bearer key [sandbox]\n"
    "  --seed-catalogue FILE default_code,warehouse,quantity[,tracking] a line\n"
    "  --fixed-ms N          of a posting [0]     --line-ms N  and per line [0]\n"
    "  --lookup-ms N         of everything else [0]; --measured: 50, 7 and 7\n"
    "  --no-action           the one-call server action is not installed\n"
    "  --unit-digits N       decimal places of quantities, 0..6 [2]\n"
    "  --odoo N              18 or 19 [19]; 18 answers /jsonrpc only\n"
    "  --keep-alive          keep connections; Odoo's prefork server does not\n"
    "  --log FILE            survives kills: what changes is written there, and done again at "
    "start\n"
    "  --pickings-max N, --moves-max N, --products-max N  bounds of its memory\n"
    "Ends on SIGTERM or SIGINT. Doors under /sandbox/ are in docs/sandbox.md.\n";

struct arguments {
    struct sandbox_options options;
    const char *listen, *catalogue, *log;
    uint16_t port;
};

enum choice {
    LISTEN = 1,
    PORT,
    DATABASE,
    UUID,
    KEY,
    CATALOGUE,
    FIXED,
    LINE,
    LOOKUP,
    MEASURED,
    NO_ACTION,
    UNIT_DIGITS,
    ODOO,
    KEEP_ALIVE,
    PICKINGS,
    MOVES,
    PRODUCTS,
    LOG,
    HELP
};

static uint32_t number_to(const char *text, uint32_t most)
{
    char *end;
    errno = 0;
    unsigned long v = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || v > most) {
        fprintf(stderr, "holdfast-odoo-sandbox: %s is no number 0 .. %u\n", text, most);
        exit(2);
    }
    return (uint32_t)v;
}

static uint32_t number(const char *text)
{
    return number_to(text, UINT32_MAX);
}

static const char *uuid(const char *text)
{
    bool good = strlen(text) == 36;
    for (int i = 0; good && i < 36; i++)
        good = i == 8 || i == 13 || i == 18 || i == 23 ? text[i] == '-'
                                                       : isxdigit((unsigned char)text[i]) != 0;
    if (!good) {
        fprintf(stderr, "holdfast-odoo-sandbox: %s is no UUID\n", text);
        exit(2);
    }
    return text;
}

static void option_take(struct arguments *a, int which, const char *value)
{
    struct sandbox_options *o = &a->options;
    switch ((enum choice)which) {
    case LISTEN:
        a->listen = value;
        break;
    case PORT:
        a->port = (uint16_t)number_to(value, UINT16_MAX);
        break;
    case DATABASE:
        o->database = value;
        break;
    case UUID:
        o->uuid = uuid(value);
        break;
    case KEY:
        o->key = value;
        break;
    case UNIT_DIGITS:
        o->unit_digits = number_to(value, 6);
        break;
    case CATALOGUE:
        a->catalogue = value;
        break;
    case FIXED:
        o->fixed_ms = number(value);
        break;
    case LINE:
        o->line_ms = number(value);
        break;
    case LOOKUP:
        o->lookup_ms = number(value);
        break;
    case MEASURED:
        o->fixed_ms = 50, o->line_ms = 7, o->lookup_ms = 7;
        break;
    case NO_ACTION:
        o->server_action = false;
        break;
    case ODOO:
        o->version = number(value) < 19 ? 18 : 19;
        break;
    case KEEP_ALIVE:
        server.keep_alive = true;
        break;
    case PICKINGS:
        o->pickings_max = number(value);
        break;
    case MOVES:
        o->moves_max = number(value);
        break;
    case PRODUCTS:
        o->products_max = number(value);
        break;
    case LOG:
        a->log = value;
        break;
    case HELP:
        fputs(usage, stdout);
        exit(0);
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

static void parse(int argc, char **argv, struct arguments *a)
{
    static const struct option_row {
        const char *name;
        int has, value;
    } rows[] = {{"listen", 1, LISTEN},
                {"port", 1, PORT},
                {"database", 1, DATABASE},
                {"uuid", 1, UUID},
                {"key", 1, KEY},
                {"seed-catalogue", 1, CATALOGUE},
                {"fixed-ms", 1, FIXED},
                {"line-ms", 1, LINE},
                {"lookup-ms", 1, LOOKUP},
                {"measured", 0, MEASURED},
                {"no-action", 0, NO_ACTION},
                {"unit-digits", 1, UNIT_DIGITS},
                {"odoo", 1, ODOO},
                {"keep-alive", 0, KEEP_ALIVE},
                {"pickings-max", 1, PICKINGS},
                {"moves-max", 1, MOVES},
                {"products-max", 1, PRODUCTS},
                {"log", 1, LOG},
                {"help", 0, HELP}};
    struct option longs[sizeof rows / sizeof *rows + 1] = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        longs[i] = (struct option){rows[i].name, rows[i].has, NULL, rows[i].value};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        option_take(a, c, optarg);
    if (optind != argc)
        option_take(a, -1, NULL);
}

int main(int argc, char **argv)
{
    struct arguments a = {.listen = "127.0.0.1", .port = 8069};
    sandbox_options_default(&a.options);
    parse(argc, argv, &a);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(a.port)};
    if (inet_pton(AF_INET, a.listen, &at.sin_addr) != 1) {
        fprintf(stderr, "holdfast-odoo-sandbox: %s is no IPv4 address\n", a.listen);
        return 2;
    }
    server.sandbox = sandbox_create(&a.options);
    if (!server.sandbox || (a.catalogue && seed(a.catalogue) != 0))
        return 1;
    if (a.log && !sandbox_log(server.sandbox, a.log)) {
        fprintf(stderr, "holdfast-odoo-sandbox: %s: cannot be opened, or not understood\n", a.log);
        return 1;
    }
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct MHD_Daemon *d = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, a.port, NULL, NULL,
        on_request, NULL, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_CONNECTION_LIMIT,
        CONNECTIONS_MAX, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_END);
    if (!d) {
        fprintf(stderr, "holdfast-odoo-sandbox: cannot listen on %s:%u: %s\n", a.listen, a.port,
                strerror(errno));
        return 1;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT);
    printf("listening on http://%s:%u\n", a.listen, info ? info->port : a.port);
    fflush(stdout);
    while (!atomic_load(&server.stopping))
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    MHD_stop_daemon(d);
    sandbox_destroy(server.sandbox);
    return 0;
}
