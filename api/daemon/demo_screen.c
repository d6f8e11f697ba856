// What the demonstration shows at the end: one screen, or one JSON object.
#include "daemon/demo.h"

#include <stdio.h>

static void totals(const struct demo_shared *d, struct demo_counts *sum,
                   struct rehearsal_latency *latency)
{
    for (uint32_t i = 0; i < d->options.threads; i++) {
        const struct demo_counts *k = &d->ledgers[i].counts;
        sum->decisions += k->decisions;
        sum->held += k->held;
        sum->sold += k->sold;
        sum->committed += k->committed;
        sum->released += k->released;
        sum->refused += k->refused;
        sum->expired_told += k->expired_told;
        sum->retried += k->retried;
        sum->again += k->again;
        sum->busy += k->busy;
        sum->faults += k->faults;
        rehearsal_merge(latency, &d->ledgers[i].latency);
    }
}

static void row(const char *name, uint64_t n, const char *what)
{
    printf("  %-14s %13s   %s\n", name, rehearsal_grouped(n), what);
}

static void show_kill(const struct demo_shared *d, uint64_t kill_ns)
{
    const struct core_report *r = &d->recovery;
    printf("  kill -9        after %.2f s of selling; %s answers told, %s asked and unanswered\n",
           (double)kill_ns / 1e9, rehearsal_grouped(d->acknowledged),
           rehearsal_grouped(d->unanswered));
    printf("  recovery       serving again in %.0f ms: %s\n", (double)d->recovery_ns / 1e6,
           r->checkpoint[0] ? "checkpoint loaded, then" : "no checkpoint yet;");
    printf("                 %s records replayed, %s live holds, %s ids%s\n",
           rehearsal_grouped(r->journal.records), rehearsal_grouped(r->live),
           rehearsal_grouped(r->remembered), r->journal.torn_tail ? ", torn tail cut" : "");
    printf("  after the kill %s answers asked again: %s missing, %s told differently\n",
           rehearsal_grouped(d->check.asked_again), rehearsal_grouped(d->check.missing),
           rehearsal_grouped(d->check.different));
}

static void show_audit(const struct demo_shared *d, const struct demo_counts *sum)
{
    const struct demo_audit *a = &d->audit;
    printf("  end of sale    %s answers asked again: %s missing, %s told differently\n",
           rehearsal_grouped(a->asked_again), rehearsal_grouped(a->missing),
           rehearsal_grouped(a->different));
    printf("  stock          initial = sold + available + held: %s of %s cells differ\n",
           rehearsal_grouped(a->cells_wrong), rehearsal_grouped(d->cells));
    printf("  below zero     %s of %s looks at cells while it ran\n",
           rehearsal_grouped(a->below_zero), rehearsal_grouped(d->samples));
    if (demo_exact(d)) {
        printf("\n  AUDIT          exact: %s orders, %s units, to the unit\n",
               rehearsal_grouped(a->orders), rehearsal_grouped(a->units_sold));
        return;
    }
    printf("\n  AUDIT          FAILED (%s faults, %s uneven cells)\n",
           rehearsal_grouped(sum->faults), rehearsal_grouped(d->uneven));
    if (d->error[0])
        printf("  %.86s\n", d->error);
    if (d->check.first[0])
        printf("  after the kill: %.70s\n", d->check.first);
    if (a->first[0])
        printf("  at the end: %.74s\n", a->first);
}

void demo_show(const struct demo_shared *d, uint64_t kill_ns)
{
    struct demo_counts sum = {0};
    static struct rehearsal_latency latency;
    totals(d, &sum, &latency);
    double seconds = (double)d->sale_ns / 1e9;
    printf("\n  Flash sale: %s SKUs in %d places, %u clients, seed %llu; told when on "
           "disk\n\n",
           rehearsal_grouped(d->options.skus), DEMO_LOCATIONS, d->options.threads,
           (unsigned long long)d->options.seed);
    row("orders sold", d->audit.orders, "at once, or as commits of holds");
    row("held", sum.held, "carts with stock set aside for them");
    row("refused", sum.refused, "not enough left: nothing was taken");
    row("expired", d->audit.holds_expired, "abandoned or too late: stock came back by itself");
    row("released", sum.released, "given back by the customer");
    row("retried", sum.retried, "asked again with the same id: acted once");
    row("after the kill", sum.again, "of these had no answer when the process died");
    printf("\n  decisions      %13s   in %.1f s of selling = %s per second, durable\n",
           rehearsal_grouped(sum.decisions), seconds,
           rehearsal_grouped((uint64_t)((double)sum.decisions / seconds)));
    printf("  to durable     p50 %.2f ms, p99 %.2f ms, for whole batches of up to %d\n\n",
           (double)rehearsal_quantile(&latency, 0.5) / 1e6,
           (double)rehearsal_quantile(&latency, 0.99) / 1e6, DEMO_BATCH);
    show_kill(d, kill_ns);
    show_audit(d, &sum);
    printf("\n");
}

void demo_show_json(const struct demo_shared *d, uint64_t kill_ns)
{
    struct demo_counts sum = {0};
    static struct rehearsal_latency latency;
    totals(d, &sum, &latency);
    const struct demo_audit *a = &d->audit, *k = &d->check;
    const struct core_report *r = &d->recovery;
#define FIELD(name, value) printf("  \"%s\": %llu,\n", name, (unsigned long long)(value))
    printf("{\n");
    FIELD("seed", d->options.seed);
    FIELD("cells", d->cells);
    FIELD("threads", d->options.threads);
    FIELD("orders_sold", a->orders);
    FIELD("units_sold", a->units_sold);
    FIELD("held", sum.held);
    FIELD("refused", sum.refused);
    FIELD("expired", a->holds_expired);
    FIELD("released", sum.released);
    FIELD("retried", sum.retried);
    FIELD("retried_after_kill", sum.again);
    FIELD("busy", sum.busy);
    FIELD("decisions", sum.decisions);
    FIELD("sale_ns", d->sale_ns);
    FIELD("decisions_per_s", (double)sum.decisions / ((double)d->sale_ns / 1e9));
    FIELD("durable_p50_ns", rehearsal_quantile(&latency, 0.5));
    FIELD("durable_p99_ns", rehearsal_quantile(&latency, 0.99));
    FIELD("catalogue_ns", d->catalogue_ns);
    FIELD("kill_ns", kill_ns);
    FIELD("acknowledged_at_kill", d->acknowledged);
    FIELD("unanswered_at_kill", d->unanswered);
    FIELD("recovery_ns", d->recovery_ns);
    FIELD("recovery_load_ns", r->load_ns);
    FIELD("recovery_replay_ns", r->replay_ns);
    FIELD("recovery_records", r->journal.records);
    FIELD("recovery_bytes", r->journal.bytes);
    FIELD("recovery_live", r->live);
    FIELD("recovery_remembered", r->remembered);
    FIELD("after_kill_asked", k->asked_again);
    FIELD("after_kill_missing", k->missing);
    FIELD("after_kill_different", k->different);
    FIELD("audit_ns", d->audit_ns);
    FIELD("audit_asked", a->asked_again);
    FIELD("audit_missing", a->missing);
    FIELD("audit_different", a->different);
    FIELD("audit_cells_wrong", a->cells_wrong);
    FIELD("below_zero", a->below_zero);
    FIELD("uneven", d->uneven);
    FIELD("faults", sum.faults);
#undef FIELD
    printf("  \"audit\": \"%s\"\n}\n", demo_exact(d) ? "exact" : "failed");
}
