#include "ratio_rows.h"
#include "rows_cell.h"
#include "rows_durable.h"

const struct ratio_row ratio_rows_core[] = {
    {.name = "cell",
     .what = "1-line holds that end by their deadline, 4M cells, one thread, 32 a batch, "
             "not synced, checkpointer and archive on : prefetched CAS loop over 1 GiB",
     .unit = "M/s",
     .direction = RATIO_AT_LEAST,
     .goal = 0.25,
     .notes = {"decision ns", "load CPU ns/hold", "writer CPU ns/hold", "timers CPU ns/hold",
               "keeper CPU ns/hold", "BUSY %"},
     .set_up = cell_set_up,
     .measure = cell_measure,
     .tear_down = cell_tear_down},
    {.name = "basket",
     .what = "lines of 19-line orders, as in cell : lines of 1-line holds in the same engine",
     .unit = "M lines/s",
     .direction = RATIO_AT_LEAST,
     .goal = 0.6,
     .notes = {"decision ns/line", "load CPU ns/line", "writer CPU ns/line", "timers CPU ns/line",
               "keeper CPU ns/line", "BUSY %", "hold's decision ns"},
     .set_up = basket_set_up,
     .measure = basket_measure,
     .tear_down = cell_tear_down},
    {.name = "durable",
     .what = "1-line orders told after they are synced, 1M cells, two threads, 32 a batch, "
             "checkpointer and archive on : the goal of 8 M/s",
     .unit = "M/s",
     .direction = RATIO_AT_LEAST,
     .goal = 1,
     .notes = {"bare 2 MiB write and sync MB/s", "group KiB", "decision ns", "load CPU ns/order",
               "writer CPU ns/order", "timers CPU ns/order", "keeper CPU ns/order", "BUSY %"},
     .set_up = durable_set_up,
     .measure = durable_measure,
     .tear_down = durable_tear_down},
    {.name = "latency",
     .what = "p50 from due to durable, open loop at half the durable rate, 32 orders a batch, "
             "as in durable : p50 of a bare write and fdatasync of as many bytes as a group had",
     .unit = "us",
     .direction = RATIO_AT_MOST,
     .goal = 1.8,
     .notes = {"p99 us", "bare p99 us", "load M/s", "group KiB", "engine's mean sync us"},
     .set_up = latency_set_up,
     .measure = latency_measure,
     .tear_down = latency_tear_down},
    {.name = NULL},
};
