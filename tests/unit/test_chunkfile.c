#include "journal/chunkfile.h"

#include "base/log.h"
#include "sim/fake_storage.h"
#include "unit/failing_storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define CHUNK 4096u

static struct storage *storage; // a fake disk

static const struct chunkfile_header head = {
    .kind = "HFTEST\0", .version = 3, .engine_id = {7, 9}, .lsn = 1234, .time_ms = 99};
static const struct hf_uuid nil;

static int set_up(void **state)
{
    (void)state;
    hf_log_set_level(HF_LOG_ERROR + 1);
    storage = &fake_storage_create(1, NULL)->base;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    storage_destroy(storage);
    return 0;
}

static void count_name(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}

static int names_in(struct storage *s)
{
    int names = 0;
    assert_int_equal(s->ops->list(s, count_name, &names), HF_OK);
    return names;
}

static void remove_file(const char *name)
{
    assert_int_equal(storage->ops->unlink(storage, name), HF_OK);
}

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 131 + (i >> 8) * 7 + 5);
}

static enum hf_status write_pattern(struct storage *s, const char *name, size_t bytes,
                                    uint32_t chunk)
{
    struct chunkfile_writer *w;
    enum hf_status status = chunkfile_writer_create(s, name, &head, chunk, &w);
    if (status != HF_OK)
        return status;
    unsigned char piece[257];
    for (size_t at = 0; at < bytes && status == HF_OK;) {
        size_t n = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        for (size_t i = 0; i < n; i++)
            piece[i] = pattern(at + i);
        status = chunkfile_write(w, piece, n);
        at += n;
    }
    enum hf_status end = chunkfile_finish(w);
    return status != HF_OK ? status : end;
}

// Reads it all; asserts that no wrong byte is ever handed out.
static enum hf_status read_pattern(struct storage *s, const char *name, size_t bytes)
{
    struct chunkfile_reader *r;
    struct chunkfile_header h;
    enum hf_status status = chunkfile_reader_create(s, name, head.kind, 3, head.engine_id, &h, &r);
    if (status != HF_OK)
        return status;
    assert_memory_equal(h.kind, head.kind, 8);
    assert_int_equal(h.version, head.version);
    assert_int_equal(h.lsn, head.lsn);
    assert_int_equal(h.time_ms, head.time_ms);
    unsigned char piece[301];
    for (size_t at = 0; at < bytes && status == HF_OK;) {
        size_t n = bytes - at < sizeof piece ? bytes - at : sizeof piece;
        status = chunkfile_read(r, piece, n);
        for (size_t i = 0; i < n && status == HF_OK; i++)
            assert_int_equal(piece[i], pattern(at + i));
        at += n;
    }
    if (status == HF_OK)
        status = chunkfile_read_end(r);
    chunkfile_reader_destroy(r);
    return status;
}

static unsigned char *slurp(const char *name, size_t *bytes)
{
    int f;
    uint64_t size;
    assert_int_equal(storage->ops->open(storage, name, STORAGE_READ, &f), HF_OK);
    assert_int_equal(storage->ops->size(storage, f, &size), HF_OK);
    unsigned char *all = malloc(size ? size : 1);
    assert_int_equal(storage->ops->pread(storage, f, all, size, 0, bytes), HF_OK);
    storage->ops->close(storage, f);
    return all;
}

static void spill(const char *name, const unsigned char *all, size_t bytes)
{
    int f;
    (void)storage->ops->unlink(storage, name);
    assert_int_equal(
        storage->ops->open(storage, name, STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE, &f),
        HF_OK);
    assert_int_equal(storage->ops->pwrite(storage, f, all, bytes, 0), HF_OK);
    storage->ops->close(storage, f);
}

static void streams_come_back_at_every_size(void **state)
{
    (void)state;
    const size_t payload = CHUNK - 32;
    const size_t sizes[] = {
        0, 1, 31, payload - 1, payload, payload + 1, 3 * payload, 3 * payload + 17, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint32_t chunk = CHUNK; chunk <= 4 * CHUNK; chunk *= 2) {
            assert_int_equal(write_pattern(storage, "a", sizes[i], chunk), HF_OK);
            assert_int_equal(read_pattern(storage, "a", sizes[i]), HF_OK);
            assert_int_equal(read_pattern(storage, "a", sizes[i] + 1), HF_DAMAGED);
            if (sizes[i])
                assert_int_equal(read_pattern(storage, "a", sizes[i] - 1), HF_DAMAGED);
        }
    assert_int_equal(names_in(storage), 1);
    remove_file("a");
}

static void every_flipped_byte_is_damage(void **state)
{
    (void)state;
    size_t bytes, stream = 2 * (CHUNK - 32) + 100;
    assert_int_equal(write_pattern(storage, "a", stream, CHUNK), HF_OK);
    unsigned char *all = slurp("a", &bytes);
    assert_int_equal(bytes, 5 * 4096);
    int f;
    assert_int_equal(storage->ops->open(storage, "a", STORAGE_READ | STORAGE_WRITE, &f), HF_OK);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char bad = all[i] ^ (unsigned char)(1u << (i % 8));
        assert_int_equal(storage->ops->pwrite(storage, f, &bad, 1, i), HF_OK);
        assert_int_equal(read_pattern(storage, "a", stream), HF_DAMAGED);
        assert_int_equal(storage->ops->pwrite(storage, f, &all[i], 1, i), HF_OK);
    }
    storage->ops->close(storage, f);
    assert_int_equal(read_pattern(storage, "a", stream), HF_OK);
    free(all);
    remove_file("a");
}

static void every_truncation_and_every_extra_byte_is_damage(void **state)
{
    (void)state;
    size_t bytes, stream = CHUNK + 100;
    assert_int_equal(write_pattern(storage, "a", stream, CHUNK), HF_OK);
    unsigned char *all = slurp("a", &bytes);
    for (size_t n = 0; n < bytes; n += n % 4096 < 2 || n % 4096 > 4093 ? 1 : 97) {
        spill("b", all, n);
        assert_int_equal(read_pattern(storage, "b", stream), HF_DAMAGED);
    }
    all = realloc(all, bytes + 4096);
    memset(all + bytes, 0, 4096);
    for (size_t n = 1; n <= 4096; n += 4095) {
        spill("b", all, bytes + n);
        assert_int_equal(read_pattern(storage, "b", stream), HF_DAMAGED);
    }
    free(all);
    remove_file("a");
    remove_file("b");
}

static void swapped_dropped_and_foreign_chunks_are_damage(void **state)
{
    (void)state;
    size_t bytes, stream = 3 * (CHUNK - 32);
    assert_int_equal(write_pattern(storage, "a", stream, CHUNK), HF_OK);
    unsigned char *all = slurp("a", &bytes);
    unsigned char *copy = malloc(bytes);
    memcpy(copy, all, bytes);
    memcpy(copy + 4096, all + 8192, 4096);
    memcpy(copy + 8192, all + 4096, 4096);
    spill("b", copy, bytes);
    assert_int_equal(read_pattern(storage, "b", stream), HF_DAMAGED);
    memcpy(copy, all, 8192);
    memcpy(copy + 8192, all + 12288, bytes - 12288); // the middle chunk is gone
    spill("b", copy, bytes - 4096);
    assert_int_equal(read_pattern(storage, "b", stream - (CHUNK - 32)), HF_DAMAGED);
    // The last chunk and the trailer of a file with another time.
    struct chunkfile_header other = head;
    other.time_ms++;
    struct chunkfile_writer *w;
    assert_int_equal(chunkfile_writer_create(storage, "c", &other, CHUNK, &w), HF_OK);
    for (size_t i = 0; i < stream; i++) {
        unsigned char b = pattern(i);
        assert_int_equal(chunkfile_write(w, &b, 1), HF_OK);
    }
    assert_int_equal(chunkfile_finish(w), HF_OK);
    size_t other_bytes;
    unsigned char *foreign = slurp("c", &other_bytes);
    assert_int_equal(other_bytes, bytes);
    memcpy(copy, all, bytes);
    memcpy(copy + 12288, foreign + 12288, 4096);
    spill("b", copy, bytes);
    assert_int_equal(read_pattern(storage, "b", stream), HF_DAMAGED);
    memcpy(copy + 4096, foreign + 4096, bytes - 4096);
    spill("b", copy, bytes);
    assert_int_equal(read_pattern(storage, "b", stream), HF_DAMAGED);
    free(all);
    free(copy);
    free(foreign);
    remove_file("a");
    remove_file("b");
    remove_file("c");
}

static void damage_is_located(void **state)
{
    (void)state;
    assert_int_equal(write_pattern(storage, "a", 3 * (CHUNK - 32), CHUNK), HF_OK);
    int f;
    assert_int_equal(storage->ops->open(storage, "a", STORAGE_READ | STORAGE_WRITE, &f), HF_OK);
    assert_int_equal(storage->ops->pwrite(storage, f, "\xff\xfe", 2, 8192 + 700), HF_OK);
    storage->ops->close(storage, f);
    struct chunkfile_reader *r;
    struct chunkfile_header h;
    assert_int_equal(chunkfile_reader_create(storage, "a", head.kind, 3, nil, &h, &r), HF_OK);
    unsigned char piece[CHUNK - 32];
    assert_int_equal(chunkfile_read(r, piece, sizeof piece), HF_OK);
    assert_int_equal(chunkfile_read(r, piece, 1), HF_DAMAGED);
    assert_int_equal(chunkfile_offset(r), 8192);
    assert_int_equal(chunkfile_read(r, piece, 1), HF_DAMAGED);
    assert_int_equal(chunkfile_read_end(r), HF_DAMAGED);
    chunkfile_reader_destroy(r);
    remove_file("a");
}

static void wrong_files_have_their_own_answers(void **state)
{
    (void)state;
    struct chunkfile_reader *r;
    struct chunkfile_header h;
    const struct hf_uuid other = {7, 8};
    assert_int_equal(chunkfile_reader_create(storage, "a", head.kind, 3, nil, &h, &r),
                     HF_NOT_FOUND);
    assert_int_equal(write_pattern(storage, "a", 10, CHUNK), HF_OK);
    assert_int_equal(chunkfile_reader_create(storage, "a", head.kind, 2, nil, &h, &r), HF_TOO_NEW);
    assert_int_equal(chunkfile_reader_create(storage, "a", head.kind, 3, other, &h, &r),
                     HF_FOREIGN);
    assert_int_equal(chunkfile_reader_create(storage, "a", "HFOTHER", 3, nil, &h, &r), HF_DAMAGED);
    assert_null(r);
    struct chunkfile_writer *w;
    assert_int_equal(chunkfile_writer_create(storage, "b", &head, 4095, &w), HF_INVALID);
    assert_int_equal(chunkfile_writer_create(storage, "b", &head, 0, &w), HF_INVALID);
    char name[STORAGE_NAME_BYTES] = {0};
    memset(name, 'n', 60);
    assert_int_equal(chunkfile_writer_create(storage, name, &head, CHUNK, &w), HF_INVALID);
    name[59] = 0; // the longest that has room for ".tmp"
    assert_int_equal(write_pattern(storage, name, 10, CHUNK), HF_OK);
    assert_int_equal(read_pattern(storage, name, 10), HF_OK);
    remove_file(name);
    remove_file("a");
}

static void an_old_temporary_file_is_replaced_and_abandon_leaves_nothing(void **state)
{
    (void)state;
    spill("a.tmp", (const unsigned char *)"rubbish", 7);
    struct chunkfile_writer *w;
    assert_int_equal(chunkfile_writer_create(storage, "a", &head, CHUNK, &w), HF_OK);
    assert_int_equal(chunkfile_write(w, "abc", 3), HF_OK);
    chunkfile_abandon(w);
    chunkfile_abandon(NULL);
    assert_int_equal(names_in(storage), 0);
}

static void each_call_that_fails_leaves_the_old_file_or_the_new(void **state)
{
    (void)state;
    const enum hf_status errors[] = {HF_IO, HF_NO_SPACE};
    const size_t stream = 3 * CHUNK;
    for (int e = 0; e < 2; e++)
        for (unsigned n = 1;; n++) {
            assert_int_equal(write_pattern(storage, "a", stream, CHUNK), HF_OK);
            struct failing_storage bad;
            failing_storage_init(&bad, storage, n, errors[e]);
            enum hf_status status = write_pattern(&bad.base, "a", stream, CHUNK);
            assert_int_equal(bad.open_files, 0);
            assert_int_equal(status, bad.failed ? errors[e] : HF_OK);
            assert_int_equal(read_pattern(storage, "a", stream), HF_OK);
            assert_int_equal(names_in(storage), 1);
            failing_storage_init(&bad, storage, n, HF_IO);
            status = read_pattern(&bad.base, "a", stream);
            assert_int_equal(bad.open_files, 0);
            assert_int_equal(status, bad.failed ? HF_IO : HF_OK);
            failing_storage_init(&bad, storage, n, errors[e]);
            (void)write_pattern(&bad.base, "a", stream, CHUNK);
            if (!bad.failed)
                break;
        }
    remove_file("a");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ten_million_ids_load(void **state)
{
    (void)state;
    const size_t items = getenv("HOLDFAST_BIG") ? 10000000 : 1000000;
    char folder[] = "/tmp/holdfast-test-chunkfile-XXXXXX";
    struct storage *disk;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(storage_os_create(folder, false, &disk), HF_OK);
    struct chunkfile_writer *w;
    uint64_t item[8] = {0}, sum = 0;
    double t = seconds();
    assert_int_equal(chunkfile_writer_create(disk, "big", &head, 1u << 20, &w), HF_OK);
    for (size_t i = 0; i < items; i++) {
        item[0] = i;
        assert_int_equal(chunkfile_write(w, item, sizeof item), HF_OK);
    }
    assert_int_equal(chunkfile_finish(w), HF_OK);
    double written = seconds() - t;
    struct chunkfile_reader *r;
    struct chunkfile_header h;
    t = seconds();
    assert_int_equal(chunkfile_reader_create(disk, "big", head.kind, 3, nil, &h, &r), HF_OK);
    for (size_t i = 0; i < items; i++) {
        if (chunkfile_read(r, item, sizeof item) != HF_OK)
            fail();
        sum += item[0];
    }
    assert_int_equal(chunkfile_read_end(r), HF_OK);
    double read = seconds() - t;
    chunkfile_reader_destroy(r);
    assert_int_equal(sum, items * (items - 1) / 2);
    const double megabytes = (double)items * 64 / 1e6;
    printf("chunk file of %zu items: write %.0f MB/s, read %.0f MB/s (%.3f s)\n", items,
           megabytes / written, megabytes / read, read);
    assert_int_equal(disk->ops->unlink(disk, "big"), HF_OK);
    storage_destroy(disk);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_come_back_at_every_size),
        cmocka_unit_test(every_flipped_byte_is_damage),
        cmocka_unit_test(every_truncation_and_every_extra_byte_is_damage),
        cmocka_unit_test(swapped_dropped_and_foreign_chunks_are_damage),
        cmocka_unit_test(damage_is_located),
        cmocka_unit_test(wrong_files_have_their_own_answers),
        cmocka_unit_test(an_old_temporary_file_is_replaced_and_abandon_leaves_nothing),
        cmocka_unit_test(each_call_that_fails_leaves_the_old_file_or_the_new),
        cmocka_unit_test(ten_million_ids_load),
    };
    return cmocka_run_group_tests_name("chunkfile", tests, set_up, tear_down);
}
