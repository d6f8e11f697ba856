// Segments: the table, the space, and the housekeeper that makes and recycles files.
//
// A file gets its final name only when it is whole: zero-written (or recycled), header written,
// synced, renamed, folder synced. Recycling goes through the temporary name too, so a final name
// never stands over another number's header; a crash in between loses a file that was free anyway.
//
//     (none) --zero-write--> temporary --header, sync, rename, sync folder--> READY
//     READY --the writer's first group in it is durable--> ACTIVE
//     ACTIVE --the first group in the next one is durable--> CLOSED
//     CLOSED, all lsn <= keep_after --rename, sync folder--> temporary --> READY, new number
//
// Guarantees:
//  S1 Numbers are given in the order of use and have no gaps: a gap in a folder is damage.
//  S2 A segment is closed only when the next one holds a durable group. So what remains after any
//     recycling holds at least one group, and with it the last number, LSN, epoch and time.
//  S3 A segment leaves the table before its file is touched: a reader that meets foreign content
//     looks it up again and finds it gone.
//
// Space. W is what the largest burst takes as a group of its own, in blocks. A segment with `rem`
// free blocks counts max(0, rem - W). `slack` = usable - 2 x outstanding credit, in bytes:
//  - Moving on to the next segment costs nothing: the writer leaves one only when a burst does not
//    fit, so rem < W and it counted 0 already.
//  - A group closed by the next burst not fitting redeems at least what it takes (proof in
//    docs/journal-format.md), so it never lowers the slack.
//  - An open group may lower it, but the writer writes one only if the slack stays >= 0 or does
//    not fall; otherwise it waits for more.
// So slack >= 0 is kept: whatever credit is out, its records can be written, on a full disk too.
#include "base/log.h"
#include "journal/journal_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_SPACE_RETRY_NS UINT64_C(200000000)
#define SEGMENT_FLAGS     (STORAGE_READ | STORAGE_WRITE | STORAGE_DIRECT)

// ------------------------------------------------------------------------------- names, headers

void journal_segment_name(uint64_t number, char name[STORAGE_NAME_BYTES])
{
    snprintf(name, STORAGE_NAME_BYTES, JOURNAL_SEGMENT_NAME, (unsigned long long)number);
}

uint64_t journal_segment_number(const char *name)
{
    if (strncmp(name, "journal-", 8) != 0)
        return 0;
    uint64_t number = strtoull(name + 8, NULL, 10);
    char canonical[STORAGE_NAME_BYTES];
    journal_segment_name(number, canonical);
    return strcmp(name, canonical) == 0 ? number : 0;
}

void journal_segment_header_fill(void *block, struct hf_uuid engine, uint64_t number,
                                 uint64_t bytes)
{
    struct journal_segment_header h = {
        .magic = JOURNAL_MAGIC_SEGMENT,
        .version = JOURNAL_FORMAT_VERSION,
        .engine_id = engine,
        .number = number,
        .bytes = bytes,
    };
    memset(block, 0, HF_BLOCK);
    memcpy(block, &h, sizeof h);
    h.crc = journal_header_crc(block, HF_BLOCK);
    memcpy(block, &h, sizeof h);
}

// ------------------------------------------------------------------------------- the table

struct journal_segment_entry *journal_table_at(struct journal_table *t, uint32_t i)
{
    return &t->entries[(t->first + i) % t->capacity];
}

struct journal_segment_entry *journal_table_number(struct journal_table *t, uint64_t number)
{
    if (t->count == 0)
        return NULL;
    uint64_t oldest = journal_table_at(t, 0)->number;
    if (number < oldest || number - oldest >= t->count)
        return NULL;
    return journal_table_at(t, (uint32_t)(number - oldest));
}

struct journal_segment_entry *journal_table_lsn(struct journal_table *t, uint64_t lsn)
{
    for (uint32_t i = t->count; i-- > 0;) {
        struct journal_segment_entry *s = journal_table_at(t, i);
        if (s->state != JOURNAL_SEGMENT_READY && s->first_lsn <= lsn)
            return s;
    }
    return NULL;
}

void journal_index_note(struct journal_segment_entry *s, uint64_t lsn, uint64_t offset)
{
    uint64_t stride = s->bytes / JOURNAL_INDEX_MAX;
    if (stride < JOURNAL_INDEX_STRIDE)
        stride = JOURNAL_INDEX_STRIDE;
    if (s->index_count == JOURNAL_INDEX_MAX)
        return;
    if (s->index_count != 0 && offset < s->index[s->index_count - 1].offset + stride)
        return;
    s->index[s->index_count++] = (struct journal_index_entry){lsn, offset};
}

// Adds a ready segment behind the last; takes over its open file.
static void table_add(struct journal *j, uint64_t number, uint64_t bytes, int file)
{
    struct journal_table *t = &j->table;
    lock_acquire(&t->lock);
    HF_ASSERT(t->count < t->capacity);
    struct journal_segment_entry *s = journal_table_at(t, t->count++);
    memset(s, 0, sizeof *s);
    s->number = number;
    s->bytes = bytes;
    s->state = JOURNAL_SEGMENT_READY;
    s->file = file;
    lock_release(&t->lock);
    journal_space_add(j, journal_space_of(j, bytes / HF_BLOCK - 1));
    park_wake(&j->writer_park);
}

// ------------------------------------------------------------------------------- space

uint64_t journal_space_of(const struct journal *j, uint64_t blocks)
{
    return blocks > j->burst_blocks ? (blocks - j->burst_blocks) * HF_BLOCK : 0;
}

void journal_space_add(struct journal *j, uint64_t bytes)
{
    HF_YIELD();
    atomic_fetch_add_explicit(&j->usable, (int64_t)bytes, memory_order_relaxed);
    HF_YIELD();
    atomic_fetch_add_explicit(&j->slack, (int64_t)bytes, memory_order_release); // A1
}

bool journal_space_claim(struct journal *j, uint64_t taken, uint64_t body, bool closed)
{
    int64_t change = 2 * (int64_t)body - (int64_t)taken;
    int64_t slack = atomic_load_explicit(&j->slack, memory_order_acquire), next; // A2, with A1
    do {
        if (!closed && change < 0 && slack + change < 0)
            return false;
        HF_YIELD();
        // Read after slack, as it rises before it: records that had no credit (tools, tests)
        // redeem none, the promises end at 0.
        int64_t usable = atomic_load_explicit(&j->usable, memory_order_relaxed) - (int64_t)taken;
        next = slack + change < usable ? slack + change : usable;
        HF_YIELD();
    } while (!atomic_compare_exchange_weak_explicit(&j->slack, &slack, next, memory_order_acquire,
                                                    memory_order_acquire));
    HF_YIELD();
    atomic_fetch_sub_explicit(&j->usable, (int64_t)taken, memory_order_relaxed);
    return true;
}

bool journal_credit_take(struct journal *j, uint64_t bytes)
{
    if (bytes > INT64_MAX / 4 || atomic_load_explicit(&j->status, memory_order_relaxed) != HF_OK)
        return false;
    int64_t slack = atomic_load_explicit(&j->slack, memory_order_relaxed), next;
    do {
        next = slack - 2 * (int64_t)bytes;
        if (next < j->margin)
            return false;
        HF_YIELD();
        // A number only: nothing is read on the strength of it.
    } while (!atomic_compare_exchange_weak_explicit(&j->slack, &slack, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void journal_credit_give(struct journal *j, uint64_t bytes)
{
    HF_YIELD();
    atomic_fetch_add_explicit(&j->slack, 2 * (int64_t)bytes, memory_order_relaxed);
}

void journal_credit_force(struct journal *j, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&j->slack, 2 * (int64_t)bytes, memory_order_relaxed);
}

static uint32_t table_ready(struct journal *j, uint32_t *count)
{
    struct journal_table *t = &j->table;
    uint32_t ready = 0;
    lock_acquire(&t->lock);
    for (uint32_t i = 0; i < t->count; i++)
        ready += journal_table_at(t, i)->state == JOURNAL_SEGMENT_READY;
    *count = t->count;
    lock_release(&t->lock);
    return ready;
}

void journal_space(const struct journal *j, struct journal_space *out)
{
    struct journal *m = (struct journal *)j; // the table's lock
    int64_t slack = atomic_load_explicit(&m->slack, memory_order_relaxed);
    int64_t usable = atomic_load_explicit(&m->usable, memory_order_relaxed);
    out->usable_bytes = (uint64_t)usable;
    out->promised_bytes = usable > slack ? (uint64_t)(usable - slack) : 0;
    out->segments_free = table_ready(m, &out->segments);
    out->pressure = atomic_load_explicit(&m->pressure, memory_order_relaxed);
}

// ------------------------------------------------------------------------------- preparation

bool journal_preparation_init(struct journal *j)
{
    struct journal_preparation *p = &j->preparation;
    p->zeros_bytes =
        STORAGE_PIECE_BYTES < j->o.segment_bytes ? STORAGE_PIECE_BYTES : (size_t)j->o.segment_bytes;
    p->zeros = journal_blocks_alloc(p->zeros_bytes);
    p->header = journal_blocks_alloc(HF_BLOCK);
    if (!p->zeros || !p->header)
        return false;
    memset(p->zeros, 0, p->zeros_bytes);
    return true;
}

static void preparation_abandon(struct journal *j)
{
    struct journal_preparation *p = &j->preparation;
    if (p->running)
        j->o.storage->ops->close(j->o.storage, p->file);
    p->running = false;
}

void journal_preparation_fini(struct journal *j)
{
    preparation_abandon(j);
    free(j->preparation.zeros);
    free(j->preparation.header);
}

// The partial file goes; what was tried is tried again later.
static enum hf_status preparation_failed(struct journal *j, enum hf_status why)
{
    struct storage *s = j->o.storage;
    struct journal_preparation *p = &j->preparation;
    preparation_abandon(j);
    if (why == HF_NO_SPACE || why == HF_NO_MEMORY) {
        enum hf_status st = s->ops->unlink(s, JOURNAL_TEMP_NAME);
        if (st == HF_OK || st == HF_NOT_FOUND) {
            if (!p->no_space)
                hf_log(HF_LOG_WARN, why == HF_NO_SPACE ? "journal_no_space" : "journal_no_memory",
                       "bytes=%llu", (unsigned long long)j->o.segment_bytes);
            p->no_space = true;
            p->retry_ns = clock_monotonic_ns(j->o.clock) + NO_SPACE_RETRY_NS;
            return why;
        }
        why = st;
    }
    journal_stop(j, why);
    return why;
}

static enum hf_status preparation_begin(struct journal *j, uint64_t leave_bytes)
{
    struct storage *s = j->o.storage;
    struct journal_preparation *p = &j->preparation;
    uint64_t free_bytes;
    enum hf_status st = s->ops->free_bytes(s, &free_bytes);
    if (st == HF_OK && free_bytes < j->o.segment_bytes + leave_bytes)
        st = HF_NO_SPACE;
    if (st == HF_OK)
        st = s->ops->unlink(s, JOURNAL_TEMP_NAME);
    if (st == HF_OK || st == HF_NOT_FOUND)
        st = s->ops->open(s, JOURNAL_TEMP_NAME, SEGMENT_FLAGS | STORAGE_CREATE, &p->file);
    if (st != HF_OK)
        return preparation_failed(j, st);
    p->running = true;
    p->offset = 0;
    return HF_OK;
}

// Header, sync, final name, sync of the folder: from here on the file counts. Takes over the file.
static enum hf_status segment_finish(struct journal *j, int file, uint64_t bytes)
{
    struct storage *s = j->o.storage;
    uint64_t number = j->table.next_number;
    char name[STORAGE_NAME_BYTES];
    unsigned char *block = j->preparation.header;
    journal_segment_name(number, name);
    journal_segment_header_fill(block, j->meta.engine_id, number, bytes);
    enum hf_status st = s->ops->pwrite(s, file, block, HF_BLOCK, 0);
    if (st == HF_OK)
        st = s->ops->sync(s, file);
    if (st == HF_OK)
        st = s->ops->rename(s, JOURNAL_TEMP_NAME, name);
    if (st == HF_OK)
        st = s->ops->sync_folder(s);
    if (st != HF_OK) {
        s->ops->close(s, file);
        return st;
    }
    j->table.next_number++;
    table_add(j, number, bytes, file);
    return HF_OK;
}

static enum hf_status preparation_step(struct journal *j)
{
    struct storage *s = j->o.storage;
    struct journal_preparation *p = &j->preparation;
    size_t bytes = p->zeros_bytes;
    if (bytes > j->o.segment_bytes - p->offset)
        bytes = (size_t)(j->o.segment_bytes - p->offset);
    enum hf_status st = s->ops->pwrite(s, p->file, p->zeros, bytes, p->offset);
    if (st != HF_OK)
        return preparation_failed(j, st);
    p->offset += bytes;
    if (p->offset < j->o.segment_bytes)
        return HF_OK;
    p->running = false; // the file is segment_finish's
    st = segment_finish(j, p->file, j->o.segment_bytes);
    if (st != HF_OK)
        return preparation_failed(j, st);
    p->no_space = false;
    return HF_OK;
}

enum hf_status journal_segment_prepare_now(struct journal *j)
{
    enum hf_status st = preparation_begin(j, 0);
    while (st == HF_OK && j->preparation.running)
        st = preparation_step(j);
    return st;
}

// ------------------------------------------------------------------------------- housekeeping

// Takes the oldest segment out of the table when it is free: the file is the housekeeper's then.
static bool table_take_oldest(struct journal *j, uint64_t keep_after, uint64_t *number,
                              uint64_t *bytes, uint32_t *left)
{
    struct journal_table *t = &j->table;
    bool taken = false;
    lock_acquire(&t->lock);
    if (t->count != 0) {
        struct journal_segment_entry *s = journal_table_at(t, 0);
        if (s->state == JOURNAL_SEGMENT_CLOSED && s->last_lsn <= keep_after) {
            *number = s->number;
            *bytes = s->bytes;
            t->first = (t->first + 1) % t->capacity;
            t->count--;
            taken = true;
        }
    }
    *left = t->count;
    lock_release(&t->lock);
    return taken;
}

// Nothing was done to its file, and nothing was added since.
static void table_put_back(struct journal *j)
{
    struct journal_table *t = &j->table;
    lock_acquire(&t->lock);
    t->first = (t->first + t->capacity - 1) % t->capacity;
    t->count++;
    lock_release(&t->lock);
}

// HF_AGAIN: none is free.
static enum hf_status segment_recycle(struct journal *j, uint64_t keep_after)
{
    struct storage *s = j->o.storage;
    uint64_t number, bytes;
    uint32_t left;
    if (!table_take_oldest(j, keep_after, &number, &bytes, &left))
        return HF_AGAIN;
    char name[STORAGE_NAME_BYTES];
    journal_segment_name(number, name);
    int file;
    enum hf_status st;
    // Of another size, or one too many, since the options changed: it goes.
    if (bytes != j->o.segment_bytes || left >= j->o.segments_max) {
        st = s->ops->unlink(s, name);
        if (st == HF_OK)
            st = s->ops->sync_folder(s);
        if (st != HF_OK)
            journal_stop(j, st);
        return st;
    }
    st = s->ops->rename(s, name, JOURNAL_TEMP_NAME);
    if (st == HF_NO_SPACE) { // a file system that wants room for the new name
        table_put_back(j);
        return st;
    }
    if (st == HF_OK)
        st = s->ops->sync_folder(s); // before its old header is overwritten
    if (st == HF_OK)
        st = s->ops->open(s, JOURNAL_TEMP_NAME, SEGMENT_FLAGS, &file);
    if (st == HF_OK)
        st = segment_finish(j, file, bytes);
    return st == HF_OK ? HF_OK : preparation_failed(j, st);
}

// More files are wanted for the writer's next segments and for what credits still need.
static bool wants_segment(struct journal *j)
{
    uint32_t count, ready = table_ready(j, &count);
    if (count >= j->o.segments_max)
        return false;
    uint64_t each = journal_space_of(j, j->o.segment_bytes / HF_BLOCK - 1);
    int64_t wanted = j->margin + (int64_t)(j->o.segments_ready * each);
    return ready < j->o.segments_ready ||
           atomic_load_explicit(&j->slack, memory_order_relaxed) < wanted;
}

enum hf_status journal_maintain(struct journal *j, uint64_t keep_after)
{
    struct journal_preparation *p = &j->preparation;
    HF_ASSERT(j->started);
    if (journal_status(j) != HF_OK)
        return HF_STOPPED;
    if (p->running) // the temporary name is taken until this one is finished
        return preparation_step(j);
    enum hf_status st = segment_recycle(j, keep_after); // cheaper than a new file
    if (st != HF_AGAIN || !wants_segment(j))
        return st;
    if (p->no_space && clock_monotonic_ns(j->o.clock) < p->retry_ns)
        return HF_AGAIN;
    // What is promised already comes before what others may want to write.
    bool owed = atomic_load_explicit(&j->slack, memory_order_relaxed) < 0;
    st = preparation_begin(j, owed ? 0 : p->leave_bytes);
    return st == HF_OK ? preparation_step(j) : st;
}

void journal_leave_free(struct journal *j, uint64_t bytes)
{
    j->preparation.leave_bytes = bytes;
}

uint32_t journal_closed_segments(struct journal *j, struct journal_segment *out, uint32_t max)
{
    struct journal_table *t = &j->table;
    uint32_t n = 0;
    lock_acquire(&t->lock);
    for (uint32_t i = 0; i < t->count && n < max; i++) {
        const struct journal_segment_entry *s = journal_table_at(t, i);
        if (s->state != JOURNAL_SEGMENT_CLOSED)
            break;
        out[n].number = s->number;
        out[n].first_lsn = s->first_lsn;
        out[n].last_lsn = s->last_lsn;
        journal_segment_name(s->number, out[n].name);
        n++;
    }
    lock_release(&t->lock);
    return n;
}

uint64_t journal_oldest_lsn(struct journal *j)
{
    struct journal_table *t = &j->table;
    lock_acquire(&t->lock);
    const struct journal_segment_entry *s = t->count ? journal_table_at(t, 0) : NULL;
    uint64_t lsn = s && s->state != JOURNAL_SEGMENT_READY ? s->first_lsn : 1;
    lock_release(&t->lock);
    return lsn;
}
