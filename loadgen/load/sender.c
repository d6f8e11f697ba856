#include "load/sender.h"

#include "base/limits.h"
#include "base/prng.h"
#include "load/due.h"
#include "load/encode.h"
#include "sys/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define POLL_MOST       256
#define BATCH_LINES_MAX 8192 // keeps a message far below the server's limit
#define REOPEN_MS_MIN   20
#define REOPEN_MS_MAX   1000
#define WINDOW_MAX      64
#define FULL_NS         1000000 // until an operation that found no room is tried again
#define BOTH_NS         300000  // how long one way is waited for while both have something open
#define MIXED_MS        500     // mixed: packets try so long, then the way is chosen anew
#define METHOD_STREAM   "ReservationService/ReserveStream"

// A message on a stream whose results are not all there.
struct batch {
    uint32_t left;
    uint64_t sent_ns;
};

// A connection's stream.
struct lane {
    struct sender *sender;
    uint32_t index;
    struct link_stream *stream; // NULL: none now
    bool sending, cancelled, answered;
    uint64_t reopen_ns; // not before
    uint32_t reopen_ms;
    struct batch batches[WINDOW_MAX];
    struct op **slots; // by correlation id: batch * batch_max + place
};

struct sender {
    struct sender_options o;
    struct link *link;
    struct door *door; // NULL: no packets
    struct encoder *encoder;
    struct prng random;
    struct due waiting;     // for their next try
    struct op *head, *tail; // to go on a stream
    struct lane *lanes;
    struct op **gathered;
    uint32_t open, next_connection;
    struct sender_counts counts;
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

// ------------------------------------------------------------------------------- outcomes

static void op_finish(struct sender *s, struct op *op)
{
    s->open--;
    op->return_ns = now_ns();
    s->o.done(s->o.ctx, op);
}

static void op_again(struct sender *s, struct op *op)
{
    uint64_t now = now_ns();
    uint32_t doublings = op->tries == 0 ? 0 : op->tries < 16 ? op->tries - 1 : 15;
    uint64_t wait_ms = (uint64_t)s->o.wait_ms_min << doublings;
    if (wait_ms > s->o.wait_ms_max)
        wait_ms = s->o.wait_ms_max;
    uint64_t wait_ns = wait_ms * 500000 + prng_below(&s->random, wait_ms * 500000 + 1);
    if (wait_ns < op->result.retry_ms * UINT64_C(1000000))
        wait_ns = op->result.retry_ms * UINT64_C(1000000);
    if (op->result.code >= 0 && op->result.code < LINK_CODE_COUNT)
        s->counts.again[op->result.code]++;
    op->due_ns = now + wait_ns;
    if (op->due_ns > op->submitted_ns + s->o.give_up_ms * UINT64_C(1000000)) {
        op->result.outcome = OP_OUT_UNKNOWN;
        op_finish(s, op);
    } else {
        due_push(&s->waiting, op->due_ns, op);
    }
}

static void op_settle(struct sender *s, struct op *op, bool known)
{
    if (known)
        op_finish(s, op);
    else
        op_again(s, op);
}

// ------------------------------------------------------------------------------- unary

struct asked {
    struct sender *sender;
    struct op *op;
};

static void call_done(void *ctx, const struct link_end *end)
{
    struct asked a = *(struct asked *)ctx;
    free(ctx);
    op_settle(a.sender, a.op, decode_end(a.sender->o.cells, a.op, end));
}

static void call_send(struct sender *s, struct op *op)
{
    struct asked *a = malloc(sizeof *a);
    if (!a)
        abort();
    *a = (struct asked){s, op};
    op->tries++;
    s->counts.tries++;
    link_call(s->link, s->next_connection++, op_method(op->verb), encode_op(s->encoder, op),
              s->o.deadline_ms, call_done, a);
}

// ------------------------------------------------------------------------------- packets

static void op_send(struct sender *s, struct op *op);

static void door_settled(void *ctx, struct op *op, bool known, bool elsewhere)
{
    struct sender *s = ctx;
    op->by_grpc = op->by_grpc || elsewhere;
    if (elsewhere)
        op_send(s, op);
    else
        op_settle(s, op, known);
}

// True: it is on its way by packet, or will be as soon as there is room.
static bool packet_send(struct sender *s, struct op *op)
{
    if (!s->door || op->by_grpc || !door_takes(s->door, op) ||
        (s->o.transport == SENDER_MIXED && prng_below(&s->random, 2)))
        return false;
    if (!door_submit(s->door, op))
        due_push(&s->waiting, now_ns() + FULL_NS, op);
    return true;
}

static void op_send(struct sender *s, struct op *op)
{
    if (packet_send(s, op))
        return;
    if (!s->o.stream || op->verb == OP_ADJUST) {
        call_send(s, op);
        return;
    }
    op->next = NULL;
    if (s->tail)
        s->tail->next = op;
    else
        s->head = op;
    s->tail = op;
}

void sender_submit(struct sender *s, struct op *op)
{
    s->open++;
    op->submitted_ns = now_ns();
    op->by_grpc = false;
    op->invoke_ns = op->tries ? op->invoke_ns : op->submitted_ns;
    op_send(s, op);
}

// ------------------------------------------------------------------------------- streams

static struct op *stream_told(void *ctx, uint64_t correlation)
{
    struct lane *l = ctx;
    uint64_t room = (uint64_t)l->sender->o.window * l->sender->o.batch_max;
    struct op *op = correlation < room ? l->slots[correlation] : NULL;
    if (op) {
        l->slots[correlation] = NULL;
        l->batches[correlation / l->sender->o.batch_max].left--;
    }
    return op;
}

static void stream_settled(void *ctx, struct op *op, bool known)
{
    op_settle(((struct lane *)ctx)->sender, op, known);
}

static void stream_received(void *ctx, const unsigned char *bytes, size_t byte_count)
{
    struct lane *l = ctx;
    l->answered = true;
    if (!decode_batch(l->sender->o.cells, bytes, byte_count, stream_told, stream_settled, l) &&
        l->stream && !l->cancelled) {
        l->cancelled = true; // not our protocol: what is on its way is asked again
        link_stream_cancel(l->stream);
    }
}

static void stream_sent(void *ctx)
{
    ((struct lane *)ctx)->sending = false;
}

// A final status (no permission, no such method) is every operation's that was on its way.
static void stream_closed(void *ctx, const struct link_end *end)
{
    struct lane *l = ctx;
    struct sender *s = l->sender;
    uint32_t room = s->o.window * s->o.batch_max;
    l->stream = NULL;
    l->sending = l->cancelled = false;
    l->reopen_ms = l->answered || l->reopen_ms == 0 ? REOPEN_MS_MIN : l->reopen_ms * 2;
    if (l->reopen_ms > REOPEN_MS_MAX)
        l->reopen_ms = REOPEN_MS_MAX;
    l->reopen_ns = now_ns() + l->reopen_ms * UINT64_C(1000000);
    l->answered = false;
    s->counts.breaks++;
    memset(l->batches, 0, sizeof l->batches);
    struct link_end lost = *end;
    if (lost.code == LINK_OK)
        lost.code = LINK_UNAVAILABLE; // ended in the middle: nothing is known of the rest
    for (uint32_t i = 0; i < room; i++) {
        struct op *op = l->slots[i];
        l->slots[i] = NULL;
        if (op)
            op_settle(s, op, decode_end(s->o.cells, op, &lost));
    }
}

static void lane_open(struct lane *l)
{
    static const struct link_stream_events events = {stream_sent, stream_received, stream_closed};
    l->stream = link_stream_open(l->sender->link, l->index, METHOD_STREAM, &events, l);
}

static struct batch *lane_free_batch(struct lane *l)
{
    for (uint32_t i = 0; i < l->sender->o.window; i++)
        if (l->batches[i].left == 0)
            return &l->batches[i];
    return NULL;
}

// One message of what has gathered, where the stream can take one.
static bool lane_send(struct lane *l)
{
    struct sender *s = l->sender;
    struct batch *b = lane_free_batch(l);
    uint32_t count = 0, lines = 0, base;
    if (!s->head || l->sending || l->cancelled || !b)
        return false;
    if (!l->stream) {
        if (now_ns() < l->reopen_ns)
            return false;
        lane_open(l);
    }
    base = (uint32_t)(b - l->batches) * s->o.batch_max;
    while (s->head && count < s->o.batch_max &&
           (count == 0 || lines + s->head->line_count <= BATCH_LINES_MAX)) {
        struct op *op = s->head;
        s->head = op->next;
        op->tries++;
        op->lane = l->index;
        op->slot = base + count;
        l->slots[op->slot] = op;
        lines += op->line_count;
        s->gathered[count++] = op;
    }
    if (!s->head)
        s->tail = NULL;
    s->counts.tries += count;
    s->counts.messages++;
    *b = (struct batch){count, now_ns()};
    l->sending = true;
    link_stream_send(l->stream, encode_batch(s->encoder, s->gathered, count));
    return true;
}

// A server that stopped answering without going away.
static void lane_watch(struct lane *l, uint64_t now)
{
    uint64_t patience = l->sender->o.deadline_ms * UINT64_C(1000000);
    for (uint32_t i = 0; i < l->sender->o.window && l->stream && !l->cancelled; i++)
        if (l->batches[i].left && now > l->batches[i].sent_ns + patience) {
            l->cancelled = true;
            link_stream_cancel(l->stream);
        }
}

static void lanes_send(struct sender *s)
{
    for (bool more = s->head != NULL; more;) {
        more = false;
        for (uint32_t i = 0; i < s->o.link.connections; i++) {
            struct lane *l = &s->lanes[s->next_connection++ % s->o.link.connections];
            more = lane_send(l) || more;
        }
    }
}

// ------------------------------------------------------------------------------- polling

static void waiting_send(struct sender *s, uint64_t now)
{
    struct op *op;
    while ((op = due_pop(&s->waiting, now)) != NULL)
        op_send(s, op);
}

// Until when nothing of our own has to be done.
static uint64_t idle_until(struct sender *s, uint64_t until_ns, uint64_t now)
{
    uint64_t next = due_next(&s->waiting);
    if (next < until_ns)
        until_ns = next;
    for (uint32_t i = 0; s->o.stream && s->head && i < s->o.link.connections; i++)
        if (!s->lanes[i].stream && s->lanes[i].reopen_ns < until_ns)
            until_ns = s->lanes[i].reopen_ns;
    uint64_t watch = now + 100000000; // deadlines of streams
    return s->o.stream && watch < until_ns ? watch : until_ns;
}

// Packets and gRPC wait for different things: where both have something open, each gets its turn.
static void poll_both(struct sender *s, uint64_t until_ns)
{
    uint32_t by_packet = door_open(s->door);
    bool calls = s->open > by_packet + s->waiting.count;
    uint64_t now = now_ns();
    if (until_ns && calls && until_ns > now + BOTH_NS)
        until_ns = now + BOTH_NS;
    if (calls && by_packet == 0) {
        door_poll(s->door, 0);
        link_poll(s->link, until_ns, POLL_MOST);
    } else {
        door_poll(s->door, until_ns);
        link_poll(s->link, 0, POLL_MOST);
    }
    if (s->o.stream)
        lanes_send(s);
}

void sender_poll(struct sender *s, uint64_t until_ns)
{
    uint64_t now = now_ns();
    waiting_send(s, now);
    if (s->o.stream) {
        for (uint32_t i = 0; i < s->o.link.connections; i++)
            lane_watch(&s->lanes[i], now);
        lanes_send(s);
    }
    if (s->door)
        poll_both(s, until_ns ? idle_until(s, until_ns, now) : 0);
    else if (link_poll(s->link, until_ns ? idle_until(s, until_ns, now) : 0, POLL_MOST) &&
             s->o.stream)
        lanes_send(s);
}

// ------------------------------------------------------------------------------- set-up

static bool options_ok(const struct sender_options *o)
{
    return o->batch_max >= 1 && o->batch_max <= HF_BATCH_MAX && o->window >= 1 &&
           o->window <= WINDOW_MAX && o->wait_ms_min >= 1;
}

static enum hf_status door_make(struct sender *s, char why[200])
{
    static_assert(PACKET_CLIENT_WHY == 200, "one length of why");
    struct door_options o = {.link = &s->o.link,
                             .cells = s->o.cells,
                             .wire = s->o.wire.eal ? &s->o.wire : NULL,
                             .frame_items = s->o.frame_items,
                             .try_ms = s->o.packet_try_ms,
                             .again_ms = s->o.wait_ms_min,
                             .give_up_ms = s->o.give_up_ms,
                             .seed = s->o.seed,
                             .settled = door_settled,
                             .ctx = s};
    if (s->o.transport == SENDER_MIXED && o.give_up_ms > MIXED_MS)
        o.give_up_ms = MIXED_MS;
    enum hf_status status = door_create(&o, &s->door, why);
    if (status != HF_OK)
        s->door = NULL;
    return status;
}

enum hf_status sender_create(const struct sender_options *o, struct sender **out, char why[200])
{
    why[0] = '\0';
    if (!options_ok(o))
        return HF_INVALID;
    struct sender *s = calloc(1, sizeof *s);
    if (!s)
        return HF_NO_MEMORY;
    s->o = *o;
    s->random.state = o->seed;
    s->encoder = encoder_create(o->cells, o->batch_max);
    s->gathered = calloc(o->batch_max, sizeof(void *));
    s->lanes = calloc(o->link.connections, sizeof *s->lanes);
    enum hf_status status = s->encoder && s->gathered && s->lanes ? HF_OK : HF_NO_MEMORY;
    for (uint32_t i = 0; i < o->link.connections && status == HF_OK; i++) {
        s->lanes[i].sender = s;
        s->lanes[i].index = i;
        s->lanes[i].slots = calloc((size_t)o->window * o->batch_max, sizeof(void *));
        status = s->lanes[i].slots ? HF_OK : HF_NO_MEMORY;
    }
    if (status == HF_OK)
        status = link_create(&o->link, &s->link, why);
    if (status == HF_OK && o->transport != SENDER_GRPC)
        status = door_make(s, why);
    if (status != HF_OK)
        sender_destroy(s);
    else
        *out = s;
    return status;
}

void sender_destroy(struct sender *s)
{
    if (s->door)
        door_destroy(s->door);
    if (s->link)
        link_destroy(s->link);
    for (uint32_t i = 0; s->lanes && i < s->o.link.connections; i++)
        free(s->lanes[i].slots);
    if (s->encoder)
        encoder_destroy(s->encoder);
    due_fini(&s->waiting);
    free(s->gathered);
    free(s->lanes);
    free(s);
}

uint32_t sender_open(const struct sender *s)
{
    return s->open;
}

const struct sender_counts *sender_counts(struct sender *s)
{
    if (s->door)
        s->counts.packets = *door_counts(s->door);
    return &s->counts;
}

struct link *sender_link(struct sender *s)
{
    return s->link;
}
