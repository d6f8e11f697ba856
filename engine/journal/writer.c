// The writer: one group at a time from the burst stack to the disk.
//
// step: take the stack; copy bursts into the staging memory until the next does not fit the group
// or the segment (the group is *closed*) or none is left (it is *open*); write a closed group, or
// an open one that may go; sync; publish. A copied burst's buffer goes back to its producer at
// once, also when the group then waits for company: waiting never runs producers out of buffers.
//
// Guarantees:
//  W1 Group n + 1 is written only after group n is synced (mode none: written). So at most one
//     group of a crash's leftovers is not whole, and it is the last.
//  W2 durable is published after the sync, and before that the table knows in which segment the
//     group is and which segments it closed: a reader that sees an LSN durable finds its group.
//  W3 A group never crosses a segment, and blocks of durable groups are never written again.
//  W4 Engine time never falls from group to group.
//  W5 After a failed write or sync nothing is written or synced any more.
#include "base/log.h"
#include "journal/journal_internal.h"

#include <string.h>

// ------------------------------------------------------------------------------- counters

static void counter_max(_Atomic uint64_t *c, uint64_t v)
{
    if (v > atomic_load_explicit(c, memory_order_relaxed)) // the writer's alone
        atomic_store_explicit(c, v, memory_order_relaxed);
}

static void counter_add(_Atomic uint64_t *c, uint64_t v)
{
    atomic_fetch_add_explicit(c, v, memory_order_relaxed);
}

// ------------------------------------------------------------------------------- staging

static uint64_t blocks_left(const struct journal_writer *w)
{
    return w->segment == 0 ? 0 : (w->segment_bytes - w->offset) / HF_BLOCK;
}

// Moves to the next ready segment. HF_AGAIN: there is none.
static enum hf_status segment_next(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    struct storage *s = j->o.storage;
    struct journal_table *t = &j->table;
    uint64_t number = 0, bytes = 0;
    int file = -1;
    lock_acquire(&t->lock);
    for (uint32_t i = 0; i < t->count && number == 0; i++) {
        struct journal_segment_entry *e = journal_table_at(t, i);
        if (e->state == JOURNAL_SEGMENT_READY && e->number > w->segment) {
            number = e->number;
            bytes = e->bytes;
            file = e->file;
            e->file = -1;
        }
    }
    lock_release(&t->lock);
    w->blocked = number == 0;
    if (w->blocked)
        return HF_AGAIN;
    HF_ASSERT(file >= 0); // a ready one is open
    if (w->file >= 0)
        s->ops->close(s, w->file);
    w->file = file;
    w->segment = number;
    w->segment_bytes = bytes;
    w->offset = HF_BLOCK;
    return HF_OK;
}

// Opens a group whose first burst has `bytes` (0: an empty group).
static enum hf_status group_begin(struct journal *j, uint64_t bytes)
{
    struct journal_writer *w = &j->writer;
    if (journal_group_blocks(bytes) > blocks_left(w)) {
        enum hf_status st = segment_next(j);
        if (st != HF_OK)
            return st;
    }
    uint64_t room = blocks_left(w) * HF_BLOCK - JOURNAL_GROUP_HEADER;
    w->body_limit = room < j->body_max ? (uint32_t)room : j->body_max;
    w->records = 0;
    w->crc = 0;
    return HF_OK;
}

static void pending_take(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    struct journal_burst *newest, *oldest = journal_queue_take(j, &newest);
    if (!oldest)
        return;
    if (w->pending)
        w->pending_newest->next = oldest;
    else
        w->pending = oldest;
    w->pending_newest = newest;
}

static void pending_stage(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    for (struct journal_burst *b; (b = w->pending) != NULL;) {
        if (b->bytes > w->body_limit - w->body)
            return;
        HF_ASSERT(b->first_lsn == w->staged_lsn);
        unsigned char *to = w->staging + JOURNAL_GROUP_HEADER + w->body;
        memcpy(to, b + 1, b->bytes);
        w->crc = hf_crc32c(w->crc, to, b->bytes);
        w->body += b->bytes;
        w->records += b->count;
        w->staged_lsn += b->count;
        w->pending = b->next;
        journal_queue_release(b);
    }
}

// ------------------------------------------------------------------------------- may it go?

// Usable block bytes that the staged group takes.
static uint64_t group_cost(const struct journal *j)
{
    uint64_t left = blocks_left(&j->writer);
    return journal_space_of(j, left) -
           journal_space_of(j, left - journal_group_blocks(j->writer.body));
}

// Claims the space of the staged group; an open one may have to wait for company.
static bool space_claim(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    bool claimed = journal_space_claim(j, group_cost(j), w->body, w->pending != NULL);
    if (!claimed)
        counter_add(&j->counters.pressure_waits, 1);
    atomic_store_explicit(&j->pressure, !claimed, memory_order_relaxed);
    return claimed;
}

static bool group_may_go(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    bool open = w->pending == NULL;
    if (open && j->o.mode == JOURNAL_GROUP &&
        clock_monotonic_ns(j->o.clock) - w->synced_ns < (uint64_t)j->o.group_ms * 1000000)
        return false;
    return space_claim(j);
}

// ------------------------------------------------------------------------------- writing

static uint64_t group_seal(struct journal *j, uint64_t engine_time_ms)
{
    struct journal_writer *w = &j->writer;
    size_t end = JOURNAL_GROUP_HEADER + w->body;
    size_t bytes = journal_group_blocks(w->body) * HF_BLOCK;
    memset(w->staging + end, 0, bytes - end);
    uint64_t mask = journal_mask_choose(w->staging, w->body);
    if (HF_UNLIKELY(mask != 0)) {
        journal_mask_apply(w->staging, w->body, mask);
        w->crc = hf_crc32c(0, w->staging + JOURNAL_GROUP_HEADER, w->body);
    }
    if (engine_time_ms > w->time_ms)
        w->time_ms = engine_time_ms; // W4
    struct journal_group_header *h = (struct journal_group_header *)w->staging;
    *h = (struct journal_group_header){
        .magic = JOURNAL_MAGIC_GROUP,
        .version = JOURNAL_FORMAT_VERSION,
        .engine_id = j->meta.engine_id,
        .epoch = j->epoch,
        .number = w->number + 1,
        .previous = w->checksum,
        .segment = w->segment,
        .offset = w->offset,
        .first_lsn = w->staged_lsn - w->records,
        .time_ms = w->time_ms,
        .body_crc = w->crc,
        .records = w->records,
        .body_bytes = w->body,
        .mask = mask,
    };
    h->crc = journal_header_crc(h, JOURNAL_GROUP_HEADER);
    return bytes;
}

static enum hf_status group_to_disk(struct journal *j, uint64_t bytes)
{
    struct journal_writer *w = &j->writer;
    struct storage *s = j->o.storage;
    enum hf_status st = s->ops->pwrite(s, w->file, w->staging, bytes, w->offset);
    if (st != HF_OK || j->o.mode == JOURNAL_NONE)
        return st;
    uint64_t from = clock_monotonic_ns(j->o.clock);
    st = s->ops->sync(s, w->file);
    w->synced_ns = clock_monotonic_ns(j->o.clock);
    counter_add(&j->counters.syncs, 1);
    counter_add(&j->counters.sync_ns_total, w->synced_ns - from);
    counter_max(&j->counters.sync_ns_max, w->synced_ns - from);
    return st;
}

// The group is durable: the table learns it before anybody is told (W2).
static void table_note(struct journal *j, const struct journal_group_header *h, uint64_t bytes)
{
    struct journal_table *t = &j->table;
    lock_acquire(&t->lock);
    struct journal_segment_entry *e = journal_table_number(t, h->segment);
    HF_ASSERT(e);
    if (e->state == JOURNAL_SEGMENT_READY) { // its first group
        struct journal_segment_entry *before = journal_table_number(t, h->segment - 1);
        if (before)
            before->state = JOURNAL_SEGMENT_CLOSED;
        e->state = JOURNAL_SEGMENT_ACTIVE;
        e->first_group = h->number;
        e->first_lsn = h->first_lsn;
    }
    e->last_lsn = h->first_lsn + h->records - 1;
    e->written = h->offset + bytes;
    journal_index_note(e, h->first_lsn, h->offset);
    lock_release(&t->lock);
}

static void group_publish(struct journal *j, uint64_t bytes)
{
    struct journal_writer *w = &j->writer;
    const struct journal_group_header *h = (const struct journal_group_header *)w->staging;
    w->offset += bytes;
    w->number = h->number;
    w->checksum = journal_group_checksum(h);
    w->last_lsn = h->first_lsn + h->records - 1;
    w->last_records = h->records;
    table_note(j, h, bytes);
    counter_add(&j->counters.groups, 1);
    counter_add(&j->counters.records, h->records);
    counter_add(&j->counters.bytes_written, bytes);
    counter_max(&j->counters.group_bytes_max, bytes);
    w->body = 0;
    w->records = 0;
    HF_YIELD();
    // W2. Pairs with the acquire in journal_durable.
    atomic_store_explicit(&j->durable, w->last_lsn, memory_order_release);
    park_wake(&j->durable_park);
}

static enum hf_status group_write(struct journal *j, uint64_t engine_time_ms)
{
    uint64_t bytes = group_seal(j, engine_time_ms);
    enum hf_status st = group_to_disk(j, bytes);
    if (st != HF_OK)
        return st;
    group_publish(j, bytes);
    return HF_OK;
}

// One empty group after the last one with records: its header proves that one was whole.
static enum hf_status group_vouch(struct journal *j, uint64_t engine_time_ms)
{
    struct journal_writer *w = &j->writer;
    if (w->last_records == 0)
        return HF_AGAIN;
    enum hf_status st = group_begin(j, 0);
    if (st != HF_OK)
        return st;
    return space_claim(j) ? group_write(j, engine_time_ms) : HF_AGAIN; // a courtesy
}

static enum hf_status step(struct journal *j, uint64_t engine_time_ms, bool quiet)
{
    struct journal_writer *w = &j->writer;
    pending_take(j);
    if (w->body == 0) {
        if (!w->pending)
            return quiet ? group_vouch(j, engine_time_ms) : HF_AGAIN;
        enum hf_status st = group_begin(j, w->pending->bytes);
        if (st != HF_OK)
            return st;
    }
    pending_stage(j);
    return group_may_go(j) ? group_write(j, engine_time_ms) : HF_AGAIN;
}

enum hf_status journal_writer_step(struct journal *j, uint64_t engine_time_ms, bool quiet)
{
    HF_ASSERT(j->started);
    if (journal_status(j) != HF_OK)
        return HF_STOPPED; // W5
    enum hf_status st = step(j, engine_time_ms, quiet);
    if (st != HF_OK && st != HF_AGAIN)
        journal_stop(j, st);
    return st;
}

// Something that a step would act on now.
static bool writer_has_work(struct journal *j)
{
    struct journal_writer *w = &j->writer;
    if (journal_status(j) != HF_OK || __atomic_load_n(&j->head.lo, __ATOMIC_ACQUIRE) != 0)
        return true;
    if (!w->blocked)
        return w->pending != NULL;
    struct journal_space space;
    journal_space(j, &space);
    return space.segments_free != 0;
}

void journal_writer_wait(struct journal *j, uint32_t timeout_ms)
{
    struct journal_writer *w = &j->writer;
    if (j->o.mode == JOURNAL_GROUP && w->body != 0) { // wake up when it is due
        uint64_t waited = (clock_monotonic_ns(j->o.clock) - w->synced_ns) / 1000000;
        uint64_t left = waited < j->o.group_ms ? j->o.group_ms - waited : 0;
        if (left < timeout_ms)
            timeout_ms = (uint32_t)left;
    }
    uint32_t key = park_prepare(&j->writer_park);
    if (timeout_ms == 0 || writer_has_work(j))
        park_cancel(&j->writer_park);
    else
        park_wait(&j->writer_park, key, timeout_ms);
}

void journal_writer_pace(struct journal *j)
{
    if (j->o.mode != JOURNAL_NONE || j->writer.pending || journal_status(j) != HF_OK)
        return;
    // A park of its own: nobody wakes it.
    struct park pace = {0};
    park_wait(&pace, park_prepare(&pace), 1);
}
