// holdfast-demo: a flash sale, killed in the middle, audited to the unit.
#include "daemon/demo.h"

#include "base/log.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "Usage: holdfast-demo [options]\n"
    "Runs a flash sale on an engine in this folder, kills it with SIGKILL in the middle,\n"
    "recovers, sells on, and audits the result to the unit. Exit status 1: it was not exact.\n"
    "\n"
    "  --data FOLDER  empty, or to be made; default: a temporary one, removed afterwards\n"
    "  --seconds N    of selling, 1..600; default 9\n"
    "  --seed N       of the customers and of the moment of the kill; default: by clock\n"
    "  --skus N       100..100000, in 5 places each; default 10000\n"
    "  --threads N    clients, 1..8; default 2\n"
    "  --json         one JSON object instead of the screen\n";

static bool number(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return end != text && *end == '\0' && text[0] != '-' && *out >= least && *out <= most;
}

static bool number32(const char *text, uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t n;
    bool ok = number(text, least, most, &n);
    *out = (uint32_t)n;
    return ok;
}

// 0: go on; else the exit status + 1.
static int options_read(int argc, char **argv, struct demo_options *o)
{
    static const struct option known[] = {
        {"data", required_argument, NULL, 'd'},    {"seconds", required_argument, NULL, 's'},
        {"seed", required_argument, NULL, 'r'},    {"skus", required_argument, NULL, 'k'},
        {"threads", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    *o = (struct demo_options){
        .seed = clock_wall_ms(clock_os()) % 1000000, .seconds = 9, .skus = 10000, .threads = 2};
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool ok = c != '?';
        if (c == 'h') {
            printf("%s", usage);
            return 1;
        }
        if (c == 'd')
            o->data = optarg;
        else if (c == 'j')
            o->json = true;
        else if (c == 's')
            ok = number32(optarg, 1, 600, &o->seconds);
        else if (c == 'r')
            ok = number(optarg, 0, UINT64_MAX, &o->seed);
        else if (c == 'k')
            ok = number32(optarg, 100, 100000, &o->skus);
        else if (c == 't')
            ok = number32(optarg, 1, DEMO_THREADS_MAX, &o->threads);
        if (!ok) {
            fprintf(stderr, "holdfast-demo: bad option; see --help\n");
            return 3;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "holdfast-demo: unexpected %s; see --help\n", argv[optind]);
        return 3;
    }
    return 0;
}

static void stage(const struct demo_shared *d, const char *text)
{
    if (!d->options.json) {
        printf("  .. %s\n", text);
        fflush(stdout);
    }
}

static bool shared_make(struct demo_shared *d)
{
    bool ok = true;
    for (uint32_t i = 0; i < d->options.threads; i++) {
        d->ledgers[i].carts = rehearsal_share((size_t)d->carts_max * sizeof *d->ledgers[i].carts);
        ok &= d->ledgers[i].carts != NULL;
    }
    d->handles = rehearsal_share(d->cells * sizeof *d->handles);
    d->stock = rehearsal_share(d->cells * sizeof *d->stock);
    d->sold = rehearsal_share(d->cells * sizeof *d->sold);
    return ok && d->handles && d->stock && d->sold;
}

static struct demo_shared *demo_create(const struct demo_options *o)
{
    struct demo_shared *d = rehearsal_share(sizeof *d);
    if (!d)
        return NULL;
    d->options = *o;
    d->cells = o->skus * DEMO_LOCATIONS;
    uint64_t carts = (uint64_t)o->seconds * DEMO_CARTS_PER_S;
    d->carts_max = (uint32_t)(carts < DEMO_CARTS_MAX ? carts : DEMO_CARTS_MAX) / o->threads;
    return shared_make(d) ? d : NULL;
}

// Waits for the first child's sale, and kills it at a moment between a third and two thirds of it.
static bool first_half(struct demo_shared *d, uint64_t *kill_ns)
{
    struct rehearsal_random r = {d->options.seed ^ UINT64_C(0xdead)};
    uint64_t length = (uint64_t)d->options.seconds * 1000000000;
    uint64_t at = length / 3 + rehearsal_next(&r) % (length / 3);
    int status;
    stage(d, "making the catalogue");
    pid_t child = rehearsal_fork(demo_first_child, d);
    if (child < 0)
        return false;
    bool selling = false;
    while (atomic_load(&d->sale_ns) < at) {
        if (!rehearsal_running(child, &status)) {
            demo_error(d, "the first process ended by itself, status %d", status);
            return false;
        }
        if (!selling && atomic_load(&d->phase) == PHASE_SALE) {
            selling = true;
            stage(d, "selling, until kill -9 strikes");
        }
        rehearsal_sleep_ms(1);
    }
    rehearsal_kill(child);
    *kill_ns = atomic_load(&d->sale_ns);
    return true;
}

static int demo_run(struct demo_shared *d)
{
    uint64_t kill_ns = 0;
    int status = 1;
    if (first_half(d, &kill_ns)) {
        stage(d, "killed; recovering, selling on, auditing");
        pid_t child = rehearsal_fork(demo_second_child, d);
        status = child < 0 ? 1 : rehearsal_join(child);
        if (atomic_load(&d->phase) != PHASE_DONE)
            demo_error(d, "the second process ended with status %d", status);
    }
    bool done = atomic_load(&d->phase) == PHASE_DONE;
    if (!done)
        fprintf(stderr, "holdfast-demo: %s\n", d->error);
    else if (d->options.json)
        demo_show_json(d, kill_ns);
    else
        demo_show(d, kill_ns);
    return done && status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct demo_options o;
    int bad = options_read(argc, argv, &o);
    if (bad)
        return bad - 1;
    hf_log_set_level(HF_LOG_WARN);
    struct demo_shared *d = demo_create(&o);
    if (!d) {
        fprintf(stderr, "holdfast-demo: no memory\n");
        return 1;
    }
    if (o.data)
        snprintf(d->folder, sizeof d->folder, "%s", o.data);
    else if (!rehearsal_folder_make("holdfast-demo", d->folder, sizeof d->folder)) {
        fprintf(stderr, "holdfast-demo: no temporary folder\n");
        return 1;
    }
    int status = demo_run(d);
    if (!o.data)
        rehearsal_folder_remove(d->folder);
    return status;
}
