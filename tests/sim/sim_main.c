// holdfast-sim [--seed FIRST] [--seeds COUNT] [--seconds S] [--crash-every] [--crash-at IO]
//              [--verify-determinism] [--verbose] [--pinned FILE] [--no-odoo] [--no-packets]
//              [--failures N]
//
// --crash-every runs each seed's short form once for every I/O that it does, with power failing
// there. --pinned runs the seeds that the lines of FILE begin with ("packets SEED": as the seed
// draws it; "odoo SEED": without packets; SEED: without an Odoo, too). --no-packets: no seed has
// any; --no-odoo: nor an Odoo. --failures: ends after so many violations, 20 by default.
//
// Prints SEED=<n> and what went wrong for every seed that fails, then counts as `name value`
// lines. Exit status 0 only when nothing did.
#include "base/log.h"
#include "ingest/ingest.h"
#include "sim/sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum sim_parts parts = SIM_PARTS_ALL;

struct totals {
    uint64_t seeds, violations;
    struct sim_stats stats;
    struct fake_counts faults;
    struct auditor_counts audit;
};

static void add_words(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++)
        ((uint64_t *)to)[i] += ((const uint64_t *)from)[i];
}

static void silent(void *ctx, enum hf_log_level level, const char *line)
{
    if (*(bool *)ctx)
        printf("  log %d: %s\n", (int)level, line);
}

static uint64_t hash_of(const struct sim *s)
{
    uint64_t both[] = {s->audit.hash, s->fs->hash};
    return hf_hash(both, sizeof both, 0);
}

// One run. Returns false on a violation; *hash and *ios describe the run.
static bool run_one(struct totals *t, uint64_t seed, uint64_t crash_at, bool verbose,
                    uint64_t *hash, uint64_t *ios)
{
    struct sim *s = calloc(1, sizeof *s);
    HF_ASSERT(s);
    s->verbose = verbose;
    if (verbose)
        printf("SEED=%" PRIu64 " crash at %" PRIu64 "\n", seed, crash_at);
    bool fine = sim_run(s, seed, crash_at, parts);
    *hash = hash_of(s);
    *ios = s->fs->calls;
    if (verbose)
        printf("answers %016" PRIx64 " writes %016" PRIx64 "\n", s->audit.hash, s->fs->hash);
    if (!fine) {
        printf("SEED=%" PRIu64, seed);
        if (crash_at)
            printf(" CRASH_AT=%" PRIu64, crash_at);
        printf(" %s\n", s->audit.violation);
        fflush(stdout);
    }
    add_words(&t->stats, &s->stats, sizeof s->stats);
    add_words(&t->faults, &s->fs->counts, sizeof s->fs->counts);
    add_words(&t->audit, &s->audit.counts, sizeof s->audit.counts);
    sim_fini(s);
    free(s);
    t->seeds++;
    t->violations += !fine;
    return fine;
}

static void print_totals(const struct totals *t, double seconds)
{
#define SHOW(group, name) printf(#group "." #name " %" PRIu64 "\n", t->group.name)
    printf("seeds %" PRIu64 "\nviolations %" PRIu64 "\n", t->seeds, t->violations);
    printf("milliseconds %.0f\n", seconds * 1000);
    SHOW(stats, actions), SHOW(stats, requests), SHOW(stats, lives), SHOW(stats, crashes);
    SHOW(stats, kills), SHOW(stats, stops), SHOW(stats, opens_failed);
    SHOW(stats, recovery_crashes), SHOW(stats, clock_refusals), SHOW(stats, damages);
    SHOW(stats, damages_refused), SHOW(stats, damages_harmless), SHOW(stats, damages_tail);
    SHOW(stats, no_space_opens), SHOW(stats, recalls), SHOW(stats, recalls_failed);
    SHOW(stats, admin), SHOW(stats, checkpoints), SHOW(stats, compared);
    SHOW(stats, archived_lsn), SHOW(stats, journal_records_checked);
    SHOW(stats, years), SHOW(stats, odoo_calls), SHOW(stats, odoo_mishaps);
    SHOW(stats, odoo_posted), SHOW(stats, odoo_acks), SHOW(stats, odoo_dead);
    SHOW(stats, odoo_agreed), SHOW(stats, moved), SHOW(stats, originals);
    SHOW(stats, packet_frames), SHOW(stats, packet_replies), SHOW(stats, packet_dropped);
    SHOW(stats, packet_replayed), SHOW(stats, packet_damaged), SHOW(stats, packet_busy);
    SHOW(stats, packet_resent), SHOW(stats, packet_other_door), SHOW(stats, packet_sessions);
    SHOW(stats, packet_told);
    for (int d = 0; d < INGEST_DROP_COUNT; d++)
        printf("packet_drops.%s %" PRIu64 "\n", ingest_drop_name((enum ingest_drop)d),
               t->stats.packet_drops[d]);
    SHOW(faults, crashes), SHOW(faults, power_losses), SHOW(faults, read_errors);
    SHOW(faults, write_errors), SHOW(faults, sync_errors), SHOW(faults, no_space);
    SHOW(faults, slow), SHOW(faults, sectors_lost), SHOW(faults, sectors_torn);
    SHOW(faults, folder_changes_lost), SHOW(faults, writes), SHOW(faults, reads);
    SHOW(audit, undone), SHOW(audit, restarts), SHOW(audit, expiries_found);
    SHOW(audit, cells_checked), SHOW(audit, reservations_checked);
    for (unsigned v = 0; v < CORE_VERB_COUNT; v++) {
        for (unsigned o = 0; o < CORE_OUTCOME_COUNT; o++)
            if (t->audit.answers[v][o])
                printf("answers.%s.%s %" PRIu64 "\n", core_verb_name((enum core_verb)v),
                       core_outcome_name((enum core_outcome)o), t->audit.answers[v][o]);
        printf("answers.%s.repeat %" PRIu64 "\n", core_verb_name((enum core_verb)v),
               t->audit.repeats[v]);
    }
}

static void crash_every(struct totals *t, uint64_t seed, bool verbose)
{
    uint64_t hash, ios, crashes;
    uint64_t at = 1;
    do {
        crashes = t->faults.crashes;
        (void)run_one(t, seed, at++, verbose, &hash, &ios);
    } while (t->faults.crashes > crashes && t->violations < 5); // else the run ended before
}

static double now_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

struct arguments {
    uint64_t first, count, seconds, crash_at, failures;
    const char *pinned;
    int every, verify, verbose, no_odoo, no_packets;
};

static struct arguments parse(int argc, char **argv)
{
    struct arguments a = {.first = 1, .count = 1, .failures = 20};
    const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                     {"seeds", required_argument, NULL, 'n'},
                                     {"pinned", required_argument, NULL, 'p'},
                                     {"no-odoo", no_argument, &a.no_odoo, 1},
                                     {"no-packets", no_argument, &a.no_packets, 1},
                                     {"seconds", required_argument, NULL, 't'},
                                     {"crash-at", required_argument, NULL, 'a'},
                                     {"failures", required_argument, NULL, 'f'},
                                     {"crash-every", no_argument, &a.every, 1},
                                     {"verbose", no_argument, &a.verbose, 1},
                                     {"verify-determinism", no_argument, &a.verify, 1},
                                     {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t value = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (c == 's')
            a.first = value;
        else if (c == 'n')
            a.count = value;
        else if (c == 't')
            a.seconds = value;
        else if (c == 'a')
            a.crash_at = value;
        else if (c == 'f')
            a.failures = value;
        else if (c == 'p')
            a.pinned = optarg;
        else if (c != 0)
            exit(2);
    }
    if (a.seconds)
        a.count = UINT64_MAX / 2;
    return a;
}

static void run_pinned(struct totals *t, const char *path, bool verbose)
{
    uint64_t seed, hash, ios;
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(2);
    }
    while (fgets(line, sizeof line, f)) {
        bool packets = sscanf(line, "packets %" SCNu64, &seed) == 1;
        bool odoo = !packets && sscanf(line, "odoo %" SCNu64, &seed) == 1;
        parts = packets ? SIM_PARTS_ALL : odoo ? SIM_PARTS_ODOO : SIM_PARTS_NONE;
        if (packets || odoo || sscanf(line, "%" SCNu64, &seed) == 1)
            (void)run_one(t, seed, 0, verbose, &hash, &ios);
    }
    parts = SIM_PARTS_ALL;
    fclose(f);
}

int main(int argc, char **argv)
{
    static struct totals t;
    struct arguments a = parse(argc, argv);
    bool loud = a.verbose;
    parts = a.no_odoo ? SIM_PARTS_NONE : a.no_packets ? SIM_PARTS_ODOO : SIM_PARTS_ALL;
    double start = now_seconds();
    hf_log_set_sink(silent, &loud);
    if (a.pinned) {
        run_pinned(&t, a.pinned, a.verbose);
        a.count = 0;
    }
    for (uint64_t seed = a.first; seed < a.first + a.count && t.violations < a.failures; seed++) {
        uint64_t hash = 0, again = 0, ios;
        if (a.seconds && now_seconds() - start > (double)a.seconds)
            break;
        if (a.every) {
            crash_every(&t, seed, a.verbose);
            continue;
        }
        (void)run_one(&t, seed, a.crash_at, a.verbose, &hash, &ios);
        if (!a.verify)
            continue;
        (void)run_one(&t, seed, a.crash_at, false, &again, &ios);
        if (hash != again) {
            t.violations++;
            printf("SEED=%" PRIu64 " two runs differ: %016" PRIx64 " and %016" PRIx64 "\n", seed,
                   hash, again);
        }
    }
    print_totals(&t, now_seconds() - start);
    return t.violations ? 1 : 0;
}
