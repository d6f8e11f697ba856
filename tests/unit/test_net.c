// engine/ingest/net.c against a neighbour that was written apart from it.
#include "ingest/net.h"

#include "base/prng.h"
#include "unit/wire_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct net_self self = {{2, 0, 0, 0, 0, 1}, {10, 0, 0, 2}, 7422};
static const struct wire_self wire = {{2, 0, 0, 0, 0, 1}, {10, 0, 0, 2}, 7422};

static void answers_udp_of_every_length(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 1472; n++) {
        uint8_t frame[WIRE_MAX], payload[1472];
        size_t bytes, told;
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)hf_mix64(n * 1472 + i);
        size_t all = wire_udp(frame, &wire, payload, n);
        assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_PAYLOAD);
        assert_int_equal(bytes, n);
        assert_memory_equal(frame + NET_HEADERS_BYTES, payload, n);
        if (n > 3)
            frame[NET_HEADERS_BYTES + 3] ^= 0x5a; // the answer is another one
        net_answer(frame, n, 0);
        assert_true(wire_udp_good(frame, all, &wire, &told));
        assert_int_not_equal(wire_get(frame + 40), 0);
        assert_int_equal(told, n);
    }
}

// RFC 768: a sum that comes out as 0 is sent as all ones; 0 would say that there is none.
static void a_sum_of_zero_is_sent_as_ones(void **state)
{
    (void)state;
    uint8_t frame[WIRE_MAX], payload[2] = {0, 0};
    size_t bytes, told;
    size_t all = wire_udp(frame, &wire, payload, 2);
    uint16_t sum = wire_get(frame + 40);
    wire_put(payload, sum); // now all words add up to ones
    all = wire_udp(frame, &wire, payload, 2);
    assert_int_equal(wire_get(frame + 40), 0xffff);
    assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_PAYLOAD);
    net_answer(frame, 2, 0);
    assert_int_equal(wire_get(frame + 40), 0xffff);
    assert_true(wire_udp_good(frame, all, &wire, &told));
}

static void leaves_sums_to_the_device(void **state)
{
    (void)state;
    uint8_t frame[WIRE_MAX];
    size_t bytes, told;
    size_t all = wire_udp(frame, &wire, "order", 5);
    wire_put(frame + 24, 0x1234); // both wrong, and the device has found them right
    wire_put(frame + 40, 0x1234);
    assert_int_equal(net_receive(&self, frame, all, NET_CHECKED_IPV4 | NET_CHECKED_UDP, &bytes),
                     NET_PAYLOAD);
    net_answer(frame, 5, NET_CHECKED_IPV4 | NET_CHECKED_UDP);
    assert_int_equal(wire_get(frame + 24), 0);
    // What the device then does: sums what is there, the pseudo header's sum included.
    wire_put(frame + 40, (uint16_t)~wire_sum(frame + 34, 13, 0));
    wire_put(frame + 24, (uint16_t)~wire_sum(frame + 14, 20, 0));
    assert_true(wire_udp_good(frame, all, &wire, &told));

    all = wire_udp(frame, &wire, "order", 5); // none was sent, none is wanted
    wire_put(frame + 40, 0);
    assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_PAYLOAD);
    net_answer(frame, 5, 0);
    assert_int_equal(wire_get(frame + 40), 0);
}

static void answers_arp_and_echo(void **state)
{
    (void)state;
    static const uint8_t other[4] = {10, 0, 0, 3};
    uint8_t frame[WIRE_MAX];
    size_t bytes;
    size_t all = wire_arp(frame, wire.ip);
    assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_ARP);
    assert_true(wire_arp_good(frame, bytes, &wire));
    all = wire_arp(frame, other);
    assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_FOREIGN);
    for (size_t n = 1; n < 100; n++) {
        all = wire_echo(frame, &wire, n);
        assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_ECHO);
        assert_true(wire_echo_good(frame, bytes, &wire, n));
    }
    all = wire_echo(frame, &wire, 20);
    frame[50] ^= 1;
    assert_int_equal(net_receive(&self, frame, all, 0, &bytes), NET_BAD_CHECKSUM);
}

static void takes_nothing_that_is_not_its_own(void **state)
{
    (void)state;
    static const struct {
        uint8_t at, value;
        enum net_says says;
        bool sum; // make the header's checksum good again
    } changes[] = {
        {5, 2, NET_FOREIGN, false},        {6, 3, NET_FOREIGN, false},
        {13, 1, NET_FOREIGN, false},       {14, 0x65, NET_FOREIGN, true},
        {14, 0x46, NET_FRAGMENT, true},    {20, 0x20, NET_FRAGMENT, true},
        {21, 1, NET_FRAGMENT, true},       {23, 6, NET_FOREIGN, true},
        {26, 224, NET_FOREIGN, true},      {26, 0, NET_FOREIGN, true},
        {33, 3, NET_FOREIGN, true},        {25, 0, NET_BAD_CHECKSUM, false},
        {17, 13, NET_BAD_CHECKSUM, true},  {16, 5, NET_BAD_CHECKSUM, true},
        {37, 1, NET_FOREIGN, false},       {39, 7, NET_BAD_CHECKSUM, false},
        {39, 14, NET_BAD_CHECKSUM, false}, {42, 0, NET_BAD_CHECKSUM, false},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t frame[WIRE_MAX];
        size_t bytes, all = wire_udp(frame, &wire, "order", 5);
        frame[changes[i].at] = changes[i].value;
        if (changes[i].sum) {
            wire_put(frame + 24, 0);
            wire_put(frame + 24, (uint16_t)~wire_sum(frame + 14, 20, 0));
        }
        if (net_receive(&self, frame, all, 0, &bytes) != changes[i].says)
            fail_msg("change %zu", i);
    }
}

// Any bytes, in memory of their exact size: nothing is read beyond, and an answer is no longer than
// what came.
static void any_bytes_are_safe(void **state)
{
    (void)state;
    struct prng rng = {7};
    for (int i = 0; i < 100000; i++) {
        uint8_t made[WIRE_MAX];
        size_t told, bytes = 0;
        size_t all = i % 3 == 0   ? wire_udp(made, &wire, "some order", 10)
                     : i % 3 == 1 ? wire_echo(made, &wire, 10)
                                  : wire_arp(made, wire.ip);
        for (uint64_t k = prng_below(&rng, 4); k > 0; k--)
            made[prng_below(&rng, all)] = (uint8_t)prng_next(&rng);
        if (prng_chance(&rng, 1, 3))
            all = prng_below(&rng, all + 1);
        uint8_t *frame = malloc(all ? all : 1);
        memcpy(frame, made, all);
        enum net_says says = net_receive(&self, frame, all, (unsigned)prng_below(&rng, 4), &bytes);
        if (says == NET_PAYLOAD) {
            assert_true(bytes + NET_HEADERS_BYTES <= all);
            net_answer(frame, bytes, 0);
            (void)wire_udp_good(frame, bytes + NET_HEADERS_BYTES, &wire, &told);
        } else if (says == NET_ARP || says == NET_ECHO) {
            assert_true(bytes <= all);
        }
        free(frame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_udp_of_every_length),
        cmocka_unit_test(a_sum_of_zero_is_sent_as_ones),
        cmocka_unit_test(leaves_sums_to_the_device),
        cmocka_unit_test(answers_arp_and_echo),
        cmocka_unit_test(takes_nothing_that_is_not_its_own),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
