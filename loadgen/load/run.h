// A whole run: set-up, threads, audit, report.
#ifndef HOLDFAST_LOADGEN_RUN_H
#define HOLDFAST_LOADGEN_RUN_H

#include "load/options.h"

#include <stdatomic.h>

// Blocking. `stop` counts the user's interruptions: 1 ends the load, 2 the audit's patience.
enum options_exit run(const struct options *o, const _Atomic int *stop);

#endif
