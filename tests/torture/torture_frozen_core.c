// P6, for whole decisions: a worker stopped for good at any shared access of core_execute stops no
// decision on another reservation. For every verb and every stop: another worker takes, commits,
// changes and ends reservations on the same cells, each at the first asking; the stopped one's own
// reservation answers IN_PROGRESS, or as if the stopped one came later; the writer goes on. Then
// it is let go, one of the two has decided (P3), and the cells are the sum of the answers.
#include "torture/torture.h"
#include "torture/torture_engine.h"

#include "stock/stock.h"

#include <stdlib.h>
#include <string.h>

#define CELLS    4
#define SCARCE   CELLS // one more cell, of which there is enough for one
#define AMPLE    (INT64_C(1) << 40)
#define STOP_MAX 3000
#define TTL_MS   600000

struct world {
    struct engine engine;
    struct core_worker *main;
    int64_t committed[CELLS], held[CELLS];
    // Of the stopped worker:
    struct core_request requests[2];
    struct core_answer answers[2];
    uint32_t count;
};

static const struct core_line all[CELLS] = {{0, 0, 1}, {1, 0, 2}, {2, 0, 3}, {3, 0, 4}};
static const struct core_line some[2] = {{1, 0, 1}, {3, 0, 1}};
static const struct core_text text = {.reference = "S1", .reference_bytes = 2};

static struct hf_uuid id_new(struct world *w)
{
    return hf_uuid_v7(core_now(w->engine.core), torture_random(), torture_random());
}

static void writer_run(struct world *w)
{
    enum hf_status s;
    while ((s = core_step_segments(w->engine.core)) == HF_OK)
        ;
    torture_check(s == HF_AGAIN, "segments: %s", hf_status_name(s));
    while ((s = core_step_writer(w->engine.core, false)) == HF_OK)
        ;
    torture_check(s == HF_AGAIN, "writer: %s", hf_status_name(s));
    torture_check(core_durable(w->engine.core) == journal_appended(core_journal(w->engine.core)),
                  "the writer left something");
}

// What a fresh DONE did to the cells.
static void tally(struct world *w, const struct core_request *q, const struct core_answer *a)
{
    if (a->outcome != CORE_OUT_DONE || a->repeat)
        return;
    bool whole = q->line_count == 0;
    const struct core_line *lines = whole ? all : q->lines;
    for (uint32_t i = 0; i < (whole ? CELLS : q->line_count); i++) {
        uint32_t c = lines[i].handle;
        int64_t n = lines[i].quantity;
        w->held[c] += q->verb == CORE_RESERVE ? n : 0;
        w->held[c] -= q->verb == CORE_COMMIT || q->verb == CORE_RELEASE ? n : 0;
        w->committed[c] += q->verb == CORE_ORDER || q->verb == CORE_COMMIT ? n : 0;
        w->committed[c] -= q->verb == CORE_CANCEL ? n : 0;
    }
}

static struct core_answer decide(struct world *w, struct core_request q)
{
    struct core_answer a;
    core_execute(w->main, core_now(w->engine.core), &q, &a, 1);
    tally(w, &q, &a);
    return a;
}

static void must(struct world *w, struct core_request q)
{
    struct core_answer a = decide(w, q);
    torture_check(a.outcome == CORE_OUT_DONE && !a.repeat, "%s beside a stopped worker: %s",
                  core_verb_name(q.verb), core_outcome_name(a.outcome));
}

#define TAKE(v, i, l, n, t)                                                                        \
    (struct core_request)                                                                          \
    {                                                                                              \
        .verb = (v), .id = (i), .lines = (l), .line_count = (n), .ttl_ms = (t)                     \
    }
#define CHANGE(v, i, o, l, n, t)                                                                   \
    (struct core_request)                                                                          \
    {                                                                                              \
        .verb = (v), .id = (i), .op_id = (o), .lines = (l), .line_count = (n), .ttl_ms = (t)       \
    }

// Every verb on reservations of our own.
static void others_decide(struct world *w)
{
    struct hf_uuid hold = id_new(w), hold2 = id_new(w), order = id_new(w);
    must(w, TAKE(CORE_RESERVE, hold, all, CELLS, TTL_MS));
    must(w, TAKE(CORE_RESERVE, hold2, all, CELLS, TTL_MS));
    must(w, TAKE(CORE_ORDER, order, all, 1, 0));
    must(w, TAKE(CORE_ORDER, id_new(w), all, CELLS, 0));
    must(w, TAKE(CORE_COMMIT, hold, NULL, 0, 0));
    must(w, TAKE(CORE_RELEASE, hold2, NULL, 0, 0));
    must(w, CHANGE(CORE_CANCEL, order, id_new(w), all, 1, 0));
    writer_run(w);
}

static void stopped_run(void *ctx)
{
    struct world *w = ctx;
    struct core_worker *worker = core_worker_create(w->engine.core);
    torture_check(worker != NULL, "no worker");
    core_execute(worker, core_now(w->engine.core), w->requests, w->answers, w->count);
    core_worker_destroy(worker);
}

// One request of the stopped worker, asked by us as well while it stands.
static void same_request(struct world *w, const struct core_request *q)
{
    struct core_answer a = decide(w, *q);
    torture_check(a.outcome == CORE_OUT_DONE || a.outcome == CORE_OUT_IN_PROGRESS,
                  "%s that a stopped worker is at: %s", core_verb_name(q->verb),
                  core_outcome_name(a.outcome));
}

static void settled(struct world *w, const struct core_request *q)
{
    struct core_answer a;
    core_execute(w->main, core_now(w->engine.core), q, &a, 1);
    tally(w, q, &a);
    torture_check(a.outcome == CORE_OUT_DONE, "%s afterwards: %s", core_verb_name(q->verb),
                  core_outcome_name(a.outcome));
}

// Two ask for the last unit under one id at once: both are told of the one hold. The second was
// refused when it looked the id up before, and the stock after, the first decided.
static bool the_last_unit_at(struct world *w, uint64_t k, bool wide)
{
    static const struct core_line last[] = {{SCARCE, 0, 1}, {0, 0, 1}};
    struct torture_frozen f;
    struct core_request q = TAKE(CORE_RESERVE, id_new(w), last, wide ? 2 : 1, TTL_MS), end = q;
    struct core_answer a;
    w->requests[0] = q;
    w->count = 1;
    torture_at("the last unit, stop", wide, k);
    bool stood = torture_freeze(&f, 1, k, stopped_run, w);
    core_execute(w->main, core_now(w->engine.core), &q, &a, 1);
    torture_thaw(&f);
    torture_check(a.outcome == CORE_OUT_DONE || a.outcome == CORE_OUT_IN_PROGRESS, "stop %llu: %s",
                  (unsigned long long)k, core_outcome_name(a.outcome));
    torture_check(w->answers[0].outcome == CORE_OUT_DONE ||
                      w->answers[0].outcome == CORE_OUT_IN_PROGRESS,
                  "stop %llu, the stopped one: %s", (unsigned long long)k,
                  core_outcome_name(w->answers[0].outcome));
    end = (struct core_request){.verb = CORE_RELEASE, .id = q.id};
    core_execute(w->main, core_now(w->engine.core), &end, &a, 1);
    torture_check(a.outcome == CORE_OUT_DONE, "giving it back: %s", core_outcome_name(a.outcome));
    writer_run(w);
    return stood;
}

static uint64_t the_last_unit_is_refused_to_no_repeat(struct world *w)
{
    uint64_t stops = 0;
    for (int wide = 0; wide < 2; wide++)
        for (uint64_t k = 1; k < STOP_MAX && the_last_unit_at(w, k, wide); k++)
            stops++;
    return stops;
}

enum scenario {
    RESERVE,
    ORDER,
    ORDER_ONE,
    COMMIT,
    RELEASE,
    RELEASE_PART,
    EXTEND,
    CANCEL,
    BOTH,
    SCENARIOS
};

static void scenario_make(struct world *w, enum scenario s)
{
    struct hf_uuid id = id_new(w), op = id_new(w);
    w->count = 1;
    if (s == CANCEL)
        must(w, TAKE(CORE_ORDER, id, all, 1, 0));
    else if (s >= COMMIT && s <= EXTEND)
        must(w, TAKE(CORE_RESERVE, id, all, CELLS, TTL_MS));
    switch (s) {
    case RESERVE:
        w->requests[0] = TAKE(CORE_RESERVE, id, all, CELLS, TTL_MS);
        w->requests[0].text = &text;
        break;
    case ORDER:
        w->requests[0] = TAKE(CORE_ORDER, id, all, CELLS, 0);
        break;
    case ORDER_ONE:
        w->requests[0] = TAKE(CORE_ORDER, id, all, 1, 0);
        break;
    case COMMIT:
        w->requests[0] = TAKE(CORE_COMMIT, id, NULL, 0, 0);
        break;
    case RELEASE:
        w->requests[0] = TAKE(CORE_RELEASE, id, NULL, 0, 0);
        break;
    case RELEASE_PART:
        w->requests[0] = CHANGE(CORE_RELEASE, id, op, some, 2, 0);
        break;
    case EXTEND:
        w->requests[0] = CHANGE(CORE_EXTEND, id, op, NULL, 0, TTL_MS);
        break;
    case CANCEL:
        w->requests[0] = CHANGE(CORE_CANCEL, id, op, all, 1, 0);
        break;
    default:
        w->count = 2;
        w->requests[0] = TAKE(CORE_RESERVE, id, all, CELLS, TTL_MS);
        w->requests[1] = TAKE(CORE_COMMIT, id, NULL, 0, 0);
        break;
    }
}

static void cells_check(struct world *w, enum scenario s, uint64_t k)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c;
        torture_check(core_cell_read(w->engine.core, i, &c) == HF_OK && !c.unsettled, "no cell");
        torture_check(c.committed == w->committed[i] && c.held == w->held[i] &&
                          c.available == AMPLE - c.held - c.committed,
                      "scenario %d, stop %llu, cell %u: %lld committed, %lld held; by the answers "
                      "%lld, %lld",
                      (int)s, (unsigned long long)k, i, (long long)c.committed, (long long)c.held,
                      (long long)w->committed[i], (long long)w->held[i]);
    }
}

// True: the worker stood.
static bool stop_at(struct world *w, enum scenario s, uint64_t k)
{
    struct torture_frozen f;
    scenario_make(w, s);
    torture_at("scenario, stop", s, k);
    bool stood = torture_freeze(&f, 1, k, stopped_run, w);
    others_decide(w);
    if (w->count == 1) {
        same_request(w, &w->requests[0]);
        others_decide(w);
    }
    torture_thaw(&f);
    for (uint32_t i = 0; i < w->count; i++) {
        torture_check(w->answers[i].outcome == CORE_OUT_DONE ||
                          w->answers[i].outcome == CORE_OUT_IN_PROGRESS,
                      "the stopped %s: %s", core_verb_name(w->requests[i].verb),
                      core_outcome_name(w->answers[i].outcome));
        tally(w, &w->requests[i], &w->answers[i]);
        settled(w, &w->requests[i]);
    }
    writer_run(w);
    cells_check(w, s, k);
    return stood;
}

int main(int argc, char **argv)
{
    static struct world w;
    torture_begin("torture_frozen_core", argc, argv);
    torture_yields(0);
    engine_init(&w.engine);
    w.engine.options.cells_max = CELLS + 1;
    w.engine.options.ids_max = 200000;
    w.engine.options.blocks_max = 50000;
    w.engine.options.workers_max = 2;
    engine_open(&w.engine);
    w.main = core_worker_create(w.engine.core);
    for (uint32_t i = 0; i < CELLS; i++)
        engine_cell(&w.engine, w.main, i, AMPLE);
    engine_cell(&w.engine, w.main, SCARCE, 1);
    writer_run(&w);
    uint64_t stops = the_last_unit_is_refused_to_no_repeat(&w);
    for (enum scenario s = 0; s < SCENARIOS; s++) {
        uint64_t k = 1;
        while (k < STOP_MAX && stop_at(&w, s, k))
            k++;
        torture_check(k < STOP_MAX, "scenario %d has too many shared accesses", (int)s);
        stops += k - 1;
    }
    core_worker_destroy(w.main);
    engine_close(&w.engine);
    engine_remove(&w.engine);
    torture_end("%llu stops in %d scenarios", (unsigned long long)stops, SCENARIOS);
    return 0;
}
