#include "ratio.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct ratio_spread ratio_spread_of(const double *values, unsigned count)
{
    double sorted[RATIO_REPS_MAX];
    HF_ASSERT(count > 0 && count <= RATIO_REPS_MAX);
    memcpy(sorted, values, count * sizeof *values);
    qsort(sorted, count, sizeof *sorted, by_size);
    return (struct ratio_spread){
        .min = sorted[0],
        .median = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2,
        .max = sorted[count - 1],
    };
}

double ratio_value(const struct ratio_row *row, const struct ratio_sample *sample)
{
    if (row->alone)
        return sample->subject;
    return sample->yardstick > 0 ? sample->subject / sample->yardstick : INFINITY;
}

bool ratio_passes(const struct ratio_row *row, double value)
{
    if (!isfinite(value))
        return false;
    return row->direction == RATIO_AT_LEAST ? value >= row->goal : value <= row->goal;
}

bool ratio_selected(const char *only, const char *name)
{
    if (!only)
        return true;
    size_t whole = strlen(name), stem = strcspn(name, "/");
    for (const char *at = only; *at;) {
        size_t length = strcspn(at, ",");
        bool fits = length == whole || length == stem;
        if (fits && strncmp(at, name, length) == 0)
            return true;
        at += length;
        at += *at == ',';
    }
    return false;
}

static void summarize(struct ratio_result *r)
{
    double subject[RATIO_REPS_MAX], yardstick[RATIO_REPS_MAX], value[RATIO_REPS_MAX];
    for (unsigned i = 0; i < r->reps; i++) {
        subject[i] = r->samples[i].subject;
        yardstick[i] = r->samples[i].yardstick;
        value[i] = ratio_value(r->row, &r->samples[i]);
    }
    r->subject = ratio_spread_of(subject, r->reps);
    r->yardstick = ratio_spread_of(yardstick, r->reps);
    r->value = ratio_spread_of(value, r->reps);
    for (unsigned n = 0; n < RATIO_NOTES_MAX && r->row->notes[n]; n++) {
        for (unsigned i = 0; i < r->reps; i++)
            value[i] = r->samples[i].notes[n];
        r->notes[n] = ratio_spread_of(value, r->reps).median;
    }
}

void ratio_run(const struct ratio_row *row, const struct ratio_settings *settings,
               struct ratio_result *out)
{
    void *ctx = NULL;
    *out = (struct ratio_result){.row = row};
    HF_ASSERT(settings->reps > 0 && settings->reps <= RATIO_REPS_MAX);
    if (row->set_up)
        out->status = row->set_up(settings, &ctx);
    while (out->status == HF_OK && out->reps < settings->reps) {
        out->status = row->measure(ctx, &out->samples[out->reps]);
        out->reps += out->status == HF_OK;
    }
    if (row->tear_down && ctx)
        row->tear_down(ctx);
    if (out->reps > 0)
        summarize(out);
    out->pass = out->status == HF_OK && ratio_passes(row, out->value.median);
}

static const char *goal_sign(const struct ratio_row *row)
{
    return row->direction == RATIO_AT_LEAST ? ">=" : "<=";
}

void ratio_print_heading(FILE *to)
{
    fprintf(to, "%-12s %12s %12s %-9s  %10s %10s %10s  %-13s %s\n", "name", "subject", "yardstick",
            "unit", "min", "median", "max", "goal", "verdict");
}

void ratio_print(const struct ratio_result *r, FILE *to)
{
    const struct ratio_row *row = r->row;
    if (r->status != HF_OK) {
        fprintf(to, "%-12s failed: %s  SHORT\n", row->name, hf_status_help(r->status));
        return;
    }
    fprintf(to, "%-12s %12.5g %12.5g %-9s  %10.4g %10.4g %10.4g  %s %-10.4g %s\n", row->name,
            r->subject.median, r->yardstick.median, row->unit, r->value.min, r->value.median,
            r->value.max, goal_sign(row), row->goal, r->pass ? "PASS" : "SHORT");
    fprintf(to, "             %s\n", row->what);
    for (unsigned n = 0; n < RATIO_NOTES_MAX && row->notes[n]; n++)
        fprintf(to, "%s%s %.5g", n ? ", " : "             beside: ", row->notes[n], r->notes[n]);
    if (row->notes[0])
        fprintf(to, "\n");
}

// JSON knows no infinity.
static void json_number(FILE *to, const char *key, double value, const char *after)
{
    if (isfinite(value))
        fprintf(to, "\"%s\": %.9g%s", key, value, after);
    else
        fprintf(to, "\"%s\": null%s", key, after);
}

static void json_notes(FILE *to, const struct ratio_result *r)
{
    fprintf(to, "      \"notes\": {");
    for (unsigned n = 0; n < RATIO_NOTES_MAX && r->row->notes[n]; n++) {
        fprintf(to, "%s", n ? ", " : "");
        json_number(to, r->row->notes[n], r->notes[n], "");
    }
    fprintf(to, "},\n");
}

static void json_spread(FILE *to, const char *key, const struct ratio_spread *s)
{
    fprintf(to, "      \"%s\": {", key);
    json_number(to, "min", s->min, ", ");
    json_number(to, "median", s->median, ", ");
    json_number(to, "max", s->max, "},\n");
}

// Names and texts come from tables in this tree: no quote, no backslash, no control character.
static void json_row(FILE *to, const struct ratio_result *r)
{
    const struct ratio_row *row = r->row;
    fprintf(to, "    {\n      \"name\": \"%s\",\n      \"what\": \"%s\",\n", row->name, row->what);
    fprintf(to, "      \"unit\": \"%s\",\n", row->unit);
    fprintf(to, "      \"judged\": \"%s\",\n      \"goal\": \"%s %.9g\",\n",
            row->alone ? "subject" : "ratio", goal_sign(row), row->goal);
    fprintf(to, "      \"status\": \"%s\",\n      \"samples\": [", hf_status_name(r->status));
    for (unsigned i = 0; i < r->reps; i++) {
        fprintf(to, "%s{", i ? ", " : "");
        json_number(to, "subject", r->samples[i].subject, ", ");
        json_number(to, "yardstick", r->samples[i].yardstick, "}");
    }
    fprintf(to, "],\n");
    json_spread(to, "subject", &r->subject);
    json_spread(to, "yardstick", &r->yardstick);
    json_spread(to, "value", &r->value);
    json_notes(to, r);
    fprintf(to, "      \"pass\": %s\n    }", r->pass ? "true" : "false");
}

void ratio_print_json(const struct ratio_result *results, size_t count,
                      const struct ratio_settings *settings, FILE *to)
{
    fprintf(to, "{\n  \"reps\": %u,\n  \"seconds\": %.9g,\n  \"rows\": [", settings->reps,
            settings->seconds);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "%s\n", i ? "," : "");
        json_row(to, &results[i]);
    }
    fprintf(to, "\n  ]\n}\n");
}
