// Rows about the paths through a decision: sold out, no allocation, one hot SKU.
#ifndef HOLDFAST_BENCH_ROWS_PATH_H
#define HOLDFAST_BENCH_ROWS_PATH_H

#include "ratio.h"

enum hf_status soldout_one_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status soldout_basket_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status soldout_hot_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status soldout_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
enum hf_status malloc_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status malloc_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
enum hf_status hot_one_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status hot_two_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status hot_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void path_tear_down(void *ctx); // of all

#endif
