#include "torture/torture.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void hf_yield_hook(void);

#define STUCK_S 60

static struct {
    const char *name;
    uint64_t seed;
    double seconds, start_s;
    uint32_t yields;
    _Atomic(const char *) where;
    _Atomic uint64_t a, b;
} run = {.yields = 24, .seconds = 2};

static __thread uint64_t generator;
static __thread struct torture_frozen *frozen;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void *watch(void *unused)
{
    (void)unused;
    double limit = run.start_s + run.seconds + STUCK_S;
    while (now_s() < limit)
        sleep(1);
    const char *where = atomic_load(&run.where);
    fprintf(stderr, "%s: stuck at %s (%llu, %llu), seed %llu\n", run.name, where ? where : "?",
            (unsigned long long)atomic_load(&run.a), (unsigned long long)atomic_load(&run.b),
            (unsigned long long)run.seed);
    abort();
}

void torture_begin(const char *name, int argc, char **argv)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    run.name = name;
    run.seed = mix((uint64_t)wall.tv_sec * 1000000000u + (uint64_t)wall.tv_nsec) % 1000000000u;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            run.seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            run.seed = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: %s [--seconds S] [--seed N]\n", argv[0]);
            exit(2);
        }
    }
    printf("%s: seed %llu\n", name, (unsigned long long)run.seed);
    fflush(stdout);
    run.start_s = now_s();
    torture_thread(TORTURE_THREADS_MAX);
    pthread_t thread;
    torture_check(pthread_create(&thread, NULL, watch, NULL) == 0, "no thread");
    pthread_detach(thread);
}

double torture_share(double part)
{
    return run.start_s + run.seconds * part;
}

bool torture_before(double deadline_s)
{
    return now_s() < deadline_s;
}

bool torture_time_left(void)
{
    return torture_before(torture_share(1));
}

void torture_at(const char *where, uint64_t a, uint64_t b)
{
    atomic_store(&run.where, where);
    atomic_store(&run.a, a);
    atomic_store(&run.b, b);
}

void torture_end(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s: ", run.name);
    vprintf(format, args);
    printf(", %.1f s\n", now_s() - run.start_s);
    va_end(args);
}

void torture_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (%s, seed %llu)\n", run.name, (unsigned long long)run.seed);
    va_end(args);
    abort();
}

void torture_yields(uint32_t in_4096)
{
    run.yields = in_4096;
}

void torture_thread(uint32_t index)
{
    generator = mix(run.seed + UINT64_C(0x9e3779b97f4a7c15) * (index + 1)) | 1;
}

uint64_t torture_random(void)
{
    generator += UINT64_C(0x9e3779b97f4a7c15);
    return mix(generator);
}

// ------------------------------------------------------------------------------ the hook

static void stand(struct torture_frozen *f)
{
    f->stop_at = 0;
    sem_post(&f->stopped);
    while (sem_wait(&f->go) != 0)
        ;
}

void hf_yield_hook(void)
{
    if (frozen) {
        if (frozen->stop_at != 0 && --frozen->stop_at == 0)
            stand(frozen);
        return;
    }
    if (generator == 0)
        return; // a thread of nobody's
    uint64_t r = torture_random();
    if ((r & 4095) >= run.yields)
        return;
    if ((r >> 12) % 16 != 0) {
        sched_yield();
        return;
    }
    struct timespec t = {0, (long)(1 + (r >> 20) % 20000)};
    nanosleep(&t, NULL);
}

// ------------------------------------------------------------------------------ threads

struct numbered {
    void (*body)(void *ctx, uint32_t index);
    void *ctx;
    uint32_t index;
    pthread_barrier_t *start;
};

static void *numbered_run(void *arg)
{
    struct numbered *n = arg;
    torture_thread(n->index);
    pthread_barrier_wait(n->start);
    n->body(n->ctx, n->index);
    return NULL;
}

void torture_run(uint32_t count, void (*body)(void *ctx, uint32_t index), void *ctx)
{
    pthread_t threads[TORTURE_THREADS_MAX];
    struct numbered args[TORTURE_THREADS_MAX];
    pthread_barrier_t start;
    torture_check(count <= TORTURE_THREADS_MAX, "too many threads");
    pthread_barrier_init(&start, NULL, count);
    for (uint32_t i = 0; i < count; i++) {
        args[i] = (struct numbered){body, ctx, i, &start};
        torture_check(pthread_create(&threads[i], NULL, numbered_run, &args[i]) == 0, "no thread");
    }
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
}

static void *frozen_run(void *arg)
{
    struct torture_frozen *f = arg;
    torture_thread(f->index);
    frozen = f;
    f->body(f->ctx);
    frozen = NULL;
    atomic_store(&f->ended, true);
    sem_post(&f->stopped);
    return NULL;
}

static bool stands(struct torture_frozen *f)
{
    while (sem_wait(&f->stopped) != 0)
        ;
    return !atomic_load(&f->ended);
}

bool torture_freeze(struct torture_frozen *f, uint32_t index, uint64_t stop_at,
                    void (*body)(void *ctx), void *ctx)
{
    memset(f, 0, sizeof *f);
    f->body = body;
    f->ctx = ctx;
    f->index = index;
    f->stop_at = stop_at;
    sem_init(&f->stopped, 0, 0);
    sem_init(&f->go, 0, 0);
    torture_check(pthread_create(&f->thread, NULL, frozen_run, f) == 0, "no thread");
    return stands(f);
}

bool torture_thaw_until(struct torture_frozen *f, uint64_t more)
{
    f->stop_at = more;
    sem_post(&f->go);
    return stands(f);
}

void torture_thaw(struct torture_frozen *f)
{
    if (!atomic_load(&f->ended))
        while (torture_thaw_until(f, 0))
            ;
    pthread_join(f->thread, NULL);
    sem_destroy(&f->stopped);
    sem_destroy(&f->go);
}
