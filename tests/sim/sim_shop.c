// Shops that ask by packets: they ask again as new frames, in other sessions and at the other door,
// and note what they were told of each id, which must never change.
#include "sim/sim_packets.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------- the book

// One outcome per id: whatever is told again is the same, and only one answer tells it as new.
static bool book_tell(struct sim *s, const struct told *t)
{
    struct sim_packets *k = s->packets;
    uint64_t at = hf_mix64(t->id.hi ^ hf_mix64(t->id.lo));
    struct told *b = &k->book[at % BOOK_ROOM];
    while (b->verb && !hf_uuid_equal(b->id, t->id))
        b = &k->book[++at % BOOK_ROOM];
    if (!b->verb) {
        if (k->book_count < BOOK_ROOM / 2)
            *b = *t, k->book_count++;
        return true;
    }
    s->stats.packet_told++;
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(t->id, id);
    if (b->verb != t->verb || b->body != t->body || b->outcome != t->outcome)
        return auditor_violate(&s->audit, "TOLD TWICE: %s was told %u, now %u", id, b->outcome,
                               t->outcome);
    if (t->fresh && b->fresh && t->fresh != b->fresh)
        return auditor_violate(&s->audit, "TWICE: %s was decided anew", id);
    b->fresh = b->fresh ? b->fresh : t->fresh;
    return true;
}

// Only what a client may rest on: new ids by their time, answers that are durable. False: nothing
// that is noted.
static bool told_of(const struct sim *s, const struct core_request *r, uint8_t outcome, bool repeat,
                    uint64_t answer, struct told *t)
{
    bool takes = r->verb == CORE_RESERVE || r->verb == CORE_ORDER || r->verb == CORE_RECORD;
    bool kept =
        outcome == PACKET_OUT_DONE || (outcome == PACKET_OUT_REFUSED && r->verb == CORE_ORDER);
    if (!takes || !kept || !s->audit.durable_mode || hf_uuid_version(r->id) != 7)
        return false;
    struct core_line *lines;
    uint32_t count;
    *t = (struct told){.id = r->id,
                       .fresh = repeat ? 0 : answer,
                       .verb = (uint8_t)(r->verb + 1),
                       .outcome = outcome};
    if (oracle_merge(r->lines, r->line_count, &lines, &count))
        t->body = oracle_body_hash(r, lines, count);
    free(lines);
    return true;
}

bool book_settle(struct sim *s)
{
    struct sim_packets *k = s->packets;
    uint64_t durable = core_durable(s->core);
    uint32_t left = 0;
    for (uint32_t i = 0; i < k->pending_count; i++) {
        if (k->pending[i].ticket > durable)
            k->pending[left++] = k->pending[i];
        else if (!book_tell(s, &k->pending[i]))
            return false;
    }
    k->pending_count = left;
    return true;
}

bool sim_packets_told(struct sim *s, const struct core_request *r, const struct core_answer *a,
                      uint32_t count)
{
    struct sim_packets *k = s->packets;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t outcome = a[i].outcome == CORE_OUT_DONE      ? PACKET_OUT_DONE
                          : a[i].outcome == CORE_OUT_REFUSED ? PACKET_OUT_REFUSED
                                                             : 0;
        struct told t;
        if (!told_of(s, &r[i], outcome, a[i].repeat, ++k->answers, &t))
            continue;
        if (k->pending_count == BOOK_PENDING)
            return true; // they are not told in time
        t.ticket = a[i].ticket;
        k->pending[k->pending_count++] = t;
    }
    return true;
}

// ------------------------------------------------------------------------------- items

static void id_put(struct hf_uuid id, uint8_t bytes[16])
{
    for (int i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)(id.hi >> (56 - 8 * i));
        bytes[8 + i] = (uint8_t)(id.lo >> (56 - 8 * i));
    }
}

static struct hf_uuid id_get(const uint8_t bytes[16])
{
    struct hf_uuid id = {0, 0};
    for (int i = 0; i < 8; i++) {
        id.hi = id.hi << 8 | bytes[i];
        id.lo = id.lo << 8 | bytes[8 + i];
    }
    return id;
}

static bool has_form(const struct core_request *r, const struct core_line *lines,
                     struct packet_item *item)
{
    static const uint8_t kinds[CORE_VERB_COUNT] = {[CORE_RESERVE] = PACKET_HOLD,
                                                   [CORE_ORDER] = PACKET_ORDER,
                                                   [CORE_RECORD] = PACKET_RECORD,
                                                   [CORE_COMMIT] = PACKET_COMMIT,
                                                   [CORE_RELEASE] = PACKET_RELEASE};
    if (!kinds[r->verb] || !hf_uuid_is_nil(r->op_id) || r->line_count > PACKET_LINES_MAX ||
        r->flags & ~(uint32_t)(CORE_BEST_EFFORT | CORE_RETAKE))
        return false;
    for (uint32_t i = 0; i < r->line_count; i++)
        if (lines[i].quantity < 0 || lines[i].quantity > UINT32_MAX)
            return false;
    *item = (struct packet_item){.kind = kinds[r->verb],
                                 .flags = (uint8_t)((r->flags & CORE_BEST_EFFORT ? 1 : 0) |
                                                    (r->flags & CORE_RETAKE ? 2 : 0)),
                                 .lines = (uint8_t)r->line_count,
                                 .time = r->ttl_ms};
    id_put(r->id, item->id);
    return true;
}

// The item as the other door is asked it, into kept[n]. False: it is a query.
static bool request_of(struct sim *s, uint32_t n, const uint8_t *at)
{
    static const enum core_verb verbs[PACKET_KIND_END] = {[PACKET_HOLD] = CORE_RESERVE,
                                                          [PACKET_ORDER] = CORE_ORDER,
                                                          [PACKET_COMMIT] = CORE_COMMIT,
                                                          [PACKET_RELEASE] = CORE_RELEASE,
                                                          [PACKET_RECORD] = CORE_RECORD};
    struct packet_item item = packet_item_read(at);
    if (item.kind == PACKET_QUERY)
        return false;
    struct core_request *r = sim_request_new(s, n, verbs[item.kind], item.lines);
    r->flags = item.flags;
    r->id = id_get(item.id);
    r->ttl_ms = item.time;
    for (uint32_t i = 0; i < item.lines; i++) {
        struct packet_line l = packet_line_read(at + packet_item_bytes((uint8_t)i));
        s->kept[n].lines[i] = (struct core_line){.handle = l.handle, .quantity = l.quantity};
    }
    r->lines = s->kept[n].lines;
    return true;
}
static_assert((int)PACKET_BEST_EFFORT == (int)CORE_BEST_EFFORT, "the same bit at both doors");
static_assert((int)PACKET_RETAKE == (int)CORE_RETAKE, "the same bit at both doors");

// ------------------------------------------------------------------------------- sending

// `silent`: a session that has not answered for long; another takes its place. 0: none.
static struct shop_session *session_choose(struct sim *s, uint32_t silent)
{
    struct sim_packets *k = s->packets;
    struct prng *p = &k->prng;
    struct shop_session *v = &k->shops[prng_below(p, SHOP_SESSIONS)];
    for (uint32_t i = 0; silent && i < SHOP_SESSIONS; i++)
        if (k->shops[i].number == silent) {
            v = &k->shops[i];
            v->number = 0;
        }
    if (v->number == 0 || (!s->calm && prng_chance(p, 1, 30))) {
        struct shop_session fresh = {.number = 0};
        if (!door_session_open(s, &fresh))
            return NULL;
        fresh.queue = (uint32_t)prng_below(p, k->queues);
        if (fresh.number)
            *v = fresh;
    }
    return v->number ? v : NULL;
}

static uint64_t sequence_next(struct sim *s, struct shop_session *v)
{
    struct prng *p = &s->packets->prng;
    if (prng_chance(p, 1, 40))
        v->sequence += prng_chance(p, 1, 3) ? prng_between(p, 900, 1100) : prng_below(p, 70);
    return ++v->sequence;
}

// As a new frame: a new number, maybe another session, the same items.
static bool frame_send(struct sim *s, struct shop_frame *f)
{
    struct sim_packets *k = s->packets;
    struct prng *p = &k->prng;
    struct shop_session *v = session_choose(s, f->tries >= SHOP_GIVES_UP ? f->session : 0);
    if (!v)
        return sim_ok(s);
    if (f->tries >= SHOP_GIVES_UP)
        f->tries = 0;
    f->tries++;
    f->age = 0;
    f->session = v->number;
    f->sequence = sequence_next(s, v);
    uint64_t generation = core_generation(s->core);
    if (!s->calm && prng_chance(p, 1, 25))
        generation = prng_chance(p, 1, 2) ? 0 : generation + 1;
    struct packet_writer w = {f->frame, f->bytes, sizeof f->frame, f->count};
    uint32_t bytes = packet_end(&w, v->number, f->sequence, generation, (uint32_t)prng_next(p));
    uint8_t *lines = f->frame + PACKET_HEADER_BYTES + offsetof(struct packet_item, lines);
    uint8_t spoilt = !s->calm && prng_chance(p, 1, 60) ? 3 : 0; // a client of a poor make
    *lines ^= spoilt;
    if (v->tagged)
        packet_seal(f->frame, bytes, v->key);
    uint32_t queue = v->queue;
    if (prng_chance(p, 1, 30) && !s->calm)
        queue = (uint32_t)prng_below(p, k->queues);
    wire_put(s, f->frame, bytes, false, queue);
    *lines ^= spoilt;
    if (spoilt) // whatever is told of it is told of other items
        f->sequence = UINT64_MAX;
    return true;
}

static struct shop_frame *frame_begin(struct sim *s)
{
    for (uint32_t i = 0; i < SHOP_FRAMES; i++) {
        struct shop_frame *f = &s->packets->frames[i];
        if (f->count)
            continue;
        memset(f, 0, offsetof(struct shop_frame, frame));
        f->bytes = PACKET_HEADER_BYTES;
        return f;
    }
    return NULL;
}

static bool item_add(struct shop_frame *f, struct packet_item item, const struct packet_line *lines)
{
    struct packet_writer w = {f->frame, f->bytes, sizeof f->frame, f->count};
    if (!packet_add(&w, item, lines))
        return false;
    f->bytes = w.bytes;
    f->count = w.count;
    return true;
}

bool sim_packets_add(struct sim *s, const struct sim_request *r)
{
    struct sim_packets *k = s->packets;
    struct packet_item item;
    struct packet_line lines[PACKET_LINES_MAX];
    if (prng_chance(&k->prng, 1, 12) || !has_form(&r->r, r->lines, &item))
        return false;
    for (uint32_t i = 0; i < item.lines; i++)
        lines[i] = (struct packet_line){r->lines[i].handle, (uint32_t)r->lines[i].quantity};
    if (k->filling && k->filling->count >= k->items_max)
        sim_packets_send(s);
    if (!k->filling)
        k->filling = frame_begin(s);
    if (!k->filling)
        return false;
    if (item_add(k->filling, item, lines))
        return true;
    if (k->filling->count == 0)
        return false;
    sim_packets_send(s);
    k->filling = frame_begin(s);
    return k->filling && item_add(k->filling, item, lines);
}

// What do you know of this id, or of these cells?
static void query_add(struct sim *s, struct shop_frame *f)
{
    struct prng *p = &s->packets->prng;
    const struct oracle *o = &s->audit.oracle;
    struct packet_item item = {.kind = PACKET_QUERY};
    struct packet_line lines[3];
    if (prng_chance(p, 1, 3)) {
        item.lines = (uint8_t)prng_between(p, 1, 3);
        for (uint32_t i = 0; i < item.lines; i++)
            lines[i] = (struct packet_line){(uint32_t)prng_below(p, o->cell_count + 1), 0};
    } else if (o->reservation_count) {
        uint64_t back = prng_below(p, o->reservation_count < 30 ? o->reservation_count : 30);
        id_put(o->reservations[o->reservation_count - 1 - back].id, item.id);
    }
    (void)item_add(f, item, lines);
}

void sim_packets_send(struct sim *s)
{
    struct shop_frame *f = s->packets->filling;
    s->packets->filling = NULL;
    if (!f || f->count == 0)
        return;
    if (prng_chance(&s->packets->prng, 1, 6))
        query_add(s, f);
    (void)frame_send(s, f);
}

// ------------------------------------------------------------------------------- asking again

static bool other_door(struct sim *s, const struct shop_frame *f)
{
    const uint8_t *at = f->frame + PACKET_HEADER_BYTES;
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        n += request_of(s, n, at);
        at += packet_item_bytes(packet_item_read(at).lines);
    }
    s->stats.packet_other_door += n;
    return n == 0 || sim_execute(s, n);
}

static bool ask_again(struct sim *s, struct shop_frame *f)
{
    struct prng *p = &s->packets->prng;
    uint32_t what = (uint32_t)prng_below(p, 10);
    if (what < 5 || f->sequence == 0 || s->calm) {
        s->stats.packet_resent += f->sequence != 0;
        return frame_send(s, f);
    }
    if (what == 5) { // gives up: the outcome stays unknown
        f->count = 0;
        return true;
    }
    f->age = 0;
    if (!other_door(s, f))
        return false;
    if (prng_chance(p, 1, 2))
        f->count = 0;
    return true;
}

bool shop_act(struct sim *s)
{
    struct sim_packets *k = s->packets;
    for (uint32_t i = 0; i < SHOP_FRAMES && !s->stopped; i++) {
        struct shop_frame *f = &k->frames[i];
        if (f->count == 0 || f == k->filling)
            continue;
        f->age++;
        bool impatient = f->age > 1u << f->tries && (s->calm || prng_chance(&k->prng, 1, 6));
        if (impatient && !ask_again(s, f))
            return false;
    }
    return true;
}

uint32_t shop_unanswered(const struct sim *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SHOP_FRAMES; i++)
        count += s->packets->frames[i].count > 0;
    return count;
}

// ------------------------------------------------------------------------------- replies

static struct shop_frame *frame_of(struct sim *s, uint8_t *reply, uint32_t count,
                                   struct packet_header *h)
{
    struct sim_packets *k = s->packets;
    if (packet_read(reply, count, PACKET_REPLY, h) != PACKET_FAULT_NONE)
        return NULL;
    for (uint32_t i = 0; i < SHOP_SESSIONS; i++)
        if (k->shops[i].number == h->session && k->shops[i].tagged &&
            !packet_open(reply, count, k->shops[i].key))
            return NULL;
    for (uint32_t i = 0; i < SHOP_FRAMES; i++) {
        struct shop_frame *f = &k->frames[i];
        if (f->count && f->session == h->session && f->sequence == h->sequence &&
            f->count == h->count)
            return f;
    }
    return NULL;
}

static bool item_told(struct sim *s, const uint8_t *at, const struct packet_answer *a,
                      uint64_t answer)
{
    struct told t;
    // The request's form is only wanted for its hash: kept[SIM_BATCH_MAX - 1] is not in hand.
    if ((a->outcome != PACKET_OUT_DONE && a->outcome != PACKET_OUT_REFUSED) ||
        !request_of(s, SIM_BATCH_MAX - 1, at))
        return true;
    return !told_of(s, &s->kept[SIM_BATCH_MAX - 1].r, a->outcome, a->flags & PACKET_REPEAT, answer,
                    &t) ||
           book_tell(s, &t);
}

static bool asks_again(uint8_t outcome)
{
    return outcome == PACKET_OUT_BUSY || outcome == PACKET_OUT_RATE_LIMITED ||
           outcome == PACKET_OUT_IN_PROGRESS || outcome == PACKET_OUT_STALE_DIRECTORY;
}

// Answered items leave the frame; what is to be asked again stays, or goes to the other door.
bool shop_receive(struct sim *s, const uint8_t *bytes, uint32_t count)
{
    uint8_t reply[PACKET_BYTES_MAX];
    struct packet_header h;
    struct shop_frame elsewhere = {.bytes = PACKET_HEADER_BYTES};
    if (count > sizeof reply)
        return true;
    memcpy(reply, bytes, count);
    struct shop_frame *f = frame_of(s, reply, count, &h);
    if (!f)
        return true;
    uint32_t at = PACKET_HEADER_BYTES, kept = PACKET_HEADER_BYTES, kept_count = 0;
    for (uint32_t i = 0; i < f->count; i++) {
        struct packet_answer a = packet_answer_read(reply + at);
        uint32_t item = (uint32_t)packet_item_bytes(a.lines);
        if (!item_told(s, f->frame + at, &a, ++s->packets->answers))
            return false;
        if (a.outcome == PACKET_OUT_ELSEWHERE) {
            memcpy(elsewhere.frame + elsewhere.bytes, f->frame + at, item);
            elsewhere.bytes += item;
            elsewhere.count++;
        } else if (asks_again(a.outcome)) {
            memmove(f->frame + kept, f->frame + at, item);
            kept += item;
            kept_count++;
        }
        if (a.outcome == PACKET_OUT_BUSY || a.outcome == PACKET_OUT_RATE_LIMITED)
            s->stats.packet_busy++;
        if (a.outcome == PACKET_OUT_RATE_LIMITED)
            f->tries = SHOP_GIVES_UP;
        at += item;
    }
    f->count = kept_count;
    f->bytes = kept;
    f->sequence = 0;
    f->age = 0;
    return elsewhere.count == 0 || s->stopped || other_door(s, &elsewhere);
}
