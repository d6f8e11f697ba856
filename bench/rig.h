// An engine in this process with the threads that it needs, and a load for it: what the rows of the
// ratio table and the micro-benchmarks of engine/core stand on.
//
// Stated once, for every row: id window 10 s, skew 1 s (both also the least the engine may shrink
// to), explicit or transparent huge pages when there are any, the live memory touched beforehand,
// data in a folder of its own. The threads beside the load are those of api/daemon/node.h: writer,
// timers, keeper (segments, checkpoints), archive and watchdog.
#ifndef HOLDFAST_BENCH_RIG_H
#define HOLDFAST_BENCH_RIG_H

#include "core/core.h"

#include <time.h>

#define RIG_BATCH     32
#define RIG_LINES     19 // the mean basket
#define RIG_WINDOW_MS 10000
#define RIG_SKEW_MS   1000
#define RIG_STOCK     (INT64_C(1) << 40) // of each cell, unless a row says otherwise

struct rig_options {
    const char *parent; // folder in which the rig makes, and removes, its own
    const char *folder; // or one that stays: not removed
    uint32_t cells, ids_max, blocks_max, workers_max;
    uint32_t empty_from; // cells from this handle on get no stock; 0: none of them
    int64_t stock;       // of each other cell
    enum journal_mode mode;
    bool background; // archive, and checkpoints as often as the engine wants them
    bool by_hand;    // no threads at all: the caller steps
    bool lazy;       // memory is touched as it comes
    uint32_t segments_max, segments_ready, group_bytes_max, buffers; // 0: the engine's defaults
    uint64_t checkpoint_bytes;
    uint32_t checkpoint_ms;
    uint32_t window_ms;            // 0: RIG_WINDOW_MS
    void (*on_durable)(void *ctx); // see daemon/node.h; may be NULL
};

// The archive's thread counts with the keeper's.
enum rig_thread { RIG_WRITER, RIG_TIMERS, RIG_KEEPER, RIG_THREADS, RIG_CLOCKS = RIG_THREADS + 1 };

struct node;
struct rig {
    struct rig_options options;
    char folder[256];
    struct node *node;       // NULL: by hand
    struct storage *storage; // by hand
    struct core *core;
    struct core_report report;
    struct core_worker *worker; // of the thread that made the rig
    clockid_t clocks[RIG_CLOCKS];
    uint32_t clock_count;
    uint64_t cells_ns; // spent on making cells
};

// Opens or makes the engine, starts its threads, makes and fills the cells that are missing.
enum hf_status rig_start(struct rig *r, const struct rig_options *o) HF_CHECKED;
// Safe after a failed start. Removes the folder if the rig made it.
void rig_stop(struct rig *r);
// Any thread.
bool rig_failed(const struct rig *r);
// Removes a folder and the engine's files in it.
void rig_wipe(const char *folder);
// Waits until everything that was appended is written. False: the engine stopped.
bool rig_settle(struct rig *r);
// Does by hand what the threads would do, until there is nothing to do. False: a step failed.
bool rig_steps(struct rig *r);

// CPU time of the calling thread and of the engine's.
struct rig_cpu {
    uint64_t self_ns, of_ns[RIG_THREADS];
};
void rig_cpu(const struct rig *r, struct rig_cpu *out);
uint64_t rig_self_cpu_ns(void);

uint64_t rig_ns(void);
void rig_sleep_us(uint32_t us);

#endif
