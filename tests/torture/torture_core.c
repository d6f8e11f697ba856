// A whole engine in real threads on real files: workers that ask for the same ids, holds of a few
// milliseconds, ends from all sides, sales taken back, an administrator, a reader; beside them the
// writer, the timers and the keeper. Each round: every hold has ended, every cell is exactly the
// sum of what the workers were told, nothing is lost from the pools; then the engine is opened
// again and shows the same (P1 to P5).
#include "torture/torture_core.h"

#include "rcu/rcu.h"
#include "torture/torture_engine.h"

#include <stdlib.h>
#include <time.h>

#define ROUND_S  1.5
#define SETTLE_S 30

enum { WRITER = WORKERS, TIMERS, KEEPER, READER, THREADS };
enum { WORKING, DRAINING, STOPPING };

static struct run run;
static struct engine engine;
static _Atomic uint32_t stage;
static _Atomic uint32_t working;
static struct core_cell before[CELLS];
static uint64_t rounds, told_again;

static bool did(enum hf_status s, const char *step)
{
    torture_check(s == HF_OK || s == HF_AGAIN, "%s: %s", step, hf_status_name(s));
    return s == HF_OK;
}

static void rest(void)
{
    struct timespec t = {0, 500000};
    nanosleep(&t, NULL);
}

// ------------------------------------------------------------------------------ the engine

static void options_set(struct core_options *o)
{
    o->cells_max = CELLS;
    o->ids_max = 6000; // scarce: the window shrinks, and BUSY
    o->blocks_max = 1500;
    o->workers_max = WORKERS + 1;
    o->window_ms = WINDOW_MS;
    o->window_min_ms = WINDOW_MS / 4;
    o->skew_ms = 50;
    o->ttl_max_ms = 10000;
    o->checkpoint_ms = 200;
}

static void run_open(void)
{
    engine_open(&engine);
    run.core = engine.core;
}

static void writer(void)
{
    while (stage < STOPPING)
        if (!did(core_step_writer(run.core, false), "writer") &&
            !did(core_step_writer(run.core, true), "writer"))
            journal_writer_wait(core_journal(run.core), 5);
}

static void timers(void)
{
    rcu_thread_register_once();
    while (stage < STOPPING)
        if (!did(core_step_timers(run.core, core_now(run.core), 1 + (uint32_t)torture_below(4096)),
                 "timers"))
            rest();
    rcu_thread_unregister_once();
}

static void keeper(void)
{
    rcu_thread_register_once();
    while (stage < STOPPING) {
        bool busy = did(core_step_segments(run.core), "segments");
        busy |= did(core_step_checkpoint(run.core, core_now(run.core), 4), "checkpoint");
        busy |= did(core_step_archive(run.core, core_now(run.core)), "archive");
        if (!busy)
            rest();
    }
    rcu_thread_unregister_once();
}

// ------------------------------------------------------------------------------ the end of a round

// Slots that are held or being decided. Stale now and then: asked until it stays.
static uint32_t slots_alive(uint32_t *undecided)
{
    const struct stock_slots *s = &run.core->stock.slots;
    uint32_t held = 0;
    *undecided = 0;
    for (uint32_t i = 1; i <= s->slot_pool.max; i++) {
        unsigned state = stock_word_state(hf_load_acquire(&s->slots[i].word));
        held += state == CORE_STATE_HELD;
        *undecided += state == CORE_STATE_PENDING || state == CORE_STATE_CHANGING ||
                      state == CORE_STATE_ENDING;
    }
    return held;
}

static void all_holds_end(double give_up)
{
    uint32_t undecided, held;
    while ((held = slots_alive(&undecided)) + undecided > 0) {
        torture_check(torture_before(give_up), "%u held, %u undecided for good", held, undecided);
        rest();
    }
    enum hf_status s = core_wait(run.core, journal_appended(core_journal(run.core)), 60000);
    torture_check(s == HF_OK, "the end: %s", hf_status_name(s));
}

// Once the window has passed nothing is used any more.
static void all_ids_are_forgotten(double give_up)
{
    struct core_metrics m;
    for (;;) {
        core_metrics(run.core, &m);
        if (m.ids_used == 0 && m.blocks_used == 0)
            return;
        torture_check(torture_before(give_up), "%llu ids and %llu blocks are used for good",
                      (unsigned long long)m.ids_used, (unsigned long long)m.blocks_used);
        rest();
    }
}

static void cells_add_up(void)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell *c = &before[i];
        int64_t on_hand = 0, committed = 0;
        for (uint32_t k = 0; k < WORKERS; k++) {
            on_hand += run.tallies[k].on_hand[i];
            committed += run.tallies[k].committed[i];
        }
        torture_check(core_cell_read(run.core, i, c) == HF_OK && !c->unsettled, "no cell %u", i);
        torture_check(c->on_hand == on_hand, "cell %u: %lld on hand, %lld by the answers", i,
                      (long long)c->on_hand, (long long)on_hand);
        torture_check(c->committed == committed, "cell %u: %lld committed, %lld by the answers", i,
                      (long long)c->committed, (long long)committed);
        torture_check(c->held == 0, "cell %u: %lld held by nobody", i, (long long)c->held);
    }
}

static void conduct(double end_s)
{
    struct core_worker *w = core_worker_create(run.core);
    torture_check(w != NULL, "no worker");
    while (working > 0)
        watch(&run, w);
    stage = DRAINING;
    all_holds_end(end_s + SETTLE_S);
    core_worker_destroy(w);
    if (!torture_time_left())
        all_ids_are_forgotten(end_s + SETTLE_S);
    stage = STOPPING;
}

static void body(void *ctx, uint32_t self)
{
    (void)ctx;
    switch (self) {
    case WRITER:
        writer();
        return;
    case TIMERS:
        timers();
        return;
    case KEEPER:
        keeper();
        return;
    case READER:
        conduct(run.deadline);
        return;
    default:
        work(&run, self);
        working--;
    }
}

// ------------------------------------------------------------------------------ opening again

static void cells_are_the_same(void)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c;
        torture_check(core_cell_read(run.core, i, &c) == HF_OK, "no cell %u after opening", i);
        const struct core_cell *b = &before[i];
        torture_check(c.available == b->available && c.on_hand == b->on_hand && c.held == b->held &&
                          c.committed == b->committed && c.external == b->external &&
                          c.safety == b->safety && c.backorder == b->backorder &&
                          c.active == b->active,
                      "cell %u: available %lld, on hand %lld, committed %lld; before %lld, %lld, "
                      "%lld",
                      i, (long long)c.available, (long long)c.on_hand, (long long)c.committed,
                      (long long)b->available, (long long)b->on_hand, (long long)b->committed);
    }
}

// P3: what was decided is told again, while the window lasts.
static void decisions_are_told_again(void)
{
    struct core_worker *w = core_worker_create(run.core);
    struct core_line lines[LINES];
    struct core_request q;
    struct core_answer a;
    uint64_t end = run.next < PLANS_MAX ? run.next : PLANS_MAX;
    torture_check(w != NULL, "no worker");
    for (uint64_t n = end > 3000 ? end - 3000 : 0; n < end; n++) {
        const struct plan *p = &run.plans[n];
        if (p->done + p->refused == 0)
            continue;
        plan_take(&run, n, 0, &q, lines, NULL);
        core_execute(w, core_now(run.core), &q, &a, 1);
        if (a.outcome == CORE_OUT_ID_TOO_OLD)
            continue;
        torture_check(a.outcome == (p->done ? CORE_OUT_DONE : CORE_OUT_REFUSED) && a.repeat,
                      "plan %llu was %s; opened again: %s, %s", (unsigned long long)n,
                      p->done ? "done" : "refused", core_outcome_name(a.outcome),
                      a.repeat ? "told again" : "fresh");
        told_again++;
    }
    core_worker_destroy(w);
}

static void cells_make(void)
{
    struct core_worker *w = core_worker_create(run.core);
    for (uint32_t i = 0; i < CELLS; i++) {
        torture_check(engine_cell(&engine, w, i, 40) == i, "cell %u", i);
        run.tallies[0].on_hand[i] += 40;
    }
    core_worker_destroy(w);
}

#define ENOUGH 2000 // plans, to have met everything
static void report(void)
{
    struct tally t = {0};
    for (uint32_t i = 0; i < WORKERS; i++) {
        const struct tally *w = &run.tallies[i];
        t.done += w->done;
        t.refused += w->refused;
        t.repeats += w->repeats;
        t.busy += w->busy;
        t.progress += w->progress;
        t.ended += w->ended;
        t.expired += w->expired;
        t.changed += w->changed;
    }
    bool all = t.done && t.refused && t.repeats && t.ended && t.expired && t.changed;
    torture_check(all || run.next < ENOUGH, // a machine that is busy with something else
                  "one-sided: %llu done, %llu refused, %llu repeats, %llu ended, %llu expired",
                  (unsigned long long)t.done, (unsigned long long)t.refused,
                  (unsigned long long)t.repeats, (unsigned long long)t.ended,
                  (unsigned long long)t.expired);
    torture_end(
        "%llu rounds, %llu plans: %llu done, %llu refused, %llu repeats, %llu busy, %llu "
        "in progress, %llu ended, %llu too late, %llu changed; "
        "%llu told again after opening",
        (unsigned long long)rounds, (unsigned long long)run.next, (unsigned long long)t.done,
        (unsigned long long)t.refused, (unsigned long long)t.repeats, (unsigned long long)t.busy,
        (unsigned long long)t.progress, (unsigned long long)t.ended, (unsigned long long)t.expired,
        (unsigned long long)t.changed, (unsigned long long)told_again);
}

int main(int argc, char **argv)
{
    torture_begin("torture_core", argc, argv);
    run.salt = torture_random();
    run.plans = calloc(PLANS_MAX, sizeof *run.plans);
    torture_check(run.plans != NULL, "no memory");
    engine_init(&engine);
    options_set(&engine.options);
    run_open();
    cells_make();
    do {
        run.deadline = torture_share(1);
        double round_end = torture_share(0) + (double)(rounds + 1) * ROUND_S;
        if (round_end + ROUND_S / 2 < run.deadline)
            run.deadline = round_end;
        stage = WORKING;
        working = WORKERS;
        torture_at("a round", rounds, 0);
        torture_run(THREADS, body, NULL);
        rounds++;
        cells_add_up();
        engine_close(&engine);
        run_open();
        cells_are_the_same();
        decisions_are_told_again();
    } while (torture_time_left() && run.next < PLANS_MAX);
    engine_close(&engine);
    engine_remove(&engine);
    report();
    free(run.plans);
    return 0;
}
