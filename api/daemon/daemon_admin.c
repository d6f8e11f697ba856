// What the admin address tells of the whole daemon.
#include "daemon/daemon_internal.h"

#include "admin/collect.h"
#include "daemon/observer.h"
#include "daemon/packets.h"
#include "daemon/poster.h"
#include "watch/hub.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static const char *channel_name(void *ctx, uint16_t channel)
{
    return core_channel_name(ctx, channel);
}

static void collect_engine(struct daemon *d, struct metrics *m)
{
    struct core *core = node_core(d->node);
    struct journal *j = core_journal(core);
    const struct watch_hub *hub = node_hub(d->node);
    struct core_metrics c;
    struct collect_journal journal = {.appended_lsn = journal_appended(j),
                                      .durable_lsn = journal_durable(j)};
    struct collect_stock stock = {.cells = core_cell_count(core),
                                  .cells_max = d->config->cells_max,
                                  .has_short = watch_hub_status(hub) == HF_OK,
                                  .short_cells = watch_hub_short(hub),
                                  .watched_lsn = watch_hub_lsn(hub),
                                  .watchers = watch_hub_watchers(hub),
                                  .watchers_max = d->config->watchers_max};
    core_metrics(core, &c);
    journal_metrics(j, &journal.metrics);
    journal_space(j, &journal.space);
    collect_core(m, &c, core_now(core));
    collect_stock(m, &stock);
    collect_journal(m, &journal);
}

static void collect_listener(struct daemon *d, struct metrics *m)
{
    struct rpc_metrics rpc;
    struct service_metrics service;
    struct hf_histogram *latency = calloc(RPC_STAGE_COUNT, sizeof *latency);
    if (!latency) {
        m->failed = true;
        return;
    }
    for (unsigned stage = 0; stage < RPC_STAGE_COUNT; stage++)
        rpc_latency(d->rpc, (enum rpc_stage)stage, &latency[stage]);
    rpc_metrics(d->rpc, &rpc);
    service_metrics(d->service, &service);
    collect_rpc(m, &rpc, latency);
    collect_service(m, &service, channel_name, node_core(d->node));
    free(latency);
}

static void collect_flusher(const struct daemon *d, struct metrics *m)
{
    struct flush_metrics f;
    if (!d->poster)
        return;
    poster_metrics(d->poster, &f);
    uint64_t now_ms = core_now(node_core(d->node));
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_flush_" #name_ "_total", f.name_, help_},
        FLUSH_METRIC_TABLE(X)
#undef X
            {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_backlog_movements",
             f.window_movements + f.open_movements, "movements read and not acknowledged yet"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_open_batches", f.open_batches,
         "batches formed and not acknowledged yet"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_calls_under_way", f.calling,
         "calls to Odoo that are under way"},
        {METRICS_GAUGE, METRICS_MS, "holdfast_flush_oldest_age_seconds",
         f.oldest_ms && now_ms > f.oldest_ms ? now_ms - f.oldest_ms : 0,
         "age of the oldest movement that is not posted"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_dead_letters", f.dead_letters,
         "movements that could not be posted and wait for a person"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_pause_state", f.pause,
         "0: posting; else why not, as numbered in docs/OPERATIONS.md"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_read_lsn", f.read_lsn,
         "last record that the flusher has read"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_flush_ended_state",
         poster_status(d->poster) != HF_OK, "1: the flusher has ended; see the log"},
    };
    metrics_rows(m, rows, sizeof rows / sizeof *rows);
}

static void collect_observer(const struct daemon *d, struct metrics *m)
{
    struct inbound_metrics in;
    struct observe_state last;
    if (!d->observer)
        return;
    observer_metrics(d->observer, &in, &last);
    uint64_t now_ms = core_now(node_core(d->node));
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_inbound_" #name_ "_total", in.name_, help_},
        INBOUND_METRIC_TABLE(X)
#undef X
            {METRICS_GAUGE, METRICS_MS, "holdfast_inbound_age_seconds",
             d->config->odoo_inbound_ms ? inbound_age_ms(&in, now_ms) : 0,
             "since others' moves were last read through, or since the start"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_inbound_ended_state", in.ended,
         "1: others' moves are not read any more; see the log"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_reconcile_differing_cells", last.differing,
         "cells whose difference nothing explained, at the last reconciliation"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_reconcile_fraction_cells", last.odd,
         "cells that are no whole number of smallest units in Odoo, then"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_short_cells", last.short_cells,
         "cells with less than nothing available; see holdfastctl short"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_short_released_total", last.released,
         "holds given back because their cell was short"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_reconcile_end_seconds", last.finished_ms / 1000,
         "end of the last reconciliation, since 1970; 0: none yet"},
    };
    metrics_rows(m, rows, sizeof rows / sizeof *rows);
}

static void collect_doors(const struct daemon *d, struct metrics *m)
{
    struct collect_packets c;
    if (!d->packets)
        return;
    packets_metrics(d->packets, &c.metrics);
    c.has_device = packets_device(d->packets, &c.device);
    c.sessions = ingest_sessions_open_count(packets_sessions(d->packets));
    c.sessions_max = ingest_sessions_max(packets_sessions(d->packets));
    collect_packets(m, &c);
}

void daemon_collect(void *ctx, struct metrics *m)
{
    struct daemon *d = ctx;
    char why[200];
    const struct metrics_row rows[] = {
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_ready_state", daemon_ready(d, why),
         "1: serving, as /readyz tells"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_valid_keys", auth_key_count(d->auth),
         "API keys in force; 0: without a key file, open to everybody"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_tls_certificate_end_seconds", d->tls_ends_s,
         "last second of the listener's certificate, since 1970; 0: no TLS"},
    };
    metrics_rows(m, rows, sizeof rows / sizeof *rows);
    collect_engine(d, m);
    collect_flusher(d, m);
    collect_observer(d, m);
    collect_listener(d, m);
    collect_doors(d, m);
    collect_process(m, (clock_monotonic_ns(clock_os()) - d->started_ns) / 1000000);
}

bool daemon_healthy(void *ctx, char why[200])
{
    struct daemon *d = ctx;
    enum hf_status s = node_failed(d->node);
    if (s == HF_OK)
        return true;
    snprintf(why, 200, "the engine has stopped: %s", hf_status_help(s));
    return false;
}

bool daemon_ready(void *ctx, char why[200])
{
    struct daemon *d = ctx;
    // Pairs with the stores in daemon.c; what it tells is advice.
    uint32_t state = atomic_load_explicit(&d->state, memory_order_acquire);
    if (state != DAEMON_SERVING) {
        snprintf(why, 200, state == DAEMON_STARTING ? "starting" : "draining");
        return false;
    }
    return daemon_healthy(d, why);
}
