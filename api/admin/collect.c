#include "admin/collect.h"

#include <string.h>

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static uint64_t behind(uint64_t ahead, uint64_t at)
{
    return ahead > at ? ahead - at : 0;
}

void collect_core(struct metrics *m, const struct core_metrics *c, uint64_t now_ms)
{
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_core_" #name_ "_total", c->name_, help_},
        CORE_METRIC_TABLE(X)
#undef X
            {METRICS_GAUGE, METRICS_PLAIN, "holdfast_used_ids", c->ids_used,
             "live reservations and remembered ids"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_max_ids", c->ids_max,
         "room for them (ids_max); nearly full, the window shrinks, then requests are BUSY"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_used_blocks", c->blocks_used,
         "blocks of 256 bytes in use for lines and text"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_max_blocks", c->blocks_max,
         "room for them (blocks_max)"},
        {METRICS_GAUGE, METRICS_MS, "holdfast_id_window_seconds", c->window_ms,
         "how long outcomes are remembered at present; below id_window: memory is short"},
        {METRICS_GAUGE, METRICS_MS, "holdfast_id_floor_age_seconds", behind(now_ms, c->floor_ms),
         "age of the oldest unknown id that is still accepted"},
        {METRICS_GAUGE, METRICS_MS, "holdfast_expiry_lag_max_seconds", c->expiry_lag_ms_max,
         "longest time from a deadline to the stock's return, since the start"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_checkpoints_total", c->checkpoints,
         "checkpoints written"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_checkpoint_lsn", c->checkpoint_lsn,
         "last record that the newest checkpoint covers"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_shadow_lsn", c->shadow_lsn,
         "last record that the checkpointer has read"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_archive_lsn", c->archive_lsn,
         "last record that is in the archive"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_follower_lost_total", c->follow_lost,
         "times that a reader of the journal was too far behind and let go"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_state_compared_total", c->compared,
         "times that the checkpointer's state and the live one were found equal"},
    };
    metrics_rows(m, rows, COUNT(rows));
}

void collect_stock(struct metrics *m, const struct collect_stock *s)
{
    const struct metrics_row rows[] = {
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_stock_cells", s->cells,
         "pairs of SKU and location"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_max_stock_cells", s->cells_max,
         "room for them (cells_max)"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_max_watchers", s->watchers_max,
         "WatchStock streams that may be open (watchers_max)"},
        // Only where cells are watched.
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_short_stock_cells", s->short_cells,
         "cells whose available quantity is below zero"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_watched_lsn", s->watched_lsn,
         "last record that watchers have been shown"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_watchers", s->watchers, "WatchStock streams open"},
    };
    metrics_rows(m, rows, s->has_short ? COUNT(rows) : COUNT(rows) - 3);
}

void collect_journal(struct metrics *m, const struct collect_journal *j)
{
    const struct journal_metrics *c = &j->metrics;
    const struct journal_space *s = &j->space;
    const struct metrics_row rows[] = {
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_journal_groups_total", c->groups,
         "groups written, each with one sync in mode sync"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_journal_records_total", c->records,
         "records written"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_journal_written_bytes_total", c->bytes_written,
         "bytes written, padding included"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_journal_syncs_total", c->syncs, "syncs"},
        {METRICS_COUNTER, METRICS_NS, "holdfast_journal_sync_seconds_total", c->sync_ns_total,
         "time spent in syncs"},
        {METRICS_GAUGE, METRICS_NS, "holdfast_journal_sync_max_seconds", c->sync_ns_max,
         "longest sync since the start"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_group_max_bytes", c->group_bytes_max,
         "largest group since the start"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_journal_pressure_waits_total", c->pressure_waits,
         "groups that waited for company because space was short"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_pressure_active", s->pressure,
         "1: space is short, lone records wait for company"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_usable_bytes", s->usable_bytes,
         "what can still be written"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_promised_bytes", s->promised_bytes,
         "of it, kept back for the ends of live holds and for what is under way"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_segments", s->segments, "segment files"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_free_segments", s->segments_free,
         "of them, ready to be written"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_appended_lsn", j->appended_lsn,
         "last record that was appended"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_journal_durable_lsn", j->durable_lsn,
         "last record that is on the disk"},
    };
    metrics_rows(m, rows, COUNT(rows));
}

void collect_rpc(struct metrics *m, const struct rpc_metrics *r,
                 const struct hf_histogram latency[RPC_STAGE_COUNT])
{
    static const char *const codes[RPC_CODE_COUNT] = {
#define X(number, name) [number] = #name,
        RPC_CODE_TABLE(X)
#undef X
    };
    static const char *const stages[RPC_STAGE_COUNT] = {
#define X(name, help) #name,
        RPC_STAGE_TABLE(X)
#undef X
    };
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_rpc_" #name_ "_total", r->name_, help_},
        RPC_METRIC_TABLE(X)
#undef X
            {METRICS_GAUGE, METRICS_PLAIN, "holdfast_rpc_open_calls", r->calls_open,
             "unary calls in progress"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_rpc_open_streams", r->streams_open,
         "streams open"},
        {METRICS_COUNTER, METRICS_PLAIN, "holdfast_rpc_connections_refused_total",
         r->connections_refused, "connections closed at once, as few file descriptors are left"},
    };
    metrics_rows(m, rows, COUNT(rows));
    static const char answered[] = "holdfast_rpc_answered_total";
    metrics_family(m, METRICS_COUNTER, answered, "calls ended, by status");
    for (int i = 0; i < RPC_CODE_COUNT; i++)
        metrics_value(m, answered, (struct metrics_label[]){{"code", codes[i]}, {NULL, NULL}},
                      METRICS_PLAIN, r->codes[i]);
    static const char name[] = "holdfast_rpc_stage_seconds";
    metrics_family(m, METRICS_HISTOGRAM, name,
                   "DECIDE: from a unary call's arrival to its decision; DURABLE: from there until "
                   "it was told");
    for (int i = 0; i < RPC_STAGE_COUNT; i++)
        metrics_histogram(m, name, (struct metrics_label[]){{"stage", stages[i]}, {NULL, NULL}},
                          &latency[i]);
}

void collect_service(struct metrics *m, const struct service_metrics *s,
                     const char *(*channel_name)(void *ctx, uint16_t channel), void *ctx)
{
    static const char decisions[] = "holdfast_decisions_total";
    static const char channels[] = "holdfast_channel_decisions_total";
    static const char *const outcomes[2] = {"DONE", "REFUSED"};
    metrics_family(m, METRICS_COUNTER, decisions, "answers over gRPC, by verb and outcome");
    for (int v = 0; v < CORE_VERB_COUNT; v++)
        for (int o = 0; o < CORE_OUTCOME_COUNT; o++)
            metrics_value(
                m, decisions,
                (struct metrics_label[]){{"verb", core_verb_name((enum core_verb)v)},
                                         {"outcome", core_outcome_name((enum core_outcome)o)},
                                         {NULL, NULL}},
                METRICS_PLAIN, s->decisions[v][o]);
    metrics_family(m, METRICS_COUNTER, channels,
                   "reservations, orders and records, by channel; empty: without one");
    for (int c = 0; c <= HF_CHANNELS_MAX; c++) {
        const char *name = c == 0 ? "" : channel_name(ctx, (uint16_t)c);
        for (int o = 0; name && o < 2; o++)
            metrics_value(
                m, channels,
                (struct metrics_label[]){{"channel", name}, {"outcome", outcomes[o]}, {NULL, NULL}},
                METRICS_PLAIN, s->by_channel[c][o]);
    }
}
