// Set-up and tear-down, state, waiting, counters.
#include "journal/journal_internal.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEGMENT_BYTES_MAX (UINT64_C(16) << 30)
#define GROUP_BYTES_MAX   (UINT32_C(256) << 20)

void *journal_blocks_alloc(size_t bytes)
{
    return aligned_alloc(HF_BLOCK, (bytes + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK);
}

void journal_report_say(struct journal_report *r, const char *where, uint64_t offset,
                        const char *fmt, ...)
{
    va_list args;
    snprintf(r->where, sizeof r->where, "%s", where);
    r->offset = offset;
    va_start(args, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, args);
    va_end(args);
}

void journal_options_default(struct journal_options *o)
{
    *o = (struct journal_options){
        .segment_bytes = UINT64_C(64) << 20,
        .segments_max = 64,
        .segments_ready = 2,
        .group_bytes_max = UINT32_C(1) << 20,
        .buffer_bytes = UINT32_C(64) << 10,
        .buffers_per_producer = 8,
        .producers_max = HF_THREADS_MAX,
        .mode = JOURNAL_SYNC,
        .group_ms = 10,
        .space_margin_blocks = 64,
    };
}

static bool options_in_range(const struct journal_options *o)
{
    return o->storage && o->clock && o->segment_bytes % HF_BLOCK == 0 &&
           o->segment_bytes >= 4 * HF_BLOCK && o->segment_bytes <= SEGMENT_BYTES_MAX &&
           o->segments_max >= 3 && o->segments_max <= UINT16_MAX && o->segments_ready >= 1 &&
           o->segments_ready < o->segments_max && o->group_bytes_max % HF_BLOCK == 0 &&
           o->group_bytes_max >= HF_BLOCK && o->group_bytes_max <= GROUP_BYTES_MAX &&
           o->buffer_bytes % HF_CACHE_LINE == 0 && o->buffer_bytes >= 1024 &&
           o->buffer_bytes <= o->group_bytes_max && o->buffers_per_producer >= 2 &&
           o->buffers_per_producer <= 1024 && o->producers_max >= 1 &&
           o->producers_max <= HF_THREADS_MAX && o->mode <= JOURNAL_NONE &&
           (o->mode != JOURNAL_GROUP || o->group_ms >= 1);
}

// The relations between the numbers; see docs/journal-format.md, "Space".
static bool options_fit(struct journal *j)
{
    const struct journal_options *o = &j->o;
    uint64_t blocks = o->segment_bytes / HF_BLOCK - 1;
    j->body_max = o->group_bytes_max;
    if (j->body_max < o->buffer_bytes + HF_BLOCK)
        j->body_max = o->buffer_bytes + HF_BLOCK;
    j->burst_blocks = (uint32_t)journal_group_blocks(o->buffer_bytes);
    j->margin = (int64_t)o->space_margin_blocks * HF_BLOCK;
    if (journal_group_blocks(j->body_max) > blocks || j->burst_blocks >= blocks)
        return false;
    return o->space_margin_blocks < (blocks - j->burst_blocks) * o->segments_max;
}

static bool memory_take(struct journal *j)
{
    j->writer.staging = journal_blocks_alloc(journal_group_blocks(j->body_max) * HF_BLOCK);
    j->table.capacity = j->o.segments_max;
    j->table.entries = calloc(j->table.capacity, sizeof *j->table.entries);
    return j->writer.staging && j->table.entries && journal_preparation_init(j);
}

static void count_segment(void *ctx, const char *name)
{
    *(uint32_t *)ctx += journal_segment_number(name) != 0;
}

static enum hf_status meta_open(struct journal *j, struct hf_uuid fresh_id,
                                struct journal_report *report)
{
    struct storage *s = j->o.storage;
    enum hf_status st = journal_meta_read(s, &j->meta, report);
    if (st != HF_NOT_FOUND)
        return st;
    uint32_t segments = 0;
    st = s->ops->list(s, count_segment, &segments);
    if (st != HF_OK)
        return st;
    if (segments != 0) {
        journal_report_say(report, JOURNAL_META_NAME, 0,
                           "the meta file is missing, but there are segments");
        return HF_DAMAGED;
    }
    return journal_meta_create(s, fresh_id, &j->meta);
}

enum hf_status journal_create(const struct journal_options *o, struct hf_uuid fresh_id,
                              struct journal **out, struct journal_report *report)
{
    memset(report, 0, sizeof *report);
    if (!options_in_range(o))
        return HF_INVALID;
    struct journal *j = aligned_alloc(_Alignof(struct journal), sizeof *j);
    if (!j)
        return HF_NO_MEMORY;
    memset(j, 0, sizeof *j);
    j->o = *o;
    j->writer.file = -1;
    lock_init(&j->table.lock);
    enum hf_status st = options_fit(j) ? HF_OK : HF_INVALID;
    if (st == HF_OK && !memory_take(j))
        st = HF_NO_MEMORY;
    if (st == HF_OK)
        st = o->storage->ops->lock(o->storage);
    if (st == HF_OK)
        st = meta_open(j, fresh_id, report);
    if (st != HF_OK) {
        journal_destroy(j);
        return st;
    }
    report->epoch = j->meta.epoch + 1;
    *out = j;
    return HF_OK;
}

void journal_destroy(struct journal *j)
{
    if (!j)
        return;
    struct storage *s = j->o.storage;
    journal_preparation_fini(j);
    for (uint32_t i = 0; i < j->table.count; i++) {
        struct journal_segment_entry *e = journal_table_at(&j->table, i);
        if (e->file >= 0)
            s->ops->close(s, e->file);
    }
    if (j->writer.file >= 0)
        s->ops->close(s, j->writer.file);
    journal_producers_destroy(j);
    lock_fini(&j->table.lock);
    free(j->table.entries);
    free(j->writer.staging);
    free(j);
}

struct hf_uuid journal_engine_id(const struct journal *j)
{
    return j->meta.engine_id;
}

enum hf_status journal_start(struct journal *j)
{
    HF_ASSERT(j->recovered && !j->started);
    enum hf_status st = journal_meta_raise(j->o.storage, &j->meta, j->epoch);
    if (st != HF_OK)
        return st;
    struct journal_space space;
    journal_space(j, &space);
    if (space.segments_free == 0 && space.segments < j->o.segments_max)
        st = journal_segment_prepare_now(j);
    // With a segment in use there may be room enough to make some.
    if (st == HF_NO_SPACE && j->writer.segment != 0)
        st = HF_OK;
    if (st != HF_OK)
        return st;
    j->started = true;
    hf_log(HF_LOG_INFO, "journal_started", "epoch=%llu group=%llu lsn=%llu",
           (unsigned long long)j->epoch, (unsigned long long)j->writer.number,
           (unsigned long long)j->writer.last_lsn);
    return HF_OK;
}

// ------------------------------------------------------------------------------- state

void journal_stop(struct journal *j, enum hf_status why)
{
    uint32_t none = HF_OK;
    // Release: who sees the status sees what led to it. Pairs with journal_status.
    if (!atomic_compare_exchange_strong_explicit(&j->status, &none, (uint32_t)why,
                                                 memory_order_release, memory_order_relaxed))
        return;
    hf_log(HF_LOG_ERROR, "journal_stopped", "status=%s durable=%llu", hf_status_name(why),
           (unsigned long long)journal_durable(j));
    park_wake(&j->durable_park);
    park_wake(&j->writer_park);
}

enum hf_status journal_status(const struct journal *j)
{
    return (enum hf_status)atomic_load_explicit(&j->status, memory_order_acquire);
}

uint64_t journal_durable(const struct journal *j)
{
    HF_YIELD();
    // Pairs with the release in group_publish.
    return atomic_load_explicit(&j->durable, memory_order_acquire);
}

enum hf_status journal_wait(struct journal *j, uint64_t lsn, uint32_t timeout_ms)
{
    uint64_t from = clock_monotonic_ns(j->o.clock), now = from;
    for (;;) {
        uint32_t key = park_prepare(&j->durable_park);
        bool done = journal_durable(j) >= lsn, stopped = journal_status(j) != HF_OK;
        uint64_t waited = (now - from) / 1000000;
        if (done || stopped || waited >= timeout_ms) {
            park_cancel(&j->durable_park);
            return done ? HF_OK : stopped ? HF_STOPPED : HF_AGAIN;
        }
        park_wait(&j->durable_park, key, (uint32_t)(timeout_ms - waited));
        uint64_t then = now;
        now = clock_monotonic_ns(j->o.clock);
        if (now == then) // a clock that stands still: don't wait for it
            now = from + (uint64_t)timeout_ms * 1000000;
    }
}

void journal_metrics(const struct journal *j, struct journal_metrics *out)
{
    const struct journal_counters *c = &j->counters;
#define READ(name) out->name = atomic_load_explicit(&c->name, memory_order_relaxed)
    READ(groups);
    READ(records);
    READ(bytes_written);
    READ(syncs);
    READ(sync_ns_total);
    READ(sync_ns_max);
    READ(group_bytes_max);
    READ(pressure_waits);
#undef READ
}
