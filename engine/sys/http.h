// HTTP requests: the only door to a server. One `struct http` is one origin and belongs to one
// thread at a time; its calls block, one after the other.
//
// What a failed call leaves behind decides how a caller goes on, so outcomes tell it apart:
//
//   ANSWERED  a whole answer, of any HTTP status
//   NOT_SENT  no byte of the request left this machine: the server did nothing
//   UNKNOWN   the server may have done it, and may still be doing it
//   TOO_BIG   answered, but not in body_capacity bytes: the server has done it
#ifndef HOLDFAST_SYS_HTTP_H
#define HOLDFAST_SYS_HTTP_H

#include "base/status.h"

#include <stdint.h>

#define HTTP_HEADERS_MAX        8
#define HTTP_HEADER_BYTES_MAX   512
#define HTTP_URL_BYTES_MAX      512
#define HTTP_CONTENT_TYPE_BYTES 64
#define HTTP_WHY_BYTES          160

enum http_outcome { HTTP_ANSWERED, HTTP_NOT_SENT, HTTP_UNKNOWN, HTTP_TOO_BIG };

// Static text; any thread.
const char *http_outcome_name(enum http_outcome o);

struct http_request {
    const char *path;                      // from the origin on, begins with '/'
    const char *headers[HTTP_HEADERS_MAX]; // "Name: value", NULL from the first unused on
    const void *body;                      // sent by POST; NULL: GET
    size_t body_bytes;
    uint32_t timeout_ms; // for the whole call; 0: the backend's default
};

struct http_answer {
    char *body;           // the caller's; terminated after body_bytes
    size_t body_capacity; // with the terminator
    size_t body_bytes;
    int status; // ANSWERED, TOO_BIG: of HTTP; else 0
    char content_type[HTTP_CONTENT_TYPE_BYTES];
    char why[HTTP_WHY_BYTES]; // not ANSWERED: one sentence, without secrets
};

struct http;

struct http_ops {
    // Fills everything of the answer but body and body_capacity. Blocking.
    enum http_outcome (*call)(struct http *h, const struct http_request *r, struct http_answer *a);
    void (*destroy)(struct http *h);
};

struct http {
    const struct http_ops *ops;
};

struct http_os_options {
    const char *origin;  // "https://odoo.example:8443" or "http://...", no path
    const char *ca_file; // PEM of trusted authorities; NULL: the system's
    const char *proxy;   // NULL: none. The environment decides nothing
    uint32_t connect_ms; // default (0) 10 s
    uint32_t timeout_ms; // default (0) 60 s
};

// Over libcurl: certificates and host names are verified, redirects are answers like any other,
// connections are kept where the server keeps them. HF_INVALID (the origin, a file),
// HF_NO_MEMORY. Set-up.
enum hf_status http_os_create(const struct http_os_options *o, struct http **out) HF_CHECKED;

static inline enum http_outcome http_call(struct http *h, const struct http_request *r,
                                          struct http_answer *a)
{
    return h->ops->call(h, r, a);
}
static inline void http_destroy(struct http *h)
{
    if (h)
        h->ops->destroy(h);
}

#endif
