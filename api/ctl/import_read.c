#include "ctl/import.h"

#include "base/hash.h"
#include "base/limits.h"
#include "ctl/format.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS 6
enum { SKU, LOCATION, UNIT_SCALE, ON_HAND };

static const char *const columns[COLUMNS] = {"sku",     "location",     "unit_scale",
                                             "on_hand", "safety_stock", "backorder_limit"};
static const struct csv_columns wanted = {columns, COLUMNS, 2};

bool import_row_scale(struct import_row *r, unsigned unit_scale, bool raw, const char **which,
                      const char **why)
{
    r->unit_scale = unit_scale;
    for (size_t i = 0; i < IMPORT_VALUES; i++) {
        *which = columns[ON_HAND + i];
        *why = "must not be less than 0";
        if (r->given[i] &&
            (!parse_quantity(r->texts[i], raw ? 0 : unit_scale, &r->values[i], why) ||
             (i > 0 && r->values[i] < 0)))
            return false;
    }
    return true;
}

// The scale and the quantities of a row. Without a scale they must make sense by some, for now.
static bool numbers_good(struct ctl *c, struct import_file *f, const struct csv_row *row,
                         struct import_row *to)
{
    const char *scale = csv_file_field(&f->csv, row, UNIT_SCALE);
    if (*scale) {
        if (!(scale[0] >= '0' && scale[0] <= '0' + HF_UNIT_SCALE_MAX) || scale[1]) {
            csv_file_bad(c, &f->csv, row->line, "unit_scale", "must be 0 to 6");
            return false;
        }
        to->scale_given = true;
    }
    for (size_t i = 0; i < IMPORT_VALUES; i++) {
        const char *text = csv_file_field(&f->csv, row, ON_HAND + i);
        to->given[i] = *text; // else left as it is
        to->texts[i] = *text ? text : NULL;
    }
    const char *which, *why;
    unsigned least = to->scale_given ? (unsigned)(scale[0] - '0') : 0;
    unsigned most = to->scale_given ? least : HF_UNIT_SCALE_MAX;
    for (unsigned k = least; k <= most; k++)
        if (import_row_scale(to, k, c->raw, &which, &why))
            return true;
    csv_file_bad(c, &f->csv, row->line, which, why);
    return false;
}

static void take_row(struct ctl *c, struct import_file *f, const struct csv_row *row)
{
    struct import_row to = {.line = row->line,
                            .sku = csv_file_field(&f->csv, row, SKU),
                            .location = csv_file_field(&f->csv, row, LOCATION)};
    if (!csv_file_name(c, &f->csv, row, SKU, "sku", HF_SKU_BYTES_MAX) ||
        !csv_file_name(c, &f->csv, row, LOCATION, "location", HF_LOCATION_BYTES_MAX) ||
        !numbers_good(c, f, row, &to))
        return;
    if (f->count == f->room) {
        f->room = f->room ? 2 * f->room : 1024;
        f->rows = ctl_grow(f->rows, f->room * sizeof *f->rows);
    }
    f->rows[f->count++] = to;
}

// Each row's cell against those before it, through a table of row numbers.
static void find_twice(struct ctl *c, struct import_file *f)
{
    size_t room = 1024;
    while (room < 2 * f->count)
        room *= 2;
    size_t *seen = ctl_alloc(room * sizeof *seen); // row number + 1
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct import_row *r = &f->rows[i];
        size_t at = hf_hash(r->sku, strlen(r->sku), hf_hash(r->location, strlen(r->location), 0)) &
                    (room - 1);
        const struct import_row *other = NULL;
        for (; seen[at] && !other; at = (at + 1) & (room - 1)) {
            const struct import_row *o = &f->rows[seen[at] - 1];
            if (strcmp(o->sku, r->sku) == 0 && strcmp(o->location, r->location) == 0)
                other = o;
        }
        if (other) {
            char what[128], why[64];
            snprintf(what, sizeof what, "%s@%s", r->sku, r->location);
            snprintf(why, sizeof why, "was in line %" PRIu64 " already", other->line);
            csv_file_bad(c, &f->csv, r->line, what, why);
            continue;
        }
        f->rows[kept] = *r;
        seen[at] = ++kept;
    }
    f->count = kept;
    free(seen);
}

enum ctl_exit import_read(struct ctl *c, const char *path, struct import_file *f)
{
    *f = (struct import_file){0};
    if (!csv_file_open(c, path, &wanted, &f->csv))
        return CTL_USAGE;
    struct csv_row row;
    while (csv_file_row(c, &f->csv, &row))
        take_row(c, f, &row);
    find_twice(c, f);
    return CTL_OK;
}

void import_fini(struct import_file *f)
{
    csv_file_fini(&f->csv);
    free(f->rows);
}
