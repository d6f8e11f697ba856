// An engine, a flusher and an Odoo, all of them fakes underneath, with an oracle that sums every
// movement up: how much of each product is where in Odoo when all is posted.
#ifndef HOLDFAST_TESTS_UNIT_FLUSH_WORLD_H
#define HOLDFAST_TESTS_UNIT_FLUSH_WORLD_H

#include "core_world.h"
#include "base/log.h"
#include "flush/flush.h"
#include "sim/fake_odoo.h"
#include "base/prng.h"

#define CUSTOMERS "Partners/Customers"
#define VENDORS   "Partners/Vendors"
#define INVENTORY "Virtual Locations/Inventory adjustment"
#define SCRAP     "Virtual Locations/Scrap"
#define CELLS     12 // six products in two places
#define START     1000

struct sold { // a sale that can be taken back
    struct hf_uuid id;
    uint32_t cell;
    int64_t left;
};

struct flush_world {
    struct world w;
    struct sandbox *sandbox;
    struct fake_odoo odoo;
    struct flush_location places[2];
    struct flush_options options;
    struct flush *f;
    char why[200];
    uint32_t cells[CELLS];
    // The oracle: per product what has left to, or come from, each partner.
    int64_t customers[CELLS / 2], vendors[CELLS / 2], corrected[CELLS / 2], scrapped[CELLS / 2];
    struct sold sold[64];
    uint32_t sold_count;
    struct prng prng;
};

static inline const char *sku_of(uint32_t cell)
{
    static const char *const skus[] = {"tea", "oil", "rye", "fig", "nut", "kg"};
    return skus[cell / 2];
}
static inline const char *stock_of(uint32_t cell)
{
    return cell % 2 ? "SHOP/Stock" : "WH/Stock";
}

static inline enum hf_status fworld_try_open(struct flush_world *fw)
{
    enum hf_status s = world_try_open(&fw->w);
    fw->options.core = fw->w.core;
    return s == HF_OK ? flush_open(&fw->options, &fw->f, fw->why) : s;
}

static inline void fworld_open(struct flush_world *fw)
{
    enum hf_status s = fworld_try_open(fw);
    if (s != HF_OK)
        fail_msg("open: %s: %s %s", hf_status_name(s), fw->w.report.why, fw->why);
}

static inline void fworld_close(struct flush_world *fw)
{
    if (fw->f)
        flush_close(fw->f);
    fw->f = NULL;
    world_close(&fw->w);
}

// Power fails, or has failed; everything comes up again.
static inline void fworld_restart(struct flush_world *fw)
{
    fworld_close(fw);
    fw->odoo.crash_at = 0;
    fake_storage_restart(fw->w.disk);
    fworld_open(fw);
}

// One step of everything. False: something stopped, as after a crash.
static inline bool fworld_pump(struct flush_world *fw, bool *did)
{
    struct core *c = fw->w.core;
    enum hf_status a = core_step_segments(c), b = core_step_writer(c, false);
    enum hf_status s = flush_step(fw->f, fw->w.worker, core_now(c));
    *did = a == HF_OK || b == HF_OK || s == HF_OK;
    return (a == HF_OK || a == HF_AGAIN) && (b == HF_OK || b == HF_AGAIN) &&
           (s == HF_OK || s == HF_AGAIN);
}

static inline bool fworld_idle(struct flush_world *fw)
{
    struct flush_metrics m;
    flush_metrics(fw->f, &m);
    return m.read_lsn == core_durable(fw->w.core) && m.window_movements == 0 &&
           m.open_batches == 0 && m.pause != FLUSH_PAUSE_DISK_ERROR &&
           journal_appended(core_journal(fw->w.core)) == m.read_lsn;
}

// Until everything is posted and acknowledged. False: something stopped.
static inline bool fworld_run(struct flush_world *fw)
{
    for (int i = 0; i < 20000; i++) {
        bool did;
        if (!fworld_pump(fw, &did) || fw->w.disk->crashed)
            return false;
        if (!did && fworld_idle(fw))
            return true;
        if (!did)
            fake_clock_advance_ms(&fw->w.clock, 500);
    }
    struct flush_metrics m;
    flush_metrics(fw->f, &m);
    fail_msg("it does not come to rest: %llu batches open, pause %s, read %llu of %llu",
             (unsigned long long)m.open_batches, flush_pause_name((enum flush_pause)m.pause),
             (unsigned long long)m.read_lsn, (unsigned long long)core_durable(fw->w.core));
    return false;
}

static inline int64_t millionths(const struct flush_world *fw, uint32_t cell, int64_t quantity)
{
    (void)fw;
    return quantity * (cell >= 10 ? 1000 : 1000000); // "kg" has three decimal places
}

// Odoo's stock is the engine's, nothing is committed, and every partner got exactly its part.
static inline void fworld_check(struct flush_world *fw)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c = world_read(&fw->w, fw->cells[i]);
        int64_t odoo = sandbox_quantity(fw->sandbox, sku_of(i), stock_of(i));
        if (c.committed != 0 || millionths(fw, i, c.on_hand) != odoo)
            fail_msg("%s in %s: on hand %lld, committed %lld, Odoo %lld millionths", sku_of(i),
                     stock_of(i), (long long)c.on_hand, (long long)c.committed, (long long)odoo);
        if (i % 2)
            continue;
        const struct {
            const char *where;
            int64_t quantity;
        } sums[] = {{CUSTOMERS, fw->customers[i / 2]},
                    {VENDORS, -fw->vendors[i / 2]},
                    {INVENTORY, -fw->corrected[i / 2]},
                    {SCRAP, fw->scrapped[i / 2]}};
        for (int k = 0; k < 4; k++) {
            int64_t have = sandbox_quantity(fw->sandbox, sku_of(i), sums[k].where);
            if (have != millionths(fw, i, sums[k].quantity))
                fail_msg("%s in %s: %lld millionths, not %lld", sku_of(i), sums[k].where,
                         (long long)have, (long long)millionths(fw, i, sums[k].quantity));
        }
    }
}

static inline void fworld_change(struct flush_world *fw, uint32_t cell, int64_t by,
                                 const char *reason)
{
    struct core_admin_answer a;
    struct core_change ch = {.op_id = world_id(&fw->w),
                             .handle = fw->cells[cell],
                             .setting = CORE_SET_ON_HAND,
                             .relative = true,
                             .value = by,
                             .reason = reason};
    core_change(fw->w.worker, core_now(fw->w.core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
}

static inline void fworld_init(struct flush_world *fw, uint64_t seed)
{
    static const char *const names[] = {"Store", "Shop"};
    struct sandbox_options so;
    memset(fw, 0, sizeof *fw);
    fw->prng.state = seed;
    world_init(&fw->w);
    fw->w.options.outbox = true;
    fw->w.random = seed * 77 + 1;
    fake_storage_reseed(fw->w.disk, seed);
    sandbox_options_default(&so);
    so.unit_digits = 6;
    fw->sandbox = sandbox_create(&so);
    char csv[1024] = "";
    for (uint32_t i = 0; i < CELLS; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s,%s,%d\n", sku_of(i), i % 2 ? "SHOP" : "WH",
                 i >= 10 ? START / 1000 : START);
        strncat(csv, line, sizeof csv - strlen(csv) - 1);
    }
    uint32_t line;
    assert_true(sandbox_seed_csv(fw->sandbox, csv, strlen(csv), &line));
    fake_odoo_init(&fw->odoo, fw->sandbox, fw->w.disk, &fw->w.clock);
    fw->places[0] = (struct flush_location){.name = "Store", .warehouse = "WH"};
    fw->places[1] = (struct flush_location){.name = "Shop", .warehouse = "SHOP"};
    flush_options_default(&fw->options);
    fw->options.storage = &fw->w.disk->base;
    fw->options.http = &fw->odoo.base;
    fw->options.engine = "test";
    fw->options.database = "odoo";
    fw->options.key = "sandbox";
    fw->options.locations = fw->places;
    fw->options.location_count = 2;
    fw->options.fresh_id = (struct hf_uuid){0x0190000000007abc, 0x8000123456789abc};
    fw->options.seed = seed;
    fw->options.batch_lines = 3;
    fw->options.window_lines = 2 * HF_LINES_MAX;
    fw->options.dead_max = 100;
    fworld_open(fw);
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_admin_answer a;
        core_cell_make(fw->w.worker, core_now(fw->w.core), sku_of(i), (uint32_t)strlen(sku_of(i)),
                       names[i % 2], (uint32_t)strlen(names[i % 2]), i >= 10 ? 3 : 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        fw->cells[i] = a.handle;
        fworld_change(fw, i, START, FLUSH_REASON_INBOUND "import");
    }
    world_settle(&fw->w);
}

static inline void fworld_fini(struct flush_world *fw)
{
    fworld_close(fw);
    world_fini(&fw->w);
    fake_odoo_fini(&fw->odoo);
    sandbox_destroy(fw->sandbox);
}

// ------------------------------------------------------------------------------- work

static inline struct core_answer fworld_do(struct flush_world *fw, const struct core_request *r)
{
    struct core_answer a;
    core_execute(fw->w.worker, core_now(fw->w.core), r, &a, 1);
    return a;
}

static inline void fworld_sell(struct flush_world *fw, uint32_t cell, int64_t quantity,
                               bool by_hold)
{
    struct core_line line = {fw->cells[cell], 0, quantity};
    struct core_request r = {.verb = by_hold ? CORE_RESERVE : CORE_ORDER,
                             .id = world_id(&fw->w),
                             .lines = &line,
                             .line_count = 1,
                             .ttl_ms = by_hold ? 60000 : 0};
    struct core_answer a = fworld_do(fw, &r);
    if (a.outcome == CORE_OUT_REFUSED)
        return;
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    if (by_hold) {
        struct core_request commit = {.verb = CORE_COMMIT, .id = r.id};
        assert_int_equal(fworld_do(fw, &commit).outcome, CORE_OUT_DONE);
    }
    fw->customers[cell / 2] += quantity;
    fw->sold[fw->sold_count++ % 64] = (struct sold){r.id, cell, quantity};
}

static inline void fworld_take_back(struct flush_world *fw, struct sold *s, enum core_verb verb,
                                    uint32_t flags, int64_t quantity)
{
    struct core_line line = {fw->cells[s->cell], 0, quantity};
    struct core_request r = {.verb = verb,
                             .flags = flags,
                             .id = s->id,
                             .op_id = world_id(&fw->w),
                             .lines = &line,
                             .line_count = 1};
    world_settle(&fw->w);
    struct core_answer a = fworld_do(fw, &r);
    if (a.outcome == CORE_OUT_NEEDS_RECALL) {
        assert_int_equal(core_recall(fw->w.worker, core_now(fw->w.core), s->id), HF_OK);
        a = fworld_do(fw, &r);
    }
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    s->left -= quantity;
    fw->customers[s->cell / 2] -= quantity;
    if (flags & CORE_SCRAP)
        fw->scrapped[s->cell / 2] += quantity;
}

// One random operation.
static inline void fworld_work(struct flush_world *fw)
{
    uint32_t cell = (uint32_t)prng_below(&fw->prng, CELLS);
    int64_t n = (int64_t)prng_between(&fw->prng, 1, 9);
    struct sold *s =
        fw->sold_count ? &fw->sold[prng_below(&fw->prng, fw->sold_count < 64 ? fw->sold_count : 64)]
                       : NULL;
    uint64_t which = prng_below(&fw->prng, 10);
    if (which >= 7 && s && s->left > 0) {
        int64_t back = (int64_t)prng_between(&fw->prng, 1, (uint64_t)s->left);
        fworld_take_back(fw, s, which == 7 ? CORE_CANCEL : CORE_RETURN, which == 9 ? CORE_SCRAP : 0,
                         back);
    } else if (which == 6) {
        fworld_change(fw, cell, n, FLUSH_REASON_RECEIPT " 17");
        fw->vendors[cell / 2] += n;
    } else if (which == 5) {
        n = prng_chance(&fw->prng, 1, 2) ? n : -n;
        fworld_change(fw, cell, n, "counted");
        fw->corrected[cell / 2] += n;
    } else {
        fworld_sell(fw, cell, n, which < 2);
    }
}

#endif
