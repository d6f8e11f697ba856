// A flusher's world with a reader of what others do in Odoo, and the others.
#ifndef HOLDFAST_TESTS_UNIT_INBOUND_WORLD_H
#define HOLDFAST_TESTS_UNIT_INBOUND_WORLD_H

#include "flush_tests.h"
#include "tripping_storage.h"

#include "flush/inbound_internal.h"

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

static inline enum hf_status ask(struct flush_desk *d, flush_desk_work work, void *ctx,
                                 uint32_t timeout_ms)
{
    struct flush_world *fw = ((struct direct_desk *)d)->fw;
    (void)timeout_ms;
    work(fw->f, fw->w.worker, core_now(fw->w.core), ctx);
    return HF_OK;
}

static inline void inbound_world_open(struct inbound_world *t)
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

static inline void inbound_world_close(struct inbound_world *t)
{
    inbound_close(t->in);
    mirror_fini(&t->mirror);
}

static inline void inbound_world_restart(struct inbound_world *t)
{
    inbound_world_close(t);
    fworld_restart(&t->fw);
    inbound_world_open(t);
}

static inline struct inbound_world *inbound_world_make(uint64_t seed)
{
    struct inbound_world *t = calloc(1, sizeof *t);
    fworld_init(&t->fw, seed);
    fake_odoo_init(&t->odoo, t->fw.sandbox, t->fw.w.disk, &t->fw.w.clock);
    t->desk = (struct direct_desk){{.ask = ask}, &t->fw};
    inbound_world_open(t);
    return t;
}

static inline void inbound_world_free(struct inbound_world *t)
{
    inbound_world_close(t);
    fake_odoo_fini(&t->odoo);
    fworld_fini(&t->fw);
    free(t);
}

// A call to Odoo by somebody else. The answer is the caller's.
static inline json_t *other(struct inbound_world *t, const char *path, json_t *args)
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

static inline json_int_t id_by(struct inbound_world *t, const char *model, const char *field,
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
static inline json_int_t move_for(struct inbound_world *t, const char *order, const char *product,
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

static inline json_int_t move(struct inbound_world *t, const char *product, const char *from,
                              const char *to, double quantity, bool done)
{
    return move_for(t, "SO", product, from, to, quantity, done);
}

// Polls until one went through. False: power failed.
static inline bool poll(struct inbound_world *t)
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

// Two polls, while power fails at the storage call `at`; then it is back. False: it failed.
static inline bool poll_through(struct inbound_world *t, uint64_t at)
{
    t->fw.w.disk->faults.crash_in = at;
    bool through = poll(t) && poll(t);
    t->fw.w.disk->faults.crash_in = 0;
    if (!through)
        inbound_world_restart(t);
    assert_true(poll(t));
    return through;
}

static inline struct core_cell cell(struct inbound_world *t, uint32_t i)
{
    return world_read(&t->fw.w, t->fw.cells[i]);
}

static inline int64_t odoo_of(struct inbound_world *t, uint32_t i)
{
    return sandbox_quantity(t->fw.sandbox, sku_of(i), stock_of(i)) / 1000000;
}

#endif
