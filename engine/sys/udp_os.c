#include "sys/udp.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct udp {
    int socket, bell;
    bool any; // of all addresses: each datagram tells to which it came
    struct mmsghdr messages[UDP_BATCH_MAX];
    struct iovec parts[UDP_BATCH_MAX];
};

static enum hf_status failed(char why[200], enum hf_status s, const char *what, int error)
{
    snprintf(why, 200, "%s: %s", what, strerror(error));
    return s;
}

// A socket of all addresses is told to which of them a datagram came: the kernel would answer from
// the route's, which a client that is connected to another does not hear. An IPv6 socket tells
// IPv4 addresses in its own form, and takes them back so.
static bool local_ask(struct udp *u, const struct sockaddr *a)
{
    const int on = 1;
    if (a->sa_family == AF_INET6) {
        u->any =
            IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
        return !u->any ||
               setsockopt(u->socket, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0;
    }
    u->any = ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr == INADDR_ANY;
    return !u->any || setsockopt(u->socket, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0;
}

static enum hf_status bind_to(struct udp *u, const struct udp_options *o, char why[200])
{
    char port[8];
    const int on = 1;
    struct addrinfo *found, hints = {.ai_family = AF_UNSPEC,
                                     .ai_socktype = SOCK_DGRAM,
                                     .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    snprintf(port, sizeof port, "%u", o->port);
    int wrong = getaddrinfo(o->host, port, &hints, &found);
    if (wrong != 0) {
        snprintf(why, 200, "%.100s: %s", o->host, gai_strerror(wrong));
        return HF_INVALID;
    }
    enum hf_status s = HF_OK;
    u->socket = socket(found->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (u->socket < 0)
        s = failed(why, HF_IO, "socket", errno);
    else if (o->shared && setsockopt(u->socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        s = failed(why, HF_IO, "SO_REUSEPORT", errno);
    else if (!local_ask(u, found->ai_addr))
        s = failed(why, HF_IO, "IP_PKTINFO", errno);
    else if (bind(u->socket, found->ai_addr, found->ai_addrlen) != 0)
        s = failed(why,
                   errno == EADDRINUSE      ? HF_EXISTS
                   : errno == EADDRNOTAVAIL ? HF_INVALID
                                            : HF_IO,
                   o->host, errno);
    // The kernel gives what it allows; more is a matter of net.core.rmem_max.
    int bytes = (int)o->buffer_bytes;
    if (s == HF_OK && bytes > 0)
        (void)setsockopt(u->socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    freeaddrinfo(found);
    return s;
}

enum hf_status udp_os_create(const struct udp_options *o, struct udp **out, char why[200])
{
    struct udp *u = calloc(1, sizeof *u);
    why[0] = 0;
    if (!u) {
        snprintf(why, 200, "no memory");
        return HF_NO_MEMORY;
    }
    u->socket = -1;
    u->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    enum hf_status s = u->bell < 0 ? failed(why, HF_IO, "eventfd", errno) : bind_to(u, o, why);
    if (s != HF_OK) {
        udp_destroy(u);
        return s;
    }
    *out = u;
    return HF_OK;
}

void udp_destroy(struct udp *u)
{
    if (!u)
        return;
    if (u->socket >= 0)
        close(u->socket);
    if (u->bell >= 0)
        close(u->bell);
    free(u);
}

uint16_t udp_port(const struct udp *u)
{
    struct sockaddr_storage a;
    socklen_t bytes = sizeof a;
    if (getsockname(u->socket, (struct sockaddr *)&a, &bytes) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

static void messages_fill(struct udp *u, struct udp_datagram *const *datagrams, uint32_t count,
                          bool in)
{
    for (uint32_t i = 0; i < count; i++) {
        struct udp_datagram *d = datagrams[i];
        u->parts[i] = (struct iovec){d->data, in ? d->room : d->bytes};
        u->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &d->peer,
            .msg_namelen = in ? (socklen_t)sizeof d->peer : d->peer_bytes,
            .msg_iov = &u->parts[i],
            .msg_iovlen = 1,
            .msg_control = u->any ? d->local : NULL,
            .msg_controllen = !u->any ? 0
                              : in      ? sizeof d->local
                                        : d->local_bytes,
        };
    }
}

// Which way the answer takes is the routes' matter, not where the question came in.
static void local_read(struct udp_datagram *d, struct msghdr *h)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(h);
    d->local_bytes = 0;
    if (!c)
        return;
    if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
        ((struct in6_pktinfo *)(void *)CMSG_DATA(c))->ipi6_ifindex = 0;
    else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
        ((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_ifindex = 0;
    else
        return;
    d->local_bytes = (uint32_t)h->msg_controllen;
}

uint32_t udp_receive(struct udp *u, struct udp_datagram *const *datagrams, uint32_t count)
{
    count = count < UDP_BATCH_MAX ? count : UDP_BATCH_MAX;
    messages_fill(u, datagrams, count, true);
    int got = recvmmsg(u->socket, u->messages, count, MSG_DONTWAIT | MSG_TRUNC, NULL);
    for (int i = 0; i < got; i++) {
        datagrams[i]->bytes = u->messages[i].msg_len;
        datagrams[i]->peer_bytes = u->messages[i].msg_hdr.msg_namelen;
        if (u->any)
            local_read(datagrams[i], &u->messages[i].msg_hdr);
    }
    return got > 0 ? (uint32_t)got : 0; // nothing there, or an ICMP error of an earlier answer
}

uint32_t udp_send(struct udp *u, struct udp_datagram *const *datagrams, uint32_t count)
{
    uint32_t taken = 0;
    HF_ASSERT(count <= UDP_BATCH_MAX);
    messages_fill(u, datagrams, count, false);
    for (uint32_t at = 0; at < count;) {
        int sent = sendmmsg(u->socket, u->messages + at, count - at, MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        taken += sent > 0 ? (uint32_t)sent : 0;
        at += sent > 0 ? (uint32_t)sent : 1; // the one that was refused is lost, not those behind
    }
    return taken;
}

void udp_wait(struct udp *u, uint32_t timeout_ms)
{
    struct pollfd fds[2] = {{.fd = u->socket, .events = POLLIN}, {.fd = u->bell, .events = POLLIN}};
    uint64_t rings;
    if (poll(fds, 2, (int)timeout_ms) > 0 && fds[1].revents)
        (void)!read(u->bell, &rings, sizeof rings);
}

void udp_ring(struct udp *u)
{
    const uint64_t one = 1;
    (void)!write(u->bell, &one, sizeof one); // full: it rings already
}
