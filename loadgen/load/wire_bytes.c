#include "load/wire.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define ETHER 14
#define IPV4  20

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static uint32_t sum(uint32_t before, const uint8_t *at, size_t bytes)
{
    for (; bytes > 1; at += 2, bytes -= 2)
        before += get16(at);
    return before + (bytes ? (uint32_t)at[0] << 8 : 0);
}

static uint32_t folded(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return ~s & 0xffff;
}

// Of the UDP header and its payload, with the pseudo header. `ip` is the IPv4 header.
static uint32_t udp_sum(const uint8_t *ip, size_t udp_bytes)
{
    uint32_t s = sum(17 + (uint32_t)udp_bytes, ip + 12, 8);
    return folded(sum(s, ip + IPV4, udp_bytes));
}

bool wire_address_read(const char *text, uint8_t ip[4], uint16_t *port)
{
    char host[INET_ADDRSTRLEN], *end;
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long n = strtoul(colon + 1, &end, 10);
    *port = (uint16_t)n;
    return colon[1] >= '0' && colon[1] <= '9' && *end == '\0' && n >= 1 && n <= 65535 &&
           inet_pton(AF_INET, host, ip) == 1;
}

// ------------------------------------------------------------------------------- neighbours

static const uint8_t arp_head[8] = {0, 1, 8, 0, 6, 4, 0, 1}; // Ethernet, IPv4, request

void wire_ask(const struct wire_ends *e, uint8_t *at)
{
    memset(at, 0, WIRE_ARP_BYTES);
    memset(at, 0xff, 6);
    memcpy(at + 6, e->mac, 6);
    put16(at + 12, 0x0806);
    memcpy(at + ETHER, arp_head, sizeof arp_head);
    memcpy(at + ETHER + 8, e->mac, 6);
    memcpy(at + ETHER + 14, e->ip, 4);
    memcpy(at + ETHER + 24, e->door_ip, 4);
}

static enum wire_says arp_read(struct wire_ends *e, uint8_t *at, size_t length, size_t *bytes)
{
    uint8_t *arp = at + ETHER;
    if (length < ETHER + 28 || memcmp(arp, arp_head, 6) != 0 || memcmp(arp + 24, e->ip, 4) != 0)
        return WIRE_OTHER;
    if (get16(arp + 6) == 2 && memcmp(arp + 14, e->door_ip, 4) == 0) {
        memcpy(e->door_mac, arp + 8, 6);
        e->door_known = true;
        return WIRE_NEIGHBOUR;
    }
    if (get16(arp + 6) != 1)
        return WIRE_OTHER;
    put16(arp + 6, 2);
    memcpy(arp + 18, arp + 8, 10); // who asked is who is told
    memcpy(arp + 8, e->mac, 6);
    memcpy(arp + 14, e->ip, 4);
    memcpy(at, arp + 18, 6);
    memcpy(at + 6, e->mac, 6);
    *bytes = length;
    return WIRE_ANSWER;
}

// ------------------------------------------------------------------------------- payloads

void wire_wrap(const struct wire_ends *e, uint8_t *at, size_t bytes)
{
    uint8_t *ip = at + ETHER, *udp = ip + IPV4;
    memcpy(at, e->door_mac, 6);
    memcpy(at + 6, e->mac, 6);
    put16(at + 12, 0x0800);
    memset(ip, 0, IPV4);
    ip[0] = 0x45;
    put16(ip + 2, (uint32_t)(IPV4 + 8 + bytes));
    put16(ip + 6, 0x4000); // never in fragments
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, e->ip, 4);
    memcpy(ip + 16, e->door_ip, 4);
    put16(ip + 10, folded(sum(0, ip, IPV4)));
    put16(udp, e->port);
    put16(udp + 2, e->door_port);
    put16(udp + 4, (uint32_t)(8 + bytes));
    put16(udp + 6, 0);
    uint32_t check = udp_sum(ip, 8 + bytes);
    put16(udp + 6, check ? check : 0xffff);
}

enum wire_says wire_read(struct wire_ends *e, uint8_t *at, size_t length, size_t *bytes)
{
    const uint8_t *ip = at + ETHER, *udp = ip + IPV4;
    *bytes = 0;
    if (length >= ETHER + 28 && get16(at + 12) == 0x0806)
        return arp_read(e, at, length, bytes);
    if (length < WIRE_HEADERS_BYTES || get16(at + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17 ||
        (get16(ip + 6) & 0x3fff) != 0 || folded(sum(0, ip, IPV4)) != 0)
        return WIRE_OTHER;
    size_t ip_bytes = get16(ip + 2), udp_bytes = get16(udp + 4);
    if (ip_bytes > length - ETHER || udp_bytes < 8 || ip_bytes < IPV4 + udp_bytes ||
        memcmp(ip + 12, e->door_ip, 4) != 0 || memcmp(ip + 16, e->ip, 4) != 0 ||
        get16(udp) != e->door_port || get16(udp + 2) != e->port ||
        (get16(udp + 6) != 0 && udp_sum(ip, udp_bytes) != 0))
        return WIRE_OTHER;
    *bytes = udp_bytes - 8;
    return WIRE_PAYLOAD;
}
