// One batch, posted exactly once.
//
//   SEND -> [VALIDATE ->] LOOKUP -> done: POSTED -> ACK -> ACK_WAIT -> gone
//     ^                     |-- done on another day: DATE, and LOOKUP again
//     ^                     |-- absent: SEND again
//     |                     |-- draft or assigned: VALIDATE; MOVES before it, after a failure
//     |                     |-- doomed: BURN (absent), CANCEL (open), give up (cancelled)
//     +---- a start begins at LOOKUP, and at ACK_FIND when POSTED
//
// Why a movement is posted once:
//  E1 Name and content are durable before the first send (must_save), and Odoo takes a name once
//     per company: of all sends of a batch, however late one commits, one is booked.
//  E2 Nothing is concluded from an error. What happened is read back by name; `origin` holds the
//     content's hash, so another's document of this name stops the flusher.
//     A document that lay in Odoo for a while may have been edited there: before it is validated,
//     or believed to be whole, its lines are read. What was altered and is open is given up.
//  E3 A batch is given up only when its name is used up by a cancelled document: its own, or an
//     empty one that was made to burn it. So a send that still runs cannot commit any more, and
//     its lines may go out under other names. The decision is durable before the name is burned.
//
// Why it is acknowledged once: the acknowledgement's id is durable before it is appended. Within
// the process it is appended once; a start looks for the id in archive and journal before it
// appends (E4). That does not rest on the engine's id window, so months may lie between.
#include "flush/flush_internal.h"

#include "base/log.h"
#include "flush/mirror.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FAILURES_HOLD 3 // calls failed in a row: Odoo is away
#define BUSY_MS       100
#define SPAN_BYTES    56
#define LONE_TRIES    64 // times attempts_max
#define STRANGERS_MAX 3

static void wait_on(struct flush *f, struct flush_batch *b, uint64_t now_ms)
{
    b->retry_at_ms = now_ms + flush_backoff(f, b->waits++);
}

static void why_set(struct flush_batch *b, const char *words)
{
    snprintf(b->why, sizeof b->why, "%s", words);
}

// Odoo does not know something: of every batch, or of this one alone (a product that is gone, a
// field's code that fails on its data). It is this one's when it comes again after a contact that
// went well, and is refused then; but when batch after batch meets it, and none is booked in
// between, it is a person's, and nothing more is given up for it.
static void strange(struct flush *f, struct flush_batch *b, const struct odoo_answer *a,
                    enum flush_refusal refusal, uint64_t now_ms)
{
    f->strangers += b->strange_round != f->strange_round;
    b->strange_round = f->strange_round;
    if (b->strange++ > 0 && f->strangers <= STRANGERS_MAX) {
        b->refusal = refusal;
        return;
    }
    odoo_failed(f, a, now_ms);
    b->waits++;
    // Others come first then: they tell whose it is.
    b->retry_at_ms = now_ms + f->options.retry_max_ms + f->options.retry_ms;
}

// Any answer but the wanted one. What is true is looked up next.
static void failed(struct flush *f, struct flush_batch *b, const struct odoo_answer *a,
                   uint64_t now_ms)
{
    enum flush_batch_step step = b->step;
    bool posting = step == FLUSH_STEP_SEND || step == FLUSH_STEP_VALIDATE;
    bool action = step == FLUSH_STEP_SEND && f->options.action_id && !b->two_calls;
    enum flush_refusal refusal =
        step == FLUSH_STEP_SEND ? FLUSH_REFUSED_MADE : FLUSH_REFUSED_VALIDATED;
    b->step = FLUSH_STEP_LOOKUP;
    b->straight &= !posting;
    why_set(b, a->words);
    switch (a->class) {
    case ODOO_OK: // an answer of another form: a wizard, say
    case ODOO_REFUSED:
        if (posting)
            b->refusal = refusal;
        else
            wait_on(f, b, now_ms);
        break;
    case ODOO_SCHEMA:
    case ODOO_MISSING:
        if (action && (a->class == ODOO_SCHEMA || b->strange)) {
            b->two_calls = true; // an error of the action's code may be of its data: they tell
        } else if (step == FLUSH_STEP_VALIDATE && a->class == ODOO_MISSING) {
            b->attempts++; // deleted meanwhile, or something in it was
            wait_on(f, b, now_ms);
        } else if (posting) {
            strange(f, b, a, refusal, now_ms);
        } else if (a->class == ODOO_SCHEMA || step == FLUSH_STEP_LOOKUP) {
            odoo_failed(f, a, now_ms);
        } else {
            wait_on(f, b, now_ms); // deleted meanwhile
        }
        break;
    case ODOO_RETRY:
        b->attempts += posting;
        wait_on(f, b, now_ms);
        if (++f->failures >= FAILURES_HOLD)
            odoo_failed(f, a, now_ms);
        break;
    default:
        odoo_failed(f, a, now_ms);
    }
}

// ------------------------------------------------------------------------------- calls

static json_t *lines_json(const struct flush *f, const struct flush_batch *b, bool commands)
{
    json_t *list = json_array();
    bool named = f->odoo.version > 0 && f->odoo.version < 19; // there it must, later it may not
    for (uint32_t i = 0; i < b->line_count; i++) {
        const struct flush_line *l = &b->lines[i];
        json_t *q = odoo_quantity(b->back ? -l->quantity : l->quantity, l->scale);
        char span[SPAN_BYTES];
        snprintf(span, sizeof span, "LSN %" PRIu64 "..%" PRIu64, l->first_lsn, l->last_lsn);
        json_t *line =
            commands
                ? json_pack("[i,i,{s:s*,s:I,s:I,s:O,s:o,s:b,s:s,s:I,s:I}]", 0, 0, "name",
                            named ? span : NULL, "product_id", (json_int_t)l->product,
                            "product_uom", (json_int_t)l->uom, "product_uom_qty", q, "quantity", q,
                            "picked", 1, "origin", span, "location_id", (json_int_t)b->source,
                            "location_dest_id", (json_int_t)b->destination)
                : json_pack("[I,I,o,s]", (json_int_t)l->product, (json_int_t)l->uom, q, span);
        list = odoo_append(list, line);
    }
    return list;
}

static json_t *create_args(struct flush *f, const struct flush_batch *b, bool burn)
{
    char name[FLUSH_NAME_BYTES], origin[FLUSH_NAME_BYTES + 8];
    batch_name(f, b->number, name);
    batch_origin(f, b, origin);
    if (burn)
        snprintf(origin, sizeof origin, "%s burned", name);
    return json_pack("{s:[{s:s,s:s,s:I,s:I,s:I,s:o}]}", "vals_list", "name", name, "origin", origin,
                     "picking_type_id", (json_int_t)b->type, "location_id", (json_int_t)b->source,
                     "location_dest_id", (json_int_t)b->destination, "move_ids",
                     burn ? json_array() : lines_json(f, b, true));
}

static void created(struct flush *f, struct flush_batch *b, struct odoo_answer *a, uint64_t now_ms)
{
    bool burn = b->step == FLUSH_STEP_BURN;
    json_int_t id = json_integer_value(json_array_get(a->result, 0));
    if (a->class == ODOO_OK && id > 0 && id <= INT32_MAX) {
        b->picking = (uint32_t)id;
        b->waits = 0;
        b->straight = true;
        b->step = burn ? FLUSH_STEP_LOOKUP : FLUSH_STEP_VALIDATE;
    } else {
        if (a->class == ODOO_OK) // no Odoo: a page that says nothing
            a->class = ODOO_RETRY;
        failed(f, b, a, now_ms);
    }
}

static void posted(struct flush *f, struct flush_batch *b, uint64_t now_ms)
{
    struct hf_uuid op_id =
        b->kind == FLUSH_SALE ? flush_op_id(f, b->number, now_ms) : (struct hf_uuid){0, 0};
    if (!history_note(f, b, op_id, now_ms)) { // it stays booked in Odoo, and is read back again
        b->step = FLUSH_STEP_LOOKUP;
        wait_on(f, b, now_ms);
        return;
    }
    f->guard_id = b->picking > f->guard_id ? b->picking : f->guard_id;
    f->strange_round++;
    f->strangers = 0;
    flush_count(&f->metrics.batches_posted, 1);
    flush_count(&f->metrics.lines_posted, b->line_count);
    if (b->kind == FLUSH_SALE) { // the others have moved on hand already
        f->claims_stale = true;
        b->state = FLUSH_POSTED;
        b->op_id = op_id;
        b->step = FLUSH_STEP_ACK;
        f->must_save = true; // E4
        return;
    }
    batch_remove(f, b);
    f->stale = true;
}

// ------------------------------------------------------------------------------- its day

// When its oldest movement was made: a moment of the batch's accounting day.
static uint64_t made_ms(const struct flush_batch *b)
{
    uint64_t oldest = b->lines[0].since_ms;
    for (uint32_t i = 1; i < b->line_count; i++)
        if (b->lines[i].since_ms < oldest)
            oldest = b->lines[i].since_ms;
    return oldest;
}

// By the zone of now. The day that stands in its lines may be of another: they were made before the
// location had this zone, or any, and no moment need be on that day here.
static bool on_its_day(const struct flush *f, const struct flush_batch *b, uint64_t ms)
{
    const struct flush_place *p = place_of(f, b->lines[0].handle);
    return !b->lines[0].day || place_day(p, ms) == place_day(p, made_ms(b));
}

// Done in Odoo, at `ms`, 0: not understood: on its accounting day, or to be dated.
static void done(struct flush *f, struct flush_batch *b, uint64_t ms, uint64_t now_ms)
{
    if (ms && on_its_day(f, b, ms))
        posted(f, b, now_ms);
    else
        b->step = FLUSH_STEP_DATE;
}

static json_t *date_args(const struct flush_batch *b)
{
    char date[ODOO_TIME_BYTES];
    return json_pack("{s:[I],s:{s:s}}", "ids", (json_int_t)b->picking, "vals", "date_done",
                     odoo_time_format(made_ms(b), date));
}

static void date_set(struct flush *f, struct flush_batch *b, const struct odoo_answer *a,
                     uint64_t now_ms)
{
    char name[FLUSH_NAME_BYTES];
    batch_name(f, b->number, name);
    bool again = b->dated++ > 0;
    if (a->class == ODOO_OK && !again) {
        b->step = FLUSH_STEP_LOOKUP;
    } else {
        // It is booked, on a wrong day: a closed period, say. A person's, at the slowest pace.
        hf_log(HF_LOG_ERROR, "flush_date", "batch=%s odoo=\"%s\"", name, a->words);
        if (a->class == ODOO_OK)
            b->step = FLUSH_STEP_LOOKUP;
        else
            failed(f, b, a, now_ms);
        b->retry_at_ms = now_ms + f->options.retry_max_ms;
    }
}

static json_t *action_args(struct flush *f, const struct flush_batch *b, uint64_t now_ms)
{
    char name[FLUSH_NAME_BYTES], origin[FLUSH_NAME_BYTES], date[ODOO_TIME_BYTES];
    batch_name(f, b->number, name);
    batch_origin(f, b, origin);
    return json_pack("{s:[I],s:{s:{s:s,s:s,s:s,s:s*,s:I,s:I,s:I,s:I,s:o}}}", "ids",
                     (json_int_t)f->options.action_id, "context", "hf_batch", "uuid", f->database,
                     "name", name, "origin", origin, "date",
                     on_its_day(f, b, now_ms) ? NULL : odoo_time_format(made_ms(b), date),
                     "company_id", (json_int_t)b->company, "type", (json_int_t)b->type, "src",
                     (json_int_t)b->source, "dst", (json_int_t)b->destination, "lines",
                     lines_json(f, b, false));
}

static void action_ran(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                       uint64_t now_ms)
{
    char ours[FLUSH_NAME_BYTES];
    batch_origin(f, b, ours);
    const char *state = json_string_value(json_object_get(a->result, "state"));
    const char *origin = json_string_value(json_object_get(a->result, "origin"));
    if (a->class == ODOO_OK && state && strcmp(state, "done") == 0 && origin &&
        strcmp(origin, ours) == 0) {
        b->picking = (uint32_t)json_integer_value(json_object_get(a->result, "id"));
        uint64_t ms;
        (void)!odoo_time_parse(json_string_value(json_object_get(a->result, "date")), &ms);
        done(f, b, ms, now_ms);
    } else if (a->class == ODOO_OK && state) {
        b->step = FLUSH_STEP_LOOKUP; // another's, cancelled, or not validated
    } else if (a->class == ODOO_OK && json_object_get(a->result, "holdfast")) {
        f->contacted = false; // another database: contact finds it out
    } else {
        if (a->class == ODOO_OK)
            a->class = ODOO_RETRY;
        failed(f, b, a, now_ms);
    }
}

static json_t *validate_args(const struct flush_batch *b)
{
    return json_pack("{s:[I],s:{s:b,s:[I],s:b}}", "ids", (json_int_t)b->picking, "context",
                     "skip_backorder", 1, "picking_ids_not_to_backorder", (json_int_t)b->picking,
                     "skip_sms", 1);
}

static void validated(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                      uint64_t now_ms)
{
    const char *wizard = json_string_value(json_object_get(a->result, "res_model"));
    b->refusal = FLUSH_NOT_REFUSED;
    if (a->class == ODOO_OK && json_is_true(a->result)) {
        b->step = FLUSH_STEP_LOOKUP; // E2, also of good news
    } else {
        if (a->class == ODOO_OK)
            snprintf(a->words, sizeof a->words, "it asks: %.80s", wizard ? wizard : "?");
        failed(f, b, a, now_ms);
    }
}

static void cancelled(struct flush *f, struct flush_batch *b, const struct odoo_answer *a,
                      uint64_t now_ms)
{
    if (a->class == ODOO_OK)
        b->step = FLUSH_STEP_LOOKUP;
    else
        failed(f, b, a, now_ms);
}

// ------------------------------------------------------------------------------- deciding

static void doom(struct flush *f, struct flush_batch *b, enum flush_cause cause, bool split)
{
    b->doom = cause;
    b->split = split;
    f->must_save = true; // E3
}

// Odoo answers, but this batch keeps failing: smaller ones may not. A line alone is tried on for
// hours, and then a person's.
static bool worn_out(const struct flush *f, const struct flush_batch *b)
{
    return b->attempts / f->options.attempts_max >= (b->line_count > 1 ? 1 : LONE_TRIES);
}

static void decide_absent(struct flush *f, struct flush_batch *b)
{
    if (!b->doom && (b->refusal != FLUSH_NOT_REFUSED || worn_out(f, b)))
        doom(f, b, FLUSH_CAUSE_REFUSED, true);
    b->step = b->doom ? FLUSH_STEP_BURN : FLUSH_STEP_SEND;
}

static enum hf_status decide_found(struct flush *f, struct flush_batch *b, const json_t *row,
                                   uint64_t now_ms)
{
    char name[FLUSH_NAME_BYTES], ours[FLUSH_NAME_BYTES], burned[FLUSH_NAME_BYTES + 8];
    const char *state = json_string_value(json_object_get(row, "state"));
    const char *origin = json_string_value(json_object_get(row, "origin"));
    batch_name(f, b->number, name);
    batch_origin(f, b, ours);
    snprintf(burned, sizeof burned, "%s burned", name);
    b->picking = (uint32_t)json_integer_value(json_object_get(row, "id"));
    bool burnt = origin && b->doom && strcmp(origin, burned) == 0;
    if (!state || !origin || (!burnt && strcmp(origin, ours) != 0)) {
        hf_log(HF_LOG_ERROR, "flush_name_taken", "batch=%s picking=%u", name, b->picking);
        return flush_fail(f, HF_FOREIGN,
                          "Odoo has a document of a batch's name with another "
                          "content");
    }
    if (strcmp(state, "done") == 0 && !burnt) {
        b->booked = true;
        (void)!odoo_time_parse(json_string_value(json_object_get(row, "date_done")), &b->booked_ms);
        if (b->straight)
            done(f, b, b->booked_ms, now_ms);
        else
            b->step = FLUSH_STEP_MOVES;
    } else if (strcmp(state, "cancel") == 0) {
        if (!b->doom) {
            why_set(b, "");
            doom(f, b, FLUSH_CAUSE_CANCELLED, false);
        }
        if (!batch_give_up(f, b, now_ms) && f->failed == HF_OK)
            wait_on(f, b, now_ms);
    } else {
        if (!b->doom && (b->refusal == FLUSH_REFUSED_VALIDATED || worn_out(f, b)))
            doom(f, b, FLUSH_CAUSE_REFUSED, true);
        b->booked = false;
        b->step = b->doom       ? FLUSH_STEP_CANCEL
                  : b->straight ? FLUSH_STEP_VALIDATE
                                : FLUSH_STEP_MOVES;
    }
    return f->failed;
}

// ------------------------------------------------------------------------------- its lines

static json_t *moves_args(const struct flush_batch *b)
{
    return odoo_search(json_pack("[[s,s,I],[s,s,s]]", "picking_id", "=", (json_int_t)b->picking,
                                 "state", "!=", "cancel"),
                       json_pack("[s,s,s]", "product_id", "quantity", "picked"));
}

// The line that it is of; what it books, or has booked, is added to `have`. False: of none.
static bool move_count(const struct flush_batch *b, const json_t *row, int64_t have[HF_LINES_MAX])
{
    json_int_t product = json_integer_value(json_object_get(row, "product_id"));
    int64_t q;
    double fraction;
    uint32_t i = 0;
    while (i < b->line_count && b->lines[i].product != product)
        i++;
    if (i == b->line_count)
        return false;
    if (!b->booked && !json_is_true(json_object_get(row, "picked")))
        return true; // is left behind
    if (!mirror_quantity(json_object_get(row, "quantity"), b->lines[i].scale, &q, &fraction) ||
        fraction > 0 || q < 0 || q > HF_QUANTITY_MAX - have[i])
        return false;
    have[i] += q;
    return true;
}

static bool altered(const struct flush_batch *b, const json_t *rows)
{
    int64_t have[HF_LINES_MAX] = {0};
    bool same = true;
    size_t i;
    json_t *row;
    json_array_foreach((json_t *)rows, i, row) same = same && move_count(b, row, have);
    for (uint32_t k = 0; k < b->line_count; k++)
        same = same && have[k] == (b->back ? -b->lines[k].quantity : b->lines[k].quantity);
    return !same;
}

static void moves_told(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                       uint64_t now_ms)
{
    char name[FLUSH_NAME_BYTES];
    if (a->class != ODOO_OK || !json_is_array(a->result)) {
        if (a->class == ODOO_OK || a->class == ODOO_REFUSED)
            a->class = ODOO_RETRY;
        failed(f, b, a, now_ms);
        return;
    }
    bool differs = altered(b, a->result);
    batch_name(f, b->number, name);
    flush_count(&f->metrics.altered, differs);
    if (differs)
        hf_log(HF_LOG_ERROR, "flush_altered", "batch=%s document=%u state=%s", name, b->picking,
               b->booked ? "done" : "open");
    if (b->booked) { // what is done stays so: reconciliation tells the rest
        b->straight = true;
        done(f, b, b->booked_ms, now_ms);
    } else if (differs) {
        why_set(b, "its document was altered in Odoo");
        doom(f, b, FLUSH_CAUSE_REFUSED, true);
        b->step = FLUSH_STEP_CANCEL;
    } else {
        b->step = FLUSH_STEP_VALIDATE;
    }
}

static json_t *lookup_args(const struct flush *f, const struct flush_batch *b)
{
    char name[FLUSH_NAME_BYTES];
    batch_name(f, b->number, name);
    return odoo_search(json_pack("[[s,s,s],[s,s,I]]", "name", "=", name, "company_id", "=",
                                 (json_int_t)b->company),
                       json_pack("[s,s,s]", "state", "origin", "date_done"));
}

static void looked_up(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                      uint64_t now_ms)
{
    if (a->class != ODOO_OK || !json_is_array(a->result)) {
        if (a->class == ODOO_OK || a->class == ODOO_REFUSED)
            a->class = ODOO_RETRY;
        failed(f, b, a, now_ms);
    } else if (json_array_size(a->result) == 0) {
        decide_absent(f, b);
    } else {
        (void)!decide_found(f, b, json_array_get(a->result, 0), now_ms);
    }
}

// ------------------------------------------------------------------------------- acknowledging

static enum hf_status acknowledge(struct flush *f, struct core_worker *w, struct flush_batch *b,
                                  uint64_t now_ms)
{
    struct core_line lines[HF_LINES_MAX];
    struct core_admin_answer a;
    for (uint32_t i = 0; i < b->line_count; i++)
        lines[i] = (struct core_line){b->lines[i].handle, 0, b->lines[i].quantity};
    core_acknowledge(w, now_ms, b->op_id, lines, b->line_count, &a);
    switch (a.outcome) {
    case CORE_OUT_DONE:
        b->ticket = a.ticket;
        f->appended_lsn = a.ticket > f->appended_lsn ? a.ticket : f->appended_lsn;
        b->step = FLUSH_STEP_ACK_WAIT;
        return HF_OK;
    case CORE_OUT_BUSY:
    case CORE_OUT_ID_IN_FUTURE: // the engine's clock was set back: it comes
        b->retry_at_ms = now_ms + BUSY_MS;
        return HF_OK;
    case CORE_OUT_ID_TOO_OLD: // not appended (E4): the same batch under an id of today
        b->op_id = flush_op_id(f, b->number, now_ms);
        f->must_save = true;
        return HF_OK;
    default:
        return flush_fail(f, HF_DAMAGED, "the engine does not take an acknowledgement");
    }
}

static enum hf_status acknowledgement_find(struct flush *f, struct flush_batch *b, uint64_t now_ms)
{
    bool found = false;
    enum hf_status s = outbox_find(f, b->op_id, &found);
    if (s == HF_NOT_FOUND || s == HF_NO_MEMORY) { // archived meanwhile: again
        b->retry_at_ms = now_ms + BUSY_MS;
        return HF_OK;
    }
    if (s != HF_OK)
        return flush_fail(f, s, "the journal could not be read");
    if (found) {
        batch_remove(f, b);
        f->stale = true;
    } else {
        b->step = FLUSH_STEP_ACK;
    }
    return HF_OK;
}

// ------------------------------------------------------------------------------- the steps

void post_request(struct flush *f, struct flush_batch *b, uint64_t now_ms, struct flush_call *c)
{
    c->model = "stock.picking";
    switch (b->step) {
    case FLUSH_STEP_SEND:
        if (f->options.action_id && !b->two_calls) {
            c->model = "ir.actions.server";
            c->method = "run";
            c->args = action_args(f, b, now_ms);
            return;
        }
        c->method = "create";
        c->args = create_args(f, b, false);
        return;
    case FLUSH_STEP_BURN:
        c->method = "create";
        c->args = create_args(f, b, true);
        return;
    case FLUSH_STEP_VALIDATE:
        c->method = "button_validate";
        c->args = validate_args(b);
        return;
    case FLUSH_STEP_MOVES:
        c->model = "stock.move";
        c->method = "search_read";
        c->args = moves_args(b);
        return;
    case FLUSH_STEP_DATE:
        c->method = "write";
        c->args = date_args(b);
        return;
    case FLUSH_STEP_CANCEL:
        c->method = "action_cancel";
        c->args = json_pack("{s:[I]}", "ids", (json_int_t)b->picking);
        return;
    default:
        c->method = "search_read";
        c->args = lookup_args(f, b);
    }
}

enum hf_status post_answer(struct flush *f, struct flush_batch *b, struct odoo_answer *a,
                           uint64_t now_ms)
{
    switch (b->step) {
    case FLUSH_STEP_SEND:
        if (f->options.action_id && !b->two_calls)
            action_ran(f, b, a, now_ms);
        else
            created(f, b, a, now_ms);
        break;
    case FLUSH_STEP_BURN:
        created(f, b, a, now_ms);
        break;
    case FLUSH_STEP_VALIDATE:
        validated(f, b, a, now_ms);
        break;
    case FLUSH_STEP_MOVES:
        moves_told(f, b, a, now_ms);
        break;
    case FLUSH_STEP_DATE:
        date_set(f, b, a, now_ms);
        break;
    case FLUSH_STEP_CANCEL:
        cancelled(f, b, a, now_ms);
        break;
    default:
        looked_up(f, b, a, now_ms);
    }
    json_decref(a->result);
    return f->failed;
}

enum hf_status post_acknowledge(struct flush *f, struct core_worker *w, struct flush_batch *b,
                                uint64_t now_ms)
{
    switch (b->step) {
    case FLUSH_STEP_ACK_FIND:
        return acknowledgement_find(f, b, now_ms);
    case FLUSH_STEP_ACK:
        return acknowledge(f, w, b, now_ms);
    default:
        batch_remove(f, b); // its acknowledgement is durable
        f->stale = true;
        return HF_OK;
    }
}
