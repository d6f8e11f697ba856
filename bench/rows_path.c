// soldout: holds that are refused against holds that succeed, in one engine, in turn; the time is
// the median batch's inside core_execute, so that preemption says nothing. Of 19 lines, one is
// sold out, the last in the order of cells; or all holds want the same SKU.
//
// malloc: allocations of the deciding thread inside core_execute, over holds, orders, refusals and
// baskets in turn.
//
// hot: holds of one SKU against holds over all cells of the same engine, by the wall, with 1 and 2
// deciding threads. Checkpoints and archive are off: what they cost is the same for both.
#include "rows_path.h"

#include "counter.h"
#include "load.h"

#include <pthread.h>
#include <stdlib.h>

#define CELLS        (1u << 20)
#define EMPTY        (1u << 19) // cells from here on are sold out
#define IDS_MAX      (24u << 20)
#define BLOCKS_MAX   (8u << 20)
#define WINDOW_MS    1000 // steady state comes soon
#define WARM_SECONDS 3
#define TTL_MS       100
#define TTL_SPREAD   200
#define HOT_CELL     4711

struct path_row {
    struct rig rig;
    double seconds;
    uint32_t threads;
    struct load good, refused, orders, baskets;
};

static const struct load_options holds = {.verb = CORE_RESERVE, .lines = 1, .cells = EMPTY,
                                          .ttl_ms = TTL_MS, .ttl_spread_ms = TTL_SPREAD,
                                          .quantity = 1};

static void load_make(struct path_row *p, struct load *l, struct load_options o)
{
    static uint64_t seed;
    o.seed = ++seed;
    load_init(l, &p->rig, p->rig.worker, &o);
}

static enum hf_status set_up(const struct ratio_settings *s, struct path_row **out)
{
    struct path_row *p = calloc(1, sizeof *p);
    *out = p;
    if (!p)
        return HF_NO_MEMORY;
    p->seconds = s->seconds;
    struct rig_options o = {.parent = s->folder,
                            .cells = CELLS,
                            .empty_from = EMPTY,
                            .ids_max = IDS_MAX,
                            .blocks_max = BLOCKS_MAX,
                            .stock = RIG_STOCK,
                            .mode = JOURNAL_NONE,
                            .window_ms = WINDOW_MS,
                            .lazy = true,
                            .segments_max = 256};
    return rig_start(&p->rig, &o);
}

void path_tear_down(void *ctx)
{
    struct path_row *p = ctx;
    rig_stop(&p->rig);
    free(p);
}

// ------------------------------------------------------------------------------- soldout

static enum hf_status soldout_warm(struct path_row *p)
{
    struct load_result r;
    return load_run(&p->good, WARM_SECONDS, &r);
}

enum hf_status soldout_one_set_up(const struct ratio_settings *s, void **ctx)
{
    struct path_row *p;
    enum hf_status st = set_up(s, &p);
    *ctx = p;
    if (st != HF_OK)
        return st;
    struct load_options refused = holds;
    refused.first_cell = EMPTY;
    load_make(p, &p->good, holds);
    load_make(p, &p->refused, refused);
    return soldout_warm(p);
}

enum hf_status soldout_basket_set_up(const struct ratio_settings *s, void **ctx)
{
    struct path_row *p;
    enum hf_status st = set_up(s, &p);
    *ctx = p;
    if (st != HF_OK)
        return st;
    // What is sold out has the higher handles: the line that is short is found last.
    struct load_options good = holds, refused = holds;
    good.lines = refused.lines = RIG_LINES;
    refused.other_first = EMPTY;
    refused.other_cells = CELLS - EMPTY;
    load_make(p, &p->good, good);
    load_make(p, &p->refused, refused);
    return soldout_warm(p);
}

enum hf_status soldout_hot_set_up(const struct ratio_settings *s, void **ctx)
{
    struct path_row *p;
    enum hf_status st = set_up(s, &p);
    *ctx = p;
    if (st != HF_OK)
        return st;
    struct load_options good = holds, refused = holds;
    good.cells = refused.cells = 1;
    good.first_cell = HOT_CELL;
    refused.first_cell = EMPTY + HOT_CELL;
    load_make(p, &p->good, good);
    load_make(p, &p->refused, refused);
    return soldout_warm(p);
}

enum hf_status soldout_measure(void *ctx, struct ratio_sample *out)
{
    struct path_row *p = ctx;
    struct load_result good, refused;
    enum hf_status st = load_run(&p->refused, p->seconds, &refused);
    if (st == HF_OK)
        st = load_run(&p->good, p->seconds, &good);
    if (st != HF_OK)
        return st;
    if (refused.done || good.refused) // not what was to be measured
        return HF_INVALID;
    out->subject = refused.request_ns;
    out->yardstick = good.request_ns;
    return HF_OK;
}

// ------------------------------------------------------------------------------- malloc

enum hf_status malloc_set_up(const struct ratio_settings *s, void **ctx)
{
    struct path_row *p;
    *ctx = NULL;
    if (!counter_works())
        return HF_INVALID;
    enum hf_status st = set_up(s, &p);
    *ctx = p;
    if (st != HF_OK)
        return st;
    struct load_options refused = holds, orders = holds, baskets = holds;
    refused.first_cell = EMPTY;
    orders.verb = baskets.verb = CORE_ORDER;
    baskets.lines = RIG_LINES;
    load_make(p, &p->good, holds);
    load_make(p, &p->refused, refused);
    load_make(p, &p->orders, orders);
    load_make(p, &p->baskets, baskets);
    return soldout_warm(p);
}

enum hf_status malloc_measure(void *ctx, struct ratio_sample *out)
{
    struct path_row *p = ctx;
    struct load *loads[] = {&p->good, &p->refused, &p->orders, &p->baskets};
    uint64_t allocations = 0, decisions = 0;
    for (unsigned i = 0; i < 4; i++) {
        struct load_result r;
        enum hf_status st = load_run(loads[i], p->seconds / 4, &r);
        if (st != HF_OK)
            return st;
        allocations += r.allocations;
        decisions += r.executed;
    }
    out->subject = (double)allocations / (double)(decisions + 1);
    out->notes[0] = (double)decisions / 1e6;
    return HF_OK;
}

// ------------------------------------------------------------------------------- hot

struct second {
    struct path_row *row;
    const struct load_options *options;
    struct load_result result;
    double seconds;
    enum hf_status status;
};

static void *second_main(void *ctx)
{
    struct second *s = ctx;
    struct core_worker *w = core_worker_create(s->row->rig.core);
    struct load *l = calloc(1, sizeof *l);
    s->status = HF_NO_MEMORY;
    if (w && l) {
        load_init(l, &s->row->rig, w, s->options);
        s->status = load_run(l, s->seconds, &s->result);
    }
    if (w)
        core_worker_destroy(w);
    free(l);
    return NULL;
}

// M holds a second, all threads together; *request_ns of this one.
static enum hf_status hot_run(struct path_row *p, struct load_options o, double seconds,
                              double *rate, double *request_ns)
{
    struct load_result r;
    struct load_options other = o;
    pthread_t thread;
    load_make(p, &p->good, o);
    other.seed = p->good.options.seed + (1u << 20);
    struct second s = {.row = p, .options = &other, .seconds = seconds};
    if (p->threads > 1 && pthread_create(&thread, NULL, second_main, &s) != 0)
        return HF_NO_MEMORY;
    enum hf_status st = load_run(&p->good, seconds, &r);
    if (p->threads > 1)
        pthread_join(thread, NULL);
    *rate = (double)(r.done + s.result.done) * 1e3 / (double)r.wall_ns;
    *request_ns = r.request_ns;
    return st == HF_OK ? s.status : st;
}

static enum hf_status hot_set_up(const struct ratio_settings *s, void **ctx, uint32_t threads)
{
    struct path_row *p;
    double unused, ns;
    enum hf_status st = set_up(s, &p);
    *ctx = p;
    if (st != HF_OK)
        return st;
    p->threads = threads;
    return hot_run(p, holds, WARM_SECONDS, &unused, &ns);
}

enum hf_status hot_one_set_up(const struct ratio_settings *s, void **ctx)
{
    return hot_set_up(s, ctx, 1);
}

enum hf_status hot_two_set_up(const struct ratio_settings *s, void **ctx)
{
    return hot_set_up(s, ctx, 2);
}

enum hf_status hot_measure(void *ctx, struct ratio_sample *out)
{
    struct path_row *p = ctx;
    struct load_options hot = holds;
    hot.first_cell = HOT_CELL;
    hot.cells = 1;
    enum hf_status st = hot_run(p, hot, p->seconds, &out->subject, &out->notes[0]);
    if (st == HF_OK)
        st = hot_run(p, holds, p->seconds, &out->yardstick, &out->notes[1]);
    return st;
}
