#include "daemon/daemon_internal.h"

#include "daemon/binding.h"
#include "daemon/observer.h"
#include "daemon/odoo_options.h"
#include "daemon/packets.h"
#include "daemon/poster.h"
#include "daemon/tls_files.h"
#include "rpc/accept.h"
#include "sys/storage.h"

#include <errno.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#define CHECK_FAILURES  3
#define CHECK_ANSWER_MS 2000

// ------------------------------------------------------------------------------- files

bool daemon_files_check(const struct config *c, struct config_errors *errors)
{
    struct tls_files t;
    struct auth *auth;
    char why[200];
    tls_files_read(c, &t, errors);
    tls_files_free(&t);
    if (c->key_file[0] && auth_create(c->key_file, &auth, why) == HF_OK)
        auth_destroy(auth);
    else if (c->key_file[0])
        config_wrong_file(errors, "key_file", c->key_file, why);
    odoo_options_check(c, errors);
    return errors->count == errors->warnings;
}

// ------------------------------------------------------------------------------- callbacks

// gRPC's words about connections, in the log's form. A stranger can cause them, so that only one a
// second is let through; the next one tells how many were not.
static void grpc_says(gpr_log_func_args *args)
{
    static _Atomic uint64_t next_ns, dropped;
    uint64_t now = clock_monotonic_ns(clock_os());
    // Relaxed: numbers that stand for themselves. Two threads at once may let two through.
    if (now < atomic_load_explicit(&next_ns, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
        return;
    }
    atomic_store_explicit(&next_ns, now + 1000000000, memory_order_relaxed);
    const char *slash = strrchr(args->file, '/');
    char says[400]; // a stranger's words may be in it: they end neither the value nor the line
    snprintf(says, sizeof says, "%s", args->message);
    for (char *quote = says; (quote = strchr(quote, '"'));)
        *quote = '\'';
    hf_log(HF_LOG_WARN, "grpc", "at=%s:%d not_told=%llu says=\"%s\"",
           slash ? slash + 1 : args->file, args->line,
           (unsigned long long)atomic_exchange_explicit(&dropped, 0, memory_order_relaxed), says);
}

static void tell_doors(void *ctx)
{
    struct daemon *d = ctx;
    // Contended only while a front door comes or goes.
    pthread_mutex_lock(&d->told_lock);
    if (d->told)
        rpc_durable_advanced(d->told);
    if (d->told_packets)
        packets_durable_advanced(d->told_packets);
    pthread_mutex_unlock(&d->told_lock);
}

static void told_set(struct daemon *d, struct rpc *rpc)
{
    pthread_mutex_lock(&d->told_lock);
    d->told = rpc;
    if (rpc) // calls that came in before
        rpc_durable_advanced(rpc);
    pthread_mutex_unlock(&d->told_lock);
}

static void told_packets_set(struct daemon *d, struct packets *packets)
{
    pthread_mutex_lock(&d->told_lock);
    d->told_packets = packets;
    if (packets)
        packets_durable_advanced(packets);
    pthread_mutex_unlock(&d->told_lock);
}

// Crash-only: calls in progress can't be answered any more, and nothing is unwound.
void daemon_end_if_failed(const struct daemon *d)
{
    uint32_t failed = atomic_load(&d->failed);
    if (failed == EXIT_CODE_DONE)
        return;
    hf_log(HF_LOG_ERROR, "ending", "exit=%u", failed);
    _Exit((int)failed);
}

static void engine_failed(void *ctx, enum hf_status why, const char *step)
{
    struct daemon *d = ctx;
    (void)why, (void)step; // the node has logged them
    uint32_t none = EXIT_CODE_DONE;
    // Sequentially consistent, as `state` in daemon_drain: of a failure and a drain at one time,
    // one sees the other.
    atomic_compare_exchange_strong(&d->failed, &none, EXIT_CODE_FAILED);
    if (atomic_load(&d->state) == DAEMON_DRAINING)
        daemon_end_if_failed(d); // the drain would wait for answers that can't come
}

// Nobody can reach the process any more, and nothing that it holds is needed for a new start.
static void listener_deaf(void *ctx, const char *why)
{
    (void)ctx;
    hf_log(HF_LOG_ERROR, "listener_deaf", "exit=%d why=\"%s\"", EXIT_CODE_DEAF, why);
    _Exit(EXIT_CODE_DEAF);
}

// ------------------------------------------------------------------------------- set-up

static enum exit_code fail(enum exit_code code, const char *part, const char *why)
{
    hf_log(HF_LOG_ERROR, "start_failed", "part=%s exit=%d why=\"%s\"", part, code, why);
    return code;
}

// Connections, above all, need descriptors.
static void files_raise(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0)
        hf_log(HF_LOG_INFO, "files", "max=%llu", (unsigned long long)files.rlim_cur);
}

static enum exit_code keys_start(struct daemon *d)
{
    char why[200];
    const char *path = d->config->key_file[0] ? d->config->key_file : NULL;
    if (auth_create(path, &d->auth, why) != HF_OK) {
        d->auth = NULL;
        return fail(EXIT_CODE_CONFIG, "keys", why);
    }
    if (path)
        hf_log(HF_LOG_INFO, "keys", "count=%u", auth_key_count(d->auth));
    else
        hf_log(HF_LOG_WARN, "keys", "count=0 note=\"no key_file: everybody may do everything\"");
    return EXIT_CODE_DONE;
}

static void recovery_tell(const char *folder, const struct core_report *r)
{
    // Nothing behind the checkpoint: the last record is the checkpoint's.
    uint64_t last = r->journal.records ? r->journal.last_lsn : r->checkpoint_lsn;
    hf_log(HF_LOG_INFO, "recovered",
           "folder=\"%.200s\" checkpoint=%s checkpoint_lsn=%llu first_lsn=%llu last_lsn=%llu "
           "records=%llu torn_tail=%d cells=%llu live=%llu remembered=%llu load_ms=%llu "
           "replay_ms=%llu total_ms=%llu memory_mib=%llu huge_pages=%d epoch=%llu",
           folder, r->checkpoint[0] ? r->checkpoint : "none", (unsigned long long)r->checkpoint_lsn,
           (unsigned long long)r->journal.first_lsn, (unsigned long long)last,
           (unsigned long long)r->journal.records, r->journal.torn_tail,
           (unsigned long long)r->cells, (unsigned long long)r->live,
           (unsigned long long)r->remembered, (unsigned long long)(r->load_ns / 1000000),
           (unsigned long long)(r->replay_ns / 1000000),
           (unsigned long long)(r->total_ns / 1000000),
           (unsigned long long)((r->memory_bytes + r->memory_shadow_bytes) >> 20), r->huge_pages,
           (unsigned long long)r->journal.epoch);
}

// Whether the folder may be served where it is.
static enum exit_code binding_start(struct daemon *d)
{
    struct binding b;
    char why[300];
    const struct config *c = d->config;
    enum hf_status s = binding_read(c->data_folder, &b);
    if (s == HF_INVALID) {
        snprintf(why, sizeof why, "data_folder: %.200s: %s", c->data_folder,
                 storage_os_why(EACCES));
        return fail(exit_code_of(s), "binding", why);
    }
    if (s != HF_OK)
        return fail(exit_code_of(s), "binding", hf_status_help(s));
    d->binds = b.state != BINDING_HERE || c->moved || c->as_new;
    d->posting_off = c->as_new || (b.posting_off && !c->moved);
    if (b.state != BINDING_MOVED || c->moved || c->as_new)
        return EXIT_CODE_DONE;
    snprintf(why, sizeof why,
             "the data folder was last used on %s; start it once with --moved if what it was is "
             "gone, or with --as-new if it is a copy to try things on, which never posts",
             b.why);
    return fail(EXIT_CODE_ELSEWHERE, "binding", why);
}

// What the flusher has to learn first, before the folder counts as at home.
static enum hf_status move_note(const struct daemon *d)
{
    struct storage *storage;
    uint64_t random[2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return HF_IO;
    enum hf_status s = storage_os_create(d->config->data_folder, false, &storage);
    if (s != HF_OK)
        return s;
    struct core *core = node_core(d->node);
    s = flush_moved_begin(
        storage, core, hf_uuid_v7(clock_wall_ms(clock_os()), random[0], random[1]), core_now(core));
    storage_destroy(storage);
    return s;
}

static enum exit_code folder_bind(struct daemon *d)
{
    const struct config *c = d->config;
    enum hf_status s = c->moved ? move_note(d) : HF_OK;
    if (s == HF_OK && d->binds)
        s = binding_write(c->data_folder, d->posting_off);
    if (s != HF_OK)
        return fail(exit_code_of(s), "binding", hf_status_help(s));
    if (c->moved || c->as_new)
        hf_log(HF_LOG_WARN, "folder", "as=%s note=\"for one start: take the option out again\"",
               c->moved ? "moved" : "new");
    return EXIT_CODE_DONE;
}

static enum exit_code engine_start(struct daemon *d)
{
    struct node_options o;
    struct core_report *report = calloc(1, sizeof *report);
    if (!report)
        return fail(EXIT_CODE_RESOURCES, "engine", "no memory");
    // A worker for each poller and each queue of packets, the slow lane, the flusher and the
    // observer.
    config_to_node(d->config, (uint32_t)d->config->grpc_pollers + packets_workers(d->config) + 3,
                   &o);
    o.watch = true;
    o.on_failed = engine_failed;
    o.on_durable = tell_doors;
    o.ctx = d;
    if (d->config->durability.mode != JOURNAL_SYNC)
        hf_log(HF_LOG_WARN, "durability",
               "note=\"answers do not wait for the disk: what was "
               "acknowledged may be lost\"");
    enum hf_status s = node_open(&o, &d->node, report);
    enum exit_code code = exit_code_of(s);
    if (s == HF_OK) {
        recovery_tell(d->config->data_folder, report);
    } else {
        d->node = NULL;
        fail(code, "engine", report->why[0] ? report->why : hf_status_help(s));
    }
    free(report);
    return code;
}

static enum exit_code poster_start(struct daemon *d)
{
    char why[200] = "";
    if (d->config->odoo_url[0] == 0)
        return EXIT_CODE_DONE;
    if (d->posting_off) {
        hf_log(HF_LOG_WARN, "posting_off", "note=\"the folder is a copy: Odoo is not called\"");
        return EXIT_CODE_DONE;
    }
    enum hf_status s = poster_create(d->config, node_core(d->node), &d->poster, why);
    if (s == HF_OK)
        return EXIT_CODE_DONE;
    d->poster = NULL;
    return fail(s == HF_INVALID || s == HF_NOT_FOUND ? EXIT_CODE_CONFIG : exit_code_of(s),
                "flusher", why[0] ? why : hf_status_help(s));
}

static enum exit_code observer_start(struct daemon *d)
{
    char why[200] = "";
    if (!d->poster)
        return EXIT_CODE_DONE;
    enum hf_status s = observer_create(d->config, node_core(d->node), d->poster, &d->observer, why);
    if (s == HF_OK)
        return EXIT_CODE_DONE;
    d->observer = NULL;
    return fail(s == HF_INVALID || s == HF_NOT_FOUND ? EXIT_CODE_CONFIG : exit_code_of(s),
                "observer", why[0] ? why : hf_status_help(s));
}

static enum exit_code packets_start(struct daemon *d)
{
    char why[200] = "";
    if (packets_workers(d->config) == 0)
        return EXIT_CODE_DONE;
    enum hf_status s = packets_create(d->config, node_core(d->node), &d->packets, why);
    if (s == HF_OK) {
        told_packets_set(d, d->packets);
        return EXIT_CODE_DONE;
    }
    d->packets = NULL;
    return fail(s == HF_EXISTS ? EXIT_CODE_ADDRESS : exit_code_of(s), "packets",
                why[0] ? why : hf_status_help(s));
}

static enum exit_code service_start(struct daemon *d)
{
    struct service_options o = {.core = node_core(d->node),
                                .auth = d->auth,
                                .hub = node_hub(d->node),
                                .desk = d->poster ? poster_desk(d->poster) : NULL,
                                .observer = d->observer ? observer_ops(d->observer) : NULL,
                                .pollers = (uint32_t)d->config->grpc_pollers,
                                .watchers_max = (uint32_t)d->config->watchers_max,
                                .key_share = (uint32_t)d->config->grpc_key_share};
    if (d->packets)
        packets_to_service(d->packets, &o.packets);
    if (service_create(&o, &d->service) == HF_OK)
        return EXIT_CODE_DONE;
    d->service = NULL;
    return fail(EXIT_CODE_RESOURCES, "service", "no memory");
}

static enum exit_code listener_start(struct daemon *d)
{
    struct config_errors *errors = calloc(1, sizeof *errors);
    struct rpc_options o = {.address = d->config->listen, .hooks = service_hooks(d->service)};
    struct tls_files t;
    char why[200] = "no memory";
    enum hf_status s = HF_NO_MEMORY;
    if (!errors)
        return fail(EXIT_CODE_RESOURCES, "listener", why);
    // Read again, and so looked at again: the start may have taken a while.
    if (!tls_files_read(d->config, &t, errors)) {
        s = HF_INVALID;
        snprintf(why, sizeof why, "%.199s", errors->texts[0]);
    } else {
        o.tls = (struct rpc_tls){t.certificate, t.key, t.client_ca};
        d->tls_ends_s = t.ends_s;
        o.methods = service_methods(&o.method_count);
        config_to_rpc(d->config, &o.limits);
        s = rpc_create(&o, &d->rpc, why);
    }
    tls_files_free(&t);
    free(errors);
    if (s == HF_OK) {
        told_set(d, d->rpc);
        return EXIT_CODE_DONE;
    }
    d->rpc = NULL;
    return fail(s == HF_EXISTS    ? EXIT_CODE_ADDRESS
                : s == HF_INVALID ? EXIT_CODE_CONFIG
                                  : EXIT_CODE_RESOURCES,
                "listener", why);
}

static enum exit_code admin_start(struct daemon *d)
{
    char host[108], why[200];
    struct admin_server_options o = {.host = host,
                                     .connections_max = (uint32_t)d->config->admin_connections_max,
                                     .timeout_s = (uint32_t)(d->config->admin_timeout_ms / 1000),
                                     .version = d->version,
                                     .collect = daemon_collect,
                                     .healthy = daemon_healthy,
                                     .ready = daemon_ready,
                                     .ctx = d};
    if (d->config->admin_listen[0] == 0)
        return EXIT_CODE_DONE;
    // The options' check has seen that it reads.
    HF_ASSERT(config_host_port(d->config->admin_listen, host, sizeof host, &o.port));
    enum hf_status s = admin_server_create(&o, &d->admin, why);
    if (s == HF_OK)
        return EXIT_CODE_DONE;
    d->admin = NULL;
    return fail(s == HF_NO_MEMORY ? EXIT_CODE_RESOURCES : EXIT_CODE_ADDRESS, "admin", why);
}

static enum exit_code self_check_start(struct daemon *d)
{
    struct self_check_options o = {.address = d->config->listen,
                                   .port = rpc_port(d->rpc),
                                   .tls = d->config->tls_certificate[0] != 0,
                                   .interval_ms = (uint32_t)d->config->listener_check_ms,
                                   .answer_ms = CHECK_ANSWER_MS,
                                   .failures_max = CHECK_FAILURES,
                                   .refused = accept_refused,
                                   .on_deaf = listener_deaf,
                                   .ctx = d};
    if (o.interval_ms == 0)
        return EXIT_CODE_DONE;
    enum hf_status s = self_check_create(&o, &d->self_check);
    if (s == HF_OK)
        return EXIT_CODE_DONE;
    d->self_check = NULL;
    return fail(EXIT_CODE_RESOURCES, "self_check", hf_status_help(s));
}

enum exit_code daemon_start(const struct config *c, const char *version, struct daemon **out)
{
    static enum exit_code (*const parts[])(struct daemon * d) = {
        keys_start,    binding_start, engine_start,   folder_bind, poster_start,    observer_start,
        packets_start, service_start, listener_start, admin_start, self_check_start};
    struct daemon *d = calloc(1, sizeof *d);
    if (!d)
        return fail(EXIT_CODE_RESOURCES, "daemon", "no memory");
    d->config = c;
    d->started_ns = clock_monotonic_ns(clock_os());
    pthread_mutex_init(&d->told_lock, NULL);
    snprintf(d->version, sizeof d->version,
             "{\"name\":\"holdfastd\",\"version\":\"%s\",\"grpc_core\":\"%s\"}\n", version,
             grpc_version_string());
    gpr_set_log_function(grpc_says);
    files_raise();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        enum exit_code code = parts[i](d);
        if (code != EXIT_CODE_DONE) {
            daemon_stop(d);
            return code;
        }
    }
    atomic_store_explicit(&d->state, DAEMON_SERVING, memory_order_release);
    service_serving(d->service, true);
    hf_log(HF_LOG_INFO, "serving",
           "listen=\"%.107s\" port=%u tls=%d admin_port=%u packet_port=%u total_ms=%llu", c->listen,
           rpc_port(d->rpc), c->tls_certificate[0] != 0, d->admin ? admin_server_port(d->admin) : 0,
           d->packets ? packets_port(d->packets) : 0,
           (unsigned long long)((clock_monotonic_ns(clock_os()) - d->started_ns) / 1000000));
    *out = d;
    return EXIT_CODE_DONE;
}

// ------------------------------------------------------------------------------- meanwhile

// False: told, and the certificates in force stay.
static bool certificates_reload(struct daemon *d)
{
    struct tls_files t;
    struct config_errors *errors = calloc(1, sizeof *errors);
    const char *why = "no memory";
    if (d->config->tls_certificate[0] == 0 || !errors) {
        free(errors);
        return d->config->tls_certificate[0] == 0;
    }
    bool good = tls_files_read(d->config, &t, errors);
    if (!good)
        why = errors->texts[0];
    else if (!(good = rpc_certificates(
                          d->rpc, &(struct rpc_tls){t.certificate, t.key, t.client_ca}) == HF_OK))
        why = "the certificate or its key cannot be used";
    if (good)
        d->tls_ends_s = t.ends_s;
    else
        hf_log(HF_LOG_ERROR, "reload_failed",
               "note=\"the certificates in force stay\" why=\"%.200s\"", why);
    tls_files_free(&t);
    free(errors);
    return good;
}

void daemon_reload(struct daemon *d)
{
    char why[200];
    if (d->poster)
        poster_reload(d->poster);
    bool certificates = certificates_reload(d);
    if (d->observer)
        observer_reload(d->observer);
    enum hf_status s = auth_reload(d->auth, why);
    uint32_t sessions = s == HF_OK ? service_keys_changed(d->service) : 0;
    if (s != HF_OK)
        hf_log(HF_LOG_ERROR, "reload_failed",
               "status=%s note=\"the keys in force stay\" why=\"%s\"", hf_status_name(s), why);
    else // also beside certificates that were refused: the keys have changed all the same
        hf_log(HF_LOG_INFO, "reloaded",
               "keys=%u sessions_ended=%u certificates=%s certificate_end_s=%llu "
               "note=\"options are read at the start only\"",
               auth_key_count(d->auth), sessions, certificates ? "read" : "stay",
               (unsigned long long)d->tls_ends_s);
}

// ------------------------------------------------------------------------------- the end

void daemon_drain(struct daemon *d)
{
    uint64_t ms = d->config->drain_delay_ms;
    struct timespec delay = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    atomic_store(&d->state, DAEMON_DRAINING);
    daemon_end_if_failed(d);
    hf_log(HF_LOG_INFO, "draining", "delay_ms=%llu calls_ms=%llu", (unsigned long long)ms,
           (unsigned long long)d->config->grpc_drain_ms);
    service_serving(d->service, false);
    if (ms > 0)
        nanosleep(&delay, NULL);
    self_check_destroy(d->self_check); // it would find a listener that has closed
    d->self_check = NULL;
    if (d->packets) // beside the calls: one bound for both
        packets_drain_begin(d->packets, (uint32_t)d->config->grpc_drain_ms);
    rpc_drain(d->rpc);
    if (d->packets)
        packets_drain_end(d->packets);
}

void daemon_stop(struct daemon *d)
{
    self_check_destroy(d->self_check);
    if (d->admin)
        admin_server_destroy(d->admin);
    told_set(d, NULL);
    if (d->rpc)
        rpc_destroy(d->rpc);
    if (d->service)
        service_destroy(d->service);
    observer_destroy(d->observer);
    told_packets_set(d, NULL);
    packets_destroy(d->packets);
    poster_destroy(d->poster);
    if (d->node)
        node_close(d->node);
    auth_destroy(d->auth);
    pthread_mutex_destroy(&d->told_lock);
    free(d);
}
