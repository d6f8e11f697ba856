// The stock of one engine in memory: cells, reservation slots with their index, timers, names.
// Lock-free; time is an argument; no input or output. Two of these exist: the live one, and the
// checkpointer's shadow, which one thread alone uses.
#ifndef HOLDFAST_STOCK_STOCK_H
#define HOLDFAST_STOCK_STOCK_H

#include "base/status.h"
#include "stock/cell.h"
#include "stock/map.h"
#include "stock/names.h"
#include "stock/slot.h"
#include "stock/wheel.h"

struct stock_sizes {
    uint32_t cells, ids, blocks; // capacities, >= 1
    uint32_t threads;            // numbers 0 .. threads-1 may take stock and push timers
    bool timers;                 // false: no wheels (shadow)
    bool huge;
    bool prefault;               // touch all memory at once
    uint64_t hash_key[2];        // of the index of ids; secret where clients choose ids
};

struct stock {
    struct stock_cells cells;
    struct stock_slots slots;
    struct stock_wheels wheels;
    struct stock_directory *directory;
    uint8_t *scales; // decimal places, one a cell
    struct stock_sizes sizes;
    struct stock_map map;
};

// What one thread needs to work on a stock.
struct stock_thread {
    struct stock_taker taker;
    struct stock_cache slots, blocks;
};

// HF_NO_MEMORY, HF_INVALID. All memory that it will ever use. Set-up.
enum hf_status stock_init(struct stock *s, const struct stock_sizes *sizes);
void stock_fini(struct stock *s);
uint64_t stock_bytes(const struct stock *s);
void stock_thread_init(struct stock *s, struct stock_thread *t, uint32_t number);
// Gives cached objects back. The thread is done.
void stock_thread_fini(struct stock_thread *t);

#endif
