// The eight verbs: from messages to core's requests, from core's answers to Decisions.
#ifndef HOLDFAST_API_VERB_H
#define HOLDFAST_API_VERB_H

#include "service/service_internal.h"

// A verb on its way. Everything that it points to is in an arena, or in the message.
struct verb_text {
    struct core_text text;
    uint8_t trace[CORE_TRACE_BYTES];
};

// What the messages of all verbs have in common.
struct verb_message {
    enum core_verb verb;
    uint32_t flags, ttl_ms;
    const char *id, *op_id, *channel, *reference, *buyer, *traceparent,
        *reason; // "" where there is none
    Holdfast__V1__Line **lines;
    size_t line_count;
    const char *unknown_enum; // field with a value that this version does not know; NULL: none
};

// Reads a request of one of the eight types (by its descriptor). False: another type.
bool verb_read(const ProtobufCMessage *message, struct verb_message *out);

enum verb_way {
    VERB_REFUSED, // *error is filled
    VERB_READY,
    VERB_AWAY, // whose it is stands on the disk: nothing is done before the slow lane has looked
};

// Makes a core_request of it, in the arena. `traceparent` counts where the message has none.
enum verb_way verb_convert(struct service_local *l, const struct auth_identity *who,
                           struct arena *a, const struct verb_message *m, const char *traceparent,
                           struct core_request *out, struct rpc_error *error);

// A key with limits acts on reservations of its own only. AWAY: in a poller only; the slow lane
// brings back what has left memory.
enum verb_way verb_allowed(struct service_local *l, const struct auth_identity *who,
                           struct arena *a, const struct core_request *r, struct rpc_error *error);

// A business outcome, as opposed to one that is told as a status.
bool verb_is_answer(enum core_outcome outcome);
// The Decision of a business outcome as it stands on the wire, as the message in `field` (1..15) of
// a larger one. Writes at most verb_decision_bytes_max and returns its end. decision.c
size_t verb_decision_bytes_max(const struct core_request *r, const struct core_answer *a);
unsigned char *verb_decision_pack(unsigned char *p, unsigned field, const struct core_request *r,
                                  const struct core_answer *a, uint64_t now_ms);
Holdfast__V1__ReservationState convert_state(enum core_state s);
// From when on the answer may be told.
static inline uint64_t verb_ticket(const struct core_answer *a)
{
    return a->durable ? a->ticket : 0;
}

// Tells a reservation, in the arena. HF_OK, HF_NOT_FOUND, HF_AGAIN: being decided; HF_BUSY: not in
// memory, and this thread may not look for it on the disk; HF_FOREIGN: not `who`'s, by the limits
// of the key; HF_NO_MEMORY. may_recall: the slow lane.
struct reservation_asked {
    const struct auth_identity *who;
    struct hf_uuid id;
    bool may_recall;
};
enum hf_status reservation_tell(struct service_local *l, struct arena *a,
                                const struct reservation_asked *asked,
                                Holdfast__V1__Reservation **out, uint64_t *ticket);
// Whether what is in memory of it says that it is not `who`'s: another channel, or a line that lies
// at another location.
bool reservation_foreign(struct service_local *l, const struct auth_identity *who,
                         const struct core_view *v, const struct core_line *lines);
// The status of that as an error.
struct rpc_error reservation_error(enum hf_status status);

// Decides `count` requests and brings back lines that have left memory where that is allowed.
// Returns true when some answers are still NEEDS_RECALL.
bool verb_execute(struct service_local *l, const struct core_request *requests,
                  struct core_answer *answers, uint32_t count, bool may_recall);

// Of a stream's message, in the slow lane. reserve_stream.c
void reserve_stream_deferred(struct service_local *l, struct rpc_call *call);

#endif
