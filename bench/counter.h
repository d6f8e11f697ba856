// Counts allocations: the program's malloc and its kin are replaced by ones that count for the
// calling thread and then do what the C library does.
#ifndef HOLDFAST_BENCH_COUNTER_H
#define HOLDFAST_BENCH_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

// Allocations of the calling thread so far: malloc, calloc, realloc, aligned_alloc,
// posix_memalign, memalign.
uint64_t counter_allocations(void);
// False in builds whose sanitizer owns malloc: nothing is counted.
bool counter_works(void);

#endif
