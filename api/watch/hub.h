// What stock watchers look at: each cell's available as of a known LSN, out of the durable journal.
//
//   core_open --> watch_hub_create --> following --(watch_hub_step fails)--> ended
//
// One thread steps; any thread reads. Watchers cost the journal's side nothing: they find what has
// changed by its LSN, so a slow one has no queue, only a place to go on from.
//
// Falling behind. The hub tells core_follow how far it is, which keeps the segments that it has not
// read yet, up to a bound. Beyond that it has lost its place: watch_hub_step answers HF_NOT_FOUND,
// watch_hub_status keeps it, and every watcher is woken to be told. Decisions are not concerned;
// a restart makes a new hub.
#ifndef HOLDFAST_WATCH_HUB_H
#define HOLDFAST_WATCH_HUB_H

#include "core/core.h"

#include <stdbool.h>
#include <stdint.h>

struct watch_hub;

struct watch_hub_options {
    struct core *core;   // borrowed; outlives the hub
    struct clock *clock; // borrowed
    uint32_t cells_max;  // core's
    bool huge_pages;     // try
};

// After core_open and before anything is appended: the cells are as recovery left them. Set-up.
// HF_BUSY: something has been appended already; HF_NO_MEMORY.
enum hf_status watch_hub_create(const struct watch_hub_options *o,
                                struct watch_hub **out) HF_CHECKED;
void watch_hub_destroy(struct watch_hub *h); // no watcher left, no step under way
// Reserved: 16 bytes a cell, and 24 more where safety stock, backorder limit or external demand is
// set (pages that were never written cost nothing).
uint64_t watch_hub_bytes(const struct watch_hub *h);

// ------------------------------------------------------------------------------- its thread
// Applies a bounded piece of the journal, wakes watchers that are due. HF_OK: did something;
// HF_AGAIN: nothing more is durable. HF_NOT_FOUND: fell behind; HF_DAMAGED, HF_IO, HF_NO_MEMORY.
// Those are final. Blocking (reads files).
enum hf_status watch_hub_step(struct watch_hub *h);
// Sleeps until more is durable, a watcher is due, or timeout_ms.
void watch_hub_wait(struct watch_hub *h, uint32_t timeout_ms);

// ------------------------------------------------------------------------------- reading
// Any thread, wait-free.
struct watch_value {
    int64_t available;
    uint64_t lsn; // of the last record that changed it or, unchanged since the start, where
                  // recovery ended; never falls
};
uint64_t watch_hub_lsn(const struct watch_hub *h); // everything up to it is applied
enum hf_status watch_hub_status(const struct watch_hub *h);
uint32_t watch_hub_cells(const struct watch_hub *h); // handles below it are known
// handle < watch_hub_cells.
struct watch_value watch_hub_read(const struct watch_hub *h, uint32_t handle);
// The first cell from *from on, below `end`, whose last change has an LSN above `after`; `end` when
// there is none. *from is that cell. Each step looks at a cell, or at 64 or 4,096 at once, and
// takes one of *looks: when they are used up the result is UINT32_MAX and *from is where to go on.
// end <= watch_hub_cells.
uint32_t watch_hub_next(const struct watch_hub *h, uint32_t *from, uint32_t end, uint64_t after,
                        uint32_t *looks);
// Cells with available below zero.
uint32_t watch_hub_short(const struct watch_hub *h);

// ------------------------------------------------------------------------------- watchers
// Whoever scans for changes: takes S = watch_hub_lsn, then tells the cells that changed after the S
// of the scan before. A cell that changes behind the scan has a larger LSN than S and is found by
// the next one.
struct watch_watcher {
    // By the owner, before watch_hub_add.
    void (*wake)(void *ctx); // in the hub's thread, with its lock held: must not call the hub
    void *ctx;
    uint32_t interval_ms; // between wakes
    // By the owner, in the scan's thread; atomic.
    uint64_t seen; // S of the last scan that was begun
    uint32_t busy; // 1: a scan is under way: do not wake
    // The hub's.
    uint64_t due_ns;
    struct watch_watcher *next, **link;
};
// Adds unless there are `max` already: false. It is woken when it is not busy, its interval has
// passed and watch_hub_lsn is above `seen`; and once when the hub ends. Any thread; blocks briefly.
bool watch_hub_add(struct watch_hub *h, struct watch_watcher *w, uint32_t max);
// No wake is under way or will come when it returns. Any thread; blocks briefly.
void watch_hub_remove(struct watch_hub *h, struct watch_watcher *w);
uint32_t watch_hub_watchers(const struct watch_hub *h);

#endif
