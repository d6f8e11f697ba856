#include "ingest/net.h"

#include <string.h>

#define TYPE_IPV4    0x0800
#define TYPE_ARP     0x0806
#define ARP_BYTES    28
#define PROTO_ICMP   1
#define PROTO_UDP    17
#define ECHO_REQUEST 8
#define TTL          64

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

// ------------------------------------------------------------------------------- checksums
// The Internet checksum (RFC 1071) is the same in either byte order as long as it is stored as it
// was summed: words are added as the machine has them.

static uint64_t sum_add(uint64_t sum, const uint8_t *at, size_t bytes)
{
    for (; bytes >= 8; at += 8, bytes -= 8) {
        uint32_t words[2];
        memcpy(words, at, sizeof words);
        sum += (uint64_t)words[0] + words[1];
    }
    for (; bytes >= 2; at += 2, bytes -= 2) {
        uint16_t word;
        memcpy(&word, at, sizeof word);
        sum += word;
    }
    if (bytes) {
        uint16_t word = 0;
        memcpy(&word, at, 1);
        sum += word;
    }
    return sum;
}

static uint16_t sum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void sum_put(uint8_t *at, uint16_t sum)
{
    memcpy(at, &sum, sizeof sum);
}

// Addresses, protocol and length, which UDP's checksum covers too.
static uint64_t pseudo_sum(const uint8_t *ip, size_t udp_bytes)
{
    const uint8_t rest[4] = {0, PROTO_UDP, (uint8_t)(udp_bytes >> 8), (uint8_t)udp_bytes};
    return sum_add(sum_add(0, ip + 12, 8), rest, sizeof rest);
}

// ------------------------------------------------------------------------------- receive

static bool is_broadcast(const uint8_t *mac)
{
    static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    return memcmp(mac, all, sizeof all) == 0;
}

static enum net_says arp_answer(const struct net_self *self, uint8_t *at, size_t length,
                                size_t *bytes)
{
    static const uint8_t ethernet_ipv4[8] = {0, 1, 8, 0, 6, 4, 0, 1}; // and: a request
    uint8_t *arp = at + NET_ETHER_BYTES;
    if (length < NET_ETHER_BYTES + ARP_BYTES ||
        memcmp(arp, ethernet_ipv4, sizeof ethernet_ipv4) != 0 || memcmp(arp + 24, self->ip, 4) != 0)
        return NET_FOREIGN;
    arp[7] = 2;
    memcpy(arp + 18, arp + 8, 10); // the asker becomes the target
    memcpy(arp + 8, self->mac, 6);
    memcpy(arp + 14, self->ip, 4);
    memcpy(at, arp + 18, 6);
    memcpy(at + 6, self->mac, 6);
    *bytes = NET_ETHER_BYTES + ARP_BYTES;
    return NET_ARP;
}

static void turn_around(uint8_t *at)
{
    uint8_t mac[6], ip[4], *head = at + NET_ETHER_BYTES;
    memcpy(mac, at, 6);
    memcpy(at, at + 6, 6);
    memcpy(at + 6, mac, 6);
    memcpy(ip, head + 12, 4);
    memcpy(head + 12, head + 16, 4);
    memcpy(head + 16, ip, 4);
}

static void ipv4_seal(uint8_t *head, size_t total, unsigned offload)
{
    put16(head + 2, (uint16_t)total);
    put16(head + 4, 0);      // no fragments: the identification means nothing (RFC 6864)
    put16(head + 6, 0x4000); // don't
    head[8] = TTL;
    put16(head + 10, 0);
    if (!(offload & NET_CHECKED_IPV4))
        sum_put(head + 10, (uint16_t)~sum_fold(sum_add(0, head, NET_IPV4_BYTES)));
}

static enum net_says echo_answer(uint8_t *at, size_t total, size_t *bytes)
{
    uint8_t *icmp = at + NET_ETHER_BYTES + NET_IPV4_BYTES;
    size_t icmp_bytes = total - NET_IPV4_BYTES;
    if (icmp_bytes < 8 || icmp[0] != ECHO_REQUEST || icmp[1] != 0)
        return NET_FOREIGN;
    if (sum_fold(sum_add(0, icmp, icmp_bytes)) != 0xffff)
        return NET_BAD_CHECKSUM;
    icmp[0] = 0;
    put16(icmp + 2, 0);
    sum_put(icmp + 2, (uint16_t)~sum_fold(sum_add(0, icmp, icmp_bytes)));
    turn_around(at);
    ipv4_seal(at + NET_ETHER_BYTES, total, 0);
    *bytes = NET_ETHER_BYTES + total;
    return NET_ECHO;
}

static enum net_says udp_receive(const struct net_self *self, const uint8_t *at, size_t total,
                                 unsigned checked, size_t *bytes)
{
    const uint8_t *udp = at + NET_ETHER_BYTES + NET_IPV4_BYTES;
    size_t udp_bytes = total - NET_IPV4_BYTES;
    if (udp_bytes < NET_UDP_BYTES)
        return NET_BAD_CHECKSUM;
    if (get16(udp + 2) != self->port)
        return NET_FOREIGN;
    size_t told = get16(udp + 4);
    if (told < NET_UDP_BYTES || told > udp_bytes)
        return NET_BAD_CHECKSUM;
    if (!(checked & NET_CHECKED_UDP) && get16(udp + 6) != 0 &&
        sum_fold(sum_add(pseudo_sum(at + NET_ETHER_BYTES, told), udp, told)) != 0xffff)
        return NET_BAD_CHECKSUM;
    *bytes = told - NET_UDP_BYTES;
    return NET_PAYLOAD;
}

enum net_says net_receive(const struct net_self *self, uint8_t *at, size_t length, unsigned checked,
                          size_t *bytes)
{
    if (length < NET_ETHER_BYTES + NET_IPV4_BYTES)
        return NET_FOREIGN;
    bool ours = memcmp(at, self->mac, 6) == 0;
    uint16_t type = get16(at + 12);
    if (type == TYPE_ARP && (ours || is_broadcast(at)))
        return arp_answer(self, at, length, bytes);
    const uint8_t *head = at + NET_ETHER_BYTES;
    if (type != TYPE_IPV4 || !ours || head[0] >> 4 != 4)
        return NET_FOREIGN;
    size_t total = get16(head + 2);
    if (head[0] != 0x45 || (get16(head + 6) & 0x3fff) != 0)
        return NET_FRAGMENT;
    if (total < NET_IPV4_BYTES || total > length - NET_ETHER_BYTES ||
        (!(checked & NET_CHECKED_IPV4) && sum_fold(sum_add(0, head, NET_IPV4_BYTES)) != 0xffff))
        return NET_BAD_CHECKSUM;
    // From a group or everybody: an answer would go to them.
    if (memcmp(head + 16, self->ip, 4) != 0 || (at[6] & 1) || head[12] >= 224 || head[12] == 0)
        return NET_FOREIGN;
    if (head[9] == PROTO_UDP)
        return udp_receive(self, at, total, checked, bytes);
    return head[9] == PROTO_ICMP ? echo_answer(at, total, bytes) : NET_FOREIGN;
}

// ------------------------------------------------------------------------------- answer

void net_answer(uint8_t *at, size_t bytes, unsigned offload)
{
    uint8_t *head = at + NET_ETHER_BYTES, *udp = head + NET_IPV4_BYTES, port[2];
    size_t udp_bytes = bytes + NET_UDP_BYTES;
    bool summed = get16(udp + 6) != 0;
    turn_around(at);
    ipv4_seal(head, udp_bytes + NET_IPV4_BYTES, offload);
    memcpy(port, udp, 2);
    memcpy(udp, udp + 2, 2);
    memcpy(udp + 2, port, 2);
    put16(udp + 4, (uint16_t)udp_bytes);
    put16(udp + 6, 0);
    if (!summed)
        return;
    uint64_t sum = pseudo_sum(head, udp_bytes);
    if (offload & NET_CHECKED_UDP) {
        sum_put(udp + 6, sum_fold(sum));
        return;
    }
    uint16_t folded = (uint16_t)~sum_fold(sum_add(sum, udp, udp_bytes));
    sum_put(udp + 6, folded ? folded : 0xffff); // 0 would say that there is none (RFC 768)
}
