#include "rpc/rpc.h"

#include "rpc/accept.h"
#include "rpc/descriptor.h"
#include "rpc/rpc_internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BEARER         "Bearer "
#define DRAIN_SLICE_MS 20
#define DRAIN_QUIET_MS 200

void rpc_limits_default(struct rpc_limits *l)
{
    *l = (struct rpc_limits){
#define X(name, value, help) .name = (value),
        RPC_LIMIT_TABLE(X)
#undef X
    };
}

// ------------------------------------------------------------------------------- a call's context

static bool key_is(const grpc_metadata *m, const char *name, size_t bytes)
{
    return GRPC_SLICE_LENGTH(m->key) == bytes &&
           memcmp(GRPC_SLICE_START_PTR(m->key), name, bytes) == 0;
}

const struct auth_identity *call_identify(const struct call *c, struct rpc_error *error)
{
    const struct rpc *r = c->poller->rpc;
    const struct auth *auth = r->options.hooks.auth;
    const struct auth_identity *who = NULL;
    if (c->pub.method->role == 0 || !auth || auth_open(auth))
        return auth_anonymous();
    for (size_t i = 0; i < c->metadata.count && !who; i++) {
        const grpc_metadata *m = &c->metadata.metadata[i];
        if (!key_is(m, "authorization", sizeof "authorization" - 1))
            continue;
        const char *text = (const char *)GRPC_SLICE_START_PTR(m->value);
        size_t bytes = GRPC_SLICE_LENGTH(m->value), scheme = sizeof BEARER - 1;
        if (bytes > scheme && memcmp(text, BEARER, scheme) == 0)
            who = auth_check(auth, text + scheme, bytes - scheme);
    }
    if (!who)
        *error = (struct rpc_error){.code = RPC_UNAUTHENTICATED,
                                    .reason = "KEY",
                                    .message = "no valid API key in the metadata authorization"};
    else if (!(who->roles & c->pub.method->role))
        *error = (struct rpc_error){.code = RPC_PERMISSION_DENIED,
                                    .reason = "ROLE",
                                    .message = "this key's roles don't allow this method"};
    return who && (who->roles & c->pub.method->role) ? who : NULL;
}

void call_context(struct call *c)
{
    c->pub.arrived_ns = rpc_now_ns();
    c->pub.traceparent[0] = 0;
    c->deadline_ns = UINT64_MAX;
    gpr_timespec never = gpr_inf_future(c->deadline.clock_type);
    if (gpr_time_cmp(c->deadline, never) != 0) {
        gpr_timespec d = gpr_convert_clock_type(c->deadline, GPR_CLOCK_MONOTONIC);
        gpr_timespec left = gpr_time_sub(d, gpr_now(GPR_CLOCK_MONOTONIC));
        int64_t ns = left.tv_sec > INT32_MAX ? INT64_MAX / 2
                                             : left.tv_sec * INT64_C(1000000000) + left.tv_nsec;
        c->deadline_ns = ns < 0 ? 0 : c->pub.arrived_ns + (uint64_t)ns;
    }
    for (size_t i = 0; i < c->metadata.count; i++) {
        const grpc_metadata *m = &c->metadata.metadata[i];
        if (key_is(m, "traceparent", sizeof "traceparent" - 1) &&
            GRPC_SLICE_LENGTH(m->value) == RPC_TRACEPARENT_BYTES) {
            memcpy(c->pub.traceparent, GRPC_SLICE_START_PTR(m->value), RPC_TRACEPARENT_BYTES);
            c->pub.traceparent[RPC_TRACEPARENT_BYTES] = 0;
        }
    }
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status fail(char why[200], enum hf_status status, const char *text, const char *what)
{
    snprintf(why, 200, "%s%s%s", text, what ? ": " : "", what ? what : "");
    return status;
}

static enum hf_status methods_register(struct rpc *r, char why[200])
{
    for (uint32_t i = 0; i < r->options.method_count; i++) {
        const struct rpc_method *m = &r->options.methods[i];
        bool client, server;
        if (!descriptor_method(m->path, &client, &server))
            return fail(why, HF_INVALID, "no such method in the descriptors", m->path);
        if ((m->kind == RPC_STREAM) != (client || server))
            return fail(why, HF_INVALID, "the table disagrees about streaming", m->path);
        r->registered[i] = grpc_server_register_method(
            r->server, m->path, NULL,
            m->kind == RPC_STREAM ? GRPC_SRM_PAYLOAD_NONE
                                  : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER,
            0);
        if (!r->registered[i])
            return fail(why, HF_INVALID, "a method is twice in the table", m->path);
    }
    return HF_OK;
}

static bool poller_init(struct rpc *r, struct poller *p, unsigned lane)
{
    const struct auth *auth = r->options.hooks.auth;
    bool keys = auth && !auth_open(auth);
    for (int i = 0; keys && i < 2; i++)
        if (!(p->key_open[i] = calloc(AUTH_SEEN_MAX + 1, sizeof(uint32_t))))
            return false;
    if (keys && !(p->key_bytes = calloc(AUTH_SEEN_MAX + 1, sizeof(uint64_t))))
        return false;
    p->bytes_max = r->options.limits.memory_bytes_max / 2 / r->options.limits.pollers;
    p->last_held = &p->first_held;
    p->rpc = r;
    p->lane = lane;
    p->last_waiting = &p->first_waiting;
    p->owed = r->owed + (size_t)lane * (r->options.method_count + 1);
    pthread_mutex_init(&p->bell_lock, NULL);
    p->cq = grpc_completion_queue_create_for_next(NULL);
    p->bell_channel = grpc_lame_client_channel_create("bell", GRPC_STATUS_UNAVAILABLE, "a bell");
    p->bell = grpc_channel_create_call(p->bell_channel, NULL, 0, p->cq,
                                       grpc_slice_from_static_string("/bell"), NULL,
                                       gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_server_register_completion_queue(r->server, p->cq, NULL);
    return true;
}

void thread_started(struct rpc *r, bool good)
{
    pthread_mutex_lock(&r->lock);
    if (good)
        r->running++;
    else
        r->failed++;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static enum hf_status threads_start(struct rpc *r)
{
    // The slow lane first: the first call that a poller takes may be for it.
    uint32_t want = slow_start(r) == HF_OK;
    for (uint32_t i = 0; i < r->options.limits.pollers; i++) {
        struct poller *p = &r->pollers[i];
        p->started = pthread_create(&p->thread, NULL, poller_run, p) == 0;
        want += p->started;
    }
    pthread_mutex_lock(&r->lock);
    while (r->running + r->failed < want)
        pthread_cond_wait(&r->changed, &r->lock);
    bool good = r->running == r->options.limits.pollers + 1;
    pthread_mutex_unlock(&r->lock);
    return good ? HF_OK : HF_NO_MEMORY;
}

// gRPC removes a socket's file that is there already before it binds its own, so that a live
// server would lose its address without a word. A dead one's file refuses connections.
static bool unix_taken(const char *address)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = strncmp(address, "unix:", 5) == 0 ? address + 5 : "";
    int fd = -1;
    if (path[0] == 0 || strlen(path) >= sizeof to.sun_path ||
        (fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0)
        return false;
    memcpy(to.sun_path, path, strlen(path));
    // EAGAIN: somebody listens, and has much to do.
    bool taken = connect(fd, (struct sockaddr *)&to, sizeof to) == 0 || errno == EAGAIN;
    close(fd);
    return taken;
}

static enum hf_status listen_on(struct rpc *r, char why[200])
{
    const struct rpc_options *o = &r->options;
    grpc_channel_args *args = args_create(o);
    if (!args)
        return fail(why, HF_NO_MEMORY, "no memory", NULL);
    r->server = grpc_server_create(args, NULL);
    args_destroy(args);
    r->credentials = credentials_create(r);
    if (!r->credentials)
        return fail(why, HF_INVALID, "the certificate or its key cannot be used", NULL);
    enum hf_status s = methods_register(r, why);
    if (s != HF_OK)
        return s;
    for (uint32_t i = 0; i < o->limits.pollers; i++)
        if (!poller_init(r, &r->pollers[i], i))
            return fail(why, HF_NO_MEMORY, "no memory", NULL);
    if (unix_taken(o->address))
        return fail(why, HF_EXISTS, "another process listens on that socket", o->address);
    int port = grpc_server_add_http2_port(r->server, o->address, r->credentials);
    if (port == 0)
        return fail(why, HF_EXISTS, "cannot listen there: in use, or no such address", o->address);
    r->port =
        port > 0 && port <= UINT16_MAX && strncmp(o->address, "unix:", 5) != 0 ? (uint16_t)port : 0;
    accept_guard_add(r->port);
    r->guarded = true;
    grpc_server_start(r->server);
    return HF_OK;
}

enum hf_status rpc_create(const struct rpc_options *o, struct rpc **out, char why[200])
{
    why[0] = 0;
    if (o->limits.pollers == 0 || o->limits.pollers > HF_THREADS_MAX / 2)
        return fail(why, HF_INVALID, "pollers: 1..32", NULL);
    struct rpc *r = calloc(1, sizeof *r);
    if (!r)
        return HF_NO_MEMORY;
    r->options = *o;
    r->options.address = NULL; // borrowed for this call only
    r->pollers = calloc(o->limits.pollers, sizeof *r->pollers);
    r->registered = calloc(o->method_count, sizeof *r->registered);
    r->owed = calloc(o->limits.pollers * (size_t)(o->method_count + 1), sizeof *r->owed);
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->certificates_lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    grpc_init();
    enum hf_status s = HF_NO_MEMORY;
    if (r->pollers && r->registered && r->owed) {
        r->options.address = o->address;
        s = listen_on(r, why);
        r->options.address = NULL;
        r->options.tls = (struct rpc_tls){0};
        if (s == HF_OK && (s = threads_start(r)) != HF_OK)
            fail(why, s, "a thread of the listener could not be started", NULL);
    }
    if (s != HF_OK) {
        rpc_destroy(r);
        return s;
    }
    *out = r;
    return HF_OK;
}

uint16_t rpc_port(const struct rpc *r)
{
    return r->port;
}

// ------------------------------------------------------------------------------- the end

static bool wait_shut_down(struct rpc *r, uint32_t ms)
{
    uint32_t key = park_prepare(&r->park);
    if (hf_load_seq(&r->shut_down))
        park_cancel(&r->park);
    else
        park_wait(&r->park, key, ms);
    return hf_load_seq(&r->shut_down) != 0;
}

static bool any_call_open(const struct rpc *r)
{
    struct rpc_metrics m;
    rpc_metrics(r, &m);
    return m.calls_open + m.streams_open != 0;
}

// Connections are asked to go and mostly do. A client that does not look at its connection while it
// has no call (Python's, for one) stays: when no call has been open for DRAIN_QUIET_MS, there is
// nothing to wait for. False: calls are still open after drain_ms.
static bool calls_end(struct rpc *r)
{
    uint64_t now = rpc_now_ns(), busy = now;
    uint64_t until = now + (uint64_t)r->options.limits.drain_ms * 1000000;
    for (;;) {
        if (wait_shut_down(r, DRAIN_SLICE_MS))
            return true;
        now = rpc_now_ns();
        busy = any_call_open(r) ? now : busy;
        if (now - busy >= DRAIN_QUIET_MS * UINT64_C(1000000))
            return true;
        if (now >= until)
            return false;
    }
}

// After draining was set (P1, pairs with P0 in call_await). A post takes microseconds.
static void wait_posted(struct rpc *r)
{
    for (uint32_t i = 0; i < r->options.limits.pollers; i++)
        while (hf_load_seq(&r->pollers[i].posting))
            wait_shut_down(r, 1); // nobody shuts down yet: a moment
}

void rpc_drain(struct rpc *r)
{
    uint32_t no = 0;
    if (!r->server || !r->pollers || !r->pollers[0].cq || !hf_cas(&r->draining, &no, 1u))
        return;
    struct poller *first = &r->pollers[0];
    wait_posted(r);
    grpc_server_shutdown_and_notify(r->server, first->cq, &r->shutdown_tag);
    if (!first->local) { // the start failed: there is no call, and nobody else looks
        grpc_completion_queue_next(first->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        return;
    }
    for (uint32_t i = 0; i < r->options.limits.pollers; i++)
        poller_wake(&r->pollers[i]);
    if (!calls_end(r))
        hf_log(HF_LOG_WARN, "drain_cancels", "after_ms=%u", r->options.limits.drain_ms);
    hf_store_release(&r->giving_up, 1u); // what waits for the slow lane is not begun
    if (!hf_load_seq(&r->shut_down))
        grpc_server_cancel_all_calls(r->server); // closes the connections, too
    while (!wait_shut_down(r, 1000))
        continue;
}

static void poller_end(struct poller *p)
{
    if (!p->cq)
        return;
    pthread_mutex_lock(&p->bell_lock);
    p->closing = true;
    pthread_mutex_unlock(&p->bell_lock);
    grpc_call_unref(p->bell);
    grpc_channel_destroy(p->bell_channel);
    grpc_completion_queue_shutdown(p->cq);
    if (p->started) {
        pthread_join(p->thread, NULL);
    } else {
        while (grpc_completion_queue_next(p->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
               GRPC_QUEUE_SHUTDOWN)
            continue;
    }
}

void rpc_destroy(struct rpc *r)
{
    rpc_drain(r);
    slow_stop(r);
    for (uint32_t i = 0; r->pollers && i < r->options.limits.pollers; i++)
        poller_end(&r->pollers[i]);
    if (r->guarded)
        accept_guard_remove(r->port);
    if (r->server)
        grpc_server_destroy(r->server);
    for (uint32_t i = 0; r->pollers && i < r->options.limits.pollers; i++) {
        struct poller *p = &r->pollers[i];
        free(p->key_open[0]);
        free(p->key_open[1]);
        free(p->key_bytes);
        if (!p->cq)
            continue;
        grpc_completion_queue_destroy(p->cq);
        pthread_mutex_destroy(&p->bell_lock);
    }
    if (r->credentials)
        grpc_server_credentials_release(r->credentials);
    certificates_fini(r);
    grpc_shutdown();
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->changed);
    free(r->registered);
    free(r->owed);
    free(r->pollers);
    free(r);
}

void rpc_durable_advanced(struct rpc *r)
{
    for (uint32_t i = 0; i < r->options.limits.pollers; i++)
        if (hf_load_seq(&r->pollers[i].waiting)) // D1
            poller_wake(&r->pollers[i]);
}

void rpc_latency(const struct rpc *r, enum rpc_stage stage, struct hf_histogram *into)
{
    for (uint32_t i = 0; i < r->options.limits.pollers; i++)
        hf_histogram_merge(into, &r->pollers[i].latency[stage]);
}

void rpc_metrics(const struct rpc *r, struct rpc_metrics *out)
{
    *out = (struct rpc_metrics){.connections_refused = accept_refused()};
    for (uint32_t i = 0; i < r->options.limits.pollers; i++) {
        const struct poller *p = &r->pollers[i];
#define X(name, help) out->name += hf_load_relaxed(&p->metrics.name);
        RPC_METRIC_TABLE(X)
#undef X
        for (int k = 0; k < RPC_CODE_COUNT; k++)
            out->codes[k] += hf_load_relaxed(&p->metrics.codes[k]);
        out->calls_open += hf_load_relaxed(&p->calls_open);
        out->streams_open += hf_load_relaxed(&p->streams_open);
    }
}
