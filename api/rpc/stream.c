// Streams: messages in both directions until one side ends.
//
//   requested -> opened -> (receive, send)* -> finishing -> finished -> closed -> released
//
// `closed` here is the transport's last word (GRPC_OP_RECV_CLOSE_ON_SERVER); a stream is released
// when it has come, no batch is under way (ops), and nothing in another thread still has it. At
// most one message is received and one is sent at a time; what may not be told yet waits in a list.
//
// What a client does not read stays here, so it is counted: a stream with much unsent receives no
// further message, and one that has arrived waits, packed, until there is room among all streams.
#include "rpc/rpc_internal.h"

#include "rpc/details.h"

#include <grpc/byte_buffer.h>
#include <stdlib.h>
#include <string.h>

static void start(struct call *c, const grpc_op *ops, size_t count, enum tag_kind kind)
{
    grpc_call_error e = grpc_call_start_batch(c->call, ops, count, &c->tags[kind], NULL);
    HF_ASSERT(e == GRPC_CALL_OK); // one of a kind at a time, in the order of the states
    c->stream.ops++;
}

static void unsent_free(struct call *c, struct unsent *u)
{
    c->stream.unsent_bytes -= u->bytes;
    call_let_go(c, u->bytes);
    grpc_byte_buffer_destroy(u->message);
    free(u);
}

static void unsent_drop(struct call *c)
{
    struct stream *s = &c->stream;
    while (s->first) {
        struct unsent *u = s->first;
        s->first = u->next;
        unsent_free(c, u);
    }
    s->last = &s->first;
}

// ------------------------------------------------------------------------------- begin

void stream_arrived(struct call *c)
{
    struct poller *p = c->poller;
    const struct rpc_hooks *h = &p->rpc->options.hooks;
    struct rpc_error error;
    count_up(&p->metrics.streams);
    c->stream = (struct stream){.last = NULL};
    c->stream.last = &c->stream.first;
    grpc_op closed = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    closed.data.recv_close_on_server.cancelled = &c->cancelled;
    start(c, &closed, 1, TAG_CLOSED);
    grpc_op opened = {.op = GRPC_OP_SEND_INITIAL_METADATA};
    start(c, &opened, 1, TAG_OPENED);
    if (!call_admit(c, &error)) {
        rpc_finish(&c->pub, &error);
        return;
    }
    c->stream.open = true;
    c->stream.next_open = p->open;
    c->stream.link_open = &p->open;
    if (p->open)
        p->open->stream.link_open = &c->stream.next_open;
    p->open = c;
    p->drain_told = false; // it may have arrived when the others had been told
    c->pub.method->opened(h->ctx, p->local, &c->pub);
}

// ------------------------------------------------------------------------------- receive

void rpc_receive(struct rpc_call *pub)
{
    struct call *c = (struct call *)pub;
    struct stream *s = &c->stream;
    if (s->receiving || s->held || s->finishing || s->closed)
        return;
    s->wanted = s->unsent_bytes >= STREAM_UNSENT_BYTES;
    if (s->wanted)
        return;
    s->receiving = true;
    if (c->payload) // the message before: pub.bytes ends here
        grpc_byte_buffer_destroy(c->payload);
    c->payload = NULL;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &c->payload;
    start(c, &op, 1, TAG_RECEIVED);
}

// False: it is ending, or its key has been revoked, which ends it.
static bool stream_goes_on(struct call *c)
{
    struct stream *s = &c->stream;
    if (!s->open || s->closed || s->finishing)
        return false;
    if (auth_in_force(c->pub.who))
        return true;
    struct rpc_error error = {.code = RPC_UNAUTHENTICATED,
                              .reason = "KEY",
                              .message = "this API key is not valid any more"};
    count_up(&c->poller->metrics.unauthenticated);
    rpc_finish(&c->pub, &error);
    return false;
}

// What was unpacked goes with its answer: an idle stream holds none of it.
static void message_over(struct call *c)
{
    if (!c->stream.deferred)
        arena_reset(&c->pub.arena);
}

static void message_take(struct call *c)
{
    struct poller *p = c->poller;
    const struct rpc_hooks *h = &p->rpc->options.hooks;
    struct rpc_error error = rpc_no_memory();
    count_up(&p->metrics.messages);
    arena_reset(&c->pub.arena);
    c->pub.arrived_ns = rpc_now_ns();
    if (call_bytes(c) && (c->pub.method->raw || call_unpack(c, &error)))
        c->pub.method->received(h->ctx, p->local, &c->pub);
    else
        rpc_finish(&c->pub, &error);
    message_over(c);
}

static void message_hold(struct call *c)
{
    struct poller *p = c->poller;
    c->stream.held = true;
    c->stream.next_held = NULL;
    *p->last_held = c;
    p->last_held = &c->stream.next_held;
}

static void stream_received(struct call *c, bool ok)
{
    struct poller *p = c->poller;
    const struct rpc_hooks *h = &p->rpc->options.hooks;
    c->stream.receiving = false;
    if (!stream_goes_on(c))
        return;
    if (ok && c->payload && call_has_room(c)) {
        message_take(c);
    } else if (ok && c->payload) {
        count_up(&p->metrics.held);
        message_hold(c);
    } else if (ok) {
        c->pub.method->half_closed(h->ctx, p->local, &c->pub);
    }
    // not ok: the close is on its way
}

// ------------------------------------------------------------------------------- send

// NULL: nobody would read it, as the stream is closed or ends here for want of memory: a client
// that waited for the answer would wait for ever.
static struct unsent *unsent_make(struct call *c, uint64_t ticket)
{
    HF_ASSERT(!c->stream.finishing);
    if (c->stream.closed)
        return NULL;
    struct unsent *u = malloc(sizeof *u);
    struct rpc_error error = rpc_no_memory();
    if (u)
        *u = (struct unsent){.ticket = ticket};
    else
        rpc_finish(&c->pub, &error);
    return u;
}

static void unsent_queue(struct call *c, struct unsent *u)
{
    u->bytes = grpc_byte_buffer_length(u->message);
    c->stream.unsent_bytes += u->bytes;
    call_hold(c, u->bytes);
    *c->stream.last = u;
    c->stream.last = &u->next;
    if (on_own_poller(c))
        stream_pump(c); // else the slow lane gives the stream back, and that pumps
}

void rpc_send(struct rpc_call *pub, const ProtobufCMessage *message, uint64_t ticket)
{
    struct call *c = (struct call *)pub;
    struct unsent *u = unsent_make(c, ticket);
    if (!u)
        return;
    u->message = message_pack(message);
    unsent_queue(c, u);
}

void rpc_send_packed(struct rpc_call *pub, const unsigned char *bytes, size_t count,
                     uint64_t ticket)
{
    struct call *c = (struct call *)pub;
    struct unsent *u = unsent_make(c, ticket);
    if (!u)
        return;
    u->message = bytes_copy(bytes, count);
    unsent_queue(c, u);
}

static void status_send(struct call *c)
{
    struct stream *s = &c->stream;
    grpc_metadata trailer = {.key = grpc_slice_from_static_string("grpc-status-details-bin"),
                             .value = s->details};
    grpc_op op = {.op = GRPC_OP_SEND_STATUS_FROM_SERVER};
    op.data.send_status_from_server.status = (grpc_status_code)s->code;
    op.data.send_status_from_server.status_details = s->code == RPC_OK ? NULL : &s->message;
    op.data.send_status_from_server.trailing_metadata = s->has_details ? &trailer : NULL;
    op.data.send_status_from_server.trailing_metadata_count = s->has_details ? 1 : 0;
    s->finished = true;
    hf_add(&c->poller->metrics.codes[s->code], 1);
    start(c, &op, 1, TAG_FINISHED);
}

void stream_pump(struct call *c)
{
    struct stream *s = &c->stream;
    if (s->closed || s->in_flight || s->deferred)
        return;
    if (s->first && ticket_durable(c->poller->rpc, s->first->ticket)) {
        struct unsent *u = s->first;
        s->first = u->next;
        if (!s->first)
            s->last = &s->first;
        s->in_flight = u;
        grpc_op op = {.op = GRPC_OP_SEND_MESSAGE};
        op.data.send_message.send_message = u->message;
        start(c, &op, 1, TAG_SENT);
    } else if (s->first && !s->listed) {
        s->listed = true;
        s->next_listed = c->poller->listed;
        c->poller->listed = c;
    } else if (!s->first && s->finishing && !s->finished) {
        status_send(c);
    }
}

void rpc_finish(struct rpc_call *pub, const struct rpc_error *error)
{
    struct call *c = (struct call *)pub;
    struct stream *s = &c->stream;
    if (s->finishing)
        return;
    s->finishing = true;
    s->code = error ? error->code : RPC_OK;
    if (error) {
        unsigned char packed[DETAILS_BYTES_MAX];
        char text[256];
        details_message(error, text, sizeof text);
        size_t bytes = details_pack(error, packed);
        s->message = grpc_slice_from_copied_string(text);
        s->details = grpc_slice_from_copied_buffer((const char *)packed, bytes);
        s->has_details = true;
    }
    stream_pump(c);
}

// ------------------------------------------------------------------------------- end

static void stream_end(struct call *c)
{
    struct stream *s = &c->stream;
    const struct rpc_hooks *h = &c->poller->rpc->options.hooks;
    if (!s->closed || s->ops || s->deferred || s->listed || s->held || s->gone)
        return;
    if (s->open) {
        s->open = false;
        *s->link_open = s->next_open;
        if (s->next_open)
            s->next_open->stream.link_open = s->link_open;
        c->pub.method->closed(h->ctx, c->poller->local, &c->pub); // from here on nobody wakes it
    }
    if (hf_load_acquire(&c->posted))
        return; // it is in the inbox: stream_posted comes back here
    s->gone = true;
    unsent_drop(c);
    if (s->has_details) {
        grpc_slice_unref(s->message);
        grpc_slice_unref(s->details);
    }
    if (c->cancelled)
        count_up(&c->poller->metrics.cancelled);
    call_release(c);
}

void stream_tag(struct call *c, enum tag_kind kind, bool ok)
{
    struct stream *s = &c->stream;
    const struct rpc_hooks *h = &c->poller->rpc->options.hooks;
    s->ops--;
    if (kind == TAG_RECEIVED) {
        stream_received(c, ok);
    } else if (kind == TAG_SENT) {
        unsent_free(c, s->in_flight);
        s->in_flight = NULL;
        if (ok && stream_goes_on(c))
            c->pub.method->sent(h->ctx, c->poller->local, &c->pub);
        if (s->wanted)
            rpc_receive(&c->pub);
        stream_pump(c);
    } else if (kind == TAG_CLOSED) {
        s->closed = true;
        unsent_drop(c);
        c->poller->room_again |= s->held; // it is to be taken off the list
    }
    stream_end(c);
}

void stream_posted(struct call *c, uint32_t bits)
{
    struct stream *s = &c->stream;
    const struct rpc_hooks *h = &c->poller->rpc->options.hooks;
    if (bits & POSTED_DONE) {
        s->deferred = false;
        call_let_go(c, s->deferred_bytes);
    }
    // What the slow lane has decided is told in any case.
    bool told = (bits & POSTED_DONE) && s->open && !s->closed && !s->finishing;
    if (!s->deferred && (told || stream_goes_on(c)))
        c->pub.method->woken(h->ctx, c->poller->local, &c->pub);
    if (bits & POSTED_DONE)
        message_over(c);
    if (!s->gone)
        stream_pump(c);
    stream_end(c);
}

void stream_listed(struct call *c)
{
    c->stream.listed = false;
    stream_pump(c);
    stream_end(c); // its last tag may have come while it was on the list
}

void streams_held(struct poller *p)
{
    struct call *c = p->first_held;
    p->first_held = NULL;
    p->last_held = &p->first_held;
    p->room_again = false;
    while (c) {
        struct call *next = c->stream.next_held;
        c->stream.held = false;
        bool goes_on = stream_goes_on(c);
        if (goes_on && call_has_room(c))
            message_take(c);
        else if (goes_on)
            message_hold(c);
        stream_end(c);
        c = next;
    }
}

void streams_drain(struct poller *p)
{
    struct call *c = p->open;
    p->drain_told = true;
    while (c) {
        struct call *next = c->stream.next_open; // it may end here
        stream_posted(c, POSTED_WAKE);
        c = next;
    }
}

bool rpc_draining(const struct rpc_call *pub)
{
    const struct call *c = (const struct call *)pub;
    return hf_load_acquire(&c->poller->rpc->draining) != 0;
}

void rpc_wake(struct rpc_call *pub)
{
    struct call *c = (struct call *)pub;
    poller_post(c->poller, c, POSTED_WAKE);
}
