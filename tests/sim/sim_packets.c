// The packet door's life in a story: its queues, and what they ask of the engine.
#include "sim/sim_packets.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static uint32_t pick(struct prng *p, const uint32_t *from, uint32_t count)
{
    return from[prng_below(p, count)];
}
#define PICK(p, ...)                                                                               \
    pick(p, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

// ------------------------------------------------------------------------------- the engine's
// calls

// The story whose queue is in its step, and whose calls these are.
static struct sim *stepping;

void __real_core_execute(struct core_worker *w, uint64_t now_ms,
                         const struct core_request *requests, struct core_answer *answers,
                         uint32_t count);
void __wrap_core_execute(struct core_worker *w, uint64_t now_ms,
                         const struct core_request *requests, struct core_answer *answers,
                         uint32_t count);
enum hf_status __real_core_get(struct core_worker *w, uint64_t now_ms, struct hf_uuid id,
                               struct core_view *view, struct core_line *lines, uint32_t lines_max);
enum hf_status __wrap_core_get(struct core_worker *w, uint64_t now_ms, struct hf_uuid id,
                               struct core_view *view, struct core_line *lines, uint32_t lines_max);

static bool same_request(const struct core_request *a, const struct core_request *b)
{
    if (a->verb != b->verb || a->flags != b->flags || !hf_uuid_equal(a->id, b->id) ||
        !hf_uuid_is_nil(b->op_id) || a->line_count != b->line_count || a->ttl_ms != b->ttl_ms ||
        a->channel != b->channel || b->text)
        return false;
    for (uint32_t i = 0; i < a->line_count; i++)
        if (a->lines[i].handle != b->lines[i].handle ||
            a->lines[i].quantity != b->lines[i].quantity)
            return false;
    return true;
}

struct expected {
    struct door_item *item;
    struct door_frame *frame;
};

static bool expect(struct sim *s, const struct core_request *requests, uint32_t count,
                   struct expected *e)
{
    for (uint32_t i = 0; i < count; i++) {
        e[i].item = door_next(s->packets->stepping_port, &e[i].frame);
        if (!e[i].item || e[i].item->way != DOOR_DECIDED ||
            !same_request(&e[i].item->request, &requests[i]))
            return auditor_violate(&s->audit, "DOOR: %s of %llx%016llx was asked by no frame",
                                   core_verb_name(requests[i].verb),
                                   (unsigned long long)requests[i].id.hi,
                                   (unsigned long long)requests[i].id.lo);
    }
    return true;
}

// Of everything that is asked the auditor wants to see line answers.
static void audit(struct sim *s, struct core_worker *w, uint64_t now_ms,
                  const struct core_request *requests, const struct core_answer *answers,
                  uint32_t count)
{
    static const struct core_line_answer none[PACKET_LINES_MAX];
    static struct core_request copies[HF_BATCH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        copies[i] = requests[i];
        if (!copies[i].line_answers)
            copies[i].line_answers = (struct core_line_answer *)none;
    }
    if (auditor_batch(&s->audit, s->core, w, now_ms, copies, answers, count))
        (void)auditor_check_cells(&s->audit, s->core);
}

static void keep(struct sim *s, const struct expected *e, const struct core_request *r,
                 const struct core_answer *a, uint64_t now_ms)
{
    e->item->done = true;
    e->item->now_ms = now_ms;
    e->item->answer = *a;
    if (r->line_answers)
        memcpy(&e->frame->told[e->item->line], r->line_answers,
               r->line_count * sizeof *r->line_answers);
    sim_log(s, "frame %u %lu: %s lines %u -> %s %s v%u ticket %lu%s", e->frame->header.session,
            e->frame->header.sequence, core_verb_name(r->verb), r->line_count,
            core_outcome_name(a->outcome), core_state_name(a->state), a->version, a->ticket,
            a->repeat ? " repeat" : "");
}

void __wrap_core_execute(struct core_worker *w, uint64_t now_ms,
                         const struct core_request *requests, struct core_answer *answers,
                         uint32_t count)
{
    static struct expected e[HF_BATCH_MAX];
    struct sim *s = stepping;
    stepping = NULL;
    bool fine = s && expect(s, requests, count, e) && auditor_look(&s->audit, s->core, now_ms);
    if (s)
        memset(answers, 0xee, count * sizeof *answers); // the engine must fill all of it
    __real_core_execute(w, now_ms, requests, answers, count);
    if (fine) {
        s->stats.requests += count;
        for (uint32_t i = 0; i < count; i++)
            keep(s, &e[i], &requests[i], &answers[i], now_ms);
        audit(s, w, now_ms, requests, answers, count);
    }
    stepping = s;
}

enum hf_status __wrap_core_get(struct core_worker *w, uint64_t now_ms, struct hf_uuid id,
                               struct core_view *view, struct core_line *lines, uint32_t lines_max)
{
    struct sim *s = stepping;
    struct door_frame *f;
    stepping = NULL;
    enum hf_status st = __real_core_get(w, now_ms, id, view, lines, lines_max);
    if (s) {
        struct door_item *i = door_next(s->packets->stepping_port, &f);
        if (!i || i->way != DOOR_READ || !hf_uuid_equal(i->request.id, id)) {
            auditor_violate(&s->audit, "DOOR: a reservation was read by no frame");
        } else {
            i->done = true;
            i->status = st;
            i->view = *view;
            (void)auditor_get(&s->audit, s->core, w, now_ms, id);
        }
    }
    stepping = s;
    return st;
}

// ------------------------------------------------------------------------------- the port

void port_put(struct door_port *p, const uint8_t *bytes, uint32_t count)
{
    if (p->waiting_count == PORT_WAITING || !p->queue)
        return; // as a network does
    uint8_t *payload = malloc(count ? count : 1);
    HF_ASSERT(payload);
    memcpy(payload, bytes, count);
    p->waiting[p->waiting_count].payload = payload;
    p->waiting[p->waiting_count++].bytes = count;
}

static uint32_t port_receive(struct ingest_port *base, struct ingest_frame *frames, uint32_t max)
{
    struct door_port *p = (struct door_port *)base;
    struct sim *s = p->s;
    uint32_t n = p->waiting_count < max ? p->waiting_count : max;
    uint32_t room = base->frames_max - p->burst - p->inside_count;
    p->at_frame = p->inside_count;
    p->at_item = 0;
    for (uint32_t i = 0, kept = 0; i < n; i++) {
        uint8_t *payload = p->waiting[i].payload;
        enum ingest_drop why;
        frames[i] = (struct ingest_frame){
            .payload = payload, .cookie = payload, .bytes = p->waiting[i].bytes};
        struct door_frame *f = door_admit(s, p, payload, p->waiting[i].bytes, kept >= room, &why);
        s->stats.packet_frames++;
        if (!f) {
            p->dropped[why]++;
            s->stats.packet_dropped++;
            s->stats.packet_drops[why]++;
            sim_log(s, "a frame is dropped: %s", ingest_drop_name(why));
            continue;
        }
        p->held_busy += kept >= room;
        kept++;
        HF_ASSERT(p->inside_count < DOOR_INSIDE);
        p->inside[p->inside_count++] = f;
    }
    p->waiting_count -= n;
    memmove(p->waiting, p->waiting + n, p->waiting_count * sizeof *p->waiting);
    return n;
}

// The frame that the loop has in hand, taken off the list. NULL: it was to be dropped.
static struct door_frame *inside_take(struct door_port *p, const uint8_t *payload)
{
    for (uint32_t i = 0; i < p->inside_count; i++) {
        struct door_frame *f = p->inside[i];
        if (f->payload != payload)
            continue;
        p->inside_count--;
        memmove(&p->inside[i], &p->inside[i + 1], (p->inside_count - i) * sizeof f);
        return f;
    }
    return NULL;
}

static void port_answer(struct ingest_port *base, const struct ingest_frame *frames, uint32_t count)
{
    struct door_port *p = (struct door_port *)base;
    struct sim *s = p->s;
    for (uint32_t i = 0; i < count; i++) {
        struct door_frame *f = inside_take(p, frames[i].payload);
        if (!f)
            auditor_violate(&s->audit, "DOOR: a frame was answered that was to be dropped");
        else if (frames[i].bytes != f->header.bytes)
            auditor_violate(&s->audit, "DOOR: a reply of another length");
        else
            (void)door_reply(s, f, frames[i].payload, frames[i].bytes);
        s->stats.packet_replies++;
        p->answered++;
        s->audit.hash = hf_hash(frames[i].payload, frames[i].bytes, s->audit.hash);
        wire_put(s, frames[i].payload, frames[i].bytes, true, p->number);
        free(frames[i].cookie);
        free(f);
    }
}

static void port_drop(struct ingest_port *base, const struct ingest_frame *frames, uint32_t count)
{
    struct door_port *p = (struct door_port *)base;
    for (uint32_t i = 0; i < count; i++) {
        struct door_frame *f = inside_take(p, frames[i].payload);
        if (f && !p->closing)
            auditor_violate(&p->s->audit, "DOOR: a good frame was dropped: session %u %lu",
                            f->header.session, f->header.sequence);
        free(frames[i].cookie);
        free(f);
    }
}

static void port_wait(struct ingest_port *base, uint32_t timeout_ms)
{
    (void)base, (void)timeout_ms;
}

static void port_ring(struct ingest_port *base)
{
    (void)base;
}

static const struct ingest_port_ops port_ops = {.receive = port_receive,
                                                .answer = port_answer,
                                                .drop = port_drop,
                                                .wait = port_wait,
                                                .ring = port_ring,
                                                .destroy = port_ring};

static_assert((int)INGEST_DROP_COUNT <= 32, "sim_stats counts them");

// ------------------------------------------------------------------------------- set-up

void sim_packets_plan(struct sim *s)
{
    struct prng p = {hf_mix64(s->seed ^ UINT64_C(0x9ac7))};
    if (!prng_chance(&p, 1, 3))
        return;
    struct sim_packets *k = s->packets = calloc(1, sizeof *k);
    HF_ASSERT(k);
    k->queues = PICK(&p, 1, 1, DOOR_QUEUES);
    k->lose_in_100 = PICK(&p, 0, 5, 20, 50);
    k->copy_in_100 = PICK(&p, 0, 5, 20);
    k->damage_in_100 = PICK(&p, 0, 3, 15);
    k->late_in_100 = PICK(&p, 0, 20, 80);
    k->replay_in_100 = PICK(&p, 0, 5, 30);
    k->items_max = PICK(&p, 1, 2, 8, 16);
    for (uint32_t q = 0; q < k->queues; q++) {
        k->burst[q] = PICK(&p, 1, 2, 8, 32);
        k->frames_max[q] = 2 * k->burst[q] + PICK(&p, 0, 3, 20);
    }
    s->plan.packets = true;
    s->plan.packets_in_100 = PICK(&p, 20, 50, 80);
    s->plan.packet_workers = k->queues;
    s->options.workers_max += k->queues;
    s->options.ids_max += SIM_CACHED * k->queues;
    s->options.blocks_max += SIM_CACHED * k->queues;
    k->prng = prng_fork(&p);
}

void sim_packets_init(struct sim *s)
{
    s->packets->book = calloc(BOOK_ROOM, sizeof *s->packets->book);
    HF_ASSERT(s->packets->book);
}

void sim_packets_fini(struct sim *s)
{
    struct sim_packets *k = s->packets;
    if (!k)
        return;
    for (uint32_t i = 0; i < k->wire_count; i++)
        free(k->wire[i].bytes);
    for (uint32_t i = 0; i < WIRE_RECORDED; i++)
        free(k->recorded[i].bytes);
    free(k->book);
    free(k);
    s->packets = NULL;
}

bool sim_packets_open(struct sim *s)
{
    struct sim_packets *k = s->packets;
    if (prng_chance(&k->prng, 1, 2)) // shops whose gRPC connection broke know it
        memset(k->shops, 0, sizeof k->shops);
    if (ingest_sessions_create(DOOR_SESSIONS, (uint32_t)prng_next(&k->prng), &k->table) != HF_OK)
        return auditor_violate(&s->audit, "no table of sessions");
    for (uint32_t n = 0; n < k->queues; n++) {
        struct door_port *p = &k->ports[n];
        memset(p, 0, sizeof *p);
        p->port = (struct ingest_port){.ops = &port_ops, .frames_max = k->frames_max[n]};
        p->s = s;
        p->number = n;
        p->burst = k->burst[n];
        p->worker = core_worker_create(s->core);
        if (!p->worker)
            return auditor_violate(&s->audit, "no worker for queue %u", n);
        struct ingest_queue_options o = {.core = s->core,
                                         .worker = p->worker,
                                         .sessions = k->table,
                                         .port = &p->port,
                                         .number = n,
                                         .burst = p->burst};
        if (ingest_queue_create(&o, &p->queue) != HF_OK)
            return auditor_violate(&s->audit, "no queue %u", n);
    }
    return true;
}

// Answers are lost with the process, and so are the sessions. What is durable may still be told.
void sim_packets_close(struct sim *s)
{
    struct sim_packets *k = s->packets;
    if (!k)
        return;
    for (uint32_t n = 0; n < k->queues; n++) {
        struct door_port *p = &k->ports[n];
        if (p->queue && !s->stopped && prng_chance(&k->prng, 1, 2))
            (void)ingest_queue_drain(p->queue);
        p->closing = true;
        ingest_queue_destroy(p->queue);
        if (p->worker)
            core_worker_destroy(p->worker);
        for (uint32_t i = 0; i < p->waiting_count; i++)
            free(p->waiting[i].payload);
        p->waiting_count = 0;
        p->queue = NULL;
        p->worker = NULL;
    }
    ingest_sessions_destroy(k->table);
    k->table = NULL;
    k->pending_count = 0;
    door_sessions_forget(s);
}

// ------------------------------------------------------------------------------- steps

static bool counts_right(struct sim *s, const struct door_port *p)
{
    struct ingest_metrics m;
    memset(&m, 0, sizeof m);
    ingest_queue_metrics(p->queue, &m);
    for (int i = 0; i < INGEST_DROP_COUNT; i++)
        if (m.dropped[i] != p->dropped[i])
            return auditor_violate(&s->audit, "DOOR: %lu frames dropped as %s, not %lu",
                                   m.dropped[i], ingest_drop_name((enum ingest_drop)i),
                                   p->dropped[i]);
    if (m.held != p->inside_count)
        return auditor_violate(&s->audit, "DOOR: %lu frames are held, %u came", m.held,
                               p->inside_count);
    if (m.answered != p->answered || m.held_busy != p->held_busy)
        return auditor_violate(&s->audit, "DOOR: %lu answered, %lu of them busy; not %lu, %lu",
                               m.answered, m.held_busy, p->answered, p->held_busy);
    return true;
}

static bool queue_step(struct sim *s, struct door_port *p)
{
    struct door_frame *f;
    s->packets->stepping_port = p;
    stepping = s;
    (void)ingest_queue_step(p->queue);
    stepping = NULL;
    if (sim_ok(s) && door_next(p, &f))
        return auditor_violate(&s->audit, "DOOR: an item of session %u %lu was passed over",
                               f->header.session, f->header.sequence);
    return sim_ok(s) && counts_right(s, p);
}

bool sim_packets_act(struct sim *s)
{
    struct sim_packets *k = s->packets;
    struct prng *p = &k->prng;
    if (prng_chance(p, 1, 40))
        door_session_end(s);
    if (!sim_ok(s) || !book_settle(s) || !shop_act(s) || s->stopped)
        return sim_ok(s);
    if (!wire_move(s, (uint32_t)prng_below(p, 12)) || s->stopped)
        return sim_ok(s);
    for (uint32_t n = 0; n < k->queues; n++)
        if (prng_chance(p, 1, 2) && !queue_step(s, &k->ports[n]))
            return false;
    return true;
}

uint32_t sim_packets_unanswered(const struct sim *s)
{
    return shop_unanswered(s);
}

bool sim_packets_settle(struct sim *s)
{
    struct sim_packets *k = s->packets;
    for (int rounds = 0; rounds < 4; rounds++) {
        if (!book_settle(s) || !shop_act(s) || !wire_move(s, WIRE_MAX))
            return false;
        for (uint32_t n = 0; n < k->queues; n++)
            do {
                if (!queue_step(s, &k->ports[n]))
                    return false;
            } while (k->ports[n].waiting_count);
        if (!sim_pump(s, 1) || !wire_move(s, WIRE_MAX))
            return false;
    }
    return true;
}
