// ErpService, both sides' stock: begins a comparison, tells the last one.
#include "service/erp.h"

#include "flush/observe.h"

#include <inttypes.h>
#include <stdio.h>

#define PAGE_SIZE     100
#define PAGE_SIZE_MAX 1000

static struct flush_observer *observer_get(struct service_local *l, struct rpc_call *call)
{
    struct flush_observer *o = l->service->options.observer;
    if (!o)
        erp_fail(call, RPC_FAILED_PRECONDITION, "NO_ERP", "",
                 "this server posts to no ERP: odoo_url is not set");
    return o;
}

void erp_reconcile(void *ctx, void *local, struct rpc_call *call)
{
    Holdfast__V1__StartReconciliationResponse out =
        HOLDFAST__V1__START_RECONCILIATION_RESPONSE__INIT;
    struct flush_observer *o = observer_get(local, call);
    const Holdfast__V1__StartReconciliationRequest *in = (const void *)call->request;
    struct observe_wish wish = {in->import, in->dry_run, (uint8_t)in->unit_scale};
    (void)ctx;
    if (!o)
        return;
    if (in->unit_scale > HF_UNIT_SCALE_MAX) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "unit_scale", "0..6");
        return;
    }
    out.last_run = o->reconcile(o, &wish) - 1;
    rpc_reply(call, &out.base, 0);
}

// "2.6": smallest units and millionths of one, with the cell's decimal places. "" where there are
// no millionths.
static bool exact_text(struct arena *a, const struct reconcile_row *r, uint32_t scale, char **out)
{
    const size_t bytes = 48;
    uint64_t digit = 1, whole = (uint64_t)r->odoo, part = r->odoo_millionths;
    bool minus = r->odoo < 0;
    *out = (char *)(uintptr_t) "";
    if (part == 0)
        return true;
    for (uint32_t i = 0; i < scale; i++)
        digit *= 10;
    if (minus) { // it is rounded down: -2.4 is -3 and six tenths
        whole = (uint64_t)(-(r->odoo + 1));
        part = 1000000 - part;
    }
    *out = arena_take(a, bytes);
    if (!*out)
        return false;
    int n = snprintf(*out, bytes, "%s%" PRIu64 ".", minus ? "-" : "", whole / digit);
    if (scale)
        n += snprintf(*out + n, bytes - (size_t)n, "%0*" PRIu64, (int)scale, whole % digit);
    n += snprintf(*out + n, bytes - (size_t)n, "%06" PRIu64, part);
    while ((*out)[n - 1] == '0')
        (*out)[--n] = 0;
    return true;
}

static bool cell_fill(struct core *c, struct arena *a, const struct reconcile_row *r,
                      Holdfast__V1__ReconciledCell *out)
{
    holdfast__v1__reconciled_cell__init(out);
    out->erp = r->odoo;
    out->on_hand = r->terms.on_hand;
    out->unposted = r->terms.unposted;
    out->in_flight = r->terms.in_flight;
    out->booked = r->terms.booked;
    out->dead = r->terms.dead;
    out->discarded = r->terms.discarded;
    out->difference = r->difference;
    out->cause = (char *)(uintptr_t)reconcile_cause_name((enum reconcile_cause)r->cause);
    out->cause_help = (char *)(uintptr_t)reconcile_cause_help((enum reconcile_cause)r->cause);
    return erp_cell(c, a, r->handle, &out->sku, &out->location, &out->unit_scale) &&
           exact_text(a, r, out->unit_scale, &out->erp_exact);
}

// Up to `size` rows that are wanted, from in->from on. False: no memory.
static bool rows_fill(struct service_local *l, struct rpc_call *call, struct flush_observer *o,
                      uint32_t size, Holdfast__V1__GetReconciliationResponse *out)
{
    const Holdfast__V1__GetReconciliationRequest *in = (const void *)call->request;
    struct reconcile_row *rows = arena_take(&call->arena, PAGE_SIZE_MAX * sizeof *rows);
    Holdfast__V1__ReconciledCell *told = arena_take(&call->arena, size * sizeof *told);
    struct observe_state state;
    uint32_t from = in->from, n, i;
    out->rows = arena_take(&call->arena, size * sizeof(void *));
    if (!rows || !told || !out->rows)
        return false;
    do {
        n = o->report(o, &state, from, rows, PAGE_SIZE_MAX);
        for (i = 0; i < n && out->n_rows < size; i++) {
            if (in->differing && rows[i].cause < RECONCILE_ABSENT)
                continue;
            out->rows[out->n_rows] = &told[out->n_rows];
            if (!cell_fill(local_core(l), &call->arena, &rows[i], &told[out->n_rows++]))
                return false;
        }
        from += i;
    } while (n == PAGE_SIZE_MAX && out->n_rows < size);
    out->next = from < state.cells ? from : 0;
    out->run = state.run;
    out->running = state.running;
    out->failed = state.failed;
    out->started_ms = (int64_t)state.started_ms;
    out->finished_ms = (int64_t)state.finished_ms;
    out->cells = state.cells;
    out->differing = state.differing;
    out->moving = state.moving;
    out->fractions = state.odd;
    out->missing = state.import.missing;
    out->made = state.import.made;
    out->nameless = state.import.nameless;
    out->tracked = state.import.tracked;
    out->refused = state.import.refused;
    return true;
}

void erp_reconciliation(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__GetReconciliationRequest *in = (const void *)call->request;
    Holdfast__V1__GetReconciliationResponse out = HOLDFAST__V1__GET_RECONCILIATION_RESPONSE__INIT;
    uint32_t size = in->page_size ? in->page_size : PAGE_SIZE;
    struct flush_observer *o = observer_get(local, call);
    (void)ctx;
    if (!o)
        return;
    if (size > PAGE_SIZE_MAX)
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "page_size", "1..1,000");
    else if (rows_fill(local, call, o, size, &out))
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_memory(call);
}
