// engine/ingest/net.c against a neighbour that was written apart from it.
#include "ingest/net.h"

#include "base/prng.h"
#include "unit/wire_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct net_self self = {
    .mac = {2, 0, 0, 0, 0, 1}, .has_ip = true, .ip = {10, 0, 0, 2}, .port = 7422};
static const struct wire_self wire = {
    {2, 0, 0, 0, 0, 1}, {10, 0, 0, 2}, 7422, {0xfd, 0x77, [13] = 3, 4, 2}};

// With both families, and in a VLAN or none.
static struct net_self self_of(uint16_t vlan)
{
    struct net_self s = self;
    s.has_ip6 = true;
    memcpy(s.ip6, wire.ip6, 16);
    s.vlan = vlan;
    return s;
}

static void answers_udp_of_every_length(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 1472; n++) {
        uint8_t frame[WIRE_MAX], payload[1472];
        struct net_part part;
        size_t told;
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)hf_mix64(n * 1472 + i);
        size_t all = wire_udp(frame, &wire, payload, n);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_PAYLOAD);
        assert_int_equal(part.at, NET_HEADERS_BYTES);
        assert_int_equal(part.bytes, n);
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
    struct net_part part;
    size_t told;
    size_t all = wire_udp(frame, &wire, payload, 2);
    uint16_t sum = wire_get(frame + 40);
    wire_put(payload, sum); // now all words add up to ones
    all = wire_udp(frame, &wire, payload, 2);
    assert_int_equal(wire_get(frame + 40), 0xffff);
    assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_PAYLOAD);
    net_answer(frame, 2, 0);
    assert_int_equal(wire_get(frame + 40), 0xffff);
    assert_true(wire_udp_good(frame, all, &wire, &told));
}

static void leaves_sums_to_the_device(void **state)
{
    (void)state;
    uint8_t frame[WIRE_MAX];
    struct net_part part;
    size_t told;
    size_t all = wire_udp(frame, &wire, "order", 5);
    wire_put(frame + 24, 0x1234); // both wrong, and the device has found them right
    wire_put(frame + 40, 0x1234);
    assert_int_equal(net_receive(&self, frame, all, NET_CHECKED_IPV4 | NET_CHECKED_UDP, &part),
                     NET_PAYLOAD);
    net_answer(frame, 5, NET_CHECKED_IPV4 | NET_CHECKED_UDP);
    assert_int_equal(wire_get(frame + 24), 0);
    // What the device then does: sums what is there, the pseudo header's sum included.
    wire_put(frame + 40, (uint16_t)~wire_sum(frame + 34, 13, 0));
    wire_put(frame + 24, (uint16_t)~wire_sum(frame + 14, 20, 0));
    assert_true(wire_udp_good(frame, all, &wire, &told));
}

// None was sent, none is wanted: a device that is asked for one would sum over a field without the
// pseudo header's sum.
static void without_a_sum_none_is_asked_for(void **state)
{
    (void)state;
    for (unsigned offload = 0; offload <= (NET_CHECKED_IPV4 | NET_CHECKED_UDP); offload++) {
        uint8_t frame[WIRE_MAX];
        struct net_part part;
        size_t all = wire_udp(frame, &wire, "order", 5);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_PAYLOAD);
        assert_true(net_answer(frame, 5, offload).summed);
        all = wire_udp(frame, &wire, "order", 5);
        wire_put(frame + 40, 0);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_PAYLOAD);
        assert_false(net_answer(frame, 5, offload).summed);
        assert_int_equal(wire_get(frame + 40), 0);
    }
}

static void answers_arp_and_echo(void **state)
{
    (void)state;
    static const uint8_t other[4] = {10, 0, 0, 3};
    uint8_t frame[WIRE_MAX];
    struct net_part part;
    size_t all = wire_arp(frame, wire.ip);
    assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_ARP);
    assert_true(wire_arp_good(frame, part.bytes, &wire));
    all = wire_arp(frame, other);
    assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_FOREIGN);
    for (size_t n = 1; n < 100; n++) {
        all = wire_echo(frame, &wire, n);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_ECHO);
        assert_true(wire_echo_good(frame, part.bytes, &wire, n));
    }
    all = wire_echo(frame, &wire, 20);
    frame[50] ^= 1;
    assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_BAD_CHECKSUM);
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
        struct net_part part;
        size_t all = wire_udp(frame, &wire, "order", 5);
        frame[changes[i].at] = changes[i].value;
        if (changes[i].sum) {
            wire_put(frame + 24, 0);
            wire_put(frame + 24, (uint16_t)~wire_sum(frame + 14, 20, 0));
        }
        if (net_receive(&self, frame, all, 0, &part) != changes[i].says)
            fail_msg("change %zu", i);
    }
}

// RFC 8200: there is a checksum, always.
static void answers_udp_over_ipv6(void **state)
{
    (void)state;
    const struct net_self both = self_of(0);
    for (size_t n = 0; n <= 1452; n += n < 70 ? 1 : 23) {
        uint8_t frame[WIRE_MAX], payload[1452];
        struct net_part part;
        size_t told;
        for (size_t i = 0; i < n; i++)
            payload[i] = (uint8_t)hf_mix64(n * 1452 + i);
        size_t all = wire_udp6(frame, &wire, payload, n);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_FOREIGN); // has none
        assert_int_equal(net_receive(&both, frame, all + 4, 0, &part), NET_PAYLOAD);
        assert_int_equal(part.at, WIRE6_HEADERS);
        assert_int_equal(part.bytes, n);
        assert_memory_equal(frame + part.at, payload, n);
        if (n > 3)
            frame[part.at + 3] ^= 0x5a;
        struct net_headers h = net_answer(frame, n, 0);
        assert_true(h.six && h.ether == 14 && h.ip == 40);
        assert_true(wire_udp6_good(frame, all, &wire, &told));
        assert_int_equal(told, n);
        wire_udp6(frame, &wire, payload, n);
        wire_put(frame + 60, 0);
        assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_BAD_CHECKSUM);
        assert_int_equal(net_receive(&both, frame, all, NET_CHECKED_UDP, &part), NET_BAD_CHECKSUM);
    }
    uint8_t frame[WIRE_MAX];
    struct net_part part;
    size_t told, all = wire_udp6(frame, &wire, "order", 5);
    wire_put(frame + 60, 0x1234); // wrong, and the device has found it right
    assert_int_equal(net_receive(&both, frame, all, NET_CHECKED_UDP, &part), NET_PAYLOAD);
    net_answer(frame, 5, NET_CHECKED_IPV4 | NET_CHECKED_UDP);
    wire_put(frame + 60, (uint16_t)~wire_sum(frame + 54, 13, 0)); // as the device then does
    assert_true(wire_udp6_good(frame, all, &wire, &told));
}

static void is_a_neighbour_over_ipv6(void **state)
{
    (void)state;
    const struct net_self both = self_of(0);
    const uint8_t *askers[] = {wire_peer_ip6, wire_none_ip6};
    uint8_t frame[WIRE_MAX];
    struct net_part part;
    for (size_t i = 0; i < 2; i++) {
        size_t all = wire_solicit(frame, wire.ip6, askers[i]);
        assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_FOREIGN);
        assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_NEIGHBOUR);
        assert_true(wire_advert_good(frame, part.bytes, &wire, askers[i]));
    }
    // Is it still there? To itself, not to the group.
    size_t all = wire_solicit(frame, wire.ip6, wire_peer_ip6);
    memcpy(frame, wire.mac, 6);
    memcpy(frame + 38, wire.ip6, 16);
    wire_put(frame + 56, 0);
    wire_put(frame + 56, (uint16_t)~wire_sum6(frame + 14, 58, 32));
    assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_NEIGHBOUR);
    assert_true(wire_advert_good(frame, part.bytes, &wire, wire_peer_ip6));
    for (size_t n = 1; n < 100; n++) {
        all = wire_echo6(frame, &wire, n);
        assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_ECHO);
        assert_true(wire_echo6_good(frame, part.bytes, &wire, n));
    }
    all = wire_echo6(frame, &wire, 20);
    frame[70] ^= 1;
    assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_BAD_CHECKSUM);
}

static void takes_nothing_over_ipv6_that_is_not_its_own(void **state)
{
    (void)state;
    static const struct {
        uint8_t at, value;
        enum net_says udp, solicitation;
    } changes[] = {
        {5, 9, NET_FOREIGN, NET_FOREIGN},
        {6, 3, NET_FOREIGN, NET_FOREIGN},
        {13, 0, NET_FOREIGN, NET_FOREIGN},
        {14, 0x4a, NET_FOREIGN, NET_FOREIGN},
        {18, 9, NET_BAD_CHECKSUM, NET_BAD_CHECKSUM},
        {20, 44, NET_FRAGMENT, NET_FRAGMENT},
        {20, 0, NET_FRAGMENT, NET_FRAGMENT},
        {20, 6, NET_FOREIGN, NET_FOREIGN},
        {22, 0xff, NET_FOREIGN, NET_FOREIGN},
        {22, 0, NET_BAD_CHECKSUM, NET_BAD_CHECKSUM},
        {53, 9, NET_FOREIGN, NET_FOREIGN},
    };
    const struct net_self both = self_of(0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t frame[WIRE_MAX];
        struct net_part part;
        size_t all = wire_udp6(frame, &wire, "order", 5);
        frame[changes[i].at] = changes[i].value;
        if (net_receive(&both, frame, all, 0, &part) != changes[i].udp)
            fail_msg("change %zu of an order", i);
        all = wire_solicit(frame, wire.ip6, wire_peer_ip6);
        frame[changes[i].at] = changes[i].value;
        if (net_receive(&both, frame, all, 0, &part) != changes[i].solicitation)
            fail_msg("change %zu of a solicitation", i);
    }
    // Of solicitations: from beyond a router, for another one, with an option of no length, cut.
    for (int what = 0; what < 5; what++) {
        uint8_t frame[WIRE_MAX];
        struct net_part part;
        size_t all = wire_solicit(frame, wire.ip6, wire_peer_ip6);
        frame[21] = what == 0 ? 254 : 255;
        frame[62 + 9] ^= what == 1;
        frame[79] = what == 2 ? 0 : 1;
        frame[55] = what == 3; // a code
        frame[19] = what == 4 ? 28 : 32;
        wire_put(frame + 56, 0);
        wire_put(frame + 56, (uint16_t)~wire_sum6(frame + 14, 58, frame[19]));
        assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_FOREIGN);
    }
}

// A switch that watches who listens hears it: when it asks, by either version of MLD, and unasked.
static void tells_who_asks_that_it_listens(void **state)
{
    (void)state;
    struct net_self both = self_of(0);
    struct wire_self ours = wire;
    uint8_t frame[WIRE_MAX];
    struct net_part part;
    for (int local = 0; local < 2; local++) {
        const uint8_t *n = both.ip6;
        const uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff, n[13], n[14], n[15]};
        const uint8_t *asked[] = {NULL, group};
        for (size_t i = 0; i < 4; i++) {
            size_t all = wire_query(frame, asked[i / 2], i % 2 ? 28 : 24);
            assert_int_equal(net_receive(&self, frame, all, 0, &part), NET_FOREIGN);
            assert_int_equal(net_receive(&both, frame, all, 0, &part), NET_MEMBER);
            assert_int_equal(part.at, 0);
            assert_true(wire_report_good(frame, part.bytes, &ours, i % 2 == 0, true));
        }
        memset(frame, 0xee, sizeof frame);
        size_t all = net_member_report(&both, frame);
        assert_true(all <= NET_ANSWER_BYTES);
        assert_true(wire_report_good(frame, all, &ours, false, false));
        both.ip6[0] = ours.ip6[0] = 0xfe; // and from an address of this link
        both.ip6[1] = ours.ip6[1] = 0x80;
    }
    const struct net_self seven = self_of(7);
    size_t all = net_member_report(&seven, frame);
    assert_true(all <= NET_ANSWER_BYTES);
    all = wire_untag(frame, all, 7);
    assert_true(wire_report_good(frame, all, &wire, false, false));
}

static void tells_nobody_else_that_it_listens(void **state)
{
    (void)state;
    static const struct {
        uint8_t at, value;
        enum net_says says;
    } changes[] = {
        {5, 9, NET_FOREIGN},        // another group's address
        {6, 3, NET_FOREIGN},        // from a group
        {20, 60, NET_FOREIGN},      // not the options that come first
        {21, 2, NET_FOREIGN},       // may have come over a router
        {22, 0x20, NET_FOREIGN},    // not from this link
        {53, 2, NET_FOREIGN},       // to all routers
        {54, 17, NET_FOREIGN},      // followed by something else
        {55, 1, NET_FOREIGN},       // more options than one may want to read
        {58, 0, NET_FOREIGN},       // no alert
        {62, 131, NET_FOREIGN},     // somebody's report
        {63, 1, NET_BAD_CHECKSUM},  //
        {70, 0xff, NET_FOREIGN},    // for another group
        {18, 1, NET_BAD_CHECKSUM},  // a length beyond the frame
        {19, 31, NET_FOREIGN},      // too short
        {19, 35, NET_FOREIGN},      // of neither version
    };
    const struct net_self both = self_of(0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t frame[WIRE_MAX];
        struct net_part part;
        size_t all = wire_query(frame, NULL, 28);
        frame[changes[i].at] = changes[i].value;
        enum net_says says = net_receive(&both, frame, all, 0, &part);
        if (says != changes[i].says)
            fail_msg("change %zu: %d", i, says);
    }
}

// The tag comes back as it was, its priority included; another VLAN's frames are nobody's.
static void a_tag_is_answered_in_kind(void **state)
{
    (void)state;
    for (int what = 0; what < 7; what++) {
        const uint16_t tag = 0xa007;
        const struct net_self none = self_of(0), seven = self_of(7), eight = self_of(8);
        uint8_t frame[WIRE_MAX];
        struct net_part part;
        size_t told;
        size_t all = what == 0   ? wire_udp(frame, &wire, "order", 5)
                     : what == 1 ? wire_udp6(frame, &wire, "order", 5)
                     : what == 2 ? wire_arp(frame, wire.ip)
                     : what == 3 ? wire_solicit(frame, wire.ip6, wire_peer_ip6)
                     : what == 4 ? wire_echo(frame, &wire, 9)
                     : what == 5 ? wire_echo6(frame, &wire, 9)
                                 : wire_query(frame, NULL, 28);
        assert_int_equal(net_receive(&seven, frame, all, 0, &part), NET_FOREIGN);
        all = wire_tag(frame, all, tag);
        assert_int_equal(net_receive(&none, frame, all, 0, &part), NET_FOREIGN);
        assert_int_equal(net_receive(&eight, frame, all, 0, &part), NET_FOREIGN);
        for (size_t cut = 0; cut < 18; cut++)
            assert_int_equal(net_receive(&seven, frame, cut, 0, &part), NET_FOREIGN);
        enum net_says says = net_receive(&seven, frame, all, 0, &part);
        if (what < 2) {
            assert_int_equal(says, NET_PAYLOAD);
            assert_memory_equal(frame + part.at, "order", 5);
            struct net_headers h = net_answer(frame, part.bytes, 0);
            assert_int_equal(h.ether, 18);
            part.bytes = all;
        }
        all = wire_untag(frame, part.bytes, tag);
        assert_true(what == 0   ? wire_udp_good(frame, all, &wire, &told)
                    : what == 1 ? wire_udp6_good(frame, all, &wire, &told)
                    : what == 2 ? says == NET_ARP && wire_arp_good(frame, all, &wire)
                    : what == 3 ? says == NET_NEIGHBOUR &&
                                      wire_advert_good(frame, all, &wire, wire_peer_ip6)
                    : what == 4 ? says == NET_ECHO && wire_echo_good(frame, all, &wire, 9)
                    : what == 5
                        ? says == NET_ECHO && wire_echo6_good(frame, all, &wire, 9)
                        : says == NET_MEMBER && wire_report_good(frame, all, &wire, false, true));
        // VLAN 0 is no VLAN: a priority alone.
        all = wire_tag(frame, wire_udp(frame, &wire, "order", 5), 0x6000);
        assert_int_equal(net_receive(&none, frame, all, 0, &part), NET_PAYLOAD);
        assert_int_equal(net_receive(&seven, frame, all, 0, &part), NET_FOREIGN);
    }
}

// Any bytes, in memory of their exact size and no less than an answer wants: nothing is read
// beyond, and no answer is longer.
static void any_bytes_are_safe(void **state)
{
    (void)state;
    struct prng rng = {7};
    for (int i = 0; i < 100000; i++) {
        const struct net_self both = self_of(i % 2 ? 7 : 0);
        uint8_t made[WIRE_MAX];
        struct net_part part = {0};
        size_t all = i % 6 == 0   ? wire_udp(made, &wire, "some order", 10)
                     : i % 6 == 1 ? wire_udp6(made, &wire, "some order", 10)
                     : i % 6 == 2 ? wire_echo(made, &wire, 10)
                     : i % 6 == 3 ? wire_echo6(made, &wire, 10)
                     : i % 6 == 4 ? wire_arp(made, wire.ip)
                     : i % 12 < 6 ? wire_solicit(made, wire.ip6, wire_peer_ip6)
                                  : wire_query(made, NULL, 28);
        if (both.vlan)
            all = wire_tag(made, all, 7);
        for (uint64_t k = prng_below(&rng, 4); k > 0; k--)
            made[prng_below(&rng, all)] = (uint8_t)prng_next(&rng);
        if (prng_chance(&rng, 1, 3))
            all = prng_below(&rng, all + 1);
        size_t room = all > NET_ANSWER_BYTES ? all : NET_ANSWER_BYTES;
        uint8_t *frame = malloc(room);
        assert_non_null(frame);
        memcpy(frame, made, all);
        enum net_says says = net_receive(&both, frame, all, (unsigned)prng_below(&rng, 4), &part);
        if (says == NET_PAYLOAD) {
            assert_true(part.at + part.bytes <= all);
            net_answer(frame, part.bytes, 0);
        } else if (says == NET_ARP || says == NET_ECHO) {
            assert_true(part.at == 0 && part.bytes <= all);
        } else if (says == NET_NEIGHBOUR || says == NET_MEMBER) {
            assert_true(part.at == 0 && part.bytes <= NET_ANSWER_BYTES);
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
        cmocka_unit_test(without_a_sum_none_is_asked_for),
        cmocka_unit_test(answers_arp_and_echo),
        cmocka_unit_test(takes_nothing_that_is_not_its_own),
        cmocka_unit_test(answers_udp_over_ipv6),
        cmocka_unit_test(is_a_neighbour_over_ipv6),
        cmocka_unit_test(takes_nothing_over_ipv6_that_is_not_its_own),
        cmocka_unit_test(tells_who_asks_that_it_listens),
        cmocka_unit_test(tells_nobody_else_that_it_listens),
        cmocka_unit_test(a_tag_is_answered_in_kind),
        cmocka_unit_test(any_bytes_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
