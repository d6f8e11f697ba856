// The command line of holdfast-load: one table, which is its help too.
#ifndef HOLDFAST_LOADGEN_OPTIONS_H
#define HOLDFAST_LOADGEN_OPTIONS_H

#include "load/plan.h"
#include "load/sender.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// How holdfast-load ends. Where holdfastctl has the same reason, the number is the same.
#define OPTIONS_EXIT_TABLE(X)                                                                      \
    X(0, OK, "done, and where --audit was given, exact")                                           \
    X(1, DIFFERS, "the audit found a difference, or an answer contradicts another")                \
    X(2, USAGE, "the command line or a file given to it is wrong; nothing was sent")               \
    X(5, UNKNOWN, "the outcome of some operations stayed unknown; each is in --history")           \
    X(6, FORBIDDEN, "the API key is missing or unknown, or may not do this; or no packets here")   \
    X(7, UNREACHED, "the server can't be reached, at the start or for the audit")                  \
    X(9, FAILED, "something failed here, or inside the server")
enum options_exit {
#define X(code, name, help) EXIT_##name = code,
    OPTIONS_EXIT_TABLE(X)
#undef X
};

// G(title)
// X(field, type, name, argument, variable or NULL, default, least, most, help)
#define OPTIONS_TABLE(G, X)                                                                        \
    G("The server")                                                                                \
    X(address, TEXT, "address", "HOST:PORT", "HOLDFAST_ADDRESS", "127.0.0.1:7420", 0, 0,           \
      "or unix:/path")                                                                             \
    X(tls, FLAG, "tls", NULL, "HOLDFAST_TLS", NULL, 0, 0, "encrypt, trusting the system's roots")  \
    X(ca, TEXT, "ca", "FILE", "HOLDFAST_CA", NULL, 0, 0, "encrypt, trusting these roots (PEM)")    \
    X(cert, TEXT, "cert", "FILE", "HOLDFAST_CERT", NULL, 0, 0, "client certificate (PEM)")         \
    X(cert_key, TEXT, "cert-key", "FILE", "HOLDFAST_CERT_KEY", NULL, 0, 0,                         \
      "its private key (PEM)")                                                                     \
    X(server_name, TEXT, "server-name", "NAME", "HOLDFAST_SERVER_NAME", NULL, 0, 0,                \
      "in the server's certificate, if not the address's")                                         \
    X(key_file, TEXT, "key-file", "FILE", "HOLDFAST_CLIENT_KEY_FILE", NULL, 0, 0,                  \
      "API key, first line; or in HOLDFAST_KEY")                                                   \
    X(insecure, FLAG, "insecure", NULL, NULL, NULL, 0, 0,                                          \
      "in clear, key included, beyond this machine")                                               \
    G("Packets")                                                                                   \
    X(transport, TEXT, "transport", "HOW", NULL, "grpc", 0, 0,                                     \
      "grpc; packet: UDP frames for what they have, gRPC for the rest; mixed: each try by chance") \
    X(frame_items, COUNT, "frame-items", "N", NULL, "32", 1, 59, "requests of a frame, at most")   \
    X(packet_try_ms, SPAN, "packet-try", "SPAN", NULL, "100ms", 1, 60000,                          \
      "no answer for so long: a new frame with the same ids; doubling")                            \
    X(packet_eal, TEXT, "packet-eal", "ARGS", NULL, NULL, 0, 0,                                    \
      "past the kernel: DPDK's arguments, its first device; one thread")                           \
    X(packet_local, TEXT, "packet-local", "IPV4:PORT", NULL, NULL, 0, 0,                           \
      "this side's address there, which no kernel has")                                            \
    G("Connections")                                                                               \
    X(threads, COUNT, "threads", "N", NULL, "1", 1, 32, "each with its own connections")           \
    X(connections, COUNT, "connections", "N", NULL, "4", 1, 64, "of each thread")                  \
    X(stream, FLAG, "stream", NULL, NULL, NULL, 0, 0, "ReserveStream, not a call a request")       \
    X(batch, COUNT, "batch", "N", NULL, "256", 1, 1024, "requests of a stream's message, at most") \
    X(window, COUNT, "window", "N", NULL, "4", 1, 64, "messages on their way, each stream")        \
    X(deadline_ms, SPAN, "deadline", "SPAN", NULL, "2s", 1, 3600000, "of each try")                \
    X(give_up_ms, SPAN, "give-up", "SPAN", NULL, "60s", 1, 86400000,                               \
      "then the outcome is unknown, and asked again after the run")                                \
    X(retry_ms, SPAN, "retry-wait", "SPAN", NULL, "10ms", 1, 60000,                                \
      "before the second try, doubling, and never less than the server says")                      \
    X(retry_ms_max, SPAN, "retry-wait-max", "SPAN", NULL, "1s", 1, 600000, "of the doubling")      \
    G("How much")                                                                                  \
    X(rate, REAL, "rate", "N", NULL, "0", 0, 1e8,                                                  \
      "open loop: requests a second, latency from the intended start; 0: closed loop")             \
    X(poisson, FLAG, "poisson", NULL, NULL, NULL, 0, 0, "arrivals at random, not evenly")          \
    X(ramp_ms, SPAN, "ramp", "SPAN", NULL, "0", 0, 86400000, "the rate rises from 0 so long")      \
    X(outstanding, COUNT, "outstanding", "N", NULL, "64", 1, 1000000,                              \
      "closed loop: customers at once, each thread")                                               \
    X(outstanding_max, COUNT, "outstanding-max", "N", NULL, "10000", 1, 10000000,                  \
      "open loop: at most so many at once, each thread; later ones wait, and it counts")           \
    X(spin, FLAG, "spin", NULL, NULL, NULL, 0, 0,                                                  \
      "don't sleep shortly before an arrival: exact to microseconds, for a whole core")            \
    X(duration_ms, SPAN, "duration", "SPAN", NULL, "10s", 0, 31536000000,                          \
      "start no more customers after it; 0: no end")                                               \
    X(customers, COUNT, "customers", "N", NULL, "0", 0, UINT64_C(1) << 50,                         \
      "start so many, all threads together; 0: no such end")                                       \
    X(seed, COUNT, "seed", "N", NULL, "0", 0, UINT64_MAX >> 1,                                     \
      "the same seed, the same customers; 0: by the clock")                                        \
    G("What customers do")                                                                         \
    X(mix, TEXT, "mix", "NAME=N,...", NULL, NULL, 0, 0, "scenarios and their weights, see below")  \
    X(spread, TEXT, "spread", "HOW", NULL, "uniform", 0, 0,                                        \
      "over cells: uniform, zipf:EXPONENT, flash:CELLS:SHARE")                                     \
    X(lines, TEXT, "lines", "HOW", NULL, "1", 0, 0,                                                \
      "of a request: N, A-B, mean:N (geometric), basket (a retailer's: 19, up to 705)")            \
    X(quantity, TEXT, "quantity", "HOW", NULL, "1", 0, 0, "of a line: N or A-B")                   \
    X(ttl_ms, SPAN, "ttl", "SPAN", NULL, "2s", 1, 604800000, "of holds")                           \
    X(think_ms, SPAN, "think", "SPAN", NULL, "0", 0, 86400000, "between a customer's requests")    \
    G("Stock")                                                                                     \
    X(make_catalogue, TEXT, "make-catalogue", "SKUSxLOCATIONS", NULL, NULL, 0, 0,                  \
      "make these cells and set their stock, then use them")                                       \
    X(stock, COUNT, "stock", "N", NULL, "1000", 0, UINT64_C(1) << 53,                              \
      "of each cell of --make-catalogue")                                                          \
    X(location, TEXT, "location", "NAME", NULL, "", 0, 0, "only cells of this location")           \
    X(by_name, FLAG, "by-name", NULL, NULL, NULL, 0, 0, "send SKU and location, not handles")      \
    X(handles, COUNT, "handles", "N", NULL, "0", 0, UINT64_C(1) << 28,                             \
      "don't look cells up: handles 0 to N - 1 of --generation; no audit")                         \
    X(generation, COUNT, "generation", "N", NULL, "0", 0, UINT64_MAX, "of --handles")              \
    G("Orders out of a file")                                                                      \
    X(replay, TEXT, "replay", "FILE", NULL, NULL, 0, 0,                                            \
      "of the UCI \"Online Retail\" format, plain or gzip, instead of customers")                  \
    X(percent, COUNT, "percent", "N", NULL, "90", 0, 100000,                                       \
      "stock of each cell, of its orders' demand")                                                 \
    X(one_location, FLAG, "one-location", NULL, NULL, NULL, 0, 0, "all countries are one place")   \
    X(time_scale, REAL, "time-scale", "N", NULL, "0", 0, 1e12,                                     \
      "so many times as fast as it happened; 0: as fast as it goes")                               \
    G("What is told")                                                                              \
    X(audit, FLAG, "audit", NULL, NULL, NULL, 0, 0,                                                \
      "hold every touched cell to the client's own book, to the unit; nobody else may sell")       \
    X(settle_ms, SPAN, "settle", "SPAN", NULL, "30s", 0, 86400000,                                 \
      "what is unknown or differs after the run may take so long; and an earlier run's holds "     \
      "before")                                                                                    \
    X(history, TEXT, "history", "FILE", NULL, NULL, 0, 0,                                          \
      "every operation, for outside checkers: docs/history-format.md")                             \
    X(json, TEXT, "json", "FILE", NULL, NULL, 0, 0, "the result for programs; - is the output")    \
    X(quiet, FLAG, "quiet", NULL, NULL, NULL, 0, 0, "no progress, no table")                       \
    X(help, FLAG, "help", NULL, NULL, NULL, 0, 0, "this text")                                     \
    X(version, FLAG, "version", NULL, NULL, NULL, 0, 0, "the version")

typedef const char *OPTIONS_C_TEXT;
typedef bool OPTIONS_C_FLAG;
typedef uint64_t OPTIONS_C_COUNT;
typedef uint64_t OPTIONS_C_SPAN; // milliseconds
typedef double OPTIONS_C_REAL;

struct options {
#define G(title)
#define X(field, type, name, argument, variable, standard, least, most, help)                      \
    OPTIONS_C_##type field;
    OPTIONS_TABLE(G, X)
#undef G
#undef X
    // Read out of the texts.
    struct plan_options plan;
    uint32_t skus, locations; // of make_catalogue
    enum sender_transport way;
};

// Texts point into argv, the environment or the table. False: `why` says what is wrong.
bool options_read(struct options *o, int argc, char **argv, char why[200]);
void options_help(FILE *out);

#endif
