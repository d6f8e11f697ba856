#include "flush/records.h"

#include "core/record.h"

#include <stdlib.h>

#define GROUPS_AT_ONCE 64
#define TRIES          8

struct walking {
    journal_visit visit;
    void *ctx;
    uint64_t last, upto;
    struct hf_uuid id; // nil: all
    bool ended;        // past upto, or the visitor wanted no more
};

static enum hf_status walk_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *r)
{
    struct walking *k = ctx;
    if (lsn <= k->last)
        return HF_OK;
    if (lsn > k->upto) {
        k->ended = true;
        return HF_STOPPED;
    }
    enum hf_status s = HF_OK;
    if (hf_uuid_is_nil(k->id) || hf_uuid_equal(k->id, r->id))
        s = k->visit(k->ctx, lsn, time_ms, r);
    if (s == HF_OK)
        k->last = lsn;
    else
        k->ended = true;
    return s;
}

static enum hf_status journal_walk(struct core *c, struct walking *k)
{
    struct journal_reader *reader;
    enum hf_status s = journal_reader_create(core_journal(c), k->last, &reader);
    if (s != HF_OK)
        return s;
    while (!k->ended && (s = journal_reader_step(reader, GROUPS_AT_ONCE, walk_visit, k)) == HF_OK)
        ;
    journal_reader_destroy(reader);
    return s;
}

static enum hf_status walk(struct core *c, struct walking *k)
{
    struct archive *a = core_archive(c);
    enum hf_status s = HF_BUSY;
    for (int tries = 0; tries < TRIES; tries++) {
        s = journal_walk(c, k);
        if (k->ended)
            return k->last >= k->upto || s == HF_STOPPED ? HF_OK : s;
        if (s == HF_AGAIN)
            return HF_OK; // nothing more is durable
        if (s != HF_NOT_FOUND)
            return s;
        uint64_t before = k->last;
        s = a ? archive_walk(a, k->last, walk_visit, k) : HF_NOT_FOUND;
        if (k->ended)
            return s == HF_STOPPED ? HF_OK : s;
        if (s != HF_OK)
            return s;
        if (k->last == before)
            s = HF_BUSY;
    }
    return s;
}

enum hf_status records_walk(struct core *c, uint64_t after, uint64_t upto, journal_visit visit,
                            void *ctx)
{
    struct walking k = {.visit = visit, .ctx = ctx, .last = after, .upto = upto};
    return walk(c, &k);
}

enum hf_status records_of(struct core *c, struct hf_uuid id, journal_visit visit, void *ctx)
{
    struct archive *a = core_archive(c);
    struct walking k = {.visit = visit, .ctx = ctx, .id = id, .upto = UINT64_MAX};
    // Before the archive is asked, so that nothing falls between the two.
    uint64_t archived = a ? archive_lsn(a) : journal_oldest_lsn(core_journal(c)) - 1;
    enum hf_status s = a ? archive_find_id(a, id, walk_visit, &k) : HF_OK;
    if (k.ended || (s != HF_OK && s != HF_NOT_FOUND))
        return s;
    if (k.last < archived)
        k.last = archived;
    return walk(c, &k);
}

struct among {
    const struct hf_uuid *ids;
    uint32_t count;
    bool *found;
};

static enum hf_status mark_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *r)
{
    bool *found = ctx;
    (void)lsn, (void)time_ms, (void)r;
    *found = true;
    return HF_OK;
}

static enum hf_status among_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r)
{
    struct among *k = ctx;
    uint32_t low = 0, high = k->count;
    (void)lsn, (void)time_ms;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct hf_uuid *id = &k->ids[middle];
        if (id->hi < r->id.hi || (id->hi == r->id.hi && id->lo < r->id.lo))
            low = middle + 1;
        else
            high = middle;
    }
    if (low < k->count && hf_uuid_equal(k->ids[low], r->id))
        k->found[low] = true;
    return HF_OK;
}

enum hf_status records_among(struct core *c, const struct hf_uuid *ids, uint32_t count, bool *found)
{
    struct archive *a = core_archive(c);
    struct among k = {ids, count, found};
    // Before the archive is asked, so that nothing falls between the two.
    uint64_t archived = a ? archive_lsn(a) : journal_oldest_lsn(core_journal(c)) - 1;
    for (uint32_t i = 0; i < count; i++) {
        enum hf_status s = a ? archive_find_id(a, ids[i], mark_visit, &found[i]) : HF_OK;
        if (s != HF_OK && s != HF_NOT_FOUND)
            return s;
    }
    return records_walk(c, archived, UINT64_MAX, among_visit, &k);
}

enum hf_status records_one(struct core *c, uint64_t lsn, struct journal_record *room)
{
    struct archive *a = core_archive(c);
    enum hf_status s = journal_read_one(core_journal(c), lsn, room, HF_RECORD_BYTES_MAX);
    if (s == HF_NOT_FOUND && a)
        s = archive_read_one(a, lsn, room, HF_RECORD_BYTES_MAX);
    return s;
}

enum hf_status records_at(struct core *c, uint64_t time_ms, uint64_t *lsn)
{
    struct journal_record *room = malloc(HF_RECORD_BYTES_MAX);
    uint64_t low = 1, high = core_durable(c) + 1, at_ms;
    enum hf_status s = room ? HF_OK : HF_NO_MEMORY;
    while (s == HF_OK && low < high) {
        uint64_t middle = low + (high - low) / 2;
        s = records_one(c, middle, room);
        at_ms = s == HF_OK ? core_record_time((const struct core_record *)room) : 0;
        if (s == HF_NOT_FOUND || (s == HF_OK && at_ms < time_ms)) {
            low = middle + 1; // what has expired was before
            s = HF_OK;
        } else {
            high = middle;
        }
    }
    free(room);
    *lsn = low;
    return s;
}
