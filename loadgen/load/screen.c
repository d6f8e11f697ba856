// The line that tells how it goes.
#include "load/result.h"

#include <stdlib.h>
#include <string.h>

void screen_init(struct screen *s, FILE *out, uint64_t begin_ns)
{
    memset(s, 0, sizeof *s);
    s->out = out;
    s->before_ns = s->begin_ns = begin_ns;
}

// What was recorded since: buckets never fall.
static void window(struct hf_histogram *into, const struct hf_histogram *now,
                   const struct hf_histogram *before)
{
    for (int b = 0; b < HF_HISTOGRAM_BUCKETS; b++)
        into->counts[b] = now->counts[b] - before->counts[b];
    into->sum_ns = now->sum_ns - before->sum_ns;
    into->max_ns = now->max_ns; // of all time: a percentile is cut at it, no more
}

void screen_progress(struct screen *s, const struct tally *now, uint64_t now_ns)
{
    if (!s->out)
        return;
    struct hf_histogram *last = calloc(1, sizeof *last);
    if (!last)
        return;
    window(last, &now->all, &s->before.all);
    double seconds = (double)(now_ns - s->before_ns) / 1e9;
    uint64_t n = tally_requests(now) - tally_requests(&s->before);
    fprintf(s->out,
            "\r%5.0f s  %8.0f/s  done %llu  refused %llu  expired %llu  again %llu  open %llu"
            "  p50 %.2f  p99 %.2f ms\033[K",
            (double)(now_ns - s->begin_ns) / 1e9, seconds > 0 ? (double)n / seconds : 0,
            (unsigned long long)tally_outcome(now, OP_OUT_DONE),
            (unsigned long long)tally_outcome(now, OP_OUT_REFUSED),
            (unsigned long long)tally_outcome(now, OP_OUT_EXPIRED), (unsigned long long)now->again,
            (unsigned long long)now->open, (double)hf_histogram_percentile(last, 500) / 1e6,
            (double)hf_histogram_percentile(last, 990) / 1e6);
    fflush(s->out);
    s->before = *now;
    s->before_ns = now_ns;
    free(last);
}

void screen_text(struct screen *s, const char *text)
{
    if (!s->out)
        return;
    fprintf(s->out, "\r%s\033[K", text);
    fflush(s->out);
}

void screen_clear(struct screen *s)
{
    if (s->out)
        fputs("\r\033[K", s->out);
}
