#include "model/auditor.h"

#include "model/auditor_internal.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[ORACLE_EVENT_KINDS] = {
    "CELL",   "CHANNEL", "TAKE",   "REJECT", "COMMIT", "RETAKE", "RELEASE",
    "RELEASE_PART", "EXPIRE",  "EXTEND", "CANCEL", "RETURN", "CHANGE", "ACKNOWLEDGE"};

void auditor_init(struct auditor *a, const struct core_options *o)
{
    memset(a, 0, sizeof *a);
    oracle_init(&a->oracle);
    a->times.window_ms = a->times.window_ms_low = o->window_ms;
    a->times.skew_ms = o->skew_ms;
    a->times.ttl_max_ms = o->ttl_max_ms;
    a->times.allow_v4 = o->allow_v4;
    a->grace_ms = o->restart_grace_ms;
    a->archive = o->archive;
    a->durable_mode = o->journal.mode == JOURNAL_SYNC;
}

static void event_free(struct oracle_event *e)
{
    free(e->lines);
    free(e->ends);
}

void auditor_fini(struct auditor *a)
{
    for (uint32_t i = 0; i < a->event_count; i++)
        event_free(&a->events[i]);
    free(a->events);
    free(a->up);
    free(a->down);
    oracle_fini(&a->oracle);
}

bool auditor_violate(struct auditor *a, const char *format, ...)
{
    if (a->violation[0])
        return false;
    va_list args;
    va_start(args, format);
    vsnprintf(a->violation, sizeof a->violation, format, args);
    va_end(args);
    return false;
}

const char *auditor_id(struct hf_uuid id)
{
    static char text[2][HF_UUID_TEXT_BYTES];
    static unsigned turn;
    turn = !turn;
    hf_uuid_format(id, text[turn]);
    return text[turn];
}

bool auditor_knows_durable(const struct auditor *a, uint64_t ticket, uint64_t lsn)
{
    return !a->durable_mode || ticket >= lsn || a->durable >= lsn;
}

// ------------------------------------------------------------------------------- events

static void trace_event(const struct oracle_event *e)
{
    printf("  event lsn=%lu t=%lu %s %s v%u", e->lsn, e->time_ms, kind_names[e->kind],
           auditor_id(e->id), e->version);
    if (!hf_uuid_is_nil(e->op_id))
        printf(" op=%s", auditor_id(e->op_id));
    if (e->kind == ORACLE_CHANGE)
        printf(" cell=%u setting=%d value=%ld", e->handle, e->setting, e->value);
    for (uint32_t i = 0; i < e->line_count; i++)
        printf(" %u:%ld", e->lines[i].handle, e->lines[i].quantity);
    for (uint32_t i = 0; i < e->end_count; i++)
        printf(" ends %u:%ld", e->ends[i].handle, e->ends[i].quantity);
    printf("\n");
}

bool auditor_event(struct auditor *a, struct oracle_event e)
{
    if (a->event_count == a->event_room) {
        a->event_room = a->event_room ? a->event_room * 2 : 256;
        a->events = realloc(a->events, a->event_room * sizeof *a->events);
        HF_ASSERT(a->events);
    }
    if (e.kind == ORACLE_COMMIT || e.kind == ORACLE_RELEASE || e.kind == ORACLE_EXPIRE)
        e.ends = oracle_held_lines(oracle_find(&a->oracle, e.id), &e.end_count);
    a->events[a->event_count++] = e;
    a->counts.events[e.kind]++;
    oracle_apply_state(&a->oracle, &e);
    if (a->trace)
        trace_event(&e);
    if (e.lsn == 0)
        return auditor_violate(a, "%s of %s has no ticket", kind_names[e.kind],
                               auditor_id(e.id));
    return true;
}

bool auditor_expire(struct auditor *a, struct oracle_reservation *r, uint64_t lsn,
                    uint64_t time_ms, uint16_t version)
{
    HF_ASSERT(r->state == CORE_STATE_HELD);
    if (time_ms < r->deadline_ms)
        return auditor_violate(a, "%s expired at %lu before its deadline %lu", auditor_id(r->id),
                               time_ms, r->deadline_ms);
    a->counts.expiries_found++;
    return auditor_event(a, (struct oracle_event){.lsn = lsn,
                                                  .time_ms = time_ms,
                                                  .kind = ORACLE_EXPIRE,
                                                  .id = r->id,
                                                  .version = version});
}

static int by_lsn(const void *a, const void *b)
{
    const struct oracle_event *x = a, *y = b;
    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

static void move(struct auditor *a, uint32_t handle, __int128 delta)
{
    if (delta > 0)
        a->up[handle] += delta;
    else
        a->down[handle] -= delta;
}

static void moves_clear(struct auditor *a)
{
    uint32_t need = a->oracle.cell_count;
    if (need > a->up_room) {
        a->up_room = need * 2;
        a->up = realloc(a->up, a->up_room * sizeof *a->up);
        a->down = realloc(a->down, a->up_room * sizeof *a->down);
        HF_ASSERT(a->up && a->down);
    }
    if (need) {
        memset(a->up, 0, need * sizeof *a->up);
        memset(a->down, 0, need * sizeof *a->down);
    }
}

// What an event may move, both ways: a commit that returns a part frees and takes at once.
static void moves_add(struct auditor *a, const struct oracle_event *e)
{
    for (uint32_t i = 0; i < e->end_count; i++)
        move(a, e->ends[i].handle, e->ends[i].quantity);
    for (uint32_t i = 0; i < e->line_count; i++) {
        bool takes = e->kind == ORACLE_TAKE || e->kind == ORACLE_RETAKE ||
                     e->kind == ORACLE_COMMIT;
        int64_t q = e->lines[i].quantity;
        if (e->kind != ORACLE_REJECT && e->kind != ORACLE_ACKNOWLEDGE)
            move(a, e->lines[i].handle, takes ? -q : q);
    }
    // A commit takes nothing that it did not hold.
    for (uint32_t i = 0; e->kind == ORACLE_COMMIT && i < e->line_count; i++) {
        a->up[e->lines[i].handle] -= e->lines[i].quantity;
        a->down[e->lines[i].handle] -= e->lines[i].quantity;
    }
}

bool auditor_settle(struct auditor *a)
{
    moves_clear(a);
    uint32_t n = a->event_count - a->batch_first;
    if (n == 0)
        return true;
    struct oracle_event *e = &a->events[a->batch_first];
    qsort(e, n, sizeof *e, by_lsn);
    a->batch_first = a->event_count;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t handle = 0;
        if (e[i].lsn <= a->last_lsn)
            return auditor_violate(a, "%s of %s has LSN %lu after %lu was given out",
                                   kind_names[e[i].kind], auditor_id(e[i].id), e[i].lsn,
                                   a->last_lsn);
        a->last_lsn = e[i].lsn;
        moves_add(a, &e[i]);
        if (!oracle_apply_cells(&a->oracle, &e[i], &handle))
            return auditor_violate(a, "OVERSOLD: %s of %s at LSN %lu takes cell %u to %ld",
                                   kind_names[e[i].kind], auditor_id(e[i].id), e[i].lsn, handle,
                                   (long)oracle_available(&a->oracle.cells[handle]));
    }
    return true;
}

// ------------------------------------------------------------------------------- looking

bool auditor_look(struct auditor *a, struct core *c, uint64_t now_ms)
{
    struct core_metrics m;
    core_metrics(c, &m);
    uint64_t durable = core_durable(c);
    if (m.floor_ms < a->times.floor_ms)
        return auditor_violate(a, "the floor fell from %lu to %lu", a->times.floor_ms,
                               m.floor_ms);
    if (durable < a->durable)
        return auditor_violate(a, "durable fell from %lu to %lu", a->durable, durable);
    if (now_ms < a->times.now_ms)
        return auditor_violate(a, "engine time fell from %lu to %lu", a->times.now_ms, now_ms);
    a->times.now_ms = now_ms;
    a->times.floor_ms = m.floor_ms;
    a->times.window_ms = m.window_ms;
    if (m.window_ms < a->times.window_ms_low)
        a->times.window_ms_low = m.window_ms;
    if (durable > a->durable)
        a->durable_before = a->durable;
    a->durable = durable;
    return !a->violation[0];
}

bool auditor_expiries(struct auditor *a, struct core *c, struct core_worker *w, uint64_t now_ms)
{
    struct core_metrics m;
    core_metrics(c, &m);
    if (m.expired == a->expired)
        return !a->violation[0];
    a->expired = m.expired;
    struct core_filter f = {.by_state = true, .state = CORE_STATE_EXPIRED};
    static struct core_view views[64];
    uint64_t cursor = 0;
    do {
        uint32_t n = core_list(w, &f, &cursor, views, 64);
        for (uint32_t i = 0; i < n; i++) {
            struct oracle_reservation *r = oracle_find(&a->oracle, views[i].id);
            if (!r)
                return auditor_violate(a, "listed %s is unknown", auditor_id(views[i].id));
            if (r->state == CORE_STATE_HELD &&
                !auditor_expire(a, r, views[i].ticket, views[i].time_ms, views[i].version))
                return false;
        }
    } while (cursor);
    (void)now_ms;
    return !a->violation[0];
}

bool auditor_recalled(struct auditor *a, struct hf_uuid id, enum hf_status status)
{
    struct oracle_reservation *r = oracle_find(&a->oracle, id);
    bool committed = r && r->state == CORE_STATE_COMMITTED;
    if (status == HF_OK && !r)
        return auditor_violate(a, "recalled %s, which never was", auditor_id(id));
    if (status == HF_OK)
        r->recalled = true;
    if (status == HF_NOT_FOUND && committed && r->lsn <= a->durable && a->archive)
        return auditor_violate(a, "LOST: %s is committed and cannot be recalled",
                               auditor_id(id));
    return !a->violation[0];
}

// ------------------------------------------------------------------------------- restart

static void truncate_events(struct auditor *a, uint64_t lsn)
{
    while (a->event_count && a->events[a->event_count - 1].lsn > lsn) {
        event_free(&a->events[--a->event_count]);
        a->counts.undone++;
    }
    a->batch_first = a->event_count;
}

static bool rebuild(struct auditor *a)
{
    oracle_clear(&a->oracle);
    for (uint32_t i = 0; i < a->event_count; i++) {
        uint32_t handle = 0;
        const struct oracle_event *e = &a->events[i];
        oracle_apply_state(&a->oracle, e);
        if (!oracle_apply_cells(&a->oracle, e, &handle))
            return auditor_violate(a, "OVERSOLD after replay to LSN %lu: cell %u", e->lsn,
                                   handle);
    }
    return true;
}

// Deadlines that the start has moved: within start + grace, never back.
static bool learn_grace(struct auditor *a, struct core_worker *w, uint64_t now)
{
    for (uint32_t i = 0; i < a->oracle.reservation_count; i++) {
        struct oracle_reservation *r = &a->oracle.reservations[i];
        struct core_view v;
        if (r->state != CORE_STATE_HELD || r->deadline_ms > now + a->grace_ms ||
            core_get(w, now, r->id, &v, NULL, 0) != HF_OK)
            continue;
        if (v.state == CORE_STATE_EXPIRED) {
            if (!auditor_expire(a, r, v.ticket, v.time_ms, v.version))
                return false;
            continue;
        }
        if (v.time_ms > now + a->grace_ms || v.time_ms < r->deadline_ms)
            return auditor_violate(a, "grace moved %s from %lu to %lu at %lu", auditor_id(r->id),
                                   r->deadline_ms, v.time_ms, now);
        r->deadline_ms = v.time_ms;
    }
    return auditor_settle(a);
}

bool auditor_restarted(struct auditor *a, struct core *c, struct core_worker *w, uint64_t lsn)
{
    a->counts.restarts++;
    if (a->trace)
        printf("  restarted at lsn=%lu durable=%lu given out=%lu\n", lsn, a->durable,
               a->last_lsn);
    if (lsn < a->durable)
        return auditor_violate(a, "LOST: LSN %lu was durable, recovery ends at %lu", a->durable,
                               lsn);
    truncate_events(a, lsn);
    if (!rebuild(a))
        return false;
    if (lsn > a->durable)
        a->durable_before = a->durable;
    a->last_lsn = lsn;
    a->durable = lsn;
    struct core_metrics m;
    core_metrics(c, &m);
    a->expired = m.expired;
    uint64_t now = core_now(c);
    if (a->event_count && now < a->events[a->event_count - 1].time_ms)
        return auditor_violate(a, "engine time %lu is before the last journaled event's %lu", now,
                               a->events[a->event_count - 1].time_ms);
    a->times.now_ms = 0; // what was not journaled may come again
    a->times.floor_ms = 0;
    if (!auditor_look(a, c, now))
        return false;
    if (a->grace_ms && !learn_grace(a, w, now))
        return false;
    return auditor_check_all(a, c, w, now);
}
