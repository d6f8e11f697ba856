#include "explore/core_history.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

// Orders that were tried and failed are remembered: what is left and the ledger then.
#define TRIED_MAX 8192
static uint64_t tried[TRIED_MAX];

static const struct history *h;

// ------------------------------------------------------------------------------- the ledger

static enum core_state state_told(enum ledger_state s)
{
    static const enum core_state states[] = {
        CORE_STATE_FREE,    CORE_STATE_HELD,     CORE_STATE_COMMITTED, CORE_STATE_RELEASED,
        CORE_STATE_EXPIRED, CORE_STATE_REJECTED, CORE_STATE_FREE};
    return states[s];
}

static bool fits(const struct ledger *l, uint32_t id, uint32_t body)
{
    const struct history_id *x = &h->ids[id];
    for (uint32_t i = 0; i < x->line_count[body]; i++)
        if (l->have[x->lines[body][i].handle] < x->lines[body][i].quantity)
            return false;
    return true;
}

static void move(struct ledger *l, uint32_t id, int64_t sign)
{
    const struct history_id *x = &h->ids[id];
    uint32_t body = l->ids[id].body;
    for (uint32_t i = 0; i < x->line_count[body]; i++)
        l->have[x->lines[body][i].handle] += sign * x->lines[body][i].quantity;
}

static bool one_line(const struct ledger *l, uint32_t id)
{
    return h->ids[id].line_count[l->ids[id].body] == 1;
}

static void step(struct ledger_id *r, enum ledger_state state, const struct history_ask *a,
                 uint64_t now_ms)
{
    r->state = state;
    r->version++;
    r->lsn = a ? a->answer.ticket : 0;
    if (state != LEDGER_HELD)
        r->ended_ms = now_ms;
}

// The answer tells what the ledger has.
static bool tells(const struct ledger_id *r, const struct core_answer *a)
{
    return a->state == state_told(r->state) && a->version == r->version &&
           (r->lsn == 0 || a->ticket == r->lsn) &&
           (r->state != LEDGER_HELD || a->time_ms == r->deadline_ms);
}

static bool says(const struct core_answer *a, enum core_outcome outcome, bool repeat)
{
    return a->outcome == outcome && a->repeat == repeat;
}

// ------------------------------------------------------------------------------- the verbs

static uint64_t floor_possible(uint64_t until)
{
    uint64_t floor = 0;
    for (uint32_t i = 0; i < h->call_count; i++) {
        const struct history_call *c = &h->calls[i];
        if (c->timers && c->from <= until && c->now_ms - h->window_ms > floor)
            floor = c->now_ms - h->window_ms;
    }
    return floor;
}

static bool take_fresh(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    const struct core_answer *told = &a->answer;
    if (told->outcome == CORE_OUT_ID_TOO_OLD)
        return hf_uuid_ms(h->ids[a->id].id) < floor_possible(h->calls[a->call].to);
    if (!fits(l, a->id, a->body)) {
        if (a->verb == CORE_RESERVE)
            return says(told, CORE_OUT_REFUSED, false);
        *r = (struct ledger_id){.verb = a->verb, .body = a->body};
        step(r, LEDGER_REJECTED, a, now_ms);
        return says(told, CORE_OUT_REFUSED, false) && tells(r, told);
    }
    *r = (struct ledger_id){.verb = a->verb, .body = a->body};
    r->deadline_ms = now_ms + h->ids[a->id].ttl_ms;
    step(r, a->verb == CORE_RESERVE ? LEDGER_HELD : LEDGER_COMMITTED, a, now_ms);
    move(l, a->id, -1);
    return says(told, CORE_OUT_DONE, false) && tells(r, told);
}

static bool take(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    const struct core_answer *told = &a->answer;
    if (r->state == LEDGER_NONE)
        return take_fresh(l, a, now_ms);
    if (r->state == LEDGER_FORGOTTEN)
        return says(told, CORE_OUT_ID_TOO_OLD, false);
    if (r->state == LEDGER_HELD && r->deadline_ms <= now_ms)
        return false; // it has to end first
    if (r->verb != a->verb || r->body != a->body)
        return says(told, CORE_OUT_CONFLICT, false) && tells(r, told);
    return says(told, r->state == LEDGER_REJECTED ? CORE_OUT_REFUSED : CORE_OUT_DONE, true) &&
           tells(r, told);
}

static bool retake(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    if (!one_line(l, a->id))
        return a->answer.outcome == CORE_OUT_NEEDS_RECALL;
    if (!fits(l, a->id, r->body))
        return says(&a->answer, CORE_OUT_REFUSED, false) && tells(r, &a->answer);
    step(r, LEDGER_COMMITTED, a, now_ms);
    move(l, a->id, -1);
    return says(&a->answer, CORE_OUT_DONE, false) && tells(r, &a->answer);
}

// COMMIT and RELEASE, whole.
static bool end(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    const struct core_answer *told = &a->answer;
    enum ledger_state wanted = a->verb == CORE_COMMIT ? LEDGER_COMMITTED : LEDGER_RELEASED;
    if (r->state == LEDGER_NONE || r->state == LEDGER_FORGOTTEN)
        return says(told, CORE_OUT_UNKNOWN, false);
    if (r->state == LEDGER_HELD) {
        step(r, wanted, a, now_ms);
        if (a->verb == CORE_RELEASE)
            move(l, a->id, 1);
        return says(told, CORE_OUT_DONE, false) && tells(r, told);
    }
    if (r->state == LEDGER_EXPIRED)
        return a->retake ? retake(l, a, now_ms)
                         : says(told, CORE_OUT_EXPIRED, false) && tells(r, told);
    if (r->state == wanted && r->verb == CORE_RESERVE)
        return says(told, CORE_OUT_DONE, true) && tells(r, told);
    return says(told, CORE_OUT_WRONG_STATE, false) && tells(r, told);
}

static bool change_fresh(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    const struct core_answer *told = &a->answer;
    if (a->verb == CORE_EXTEND) {
        if (r->state != LEDGER_HELD)
            return says(told, r->state == LEDGER_EXPIRED ? CORE_OUT_EXPIRED : CORE_OUT_WRONG_STATE,
                        false) &&
                   tells(r, told);
        if (now_ms + h->extend_ms > r->deadline_ms)
            r->deadline_ms = now_ms + h->extend_ms;
    } else {
        if (r->state != LEDGER_COMMITTED)
            return says(told, CORE_OUT_WRONG_STATE, false) && tells(r, told);
        if (!one_line(l, a->id))
            return says(told, CORE_OUT_NEEDS_RECALL, false);
        const struct core_line *asked = h->ids[a->id].lines[0];
        const struct core_line *sold = h->ids[a->id].lines[r->body];
        if (asked->handle != sold->handle || asked->quantity > sold->quantity - r->cancelled)
            return says(told, CORE_OUT_EXCEEDS, false) && tells(r, told);
        r->cancelled += asked->quantity;
        l->have[asked->handle] += asked->quantity;
    }
    l->ops[a->op] = a->id << 8 | a->verb;
    step(r, r->state, a, now_ms);
    return says(told, CORE_OUT_DONE, false) && tells(r, told);
}

static bool change(struct ledger *l, const struct history_ask *a, uint64_t now_ms)
{
    struct ledger_id *r = &l->ids[a->id];
    const struct core_answer *told = &a->answer;
    bool known = r->state != LEDGER_NONE && r->state != LEDGER_FORGOTTEN;
    if (told->outcome == CORE_OUT_ID_TOO_OLD)
        return hf_uuid_ms(h->ops[a->op]) < floor_possible(h->calls[a->call].to);
    if (r->state == LEDGER_HELD && r->deadline_ms <= now_ms)
        return false; // it has to end first
    if (l->ops[a->op] != 0 && l->ops[a->op] != (a->id << 8 | a->verb))
        return says(told, CORE_OUT_CONFLICT, false);
    if (l->ops[a->op] != 0)
        return says(told, CORE_OUT_DONE, true) &&
               (!known || a->answer.state == state_told(r->state));
    if (!known)
        return told->outcome == (a->verb == CORE_CANCEL ? CORE_OUT_NEEDS_RECALL : CORE_OUT_UNKNOWN);
    return change_fresh(l, a, now_ms);
}

// Somebody else was at it: another call on the same id, at the same time.
static bool met_somebody(const struct history_ask *a)
{
    const struct history_call *c = &h->calls[a->call];
    for (uint32_t i = 0; i < h->call_count; i++) {
        const struct history_call *o = &h->calls[i];
        if (o->fiber == c->fiber || o->from > c->to || o->to < c->from)
            continue;
        if (o->timers)
            return true;
        for (uint32_t k = 0; k < o->count; k++) {
            const struct history_ask *b = &h->asks[o->first + k];
            bool ops = b->verb >= CORE_EXTEND && a->verb >= CORE_EXTEND && a->op == b->op;
            if (b->id == a->id || ops)
                return true;
        }
    }
    return false;
}

static bool apply(struct ledger *l, const struct history_ask *a)
{
    uint64_t now_ms = h->calls[a->call].now_ms;
    if (a->answer.outcome == CORE_OUT_IN_PROGRESS)
        return met_somebody(a);
    switch (a->verb) {
    case CORE_RESERVE:
    case CORE_ORDER:
        return take(l, a, now_ms);
    case CORE_COMMIT:
    case CORE_RELEASE:
        return end(l, a, now_ms);
    default:
        return change(l, a, now_ms);
    }
}

// ------------------------------------------------------------------------------- the search

static void expire(struct ledger *l, uint32_t id, uint64_t now_ms)
{
    step(&l->ids[id], LEDGER_EXPIRED, NULL, now_ms);
    move(l, id, 1);
}

static bool ends_alike(const struct ledger *at_end)
{
    struct ledger l = *at_end;
    for (uint32_t i = 0; i < h->id_count; i++) {
        struct ledger_id *r = &l.ids[i];
        if (r->state == LEDGER_HELD && r->deadline_ms <= h->end_ms)
            expire(&l, i, h->end_ms);
        enum ledger_state read = h->end.ids[i].state;
        bool gone = read == LEDGER_NONE && r->ended_ms + h->skew_ms < floor_possible(UINT64_MAX);
        if (r->state == LEDGER_FORGOTTEN ? read != LEDGER_NONE : read != r->state && !gone)
            return false;
    }
    return memcmp(l.have, h->end.have, sizeof l.have) == 0;
}

static uint64_t *tried_place(uint32_t left, const struct ledger *l)
{
    uint64_t key = hf_hash(l, sizeof *l, left) | 1;
    for (uint32_t i = (uint32_t)key % TRIED_MAX, n = 0; n < 64; n++, i = (i + 1) % TRIED_MAX)
        if (tried[i] == 0 || tried[i] == key) {
            if (tried[i] == key)
                return NULL;
            tried[i] = key;
            return &tried[i];
        }
    return &tried[0]; // the table is full: try it all the same
}

// An earlier ask of the same batch on the same id is still to come.
static bool behind(uint32_t left, uint32_t i)
{
    for (uint32_t k = h->calls[h->asks[i].call].first; k < i; k++)
        if ((left >> k & 1) && h->asks[k].id == h->asks[i].id)
            return true;
    return false;
}

static bool explained(uint32_t left, const struct ledger *l);

// What nobody asked for: a deadline passes, an id is forgotten.
static bool explained_by_time(uint32_t left, const struct ledger *l, uint64_t until)
{
    for (uint32_t id = 0; id < h->id_count; id++) {
        const struct ledger_id *r = &l->ids[id];
        struct ledger next = *l;
        if (r->state == LEDGER_HELD) {
            uint64_t now_ms = UINT64_MAX; // the earliest that it can have been
            for (uint32_t c = 0; c < h->call_count; c++)
                if (h->calls[c].from <= until && h->calls[c].now_ms >= r->deadline_ms &&
                    h->calls[c].now_ms < now_ms)
                    now_ms = h->calls[c].now_ms;
            if (now_ms == UINT64_MAX)
                continue;
            expire(&next, id, now_ms);
        } else if (r->state != LEDGER_NONE && r->state != LEDGER_FORGOTTEN &&
                   r->ended_ms + h->skew_ms < floor_possible(until)) {
            next.ids[id].state = LEDGER_FORGOTTEN;
        } else {
            continue;
        }
        if (explained(left, &next))
            return true;
    }
    return false;
}

static bool explained(uint32_t left, const struct ledger *l)
{
    if (left == 0 && ends_alike(l))
        return true;
    if (!tried_place(left, l))
        return false;
    uint64_t first_end = UINT64_MAX; // what begins later than this cannot come next
    for (uint32_t i = 0; i < h->ask_count; i++)
        if ((left >> i & 1) && h->calls[h->asks[i].call].to < first_end)
            first_end = h->calls[h->asks[i].call].to;
    for (uint32_t i = 0; i < h->ask_count; i++) {
        struct ledger next = *l;
        if (!(left >> i & 1) || h->calls[h->asks[i].call].from > first_end || behind(left, i))
            continue;
        if (apply(&next, &h->asks[i]) && explained(left & ~(1u << i), &next))
            return true;
    }
    return explained_by_time(left, l, first_end);
}

// ------------------------------------------------------------------------------- telling

static void tell(void)
{
    for (uint32_t i = 0; i < h->id_count; i++) {
        const struct history_id *x = &h->ids[i];
        printf("  id %u at %lu, ttl %u:", i, hf_uuid_ms(x->id), x->ttl_ms);
        for (uint32_t b = 0; b < HISTORY_BODIES; b++) {
            for (uint32_t k = 0; k < x->line_count[b]; k++)
                printf(" %u:%ld", x->lines[b][k].handle, x->lines[b][k].quantity);
            printf(b ? "\n" : " or");
        }
        printf("    %s at first, version %u, deadline %lu; %s in the end\n",
               core_state_name(state_told(h->start.ids[i].state)), h->start.ids[i].version,
               h->start.ids[i].deadline_ms, core_state_name(state_told(h->end.ids[i].state)));
    }
    for (uint32_t c = 0; c < HISTORY_CELLS; c++)
        printf("  cell %u: %ld -> %ld\n", c, h->start.have[c], h->end.have[c]);
    for (uint32_t i = 0; i < h->call_count; i++) {
        const struct history_call *c = &h->calls[i];
        printf("  %lu..%lu fiber %u at %lu%s\n", c->from, c->to, c->fiber, c->now_ms,
               c->timers ? " timers" : "");
        for (uint32_t k = 0; k < c->count; k++) {
            const struct history_ask *a = &h->asks[c->first + k];
            printf("    %s%s id %u body %u op %u: %s%s state %s version %u time %lu lsn %lu\n",
                   core_verb_name(a->verb), a->retake ? " (retake)" : "", a->id, a->body, a->op,
                   core_outcome_name(a->answer.outcome), a->answer.repeat ? " again" : "",
                   core_state_name(a->answer.state), a->answer.version, a->answer.time_ms,
                   a->answer.ticket);
        }
    }
}

bool history_judge(const struct history *history)
{
    h = history;
    uint32_t left = 0;
    for (uint32_t i = 0; i < h->ask_count; i++)
        if (h->asks[i].answer.outcome != CORE_OUT_BUSY)
            left |= 1u << i;
    memset(tried, 0, sizeof tried);
    if (explained(left, &h->start))
        return true;
    tell();
    return false;
}
