// Frames on a socket of the kernel, connected to the door, so that nobody else's get in.
#include "packet_client/packet_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES_MAX 64
#define BUFFER_BYTES (4 << 20)

struct udp {
    struct packet_transport ops; // first
    int fd;                      // -1: not connected
    struct sockaddr_storage local, door;
    socklen_t local_bytes, door_bytes; // 0: any; none
};

static uint64_t udp_now_ns(struct packet_transport *t)
{
    struct timespec now;
    (void)t;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

// Numeric only: a look-up would block.
static bool address_read(const char *address, const char *port, struct sockaddr_storage *out,
                         socklen_t *bytes)
{
    struct addrinfo want = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    if (getaddrinfo(address, port, &want, &found) != 0)
        return false;
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *bytes = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool udp_open(struct udp *u)
{
    int size = BUFFER_BYTES;
    u->fd = socket(u->door.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (u->fd < 0)
        return false;
    // As much of it as the system's limit allows.
    (void)setsockopt(u->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    (void)setsockopt(u->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if ((u->local_bytes == 0 || bind(u->fd, (struct sockaddr *)&u->local, u->local_bytes) == 0) &&
        connect(u->fd, (struct sockaddr *)&u->door, u->door_bytes) == 0)
        return true;
    close(u->fd);
    u->fd = -1;
    return false;
}

// The same door: the socket stays, and with it the path that the session is pinned to.
static bool udp_connect(struct packet_transport *t, const char *address, uint16_t port)
{
    struct udp *u = (struct udp *)t;
    struct sockaddr_storage door = {0};
    socklen_t bytes;
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    if (!address_read(address, text, &door, &bytes))
        return false;
    if (u->fd >= 0 && bytes == u->door_bytes && memcmp(&door, &u->door, bytes) == 0)
        return true;
    if (u->fd >= 0)
        close(u->fd);
    u->door = door;
    u->door_bytes = bytes;
    return udp_open(u);
}

static uint32_t udp_send(struct packet_transport *t, const struct packet_buffer *frames, uint32_t n)
{
    struct udp *u = (struct udp *)t;
    struct mmsghdr messages[MESSAGES_MAX];
    struct iovec parts[MESSAGES_MAX];
    uint32_t sent = 0;
    while (u->fd >= 0 && sent < n) {
        uint32_t some = n - sent < MESSAGES_MAX ? n - sent : MESSAGES_MAX;
        for (uint32_t i = 0; i < some; i++) {
            parts[i] = (struct iovec){frames[sent + i].bytes, frames[sent + i].count};
            messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        }
        int took = sendmmsg(u->fd, messages, some, 0);
        if (took < 0 && (errno == EINTR || errno == ECONNREFUSED))
            continue; // an earlier frame's refusal is told once, at the next call
        if (took <= 0)
            break;
        sent += (uint32_t)took;
    }
    return sent;
}

static uint32_t udp_receive(struct packet_transport *t, struct packet_buffer *frames, uint32_t n)
{
    struct udp *u = (struct udp *)t;
    struct mmsghdr messages[MESSAGES_MAX];
    struct iovec parts[MESSAGES_MAX];
    uint32_t kept = 0, room = n < MESSAGES_MAX ? n : MESSAGES_MAX;
    int came;
    for (uint32_t i = 0; i < room; i++) {
        parts[i] = (struct iovec){frames[i].bytes, frames[i].count};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
    }
    do
        came = u->fd < 0 ? 0 : recvmmsg(u->fd, messages, room, 0, NULL);
    while (came < 0 && (errno == EINTR || errno == ECONNREFUSED));
    for (int i = 0; i < came; i++) {
        if (messages[i].msg_hdr.msg_flags & MSG_TRUNC)
            continue; // longer than any frame
        struct packet_buffer b = {parts[i].iov_base, messages[i].msg_len};
        frames[i] = frames[kept]; // buffers stay in the caller's hands, all of them
        frames[kept++] = b;
    }
    return kept;
}

static void udp_wait(struct packet_transport *t, uint64_t until_ns)
{
    struct udp *u = (struct udp *)t;
    struct pollfd p = {.fd = u->fd, .events = POLLIN};
    uint64_t now = udp_now_ns(t);
    if (until_ns <= now)
        return;
    uint64_t ns = until_ns - now;
    if (ns > UINT64_C(3600000000000))
        ns = UINT64_C(3600000000000);
    struct timespec span = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    (void)ppoll(&p, u->fd >= 0, &span, NULL);
}

static void udp_destroy(struct packet_transport *t)
{
    struct udp *u = (struct udp *)t;
    if (u->fd >= 0)
        close(u->fd);
    free(u);
}

// "192.0.2.7:0", "[2001:db8::7]:0"
static bool local_read(const char *local, struct udp *u)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(local, ':');
    bool bracket = local[0] == '[';
    if (!colon || (size_t)(colon - local) >= sizeof host || (bracket && colon[-1] != ']'))
        return false;
    size_t bytes = (size_t)(colon - local) - 2 * bracket;
    memcpy(host, local + bracket, bytes);
    host[bytes] = '\0';
    return address_read(host, colon + 1, &u->local, &u->local_bytes);
}

struct packet_transport *packet_transport_udp(const char *local, char why[PACKET_CLIENT_WHY])
{
    struct udp *u = calloc(1, sizeof *u);
    snprintf(why, PACKET_CLIENT_WHY, "no memory");
    if (!u)
        return NULL;
    u->fd = -1;
    if (local && !local_read(local, u)) {
        snprintf(why, PACKET_CLIENT_WHY, "%.60s: an address and a port in digits are wanted",
                 local);
        free(u);
        return NULL;
    }
    u->ops = (struct packet_transport){.connect = udp_connect,
                                       .send = udp_send,
                                       .receive = udp_receive,
                                       .wait = udp_wait,
                                       .now_ns = udp_now_ns,
                                       .destroy = udp_destroy};
    why[0] = '\0';
    return &u->ops;
}
