#include "fuzz/fuzz_service.h"

#include "fuzz/fuzz_conserve.h"
#include "rpc/wire.h"
#include "service/stream_batch.h"
#include "unit/service_world.h"

#define MESSAGE_BYTES_MAX (64u << 10)
#define PUMPS_MAX         200

struct fuzz_service {
    struct service_world t;
    struct fake_call stream; // open when its method is set
    struct conserve before, after;
    uint8_t message[MESSAGE_BYTES_MAX];
    uint8_t *bytes; // the request as it came, of exactly its size
};

static struct fake_storage *image;

void fuzz_service_set_up(void)
{
    image = folder_simple();
}

// ------------------------------------------------------------------------ life

static void service_start(struct fuzz_service *f)
{
    service_world_open(&f->t);
    service_serving(f->t.service, true);
}

struct fuzz_service *fuzz_service_open(struct fuzz_input *in)
{
    static const struct auth_identity limited = {.name = "limited",
                                                 .roles = 15,
                                                 .channel_count = 1,
                                                 .location_count = 1,
                                                 .channels = {"web"},
                                                 .locations = {"main"}};
    uint8_t b = fuzz_byte(in);
    struct fuzz_service *f = calloc(1, sizeof *f);
    HF_ASSERT(f);
    folder_clone(&f->t.w, image);
    f->t.w.options.allow_v4 = b & 1;
    f->t.w.options.archive = !(b & 2);
    f->t.who = b & 4 ? limited : *auth_anonymous();
    service_start(f);
    fake_call_init(&f->t.call, &f->t.who);
    conserve_take(&f->t.w, &f->after);
    return f;
}

static void stream_close(struct fuzz_service *f)
{
    const struct rpc_method *m = f->stream.pub.method;
    if (!m)
        return;
    m->closed(f->t.hooks.ctx, f->t.local, &f->stream.pub);
    HF_ASSERT(!f->stream.pub.state);
    fake_call_fini(&f->stream);
    memset(&f->stream, 0, sizeof f->stream);
}

void fuzz_service_close(struct fuzz_service *f)
{
    struct world *w = &f->t.w;
    stream_close(f);
    fake_call_fini(&f->t.call);
    world_settle(w);
    conserve_take(w, &f->before); // may end holds
    world_settle(w);
    conserve_records(w, &f->before);
    service_world_close(&f->t);
    world_kill(w);
    world_open(w);
    conserve_take(w, &f->after);
    conserve_restarted(&f->before, &f->after);
    world_fini(w);
    free(f->bytes);
    free(f);
}

// ------------------------------------------------------------------------ a message

// As the listener does it. False: not to be handed on.
static bool request_take(struct fuzz_service *f, struct fake_call *c, const uint8_t *bytes,
                         size_t count)
{
    const ProtobufCMessageDescriptor *d = c->pub.method->request;
    char field[RPC_FIELD_BYTES];
    const char *why;
    free(f->bytes);
    uint8_t *copy = f->bytes = malloc(count ? count : 1);
    HF_ASSERT(copy);
    memcpy(copy, bytes, count);
    c->pub.bytes = copy;
    c->pub.byte_count = count;
    if (c->pub.method->raw)
        return true;
    if (!wire_check(d, copy, count, field, sizeof field, &why))
        return false;
    c->pub.request = protobuf_c_message_unpack(d, &c->pub.arena.allocator, count, copy);
    return c->pub.request != NULL;
}

static void error_judge(const struct rpc_error *e)
{
    HF_ASSERT(e->code > RPC_OK && e->code < RPC_CODE_COUNT && e->code != RPC_INTERNAL);
    HF_ASSERT(e->message && e->message[0]);
    HF_ASSERT(strnlen(e->field, sizeof e->field) < sizeof e->field);
}

static bool tells_decision(const struct rpc_method *m)
{
    return m->role == AUTH_STOREFRONT && m->kind == RPC_FAST;
}

// Whatever was appended on the way is durable before this is told.
static void answer_judge(const struct fuzz_service *f, const struct fake_call *c, uint64_t before)
{
    uint64_t appended = journal_appended(core_journal(f->t.w.core));
    HF_ASSERT(c->ended && c->ticket <= appended);
    if (c->failed)
        error_judge(&c->error);
    else if (tells_decision(c->pub.method))
        HF_ASSERT(appended == before || c->ticket == appended);
}

// Every Decision of these has the same form. NULL: a failure.
static Holdfast__V1__ReserveResponse *decision_take(struct fake_call *c)
{
    return c->failed ? NULL : fake_take(c, &holdfast__v1__reserve_response__descriptor);
}

static struct fake_call *unary(struct fuzz_service *f, const struct rpc_method *m,
                               const uint8_t *bytes, size_t count, uint8_t flags)
{
    struct service_world *t = &f->t;
    struct fake_call *c = &t->call;
    struct rpc_call *pub = &c->pub;
    uint64_t before = journal_appended(core_journal(t->w.core));
    fake_call_fini(c);
    fake_call_init(c, &t->who);
    pub->method = m;
    // An import that waits for a buffer would wait for the clock: it is told that nobody does.
    c->expired =
        flags & STEP_EXPIRED || m->request == &holdfast__v1__import_stock_request__descriptor;
    c->may_defer = !(flags & STEP_NO_SLOW_LANE);
    if (!request_take(f, c, bytes, count))
        return NULL;
    if (m->kind == RPC_FAST)
        t->hooks.burst(t->hooks.ctx, t->local, &pub, 1);
    else
        m->run(t->hooks.ctx, t->local, pub);
    if (c->deferred) {
        HF_ASSERT(!c->ended);
        c->may_defer = c->deferred = false;
        t->hooks.deferred(t->hooks.ctx, t->local, pub);
    }
    answer_judge(f, c, before);
    return c;
}

// A decision that was made stays made: the same request is told the same and changes nothing.
static void unary_again(struct fuzz_service *f, const struct rpc_method *m, size_t count,
                        uint8_t flags)
{
    static struct conserve again;
    Holdfast__V1__ReserveResponse *first = decision_take(&f->t.call), *second;
    if (!first)
        return;
    HF_ASSERT(first->decision);
    bool done = first->decision->outcome == HOLDFAST__V1__OUTCOME__OUTCOME_DONE;
    if (done) {
        conserve_take(&f->t.w, &f->after);
        HF_ASSERT(unary(f, m, f->message, count, flags));
        conserve_take(&f->t.w, &again);
        HF_ASSERT(conserve_same_cells(&f->after, &again));
        second = decision_take(&f->t.call);
        HF_ASSERT(!second || second->decision->outcome == first->decision->outcome);
        HF_ASSERT(!second || second->decision->repeat);
        HF_ASSERT(second || f->t.call.error.code == RPC_RESOURCE_EXHAUSTED ||
                  f->t.call.error.code == RPC_DEADLINE_EXCEEDED);
        if (second)
            protobuf_c_message_free_unpacked(&second->base, NULL);
    }
    protobuf_c_message_free_unpacked(&first->base, NULL);
}

// ------------------------------------------------------------------------ streams

// The client reads what was sent, the hub and whoever wakes the stream have their turn.
static void stream_pump(struct fuzz_service *f)
{
    struct fake_call *c = &f->stream;
    for (int i = 0; i < PUMPS_MAX && c->pub.method; i++) {
        bool idle = c->wakes == 0 && c->sent == c->taken;
        if (idle || (c->ended && c->sent == c->taken))
            break;
        if (c->wakes && !c->ended) {
            c->wakes = 0;
            c->pub.method->woken(f->t.hooks.ctx, f->t.local, &c->pub);
        }
        if (c->sent > c->taken) {
            HF_ASSERT(c->ticket <= journal_appended(core_journal(f->t.w.core)));
            free(c->packed[c->taken++ % FAKE_SENT_MAX]);
            if (!c->ended)
                c->pub.method->sent(f->t.hooks.ctx, f->t.local, &c->pub);
        }
    }
    if (c->ended && c->failed)
        error_judge(&c->error);
    if (c->ended)
        stream_close(f);
}

static void stream_open(struct fuzz_service *f, const struct rpc_method *m)
{
    if (f->stream.pub.method == m)
        return;
    stream_close(f);
    fake_call_init(&f->stream, &f->t.who);
    f->stream.pub.method = m;
    m->opened(f->t.hooks.ctx, f->t.local, &f->stream.pub);
}

// Of a batch without errors too: all that was appended for it is durable before it is told.
static void batch_judge(const struct fuzz_service *f, uint64_t before)
{
    const struct fake_call *c = &f->stream;
    uint64_t appended = journal_appended(core_journal(f->t.w.core));
    uint32_t last = (c->sent - 1) % FAKE_SENT_MAX;
    Holdfast__V1__ReserveStreamResponse *m =
        holdfast__v1__reserve_stream_response__unpack(NULL, c->bytes[last], c->packed[last]);
    char field[RPC_FIELD_BYTES];
    const char *why;
    bool told = true;
    HF_ASSERT(m && m->n_results > 0);
    HF_ASSERT(
        wire_check(m->base.descriptor, c->packed[last], c->bytes[last], field, sizeof field, &why));
    for (size_t i = 0; i < m->n_results; i++) {
        HF_ASSERT(m->results[i]->result_case != HOLDFAST__V1__STREAM_RESULT__RESULT__NOT_SET);
        told = told && m->results[i]->result_case != HOLDFAST__V1__STREAM_RESULT__RESULT_ERROR;
    }
    HF_ASSERT(!told || appended == before || c->ticket == appended);
    holdfast__v1__reserve_stream_response__free_unpacked(m, NULL);
}

static void stream_message(struct fuzz_service *f, size_t count, uint8_t flags)
{
    struct fake_call *c = &f->stream;
    const struct rpc_method *m = c->pub.method;
    c->may_defer = !(flags & STEP_NO_SLOW_LANE);
    c->draining = flags & STEP_EXPIRED;
    if (c->receiving && !c->ended) {
        c->receiving = false;
        arena_reset(&c->pub.arena);
        if (!request_take(f, c, f->message, count)) {
            stream_close(f);
            return;
        }
        uint64_t before = journal_appended(core_journal(f->t.w.core));
        uint32_t sent = c->sent;
        m->received(f->t.hooks.ctx, f->t.local, &c->pub);
        if (c->deferred) {
            c->deferred = false;
            f->t.hooks.deferred(f->t.hooks.ctx, f->t.local, &c->pub);
            m->woken(f->t.hooks.ctx, f->t.local, &c->pub);
        }
        if (m->request == &holdfast__v1__reserve_stream_request__descriptor && c->sent > sent)
            batch_judge(f, before);
        // The message and what it was unpacked to go with its answer.
        arena_reset(&c->pub.arena);
        free(f->bytes);
        f->bytes = NULL;
    }
    if (flags & STEP_CLOSE && c->receiving && !c->ended)
        m->half_closed(f->t.hooks.ctx, f->t.local, &c->pub);
    if (c->draining)
        c->wakes++;
}

// ------------------------------------------------------------------------ one batch, two ways

static bool text_empty(const struct core_request *r)
{
    return !r->text || (!r->text->reference_bytes && !r->text->buyer_bytes && !r->text->trace);
}

static void same_request(const struct core_request *a, const struct core_request *b)
{
    HF_ASSERT(a->verb == b->verb && a->flags == b->flags && a->ttl_ms == b->ttl_ms);
    HF_ASSERT(hf_uuid_equal(a->id, b->id) && hf_uuid_equal(a->op_id, b->op_id));
    HF_ASSERT(a->channel == b->channel && text_empty(a) && text_empty(b));
    HF_ASSERT(a->line_count == b->line_count && !a->line_answers == !b->line_answers);
    for (uint32_t i = 0; i < a->line_count; i++)
        HF_ASSERT(a->lines[i].handle == b->lines[i].handle && a->lines[i].unused == 0 &&
                  a->lines[i].quantity == b->lines[i].quantity);
}

// Without an operation that is malformed by itself, the batch is what the messages say.
static void same_batch(const struct stream_batch *b, const uint8_t *bytes, size_t count)
{
    Holdfast__V1__ReserveStreamRequest *m =
        holdfast__v1__reserve_stream_request__unpack(NULL, count, bytes);
    for (uint32_t i = 0; i < b->op_count; i++)
        if (b->ops[i].malformed && m) {
            holdfast__v1__reserve_stream_request__free_unpacked(m, NULL);
            return;
        }
    if (!m)
        return;
    HF_ASSERT(m->n_operations == b->op_count);
    for (uint32_t i = 0; i < b->op_count; i++) {
        HF_ASSERT(m->operations[i]->correlation_id == b->ops[i].correlation);
        HF_ASSERT((unsigned)m->operations[i]->operation_case == b->ops[i].member);
    }
    holdfast__v1__reserve_stream_request__free_unpacked(m, NULL);
}

void fuzz_service_batch(struct fuzz_service *f, const uint8_t *bytes, size_t count)
{
    struct arena a;
    struct rpc_error error;
    arena_init(&a, 64 << 20);
    struct stream_batch *b = stream_batch_read(&a, bytes, count, &error);
    if (!b)
        error_judge(&error);
    else
        same_batch(b, bytes, count);
    for (uint32_t i = 0; b && i < b->op_count; i++) {
        struct stream_op *op = &b->ops[i];
        struct stream_reader r = stream_reader_make(f->t.local, &f->t.who, &a);
        struct core_request straight, general;
        if (op->member == 0 || op->member == HOLDFAST__V1__STREAM_OPERATION__OPERATION_GET)
            continue;
        bool short_way = stream_op_straight(&r, op, &straight);
        bool long_way = stream_op_general(&r, op, &general, &error);
        HF_ASSERT(!short_way || long_way);
        if (short_way)
            same_request(&straight, &general);
        if (!long_way)
            error_judge(&error);
    }
    arena_reset(&a);
}

// ------------------------------------------------------------------------ a step

static size_t message_take(struct fuzz_service *f, const struct rpc_method *m, uint8_t flags,
                           struct fuzz_input *in)
{
    size_t got;
    if (!(flags & STEP_RAW))
        return shape_message(in, m->request, f->message, sizeof f->message);
    const uint8_t *from = fuzz_take(in, fuzz_number(in, 2), &got);
    memcpy(f->message, from, got);
    return got;
}

static bool may_oversell(const struct rpc_method *m)
{
    return m->role == AUTH_STOCK_ADMIN || m->kind == RPC_STREAM ||
           m->request == &holdfast__v1__record_request__descriptor;
}

static void after_step(struct fuzz_service *f, uint8_t flags)
{
    struct world *w = &f->t.w;
    if (flags & (STEP_SETTLE | STEP_KEEP)) {
        world_settle(w);
        enum hf_status s;
        while ((s = watch_hub_step(f->t.hub)) == HF_OK)
            ;
        HF_ASSERT(s == HF_AGAIN);
    }
    if (flags & STEP_KEEP)
        folder_housekeep(w);
}

void fuzz_service_step(struct fuzz_service *f, const struct rpc_method *m, struct fuzz_input *in)
{
    uint8_t flags = fuzz_byte(in);
    if (flags & STEP_PASS) {
        uint8_t t = fuzz_byte(in);
        folder_pass(&f->t.w, t < 192 ? t : (t - 191u) * 200u);
    }
    size_t count = message_take(f, m, flags, in);
    conserve_take(&f->t.w, &f->before);
    if (m->kind == RPC_STREAM) {
        stream_open(f, m);
        if (f->stream.pub.method)
            stream_message(f, count, flags);
    } else if (unary(f, m, f->message, count, flags) && flags & STEP_REPEAT && tells_decision(m)) {
        unary_again(f, m, count, flags);
    }
    after_step(f, flags);
    stream_pump(f);
    conserve_take(&f->t.w, &f->after);
    if (!may_oversell(m))
        conserve_not_oversold(&f->before, &f->after);
}
