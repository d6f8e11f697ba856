// How many batches are on their way to Odoo at once, which, and how fast.
//
//  S1 No two batches of one product are under way: a batch waits while an earlier one, not booked
//     yet, has one of its products, also while that one only waits to be tried again, for its last
//     try may still be running. Odoo serializes such batches badly, and leaks reservations.
//     A batch that was not sent yet and waits for one that keeps failing is divided, so that only
//     the products of that one wait for it.
//  S2 Calls at once begin with one, grow by one for a full round of successes and are halved by an
//     answer that says that Odoo is at its limits (time-outs, 5xx, serialization), between 1 and
//     the posters there are.
//  S3 A bucket of line credit, filled at lines_per_s, bounds the average rate; a batch may start
//     when there is any, and takes what it needs, below zero too.
//
// The flusher's thread decides everything. Posters take a call that is READY by a swap, make it and
// set it DONE; they touch nothing else.
#include "flush/flush_internal.h"

#include "base/atomics.h"
#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define ONE         16 // a call, in the width's units
#define CREDIT_UNIT 1000
#define BURST_S     2

// After the state was loaded, which may hold more lines than the options would let in.
bool pace_init(struct flush *f)
{
    uint32_t size = 1024, lines = f->options.open_lines_max, loaded = 0;
    for (uint32_t i = 0; i < f->batch_count; i++)
        loaded += f->batches[i].line_count;
    while (size < 2 * (lines > loaded ? lines : loaded))
        size *= 2;
    f->claims_mask = size - 1;
    f->claims = calloc(size, sizeof *f->claims);
    f->claims_stale = true;
    f->width = ONE;
    return f->claims != NULL;
}

void pace_fini(struct flush *f)
{
    for (uint32_t i = 0; i < FLUSH_POSTERS_MAX; i++) {
        if (f->calls[i].state == FLUSH_CALL_READY)
            json_decref(f->calls[i].args);
        if (f->calls[i].state == FLUSH_CALL_DONE)
            json_decref(f->calls[i].answer.result);
        explicit_bzero(f->calls[i].key_header, sizeof f->calls[i].key_header);
    }
    free(f->claims);
}

// ------------------------------------------------------------------------------- S1

// Who has the product, if anybody before: else it is claimed. More products than lines there are
// not, so the table never fills.
static uint64_t claim(struct flush *f, uint32_t product, uint64_t batch)
{
    uint32_t at = (uint32_t)hf_mix64(product) & f->claims_mask;
    for (; f->claims[at].round == f->claims_round; at = (at + 1) & f->claims_mask)
        if (f->claims[at].product == product)
            return f->claims[at].batch;
    f->claims[at] = (struct flush_claim){product, f->claims_round, batch};
    return 0;
}

static void claims_make(struct flush *f)
{
    if (++f->claims_round == 0) {
        memset(f->claims, 0, ((size_t)f->claims_mask + 1) * sizeof *f->claims);
        f->claims_round = 1;
    }
    for (uint32_t i = 0; i < f->batch_count; i++) { // in the order of their numbers
        struct flush_batch *b = &f->batches[i];
        b->behind = 0;
        for (uint32_t k = 0; k < b->line_count && b->state == FLUSH_FORMED; k++) {
            uint64_t who = claim(f, b->lines[k].product, b->number);
            if (who && who != b->number && !b->behind)
                b->behind = who;
        }
    }
    f->claims_stale = false;
}

static const struct flush_batch *batch_of(const struct flush *f, uint64_t number)
{
    for (uint32_t i = 0; i < f->batch_count; i++)
        if (f->batches[i].number == number)
            return &f->batches[i];
    return NULL;
}

// Failing, or on a day that Odoo does not let it leave, or waiting for one that is: `behind` leads
// to ever earlier ones.
bool pace_stuck(const struct flush *f, const struct flush_batch *b)
{
    while (b && !b->waits && b->dated < 2)
        b = b->behind ? batch_of(f, b->behind) : NULL;
    return b != NULL;
}

// Whether some of its lines, and not all, wait for a batch that is stuck.
static bool divisible(struct flush *f, const struct flush_batch *b, bool *apart)
{
    uint32_t held = 0;
    for (uint32_t i = 0; i < b->line_count; i++) {
        uint64_t who = claim(f, b->lines[i].product, b->number);
        apart[i] = who && who != b->number && pace_stuck(f, batch_of(f, who));
        held += apart[i];
    }
    return held > 0 && held < b->line_count;
}

bool pace_divide(struct flush *f)
{
    bool apart[HF_LINES_MAX];
    if (f->claims_stale)
        claims_make(f);
    for (uint32_t i = 0; i < f->batch_count; i++) {
        struct flush_batch *b = &f->batches[i];
        if (b->unsent && b->behind && !b->calling && !b->doom && b->line_count > 1 &&
            pace_stuck(f, b) && divisible(f, b, apart))
            return batch_divide(f, b, apart);
    }
    return false;
}

// ------------------------------------------------------------------------------- S2, S3

static uint32_t calls_max(const struct flush *f)
{
    uint32_t most = f->options.posters ? f->options.posters : 1, now = f->width / ONE;
    return now < most ? now : most;
}

static void width_grow(struct flush *f)
{
    uint32_t most = ONE * (f->options.posters ? f->options.posters : 1);
    f->width += ONE * ONE / f->width ? ONE * ONE / f->width : 1;
    if (f->width > most)
        f->width = most;
}

static void width_cut(struct flush *f)
{
    if (f->width > ONE)
        flush_count(&f->metrics.pace_cuts, 1);
    f->width = f->width / 2 > ONE ? f->width / 2 : ONE;
}

static bool credit_there(struct flush *f, uint64_t now_ms)
{
    int64_t rate = f->options.lines_per_s, most = rate * CREDIT_UNIT * BURST_S;
    if (rate == 0)
        return true;
    uint64_t past = now_ms > f->credit_at_ms ? now_ms - f->credit_at_ms : 0;
    // Longer than a burst takes fills it; so the product is small.
    past = past > BURST_S * 1000 ? BURST_S * 1000 : past;
    f->credit += (int64_t)past * rate;
    f->credit_at_ms = now_ms;
    if (f->credit > most)
        f->credit = most;
    return f->credit > 0;
}

// ------------------------------------------------------------------------------- choosing

static bool due(const struct flush *f, const struct flush_batch *b, uint64_t now_ms)
{
    if (b->step == FLUSH_STEP_ACK_WAIT)
        return core_durable(f->options.core) >= b->ticket;
    return !b->calling && b->retry_at_ms <= now_ms;
}

struct flush_batch *pace_next(struct flush *f, uint64_t now_ms, bool held, bool *wait)
{
    bool room = f->calling < calls_max(f) && credit_there(f, now_ms);
    *wait = false;
    if (f->claims_stale)
        claims_make(f);
    for (uint32_t i = 0; i < f->batch_count; i++) {
        struct flush_batch *b = &f->batches[i];
        if (!due(f, b, now_ms) || (held && batch_calls_odoo(b)) ||
            (f->closed && b->step == FLUSH_STEP_SEND))
            continue; // what was begun is ended, also in closed hours
        if (!batch_calls_odoo(b))
            return b;
        const struct flush_batch *before = b->behind ? batch_of(f, b->behind) : NULL;
        if (!before && room)
            return b;
        // One that is behind a failing one must not hold up the others.
        *wait |= !before || before->calling;
    }
    return NULL;
}

// ------------------------------------------------------------------------------- calling

static enum hf_status answered(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                               uint64_t now_ms)
{
    flush_count(&f->metrics.calls, 1);
    if (a->class == ODOO_OK) {
        f->failures = 0;
        width_grow(f);
    } else {
        flush_count(&f->metrics.calls_failed, 1);
        if (a->class == ODOO_RETRY)
            width_cut(f);
    }
    return post_answer(f, b, a, now_ms);
}

enum hf_status pace_call(struct flush *f, struct flush_batch *b, uint64_t now_ms)
{
    struct flush_call *c = f->calls;
    while (f->options.posters && hf_load_relaxed(&c->state) != FLUSH_CALL_EMPTY)
        c++; // only this thread makes one READY, so what is EMPTY stays so
    post_request(f, b, now_ms, c);
    b->unsent = false;
    if (b->step == FLUSH_STEP_SEND)
        f->credit -= (int64_t)b->line_count * CREDIT_UNIT;
    if (!f->options.posters) {
        struct odoo_answer a;
        odoo_ask(&f->odoo, c->model, c->method, c->args, &a);
        return answered(f, b, &a, now_ms);
    }
    c->batch = b->number;
    memcpy(c->key_header, f->odoo.key_header, sizeof c->key_header);
    b->calling = true;
    f->calling++;
    hf_store_release(&c->state, (uint32_t)FLUSH_CALL_READY); // pairs with the poster's swap
    park_wake(&f->posters);
    return HF_OK;
}

enum hf_status pace_collect(struct flush *f, uint64_t now_ms)
{
    enum hf_status s = HF_AGAIN;
    for (uint32_t i = 0; i < f->options.posters; i++) {
        struct flush_call *c = &f->calls[i];
        if (hf_load_acquire(&c->state) != FLUSH_CALL_DONE) // pairs with the poster's store
            continue;
        struct flush_batch *b = (struct flush_batch *)batch_of(f, c->batch);
        HF_ASSERT(b && b->calling);
        b->calling = false;
        f->calling--;
        hf_store_relaxed(&c->state, (uint32_t)FLUSH_CALL_EMPTY);
        s = answered(f, b, &c->answer, now_ms);
        if (s != HF_OK)
            return s;
    }
    return s;
}

// ------------------------------------------------------------------------------- posters

struct flush_poster {
    struct flush *flush;
    struct odoo odoo;
};

struct flush_poster *flush_poster_create(struct flush *f, struct http *http)
{
    struct flush_poster *p = calloc(1, sizeof *p);
    if (p && odoo_init(&p->odoo, http, "", "", f->options.timeout_ms)) {
        p->flush = f;
        odoo_login_set(&p->odoo, f->odoo.login);
        memcpy(p->odoo.database_header, f->odoo.database_header, sizeof p->odoo.database_header);
        return p;
    }
    free(p);
    return NULL;
}

void flush_poster_destroy(struct flush_poster *p)
{
    if (p)
        odoo_fini(&p->odoo);
    free(p);
}

static struct flush_call *call_take(struct flush *f)
{
    for (uint32_t i = 0; i < f->options.posters; i++) {
        uint32_t ready = FLUSH_CALL_READY;
        if (hf_cas(&f->calls[i].state, &ready, (uint32_t)FLUSH_CALL_TAKEN))
            return &f->calls[i];
    }
    return NULL;
}

void flush_poster_step(struct flush_poster *p, uint32_t wait_ms)
{
    struct flush *f = p->flush;
    uint32_t key = park_prepare(&f->posters);
    struct flush_call *c = call_take(f);
    if (!c) {
        park_wait(&f->posters, key, wait_ms);
        return;
    }
    park_cancel(&f->posters);
    memcpy(p->odoo.key_header, c->key_header, sizeof c->key_header);
    odoo_ask(&p->odoo, c->model, c->method, c->args, &c->answer);
    hf_store_release(&c->state, (uint32_t)FLUSH_CALL_DONE); // pairs with the collector's load
    if (f->options.bell)
        park_wake(f->options.bell);
}

bool flush_answer_waits(struct flush *f)
{
    bool any = false;
    for (uint32_t i = 0; i < f->options.posters; i++)
        any |= hf_load_acquire(&f->calls[i].state) == FLUSH_CALL_DONE;
    return any;
}

void flush_posters_wake(struct flush *f)
{
    park_wake(&f->posters);
}
