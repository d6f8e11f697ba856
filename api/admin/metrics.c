#include "admin/metrics.h"

#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 16384

static bool grow(struct metrics *m, size_t more)
{
    size_t room = m->room ? m->room : FIRST_BYTES;
    while (room - m->bytes < more && room < METRICS_BYTES_MAX)
        room *= 2;
    char *text = room - m->bytes >= more ? realloc(m->text, room) : NULL;
    if (!text) {
        m->failed = true;
        return false;
    }
    m->text = text;
    m->room = room;
    return true;
}

static void put(struct metrics *m, const char *text, size_t bytes)
{
    if (m->failed || (m->room - m->bytes < bytes && !grow(m, bytes)))
        return;
    memcpy(m->text + m->bytes, text, bytes);
    m->bytes += bytes;
}

static void put_text(struct metrics *m, const char *text)
{
    put(m, text, strlen(text));
}

static void put_format(struct metrics *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void put_format(struct metrics *m, const char *fmt, ...)
{
    char line[128]; // numbers only
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    HF_ASSERT(n >= 0 && (size_t)n < sizeof line);
    put(m, line, (size_t)n);
}

// Escaped as the format asks: backslash and newline, in label values the quote, too.
static void put_escaped(struct metrics *m, const char *text, bool quote)
{
    for (; *text; text++) {
        if (*text == '\\' || (quote && *text == '"'))
            put(m, "\\", 1);
        if (*text == '\n')
            put(m, "\\n", 2);
        else
            put(m, text, 1);
    }
}

static void put_number(struct metrics *m, enum metrics_unit unit, uint64_t value)
{
    switch (unit) {
    case METRICS_PLAIN:
        put_format(m, "%llu", (unsigned long long)value);
        break;
    case METRICS_NS:
        put_format(m, "%llu.%09llu", (unsigned long long)(value / 1000000000),
                   (unsigned long long)(value % 1000000000));
        break;
    case METRICS_MS:
        put_format(m, "%llu.%03llu", (unsigned long long)(value / 1000),
                   (unsigned long long)(value % 1000));
        break;
    }
}

// `le` NULL: no bound among the labels.
static void put_name(struct metrics *m, const char *name, const char *suffix,
                     const struct metrics_label *labels, const char *le)
{
    bool any = false;
    put_text(m, name);
    put_text(m, suffix);
    for (; labels && labels->value; labels++, any = true) {
        put_text(m, any ? "," : "{");
        put_text(m, labels->name);
        put_text(m, "=\"");
        put_escaped(m, labels->value, true);
        put_text(m, "\"");
    }
    if (le) {
        put_text(m, any ? ",le=\"" : "{le=\"");
        put_text(m, le);
        put_text(m, "\"");
    }
    put_text(m, any || le ? "} " : " ");
}

void metrics_family(struct metrics *m, enum metrics_type type, const char *name, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    put_text(m, "# HELP ");
    put_text(m, name);
    put_text(m, " ");
    put_escaped(m, help, false);
    put_text(m, "\n# TYPE ");
    put_text(m, name);
    put_text(m, " ");
    put_text(m, types[type]);
    put_text(m, "\n");
}

void metrics_value(struct metrics *m, const char *name, const struct metrics_label *labels,
                   enum metrics_unit unit, uint64_t value)
{
    put_name(m, name, "", labels, NULL);
    put_number(m, unit, value);
    put_text(m, "\n");
}

void metrics_histogram(struct metrics *m, const char *name, const struct metrics_label *labels,
                       const struct hf_histogram *h)
{
    static const struct {
        const char *le;
        uint64_t ns;
    } bounds[] = {
        {"0.00001", 10000},  {"0.000025", 25000}, {"0.00005", 50000},  {"0.0001", 100000},
        {"0.00025", 250000}, {"0.0005", 500000},  {"0.001", 1000000},  {"0.0025", 2500000},
        {"0.005", 5000000},  {"0.01", 10000000},  {"0.025", 25000000}, {"0.05", 50000000},
        {"0.1", 100000000},  {"0.25", 250000000}, {"0.5", 500000000},  {"1", 1000000000},
        {"2.5", 2500000000}, {"5", 5000000000},   {"10", 10000000000},
    };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        put_name(m, name, "_bucket", labels, bounds[i].le);
        put_number(m, METRICS_PLAIN, hf_histogram_count_to(h, bounds[i].ns));
        put_text(m, "\n");
    }
    uint64_t count = hf_histogram_count(h);
    put_name(m, name, "_bucket", labels, "+Inf");
    put_number(m, METRICS_PLAIN, count);
    put_text(m, "\n");
    put_name(m, name, "_sum", labels, NULL);
    put_number(m, METRICS_NS, h->sum_ns);
    put_text(m, "\n");
    put_name(m, name, "_count", labels, NULL);
    put_number(m, METRICS_PLAIN, count);
    put_text(m, "\n");
}

void metrics_rows(struct metrics *m, const struct metrics_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        metrics_family(m, rows[i].type, rows[i].name, rows[i].help);
        metrics_value(m, rows[i].name, NULL, rows[i].unit, rows[i].value);
    }
}
