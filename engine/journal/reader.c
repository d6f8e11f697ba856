// Readers: the durable prefix out of the segment files, while the writer appends to them.
//
// A reader keeps its place as {segment, offset, number of the group there, next LSN} and a window
// of the file on a handle of its own.
//
// Guarantees:
//  D1 It reads a group only when the group's LSNs are durable (or, for an empty one, those behind
//     it), so its blocks are written and never change again: W2 in writer.c. A window read before
//     that is read anew.
//  D2 It knows where a segment ends without reading garbage: the next used segment's first group
//     has a number, and the table has it before any LSN in it is durable.
//  D3 A segment that was recycled under it shows as another life's content or a name that is
//     gone; the table, which forgot the segment before its file changed (S3), confirms it:
//     HF_NOT_FOUND. A bad group in a segment that is still in the table is damage.
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

#define READ_ONE_BYTES ((size_t)64 << 10)

struct journal_reader {
    struct journal *journal;
    journal_ahead ahead;
    struct journal_scan scan;
    uint64_t seen_durable; // when the window was read
    uint64_t next_lsn;     // first that was not visited
    uint64_t segment;      // 0: no place yet
    uint64_t offset;
    uint64_t number;   // of the group there; 0: not known yet
    uint64_t checksum; // of the one before it
};

static bool reader_init(struct journal_reader *r, struct journal *j, uint64_t lsn, size_t bytes)
{
    *r = (struct journal_reader){.journal = j, .next_lsn = lsn};
    return journal_scan_init(&r->scan, j->o.storage, bytes);
}

enum hf_status journal_reader_create(struct journal *j, uint64_t after, struct journal_reader **out)
{
    HF_ASSERT(j->recovered);
    struct journal_table *t = &j->table;
    lock_acquire(&t->lock);
    bool gone = t->count != 0 && journal_table_at(t, 0)->state != JOURNAL_SEGMENT_READY &&
                journal_table_at(t, 0)->first_lsn > after + 1;
    lock_release(&t->lock);
    if (gone)
        return HF_NOT_FOUND;
    struct journal_reader *r = malloc(sizeof *r);
    if (!r || !reader_init(r, j, after + 1, STORAGE_PIECE_BYTES)) {
        free(r);
        return HF_NO_MEMORY;
    }
    *out = r;
    return HF_OK;
}

void journal_reader_look_ahead(struct journal_reader *r, journal_ahead ahead)
{
    r->ahead = ahead;
}

void journal_reader_destroy(struct journal_reader *r)
{
    if (!r)
        return;
    journal_scan_fini(&r->scan);
    free(r);
}

static enum hf_status segment_open(struct journal_reader *r)
{
    char name[STORAGE_NAME_BYTES];
    journal_segment_name(r->segment, name);
    return journal_scan_open(&r->scan, name);
}

// Finds the place of next_lsn, which is durable.
static enum hf_status place_find(struct journal_reader *r)
{
    struct journal_table *t = &r->journal->table;
    r->segment = 0;
    lock_acquire(&t->lock);
    struct journal_segment_entry *s = journal_table_lsn(t, r->next_lsn);
    if (s) {
        r->segment = s->number;
        r->offset = HF_BLOCK;
        r->number = s->first_group;
        for (uint32_t i = 0; i < s->index_count && s->index[i].lsn <= r->next_lsn; i++) {
            r->offset = s->index[i].offset;
            if (i > 0)
                r->number = 0;
        }
    }
    uint64_t written = s ? s->written : 0;
    lock_release(&t->lock);
    r->checksum = 0;
    enum hf_status st = s ? segment_open(r) : HF_NOT_FOUND;
    r->scan.written = written;
    return st;
}

// Moves on when the next group begins the next segment (D2). HF_NOT_FOUND: recycled.
static enum hf_status place_check(struct journal_reader *r)
{
    struct journal_table *t = &r->journal->table;
    lock_acquire(&t->lock);
    const struct journal_segment_entry *present = journal_table_number(t, r->segment);
    bool here = present != NULL;
    if (here)
        r->scan.written = present->written; // zeros follow: not worth a read
    const struct journal_segment_entry *next = journal_table_number(t, r->segment + 1);
    bool moves = next && next->state != JOURNAL_SEGMENT_READY && next->first_group == r->number;
    lock_release(&t->lock);
    if (!moves)
        return here ? HF_OK : HF_NOT_FOUND;
    r->segment++;
    r->offset = HF_BLOCK;
    return segment_open(r);
}

// What a failure means, by D3.
static enum hf_status failed(struct journal_reader *r, enum hf_status why)
{
    struct journal_table *t = &r->journal->table;
    lock_acquire(&t->lock);
    bool here = journal_table_number(t, r->segment) != NULL;
    lock_release(&t->lock);
    journal_scan_close(&r->scan);
    r->segment = 0;
    if (why == HF_NO_MEMORY || why == HF_IO)
        return why;
    return here ? HF_DAMAGED : HF_NOT_FOUND;
}

// The header of the group at the reader's place, checked; the next load moves it.
static enum hf_status header_load(struct journal_reader *r, uint64_t durable,
                                  struct journal_group_header *out)
{
    if (r->next_lsn > r->seen_durable) { // D1
        journal_scan_forget(&r->scan);
        r->seen_durable = durable;
    }
    unsigned char *at;
    enum hf_status st = journal_scan_load(&r->scan, r->offset, HF_BLOCK, &at);
    if (st != HF_OK)
        return st;
    struct journal_place place = {r->journal->meta.engine_id, r->segment, r->offset,
                                  r->scan.file_bytes};
    memcpy(out, at, sizeof *out);
    if (journal_block_kind(out, &place) != JOURNAL_BLOCK_GROUP ||
        (r->number != 0 && out->number != r->number) ||
        (r->checksum != 0 && out->previous != r->checksum))
        return HF_DAMAGED;
    return HF_OK;
}

static void place_advance(struct journal_reader *r, const struct journal_group_header *h)
{
    r->offset += journal_group_blocks(h->body_bytes) * HF_BLOCK;
    r->number = h->number + 1;
    r->checksum = journal_group_checksum(h);
    // Recovery did not index the segments that it skipped.
    struct journal_table *t = &r->journal->table;
    if (h->offset % JOURNAL_INDEX_STRIDE > r->offset % JOURNAL_INDEX_STRIDE) {
        lock_acquire(&t->lock);
        struct journal_segment_entry *s = journal_table_number(t, r->segment);
        if (s && s->state == JOURNAL_SEGMENT_CLOSED)
            journal_index_note(s, h->first_lsn, h->offset);
        lock_release(&t->lock);
    }
}

// Brings in the group at the reader's place; *group NULL: it holds nothing from next_lsn on and
// was skipped.
static enum hf_status group_next(struct journal_reader *r, uint64_t durable, unsigned char **group)
{
    struct journal_group_header h;
    *group = NULL;
    enum hf_status st = r->segment == 0 ? place_find(r) : place_check(r);
    if (st == HF_OK)
        st = header_load(r, durable, &h);
    if (st != HF_OK)
        return failed(r, st);
    if (h.first_lsn > r->next_lsn)
        return failed(r, HF_DAMAGED);
    if (h.first_lsn + h.records <= r->next_lsn) {
        place_advance(r, &h);
        return HF_OK;
    }
    uint32_t where;
    bool intact;
    st = journal_scan_load(&r->scan, r->offset, journal_group_blocks(h.body_bytes) * HF_BLOCK,
                           group);
    if (st == HF_OK && journal_body_check(*group, &where, &intact) != NULL)
        st = HF_DAMAGED;
    return st == HF_OK ? HF_OK : failed(r, st);
}

struct visit_one {
    struct journal_reader *reader;
    journal_visit visit;
    void *ctx;
};

// Counts what the caller's function took: after a refusal the walk goes on with that record.
static enum hf_status visit_one(void *ctx, uint64_t lsn, uint64_t time_ms,
                                const struct journal_record *r)
{
    struct visit_one *v = ctx;
    enum hf_status st = v->visit(v->ctx, lsn, time_ms, r);
    if (st == HF_OK)
        v->reader->next_lsn = lsn + 1;
    return st;
}

enum hf_status journal_reader_step(struct journal_reader *r, uint32_t max_groups,
                                   journal_visit visit, void *ctx)
{
    struct visit_one each = {r, visit, ctx};
    uint32_t visited = 0;
    while (visited < max_groups) {
        uint64_t durable = journal_durable(r->journal);
        if (r->next_lsn > durable)
            break;
        unsigned char *group;
        enum hf_status st = group_next(r, durable, &group);
        if (st != HF_OK)
            return st;
        if (!group)
            continue;
        struct journal_group_header h;
        memcpy(&h, group, sizeof h);
        st = journal_body_visit(group, r->next_lsn - 1, visit_one, r->ahead, ctx, &each);
        if (st != HF_OK) {
            journal_scan_forget(&r->scan); // the group is read again, its mask is off
            return st;
        }
        place_advance(r, &h);
        visited++;
    }
    return visited ? HF_OK : HF_AGAIN;
}

static enum hf_status copy_one(const unsigned char *group, uint64_t lsn,
                               struct journal_record *buffer, uint32_t buffer_bytes)
{
    const struct journal_group_header *h = (const struct journal_group_header *)group;
    const unsigned char *at = group + JOURNAL_GROUP_HEADER;
    for (uint64_t i = h->first_lsn; i < lsn; i++)
        at += journal_record_bytes((const struct journal_record *)at);
    uint32_t bytes = journal_record_bytes((const struct journal_record *)at);
    if (bytes > buffer_bytes)
        return HF_INVALID;
    memcpy(buffer, at, bytes);
    return HF_OK;
}

enum hf_status journal_read_one(struct journal *j, uint64_t lsn, struct journal_record *buffer,
                                uint32_t buffer_bytes)
{
    uint64_t durable = journal_durable(j);
    if (lsn == 0 || lsn > durable)
        return HF_NOT_FOUND;
    struct journal_reader r;
    if (!reader_init(&r, j, lsn, READ_ONE_BYTES))
        return HF_NO_MEMORY;
    unsigned char *group = NULL;
    enum hf_status st = HF_OK;
    while (st == HF_OK && !group)
        st = group_next(&r, durable, &group);
    if (st == HF_OK)
        st = copy_one(group, lsn, buffer, buffer_bytes);
    journal_scan_fini(&r.scan);
    return st;
}
