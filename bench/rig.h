// An engine in this process with the threads that it needs, and a load for it: what the rows of the
// ratio table and the micro-benchmarks of engine/core stand on.
//
// Stated once, for every row: id window 10 s, skew 1 s (both also the least the engine may shrink
// to), explicit or transparent huge pages when there are any, data in a folder of its own. The rig
// runs four threads beside the load: the writer; the timers, every millisecond; segments and
// checkpoints; the archive.
#ifndef HOLDFAST_BENCH_RIG_H
#define HOLDFAST_BENCH_RIG_H

#include "core/core.h"

#include <pthread.h>
#include <stdatomic.h>

#define RIG_BATCH     32
#define RIG_LINES     19 // the mean basket
#define RIG_WINDOW_MS 10000
#define RIG_SKEW_MS   1000
#define RIG_STOCK     (INT64_C(1) << 40) // of each cell, unless a row says otherwise

struct rig_options {
    const char *parent; // folder in which the rig makes, and removes, its own
    const char *folder; // or one that stays: not removed
    uint32_t cells, ids_max, blocks_max, workers_max;
    int64_t stock; // of each cell
    enum journal_mode mode;
    bool background;    // checkpoints and archive
    bool by_hand;       // no threads at all: the caller steps
    uint32_t segments_max;
    uint64_t checkpoint_bytes; // 0: the engine's default
    uint32_t window_ms;        // 0: RIG_WINDOW_MS
    struct clock *clock;       // NULL: the system's
};

enum rig_thread { RIG_WRITER, RIG_TIMERS, RIG_CHECKPOINTS, RIG_ARCHIVE, RIG_THREADS };

struct rig {
    struct rig_options options;
    char folder[256];
    struct storage *storage;
    struct core *core;
    struct core_report report;
    struct core_worker *worker; // of the thread that made the rig
    pthread_t threads[RIG_THREADS];
    uint32_t running; // bit mask
    _Atomic bool stop;
    _Atomic uint32_t failed; // enum hf_status of a step
};

// Opens or makes the engine, starts its threads, makes and fills the cells that are missing.
enum hf_status rig_start(struct rig *r, const struct rig_options *o) HF_CHECKED;
// Safe after a failed start. Removes the folder if the rig made it.
void rig_stop(struct rig *r);
// Removes a folder and the engine's files in it.
void rig_wipe(const char *folder);
// Waits until everything that was appended is written. False: the engine stopped.
bool rig_settle(struct rig *r);
uint64_t rig_ns(void);
void rig_sleep_us(uint32_t us);

#endif
