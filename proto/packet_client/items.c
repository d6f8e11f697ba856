// Items, their queue, and when each is due.
#include "packet_client/packet_client_internal.h"

#include <stdlib.h>

uint64_t client_now(const struct packet_client *c)
{
    return c->o.transport->now_ns(c->o.transport);
}

// SplitMix64 (Steele, Lea and Flood, 2014).
static uint64_t random_next(struct packet_client *c)
{
    uint64_t z = (c->random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t client_jitter_ns(struct packet_client *c, uint64_t ms)
{
    uint64_t ns = ms * 1000000;
    return ns / 2 + random_next(c) % (ns + 1);
}

// ------------------------------------------------------------------------------- the heap

static void heap_set(struct packet_client *c, uint32_t at, uint32_t slot)
{
    c->heap[at] = slot;
    c->slots[slot].heap_at = at;
}

static uint64_t heap_key(const struct packet_client *c, uint32_t at)
{
    return c->slots[c->heap[at]].due_ns;
}

static void heap_up(struct packet_client *c, uint32_t at)
{
    uint32_t slot = c->heap[at];
    for (; at && heap_key(c, (at - 1) / 2) > c->slots[slot].due_ns; at = (at - 1) / 2)
        heap_set(c, at, c->heap[(at - 1) / 2]);
    heap_set(c, at, slot);
}

static void heap_down(struct packet_client *c, uint32_t at)
{
    uint32_t slot = c->heap[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < c->heap_count && heap_key(c, child + 1) < heap_key(c, child))
            child++;
        if (child >= c->heap_count || heap_key(c, child) >= c->slots[slot].due_ns)
            break;
        heap_set(c, at, c->heap[child]);
        at = child;
    }
    heap_set(c, at, slot);
}

static void heap_add(struct packet_client *c, uint32_t slot)
{
    c->heap[c->heap_count] = slot;
    c->slots[slot].heap_at = c->heap_count;
    heap_up(c, c->heap_count++);
}

static void heap_remove(struct packet_client *c, uint32_t slot)
{
    uint32_t at = c->slots[slot].heap_at, last = c->heap[--c->heap_count];
    if (last == slot)
        return;
    heap_set(c, at, last);
    heap_up(c, at);
    heap_down(c, c->slots[last].heap_at);
}

void slot_due(struct packet_client *c, uint32_t slot, uint64_t due_ns)
{
    struct slot *s = &c->slots[slot];
    s->due_ns = due_ns < s->end_ns ? due_ns : s->end_ns;
    heap_up(c, s->heap_at);
    heap_down(c, s->heap_at);
}

// ------------------------------------------------------------------------------- the queue

void slot_queue(struct packet_client *c, uint32_t slot)
{
    struct slot *s = &c->slots[slot];
    s->state = SLOT_QUEUED;
    s->next = NO_SLOT;
    if (c->queued++ == 0)
        c->queue_head = slot;
    else
        c->slots[c->queue_tail].next = slot;
    c->queue_tail = slot;
    if (c->queued == 1)
        c->queued_since_ns = client_now(c);
    slot_due(c, slot, UINT64_MAX);
}

uint32_t slot_unqueue(struct packet_client *c)
{
    uint32_t slot = c->queue_head;
    c->queue_head = c->slots[slot].next;
    c->queued--;
    return slot;
}

// Of an item that ends before its turn has come. Rare: it waited for give_up_ms.
static void slot_leave_queue(struct packet_client *c, uint32_t slot)
{
    uint32_t before = NO_SLOT, at = c->queue_head;
    for (; at != slot; at = c->slots[at].next)
        before = at;
    if (before == NO_SLOT)
        c->queue_head = c->slots[slot].next;
    else
        c->slots[before].next = c->slots[slot].next;
    if (c->queue_tail == slot)
        c->queue_tail = before;
    c->queued--;
}

// ------------------------------------------------------------------------------- items

struct packet_item client_item(const struct packet_client_item *item)
{
    struct packet_item i = {
        .kind = item->kind, .flags = item->flags, .lines = item->line_count, .time = item->time_ms};
    memcpy(i.id, item->id, sizeof i.id);
    return i;
}

static bool item_ok(const struct packet_client_item *item)
{
    uint8_t bytes[PACKET_BYTES_MAX];
    struct packet_writer w;
    uint32_t line;
    packet_begin(&w, bytes, PACKET_BYTES_MAX);
    return packet_add(&w, client_item(item), item->lines) &&
           packet_item_fault(bytes + PACKET_HEADER_BYTES, &line) == PACKET_FIELD_NONE;
}

enum packet_client_status packet_client_submit(struct packet_client *c,
                                               struct packet_client_item *item)
{
    if (!item_ok(item))
        return PACKET_CLIENT_INVALID;
    if (c->free == NO_SLOT)
        return PACKET_CLIENT_FULL;
    uint32_t slot = c->free;
    struct slot *s = &c->slots[slot];
    c->free = s->next;
    item->submitted_ns = client_now(c);
    item->outcome = item->state = item->reply_flags = 0;
    item->detail = item->tries = 0;
    item->generation = 0;
    *s = (struct slot){.item = item,
                       .generation = s->generation,
                       .end_ns = item->submitted_ns + c->o.give_up_ms * UINT64_C(1000000),
                       .due_ns = UINT64_MAX,
                       .directory = client_grant(c)->generation};
    heap_add(c, slot);
    slot_queue(c, slot);
    c->open++;
    c->counts.submitted++;
    return PACKET_CLIENT_OK;
}

void slot_end(struct packet_client *c, uint32_t slot, enum packet_client_end end, uint64_t now)
{
    struct slot *s = &c->slots[slot];
    struct packet_client_item *item = s->item;
    if (s->state == SLOT_QUEUED)
        slot_leave_queue(c, slot);
    if (s->state == SLOT_FLYING)
        frame_item_over(c, s);
    heap_remove(c, slot);
    s->state = SLOT_FREE;
    s->generation++;
    s->item = NULL;
    s->next = c->free;
    c->free = slot;
    c->open--;
    item->end = end;
    item->answered_ns = now;
    if (end == PACKET_CLIENT_ANSWERED)
        c->counts.answered++;
    else
        c->counts.unknown++;
    c->o.done(c->o.ctx, item);
}

void slots_due(struct packet_client *c, uint64_t now)
{
    while (c->heap_count && heap_key(c, 0) <= now) {
        uint32_t slot = c->heap[0];
        struct slot *s = &c->slots[slot];
        if (s->end_ns <= now) {
            slot_end(c, slot, PACKET_CLIENT_UNKNOWN, now);
            continue;
        }
        if (s->state == SLOT_FLYING) {
            c->counts.lost++;
            frame_item_over(c, s);
        }
        slot_queue(c, slot); // which is due at its end only
    }
}
