// A hold costs the engine a few hundred nanoseconds: to unpack it into a message of small pieces,
// look at it once more, and pack its answer in two passes, would cost as much again. So the common
// form is read straight from its bytes, and Decisions are written straight into the answer.
//
// The straight way and the general one never differ in what they answer: the straight one knows few
// fields, each at most once, and gives up on anything else: an unknown field, a field of another
// type, an id that is no UUID, a stale generation. It has no errors of its own.
#include "service/stream_batch.h"

#include <stdio.h>
#include <string.h>

#define MALFORMED    "the message is not well-formed"
#define RESULT_BYTES 32 // of a result beside its decision or what is told: keys, lengths, numbers

enum {
    FIELD_OPERATION = 1,   // ReserveStreamRequest.operations
    FIELD_CORRELATION = 1, // StreamOperation, StreamResult
    FIELD_RESULT = 1,      // ReserveStreamResponse.results
    FIELD_DECISION = HOLDFAST__V1__STREAM_RESULT__RESULT_DECISION,
    FIELD_ERROR = HOLDFAST__V1__STREAM_RESULT__RESULT_ERROR,
    FIELD_RESERVATION = HOLDFAST__V1__STREAM_RESULT__RESULT_RESERVATION,
};

// ------------------------------------------------------------------------------- operations

// Of the members of the oneof the last one counts.
static bool is_member(uint32_t field)
{
    return field >= HOLDFAST__V1__STREAM_OPERATION__OPERATION_RESERVE &&
           field <= HOLDFAST__V1__STREAM_OPERATION__OPERATION_GET && field != 10;
}

static void op_read(struct stream_op *op, struct wire_cursor c)
{
    struct wire_item item;
    *op = (struct stream_op){0};
    while (c.at < c.end) {
        if (!wire_next(&c, &item)) {
            op->malformed = true;
            return;
        }
        if (item.number == FIELD_CORRELATION) {
            op->malformed |= item.type != WIRE_VARINT;
            op->correlation = item.type == WIRE_VARINT ? item.value : op->correlation;
        } else if (is_member(item.number) && item.type == WIRE_BYTES) {
            op->member = (uint8_t)item.number;
            op->bytes = item.body.at;
            op->count = (uint32_t)(item.body.end - item.body.at);
        } else if (is_member(item.number)) {
            op->malformed = true;
        }
    }
}

// How many operations the message holds. False: it is broken.
static bool ops_count(struct wire_cursor c, uint32_t *count)
{
    struct wire_item item;
    *count = 0;
    while (c.at < c.end) {
        if (!wire_next(&c, &item))
            return false;
        if (item.number != FIELD_OPERATION)
            continue;
        if (item.type != WIRE_BYTES)
            return false;
        *count += 1;
    }
    return true;
}

static struct stream_batch *batch_make(struct arena *a, uint32_t n)
{
    struct stream_batch *b = arena_take(a, sizeof *b);
    if (!b)
        return NULL;
    *b = (struct stream_batch){.op_count = n};
    b->ops = arena_take(a, n * sizeof *b->ops);
    b->requests = arena_take(a, n * sizeof *b->requests);
    b->answers = arena_take(a, n * sizeof *b->answers);
    b->place = arena_take(a, n * sizeof *b->place);
    return b->ops && b->requests && b->answers && b->place ? b : NULL;
}

struct stream_batch *stream_batch_read(struct arena *a, const unsigned char *bytes, size_t count,
                                       struct rpc_error *error)
{
    static const unsigned char nothing;
    struct wire_cursor c = {count ? bytes : &nothing, count ? bytes + count : &nothing};
    struct wire_item item;
    uint32_t n, i = 0;
    if (count > UINT32_MAX || !ops_count(c, &n)) {
        *error = rpc_invalid("", MALFORMED);
        return NULL;
    }
    if (n < 1 || n > HF_BATCH_MAX) {
        *error = rpc_invalid("operations", "1..1,024 in a message");
        return NULL;
    }
    struct stream_batch *b = batch_make(a, n);
    if (!b) {
        *error = convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
        return NULL;
    }
    while (i < n && wire_next(&c, &item))
        if (item.number == FIELD_OPERATION)
            op_read(&b->ops[i++], item.body);
    return b;
}

// ------------------------------------------------------------------------------- straight

#define LINE_BYTES_MIN 11 // key, length, and a generation, without which it is not straight

struct stream_reader stream_reader_make(struct service_local *l, const struct auth_identity *who,
                                        struct arena *a)
{
    return (struct stream_reader){.local = l,
                                  .who = who,
                                  .arena = a,
                                  .generation = core_generation(local_core(l)),
                                  .cells = core_cell_count(local_core(l)),
                                  .straight = !who->channel_count && !who->location_count};
}

// The next field, its key and its length of one byte each: longer ones than needed are read by some
// decoders and refused by others.
static inline bool next_plain(struct wire_cursor *c, struct wire_item *out)
{
    const unsigned char *key = c->at;
    return *key < 0x80 && wire_next(c, out) && (out->type != WIRE_BYTES || out->body.at == key + 2);
}

static inline bool line_straight(const struct stream_reader *r, struct wire_cursor c,
                                 struct core_line *line)
{
    struct wire_item item;
    uint64_t generation = 0, handle = 0, quantity = 0;
    while (c.at < c.end) {
        if (!next_plain(&c, &item))
            return false;
        if (item.number == 3 && item.type == WIRE_VARINT)
            handle = item.value;
        else if (item.number == 4 && item.type == WIRE_FIXED64)
            generation = item.value;
        else if (item.number == 5 && item.type == WIRE_VARINT)
            quantity = item.value;
        else
            return false;
    }
    *line = (struct core_line){.handle = (uint32_t)handle, .quantity = (int64_t)quantity};
    return generation != 0 && generation == r->generation && handle < r->cells;
}

// The fields of ReserveRequest and OrderRequest that the straight way knows.
struct form {
    uint32_t ttl, best_effort; // field numbers; 0: it has none
};
static const struct form forms[] = {[CORE_RESERVE] = {3, 4}, [CORE_ORDER] = {0, 3}};

static bool fields_straight(const struct stream_reader *r, struct wire_cursor c,
                            struct core_request *out, struct core_line *lines, uint32_t most)
{
    struct form form = forms[out->verb];
    struct wire_item item;
    bool has_id = false;
    while (c.at < c.end) {
        if (!next_plain(&c, &item))
            return false;
        if (item.number == 2 && item.type == WIRE_BYTES && out->line_count < most) {
            if (!line_straight(r, item.body, &lines[out->line_count++]))
                return false;
        } else if (item.number == 1 && item.type == WIRE_BYTES && !has_id &&
                   item.body.end - item.body.at == HF_UUID_CHARACTERS) {
            has_id = hf_uuid_parse_bytes((const char *)item.body.at, &out->id);
            if (!has_id)
                return false;
        } else if (item.number == form.ttl && item.type == WIRE_VARINT) {
            out->ttl_ms = (uint32_t)item.value;
        } else if (item.number == form.best_effort && item.type == WIRE_VARINT && item.value == 1) {
            out->flags = CORE_BEST_EFFORT;
        } else {
            return false;
        }
    }
    return has_id && out->line_count > 0;
}

bool stream_op_straight(const struct stream_reader *r, const struct stream_op *op,
                        struct core_request *out)
{
    if (!r->straight || op->malformed ||
        op->member > HOLDFAST__V1__STREAM_OPERATION__OPERATION_ORDER || op->member == 0)
        return false;
    bool order = op->member == HOLDFAST__V1__STREAM_OPERATION__OPERATION_ORDER;
    uint32_t most = op->count / LINE_BYTES_MIN;
    most = most > HF_LINES_MAX ? HF_LINES_MAX : most;
    struct core_line *lines = arena_take(r->arena, most * sizeof *lines);
    if (!lines)
        return false;
    *out = (struct core_request){.verb = order ? CORE_ORDER : CORE_RESERVE, .lines = lines};
    struct wire_cursor c = {op->bytes, op->bytes + op->count};
    bool good = fields_straight(r, c, out, lines, most);
    arena_trim(r->arena, lines, good ? out->line_count * sizeof *lines : 0);
    if (!good)
        return false;
    out->line_answers = arena_take(r->arena, out->line_count * sizeof *out->line_answers);
    if (!out->line_answers)
        return false;
    memset(out->line_answers, 0, out->line_count * sizeof *out->line_answers);
    return true;
}

// ------------------------------------------------------------------------------- general

#define ALONE_PART 16 // of an arena: more than a message's operations take before they are unpacked
static const struct rpc_error no_memory = {
    .code = RPC_RESOURCE_EXHAUSTED,
    .reason = "MEMORY",
    .message = "no memory for this operation: send it again, with fewer in one message",
    .retry_ms = 50};

static const ProtobufCMessage *op_unpack(struct arena *a, const struct stream_op *op,
                                         struct rpc_error *error)
{
    char field[RPC_FIELD_BYTES];
    const char *why;
    const ProtobufCMessageDescriptor *d =
        protobuf_c_message_descriptor_get_field(&holdfast__v1__stream_operation__descriptor,
                                                op->member)
            ->descriptor;
    if (!wire_check(d, op->bytes, op->count, field, sizeof field, &why)) {
        *error = rpc_invalid(field, why);
        return NULL;
    }
    size_t before = a->bytes;
    const ProtobufCMessage *m = protobuf_c_message_unpack(d, &a->allocator, op->count, op->bytes);
    if (m)
        return m;
    // Those before it have used up what there is for a message; alone it may find room.
    if (a->no_memory || (a->full && before > a->bytes_max / ALONE_PART))
        *error = no_memory;
    else
        *error = rpc_invalid("", MALFORMED ", or too large when unpacked");
    return NULL;
}

const ProtobufCMessage *stream_op_unpack(struct arena *a, struct stream_op *op,
                                         struct rpc_error *error)
{
    if (op->malformed) {
        *error = rpc_invalid("operation", MALFORMED);
        return NULL;
    }
    const ProtobufCMessage *m = op_unpack(a, op, error);
    op->malformed = !m && error->code == RPC_INVALID_ARGUMENT;
    return m;
}

enum verb_way stream_op_general(const struct stream_reader *r, struct stream_op *op,
                                struct core_request *out, struct rpc_error *error)
{
    struct verb_message m;
    const ProtobufCMessage *message = stream_op_unpack(r->arena, op, error);
    if (!message)
        return VERB_REFUSED;
    HF_ASSERT(verb_read(message, &m)); // every member but `get`
    return verb_convert(r->local, r->who, r->arena, &m, "", out, error);
}

// ------------------------------------------------------------------------------- results

static void op_told(struct arena *a, struct stream_op *op, uint8_t field,
                    const ProtobufCMessage *message)
{
    op->result = STREAM_TOLD;
    op->told_field = 0;
    if (!message)
        return;
    size_t bytes = protobuf_c_message_get_packed_size(message);
    op->told = arena_take(a, bytes);
    if (!op->told)
        return;
    protobuf_c_message_pack(message, op->told);
    op->told_field = field;
    op->told_bytes = (uint32_t)bytes;
}

void stream_op_fail(struct arena *a, struct stream_op *op, const struct rpc_error *error)
{
    const Holdfast__V1__Error *e = convert_error(a, error);
    op_told(a, op, FIELD_ERROR, e ? &e->base : NULL);
}

void stream_op_tell(struct arena *a, struct stream_op *op, const Holdfast__V1__Reservation *r)
{
    op_told(a, op, FIELD_RESERVATION, &r->base);
}

void stream_op_too_large(struct arena *a, struct stream_op *op)
{
    const struct rpc_error error = {.code = RPC_RESOURCE_EXHAUSTED,
                                    .reason = "ANSWER_TOO_LARGE",
                                    .message = "send it again, with fewer in one message",
                                    .retry_ms = 1};
    stream_op_fail(a, op, &error);
}

static size_t result_bytes_max(const struct stream_batch *b, const struct stream_op *op)
{
    size_t sum = RESULT_BYTES;
    if (op->result == STREAM_DECIDED)
        sum += verb_decision_bytes_max(&b->requests[op->request], &b->answers[op->request]);
    else if (op->told_field)
        sum += op->told_bytes;
    return sum;
}

static size_t results_bytes_max(const struct stream_batch *b)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < b->op_count; i++)
        sum += result_bytes_max(b, &b->ops[i]);
    return sum;
}

// More than clients take in: what finds no room is told as an error, which asks for it again. Who
// has been decided gets the same outcome then, as its id is the same.
static bool results_cut(struct arena *a, struct stream_batch *b)
{
    struct stream_op none = {0};
    stream_op_too_large(a, &none);
    if (!none.told_field)
        return false;
    size_t least = RESULT_BYTES + none.told_bytes, left = ANSWER_BYTES_MAX - b->op_count * least;
    for (uint32_t i = 0; i < b->op_count; i++) {
        struct stream_op *op = &b->ops[i];
        size_t bytes = result_bytes_max(b, op);
        if (bytes <= left + least) {
            left -= bytes > least ? bytes - least : 0;
            continue;
        }
        op->result = STREAM_TOLD;
        op->told = none.told;
        op->told_field = none.told_field;
        op->told_bytes = none.told_bytes;
    }
    return true;
}

static unsigned char *result_pack(unsigned char *p, const struct stream_batch *b,
                                  const struct stream_op *op)
{
    unsigned char *body = p = wire_put_begin(p, FIELD_RESULT);
    p = wire_put_number(p, FIELD_CORRELATION, op->correlation);
    if (op->result == STREAM_DECIDED) {
        p = verb_decision_pack(p, FIELD_DECISION, &b->requests[op->request],
                               &b->answers[op->request], op->now_ms);
    } else if (op->told_field) {
        unsigned char *told = p = wire_put_begin(p, op->told_field);
        memcpy(p, op->told, op->told_bytes);
        p = wire_put_end(told, p + op->told_bytes);
    }
    return wire_put_end(body, p);
}

unsigned char *stream_batch_pack(struct arena *a, struct stream_batch *b, size_t *count)
{
    for (uint32_t i = 0; i < b->op_count; i++)
        if (b->ops[i].result == STREAM_TOLD && !b->ops[i].told_field)
            return NULL; // there was no memory for it
    size_t bytes = results_bytes_max(b);
    if (bytes > ANSWER_BYTES_MAX && !results_cut(a, b))
        return NULL;
    bytes = bytes > ANSWER_BYTES_MAX ? ANSWER_BYTES_MAX : bytes;
    unsigned char *packed = arena_take(a, bytes), *p = packed;
    if (!packed)
        return NULL;
    for (uint32_t i = 0; i < b->op_count; i++)
        p = result_pack(p, b, &b->ops[i]);
    *count = (size_t)(p - packed);
    return packed;
}
