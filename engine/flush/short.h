// Cells that have less than nothing available: noticed, told, and by policy relieved of their
// newest holds.
#ifndef HOLDFAST_FLUSH_SHORT_H
#define HOLDFAST_FLUSH_SHORT_H

#include "core/core.h"

enum short_policy {
    SHORT_KEEP,    // people decide
    SHORT_RELEASE, // the newest holds are given back until nothing is short, as far as holds reach
};

struct short_watch {
    struct core *core; // borrowed
    enum short_policy policy;
    bool *is; // by handle: it was short at the last look
    uint32_t room;
    uint64_t cells, released; // short now; holds given back since the start
};

// One thread. HF_AGAIN: no memory now.
enum hf_status short_look(struct short_watch *s, struct core_worker *w);
void short_fini(struct short_watch *s);

#endif
