// hotrow: two threads issue holds of one SKU, in the engine of `durable` and counted as there, then
// PostgreSQL does the same by updating one row and inserting the hold. In turns: the engine gets no
// requests while PostgreSQL works, and has had the time to end and forget what it had; PostgreSQL
// has written its pages before the engine begins. What the engine's threads took of a processor
// meanwhile is told. The engine ends its holds at their deadline, PostgreSQL only notes it.
#include "rows_hotrow.h"

#include "postgres.h"
#include "pump.h"
#include "rows_durable.h"

#include <stdlib.h>

#define THREADS      2
#define TTL_MS       500
#define TTL_SPREAD   1000
#define QUIET_LOOKS  60 // of half a second: more than twice what ids and holds need to go
#define QUIET_SHARE  0.03
#define LOOK_US      500000
#define BYTES_IN_KIB 1024

struct hotrow {
    struct rig rig;
    struct pump pump;
    struct postgres postgres;
    double seconds;
    uint64_t seed; // of the next pump; its ids must be new
};

// Of a processor, by the engine's threads since then.
static double share(const struct rig *rig, const struct rig_cpu *from, uint64_t begin_ns)
{
    struct rig_cpu to;
    uint64_t spent = 0;
    rig_cpu(rig, &to);
    for (int i = 0; i < RIG_THREADS; i++)
        spent += to.of_ns[i] - from->of_ns[i];
    return (double)spent / (double)(rig_ns() - begin_ns + 1);
}

// Waits until nothing is left to end, forget, check or pack; not for ever: the row tells.
static void quiet(const struct rig *rig)
{
    double busy = 1;
    for (int i = 0; i < QUIET_LOOKS && busy > QUIET_SHARE; i++) {
        struct rig_cpu from;
        uint64_t begin = rig_ns();
        rig_cpu(rig, &from);
        rig_sleep_us(LOOK_US);
        busy = share(rig, &from, begin);
    }
}

enum hf_status hotrow_set_up(const struct ratio_settings *s, void **ctx)
{
    struct hotrow *h = calloc(1, sizeof *h);
    *ctx = h;
    if (!h)
        return HF_NO_MEMORY;
    h->seconds = s->seconds * DURABLE_LONG;
    h->seed = 1;
    enum hf_status st = postgres_start(&h->postgres, s->folder);
    return st == HF_OK ? durable_engine_start(&h->rig, s, 1) : st;
}

static enum hf_status yardstick(struct hotrow *h, struct ratio_sample *out)
{
    struct rig_cpu from;
    quiet(&h->rig);
    uint64_t begin = rig_ns();
    rig_cpu(&h->rig, &from);
    enum hf_status st = postgres_reserve(&h->postgres, 1, h->seconds, &out->yardstick);
    out->notes[2] = share(&h->rig, &from, begin) * 100;
    if (st == HF_OK)
        st = postgres_reserve(&h->postgres, POSTGRES_SKUS, h->seconds, &out->notes[0]);
    out->notes[1] = h->postgres.version;
    return st;
}

static enum hf_status subject(struct hotrow *h, struct ratio_sample *out)
{
    struct journal *j = core_journal(h->rig.core);
    struct journal_metrics from, to;
    struct pump_totals spent;
    const struct load_options holds = {.verb = CORE_RESERVE,
                                       .lines = 1,
                                       .cells = 1,
                                       .ttl_ms = TTL_MS,
                                       .ttl_spread_ms = TTL_SPREAD,
                                       .quantity = 1,
                                       .seed = h->seed};
    h->seed += THREADS;
    if (!pump_start(&h->pump, &h->rig, &holds, THREADS))
        return HF_NO_MEMORY;
    rig_sleep_us(DURABLE_WARM_SECONDS * 1000000);
    journal_metrics(j, &from);
    double spent_ns = pump_during(&h->pump, h->seconds, &spent);
    journal_metrics(j, &to);
    double done = (double)spent.durable;
    out->notes[4] = pump_request_ns(&h->pump);
    pump_stop(&h->pump);
    if (rig_failed(&h->rig) || done == 0)
        return HF_STOPPED;
    out->subject = done * 1e6 / spent_ns;
    out->notes[3] = (double)(to.bytes_written - from.bytes_written) /
                    (double)(to.groups - from.groups + 1) / BYTES_IN_KIB;
    out->notes[5] = (double)spent.cpu_ns / done;
    out->notes[6] = (double)spent.stalls * 100 / (double)(spent.issued + 1);
    return HF_OK;
}

enum hf_status hotrow_measure(void *ctx, struct ratio_sample *out)
{
    enum hf_status st = yardstick(ctx, out);
    return st == HF_OK ? subject(ctx, out) : st;
}

void hotrow_tear_down(void *ctx)
{
    struct hotrow *h = ctx;
    pump_stop(&h->pump);
    rig_stop(&h->rig);
    postgres_stop(&h->postgres);
    free(h);
}
