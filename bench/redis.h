// A Redis of its own beside the engine: the same reservation as a Lua script, every write synced
// before it is answered, 16 requests pipelined on each of 50 connections by Redis's own benchmark.
#ifndef HOLDFAST_BENCH_REDIS_H
#define HOLDFAST_BENCH_REDIS_H

#include "base/status.h"

#include <sys/types.h>

struct redis {
    pid_t pid;
    char folder[256], socket[300], script[64];
};

enum hf_status redis_start(struct redis *r, const char *parent); // HF_NOT_FOUND: not installed
// About so many seconds. *rate in thousands a second.
enum hf_status redis_reserve(struct redis *r, double seconds, double *rate);
void redis_stop(struct redis *r);

#endif
