// Every prefix of the journal is a state that a power cut may leave, so none may oversell (P1).
//
// Threads fight for a few cells with little stock: takes of one line and of several, ends from all
// sides, retakes, sales taken back. Then the journal is read and summed record by record: behind
// each decision that takes, no cell that it took from is below zero. That holds because takes are
// appended after their swap and gives before they are published; the other way round, a later
// taker's record can stand in front of the record that returned its stock, and only here it shows:
// the whole journal adds up all the same. No facts: those may go below zero.
#include "torture/torture.h"

#include "core/core.h"
#include "core/record.h"
#include "rcu/rcu.h"
#include "torture/torture_engine.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS 4
#define CELLS   3
#define STOCK   4
#define LINES   3
#define ROUND_S 0.7
#define ASKS    4000 // a worker and round, so that the journal keeps everything

enum { WRITER = WORKERS, TIMERS, THREADS };

static struct engine engine;
static _Atomic uint32_t working;
static double round_end;
static uint64_t rounds, records, takes, gives;
static _Atomic uint64_t ids;

static struct hf_uuid id_fresh(void)
{
    return hf_uuid_v7(core_now(engine.core), ++ids, torture_random());
}

static enum core_outcome ask(struct core_worker *w, struct core_request *q, struct core_answer *a)
{
    for (int i = 0; i < 100; i++) {
        core_execute(w, core_now(engine.core), q, a, 1);
        if (a->outcome != CORE_OUT_BUSY && a->outcome != CORE_OUT_IN_PROGRESS)
            break;
        sched_yield();
    }
    return a->outcome;
}

// Lines on different cells, one unit or two each.
static uint32_t lines_choose(struct core_line *lines)
{
    uint32_t n = torture_below(3) ? 1 : 2 + (uint32_t)torture_below(LINES - 1);
    uint32_t first = (uint32_t)torture_below(CELLS);
    for (uint32_t i = 0; i < n; i++)
        lines[i] = (struct core_line){(first + i) % CELLS, 0, 1 + (int64_t)torture_below(2)};
    return n;
}

// One reservation from its beginning to its end; all that it took comes back.
static void flow(struct core_worker *w)
{
    struct core_line lines[LINES];
    struct core_answer a;
    bool hold = torture_below(4) != 0, passes = hold && torture_below(8) == 0;
    struct core_request q = {.verb = hold ? CORE_RESERVE : CORE_ORDER,
                             .id = id_fresh(),
                             .lines = lines,
                             .ttl_ms = !hold    ? 0
                                       : passes ? 1
                                                : 60000};
    q.line_count = lines_choose(lines);
    if (ask(w, &q, &a) != CORE_OUT_DONE)
        return;
    bool sold = !hold;
    if (hold) {
        struct core_request end = {.verb = torture_below(3) ? CORE_RELEASE : CORE_COMMIT,
                                   .flags = passes ? CORE_RETAKE : 0,
                                   .id = q.id};
        if (end.verb == CORE_RELEASE)
            end.flags = 0;
        if (passes && torture_below(2))
            sched_yield();
        sold = ask(w, &end, &a) == CORE_OUT_DONE && end.verb == CORE_COMMIT;
    }
    if (!sold)
        return;
    struct core_request back = {.verb = CORE_CANCEL,
                                .id = q.id,
                                .op_id = id_fresh(),
                                .lines = lines,
                                .line_count = q.line_count};
    if (ask(w, &back, &a) == CORE_OUT_NEEDS_RECALL &&
        core_recall(w, core_now(engine.core), q.id) == HF_OK)
        (void)ask(w, &back, &a);
}

static void work(void)
{
    struct core_worker *w = core_worker_create(engine.core);
    torture_check(w != NULL, "no worker");
    for (int i = 0; i < ASKS && torture_before(round_end); i++)
        flow(w);
    core_worker_destroy(w);
    working--;
}

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

static bool did(enum hf_status s, const char *step)
{
    torture_check(s == HF_OK || s == HF_AGAIN, "%s: %s", step, hf_status_name(s));
    return s == HF_OK;
}

static void body(void *ctx, uint32_t self)
{
    (void)ctx;
    rcu_thread_register_once();
    if (self < WORKERS) {
        work();
    } else {
        while (working > 0) {
            bool busy_now;
            if (self == WRITER) {
                busy_now = did(core_step_segments(engine.core), "segments");
                busy_now |= did(core_step_writer(engine.core, false), "writer");
            } else {
                busy_now = did(core_step_timers(engine.core, core_now(engine.core), 64), "timers");
            }
            if (!busy_now)
                pause_ms(self == WRITER ? 0 : 1);
        }
    }
    rcu_thread_unregister_once();
}

// ------------------------------------------------------------------------------ the judge

struct sums {
    int64_t available[CELLS];
};

static int64_t gain(const struct core_record_line *l)
{
    switch ((enum core_role)l->role) {
    case CORE_ROLE_HOLD:
    case CORE_ROLE_ORDER:
        return -l->quantity;
    case CORE_ROLE_GIVE_BACK:
    case CORE_ROLE_CANCEL:
    case CORE_ROLE_RESTOCK:
    case CORE_ROLE_ON_HAND:
        return l->quantity;
    default:
        return 0;
    }
}

static enum hf_status judge(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *frame)
{
    struct sums *s = ctx;
    const struct core_record *r = (const struct core_record *)frame;
    (void)time_ms;
    records++;
    for (uint32_t i = 0; i < r->line_count; i++) {
        const struct core_record_line *l = &r->lines[i];
        int64_t by = gain(l);
        torture_check(l->handle < CELLS, "record %llu names cell %u", (unsigned long long)lsn,
                      l->handle);
        int64_t *have = &s->available[l->handle];
        *have += by;
        takes += by < 0;
        gives += by > 0;
        torture_check(by >= 0 || *have >= 0,
                      "the prefix up to record %llu oversells cell %u: %lld (round %llu)",
                      (unsigned long long)lsn, l->handle, (long long)*have,
                      (unsigned long long)rounds);
    }
    return HF_OK;
}

static void journal_judge(void)
{
    struct journal_reader *reader;
    struct sums sums = {0};
    struct journal *j = core_journal(engine.core);
    while (journal_durable(j) < journal_appended(j))
        did(core_step_writer(engine.core, true), "writer");
    torture_check(journal_reader_create(j, 0, &reader) == HF_OK, "no reader");
    enum hf_status s;
    while ((s = journal_reader_step(reader, 64, judge, &sums)) == HF_OK)
        ;
    torture_check(s == HF_AGAIN, "reader: %s", hf_status_name(s));
    journal_reader_destroy(reader);
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c;
        torture_check(core_cell_read(engine.core, i, &c) == HF_OK &&
                          c.available == sums.available[i],
                      "cell %u: the records say %lld", i, (long long)sums.available[i]);
    }
}

static void round_run(void)
{
    engine_init(&engine);
    engine.options.cells_max = CELLS;
    engine.options.ids_max = 4 * WORKERS * ASKS;
    engine.options.blocks_max = 20000;
    engine.options.workers_max = WORKERS + 1;
    engine.options.journal.segment_bytes = 4 << 20;
    engine_open(&engine);
    struct core_worker *w = core_worker_create(engine.core);
    for (uint32_t i = 0; i < CELLS; i++)
        torture_check(engine_cell(&engine, w, i, STOCK) == i, "cell %u", i);
    core_worker_destroy(w);
    round_end = torture_share(0) + (double)(rounds + 1) * ROUND_S;
    if (!torture_before(round_end)) // the rounds before took longer
        round_end = torture_share(1);
    working = WORKERS;
    torture_run(THREADS, body, NULL);
    journal_judge();
    engine_close(&engine);
    engine_remove(&engine);
    rounds++;
}

int main(int argc, char **argv)
{
    torture_begin("torture_prefix", argc, argv);
    torture_yields(192);
    do {
        torture_at("round", rounds, 0);
        round_run();
    } while (torture_time_left());
    torture_check(takes > 100 && gives > 100, "hardly anything happened: %llu takes, %llu gives",
                  (unsigned long long)takes, (unsigned long long)gives);
    torture_end("%llu rounds, %llu records, %llu takes, %llu gives", (unsigned long long)rounds,
                (unsigned long long)records, (unsigned long long)takes, (unsigned long long)gives);
    return 0;
}
