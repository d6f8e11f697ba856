// Where other threads ask the flusher, which belongs to one thread: the work that they hand in runs
// between two of its steps, in its thread. Who owns that thread implements the desk.
#ifndef HOLDFAST_FLUSH_DESK_H
#define HOLDFAST_FLUSH_DESK_H

#include "flush/flush.h"

// `w` is a worker of the flusher's thread. Short: no call to Odoo.
typedef void (*flush_desk_work)(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx);

struct flush_desk {
    // Blocks until the work is done: HF_OK. HF_AGAIN: it was not begun within timeout_ms, because a
    // call to Odoo takes its time, and never will be. HF_STOPPED: the flusher has ended.
    enum hf_status (*ask)(struct flush_desk *d, flush_desk_work work, void *ctx,
                          uint32_t timeout_ms);
    // Any thread, at once.
    void (*metrics)(struct flush_desk *d, struct flush_metrics *out);
};

#endif
