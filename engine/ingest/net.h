// Ethernet, ARP, IPv4, ICMP echo and UDP, as far as orders need them, on bytes: no device here.
//
// For ports that have the wire to themselves. One address, one UDP port; answers go back the way
// that the frame came, so no table of neighbours is kept and nothing that a stranger sends is
// remembered. Not taken: IPv6, VLAN tags, IPv4 options and fragments, broadcast other than ARP.
#ifndef HOLDFAST_INGEST_NET_H
#define HOLDFAST_INGEST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_ETHER_BYTES   14
#define NET_IPV4_BYTES    20
#define NET_UDP_BYTES     8
#define NET_HEADERS_BYTES (NET_ETHER_BYTES + NET_IPV4_BYTES + NET_UDP_BYTES)

struct net_self {
    uint8_t mac[6];
    uint8_t ip[4];
    uint16_t port; // UDP, in the machine's order
};

enum net_says {
    NET_PAYLOAD,      // UDP for us: the payload is at NET_HEADERS_BYTES, *bytes long
    NET_ARP,          // has been turned into its answer, *bytes long in all
    NET_ECHO,         // the same
    NET_FOREIGN,      // for somebody else, or of no protocol that is spoken here
    NET_FRAGMENT,     // a fragment, or IPv4 options
    NET_BAD_CHECKSUM, // or a length that cannot be
};

// What the device has looked at already.
enum net_checked { NET_CHECKED_IPV4 = 1, NET_CHECKED_UDP = 2 };

// `at` holds `length` bytes, from the Ethernet header on; it may be padded. Any thread, pure but
// for the bytes of an answer.
enum net_says net_receive(const struct net_self *self, uint8_t *at, size_t length, unsigned checked,
                          size_t *bytes);

// Turns the headers of a NET_PAYLOAD around: its payload of `bytes` goes back to the sender.
// Checksums are written unless the device does it (`offload`, enum net_checked): then UDP's field
// holds the pseudo header's sum, as devices want it. A sender that left its UDP checksum out gets
// none either.
void net_answer(uint8_t *at, size_t bytes, unsigned offload);

#endif
