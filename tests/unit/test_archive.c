// The archive over a fake disk: round trips, damage to every byte, every call that can fail, power
// loss at every change. Records and the journal are archive_world.h's.
#include "base/log.h"
#include "journal/archive_internal.h"
#include "sim/fake_storage.h"
#include "sys/clock.h"
#include "unit/archive_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static int world_reset(void **state)
{
    (void)state;
    hf_log_set_level(HF_LOG_ERROR + 1);
    const uint64_t each = 100, group = 7;
    memset(&world, 0, sizeof world);
    world.each = each;
    world.group = group;
    world.ids = 40;
    return 0;
}

static const char name_1[] = "archive-000000000001.hfa";
static const char name_2[] = "archive-000000000002.hfa";

// Hashes of honest ids, of few ids, and chosen ones: all of one slice, differing at the bottom.
static void keys_leave_sorted_whatever_the_hashes(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 4; kind++) {
        struct archive_keyset *k = archive_keyset_create();
        assert_non_null(k);
        const uint32_t count = 20000;
        for (uint32_t i = 0; i < count; i++) {
            const uint64_t mixed = hf_mix64(i + 1), top = UINT64_C(77) << 56;
            const uint64_t hashes[] = {mixed, hf_mix64(mixed % 50), top | (mixed & 255),
                                       top | (count - i)};
            assert_int_equal(archive_keyset_add(k, hashes[kind], i), HF_OK);
        }
        const struct archive_disk_key *keys;
        struct archive_disk_key last = {0};
        uint64_t n, seen = 0;
        while (archive_keyset_next(k, &keys, &n) == HF_OK)
            for (uint64_t i = 0; i < n; i++, seen++) {
                uint64_t before = archive_key_hash(&last), hash = archive_key_hash(&keys[i]);
                assert_true(before < hash || (before == hash && last.ordinal <= keys[i].ordinal));
                last = keys[i];
            }
        assert_int_equal(seen, count);
        archive_keyset_destroy(k);
    }
}

static void every_query_agrees_with_the_records(void **state)
{
    (void)state;
    const uint64_t each[] = {1, 2, 50, 1000};
    for (int i = 0; i < 4; i++) {
        struct fake_storage *disk = fake_storage_create(1, NULL);
        world.each = each[i];
        world.closed = 4;
        struct archive *a = archive_of(&disk->base);
        assert_int_equal(archive_lsn(a), 0);
        assert_true(answers_check(a, 1, 0, false));
        assert_int_equal(archive_all(a), HF_AGAIN);
        assert_int_equal(world.readers, 0);
        assert_int_equal(archive_lsn(a), 4 * each[i]);
        assert_int_equal(names_in(&disk->base), 4);
        assert_true(answers_check(a, 1, 4 * each[i], false));
        archive_destroy(a);
        a = archive_of(&disk->base);
        assert_int_equal(archive_lsn(a), 4 * each[i]);
        assert_true(answers_check(a, 1, 4 * each[i], false));
        world.closed = 5;
        assert_int_equal(archive_all(a), HF_AGAIN);
        assert_true(answers_check(a, 1, 5 * each[i], false));
        archive_destroy(a);
        storage_destroy(&disk->base);
    }
}

static void one_record_by_lsn(void **state)
{
    (void)state;
    static _Alignas(8) unsigned char buffer[HF_RECORD_BYTES_MAX];
    struct journal_record *r = (struct journal_record *)buffer;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 3;
    assert_int_equal(archive_all(a), HF_AGAIN);
    for (uint64_t lsn = 300; lsn > 0; lsn--) {
        assert_int_equal(archive_read_one(a, lsn, r, sizeof buffer), HF_OK);
        assert_memory_equal(r, world_record(lsn), journal_record_bytes(world_record(lsn)));
    }
    assert_int_equal(archive_read_one(a, 0, r, sizeof buffer), HF_NOT_FOUND);
    assert_int_equal(archive_read_one(a, 301, r, sizeof buffer), HF_NOT_FOUND);
    assert_int_equal(archive_read_one(a, 97, r, HF_RECORD_BYTES_MAX - 8), HF_INVALID);
    assert_int_equal(archive_find_reference(a, 0, expected_visit, NULL), HF_INVALID);
    archive_destroy(a);
    storage_destroy(&disk->base);
}

static enum hf_status third_stops(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r)
{
    (void)lsn;
    (void)time_ms;
    (void)r;
    return ++*(int *)ctx == 3 ? HF_NOT_FOUND : HF_OK;
}

static void a_visit_ends_the_query_with_its_status(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 3;
    assert_int_equal(archive_all(a), HF_AGAIN);
    int n = 0;
    assert_int_equal(archive_walk(a, 150, third_stops, &n), HF_NOT_FOUND);
    assert_int_equal(n, 3);
    n = 0;
    assert_int_equal(archive_find_id(a, world_id(7), third_stops, &n), HF_NOT_FOUND);
    n = 0;
    assert_int_equal(archive_find_reference(a, hf_mix64(1003), third_stops, &n), HF_NOT_FOUND);
    struct expected e = {.first = 151, .last = 300, .seen = 150};
    assert_int_equal(archive_walk(a, 150, expected_visit, &e), HF_OK);
    expected_end(&e);
    archive_destroy(a);
    storage_destroy(&disk->base);
}

static void ids_newer_than_a_file_are_not_searched_there(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive_options o = world_options(&disk->base);
    o.id_skew_ms = 5;
    struct archive *a;
    assert_int_equal(archive_create(&o, &a), HF_OK);
    world.closed = 3;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_true(answers_check(a, 1, 300, false));
    uint64_t reads = disk->counts.reads;
    int n = 0;
    struct hf_uuid later = hf_uuid_v7(world_time(300) + 6, 1, 2);
    assert_int_equal(archive_find_id(a, later, third_stops, &n), HF_OK);
    assert_int_equal(disk->counts.reads, reads);
    archive_destroy(a);
    storage_destroy(&disk->base);
}

// ------------------------------------------------------------------------------------- damage

// Opens the set and asks everything. True when the damage made no difference.
static bool exact_or_damaged(struct fake_storage *disk, uint64_t last)
{
    struct archive_options o = world_options(&disk->base);
    struct archive *a;
    enum hf_status status = archive_create(&o, &a);
    if (status != HF_OK) {
        assert_int_equal(status, HF_DAMAGED);
        assert_null(a);
        return false;
    }
    bool ok = answers_check(a, 1, last, true);
    archive_destroy(a);
    return ok;
}

static struct fake_storage *small_archive(void)
{
    struct fake_storage *disk = fake_storage_create(1, NULL);
    world.each = 30;
    world.closed = 2;
    struct archive *a = archive_of(&disk->base);
    assert_int_equal(archive_all(a), HF_AGAIN);
    archive_destroy(a);
    return disk;
}

static void every_flipped_byte_is_found_or_harmless(void **state)
{
    (void)state;
    struct fake_storage *disk = small_archive();
    uint64_t bytes, harmless = 0;
    (void)fake_storage_content(disk, name_1, &bytes);
    for (uint64_t i = 0; i < bytes; i++) {
        assert_true(fake_storage_flip_bit(disk, name_1, i, (unsigned)(i * 5 % 8)));
        harmless += exact_or_damaged(disk, 60);
        assert_true(fake_storage_flip_bit(disk, name_1, i, (unsigned)(i * 5 % 8)));
    }
    assert_true(exact_or_damaged(disk, 60));
    printf("%llu of %llu bytes harmless: zeros before the first page, pages not asked for\n",
           (unsigned long long)harmless, (unsigned long long)bytes);
    assert_true(harmless < bytes / 2);
    storage_destroy(&disk->base);
}

static void every_truncation_is_found(void **state)
{
    (void)state;
    struct fake_storage *disk = small_archive();
    uint64_t bytes;
    (void)fake_storage_content(disk, name_2, &bytes);
    while (bytes--) {
        assert_true(fake_storage_truncate(disk, name_2, bytes));
        struct archive_options o = world_options(&disk->base);
        struct archive *a;
        assert_int_equal(archive_create(&o, &a), HF_DAMAGED);
    }
    storage_destroy(&disk->base);
}

static void parts_of_another_file_are_found(void **state)
{
    (void)state;
    struct fake_storage *disk = small_archive();
    uint64_t bytes, other;
    (void)fake_storage_content(disk, name_1, &bytes);
    (void)fake_storage_content(disk, name_2, &other);
    for (uint64_t at = 0; at + 512 <= bytes && at + 512 <= other; at += 512) {
        struct fake_storage *copy = fake_storage_clone(disk);
        assert_true(fake_storage_misdirect(copy, name_2, at, name_1, at, 512));
        exact_or_damaged(copy, 60);
        storage_destroy(&copy->base);
        copy = fake_storage_clone(disk);
        assert_true(fake_storage_zero(copy, name_1, at, 512));
        exact_or_damaged(copy, 60);
        storage_destroy(&copy->base);
    }
    storage_destroy(&disk->base);
}

static enum hf_status create_status(struct fake_storage *disk, struct hf_uuid engine)
{
    struct archive_options o = world_options(&disk->base);
    o.engine_id = engine;
    struct archive *a;
    enum hf_status status = archive_create(&o, &a);
    archive_destroy(a);
    return status;
}

static void gaps_strangers_and_wrong_names_stop_the_start(void **state)
{
    (void)state;
    const struct hf_uuid mine = {11, 22}, other = {11, 23};
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct storage *s = &disk->base;
    world.closed = 3;
    struct archive *a = archive_of(s);
    assert_int_equal(archive_all(a), HF_AGAIN);
    archive_destroy(a);
    assert_int_equal(create_status(disk, mine), HF_OK);
    assert_int_equal(create_status(disk, other), HF_FOREIGN);
    struct fake_storage *copy = fake_storage_clone(disk);
    assert_int_equal(s->ops->unlink(&copy->base, name_2), HF_OK);
    assert_int_equal(create_status(copy, mine), HF_DAMAGED);
    assert_int_equal(s->ops->rename(&copy->base, name_1, name_2), HF_OK);
    assert_int_equal(create_status(copy, mine), HF_DAMAGED);
    storage_destroy(&copy->base);
    assert_int_equal(s->ops->unlink(s, name_1), HF_OK); // as after an expiry
    a = archive_of(s);
    assert_true(answers_check(a, 101, 300, false));
    // A file that vanishes while the process runs.
    assert_int_equal(s->ops->unlink(s, name_2), HF_OK);
    struct expected e = {.first = 201, .last = 300};
    assert_int_equal(archive_walk(a, 0, expected_visit, &e), HF_DAMAGED);
    archive_destroy(a);
    storage_destroy(s);
}

static void options_are_checked(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive_options o = world_options(&disk->base);
    struct archive *a;
    o.block_bytes = 1023;
    assert_int_equal(archive_create(&o, &a), HF_INVALID);
    o.block_bytes = (16u << 20) + 1;
    assert_int_equal(archive_create(&o, &a), HF_INVALID);
    o.block_bytes = 0;
    assert_int_equal(archive_create(&o, &a), HF_OK);
    world.closed = 3;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_true(answers_check(a, 1, 300, false));
    archive_destroy(a);
    storage_destroy(&disk->base);
}

// ------------------------------------------------------------------------- steps and restarts

static void a_restart_in_the_middle_begins_the_segment_anew(void **state)
{
    (void)state;
    world.record_bytes = 64;
    world.each = 100000; // 6.4 MB: two pieces
    world.group = 1000;
    world.ids = 50000;
    world.closed = 1;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    int steps = 0;
    for (bool done = false; !done; steps += steps < 6 ? 1 : 5) {
        struct archive *a = archive_of(&disk->base);
        assert_int_equal(names_in(&disk->base), 0);
        for (int i = 0; i < steps && !done; i++)
            done = archive_step(a, NULL) == HF_AGAIN || archive_lsn(a);
        assert_int_equal(archive_lsn(a), done ? world.each : 0);
        // The clone is what a kill leaves behind: the temporary file with all that was written.
        struct fake_storage *left = fake_storage_clone(disk);
        assert_int_equal(names_in(&left->base), steps > 0 || done);
        archive_destroy(a);
        assert_int_equal(names_in(&disk->base), done);
        if (steps % 2) {
            storage_destroy(&disk->base);
            disk = left;
        } else {
            storage_destroy(&left->base);
        }
    }
    assert_true(steps > 10);
    assert_int_equal(world.readers, 0);
    storage_destroy(&disk->base);
}

static void a_segment_that_is_gone_or_does_not_follow_is_damage(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 1;
    assert_int_equal(archive_all(a), HF_AGAIN);
    world.closed = 4;
    world.first_kept = 3;
    assert_int_equal(archive_step(a, NULL), HF_DAMAGED);
    assert_int_equal(archive_step(a, NULL), HF_DAMAGED);
    assert_true(answers_check(a, 1, 100, false));
    archive_destroy(a);
    storage_destroy(&disk->base);
}

static void an_empty_archive_begins_anywhere(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 100; // more than the first list has room for
    world.first_kept = 3;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_int_equal(archive_lsn(a), 10000);
    struct expected e = {.first = 201, .last = 10000};
    assert_int_equal(archive_walk(a, 0, expected_visit, &e), HF_OK);
    expected_end(&e);
    archive_destroy(a);
    storage_destroy(&disk->base);
}

static void expiry_takes_the_oldest_files(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 4;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_int_equal(archive_expire(a, world_time(400) + 1001, 0), HF_OK); // a reader is behind
    assert_int_equal(archive_expire(a, 500, UINT64_MAX), HF_OK); // a clock below the retention
    assert_int_equal(archive_expire(a, world_time(200) + 1000, UINT64_MAX), HF_OK);
    assert_true(answers_check(a, 101, 400, false)); // the second file's time is not past it
    assert_int_equal(archive_expire(a, world_time(200) + 1001, UINT64_MAX), HF_OK);
    assert_true(answers_check(a, 201, 400, false));
    assert_int_equal(names_in(&disk->base), 2);
    archive_destroy(a);
    a = archive_of(&disk->base);
    assert_true(answers_check(a, 201, 400, false));
    assert_int_equal(archive_expire(a, world_time(400) + 1001, UINT64_MAX), HF_OK);
    assert_int_equal(names_in(&disk->base), 0);
    assert_int_equal(archive_lsn(a), 400); // never falls
    world.closed = 5;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_true(answers_check(a, 401, 500, false));
    archive_destroy(a);
    storage_destroy(&disk->base);
}

// ------------------------------------------------------------------------------------- erasure

static void an_erased_buyer_is_in_no_file(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 4;
    assert_int_equal(archive_all(a), HF_AGAIN);
    uint32_t files;
    assert_int_equal(archive_erase_buyer(a, hf_mix64(76), &files), HF_OK);
    assert_int_equal(files, 0);
    const uint64_t buyer = hf_mix64(78);
    assert_int_equal(archive_erase_buyer(a, buyer, &files), HF_OK);
    assert_int_equal(files, 4);
    world.erased_buyer = buyer;
    world.erased_to = 400;
    assert_true(answers_check(a, 1, 400, false));
    assert_int_equal(archive_erase_buyer(a, buyer, &files), HF_OK);
    assert_int_equal(files, 0);
    // What is archived later still has it, until the call is repeated.
    world.closed = 5;
    assert_int_equal(archive_all(a), HF_AGAIN);
    assert_true(answers_check(a, 1, 500, false));
    assert_int_equal(archive_erase_buyer(a, buyer, &files), HF_OK);
    assert_int_equal(files, 1);
    world.erased_to = 500;
    archive_destroy(a);
    a = archive_of(&disk->base);
    assert_true(answers_check(a, 1, 500, false));
    assert_int_equal(names_in(&disk->base), 5);
    archive_destroy(a);
    storage_destroy(&disk->base);
}

// ----------------------------------------------------------------------- calls that fail, crashes

// After a power loss: each of the two files is the old or the new one, whole.
static void old_or_new_check(struct fake_storage *disk, uint64_t buyer)
{
    struct archive *a = archive_of(&disk->base);
    const uint64_t last = archive_lsn(a);
    for (uint64_t first = 1; first <= last; first += world.each) {
        int same = 0;
        for (int erased = 0; erased < 2; erased++) {
            static _Alignas(8) unsigned char space[HF_RECORD_BYTES_MAX];
            struct journal_record *r = (struct journal_record *)space;
            world.erased_buyer = erased ? buyer : 0;
            world.erased_to = UINT64_MAX;
            bool equal = true;
            for (uint64_t lsn = first; lsn < first + world.each; lsn++) {
                assert_int_equal(archive_read_one(a, lsn, r, sizeof space), HF_OK);
                const struct journal_record *right = world_record(lsn);
                equal &= memcmp(r, right, journal_record_bytes(right)) == 0;
            }
            same += equal;
        }
        assert_int_equal(same, 1);
    }
    world.erased_buyer = 0;
    archive_destroy(a);
}

static void power_loss_at_any_change_of_an_erasure(void **state)
{
    (void)state;
    const uint64_t buyer = hf_mix64(78);
    struct fake_storage *disk = small_archive();
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct fake_storage *copy = fake_storage_clone(disk);
        fake_storage_reseed(copy, n);
        struct archive *a = archive_of(&copy->base);
        copy->faults.crash_in = n;
        uint32_t files;
        enum hf_status status = archive_erase_buyer(a, buyer, &files);
        crashed = copy->crashed;
        assert_int_equal(status, crashed ? HF_IO : HF_OK);
        archive_destroy(a);
        fake_storage_restart(copy);
        old_or_new_check(copy, buyer);
        assert_int_equal(names_in(&copy->base), 2);
        storage_destroy(&copy->base);
    }
    storage_destroy(&disk->base);
}

static void power_loss_at_any_change_of_archiving_and_expiry(void **state)
{
    (void)state;
    world.each = 30;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct fake_storage *disk = fake_storage_create(n, NULL);
        struct archive *a = archive_of(&disk->base);
        disk->faults.crash_in = n;
        world.closed = 4;
        enum hf_status status = archive_all(a);
        const uint64_t told = archive_lsn(a);
        if (status == HF_AGAIN)
            status = archive_expire(a, world_time(90) + 1001, UINT64_MAX);
        crashed = disk->crashed;
        assert_int_equal(status, crashed ? HF_IO : HF_OK);
        if (crashed) {
            assert_int_equal(archive_step(a, NULL), HF_IO);
            assert_int_equal(archive_expire(a, UINT64_MAX, UINT64_MAX), HF_IO);
        }
        archive_destroy(a);
        fake_storage_restart(disk);
        a = archive_of(&disk->base);
        assert_true(archive_lsn(a) >= told);
        struct expected e = {.first = 1, .last = archive_lsn(a)};
        if (told == 120) // some of the first three files may have gone, in order
            for (e.first = 1; e.first < 91 && !fake_storage_exists(disk, name_1) &&
                              archive_read_one(a, e.first, NULL, 0) == HF_NOT_FOUND;)
                e.first += 30;
        assert_int_equal(archive_walk(a, 0, expected_visit, &e), HF_OK);
        expected_end(&e);
        assert_int_equal(archive_all(a), HF_AGAIN);
        assert_int_equal(archive_lsn(a), 120);
        archive_destroy(a);
        storage_destroy(&disk->base);
    }
}

// Fails the n-th call of one kind; true when it came to that.
static bool fault_run(unsigned kind, uint64_t n)
{
    struct fake_storage *disk = small_archive();
    struct archive *a = archive_of(&disk->base);
    const uint64_t before =
        disk->counts.read_errors + disk->counts.write_errors + disk->counts.sync_errors;
    uint64_t *const countdown[] = {&disk->faults.read_error_in, &disk->faults.write_error_in,
                                   &disk->faults.sync_error_in};
    *countdown[kind] = n;
    world.closed = 3;
    uint32_t files;
    enum hf_status step = archive_all(a);
    enum hf_status erase = archive_erase_buyer(a, hf_mix64(78), &files);
    enum hf_status expire = archive_expire(a, world_time(60) + 1001, UINT64_MAX);
    struct expected e = {.first = 61, .last = 90};
    if (expire == HF_OK) {
        world.erased_buyer = hf_mix64(78);
        world.erased_to = 90;
        enum hf_status walk = archive_walk(a, 0, expected_visit, &e);
        assert_true(walk == HF_OK || walk == HF_IO);
        world.erased_buyer = 0;
    }
    *countdown[kind] = 0;
    bool struck =
        disk->counts.read_errors + disk->counts.write_errors + disk->counts.sync_errors > before;
    if (!struck) {
        assert_int_equal(step, HF_AGAIN);
        assert_int_equal(erase, HF_OK);
        assert_int_equal(expire, HF_OK);
    } else if (step == HF_IO) {
        assert_int_equal(erase, HF_IO); // final
    }
    if (erase == HF_IO)
        assert_int_equal(expire, HF_IO);
    archive_destroy(a);
    fake_storage_crash(disk);
    fake_storage_restart(disk);
    assert_int_equal(create_status(disk, (struct hf_uuid){11, 22}), HF_OK);
    storage_destroy(&disk->base);
    return struck;
}

static void each_call_that_fails_is_final_and_leaves_whole_files(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 3; kind++)
        for (uint64_t n = 1; fault_run(kind, n); n++)
            ;
}

static void a_full_disk_passes(void **state)
{
    (void)state;
    struct fake_storage *disk = small_archive();
    const uint64_t used = fake_storage_used_bytes(disk);
    struct archive *a = archive_of(&disk->base);
    world.closed = 3;
    uint64_t full = 0;
    enum hf_status status = HF_NO_SPACE;
    for (uint64_t room = 0; status == HF_NO_SPACE; room += 64, full++) {
        disk->faults.capacity_bytes = used + room + 1;
        status = archive_all(a);
        if (status == HF_NO_SPACE) {
            assert_int_equal(fake_storage_used_bytes(disk), used); // nothing half-made stays
            assert_int_equal(world.readers, 0);
            assert_int_equal(archive_lsn(a), 60);
            if (full % 16 == 0) {
                uint32_t files;
                assert_int_equal(archive_erase_buyer(a, hf_mix64(78), &files), HF_NO_SPACE);
                assert_int_equal(fake_storage_used_bytes(disk), used);
            }
        }
        if (full > 100000)
            fail();
        if (full % 16 == 0)
            assert_true(answers_check(a, 1, archive_lsn(a), false));
    }
    assert_true(full > 10);
    assert_int_equal(status, HF_AGAIN);
    assert_true(answers_check(a, 1, 90, false));
    archive_destroy(a);
    storage_destroy(&disk->base);
}

// ------------------------------------------------------------------------------- many at once

static _Atomic bool asking_stops;

static enum hf_status count_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                  const struct journal_record *r)
{
    uint64_t *last = ctx;
    if (lsn <= *last || time_ms != world_time(lsn) || !hf_uuid_equal(r->id, world_record(lsn)->id))
        return HF_FOREIGN;
    *last = lsn;
    return HF_OK;
}

static void *ask(void *ctx)
{
    enum hf_status status = HF_OK;
    for (uint32_t i = 0; status == HF_OK && !atomic_load(&asking_stops); i++) {
        uint64_t last = 0;
        const uint64_t known = archive_lsn(ctx);
        status = archive_walk(ctx, known > 250 ? known - 250 : 0, count_visit, &last);
        if (status == HF_OK && last < known)
            status = HF_NOT_FOUND; // archive_lsn promised it
        int n = -1000000;
        if (status == HF_OK)
            status = archive_find_id(ctx, world_id(i % world.ids), third_stops, &n);
    }
    return status == HF_OK ? NULL : (void *)hf_status_name(status);
}

static void queries_run_while_the_set_changes(void **state)
{
    (void)state;
    struct fake_storage *disk = fake_storage_create(1, NULL);
    struct archive *a = archive_of(&disk->base);
    world.closed = 60; // what the threads read of the world does not change from here
    pthread_t thread[2];
    atomic_store(&asking_stops, false);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask, a), 0);
    uint32_t files;
    enum hf_status status = HF_OK;
    for (uint64_t done = 0; status == HF_OK;) {
        status = archive_step(a, NULL);
        if (archive_lsn(a) == done)
            continue;
        done = archive_lsn(a);
        assert_int_equal(archive_erase_buyer(a, hf_mix64(77 + done / 100 % 3), &files), HF_OK);
        if (done > 1000)
            assert_int_equal(archive_expire(a, world_time(done - 900) + 1001, UINT64_MAX), HF_OK);
    }
    assert_int_equal(status, HF_AGAIN);
    atomic_store(&asking_stops, true);
    for (int i = 0; i < 2; i++) {
        void *why;
        assert_int_equal(pthread_join(thread[i], &why), 0);
        if (why)
            fail_msg("a query answered %s", (const char *)why);
    }
    archive_destroy(a);
    storage_destroy(&disk->base);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void a_million_records(void **state)
{
    (void)state;
    char folder[] = "/tmp/holdfast-test-archive-XXXXXX";
    struct storage *s;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(storage_os_create(folder, false, &s), HF_OK);
    world.record_bytes = 64;
    world.group = 1000;
    world.ids = 500000;
    world.each = 1000000;
    world.closed = 1;
    struct archive_options o = world_options(s);
    o.block_bytes = 0;
    struct archive *a;
    assert_int_equal(archive_create(&o, &a), HF_OK);
    double t = seconds(), longest = 0;
    for (enum hf_status status = HF_OK; status == HF_OK;) {
        double before = seconds();
        status = archive_step(a, NULL);
        double took = seconds() - before;
        longest = took > longest ? took : longest;
    }
    double took = seconds() - t;
    int f;
    uint64_t bytes = 0;
    assert_int_equal(s->ops->open(s, name_1, STORAGE_READ, &f), HF_OK);
    assert_int_equal(s->ops->size(s, f, &bytes), HF_OK);
    s->ops->close(s, f);
    printf("archive: %.0f MB/s, longest step %.1f ms, file %.1f bytes a record\n", 64 / took,
           longest * 1e3, (double)bytes / 1e6);
    const uint32_t queries = 2000;
    uint64_t last;
    t = seconds();
    for (uint32_t i = 0; i < queries; i++) {
        last = 0;
        assert_int_equal(archive_find_id(a, world_id(hf_mix64(i) % world.ids), count_visit, &last),
                         HF_OK);
        assert_true(last > 0);
    }
    double found = seconds() - t;
    t = seconds();
    for (uint32_t i = 0; i < queries; i++)
        assert_int_equal(archive_find_id(a, world_id(10000000 + i), count_visit, &last), HF_OK);
    double missed = seconds() - t;
    t = seconds();
    last = 0;
    assert_int_equal(archive_walk(a, 0, count_visit, &last), HF_OK);
    printf("id query: %.0f us with 2 records, %.1f us without; walk %.0f MB/s\n",
           found / queries * 1e6, missed / queries * 1e6, 64 / (seconds() - t));
    assert_int_equal(last, 1000000);
    archive_destroy(a);
    assert_int_equal(s->ops->unlink(s, name_1), HF_OK);
    storage_destroy(s);
    assert_int_equal(rmdir(folder), 0);
}

#define T(name) cmocka_unit_test_setup(name, world_reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(keys_leave_sorted_whatever_the_hashes),
        T(every_query_agrees_with_the_records),
        T(one_record_by_lsn),
        T(a_visit_ends_the_query_with_its_status),
        T(ids_newer_than_a_file_are_not_searched_there),
        T(every_flipped_byte_is_found_or_harmless),
        T(every_truncation_is_found),
        T(parts_of_another_file_are_found),
        T(gaps_strangers_and_wrong_names_stop_the_start),
        T(options_are_checked),
        T(a_restart_in_the_middle_begins_the_segment_anew),
        T(a_segment_that_is_gone_or_does_not_follow_is_damage),
        T(an_empty_archive_begins_anywhere),
        T(expiry_takes_the_oldest_files),
        T(an_erased_buyer_is_in_no_file),
        T(power_loss_at_any_change_of_an_erasure),
        T(power_loss_at_any_change_of_archiving_and_expiry),
        T(each_call_that_fails_is_final_and_leaves_whole_files),
        T(a_full_disk_passes),
        T(queries_run_while_the_set_changes),
        T(a_million_records),
    };
    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
