// A journal's folder with damage in it: what inspection, salvage and a start make of it, and
// whether what a start accepted stays when the journal goes on.
//
//   byte 0: flags; then changes: byte 0: file; the rest as fuzz_patch.h says
#include "fuzz/fuzz_patch.h"

#include "unit/journal_world.h"

#include <stdio.h>

#define CHANGES_MAX 16
#define FILES_MAX   16

enum { FIX_HEADERS = 1, FIX_RECORDS = 2, CUT = 4, AFTER = 8 };

static struct fake_storage *image;
static char names[FILES_MAX][STORAGE_NAME_BYTES];
static uint32_t name_count;

// Six segments, the first two recycled; groups of one record and of many, empty ones, two epochs,
// groups of several blocks.
void fuzz_set_up(void)
{
    struct world w;
    world_init(&w, 1);
    w.o.group_bytes_max = 3 * HF_BLOCK;
    world_open(&w);
    world_append_lone(&w, 9, 0);
    for (int i = 0; i < 4; i++) {
        HF_ASSERT(world_push(&w, 20, 0) && world_push(&w, 1, 3000));
        HF_ASSERT(world_drain(&w, 0) == HF_OK);
    }
    world_reopen(&w);
    world_append_lone(&w, 12, 15);
    HF_ASSERT(journal_writer_step(w.j, w.time_ms++, true) == HF_OK);
    HF_ASSERT(world_push(&w, 30, 0) && world_drain(&w, 15) == HF_OK);
    world_kill(&w);
    image = w.disk;
    image->clock = NULL;
    name_count = fake_storage_names(image, names, FILES_MAX);
    HF_ASSERT(name_count >= 4 && name_count <= FILES_MAX);
}

void fuzz_seeds(void)
{
    fuzz_seed("whole", "\0", 1);
    for (unsigned i = 0; i < name_count; i++)
        for (unsigned kind = 0; kind < 7; kind++) {
            char name[40];
            uint8_t bytes[] = {(uint8_t)(FIX_HEADERS | FIX_RECORDS * (kind & 1)),
                               (uint8_t)i,
                               (uint8_t)kind,
                               (uint8_t)(kind * 40),
                               (uint8_t)(16 * kind),
                               4,
                               1,
                               2,
                               3,
                               4,
                               0,
                               0};
            snprintf(name, sizeof name, "file-%u-kind-%u", i, kind);
            fuzz_seed(name, bytes, sizeof bytes);
        }
}

// ------------------------------------------------------------------------ reading

struct walk {
    uint64_t seen, last;
    bool gaps; // allowed
};

static enum hf_status walk_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *r)
{
    struct walk *k = ctx;
    (void)time_ms; // a header's word, and the visitor's to judge
    HF_ASSERT((uintptr_t)r % 8 == 0 && r->units >= 3 && r->type != 0);
    HF_ASSERT(r->crc == journal_record_crc(r));
    HF_ASSERT(k->seen == 0 || (k->gaps ? lsn > k->last : lsn == k->last + 1));
    k->last = lsn;
    k->seen++;
    return HF_OK;
}

static bool status_ok(enum hf_status s)
{
    return s == HF_OK || s == HF_DAMAGED || s == HF_TOO_NEW || s == HF_NOT_FOUND ||
           s == HF_FOREIGN || s == HF_FULL || s == HF_NO_SPACE || s == HF_INVALID;
}

static void report_judge(const struct journal_report *r, enum hf_status s)
{
    HF_ASSERT(strnlen(r->why, sizeof r->why) < sizeof r->why);
    HF_ASSERT(strnlen(r->where, sizeof r->where) < sizeof r->where);
    HF_ASSERT(s != HF_DAMAGED || r->why[0]);
}

// ------------------------------------------------------------------------ going on

// What a start accepted, and what it appended, is there at the next one.
static void go_on(struct world *w, uint64_t after, uint64_t last)
{
    struct walk k = {0};
    enum hf_status s = journal_start(w->j);
    HF_ASSERT(status_ok(s));
    if (s != HF_OK)
        return;
    HF_ASSERT(journal_appended(w->j) == last && journal_durable(w->j) == last);
    w->p = journal_producer_create(w->j);
    HF_ASSERT(w->p);
    for (int i = 0; i < 3; i++) {
        if (!world_push(w, 3, 0))
            return;
        w->time_ms = w->report.engine_time_ms + 1 + (uint64_t)i;
        s = world_drain(w, after);
        HF_ASSERT(status_ok(s));
        if (s != HF_OK || journal_durable(w->j) != journal_appended(w->j))
            return; // no room
    }
    world_kill(w);
    HF_ASSERT(world_create(w) == HF_OK);
    HF_ASSERT(journal_recover(w->j, after, walk_visit, NULL, &k, &w->report) == HF_OK);
    HF_ASSERT(k.last == last + 9);
}

static void start_judge(struct world *w, uint64_t after, const struct walk *whole, bool whole_ok)
{
    struct walk k = {0};
    enum hf_status s = world_create(w);
    HF_ASSERT(status_ok(s));
    report_judge(&w->report, s);
    if (s != HF_OK)
        return;
    s = journal_recover(w->j, after, walk_visit, NULL, &k, &w->report);
    HF_ASSERT(status_ok(s));
    report_judge(&w->report, s);
    if (s != HF_OK)
        return;
    uint64_t last = k.seen ? k.last : after;
    HF_ASSERT(!whole_ok || whole->seen == 0 || last == whole->last);
    // The times that it goes on with; one at the end of all numbers cannot go on.
    if (w->report.engine_time_ms < UINT64_MAX / 2 && last < UINT64_MAX / 2)
        go_on(w, after, last);
}

static void folder_judge(struct world *w, uint8_t flags)
{
    struct storage *s = &w->disk->base;
    struct walk whole = {0}, saved = {.gaps = true};
    struct journal_report report;
    enum hf_status st = journal_inspect(s, NULL, walk_visit, &whole, &report);
    HF_ASSERT(status_ok(st));
    report_judge(&report, st);
    HF_ASSERT(st != HF_OK || report.records == whole.seen);
    enum hf_status salvaged = journal_salvage(s, 0, walk_visit, NULL, &saved);
    HF_ASSERT(status_ok(salvaged));
    HF_ASSERT(st != HF_OK || salvaged != HF_OK || saved.seen == whole.seen);
    uint64_t after = st == HF_OK && whole.seen ? whole.last - whole.seen : 0;
    start_judge(w, flags & AFTER ? after + 2 : after, &whole, st == HF_OK);
}

static void changes(struct fake_storage *disk, struct fuzz_input *in, uint8_t flags)
{
    uint8_t *content[FILES_MAX] = {NULL};
    size_t bytes[FILES_MAX];
    for (int i = 0; i < CHANGES_MAX && fuzz_left(in) > 0; i++) {
        unsigned n = fuzz_byte(in) % name_count;
        if (!content[n])
            content[n] = patch_read(disk, names[n], &bytes[n]);
        patch_one(in, content[n], bytes[n]);
    }
    for (unsigned n = 0; n < name_count; n++) {
        if (!content[n])
            continue;
        if (flags & FIX_HEADERS)
            patch_fix_journal(content[n], bytes[n], flags & FIX_RECORDS);
        patch_write(disk, names[n], content[n], flags & CUT ? bytes[n] - HF_BLOCK : bytes[n]);
        free(content[n]);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct world w;
    world_init(&w, 1);
    storage_destroy(&w.disk->base);
    w.disk = fake_storage_clone(image);
    w.o.storage = &w.disk->base;
    w.o.group_bytes_max = 3 * HF_BLOCK;
    uint8_t flags = fuzz_byte(&in);
    changes(w.disk, &in, flags);
    folder_judge(&w, flags);
    world_fini(&w);
}
