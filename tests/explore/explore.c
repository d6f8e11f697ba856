#include "explore/explore.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

void hf_yield_hook(void);

#define STACK_BYTES   (256u << 10)
#define CHOICES_MAX   (1u << 16)
#define CHANGES_MAX   8
#define PRIORITY_HIGH 1000

struct fiber {
    ucontext_t context;
    char *stack;
    size_t stack_bytes;
    bool ended, frozen;
    bool (*ready)(void *ctx); // NULL: runnable
    void *ready_ctx;
    uint64_t points;
    uint32_t times; // calls of explore_time
    uint32_t priority;
    void *fake_stack;
};

struct choice {
    uint8_t taken, options;
};

static struct {
    struct fiber fibers[EXPLORE_FIBERS_MAX];
    struct fiber main;
    uint32_t count;
    uint32_t current; // UINT32_MAX: the main program
    explore_body body;
    void *ctx;
    const struct explore_schedule *schedule;
    struct prng prng;
    uint32_t switch_one_in;
    uint64_t points, points_max, time;
    uint32_t switches;
    bool thawed; // the frozen ones go on, and nobody freezes any more
    // PCT
    uint64_t change_at[CHANGES_MAX];
    uint32_t changes;
    // Script: where it is, and what ends the segment
    uint32_t segment, segment_times;
    uint64_t segment_points;
    // All schedules
    struct choice choices[CHOICES_MAX];
    uint32_t choice, choice_count, preemptions, preemptions_max;
    void (*tell)(void);
} x = {.current = UINT32_MAX, .points_max = 200000};

// ------------------------------------------------------------------------------- failing

static void told(int signal)
{
    (void)signal;
    if (x.tell)
        x.tell();
}

void explore_on_failure(void (*tell)(void))
{
    x.tell = tell;
    signal(SIGABRT, told);
}

void explore_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s:%d: ", file, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    if (x.tell)
        x.tell();
    fflush(stdout);
    _exit(1);
}

void explore_points_max(uint64_t points)
{
    x.points_max = points;
}

uint32_t explore_self(void)
{
    return x.current;
}

// ------------------------------------------------------------------------------- switching

static struct fiber *fiber_at(uint32_t at)
{
    return at == UINT32_MAX ? &x.main : &x.fibers[at];
}

// The address sanitizer is told of every change of stacks.
static void leave(struct fiber *from, const struct fiber *to)
{
    (void)from, (void)to;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(from->ended ? NULL : &from->fake_stack, to->stack,
                                   to->stack_bytes);
#endif
}

static void arrive(struct fiber *self)
{
    (void)self;
#ifdef WITH_ASAN
    const void *bottom;
    size_t bytes;
    __sanitizer_finish_switch_fiber(self->fake_stack, &bottom, &bytes);
    if (!x.main.stack && self != &x.main) { // the first comes from there
        x.main.stack = (char *)(uintptr_t)bottom;
        x.main.stack_bytes = bytes;
    }
#endif
}

static void switch_to(uint32_t next)
{
    struct fiber *from = fiber_at(x.current), *to = fiber_at(next);
    if (from == to)
        return;
    x.switches++;
    x.current = next;
    leave(from, to);
    swapcontext(&from->context, &to->context);
    arrive(from);
}

// ------------------------------------------------------------------------------- who is next

static bool runnable(uint32_t at)
{
    struct fiber *f = &x.fibers[at];
    if (f->ended || f->frozen)
        return false;
    if (f->ready && !f->ready(f->ready_ctx))
        return false;
    f->ready = NULL;
    return true;
}

// The running one first, if it can go on.
static uint32_t runnable_list(uint32_t *list)
{
    uint32_t n = 0;
    if (x.current != UINT32_MAX && runnable(x.current))
        list[n++] = x.current;
    for (uint32_t i = 0; i < x.count; i++)
        if (i != x.current && runnable(i))
            list[n++] = i;
    return n;
}

static uint32_t choose_all(const uint32_t *list, uint32_t n)
{
    bool preempts = x.current != UINT32_MAX && list[0] == x.current;
    if (n == 1 || (preempts && x.preemptions == x.preemptions_max))
        return list[0];
    explore_check(x.choice < CHOICES_MAX, "too many choices");
    struct choice *c = &x.choices[x.choice++];
    if (x.choice > x.choice_count) {
        *c = (struct choice){0, (uint8_t)n};
        x.choice_count = x.choice;
    }
    explore_check(c->options == n, "the program does not repeat itself: %u ways, not %u", n,
                  c->options);
    x.preemptions += preempts && c->taken != 0;
    return list[c->taken];
}

static uint32_t choose_pct(const uint32_t *list, uint32_t n)
{
    for (uint32_t i = 0; i < x.changes; i++)
        if (x.change_at[i] == x.points && x.current != UINT32_MAX)
            x.fibers[x.current].priority = i;
    uint32_t best = list[0];
    for (uint32_t i = 1; i < n; i++)
        if (x.fibers[list[i]].priority > x.fibers[best].priority)
            best = list[i];
    return best;
}

static void segment_begin(uint32_t at)
{
    x.segment = at;
    if (at >= x.schedule->segment_count)
        return;
    const struct explore_segment *s = &x.schedule->segments[at];
    x.segment_points = x.fibers[s->fiber].points + s->points;
    x.segment_times = (x.fibers[s->fiber].times / 2 + 1) * 2;
}

static uint32_t choose_script(const uint32_t *list)
{
    for (; x.segment < x.schedule->segment_count; segment_begin(x.segment + 1)) {
        const struct explore_segment *s = &x.schedule->segments[x.segment];
        const struct fiber *f = &x.fibers[s->fiber];
        if (runnable(s->fiber) &&
            (s->points ? f->points <= x.segment_points : f->times < x.segment_times))
            return s->fiber;
    }
    return list[0];
}

static uint32_t choose(const uint32_t *list, uint32_t n)
{
    switch (x.schedule->policy) {
    case EXPLORE_ALL:
        return choose_all(list, n);
    case EXPLORE_PCT:
        return choose_pct(list, n);
    case EXPLORE_SCRIPT:
        return choose_script(list);
    default:
        if (list[0] == x.current && prng_below(&x.prng, x.switch_one_in) != 0)
            return list[0];
        return list[prng_below(&x.prng, n)];
    }
}

// Back to the main program when nobody can go on.
static uint32_t next_fiber(void)
{
    uint32_t list[EXPLORE_FIBERS_MAX], n = runnable_list(list);
    return n ? choose(list, n) : UINT32_MAX;
}

void hf_yield_hook(void)
{
    if (x.current == UINT32_MAX)
        return;
    struct fiber *f = &x.fibers[x.current];
    x.points++;
    f->points++;
    explore_check(x.points < x.points_max, "no progress: %lu points", x.points);
    for (uint32_t i = 0; i < EXPLORE_FREEZES_MAX; i++)
        f->frozen |= !x.thawed && x.schedule->freezes[i].fiber == x.current + 1 &&
                     x.schedule->freezes[i].point == f->points;
    switch_to(next_fiber());
}

uint64_t explore_time(void)
{
    uint64_t now = ++x.time;
    if (x.current != UINT32_MAX) {
        x.fibers[x.current].times++;
        if (x.schedule->policy == EXPLORE_SCRIPT)
            switch_to(next_fiber());
    }
    return now;
}

void explore_wait(bool (*ready)(void *ctx), void *ctx)
{
    if (x.current == UINT32_MAX) {
        explore_check(ready(ctx), "the main program would wait for ever");
        return;
    }
    struct fiber *f = &x.fibers[x.current];
    f->ready = ready;
    f->ready_ctx = ctx;
    switch_to(next_fiber());
}

static void fiber_run(void)
{
    struct fiber *f = &x.fibers[x.current];
    arrive(f);
    x.body(x.ctx, x.current);
    f->ended = true;
    uint32_t next = next_fiber();
    struct fiber *to = fiber_at(next);
    x.current = next;
    leave(f, to);
    setcontext(&to->context);
    abort();
}

// ------------------------------------------------------------------------------- a run

static void fiber_init(struct fiber *f)
{
    char *stack = f->stack;
    if (!stack) {
        stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        explore_check(stack != MAP_FAILED, "no stack");
    }
    *f = (struct fiber){.stack = stack, .stack_bytes = STACK_BYTES};
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, fiber_run, 0);
}

static void policy_init(const struct explore_schedule *s)
{
    x.prng.state = hf_mix64(s->seed + 1);
    x.switch_one_in = 1u << prng_below(&x.prng, 6);
    x.changes = (uint32_t)prng_below(&x.prng, CHANGES_MAX);
    for (uint32_t i = 0; i < x.changes; i++)
        x.change_at[i] = prng_between(&x.prng, 1, s->expected + s->expected / 4);
    for (uint32_t i = 0; i < x.count; i++)
        x.fibers[i].priority = PRIORITY_HIGH + (uint32_t)prng_below(&x.prng, PRIORITY_HIGH);
    x.choice = x.preemptions = 0;
    if (s->policy == EXPLORE_SCRIPT)
        segment_begin(0);
}

void explore_go(const struct explore_schedule *s, uint32_t count, explore_body body,
                void (*frozen)(void *ctx), void *ctx, struct explore_run *out)
{
    memset(out, 0, sizeof *out);
    x.schedule = s;
    x.count = count;
    x.body = body;
    x.ctx = ctx;
    x.points = x.time = x.switches = 0;
    x.thawed = false;
    for (uint32_t i = 0; i < count; i++)
        fiber_init(&x.fibers[i]);
    policy_init(s);
    switch_to(next_fiber());
    for (uint32_t i = 0; i < count; i++) {
        struct fiber *f = &x.fibers[i];
        out->frozen += f->frozen;
        out->stalled |= !f->ended && !f->frozen;
    }
    explore_check(!out->stalled || out->frozen, "nobody can go on");
    if (out->frozen) {
        if (frozen)
            frozen(ctx);
        x.thawed = true;
        for (uint32_t i = 0; i < count; i++)
            x.fibers[i].frozen = false;
        switch_to(next_fiber());
    }
    for (uint32_t i = 0; i < count; i++) {
        explore_check(x.fibers[i].ended, "fiber %u cannot go on", i);
        out->points_of[i] = x.fibers[i].points;
    }
    out->points = x.points;
    out->switches = x.switches;
}

void explore_all_begin(uint32_t preemptions)
{
    x.preemptions_max = preemptions;
    x.choice_count = 0;
}

bool explore_all_next(void)
{
    while (x.choice_count > 0) {
        struct choice *c = &x.choices[x.choice_count - 1];
        if (++c->taken < c->options)
            return true;
        x.choice_count--;
    }
    return false;
}
