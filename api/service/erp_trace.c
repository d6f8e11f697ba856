// ErpService, what has happened: a batch with the orders behind it, and a reservation's way. Reads
// archive, journal and the history of postings; only the copy of what is open is made in the
// flusher's thread.
#include "service/erp.h"

#include "flush/records.h"

#include "core/record.h"

#include <stdlib.h>
#include <string.h>

#define DAY_MS    (UINT64_C(24) * 3600 * 1000)
#define DAYS_MAX  400
#define LINES_MAX 65536 // of one answer's spans
// Of messages as packed, with all names as long as they may be.
#define LINE_BYTES_MAX        192
#define ORDER_BYTES_MAX       208
#define MOVED_BYTES_MAX       320
#define RECORD_BYTES_MAX      128
#define RESERVATION_BYTES_MAX 256
#define ORDERS_MAX            ((ANSWER_BYTES_MAX - HF_LINES_MAX * LINE_BYTES_MAX) / ORDER_BYTES_MAX)
#define RESERVATIONS_MAX      100
#define RECORDS_MAX           20000
#define ACKNOWLEDGED_MAX      256 // batches whose acknowledgement is looked up
#define TRACEPARENT_BYTES     56

typedef Holdfast__V1__Movement Movement;
typedef Holdfast__V1__TraceRecord Record;
typedef Holdfast__V1__TraceMovement Moved;

static char *static_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

// ------------------------------------------------------------------------------- a batch

struct batch_orders {
    const struct flush_fates *fates;
    struct core *core;
    struct arena *arena;
    const struct flush_span **spans;
    Holdfast__V1__BatchLine **lines;
    uint32_t count;
    uint32_t orders;
    uint32_t *room; // of each line's orders
    bool cut;
};

static bool order_add(struct batch_orders *k, uint32_t line, uint64_t lsn,
                      const struct core_record *rec, const struct core_record_parts *p,
                      int64_t quantity)
{
    Holdfast__V1__BatchLine *l = k->lines[line];
    Movement **list = erp_list_grow(k->arena, l->orders, l->n_orders, &k->room[line]);
    Movement *m = arena_take(k->arena, sizeof *m);
    if (!list || !m)
        return false;
    l->orders = list;
    holdfast__v1__movement__init(m);
    const char *channel = core_channel_name(k->core, rec->channel);
    m->lsn = lsn;
    m->time_ms = (int64_t)core_record_time(rec);
    m->record = static_text(core_record_type_name(rec->frame.type));
    m->id = erp_uuid(k->arena, rec->frame.id);
    m->reference = arena_text(k->arena, p->reference, p->reference_bytes);
    m->channel = channel ? arena_text(k->arena, channel, strlen(channel)) : m->channel;
    m->quantity = quantity;
    l->orders[l->n_orders++] = m;
    k->orders++;
    return m->id && m->reference && m->channel;
}

static enum hf_status order_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *frame)
{
    struct batch_orders *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    (void)time_ms;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    for (uint32_t i = 0; i < rec->line_count; i++) {
        enum flush_kind kind;
        int64_t quantity;
        if (!flush_movement_of(&rec->lines[i], &p, &kind, &quantity))
            continue;
        for (uint32_t n = 0; n < k->count; n++) {
            const struct flush_span *s = k->spans[n];
            if (s->handle != rec->lines[i].handle || s->kind != (uint8_t)kind ||
                lsn < s->first_lsn || lsn > s->last_lsn ||
                !flush_fates_of_day(k->fates, s, core_record_time(rec)))
                continue;
            if (k->orders == ORDERS_MAX) {
                k->cut = true;
                return HF_STOPPED;
            }
            if (!order_add(k, n, lsn, rec, &p, quantity))
                return HF_NO_MEMORY;
        }
    }
    return HF_OK;
}

static enum hf_status orders_find(struct batch_orders *k)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t i = 0; i < k->count; i++) {
        first = k->spans[i]->first_lsn < first ? k->spans[i]->first_lsn : first;
        last = k->spans[i]->last_lsn > last ? k->spans[i]->last_lsn : last;
    }
    k->room = arena_take(k->arena, (k->count + 1) * sizeof *k->room);
    if (!k->room)
        return HF_NO_MEMORY;
    memset(k->room, 0, k->count * sizeof *k->room);
    enum hf_status s = records_walk(k->core, first - 1, last, order_visit, k);
    return k->cut ? HF_OK : s;
}

// The spans of a batch; those of the history stand once, though the batch may be there twice.
static uint32_t spans_of(const struct flush_fates *fates, uint64_t number,
                         const struct flush_span **out, uint32_t max)
{
    uint32_t all, n = 0;
    const struct flush_span *s = flush_fates_spans(fates, &all);
    for (uint32_t i = 0; i < all && n < max; i++) {
        if (s[i].batch != number || s[i].where == FLUSH_DEAD || s[i].where == FLUSH_DISCARDED)
            continue;
        bool twice = false;
        for (uint32_t k = 0; k < n && !twice; k++)
            twice = out[k]->handle == s[i].handle && out[k]->first_lsn == s[i].first_lsn &&
                    out[k]->day == s[i].day;
        if (!twice)
            out[n++] = &s[i];
    }
    return n;
}

static enum hf_status batch_find(struct flush_fates *fates, uint64_t number, uint64_t from_day,
                                 uint64_t to_day, const struct flush_span **spans, uint32_t *count)
{
    struct flush_history_filter filter = {.batch = number, .max = LINES_MAX};
    *count = spans_of(fates, number, spans, HF_LINES_MAX);
    enum hf_status s = HF_OK;
    for (uint64_t day = to_day; s == HF_OK && *count == 0 && day >= from_day; day--) {
        s = flush_fates_day(fates, day, &filter);
        *count = spans_of(fates, number, spans, HF_LINES_MAX);
    }
    return s;
}

static bool batch_tell(struct core *c, struct arena *a, struct flush_fates *fates,
                       const struct flush_span **spans, uint32_t count,
                       Holdfast__V1__GetBatchResponse *out)
{
    char name[FLUSH_NAME_BYTES];
    Holdfast__V1__BatchLine *lines = arena_take(a, count * sizeof *lines);
    out->lines = arena_take(a, count * sizeof(void *));
    if (!lines || !out->lines)
        return false;
    flush_fates_name(fates, spans[0], name);
    out->number = spans[0]->batch;
    out->name = arena_text(a, name, strlen(name));
    out->kind = static_text(flush_kind_name((enum flush_kind)spans[0]->kind));
    out->where = static_text(flush_where_name((enum flush_where)spans[0]->where));
    out->document = spans[0]->picking;
    out->posted_ms = (int64_t)spans[0]->time_ms;
    out->attempts = spans[0]->attempts;
    out->record_id = erp_uuid(a, spans[0]->op_id);
    for (uint32_t i = 0; i < count; i++) {
        Holdfast__V1__BatchLine *l = out->lines[out->n_lines++] = &lines[i];
        holdfast__v1__batch_line__init(l);
        l->quantity = spans[i]->quantity;
        l->movements = spans[i]->movements;
        l->first_lsn = spans[i]->first_lsn;
        l->last_lsn = spans[i]->last_lsn;
        if (!erp_cell(c, a, spans[i]->handle, &l->sku, &l->location, &l->unit_scale))
            return false;
    }
    return out->name && out->record_id;
}

static enum hf_status batch_answer(struct service_local *l, struct rpc_call *call,
                                   struct flush_fates *fates, uint64_t number,
                                   Holdfast__V1__GetBatchResponse *out)
{
    const Holdfast__V1__GetBatchRequest *in = (const void *)call->request;
    struct core *c = local_core(l);
    uint64_t today = core_now(c) / DAY_MS,
             near = in->near_ms > 0 ? (uint64_t)in->near_ms / DAY_MS : 0;
    const struct flush_span **spans =
        arena_take(&call->arena, HF_LINES_MAX * sizeof(struct flush_span *));
    uint32_t count = 0;
    if (!spans)
        return HF_NO_MEMORY;
    uint64_t oldest = today > DAYS_MAX ? today - DAYS_MAX : 0;
    enum hf_status s = near ? batch_find(fates, number, near, near + 1, spans, &count) : HF_OK;
    if (s == HF_OK && count == 0)
        s = batch_find(fates, number, oldest, today, spans, &count);
    if (s != HF_OK || count == 0)
        return s == HF_OK ? HF_NOT_FOUND : s;
    if (!batch_tell(c, &call->arena, fates, spans, count, out))
        return HF_NO_MEMORY;
    if (!in->orders)
        return HF_OK;
    struct batch_orders k = {.core = c,
                             .fates = fates,
                             .arena = &call->arena,
                             .spans = spans,
                             .lines = out->lines,
                             .count = count};
    s = orders_find(&k);
    out->cut = k.cut;
    return s;
}

void erp_batch(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__GetBatchRequest *in = (const void *)call->request;
    Holdfast__V1__GetBatchResponse out = HOLDFAST__V1__GET_BATCH_RESPONSE__INIT;
    uint64_t number = flush_batch_number(in->batch);
    (void)ctx;
    if (number == 0) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "batch",
                 "a batch's number, or its name in the ERP");
        return;
    }
    struct flush_fates *fates = erp_fates(local, call);
    if (!fates)
        return;
    enum hf_status s = batch_answer(local, call, fates, number, &out);
    if (s == HF_OK)
        rpc_reply(call, &out.base, 0);
    else if (s == HF_NOT_FOUND)
        erp_fail(call, RPC_NOT_FOUND, "UNKNOWN_BATCH", "batch",
                 "no such batch was posted in the last 400 days, and none is in flight");
    else
        erp_fail_status(call, s);
    flush_fates_destroy(fates);
}

// ------------------------------------------------------------------------------- a trace

struct moved { // a movement that is to be found
    Moved *out;
    uint64_t lsn, time_ms;
    uint32_t handle;
    enum flush_kind kind;
    struct moved *next;
};

struct tracing {
    struct core *core;
    struct arena *arena;
    Holdfast__V1__TracedReservation *now;
    Record **records; // of the reservation under way
    uint32_t count;
    struct moved *moved; // of all reservations
    uint32_t moved_count;
    size_t bytes_left; // of the answer
    bool cut;
};

// 16 bytes of trace, 8 of parent, 1 of flags.
static char *traceparent_text(struct arena *a, const uint8_t *trace)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_take(a, TRACEPARENT_BYTES), *t = text;
    if (!text)
        return NULL;
    memcpy(t, "00-", 3);
    t += 3;
    for (uint32_t i = 0; i < CORE_TRACE_BYTES; i++) {
        *t++ = digits[trace[i] >> 4];
        *t++ = digits[trace[i] & 15];
        if (i == 15 || i == 23)
            *t++ = '-';
    }
    *t = '\0';
    return text;
}

static bool texts_take(struct tracing *k, const struct core_record *rec,
                       const struct core_record_parts *p)
{
    Holdfast__V1__TracedReservation *r = k->now;
    const char *channel = core_channel_name(k->core, rec->channel);
    if (channel && !r->channel[0])
        r->channel = arena_text(k->arena, channel, strlen(channel));
    if (p->reference_bytes && !r->reference[0])
        r->reference = arena_text(k->arena, p->reference, p->reference_bytes);
    if (p->trace_bytes == CORE_TRACE_BYTES && !r->traceparent[0]) {
        r->traceparent = traceparent_text(k->arena, p->trace);
    }
    return r->channel && r->reference && r->traceparent;
}

static bool movements_take(struct tracing *k, uint64_t lsn, const struct core_record *rec,
                           const struct core_record_parts *p, Record *out)
{
    out->movements = arena_take(k->arena, (rec->line_count + 1u) * sizeof(void *));
    for (uint32_t i = 0; out->movements && i < rec->line_count; i++) {
        enum flush_kind kind;
        int64_t quantity;
        if (!flush_movement_of(&rec->lines[i], p, &kind, &quantity))
            continue;
        Moved *m = arena_take(k->arena, sizeof *m);
        struct moved *link = arena_take(k->arena, sizeof *link);
        if (!m || !link)
            return false;
        holdfast__v1__trace_movement__init(m);
        m->kind = static_text(flush_kind_name(kind));
        m->quantity = quantity;
        *link = (struct moved){m, lsn, core_record_time(rec), rec->lines[i].handle, kind, k->moved};
        k->moved = link;
        k->moved_count++;
        out->movements[out->n_movements++] = m;
        if (!erp_cell(k->core, k->arena, link->handle, &m->sku, &m->location, &m->unit_scale))
            return false;
    }
    return out->movements != NULL;
}

static enum hf_status trace_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *frame)
{
    struct tracing *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    (void)time_ms;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    if (frame->type == CORE_RECORD_CHANGE || frame->type == CORE_RECORD_ACKNOWLEDGE)
        return HF_OK; // an operation's id
    if (k->bytes_left < RECORD_BYTES_MAX + rec->line_count * (size_t)MOVED_BYTES_MAX) {
        k->cut = true;
        return HF_STOPPED;
    }
    Record *r = arena_take(k->arena, sizeof *r);
    if (!r || k->count == RECORDS_MAX)
        return r ? HF_FULL : HF_NO_MEMORY;
    holdfast__v1__trace_record__init(r);
    r->lsn = lsn;
    r->time_ms = (int64_t)core_record_time(rec);
    r->record = static_text(core_record_type_name(frame->type));
    r->version = core_record_version(rec);
    r->operation_id = erp_uuid(k->arena, p.op ? p.op->op_id : (struct hf_uuid){0, 0});
    k->records[k->count++] = r;
    if (!r->operation_id || !texts_take(k, rec, &p) || !movements_take(k, lsn, rec, &p, r))
        return HF_NO_MEMORY;
    k->bytes_left -= RECORD_BYTES_MAX + r->n_movements * MOVED_BYTES_MAX;
    return HF_OK;
}

static enum hf_status reservation_trace(struct tracing *k, struct hf_uuid id,
                                        Holdfast__V1__TraceResponse *out)
{
    Holdfast__V1__TracedReservation *r = arena_take(k->arena, sizeof *r);
    if (!r)
        return HF_NO_MEMORY;
    k->cut = k->bytes_left < RESERVATION_BYTES_MAX;
    if (k->cut)
        return HF_OK;
    k->bytes_left -= RESERVATION_BYTES_MAX;
    holdfast__v1__traced_reservation__init(r);
    k->now = r;
    k->count = 0;
    r->reservation_id = erp_uuid(k->arena, id);
    r->requested_ms = hf_uuid_version(id) == 7 ? (int64_t)hf_uuid_ms(id) : 0;
    enum hf_status s = records_of(k->core, id, trace_visit, k);
    s = k->cut ? HF_OK : s;
    if (s != HF_OK || k->count == 0)
        return s;
    r->records = arena_take(k->arena, k->count * sizeof(void *));
    if (!r->records || !r->reservation_id)
        return HF_NO_MEMORY;
    memcpy(r->records, k->records, k->count * sizeof(void *));
    r->n_records = k->count;
    out->reservations[out->n_reservations++] = r;
    return HF_OK;
}

// ------------------------------------------------------------------------------- where it went

static int handle_order(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static bool moved_all_found(const struct tracing *k, struct flush_fates *fates)
{
    for (const struct moved *m = k->moved; m; m = m->next)
        if (m->lsn <= flush_fates_taken(fates) &&
            !flush_fates_find(fates, m->handle, m->kind, m->lsn, m->time_ms))
            return false;
    return true;
}

// Reads the days on which the movements may have been posted, until all are found.
static enum hf_status history_find(struct tracing *k, struct flush_fates *fates)
{
    uint32_t *handles = arena_take(k->arena, (k->moved_count + 1) * sizeof *handles), n = 0;
    uint64_t today = core_now(k->core) / DAY_MS, day = today;
    if (!handles)
        return HF_NO_MEMORY;
    for (const struct moved *m = k->moved; m; m = m->next) {
        handles[n++] = m->handle;
        day = m->time_ms / DAY_MS < day ? m->time_ms / DAY_MS : day;
    }
    qsort(handles, n, sizeof *handles, handle_order);
    struct flush_history_filter filter = {
        .handles = handles, .handle_count = n, .max = UINT32_C(1) << 22};
    enum hf_status s = HF_OK;
    day = day + DAYS_MAX < today ? today - DAYS_MAX : day;
    for (; s == HF_OK && day <= today && !moved_all_found(k, fates); day++)
        s = flush_fates_day(fates, day, &filter);
    return s;
}

static enum hf_status time_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *frame)
{
    int64_t *told = ctx;
    (void)lsn, (void)time_ms;
    *told = (int64_t)core_record_time((const struct core_record *)frame);
    return HF_OK;
}

struct acknowledged {
    struct hf_uuid op_id;
    int64_t ms;
};

static int64_t acknowledged_ms(struct tracing *k, struct acknowledged *known, uint32_t *count,
                               struct hf_uuid op_id)
{
    for (uint32_t i = 0; i < *count; i++)
        if (hf_uuid_equal(known[i].op_id, op_id))
            return known[i].ms;
    if (hf_uuid_is_nil(op_id) || *count == ACKNOWLEDGED_MAX)
        return 0;
    int64_t ms = 0;
    if (records_of(k->core, op_id, time_visit, &ms) != HF_OK)
        ms = 0; // it is told without
    known[(*count)++] = (struct acknowledged){op_id, ms};
    return ms;
}

static bool moved_tell(struct tracing *k, struct flush_fates *fates)
{
    struct acknowledged *known = arena_take(k->arena, ACKNOWLEDGED_MAX * sizeof *known);
    uint32_t known_count = 0;
    for (const struct moved *m = k->moved; known && m; m = m->next) {
        const struct flush_span *s =
            flush_fates_find(fates, m->handle, m->kind, m->lsn, m->time_ms);
        enum flush_where where = s                                   ? (enum flush_where)s->where
                                 : m->lsn > flush_fates_taken(fates) ? FLUSH_WAITING
                                                                     : FLUSH_NETTED;
        m->out->where = static_text(flush_where_name(where));
        if (!s)
            continue;
        char name[FLUSH_NAME_BYTES] = "";
        if (s->batch)
            flush_fates_name(fates, s, name);
        m->out->batch = arena_text(k->arena, name, strlen(name));
        m->out->document = s->picking;
        m->out->time_ms = (int64_t)s->time_ms;
        m->out->attempts = s->attempts;
        m->out->dead_letter = s->letter;
        m->out->acknowledged_ms = acknowledged_ms(k, known, &known_count, s->op_id);
        if (!m->out->batch)
            return false;
    }
    return known != NULL;
}

static enum hf_status ids_find(struct service_local *l, struct rpc_call *call, struct hf_uuid *ids,
                               uint32_t *count)
{
    const Holdfast__V1__TraceRequest *in = (const void *)call->request;
    struct rpc_error error;
    *count = 1;
    if (!in->reference[0]) {
        if (convert_uuid(in->reservation_id, "reservation_id", ids, &error))
            return HF_OK;
        rpc_fail(call, &error);
        return HF_INVALID;
    }
    if (in->reservation_id[0] || strlen(in->reference) > HF_REFERENCE_BYTES_MAX) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "reference",
                 "either a reservation's id, or a reference of at most 64 bytes");
        return HF_INVALID;
    }
    return core_find_reference(local_core(l), in->reference, (uint32_t)strlen(in->reference), ids,
                               RESERVATIONS_MAX, count);
}

static enum hf_status trace_answer(struct service_local *l, struct rpc_call *call,
                                   const struct hf_uuid *ids, uint32_t count,
                                   Holdfast__V1__TraceResponse *out, bool *failed)
{
    struct tracing k = {
        .core = local_core(l), .arena = &call->arena, .bytes_left = ANSWER_BYTES_MAX};
    enum hf_status s = HF_OK;
    k.records = arena_take(&call->arena, RECORDS_MAX * sizeof(Record *));
    out->reservations = arena_take(&call->arena, RESERVATIONS_MAX * sizeof(void *));
    if (!k.records || !out->reservations)
        return HF_NO_MEMORY;
    for (uint32_t i = 0; i < count && s == HF_OK && !k.cut; i++)
        s = reservation_trace(&k, ids[i], out);
    out->cut |= k.cut;
    if (s != HF_OK || !k.moved || !l->service->options.desk)
        return s;
    struct flush_fates *fates = erp_fates(l, call); // after the records: they are older
    *failed = !fates;
    if (!fates)
        return HF_OK;
    s = history_find(&k, fates);
    if (s == HF_OK && !moved_tell(&k, fates))
        s = HF_NO_MEMORY;
    flush_fates_destroy(fates);
    return s;
}

void erp_trace(void *ctx, void *local, struct rpc_call *call)
{
    Holdfast__V1__TraceResponse out = HOLDFAST__V1__TRACE_RESPONSE__INIT;
    struct hf_uuid ids[RESERVATIONS_MAX];
    uint32_t count = 0;
    bool failed = false;
    (void)ctx;
    enum hf_status s = ids_find(local, call, ids, &count);
    if (s == HF_INVALID)
        return;
    out.cut = count > RESERVATIONS_MAX;
    if (s == HF_OK)
        s = trace_answer(local, call, ids, out.cut ? RESERVATIONS_MAX : count, &out, &failed);
    if (failed)
        return;
    if (s == HF_NOT_FOUND || (s == HF_OK && out.n_reservations == 0))
        erp_fail(call, RPC_NOT_FOUND, "UNKNOWN", "", "journal and archive know nothing of it");
    else if (s != HF_OK)
        erp_fail_status(call, s);
    else
        rpc_reply(call, &out.base, 0);
}
