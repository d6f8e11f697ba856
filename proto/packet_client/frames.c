// Frames out of items, and answers out of frames.
//
// A reply is matched by session, sequence and place, and the ids are compared: hold and commit of
// one reservation carry the same id, and a late copy of the hold's reply must not answer the
// commit. An answer to an earlier try is as good as one to the last only when it will never be
// another: a refusal that nobody remembers can be followed by the last try's success.
#include "packet_client/packet_client_internal.h"

#include "packet/tag.h"

// ------------------------------------------------------------------------------- out

void frame_item_over(struct packet_client *c, const struct slot *s)
{
    struct sent_frame *f = &c->sent[s->sequence & c->sent_mask];
    if (f->sequence == s->sequence && f->left > 0 && --f->left == 0)
        c->flying_frames--;
}

static struct sent_frame *frame_take(struct packet_client *c)
{
    struct sent_frame *f = &c->sent[++c->sequence & c->sent_mask];
    if (f->left > 0)
        c->flying_frames--; // its items are sent again in time; a reply that late is not read
    f->sequence = c->sequence;
    f->session = client_grant(c)->session;
    f->left = f->count = 0;
    return f;
}

static void slot_fly(struct packet_client *c, uint32_t slot, struct sent_frame *f, uint64_t now)
{
    struct slot *s = &c->slots[slot];
    uint64_t ms = (uint64_t)c->o.try_ms << (s->doublings < 16 ? s->doublings : 16);
    if (ms > c->o.try_ms_max)
        ms = c->o.try_ms_max;
    if (s->doublings == 0)
        s->due_ns = now + ms * 1000000; // the first wait is no shorter than was asked for
    else
        s->due_ns = now + client_jitter_ns(c, ms);
    s->doublings++;
    s->state = SLOT_FLYING;
    s->sequence = f->sequence;
    s->item->tries++;
    slot_due(c, slot, s->due_ns);
    f->items[f->count++] = (struct sent_item){slot, s->generation};
    f->left++;
    c->counts.tries++;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// What an item was made for stays so in a later session: the server tells STALE_DIRECTORY then,
// where another cell would be sold if it went out as of the new one.
static uint64_t directory_of(struct slot *s, const struct packet_grant *g)
{
    if (s->directory == 0)
        s->directory = g->generation;
    return s->item->line_count ? s->directory : g->generation;
}

// One frame of what is queued. Its bytes; 0: nothing fits, which one item too wide can cause.
static uint32_t frame_make(struct packet_client *c, uint8_t *bytes, uint32_t items_max,
                           uint64_t now)
{
    const struct packet_grant *g = client_grant(c);
    struct sent_frame *f = frame_take(c);
    struct packet_writer w;
    uint64_t directory = g->generation;
    items_max = least(items_max, c->o.frame_items);
    packet_begin(&w, bytes, g->frame_bytes_max);
    while (c->queued && w.count < items_max) {
        uint32_t slot = c->queue_head;
        const struct packet_client_item *item = c->slots[slot].item;
        if (w.count && directory_of(&c->slots[slot], g) != directory)
            break;
        directory = directory_of(&c->slots[slot], g);
        if (packet_add(&w, client_item(item), item->lines)) {
            slot_unqueue(c);
            slot_fly(c, slot, f, now);
        } else if (w.count) {
            break;
        } else { // in no frame of this session
            c->slots[slot].item->outcome = PACKET_OUT_INVALID;
            c->slots[slot].item->detail = PACKET_FIELD_LINES << 16;
            slot_end(c, slot, PACKET_CLIENT_ANSWERED, now);
        }
    }
    if (w.count == 0)
        return 0;
    c->flying_frames++;
    uint32_t count = packet_end(&w, g->session, f->sequence, directory, (uint32_t)f->sequence);
    if (g->tagged)
        packet_seal(bytes, count, g->key);
    return count;
}

// Whether what is queued should go now: a full frame, or the oldest has waited long enough.
static bool frame_ready(const struct packet_client *c, uint64_t now)
{
    return c->queued >= c->o.frame_items ||
           (c->queued && now >= c->queued_since_ns + c->o.linger_us * UINT64_C(1000));
}

void frames_send(struct packet_client *c, uint64_t now)
{
    struct packet_buffer out[BURST];
    uint32_t window = least(c->o.frames_max, client_grant(c)->window_frames / 2);
    while (client_grant(c)->session && frame_ready(c, now)) {
        uint32_t n = 0, allowed = session_allowance(c, now);
        while (n < BURST && c->flying_frames < window && allowed && frame_ready(c, now)) {
            uint64_t tries = c->counts.tries;
            uint32_t bytes = frame_make(c, c->buffers[n], allowed, now);
            if (bytes == 0)
                break;
            out[n] = (struct packet_buffer){c->buffers[n], bytes};
            allowed -= (uint32_t)(c->counts.tries - tries);
            c->allowance -= (double)(c->counts.tries - tries);
            n++;
        }
        if (n == 0)
            return;
        uint32_t took = c->o.transport->send(c->o.transport, out, n);
        c->counts.frames += took;
        c->counts.not_sent += n - took;
        session_sent(c, now);
    }
}

// ------------------------------------------------------------------------------- in

static bool outcome_again(uint8_t outcome)
{
    return outcome == PACKET_OUT_IN_PROGRESS || outcome == PACKET_OUT_BUSY ||
           outcome == PACKET_OUT_RATE_LIMITED;
}

static void slot_again(struct packet_client *c, uint32_t slot, uint32_t told_ms, uint64_t now)
{
    struct slot *s = &c->slots[slot];
    uint32_t doublings = s->doublings ? s->doublings - 1 : 0;
    uint64_t ms = (uint64_t)c->o.again_ms << (doublings < 16 ? doublings : 16);
    if (ms > c->o.try_ms_max)
        ms = c->o.try_ms_max;
    uint64_t wait_ns = client_jitter_ns(c, ms);
    if (wait_ns < told_ms * UINT64_C(1000000))
        wait_ns = told_ms * UINT64_C(1000000);
    frame_item_over(c, s);
    s->state = SLOT_WAITING;
    slot_due(c, slot, now + wait_ns);
    c->counts.again++;
}

// Whether every later try is told the same. What is not remembered (a refused hold, a refused
// retake, "not now", what is wrong with it) may have changed when the next one comes.
static bool outcome_stays(uint8_t kind, uint8_t outcome)
{
    switch (outcome) {
    case PACKET_OUT_DONE:
    case PACKET_OUT_EXPIRED:
    case PACKET_OUT_WRONG_STATE:
    case PACKET_OUT_CONFLICT:
    case PACKET_OUT_ID_TOO_OLD:
        return true;
    case PACKET_OUT_REFUSED:
        return kind == PACKET_ORDER;
    default:
        return false;
    }
}

// An earlier try has got such an answer while a later one is on its way: its own answer counts, and
// may take as long as this one did. If it does not come, the item is sent again.
static void slot_await(struct packet_client *c, uint32_t slot, uint64_t now)
{
    struct slot *s = &c->slots[slot];
    uint64_t due_ns = now + (now - s->item->submitted_ns);
    if (due_ns > s->due_ns)
        slot_due(c, slot, due_ns);
}

// An item's answer at `at`. True: somebody waited for it.
static bool answer_take(struct packet_client *c, const struct sent_frame *f, uint32_t index,
                        const struct packet_header *h, const uint8_t *at, uint64_t now)
{
    uint32_t slot = f->items[index].slot;
    struct slot *s = &c->slots[slot];
    const struct packet_answer a = packet_answer_read(at);
    struct packet_client_item *item = s->item;
    if (s->generation != f->items[index].generation || s->state == SLOT_FREE)
        return false;
    if (memcmp(a.id, item->id, sizeof a.id) != 0 || a.lines != item->line_count)
        return false;
    if (s->sequence != f->sequence && !outcome_stays(item->kind, a.outcome)) {
        if (s->state == SLOT_FLYING)
            slot_await(c, slot, now);
        return false;
    }
    if (outcome_again(a.outcome) && s->state != SLOT_FLYING)
        return false; // it goes again anyway
    item->outcome = a.outcome;
    item->state = a.state;
    item->reply_flags = a.flags;
    item->detail = a.detail;
    item->generation = h->generation;
    for (uint8_t i = 0; item->line_answers && i < a.lines; i++)
        item->line_answers[i] = packet_line_answer_read(at + packet_item_bytes(i));
    if (outcome_again(a.outcome))
        slot_again(c, slot, a.detail, now);
    else
        slot_end(c, slot, PACKET_CLIENT_ANSWERED, now);
    return true;
}

static void frame_read(struct packet_client *c, uint8_t *bytes, uint32_t count)
{
    struct packet_header h;
    if (packet_read(bytes, count, PACKET_REPLY, &h) != PACKET_FAULT_NONE) {
        c->counts.foreign++;
        return;
    }
    struct session *s = session_find(c, h.session);
    if (!s) {
        c->counts.foreign++;
        return;
    }
    if (s->grant.tagged && !packet_open(bytes, count, s->grant.key)) {
        c->counts.forged++;
        return;
    }
    struct sent_frame *f = &c->sent[h.sequence & c->sent_mask];
    if (f->sequence != h.sequence || f->session != h.session || f->count != h.count) {
        c->counts.foreign++;
        return;
    }
    uint64_t now = client_now(c);
    const uint8_t *at = bytes + PACKET_HEADER_BYTES;
    bool told = false;
    session_heard(c, s);
    // A callback may submit, and so may not be followed by a look at this frame's record: sending,
    // which writes records, waits for the end of the loop.
    for (uint32_t i = 0; i < h.count; i++) {
        uint8_t lines = packet_answer_read(at).lines;
        told = answer_take(c, f, i, &h, at, now) || told;
        at += packet_item_bytes(lines);
    }
    if (told)
        c->counts.replies++;
    else
        c->counts.late++;
}

uint32_t frames_receive(struct packet_client *c)
{
    struct packet_buffer in[BURST];
    for (uint32_t i = 0; i < BURST; i++)
        in[i] = (struct packet_buffer){c->buffers[i], PACKET_BYTES_MAX};
    uint32_t n = c->o.transport->receive(c->o.transport, in, BURST);
    for (uint32_t i = 0; i < n; i++)
        frame_read(c, in[i].bytes, in[i].count);
    return n;
}
