// What /metrics tells: each part's numbers as families. Pure, from the parts' own structs, so that
// nothing here holds on to a part.
#ifndef HOLDFAST_API_COLLECT_H
#define HOLDFAST_API_COLLECT_H

#include "admin/metrics.h"
#include "core/core.h"
#include "ingest/ingest.h"
#include "rpc/rpc.h"
#include "service/service.h"

struct collect_stock {
    uint64_t cells, cells_max;
    bool has_short; // known only where cells are watched
    uint64_t short_cells;
    uint64_t watched_lsn; // has_short: as of it
    uint64_t watchers, watchers_max;
};

struct collect_journal {
    struct journal_metrics metrics;
    struct journal_space space;
    uint64_t appended_lsn, durable_lsn;
};

struct collect_packets {
    struct ingest_metrics metrics;
    bool has_device;
    struct ingest_device device;
    uint64_t sessions, sessions_max;
};

void collect_core(struct metrics *m, const struct core_metrics *c, uint64_t now_ms);
void collect_stock(struct metrics *m, const struct collect_stock *s);
void collect_journal(struct metrics *m, const struct collect_journal *j);
void collect_rpc(struct metrics *m, const struct rpc_metrics *r,
                 const struct hf_histogram latency[RPC_STAGE_COUNT]);
// channel_name tells the name of a channel's number, NULL: none.
void collect_service(struct metrics *m, const struct service_metrics *s,
                     const char *(*channel_name)(void *ctx, uint16_t channel), void *ctx);
void collect_packets(struct metrics *m, const struct collect_packets *p);
// The process's memory, files, processor time, from the operating system and jemalloc (where that
// is linked in). Reads /proc: blocking, briefly.
void collect_process(struct metrics *m, uint64_t uptime_ms);

#endif
