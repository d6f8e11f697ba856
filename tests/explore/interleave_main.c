// holdfast-interleave [--seeds N | --seconds S] [--seed FIRST] [--only SUBJECT] [--all PREEMPTIONS]
//                     [--no-small] [--list]
//
// For each subject: every seed is a world with a few programs, each run under a schedule that the
// seed draws (random, PCT, or with a fiber frozen for ever at one of its points). Then the small
// programs: all schedules with at most PREEMPTIONS preemptions (default 2), and each fiber frozen
// at each of its points in turn (P6). Prints SUBJECT and SEED of what fails: --only SUBJECT --seed
// SEED tells it again. Exit status 0 only when all held.
#include "explore/interleave.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const struct subject *const subjects[] = {
    &subject_cells, &subject_pool,  &subject_wheel,  &subject_index, &subject_stack,
    &subject_ends,  &subject_floor, &subject_orders, &subject_mixed,
};
#define SUBJECTS (sizeof subjects / sizeof *subjects)

static struct {
    const struct subject *subject;
    uint64_t seed;
    uint32_t round, small;
    struct explore_schedule schedule;
    bool trial; // a schedule is being tried
} at;

struct counts {
    uint64_t runs, points, switches, froze, stalled, orders, scripted;
};

struct arguments {
    uint64_t first, seeds, preemptions;
    double seconds;
    const char *only;
    int no_small, list;
};

static void tell(void)
{
    static const char *const policies[] = {"random", "PCT", "all orders", "a script:"};
    printf("SUBJECT=%s SEED=%lu", at.subject->name, at.seed);
    if (at.small)
        printf(" small program %u", at.small);
    else
        printf(" program %u", at.round);
    printf(", %s", policies[at.schedule.policy]);
    for (uint32_t i = 0; i < at.schedule.segment_count; i++)
        printf(" %u for %u", at.schedule.segments[i].fiber, at.schedule.segments[i].points);
    for (uint32_t i = 0; i < EXPLORE_FREEZES_MAX; i++)
        if (at.schedule.freezes[i].fiber)
            printf(", fiber %u frozen at point %lu", at.schedule.freezes[i].fiber - 1,
                   at.schedule.freezes[i].point);
    printf("\n");
    fflush(stdout);
}

static void run(struct counts *c, uint32_t fibers, struct explore_run *r)
{
    const struct subject *s = at.subject;
    explore_go(&at.schedule, fibers, s->body, s->frozen, NULL, r);
    s->judge(r);
    c->runs++;
    c->points += r->points;
    c->switches += r->switches;
    c->froze += r->frozen > 0;
    c->stalled += r->stalled;
}

static void begin(struct prng *p)
{
    if (at.subject->begin)
        at.subject->begin(p);
}

static void end(void)
{
    if (at.subject->end)
        at.subject->end();
}

static void freeze_draw(struct prng *p, uint32_t fibers, uint64_t points)
{
    uint32_t count = fibers > 2 && prng_below(p, 3) == 0 ? 2 : 1;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t fiber = (uint32_t)prng_below(p, fibers);
        if (!(at.subject->freezable >> fiber & 1))
            continue;
        at.schedule.freezes[i].fiber = fiber + 1;
        at.schedule.freezes[i].point = prng_between(p, 1, 2 * points / fibers + 1);
    }
}

static void seed_run(struct counts *c, uint64_t seed)
{
    uint64_t points = 100; // of a program, about
    struct prng p = {hf_mix64(seed)};
    struct explore_run r;
    at.seed = seed;
    at.small = 0;
    begin(&p);
    for (at.round = 0; at.round < at.subject->rounds; at.round++) {
        struct prng program = prng_fork(&p), choice = prng_fork(&p);
        uint32_t fibers = at.subject->make(&program, 0);
        at.schedule = (struct explore_schedule){
            .policy = prng_below(&choice, 3) ? EXPLORE_RANDOM : EXPLORE_PCT,
            .seed = prng_next(&choice),
            .expected = points,
        };
        if (prng_below(&choice, 3) == 0)
            freeze_draw(&choice, fibers, points);
        run(c, fibers, &r);
        points = r.points;
    }
    end();
}

// One small program, once, under at.schedule.
static void small_run(struct counts *c, struct explore_run *r)
{
    struct prng p = {at.small};
    begin(&p);
    run(c, at.subject->make(&p, at.small), r);
    end();
}

static void all_orders(struct counts *c, uint32_t preemptions)
{
    struct explore_run r;
    at.schedule = (struct explore_schedule){.policy = EXPLORE_ALL};
    explore_all_begin(preemptions);
    do {
        small_run(c, &r);
        c->orders++;
    } while (explore_all_next());
}

// Every fiber frozen at every one of its points, beside others that run in a random order.
static void all_freezes(struct counts *c)
{
    for (uint32_t fiber = 0; fiber < EXPLORE_FIBERS_MAX; fiber++) {
        if (!(at.subject->freezable >> fiber & 1))
            continue;
        for (uint64_t point = 1;; point++) {
            struct explore_run r;
            bool reached = false;
            for (uint64_t seed = 1; seed <= 8; seed++) {
                at.schedule = (struct explore_schedule){.seed = seed,
                                                        .freezes = {{fiber + 1, point}, {0, 0}}};
                small_run(c, &r);
                reached |= r.frozen > 0;
            }
            if (!reached)
                break;
        }
    }
}

// Of three fibers, two frozen: every pair of points.
static void all_pairs(struct counts *c)
{
    for (uint32_t left = 0; left < 3; left++) {
        uint32_t a = (left + 1) % 3, b = (left + 2) % 3;
        bool reached = true;
        for (uint64_t i = 1; reached; i++) {
            struct explore_run r = {.frozen = 2};
            reached = false;
            for (uint64_t k = 1; r.frozen == 2; k++) {
                at.schedule = (struct explore_schedule){.seed = i * 1000 + k,
                                                        .freezes = {{a + 1, i}, {b + 1, k}}};
                small_run(c, &r);
                reached |= r.frozen == 2;
            }
        }
    }
}

static void script_all(struct counts *c, const struct script *s)
{
    struct explore_segment now[SCRIPT_SEGMENTS_MAX];
    memcpy(now, s->segments, sizeof now);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->vary >> i & 1)
            now[i].points = 1;
    at.small = s->program;
    for (uint32_t i = 0; i < s->count;) {
        struct explore_run r;
        at.schedule = (struct explore_schedule){
            .policy = EXPLORE_SCRIPT, .segments = now, .segment_count = s->count};
        small_run(c, &r);
        c->scripted++;
        for (i = 0; i < s->count; i++) { // the next combination
            if (!(s->vary >> i & 1))
                continue;
            if (++now[i].points <= s->segments[i].points)
                break;
            now[i].points = 1;
        }
    }
}

static void smalls(struct counts *c, uint32_t preemptions)
{
    at.seed = 0;
    for (at.small = 1; at.small <= at.subject->small_count; at.small++) {
        all_orders(c, preemptions);
        all_freezes(c);
        if (at.subject->pairs)
            all_pairs(c);
    }
    for (uint32_t i = 0; i < at.subject->script_count; i++)
        script_all(c, &at.subject->scripts[i]);
    at.small = 0;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void subject_run(const struct subject *s, const struct arguments *a, double seconds)
{
    struct counts c = {0};
    double start = now_s();
    at.subject = s;
    for (uint64_t n = 0; seconds > 0 ? now_s() - start < seconds : n < a->seeds; n++)
        seed_run(&c, a->first + n);
    uint64_t seeds = c.runs / s->rounds;
    if (!a->no_small)
        smalls(&c, (uint32_t)a->preemptions);
    printf("%-7s %lu seeds, %lu runs, %lu points, %lu switches, %lu frozen (%lu holding up a grace "
           "period), %lu orders of small programs, %lu scripted; %s; %.1f s\n",
           s->name, seeds, c.runs, c.points, c.switches, c.froze, c.stalled, c.orders, c.scripted,
           s->tell ? s->tell() : "", now_s() - start);
    fflush(stdout);
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments a = {.first = 1, .seeds = 1000, .preemptions = 2};
    const struct option options[] = {
        {"seed", required_argument, NULL, 's'},    {"seeds", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'}, {"only", required_argument, NULL, 'o'},
        {"all", required_argument, NULL, 'a'},     {"no-small", no_argument, &a.no_small, 1},
        {"list", no_argument, &a.list, 1},         {NULL, 0, NULL, 0}};
    bool counted = false, given = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's') {
            a.first = strtoull(optarg, NULL, 10);
            given = true;
        } else if (c == 'n') {
            a.seeds = strtoull(optarg, NULL, 10);
            counted = true;
        } else if (c == 't') {
            a.seconds = strtod(optarg, NULL);
            counted = true;
        } else if (c == 'a') {
            a.preemptions = strtoull(optarg, NULL, 10);
        } else if (c == 'o') {
            a.only = optarg;
        } else if (c != 0) {
            exit(2);
        }
    }
    if (given && !counted) { // one seed, told again
        a.seeds = 1;
        a.no_small = 1;
    }
    return a;
}

int main(int argc, char **argv)
{
    struct arguments a = parse(argc, argv);
    uint32_t chosen = 0;
    explore_on_failure(tell);
    for (uint32_t i = 0; i < SUBJECTS; i++) {
        if (a.list)
            printf("%-7s %s\n", subjects[i]->name, subjects[i]->help);
        chosen += !a.only || strcmp(a.only, subjects[i]->name) == 0;
    }
    if (a.list)
        return 0;
    if (!chosen) {
        fprintf(stderr, "no subject %s\n", a.only);
        return 2;
    }
    for (uint32_t i = 0; i < SUBJECTS; i++)
        if (!a.only || strcmp(a.only, subjects[i]->name) == 0)
            subject_run(subjects[i], &a, a.seconds / chosen);
    return 0;
}
