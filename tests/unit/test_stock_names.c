#include "stock/names.h"

#include "base/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void names_are_strict_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        const char *what;
    } cases[] = {
        {"", false, "empty"},
        {"A", true, "one byte"},
        {" ~", true, "the ends of printable ASCII"},
        {"\x1f", false, "the last C0 control"},
        {"\x7f", false, "delete"},
        {"a\nb", false, "a line feed inside"},
        {"\xc2\x80", false, "the first C1 control"},
        {"\xc2\x9f", false, "the last C1 control"},
        {"\xc2\xa0", true, "just past the C1 controls"},
        {"\xdf\xbf", true, "U+07FF"},
        {"\xe0\xa0\x80", true, "U+0800"},
        {"\xed\x9f\xbf", true, "U+D7FF, before the surrogates"},
        {"\xee\x80\x80", true, "U+E000, behind them"},
        {"\xef\xbf\xbf", true, "U+FFFF"},
        {"\xf0\x90\x80\x80", true, "U+10000"},
        {"\xf4\x8f\xbf\xbf", true, "U+10FFFF"},
        {"\x80", false, "a continuation alone"},
        {"\xbf", false, "the last continuation alone"},
        {"\xc0\x80", false, "overlong NUL"},
        {"\xc1\xbf", false, "overlong in two bytes"},
        {"\xe0\x80\x80", false, "overlong NUL in three bytes"},
        {"\xe0\x9f\xbf", false, "overlong in three bytes"},
        {"\xf0\x80\x80\x80", false, "overlong NUL in four bytes"},
        {"\xf0\x8f\xbf\xbf", false, "overlong in four bytes"},
        {"\xed\xa0\x80", false, "the first surrogate"},
        {"\xed\xbf\xbf", false, "the last surrogate"},
        {"\xed\xa0\xbd\xed\xb8\x80", false, "a pair of surrogates"},
        {"\xf4\x90\x80\x80", false, "U+110000"},
        {"\xf5\x80\x80\x80", false, "past every plane"},
        {"\xfe", false, "no UTF-8 byte"},
        {"\xff", false, "no UTF-8 byte"},
        {"\xc2", false, "two bytes, cut"},
        {"\xe2\x82", false, "three bytes, cut"},
        {"\xf0\x9f\x98", false, "four bytes, cut"},
        {"a\xe2", false, "cut at the end"},
        {"\xe2\x82"
         "a",
         false, "no continuation in the third byte"},
        {"\xf0\x9f"
         "ab",
         false, "none in the third of four"},
        {"\xf0\x9f\x98"
         "a",
         false, "none in the fourth of four"},
        {"\xe2\x82\xac\xc3\xa4x", true, "a mixture"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (stock_name_valid(cases[i].text, (uint32_t)strlen(cases[i].text), 64) != cases[i].valid)
            fail_msg("%s: %s", cases[i].what, cases[i].valid ? "refused" : "accepted");
    assert_false(stock_name_valid("a\0b", 3, 64));
    assert_true(stock_name_valid("abc", 3, 3));
    assert_false(stock_name_valid("abc", 3, 2));
    // A cut name must not be judged by what lies behind it.
    assert_false(stock_name_valid("\xe2\x82\xac", 2, 64));
}

static void pairs_get_dense_handles(void **state)
{
    (void)state;
    enum { MAX = 300 };
    struct stock_directory *d = stock_directory_create(MAX, false);
    char sku[16], location[16];
    uint32_t h;
    assert_non_null(d);
    assert_true(stock_directory_bytes(d) > 0);
    for (uint32_t i = 0; i < MAX; i++) {
        uint32_t s = (uint32_t)snprintf(sku, sizeof sku, "S%u", i / 3);
        uint32_t l = (uint32_t)snprintf(location, sizeof location, "L%u", i % 3);
        assert_int_equal(stock_directory_find(d, sku, s, location, l, &h), HF_NOT_FOUND);
        assert_int_equal(stock_directory_add(d, sku, s, location, l, &h), HF_OK);
        assert_int_equal(h, i);
        assert_int_equal(stock_directory_add(d, sku, s, location, l, &h), HF_EXISTS);
        assert_int_equal(h, i);
        assert_int_equal(stock_directory_count(d), i + 1);
    }
    assert_int_equal(stock_directory_add(d, "new", 3, "L0", 2, &h), HF_FULL);
    assert_int_equal(stock_directory_count(d), MAX);
    for (uint32_t i = 0; i < MAX; i++) {
        uint32_t s = (uint32_t)snprintf(sku, sizeof sku, "S%u", i / 3);
        uint32_t l = (uint32_t)snprintf(location, sizeof location, "L%u", i % 3);
        assert_int_equal(stock_directory_find(d, sku, s, location, l, &h), HF_OK);
        assert_int_equal(h, i);
        struct stock_name n = stock_directory_name(d, i);
        assert_int_equal(n.sku_bytes, s);
        assert_memory_equal(n.sku, sku, s);
        assert_int_equal(n.location_bytes, l);
        assert_memory_equal(n.location, location, l);
    }
    uint32_t handles[2];
    assert_int_equal(stock_directory_of_sku(d, "S7", 2, handles, 2), 3);
    assert_int_equal(handles[0], 21);
    assert_int_equal(handles[1], 22);
    assert_int_equal(stock_directory_of_sku(d, "S", 1, handles, 2), 0);
    stock_directory_destroy(d);
    stock_directory_destroy(NULL);
}

static void names_of_full_length_keep_apart(void **state)
{
    (void)state;
    struct stock_directory *d = stock_directory_create(3, false);
    char a[HF_SKU_BYTES_MAX], b[HF_SKU_BYTES_MAX], l[HF_LOCATION_BYTES_MAX];
    uint32_t h;
    memset(a, 'x', sizeof a);
    memset(b, 'x', sizeof b);
    memset(l, 'y', sizeof l);
    b[HF_SKU_BYTES_MAX - 1] = 'z';
    assert_int_equal(stock_directory_add(d, a, sizeof a, l, sizeof l, &h), HF_OK);
    assert_int_equal(stock_directory_add(d, b, sizeof b, l, sizeof l, &h), HF_OK);
    assert_int_equal(h, 1);
    assert_int_equal(stock_directory_add(d, a, sizeof a - 1, l, sizeof l, &h), HF_OK);
    assert_int_equal(stock_directory_find(d, a, sizeof a, l, sizeof l, &h), HF_OK);
    assert_int_equal(h, 0);
    assert_int_equal(stock_directory_find(d, a, sizeof a, l, sizeof l - 1, &h), HF_NOT_FOUND);
    stock_directory_destroy(d);
}

static void channels_are_numbered_from_one(void **state)
{
    (void)state;
    struct stock_directory *d = stock_directory_create(1, false);
    char name[16];
    uint16_t channel;
    assert_null(stock_channel_name(d, 0));
    assert_null(stock_channel_name(d, 1));
    for (uint32_t i = 1; i <= HF_CHANNELS_MAX; i++) {
        uint32_t bytes = (uint32_t)snprintf(name, sizeof name, "c%u", i);
        assert_int_equal(stock_channel_find(d, name, bytes, &channel), HF_NOT_FOUND);
        assert_int_equal(stock_channel_add(d, name, bytes, &channel), HF_OK);
        assert_int_equal(channel, i);
        assert_int_equal(stock_channel_add(d, name, bytes, &channel), HF_EXISTS);
        assert_int_equal(channel, i);
        assert_string_equal(stock_channel_name(d, channel), name);
    }
    assert_int_equal(stock_channel_count(d), HF_CHANNELS_MAX);
    assert_int_equal(stock_channel_add(d, "more", 4, &channel), HF_FULL);
    assert_null(stock_channel_name(d, HF_CHANNELS_MAX + 1));
    stock_directory_destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_strict_utf8),
        cmocka_unit_test(pairs_get_dense_handles),
        cmocka_unit_test(names_of_full_length_keep_apart),
        cmocka_unit_test(channels_are_numbered_from_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
