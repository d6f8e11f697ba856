// Takes on stock cells.
//
// One cell. Read the word, compute, swap (A0). A word whose second half has the top bit set is
// marked: a take of several cells has reserved this cell and is not decided yet, or decided and not
// yet off. Its first half keeps the amount from before. Whoever needs to change a marked word
// finishes the marking operation first; whoever finds the kept amount too small refuses at once,
// because no outcome of the pending take makes it larger.
//
// Several cells (after Harris, Fraser, Pratt, "A Practical Multi-Word Compare-and-Swap Operation",
// DISC 2002, reduced to takes): the owner fills its descriptor, publishes it by status = (sequence,
// UNDECIDED), and then runs the same code as every helper:
//   1. in ascending cell order: swap (amount, tag) for (amount, mark) on each cell;
//   2. decide by one swap of status: TAKEN when all are marked, REFUSED when one has too little;
//   3. swap every mark for (amount - quantity, fresh tag) or (amount, fresh tag).
// Ascending order makes "waits for" acyclic; a helper that meets another mark turns to that one
// (iteratively), so some operation always completes.
//
// Guarantees, by letter:
//   T  Tags never recur: (thread number, sequence), and the sequence advances with each attempt,
//      failed ones included. So a swap that expects (amount, tag) fails when the word changed hands
//      in between, whatever its amount.
//   L  A late install is harmless. A helper reads the cell, then the status (still undecided), then
//      swaps from what it read. If the operation was decided TAKEN in between, every cell carried
//      its mark in between, so by T the swap fails. If it was decided REFUSED, the mark may land;
//      it keeps the amount, and whoever meets it restores that amount under a fresh tag.
//   O  The owner reuses its descriptor only when it is off all its cells, under a new sequence.
//      A mark with an old sequence is therefore a late install of a REFUSED take: restore. Whoever
//      meets one takes it off there and then, on whichever cell: no operation stands behind it
//      that could be run instead.
//   G  Gives add to the first half under any mark (A1): the kept amount only grows, so a mark's
//      quantity still fits when the status is decided.
//   P  Linearization: one cell: the swap, or the load that refused. Several: the status swap; for a
//      refusal the load that found too little, which no failing take had lowered.
#include "stock/cell.h"

#include "base/status.h"

#define MARK_BIT      (UINT64_C(1) << 63)
#define THREAD_SHIFT  57
#define SEQUENCE_MASK ((UINT64_C(1) << THREAD_SHIFT) - 1)
static_assert(HF_THREADS_MAX <= 1 << (63 - THREAD_SHIFT), "thread numbers fit the tag");

enum take_status { UNDECIDED, TAKEN, REFUSED };

static inline uint64_t fresh_tag(struct stock_taker *t)
{
    return ((uint64_t)t->number << THREAD_SHIFT) | (++t->sequence & SEQUENCE_MASK);
}

static inline bool is_mark(uint64_t tag)
{
    return (tag & MARK_BIT) != 0;
}

static inline struct stock_descriptor *descriptor_of(const struct stock_cells *cells, uint64_t mark)
{
    return &cells->descriptors[(mark & ~MARK_BIT) >> THREAD_SHIFT];
}

static inline uint64_t status_of(uint64_t mark, enum take_status s)
{
    return ((mark & SEQUENCE_MASK) << 2) | (uint64_t)s;
}

static inline bool status_belongs(uint64_t status, uint64_t mark)
{
    return status >> 2 == (mark & SEQUENCE_MASK);
}

// Both halves; may be torn, which the swap that follows finds out. The tag is loaded first: a
// first half that was read under an unmarked tag is not lower than what the cell then held (G).
static inline struct hf_word128 word_read(const struct stock_cell *cell)
{
    struct hf_word128 w;
    w.hi = hf_load_acquire(&cell->decision.hi);
    w.lo = hf_load_acquire(&cell->decision.lo);
    return w;
}

// Step 3 for one cell: whatever holds our mark loses it.
static void mark_remove(struct stock_taker *t, uint32_t index, uint64_t mark, int64_t quantity)
{
    struct stock_cell *cell = &t->cells->cells[index];
    for (;;) {
        struct hf_word128 w = word_read(cell);
        if (w.hi != mark)
            return;
        struct hf_word128 next = {w.lo - ((uint64_t)quantity << STOCK_FLAG_BITS), fresh_tag(t)};
        if (hf_cas16(&cell->decision, w, next))
            return;
    }
}

// Copies one take of a descriptor and says whether it still belongs to `mark`.
static bool take_copy(const struct stock_descriptor *d, uint64_t mark, uint32_t i,
                      struct stock_take *out)
{
    out->cell = hf_load_relaxed(&d->takes[i].cell);
    out->quantity = hf_load_relaxed(&d->takes[i].quantity);
    hf_fence_acquire();
    return status_belongs(hf_load_acquire(&d->status), mark); // D1, pairs with D0
}

// O: the operation of this mark is over, and the mark came late.
static bool mark_is_late(const struct stock_cells *cells, uint64_t mark)
{
    return !status_belongs(hf_load_acquire(&descriptor_of(cells, mark)->status), mark);
}

// Step 1 for one cell. Returns 0 when the cell carries the mark or the operation is decided;
// else the mark that is in the way.
static uint64_t mark_install(struct stock_taker *t, struct stock_descriptor *d, uint64_t mark,
                             uint32_t i, const struct stock_take *take)
{
    struct stock_cell *cell = &t->cells->cells[take->cell];
    for (;;) {
        struct hf_word128 w = word_read(cell);
        if (w.hi == mark)
            return 0;
        uint64_t expected = status_of(mark, UNDECIDED);
        if (hf_load_acquire(&d->status) != expected) // L: after the cell, before the swap
            return 0;
        if (stock_word_available(w.lo) < take->quantity || !(w.lo & STOCK_FLAG_ACTIVE)) {
            if (hf_cas(&d->status, &expected, status_of(mark, REFUSED)))
                hf_store_relaxed(&d->refused, i);
            return 0;
        }
        if (is_mark(w.hi)) {
            if (!mark_is_late(t->cells, w.hi))
                return w.hi;
            mark_remove(t, take->cell, w.hi, 0);
            continue;
        }
        struct hf_word128 marked = {w.lo, mark};
        if (hf_cas16(&cell->decision, w, marked))
            return 0;
        t->retries++;
    }
}

// Runs the operation behind `mark` as far as it goes: 0 when it is decided and off its cells (as
// far as this thread can tell), else the mark that is in its way.
static uint64_t operation_run(struct stock_taker *t, uint64_t mark)
{
    struct stock_descriptor *d = descriptor_of(t->cells, mark);
    uint64_t status = hf_load_acquire(&d->status);
    if (!status_belongs(status, mark))
        return 0;
    uint32_t count = hf_load_relaxed(&d->count);
    struct stock_take take;
    if (status == status_of(mark, UNDECIDED)) {
        for (uint32_t i = 0; i < count; i++) {
            if (!take_copy(d, mark, i, &take))
                return 0;
            uint64_t other = mark_install(t, d, mark, i, &take);
            if (other)
                return other;
            if (hf_load_acquire(&d->status) != status_of(mark, UNDECIDED))
                break;
        }
        uint64_t expected = status_of(mark, UNDECIDED);
        hf_cas(&d->status, &expected, status_of(mark, TAKEN));
    }
    status = hf_load_acquire(&d->status);
    for (uint32_t i = 0; i < count && status_belongs(status, mark); i++) {
        if (!take_copy(d, mark, i, &take))
            return 0;
        mark_remove(t, take.cell, mark, (status & 3) == TAKEN ? take.quantity : 0);
    }
    return 0;
}

// Finishes the operation of `mark`, seen on `index`, and whatever stands in its way.
static void help(struct stock_taker *t, uint32_t index, uint64_t mark)
{
    t->helped++;
    for (uint64_t at = mark; at != 0;)
        at = operation_run(t, at);
    if (mark_is_late(t->cells, mark))
        mark_remove(t, index, mark, 0);
}

bool stock_take_one(struct stock_taker *t, uint32_t index, int64_t quantity, bool fact,
                    int64_t *available)
{
    struct stock_cell *cell = &t->cells->cells[index];
    for (;;) {
        struct hf_word128 w = word_read(cell);
        int64_t have = stock_word_available(w.lo);
        if (fact ? have - quantity < -HF_AVAILABLE_MAX / 2
                 : have < quantity || !(w.lo & STOCK_FLAG_ACTIVE)) {
            *available = have;
            return false;
        }
        if (is_mark(w.hi)) {
            help(t, index, w.hi);
            continue;
        }
        struct hf_word128 next = {w.lo - ((uint64_t)quantity << STOCK_FLAG_BITS), fresh_tag(t)};
        if (hf_cas16(&cell->decision, w, next)) { // A0
            *available = have - quantity;
            return true;
        }
        t->retries++;
    }
}

void stock_take_combined(struct stock_taker *t, uint32_t index, struct stock_wish *wishes,
                         uint32_t count, int64_t *left)
{
    struct stock_cell *cell = &t->cells->cells[index];
    for (;;) {
        struct hf_word128 w = word_read(cell);
        int64_t have = stock_word_available(w.lo), rest = have;
        bool active = (w.lo & STOCK_FLAG_ACTIVE) != 0;
        for (uint32_t i = 0; i < count; i++) {
            int64_t give = wishes[i].quantity <= rest ? wishes[i].quantity
                           : wishes[i].partial && rest > 0 ? rest
                                                           : 0;
            wishes[i].given = active ? give : 0;
            rest -= wishes[i].given;
        }
        *left = rest;
        if (rest == have)
            return;
        if (is_mark(w.hi)) {
            help(t, index, w.hi);
            continue;
        }
        struct hf_word128 next = {w.lo - ((uint64_t)(have - rest) << STOCK_FLAG_BITS),
                                  fresh_tag(t)};
        if (hf_cas16(&cell->decision, w, next)) // A0
            return;
        t->retries++;
    }
}

bool stock_take_all(struct stock_taker *t, const struct stock_take *takes, uint32_t count,
                    uint32_t *refused)
{
    // Refuse from loads alone when a cell has plainly too little: cheaper than a success.
    for (uint32_t i = 0; i < count; i++) {
        uint64_t lo = hf_load_acquire(&t->cells->cells[takes[i].cell].decision.lo);
        if (stock_word_available(lo) < takes[i].quantity || !(lo & STOCK_FLAG_ACTIVE)) {
            *refused = i;
            return false;
        }
    }
    struct stock_descriptor *d = &t->cells->descriptors[t->number];
    uint64_t mark = MARK_BIT | fresh_tag(t);
    // Nobody reads these until status names the new sequence; a helper of the old one that reads
    // them now fails its validation, because the old status is replaced first.
    hf_store_seq(&d->status, status_of(mark, REFUSED));
    hf_fence_seq();
    hf_store_relaxed(&d->count, count);
    for (uint32_t i = 0; i < count; i++) {
        hf_store_relaxed(&d->takes[i].cell, takes[i].cell);
        hf_store_relaxed(&d->takes[i].quantity, takes[i].quantity);
    }
    hf_store_relaxed(&d->refused, 0);
    hf_store_seq(&d->status, status_of(mark, UNDECIDED)); // D0
    for (uint64_t at = mark; at != 0 || hf_load_acquire(&d->status) == status_of(mark, UNDECIDED);)
        at = operation_run(t, at ? at : mark);
    bool taken = hf_load_acquire(&d->status) == status_of(mark, TAKEN);
    *refused = hf_load_relaxed(&d->refused);
    // O: off all cells before the descriptor's next use.
    for (uint32_t i = 0; i < count; i++)
        mark_remove(t, takes[i].cell, mark, taken ? takes[i].quantity : 0);
    return taken;
}

void stock_flags_set(struct stock_taker *t, uint32_t index, unsigned set, unsigned clear)
{
    struct stock_cell *cell = &t->cells->cells[index];
    for (;;) {
        struct hf_word128 w = word_read(cell);
        if (is_mark(w.hi)) {
            help(t, index, w.hi);
            continue;
        }
        struct hf_word128 next = {(w.lo | set) & ~(uint64_t)clear, fresh_tag(t)};
        if (hf_cas16(&cell->decision, w, next))
            return;
    }
}

bool stock_cell_read(const struct stock_cells *cells, uint32_t index, struct stock_reading *out)
{
    const struct stock_cell *c = &cells->cells[index];
    for (int attempt = 0; attempt < 64; attempt++) {
        uint32_t seq = hf_load_acquire(&c->admin_seq); // R0, pairs with the writers of core/admin.c
        struct hf_word128 w = word_read(c);
        out->on_hand = hf_load_acquire(&c->on_hand);
        out->committed = hf_load_acquire(&c->committed);
        out->external = hf_load_acquire(&c->external);
        out->safety = hf_load_acquire(&c->safety);
        out->backorder = hf_load_acquire(&c->backorder);
        out->available = stock_word_available(w.lo);
        out->flags = (unsigned)w.lo & ((1u << STOCK_FLAG_BITS) - 1);
        struct hf_word128 again = word_read(c); // R1: the whole word, because gives leave the tag
        if (!(seq & 1) && again.lo == w.lo && again.hi == w.hi &&
            hf_load_acquire(&c->admin_seq) == seq)
            return true;
    }
    return false;
}
