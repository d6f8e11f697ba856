#include "load/customer.h"

#include <stdlib.h>
#include <string.h>

static void book(struct customer *c, const struct customer_context *x, enum book_column column,
                 const struct op_line *lines, uint32_t count)
{
    (void)c;
    if (x->book)
        book_add(x->book, column, lines, count);
}

static void deadline_raise(const struct customer_context *x, int64_t ms)
{
    if (ms > 0 && (uint64_t)ms > *x->deadline_ms)
        *x->deadline_ms = (uint64_t)ms;
}

static void wrong(struct customer *c, const struct customer_context *x, const char *what)
{
    tally_contradiction(x->tally, &c->op, what);
}

// ------------------------------------------------------------------------------- asking

static struct hf_uuid fresh_op_id(struct customer *c, uint64_t now_ms)
{
    uint64_t random = hf_mix64(c->op_random + c->step);
    return hf_uuid_v7(now_ms, random, hf_mix64(random));
}

// About half of the first line that has something left, but never all that is left.
static bool part_make(struct customer *c, bool all_but_one)
{
    int64_t left = 0;
    for (uint32_t i = 0; i < c->count; i++)
        left += c->left[i].quantity;
    for (uint32_t i = 0; i < c->count; i++) {
        int64_t half = (c->left[i].quantity + 1) / 2;
        if (half == 0 || (all_but_one && half >= left))
            continue;
        c->part[0] = (struct op_line){c->left[i].cell, half};
        c->left[i].quantity -= half;
        return true;
    }
    return false;
}

static void ask(struct customer *c, enum op_verb verb, const struct op_line *lines, uint32_t count)
{
    struct op *op = &c->op;
    *op = (struct op){.verb = verb,
                      .id = op->id,
                      .lines = lines,
                      .line_count = count,
                      .client = op->client,
                      .owner = op->owner};
}

// False: this step has nothing to ask.
static bool step_ask(struct customer *c, const struct customer_context *x, enum plan_step step,
                     uint64_t now_ms)
{
    switch (step) {
    case STEP_RESERVE:
    case STEP_RESERVE_AGAIN:
        ask(c, OP_RESERVE, c->lines, c->count);
        c->op.ttl_ms = x->ttl_ms;
        return true;
    case STEP_ORDER:
    case STEP_ORDER_AGAIN:
        ask(c, OP_ORDER, c->lines, c->count);
        return true;
    case STEP_ORDER_OTHER:
        c->part[0] = (struct op_line){c->lines[0].cell, c->lines[0].quantity + 1};
        ask(c, OP_ORDER, c->part, 1);
        return true;
    case STEP_RECORD:
        ask(c, OP_RECORD, c->lines, c->count);
        return true;
    case STEP_COMMIT:
    case STEP_COMMIT_AGAIN:
        ask(c, OP_COMMIT, NULL, 0);
        return true;
    case STEP_RELEASE:
        ask(c, OP_RELEASE, NULL, 0);
        return true;
    case STEP_EXTEND:
        ask(c, OP_EXTEND, NULL, 0);
        c->op.ttl_ms = x->ttl_ms;
        break;
    case STEP_RELEASE_PART:
    case STEP_CANCEL:
    case STEP_RETURN:
    case STEP_SCRAP:
        if (!part_make(c, step == STEP_RELEASE_PART))
            return false;
        ask(c,
            step == STEP_RELEASE_PART ? OP_RELEASE
            : step == STEP_CANCEL     ? OP_CANCEL
                                      : OP_RETURN,
            c->part, 1);
        c->op.flags = step == STEP_SCRAP ? OP_SCRAP : 0;
        break;
    case STEP_END:
        return false;
    }
    c->op.op_id = fresh_op_id(c, now_ms);
    return true;
}

bool customer_start(struct customer *c, const struct customer_context *x,
                    const struct plan_customer *plan, uint64_t now_ms)
{
    if (plan->line_count > c->room) {
        free(c->lines);
        c->lines = malloc(2 * plan->line_count * sizeof *c->lines);
        c->room = c->lines ? plan->line_count : 0;
        if (!c->lines)
            return false;
    }
    c->count = plan->line_count;
    c->left = c->lines + c->count;
    memcpy(c->lines, plan->lines, c->count * sizeof *c->lines);
    memcpy(c->left, plan->lines, c->count * sizeof *c->lines);
    c->scenario = plan->scenario;
    c->op_random = plan->op_random;
    c->holding = c->refused = c->closing = false;
    c->step = 0;
    c->op.id = hf_uuid_v7(now_ms, plan->random[0], plan->random[1]);
    if (x->book)
        book_touch(x->book, c->lines, c->count);
    return step_ask(c, x, plan_step(c->scenario, 0), now_ms);
}

// A refused hold is forgotten; a refused order is remembered, and so is the other body.
static bool goes_on(const struct customer *c, enum plan_step next)
{
    if (c->closing || next == STEP_END)
        return false;
    return !c->refused || next == STEP_ORDER_AGAIN || next == STEP_ORDER_OTHER;
}

bool customer_next(struct customer *c, const struct customer_context *x, uint64_t now_ms)
{
    for (;;) {
        enum plan_step next = plan_step(c->scenario, ++c->step);
        if (!goes_on(c, next))
            break;
        // A hold that has ended by itself is not asked for again.
        bool needs_hold = next == STEP_COMMIT || next == STEP_RELEASE || next == STEP_EXTEND ||
                          next == STEP_RELEASE_PART || next == STEP_RESERVE_AGAIN;
        if ((!needs_hold || c->holding) && step_ask(c, x, next, now_ms))
            return true;
    }
    if (c->holding)
        book(c, x, BOOK_expired, c->left, c->count);
    c->holding = false;
    return false;
}

void customer_free(struct customer *c)
{
    free(c->lines);
    free(c);
}

// ------------------------------------------------------------------------------- being told

static void told_take(struct customer *c, const struct customer_context *x, enum book_column column,
                      uint64_t now_ms)
{
    const struct op_result *r = &c->op.result;
    c->first = r->outcome;
    if (r->outcome == OP_OUT_DONE) {
        book(c, x, column, c->lines, c->count);
        c->holding = column == BOOK_taken;
        if (c->holding)
            deadline_raise(x, r->expires_at_ms);
        return;
    }
    c->refused = true;
    // An earlier try of it may still be on its way and take effect: until it expires again.
    if (column == BOOK_taken && c->op.tries > 1)
        deadline_raise(x, (int64_t)now_ms + x->ttl_ms);
    if (r->outcome != OP_OUT_REFUSED || column == BOOK_recorded)
        wrong(c, x, "neither taken nor refused");
}

static void told_again(struct customer *c, const struct customer_context *x)
{
    const struct op_result *r = &c->op.result;
    if (r->outcome != c->first)
        wrong(c, x, "the same request got another outcome");
    else if (!r->repeat && r->outcome != OP_OUT_EXPIRED)
        wrong(c, x, "decided twice");
}

// The end of a hold, or of a part of it: done, or too late.
static void told_end(struct customer *c, const struct customer_context *x, enum book_column column,
                     const struct op_line *lines, uint32_t count)
{
    enum op_outcome o = c->op.result.outcome;
    bool whole = lines == c->left;
    if (o == OP_OUT_DONE) {
        book(c, x, column, lines, count);
        c->holding = !whole;
        return;
    }
    if (!whole) // it is still with the rest
        for (uint32_t i = 0; i < c->count; i++)
            c->left[i].quantity += c->left[i].cell == lines[0].cell ? lines[0].quantity : 0;
    c->holding = false;
    book(c, x, BOOK_expired, c->left, c->count);
    if (o != OP_OUT_EXPIRED)
        wrong(c, x, "a hold that neither ends as asked nor has expired");
}

static void told_extend(struct customer *c, const struct customer_context *x)
{
    const struct op_result *r = &c->op.result;
    if (r->outcome == OP_OUT_DONE) {
        deadline_raise(x, r->expires_at_ms);
        return;
    }
    c->holding = false;
    book(c, x, BOOK_expired, c->left, c->count);
    if (r->outcome != OP_OUT_EXPIRED)
        wrong(c, x, "a hold that neither lives longer nor has expired");
}

static void told_back(struct customer *c, const struct customer_context *x)
{
    if (c->op.result.outcome != OP_OUT_DONE)
        wrong(c, x, "a sale that can't be taken back");
    else if (c->op.verb == OP_CANCEL)
        book(c, x, BOOK_cancelled, c->part, 1);
    else if (!(c->op.flags & OP_SCRAP))
        book(c, x, BOOK_returned, c->part, 1);
}

void customer_told(struct customer *c, const struct customer_context *x, uint64_t now_ms)
{
    switch (plan_step(c->scenario, c->step)) {
    case STEP_RESERVE:
        told_take(c, x, BOOK_taken, now_ms);
        break;
    case STEP_ORDER:
        told_take(c, x, BOOK_ordered, now_ms);
        break;
    case STEP_RECORD:
        told_take(c, x, BOOK_recorded, now_ms);
        break;
    case STEP_RESERVE_AGAIN:
    case STEP_ORDER_AGAIN:
    case STEP_COMMIT_AGAIN:
        told_again(c, x);
        break;
    case STEP_ORDER_OTHER:
        if (c->op.result.outcome != OP_OUT_CONFLICT)
            wrong(c, x, "an id was taken with two bodies");
        break;
    case STEP_COMMIT:
        c->first = c->op.result.outcome;
        told_end(c, x, BOOK_committed, c->left, c->count);
        break;
    case STEP_RELEASE:
        told_end(c, x, BOOK_released, c->left, c->count);
        break;
    case STEP_RELEASE_PART:
        told_end(c, x, BOOK_released, c->part, 1);
        break;
    case STEP_EXTEND:
        told_extend(c, x);
        break;
    case STEP_CANCEL:
    case STEP_RETURN:
    case STEP_SCRAP:
        told_back(c, x);
        break;
    case STEP_END:
        break;
    }
}
