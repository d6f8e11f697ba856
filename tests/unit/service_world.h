// The service on an engine of the fake disk, called as the listener would, without a network.
#ifndef HOLDFAST_TESTS_UNIT_SERVICE_WORLD_H
#define HOLDFAST_TESTS_UNIT_SERVICE_WORLD_H

#include "unit/core_world.h"
#include "unit/fake_rpc.h"

#include "auth/auth_internal.h"
#include "service/service_internal.h"
#include "watch/hub.h"

struct service_world {
    struct world w;
    struct watch_hub *hub;
    struct service_packets packets; // off, unless the test turns them on and serves anew
    struct service *service;
    struct rpc_hooks hooks;
    struct service_local *local;
    union { // whose calls they are, as a key file's entry
        struct auth_identity who;
        struct auth_key key;
    };
    struct fake_call call;
};

static inline const struct rpc_method *method_of(const char *path)
{
    uint32_t count;
    const struct rpc_method *m = service_methods(&count);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(m[i].path, path) == 0)
            return &m[i];
    fail_msg("no method %s", path);
    return NULL;
}

static inline void service_world_serve(struct service_world *t)
{
    struct service_options o = {
        .core = t->w.core, .hub = t->hub, .pollers = 1, .watchers_max = 2, .packets = t->packets};
    assert_int_equal(service_create(&o, &t->service), HF_OK);
    t->hooks = service_hooks(t->service);
    t->local = t->hooks.thread_start(t->hooks.ctx, 0);
    assert_non_null(t->local);
}

static inline void service_world_open(struct service_world *t)
{
    world_open(&t->w);
    struct watch_hub_options hub = {t->w.core, &t->w.clock.base, t->w.options.cells_max, false};
    assert_int_equal(watch_hub_create(&hub, &t->hub), HF_OK);
    service_world_serve(t);
}

static inline void service_world_leave(struct service_world *t)
{
    t->hooks.thread_stop(t->hooks.ctx, t->local);
    service_destroy(t->service);
}

static inline void service_world_close(struct service_world *t)
{
    service_world_leave(t);
    watch_hub_destroy(t->hub);
}

static inline int service_world_set_up_cells(void **state, uint32_t cells_max)
{
    struct service_world *t = calloc(1, sizeof *t);
    world_init(&t->w);
    t->w.options.cells_max = cells_max;
    t->w.options.workers_max = 3;
    t->who = *auth_anonymous();
    t->key.in_force = 1;
    fake_call_init(&t->call, &t->who);
    service_world_open(t);
    *state = t;
    return 0;
}

static inline int service_world_set_up(void **state)
{
    return service_world_set_up_cells(state, 20000);
}

static inline int service_world_tear_down(void **state)
{
    struct service_world *t = *state;
    fake_call_fini(&t->call);
    service_world_close(t);
    world_fini(&t->w);
    free(t);
    return 0;
}

// One unary call of the world's; a success's message is taken with world_answer.
static inline struct fake_call *world_call(struct service_world *t, const char *path,
                                           const void *request)
{
    struct fake_call *c = &t->call;
    struct rpc_call *pub = &c->pub;
    fake_call_fini(c);
    fake_call_init(c, &t->who);
    c->pub.method = method_of(path);
    fake_request(c, request);
    if (pub->method->kind == RPC_FAST)
        t->hooks.burst(t->hooks.ctx, t->local, &pub, 1);
    else
        pub->method->run(t->hooks.ctx, t->local, pub);
    assert_true(c->ended);
    return c;
}

static inline void *world_answer(struct service_world *t, const ProtobufCMessageDescriptor *d)
{
    if (t->call.failed)
        fail_msg("%s: %s: %s", t->call.pub.method->path, t->call.error.field,
                 t->call.error.message);
    return fake_take(&t->call, d);
}

// The call must fail so; field NULL: any.
static inline void world_refused(struct service_world *t, enum rpc_code code, const char *field)
{
    const struct rpc_error *e = &t->call.error;
    if (!t->call.failed || e->code != code || (field && strcmp(e->field, field) != 0))
        fail_msg("wanted %d at %s, got failed=%d %d at %s: %s", code, field ? field : "any",
                 t->call.failed, e->code, e->field, e->message);
    assert_non_null(e->message);
}

static inline void world_drain(struct service_world *t)
{
    world_settle(&t->w);
    enum hf_status s;
    while ((s = watch_hub_step(t->hub)) == HF_OK)
        ;
    assert_int_equal(s, HF_AGAIN);
}

#endif
