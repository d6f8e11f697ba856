// ErpService, the day's end: what was sold in a time, by location and channel, and where it is now.
#include "service/erp.h"

#include "flush/records.h"

#include "core/record.h"

#include <string.h>

#define DAY_MS         (UINT64_C(24) * 3600 * 1000)
#define DAYS_MAX       32
#define GROUPS_MAX     4096
#define DOCUMENTS_MAX  10000
#define ITEM_BYTES_MAX 192 // of a group or a document as packed, with names as long as they may be
static_assert((GROUPS_MAX + DOCUMENTS_MAX) * ITEM_BYTES_MAX <= ANSWER_BYTES_MAX, "one answer");
#define LINES_MAX (UINT32_C(1) << 22) // of all postings that the days' movements are in
#define DISORDER  100000              // records of one moment, at most

typedef Holdfast__V1__CloseTotal Total;
typedef Holdfast__V1__CloseDocument Document;

struct closing {
    struct core *core;
    struct arena *arena;
    struct flush_fates *fates;
    uint64_t from_ms, to_ms;
    struct group {
        const char *location;
        uint32_t bytes, channel;
        Total *total;
    } * groups;
    uint32_t group_count;
    struct flush_span_of {
        uint64_t batch;
        Document *out;
    } * documents;
    uint32_t document_count, *table; // by batch: index + 1
    bool cut;
};

static Total *group_get(struct closing *k, uint32_t handle, uint32_t channel)
{
    struct core_name n;
    if (core_cell_name(k->core, handle, &n) != HF_OK)
        return NULL;
    for (uint32_t i = 0; i < k->group_count; i++) {
        const struct group *g = &k->groups[i];
        if (g->channel == channel && g->bytes == n.location_bytes &&
            memcmp(g->location, n.location, g->bytes) == 0)
            return g->total;
    }
    Total *t = k->group_count < GROUPS_MAX ? arena_take(k->arena, sizeof *t) : NULL;
    const char *name = core_channel_name(k->core, (uint16_t)channel);
    if (!t)
        return NULL;
    holdfast__v1__close_total__init(t);
    t->location = arena_text(k->arena, n.location, n.location_bytes);
    t->channel = name ? arena_text(k->arena, name, strlen(name)) : t->channel;
    k->groups[k->group_count++] = (struct group){n.location, n.location_bytes, channel, t};
    return t->location && t->channel ? t : NULL;
}

// False: no memory.
static bool document_add(struct closing *k, const struct flush_span *s, int64_t quantity)
{
    uint32_t mask = 2 * 16384 - 1, at = (uint32_t)(s->batch * 2654435761u) & mask;
    while (k->table[at] && k->documents[k->table[at] - 1].batch != s->batch)
        at = (at + 1) & mask;
    if (!k->table[at]) {
        char name[FLUSH_NAME_BYTES];
        if (k->document_count == DOCUMENTS_MAX) {
            k->cut = true;
            return true;
        }
        Document *d = arena_take(k->arena, sizeof *d);
        if (!d)
            return false;
        holdfast__v1__close_document__init(d);
        flush_fates_name(k->fates, s, name);
        d->batch = arena_text(k->arena, name, strlen(name));
        d->document = s->picking;
        k->documents[k->document_count] = (struct flush_span_of){s->batch, d};
        k->table[at] = ++k->document_count;
        if (!d->batch)
            return false;
    }
    Document *d = k->documents[k->table[at] - 1].out;
    d->quantity += quantity;
    d->movements++;
    return true;
}

static bool movement_add(struct closing *k, uint64_t lsn, const struct core_record *rec,
                         uint32_t handle, int64_t quantity)
{
    Total *t = group_get(k, handle, rec->channel);
    const struct flush_span *s =
        flush_fates_find(k->fates, handle, FLUSH_SALE, lsn, core_record_time(rec));
    if (!t)
        return false;
    t->committed += quantity;
    t->movements++;
    if (!s) {
        *(lsn > flush_fates_taken(k->fates) ? &t->waiting : &t->netted) += quantity;
        return true;
    }
    int64_t *to[FLUSH_WHERE_COUNT] = {[FLUSH_WAITING] = &t->waiting,
                                      [FLUSH_IN_FLIGHT] = &t->in_flight,
                                      [FLUSH_BOOKED] = &t->booked,
                                      [FLUSH_DEAD] = &t->dead,
                                      [FLUSH_ACKNOWLEDGED] = &t->acknowledged,
                                      [FLUSH_DISCARDED] = &t->discarded,
                                      [FLUSH_NETTED] = &t->netted};
    *to[s->where] += quantity;
    return (s->where != FLUSH_ACKNOWLEDGED && s->where != FLUSH_BOOKED) ||
           document_add(k, s, quantity);
}

static enum hf_status close_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *frame)
{
    struct closing *k = ctx;
    struct core_record_parts p;
    const struct core_record *rec = (const struct core_record *)frame;
    uint64_t at_ms = core_record_time(rec);
    (void)time_ms;
    if (at_ms < k->from_ms || at_ms >= k->to_ms)
        return HF_OK;
    if (!core_record_parse(frame, &p))
        return HF_DAMAGED;
    for (uint32_t i = 0; i < rec->line_count; i++) {
        enum flush_kind kind;
        int64_t quantity;
        if (flush_movement_of(&rec->lines[i], &p, &kind, &quantity) && kind == FLUSH_SALE &&
            !movement_add(k, lsn, rec, rec->lines[i].handle, quantity))
            return HF_NO_MEMORY;
    }
    return HF_OK;
}

static enum hf_status history_read(struct closing *k)
{
    // What was posted since, of later days, is left out: it may be all of many days.
    struct flush_history_filter filter = {
        .max = LINES_MAX, .kinds = 1u << FLUSH_SALE, .before_ms = k->to_ms};
    uint64_t today = core_now(k->core) / DAY_MS;
    enum hf_status s = HF_OK;
    for (uint64_t day = k->from_ms / DAY_MS; s == HF_OK && day <= today; day++)
        s = flush_fates_day(k->fates, day, &filter);
    return s;
}

static enum hf_status close_run(struct closing *k)
{
    uint64_t first, last;
    enum hf_status s = records_at(k->core, k->from_ms, &first);
    if (s == HF_OK)
        s = records_at(k->core, k->to_ms, &last);
    if (s == HF_OK)
        s = history_read(k);
    if (s != HF_OK)
        return s;
    uint64_t oldest = journal_oldest_lsn(core_journal(k->core));
    first = first > DISORDER ? first - DISORDER : 1;
    if (!core_archive(k->core) && first < oldest)
        first = oldest;
    return records_walk(k->core, first - 1, last + DISORDER, close_visit, k);
}

static bool memory_take(struct closing *k)
{
    k->groups = arena_take(k->arena, GROUPS_MAX * sizeof *k->groups);
    k->documents = arena_take(k->arena, DOCUMENTS_MAX * sizeof *k->documents);
    k->table = arena_take(k->arena, 2 * 16384 * sizeof *k->table);
    if (k->table)
        memset(k->table, 0, 2 * 16384 * sizeof *k->table);
    return k->groups && k->documents && k->table;
}

static bool close_fill(struct closing *k, Holdfast__V1__CloseDayResponse *out)
{
    out->totals = arena_take(k->arena, (k->group_count + 1) * sizeof(void *));
    out->documents = arena_take(k->arena, (k->document_count + 1) * sizeof(void *));
    if (!out->totals || !out->documents)
        return false;
    for (uint32_t i = 0; i < k->group_count; i++)
        out->totals[out->n_totals++] = k->groups[i].total;
    for (uint32_t i = 0; i < k->document_count; i++)
        out->documents[out->n_documents++] = k->documents[i].out;
    out->cut = k->cut;
    return true;
}

void erp_close(void *ctx, void *local, struct rpc_call *call)
{
    const Holdfast__V1__CloseDayRequest *in = (const void *)call->request;
    Holdfast__V1__CloseDayResponse out = HOLDFAST__V1__CLOSE_DAY_RESPONSE__INIT;
    struct closing k = {.core = local_core(local), .arena = &call->arena};
    (void)ctx;
    if (in->from_ms <= 0 || in->to_ms <= in->from_ms ||
        (uint64_t)(in->to_ms - in->from_ms) > DAYS_MAX * DAY_MS) {
        erp_fail(call, RPC_INVALID_ARGUMENT, NULL, "to_ms", "after from_ms, at most 32 days");
        return;
    }
    k.from_ms = (uint64_t)in->from_ms;
    k.to_ms = (uint64_t)in->to_ms;
    k.fates = erp_fates(local, call);
    if (!k.fates)
        return;
    enum hf_status s = memory_take(&k) ? close_run(&k) : HF_NO_MEMORY;
    if (s == HF_OK && !close_fill(&k, &out))
        s = HF_NO_MEMORY;
    flush_fates_destroy(k.fates);
    if (s == HF_OK)
        rpc_reply(call, &out.base, 0);
    else
        erp_fail_status(call, s);
}
