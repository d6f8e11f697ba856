// The bare echo: UDP datagrams by the kernel's sockets, there and back, with nothing behind. What
// bench/packets-veth takes for the wire's share.
//
//   holdfast-echo serve IPV4:PORT                   says "ready", and echoes until a signal ends it
//   holdfast-echo ask IPV4:PORT RATE COUNT BYTES    prints its figures as JSON
//
// It asks as holdfast-load does: an open loop, even arrivals, a latency counts from the moment at
// which its datagram should have been sent, and it sleeps until there is something to do.
#include "base/histogram.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX    1472
#define COUNT_MAX    100000000
#define BUFFER_BYTES (16 << 20)
#define PATIENCE_NS  UINT64_C(10000000000) // without any answer: the rest is lost

struct ask {
    int fd;
    double rate;
    uint64_t begin_ns, count, bytes;
    uint64_t sent, answered, heard_ns;
    uint8_t *seen; // by number
    struct hf_histogram latency, late;
};

static uint64_t now_ns(void)
{
    return clock_monotonic_ns(clock_os());
}

static uint64_t due_ns(const struct ask *a, uint64_t number)
{
    return a->begin_ns + (uint64_t)((double)number * 1e9 / a->rate);
}

static bool address_read(const char *text, struct sockaddr_in *out)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, NULL, 10);
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return port >= 1 && port <= 65535 && inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

static int socket_open(void)
{
    int bytes = BUFFER_BYTES, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    // A process that waits for a processor loses nothing meanwhile; without the right, less.
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return fd;
}

static int serve(const struct sockaddr_in *at)
{
    uint8_t data[BYTES_MAX];
    int fd = socket_open();
    if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) != 0) {
        perror("holdfast-echo: serve");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &length);
        if (n > 0)
            (void)sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, length);
    }
}

// ------------------------------------------------------------------------------- asking

static void send_due(struct ask *a, uint64_t now)
{
    uint8_t data[BYTES_MAX] = {0};
    for (; a->sent < a->count && due_ns(a, a->sent) <= now; a->sent++) {
        memcpy(data, &a->sent, sizeof a->sent);
        hf_histogram_record(&a->late, now_ns() - due_ns(a, a->sent));
        (void)send(a->fd, data, a->bytes, 0); // what is not taken is not answered, and counts so
    }
}

static void receive(struct ask *a)
{
    uint8_t data[BYTES_MAX];
    uint64_t number;
    ssize_t n;
    while ((n = recv(a->fd, data, sizeof data, MSG_DONTWAIT)) > 0) {
        memcpy(&number, data, sizeof number);
        if ((uint64_t)n != a->bytes || number >= a->sent || a->seen[number])
            continue;
        a->seen[number] = 1;
        a->answered++;
        a->heard_ns = now_ns();
        hf_histogram_record(&a->latency, a->heard_ns - due_ns(a, number));
    }
}

static void wait_until(const struct ask *a, uint64_t until_ns)
{
    struct pollfd p = {.fd = a->fd, .events = POLLIN};
    uint64_t now = now_ns(), ns = until_ns > now ? until_ns - now : 0;
    struct timespec span = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    (void)ppoll(&p, 1, &span, NULL);
}

static void latency_print(const char *name, const struct hf_histogram *h)
{
    printf(", \"%s\": {\"p50_ns\": %llu, \"p99_ns\": %llu, \"p999_ns\": %llu, \"max_ns\": %llu}",
           name, (unsigned long long)hf_histogram_percentile(h, 500),
           (unsigned long long)hf_histogram_percentile(h, 990),
           (unsigned long long)hf_histogram_percentile(h, 999), (unsigned long long)h->max_ns);
}

static int ask(struct ask *a, const struct sockaddr_in *at)
{
    a->fd = socket_open();
    a->seen = calloc(a->count, 1);
    if (a->fd < 0 || !a->seen || connect(a->fd, (const struct sockaddr *)at, sizeof *at) != 0) {
        perror("holdfast-echo: ask");
        return 1;
    }
    a->begin_ns = a->heard_ns = now_ns();
    while (a->answered < a->count) {
        uint64_t now = now_ns();
        uint64_t sent_ns = due_ns(a, a->count - 1);
        uint64_t end_ns = PATIENCE_NS + (a->heard_ns > sent_ns ? a->heard_ns : sent_ns);
        if (now > end_ns)
            break;
        send_due(a, now);
        receive(a);
        if (a->answered < a->count)
            wait_until(a, a->sent < a->count ? due_ns(a, a->sent) : end_ns);
    }
    printf("{\"asked\": %llu, \"answered\": %llu", (unsigned long long)a->sent,
           (unsigned long long)a->answered);
    latency_print("latency", &a->latency);
    latency_print("late", &a->late);
    puts("}");
    free(a->seen);
    close(a->fd);
    return 0;
}

int main(int argc, char **argv)
{
    static struct ask a;
    struct sockaddr_in at;
    if (argc == 3 && strcmp(argv[1], "serve") == 0 && address_read(argv[2], &at))
        return serve(&at);
    if (argc == 6 && strcmp(argv[1], "ask") == 0 && address_read(argv[2], &at)) {
        a.rate = strtod(argv[3], NULL);
        a.count = strtoull(argv[4], NULL, 10);
        a.bytes = strtoull(argv[5], NULL, 10);
        if (a.rate > 0 && a.count >= 1 && a.count <= COUNT_MAX && a.bytes >= sizeof a.sent &&
            a.bytes <= BYTES_MAX)
            return ask(&a, &at);
    }
    fputs("usage: holdfast-echo serve IPV4:PORT | ask IPV4:PORT RATE COUNT BYTES\n", stderr);
    return 2;
}
