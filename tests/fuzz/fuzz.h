// What a fuzz target supplies, and what it may call. One target a program; fuzz_main.c has the
// entry points of libFuzzer, and two arguments of its own:
//
//   --write-seeds=FOLDER  writes the corpus to begin with, one file a seed, and ends
//   --write-words=FILE    writes the dictionary, and ends
//
// A target keeps nothing from one input to the next, so that every input can be replayed alone.
// What must never happen is an HF_ASSERT, in the target as in the code under test.
#ifndef HOLDFAST_TESTS_FUZZ_H
#define HOLDFAST_TESTS_FUZZ_H

#include "base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// ------------------------------------------------------------------------ by the target
void fuzz_set_up(void); // once, before anything else
void fuzz_seeds(void);  // hands every seed to fuzz_seed and every word to fuzz_word
void fuzz_one(const uint8_t *data, size_t bytes);

// ------------------------------------------------------------------------ for fuzz_seeds
void fuzz_seed(const char *name, const void *data, size_t bytes);
void fuzz_seed_text(const char *name, const char *text);
void fuzz_word(const char *text); // printable, without quotes

// ------------------------------------------------------------------------ reading an input
// Past its end an input reads as zeros.
struct fuzz_input {
    const uint8_t *at, *end;
};

static inline size_t fuzz_left(const struct fuzz_input *in)
{
    return (size_t)(in->end - in->at);
}
static inline uint8_t fuzz_byte(struct fuzz_input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}
uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes); // little-endian
// At most `bytes` of what is left; *got says how many. Not copied.
const uint8_t *fuzz_take(struct fuzz_input *in, size_t bytes, size_t *got);
// A copy on the heap, terminated and of exactly that size, so that a read past it is seen.
char *fuzz_text(const void *data, size_t bytes);

#endif
