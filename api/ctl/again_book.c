#include "ctl/again.h"

#include "base/limits.h"

#include <stdlib.h>
#include <string.h>

#define NAME_BYTES (HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 2)

void again_init(struct again_book *b, struct again_place *places, uint32_t place_count)
{
    *b = (struct again_book){.places = places,
                             .place_count = place_count,
                             .by_cell = json_object(),
                             .by_order = json_object(),
                             .texts = json_array(),
                             .since = AGAIN_SINCE_OLDEST};
}

void again_fini(struct again_book *b)
{
    csv_file_fini(&b->csv);
    free(b->rows);
    free(b->cells);
    free(b->orders);
    free(b->lines);
    json_decref(b->by_cell);
    json_decref(b->by_order);
    json_decref(b->texts);
}

static void *room_make(void *array, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room)
        return array;
    *room = *room ? 2 * *room : 1024;
    return ctl_grow(array, *room * bytes);
}

// ------------------------------------------------------------------------------- names

uint32_t again_place(const struct again_book *b, const char *location)
{
    for (uint32_t i = 0; i < b->place_count; i++)
        if (strcmp(b->places[i].location->name, location) == 0)
            return i;
    return AGAIN_NONE;
}

static uint32_t index_of(const json_t *names, const char *name)
{
    const json_t *at = json_object_get(names, name);
    return at ? (uint32_t)json_integer_value(at) : AGAIN_NONE;
}

static const char *text_keep(struct again_book *b, const char *text)
{
    json_t *kept = json_string(text);
    json_array_append_new(b->texts, kept);
    return json_string_value(kept);
}

// No name has a line's end in it.
static void cell_name(const char *sku, const char *location, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s\n%s", sku, location);
}

static uint32_t cell_make(struct again_book *b, const char *sku, const char *location)
{
    char name[NAME_BYTES];
    uint32_t place = again_place(b, location);
    if (place == AGAIN_NONE)
        return AGAIN_NONE;
    cell_name(sku, location, name);
    b->cells = room_make(b->cells, b->cell_count, &b->cell_room, sizeof *b->cells);
    b->cells[b->cell_count] = (struct again_cell){
        .sku = sku, .location = b->places[place].location->name, .place = place};
    json_object_set_new(b->by_cell, name, json_integer(b->cell_count));
    return b->cell_count++;
}

uint32_t again_cell(struct again_book *b, const char *sku, const char *location, bool copy)
{
    char name[NAME_BYTES];
    cell_name(sku, location, name);
    uint32_t at = index_of(b->by_cell, name);
    return at == AGAIN_NONE && copy ? cell_make(b, text_keep(b, sku), location) : at;
}

static uint32_t order_of(struct again_book *b, const char *reference)
{
    uint32_t at = index_of(b->by_order, reference);
    if (at != AGAIN_NONE)
        return at;
    b->orders = room_make(b->orders, b->order_count, &b->order_room, sizeof *b->orders);
    b->orders[b->order_count] = (struct again_order){.reference = reference, .channel = ""};
    json_object_set_new(b->by_order, reference, json_integer(b->order_count));
    return b->order_count++;
}

void again_row_add(struct again_book *b, const struct again_row *r, const char *sku,
                   const char *location, const char *reference, const char *channel)
{
    struct again_row row = *r;
    row.cell = again_cell(b, sku, location, false);
    if (row.cell == AGAIN_NONE)
        row.cell = cell_make(b, sku, location);
    HF_ASSERT(row.cell != AGAIN_NONE);
    b->cells[row.cell].in_file = true;
    row.order = order_of(b, reference);
    if (*channel)
        b->orders[row.order].channel = channel;
    b->rows = room_make(b->rows, b->row_count, &b->row_room, sizeof *b->rows);
    b->rows[b->row_count++] = row;
}

// ------------------------------------------------------------------------------- sums

static bool add(int64_t *to, int64_t by)
{
    return !__builtin_add_overflow(*to, by, to) && *to <= HF_QUANTITY_MAX &&
           *to >= -HF_QUANTITY_MAX;
}

static int32_t oldest_day(const struct again_book *b)
{
    int32_t day = INT32_MAX;
    for (uint32_t i = 0; i < b->row_count; i++)
        day = b->rows[i].day < day ? b->rows[i].day : day;
    return day;
}

static int by_order_and_cell(const void *a, const void *b)
{
    const struct again_row *x = *(const struct again_row *const *)a,
                           *y = *(const struct again_row *const *)b;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

static void sums_clear(struct again_book *b)
{
    for (uint32_t i = 0; i < b->cell_count; i++)
        b->cells[i].shop = b->cells[i].told = b->cells[i].orders = 0;
    for (uint32_t i = 0; i < b->order_count; i++)
        b->orders[i].first = b->orders[i].count = b->orders[i].newest_ms = 0;
    free(b->lines);
    b->lines = ctl_alloc(b->row_count * sizeof *b->lines);
    b->line_count = 0;
}

// A row into its order's line, which is the last one or new. False: beyond what can be counted.
static bool line_add(struct again_book *b, const struct again_row *r)
{
    struct again_order *o = &b->orders[r->order];
    if (o->count == 0 || b->lines[b->line_count - 1].cell != r->cell) {
        o->first = o->count ? o->first : b->line_count;
        o->count++;
        b->lines[b->line_count++] = (struct again_line){.cell = r->cell};
    }
    if (r->quantity > 0 &&
        (r->sold_ms > o->newest_ms || (r->sold_ms == o->newest_ms && r->line > o->newest_line))) {
        o->newest_ms = r->sold_ms;
        o->newest_line = r->line;
    }
    return add(&b->lines[b->line_count - 1].net, r->quantity);
}

const struct again_row *again_sum(struct again_book *b, int32_t since)
{
    const struct again_row **sorted = ctl_alloc(b->row_count * sizeof(void *)), *bad = NULL;
    size_t n = 0;
    b->since = since == AGAIN_SINCE_OLDEST ? oldest_day(b) : since;
    sums_clear(b);
    for (uint32_t i = 0; i < b->row_count && !bad; i++) {
        const struct again_row *r = &b->rows[i];
        if (r->day < b->since)
            continue;
        sorted[n++] = r;
        bad = add(&b->cells[r->cell].shop, r->quantity) ? NULL : r;
    }
    qsort(sorted, n, sizeof(void *), by_order_and_cell);
    for (size_t i = 0; i < n && !bad; i++)
        bad = line_add(b, sorted[i]) ? NULL : sorted[i];
    free(sorted);
    return bad;
}

void again_odoo_sum(struct again_cell *cell)
{
    int64_t per = AGAIN_MICRO;
    for (unsigned i = 0; i < cell->scale; i++)
        per /= 10;
    cell->odoo = cell->micro / per - (cell->micro % per < 0);
}

int64_t again_missing(const struct again_cell *cell)
{
    return cell->shop - cell->odoo - cell->here;
}

// ------------------------------------------------------------------------------- the choice

static int newest_first(const void *a, const void *b)
{
    const struct again_order *x = *(const struct again_order *const *)a,
                             *y = *(const struct again_order *const *)b;
    if (x->newest_ms != y->newest_ms)
        return x->newest_ms > y->newest_ms ? -1 : 1;
    return x->newest_line > y->newest_line ? -1 : x->newest_line < y->newest_line;
}

static int64_t left_of(const struct again_cell *cell)
{
    return again_missing(cell) - cell->told;
}

static bool order_wanted(const struct again_book *b, const struct again_order *o)
{
    for (size_t i = o->first; i < o->first + o->count; i++)
        if (b->lines[i].net > 0 && left_of(&b->cells[b->lines[i].cell]) > 0)
            return true;
    return false;
}

static void order_take(struct again_book *b, const struct again_order *o)
{
    for (size_t i = o->first; i < o->first + o->count; i++) {
        struct again_line *l = &b->lines[i];
        struct again_cell *cell = &b->cells[l->cell];
        int64_t units = l->net - (l->known > 0 ? l->known : 0), left = left_of(cell);
        units = units < left ? units : left;
        if (units <= 0)
            continue;
        l->told = units;
        cell->told += units;
        cell->orders++;
    }
}

enum ctl_exit again_choose(struct again_book *b, again_known known, void *ctx)
{
    const struct again_order **sorted = ctl_alloc(b->order_count * sizeof(void *));
    for (uint32_t i = 0; i < b->order_count; i++)
        sorted[i] = &b->orders[i];
    qsort(sorted, b->order_count, sizeof(void *), newest_first);
    enum ctl_exit e = CTL_OK;
    for (uint32_t i = 0; i < b->order_count && e == CTL_OK; i++) {
        if (!order_wanted(b, sorted[i]))
            continue;
        e = known(ctx, sorted[i], &b->lines[sorted[i]->first]);
        if (e == CTL_OK)
            order_take(b, sorted[i]);
    }
    free(sorted);
    return e;
}
