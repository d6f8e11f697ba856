// Stock cells and the takes on them: one cache line a cell, one 128-bit word that decides.
//
//    0         8         16       24         32        40      48         56      60
//    +---------+---------+--------+----------+---------+-------+----------+-------+------+
//    |available|   tag   |on hand |committed |external |safety |backorder | admin | hint |
//    | << 8 |F | or mark |        |          |         |       |  limit   |  seq  |      |
//    +---------+---------+--------+----------+---------+-------+----------+-------+------+
//     \_ decision word _/
//
// Held is derived, never stored. A take (whatever lowers `available`) swaps the whole decision word
// and leaves a tag that never recurs; a return adds to the first half alone. A take of several
// cells is a multi-word compare-and-swap with helping; see cell.c.
#ifndef HOLDFAST_STOCK_CELL_H
#define HOLDFAST_STOCK_CELL_H

#include "base/atomics.h"
#include "base/limits.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct stock_cell {
    struct hf_word128 decision;
    int64_t on_hand, committed, external, safety, backorder;
    uint32_t admin_seq; // odd while an administrative change is under way
    uint32_t hint;      // about when a hold on this cell ends: 100 ms units of engine time, wraps
} __attribute__((aligned(HF_CACHE_LINE)));
static_assert(sizeof(struct stock_cell) == HF_CACHE_LINE, "one cache line");
static_assert(offsetof(struct stock_cell, hint) == 60, "no holes");

#define STOCK_FLAG_ACTIVE 1u
#define STOCK_FLAG_BITS   8

// One cell of a take. quantity >= 1. Lists of them are sorted by cell, without repeats.
struct stock_take {
    uint32_t cell;
    uint32_t unused;
    int64_t quantity;
};

// A pending take of several cells, owned by one thread, finished by anybody. Type-stable: read by
// helpers at any time and validated by the sequence in `status` after copying.
struct stock_descriptor {
    uint64_t status; // sequence << 2 | enum in cell.c
    uint32_t count;
    uint32_t refused; // index of the cell that refused; advisory
    struct stock_take takes[HF_LINES_MAX];
} __attribute__((aligned(HF_CACHE_LINE)));

struct stock_cells {
    struct stock_cell *cells;
    struct stock_descriptor *descriptors; // one a thread number
};

// What a thread owns to take stock: a number that no other live thread has, and the sequence that
// makes its tags unique. Statistics are the thread's own.
struct stock_taker {
    struct stock_cells *cells;
    uint64_t sequence;
    uint32_t number; // 0 .. HF_THREADS_MAX - 1
    uint64_t helped, retries;
};

static inline int64_t stock_word_available(uint64_t lo)
{
    return (int64_t)lo >> STOCK_FLAG_BITS;
}
static inline uint64_t stock_word(int64_t available, unsigned flags)
{
    return ((uint64_t)available << STOCK_FLAG_BITS) | flags;
}

// Available of a cell: advisory, one load. While a take of several cells is undecided, it is the
// amount before that take.
static inline int64_t stock_available(const struct stock_cell *cell)
{
    return stock_word_available(hf_load_relaxed(&cell->decision.lo));
}
static inline bool stock_active(const struct stock_cell *cell)
{
    return (hf_load_relaxed(&cell->decision.lo) & STOCK_FLAG_ACTIVE) != 0;
}

// Takes `quantity` or nothing. Returns true when taken; *available is what the decision left, or
// what it found. Never below zero unless `fact`, which takes whatever there is (down to
// -HF_AVAILABLE_MAX / 2, then false). Lock-free.
bool stock_take_one(struct stock_taker *t, uint32_t cell, int64_t quantity, bool fact,
                    int64_t *available);

// Several single-line takes of one cell, combined into one swap, accepted in order.
// taken[i] tells which; *left is what remained. `partial`: an entry that does not fit whole takes
// the rest (given[i] tells how much). Lock-free.
struct stock_wish {
    int64_t quantity;
    int64_t given; // out
    bool partial;
};
void stock_take_combined(struct stock_taker *t, uint32_t cell, struct stock_wish *wishes,
                         uint32_t count, int64_t *left);

// Takes all of `takes` or none. On refusal *refused is the index of a cell that had too little.
// takes is sorted and at most HF_LINES_MAX long. Lock-free: a stopped thread's take is finished by
// whoever meets it.
bool stock_take_all(struct stock_taker *t, const struct stock_take *takes, uint32_t count,
                    uint32_t *refused);

// Gives stock back. Wait-free; needs no tag: a mark on the cell keeps an amount that only grew.
static inline void stock_give(struct stock_cell *cell, int64_t quantity)
{
    hf_add(&cell->decision.lo, (uint64_t)quantity << STOCK_FLAG_BITS); // A1, pairs with A0
}

// Sets or clears flags, by a swap with a fresh tag. Lock-free.
void stock_flags_set(struct stock_taker *t, uint32_t cell, unsigned set, unsigned clear);

// A consistent reading of one cell: the terms add up. False after many disturbed attempts (an
// administrative change that does not end): then the last reading is given all the same.
struct stock_reading {
    int64_t available, on_hand, committed, external, safety, backorder;
    unsigned flags;
};
bool stock_cell_read(const struct stock_cells *cells, uint32_t cell, struct stock_reading *out);

#endif
