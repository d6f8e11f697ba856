#include "flush/import.h"

#include <string.h>

#define TRIES_MAX 200
#define WAIT_MS   50

struct importing {
    const struct import_options *o;
    struct core_worker *w;
    struct import_result *out;
};

static uint32_t id_of(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

// The scale that the SKU has elsewhere, else the one that was asked for.
static uint8_t scale_of(const struct importing *k, const char *sku)
{
    uint32_t other;
    struct core_cell c;
    if (core_sku_cells(k->o->core, sku, (uint32_t)strlen(sku), &other, 1) > 0 &&
        core_cell_read(k->o->core, other, &c) == HF_OK)
        return c.scale;
    return k->o->scale;
}

// The journal's buffers are few, and each cell takes one until the writer has been there.
static bool cell_make(struct importing *k, const char *sku, const char *location)
{
    struct core *c = k->o->core;
    struct core_admin_answer a;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        core_cell_make(k->w, core_now(c), sku, (uint32_t)strlen(sku), location,
                       (uint32_t)strlen(location), scale_of(k, sku), &a);
        if (a.outcome != CORE_OUT_BUSY || a.field != CORE_FIELD_NONE)
            break;
        if (core_wait(c, journal_appended(core_journal(c)), WAIT_MS) == HF_STOPPED)
            break;
    }
    return a.outcome == CORE_OUT_DONE;
}

static enum hf_status quant_visit(void *ctx, const json_t *row)
{
    struct importing *k = ctx;
    const struct mirror *m = k->o->mirror;
    uint32_t product = id_of(row, "product_id"), location = id_of(row, "location_id");
    uint32_t place = mirror_place(m, location);
    if (place == MIRROR_NONE || mirror_cell(m, product, location) != MIRROR_NONE)
        return HF_OK;
    const struct mirror_product *p = mirror_product(m, product);
    k->out->missing++;
    if (!p || p->ambiguous)
        k->out->nameless++;
    else if (p->tracked)
        k->out->tracked++;
    else if (!k->o->dry_run && cell_make(k, mirror_sku(m, p), m->locations[place].name))
        k->out->made++;
    else if (!k->o->dry_run)
        k->out->refused++;
    return HF_OK;
}

enum hf_status import_cells(const struct import_options *o, struct core_worker *w,
                            struct import_result *out)
{
    struct importing k = {o, w, out};
    *out = (struct import_result){0};
    return mirror_pages(o->mirror, "stock.quant",
                        json_pack("[[s,s,o]]", "location_id", "in", mirror_inside(o->mirror)),
                        json_pack("[s,s]", "product_id", "location_id"), quant_visit, &k);
}
