#include "ratio_rows.h"

const struct ratio_row ratio_rows_core[] = {
    {.name = NULL},
};
