// hotrow: one SKU that everybody wants, against PostgreSQL updating its row.
#ifndef HOLDFAST_BENCH_ROWS_HOTROW_H
#define HOLDFAST_BENCH_ROWS_HOTROW_H

#include "ratio.h"

enum hf_status hotrow_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status hotrow_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void hotrow_tear_down(void *ctx);

#endif
