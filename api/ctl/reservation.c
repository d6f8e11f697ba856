// The verbs: reserve, order, record, commit, release, extend, cancel, return. Ids are told before
// anything is sent, so that whoever got no answer can ask again and be served once.
#include "ctl/commands.h"

#include "ctl/cells.h"
#include "ctl/message_json.h"
#include "ctl/names.h"
#include "ctl/table.h"

#include "holdfast/v1/reservation.pb-c.h"

#include <string.h>

#define SERVICE (&holdfast__v1__reservation_service__descriptor)

// What a verb was about.
struct asked {
    char reservation_id[HF_UUID_TEXT_BYTES];
    char operation_id[HF_UUID_TEXT_BYTES]; // empty: the verb has none
    struct lines lines;
};

static void asked_fini(struct asked *a)
{
    lines_fini(&a->lines);
}

static char *option_text(const struct ctl *c, enum ctl_option o)
{
    return (char *)(c->option[o] ? c->option[o] : "");
}

// ------------------------------------------------------------------------------------ answers

static void tell_lines(struct ctl *c, const struct asked *a, const Holdfast__V1__Decision *d)
{
    static const struct table_column columns[] = {
        {"SKU", false, true},          {"LOCATION", false, true}, {"ASKED", true, false},
        {"TAKEN", true, false},        {"MISSING", true, false},  {"AVAILABLE", true, false},
        {"NEXT EXPIRY", false, false}, {NULL, false, false},
    };
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < d->n_lines && i < a->lines.count; i++) {
        const Holdfast__V1__DecisionLine *line = d->lines[i];
        const Holdfast__V1__Line *asked = a->lines.list[i];
        unsigned scale = scales_get(&a->lines.scales, asked->sku, asked->location);
        char text[FORMAT_BYTES];
        table_add(&t, asked->sku);
        table_add(&t, asked->location);
        table_add(&t, format_quantity(asked->quantity, scale, text));
        table_add(&t, format_quantity(line->taken, scale, text));
        table_add(&t, line->shortfall ? format_quantity(line->shortfall, scale, text) : "");
        table_add(&t, format_quantity(line->available, scale, text));
        table_add(&t, format_time(line->earliest_expiry_ms, text));
    }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
}

static const char *outcome_text(Holdfast__V1__Outcome outcome)
{
    switch (outcome) {
    case HOLDFAST__V1__OUTCOME__OUTCOME_DONE:
        return "done";
    case HOLDFAST__V1__OUTCOME__OUTCOME_REFUSED:
        return "refused: not enough is available";
    case HOLDFAST__V1__OUTCOME__OUTCOME_EXPIRED:
        return "refused: the hold has expired, its stock is back";
    case HOLDFAST__V1__OUTCOME__OUTCOME_WRONG_STATE:
        return "refused: the reservation's state does not allow this";
    case HOLDFAST__V1__OUTCOME__OUTCOME_EXCEEDS:
        return "refused: more than there is of it";
    default:
        return "an outcome that this program does not know";
    }
}

static void tell_people(struct ctl *c, const struct asked *a, const Holdfast__V1__Decision *d)
{
    FILE *out = c->io.out;
    char time[FORMAT_BYTES], span[FORMAT_BYTES];
    fprintf(out, "%s%s%s\n", outcome_text(d->outcome),
            d->repeat ? " (decided earlier, under the same id)" : "",
            // What has no place in the journal, such as a refused hold, waits for no disk.
            d->durable || !d->position || d->position->lsn == 0 ? "" : " (not on the disk yet)");
    fprintf(out, "reservation  %s\n", a->reservation_id);
    fprintf(out, "state        %s", state_name(d->state));
    if (d->expires_at_ms)
        fprintf(out, " until %s (%s)", format_time(d->expires_at_ms, time),
                format_span(d->expires_in_ms, span));
    if (d->ended_at_ms)
        fprintf(out, " since %s", format_time(d->ended_at_ms, time));
    fprintf(out, ", version %u\n", d->version);
    if (d->n_lines > 0)
        tell_lines(c, a, d);
}

// Takes the reply, NULL too: then the call has failed.
static enum ctl_exit tell(struct ctl *c, const struct asked *a, void *reply,
                          const Holdfast__V1__Decision *d)
{
    if (!reply) {
        enum ctl_exit e = ctl_failed(c);
        if ((e == CTL_UNREACHED || e == CTL_BUSY) && !c->json)
            fprintf(c->io.err, "  the same command with %s%s asks again, and acts once\n",
                    *a->operation_id ? "--operation-id " : "the id ",
                    *a->operation_id ? a->operation_id : a->reservation_id);
        return e;
    }
    if (!d) {
        (void)ctl_usage(c, "the server's answer has no decision");
        ctl_free(reply);
        return CTL_FAILED;
    }
    if (c->json) {
        json_t *object = message_json(&d->base);
        json_object_set_new(object, "reservation_id", json_string(a->reservation_id));
        if (*a->operation_id)
            json_object_set_new(object, "operation_id", json_string(a->operation_id));
        json_print(object, c->io.out);
    } else {
        tell_people(c, a, d);
    }
    bool done = d->outcome == HOLDFAST__V1__OUTCOME__OUTCOME_DONE;
    ctl_free(reply);
    return done ? CTL_OK : CTL_REFUSED;
}

// ------------------------------------------------------------------------------------ new ones

// The id is made last: a wrong line should not have printed one.
static enum ctl_exit ask_new(struct ctl *c, struct asked *a)
{
    enum ctl_exit e = lines_read(c, 0, &a->lines);
    if (e == CTL_OK && !ctl_id(c, OPT_ID, "reservation_id", a->reservation_id))
        e = CTL_USAGE;
    return e;
}

// Reserve, Order and Record have these fields in common.
#define FILL_NEW(request, c, a)                                                                    \
    do {                                                                                           \
        (request).reservation_id = (a)->reservation_id;                                            \
        (request).n_lines = (a)->lines.count;                                                      \
        (request).lines = (a)->lines.list;                                                         \
        (request).channel = option_text((c), OPT_CHANNEL);                                         \
        (request).reference = option_text((c), OPT_REFERENCE);                                     \
        (request).buyer_key = option_text((c), OPT_BUYER_KEY);                                     \
        (request).traceparent = option_text((c), OPT_TRACEPARENT);                                 \
    } while (0)

enum ctl_exit ctl_reserve(struct ctl *c)
{
    Holdfast__V1__ReserveRequest request = HOLDFAST__V1__RESERVE_REQUEST__INIT;
    request.ttl_ms = 600000;
    if (!ctl_span(c, OPT_TTL, &request.ttl_ms))
        return CTL_USAGE;
    struct asked a = {0};
    enum ctl_exit e = ask_new(c, &a);
    if (e == CTL_OK) {
        FILL_NEW(request, c, &a);
        request.best_effort = c->option[OPT_BEST_EFFORT] != NULL;
        Holdfast__V1__ReserveResponse *reply = ctl_call(c, SERVICE, "Reserve", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_order(struct ctl *c)
{
    Holdfast__V1__OrderRequest request = HOLDFAST__V1__ORDER_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_new(c, &a);
    if (e == CTL_OK) {
        FILL_NEW(request, c, &a);
        request.best_effort = c->option[OPT_BEST_EFFORT] != NULL;
        Holdfast__V1__OrderResponse *reply = ctl_call(c, SERVICE, "Order", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_record(struct ctl *c)
{
    Holdfast__V1__RecordRequest request = HOLDFAST__V1__RECORD_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_new(c, &a);
    if (e == CTL_OK) {
        FILL_NEW(request, c, &a);
        Holdfast__V1__RecordResponse *reply = ctl_call(c, SERVICE, "Record", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

// ------------------------------------------------------------------------------------ changes

// The first argument is the reservation, the others are lines.
static enum ctl_exit ask_change(struct ctl *c, struct asked *a, bool operation)
{
    if (!read_id(c, c->argv[0], a->reservation_id))
        return CTL_USAGE;
    enum ctl_exit e = lines_read(c, 1, &a->lines);
    if (e == CTL_OK && operation && !ctl_id(c, OPT_OPERATION_ID, "operation_id", a->operation_id))
        e = CTL_USAGE;
    return e;
}

enum ctl_exit ctl_commit(struct ctl *c)
{
    Holdfast__V1__CommitRequest request = HOLDFAST__V1__COMMIT_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_change(c, &a, false);
    if (e == CTL_OK) {
        request.reservation_id = a.reservation_id;
        request.n_lines = a.lines.count;
        request.lines = a.lines.list;
        request.on_expired = c->option[OPT_RETAKE] ? HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_RETAKE
                                                   : HOLDFAST__V1__ON_EXPIRED__ON_EXPIRED_FAIL;
        Holdfast__V1__CommitResponse *reply = ctl_call(c, SERVICE, "Commit", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_release(struct ctl *c)
{
    bool partial = c->argc > 1; // a whole release is its own identity
    if (!partial && c->option[OPT_OPERATION_ID])
        return ctl_usage(c, "--operation-id belongs to a release of lines");
    Holdfast__V1__ReleaseRequest request = HOLDFAST__V1__RELEASE_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_change(c, &a, partial);
    if (e == CTL_OK) {
        request.reservation_id = a.reservation_id;
        request.operation_id = a.operation_id;
        request.reason = option_text(c, OPT_REASON);
        request.n_lines = a.lines.count;
        request.lines = a.lines.list;
        Holdfast__V1__ReleaseResponse *reply = ctl_call(c, SERVICE, "Release", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_extend(struct ctl *c)
{
    Holdfast__V1__ExtendRequest request = HOLDFAST__V1__EXTEND_REQUEST__INIT;
    if (!c->option[OPT_TTL])
        return ctl_usage(c, "`extend` needs --ttl");
    if (!ctl_span(c, OPT_TTL, &request.ttl_ms))
        return CTL_USAGE;
    struct asked a = {0};
    enum ctl_exit e = ask_change(c, &a, true);
    if (e == CTL_OK) {
        request.reservation_id = a.reservation_id;
        request.operation_id = a.operation_id;
        Holdfast__V1__ExtendResponse *reply = ctl_call(c, SERVICE, "Extend", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_cancel(struct ctl *c)
{
    Holdfast__V1__CancelRequest request = HOLDFAST__V1__CANCEL_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_change(c, &a, true);
    if (e == CTL_OK) {
        request.reservation_id = a.reservation_id;
        request.operation_id = a.operation_id;
        request.n_lines = a.lines.count;
        request.lines = a.lines.list;
        Holdfast__V1__CancelResponse *reply = ctl_call(c, SERVICE, "Cancel", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}

enum ctl_exit ctl_return(struct ctl *c)
{
    Holdfast__V1__ReturnGoodsRequest request = HOLDFAST__V1__RETURN_GOODS_REQUEST__INIT;
    struct asked a = {0};
    enum ctl_exit e = ask_change(c, &a, true);
    if (e == CTL_OK) {
        request.reservation_id = a.reservation_id;
        request.operation_id = a.operation_id;
        request.n_lines = a.lines.count;
        request.lines = a.lines.list;
        request.disposition = c->option[OPT_SCRAP] ? HOLDFAST__V1__DISPOSITION__DISPOSITION_SCRAP
                                                   : HOLDFAST__V1__DISPOSITION__DISPOSITION_RESTOCK;
        Holdfast__V1__ReturnGoodsResponse *reply = ctl_call(c, SERVICE, "ReturnGoods", &request);
        e = tell(c, &a, reply, reply ? reply->decision : NULL);
    }
    asked_fini(&a);
    return e;
}
