// Answers as results.
#include "load/encode.h"

#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"

#include <assert.h>
#include <stdio.h>

static_assert((int)HOLDFAST__V1__OUTCOME__OUTCOME_EXCEEDS == OP_OUT_EXCEEDS + 1,
              "the API's business outcomes are ours, in the same order, from 1 on");
static_assert((int)HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_REJECTED == OP_STATE_REJECTED,
              "the API's states are ours");

static enum op_state state_of(int state)
{
    return state > 0 && state < OP_STATE_COUNT ? (enum op_state)state : OP_STATE_NONE;
}

// An outcome that this program does not know leaves the operation unknown: never guessed.
static bool decision_read(struct op *op, const Holdfast__V1__Decision *d)
{
    struct op_result *r = &op->result;
    int outcome = (int)d->outcome - 1;
    if (outcome < OP_OUT_DONE || outcome > OP_OUT_EXCEEDS)
        return false;
    r->outcome = (enum op_outcome)outcome;
    r->state = state_of((int)d->state);
    r->repeat = d->repeat;
    r->durable = d->durable;
    r->version = d->version;
    r->expires_at_ms = d->expires_at_ms;
    r->ended_at_ms = d->ended_at_ms;
    r->lsn = d->position ? d->position->lsn : 0;
    return true;
}

static void reservation_read(const struct cells *cells, struct op *op,
                             const Holdfast__V1__Reservation *v)
{
    struct op_result *r = &op->result;
    r->outcome = OP_OUT_DONE;
    r->state = state_of((int)v->state);
    r->version = v->version;
    r->expires_at_ms = v->expires_at_ms;
    r->ended_at_ms = v->ended_at_ms;
    r->lsn = v->position ? v->position->lsn : 0;
    op->got_count = 0;
    for (size_t i = 0; i < v->n_lines && op->got_count < op->got_room; i++)
        op->got[op->got_count++] =
            (struct op_line){cells_find(cells, v->lines[i]->handle), v->lines[i]->quantity};
}

// A status that is final. After more than one try an earlier one may have acted all the same,
// unless the status itself speaks of what is there.
static bool status_read(struct op *op, int code)
{
    struct op_result *r = &op->result;
    if (link_code_again(code))
        return false;
    if (code == LINK_ALREADY_EXISTS)
        r->outcome = OP_OUT_CONFLICT;
    else if (code == LINK_NOT_FOUND)
        r->outcome = OP_OUT_NOT_FOUND;
    else
        r->outcome = op->tries > 1 ? OP_OUT_UNKNOWN : OP_OUT_REJECTED;
    return true;
}

static void result_reset(struct op *op, int code, uint32_t retry_ms, const char *reason)
{
    op->result = (struct op_result){.code = code, .retry_ms = retry_ms};
    op->result.outcome = OP_OUT_UNKNOWN;
    snprintf(op->result.reason, OP_REASON_BYTES, "%.*s", OP_REASON_BYTES - 1, reason);
}

// ------------------------------------------------------------------------------- unary

static const ProtobufCMessageDescriptor *response_of(enum op_verb v)
{
    static const ProtobufCMessageDescriptor *const types[OP_VERB_COUNT] = {
        [OP_RESERVE] = &holdfast__v1__reserve_response__descriptor,
        [OP_ORDER] = &holdfast__v1__order_response__descriptor,
        [OP_RECORD] = &holdfast__v1__record_response__descriptor,
        [OP_COMMIT] = &holdfast__v1__commit_response__descriptor,
        [OP_RELEASE] = &holdfast__v1__release_response__descriptor,
        [OP_EXTEND] = &holdfast__v1__extend_response__descriptor,
        [OP_CANCEL] = &holdfast__v1__cancel_response__descriptor,
        [OP_RETURN] = &holdfast__v1__return_goods_response__descriptor,
        [OP_GET] = &holdfast__v1__get_reservation_response__descriptor,
        [OP_ADJUST] = &holdfast__v1__adjust_stock_response__descriptor,
    };
    return types[v];
}
// The responses of the eight verbs have the same form: a Decision as field 1.
static_assert(sizeof(Holdfast__V1__ReserveResponse) == sizeof(Holdfast__V1__ReturnGoodsResponse),
              "one form for all verbs");

static bool response_read(const struct cells *cells, struct op *op, const ProtobufCMessage *m)
{
    if (op->verb == OP_GET) {
        const Holdfast__V1__GetReservationResponse *r = (const void *)m;
        if (r->reservation)
            reservation_read(cells, op, r->reservation);
        return r->reservation != NULL;
    }
    if (op->verb == OP_ADJUST) {
        const Holdfast__V1__AdjustStockResponse *r = (const void *)m;
        op->result.outcome = OP_OUT_DONE;
        op->result.repeat = r->repeat;
        return r->outcome == HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE;
    }
    const Holdfast__V1__ReserveResponse *r = (const void *)m;
    return r->decision && decision_read(op, r->decision);
}

bool decode_end(const struct cells *cells, struct op *op, const struct link_end *end)
{
    result_reset(op, end->code, end->retry_ms, end->reason);
    if (end->code != LINK_OK)
        return status_read(op, end->code);
    ProtobufCMessage *m =
        protobuf_c_message_unpack(response_of(op->verb), NULL, end->byte_count, end->bytes);
    bool known = m && response_read(cells, op, m);
    if (m)
        protobuf_c_message_free_unpacked(m, NULL);
    if (!known)
        op->result.outcome = OP_OUT_UNKNOWN;
    return known;
}

// ------------------------------------------------------------------------------- streams

static bool stream_result_read(const struct cells *cells, struct op *op,
                               const Holdfast__V1__StreamResult *r)
{
    result_reset(op, LINK_OK, 0, "");
    switch (r->result_case) {
    case HOLDFAST__V1__STREAM_RESULT__RESULT_DECISION:
        return decision_read(op, r->decision);
    case HOLDFAST__V1__STREAM_RESULT__RESULT_RESERVATION:
        reservation_read(cells, op, r->reservation);
        return true;
    case HOLDFAST__V1__STREAM_RESULT__RESULT_ERROR:
        result_reset(op, r->error->code, r->error->retry_after_ms, r->error->reason);
        return status_read(op, r->error->code);
    default:
        return false;
    }
}

bool decode_batch(const struct cells *cells, const unsigned char *bytes, size_t byte_count,
                  struct op *(*told)(void *ctx, uint64_t correlation),
                  void (*settled)(void *ctx, struct op *op, bool known), void *ctx)
{
    Holdfast__V1__ReserveStreamResponse *m =
        holdfast__v1__reserve_stream_response__unpack(NULL, byte_count, bytes);
    if (!m)
        return false;
    for (size_t i = 0; i < m->n_results; i++) {
        struct op *op = told(ctx, m->results[i]->correlation_id);
        if (op)
            settled(ctx, op, stream_result_read(cells, op, m->results[i]));
    }
    holdfast__v1__reserve_stream_response__free_unpacked(m, NULL);
    return true;
}
