#include "service/service.h"

#include "service/verb.h"

#include "base/atomics.h"

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "holdfast/v1/erp.pb-c.h"

#include <stdlib.h>

#define PREFIX            "/holdfast.v1."
#define SCRATCH_BYTES_MAX (1u << 20) // the largest reservation, unpacked, takes a quarter of it

// ------------------------------------------------------------------------------- the table

#define VERB(name, type)                                                                           \
    {                                                                                              \
        .path = PREFIX "ReservationService/" name, .kind = RPC_FAST, .role = AUTH_STOREFRONT,      \
        .request = &holdfast__v1__##type##_request__descriptor, .posted = 64                       \
    }
#define SLOW(service, name, role_, type, function)                                                 \
    {                                                                                              \
        .path = PREFIX service "/" name, .kind = RPC_SLOW, .role = (role_),                        \
        .request = &holdfast__v1__##type##_request__descriptor, .posted = 4, .run = function       \
    }
#define FAST(service, name, role_, type)                                                           \
    {                                                                                              \
        .path = PREFIX service "/" name, .kind = RPC_FAST, .role = (role_),                        \
        .request = &holdfast__v1__##type##_request__descriptor, .posted = 16                       \
    }
#define ERP(name, type, function) SLOW("ErpService", name, AUTH_OPERATOR, type, function)
#define OPEN_TO_ALL               0
#define REFLECTION(version)                                                                        \
    STREAM("/grpc.reflection." version ".ServerReflection/ServerReflectionInfo", OPEN_TO_ALL,      \
           grpc__reflection__v1__server_reflection_request__descriptor, reflection)
#define STREAM(path_, role_, type, name)     STREAM_FORM(path_, role_, type, name, false)
#define RAW_STREAM(path_, role_, type, name) STREAM_FORM(path_, role_, type, name, true)
#define STREAM_FORM(path_, role_, descriptor, name, raw_)                                          \
    {                                                                                              \
        .path = path_, .kind = RPC_STREAM, .role = (role_), .request = &descriptor, .posted = 4,   \
        .opened = name##_opened, .received = name##_received, .half_closed = name##_half_closed,   \
        .sent = name##_sent, .woken = name##_woken, .closed = name##_closed, .raw = (raw_)         \
    }

static const struct rpc_method methods[] = {
    VERB("Reserve", reserve),
    VERB("Order", order),
    VERB("Record", record),
    VERB("Commit", commit),
    VERB("Release", release),
    VERB("Extend", extend),
    VERB("Cancel", cancel),
    VERB("ReturnGoods", return_goods),
    FAST("ReservationService", "GetReservation", AUTH_READER, get_reservation),
    SLOW("ReservationService", "ListReservations", AUTH_READER, list_reservations,
         reservation_list),
    // Read by hand: stream_batch.c.
    RAW_STREAM(PREFIX "ReservationService/ReserveStream", AUTH_STOREFRONT,
               holdfast__v1__reserve_stream_request__descriptor, reserve_stream),
    FAST("StockReadService", "GetStock", AUTH_READER, get_stock),
    FAST("StockReadService", "BatchGetStock", AUTH_READER, batch_get_stock),
    SLOW("StockReadService", "ListStock", AUTH_READER, list_stock, stock_list),
    SLOW("StockReadService", "GetSkuStock", AUTH_READER, get_sku_stock, stock_sku),
    STREAM(PREFIX "StockReadService/WatchStock", AUTH_READER,
           holdfast__v1__watch_stock_request__descriptor, watch_stock),
    SLOW("StockAdminService", "CreateStock", AUTH_STOCK_ADMIN, create_stock, admin_create),
    SLOW("StockAdminService", "SetStock", AUTH_STOCK_ADMIN, set_stock, admin_set),
    SLOW("StockAdminService", "AdjustStock", AUTH_STOCK_ADMIN, adjust_stock, admin_adjust),
    SLOW("StockAdminService", "ImportStock", AUTH_STOCK_ADMIN, import_stock, admin_import),
    SLOW("StockAdminService", "CreateChannel", AUTH_STOCK_ADMIN, create_channel, admin_channel),
    SLOW("PacketService", "OpenSession", AUTH_STOREFRONT, open_session, packet_open),
    SLOW("PacketService", "CloseSession", AUTH_STOREFRONT, close_session, packet_close),
    SLOW("PacketService", "ListSessions", AUTH_STOREFRONT, list_sessions, packet_list),
    SLOW("PacketService", "GetHandles", AUTH_READER, get_handles, packet_get_handles),
    SLOW("PacketService", "ListHandles", AUTH_READER, list_handles, packet_list_handles),
    ERP("GetPostingStatus", get_posting_status, erp_status),
    ERP("ListDeadLetters", list_dead_letters, erp_letters),
    ERP("GetDeadLetter", get_dead_letter, erp_letter),
    ERP("RetryDeadLetter", retry_dead_letter, erp_retry),
    ERP("DiscardDeadLetter", discard_dead_letter, erp_discard),
    ERP("ListDiscards", list_discards, erp_discards),
    ERP("ListBatches", list_batches, erp_batches),
    ERP("GetBatch", get_batch, erp_batch),
    ERP("StartReconciliation", start_reconciliation, erp_reconcile),
    ERP("GetReconciliation", get_reconciliation, erp_reconciliation),
    ERP("CloseDay", close_day, erp_close),
    ERP("ListShort", list_short, erp_short),
    ERP("Trace", trace, erp_trace),
    // Load balancers and tools come without a key.
    {.path = "/grpc.health.v1.Health/Check",
     .kind = RPC_FAST,
     .role = OPEN_TO_ALL,
     .request = &grpc__health__v1__health_check_request__descriptor,
     .posted = 4},
    STREAM("/grpc.health.v1.Health/Watch", OPEN_TO_ALL,
           grpc__health__v1__health_check_request__descriptor, health_watch),
    REFLECTION("v1"),
    REFLECTION("v1alpha"),
};

const struct rpc_method *service_methods(uint32_t *count)
{
    *count = sizeof methods / sizeof *methods;
    return methods;
}

// ------------------------------------------------------------------------------- bursts

// Verbs of a burst on their way: index into the burst.
struct service_batch {
    struct core_request requests[RPC_BURST_MAX];
    struct core_answer answers[RPC_BURST_MAX];
    struct rpc_call *calls[RPC_BURST_MAX];
    uint32_t count;
};

static void fail_busy(struct rpc_call *call)
{
    struct rpc_error error = convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
    rpc_fail(call, &error);
}

static void fail_slow_full(struct rpc_call *call)
{
    struct rpc_error error = convert_outcome(CORE_OUT_NEEDS_RECALL, CORE_FIELD_NONE, 0, 0);
    rpc_fail(call, &error);
}

static void verb_tell(struct service_local *l, struct rpc_call *call, const struct core_request *r,
                      const struct core_answer *a)
{
    if (!verb_is_answer(a->outcome)) {
        struct rpc_error error = convert_outcome(a->outcome, a->field, a->line, a->retry_ms);
        rpc_fail_durable(call, &error, verb_ticket(a));
        return;
    }
    // The responses of the eight verbs have the same form: a Decision as field 1.
    unsigned char *packed = arena_take(&call->arena, verb_decision_bytes_max(r, a));
    if (!packed) {
        fail_busy(call);
        return;
    }
    unsigned char *end = verb_decision_pack(packed, 1, r, a, core_now(local_core(l)));
    rpc_reply_packed(call, packed, (size_t)(end - packed), verb_ticket(a));
}

static void reservation_get(struct service_local *l, struct rpc_call *call, bool may_recall)
{
    const Holdfast__V1__GetReservationRequest *in = (const void *)call->request;
    Holdfast__V1__GetReservationResponse out = HOLDFAST__V1__GET_RESERVATION_RESPONSE__INIT;
    struct rpc_error error;
    struct hf_uuid id;
    uint64_t ticket = 0;
    if (!convert_uuid(in->reservation_id, "reservation_id", &id, &error)) {
        rpc_fail(call, &error);
        return;
    }
    struct reservation_asked asked = {call->who, id, may_recall};
    enum hf_status s = reservation_tell(l, &call->arena, &asked, &out.reservation, &ticket);
    if (s == HF_BUSY && !may_recall) { // it is on the disk
        if (!rpc_defer(call))
            fail_slow_full(call);
        return;
    }
    error = reservation_error(s);
    if (s == HF_OK)
        rpc_reply(call, &out.base, ticket);
    else
        rpc_fail(call, &error);
}

// FAST calls that decide nothing.
static bool burst_read(struct service_local *l, struct rpc_call *call)
{
    const ProtobufCMessageDescriptor *d = call->method->request;
    if (d == &holdfast__v1__get_reservation_request__descriptor)
        reservation_get(l, call, false);
    else if (d == &holdfast__v1__get_stock_request__descriptor)
        stock_get(l, call);
    else if (d == &holdfast__v1__batch_get_stock_request__descriptor)
        stock_batch_get(l, call);
    else if (d == &grpc__health__v1__health_check_request__descriptor)
        health_check(l, call);
    else
        return false;
    return true;
}

static void burst_collect(struct service_local *l, struct service_batch *b, struct rpc_call *call)
{
    struct verb_message m;
    struct rpc_error error;
    if (rpc_expired(call)) {
        error = (struct rpc_error){.code = RPC_DEADLINE_EXCEEDED,
                                   .message = "the deadline passed before the decision"};
        rpc_fail(call, &error);
    } else if (!verb_read(call->request, &m)) {
        HF_ASSERT(burst_read(l, call));
    } else {
        enum verb_way way = verb_convert(l, call->who, &call->arena, &m, call->traceparent,
                                         &b->requests[b->count], &error);
        if (way == VERB_READY)
            b->calls[b->count++] = call;
        else if (way == VERB_REFUSED)
            rpc_fail(call, &error);
        else if (!rpc_defer(call))
            fail_slow_full(call);
    }
}

static void service_burst(void *ctx, void *local, struct rpc_call **calls, uint32_t count)
{
    struct service_local *l = local;
    struct service_batch *b = l->batch;
    (void)ctx;
    b->count = 0;
    for (uint32_t i = 0; i < count; i++)
        burst_collect(l, b, calls[i]);
    if (b->count == 0)
        return;
    verb_execute(l, b->requests, b->answers, b->count, false);
    for (uint32_t i = 0; i < b->count; i++)
        if (b->answers[i].outcome != CORE_OUT_NEEDS_RECALL || !rpc_defer(b->calls[i]))
            verb_tell(l, b->calls[i], &b->requests[i], &b->answers[i]);
}

// In the slow lane: what would have waited for the disk in a poller.
static void service_deferred(void *ctx, void *local, struct rpc_call *call)
{
    struct service_local *l = local;
    struct verb_message m;
    struct core_request r;
    struct core_answer a;
    struct rpc_error error;
    (void)ctx;
    if (call->method->kind == RPC_STREAM) {
        reserve_stream_deferred(l, call);
    } else if (!verb_read(call->request, &m)) {
        reservation_get(l, call, true);
    } else if (verb_convert(l, call->who, &call->arena, &m, call->traceparent, &r, &error) ==
               VERB_READY) {
        verb_execute(l, &r, &a, 1, true);
        verb_tell(l, call, &r, &a);
    } else {
        rpc_fail(call, &error);
    }
}

// ------------------------------------------------------------------------------- set-up

static void *local_start(void *ctx, unsigned lane)
{
    struct service *s = ctx;
    struct service_local *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->service = s;
    l->lane = lane;
    arena_init(&l->scratch, SCRATCH_BYTES_MAX);
    l->batch = calloc(1, sizeof *l->batch);
    l->worker = l->batch ? core_worker_create(s->options.core) : NULL;
    if (!l->worker) {
        free(l->batch);
        free(l);
        return NULL;
    }
    hf_store_release(&s->locals[lane], l); // L0, pairs with L1
    return l;
}

// The counters stay until the service goes.
static void local_stop(void *ctx, void *local)
{
    struct service_local *l = local;
    (void)ctx;
    arena_reset(&l->scratch);
    core_worker_destroy(l->worker);
    l->worker = NULL;
}

static uint64_t durable(void *ctx)
{
    return core_durable(((struct service *)ctx)->options.core);
}

struct rpc_hooks service_hooks(struct service *s)
{
    return (struct rpc_hooks){.ctx = s,
                              .thread_start = local_start,
                              .thread_stop = local_stop,
                              .burst = service_burst,
                              .deferred = service_deferred,
                              .durable = durable,
                              .auth = s->options.auth};
}

enum hf_status service_create(const struct service_options *o, struct service **out)
{
    struct service *s = calloc(1, sizeof *s);
    if (!s)
        return HF_NO_MEMORY;
    s->options = *o;
    s->locals = calloc(o->pollers + 1, sizeof(void *));
    bool keys = o->auth && !auth_open(o->auth) && o->key_share > 0;
    s->key_watching = keys ? calloc(AUTH_SEEN_MAX + 1, sizeof(uint32_t)) : NULL;
    if (!s->locals || (keys && !s->key_watching) || health_create(s) != HF_OK ||
        packet_book_create(s) != HF_OK) {
        service_destroy(s);
        return HF_NO_MEMORY;
    }
    *out = s;
    return HF_OK;
}

void service_destroy(struct service *s)
{
    for (uint32_t i = 0; s->locals && i <= s->options.pollers; i++)
        if (s->locals[i]) {
            free(s->locals[i]->batch);
            free(s->locals[i]);
        }
    free(s->locals);
    free(s->key_watching);
    health_destroy(s);
    packet_book_destroy(s);
    free(s);
}

void service_serving(struct service *s, bool serving)
{
    hf_store_seq(&s->serving, serving ? 1u : 0u);
    health_changed(s);
}

void service_metrics(const struct service *s, struct service_metrics *out)
{
    *out = (struct service_metrics){0};
    for (uint32_t i = 0; i <= s->options.pollers; i++) {
        const struct service_local *l = hf_load_acquire(&s->locals[i]); // L1
        if (!l)
            continue;
        for (int v = 0; v < CORE_VERB_COUNT; v++)
            for (int k = 0; k < CORE_OUTCOME_COUNT; k++)
                out->decisions[v][k] += hf_load_relaxed(&l->decisions[v][k]);
        for (int c = 0; c <= HF_CHANNELS_MAX; c++)
            for (int k = 0; k < 2; k++)
                out->by_channel[c][k] += hf_load_relaxed(&l->by_channel[c][k]);
    }
}
