#include "torture/torture_core.h"

#include <sched.h>
#include <string.h>

#define BUSY_MS 20000

// One reservation of the worker's own, step by step.
struct flow {
    struct run *r;
    struct core_worker *w;
    struct tally *t;
    struct hf_uuid id;
    struct core_line lines[8];
    struct core_line_answer line_answers[8];
    uint32_t count;
};

void ask(struct run *r, struct core_worker *w, const struct core_request *request,
         struct core_answer *a)
{
    uint64_t give_up = core_now(r->core) + BUSY_MS;
    for (uint64_t now = 0; now < give_up;) {
        now = core_now(r->core);
        core_execute(w, now, request, a, 1);
        if (a->outcome == CORE_OUT_NEEDS_RECALL) {
            enum hf_status s = core_recall(w, core_now(r->core), request->id);
            if (s == HF_NOT_FOUND)
                return;
            torture_check(s == HF_OK || s == HF_BUSY, "recall: %s", hf_status_name(s));
        } else if (a->outcome != CORE_OUT_BUSY && a->outcome != CORE_OUT_IN_PROGRESS) {
            return;
        }
        sched_yield();
    }
    torture_check(false, "%s: nothing but %s", core_verb_name(request->verb),
                  core_outcome_name(a->outcome));
}

// BUSY for so long that the id's window, or the ended hold's, has passed.
static bool too_late(const struct core_answer *a)
{
    return a->outcome == CORE_OUT_ID_TOO_OLD || a->outcome == CORE_OUT_UNKNOWN;
}

static void flow_ask(struct flow *f, struct core_request q, struct core_answer *a)
{
    q.id = f->id;
    if (q.verb == CORE_EXTEND || q.verb == CORE_CANCEL || q.verb == CORE_RETURN ||
        (q.verb == CORE_RELEASE && q.line_count))
        q.op_id = id_random(f->r);
    ask(f->r, f->w, &q, a);
    // An operation acts once, however often it is sent.
    if (a->outcome == CORE_OUT_DONE && torture_below(4) == 0) {
        struct core_answer again;
        struct core_line_answer line_answers[8]; // what was told first is still needed
        q.line_answers = q.line_answers ? line_answers : NULL;
        ask(f->r, f->w, &q, &again);
        torture_check(again.outcome != CORE_OUT_DONE || again.repeat, "%s acted twice",
                      core_verb_name(q.verb));
    }
    torture_check(!a->repeat, "%s was told again at first", core_verb_name(q.verb));
}

// Takes part of every line. Returns how many lines `part` has.
static uint32_t flow_part(const struct flow *f, struct core_line *part)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++)
        if (f->lines[i].quantity > 0 && torture_below(2))
            part[n++] = (struct core_line){
                f->lines[i].handle, 0, 1 + (int64_t)torture_below((uint64_t)f->lines[i].quantity)};
    return n;
}

static void flow_subtract(struct flow *f, const struct core_line *part, uint32_t n)
{
    for (uint32_t i = 0, k = 0; i < f->count && k < n; i++)
        if (f->lines[i].handle == part[k].handle)
            f->lines[i].quantity -= part[k++].quantity;
}

static bool flow_take(struct flow *f, enum core_verb verb, uint32_t ttl_ms)
{
    struct core_answer a;
    uint32_t flags = verb != CORE_RECORD && torture_below(3) == 0 ? CORE_BEST_EFFORT : 0;
    f->id = id_random(f->r);
    f->count = lines_random(f->lines, 6, verb == CORE_RECORD);
    flow_ask(f,
             (struct core_request){.verb = verb,
                                   .flags = flags,
                                   .lines = f->lines,
                                   .line_count = f->count,
                                   .ttl_ms = ttl_ms,
                                   .line_answers = f->line_answers},
             &a);
    if (a.outcome != CORE_OUT_DONE) {
        torture_check(a.outcome == CORE_OUT_REFUSED || too_late(&a) ||
                          (a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_INACTIVE),
                      "taking gave %s, %s", core_outcome_name(a.outcome), core_field_name(a.field));
        return false;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct core_line l = f->lines[i];
        torture_check(flags || verb == CORE_RECORD || f->line_answers[i].taken == l.quantity,
                      "took %lld of %lld", (long long)f->line_answers[i].taken,
                      (long long)l.quantity);
        l.quantity = verb == CORE_RECORD ? l.quantity : f->line_answers[i].taken;
        if (verb != CORE_RESERVE)
            f->t->committed[l.handle] += l.quantity;
        if (l.quantity > 0)
            f->lines[n++] = l;
    }
    f->count = n;
    return true;
}

// Extends, releases a part, then commits all, a part, or lets it run out; a late commit retakes.
static void flow_hold(struct flow *f)
{
    struct core_answer a;
    struct core_line part[8];
    if (!flow_take(f, CORE_RESERVE, 1 + (uint32_t)torture_below(20)))
        return;
    if (torture_below(3) == 0)
        flow_ask(f, (struct core_request){.verb = CORE_EXTEND, .ttl_ms = 5}, &a);
    uint32_t n = torture_below(2) ? flow_part(f, part) : 0;
    if (n > 0) {
        flow_ask(f, (struct core_request){.verb = CORE_RELEASE, .lines = part, .line_count = n},
                 &a);
        if (a.outcome == CORE_OUT_DONE)
            flow_subtract(f, part, n);
        else
            torture_check(a.outcome == CORE_OUT_EXPIRED || too_late(&a), "releasing a part gave %s",
                          core_outcome_name(a.outcome));
        if (a.state == CORE_STATE_RELEASED)
            return;
    }
    uint64_t how = torture_below(4);
    if (how == 0)
        return; // it runs out
    n = how == 1 ? flow_part(f, part) : 0;
    flow_ask(f,
             (struct core_request){.verb = CORE_COMMIT,
                                   .flags = how == 2 ? CORE_RETAKE : 0,
                                   .lines = n ? part : NULL,
                                   .line_count = n},
             &a);
    if (a.outcome != CORE_OUT_DONE) {
        torture_check(a.outcome == (how == 2 ? CORE_OUT_REFUSED : CORE_OUT_EXPIRED) || too_late(&a),
                      "committing gave %s", core_outcome_name(a.outcome));
        return;
    }
    const struct core_line *sold = n ? part : f->lines;
    for (uint32_t i = 0; i < (n ? n : f->count); i++)
        f->t->committed[sold[i].handle] += sold[i].quantity;
    f->t->changed++;
}

// Cancels and returns parts of a sale.
static void flow_sale(struct flow *f)
{
    struct core_answer a;
    struct core_line part[8];
    if (!flow_take(f, torture_below(3) ? CORE_ORDER : CORE_RECORD, 0))
        return;
    for (uint64_t steps = torture_below(4); steps > 0; steps--) {
        bool cancel = torture_below(2), scrap = !cancel && torture_below(2);
        uint32_t n = flow_part(f, part);
        if (n == 0)
            return;
        flow_ask(f,
                 (struct core_request){.verb = cancel ? CORE_CANCEL : CORE_RETURN,
                                       .flags = scrap ? CORE_SCRAP : 0,
                                       .lines = part,
                                       .line_count = n},
                 &a);
        if (too_late(&a))
            return;
        torture_check(a.outcome == CORE_OUT_DONE, "taking back gave %s",
                      core_outcome_name(a.outcome));
        flow_subtract(f, part, n);
        for (uint32_t i = 0; i < n && !scrap; i++) {
            int64_t *term = cancel ? f->t->committed : f->t->on_hand;
            term[part[i].handle] += cancel ? -part[i].quantity : part[i].quantity;
        }
        f->t->changed++;
    }
}

// ------------------------------------------------------------------------------ administration

static void administer(struct run *r, struct core_worker *w, struct tally *t)
{
    struct core_admin_answer a, again;
    uint64_t dice = torture_below(10);
    uint32_t cell = (uint32_t)torture_below(CELLS);
    if (dice == 0 && t->committed[cell] > 0) {
        struct core_line line = {cell, 0, 1};
        core_acknowledge(w, core_now(r->core), id_random(r), &line, 1, &a);
        if (a.outcome == CORE_OUT_DONE) {
            t->committed[cell]--;
            t->on_hand[cell]--;
        }
        return;
    }
    struct core_change ch = {.op_id = id_random(r), .handle = cell, .relative = true, .value = 3};
    if (dice >= 5 && cell >= STRICT) {
        ch.setting = (enum core_setting)torture_below(CORE_SETTING_COUNT);
        ch.relative = ch.setting == CORE_SET_ON_HAND;
        ch.value = ch.relative ? (int64_t)torture_below(7) - 3 : (int64_t)torture_below(3);
        if (ch.setting == CORE_SET_ACTIVE)
            ch.value = torture_below(4) != 0;
    }
    core_change(w, core_now(r->core), &ch, &a);
    if (a.outcome != CORE_OUT_DONE) {
        torture_check(a.outcome == CORE_OUT_BUSY, "a change gave %s", core_outcome_name(a.outcome));
        return;
    }
    if (ch.setting == CORE_SET_ON_HAND)
        t->on_hand[cell] += ch.value;
    core_change(w, core_now(r->core), &ch, &again);
    torture_check(again.outcome != CORE_OUT_DONE || again.repeat, "a change acted twice");
}

// ------------------------------------------------------------------------------ the threads

// New plans, plans that others are asking for at this moment, and endings of recent ones.
static uint32_t batch_make(struct run *r, struct asking *b, uint64_t now_ms)
{
    uint32_t count = 1 + (uint32_t)torture_below(BATCH);
    for (uint32_t i = 0; i < count; i++) {
        bool fresh = torture_below(2);
        uint64_t n = fresh ? atomic_fetch_add(&r->next, 1) : r->next;
        if (!fresh) {
            uint64_t back = 1 + torture_below(torture_below(2) ? 4 : 60);
            n = n > back ? n - back : 0;
        }
        if (n >= PLANS_MAX)
            return i;
        b->plan[i] = n;
        if (!fresh && plan_is_hold(r, n) && r->plans[n].ms != 0 && torture_below(3))
            plan_end(r, n, torture_below(3) ? CORE_COMMIT : CORE_RELEASE, &b->requests[i]);
        else
            plan_take(r, n, now_ms, &b->requests[i], b->lines[i], b->line_answers[i]);
    }
    return count;
}

void work(struct run *r, uint32_t self)
{
    struct core_worker *w = core_worker_create(r->core);
    torture_check(w != NULL, "no worker");
    struct tally *t = &r->tallies[self];
    static struct asking askings[WORKERS];
    struct asking *b = &askings[self];
    while (torture_before(r->deadline)) {
        uint64_t now_ms = core_now(r->core);
        uint32_t count = batch_make(r, b, now_ms);
        core_execute(w, now_ms, b->requests, b->answers, count);
        for (uint32_t i = 0; i < count; i++)
            plan_told(r, t, b->plan[i], &b->requests[i], &b->answers[i]);
        if (count && b->answers[0].ticket && torture_below(8) == 0) {
            enum hf_status s = core_wait(r->core, b->answers[0].ticket, 60000);
            torture_check(s == HF_OK, "waiting: %s", hf_status_name(s));
        }
        struct flow f = {.r = r, .w = w, .t = t};
        if (torture_below(4) == 0)
            flow_hold(&f);
        if (torture_below(4) == 0)
            flow_sale(&f);
        for (int i = 0; self == 0 && i < 3; i++)
            administer(r, w, t);
    }
    core_worker_destroy(w);
}

void watch(struct run *r, struct core_worker *w)
{
    static struct core_view views[16];
    struct core_line lines[LINES];
    struct core_metrics m;
    uint64_t cursor = 0;
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c;
        torture_check(core_cell_read(r->core, i, &c) == HF_OK, "cell %u is gone", i);
        torture_check(c.unsettled || i >= STRICT || c.available >= 0, "cell %u: %lld available", i,
                      (long long)c.available);
        torture_check(c.unsettled || c.held >= 0, "cell %u: %lld held", i, (long long)c.held);
        torture_check(c.unsettled || c.available == c.on_hand - c.held - c.committed - c.external -
                                                        c.safety + c.backorder,
                      "cell %u does not add up", i);
    }
    for (uint64_t back = 0; back < 20 && r->next > back; back++) {
        struct core_request q;
        uint64_t n = r->next - 1 - back;
        if (n >= PLANS_MAX || r->plans[n].ms == 0)
            continue;
        plan_end(r, n, CORE_RELEASE, &q);
        uint64_t now = core_now(r->core);
        enum hf_status s = core_get(w, now, q.id, &views[0], lines, LINES);
        torture_check(s == HF_OK || s == HF_NOT_FOUND || s == HF_AGAIN, "get: %s",
                      hf_status_name(s));
        torture_check(s != HF_OK || views[0].state != CORE_STATE_HELD || views[0].time_ms > now,
                      "a hold was told past its deadline");
    }
    core_metrics(r->core, &m);
    struct core_filter filter = {.by_state = true, .state = CORE_STATE_HELD};
    core_list(w, &filter, &cursor, views, 16);
    sched_yield();
}
