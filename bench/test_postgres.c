// Without arguments: what needs no PostgreSQL. --peer: starts one, 77 when it is not installed.
#include "postgres.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define SKIPPED 77

static void rate_is_without_connecting(void **state)
{
    (void)state;
    static const char newer[] = "pgbench (15.18 (Debian 15.18-0+deb12u1))\n"
                                "transaction type: reserve\n"
                                "scaling factor: 1\n"
                                "query mode: prepared\n"
                                "number of clients: 16\n"
                                "number of threads: 1\n"
                                "maximum number of tries: 1\n"
                                "duration: 3 s\n"
                                "number of transactions actually processed: 4013\n"
                                "number of failed transactions: 0 (0.000%)\n"
                                "latency average = 7.576 ms\n"
                                "initial connection time = 1099.767 ms\n"
                                "tps = 2111.845173 (without initial connection time)\n";
    static const char older[] = "transaction type: reserve\n"
                                "number of transactions actually processed: 2500\n"
                                "latency average = 6.400 ms\n"
                                "tps = 2400.250000 (including connections establishing)\n"
                                "tps = 2500.500000 (excluding connections establishing)\n";
    struct postgres_run r;
    assert_true(postgres_parse(newer, &r));
    assert_int_equal(r.transactions, 4013);
    assert_true(r.per_s == 2111.845173);
    assert_true(postgres_parse(older, &r));
    assert_int_equal(r.transactions, 2500);
    assert_true(r.per_s == 2500.5);
}

// A second may be too short for a busy machine: no rate then, or one that is no number.
static void nothing_done_is_no_rate(void **state)
{
    (void)state;
    struct postgres_run r;
    assert_false(postgres_parse("", &r));
    assert_false(postgres_parse("scaling factor: 1\n"
                                "number of transactions actually processed: 0\n"
                                "number of failed transactions: 0 (NaN%)\n",
                                &r));
    assert_false(postgres_parse("duration: 1 s\n"
                                "number of transactions actually processed: 7\n"
                                "tps = nan (without initial connection time)\n",
                                &r));
    assert_false(postgres_parse("duration: 1 s\n"
                                "number of transactions actually processed: 7\n"
                                "tps = inf (without initial connection time)\n",
                                &r));
    assert_false(postgres_parse("duration: 1 s\n"
                                "tps = 12.5 (without initial connection time)\n",
                                &r));
}

// ------------------------------------------------------------------------------- find

static void program_make(const char *root, const char *version, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", root, version);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/bin", root, version);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/%s/bin/%s", root, version, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static void programs_make(const char *root, const char *version, bool whole)
{
    static const char *const names[] = {"initdb", "postgres", "psql", "pg_isready", "pgbench"};
    for (int i = 0; i < (whole ? 5 : 4); i++)
        program_make(root, version, names[i]);
}

static void newest_whole_version_is_found(void **state)
{
    (void)state;
    char root[] = "/tmp/holdfast-postgres.XXXXXX", found[300], wanted[300], command[300];
    double version;
    assert_non_null(mkdtemp(root));
    assert_false(postgres_find("/nowhere", found, sizeof found, &version));
    assert_false(postgres_find(root, found, sizeof found, &version));
    programs_make(root, "17", false);
    programs_make(root, "16.old", true);
    assert_false(postgres_find(root, found, sizeof found, &version));
    programs_make(root, "9.6", true);
    programs_make(root, "15", true);
    programs_make(root, "13", true);
    assert_true(postgres_find(root, found, sizeof found, &version));
    snprintf(wanted, sizeof wanted, "%s/15/bin", root);
    assert_string_equal(found, wanted);
    assert_true(version == 15);
    snprintf(command, sizeof command, "rm -rf %s", root);
    assert_int_equal(system(command), 0);
}

// ------------------------------------------------------------------------------- a peer

static bool is_empty(const char *folder)
{
    DIR *d = opendir(folder);
    assert_non_null(d);
    int entries = 0;
    while (readdir(d))
        entries++;
    closedir(d);
    return entries == 2; // . and ..
}

static void parent_make(char *path)
{
    assert_non_null(mkdtemp(path));
    assert_int_equal(chmod(path, 0711), 0);
}

// A busy machine may do nothing at all in a short time.
static enum hf_status reserve(struct postgres *p, uint32_t skus, double *rate)
{
    enum hf_status st = HF_IO;
    for (double seconds = 1; st == HF_IO && seconds < 100; seconds *= 3)
        st = postgres_reserve(p, skus, seconds, rate);
    return st;
}

static void holds_are_inserted_or_not_counted(void **state)
{
    (void)state;
    char parent[] = "/tmp/holdfast-postgres.XXXXXX";
    struct postgres p;
    double rate;
    parent_make(parent);
    assert_int_equal(postgres_start(&p, parent), HF_OK);
    pid_t pid = p.pid;
    assert_int_equal(kill(pid, 0), 0);
    assert_int_equal(reserve(&p, 1, &rate), HF_OK);
    assert_true(rate > 0);
    assert_int_equal(reserve(&p, POSTGRES_SKUS, &rate), HF_OK);
    assert_true(rate > 0);
    // Most of these SKUs there are not: transactions that succeed and insert nothing.
    assert_int_equal(reserve(&p, 1u << 30, &rate), HF_INVALID);
    postgres_stop(&p);
    assert_int_equal(kill(pid, 0), -1);
    assert_true(is_empty(parent));
    assert_int_equal(rmdir(parent), 0);
}

// The socket's path is too long, so there are files, but no server.
static void half_a_start_leaves_nothing(void **state)
{
    (void)state;
    char parent[] = "/tmp/holdfast-postgres.XXXXXX", deep[300];
    struct postgres p;
    parent_make(parent);
    snprintf(deep, sizeof deep, "%s/%0100d", parent, 0);
    assert_int_equal(mkdir(deep, 0711), 0);
    assert_int_equal(postgres_start(&p, deep), HF_IO);
    assert_int_equal(p.pid, 0);
    assert_false(is_empty(deep));
    postgres_stop(&p);
    assert_true(is_empty(deep));
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(postgres_start(&p, deep), HF_IO);
    postgres_stop(&p);
    assert_int_equal(rmdir(parent), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest parts[] = {
        cmocka_unit_test(rate_is_without_connecting),
        cmocka_unit_test(nothing_done_is_no_rate),
        cmocka_unit_test(newest_whole_version_is_found),
    };
    const struct CMUnitTest peer[] = {
        cmocka_unit_test(holds_are_inserted_or_not_counted),
        cmocka_unit_test(half_a_start_leaves_nothing),
    };
    if (argc < 2 || strcmp(argv[1], "--peer") != 0)
        return cmocka_run_group_tests(parts, NULL, NULL);
    char programs[300];
    double version;
    if (!postgres_find(POSTGRES_ROOT, programs, sizeof programs, &version)) {
        fputs("SKIPPED: postgresql is not installed\n", stderr);
        return SKIPPED;
    }
    return cmocka_run_group_tests(peer, NULL, NULL);
}
