#include "admin/admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG              32
#define CONNECTION_BYTES_MAX 16384 // request line and headers, and the reply's
#define TEXT                 "text/plain; charset=utf-8"

#define SPARE 8 // connections above the bound, until those told to go have gone

// A connection. Of the server's thread alone: every callback runs in it.
struct seat {
    int fd;        // -1: empty
    uint64_t turn; // of its last request, or of its beginning
    bool busy;     // with a request whose headers are read
    bool going;    // it was told to
};

struct admin_server {
    struct admin_server_options options;
    struct MHD_Daemon *daemon;
    uint16_t port;
    uint64_t turn;
    uint32_t seat_count, staying; // seats; connections that were not told to go
    struct seat *seats;
};

// ------------------------------------------------------------------------------- connections

// Silent connections must not keep a health check waiting: the one that was silent longest makes
// room for a new one. Where all are busy, the new one goes.
static void room_make(struct admin_server *a, struct seat *newest)
{
    struct seat *out = newest;
    for (uint32_t i = 0; i < a->seat_count; i++) {
        struct seat *s = &a->seats[i];
        if (s->fd >= 0 && !s->busy && !s->going && s->turn < out->turn)
            out = s;
    }
    out->going = true;
    a->staying--;
    (void)shutdown(out->fd, SHUT_RDWR); // it is closed when the library sees the end
}

static void connection_changed(void *ctx, struct MHD_Connection *c, void **socket_context,
                               enum MHD_ConnectionNotificationCode what)
{
    struct admin_server *a = ctx;
    struct seat *s = *socket_context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (s) {
            a->staying -= !s->going;
            s->fd = -1;
        }
        return;
    }
    for (uint32_t i = 0; i < a->seat_count && !s; i++)
        s = a->seats[i].fd < 0 ? &a->seats[i] : NULL;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!s || !info)
        return;
    *s = (struct seat){.fd = info->connect_fd, .turn = ++a->turn};
    *socket_context = s;
    if (++a->staying > a->options.connections_max)
        room_make(a, s);
}

static void busy_set(struct admin_server *a, struct MHD_Connection *c, bool busy)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct seat *s = info ? info->socket_context : NULL;
    if (!s)
        return;
    s->busy = busy;
    s->turn = ++a->turn;
}

static void request_completed(void *ctx, struct MHD_Connection *c, void **state,
                              enum MHD_RequestTerminationCode how)
{
    (void)state, (void)how;
    busy_set(ctx, c, false);
}

// ------------------------------------------------------------------------------- replies

static enum MHD_Result send_text(struct MHD_Connection *c, unsigned status, const char *type,
                                 const char *text, size_t bytes, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(bytes, (void *)text, mode);
    if (!r) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free((void *)text);
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result done = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result send_static(struct MHD_Connection *c, unsigned status, const char *text)
{
    return send_text(c, status, TEXT, text, strlen(text), MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_state(struct MHD_Connection *c, bool good, const char *why)
{
    char text[202];
    int n = snprintf(text, sizeof text, "%s\n", good ? "ok" : why);
    return send_text(c, good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, TEXT, text, (size_t)n,
                     MHD_RESPMEM_MUST_COPY);
}

// ------------------------------------------------------------------------------- pages

static enum MHD_Result page_metrics(struct admin_server *a, struct MHD_Connection *c)
{
    struct metrics m = {0};
    a->options.collect(a->options.ctx, &m);
    if (m.failed || m.bytes == 0) {
        free(m.text);
        return send_static(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no memory for the metrics\n");
    }
    return send_text(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", m.text, m.bytes,
                     MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result page_healthz(struct admin_server *a, struct MHD_Connection *c)
{
    char why[200] = "";
    return send_state(c, a->options.healthy(a->options.ctx, why), why);
}

static enum MHD_Result page_readyz(struct admin_server *a, struct MHD_Connection *c)
{
    char why[200] = "";
    return send_state(c, a->options.ready(a->options.ctx, why), why);
}

static enum MHD_Result page_version(struct admin_server *a, struct MHD_Connection *c)
{
    return send_text(c, MHD_HTTP_OK, "application/json", a->options.version,
                     strlen(a->options.version), MHD_RESPMEM_PERSISTENT);
}

static const struct {
    const char *path;
    enum MHD_Result (*page)(struct admin_server *a, struct MHD_Connection *c);
} pages[] = {
    {"/metrics", page_metrics},
    {"/healthz", page_healthz},
    {"/readyz", page_readyz},
    {"/version", page_version},
};

// Called when the headers are read, and again when the body is: the first call of a request that
// has no page answers at once, so that no body is ever taken in.
static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **state)
{
    static int headers_seen;
    struct admin_server *a = ctx;
    (void)version, (void)upload;
    busy_set(a, c, true);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return send_static(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET or HEAD only\n");
    if (!*state) {
        *state = &headers_seen;
        return MHD_YES;
    }
    if (*upload_bytes > 0) {
        *upload_bytes = 0; // read and dropped, within the connection's memory
        return MHD_YES;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
        if (strcmp(url, pages[i].path) == 0)
            return pages[i].page(a, c);
    return send_static(c, MHD_HTTP_NOT_FOUND, "/metrics /healthz /readyz /version\n");
}

// ------------------------------------------------------------------------------- set-up

static enum hf_status bind_failed(int error, char why[200])
{
    snprintf(why, 200, "%s", strerror(error)); // strerror of glibc keeps known errors per thread
    return error == EADDRINUSE                  ? HF_EXISTS
           : error == ENOMEM || error == EMFILE ? HF_NO_MEMORY
                                                : HF_INVALID;
}

static enum hf_status listen_on(const struct addrinfo *at, int *out, uint16_t *port, char why[200])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } bound;
    socklen_t bytes = sizeof bound;
    int yes = 1, fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return bind_failed(errno, why);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &bound.any, &bytes) != 0) {
        int error = errno;
        close(fd);
        return bind_failed(error, why);
    }
    *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    *out = fd;
    return HF_OK;
}

static enum hf_status socket_make(struct admin_server *a, int *fd, char why[200])
{
    char service[8];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(service, sizeof service, "%u", a->options.port);
    int error = getaddrinfo(a->options.host, service, &hints, &found);
    if (error != 0) {
        snprintf(why, 200, "%s", gai_strerror(error));
        return HF_INVALID;
    }
    enum hf_status s = listen_on(found, fd, &a->port, why);
    freeaddrinfo(found);
    return s;
}

enum hf_status admin_server_create(const struct admin_server_options *o, struct admin_server **out,
                                   char why[200])
{
    int fd = -1;
    struct admin_server *a = calloc(1, sizeof *a);
    if (!a) {
        snprintf(why, 200, "no memory");
        return HF_NO_MEMORY;
    }
    a->options = *o;
    a->seat_count = o->connections_max + SPARE;
    a->seats = calloc(a->seat_count, sizeof *a->seats);
    for (uint32_t i = 0; i < a->seat_count && a->seats; i++)
        a->seats[i].fd = -1;
    snprintf(why, 200, "no memory");
    enum hf_status s = a->seats ? socket_make(a, &fd, why) : HF_NO_MEMORY;
    if (s == HF_OK) {
        // It closes the socket, also when it fails.
        a->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO, 0, NULL, NULL, answer, a,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, a->seat_count,
            MHD_OPTION_CONNECTION_TIMEOUT, o->timeout_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
            (size_t)CONNECTION_BYTES_MAX, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, a,
            MHD_OPTION_NOTIFY_COMPLETED, request_completed, a, MHD_OPTION_END);
        if (!a->daemon) {
            snprintf(why, 200, "the HTTP server could not be started");
            s = HF_NO_MEMORY;
        }
    }
    if (s != HF_OK) {
        free(a->seats);
        free(a);
        return s;
    }
    *out = a;
    return HF_OK;
}

uint16_t admin_server_port(const struct admin_server *a)
{
    return a->port;
}

void admin_server_destroy(struct admin_server *a)
{
    MHD_stop_daemon(a->daemon);
    free(a->seats);
    free(a);
}
