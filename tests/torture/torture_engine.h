// An engine on real files in a folder of its own, for the torture programs. Main thread.
#ifndef HOLDFAST_TESTS_TORTURE_ENGINE_H
#define HOLDFAST_TESTS_TORTURE_ENGINE_H

#include "core/core.h"

struct engine {
    struct core_options options; // storage, clock and fresh_id are filled in
    struct core *core;
    char folder[64];
};

// Small defaults, and the folder.
void engine_init(struct engine *e);
void engine_open(struct engine *e);
void engine_close(struct engine *e);
void engine_remove(struct engine *e); // the folder
// A cell with stock on hand, through the worker. Its handle.
uint32_t engine_cell(struct engine *e, struct core_worker *w, uint32_t number, int64_t on_hand);

#endif
