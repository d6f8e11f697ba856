// A UDP socket: many datagrams a system call, and a bell that other threads ring. The only door to
// datagrams.
//
// One `struct udp` belongs to one thread at a time; udp_ring is for any.
#ifndef HOLDFAST_SYS_UDP_H
#define HOLDFAST_SYS_UDP_H

#include "base/status.h"

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#define UDP_BATCH_MAX   64
#define UDP_LOCAL_BYTES CMSG_SPACE(sizeof(struct in6_pktinfo))

struct udp_options {
    const char *host; // of this machine, a number: 127.0.0.1, ::1; 0.0.0.0, ::: all of them
    uint16_t port;    // 0: a free one
    bool shared;      // several sockets on one port: the kernel keeps a sender with one of them
    uint32_t buffer_bytes; // asked of the kernel for what waits to be received; 0: its default
};

struct udp;

// HF_EXISTS: the address is taken; HF_INVALID: it is no address, or not of this machine; HF_IO,
// HF_NO_MEMORY. Unless HF_OK, why says what. Set-up.
enum hf_status udp_os_create(const struct udp_options *o, struct udp **out,
                             char why[200]) HF_CHECKED;
void udp_destroy(struct udp *u);
uint16_t udp_port(const struct udp *u);

// A datagram in the caller's memory, with its peer. One that was received and is sent back leaves
// from the address that it came to.
struct udp_datagram {
    uint8_t *data;
    uint32_t bytes; // received, or to be sent; received: more than `room` if it was cut
    uint32_t room;
    struct sockaddr_storage peer;
    socklen_t peer_bytes;
    uint32_t local_bytes; // of `local`, the own address as the kernel told it; 0: there is but one
    _Alignas(struct cmsghdr) uint8_t local[UDP_LOCAL_BYTES];
};

// Without waiting. How many were received into the first of them.
uint32_t udp_receive(struct udp *u, struct udp_datagram *const *datagrams, uint32_t count);
// How many the kernel took; the others are lost, like any datagram. Without waiting.
uint32_t udp_send(struct udp *u, struct udp_datagram *const *datagrams, uint32_t count);
// Blocks until something has arrived, somebody rang since the last wait, or timeout_ms passed.
void udp_wait(struct udp *u, uint32_t timeout_ms);
void udp_ring(struct udp *u); // any thread

#endif
