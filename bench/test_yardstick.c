#include "yardstick.h"

#include "base/atomic128.h"
#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

// Each cell counts up in its second half as often as it was taken from.
static uint64_t takes_of(const struct yardstick_cells *c)
{
    uint64_t sum = 0;
    const char *base = c->memory.base;
    for (uint64_t i = 0; i < c->count; i++)
        sum += ((const struct hf_word128 *)(base + i * HF_CACHE_LINE))->hi;
    return sum;
}

static void every_operation_takes_once(void **state)
{
    (void)state;
    struct yardstick_cells c;
    assert_true(yardstick_cells_create(&c, 1024));
    yardstick_cas_ns_x1000(&c, 10000, true);
    assert_int_equal(takes_of(&c), 10016); // whole batches of 32
    yardstick_cas_ns_x1000(&c, 3200, false);
    assert_int_equal(takes_of(&c), 13216);
    yardstick_cells_destroy(&c);
}

static void syncs_are_counted_and_ordered(void **state)
{
    (void)state;
    char folder[] = "yardstick.XXXXXX";
    struct storage *storage;
    struct yardstick_file f;
    struct yardstick_sync r;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(storage_os_create(folder, false, &storage), HF_OK);
    struct yardstick_file_options o = {storage, 16 * HF_BLOCK, 2 * HF_BLOCK, 40};
    assert_int_equal(yardstick_file_create(&f, &o), HF_OK);
    assert_int_equal(yardstick_sync_run(&f, 2 * HF_BLOCK, 20, &r), HF_OK); // wraps around
    assert_int_equal(r.count, 20);
    assert_int_equal(r.bytes, 20 * 2 * HF_BLOCK);
    assert_true(r.p50_ns > 0 && r.p50_ns <= r.p99_ns && r.p99_ns <= r.max_ns);
    assert_true(r.total_ns >= r.max_ns);
    assert_int_equal(yardstick_sync_run(&f, HF_BLOCK, 41, &r), HF_INVALID);
    assert_int_equal(yardstick_sync_run(&f, 100, 1, &r), HF_INVALID);
    yardstick_file_destroy(&f);
    storage_destroy(storage);
    assert_int_equal(rmdir(folder), 0); // nothing is left behind
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_takes_once),
        cmocka_unit_test(syncs_are_counted_and_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
