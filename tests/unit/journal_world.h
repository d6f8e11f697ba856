// What the journal's tests share: a small journal on the fake disk, records that carry their own
// expected place, and a visitor that checks them.
#ifndef HOLDFAST_TESTS_UNIT_JOURNAL_WORLD_H
#define HOLDFAST_TESTS_UNIT_JOURNAL_WORLD_H

#include "journal/journal.h"
#include "journal/journal_format.h"
#include "journal/journal_internal.h"
#include "sim/fake_storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct hf_uuid world_engine = {0x0190000000007000, 0x8000000000000001};

struct world {
    struct fake_clock clock;
    struct fake_storage *disk;
    struct journal_options o;
    struct journal *j;
    struct journal_producer *p;
    struct journal_report report;
    uint64_t time_ms; // handed to the writer, one more each step
    // What world_visit saw, and how a record's content must look.
    uint64_t seen, first_seen, last_seen, last_time;
};

// Segments of 8 blocks, groups and buffers of one.
static inline void world_init(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    fake_clock_init(&w->clock, 1000000000, 1700000000000);
    w->disk = fake_storage_create(seed, &w->clock);
    journal_options_default(&w->o);
    w->o.storage = &w->disk->base;
    w->o.clock = &w->clock.base;
    w->o.segment_bytes = 8 * HF_BLOCK;
    w->o.segments_max = 6;
    w->o.segments_ready = 1;
    w->o.group_bytes_max = HF_BLOCK;
    w->o.buffer_bytes = HF_BLOCK;
    w->o.buffers_per_producer = 4;
    w->o.producers_max = 2;
    w->o.space_margin_blocks = 1;
    w->time_ms = 1700000000000;
}

static inline void world_stop(struct world *w)
{
    journal_destroy(w->j);
    w->j = NULL;
    w->p = NULL;
}

static inline void world_fini(struct world *w)
{
    world_stop(w);
    storage_destroy(&w->disk->base);
}

// The process ends and starts again; what it had not synced stays in the page cache.
static inline void world_kill(struct world *w)
{
    world_stop(w);
    fake_storage_kill(w->disk);
}

static inline enum hf_status world_create(struct world *w)
{
    return journal_create(&w->o, world_engine, &w->j, &w->report);
}

// Record contents follow from the LSN: type, length and bytes.
static inline uint32_t world_bytes(uint64_t lsn)
{
    return 24 + (uint32_t)(lsn % 13) * 8;
}

static inline void world_fill(struct journal_record *r, uint64_t lsn, uint32_t bytes)
{
    memset(r, (int)(lsn & 0xff), bytes);
    r->units = (uint16_t)(bytes / 8);
    r->type = 1 + lsn % 7;
    r->flags = 0;
    r->id = (struct hf_uuid){lsn, ~lsn};
    journal_seal(r);
}

static inline enum hf_status world_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                         const struct journal_record *r)
{
    struct world *w = ctx;
    assert_int_equal((uintptr_t)r % 8, 0);
    if (w->seen != 0)
        assert_int_equal(lsn, w->last_seen + 1);
    else
        w->first_seen = lsn;
    assert_true(time_ms >= w->last_time);
    assert_int_equal(r->id.hi, lsn);
    assert_int_equal(r->id.lo, ~lsn);
    assert_int_equal(r->crc, journal_record_crc(r));
    w->last_seen = lsn;
    w->last_time = time_ms;
    w->seen++;
    return HF_OK;
}

static inline enum hf_status world_recover(struct world *w, uint64_t after)
{
    w->seen = w->first_seen = w->last_seen = w->last_time = 0;
    return journal_recover(w->j, after, world_visit, NULL, w, &w->report);
}

// create, recover, start, one producer.
static inline void world_open(struct world *w)
{
    assert_int_equal(world_create(w), HF_OK);
    assert_int_equal(world_recover(w, 0), HF_OK);
    assert_int_equal(journal_start(w->j), HF_OK);
    w->p = journal_producer_create(w->j);
    assert_non_null(w->p);
}

// Pushes n records of the given length (0: by LSN). False: no buffer was free.
static inline bool world_push(struct world *w, uint32_t n, uint32_t bytes)
{
    uint64_t lsn = journal_appended(w->j) + 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = bytes ? bytes : world_bytes(lsn + i);
        struct journal_record *r = journal_reserve(w->p, b);
        if (!r)
            return false;
        world_fill(r, lsn + i, b);
    }
    uint32_t count;
    assert_int_equal(journal_push(w->p, &count), lsn);
    assert_int_equal(count, n);
    return true;
}

static inline enum hf_status world_step(struct world *w)
{
    return journal_writer_step(w->j, w->time_ms++, false);
}

// Steps until nothing is left; the housekeeper works in between, keeping what is after `keep`.
static inline enum hf_status world_drain(struct world *w, uint64_t keep)
{
    enum hf_status st;
    do {
        while ((st = journal_maintain(w->j, keep)) == HF_OK)
            ;
        if (st != HF_AGAIN && st != HF_NO_SPACE)
            return st;
    } while ((st = world_step(w)) == HF_OK);
    return st == HF_AGAIN ? HF_OK : st;
}

// One record a group, n times, with housekeeping.
static inline void world_append_lone(struct world *w, uint32_t n, uint64_t keep)
{
    for (uint32_t i = 0; i < n; i++) {
        assert_true(world_push(w, 1, 64));
        assert_int_equal(world_drain(w, keep), HF_OK);
        assert_int_equal(journal_durable(w->j), journal_appended(w->j));
    }
}

static inline void world_reopen(struct world *w)
{
    world_kill(w);
    world_open(w);
}

// The group header at a place, as the process sees it.
static inline const struct journal_group_header *world_group(struct world *w, const char *name,
                                                             uint64_t offset)
{
    uint64_t bytes;
    const uint8_t *at = fake_storage_content(w->disk, name, &bytes);
    assert_non_null(at);
    assert_true(offset + HF_BLOCK <= bytes);
    return (const struct journal_group_header *)(at + offset);
}

// Writes durably behind the journal's back.
static inline void world_write(struct world *w, const char *name, uint64_t offset, const void *data,
                               size_t bytes)
{
    struct storage *s = &w->disk->base;
    int file;
    unsigned char *block = aligned_alloc(HF_BLOCK, (bytes + HF_BLOCK - 1) / HF_BLOCK * HF_BLOCK);
    assert_int_equal(s->ops->open(s, name, STORAGE_READ | STORAGE_WRITE, &file), HF_OK);
    memcpy(block, data, bytes);
    assert_int_equal(s->ops->pwrite(s, file, block, bytes, offset), HF_OK);
    assert_int_equal(s->ops->sync(s, file), HF_OK);
    s->ops->close(s, file);
    free(block);
}

#endif
