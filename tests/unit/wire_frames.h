// Frames as a neighbour on the same wire would send them, over IPv4 and IPv6, with a VLAN tag and
// without, and what it makes of answers. Written apart from engine/ingest/net.c, byte by byte.
#ifndef HOLDFAST_TESTS_UNIT_WIRE_FRAMES_H
#define HOLDFAST_TESTS_UNIT_WIRE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_HEADERS 42
#define WIRE_MAX     1518

static const uint8_t wire_peer_mac[6] = {0x02, 0, 0, 0, 0, 0x99};
static const uint8_t wire_peer_ip[4] = {10, 0, 0, 1};
#define WIRE_PEER_PORT 40000

struct wire_self {
    uint8_t mac[6], ip[4];
    uint16_t port;
    uint8_t ip6[16];
};

// RFC 1071, in big-endian words.
static inline uint16_t wire_sum(const uint8_t *at, size_t bytes, uint32_t sum)
{
    for (size_t i = 0; i < bytes; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline void wire_put(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline uint16_t wire_get(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint16_t wire_udp_sum(const uint8_t *ip, size_t udp_bytes)
{
    uint32_t sum = wire_sum(ip + 12, 8, 17 + (uint32_t)udp_bytes);
    return wire_sum(ip + 20, udp_bytes, sum);
}

static inline size_t wire_ipv4(uint8_t *at, const struct wire_self *to, uint8_t protocol,
                               size_t bytes)
{
    uint8_t *ip = at + 14;
    memcpy(at, to->mac, 6);
    memcpy(at + 6, wire_peer_mac, 6);
    wire_put(at + 12, 0x0800);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    wire_put(ip + 2, (uint16_t)(20 + bytes));
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, wire_peer_ip, 4);
    memcpy(ip + 16, to->ip, 4);
    wire_put(ip + 10, (uint16_t)~wire_sum(ip, 20, 0));
    return 14 + 20 + bytes;
}

// Returns the frame's bytes.
static inline size_t wire_udp(uint8_t *at, const struct wire_self *to, const void *payload,
                              size_t bytes)
{
    uint8_t *udp = at + 34;
    size_t all = wire_ipv4(at, to, 17, 8 + bytes);
    wire_put(udp, WIRE_PEER_PORT);
    wire_put(udp + 2, to->port);
    wire_put(udp + 4, (uint16_t)(8 + bytes));
    wire_put(udp + 6, 0);
    memcpy(udp + 8, payload, bytes);
    uint16_t sum = (uint16_t)~wire_udp_sum(at + 14, 8 + bytes);
    wire_put(udp + 6, sum ? sum : 0xffff);
    return all;
}

static inline size_t wire_echo(uint8_t *at, const struct wire_self *to, size_t data_bytes)
{
    uint8_t *icmp = at + 34;
    size_t all = wire_ipv4(at, to, 1, 8 + data_bytes);
    memset(icmp, 0, 8);
    icmp[0] = 8;
    wire_put(icmp + 4, 0x4242);
    for (size_t i = 0; i < data_bytes; i++)
        icmp[8 + i] = (uint8_t)i;
    wire_put(icmp + 2, (uint16_t)~wire_sum(icmp, 8 + data_bytes, 0));
    return all;
}

static inline size_t wire_arp(uint8_t *at, const uint8_t ip[4])
{
    static const uint8_t head[10] = {0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1};
    memset(at, 0xff, 6);
    memcpy(at + 6, wire_peer_mac, 6);
    memcpy(at + 12, head, sizeof head);
    memcpy(at + 22, wire_peer_mac, 6);
    memcpy(at + 28, wire_peer_ip, 4);
    memset(at + 32, 0, 6);
    memcpy(at + 38, ip, 4);
    memset(at + 42, 0, 18); // padded to Ethernet's least
    return 60;
}

// Addresses, lengths and checksums of an answer; the payload is at WIRE_HEADERS.
static inline bool wire_udp_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                 size_t *bytes)
{
    const uint8_t *ip = at + 14, *udp = at + 34;
    if (length < WIRE_HEADERS || memcmp(at, wire_peer_mac, 6) || memcmp(at + 6, from->mac, 6) ||
        wire_get(at + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17 || ip[8] == 0)
        return false;
    if (memcmp(ip + 12, from->ip, 4) || memcmp(ip + 16, wire_peer_ip, 4) ||
        wire_get(ip + 2) != length - 14 || wire_sum(ip, 20, 0) != 0xffff)
        return false;
    *bytes = length - WIRE_HEADERS;
    return wire_get(udp) == from->port && wire_get(udp + 2) == WIRE_PEER_PORT &&
           wire_get(udp + 4) == length - 34 &&
           (wire_get(udp + 6) == 0 || wire_udp_sum(ip, length - 34) == 0xffff);
}

static inline bool wire_echo_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                  size_t data_bytes)
{
    const uint8_t *ip = at + 14, *icmp = at + 34;
    return length == 42 + data_bytes && !memcmp(at, wire_peer_mac, 6) &&
           !memcmp(ip + 12, from->ip, 4) && wire_sum(ip, 20, 0) == 0xffff && icmp[0] == 0 &&
           wire_get(icmp + 4) == 0x4242 && icmp[8 + data_bytes - 1] == (uint8_t)(data_bytes - 1) &&
           wire_sum(icmp, 8 + data_bytes, 0) == 0xffff;
}

static inline bool wire_arp_good(const uint8_t *at, size_t length, const struct wire_self *from)
{
    return length >= 42 && !memcmp(at, wire_peer_mac, 6) && !memcmp(at + 6, from->mac, 6) &&
           wire_get(at + 12) == 0x0806 && wire_get(at + 20) == 2 &&
           !memcmp(at + 22, from->mac, 6) && !memcmp(at + 28, from->ip, 4) &&
           !memcmp(at + 32, wire_peer_mac, 6) && !memcmp(at + 38, wire_peer_ip, 4);
}

// ------------------------------------------------------------------------------- VLAN

// A tag behind the addresses of any frame. Returns the frame's bytes.
static inline size_t wire_tag(uint8_t *at, size_t length, uint16_t tag)
{
    memmove(at + 16, at + 12, length - 12);
    wire_put(at + 12, 0x8100);
    wire_put(at + 14, tag);
    return length + 4;
}

// Takes it out again. 0: there is none, or another one.
static inline size_t wire_untag(uint8_t *at, size_t length, uint16_t tag)
{
    if (length < 18 || wire_get(at + 12) != 0x8100 || wire_get(at + 14) != tag)
        return 0;
    memmove(at + 12, at + 16, length - 16);
    return length - 4;
}

// ------------------------------------------------------------------------------- IPv6

#define WIRE6_HEADERS 62

static const uint8_t wire_peer_ip6[16] = {0xfd, 0x77, [15] = 1};
static const uint8_t wire_none_ip6[16] = {0};

static inline uint16_t wire_sum6(const uint8_t *ip, uint8_t protocol, size_t bytes)
{
    uint32_t sum = wire_sum(ip + 8, 32, protocol + (uint32_t)bytes);
    return wire_sum(ip + 40, bytes, sum);
}

static inline size_t wire_ipv6(uint8_t *at, const uint8_t mac[6], const uint8_t from[16],
                               const uint8_t to[16], uint8_t protocol, size_t bytes)
{
    uint8_t *ip = at + 14;
    memcpy(at, mac, 6);
    memcpy(at + 6, wire_peer_mac, 6);
    wire_put(at + 12, 0x86dd);
    memset(ip, 0, 8);
    wire_put(ip, 0x6ab1); // a class and a flow of the sender's
    wire_put(ip + 2, 0x2345);
    wire_put(ip + 4, (uint16_t)bytes);
    ip[6] = protocol;
    ip[7] = protocol == 58 ? 255 : 64;
    memcpy(ip + 8, from, 16);
    memcpy(ip + 24, to, 16);
    return 54 + bytes;
}

static inline size_t wire_udp6(uint8_t *at, const struct wire_self *to, const void *payload,
                               size_t bytes)
{
    uint8_t *udp = at + 54;
    size_t all = wire_ipv6(at, to->mac, wire_peer_ip6, to->ip6, 17, 8 + bytes);
    wire_put(udp, WIRE_PEER_PORT);
    wire_put(udp + 2, to->port);
    wire_put(udp + 4, (uint16_t)(8 + bytes));
    wire_put(udp + 6, 0);
    memcpy(udp + 8, payload, bytes);
    uint16_t sum = (uint16_t)~wire_sum6(at + 14, 17, 8 + bytes);
    wire_put(udp + 6, sum ? sum : 0xffff);
    return all;
}

static inline size_t wire_echo6(uint8_t *at, const struct wire_self *to, size_t data_bytes)
{
    uint8_t *icmp = at + 54;
    size_t all = wire_ipv6(at, to->mac, wire_peer_ip6, to->ip6, 58, 8 + data_bytes);
    memset(icmp, 0, 8);
    icmp[0] = 128;
    wire_put(icmp + 4, 0x4242);
    for (size_t i = 0; i < data_bytes; i++)
        icmp[8 + i] = (uint8_t)i;
    wire_put(icmp + 2, (uint16_t)~wire_sum6(at + 14, 58, 8 + data_bytes));
    return all;
}

// Who has ip6? From wire_peer_ip6, with the asker's link address, to the group; or, with
// wire_none_ip6, from somebody who is about to take it.
static inline size_t wire_solicit(uint8_t *at, const uint8_t ip6[16], const uint8_t from[16])
{
    uint8_t *icmp = at + 54, mac[6] = {0x33, 0x33, 0xff, ip6[13], ip6[14], ip6[15]};
    uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff, ip6[13], ip6[14], ip6[15]};
    size_t bytes = memcmp(from, wire_none_ip6, 16) == 0 ? 24 : 32;
    size_t all = wire_ipv6(at, mac, from, group, 58, bytes);
    memset(icmp, 0, 8);
    icmp[0] = 135;
    memcpy(icmp + 8, ip6, 16);
    icmp[24] = 1;
    icmp[25] = 1;
    memcpy(icmp + 26, wire_peer_mac, 6);
    wire_put(icmp + 2, (uint16_t)~wire_sum6(at + 14, 58, bytes));
    return all;
}

// A question of who listens: to `group`, or to anything (NULL). `bytes` 24: MLDv1; 28: MLDv2.
static inline size_t wire_query(uint8_t *at, const uint8_t *group, size_t bytes)
{
    static const uint8_t all_ip6[16] = {0xff, 2, [15] = 1}, router[16] = {0xfe, 0x80, [15] = 9};
    const uint8_t alert[8] = {58, 0, 1, 0, 5, 2, 0, 0}, *to = group ? group : all_ip6;
    const uint8_t mac[6] = {0x33, 0x33, to[12], to[13], to[14], to[15]};
    uint8_t *icmp = at + 54;
    size_t all = wire_ipv6(at, mac, router, to, 58, bytes);
    memset(icmp, 0, bytes);
    icmp[0] = 130;
    wire_put(icmp + 4, 1000);
    if (group)
        memcpy(icmp + 8, group, 16);
    wire_put(icmp + 2, (uint16_t)~wire_sum6(at + 14, 58, bytes));
    memmove(icmp + 8, icmp, bytes); // behind the header of options
    memcpy(icmp, alert, 8);
    at[20] = 0;
    at[21] = 1;
    wire_put(at + 18, (uint16_t)(8 + bytes));
    return all + 8;
}

// The answer to it, or a report that nobody asked for.
static inline bool wire_report_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                    bool first, bool asked)
{
    const uint8_t *ip = at + 14, *icmp = at + 62, *n = from->ip6;
    const uint8_t group[16] = {0xff, 2, [11] = 1, [12] = 0xff, n[13], n[14], n[15]};
    const uint8_t routers[16] = {0xff, 2, [15] = 0x16}, *to = first ? group : routers;
    const uint8_t mac[6] = {0x33, 0x33, to[12], to[13], to[14], to[15]};
    const uint8_t alert[8] = {58, 0, 5, 2, 0, 0, 1, 0};
    size_t bytes = first ? 24 : 28;
    uint8_t flat[54 + 28]; // without the header of options
    memcpy(flat, at, 54);
    memcpy(flat + 54, icmp, bytes);
    const uint8_t *source = n[0] == 0xfe && n[1] >> 6 == 2 ? n : wire_none_ip6;
    return length == 62 + bytes && !memcmp(at, mac, 6) && !memcmp(at + 6, from->mac, 6) &&
           wire_get(at + 12) == 0x86dd && ip[0] == 0x60 && wire_get(ip + 4) == 8 + bytes &&
           ip[6] == 0 && ip[7] == 1 && !memcmp(ip + 8, source, 16) && !memcmp(ip + 24, to, 16) &&
           !memcmp(at + 54, alert, 8) && icmp[0] == (first ? 131 : 143) && icmp[1] == 0 &&
           (first ? wire_get(icmp + 4) == 0 && wire_get(icmp + 6) == 0
                  : wire_get(icmp + 6) == 1 && icmp[8] == (asked ? 2 : 4) && !icmp[9] &&
                        wire_get(icmp + 10) == 0) &&
           !memcmp(icmp + bytes - 16, group, 16) && wire_sum6(flat + 14, 58, bytes) == 0xffff;
}

static inline bool wire_ipv6_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                  uint8_t protocol)
{
    const uint8_t *ip = at + 14;
    return length >= 54 && !memcmp(at + 6, from->mac, 6) && wire_get(at + 12) == 0x86dd &&
           ip[0] == 0x6a && (ip[1] & 0xf0) == 0xb0 && wire_get(ip + 4) == length - 54 &&
           ip[6] == protocol && ip[7] != 0 && !memcmp(ip + 8, from->ip6, 16) &&
           wire_sum6(ip, protocol, length - 54) == 0xffff;
}

static inline bool wire_udp6_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                  size_t *bytes)
{
    const uint8_t *udp = at + 54;
    *bytes = length - WIRE6_HEADERS;
    return length >= WIRE6_HEADERS && wire_ipv6_good(at, length, from, 17) &&
           !memcmp(at, wire_peer_mac, 6) && !memcmp(at + 38, wire_peer_ip6, 16) &&
           wire_get(udp) == from->port && wire_get(udp + 2) == WIRE_PEER_PORT &&
           wire_get(udp + 4) == length - 54 && wire_get(udp + 6) != 0;
}

static inline bool wire_echo6_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                   size_t data_bytes)
{
    const uint8_t *icmp = at + 54;
    return length == 62 + data_bytes && wire_ipv6_good(at, length, from, 58) &&
           !memcmp(at, wire_peer_mac, 6) && !memcmp(at + 38, wire_peer_ip6, 16) && icmp[0] == 129 &&
           wire_get(icmp + 4) == 0x4242 && icmp[8 + data_bytes - 1] == (uint8_t)(data_bytes - 1);
}

// The answer to wire_solicit.
static inline bool wire_advert_good(const uint8_t *at, size_t length, const struct wire_self *from,
                                    const uint8_t asker[16])
{
    static const uint8_t all_ip6[16] = {0xff, 2, [15] = 1}, all_mac[6] = {0x33, 0x33, [5] = 1};
    const uint8_t *ip = at + 14, *icmp = at + 54;
    bool probe = memcmp(asker, wire_none_ip6, 16) == 0;
    return length == 86 && wire_ipv6_good(at, length, from, 58) && ip[7] == 255 &&
           !memcmp(at, probe ? all_mac : wire_peer_mac, 6) &&
           !memcmp(ip + 24, probe ? all_ip6 : asker, 16) && icmp[0] == 136 && icmp[1] == 0 &&
           icmp[4] == (probe ? 0x20 : 0x60) && !icmp[5] && !icmp[6] && !icmp[7] &&
           !memcmp(icmp + 8, from->ip6, 16) && icmp[24] == 2 && icmp[25] == 1 &&
           !memcmp(icmp + 26, from->mac, 6);
}

#endif
