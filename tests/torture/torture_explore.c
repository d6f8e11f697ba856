// Takes, interleaved shared access by shared access: three threads of which one runs at a time,
// each for a random while, so that a seed gives the same history again. Often one is stopped for
// good until the others are done. Every history is held against all orders that real time allows:
// there must be one in which a plain array of amounts gives the same answers and the same end (P1,
// P4). A history that takes too many accesses does not progress (P6).
#include "torture/torture.h"

#include "stock/stock.h"

#include <stdio.h>
#include <string.h>

#define THREADS      3
#define OPS          3 // a thread
#define CELLS        4
#define ACCESSES_MAX 20000

enum verb { ONE, FACT, WIDE, COMBINED, GIVE, CLOSE, OPEN, VERBS };

struct op {
    enum verb verb;
    uint32_t count;
    struct stock_take takes[CELLS]; // WIDE; else takes[0] says cell and quantity
    int64_t second;                 // COMBINED: of the second wish, a partial one
    bool taken;
    int64_t given[2], left;
    uint64_t from, to; // real time
};

struct program {
    struct history *history;
    struct stock_thread thread;
    struct torture_frozen frozen;
    struct op ops[OPS];
    uint32_t count;
    bool ended;
};

struct history {
    struct stock stock;
    struct program programs[THREADS];
    struct stock_thread main;
    uint64_t clock; // one thread runs at a time
    int64_t start[CELLS], end[CELLS];
    struct op *all[THREADS * OPS];
    uint32_t total;
    uint64_t number;
};

// ------------------------------------------------------------------------------ the threads

static void op_run(struct stock_thread *t, struct stock *s, struct op *o)
{
    uint32_t cell = o->takes[0].cell, refused;
    int64_t quantity = o->takes[0].quantity;
    struct stock_wish wishes[2] = {{quantity, 0, false}, {o->second, 0, true}};
    switch (o->verb) {
    case ONE:
    case FACT:
        o->taken = stock_take_one(&t->taker, cell, quantity, o->verb == FACT, &o->left);
        break;
    case WIDE:
        o->taken = stock_take_all(&t->taker, o->takes, o->count, &refused);
        torture_check(o->taken || refused < o->count, "refused for cell %u of %u", refused,
                      o->count);
        break;
    case COMBINED:
        stock_take_combined(&t->taker, cell, wishes, 2, &o->left);
        o->given[0] = wishes[0].given;
        o->given[1] = wishes[1].given;
        break;
    case GIVE:
        stock_give(&s->cells.cells[cell], quantity);
        break;
    default:
        stock_flags_set(&t->taker, cell, o->verb == OPEN, o->verb == CLOSE);
        break;
    }
}

static void program_run(void *ctx)
{
    struct program *p = ctx;
    for (uint32_t i = 0; i < p->count; i++) {
        p->ops[i].from = ++p->history->clock;
        op_run(&p->thread, &p->history->stock, &p->ops[i]);
        p->ops[i].to = ++p->history->clock;
    }
}

static void program_make(struct program *p)
{
    static const enum verb verbs[] = {WIDE, WIDE, WIDE, WIDE,     ONE,   ONE,
                                      FACT, GIVE, GIVE, COMBINED, CLOSE, OPEN};
    p->count = 1 + (uint32_t)torture_below(OPS);
    for (uint32_t i = 0; i < p->count; i++) {
        struct op *o = &p->ops[i];
        *o = (struct op){.verb = verbs[torture_below(sizeof verbs / sizeof *verbs)]};
        uint32_t first = (uint32_t)torture_below(CELLS);
        if (o->verb != WIDE) {
            o->count = 1;
            o->takes[0] = (struct stock_take){first, 0, 1 + (int64_t)torture_below(3)};
            o->second = 1 + (int64_t)torture_below(3);
            continue;
        }
        for (uint32_t cell = 0; cell < CELLS; cell++)
            if (torture_below(3) != 0 || o->count == 0)
                o->takes[o->count++] = (struct stock_take){cell, 0, 1 + (int64_t)torture_below(2)};
    }
}

// ------------------------------------------------------------------------------ the judge

// What a plain array would have answered. False: something else.
static bool op_judge(const struct op *o, int64_t *have, bool *open)
{
    uint32_t c = o->takes[0].cell;
    int64_t q = o->takes[0].quantity, given[2] = {0, 0};
    bool taken = true;
    switch (o->verb) {
    case ONE:
    case FACT:
        taken = o->verb == FACT || (open[c] && have[c] >= q);
        have[c] -= taken ? q : 0;
        return taken == o->taken && (!taken || o->left == have[c]);
    case WIDE:
        for (uint32_t i = 0; i < o->count; i++)
            taken =
                taken && open[o->takes[i].cell] && have[o->takes[i].cell] >= o->takes[i].quantity;
        for (uint32_t i = 0; taken && i < o->count; i++)
            have[o->takes[i].cell] -= o->takes[i].quantity;
        return taken == o->taken;
    case COMBINED:
        if (open[c]) {
            given[0] = q <= have[c] ? q : 0;
            int64_t rest = have[c] - given[0];
            given[1] = o->second <= rest ? o->second : rest > 0 ? rest : 0;
        }
        have[c] -= given[0] + given[1];
        return given[0] == o->given[0] && given[1] == o->given[1];
    case GIVE:
        have[c] += q;
        return true;
    default:
        open[c] = o->verb == OPEN;
        return true;
    }
}

// Is there an order of what is left (a bit each) that explains the answers and the end?
static bool explained(const struct history *h, uint32_t left, const int64_t *have, const bool *open)
{
    if (left == 0)
        return memcmp(have, h->end, sizeof h->end) == 0;
    uint64_t first_end = UINT64_MAX; // what begins later than this cannot come next
    for (uint32_t i = 0; i < h->total; i++)
        if ((left >> i & 1) && h->all[i]->to < first_end)
            first_end = h->all[i]->to;
    for (uint32_t i = 0; i < h->total; i++) {
        if (!(left >> i & 1) || h->all[i]->from > first_end)
            continue;
        int64_t next[CELLS];
        bool next_open[CELLS];
        memcpy(next, have, sizeof next);
        memcpy(next_open, open, sizeof next_open);
        if (op_judge(h->all[i], next, next_open) &&
            explained(h, left & ~(1u << i), next, next_open))
            return true;
    }
    return false;
}

static void history_tell(const struct history *h)
{
    static const char *const names[VERBS] = {"one",  "fact",  "wide", "combined",
                                             "give", "close", "open"};
    for (uint32_t i = 0; i < h->total; i++) {
        const struct op *o = h->all[i];
        fprintf(stderr, "  %3llu..%3llu %s %s", (unsigned long long)o->from,
                (unsigned long long)o->to, names[o->verb], o->taken ? "taken" : "");
        for (uint32_t k = 0; k < o->count; k++)
            fprintf(stderr, " %u:%lld", o->takes[k].cell, (long long)o->takes[k].quantity);
        fprintf(stderr, " given %lld %lld left %lld\n", (long long)o->given[0],
                (long long)o->given[1], (long long)o->left);
    }
    for (uint32_t i = 0; i < CELLS; i++)
        fprintf(stderr, "  cell %u: %lld -> %lld\n", i, (long long)h->start[i],
                (long long)h->end[i]);
}

static void history_judge(struct history *h)
{
    bool open[CELLS];
    for (uint32_t i = 0; i < CELLS; i++) {
        open[i] = true;
        h->end[i] = stock_available(&h->stock.cells.cells[i]);
        stock_flags_set(&h->main.taker, i, STOCK_FLAG_ACTIVE, 0);
        uint64_t tag = h->stock.cells.cells[i].decision.hi;
        torture_check(!(tag >> 63) && stock_available(&h->stock.cells.cells[i]) == h->end[i],
                      "history %llu: cell %u keeps a mark or lost its amount",
                      (unsigned long long)h->number, i);
    }
    for (uint32_t t = 0; t < THREADS; t++)
        for (uint32_t i = 0; i < h->programs[t].count; i++)
            h->all[h->total++] = &h->programs[t].ops[i];
    if (explained(h, (1u << h->total) - 1, h->start, open))
        return;
    history_tell(h);
    torture_check(false, "history %llu: no order explains it", (unsigned long long)h->number);
}

// ------------------------------------------------------------------------------ the schedule

static void history_init(struct history *h, uint64_t number)
{
    const struct stock_sizes sizes = {
        .cells = CELLS, .ids = 1, .blocks = 1, .threads = THREADS + 1};
    memset(h, 0, sizeof *h);
    h->number = number;
    torture_check(stock_init(&h->stock, &sizes) == HF_OK, "no memory");
    stock_thread_init(&h->stock, &h->main, THREADS);
    for (uint32_t i = 0; i < CELLS; i++) {
        h->start[i] = (int64_t)torture_below(5);
        h->stock.cells.cells[i].decision.lo = stock_word(h->start[i], STOCK_FLAG_ACTIVE);
    }
    for (uint32_t t = 0; t < THREADS; t++) {
        h->programs[t].history = h;
        stock_thread_init(&h->stock, &h->programs[t].thread, t);
        program_make(&h->programs[t]);
    }
}

static uint32_t threads_left(const struct history *h)
{
    uint32_t n = 0;
    for (uint32_t t = 0; t < THREADS; t++)
        n += !h->programs[t].ended;
    return n;
}

static uint64_t history_run(struct history *h)
{
    uint64_t accesses = 0, longest = 1 + torture_below(40), turns = 0;
    uint32_t victim = (uint32_t)torture_below(2 * THREADS); // stopped for good, or nobody
    uint64_t victim_turns = torture_below(12);
    for (uint32_t t = 0; t < THREADS; t++)
        h->programs[t].ended =
            !torture_freeze(&h->programs[t].frozen, t, 1, program_run, &h->programs[t]);
    while (threads_left(h) > 0) {
        uint32_t t = (uint32_t)torture_below(THREADS);
        struct program *p = &h->programs[t];
        bool stopped = t == victim && turns >= victim_turns && threads_left(h) > 1;
        if (p->ended || stopped)
            continue;
        uint64_t more = 1 + torture_below(longest);
        turns += t == victim;
        accesses += more;
        p->ended = !torture_thaw_until(&p->frozen, more);
        torture_check(accesses < ACCESSES_MAX, "history %llu: no progress",
                      (unsigned long long)h->number);
    }
    for (uint32_t t = 0; t < THREADS; t++)
        torture_thaw(&h->programs[t].frozen);
    return accesses;
}

int main(int argc, char **argv)
{
    static struct history h;
    uint64_t number = 0, accesses = 0, helped = 0;
    torture_begin("torture_explore", argc, argv);
    torture_yields(0);
    while (torture_time_left()) {
        history_init(&h, number++);
        torture_at("history", number, 0);
        accesses += history_run(&h);
        for (uint32_t t = 0; t < THREADS; t++)
            helped += h.programs[t].thread.taker.helped;
        history_judge(&h);
        stock_fini(&h.stock);
    }
    torture_check(helped > 0 || number < 1000, "nobody ever helped");
    torture_end("%llu histories, %llu accesses, %llu helped", (unsigned long long)number,
                (unsigned long long)accesses, (unsigned long long)helped);
    return 0;
}
