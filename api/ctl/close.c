// odoo close, short: what a day came to, and what is short.
#include "ctl/commands.h"

#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/table.h"

#include "holdfast/v1/erp.pb-c.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define SERVICE (&holdfast__v1__erp_service__descriptor)

// Midnight of a local day, and of the next. False: told.
static bool day_parse(struct ctl *c, int64_t *from_ms, int64_t *to_ms)
{
    struct tm day = {0};
    const char *text = c->option[OPT_DATE], *end = text ? strptime(text, "%Y-%m-%d", &day) : NULL;
    if (!end || *end) {
        ctl_usage(c, "--date must be a day such as 2026-11-26");
        return false;
    }
    struct tm next = day;
    next.tm_mday++;
    day.tm_isdst = next.tm_isdst = -1;
    *from_ms = (int64_t)mktime(&day) * 1000;
    *to_ms = (int64_t)mktime(&next) * 1000;
    return true;
}

static void number_add(struct table *t, int64_t n)
{
    char text[FORMAT_BYTES];
    snprintf(text, sizeof text, "%" PRId64, n);
    table_add(t, text);
}

static void totals_tell(const struct ctl *c, const Holdfast__V1__CloseDayResponse *r)
{
    static const struct table_column columns[] = {
        {"LOCATION", false, true},  {"CHANNEL", false, true},   {"COMMITTED", true, false},
        {"POSTED", true, false},    {"IN FLIGHT", true, false}, {"WAITING", true, false},
        {"DEAD", true, false},      {"DISCARDED", true, false}, {"NETTED", true, false},
        {"MOVEMENTS", true, false}, {NULL, false, false}};
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < r->n_totals; i++) {
        const Holdfast__V1__CloseTotal *k = r->totals[i];
        table_add(&t, k->location);
        table_add(&t, k->channel);
        number_add(&t, k->committed);
        number_add(&t, k->acknowledged + k->booked);
        number_add(&t, k->in_flight);
        number_add(&t, k->waiting);
        number_add(&t, k->dead);
        number_add(&t, k->discarded);
        number_add(&t, k->netted);
        number_add(&t, (int64_t)k->movements);
    }
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
}

static void documents_tell(const struct ctl *c, const Holdfast__V1__CloseDayResponse *r)
{
    static const struct table_column columns[] = {{"BATCH", false, true},
                                                  {"DOCUMENT", true, false},
                                                  {"QUANTITY", true, false},
                                                  {"MOVEMENTS", true, false},
                                                  {NULL, false, false}};
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < r->n_documents; i++) {
        table_add(&t, r->documents[i]->batch);
        number_add(&t, r->documents[i]->document);
        number_add(&t, r->documents[i]->quantity);
        number_add(&t, (int64_t)r->documents[i]->movements);
    }
    fputc('\n', c->io.out);
    table_print(&t, c->io.out, c->io.columns_max);
    table_fini(&t);
    if (r->cut)
        fprintf(c->io.out, "and more\n");
}

// Whether the day is done: everything booked, or explained.
static bool closed(const Holdfast__V1__CloseDayResponse *r)
{
    bool done = true;
    for (size_t i = 0; i < r->n_totals; i++) {
        const Holdfast__V1__CloseTotal *k = r->totals[i];
        done &= k->in_flight == 0 && k->waiting == 0 && k->dead == 0;
        done &= k->committed == k->acknowledged + k->booked + k->discarded + k->netted;
    }
    return done;
}

enum ctl_exit ctl_close_day(struct ctl *c)
{
    Holdfast__V1__CloseDayRequest request = HOLDFAST__V1__CLOSE_DAY_REQUEST__INIT;
    if (!day_parse(c, &request.from_ms, &request.to_ms))
        return CTL_USAGE;
    Holdfast__V1__CloseDayResponse *r = ctl_call(c, SERVICE, "CloseDay", &request);
    if (!r)
        return ctl_failed(c);
    if (c->json) {
        json_print(message_json(&r->base), c->io.out);
    } else {
        totals_tell(c, r);
        documents_tell(c, r);
    }
    enum ctl_exit e = closed(r) ? CTL_OK : CTL_REFUSED;
    ctl_free(r);
    return e;
}

// ------------------------------------------------------------------------------- short

static void short_tell(const struct ctl *c, const Holdfast__V1__ShortCell *s)
{
    FILE *out = c->io.out;
    char sku[128], location[128], text[5][FORMAT_BYTES], time[FORMAT_BYTES];
    const int64_t numbers[] = {s->available, s->on_hand, s->held, s->committed, s->external};
    const char *shown[5];
    for (int i = 0; i < 5; i++)
        shown[i] = format_quantity(numbers[i], c->raw ? 0 : s->unit_scale, text[i]);
    format_clean(s->sku, sku, sizeof sku);
    format_clean(s->location, location, sizeof location);
    fprintf(out, "%s@%s available %s: on hand %s, held %s, committed %s, external %s\n", sku,
            location, shown[0], shown[1], shown[2], shown[3], shown[4]);
    for (size_t i = 0; i < s->n_orders; i++) {
        const Holdfast__V1__ShortOrder *o = s->orders[i];
        char reference[256], channel[128];
        format_clean(o->reference, reference, sizeof reference);
        format_clean(o->channel, channel, sizeof channel);
        fprintf(out, "  %s  %-9s %s  %s  %s %s\n", format_time(o->time_ms, time), o->state,
                format_quantity(o->quantity, c->raw ? 0 : s->unit_scale, text[0]),
                o->reservation_id, reference, channel);
    }
}

enum ctl_exit ctl_short(struct ctl *c)
{
    Holdfast__V1__ListShortRequest request = HOLDFAST__V1__LIST_SHORT_REQUEST__INIT;
    request.location = (char *)(uintptr_t)(c->option[OPT_LOCATION] ? c->option[OPT_LOCATION] : "");
    request.orders = true;
    Holdfast__V1__ListShortResponse *r = ctl_call(c, SERVICE, "ListShort", &request);
    if (!r)
        return ctl_failed(c);
    for (size_t i = 0; i < r->n_cells; i++) {
        if (c->json)
            json_print(message_json(&r->cells[i]->base), c->io.out);
        else
            short_tell(c, r->cells[i]);
    }
    if (!c->json)
        fprintf(c->io.out, "%zu cells are short%s\n", r->n_cells, r->cut ? ", and more" : "");
    enum ctl_exit e = r->n_cells ? CTL_REFUSED : CTL_OK;
    ctl_free(r);
    return e;
}
