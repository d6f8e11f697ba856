#include "admin/collect.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

static void collect_loop(struct metrics *m, const struct collect_packets *p)
{
    const struct ingest_metrics *c = &p->metrics;
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_packet_" #name_ "_total", c->name_, help_},
        INGEST_METRIC_TABLE(X)
#undef X
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_packet_port_" #name_ "_total", c->port.name_, help_},
            INGEST_PORT_METRIC_TABLE(X)
#undef X
                {METRICS_GAUGE, METRICS_PLAIN, "holdfast_packet_held_frames", c->held,
                 "frames that wait for the disk"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_packet_sessions", p->sessions, "sessions open"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_max_packet_sessions", p->sessions_max,
         "room for them (packet_sessions_max)"},
    };
    metrics_rows(m, rows, COUNT(rows));
}

static void collect_device(struct metrics *m, const struct ingest_device *d)
{
    const struct metrics_row rows[] = {
#define X(name_, help_)                                                                            \
    {METRICS_COUNTER, METRICS_PLAIN, "holdfast_packet_device_" #name_ "_total", d->name_, help_},
        INGEST_DEVICE_METRIC_TABLE(X)
#undef X
            {METRICS_GAUGE, METRICS_PLAIN, "holdfast_packet_device_link_state", d->link_up,
             "1: the device has a link"},
        {METRICS_GAUGE, METRICS_PLAIN, "holdfast_packet_device_link_mbps", d->link_mbps,
         "its speed, megabits a second; 0: not known"},
    };
    metrics_rows(m, rows, COUNT(rows));
}

void collect_packets(struct metrics *m, const struct collect_packets *p)
{
    static const char dropped[] = "holdfast_packet_dropped_total";
    static const char outcomes[] = "holdfast_packet_items_answered_total";
    static const char *const names[PACKET_OUT_END] = {
#define X(number, name, help) [number] = #name,
        PACKET_OUTCOME_TABLE(X)
#undef X
    };
    collect_loop(m, p);
    if (p->has_device)
        collect_device(m, &p->device);
    metrics_family(m, METRICS_COUNTER, dropped, "frames that were not answered, by cause");
    for (int i = 0; i < INGEST_DROP_COUNT; i++)
        metrics_value(m, dropped,
                      (struct metrics_label[]){{"cause", ingest_drop_name((enum ingest_drop)i)},
                                               {NULL, NULL}},
                      METRICS_PLAIN, p->metrics.dropped[i]);
    metrics_family(m, METRICS_COUNTER, outcomes, "items answered by packet, by outcome");
    for (int i = 1; i < PACKET_OUT_END; i++)
        metrics_value(m, outcomes, (struct metrics_label[]){{"outcome", names[i]}, {NULL, NULL}},
                      METRICS_PLAIN, p->metrics.outcomes[i]);
}
