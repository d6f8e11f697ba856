// ErpService, cells below zero: holds out of memory, and sales that the ERP has not booked yet out
// of the outbox.
#include "service/erp.h"

#include "flush/records.h"

#include "core/record.h"

#include <stdlib.h>
#include <string.h>

#define CELLS_MAX 1000
// Of a cell or an order as packed, with all names as long as they may be.
#define ITEM_BYTES_MAX 192
#define ORDERS_MAX     (ANSWER_BYTES_MAX / ITEM_BYTES_MAX - CELLS_MAX)
#define VIEWS          256
#define LOOKS          65536 // between two looks at the deadline

typedef Holdfast__V1__ShortOrder Order;
typedef Holdfast__V1__ShortCell Cell;

struct shortage {
    struct service_local *local;
    struct core *core;
    struct rpc_call *call;
    struct arena *arena;
    struct flush_fates *fates; // NULL: nothing is posted
    uint32_t *handles;         // ascending
    Cell **cells;
    uint32_t count, orders, *room; // room: of each cell's orders
    bool full, cut;                // no more orders; not all cells, or not all orders, are told
    bool given_up;
    struct rpc_error error; // why
};

static int handle_order(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool cells_find(struct shortage *k, const char *location)
{
    uint32_t all = core_cell_count(k->core);
    size_t bytes = strlen(location);
    for (uint32_t h = 0; h < all; h++) {
        struct core_name n;
        struct core_cell c;
        if (core_cell_read(k->core, h, &c) != HF_OK || c.available >= 0 ||
            core_cell_name(k->core, h, &n) != HF_OK ||
            (bytes && (bytes != n.location_bytes || memcmp(location, n.location, bytes) != 0)))
            continue;
        if (k->count == CELLS_MAX) {
            k->cut = true;
            return true;
        }
        Cell *out = arena_take(k->arena, sizeof *out);
        if (!out)
            return false;
        holdfast__v1__short_cell__init(out);
        out->available = c.available;
        out->on_hand = c.on_hand;
        out->held = c.held;
        out->committed = c.committed;
        out->external = c.external;
        k->handles[k->count] = h;
        k->cells[k->count++] = out;
        if (!erp_cell(k->core, k->arena, h, &out->sku, &out->location, &out->unit_scale))
            return false;
    }
    return true;
}

// NULL: no memory, or too many (then full is set).
static Order *order_add(struct shortage *k, uint32_t cell)
{
    Cell *c = k->cells[cell];
    if (k->orders == ORDERS_MAX) {
        k->full = k->cut = true;
        return NULL;
    }
    Order **list = erp_list_grow(k->arena, c->orders, c->n_orders, &k->room[cell]);
    Order *o = arena_take(k->arena, sizeof *o);
    if (!list || !o)
        return NULL;
    c->orders = list;
    holdfast__v1__short_order__init(o);
    c->orders[c->n_orders++] = o;
    k->orders++;
    return o;
}

static bool order_fill(struct shortage *k, Order *o, struct hf_uuid id, uint16_t channel,
                       const char *reference, size_t reference_bytes)
{
    const char *name = core_channel_name(k->core, channel);
    o->reservation_id = erp_uuid(k->arena, id);
    o->channel = name ? arena_text(k->arena, name, strlen(name)) : o->channel;
    o->reference = arena_text(k->arena, reference, reference_bytes);
    return o->reservation_id && o->channel && o->reference;
}

// NULL: the cell is not among the short ones.
static const uint32_t *cell_find(const struct shortage *k, uint32_t handle)
{
    return bsearch(&handle, k->handles, k->count, sizeof *k->handles, handle_order);
}

// False: no memory, or too many (then full is set).
static bool hold_add(struct shortage *k, const struct core_view *v, const struct core_line *lines)
{
    for (uint32_t i = 0; i < v->line_count; i++) {
        const uint32_t *at = cell_find(k, lines[i].handle);
        if (!at || lines[i].quantity == 0)
            continue;
        Order *o = order_add(k, (uint32_t)(at - k->handles));
        if (!o)
            return false;
        o->state = (char *)(uintptr_t) "HELD";
        o->time_ms = hf_uuid_version(v->id) == 7 ? (int64_t)hf_uuid_ms(v->id) : 0;
        o->quantity = lines[i].quantity;
        if (!order_fill(k, o, v->id, v->channel, v->reference, strlen(v->reference)))
            return false;
    }
    return true;
}

// All holds on any of the cells, in one pass.
static enum hf_status holds_find(struct shortage *k, struct core_view *views)
{
    const struct core_filter f = {.by_state = true,
                                  .state = CORE_STATE_HELD,
                                  .handles = k->handles,
                                  .handle_count = k->count,
                                  .looks_max = LOOKS};
    struct core_worker *w = k->local->worker;
    struct core_line lines[HF_LINES_MAX];
    uint64_t cursor = 0;
    do {
        if ((k->given_up = rpc_given_up(k->call, &k->error)))
            return HF_STOPPED;
        uint64_t now_ms = core_now(k->core);
        uint32_t n = core_list(w, &f, &cursor, views, VIEWS);
        for (uint32_t i = 0; i < n; i++) {
            struct core_view v;
            if (core_get(w, now_ms, views[i].id, &v, lines, HF_LINES_MAX) == HF_OK &&
                v.state == CORE_STATE_HELD && !hold_add(k, &v, lines))
                return k->full ? HF_OK : HF_NO_MEMORY;
        }
    } while (cursor);
    return HF_OK;
}

static enum hf_status sale_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *frame)
{
    struct shortage *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    (void)time_ms;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    for (uint32_t i = 0; i < rec->line_count; i++) {
        enum flush_kind kind;
        int64_t quantity;
        const uint32_t *at = cell_find(k, rec->lines[i].handle);
        if (!at || !flush_movement_of(&rec->lines[i], &p, &kind, &quantity) || kind != FLUSH_SALE)
            continue;
        const struct flush_span *s =
            flush_fates_find(k->fates, *at, kind, lsn, core_record_time(rec));
        if (lsn <= flush_fates_taken(k->fates) &&
            (!s || s->where == FLUSH_DISCARDED || s->where == FLUSH_ACKNOWLEDGED))
            continue; // done, or netted
        Order *o = order_add(k, (uint32_t)(at - k->handles));
        if (!o)
            return k->full ? HF_STOPPED : HF_NO_MEMORY;
        o->state = (char *)(uintptr_t) "COMMITTED";
        o->quantity = quantity;
        o->time_ms = (int64_t)core_record_time(rec);
        if (!order_fill(k, o, rec->frame.id, rec->channel, p.reference, p.reference_bytes))
            return HF_NO_MEMORY;
    }
    return HF_OK;
}

static enum hf_status sales_find(struct shortage *k)
{
    uint64_t first = flush_fates_taken(k->fates) + 1;
    uint32_t n;
    const struct flush_span *s = flush_fates_spans(k->fates, &n);
    for (uint32_t i = 0; i < n; i++)
        if (s[i].where != FLUSH_DISCARDED && s[i].first_lsn < first && cell_find(k, s[i].handle))
            first = s[i].first_lsn;
    enum hf_status st = records_walk(k->core, first - 1, core_durable(k->core), sale_visit, k);
    return k->full ? HF_OK : st;
}

static int oldest_first(const void *a, const void *b)
{
    const Order *const *x = a, *const *y = b;
    return (*x)->time_ms < (*y)->time_ms ? -1 : (*x)->time_ms > (*y)->time_ms;
}

static enum hf_status orders_find(struct shortage *k)
{
    struct core_view *views = arena_take(k->arena, VIEWS * sizeof *views);
    k->room = arena_take(k->arena, CELLS_MAX * sizeof *k->room);
    if (!views || !k->room)
        return HF_NO_MEMORY;
    memset(k->room, 0, CELLS_MAX * sizeof *k->room);
    enum hf_status s = holds_find(k, views);
    if (s == HF_OK && k->fates && !k->full)
        s = sales_find(k);
    for (uint32_t i = 0; i < k->count; i++)
        if (k->cells[i]->n_orders)
            qsort(k->cells[i]->orders, k->cells[i]->n_orders, sizeof(void *), oldest_first);
    return s;
}

void erp_short(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListShortRequest *in = (const void *)call->request;
    Holdfast__V1__ListShortResponse out = HOLDFAST__V1__LIST_SHORT_RESPONSE__INIT;
    struct shortage k = {
        .local = local, .core = local_core(local), .call = call, .arena = &call->arena};
    struct service_local *l = local;
    (void)ctx;
    k.handles = arena_take(&call->arena, CELLS_MAX * sizeof *k.handles);
    k.cells = arena_take(&call->arena, CELLS_MAX * sizeof(void *));
    if (!k.handles || !k.cells || !cells_find(&k, in->location)) {
        erp_fail_memory(call);
        return;
    }
    enum hf_status s = HF_OK;
    if (in->orders && k.count) {
        if (l->service->options.desk && !(k.fates = erp_fates(local, call)))
            return;
        s = orders_find(&k);
        flush_fates_destroy(k.fates);
    }
    out.cells = k.cells;
    out.n_cells = k.count;
    out.cut = k.cut;
    if (s == HF_OK)
        rpc_reply(call, &out.base, journal_appended(core_journal(k.core)));
    else if (k.given_up)
        rpc_fail(call, &k.error);
    else
        erp_fail_status(call, s);
}
