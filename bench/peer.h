// The client's side of the rows over gRPC: a server process, and calls to it, kept at a fixed
// number outstanding over several connections. One thread.
#ifndef HOLDFAST_BENCH_PEER_H
#define HOLDFAST_BENCH_PEER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct peer_server {
    pid_t pid;
    int to; // its standard input; closing it ends the server
    int port;
    uint64_t generation;
};

// Starts holdfast-bench-server, which lies beside this program. folder NULL: echo.
enum hf_status peer_start(struct peer_server *s, const char *folder, uint32_t cells);
void peer_stop(struct peer_server *s);
// CPU time of the process so far.
uint64_t peer_cpu_ns(const struct peer_server *s);

#define PEER_CONNECTIONS 4

struct peer_load {
    const struct peer_server *server;
    const char *method;   // of unary calls; NULL: ReserveStream
    uint32_t outstanding; // calls, or batches
    uint32_t batch;       // operations of a stream's message
    uint32_t cells;       // 0: empty messages
    uint32_t ttl_ms;
    double seconds;
};

struct peer_result {
    uint64_t done, failed; // calls or operations
    uint64_t wall_ns, client_cpu_ns, server_cpu_ns;
    double p50_us, p99_us; // of calls, or messages
};

enum hf_status peer_run(const struct peer_load *l, struct peer_result *out);

#endif
