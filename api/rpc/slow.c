// The slow lane: one thread for what may block. Bounded; a full queue is the caller's to tell.
#include "rpc/rpc_internal.h"

static struct call *slow_pop(struct slow_lane *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->stopping)
        pthread_cond_wait(&s->more, &s->lock);
    struct call *c = s->first;
    if (c) {
        s->first = c->next;
        if (!s->first)
            s->last = &s->first;
        s->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void slow_call(struct slow_lane *s, struct call *c)
{
    const struct rpc_hooks *h = &s->rpc->options.hooks;
    struct poller *p = c->poller;
    if (c->pub.method->kind != RPC_STREAM && rpc_expired(&c->pub)) { // it may have waited long
        call_expired(c);
        return;
    }
    if (c->pub.method->kind == RPC_STREAM) {
        h->deferred(h->ctx, s->local, &c->pub);
        poller_post(p, c, POSTED_DONE); // the stream is its poller's again
    } else if (c->pub.method->kind == RPC_SLOW) {
        c->pub.method->run(h->ctx, s->local, &c->pub);
    } else {
        h->deferred(h->ctx, s->local, &c->pub);
    }
}

static void *slow_run(void *arg)
{
    struct slow_lane *s = arg;
    struct rpc *r = s->rpc;
    const struct rpc_hooks *h = &r->options.hooks;
    pthread_setname_np(pthread_self(), "hf-slow");
    s->local = h->thread_start(h->ctx, r->options.limits.pollers);
    thread_started(r, s->local != NULL);
    if (!s->local)
        return NULL;
    struct call *c;
    while ((c = slow_pop(s)) != NULL)
        slow_call(s, c);
    h->thread_stop(h->ctx, s->local);
    return NULL;
}

bool slow_push(struct rpc *r, struct call *c)
{
    struct slow_lane *s = &r->slow;
    pthread_mutex_lock(&s->lock);
    bool room = s->count < r->options.limits.slow_queue_max && !s->stopping;
    if (room) {
        if (c->pub.method->kind == RPC_STREAM)
            c->stream.deferred = true;
        c->next = NULL;
        *s->last = c;
        s->last = &c->next;
        s->count++;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

enum hf_status slow_start(struct rpc *r)
{
    struct slow_lane *s = &r->slow;
    s->rpc = r;
    s->last = &s->first;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->more, NULL);
    s->started = pthread_create(&s->thread, NULL, slow_run, s) == 0;
    return s->started ? HF_OK : HF_NO_MEMORY;
}

// After the drain: the queue is empty.
void slow_stop(struct rpc *r)
{
    struct slow_lane *s = &r->slow;
    if (!s->rpc)
        return;
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->more);
    pthread_mutex_unlock(&s->lock);
    if (s->started)
        pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->more);
}
