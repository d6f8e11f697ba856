// What programs need that kill their own engine: a process for it, memory that survives it, and a
// record of latencies.
//
// The parent opens no engine. It forks a child that does, ends it with SIGKILL at a moment of its
// choice, and forks the next. What the clients were told lies in shared memory, out of the
// engine's reach, and is what the engine is held to afterwards.
#ifndef HOLDFAST_API_REHEARSAL_H
#define HOLDFAST_API_REHEARSAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ------------------------------------------------------------------------------- randomness

// splitmix64. The same seed, the same numbers.
struct rehearsal_random {
    uint64_t state;
};
uint64_t rehearsal_next(struct rehearsal_random *r);
uint32_t rehearsal_below(struct rehearsal_random *r, uint32_t bound); // 0 when bound is 0

// ------------------------------------------------------------------------------- processes

// Zeroed memory that children share; touched as it fills. NULL when there is none.
void *rehearsal_share(size_t bytes);
void rehearsal_unshare(void *memory, size_t bytes);

// Runs `run` in a child that ends with the parent, and with run's result as exit status. Call
// while the parent has one thread. -1: no process could be had.
pid_t rehearsal_fork(int (*run)(void *ctx), void *ctx);
// True when the child is still running; else *status is its exit status, 128 + signal when killed.
bool rehearsal_running(pid_t child, int *status);
int rehearsal_join(pid_t child);  // the exit status, as above
void rehearsal_kill(pid_t child); // SIGKILL, and waits until it is gone
void rehearsal_sleep_ms(uint32_t ms);

// A folder of its own below $TMPDIR or /tmp; false when there is none. remove takes the files in
// it and the folder, and does not look below.
bool rehearsal_folder_make(const char *prefix, char *path, size_t bytes);
void rehearsal_folder_remove(const char *path);

// ------------------------------------------------------------------------------- latencies

// Log-linear: 32 steps for each power of two of nanoseconds, so about 3% exact. One writer.
#define REHEARSAL_STEPS   32
#define REHEARSAL_BUCKETS (40 * REHEARSAL_STEPS)
struct rehearsal_latency {
    uint64_t counts[REHEARSAL_BUCKETS];
};
void rehearsal_note(struct rehearsal_latency *l, uint64_t ns, uint64_t count);
void rehearsal_merge(struct rehearsal_latency *to, const struct rehearsal_latency *from);
// Nanoseconds below which `share` (0..1) of the notes lie; 0 when there is none.
uint64_t rehearsal_quantile(const struct rehearsal_latency *l, double share);

// 1234567 as "1,234,567" into one of eight static texts that are used in turn; one thread.
const char *rehearsal_grouped(uint64_t n);

#endif
