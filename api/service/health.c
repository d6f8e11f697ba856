// grpc.health.v1: one state for the whole server, told for each service that the table has.
#include "service/service_internal.h"

#include "base/atomics.h"
#include "sys/lock.h"

#include <stdlib.h>
#include <string.h>

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name
#define NOT_TOLD     (-1)

struct health_watcher {
    struct rpc_call *call;
    struct health_watcher *next, **link; // under health.lock
    bool listed, known, sending;
    int told; // enum ServingStatus, NOT_TOLD
};

struct health {
    struct lock lock;
    struct health_watcher *watchers;
};

enum hf_status health_create(struct service *s)
{
    s->health = calloc(1, sizeof *s->health);
    if (!s->health)
        return HF_NO_MEMORY;
    lock_init(&s->health->lock);
    return HF_OK;
}

void health_destroy(struct service *s)
{
    if (!s->health)
        return;
    HF_ASSERT(!s->health->watchers);
    lock_fini(&s->health->lock);
    free(s->health);
    s->health = NULL;
}

void health_changed(struct service *s)
{
    lock_acquire(&s->health->lock);
    for (struct health_watcher *w = s->health->watchers; w; w = w->next)
        rpc_wake(w->call);
    lock_release(&s->health->lock);
}

// By the paths of the methods: "/name/Method". Empty: the server.
static bool service_known(const char *name)
{
    uint32_t count;
    const struct rpc_method *methods = service_methods(&count);
    size_t bytes = strlen(name);
    for (uint32_t i = 0; i < count; i++)
        if (strncmp(methods[i].path + 1, name, bytes) == 0 && methods[i].path[bytes + 1] == '/')
            return true;
    return bytes == 0;
}

static int status_now(const struct service *s)
{
    return hf_load_seq(&s->serving) ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

void health_check(struct service_local *l, struct rpc_call *call)
{
    const Grpc__Health__V1__HealthCheckRequest *in = (const void *)call->request;
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    if (!service_known(in->service)) {
        struct rpc_error error = {.code = RPC_NOT_FOUND,
                                  .reason = "UNKNOWN_SERVICE",
                                  .message = "this server has no such service"};
        rpc_fail(call, &error);
        return;
    }
    out.status = status_now(l->service);
    rpc_reply(call, &out.base, 0);
}

// ------------------------------------------------------------------------------- Watch

static void watcher_tell(struct service *s, struct health_watcher *w)
{
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    int status = w->known ? status_now(s) : STATUS(SERVICE_UNKNOWN);
    if (!w->listed || w->sending || status == w->told)
        return;
    w->sending = true;
    w->told = status;
    out.status = status;
    rpc_send(w->call, &out.base, 0);
}

void health_watch_opened(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    struct health_watcher *w = calloc(1, sizeof *w);
    call->state = w;
    if (!w) {
        struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                                  .reason = "MEMORY",
                                  .message = "no memory for a stream",
                                  .retry_ms = 1000};
        rpc_finish(call, &error);
        return;
    }
    *w = (struct health_watcher){.call = call, .told = NOT_TOLD};
    rpc_receive(call);
}

void health_watch_received(void *ctx, void *local, struct rpc_call *call)
{
    struct service *s = ctx;
    struct health_watcher *w = call->state;
    const Grpc__Health__V1__HealthCheckRequest *in = (const void *)call->request;
    (void)local;
    w->known = service_known(in->service);
    w->listed = true;
    lock_acquire(&s->health->lock);
    w->next = s->health->watchers;
    w->link = &s->health->watchers;
    if (w->next)
        w->next->link = &w->next;
    s->health->watchers = w;
    lock_release(&s->health->lock);
    watcher_tell(s, w); // after it is listed: a change meanwhile wakes it
}

void health_watch_half_closed(void *ctx, void *local, struct rpc_call *call)
{
    (void)ctx, (void)local;
    struct rpc_error error = rpc_invalid("service", "a request is needed");
    rpc_finish(call, &error); // only awaited before the request
}

void health_watch_sent(void *ctx, void *local, struct rpc_call *call)
{
    struct health_watcher *w = call->state;
    (void)local;
    w->sending = false;
    watcher_tell(ctx, w);
}

void health_watch_woken(void *ctx, void *local, struct rpc_call *call)
{
    (void)local;
    watcher_tell(ctx, call->state);
    if (rpc_draining(call))
        rpc_finish(call, &RPC_DRAINING_ERROR); // after what was just told
}

void health_watch_closed(void *ctx, void *local, struct rpc_call *call)
{
    struct service *s = ctx;
    struct health_watcher *w = call->state;
    (void)local;
    if (w && w->listed) {
        lock_acquire(&s->health->lock);
        *w->link = w->next;
        if (w->next)
            w->next->link = w->link;
        lock_release(&s->health->lock);
    }
    free(w);
    call->state = NULL;
}
