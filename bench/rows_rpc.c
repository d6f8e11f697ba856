#include "rows_rpc.h"

#include "peer.h"
#include "redis.h"
#include "rig.h"

#include <stdlib.h>

#define CELLS             100000
#define TTL_MS            1000
#define UNARY_OUTSTANDING 256
#define STREAM_BATCH      512
#define STREAM_BATCHES    4 // outstanding, each of PEER_CONNECTIONS

struct rpc_row {
    struct peer_server engine, echo;
    struct redis redis;
    double seconds;
};

static enum hf_status row_make(const struct ratio_settings *s, struct rpc_row **out)
{
    struct rpc_row *r = calloc(1, sizeof *r);
    *out = r;
    if (!r)
        return HF_NO_MEMORY;
    r->seconds = s->seconds;
    return peer_start(&r->engine, s->folder, CELLS);
}

static struct peer_load unary_load(const struct rpc_row *r, bool echo)
{
    return (struct peer_load){.server = echo ? &r->echo : &r->engine,
                              .method = echo ? "/bench.Echo/Echo"
                                             : "/holdfast.v1.ReservationService/Reserve",
                              .outstanding = UNARY_OUTSTANDING,
                              .cells = echo ? 0 : CELLS,
                              .ttl_ms = TTL_MS,
                              .seconds = r->seconds};
}

enum hf_status unary_set_up(const struct ratio_settings *s, void **ctx)
{
    struct rpc_row *r;
    struct peer_result out;
    enum hf_status st = row_make(s, &r);
    *ctx = r;
    if (st == HF_OK)
        st = peer_start(&r->echo, NULL, 0);
    if (st != HF_OK)
        return st;
    struct peer_load warm = unary_load(r, false);
    return peer_run(&warm, &out);
}

static double rate(const struct peer_result *p)
{
    return (double)p->done * 1e6 / (double)p->wall_ns; // k/s
}

static double cpu_us(uint64_t ns, const struct peer_result *p)
{
    return (double)ns / 1e3 / (double)(p->done ? p->done : 1);
}

static enum hf_status unary_both(struct rpc_row *r, struct peer_result *engine,
                                 struct peer_result *echo)
{
    struct peer_load subject = unary_load(r, false), yardstick = unary_load(r, true);
    enum hf_status st = peer_run(&subject, engine);
    if (st == HF_OK)
        st = peer_run(&yardstick, echo);
    return st == HF_OK && (engine->failed || !engine->done || !echo->done) ? HF_STOPPED : st;
}

enum hf_status unary_measure(void *ctx, struct ratio_sample *out)
{
    struct peer_result engine, echo;
    enum hf_status st = unary_both(ctx, &engine, &echo);
    if (st != HF_OK)
        return st;
    out->subject = rate(&engine);
    out->yardstick = rate(&echo);
    out->notes[0] = engine.p50_us;
    out->notes[1] = engine.p99_us;
    out->notes[2] = echo.p50_us;
    out->notes[3] = cpu_us(engine.server_cpu_ns, &engine);
    out->notes[4] = cpu_us(echo.server_cpu_ns, &echo);
    out->notes[5] = cpu_us(engine.client_cpu_ns, &engine);
    return HF_OK;
}

enum hf_status unary_cpu_measure(void *ctx, struct ratio_sample *out)
{
    struct peer_result engine, echo;
    enum hf_status st = unary_both(ctx, &engine, &echo);
    if (st != HF_OK)
        return st;
    out->subject = cpu_us(engine.server_cpu_ns, &engine);
    out->yardstick = cpu_us(echo.server_cpu_ns, &echo);
    return HF_OK;
}

void unary_tear_down(void *ctx)
{
    struct rpc_row *r = ctx;
    peer_stop(&r->engine);
    peer_stop(&r->echo);
    free(r);
}

enum hf_status stream_set_up(const struct ratio_settings *s, void **ctx)
{
    struct rpc_row *r;
    enum hf_status st = row_make(s, &r);
    *ctx = r;
    return st == HF_OK ? redis_start(&r->redis, s->folder) : st;
}

enum hf_status stream_measure(void *ctx, struct ratio_sample *out)
{
    struct rpc_row *r = ctx;
    struct peer_load load = {.server = &r->engine,
                             .outstanding = STREAM_BATCHES,
                             .batch = STREAM_BATCH,
                             .cells = CELLS,
                             .ttl_ms = TTL_MS,
                             .seconds = r->seconds};
    struct peer_result p;
    enum hf_status st = peer_run(&load, &p);
    if (st == HF_OK && !p.done)
        st = HF_STOPPED;
    if (st == HF_OK)
        st = redis_reserve(&r->redis, r->seconds, &out->yardstick);
    if (st != HF_OK)
        return st;
    out->subject = rate(&p);
    out->notes[0] = cpu_us(p.server_cpu_ns, &p);
    out->notes[1] = cpu_us(p.client_cpu_ns, &p);
    out->notes[2] = (double)p.failed * 100 / (double)(p.done + p.failed);
    return HF_OK;
}

void stream_tear_down(void *ctx)
{
    struct rpc_row *r = ctx;
    peer_stop(&r->engine);
    redis_stop(&r->redis);
    free(r);
}
