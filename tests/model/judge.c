// What each verb may be answered, state by state.
#include "model/oracle.h"

#include <stdlib.h>
#include <string.h>

static void allow(struct oracle_judgement *j, enum core_outcome outcome, bool repeat,
                  enum oracle_effect effect)
{
    HF_ASSERT(j->count < ORACLE_VERDICTS_MAX);
    j->verdicts[j->count++] = (struct oracle_verdict){outcome, repeat, effect};
}

static void allow_plain(struct oracle_judgement *j, enum core_outcome outcome)
{
    allow(j, outcome, false, ORACLE_NOTHING);
}

static void invalid(struct oracle_judgement *j, uint32_t fields)
{
    j->fields |= fields;
    allow_plain(j, CORE_OUT_INVALID);
}
#define FIELD(name) (UINT32_C(1) << CORE_FIELD_##name)
static_assert((int)CORE_FIELD_COUNT <= 32, "a bit each");

// ------------------------------------------------------------------------------- input

static bool takes(enum core_verb v)
{
    return v == CORE_RESERVE || v == CORE_ORDER || v == CORE_RECORD;
}

static bool needs_op(const struct core_request *r)
{
    return r->verb == CORE_EXTEND || r->verb == CORE_CANCEL || r->verb == CORE_RETURN ||
           (r->verb == CORE_RELEASE && r->line_count);
}

static uint32_t flags_of(enum core_verb v)
{
    switch (v) {
    case CORE_RESERVE:
    case CORE_ORDER:
        return CORE_BEST_EFFORT;
    case CORE_COMMIT:
        return CORE_RETAKE;
    case CORE_RETURN:
        return CORE_SCRAP;
    default:
        return 0;
    }
}

static bool id_ok(const struct oracle_times *t, const struct core_request *r)
{
    unsigned version = hf_uuid_version(r->id);
    if (!hf_uuid_variant_ok(r->id) || (version != 7 && version != 4))
        return false;
    return version == 7 || (t->allow_v4 && r->verb != CORE_ORDER && r->verb != CORE_RECORD);
}

static uint32_t lines_faults(const struct oracle *o, const struct core_request *r)
{
    bool needed = takes(r->verb) || r->verb == CORE_CANCEL || r->verb == CORE_RETURN;
    bool allowed = needed || r->verb == CORE_COMMIT || r->verb == CORE_RELEASE;
    uint32_t faults = 0;
    if (r->line_count > HF_LINES_MAX || (needed && !r->line_count) || (!allowed && r->line_count))
        faults |= FIELD(LINES);
    for (uint32_t i = 0; i < r->line_count; i++) {
        if (r->lines[i].handle >= o->cell_count || !o->cells[r->lines[i].handle].made)
            faults |= FIELD(HANDLE);
        if (r->lines[i].quantity < 1 || r->lines[i].quantity > HF_QUANTITY_MAX)
            faults |= FIELD(QUANTITY);
    }
    return faults;
}

// All faults: which one is named first is not promised.
static uint32_t faults_of(const struct oracle *o, const struct oracle_times *t,
                          const struct core_request *r)
{
    uint32_t faults = 0;
    if ((unsigned)r->verb >= CORE_VERB_COUNT)
        return FIELD(VERB);
    if (r->flags & ~flags_of(r->verb))
        faults |= FIELD(FLAGS);
    if (!id_ok(t, r))
        faults |= FIELD(ID);
    if (needs_op(r) ? hf_uuid_version(r->op_id) != 7 || !hf_uuid_variant_ok(r->op_id)
                    : !hf_uuid_is_nil(r->op_id))
        faults |= FIELD(OPERATION_ID);
    faults |= lines_faults(o, r);
    bool ttl = r->verb == CORE_RESERVE || r->verb == CORE_EXTEND;
    if (ttl ? r->ttl_ms < 1 || r->ttl_ms > t->ttl_max_ms : r->ttl_ms != 0)
        faults |= FIELD(TTL);
    if (r->channel && (!takes(r->verb) || r->channel >= o->channel_count ||
                       !o->channels[r->channel][0]))
        faults |= FIELD(CHANNEL);
    if (r->text && takes(r->verb) && r->text->reference_bytes > HF_REFERENCE_BYTES_MAX)
        faults |= FIELD(REFERENCE);
    if (r->text && takes(r->verb) && r->text->buyer_bytes > HF_BUYER_BYTES_MAX)
        faults |= FIELD(BUYER);
    if (r->text && r->verb == CORE_RELEASE && r->text->reason_bytes > HF_REASON_BYTES_MAX)
        faults |= FIELD(REASON);
    return faults;
}

// Together more than any order may ask for.
static bool huge(const struct core_request *r)
{
    __int128 sum = 0;
    for (uint32_t i = 0; i < r->line_count; i++)
        sum += r->lines[i].quantity;
    return sum > HF_QUANTITY_MAX;
}

static bool inactive(const struct oracle *o, const struct core_line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!o->cells[lines[i].handle].active)
            return true;
    return false;
}

// ------------------------------------------------------------------------------- remembering

// Whether an outcome of that time may have been forgotten by now. (Buckets keep it longer.)
static bool may_be_forgotten(const struct oracle_times *t, uint64_t time_ms)
{
    return t->now_ms >= time_ms + t->window_ms_low + t->skew_ms;
}

static bool below_floor(const struct oracle_times *t, struct hf_uuid id, bool surely)
{
    uint64_t ms = hf_uuid_ms(id);
    if (ms < t->floor_ms)
        return true;
    return !surely && ms + t->window_ms < t->now_ms;
}

static bool in_future(const struct oracle_times *t, struct hf_uuid id)
{
    return hf_uuid_ms(id) > t->now_ms + t->skew_ms;
}

// Verdicts by an unknown id's own time. True: it may be new.
static bool judge_time(const struct oracle_times *t, struct hf_uuid id,
                       struct oracle_judgement *j)
{
    if (hf_uuid_version(id) != 7)
        return true;
    if (in_future(t, id)) {
        allow_plain(j, CORE_OUT_ID_IN_FUTURE);
        return false;
    }
    if (below_floor(t, id, false))
        allow_plain(j, CORE_OUT_ID_TOO_OLD);
    return !below_floor(t, id, true);
}

// So much that a cell's terms would, or after the rest of the batch might, leave their range.
static bool past_bounds(const struct oracle *o, const struct oracle_times *t,
                        const struct core_line *lines, uint32_t count, bool restock)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct oracle_cell *c = &o->cells[lines[i].handle];
        __int128 most = lines[i].quantity > t->batch_units ? lines[i].quantity : t->batch_units;
        if (restock ? c->on_hand + most > HF_QUANTITY_MAX
                    : oracle_available(c) - most < -HF_AVAILABLE_MAX / 2)
            return true;
    }
    return false;
}

static void judge_fresh(const struct oracle *o, const struct oracle_times *t,
                        const struct core_request *r, const struct core_line *lines,
                        uint32_t count, struct oracle_judgement *j)
{
    if (inactive(o, lines, count)) {
        invalid(j, FIELD(INACTIVE));
        if (r->verb != CORE_RECORD)
            return;
    }
    if (r->verb == CORE_RECORD && past_bounds(o, t, lines, count, false))
        invalid(j, FIELD(QUANTITY));
    allow(j, CORE_OUT_DONE, false, ORACLE_TAKES);
    if (r->verb == CORE_RESERVE)
        allow_plain(j, CORE_OUT_REFUSED);
    if (r->verb == CORE_ORDER)
        allow(j, CORE_OUT_REFUSED, false, ORACLE_REJECTS);
}

static void judge_unknown(const struct oracle *o, const struct oracle_times *t,
                          const struct core_request *r, const struct core_line *lines,
                          uint32_t count, struct oracle_judgement *j)
{
    bool fresh = judge_time(t, r->id, j);
    if (needs_op(r))
        (void)judge_time(t, r->op_id, j);
    if (r->verb == CORE_CANCEL || r->verb == CORE_RETURN)
        allow_plain(j, CORE_OUT_NEEDS_RECALL); // it cannot know without looking
    if (fresh && takes(r->verb))
        judge_fresh(o, t, r, lines, count, j);
    else if (!takes(r->verb))
        allow_plain(j, CORE_OUT_UNKNOWN); // as true as a word on its time
}

// ------------------------------------------------------------------------------- by state

static bool due(const struct oracle_times *t, const struct oracle_reservation *r)
{
    return r->state == CORE_STATE_HELD && t->now_ms >= r->deadline_ms;
}

static bool exceeds(const struct oracle_reservation *r, const struct core_line *lines,
                    uint32_t count, bool held)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct oracle_line *l = oracle_line_of(r, lines[i].handle);
        if (!l || lines[i].quantity > (held ? l->held : l->committed - l->taken_back))
            return true;
    }
    return false;
}

static void judge_expired(const struct core_request *r, bool too_much, bool live,
                          struct oracle_judgement *j)
{
    enum oracle_effect ends = live ? ORACLE_EXPIRES : ORACLE_NOTHING;
    if (r->verb != CORE_COMMIT || !(r->flags & CORE_RETAKE)) {
        allow(j, CORE_OUT_EXPIRED, false, ends);
        return;
    }
    allow(j, CORE_OUT_NEEDS_RECALL, false, ends);
    if (too_much) {
        allow(j, CORE_OUT_EXCEEDS, false, ends);
        return;
    }
    allow(j, CORE_OUT_DONE, false, live ? ORACLE_EXPIRES_RETAKES : ORACLE_RETAKES);
    allow(j, CORE_OUT_REFUSED, false, ends);
    allow(j, CORE_OUT_INVALID, false, ends); // a cell that is not active any more
}

static void judge_commit(const struct oracle_times *t, const struct core_request *r,
                         const struct core_line *lines, uint32_t count, uint64_t hash,
                         struct oracle_judgement *j)
{
    const struct oracle_reservation *k = j->known;
    bool too_much = exceeds(k, lines, count, true);
    switch (k->state) {
    case CORE_STATE_HELD:
        if (too_much)
            allow_plain(j, CORE_OUT_EXCEEDS);
        else
            allow(j, CORE_OUT_DONE, false, ORACLE_CHANGES);
        if (due(t, k))
            judge_expired(r, too_much, true, j);
        break;
    case CORE_STATE_COMMITTED:
        if (k->verb != CORE_RESERVE) {
            allow_plain(j, CORE_OUT_WRONG_STATE);
            allow_plain(j, CORE_OUT_CONFLICT);
        } else if (k->ending_hash == hash) {
            allow(j, CORE_OUT_DONE, true, ORACLE_NOTHING);
        } else {
            allow_plain(j, CORE_OUT_CONFLICT);
        }
        break;
    case CORE_STATE_EXPIRED:
        judge_expired(r, too_much, false, j);
        break;
    default:
        allow_plain(j, CORE_OUT_WRONG_STATE);
    }
}

// RELEASE and EXTEND.
static void judge_hold(const struct oracle_times *t, const struct core_request *r,
                       const struct core_line *lines, uint32_t count,
                       struct oracle_judgement *j)
{
    const struct oracle_reservation *k = j->known;
    bool whole = r->verb == CORE_RELEASE && r->line_count == 0;
    switch (k->state) {
    case CORE_STATE_HELD:
        if (exceeds(k, lines, count, true))
            allow_plain(j, CORE_OUT_EXCEEDS);
        else
            allow(j, CORE_OUT_DONE, false, ORACLE_CHANGES);
        if (due(t, k))
            allow(j, CORE_OUT_EXPIRED, false, ORACLE_EXPIRES);
        break;
    case CORE_STATE_EXPIRED:
        allow_plain(j, CORE_OUT_EXPIRED);
        break;
    case CORE_STATE_RELEASED:
        if (whole)
            allow(j, CORE_OUT_DONE, true, ORACLE_NOTHING);
        if (!whole || !k->ended_whole)
            allow_plain(j, CORE_OUT_WRONG_STATE);
        if (whole && !k->ended_whole)
            allow_plain(j, CORE_OUT_CONFLICT);
        break;
    default:
        allow_plain(j, CORE_OUT_WRONG_STATE);
    }
}

// CANCEL and RETURN.
static void judge_take_back(const struct oracle *o, const struct oracle_times *t,
                            const struct core_request *r, const struct core_line *lines,
                            uint32_t count, struct oracle_judgement *j)
{
    const struct oracle_reservation *k = j->known;
    if (k->state != CORE_STATE_COMMITTED) {
        allow_plain(j, CORE_OUT_WRONG_STATE);
        if (due(t, k))
            allow(j, CORE_OUT_WRONG_STATE, false, ORACLE_EXPIRES);
        if (due(t, k) || k->state == CORE_STATE_EXPIRED)
            allow(j, CORE_OUT_EXPIRED, false,
                  k->state == CORE_STATE_EXPIRED ? ORACLE_NOTHING : ORACLE_EXPIRES);
        return;
    }
    allow_plain(j, CORE_OUT_NEEDS_RECALL);
    if (r->verb == CORE_RETURN && past_bounds(o, t, lines, count, true))
        invalid(j, FIELD(QUANTITY));
    if (exceeds(k, lines, count, false))
        allow_plain(j, CORE_OUT_EXCEEDS);
    else
        allow(j, CORE_OUT_DONE, false, ORACLE_CHANGES);
}

static void judge_again(const struct core_request *r, uint64_t hash, struct oracle_judgement *j)
{
    const struct oracle_reservation *k = j->known;
    if (k->body_hash != hash || k->verb != r->verb)
        allow_plain(j, CORE_OUT_CONFLICT);
    else if (k->state == CORE_STATE_REJECTED)
        allow(j, CORE_OUT_REFUSED, true, ORACLE_NOTHING);
    else
        allow(j, CORE_OUT_DONE, true, ORACLE_NOTHING);
}

// ------------------------------------------------------------------------------- all

// The operation's id was seen before. True: judged.
static bool judge_op(const struct oracle *o, const struct oracle_times *t,
                     const struct core_request *r, uint64_t hash, struct oracle_judgement *j)
{
    const struct oracle_op *op = needs_op(r) ? oracle_find_op(o, r->op_id) : NULL;
    if (!op)
        return false;
    if (op->body_hash == hash && hf_uuid_equal(op->id, r->id))
        allow(j, CORE_OUT_DONE, true, ORACLE_NOTHING);
    else
        allow_plain(j, CORE_OUT_CONFLICT);
    if (may_be_forgotten(t, op->time_ms)) {
        allow_plain(j, CORE_OUT_ID_TOO_OLD);
        allow_plain(j, CORE_OUT_NEEDS_RECALL); // the reservation first
        allow_plain(j, CORE_OUT_UNKNOWN);
    }
    return true;
}

static void judge_known(const struct oracle *o, const struct oracle_times *t,
                        const struct core_request *r, const struct core_line *lines,
                        uint32_t count, uint64_t hash, struct oracle_judgement *j)
{
    const struct oracle_reservation *k = j->known;
    if (k->state != CORE_STATE_HELD && may_be_forgotten(t, k->ended_ms)) {
        allow_plain(j, CORE_OUT_ID_TOO_OLD);
        if (!takes(r->verb))
            allow_plain(j, CORE_OUT_UNKNOWN);
        if (r->verb == CORE_CANCEL || r->verb == CORE_RETURN)
            allow_plain(j, CORE_OUT_NEEDS_RECALL);
        if (hf_uuid_version(r->id) == 4 && takes(r->verb))
            judge_fresh(o, t, r, lines, count, j);
    }
    if (needs_op(r)) { // a new operation, judged by its own time
        uint32_t before = j->count;
        if (!judge_time(t, r->op_id, j))
            return;
        HF_ASSERT(j->count <= before + 1);
    }
    if (takes(r->verb))
        judge_again(r, hash, j);
    else if (r->verb == CORE_COMMIT)
        judge_commit(t, r, lines, count, hash, j);
    else if (r->verb == CORE_CANCEL || r->verb == CORE_RETURN)
        judge_take_back(o, t, r, lines, count, j);
    else
        judge_hold(t, r, lines, count, j);
}

void oracle_judge(const struct oracle *o, const struct oracle_times *t,
                  const struct core_request *r, struct oracle_judgement *j)
{
    memset(j, 0, sizeof *j);
    uint32_t faults = faults_of(o, t, r);
    if (faults) {
        invalid(j, faults | (huge(r) ? FIELD(QUANTITY) : 0));
        return;
    }
    struct core_line *lines;
    uint32_t count;
    if (!oracle_merge(r->lines, r->line_count, &lines, &count)) {
        invalid(j, FIELD(QUANTITY));
        free(lines);
        return;
    }
    if (huge(r))
        invalid(j, FIELD(QUANTITY));
    uint64_t hash = oracle_body_hash(r, lines, count);
    j->known = oracle_find(o, r->id);
    if (!judge_op(o, t, r, hash, j)) {
        if (j->known)
            judge_known(o, t, r, lines, count, hash, j);
        else
            judge_unknown(o, t, r, lines, count, j);
    }
    free(lines);
}
