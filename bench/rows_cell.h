// Rows that need no disk to speak of: single-line holds and baskets in process.
#ifndef HOLDFAST_BENCH_ROWS_CELL_H
#define HOLDFAST_BENCH_ROWS_CELL_H

#include "ratio.h"

enum hf_status cell_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status cell_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
enum hf_status basket_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status basket_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void cell_tear_down(void *ctx); // of both

#endif
