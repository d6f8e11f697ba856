// Marks that come late. Whoever reads too little on a cell refuses the take, a moment later; if the
// stock comes back in between, a helper reads enough there, and its swap lands when the refused
// take's owner has long gone on to its next one, with the same descriptor: a mark of an operation
// that is over. Whoever meets it must restore the amount, no more and no less.
//
// The owner is stopped at every shared access of its take, the helper at every one of its own, and
// then the owner a second time in its next take; all run to their ends, and the cells hold what a
// plain sum says.
#include "torture/torture.h"

#include "stock/stock.h"

#include <string.h>

#define CELLS 3
#define STOCK 3

enum { OWNER, HELPER, MAIN, THREADS };

static struct {
    struct stock stock;
    struct stock_thread threads[THREADS];
    struct torture_frozen owner, helper;
    bool first, second, helped; // taken
    uint64_t runs, late;
} t;

static const struct stock_take first[CELLS] = {{0, 0, 1}, {1, 0, 1}, {2, 0, 2}};
static const struct stock_take second[2] = {{0, 0, 1}, {1, 0, 1}};

static void owner_body(void *ctx)
{
    uint32_t refused;
    (void)ctx;
    t.first = stock_take_all(&t.threads[OWNER].taker, first, CELLS, &refused);
    t.second = stock_take_all(&t.threads[OWNER].taker, second, 2, &refused);
}

static void helper_body(void *ctx)
{
    int64_t left;
    (void)ctx;
    t.helped = stock_take_one(&t.threads[HELPER].taker, 0, 1, false, &left);
}

static int64_t take_main(uint32_t cell, int64_t quantity)
{
    int64_t left;
    return stock_take_one(&t.threads[MAIN].taker, cell, quantity, false, &left) ? quantity : 0;
}

static void start(void)
{
    const struct stock_sizes sizes = {.cells = CELLS, .ids = 1, .blocks = 1, .threads = THREADS};
    torture_check(stock_init(&t.stock, &sizes) == HF_OK, "no memory");
    for (uint32_t i = 0; i < THREADS; i++)
        stock_thread_init(&t.stock, &t.threads[i], i);
    for (uint32_t i = 0; i < CELLS; i++)
        t.stock.cells.cells[i].decision.lo = stock_word(STOCK, STOCK_FLAG_ACTIVE);
    t.first = t.second = t.helped = false;
}

static void judge(const int64_t *taken, uint64_t a, uint64_t b, uint64_t c)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        struct stock_cell *cell = &t.stock.cells.cells[i];
        t.late += cell->decision.hi >> 63;
        // Meets what is left there, and changes nothing else.
        stock_flags_set(&t.threads[MAIN].taker, i, STOCK_FLAG_ACTIVE, 0);
        int64_t want = STOCK - taken[i] - (t.first ? first[i].quantity : 0) -
                       (i < 2 && t.second ? second[i].quantity : 0) - (i == 0 && t.helped);
        torture_check(!(cell->decision.hi >> 63) && stock_available(cell) == want,
                      "cell %u: %lld, not %lld; owner at %llu and %llu, helper at %llu", i,
                      (long long)stock_available(cell), (long long)want, (unsigned long long)a,
                      (unsigned long long)c, (unsigned long long)b);
    }
}

// The owner stands `a` accesses behind its look at all cells, the helper at its b-th, the owner
// again c further on (0: it runs to its end). What was reached.
static void run(uint64_t a, uint64_t b, uint64_t c, bool *owner_stood, bool *helper_stood)
{
    int64_t taken[CELLS] = {0};
    start();
    torture_at("stops", a, b);
    torture_check(torture_freeze(&t.owner, OWNER, CELLS + 1, owner_body, NULL), "it ended");
    torture_check(take_main(2, STOCK - 1) == STOCK - 1, "no stock"); // now it has too little
    *owner_stood = torture_thaw_until(&t.owner, a);
    stock_give(&t.stock.cells.cells[2], STOCK - 1); // and now enough
    *helper_stood = torture_freeze(&t.helper, HELPER, b, helper_body, NULL);
    if (*owner_stood)
        torture_thaw_until(&t.owner, c);
    if (*helper_stood)
        torture_thaw_until(&t.helper, 0);
    torture_thaw(&t.owner);
    torture_thaw(&t.helper);
    judge(taken, a, b, c);
    stock_fini(&t.stock);
    t.runs++;
}

int main(int argc, char **argv)
{
    bool owner_stood = true, helper_stood;
    torture_begin("torture_late", argc, argv);
    torture_yields(0);
    for (uint64_t a = 1; owner_stood; a++) {
        helper_stood = true;
        for (uint64_t b = 1; helper_stood; b++)
            run(a, b, 0, &owner_stood, &helper_stood);
    }
    torture_check(t.late > 0, "no mark ever came late");
    uint64_t all = t.runs;
    while (torture_time_left()) // and with the owner in the middle of its next take
        run(1 + torture_below(60), 1 + torture_below(60), 1 + torture_below(60), &owner_stood,
            &helper_stood);
    torture_end("%llu pairs of stops, %llu with a third, %llu marks met late",
                (unsigned long long)all, (unsigned long long)(t.runs - all),
                (unsigned long long)t.late);
    return 0;
}
