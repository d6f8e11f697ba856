// The session in use, those before it, and when the next is asked for.
//
// A session is taken for gone when nobody has answered for silence_ms although something was sent:
// the server was started again, perhaps, and has forgotten it. Until the next one is there, sending
// goes on in the old: after a mere interruption it is as good as ever. While the silence lasts the
// next ones are asked for at growing intervals, as neither a broken path nor slow answers are
// helped by another session; any answer, in whichever session, ends it.
//
// Answers may be slower than silence_ms, so the sessions before are kept for them. What falls out
// of the list is closed, and all but the newest once that is answered in and try_ms_max old: a
// server counts the sessions of a key.
#include "packet_client/packet_client_internal.h"

struct session *session_find(struct packet_client *c, uint32_t session)
{
    for (uint32_t i = 0; session && i < SESSIONS_KEPT; i++)
        if (c->sessions[i].grant.session == session)
            return &c->sessions[i];
    return NULL;
}

void session_sent(struct packet_client *c, uint64_t now)
{
    if (c->first_unheard_ns == 0)
        c->first_unheard_ns = now;
}

void session_heard(struct packet_client *c, struct session *s)
{
    s->heard = true;
    c->first_unheard_ns = 0;
    c->silence_ns = c->o.silence_ms * UINT64_C(1000000);
}

static void session_close(struct packet_client *c, struct session *s)
{
    if (s->grant.session && c->o.control->close) {
        c->o.control->close(c->o.control, s->grant.session);
        c->control_busy = true;
    }
    *s = (struct session){0};
}

void sessions_close(struct packet_client *c)
{
    for (uint32_t i = 0; i < SESSIONS_KEPT; i++)
        session_close(c, &c->sessions[i]);
}

// When those before the newest are of no use any more.
static uint64_t older_over_ns(const struct packet_client *c)
{
    const struct session *newest = &c->sessions[0];
    if (!newest->heard || c->sessions[1].grant.session == 0)
        return UINT64_MAX;
    return newest->begun_ns + c->o.try_ms_max * UINT64_C(1000000);
}

static uint64_t silent_ns(const struct packet_client *c)
{
    return c->first_unheard_ns ? c->first_unheard_ns + c->silence_ns : UINT64_MAX;
}

// What is on its way in an older session goes out in this one at once: there it may never have
// arrived.
static void flying_again(struct packet_client *c)
{
    for (uint32_t i = 0; i < c->o.items_max; i++) {
        if (c->slots[i].state != SLOT_FLYING)
            continue;
        frame_item_over(c, &c->slots[i]);
        slot_queue(c, i);
    }
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

static void silence_grow(struct packet_client *c)
{
    uint64_t most = c->o.open_ms_max > c->o.silence_ms ? c->o.open_ms_max : c->o.silence_ms;
    most *= 1000000;
    c->silence_ns = 2 * c->silence_ns < most ? 2 * c->silence_ns : most;
}

static void session_begin(struct packet_client *c, const struct packet_grant *g, uint64_t now)
{
    struct session next = {.grant = *g, .begun_ns = now};
    const struct packet_grant *old = client_grant(c);
    bool again = now >= silent_ns(c);
    if (!c->o.transport->connect(c->o.transport, g->door, g->port)) {
        session_close(c, &next);
        if (old->session)
            (void)c->o.transport->connect(c->o.transport, old->door, old->port);
        c->open_wait_ms = c->o.open_ms_max;
        session_none(c, "the door's address is none of the transport's", now);
        return;
    }
    session_close(c, &c->sessions[SESSIONS_KEPT - 1]);
    memmove(&c->sessions[1], &c->sessions[0], (SESSIONS_KEPT - 1) * sizeof next);
    c->sessions[0] = next;
    c->first_unheard_ns = 0;
    c->open_wait_ms = c->o.open_ms;
    c->opening = false;
    c->allowance = 0;
    c->allowance_ns = now;
    c->counts.sessions++;
    if (again) {
        silence_grow(c);
        flying_again(c);
    }
    if (c->o.session)
        c->o.session(c->o.ctx, g, NULL);
}

// When the present session has to be followed by another.
static uint64_t session_wanted_ns(const struct packet_client *c)
{
    const struct session *s = &c->sessions[0];
    if (s->grant.session == 0)
        return 0;
    uint64_t at = s->begun_ns + s->grant.life_ms * 750000;
    return silent_ns(c) < at ? silent_ns(c) : at;
}

void session_step(struct packet_client *c, uint64_t now)
{
    struct packet_grant grant = {0};
    char why[PACKET_CLIENT_WHY] = "";
    if (now >= older_over_ns(c))
        for (uint32_t i = 1; i < SESSIONS_KEPT; i++)
            session_close(c, &c->sessions[i]);
    if (!c->opening && now >= session_wanted_ns(c) && now >= c->open_due_ns) {
        c->counts.silences += client_grant(c)->session && now >= silent_ns(c);
        c->opening = c->control_busy = true;
        c->o.control->open(c->o.control);
    }
    if (!c->control_busy)
        return;
    enum packet_control_step step = c->o.control->step(c->o.control, &grant, why);
    c->control_busy = step != PACKET_CONTROL_IDLE;
    if (step == PACKET_CONTROL_OPENED) {
        session_begin(c, &grant, now);
    } else if (step == PACKET_CONTROL_REFUSED || step == PACKET_CONTROL_AWAY) {
        if (step == PACKET_CONTROL_REFUSED)
            c->open_wait_ms = c->o.open_ms_max;
        session_none(c, why, now);
    }
}

uint64_t session_due(const struct packet_client *c)
{
    if (c->control_busy)
        return client_now(c) + 1000000; // its connection is looked at between
    uint64_t wanted = session_wanted_ns(c), older = older_over_ns(c);
    wanted = wanted > c->open_due_ns ? wanted : c->open_due_ns;
    return older < wanted ? older : wanted;
}

// A bucket that holds a tenth of a second's items.
uint32_t session_allowance(struct packet_client *c, uint64_t now)
{
    double rate = client_grant(c)->items_per_second, most = rate / 10 < 1 ? 1 : rate / 10;
    if (rate == 0)
        return UINT32_MAX;
    c->allowance += rate * (double)(now - c->allowance_ns) / 1e9;
    c->allowance_ns = now;
    if (c->allowance > most)
        c->allowance = most;
    return c->allowance > 0 ? (uint32_t)c->allowance : 0;
}
