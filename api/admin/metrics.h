// Writes Prometheus' text format (version 0.0.4): families of counters, gauges and histograms.
//
// A name ends in its unit: seconds, bytes, total for counters, or what is counted (ids, cells).
// Times are handed in as integers and told in seconds. One thread at a time; the text grows up to a
// bound.
#ifndef HOLDFAST_API_METRICS_H
#define HOLDFAST_API_METRICS_H

#include "base/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_BYTES_MAX  (4u << 20)
#define METRICS_LABELS_MAX 4

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };
enum metrics_unit { METRICS_PLAIN, METRICS_NS, METRICS_MS }; // of the integer; told in seconds

struct metrics {
    char *text; // not terminated; the caller frees it
    size_t bytes, room;
    bool failed; // no memory, or beyond METRICS_BYTES_MAX: the text is not whole
};

struct metrics_label {
    const char *name;
    const char *value; // any text; NULL ends a list of labels
};

// HELP and TYPE of the family that the values below belong to.
void metrics_family(struct metrics *m, enum metrics_type type, const char *name, const char *help);
// labels: NULL, or up to METRICS_LABELS_MAX and a {NULL, NULL} behind them.
void metrics_value(struct metrics *m, const char *name, const struct metrics_label *labels,
                   enum metrics_unit unit, uint64_t value);
// Buckets from 10 us to 10 s in steps of about 2.5, sum and count, in seconds. A value counts for a
// bound when it is surely not above it: 3% below the bound it may still count for the next one.
void metrics_histogram(struct metrics *m, const char *name, const struct metrics_label *labels,
                       const struct hf_histogram *h);

struct metrics_row {
    enum metrics_type type; // counter or gauge
    enum metrics_unit unit;
    const char *name;
    uint64_t value;
    const char *help;
};
// Families of one value each, without labels.
void metrics_rows(struct metrics *m, const struct metrics_row *rows, size_t count);

#endif
