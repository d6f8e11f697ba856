// A schedule explorer: code with yield points, run by fibers of which one runs at a time.
//
// The engine is built with HF_YIELD_HOOK: before every shared access of its lock-free parts it
// calls hf_yield_hook, and there the schedule says who goes on. A schedule follows from a seed
// (random; or PCT: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of
// Finding Bugs", ASPLOS 2010), or all schedules with at most so many preemptions are gone through
// (Musuvathi, Qadeer, "Iterative Context Bounding", PLDI 2007). A fiber can be frozen for ever at
// any of its yield points. The same choices give the same run: nothing else decides.
//
// Accesses happen in one order that all fibers see: what a processor may reorder is not explored
// here (tests/torture under ThreadSanitizer looks at that).
#ifndef HOLDFAST_TESTS_EXPLORE_H
#define HOLDFAST_TESTS_EXPLORE_H

#include "base/prng.h"

#include <stdbool.h>
#include <stdint.h>

#define EXPLORE_FIBERS_MAX  8
#define EXPLORE_FREEZES_MAX 2

enum explore_policy {
    EXPLORE_RANDOM, // a switch by chance at each point
    EXPLORE_PCT,    // the highest priority runs; a few points lower it
    EXPLORE_ALL,    // the next schedule of explore_all_next
    EXPLORE_SCRIPT, // the segments one after the other, then whoever can go on
};

// A fiber runs for so many points, or (0) to the end of the operation that it is in or comes to:
// what lies between two calls of explore_time.
struct explore_segment {
    uint32_t fiber, points;
};

struct explore_schedule {
    enum explore_policy policy;
    uint64_t seed;
    uint64_t expected;                      // points of such a run, about; EXPLORE_PCT
    const struct explore_segment *segments; // EXPLORE_SCRIPT
    uint32_t segment_count;
    struct {
        uint32_t fiber; // + 1; 0: none
        uint64_t point; // its point of this number, from 1
    } freezes[EXPLORE_FREEZES_MAX];
};

// What a run came to.
struct explore_run {
    uint64_t points;                        // of all fibers
    uint64_t points_of[EXPLORE_FIBERS_MAX]; // of each
    uint32_t switches;
    uint32_t frozen; // how many stood at their point when the others had ended
    bool stalled;    // and somebody still waits for a grace period that they hold up
};

// Runs `count` bodies to their end: first all but the frozen ones, then `frozen` is called (may be
// NULL), then the rest. A run of over points_max points makes no progress: it fails.
typedef void (*explore_body)(void *ctx, uint32_t fiber);
void explore_go(const struct explore_schedule *s, uint32_t count, explore_body body,
                void (*frozen)(void *ctx), void *ctx, struct explore_run *out);
void explore_points_max(uint64_t points);

// All schedules with at most `preemptions` switches away from a fiber that could go on.
void explore_all_begin(uint32_t preemptions);
bool explore_all_next(void); // after a run; false: that was the last

// ------------------------------------------------------------------------------- in a body
// Waits until ready(ctx) is true. Points of other fibers only.
void explore_wait(bool (*ready)(void *ctx), void *ctx);
uint32_t explore_self(void); // the running fiber; UINT32_MAX: none
// A count that rises with every call: real time, for histories.
// Called before and after each operation of a body.
uint64_t explore_time(void);

// Prints what was being run and ends the process with status 1.
_Noreturn void explore_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define explore_check(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition))                                                                          \
            explore_fail(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)
// Called first by explore_fail, and when an assertion of the engine aborts.
void explore_on_failure(void (*tell)(void));

#endif
