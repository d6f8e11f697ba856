// cell, basket: one deciding thread with everything else of an engine beside it.
//
// The clock of a row is the wall: a batch that meets BUSY because the rest of the engine cannot
// keep up costs what it costs. The yardstick is the better of two: taken before the engine
// existed, and taken again between the repetitions.
#include "rows_cell.h"

#include "load.h"
#include "yardstick.h"

#include <stdio.h>
#include <stdlib.h>

#define MEMORY_CELLS ((uint64_t)16 << 20)
#define CELLS        (4u << 20)
#define IDS_MAX      (96u << 20)
#define BASKET_CELLS (4u << 20)
#define BASKET_IDS   (16u << 20)
#define WARM_SECONDS 13 // longer than the id window and the skew: ids are forgotten as they come
#define TTL_MS       500
#define TTL_SPREAD   1000

struct cell_row {
    struct rig rig;
    struct yardstick_cells memory;
    double seconds, quiet;
    struct load holds, orders;
};

static double cas_rate(struct cell_row *c, double seconds)
{
    uint64_t ops = 0, spent = 0;
    while ((double)spent < seconds * 1e9) {
        spent += yardstick_cas_ns_x1000(&c->memory, 1000000, true) * 1000;
        ops += 1000000;
    }
    return (double)ops * 1e9 / (double)spent;
}

void cell_tear_down(void *ctx)
{
    struct cell_row *c = ctx;
    rig_stop(&c->rig);
    yardstick_cells_destroy(&c->memory);
    free(c);
}

static enum hf_status warm_up(struct load *l)
{
    struct load_result r;
    return load_run(l, WARM_SECONDS, &r);
}

static enum hf_status set_up(const struct ratio_settings *s, uint32_t cells, uint32_t ids,
                             struct cell_row **out)
{
    struct cell_row *c = calloc(1, sizeof *c);
    *out = c;
    if (!c || !yardstick_cells_create(&c->memory, MEMORY_CELLS))
        return HF_NO_MEMORY;
    c->seconds = s->seconds;
    cas_rate(c, 0.2);
    c->quiet = cas_rate(c, 0.5);
    struct rig_options o = {.parent = s->folder,
                            .cells = cells,
                            .ids_max = ids,
                            .stock = RIG_STOCK,
                            .mode = JOURNAL_NONE,
                            .background = true,
                            .buffers = 64, // what is pushed while the writer is away
                            .segments_max = 128,
                            .checkpoint_bytes = UINT64_C(4) << 30};
    enum hf_status st = rig_start(&c->rig, &o);
    if (st != HF_OK)
        return st;
    load_init(&c->holds, &c->rig, c->rig.worker,
              &(struct load_options){.verb = CORE_RESERVE, .lines = 1, .cells = cells,
                                     .ttl_ms = TTL_MS, .ttl_spread_ms = TTL_SPREAD,
                                     .quantity = 1, .seed = 1});
    load_init(&c->orders, &c->rig, c->rig.worker,
              &(struct load_options){.verb = CORE_ORDER, .lines = RIG_LINES, .cells = cells,
                                     .quantity = 1, .seed = 2});
    return HF_OK;
}

enum hf_status cell_set_up(const struct ratio_settings *s, void **ctx)
{
    struct cell_row *c;
    enum hf_status st = set_up(s, CELLS, IDS_MAX, &c);
    *ctx = c;
    return st == HF_OK ? warm_up(&c->holds) : st;
}

// CPU of everybody, a hold: what bounds the row where there are fewer cores than threads.
static void tell_cpu(const struct rig_cpu *from, const struct rig_cpu *to,
                     const struct load_result *r, double notes[RATIO_NOTES_MAX])
{
    double done = r->done ? (double)r->done : 1;
    notes[0] = r->request_ns;
    notes[1] = (double)(to->self_ns - from->self_ns) / done;
    for (int i = 0; i < RIG_THREADS; i++)
        notes[2 + i] = (double)(to->of_ns[i] - from->of_ns[i]) / done;
    notes[2 + RIG_THREADS] = (double)r->stalls * 100 * RIG_BATCH /
                             (double)(r->executed + r->stalls * RIG_BATCH);
}

enum hf_status cell_measure(void *ctx, struct ratio_sample *out)
{
    struct cell_row *c = ctx;
    struct load_result r;
    struct rig_cpu from, to;
    rig_cpu(&c->rig, &from);
    enum hf_status st = load_run(&c->holds, c->seconds, &r);
    rig_cpu(&c->rig, &to);
    if (st != HF_OK)
        return st;
    double now = cas_rate(c, 0.5);
    out->subject = (double)r.done * 1e3 / (double)r.wall_ns;
    out->yardstick = (now > c->quiet ? now : c->quiet) / 1e6;
    tell_cpu(&from, &to, &r, out->notes);
    return HF_OK;
}

enum hf_status basket_set_up(const struct ratio_settings *s, void **ctx)
{
    struct cell_row *c;
    enum hf_status st = set_up(s, BASKET_CELLS, BASKET_IDS, &c);
    *ctx = c;
    return st == HF_OK ? warm_up(&c->orders) : st;
}

enum hf_status basket_measure(void *ctx, struct ratio_sample *out)
{
    struct cell_row *c = ctx;
    struct load_result orders, holds;
    struct rig_cpu from, to;
    rig_cpu(&c->rig, &from);
    enum hf_status st = load_run(&c->orders, c->seconds, &orders);
    rig_cpu(&c->rig, &to);
    if (st == HF_OK)
        st = load_run(&c->holds, c->seconds, &holds);
    if (st != HF_OK)
        return st;
    out->subject = (double)orders.done * RIG_LINES * 1e3 / (double)orders.wall_ns;
    out->yardstick = (double)holds.done * 1e3 / (double)holds.wall_ns;
    tell_cpu(&from, &to, &orders, out->notes);
    for (unsigned i = 0; i < 2 + RIG_THREADS; i++)
        out->notes[i] /= RIG_LINES;
    out->notes[3 + RIG_THREADS] = holds.request_ns;
    return HF_OK;
}
