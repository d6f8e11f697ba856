// The torture of a whole engine, in three parts: what is asked (plans), who asks (work), and the
// engine with its threads, opened again and again on one folder (main).
#ifndef HOLDFAST_TESTS_TORTURE_CORE_H
#define HOLDFAST_TESTS_TORTURE_CORE_H

#include "core/core_internal.h"
#include "torture/torture.h"

#define WORKERS   3
#define CELLS     24
#define STRICT    16 // cells below this see no facts and no lowering by administrators
#define PLANS_MAX 400000
#define LINES     40
#define BATCH     24
#define WINDOW_MS 1500

// A request that any thread may make at any time, all with the same id and body: what it asks
// follows from its number.
struct plan {
    _Atomic uint64_t ms;  // of its id; 0: nobody has asked yet
    _Atomic uint8_t done; // fresh decisions, which must not pass one
    _Atomic uint8_t refused;
    _Atomic uint8_t ended; // commits and releases that were fresh
};

struct tally { // what one worker was told
    int64_t on_hand[CELLS], committed[CELLS];
    uint64_t done, refused, repeats, busy, progress, late, ended, expired, recalled, changed;
};

struct run {
    struct core *core;
    uint64_t salt;
    double deadline;
    _Atomic uint64_t next;
    struct plan *plans;
    struct tally tallies[WORKERS];
    _Atomic uint64_t random_ids;
};

struct asking { // one batch
    struct core_request requests[BATCH];
    struct core_answer answers[BATCH];
    struct core_line lines[BATCH][LINES];
    struct core_line_answer line_answers[BATCH][LINES];
    uint64_t plan[BATCH];
};

// ------------------------------------------------------------------- torture_core_plan.c
// The taking request of plan n, and the request that ends its hold (`ending`).
void plan_take(struct run *r, uint64_t n, uint64_t now_ms, struct core_request *out,
               struct core_line *lines, struct core_line_answer *line_answers);
void plan_end(struct run *r, uint64_t n, enum core_verb ending, struct core_request *out);
bool plan_is_hold(const struct run *r, uint64_t n);
// What an answer to either means for the tallies, and whether it may be.
void plan_told(struct run *r, struct tally *t, uint64_t n, const struct core_request *request,
               const struct core_answer *a);
uint32_t lines_random(struct core_line *lines, uint32_t most, bool loose);
struct hf_uuid id_random(struct run *r);

// ------------------------------------------------------------------- torture_core_work.c
void work(struct run *r, uint32_t self);          // one of WORKERS
void watch(struct run *r, struct core_worker *w); // a reader
// Asks until the answer is neither BUSY nor IN_PROGRESS; recalls lines when told to.
void ask(struct run *r, struct core_worker *w, const struct core_request *request,
         struct core_answer *a);

#endif
