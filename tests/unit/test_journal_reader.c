// Readers: the durable prefix while the journal runs, single records, recycling under a reader.
#include "unit/journal_world.h"

#define ok(call) assert_int_equal((call), HF_OK)

static enum hf_status reader_all(struct world *w, struct journal_reader *r)
{
    enum hf_status st;
    while ((st = journal_reader_step(r, 3, world_visit, w)) == HF_OK)
        ;
    return st;
}

static void restart_counting(struct world *w)
{
    w->seen = w->first_seen = w->last_seen = w->last_time = 0;
}

static void a_reader_follows_the_durable_prefix(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    struct journal_reader *r;
    ok(journal_reader_create(w.j, 0, &r));
    assert_int_equal(journal_reader_step(r, 1, world_visit, &w), HF_AGAIN);
    for (int i = 1; i <= 60; i++) {
        assert_true(world_push(&w, 1 + i % 7, 0));
        assert_int_equal(reader_all(&w, r), HF_AGAIN);
        assert_int_equal(w.last_seen, journal_durable(w.j)); // not what is only appended
        ok(world_drain(&w, w.last_seen > 50 ? w.last_seen - 50 : 0));
        if (i % 5 == 0)
            ok(journal_writer_step(w.j, w.time_ms, true)); // empty groups in between
    }
    assert_int_equal(reader_all(&w, r), HF_AGAIN);
    assert_int_equal(w.last_seen, journal_appended(w.j));
    assert_int_equal(w.seen, w.last_seen);
    journal_reader_destroy(r);
    world_fini(&w);
}

static void a_reader_begins_anywhere(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    for (int i = 0; i < 15; i++) {
        assert_true(world_push(&w, 3, 0));
        ok(world_drain(&w, 0));
    }
    for (int again = 0; again < 2; again++) {
        for (uint64_t after = 0; after <= 45; after++) {
            struct journal_reader *r;
            restart_counting(&w);
            ok(journal_reader_create(w.j, after, &r));
            assert_int_equal(reader_all(&w, r), HF_AGAIN);
            assert_int_equal(w.seen, 45 - after);
            if (after < 45)
                assert_int_equal(w.first_seen, after + 1);
            journal_reader_destroy(r);
        }
        // After a restart that skipped most segments, too, and before its start.
        world_kill(&w);
        ok(world_create(&w));
        ok(world_recover(&w, 40));
    }
    world_fini(&w);
}

static uint64_t refuse_at;
static enum hf_status refuse(void *ctx, uint64_t lsn, uint64_t time_ms,
                             const struct journal_record *r)
{
    if (lsn == refuse_at) {
        refuse_at = 0;
        return HF_FULL;
    }
    return world_visit(ctx, lsn, time_ms, r);
}

static void a_refused_record_is_visited_again(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    for (int i = 0; i < 3; i++) {
        assert_true(world_push(&w, 4, 0));
        ok(world_step(&w));
    }
    struct journal_reader *r;
    ok(journal_reader_create(w.j, 0, &r));
    refuse_at = 7;
    assert_int_equal(journal_reader_step(r, 9, refuse, &w), HF_FULL);
    assert_int_equal(w.last_seen, 6);
    ok(journal_reader_step(r, 9, refuse, &w));
    assert_int_equal(w.seen, 12);
    journal_reader_destroy(r);
    world_fini(&w);
}

static void a_recycled_segment_is_not_found(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segments_max = 3;
    world_open(&w);
    world_append_lone(&w, 10, 0);
    struct journal_reader *slow, *gone;
    ok(journal_reader_create(w.j, 0, &slow));
    ok(journal_reader_step(slow, 2, world_visit, &w)); // in segment 1, with a window on it
    ok(journal_reader_create(w.j, 0, &gone));
    for (uint32_t i = 11; i <= 40; i++)
        world_append_lone(&w, 1, i - 3);
    assert_int_equal(journal_reader_step(slow, 2, world_visit, &w), HF_NOT_FOUND);
    assert_int_equal(journal_reader_step(gone, 2, world_visit, &w), HF_NOT_FOUND);
    assert_int_equal(w.seen, 2);
    journal_reader_destroy(slow);
    journal_reader_destroy(gone);
    assert_int_equal(journal_reader_create(w.j, 0, &slow), HF_NOT_FOUND);
    struct journal_record *r = malloc(HF_RECORD_BYTES_MAX);
    assert_int_equal(journal_read_one(w.j, 5, r, HF_RECORD_BYTES_MAX), HF_NOT_FOUND);
    free(r);
    world_fini(&w);
}

static void single_records_are_found(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segment_bytes = 8 << 20; // more than one index entry
    w.o.group_bytes_max = 64 << 10;
    w.o.buffer_bytes = 32 << 10;
    w.o.segments_max = 3;
    world_open(&w);
    for (int i = 0; i < 500; i++) {
        assert_true(world_push(&w, 30, i % 2 ? 1000 : 0));
        ok(world_step(&w));
        (void)!journal_maintain(w.j, 0);
    }
    uint64_t last = journal_durable(w.j);
    assert_int_equal(last, 15000);
    struct journal_record *r = malloc(HF_RECORD_BYTES_MAX);
    for (int again = 0; again < 2; again++) {
        for (uint64_t lsn = 1; lsn <= last; lsn += 97) {
            ok(journal_read_one(w.j, lsn, r, HF_RECORD_BYTES_MAX));
            assert_int_equal(r->id.hi, lsn);
        }
        ok(journal_read_one(w.j, last, r, HF_RECORD_BYTES_MAX));
        assert_int_equal(journal_read_one(w.j, last + 1, r, HF_RECORD_BYTES_MAX), HF_NOT_FOUND);
        assert_int_equal(journal_read_one(w.j, 0, r, HF_RECORD_BYTES_MAX), HF_NOT_FOUND);
        assert_int_equal(journal_read_one(w.j, 31, r, 24), HF_INVALID); // does not fit
        if (again == 0) {
            uint64_t reads = w.disk->counts.read_bytes;
            ok(journal_read_one(w.j, last / 3, r, HF_RECORD_BYTES_MAX));
            assert_true(w.disk->counts.read_bytes - reads < 1300000); // by the index
            world_reopen(&w);
        }
    }
    free(r);
    world_fini(&w);
}

static void damage_is_told_and_reading_errors_too(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    world_append_lone(&w, 5, 0);
    struct journal_reader *r;
    ok(journal_reader_create(w.j, 0, &r));
    w.disk->faults.read_error_in = 1;
    assert_int_equal(journal_reader_step(r, 9, world_visit, &w), HF_IO);
    assert_true(fake_storage_flip_bit(w.disk, "journal-000000000001.hfj", 3 * HF_BLOCK + 140, 1));
    assert_int_equal(journal_reader_step(r, 9, world_visit, &w), HF_DAMAGED);
    assert_int_equal(w.seen, 2);
    journal_reader_destroy(r);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_follows_the_durable_prefix),
        cmocka_unit_test(a_reader_begins_anywhere),
        cmocka_unit_test(a_refused_record_is_visited_again),
        cmocka_unit_test(a_recycled_segment_is_not_found),
        cmocka_unit_test(single_records_are_found),
        cmocka_unit_test(damage_is_told_and_reading_errors_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
