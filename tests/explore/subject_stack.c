// The journal's stack of bursts: places and content appear together, in one dense order that keeps
// each producer's own; buffers are written again only when the writer is through with them.
#include "explore/interleave.h"

#include "journal/journal_internal.h"

#include <stdio.h>
#include <string.h>

#define PRODUCERS    3
#define WRITER       PRODUCERS
#define PUSHES       4
#define RECORDS      6 // of one push
#define RECORD_BYTES 64
#define ALL_MAX      (PRODUCERS * PUSHES * RECORDS)

struct program {
    struct journal_producer *producer;
    uint32_t pushes, records[PUSHES];
    uint64_t first[PUSHES]; // LSN that the push told; 0: there was no room
    uint32_t told[PUSHES];
    uint64_t from[PUSHES], to[PUSHES];
};

static struct {
    struct journal journal;
    struct program programs[PRODUCERS];
    uint32_t producers, takes;
    uint64_t lsn;           // of the next record that the writer sees
    uint64_t seen[ALL_MAX]; // by LSN - 1: producer << 32 | push << 16 | place
    uint64_t pushed, full;
} w;

static uint64_t name_of(uint32_t producer, uint32_t push, uint32_t place)
{
    return (uint64_t)(producer + 1) << 32 | push << 16 | place;
}

static void push(struct program *p, uint32_t self, uint32_t n)
{
    uint32_t count = 0;
    p->from[n] = explore_time();
    for (uint32_t i = 0; i < p->records[n]; i++) {
        uint64_t *at = journal_reserve(p->producer, RECORD_BYTES);
        if (!at)
            break;
        for (uint32_t k = 0; k < RECORD_BYTES / 8; k++)
            at[k] = name_of(self, n, count);
        count++;
    }
    w.full += count < p->records[n];
    p->first[n] = journal_push(p->producer, &p->told[n]);
    explore_check(p->told[n] == count, "%u records became %u", count, p->told[n]);
    p->to[n] = explore_time();
    w.pushed += count > 0;
}

// The writer copies what it takes, then gives the buffer back.
static void take(void)
{
    struct journal_burst *newest, *next;
    for (struct journal_burst *b = journal_queue_take(&w.journal, &newest); b; b = next) {
        const uint64_t *at = (const uint64_t *)(b + 1);
        explore_check(b->first_lsn == w.lsn, "LSN %lu is told as %lu", w.lsn, b->first_lsn);
        explore_check(b->bytes == b->count * RECORD_BYTES, "%u bytes of %u records", b->bytes,
                      b->count);
        for (uint32_t i = 0; i < b->count; i++, at += RECORD_BYTES / 8) {
            explore_check(w.lsn - 1 < ALL_MAX, "more records than were pushed");
            for (uint32_t k = 1; k < RECORD_BYTES / 8; k++)
                explore_check(at[k] == at[0], "a record is torn");
            w.seen[w.lsn++ - 1] = at[0];
            HF_YIELD(); // the producer may be at work
        }
        next = b->next;
        journal_queue_release(b);
    }
}

static void body(void *ctx, uint32_t fiber)
{
    (void)ctx;
    if (fiber == w.producers) {
        for (uint32_t i = 0; i < w.takes; i++)
            take();
        return;
    }
    for (uint32_t n = 0; n < w.programs[fiber].pushes; n++)
        push(&w.programs[fiber], fiber, n);
}

static void begin(struct prng *r)
{
    struct journal_options *o = &w.journal.o;
    memset(&w.journal, 0, sizeof w.journal);
    o->producers_max = PRODUCERS;
    o->buffer_bytes = prng_chance(r, 1, 2) ? 1024 : 128;
    o->buffers_per_producer = (uint32_t)prng_between(r, 2, 3);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        w.programs[i].producer = journal_producer_create(&w.journal);
        explore_check(w.programs[i].producer, "no memory");
    }
}

static void end(void)
{
    journal_producers_destroy(&w.journal);
}

static uint32_t make(struct prng *r, uint32_t small)
{
    w.producers = small ? small : (uint32_t)prng_between(r, 1, PRODUCERS);
    w.takes = small ? 1 : (uint32_t)prng_between(r, 1, 5);
    w.journal.head = (struct hf_word128){0, 0};
    w.lsn = 1;
    memset(w.seen, 0, sizeof w.seen);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct program *p = &w.programs[i];
        p->pushes = i >= w.producers ? 0 : small ? 1 : (uint32_t)prng_between(r, 1, PUSHES);
        for (uint32_t n = 0; n < PUSHES; n++)
            p->records[n] = small ? 1 : (uint32_t)prng_below(r, RECORDS + 1);
    }
    return w.producers + 1;
}

static void judge(const struct explore_run *run)
{
    (void)run;
    take();
    explore_check(w.lsn - 1 == journal_appended(&w.journal), "%lu of %lu records were seen",
                  w.lsn - 1, journal_appended(&w.journal));
    for (uint32_t i = 0; i < w.producers; i++) {
        const struct program *p = &w.programs[i];
        for (uint32_t n = 0; n < p->pushes; n++)
            for (uint32_t k = 0; k < p->told[n]; k++)
                explore_check(w.seen[p->first[n] - 1 + k] == name_of(i, n, k),
                              "LSN %lu is another's", p->first[n] + k);
    }
    for (uint32_t i = 0; i < w.producers; i++)
        for (uint32_t j = 0; j < w.producers; j++)
            for (uint32_t n = 0; n < w.programs[i].pushes; n++)
                for (uint32_t m = 0; m < w.programs[j].pushes; m++)
                    explore_check(w.programs[i].told[n] == 0 || w.programs[j].told[m] == 0 ||
                                      w.programs[i].to[n] > w.programs[j].from[m] ||
                                      w.programs[i].first[n] < w.programs[j].first[m],
                                  "an earlier push has the later LSN");
}

static const char *tell(void)
{
    static char text[60];
    snprintf(text, sizeof text, "%lu pushes, %lu times no room", w.pushed, w.full);
    return text;
}

const struct subject subject_stack = {
    .name = "stack",
    .help = "the journal's stack of bursts, its producers and its writer",
    .rounds = 4,
    .small_count = 2,
    .freezable = UINT32_MAX,
    .begin = begin,
    .end = end,
    .make = make,
    .body = body,
    .judge = judge,
    .tell = tell,
};
