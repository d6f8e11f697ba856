// From core's answers to Decisions as they stand on the wire.
//
// Every hold is answered by one, so they are written at once, without a message in between: fields
// in the order of their numbers, those at their default left out, which are the bytes that
// protobuf-c would make of the same message.
#include "service/verb.h"

#include "rpc/wire.h"

#include <assert.h>

bool verb_is_answer(enum core_outcome outcome)
{
    return outcome <= CORE_OUT_WRONG_STATE || outcome == CORE_OUT_EXCEEDS;
}
static_assert(CORE_OUT_DONE == 0 && CORE_OUT_REFUSED == 1 && CORE_OUT_EXPIRED == 2 &&
                  CORE_OUT_WRONG_STATE == 3 && CORE_OUT_CONFLICT == 4,
              "the outcomes that are answers come first");

static Holdfast__V1__Outcome outcome_of(enum core_outcome o)
{
    switch (o) {
    case CORE_OUT_DONE:
        return HOLDFAST__V1__OUTCOME__OUTCOME_DONE;
    case CORE_OUT_REFUSED:
        return HOLDFAST__V1__OUTCOME__OUTCOME_REFUSED;
    case CORE_OUT_EXPIRED:
        return HOLDFAST__V1__OUTCOME__OUTCOME_EXPIRED;
    case CORE_OUT_WRONG_STATE:
        return HOLDFAST__V1__OUTCOME__OUTCOME_WRONG_STATE;
    case CORE_OUT_EXCEEDS:
        return HOLDFAST__V1__OUTCOME__OUTCOME_EXCEEDS;
    default:
        return HOLDFAST__V1__OUTCOME__OUTCOME_UNSPECIFIED;
    }
}

Holdfast__V1__ReservationState convert_state(enum core_state s)
{
    switch (s) {
    case CORE_STATE_HELD:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_HELD;
    case CORE_STATE_COMMITTED:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_COMMITTED;
    case CORE_STATE_RELEASED:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_RELEASED;
    case CORE_STATE_EXPIRED:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_EXPIRED;
    case CORE_STATE_REJECTED:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_REJECTED;
    default:
        return HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_UNSPECIFIED;
    }
}

// ------------------------------------------------------------------------------- decisions

static unsigned char *line_put(unsigned char *p, const struct core_line_answer *l)
{
    unsigned char *body = p = wire_put_begin(p, 9);
    p = wire_put_number(p, 1, (uint64_t)l->taken);
    p = wire_put_number(p, 2, (uint64_t)l->available << 1 ^ (uint64_t)(l->available >> 63));
    p = wire_put_number(p, 3, (uint64_t)l->shortfall);
    p = wire_put_number(p, 4, l->hint_ms);
    return wire_put_end(body, p);
}

static uint32_t lines_told(const struct core_request *r, const struct core_answer *a)
{
    return r->line_answers && !a->repeat ? r->line_count : 0;
}

size_t verb_decision_bytes_max(const struct core_request *r, const struct core_answer *a)
{
    enum {
        NUMBER = 1 + WIRE_VARINT_BYTES_MAX,
        LINE = WIRE_LENGTH_BYTES_MAX + 4 * NUMBER,
        REST = WIRE_LENGTH_BYTES_MAX + 8 * NUMBER + WIRE_LENGTH_BYTES_MAX + NUMBER,
    };
    return REST + (size_t)lines_told(r, a) * LINE;
}

unsigned char *verb_decision_pack(unsigned char *p, unsigned field, const struct core_request *r,
                                  const struct core_answer *a, uint64_t now_ms)
{
    unsigned char *body = p = wire_put_begin(p, field);
    p = wire_put_number(p, 1, (uint64_t)outcome_of(a->outcome));
    p = wire_put_number(p, 2, (uint64_t)convert_state(a->state));
    p = wire_put_number(p, 3, a->repeat);
    // Without a ticket there was nothing to journal (a hold that was refused): nothing to be lost.
    p = wire_put_number(p, 4, a->durable || a->ticket == 0);
    p = wire_put_number(p, 5, a->version);
    if (a->state == CORE_STATE_HELD) {
        p = wire_put_number(p, 6, a->time_ms);
        p = wire_put_number(p, 7, a->time_ms > now_ms ? a->time_ms - now_ms : 0);
    } else {
        p = wire_put_number(p, 8, a->time_ms);
    }
    uint32_t lines = lines_told(r, a);
    for (uint32_t i = 0; i < lines; i++)
        p = line_put(p, &r->line_answers[i]);
    if (a->ticket) {
        unsigned char *position = wire_put_begin(p, 10);
        p = wire_put_end(position, wire_put_number(position, 2, a->ticket));
    }
    return wire_put_end(body, p);
}
