// The fakes must be strict before they can prove anything.
#include "sim/fake_storage.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RW  (STORAGE_READ | STORAGE_WRITE)
#define NEW (RW | STORAGE_CREATE)

static struct fake_storage *make(uint64_t seed)
{
    return fake_storage_create(seed, NULL);
}

static int open_ok(struct fake_storage *fs, const char *name, unsigned flags)
{
    int f = -1;
    assert_int_equal(fs->base.ops->open(&fs->base, name, flags, &f), HF_OK);
    return f;
}

static enum hf_status put(struct fake_storage *fs, int f, uint64_t offset, size_t bytes, int fill)
{
    void *b = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    memset(b, fill, bytes);
    enum hf_status st = fs->base.ops->pwrite(&fs->base, f, b, bytes, offset);
    free(b);
    return st;
}

static enum hf_status sync_file(struct fake_storage *fs, int f)
{
    return fs->base.ops->sync(&fs->base, f);
}

static enum hf_status sync_folder(struct fake_storage *fs)
{
    return fs->base.ops->sync_folder(&fs->base);
}

static int byte_at(struct fake_storage *fs, const char *name, uint64_t offset)
{
    uint64_t bytes;
    const uint8_t *c = fake_storage_content(fs, name, &bytes);
    return c && offset < bytes ? c[offset] : -1;
}

static void synced_content_survives_a_power_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a", NEW | STORAGE_DIRECT);
        assert_int_equal(put(fs, f, 0, 8192, 1), HF_OK);
        assert_int_equal(sync_file(fs, f), HF_OK);
        assert_int_equal(sync_folder(fs), HF_OK);
        fake_storage_restart(fs);
        for (uint64_t at = 0; at < 8192; at++)
            assert_int_equal(byte_at(fs, "a", at), 1);
        storage_destroy(&fs->base);
    }
}

static void unsynced_sectors_are_kept_lost_or_torn(void **state)
{
    (void)state;
    int kept = 0, lost = 0, torn = 0, mixed = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a", NEW);
        assert_int_equal(put(fs, f, 0, 8192, 1), HF_OK);
        assert_int_equal(sync_file(fs, f), HF_OK);
        assert_int_equal(sync_folder(fs), HF_OK);
        assert_int_equal(put(fs, f, 0, 8192, 2), HF_OK);
        fake_storage_restart(fs);
        int new_sectors = 0;
        for (uint64_t s = 0; s < 16; s++) {
            int first = byte_at(fs, "a", s * 512), last = byte_at(fs, "a", s * 512 + 511);
            assert_true(first == 1 || first == 2);
            new_sectors += first == 2;
            torn += first != last;
            assert_true(first == last || (first == 2 && last == 1));
        }
        kept += new_sectors == 16;
        lost += new_sectors == 0;
        mixed += new_sectors > 0 && new_sectors < 16;
        storage_destroy(&fs->base);
    }
    assert_true(kept > 20 && lost > 20 && mixed > 20 && torn > 20);
}

static void an_unsynced_size_may_have_grown_with_zeros(void **state)
{
    (void)state;
    int empty = 0, whole = 0, zeros = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a", NEW);
        assert_int_equal(sync_folder(fs), HF_OK);
        assert_int_equal(put(fs, f, 0, 4096, 3), HF_OK);
        fake_storage_restart(fs);
        uint64_t bytes;
        const uint8_t *c = fake_storage_content(fs, "a", &bytes);
        assert_non_null(c);
        assert_true(bytes <= 4096);
        empty += bytes == 0;
        whole += bytes == 4096 && c[0] == 3 && c[4095] == 3;
        zeros += bytes == 4096 && c[0] == 0;
        storage_destroy(&fs->base);
    }
    assert_true(empty > 20 && whole > 20 && zeros > 20);
}

static void folder_changes_wait_for_the_folders_sync(void **state)
{
    (void)state;
    int both = 0, neither = 0, only_new = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a.tmp", NEW);
        assert_int_equal(put(fs, f, 0, 512, 1), HF_OK);
        assert_int_equal(sync_file(fs, f), HF_OK);
        assert_int_equal(sync_folder(fs), HF_OK);
        fs->base.ops->close(&fs->base, f);
        assert_int_equal(fs->base.ops->rename(&fs->base, "a.tmp", "a"), HF_OK);
        assert_true(fake_storage_exists(fs, "a") && !fake_storage_exists(fs, "a.tmp"));
        open_ok(fs, "b", NEW);
        fake_storage_restart(fs);
        bool a = fake_storage_exists(fs, "a"), b = fake_storage_exists(fs, "b");
        assert_true(a != fake_storage_exists(fs, "a.tmp"));
        if (a)
            assert_int_equal(byte_at(fs, "a", 511), 1);
        both += a && b;
        neither += !a && !b;
        only_new += !a && b;
        storage_destroy(&fs->base);
    }
    assert_true(both > 20 && neither > 20 && only_new > 20);
}

static void a_rename_replaces_atomically(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fake_storage *fs = make(seed);
        for (int n = 0; n < 2; n++) {
            int f = open_ok(fs, n ? "a.tmp" : "a", NEW);
            assert_int_equal(put(fs, f, 0, 512, 1 + n), HF_OK);
            assert_int_equal(sync_file(fs, f), HF_OK);
            fs->base.ops->close(&fs->base, f);
        }
        assert_int_equal(sync_folder(fs), HF_OK);
        assert_int_equal(fs->base.ops->rename(&fs->base, "a.tmp", "a"), HF_OK);
        fake_storage_restart(fs);
        int got = byte_at(fs, "a", 0);
        assert_true(got == 1 || got == 2);
        storage_destroy(&fs->base);
    }
}

static void a_crash_strikes_the_nth_change_and_stays(void **state)
{
    (void)state;
    struct fake_storage *fs = make(7);
    int f = open_ok(fs, "a", NEW);
    fs->faults.crash_in = 3;
    assert_int_equal(put(fs, f, 0, 512, 1), HF_OK);
    assert_int_equal(sync_file(fs, f), HF_OK);
    assert_false(fs->crashed);
    assert_int_equal(put(fs, f, 512, 512, 2), HF_IO);
    assert_true(fs->crashed);
    int g;
    assert_int_equal(fs->base.ops->open(&fs->base, "a", STORAGE_READ, &g), HF_IO);
    assert_int_equal(sync_folder(fs), HF_IO);
    fs->base.ops->close(&fs->base, f); // tear-down goes on
    fake_storage_restart(fs);
    assert_false(fs->crashed);
    if (fake_storage_exists(fs, "a"))
        assert_int_equal(byte_at(fs, "a", 0), 1);
    storage_destroy(&fs->base);
}

static void a_crash_may_strike_a_read(void **state)
{
    (void)state;
    struct fake_storage *fs = make(7);
    int f = open_ok(fs, "a", NEW);
    fs->faults.crash_in = 1;
    fs->faults.crash_counts_reads = true;
    uint64_t bytes;
    assert_int_equal(fs->base.ops->size(&fs->base, f, &bytes), HF_IO);
    assert_true(fs->crashed);
    storage_destroy(&fs->base);
}

static void a_killed_process_loses_nothing_yet(void **state)
{
    (void)state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a", NEW);
        assert_int_equal(fs->base.ops->lock(&fs->base), HF_OK);
        assert_int_equal(fs->base.ops->lock(&fs->base), HF_LOCKED);
        assert_int_equal(put(fs, f, 0, 512, 1), HF_OK);
        fake_storage_kill(fs);
        assert_int_equal(fs->base.ops->lock(&fs->base), HF_OK);
        assert_int_equal(byte_at(fs, "a", 0), 1);
        fake_storage_restart(fs); // but it was not durable
        lost += byte_at(fs, "a", 0) != 1;
        storage_destroy(&fs->base);
    }
    assert_true(lost > 20);
}

static void a_failed_sync_loses_some_for_good(void **state)
{
    (void)state;
    int lost = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fake_storage *fs = make(seed);
        int f = open_ok(fs, "a", NEW);
        assert_int_equal(sync_folder(fs), HF_OK);
        assert_int_equal(put(fs, f, 0, 4096, 1), HF_OK);
        fs->faults.sync_error_in = 1;
        assert_int_equal(sync_file(fs, f), HF_IO);
        assert_int_equal(byte_at(fs, "a", 0), 1);   // still seen
        assert_int_equal(sync_file(fs, f), HF_OK); // and this one lies
        fake_storage_restart(fs);
        lost += byte_at(fs, "a", 0) != 1;
        storage_destroy(&fs->base);
    }
    assert_true(lost > 20);
}

static void errors_come_when_asked(void **state)
{
    (void)state;
    struct fake_storage *fs = make(1);
    int f = open_ok(fs, "a", NEW);
    fs->faults.write_error_in = 2;
    fs->faults.read_error_in = 1;
    assert_int_equal(put(fs, f, 0, 1024, 1), HF_OK);
    assert_int_equal(put(fs, f, 1024, 1024, 1), HF_IO);
    assert_int_equal(put(fs, f, 1024, 1024, 1), HF_OK);
    char buffer[16];
    size_t done;
    assert_int_equal(fs->base.ops->pread(&fs->base, f, buffer, 16, 0, &done), HF_IO);
    assert_int_equal(fs->base.ops->pread(&fs->base, f, buffer, 16, 2040, &done), HF_OK);
    assert_int_equal(done, 8); // the end of the file
    storage_destroy(&fs->base);
}

static void a_full_disk_refuses_growth_only(void **state)
{
    (void)state;
    struct fake_storage *fs = make(1);
    fs->faults.capacity_bytes = 8192;
    int f = open_ok(fs, "a", NEW);
    assert_int_equal(put(fs, f, 0, 4096, 1), HF_OK);
    uint64_t bytes;
    assert_int_equal(fs->base.ops->free_bytes(&fs->base, &bytes), HF_OK);
    assert_int_equal(bytes, 4096);
    assert_int_equal(put(fs, f, 4096, 8192, 2), HF_NO_SPACE);
    assert_true(fake_storage_used_bytes(fs) <= 8192);
    assert_int_equal(put(fs, f, 4096, 4096, 2), HF_OK);
    assert_int_equal(put(fs, f, 0, 8192, 3), HF_OK); // in place
    int g;
    assert_int_equal(fs->base.ops->open(&fs->base, "b", NEW, &g), HF_NO_SPACE);
    assert_int_equal(fs->base.ops->unlink(&fs->base, "a"), HF_OK);
    fs->base.ops->close(&fs->base, f);
    assert_int_equal(fs->base.ops->open(&fs->base, "b", NEW, &g), HF_OK);
    storage_destroy(&fs->base);
}

static void damage_lands_where_it_says(void **state)
{
    (void)state;
    struct fake_storage *fs = make(1);
    int f = open_ok(fs, "seg-1", NEW);
    assert_int_equal(put(fs, f, 0, 4096, 1), HF_OK);
    assert_int_equal(put(fs, f, 4096, 4096, 2), HF_OK);
    assert_int_equal(sync_file(fs, f), HF_OK);
    assert_true(fake_storage_flip_bit(fs, "seg-1", 10, 3));
    assert_int_equal(byte_at(fs, "seg-1", 10), 1 ^ 8);
    assert_true(fake_storage_zero(fs, "seg-1", 512, 512));
    assert_int_equal(byte_at(fs, "seg-1", 600), 0);
    assert_true(fake_storage_misdirect(fs, "seg-1", 4096, "seg-1", 0, 4096));
    assert_int_equal(byte_at(fs, "seg-1", 10), 2);
    assert_false(fake_storage_flip_bit(fs, "seg-1", 8192, 0));
    struct fake_damage_place place;
    for (int n = 0; n < 100; n++) {
        assert_true(fake_storage_damage(fs, (enum fake_damage)(n % FAKE_DAMAGE_COUNT), "seg",
                                        &place));
        assert_string_equal(place.name, "seg-1");
        assert_true(place.offset + place.bytes <= 8192);
    }
    assert_false(fake_storage_damage(fs, FAKE_FLIP, "ckpt", &place));
    storage_destroy(&fs->base);
}

static void run_script(struct fake_storage *fs, uint64_t seed)
{
    struct prng p = {seed};
    for (int n = 0; n < 60; n++) {
        char name[8];
        snprintf(name, sizeof name, "f%u", (unsigned)prng_below(&p, 5));
        int f = -1;
        unsigned flags = fake_storage_exists(fs, name) ? RW : NEW;
        if (fs->base.ops->open(&fs->base, name, flags, &f) != HF_OK)
            break;
        (void)put(fs, f, prng_below(&p, 8) * 512, 512 * prng_between(&p, 1, 9), n);
        if (prng_chance(&p, 1, 3))
            (void)sync_file(fs, f);
        if (prng_chance(&p, 1, 5))
            (void)sync_folder(fs);
        fs->base.ops->close(&fs->base, f);
        if (prng_chance(&p, 1, 9))
            (void)fs->base.ops->unlink(&fs->base, name);
    }
    fake_storage_restart(fs);
}

static void one_seed_one_disk_and_a_clone_is_the_same_disk(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fake_storage *a = make(seed), *b = make(seed);
        run_script(a, seed + 1);
        run_script(b, seed + 1);
        assert_int_equal(a->hash, b->hash);
        assert_int_equal(fake_storage_image_hash(a), fake_storage_image_hash(b));
        struct fake_storage *c = fake_storage_clone(a);
        run_script(a, seed + 2);
        run_script(c, seed + 2);
        assert_int_equal(a->hash, c->hash);
        assert_int_equal(fake_storage_image_hash(a), fake_storage_image_hash(c));
        assert_int_not_equal(a->hash, b->hash);
        storage_destroy(&a->base);
        storage_destroy(&b->base);
        storage_destroy(&c->base);
    }
}

static void time_moves_only_when_told(void **state)
{
    (void)state;
    struct fake_clock c;
    fake_clock_init(&c, 5000000, 1700000000000);
    assert_int_equal(clock_monotonic_ns(&c.base), 5000000);
    assert_int_equal(clock_wall_ms(&c.base), 1700000000000);
    fake_clock_advance_ms(&c, 7);
    assert_int_equal(clock_monotonic_ns(&c.base), 12000000);
    assert_int_equal(clock_wall_ms(&c.base), 1700000000007);
    fake_clock_jump_wall_ms(&c, -1007);
    assert_int_equal(clock_monotonic_ns(&c.base), 12000000);
    assert_int_equal(clock_wall_ms(&c.base), 1699999999000);
    struct fake_storage *fs = fake_storage_create(1, &c);
    fs->faults.latency_ns_max = 100;
    fs->faults.slow_one_in = 1;
    fs->faults.slow_ns_max = 1000000000;
    open_ok(fs, "a", NEW);
    assert_true(clock_monotonic_ns(&c.base) > 12000000);
    assert_int_equal(fs->counts.slow, 1);
    storage_destroy(&fs->base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synced_content_survives_a_power_loss),
        cmocka_unit_test(unsynced_sectors_are_kept_lost_or_torn),
        cmocka_unit_test(an_unsynced_size_may_have_grown_with_zeros),
        cmocka_unit_test(folder_changes_wait_for_the_folders_sync),
        cmocka_unit_test(a_rename_replaces_atomically),
        cmocka_unit_test(a_crash_strikes_the_nth_change_and_stays),
        cmocka_unit_test(a_crash_may_strike_a_read),
        cmocka_unit_test(a_killed_process_loses_nothing_yet),
        cmocka_unit_test(a_failed_sync_loses_some_for_good),
        cmocka_unit_test(errors_come_when_asked),
        cmocka_unit_test(a_full_disk_refuses_growth_only),
        cmocka_unit_test(damage_lands_where_it_says),
        cmocka_unit_test(one_seed_one_disk_and_a_clone_is_the_same_disk),
        cmocka_unit_test(time_moves_only_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
