#include "ctl/cells.h"

#include "base/limits.h"
#include "holdfast/v1/stock_read.pb-c.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 1000 // of one BatchGetStock

#define READ_SERVICE (&holdfast__v1__stock_read_service__descriptor)

void scales_fini(struct scales *s)
{
    free(s->list);
    *s = (struct scales){0};
}

static const struct scale *find(const struct scales *s, const char *sku, const char *location)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->list[i].sku, sku) == 0 && strcmp(s->list[i].location, location) == 0)
            return &s->list[i];
    return NULL;
}

unsigned scales_get(const struct scales *s, const char *sku, const char *location)
{
    const struct scale *found = find(s, sku, location);
    return found ? found->scale : 0;
}

static void remember(struct scales *s, const char *sku, const char *location, unsigned scale)
{
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->list = ctl_grow(s->list, s->room * sizeof *s->list);
    }
    struct scale *to = &s->list[s->count++];
    snprintf(to->sku, sizeof to->sku, "%s", sku);
    snprintf(to->location, sizeof to->location, "%s", location);
    to->scale = scale <= HF_UNIT_SCALE_MAX ? scale : 0;
}

// One result. An error other than a missing cell is the whole command's.
static enum ctl_exit take_result(struct ctl *c, struct scales *s,
                                 const Holdfast__V1__StockName *name,
                                 const Holdfast__V1__StockResult *r, bool must)
{
    if (r->result_case == HOLDFAST__V1__STOCK_RESULT__RESULT_CELL) {
        remember(s, name->sku, name->location, r->cell->unit_scale);
        return CTL_OK;
    }
    const Holdfast__V1__Error *error =
        r->result_case == HOLDFAST__V1__STOCK_RESULT__RESULT_ERROR ? r->error : NULL;
    if (error && error->code == RPC_NOT_FOUND && !must) {
        remember(s, name->sku, name->location, 0);
        return CTL_OK;
    }
    c->status = (struct client_status){.code = error ? error->code : RPC_INTERNAL, .tries = 1};
    snprintf(c->status.message, sizeof c->status.message, "%s@%s: %s", name->sku, name->location,
             error ? error->message : "the server told neither a cell nor an error");
    snprintf(c->status.reason, sizeof c->status.reason, "%s", error ? error->reason : "");
    return ctl_failed(c);
}

static enum ctl_exit fetch_some(struct ctl *c, struct scales *s, Holdfast__V1__StockName **names,
                                size_t count, bool must)
{
    Holdfast__V1__BatchGetStockRequest request = HOLDFAST__V1__BATCH_GET_STOCK_REQUEST__INIT;
    request.n_stock = count;
    request.stock = names;
    Holdfast__V1__BatchGetStockResponse *reply =
        ctl_call(c, READ_SERVICE, "BatchGetStock", &request);
    if (!reply)
        return ctl_failed(c);
    enum ctl_exit e = CTL_OK;
    for (size_t i = 0; i < count && e == CTL_OK; i++) {
        static const Holdfast__V1__StockResult nothing = HOLDFAST__V1__STOCK_RESULT__INIT;
        e = take_result(c, s, names[i], i < reply->n_results ? reply->results[i] : &nothing, must);
    }
    ctl_free(reply);
    return e;
}

enum ctl_exit scales_fetch(struct ctl *c, struct scales *s, const struct scales_wanted *w,
                           bool must)
{
    Holdfast__V1__StockName names[NAMES_MAX], *list[NAMES_MAX];
    size_t count = 0;
    enum ctl_exit e = CTL_OK;
    for (size_t i = 0; i < w->count && (!c->raw || w->even_raw) && e == CTL_OK; i++) {
        bool known = find(s, w->skus[i], w->locations[i]) != NULL;
        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(names[k].sku, w->skus[i]) == 0 &&
                    strcmp(names[k].location, w->locations[i]) == 0;
        if (!known) {
            names[count] = (Holdfast__V1__StockName)HOLDFAST__V1__STOCK_NAME__INIT;
            names[count].sku = (char *)w->skus[i];
            names[count].location = (char *)w->locations[i];
            list[count] = &names[count];
            count++;
        }
        if (count == NAMES_MAX) {
            e = fetch_some(c, s, list, count, must);
            count = 0;
        }
    }
    return e == CTL_OK && count > 0 ? fetch_some(c, s, list, count, must) : e;
}

static enum ctl_exit read_names(struct ctl *c, int first, struct lines *l)
{
    if (l->count > HF_LINES_MAX)
        return ctl_usage(c, "at most %d lines", HF_LINES_MAX);
    for (size_t i = 0; i < l->count; i++) {
        const char *why, *text = c->argv[first + (int)i];
        if (!parse_line(text, &l->names[i], &why))
            return ctl_usage(c, "%s: %s", text, why);
        if (!l->names[i].quantity)
            return ctl_usage(c, "%s: a line needs =QUANTITY", text);
    }
    return CTL_OK;
}

static enum ctl_exit read_quantities(struct ctl *c, int first, struct lines *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct format_line *n = &l->names[i];
        const char *why = "must be more than 0";
        int64_t quantity;
        if (!parse_quantity(n->quantity, scales_get(&l->scales, n->sku, n->location), &quantity,
                            &why) ||
            quantity <= 0)
            return ctl_usage(c, "%s: the quantity %s", c->argv[first + (int)i], why);
        l->messages[i] = (Holdfast__V1__Line)HOLDFAST__V1__LINE__INIT;
        l->messages[i].sku = (char *)n->sku;
        l->messages[i].location = (char *)n->location;
        l->messages[i].quantity = quantity;
        l->list[i] = &l->messages[i];
    }
    return CTL_OK;
}

enum ctl_exit lines_read(struct ctl *c, int first, struct lines *l)
{
    *l = (struct lines){.count = (size_t)(c->argc - first)};
    if (l->count == 0)
        return CTL_OK;
    l->names = ctl_alloc(l->count * sizeof *l->names);
    l->messages = ctl_alloc(l->count * sizeof *l->messages);
    l->list = ctl_alloc(l->count * sizeof(void *));
    enum ctl_exit e = read_names(c, first, l);
    if (e == CTL_OK) {
        struct scales_wanted w = {.count = l->count};
        w.skus = ctl_alloc(l->count * sizeof *w.skus);
        w.locations = ctl_alloc(l->count * sizeof *w.locations);
        for (size_t i = 0; i < l->count; i++) {
            w.skus[i] = l->names[i].sku;
            w.locations[i] = l->names[i].location;
        }
        e = scales_fetch(c, &l->scales, &w, true);
        free(w.skus);
        free(w.locations);
    }
    return e == CTL_OK ? read_quantities(c, first, l) : e;
}

void lines_fini(struct lines *l)
{
    free(l->names);
    free(l->messages);
    free(l->list);
    scales_fini(&l->scales);
}
