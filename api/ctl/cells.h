// Cells and lines that a command names, and the unit scales that their quantities are shown with.
#ifndef HOLDFAST_CTL_CELLS_H
#define HOLDFAST_CTL_CELLS_H

#include "ctl/ctl.h"
#include "ctl/format.h"

#include "holdfast/v1/common.pb-c.h"

// Unit scales, remembered: each cell is asked for once.
struct scales {
    struct scale {
        char sku[65], location[33];
        unsigned scale;
    } * list;
    size_t count, room;
};
void scales_fini(struct scales *s);
// 0 when it is not known.
unsigned scales_get(const struct scales *s, const char *sku, const char *location);
// Names a cell that is to be asked for by the next scales_fetch.
struct scales_wanted {
    const char **skus, **locations; // borrowed
    size_t count;
    bool even_raw;
};
// Asks the server for those that are not known yet. With --raw: nothing to do, unless `even_raw`. A
// cell that is not there is an error when `must`; else its scale counts as 0.
enum ctl_exit scales_fetch(struct ctl *c, struct scales *s, const struct scales_wanted *w,
                           bool must);

// The lines of a request, from SKU@LOCATION=QUANTITY.
struct lines {
    size_t count;
    struct format_line *names;
    Holdfast__V1__Line *messages;
    Holdfast__V1__Line **list; // for the request
    struct scales scales;
};
// Arguments from `first` on. CTL_OK, or told.
enum ctl_exit lines_read(struct ctl *c, int first, struct lines *l);
void lines_fini(struct lines *l);

#endif
