// holdfast-ratios: the table of goals, measured. See ratio.h for what a row is.
#include "ratio.h"
#include "ratio_rows.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROWS_MAX 64

struct arguments {
    struct ratio_settings settings;
    const char *json;
    bool list;
};

static const char usage[] =
    "Usage: holdfast-ratios [--list] [--only NAME[,NAME]] [--reps N] [--seconds S]\n"
    "                       [--folder PATH] [--json FILE]\n"
    "Measures the engine against what this machine can do, both in one process, interleaved.\n"
    "  --only     these rows; `hot` means hot/1, hot/2 ...\n"
    "  --reps     repetitions a row, 1 to 101, default 5; the median is judged\n"
    "  --seconds  length of one side of one repetition, default 1\n"
    "  --folder   where data goes, on the disk to be measured; default: a temporary folder here\n"
    "Exit code: 0 every goal met, 1 a row fell short, 2 bad usage.\n";

static bool number(const char *text, double least, double most, double *out)
{
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (errno || end == text || *end || !(value >= least && value <= most))
        return false;
    *out = value;
    return true;
}

// False: told what is wrong.
static bool parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        {"json", required_argument, NULL, 'j'},    {"only", required_argument, NULL, 'o'},
        {"reps", required_argument, NULL, 'r'},    {"seconds", required_argument, NULL, 's'},
        {"folder", required_argument, NULL, 'f'},  {"list", no_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    double reps = RATIO_REPS_DEFAULT;
    bool good = true;
    *a = (struct arguments){.settings = {.seconds = 1}};
    for (int c; good && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'j')
            a->json = optarg;
        else if (c == 'o')
            a->settings.only = optarg;
        else if (c == 'f')
            a->settings.folder = optarg;
        else if (c == 'l')
            a->list = true;
        else if (c == 'r')
            good = number(optarg, 1, RATIO_REPS_MAX, &reps);
        else if (c == 's')
            good = number(optarg, 0.001, 3600, &a->settings.seconds);
        else
            good = false;
    }
    a->settings.reps = (unsigned)reps;
    return good && optind == argc;
}

static size_t pick(const char *only, const struct ratio_row *picked[ROWS_MAX])
{
    size_t count = 0;
    for (const struct ratio_row *row = ratio_rows_core; row->name; row++)
        if (ratio_selected(only, row->name) && count < ROWS_MAX)
            picked[count++] = row;
    return count;
}

static bool write_json(const struct arguments *a, const struct ratio_result *results, size_t count)
{
    FILE *to = fopen(a->json, "w");
    if (!to)
        return false;
    ratio_print_json(results, count, &a->settings, to);
    bool written = !ferror(to);
    return fclose(to) == 0 && written;
}

static int run(const struct arguments *a, const struct ratio_row *const *rows, size_t count)
{
    struct ratio_result *results = calloc(count, sizeof *results);
    bool all = results != NULL;
    ratio_print_heading(stdout);
    for (size_t i = 0; results && i < count; i++) {
        ratio_run(rows[i], &a->settings, &results[i]);
        ratio_print(&results[i], stdout);
        fflush(stdout);
        all = all && results[i].pass;
    }
    if (a->json && results && !write_json(a, results, count)) {
        fprintf(stderr, "holdfast-ratios: cannot write %s: %s\n", a->json, strerror(errno));
        all = false;
    }
    free(results);
    return all ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct arguments a;
    const struct ratio_row *rows[ROWS_MAX];
    if (!parse(argc, argv, &a)) {
        fputs(usage, stderr);
        return 2;
    }
    size_t count = pick(a.settings.only, rows);
    for (size_t i = 0; a.list && i < count; i++)
        printf("%-12s %s\n", rows[i]->name, rows[i]->what);
    if (a.list)
        return 0;
    if (count == 0) {
        fputs("holdfast-ratios: no such row; see --list\n", stderr);
        return 2;
    }
    char own[] = "./holdfast-ratios.XXXXXX";
    bool made = !a.settings.folder;
    if (made && !mkdtemp(own)) {
        fprintf(stderr, "holdfast-ratios: no temporary folder here: %s\n", strerror(errno));
        return 2;
    }
    if (made)
        a.settings.folder = own;
    // A peer that refuses to run as root has its folder in this one.
    if (made && chmod(own, 0711) != 0)
        perror(own);
    int code = run(&a, rows, count);
    if (made && rmdir(own) != 0)
        fprintf(stderr, "holdfast-ratios: %s is left: %s\n", own, strerror(errno));
    return code;
}
