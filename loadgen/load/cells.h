// The stock cells that a run works with: how each is named to the server, and what it held when the
// run began.
#ifndef HOLDFAST_LOADGEN_CELLS_H
#define HOLDFAST_LOADGEN_CELLS_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define CELLS_NONE UINT32_MAX

// What the server tells of a cell.
struct cell_values {
    int64_t available, on_hand, held, committed, external, safety, backorder;
    bool unsettled;
};

struct cell {
    const char *sku, *location; // NULL: only the handle is known
    uint32_t handle;
    bool has_handle;
    struct cell_values begin;
};

struct cells {
    struct cell *list;
    uint32_t count, room;
    uint64_t generation;
    bool by_name;        // name cells by SKU and location in requests
    uint32_t *by_handle; // handle -> index; CELLS_NONE: not ours
    uint32_t handle_room;
};

void cells_init(struct cells *c);
void cells_fini(struct cells *c);
// Set-up. NULL: no memory. The texts are copied; NULL, NULL: by handle only.
struct cell *cells_add(struct cells *c, const char *sku, const char *location);
// The cell's number in the directory, once it is known. HF_NO_MEMORY.
enum hf_status cells_handle(struct cells *c, uint32_t index, uint32_t handle) HF_CHECKED;
// CELLS_NONE: not ours. Any thread once set-up is over.
uint32_t cells_find(const struct cells *c, uint32_t handle);

#endif
