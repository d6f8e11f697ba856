// Rows about starting again over a folder that a killed process left.
#ifndef HOLDFAST_BENCH_ROWS_RESTART_H
#define HOLDFAST_BENCH_ROWS_RESTART_H

#include "ratio.h"

enum hf_status restart_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status restart_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
enum hf_status replay_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status replay_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void restart_tear_down(void *ctx); // of both

#endif
