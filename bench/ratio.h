// Side-by-side measurements: the engine (subject) against what the machine can do (yardstick), in
// one process, interleaved, so that a noisy machine disturbs both.
//
// A row is judged by the median of its repetitions' values. A value is subject / yardstick, or the
// subject alone where the goal is a figure of its own; the yardstick then tells what was possible.
#ifndef HOLDFAST_BENCH_RATIO_H
#define HOLDFAST_BENCH_RATIO_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define RATIO_REPS_DEFAULT 5
#define RATIO_REPS_MAX     101
#define RATIO_NOTES_MAX    8

struct ratio_settings {
    double seconds;     // of one side of one repetition, about
    unsigned reps;      // 1..RATIO_REPS_MAX
    const char *folder; // empty, for data; on the disk that is to be measured
    const char *only;   // names separated by commas; NULL: all
};

struct ratio_sample {
    double subject, yardstick; // in the row's unit; yardstick 0: there is none
    double notes[RATIO_NOTES_MAX]; // beside them, judged by nobody; see ratio_row.notes
};

enum ratio_goal { RATIO_AT_LEAST, RATIO_AT_MOST };

// Rows of one subject are `name/variant`; `name` selects them all.
struct ratio_row {
    const char *name;
    const char *what; // subject and yardstick, in a few words
    const char *unit; // of both
    bool alone;       // the goal is on the subject itself
    enum ratio_goal direction;
    double goal;
    const char *notes[RATIO_NOTES_MAX]; // what a sample's notes are, unit last; NULL ends them
    // set_up fills *ctx, which measure and tear_down get; both may be NULL. One thread; each may
    // block. An error ends the row, which then counts as short.
    enum hf_status (*set_up)(const struct ratio_settings *settings, void **ctx);
    enum hf_status (*measure)(void *ctx, struct ratio_sample *out);
    void (*tear_down)(void *ctx);
};

struct ratio_spread {
    double min, median, max;
};

struct ratio_result {
    const struct ratio_row *row;
    enum hf_status status; // of the measurement
    unsigned reps;         // done
    struct ratio_sample samples[RATIO_REPS_MAX];
    struct ratio_spread subject, yardstick, value;
    double notes[RATIO_NOTES_MAX]; // medians
    bool pass;
};

// Sorts nothing of the caller's. count 1..RATIO_REPS_MAX; an even count's median is the mean of
// the middle two.
struct ratio_spread ratio_spread_of(const double *values, unsigned count);
// One repetition's value as the goal sees it. A missing yardstick makes a ratio infinite.
double ratio_value(const struct ratio_row *row, const struct ratio_sample *sample);
bool ratio_passes(const struct ratio_row *row, double value);
// True when `name` (or what precedes its '/') is in the comma-separated list; NULL holds all.
bool ratio_selected(const char *only, const char *name);

// Runs one row to the end, whatever happens. out->status tells.
void ratio_run(const struct ratio_row *row, const struct ratio_settings *settings,
               struct ratio_result *out);

// A line of text a row; the heading names the columns.
void ratio_print_heading(FILE *to);
void ratio_print(const struct ratio_result *r, FILE *to);
void ratio_print_json(const struct ratio_result *results, size_t count,
                      const struct ratio_settings *settings, FILE *to);

#endif
