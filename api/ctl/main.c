// holdfastctl: the process around ctl_main. Its clock, randomness, environment and terminal come
// in here, so that everything else can be run against others.
#include "ctl/ctl.h"

#include "core/record.h"

#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <unistd.h>

// Without buyer keys: an export is read by many.
static void print_payload(FILE *out, const struct journal_record *r)
{
    core_record_print(out, r, false);
}

static bool random_bytes(void *bytes, size_t n)
{
    return getrandom(bytes, n, 0) == (ssize_t)n;
}

static const char *variable(const char *name)
{
    return getenv(name);
}

static int columns(void)
{
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

int main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, ""); // how wide characters are; numbers stay as they are
    const struct ctl_io io = {.out = stdout,
                              .err = stderr,
                              .columns_max = columns(),
                              .progress = isatty(STDERR_FILENO),
                              .clock = clock_os(),
                              .random = random_bytes,
                              .variable = variable,
                              .print_record = print_payload};
    return (int)ctl_main(&io, argc, argv);
}
