// What ReserveStream reads and writes by hand, held against protobuf-c: every Decision to the byte,
// and every operation, sound or damaged, against what the general way makes of it.
// HOLDFAST_SEEDS=N soaks.
#include "service/stream_batch.h"
#include "unit/service_world.h"

#define STREAM "/holdfast.v1.ReservationService/ReserveStream"

// Numbers of every width; often 0.
static uint64_t any_number(struct world *w)
{
    uint64_t x = world_random(w), width = world_random(w) % 66;
    return width == 0 ? 0 : width == 65 ? UINT64_MAX : x >> (64 - width);
}

static bool chance(struct world *w, unsigned of)
{
    return world_random(w) % of == 0;
}

// ------------------------------------------------------------------------------- decisions

static const Holdfast__V1__Outcome outcomes[CORE_OUTCOME_COUNT] = {
    [CORE_OUT_DONE] = HOLDFAST__V1__OUTCOME__OUTCOME_DONE,
    [CORE_OUT_REFUSED] = HOLDFAST__V1__OUTCOME__OUTCOME_REFUSED,
    [CORE_OUT_EXPIRED] = HOLDFAST__V1__OUTCOME__OUTCOME_EXPIRED,
    [CORE_OUT_WRONG_STATE] = HOLDFAST__V1__OUTCOME__OUTCOME_WRONG_STATE,
    [CORE_OUT_EXCEEDS] = HOLDFAST__V1__OUTCOME__OUTCOME_EXCEEDS,
};

struct told {
    Holdfast__V1__Decision decision;
    Holdfast__V1__JournalPosition position;
    Holdfast__V1__DecisionLine lines[HF_LINES_MAX], *places[HF_LINES_MAX];
};

// The Decision as a message.
static Holdfast__V1__Decision *decision_make(struct told *t, const struct core_request *r,
                                             const struct core_answer *a, uint64_t now_ms)
{
    Holdfast__V1__Decision *d = &t->decision;
    bool held = a->state == CORE_STATE_HELD;
    holdfast__v1__decision__init(d);
    holdfast__v1__journal_position__init(&t->position);
    d->outcome = outcomes[a->outcome];
    d->state = convert_state(a->state);
    d->repeat = a->repeat;
    d->durable = a->durable || a->ticket == 0; // else there was nothing to write
    d->version = a->version;
    d->expires_at_ms = held ? (int64_t)a->time_ms : 0;
    d->expires_in_ms = held && a->time_ms > now_ms ? (int64_t)(a->time_ms - now_ms) : 0;
    d->ended_at_ms = held ? 0 : (int64_t)a->time_ms;
    t->position.lsn = a->ticket;
    d->position = a->ticket ? &t->position : NULL;
    for (uint32_t i = 0; r->line_answers && !a->repeat && i < r->line_count; i++) {
        const struct core_line_answer *l = &r->line_answers[i];
        holdfast__v1__decision_line__init(&t->lines[i]);
        t->lines[i].taken = l->taken;
        t->lines[i].available = l->available;
        t->lines[i].shortfall = l->shortfall;
        t->lines[i].earliest_expiry_ms = (int64_t)l->hint_ms;
        t->places[i] = &t->lines[i];
        d->n_lines = i + 1;
    }
    d->lines = t->places;
    return d;
}

static void answer_any(struct world *w, struct core_request *r, struct core_answer *a,
                       struct core_line_answer *lines)
{
    uint32_t n = chance(w, 50) ? HF_LINES_MAX : (uint32_t)(world_random(w) % 4);
    for (uint32_t i = 0; i < n; i++)
        lines[i] = (struct core_line_answer){(int64_t)any_number(w), (int64_t)any_number(w),
                                             (int64_t)any_number(w), any_number(w)};
    *r = (struct core_request){.line_count = n, .line_answers = chance(w, 4) ? NULL : lines};
    a->repeat = chance(w, 3);
    a->durable = chance(w, 2);
    a->version = (uint16_t)any_number(w);
    a->ticket = any_number(w);
    a->time_ms = any_number(w);
}

static void decision_same(struct told *t, const struct core_request *r, const struct core_answer *a,
                          uint64_t now_ms)
{
    Holdfast__V1__ReserveResponse m = HOLDFAST__V1__RESERVE_RESPONSE__INIT;
    m.decision = decision_make(t, r, a, now_ms);
    size_t bytes = protobuf_c_message_get_packed_size(&m.base);
    size_t room = verb_decision_bytes_max(r, a);
    assert_true(bytes <= room);
    unsigned char *want = malloc(bytes), *got = malloc(room);
    protobuf_c_message_pack(&m.base, want);
    assert_ptr_equal(verb_decision_pack(got, 1, r, a, now_ms), got + bytes);
    assert_memory_equal(want, got, bytes);
    free(want);
    free(got);
}

static void every_decision_is_packed_as_protobuf_c_would(void **state)
{
    struct service_world *t = *state;
    struct world *w = &t->w;
    static struct told told;
    static struct core_line_answer lines[HF_LINES_MAX];
    struct core_request r;
    struct core_answer a = {0};
    for (int o = 0; o < CORE_OUTCOME_COUNT; o++)
        for (int s = 0; s < CORE_STATE_COUNT && verb_is_answer((enum core_outcome)o); s++)
            for (int i = 0; i < 200; i++) {
                a.outcome = (enum core_outcome)o;
                a.state = (enum core_state)s;
                answer_any(w, &r, &a, lines);
                decision_same(&told, &r, &a, chance(w, 2) ? a.time_ms - 60000 : any_number(w));
            }
}

// ------------------------------------------------------------------------------- messages

struct made {
    unsigned char bytes[1 << 16];
    size_t count;
};

static const char *any_text(struct world *w, const char *usual, unsigned of)
{
    static const char *const odd[] = {"",
                                      "x",
                                      "web",
                                      "\xff",
                                      "018bcfe5-687b-7abc-8000-00000000000g",
                                      "018BCFE5-687B-7ABC-8000-0000000000AF"};
    return chance(w, of) ? odd[world_random(w) % (sizeof odd / sizeof *odd)] : usual;
}

#define TEXT(...) ((char *)(uintptr_t)any_text(__VA_ARGS__))

static void damage(struct world *w, unsigned char *bytes, size_t *count, size_t room)
{
    for (uint64_t n = world_random(w) % 3; n > 0 && *count; n--) {
        size_t at = world_random(w) % *count, some = 1 + world_random(w) % 8;
        some = some > *count - at ? *count - at : some;
        switch (world_random(w) % 6) {
        case 0:
            bytes[at] ^= (unsigned char)(1 << world_random(w) % 8);
            break;
        case 1:
            bytes[at] = (unsigned char)world_random(w);
            break;
        case 2:
            memmove(bytes + at, bytes + at + some, *count - at - some);
            *count -= some;
            break;
        case 3:
            if (*count + some <= room) { // some bytes twice
                memmove(bytes + at + some, bytes + at, *count - at);
                *count += some;
            }
            break;
        case 4: // a number with more bytes than it needs
            if (*count + some <= room && bytes[at] < 0x80) {
                memmove(bytes + at + some, bytes + at, *count - at);
                bytes[at] = bytes[at + some] | 0x80;
                memset(bytes + at + 1, 0x80, some - 1);
                bytes[at + some] = 0;
                *count += some;
            }
            break;
        default: // all of it once more, behind it: fields twice
            if (*count * 2 <= room) {
                memcpy(bytes + *count, bytes, *count);
                *count *= 2;
            }
        }
    }
}

static void line_make(struct service_world *t, Holdfast__V1__Line *l)
{
    struct world *w = &t->w;
    holdfast__v1__line__init(l);
    l->handle = chance(w, 20) ? (uint32_t)any_number(w) : (uint32_t)(world_random(w) % 2);
    l->generation = chance(w, 20) ? any_number(w) : core_generation(w->core);
    l->quantity = chance(w, 20) ? (int64_t)any_number(w) : 1;
    if (chance(w, 20)) {
        *l = (Holdfast__V1__Line)HOLDFAST__V1__LINE__INIT;
        l->quantity = 2;
        l->sku = TEXT(w, "shirt", 4);
        l->location = TEXT(w, "main", 4);
    }
}

struct members {
    Holdfast__V1__ReserveRequest reserve;
    Holdfast__V1__OrderRequest order;
    Holdfast__V1__ReleaseRequest release;
};

static void members_make(struct world *w, struct members *m, Holdfast__V1__Line **lines, char *id)
{
    holdfast__v1__reserve_request__init(&m->reserve);
    holdfast__v1__order_request__init(&m->order);
    holdfast__v1__release_request__init(&m->release);
    size_t n = chance(w, 20) ? 0 : 1 + world_random(w) % 4;
    m->reserve.reservation_id = m->order.reservation_id = TEXT(w, id, 20);
    m->release.reservation_id = m->order.reservation_id;
    m->reserve.lines = m->order.lines = m->release.lines = lines;
    m->reserve.n_lines = m->order.n_lines = m->release.n_lines = n;
    m->reserve.ttl_ms = chance(w, 20) ? (uint32_t)any_number(w) : 1000;
    m->reserve.best_effort = m->order.best_effort = chance(w, 4);
    m->reserve.channel = TEXT(w, "", 20);
    m->order.reference = TEXT(w, "", 20);
    m->order.traceparent = TEXT(w, "", 20);
    m->release.operation_id = TEXT(w, id, 20);
}

// One operation of any kind, mostly a plain hold or order, sometimes damaged inside.
static size_t op_make(struct service_world *t, unsigned char *to)
{
    struct world *w = &t->w;
    struct members m;
    Holdfast__V1__Line line[4], *lines[4] = {&line[0], &line[1], &line[2], &line[3]};
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(w), id);
    for (int i = 0; i < 4; i++)
        line_make(t, &line[i]);
    members_make(w, &m, lines, id);
    unsigned char *p = wire_put_number(to, 1, any_number(w));
    uint64_t kind = world_random(w) % 16;
    if (kind == 15)
        return (size_t)(p - to); // none is given
    unsigned member = kind < 8 ? 2 : kind < 14 ? 3 : 6;
    const ProtobufCMessage *message = member == 2   ? &m.reserve.base
                                      : member == 3 ? &m.order.base
                                                    : &m.release.base;
    unsigned char *body = wire_put_begin(p, member);
    size_t bytes = protobuf_c_message_pack(message, body);
    if (chance(w, 3))
        damage(w, body, &bytes, 2000);
    return (size_t)(wire_put_end(body, body + bytes) - to);
}

static void message_make(struct service_world *t, struct made *m)
{
    unsigned char op[4096];
    m->count = 0;
    for (uint64_t n = 1 + world_random(&t->w) % 5; n > 0; n--) {
        size_t bytes = op_make(t, op);
        if (chance(&t->w, 3))
            damage(&t->w, op, &bytes, sizeof op);
        unsigned char *body = wire_put_begin(m->bytes + m->count, 1);
        memcpy(body, op, bytes);
        m->count = (size_t)(wire_put_end(body, body + bytes) - m->bytes);
    }
    if (chance(&t->w, 20))
        damage(&t->w, m->bytes, &m->count, sizeof m->bytes);
}

static size_t order_pack(struct service_world *t, const char *id, unsigned char *to)
{
    Holdfast__V1__OrderRequest r = HOLDFAST__V1__ORDER_REQUEST__INIT;
    Holdfast__V1__Line line = HOLDFAST__V1__LINE__INIT, *lines[1] = {&line};
    line.generation = core_generation(t->w.core);
    line.quantity = 1;
    r.reservation_id = (char *)(uintptr_t)id;
    r.lines = lines;
    r.n_lines = 1;
    return holdfast__v1__order_request__pack(&r, to);
}

// ------------------------------------------------------------------------------- reading

static void requests_same(const struct core_request *a, const struct core_request *b)
{
    assert_int_equal(a->verb, b->verb);
    assert_int_equal(a->flags, b->flags);
    assert_true(hf_uuid_equal(a->id, b->id) && hf_uuid_equal(a->op_id, b->op_id));
    assert_int_equal(a->line_count, b->line_count);
    assert_memory_equal(a->lines, b->lines, a->line_count * sizeof *a->lines);
    assert_int_equal(a->ttl_ms, b->ttl_ms);
    assert_int_equal(a->channel, b->channel);
    assert_true(!a->text && !b->text);
    assert_memory_equal(a->line_answers, b->line_answers, a->line_count * sizeof *a->line_answers);
}

// What protobuf-c reads of a sound message is what was read by hand.
static void batch_same(struct stream_batch *b, const unsigned char *bytes, size_t count)
{
    char field[RPC_FIELD_BYTES];
    const char *why;
    if (!wire_check(&holdfast__v1__reserve_stream_request__descriptor, bytes, count, field,
                    sizeof field, &why))
        return;
    Holdfast__V1__ReserveStreamRequest *m =
        holdfast__v1__reserve_stream_request__unpack(NULL, count, bytes);
    if (!m)
        return;
    assert_int_equal(b ? b->op_count : 0, m->n_operations);
    for (uint32_t i = 0; i < m->n_operations; i++) {
        assert_false(b->ops[i].malformed);
        assert_int_equal(b->ops[i].correlation, m->operations[i]->correlation_id);
        assert_int_equal(b->ops[i].member, m->operations[i]->operation_case);
    }
    holdfast__v1__reserve_stream_request__free_unpacked(m, NULL);
}

struct seen {
    unsigned straight, general, refused, broken;
};

static void both_ways(struct service_world *t, const struct made *m, struct seen *seen)
{
    struct arena *a = &t->call.pub.arena;
    struct rpc_error error;
    unsigned char *copy = malloc(m->count ? m->count : 1); // a sanitizer watches its end
    memcpy(copy, m->bytes, m->count);
    arena_reset(a);
    struct stream_batch *b = stream_batch_read(a, copy, m->count, &error);
    seen->broken += b == NULL;
    batch_same(b, copy, m->count);
    struct stream_reader r = stream_reader_make(t->local, &t->who, a);
    for (uint32_t i = 0; b && i < b->op_count; i++) {
        struct stream_op *op = &b->ops[i];
        struct core_request one, other;
        if (!op->malformed && (op->member == 0 || op->member == 11))
            continue;
        bool straight = stream_op_straight(&r, op, &one);
        bool general = stream_op_general(&r, op, &other, &error);
        assert_true(general || !straight);
        if (straight)
            requests_same(&one, &other);
        seen->straight += straight;
        seen->general += general && !straight;
        seen->refused += !general;
    }
    free(copy);
}

static void straight_and_general_agree(void **state)
{
    struct service_world *t = *state;
    struct made *m = malloc(sizeof *m);
    struct seen seen = {0};
    const char *soak = getenv("HOLDFAST_SEEDS");
    unsigned long rounds = 20000 * (soak ? strtoul(soak, NULL, 10) : 1);
    for (unsigned long i = 0; i < rounds; i++) {
        message_make(t, m);
        both_ways(t, m, &seen);
    }
    print_message("%u straight, %u general, %u refused, %u broken\n", seen.straight, seen.general,
                  seen.refused, seen.broken);
    assert_true(seen.straight > 1000 && seen.general > 1000 && seen.refused > 1000 && seen.broken);
    free(m);
}

// An operation's member that protobuf-c refuses, though each of its numbers can be read.
static void longer_numbers_than_needed_go_the_general_way(void **state)
{
    struct service_world *t = *state;
    struct arena *a = &t->call.pub.arena;
    struct stream_reader r = stream_reader_make(t->local, &t->who, a);
    unsigned char good[512], bad[512];
    char id[HF_UUID_TEXT_BYTES];
    struct core_request out;
    hf_uuid_format(world_id(&t->w), id);
    size_t count = order_pack(t, id, good);
    struct stream_op op = {.bytes = good, .count = (uint32_t)count, .member = 3};
    assert_true(stream_op_straight(&r, &op, &out));
    // The keys of id and line, their lengths, and the key of the line's generation.
    static const size_t places[] = {0, 1, 38, 39, 40};
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
        for (size_t more = 1; more < 9; more++) {
            size_t at = places[i];
            memcpy(bad, good, at + 1);
            bad[at] |= 0x80;
            memset(bad + at + 1, 0x80, more);
            bad[at + more] = 0;
            memcpy(bad + at + more + 1, good + at + 1, count - at - 1);
            bad[39] = (unsigned char)(bad[39] + (at == 40 ? more : 0));
            op = (struct stream_op){.bytes = bad, .count = (uint32_t)(count + more), .member = 3};
            assert_false(stream_op_straight(&r, &op, &out));
        }
}

static void a_limited_key_goes_the_general_way(void **state)
{
    struct service_world *t = *state;
    struct auth_identity limited = *auth_anonymous();
    limited.location_count = 1;
    assert_true(stream_reader_make(t->local, &t->who, NULL).straight);
    assert_false(stream_reader_make(t->local, &limited, NULL).straight);
    limited.location_count = 0;
    limited.channel_count = 1;
    assert_false(stream_reader_make(t->local, &limited, NULL).straight);
}

// What does not fit behind the others is no bad input: it is asked again.
static void what_finds_no_memory_is_not_malformed(void **state)
{
    struct service_world *t = *state;
    struct arena *a = &t->call.pub.arena;
    unsigned char bytes[4096];
    struct rpc_error error = {.code = RPC_OK};
    struct core_request out;
    Holdfast__V1__ReleaseRequest r = HOLDFAST__V1__RELEASE_REQUEST__INIT;
    char reason[2001], id[HF_UUID_TEXT_BYTES];
    memset(reason, 'r', 2000);
    reason[2000] = 0;
    hf_uuid_format(world_id(&t->w), id);
    r.reservation_id = id;
    r.reason = reason;
    struct stream_op op = {.bytes = bytes, .member = 6};
    op.count = (uint32_t)holdfast__v1__release_request__pack(&r, bytes);
    arena_reset(a);
    a->bytes_max = 64 << 10;
    struct stream_reader reader = stream_reader_make(t->local, &t->who, a);
    for (int i = 0; i < 1000 && error.code != RPC_RESOURCE_EXHAUSTED; i++) {
        (void)stream_op_general(&reader, &op, &out, &error);
        assert_false(op.malformed);
    }
    assert_int_equal(error.code, RPC_RESOURCE_EXHAUSTED);
    assert_string_equal(error.reason, "MEMORY");
    assert_true(error.retry_ms > 0);
    // Nor is there room for saying so: then the message has no answer at all, and the stream ends.
    while (arena_take(a, 16))
        continue;
    struct stream_batch batch = {.ops = &op, .op_count = 1};
    size_t count;
    stream_op_fail(a, &op, &error);
    arena_reset(a);
    assert_null(stream_batch_pack(a, &batch, &count));
    // Alone in its message it would be too large all the same.
    a->bytes_max = 1 << 10;
    assert_int_equal(stream_op_general(&reader, &op, &out, &error), VERB_REFUSED);
    assert_int_equal(error.code, RPC_INVALID_ARGUMENT);
}

// ------------------------------------------------------------------------------- the stream

static void stream_give(struct service_world *t, const void *bytes, size_t count)
{
    struct fake_call *c = &t->call;
    fake_call_fini(c);
    fake_call_init(c, &t->who);
    c->pub.method = method_of(STREAM);
    assert_true(c->pub.method->raw);
    c->may_defer = true;
    c->pub.method->opened(t->hooks.ctx, t->local, &c->pub);
    c->pub.bytes = bytes;
    c->pub.byte_count = count;
    c->receiving = false;
    c->pub.method->received(t->hooks.ctx, t->local, &c->pub);
    if (c->deferred) {
        assert_false(c->receiving); // its bytes are needed
        t->hooks.deferred(t->hooks.ctx, t->local, &c->pub);
        c->pub.method->woken(t->hooks.ctx, t->local, &c->pub);
    }
}

static void stream_over(struct service_world *t)
{
    t->call.pub.method->closed(t->hooks.ctx, t->local, &t->call.pub);
}

static unsigned char *put_op(unsigned char *p, uint64_t correlation, unsigned member,
                             const void *bytes, size_t count)
{
    unsigned char *op = wire_put_begin(p, 1);
    unsigned char *body = wire_put_begin(wire_put_number(op, 1, correlation), member);
    memcpy(body, bytes, count);
    return wire_put_end(op, wire_put_end(body, body + count));
}

static void a_malformed_operation_is_its_own_error(void **state)
{
    struct service_world *t = *state;
    unsigned char bytes[2048], one[512], *p = bytes;
    char first[HF_UUID_TEXT_BYTES], last[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->w), first);
    hf_uuid_format(world_id(&t->w), last);
    p = put_op(p, 1, 3, one, order_pack(t, first, one));
    p = put_op(p, 2, 3, one, order_pack(t, first, one) - 1); // cut off
    p = put_op(p, 3, 3, "\x12\x03\x0a\x01\xff", 5);          // lines[0].sku is no text
    p = put_op(p, 4, 9, "\x0b", 1);                          // a group
    p = put_op(p, 5, 11, "\x0a\x01", 2);
    memcpy(p, "\x0a\x04\x08\x06\x1a\x05", 6); // correlation id 6, then beyond its end
    p = put_op(p + 6, 7, 3, one, order_pack(t, last, one));
    stream_give(t, bytes, (size_t)(p - bytes));
    assert_int_equal(t->call.sent, 1);
    assert_int_equal(t->call.malformed, 5);
    Holdfast__V1__ReserveStreamResponse *m =
        fake_take(&t->call, &holdfast__v1__reserve_stream_response__descriptor);
    assert_int_equal(m->n_results, 7);
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(m->results[i]->correlation_id, i + 1);
        if (i == 0 || i == 6)
            assert_int_equal(m->results[i]->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
        else
            assert_int_equal(m->results[i]->error->code, RPC_INVALID_ARGUMENT);
    }
    assert_string_equal(m->results[2]->error->field, "lines[0].sku");
    assert_string_equal(m->results[5]->error->field, "operation");
    assert_false(t->call.ended);
    assert_true(t->call.receiving);
    holdfast__v1__reserve_stream_response__free_unpacked(m, NULL);
    stream_over(t);
}

static void a_broken_message_ends_the_stream(void **state)
{
    struct service_world *t = *state;
    static const char *const broken[] = {"\x0a\x05\x08", "\x0b", "\x08\x01", ""};
    for (unsigned i = 0; i < 4; i++) {
        stream_give(t, broken[i], strlen(broken[i]));
        assert_true(t->call.failed && !t->call.receiving);
        assert_int_equal(t->call.error.code, RPC_INVALID_ARGUMENT);
        assert_string_equal(t->call.error.field, i < 3 ? "" : "operations");
        assert_int_equal(t->call.malformed, i < 3);
        stream_over(t);
    }
}

static void of_two_members_the_last_one_counts(void **state)
{
    struct service_world *t = *state;
    unsigned char bytes[1024], one[512];
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->w), id);
    unsigned char *op = wire_put_begin(bytes, 1), *p = op;
    memcpy(p, "\x2a\x00", 2); // an empty commit
    unsigned char *body = wire_put_begin(p + 2, 3);
    p = wire_put_end(op, wire_put_end(body, body + order_pack(t, id, body)));
    p = put_op(p, 8, 3, one, order_pack(t, id, one)); // the same again: a repeat
    stream_give(t, bytes, (size_t)(p - bytes));
    Holdfast__V1__ReserveStreamResponse *m =
        fake_take(&t->call, &holdfast__v1__reserve_stream_response__descriptor);
    assert_int_equal(m->n_results, 2);
    assert_int_equal(m->results[0]->decision->state,
                     HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_COMMITTED);
    assert_true(!m->results[0]->decision->repeat && m->results[1]->decision->repeat);
    holdfast__v1__reserve_stream_response__free_unpacked(m, NULL);
    stream_over(t);
}

static void what_needs_the_disk_keeps_its_place(void **state)
{
    struct service_world *t = *state;
    unsigned char bytes[2048], one[512], *p = bytes;
    char id[HF_UUID_TEXT_BYTES], old[HF_UUID_TEXT_BYTES];
    world_pass(&t->w, 60000); // the window begins after `old`
    hf_uuid_format(world_id(&t->w), id);
    hf_uuid_format(hf_uuid_v7(1500000000000, 1, 2), old);
    Holdfast__V1__GetReservationRequest get = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
    get.reservation_id = old;
    p = put_op(p, 1, 11, one, holdfast__v1__get_reservation_request__pack(&get, one));
    p = put_op(p, 2, 3, one, order_pack(t, id, one));
    get.reservation_id = id;
    p = put_op(p, 3, 11, one, holdfast__v1__get_reservation_request__pack(&get, one));
    stream_give(t, bytes, (size_t)(p - bytes));
    assert_true(t->call.deferred && t->call.receiving);
    Holdfast__V1__ReserveStreamResponse *m =
        fake_take(&t->call, &holdfast__v1__reserve_stream_response__descriptor);
    assert_int_equal(m->n_results, 3);
    assert_string_equal(m->results[0]->error->reason, "UNKNOWN");
    assert_int_equal(m->results[1]->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
    assert_string_equal(m->results[2]->reservation->reservation_id, id);
    assert_true(t->call.ticket >= m->results[1]->decision->position->lsn);
    holdfast__v1__reserve_stream_response__free_unpacked(m, NULL);
    stream_over(t);
}

static int set_up(void **state)
{
    service_world_set_up(state);
    struct service_world *t = *state;
    assert_int_equal(world_cell(&t->w, "shirt", 1000000), 0);
    assert_int_equal(world_cell(&t->w, "shoe", 1000000), 1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_decision_is_packed_as_protobuf_c_would, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(straight_and_general_agree, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(longer_numbers_than_needed_go_the_general_way, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(what_finds_no_memory_is_not_malformed, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(a_limited_key_goes_the_general_way, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(a_malformed_operation_is_its_own_error, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(a_broken_message_ends_the_stream, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(of_two_members_the_last_one_counts, set_up,
                                        service_world_tear_down),
        cmocka_unit_test_setup_teardown(what_needs_the_disk_keeps_its_place, set_up,
                                        service_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
