// What customers do: the same again from the same seed, and as skewed as asked for.
#include "load/options.h"
#include "load/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CELLS 1000
#define DRAWS 200000

static struct plan *make(struct plan_options *o, const char *spread, const char *lines)
{
    plan_options_default(o);
    o->cells = CELLS;
    o->seed = 42;
    assert_true(plan_read_spread(spread, &o->spread));
    assert_true(plan_read_width(lines, &o->width));
    struct plan *p = plan_create(o);
    assert_non_null(p);
    return p;
}

static void test_a_seed_replays(void **state)
{
    struct plan_options o;
    static struct plan_customer a, b;
    struct plan *p = make(&o, "zipf:1.1", "basket"), *q = plan_create(&o);
    bool differ = false;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        plan_next(p, &a);
        plan_next(q, &b);
        assert_int_equal(a.scenario, b.scenario);
        assert_int_equal(a.line_count, b.line_count);
        assert_memory_equal(a.lines, b.lines, a.line_count * sizeof a.lines[0]);
        assert_int_equal(a.random[0], b.random[0]);
    }
    plan_destroy(q);
    o.seed++;
    q = plan_create(&o);
    for (int i = 0; i < 20; i++) {
        plan_next(p, &a);
        plan_next(q, &b);
        differ = differ || a.random[0] != b.random[0];
    }
    assert_true(differ);
    plan_destroy(p);
    plan_destroy(q);
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

static void shares(const char *spread, double *share)
{
    struct plan_options o;
    static struct plan_customer c;
    struct plan *p = make(&o, spread, "1");
    memset(share, 0, CELLS * sizeof *share);
    for (int i = 0; i < DRAWS; i++) {
        plan_next(p, &c);
        assert_int_equal(c.line_count, 1);
        share[c.lines[0].cell] += 1.0 / DRAWS;
    }
    qsort(share, CELLS, sizeof *share, descending);
    plan_destroy(p);
}

// The most popular cells get what the distribution says, within five standard deviations.
static void test_zipf_is_zipf(void **state)
{
    static const double exponents[] = {0.5, 0.99, 1.0, 1.5};
    static double share[CELLS];
    (void)state;
    for (size_t e = 0; e < sizeof exponents / sizeof *exponents; e++) {
        char text[32];
        double sum = 0;
        snprintf(text, sizeof text, "zipf:%g", exponents[e]);
        shares(text, share);
        for (int k = 1; k <= CELLS; k++)
            sum += pow(k, -exponents[e]);
        for (int k = 1; k <= 3; k++) {
            double expected = pow(k, -exponents[e]) / sum;
            assert_true(fabs(share[k - 1] - expected) < 5 * sqrt(expected / DRAWS));
        }
    }
}

static void test_flash_is_hot(void **state)
{
    static double share[CELLS];
    (void)state;
    shares("flash:2:0.8", share);
    assert_true(fabs(share[0] + share[1] - 0.8) < 0.01);
    assert_true(fabs(share[0] - share[1]) < 0.01);
    assert_true(share[2] < 0.002);
    shares("uniform", share);
    assert_true(share[0] < 0.003);
}

static double width_mean(const char *lines, uint32_t *most, double *wide)
{
    struct plan_options o;
    static struct plan_customer c;
    struct plan *p = make(&o, "uniform", lines);
    double sum = 0;
    *most = 0;
    *wide = 0;
    for (int i = 0; i < 20000; i++) {
        plan_next(p, &c);
        sum += c.line_count;
        *wide += c.line_count > 64;
        *most = c.line_count > *most ? c.line_count : *most;
        for (uint32_t k = 1; k < c.line_count; k++) // each cell once
            for (uint32_t j = 0; i < 50 && j < k; j++)
                assert_int_not_equal(c.lines[j].cell, c.lines[k].cell);
    }
    *wide /= 20000;
    plan_destroy(p);
    return sum / 20000;
}

static void test_widths(void **state)
{
    uint32_t most;
    double wide;
    (void)state;
    assert_true(fabs(width_mean("2-4", &most, &wide) - 3) < 0.05);
    assert_int_equal(most, 4);
    assert_true(fabs(width_mean("mean:19", &most, &wide) - 19) < 0.6);
    double mean = width_mean("basket", &most, &wide);
    assert_true(mean > 17 && mean < 20);
    assert_true(wide > 0.04 && wide < 0.06);
    assert_true(most > 300 && most <= 705);
}

static void test_a_hot_cell_bounds_the_width(void **state)
{
    struct plan_options o;
    static struct plan_customer c;
    (void)state;
    struct plan *p = make(&o, "flash:2:1", "20");
    plan_next(p, &c);
    assert_int_equal(c.line_count, 2);
    plan_destroy(p);
}

static void test_mix(void **state)
{
    double w[PLAN_SCENARIO_COUNT];
    struct plan_options o;
    static struct plan_customer c;
    int counts[PLAN_SCENARIO_COUNT] = {0};
    (void)state;
    assert_true(plan_read_mix("order=1,commit=3", w));
    assert_false(plan_read_mix("order=1,buy=3", w));
    assert_false(plan_read_mix("order=0", w));
    assert_false(plan_read_mix("order=x", w));
    plan_options_default(&o);
    assert_true(plan_read_mix("order=1,commit=3", o.weights));
    o.cells = 1;
    struct plan *p = plan_create(&o);
    for (int i = 0; i < 10000; i++) {
        plan_next(p, &c);
        counts[c.scenario]++;
    }
    assert_int_equal(counts[PLAN_order] + counts[PLAN_commit], 10000);
    assert_true(abs(counts[PLAN_order] - 2500) < 250);
    assert_true(fabs(plan_requests_mean(&o) - 1.75) < 1e-9);
    plan_destroy(p);
}

static void test_arrivals_keep_the_rate(void **state)
{
    struct arrivals even = {.rate = 1000}, ramp = {.rate = 1000, .ramp_s = 2};
    struct arrivals poisson = {.rate = 1000, .poisson = true, .random = {7}};
    uint64_t last = 0, close = 0;
    (void)state;
    for (int i = 1; i <= 5000; i++)
        assert_true(llabs((int64_t)arrivals_next(&even) - i * INT64_C(1000000)) < 2);
    for (int i = 1; i <= 3000; i++)
        last = arrivals_next(&ramp); // 1,000 in the ramp's two seconds, then two seconds more
    assert_true(llabs((int64_t)last - 4000000000) < 2000000);
    uint64_t before = 0;
    for (int i = 1; i <= 5000; i++) {
        last = arrivals_next(&poisson);
        assert_true(last >= before);
        close += last - before < 500000;
        before = last;
    }
    assert_true(llabs((int64_t)last - 5000000000) < 400000000);
    assert_true(close > 1700 && close < 2250); // 1 - e^-0.5 of them: 39%
}

static void test_texts_out_of_range(void **state)
{
    struct plan_spread s;
    struct plan_width w;
    int64_t least, most;
    (void)state;
    assert_false(plan_read_spread("zipf:0", &s));
    assert_false(plan_read_spread("zipf:nan", &s));
    assert_false(plan_read_spread("flash:2", &s));
    assert_false(plan_read_spread("flash:2:1.5", &s));
    assert_false(plan_read_width("0", &w));
    assert_false(plan_read_width("5-4", &w));
    assert_false(plan_read_width("1025", &w));
    assert_false(plan_read_width("2x", &w));
    assert_false(plan_read_quantity("1.5", &least, &most));
    assert_true(plan_read_quantity("2-9", &least, &most));
    assert_int_equal(least, 2);
    assert_int_equal(most, 9);
}

static bool options(struct options *o, const char *text, char why[200])
{
    static char words[400];
    char *argv[32], *save = NULL;
    int argc = 1;
    argv[0] = words;
    snprintf(words, sizeof words, "%s", text);
    for (char *w = strtok_r(words, " ", &save); w && argc < 32; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    why[0] = '\0';
    return options_read(o, argc, argv, why);
}

static void test_options(void **state)
{
    struct options o;
    char why[200];
    (void)state;
    unsetenv("HOLDFAST_ADDRESS");
    assert_true(options(&o, "--rate 5000 --ttl=250ms --make-catalogue 100x2 --stream", why));
    assert_true(o.rate == 5000 && o.stream && o.skus == 100 && o.locations == 2);
    assert_int_equal(o.ttl_ms, 250);
    assert_int_equal(o.give_up_ms, 60000);
    assert_string_equal(o.address, "127.0.0.1:7420");
    setenv("HOLDFAST_ADDRESS", "10.0.0.1:1", 1);
    assert_true(options(&o, "", why));
    assert_string_equal(o.address, "10.0.0.1:1");
    unsetenv("HOLDFAST_ADDRESS");
    static const char *const bad[] = {"--ratte 5",
                                      "--rate",
                                      "--rate -1",
                                      "--stream=yes",
                                      "--ttl 5",
                                      "--ttl 0s",
                                      "--connections 65",
                                      "--make-catalogue 5",
                                      "--handles 5 --audit",
                                      "--handles 5",
                                      "--replay x --handles 1",
                                      "file.csv",
                                      "--mix order=",
                                      "--retry-wait 2s --retry-wait-max 1s"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(options(&o, bad[i], why));
        assert_true(why[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_seed_replays),
        cmocka_unit_test(test_zipf_is_zipf),
        cmocka_unit_test(test_flash_is_hot),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_a_hot_cell_bounds_the_width),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_arrivals_keep_the_rate),
        cmocka_unit_test(test_texts_out_of_range),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
