// The admin HTTP server: what people and monitoring ask, on an address of its own.
//
//   /metrics   Prometheus' text format, made by collect()
//   /healthz   200 while the process works, else 503 with a reason: restart it
//   /readyz    200 while it serves, else 503 with a reason: send it no traffic
//   /version   JSON
//
// One thread serves all connections, of which there are at most connections_max: one more takes the
// place of the one that was silent longest. One that is silent for timeout_s is closed. GET and
// HEAD; nothing here changes anything. Neither TLS nor keys: it belongs on loopback or a private
// network.
#ifndef HOLDFAST_API_ADMIN_H
#define HOLDFAST_API_ADMIN_H

#include "admin/metrics.h"
#include "base/status.h"

#include <stdint.h>

struct admin_server;

struct admin_server_options {
    const char *host; // an address or a name; borrowed during admin_server_create, as the rest
    uint16_t port;    // 0: a free one
    uint32_t connections_max, timeout_s;
    const char *version; // the body of /version; borrowed as long as the server lives
    // In the server's thread, while a scrape waits. `why` takes a reason when false.
    void (*collect)(void *ctx, struct metrics *m);
    bool (*healthy)(void *ctx, char why[200]);
    bool (*ready)(void *ctx, char why[200]);
    void *ctx;
};

// Binds and serves. HF_EXISTS: the address is in use; HF_INVALID: no such address, or it is not
// this machine's; HF_NO_MEMORY. why says which. Set-up, blocking.
enum hf_status admin_server_create(const struct admin_server_options *o, struct admin_server **out,
                                   char why[200]) HF_CHECKED;
uint16_t admin_server_port(const struct admin_server *a); // bound
void admin_server_destroy(struct admin_server *a);        // ends its thread and connections

#endif
