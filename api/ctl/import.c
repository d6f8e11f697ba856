#include "ctl/import.h"

#include "ctl/cells.h"
#include "ctl/commands.h"
#include "ctl/format.h"
#include "ctl/message_json.h"
#include "ctl/progress.h"

#include "holdfast/v1/stock_admin.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SERVICE        (&holdfast__v1__stock_admin_service__descriptor)
#define BATCH_MAX      1000
#define BATCH_DEFAULT  500
#define AGAIN_MAX      10 // tries of a row that the server was too busy for
#define AGAIN_FIRST_MS 100
#define PATH_BYTES     4096

struct import {
    struct ctl *c;
    struct import_file file;
    struct import_state state;
    char state_path[PATH_BYTES]; // empty: none is kept
    uint64_t batch;
    size_t begin, next; // rows: where this run began; those before `next` were sent
    size_t done, failed;
    size_t too_old, in_future; // of the failed: further rows would be refused like them
    struct progress progress;
    json_t *errors; // for --json
};

// One batch on its way.
struct batch {
    size_t first, count; // rows of the file
    Holdfast__V1__ImportStockRow rows[BATCH_MAX], *list[BATCH_MAX];
    Holdfast__V1__OptionalQuantity values[BATCH_MAX][IMPORT_VALUES];
    char ids[BATCH_MAX][HF_UUID_TEXT_BYTES];
    size_t index[BATCH_MAX]; // of the file's row, for each row still to be sent
    size_t open;
};

static void tell_row(struct import *m, const struct import_row *r, const Holdfast__V1__Error *error)
{
    struct ctl *c = m->c;
    char what[128], clean[128], message[300];
    snprintf(what, sizeof what, "%s@%s", r->sku, r->location);
    format_clean(what, clean, sizeof clean);
    format_clean(error->message, message, sizeof message);
    if (c->json) {
        json_array_append_new(m->errors,
                              json_pack("{s:I,s:s,s:s,s:s,s:s,s:s}", "line", (json_int_t)r->line,
                                        "sku", r->sku, "location", r->location, "code",
                                        rpc_code_name(error->code), "reason", error->reason,
                                        "message", error->message));
        return;
    }
    fprintf(c->io.err, "%s%s:%" PRIu64 ": %s: %s%s%s: %s\n", c->io.progress ? "\r\x1b[K" : "",
            m->file.csv.path, r->line, clean, rpc_code_name(error->code), *error->reason ? " " : "",
            error->reason, message);
}

// ------------------------------------------------------------------------------------ sending

static void fill_row(struct import *m, struct batch *b, size_t at, size_t row)
{
    const struct import_row *from = &m->file.rows[row];
    Holdfast__V1__ImportStockRow *to = &b->rows[at];
    *to = (Holdfast__V1__ImportStockRow)HOLDFAST__V1__IMPORT_STOCK_ROW__INIT;
    hf_uuid_format(import_operation(m->state.id, from->sku, from->location), b->ids[at]);
    to->operation_id = b->ids[at];
    to->sku = (char *)from->sku;
    to->location = (char *)from->location;
    to->unit_scale = from->unit_scale;
    Holdfast__V1__OptionalQuantity **fields[IMPORT_VALUES] = {&to->on_hand, &to->safety_stock,
                                                              &to->backorder_limit};
    for (size_t i = 0; i < IMPORT_VALUES; i++) {
        b->values[at][i] = (Holdfast__V1__OptionalQuantity)HOLDFAST__V1__OPTIONAL_QUANTITY__INIT;
        b->values[at][i].value = from->values[i];
        *fields[i] = from->given[i] ? &b->values[at][i] : NULL;
    }
    b->list[at] = to;
    b->index[at] = row;
}

// Counts the results; rows that may be sent again stay open. *wait_ms: what the server asks for.
static void take_results(struct import *m, struct batch *b,
                         const Holdfast__V1__ImportStockResponse *reply, bool last,
                         uint32_t *wait_ms)
{
    size_t open = 0;
    static const Holdfast__V1__Error missing = {
        PROTOBUF_C_MESSAGE_INIT(&holdfast__v1__error__descriptor),
        RPC_INTERNAL,
        (char *)"",
        (char *)"",
        (char *)"the server told no result for this row",
        0};
    for (size_t i = 0; i < b->open; i++) {
        const Holdfast__V1__Error *error =
            i < reply->n_results ? reply->results[i]->error : &missing;
        struct import_row *row = &m->file.rows[b->index[i]];
        if (!error) {
            row->done = true;
            m->done++;
        } else if (client_code_again(error->code) && !last) {
            *wait_ms = error->retry_after_ms > *wait_ms ? error->retry_after_ms : *wait_ms;
            fill_row(m, b, open++, b->index[i]);
        } else {
            m->failed++;
            m->too_old += strcmp(error->reason, "ID_TOO_OLD") == 0;
            m->in_future += strcmp(error->reason, "ID_IN_FUTURE") == 0;
            tell_row(m, row, error);
        }
    }
    b->open = open;
}

// What a row without a scale is measured in: its cell's, where there is one. Rows that don't fit it
// are told and are not sent; b->open are the others.
static enum ctl_exit scales_find(struct import *m, struct batch *b)
{
    const char *skus[BATCH_MAX], *locations[BATCH_MAX];
    struct scales_wanted wanted = {skus, locations, 0, true};
    struct scales scales = {0};
    for (size_t i = 0; i < b->count; i++) {
        const struct import_row *r = &m->file.rows[b->first + i];
        if (r->scale_given)
            continue;
        skus[wanted.count] = r->sku;
        locations[wanted.count++] = r->location;
    }
    enum ctl_exit e = scales_fetch(m->c, &scales, &wanted, false);
    for (size_t i = 0; i < b->count && e == CTL_OK; i++) {
        struct import_row *r = &m->file.rows[b->first + i];
        const char *which, *why;
        if (r->scale_given || import_row_scale(r, scales_get(&scales, r->sku, r->location),
                                               m->c->raw, &which, &why)) {
            fill_row(m, b, b->open++, b->first + i);
            continue;
        }
        char message[200];
        snprintf(message, sizeof message, "%s %s", which, why);
        Holdfast__V1__Error error = HOLDFAST__V1__ERROR__INIT;
        error.code = RPC_INVALID_ARGUMENT;
        error.message = message;
        m->failed++;
        tell_row(m, r, &error);
    }
    scales_fini(&scales);
    return e;
}

// CTL_OK: every row has its result. The rest is the whole import's.
static enum ctl_exit send_batch(struct import *m, struct batch *b)
{
    Holdfast__V1__ImportStockRequest request = HOLDFAST__V1__IMPORT_STOCK_REQUEST__INIT;
    request.reason = m->state.reason;
    request.rows = b->list;
    b->open = 0;
    enum ctl_exit e = scales_find(m, b);
    if (e != CTL_OK)
        return e;
    for (uint32_t tries = 1; b->open > 0; tries++) {
        request.n_rows = b->open;
        Holdfast__V1__ImportStockResponse *reply = ctl_call(m->c, SERVICE, "ImportStock", &request);
        if (!reply)
            return ctl_failed(m->c);
        uint32_t wait_ms = AGAIN_FIRST_MS * tries;
        take_results(m, b, reply, tries == AGAIN_MAX, &wait_ms);
        ctl_free(reply);
        if (b->open > 0)
            client_pause(wait_ms);
    }
    return CTL_OK;
}

// Rows that are done without a gap since the beginning need not be sent by a resumption.
static bool keep_state(struct import *m)
{
    while (m->state.next_row < m->file.count && m->file.rows[m->state.next_row].done)
        m->state.next_row++;
    return !m->state_path[0] || import_state_write(m->c, m->state_path, &m->state);
}

static enum ctl_exit send_all(struct import *m)
{
    struct batch *b = ctl_alloc(sizeof *b);
    enum ctl_exit e = CTL_OK;
    progress_begin(&m->progress, m->c, "rows", m->begin);
    bool outside = false; // of the id window
    while (m->next < m->file.count && e == CTL_OK && !outside) {
        b->first = m->next;
        b->count = m->file.count - m->next < m->batch ? m->file.count - m->next : m->batch;
        e = send_batch(m, b);
        if (e == CTL_OK)
            m->next += b->count;
        if (!keep_state(m) && e == CTL_OK)
            e = CTL_FAILED;
        outside = m->too_old + m->in_future > 0;
        progress_tell(&m->progress, m->next, m->file.count,
                      e != CTL_OK || m->next == m->file.count || outside);
    }
    free(b);
    return e;
}

// ------------------------------------------------------------------------------------ which one

static void state_path(struct import *m)
{
    const char *given = m->c->option[OPT_STATE_FILE];
    if (given)
        snprintf(m->state_path, sizeof m->state_path, "%s", given);
    else if (strcmp(m->file.csv.path, "-") != 0)
        snprintf(m->state_path, sizeof m->state_path, "%s.import-state", m->file.csv.path);
}

static enum ctl_exit resume(struct import *m)
{
    struct ctl *c = m->c;
    if (c->option[OPT_IMPORT_ID] || c->option[OPT_REASON])
        return ctl_usage(c, "--resume takes id and reason from the state file");
    if (!m->state_path[0])
        return ctl_usage(c, "--resume of standard input needs --state-file");
    if (!import_state_read(c, m->state_path, &m->state))
        return CTL_USAGE;
    if (m->state.raw != c->raw)
        return ctl_usage(c, "the import was begun %s --raw", m->state.raw ? "with" : "without");
    if (m->state.file_hash != m->file.csv.hash) {
        fprintf(c->io.err, "the file has changed: every row is sent; those that are done stay\n");
        m->state.next_row = 0;
    }
    m->next = m->state.next_row < m->file.count ? m->state.next_row : m->file.count;
    return CTL_OK;
}

static enum ctl_exit begin_new(struct import *m)
{
    struct ctl *c = m->c;
    const char *id = c->option[OPT_IMPORT_ID], *reason = c->option[OPT_REASON];
    uint64_t from_line = 0;
    if (!ctl_number(c, OPT_FROM_LINE, 1, UINT64_MAX, &from_line))
        return CTL_USAGE;
    if (from_line && !id)
        return ctl_usage(c, "--from-line belongs to --import-id");
    if (!id && m->state_path[0] && access(m->state_path, F_OK) == 0)
        return ctl_usage(c,
                         "%s tells of an import that has not ended: --resume goes on with it; "
                         "delete the file to begin anew",
                         m->state_path);
    if (id ? !hf_uuid_parse(id, &m->state.id) || hf_uuid_version(m->state.id) != 7
           : !ctl_new_id(c, &m->state.id))
        return ctl_usage(c, "an import's id is a UUID of version 7");
    if (snprintf(m->state.reason, sizeof m->state.reason, "%s", reason ? reason : "import") >=
        (int)sizeof m->state.reason)
        return ctl_usage(c, "--reason has at most 64 bytes");
    m->state.raw = c->raw;
    while (m->next < m->file.count && m->file.rows[m->next].line < from_line)
        m->next++;
    return CTL_OK;
}

static enum ctl_exit choose(struct import *m)
{
    struct ctl *c = m->c;
    state_path(m);
    enum ctl_exit e = c->option[OPT_RESUME] ? resume(m) : begin_new(m);
    if (e != CTL_OK)
        return e;
    m->begin = m->next;
    m->state.file_hash = m->file.csv.hash;
    m->state.next_row = m->next;
    for (size_t i = 0; i < m->next; i++)
        m->file.rows[i].done = true;
    char id[HF_UUID_TEXT_BYTES], time[FORMAT_BYTES];
    hf_uuid_format(m->state.id, id);
    fprintf(c->io.err, "import_id %s (begun %s)\n", id,
            format_time((int64_t)hf_uuid_ms(m->state.id), time));
    fflush(c->io.err); // before anything is sent
    return keep_state(m) ? CTL_OK : CTL_FAILED;
}

// ------------------------------------------------------------------------------------ the end

static void explain(struct import *m, size_t unsent)
{
    FILE *err = m->c->io.err;
    char id[HF_UUID_TEXT_BYTES], time[FORMAT_BYTES];
    hf_uuid_format(m->state.id, id);
    if (m->too_old > 0) {
        fprintf(
            err,
            "The import was begun %s, before the server's id window. What it sent long ago\n"
            "can no longer be told from what it never sent, so the server does nothing for the\n"
            "rows named above and those after them; rows done before stay done. Compare with\n"
            "`holdfastctl stock list` and import what is missing as a new import%s%s.\n",
            format_time((int64_t)hf_uuid_ms(m->state.id), time),
            m->state_path[0] ? ", after deleting\n" : "", m->state_path);
    } else if (m->in_future > 0) {
        fprintf(err,
                "The import was begun %s by this machine's clock, which the server's clock has\n"
                "not reached yet: compare the clocks, then begin anew%s%s.\n",
                format_time((int64_t)hf_uuid_ms(m->state.id), time),
                m->state_path[0] ? ", after deleting " : "", m->state_path);
    } else if (m->failed > 0 || unsent > 0) {
        fprintf(err, "to go on: holdfastctl stock import %s %s%s%s\n", m->file.csv.path,
                m->state_path[0] ? "--resume" : "--import-id ", m->state_path[0] ? "" : id,
                m->failed > 0 ? " (mended rows count, rows that are done stay)" : "");
    }
}

static enum ctl_exit finish(struct import *m, enum ctl_exit e)
{
    struct ctl *c = m->c;
    size_t sent = m->done + m->failed, unsent = m->file.count - m->begin - sent;
    if (e == CTL_OK && (m->failed > 0 || unsent > 0 || m->file.csv.bad > 0))
        e = CTL_PARTLY;
    if (e == CTL_OK && m->state_path[0] && unlink(m->state_path) != 0 && errno != ENOENT)
        (void)ctl_usage(c, "%s cannot be deleted: %m", m->state_path);
    if (c->json) {
        char id[HF_UUID_TEXT_BYTES];
        hf_uuid_format(m->state.id, id);
        json_print(json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:O}", "import_id", id, "rows",
                             (json_int_t)m->file.count, "skipped", (json_int_t)m->begin, "done",
                             (json_int_t)m->done, "failed", (json_int_t)m->failed, "unsent",
                             (json_int_t)unsent, "bad", (json_int_t)m->file.csv.bad, "errors",
                             m->errors),
                   c->io.out);
        return e;
    }
    fprintf(c->io.out, "%zu rows: %zu done", m->file.count, m->done);
    if (m->begin > 0)
        fprintf(c->io.out, ", %zu done before", m->begin);
    fprintf(c->io.out, ", %zu failed, %zu not sent", m->failed, unsent);
    if (m->file.csv.bad > 0)
        fprintf(c->io.out, ", %zu bad ones skipped", m->file.csv.bad);
    fputc('\n', c->io.out);
    explain(m, unsent);
    return e;
}

static enum ctl_exit run(struct import *m)
{
    struct ctl *c = m->c;
    enum ctl_exit e = import_read(c, c->argv[0], &m->file);
    if (m->file.csv.bad > 0)
        fprintf(c->io.err, "%zu error%s\n", m->file.csv.bad, m->file.csv.bad == 1 ? "" : "s");
    if (e != CTL_OK)
        return e;
    if (m->file.csv.bad > 0 && !c->option[OPT_SKIP_BAD] && !c->option[OPT_DRY_RUN])
        return ctl_usage(c, "nothing was sent; --skip-bad imports the %zu good rows",
                         m->file.count);
    if (c->option[OPT_DRY_RUN]) {
        fprintf(c->io.out, "%zu good rows, %zu errors; nothing was sent\n", m->file.count,
                m->file.csv.bad);
        return m->file.csv.bad > 0 ? CTL_USAGE : CTL_OK;
    }
    e = choose(m);
    return e == CTL_OK ? finish(m, send_all(m)) : e;
}

enum ctl_exit ctl_stock_import(struct ctl *c)
{
    struct import m = {.c = c, .batch = BATCH_DEFAULT, .errors = json_array()};
    enum ctl_exit e = ctl_number(c, OPT_BATCH, 1, BATCH_MAX, &m.batch) ? run(&m) : CTL_USAGE;
    import_fini(&m.file);
    json_decref(m.errors);
    return e;
}
