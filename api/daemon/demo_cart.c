// What is sold and what is bought: drawn from seeds, so that every process knows the same.
#include "daemon/demo.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static const char *const locations[DEMO_LOCATIONS] = {"amsterdam", "berlin", "lyon", "milan",
                                                      "warsaw"};
#define CATALOGUE_SEED UINT64_C(0x5ca1ab1e)

// The first SKUs are the ones that everybody wants; they have more of it, but not enough.
int64_t demo_stock(const struct demo_shared *d, uint32_t cell)
{
    struct rehearsal_random r = {CATALOGUE_SEED + cell};
    uint32_t sku = cell / DEMO_LOCATIONS;
    if (sku < d->options.skus / 200)
        return 200 + rehearsal_below(&r, 2000);
    if (sku < d->options.skus / 20)
        return 20 + rehearsal_below(&r, 400);
    return rehearsal_below(&r, 10) == 0 ? 0 : 5 + rehearsal_below(&r, 200);
}

// A quarter of all picks fall on the first half percent of the SKUs.
static uint32_t pick_cell(const struct demo_shared *d, struct rehearsal_random *r)
{
    double u = (double)(rehearsal_next(r) >> 11) * 0x1p-53;
    uint32_t sku = (uint32_t)((double)d->options.skus * u * u * u * u);
    return sku * DEMO_LOCATIONS + rehearsal_below(r, DEMO_LOCATIONS);
}

static enum demo_plan pick_plan(struct rehearsal_random *r)
{
    uint32_t n = rehearsal_below(r, 100);
    return n < 40   ? PLAN_ORDER
           : n < 82 ? PLAN_COMMIT
           : n < 85 ? PLAN_LATE_COMMIT
           : n < 91 ? PLAN_RELEASE
                    : PLAN_ABANDON;
}

static bool in_cart(const struct demo_body *b, uint32_t cell)
{
    for (uint32_t i = 0; i < b->line_count; i++)
        if (b->cells[i] == cell)
            return true;
    return false;
}

void demo_body(const struct demo_shared *d, struct hf_uuid id, struct demo_body *out)
{
    struct rehearsal_random r = {hf_hash_uuid(&id) ^ d->options.seed};
    uint32_t n = rehearsal_below(&r, 100);
    uint32_t lines = n < 70   ? 1
                     : n < 90 ? 2 + rehearsal_below(&r, 3)
                              : 5 + rehearsal_below(&r, DEMO_LINES_MAX - 4);
    out->plan = pick_plan(&r);
    out->line_count = 0;
    for (uint32_t i = 0; i < lines; i++) {
        uint32_t cell = pick_cell(d, &r);
        int64_t quantity = 1 + rehearsal_below(&r, 3);
        if (in_cart(out, cell))
            continue;
        out->cells[out->line_count] = cell;
        out->lines[out->line_count++] = (struct core_line){d->handles[cell], 0, quantity};
    }
}

void demo_take_request(const struct demo_body *b, struct hf_uuid id, struct core_request *r)
{
    bool order = b->plan == PLAN_ORDER;
    *r = (struct core_request){.verb = order ? CORE_ORDER : CORE_RESERVE,
                               .id = id,
                               .lines = b->lines,
                               .line_count = b->line_count,
                               .ttl_ms = order ? 0 : DEMO_TTL_MS};
}

// ------------------------------------------------------------------------------- the catalogue

struct making {
    struct demo_shared *d;
    struct core *core;
    struct core_worker *worker;
    struct rehearsal_random random;
    uint64_t ticket;
};

static bool make_failed(struct making *m, const char *what, const struct core_admin_answer *a)
{
    demo_error(m->d, "the catalogue: %s: %s", what, core_outcome_name(a->outcome));
    return false;
}

// BUSY means that the journal's buffers are full: what was given to it makes room.
static bool busy_waited(struct making *m, const struct core_admin_answer *a)
{
    if (a->outcome != CORE_OUT_BUSY || core_status(m->core) != HF_OK)
        return false;
    if (core_wait(m->core, m->ticket, 1000) != HF_OK)
        return false;
    rehearsal_sleep_ms(1);
    return true;
}

static bool cell_make(struct making *m, uint32_t cell)
{
    struct core_admin_answer a;
    char sku[HF_SKU_BYTES_MAX];
    int bytes = snprintf(sku, sizeof sku, "SKU-%05u", cell / DEMO_LOCATIONS);
    const char *location = locations[cell % DEMO_LOCATIONS];
    do
        core_cell_make(m->worker, core_now(m->core), sku, (uint32_t)bytes, location,
                       (uint32_t)strlen(location), 0, &a);
    while (busy_waited(m, &a));
    if (a.outcome != CORE_OUT_DONE)
        return make_failed(m, sku, &a);
    m->ticket = a.ticket;
    m->d->handles[cell] = a.handle;
    m->d->stock[cell] = demo_stock(m->d, cell);
    struct core_change change = {
        .op_id =
            hf_uuid_v7(core_now(m->core), rehearsal_next(&m->random), rehearsal_next(&m->random)),
        .handle = a.handle,
        .setting = CORE_SET_ON_HAND,
        .value = m->d->stock[cell],
        .reason = "initial count",
    };
    do
        core_change(m->worker, core_now(m->core), &change, &a);
    while (busy_waited(m, &a));
    m->ticket = a.ticket;
    return a.outcome == CORE_OUT_DONE || make_failed(m, sku, &a);
}

bool demo_catalogue(struct demo_shared *d, struct core *core)
{
    struct making m = {.d = d, .core = core, .worker = core_worker_create(core)};
    m.random.state = hf_mix64(d->options.seed);
    bool made = m.worker != NULL;
    for (uint32_t cell = 0; cell < d->cells && made; cell++)
        made = cell_make(&m, cell);
    if (made && core_wait(core, m.ticket, 30000) != HF_OK) {
        demo_error(d, "the catalogue did not become durable");
        made = false;
    }
    if (m.worker)
        core_worker_destroy(m.worker);
    return made;
}
