#include "ratio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void spread_is_order_free(void **state)
{
    (void)state;
    const double odd[] = {5, 1, 4, 2, 3}, even[] = {8, 2, 4, 6}, one[] = {7};
    struct ratio_spread s = ratio_spread_of(odd, 5);
    assert_true(s.min == 1 && s.median == 3 && s.max == 5);
    assert_true(odd[0] == 5);
    s = ratio_spread_of(even, 4);
    assert_true(s.min == 2 && s.median == 5 && s.max == 8);
    s = ratio_spread_of(one, 1);
    assert_true(s.min == 7 && s.median == 7 && s.max == 7);
}

static void goal_judges_ratio_or_subject(void **state)
{
    (void)state;
    struct ratio_row row = {.name = "r", .direction = RATIO_AT_LEAST, .goal = 0.25};
    struct ratio_sample quarter = {2, 8, {0}}, nothing = {2, 0, {0}};
    assert_true(ratio_passes(&row, ratio_value(&row, &quarter)));
    assert_false(ratio_passes(&row, 0.2499));
    assert_false(ratio_passes(&row, ratio_value(&row, &nothing)));
    row.direction = RATIO_AT_MOST;
    assert_true(ratio_passes(&row, 0.25));
    assert_false(ratio_passes(&row, 0.2501));
    assert_false(ratio_passes(&row, ratio_value(&row, &nothing)));
    row.alone = true;
    row.goal = 2;
    assert_true(ratio_passes(&row, ratio_value(&row, &nothing)));
}

static void names_are_selected_whole_or_by_stem(void **state)
{
    (void)state;
    assert_true(ratio_selected(NULL, "cell"));
    assert_true(ratio_selected("cell", "cell"));
    assert_true(ratio_selected("hot,cell", "cell"));
    assert_true(ratio_selected("hot", "hot/2"));
    assert_true(ratio_selected("x,hot/2", "hot/2"));
    assert_false(ratio_selected("hot/1", "hot/2"));
    assert_false(ratio_selected("ce", "cell"));
    assert_false(ratio_selected("cells", "cell"));
    assert_false(ratio_selected("", "cell"));
}

// A subject that is told its samples: one a repetition.
struct script {
    const struct ratio_sample *samples;
    unsigned at, fail_at, torn_down;
};
static struct script script;

static enum hf_status scripted_set_up(const struct ratio_settings *settings, void **ctx)
{
    *ctx = &script;
    return settings->seconds > 0 ? HF_OK : HF_INVALID;
}

static enum hf_status scripted_measure(void *ctx, struct ratio_sample *out)
{
    struct script *s = ctx;
    if (s->at == s->fail_at)
        return HF_IO;
    *out = s->samples[s->at++];
    return HF_OK;
}

static void scripted_tear_down(void *ctx)
{
    ((struct script *)ctx)->torn_down++;
}

static const struct ratio_sample five[] = {
    {10, 10, {1}}, {30, 10, {7}}, {20, 10, {3}}, {90, 10, {9}}, {5, 10, {2}}};
static const struct ratio_row scripted = {
    .name = "scripted",
    .what = "words",
    .unit = "ns",
    .direction = RATIO_AT_MOST,
    .goal = 2,
    .notes = {"side ns"},
    .set_up = scripted_set_up,
    .measure = scripted_measure,
    .tear_down = scripted_tear_down,
};

static void run_judges_by_the_median(void **state)
{
    (void)state;
    struct ratio_settings settings = {.seconds = 1, .reps = 5};
    struct ratio_result r;
    script = (struct script){.samples = five, .fail_at = UINT32_MAX};
    ratio_run(&scripted, &settings, &r);
    assert_int_equal(r.status, HF_OK);
    assert_int_equal(r.reps, 5);
    assert_true(r.value.min == 0.5 && r.value.median == 2 && r.value.max == 9);
    assert_true(r.subject.median == 20 && r.yardstick.median == 10);
    assert_true(r.pass);
    assert_int_equal(script.torn_down, 1);
}

static void run_that_fails_is_short(void **state)
{
    (void)state;
    struct ratio_settings settings = {.seconds = 1, .reps = 5};
    struct ratio_result r;
    script = (struct script){.samples = five, .fail_at = 1};
    ratio_run(&scripted, &settings, &r);
    assert_int_equal(r.status, HF_IO);
    assert_int_equal(r.reps, 1);
    assert_false(r.pass);
    assert_int_equal(script.torn_down, 1);
    settings.seconds = 0;
    ratio_run(&scripted, &settings, &r);
    assert_int_equal(r.status, HF_INVALID);
    assert_int_equal(r.reps, 0);
    assert_int_equal(script.torn_down, 2);
}

static void output_names_value_and_verdict(void **state)
{
    (void)state;
    struct ratio_settings settings = {.seconds = 1, .reps = 5};
    struct ratio_result r;
    char *text = NULL;
    size_t bytes = 0;
    script = (struct script){.samples = five, .fail_at = UINT32_MAX};
    ratio_run(&scripted, &settings, &r);
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    ratio_print(&r, to);
    ratio_print_json(&r, 1, &settings, to);
    assert_int_equal(fclose(to), 0);
    assert_non_null(strstr(text, "PASS"));
    assert_non_null(strstr(text, "\"value\": {\"min\": 0.5, \"median\": 2, \"max\": 9}"));
    assert_non_null(strstr(text, "beside: side ns 3\n"));
    assert_non_null(strstr(text, "\"notes\": {\"side ns\": 3}"));
    assert_non_null(strstr(text, "\"goal\": \"<= 2\""));
    assert_non_null(strstr(text, "\"pass\": true"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spread_is_order_free),
        cmocka_unit_test(goal_judges_ratio_or_subject),
        cmocka_unit_test(names_are_selected_whole_or_by_stem),
        cmocka_unit_test(run_judges_by_the_median),
        cmocka_unit_test(run_that_fails_is_short),
        cmocka_unit_test(output_names_value_and_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
