// What the explorer explores: one lock-free part each, with programs drawn from a seed, small ones
// that are gone through in every order, and a judge.
#ifndef HOLDFAST_TESTS_INTERLEAVE_H
#define HOLDFAST_TESTS_INTERLEAVE_H

#include "explore/explore.h"

// A program with the segments in which its fibers run. `points` of a segment that varies is the
// most that is tried: from 1 up, together with all the others that vary.
#define SCRIPT_SEGMENTS_MAX 12
struct script {
    uint32_t program; // as make's `small`
    uint32_t count;
    struct explore_segment segments[SCRIPT_SEGMENTS_MAX];
    uint32_t vary; // bits: the segments
};

struct subject {
    const char *name, *help;
    uint32_t rounds;      // programs that a seed runs, one after the other, on one world
    uint32_t small_count; // programs that are gone through in every order
    const struct script *scripts;
    uint32_t script_count;
    bool pairs;         // of frozen fibers too: all may be frozen
    uint32_t freezable; // bits: fibers that may be frozen (the others may wait for them)
    // A fresh world for a seed or a small program, and its end.
    void (*begin)(struct prng *p);
    void (*end)(void);
    // Makes the next program: drawn from p, or the small one of this number (from 1). Returns how
    // many fibers it has.
    uint32_t (*make)(struct prng *p, uint32_t small);
    explore_body body;                            // ctx is NULL
    void (*frozen)(void *ctx);                    // the others have ended; may be NULL
    void (*judge)(const struct explore_run *run); // all have ended
    const char *(*tell)(void); // a count that shows what was met, for the last line
};

extern const struct subject subject_cells, subject_pool, subject_wheel, subject_index,
    subject_stack, subject_ends, subject_floor, subject_orders, subject_mixed;

#endif
