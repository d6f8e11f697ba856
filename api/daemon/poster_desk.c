#include "daemon/poster_desk.h"

#include "base/atomics.h"
#include "sys/clock.h"

#include <stddef.h>

#define LOOK_MS 100

enum asked_state { ASKED, BEGUN, DONE, REFUSED };

struct poster_asked { // on the stack of whoever asks, until DONE or REFUSED, or taken out again
    flush_desk_work work;
    void *ctx;
    struct poster_asked *next;
    enum asked_state state; // under lock
};

static void metrics(struct flush_desk *base, struct flush_metrics *out)
{
    flush_metrics(((struct poster_desk *)base)->flush, out);
}

static void take_out(struct poster_desk *d, struct poster_asked *a)
{
    struct poster_asked **at = &d->first;
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    if (d->last == &a->next)
        d->last = at;
    hf_store_release(&d->asked, d->asked - 1);
}

// Whether it is over. Out of time, what was not begun is taken out.
static bool over(struct poster_desk *d, struct poster_asked *a, bool late)
{
    pthread_mutex_lock(&d->lock);
    bool out = a->state == DONE || a->state == REFUSED;
    if (!out && late && a->state == ASKED) {
        take_out(d, a);
        out = true;
    }
    pthread_mutex_unlock(&d->lock);
    return out;
}

static enum hf_status ask(struct flush_desk *base, flush_desk_work work, void *ctx,
                          uint32_t timeout_ms)
{
    struct poster_desk *d = (struct poster_desk *)base;
    struct poster_asked a = {.work = work, .ctx = ctx, .state = ASKED};
    uint64_t end_ns = clock_monotonic_ns(clock_os()) + (uint64_t)timeout_ms * 1000000;
    pthread_mutex_lock(&d->lock);
    if (d->closed) {
        a.state = REFUSED;
    } else {
        *d->last = &a;
        d->last = &a.next;
        hf_store_seq(&d->asked, d->asked + 1);
    }
    pthread_mutex_unlock(&d->lock);
    park_wake(d->bell);
    for (;;) {
        uint32_t key = park_prepare(&d->done);
        if (over(d, &a, clock_monotonic_ns(clock_os()) >= end_ns)) {
            park_cancel(&d->done);
            break;
        }
        park_wait(&d->done, key, LOOK_MS);
    }
    return a.state == DONE ? HF_OK : a.state == REFUSED ? HF_STOPPED : HF_AGAIN;
}

void poster_desk_open(struct poster_desk *d, struct flush *f, struct park *bell)
{
    *d = (struct poster_desk){.base = {.ask = ask, .metrics = metrics}, .flush = f, .bell = bell};
    pthread_mutex_init(&d->lock, NULL);
    d->last = &d->first;
}

void poster_desk_serve(struct poster_desk *d, struct core_worker *w, uint64_t now_ms)
{
    while (poster_desk_asked(d)) {
        pthread_mutex_lock(&d->lock);
        struct poster_asked *a = d->first;
        if (a) {
            take_out(d, a);
            a->state = BEGUN;
        }
        pthread_mutex_unlock(&d->lock);
        if (!a)
            return;
        a->work(d->flush, w, now_ms, a->ctx);
        pthread_mutex_lock(&d->lock);
        a->state = DONE; // it is gone with the lock
        pthread_mutex_unlock(&d->lock);
        park_wake(&d->done);
    }
}

bool poster_desk_asked(const struct poster_desk *d)
{
    return hf_load_acquire(&d->asked) > 0;
}

void poster_desk_close(struct poster_desk *d)
{
    pthread_mutex_lock(&d->lock);
    d->closed = true;
    while (d->first) {
        struct poster_asked *a = d->first;
        take_out(d, a);
        a->state = REFUSED;
    }
    pthread_mutex_unlock(&d->lock);
    park_wake(&d->done);
}
