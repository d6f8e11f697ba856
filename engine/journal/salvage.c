// Reading a damaged journal for what is left of it. Recovery stops where a group does not follow;
// this goes on: block by block to the next header that an engine wrote at that very place (the mask
// keeps payloads from looking like one, see scan.c), and inside a broken group from record to
// record, by their own checksums. What a crash may have left behind the end is not brought to
// light: a group counts only if the journal went on after it or all of it is whole, and never after
// a higher epoch.
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

struct salvage {
    struct storage *storage;
    struct journal_scan scan;
    struct hf_uuid engine;
    uint64_t *segments; // numbers, ascending
    uint32_t count, capacity;
    enum hf_status list_status;
    bool measuring; // first pass: looks for the newest whole group, tells nothing
    uint64_t newest, newest_epoch;
    uint64_t epoch, lsn; // of what was visited
    journal_visit visit;
    journal_damage damage;
    void *ctx;
    char name[STORAGE_NAME_BYTES]; // of the segment in hand
};

static void list_one(void *ctx, const char *name)
{
    struct salvage *s = ctx;
    uint64_t number = journal_segment_number(name);
    if (number == 0)
        return;
    if (s->count == s->capacity) {
        uint32_t capacity = s->capacity ? 2 * s->capacity : 64;
        void *larger = realloc(s->segments, capacity * sizeof *s->segments);
        if (!larger) {
            s->list_status = HF_NO_MEMORY;
            return;
        }
        s->segments = larger;
        s->capacity = capacity;
    }
    s->segments[s->count++] = number;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void tell(struct salvage *s, uint64_t offset, uint64_t lsn, const char *why)
{
    if (!s->measuring && s->damage)
        s->damage(s->ctx, s->name, offset, lsn, why);
}

static enum hf_status record_visit(struct salvage *s, const struct journal_group_header *h,
                                   uint64_t lsn, const struct journal_record *r)
{
    if (lsn <= s->lsn)
        return HF_OK;
    s->lsn = lsn;
    return s->visit ? s->visit(s->ctx, lsn, h->time_ms, r) : HF_OK;
}

// The records of a group, each judged by itself. A frame that is impossible ends the group: where
// the next one begins is not known.
static enum hf_status records_visit(struct salvage *s, const unsigned char *group)
{
    const struct journal_group_header *h = (const struct journal_group_header *)group;
    uint32_t at = JOURNAL_GROUP_HEADER, end = at + h->body_bytes;
    uint64_t lsn = h->first_lsn;
    for (; at < end && lsn < h->first_lsn + h->records; lsn++) {
        const struct journal_record *r = (const struct journal_record *)(group + at);
        if (end - at < sizeof *r || r->type == 0 || journal_record_bytes(r) < sizeof *r ||
            journal_record_bytes(r) > end - at)
            break;
        enum hf_status st = HF_OK;
        if (r->crc == journal_record_crc(r))
            st = record_visit(s, h, lsn, r);
        else
            tell(s, h->offset + at, lsn, "a record's checksum is wrong");
        if (st != HF_OK)
            return st;
        at += journal_record_bytes(r);
    }
    if (lsn < h->first_lsn + h->records)
        tell(s, h->offset + at, lsn, "a record's frame is impossible: so ends the group");
    return HF_OK;
}

static enum hf_status group_visit(struct salvage *s, unsigned char *group)
{
    struct journal_group_header h;
    uint32_t where;
    bool intact;
    memcpy(&h, group, sizeof h);
    const char *why = journal_body_check(group, &where, &intact);
    if (s->measuring) {
        bool newer = !why && (h.epoch > s->newest_epoch ||
                              (h.epoch == s->newest_epoch && h.number > s->newest));
        s->newest = newer ? h.number : s->newest;
        s->newest_epoch = newer ? h.epoch : s->newest_epoch;
        return HF_OK;
    }
    if (h.epoch < s->epoch || h.epoch > s->newest_epoch || h.number > s->newest)
        return HF_OK; // a process that should have been dead, or an unfinished end
    s->epoch = h.epoch;
    if (why && !intact) {
        journal_mask_apply(group, h.body_bytes, h.mask);
        tell(s, h.offset + where, 0, why);
    }
    return records_visit(s, group);
}

static enum hf_status segment_visit(struct salvage *s, uint64_t number)
{
    unsigned char *at;
    journal_segment_name(number, s->name);
    enum hf_status st = journal_scan_open(&s->scan, s->name);
    uint64_t bytes = s->scan.file_bytes / HF_BLOCK * HF_BLOCK;
    for (uint64_t offset = HF_BLOCK; st == HF_OK && offset < bytes;) {
        struct journal_place place = {s->engine, number, offset, bytes};
        st = journal_scan_load(&s->scan, offset, HF_BLOCK, &at);
        if (st != HF_OK)
            return st;
        const struct journal_group_header *h = (const struct journal_group_header *)at;
        enum journal_block_kind kind = journal_block_kind(h, &place);
        uint64_t blocks = 1;
        if (kind == JOURNAL_BLOCK_NEWER)
            return HF_TOO_NEW;
        if (kind == JOURNAL_BLOCK_GROUP) {
            blocks = journal_group_blocks(h->body_bytes);
            st = journal_scan_load(&s->scan, offset, blocks * HF_BLOCK, &at);
            if (st == HF_OK)
                st = group_visit(s, at);
        }
        offset += blocks * HF_BLOCK;
    }
    return st;
}

static enum hf_status salvage_all(struct salvage *s)
{
    struct journal_report report = {0};
    struct journal_meta meta = {0};
    enum hf_status st = journal_meta_read(s->storage, &meta, &report);
    if (st != HF_OK)
        return st;
    s->engine = meta.engine_id;
    if (!journal_scan_init(&s->scan, s->storage, JOURNAL_SCAN_BYTES))
        return HF_NO_MEMORY;
    st = s->storage->ops->list(s->storage, list_one, s);
    if (st == HF_OK)
        st = s->list_status;
    if (st == HF_OK && s->count)
        qsort(s->segments, s->count, sizeof *s->segments, by_number);
    for (int pass = 0; pass < 2; pass++) {
        s->measuring = pass == 0;
        for (uint32_t i = 0; i < s->count && st == HF_OK; i++)
            st = segment_visit(s, s->segments[i]);
    }
    return st;
}

enum hf_status journal_salvage(struct storage *storage, uint64_t after, journal_visit visit,
                               journal_damage damage, void *ctx)
{
    struct salvage s = {.storage = storage,
                        .scan.file = -1,
                        .lsn = after,
                        .visit = visit,
                        .damage = damage,
                        .ctx = ctx};
    enum hf_status st = salvage_all(&s);
    journal_scan_fini(&s.scan);
    free(s.segments);
    return st;
}
