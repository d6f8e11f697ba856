// odoo reconcile, odoo import: both sides' stock, cell by cell; and, by a person's word, ours set
// right.
#include "ctl/commands.h"

#include "base/hash.h"
#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/table.h"
#include "sys/park.h"

#include "holdfast/v1/erp.pb-c.h"
#include "holdfast/v1/stock_admin.pb-c.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE       (&holdfast__v1__erp_service__descriptor)
#define ADMIN_SERVICE (&holdfast__v1__stock_admin_service__descriptor)
#define PAGE_SIZE     1000
#define LOOK_MS       200
#define REASON_BYTES  64

typedef Holdfast__V1__ReconciledCell Cell;
typedef Holdfast__V1__GetReconciliationResponse Page;

struct reconciling {
    struct ctl *c;
    struct table table;
    struct hf_uuid id; // of the whole --fix
    bool fix, import;
    const char *reason;
    uint32_t fixed, told;
    enum ctl_exit exit;
};

static const struct table_column columns[] = {
    {"SKU", false, true},        {"LOCATION", false, true}, {"ODOO", true, false},
    {"ON HAND", true, false},    {"UNPOSTED", true, false}, {"IN FLIGHT", true, false},
    {"BOOKED", true, false},     {"DEAD", true, false},     {"DISCARDED", true, false},
    {"DIFFERENCE", true, false}, {"CAUSE", false, false},   {NULL, false, false}};

static void rest(void)
{
    struct park p = {0};
    uint32_t key = park_prepare(&p);
    park_wait(&p, key, LOOK_MS); // nobody wakes it
}

// A comma, a quote or the end of a line would end a field: it stands in quotes then.
static void csv_text(FILE *out, const char *text)
{
    bool plain = !strpbrk(text, ",\"\r\n") && *text != '=' && *text != '+' && *text != '@';
    if (!plain)
        fputc('"', out);
    for (; *text; text++)
        fprintf(out, *text == '"' ? "\"\"" : "%c", *text);
    if (!plain)
        fputc('"', out);
}

static void cell_tell(struct reconciling *k, const Cell *r)
{
    const struct ctl *c = k->c;
    const int64_t numbers[] = {r->erp,    r->on_hand, r->unposted,  r->in_flight,
                               r->booked, r->dead,    r->discarded, r->difference};
    char text[FORMAT_BYTES];
    k->told++;
    if (c->json) {
        json_print(message_json(&r->base), c->io.out);
        return;
    }
    bool csv = c->option[OPT_CSV] != NULL;
    if (csv) {
        csv_text(c->io.out, r->sku);
        fputc(',', c->io.out);
        csv_text(c->io.out, r->location);
    } else {
        table_add(&k->table, r->sku);
        table_add(&k->table, r->location);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const char *q = format_quantity(numbers[i], c->raw ? 0 : r->unit_scale, text);
        if (i == 0 && *r->erp_exact && !c->raw)
            q = r->erp_exact; // which no number of units tells
        if (csv)
            fprintf(c->io.out, ",%s", q);
        else
            table_add(&k->table, q);
    }
    if (csv)
        fprintf(c->io.out, ",%s\n", r->cause);
    else
        table_add(&k->table, r->cause);
}

// One operation of a cell, the same each time that the whole is repeated.
static void operation_of(struct hf_uuid whole, const Cell *r, char text[HF_UUID_TEXT_BYTES])
{
    uint64_t hi = hf_hash(r->sku, strlen(r->sku), whole.lo);
    uint64_t lo = hf_hash(r->location, strlen(r->location), hi ^ (uint64_t)r->difference);
    hf_uuid_format(hf_uuid_v7(hf_uuid_ms(whole), hi, lo), text);
}

static bool cell_fix(struct reconciling *k, const Cell *r)
{
    struct ctl *c = k->c;
    Holdfast__V1__AdjustStockRequest request = HOLDFAST__V1__ADJUST_STOCK_REQUEST__INIT;
    char id[HF_UUID_TEXT_BYTES], reason[REASON_BYTES + 1];
    operation_of(k->id, r, id);
    snprintf(reason, sizeof reason, "odoo:%s %s: %s", k->import ? "import" : "fix", ctl_actor(c),
             k->reason);
    request.operation_id = id;
    request.sku = r->sku;
    request.location = r->location;
    request.difference = r->difference;
    request.reason = reason;
    Holdfast__V1__AdjustStockResponse *reply = ctl_call(c, ADMIN_SERVICE, "AdjustStock", &request);
    if (!reply) {
        k->exit = ctl_failed(c);
        return false;
    }
    k->fixed++;
    ctl_free(reply);
    return true;
}

static bool page_take(struct reconciling *k, const Page *page)
{
    const struct ctl *c = k->c;
    for (size_t i = 0; i < page->n_rows; i++) {
        const Cell *r = page->rows[i];
        bool differs = strcmp(r->cause, "DIFFERENCE") == 0 || strcmp(r->cause, "ABSENT") == 0;
        if (differs || *r->erp_exact || c->option[OPT_ALL] ||
            (!k->fix && strcmp(r->cause, "AGREES") != 0))
            cell_tell(k, r);
        if (differs && k->fix && !c->option[OPT_DRY_RUN] && !cell_fix(k, r))
            return false;
    }
    return true;
}

// Why a comparison came to nothing, in the words of what stands between the server and Odoo.
static enum ctl_exit failure_tell(struct ctl *c)
{
    Holdfast__V1__GetPostingStatusRequest request = HOLDFAST__V1__GET_POSTING_STATUS_REQUEST__INIT;
    Holdfast__V1__GetPostingStatusResponse *r = ctl_call(c, SERVICE, "GetPostingStatus", &request);
    if (!r)
        return ctl_failed(c);
    bool away = strcmp(r->pause, "NONE") == 0 || strcmp(r->pause, "ODOO_AWAY") == 0;
    if (away)
        ctl_usage(c,
                  "the comparison failed: Odoo did not answer, or not as asked; the server's log "
                  "has its words");
    else
        ctl_usage(c,
                  "the comparison failed: %s: %s; `odoo check` tells which, the server's log "
                  "has Odoo's words",
                  r->pause, r->pause_help);
    ctl_free(r);
    return away ? CTL_UNREACHED : CTL_FAILED;
}

// The page from `from` on of a run after `last`; NULL: told.
static Page *page_get(struct reconciling *k, uint32_t from, uint64_t last)
{
    Holdfast__V1__GetReconciliationRequest request = HOLDFAST__V1__GET_RECONCILIATION_REQUEST__INIT;
    request.from = from;
    request.page_size = PAGE_SIZE;
    for (;;) {
        Page *page = ctl_call(k->c, SERVICE, "GetReconciliation", &request);
        if (!page) {
            k->exit = ctl_failed(k->c);
            return NULL;
        }
        if (page->run > last)
            return page;
        bool over = page->failed && !page->running;
        ctl_free(page);
        if (over) {
            k->exit = failure_tell(k->c);
            return NULL;
        }
        rest();
    }
}

static void sum_tell(struct reconciling *k, const Page *page)
{
    const struct ctl *c = k->c;
    if (c->json || c->option[OPT_CSV])
        return;
    table_print(&k->table, c->io.out, c->io.columns_max);
    fprintf(c->io.out, "%" PRIu32 " cells, %" PRIu32 " differ, %" PRIu32 " moved all the while\n",
            page->cells, page->differing, page->moving);
    if (page->fractions)
        fprintf(c->io.out,
                "%" PRIu32 " are no whole number of smallest units in Odoo: what is above them is "
                "not for sale\n",
                page->fractions);
    if (k->import)
        fprintf(c->io.out,
                "%" PRIu32 " cells were missing, %" PRIu32 " made; not made: %" PRIu32
                " without a code of their own, %" PRIu32 " tracked, %" PRIu32 " refused\n",
                page->missing, page->made, page->nameless, page->tracked, page->refused);
    if (k->fix)
        fprintf(c->io.out, "%" PRIu32 " set right%s\n", k->fixed,
                c->option[OPT_DRY_RUN] ? " (dry run)" : "");
}

static void pages_take(struct reconciling *k, uint64_t last)
{
    uint32_t from = 0;
    uint64_t run = 0;
    if (k->c->option[OPT_CSV])
        fprintf(k->c->io.out, "sku,location,odoo,on_hand,unposted,in_flight,booked,dead,"
                              "discarded,difference,cause\n");
    do {
        Page *page = page_get(k, from, last);
        if (!page)
            return;
        if (run && page->run != run) { // a scheduled one came in between
            ctl_usage(k->c, "another comparison came to its end meanwhile: run it again");
            k->exit = CTL_BUSY;
        } else if (page_take(k, page)) {
            from = page->next;
            if (from == 0) {
                sum_tell(k, page);
                k->exit = page->differing && !k->fixed ? CTL_REFUSED : CTL_OK;
            }
        } else {
            from = 0;
        }
        run = page->run;
        ctl_free(page);
    } while (from && k->exit != CTL_BUSY);
}

static bool fix_asked(struct reconciling *k)
{
    struct ctl *c = k->c;
    char id[HF_UUID_TEXT_BYTES];
    k->fix = k->import || c->option[OPT_FIX];
    k->reason = c->option[OPT_REASON] ? c->option[OPT_REASON] : k->import ? "import" : "";
    if (!k->fix || c->option[OPT_DRY_RUN]) // nothing is changed, so that nobody needs to answer
        return true;
    if (!*k->reason || !*ctl_actor(c)) {
        ctl_usage(c, "it needs %s",
                  *ctl_actor(c) ? "--reason"
                  : *k->reason  ? "--actor"
                                : "--reason and --actor");
        return false;
    }
    return ctl_id(c, OPT_OPERATION_ID, "operation_id", id) && hf_uuid_parse(id, &k->id);
}

static enum ctl_exit reconcile(struct ctl *c, bool import)
{
    struct reconciling k = {.c = c, .import = import, .exit = CTL_USAGE};
    Holdfast__V1__StartReconciliationRequest request =
        HOLDFAST__V1__START_RECONCILIATION_REQUEST__INIT;
    uint64_t scale = 0;
    if (!fix_asked(&k) || !ctl_number(c, OPT_UNIT_SCALE, 0, 6, &scale))
        return CTL_USAGE;
    request.import = import;
    request.dry_run = c->option[OPT_DRY_RUN] != NULL;
    request.unit_scale = (uint32_t)scale;
    Holdfast__V1__StartReconciliationResponse *r =
        ctl_call(c, SERVICE, "StartReconciliation", &request);
    if (!r)
        return ctl_failed(c);
    uint64_t last = r->last_run;
    ctl_free(r);
    table_init(&k.table, columns);
    pages_take(&k, last);
    table_fini(&k.table);
    return k.exit;
}

enum ctl_exit ctl_odoo_reconcile(struct ctl *c)
{
    return reconcile(c, false);
}

enum ctl_exit ctl_odoo_import(struct ctl *c)
{
    return reconcile(c, true);
}
