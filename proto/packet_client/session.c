// The session in use, the one before it, and when the next is asked for.
//
// Replies to the session before are still read while it lives. A session is taken for gone when
// nobody has answered in it for silence_ms although something was sent: the server was started
// again, perhaps, and has forgotten it. Until the next one is there, sending goes on in the old:
// after a mere interruption it is as good as ever.
#include "packet_client/packet_client_internal.h"

const struct session *session_find(const struct packet_client *c, uint32_t session)
{
    if (session && session == c->now.grant.session)
        return &c->now;
    return session && session == c->before.grant.session ? &c->before : NULL;
}

void session_sent(struct packet_client *c, uint64_t now)
{
    if (c->now.first_unheard_ns == 0)
        c->now.first_unheard_ns = now;
}

void session_heard(struct packet_client *c, uint32_t session, uint64_t now)
{
    if (session != c->now.grant.session)
        return;
    c->now.heard_ns = now;
    c->now.first_unheard_ns = 0;
}

// What is on its way in an older session goes out in this one at once: there it may never have
// arrived.
static void flying_again(struct packet_client *c)
{
    for (uint32_t i = 0; i < c->o.items_max; i++) {
        struct slot *s = &c->slots[i];
        if (s->state != SLOT_FLYING)
            continue;
        frame_item_over(c, s);
        s->doublings = 0;
        slot_queue(c, i);
    }
}

static void session_begin(struct packet_client *c, const struct packet_grant *g, uint64_t now)
{
    bool silent = c->now.first_unheard_ns != 0;
    c->before = c->now;
    c->now = (struct session){.grant = *g, .begun_ns = now, .heard_ns = now};
    c->open_wait_ms = c->o.open_ms;
    c->opening = false;
    c->allowance = 0;
    c->allowance_ns = now;
    c->counts.sessions++;
    if (!c->o.transport->connect(c->o.transport, g->door, g->port)) {
        c->now.grant.session = 0;
        c->open_due_ns = now + c->o.open_ms_max * UINT64_C(1000000);
        if (c->o.session)
            c->o.session(c->o.ctx, NULL, "the door's address is none of the transport's");
        return;
    }
    if (silent)
        flying_again(c);
    if (c->o.session)
        c->o.session(c->o.ctx, g, NULL);
}

static void session_none(struct packet_client *c, const char *why, uint64_t now)
{
    c->opening = false;
    c->counts.open_failures++;
    c->open_due_ns = now + client_jitter_ns(c, c->open_wait_ms);
    c->open_wait_ms *= 2;
    if (c->open_wait_ms > c->o.open_ms_max)
        c->open_wait_ms = c->o.open_ms_max;
    if (c->o.session)
        c->o.session(c->o.ctx, NULL, why);
}

// When the present session has to be followed by another.
static uint64_t session_wanted_ns(const struct packet_client *c)
{
    if (c->now.grant.session == 0)
        return 0;
    uint64_t at = c->now.begun_ns + c->now.grant.life_ms * 750000;
    uint64_t silence = c->now.first_unheard_ns
                           ? c->now.first_unheard_ns + c->o.silence_ms * UINT64_C(1000000)
                           : UINT64_MAX;
    return silence < at ? silence : at;
}

void session_step(struct packet_client *c, uint64_t now)
{
    struct packet_grant grant = {0};
    char why[PACKET_CLIENT_WHY] = "";
    if (!c->opening) {
        if (now < session_wanted_ns(c) || now < c->open_due_ns)
            return;
        c->counts.silences += c->now.grant.session && c->now.first_unheard_ns != 0;
        c->opening = true;
        c->o.control->open(c->o.control);
    }
    switch (c->o.control->step(c->o.control, &grant, why)) {
    case PACKET_CONTROL_OPENED:
        session_begin(c, &grant, now);
        break;
    case PACKET_CONTROL_REFUSED:
        c->open_wait_ms = c->o.open_ms_max;
        session_none(c, why, now);
        break;
    case PACKET_CONTROL_AWAY:
        session_none(c, why, now);
        break;
    case PACKET_CONTROL_IDLE:
    case PACKET_CONTROL_WAITING:
        break;
    }
}

uint64_t session_due(const struct packet_client *c)
{
    if (c->opening)
        return client_now(c) + 1000000; // its connection is looked at between
    uint64_t wanted = session_wanted_ns(c);
    return wanted > c->open_due_ns ? wanted : c->open_due_ns;
}

// A bucket that holds a tenth of a second's items.
uint32_t session_allowance(struct packet_client *c, uint64_t now)
{
    double rate = c->now.grant.items_per_second, most = rate / 10 < 1 ? 1 : rate / 10;
    if (rate == 0)
        return UINT32_MAX;
    c->allowance += rate * (double)(now - c->allowance_ns) / 1e9;
    c->allowance_ns = now;
    if (c->allowance > most)
        c->allowance = most;
    return c->allowance > 0 ? (uint32_t)c->allowance : 0;
}
