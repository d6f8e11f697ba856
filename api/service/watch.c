// WatchStock: the chosen cells as they stand, then what changes.
//
//   opened -> chosen -> scanning --(all is told, a message at a time)--> idle --woken--> scanning
//
// A scan begins at S, the hub's LSN, and tells what changed after the S of the scan before; the
// first one tells everything. The next message is made when the last one has left, so a client that
// reads slowly has one message here, and finds the present values in the next: changes between are
// never told. The hub wakes the stream when its interval has passed and there is something new.
//
// The first scan waits until the hub has met what was durable when the stream was opened: whoever
// changes stock, has the answer, and then watches, finds the change.
//
// Names come with a cell's first message. Watching everything, a scan goes up the handles, and new
// cells are those from `named` on: each is in the scan that first sees it, because its making is a
// change. A list of chosen cells keeps a mark for each.
#include "service/service_internal.h"

#include "base/atomics.h"
#include "watch/hub.h"

#include <stdio.h>
#include <stdlib.h>

#define CHOSEN_MAX         10000
#define INTERVAL_MS        250
#define INTERVAL_MS_MIN    10
#define INTERVAL_MS_MAX    60000
#define MESSAGE_CELLS_MAX  256
#define LOOKS_MAX          16384 // of one piece of work in a poller: well below a millisecond
#define TOO_MANY_RETRY_MS  1000
#define HUB_ENDED_RETRY_MS 1000

typedef Holdfast__V1__WatchedCell Watched;

struct chosen {
    uint32_t handle;
    bool named;
    uint64_t told; // LSN of the value that was told last; 0: none
};

struct watch {
    struct watch_watcher watcher; // interval, seen, busy
    struct rpc_call *call;
    struct watch_hub *hub;
    struct core *core;
    uint32_t *of_key;      // atomic: counts the streams of its key; NULL: not counted
    struct chosen *chosen; // sorted by handle; NULL: all cells
    uint32_t chosen_count;
    bool added, sending, scanning, complete;
    uint64_t need;          // the first scan begins when the hub has come so far
    uint64_t after, start;  // the scan tells what is above `after`; began at `start`
    uint32_t at, end;       // handles, or indices of `chosen`
    uint32_t named, untold; // all cells: names told below it; chosen ones: never told yet
};

// ------------------------------------------------------------------------------- a message

static bool cell_add(struct watch *w, Holdfast__V1__WatchStockResponse *out, Watched *cells,
                     uint32_t handle, bool names)
{
    struct watch_value v = watch_hub_read(w->hub, handle);
    struct arena *a = &w->call->arena;
    Watched *cell = &cells[out->n_cells];
    struct core_name name;
    holdfast__v1__watched_cell__init(cell);
    cell->handle = handle;
    cell->available = v.available;
    cell->position = v.lsn;
    if (names && core_cell_name(w->core, handle, &name) == HF_OK) {
        cell->sku = arena_text(a, name.sku, name.sku_bytes);
        cell->location = arena_text(a, name.location, name.location_bytes);
        if (!cell->sku || !cell->location)
            return false;
    }
    out->cells[out->n_cells++] = cell;
    return true;
}

static bool may_see(const struct watch *w, uint32_t handle)
{
    struct core_name name;
    return w->call->who->location_count == 0 ||
           (core_cell_name(w->core, handle, &name) == HF_OK &&
            auth_location_ok(w->call->who, name.location, name.location_bytes));
}

static bool fill_all(struct watch *w, Holdfast__V1__WatchStockResponse *out, Watched *cells)
{
    uint32_t looks = LOOKS_MAX;
    while (w->at < w->end && out->n_cells < MESSAGE_CELLS_MAX) {
        uint32_t handle = watch_hub_next(w->hub, &w->at, w->end, w->after, &looks);
        if (handle == UINT32_MAX || handle == w->end)
            break;
        if (may_see(w, handle) && !cell_add(w, out, cells, handle, handle >= w->named))
            return false;
        w->at = handle + 1;
    }
    return true;
}

static bool fill_chosen(struct watch *w, Holdfast__V1__WatchStockResponse *out, Watched *cells)
{
    uint32_t known = watch_hub_cells(w->hub);
    for (uint32_t looks = LOOKS_MAX;
         w->at < w->end && out->n_cells < MESSAGE_CELLS_MAX && looks > 0; w->at++, looks--) {
        struct chosen *c = &w->chosen[w->at];
        if (c->handle >= known || watch_hub_read(w->hub, c->handle).lsn <= c->told)
            continue; // a cell that the hub has not met yet comes with a later scan
        if (!cell_add(w, out, cells, c->handle, !c->named))
            return false;
        w->untold -= !c->named;
        c->named = true;
        c->told = cells[out->n_cells - 1].position;
    }
    return true;
}

// ------------------------------------------------------------------------------- scans

static void watch_end(struct watch *w, enum rpc_code code, const char *reason, const char *message,
                      uint32_t retry_ms)
{
    struct rpc_error error = {
        .code = code, .reason = reason, .message = message, .retry_ms = retry_ms};
    rpc_finish(w->call, &error);
}

static void scan_begin(struct watch *w)
{
    w->start = watch_hub_lsn(w->hub);
    w->scanning = true;
    w->at = 0;
    // Cells after the LSN: there are at least those that were made up to it.
    w->end = w->chosen ? w->chosen_count : watch_hub_cells(w->hub);
    hf_store_relaxed(&w->watcher.busy, 1u);
    hf_store_relaxed(&w->watcher.seen, w->start);
}

static void scan_end(struct watch *w)
{
    w->scanning = false;
    w->after = w->start;
    if (!w->chosen && w->end > w->named)
        w->named = w->end;
}

// The hub may wake it again.
static void idle(struct watch *w)
{
    hf_store_release(&w->watcher.busy, 0u); // pairs with the hub's look at it; after `seen`
}

// Makes the scan's next message and sends it, or ends the scan.
static void scan_go_on(struct watch *w)
{
    Holdfast__V1__WatchStockResponse out = HOLDFAST__V1__WATCH_STOCK_RESPONSE__INIT;
    struct arena *a = &w->call->arena;
    arena_reset(a);
    Watched *cells = arena_take(a, MESSAGE_CELLS_MAX * sizeof *cells);
    out.cells = arena_take(a, MESSAGE_CELLS_MAX * sizeof(void *));
    if (!cells || !out.cells ||
        !(w->chosen ? fill_chosen(w, &out, cells) : fill_all(w, &out, cells))) {
        watch_end(w, RPC_RESOURCE_EXHAUSTED, "MEMORY", "no memory for a message",
                  TOO_MANY_RETRY_MS);
        return;
    }
    bool first = !w->complete;
    if (w->at == w->end) {
        scan_end(w);
        w->complete |= w->untold == 0;
    }
    out.generation = core_generation(w->core);
    out.snapshot_complete = w->complete;
    if (out.n_cells > 0 || (first && w->complete)) {
        w->sending = true;
        rpc_send(w->call, &out.base, 0);
    } else if (w->scanning) {
        rpc_wake(w->call); // others of this poller first
    } else {
        idle(w);
    }
}

static void watch_go_on(struct watch *w, bool may_begin)
{
    if (rpc_draining(w->call)) {
        rpc_finish(w->call, &RPC_DRAINING_ERROR);
        return;
    }
    if (!w->added || w->sending)
        return;
    if (watch_hub_status(w->hub) != HF_OK) {
        watch_end(w, RPC_UNAVAILABLE, "WATCH_ENDED", "stock can't be watched until the next start",
                  HUB_ENDED_RETRY_MS);
        return;
    }
    if (!w->scanning && may_begin && watch_hub_lsn(w->hub) >= w->need)
        scan_begin(w);
    if (w->scanning)
        scan_go_on(w);
    else
        idle(w);
}

// ------------------------------------------------------------------------------- the request

static int by_handle(const void *a, const void *b)
{
    const struct chosen *x = a, *y = b;
    return (x->handle > y->handle) - (x->handle < y->handle);
}

// Twice the same cell is once.
static void chosen_sort(struct watch *w, uint32_t count)
{
    qsort(w->chosen, count, sizeof *w->chosen, by_handle);
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++)
        if (n == 0 || w->chosen[n - 1].handle != w->chosen[i].handle)
            w->chosen[n++] = w->chosen[i];
    w->chosen_count = w->untold = n;
}

static bool watch_choose(struct service_local *l, struct watch *w,
                         const Holdfast__V1__WatchStockRequest *in, struct rpc_error *error)
{
    if (in->n_stock > CHOSEN_MAX) {
        *error = rpc_invalid("stock", "at most 10,000 cells");
        return false;
    }
    w->chosen = in->n_stock ? calloc(in->n_stock, sizeof *w->chosen) : NULL;
    if (in->n_stock && !w->chosen) {
        *error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                    .reason = "MEMORY",
                                    .message = "no memory for the cells",
                                    .retry_ms = TOO_MANY_RETRY_MS};
        return false;
    }
    for (size_t i = 0; i < in->n_stock; i++) {
        const Holdfast__V1__StockName *name = in->stock[i];
        struct stock_ref ref = {name->sku, name->location, name->handle, name->generation};
        char field[32];
        snprintf(field, sizeof field, "stock[%zu]", i);
        if (!convert_stock(l, w->call->who, &ref, field, &w->chosen[i].handle, error))
            return false;
    }
    if (w->chosen)
        chosen_sort(w, (uint32_t)in->n_stock);
    return true;
}

static void watch_wake(void *ctx)
{
    rpc_wake(((struct watch *)ctx)->call);
}

// False: its key watches as much as one key may.
static bool watch_count(struct service *s, struct watch *w)
{
    uint64_t share = (uint64_t)s->options.watchers_max * s->options.key_share / 100;
    uint32_t *count = s->key_watching ? &s->key_watching[w->call->who->number] : NULL;
    if (!count || w->call->who->number == 0)
        return true;
    if (hf_add(count, 1) >= (share ? share : 1)) {
        hf_add(count, UINT32_MAX);
        return false;
    }
    w->of_key = count;
    return true;
}

static bool watch_begin(struct service_local *l, struct watch *w, struct rpc_error *error)
{
    const Holdfast__V1__WatchStockRequest *in = (const void *)w->call->request;
    uint32_t interval_ms = in->interval_ms ? in->interval_ms : INTERVAL_MS;
    if (interval_ms < INTERVAL_MS_MIN || interval_ms > INTERVAL_MS_MAX) {
        *error = rpc_invalid("interval_ms", "10..60,000, or 0 for 250");
        return false;
    }
    if (!watch_choose(l, w, in, error))
        return false;
    if (!watch_count(l->service, w)) {
        *error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                    .reason = "KEY_SHARE",
                                    .message = "streams of this key watch as much as one key may",
                                    .retry_ms = TOO_MANY_RETRY_MS};
        return false;
    }
    w->need = core_durable(w->core);
    w->watcher = (struct watch_watcher){.wake = watch_wake,
                                        .ctx = w,
                                        .interval_ms = interval_ms,
                                        .seen = w->need ? w->need - 1 : 0,
                                        .busy = 1};
    w->added = watch_hub_add(w->hub, &w->watcher, l->service->options.watchers_max);
    if (!w->added)
        *error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                    .reason = "TOO_MANY_WATCHERS",
                                    .message = "too many streams watch already",
                                    .retry_ms = TOO_MANY_RETRY_MS};
    return w->added;
}

// ------------------------------------------------------------------------------- callbacks

void watch_stock_opened(void *ctx, void *local, struct rpc_call *call)
{
    struct service *s = ctx;
    struct watch *w = s->options.hub ? calloc(1, sizeof *w) : NULL;
    (void)local;
    call->state = w;
    if (!w) {
        struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                                  .reason = "MEMORY",
                                  .message = "no memory for a stream",
                                  .retry_ms = TOO_MANY_RETRY_MS};
        if (!s->options.hub)
            error = (struct rpc_error){.code = RPC_UNIMPLEMENTED,
                                       .message = "this server runs without watching"};
        rpc_finish(call, &error);
        return;
    }
    w->call = call;
    w->hub = s->options.hub;
    w->core = s->options.core;
    rpc_receive(call);
}

void watch_stock_received(void *ctx, void *local, struct rpc_call *call)
{
    struct rpc_error error;
    (void)ctx;
    if (watch_begin(local, call->state, &error))
        watch_go_on(call->state, true);
    else
        rpc_finish(call, &error);
}

void watch_stock_half_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    struct rpc_error error = rpc_invalid("", "a request is needed");
    rpc_finish(call, &error); // only awaited before the request
}

void watch_stock_sent(void *ctx, void *local, struct rpc_call *call)
{
    struct watch *w = call->state;
    (void)ctx, (void)local;
    w->sending = false;
    watch_go_on(w, false);
}

void watch_stock_woken(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    watch_go_on(call->state, true);
}

void watch_stock_closed(void *ctx, void *local, struct rpc_call *call)
{
    struct watch *w = call->state;
    (void)ctx, (void)local;
    call->state = NULL;
    if (!w)
        return;
    if (w->added)
        watch_hub_remove(w->hub, &w->watcher);
    if (w->of_key)
        hf_add(w->of_key, UINT32_MAX);
    free(w->chosen);
    free(w);
}
