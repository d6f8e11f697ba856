#include "load/door.h"

#include "sys/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX   65536
#define OPEN_MS_MAX 500 // a server that was killed is soon asked again

// An operation on its way.
struct entry {
    struct packet_client_item item; // first
    struct op *op;
    struct entry *next; // of the free ones
    struct packet_line lines[PACKET_LINES_MAX];
};

struct door {
    struct door_options o;
    struct packet_client *client;
    struct entry *entries, *free;
    uint32_t used; // entries from here on were never taken, and cost no memory yet
};

// ------------------------------------------------------------------------------- answers

static void result_fill(struct op *op, const struct packet_client_item *item)
{
    struct op_result *r = &op->result;
    *r = (struct op_result){.outcome = OP_OUT_UNKNOWN,
                            .code = LINK_OK,
                            .repeat = (item->reply_flags & PACKET_REPEAT) != 0,
                            .durable = (item->reply_flags & PACKET_DURABLE) != 0};
    if (item->state < OP_STATE_COUNT)
        r->state = (enum op_state)item->state;
    if (item->outcome == PACKET_OUT_DONE && item->state == PACKET_STATE_HELD)
        r->expires_at_ms = (int64_t)(clock_wall_ms(clock_os()) + item->detail);
}

// Final, and not done by this try; an earlier one may have been.
static void result_final(struct op *op, const struct packet_client_item *item, int code)
{
    op->result.code = code;
    op->result.outcome = op->tries > 1 ? OP_OUT_UNKNOWN : OP_OUT_REJECTED;
    snprintf(op->result.reason, OP_REASON_BYTES, "%s", packet_outcome_name(item->outcome));
}

// Reads an answer into op->result. False: the outcome is not known.
static bool result_read(struct op *op, const struct packet_client_item *item)
{
    static const struct {
        enum op_outcome outcome;
        int code;
    } rows[PACKET_OUT_END] = {[PACKET_OUT_DONE] = {OP_OUT_DONE, LINK_OK},
                              [PACKET_OUT_REFUSED] = {OP_OUT_REFUSED, LINK_OK},
                              [PACKET_OUT_EXPIRED] = {OP_OUT_EXPIRED, LINK_OK},
                              [PACKET_OUT_WRONG_STATE] = {OP_OUT_WRONG_STATE, LINK_OK},
                              [PACKET_OUT_EXCEEDS] = {OP_OUT_EXCEEDS, LINK_OK},
                              [PACKET_OUT_CONFLICT] = {OP_OUT_CONFLICT, LINK_ALREADY_EXISTS},
                              [PACKET_OUT_UNKNOWN] = {OP_OUT_NOT_FOUND, LINK_NOT_FOUND}};
    result_fill(op, item);
    switch (item->outcome) {
    case PACKET_OUT_DONE:
    case PACKET_OUT_REFUSED:
    case PACKET_OUT_EXPIRED:
    case PACKET_OUT_WRONG_STATE:
    case PACKET_OUT_EXCEEDS:
    case PACKET_OUT_CONFLICT:
    case PACKET_OUT_UNKNOWN:
        op->result.outcome = rows[item->outcome].outcome;
        op->result.code = rows[item->outcome].code;
        return true;
    case PACKET_OUT_INVALID:
        result_final(op, item, LINK_INVALID_ARGUMENT);
        return true;
    case PACKET_OUT_FORBIDDEN:
        result_final(op, item, LINK_PERMISSION_DENIED);
        return true;
    case PACKET_OUT_ID_TOO_OLD:
    case PACKET_OUT_ID_IN_FUTURE:
    case PACKET_OUT_STALE_DIRECTORY:
        result_final(op, item, LINK_FAILED_PRECONDITION);
        return true;
    default: // one that this program does not know leaves it unknown: never guessed
        op->result.code = LINK_UNKNOWN;
        return false;
    }
}

static void done(void *ctx, struct packet_client_item *item)
{
    struct door *d = ctx;
    struct entry *e = (struct entry *)item;
    struct op *op = e->op;
    bool known = false;
    op->tries += item->tries;
    if (item->end == PACKET_CLIENT_ANSWERED)
        known = result_read(op, item);
    else
        op->result = (struct op_result){.outcome = OP_OUT_UNKNOWN, .code = LINK_DEADLINE_EXCEEDED};
    bool elsewhere = item->end == PACKET_CLIENT_ANSWERED && item->outcome == PACKET_OUT_ELSEWHERE;
    e->next = d->free;
    d->free = e;
    d->o.settled(d->o.ctx, op, known, elsewhere);
}

// ------------------------------------------------------------------------------- asking

static enum packet_kind kind_of(enum op_verb v)
{
    static const uint8_t kinds[OP_VERB_COUNT] = {[OP_RESERVE] = PACKET_HOLD,
                                                 [OP_ORDER] = PACKET_ORDER,
                                                 [OP_RECORD] = PACKET_RECORD,
                                                 [OP_COMMIT] = PACKET_COMMIT,
                                                 [OP_RELEASE] = PACKET_RELEASE};
    return (enum packet_kind)kinds[v];
}

bool door_takes(const struct door *d, const struct op *op)
{
    if (!kind_of(op->verb) || op->line_count > PACKET_LINES_MAX ||
        (op->verb == OP_RELEASE && op->line_count))
        return false;
    for (uint32_t i = 0; i < op->line_count; i++)
        if (!d->o.cells->list[op->lines[i].cell].has_handle || op->lines[i].quantity < 1 ||
            op->lines[i].quantity > UINT32_MAX)
            return false;
    return true;
}

bool door_submit(struct door *d, struct op *op)
{
    struct entry *e = d->free;
    if (!e && d->used == ITEMS_MAX)
        return false;
    if (!e) { // as if it had been given back
        e = &d->entries[d->used++];
        e->next = NULL;
        d->free = e;
    }
    e->op = op;
    e->item = (struct packet_client_item){.kind = (uint8_t)kind_of(op->verb),
                                          .line_count = (uint8_t)op->line_count,
                                          .time_ms = op->verb == OP_RESERVE ? op->ttl_ms : 0,
                                          .lines = e->lines};
    if (op->verb == OP_COMMIT && (op->flags & OP_RETAKE))
        e->item.flags = PACKET_RETAKE;
    for (int i = 0; i < 8; i++) {
        e->item.id[i] = (uint8_t)(op->id.hi >> (56 - 8 * i));
        e->item.id[8 + i] = (uint8_t)(op->id.lo >> (56 - 8 * i));
    }
    for (uint32_t i = 0; i < op->line_count; i++)
        e->lines[i] = (struct packet_line){d->o.cells->list[op->lines[i].cell].handle,
                                           (uint32_t)op->lines[i].quantity};
    enum packet_client_status s = packet_client_submit(d->client, &e->item);
    HF_ASSERT(s != PACKET_CLIENT_INVALID); // door_takes has looked
    if (s == PACKET_CLIENT_OK)
        d->free = e->next;
    return s == PACKET_CLIENT_OK;
}

uint32_t door_open(const struct door *d)
{
    return packet_client_open(d->client);
}

void door_poll(struct door *d, uint64_t until_ns)
{
    packet_client_poll(d->client, until_ns);
}

const struct packet_client_counts *door_counts(const struct door *d)
{
    return packet_client_counts(d->client);
}

// ------------------------------------------------------------------------------- set-up

static struct packet_control *control_make(const struct link_options *l,
                                           char why[PACKET_CLIENT_WHY])
{
    struct packet_control_options o = {.address = l->address,
                                       .tls = l->tls,
                                       .clear_anywhere = l->clear_anywhere,
                                       .ca_pem = l->ca_pem,
                                       .cert_pem = l->cert_pem,
                                       .key_pem = l->key_pem,
                                       .server_name = l->server_name,
                                       .api_key = l->api_key};
    return packet_control_grpc(&o, why);
}

enum packet_control_step door_check(const struct link_options *link, bool kernel, uint32_t ms,
                                    char why[PACKET_CLIENT_WHY])
{
    uint64_t now, end = clock_monotonic_ns(clock_os()) + ms * UINT64_C(1000000);
    enum packet_control_step step = PACKET_CONTROL_REFUSED;
    struct packet_control *c = control_make(link, why);
    struct packet_transport *t = packet_transport_udp(NULL, why);
    struct packet_grant grant = {0};
    if (!c || !t)
        goto out;
    c->open(c);
    do {
        now = t->now_ns(t);
        step = c->step(c, &grant, why);
        if (step == PACKET_CONTROL_AWAY)
            c->open(c);
        t->wait(t, now + 2000000); // it is connected to nobody: this sleeps
    } while ((step == PACKET_CONTROL_WAITING || step == PACKET_CONTROL_AWAY) && now < end);
    if (step == PACKET_CONTROL_OPENED) {
        c->close(c, grant.session);
        if (kernel && !t->connect(t, grant.door, grant.port)) {
            snprintf(why, PACKET_CLIENT_WHY, "the door %.60s can't be reached from here",
                     grant.door);
            step = PACKET_CONTROL_REFUSED;
        }
    }
out:
    if (c)
        c->destroy(c);
    if (t)
        t->destroy(t);
    return step;
}

enum hf_status door_create(const struct door_options *o, struct door **out,
                           char why[PACKET_CLIENT_WHY])
{
    struct door *d = calloc(1, sizeof *d);
    struct entry *entries = calloc(ITEMS_MAX, sizeof *entries);
    snprintf(why, PACKET_CLIENT_WHY, "no memory for packets");
    if (!d || !entries) {
        free(d);
        free(entries);
        return HF_NO_MEMORY;
    }
    d->o = *o;
    d->o.link = NULL;
    d->o.wire = NULL;
    d->entries = entries;
    struct packet_client_options c = {.items_max = ITEMS_MAX,
                                      .frame_items = o->frame_items,
                                      .try_ms = o->try_ms,
                                      .again_ms = o->again_ms,
                                      .give_up_ms = o->give_up_ms,
                                      .open_ms_max = OPEN_MS_MAX,
                                      .seed = o->seed,
                                      .control = control_make(o->link, why),
                                      .done = done,
                                      .ctx = d};
    if (c.control)
        c.transport = o->wire ? wire_transport(o->wire, why) : packet_transport_udp(NULL, why);
    if (c.transport && packet_client_create(&c, &d->client, why) == PACKET_CLIENT_OK) {
        *out = d;
        return HF_OK;
    }
    if (c.transport)
        c.transport->destroy(c.transport);
    if (c.control)
        c.control->destroy(c.control);
    free(entries);
    free(d);
    return HF_INVALID;
}

void door_destroy(struct door *d)
{
    packet_client_destroy(d->client);
    free(d->entries);
    free(d);
}
