// What ought to become of a frame at the packet door, written from docs/packet-format.md: obvious,
// slow, and sharing with the loop nothing but the reading of bytes.
#include "sim/sim_packets.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------- sessions

static struct door_session *session_of(struct sim *s, uint32_t number)
{
    for (uint32_t i = 0; i < DOOR_SESSIONS; i++)
        if (s->packets->sessions[i].open && s->packets->sessions[i].number == number)
            return &s->packets->sessions[i];
    return NULL;
}

static void session_close(struct door_session *d)
{
    free(d->seen);
    memset(d, 0, sizeof *d);
}

void door_sessions_forget(struct sim *s)
{
    for (uint32_t i = 0; i < DOOR_SESSIONS; i++)
        session_close(&s->packets->sessions[i]);
}

static uint32_t sweep(struct sim *s, uint64_t now_ms)
{
    uint32_t closed = 0;
    for (uint32_t i = 0; i < DOOR_SESSIONS; i++) {
        struct door_session *d = &s->packets->sessions[i];
        if (d->open && d->what.expires_ms <= now_ms) {
            session_close(d);
            closed++;
        }
    }
    return closed;
}

static struct door_session *free_place(struct sim *s, uint64_t now_ms)
{
    for (int tries = 0; tries < 2; tries++) {
        for (uint32_t i = 0; i < DOOR_SESSIONS; i++)
            if (!s->packets->sessions[i].open)
                return &s->packets->sessions[i];
        sweep(s, now_ms);
    }
    return NULL;
}

static struct ingest_session draw(struct sim *s)
{
    struct prng *p = &s->packets->prng;
    struct ingest_session w = {.tagged = prng_chance(p, 4, 5),
                               .kinds = INGEST_KINDS_ALL,
                               .expires_ms = INGEST_SESSION_FOREVER,
                               .owner = 7};
    uint64_t key[2] = {prng_next(p), prng_next(p)};
    memcpy(w.key, key, sizeof w.key);
    if (s->calm)
        return w;
    if (prng_chance(p, 1, 8))
        w.kinds &= (uint8_t)~INGEST_KIND(prng_between(p, PACKET_HOLD, PACKET_QUERY));
    if (prng_chance(p, 1, 3))
        w.channel = (uint16_t)prng_below(p, s->audit.oracle.channel_count);
    if (w.channel && !s->audit.oracle.channels[w.channel][0])
        w.channel = 0;
    if (prng_chance(p, 1, 6)) {
        w.rate = (uint32_t)prng_between(p, 1, 2000);
        w.burst = (uint32_t)prng_below(p, 40);
    }
    if (prng_chance(p, 1, 4))
        w.expires_ms = sim_now(s) + prng_between(p, 1, 4 * (uint64_t)s->options.window_ms + 50);
    return w;
}

// One that no shop uses any more, so that there is room for another.
static void close_one(struct sim *s)
{
    struct door_session *d = s->packets->sessions;
    for (uint32_t i = 0, used = 1; i < DOOR_SESSIONS && used; i++) {
        d = &s->packets->sessions[i];
        used = 0;
        for (uint32_t v = 0; v < SHOP_SESSIONS; v++)
            used |= s->packets->shops[v].number == d->number;
    }
    enum hf_status st = ingest_session_close(s->packets->table, d->number);
    session_close(d);
    if (st != HF_OK)
        auditor_violate(&s->audit, "DOOR: closing a session answered %s", hf_status_name(st));
}

bool door_session_open(struct sim *s, struct shop_session *out)
{
    struct ingest_session what = draw(s);
    uint64_t now = sim_now(s);
    uint32_t number = 0;
    enum hf_status st = ingest_session_open(s->packets->table, &what, now, &number);
    struct door_session *d = free_place(s, now);
    if (st != (d ? HF_OK : HF_FULL))
        return auditor_violate(&s->audit, "DOOR: opening a session answered %s",
                               hf_status_name(st));
    if (!d) {
        close_one(s);
        return sim_ok(s);
    }
    if (number == 0 || session_of(s, number))
        return auditor_violate(&s->audit, "DOOR: session %u is another's", number);
    *d = (struct door_session){.number = number, .open = true, .what = what};
    *out = (struct shop_session){.number = number, .tagged = what.tagged};
    memcpy(out->key, what.key, sizeof out->key);
    s->stats.packet_sessions++;
    return true;
}

void door_session_end(struct sim *s)
{
    struct prng *p = &s->packets->prng;
    struct door_session *d = &s->packets->sessions[prng_below(p, DOOR_SESSIONS)];
    uint64_t now = sim_now(s);
    enum hf_status st = HF_OK;
    uint32_t what = (uint32_t)prng_below(p, 3);
    if (what == 0) {
        uint32_t closed = ingest_sessions_sweep(s->packets->table, now);
        if (closed != sweep(s, now))
            auditor_violate(&s->audit, "DOOR: a sweep closed %u sessions", closed);
    } else if (d->open && what == 1) {
        st = ingest_session_close(s->packets->table, d->number);
        session_close(d);
    } else if (d->open) {
        d->what.expires_ms = now + prng_below(p, 1000);
        st = ingest_session_extend(s->packets->table, d->number, d->what.expires_ms);
    }
    if (st != HF_OK)
        auditor_violate(&s->audit, "DOOR: ending a session answered %s", hf_status_name(st));
}

// ------------------------------------------------------------------------------- admission

// INGEST_DROP_COUNT: not seen before.
static enum ingest_drop seen(const struct door_session *d, uint64_t sequence)
{
    if (sequence <= d->newest && d->newest - sequence >= INGEST_WINDOW_FRAMES)
        return INGEST_DROP_OLD;
    for (uint32_t i = d->seen_count; i > 0; i--)
        if (d->seen[i - 1] == sequence)
            return INGEST_DROP_REPLAYED;
    return INGEST_DROP_COUNT;
}

static void note(struct door_session *d, uint64_t sequence)
{
    if (d->seen_count == d->seen_room) {
        d->seen_room = d->seen_room ? 2 * d->seen_room : 64;
        d->seen = realloc(d->seen, d->seen_room * sizeof *d->seen);
        HF_ASSERT(d->seen);
    }
    d->seen[d->seen_count++] = sequence;
    d->newest = sequence > d->newest ? sequence : d->newest;
}

// `rate` items a second, and `burst` at once (0: one second's); of a full bucket any frame.
static bool affords(struct door_session *d, uint32_t items, uint64_t now_ms)
{
    int64_t most = 1000 * (int64_t)(d->what.burst ? d->what.burst : d->what.rate);
    int64_t asked = 1000 * (int64_t)items;
    if (d->what.rate == 0)
        return true;
    uint64_t passed = now_ms - d->rated_ms;
    if (!d->rated || passed > 3600000)
        d->thousandths = most;
    else
        d->thousandths += (int64_t)(passed * d->what.rate);
    if (d->thousandths > most)
        d->thousandths = most;
    d->rated = true;
    d->rated_ms = now_ms;
    if (d->thousandths < asked && d->thousandths < most)
        return false;
    d->thousandths -= asked;
    return true;
}

static enum ingest_drop fault_of(enum packet_fault fault)
{
    switch (fault) {
    case PACKET_FAULT_SHORT:
        return INGEST_DROP_SHORT;
    case PACKET_FAULT_MAGIC:
        return INGEST_DROP_MAGIC;
    case PACKET_FAULT_VERSION:
        return INGEST_DROP_VERSION;
    case PACKET_FAULT_KIND:
        return INGEST_DROP_KIND;
    case PACKET_FAULT_TRUNCATED:
        return INGEST_DROP_TRUNCATED;
    case PACKET_FAULT_LONGER:
        return INGEST_DROP_LONGER;
    case PACKET_FAULT_HEADER:
        return INGEST_DROP_HEADER;
    default:
        return INGEST_DROP_COUNT;
    }
}

static enum ingest_drop judge(struct sim *s, const struct door_port *p, uint8_t *payload,
                              const struct packet_header *h, struct door_session **out)
{
    struct door_session *d = *out = session_of(s, h->session);
    if (!d)
        return INGEST_DROP_SESSION;
    if (d->what.expires_ms <= sim_now(s))
        return INGEST_DROP_EXPIRED;
    if (d->queue && d->queue != p->number + 1)
        return INGEST_DROP_QUEUE;
    enum ingest_drop why = seen(d, h->sequence);
    if (why != INGEST_DROP_COUNT)
        return why;
    if (d->what.tagged ? !packet_open(payload, h->bytes, d->what.key) : h->tag != 0)
        return INGEST_DROP_FORGED;
    d->queue = p->number + 1;
    note(d, h->sequence);
    return packet_items_fill(payload, h) ? INGEST_DROP_COUNT : INGEST_DROP_ITEMS;
}

// ------------------------------------------------------------------------------- items

static struct hf_uuid id_of(const uint8_t bytes[16])
{
    struct hf_uuid id = {0, 0};
    for (int i = 0; i < 8; i++) {
        id.hi = id.hi << 8 | bytes[i];
        id.lo = id.lo << 8 | bytes[8 + i];
    }
    return id;
}

static void request_of(struct door_frame *f, struct door_item *i, const uint8_t *at,
                       uint16_t channel)
{
    static const enum core_verb verbs[PACKET_KIND_END] = {[PACKET_HOLD] = CORE_RESERVE,
                                                          [PACKET_ORDER] = CORE_ORDER,
                                                          [PACKET_COMMIT] = CORE_COMMIT,
                                                          [PACKET_RELEASE] = CORE_RELEASE,
                                                          [PACKET_RECORD] = CORE_RECORD};
    i->line = f->line_count;
    for (uint32_t n = 0; n < i->asked.lines; n++) {
        struct packet_line l = packet_line_read(at + packet_item_bytes((uint8_t)n));
        f->lines[f->line_count++] = (struct core_line){.handle = l.handle, .quantity = l.quantity};
    }
    i->request.id = id_of(i->asked.id);
    if (i->asked.kind == 0 || i->asked.kind >= PACKET_QUERY)
        return;
    i->request.verb = verbs[i->asked.kind];
    i->request.flags = (i->asked.flags & PACKET_BEST_EFFORT ? CORE_BEST_EFFORT : 0u) |
                       (i->asked.flags & PACKET_RETAKE ? CORE_RETAKE : 0u);
    i->request.lines = &f->lines[i->line];
    i->request.line_count = i->asked.lines;
    i->request.ttl_ms = i->asked.time;
    bool takes = i->asked.kind == PACKET_HOLD || i->asked.kind == PACKET_ORDER ||
                 i->asked.kind == PACKET_RECORD;
    i->request.channel = takes ? channel : 0;
}

static void refuse(struct door_item *i, uint8_t outcome, uint32_t detail)
{
    i->way = DOOR_REFUSED;
    i->done = true;
    i->outcome = outcome;
    i->detail = detail;
}

static void item_judge(struct sim *s, const struct door_frame *f, struct door_item *i,
                       const uint8_t *at, uint8_t kinds, uint8_t whole)
{
    uint64_t generation = core_generation(s->core);
    bool stale = f->header.generation != generation;
    uint32_t line;
    enum packet_field field = packet_item_fault(at, &line);
    if (whole)
        refuse(i, whole, 0);
    else if (field != PACKET_FIELD_NONE)
        refuse(i, PACKET_OUT_INVALID, (uint32_t)field << 16 | line);
    else if (!(kinds & INGEST_KIND(i->asked.kind)))
        refuse(i, PACKET_OUT_FORBIDDEN, 0);
    else if (stale && (f->header.generation != 0 || i->asked.lines))
        refuse(i, PACKET_OUT_STALE_DIRECTORY, 0);
    else if (i->asked.kind != PACKET_QUERY)
        i->way = DOOR_DECIDED;
    else
        i->way = i->asked.lines ? DOOR_CELLS : DOOR_READ;
    i->done |= i->way == DOOR_CELLS;
}

struct door_frame *door_admit(struct sim *s, struct door_port *p, uint8_t *payload, uint32_t bytes,
                              bool busy, enum ingest_drop *why)
{
    struct packet_header h;
    struct door_session *d;
    *why = fault_of(packet_header_read(payload, bytes, PACKET_REQUEST, &h));
    if (*why == INGEST_DROP_COUNT)
        *why = judge(s, p, payload, &h, &d);
    if (*why != INGEST_DROP_COUNT)
        return NULL;
    struct door_frame *f = calloc(1, sizeof *f);
    HF_ASSERT(f);
    f->payload = payload;
    f->header = h;
    f->tagged = d->what.tagged;
    memcpy(f->key, d->what.key, sizeof f->key);
    memcpy(f->bytes, payload, bytes);
    uint8_t whole = affords(d, h.count, sim_now(s)) ? 0 : PACKET_OUT_RATE_LIMITED;
    if (busy)
        whole = PACKET_OUT_BUSY;
    const uint8_t *at = f->bytes + PACKET_HEADER_BYTES;
    for (f->item_count = 0; f->item_count < h.count; f->item_count++) {
        struct door_item *i = &f->items[f->item_count];
        i->asked = packet_item_read(at);
        request_of(f, i, at, d->what.channel);
        item_judge(s, f, i, at, d->what.kinds, whole);
        at += packet_item_bytes(i->asked.lines);
    }
    return f;
}

struct door_item *door_next(struct door_port *p, struct door_frame **frame)
{
    for (; p->at_frame < p->inside_count; p->at_frame++, p->at_item = 0) {
        *frame = p->inside[p->at_frame];
        while (p->at_item < (*frame)->item_count) {
            struct door_item *i = &(*frame)->items[p->at_item++];
            if (!i->done)
                return i;
        }
    }
    return NULL;
}

// ------------------------------------------------------------------------------- replies

static uint8_t outcome_of(enum core_outcome o)
{
    switch (o) {
    case CORE_OUT_DONE:
        return PACKET_OUT_DONE;
    case CORE_OUT_REFUSED:
        return PACKET_OUT_REFUSED;
    case CORE_OUT_EXPIRED:
        return PACKET_OUT_EXPIRED;
    case CORE_OUT_WRONG_STATE:
        return PACKET_OUT_WRONG_STATE;
    case CORE_OUT_CONFLICT:
        return PACKET_OUT_CONFLICT;
    case CORE_OUT_UNKNOWN:
        return PACKET_OUT_UNKNOWN;
    case CORE_OUT_EXCEEDS:
        return PACKET_OUT_EXCEEDS;
    case CORE_OUT_IN_PROGRESS:
        return PACKET_OUT_IN_PROGRESS;
    case CORE_OUT_NEEDS_RECALL:
        return PACKET_OUT_ELSEWHERE;
    case CORE_OUT_BUSY:
        return PACKET_OUT_BUSY;
    case CORE_OUT_ID_TOO_OLD:
        return PACKET_OUT_ID_TOO_OLD;
    case CORE_OUT_ID_IN_FUTURE:
        return PACKET_OUT_ID_IN_FUTURE;
    default:
        return PACKET_OUT_INVALID;
    }
}

static uint8_t state_of(enum core_state state)
{
    switch (state) {
    case CORE_STATE_HELD:
        return PACKET_STATE_HELD;
    case CORE_STATE_COMMITTED:
        return PACKET_STATE_COMMITTED;
    case CORE_STATE_RELEASED:
        return PACKET_STATE_RELEASED;
    case CORE_STATE_EXPIRED:
        return PACKET_STATE_EXPIRED;
    case CORE_STATE_REJECTED:
        return PACKET_STATE_REJECTED;
    default:
        return PACKET_STATE_NONE;
    }
}

static bool wrong(struct sim *s, const struct door_frame *f, uint32_t n, const char *what)
{
    const struct door_item *i = &f->items[n];
    return auditor_violate(&s->audit,
                           "DOOR: %s: session %u sequence %lu item %u kind %u way %d; the engine: "
                           "%s %s ticket %lu, durable %lu",
                           what, f->header.session, f->header.sequence, n, i->asked.kind,
                           (int)i->way, core_outcome_name(i->answer.outcome),
                           core_state_name(i->answer.state), i->answer.ticket,
                           core_durable(s->core));
}

// The lines of a take that the engine tells of; all others tell nothing that is promised.
static bool lines_right(struct sim *s, const struct door_frame *f, uint32_t n, const uint8_t *at)
{
    const struct door_item *i = &f->items[n];
    bool takes = i->request.verb == CORE_RESERVE || i->request.verb == CORE_ORDER;
    bool told_of = i->answer.outcome == CORE_OUT_DONE ||
                   (i->answer.outcome == CORE_OUT_REFUSED && !i->answer.repeat);
    if (!takes || !told_of)
        return true;
    for (uint32_t k = 0; k < i->asked.lines; k++) {
        struct packet_line_answer told =
            packet_line_answer_read(at + packet_item_bytes((uint8_t)k));
        const struct core_line_answer *l = &f->told[i->line + k];
        int64_t amount = i->answer.outcome == CORE_OUT_DONE ? l->taken : l->shortfall;
        int64_t available = l->available > INT32_MAX   ? INT32_MAX
                            : l->available < INT32_MIN ? INT32_MIN
                                                       : l->available;
        if (told.amount != (amount > UINT32_MAX ? UINT32_MAX : (uint32_t)amount))
            return wrong(s, f, n, "another amount is told");
        if (told.available != available)
            return wrong(s, f, n, "another availability is told");
    }
    return true;
}

static bool decided_right(struct sim *s, const struct door_frame *f, uint32_t n, const uint8_t *at)
{
    static const uint8_t fields[CORE_FIELD_COUNT] = {[CORE_FIELD_VERB] = PACKET_FIELD_KIND,
                                                     [CORE_FIELD_FLAGS] = PACKET_FIELD_FLAGS,
                                                     [CORE_FIELD_ID] = PACKET_FIELD_ID,
                                                     [CORE_FIELD_LINES] = PACKET_FIELD_LINES,
                                                     [CORE_FIELD_HANDLE] = PACKET_FIELD_HANDLE,
                                                     [CORE_FIELD_INACTIVE] = PACKET_FIELD_INACTIVE,
                                                     [CORE_FIELD_QUANTITY] = PACKET_FIELD_QUANTITY,
                                                     [CORE_FIELD_TTL] = PACKET_FIELD_TIME};
    const struct door_item *i = &f->items[n];
    const struct core_answer *r = &i->answer;
    struct packet_answer a = packet_answer_read(at);
    if (a.outcome != outcome_of(r->outcome) || a.state != state_of(r->state))
        return wrong(s, f, n, "another outcome is told");
    if (a.flags != ((r->repeat ? PACKET_REPEAT : 0) | (r->durable ? PACKET_DURABLE : 0)))
        return wrong(s, f, n, "other flags are told");
    if (s->audit.durable_mode && r->ticket > core_durable(s->core))
        return wrong(s, f, n, "told before it is durable");
    if (r->outcome == CORE_OUT_INVALID && a.detail != ((uint32_t)fields[r->field] << 16 | r->line))
        return wrong(s, f, n, "another field is to blame");
    uint64_t left = r->time_ms > i->now_ms ? r->time_ms - i->now_ms : 0;
    if (r->outcome == CORE_OUT_DONE && r->state == CORE_STATE_HELD && a.detail != left)
        return wrong(s, f, n, "another deadline is told");
    if (r->outcome == CORE_OUT_BUSY && a.detail == 0)
        return wrong(s, f, n, "BUSY without a time");
    return lines_right(s, f, n, at);
}

static bool read_right(struct sim *s, const struct door_frame *f, uint32_t n,
                       const struct packet_answer *a)
{
    const struct door_item *i = &f->items[n];
    bool found = i->status == HF_OK;
    uint8_t outcome = found                   ? PACKET_OUT_DONE
                      : i->status == HF_AGAIN ? PACKET_OUT_IN_PROGRESS
                                              : PACKET_OUT_UNKNOWN;
    if (a->outcome != outcome || a->state != (found ? state_of(i->view.state) : 0))
        return wrong(s, f, n, "another state is read");
    if (found && s->audit.durable_mode && i->view.ticket > core_durable(s->core))
        return wrong(s, f, n, "read before it is durable");
    return true;
}

static bool item_right(struct sim *s, const struct door_frame *f, uint32_t n, const uint8_t *at)
{
    const struct door_item *i = &f->items[n];
    struct packet_answer a = packet_answer_read(at);
    if (memcmp(a.id, i->asked.id, sizeof a.id) || a.lines != i->asked.lines)
        return wrong(s, f, n, "an answer to another item");
    if (!i->done)
        return wrong(s, f, n, "the engine was never asked");
    if (i->way == DOOR_DECIDED)
        return decided_right(s, f, n, at);
    if (i->way == DOOR_READ)
        return read_right(s, f, n, &a);
    if (i->way == DOOR_CELLS)
        return a.outcome == PACKET_OUT_DONE ||
               (a.outcome == PACKET_OUT_INVALID && a.detail >> 16 == PACKET_FIELD_HANDLE) ||
               wrong(s, f, n, "cells are not told");
    if (a.outcome != i->outcome || a.state != 0 || a.flags != 0)
        return wrong(s, f, n, "another outcome is told");
    bool waits = a.outcome == PACKET_OUT_BUSY || a.outcome == PACKET_OUT_RATE_LIMITED;
    return (waits ? a.detail > 0 : a.detail == i->detail) || wrong(s, f, n, "another detail");
}

bool door_reply(struct sim *s, const struct door_frame *f, const uint8_t *reply, uint32_t bytes)
{
    struct packet_header h;
    uint8_t copy[PACKET_BYTES_MAX];
    HF_ASSERT(bytes <= sizeof copy);
    memcpy(copy, reply, bytes);
    if (packet_read(copy, bytes, PACKET_REPLY, &h) != PACKET_FAULT_NONE)
        return auditor_violate(&s->audit, "DOOR: a reply that is no frame");
    if (h.session != f->header.session || h.sequence != f->header.sequence ||
        h.stamp != f->header.stamp || h.count != f->header.count || h.bytes != f->header.bytes ||
        h.generation != core_generation(s->core))
        return auditor_violate(&s->audit, "DOOR: a reply to another frame than %u %lu",
                               f->header.session, f->header.sequence);
    if (f->tagged ? !packet_open(copy, bytes, f->key) : h.tag != 0)
        return auditor_violate(&s->audit, "DOOR: a reply with a wrong tag");
    const uint8_t *at = copy + PACKET_HEADER_BYTES;
    for (uint32_t n = 0; n < f->item_count; n++) {
        if (!item_right(s, f, n, at))
            return false;
        at += packet_item_bytes(f->items[n].asked.lines);
    }
    return true;
}
