// posting, deadletter, batch, trace: what stands between the server and the ERP.
#include "ctl/commands.h"

#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/table.h"

#include "holdfast/v1/erp.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE   (&holdfast__v1__erp_service__descriptor)
#define PAGE_SIZE 500

typedef Holdfast__V1__DeadLetter Letter;

static const char *number(uint64_t n, char text[FORMAT_BYTES])
{
    snprintf(text, FORMAT_BYTES, "%" PRIu64, n);
    return text;
}

static const char *quantity_of(const struct ctl *c, int64_t quantity, unsigned scale,
                               char text[FORMAT_BYTES])
{
    return format_quantity(quantity, c->raw ? 0 : scale, text);
}

static void tell(FILE *out, const char *name, const char *text)
{
    char clean[256];
    format_clean(text, clean, sizeof clean);
    if (*clean)
        fprintf(out, "%-14s %s\n", name, clean);
}

static void tell_number(FILE *out, const char *name, uint64_t n)
{
    char text[FORMAT_BYTES];
    tell(out, name, number(n, text));
}

static void tell_time(FILE *out, const char *name, int64_t ms)
{
    char text[FORMAT_BYTES];
    if (ms)
        tell(out, name, format_time(ms, text));
}

// ------------------------------------------------------------------------------- posting

enum ctl_exit ctl_posting(struct ctl *c)
{
    Holdfast__V1__GetPostingStatusRequest request = HOLDFAST__V1__GET_POSTING_STATUS_REQUEST__INIT;
    Holdfast__V1__GetPostingStatusResponse *r = ctl_call(c, SERVICE, "GetPostingStatus", &request);
    FILE *out = c->io.out;
    char text[FORMAT_BYTES];
    if (!r)
        return ctl_failed(c);
    if (c->json) {
        json_print(message_json(&r->base), out);
    } else {
        fprintf(out, "%-14s %s: %s\n", "state", strcmp(r->pause, "NONE") == 0 ? "OK" : r->pause,
                r->pause_help);
        tell(out, "lag", r->lag_ms ? format_span(r->lag_ms, text) : "none");
        fprintf(out, "%-14s %" PRIu64 " of %" PRIu64 " records read, %" PRIu64 " taken\n",
                "journal", r->read_lsn, r->durable_lsn, r->taken_lsn);
        fprintf(out, "%-14s %" PRIu64 " movements, %" PRIu64 " lines\n", "window",
                r->window_movements, r->window_lines);
        fprintf(out, "%-14s %" PRIu64 ", with %" PRIu64 " movements\n", "batches open",
                r->open_batches, r->open_movements);
        tell_number(out, "dead letters", r->dead_letters);
        tell_number(out, "discards", r->discards);
        fprintf(out, "%-14s %" PRIu64 " batches, %" PRIu64 " lines\n", "posted", r->batches_posted,
                r->lines_posted);
        fprintf(out, "%-14s %" PRIu64 ", %" PRIu64 " of them failed\n", "calls", r->calls,
                r->calls_failed);
    }
    ctl_free(r);
    return CTL_OK;
}

// ------------------------------------------------------------------------------- dead letters

static const struct table_column letter_columns[] = {
    {"ID", true, false},     {"SKU", false, true},      {"LOCATION", false, true},
    {"KIND", false, false},  {"QUANTITY", true, false}, {"SINCE", false, false},
    {"CAUSE", false, false}, {"WHY", false, true},      {NULL, false, false}};

static void letter_row(const struct ctl *c, struct table *t, const Letter *l)
{
    char id[FORMAT_BYTES], quantity[FORMAT_BYTES], time[FORMAT_BYTES];
    table_add(t, number(l->id, id));
    table_add(t, l->sku);
    table_add(t, l->location);
    table_add(t, l->kind);
    table_add(t, quantity_of(c, l->quantity, l->unit_scale, quantity));
    table_add(t, format_time(l->since_ms, time));
    table_add(t, l->retrying ? "retrying" : l->cause);
    table_add(t, *l->why ? l->why : l->cause_help);
}

enum ctl_exit ctl_deadletter_list(struct ctl *c)
{
    uint64_t left = UINT64_MAX;
    if (!ctl_number(c, OPT_LIMIT, 1, UINT32_MAX, &left))
        return CTL_USAGE;
    struct table t;
    table_init(&t, letter_columns);
    Holdfast__V1__ListDeadLettersRequest request = HOLDFAST__V1__LIST_DEAD_LETTERS_REQUEST__INIT;
    request.page_size = PAGE_SIZE;
    enum ctl_exit e = CTL_OK;
    do {
        Holdfast__V1__ListDeadLettersResponse *r =
            ctl_call(c, SERVICE, "ListDeadLetters", &request);
        if (!r) {
            e = ctl_failed(c);
            break;
        }
        for (size_t i = 0; i < r->n_letters && left > 0; i++, left--) {
            if (c->json)
                json_print(message_json(&r->letters[i]->base), c->io.out);
            else
                letter_row(c, &t, r->letters[i]);
        }
        request.after = r->next;
        ctl_free(r);
    } while (request.after && left > 0);
    if (e == CTL_OK && !c->json)
        table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
    return e;
}

static bool letter_id(struct ctl *c, uint64_t *id)
{
    if (parse_number(c->argv[0], id) && *id > 0)
        return true;
    ctl_usage(c, "a dead letter's id is a number, not %s", c->argv[0]);
    return false;
}

static void letter_tell(struct ctl *c, const Letter *l)
{
    FILE *out = c->io.out;
    char text[FORMAT_BYTES];
    tell_number(out, "dead letter", l->id);
    tell(out, "sku", l->sku);
    tell(out, "location", l->location);
    tell(out, "kind", l->kind);
    tell(out, "quantity", quantity_of(c, l->quantity, l->unit_scale, text));
    tell_number(out, "movements", l->movements);
    fprintf(out, "%-14s %" PRIu64 "..%" PRIu64 "\n", "records", l->first_lsn, l->last_lsn);
    tell_time(out, "since", l->since_ms);
    tell_time(out, "given up", l->dead_ms);
    if (l->batch)
        tell_number(out, "batch", l->batch);
    fprintf(out, "%-14s %s: %s\n", "cause", l->cause, l->cause_help);
    tell(out, "odoo", l->why);
    if (l->retrying)
        tell(out, "state", "retrying");
}

enum ctl_exit ctl_deadletter_show(struct ctl *c)
{
    Holdfast__V1__GetDeadLetterRequest request = HOLDFAST__V1__GET_DEAD_LETTER_REQUEST__INIT;
    if (!letter_id(c, &request.id))
        return CTL_USAGE;
    Holdfast__V1__GetDeadLetterResponse *r = ctl_call(c, SERVICE, "GetDeadLetter", &request);
    if (!r)
        return ctl_failed(c);
    if (c->json) {
        json_print(message_json(&r->base), c->io.out);
    } else if (r->letter) {
        letter_tell(c, r->letter);
        if (r->discard) {
            tell_time(c->io.out, "discarded", r->discard->time_ms);
            tell(c->io.out, "by", r->discard->actor);
            tell(c->io.out, "reason", r->discard->reason);
            tell(c->io.out, "record", r->discard->record_id);
        }
    }
    ctl_free(r);
    return CTL_OK;
}

enum ctl_exit ctl_deadletter_retry(struct ctl *c)
{
    Holdfast__V1__RetryDeadLetterRequest request = HOLDFAST__V1__RETRY_DEAD_LETTER_REQUEST__INIT;
    if (!letter_id(c, &request.id))
        return CTL_USAGE;
    Holdfast__V1__RetryDeadLetterResponse *r = ctl_call(c, SERVICE, "RetryDeadLetter", &request);
    if (!r)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&r->base), c->io.out);
    else
        fprintf(c->io.out, "it goes out in the next batch\n");
    ctl_free(r);
    return CTL_OK;
}

const char *ctl_actor(const struct ctl *c)
{
    const char *given = c->option[OPT_ACTOR], *user = c->io.variable("USER");
    return given ? given : user && *user ? user : "";
}

enum ctl_exit ctl_deadletter_discard(struct ctl *c)
{
    Holdfast__V1__DiscardDeadLetterRequest request =
        HOLDFAST__V1__DISCARD_DEAD_LETTER_REQUEST__INIT;
    char id[HF_UUID_TEXT_BYTES];
    if (!letter_id(c, &request.id))
        return CTL_USAGE;
    if (!c->option[OPT_REASON] || !*c->option[OPT_REASON])
        return ctl_usage(c, "a discard needs --reason");
    if (!*ctl_actor(c))
        return ctl_usage(c, "a discard needs --actor");
    if (!ctl_id(c, OPT_OPERATION_ID, "operation_id", id))
        return CTL_USAGE;
    request.operation_id = id;
    request.actor = (char *)(uintptr_t)ctl_actor(c);
    request.reason = (char *)(uintptr_t)c->option[OPT_REASON];
    Holdfast__V1__DiscardDeadLetterResponse *r =
        ctl_call(c, SERVICE, "DiscardDeadLetter", &request);
    if (!r)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&r->base), c->io.out);
    else
        fprintf(c->io.out, "discarded: the ERP will not be told\n");
    ctl_free(r);
    return CTL_OK;
}

// ------------------------------------------------------------------------------- batches

enum ctl_exit ctl_batch_list(struct ctl *c)
{
    static const struct table_column columns[] = {
        {"NUMBER", true, false},   {"NAME", false, true},      {"KIND", false, false},
        {"LINES", true, false},    {"MOVEMENTS", true, false}, {"STEP", false, false},
        {"ATTEMPTS", true, false}, {"WHY", false, true},       {NULL, false, false}};
    Holdfast__V1__ListBatchesRequest request = HOLDFAST__V1__LIST_BATCHES_REQUEST__INIT;
    Holdfast__V1__ListBatchesResponse *r = ctl_call(c, SERVICE, "ListBatches", &request);
    if (!r)
        return ctl_failed(c);
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < r->n_batches; i++) {
        const Holdfast__V1__OpenBatch *b = r->batches[i];
        char text[FORMAT_BYTES];
        if (c->json) {
            json_print(message_json(&b->base), c->io.out);
            continue;
        }
        table_add(&t, number(b->number, text));
        table_add(&t, b->name);
        table_add(&t, b->kind);
        table_add(&t, number(b->lines, text));
        table_add(&t, number(b->movements, text));
        table_add(&t, b->step);
        table_add(&t, number(b->attempts, text));
        table_add(&t, b->why);
    }
    if (!c->json)
        table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
    ctl_free(r);
    return CTL_OK;
}

static const struct table_column order_columns[] = {
    {"SKU", false, true}, {"LOCATION", false, true},  {"QUANTITY", true, false},
    {"LSN", true, false}, {"TIME", false, false},     {"RECORD", false, false},
    {"ID", false, false}, {"REFERENCE", false, true}, {"CHANNEL", false, true},
    {NULL, false, false}};

static void orders_tell(const struct ctl *c, const Holdfast__V1__GetBatchResponse *r)
{
    struct table t;
    table_init(&t, order_columns);
    for (size_t i = 0; i < r->n_lines; i++)
        for (size_t k = 0; k < r->lines[i]->n_orders; k++) {
            const Holdfast__V1__BatchLine *l = r->lines[i];
            const Holdfast__V1__Movement *m = l->orders[k];
            char text[FORMAT_BYTES];
            table_add(&t, l->sku);
            table_add(&t, l->location);
            table_add(&t, quantity_of(c, m->quantity, l->unit_scale, text));
            table_add(&t, number(m->lsn, text));
            table_add(&t, format_time(m->time_ms, text));
            table_add(&t, m->record);
            table_add(&t, m->id);
            table_add(&t, m->reference);
            table_add(&t, m->channel);
        }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
    if (r->cut)
        fprintf(c->io.out, "and more\n");
}

static void lines_tell(const struct ctl *c, const Holdfast__V1__GetBatchResponse *r)
{
    static const struct table_column columns[] = {
        {"SKU", false, true},       {"LOCATION", false, true}, {"QUANTITY", true, false},
        {"MOVEMENTS", true, false}, {"RECORDS", false, false}, {NULL, false, false}};
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < r->n_lines; i++) {
        const Holdfast__V1__BatchLine *l = r->lines[i];
        char text[FORMAT_BYTES], span[2 * FORMAT_BYTES];
        table_add(&t, l->sku);
        table_add(&t, l->location);
        table_add(&t, quantity_of(c, l->quantity, l->unit_scale, text));
        table_add(&t, number(l->movements, text));
        snprintf(span, sizeof span, "%" PRIu64 "..%" PRIu64, l->first_lsn, l->last_lsn);
        table_add(&t, span);
    }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
}

enum ctl_exit ctl_batch_show(struct ctl *c)
{
    Holdfast__V1__GetBatchRequest request = HOLDFAST__V1__GET_BATCH_REQUEST__INIT;
    request.batch = c->argv[0];
    request.orders = c->option[OPT_ORDERS] != NULL;
    Holdfast__V1__GetBatchResponse *r = ctl_call(c, SERVICE, "GetBatch", &request);
    FILE *out = c->io.out;
    if (!r)
        return ctl_failed(c);
    if (c->json) {
        json_print(message_json(&r->base), out);
    } else {
        tell(out, "batch", r->name);
        tell(out, "kind", r->kind);
        tell(out, "state", r->where);
        if (r->document)
            tell_number(out, "document", r->document);
        tell_time(out, "posted", r->posted_ms);
        tell_number(out, "failures", r->attempts);
        tell(out, "record", r->record_id);
        if (request.orders)
            orders_tell(c, r);
        else
            lines_tell(c, r);
    }
    ctl_free(r);
    return CTL_OK;
}

// ------------------------------------------------------------------------------- trace

static void movement_tell(const struct ctl *c, const Holdfast__V1__TraceMovement *m)
{
    FILE *out = c->io.out;
    char text[FORMAT_BYTES], sku[128], location[128];
    format_clean(m->sku, sku, sizeof sku);
    format_clean(m->location, location, sizeof location);
    fprintf(out, "      %s@%s %s %s%s%s", sku, location, m->kind,
            quantity_of(c, m->quantity, m->unit_scale, text), *m->where ? ": " : "", m->where);
    if (*m->batch)
        fprintf(out, " in %s", m->batch);
    if (m->document)
        fprintf(out, ", document %" PRIu32, m->document);
    if (m->time_ms)
        fprintf(out, ", %s", format_time(m->time_ms, text));
    if (m->attempts)
        fprintf(out, ", after %" PRIu32 " failures", m->attempts);
    if (m->dead_letter)
        fprintf(out, ", dead letter %" PRIu64, m->dead_letter);
    if (m->acknowledged_ms)
        fprintf(out, ", acknowledged %s", format_time(m->acknowledged_ms, text));
    fputc('\n', out);
}

static void reservation_tell(const struct ctl *c, const Holdfast__V1__TracedReservation *r)
{
    FILE *out = c->io.out;
    char time[FORMAT_BYTES];
    tell(out, "reservation", r->reservation_id);
    tell_time(out, "requested", r->requested_ms);
    tell(out, "channel", r->channel);
    tell(out, "reference", r->reference);
    tell(out, "traceparent", r->traceparent);
    for (size_t i = 0; i < r->n_records; i++) {
        const Holdfast__V1__TraceRecord *e = r->records[i];
        fprintf(out, "  %s  %-8s record %" PRIu64 ", durable, version %" PRIu32 "%s%s\n",
                format_time(e->time_ms, time), e->record, e->lsn, e->version,
                *e->operation_id ? ", operation " : "", e->operation_id);
        for (size_t k = 0; k < e->n_movements; k++)
            movement_tell(c, e->movements[k]);
    }
}

enum ctl_exit ctl_trace(struct ctl *c)
{
    Holdfast__V1__TraceRequest request = HOLDFAST__V1__TRACE_REQUEST__INIT;
    struct hf_uuid id;
    char text[HF_UUID_TEXT_BYTES];
    if (hf_uuid_parse(c->argv[0], &id)) {
        hf_uuid_format(id, text);
        request.reservation_id = text;
    } else {
        request.reference = c->argv[0];
    }
    Holdfast__V1__TraceResponse *r = ctl_call(c, SERVICE, "Trace", &request);
    if (!r)
        return ctl_failed(c);
    if (c->json)
        json_print(message_json(&r->base), c->io.out);
    for (size_t i = 0; !c->json && i < r->n_reservations; i++)
        reservation_tell(c, r->reservations[i]);
    if (!c->json && r->cut)
        fprintf(c->io.out, "and more reservations\n");
    ctl_free(r);
    return CTL_OK;
}
