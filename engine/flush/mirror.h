// Odoo's stock, read: which of its locations belong to which of ours, which product is which SKU,
// how much is where. Read only. One thread; calls block.
#ifndef HOLDFAST_FLUSH_MIRROR_H
#define HOLDFAST_FLUSH_MIRROR_H

#include "flush/flush.h"
#include "flush/odoo.h"

#define MIRROR_NONE UINT32_MAX

struct mirror_location {
    uint32_t id, place; // index of the option's location
};
struct mirror_product {
    uint32_t id;
    uint32_t sku;   // offset of its default_code in `texts`
    bool tracked;   // by lot or serial number
    bool ambiguous; // several products have this default_code
};

struct mirror {
    struct core *core; // borrowed
    struct odoo odoo;
    const struct flush_location *locations; // borrowed
    uint32_t location_count;
    struct mirror_location *inside; // by id: our locations and what is below them
    uint32_t inside_count;
    struct mirror_product *products; // by id: those with a default_code
    uint32_t product_count, product_room;
    char *texts;
    size_t text_bytes, text_room;
    char words[ODOO_WORDS_BYTES]; // why the last call failed
};

// HF_NO_MEMORY. `http` is borrowed, and nobody else's.
enum hf_status mirror_init(struct mirror *m, struct core *core, struct http *http,
                           const struct flush_options *o) HF_CHECKED;
void mirror_fini(struct mirror *m);

// Reads warehouses, locations and products anew. Unless it is HF_OK, what was read before stays as
// a whole: by half of it others want nothing, and their moves never happened. HF_AGAIN: Odoo did
// not answer as it should, see words; HF_INVALID: a warehouse is not there, or its code is several
// companies'; HF_NO_MEMORY.
enum hf_status mirror_read(struct mirror *m);

// Handle of a product in a location of Odoo's. MIRROR_NONE: outside, or no such cell here.
uint32_t mirror_cell(const struct mirror *m, uint32_t product, uint32_t location);
uint32_t mirror_place(const struct mirror *m, uint32_t location); // MIRROR_NONE: outside
const struct mirror_product *mirror_product(const struct mirror *m, uint32_t id); // NULL: unknown
const char *mirror_sku(const struct mirror *m, const struct mirror_product *p);

// In the cell's smallest units: the whole ones below it, and the fraction above them, 0 .. 1.
// False: no number, or it does not fit. Who sells takes the whole ones, so that nothing is sold
// which is not there.
bool mirror_quantity(const json_t *v, uint8_t scale, int64_t *whole, double *fraction);

// One page after another, by id, of a model; `domain` is taken. HF_AGAIN as above; what visit
// answers other than HF_OK ends it.
typedef enum hf_status (*mirror_visit)(void *ctx, const json_t *row);
enum hf_status mirror_pages(struct mirror *m, const char *model, json_t *domain, json_t *fields,
                            mirror_visit visit, void *ctx);

struct mirror_sums {  // by handle, `cells` entries each
    int64_t *whole;   // smallest units
    double *fraction; // of one, above them: 0 .. 1
    bool *seen;       // there is a quant
    uint32_t cells;
};
// Sums up every quant inside. `odd` counts cells whose sum is no whole number of smallest units,
// and quants that could not be read.
enum hf_status mirror_quants(struct mirror *m, const struct mirror_sums *out, uint32_t *odd);
json_t *mirror_inside(const struct mirror *m); // the ids of all locations inside; the caller's

#endif
