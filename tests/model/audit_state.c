// The engine's readings and administration against the oracle.
#include "model/auditor.h"

#include "base/hash.h"
#include "model/auditor_internal.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------- administration

static bool told(struct auditor *a, const struct core_admin_answer *out, bool *act)
{
    *act = out->outcome == CORE_OUT_DONE && !out->repeat;
    return !a->violation[0];
}

bool auditor_cell_made(struct auditor *a, uint64_t now_ms, const char *sku, const char *location,
                       uint8_t scale, const struct core_admin_answer *out)
{
    bool act;
    for (uint32_t i = 0; i < a->oracle.cell_count; i++) {
        const struct oracle_cell *cell = &a->oracle.cells[i];
        if (!cell->made || strcmp(cell->sku, sku) || strcmp(cell->location, location))
            continue;
        if (out->outcome == CORE_OUT_DONE && (!out->repeat || out->handle != i))
            return auditor_violate(a, "cell %u was made again as %u", i, out->handle);
        return true;
    }
    if (!told(a, out, &act) || !act)
        return !a->violation[0];
    if (out->handle != a->oracle.cell_count)
        return auditor_violate(a, "new cell has handle %u, there are %u", out->handle,
                               a->oracle.cell_count);
    struct oracle_event e = {.lsn = out->ticket,
                             .time_ms = now_ms,
                             .kind = ORACLE_CELL,
                             .handle = out->handle,
                             .scale = scale};
    strncpy(e.text, sku, sizeof e.text - 1);
    strncpy(e.text2, location, sizeof e.text2 - 1);
    return auditor_event(a, e) && auditor_settle(a);
}

bool auditor_channel_made(struct auditor *a, uint64_t now_ms, const char *name,
                          const struct core_admin_answer *out)
{
    bool act;
    if (!told(a, out, &act) || !act)
        return !a->violation[0];
    struct oracle_event e = {
        .lsn = out->ticket, .time_ms = now_ms, .kind = ORACLE_CHANNEL, .handle = out->handle};
    strncpy(e.text, name, HF_CHANNEL_BYTES_MAX);
    return auditor_event(a, e) && auditor_settle(a);
}

static __int128 setting_of(const struct oracle_cell *c, enum core_setting s)
{
    switch (s) {
    case CORE_SET_ON_HAND:
        return c->on_hand;
    case CORE_SET_SAFETY:
        return c->safety;
    case CORE_SET_BACKORDER:
        return c->backorder;
    case CORE_SET_EXTERNAL:
        return c->external;
    default:
        return c->active;
    }
}

// The repeat's hash stands for setting, handle, value and conditions.
static uint64_t change_hash(const struct core_change *change)
{
    uint64_t words[] = {change->handle,  change->setting,         change->relative,
                        change->compare, (uint64_t)change->value, (uint64_t)change->expected};
    return hf_hash(words, sizeof words, 1);
}

static bool repeat_ok(struct auditor *a, struct hf_uuid op_id, uint64_t hash,
                      const struct core_admin_answer *out, bool *judged)
{
    const struct oracle_op *op = oracle_find_op(&a->oracle, op_id);
    *judged = op || out->outcome != CORE_OUT_DONE;
    if (!op && out->repeat)
        return auditor_violate(a, "operation %s is told as a repeat", auditor_id(op_id));
    if (!op || out->outcome == CORE_OUT_BUSY)
        return true;
    bool forgotten =
        a->times.now_ms >= op->time_ms + a->times.window_ms_low + a->times.skew_ms;
    if (out->outcome == CORE_OUT_ID_TOO_OLD && forgotten)
        return true;
    bool same = op->body_hash == hash;
    if (same ? out->outcome != CORE_OUT_DONE || !out->repeat : out->outcome != CORE_OUT_CONFLICT)
        return auditor_violate(a, "repeat of operation %s (same body: %d) answered %s repeat %d",
                               auditor_id(op_id), same, core_outcome_name(out->outcome),
                               out->repeat);
    if (!auditor_knows_durable(a, out->ticket, op->lsn))
        return auditor_violate(a, "operation %s told before it is durable", auditor_id(op_id));
    return true;
}

bool auditor_changed(struct auditor *a, uint64_t now_ms, const struct core_change *change,
                     const struct core_admin_answer *out)
{
    bool judged;
    if (!repeat_ok(a, change->op_id, change_hash(change), out, &judged))
        return false;
    bool exists = change->handle < a->oracle.cell_count;
    __int128 now =
        exists ? setting_of(&a->oracle.cells[change->handle], change->setting) : 0;
    if (judged) {
        if (out->outcome == CORE_OUT_REFUSED &&
            (!change->compare || now == change->expected || out->value != now))
            return auditor_violate(a, "compare-and-set of cell %u refused at %ld, expected %ld",
                                   change->handle, (long)now, change->expected);
        return !a->violation[0];
    }
    if (!exists || (change->compare && now != change->expected))
        return auditor_violate(a, "cell %u setting %d changed at %ld, expected %ld",
                               change->handle, change->setting, (long)now, change->expected);
    __int128 value = change->relative ? now + change->value : change->value;
    if (value > HF_QUANTITY_MAX || value < -HF_QUANTITY_MAX ||
        (change->setting != CORE_SET_ON_HAND && value < 0))
        return auditor_violate(a, "cell %u setting %d took %ld, out of range", change->handle,
                               change->setting, (long)value);
    if (out->value != value)
        return auditor_violate(a, "cell %u setting %d became %ld, told %ld", change->handle,
                               change->setting, (long)value, out->value);
    struct oracle_event e = {.lsn = out->ticket,
                             .time_ms = now_ms,
                             .kind = ORACLE_CHANGE,
                             .op_id = change->op_id,
                             .body_hash = change_hash(change),
                             .handle = change->handle,
                             .setting = change->setting,
                             .value = (int64_t)value};
    return auditor_event(a, e) && auditor_settle(a);
}

bool auditor_acknowledged(struct auditor *a, uint64_t now_ms, struct hf_uuid op_id,
                          const struct core_line *lines, uint32_t count,
                          const struct core_admin_answer *out)
{
    struct oracle_event e = {.lsn = out->ticket,
                             .time_ms = now_ms,
                             .kind = ORACLE_ACKNOWLEDGE,
                             .op_id = op_id};
    (void)oracle_merge(lines, count, &e.lines, &e.line_count);
    e.body_hash = hf_hash(e.lines, e.line_count * sizeof *e.lines, 2);
    bool judged, fine = repeat_ok(a, op_id, e.body_hash, out, &judged);
    if (!fine || judged) {
        free(e.lines);
        return fine;
    }
    return auditor_event(a, e) && auditor_settle(a);
}

// ------------------------------------------------------------------------------- cells

static bool check_cell(struct auditor *a, uint32_t handle, const struct core_cell *got)
{
    const struct oracle_cell *want = &a->oracle.cells[handle];
    const struct {
        const char *name;
        int64_t got;
        __int128 want;
    } terms[] = {
        {"available", got->available, oracle_available(want)},
        {"on hand", got->on_hand, want->on_hand},
        {"held", got->held, want->held},
        {"committed", got->committed, want->committed},
        {"external", got->external, want->external},
        {"safety", got->safety, want->safety},
        {"backorder", got->backorder, want->backorder},
        {"active", got->active, want->active},
        {"scale", got->scale, want->scale},
    };
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (terms[i].got != terms[i].want)
            return auditor_violate(a, "CELL %u: %s is %ld, should be %ld", handle, terms[i].name,
                                   terms[i].got, (long)terms[i].want);
    if (got->available != got->on_hand - got->held - got->committed - got->external -
                              got->safety + got->backorder)
        return auditor_violate(a, "CELL %u does not add up", handle);
    if (got->unsettled)
        return auditor_violate(a, "CELL %u is unsettled and nothing goes on", handle);
    return true;
}

bool auditor_check_cells(struct auditor *a, struct core *c)
{
    uint32_t count = core_cell_count(c);
    if (count != a->oracle.cell_count)
        return auditor_violate(a, "%u cells, should be %u", count, a->oracle.cell_count);
    for (uint32_t h = 0; h < count; h++) {
        struct core_cell got;
        enum hf_status st = core_cell_read(c, h, &got);
        if (st != HF_OK)
            return auditor_violate(a, "CELL %u cannot be read: %s", h, hf_status_name(st));
        if (!check_cell(a, h, &got))
            return false;
        a->counts.cells_checked++;
    }
    return !a->violation[0];
}

bool auditor_check_held(struct auditor *a)
{
    for (uint32_t h = 0; h < a->oracle.cell_count; h++)
        if (oracle_held(&a->oracle, h) != a->oracle.cells[h].held)
            return auditor_violate(a, "CELL %u: the live holds sum to %ld, held is %ld", h,
                                   (long)oracle_held(&a->oracle, h),
                                   (long)a->oracle.cells[h].held);
    return !a->violation[0];
}

// ------------------------------------------------------------------------------- reservations

static bool check_lines(struct auditor *a, const struct oracle_reservation *r,
                        const struct core_view *v, const struct core_line *lines)
{
    bool held = r->state == CORE_STATE_HELD;
    if (v->lines_away || (!held && r->state != CORE_STATE_COMMITTED))
        return true;
    uint32_t seen = 0, want = 0;
    for (uint32_t i = 0; i < v->line_count; i++) {
        const struct oracle_line *l = oracle_line_of(r, lines[i].handle);
        int64_t q = !l ? -1 : held ? l->held : l->committed - l->taken_back;
        if (lines[i].quantity != q && !(l == NULL && lines[i].quantity == 0))
            return auditor_violate(a, "%s: line of cell %u reads %ld, should be %ld",
                                   auditor_id(r->id), lines[i].handle, lines[i].quantity, q);
        seen += lines[i].quantity != 0;
    }
    for (uint32_t i = 0; i < r->line_count; i++)
        want += (held ? r->lines[i].held : r->lines[i].committed - r->lines[i].taken_back) != 0;
    if (seen != want)
        return auditor_violate(a, "%s: %u lines read, should be %u", auditor_id(r->id), seen,
                               want);
    return true;
}

static bool check_view(struct auditor *a, const struct oracle_reservation *r,
                       const struct core_view *v, const struct core_line *lines)
{
    if (v->state != r->state || v->version != r->version || v->verb != r->verb ||
        v->channel != r->channel)
        return auditor_violate(
            a, "%s reads %s %s v%u channel %u, should be %s %s v%u channel %u (lsn %lu)",
            auditor_id(r->id), core_state_name(v->state), core_verb_name(v->verb), v->version,
            v->channel, core_state_name(r->state), core_verb_name(r->verb), r->version,
            r->channel, r->lsn);
    uint64_t time = r->state == CORE_STATE_HELD ? r->deadline_ms : r->ended_ms;
    if (v->time_ms != time && v->time_ms != r->time_ms && !r->recalled)
        return auditor_violate(a, "%s reads time %lu, should be %lu", auditor_id(r->id),
                               v->time_ms, time);
    if (!auditor_knows_durable(a, v->ticket, r->lsn))
        return auditor_violate(a, "%s may be told at %lu, its record is %lu (durable %lu)",
                               auditor_id(r->id), v->ticket, r->lsn, a->durable);
    bool texts = r->state == CORE_STATE_HELD && !v->lines_away;
    if (texts && (strcmp(v->reference, r->reference) || strcmp(v->buyer, r->buyer)))
        return auditor_violate(a, "%s reads reference '%s' buyer '%s', should be '%s' '%s'",
                               auditor_id(r->id), v->reference, v->buyer, r->reference,
                               r->buyer);
    a->counts.reservations_checked++;
    return check_lines(a, r, v, lines);
}

static bool must_be_kept(const struct auditor *a, const struct oracle_reservation *r,
                         uint64_t now_ms)
{
    return r->state == CORE_STATE_HELD ||
           now_ms < r->ended_ms + a->times.window_ms_low + a->times.skew_ms;
}

bool auditor_get(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms,
                 struct hf_uuid id)
{
    static struct core_line lines[HF_LINES_MAX];
    struct core_view v;
    struct oracle_reservation *r = oracle_find(&a->oracle, id);
    enum hf_status st = core_get(w, now_ms, id, &v, lines, HF_LINES_MAX);
    if (st == HF_NOT_FOUND) {
        return !r || !must_be_kept(a, r, now_ms) ||
               auditor_violate(a, "LOST: %s (%s, lsn %lu) is not found at %lu",
                                        auditor_id(id), core_state_name(r->state), r->lsn,
                                        now_ms);
    }
    bool due = r && r->state == CORE_STATE_HELD && now_ms >= r->deadline_ms;
    if (st == HF_AGAIN && due)
        return true; // its end has no room yet
    if (st != HF_OK)
        return auditor_violate(a, "get of %s answered %s", auditor_id(id), hf_status_name(st));
    if (!r)
        return auditor_violate(a, "%s reads %s and never was, or was undone", auditor_id(id),
                               core_state_name(v.state));
    if (r->state == CORE_STATE_HELD && v.state == CORE_STATE_EXPIRED &&
        !auditor_expire(a, r, v.ticket, v.time_ms, v.version))
        return false;
    if (r->state == CORE_STATE_HELD && now_ms > r->deadline_ms)
        return auditor_violate(a, "%s reads as held at %lu, past its deadline %lu",
                               auditor_id(id), now_ms, r->deadline_ms);
    if (!auditor_expiries(a, c, w, now_ms) || !auditor_settle(a))
        return false;
    return check_view(a, r, &v, lines);
}

// A listing ends the holds that are due, or leaves them out when their end has no room yet; here
// they stay held.
static bool is_due(const struct oracle_reservation *r, uint64_t now_ms)
{
    return r->state == CORE_STATE_HELD && r->deadline_ms <= now_ms;
}

static bool check_listed(struct auditor *a, const struct core_view *v, uint64_t now_ms)
{
    const struct oracle_reservation *r = oracle_find(&a->oracle, v->id);
    if (!r)
        return auditor_violate(a, "listed %s is unknown", auditor_id(v->id));
    bool moved = a->grace_ms && v->state == CORE_STATE_HELD && v->time_ms > now_ms;
    bool due = is_due(r, now_ms) && !moved; // a start moves deadlines
    enum core_state state = due ? CORE_STATE_EXPIRED : r->state;
    if (v->state != state || v->version != r->version + due)
        return auditor_violate(a, "%s is listed as %s v%u, should be %s v%u", auditor_id(r->id),
                               core_state_name(v->state), v->version, core_state_name(state),
                               r->version + due);
    return true;
}

bool auditor_check_list(struct auditor *a, struct core_worker *w, uint64_t now_ms)
{
    static struct core_view views[64];
    struct core_filter f = {.reference = NULL};
    uint64_t cursor = 0, seen = 0, want = 0;
    do {
        uint32_t n = core_list(w, &f, &cursor, views, 64);
        for (uint32_t i = 0; i < n; i++) {
            if (!check_listed(a, &views[i], now_ms))
                return false;
            const struct oracle_reservation *r = oracle_find(&a->oracle, views[i].id);
            seen += must_be_kept(a, r, now_ms) && !is_due(r, now_ms);
        }
    } while (cursor);
    for (uint32_t i = 0; i < a->oracle.reservation_count; i++) {
        const struct oracle_reservation *r = &a->oracle.reservations[i];
        want += must_be_kept(a, r, now_ms) && !is_due(r, now_ms);
    }
    if (seen != want)
        return auditor_violate(a, "LOST: %lu reservations are listed, should be %lu", seen, want);
    return true;
}

bool auditor_check_all(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms)
{
    if (!auditor_check_cells(a, c) || !auditor_check_held(a))
        return false;
    for (uint32_t i = 0; i < a->oracle.reservation_count; i++)
        if (!auditor_get(a, c, w, now_ms, a->oracle.reservations[i].id))
            return false;
    return auditor_check_cells(a, c) && auditor_check_held(a);
}
