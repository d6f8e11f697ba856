#include "base/atomic128.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/status.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void crc32c_known_answers(void **state)
{
    (void)state;
    // RFC 3720, appendix B.4.
    unsigned char buffer[32] = {0};
    assert_int_equal(hf_crc32c(0, buffer, 32), 0x8a9136aa);
    memset(buffer, 0xff, 32);
    assert_int_equal(hf_crc32c(0, buffer, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        buffer[i] = (unsigned char)i;
    assert_int_equal(hf_crc32c(0, buffer, 32), 0x46dd794e);
    assert_int_equal(hf_crc32c_words(0, buffer, 32), 0x46dd794e);
}

static uint32_t crc_slow(const unsigned char *p, size_t n)
{
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = (c & 1) ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    }
    return ~c;
}

static void crc32c_lanes_agree_with_bits(void **state)
{
    (void)state;
    static unsigned char buffer[20000];
    for (size_t i = 0; i < sizeof buffer; i++)
        buffer[i] = (unsigned char)hf_mix64(i);
    static const size_t lengths[] = {0, 1, 7, 8, 9, 3071, 3072, 3073, 6144, 12345, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        assert_int_equal(hf_crc32c(0, buffer, lengths[i]), crc_slow(buffer, lengths[i]));
    uint32_t parts = hf_crc32c(hf_crc32c(0, buffer, 5001), buffer + 5001, 9999);
    assert_int_equal(parts, crc_slow(buffer, 15000));
}

static void uuid_text_round_trip(void **state)
{
    (void)state;
    struct hf_uuid id = hf_uuid_v7(1700000000123, 0xabc, 0x123456789abcdef0), back;
    char text[HF_UUID_TEXT_BYTES];
    hf_uuid_format(id, text);
    assert_true(hf_uuid_parse(text, &back));
    assert_true(hf_uuid_equal(id, back));
    assert_int_equal(hf_uuid_ms(id), 1700000000123);
    assert_int_equal(hf_uuid_version(id), 7);
    assert_true(hf_uuid_variant_ok(id));
    char bare[HF_UUID_CHARACTERS]; // a sanitizer watches its end
    memcpy(bare, text, sizeof bare);
    assert_true(hf_uuid_parse_bytes(bare, &back) && hf_uuid_equal(id, back));
    bare[35] = 0;
    assert_false(hf_uuid_parse_bytes(bare, &back));
    assert_false(hf_uuid_parse("018bcfe5-687b-7abc-8000-00000000000", &back));
    assert_false(hf_uuid_parse("018bcfe5-687b-7abc-8000-0000000000000", &back));
    // Every character at every place: digits of either case count, nothing else does.
    for (int at = 0; at < HF_UUID_TEXT_BYTES - 1; at++)
        for (int c = 1; c < 256; c++) {
            char changed[HF_UUID_TEXT_BYTES], again[HF_UUID_TEXT_BYTES];
            bool dash = at == 8 || at == 13 || at == 18 || at == 23;
            bool good = dash ? c == '-' : c < 128 && strchr("0123456789abcdefABCDEF", c) != NULL;
            memcpy(changed, text, sizeof changed);
            changed[at] = (char)c;
            assert_int_equal(hf_uuid_parse(changed, &back), good);
            if (!good)
                continue;
            hf_uuid_format(back, again);
            changed[at] = (char)(c >= 'A' && c <= 'F' ? c + 32 : c);
            assert_string_equal(again, changed);
        }
    assert_false(hf_uuid_parse("018bcfe5-687b-7abc-8000-0000000000000", &back));
    assert_false(hf_uuid_parse("018bcfe5x687b-7abc-8000-000000000000", &back));
    assert_false(hf_uuid_parse("018bcfe5-687b-7abc-8000-00000000000g", &back));
}

static void cas128_compares_both_halves(void **state)
{
    (void)state;
    struct hf_word128 w = {1, 2};
    assert_false(hf_cas128(&w, (struct hf_word128){1, 3}, (struct hf_word128){9, 9}));
    assert_false(hf_cas128(&w, (struct hf_word128){0, 2}, (struct hf_word128){9, 9}));
    assert_true(hf_cas128(&w, (struct hf_word128){1, 2}, (struct hf_word128){3, 4}));
    assert_int_equal(w.lo, 3);
    assert_int_equal(w.hi, 4);
}

static void every_status_has_name_and_help(void **state)
{
    (void)state;
    for (int s = 0; s < HF_STATUS_COUNT; s++) {
        assert_string_not_equal(hf_status_name((enum hf_status)s), "unknown");
        assert_true(strlen(hf_status_help((enum hf_status)s)) > 0);
    }
    assert_string_equal(hf_status_name((enum hf_status)HF_STATUS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_known_answers),
        cmocka_unit_test(crc32c_lanes_agree_with_bits),
        cmocka_unit_test(uuid_text_round_trip),
        cmocka_unit_test(cas128_compares_both_halves),
        cmocka_unit_test(every_status_has_name_and_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
