// Rows over gRPC: calls against the emptiest echo, batches on streams against Redis.
#ifndef HOLDFAST_BENCH_ROWS_RPC_H
#define HOLDFAST_BENCH_ROWS_RPC_H

#include "ratio.h"

enum hf_status unary_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status unary_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
enum hf_status unary_cpu_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void unary_tear_down(void *ctx);
// HF_NOT_FOUND without redis-server.
enum hf_status stream_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status stream_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void stream_tear_down(void *ctx);

#endif
