// Reading groups and telling good from bad: shared by recovery, inspection and readers.
//
// Why no look-alike can pass. A record's payload is the users': any bytes may stand where a block
// begins. So the writer makes sure that no block but a group's first begins with the group magic:
// each further block's first word is xor-ed with a mask chosen so that none equals it (0 unless
// one does, which costs the writer one compare a block). A block of a segment file that begins
// with the magic therefore *is* a group header that an engine wrote, in this life of the file or
// an earlier one; the segment number in it tells which, and engine, offset and crc the rest. This
// holds for the leftovers of torn groups too, so a cut needs no wiping of what lies behind it.
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------- the window

bool journal_scan_init(struct journal_scan *s, struct storage *storage, size_t capacity)
{
    *s = (struct journal_scan){
        .storage = storage, .file = -1, .capacity = capacity, .ahead = capacity};
    s->buffer = journal_blocks_alloc(capacity);
    return s->buffer != NULL;
}

void journal_scan_fini(struct journal_scan *s)
{
    journal_scan_close(s);
    free(s->buffer);
    s->buffer = NULL;
}

void journal_scan_close(struct journal_scan *s)
{
    if (s->file >= 0)
        s->storage->ops->close(s->storage, s->file);
    s->file = -1;
    s->have = 0;
}

void journal_scan_forget(struct journal_scan *s)
{
    s->have = 0;
}

enum hf_status journal_scan_open(struct journal_scan *s, const char *name)
{
    journal_scan_close(s);
    enum hf_status st =
        s->storage->ops->open(s->storage, name, STORAGE_READ | STORAGE_DIRECT, &s->file);
    if (st != HF_OK) {
        s->file = -1;
        return st;
    }
    s->written = 0;
    st = s->storage->ops->size(s->storage, s->file, &s->file_bytes);
    if (st != HF_OK)
        journal_scan_close(s);
    return st;
}

// Keeps what is there of [offset, ...) and reads on behind it, as far as the window reaches.
static enum hf_status window_move(struct journal_scan *s, uint64_t offset, size_t bytes)
{
    size_t keep = 0, reach = bytes > s->ahead ? bytes : s->ahead;
    if (offset >= s->start && offset < s->start + s->have) {
        keep = (size_t)(s->start + s->have - offset);
        if (offset != s->start)
            memmove(s->buffer, s->buffer + (offset - s->start), keep);
    }
    s->start = offset;
    s->have = keep;
    uint64_t from = offset + keep;
    size_t want = reach > keep ? reach - keep : 0, done = 0;
    uint64_t end = s->file_bytes;
    if (s->written && s->written < end)
        end = s->written;
    if (from + want > end)
        want = from < end ? (size_t)(end - from) : 0;
    want = want / HF_BLOCK * HF_BLOCK;
    if (want == 0)
        return HF_OK;
    enum hf_status st =
        s->storage->ops->pread(s->storage, s->file, s->buffer + keep, want, from, &done);
    if (st == HF_OK)
        s->have += done / HF_BLOCK * HF_BLOCK;
    return st;
}

enum hf_status journal_scan_load(struct journal_scan *s, uint64_t offset, size_t bytes,
                                 unsigned char **at)
{
    size_t whole = (bytes + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK;
    if (offset < s->start || offset + whole > s->start + s->have) {
        if (whole > s->capacity) { // a group larger than today's options allow
            unsigned char *larger = journal_blocks_alloc(whole);
            if (!larger)
                return HF_NO_MEMORY;
            free(s->buffer);
            s->buffer = larger;
            s->capacity = whole;
            s->have = 0;
        }
        enum hf_status st = window_move(s, offset, whole);
        if (st != HF_OK)
            return st;
        if (s->have < whole)
            return HF_DAMAGED;
    }
    *at = s->buffer + (offset - s->start);
    return HF_OK;
}

// ------------------------------------------------------------------------------- the checks

enum journal_block_kind journal_block_kind(const struct journal_group_header *h,
                                           const struct journal_place *at)
{
    if (h->magic != JOURNAL_MAGIC_GROUP)
        return JOURNAL_BLOCK_NONE;
    if (h->crc != journal_header_crc(h, JOURNAL_GROUP_HEADER))
        return JOURNAL_BLOCK_BROKEN;
    if (h->version > JOURNAL_FORMAT_VERSION)
        return JOURNAL_BLOCK_NEWER; // before anything that such a version may have redefined
    if (!hf_uuid_equal(h->engine_id, at->engine))
        return JOURNAL_BLOCK_FOREIGN;
    if (h->segment != at->segment)
        return JOURNAL_BLOCK_STALE;
    uint64_t room = at->file_bytes - at->offset;
    if (h->version == 0 || h->offset != at->offset || h->number == 0 || h->first_lsn == 0 ||
        h->flags != 0 || h->zero[0] != 0 || h->zero[1] != 0 || h->body_bytes % 8 != 0 ||
        journal_group_blocks(h->body_bytes) * HF_BLOCK > room ||
        (uint64_t)h->records * sizeof(struct journal_record) > h->body_bytes ||
        (h->records == 0) != (h->body_bytes == 0))
        return JOURNAL_BLOCK_BROKEN;
    return JOURNAL_BLOCK_GROUP;
}

static uint32_t first_nonzero(const unsigned char *p, uint32_t from, uint32_t to)
{
    while (from < to && p[from] == 0)
        from++;
    return from;
}

// Offset of the first bad record, or the end of the body when all are good.
static uint32_t records_check(const unsigned char *group, uint32_t end, uint32_t records,
                              const char **why)
{
    uint32_t at = JOURNAL_GROUP_HEADER;
    for (; at < end; records--) {
        const struct journal_record *r = (const struct journal_record *)(group + at);
        uint32_t left = end - at;
        if (records == 0 || left < sizeof *r || r->type == 0 ||
            journal_record_bytes(r) < sizeof *r || journal_record_bytes(r) > left) {
            *why = "a record's frame is impossible";
            return at;
        }
        if (r->crc != journal_record_crc(r)) {
            *why = "a record's checksum is wrong";
            return at;
        }
        at += journal_record_bytes(r);
    }
    if (records != 0)
        *why = "the group holds fewer records than its header says";
    return at;
}

const char *journal_body_check(unsigned char *group, uint32_t *offset, bool *intact)
{
    struct journal_group_header h;
    memcpy(&h, group, sizeof h);
    uint32_t end = JOURNAL_GROUP_HEADER + h.body_bytes;
    uint32_t blocks_end = (uint32_t)journal_group_blocks(h.body_bytes) * HF_BLOCK;
    *intact = false;
    *offset = JOURNAL_GROUP_HEADER;
    if (hf_crc32c(0, group + JOURNAL_GROUP_HEADER, h.body_bytes) != h.body_crc)
        return "the group's checksum is wrong";
    *offset = first_nonzero(group, end, blocks_end);
    if (*offset != blocks_end)
        return "the padding behind the group is not zero";
    *intact = true;
    journal_mask_apply(group, h.body_bytes, h.mask);
    const char *why = NULL;
    *offset = records_check(group, end, h.records, &why);
    return why;
}

// A second and a third cursor run in front of the visits, by so many records each.
#define SCOUT_AHEAD 16

struct scouts {
    uint32_t at[2];
    uint32_t end;
};

static void scout(const unsigned char *group, struct scouts *s, unsigned stage, journal_ahead ahead,
                  void *ctx)
{
    if (s->at[stage] >= s->end)
        return;
    const struct journal_record *r = (const struct journal_record *)(group + s->at[stage]);
    s->at[stage] += journal_record_bytes(r);
    ahead(ctx, r, stage);
}

enum hf_status journal_body_visit(const unsigned char *group, uint64_t after, journal_visit visit,
                                  journal_ahead ahead, void *ahead_ctx, void *ctx)
{
    const struct journal_group_header *h = (const struct journal_group_header *)group;
    uint32_t at = JOURNAL_GROUP_HEADER;
    struct scouts s = {{at, at}, at + h->body_bytes};
    for (int i = 0; ahead && i < SCOUT_AHEAD; i++)
        scout(group, &s, 0, ahead, ahead_ctx);
    for (int i = 0; ahead && i < SCOUT_AHEAD; i++) {
        scout(group, &s, 0, ahead, ahead_ctx);
        scout(group, &s, 1, ahead, ahead_ctx);
    }
    for (uint64_t lsn = h->first_lsn; lsn < h->first_lsn + h->records; lsn++) {
        const struct journal_record *r = (const struct journal_record *)(group + at);
        at += journal_record_bytes(r);
        if (ahead) {
            scout(group, &s, 0, ahead, ahead_ctx);
            scout(group, &s, 1, ahead, ahead_ctx);
        }
        enum hf_status st = lsn > after ? visit(ctx, lsn, h->time_ms, r) : HF_OK;
        if (st != HF_OK)
            return st;
    }
    return HF_OK;
}

// ------------------------------------------------------------------------------- the mask

static uint64_t word_at(const unsigned char *group, uint32_t at)
{
    uint64_t w;
    memcpy(&w, group + at, 8);
    return w;
}

static bool mask_works(const unsigned char *group, uint32_t end, uint64_t mask)
{
    for (uint32_t at = HF_BLOCK; at < end; at += HF_BLOCK)
        if ((word_at(group, at) ^ mask) == JOURNAL_MAGIC_GROUP)
            return false;
    return true;
}

// Each block rules out one mask, so one of the first `blocks` + 1 works.
uint64_t journal_mask_choose(const unsigned char *group, uint32_t body_bytes)
{
    uint64_t mask = 0;
    while (!mask_works(group, JOURNAL_GROUP_HEADER + body_bytes, mask))
        mask++;
    return mask;
}

void journal_mask_apply(unsigned char *group, uint32_t body_bytes, uint64_t mask)
{
    if (mask == 0)
        return;
    for (uint32_t at = HF_BLOCK; at < JOURNAL_GROUP_HEADER + body_bytes; at += HF_BLOCK) {
        uint64_t w = word_at(group, at) ^ mask;
        memcpy(group + at, &w, 8);
    }
}
