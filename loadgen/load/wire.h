// Frames past the kernel: a transport of the packet client on a device that DPDK drives, and the
// bytes of Ethernet, ARP, IPv4 and UDP that it needs. The door has to be on the same link.
#ifndef HOLDFAST_LOADGEN_WIRE_H
#define HOLDFAST_LOADGEN_WIRE_H

#include "packet_client/packet_client.h"

struct wire_options {
    const char *eal;    // arguments of DPDK's environment, separated by spaces; NULL: it is the
                        // caller's, who has started it and stops it after the transport
    const char *device; // name; NULL: the first there is
    const char *local;  // IPv4 address and UDP port of this side, such as "10.0.0.1:40000"
};

// One at a time, and of its own environment one for a process. NULL: why says what, which may be
// that this program was built without DPDK. Blocking, set-up.
struct packet_transport *wire_transport(const struct wire_options *o, char why[PACKET_CLIENT_WHY]);

// ------------------------------------------------------------------------------- bytes

#define WIRE_HEADERS_BYTES 42
#define WIRE_ARP_BYTES     60 // with its padding

struct wire_ends {
    uint8_t mac[6], ip[4]; // this side
    uint16_t port;
    uint8_t door_mac[6], door_ip[4];
    uint16_t door_port;
    bool door_known; // door_mac is
};

enum wire_says {
    WIRE_PAYLOAD,   // from the door: the payload is at WIRE_HEADERS_BYTES
    WIRE_ANSWER,    // somebody asked who we are: it was turned into the answer, to be sent
    WIRE_NEIGHBOUR, // the door told its address
    WIRE_OTHER,     // nothing for us, or not whole
};

// "10.0.0.1:40000". Pure.
bool wire_address_read(const char *text, uint8_t ip[4], uint16_t *port);
// Who has the door's address? Writes WIRE_ARP_BYTES.
void wire_ask(const struct wire_ends *e, uint8_t *at);
// Headers for a payload of `bytes` that stands at `at` + WIRE_HEADERS_BYTES already.
void wire_wrap(const struct wire_ends *e, uint8_t *at, size_t bytes);
// *bytes: of the payload, or of the answer.
enum wire_says wire_read(struct wire_ends *e, uint8_t *at, size_t length, size_t *bytes);

#endif
