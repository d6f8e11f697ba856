// The slow lane: one thread for what may block. Bounded; a full queue is the caller's to tell.
//
// Each role has a queue of its own, and they take turns: readers who ask for what is long gone,
// each time a search on the disk, hold up neither those who cancel orders nor those who change
// stock.
#include "rpc/rpc_internal.h"

static struct slow_queue *queue_of(struct slow_lane *s, const struct call *c)
{
    unsigned role = c->pub.method->role; // one bit
    return &s->queues[role ? (unsigned)__builtin_ctz(role) % SLOW_QUEUES : 0];
}

// The next one that has a call, after the one that had its turn. NULL: none.
static struct slow_queue *queue_next(struct slow_lane *s)
{
    for (unsigned i = 1; i <= SLOW_QUEUES; i++) {
        unsigned at = (s->turn + i) % SLOW_QUEUES;
        if (s->queues[at].first) {
            s->turn = at;
            return &s->queues[at];
        }
    }
    return NULL;
}

static struct call *slow_pop(struct slow_lane *s)
{
    struct slow_queue *q;
    struct call *c = NULL;
    pthread_mutex_lock(&s->lock);
    while (!(q = queue_next(s)) && !s->stopping)
        pthread_cond_wait(&s->more, &s->lock);
    if (q) {
        c = q->first;
        q->first = c->next;
        if (!q->first)
            q->last = &q->first;
        q->count--;
    }
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void slow_call(struct slow_lane *s, struct call *c)
{
    const struct rpc_hooks *h = &s->rpc->options.hooks;
    struct poller *p = c->poller;
    struct rpc_error error;
    // It may have waited long, beside others whose answers are here by now. A stream's message is
    // told operation by operation.
    if (c->pub.method->kind != RPC_STREAM) {
        bool room = call_has_room(c);
        if (!room)
            error = rpc_no_room();
        if (!room || rpc_given_up(&c->pub, &error)) {
            rpc_fail(&c->pub, &error);
            return;
        }
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
    struct slow_queue *q = queue_of(s, c);
    pthread_mutex_lock(&s->lock);
    bool room = q->count < r->options.limits.slow_queue_max && !s->stopping;
    if (room) {
        if (c->pub.method->kind == RPC_STREAM)
            c->stream.deferred = true;
        c->next = NULL;
        *q->last = c;
        q->last = &c->next;
        q->count++;
        pthread_cond_signal(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
    return room;
}

enum hf_status slow_start(struct rpc *r)
{
    struct slow_lane *s = &r->slow;
    s->rpc = r;
    for (unsigned i = 0; i < SLOW_QUEUES; i++)
        s->queues[i].last = &s->queues[i].first;
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
