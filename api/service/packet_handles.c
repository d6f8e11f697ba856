// The directory: names of stock into the handles that packets carry.
//
// Cells never go and never change their names within a generation, so that what is told here stays
// true for as long as the generation does. Every answer waits until all handles are on the disk.
#include "service/service_internal.h"

#include <stdio.h>
#include <string.h>

#define NAMES_MAX     1000
#define PAGE_SIZE     100
#define PAGE_SIZE_MAX 1000
#define PAGE_LOOKS    65536 // cells looked at for one page

typedef Holdfast__V1__StockHandle Handle;

// NULL: no memory. The cell exists.
static Handle *handle_make(struct core *c, struct arena *a, uint32_t handle)
{
    struct core_name name;
    struct core_cell cell;
    Handle *out = arena_take(a, sizeof *out);
    enum hf_status named = core_cell_name(c, handle, &name);
    enum hf_status read = core_cell_read(c, handle, &cell);
    HF_ASSERT(named == HF_OK && read == HF_OK); // cells never go
    if (!out)
        return NULL;
    holdfast__v1__stock_handle__init(out);
    out->sku = arena_text(a, name.sku, name.sku_bytes);
    out->location = arena_text(a, name.location, name.location_bytes);
    out->handle = handle;
    out->unit_scale = cell.scale;
    out->active = cell.active;
    return out->sku && out->location ? out : NULL;
}

static bool handle_result(struct service_local *l, struct rpc_call *call, size_t index,
                          const Holdfast__V1__StockName *name, Holdfast__V1__HandleResult *out)
{
    struct stock_ref ref = {name->sku, name->location, name->handle, name->generation};
    struct rpc_error error;
    char field[32];
    uint32_t handle;
    holdfast__v1__handle_result__init(out);
    snprintf(field, sizeof field, "stock[%zu]", index);
    if (convert_stock(l, call->who, &ref, field, &handle, &error)) {
        out->result_case = HOLDFAST__V1__HANDLE_RESULT__RESULT_HANDLE;
        out->handle = handle_make(local_core(l), &call->arena, handle);
        return out->handle != NULL;
    }
    out->result_case = HOLDFAST__V1__HANDLE_RESULT__RESULT_ERROR;
    out->error = convert_error(&call->arena, &error);
    return out->error != NULL;
}

void packet_get_handles(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__GetHandlesRequest *in = (const void *)call->request;
    Holdfast__V1__GetHandlesResponse out = HOLDFAST__V1__GET_HANDLES_RESPONSE__INIT;
    struct service_local *l = local;
    (void)ctx;
    if (in->n_stock == 0 || in->n_stock > NAMES_MAX) {
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "stock", "1..1,000 names");
        return;
    }
    Holdfast__V1__HandleResult *results = arena_take(&call->arena, in->n_stock * sizeof *results);
    out.results = arena_take(&call->arena, in->n_stock * sizeof(void *));
    bool enough = results && out.results;
    for (size_t i = 0; enough && i < in->n_stock; i++) {
        out.results[i] = &results[i];
        enough = handle_result(l, call, i, in->stock[i], &results[i]);
    }
    out.n_results = in->n_stock;
    out.generation = core_generation(local_core(l));
    if (enough)
        rpc_reply(call, &out.base, names_ticket(local_core(l)));
    else
        call_fail_memory(call);
}

// ------------------------------------------------------------------------------- all

static bool list_wants(const struct rpc_call *call, struct core *c, uint32_t handle,
                       const char *location)
{
    struct core_name name;
    if (core_cell_name(c, handle, &name) != HF_OK)
        return false;
    size_t bytes = strlen(location);
    if (bytes && (bytes != name.location_bytes || memcmp(location, name.location, bytes) != 0))
        return false;
    return auth_location_ok(call->who, name.location, name.location_bytes);
}

static bool list_fill(struct core *c, struct rpc_call *call, uint32_t at, uint32_t size,
                      Holdfast__V1__ListHandlesResponse *out)
{
    const Holdfast__V1__ListHandlesRequest *in = (const void *)call->request;
    uint32_t count = core_cell_count(c);
    uint32_t end = count - at > PAGE_LOOKS ? at + PAGE_LOOKS : count;
    out->handles = arena_take(&call->arena, size * sizeof(void *));
    if (!out->handles)
        return false;
    for (; at < end && out->n_handles < size; at++) {
        if (!list_wants(call, c, at, in->location))
            continue;
        out->handles[out->n_handles] = handle_make(c, &call->arena, at);
        if (!out->handles[out->n_handles++])
            return false;
    }
    if (at == count)
        return true;
    out->next_page_token = page_token_make(&call->arena, core_generation(c), at);
    return out->next_page_token != NULL;
}

void packet_list_handles(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__ListHandlesRequest *in = (const void *)call->request;
    Holdfast__V1__ListHandlesResponse out = HOLDFAST__V1__LIST_HANDLES_RESPONSE__INIT;
    struct core *c = local_core(local);
    uint32_t at, size = in->page_size ? in->page_size : PAGE_SIZE;
    size_t bytes = strlen(in->location);
    (void)ctx;
    out.generation = core_generation(c);
    if (size > PAGE_SIZE_MAX)
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_size", "1..1,000");
    else if (bytes > HF_LOCATION_BYTES_MAX)
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "location", "at most 32 bytes");
    else if (!page_token_read(in->page_token, out.generation, &at) || at > core_cell_count(c))
        call_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_token",
                  "not one that this list gave out");
    else if (bytes && !auth_location_ok(call->who, in->location, bytes))
        call_fail(call, RPC_PERMISSION_DENIED, "LOCATION", "location",
                  "this key is limited to other locations");
    else if (list_fill(c, call, at, size, &out))
        rpc_reply(call, &out.base, names_ticket(c));
    else
        call_fail_memory(call);
}
