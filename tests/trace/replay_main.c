// holdfast-trace: replays a file of real orders with two kill -9, and audits it.
#include "trace/replay.h"

#include "base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "Usage: holdfast-trace [options] [FILE]\n"
    "Replays the invoices of FILE (the UCI \"Online Retail\" format, plain or gzip; default: what\n"
    "$HOLDFAST_TRACE names, else a made-up one), kills the engine twice, and audits the outcome.\n"
    "Exit status 1: it was not exact.\n"
    "\n"
    "  --invoices N    of a made-up trace; default 3000\n"
    "  --percent N     initial stock of each cell, of its demand, 1..1000; default 90\n"
    "  --one-location  all countries are one place\n"
    "  --threads N     clients, 1..8; default 2\n"
    "  --seed N        of ids, of the moments of the kills, of a made-up trace; default: by "
    "clock\n";

static bool number32(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    *out = (uint32_t)n;
    return end != text && *end == '\0' && text[0] != '-' && n >= least && n <= most;
}

static int options_read(int argc, char **argv, struct replay_options *o)
{
    static const struct option known[] = {{"invoices", required_argument, NULL, 'i'},
                                          {"percent", required_argument, NULL, 'p'},
                                          {"one-location", no_argument, NULL, 'o'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *o = (struct replay_options){.path = getenv("HOLDFAST_TRACE"),
                                 .invoices = 3000,
                                 .percent = 90,
                                 .threads = 2,
                                 .seed = clock_wall_ms(clock_os())};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool ok = c != '?';
        if (c == 'h') {
            printf("%s", usage);
            return 1;
        }
        if (c == 'i')
            ok = number32(optarg, 100, 1000000, &o->invoices);
        else if (c == 'p')
            ok = number32(optarg, 1, 1000, &o->percent);
        else if (c == 'o')
            o->one_location = true;
        else if (c == 't')
            ok = number32(optarg, 1, REPLAY_THREADS_MAX, &o->threads);
        else if (c == 's')
            o->seed = strtoull(optarg, NULL, 10);
        if (!ok) {
            fprintf(stderr, "holdfast-trace: bad option; see --help\n");
            return 3;
        }
    }
    if (optind < argc)
        o->path = argv[optind];
    if (o->path && o->path[0] == '\0')
        o->path = NULL;
    return 0;
}

// ------------------------------------------------------------------------------- the runs

static struct replay_shared *shared_make(const struct replay_options *o, const struct trace *t)
{
    struct replay_shared *s = rehearsal_share(sizeof *s);
    if (!s)
        return NULL;
    s->options = *o;
    uint64_t lines = 0;
    for (uint32_t n = 0; n < t->invoice_count; n++)
        if (t->invoices[n].kind != TRACE_ORDER)
            lines += t->invoices[n].count;
    // Plans that a kill cut off leave their numbers unused.
    s->op_max = (uint32_t)(lines * TRACE_PIECES_MAX * 2) + REPLAY_RUNS * HF_LINES_MAX * 8;
    s->handles = rehearsal_share((t->cell_count + 1) * sizeof *s->handles);
    s->told = rehearsal_share((t->invoice_count + 1) * sizeof *s->told);
    s->ops = rehearsal_share(s->op_max * sizeof *s->ops);
    s->pieces = rehearsal_share(s->op_max * sizeof *s->pieces);
    return s->handles && s->told && s->ops && s->pieces ? s : NULL;
}

// The kill comes up to 3 ms after this many are decided; the run takes up a few more at most.
static bool killed_run(struct replay *r, uint32_t at, uint32_t limit, uint32_t delay_ns)
{
    int status;
    r->s->limit = limit;
    pid_t child = rehearsal_fork(replay_child, r);
    while (child > 0 && atomic_load(&r->s->decided) < at) {
        if (!rehearsal_running(child, &status)) {
            replay_error(r->s, "run %u ended by itself, status %d", r->s->run, status);
            return false;
        }
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    nanosleep(&(struct timespec){0, (long)delay_ns}, NULL);
    if (child > 0)
        rehearsal_kill(child);
    return child > 0;
}

static bool runs(struct replay *r)
{
    uint32_t n = r->trace->invoice_count;
    struct rehearsal_random random = {r->s->options.seed};
    uint32_t first = n / 8 + rehearsal_below(&random, n / 4);
    uint32_t second = n / 2 + rehearsal_below(&random, n / 4);
    if (!killed_run(r, first, n * 7 / 16, rehearsal_below(&random, 3000000)))
        return false;
    r->s->run = 1;
    if (!killed_run(r, second, n * 7 / 8, rehearsal_below(&random, 3000000)))
        return false;
    r->s->run = 2;
    r->s->limit = UINT32_MAX;
    pid_t child = rehearsal_fork(replay_child, r);
    return child > 0 && rehearsal_join(child) == 0;
}

// ------------------------------------------------------------------------------- the report

static void show_trace(const struct replay_shared *s, const struct trace *t)
{
    printf(
        "trace      %s: %s rows, %s orders (widest %u lines), %s that take back, %s corrections\n",
        s->options.path ? "file" : "made up", rehearsal_grouped(t->rows),
        rehearsal_grouped(t->orders), t->widest, rehearsal_grouped(t->returns),
        rehearsal_grouped(t->corrections));
    printf("           %s rows of no goods skipped, %s unreadable; %s cells with %u%% of their "
           "demand\n",
           rehearsal_grouped(t->rows_skipped), rehearsal_grouped(t->rows_bad),
           rehearsal_grouped(t->cell_count), s->options.percent);
}

static void show_runs(const struct replay_shared *s)
{
    for (uint32_t i = 1; i < REPLAY_RUNS; i++) {
        const struct replay_run *run = &s->runs[i];
        printf("kill -9    at %s decided, %u unanswered; serving again in %.1f ms: %s records, "
               "%s bytes replayed%s\n",
               rehearsal_grouped(run->decided_before), run->unanswered_before,
               (double)run->open_ns / 1e6, rehearsal_grouped(run->report.journal.records),
               rehearsal_grouped(run->report.journal.bytes),
               run->report.journal.torn_tail ? ", torn tail cut" : "");
    }
}

static void show(const struct replay_shared *s, const struct trace *t)
{
    static struct rehearsal_latency latency;
    const struct replay_audit *a = &s->audit;
    uint64_t active = 0;
    for (uint32_t i = 0; i < REPLAY_RUNS; i++)
        active += s->runs[i].active_ns;
    for (uint32_t i = 0; i < s->options.threads; i++)
        rehearsal_merge(&latency, &s->latency[i]);
    show_trace(s, t);
    show_runs(s);
    double seconds = (double)active / 1e9;
    printf("speed      %s invoices, %s lines a second over %.2f s; a batch of %d to durable: p50 "
           "%.2f ms, p99 %.2f ms\n",
           rehearsal_grouped((uint64_t)(t->invoice_count / seconds)),
           rehearsal_grouped((uint64_t)(t->line_count / seconds)), seconds, REPLAY_BATCH,
           (double)rehearsal_quantile(&latency, 0.5) / 1e6,
           (double)rehearsal_quantile(&latency, 0.99) / 1e6);
    printf("outcome    %s orders accepted, %s refused; %s units sold, %s returned in %s returns; "
           "%s adjustments\n",
           rehearsal_grouped(a->accepted), rehearsal_grouped(a->refused),
           rehearsal_grouped(a->units_sold), rehearsal_grouped(a->units_returned),
           rehearsal_grouped(a->returned_ops), rehearsal_grouped(a->adjustments));
    printf("asked      again after the kills: %u and %u; busy %s times; %s recalls\n",
           s->runs[1].asked_again, s->runs[2].asked_again, rehearsal_grouped(s->busy),
           rehearsal_grouped(s->recalled));
    printf("audit      %s: %s orders read back whole, %s missing, %s different, %s not whole, "
           "%s cells wrong, %s oversold\n",
           replay_exact(s) ? "exact" : "FAILED", rehearsal_grouped(a->whole_checked),
           rehearsal_grouped(a->missing), rehearsal_grouped(a->different),
           rehearsal_grouped(a->not_whole), rehearsal_grouped(a->cells_wrong),
           rehearsal_grouped(a->oversold));
    if (a->first[0])
        printf("           %s\n", a->first);
    if (s->error[0])
        printf("           %s\n", s->error);
}

static bool trace_have(struct trace *t, const struct replay_options *o, const char *folder)
{
    char made[300];
    if (o->path)
        return trace_read(t, o->path, o->one_location);
    snprintf(made, sizeof made, "%s/made-up.csv.gz", folder);
    bool ok = trace_make(made, o->invoices, o->seed) && trace_read(t, made, o->one_location);
    unlink(made);
    return ok;
}

int main(int argc, char **argv)
{
    struct replay_options o;
    struct trace trace;
    char folder[256];
    int bad = options_read(argc, argv, &o);
    if (bad)
        return bad - 1;
    printf("seed       %llu\n", (unsigned long long)o.seed);
    hf_log_set_level(HF_LOG_WARN);
    if (!rehearsal_folder_make("holdfast-trace", folder, sizeof folder)) {
        fprintf(stderr, "holdfast-trace: no temporary folder\n");
        return 1;
    }
    memset(&trace, 0, sizeof trace);
    struct replay_shared *s = trace_have(&trace, &o, folder) ? shared_make(&o, &trace) : NULL;
    bool ok = s != NULL;
    if (ok) {
        struct replay r = {s, &trace};
        snprintf(s->folder, sizeof s->folder, "%s", folder);
        ok = runs(&r);
        show(s, &trace);
    } else {
        fprintf(stderr, "holdfast-trace: %s\n", trace.why[0] ? trace.why : "no memory");
    }
    trace_free(&trace);
    rehearsal_folder_remove(folder);
    return ok ? 0 : 1;
}
