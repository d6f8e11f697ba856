// The journal's life: set-up, buffers, groups, modes, errors of the storage.
#include "unit/journal_world.h"

#define ok(call) assert_int_equal((call), HF_OK)

static void what_was_appended_is_there_after_a_restart(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_int_equal(w.report.epoch, 1);
    assert_int_equal(journal_durable(w.j), 0);
    assert_true(world_push(&w, 5, 0));
    assert_int_equal(journal_appended(w.j), 5);
    assert_int_equal(journal_durable(w.j), 0);
    ok(world_step(&w));
    assert_int_equal(journal_durable(w.j), 5);
    assert_int_equal(world_step(&w), HF_AGAIN);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(world_push(&w, 1 + i % 9, 0));
        ok(world_drain(&w, 0));
    }
    uint64_t last = journal_durable(w.j);
    assert_int_equal(last, journal_appended(w.j));
    world_reopen(&w);
    assert_int_equal(w.seen, last);
    assert_int_equal(w.report.last_lsn, last);
    assert_int_equal(w.report.first_lsn, 1);
    assert_int_equal(w.report.records, last);
    assert_int_equal(w.report.groups, 21);
    assert_int_equal(w.report.epoch, 2);
    assert_false(w.report.torn_tail);
    assert_int_equal(w.report.why[0], 0);
    assert_int_equal(journal_durable(w.j), last);
    assert_true(world_push(&w, 3, 0));
    ok(world_drain(&w, 0));
    world_reopen(&w);
    assert_int_equal(w.seen, last + 3);
    world_fini(&w);
}

static void options_out_of_range_are_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    const struct journal_options good = w.o;
#define REFUSED(field, value)                                                                      \
    do {                                                                                           \
        w.o = good;                                                                                \
        w.o.field = value;                                                                         \
        assert_int_equal(world_create(&w), HF_INVALID);                                            \
    } while (0)
    REFUSED(storage, NULL);
    REFUSED(clock, NULL);
    REFUSED(segment_bytes, 3 * HF_BLOCK);
    REFUSED(segment_bytes, 8 * HF_BLOCK + 512);
    REFUSED(segment_bytes, UINT64_MAX - 4095);
    REFUSED(segments_max, 2);
    REFUSED(segments_ready, 0);
    REFUSED(segments_ready, 6);
    REFUSED(group_bytes_max, 0);
    REFUSED(group_bytes_max, 5000);
    REFUSED(group_bytes_max, 7 * HF_BLOCK); // with its header it takes 8 of 7 blocks
    REFUSED(buffer_bytes, 2 * HF_BLOCK);    // larger than a group
    REFUSED(buffer_bytes, 1000);
    REFUSED(buffers_per_producer, 1);
    REFUSED(producers_max, 0);
    REFUSED(producers_max, HF_THREADS_MAX + 1);
    REFUSED(mode, (enum journal_mode)3);
    REFUSED(space_margin_blocks, 5 * 6); // no credit could ever be had
    w.o = good;
    w.o.mode = JOURNAL_GROUP;
    w.o.group_ms = 0;
    assert_int_equal(world_create(&w), HF_INVALID);
#undef REFUSED
    w.o = good;
    w.o.segment_bytes = 4 * HF_BLOCK; // the smallest
    w.o.segments_max = 3;
    world_open(&w);
    world_fini(&w);
}

static void a_second_process_is_locked_out(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    struct journal *second;
    struct journal_report report;
    assert_int_equal(journal_create(&w.o, world_engine, &second, &report), HF_LOCKED);
    world_fini(&w);
}

static void the_engine_keeps_its_id(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    world_kill(&w);
    struct hf_uuid other = {77, 88};
    ok(journal_create(&w.o, other, &w.j, &w.report));
    assert_true(hf_uuid_equal(journal_engine_id(w.j), world_engine));
    assert_int_equal(w.report.epoch, 2);
    world_fini(&w);
}

static void meta_edit(struct world *w, uint64_t slot, void (*edit)(struct journal_meta_slot *s))
{
    uint64_t bytes;
    unsigned char block[HF_BLOCK];
    const uint8_t *at = fake_storage_content(w->disk, JOURNAL_META_NAME, &bytes);
    assert_non_null(at);
    memcpy(block, at + slot * HF_BLOCK, HF_BLOCK);
    struct journal_meta_slot s;
    memcpy(&s, block, sizeof s);
    edit(&s);
    memcpy(block, &s, sizeof s);
    s.crc = journal_header_crc(block, HF_BLOCK);
    memcpy(block, &s, sizeof s);
    world_write(w, JOURNAL_META_NAME, slot * HF_BLOCK, block, HF_BLOCK);
}

static void newer(struct journal_meta_slot *s)
{
    s->version = JOURNAL_FORMAT_VERSION + 1;
}
static void newer_inside(struct journal_meta_slot *s)
{
    s->format = JOURNAL_FORMAT_VERSION + 1;
}
static void other_engine(struct journal_meta_slot *s)
{
    s->engine_id.lo++;
}

static void the_meta_file_survives_one_bad_slot(void **state)
{
    (void)state;
    for (uint64_t bad = 0; bad < 2; bad++) {
        struct world w;
        world_init(&w, 1);
        world_open(&w); // epoch 1 in slot 1, sequence 2
        world_append_lone(&w, 2, 0);
        world_reopen(&w); // epoch 2 in slot 0, sequence 3
        world_append_lone(&w, 2, 0);
        world_kill(&w);
        assert_true(fake_storage_flip_bit(w.disk, JOURNAL_META_NAME, bad * HF_BLOCK + 40, 3));
        world_open(&w);
        // The groups know the epoch too, so even the loss of the newer slot does not repeat one.
        assert_int_equal(w.report.epoch, 3);
        assert_int_equal(w.seen, 4);
        world_append_lone(&w, 1, 0);
        world_reopen(&w);
        assert_int_equal(w.report.epoch, 4);
        assert_int_equal(w.seen, 5);
        world_fini(&w);
    }
}

static void a_bad_meta_file_stops_the_start(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    world_reopen(&w);
    world_kill(&w);
    struct fake_storage *good = w.disk;
    for (int i = 0; i < 5; i++) {
        w.disk = fake_storage_clone(good);
        w.o.storage = &w.disk->base;
        enum hf_status expected = HF_DAMAGED;
        if (i == 0) {
            meta_edit(&w, 0, newer);
            expected = HF_TOO_NEW;
        } else if (i == 1) {
            meta_edit(&w, 1, newer_inside);
            expected = HF_TOO_NEW;
        } else if (i == 2) {
            meta_edit(&w, 1, other_engine);
        } else if (i == 3) {
            assert_true(fake_storage_zero(w.disk, JOURNAL_META_NAME, 0, 2 * HF_BLOCK));
        } else {
            ok(w.disk->base.ops->unlink(&w.disk->base, JOURNAL_META_NAME));
        }
        assert_int_equal(world_create(&w), expected);
        assert_string_equal(w.report.where, JOURNAL_META_NAME);
        assert_int_not_equal(w.report.why[0], 0);
        storage_destroy(&w.disk->base);
    }
    w.disk = good;
    world_fini(&w);
}

static void a_push_takes_all_filled_buffers_in_order(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    // 4 buffers of 4,096 bytes: 1,000-byte records, 4 a buffer.
    assert_true(world_push(&w, 16, 1000));
    assert_null(journal_reserve(w.p, 1000)); // the rest of the last one is too short
    uint32_t count;
    assert_int_equal(journal_push(w.p, &count), 0);
    assert_int_equal(count, 0);
    while (world_step(&w) == HF_OK)
        (void)!journal_maintain(w.j, 0);
    assert_int_equal(journal_durable(w.j), 16);
    assert_true(world_push(&w, 16, 1000)); // the buffers are back
    ok(world_drain(&w, 0));
    world_reopen(&w);
    assert_int_equal(w.seen, 32);
    world_fini(&w);
}

static void a_record_may_fill_a_buffer(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    for (int i = 0; i < 5; i++) {
        assert_true(world_push(&w, 1, HF_BLOCK));
        assert_true(world_push(&w, 1, 24));
        ok(world_drain(&w, 0));
    }
    world_reopen(&w);
    assert_int_equal(w.seen, 10);
    world_fini(&w);
}

static void has_room_keeps_its_word(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_true(journal_has_room(w.p, 4096));
    assert_true(journal_has_room(w.p, 2 * 4096)); // 4 free buffers: 2 at least, however cut
    assert_false(journal_has_room(w.p, 3 * 4096));
    // The worst cut: 2,056 bytes leave nearly half of each buffer unused.
    uint32_t granted = 0;
    while (journal_reserve(w.p, 2056))
        granted += 2056;
    assert_true(granted >= 2 * 4096);
    assert_false(journal_has_room(w.p, 4096));
    assert_true(journal_has_room(w.p, 4096 - 2056));
    world_fini(&w);
}

static void a_reservation_is_taken_back(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    uint32_t count;
    assert_non_null(journal_reserve(w.p, 64));
    journal_unreserve(w.p, 64);
    assert_int_equal(journal_push(w.p, &count), 0);
    // Also when it had moved on to another buffer.
    world_fill(journal_reserve(w.p, 4000), 1, 4000);
    assert_non_null(journal_reserve(w.p, 104));
    journal_unreserve(w.p, 104);
    world_fill(journal_reserve(w.p, 200), 2, 200);
    assert_non_null(journal_reserve(w.p, 64));
    journal_unreserve(w.p, 64);
    assert_int_equal(journal_push(w.p, &count), 1);
    assert_int_equal(count, 2);
    ok(world_drain(&w, 0));
    world_reopen(&w);
    assert_int_equal(w.seen, 2);
    world_fini(&w);
}

static void two_producers_share_one_order(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    struct journal_producer *a = w.p, *b = journal_producer_create(w.j);
    assert_non_null(b);
    assert_null(journal_producer_create(w.j)); // producers_max
    uint64_t lsn = 1;
    for (int i = 0; i < 40; i++) {
        w.p = i % 3 ? a : b;
        assert_true(world_push(&w, 1 + i % 4, 0));
        if (i % 5 == 4)
            ok(world_drain(&w, 0));
        lsn += 1 + i % 4;
    }
    ok(world_drain(&w, 0));
    world_reopen(&w);
    assert_int_equal(w.seen, lsn - 1);
    world_fini(&w);
}

static void quiet_vouches_once_for_the_last_group(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_int_equal(journal_writer_step(w.j, 5, true), HF_AGAIN); // nothing to vouch for
    world_append_lone(&w, 1, 0);
    struct journal_metrics m;
    ok(journal_writer_step(w.j, w.time_ms, true));
    assert_int_equal(journal_writer_step(w.j, w.time_ms, true), HF_AGAIN);
    journal_metrics(w.j, &m);
    assert_int_equal(m.groups, 2);
    assert_int_equal(m.records, 1);
    assert_int_equal(journal_durable(w.j), 1);
    world_append_lone(&w, 2, 0);
    ok(journal_writer_step(w.j, w.time_ms, true));
    world_reopen(&w);
    assert_int_equal(w.seen, 3);
    assert_int_equal(w.report.groups, 5);
    // With the empty group behind it, the loss of the last records is damage, not a torn tail.
    world_kill(&w);
    assert_true(fake_storage_flip_bit(w.disk, "journal-000000000001.hfj", 4 * HF_BLOCK + 130, 1));
    ok(world_create(&w));
    assert_int_equal(world_recover(&w, 0), HF_DAMAGED);
    world_fini(&w);
}

static void engine_time_never_falls(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    const uint64_t given[] = {1000, 900, 2000, 5};
    for (int i = 0; i < 4; i++) {
        assert_true(world_push(&w, 1, 64));
        ok(journal_writer_step(w.j, given[i], false));
    }
    world_reopen(&w); // world_visit checks the order
    assert_int_equal(w.last_time, 2000);
    assert_int_equal(w.report.engine_time_ms, 2000);
    assert_true(world_push(&w, 1, 64));
    ok(journal_writer_step(w.j, 7, false));
    world_reopen(&w);
    assert_int_equal(w.last_time, 2000);
    world_fini(&w);
}

static void mode_group_syncs_at_most_every_group_ms(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.mode = JOURNAL_GROUP;
    w.o.group_ms = 10;
    world_open(&w);
    assert_true(world_push(&w, 1, 64));
    ok(world_step(&w)); // the last sync was long ago
    for (int i = 0; i < 9; i++) {
        assert_true(world_push(&w, 1, 64)); // more pushes than buffers: they don't wait
        assert_int_equal(world_step(&w), HF_AGAIN);
        fake_clock_advance_ms(&w.clock, 1);
    }
    assert_int_equal(journal_durable(w.j), 1);
    fake_clock_advance_ms(&w.clock, 1);
    ok(world_step(&w));
    assert_int_equal(journal_durable(w.j), 10);
    struct journal_metrics m;
    journal_metrics(w.j, &m);
    assert_int_equal(m.syncs, 2);
    // A full group does not wait.
    for (int i = 0; i < 3; i++)
        assert_true(world_push(&w, 3, 1024));
    ok(world_step(&w));
    world_fini(&w);
}

static void mode_none_never_syncs_a_group(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.mode = JOURNAL_NONE;
    world_open(&w);
    uint64_t syncs = w.disk->counts.syncs;
    for (int i = 0; i < 5; i++) {
        assert_true(world_push(&w, 1, 64));
        ok(world_step(&w));
    }
    assert_int_equal(journal_durable(w.j), 5);
    assert_int_equal(w.disk->counts.syncs, syncs);
    world_reopen(&w); // killed, not a power loss
    assert_int_equal(w.seen, 5);
    world_fini(&w);
}

static void waiting_ends_with_the_group_the_time_or_the_stop(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.clock.reading_ns = 1000000; // time passes as it is looked at
    world_open(&w);
    assert_true(world_push(&w, 1, 64));
    assert_int_equal(journal_wait(w.j, 1, 3), HF_AGAIN);
    ok(world_step(&w));
    ok(journal_wait(w.j, 1, 0));
    assert_true(world_push(&w, 1, 64));
    w.disk->faults.sync_error_in = 1;
    assert_int_equal(world_step(&w), HF_IO);
    assert_int_equal(journal_wait(w.j, 2, 1000), HF_STOPPED);
    ok(journal_wait(w.j, 1, 1000)); // what was durable stays so
    world_fini(&w);
}

static void room_that_was_promised_is_granted_after_a_stop(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_true(world_push(&w, 1, 64));
    assert_true(journal_has_room(w.p, 4096)); // more than the open buffer has
    w.disk->faults.sync_error_in = 1;
    assert_int_equal(world_step(&w), HF_IO); // the writer's thread, just now
    assert_non_null(journal_reserve(w.p, 4096));
    world_fini(&w);
}

static void room_behind_the_last_burst_is_not_counted_twice(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.buffers_per_producer = 3; // of 4,096 bytes
    world_open(&w);
    assert_true(world_push(&w, 1, 64));
    ok(world_step(&w)); // all three are free, the first has a burst begun behind its last
    assert_true(journal_has_room(w.p, 8192));
    assert_non_null(journal_reserve(w.p, 64)); // went there, and the first was lost for the rest
    assert_non_null(journal_reserve(w.p, 3944));
    assert_non_null(journal_reserve(w.p, 160));
    assert_non_null(journal_reserve(w.p, 3944));
    world_fini(&w);
}

static void an_io_error_is_final(void **state)
{
    (void)state;
    for (int on_sync = 0; on_sync < 2; on_sync++) {
        struct world w;
        world_init(&w, 1);
        world_open(&w);
        world_append_lone(&w, 3, 0);
        assert_true(world_push(&w, 2, 64));
        if (on_sync)
            w.disk->faults.sync_error_in = 1;
        else
            w.disk->faults.write_error_in = 1;
        assert_int_equal(world_step(&w), HF_IO);
        uint64_t changes = w.disk->changes;
        assert_int_equal(journal_status(w.j), HF_IO);
        assert_int_equal(journal_durable(w.j), 3);
        assert_int_equal(world_step(&w), HF_STOPPED);
        assert_int_equal(journal_writer_step(w.j, 1, true), HF_STOPPED);
        assert_int_equal(journal_maintain(w.j, 3), HF_STOPPED);
        assert_false(journal_credit_take(w.j, 64));
        journal_writer_wait(w.j, 60000); // comes back at once
        uint32_t count;
        (void)journal_reserve(w.p, 64);
        (void)journal_push(w.p, &count);
        assert_false(journal_has_room(w.p, 64));
        assert_int_equal(w.disk->changes, changes); // nothing written, synced or renamed
        world_kill(&w);
        world_open(&w);
        assert_in_range(w.seen, 3, 5);
        world_fini(&w);
    }
}

static void a_full_disk_is_remembered_and_retried(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    struct journal_space space;
    // Room for one and a half more segments: the first works, the second fails half-way.
    w.disk->faults.capacity_bytes = fake_storage_used_bytes(w.disk) + 12 * HF_BLOCK;
    w.o.segments_ready = 1;
    world_append_lone(&w, 7, 0); // fills the first
    assert_true(world_push(&w, 1, 64));
    ok(world_step(&w));
    assert_int_equal(journal_maintain(w.j, 0), HF_AGAIN); // not yet
    assert_int_equal(journal_status(w.j), HF_OK);
    fake_clock_advance_ms(&w.clock, 1100);
    assert_int_equal(journal_maintain(w.j, 0), HF_NO_SPACE);
    journal_space(w.j, &space);
    assert_int_equal(space.segments_free, 0);
    w.disk->faults.capacity_bytes = 0;
    fake_clock_advance_ms(&w.clock, 1100);
    ok(journal_maintain(w.j, 0));
    journal_space(w.j, &space);
    assert_int_equal(space.segments_free, 1);
    world_append_lone(&w, 10, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 18);
    world_fini(&w);
}

static void a_disk_that_fills_up_half_way_keeps_no_partial_file(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segment_bytes = 10 << 20; // zero-written in three calls
    w.o.segments_ready = 2;
    world_open(&w);
    ok(journal_maintain(w.j, 0));
    assert_true(fake_storage_exists(w.disk, JOURNAL_TEMP_NAME));
    w.disk->faults.capacity_bytes = fake_storage_used_bytes(w.disk) + 12 * HF_BLOCK;
    assert_int_equal(journal_maintain(w.j, 0), HF_NO_SPACE);
    assert_true(w.disk->counts.no_space > 0);
    assert_false(fake_storage_exists(w.disk, JOURNAL_TEMP_NAME));
    assert_int_equal(journal_maintain(w.j, 0), HF_AGAIN);
    w.disk->faults.capacity_bytes = 0;
    fake_clock_advance_ms(&w.clock, 1100);
    ok(journal_maintain(w.j, 0));
    world_append_lone(&w, 3, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 3);
    world_fini(&w);
}

static void without_a_ready_segment_nothing_is_lost(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    for (int i = 0; i < 7; i++) {
        assert_true(world_push(&w, 1, 64));
        ok(world_step(&w));
    }
    for (int i = 0; i < 3; i++) {
        assert_true(world_push(&w, 1, 64));
        assert_int_equal(world_step(&w), HF_AGAIN);
    }
    ok(journal_maintain(w.j, 0));
    ok(world_step(&w));
    assert_int_equal(journal_durable(w.j), 10);
    world_reopen(&w);
    assert_int_equal(w.seen, 10);
    world_fini(&w);
}

static void a_group_never_crosses_a_segment(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segments_max = 6;
    world_open(&w);
    for (int i = 0; i < 20; i++) {
        assert_true(world_push(&w, 3, 1200)); // 2 blocks unless company makes it 3
        if (i % 3 == 0)
            assert_true(world_push(&w, 2, 2000));
        ok(world_drain(&w, 0));
    }
    uint64_t last = journal_durable(w.j);
    struct journal_segment closed[6];
    uint32_t n = journal_closed_segments(w.j, closed, 6);
    assert_true(n >= 3);
    for (uint32_t i = 1; i < n; i++)
        assert_int_equal(closed[i].first_lsn, closed[i - 1].last_lsn + 1);
    assert_int_equal(journal_closed_segments(w.j, closed, 2), 2);
    world_reopen(&w);
    assert_int_equal(w.seen, last);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_appended_is_there_after_a_restart),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(a_second_process_is_locked_out),
        cmocka_unit_test(the_engine_keeps_its_id),
        cmocka_unit_test(the_meta_file_survives_one_bad_slot),
        cmocka_unit_test(a_bad_meta_file_stops_the_start),
        cmocka_unit_test(a_push_takes_all_filled_buffers_in_order),
        cmocka_unit_test(a_record_may_fill_a_buffer),
        cmocka_unit_test(has_room_keeps_its_word),
        cmocka_unit_test(a_reservation_is_taken_back),
        cmocka_unit_test(two_producers_share_one_order),
        cmocka_unit_test(quiet_vouches_once_for_the_last_group),
        cmocka_unit_test(engine_time_never_falls),
        cmocka_unit_test(mode_group_syncs_at_most_every_group_ms),
        cmocka_unit_test(mode_none_never_syncs_a_group),
        cmocka_unit_test(waiting_ends_with_the_group_the_time_or_the_stop),
        cmocka_unit_test(room_that_was_promised_is_granted_after_a_stop),
        cmocka_unit_test(room_behind_the_last_burst_is_not_counted_twice),
        cmocka_unit_test(an_io_error_is_final),
        cmocka_unit_test(a_full_disk_is_remembered_and_retried),
        cmocka_unit_test(a_disk_that_fills_up_half_way_keeps_no_partial_file),
        cmocka_unit_test(without_a_ready_segment_nothing_is_lost),
        cmocka_unit_test(a_group_never_crosses_a_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
