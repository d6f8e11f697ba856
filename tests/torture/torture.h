// What the torture programs share: arguments, seeded randomness, yields, and stopping a thread at
// an exact point.
//
// The engine is built again here with HF_YIELD_HOOK: every shared access of its lock-free parts
// calls hf_yield_hook, which by a seeded generator of the thread's own does nothing, gives the
// processor away or sleeps for a moment. The seed is printed first; it repeats the choices of every
// thread, though not the machine's own scheduling.
#ifndef HOLDFAST_TESTS_TORTURE_H
#define HOLDFAST_TESTS_TORTURE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// Arguments: --seconds S, --seed N. Prints the seed. Once, in the main thread. A run that takes a
// minute longer than it was given is stuck: it says where and ends.
void torture_begin(const char *name, int argc, char **argv);
bool torture_time_left(void);      // any thread
double torture_share(double part); // of the seconds given, as a deadline for torture_before
bool torture_before(double deadline_s);
void torture_end(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Said by the watchdog when the run is stuck. Static text and two numbers.
void torture_at(const char *where, uint64_t a, uint64_t b);

_Noreturn void torture_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define torture_check(condition, ...)                                                              \
    do {                                                                                           \
        if (!(condition))                                                                          \
            torture_fail(__FILE__, __LINE__, __VA_ARGS__);                                         \
    } while (0)

// Makes the calling thread number `index`: seeds its generator. Yields begin with it.
void torture_thread(uint32_t index);
uint64_t torture_random(void); // the calling thread's own
static inline uint64_t torture_below(uint64_t n)
{
    return torture_random() % n;
}
// How many in 4096 shared accesses give the processor away; default 24. Before the threads start.
void torture_yields(uint32_t in_4096);

// Runs `count` threads with numbers 0 .. count-1 and waits for them.
#define TORTURE_THREADS_MAX 16
void torture_run(uint32_t count, void (*body)(void *ctx, uint32_t index), void *ctx);

// ------------------------------------------------------------------- stopping a thread for good
// A thread of which one shared access, counted from the start of its body, does not happen until
// it is let go.
struct torture_frozen {
    pthread_t thread;
    void (*body)(void *ctx);
    void *ctx;
    uint32_t index;
    uint64_t stop_at;   // 1: before its first shared access; 0: never
    sem_t stopped, go;  // stopped: it stands there, or its body has ended
    _Atomic bool ended; // the body has returned
};
// Starts it and waits until it stands or has ended. True: it stands.
bool torture_freeze(struct torture_frozen *f, uint32_t index, uint64_t stop_at,
                    void (*body)(void *ctx), void *ctx);
// Lets it go to a later stop: `more` shared accesses on. True: it stands again.
bool torture_thaw_until(struct torture_frozen *f, uint64_t more);
// Lets it go and waits for its end.
void torture_thaw(struct torture_frozen *f);

#endif
