// What the archive's tests share: records that are a pure function of their LSN, a journal that
// hands them out, and checks of every answer against that function.
#ifndef HOLDFAST_TESTS_UNIT_ARCHIVE_WORLD_H
#define HOLDFAST_TESTS_UNIT_ARCHIVE_WORLD_H

#include "base/hash.h"
#include "journal/archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

struct world_payload {
    uint64_t reference, buyer;
    struct hf_uuid second; // nil: none
};

// The journal of the tests: segments of `each` records, groups of `group`.
static struct {
    uint64_t each, group;
    uint32_t closed, first_kept; // segments 1 .. closed are closed
    uint32_t ids;                // the records share that many ids
    uint32_t record_bytes;       // 0: of every length
    int readers;
    uint64_t erased_buyer, erased_to; // what the checks expect
} world = {.each = 100, .group = 7, .ids = 40};

struct journal_reader {
    uint64_t next;
};

static inline struct hf_uuid world_id(uint64_t n)
{
    return (struct hf_uuid){0x7000 | (n << 16), hf_mix64(n) >> 2 | UINT64_C(2) << 62};
}

static inline uint64_t world_time(uint64_t lsn)
{
    return 1000000 + (lsn - 1) / world.group * 10;
}

static inline uint64_t world_buyer(uint64_t lsn)
{
    return lsn % 5 == 0 ? hf_mix64(77 + lsn % 3) : 0;
}

static inline const struct journal_record *world_record(uint64_t lsn)
{
    static _Thread_local _Alignas(8) unsigned char space[HF_RECORD_BYTES_MAX];
    uint32_t bytes = world.record_bytes;
    if (!bytes)
        bytes = 24 + 8 * (uint32_t)(hf_mix64(lsn) % 20);
    if (!world.record_bytes && lsn % 97 == 0)
        bytes = HF_RECORD_BYTES_MAX;
    struct journal_record *r = (struct journal_record *)space;
    for (uint32_t i = 0; i < bytes; i += 8) {
        uint64_t word = i < 64 ? hf_mix64(lsn + i) : lsn;
        memcpy(space + i, &word, 8);
    }
    r->units = (uint16_t)(bytes / 8);
    r->type = 1 + (uint8_t)(lsn % 200);
    r->flags = (uint8_t)lsn;
    r->id = world_id(lsn % world.ids);
    if (bytes >= sizeof *r + sizeof(struct world_payload)) {
        struct world_payload *p = (struct world_payload *)(r + 1);
        p->reference = lsn % 4 == 0 ? hf_mix64(1000 + lsn % 11) : 0;
        p->buyer = world_buyer(lsn);
        if (p->buyer == world.erased_buyer && lsn <= world.erased_to)
            p->buyer = 0;
        p->second = lsn % 3 == 0 ? world_id(world.ids + lsn % 9) : (struct hf_uuid){0, 0};
    }
    r->crc = journal_record_crc(r);
    return r;
}

static inline const struct world_payload *payload_of(const struct journal_record *r)
{
    return journal_record_bytes(r) >= sizeof *r + sizeof(struct world_payload)
               ? (const struct world_payload *)(r + 1)
               : NULL;
}

static inline uint64_t world_key_reference(const struct journal_record *r)
{
    return payload_of(r) ? payload_of(r)->reference : 0;
}
static inline uint64_t world_key_buyer(const struct journal_record *r)
{
    return payload_of(r) ? payload_of(r)->buyer : 0;
}
static inline bool world_key_second(const struct journal_record *r, struct hf_uuid *id)
{
    if (!payload_of(r) || hf_uuid_is_nil(payload_of(r)->second))
        return false;
    *id = payload_of(r)->second;
    return true;
}
static inline void world_key_erase(struct journal_record *r)
{
    ((struct world_payload *)(r + 1))->buyer = 0;
}

static const struct archive_keys world_keys = {
    .reference = world_key_reference,
    .buyer = world_key_buyer,
    .second_id = world_key_second,
    .erase_buyer = world_key_erase,
};

// ------------------------------------------------------------- the journal's side, as it promises

uint32_t journal_closed_segments(struct journal *j, struct journal_segment *out, uint32_t max)
{
    (void)j;
    uint32_t n = 0;
    for (uint32_t i = world.first_kept ? world.first_kept : 1; i <= world.closed && n < max; i++) {
        out[n] = (struct journal_segment){
            .number = i, .first_lsn = (i - 1) * world.each + 1, .last_lsn = i * world.each};
        snprintf(out[n].name, sizeof out[n].name, "segment-%u", i);
        n++;
    }
    return n;
}

enum hf_status journal_reader_create(struct journal *j, uint64_t after, struct journal_reader **out)
{
    (void)j;
    if (world.first_kept && after + 1 < (world.first_kept - 1) * world.each + 1)
        return HF_NOT_FOUND;
    *out = malloc(sizeof **out);
    (*out)->next = after + 1;
    world.readers++;
    return HF_OK;
}

void journal_reader_destroy(struct journal_reader *r)
{
    world.readers--;
    free(r);
}

enum hf_status journal_reader_step(struct journal_reader *r, uint32_t max_groups,
                                   journal_visit visit, void *ctx)
{
    const uint64_t last = world.closed * world.each;
    if (r->next > last)
        return HF_AGAIN;
    const uint64_t segment_end = ((r->next - 1) / world.each + 1) * world.each;
    for (; max_groups && r->next <= last; max_groups--) {
        uint64_t end = ((r->next - 1) / world.group + 1) * world.group;
        if (end > segment_end)
            end = segment_end;
        for (; r->next <= end; r->next++) {
            enum hf_status status = visit(ctx, r->next, world_time(r->next), world_record(r->next));
            if (status != HF_OK)
                return status;
        }
    }
    return HF_OK;
}

// ------------------------------------------------------------------------------------- checks

static inline void world_names(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}
static inline int names_in(struct storage *s)
{
    int names = 0;
    assert_int_equal(s->ops->list(s, world_names, &names), HF_OK);
    return names;
}

static inline struct archive_options world_options(struct storage *s)
{
    return (struct archive_options){.storage = s,
                                    .engine_id = {11, 22},
                                    .keys = &world_keys,
                                    .retention_ms = 1000,
                                    .block_bytes = 1024};
}

static inline struct archive *archive_of(struct storage *s)
{
    struct archive_options o = world_options(s);
    struct archive *a;
    assert_int_equal(archive_create(&o, &a), HF_OK);
    return a;
}

static inline enum hf_status archive_all(struct archive *a)
{
    enum hf_status status;
    while ((status = archive_step(a, NULL)) == HF_OK)
        ;
    return status;
}

struct expected {
    uint64_t first, last; // of what must be there; LSNs past `last` fail the test
    uint64_t seen;        // the last one visited
    bool by_id, by_reference;
    struct hf_uuid id;
    uint64_t reference;
};

static inline bool expects(const struct expected *e, const struct journal_record *r)
{
    struct hf_uuid second;
    if (e->by_id)
        return hf_uuid_equal(r->id, e->id) ||
               (world_key_second(r, &second) && hf_uuid_equal(second, e->id));
    return !e->by_reference || world_key_reference(r) == e->reference;
}

static inline enum hf_status expected_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                            const struct journal_record *r)
{
    struct expected *e = ctx;
    uint64_t wanted = e->seen + 1;
    if (wanted < e->first)
        wanted = e->first;
    while (wanted < lsn && !expects(e, world_record(wanted)))
        wanted++;
    const struct journal_record *right = world_record(lsn);
    if (wanted != lsn || lsn > e->last || time_ms != world_time(lsn) || !expects(e, right) ||
        memcmp(right, r, journal_record_bytes(right)) != 0)
        fail_msg("visited %llu, expected %llu", (unsigned long long)lsn,
                 (unsigned long long)wanted);
    e->seen = lsn;
    return HF_OK;
}

static inline void expected_end(const struct expected *e)
{
    for (uint64_t lsn = e->seen < e->first ? e->first : e->seen + 1; lsn <= e->last; lsn++)
        assert_false(expects(e, world_record(lsn)));
}

// One answer: exact, or HF_DAMAGED where `may_be_damaged`.
static inline bool answer_ok(enum hf_status status, const struct expected *e, bool may_be_damaged)
{
    if (may_be_damaged && status == HF_DAMAGED)
        return false;
    assert_int_equal(status, HF_OK);
    expected_end(e);
    return true;
}

// Every kind of query over LSNs first .. last. True when all were exact.
static inline bool answers_check(struct archive *a, uint64_t first, uint64_t last, bool damage)
{
    struct expected e = {.first = first, .last = last};
    bool ok = answer_ok(archive_walk(a, 0, expected_visit, &e), &e, damage);
    for (uint32_t n = 0; n < world.ids + 12; n += damage ? 7 : 1) {
        e = (struct expected){.first = first, .last = last, .by_id = true, .id = world_id(n)};
        ok &= answer_ok(archive_find_id(a, e.id, expected_visit, &e), &e, damage);
    }
    for (uint64_t n = 1000; n < 1012; n += damage ? 5 : 1) {
        e = (struct expected){
            .first = first, .last = last, .by_reference = true, .reference = hf_mix64(n)};
        ok &= answer_ok(archive_find_reference(a, e.reference, expected_visit, &e), &e, damage);
    }
    return ok;
}

#endif
