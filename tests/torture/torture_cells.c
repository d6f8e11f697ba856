// Threads take from, and give to, a few cells without pause: alone, combined, wide, as facts.
// Nothing is decided below zero, at the end every cell adds up exactly, and only late marks of
// refused takes may be left (P1, P4). Two scenarios that must always, or never, succeed run first.
#include "torture/torture.h"

#include "stock/stock.h"

#include <sched.h>
#include <string.h>

#define THREADS   4
#define CELLS     18
#define FACT_CELL (CELLS - 1) // the only one that may go below zero
#define STOCK     12          // of each cell: short most of the time

struct world {
    struct stock stock;
    struct stock_thread threads[THREADS];
    int64_t held[THREADS][CELLS]; // taken, and not given back yet
    _Atomic uint64_t takes, wide_taken, wide_refused;
    double deadline;
    _Atomic bool stop;
};

static void world_init(struct world *w, const int64_t *amounts)
{
    const struct stock_sizes sizes = {.cells = CELLS, .ids = 1, .blocks = 1, .threads = THREADS};
    memset(w, 0, sizeof *w);
    torture_check(stock_init(&w->stock, &sizes) == HF_OK, "no memory");
    for (uint32_t i = 0; i < CELLS; i++)
        w->stock.cells.cells[i].decision.lo =
            stock_word(amounts ? amounts[i] : STOCK, STOCK_FLAG_ACTIVE);
    for (uint32_t i = 0; i < THREADS; i++)
        stock_thread_init(&w->stock, &w->threads[i], i);
}

static struct stock_cell *cell_of(struct world *w, uint32_t cell)
{
    return &w->stock.cells.cells[cell];
}

// ------------------------------------------------------------------------------ everything at once

static uint32_t takes_make(struct stock_take *takes, int64_t most)
{
    uint32_t width = 2 + (uint32_t)torture_below(15), n = 0;
    for (uint32_t cell = 0; cell < CELLS; cell++)
        if (torture_below(CELLS) < width && n < 16)
            takes[n++] = (struct stock_take){cell, 0, 1 + (int64_t)torture_below((uint64_t)most)};
    return n;
}

static void wide(struct world *w, uint32_t self)
{
    struct stock_take takes[CELLS];
    uint32_t count = takes_make(takes, 3), refused;
    if (stock_take_all(&w->threads[self].taker, takes, count, &refused)) {
        for (uint32_t i = 0; i < count; i++)
            w->held[self][takes[i].cell] += takes[i].quantity;
        w->wide_taken++;
    } else {
        torture_check(refused < count, "refused for cell %u of %u", refused, count);
        w->wide_refused++;
    }
}

static void one(struct world *w, uint32_t self, uint32_t cell, int64_t quantity, bool fact)
{
    int64_t left;
    if (!stock_take_one(&w->threads[self].taker, cell, quantity, fact, &left)) {
        torture_check(!fact, "a fact was refused");
        return;
    }
    torture_check(fact || left >= 0, "cell %u was decided to %lld", cell, (long long)left);
    w->held[self][cell] += quantity;
}

static void combined(struct world *w, uint32_t self, uint32_t cell)
{
    struct stock_wish wishes[8];
    uint32_t count = 1 + (uint32_t)torture_below(8);
    int64_t left, given = 0;
    for (uint32_t i = 0; i < count; i++)
        wishes[i] = (struct stock_wish){1 + (int64_t)torture_below(4), 0, torture_below(4) == 0};
    stock_take_combined(&w->threads[self].taker, cell, wishes, count, &left);
    for (uint32_t i = 0; i < count; i++) {
        torture_check(wishes[i].given >= 0 && wishes[i].given <= wishes[i].quantity &&
                          (wishes[i].partial || wishes[i].given == 0 ||
                           wishes[i].given == wishes[i].quantity),
                      "gave %lld of %lld", (long long)wishes[i].given,
                      (long long)wishes[i].quantity);
        given += wishes[i].given;
    }
    torture_check(given == 0 || left >= 0, "cell %u was decided to %lld", cell, (long long)left);
    w->held[self][cell] += given;
}

static void give_some(struct world *w, uint32_t self, bool all)
{
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        int64_t have = w->held[self][cell];
        if (have == 0 || (!all && torture_below(2) == 0))
            continue;
        int64_t part = all ? have : 1 + (int64_t)torture_below((uint64_t)have);
        w->held[self][cell] -= part;
        stock_give(cell_of(w, cell), part);
    }
}

static void look(struct world *w, uint32_t cell)
{
    struct stock_reading r;
    if (!stock_cell_read(&w->stock.cells, cell, &r))
        return;
    torture_check(cell == FACT_CELL || (r.available >= 0 && r.available <= STOCK),
                  "cell %u shows %lld", cell, (long long)r.available);
}

static void mixed(void *ctx, uint32_t self)
{
    struct world *w = ctx;
    for (uint64_t turn = 0; turn % 64 || torture_before(w->deadline); turn++) {
        uint32_t cell = (uint32_t)torture_below(CELLS);
        uint64_t dice = torture_below(100);
        if (dice < 40)
            wide(w, self);
        else if (dice < 55)
            one(w, self, cell, 1 + (int64_t)torture_below(4), false);
        else if (dice < 65)
            combined(w, self, cell);
        else if (dice < 68)
            one(w, self, FACT_CELL, 1 + (int64_t)torture_below(2), true);
        else if (dice < 72)
            look(w, cell);
        else if (dice < 74 && self == 0) // one administrator
            stock_flags_set(&w->threads[self].taker, cell, torture_below(2), 1);
        else if (dice < 76 && self == 0)
            stock_flags_set(&w->threads[self].taker, cell, STOCK_FLAG_ACTIVE, 0);
        else
            give_some(w, self, false);
        w->takes++;
    }
}

static void cells_settle(struct world *w)
{
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        int64_t sum = stock_available(cell_of(w, cell)), before = sum;
        uint64_t tag = cell_of(w, cell)->decision.hi;
        if (tag >> 63) { // late: its take was refused, and nobody came by since
            uint64_t status = w->stock.cells.descriptors[tag << 1 >> 58].status;
            bool over = status >> 2 != (tag & ((UINT64_C(1) << 57) - 1)) || (status & 3) == 2;
            torture_check(over, "cell %u keeps a mark of a take that was not refused", cell);
        }
        stock_flags_set(&w->threads[0].taker, cell, STOCK_FLAG_ACTIVE, 0);
        torture_check(!(cell_of(w, cell)->decision.hi >> 63) &&
                          stock_available(cell_of(w, cell)) == before,
                      "cell %u keeps a mark", cell);
        for (uint32_t i = 0; i < THREADS; i++)
            sum += w->held[i][cell];
        torture_check(sum == STOCK, "cell %u adds up to %lld", cell, (long long)sum);
    }
}

static void everything_adds_up(struct world *w, double deadline)
{
    world_init(w, NULL);
    w->deadline = deadline;
    torture_at("everything at once", 0, 0);
    torture_run(THREADS, mixed, w);
    cells_settle(w);
    for (uint32_t i = 0; i < THREADS; i++) {
        give_some(w, i, true);
        stock_thread_fini(&w->threads[i]);
    }
    for (uint32_t cell = 0; cell < CELLS; cell++)
        torture_check(stock_available(cell_of(w, cell)) == STOCK, "cell %u lost stock", cell);
    torture_check(w->wide_taken > 0 && w->wide_refused > 0, "one-sided");
    stock_fini(&w->stock);
}

// ------------------------------------------------------------------- a token in two places

// One unit moves between ONE and OTHER and is never in both; PLENTY has enough.
enum { ONE, PLENTY, OTHER };

static void move_token(struct world *w)
{
    int64_t left;
    struct stock_taker *t = &w->threads[0].taker;
    while (torture_before(w->deadline)) {
        torture_check(stock_take_one(t, ONE, 1, false, &left), "the token was not in one place");
        stock_give(cell_of(w, OTHER), 1);
        torture_check(stock_take_one(t, OTHER, 1, false, &left), "nor in the other");
        stock_give(cell_of(w, ONE), 1);
    }
}

// Wants what is never there at any one moment, though each cell shows it now and then.
static void want_both(struct world *w, uint32_t self)
{
    const struct stock_take takes[] = {{ONE, 0, 1}, {PLENTY, 0, STOCK}, {OTHER, 0, 1}};
    uint32_t refused;
    while (torture_before(w->deadline)) {
        torture_check(!stock_take_all(&w->threads[self].taker, takes, 3, &refused),
                      "the token was taken in two places");
        w->wide_refused++;
    }
}

// The only one that ever gets anything of PLENTY: never refused.
static void take_plenty(struct world *w, uint32_t self)
{
    const struct stock_take takes[] = {{PLENTY, 0, STOCK}, {OTHER + 1, 0, STOCK}};
    uint32_t refused;
    int64_t left;
    while (torture_before(w->deadline)) {
        struct stock_wish wish = {STOCK, 0, false};
        bool taken;
        bool both = torture_below(3) == 0;
        if (both) {
            taken = stock_take_all(&w->threads[self].taker, takes, 2, &refused);
        } else if (torture_below(2) == 0) {
            taken = stock_take_one(&w->threads[self].taker, PLENTY, STOCK, false, &left);
        } else {
            stock_take_combined(&w->threads[self].taker, PLENTY, &wish, 1, &left);
            taken = wish.given == STOCK;
        }
        torture_check(taken, "a take was refused for stock that a failing take held");
        stock_give(cell_of(w, PLENTY), STOCK);
        if (both)
            stock_give(cell_of(w, OTHER + 1), STOCK);
        w->takes++;
    }
}

static void token(void *ctx, uint32_t self)
{
    if (self == 0)
        move_token(ctx);
    else if (self == 3)
        take_plenty(ctx, self);
    else
        want_both(ctx, self);
}

static void no_refusal_for_a_failing_take(struct world *w, double deadline)
{
    int64_t amounts[CELLS] = {[ONE] = 1, [PLENTY] = STOCK, [OTHER] = 0, [OTHER + 1] = STOCK};
    world_init(w, amounts);
    w->deadline = deadline;
    torture_at("a token in two places", 0, 0);
    torture_run(THREADS, token, w);
    for (uint32_t cell = 0; cell < CELLS; cell++)
        torture_check(stock_available(cell_of(w, cell)) == amounts[cell], "cell %u lost stock",
                      cell);
    torture_check(w->takes > 0 && w->wide_refused > 0, "somebody starved");
    stock_fini(&w->stock);
}

int main(int argc, char **argv)
{
    static struct world w;
    torture_begin("torture_cells", argc, argv);
    no_refusal_for_a_failing_take(&w, torture_share(0.3));
    uint64_t refused = w.wide_refused, plenty = w.takes;
    everything_adds_up(&w, torture_share(1));
    uint64_t helped = 0;
    for (uint32_t i = 0; i < THREADS; i++)
        helped += w.threads[i].taker.helped;
    torture_end("%llu failing beside %llu taking; %llu operations, wide %llu taken %llu refused, "
                "%llu helped",
                (unsigned long long)refused, (unsigned long long)plenty,
                (unsigned long long)w.takes, (unsigned long long)w.wide_taken,
                (unsigned long long)w.wide_refused, (unsigned long long)helped);
    return 0;
}
