// Frames as a neighbour on the same wire would send them, and what it makes of answers. Written
// apart from engine/ingest/net.c, byte by byte.
#ifndef HOLDFAST_TESTS_UNIT_WIRE_FRAMES_H
#define HOLDFAST_TESTS_UNIT_WIRE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_HEADERS 42
#define WIRE_MAX     1514

static const uint8_t wire_peer_mac[6] = {0x02, 0, 0, 0, 0, 0x99};
static const uint8_t wire_peer_ip[4] = {10, 0, 0, 1};
#define WIRE_PEER_PORT 40000

struct wire_self {
    uint8_t mac[6], ip[4];
    uint16_t port;
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

#endif
