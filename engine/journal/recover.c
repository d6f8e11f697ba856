// Recovery and inspection: one walk over the folder's groups, and what its end means.
//
// The walk accepts groups as long as each is whole and follows the one before: number, checksum
// chain, LSN, an epoch that never falls. It ends at the first block that is no such group, unless
// the next segment begins with it (the writer moves on when a burst does not fit the remainder).
// Then it looks at every block behind the end: group n + 1 is only written after group n is
// synced, so at most the very next group may be missing. A header that is valid for its place and
// has a number above the expected one proves that a durable group is unreadable: damage. Without
// such a proof the end is the end, and what stands there is an unfinished group that nobody was
// told of: it is cut.
//
// Guarantees:
//  V1 Nothing is accepted behind a gap, nothing of another engine, life, or earlier epoch.
//  V2 What was accepted is synced before journal_recover returns: a group that a crash left in the
//     page cache, or in the disk's, can no more disappear once decisions rest on it. So are the
//     files' names: else a later segment's could outlive an earlier one's.
//  V3 A cut leaves no group header behind it: the one block that may hold one (at the end of the
//     last segment, and at the start of the next) is zeroed and synced. Further blocks of a torn
//     group cannot look like one (scan.c), so appending over part of them is safe.
//  V4 In doubt it is damage: the start stops, and the report says where.
#include "base/log.h"
#include "journal/journal_internal.h"

#include <stdlib.h>
#include <string.h>

struct walk {
    struct storage *storage;
    struct hf_uuid engine;
    uint64_t after;
    size_t window; // bytes to read at a time
    bool inspect;  // from the oldest group on, whatever `after` is
    journal_visit visit;
    journal_ahead ahead;
    void (*on_group)(void *ctx, const struct journal_group_info *g);
    void *ctx;
    struct journal_report *report;
    struct journal_segment_entry *segments; // by number
    uint32_t count, capacity;
    enum hf_status list_status;
    struct journal_scan scan;
    uint32_t opened; // index of the scanned segment, or UINT32_MAX
    // The last accepted group.
    uint64_t number, checksum, epoch, lsn, time_ms;
    uint32_t records;
    bool any;
    bool from_first; // the walk began with the first group ever
    // Where the next group would begin, and the segment that the walk began in.
    uint32_t start, at;
    uint64_t offset;
    // Where an unfinished group stands, if one does.
    bool torn;
    uint32_t torn_at;
    uint64_t torn_offset;
    const char *torn_why;
};

static const char *name_of(const struct walk *w, uint32_t i, char name[STORAGE_NAME_BYTES])
{
    if (i < w->count)
        journal_segment_name(w->segments[i].number, name);
    else
        name[0] = 0;
    return name;
}

#define SAY(w, i, offset, ...)                                                                     \
    do {                                                                                           \
        char say_name[STORAGE_NAME_BYTES];                                                         \
        journal_report_say((w)->report, name_of(w, i, say_name), offset, __VA_ARGS__);             \
    } while (0)

typedef unsigned long long ull;

// ------------------------------------------------------------------------------- the files

static void list_one(void *ctx, const char *name)
{
    struct walk *w = ctx;
    uint64_t number = journal_segment_number(name);
    if (number == 0)
        return;
    if (w->count == w->capacity) {
        uint32_t capacity = w->capacity ? 2 * w->capacity : 64;
        void *larger = realloc(w->segments, capacity * sizeof *w->segments);
        if (!larger) {
            w->list_status = HF_NO_MEMORY;
            return;
        }
        w->segments = larger;
        w->capacity = capacity;
    }
    struct journal_segment_entry *s = &w->segments[w->count++];
    memset(s, 0, sizeof *s);
    s->number = number;
    s->file = -1;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct journal_segment_entry *)a)->number;
    uint64_t y = ((const struct journal_segment_entry *)b)->number;
    return (x > y) - (x < y);
}

static enum hf_status files_list(struct walk *w)
{
    enum hf_status st = w->storage->ops->list(w->storage, list_one, w);
    if (st == HF_OK)
        st = w->list_status;
    if (st != HF_OK)
        return st;
    if (w->count != 0)
        qsort(w->segments, w->count, sizeof *w->segments, by_number);
    for (uint32_t i = 1; i < w->count; i++) {
        uint64_t missing = w->segments[i - 1].number + 1;
        if (w->segments[i].number != missing) {
            SAY(w, i, 0, "segment %llu is missing before this one", (ull)missing);
            return HF_DAMAGED;
        }
    }
    return HF_OK;
}

static enum hf_status segment_open(struct walk *w, uint32_t i)
{
    if (w->opened == i)
        return HF_OK;
    char name[STORAGE_NAME_BYTES];
    enum hf_status st = journal_scan_open(&w->scan, name_of(w, i, name));
    w->opened = st == HF_OK ? i : UINT32_MAX;
    return st;
}

static enum hf_status load(struct walk *w, uint32_t i, uint64_t offset, size_t bytes,
                           unsigned char **at)
{
    enum hf_status st = segment_open(w, i);
    if (st == HF_OK)
        st = journal_scan_load(&w->scan, offset, bytes, at);
    if (st == HF_DAMAGED)
        SAY(w, i, offset, "the file ends too early");
    return st;
}

static struct journal_place place_of(const struct walk *w, uint32_t i, uint64_t offset)
{
    return (struct journal_place){w->engine, w->segments[i].number, offset, w->segments[i].bytes};
}

static enum hf_status header_check(struct walk *w, uint32_t i, const unsigned char *block)
{
    struct journal_segment_header h;
    memcpy(&h, block, sizeof h);
    const char *why = NULL;
    if (h.magic != JOURNAL_MAGIC_SEGMENT || h.crc != journal_header_crc(block, HF_BLOCK))
        why = "the segment's header is unreadable";
    else if (h.version > JOURNAL_FORMAT_VERSION) {
        SAY(w, i, 0, "the segment was written by a newer version of the program");
        return HF_TOO_NEW;
    } else if (!hf_uuid_equal(h.engine_id, w->engine))
        why = "the segment belongs to another engine";
    else if (h.number != w->segments[i].number)
        why = "the segment's header has another number than its name";
    else if (h.version == 0 || h.bytes != w->scan.file_bytes || h.bytes % HF_BLOCK != 0 ||
             h.bytes < 4 * HF_BLOCK)
        why = "the segment's size is not the one in its header";
    if (!why)
        return HF_OK;
    SAY(w, i, 0, "%s", why);
    return HF_DAMAGED;
}

// Reads each segment's header and first group's header. CLOSED means: a group begins it.
static enum hf_status files_read(struct walk *w)
{
    uint32_t last_used = 0;
    w->scan.ahead = 2 * HF_BLOCK;
    for (uint32_t i = 0; i < w->count; i++) {
        struct journal_segment_entry *s = &w->segments[i];
        unsigned char *at;
        enum hf_status st = load(w, i, 0, 2 * HF_BLOCK, &at);
        if (st == HF_OK)
            st = header_check(w, i, at);
        if (st != HF_OK)
            return st;
        s->bytes = w->scan.file_bytes;
        struct journal_place place = place_of(w, i, HF_BLOCK);
        const struct journal_group_header *h = (const void *)(at + HF_BLOCK);
        if (journal_block_kind(h, &place) != JOURNAL_BLOCK_GROUP)
            continue;
        s->state = JOURNAL_SEGMENT_CLOSED;
        s->first_lsn = h->first_lsn;
        s->first_group = h->number;
        last_used = i;
    }
    w->scan.ahead = w->scan.capacity;
    w->opened = UINT32_MAX;
    for (uint32_t i = 0; i < last_used; i++)
        if (w->segments[i].state == JOURNAL_SEGMENT_READY) {
            SAY(w, i, HF_BLOCK, "the segment's first group is unreadable, but segment %llu is used",
                (ull)w->segments[last_used].number);
            return HF_DAMAGED;
        }
    return HF_OK;
}

// ------------------------------------------------------------------------------- one group

static void note_torn(struct walk *w, uint32_t i, uint64_t offset, const char *why)
{
    w->torn = true;
    w->torn_at = i;
    w->torn_offset = offset;
    w->torn_why = why;
}

// Does a group with a good header follow the last one? HF_AGAIN: no, and the walk ends here.
static enum hf_status follows(struct walk *w, uint32_t i, const struct journal_group_header *h)
{
    const char *why = NULL;
    if (h->epoch < w->epoch) {
        note_torn(w, i, h->offset, "a group of an earlier start ends the journal here");
        return HF_AGAIN;
    }
    if (h->number > w->number + 1)
        return HF_AGAIN; // looking ahead finds it again, and calls it damage
    if (h->number < w->number + 1)
        why = "a group's number is lower than the one before";
    else if (h->previous != w->checksum)
        why = "a group does not continue the chain of the one before";
    else if (h->first_lsn != w->lsn + 1)
        why = "a group does not continue the record numbers of the one before";
    else if (h->time_ms < w->time_ms) // W4
        why = "a group's time is before that of the one before";
    else
        return HF_OK;
    SAY(w, i, h->offset, "%s", why);
    return HF_DAMAGED;
}

static enum hf_status accept(struct walk *w, uint32_t i, const unsigned char *group)
{
    const struct journal_group_header *h = (const struct journal_group_header *)group;
    struct journal_segment_entry *s = &w->segments[i];
    w->number = h->number;
    w->checksum = journal_group_checksum(h);
    w->epoch = h->epoch;
    w->lsn = h->first_lsn + h->records - 1;
    w->time_ms = h->time_ms;
    w->records = h->records;
    w->any = true;
    w->at = i;
    w->offset = h->offset + journal_group_blocks(h->body_bytes) * HF_BLOCK;
    s->last_lsn = w->lsn;
    journal_index_note(s, h->first_lsn, h->offset);
    struct journal_report *r = w->report;
    r->groups++;
    r->bytes += h->body_bytes;
    r->engine_time_ms = h->time_ms;
    if (w->on_group) {
        struct journal_group_info g = {
            .number = h->number,
            .epoch = h->epoch,
            .first_lsn = h->first_lsn,
            .time_ms = h->time_ms,
            .offset = h->offset,
            .records = h->records,
            .body_bytes = h->body_bytes,
        };
        name_of(w, i, g.segment);
        w->on_group(w->ctx, &g);
    }
    if (w->lsn <= w->after || h->records == 0)
        return HF_OK;
    uint64_t first = h->first_lsn > w->after ? h->first_lsn : w->after + 1;
    if (r->last_lsn == 0)
        r->first_lsn = first;
    r->last_lsn = w->lsn;
    r->records += w->lsn - first + 1;
    if (!w->visit)
        return HF_OK;
    return journal_body_visit(group, w->after, w->visit, w->ahead, w->ctx, w->ctx);
}

// Accepts the group at this place, or doesn't; an error ends the walk.
static enum hf_status group_try(struct walk *w, uint32_t i, uint64_t offset, bool *accepted)
{
    unsigned char *group;
    *accepted = false;
    if (offset >= w->segments[i].bytes)
        return HF_OK;
    enum hf_status st = load(w, i, offset, HF_BLOCK, &group);
    if (st != HF_OK)
        return st;
    struct journal_place place = place_of(w, i, offset);
    const struct journal_group_header *h = (const struct journal_group_header *)group;
    switch (journal_block_kind(h, &place)) {
    case JOURNAL_BLOCK_NONE:
    case JOURNAL_BLOCK_STALE:
        return HF_OK;
    case JOURNAL_BLOCK_BROKEN:
        note_torn(w, i, offset, "the last group's header is unfinished");
        return HF_OK;
    case JOURNAL_BLOCK_FOREIGN:
        SAY(w, i, offset, "a group of another engine");
        return HF_DAMAGED;
    case JOURNAL_BLOCK_NEWER:
        SAY(w, i, offset, "a group was written by a newer version of the program");
        return HF_TOO_NEW;
    case JOURNAL_BLOCK_GROUP:
        break;
    }
    st = follows(w, i, h);
    if (st != HF_OK)
        return st == HF_AGAIN ? HF_OK : st;
    st = load(w, i, offset, journal_group_blocks(h->body_bytes) * HF_BLOCK, &group);
    if (st != HF_OK)
        return st;
    uint32_t where;
    bool intact;
    const char *why = journal_body_check(group, &where, &intact);
    if (why && intact) { // written like this: no crash explains it
        SAY(w, i, offset + where, "%s", why);
        return HF_DAMAGED;
    }
    if (why) {
        note_torn(w, i, offset, "the last group is unfinished");
        return HF_OK;
    }
    *accepted = true;
    w->torn = false;
    return accept(w, i, group);
}

// ------------------------------------------------------------------------------- the walk

// Chooses where to begin, and what the first group must be.
static enum hf_status walk_begin(struct walk *w)
{
    w->from_first = true;
    w->offset = HF_BLOCK;
    if (w->count == 0)
        return HF_OK;
    struct journal_segment_entry *s = &w->segments[0];
    if (s->state == JOURNAL_SEGMENT_READY) { // then all are (files_read)
        if (s->number == 1)
            return HF_OK;
        SAY(w, 0, HF_BLOCK, "no group is readable, but earlier segments were in use");
        return HF_DAMAGED;
    }
    if (!w->inspect && s->first_lsn > w->after + 1) {
        SAY(w, 0, HF_BLOCK, "records %llu to %llu are gone", (ull)w->after + 1,
            (ull)s->first_lsn - 1);
        return HF_DAMAGED;
    }
    // The one that holds `after` itself: so the walk ends in a group even if nothing is newer.
    while (!w->inspect && w->start + 1 < w->count &&
           w->segments[w->start + 1].state == JOURNAL_SEGMENT_CLOSED &&
           w->segments[w->start + 1].first_lsn <= w->after) {
        s = &w->segments[w->start];
        s->last_lsn = w->segments[w->start + 1].first_lsn - 1;
        journal_index_note(s, s->first_lsn, HF_BLOCK);
        w->start++;
    }
    w->at = w->start;
    s = &w->segments[w->start];
    if (s->number == 1)
        return HF_OK;
    unsigned char *at;
    enum hf_status st = load(w, w->start, HF_BLOCK, HF_BLOCK, &at);
    if (st != HF_OK)
        return st;
    w->from_first = false;
    w->number = s->first_group - 1;
    w->lsn = s->first_lsn - 1;
    w->checksum = ((const struct journal_group_header *)at)->previous;
    return HF_OK;
}

static enum hf_status walk_groups(struct walk *w)
{
    bool accepted = w->count != 0;
    while (accepted) {
        enum hf_status st = group_try(w, w->at, w->offset, &accepted);
        if (st == HF_OK && !accepted && w->any && w->at + 1 < w->count)
            st = group_try(w, w->at + 1, HF_BLOCK, &accepted);
        if (st != HF_OK)
            return st;
    }
    if (w->any || w->from_first)
        return HF_OK;
    SAY(w, w->at, w->offset, "the first group that is needed is unreadable");
    return HF_DAMAGED;
}

static enum hf_status block_judge(struct walk *w, uint32_t i, uint64_t offset,
                                  const unsigned char *block)
{
    struct journal_place place = place_of(w, i, offset);
    const struct journal_group_header *h = (const struct journal_group_header *)block;
    enum journal_block_kind kind = journal_block_kind(h, &place);
    if (kind == JOURNAL_BLOCK_NEWER) {
        SAY(w, i, offset, "a group was written by a newer version of the program");
        return HF_TOO_NEW;
    }
    if (kind != JOURNAL_BLOCK_GROUP || h->number <= w->number + 1 || h->epoch < w->epoch)
        return HF_OK;
    char name[STORAGE_NAME_BYTES];
    name_of(w, i, name);
    SAY(w, w->torn ? w->torn_at : w->at, w->torn ? w->torn_offset : w->offset,
        "group %llu is unreadable, but group %llu is in %s at %llu", (ull)w->number + 1,
        (ull)h->number, name, (ull)offset);
    return HF_DAMAGED;
}

static enum hf_status look_ahead(struct walk *w)
{
    uint64_t offset = w->offset;
    for (uint32_t i = w->at; i < w->count; i++, offset = HF_BLOCK) {
        while (offset < w->segments[i].bytes) {
            uint64_t bytes = w->segments[i].bytes - offset;
            if (bytes > w->scan.ahead)
                bytes = w->scan.ahead;
            unsigned char *at;
            enum hf_status st = load(w, i, offset, bytes, &at);
            for (uint64_t b = 0; b < bytes && st == HF_OK; b += HF_BLOCK)
                st = block_judge(w, i, offset + b, at + b);
            if (st != HF_OK)
                return st;
            offset += bytes;
        }
    }
    return HF_OK;
}

static enum hf_status walk_all(struct walk *w)
{
    if (!journal_scan_init(&w->scan, w->storage, w->window))
        return HF_NO_MEMORY;
    w->opened = UINT32_MAX;
    enum hf_status st = files_list(w);
    if (st == HF_OK)
        st = files_read(w);
    if (st == HF_OK)
        st = walk_begin(w);
    if (st == HF_OK)
        st = walk_groups(w);
    if (st == HF_OK)
        st = look_ahead(w);
    if (st != HF_OK)
        return st;
    if (!w->inspect && w->lsn < w->after) {
        SAY(w, w->at, w->offset, "the checkpoint is of record %llu, but the journal ends at %llu",
            (ull)w->after, (ull)w->lsn);
        return HF_DAMAGED;
    }
    if (w->torn) {
        w->report->torn_tail = true;
        SAY(w, w->torn_at, w->torn_offset, "%s", w->torn_why);
    }
    return HF_OK;
}

static void walk_fini(struct walk *w)
{
    journal_scan_fini(&w->scan);
    free(w->segments);
}

// ------------------------------------------------------------------------------- recovery

// V3: zeroes a block that holds a group's header of this life.
static enum hf_status block_cut(struct walk *w, uint32_t i, uint64_t offset)
{
    struct storage *s = w->storage;
    if (i >= w->count || offset >= w->segments[i].bytes)
        return HF_OK;
    unsigned char *block;
    enum hf_status st = load(w, i, offset, HF_BLOCK, &block);
    if (st != HF_OK)
        return st;
    struct journal_place place = place_of(w, i, offset);
    switch (journal_block_kind((const struct journal_group_header *)block, &place)) {
    case JOURNAL_BLOCK_BROKEN:
    case JOURNAL_BLOCK_GROUP:
        break;
    default:
        return HF_OK;
    }
    char name[STORAGE_NAME_BYTES];
    int file;
    st = s->ops->open(s, name_of(w, i, name), STORAGE_READ | STORAGE_WRITE | STORAGE_DIRECT, &file);
    if (st != HF_OK)
        return st;
    memset(block, 0, HF_BLOCK);
    st = s->ops->pwrite(s, file, block, HF_BLOCK, offset);
    if (st == HF_OK)
        st = s->ops->sync(s, file);
    s->ops->close(s, file);
    hf_log(HF_LOG_WARN, "journal_tail_cut", "file=%s offset=%llu", name, (ull)offset);
    return st;
}

// V2. The last one stays open for the writer.
static enum hf_status accepted_sync(struct walk *w, int *last)
{
    struct storage *s = w->storage;
    for (uint32_t i = w->start; w->any && i <= w->at; i++) {
        char name[STORAGE_NAME_BYTES];
        int file;
        enum hf_status st = s->ops->open(s, name_of(w, i, name),
                                         STORAGE_READ | STORAGE_WRITE | STORAGE_DIRECT, &file);
        if (st != HF_OK)
            return st;
        st = s->ops->sync(s, file);
        if (st == HF_OK && i == w->at)
            *last = file;
        else
            s->ops->close(s, file);
        if (st != HF_OK)
            return st;
    }
    return HF_OK;
}

static enum hf_status table_build(struct journal *j, struct walk *w)
{
    struct journal_table *t = &j->table;
    uint32_t capacity = w->count > j->o.segments_max ? w->count : j->o.segments_max;
    struct journal_segment_entry *entries = calloc(capacity, sizeof *entries);
    if (!entries)
        return HF_NO_MEMORY;
    free(t->entries);
    t->entries = entries;
    t->capacity = capacity;
    t->first = 0;
    t->count = 0;
    t->next_number = w->count ? w->segments[w->count - 1].number + 1 : 1;
    for (uint32_t i = 0; i < w->count; i++) {
        entries[t->count++] = w->segments[i];
        uint64_t blocks = entries[i].bytes / HF_BLOCK - 1;
        if (w->any && i < w->at)
            continue; // CLOSED
        if (w->any && i == w->at) {
            entries[i].state = JOURNAL_SEGMENT_ACTIVE;
            blocks = (entries[i].bytes - w->offset) / HF_BLOCK;
        } else {
            entries[i] = (struct journal_segment_entry){
                .number = w->segments[i].number, .bytes = w->segments[i].bytes, .file = -1};
            char name[STORAGE_NAME_BYTES];
            enum hf_status st =
                w->storage->ops->open(w->storage, name_of(w, i, name),
                                      STORAGE_READ | STORAGE_WRITE | STORAGE_DIRECT,
                                      &entries[i].file); // the writer can't wait for a descriptor
            if (st != HF_OK)
                return st;
        }
        journal_space_add(j, journal_space_of(j, blocks));
    }
    return HF_OK;
}

static void writer_continue(struct journal *j, const struct walk *w, int file)
{
    struct journal_writer *wr = &j->writer;
    if (w->any) {
        wr->segment = w->segments[w->at].number;
        wr->segment_bytes = w->segments[w->at].bytes;
        wr->offset = w->offset;
        wr->file = file;
    }
    wr->number = w->number;
    wr->checksum = w->checksum;
    wr->time_ms = w->time_ms;
    wr->last_lsn = w->lsn;
    wr->last_records = w->records;
    wr->staged_lsn = w->lsn + 1;
    j->head = (struct hf_word128){0, w->lsn};
    atomic_store_explicit(&j->durable, w->lsn, memory_order_relaxed); // threads start later
    j->epoch = (w->epoch > j->meta.epoch ? w->epoch : j->meta.epoch) + 1;
}

static enum hf_status recover(struct journal *j, struct walk *w)
{
    enum hf_status st = walk_all(w);
    if (st != HF_OK)
        return st;
    st = j->o.storage->ops->unlink(j->o.storage, JOURNAL_TEMP_NAME);
    if (st != HF_OK && st != HF_NOT_FOUND)
        return st;
    int file = -1;
    st = block_cut(w, w->at, w->offset);
    if (st == HF_OK)
        st = block_cut(w, w->at + 1, HF_BLOCK);
    if (st == HF_OK)
        st = accepted_sync(w, &file);
    if (st == HF_OK) // V2: and their names, which a process that ended early may have left unsynced
        st = j->o.storage->ops->sync_folder(j->o.storage);
    if (st == HF_OK)
        st = table_build(j, w);
    if (st != HF_OK) {
        if (file >= 0)
            j->o.storage->ops->close(j->o.storage, file);
        return st;
    }
    writer_continue(j, w, file);
    return HF_OK;
}

enum hf_status journal_recover(struct journal *j, uint64_t after, journal_visit visit,
                               journal_ahead ahead, void *ctx, struct journal_report *report)
{
    HF_ASSERT(!j->recovered);
    memset(report, 0, sizeof *report);
    struct walk w = {
        .storage = j->o.storage,
        .engine = j->meta.engine_id,
        .after = after,
        .window = j->o.segment_bytes < JOURNAL_SCAN_BYTES ? (size_t)j->o.segment_bytes
                                                          : JOURNAL_SCAN_BYTES,
        .visit = visit,
        .ahead = ahead,
        .ctx = ctx,
        .report = report,
    };
    enum hf_status st = recover(j, &w);
    walk_fini(&w);
    if (st != HF_OK)
        return st;
    report->epoch = j->epoch;
    j->recovered = true;
    return HF_OK;
}

// ------------------------------------------------------------------------------- inspection

enum hf_status journal_inspect(struct storage *s,
                               void (*on_group)(void *ctx, const struct journal_group_info *g),
                               journal_visit visit, void *ctx, struct journal_report *report)
{
    memset(report, 0, sizeof *report);
    struct journal_meta meta = {0};
    enum hf_status st = journal_meta_read(s, &meta, report);
    if (st != HF_OK) {
        if (st == HF_NOT_FOUND)
            journal_report_say(report, JOURNAL_META_NAME, 0, "there is no meta file here");
        return st;
    }
    struct walk w = {
        .storage = s,
        .engine = meta.engine_id,
        .window = JOURNAL_SCAN_BYTES,
        .inspect = true,
        .visit = visit,
        .on_group = on_group,
        .ctx = ctx,
        .report = report,
    };
    st = walk_all(&w);
    report->epoch = (w.epoch > meta.epoch ? w.epoch : meta.epoch) + 1;
    walk_fini(&w);
    return st;
}
