// Producers, the writer, the housekeeper and a reader in threads, on real files: every record is
// there once, in the order of its LSN, each producer's in the order of its pushes.
#include "unit/journal_world.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define ok(call)  assert_int_equal((call), HF_OK)
#define PRODUCERS 2
#define RECORDS   300000 // a producer
#define CREDIT    512    // bytes taken at a time

struct shared {
    struct journal *j;
    struct journal_producer *producers[PRODUCERS];
    _Atomic uint64_t keep; // the reader's: recycle behind it
    _Atomic bool stop;
    uint64_t next[PRODUCERS]; // expected by the check
    uint64_t last;
};

struct producer_arg {
    struct shared *s;
    uint32_t index;
};

static uint32_t bytes_of(uint64_t n)
{
    return 32 + (uint32_t)(n % 5) * 8;
}

static void *produce(void *arg)
{
    struct producer_arg *a = arg;
    struct shared *s = a->s;
    struct journal_producer *p = s->producers[a->index];
    uint64_t n = 0, last = 0, credit = 0;
    while (n < RECORDS) {
        uint32_t burst = 1 + (uint32_t)(n % 32), count;
        for (uint32_t i = 0; i < burst && n < RECORDS; i++) {
            if (credit < bytes_of(n) && journal_credit_take(s->j, CREDIT))
                credit += CREDIT;
            if (credit < bytes_of(n))
                break; // the housekeeper is behind
            struct journal_record *r = journal_reserve(p, bytes_of(n));
            if (!r)
                break; // the writer is
            credit -= bytes_of(n);
            memset(r, 0, bytes_of(n));
            r->units = (uint16_t)(bytes_of(n) / 8);
            r->type = 1;
            r->id = (struct hf_uuid){a->index, n++};
            journal_seal(r);
        }
        uint64_t first = journal_push(p, &count);
        if (count == 0) {
            sched_yield();
            continue;
        }
        if (first <= last || journal_appended(s->j) < first + count - 1)
            abort();
        last = first + count - 1;
        if (n % 97 == 0 && journal_wait(s->j, last, 60000) != HF_OK)
            abort();
    }
    journal_credit_give(s->j, credit);
    if (journal_wait(s->j, last, 60000) != HF_OK || journal_durable(s->j) < last)
        abort();
    return NULL;
}

static void *write_groups(void *arg)
{
    struct shared *s = arg;
    uint64_t time = 1;
    while (!atomic_load(&s->stop)) {
        enum hf_status st = journal_writer_step(s->j, time++, false);
        if (st == HF_AGAIN)
            journal_writer_wait(s->j, 20);
        else if (st != HF_OK)
            abort();
    }
    return NULL;
}

static void *keep_house(void *arg)
{
    struct shared *s = arg;
    while (!atomic_load(&s->stop)) {
        enum hf_status st = journal_maintain(s->j, atomic_load(&s->keep));
        if (st == HF_AGAIN)
            sched_yield();
        else if (st != HF_OK)
            abort();
    }
    return NULL;
}

static enum hf_status check(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    struct shared *s = ctx;
    (void)time_ms;
    if (lsn != s->last + 1 || r->id.hi >= PRODUCERS || r->id.lo != s->next[r->id.hi]++ ||
        journal_record_bytes(r) != bytes_of(r->id.lo))
        abort();
    s->last = lsn;
    return HF_OK;
}

static enum hf_status count_one(void *ctx, uint64_t lsn, uint64_t time_ms,
                                const struct journal_record *r)
{
    (void)lsn;
    (void)time_ms;
    (void)r;
    ++*(uint64_t *)ctx;
    return HF_OK;
}

static void *read_all(void *arg)
{
    struct shared *s = arg;
    struct journal_reader *r;
    if (journal_reader_create(s->j, 0, &r) != HF_OK)
        abort();
    struct journal_record *one = malloc(HF_RECORD_BYTES_MAX);
    while (s->last < (uint64_t)PRODUCERS * RECORDS) {
        enum hf_status st = journal_reader_step(r, 8, check, s);
        if (st != HF_OK && st != HF_AGAIN)
            abort();
        if (st == HF_OK && journal_read_one(s->j, s->last, one, HF_RECORD_BYTES_MAX) != HF_OK)
            abort();
        atomic_store(&s->keep, s->last ? s->last - 1 : 0);
        if (st == HF_AGAIN)
            sched_yield();
    }
    free(one);
    journal_reader_destroy(r);
    return NULL;
}

static void options(struct journal_options *o, struct storage *storage)
{
    journal_options_default(o);
    o->storage = storage;
    o->clock = clock_os();
    o->segment_bytes = 1 << 20;
    o->segments_max = 4;
    o->group_bytes_max = 256 << 10;
    o->buffer_bytes = 8 << 10;
    o->buffers_per_producer = 4;
    o->space_margin_blocks = 0;
}

static void remove_one(void *ctx, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", (const char *)ctx, name);
    unlink(path);
}

static void every_record_is_there_once_and_in_order(void **state)
{
    (void)state;
    char folder[] = "/tmp/holdfast-test-journal-XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct storage *storage;
    ok(storage_os_create(folder, false, &storage));
    struct journal_options o;
    struct journal_report report;
    options(&o, storage);
    struct shared *s = calloc(1, sizeof *s);
    ok(journal_create(&o, world_engine, &s->j, &report));
    ok(journal_recover(s->j, 0, check, NULL, s, &report));
    ok(journal_start(s->j));
    pthread_t threads[PRODUCERS + 3];
    struct producer_arg args[PRODUCERS];
    for (uint32_t i = 0; i < PRODUCERS; i++)
        assert_non_null(s->producers[i] = journal_producer_create(s->j));
    assert_int_equal(pthread_create(&threads[PRODUCERS], NULL, write_groups, s), 0);
    assert_int_equal(pthread_create(&threads[PRODUCERS + 1], NULL, keep_house, s), 0);
    assert_int_equal(pthread_create(&threads[PRODUCERS + 2], NULL, read_all, s), 0);
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        args[i] = (struct producer_arg){s, i};
        assert_int_equal(pthread_create(&threads[i], NULL, produce, &args[i]), 0);
    }
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(threads[PRODUCERS + 2], NULL);
    atomic_store(&s->stop, true);
    pthread_join(threads[PRODUCERS], NULL);
    pthread_join(threads[PRODUCERS + 1], NULL);
    assert_int_equal(s->last, (uint64_t)PRODUCERS * RECORDS);
    struct journal_space space;
    journal_space(s->j, &space);
    assert_int_equal(space.promised_bytes, 0);
    assert_int_equal(atomic_load(&s->j->slack), atomic_load(&s->j->usable));
    uint64_t keep = atomic_load(&s->keep), records = 0;
    journal_destroy(s->j);
    storage_destroy(storage);

    ok(storage_os_create(folder, false, &storage));
    options(&o, storage);
    ok(journal_create(&o, world_engine, &s->j, &report));
    ok(journal_recover(s->j, keep, count_one, NULL, &records, &report));
    assert_int_equal(records, (uint64_t)PRODUCERS * RECORDS - keep);
    assert_int_equal(journal_durable(s->j), (uint64_t)PRODUCERS * RECORDS);
    journal_destroy(s->j);
    assert_int_equal(storage->ops->list(storage, remove_one, folder), HF_OK);
    storage_destroy(storage);
    rmdir(folder);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_there_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
