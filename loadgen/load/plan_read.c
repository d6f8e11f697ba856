// The plan's names, and its options as text.
#include "load/plan.h"

#include <stdlib.h>
#include <string.h>

#define STEPS(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static const struct {
    const char *name, *help;
    enum plan_step steps[PLAN_STEPS_MAX + 1];
} scenarios[] = {
#define X(name, weight, steps, help) {#name, help, STEPS steps},
    PLAN_SCENARIO_TABLE(X)
#undef X
};

const char *plan_scenario_name(enum plan_scenario s)
{
    return scenarios[s].name;
}

const char *plan_scenario_help(enum plan_scenario s)
{
    return scenarios[s].help;
}

enum plan_step plan_step(enum plan_scenario s, uint32_t n)
{
    return n < PLAN_STEPS_MAX ? scenarios[s].steps[n] : STEP_END;
}

// A number at *at, which moves behind it.
static bool number(const char **at, double least, double most, double *out)
{
    char *end;
    *out = strtod(*at, &end);
    bool ok = end != *at && *out >= least && *out <= most; // NaN is not
    *at = end;
    return ok;
}

// "N" or "A-B", whole.
static bool range(const char *text, double most, double *from, double *to)
{
    if (!number(&text, 1, most, from))
        return false;
    *to = *from;
    if (*text == '-') {
        text++;
        if (!number(&text, *from, most, to))
            return false;
    }
    return *text == '\0' && *from == (double)(int64_t)*from && *to == (double)(int64_t)*to;
}

bool plan_read_spread(const char *text, struct plan_spread *out)
{
    *out = (struct plan_spread){.kind = SPREAD_UNIFORM};
    double hot;
    if (strcmp(text, "uniform") == 0)
        return true;
    if (strncmp(text, "zipf:", 5) == 0) {
        text += 5;
        out->kind = SPREAD_ZIPF;
        return number(&text, 0.01, 10, &out->exponent) && *text == '\0';
    }
    if (strncmp(text, "flash:", 6) != 0)
        return false;
    text += 6;
    out->kind = SPREAD_FLASH;
    if (!number(&text, 1, 1e6, &hot) || *text++ != ':')
        return false;
    out->hot_cells = (uint32_t)hot;
    return number(&text, 0, 1, &out->hot_share) && *text == '\0';
}

bool plan_read_width(const char *text, struct plan_width *out)
{
    double from, to;
    *out = (struct plan_width){.kind = WIDTH_BASKET};
    if (strcmp(text, "basket") == 0)
        return true;
    if (strncmp(text, "mean:", 5) == 0) {
        text += 5;
        out->kind = WIDTH_GEOMETRIC;
        return number(&text, 1, HF_LINES_MAX, &out->mean) && *text == '\0';
    }
    out->kind = WIDTH_BETWEEN;
    if (!range(text, HF_LINES_MAX, &from, &to))
        return false;
    out->least = (uint32_t)from;
    out->most = (uint32_t)to;
    return true;
}

bool plan_read_quantity(const char *text, int64_t *least, int64_t *most)
{
    double from, to;
    if (!range(text, 1e12, &from, &to))
        return false;
    *least = (int64_t)from;
    *most = (int64_t)to;
    return true;
}

static int scenario_find(const char *text, size_t bytes)
{
    for (int s = 0; s < PLAN_SCENARIO_COUNT; s++)
        if (strlen(scenarios[s].name) == bytes && memcmp(scenarios[s].name, text, bytes) == 0)
            return s;
    return -1;
}

bool plan_read_mix(const char *text, double weights[PLAN_SCENARIO_COUNT])
{
    double total = 0;
    memset(weights, 0, PLAN_SCENARIO_COUNT * sizeof *weights);
    while (*text) {
        size_t bytes = strcspn(text, "=,");
        int s = scenario_find(text, bytes);
        if (s < 0)
            return false;
        text += bytes;
        weights[s] = 1;
        if (*text == '=') {
            text++;
            if (!number(&text, 0, 1e9, &weights[s]))
                return false;
        }
        total += weights[s];
        if (*text != '\0' && *text++ != ',')
            return false;
    }
    return total > 0;
}
