// Rows that stand on the disk: durable orders a second, and how long one waits at half of that.
#ifndef HOLDFAST_BENCH_ROWS_DURABLE_H
#define HOLDFAST_BENCH_ROWS_DURABLE_H

#include "ratio.h"
#include "rig.h"

#define DURABLE_WARM_SECONDS 13 // longer than id window and skew: ids are forgotten as they come
#define DURABLE_LONG         4  // times as long a repetition as other rows'

// The engine of `durable`: synced, with checkpointer and archive; rig_stop after a failure, too.
enum hf_status durable_engine_start(struct rig *rig, const struct ratio_settings *settings,
                                    uint32_t cells) HF_CHECKED;

enum hf_status durable_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status durable_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void durable_tear_down(void *ctx);
enum hf_status latency_set_up(const struct ratio_settings *settings, void **ctx) HF_CHECKED;
enum hf_status latency_measure(void *ctx, struct ratio_sample *out) HF_CHECKED;
void latency_tear_down(void *ctx);

#endif
