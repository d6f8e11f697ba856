// Ethernet with or without a VLAN tag, ARP and IPv4, neighbour discovery and IPv6, echo of both and
// UDP, as far as orders need them, on bytes: no device here.
//
// For ports that have the wire to themselves. An address of each family at most, one UDP port, one
// VLAN; answers go back the way that the frame came, its tag included, so no table of neighbours is
// kept and nothing that a stranger sends is remembered. Not taken: several tags, options and
// extension headers, fragments, broadcast other than ARP, multicast other than a question for
// this neighbour, or for who listens to its group.
#ifndef HOLDFAST_INGEST_NET_H
#define HOLDFAST_INGEST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_ETHER_BYTES     14
#define NET_VLAN_BYTES      4
#define NET_IPV4_BYTES      20
#define NET_IPV6_BYTES      40
#define NET_UDP_BYTES       8
#define NET_HEADERS_BYTES   (NET_ETHER_BYTES + NET_IPV4_BYTES + NET_UDP_BYTES) // without a tag
#define NET_HEADERS_MAX     (NET_ETHER_BYTES + NET_VLAN_BYTES + NET_IPV6_BYTES + NET_UDP_BYTES)
#define NET_ANSWER_BYTES    (NET_ETHER_BYTES + NET_VLAN_BYTES + NET_IPV6_BYTES + 36)

struct net_self {
    uint8_t mac[6];
    bool has_ip, has_ip6;
    uint8_t ip[4], ip6[16];
    uint16_t port; // UDP, in the machine's order
    uint16_t vlan; // 1 .. 4094: frames with this tag alone; 0: without, or with a priority alone
};

enum net_says {
    NET_PAYLOAD,      // UDP for us
    NET_ARP,          // has been turned into its answer
    NET_NEIGHBOUR,    // a solicitation; the same, and may have grown to NET_ANSWER_BYTES
    NET_MEMBER,       // a question of who listens to groups (MLD); the same
    NET_ECHO,         // the same
    NET_FOREIGN,      // for somebody else, or of no protocol that is spoken here
    NET_FRAGMENT,     // a fragment, options or extension headers
    NET_BAD_CHECKSUM, // or a length that cannot be
};

// What is where: the payload, or the whole answer.
struct net_part {
    size_t at, bytes;
};

// What the device has looked at already.
enum net_checked { NET_CHECKED_IPV4 = 1, NET_CHECKED_UDP = 2 };

// `at` holds `length` bytes, from the Ethernet header on; it may be padded, and has room for
// NET_ANSWER_BYTES. Any thread, pure but for the bytes of an answer.
enum net_says net_receive(const struct net_self *self, uint8_t *at, size_t length, unsigned checked,
                          struct net_part *out);

struct net_headers {
    uint16_t ether, ip; // bytes of each, as devices want to know
    bool six;
    bool summed; // UDP has a checksum, written or left to the device
};

// Turns the headers of a NET_PAYLOAD around: its payload of `bytes` goes back to the sender.
// Checksums are written unless the device does it (`offload`, enum net_checked): then UDP's field
// holds the pseudo header's sum, as devices want it. A sender that left its UDP checksum out, as it
// may over IPv4, gets none either, from the device neither.
struct net_headers net_answer(uint8_t *at, size_t bytes, unsigned offload);

// The Ethernet address of the group that a solicitation for ip6 is sent to, and of the one to which
// it is asked who listens to which groups.
void net_neighbour_group(const uint8_t ip6[16], uint8_t mac[6]);
void net_everybody(uint8_t mac[6]);

// Writes a frame that tells, unasked, that self listens to its group: switches that watch MLD send
// no solicitation where nobody said so. Bytes of it, at most NET_ANSWER_BYTES; self has an IPv6
// address. Any thread, pure.
size_t net_member_report(const struct net_self *self, uint8_t *at);

#endif
