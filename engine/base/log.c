#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static void stderr_sink(void *ctx, enum hf_log_level level, const char *line)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    (void)ctx;
    fprintf(stderr, "level=%s %s\n", names[level], line);
}

static struct {
    hf_log_sink sink;
    void *ctx;
    enum hf_log_level least;
} log_out = {stderr_sink, NULL, HF_LOG_INFO};

void hf_log_set_sink(hf_log_sink sink, void *ctx)
{
    log_out.sink = sink ? sink : stderr_sink;
    log_out.ctx = ctx;
}

void hf_log_set_level(enum hf_log_level least)
{
    log_out.least = least;
}

void hf_log(enum hf_log_level level, const char *event, const char *fmt, ...)
{
    if (level < log_out.least)
        return;
    char line[1000];
    int n = snprintf(line, sizeof line, "event=%s ", event);
    if (n < 0 || (size_t)n >= sizeof line)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(line + n, sizeof line - (size_t)n, fmt, args);
    va_end(args);
    // One event is one line, whatever others' words are in it.
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    log_out.sink(log_out.ctx, level, line);
}
