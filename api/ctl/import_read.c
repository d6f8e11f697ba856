#include "ctl/import.h"

#include "base/hash.h"
#include "base/limits.h"
#include "ctl/csv.h"
#include "ctl/format.h"
#include "stock/names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)4 << 30)
#define COLUMNS        6

static const char *const columns[COLUMNS] = {"sku",     "location",     "unit_scale",
                                             "on_hand", "safety_stock", "backorder_limit"};

// Which field of a row is which column; -1: it has none.
struct header {
    int field[COLUMNS];
    size_t count;
};

static void tell_bad(struct ctl *c, struct import_file *f, uint64_t line, const char *what,
                     const char *why)
{
    char clean[200];
    format_clean(what, clean, sizeof clean);
    fprintf(c->io.err, "%s:%" PRIu64 ": %s%s%s\n", f->path, line, clean, *clean ? " " : "", why);
    f->bad++;
}

// The whole file, with a byte to spare. NULL: told.
static char *read_all(struct ctl *c, const char *path, size_t *bytes)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "re");
    char *text = NULL;
    size_t room = 0;
    *bytes = 0;
    bool good = in != NULL;
    while (good && !feof(in)) {
        if (room - *bytes < 2) {
            room = room ? 2 * room : 1 << 20;
            text = ctl_grow(text, room);
        }
        *bytes += fread(text + *bytes, 1, room - *bytes - 1, in);
        good = !ferror(in) && *bytes < FILE_BYTES_MAX;
    }
    if (in && !standard)
        (void)fclose(in);
    if (good)
        return text;
    ctl_usage(c, "%s: %m", path);
    free(text);
    return NULL;
}

static bool read_header(struct ctl *c, struct import_file *f, struct csv *csv, struct header *h)
{
    struct csv_row row;
    const char *why = "is empty";
    enum csv_result r = csv_next(csv, &row, &why);
    if (r != CSV_ROW) {
        tell_bad(c, f, row.line, "the header", why);
        return false;
    }
    for (size_t k = 0; k < COLUMNS; k++)
        h->field[k] = -1;
    h->count = row.count;
    for (size_t i = 0; i < row.count; i++) {
        size_t k = 0;
        while (k < COLUMNS && strcmp(columns[k], row.fields[i]) != 0)
            k++;
        if (k == COLUMNS || h->field[k] >= 0) {
            tell_bad(c, f, row.line, row.fields[i],
                     k < COLUMNS ? "is there twice"
                     : strchr(row.fields[i], ';')
                         ? "is no column; are the fields separated by semicolons?"
                         : "is no column: sku, location, unit_scale, on_hand, safety_stock, "
                           "backorder_limit");
            return false;
        }
        h->field[k] = (int)i;
    }
    if (h->field[0] >= 0 && h->field[1] >= 0)
        return true;
    tell_bad(c, f, row.line, "the header", "needs sku and location");
    return false;
}

static bool name_good(struct ctl *c, struct import_file *f, const struct csv_row *row, int field,
                      const char *column, uint32_t most)
{
    size_t bytes = row->bytes[field];
    if (bytes <= most && stock_name_valid(row->fields[field], (uint32_t)bytes, most))
        return true;
    char why[80];
    snprintf(why, sizeof why, "must be UTF-8 of 1 to %u bytes without control characters", most);
    tell_bad(c, f, row->line, column, why);
    return false;
}

bool import_row_scale(struct import_row *r, unsigned unit_scale, bool raw, const char **which,
                      const char **why)
{
    r->unit_scale = unit_scale;
    for (size_t i = 0; i < IMPORT_VALUES; i++) {
        *which = columns[3 + i];
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
                         const struct header *h, struct import_row *to)
{
    const char *scale = h->field[2] >= 0 ? row->fields[h->field[2]] : "";
    if (*scale) {
        if (!(scale[0] >= '0' && scale[0] <= '0' + HF_UNIT_SCALE_MAX) || scale[1]) {
            tell_bad(c, f, row->line, "unit_scale", "must be 0 to 6");
            return false;
        }
        to->scale_given = true;
    }
    for (size_t i = 0; i < IMPORT_VALUES; i++) {
        int field = h->field[3 + i];
        to->given[i] = field >= 0 && row->bytes[field] > 0; // else left as it is
        to->texts[i] = to->given[i] ? row->fields[field] : NULL;
    }
    const char *which, *why;
    unsigned least = to->scale_given ? (unsigned)(scale[0] - '0') : 0;
    unsigned most = to->scale_given ? least : HF_UNIT_SCALE_MAX;
    for (unsigned k = least; k <= most; k++)
        if (import_row_scale(to, k, c->raw, &which, &why))
            return true;
    tell_bad(c, f, row->line, which, why);
    return false;
}

static void take_row(struct ctl *c, struct import_file *f, const struct csv_row *row,
                     const struct header *h)
{
    if (row->count != h->count) {
        char why[80];
        snprintf(why, sizeof why, "%zu fields, the header has %zu", row->count, h->count);
        tell_bad(c, f, row->line, "", why);
        return;
    }
    struct import_row to = {
        .line = row->line, .sku = row->fields[h->field[0]], .location = row->fields[h->field[1]]};
    if (!name_good(c, f, row, h->field[0], "sku", HF_SKU_BYTES_MAX) ||
        !name_good(c, f, row, h->field[1], "location", HF_LOCATION_BYTES_MAX) ||
        !numbers_good(c, f, row, h, &to))
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
            tell_bad(c, f, r->line, what, why);
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
    *f = (struct import_file){.path = path};
    size_t bytes;
    f->text = read_all(c, path, &bytes);
    if (!f->text)
        return CTL_USAGE;
    f->hash = hf_hash(f->text, bytes, 0);
    struct csv csv;
    struct header header;
    csv_init(&csv, f->text, bytes);
    if (!read_header(c, f, &csv, &header))
        return CTL_USAGE;
    struct csv_row row;
    const char *why = "";
    for (enum csv_result r; (r = csv_next(&csv, &row, &why)) != CSV_END;) {
        if (r == CSV_BAD)
            tell_bad(c, f, row.line, "", why);
        else
            take_row(c, f, &row, &header);
    }
    find_twice(c, f);
    return CTL_OK;
}

void import_fini(struct import_file *f)
{
    free(f->text);
    free(f->rows);
}
