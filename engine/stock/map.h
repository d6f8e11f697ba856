// Several arrays in one mapping: stated one by one, then taken together, zeroed and page-aligned
// as a whole, each array on a cache line of its own. Set-up only.
#ifndef HOLDFAST_STOCK_MAP_H
#define HOLDFAST_STOCK_MAP_H

#include "base/memory.h"

#include <stdint.h>

#define STOCK_MAP_WANTS 16

struct stock_map {
    struct hf_memory memory;
    struct {
        void **where;
        uint64_t offset;
    } wants[STOCK_MAP_WANTS];
    uint32_t count;
    uint64_t bytes;
};

void stock_map_want(struct stock_map *m, void **where, uint64_t bytes);
// Sets every stated pointer. Explicit huge pages are there at once, so they are taken with
// `prefault` only; without it `huge` means transparent ones. False: no memory.
bool stock_map_take(struct stock_map *m, bool huge, bool prefault);
void stock_map_drop(struct stock_map *m);

#endif
