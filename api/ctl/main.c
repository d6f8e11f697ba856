// holdfastctl: tools that need no running engine. One word chooses the tool, the rest is its own.
#include "ctl/journal_tool.h"

#include "core/record.h"

#include <string.h>

// Without buyer keys: an export is read by many.
static void print_payload(FILE *out, const struct journal_record *r)
{
    core_record_print(out, r, false);
}

static enum ctl_exit run_journal(int argc, char **argv)
{
    const struct journal_tool t = {.out = stdout, .err = stderr, .print_record = print_payload};
    return journal_tool_run(&t, argc, argv);
}

static const struct {
    const char *name, *help;
    enum ctl_exit (*run)(int argc, char **argv);
} tools[] = {
    {"journal", "inspect, verify or export a data folder's journal", run_journal},
};

static void print_usage(FILE *to)
{
    fprintf(to, "usage: holdfastctl TOOL ...\n");
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        fprintf(to, "  %-10s %s\n", tools[i].name, tools[i].help);
}

int main(int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return CTL_OK;
    }
    for (size_t i = 0; argc > 1 && i < sizeof tools / sizeof *tools; i++)
        if (strcmp(argv[1], tools[i].name) == 0)
            return tools[i].run(argc - 1, argv + 1);
    print_usage(stderr);
    return CTL_USAGE;
}
