// Cells on the server: making them, finding them, reading what they hold. Blocking; set-up and
// audit.
#ifndef HOLDFAST_LOADGEN_CATALOGUE_H
#define HOLDFAST_LOADGEN_CATALOGUE_H

#include "load/ask.h"
#include "load/cells.h"

#include <stdbool.h>

// Called now and then with how many of how many are done; total 0: not known.
typedef void (*catalogue_progress)(void *ctx, uint64_t done, uint64_t total);

struct catalogue {
    struct asker *asker;
    struct cells *cells;
    catalogue_progress progress; // NULL: silent
    void *ctx;
    struct ask_error error; // when something was not done
};

// Names `skus` x `locations` cells, SKU-0000001 at L-01 and so on. False: no memory.
bool catalogue_name(struct cells *cells, uint32_t skus, uint32_t locations);
// Makes all cells that have names and sets their stock on hand; learns their handles.
bool catalogue_import(struct catalogue *c, int64_t (*stock)(const void *ctx, uint32_t cell),
                      const void *ctx, uint64_t seed);
// Adds what the server has: the cells of a location, or of all ("").
bool catalogue_list(struct catalogue *c, const char *location);
// Reads the cells of these indexes.
bool catalogue_read(struct catalogue *c, const uint32_t *indexes, uint32_t count,
                    struct cell_values *out);
// Sets `begin` of every cell to what it holds now.
bool catalogue_begin(struct catalogue *c);

#endif
