#include "load/encode.h"

#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef Holdfast__V1__Line Line;

// A request of any verb, and the texts of its ids.
struct message {
    union {
        ProtobufCMessage base;
        Holdfast__V1__ReserveRequest reserve;
        Holdfast__V1__OrderRequest order;
        Holdfast__V1__RecordRequest record;
        Holdfast__V1__CommitRequest commit;
        Holdfast__V1__ReleaseRequest release;
        Holdfast__V1__ExtendRequest extend;
        Holdfast__V1__CancelRequest cancel;
        Holdfast__V1__ReturnGoodsRequest back;
        Holdfast__V1__GetReservationRequest get;
        Holdfast__V1__AdjustStockRequest adjust;
    } as;
    char id[HF_UUID_TEXT_BYTES], op_id[HF_UUID_TEXT_BYTES];
};

struct encoder {
    const struct cells *cells;
    uint32_t batch_max;
    struct message *messages;
    Holdfast__V1__StreamOperation *operations, **operation_refs;
    Holdfast__V1__ReserveStreamRequest batch;
    Line *lines, **line_refs; // of all operations of a message
    uint32_t line_count, line_room;
};

struct encoder *encoder_create(const struct cells *cells, uint32_t batch_max)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->cells = cells;
    e->batch_max = batch_max;
    e->messages = calloc(batch_max, sizeof *e->messages);
    e->operations = calloc(batch_max, sizeof *e->operations);
    e->operation_refs = calloc(batch_max, sizeof(void *));
    if (!e->messages || !e->operations || !e->operation_refs) {
        encoder_destroy(e);
        return NULL;
    }
    return e;
}

void encoder_destroy(struct encoder *e)
{
    free(e->messages);
    free(e->operations);
    free(e->operation_refs);
    free(e->lines);
    free(e->line_refs);
    free(e);
}

// ------------------------------------------------------------------------------- requests

// Before any line is filled: the messages point at lines.
static void lines_room(struct encoder *e, uint32_t count)
{
    e->line_count = 0;
    if (count <= e->line_room)
        return;
    free(e->lines);
    free(e->line_refs);
    e->line_room = count * 2;
    e->lines = calloc(e->line_room, sizeof *e->lines);
    e->line_refs = calloc(e->line_room, sizeof(void *));
    if (!e->lines || !e->line_refs)
        abort(); // a load generator without memory measures nothing
}

static char *text(const char *t)
{
    return (char *)(uintptr_t)(t ? t : "");
}

static Line **lines_fill(struct encoder *e, const struct op *op)
{
    Line **refs = &e->line_refs[e->line_count];
    for (uint32_t i = 0; i < op->line_count; i++) {
        const struct cell *cell = &e->cells->list[op->lines[i].cell];
        Line *line = &e->lines[e->line_count];
        holdfast__v1__line__init(line);
        if (e->cells->by_name || !cell->has_handle) {
            line->sku = text(cell->sku);
            line->location = text(cell->location);
        } else {
            line->handle = cell->handle;
            line->generation = e->cells->generation;
        }
        line->quantity = op->lines[i].quantity;
        e->line_refs[e->line_count++] = line;
    }
    return refs;
}

// RESERVE, ORDER, RECORD: what they have in common has the same names.
#define MAKE_COMMON(request)                                                                       \
    do {                                                                                           \
        (request)->reservation_id = m->id;                                                         \
        (request)->lines = lines_fill(e, op);                                                      \
        (request)->n_lines = op->line_count;                                                       \
        (request)->reference = text(op->reference);                                                \
    } while (0)
// What changes a reservation, with lines.
#define MAKE_CHANGE(request)                                                                       \
    do {                                                                                           \
        (request)->reservation_id = m->id;                                                         \
        (request)->operation_id = m->op_id;                                                        \
        (request)->lines = lines_fill(e, op);                                                      \
        (request)->n_lines = op->line_count;                                                       \
    } while (0)

static void adjust_fill(struct encoder *e, struct message *m, const struct op *op)
{
    const struct cell *cell = &e->cells->list[op->lines[0].cell];
    Holdfast__V1__AdjustStockRequest *r = &m->as.adjust;
    holdfast__v1__adjust_stock_request__init(r);
    r->operation_id = m->op_id;
    if (e->cells->by_name || !cell->has_handle) {
        r->sku = text(cell->sku);
        r->location = text(cell->location);
    } else {
        r->handle = cell->handle;
        r->generation = e->cells->generation;
    }
    r->difference = op->lines[0].quantity;
    r->reason = text(op->reference);
}

static void ending_fill(struct encoder *e, struct message *m, const struct op *op)
{
    if (op->verb == OP_COMMIT) {
        holdfast__v1__commit_request__init(&m->as.commit);
        m->as.commit.reservation_id = m->id;
        m->as.commit.lines = lines_fill(e, op);
        m->as.commit.n_lines = op->line_count;
        m->as.commit.on_expired = op->flags & OP_RETAKE
                                      ? HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_RETAKE
                                      : HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_FAIL;
    } else {
        holdfast__v1__release_request__init(&m->as.release);
        MAKE_CHANGE(&m->as.release);
    }
}

static ProtobufCMessage *message_fill(struct encoder *e, struct message *m, const struct op *op)
{
    m->op_id[0] = '\0';
    hf_uuid_format(op->id, m->id);
    if (!hf_uuid_is_nil(op->op_id))
        hf_uuid_format(op->op_id, m->op_id);
    switch (op->verb) {
    case OP_RESERVE:
        holdfast__v1__reserve_request__init(&m->as.reserve);
        MAKE_COMMON(&m->as.reserve);
        m->as.reserve.ttl_ms = op->ttl_ms;
        break;
    case OP_ORDER:
        holdfast__v1__order_request__init(&m->as.order);
        MAKE_COMMON(&m->as.order);
        break;
    case OP_RECORD:
        holdfast__v1__record_request__init(&m->as.record);
        MAKE_COMMON(&m->as.record);
        break;
    case OP_COMMIT:
    case OP_RELEASE:
        ending_fill(e, m, op);
        break;
    case OP_EXTEND:
        holdfast__v1__extend_request__init(&m->as.extend);
        m->as.extend.reservation_id = m->id;
        m->as.extend.operation_id = m->op_id;
        m->as.extend.ttl_ms = op->ttl_ms;
        break;
    case OP_CANCEL:
        holdfast__v1__cancel_request__init(&m->as.cancel);
        MAKE_CHANGE(&m->as.cancel);
        break;
    case OP_RETURN:
        holdfast__v1__return_goods_request__init(&m->as.back);
        MAKE_CHANGE(&m->as.back);
        m->as.back.disposition = op->flags & OP_SCRAP
                                     ? HOLDFAST__V1__DISPOSITION__DISPOSITION_SCRAP
                                     : HOLDFAST__V1__DISPOSITION__DISPOSITION_RESTOCK;
        break;
    case OP_GET:
        holdfast__v1__get_reservation_request__init(&m->as.get);
        m->as.get.reservation_id = m->id;
        break;
    case OP_ADJUST:
        adjust_fill(e, m, op);
        break;
    case OP_VERB_COUNT:
        HF_ASSERT(!"a verb");
    }
    return &m->as.base;
}

const ProtobufCMessage *encode_op(struct encoder *e, const struct op *op)
{
    lines_room(e, op->line_count);
    return message_fill(e, &e->messages[0], op);
}

static Holdfast__V1__StreamOperation__OperationCase case_of(enum op_verb v)
{
#define CASE(name) HOLDFAST__V1__STREAM_OPERATION__OPERATION_##name
    static const Holdfast__V1__StreamOperation__OperationCase cases[OP_VERB_COUNT] = {
        [OP_RESERVE] = CASE(RESERVE), [OP_ORDER] = CASE(ORDER),         [OP_RECORD] = CASE(RECORD),
        [OP_COMMIT] = CASE(COMMIT),   [OP_RELEASE] = CASE(RELEASE),     [OP_EXTEND] = CASE(EXTEND),
        [OP_CANCEL] = CASE(CANCEL),   [OP_RETURN] = CASE(RETURN_GOODS), [OP_GET] = CASE(GET)};
#undef CASE
    return cases[v];
}

const ProtobufCMessage *encode_batch(struct encoder *e, struct op *const *ops, uint32_t count)
{
    uint32_t lines = 0;
    HF_ASSERT(count <= e->batch_max);
    for (uint32_t i = 0; i < count; i++)
        lines += ops[i]->line_count;
    lines_room(e, lines);
    for (uint32_t i = 0; i < count; i++) {
        Holdfast__V1__StreamOperation *o = &e->operations[i];
        holdfast__v1__stream_operation__init(o);
        o->correlation_id = ops[i]->slot;
        o->operation_case = case_of(ops[i]->verb);
        // The members of the oneof share their place, and each is a message.
        o->reserve = (void *)message_fill(e, &e->messages[i], ops[i]);
        e->operation_refs[i] = o;
    }
    holdfast__v1__reserve_stream_request__init(&e->batch);
    e->batch.operations = e->operation_refs;
    e->batch.n_operations = count;
    return &e->batch.base;
}

const char *op_method(enum op_verb v)
{
    static const char *const methods[] = {
#define X(name, method) method,
        OP_VERB_TABLE(X)
#undef X
    };
    HF_ASSERT((unsigned)v < OP_VERB_COUNT);
    return methods[v];
}
