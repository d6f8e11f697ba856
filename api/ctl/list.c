// get, list, holds: reservations as they stand.
#include "ctl/commands.h"

#include "base/limits.h"
#include "ctl/cells.h"
#include "ctl/message_json.h"
#include "ctl/names.h"
#include "ctl/table.h"

#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE      (&holdfast__v1__reservation_service__descriptor)
#define READ_SERVICE (&holdfast__v1__stock_read_service__descriptor)
#define PAGE_MAX     100 // reservations may have 1,024 lines each

static void tell_reservation_lines(struct ctl *c, const Holdfast__V1__Reservation *r,
                                   const struct scales *scales)
{
    static const struct table_column columns[] = {{"SKU", false, true},
                                                  {"LOCATION", false, true},
                                                  {"QUANTITY", true, false},
                                                  {NULL, false, false}};
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < r->n_lines; i++) {
        const Holdfast__V1__ReservationLine *line = r->lines[i];
        char text[FORMAT_BYTES];
        table_add(&t, line->sku);
        table_add(&t, line->location);
        table_add(&t, format_quantity(line->quantity, scales_get(scales, line->sku, line->location),
                                      text));
    }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
}

static void tell_field(FILE *out, const char *name, const char *text)
{
    char clean[256];
    format_clean(text, clean, sizeof clean);
    if (*clean)
        fprintf(out, "%-12s %s\n", name, clean);
}

static enum ctl_exit tell_reservation(struct ctl *c, const Holdfast__V1__Reservation *r)
{
    struct scales_wanted w = {.count = r->n_lines};
    struct scales scales = {0};
    w.skus = ctl_alloc(r->n_lines * sizeof *w.skus);
    w.locations = ctl_alloc(r->n_lines * sizeof *w.locations);
    for (size_t i = 0; i < r->n_lines; i++) {
        w.skus[i] = r->lines[i]->sku;
        w.locations[i] = r->lines[i]->location;
    }
    enum ctl_exit e = scales_fetch(c, &scales, &w, false);
    free(w.skus);
    free(w.locations);
    if (e != CTL_OK) {
        scales_fini(&scales);
        return e;
    }
    FILE *out = c->io.out;
    char time[FORMAT_BYTES], span[FORMAT_BYTES];
    tell_field(out, "reservation", r->reservation_id);
    tell_field(out, "kind", kind_name(r->kind));
    fprintf(out, "%-12s %s, version %" PRIu32 "\n", "state", state_name(r->state), r->version);
    if (r->expires_at_ms)
        fprintf(out, "%-12s %s (%s)\n", "until", format_time(r->expires_at_ms, time),
                format_span(r->expires_in_ms, span));
    if (r->ended_at_ms)
        fprintf(out, "%-12s %s\n", "since", format_time(r->ended_at_ms, time));
    tell_field(out, "channel", r->channel);
    tell_field(out, "reference", r->reference);
    if (r->lines_away)
        fprintf(out, "the lines are no longer in memory: the archive has them\n");
    else
        tell_reservation_lines(c, r, &scales);
    scales_fini(&scales);
    return CTL_OK;
}

enum ctl_exit ctl_get(struct ctl *c)
{
    char id[HF_UUID_TEXT_BYTES];
    if (!read_id(c, c->argv[0], id))
        return CTL_USAGE;
    Holdfast__V1__GetReservationRequest request = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
    request.reservation_id = id;
    Holdfast__V1__GetReservationResponse *reply = ctl_call(c, SERVICE, "GetReservation", &request);
    if (!reply)
        return ctl_failed(c);
    enum ctl_exit e = CTL_OK;
    if (!reply->reservation) {
        (void)ctl_usage(c, "the server's answer has no reservation");
        e = CTL_FAILED;
    } else if (c->json) {
        json_print(message_json(&reply->reservation->base), c->io.out);
    } else {
        e = tell_reservation(c, reply->reservation);
    }
    ctl_free(reply);
    return e;
}

// ------------------------------------------------------------------------------------ lists

struct list {
    struct ctl *c;
    struct table table;
    char token[512];                               // of the next page
    Holdfast__V1__ListReservationsRequest request; // but for the page
    unsigned scale;                                // of the cell that the request names
    uint64_t left;                                 // may still be told
    int64_t quantity_sum;                          // told of that cell
    uint64_t count;
    void (*add)(struct list *l, const Holdfast__V1__Reservation *r, int64_t quantity);
    uint64_t found; // of the whole command
};

// What the reservation has of the cell that the request names.
static int64_t quantity_of(const struct list *l, const Holdfast__V1__Reservation *r)
{
    int64_t sum = 0;
    for (size_t i = 0; i < r->n_lines; i++)
        if (strcmp(r->lines[i]->sku, l->request.sku) == 0 &&
            strcmp(r->lines[i]->location, l->request.location) == 0)
            sum += r->lines[i]->quantity;
    return sum;
}

static void take_page(struct list *l, const Holdfast__V1__ListReservationsResponse *page)
{
    struct ctl *c = l->c;
    for (size_t i = 0; i < page->n_reservations && l->left > 0; i++, l->left--) {
        const Holdfast__V1__Reservation *r = page->reservations[i];
        int64_t quantity = quantity_of(l, r);
        l->quantity_sum += quantity;
        l->count++;
        l->found++;
        if (c->json)
            json_print(message_json(&r->base), c->io.out);
        else
            l->add(l, r, quantity);
    }
    // A page may be empty and still have a successor: titles go with the first line, or at the end.
    if (!c->json && (page->n_reservations > 0 || !page->next_page_token[0]))
        table_print(&l->table, c->io.out, c->io.columns_max);
}

static enum ctl_exit list_pages(struct list *l)
{
    l->token[0] = 0;
    do {
        l->request.page_size = l->left < PAGE_MAX ? (uint32_t)l->left : PAGE_MAX;
        l->request.page_token = l->token;
        Holdfast__V1__ListReservationsResponse *page =
            ctl_call(l->c, SERVICE, "ListReservations", &l->request);
        if (!page)
            return ctl_failed(l->c);
        take_page(l, page);
        snprintf(l->token, sizeof l->token, "%s", page->next_page_token);
        ctl_free(page);
    } while (l->left > 0 && l->token[0]);
    return CTL_OK;
}

// Runs the list once for every location of the SKU that `cell` tells; `done` after each.
static enum ctl_exit list_sku(struct list *l, const char *sku, const char *location,
                              void (*done)(struct list *l, const Holdfast__V1__StockCell *cell))
{
    Holdfast__V1__GetSkuStockRequest request = HOLDFAST__V1__GET_SKU_STOCK_REQUEST__INIT;
    request.sku = (char *)sku;
    Holdfast__V1__GetSkuStockResponse *reply =
        ctl_call(l->c, READ_SERVICE, "GetSkuStock", &request);
    if (!reply)
        return ctl_failed(l->c);
    enum ctl_exit e = CTL_OK;
    size_t matched = 0;
    for (size_t i = 0; i < reply->n_cells && e == CTL_OK && l->left > 0; i++) {
        const Holdfast__V1__StockCell *cell = reply->cells[i];
        if (location && strcmp(location, cell->location) != 0)
            continue;
        matched++;
        l->request.sku = cell->sku;
        l->request.location = cell->location;
        l->scale = l->c->raw || cell->unit_scale > HF_UNIT_SCALE_MAX ? 0 : cell->unit_scale;
        l->quantity_sum = 0;
        l->count = 0;
        e = list_pages(l);
        if (e == CTL_OK && done)
            done(l, cell);
    }
    ctl_free(reply);
    if (e == CTL_OK && matched == 0) {
        (void)ctl_usage(l->c, "there is no cell %s@%s", sku, location ? location : "*");
        return CTL_NOT_FOUND;
    }
    return e;
}

static void add_time(struct table *t, int64_t ms)
{
    char text[FORMAT_BYTES];
    table_add(t, format_time(ms, text));
}

static const struct table_column list_columns[] = {
    {"RESERVATION", false, false},    {"KIND", false, false},     {"STATE", false, false},
    {"CHANNEL", false, true},         {"REFERENCE", false, true}, {"QUANTITY", true, false},
    {"UNTIL OR SINCE", false, false}, {NULL, false, false},
};

static void add_listed(struct list *l, const Holdfast__V1__Reservation *r, int64_t quantity)
{
    char text[FORMAT_BYTES];
    table_add(&l->table, r->reservation_id);
    table_add(&l->table, kind_name(r->kind));
    table_add(&l->table, state_name(r->state));
    table_add(&l->table, r->channel);
    table_add(&l->table, r->reference);
    if (*l->request.sku && !r->lines_away) {
        table_add(&l->table, format_quantity(quantity, l->scale, text));
    } else {
        snprintf(text, sizeof text, "%zu line%s", r->n_lines, r->n_lines == 1 ? "" : "s");
        table_add(&l->table, r->lines_away ? "archived" : text);
    }
    add_time(&l->table, r->expires_at_ms ? r->expires_at_ms : r->ended_at_ms);
}

static bool list_filters(struct list *l)
{
    struct ctl *c = l->c;
    const char *state = c->option[OPT_STATE];
    if (state && !state_parse(state, &l->request.state)) {
        ctl_usage(c, "--state is held, committed, released, expired or rejected, not %s", state);
        return false;
    }
    if (c->option[OPT_CHANNEL])
        l->request.channel = (char *)c->option[OPT_CHANNEL];
    if (c->option[OPT_REFERENCE])
        l->request.reference = (char *)c->option[OPT_REFERENCE];
    return ctl_number(c, OPT_LIMIT, 1, UINT64_MAX, &l->left);
}

enum ctl_exit ctl_list(struct ctl *c)
{
    struct list l = {.c = c,
                     .request = HOLDFAST__V1__LIST_RESERVATIONS_REQUEST__INIT,
                     .left = UINT64_MAX,
                     .add = add_listed};
    if (!list_filters(&l))
        return CTL_USAGE;
    if (c->option[OPT_LOCATION] && !c->option[OPT_SKU])
        return ctl_usage(c, "--location narrows --sku, which is missing");
    table_init(&l.table, list_columns);
    enum ctl_exit e = c->option[OPT_SKU]
                          ? list_sku(&l, c->option[OPT_SKU], c->option[OPT_LOCATION], NULL)
                          : list_pages(&l);
    table_fini(&l.table);
    if (e == CTL_OK && l.found == 0 && c->option[OPT_REFERENCE] && !c->json)
        fprintf(c->io.err,
                "no live hold has this reference; `holdfastctl trace` looks for what was "
                "sold or has ended\n");
    return e;
}

// ------------------------------------------------------------------------------------ holds

static const struct table_column hold_columns[] = {
    {"LOCATION", false, true},     {"QUANTITY", true, false}, {"UNTIL", false, false},
    {"IN", true, false},           {"CHANNEL", false, true},  {"REFERENCE", false, true},
    {"RESERVATION", false, false}, {NULL, false, false},
};

static void add_hold(struct list *l, const Holdfast__V1__Reservation *r, int64_t quantity)
{
    char text[FORMAT_BYTES];
    table_add(&l->table, l->request.location);
    table_add(&l->table, format_quantity(quantity, l->scale, text));
    add_time(&l->table, r->expires_at_ms);
    table_add(&l->table, format_span(r->expires_in_ms, text));
    table_add(&l->table, r->channel);
    table_add(&l->table, r->reference);
    table_add(&l->table, r->reservation_id);
}

// Told after the holds, but read before them: the difference is what has changed meanwhile.
static void hold_total(struct list *l, const Holdfast__V1__StockCell *cell)
{
    char held[FORMAT_BYTES], hand[FORMAT_BYTES], available[FORMAT_BYTES], name[128];
    if (l->c->json)
        return;
    snprintf(name, sizeof name, "%s@%s", cell->sku, cell->location);
    char clean[sizeof name];
    format_clean(name, clean, sizeof clean);
    fprintf(l->c->io.out, "%s: %" PRIu64 " hold%s of %s in all; on hand %s, available %s\n", clean,
            l->count, l->count == 1 ? "" : "s", format_quantity(l->quantity_sum, l->scale, held),
            format_quantity(cell->on_hand, l->scale, hand),
            format_quantity(cell->available, l->scale, available));
}

enum ctl_exit ctl_holds(struct ctl *c)
{
    struct list l = {.c = c,
                     .request = HOLDFAST__V1__LIST_RESERVATIONS_REQUEST__INIT,
                     .left = UINT64_MAX,
                     .add = add_hold};
    if (!list_filters(&l))
        return CTL_USAGE;
    l.request.state = HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_HELD;
    table_init(&l.table, hold_columns);
    enum ctl_exit e = list_sku(&l, c->argv[0], c->argc > 1 ? c->argv[1] : NULL, hold_total);
    table_fini(&l.table);
    return e;
}
