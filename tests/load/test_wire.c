// Ethernet, ARP, IPv4 and UDP of the load generator's own: both ends of a wire in memory.
#include "base/prng.h"
#include "load/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const struct wire_ends us = {.mac = {2, 0, 0, 0, 0, 1},
                                    .ip = {10, 0, 0, 1},
                                    .port = 40000,
                                    .door_mac = {2, 0, 0, 0, 0, 2},
                                    .door_ip = {10, 0, 0, 2},
                                    .door_port = 7422,
                                    .door_known = true};

// The other side of the same wire.
static struct wire_ends them(void)
{
    struct wire_ends e = {.port = us.door_port, .door_port = us.port};
    memcpy(e.mac, us.door_mac, 6);
    memcpy(e.ip, us.door_ip, 4);
    memcpy(e.door_ip, us.ip, 4);
    return e;
}

// A header that textbooks sum up: 115 bytes of UDP from 192.168.0.1 to 192.168.0.199.
static void headers_have_known_sums(void **state)
{
    struct wire_ends e = us;
    uint8_t at[WIRE_HEADERS_BYTES + 87] = {0};
    (void)state;
    memcpy(e.ip, (const uint8_t[]){192, 168, 0, 1}, 4);
    memcpy(e.door_ip, (const uint8_t[]){192, 168, 0, 199}, 4);
    wire_wrap(&e, at, 87);
    const uint8_t *ip = at + 14;
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
    // 4500 0073 0000 4000 4011 ---- c0a8 0001 c0a8 00c7
    assert_int_equal(ip[10] << 8 | ip[11], 0xb861);
    assert_int_equal(ip[3], 115);
    assert_int_equal(at[12] << 8 | at[13], 0x0800);
}

static void a_payload_arrives(void **state)
{
    uint8_t at[WIRE_HEADERS_BYTES + 1501];
    size_t bytes;
    (void)state;
    for (size_t n = 0; n <= 1472; n += n < 64 ? 1 : 47) {
        struct wire_ends e = them();
        for (size_t i = 0; i < sizeof at; i++)
            at[i] = (uint8_t)(i * 7 + n);
        wire_wrap(&us, at, n);
        assert_int_equal(wire_read(&e, at, WIRE_HEADERS_BYTES + n, &bytes), WIRE_PAYLOAD);
        assert_int_equal(bytes, n);
        // Padding behind it is none of it, a frame that is cut is none at all.
        assert_int_equal(wire_read(&e, at, WIRE_HEADERS_BYTES + n + 18, &bytes), WIRE_PAYLOAD);
        assert_int_equal(bytes, n);
        assert_int_equal(wire_read(&e, at, WIRE_HEADERS_BYTES + n - 1, &bytes), WIRE_OTHER);
    }
}

static void every_damaged_bit_is_seen(void **state)
{
    uint8_t at[WIRE_HEADERS_BYTES + 64] = {0};
    size_t bytes;
    (void)state;
    wire_wrap(&us, at, 64);
    // Of the Ethernet header only the type is looked at: the card has looked at the rest.
    for (size_t bit = 12 * 8; bit < sizeof at * 8; bit++) {
        struct wire_ends e = them();
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wire_read(&e, at, sizeof at, &bytes), WIRE_OTHER);
        at[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void strangers_are_not_heard(void **state)
{
    uint8_t at[WIRE_HEADERS_BYTES + 8] = {0};
    size_t bytes;
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct wire_ends e = them();
        wire_wrap(&us, at, 8);
        e.ip[3] ^= what == 0 ? 8 : 0;
        e.door_ip[3] ^= what == 1 ? 8 : 0;
        e.port ^= what == 2 ? 8 : 0;
        e.door_port ^= what == 3 ? 8 : 0;
        assert_int_equal(wire_read(&e, at, sizeof at, &bytes), WIRE_OTHER);
    }
}

static void neighbours_find_each_other(void **state)
{
    struct wire_ends here = us, there = them();
    uint8_t at[WIRE_ARP_BYTES];
    size_t bytes;
    (void)state;
    memset(here.door_mac, 0, sizeof here.door_mac);
    here.door_known = false;
    wire_ask(&here, at);
    assert_int_equal(at[0], 0xff);
    assert_int_equal(wire_read(&there, at, sizeof at, &bytes), WIRE_ANSWER);
    assert_int_equal(bytes, WIRE_ARP_BYTES);
    assert_memory_equal(at, us.mac, 6);
    assert_int_equal(wire_read(&here, at, bytes, &bytes), WIRE_NEIGHBOUR);
    assert_true(here.door_known);
    assert_memory_equal(here.door_mac, us.door_mac, 6);
    // Asked for somebody else, or told by somebody else.
    wire_ask(&here, at);
    there.ip[0]++;
    assert_int_equal(wire_read(&there, at, sizeof at, &bytes), WIRE_OTHER);
    there.ip[0]--;
    assert_int_equal(wire_read(&there, at, sizeof at, &bytes), WIRE_ANSWER);
    here.door_ip[3]++;
    here.door_known = false;
    assert_int_equal(wire_read(&here, at, sizeof at, &bytes), WIRE_OTHER);
    assert_false(here.door_known);
}

// Every read stays within what is there: the sanitizer looks at exact allocations.
static void any_bytes_are_taken(void **state)
{
    struct prng r = {1};
    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct wire_ends e = them();
        size_t length = prng_below(&r, 120), bytes;
        uint8_t *at = malloc(length + (length == 0)), whole[WIRE_HEADERS_BYTES + 120] = {0};
        assert_non_null(at);
        wire_wrap(&us, whole, prng_below(&r, 100));
        if (i & 1)
            wire_ask(&us, whole);
        memcpy(at, whole, length);
        for (uint64_t n = prng_below(&r, 6); n > 0 && length; n--)
            at[prng_below(&r, length)] = (uint8_t)prng_below(&r, 256);
        if (wire_read(&e, at, length, &bytes) == WIRE_PAYLOAD)
            assert_true(WIRE_HEADERS_BYTES + bytes <= length);
        free(at);
    }
}

static void addresses_are_read(void **state)
{
    uint8_t ip[4];
    uint16_t port;
    (void)state;
    assert_true(wire_address_read("10.0.0.7:65535", ip, &port));
    assert_int_equal(ip[3], 7);
    assert_int_equal(port, 65535);
    static const char *const bad[] = {
        "10.0.0.7", "10.0.0.7:", "10.0.0.7:0",  "10.0.0.7:65536", "10.0.0.7:1x",
        "10.0.0:1", ":1",        "localhost:1", "10.0.0.7:-1",    "[::1]:40000",
        ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (wire_address_read(bad[i], ip, &port))
            fail_msg("%s was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_have_known_sums),    cmocka_unit_test(a_payload_arrives),
        cmocka_unit_test(every_damaged_bit_is_seen),  cmocka_unit_test(strangers_are_not_heard),
        cmocka_unit_test(neighbours_find_each_other), cmocka_unit_test(any_bytes_are_taken),
        cmocka_unit_test(addresses_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
