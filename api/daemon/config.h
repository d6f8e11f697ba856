// holdfastd's options: one table, from which come the struct, the flags, the environment's names,
// the keys of the YAML file, --help, --print-config and docs/configuration.md.
//
//   default  <  YAML file (--config)  <  environment (HOLDFAST_CELLS_MAX)  <  flag (--cells-max)
//
// All that is wrong is told at once, each with where it stands. Nothing here is secret: keys and
// certificates are named by path.
#ifndef HOLDFAST_API_CONFIG_H
#define HOLDFAST_API_CONFIG_H

#include "base/log.h"
#include "daemon/node.h"
#include "rpc/rpc.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// Kinds of value, as people write them:
//   TEXT        any; min and max are its length in bytes
//   FLAG        true or false; as a flag --name or --no-name
//   COUNT       decimal digits
//   BYTES       digits with KiB, MiB, GiB or TiB, or bytes
//   SPAN        digits with ms, s, min, h or d; milliseconds within
//   DURABILITY  sync, group:SPAN or none
//   LEVEL       debug, info, warn or error
#define CONFIG_TYPE_TABLE(X)                                                                       \
    X(TEXT, char *, "text")                                                                        \
    X(FLAG, bool, "true|false")                                                                    \
    X(COUNT, uint64_t, "count")                                                                    \
    X(BYTES, uint64_t, "size")                                                                     \
    X(SPAN, uint64_t, "duration")                                                                  \
    X(DURABILITY, struct config_durability, "sync|group:duration|none")                            \
    X(LEVEL, enum hf_log_level, "debug|info|warn|error")

#define CONFIG_KI UINT64_C(1024)
#define CONFIG_MI (CONFIG_KI * 1024)
#define CONFIG_GI (CONFIG_MI * 1024)
#define CONFIG_TI (CONFIG_GI * 1024)
#define CONFIG_S  UINT64_C(1000)
#define CONFIG_M  (60 * CONFIG_S)
#define CONFIG_H  (60 * CONFIG_M)
#define CONFIG_D  (24 * CONFIG_H)

// G(title of the group), X(field, key, type, default, min, max, help).
// clang-format off
#define CONFIG_TABLE(G, X)                                                                         \
    G("Listening")                                                                                 \
    X(listen, "listen", TEXT, "127.0.0.1:7420", 1, 107,                                            \
      "gRPC address: host:port, [v6]:port or unix:/path; port 0 takes a free one")                 \
    X(tls_certificate, "tls_certificate", TEXT, "", 0, 4095,                                       \
      "PEM file with the server's certificate chain; empty: no TLS")                               \
    X(tls_key, "tls_key", TEXT, "", 0, 4095, "PEM file with the certificate's private key")        \
    X(tls_client_ca, "tls_client_ca", TEXT, "", 0, 4095,                                           \
      "PEM file of the authorities whose client certificates are required; empty: none asked for") \
    X(key_file, "key_file", TEXT, "", 0, 4095,                                                     \
      "file of API keys; read again on SIGHUP; empty: everybody may do everything")                \
    X(insecure, "insecure", FLAG, "false", 0, 1,                                                   \
      "listen outside loopback although TLS, or keys and client certificates, are missing")        \
    X(listener_check_ms, "listener_check", SPAN, "5s", 0, 5 * CONFIG_M,                            \
      "how often the daemon connects to itself; three times no answer ends it; 0: never")          \
    X(admin_listen, "admin_listen", TEXT, "127.0.0.1:7421", 0, 107,                                \
      "HTTP address of /metrics, /healthz, /readyz and /version; empty: none")                     \
    X(admin_public, "admin_public", FLAG, "false", 0, 1,                                           \
      "admin_listen may lie outside loopback although it knows neither TLS nor keys")              \
    X(admin_connections_max, "admin_connections_max", COUNT, "32", 1, 1024,                        \
      "HTTP connections at once; one more takes the place of the longest silent one")              \
    X(admin_timeout_ms, "admin_timeout", SPAN, "10s", CONFIG_S, 5 * CONFIG_M,                      \
      "an HTTP connection that is silent for so long is closed; whole seconds")                    \
    G("Data")                                                                                      \
    X(data_folder, "data_folder", TEXT, "/var/lib/holdfast", 1, 4095,                              \
      "journal, checkpoints and archive; made if it is not there")                                 \
    X(durability, "durability", DURABILITY, "sync", 1, 10 * CONFIG_S,                              \
      "answers wait for the disk (sync), or are told before a sync every so often (group:10ms), "  \
      "or nothing is ever synced (none, for benchmarks)")                                          \
    X(checkpoint_bytes, "checkpoint_bytes", BYTES, "256MiB", CONFIG_MI, CONFIG_TI,                 \
      "journal written since the last checkpoint that starts the next")                            \
    X(checkpoint_ms, "checkpoint_interval", SPAN, "1min", CONFIG_S, CONFIG_D,                      \
      "or that much time, if anything was written")                                                \
    X(lag_max_bytes, "checkpoint_lag_max", BYTES, "16GiB", 64 * CONFIG_MI, 16 * CONFIG_TI,         \
      "the checkpointer further behind the journal than that: requests are answered BUSY")         \
    X(archive, "archive", FLAG, "true", 0, 1,                                                      \
      "keep closed segments as archive files, for late cancels and returns, trace and finance")    \
    X(retention_ms, "archive_retention", SPAN, "400d", CONFIG_D, 36500 * CONFIG_D,                 \
      "age at which archive files are removed")                                                    \
    X(accept_clock, "accept_clock", FLAG, "false", 0, 1,                                           \
      "start although the wall clock contradicts the journal; for one start, see OPERATIONS")      \
    X(moved, "moved", FLAG, "false", 0, 1,                                                         \
      "the data folder was moved or restored, and what it was is gone; for one start")             \
    X(as_new, "as_new", FLAG, "false", 0, 1,                                                       \
      "the data folder is a copy to try things on: it never posts; for one start")      \
    X(restart_grace_ms, "restart_grace", SPAN, "0", 0, 7 * CONFIG_D,                               \
      "deadlines that passed while the daemon was away move to its start and so much more")        \
    G("Engine")                                                                                    \
    X(cells_max, "cells_max", COUNT, "1000000", 1, UINT64_C(1) << 28,                              \
      "pairs of SKU and location; 64 bytes and their names each, twice")                           \
    X(ids_max, "ids_max", COUNT, "4000000", 1, UINT64_C(1) << 30,                                  \
      "live reservations and remembered ids: rate x (id_window + id_skew) and live holds")         \
    X(blocks_max, "blocks_max", COUNT, "1000000", 1, UINT64_C(1) << 28,                            \
      "blocks of 256 bytes for lines and text beyond one short line")                              \
    X(window_ms, "id_window", SPAN, "24h", CONFIG_S, 45 * CONFIG_D,                                \
      "how long outcomes are remembered, so that a retry gets the same answer")                    \
    X(window_min_ms, "id_window_min", SPAN, "10min", CONFIG_S, 45 * CONFIG_D,                      \
      "how far the window may shrink before requests are answered BUSY")                           \
    X(skew_ms, "id_skew", SPAN, "5min", 0, CONFIG_D,                                               \
      "how far a client's id may be ahead of the engine's time")                                   \
    X(ttl_max_ms, "ttl_max", SPAN, "7d", CONFIG_S, 45 * CONFIG_D, "longest hold")                  \
    X(allow_v4, "allow_v4", FLAG, "false", 0, 1,                                                   \
      "holds may have random ids (UUIDv4); they are recognised only while remembered")             \
    X(huge_pages, "huge_pages", FLAG, "true", 0, 1, "try huge pages for the engine's memory")      \
    X(prefault, "prefault", FLAG, "false", 0, 1,                                                   \
      "touch all memory at the start, so that no decision waits for a page")                       \
    X(watchers_max, "watchers_max", COUNT, "256", 0, 65536, "WatchStock streams open at once")     \
    G("Journal")                                                                                   \
    X(segment_bytes, "segment_bytes", BYTES, "64MiB", CONFIG_MI, 16 * CONFIG_GI,                   \
      "size of a segment file; a multiple of 4KiB")                                                \
    X(segments_max, "segments_max", COUNT, "64", 3, 65535, "segment files at once, at most")       \
    X(segments_ready, "segments_ready", COUNT, "2", 1, 1024,                                       \
      "segments zero-written ahead of the writer")                                                 \
    X(group_bytes_max, "group_bytes_max", BYTES, "1MiB", 64 * CONFIG_KI, 256 * CONFIG_MI,          \
      "what one write and sync takes at most; a multiple of 4KiB")                                 \
    X(buffer_bytes, "buffer_bytes", BYTES, "64KiB", 36 * CONFIG_KI, 16 * CONFIG_MI,                \
      "a thread's journal buffer; the widest order must fit; a multiple of 64")                    \
    X(buffers_per_producer, "buffers_per_producer", COUNT, "8", 2, 1024, "buffers of each thread") \
    X(space_margin_blocks, "space_margin_blocks", COUNT, "64", 1, 65536,                           \
      "blocks of 4KiB kept out of every promise of space")                                         \
    G("gRPC")                                                                                      \
    X(grpc_pollers, "grpc_pollers", COUNT, "1", 1, 32,                                             \
      "threads that take requests; with the writer's no more than there are cores")                \
    X(grpc_calls_max, "grpc_calls_max", COUNT, "4096", 1, 65536,                                   \
      "unary calls in progress, each poller; beyond it RESOURCE_EXHAUSTED")                        \
    X(grpc_streams_max, "grpc_streams_max", COUNT, "1024", 1, 65536,                               \
      "streaming calls open, each poller; beyond it RESOURCE_EXHAUSTED")                           \
    X(grpc_key_share, "grpc_key_share", COUNT, "50", 1, 100,                                       \
      "percent of grpc_calls_max, grpc_streams_max, watchers_max and unread results that may be "  \
      "one key's")                                                                                 \
    X(grpc_connection_streams_max, "grpc_connection_streams_max", COUNT, "1024", 1, 65536,         \
      "calls at once on one connection")                                                           \
    X(grpc_message_bytes_max, "grpc_message_bytes_max", BYTES, "4MiB", 64 * CONFIG_KI,             \
      256 * CONFIG_MI, "largest request message")                                                  \
    X(grpc_metadata_bytes_max, "grpc_metadata_bytes_max", BYTES, "16KiB", CONFIG_KI, CONFIG_MI,    \
      "request metadata")                                                                          \
    X(grpc_memory_bytes_max, "grpc_memory_bytes_max", BYTES, "512MiB", 16 * CONFIG_MI,             \
      2047 * CONFIG_MI,                                                                            \
      "gRPC's own buffers, all connections; half as much again for results that nobody reads")     \
    X(grpc_handshake_ms, "grpc_handshake", SPAN, "10s", 100, 10 * CONFIG_M,                        \
      "TLS and HTTP/2 settings must be through by then")                                           \
    X(grpc_connection_age_ms, "grpc_connection_age", SPAN, "1h", CONFIG_S, 20 * CONFIG_D,          \
      "a connection is asked to go after it; spread by a tenth")                                   \
    X(grpc_connection_idle_ms, "grpc_connection_idle", SPAN, "15min", CONFIG_S, 20 * CONFIG_D,     \
      "a connection without calls is closed after it")                                             \
    X(grpc_keepalive_ms, "grpc_keepalive", SPAN, "1min", CONFIG_S, CONFIG_D,                       \
      "a silent connection is asked whether it lives")                                             \
    X(grpc_keepalive_timeout_ms, "grpc_keepalive_timeout", SPAN, "20s", CONFIG_S, CONFIG_H,        \
      "and closed when it does not answer")                                                        \
    X(grpc_drain_ms, "grpc_drain", SPAN, "10s", 0, CONFIG_H,                                       \
      "at the end, calls in progress may take so long")                                            \
    X(drain_delay_ms, "drain_delay", SPAN, "0", 0, 5 * CONFIG_M,                                   \
      "before that, so long calls are still taken while health says NOT_SERVING")                  \
    X(grpc_slow_queue_max, "grpc_slow_queue_max", COUNT, "1024", 1, 65536,                         \
      "calls of a role waiting for administration, lists, archive; beyond it RESOURCE_EXHAUSTED")  \
    G("Packets")                                                                                   \
    X(packet_listen, "packet_listen", TEXT, "", 0, 107,                                            \
      "UDP address on which orders are taken in as packets: host:port or [v6]:port; empty: none")  \
    X(packet_advertise, "packet_advertise", TEXT, "", 0, 107,                                      \
      "IP address and port that clients are told to send to; empty: packet_listen")                \
    X(packet_tags, "packet_tags", FLAG, "true", 0, 1,                                              \
      "frames carry a keyed tag; off: for a network that nobody else can reach")                   \
    X(packet_sessions_max, "packet_sessions_max", COUNT, "4096", 1, 65536, "sessions at once")     \
    X(packet_key_sessions_max, "packet_key_sessions_max", COUNT, "256", 1, 65536,                  \
      "of them, of one API key")                                                                   \
    X(packet_session_life_ms, "packet_session_life", SPAN, "12h", CONFIG_S, 45 * CONFIG_D,         \
      "longest life of a session")                                                                 \
    X(packet_session_rate, "packet_session_rate", COUNT, "0", 0, 4294967295,                       \
      "items a second of one session; 0: no bound")                                                \
    X(packet_queues, "packet_queues", COUNT, "1", 1, 16,                                           \
      "threads that take packets in, each with a queue of its own")                                \
    X(packet_cores, "packet_cores", TEXT, "", 0, 255,                                              \
      "processors of those threads, such as 2,3; empty: wherever the system puts them")            \
    X(packet_polling, "packet_polling", FLAG, "false", 0, 1,                                       \
      "the threads never sleep; for processors that do nothing else")                              \
    X(packet_burst, "packet_burst", COUNT, "32", 1, 64, "frames that are taken at once")           \
    X(packet_buffers, "packet_buffers", COUNT, "4096", 256, 1048576,                               \
      "frames of a queue that may wait for the disk; beyond it BUSY")                              \
    X(packet_eal, "packet_eal", TEXT, "", 0, 2047,                                                 \
      "arguments of DPDK's environment: packets are taken past the kernel; empty: by its sockets") \
    X(packet_device, "packet_device", TEXT, "", 0, 63,                                             \
      "name of DPDK's device; empty: the first. It answers for packet_listen's address")           \
    X(packet_also, "packet_also", TEXT, "", 0, 63,                                                 \
      "the device's second address: IPv6 when packet_listen has IPv4, or the other way round")     \
    X(packet_vlan, "packet_vlan", COUNT, "0", 0, 4094,                                             \
      "VLAN tag of the device's frames; 0: they have none")                                        \
    X(packet_descriptors, "packet_descriptors", COUNT, "1024", 32, 32768,                          \
      "length of the device's rings, each queue")                                                  \
    X(packet_idle_us, "packet_idle_us", COUNT, "50", 1, 1000,                                      \
      "microseconds that a thread sleeps before it looks at a quiet device again")                 \
    G("Odoo")                                                                                      \
    X(odoo_url, "odoo_url", TEXT, "", 0, 255,                                                      \
      "origin, such as https://odoo.example; empty: nothing is posted")                            \
    X(odoo_database, "odoo_database", TEXT, "", 0, 63, "name of the database")                     \
    X(odoo_key_file, "odoo_key_file", TEXT, "", 0, 4095,                                           \
      "file with the API key in its first line; read again on SIGHUP")                             \
    X(odoo_login, "odoo_login", TEXT, "", 0, 127,                                                  \
      "login of the key's user: JSON-RPC, for Odoo 18; empty: JSON-2")                             \
    X(odoo_ca_file, "odoo_ca_file", TEXT, "", 0, 4095,                                             \
      "PEM file of trusted authorities; empty: the system's")                                      \
    X(odoo_engine, "odoo_engine", TEXT, "holdfast", 1, 32,                                         \
      "this engine's name in Odoo's documents: a-z, 0-9, '-'; fixed for the folder's life")        \
    X(odoo_locations, "odoo_locations", TEXT, "", 0, 4095,                                         \
      "LOCATION=WAREHOUSE[:MODE[:ZONE]],...: Holdfast's locations, Odoo's warehouses, "            \
      "see OPERATIONS.md")                                                                         \
    X(odoo_action_id, "odoo_action_id", COUNT, "0", 0, 4294967295,                                 \
      "server action that posts a batch in one call; 0: two calls")                                \
    X(odoo_window_ms, "odoo_window", SPAN, "1s", 10, CONFIG_H,                                     \
      "movements are netted for at least so long")                                                 \
    X(odoo_batch_lines, "odoo_batch_lines", COUNT, "100", 1, 1024, "lines of one document")        \
    X(odoo_retry_max_ms, "odoo_retry_max", SPAN, "1min", CONFIG_S, CONFIG_H,                       \
      "longest wait between two tries")                                                            \
    X(odoo_posters, "odoo_posters", COUNT, "2", 1, 16,                                             \
      "documents under way at once, on disjoint products; Odoo's workers bound it")                \
    X(odoo_lines_per_s, "odoo_lines_per_s", COUNT, "0", 0, 100000,                                 \
      "lines posted a second, on average; 0: as fast as Odoo takes them")                          \
    X(odoo_closed, "odoo_closed", TEXT, "", 0, 255,                                                \
      "HH:MM-HH:MM[,...][ ZONE]: hours in which nothing is posted, by the clock of the zone "      \
      "(default UTC)")                                                                             \
    X(odoo_timeout_ms, "odoo_timeout", SPAN, "2min", CONFIG_S, CONFIG_H,                           \
      "a call that posts may take so long")                                                        \
    X(odoo_settle_ms, "odoo_settle", SPAN, "3min", 0, CONFIG_H,                                    \
      "after a start with moved nothing is posted for so long: more than Odoo's longest "          \
      "transaction")                                                                               \
    X(odoo_inbound_ms, "odoo_inbound", SPAN, "10s", 0, CONFIG_H,                                   \
      "others' moves and open demand are read so often; 0: not at all")                            \
    X(odoo_reconcile_ms, "odoo_reconcile", SPAN, "1h", 0, 24 * CONFIG_H,                           \
      "both sides' stock is compared so often; 0: when asked only")                                \
    X(odoo_short_release, "odoo_short_release", FLAG, "false", 0, 1,                               \
      "when a cell is short, its newest holds are given back; else people decide")                 \
    G("Process")                                                                                   \
    X(log_level, "log_level", LEVEL, "info", 0, 0, "least level that is logged, to standard error")
// clang-format on

enum config_id {
#define G(title)
#define X(field, ...) CONFIG_##field,
    CONFIG_TABLE(G, X)
#undef X
#undef G
        CONFIG_OPTION_COUNT
};

struct config_durability {
    enum journal_mode mode;
    uint32_t group_ms; // JOURNAL_GROUP
};

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAG };

enum config_command {
    CONFIG_RUN,
    CONFIG_CHECK,    // --check-config
    CONFIG_PRINT,    // --print-config
    CONFIG_DOCUMENT, // --document-config
    CONFIG_HELP,     // --help, -h
    CONFIG_VERSION,  // --version, -V
};

struct config {
#define G(title)
#define X(field, key, type, ...) CONFIG_C_##type field;
#define CONFIG_C_TEXT            char *
#define CONFIG_C_FLAG            bool
#define CONFIG_C_COUNT           uint64_t
#define CONFIG_C_BYTES           uint64_t
#define CONFIG_C_SPAN            uint64_t
#define CONFIG_C_DURABILITY      struct config_durability
#define CONFIG_C_LEVEL           enum hf_log_level
    CONFIG_TABLE(G, X)
#undef X
#undef G
    enum config_command command;
    bool no_memory; // not even for the defaults: nothing else here is valid
    char *file;     // of --config or HOLDFAST_CONFIG; NULL: none
    enum config_source sources[CONFIG_OPTION_COUNT];
    uint32_t lines[CONFIG_OPTION_COUNT]; // of the file
};

// What is wrong, in order of its being found; warnings don't end the start.
#define CONFIG_ERRORS_MAX 64
struct config_errors {
    uint32_t count, warnings;           // of texts below, errors and warnings together; of warnings
    uint32_t left_out;                  // beyond CONFIG_ERRORS_MAX
    char texts[CONFIG_ERRORS_MAX][300]; // "holdfast.yaml:12: cells_max: ..."
    bool warning[CONFIG_ERRORS_MAX];
};

// Set-up, one thread. True when there are no errors (warnings there may be). Either way config_fini
// gives the memory back. argv and environment as main has them. For HELP, VERSION and DOCUMENT
// nothing else is read.
bool config_load(struct config *c, int argc, char **argv, char **environment,
                 struct config_errors *errors);
void config_fini(struct config *c);

// Adds that the file which an option names is of no use, or that something is odd about it.
void config_wrong_file(struct config_errors *errors, const char *option, const char *path,
                       const char *why);
void config_warn_file(struct config_errors *errors, const char *option, const char *path,
                      const char *why);

void config_help(FILE *out);                          // every option
void config_print(const struct config *c, FILE *out); // as YAML that says the same, with sources
void config_document(FILE *out);                      // docs/configuration.md

// What the parts get. Texts are borrowed from c. workers: of the engine, by the caller's threads.
void config_to_node(const struct config *c, uint32_t workers, struct node_options *o);
void config_to_rpc(const struct config *c, struct rpc_limits *l);

// True for 127.0.0.0/8, ::1, localhost and unix:. Pure.
bool config_loopback(const char *address);
// host:port, [v6]:port into parts; false: neither. host_bytes >= 108. Pure.
bool config_host_port(const char *address, char *host, size_t host_bytes, uint16_t *port);

#endif
