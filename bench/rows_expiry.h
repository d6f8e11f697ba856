#ifndef HOLDFAST_BENCH_ROWS_EXPIRY_H
#define HOLDFAST_BENCH_ROWS_EXPIRY_H

#include "ratio.h"

enum hf_status expiry_set_up(const struct ratio_settings *settings, void **ctx);
enum hf_status expiry_measure(void *ctx, struct ratio_sample *out);
void expiry_tear_down(void *ctx);

#endif
