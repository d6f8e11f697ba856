#include "flush/short.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define TOLD_MAX  20 // new ones a look, in the log
#define HOLDS_MAX 4096
#define VIEWS     256

static int newest_first(const void *a, const void *b)
{
    const struct core_view *x = a, *y = b;
    uint64_t t = hf_uuid_ms(x->id), u = hf_uuid_ms(y->id);
    return t > u ? -1 : t < u;
}

// Ids carry their time; a hold of an id without one counts as new.
static uint32_t holds_find(struct short_watch *s, struct core_worker *w, uint32_t handle,
                           struct core_view *holds)
{
    struct core_filter f = {
        .by_handle = true, .by_state = true, .handle = handle, .state = CORE_STATE_HELD};
    uint64_t cursor = 0;
    uint32_t n = 0;
    (void)s;
    do {
        n += core_list(w, &f, &cursor, holds + n, VIEWS);
        if (!cursor || n + VIEWS > HOLDS_MAX) // they come in no order: of more, the newest stay
            qsort(holds, n, sizeof *holds, newest_first);
        n = n + VIEWS > HOLDS_MAX && cursor ? HOLDS_MAX / 2 : n;
    } while (cursor);
    return n;
}

static bool still_short(struct short_watch *s, uint32_t handle)
{
    struct core_cell c;
    return core_cell_read(s->core, handle, &c) == HF_OK && c.available < 0;
}

static void relieve(struct short_watch *s, struct core_worker *w, uint32_t handle)
{
    struct core_view *holds = malloc(HOLDS_MAX * sizeof *holds);
    uint32_t n = holds ? holds_find(s, w, handle, holds) : 0;
    for (uint32_t i = 0; i < n && still_short(s, handle); i++) {
        struct core_request r = {.verb = CORE_RELEASE, .id = holds[i].id};
        struct core_answer a;
        core_execute(w, core_now(s->core), &r, &a, 1);
        s->released += a.outcome == CORE_OUT_DONE && !a.repeat;
    }
    free(holds);
}

static void tell(struct short_watch *s, uint32_t handle, const struct core_cell *c)
{
    struct core_name n;
    if (core_cell_name(s->core, handle, &n) == HF_OK)
        hf_log(HF_LOG_WARN, "cell_short", "handle=%u sku=\"%.*s\" location=\"%.*s\" available=%lld",
               handle, (int)n.sku_bytes, n.sku, (int)n.location_bytes, n.location,
               (long long)c->available);
}

enum hf_status short_look(struct short_watch *s, struct core_worker *w)
{
    uint32_t count = core_cell_count(s->core), told = 0;
    uint64_t cells = 0;
    if (count > s->room) {
        bool *more = realloc(s->is, count * sizeof *more);
        if (!more)
            return HF_AGAIN;
        memset(more + s->room, 0, (count - s->room) * sizeof *more);
        s->is = more;
        s->room = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct core_cell c;
        bool is = core_cell_read(s->core, i, &c) == HF_OK && c.available < 0;
        if (is && !s->is[i] && told++ < TOLD_MAX)
            tell(s, i, &c);
        if (is && c.held > 0 && s->policy == SHORT_RELEASE) {
            relieve(s, w, i);
            is = still_short(s, i);
        }
        s->is[i] = is;
        cells += is;
    }
    s->cells = cells;
    return HF_OK;
}

void short_fini(struct short_watch *s)
{
    free(s->is);
}
