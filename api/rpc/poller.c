// The poller: what a thread of the listener does.
//
//   gather    events of the completion queue, without waiting, until there is none left or it has
//             taken GATHER_NS; messages of streams are decided on the way
//   hand on   unary calls that arrived, as one burst: decided together, one journal append
//   tell      replies whose ticket is durable, in the order of their decisions
//   sleep     in the completion queue
//
// A reply that waits keeps its place in a list; the journal's writer calls rpc_durable_advanced
// after each sync, which rings the bell of each poller that has something waiting. The poller
// states that it waits (`waiting`, sequentially consistent) before it looks at the journal a last
// time and sleeps (D0); the writer publishes what is durable before it looks at `waiting` (D1): at
// least one sees the other.
//
// Other threads reach a poller by its inbox, a stack of calls, and the same bell.
//
// The bell: gRPC has no public way to put an event of one's own on a completion queue, but an empty
// batch completes at once. So each poller has a client call on a channel that leads nowhere, which
// never sends anything, for the sake of its queue.
#include "rpc/rpc_internal.h"

#include "rpc/wire.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <stdlib.h>
#include <string.h>

// What strangers may ask is a name or two. Unpacked, a message can be many times as large.
#define KEYLESS_BYTES_MAX 4096
#define GATHER_NS         1000000 // of one turn
#define OWED_MS           100     // until memory that was missing is asked for again

static _Thread_local const struct poller *own_poller;

bool on_own_poller(const struct call *c)
{
    return own_poller == c->poller;
}

// ------------------------------------------------------------------------------- messages

bool call_bytes(struct call *c)
{
    c->pub.bytes = NULL;
    c->pub.byte_count = 0;
    if (!c->payload)
        return true;
    grpc_byte_buffer_reader reader;
    if (!grpc_byte_buffer_reader_init(&reader, c->payload))
        return false;
    size_t total = grpc_byte_buffer_length(c->payload), at = 0;
    if (c->pub.method->role == 0 && total > KEYLESS_BYTES_MAX) {
        grpc_byte_buffer_reader_destroy(&reader);
        return false;
    }
    unsigned char *copy = NULL;
    grpc_slice *slice;
    bool good = true;
    while (good && grpc_byte_buffer_reader_peek(&reader, &slice)) {
        size_t bytes = GRPC_SLICE_LENGTH(*slice);
        if (at == 0 && bytes == total) { // whole already: it lives as long as the payload
            c->pub.bytes = GRPC_SLICE_START_PTR(*slice);
            c->pub.byte_count = total;
            break;
        }
        copy = copy ? copy : arena_take(&c->pub.arena, total);
        good = copy && bytes <= total - at;
        if (good)
            memcpy(copy + at, GRPC_SLICE_START_PTR(*slice), bytes);
        at += bytes;
        c->pub.bytes = copy;
        c->pub.byte_count = at;
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return good;
}

bool call_unpack(struct call *c, struct rpc_error *error)
{
    const ProtobufCMessageDescriptor *d = c->pub.method->request;
    char field[RPC_FIELD_BYTES];
    const char *why;
    if (!wire_check(d, c->pub.bytes, c->pub.byte_count, field, sizeof field, &why)) {
        count_up(&c->poller->metrics.malformed);
        *error = rpc_invalid(field, why);
        return false;
    }
    c->pub.request =
        protobuf_c_message_unpack(d, &c->pub.arena.allocator, c->pub.byte_count, c->pub.bytes);
    if (!c->pub.request && c->pub.arena.no_memory) {
        *error = rpc_no_memory();
        return false;
    }
    if (!c->pub.request) {
        count_up(&c->poller->metrics.malformed);
        *error = rpc_invalid("", "the message is not well-formed, or too large when unpacked");
        return false;
    }
    return true;
}

void rpc_malformed(struct rpc_call *call)
{
    count_up(&((struct call *)call)->poller->metrics.malformed);
}

static grpc_byte_buffer *buffer_of(grpc_slice slice)
{
    grpc_byte_buffer *b = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return b;
}

grpc_byte_buffer *message_pack(const ProtobufCMessage *m)
{
    grpc_slice slice = grpc_slice_malloc(protobuf_c_message_get_packed_size(m));
    protobuf_c_message_pack(m, GRPC_SLICE_START_PTR(slice));
    return buffer_of(slice);
}

grpc_byte_buffer *bytes_copy(const unsigned char *bytes, size_t count)
{
    return buffer_of(grpc_slice_from_copied_buffer((const char *)bytes, count));
}

// ------------------------------------------------------------------------------- calls awaited

static struct call *call_take(struct poller *p)
{
    struct call *c = p->free;
    if (c) {
        p->free = c->next;
    } else {
        c = calloc(1, sizeof *c);
        if (!c)
            return NULL;
        c->poller = p;
        grpc_metadata_array_init(&c->metadata);
        for (int k = 0; k < TAG_COUNT; k++)
            c->tags[k] = (struct tag){c, (enum tag_kind)k};
        arena_init(&c->pub.arena, 16 * (size_t)p->rpc->options.limits.message_bytes_max);
    }
    c->metadata.count = 0; // what is there is written over
    hf_store_relaxed(&c->handed, 0u);
    c->call = NULL;
    c->payload = NULL;
    c->reply = NULL;
    c->counted = false;
    c->pub.request = NULL;
    c->pub.state = NULL;
    c->pub.who = NULL;
    return c;
}

// Calls for methods that are not in the table: the core would keep them for ever, unanswered.
static const struct rpc_method unknown_method = {.path = "", .kind = RPC_FAST};
#define UNKNOWN_POSTED 4

static grpc_call_error call_request(struct poller *p, struct call *c)
{
    struct rpc *r = p->rpc;
    if (c->slot == r->options.method_count)
        return grpc_server_request_call(r->server, &c->call, &c->details, &c->metadata, p->cq,
                                        p->cq, &c->tags[TAG_REQUESTED]);
    return grpc_server_request_registered_call(
        r->server, r->registered[c->slot], &c->call, &c->deadline, &c->metadata,
        c->pub.method->kind == RPC_STREAM ? NULL : &c->payload, p->cq, p->cq,
        &c->tags[TAG_REQUESTED]);
}

// False: no memory. The method has one fewer awaited, until owed_post.
static bool call_post(struct poller *p, uint32_t method)
{
    struct rpc *r = p->rpc;
    struct call *c = call_take(p);
    if (!c)
        return false;
    c->slot = method;
    bool known = method < r->options.method_count;
    c->pub.method = known ? &r->options.methods[method] : &unknown_method;
    if (!known)
        grpc_call_details_init(&c->details);
    if (call_request(p, c) != GRPC_CALL_OK) {
        c->next = p->free;
        p->free = c;
    }
    return true;
}

// gRPC loses a request for a call that meets its server's shutdown half way: no event ever comes,
// and the queue never ends. So neither begins beside the other: the poller says that it posts and
// then looks for the drain (P0); the drain is announced, and then waits for posts to be over (P1).
static void call_await(struct poller *p, uint32_t method)
{
    bool posted = true;
    hf_store_seq(&p->posting, 1u); // P0
    if (!hf_load_seq(&p->rpc->draining))
        posted = call_post(p, method);
    hf_store_release(&p->posting, 0u);
    p->owed[method] += !posted;
    p->owed_sum += !posted;
}

// What could not be awaited is, as soon as there is memory: a call that has ended, or the heap's.
// A method whose calls were all lost would else never be heard of again.
static void owed_post(struct poller *p)
{
    for (uint32_t m = 0; m <= p->rpc->options.method_count; m++) {
        for (uint32_t n = p->owed[m]; n > 0; n--) {
            uint32_t before = p->owed_sum--;
            p->owed[m]--;
            call_await(p, m);
            if (p->owed_sum == before)
                return; // still none
        }
    }
}

static void call_count(struct call *c, bool more)
{
    struct poller *p = c->poller;
    bool stream = c->pub.method->kind == RPC_STREAM;
    uint32_t *open = stream ? &p->streams_open : &p->calls_open, step = more ? 1 : UINT32_MAX;
    hf_store_relaxed(open, *open + step);
    if (c->stranger)
        p->strangers_open[stream] += step;
    else if (p->key_open[stream])
        p->key_open[stream][c->pub.who->number] += step;
    c->counted = more;
}

static bool call_refuse(struct call *c, const char *reason, const char *message,
                        struct rpc_error *error)
{
    count_up(&c->poller->metrics.refused);
    *error = (struct rpc_error){.code = RPC_RESOURCE_EXHAUSTED,
                                .reason = reason,
                                .message = message,
                                .retry_ms = c->pub.method->kind == RPC_STREAM ? RETRY_STREAM_MS
                                                                              : RETRY_BUSY_MS};
    return false;
}

void call_hold(struct call *c, size_t bytes)
{
    struct poller *p = c->poller;
    hf_add(&p->bytes_held[c->stranger], bytes);
    if (p->key_bytes && !c->stranger)
        hf_add(&p->key_bytes[c->pub.who->number], bytes);
}

void call_let_go(struct call *c, size_t bytes)
{
    struct poller *p = c->poller;
    if (bytes == 0)
        return; // it may have got nowhere
    call_hold(c, -bytes);
    p->room_again = true;
}

bool call_has_room(const struct call *c)
{
    const struct poller *p = c->poller;
    uint64_t share = p->bytes_max * p->rpc->options.limits.key_share / 100;
    if (hf_load_relaxed(&p->bytes_held[c->stranger]) >= p->bytes_max)
        return false;
    return c->stranger || !p->key_bytes ||
           hf_load_relaxed(&p->key_bytes[c->pub.who->number]) < (share ? share : 1);
}

bool call_admit(struct call *c, struct rpc_error *error)
{
    struct poller *p = c->poller;
    const struct rpc_limits *l = &p->rpc->options.limits;
    bool stream = c->pub.method->kind == RPC_STREAM;
    c->pub.who = call_identify(c, error);
    c->stranger = c->pub.method->role == 0 || !c->pub.who;
    call_count(c, true);
    uint32_t strangers = p->strangers_open[stream], max = stream ? l->streams_max : l->calls_max;
    uint32_t all = stream ? p->streams_open : p->calls_open;
    if ((c->stranger ? strangers : all - strangers) > max)
        return call_refuse(c, stream ? "TOO_MANY_STREAMS" : "TOO_MANY_CALLS",
                           stream ? "too many streams are open" : "too many calls are in progress",
                           error);
    if (!c->pub.who) {
        count_up(&p->metrics.unauthenticated);
        return false;
    }
    if (!stream && !call_has_room(c)) {
        count_up(&p->metrics.refused);
        *error = rpc_no_room();
        return false;
    }
    uint64_t share = (uint64_t)max * l->key_share / 100;
    if (c->stranger || !p->key_open[stream] ||
        p->key_open[stream][c->pub.who->number] <= (share ? share : 1))
        return true;
    count_up(&p->metrics.key_refused);
    return call_refuse(c, "KEY_SHARE", "calls of this key take all that one key may have", error);
}

void call_release(struct call *c)
{
    struct poller *p = c->poller;
    call_let_go(c, c->reply_bytes);
    c->reply_bytes = 0;
    if (c->counted)
        call_count(c, false);
    if (c->call)
        grpc_call_unref(c->call);
    if (c->payload)
        grpc_byte_buffer_destroy(c->payload);
    if (c->reply)
        grpc_byte_buffer_destroy(c->reply);
    c->call = NULL;
    c->payload = NULL;
    c->reply = NULL;
    arena_reset(&c->pub.arena);
    c->next = p->free;
    p->free = c;
}

static void call_unknown(struct call *c)
{
    struct rpc_error error = {.code = RPC_UNIMPLEMENTED,
                              .message = "this server has no such method"};
    count_up(&c->poller->metrics.calls);
    struct rpc_error none;
    (void)call_admit(c, &none); // refused in any case
    rpc_fail(&c->pub, &error);
}

static void call_requested(struct poller *p, struct call *c, bool ok)
{
    bool known = c->slot < p->rpc->options.method_count;
    if (!known)
        grpc_call_details_destroy(&c->details);
    if (!ok) { // shutting down
        c->call = NULL;
        call_release(c);
        return;
    }
    call_await(p, c->slot);
    if (!known) {
        call_unknown(c);
        return;
    }
    call_context(c);
    if (c->pub.method->kind == RPC_STREAM)
        stream_arrived(c);
    else
        call_arrived(c);
}

// ------------------------------------------------------------------------------- waking

void poller_wake(struct poller *p)
{
    pthread_mutex_lock(&p->bell_lock);
    if (!p->rung && !p->closing)
        p->rung = grpc_call_start_batch(p->bell, NULL, 0, &p->wake_tag, NULL) == GRPC_CALL_OK;
    pthread_mutex_unlock(&p->bell_lock);
}

void poller_post(struct poller *p, struct call *c, uint32_t bit)
{
    if (__atomic_fetch_or(&c->posted, bit, __ATOMIC_ACQ_REL) != 0)
        return; // it is in the inbox; whoever takes it out sees the bit (P0, pairs with P1)
    struct call *head = hf_load_relaxed(&p->inbox);
    do
        c->next_posted = head;
    while (!hf_cas(&p->inbox, &head, c));
    poller_wake(p);
}

static void inbox_drain(struct poller *p)
{
    struct call *c = hf_exchange(&p->inbox, NULL);
    while (c) {
        struct call *next = c->next_posted;
        uint32_t bits = hf_exchange(&c->posted, 0u); // P1
        if (c->pub.method->kind == RPC_STREAM) {
            stream_posted(c, bits);
        } else { // a reply from the slow lane
            c->next = NULL;
            *p->last_waiting = c;
            p->last_waiting = &c->next;
        }
        c = next;
    }
}

// ------------------------------------------------------------------------------- telling

static void replies_tell(struct poller *p)
{
    uint64_t durable = p->rpc->options.hooks.durable(p->rpc->options.hooks.ctx);
    while (p->first_waiting && p->first_waiting->ticket <= durable) {
        struct call *c = p->first_waiting;
        p->first_waiting = c->next;
        if (!p->first_waiting)
            p->last_waiting = &p->first_waiting;
        call_answer(c);
    }
    struct call *listed = p->listed;
    p->listed = NULL;
    while (listed) {
        struct call *c = listed;
        listed = c->stream.next_listed;
        stream_listed(c);
    }
}

static bool anything_waits(const struct poller *p)
{
    return p->first_waiting || p->listed;
}

// ------------------------------------------------------------------------------- the loop

static void event_take(struct poller *p, const struct tag *t, bool ok)
{
    if (!t->call) {
        if (t == &p->rpc->shutdown_tag) {
            hf_store_seq(&p->rpc->shut_down, 1u);
            park_wake(&p->rpc->park);
            return;
        }
        pthread_mutex_lock(&p->bell_lock);
        p->rung = false;
        pthread_mutex_unlock(&p->bell_lock);
        return; // the inbox and the replies are looked at in any case
    }
    if (t->kind == TAG_REQUESTED)
        call_requested(p, t->call, ok);
    else if (t->kind == TAG_ANSWERED)
        call_done(t->call);
    else
        stream_tag(t->call, t->kind, ok);
}

static void burst_run(struct poller *p)
{
    const struct rpc_hooks *h = &p->rpc->options.hooks;
    if (p->burst_count == 0)
        return;
    count_up(&p->metrics.bursts);
    uint32_t count = p->burst_count;
    p->burst_count = 0;
    h->burst(h->ctx, p->local, p->burst, count);
}

// Takes what has arrived, and waits `until` for the first of it. True: the queue has ended. A
// stream's message is decided as it is taken, and the next ones arrive meanwhile: so it ends after
// GATHER_NS at the latest, for those that came in between, and for replies.
static bool gather(struct poller *p, gpr_timespec until)
{
    const gpr_timespec now = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    grpc_event e = grpc_completion_queue_next(p->cq, until, NULL);
    uint64_t end = e.type == GRPC_OP_COMPLETE ? rpc_now_ns() + GATHER_NS : 0;
    while (e.type == GRPC_OP_COMPLETE) {
        event_take(p, e.tag, e.success != 0);
        if (p->burst_count == RPC_BURST_MAX || rpc_now_ns() >= end)
            break;
        e = grpc_completion_queue_next(p->cq, now, NULL);
    }
    return e.type == GRPC_QUEUE_SHUTDOWN;
}

static void poller_loop(struct poller *p)
{
    const gpr_timespec now = gpr_inf_past(GPR_CLOCK_MONOTONIC);
    const gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC);
    for (;;) {
        bool sleep = true;
        gpr_timespec until = never;
        if (p->owed_sum)
            owed_post(p);
        if (p->owed_sum)
            until = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                 gpr_time_from_millis(OWED_MS, GPR_TIMESPAN));
        if (anything_waits(p)) {
            hf_store_seq(&p->waiting, 1u); // D0
            replies_tell(p);
            sleep = p->burst_count == 0;
        }
        if (!anything_waits(p))
            hf_store_relaxed(&p->waiting, 0u);
        if (gather(p, sleep ? until : now))
            return;
        inbox_drain(p);
        burst_run(p);
        if (p->room_again)
            streams_held(p);
        if (!p->drain_told && hf_load_acquire(&p->rpc->draining))
            streams_drain(p);
    }
}

static void poller_free(struct poller *p)
{
    while (p->free) {
        struct call *c = p->free;
        p->free = c->next;
        grpc_metadata_array_destroy(&c->metadata);
        free(c);
    }
}

void *poller_run(void *arg)
{
    struct poller *p = arg;
    struct rpc *r = p->rpc;
    own_poller = p;
    pthread_setname_np(pthread_self(), "hf-poller");
    p->local = r->options.hooks.thread_start(r->options.hooks.ctx, p->lane);
    thread_started(r, p->local != NULL);
    if (p->local) {
        for (uint32_t m = 0; m < r->options.method_count; m++)
            for (uint32_t k = 0; k < r->options.methods[m].posted; k++)
                call_await(p, m);
        for (uint32_t k = 0; k < UNKNOWN_POSTED; k++)
            call_await(p, r->options.method_count);
        poller_loop(p);
        r->options.hooks.thread_stop(r->options.hooks.ctx, p->local);
    }
    poller_free(p);
    return NULL;
}
