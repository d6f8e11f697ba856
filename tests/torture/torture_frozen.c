// P6, for takes: a thread stopped for good at any shared access of a take stops nobody. One thread
// is stopped at each of its shared accesses in turn (and a helper of it at each of its own);
// others must finish on the same cells; then it is let go, and everything adds up.
#include "torture/torture.h"

#include "stock/stock.h"

#include <stdio.h>
#include <string.h>

enum { A, B, C, D, CELLS };
#define AMPLE    100
#define STOP_MAX 2000

struct world {
    struct stock stock;
    struct stock_thread main, stopped, helper;
    int64_t expected[CELLS];
    bool taken, again, helper_taken;
    const struct stock_take *takes; // of the stopped thread
    uint32_t count;
};

static void world_init(struct world *w, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const struct stock_sizes sizes = {.cells = CELLS, .ids = 1, .blocks = 1, .threads = 3};
    const int64_t amounts[CELLS] = {a, b, c, d};
    memset(w, 0, sizeof *w);
    torture_check(stock_init(&w->stock, &sizes) == HF_OK, "no memory");
    stock_thread_init(&w->stock, &w->main, 0);
    stock_thread_init(&w->stock, &w->stopped, 1);
    stock_thread_init(&w->stock, &w->helper, 2);
    for (uint32_t i = 0; i < CELLS; i++) {
        w->stock.cells.cells[i].decision.lo = stock_word(amounts[i], STOCK_FLAG_ACTIVE);
        w->expected[i] = amounts[i];
    }
}

static bool marked(const struct world *w, uint32_t cell)
{
    return __atomic_load_n(&w->stock.cells.cells[cell].decision.hi, __ATOMIC_ACQUIRE) >> 63;
}

static void world_check(struct world *w, uint64_t k, uint64_t k2)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        int64_t have = stock_available(&w->stock.cells.cells[i]);
        // What may be left is a late mark of a refused take: it keeps the amount and goes when met.
        stock_flags_set(&w->main.taker, i, STOCK_FLAG_ACTIVE, 0);
        torture_check(!marked(w, i), "stops %llu, %llu: cell %u keeps a mark",
                      (unsigned long long)k, (unsigned long long)k2, i);
        torture_check(have == w->expected[i] &&
                          stock_available(&w->stock.cells.cells[i]) == w->expected[i],
                      "stops %llu, %llu: cell %u has %lld, not %lld", (unsigned long long)k,
                      (unsigned long long)k2, i, (long long)have, (long long)w->expected[i]);
    }
    stock_fini(&w->stock);
}

static bool take(struct world *w, const struct stock_take *takes, uint32_t count)
{
    uint32_t refused;
    bool taken = stock_take_all(&w->main.taker, takes, count, &refused);
    for (uint32_t i = 0; taken && i < count; i++)
        w->expected[takes[i].cell] -= takes[i].quantity;
    return taken;
}

static void give(struct world *w, uint32_t cell, int64_t quantity)
{
    stock_give(&w->stock.cells.cells[cell], quantity);
    w->expected[cell] += quantity;
}

// Every kind of take on every cell. With ample stock, all of them succeed.
static void others_act(struct world *w, bool ample)
{
    static const struct stock_take wide[][CELLS] = {
        {{A, 0, 1}, {B, 0, 1}, {C, 0, 1}, {D, 0, 1}},
        {{A, 0, 1}, {D, 0, 2}},
        {{B, 0, 1}, {C, 0, 1}},
        {{C, 0, 1}, {D, 0, 1}},
    };
    static const uint32_t counts[] = {4, 2, 2, 2};
    for (uint32_t i = 0; i < 4; i++)
        torture_check(take(w, wide[i], counts[i]) || !ample, "a wide take was refused");
    for (uint32_t i = 0; i < CELLS; i++) {
        int64_t left;
        bool taken = stock_take_one(&w->main.taker, i, 2, false, &left);
        torture_check(taken || !ample, "a take was refused");
        w->expected[i] -= taken ? 2 : 0;
        struct stock_wish wishes[2] = {{1, 0, false}, {2, 0, true}};
        stock_take_combined(&w->main.taker, i, wishes, 2, &left);
        torture_check(!ample || wishes[0].given + wishes[1].given == 3,
                      "a combined take was short");
        w->expected[i] -= wishes[0].given + wishes[1].given;
        give(w, i, 1);
        stock_flags_set(&w->main.taker, i, 0, STOCK_FLAG_ACTIVE);
        stock_flags_set(&w->main.taker, i, STOCK_FLAG_ACTIVE, 0);
        struct stock_reading r;
        torture_check(stock_cell_read(&w->stock.cells, i, &r), "no reading");
    }
    torture_check(take(w, wide[0], counts[0]) || !ample, "a wide take was refused");
}

static void take_once(void *ctx)
{
    struct world *w = ctx;
    uint32_t refused;
    w->taken = stock_take_all(&w->stopped.taker, w->takes, w->count, &refused);
}

static void settle(struct world *w, bool taken)
{
    for (uint32_t i = 0; taken && i < w->count; i++)
        w->expected[w->takes[i].cell] -= w->takes[i].quantity;
}

static const struct stock_take all[CELLS] = {{A, 0, 3}, {B, 0, 3}, {C, 0, 3}, {D, 0, 3}};

static uint64_t a_stopped_take_stops_nobody(void)
{
    for (uint64_t k = 1; k < STOP_MAX; k++) {
        struct world w;
        struct torture_frozen f;
        world_init(&w, AMPLE, AMPLE, AMPLE, AMPLE);
        w.takes = all;
        w.count = CELLS;
        torture_at("a stopped take", k, 0);
        bool stands = torture_freeze(&f, 1, k, take_once, &w);
        others_act(&w, true);
        torture_thaw(&f);
        torture_check(w.taken, "an ample take was refused");
        settle(&w, w.taken);
        world_check(&w, k, 0);
        if (!stands)
            return k;
    }
    torture_check(false, "a take of %d shared accesses", STOP_MAX);
    return 0;
}

// The last cell is emptied while the take stands: whoever goes on refuses it.
static uint64_t a_stopped_take_that_fails_stops_nobody(void)
{
    for (uint64_t k = 1; k < STOP_MAX; k++) {
        struct world w;
        struct torture_frozen f;
        world_init(&w, 20, 20, 20, 3);
        w.takes = all;
        w.count = CELLS;
        torture_at("a stopped take that fails", k, 0);
        bool stands = torture_freeze(&f, 1, k, take_once, &w);
        int64_t left;
        if (stock_take_one(&w.main.taker, D, 1, false, &left))
            w.expected[D] -= 1;
        others_act(&w, false);
        torture_thaw(&f);
        settle(&w, w.taken);
        world_check(&w, k, 0);
        if (!stands)
            return k;
    }
    torture_check(false, "a take of %d shared accesses", STOP_MAX);
    return 0;
}

// P4: B never has enough for the failing take of {A, B} at the moment of its decision, though it
// had when the take looked first. Wherever the failing take stands, all of A can be had.
static uint64_t a_failing_take_refuses_nobody(void)
{
    static const struct stock_take failing[] = {{A, 0, 5}, {B, 0, 1}};
    for (uint64_t k = 1; k < STOP_MAX; k++) {
        struct world w;
        struct torture_frozen f;
        int64_t left;
        world_init(&w, 5, 1, 5, 5);
        w.takes = failing;
        w.count = 2;
        torture_at("a failing take", k, 0);
        bool stands = torture_freeze(&f, 1, k, take_once, &w);
        bool b = stock_take_one(&w.main.taker, B, 1, false, &left);
        bool a = stock_take_one(&w.main.taker, A, 5, false, &left);
        torture_thaw(&f);
        torture_check(w.taken ? !a && !b : a && b,
                      "stop %llu: the wide take %s, of B one was %s, of A all was %s",
                      (unsigned long long)k, w.taken ? "had all" : "failed", b ? "had" : "refused",
                      a ? "had" : "refused");
        settle(&w, w.taken);
        w.expected[A] -= a ? 5 : 0;
        w.expected[B] -= b ? 1 : 0;
        world_check(&w, k, 0);
        if (!stands)
            return k;
    }
    torture_check(false, "a take of %d shared accesses", STOP_MAX);
    return 0;
}

// ------------------------------------------------------------------------------ two stopped

static void take_twice(void *ctx)
{
    struct world *w = ctx;
    static const struct stock_take next[] = {{A, 0, 1}, {B, 0, 1}};
    uint32_t refused;
    w->taken = stock_take_all(&w->stopped.taker, w->takes, w->count, &refused);
    w->again = stock_take_all(&w->stopped.taker, next, 2, &refused);
}

static void take_helping(void *ctx)
{
    struct world *w = ctx;
    int64_t left;
    w->helper_taken = stock_take_one(&w->helper.taker, A, 1, false, &left);
}

// The owner of a take of {A, B, C} stands at k; a helper that came by A stands at k2; the owner
// goes on and uses its descriptor again; then the helper goes on and may install a mark that is
// long out of date. B is short at first and gets stock in between, so that the owner refuses
// what the helper still takes to be undecided.
//
// A late mark under a sequence that is over once made every take of several cells spin: only a
// take of this very cell alone took it off.
static bool a_late_mark_case(uint64_t k, uint64_t k2, bool *owner_stands, uint64_t *late)
{
    static const struct stock_take abc[] = {{A, 0, 1}, {B, 0, 2}, {C, 0, 1}};
    struct world w;
    struct torture_frozen owner, helper;
    int64_t left;
    world_init(&w, 20, 2, 20, 20);
    w.takes = abc;
    w.count = 3;
    torture_at("a late mark", k, k2);
    // Past the first look at B, which must find enough; then B is short when its turn comes.
    bool stands = torture_freeze(&owner, 1, 4, take_twice, &w);
    if (stock_take_one(&w.main.taker, B, 1, false, &left))
        w.expected[B]--;
    stands = stands && torture_thaw_until(&owner, k);
    give(&w, B, 10);
    bool helps = torture_freeze(&helper, 2, k2, take_helping, &w);
    torture_thaw(&owner);
    if (helps)
        torture_thaw_until(&helper, 0);
    settle(&w, w.taken);
    w.expected[A] -= (w.again ? 1 : 0) + (w.helper_taken ? 1 : 0);
    w.expected[B] -= w.again ? 1 : 0;
    torture_thaw(&helper);
    *late += marked(&w, C);
    others_act(&w, false);
    world_check(&w, k, k2);
    *owner_stands = stands;
    return helps;
}

static uint64_t a_late_mark_stops_nobody(void)
{
    uint64_t late = 0, cases = 0;
    bool stands = true;
    for (uint64_t k = 1; stands && k < STOP_MAX; k++)
        for (uint64_t k2 = 1; k2 < STOP_MAX; k2++) {
            cases++;
            if (!a_late_mark_case(k, k2, &stands, &late))
                break;
        }
    torture_check(late > 0, "the late mark that this is about never came");
    return cases;
}

int main(int argc, char **argv)
{
    torture_begin("torture_frozen", argc, argv);
    uint64_t stops = a_stopped_take_stops_nobody();
    stops += a_stopped_take_that_fails_stops_nobody();
    stops += a_failing_take_refuses_nobody();
    uint64_t pairs = a_late_mark_stops_nobody();
    torture_end("%llu stops, %llu pairs of stops", (unsigned long long)stops,
                (unsigned long long)pairs);
    return 0;
}
