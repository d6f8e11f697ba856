// Micro-benchmarks in C over Google Benchmark: its statistics, flags and output formats.
//
//     static void crc(struct bench_state *s)
//     {
//         set up;
//         while (bench_next(s, 100))
//             do it 100 times;
//         bench_bytes(s, bytes of all of them);
//     }
//
// Registration is by explicit calls from bench/main.c, one function a module.
#ifndef HOLDFAST_BENCH_HARNESS_H
#define HOLDFAST_BENCH_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_state; // the harness's; valid inside the run function, one thread

typedef void (*bench_run)(struct bench_state *s);

// What registration may ask for; zeroes mean: no arguments, one thread, wall time as measured.
struct bench_options {
    const int64_t *args; // one variant a value, told by bench_arg
    unsigned arg_count;
    unsigned threads; // runs `run` in so many threads at once
};

// Set-up, one thread. name lives on; options may be NULL.
void bench_register(const char *name, bench_run run, const struct bench_options *options);

// True: do `batch` more repetitions, timed. The first call starts the clock, the last stops it.
bool bench_next(struct bench_state *s, uint64_t batch);
// The clock stands still between the two. Costs some hundred ns: outside of tight loops.
void bench_pause(struct bench_state *s);
void bench_resume(struct bench_state *s);

int64_t bench_arg(const struct bench_state *s);
unsigned bench_thread(const struct bench_state *s); // 0 .. threads - 1
// Repetitions so far.
uint64_t bench_iterations(const struct bench_state *s);

// After the loop: totals, from which rates are told.
void bench_items(struct bench_state *s, uint64_t items);
void bench_bytes(struct bench_state *s, uint64_t bytes);
void bench_counter(struct bench_state *s, const char *name, double value);
// Before the loop: this variant cannot run here. Return right after it.
void bench_skip(struct bench_state *s, const char *why);

// Keeps the compiler from dropping what made the value.
static inline void bench_use(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

// Parses Google Benchmark's flags and runs what was registered. Returns the exit code.
int bench_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
