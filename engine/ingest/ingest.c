// Set-up of a queue, and its words.
#include "ingest/ingest.h"

#include "ingest/ingest_internal.h"

#include <stdlib.h>

#define NAME_OF(names, at)                                                                         \
    ((unsigned)(at) < sizeof(names) / sizeof *(names) ? (names)[at] : "unknown")

const char *ingest_drop_name(enum ingest_drop d)
{
    static const char *const names[] = {
#define X(name, help) #name,
        INGEST_DROP_TABLE(X)
#undef X
    };
    return NAME_OF(names, d);
}

const char *ingest_drop_help(enum ingest_drop d)
{
    static const char *const helps[] = {
#define X(name, help) help,
        INGEST_DROP_TABLE(X)
#undef X
    };
    return NAME_OF(helps, d);
}

static uint32_t power_of_two(uint32_t least)
{
    uint32_t n = 1;
    while (n < least)
        n *= 2;
    return n;
}

static bool memory_take(struct ingest_queue *q, uint32_t held_max)
{
    uint32_t places = q->sessions.mask + 1, ring = power_of_two(held_max);
    if (!hf_memory_map(&q->held_memory, ring * sizeof *q->held, HF_PAGES_SMALL) ||
        !hf_memory_map(&q->window_memory, places * sizeof *q->windows, HF_PAGES_SMALL))
        return false;
    hf_memory_prefault(&q->held_memory);
    hf_memory_prefault(&q->window_memory);
    q->held = q->held_memory.base;
    q->held_mask = ring - 1;
    q->windows = q->window_memory.base;
    return true;
}

enum hf_status ingest_queue_create(const struct ingest_queue_options *o, struct ingest_queue **out)
{
    HF_ASSERT(o->burst >= 1 && o->burst <= INGEST_BURST_MAX);
    HF_ASSERT(o->port->frames_max >= 2 * o->burst);
    struct ingest_queue *q = aligned_alloc(HF_CACHE_LINE, sizeof *q);
    if (!q)
        return HF_NO_MEMORY;
    *q = (struct ingest_queue){.core = o->core,
                               .worker = o->worker,
                               .port = o->port,
                               .sessions = ingest_sessions_table(o->sessions),
                               .held_max = o->port->frames_max - o->burst,
                               .number = o->number,
                               .burst = o->burst,
                               .generation = core_generation(o->core),
                               .waits = core_answers_wait(o->core)};
    if (!memory_take(q, q->held_max)) {
        hf_memory_unmap(&q->held_memory);
        hf_memory_unmap(&q->window_memory);
        free(q);
        return HF_NO_MEMORY;
    }
    if (o->port->ops->attach)
        o->port->ops->attach(o->port);
    *out = q;
    return HF_OK;
}

void ingest_queue_destroy(struct ingest_queue *q)
{
    if (!q)
        return;
    for (; q->held_out != q->held_in; q->held_out++)
        q->port->ops->drop(q->port, &q->held[q->held_out & q->held_mask], 1);
    hf_memory_unmap(&q->held_memory);
    hf_memory_unmap(&q->window_memory);
    free(q);
}

void ingest_queue_metrics(const struct ingest_queue *q, struct ingest_metrics *sum)
{
    const struct ingest_metrics *m = &q->metrics;
    const struct ingest_port_metrics *p = &q->port->metrics;
#define X(name, help) sum->name += hf_load_relaxed(&m->name);
    INGEST_METRIC_TABLE(X)
#undef X
    for (int i = 0; i < INGEST_DROP_COUNT; i++)
        sum->dropped[i] += hf_load_relaxed(&m->dropped[i]);
    for (int i = 0; i < PACKET_OUT_END; i++)
        sum->outcomes[i] += hf_load_relaxed(&m->outcomes[i]);
    sum->held += hf_load_relaxed(&m->held);
#define X(name, help) sum->port.name += hf_load_relaxed(&p->name);
    INGEST_PORT_METRIC_TABLE(X)
#undef X
}
