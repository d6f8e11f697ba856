// Archive files with damage in them: every question is answered exactly or with HF_DAMAGED.
//
//   byte 0: flags; byte 1: file; then changes as fuzz_patch.h says
#include "fuzz/fuzz_folder.h"
#include "fuzz/fuzz_patch.h"

#include "core/record.h"
#include "journal/archive_internal.h"

#include <stdio.h>

#define CHANGES_MAX 16
#define FILES_MAX   8

enum { FIX = 1, CUT = 2, ERASE = 4, RECORDS = 8 };

static struct fake_storage *image;
static char names[FILES_MAX][STORAGE_NAME_BYTES];
static unsigned name_count;
static uint64_t last_lsn;
static uint64_t buyer, reference;

static enum hf_status look(void *ctx, uint64_t lsn, uint64_t time_ms,
                           const struct journal_record *r)
{
    (void)ctx, (void)time_ms;
    last_lsn = lsn;
    if (core_record_keys.buyer(r))
        buyer = core_record_keys.buyer(r);
    if (core_record_keys.reference(r))
        reference = core_record_keys.reference(r);
    return HF_OK;
}

static struct archive_options options(struct storage *s)
{
    return (struct archive_options){.storage = s,
                                    .engine_id = {UINT64_C(0x1234567812347000), SHAPE_GENERATION},
                                    .keys = &core_record_keys,
                                    .block_bytes = 1024};
}

void fuzz_set_up(void)
{
    char all[64][STORAGE_NAME_BYTES];
    struct archive *a;
    image = folder_full();
    uint32_t count = fake_storage_names(image, all, 64);
    for (uint32_t i = 0; i < count && i < 64; i++)
        if (strncmp(all[i], "archive-", 8) == 0 && name_count < FILES_MAX)
            memcpy(names[name_count++], all[i], STORAGE_NAME_BYTES);
    struct archive_options o = options(&image->base);
    HF_ASSERT(name_count >= 1 && archive_create(&o, &a) == HF_OK);
    HF_ASSERT(archive_walk(a, 0, look, NULL) == HF_OK && last_lsn > 20 && buyer && reference);
    archive_destroy(a);
}

void fuzz_seeds(void)
{
    for (unsigned i = 0; i < name_count; i++)
        for (unsigned kind = 0; kind < 7; kind++)
            for (unsigned at = 0; at < 6; at++) {
                static const uint16_t places[] = {72, 120, 264, 300, 1200, 4100};
                char name[48];
                uint8_t bytes[] = {(uint8_t)(at % 2 | (kind == 6 ? ERASE : 0)),
                                   (uint8_t)i,
                                   (uint8_t)kind,
                                   (uint8_t)places[at],
                                   (uint8_t)(places[at] >> 8),
                                   4,
                                   1,
                                   2,
                                   3,
                                   4,
                                   0};
                snprintf(name, sizeof name, "file-%u-kind-%u-at-%u", i, kind, at);
                fuzz_seed(name, bytes, sizeof bytes);
            }
}

struct walk {
    uint64_t last, count;
};

static enum hf_status visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    struct walk *k = ctx;
    (void)time_ms;
    HF_ASSERT((uintptr_t)r % 8 == 0 && r->units >= 3 && journal_record_crc(r) == r->crc);
    HF_ASSERT(lsn > k->last);
    k->last = lsn;
    k->count++;
    return HF_OK;
}

static bool status_ok(enum hf_status s)
{
    return s == HF_OK || s == HF_DAMAGED || s == HF_NO_MEMORY;
}

static void ask(struct archive *a)
{
    static _Alignas(8) uint8_t space[HF_RECORD_BYTES_MAX];
    struct journal_record *r = (struct journal_record *)space;
    struct walk k = {0};
    HF_ASSERT(status_ok(archive_walk(a, 0, visit, &k)));
    for (unsigned i = 0; i < SHAPE_IDS; i++) {
        k = (struct walk){0};
        HF_ASSERT(status_ok(archive_find_id(a, shape_id(i), visit, &k)));
    }
    k = (struct walk){0};
    HF_ASSERT(status_ok(archive_find_reference(a, reference, visit, &k)));
    for (uint64_t lsn = 0; lsn < last_lsn + 2; lsn += 5) {
        enum hf_status s = archive_read_one(a, lsn, r, sizeof space);
        HF_ASSERT(status_ok(s) || s == HF_NOT_FOUND || s == HF_INVALID);
        HF_ASSERT(s != HF_OK || r->crc == journal_record_crc(r));
    }
}

static void erase(struct archive *a, struct fake_storage *disk)
{
    struct archive_options o = options(&disk->base);
    uint32_t files;
    enum hf_status s = archive_erase_buyer(a, buyer, &files);
    HF_ASSERT(status_ok(s));
    archive_destroy(a);
    if (s != HF_OK) // what was rewritten joins what was not
        return;
    s = archive_create(&o, &a);
    HF_ASSERT(s == HF_OK);
    ask(a);
    (void)archive_expire(a, UINT64_MAX, UINT64_MAX);
    archive_destroy(a);
}

// The records change, the file is written anew around them: their bounds, runs and keys are right,
// what they say is not.
static enum hf_status rewrite(void *ctx, uint64_t lsn, uint64_t time_ms,
                              const struct journal_record *r)
{
    static _Alignas(8) uint8_t space[HF_RECORD_BYTES_MAX];
    void **pair = ctx;
    struct journal_record *copy = (struct journal_record *)space;
    memcpy(space, r, journal_record_bytes(r));
    if (fuzz_left(pair[1]) > 0)
        patch_one(pair[1], space, journal_record_bytes(r));
    copy->units = r->units;
    copy->type += copy->type == 0;
    journal_seal(copy);
    return archive_writer_add(pair[0], lsn, time_ms, copy);
}

static void records_change(struct fake_storage *disk, const char *name, struct fuzz_input *in)
{
    struct archive_options o = options(&disk->base);
    struct archive_disk_header h;
    struct archive_writer *w;
    struct archive *a;
    HF_ASSERT(archive_header_read(&disk->base, name, o.engine_id, &h) == HF_OK);
    struct archive_target t = {&o, h.number, h.first_lsn, 0, 1};
    o.block_bytes = 1024;
    HF_ASSERT(archive_create(&o, &a) == HF_OK && archive_writer_create(&t, &w) == HF_OK);
    void *pair[2] = {w, in};
    for (uint64_t lsn = h.first_lsn; lsn <= h.last_lsn; lsn++) {
        static _Alignas(8) uint8_t space[HF_RECORD_BYTES_MAX];
        HF_ASSERT(archive_read_one(a, lsn, (void *)space, sizeof space) == HF_OK);
        HF_ASSERT(rewrite(pair, lsn, h.min_time_ms, (void *)space) == HF_OK);
    }
    enum hf_status s;
    while ((s = archive_writer_finish_step(w)) == HF_OK)
        ;
    HF_ASSERT(s == HF_AGAIN);
    char temporary[STORAGE_NAME_BYTES];
    memcpy(temporary, archive_writer_temporary(w), sizeof temporary);
    archive_writer_destroy(w, false);
    HF_ASSERT(disk->base.ops->rename(&disk->base, temporary, name) == HF_OK);
    archive_destroy(a);
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct fake_storage *disk = fake_storage_clone(image);
    struct archive_options o = options(&disk->base);
    struct archive *a;
    uint8_t flags = fuzz_byte(&in);
    const char *name = names[fuzz_byte(&in) % name_count];
    if (flags & RECORDS) {
        records_change(disk, name, &in);
    } else {
        size_t n;
        uint8_t *copy = patch_read(disk, name, &n);
        for (int i = 0; i < CHANGES_MAX && fuzz_left(&in) > 0; i++)
            patch_one(&in, copy, n);
        if (flags & FIX)
            patch_fix_archive(copy, n);
        patch_write(disk, name, copy, flags & CUT ? n - HF_BLOCK : n);
        free(copy);
    }
    enum hf_status s = archive_create(&o, &a);
    HF_ASSERT(status_ok(s) || s == HF_TOO_NEW || s == HF_FOREIGN);
    if (s == HF_OK) {
        ask(a);
        if (flags & ERASE)
            erase(a, disk);
        else
            archive_destroy(a);
    }
    storage_destroy(&disk->base);
}
