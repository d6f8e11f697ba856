// libcurl behind http_ops: one easy handle an origin, so that connections are kept.
//
// Whether a failed request had left the machine is told by curl's own figures: no connection, or a
// TLS handshake that did not end, means that nothing was sent; anything later is not known.
#include "sys/http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS_DEFAULT 10000
#define TIMEOUT_MS_DEFAULT 60000

struct http_os {
    struct http base;
    CURL *curl;
    char origin[HTTP_URL_BYTES_MAX];
    char error[CURL_ERROR_SIZE];
    uint32_t timeout_ms;
};

// Where the answer's bytes go.
struct sink {
    struct http_answer *answer;
    bool full;
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static bool global_ready;

static void global_init(void)
{
    global_ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

const char *http_outcome_name(enum http_outcome o)
{
    static const char *const names[] = {"ANSWERED", "NOT_SENT", "UNKNOWN", "TOO_BIG"};
    return (unsigned)o < sizeof names / sizeof *names ? names[o] : "unknown";
}

static struct http_os *os_of(struct http *h)
{
    return (struct http_os *)h;
}

static size_t sink_write(char *data, size_t size, size_t count, void *ctx)
{
    struct sink *k = ctx;
    size_t bytes = size * count, room = k->answer->body_capacity - 1 - k->answer->body_bytes;
    if (bytes > room) {
        k->full = true;
        return 0; // curl ends the transfer
    }
    memcpy(k->answer->body + k->answer->body_bytes, data, bytes);
    k->answer->body_bytes += bytes;
    return bytes;
}

static bool set_up(CURL *c, const struct http_os_options *o)
{
    bool ok = curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PROXY, o->proxy ? o->proxy : "") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, sink_write) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(o->connect_ms ? o->connect_ms : CONNECT_MS_DEFAULT)) == CURLE_OK;
    if (o->ca_file)
        ok &= curl_easy_setopt(c, CURLOPT_CAINFO, o->ca_file) == CURLE_OK;
    return ok;
}

static bool headers_set(struct http_os *h, const struct http_request *r, struct curl_slist **list)
{
    // Without this curl waits a second for leave to send a large body.
    struct curl_slist *all = curl_slist_append(NULL, "Expect:");
    bool ok = all != NULL;
    for (int i = 0; i < HTTP_HEADERS_MAX && r->headers[i] && ok; i++) {
        struct curl_slist *more = curl_slist_append(all, r->headers[i]);
        ok = more != NULL;
        all = more ? more : all;
    }
    *list = all;
    return ok && curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, all) == CURLE_OK;
}

static bool request_set(struct http_os *h, const struct http_request *r, struct sink *sink)
{
    char url[2 * HTTP_URL_BYTES_MAX];
    int n = snprintf(url, sizeof url, "%s%s", h->origin, r->path);
    bool ok = n > 0 && (size_t)n < sizeof url && r->path[0] == '/';
    ok = ok && curl_easy_setopt(h->curl, CURLOPT_URL, url) == CURLE_OK;
    ok = ok && curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, sink) == CURLE_OK;
    ok = ok && curl_easy_setopt(h->curl, CURLOPT_TIMEOUT_MS,
                                (long)(r->timeout_ms ? r->timeout_ms : h->timeout_ms)) == CURLE_OK;
    if (!r->body)
        return ok && curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(h->curl, CURLOPT_POST, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body_bytes) ==
                   CURLE_OK;
    return ok && curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, r->body) == CURLE_OK;
}

static enum http_outcome failure(struct http_os *h, CURLcode code, struct http_answer *a)
{
    long sent = 0;
    snprintf(a->why, sizeof a->why, "%.150s", h->error[0] ? h->error : curl_easy_strerror(code));
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_FAILED_INIT:
    case CURLE_OUT_OF_MEMORY:
        return HTTP_NOT_SENT;
    default:
        // A time-out before the request was begun.
        if (curl_easy_getinfo(h->curl, CURLINFO_REQUEST_SIZE, &sent) == CURLE_OK && sent == 0)
            return HTTP_NOT_SENT;
        return HTTP_UNKNOWN;
    }
}

static void answer_head(struct http_os *h, struct http_answer *a)
{
    long status = 0;
    const char *type = NULL;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(h->curl, CURLINFO_CONTENT_TYPE, &type);
    a->status = (int)status;
    snprintf(a->content_type, sizeof a->content_type, "%s", type ? type : "");
}

static enum http_outcome os_call(struct http *base, const struct http_request *r,
                                 struct http_answer *a)
{
    struct http_os *h = os_of(base);
    struct sink sink = {a, false};
    struct curl_slist *headers = NULL;
    HF_ASSERT(a->body && a->body_capacity > 0);
    a->body_bytes = 0;
    a->status = 0;
    a->content_type[0] = a->why[0] = h->error[0] = '\0';
    enum http_outcome outcome = HTTP_NOT_SENT;
    if (request_set(h, r, &sink) && headers_set(h, r, &headers)) {
        CURLcode code = curl_easy_perform(h->curl);
        outcome = code == CURLE_OK ? HTTP_ANSWERED : sink.full ? HTTP_TOO_BIG : HTTP_UNKNOWN;
        if (outcome == HTTP_UNKNOWN)
            outcome = failure(h, code, a);
        else
            answer_head(h, a);
        if (sink.full)
            snprintf(a->why, sizeof a->why, "the answer is larger than %zu bytes",
                     a->body_capacity - 1);
    } else {
        snprintf(a->why, sizeof a->why, "the request could not be prepared");
    }
    a->body[a->body_bytes] = '\0';
    // Nothing of the caller's stays behind in the handle, but its connections do.
    curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
    curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, NULL);
    curl_slist_free_all(headers);
    return outcome;
}

static void os_destroy(struct http *base)
{
    struct http_os *h = os_of(base);
    curl_easy_cleanup(h->curl);
    free(h);
}

static bool origin_valid(const char *origin)
{
    const char *host = NULL;
    if (origin && strncmp(origin, "http://", 7) == 0)
        host = origin + 7;
    else if (origin && strncmp(origin, "https://", 8) == 0)
        host = origin + 8;
    // No user information: a password would end up in messages.
    return host && *host && strlen(origin) < HTTP_URL_BYTES_MAX &&
           strpbrk(host, "/@?# \t\r\n") == NULL;
}

enum hf_status http_os_create(const struct http_os_options *o, struct http **out)
{
    static const struct http_ops ops = {os_call, os_destroy};
    *out = NULL;
    if (!origin_valid(o->origin))
        return HF_INVALID;
    pthread_once(&global_once, global_init);
    if (!global_ready)
        return HF_NO_MEMORY;
    struct http_os *h = calloc(1, sizeof *h);
    if (!h)
        return HF_NO_MEMORY;
    h->base.ops = &ops;
    h->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS_DEFAULT;
    snprintf(h->origin, sizeof h->origin, "%s", o->origin);
    h->curl = curl_easy_init();
    if (!h->curl) {
        free(h);
        return HF_NO_MEMORY;
    }
    if (!set_up(h->curl, o) ||
        curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->error) != CURLE_OK) {
        os_destroy(&h->base);
        return HF_INVALID;
    }
    *out = &h->base;
    return HF_OK;
}
