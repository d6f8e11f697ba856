// Items into requests, answers into items.
//
// Requests gather until ASKED_MAX of them, or the burst's, are decided together. A query reads
// instead of deciding, so what was asked before it is decided first: items act in the frame's
// order.
#include "ingest/ingest_internal.h"

#include <string.h>

static const uint8_t outcome_of[CORE_OUTCOME_COUNT] = {
    [CORE_OUT_DONE] = PACKET_OUT_DONE,
    [CORE_OUT_REFUSED] = PACKET_OUT_REFUSED,
    [CORE_OUT_EXPIRED] = PACKET_OUT_EXPIRED,
    [CORE_OUT_WRONG_STATE] = PACKET_OUT_WRONG_STATE,
    [CORE_OUT_CONFLICT] = PACKET_OUT_CONFLICT,
    [CORE_OUT_UNKNOWN] = PACKET_OUT_UNKNOWN,
    [CORE_OUT_EXCEEDS] = PACKET_OUT_EXCEEDS,
    [CORE_OUT_IN_PROGRESS] = PACKET_OUT_IN_PROGRESS,
    [CORE_OUT_NEEDS_RECALL] = PACKET_OUT_ELSEWHERE,
    [CORE_OUT_BUSY] = PACKET_OUT_BUSY,
    [CORE_OUT_ID_TOO_OLD] = PACKET_OUT_ID_TOO_OLD,
    [CORE_OUT_ID_IN_FUTURE] = PACKET_OUT_ID_IN_FUTURE,
    [CORE_OUT_INVALID] = PACKET_OUT_INVALID,
};

static const uint8_t state_of[CORE_STATE_COUNT] = {
    [CORE_STATE_HELD] = PACKET_STATE_HELD,         [CORE_STATE_COMMITTED] = PACKET_STATE_COMMITTED,
    [CORE_STATE_RELEASED] = PACKET_STATE_RELEASED, [CORE_STATE_EXPIRED] = PACKET_STATE_EXPIRED,
    [CORE_STATE_REJECTED] = PACKET_STATE_REJECTED,
};

static const uint8_t field_of[CORE_FIELD_COUNT] = {
    [CORE_FIELD_VERB] = PACKET_FIELD_KIND,
    [CORE_FIELD_FLAGS] = PACKET_FIELD_FLAGS,
    [CORE_FIELD_ID] = PACKET_FIELD_ID,
    [CORE_FIELD_LINES] = PACKET_FIELD_LINES,
    [CORE_FIELD_HANDLE] = PACKET_FIELD_HANDLE,
    [CORE_FIELD_INACTIVE] = PACKET_FIELD_INACTIVE,
    [CORE_FIELD_QUANTITY] = PACKET_FIELD_QUANTITY,
    [CORE_FIELD_TTL] = PACKET_FIELD_TIME,
};

static uint32_t at_most_32(uint64_t value)
{
    return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static int32_t within_32(int64_t value)
{
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (int32_t)value;
}

static void item_tell(struct ingest_queue *q, uint8_t *at, uint8_t lines, uint8_t outcome,
                      uint8_t state, uint8_t flags, uint32_t detail)
{
    packet_answer_write(at, lines, outcome, state, flags, detail);
    count_add(&q->metrics.outcomes[outcome], 1);
}

// One line is the rule, and a memset of a length that is not known costs some twenty nanoseconds.
static void lines_clear(uint8_t *at, uint8_t lines)
{
    if (HF_LIKELY(lines == 1))
        packet_line_answer_write(at + PACKET_ITEM_BYTES, 0, 0);
    else if (lines)
        memset(at + PACKET_ITEM_BYTES, 0, (size_t)lines * PACKET_LINE_BYTES);
}

// An answer that no decision stands behind.
static void item_refuse(struct ingest_queue *q, uint8_t *at, uint8_t lines, uint8_t outcome,
                        uint32_t detail)
{
    item_tell(q, at, lines, outcome, PACKET_STATE_NONE, 0, detail);
    lines_clear(at, lines);
}

// ------------------------------------------------------------------------------- answers

// What the cells have now, where the engine has told nothing of them.
static void lines_look(struct ingest_queue *q, const struct asked *a)
{
    for (uint32_t i = 0; i < a->lines; i++) {
        struct core_cell cell;
        bool known = core_cell_read(q->core, q->lines[a->line + i].handle, &cell) == HF_OK;
        packet_line_answer_write(a->at + packet_item_bytes((uint8_t)i),
                                 known ? within_32(cell.available) : 0, 0);
    }
}

// Takes that the engine tells of, decided just now or done earlier. Returns when stock may be back:
// engine time, or 0.
static uint64_t lines_tell(struct ingest_queue *q, const struct asked *a)
{
    uint64_t hint_ms = 0;
    for (uint32_t i = 0; i < a->lines; i++) {
        const struct core_line_answer *l = &q->line_answers[a->line + i];
        int64_t amount = l->shortfall ? l->shortfall : l->taken;
        packet_line_answer_write(a->at + packet_item_bytes((uint8_t)i), within_32(l->available),
                                 at_most_32((uint64_t)amount));
        hint_ms = l->hint_ms > hint_ms ? l->hint_ms : hint_ms;
    }
    return hint_ms;
}

static uint32_t until(const struct ingest_queue *q, uint64_t time_ms)
{
    return time_ms > q->now_ms ? at_most_32(time_ms - q->now_ms) : 0;
}

static void item_answer(struct ingest_queue *q, uint32_t i)
{
    const struct asked *a = &q->asked[i];
    const struct core_answer *r = &q->answers[i];
    struct ingest_frame *f = &q->frames[a->frame];
    uint32_t detail = r->retry_ms;
    if (r->durable && r->ticket > f->ticket)
        f->ticket = r->ticket;
    bool told = (r->outcome == CORE_OUT_DONE || (r->outcome == CORE_OUT_REFUSED && !r->repeat)) &&
                q->requests[i].line_answers;
    if (HF_LIKELY(told)) {
        uint64_t hint_ms = lines_tell(q, a);
        detail = r->outcome == CORE_OUT_REFUSED ? until(q, hint_ms) : 0;
    } else if (r->outcome != CORE_OUT_DONE && r->outcome != CORE_OUT_REFUSED) {
        lines_clear(a->at, a->lines);
    } else {
        lines_look(q, a);
    }
    if (r->outcome == CORE_OUT_INVALID)
        detail = (uint32_t)field_of[r->field] << 16 | r->line;
    else if (r->state == CORE_STATE_HELD && r->outcome == CORE_OUT_DONE)
        detail = until(q, r->time_ms);
    item_tell(q, a->at, a->lines, outcome_of[r->outcome], state_of[r->state],
              (uint8_t)((r->repeat ? PACKET_REPEAT : 0) | (r->durable ? PACKET_DURABLE : 0)),
              detail);
}

void asked_decide(struct ingest_queue *q)
{
    if (q->asked_count == 0)
        return;
    core_execute(q->worker, q->now_ms, q->requests, q->answers, q->asked_count);
    for (uint32_t i = 0; i < q->asked_count; i++)
        item_answer(q, i);
    q->asked_count = 0;
    q->line_count = 0;
}

// ------------------------------------------------------------------------------- queries

static void query_cells(struct ingest_queue *q, uint8_t *at, uint8_t lines)
{
    for (uint32_t i = 0; i < lines; i++) {
        uint8_t *line = at + packet_item_bytes((uint8_t)i);
        struct core_cell cell;
        if (core_cell_read(q->core, packet_line_read(line).handle, &cell) != HF_OK) {
            item_refuse(q, at, lines, PACKET_OUT_INVALID, PACKET_FIELD_HANDLE << 16 | i);
            return;
        }
        packet_line_answer_write(line, within_32(cell.available), 0);
    }
    item_tell(q, at, lines, PACKET_OUT_DONE, PACKET_STATE_NONE, 0, 0);
}

static void query_reservation(struct ingest_queue *q, uint32_t f, uint8_t *at, struct hf_uuid id)
{
    struct core_view v;
    enum hf_status s = core_get(q->worker, q->now_ms, id, &v, NULL, 0);
    if (s != HF_OK) {
        bool again = s == HF_AGAIN;
        item_refuse(q, at, 0, again ? PACKET_OUT_IN_PROGRESS : PACKET_OUT_UNKNOWN, again ? 2 : 0);
        return;
    }
    if (q->waits && v.ticket > q->frames[f].ticket)
        q->frames[f].ticket = v.ticket;
    item_tell(q, at, 0, PACKET_OUT_DONE, state_of[v.state], q->waits ? PACKET_DURABLE : 0,
              v.state == CORE_STATE_HELD ? until(q, v.time_ms) : 0);
}

// ------------------------------------------------------------------------------- requests

static uint64_t network_64(const uint8_t *at)
{
    uint64_t x;
    memcpy(&x, at, sizeof x);
    return __builtin_bswap64(PACKET_LE64(x));
}

static void item_request(struct ingest_queue *q, uint32_t f, uint8_t *at,
                         const struct packet_item *item, struct hf_uuid id)
{
    static const enum core_verb verb_of[PACKET_KIND_END] = {[PACKET_HOLD] = CORE_RESERVE,
                                                            [PACKET_ORDER] = CORE_ORDER,
                                                            [PACKET_COMMIT] = CORE_COMMIT,
                                                            [PACKET_RELEASE] = CORE_RELEASE,
                                                            [PACKET_RECORD] = CORE_RECORD};
    bool takes = item->kind == PACKET_HOLD || item->kind == PACKET_ORDER;
    bool named = takes || item->kind == PACKET_RECORD;
    uint32_t first = q->line_count;
    for (uint32_t i = 0; i < item->lines; i++) {
        struct packet_line l = packet_line_read(at + packet_item_bytes((uint8_t)i));
        q->lines[first + i] = (struct core_line){l.handle, 0, l.quantity};
    }
    q->line_count += item->lines;
    q->asked[q->asked_count] =
        (struct asked){at, (uint16_t)f, (uint16_t)first, item->kind, item->lines};
    q->requests[q->asked_count] = (struct core_request){
        .verb = verb_of[item->kind],
        .flags = (item->flags & PACKET_BEST_EFFORT ? CORE_BEST_EFFORT : 0u) |
                 (item->flags & PACKET_RETAKE ? CORE_RETAKE : 0u),
        .id = id,
        .lines = &q->lines[first],
        .line_count = item->lines,
        .ttl_ms = item->time,
        .channel = named ? q->senders[f].channel : 0,
        .line_answers = takes ? &q->line_answers[first] : NULL,
    };
    q->asked_count++;
}

static void item_ask(struct ingest_queue *q, uint32_t f, uint8_t *at,
                     const struct packet_item *item)
{
    const struct sender *s = &q->senders[f];
    uint32_t line;
    enum packet_field field = packet_item_fault(at, &line);
    if (HF_UNLIKELY(field != PACKET_FIELD_NONE)) {
        item_refuse(q, at, item->lines, PACKET_OUT_INVALID, (uint32_t)field << 16 | line);
        return;
    }
    if (HF_UNLIKELY(!(s->kinds >> item->kind & 1))) {
        item_refuse(q, at, item->lines, PACKET_OUT_FORBIDDEN, 0);
        return;
    }
    if (HF_UNLIKELY(s->stale && (!s->no_handles || item->lines))) {
        item_refuse(q, at, item->lines, PACKET_OUT_STALE_DIRECTORY, 0);
        return;
    }
    struct hf_uuid id = {network_64(item->id), network_64(item->id + 8)};
    if (HF_UNLIKELY(item->kind == PACKET_QUERY)) {
        asked_decide(q);
        if (item->lines)
            query_cells(q, at, item->lines);
        else
            query_reservation(q, f, at, id);
        return;
    }
    if (q->asked_count == ASKED_MAX || q->line_count + item->lines > LINES_MAX)
        asked_decide(q);
    item_request(q, f, at, item, id);
}

void frame_ask(struct ingest_queue *q, uint32_t f)
{
    const struct packet_header *h = &q->headers[f];
    const struct sender *s = &q->senders[f];
    uint8_t *at = q->frames[f].payload + PACKET_HEADER_BYTES;
    for (uint32_t i = 0; i < h->count; i++) {
        struct packet_item item = packet_item_read(at);
        if (HF_UNLIKELY(s->outcome))
            item_refuse(q, at, item.lines, s->outcome, s->wait_ms);
        else
            item_ask(q, f, at, &item);
        at += packet_item_bytes(item.lines);
    }
}
