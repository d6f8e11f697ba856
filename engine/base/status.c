#include "base/status.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *help;
} status_text[] = {
#define X(name, help) {#name, help},
    HF_STATUS_TABLE(X)
#undef X
};

const char *hf_status_name(enum hf_status status)
{
    return (unsigned)status < HF_STATUS_COUNT ? status_text[status].name : "unknown";
}

const char *hf_status_help(enum hf_status status)
{
    return (unsigned)status < HF_STATUS_COUNT ? status_text[status].help : "unknown";
}

_Noreturn void hf_assert_fail(const char *expr, const char *file, int line)
{
    fprintf(stderr, "holdfast: assertion failed: %s (%s:%d)\n", expr, file, line);
    fflush(stderr);
    abort();
}
