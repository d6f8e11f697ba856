// One batch of requests and answers against the oracle.
#include "model/auditor.h"

#include "model/auditor_internal.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct exchange {
    const struct core_request *q;
    const struct core_answer *r;
    uint64_t now_ms;
};

static bool wrong(struct auditor *a, const struct exchange *x, const char *what)
{
    const struct oracle_reservation *k = oracle_find(&a->oracle, x->q->id);
    return auditor_violate(
        a,
        "%s: %s of %s at %lu (lines %u flags %u ttl %u) answered %s field %s state %s repeat %d "
        "version %u ticket %lu time %lu; known: state %s verb %s version %u deadline %lu time %lu "
        "lsn %lu; floor %lu window %lu durable %lu",
        what, core_verb_name(x->q->verb), auditor_id(x->q->id), x->now_ms, x->q->line_count,
        x->q->flags, x->q->ttl_ms, core_outcome_name(x->r->outcome),
        core_field_name(x->r->field), core_state_name(x->r->state), x->r->repeat, x->r->version,
        x->r->ticket, x->r->time_ms, k ? core_state_name(k->state) : "-",
        k ? core_verb_name(k->verb) : "-", k ? k->version : 0u, k ? k->deadline_ms : 0,
        k ? k->time_ms : 0, k ? k->lsn : 0, a->times.floor_ms, a->times.window_ms, a->durable);
}

static const struct oracle_verdict *verdict_of(const struct oracle_judgement *j,
                                               const struct core_answer *r, bool version_jumped)
{
    const struct oracle_verdict *found = NULL;
    for (uint32_t i = 0; i < j->count; i++) {
        const struct oracle_verdict *v = &j->verdicts[i];
        if (v->outcome != r->outcome || v->repeat != r->repeat)
            continue;
        // Two ways to the same answer: told apart by whether the hold expired on the way.
        bool expires = v->effect == ORACLE_EXPIRES || v->effect == ORACLE_EXPIRES_RETAKES;
        if (!found || expires == version_jumped)
            found = v;
    }
    return found;
}

// ------------------------------------------------------------------------------- fields

static bool check_told(struct auditor *a, const struct exchange *x,
                       const struct oracle_reservation *k)
{
    if (x->r->state != k->state)
        return wrong(a, x, "wrong state");
    if (x->r->version != k->version)
        return wrong(a, x, "wrong version");
    uint64_t time = k->state == CORE_STATE_HELD ? k->deadline_ms : k->ended_ms;
    if (x->r->time_ms != time && x->r->time_ms != k->time_ms && !k->recalled)
        return wrong(a, x, "wrong time");
    if (!auditor_knows_durable(a, x->r->ticket, k->lsn))
        return wrong(a, x, "told before it is durable");
    if (x->r->durable != a->durable_mode)
        return wrong(a, x, "durable flag contradicts the mode");
    return true;
}

static bool tells_state(enum core_outcome o)
{
    return o == CORE_OUT_DONE || o == CORE_OUT_EXPIRED || o == CORE_OUT_WRONG_STATE;
}

// ------------------------------------------------------------------------------- effects

static struct oracle_event event_of(const struct exchange *x, enum oracle_event_kind kind)
{
    const struct core_request *q = x->q;
    struct oracle_event e = {.lsn = x->r->ticket,
                             .time_ms = x->now_ms,
                             .kind = kind,
                             .verb = q->verb,
                             .flags = q->flags,
                             .ttl_ms = q->ttl_ms,
                             .channel = q->channel,
                             .version = x->r->version,
                             .id = q->id,
                             .op_id = q->op_id,
                             .whole = q->line_count == 0};
    if (q->text && q->verb <= CORE_RECORD) {
        memcpy(e.text, q->text->reference, q->text->reference_bytes);
        memcpy(e.text2, q->text->buyer, q->text->buyer_bytes);
    }
    if (q->text && q->verb == CORE_RELEASE)
        memcpy(e.text, q->text->reason, q->text->reason_bytes);
    (void)oracle_merge(q->lines, q->line_count, &e.lines, &e.line_count);
    e.body_hash = oracle_body_hash(q, e.lines, e.line_count);
    return e;
}

static void lines_free(struct oracle_event *e)
{
    free(e->lines);
    e->lines = NULL;
    e->line_count = 0;
}

// What a take took: all that was asked, or what the answer says at the first line of each cell.
static bool fill_taken(struct auditor *a, const struct exchange *x, struct oracle_event *e)
{
    const struct core_request *q = x->q;
    uint32_t kept = 0;
    bool any = false;
    for (uint32_t i = 0; i < e->line_count; i++) {
        struct core_line *l = &e->lines[i];
        int64_t asked = l->quantity, told = 0;
        bool first = true;
        for (uint32_t n = 0; n < q->line_count; n++) {
            if (q->lines[n].handle != l->handle)
                continue;
            if (!first && q->line_answers[n].taken != 0 && q->verb != CORE_RECORD)
                return wrong(a, x, "a later line of the same cell tells a quantity");
            told += q->line_answers[n].taken;
            first = false;
        }
        if (q->verb == CORE_RECORD)
            told = asked; // a fact takes what it says
        if (told < 0 || told > asked || (!(q->flags & CORE_BEST_EFFORT) && told != asked))
            return wrong(a, x, "takes another quantity than asked");
        any |= told > 0;
        l->quantity = told;
        if (told || !(q->flags & CORE_BEST_EFFORT))
            e->lines[kept++] = *l;
    }
    e->line_count = kept;
    return any || wrong(a, x, "done, but nothing was taken");
}

static enum oracle_event_kind change_kind(const struct core_request *q)
{
    switch (q->verb) {
    case CORE_COMMIT:
        return ORACLE_COMMIT;
    case CORE_RELEASE:
        return q->line_count ? ORACLE_RELEASE_PART : ORACLE_RELEASE;
    case CORE_EXTEND:
        return ORACLE_EXTEND;
    case CORE_CANCEL:
        return ORACLE_CANCEL;
    default:
        return ORACLE_RETURN;
    }
}

static bool apply_change(struct auditor *a, const struct exchange *x, bool retake)
{
    struct oracle_event e = event_of(x, retake ? ORACLE_RETAKE : change_kind(x->q));
    const struct oracle_reservation *k = oracle_find(&a->oracle, x->q->id);
    if (x->q->verb == CORE_COMMIT && e.whole) {
        free(e.lines);
        e.lines = oracle_held_lines(k, &e.line_count);
    }
    if (e.kind == ORACLE_RELEASE)
        lines_free(&e);
    uint16_t version = (uint16_t)(k->version + 1);
    if (e.kind == ORACLE_EXTEND && x->now_ms + e.ttl_ms < k->deadline_ms)
        e.ttl_ms = (uint32_t)(k->deadline_ms - x->now_ms); // never shorter than it was
    if (!auditor_event(a, e))
        return false;
    return x->r->version == version || wrong(a, x, "version did not step by one");
}

static bool apply(struct auditor *a, const struct exchange *x, enum oracle_effect effect)
{
    struct oracle_reservation *k = oracle_find(&a->oracle, x->q->id);
    struct oracle_event e;
    switch (effect) {
    case ORACLE_NOTHING:
        return true;
    case ORACLE_TAKES:
        e = event_of(x, ORACLE_TAKE);
        return fill_taken(a, x, &e) && auditor_event(a, e);
    case ORACLE_REJECTS:
        e = event_of(x, ORACLE_REJECT);
        lines_free(&e);
        return auditor_event(a, e);
    case ORACLE_CHANGES:
        return apply_change(a, x, false);
    case ORACLE_RETAKES:
        return apply_change(a, x, true);
    case ORACLE_EXPIRES:
        return auditor_expire(a, k, x->r->ticket, x->now_ms, (uint16_t)(k->version + 1));
    case ORACLE_EXPIRES_RETAKES:
        return auditor_expire(a, k, x->r->ticket - 1, x->now_ms, (uint16_t)(k->version + 1)) &&
               apply_change(a, x, true);
    }
    return false;
}

// ------------------------------------------------------------------------------- one answer

// A reader past the deadline ends the hold before it answers.
static bool ends_due(struct auditor *a, const struct exchange *x, struct oracle_reservation *k)
{
    bool due = k && k->state == CORE_STATE_HELD && x->now_ms >= k->deadline_ms;
    if (!due || x->r->state != CORE_STATE_EXPIRED)
        return true;
    if (x->r->outcome == CORE_OUT_EXPIRED ||
        (x->r->outcome == CORE_OUT_DONE && !x->r->repeat))
        return true; // the verdict's own effect
    return auditor_expire(a, k, x->r->ticket, x->now_ms, (uint16_t)(k->version + 1));
}

// The operation that has the id, or the reservation.
static bool conflict_rests(const struct auditor *a, const struct exchange *x,
                           const struct oracle_reservation *k)
{
    const struct oracle_op *op =
        hf_uuid_is_nil(x->q->op_id) ? NULL : oracle_find_op(&a->oracle, x->q->op_id);
    return auditor_knows_durable(a, x->r->ticket, op ? op->lsn : k ? k->lsn : 0);
}

static bool judge_one(struct auditor *a, const struct exchange *x, enum oracle_effect *effect)
{
    const struct core_answer *r = x->r;
    struct oracle_judgement j;
    a->times.now_ms = x->now_ms;
    *effect = ORACLE_NOTHING;
    struct oracle_reservation *k = oracle_find(&a->oracle, x->q->id);
    uint16_t before = k ? k->version : 0;
    oracle_judge(&a->oracle, &a->times, x->q, &j);
    if (r->outcome == CORE_OUT_BUSY)
        return r->retry_ms > 0 || wrong(a, x, "BUSY without a time to retry");
    bool jumped = r->state == CORE_STATE_EXPIRED || (uint16_t)(before + 2) == r->version;
    const struct oracle_verdict *v = verdict_of(&j, r, jumped);
    if (!v)
        return wrong(a, x, "this answer is not allowed");
    if (r->outcome == CORE_OUT_INVALID && j.fields && !(j.fields >> r->field & 1))
        return wrong(a, x, "another field is to blame");
    if (r->outcome == CORE_OUT_CONFLICT && !conflict_rests(a, x, k))
        return wrong(a, x, "a conflict told before what it rests on is durable");
    // In a verdict on a forgotten id, the state is not told.
    *effect = v->effect;
    if (v->effect == ORACLE_NOTHING && !ends_due(a, x, k))
        return false;
    if (!apply(a, x, v->effect))
        return false;
    k = oracle_find(&a->oracle, x->q->id);
    if (k && r->state == CORE_STATE_FREE && k->state != CORE_STATE_HELD &&
        x->now_ms >= k->ended_ms + a->times.window_ms_low + a->times.skew_ms)
        return true; // the operation is still known, its reservation is not
    if (k && v->repeat && k->state == CORE_STATE_HELD && x->now_ms > k->deadline_ms)
        return wrong(a, x, "told as held past its deadline");
    if (k && (tells_state(r->outcome) || v->repeat))
        return check_told(a, x, k);
    return true;
}

// ------------------------------------------------------------------------------- stock

// Availability that a request may have met: at the batch's start, with any of what the batch gave
// back and any of what it took.
struct span {
    __int128 least, most;
};

static struct span span_of(const struct auditor *a, uint32_t handle)
{
    __int128 end = oracle_available(&a->oracle.cells[handle]);
    __int128 start = end - a->up[handle] + a->down[handle];
    return (struct span){start - a->down[handle], start + a->up[handle]};
}

static bool refused_line(struct auditor *a, const struct exchange *x, uint32_t n, __int128 need,
                         bool *missing)
{
    const struct core_line_answer *l = &x->q->line_answers[n];
    struct span s = span_of(a, x->q->lines[n].handle);
    bool exact = s.least == s.most;
    *missing |= need > s.least;
    __int128 least = need > s.most ? need - s.most : 0;
    __int128 most = need > s.least ? need - s.least : 0;
    if (l->shortfall < least || l->shortfall > most)
        return wrong(a, x, exact ? "wrong shortfall" : "impossible shortfall");
    return true;
}

static bool check_refused(struct auditor *a, const struct exchange *x)
{
    const struct core_request *q = x->q;
    bool missing = false, nothing = true;
    for (uint32_t i = 0; i < q->line_count; i++) {
        __int128 need = 0;
        bool first = true;
        for (uint32_t n = 0; n < q->line_count; n++) {
            if (q->lines[n].handle == q->lines[i].handle) {
                need += q->lines[n].quantity;
                first &= n >= i;
            }
        }
        nothing &= span_of(a, q->lines[i].handle).least <= 0;
        if (q->flags & CORE_BEST_EFFORT)
            need = 1;
        if (!first)
            continue;
        if (q->flags & CORE_BEST_EFFORT)
            missing |= nothing;
        else if (!refused_line(a, x, i, need, &missing))
            return false;
    }
    if (q->flags & CORE_BEST_EFFORT ? !nothing : !missing)
        return wrong(a, x, "refused, but there was enough");
    return true;
}

static bool check_retake_refused(struct auditor *a, const struct exchange *x)
{
    const struct oracle_reservation *k = oracle_find(&a->oracle, x->q->id);
    struct core_line *want;
    uint32_t count;
    bool missing = k->state != CORE_STATE_EXPIRED; // a later one of this batch went through
    if (x->q->line_count)
        (void)oracle_merge(x->q->lines, x->q->line_count, &want, &count);
    else
        want = oracle_held_lines(k, &count);
    for (uint32_t i = 0; i < count; i++)
        missing |= want[i].quantity > span_of(a, want[i].handle).least ||
                   !a->oracle.cells[want[i].handle].active;
    free(want);
    return missing || wrong(a, x, "retake refused, but there was enough");
}

// Best effort takes what there is: no less than what was surely there.
static bool check_best_effort(struct auditor *a, const struct exchange *x)
{
    const struct core_request *q = x->q;
    for (uint32_t i = 0; i < q->line_count; i++) {
        __int128 asked = 0, taken = 0;
        for (uint32_t n = 0; n < q->line_count; n++) {
            if (q->lines[n].handle == q->lines[i].handle) {
                asked += q->lines[n].quantity;
                taken += q->line_answers[n].taken;
            }
        }
        __int128 surely = span_of(a, q->lines[i].handle).least + taken;
        surely = surely < 0 ? 0 : surely;
        if (taken < (asked < surely ? asked : surely))
            return wrong(a, x, "best effort took less than there was");
    }
    return true;
}

static bool check_stock(struct auditor *a, const struct exchange *x, enum oracle_effect effect)
{
    const struct core_request *q = x->q;
    if (x->r->outcome == CORE_OUT_REFUSED && !x->r->repeat)
        return q->verb == CORE_COMMIT ? check_retake_refused(a, x) : check_refused(a, x);
    if (effect == ORACLE_TAKES && (q->flags & CORE_BEST_EFFORT))
        return check_best_effort(a, x);
    return true;
}

// ------------------------------------------------------------------------------- the batch

static void note(struct auditor *a, const struct exchange *x)
{
    const struct core_answer *r = x->r;
    uint64_t told[] = {x->q->id.lo, r->outcome, r->state,  r->field,  r->repeat,
                       r->version,  r->ticket,  r->time_ms, r->durable};
    a->hash = hf_hash(told, sizeof told, a->hash);
    if ((unsigned)x->q->verb < CORE_VERB_COUNT && (unsigned)r->outcome < CORE_OUTCOME_COUNT) {
        a->counts.answers[x->q->verb][r->outcome]++;
        a->counts.repeats[x->q->verb] += r->repeat;
    }
}

bool auditor_batch(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms,
                   const struct core_request *requests, const struct core_answer *answers,
                   uint32_t count)
{
    enum oracle_effect effects[HF_BATCH_MAX];
    a->times.batch_units = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < requests[i].line_count; k++)
            if (requests[i].lines[k].quantity > 0)
                a->times.batch_units += requests[i].lines[k].quantity;
    for (uint32_t i = 0; i < count && !a->violation[0]; i++) {
        struct exchange x = {&requests[i], &answers[i], now_ms};
        note(a, &x);
        if (!judge_one(a, &x, &effects[i]))
            return false;
    }
    if (!auditor_expiries(a, c, w, now_ms) || !auditor_settle(a))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct exchange x = {&requests[i], &answers[i], now_ms};
        if (!check_stock(a, &x, effects[i]))
            return false;
    }
    return auditor_look(a, c, now_ms);
}
