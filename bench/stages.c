#include "stages.h"

#include "rig.h"

#include "core/core.h"
#include "journal/journal.h"

#include <sodium/crypto_shorthash.h>

// A step takes some ten microseconds; a thread that waits for its processor waits for hundreds.
#define INTERRUPTED_US 200

struct run {
    bool on, merged;
    enum stage stage;
    uint64_t last, ticks[STAGE_COUNT], reads[STAGE_COUNT];
};
static _Thread_local struct run run;

static uint64_t counter(void)
{
#if defined __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return rig_ns();
#endif
}

static double stages_hz(void)
{
    uint64_t ns = rig_ns(), from = counter();
    rig_sleep_us(50000);
    uint64_t ticks = counter() - from;
    return (double)ticks * 1e9 / (double)(rig_ns() - ns);
}

// Returns the stage that ends.
static enum stage enter(enum stage next)
{
    uint64_t now = counter();
    enum stage before = run.stage;
    run.ticks[before] += now - run.last;
    run.reads[before]++;
    run.last = now;
    run.stage = next;
    return before;
}

// What looking at the counter takes: it is in every figure that it ends.
static double read_ticks(void)
{
    uint64_t least = UINT64_MAX;
    for (int tries = 0; tries < 100; tries++) {
        run = (struct run){.stage = STAGE_PARSE, .last = counter()};
        for (int i = 0; i < 1000; i++)
            enter(STAGE_PARSE);
        least = run.ticks[STAGE_PARSE] < least ? run.ticks[STAGE_PARSE] : least;
    }
    return (double)least / 1000;
}

void stages_begin(struct stages *s, bool merged)
{
    *s = (struct stages){.merged = merged, .hz = stages_hz(), .read = read_ticks()};
}

bool stages_step(struct stages *s, struct ingest_queue *q)
{
    double sum = 0;
    run = (struct run){.on = true, .merged = s->merged, .stage = STAGE_PARSE, .last = counter()};
    (void)ingest_queue_step(q);
    enter(STAGE_PARSE);
    run.on = false;
    s->steps++;
    for (int i = 0; i < STAGE_COUNT; i++)
        sum += (double)run.ticks[i];
    if (sum > s->hz * INTERRUPTED_US / 1e6 * (s->merged ? 10 : 1)) {
        s->interrupted++;
        return false;
    }
    for (int i = 0; i < STAGE_COUNT; i++)
        s->ticks[i] += (double)run.ticks[i] - (double)run.reads[i] * s->read;
    return true;
}

void stages_receiving(bool begins)
{
    if (run.on)
        enter(begins ? STAGE_MAKE : STAGE_PARSE);
}

// ------------------------------------------------------------------------------- taken over

void __real_core_execute(struct core_worker *w, uint64_t now_ms, const struct core_request *r,
                         struct core_answer *a, uint32_t count);
void __wrap_core_execute(struct core_worker *w, uint64_t now_ms, const struct core_request *r,
                         struct core_answer *a, uint32_t count);
void __wrap_core_execute(struct core_worker *w, uint64_t now_ms, const struct core_request *r,
                         struct core_answer *a, uint32_t count)
{
    if (run.on)
        enter(STAGE_DECIDE);
    __real_core_execute(w, now_ms, r, a, count);
    if (run.on)
        enter(run.merged ? STAGE_PARSE : STAGE_ANSWER);
}

uint64_t __real_journal_push(struct journal_producer *p, uint32_t *count);
uint64_t __wrap_journal_push(struct journal_producer *p, uint32_t *count);
uint64_t __wrap_journal_push(struct journal_producer *p, uint32_t *count)
{
    if (!run.on)
        return __real_journal_push(p, count);
    enum stage before = enter(STAGE_APPEND);
    uint64_t lsn = __real_journal_push(p, count);
    enter(before);
    return lsn;
}

int __real_crypto_shorthash(unsigned char *out, const unsigned char *in, unsigned long long bytes,
                            const unsigned char *key);
int __wrap_crypto_shorthash(unsigned char *out, const unsigned char *in, unsigned long long bytes,
                            const unsigned char *key);
int __wrap_crypto_shorthash(unsigned char *out, const unsigned char *in, unsigned long long bytes,
                            const unsigned char *key)
{
    if (!run.on || run.stage == STAGE_MAKE) // making a frame seals it, too
        return __real_crypto_shorthash(out, in, bytes, key);
    enum stage before = enter(STAGE_TAG);
    int result = __real_crypto_shorthash(out, in, bytes, key);
    enter(before);
    return result;
}
