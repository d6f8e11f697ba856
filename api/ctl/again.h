// odoo tell-again: what the shop has sold and neither this folder nor Odoo knows, told once more.
//
//   shop - Odoo - here = missing         for each cell, since the beginning of a day
//
// shop: what the file says was sold, less what was taken back. Odoo: what the engine's documents
// have brought to customers, less what came back from them. here: what this folder knows and will
// not post any more, dead letters and discards, while posting is at rest. What is missing is told
// by Record, with the lines of the newest orders that this folder does not know: units are posted
// in the order in which they were sold, cell by cell, so the missing ones are the newest.
//
// The comparison and the choice are pure; what is told is settled as a plan, in the state file,
// before the first call. Its ids are made from the run's id, so a plan may be sent again and again.
#ifndef HOLDFAST_CTL_AGAIN_H
#define HOLDFAST_CTL_AGAIN_H

#include "ctl/csv_file.h"
#include "ctl/odoo.h"
#include "flush/flush.h"

#include <jansson.h>

#define AGAIN_NONE         UINT32_MAX
#define AGAIN_MICRO        1000000 // Odoo's quantities are read in millionths of a unit
#define AGAIN_ENGINES_MAX  32
#define AGAIN_SINCE_OLDEST INT32_MIN

struct zone;

// A location of the options.
struct again_place {
    const struct flush_location *location;
    struct zone *zone;
    uint32_t stock;                            // Odoo's location that sales leave
    uint32_t type_out, type_in, type_internal; // of the warehouse's transfers
};

struct again_cell {
    const char *sku, *location;
    uint32_t place; // index
    unsigned scale;
    bool in_file;
    int64_t micro;            // Odoo's, see AGAIN_MICRO
    int64_t shop, odoo, here; // smallest units
    int64_t told;             // of the orders that were chosen
    uint32_t orders;          // how many these are
};

struct again_row {
    uint64_t line, sold_ms;
    int32_t day; // of the sale, since 1970, in the zone of its location
    uint32_t cell, order;
    const char *text;
    int64_t quantity;
};

// The rows of one reference.
struct again_order {
    const char *reference, *channel;
    uint64_t newest_ms, newest_line; // of those that sell
    size_t first, count;             // lines
};

struct again_line { // an order's rows of one cell
    uint32_t cell;
    int64_t net;   // sold less taken back
    int64_t known; // of it, to this folder
    int64_t told;
};

struct again_book {
    struct csv_file csv;
    struct again_place *places;
    uint32_t place_count;
    struct again_row *rows;
    struct again_cell *cells;
    struct again_order *orders;
    struct again_line *lines;
    uint32_t row_count, row_room, cell_count, cell_room, order_count, order_room, line_count;
    json_t *by_cell, *by_order; // name -> index
    json_t *texts;              // names that are in no file
    int32_t since;              // the first day that counts
};

// ------------------------------------------------------------------------------- again_book.c
// `places` is borrowed.
void again_init(struct again_book *b, struct again_place *places, uint32_t place_count);
void again_fini(struct again_book *b);
uint32_t again_place(const struct again_book *b, const char *location); // AGAIN_NONE: none has it
// A cell by its name; made, with a copy of the name, when `copy`. AGAIN_NONE: no place has the
// location, or it is not there.
uint32_t again_cell(struct again_book *b, const char *sku, const char *location, bool copy);
// Adds a row, and its cell and order when they are new; the texts are borrowed. cell is settled.
void again_row_add(struct again_book *b, const struct again_row *r, const char *sku,
                   const char *location, const char *reference, const char *channel);
// Sums the rows of the day `since` and later up, per cell and per order and cell;
// AGAIN_SINCE_OLDEST: of all. NULL, or a row that takes a sum beyond what can be counted.
const struct again_row *again_sum(struct again_book *b, int32_t since);
// Odoo's sum in smallest units, rounded down.
void again_odoo_sum(struct again_cell *cell);
int64_t again_missing(const struct again_cell *cell); // negative: Odoo has more

// Fills `known` of the order's lines. CTL_OK, or the end of it all.
typedef enum ctl_exit (*again_known)(void *ctx, const struct again_order *o,
                                     struct again_line *lines);
// Chooses what is told: the newest orders first, of each what is not known, up to what is missing.
// Only orders with a line that could be told are asked for.
enum ctl_exit again_choose(struct again_book *b, again_known known, void *ctx);

// ------------------------------------------------------------------------------- again_read.c
// Reads the file ("-": standard input). CTL_USAGE: told, or rows are bad, each of which was told.
enum ctl_exit again_read(struct ctl *c, const char *path, struct again_book *b);
// Reads the quantities by their cells' scales. False: bad ones were told.
bool again_read_quantities(struct ctl *c, struct again_book *b);

// ------------------------------------------------------------------------------- again_odoo.c
struct again_engines {
    char *text; // the names are in it
    const char *named[AGAIN_ENGINES_MAX], *others[AGAIN_ENGINES_MAX];
    uint32_t named_count, other_count;
};
// --odoo-engine and --other-engines. False: told.
bool again_engines_read(struct ctl *c, struct again_engines *e);
void again_engines_fini(struct again_engines *e);
// "HF/shop/0123.../0/77": the name between the slashes. NULL: not such a name.
const char *again_engine_of(const char *document, char out[FLUSH_ENGINE_BYTES_MAX + 1]);
// What the documents of the named engines have moved since the day, into the cells' `micro`; makes
// those that the file does not have.
enum ctl_exit again_odoo_read(struct ctl *c, struct ctl_odoo *o, struct again_book *b,
                              const struct again_engines *engines);

// ------------------------------------------------------------------------------- again_plan.c
struct again_plan {
    struct hf_uuid run;
    json_t *orders; // {reservation_id, reference, channel, sold_ms, lines: {sku, location,
                    // unit_scale, quantity}}
};
// Of what was chosen. An order of more lines than a reservation may have comes in parts.
void again_plan_make(const struct again_book *b, struct hf_uuid run, struct again_plan *p);
void again_plan_fini(struct again_plan *p);
struct hf_uuid again_id(struct hf_uuid run, const char *reference, unsigned part);
// Written to a new file beside it, synced, and renamed. False: told.
bool again_plan_write(struct ctl *c, const char *path, const struct again_plan *p);
bool again_plan_read(struct ctl *c, const char *path, struct again_plan *p);

#endif
