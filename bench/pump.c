#include "pump.h"

#define TELL_BATCHES 512 // between publications of the slower figures

static void retire(struct pump_thread *t)
{
    uint64_t durable = core_durable(t->rig->core), done = 0;
    while (t->tail < t->head && t->waiting[t->tail % PUMP_OUTSTANDING].ticket <= durable)
        done += t->waiting[t->tail++ % PUMP_OUTSTANDING].done;
    if (done)
        atomic_store_explicit(&t->durable, atomic_load_explicit(&t->durable, memory_order_relaxed) +
                                               done, memory_order_relaxed);
}

static void tell(struct pump_thread *t, const struct load_result *r)
{
    atomic_store_explicit(&t->stalls, r->stalls, memory_order_relaxed);
    atomic_store_explicit(&t->issued, t->head, memory_order_relaxed);
    if (t->head % TELL_BATCHES != 0)
        return;
    atomic_store_explicit(&t->cpu_ns, rig_self_cpu_ns(), memory_order_relaxed);
    atomic_store_explicit(&t->request_ns, (uint32_t)load_request_ns(&t->load),
                          memory_order_relaxed);
}

static void *pump_main(void *ctx)
{
    struct pump_thread *t = ctx;
    struct core_worker *w = core_worker_create(t->rig->core);
    struct load_result r = {0};
    if (!w)
        return NULL;
    load_init(&t->load, t->rig, w, &t->options);
    while (!atomic_load_explicit(&t->stop, memory_order_relaxed) && !rig_failed(t->rig)) {
        uint64_t done = r.done;
        load_fill(&t->load);
        load_execute(&t->load, &r);
        t->waiting[t->head % PUMP_OUTSTANDING].ticket = t->load.ticket;
        t->waiting[t->head % PUMP_OUTSTANDING].done = (uint32_t)(r.done - done);
        t->head++;
        retire(t);
        // Full: half of it is waited for at once.
        if (t->head - t->tail == PUMP_OUTSTANDING) {
            uint64_t half = t->waiting[(t->tail + PUMP_OUTSTANDING / 2) % PUMP_OUTSTANDING].ticket;
            while (core_wait(t->rig->core, half, 100) == HF_AGAIN && !rig_failed(t->rig))
                ;
            retire(t);
        }
        tell(t, &r);
    }
    core_worker_destroy(w);
    return NULL;
}

bool pump_start(struct pump *p, struct rig *rig, const struct load_options *o, uint32_t count)
{
    p->count = 0;
    for (uint32_t i = 0; i < count && i < PUMP_THREADS_MAX; i++) {
        struct pump_thread *t = &p->threads[i];
        t->rig = rig;
        t->options = *o;
        t->options.seed += i;
        t->head = t->tail = 0;
        atomic_store(&t->durable, 0);
        atomic_store(&t->stop, false);
        if (pthread_create(&t->thread, NULL, pump_main, t) != 0)
            return false;
        p->count++;
    }
    return true;
}

void pump_stop(struct pump *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        atomic_store(&p->threads[i].stop, true);
    for (uint32_t i = 0; i < p->count; i++)
        pthread_join(p->threads[i].thread, NULL);
    p->count = 0;
}

void pump_totals(const struct pump *p, struct pump_totals *out)
{
    *out = (struct pump_totals){0};
    for (uint32_t i = 0; i < p->count; i++) {
        const struct pump_thread *t = &p->threads[i];
        out->durable += atomic_load_explicit(&t->durable, memory_order_relaxed);
        out->stalls += atomic_load_explicit(&t->stalls, memory_order_relaxed);
        out->issued += atomic_load_explicit(&t->issued, memory_order_relaxed);
        out->cpu_ns += atomic_load_explicit(&t->cpu_ns, memory_order_relaxed);
    }
}

double pump_during(const struct pump *p, double seconds, struct pump_totals *out)
{
    struct pump_totals from;
    uint64_t begin = rig_ns();
    pump_totals(p, &from);
    rig_sleep_us((uint32_t)(seconds * 1e6));
    pump_totals(p, out);
    out->durable -= from.durable;
    out->stalls -= from.stalls;
    out->issued -= from.issued;
    out->cpu_ns -= from.cpu_ns;
    return (double)(rig_ns() - begin);
}

double pump_request_ns(const struct pump *p)
{
    double sum = 0;
    for (uint32_t i = 0; i < p->count; i++)
        sum += atomic_load_explicit(&p->threads[i].request_ns, memory_order_relaxed);
    return p->count ? sum / p->count : 0;
}
