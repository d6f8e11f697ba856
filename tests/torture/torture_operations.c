// One operation id, asked with by several threads at once: one of them decides, the others are told
// what it decided, or that it is being decided (P3). Never is an operation judged by what it has
// done itself, and never does it act twice.
//
// A deal is a reservation and a change of it, or a change of stock. All threads begin it together;
// in some deals one of them has another body under the same id: whoever is first decides, and the
// others conflict with it. When all have their answers the cell says what has happened.
#include "torture/torture.h"

#include "core/core.h"
#include "rcu/rcu.h"
#include "torture/torture_engine.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#define WORKERS 4
#define STOCK   1000000000
#define HELD    10
#define AGAIN   100000

enum { WRITER = WORKERS, TIMERS, THREADS };
enum { EXTEND, RELEASE, CANCEL, ADJUST, KINDS };

struct told {
    enum core_outcome outcome;
    bool repeat;
    uint64_t ticket;
    int64_t asked; // quantity, or milliseconds, of its body
};

static struct engine engine;
static _Atomic uint32_t working, arrived;
static _Atomic uint64_t turn;
static _Atomic bool over;
static _Atomic uint64_t ids;

// Of the deal under way: written by the first worker before the others begin.
static struct {
    int kind;
    uint32_t cell, odd_one; // who has another body; WORKERS: nobody
    struct hf_uuid id, op_id;
    struct core_cell before;
    struct told told[WORKERS];
} deal;
static uint64_t deals, repeats, conflicts;
static _Atomic uint64_t met_in_progress;

static struct hf_uuid id_fresh(void)
{
    return hf_uuid_v7(core_now(engine.core), ++ids, torture_random());
}

static bool undecided(enum core_outcome o)
{
    return o == CORE_OUT_BUSY || o == CORE_OUT_IN_PROGRESS;
}

// ------------------------------------------------------------------------------ a deal

static void deal_prepare(struct core_worker *w)
{
    struct core_line line = {deal.cell, 0, HELD};
    struct core_answer a;
    deal.kind = (int)torture_below(KINDS);
    deal.odd_one = torture_below(3) ? WORKERS : (uint32_t)torture_below(WORKERS);
    deal.id = id_fresh();
    deal.op_id = id_fresh();
    bool order = deal.kind == CANCEL;
    struct core_request q = {.verb = order ? CORE_ORDER : CORE_RESERVE,
                             .id = deal.id,
                             .lines = &line,
                             .line_count = 1,
                             .ttl_ms = order ? 0 : 60000};
    for (int i = 0; i < AGAIN && deal.kind != ADJUST; i++) {
        core_execute(w, core_now(engine.core), &q, &a, 1);
        if (!undecided(a.outcome))
            break;
        sched_yield();
    }
    torture_check(deal.kind == ADJUST || a.outcome == CORE_OUT_DONE, "no reservation");
    torture_check(core_cell_read(engine.core, deal.cell, &deal.before) == HF_OK, "no cell");
}

static void ask_change(struct core_worker *w, struct told *t)
{
    struct core_change ch = {
        .op_id = deal.op_id, .handle = deal.cell, .relative = true, .value = t->asked};
    struct core_admin_answer a;
    core_change(w, core_now(engine.core), &ch, &a);
    t->outcome = a.outcome;
    t->repeat = a.repeat;
    t->ticket = a.ticket;
}

static void ask_verb(struct core_worker *w, struct told *t)
{
    static const enum core_verb verbs[] = {CORE_EXTEND, CORE_RELEASE, CORE_CANCEL};
    struct core_line line = {deal.cell, 0, t->asked};
    struct core_request q = {.verb = verbs[deal.kind], .id = deal.id, .op_id = deal.op_id};
    struct core_answer a;
    if (deal.kind == EXTEND) {
        q.ttl_ms = (uint32_t)t->asked * 1000;
    } else {
        q.lines = &line;
        q.line_count = 1;
    }
    core_execute(w, core_now(engine.core), &q, &a, 1);
    torture_check(!undecided(a.outcome) || a.retry_ms > 0, "no time to wait");
    t->outcome = a.outcome;
    t->repeat = a.repeat;
    t->ticket = a.ticket;
}

static void deal_ask(struct core_worker *w, uint32_t self)
{
    struct told *t = &deal.told[self];
    t->asked = deal.odd_one == self ? 7 : 6; // for a second one there is not enough left
    for (int i = 0; i < AGAIN; i++) {
        if (deal.kind == ADJUST)
            ask_change(w, t);
        else
            ask_verb(w, t);
        if (!undecided(t->outcome))
            return;
        met_in_progress += t->outcome == CORE_OUT_IN_PROGRESS;
        sched_yield();
    }
    torture_check(false, "undecided for good");
}

// What the cell must have gained by the deal.
static int64_t gain_of(int64_t asked)
{
    return deal.kind == EXTEND ? 0 : asked;
}

static void deal_judge(void)
{
    struct core_cell after;
    const struct told *first = NULL;
    for (uint32_t i = 0; i < WORKERS; i++)
        if (deal.told[i].outcome == CORE_OUT_DONE && !deal.told[i].repeat) {
            torture_check(!first, "decided twice (deal %llu)", (unsigned long long)deals);
            first = &deal.told[i];
        }
    torture_check(first != NULL, "decided by nobody (deal %llu)", (unsigned long long)deals);
    for (uint32_t i = 0; i < WORKERS; i++) {
        const struct told *t = &deal.told[i];
        bool same = t->asked == first->asked;
        torture_check(t->outcome == (same ? CORE_OUT_DONE : CORE_OUT_CONFLICT),
                      "kind %d, thread %u: %s (deal %llu)", deal.kind, i,
                      core_outcome_name(t->outcome), (unsigned long long)deals);
        torture_check(!same || t->ticket == first->ticket, "told another decision");
        torture_check(t->ticket >= first->ticket, "told before it is durable");
        repeats += t->repeat;
        conflicts += !same;
    }
    torture_check(core_cell_read(engine.core, deal.cell, &after) == HF_OK, "no cell");
    torture_check(after.available - deal.before.available == gain_of(first->asked),
                  "kind %d: %lld more available, not %lld", deal.kind,
                  (long long)(after.available - deal.before.available),
                  (long long)gain_of(first->asked));
    deals++;
}

// ------------------------------------------------------------------------------ the threads

// All have come so far; the last one of a turn does `last`.
static void meet(struct core_worker *w, void (*last)(struct core_worker *w))
{
    uint64_t mine = turn;
    if (++arrived == WORKERS) {
        last(w);
        arrived = 0;
        turn = mine + 1;
        return;
    }
    while (turn == mine)
        sched_yield();
}

static void end_deal(struct core_worker *w)
{
    (void)w;
    deal_judge();
    over = !torture_time_left();
}

static void work(uint32_t self)
{
    struct core_worker *w = core_worker_create(engine.core);
    torture_check(w != NULL, "no worker");
    while (!over) {
        meet(w, deal_prepare);
        deal_ask(w, self);
        meet(w, end_deal);
    }
    core_worker_destroy(w);
    working--;
}

static bool did(enum hf_status s, const char *step)
{
    torture_check(s == HF_OK || s == HF_AGAIN, "%s: %s", step, hf_status_name(s));
    return s == HF_OK;
}

static void keep(uint32_t self)
{
    while (working > 0) {
        bool busy;
        if (self == WRITER) {
            busy = did(core_step_segments(engine.core), "segments");
            busy |= did(core_step_writer(engine.core, false), "writer");
            busy |= did(core_step_checkpoint(engine.core, core_now(engine.core), 16), "checkpoint");
            busy |= did(core_step_archive(engine.core, core_now(engine.core)), "archive");
        } else {
            busy = did(core_step_timers(engine.core, core_now(engine.core), 64), "timers");
        }
        struct timespec t = {0, 200000};
        if (!busy)
            nanosleep(&t, NULL);
    }
}

static void body(void *ctx, uint32_t self)
{
    (void)ctx;
    rcu_thread_register_once();
    if (self < WORKERS)
        work(self);
    else
        keep(self);
    rcu_thread_unregister_once();
}

int main(int argc, char **argv)
{
    torture_begin("torture_operations", argc, argv);
    torture_yields(192);
    engine_init(&engine);
    engine.options.cells_max = 1;
    engine.options.ids_max = 400000;
    engine.options.blocks_max = 200000;
    engine.options.workers_max = WORKERS + 1;
    engine.options.window_ms = 2000;
    engine.options.window_min_ms = 1000;
    engine.options.journal.segment_bytes = 4 << 20;
    engine_open(&engine);
    struct core_worker *w = core_worker_create(engine.core);
    deal.cell = engine_cell(&engine, w, 0, STOCK);
    core_worker_destroy(w);
    working = WORKERS;
    torture_run(THREADS, body, NULL);
    engine_close(&engine);
    engine_remove(&engine);
    torture_check(deals > 20 && repeats > 20 && conflicts > 0, "hardly anything happened");
    torture_end("%llu deals, %llu repeats, %llu conflicts, %llu met one in progress",
                (unsigned long long)deals, (unsigned long long)repeats,
                (unsigned long long)conflicts, (unsigned long long)met_in_progress);
    return 0;
}
