#include "daemon/self_check.h"

#include "daemon/config.h"
#include "sys/park.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

struct self_check {
    struct self_check_options options;
    struct sockaddr_storage to;
    socklen_t to_bytes;
    struct stat own; // of a unix: address: the socket's file as it was at the start
    SSL_CTX *tls;    // NULL: plain
    pthread_t thread;
    _Atomic bool stopping;
    struct park park; // stopping is set
};

// ------------------------------------------------------------------------------- one check

static bool wrong(char why[200], const char *what)
{
    snprintf(why, 200, "%s: %s", what,
             errno == EAGAIN || errno == EINPROGRESS ? "no answer in time" : strerror(errno));
    return false;
}

// Sends `hello` and takes the first bytes of what comes back.
static bool exchange(int fd, const void *hello, size_t hello_bytes, unsigned char *first,
                     size_t first_bytes, char why[200])
{
    size_t got = 0;
    if (send(fd, hello, hello_bytes, MSG_NOSIGNAL) != (ssize_t)hello_bytes)
        return wrong(why, "send");
    while (got < first_bytes) {
        ssize_t n = recv(fd, first + got, first_bytes - got, 0);
        if (n < 0)
            return wrong(why, "receive");
        if (n == 0) {
            snprintf(why, 200, "closed without a word");
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

// A client's first words, and the server's: a SETTINGS frame (RFC 9113, 3.4).
static bool ask_plain(int fd, char why[200])
{
    static const char hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0\0";
    unsigned char frame[9];
    if (!exchange(fd, hello, sizeof hello - 1, frame, sizeof frame, why))
        return false;
    if (frame[3] == 4)
        return true;
    snprintf(why, 200, "answered with something else than HTTP/2");
    return false;
}

// A ClientHello, and the head of the record that answers it: a part of the handshake. No further:
// the rest would cost both sides a signature, and, where client certificates are required, the
// listener a complaint in the log.
static bool ask_tls(SSL_CTX *tls, int fd, char why[200])
{
    unsigned char record[5];
    char *hello = NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    SSL *ssl = in && out ? SSL_new(tls) : NULL;
    if (!ssl) {
        BIO_free(in);
        BIO_free(out);
        snprintf(why, 200, "no memory");
        return false;
    }
    SSL_set_bio(ssl, in, out); // owns both
    (void)SSL_connect(ssl);    // wants to read, having written
    long bytes = BIO_get_mem_data(out, &hello);
    bool good = bytes > 0 && exchange(fd, hello, (size_t)bytes, record, sizeof record, why);
    if (good && record[0] != 22) {
        snprintf(why, 200, "answered with something else than a handshake");
        good = false;
    }
    SSL_free(ssl);
    return good;
}

// Another process that listens at the same path has a file of its own there; it would answer, too.
static bool still_ours(const struct self_check *c, char why[200])
{
    struct stat now;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&c->to;
    if (c->to.ss_family != AF_UNIX)
        return true;
    if (stat(un->sun_path, &now) == 0 && now.st_dev == c->own.st_dev && now.st_ino == c->own.st_ino)
        return true;
    snprintf(why, 200, "the socket at its path is not the daemon's own any more");
    return false;
}

static bool ask(struct self_check *c, char why[200])
{
    if (!still_ours(c, why))
        return false;
    struct timeval limit = {.tv_sec = c->options.answer_ms / 1000,
                            .tv_usec = (suseconds_t)(c->options.answer_ms % 1000) * 1000};
    int fd = socket(c->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return wrong(why, "socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    bool good = connect(fd, (const struct sockaddr *)&c->to, c->to_bytes) == 0;
    if (!good)
        wrong(why, "connect");
    else
        good = c->tls ? ask_tls(c->tls, fd, why) : ask_plain(fd, why);
    close(fd);
    return good;
}

// ------------------------------------------------------------------------------- the thread

// False: the end has come.
static bool wait_interval(struct self_check *c)
{
    uint32_t key = park_prepare(&c->park);
    // Pairs with the store in self_check_destroy.
    if (atomic_load_explicit(&c->stopping, memory_order_acquire))
        park_cancel(&c->park);
    else
        park_wait(&c->park, key, c->options.interval_ms);
    return !atomic_load_explicit(&c->stopping, memory_order_acquire);
}

static uint64_t refused(const struct self_check *c)
{
    return c->options.refused ? c->options.refused() : 0;
}

static void *check_run(void *ctx)
{
    struct self_check *c = ctx;
    uint32_t failures = 0;
    while (wait_interval(c)) {
        char why[200] = "";
        uint64_t before = refused(c);
        bool good = ask(c, why) || refused(c) != before;
        failures = good ? 0 : failures + 1;
        if (!good)
            hf_log(HF_LOG_WARN, "listener_silent", "check=%u of=%u why=\"%s\"", failures,
                   c->options.failures_max, why);
        if (failures >= c->options.failures_max) {
            c->options.on_deaf(c->options.ctx, why);
            break;
        }
    }
    return NULL;
}

// ------------------------------------------------------------------------------- set-up

static bool find_unix(struct self_check *c, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&c->to;
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof un->sun_path)
        return false;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, bytes + 1);
    c->to_bytes = sizeof *un;
    return stat(path, &c->own) == 0;
}

// What listens everywhere is asked at loopback.
static void turn_to_loopback(struct sockaddr_storage *to)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    if (to->ss_family == AF_INET && v4->sin_addr.s_addr == htonl(INADDR_ANY))
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (to->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
}

static bool find_address(struct self_check *c, const char *address)
{
    char host[108], service[8];
    uint16_t port;
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
    if (strncmp(address, "unix:", 5) == 0)
        return find_unix(c, address + 5);
    if (!config_host_port(address, host, sizeof host, &port))
        return false;
    snprintf(service, sizeof service, "%u", c->options.port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return false;
    memcpy(&c->to, found->ai_addr, found->ai_addrlen);
    c->to_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    turn_to_loopback(&c->to);
    return true;
}

static bool tls_make(struct self_check *c)
{
    static const unsigned char h2[] = {2, 'h', '2'};
    c->tls = SSL_CTX_new(TLS_client_method());
    if (!c->tls)
        return false;
    // It is asked whether somebody answers, not who: nothing is told to the other side.
    SSL_CTX_set_verify(c->tls, SSL_VERIFY_NONE, NULL);
    return SSL_CTX_set_alpn_protos(c->tls, h2, sizeof h2) == 0;
}

enum hf_status self_check_create(const struct self_check_options *o, struct self_check **out)
{
    struct self_check *c = calloc(1, sizeof *c);
    if (!c)
        return HF_NO_MEMORY;
    c->options = *o;
    enum hf_status s = find_address(c, o->address) ? HF_OK : HF_INVALID;
    if (s == HF_OK &&
        ((o->tls && !tls_make(c)) || pthread_create(&c->thread, NULL, check_run, c) != 0))
        s = HF_NO_MEMORY;
    if (s != HF_OK) {
        SSL_CTX_free(c->tls);
        free(c);
        return s;
    }
    pthread_setname_np(c->thread, "hf-self-check");
    *out = c;
    return HF_OK;
}

void self_check_destroy(struct self_check *c)
{
    if (!c)
        return;
    atomic_store_explicit(&c->stopping, true, memory_order_release); // pairs with wait_interval
    park_wake(&c->park);
    pthread_join(c->thread, NULL);
    SSL_CTX_free(c->tls);
    free(c);
}
