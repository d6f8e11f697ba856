// expiry: a million holds whose deadlines lie within one second, evenly, while another thread sells
// at a steady rate and everything is synced, checkpointed and archived. The figure is the worst
// lag: how long after its deadline the last hold that was due had its stock back.
//
// It is seen from outside: every half millisecond the engine's time and its count of ended holds
// are read. Holds end in the order of their deadlines, so the count tells the deadline up to which
// all have ended, to within a batch of the timers' thread. The engine tells a worst lag as well
// (expiry_lag_ms_max), which no sleep of the watching thread hides; the greater one counts.
#include "rows_expiry.h"

#include "load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define HOLDS       1000000u
#define SPAN_MS     1000u
#define CELLS       (64u << 10)
#define AHEAD_MS    4000u // from the first hold made to the first that ends
#define SETTLE_MS   2000u // until the last hold must be over
#define SAMPLE_US   500
#define SELL_US     100 // a batch of orders each: 320,000 orders a second
#define GOAL_LAG_MS 10

struct expiry_row {
    char folder[200];
    struct rig rig;
    struct load holds, orders;
    struct load_result sold;
    _Atomic bool stop;
    uint32_t due[SPAN_MS]; // holds by the millisecond of their deadline, cumulative in the end
};

enum hf_status expiry_set_up(const struct ratio_settings *s, void **ctx)
{
    struct expiry_row *e = calloc(1, sizeof *e);
    *ctx = e;
    if (!e)
        return HF_NO_MEMORY;
    strncpy(e->folder, s->folder, sizeof e->folder - 1);
    return HF_OK;
}

void expiry_tear_down(void *ctx)
{
    free(ctx);
}

// The load's own thread: a batch at fixed times, or late ones back to back.
static void *sell(void *ctx)
{
    struct expiry_row *e = ctx;
    struct core_worker *w = core_worker_create(e->rig.core);
    load_init(&e->orders, &e->rig, w,
              &(struct load_options){
                  .verb = CORE_ORDER, .lines = 1, .cells = CELLS, .quantity = 1, .seed = 2});
    uint64_t due = rig_ns();
    while (!atomic_load(&e->stop) && !rig_failed(&e->rig)) {
        load_fill(&e->orders);
        load_execute(&e->orders, &e->sold);
        due += SELL_US * 1000;
        uint64_t now = rig_ns();
        if (due > now)
            rig_sleep_us((uint32_t)((due - now) / 1000));
    }
    core_worker_destroy(w);
    return NULL;
}

// Fills until there are as many; each lasts until its place in the span. False: it took too long.
static bool hold_all(struct expiry_row *e, uint64_t span_begin_ms)
{
    struct load_result r = {0};
    load_init(&e->holds, &e->rig, e->rig.worker,
              &(struct load_options){.verb = CORE_RESERVE,
                                     .lines = 1,
                                     .cells = CELLS,
                                     .quantity = 1,
                                     .ttl_ms = 1,
                                     .seed = 1});
    for (uint64_t done = 0; done < HOLDS; done = r.done) {
        load_fill(&e->holds);
        if (e->holds.now_ms >= span_begin_ms || rig_failed(&e->rig))
            return false;
        for (uint32_t i = 0; i < RIG_BATCH; i++) {
            uint32_t place = (uint32_t)((done + i) % SPAN_MS);
            e->holds.requests[i].ttl_ms = (uint32_t)(span_begin_ms - e->holds.now_ms) + place;
        }
        load_execute(&e->holds, &r);
        for (uint32_t i = 0; i < RIG_BATCH; i++)
            if (e->holds.answers[i].outcome == CORE_OUT_DONE)
                e->due[e->holds.answers[i].time_ms - span_begin_ms]++;
    }
    for (uint32_t ms = 1; ms < SPAN_MS; ms++)
        e->due[ms] += e->due[ms - 1];
    return rig_settle(&e->rig);
}

// Milliseconds since the deadline of the oldest hold that is due and has not ended.
static uint64_t lag_of(const struct expiry_row *e, uint64_t passed_ms, uint64_t ended)
{
    uint64_t last = passed_ms < SPAN_MS ? passed_ms : SPAN_MS - 1;
    for (uint64_t ms = 0; ms <= last; ms++)
        if (e->due[ms] > ended)
            return passed_ms - ms;
    return 0;
}

// Returns whether all have ended.
static bool watch(struct expiry_row *e, uint64_t span_begin_ms, struct ratio_sample *out)
{
    struct core_metrics m;
    uint64_t worst = 0, over = 0, samples = 0, now_ms;
    do {
        rig_sleep_us(SAMPLE_US);
        now_ms = core_now(e->rig.core);
        core_metrics(e->rig.core, &m); // after the time: a lag is never told too small by it
        if (now_ms < span_begin_ms)
            continue;
        uint64_t lag = lag_of(e, now_ms - span_begin_ms, m.expired);
        worst = lag > worst ? lag : worst;
        over += lag > GOAL_LAG_MS;
        samples++;
    } while (now_ms < span_begin_ms + SPAN_MS + SETTLE_MS && m.expired < e->due[SPAN_MS - 1] &&
             !rig_failed(&e->rig));
    uint64_t own = m.expiry_lag_ms_max;
    out->subject = (double)(own > worst ? own : worst);
    out->notes[0] = (double)worst;
    out->notes[1] = (double)own;
    out->notes[2] = (double)over * 100 / (double)(samples + 1);
    return m.expired >= e->due[SPAN_MS - 1];
}

static enum hf_status run(struct expiry_row *e, struct ratio_sample *out)
{
    pthread_t thread;
    struct rig_cpu from, to;
    memset(e->due, 0, sizeof e->due);
    memset(&e->sold, 0, sizeof e->sold);
    atomic_store(&e->stop, false);
    uint64_t span_begin_ms = core_now(e->rig.core) + AHEAD_MS;
    if (!hold_all(e, span_begin_ms))
        return rig_failed(&e->rig) ? HF_STOPPED : HF_BUSY;
    if (pthread_create(&thread, NULL, sell, e) != 0)
        return HF_NO_MEMORY;
    rig_cpu(&e->rig, &from);
    uint64_t begin = rig_ns();
    bool all = watch(e, span_begin_ms, out);
    double spent = (double)(rig_ns() - begin);
    rig_cpu(&e->rig, &to);
    atomic_store(&e->stop, true);
    pthread_join(thread, NULL);
    out->notes[3] = (double)e->sold.done * 1e3 / spent;
    out->notes[4] = (double)(to.of_ns[RIG_TIMERS] - from.of_ns[RIG_TIMERS]) / HOLDS;
    return rig_failed(&e->rig) || !all ? HF_STOPPED : HF_OK;
}

enum hf_status expiry_measure(void *ctx, struct ratio_sample *out)
{
    struct expiry_row *e = ctx;
    struct rig_options o = {.parent = e->folder,
                            .cells = CELLS,
                            .ids_max = 8u << 20,
                            .stock = RIG_STOCK,
                            .mode = JOURNAL_SYNC,
                            .background = true,
                            .buffers = 64};
    enum hf_status st = rig_start(&e->rig, &o);
    if (st == HF_OK)
        st = run(e, out);
    rig_stop(&e->rig);
    return st;
}
