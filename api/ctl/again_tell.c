#include "ctl/again_show.h"

#include "base/limits.h"
#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/progress.h"

#include "holdfast/v1/reservation.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SERVICE       (&holdfast__v1__reservation_service__descriptor)
#define ADMIN_SERVICE (&holdfast__v1__stock_admin_service__descriptor)
#define DAY_S         86400

struct telling {
    struct ctl *c;
    const struct again_book *b; // NULL: a plan that goes on
    const struct again_plan *plan;
    const char *path;
    size_t told, failed;
    bool too_old, in_future;
    json_t *errors;
};

static char *text_of(const json_t *object, const char *key)
{
    return (char *)(uintptr_t)ctl_odoo_text(object, key);
}

// ------------------------------------------------------------------------------- calls

// A lost folder knows no channel. Making one that is there finds it.
static enum ctl_exit channels_make(struct telling *k)
{
    json_t *seen = json_object(), *order;
    enum ctl_exit e = CTL_OK;
    size_t i;
    json_array_foreach(k->plan->orders, i, order)
    {
        Holdfast__V1__CreateChannelRequest request = HOLDFAST__V1__CREATE_CHANNEL_REQUEST__INIT;
        request.channel = text_of(order, "channel");
        if (!*request.channel || json_object_get(seen, request.channel) || e != CTL_OK)
            continue;
        json_object_set_new(seen, request.channel, json_true());
        void *reply = ctl_call(k->c, ADMIN_SERVICE, "CreateChannel", &request);
        e = reply ? CTL_OK : ctl_failed(k->c);
        ctl_free(reply);
    }
    json_decref(seen);
    return e;
}

static void order_failed(struct telling *k, const json_t *order)
{
    const struct client_status *s = &k->c->status;
    char message[300], reference[200];
    k->failed++;
    k->too_old |= strcmp(s->reason, "ID_TOO_OLD") == 0;
    k->in_future |= strcmp(s->reason, "ID_IN_FUTURE") == 0;
    json_array_append_new(
        k->errors, json_pack("{s:s,s:s,s:s,s:s}", "reference", text_of(order, "reference"), "code",
                             rpc_code_name(s->code), "reason", s->reason, "message", s->message));
    if (k->c->json)
        return;
    progress_hide(k->c);
    format_clean(s->message, message, sizeof message);
    format_clean(text_of(order, "reference"), reference, sizeof reference);
    fprintf(k->c->io.err, "%s: %s%s%s: %s\n", reference, rpc_code_name(s->code),
            *s->reason ? " " : "", s->reason, message);
}

// CTL_OK: told, or refused for itself. Else the whole has to stop.
static enum ctl_exit record(struct telling *k, const json_t *order)
{
    static Holdfast__V1__Line lines[HF_LINES_MAX], *list[HF_LINES_MAX];
    Holdfast__V1__RecordRequest request = HOLDFAST__V1__RECORD_REQUEST__INIT;
    const json_t *from = json_object_get(order, "lines");
    request.reservation_id = text_of(order, "reservation_id");
    request.reference = text_of(order, "reference");
    request.channel = text_of(order, "channel");
    request.lines = list;
    for (; request.n_lines < json_array_size(from); request.n_lines++) {
        const json_t *line = json_array_get(from, request.n_lines);
        Holdfast__V1__Line *to = list[request.n_lines] = &lines[request.n_lines];
        holdfast__v1__line__init(to);
        to->sku = text_of(line, "sku");
        to->location = text_of(line, "location");
        to->quantity = json_integer_value(json_object_get(line, "quantity"));
    }
    Holdfast__V1__RecordResponse *reply = ctl_call(k->c, SERVICE, "Record", &request);
    if (!reply) {
        enum ctl_exit e = ctl_exit_of_code(k->c->status.code);
        if (e != CTL_REJECTED && e != CTL_NOT_FOUND)
            return ctl_failed(k->c);
        order_failed(k, order);
        return CTL_OK;
    }
    bool done = reply->decision && reply->decision->outcome == HOLDFAST__V1__OUTCOME__OUTCOME_DONE;
    ctl_free(reply);
    k->told += done;
    if (done)
        return CTL_OK;
    ctl_usage(k->c, "%s: the server's answer is none to a record", request.reference);
    return CTL_FAILED;
}

static enum ctl_exit records(struct telling *k)
{
    struct progress progress;
    size_t all = json_array_size(k->plan->orders);
    enum ctl_exit e = channels_make(k);
    progress_begin(&progress, k->c, "orders told", 0);
    for (size_t i = 0; i < all && e == CTL_OK && !k->too_old && !k->in_future; i++) {
        e = record(k, json_array_get(k->plan->orders, i));
        progress_tell(&progress, i + 1, all, e != CTL_OK || i + 1 == all);
    }
    return e;
}

// ------------------------------------------------------------------------------- the end

static json_t *cell_json(const struct again_cell *cell)
{
    return json_pack("{s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I}", "sku", cell->sku, "location",
                     cell->location, "unit_scale", (int)cell->scale, "sold", (json_int_t)cell->shop,
                     "erp", (json_int_t)cell->odoo, "here", (json_int_t)cell->here, "missing",
                     (json_int_t)again_missing(cell), "to_tell", (json_int_t)cell->told, "orders",
                     (json_int_t)cell->orders);
}

static json_t *cells_json(const struct ctl *c, const struct again_book *b)
{
    json_t *cells = json_array();
    for (uint32_t i = 0; b && i < b->cell_count; i++)
        if (again_missing(&b->cells[i]) != 0 || c->option[OPT_ALL])
            json_array_append_new(cells, cell_json(&b->cells[i]));
    return cells;
}

static void tell_json(const struct telling *k)
{
    char run[HF_UUID_TEXT_BYTES], since[16] = "";
    time_t begin = k->b ? (time_t)k->b->since * DAY_S : 0;
    struct tm day;
    hf_uuid_format(k->plan->run, run);
    if (k->b && k->b->since != INT32_MAX)
        strftime(since, sizeof since, "%Y-%m-%d", gmtime_r(&begin, &day));
    json_print(json_pack("{s:s,s:s,s:b,s:o,s:O,s:I,s:I,s:O}", "run_id", run, "since", since,
                         "dry_run", k->c->option[OPT_DRY_RUN] != NULL, "cells",
                         cells_json(k->c, k->b), "orders", k->plan->orders, "told",
                         (json_int_t)k->told, "failed", (json_int_t)k->failed, "errors", k->errors),
               k->c->io.out);
}

static void explain(const struct telling *k)
{
    FILE *err = k->c->io.err;
    if (k->too_old)
        fprintf(err,
                "The plan is older than the server's id window: what of it was told can no longer "
                "be\ntold from what was not. Delete %s and run the command anew, without --resume: "
                "what\nwas told is in Odoo by now.\n",
                k->path);
    else if (k->in_future)
        fprintf(err, "This machine's clock is ahead of the server's: compare the clocks, then "
                     "--resume.\n");
    else if (*k->path && !k->c->option[OPT_DRY_RUN])
        fprintf(err, "to go on: holdfastctl odoo tell-again %s --resume\n", k->c->argv[0]);
}

// Something that no record mends, or that a dry run has left.
static bool remains(const struct telling *k)
{
    bool dry = k->c->option[OPT_DRY_RUN] != NULL;
    for (uint32_t i = 0; k->b && i < k->b->cell_count; i++) {
        int64_t missing = again_missing(&k->b->cells[i]);
        if (missing != (dry ? 0 : k->b->cells[i].told))
            return true;
    }
    return false;
}

enum ctl_exit again_tell(struct ctl *c, const struct again_book *b, const struct again_plan *p,
                         const char *path)
{
    struct telling k = {.c = c, .b = b, .plan = p, .path = path, .errors = json_array()};
    size_t all = json_array_size(p->orders);
    bool dry = c->option[OPT_DRY_RUN] != NULL;
    enum ctl_exit e = dry ? CTL_OK : records(&k);
    bool whole = k.told == all;
    if (e == CTL_OK && !dry && !whole)
        e = CTL_PARTLY;
    if (e == CTL_OK && !dry && all > 0 && *path && unlink(path) != 0 && errno != ENOENT)
        (void)ctl_usage(c, "%s cannot be deleted: %m", path);
    if (c->json)
        tell_json(&k);
    else if (dry)
        fprintf(c->io.out, "%zu orders to be told (dry run)\n", all);
    else
        fprintf(c->io.out, "%zu orders: %zu told, %zu failed\n", all, k.told, k.failed);
    if (!dry && !whole && !c->json)
        explain(&k);
    json_decref(k.errors);
    return e == CTL_OK && remains(&k) ? CTL_REFUSED : e;
}
