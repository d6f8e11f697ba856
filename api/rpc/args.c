// Limits as gRPC's channel arguments. All are set, none is left to its default.
#include "rpc/rpc_internal.h"

#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 32

struct args {
    grpc_channel_args all;
    grpc_arg list[ARGS_MAX];
    grpc_resource_quota *quota;
};

static void put(struct args *a, const char *name, uint32_t value)
{
    HF_ASSERT(a->all.num_args < ARGS_MAX);
    grpc_arg *arg = &a->list[a->all.num_args++];
    arg->type = GRPC_ARG_INTEGER;
    arg->key = (char *)(uintptr_t)name;
    arg->value.integer = value > INT32_MAX ? INT32_MAX : (int)value;
}

grpc_channel_args *args_create(const struct rpc_options *o)
{
    const struct rpc_limits *l = &o->limits;
    struct args *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->all.args = a->list;
    put(a, GRPC_ARG_MAX_CONCURRENT_STREAMS, l->connection_streams_max);
    put(a, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, l->message_bytes_max);
    put(a, GRPC_ARG_MAX_METADATA_SIZE, l->metadata_bytes_max);
    put(a, GRPC_ARG_MAX_CONNECTION_IDLE_MS, l->connection_idle_ms);
    put(a, GRPC_ARG_MAX_CONNECTION_AGE_MS, l->connection_age_ms);
    put(a, GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, l->drain_ms);
    put(a, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, l->handshake_ms);
    put(a, GRPC_ARG_KEEPALIVE_TIME_MS, l->keepalive_ms);
    put(a, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, l->keepalive_timeout_ms);
    put(a, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    put(a, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000);
    put(a, GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
    put(a, GRPC_ARG_HTTP2_HPACK_TABLE_SIZE_DECODER, 4096);
    // One process per address: a second one is told so instead of sharing the port.
    put(a, GRPC_ARG_ALLOW_REUSEPORT, 0);
    // Small messages: compression costs more than it saves, and it hides a message's real size.
    put(a, GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
    put(a, GRPC_ARG_ENABLE_CHANNELZ, 0);
    put(a, GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0);
    a->quota = grpc_resource_quota_create("listener");
    grpc_resource_quota_resize(a->quota, l->memory_bytes_max);
    grpc_arg *quota = &a->list[a->all.num_args++];
    quota->type = GRPC_ARG_POINTER;
    quota->key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA;
    quota->value.pointer.p = a->quota;
    quota->value.pointer.vtable = grpc_resource_quota_arg_vtable();
    return &a->all;
}

void args_destroy(grpc_channel_args *args)
{
    if (!args)
        return;
    struct args *a = (struct args *)args;
    grpc_resource_quota_unref(a->quota);
    free(a);
}

// ------------------------------------------------------------------------------- certificates

// gRPC asks at the start and before each handshake; a config that it was given is its own.
static grpc_ssl_certificate_config_reload_status
certificates_fetch(void *ctx, grpc_ssl_server_certificate_config **config)
{
    struct rpc *r = ctx;
    pthread_mutex_lock(&r->certificates_lock);
    *config = r->certificates;
    r->certificates = NULL;
    pthread_mutex_unlock(&r->certificates_lock);
    return *config ? GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW
                   : GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
}

static void certificates_put(struct rpc *r, grpc_ssl_server_certificate_config *config)
{
    pthread_mutex_lock(&r->certificates_lock);
    grpc_ssl_server_certificate_config *unused = r->certificates;
    r->certificates = config;
    pthread_mutex_unlock(&r->certificates_lock);
    if (unused)
        grpc_ssl_server_certificate_config_destroy(unused);
}

enum hf_status rpc_certificates(struct rpc *r, const struct rpc_tls *t)
{
    grpc_ssl_pem_key_cert_pair pair = {t->key, t->certificate};
    if (!t->certificate || !t->key)
        return HF_INVALID;
    // gRPC asserts that a fetched config has authorities, also where it will never ask a client for
    // its certificate: then any will do.
    grpc_ssl_server_certificate_config *config = grpc_ssl_server_certificate_config_create(
        t->client_ca ? t->client_ca : t->certificate, &pair, 1);
    if (!config)
        return HF_INVALID;
    certificates_put(r, config);
    return HF_OK;
}

void certificates_fini(struct rpc *r)
{
    certificates_put(r, NULL);
    pthread_mutex_destroy(&r->certificates_lock);
}

grpc_server_credentials *credentials_create(struct rpc *r)
{
    const struct rpc_tls *t = &r->options.tls;
    if (!t->certificate)
        return grpc_insecure_server_credentials_create();
    if (rpc_certificates(r, t) != HF_OK)
        return NULL;
    grpc_ssl_client_certificate_request_type ask =
        t->client_ca ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                     : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    return grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(ask, certificates_fetch,
                                                                        r));
}
