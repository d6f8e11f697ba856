#include "base/histogram.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define TOP (UINT64_C(1) << HF_HISTOGRAM_TOP_BITS)

static void every_value_lies_in_its_bucket(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < HF_HISTOGRAM_BUCKETS; b++) {
        uint64_t first = b == 0 ? 0 : hf_histogram_bucket_end(b - 1) + 1;
        uint64_t end = hf_histogram_bucket_end(b);
        assert_true(first <= end);
        assert_int_equal(hf_histogram_bucket(first), b);
        assert_int_equal(hf_histogram_bucket(end), b);
        if (b < HF_HISTOGRAM_BUCKETS - 1) {
            assert_int_equal(hf_histogram_bucket(end + 1), b + 1);
            assert_true(first < 1024 ? end - first == 31 : (end - first + 1) * 32 <= first);
        }
    }
    assert_int_equal(hf_histogram_bucket(UINT64_C(100000000000)) < HF_HISTOGRAM_BUCKETS - 1, 1);
    assert_int_equal(hf_histogram_bucket(TOP), HF_HISTOGRAM_BUCKETS - 1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles_are_within_a_thirtysecond_and_never_below(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    uint64_t *values = calloc(COUNT, sizeof *values), x = 11;
    struct hf_histogram *h = calloc(1, sizeof *h);
    assert_non_null(values);
    assert_non_null(h);
    for (uint32_t i = 0; i < COUNT; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        values[i] = (x >> 27) >> (x % 27); // log-uniform below 2^37
        hf_histogram_record(h, values[i]);
    }
    qsort(values, COUNT, sizeof *values, by_value);
    for (uint32_t p = 1; p <= 1000; p++) {
        uint64_t truth = values[((uint64_t)COUNT * p + 999) / 1000 - 1];
        uint64_t told = hf_histogram_percentile(h, p);
        assert_true(told >= truth);
        assert_true(told - truth <= 32 + truth / 32);
    }
    assert_int_equal(hf_histogram_percentile(h, 1000), values[COUNT - 1]);
    assert_int_equal(hf_histogram_count(h), COUNT);
    free(values);
    free(h);
}

static void an_empty_one_and_one_value(void **state)
{
    (void)state;
    struct hf_histogram h;
    hf_histogram_clear(&h);
    assert_int_equal(hf_histogram_percentile(&h, 500), 0);
    hf_histogram_record_many(&h, 5000, 3);
    assert_int_equal(hf_histogram_count(&h), 3);
    assert_int_equal(h.sum_ns, 15000);
    assert_int_equal(hf_histogram_percentile(&h, 0), 5000);
    assert_int_equal(hf_histogram_percentile(&h, 999), 5000);
}

static void what_is_beyond_the_range_counts_and_keeps_its_maximum(void **state)
{
    (void)state;
    struct hf_histogram h;
    hf_histogram_clear(&h);
    hf_histogram_record(&h, 3 * TOP);
    assert_int_equal(hf_histogram_count(&h), 1);
    assert_int_equal(hf_histogram_percentile(&h, 500), 3 * TOP);
    assert_int_equal(hf_histogram_count_to(&h, TOP), 0);
    assert_int_equal(hf_histogram_count_to(&h, UINT64_MAX), 1);
}

static void counts_up_to_a_bound(void **state)
{
    (void)state;
    struct hf_histogram h;
    hf_histogram_clear(&h);
    hf_histogram_record(&h, 900);
    hf_histogram_record(&h, 1000000);
    hf_histogram_record(&h, 40000000);
    assert_int_equal(hf_histogram_count_to(&h, 800), 0);
    assert_int_equal(hf_histogram_count_to(&h, 1023), 1);
    assert_int_equal(hf_histogram_count_to(&h, 1040000), 2);
    assert_int_equal(hf_histogram_count_to(&h, 50000000), 3);
}

static void merging_adds(void **state)
{
    (void)state;
    struct hf_histogram a, b, all;
    hf_histogram_clear(&a);
    hf_histogram_clear(&b);
    hf_histogram_clear(&all);
    hf_histogram_record_many(&a, 2000, 5);
    hf_histogram_record_many(&b, 9000000, 7);
    hf_histogram_merge(&all, &a);
    hf_histogram_merge(&all, &b);
    assert_int_equal(hf_histogram_count(&all), 12);
    assert_int_equal(all.sum_ns, 5 * 2000 + 7 * 9000000);
    assert_int_equal(all.max_ns, 9000000);
    assert_true(hf_histogram_percentile(&all, 400) <= 2064);
    assert_int_equal(hf_histogram_percentile(&all, 990), 9000000);
}

#define RECORDED 200000
static void *record_many(void *ctx)
{
    for (uint32_t i = 1; i <= RECORDED; i++)
        hf_histogram_record(ctx, i);
    return NULL;
}

static void a_reader_beside_the_writer_sees_counts_that_only_grow(void **state)
{
    (void)state;
    struct hf_histogram *h = calloc(1, sizeof *h), seen;
    pthread_t writer;
    uint64_t before = 0;
    assert_int_equal(pthread_create(&writer, NULL, record_many, h), 0);
    do {
        hf_histogram_clear(&seen);
        hf_histogram_merge(&seen, h);
        assert_true(hf_histogram_count(&seen) >= before);
        before = hf_histogram_count(&seen);
    } while (before < RECORDED);
    pthread_join(writer, NULL);
    assert_int_equal(h->sum_ns, (uint64_t)RECORDED * (RECORDED + 1) / 2);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_value_lies_in_its_bucket),
        cmocka_unit_test(percentiles_are_within_a_thirtysecond_and_never_below),
        cmocka_unit_test(an_empty_one_and_one_value),
        cmocka_unit_test(what_is_beyond_the_range_counts_and_keeps_its_maximum),
        cmocka_unit_test(counts_up_to_a_bound),
        cmocka_unit_test(merging_adds),
        cmocka_unit_test(a_reader_beside_the_writer_sees_counts_that_only_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
