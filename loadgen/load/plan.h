// What customers do: which scenario, which cells, how many of each. Everything but the time part of
// ids is drawn from the seed, so the same options and seed give the same customers in the same
// order, whatever the server answers.
#ifndef HOLDFAST_LOADGEN_PLAN_H
#define HOLDFAST_LOADGEN_PLAN_H

#include "base/limits.h"
#include "base/prng.h"
#include "load/op.h"

#include <stddef.h>

// One request of a scenario.
enum plan_step {
    STEP_END,
    STEP_RESERVE,
    STEP_RESERVE_AGAIN, // the same again: the same outcome, told as a repeat
    STEP_ORDER,
    STEP_ORDER_AGAIN,
    STEP_ORDER_OTHER, // the same id with another body: a conflict
    STEP_RECORD,
    STEP_COMMIT,
    STEP_COMMIT_AGAIN,
    STEP_RELEASE,
    STEP_RELEASE_PART, // about half of the first line
    STEP_EXTEND,
    STEP_CANCEL, // about half of the first line
    STEP_RETURN,
    STEP_SCRAP,
};
#define PLAN_STEPS_MAX 4

// name, weight where none is given, steps, help
#define PLAN_SCENARIO_TABLE(X)                                                                     \
    X(order, 40, (STEP_ORDER), "an order")                                                         \
    X(commit, 25, (STEP_RESERVE, STEP_COMMIT), "a hold, then its sale")                            \
    X(release, 10, (STEP_RESERVE, STEP_RELEASE), "a hold, given back")                             \
    X(abandon, 10, (STEP_RESERVE), "a hold that nobody ends: it expires")                          \
    X(extend, 3, (STEP_RESERVE, STEP_EXTEND, STEP_COMMIT), "a hold, made longer, then sold")       \
    X(partial, 3, (STEP_RESERVE, STEP_RELEASE_PART, STEP_COMMIT),                                  \
      "a hold, a part given back, the rest sold")                                                  \
    X(cancel, 2, (STEP_ORDER, STEP_CANCEL), "an order, cancelled in part")                         \
    X(return, 2, (STEP_ORDER, STEP_RETURN), "an order, returned in part")                          \
    X(scrap, 1, (STEP_ORDER, STEP_SCRAP), "the same, not to be sold again")                        \
    X(repeat, 2, (STEP_ORDER, STEP_ORDER_AGAIN), "an order, asked twice")                          \
    X(twice, 1, (STEP_RESERVE, STEP_RESERVE_AGAIN, STEP_COMMIT, STEP_COMMIT_AGAIN),                \
      "a hold and its sale, each asked twice")                                                     \
    X(conflict, 1, (STEP_ORDER, STEP_ORDER_OTHER), "an order, and its id with another body")       \
    X(record, 0, (STEP_RECORD), "a sale that has happened already: booked even when short")
enum plan_scenario {
#define X(name, weight, steps, help) PLAN_##name,
    PLAN_SCENARIO_TABLE(X)
#undef X
        PLAN_SCENARIO_COUNT
};
const char *plan_scenario_name(enum plan_scenario s);
const char *plan_scenario_help(enum plan_scenario s);
enum plan_step plan_step(enum plan_scenario s, uint32_t n); // STEP_END from the last one on

struct plan_spread {
    enum { SPREAD_UNIFORM, SPREAD_ZIPF, SPREAD_FLASH } kind;
    double exponent;    // ZIPF: > 0
    uint32_t hot_cells; // FLASH: so many cells ...
    double hot_share;   // ... get this share of the lines, the rest is uniform
};
struct plan_width { // lines of a request
    enum { WIDTH_BETWEEN, WIDTH_GEOMETRIC, WIDTH_BASKET } kind;
    uint32_t least, most; // BETWEEN
    double mean;          // GEOMETRIC
};

struct plan_options {
    struct plan_spread spread;
    struct plan_width width;
    int64_t quantity_least, quantity_most;
    double weights[PLAN_SCENARIO_COUNT];
    uint32_t cells;
    uint64_t seed;
};
// One line, uniform, one unit, the table's weights.
void plan_options_default(struct plan_options *o);
// "uniform", "zipf:0.99", "flash:3:0.8". False: none of them, or out of range.
bool plan_read_spread(const char *text, struct plan_spread *out);
// "5", "1-8", "mean:19", "basket"
bool plan_read_width(const char *text, struct plan_width *out);
// "3" or "1-5"
bool plan_read_quantity(const char *text, int64_t *least, int64_t *most);
// "order=50,commit=30"; what is not named has no weight.
bool plan_read_mix(const char *text, double weights[PLAN_SCENARIO_COUNT]);
// Requests of a customer on average when nothing is refused.
double plan_requests_mean(const struct plan_options *o);

struct plan_customer {
    enum plan_scenario scenario;
    uint32_t line_count;
    struct op_line lines[HF_LINES_MAX]; // each cell once
    uint64_t random[2];                 // of the id
    uint64_t op_random;                 // operations' ids are mixed from it
};

struct plan;
struct plan *plan_create(const struct plan_options *o); // NULL: no memory
void plan_destroy(struct plan *p);
void plan_next(struct plan *p, struct plan_customer *out);

// Arrivals at a rate: evenly, or as a Poisson process; linearly rising over the ramp.
struct arrivals {
    double rate, ramp_s; // a second; ramp 0: none
    bool poisson;
    struct prng random;
    double count; // expected by the latest arrival
};
uint64_t arrivals_next(struct arrivals *a); // ns since the start

#endif
