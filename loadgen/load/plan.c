// Zipf by rejection-inversion: no table over the cells, any exponent, constant time.
// W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
// distributions", ACM TOMACS 6 (1996).
#include "load/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SEEN_ROOM 4096 // a power of two above twice HF_LINES_MAX

struct zipf {
    double exponent, h_first, h_last, threshold;
    uint32_t count;
};

struct plan {
    struct plan_options o;
    struct prng random;
    struct zipf zipf;
    double total;              // of the weights
    uint32_t multiplier;       // ranks to cells
    uint32_t seen[SEEN_ROOM];  // cell + 1
    uint32_t round[SEEN_ROOM]; // of `customer` in which it is valid
    uint32_t customer;
};

static double unit(struct prng *r) // [0, 1)
{
    return (double)(prng_next(r) >> 11) * 0x1p-53;
}

// ------------------------------------------------------------------------------- Zipf

// Integral of x^-exponent from 1 on; near exponent 1 the plain form loses all digits.
static double zipf_h(const struct zipf *z, double x)
{
    double log_x = log(x), t = (1 - z->exponent) * log_x;
    return (fabs(t) > 1e-8 ? expm1(t) / t : 1 + t / 2) * log_x;
}

static double zipf_h_inverse(const struct zipf *z, double y)
{
    double t = y * (1 - z->exponent);
    if (t < -1)
        t = -1;
    return exp((fabs(t) > 1e-8 ? log1p(t) / t : 1 - t / 2) * y);
}

static double zipf_weight(const struct zipf *z, double x)
{
    return exp(-z->exponent * log(x));
}

static void zipf_init(struct zipf *z, double exponent, uint32_t count)
{
    z->exponent = exponent;
    z->count = count;
    z->h_first = zipf_h(z, 1.5) - 1;
    z->h_last = zipf_h(z, count + 0.5);
    z->threshold = 2 - zipf_h_inverse(z, zipf_h(z, 2.5) - zipf_weight(z, 2));
}

static uint32_t zipf_rank(const struct zipf *z, struct prng *random) // 0 is the most popular
{
    for (;;) {
        double u = z->h_last + unit(random) * (z->h_first - z->h_last);
        double x = zipf_h_inverse(z, u), k = floor(x + 0.5);
        if (k < 1)
            k = 1;
        if (k > z->count)
            k = z->count;
        if (k - x <= z->threshold || u >= zipf_h(z, k + 0.5) - zipf_weight(z, k))
            return (uint32_t)k - 1;
    }
}

// ------------------------------------------------------------------------------- cells

static uint32_t divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// Popular cells lie apart from each other, the same for every thread.
static uint32_t cell_of(const struct plan *p, uint32_t rank)
{
    return (uint32_t)((uint64_t)rank * p->multiplier % p->o.cells);
}

static uint32_t cell_draw(struct plan *p)
{
    const struct plan_spread *s = &p->o.spread;
    switch (s->kind) {
    case SPREAD_ZIPF:
        return cell_of(p, zipf_rank(&p->zipf, &p->random));
    case SPREAD_FLASH:
        if (unit(&p->random) < s->hot_share)
            return cell_of(p, (uint32_t)prng_below(&p->random, s->hot_cells));
        break;
    case SPREAD_UNIFORM:
        break;
    }
    return (uint32_t)prng_below(&p->random, p->o.cells);
}

// True: this customer has not got it yet.
static bool cell_fresh(struct plan *p, uint32_t cell)
{
    uint32_t at = (uint32_t)hf_mix64(cell) & (SEEN_ROOM - 1);
    while (p->round[at] == p->customer) {
        if (p->seen[at] == cell)
            return false;
        at = (at + 1) & (SEEN_ROOM - 1);
    }
    p->round[at] = p->customer;
    p->seen[at] = cell;
    return true;
}

// ------------------------------------------------------------------------------- customers

static double normal(struct prng *r) // Box and Muller
{
    double u = 1 - unit(r), v = unit(r);
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static uint32_t width_draw(struct plan *p)
{
    const struct plan_width *w = &p->o.width;
    double x = 1;
    switch (w->kind) {
    case WIDTH_BETWEEN:
        return w->least + (uint32_t)prng_below(&p->random, w->most - w->least + 1);
    case WIDTH_GEOMETRIC:
        x = w->mean > 1 ? 1 + floor(log(1 - unit(&p->random)) / log(1 - 1 / w->mean)) : 1;
        break;
    case WIDTH_BASKET: // of the retailer in tests/trace: mean 19, one in twenty above 64
        x = floor(exp(2.317 + 1.12 * normal(&p->random)) + 0.5);
        break;
    }
    return x < 1 ? 1 : x > 705 ? 705 : (uint32_t)x;
}

static enum plan_scenario scenario_draw(struct plan *p)
{
    double at = unit(&p->random) * p->total;
    int last = 0;
    for (int s = 0; s < PLAN_SCENARIO_COUNT; s++) {
        if (p->o.weights[s] <= 0)
            continue;
        last = s;
        if ((at -= p->o.weights[s]) < 0)
            break;
    }
    return (enum plan_scenario)last;
}

void plan_next(struct plan *p, struct plan_customer *out)
{
    p->customer++;
    out->scenario = scenario_draw(p);
    out->random[0] = prng_next(&p->random);
    out->random[1] = prng_next(&p->random);
    out->op_random = prng_next(&p->random);
    uint32_t width = width_draw(p);
    out->line_count = 0;
    // With few hot cells, or few at all, a wide request runs out of them: it gets narrower.
    for (uint32_t tries = 0; out->line_count < width && tries < 4 * width; tries++) {
        uint32_t cell = cell_draw(p);
        int64_t span = p->o.quantity_most - p->o.quantity_least + 1;
        int64_t quantity = p->o.quantity_least + (int64_t)prng_below(&p->random, (uint64_t)span);
        if (cell_fresh(p, cell))
            out->lines[out->line_count++] = (struct op_line){cell, quantity};
    }
}

// ------------------------------------------------------------------------------- set-up

void plan_options_default(struct plan_options *o)
{
    static const double weights[] = {
#define X(name, weight, steps, help) weight,
        PLAN_SCENARIO_TABLE(X)
#undef X
    };
    *o = (struct plan_options){
        .width = {WIDTH_BETWEEN, 1, 1, 0}, .quantity_least = 1, .quantity_most = 1};
    memcpy(o->weights, weights, sizeof weights);
}

struct plan *plan_create(const struct plan_options *o)
{
    struct plan *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->o = *o;
    p->random.state = o->seed;
    for (int s = 0; s < PLAN_SCENARIO_COUNT; s++)
        p->total += o->weights[s];
    p->multiplier = (uint32_t)(o->cells * 0.6180339887);
    while (p->multiplier < 1 || divisor(p->multiplier, o->cells) != 1)
        p->multiplier++;
    if (p->o.spread.hot_cells > o->cells)
        p->o.spread.hot_cells = o->cells;
    if (o->spread.kind == SPREAD_ZIPF)
        zipf_init(&p->zipf, o->spread.exponent, o->cells);
    return p;
}

void plan_destroy(struct plan *p)
{
    free(p);
}

double plan_requests_mean(const struct plan_options *o)
{
    double weights = 0, requests = 0;
    for (int s = 0; s < PLAN_SCENARIO_COUNT; s++) {
        weights += o->weights[s];
        for (uint32_t n = 0; plan_step((enum plan_scenario)s, n) != STEP_END; n++)
            requests += o->weights[s];
    }
    return weights > 0 ? requests / weights : 1;
}

// ------------------------------------------------------------------------------- arrivals

uint64_t arrivals_next(struct arrivals *a)
{
    a->count += a->poisson ? -log(1 - unit(&a->random)) : 1;
    // The rate integrated: rate * t^2 / (2 * ramp) up to the ramp's end, then a straight line.
    double in_ramp = a->rate * a->ramp_s / 2;
    double t = a->count < in_ramp ? sqrt(2 * a->ramp_s * a->count / a->rate)
                                  : a->ramp_s + (a->count - in_ramp) / a->rate;
    return (uint64_t)(t * 1e9);
}
