// The journal's records against the auditor's events: the outbox says what was answered.
#include "sim/sim.h"

#include "base/hash.h"
#include "core/record.h"

#include <stdlib.h>
#include <string.h>

// What an event or a record does to all cells, as one number: sums weighted by cell and term.
static uint64_t weight(uint32_t handle, unsigned term)
{
    return hf_mix64(((uint64_t)handle << 8) + term + 1);
}
enum { AVAILABLE, ON_HAND, COMMITTED };

static uint64_t moves(uint32_t handle, int64_t available, int64_t on_hand, int64_t committed)
{
    return (uint64_t)available * weight(handle, AVAILABLE) +
           (uint64_t)on_hand * weight(handle, ON_HAND) +
           (uint64_t)committed * weight(handle, COMMITTED);
}

static uint64_t role_moves(const struct core_record_line *l)
{
    int64_t q = l->quantity;
    switch (l->role) {
    case CORE_ROLE_HOLD:
        return moves(l->handle, -q, 0, 0);
    case CORE_ROLE_ORDER:
        return moves(l->handle, -q, 0, q);
    case CORE_ROLE_COMMIT:
        return moves(l->handle, 0, 0, q);
    case CORE_ROLE_GIVE_BACK:
        return moves(l->handle, q, 0, 0);
    case CORE_ROLE_CANCEL:
        return moves(l->handle, q, 0, -q);
    case CORE_ROLE_RESTOCK:
        return moves(l->handle, q, q, 0);
    case CORE_ROLE_ACKNOWLEDGE:
        return moves(l->handle, 0, -q, -q);
    default:
        return 0;
    }
}

static uint64_t line_moves(const struct oracle_event *e, const struct core_line *l)
{
    int64_t q = l->quantity;
    switch (e->kind) {
    case ORACLE_TAKE:
        return moves(l->handle, -q, 0, e->verb == CORE_RESERVE ? 0 : q);
    case ORACLE_COMMIT: // on top of what its end gives back
    case ORACLE_RETAKE:
        return moves(l->handle, -q, 0, q);
    case ORACLE_RELEASE_PART:
        return moves(l->handle, q, 0, 0);
    case ORACLE_CANCEL:
        return moves(l->handle, q, 0, -q);
    case ORACLE_RETURN:
        return e->flags & CORE_SCRAP ? 0 : moves(l->handle, q, q, 0);
    case ORACLE_ACKNOWLEDGE:
        return moves(l->handle, 0, -q, -q);
    default:
        return 0;
    }
}

static unsigned type_of(const struct oracle_event *e)
{
    switch (e->kind) {
    case ORACLE_CELL:
        return CORE_RECORD_CELL;
    case ORACLE_CHANNEL:
        return CORE_RECORD_CHANNEL;
    case ORACLE_TAKE:
        return e->verb == CORE_RESERVE ? CORE_RECORD_HOLD
               : e->verb == CORE_ORDER ? CORE_RECORD_ORDER
                                       : CORE_RECORD_FACT;
    case ORACLE_REJECT:
        return CORE_RECORD_REJECT;
    case ORACLE_COMMIT:
    case ORACLE_RETAKE:
        return CORE_RECORD_COMMIT;
    case ORACLE_RELEASE:
    case ORACLE_RELEASE_PART:
        return CORE_RECORD_RELEASE;
    case ORACLE_EXPIRE:
        return CORE_RECORD_EXPIRE;
    case ORACLE_EXTEND:
        return CORE_RECORD_EXTEND;
    case ORACLE_CANCEL:
        return CORE_RECORD_CANCEL;
    case ORACLE_RETURN:
        return CORE_RECORD_RETURN;
    case ORACLE_CHANGE:
        return CORE_RECORD_CHANGE;
    default:
        return CORE_RECORD_ACKNOWLEDGE;
    }
}

static int by_lsn(const void *key, const void *event)
{
    uint64_t lsn = *(const uint64_t *)key;
    const struct oracle_event *e = event;
    return lsn < e->lsn ? -1 : lsn > e->lsn;
}

static enum hf_status visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    struct sim *s = ctx;
    struct auditor *a = &s->audit;
    (void)time_ms;
    const struct oracle_event *e =
        bsearch(&lsn, a->events, a->event_count, sizeof *a->events, by_lsn);
    if (!e) {
        if (r->type != CORE_RECORD_FLOOR && lsn <= a->last_lsn)
            auditor_violate(a, "JOURNAL: %s at LSN %lu was never answered",
                            core_record_type_name(r->type), lsn);
        return sim_ok(s) ? HF_OK : HF_INVALID;
    }
    struct core_record_parts parts;
    const struct core_record *record = (const struct core_record *)r;
    uint64_t told = 0, want = 0;
    if (!core_record_parse(r, &parts)) {
        auditor_violate(a, "JOURNAL: malformed record at LSN %lu", lsn);
        return HF_INVALID;
    }
    for (uint32_t i = 0; i < record->line_count; i++)
        told += role_moves(&record->lines[i]);
    for (uint32_t i = 0; i < e->line_count; i++)
        want += line_moves(e, &e->lines[i]);
    for (uint32_t i = 0; i < e->end_count; i++)
        want += moves(e->ends[i].handle, e->ends[i].quantity, 0, 0);
    if (r->type != type_of(e))
        auditor_violate(a, "JOURNAL: LSN %lu is a %s, should be a %s", lsn,
                        core_record_type_name(r->type), core_record_type_name(type_of(e)));
    else if (told != want && e->kind != ORACLE_CHANGE)
        auditor_violate(a, "JOURNAL: %s at LSN %lu moves other quantities than were answered",
                        core_record_type_name(r->type), lsn);
    else if (!hf_uuid_is_nil(e->id) && !hf_uuid_equal(r->id, e->id))
        auditor_violate(a, "JOURNAL: LSN %lu has another id", lsn);
    else if (r->type == CORE_RECORD_RELEASE && e->text[0] &&
             (parts.reason_bytes != strlen(e->text) ||
              memcmp(parts.reason, e->text, parts.reason_bytes) != 0))
        auditor_violate(a, "JOURNAL: the release at LSN %lu has another reason", lsn);
    s->stats.journal_records_checked++;
    return sim_ok(s) ? HF_OK : HF_INVALID;
}

bool sim_journal_audit(struct sim *s)
{
    struct journal_report report;
    memset(&report, 0, sizeof report);
    enum hf_status st = journal_inspect(&s->fs->base, NULL, visit, s, &report);
    if (st != HF_OK && sim_ok(s))
        return auditor_violate(&s->audit, "JOURNAL cannot be inspected: %s: %s at %lu: %s",
                               hf_status_name(st), report.where, report.offset, report.why);
    return sim_ok(s);
}
