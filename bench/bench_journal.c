// engine/journal alone: the producer's side of a record, and the writer's. Not synced; the segments
// are recycled at once. The folder lies where the program runs.
#include "harness.h"
#include "journal/journal.h"
#include "rig.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_BYTES 64u

struct bench_journal {
    char folder[32];
    struct storage *storage;
    struct journal *journal;
    struct journal_producer *producer;
};

static bool journal_make(struct bench_journal *b)
{
    struct journal_options o;
    struct journal_report report;
    *b = (struct bench_journal){.folder = "holdfast-bench.XXXXXX"};
    if (!mkdtemp(b->folder) || storage_os_create(b->folder, false, &b->storage) != HF_OK)
        return false;
    journal_options_default(&o);
    o.storage = b->storage;
    o.clock = clock_os();
    o.mode = JOURNAL_NONE;
    o.segments_max = 8;
    o.producers_max = 1;
    if (journal_create(&o, (struct hf_uuid){1, 2}, &b->journal, &report) != HF_OK ||
        journal_recover(b->journal, 0, NULL, NULL, NULL, &report) != HF_OK ||
        journal_start(b->journal) != HF_OK)
        return false;
    b->producer = journal_producer_create(b->journal);
    return b->producer != NULL;
}

static void journal_gone(struct bench_journal *b)
{
    if (b->journal)
        journal_destroy(b->journal);
    storage_destroy(b->storage);
    rig_wipe(b->folder);
}

// Everything that was pushed goes to the file; files are made and recycled.
static bool journal_drain(struct bench_journal *b)
{
    enum hf_status writer = HF_OK, housekeeper = HF_OK;
    while (writer == HF_OK || housekeeper == HF_OK) {
        housekeeper = journal_maintain(b->journal, journal_durable(b->journal));
        writer = journal_writer_step(b->journal, 1, false);
    }
    return writer == HF_AGAIN;
}

static void record_write(void *at, uint64_t n)
{
    uint64_t *words = at;
    struct journal_record *r = at;
    memset(words, 0, RECORD_BYTES);
    r->units = RECORD_BYTES / 8;
    r->type = 1;
    r->id = (struct hf_uuid){n, ~n};
}

static bool batch_push(struct bench_journal *b, uint32_t count, uint64_t *n)
{
    struct journal_record *records[1024];
    uint32_t pushed;
    if (!journal_has_room(b->producer, count * RECORD_BYTES))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        records[i] = journal_reserve(b->producer, RECORD_BYTES);
        record_write(records[i], ++*n);
    }
    for (uint32_t i = 0; i < count; i++)
        journal_seal(records[i]);
    bench_use(journal_push(b->producer, &pushed));
    return true;
}

static void run(struct bench_state *s, bool writer_timed)
{
    struct bench_journal b;
    uint32_t count = (uint32_t)bench_arg(s);
    uint64_t n = 0;
    if (!journal_make(&b)) {
        bench_skip(s, "no journal can be made here");
        return;
    }
    while (bench_next(s, count)) {
        if (batch_push(&b, count, &n))
            continue;
        if (!writer_timed)
            bench_pause(s);
        bool drained = journal_drain(&b) && batch_push(&b, count, &n);
        if (!writer_timed)
            bench_resume(s);
        if (!drained) {
            bench_skip(s, "the journal has stopped");
            break;
        }
    }
    bench_items(s, bench_iterations(s));
    bench_bytes(s, bench_iterations(s) * RECORD_BYTES);
    journal_gone(&b);
}

static void append(struct bench_state *s)
{
    run(s, false);
}

static void append_and_write(struct bench_state *s)
{
    run(s, true);
}

void bench_journal_register(void)
{
    static const int64_t batches[] = {1, 32, 256};
    bench_register("journal/reserve_seal_push", append, &(struct bench_options){batches, 3, 1});
    bench_register("journal/append_and_write", append_and_write,
                   &(struct bench_options){batches + 1, 1, 1});
}
