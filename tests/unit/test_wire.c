// What is looked at before a message is unpacked, the memory that it is unpacked into, and what a
// failed call says.
#include "rpc/arena.h"
#include "rpc/details.h"
#include "rpc/wire.h"

#include "google/rpc/status.pb-c.h"
#include "holdfast/v1/reservation.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bool utf8(const char *text, size_t bytes)
{
    // In a block of its exact size, so that a sanitizer sees a step too far.
    unsigned char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    bool good = wire_utf8(copy, bytes);
    free(copy);
    return good;
}

static void utf8_is_what_unicode_says(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "eight by",
                                       "nine byte",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "twelve bytes\xc3\xa9"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xc2",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "plain ascii \xc3(",
                                      "\xc3\xa9\xc3"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(utf8(bad[i], strlen(bad[i])));
    // A NUL at every place of a text that spans words.
    char text[21] = "twenty bytes of text";
    for (size_t at = 0; at < 20; at++) {
        char changed[20];
        memcpy(changed, text, sizeof changed);
        changed[at] = 0;
        assert_false(utf8(changed, sizeof changed));
    }
    assert_true(utf8(text, 20));
}

struct packed {
    unsigned char bytes[512];
    size_t count;
};

// A hold of three lines, the strings of the second one as given.
static struct packed hold(const char *sku, const char *location)
{
    Holdfast__V1__Line line[3], *lines[3];
    Holdfast__V1__ReserveRequest r = HOLDFAST__V1__RESERVE_REQUEST__INIT;
    struct packed p;
    for (int i = 0; i < 3; i++) {
        holdfast__v1__line__init(&line[i]);
        line[i].sku = (char *)(uintptr_t)(i == 1 ? sku : "sku");
        line[i].location = (char *)(uintptr_t)(i == 1 ? location : "main");
        line[i].quantity = 300;
        lines[i] = &line[i];
    }
    r.reservation_id = (char *)(uintptr_t) "018bcfe5-687b-7abc-8000-000000000000";
    r.lines = lines;
    r.n_lines = 3;
    p.count = holdfast__v1__reserve_request__pack(&r, p.bytes);
    return p;
}

static bool look(const unsigned char *bytes, size_t count, char field[96])
{
    const char *why = NULL;
    unsigned char *copy = malloc(count ? count : 1);
    memcpy(copy, bytes, count);
    bool good =
        wire_check(&holdfast__v1__reserve_request__descriptor, copy, count, field, 96, &why);
    assert_true(good || why);
    free(copy);
    return good;
}

static void the_field_that_is_wrong_is_named(void **state)
{
    char field[96];
    (void)state;
    struct packed p = hold("sku", "main");
    assert_true(look(p.bytes, p.count, field));
    p = hold("sk\xff", "main");
    assert_false(look(p.bytes, p.count, field));
    assert_string_equal(field, "lines[1].sku");
    p = hold("sku", "\xed\xa0\x80");
    assert_false(look(p.bytes, p.count, field));
    assert_string_equal(field, "lines[1].location");
    // A NUL inside a string would cut it short: "sku" with its k gone.
    p = hold("sku", "main");
    unsigned char *first = memmem(p.bytes, p.count, "sku", 3);
    unsigned char *second = memmem(first + 3, p.count - (size_t)(first + 3 - p.bytes), "sku", 3);
    second[1] = 0;
    assert_false(look(p.bytes, p.count, field));
    assert_string_equal(field, "lines[1].sku");
}

static void no_prefix_of_a_message_is_read_beyond(void **state)
{
    char field[96];
    (void)state;
    struct packed p = hold("sku", "main");
    for (size_t n = 0; n < p.count; n++)
        look(p.bytes, n, field); // either is fine: a sanitizer watches
    assert_true(p.count > 80);
    assert_false(look(p.bytes, p.count - 1, field));
    for (size_t at = 0; at < p.count; at++)
        for (int bit = 0; bit < 8; bit++) {
            struct packed q = p;
            q.bytes[at] ^= (unsigned char)(1 << bit);
            if (look(q.bytes, q.count, field)) {
                // What passes the look can be unpacked without harm, or is refused there.
                Holdfast__V1__ReserveRequest *r =
                    holdfast__v1__reserve_request__unpack(NULL, q.count, q.bytes);
                if (r)
                    holdfast__v1__reserve_request__free_unpacked(r, NULL);
            }
        }
}

// Only the sanitizer for undefined behaviour sees what this is about.
static void nothing_is_a_message(void **state)
{
    char field[96];
    const char *why;
    (void)state;
    assert_true(wire_check(&holdfast__v1__reserve_request__descriptor, NULL, 0, field, sizeof field,
                           &why));
    assert_string_equal(field, "");
}

static void what_is_not_protobuf_is_refused(void **state)
{
    char field[96];
    (void)state;
    static const unsigned char group[] = {0x0b, 0x0c}, zero[] = {0x00, 0x01},
                               endless[] = {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
                               longer[] = {0x0a, 0x05, 'a'},
                               large[] = {0xfa, 0xff, 0xff, 0xff, 0xff, 0x01, 0x00};
    assert_false(look(group, sizeof group, field));
    assert_false(look(zero, sizeof zero, field));
    assert_false(look(endless, sizeof endless, field));
    assert_false(look(longer, sizeof longer, field));
    assert_false(look(large, sizeof large, field));
    // An unknown field of every other type is passed by.
    static const unsigned char unknown[] = {0xa0, 0x06, 0x07, 0xa1, 0x06, 1,    2,    3, 4, 5, 6, 7,
                                            8,    0xa2, 0x06, 1,    0xff, 0xa5, 0x06, 1, 2, 3, 4};
    assert_true(look(unknown, sizeof unknown, field));
}

static void an_empty_message_may_have_no_address(void **state)
{
    char field[96];
    const char *why;
    (void)state;
    // A sanitizer watches.
    assert_true(wire_check(&holdfast__v1__reserve_request__descriptor, NULL, 0, field, 96, &why));
}

static void an_arena_has_a_bound(void **state)
{
    struct arena *a = malloc(sizeof *a);
    (void)state;
    arena_init(a, 100000);
    for (int round = 0; round < 3; round++) {
        size_t taken = 0;
        unsigned char *p;
        while ((p = arena_take(a, 700)) != NULL) {
            assert_int_equal((uintptr_t)p % 16, 0);
            memset(p, 0xa5, 700);
            taken += 700;
            assert_true(taken < 100000 + ARENA_FIRST_BYTES);
        }
        assert_true(taken > 90000);
        assert_null(arena_take(a, SIZE_MAX));
        assert_null(arena_take(a, SIZE_MAX - 8));
        arena_reset(a);
    }
    assert_string_equal(arena_text(a, "text and more", 4), "text");
    arena_reset(a);
    free(a);
}

static void an_error_is_told_with_its_details(void **state)
{
    unsigned char packed[DETAILS_BYTES_MAX];
    struct rpc_error e = {.code = RPC_RESOURCE_EXHAUSTED,
                          .reason = "BUSY",
                          .message = "no room",
                          .field = "lines[3].sku",
                          .retry_ms = 1250};
    (void)state;
    size_t bytes = details_pack(&e, packed);
    Google__Rpc__Status *s = google__rpc__status__unpack(NULL, bytes, packed);
    assert_non_null(s);
    assert_int_equal(s->code, 8);
    assert_string_equal(s->message, "lines[3].sku: no room");
    assert_int_equal(s->n_details, 3);
    assert_string_equal(s->details[1]->type_url, "type.googleapis.com/google.rpc.RetryInfo");
    Google__Rpc__RetryInfo *retry =
        google__rpc__retry_info__unpack(NULL, s->details[1]->value.len, s->details[1]->value.data);
    assert_int_equal(retry->retry_delay->seconds, 1);
    assert_int_equal(retry->retry_delay->nanos, 250000000);
    google__rpc__retry_info__free_unpacked(retry, NULL);
    google__rpc__status__free_unpacked(s, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_what_unicode_says),
        cmocka_unit_test(the_field_that_is_wrong_is_named),
        cmocka_unit_test(no_prefix_of_a_message_is_read_beyond),
        cmocka_unit_test(nothing_is_a_message),
        cmocka_unit_test(what_is_not_protobuf_is_refused),
        cmocka_unit_test(an_empty_message_may_have_no_address),
        cmocka_unit_test(an_arena_has_a_bound),
        cmocka_unit_test(an_error_is_told_with_its_details),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
