#include "ctl/progress.h"

#include "ctl/format.h"

#include <string.h>

#define BAR_COLUMNS  30
#define BAR_EVERY_NS UINT64_C(100000000)

void progress_begin(struct progress *p, const struct ctl *c, const char *what, size_t begin)
{
    *p = (struct progress){
        .c = c, .what = what, .begin = begin, .begin_ns = clock_monotonic_ns(c->io.clock)};
}

static void bar_draw(const struct progress *p, size_t at, size_t all, double rate, bool last)
{
    char bar[BAR_COLUMNS + 1], span[FORMAT_BYTES] = "";
    memset(bar, '.', BAR_COLUMNS);
    memset(bar, '#', at * BAR_COLUMNS / all);
    bar[BAR_COLUMNS] = 0;
    if (rate > 0 && !last)
        format_span((int64_t)((double)(all - at) / rate * 1000), span);
    fprintf(p->c->io.err, "\r[%s] %3zu%%  %zu of %zu %s  %.0f/s  %s%s\x1b[K%s", bar, at * 100 / all,
            at, all, p->what, rate, span, *span ? " left" : "", last ? "\n" : "");
}

void progress_tell(struct progress *p, size_t at, size_t all, bool last)
{
    const struct ctl *c = p->c;
    uint64_t now = clock_monotonic_ns(c->io.clock);
    if (!c->io.progress || c->json || (!last && now - p->told_ns < BAR_EVERY_NS))
        return;
    p->told_ns = now;
    double seconds = (double)(now - p->begin_ns) / 1e9, done = (double)(at - p->begin);
    double rate = seconds > 0 ? done / seconds : 0;
    if (all > 0)
        bar_draw(p, at, all, rate, last);
    else
        fprintf(c->io.err, "\r%zu %s  %.0f/s\x1b[K%s", at, p->what, rate, last ? "\n" : "");
    fflush(c->io.err);
}

void progress_hide(const struct ctl *c)
{
    if (c->io.progress)
        fputs("\r\x1b[K", c->io.err);
}
