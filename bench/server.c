// A server process for the rows of the ratio table that need one: an engine behind the listener, or
// the emptiest call that gRPC's C core can answer, against which it is measured.
//
// Usage: holdfast-bench-server echo | engine FOLDER CELLS
// Prints `port generation` in a line and serves until standard input ends.
#include "rig.h"

#include "daemon/node.h"
#include "rpc/rpc.h"
#include "service/service.h"
#include "sys/clock.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ------------------------------------------------------------------------------- echo

#define ECHO_AWAITED 512
#define ECHO_METHOD  "/bench.Echo/Echo"

struct echo_call {
    grpc_call *call;
    gpr_timespec deadline;
    grpc_metadata_array metadata;
    grpc_byte_buffer *payload;
    int cancelled;
    bool answered;
};

struct echo {
    grpc_server *server;
    grpc_completion_queue *cq;
    void *method;
};

static void echo_await(struct echo *e, struct echo_call *c)
{
    c->answered = false;
    c->metadata.count = 0;
    c->payload = NULL;
    grpc_server_request_registered_call(e->server, e->method, &c->call, &c->deadline, &c->metadata,
                                        &c->payload, e->cq, e->cq, c);
}

static void echo_answer(struct echo_call *c)
{
    grpc_op ops[4] = {{.op = GRPC_OP_SEND_INITIAL_METADATA},
                      {.op = GRPC_OP_SEND_MESSAGE},
                      {.op = GRPC_OP_SEND_STATUS_FROM_SERVER},
                      {.op = GRPC_OP_RECV_CLOSE_ON_SERVER}};
    ops[1].data.send_message.send_message = c->payload;
    ops[2].data.send_status_from_server.status = GRPC_STATUS_OK;
    ops[3].data.recv_close_on_server.cancelled = &c->cancelled;
    c->answered = true;
    grpc_call_start_batch(c->call, ops, 4, c, NULL);
}

static void *echo_run(void *ctx)
{
    struct echo *e = ctx;
    for (int i = 0; i < ECHO_AWAITED; i++)
        echo_await(e, calloc(1, sizeof(struct echo_call)));
    for (;;) {
        grpc_event ev =
            grpc_completion_queue_next(e->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct echo_call *c = ev.tag;
        if (ev.type != GRPC_OP_COMPLETE)
            continue;
        if (!c->answered && ev.success) {
            echo_answer(c);
        } else if (c->answered) {
            grpc_call_unref(c->call);
            grpc_byte_buffer_destroy(c->payload);
            echo_await(e, c);
        }
    }
    return NULL;
}

static int echo_serve(void)
{
    static struct echo e;
    pthread_t thread;
    grpc_arg args[] = {
        {.type = GRPC_ARG_INTEGER, .key = GRPC_ARG_MAX_CONCURRENT_STREAMS, .value.integer = 100000},
        {.type = GRPC_ARG_INTEGER,
         .key = GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION,
         .value.integer = 0}};
    grpc_channel_args all = {2, args};
    grpc_init();
    e.server = grpc_server_create(&all, NULL);
    e.cq = grpc_completion_queue_create_for_next(NULL);
    grpc_server_register_completion_queue(e.server, e.cq, NULL);
    e.method = grpc_server_register_method(e.server, ECHO_METHOD, NULL,
                                           GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    int port = grpc_server_add_http2_port(e.server, "127.0.0.1:0",
                                          grpc_insecure_server_credentials_create());
    grpc_server_start(e.server);
    if (!port || pthread_create(&thread, NULL, echo_run, &e) != 0)
        return 1;
    printf("%d 0\n", port);
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    _exit(0); // nothing of it is worth an orderly end
}

// ------------------------------------------------------------------------------- engine

static _Atomic(struct rpc *) listener;

static void on_durable(void *ctx)
{
    (void)ctx;
    struct rpc *r = atomic_load(&listener);
    if (r)
        rpc_durable_advanced(r);
}

static int engine_serve(const char *folder, uint32_t cells)
{
    struct rig rig;
    struct rig_options ro = {.parent = folder,
                             .cells = cells,
                             .ids_max = 16u << 20,
                             .stock = RIG_STOCK,
                             .mode = JOURNAL_SYNC,
                             .background = true,
                             .workers_max = 8,
                             .on_durable = on_durable};
    if (rig_start(&rig, &ro) != HF_OK)
        return 1;
    struct service *service;
    struct service_options so = {.core = rig.core, .pollers = 1, .watchers_max = 1};
    if (service_create(&so, &service) != HF_OK)
        return 1;
    struct rpc_options o = {.address = "127.0.0.1:0", .hooks = service_hooks(service)};
    rpc_limits_default(&o.limits);
    o.methods = service_methods(&o.method_count);
    char why[200];
    struct rpc *rpc;
    if (rpc_create(&o, &rpc, why) != HF_OK) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    atomic_store(&listener, rpc);
    printf("%u %llu\n", rpc_port(rpc), (unsigned long long)core_generation(rig.core));
    fflush(stdout);
    while (getchar() != EOF)
        continue;
    rpc_drain(rpc);
    atomic_store(&listener, NULL);
    rig_sleep_us(20000); // the writer may be inside on_durable
    rpc_destroy(rpc);
    service_destroy(service);
    rig_stop(&rig);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "echo") == 0)
        return echo_serve();
    if (argc == 4 && strcmp(argv[1], "engine") == 0)
        return engine_serve(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    fputs("Usage: holdfast-bench-server echo | engine FOLDER CELLS\n", stderr);
    return 2;
}
