#include "torture/torture_core.h"

#include <string.h>

// Not torture_random: the same for every thread.
static uint64_t plan_dice(const struct run *r, uint64_t n, uint64_t which)
{
    return hf_mix64(r->salt + n * 64 + which + 1);
}

bool plan_is_hold(const struct run *r, uint64_t n)
{
    return plan_dice(r, n, 0) % 10 < 6;
}

static struct hf_uuid plan_id(const struct run *r, uint64_t n)
{
    return hf_uuid_v7(r->plans[n].ms, plan_dice(r, n, 1), plan_dice(r, n, 2));
}

static uint32_t plan_lines(const struct run *r, uint64_t n, struct core_line *lines)
{
    uint64_t shape = plan_dice(r, n, 3) % 100;
    uint32_t count = shape < 55 ? 1 : shape < 95 ? 2 + (uint32_t)(shape % 5) : LINES;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t x = plan_dice(r, n, 8 + i);
        uint32_t a = (uint32_t)(x % CELLS), b = (uint32_t)(x / CELLS % CELLS);
        lines[i] = (struct core_line){a < b ? a : b, 0, 1 + (int64_t)(x >> 32) % 2};
    }
    return count;
}

void plan_take(struct run *r, uint64_t n, uint64_t now_ms, struct core_request *out,
               struct core_line *lines, struct core_line_answer *line_answers)
{
    static const struct core_text text = {.reference = "S0001", .reference_bytes = 5};
    struct plan *p = &r->plans[n];
    uint64_t nobody = 0;
    atomic_compare_exchange_strong(&p->ms, &nobody, now_ms);
    bool hold = plan_is_hold(r, n);
    *out = (struct core_request){
        .verb = hold ? CORE_RESERVE : CORE_ORDER,
        .flags = !hold && plan_dice(r, n, 4) % 4 == 0 ? CORE_BEST_EFFORT : 0,
        .id = plan_id(r, n),
        .lines = lines,
        .line_count = plan_lines(r, n, lines),
        .ttl_ms = hold ? 1 + (uint32_t)(plan_dice(r, n, 5) % 20) : 0,
        .text = plan_dice(r, n, 6) % 4 == 0 ? &text : NULL,
        .line_answers = line_answers,
    };
}

void plan_end(struct run *r, uint64_t n, enum core_verb ending, struct core_request *out)
{
    *out = (struct core_request){.verb = ending, .id = plan_id(r, n)};
}

static void take_told(struct run *r, struct tally *t, uint64_t n, const struct core_request *q,
                      const struct core_answer *a)
{
    struct plan *p = &r->plans[n];
    unsigned long long number = n;
    switch (a->outcome) {
    case CORE_OUT_DONE:
        if (a->repeat) {
            t->repeats++;
            return;
        }
        t->done++;
        torture_check(atomic_fetch_add(&p->done, 1) == 0, "plan %llu was decided twice", number);
        torture_check(q->verb == CORE_RESERVE || p->refused == 0,
                      "plan %llu was done after it was refused", number);
        for (uint32_t i = 0; q->verb == CORE_ORDER && i < q->line_count; i++)
            t->committed[q->lines[i].handle] += q->line_answers[i].taken;
        return;
    case CORE_OUT_REFUSED:
        if (q->verb == CORE_RESERVE || a->repeat) {
            t->refused++;
            return;
        }
        t->refused++;
        torture_check(atomic_fetch_add(&p->refused, 1) == 0 && p->done == 0,
                      "order %llu was decided twice", number);
        return;
    case CORE_OUT_BUSY:
        t->busy++;
        return;
    case CORE_OUT_IN_PROGRESS:
        t->progress++;
        return;
    case CORE_OUT_ID_TOO_OLD:
        t->late++;
        return;
    case CORE_OUT_INVALID:
        torture_check(a->field == CORE_FIELD_INACTIVE, "plan %llu: %s is invalid", number,
                      core_field_name(a->field));
        return;
    default:
        torture_check(false, "plan %llu: taking it gave %s", number, core_outcome_name(a->outcome));
    }
}

static void end_told(struct run *r, struct tally *t, uint64_t n, const struct core_request *q,
                     const struct core_answer *a)
{
    struct plan *p = &r->plans[n];
    unsigned long long number = n;
    struct core_line lines[LINES];
    switch (a->outcome) {
    case CORE_OUT_DONE:
        if (a->repeat) {
            torture_check(a->state ==
                              (q->verb == CORE_COMMIT ? CORE_STATE_COMMITTED : CORE_STATE_RELEASED),
                          "hold %llu: a repeat tells %s", number, core_state_name(a->state));
            t->repeats++;
            return;
        }
        t->ended++;
        torture_check(atomic_fetch_add(&p->ended, 1) == 0, "hold %llu ended twice", number);
        for (uint32_t i = q->verb == CORE_COMMIT ? plan_lines(r, n, lines) : 0; i > 0; i--)
            t->committed[lines[i - 1].handle] += lines[i - 1].quantity;
        return;
    case CORE_OUT_EXPIRED:
        t->expired++;
        return;
    case CORE_OUT_BUSY:
        t->busy++;
        return;
    case CORE_OUT_IN_PROGRESS:
        t->progress++;
        return;
    case CORE_OUT_WRONG_STATE: // ended the other way
    case CORE_OUT_UNKNOWN:     // refused or forgotten
    case CORE_OUT_NEEDS_RECALL:
        return;
    default:
        torture_check(false, "hold %llu: ending it gave %s", number, core_outcome_name(a->outcome));
    }
}

void plan_told(struct run *r, struct tally *t, uint64_t n, const struct core_request *q,
               const struct core_answer *a)
{
    if (q->verb == CORE_RESERVE || q->verb == CORE_ORDER)
        take_told(r, t, n, q, a);
    else
        end_told(r, t, n, q, a);
}

// Different cells, ascending.
uint32_t lines_random(struct core_line *lines, uint32_t most, bool loose)
{
    uint32_t want = 1 + (uint32_t)torture_below(most), n = 0;
    for (uint32_t cell = loose ? STRICT : 0; cell < CELLS && n < want; cell++)
        if (torture_below(CELLS) < 2 * want)
            lines[n++] = (struct core_line){cell, 0, 1 + (int64_t)torture_below(3)};
    if (n == 0)
        lines[n++] = (struct core_line){CELLS - 1, 0, 1};
    return n;
}

struct hf_uuid id_random(struct run *r)
{
    return hf_uuid_v7(core_now(r->core), torture_random(),
                      hf_mix64(atomic_fetch_add(&r->random_ids, 1) ^ r->salt));
}
