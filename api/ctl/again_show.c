#include "ctl/again_show.h"

#include "ctl/format.h"
#include "ctl/table.h"

#include <inttypes.h>
#include <string.h>

static int64_t left_of(const struct again_cell *cell)
{
    return again_missing(cell) - cell->told;
}

static const char *quantity(const struct ctl *c, int64_t q, unsigned scale, char text[FORMAT_BYTES])
{
    return format_quantity(q, c->raw ? 0 : scale, text);
}

static void cell_row(const struct ctl *c, struct table *t, const struct again_cell *cell)
{
    const int64_t numbers[] = {cell->shop, cell->odoo, cell->here, again_missing(cell)};
    char text[FORMAT_BYTES], note[TABLE_CELL_BYTES] = "";
    int64_t left = left_of(cell);
    table_add(t, cell->sku);
    table_add(t, cell->location);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        table_add(t, quantity(c, numbers[i], cell->scale, text));
    snprintf(text, sizeof text, "%" PRIu32, cell->orders);
    table_add(t, text);
    if (left < 0)
        snprintf(note, sizeof note, "Odoo has more: a cancellation of %s was lost%s",
                 quantity(c, -left, cell->scale, text), cell->in_file ? "" : ", or rows are");
    else if (left > 0)
        snprintf(note, sizeof note, "%s are of no order that is unknown here",
                 quantity(c, left, cell->scale, text));
    table_add(t, note);
}

static void cells_show(const struct ctl *c, const struct again_book *b)
{
    static const struct table_column columns[] = {
        {"SKU", false, true},     {"LOCATION", false, true}, {"SOLD", true, false},
        {"IN ODOO", true, false}, {"HERE", true, false},     {"MISSING", true, false},
        {"ORDERS", true, false},  {"NOTE", false, false},    {NULL, false, false}};
    struct table t;
    uint32_t differ = 0;
    table_init(&t, columns);
    for (uint32_t i = 0; i < b->cell_count; i++) {
        differ += again_missing(&b->cells[i]) != 0;
        if (again_missing(&b->cells[i]) != 0 || c->option[OPT_ALL])
            cell_row(c, &t, &b->cells[i]);
    }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
    fprintf(c->io.out, "%" PRIu32 " cells, %" PRIu32 " differ\n", b->cell_count, differ);
}

static void orders_show(const struct ctl *c, const struct again_plan *p)
{
    static const struct table_column columns[] = {
        {"REFERENCE", false, true}, {"SOLD AT", false, false}, {"SKU", false, true},
        {"LOCATION", false, true},  {"TO TELL", true, false},  {"ID", false, false},
        {NULL, false, false}};
    struct table t;
    size_t i, k;
    json_t *order, *line;
    table_init(&t, columns);
    json_array_foreach(p->orders, i, order)
    {
        json_array_foreach(json_object_get(order, "lines"), k, line)
        {
            char text[FORMAT_BYTES];
            table_add(&t, ctl_odoo_text(order, "reference"));
            table_add(&t, format_time(json_integer_value(json_object_get(order, "sold_ms")), text));
            table_add(&t, ctl_odoo_text(line, "sku"));
            table_add(&t, ctl_odoo_text(line, "location"));
            table_add(&t,
                      quantity(c, json_integer_value(json_object_get(line, "quantity")),
                               (unsigned)json_integer_value(json_object_get(line, "unit_scale")),
                               text));
            table_add(&t, ctl_odoo_text(order, "reservation_id"));
        }
    }
    if (json_array_size(p->orders))
        table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
}

void again_show(const struct ctl *c, const struct again_book *b, const struct again_plan *p)
{
    cells_show(c, b);
    orders_show(c, p);
    fflush(c->io.out);
}
