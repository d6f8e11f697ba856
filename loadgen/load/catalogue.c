#include "load/catalogue.h"

#include "base/prng.h"
#include "base/uuid.h"
#include "sys/clock.h"

#include "holdfast/v1/stock_admin.pb-c.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 1000

static bool fail(struct catalogue *c, const char *what)
{
    c->error.code = LINK_INTERNAL;
    snprintf(c->error.message, sizeof c->error.message, "%s", what);
    return false;
}

static void progress(struct catalogue *c, uint64_t done, uint64_t total)
{
    if (c->progress)
        c->progress(c->ctx, done, total);
}

bool catalogue_name(struct cells *cells, uint32_t skus, uint32_t locations)
{
    for (uint32_t s = 1; s <= skus; s++)
        for (uint32_t l = 1; l <= locations; l++) {
            char sku[24], location[16];
            snprintf(sku, sizeof sku, "SKU-%07u", s);
            snprintf(location, sizeof location, "L-%02u", l);
            if (!cells_add(cells, sku, location))
                return false;
        }
    return true;
}

// ------------------------------------------------------------------------------- import

struct import {
    Holdfast__V1__ImportStockRow rows[ROWS_MAX], *refs[ROWS_MAX];
    Holdfast__V1__OptionalQuantity on_hand[ROWS_MAX];
    char ids[ROWS_MAX][HF_UUID_TEXT_BYTES];
    struct prng random;
};

static bool import_results(struct catalogue *c, uint32_t first,
                           const Holdfast__V1__ImportStockResponse *reply, uint32_t count)
{
    if (reply->n_results != count)
        return fail(c, "ImportStock: not one result a row");
    for (uint32_t i = 0; i < count; i++) {
        const Holdfast__V1__Error *e = reply->results[i]->error;
        if (e) {
            c->error.code = e->code;
            snprintf(c->error.message, sizeof c->error.message, "cell %s, %s: %.60s: %.100s",
                     c->cells->list[first + i].sku, c->cells->list[first + i].location, e->reason,
                     e->message);
            return false;
        }
        if (cells_handle(c->cells, first + i, reply->results[i]->handle) != HF_OK)
            return fail(c, "a handle beyond what a directory holds");
    }
    c->cells->generation = reply->generation;
    return true;
}

// A row that met a full queue is asked again: its ids are the same, and it acts once.
static bool import_send(struct catalogue *c, struct import *m, uint32_t first, uint32_t count)
{
    Holdfast__V1__ImportStockRequest request = HOLDFAST__V1__IMPORT_STOCK_REQUEST__INIT;
    ProtobufCMessage *reply;
    request.rows = m->refs;
    request.n_rows = count;
    request.reason = (char *)(uintptr_t) "load catalogue";
    for (int tries = 0;; tries++) {
        if (!ask(c->asker, "StockAdminService/ImportStock", &request.base,
                 &holdfast__v1__import_stock_response__descriptor, &reply, &c->error))
            return false;
        bool ok = import_results(c, first, (const void *)reply, count);
        protobuf_c_message_free_unpacked(reply, NULL);
        if (ok || tries == 20 || !link_code_again(c->error.code))
            return ok;
    }
}

bool catalogue_import(struct catalogue *c, int64_t (*stock)(const void *ctx, uint32_t cell),
                      const void *ctx, uint64_t seed)
{
    struct import *m = calloc(1, sizeof *m);
    bool ok = m != NULL;
    if (!ok)
        return fail(c, "no memory");
    m->random.state = seed;
    for (uint32_t first = 0; first < c->cells->count && ok; first += ROWS_MAX) {
        uint32_t count = c->cells->count - first;
        count = count < ROWS_MAX ? count : ROWS_MAX;
        for (uint32_t i = 0; i < count; i++) {
            const struct cell *cell = &c->cells->list[first + i];
            holdfast__v1__import_stock_row__init(&m->rows[i]);
            holdfast__v1__optional_quantity__init(&m->on_hand[i]);
            hf_uuid_format(
                hf_uuid_v7(clock_wall_ms(clock_os()), prng_next(&m->random), prng_next(&m->random)),
                m->ids[i]);
            m->rows[i].operation_id = m->ids[i];
            m->rows[i].sku = (char *)(uintptr_t)cell->sku;
            m->rows[i].location = (char *)(uintptr_t)cell->location;
            m->on_hand[i].value = stock(ctx, first + i);
            m->rows[i].on_hand = &m->on_hand[i];
            m->refs[i] = &m->rows[i];
        }
        ok = import_send(c, m, first, count);
        progress(c, first + count, c->cells->count);
    }
    free(m);
    return ok;
}

// ------------------------------------------------------------------------------- reading

static void values_of(const Holdfast__V1__StockCell *m, struct cell_values *out)
{
    *out = (struct cell_values){.available = m->available,
                                .on_hand = m->on_hand,
                                .held = m->held,
                                .committed = m->committed,
                                .external = m->external,
                                .safety = m->safety_stock,
                                .backorder = m->backorder_limit,
                                .unsettled = m->unsettled};
}

static bool page_add(struct catalogue *c, const Holdfast__V1__ListStockResponse *page)
{
    for (size_t i = 0; i < page->n_cells; i++) {
        const Holdfast__V1__StockCell *m = page->cells[i];
        struct cell *cell = cells_add(c->cells, m->sku, m->location);
        if (!cell || cells_handle(c->cells, c->cells->count - 1, m->handle) != HF_OK)
            return fail(c, "no memory for the catalogue");
        values_of(m, &cell->begin);
        c->cells->generation = m->generation;
    }
    return true;
}

bool catalogue_list(struct catalogue *c, const char *location)
{
    Holdfast__V1__ListStockRequest request = HOLDFAST__V1__LIST_STOCK_REQUEST__INIT;
    char token[80] = "";
    bool ok = true;
    request.location = (char *)(uintptr_t)location;
    request.page_size = ROWS_MAX;
    do {
        ProtobufCMessage *reply;
        request.page_token = token;
        if (!ask(c->asker, "StockReadService/ListStock", &request.base,
                 &holdfast__v1__list_stock_response__descriptor, &reply, &c->error))
            return false;
        const Holdfast__V1__ListStockResponse *page = (const void *)reply;
        ok = page_add(c, page);
        snprintf(token, sizeof token, "%s", page->next_page_token);
        protobuf_c_message_free_unpacked(reply, NULL);
        progress(c, c->cells->count, 0);
    } while (ok && token[0]);
    return ok;
}

static bool read_results(struct catalogue *c, const Holdfast__V1__BatchGetStockResponse *reply,
                         uint32_t count, struct cell_values *out)
{
    if (reply->n_results != count)
        return fail(c, "BatchGetStock: not one result a name");
    for (uint32_t i = 0; i < count; i++) {
        const Holdfast__V1__StockResult *r = reply->results[i];
        if (r->result_case != HOLDFAST__V1__STOCK_RESULT__RESULT_CELL)
            return fail(c, "BatchGetStock: a cell that was there is gone");
        values_of(r->cell, &out[i]);
    }
    return true;
}

bool catalogue_read(struct catalogue *c, const uint32_t *indexes, uint32_t count,
                    struct cell_values *out)
{
    Holdfast__V1__BatchGetStockRequest request = HOLDFAST__V1__BATCH_GET_STOCK_REQUEST__INIT;
    Holdfast__V1__StockName *names = calloc(ROWS_MAX, sizeof *names);
    Holdfast__V1__StockName **refs = calloc(ROWS_MAX, sizeof *refs);
    bool ok = names && refs ? true : fail(c, "no memory");
    request.stock = refs;
    for (uint32_t first = 0; first < count && ok; first += ROWS_MAX) {
        uint32_t n = count - first < ROWS_MAX ? count - first : ROWS_MAX;
        ProtobufCMessage *reply;
        for (uint32_t i = 0; i < n; i++) {
            const struct cell *cell = &c->cells->list[indexes[first + i]];
            holdfast__v1__stock_name__init(&names[i]);
            if (cell->has_handle) {
                names[i].handle = cell->handle;
                names[i].generation = c->cells->generation;
            } else {
                names[i].sku = (char *)(uintptr_t)cell->sku;
                names[i].location = (char *)(uintptr_t)cell->location;
            }
            refs[i] = &names[i];
        }
        request.n_stock = n;
        ok = ask(c->asker, "StockReadService/BatchGetStock", &request.base,
                 &holdfast__v1__batch_get_stock_response__descriptor, &reply, &c->error);
        if (!ok)
            break;
        ok = read_results(c, (const void *)reply, n, out + first);
        protobuf_c_message_free_unpacked(reply, NULL);
        progress(c, first + n, count);
    }
    free(names);
    free(refs);
    return ok;
}

bool catalogue_begin(struct catalogue *c)
{
    uint32_t n = c->cells->count;
    uint32_t *all = calloc(n + 1, sizeof *all);
    struct cell_values *values = calloc(n + 1, sizeof *values);
    bool ok = all && values ? true : fail(c, "no memory");
    for (uint32_t i = 0; i < n && ok; i++)
        all[i] = i;
    ok = ok && catalogue_read(c, all, n, values);
    for (uint32_t i = 0; i < n && ok; i++)
        c->cells->list[i].begin = values[i];
    free(all);
    free(values);
    return ok;
}
