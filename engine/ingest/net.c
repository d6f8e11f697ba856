#include "ingest/net.h"

#include "base/status.h"

#include <string.h>

#define TYPE_IPV4 0x0800
#define TYPE_ARP  0x0806
#define TYPE_VLAN 0x8100
#define TYPE_IPV6 0x86dd

#define PROTO_ICMP   1
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define ARP_BYTES      28
#define TTL            64
#define ECHO_REQUEST   8
#define ECHO_REPLY     0
#define ECHO6_REQUEST  128
#define ECHO6_REPLY    129
#define SOLICITATION   135
#define ADVERTISEMENT  136
#define SOLICIT_BYTES  24
#define ADVERT_BYTES   32
#define NEIGHBOUR_HOPS 255 // less has come over a router: not a neighbour
#define MEMBER_QUERY   130
#define MEMBER_REPORT  131 // MLDv1
#define MEMBER_REPORT2 143
#define MEMBER_BYTES   24  // of MLDv1, query and report
#define MEMBER2_BYTES  28  // of MLDv2's query at least, and of a report of one group
#define ALERT_BYTES    8   // the extension header of all of them

// The parts of a frame: where the IP header, or what stands in its place, begins.
struct parts {
    uint8_t *at, *head;
    size_t ether, left; // bytes before it, and from it on
    uint16_t type;
};

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

// Addresses, protocol and length, which UDP's and ICMPv6's checksums cover too.
static uint64_t pseudo_sum(const uint8_t *head, uint8_t protocol, size_t bytes)
{
    const uint8_t rest[4] = {0, protocol, (uint8_t)(bytes >> 8), (uint8_t)bytes};
    bool six = head[0] >> 4 == 6;
    uint64_t sum = six ? sum_add(0, head + 8, 32) : sum_add(0, head + 12, 8);
    return sum_add(sum, rest, sizeof rest);
}

// ------------------------------------------------------------------------------- headers

static bool is_all(const uint8_t *at, size_t bytes, uint8_t value)
{
    uint8_t other = 0;
    for (size_t i = 0; i < bytes; i++)
        other |= at[i] ^ value;
    return other == 0;
}

static void ether_turn(uint8_t *at)
{
    uint8_t mac[6];
    memcpy(mac, at, 6);
    memcpy(at, at + 6, 6);
    memcpy(at + 6, mac, 6);
}

static void ipv4_turn(uint8_t *head, size_t total, unsigned offload)
{
    uint8_t ip[4];
    memcpy(ip, head + 12, 4);
    memcpy(head + 12, head + 16, 4);
    memcpy(head + 16, ip, 4);
    put16(head + 2, (uint16_t)total);
    put16(head + 4, 0);      // no fragments: the identification means nothing (RFC 6864)
    put16(head + 6, 0x4000); // don't
    head[8] = TTL;
    put16(head + 10, 0);
    if (!(offload & NET_CHECKED_IPV4))
        sum_put(head + 10, (uint16_t)~sum_fold(sum_add(0, head, NET_IPV4_BYTES)));
}

static void ipv6_seal(uint8_t *head, size_t payload, uint8_t hops)
{
    head[1] = (uint8_t)(head[1] & 0xf0); // the traffic class stays, the flow was the sender's
    put16(head + 2, 0);
    put16(head + 4, (uint16_t)payload);
    head[7] = hops;
}

static void ipv6_turn(uint8_t *head, size_t payload)
{
    uint8_t ip[16];
    memcpy(ip, head + 8, 16);
    memcpy(head + 8, head + 24, 16);
    memcpy(head + 24, ip, 16);
    ipv6_seal(head, payload, TTL);
}

// ------------------------------------------------------------------------------- receive

static enum net_says udp_receive(const struct net_self *self, const struct parts *p, size_t ip,
                                 size_t udp_bytes, unsigned checked, struct net_part *out)
{
    const uint8_t *udp = p->head + ip;
    if (udp_bytes < NET_UDP_BYTES)
        return NET_BAD_CHECKSUM;
    if (get16(udp + 2) != self->port)
        return NET_FOREIGN;
    size_t told = get16(udp + 4);
    bool summed = get16(udp + 6) != 0;
    if (told < NET_UDP_BYTES || told > udp_bytes || (!summed && ip == NET_IPV6_BYTES))
        return NET_BAD_CHECKSUM;
    if (!(checked & NET_CHECKED_UDP) && summed &&
        sum_fold(sum_add(pseudo_sum(p->head, PROTO_UDP, told), udp, told)) != 0xffff)
        return NET_BAD_CHECKSUM;
    *out = (struct net_part){p->ether + ip + NET_UDP_BYTES, told - NET_UDP_BYTES};
    return NET_PAYLOAD;
}

static enum net_says arp_answer(const struct net_self *self, const struct parts *p,
                                struct net_part *out)
{
    static const uint8_t ethernet_ipv4[8] = {0, 1, 8, 0, 6, 4, 0, 1}; // and: a request
    uint8_t *arp = p->head;
    if (p->left < ARP_BYTES || memcmp(arp, ethernet_ipv4, sizeof ethernet_ipv4) != 0 ||
        !self->has_ip || memcmp(arp + 24, self->ip, 4) != 0)
        return NET_FOREIGN;
    arp[7] = 2;
    memcpy(arp + 18, arp + 8, 10); // the asker becomes the target
    memcpy(arp + 8, self->mac, 6);
    memcpy(arp + 14, self->ip, 4);
    memcpy(p->at, arp + 18, 6);
    memcpy(p->at + 6, self->mac, 6);
    *out = (struct net_part){0, p->ether + ARP_BYTES};
    return NET_ARP;
}

// Of either family; `sum`: what the checksum covers besides the message.
static enum net_says echo_answer(const struct parts *p, size_t ip, size_t bytes, uint64_t sum,
                                 struct net_part *out)
{
    bool six = ip == NET_IPV6_BYTES;
    uint8_t *icmp = p->head + ip;
    if (bytes < 8 || icmp[0] != (six ? ECHO6_REQUEST : ECHO_REQUEST) || icmp[1] != 0)
        return NET_FOREIGN;
    if (sum_fold(sum_add(sum, icmp, bytes)) != 0xffff)
        return NET_BAD_CHECKSUM;
    icmp[0] = six ? ECHO6_REPLY : ECHO_REPLY;
    put16(icmp + 2, 0);
    sum_put(icmp + 2, (uint16_t)~sum_fold(sum_add(sum, icmp, bytes)));
    ether_turn(p->at);
    if (six)
        ipv6_turn(p->head, bytes);
    else
        ipv4_turn(p->head, ip + bytes, 0);
    *out = (struct net_part){0, p->ether + ip + bytes};
    return NET_ECHO;
}

static enum net_says ipv4_receive(const struct net_self *self, const struct parts *p,
                                  unsigned checked, struct net_part *out)
{
    const uint8_t *head = p->head;
    if (p->left < NET_IPV4_BYTES || head[0] >> 4 != 4)
        return NET_FOREIGN;
    size_t total = get16(head + 2);
    if (head[0] != 0x45 || (get16(head + 6) & 0x3fff) != 0)
        return NET_FRAGMENT;
    if (total < NET_IPV4_BYTES || total > p->left ||
        (!(checked & NET_CHECKED_IPV4) && sum_fold(sum_add(0, head, NET_IPV4_BYTES)) != 0xffff))
        return NET_BAD_CHECKSUM;
    // From a group or everybody: an answer would go to them.
    if (!self->has_ip || memcmp(head + 16, self->ip, 4) != 0 || (p->at[6] & 1) || head[12] >= 224 ||
        head[12] == 0)
        return NET_FOREIGN;
    if (head[9] == PROTO_UDP)
        return udp_receive(self, p, NET_IPV4_BYTES, total - NET_IPV4_BYTES, checked, out);
    return head[9] == PROTO_ICMP ? echo_answer(p, NET_IPV4_BYTES, total - NET_IPV4_BYTES, 0, out)
                                 : NET_FOREIGN;
}

// ------------------------------------------------------------------------------- IPv6's neighbours

void net_neighbour_group(const uint8_t ip6[16], uint8_t mac[6])
{
    static const uint8_t begin[3] = {0x33, 0x33, 0xff};
    memcpy(mac, begin, 3);
    memcpy(mac + 3, ip6 + 13, 3);
}

void net_everybody(uint8_t mac[6])
{
    static const uint8_t all[6] = {0x33, 0x33, [5] = 1};
    memcpy(mac, all, 6);
}

static void group_of(const uint8_t ip6[16], uint8_t group[16])
{
    static const uint8_t begin[13] = {0xff, 2, [11] = 1, [12] = 0xff};
    memcpy(group, begin, sizeof begin);
    memcpy(group + 13, ip6 + 13, 3);
}

// The group of all that have our address's end, which is who is asked for a neighbour.
static bool to_group(const struct net_self *self, const struct parts *p)
{
    uint8_t mac[6], group[16];
    net_neighbour_group(self->ip6, mac);
    group_of(self->ip6, group);
    return memcmp(p->at, mac, 6) == 0 && memcmp(p->head + 24, group, 16) == 0;
}

static bool to_everybody(const struct parts *p)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    uint8_t mac[6];
    net_everybody(mac);
    return memcmp(p->at, mac, 6) == 0 && memcmp(p->head + 24, all_nodes, 16) == 0;
}

// RFC 4861, 7.1.1. The asker's own link address is not needed: the answer goes back to the frame's.
static bool solicitation_good(const struct net_self *self, const struct parts *p, size_t bytes)
{
    const uint8_t *icmp = p->head + NET_IPV6_BYTES;
    if (bytes < SOLICIT_BYTES || icmp[0] != SOLICITATION || icmp[1] != 0 ||
        p->head[7] != NEIGHBOUR_HOPS || memcmp(icmp + 8, self->ip6, 16) != 0)
        return false;
    for (size_t at = SOLICIT_BYTES; at < bytes; at += (size_t)icmp[at + 1] * 8)
        if (at + 8 > bytes || icmp[at + 1] == 0)
            return false;
    return true;
}

static enum net_says neighbour_answer(const struct net_self *self, const struct parts *p,
                                      size_t bytes, struct net_part *out)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    uint8_t *head = p->head, *icmp = head + NET_IPV6_BYTES;
    bool probe = is_all(head + 8, 16, 0); // who takes an address asks whether somebody has it
    if (!solicitation_good(self, p, bytes) || (probe && head[24] != 0xff))
        return NET_FOREIGN;
    if (sum_fold(sum_add(pseudo_sum(head, PROTO_ICMPV6, bytes), icmp, bytes)) != 0xffff)
        return NET_BAD_CHECKSUM;
    memcpy(head + 24, probe ? all_nodes : head + 8, 16);
    memcpy(head + 8, self->ip6, 16);
    ipv6_seal(head, ADVERT_BYTES, NEIGHBOUR_HOPS);
    memset(icmp, 0, 8);
    icmp[0] = ADVERTISEMENT;
    icmp[4] = probe ? 0x20 : 0x60; // overrides what is known; was asked for
    icmp[24] = 2;                  // option: the link address, one unit of 8 bytes
    icmp[25] = 1;
    memcpy(icmp + 26, self->mac, 6);
    sum_put(icmp + 2, (uint16_t)~sum_fold(sum_add(pseudo_sum(head, PROTO_ICMPV6, ADVERT_BYTES),
                                                  icmp, ADVERT_BYTES)));
    if (probe)
        net_everybody(p->at);
    else
        memcpy(p->at, p->at + 6, 6);
    memcpy(p->at + 6, self->mac, 6);
    *out = (struct net_part){0, p->ether + NET_IPV6_BYTES + ADVERT_BYTES};
    return NET_NEIGHBOUR;
}

// ------------------------------------------------------------------------------- IPv6's groups
// Of MLD (RFC 2710, RFC 3810) what a switch wants to hear that passes a group's frames on only to
// those who listen to it: one group, from every source, for ever.

static bool link_local(const uint8_t ip6[16])
{
    return ip6[0] == 0xfe && (ip6[1] & 0xc0) == 0x80;
}

// From the Ethernet header on, `ether` bytes of which are there but for the addresses.
static size_t report_write(const struct net_self *self, uint8_t *at, size_t ether, bool first,
                           bool asked)
{
    static const uint8_t alert[ALERT_BYTES] = {PROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
    static const uint8_t routers[16] = {0xff, 2, [15] = 0x16};
    uint8_t *head = at + ether, *icmp = head + NET_IPV6_BYTES + ALERT_BYTES, group[16];
    size_t bytes = first ? MEMBER_BYTES : MEMBER2_BYTES;
    group_of(self->ip6, group);
    memset(head, 0, NET_IPV6_BYTES + ALERT_BYTES + bytes);
    head[0] = 0x60;
    put16(head + 4, (uint16_t)(ALERT_BYTES + bytes));
    head[7] = 1;
    if (link_local(self->ip6)) // else from nobody, as RFC 3810, 5.2.13 has it
        memcpy(head + 8, self->ip6, 16);
    memcpy(head + 24, first ? group : routers, 16);
    memcpy(head + NET_IPV6_BYTES, alert, ALERT_BYTES);
    icmp[0] = first ? MEMBER_REPORT : MEMBER_REPORT2;
    if (!first) {
        icmp[7] = 1;             // record: all sources but none; told by a change when nobody asked
        icmp[8] = asked ? 2 : 4;
    }
    memcpy(icmp + bytes - 16, group, 16);
    sum_put(icmp + 2,
            (uint16_t)~sum_fold(sum_add(pseudo_sum(head, PROTO_ICMPV6, bytes), icmp, bytes)));
    memcpy(at, (const uint8_t[]){0x33, 0x33}, 2);
    memcpy(at + 2, head + 36, 4);
    memcpy(at + 6, self->mac, 6);
    return ether + NET_IPV6_BYTES + ALERT_BYTES + bytes;
}

size_t net_member_report(const struct net_self *self, uint8_t *at)
{
    size_t ether = NET_ETHER_BYTES;
    if (self->vlan) {
        put16(at + 12, TYPE_VLAN);
        put16(at + 14, self->vlan);
        ether += NET_VLAN_BYTES;
    }
    put16(at + ether - 2, TYPE_IPV6);
    return report_write(self, at, ether, false, false);
}

// A header of options alone, the router's alert among them, in front of a query.
static bool query_begins(const struct parts *p, size_t bytes)
{
    static const uint8_t alert[4] = {5, 2, 0, 0};
    const uint8_t *head = p->head, *more = head + NET_IPV6_BYTES;
    return head[6] == 0 && bytes >= ALERT_BYTES + MEMBER_BYTES && more[0] == PROTO_ICMPV6 &&
           more[1] == 0 && (memcmp(more + 2, alert, 4) == 0 || memcmp(more + 4, alert, 4) == 0) &&
           more[ALERT_BYTES] == MEMBER_QUERY;
}

static enum net_says member_answer(const struct net_self *self, const struct parts *p, size_t bytes,
                                   struct net_part *out)
{
    uint8_t *head = p->head, *icmp = head + NET_IPV6_BYTES + ALERT_BYTES, group[16];
    bytes -= ALERT_BYTES;
    group_of(self->ip6, group);
    if (head[7] != 1 || !link_local(head + 8) ||
        (bytes > MEMBER_BYTES && bytes < MEMBER2_BYTES) || // RFC 3810, 8.1
        (!is_all(icmp + 8, 16, 0) && memcmp(icmp + 8, group, 16) != 0))
        return NET_FOREIGN;
    if (sum_fold(sum_add(pseudo_sum(head, PROTO_ICMPV6, bytes), icmp, bytes)) != 0xffff)
        return NET_BAD_CHECKSUM;
    *out = (struct net_part){0, report_write(self, p->at, p->ether, bytes == MEMBER_BYTES, true)};
    return NET_MEMBER;
}

static enum net_says ipv6_receive(const struct net_self *self, const struct parts *p, bool ours,
                                  unsigned checked, struct net_part *out)
{
    const uint8_t *head = p->head;
    if (!self->has_ip6 || p->left < NET_IPV6_BYTES || head[0] >> 4 != 6)
        return NET_FOREIGN;
    bool mine = ours && memcmp(head + 24, self->ip6, 16) == 0, all = !mine && to_everybody(p);
    if ((!mine && !all && !to_group(self, p)) || (p->at[6] & 1) || head[8] == 0xff)
        return NET_FOREIGN;
    size_t bytes = get16(head + 4);
    if (bytes > p->left - NET_IPV6_BYTES)
        return NET_BAD_CHECKSUM;
    if (query_begins(p, bytes))
        return member_answer(self, p, bytes, out);
    if (all)
        return NET_FOREIGN;
    static const uint8_t extensions[] = {0, 43, 44, 50, 51, 60};
    if (memchr(extensions, head[6], sizeof extensions))
        return NET_FRAGMENT;
    if (head[6] == PROTO_ICMPV6 && bytes >= SOLICIT_BYTES && head[NET_IPV6_BYTES] == SOLICITATION)
        return neighbour_answer(self, p, bytes, out);
    if (!mine || is_all(head + 8, 16, 0))
        return NET_FOREIGN;
    if (head[6] == PROTO_UDP)
        return udp_receive(self, p, NET_IPV6_BYTES, bytes, checked, out);
    return head[6] == PROTO_ICMPV6
               ? echo_answer(p, NET_IPV6_BYTES, bytes, pseudo_sum(head, PROTO_ICMPV6, bytes), out)
               : NET_FOREIGN;
}

// ------------------------------------------------------------------------------- every frame

static bool parts_find(const struct net_self *self, uint8_t *at, size_t length, struct parts *p)
{
    if (length < NET_ETHER_BYTES)
        return false;
    *p = (struct parts){.at = at, .ether = NET_ETHER_BYTES, .type = get16(at + 12)};
    uint16_t vlan = 0;
    if (HF_UNLIKELY(p->type == TYPE_VLAN)) {
        if (length < NET_ETHER_BYTES + NET_VLAN_BYTES)
            return false;
        vlan = get16(at + 14) & 0xfff;
        p->type = get16(at + 16);
        p->ether += NET_VLAN_BYTES;
    }
    p->head = at + p->ether;
    p->left = length - p->ether;
    return vlan == self->vlan;
}

enum net_says net_receive(const struct net_self *self, uint8_t *at, size_t length, unsigned checked,
                          struct net_part *out)
{
    struct parts p;
    if (!parts_find(self, at, length, &p))
        return NET_FOREIGN;
    bool ours = memcmp(at, self->mac, 6) == 0;
    if (HF_LIKELY(p.type == TYPE_IPV4))
        return ours ? ipv4_receive(self, &p, checked, out) : NET_FOREIGN;
    if (p.type == TYPE_IPV6)
        return ipv6_receive(self, &p, ours, checked, out);
    if (p.type == TYPE_ARP && (ours || is_all(at, 6, 0xff)))
        return arp_answer(self, &p, out);
    return NET_FOREIGN;
}

struct net_headers net_answer(uint8_t *at, size_t bytes, unsigned offload)
{
    size_t ether = NET_ETHER_BYTES + (get16(at + 12) == TYPE_VLAN ? NET_VLAN_BYTES : 0);
    uint8_t *head = at + ether, port[2];
    bool six = head[0] >> 4 == 6;
    size_t ip = six ? NET_IPV6_BYTES : NET_IPV4_BYTES, udp_bytes = bytes + NET_UDP_BYTES;
    uint8_t *udp = head + ip;
    struct net_headers told = {(uint16_t)ether, (uint16_t)ip, six, get16(udp + 6) != 0};
    ether_turn(at);
    if (six)
        ipv6_turn(head, udp_bytes);
    else
        ipv4_turn(head, ip + udp_bytes, offload);
    memcpy(port, udp, 2);
    memcpy(udp, udp + 2, 2);
    memcpy(udp + 2, port, 2);
    put16(udp + 4, (uint16_t)udp_bytes);
    put16(udp + 6, 0);
    if (!told.summed)
        return told;
    uint64_t sum = pseudo_sum(head, PROTO_UDP, udp_bytes);
    if (offload & NET_CHECKED_UDP) {
        sum_put(udp + 6, sum_fold(sum));
        return told;
    }
    uint16_t folded = (uint16_t)~sum_fold(sum_add(sum, udp, udp_bytes));
    sum_put(udp + 6, folded ? folded : 0xffff); // 0 would say that there is none (RFC 768)
    return told;
}
