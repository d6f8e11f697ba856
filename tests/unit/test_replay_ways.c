// Records without text go a straight way through the decision and through replay; the same with a
// reference go the general way. Two cells live through the same story, one each way: every answer,
// what a restart finds, and what it answers to the same questions must be equal.
#include "base/log.h"
#include "unit/core_world.h"

#define PAIRS   600
#define STORIES 12
#define STEPS   900

enum { PLAIN, GENERAL, WAYS };

struct pair {
    struct hf_uuid id[WAYS], op[WAYS];
    enum core_verb verb; // RESERVE or ORDER
    uint32_t quantity;
};

struct story {
    struct world w;
    uint32_t cell[WAYS];
    struct pair pairs[PAIRS];
    uint32_t count;
    uint64_t done[CORE_VERB_COUNT], expired, recalled[WAYS];
};

static uint64_t below(struct story *s, uint64_t n)
{
    return world_random(&s->w) % n;
}

// The same to both; the answers are alike.
static struct core_answer both(struct story *s, const struct pair *p, struct core_request r)
{
    struct core_answer a[WAYS];
    struct core_text text = {.reference = "order 7", .reference_bytes = 7};
    for (int way = 0; way < WAYS; way++) {
        struct core_line line = {s->cell[way], 0, p->quantity};
        bool lines = r.verb == CORE_RESERVE || r.verb == CORE_ORDER || r.verb == CORE_CANCEL;
        r.id = p->id[way];
        r.op_id = p->op[way];
        r.lines = lines ? &line : NULL;
        r.line_count = lines;
        r.text = way == GENERAL && r.verb != CORE_CANCEL && lines ? &text : NULL;
        core_execute(s->w.worker, core_now(s->w.core), &r, &a[way], 1);
        if (a[way].outcome != CORE_OUT_NEEDS_RECALL)
            continue;
        // Text and lines in blocks leave memory with the commit; one line stays in its slot.
        assert_int_equal(core_recall(s->w.worker, core_now(s->w.core), r.id), HF_OK);
        core_execute(s->w.worker, core_now(s->w.core), &r, &a[way], 1);
        s->recalled[way]++;
    }
    world_settle(&s->w);
    assert_int_equal(a[PLAIN].outcome, a[GENERAL].outcome);
    assert_int_equal(a[PLAIN].state, a[GENERAL].state);
    assert_int_equal(a[PLAIN].version, a[GENERAL].version);
    assert_int_equal(a[PLAIN].repeat, a[GENERAL].repeat);
    assert_int_equal(a[PLAIN].time_ms, a[GENERAL].time_ms);
    return a[PLAIN];
}

static struct core_answer take(struct story *s, const struct pair *p)
{
    return both(
        s, p, (struct core_request){.verb = p->verb, .ttl_ms = p->verb == CORE_RESERVE ? 3000 : 0});
}

static void step(struct story *s)
{
    uint64_t what = below(s, 10);
    if (what < 4 && s->count < PAIRS) {
        struct pair *p = &s->pairs[s->count++];
        *p = (struct pair){.verb = below(s, 3) ? CORE_RESERVE : CORE_ORDER,
                           .quantity = 1 + (uint32_t)below(s, 9)};
        for (int way = 0; way < WAYS; way++)
            p->id[way] = world_id(&s->w);
        s->done[p->verb] += take(s, p).outcome == CORE_OUT_DONE;
        return;
    }
    if (what == 4 || s->count == 0) {
        world_pass(&s->w, below(s, 900));
        return;
    }
    uint32_t recent = s->count < 30 ? s->count : 30;
    struct pair *p = &s->pairs[s->count - 1 - below(s, recent)];
    if (what == 5) {
        take(s, p); // a repeat
        return;
    }
    static const enum core_verb ends[] = {CORE_COMMIT, CORE_RELEASE, CORE_CANCEL, CORE_EXTEND};
    struct core_request r = {.verb = ends[below(s, 4)]};
    struct pair acting = *p;
    r.ttl_ms = r.verb == CORE_EXTEND ? 3000 : 0;
    if (r.verb == CORE_CANCEL || r.verb == CORE_EXTEND)
        for (int way = 0; way < WAYS; way++)
            acting.op[way] = world_id(&s->w);
    s->done[r.verb] += both(s, &acting, r).outcome == CORE_OUT_DONE;
}

static void cells_alike(struct story *s)
{
    struct core_cell a = world_read(&s->w, s->cell[PLAIN]);
    struct core_cell b = world_read(&s->w, s->cell[GENERAL]);
    assert_int_equal(a.available, b.available);
    assert_int_equal(a.on_hand, b.on_hand);
    assert_int_equal(a.committed, b.committed);
    assert_int_equal(a.held, b.held);
}

static void pairs_alike(struct story *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct core_view v[WAYS];
        struct core_line line[WAYS];
        enum hf_status got[WAYS];
        for (int way = 0; way < WAYS; way++)
            got[way] = core_get(s->w.worker, core_now(s->w.core), s->pairs[i].id[way], &v[way],
                                &line[way], 1);
        assert_int_equal(got[PLAIN], got[GENERAL]);
        if (got[PLAIN] != HF_OK)
            continue;
        assert_int_equal(v[PLAIN].state, v[GENERAL].state);
        assert_int_equal(v[PLAIN].version, v[GENERAL].version);
        assert_int_equal(v[PLAIN].time_ms, v[GENERAL].time_ms);
        assert_int_equal(v[PLAIN].verb, v[GENERAL].verb);
        if (v[PLAIN].line_count && v[GENERAL].line_count)
            assert_int_equal(line[PLAIN].quantity, line[GENERAL].quantity);
        s->expired += v[PLAIN].state == CORE_STATE_EXPIRED;
        take(s, &s->pairs[i]); // decided once: the outcome then, the state now
    }
}

static void live(struct story *s)
{
    s->cell[PLAIN] = world_cell(&s->w, "plain", 900);
    s->cell[GENERAL] = world_cell(&s->w, "general", 900);
    for (int i = 0; i < STEPS; i++) {
        step(s);
        if (below(s, 150) == 0) {
            world_kill(&s->w);
            world_open(&s->w);
            cells_alike(s);
        }
        if (below(s, 40) == 0)
            core_step_checkpoint(s->w.core, core_now(s->w.core), 4);
    }
    cells_alike(s);
    world_kill(&s->w);
    world_open(&s->w);
    cells_alike(s);
    pairs_alike(s);
    cells_alike(s);
}

static void both_ways_lead_to_the_same(void **state)
{
    uint64_t done[CORE_VERB_COUNT] = {0}, expired = 0;
    (void)state;
    for (uint64_t n = 0; n < STORIES; n++) {
        struct story *s = calloc(1, sizeof *s);
        world_init(&s->w);
        s->w.random = n * UINT64_C(0x9e3779b97f4a7c15);
        world_open(&s->w);
        live(s);
        for (int v = 0; v < CORE_VERB_COUNT; v++)
            done[v] += s->done[v];
        expired += s->expired;
        world_fini(&s->w);
        free(s);
    }
    // The stories hold what they are for.
    assert_true(done[CORE_RESERVE] > 500 && done[CORE_ORDER] > 300 && done[CORE_COMMIT] > 50);
    assert_true(done[CORE_RELEASE] > 50 && done[CORE_CANCEL] > 50 && done[CORE_EXTEND] > 50);
    assert_true(expired > 50);
}

int main(void)
{
    hf_log_set_level(HF_LOG_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(both_ways_lead_to_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
