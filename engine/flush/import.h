// Cells for what Odoo has in stock at our locations. Their quantities come by reconciliation, which
// knows what is on its way, so an import never overwrites sales and may be repeated.
#ifndef HOLDFAST_FLUSH_IMPORT_H
#define HOLDFAST_FLUSH_IMPORT_H

#include "flush/mirror.h"

struct import_options {
    struct core *core;
    struct mirror *mirror; // mirror_read has been called
    bool dry_run;          // count only
    uint8_t scale;         // decimal places of new cells, unless the SKU has others already
};
struct import_result {
    uint32_t missing; // quants without a cell here
    uint32_t made;
    // Not made: no default_code, or one that several products have, or a name that is no SKU here;
    // tracked by lot or serial number; the engine has no room, or another scale.
    uint32_t nameless, tracked, refused;
};
// Blocking. HF_AGAIN: Odoo did not answer. What was made stays.
enum hf_status import_cells(const struct import_options *o, struct core_worker *w,
                            struct import_result *out);

#endif
