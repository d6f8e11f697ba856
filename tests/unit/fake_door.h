// A door that is not there, behind a network that loses, duplicates, delays, reorders and damages
// frames both ways; a clock that moves when somebody waits; and the server's sessions. One thread,
// everything from a seed.
//
// The door decides each id and kind once and answers it again and again, as P3 promises, and holds
// the client to its side: no sequence twice in a session, tags that fit, items in good form.
#ifndef HOLDFAST_TESTS_UNIT_FAKE_DOOR_H
#define HOLDFAST_TESTS_UNIT_FAKE_DOOR_H

#include "packet/tag.h"
#include "packet_client/packet_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DOOR_FLIGHTS   8192 // frames on their way, both ways together
#define DOOR_IDS       65536
#define DOOR_SEQUENCES (1u << 20)
#define DOOR_SESSIONS  256 // as many as a server lets a key have
#define MS             UINT64_C(1000000)

struct door_flight {
    bool to_door;
    uint64_t at_ns, order;
    uint32_t count;
    uint8_t bytes[PACKET_BYTES_MAX];
};

struct fake_door {
    struct packet_transport transport; // first
    struct packet_control control;
    uint64_t now_ns, random, order;
    // Of a thousand frames, each way.
    uint32_t lose, duplicate, damage;
    uint64_t delay_ns, delay_more_ns; // at least; up to so much more: reorders
    bool dead;                        // nothing arrives
    bool moved;                       // the directory has changed: frames of the old one may come
    uint32_t busy_left;               // so many items are answered `busy_outcome` first
    uint8_t busy_outcome;
    uint32_t busy_ms;
    uint8_t outcome; // of what is decided now

    struct packet_grant grant; // of the next session; session and key are made
    struct {
        uint32_t number; // 0: free
        uint8_t key[PACKET_KEY_BYTES];
    } sessions[DOOR_SESSIONS]; // that are open
    uint32_t sessions_open, sessions_open_max;
    bool asked;
    uint64_t open_ns; // when the answer to `open` is there
    enum packet_control_step open_step;
    uint32_t opens, closes, connects;

    struct door_flight flights[DOOR_FLIGHTS];
    uint32_t flight_count;
    struct {
        uint8_t id[16];
        uint8_t kind, outcome; // kind 0: free
    } decided[DOOR_IDS];       // open addressing
    uint32_t decided_count;
    int64_t quantity; // of the lines of what was decided, once each
    uint32_t *seen;   // by sequence: the session that it was seen in last
    uint32_t frames_in, frames_bad, items_in, widest, frames_flying_max;
    uint64_t frame_first_ns, frame_last_ns;
};

static inline uint64_t door_random(struct fake_door *d)
{
    uint64_t z = (d->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline bool door_chance(struct fake_door *d, uint32_t of_thousand)
{
    return door_random(d) % 1000 < of_thousand;
}

static inline void door_fly_once(struct fake_door *d, const uint8_t *bytes, uint32_t count,
                                 bool to_door)
{
    assert_true(d->flight_count < DOOR_FLIGHTS);
    struct door_flight *f = &d->flights[d->flight_count++];
    *f = (struct door_flight){
        .to_door = to_door, .order = d->order++, .count = count, .at_ns = d->now_ns + d->delay_ns};
    if (d->delay_more_ns)
        f->at_ns += door_random(d) % d->delay_more_ns;
    memcpy(f->bytes, bytes, count);
    if (door_chance(d, d->damage))
        f->bytes[door_random(d) % count] ^= (uint8_t)(1u << door_random(d) % 8);
}

static inline void door_fly(struct fake_door *d, const uint8_t *bytes, uint32_t count, bool to_door)
{
    uint32_t copies = door_chance(d, d->lose) ? 0 : door_chance(d, d->duplicate) ? 2 : 1;
    for (uint32_t i = 0; i < copies && !d->dead; i++)
        door_fly_once(d, bytes, count, to_door);
}

// ------------------------------------------------------------------------------- deciding

static inline uint8_t door_decide(struct fake_door *d, const uint8_t *at, bool *repeat)
{
    const struct packet_item item = packet_item_read(at);
    uint32_t place = 2166136261u; // FNV-1a
    for (int i = 0; i < 16; i++)
        place = (place ^ item.id[i]) * 16777619u;
    for (place = (place ^ item.kind) % DOOR_IDS; d->decided[place].kind;
         place = (place + 1) % DOOR_IDS)
        if (d->decided[place].kind == item.kind &&
            memcmp(d->decided[place].id, item.id, sizeof item.id) == 0) {
            *repeat = true;
            return d->decided[place].outcome;
        }
    *repeat = false;
    assert_true(d->decided_count++ < DOOR_IDS / 2);
    memcpy(d->decided[place].id, item.id, sizeof item.id);
    d->decided[place].kind = item.kind;
    d->decided[place].outcome = d->outcome;
    for (uint8_t i = 0; i < item.lines; i++)
        d->quantity += packet_line_read(at + packet_item_bytes(i)).quantity;
    return d->outcome;
}

static inline void door_item(struct fake_door *d, uint8_t *at, bool stale)
{
    const struct packet_item item = packet_item_read(at);
    uint32_t line;
    bool repeat = false;
    uint8_t outcome = d->busy_outcome;
    assert_int_equal(packet_item_fault(at, &line), PACKET_FIELD_NONE);
    d->items_in++;
    if (stale)
        outcome = PACKET_OUT_STALE_DIRECTORY;
    else if (d->busy_left == 0)
        outcome = door_decide(d, at, &repeat);
    else
        d->busy_left--;
    bool busy = outcome == PACKET_OUT_BUSY || outcome == PACKET_OUT_RATE_LIMITED ||
                outcome == PACKET_OUT_IN_PROGRESS;
    packet_answer_write(at, item.lines, outcome,
                        item.kind == PACKET_HOLD ? PACKET_STATE_HELD : PACKET_STATE_COMMITTED,
                        (uint8_t)(PACKET_DURABLE | (repeat ? PACKET_REPEAT : 0)),
                        busy ? d->busy_ms : item.kind);
    for (uint8_t i = 0; i < item.lines; i++) {
        struct packet_line l = packet_line_read(at + packet_item_bytes(i));
        packet_line_answer_write(at + packet_item_bytes(i), 1000, l.quantity);
    }
}

// Its place; DOOR_SESSIONS: it is not open. 0: a free place.
static inline uint32_t door_session(const struct fake_door *d, uint32_t number)
{
    uint32_t i = 0;
    while (i < DOOR_SESSIONS && d->sessions[i].number != number)
        i++;
    return i;
}

// A frame arrives. What is not good is dropped without a word, as the real one does.
static inline void door_frame(struct fake_door *d, uint8_t *bytes, uint32_t count)
{
    struct packet_header h;
    uint32_t place = DOOR_SESSIONS;
    if (packet_read(bytes, count, PACKET_REQUEST, &h) == PACKET_FAULT_NONE && h.session)
        place = door_session(d, h.session);
    if (place == DOOR_SESSIONS ||
        (d->grant.tagged && !packet_open(bytes, count, d->sessions[place].key))) {
        d->frames_bad++;
        return;
    }
    assert_true(h.sequence < DOOR_SEQUENCES);
    if (d->seen[h.sequence] == h.session)
        return; // a copy
    d->seen[h.sequence] = h.session;
    d->frames_in++;
    d->widest = h.count > d->widest ? h.count : d->widest;
    d->frame_first_ns = d->frame_first_ns ? d->frame_first_ns : d->now_ns;
    d->frame_last_ns = d->now_ns;
    bool stale = h.generation != d->grant.generation;
    assert_true(d->moved || !stale);
    uint8_t *at = bytes + PACKET_HEADER_BYTES;
    for (uint32_t i = 0; i < h.count; i++) {
        uint8_t lines = packet_item_read(at).lines;
        door_item(d, at, stale);
        at += packet_item_bytes(lines);
    }
    packet_reply_header(bytes, d->grant.generation);
    if (d->grant.tagged)
        packet_seal(bytes, count, d->sessions[place].key);
    door_fly(d, bytes, count, false);
}

// ------------------------------------------------------------------------------- the network

static inline struct door_flight *door_next(struct fake_door *d, bool to_door)
{
    struct door_flight *first = NULL;
    for (uint32_t i = 0; i < d->flight_count; i++) {
        struct door_flight *f = &d->flights[i];
        if (f->to_door == to_door && (!first || f->at_ns < first->at_ns ||
                                      (f->at_ns == first->at_ns && f->order < first->order)))
            first = f;
    }
    return first;
}

static inline void door_work(struct fake_door *d)
{
    struct door_flight *f;
    while ((f = door_next(d, true)) != NULL && f->at_ns <= d->now_ns) {
        struct door_flight copy = *f;
        *f = d->flights[--d->flight_count];
        if (!d->dead)
            door_frame(d, copy.bytes, copy.count);
    }
}

static inline struct fake_door *door_of(struct packet_transport *t)
{
    return (struct fake_door *)t;
}

static inline bool door_connect(struct packet_transport *t, const char *address, uint16_t port)
{
    door_of(t)->connects++;
    return strcmp(address, "door") == 0 && port == 1;
}

static inline uint32_t door_send(struct packet_transport *t, const struct packet_buffer *frames,
                                 uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        door_fly(door_of(t), frames[i].bytes, frames[i].count, true);
    return n;
}

static inline uint32_t door_receive(struct packet_transport *t, struct packet_buffer *frames,
                                    uint32_t n)
{
    struct fake_door *d = door_of(t);
    struct door_flight *f;
    uint32_t came = 0;
    door_work(d);
    while (came < n && (f = door_next(d, false)) != NULL && f->at_ns <= d->now_ns) {
        memcpy(frames[came].bytes, f->bytes, f->count);
        frames[came++].count = f->count;
        *f = d->flights[--d->flight_count];
    }
    return came;
}

static inline void door_wait(struct packet_transport *t, uint64_t until_ns)
{
    struct fake_door *d = door_of(t);
    for (;;) {
        struct door_flight *in = door_next(d, true), *out = door_next(d, false);
        door_work(d);
        if (out && out->at_ns <= d->now_ns)
            return;
        uint64_t next = until_ns;
        next = in && in->at_ns < next ? in->at_ns : next;
        next = out && out->at_ns < next ? out->at_ns : next;
        d->now_ns = next > d->now_ns ? next : d->now_ns;
        if (d->now_ns >= until_ns)
            return;
    }
}

static inline uint64_t door_now(struct packet_transport *t)
{
    return door_of(t)->now_ns;
}

// ------------------------------------------------------------------------------- sessions

static inline struct fake_door *door_of_control(struct packet_control *c)
{
    return (struct fake_door *)(void *)((char *)c - offsetof(struct fake_door, control));
}

static inline void door_open(struct packet_control *c)
{
    struct fake_door *d = door_of_control(c);
    assert_false(d->asked);
    d->asked = true;
    d->opens++;
    d->open_ns = d->now_ns + 2 * MS;
}

static inline enum packet_control_step
door_step(struct packet_control *c, struct packet_grant *grant, char why[PACKET_CLIENT_WHY])
{
    struct fake_door *d = door_of_control(c);
    if (!d->asked)
        return PACKET_CONTROL_IDLE;
    if (d->now_ns < d->open_ns)
        return PACKET_CONTROL_WAITING;
    d->asked = false;
    uint32_t place = door_session(d, 0);
    bool away = d->dead || place == DOOR_SESSIONS;
    enum packet_control_step step = away ? PACKET_CONTROL_AWAY : d->open_step;
    snprintf(why, PACKET_CLIENT_WHY, "as told");
    if (step != PACKET_CONTROL_OPENED)
        return step;
    *grant = d->grant;
    grant->session = 65536 + d->opens;
    for (int i = 0; i < PACKET_KEY_BYTES; i++)
        grant->key[i] = (uint8_t)door_random(d);
    d->sessions[place].number = grant->session;
    memcpy(d->sessions[place].key, grant->key, sizeof grant->key);
    if (++d->sessions_open > d->sessions_open_max)
        d->sessions_open_max = d->sessions_open;
    return step;
}

static inline void door_close(struct packet_control *c, uint32_t session)
{
    struct fake_door *d = door_of_control(c);
    uint32_t place = door_session(d, session);
    d->closes++;
    if (place == DOOR_SESSIONS)
        return; // forgotten
    d->sessions[place].number = 0;
    d->sessions_open--;
}

static inline void door_nothing(struct packet_control *c)
{
    (void)c;
}

static inline void door_nothing_more(struct packet_transport *t)
{
    (void)t;
}

static inline struct fake_door *door_make(uint64_t seed)
{
    struct fake_door *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->transport = (struct packet_transport){door_connect, door_send, door_receive,
                                             door_wait,    door_now,  door_nothing_more};
    d->control = (struct packet_control){door_open, door_step, door_close, door_nothing};
    d->seen = calloc(DOOR_SEQUENCES, sizeof *d->seen);
    assert_non_null(d->seen);
    d->random = seed;
    d->now_ns = 1000 * MS;
    d->delay_ns = MS;
    d->outcome = PACKET_OUT_DONE;
    d->open_step = PACKET_CONTROL_OPENED;
    d->grant = (struct packet_grant){.tagged = true,
                                     .generation = 0x1122334455667788,
                                     .life_ms = 3600000,
                                     .frame_bytes_max = PACKET_BYTES_MAX,
                                     .kinds = 126,
                                     .window_frames = 960,
                                     .door = "door",
                                     .port = 1};
    return d;
}

static inline void door_free(struct fake_door *d)
{
    free(d->seen);
    free(d);
}

// The server is killed and started again: it has forgotten its sessions, not what it decided.
static inline void door_restart(struct fake_door *d)
{
    memset(d->sessions, 0, sizeof d->sessions);
    d->sessions_open = 0;
}

#endif
