#include "service/verb.h"

#include "base/atomics.h"

#include <stdio.h>
#include <string.h>

#define TRACEPARENT_BYTES 55
#define RECALLS_MAX       8 // of one request: something else may push it out again

// ------------------------------------------------------------------------------- messages

#define COMMON(m, which)                                                                           \
    .verb = CORE_##which, .id = (m)->reservation_id, .op_id = "", .channel = "", .reference = "",  \
    .buyer = "", .traceparent = "", .reason = ""

static void read_reserve(const Holdfast__V1__ReserveRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, RESERVE)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->ttl_ms = m->ttl_ms;
    out->flags = m->best_effort ? CORE_BEST_EFFORT : 0;
    out->channel = m->channel;
    out->reference = m->reference;
    out->buyer = m->buyer_key;
    out->traceparent = m->traceparent;
}

static void read_order(const Holdfast__V1__OrderRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, ORDER)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->flags = m->best_effort ? CORE_BEST_EFFORT : 0;
    out->channel = m->channel;
    out->reference = m->reference;
    out->buyer = m->buyer_key;
    out->traceparent = m->traceparent;
}

static void read_record(const Holdfast__V1__RecordRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, RECORD)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->channel = m->channel;
    out->reference = m->reference;
    out->buyer = m->buyer_key;
    out->traceparent = m->traceparent;
}

static void read_commit(const Holdfast__V1__CommitRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, COMMIT)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->flags = m->on_expired == HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_RETAKE ? CORE_RETAKE : 0;
    if ((unsigned)m->on_expired > HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_RETAKE)
        out->unknown_enum = "on_expired";
}

static void read_release(const Holdfast__V1__ReleaseRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, RELEASE)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->op_id = m->operation_id;
    out->reason = m->reason;
}

static void read_extend(const Holdfast__V1__ExtendRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, EXTEND)};
    out->op_id = m->operation_id;
    out->ttl_ms = m->ttl_ms;
}

static void read_cancel(const Holdfast__V1__CancelRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, CANCEL)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->op_id = m->operation_id;
}

static void read_return(const Holdfast__V1__ReturnGoodsRequest *m, struct verb_message *out)
{
    *out = (struct verb_message){COMMON(m, RETURN)};
    out->lines = m->lines;
    out->line_count = m->n_lines;
    out->op_id = m->operation_id;
    out->flags = m->disposition == HOLDFAST__V1__DISPOSITION__DISPOSITION_SCRAP ? CORE_SCRAP : 0;
    if ((unsigned)m->disposition > HOLDFAST__V1__DISPOSITION__DISPOSITION_SCRAP)
        out->unknown_enum = "disposition";
}

bool verb_read(const ProtobufCMessage *m, struct verb_message *out)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    if (d == &holdfast__v1__reserve_request__descriptor)
        read_reserve((const void *)m, out);
    else if (d == &holdfast__v1__order_request__descriptor)
        read_order((const void *)m, out);
    else if (d == &holdfast__v1__record_request__descriptor)
        read_record((const void *)m, out);
    else if (d == &holdfast__v1__commit_request__descriptor)
        read_commit((const void *)m, out);
    else if (d == &holdfast__v1__release_request__descriptor)
        read_release((const void *)m, out);
    else if (d == &holdfast__v1__extend_request__descriptor)
        read_extend((const void *)m, out);
    else if (d == &holdfast__v1__cancel_request__descriptor)
        read_cancel((const void *)m, out);
    else if (d == &holdfast__v1__return_goods_request__descriptor)
        read_return((const void *)m, out);
    else
        return false;
    return true;
}

// ------------------------------------------------------------------------------- to core

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// "00-" trace id "-" parent id "-" flags, lower case.
static bool trace_parse(const char *text, uint8_t out[CORE_TRACE_BYTES])
{
    if (strlen(text) != TRACEPARENT_BYTES || memcmp(text, "00-", 3) != 0 || text[35] != '-' ||
        text[52] != '-')
        return false;
    for (unsigned i = 3, n = 0; n < CORE_TRACE_BYTES; n++, i += 2) {
        i += i == 35 || i == 52;
        int high = hex(text[i]), low = hex(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[n] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool text_convert(struct arena *a, const struct verb_message *m, const char *traceparent,
                         struct core_request *out, struct rpc_error *error)
{
    const char *trace = m->traceparent[0] ? m->traceparent : traceparent;
    size_t reference = strlen(m->reference), buyer = strlen(m->buyer);
    if (m->verb > CORE_RECORD || (!reference && !buyer && !trace[0]))
        return true;
    if (reference > HF_REFERENCE_BYTES_MAX || buyer > HF_BUYER_BYTES_MAX) {
        *error = convert_outcome(
            CORE_OUT_INVALID,
            reference > HF_REFERENCE_BYTES_MAX ? CORE_FIELD_REFERENCE : CORE_FIELD_BUYER, 0, 0);
        return false;
    }
    struct verb_text *t = arena_take(a, sizeof *t);
    if (!t) {
        *error = convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
        return false;
    }
    t->text = (struct core_text){.reference = m->reference,
                                 .buyer = m->buyer,
                                 .reference_bytes = (uint8_t)reference,
                                 .buyer_bytes = (uint8_t)buyer};
    if (trace[0] && trace_parse(trace, t->trace)) {
        t->text.trace = t->trace;
    } else if (m->traceparent[0]) {
        *error = rpc_invalid("traceparent", "a W3C traceparent of version 00");
        return false;
    }
    out->text = &t->text;
    return true;
}

static bool reason_convert(struct arena *a, const struct verb_message *m, struct core_request *out,
                           struct rpc_error *error)
{
    size_t bytes = strnlen(m->reason, HF_REASON_BYTES_MAX + 1);
    if (bytes == 0)
        return true;
    struct core_text *t = arena_take(a, sizeof *t);
    if (!t) {
        *error = convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
        return false;
    }
    // One that is too long stays so: core says what is wrong with it.
    *t = (struct core_text){.reason = m->reason, .reason_bytes = (uint8_t)bytes};
    out->text = t;
    return true;
}

static bool lines_convert(struct service_local *l, const struct auth_identity *who, struct arena *a,
                          const struct verb_message *m, struct core_request *out,
                          struct rpc_error *error)
{
    if (m->line_count > HF_LINES_MAX) {
        *error = rpc_invalid("lines", "at most 1,024");
        return false;
    }
    struct core_line *lines = arena_take(a, m->line_count * sizeof *lines);
    struct core_line_answer *told = arena_take(a, m->line_count * sizeof *told);
    if (!lines || !told) {
        *error = convert_outcome(CORE_OUT_BUSY, CORE_FIELD_NONE, 0, 0);
        return false;
    }
    for (uint32_t i = 0; i < m->line_count; i++) {
        const Holdfast__V1__Line *line = m->lines[i];
        struct stock_ref ref = {line->sku, line->location, line->handle, line->generation};
        uint32_t handle;
        if (!convert_stock(l, who, &ref, "", &handle, error)) {
            char field[RPC_FIELD_BYTES];
            snprintf(field, sizeof field, "lines[%u].%.60s", i, error->field);
            memcpy(error->field, field, sizeof field);
            return false;
        }
        lines[i] = (struct core_line){.handle = handle, .quantity = line->quantity};
        told[i] = (struct core_line_answer){0};
    }
    out->lines = lines;
    out->line_count = (uint32_t)m->line_count;
    out->line_answers = m->verb <= CORE_RECORD ? told : NULL;
    return true;
}

static bool channel_convert(struct service_local *l, const struct auth_identity *who,
                            const struct verb_message *m, struct core_request *out,
                            struct rpc_error *error)
{
    size_t bytes = strlen(m->channel);
    if (bytes &&
        core_channel_find(local_core(l), m->channel, (uint32_t)bytes, &out->channel) != HF_OK) {
        *error = convert_outcome(CORE_OUT_INVALID, CORE_FIELD_CHANNEL, 0, 0);
        return false;
    }
    if (m->verb <= CORE_RECORD && who->channel_count && !auth_channel_ok(who, m->channel, bytes)) {
        *error = (struct rpc_error){.code = RPC_PERMISSION_DENIED,
                                    .reason = "CHANNEL",
                                    .message = "this key is limited to other channels",
                                    .field = "channel"};
        return false;
    }
    return true;
}

// Whether whose it is stands on the disk, and what it does then could be done to it.
static bool whose_is_away(const struct auth_identity *who, const struct core_request *r,
                          const struct core_view *v, enum hf_status s)
{
    if (s == HF_NOT_FOUND)
        return r->verb == CORE_CANCEL || r->verb == CORE_RETURN;
    return s == HF_OK && v->lines_away && who->location_count &&
           (v->state == CORE_STATE_COMMITTED || v->state == CORE_STATE_EXPIRED);
}

// In the slow lane. HF_BUSY: whose it is could not be looked up.
static enum hf_status whose_is_read(struct service_local *l, struct hf_uuid id, struct core_view *v,
                                    struct core_line *lines, enum hf_status was)
{
    uint64_t now_ms = core_now(local_core(l));
    enum hf_status s = core_recall(l->worker, now_ms, id);
    if (s == HF_NOT_FOUND)
        return was; // nor is there anything to act on
    if (s == HF_OK)
        s = core_get(l->worker, now_ms, id, v, lines, HF_LINES_MAX);
    return s == HF_OK && v->lines_away ? HF_BUSY : s; // pushed out again meanwhile
}

enum verb_way verb_allowed(struct service_local *l, const struct auth_identity *who,
                           struct arena *a, const struct core_request *r, struct rpc_error *error)
{
    struct core_view v;
    if (r->verb <= CORE_RECORD || (!who->channel_count && !who->location_count))
        return VERB_READY;
    struct core_line *lines = arena_take(a, HF_LINES_MAX * sizeof *lines);
    if (!lines) {
        *error = reservation_error(HF_NO_MEMORY);
        return VERB_REFUSED;
    }
    enum hf_status s = core_get(l->worker, core_now(local_core(l)), r->id, &v, lines, HF_LINES_MAX);
    if (whose_is_away(who, r, &v, s)) {
        if (l->lane != l->service->options.pollers)
            return VERB_AWAY;
        s = whose_is_read(l, r->id, &v, lines, s);
    }
    // Of what is not there, or has no lines any more, core says that there is nothing to act on.
    if (s == HF_NOT_FOUND || (s == HF_OK && !reservation_foreign(l, who, &v, lines)))
        return VERB_READY;
    *error = reservation_error(s == HF_OK ? HF_FOREIGN : s);
    return VERB_REFUSED;
}

enum verb_way verb_convert(struct service_local *l, const struct auth_identity *who,
                           struct arena *a, const struct verb_message *m, const char *traceparent,
                           struct core_request *out, struct rpc_error *error)
{
    *out = (struct core_request){.verb = m->verb, .flags = m->flags, .ttl_ms = m->ttl_ms};
    if (m->unknown_enum) {
        *error = rpc_invalid(m->unknown_enum, "not a known value");
        return VERB_REFUSED;
    }
    if (!convert_uuid(m->id, "reservation_id", &out->id, error))
        return VERB_REFUSED;
    if (m->op_id[0] && !convert_uuid(m->op_id, "operation_id", &out->op_id, error))
        return VERB_REFUSED;
    bool good = channel_convert(l, who, m, out, error) &&
                text_convert(a, m, traceparent, out, error) && reason_convert(a, m, out, error) &&
                lines_convert(l, who, a, m, out, error);
    return good ? verb_allowed(l, who, a, out, error) : VERB_REFUSED;
}

// ------------------------------------------------------------------------------- deciding

static void count_decision(struct service_local *l, const struct core_request *r,
                           const struct core_answer *a)
{
    uint64_t *n = &l->decisions[r->verb][a->outcome];
    hf_store_relaxed(n, *n + 1);
    if (r->verb <= CORE_RECORD && !a->repeat && a->outcome <= CORE_OUT_REFUSED) {
        n = &l->by_channel[r->channel][a->outcome];
        hf_store_relaxed(n, *n + 1);
    }
}

static void recall_one(struct service_local *l, const struct core_request *r, struct core_answer *a)
{
    struct core *c = local_core(l);
    for (int i = 0; i < RECALLS_MAX && a->outcome == CORE_OUT_NEEDS_RECALL; i++) {
        enum hf_status s = core_recall(l->worker, core_now(c), r->id);
        if (s != HF_OK) {
            a->outcome = s == HF_NOT_FOUND ? CORE_OUT_UNKNOWN : CORE_OUT_BUSY;
            a->retry_ms = 50;
            return;
        }
        core_execute(l->worker, core_now(c), r, a, 1);
    }
}

bool verb_execute(struct service_local *l, const struct core_request *requests,
                  struct core_answer *answers, uint32_t count, bool may_recall)
{
    bool left = false;
    core_execute(l->worker, core_now(local_core(l)), requests, answers, count);
    for (uint32_t i = 0; i < count; i++) {
        if (answers[i].outcome == CORE_OUT_NEEDS_RECALL && may_recall)
            recall_one(l, &requests[i], &answers[i]);
        if (answers[i].outcome == CORE_OUT_NEEDS_RECALL)
            left = true;
        else
            count_decision(l, &requests[i], &answers[i]);
    }
    return left;
}
