#include "ctl/again.h"

#include "base/limits.h"
#include "ctl/again_show.h"
#include "ctl/cells.h"
#include "ctl/commands.h"
#include "ctl/progress.h"
#include "sys/zone.h"

#include "holdfast/v1/erp.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ERP_SERVICE (&holdfast__v1__erp_service__descriptor)
#define PATH_BYTES  4096
#define PAGE_SIZE   500
#define CELLS_ASKED 1000 // of one call
#define DAY_S       86400

typedef Holdfast__V1__GetPostingStatusResponse Status;
typedef Holdfast__V1__DeadLetter Letter;

// ------------------------------------------------------------------------------- at rest

// CTL_OK: nothing is on its way to Odoo; *batches: posted so far. Else told.
static enum ctl_exit at_rest(struct ctl *c, uint64_t *batches)
{
    Holdfast__V1__GetPostingStatusRequest request = HOLDFAST__V1__GET_POSTING_STATUS_REQUEST__INIT;
    Status *s = ctl_call(c, ERP_SERVICE, "GetPostingStatus", &request);
    if (!s)
        return ctl_failed(c);
    enum ctl_exit e = CTL_OK;
    *batches = s->batches_posted;
    if (strcmp(s->pause, "NONE") != 0) {
        ctl_usage(c, "posting is not at rest: %s: %s", s->pause, s->pause_help);
        e = CTL_REFUSED;
    } else if (s->read_lsn != s->durable_lsn || s->window_movements || s->open_batches) {
        ctl_usage(c,
                  "posting is not at rest: %" PRIu64 " records are unread, %" PRIu64
                  " movements wait, %" PRIu64 " batches are under way; again in a moment",
                  s->durable_lsn - s->read_lsn, s->window_movements, s->open_batches);
        e = CTL_BUSY;
    }
    ctl_free(s);
    return e;
}

// ------------------------------------------------------------------------------- this folder

// The scales of the cells from `from` on. Those of the file must be there.
static enum ctl_exit scales_read(struct ctl *c, struct again_book *b, uint32_t from, bool must)
{
    const char *skus[CELLS_ASKED], *locations[CELLS_ASKED];
    enum ctl_exit e = CTL_OK;
    for (uint32_t at = from; at < b->cell_count && e == CTL_OK; at += CELLS_ASKED) {
        struct scales scales = {0};
        struct scales_wanted wanted = {skus, locations, 0, true};
        for (; wanted.count < CELLS_ASKED && at + wanted.count < b->cell_count; wanted.count++) {
            skus[wanted.count] = b->cells[at + wanted.count].sku;
            locations[wanted.count] = b->cells[at + wanted.count].location;
        }
        e = scales_fetch(c, &scales, &wanted, must);
        for (size_t i = 0; i < wanted.count && e == CTL_OK; i++)
            b->cells[at + i].scale = scales_get(&scales, skus[i], locations[i]);
        scales_fini(&scales);
    }
    if (e == CTL_NOT_FOUND && !c->json)
        fprintf(c->io.err, "  cells come by `odoo import`, or `stock create`\n");
    return e;
}

// What this folder knows and Odoo will not hear of.
static void letter_take(struct again_book *b, const Letter *l)
{
    int sign = strcmp(l->kind, flush_kind_name(FLUSH_SALE)) == 0 ? 1
               : strcmp(l->kind, flush_kind_name(FLUSH_RESTOCK)) == 0 ||
                       strcmp(l->kind, flush_kind_name(FLUSH_SCRAP)) == 0
                   ? -1
                   : 0;
    uint32_t place = again_place(b, l->location);
    if (!sign || place == AGAIN_NONE ||
        zone_day(b->places[place].zone, (uint64_t)l->since_ms) < b->since)
        return;
    b->cells[again_cell(b, l->sku, l->location, true)].here += sign * l->quantity;
}

static enum ctl_exit letters_read(struct ctl *c, struct again_book *b)
{
    Holdfast__V1__ListDeadLettersRequest request = HOLDFAST__V1__LIST_DEAD_LETTERS_REQUEST__INIT;
    request.page_size = PAGE_SIZE;
    do {
        Holdfast__V1__ListDeadLettersResponse *r =
            ctl_call(c, ERP_SERVICE, "ListDeadLetters", &request);
        if (!r)
            return ctl_failed(c);
        for (size_t i = 0; i < r->n_letters; i++)
            letter_take(b, r->letters[i]);
        request.after = r->next;
        ctl_free(r);
    } while (request.after);
    return CTL_OK;
}

static enum ctl_exit discards_read(struct ctl *c, struct again_book *b)
{
    Holdfast__V1__ListDiscardsRequest request = HOLDFAST__V1__LIST_DISCARDS_REQUEST__INIT;
    request.page_size = PAGE_SIZE;
    do {
        Holdfast__V1__ListDiscardsResponse *r = ctl_call(c, ERP_SERVICE, "ListDiscards", &request);
        if (!r)
            return ctl_failed(c);
        for (size_t i = 0; i < r->n_discards; i++)
            if (r->discards[i]->letter)
                letter_take(b, r->discards[i]->letter);
        request.from = r->next;
        ctl_free(r);
    } while (request.from);
    return CTL_OK;
}

struct asking {
    struct ctl *c;
    struct again_book *b;
    struct progress progress;
    size_t asked;
};

static void known_add(const struct asking *k, const struct again_order *o, struct again_line *lines,
                      const Holdfast__V1__TraceMovement *m)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct again_cell *cell = &k->b->cells[lines[i].cell];
        if (strcmp(cell->sku, m->sku) == 0 && strcmp(cell->location, m->location) == 0)
            lines[i].known +=
                strcmp(m->kind, flush_kind_name(FLUSH_SALE)) == 0 ? m->quantity : -m->quantity;
    }
}

static enum ctl_exit order_known(void *ctx, const struct again_order *o, struct again_line *lines)
{
    struct asking *k = ctx;
    Holdfast__V1__TraceRequest request = HOLDFAST__V1__TRACE_REQUEST__INIT;
    request.reference = (char *)(uintptr_t)o->reference;
    Holdfast__V1__TraceResponse *r = ctl_call(k->c, ERP_SERVICE, "Trace", &request);
    progress_tell(&k->progress, ++k->asked, 0, false);
    if (!r)
        return k->c->status.code == RPC_NOT_FOUND ? CTL_OK : ctl_failed(k->c);
    for (size_t i = 0; i < r->n_reservations; i++)
        for (size_t n = 0; n < r->reservations[i]->n_records; n++) {
            const Holdfast__V1__TraceRecord *record = r->reservations[i]->records[n];
            for (size_t m = 0; m < record->n_movements; m++)
                known_add(k, o, lines, record->movements[m]);
        }
    for (size_t i = 0; i < o->count && r->cut; i++) // of which some is known, nobody tells how much
        lines[i].known = lines[i].net;
    ctl_free(r);
    return CTL_OK;
}

// ------------------------------------------------------------------------------- the comparison

static bool since_read(struct ctl *c, int32_t *since)
{
    struct tm day = {0};
    const char *text = c->option[OPT_SINCE], *end = text ? strptime(text, "%Y-%m-%d", &day) : "";
    *since = AGAIN_SINCE_OLDEST;
    if (!end || *end) {
        ctl_usage(c, "--since must be a day such as 2026-11-26, not %s", text);
        return false;
    }
    if (text)
        *since = (int32_t)(timegm(&day) / DAY_S);
    return true;
}

static enum ctl_exit shop_read(struct ctl *c, struct again_book *b, int32_t since)
{
    enum ctl_exit e = scales_read(c, b, 0, true);
    if (e == CTL_OK && !again_read_quantities(c, b))
        e = CTL_USAGE;
    const struct again_row *much = e == CTL_OK ? again_sum(b, since) : NULL;
    if (!much)
        return e;
    csv_file_bad(c, &b->csv, much->line, "quantity", "sums up to more than can be counted");
    return CTL_USAGE;
}

static enum ctl_exit odoo_read(struct ctl *c, struct again_book *b,
                               const struct again_engines *engines)
{
    struct ctl_odoo odoo = {0};
    enum ctl_exit e = ctl_odoo_open(c, &odoo);
    if (e == CTL_OK)
        e = again_odoo_read(c, &odoo, b, engines);
    ctl_odoo_close(&odoo);
    return e;
}

// Everything that was sold, posted and given up, each cell whole.
static enum ctl_exit compare(struct ctl *c, struct again_book *b,
                             const struct again_engines *engines, int32_t since)
{
    uint64_t before = 0, after = 0;
    enum ctl_exit e = at_rest(c, &before);
    e = e == CTL_OK ? shop_read(c, b, since) : e;
    uint32_t of_file = b->cell_count;
    e = e == CTL_OK ? odoo_read(c, b, engines) : e;
    e = e == CTL_OK ? letters_read(c, b) : e;
    e = e == CTL_OK ? discards_read(c, b) : e;
    e = e == CTL_OK ? at_rest(c, &after) : e;
    if (e == CTL_OK && before != after) {
        ctl_usage(c, "posting was not at rest: something was sold meanwhile; again in a moment");
        e = CTL_BUSY;
    }
    e = e == CTL_OK ? scales_read(c, b, of_file, false) : e;
    for (uint32_t i = 0; i < b->cell_count; i++)
        again_odoo_sum(&b->cells[i]);
    return e;
}

static enum ctl_exit choose(struct ctl *c, struct again_book *b)
{
    struct asking k = {.c = c, .b = b};
    progress_begin(&k.progress, c, "orders looked up", 0);
    enum ctl_exit e = again_choose(b, order_known, &k);
    if (k.asked)
        progress_tell(&k.progress, k.asked, 0, true);
    return e;
}

// ------------------------------------------------------------------------------- the command

static void state_path(const struct ctl *c, char path[PATH_BYTES])
{
    const char *given = c->option[OPT_STATE_FILE], *file = c->argv[0];
    path[0] = 0;
    if (given)
        snprintf(path, PATH_BYTES, "%s", given);
    else if (strcmp(file, "-") != 0)
        snprintf(path, PATH_BYTES, "%s.tell-again-state", file);
}

static enum ctl_exit resume(struct ctl *c, const char *path)
{
    struct again_plan plan = {0};
    if (!*path)
        return ctl_usage(c, "--resume of standard input needs --state-file");
    if (c->option[OPT_DRY_RUN])
        return ctl_usage(c, "--resume tells what the state file has: it takes no --dry-run");
    enum ctl_exit e =
        again_plan_read(c, path, &plan) ? again_tell(c, NULL, &plan, path) : CTL_USAGE;
    again_plan_fini(&plan);
    return e;
}

static enum ctl_exit tell(struct ctl *c, const struct again_book *b, const char *path)
{
    struct hf_uuid run;
    struct again_plan plan;
    if (!ctl_new_id(c, &run))
        return CTL_FAILED;
    again_plan_make(b, run, &plan);
    bool any = json_array_size(plan.orders) > 0 && !c->option[OPT_DRY_RUN];
    enum ctl_exit e = CTL_OK;
    if (!c->json)
        again_show(c, b, &plan);
    if (any && *path && !again_plan_write(c, path, &plan))
        e = CTL_FAILED;
    if (e == CTL_OK)
        e = again_tell(c, b, &plan, path);
    again_plan_fini(&plan);
    return e;
}

static enum ctl_exit compare_and_tell(struct ctl *c, struct again_book *b, const char *path)
{
    struct again_engines engines = {0};
    int32_t since;
    enum ctl_exit e = since_read(c, &since) && again_engines_read(c, &engines) ? CTL_OK : CTL_USAGE;
    e = e == CTL_OK ? again_read(c, c->argv[0], b) : e;
    if (e == CTL_OK && b->row_count == 0 && since == AGAIN_SINCE_OLDEST)
        e = ctl_usage(c, "%s has no row that tells since when: --since", c->argv[0]);
    e = e == CTL_OK ? compare(c, b, &engines, since) : e;
    if (b->csv.bad > 0)
        fprintf(c->io.err, "%zu error%s; nothing was sent\n", b->csv.bad,
                b->csv.bad == 1 ? "" : "s");
    e = e == CTL_OK ? choose(c, b) : e;
    e = e == CTL_OK ? tell(c, b, path) : e;
    again_engines_fini(&engines);
    return e;
}

static enum ctl_exit run(struct ctl *c, struct again_place *places, uint32_t count)
{
    char path[PATH_BYTES];
    struct again_book b;
    state_path(c, path);
    if (c->option[OPT_RESUME])
        return resume(c, path);
    if (!c->option[OPT_DRY_RUN] && *path && access(path, F_OK) == 0)
        return ctl_usage(c,
                         "%s tells of orders that were not all told: --resume goes on with them; "
                         "delete the file to compare anew",
                         path);
    again_init(&b, places, count);
    enum ctl_exit e = compare_and_tell(c, &b, path);
    again_fini(&b);
    return e;
}

static enum ctl_exit places_make(struct ctl *c, const struct flush_location *l,
                                 struct again_place *places, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *zone = l[i].zone ? l[i].zone : "UTC";
        places[i] = (struct again_place){.location = &l[i], .zone = zone_create(zone)};
        if (!places[i].zone)
            return ctl_usage(c, "--odoo-locations: there is no time zone %s", zone);
    }
    return CTL_OK;
}

enum ctl_exit ctl_odoo_tell_again(struct ctl *c)
{
    struct flush_location *locations = ctl_alloc(FLUSH_LOCATIONS_MAX * sizeof *locations);
    struct again_place *places = ctl_alloc(FLUSH_LOCATIONS_MAX * sizeof *places);
    const char *given = c->option[OPT_ODOO_LOCATIONS] ? c->option[OPT_ODOO_LOCATIONS] : "";
    uint32_t count = 0;
    char *text = ctl_alloc(strlen(given) + 1);
    memcpy(text, given, strlen(given) + 1);
    const char *wrong = c->option[OPT_RESUME] ? NULL
                        : *given              ? flush_locations_parse(text, locations, &count)
                                              : "are needed";
    enum ctl_exit e = wrong ? ctl_usage(c, "--odoo-locations: %s", wrong)
                            : places_make(c, locations, places, count);
    e = e == CTL_OK ? run(c, places, count) : e;
    for (uint32_t i = 0; i < count; i++)
        zone_destroy(places[i].zone);
    free(places);
    free(locations);
    free(text);
    return e;
}
