// Reading stock. Values are the live ones: each cell adds up, and decisions whose own answers still
// wait for the disk are in them. WatchStock tells the durable ones.
#include "service/service_internal.h"

#include <stdio.h>
#include <string.h>

#define BATCH_MAX     1000
#define PAGE_SIZE     100
#define PAGE_SIZE_MAX 1000
#define PAGE_LOOKS    65536 // cells looked at for one page

typedef Holdfast__V1__StockCell Cell;

// ------------------------------------------------------------------------------- cells

static bool cell_names(struct core *c, struct arena *a, uint32_t handle, Cell *out)
{
    struct core_name name;
    if (core_cell_name(c, handle, &name) != HF_OK)
        return false;
    out->sku = arena_text(a, name.sku, name.sku_bytes);
    out->location = arena_text(a, name.location, name.location_bytes);
    return out->sku && out->location;
}

static void cell_values(struct core *c, uint32_t handle, const struct core_cell *cell, Cell *out)
{
    out->handle = handle;
    out->generation = core_generation(c);
    out->unit_scale = cell->scale;
    out->active = cell->active;
    out->available = cell->available;
    out->on_hand = cell->on_hand;
    out->held = cell->held;
    out->committed = cell->committed;
    out->external = cell->external;
    out->safety_stock = cell->safety;
    out->backorder_limit = cell->backorder;
    out->unsettled = cell->unsettled;
}

// NULL: no memory. The cell exists.
static Cell *cell_make(struct core *c, struct arena *a, uint32_t handle,
                       const struct core_cell *cell)
{
    Cell *out = arena_take(a, sizeof *out);
    if (!out)
        return NULL;
    holdfast__v1__stock_cell__init(out);
    cell_values(c, handle, cell, out);
    return cell_names(c, a, handle, out) ? out : NULL;
}

static bool cell_find(struct service_local *l, const struct rpc_call *call,
                      const Holdfast__V1__StockName *name, const char *field, uint32_t *handle,
                      struct core_cell *cell, struct rpc_error *error)
{
    struct stock_ref ref = {name->sku, name->location, name->handle, name->generation};
    if (!convert_stock(l, call->who, &ref, field, handle, error))
        return false;
    enum hf_status s = core_cell_read(local_core(l), *handle, cell);
    HF_ASSERT(s == HF_OK); // cells never go
    return true;
}

void stock_get(struct service_local *l, struct rpc_call *call)
{
    const Holdfast__V1__GetStockRequest *in = (const void *)call->request;
    Holdfast__V1__GetStockResponse out = HOLDFAST__V1__GET_STOCK_RESPONSE__INIT;
    struct core_cell cell;
    struct rpc_error error;
    uint32_t handle;
    if (!in->stock) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "stock", "which cell to tell is needed");
        return;
    }
    if (!cell_find(l, call, in->stock, "stock", &handle, &cell, &error)) {
        rpc_fail(call, &error);
        return;
    }
    out.cell = cell_make(local_core(l), &call->arena, handle, &cell);
    if (out.cell)
        rpc_reply(call, &out.base, 0);
    else
        call_fail_memory(call);
}

static bool batch_result(struct service_local *l, struct rpc_call *call,
                         const Holdfast__V1__StockName *name, size_t index,
                         Holdfast__V1__StockResult *out)
{
    struct core_cell cell;
    struct rpc_error error;
    char field[32];
    uint32_t handle;
    holdfast__v1__stock_result__init(out);
    snprintf(field, sizeof field, "stock[%zu]", index);
    if (cell_find(l, call, name, field, &handle, &cell, &error)) {
        out->result_case = HOLDFAST__V1__STOCK_RESULT__RESULT_CELL;
        out->cell = cell_make(local_core(l), &call->arena, handle, &cell);
        return out->cell != NULL;
    }
    out->result_case = HOLDFAST__V1__STOCK_RESULT__RESULT_ERROR;
    out->error = convert_error(&call->arena, &error);
    return out->error != NULL;
}

void stock_batch_get(struct service_local *l, struct rpc_call *call)
{
    const Holdfast__V1__BatchGetStockRequest *in = (const void *)call->request;
    Holdfast__V1__BatchGetStockResponse out = HOLDFAST__V1__BATCH_GET_STOCK_RESPONSE__INIT;
    if (in->n_stock == 0 || in->n_stock > BATCH_MAX) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "stock", "1..1,000 cells");
        return;
    }
    Holdfast__V1__StockResult *results = arena_take(&call->arena, in->n_stock * sizeof *results);
    out.results = arena_take(&call->arena, in->n_stock * sizeof(void *));
    bool enough = results && out.results;
    for (size_t i = 0; enough && i < in->n_stock; i++) {
        out.results[i] = &results[i];
        enough = batch_result(l, call, in->stock[i], i, &results[i]);
    }
    out.n_results = in->n_stock;
    if (enough)
        rpc_reply(call, &out.base, 0);
    else
        call_fail_memory(call);
}

// ------------------------------------------------------------------------------- lists

static bool list_wants(const struct rpc_call *call, struct core *c, uint32_t handle,
                       const Holdfast__V1__ListStockRequest *in, struct core_cell *cell)
{
    struct core_name name;
    if (core_cell_name(c, handle, &name) != HF_OK || core_cell_read(c, handle, cell) != HF_OK)
        return false;
    size_t bytes = strlen(in->location);
    if (bytes && (bytes != name.location_bytes || memcmp(in->location, name.location, bytes) != 0))
        return false;
    return (!in->short_only || cell->available < 0) &&
           auth_location_ok(call->who, name.location, name.location_bytes);
}

static bool list_fill(struct core *c, struct rpc_call *call,
                      const Holdfast__V1__ListStockRequest *in, uint32_t at, uint32_t size,
                      Holdfast__V1__ListStockResponse *out)
{
    uint32_t count = core_cell_count(c);
    uint32_t end = count - at > PAGE_LOOKS ? at + PAGE_LOOKS : count;
    struct core_cell cell;
    out->cells = arena_take(&call->arena, size * sizeof(void *));
    if (!out->cells)
        return false;
    for (; at < end && out->n_cells < size; at++) {
        if (!list_wants(call, c, at, in, &cell))
            continue;
        out->cells[out->n_cells] = cell_make(c, &call->arena, at, &cell);
        if (!out->cells[out->n_cells++])
            return false;
    }
    if (at == count)
        return true;
    out->next_page_token = page_token_make(&call->arena, core_generation(c), at);
    return out->next_page_token != NULL;
}

void stock_list(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListStockRequest *in = (const void *)call->request;
    Holdfast__V1__ListStockResponse out = HOLDFAST__V1__LIST_STOCK_RESPONSE__INIT;
    struct core *c = local_core(local);
    uint32_t at, size = in->page_size ? in->page_size : PAGE_SIZE;
    size_t bytes = strlen(in->location);
    (void)ctx;
    if (size > PAGE_SIZE_MAX)
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_size", "1..1,000");
    else if (bytes > HF_LOCATION_BYTES_MAX)
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "location", "at most 32 bytes");
    else if (!page_token_read(in->page_token, core_generation(c), &at) || at > core_cell_count(c))
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_token",
                  "not one that this list gave out");
    else if (bytes && !auth_location_ok(call->who, in->location, bytes))
        call_fail(call, RPC_PERMISSION_DENIED, "LOCATION", "location",
                  "this key is limited to other locations");
    else if (list_fill(c, call, in, at, size, &out))
        rpc_reply(call, &out.base, names_ticket(c));
    else
        call_fail_memory(call);
}

// ------------------------------------------------------------------------------- one SKU

// Some hundred cells at their limits would not fit: then the sum stays at the largest number.
static void sum(int64_t *total, int64_t value)
{
    int64_t out;
    if (__builtin_add_overflow(*total, value, &out))
        out = value < 0 ? INT64_MIN : INT64_MAX;
    *total = out;
}

static void total_add(Cell *total, const Cell *cell)
{
    sum(&total->available, cell->available);
    sum(&total->on_hand, cell->on_hand);
    sum(&total->held, cell->held);
    sum(&total->committed, cell->committed);
    sum(&total->external, cell->external);
    sum(&total->safety_stock, cell->safety_stock);
    sum(&total->backorder_limit, cell->backorder_limit);
    total->unit_scale = cell->unit_scale;
    total->active |= cell->active;
    total->unsettled |= cell->unsettled;
}

static bool sku_fill(struct core *c, struct rpc_call *call, const uint32_t *handles, uint32_t count,
                     Holdfast__V1__GetSkuStockResponse *out)
{
    struct core_cell cell;
    size_t left = ANSWER_BYTES_MAX - ANSWER_ITEM_BYTES; // the total is not larger than a cell
    out->cells = arena_take(&call->arena, count * sizeof(void *));
    for (uint32_t i = 0; out->cells && i < count; i++) {
        struct core_name name;
        if (core_cell_name(c, handles[i], &name) != HF_OK ||
            core_cell_read(c, handles[i], &cell) != HF_OK ||
            !auth_location_ok(call->who, name.location, name.location_bytes))
            continue;
        Cell *made = cell_make(c, &call->arena, handles[i], &cell);
        if (!made)
            return false;
        total_add(out->total, made);
        if (answer_room(&left, &made->base))
            out->cells[out->n_cells++] = made;
        else
            out->cells_left_out++;
    }
    return out->cells != NULL;
}

void stock_sku(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__GetSkuStockRequest *in = (const void *)call->request;
    Holdfast__V1__GetSkuStockResponse out = HOLDFAST__V1__GET_SKU_STOCK_RESPONSE__INIT;
    Cell total = HOLDFAST__V1__STOCK_CELL__INIT;
    struct core *c = local_core(local);
    size_t bytes = strlen(in->sku);
    (void)ctx;
    if (bytes == 0 || bytes > HF_SKU_BYTES_MAX) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "sku", "1..64 bytes");
        return;
    }
    uint32_t count = core_sku_cells(c, in->sku, (uint32_t)bytes, NULL, 0);
    uint32_t *handles = arena_take(&call->arena, (count + 1) * sizeof *handles);
    uint32_t now = handles ? core_sku_cells(c, in->sku, (uint32_t)bytes, handles, count) : 0;
    count = now < count ? now : count;
    total.sku = in->sku;
    total.generation = core_generation(c);
    out.total = &total;
    if (!handles || !sku_fill(c, call, handles, count, &out))
        call_fail_memory(call);
    else if (out.n_cells == 0)
        call_fail(call, RPC_NOT_FOUND, "UNKNOWN_STOCK", "sku", "no cell has this SKU");
    else
        rpc_reply(call, &out.base, names_ticket(c));
}
