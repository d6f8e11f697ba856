// watch and health: a stream of availability, and whether the server serves.
#include "ctl/commands.h"

#include "ctl/cells.h"
#include "ctl/message_json.h"
#include "ctl/names.h"

#include "grpc/health/v1/health.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE    (&holdfast__v1__stock_read_service__descriptor)
#define WATCH_MAX  10000
#define BREAKS_MAX 10 // in a row, without a message between
#define PAUSE_MS   500

// A handle's names come once; they are kept, by handle.
struct watched {
    char sku[65], location[33];
    unsigned scale;
    bool known;
};

struct watch {
    struct ctl *c;
    struct watched *cells; // by handle, as far as told
    size_t room;
    uint64_t generation;
    uint64_t left; // lines to tell
    bool complete;
};

static struct watched *watched_at(struct watch *w, uint32_t handle)
{
    if (handle >= w->room) {
        size_t room = w->room ? w->room : 256;
        while (room <= handle)
            room *= 2;
        w->cells = ctl_grow(w->cells, room * sizeof *w->cells);
        memset(w->cells + w->room, 0, (room - w->room) * sizeof *w->cells);
        w->room = room;
    }
    return &w->cells[handle];
}

// Names that this message tells for the first time, with their scales.
static enum ctl_exit learn(struct watch *w, const Holdfast__V1__WatchStockResponse *m)
{
    struct scales scales = {0};
    struct scales_wanted wanted = {.skus = ctl_alloc(m->n_cells * sizeof *wanted.skus),
                                   .locations = ctl_alloc(m->n_cells * sizeof *wanted.locations)};
    for (size_t i = 0; i < m->n_cells; i++)
        if (*m->cells[i]->sku) {
            wanted.skus[wanted.count] = m->cells[i]->sku;
            wanted.locations[wanted.count++] = m->cells[i]->location;
        }
    // Programs get smallest units, people the cell's.
    enum ctl_exit e = w->c->json ? CTL_OK : scales_fetch(w->c, &scales, &wanted, false);
    for (size_t i = 0; i < m->n_cells && e == CTL_OK; i++) {
        const Holdfast__V1__WatchedCell *cell = m->cells[i];
        if (!*cell->sku)
            continue;
        struct watched *to = watched_at(w, cell->handle);
        snprintf(to->sku, sizeof to->sku, "%s", cell->sku);
        snprintf(to->location, sizeof to->location, "%s", cell->location);
        to->scale = scales_get(&scales, cell->sku, cell->location);
        to->known = true;
    }
    scales_fini(&scales);
    free(wanted.skus);
    free(wanted.locations);
    return e;
}

static void tell_watched(struct watch *w, const Holdfast__V1__WatchedCell *cell)
{
    const struct watched *known = watched_at(w, cell->handle);
    FILE *out = w->c->io.out;
    if (w->c->json) {
        json_t *object = message_json(&cell->base);
        json_object_set_new(object, "sku", json_string(known->sku));
        json_object_set_new(object, "location", json_string(known->location));
        char text[24];
        snprintf(text, sizeof text, "%" PRIu64, w->generation);
        json_object_set_new(object, "generation", json_string(text));
        json_print(object, out);
        return;
    }
    char time[FORMAT_BYTES], quantity[FORMAT_BYTES], name[128], clean[128];
    snprintf(name, sizeof name, "%s@%s", known->sku, known->location);
    format_clean(name, clean, sizeof clean);
    fprintf(out, "%s  %12s  %s\n", format_time((int64_t)clock_wall_ms(w->c->io.clock), time),
            format_quantity(cell->available, known->scale, quantity), clean);
}

// False: enough was told.
static bool take_message(struct watch *w, const Holdfast__V1__WatchStockResponse *m,
                         enum ctl_exit *e)
{
    if (m->generation != w->generation && w->room > 0)
        memset(w->cells, 0, w->room * sizeof *w->cells); // the handles mean other cells now
    w->generation = m->generation;
    *e = learn(w, m);
    if (*e != CTL_OK)
        return false;
    for (size_t i = 0; i < m->n_cells && w->left > 0; i++, w->left--)
        tell_watched(w, m->cells[i]);
    fflush(w->c->io.out);
    w->complete = w->complete || m->snapshot_complete;
    return w->left > 0 && !(w->complete && w->c->option[OPT_ONCE]) && !ferror(w->c->io.out);
}

// One stream, until it ends. *told: at least one message came.
static bool watch_once(struct watch *w, const Holdfast__V1__WatchStockRequest *request,
                       uint32_t for_ms, bool *told, enum ctl_exit *e)
{
    struct ctl *c = w->c;
    struct client_stream *s =
        client_stream_open(c->client, SERVICE, "WatchStock", &request->base, for_ms);
    ProtobufCMessage *m;
    bool more = true;
    while (more && client_stream_next(s, &m, &c->status)) {
        *told = true;
        more = take_message(w, (const Holdfast__V1__WatchStockResponse *)m, e);
        ctl_free(m);
    }
    client_stream_close(s);
    return more;
}

static enum ctl_exit watch_cells(struct watch *w, const Holdfast__V1__WatchStockRequest *request)
{
    struct ctl *c = w->c;
    uint32_t for_ms = 0, pause_ms = PAUSE_MS;
    if (!ctl_span(c, OPT_FOR, &for_ms))
        return CTL_USAGE;
    uint64_t end_ns = clock_monotonic_ns(c->io.clock) + (uint64_t)for_ms * 1000000;
    enum ctl_exit e = CTL_OK;
    for (unsigned breaks = 0; breaks < BREAKS_MAX; breaks++) {
        bool told = false;
        if (!watch_once(w, request, for_ms, &told, &e))
            return e;
        uint64_t now_ns = clock_monotonic_ns(c->io.clock);
        if (for_ms && now_ns + UINT64_C(1000000) >= end_ns)
            return CTL_OK; // the time was up, as asked
        for_ms = for_ms ? (uint32_t)((end_ns - now_ns) / 1000000) : 0;
        if (c->status.code != RPC_UNAVAILABLE)
            break;
        if (told)
            breaks = 0;
        fprintf(c->io.err, "the stream broke; it is opened again\n");
        client_pause(pause_ms);
    }
    return c->status.code == RPC_OK ? CTL_OK : ctl_failed(c);
}

enum ctl_exit ctl_watch(struct ctl *c)
{
    Holdfast__V1__WatchStockRequest request = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    struct watch w = {.c = c, .left = UINT64_MAX};
    size_t n = (size_t)c->argc;
    if (n > WATCH_MAX)
        return ctl_usage(c, "at most %d cells; none: all", WATCH_MAX);
    if (!ctl_span(c, OPT_INTERVAL, &request.interval_ms) ||
        !ctl_number(c, OPT_COUNT, 1, UINT64_MAX, &w.left))
        return CTL_USAGE;
    struct format_line *names = ctl_alloc(n * sizeof *names);
    Holdfast__V1__StockName *stock = ctl_alloc(n * sizeof *stock), **list;
    list = ctl_alloc(n * sizeof(void *));
    enum ctl_exit e = CTL_OK;
    for (size_t i = 0; i < n && e == CTL_OK; i++) {
        const char *why;
        if (!parse_line(c->argv[i], &names[i], &why) || names[i].quantity)
            e = ctl_usage(c, "%s: a cell is SKU@LOCATION", c->argv[i]);
        stock[i] = (Holdfast__V1__StockName)HOLDFAST__V1__STOCK_NAME__INIT;
        stock[i].sku = names[i].sku;
        stock[i].location = names[i].location;
        list[i] = &stock[i];
    }
    request.n_stock = n;
    request.stock = list;
    if (e == CTL_OK)
        e = watch_cells(&w, &request);
    free(names);
    free(stock);
    free(list);
    free(w.cells);
    return e;
}

enum ctl_exit ctl_health(struct ctl *c)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    uint64_t begin_ns = clock_monotonic_ns(c->io.clock);
    Grpc__Health__V1__HealthCheckResponse *reply =
        ctl_call(c, &grpc__health__v1__health__descriptor, "Check", &request);
    if (!reply)
        return ctl_failed(c);
    double ms = (double)(clock_monotonic_ns(c->io.clock) - begin_ns) / 1e6;
    bool serving =
        reply->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    if (c->json)
        json_print(message_json(&reply->base), c->io.out);
    else
        fprintf(c->io.out, "%s at %s, %.1f ms\n", serving ? "serving" : "not serving", c->address,
                ms);
    ctl_free(reply);
    return serving ? CTL_OK : CTL_UNREACHED;
}
