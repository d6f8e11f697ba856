// The journal's records with other contents under good checksums: parsed, printed, replayed.
//
//   byte 0: flags; then changes: byte 0: record; the rest as fuzz_patch.h says; or the record goes,
//   or comes twice
#include "fuzz/fuzz_engine.h"
#include "fuzz/fuzz_patch.h"

#include "core/record.h"

#include <stdio.h>

#define CHANGES_MAX 16
#define RECORDS_MAX 128

enum { EXERCISE = 1, HOUSEKEEP = 2 };

struct kept {
    size_t bytes;
    unsigned times;
    uint8_t *at;
};
static struct kept records[RECORDS_MAX];
static unsigned record_count;

static enum hf_status keep(void *ctx, uint64_t lsn, uint64_t time_ms,
                           const struct journal_record *r)
{
    (void)ctx, (void)lsn, (void)time_ms;
    if (record_count == RECORDS_MAX)
        return HF_OK;
    struct kept *k = &records[record_count++];
    *k = (struct kept){.bytes = journal_record_bytes(r), .times = 1};
    k->at = malloc(k->bytes);
    HF_ASSERT(k->at);
    memcpy(k->at, r, k->bytes);
    return HF_OK;
}

void fuzz_set_up(void)
{
    struct fake_storage *image = folder_records();
    struct journal_report report;
    HF_ASSERT(journal_inspect(&image->base, NULL, keep, NULL, &report) == HF_OK);
    HF_ASSERT(report.first_lsn == 1 && record_count > 20);
    storage_destroy(&image->base);
}

// Every word of every record once, with one of the special values.
void fuzz_seeds(void)
{
    for (unsigned i = 0, n = 0; i < record_count; i++)
        for (unsigned at = 8; at < records[i].bytes - 8; at += 8, n++) {
            char name[32];
            uint8_t bytes[] = {(uint8_t)(n % 4), (uint8_t)i, 5, (uint8_t)at, 0, (uint8_t)(n * 3)};
            snprintf(name, sizeof name, "record-%02u-%03u", i, at);
            fuzz_seed(name, bytes, sizeof bytes);
        }
}

// A record by itself. What does not parse must not be taken by replay either.
static bool record_judge(const struct journal_record *r)
{
    static FILE *nowhere;
    struct core_record_parts p;
    struct hf_uuid id;
    if (!nowhere)
        nowhere = fopen("/dev/null", "w");
    bool good = core_record_parse(r, &p);
    HF_ASSERT(core_record_print(nowhere, r, true) == good);
    (void)core_record_keys.reference(r);
    (void)core_record_keys.buyer(r);
    (void)core_record_keys.second_id(r, &id);
    if (good) {
        const uint8_t *end = (const uint8_t *)r + journal_record_bytes(r);
        const char *texts[] = {p.reference, p.buyer, p.reason, (const char *)p.trace};
        unsigned bytes[] = {p.reference_bytes, p.buyer_bytes, p.reason_bytes, p.trace_bytes};
        for (int i = 0; i < 4; i++)
            HF_ASSERT(bytes[i] == 0 ||
                      (texts[i] > (const char *)r && texts[i] + bytes[i] <= (const char *)end));
    }
    return good;
}

static struct kept *changed(struct fuzz_input *in)
{
    struct kept *list = malloc(record_count * sizeof *list);
    HF_ASSERT(list);
    for (unsigned i = 0; i < record_count; i++) {
        list[i] = records[i];
        list[i].at = malloc(records[i].bytes);
        memcpy(list[i].at, records[i].at, records[i].bytes);
    }
    for (int i = 0; i < CHANGES_MAX && fuzz_left(in) > 0; i++) {
        struct kept *k = &list[fuzz_byte(in) % record_count];
        if (fuzz_left(in) > 0 && *in->at >= 250)
            k->times = fuzz_byte(in) % 3;
        else
            patch_one(in, k->at, k->bytes);
        struct journal_record *r = (struct journal_record *)k->at;
        r->units = (uint16_t)(k->bytes / 8);
        r->type += r->type == 0;
        journal_seal(r);
    }
    return list;
}

// Only cells that were made before are named.
static bool handles_known(const struct journal_record *frame, uint32_t *cells)
{
    const struct core_record *r = (const struct core_record *)frame;
    *cells += frame->type == CORE_RECORD_CELL;
    for (uint32_t i = 0; i < r->line_count; i++)
        if (r->lines[i].handle >= *cells)
            return false;
    return true;
}

// Writes them as the journal would. True when replay may take them all.
static bool journal_make(struct world *w, const struct kept *list)
{
    struct journal_report report;
    struct journal_options o = w->options.journal;
    struct journal *j;
    uint32_t cells = 0;
    bool all = true;
    o.storage = w->options.storage;
    o.clock = w->options.clock;
    o.producers_max = 1;
    HF_ASSERT(journal_create(&o, w->options.fresh_id, &j, &report) == HF_OK);
    HF_ASSERT(journal_recover(j, 0, NULL, NULL, NULL, &report) == HF_OK);
    HF_ASSERT(journal_start(j) == HF_OK);
    struct journal_producer *p = journal_producer_create(j);
    for (unsigned i = 0; i < record_count; i++)
        for (unsigned k = 0; k < list[i].times; k++) {
            uint32_t count;
            void *at = journal_reserve(p, (uint32_t)list[i].bytes);
            HF_ASSERT(at);
            memcpy(at, list[i].at, list[i].bytes);
            const struct journal_record *r = at;
            all = all && record_judge(r) && handles_known(r, &cells);
            if (i % 8 == 0) {
                (void)journal_push(p, &count);
                while (journal_maintain(j, 0) == HF_OK ||
                       journal_writer_step(j, SHAPE_TIME_MS + i, false) == HF_OK)
                    ;
            }
        }
    uint32_t count;
    (void)journal_push(p, &count);
    while (journal_maintain(j, 0) == HF_OK ||
           journal_writer_step(j, SHAPE_TIME_MS + 99, false) == HF_OK)
        ;
    HF_ASSERT(journal_durable(j) == journal_appended(j));
    journal_destroy(j);
    fake_storage_kill(w->disk);
    return all;
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct fuzz_input in = {data, data + bytes};
    struct engine_cells cells;
    struct world w;
    uint8_t flags = fuzz_byte(&in);
    struct kept *list = changed(&in);
    folder_world(&w);
    bool good = journal_make(&w, list);
    if (engine_start(&w, &cells)) {
        HF_ASSERT(good);
        if (flags & EXERCISE)
            engine_exercise(&w);
        if (flags & HOUSEKEEP && !(flags & EXERCISE))
            for (int i = 0; i < 60; i++)
                if (core_step_checkpoint(w.core, core_now(w.core), 100) != HF_OK)
                    break;
        if (!(flags & EXERCISE))
            engine_restart(&w, &cells);
    }
    world_fini(&w);
    for (unsigned i = 0; i < record_count; i++)
        free(list[i].at);
    free(list);
}
