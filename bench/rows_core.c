#include "ratio_rows.h"
#include "rows_cell.h"

const struct ratio_row ratio_rows_core[] = {
    {.name = "cell",
     .what = "1-line holds that end by their deadline, 4M cells, one thread, 32 a batch, "
             "not synced, checkpointer and archive on : prefetched CAS loop over 1 GiB",
     .unit = "M/s",
     .direction = RATIO_AT_LEAST,
     .goal = 0.25,
     .set_up = cell_set_up,
     .measure = cell_measure,
     .tear_down = cell_tear_down},
    {.name = "basket",
     .what = "lines of 19-line orders, as in cell : lines of 1-line holds in the same engine",
     .unit = "M lines/s",
     .direction = RATIO_AT_LEAST,
     .goal = 0.6,
     .set_up = basket_set_up,
     .measure = basket_measure,
     .tear_down = cell_tear_down},
    {.name = NULL},
};
