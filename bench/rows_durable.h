// Rows that stand on the disk: durable orders a second, and how long one waits at half of that.
#ifndef HOLDFAST_BENCH_ROWS_DURABLE_H
#define HOLDFAST_BENCH_ROWS_DURABLE_H

#include "ratio.h"

enum hf_status durable_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status durable_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void durable_tear_down(void *ctx);
enum hf_status latency_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status latency_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void latency_tear_down(void *ctx);

#endif
