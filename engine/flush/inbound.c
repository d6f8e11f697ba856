// A change of on hand is made once:
//  I1 The intent, with the operation's id, is durable before it is made, together with what is
//     remembered of its line from then on.
//  I2 Within the process it is appended once; a start looks for its id in archive and journal
//  first.
//  I3 After an error of the file it is read again and written anew before anything is done: what
//     was read back may be in the page cache only.
#include "flush/inbound_internal.h"

#include "base/atomics.h"
#include "base/hash.h"
#include "base/log.h"
#include "flush/flush_internal.h"
#include "flush/records.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ASK_MS       10000
#define KEPT_AT_ONCE 64

static void count(uint64_t *metric, uint64_t by)
{
    hf_store_relaxed(metric, hf_load_relaxed(metric) + by); // one thread writes
}

static enum hf_status fail(struct inbound *in, enum hf_status s, const char *what)
{
    in->failed = s;
    hf_store_relaxed(&in->metrics.ended, UINT64_C(1));
    hf_log(HF_LOG_ERROR, "inbound_failed", "status=%s why=\"%s\"", hf_status_name(s), what);
    return s;
}

void inbound_options_default(struct inbound_options *o)
{
    *o = (struct inbound_options){
        .overlap_ms = 300000, .refresh_ms = 60000, .plan_max = INBOUND_LINES_MAX / 2};
}

enum hf_status inbound_open(const struct inbound_options *o, uint64_t since_ms,
                            struct inbound **out, char why[200])
{
    struct inbound *in = calloc(1, sizeof *in);
    snprintf(why, 200, "no memory");
    if (!in)
        return HF_NO_MEMORY;
    in->options = *o;
    snprintf(in->engine, sizeof in->engine, "%s", o->engine);
    in->options.engine = NULL;
    in->metrics.began_ms = core_now(o->core);
    enum hf_status s = inbound_load(in, why);
    if (s == HF_NOT_FOUND) {
        in->watermark_ms = since_ms;
        in->known_ms = since_ms > o->overlap_ms ? since_ms - o->overlap_ms : 0;
        in->baseline = in->found = true;
        s = HF_OK;
    }
    if (s != HF_OK) {
        inbound_close(in);
        return s;
    }
    *out = in;
    return HF_OK;
}

void inbound_close(struct inbound *in)
{
    free(in->lines);
    free(in->intents);
    free(in->demand);
    free(in->demand_fraction);
    free(in->fresh);
    free(in->kept);
    settle_fini(in);
    free(in);
}

void inbound_metrics(const struct inbound *in, struct inbound_metrics *out)
{
    const uint64_t *from = (const uint64_t *)&in->metrics;
    uint64_t *to = (uint64_t *)out;
    for (size_t i = 0; i < sizeof *out / sizeof *to; i++)
        to[i] = hf_load_relaxed(&from[i]);
}

// ------------------------------------------------------------------------------- reading

static uint32_t id_of(const json_t *row, const char *field)
{
    json_int_t id = json_integer_value(json_object_get(row, field));
    return id > 0 && id <= INT32_MAX ? (uint32_t)id : 0;
}

// "2026-11-26 10:00:00", UTC. 0: not that.
static uint64_t date_ms(const json_t *v)
{
    struct tm t = {0};
    const char *text = json_string_value(v);
    if (!text || sscanf(text, "%d-%d-%d %d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour,
                        &t.tm_min, &t.tm_sec) != 6)
        return 0;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    time_t seconds = timegm(&t);
    return seconds > 0 ? (uint64_t)seconds * 1000 : 0;
}

static void date_text(uint64_t ms, char text[24])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    gmtime_r(&seconds, &t);
    strftime(text, 24, "%Y-%m-%d %H:%M:%S", &t);
}

static json_t *not_ours(const struct inbound *in)
{
    char pattern[FLUSH_ENGINE_BYTES_MAX + 8];
    snprintf(pattern, sizeof pattern, "HF/%s/", in->engine);
    return json_pack("[s,s,s]", "reference", "not like", pattern);
}

static uint32_t cell_at(const struct inbound *in, const json_t *row, const char *field,
                        uint8_t *scale)
{
    struct core_cell cell;
    uint32_t h = mirror_cell(in->options.mirror, id_of(row, "product_id"), id_of(row, field));
    if (h != MIRROR_NONE && core_cell_read(in->options.core, h, &cell) == HF_OK)
        *scale = cell.scale;
    return h;
}

static enum hf_status demand_visit(void *ctx, const json_t *row)
{
    struct inbound *in = ctx;
    uint8_t scale = 0, unused = 0;
    int64_t q;
    double fraction;
    uint32_t from = cell_at(in, row, "location_id", &scale);
    if (from >= in->demand_cells || from == cell_at(in, row, "location_dest_id", &unused))
        return HF_OK;
    if (!mirror_quantity(json_object_get(row, "product_qty"), scale, &q, &fraction))
        return HF_OK;
    if (settle_external(in, id_of(row, "location_id")))
        q = settle_demand(in, json_string_value(json_object_get(row, "origin")), from, q);
    if (q >= 0 && in->demand[from] <= HF_QUANTITY_MAX - q - 1) {
        in->demand[from] += q;
        in->demand_fraction[from] += fraction;
    }
    return HF_OK;
}

// What is asked for in part is not for sale as a whole.
static void demand_round_up(struct inbound *in)
{
    for (uint32_t i = 0; i < in->demand_cells; i++) {
        int64_t more = (int64_t)ceil(in->demand_fraction[i] - 1e-3);
        if (more > 0 && in->demand[i] <= HF_QUANTITY_MAX - more)
            in->demand[i] += more;
    }
}

static enum hf_status demand_read(struct inbound *in)
{
    uint32_t cells = core_cell_count(in->options.core);
    free(in->demand);
    free(in->demand_fraction);
    in->demand = calloc(cells + 1, sizeof *in->demand);
    in->demand_fraction = calloc(cells + 1, sizeof *in->demand_fraction);
    in->demand_cells = in->demand && in->demand_fraction ? cells : 0;
    if (!in->demand || !in->demand_fraction)
        return HF_AGAIN;
    enum hf_status s =
        mirror_pages(in->options.mirror, "stock.move",
                     json_pack("[[s,s,[s,s,s,s]],[s,s,o],o]", "state", "in", "waiting", "confirmed",
                               "partially_available", "assigned", "location_id", "in",
                               mirror_inside(in->options.mirror), not_ours(in)),
                     json_pack("[s,s,s,s,s]", "product_id", "location_id", "location_dest_id",
                               "product_qty", "origin"),
                     demand_visit, in);
    if (s == HF_OK)
        demand_round_up(in);
    return s;
}

static bool fresh_add(struct inbound *in, const struct inbound_line *l)
{
    if (in->fresh_count == in->fresh_room) {
        uint32_t room = in->fresh_room ? 2 * in->fresh_room : 256;
        struct inbound_line *more = realloc(in->fresh, room * sizeof *more);
        if (!more)
            return false;
        in->fresh = more;
        in->fresh_room = room;
    }
    in->fresh[in->fresh_count++] = *l;
    return true;
}

// What was sold under the line's reference stands in `settled` until it is settled. A line that
// needs nothing keeps what it has.
static void line_refer(struct inbound *in, struct inbound_line *l, const char *reference)
{
    const struct inbound_line *old = inbound_find(in, l->id);
    l->ref = settle_ref(reference);
    if (!l->ref)
        return;
    bool whole = old && old->ref == l->ref && old->taken == l->taken && old->settled == l->taken;
    l->settled = whole ? INT64_MAX / 2 : settle_sold(in, l->ref, reference, l->from);
    if (!whole)
        settle_keep(in, l->id, reference);
}

// What went is rounded up and what came down: never for sale what is not there. The rest shows in
// reconciliation. The amounts are remembered as they were applied.
static void line_quantity(struct inbound *in, const json_t *q, struct inbound_line *l,
                          const uint8_t scales[2])
{
    int64_t whole;
    double fraction, part = 0;
    bool read = true;
    if (l->from != MIRROR_NONE && (read = mirror_quantity(q, scales[0], &whole, &fraction))) {
        l->taken = whole + (fraction > 0);
        part = fraction;
    }
    if (l->to != MIRROR_NONE && (read &= mirror_quantity(q, scales[1], &whole, &fraction))) {
        l->given = whole;
        part = fraction > part ? fraction : part;
    }
    count(&in->metrics.fractions, (part > 0 || !read) && !inbound_find(in, l->id));
}

// Nothing of it is to be done any more.
static bool line_known(struct inbound *in, const struct inbound_line *l, uint64_t ref)
{
    struct inbound_line *old = inbound_find(in, l->id);
    bool known = old && old->from == l->from && old->to == l->to && old->taken == l->taken &&
                 old->given == l->given && old->ref == ref && (!ref || old->settled == old->taken);
    if (known && l->write_ms > old->write_ms)
        old->write_ms = l->write_ms;
    return known;
}

static enum hf_status line_visit(void *ctx, const json_t *row)
{
    struct inbound *in = ctx;
    uint8_t scales[2] = {0};
    struct inbound_line l = {.id = id_of(row, "id"),
                             .from = cell_at(in, row, "location_id", &scales[0]),
                             .to = cell_at(in, row, "location_dest_id", &scales[1]),
                             .write_ms = date_ms(json_object_get(row, "write_date"))};
    uint64_t done_ms = date_ms(json_object_get(row, "date"));
    if (l.write_ms > in->seen_ms)
        in->seen_ms = l.write_ms;
    if (l.from == l.to) {
        count(&in->metrics.unknown, l.from == MIRROR_NONE && !inbound_find(in, l.id));
        return HF_OK;
    }
    if (!inbound_find(in, l.id) && done_ms < in->known_ms) {
        if (l.write_ms >= in->known_ms + in->options.overlap_ms)
            count(&in->metrics.late_edits, 1);
        return HF_OK; // it was known when this began
    }
    line_quantity(in, json_object_get(row, "quantity_product_uom"), &l, scales);
    const char *origin = json_string_value(json_object_get(row, "origin"));
    bool refers = l.from != MIRROR_NONE && l.to == MIRROR_NONE &&
                  settle_external(in, id_of(row, "location_id"));
    if (line_known(in, &l, refers ? settle_ref(origin) : 0))
        return HF_OK;
    if (in->fresh_count >= in->options.plan_max && !in->baseline) {
        in->more = true;
        return HF_STOPPED;
    }
    if (refers)
        line_refer(in, &l, origin);
    return fresh_add(in, &l) ? HF_OK : HF_AGAIN;
}

static enum hf_status lines_read(struct inbound *in)
{
    char since[24];
    uint64_t from =
        in->watermark_ms > in->options.overlap_ms ? in->watermark_ms - in->options.overlap_ms : 0;
    date_text(from, since);
    in->fresh_count = 0;
    in->seen_ms = in->watermark_ms;
    in->more = false;
    enum hf_status s =
        mirror_pages(in->options.mirror, "stock.move.line",
                     json_pack("[[s,s,s],[s,s,s],o,s,[s,s,o],[s,s,o]]", "state", "=", "done",
                               "write_date", ">=", since, not_ours(in), "|", "location_id", "in",
                               mirror_inside(in->options.mirror), "location_dest_id", "in",
                               mirror_inside(in->options.mirror)),
                     json_pack("[s,s,s,s,s,s,s]", "product_id", "location_id", "location_dest_id",
                               "quantity_product_uom", "write_date", "date", "origin"),
                     line_visit, in);
    if (!in->more)
        return s;
    in->seen_ms = in->watermark_ms; // lines are not read by their time: all are read again
    return HF_OK;
}

// ------------------------------------------------------------------------------- intending

static struct hf_uuid operation_id(const struct inbound *in, const struct inbound_intent *k,
                                   uint64_t now_ms)
{
    uint64_t body[] = {k->line, k->handle, (uint64_t)k->delta, now_ms};
    if (k->line & INBOUND_SETTLES)
        return flush_settle_op_id(in->options.core, hf_hash(body, sizeof body, 1), now_ms);
    return hf_uuid_v7(now_ms, hf_hash(body, sizeof body, 1), hf_hash(body, sizeof body, 2));
}

static bool intent_add(struct inbound *in, uint32_t line, uint32_t handle, int64_t delta,
                       uint64_t now_ms)
{
    if (delta == 0 || handle == MIRROR_NONE)
        return true;
    if (in->intent_count == in->intent_room) {
        uint32_t room = in->intent_room ? 2 * in->intent_room : 256;
        struct inbound_intent *more = realloc(in->intents, room * sizeof *more);
        if (!more)
            return false;
        in->intents = more;
        in->intent_room = room;
    }
    struct inbound_intent *k = &in->intents[in->intent_count++];
    *k = (struct inbound_intent){.handle = handle, .line = line, .delta = delta};
    k->op_id = operation_id(in, k, now_ms);
    return true;
}

// A line takes `settled` by an acknowledgement, the rest of on hand.
static bool taking_add(struct inbound *in, uint32_t line, uint32_t handle, int64_t taken,
                       int64_t settled, uint64_t now_ms)
{
    return intent_add(in, line | INBOUND_SETTLES, handle, settled, now_ms) &&
           intent_add(in, line, handle, settled - taken, now_ms);
}

static bool line_differs(struct inbound *in, struct inbound_line *l, uint64_t now_ms)
{
    static const struct inbound_line none = {.from = MIRROR_NONE, .to = MIRROR_NONE};
    const struct inbound_line *old = inbound_find(in, l->id);
    old = old ? old : &none;
    bool ok = true;
    if (l->ref)
        settle_line(in, l, old);
    if (old->from != l->from)
        ok = taking_add(in, l->id, old->from, -old->taken, -old->settled, now_ms) &&
             taking_add(in, l->id, l->from, l->taken, l->settled, now_ms);
    else
        ok = taking_add(in, l->id, l->from, l->taken - old->taken, l->settled - old->settled,
                        now_ms);
    if (old->to != l->to)
        return ok && intent_add(in, l->id, old->to, -old->given, now_ms) &&
               intent_add(in, l->id, l->to, l->given, now_ms);
    return ok && intent_add(in, l->id, l->to, l->given - old->given, now_ms);
}

static int line_order(const void *a, const void *b)
{
    const struct inbound_line *x = a, *y = b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int newest_first(const void *a, const void *b)
{
    const struct inbound_line *x = a, *y = b;
    return x->write_ms > y->write_ms ? -1 : x->write_ms < y->write_ms;
}

// Merges what was read into what is remembered; the oldest go when there are too many.
static bool lines_remember(struct inbound *in)
{
    uint32_t room = in->line_count + in->fresh_count + 1;
    struct inbound_line *all = malloc(room * sizeof *all);
    uint32_t n = 0, at = 0;
    if (!all)
        return false;
    if (in->fresh_count > 0) // none: no array
        qsort(in->fresh, in->fresh_count, sizeof *in->fresh, line_order);
    for (uint32_t i = 0; i < in->line_count || at < in->fresh_count;) {
        bool old =
            i < in->line_count && (at == in->fresh_count || in->lines[i].id < in->fresh[at].id);
        if (!old && i < in->line_count && in->lines[i].id == in->fresh[at].id)
            i++;
        all[n++] = old ? in->lines[i++] : in->fresh[at++];
    }
    if (n > INBOUND_LINES_MAX) {
        qsort(all, n, sizeof *all, newest_first);
        n = INBOUND_LINES_MAX;
        if (all[n].write_ms >= in->known_ms)
            in->known_ms = all[n].write_ms + 1;
        qsort(all, n, sizeof *all, line_order);
    }
    free(in->lines);
    in->lines = all;
    in->line_count = n;
    in->line_room = room;
    return true;
}

// ------------------------------------------------------------------------------- applying

struct wanted {
    struct hf_uuid id;
    uint32_t intent;
};

static int id_order(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;
    if (x->id.hi != y->id.hi)
        return x->id.hi < y->id.hi ? -1 : 1;
    return x->id.lo < y->id.lo ? -1 : x->id.lo > y->id.lo;
}

// Takes out the intents that an earlier process has appended.
static void intents_keep(struct inbound *in, const struct wanted *w, const bool *found,
                         bool *appended)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < in->intent_count; i++)
        appended[w[i].intent] = found[i];
    for (uint32_t i = 0; i < in->intent_count; i++)
        if (!appended[i])
            in->intents[kept++] = in->intents[i];
    in->intent_count = kept;
}

// I2, for all of them at once.
static enum hf_status intents_find(struct inbound *in)
{
    uint32_t n = in->intent_count;
    struct wanted *w = calloc(n + 1, sizeof *w);
    struct hf_uuid *ids = calloc(n + 1, sizeof *ids);
    bool *found = calloc(2 * (size_t)n + 1, sizeof *found);
    enum hf_status s = w && ids && found ? HF_OK : HF_NO_MEMORY;
    for (uint32_t i = 0; s == HF_OK && i < n; i++)
        w[i] = (struct wanted){in->intents[i].op_id, i};
    if (s == HF_OK && n)
        qsort(w, n, sizeof *w, id_order);
    for (uint32_t i = 0; s == HF_OK && i < n; i++)
        ids[i] = w[i].id;
    if (s == HF_OK && n)
        s = records_among(in->options.core, ids, n, found);
    if (s == HF_OK) {
        intents_keep(in, w, found, found + n);
        in->found = true;
    }
    free(w);
    free(ids);
    free(found);
    if (s == HF_BUSY || s == HF_NOT_FOUND || s == HF_NO_MEMORY)
        return HF_AGAIN;
    return s == HF_OK ? HF_OK : fail(in, s, "the journal could not be read");
}

static enum hf_status intent_apply(struct inbound *in, struct core_worker *w,
                                   struct inbound_intent *k, uint64_t now_ms)
{
    char reason[HF_REASON_BYTES_MAX + 1];
    struct core_admin_answer a;
    struct hf_uuid old;
    snprintf(reason, sizeof reason, FLUSH_REASON_INBOUND "line %" PRIu32, k->line);
    struct core_change ch = {.op_id = k->op_id,
                             .handle = k->handle,
                             .setting = CORE_SET_ON_HAND,
                             .relative = true,
                             .value = k->delta,
                             .reason = reason};
    const struct core_line line = {k->handle, 0, k->delta};
    if (k->line & INBOUND_SETTLES)
        core_acknowledge(w, now_ms, k->op_id, &line, 1, &a);
    else
        core_change(w, now_ms, &ch, &a);
    switch (a.outcome) {
    case CORE_OUT_DONE:
        in->ticket = a.ticket > in->ticket ? a.ticket : in->ticket;
        return HF_OK;
    case CORE_OUT_BUSY:
    case CORE_OUT_ID_IN_FUTURE:
        return HF_AGAIN;
    case CORE_OUT_ID_TOO_OLD: // not appended: the same under an id of today, durable first
        old = k->op_id;
        k->op_id = operation_id(in, k, now_ms);
        if (inbound_save(in, now_ms) != HF_OK)
            k->op_id = old;
        return HF_AGAIN;
    default:
        return fail(in, HF_DAMAGED, "the engine does not take a change from Odoo");
    }
}

static enum hf_status intents_apply(struct inbound *in, struct core_worker *w, uint64_t now_ms)
{
    enum hf_status s = in->found ? HF_OK : intents_find(in);
    if (s != HF_OK)
        return s;
    for (; in->intents_done < in->intent_count; in->intents_done++) {
        s = intent_apply(in, w, &in->intents[in->intents_done], now_ms);
        if (s != HF_OK)
            return s;
    }
    if (core_durable(in->options.core) < in->ticket)
        return HF_AGAIN;
    count(&in->metrics.lines, in->intent_count);
    in->intent_count = in->intents_done = 0; // on the disk with the next change: a start finds them
    return HF_OK;
}

static enum hf_status demand_set(struct inbound *in, struct core_worker *w, uint64_t now_ms)
{
    for (uint32_t i = 0; i < in->demand_cells; i++) {
        struct core_cell cell;
        struct core_admin_answer a;
        struct inbound_intent id = {.handle = i, .delta = in->demand[i]};
        if (core_cell_read(in->options.core, i, &cell) != HF_OK || cell.external == in->demand[i])
            continue;
        struct core_change ch = {.op_id = operation_id(in, &id, now_ms),
                                 .handle = i,
                                 .setting = CORE_SET_EXTERNAL,
                                 .value = in->demand[i],
                                 .reason = FLUSH_REASON_INBOUND "demand"};
        core_change(w, now_ms, &ch, &a);
        if (a.outcome != CORE_OUT_DONE)
            return HF_AGAIN; // absolute: the next poll sets it
        count(&in->metrics.demand_changes, 1);
        if (cell.available >= 0 && cell.available < in->demand[i] - cell.external)
            hf_log(HF_LOG_WARN, "cell_short", "handle=%" PRIu32 " cause=demand", i);
    }
    return HF_OK;
}

// ------------------------------------------------------------------------------- the poll

static void contact_work(struct flush *f, struct core_worker *w, uint64_t now_ms, void *ctx)
{
    bool *ok = ctx;
    (void)w;
    *ok = flush_contact(f, now_ms);
}

static enum hf_status refresh(struct inbound *in, uint64_t now_ms)
{
    bool ok = false;
    if (in->read_ms && now_ms < in->read_ms + in->options.refresh_ms)
        return HF_OK;
    // The right database, before anything is believed.
    if (in->options.desk->ask(in->options.desk, contact_work, &ok, ASK_MS) != HF_OK || !ok)
        return HF_AGAIN;
    enum hf_status s = mirror_read(in->options.mirror);
    if (s == HF_OK)
        in->read_ms = now_ms;
    return s == HF_OK ? HF_OK : HF_AGAIN;
}

// The disk was full, or failed (I3): what is in memory is ahead of it, and must not be believed.
static enum hf_status reload(struct inbound *in, uint64_t watermark_ms, uint64_t now_ms)
{
    char why[200];
    in->line_count = in->intent_count = in->intents_done = in->kept_count = 0;
    in->watermark_ms = watermark_ms;
    in->found = false;
    free(in->lines);
    free(in->intents);
    free(in->kept);
    in->lines = NULL;
    in->intents = NULL;
    in->kept = NULL;
    in->line_room = in->intent_room = 0;
    enum hf_status s = inbound_load(in, why);
    if (s == HF_OK)
        in->baseline = false;
    if (s == HF_OK && in->again) {
        s = inbound_save(in, now_ms);
        in->again = s != HF_OK;
    }
    if (s == HF_IO || s == HF_NO_MEMORY || s == HF_AGAIN) {
        in->again = true;
        return HF_AGAIN;
    }
    in->again = false;
    if (s == HF_NOT_FOUND && !in->baseline)
        s = HF_DAMAGED; // it was there once
    return s == HF_OK || s == HF_NOT_FOUND ? HF_AGAIN : fail(in, s, why);
}

// Lines whose commit may have come meanwhile, some of them.
static bool kept_try(struct inbound *in)
{
    uint32_t n = in->kept_count < KEPT_AT_ONCE ? in->kept_count : KEPT_AT_ONCE;
    if (n == 0)
        return true;
    if (in->fresh_count)
        qsort(in->fresh, in->fresh_count, sizeof *in->fresh, line_order);
    uint32_t read = in->fresh_count;
    for (uint32_t i = 0; i < n; i++) {
        const struct inbound_kept *k = &in->kept[in->kept_at++ % in->kept_count];
        const struct inbound_line *have = inbound_find(in, k->line);
        struct inbound_line l = {.id = k->line};
        if (!have || !have->ref || (read && bsearch(&l, in->fresh, read, sizeof l, line_order)))
            continue;
        l = *have;
        l.settled = settle_sold(in, l.ref, k->reference, l.from);
        if (l.settled > have->settled && !fresh_add(in, &l))
            return false;
    }
    return true;
}

static enum hf_status intend(struct inbound *in, uint64_t now_ms)
{
    uint64_t watermark_ms = in->watermark_ms;
    bool ok = true;
    // The first time, what was done a moment ago is taken as known, but may be of an order to come.
    for (uint32_t i = 0; in->baseline && i < in->fresh_count; i++)
        in->fresh[i].settled = 0;
    for (uint32_t i = 0; ok && !in->baseline && i < in->fresh_count; i++)
        ok = line_differs(in, &in->fresh[i], now_ms);
    if (ok && in->intent_count == 0 && in->seen_ms == watermark_ms && !in->baseline && !in->more)
        return HF_OK;
    ok = ok && lines_remember(in);
    in->watermark_ms = in->seen_ms;
    enum hf_status s = ok ? inbound_save(in, now_ms) : HF_AGAIN; // I1
    if (s == HF_IO) {
        hf_log(HF_LOG_ERROR, "inbound_file", "status=%s note=\"it is read again\"",
               hf_status_name(s));
        in->again = true;
    }
    if (s == HF_AGAIN || s == HF_IO)
        return reload(in, watermark_ms, now_ms);
    if (s != HF_OK)
        return fail(in, s, "the state could not be written");
    in->baseline = false;
    return HF_OK;
}

static enum hf_status poll(struct inbound *in, struct core_worker *w, uint64_t now_ms)
{
    enum hf_status s = intents_apply(in, w, now_ms);
    if (s == HF_OK)
        s = refresh(in, now_ms);
    if (s == HF_OK && !settle_begin(in))
        s = HF_AGAIN;
    if (s == HF_OK)
        s = demand_read(in);
    if (s == HF_OK)
        s = lines_read(in);
    if (s == HF_OK && in->settle && (!settle_begin(in) || !kept_try(in)))
        s = HF_AGAIN; // demand was counted in the sums
    if (s == HF_OK)
        s = intend(in, now_ms);
    if (s == HF_OK)
        s = intents_apply(in, w, now_ms);
    if (s == HF_OK && in->more)
        s = HF_AGAIN; // the rest by the next poll
    // Not before the moves are in the engine, durable or not; and all of them.
    if (in->more)
        return s;
    if (s == HF_OK || (s == HF_AGAIN && in->intent_count && in->intents_done == in->intent_count))
        s = demand_set(in, w, now_ms);
    return s;
}

enum hf_status inbound_poll(struct inbound *in, struct core_worker *w, uint64_t now_ms)
{
    in->worker = w;
    enum hf_status s = in->failed != HF_OK ? in->failed
                       : in->again         ? reload(in, in->watermark_ms, now_ms)
                                           : HF_OK;
    if (s == HF_OK)
        s = poll(in, w, now_ms);
    if (s == HF_OK)
        hf_store_relaxed(&in->metrics.polled_ms, now_ms);
    count(s == HF_OK ? &in->metrics.polls : &in->metrics.polls_failed, 1);
    hf_store_relaxed(&in->metrics.remembered, (uint64_t)in->line_count);
    return s;
}
