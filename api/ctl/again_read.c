#include "ctl/again.h"

#include "base/limits.h"
#include "ctl/format.h"
#include "stock/names.h"
#include "sys/zone.h"

#include <string.h>

enum { REFERENCE, SOLD_AT, SKU, LOCATION, QUANTITY, CHANNEL, COLUMNS };
static const char *const columns[COLUMNS] = {"reference", "sold_at",  "sku",
                                             "location",  "quantity", "channel"};
static const struct csv_columns wanted = {columns, COLUMNS, CHANNEL};

static bool quantity_read(const char *text, unsigned scale, int64_t *quantity, const char **why)
{
    *why = "must not be 0";
    return parse_quantity(text, scale, quantity, why) && *quantity != 0;
}

// Which scale it is read by turns out later; it must make sense by some.
static bool quantity_sane(const struct ctl *c, const char *text, const char **why)
{
    int64_t quantity;
    for (unsigned scale = 0; scale <= (c->raw ? 0 : HF_UNIT_SCALE_MAX); scale++)
        if (quantity_read(text, scale, &quantity, why))
            return true;
    return false;
}

static bool row_bad(struct ctl *c, struct again_book *b, const struct csv_row *row, int column,
                    const char *why)
{
    csv_file_bad(c, &b->csv, row->line, columns[column], why);
    return false;
}

static bool place_good(struct ctl *c, struct again_book *b, const struct csv_row *row,
                       uint32_t *place)
{
    *place = again_place(b, csv_file_field(&b->csv, row, LOCATION));
    if (*place == AGAIN_NONE)
        return row_bad(c, b, row, LOCATION, "is none of --odoo-locations");
    if (b->places[*place].location->mode == FLUSH_MODE_EXTERNAL)
        return row_bad(c, b, row, LOCATION, "has mode external: nothing is posted from there");
    return true;
}

static bool row_good(struct ctl *c, struct again_book *b, const struct csv_row *row,
                     struct again_row *to)
{
    const char *channel = csv_file_field(&b->csv, row, CHANNEL), *why;
    uint32_t place;
    if (!csv_file_name(c, &b->csv, row, REFERENCE, columns[REFERENCE], HF_REFERENCE_BYTES_MAX) ||
        !csv_file_name(c, &b->csv, row, SKU, columns[SKU], HF_SKU_BYTES_MAX) ||
        !csv_file_name(c, &b->csv, row, LOCATION, columns[LOCATION], HF_LOCATION_BYTES_MAX) ||
        (*channel &&
         !csv_file_name(c, &b->csv, row, CHANNEL, columns[CHANNEL], HF_CHANNEL_BYTES_MAX)) ||
        !place_good(c, b, row, &place))
        return false;
    if (!zone_time_parse(csv_file_field(&b->csv, row, SOLD_AT), &to->sold_ms))
        return row_bad(c, b, row, SOLD_AT,
                       "must be a time with its zone, such as 2026-11-26T10:00:00Z");
    to->text = csv_file_field(&b->csv, row, QUANTITY);
    if (!quantity_sane(c, to->text, &why))
        return row_bad(c, b, row, QUANTITY, why);
    to->line = row->line;
    to->day = zone_day(b->places[place].zone, to->sold_ms);
    return true;
}

enum ctl_exit again_read(struct ctl *c, const char *path, struct again_book *b)
{
    if (!csv_file_open(c, path, &wanted, &b->csv))
        return CTL_USAGE;
    struct csv_row row;
    while (csv_file_row(c, &b->csv, &row)) {
        struct again_row r = {0};
        if (row_good(c, b, &row, &r))
            again_row_add(
                b, &r, csv_file_field(&b->csv, &row, SKU), csv_file_field(&b->csv, &row, LOCATION),
                csv_file_field(&b->csv, &row, REFERENCE), csv_file_field(&b->csv, &row, CHANNEL));
    }
    return b->csv.bad ? CTL_USAGE : CTL_OK;
}

bool again_read_quantities(struct ctl *c, struct again_book *b)
{
    const char *why;
    for (uint32_t i = 0; i < b->row_count; i++) {
        struct again_row *r = &b->rows[i];
        unsigned scale = c->raw ? 0 : b->cells[r->cell].scale;
        if (!quantity_read(r->text, scale, &r->quantity, &why))
            csv_file_bad(c, &b->csv, r->line, columns[QUANTITY], why);
    }
    return b->csv.bad == 0;
}
