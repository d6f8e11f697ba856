// What others do in Odoo, brought here once; and both sides held against each other.
#include "flush_tests.h"
#include "tripping_storage.h"

#include "flush/inbound_internal.h"
#include "flush/observe.h"
#include "flush/reconcile.h"
#include "flush/short.h"

#include <jansson.h>

struct inbound_world {
    struct flush_world fw;
    struct fake_odoo odoo; // a connection of its own
    struct mirror mirror;
    struct inbound *in;
    struct tripping_storage door; // to the disk, when a test has set it up
    uint32_t plan_max;            // 0: the default
    struct direct_desk {
        struct flush_desk base;
        struct flush_world *fw;
    } desk;
};

static enum hf_status ask(struct flush_desk *d, flush_desk_work work, void *ctx,
                          uint32_t timeout_ms)
{
    struct flush_world *fw = ((struct direct_desk *)d)->fw;
    (void)timeout_ms;
    work(fw->f, fw->w.worker, core_now(fw->w.core), ctx);
    return HF_OK;
}

static void inbound_world_open(struct inbound_world *t)
{
    struct inbound_options o;
    char why[200];
    inbound_options_default(&o);
    assert_int_equal(mirror_init(&t->mirror, t->fw.w.core, &t->odoo.base, &t->fw.options), HF_OK);
    o.core = t->fw.w.core;
    o.storage = t->door.disk ? &t->door.base : &t->fw.w.disk->base;
    o.desk = &t->desk.base;
    o.mirror = &t->mirror;
    o.engine = "test";
    o.plan_max = t->plan_max ? t->plan_max : o.plan_max;
    enum hf_status s = inbound_open(&o, core_now(t->fw.w.core), &t->in, why);
    if (s != HF_OK)
        fail_msg("inbound: %s", why);
}

static void inbound_world_close(struct inbound_world *t)
{
    inbound_close(t->in);
    mirror_fini(&t->mirror);
}

static void inbound_world_restart(struct inbound_world *t)
{
    inbound_world_close(t);
    fworld_restart(&t->fw);
    inbound_world_open(t);
}

static struct inbound_world *inbound_world_make(uint64_t seed)
{
    struct inbound_world *t = calloc(1, sizeof *t);
    fworld_init(&t->fw, seed);
    fake_odoo_init(&t->odoo, t->fw.sandbox, t->fw.w.disk, &t->fw.w.clock);
    t->desk = (struct direct_desk){{.ask = ask}, &t->fw};
    inbound_world_open(t);
    return t;
}

static void inbound_world_free(struct inbound_world *t)
{
    inbound_world_close(t);
    fake_odoo_fini(&t->odoo);
    fworld_fini(&t->fw);
    free(t);
}

// A call to Odoo by somebody else. The answer is the caller's.
static json_t *other(struct inbound_world *t, const char *path, json_t *args)
{
    static const char *const headers[] = {"Authorization: Bearer sandbox", "X-Odoo-Database: odoo",
                                          "Content-Type: application/json"};
    static char answer[1 << 20];
    char *body = json_dumps(args, 0);
    struct http_request r = {.path = path, .body = body, .body_bytes = strlen(body)};
    struct http_answer a = {.body = answer, .body_capacity = sizeof answer};
    for (int i = 0; i < 3; i++)
        r.headers[i] = headers[i];
    assert_int_equal(http_call(&t->odoo.base, &r, &a), HTTP_ANSWERED);
    if (a.status != 200)
        fail_msg("%s: %s", path, answer);
    json_decref(args);
    free(body);
    return json_loadb(answer, a.body_bytes, JSON_DECODE_ANY, NULL);
}

static json_int_t id_by(struct inbound_world *t, const char *model, const char *field,
                        const char *value)
{
    char path[96];
    snprintf(path, sizeof path, "/json/2/%s/search_read", model);
    json_t *rows = other(
        t, path, json_pack("{s:[[s,s,s]],s:[s]}", "domain", field, "=", value, "fields", field));
    json_int_t id = json_integer_value(json_object_get(json_array_get(rows, 0), "id"));
    assert_true(id > 0);
    json_decref(rows);
    return id;
}

static uint32_t others; // documents

// Somebody moves goods in Odoo; left open when `done` is false.
static json_int_t move_for(struct inbound_world *t, const char *order, const char *product,
                           const char *from, const char *to, double quantity, bool done)
{
    char name[32];
    snprintf(name, sizeof name, "WH/OUT/%05u", ++others);
    json_int_t p = id_by(t, "product.product", "default_code", product);
    json_int_t src = id_by(t, "stock.location", "complete_name", from);
    json_int_t dst = id_by(t, "stock.location", "complete_name", to);
    json_t *rows = other(t, "/json/2/stock.warehouse/search_read",
                         json_pack("{s:[],s:[s]}", "domain", "fields", "int_type_id"));
    json_int_t type = json_integer_value(json_object_get(json_array_get(rows, 0), "int_type_id"));
    json_decref(rows);
    json_t *ids = other(
        t, "/json/2/stock.picking/create",
        json_pack("{s:[{s:s,s:s,s:I,s:I,s:I,s:[[i,i,{s:s,s:I,s:i,s:f,s:f,s:b,s:I,s:I}]]}]}",
                  "vals_list", "name", name, "origin", order, "picking_type_id", type,
                  "location_id", src, "location_dest_id", dst, "move_ids", 0, 0, "origin", order,
                  "product_id", p, "product_uom", 1, "product_uom_qty", quantity, "quantity",
                  quantity, "picked", 1, "location_id", src, "location_dest_id", dst));
    json_int_t id = json_integer_value(json_array_get(ids, 0));
    json_decref(ids);
    if (done)
        json_decref(other(t, "/json/2/stock.picking/button_validate",
                          json_pack("{s:[I],s:{s:b,s:[I]}}", "ids", id, "context", "skip_backorder",
                                    1, "picking_ids_not_to_backorder", id)));
    return id;
}

static json_int_t move(struct inbound_world *t, const char *product, const char *from,
                       const char *to, double quantity, bool done)
{
    return move_for(t, "SO", product, from, to, quantity, done);
}

// Polls until one went through. False: power failed.
static bool poll(struct inbound_world *t)
{
    for (int i = 0; i < 200; i++) {
        bool did;
        enum hf_status s = inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core));
        if (t->fw.w.disk->crashed || !fworld_pump(&t->fw, &did) || t->fw.w.disk->crashed)
            return false;
        if (s == HF_OK)
            return true;
        assert_int_equal(s, HF_AGAIN);
        fake_clock_advance_ms(&t->fw.w.clock, 500);
    }
    fail_msg("no poll goes through");
    return false;
}

static struct core_cell cell(struct inbound_world *t, uint32_t i)
{
    return world_read(&t->fw.w, t->fw.cells[i]);
}

static int64_t odoo_of(struct inbound_world *t, uint32_t i)
{
    return sandbox_quantity(t->fw.sandbox, sku_of(i), stock_of(i)) / 1000000;
}

static void others_moves_are_applied_once(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    assert_true(poll(t)); // what was before is known
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
    move(t, "oil", "SHOP/Stock", CUSTOMERS, 7, true);
    for (int i = 0; i < 3; i++) {
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).on_hand, START + 25);
        assert_int_equal(cell(t, 1).on_hand, START + 15);
        assert_int_equal(cell(t, 3).on_hand, START - 7);
        fake_clock_advance_ms(&t->fw.w.clock, 70000);
    }
    assert_true(fworld_run(&t->fw));
    assert_int_equal(sandbox_pickings(t->fw.sandbox, "done"), 3); // none was told back
    inbound_world_free(t);
}

static void our_own_documents_are_left_out(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(2);
    assert_true(poll(t));
    fworld_sell(&t->fw, 0, 9, false);
    fworld_change(&t->fw, 2, -3, "counted");
    assert_true(fworld_run(&t->fw));
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 9);
    assert_int_equal(cell(t, 2).on_hand, START - 3);
    assert_int_equal(odoo_of(t, 0), START - 9);
    struct inbound_metrics m;
    inbound_metrics(t->in, &m);
    assert_int_equal(m.lines, 0);
    inbound_world_free(t);
}

static void open_demand_is_external_until_it_is_shipped(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(3);
    assert_true(poll(t));
    json_int_t id = move(t, "rye", "WH/Stock", CUSTOMERS, 30, false);
    assert_true(poll(t));
    assert_int_equal(cell(t, 4).external, 30);
    assert_int_equal(cell(t, 4).available, START - 30);
    json_decref(other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", id)));
    assert_true(poll(t));
    assert_int_equal(cell(t, 4).external, 0);
    assert_int_equal(cell(t, 4).on_hand, START - 30);
    assert_int_equal(cell(t, 4).available, START - 30); // never more in between
    inbound_world_free(t);
}

static void power_fails_at_every_storage_call_and_moves_count_once(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++) {
        struct inbound_world *t = inbound_world_make(4);
        assert_true(poll(t));
        move(t, "tea", VENDORS, "WH/Stock", 40, true);
        move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
        t->fw.w.disk->faults.crash_in = at;
        through = poll(t) && poll(t);
        t->fw.w.disk->faults.crash_in = 0;
        if (!through) {
            crashes++;
            inbound_world_restart(t);
        }
        assert_true(poll(t));
        move(t, "oil", VENDORS, "WH/Stock", 1, true);
        assert_true(poll(t));
        inbound_world_restart(t);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).on_hand, START + 25);
        assert_int_equal(cell(t, 1).on_hand, START + 15);
        assert_int_equal(cell(t, 2).on_hand, START + 1);
        inbound_world_free(t);
    }
    printf("%llu power losses\n", (unsigned long long)crashes);
    assert_true(crashes >= 8);
}

// False: power failed.
static bool moves_come_in(struct inbound_world *t)
{
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    move(t, "tea", "WH/Stock", "SHOP/Stock", 15, true);
    return poll(t) && poll(t);
}

// I3: its file fails, it is read back, and then power fails too.
static void each_call_for_its_file_fails_and_moves_count_once(void **state)
{
    (void)state;
    uint64_t errors = 0, crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++)
        for (uint64_t crash = 0; crash < 12; crash++) {
            struct inbound_world *t = inbound_world_make(40 + crash);
            assert_true(poll(t));
            tripping_storage_init(&t->door, t->fw.w.disk);
            inbound_world_restart(t);
            assert_true(poll(t));
            t->door.from = t->door.to = t->door.calls + at;
            t->fw.w.disk->faults.crash_in = crash ? at + crash : 0;
            bool lost = !moves_come_in(t);
            through = !lost && t->door.tripped == 0;
            errors += t->door.tripped;
            t->fw.w.disk->faults.crash_in = t->door.from = 0;
            if (lost) {
                crashes++;
                inbound_world_restart(t);
            }
            assert_true(poll(t));
            assert_int_equal(cell(t, 0).on_hand, START + 25);
            assert_int_equal(cell(t, 1).on_hand, START + 15);
            inbound_world_restart(t);
            assert_true(poll(t));
            assert_int_equal(cell(t, 0).on_hand, START + 25);
            inbound_world_free(t);
        }
    printf("%llu errors, %llu power losses\n", (unsigned long long)errors,
           (unsigned long long)crashes);
    assert_true(errors > 30 && crashes > 20);
}

// A file that was there and is not any more is no new beginning: every line would count again.
static void a_file_that_is_gone_ends_it(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(60);
    tripping_storage_init(&t->door, t->fw.w.disk);
    inbound_world_restart(t);
    assert_true(poll(t));
    struct storage *disk = &t->fw.w.disk->base;
    assert_int_equal(disk->ops->unlink(disk, "inbound.hfs"), HF_OK);
    t->door.from = t->door.calls + 1;
    t->door.to = t->door.from;
    move(t, "tea", VENDORS, "WH/Stock", 40, true);
    enum hf_status s = HF_AGAIN;
    for (int i = 0; i < 50 && s == HF_AGAIN; i++) {
        s = inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core));
        fake_clock_advance_ms(&t->fw.w.clock, 500);
    }
    assert_int_equal(s, HF_DAMAGED);
    assert_int_equal(cell(t, 0).on_hand, START);
    struct inbound_metrics m;
    inbound_metrics(t->in, &m);
    assert_int_equal(m.ended, 1);
    inbound_world_free(t);
}

static struct hf_uuid hold(struct inbound_world *t, uint32_t i, int64_t quantity)
{
    struct core_line line = {t->fw.cells[i], 0, quantity};
    struct core_request r = {.verb = CORE_RESERVE,
                             .id = world_id(&t->fw.w),
                             .lines = &line,
                             .line_count = 1,
                             .ttl_ms = 600000};
    assert_int_equal(fworld_do(&t->fw, &r).outcome, CORE_OUT_DONE);
    fake_clock_advance_ms(&t->fw.w.clock, 5);
    return r.id;
}

static void a_short_cell_gives_back_its_newest_holds_or_not(void **state)
{
    (void)state;
    for (int policy = SHORT_KEEP; policy <= SHORT_RELEASE; policy++) {
        struct inbound_world *t = inbound_world_make(8);
        assert_true(poll(t));
        struct hf_uuid old = hold(t, 0, 600), middle = hold(t, 0, 200), young = hold(t, 0, 200);
        move(t, "tea", "WH/Stock", CUSTOMERS, 150, true);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).available, -150);
        struct short_watch s = {.core = t->fw.w.core, .policy = (enum short_policy)policy};
        assert_int_equal(short_look(&s, t->fw.w.worker), HF_OK);
        struct core_view v;
        struct core_worker *w = t->fw.w.worker;
        assert_int_equal(core_get(w, core_now(t->fw.w.core), old, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, CORE_STATE_HELD);
        assert_int_equal(core_get(w, core_now(t->fw.w.core), middle, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, CORE_STATE_HELD);
        assert_int_equal(core_get(w, core_now(t->fw.w.core), young, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, policy == SHORT_KEEP ? CORE_STATE_HELD : CORE_STATE_RELEASED);
        assert_int_equal(s.cells, policy == SHORT_KEEP);
        assert_int_equal(s.released, policy == SHORT_RELEASE);
        short_fini(&s);
        inbound_world_free(t);
    }
}

// ------------------------------------------------------------------------------- mode external

static struct inbound_world *external_world_make(uint64_t seed)
{
    struct inbound_world *t = inbound_world_make(seed);
    t->fw.places[0].mode = FLUSH_MODE_EXTERNAL;
    inbound_world_restart(t);
    assert_true(poll(t));
    return t;
}

static struct hf_uuid sell_as(struct inbound_world *t, enum core_verb verb, uint32_t i,
                              const char *reference, int64_t quantity)
{
    struct core_line line = {t->fw.cells[i], 0, quantity};
    struct core_text text = {.reference = reference, .reference_bytes = (uint8_t)strlen(reference)};
    struct core_request r = {
        .verb = verb, .id = world_id(&t->fw.w), .lines = &line, .line_count = 1, .text = &text};
    assert_int_equal(fworld_do(&t->fw, &r).outcome, CORE_OUT_DONE);
    world_settle(&t->fw.w);
    return r.id;
}

static void is(struct inbound_world *t, uint32_t i, int64_t on_hand, int64_t committed,
               int64_t external)
{
    struct core_cell c = cell(t, i);
    if (c.on_hand != on_hand || c.committed != committed || c.external != external)
        fail_msg("on hand %lld, committed %lld, external %lld", (long long)c.on_hand,
                 (long long)c.committed, (long long)c.external);
}

// Goods that left are read again and again, and the negative cache of references runs out.
static void poll_on(struct inbound_world *t)
{
    for (int i = 0; i < 3; i++) {
        assert_true(poll(t));
        fake_clock_advance_ms(&t->fw.w.clock, 61000);
    }
}

static void an_order_that_odoo_ships_is_deducted_once(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(11);
    sell_as(t, CORE_ORDER, 0, "SO-1", 5);
    json_int_t first = move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 2, false);
    json_int_t second = move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 3, false);
    poll_on(t);
    is(t, 0, START, 5, 0); // its own demand is not somebody else's
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", first)));
    poll_on(t);
    is(t, 0, START - 2, 3, 0);
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", second)));
    poll_on(t);
    is(t, 0, START - 5, 0, 0);
    assert_int_equal(cell(t, 0).available, START - 5);
    assert_true(fworld_run(&t->fw)); // nothing is posted, nothing is amiss
    assert_int_equal(sandbox_pickings(t->fw.sandbox, "done"), 2);
    assert_int_equal(odoo_of(t, 0), START - 5);
    inbound_world_free(t);
}

static void what_is_moved_beyond_the_order_is_somebodys(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(12);
    sell_as(t, CORE_ORDER, 0, "SO-1", 3);
    move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 5, false);
    move_for(t, "SO-2", "tea", "WH/Stock", CUSTOMERS, 7, false);
    poll_on(t);
    is(t, 0, START, 3, 2 + 7);
    move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 4, true);
    move_for(t, "SO-3", "tea", "WH/Stock", CUSTOMERS, 1, true);
    poll_on(t);
    is(t, 0, START - 5, 0, 5 + 7);
    inbound_world_free(t);
}

static void a_move_before_its_commit_is_settled_later(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(13);
    move_for(t, "SO-9", "tea", "WH/Stock", CUSTOMERS, 4, true);
    poll_on(t);
    is(t, 0, START - 4, 0, 0);
    fake_clock_advance_ms(&t->fw.w.clock, 3600000);
    move(t, "rye", VENDORS, "WH/Stock", 1, true); // moves of an hour ago are not read any more
    poll_on(t);
    inbound_world_restart(t);
    poll_on(t);
    sell_as(t, CORE_RECORD, 0, "SO-9", 4);
    is(t, 0, START - 4, 4, 0);
    poll_on(t);
    is(t, 0, START - 4, 0, 0);
    assert_int_equal(cell(t, 0).available, START - 4);
    inbound_world_free(t);
}

static void a_reservations_id_is_a_reference_too(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(14);
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(sell_as(t, CORE_ORDER, 0, "SO-1", 5), id);
    move_for(t, id, "tea", "WH/Stock", CUSTOMERS, 5, true);
    poll_on(t);
    is(t, 0, START - 5, 0, 0);
    inbound_world_free(t);
}

static void power_fails_at_every_storage_call_and_orders_count_once(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++) {
        struct inbound_world *t = external_world_make(15);
        sell_as(t, CORE_ORDER, 0, "SO-1", 6);
        move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 6, true);
        move_for(t, "SO-2", "oil", "WH/Stock", CUSTOMERS, 4, true);
        t->fw.w.disk->faults.crash_in = at;
        through = poll(t) && poll(t);
        t->fw.w.disk->faults.crash_in = 0;
        if (!through) {
            crashes++;
            inbound_world_restart(t);
        }
        assert_true(poll(t));
        sell_as(t, CORE_RECORD, 2, "SO-2", 5);
        poll_on(t);
        inbound_world_restart(t);
        poll_on(t);
        is(t, 0, START - 6, 0, 0);
        is(t, 2, START - 4, 1, 0);
        assert_true(fworld_run(&t->fw));
        inbound_world_free(t);
    }
    printf("%llu power losses\n", (unsigned long long)crashes);
    assert_true(crashes >= 8);
}

// ------------------------------------------------------------------------------- reconciliation

static enum hf_status poll_between(void *ctx)
{
    return poll(ctx) ? HF_OK : HF_IO;
}

static struct reconcile_report reconcile_with(struct inbound_world *t,
                                              enum hf_status (*between)(void *ctx))
{
    struct reconcile_report r;
    const struct reconcile_options o = {.core = t->fw.w.core,
                                        .mirror = &t->mirror,
                                        .desk = &t->desk.base,
                                        .passes = 3,
                                        .between = between,
                                        .ctx = t};
    world_settle(&t->fw.w);
    assert_int_equal(reconcile_run(&o, &r), HF_OK);
    assert_int_equal(r.count, CELLS);
    return r;
}

static struct reconcile_report reconcile(struct inbound_world *t)
{
    return reconcile_with(t, NULL);
}

// What Odoo shows of a move that nobody has read yet moves ours in between, and is no difference:
// else a person would set it right, and the move would come on top.
static void a_move_that_was_not_read_yet_is_no_difference(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(9);
    assert_true(poll(t));
    move(t, "fig", "WH/Stock", CUSTOMERS, 11, true);
    struct reconcile_report r = reconcile_with(t, poll_between);
    assert_int_equal(r.rows[6].cause, RECONCILE_AGREES);
    assert_int_equal(r.differing + r.moving, 0);
    assert_int_equal(cell(t, 6).on_hand, START - 11);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

// Found: they were rounded to the nearest unit, which was sold and not there, and told of nowhere.
static void fractions_are_told_and_never_for_sale(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(21);
    struct inbound_metrics m;
    assert_true(poll(t));
    move(t, "tea", "WH/Stock", CUSTOMERS, 0.4, true);
    assert_true(poll(t));
    assert_true(poll(t)); // the same line again
    assert_int_equal(cell(t, 0).on_hand, START - 1);
    inbound_metrics(t->in, &m);
    assert_int_equal(m.fractions, 1);
    move(t, "oil", "WH/Stock", CUSTOMERS, 0.4, false); // open: together one unit less for sale
    move(t, "oil", "WH/Stock", CUSTOMERS, 0.5, false);
    move(t, "kg", VENDORS, "WH/Stock", 1.234, true); // of three decimal places: whole
    assert_true(poll(t));
    assert_int_equal(cell(t, 2).external, 1);
    assert_int_equal(cell(t, 10).on_hand, START + 1234);
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.rows[0].cause, RECONCILE_FRACTION);
    assert_int_equal(r.rows[0].odoo, START - 1);
    assert_int_equal(r.rows[0].odoo_millionths, 600000);
    assert_int_equal(r.rows[10].cause, RECONCILE_AGREES);
    assert_int_equal(r.differing, 0);
    assert_int_equal(r.odd, 1);
    reconcile_report_free(&r);
    // Two parts in two places below the location are one unit, and no fraction.
    catalogue(&t->fw, "{\"locations\":[{\"complete_name\":\"WH/Stock/Shelf\",\"company_id\":1}],"
                      "\"stock\":[{\"product\":\"tea\",\"location\":\"WH/Stock/Shelf\","
                      "\"quantity\":1.4}]}");
    r = reconcile(t);
    assert_int_equal(r.rows[0].odoo, START + 1);
    assert_int_equal(r.rows[0].odoo_millionths, 0);
    assert_int_equal(r.rows[0].cause, RECONCILE_DIFFERENCE);
    assert_int_equal(r.odd, 0);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void what_is_on_its_way_explains_the_difference(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(5);
    fworld_sell(&t->fw, 0, 9, false);
    fworld_change(&t->fw, 1, 20, FLUSH_REASON_RECEIPT);
    fworld_change(&t->fw, 2, -3, "counted");
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.differing + r.moving, 0);
    assert_int_equal(r.rows[0].cause, RECONCILE_AGREES); // a sale moves neither side yet
    assert_int_equal(r.rows[1].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[1].terms.unposted, 20);
    assert_int_equal(r.rows[2].terms.unposted, -3);
    reconcile_report_free(&r);
    assert_true(fworld_run(&t->fw));
    r = reconcile(t);
    for (uint32_t i = 0; i < r.count; i++)
        assert_int_equal(r.rows[i].cause, RECONCILE_AGREES);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void a_difference_is_told_and_a_discard_explains_one(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(6);
    struct sandbox_answer a;
    static const char faults[] = "{\"faults\":[{\"kind\":\"user_error\",\"product\":\"tea\","
                                 "\"count\":-1}]}";
    struct sandbox_request fault = {
        .method = "POST", .path = "/sandbox/faults", .body = faults, .body_bytes = strlen(faults)};
    sandbox_handle(t->fw.sandbox, &fault, &a);
    free(a.body);
    fworld_sell(&t->fw, 0, 5, false);
    fworld_change(&t->fw, 1, -4, "counted");
    move(t, "fig", "WH/Stock", CUSTOMERS, 11, true); // and nobody has read it yet
    assert_true(fworld_run(&t->fw));
    struct reconcile_report r = reconcile(t);
    assert_int_equal(r.rows[1].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[1].terms.dead, -4);
    assert_int_equal(r.rows[6].cause, RECONCILE_DIFFERENCE);
    assert_int_equal(r.rows[6].difference, -11);
    assert_int_equal(r.differing, 1);
    reconcile_report_free(&r);
    for (uint64_t i = 1; i <= 2; i++) {
        struct flush_discarding k = {i, world_id(&t->fw.w), "ann", "gone"};
        assert_int_equal(flush_dead_discard(t->fw.f, &k, core_now(t->fw.w.core)), HF_OK);
    }
    for (int i = 0; i < 50; i++) {
        bool did;
        assert_true(fworld_pump(&t->fw, &did));
    }
    r = reconcile(t);
    assert_int_equal(r.rows[0].cause, RECONCILE_EXPLAINED);
    assert_int_equal(r.rows[0].terms.discarded, -5);
    assert_int_equal(r.rows[0].odoo, START);
    assert_int_equal(r.rows[0].terms.on_hand, START - 5);
    assert_int_equal(r.rows[1].terms.discarded, -4);
    assert_int_equal(r.differing, 1);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void random_work_on_both_sides_comes_out_even(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(7);
    assert_true(poll(t));
    for (int i = 0; i < 300; i++) {
        bool did;
        fworld_work(&t->fw);
        if (prng_chance(&t->fw.prng, 1, 8))
            move(t, sku_of((uint32_t)prng_below(&t->fw.prng, 5) * 2),
                 prng_chance(&t->fw.prng, 1, 2) ? VENDORS : "SHOP/Stock", "WH/Stock",
                 (int)prng_between(&t->fw.prng, 1, 5), true);
        if (prng_chance(&t->fw.prng, 1, 4))
            assert_true(fworld_pump(&t->fw, &did));
        if (prng_chance(&t->fw.prng, 1, 20))
            assert_true(poll(t));
        if (i % 50 == 0)
            world_settle(&t->fw.w);
    }
    assert_true(fworld_run(&t->fw));
    assert_true(poll(t));
    struct reconcile_report r = reconcile(t);
    for (uint32_t i = 0; i < r.count; i++)
        if (r.rows[i].cause != RECONCILE_AGREES)
            fail_msg("cell %u: %s %lld", i,
                     reconcile_cause_name((enum reconcile_cause)r.rows[i].cause),
                     (long long)r.rows[i].difference);
    reconcile_report_free(&r);
    inbound_world_free(t);
}

static void a_wish_is_answered_by_a_run_that_begins_after_it(void **state)
{
    struct observe_runs r = {0};
    (void)state;
    assert_int_equal(observe_runs_wish(&r), 1);
    observe_runs_begin(&r);
    assert_int_equal(observe_runs_wish(&r), 2); // the first is under way: it may have read before
    observe_runs_end(&r, true);
    assert_int_equal(r.told, 1);
    assert_true(r.wanted); // so nobody takes a failure before it for its own
    observe_runs_begin(&r);
    assert_int_equal(observe_runs_wish(&r), 3);
    observe_runs_end(&r, false);
    assert_true(r.failed && r.wanted);
    assert_int_equal(r.told, 1);
    observe_runs_begin(&r);
    observe_runs_end(&r, true);
    assert_int_equal(r.told, 3);
    assert_false(r.failed || r.wanted || r.under_way);
}

// A batch that Odoo answers with a missing right holds the flusher, for good when nobody mends it.
static void others_moves_come_in_while_a_batch_holds_the_flusher(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    bool did;
    assert_true(poll(t));
    fault(&t->fw, "{\"kind\":\"access\",\"method\":\"create\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(&t->fw, 0, 5, false);
    for (int round = 1; round <= 3; round++) {
        move(t, "oil", VENDORS, "WH/Stock", 10, true);
        fake_clock_advance_ms(&t->fw.w.clock, 70000); // locations are to be read again
        for (int i = 0; i < 50; i++)
            assert_true(fworld_pump(&t->fw, &did));
        fake_clock_advance_ms(&t->fw.w.clock, 2000);
        for (int i = 0; i < 50; i++)
            assert_true(fworld_pump(&t->fw, &did));
        uint64_t until_ms = t->fw.f->pause_until_ms;
        assert_int_equal(metrics(&t->fw).pause, FLUSH_PAUSE_RIGHTS);
        enum hf_status s = HF_AGAIN;
        for (int i = 0; i < 3 && s == HF_AGAIN; i++) { // the flusher does nothing meanwhile
            s = inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core));
            world_settle(&t->fw.w);
        }
        assert_int_equal(s, HF_OK);
        assert_int_equal(cell(t, 2).on_hand, START + 10 * round);
        assert_int_equal(t->fw.f->pause, FLUSH_PAUSE_RIGHTS);
        assert_int_equal(t->fw.f->pause_until_ms, until_ms);
    }
    inbound_world_free(t);
}

// Another database is none to be read, whatever else holds the flusher.
static void another_database_is_not_read_while_a_batch_holds_the_flusher(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(1);
    struct sandbox_answer a;
    const char *other = "{\"uuid\":\"11111111-2222-4333-8444-555555555555\"}";
    struct sandbox_request r = {
        .method = "POST", .path = "/sandbox/database", .body = other, .body_bytes = strlen(other)};
    bool did;
    assert_true(poll(t));
    fault(&t->fw, "{\"kind\":\"access\",\"method\":\"create\",\"product\":\"tea\",\"count\":-1}");
    fworld_sell(&t->fw, 0, 5, false);
    for (int i = 0; i < 100; i++) {
        fake_clock_advance_ms(&t->fw.w.clock, 700);
        assert_true(fworld_pump(&t->fw, &did));
    }
    for (int i = 0; i < 20 && t->fw.f->pause_until_ms <= core_now(t->fw.w.core); i++)
        assert_true(fworld_pump(&t->fw, &did));
    sandbox_handle(t->fw.sandbox, &r, &a);
    free(a.body);
    move(t, "oil", VENDORS, "WH/Stock", 10, true);
    assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
    assert_int_equal(cell(t, 2).on_hand, START);
    assert_int_equal(t->fw.f->pause, FLUSH_PAUSE_RIGHTS);
    inbound_world_free(t);
}

// An order of somebody else's whose name looks like a reservation's id was searched on the disk by
// each poll.
static void a_strangers_order_that_looks_like_an_id_is_not_searched_again_and_again(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(32);
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->fw.w), id);
    for (uint32_t i = 0; i < 40; i++)
        sell_as(t, CORE_ORDER, 0, "SO-1", 1);
    move_for(t, id, "tea", "WH/Stock", CUSTOMERS, 5, false);
    assert_true(poll(t));
    is(t, 0, START, 40, 5);
    uint64_t reads = t->fw.w.disk->counts.reads;
    for (int i = 0; i < 5; i++)
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_OK);
    assert_int_equal(t->fw.w.disk->counts.reads, reads);
    is(t, 0, START, 40, 5);
    inbound_world_free(t);
}

// A shop whose order numbers are UUIDs, and not the reservations' ids.
static void a_reference_may_look_like_an_id(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(33);
    char reference[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->fw.w), reference);
    sell_as(t, CORE_ORDER, 0, reference, 5);
    move_for(t, reference, "tea", "WH/Stock", CUSTOMERS, 2, false);
    poll_on(t);
    is(t, 0, START, 5, 0);
    move_for(t, reference, "tea", "WH/Stock", CUSTOMERS, 3, true);
    poll_on(t);
    is(t, 0, START - 3, 2, 0);
    inbound_world_free(t);
}

// Reads of the disk that the first poll after a restart costs when so many changes were planned.
static uint64_t reads_after(uint32_t changes)
{
    struct inbound_world *t = inbound_world_make(34);
    assert_true(poll(t));
    for (uint32_t i = 0; i < changes; i++)
        move(t, "tea", VENDORS, "WH/Stock", 1, true);
    assert_true(poll(t));
    for (uint32_t i = 0; i < 40; i++)
        fworld_sell(&t->fw, 2, 1, false);
    world_settle(&t->fw.w);
    inbound_world_restart(t);
    assert_int_equal(t->in->intent_count, changes);
    uint64_t reads = t->fw.w.disk->counts.reads;
    assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_OK);
    reads = t->fw.w.disk->counts.reads - reads;
    assert_int_equal(cell(t, 0).on_hand, START + changes);
    inbound_world_free(t);
    return reads;
}

static void a_start_looks_for_all_changes_in_one_go(void **state)
{
    (void)state;
    uint64_t one = reads_after(1), many = reads_after(50);
    printf("%llu reads, %llu\n", (unsigned long long)one, (unsigned long long)many);
    assert_true(one > 0 && many <= 3 * one);
}

// More moves than one poll plans: else the file could be written larger than it is read.
static void more_moves_than_a_poll_plans_come_in_by_and_by(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(31);
    t->plan_max = 3;
    inbound_world_restart(t);
    assert_true(poll(t));
    json_int_t open = move(t, "tea", "WH/Stock", CUSTOMERS, 50, false);
    assert_true(poll(t));
    for (int i = 0; i < 10; i++)
        move(t, "tea", VENDORS, "WH/Stock", 1, true);
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", open)));
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
        assert_true(t->in->intent_count <= 3);
        world_settle(&t->fw.w);
        struct core_cell c = cell(t, 0);
        // Demand is what it was until all that was shipped is known: nothing is free in between.
        assert_true(c.available <= START - 50 + 10);
        if (i == 2) {
            inbound_world_restart(t);
            assert_int_equal(t->in->line_count, 6);
        }
    }
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 50 + 10);
    assert_int_equal(cell(t, 0).external, 0);
    assert_true(poll(t));
    assert_int_equal(cell(t, 0).on_hand, START - 50 + 10);
    inbound_world_free(t);
}

// It read as fresh as long as no poll had ever gone through.
static void its_age_counts_from_the_start(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(35);
    struct inbound_metrics m;
    t->odoo.away = true;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_AGAIN);
        fake_clock_advance_ms(&t->fw.w.clock, 60000);
    }
    inbound_metrics(t->in, &m);
    assert_true(inbound_age_ms(&m, core_now(t->fw.w.core)) >= 600000);
    assert_int_equal(m.ended, 0);
    t->odoo.away = false;
    assert_true(poll(t));
    inbound_metrics(t->in, &m);
    assert_true(inbound_age_ms(&m, core_now(t->fw.w.core)) < 60000);
    inbound_world_free(t);
}

// Found: of more holds than are looked at in one go, those were given back that lay first in
// memory.
static void of_very_many_holds_the_newest_is_given_back(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(36);
    struct hf_uuid newest = {0, 0};
    struct core_view v;
    fworld_change(&t->fw, 0, 5000, FLUSH_REASON_INBOUND "import");
    for (int i = 0; i < 4800; i++) {
        newest = hold(t, 0, 1);
        if (i % 100 == 0)
            world_settle(&t->fw.w);
    }
    fworld_change(&t->fw, 0, -cell(t, 0).available - 1, FLUSH_REASON_INBOUND "count");
    assert_int_equal(cell(t, 0).available, -1);
    struct short_watch s = {.core = t->fw.w.core, .policy = SHORT_RELEASE};
    assert_int_equal(short_look(&s, t->fw.w.worker), HF_OK);
    assert_int_equal(s.released, 1);
    assert_int_equal(core_get(t->fw.w.worker, core_now(t->fw.w.core), newest, &v, NULL, 0), HF_OK);
    assert_int_equal(v.state, CORE_STATE_RELEASED);
    short_fini(&s);
    inbound_world_free(t);
}

// Found: the old picture was thrown away first. What was left of it said that nobody else wants
// anything, so that what others had asked for was for sale until the next reading.
static void a_reading_that_fails_leaves_what_was_read_before(void **state)
{
    static const char *const faults[] = {NULL,
                                         "{\"kind\":\"http_500\",\"model\":\"stock.location\"}",
                                         "{\"kind\":\"http_500\",\"model\":\"product.product\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct inbound_world *t = inbound_world_make(30 + i);
        struct reconcile_report r;
        const struct reconcile_options o = {
            .core = t->fw.w.core, .mirror = &t->mirror, .desk = &t->desk.base, .passes = 1};
        assert_true(poll(t));
        move(t, "tea", "WH/Stock", CUSTOMERS, 5, false);
        move(t, "oil", VENDORS, "WH/Stock", 40, true);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).external, 5);
        assert_int_equal(cell(t, 2).on_hand, START + 40);
        t->odoo.away = !faults[i];
        if (faults[i])
            fault(&t->fw, faults[i]);
        assert_int_equal(reconcile_run(&o, &r), HF_AGAIN);
        t->odoo.away = false;
        fake_clock_advance_ms(&t->fw.w.clock, 10000);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).external, 5);
        assert_int_equal(cell(t, 2).on_hand, START + 40);
        inbound_world_free(t);
    }
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_moves_are_applied_once),
        cmocka_unit_test(our_own_documents_are_left_out),
        cmocka_unit_test(open_demand_is_external_until_it_is_shipped),
        cmocka_unit_test(power_fails_at_every_storage_call_and_moves_count_once),
        cmocka_unit_test(each_call_for_its_file_fails_and_moves_count_once),
        cmocka_unit_test(a_file_that_is_gone_ends_it),
        cmocka_unit_test(a_short_cell_gives_back_its_newest_holds_or_not),
        cmocka_unit_test(an_order_that_odoo_ships_is_deducted_once),
        cmocka_unit_test(what_is_moved_beyond_the_order_is_somebodys),
        cmocka_unit_test(a_move_before_its_commit_is_settled_later),
        cmocka_unit_test(a_reservations_id_is_a_reference_too),
        cmocka_unit_test(power_fails_at_every_storage_call_and_orders_count_once),
        cmocka_unit_test(fractions_are_told_and_never_for_sale),
        cmocka_unit_test(what_is_on_its_way_explains_the_difference),
        cmocka_unit_test(a_move_that_was_not_read_yet_is_no_difference),
        cmocka_unit_test(a_difference_is_told_and_a_discard_explains_one),
        cmocka_unit_test(random_work_on_both_sides_comes_out_even),
        cmocka_unit_test(a_wish_is_answered_by_a_run_that_begins_after_it),
        cmocka_unit_test(of_very_many_holds_the_newest_is_given_back),
        cmocka_unit_test(its_age_counts_from_the_start),
        cmocka_unit_test(more_moves_than_a_poll_plans_come_in_by_and_by),
        cmocka_unit_test(a_start_looks_for_all_changes_in_one_go),
        cmocka_unit_test(a_strangers_order_that_looks_like_an_id_is_not_searched_again_and_again),
        cmocka_unit_test(a_reference_may_look_like_an_id),
        cmocka_unit_test(others_moves_come_in_while_a_batch_holds_the_flusher),
        cmocka_unit_test(another_database_is_not_read_while_a_batch_holds_the_flusher),
        cmocka_unit_test(a_reading_that_fails_leaves_what_was_read_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
