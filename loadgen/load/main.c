// holdfast-load: see --help and docs/holdfast-load.md.
#include "load/run.h"

#include <signal.h>

static _Atomic int interruptions;

static void interrupted(int signal)
{
    (void)signal;
    atomic_fetch_add(&interruptions, 1);
}

int main(int argc, char **argv)
{
    static struct options o;
    char why[200];
    if (!options_read(&o, argc, argv, why)) {
        fprintf(stderr, "holdfast-load: %s; see --help\n", why);
        return EXIT_USAGE;
    }
    if (o.help) {
        options_help(stdout);
        return EXIT_OK;
    }
    if (o.version) {
        puts("holdfast-load " HF_VERSION);
        return EXIT_OK;
    }
    struct sigaction a = {.sa_handler = interrupted, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    return run(&o, &interruptions);
}
