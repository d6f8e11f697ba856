// Whole decisions of a whole engine on a fake disk: workers, the timers and the writer as fibers.
//
//   ends    expiry against commit, release and extension, and who takes what comes back
//   floor   the floor moves while late duplicates come; slots are used again
//   orders  single-line orders combined in batches, wide ones, equal ids at once
//   mixed   all of it
//
// Every history must be explained by a plain ledger; the journal, in its order, must never sell
// what is not there (no prefix of it oversells); and what a restart reads must be what was there.
#include "explore/core_history.h"
#include "explore/interleave.h"

#include "base/log.h"
#include "core/core_internal.h"
#include "sim/fake_storage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS     3
#define TIMERS      WORKERS
#define WRITER      (WORKERS + 1)
#define FIBERS      (WORKERS + 2)
#define EXTEND_MS   20
#define TTL_MS      5
#define PAUSE_MS    40 // between two programs: all holds of the one before have ended
#define SLOTS_FEW   6
#define SLOTS_MAIN  80
#define WINDOW_MS   400
#define WINDOW_LONG 100000

enum kind { ENDS, FLOOR, ORDERS, MIXED };

struct script_call { // what a fiber will do: indices into the history
    uint32_t calls[4], count;
};

static struct {
    enum kind kind;
    struct fake_clock clock;
    struct fake_storage *disk;
    struct core_options options;
    struct core *core;
    struct core_worker *workers[WORKERS], *main;
    struct history h;
    struct script_call fibers[FIBERS];
    uint64_t base_ms;
    uint64_t lsn; // read up to here
    int64_t journal_have[HISTORY_CELLS];
    struct prng ids; // random parts of ids
    uint64_t counts[CORE_OUTCOME_COUNT], repeats, expired, records;
} w;

static struct hf_uuid id_new(uint64_t ms)
{
    return hf_uuid_v7(ms, prng_next(&w.ids), prng_next(&w.ids));
}

// ------------------------------------------------------------------------------- the engine

static void open_engine(void)
{
    struct core_report report;
    enum hf_status s = core_open(&w.options, &w.core, &report);
    explore_check(s == HF_OK, "open: %s: %s", hf_status_name(s), report.why);
    for (uint32_t i = 0; i < WORKERS; i++)
        w.workers[i] = core_worker_create(w.core);
    w.main = core_worker_create(w.core);
    explore_check(w.main, "no worker");
}

static void close_engine(void)
{
    for (uint32_t i = 0; i < WORKERS; i++)
        core_worker_destroy(w.workers[i]);
    core_worker_destroy(w.main);
    core_close(w.core);
}

static void settle(void)
{
    enum hf_status a = HF_OK, b = HF_OK;
    while (a == HF_OK || b == HF_OK) {
        a = core_step_segments(w.core);
        b = core_step_writer(w.core, false);
    }
    explore_check(a == HF_AGAIN && b == HF_AGAIN, "%s, %s", hf_status_name(a), hf_status_name(b));
}

// Leaves each worker a few slots, so that they are used again soon.
static void slots_few(void)
{
    uint32_t kept[WORKERS * SLOTS_FEW], n = 0;
    struct stock_cache *all = &w.workers[0]->thread.slots;
    explore_check(stock_cache_ensure(&w.main->thread.slots, SLOTS_MAIN), "no slots");
    for (uint32_t at; (at = stock_acquire(all)) != 0; n++)
        if (n < WORKERS * SLOTS_FEW)
            kept[n] = at; // the others are nobody's from now on
    for (uint32_t i = 0; i < WORKERS * SLOTS_FEW; i++)
        stock_release(&w.workers[i % WORKERS]->thread.slots, kept[i]);
}

static void change(uint32_t cell, int64_t value)
{
    struct core_admin_answer a;
    struct core_change ch = {.op_id = id_new(core_now(w.core)), .handle = cell, .value = value};
    core_change(w.main, core_now(w.core), &ch, &a);
    explore_check(a.outcome == CORE_OUT_DONE, "stock: %s", core_outcome_name(a.outcome));
}

static void silent(void *ctx, enum hf_log_level level, const char *line)
{
    (void)ctx, (void)level, (void)line;
}

static void begin(struct prng *p, enum kind kind)
{
    struct core_options *o = &w.options;
    struct core_admin_answer a;
    w.kind = kind;
    w.ids = prng_fork(p);
    fake_clock_init(&w.clock, 1000000000, 1700000000000);
    w.disk = fake_storage_create(1, &w.clock);
    core_options_default(o);
    o->storage = &w.disk->base;
    o->clock = &w.clock.base;
    o->fresh_id = (struct hf_uuid){0x1234567812347000, 0x8000000000000001};
    o->cells_max = HISTORY_CELLS;
    o->ids_max = 1000;
    o->blocks_max = 700;
    o->workers_max = WORKERS + 1;
    o->window_ms = o->window_min_ms = kind == FLOOR ? WINDOW_MS : WINDOW_LONG;
    o->skew_ms = kind == FLOOR ? 2 : 1000;
    o->huge_pages = o->archive = false;
    o->journal.segment_bytes = 64 << 10;
    o->journal.segments_max = 64;
    o->journal.group_bytes_max = 16 << 10;
    o->journal.buffer_bytes = 8 << 10;
    o->journal.buffers_per_producer = 3;
    hf_log_set_sink(silent, NULL);
    open_engine();
    settle();
    for (uint32_t i = 0; i < HISTORY_CELLS; i++) {
        char sku[2] = {(char)('A' + i), 0};
        core_cell_make(w.main, core_now(w.core), sku, 1, "main", 4, 0, &a);
        explore_check(a.outcome == CORE_OUT_DONE && a.handle == i, "cell %u", i);
    }
    settle();
    if (kind == FLOOR)
        slots_few();
    w.lsn = core_durable(w.core);
    memset(w.journal_have, 0, sizeof w.journal_have);
}

// ------------------------------------------------------------------------------- programs

static uint32_t ask_add(uint32_t call, struct history_ask a)
{
    struct history *h = &w.h;
    explore_check(h->ask_count < HISTORY_ASKS, "too many asks");
    a.call = call;
    h->calls[call].count++;
    h->asks[h->ask_count] = a;
    return h->ask_count++;
}

static uint32_t call_add(uint32_t fiber, uint64_t now_ms)
{
    struct history *h = &w.h;
    struct script_call *f = &w.fibers[fiber];
    explore_check(h->call_count < HISTORY_CALLS, "too many calls");
    h->calls[h->call_count] = (struct history_call){
        .fiber = fiber, .timers = fiber == TIMERS, .now_ms = now_ms, .first = h->ask_count};
    f->calls[f->count++] = h->call_count;
    return h->call_count++;
}

static void body_draw(struct prng *p, struct history_id *x, uint32_t body, uint32_t wide_in_4)
{
    bool wide = prng_chance(p, wide_in_4, 4);
    uint32_t n = 0;
    for (uint32_t c = 0; c < HISTORY_CELLS && wide; c++)
        if (prng_chance(p, 2, 3))
            x->lines[body][n++] = (struct core_line){c, 0, (int64_t)prng_between(p, 1, 2)};
    if (n == 0)
        x->lines[body][n++] =
            (struct core_line){(uint32_t)prng_below(p, 2), 0, (int64_t)prng_between(p, 1, 2)};
    x->line_count[body] = n;
}

static void ids_draw(struct prng *p)
{
    struct history *h = &w.h;
    h->id_count = HISTORY_IDS;
    for (uint32_t i = 0; i < HISTORY_IDS; i++) {
        struct history_id *x = &h->ids[i];
        x->id = id_new(w.base_ms + (w.kind == FLOOR ? prng_below(p, w.options.skew_ms + 1) : 0));
        x->ttl_ms = prng_chance(p, 1, 2) ? TTL_MS : 20;
        body_draw(p, x, 0, w.kind == ORDERS ? 1 : 2);
        body_draw(p, x, 1, 1);
        x->lines[1][0].quantity += 3; // another body for sure
    }
    for (uint32_t i = 0; i < HISTORY_OPS; i++)
        h->ops[i] = id_new(w.base_ms);
}

static struct history_ask ask_draw(struct prng *p)
{
    static const uint8_t weights[][6] = {
        // RESERVE, ORDER, COMMIT, RELEASE, EXTEND, CANCEL
        [ENDS] = {2, 1, 5, 4, 2, 1},
        [FLOOR] = {3, 4, 1, 1, 0, 1},
        [ORDERS] = {3, 5, 0, 1, 0, 0},
        [MIXED] = {4, 4, 3, 3, 2, 2},
    };
    static const enum core_verb verbs[] = {CORE_RESERVE, CORE_ORDER,  CORE_COMMIT,
                                           CORE_RELEASE, CORE_EXTEND, CORE_CANCEL};
    uint32_t sum = 0, v = 0;
    for (uint32_t i = 0; i < 6; i++)
        sum += weights[w.kind][i];
    uint32_t at = (uint32_t)prng_below(p, sum);
    while (at >= weights[w.kind][v])
        at -= weights[w.kind][v++];
    // Few ids, so that they meet; the first ones exist already.
    uint32_t few = w.kind == ORDERS ? HISTORY_IDS : 1 + (uint32_t)prng_below(p, 4);
    if (v >= 2 && w.kind != ORDERS && prng_chance(p, 3, 4))
        few = 2; // what is there at first
    return (struct history_ask){.verb = verbs[v],
                                .id = (uint32_t)prng_below(p, few),
                                .body = prng_chance(p, 1, 12),
                                .op = (uint32_t)prng_below(p, HISTORY_OPS),
                                .retake = v == 2 && prng_chance(p, 1, 3)};
}

static void workers_draw(struct prng *p)
{
    uint32_t asks = 0, workers = (uint32_t)prng_between(p, 2, WORKERS);
    for (uint32_t f = 0; f < workers; f++) {
        uint32_t calls = (uint32_t)prng_between(p, 1, 2);
        for (uint32_t c = 0; c < calls; c++) {
            uint64_t now = w.base_ms + (w.kind == ORDERS ? 0 : prng_below(p, TTL_MS + 3));
            uint32_t n = (uint32_t)prng_between(p, 1, w.kind == ORDERS ? HISTORY_BATCH : 2);
            uint32_t call = call_add(f, now);
            for (uint32_t k = 0; k < n && asks < 10; k++, asks++)
                ask_add(call, ask_draw(p));
        }
    }
}

// ------------------------------------------------------------------------------- running

static void call_run(struct core_worker *worker, struct history_call *c)
{
    struct core_request q[HISTORY_BATCH];
    struct core_answer a[HISTORY_BATCH];
    struct history *h = &w.h;
    for (uint32_t i = 0; i < c->count; i++) {
        const struct history_ask *k = &h->asks[c->first + i];
        const struct history_id *x = &h->ids[k->id];
        q[i] = (struct core_request){.verb = k->verb, .id = x->id};
        if (k->verb == CORE_RESERVE || k->verb == CORE_ORDER || k->verb == CORE_CANCEL) {
            q[i].lines = x->lines[k->verb == CORE_CANCEL ? 0 : k->body];
            q[i].line_count = k->verb == CORE_CANCEL ? 1 : x->line_count[k->body];
        }
        q[i].ttl_ms = k->verb == CORE_RESERVE  ? x->ttl_ms
                      : k->verb == CORE_EXTEND ? h->extend_ms
                                               : 0;
        q[i].flags = k->retake ? CORE_RETAKE : 0;
        if (k->verb == CORE_EXTEND || k->verb == CORE_CANCEL)
            q[i].op_id = h->ops[k->op];
    }
    c->from = explore_time();
    core_execute(worker, c->now_ms, q, a, c->count);
    c->to = explore_time();
    for (uint32_t i = 0; i < c->count; i++) {
        h->asks[c->first + i].answer = a[i];
        w.counts[a[i].outcome]++;
        w.repeats += a[i].repeat;
    }
}

static void timers_run(struct history_call *c)
{
    c->from = explore_time();
    enum hf_status s = core_step_timers(w.core, c->now_ms, 100);
    c->to = explore_time();
    explore_check(s == HF_OK || s == HF_AGAIN, "timers: %s", hf_status_name(s));
}

static void body(void *ctx, uint32_t fiber)
{
    (void)ctx;
    for (uint32_t i = 0; i < w.fibers[fiber].count; i++) {
        struct history_call *c = &w.h.calls[w.fibers[fiber].calls[i]];
        if (fiber == TIMERS)
            timers_run(c);
        else
            call_run(w.workers[fiber], c);
    }
    for (uint32_t i = 0; fiber == WRITER && i < 4; i++) {
        explore_time();
        enum hf_status s = core_step_writer(w.core, i == 3);
        explore_time();
        explore_check(s == HF_OK || s == HF_AGAIN, "writer: %s", hf_status_name(s));
    }
}

// Some ids exist before: decided by the main program, alone.
static void prepare(struct prng *p, uint64_t now_ms)
{
    struct history *h = &w.h;
    uint32_t count = (uint32_t)prng_between(p, 1, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct history_ask a = {
            .verb = w.kind == FLOOR && prng_chance(p, 2, 3) ? CORE_ORDER : CORE_RESERVE, .id = i};
        uint32_t call = call_add(WRITER, now_ms);
        w.fibers[WRITER].count = 0;
        ask_add(call, a);
        call_run(w.main, &h->calls[call]);
    }
}

static int64_t have(uint32_t cell)
{
    struct core_cell c;
    explore_check(core_cell_read(w.core, cell, &c) == HF_OK && !c.unsettled, "no cell");
    return c.available;
}

static void states_read(struct ledger *l, uint64_t now_ms)
{
    static const enum ledger_state states[CORE_STATE_COUNT] = {
        [CORE_STATE_HELD] = LEDGER_HELD,         [CORE_STATE_COMMITTED] = LEDGER_COMMITTED,
        [CORE_STATE_RELEASED] = LEDGER_RELEASED, [CORE_STATE_EXPIRED] = LEDGER_EXPIRED,
        [CORE_STATE_REJECTED] = LEDGER_REJECTED,
    };
    memset(l, 0, sizeof *l);
    for (uint32_t i = 0; i < w.h.id_count; i++) {
        struct core_view v;
        enum hf_status s = core_get(w.main, now_ms, w.h.ids[i].id, &v, NULL, 0);
        explore_check(s == HF_OK || s == HF_NOT_FOUND, "get: %s", hf_status_name(s));
        if (s == HF_NOT_FOUND)
            continue;
        l->ids[i] = (struct ledger_id){.state = states[v.state],
                                       .verb = v.verb,
                                       .version = v.version,
                                       .deadline_ms = v.state == CORE_STATE_HELD ? v.time_ms : 0,
                                       .ended_ms = v.state == CORE_STATE_HELD ? 0 : v.time_ms,
                                       .lsn = v.ticket};
    }
    for (uint32_t c = 0; c < HISTORY_CELLS; c++)
        l->have[c] = have(c);
}

static uint32_t make(struct prng *p, uint32_t small)
{
    struct history *h = &w.h;
    (void)small;
    memset(h, 0, sizeof *h);
    memset(w.fibers, 0, sizeof w.fibers);
    w.base_ms = core_now(w.core);
    h->window_ms = w.options.window_ms;
    h->skew_ms = w.options.skew_ms;
    h->extend_ms = EXTEND_MS;
    ids_draw(p);
    for (uint32_t c = 0; c < HISTORY_CELLS; c++) { // on hand: what is sold stays sold
        struct core_cell x;
        explore_check(core_cell_read(w.core, c, &x) == HF_OK, "no cell");
        change(c, x.on_hand - x.available + (int64_t)prng_below(p, 5));
    }
    prepare(p, w.base_ms);
    settle();
    if (w.kind == FLOOR) { // near to where the floor passes them
        fake_clock_advance_ms(&w.clock, WINDOW_MS + prng_below(p, 6));
        w.base_ms = core_now(w.core);
        for (uint32_t i = 0; i < HISTORY_OPS; i++)
            h->ops[i] = id_new(w.base_ms);
        for (uint32_t i = 3; i < HISTORY_IDS; i++)
            h->ids[i].id = id_new(w.base_ms - prng_below(p, 3) * (WINDOW_MS / 2));
    }
    states_read(&h->start, w.base_ms - (w.kind == FLOOR ? WINDOW_MS + 5 : 0));
    h->ask_count = h->call_count = 0;
    workers_draw(p);
    uint64_t now_ms = w.base_ms;
    if (w.kind != ORDERS)
        for (uint32_t i = 0; i < (w.kind == FLOOR ? 4u : 2u); i++) {
            if (w.kind == FLOOR && prng_chance(p, 1, 10)) // somebody stands for a whole window
                now_ms += WINDOW_MS;
            now_ms += prng_below(p, 5);
            (void)call_add(TIMERS, now_ms);
        }
    return FIBERS;
}

// ------------------------------------------------------------------------------- afterwards

static enum hf_status record_see(void *ctx, uint64_t lsn, uint64_t time_ms,
                                 const struct journal_record *record)
{
    const struct core_record *r = (const struct core_record *)record;
    (void)ctx, (void)time_ms;
    w.lsn = lsn;
    w.records++;
    if (r->frame.type == CORE_RECORD_FLOOR || r->frame.type == CORE_RECORD_CHANNEL)
        return HF_OK;
    w.expired += r->frame.type == CORE_RECORD_EXPIRE;
    for (uint32_t i = 0; i < r->line_count; i++) {
        const struct core_record_line *l = &r->lines[i];
        int64_t moves = core_line_available(l, 0);
        w.journal_have[l->handle] += moves;
        explore_check(r->frame.type == CORE_RECORD_CHANGE || moves >= 0 ||
                          w.journal_have[l->handle] >= 0,
                      "the journal up to LSN %lu (%s) has sold %ld of cell %u too many", lsn,
                      core_record_type_name(r->frame.type), -w.journal_have[l->handle], l->handle);
    }
    return HF_OK;
}

static void journal_see(void)
{
    struct journal_reader *reader;
    enum hf_status s = journal_reader_create(core_journal(w.core), w.lsn, &reader);
    explore_check(s == HF_OK, "reader: %s", hf_status_name(s));
    while ((s = journal_reader_step(reader, 1000, record_see, NULL)) == HF_OK)
        ;
    explore_check(s == HF_AGAIN, "reader: %s", hf_status_name(s));
    journal_reader_destroy(reader);
    for (uint32_t c = 0; c < HISTORY_CELLS; c++)
        explore_check(w.journal_have[c] == have(c), "cell %u: %ld by the journal, %ld in memory", c,
                      w.journal_have[c], have(c));
}

static void judge(const struct explore_run *run)
{
    (void)run;
    struct history *h = &w.h;
    settle();
    journal_see();
    h->end_ms = w.base_ms + TTL_MS + 8;
    for (uint32_t i = 0; i < h->call_count; i++)
        if (h->calls[i].now_ms > h->end_ms)
            h->end_ms = h->calls[i].now_ms;
    if (h->end_ms > core_now(w.core))
        fake_clock_advance_ms(&w.clock, h->end_ms - core_now(w.core));
    states_read(&h->end, h->end_ms);
    settle();
    journal_see();
    if (!history_judge(h))
        explore_check(false, "no order explains this history");
    fake_clock_advance_ms(&w.clock, PAUSE_MS);
    for (int i = 0; i < 3; i++) {
        enum hf_status s = core_step_timers(w.core, core_now(w.core), 1000);
        explore_check(s == HF_OK || s == HF_AGAIN, "timers: %s", hf_status_name(s));
        settle();
    }
    journal_see();
}

// Another start finds the same.
static void end(void)
{
    struct ledger before, after;
    uint64_t now_ms = core_now(w.core);
    states_read(&before, now_ms);
    settle();
    close_engine();
    fake_storage_restart(w.disk);
    open_engine();
    states_read(&after, now_ms);
    explore_check(memcmp(before.have, after.have, sizeof before.have) == 0,
                  "a restart finds other stock");
    for (uint32_t i = 0; i < w.h.id_count; i++) {
        const struct ledger_id *b = &before.ids[i], *a = &after.ids[i];
        // What the floor lets go may be forgotten, and read again from a journal that still has it.
        uint64_t ended_ms = b->state == LEDGER_NONE ? a->ended_ms : b->ended_ms;
        bool gone = (a->state == LEDGER_NONE || b->state == LEDGER_NONE) &&
                    ended_ms + w.h.skew_ms < now_ms - w.options.window_ms;
        explore_check(gone || (b->state == a->state && b->version == a->version),
                      "a restart finds id %u in another state", i);
    }
    close_engine();
    storage_destroy(&w.disk->base);
}

static const char *tell(void)
{
    static char text[200];
    int n = snprintf(text, sizeof text, "%lu records, %lu again, %lu expired", w.records, w.repeats,
                     w.expired);
    for (unsigned o = 0; o < CORE_OUTCOME_COUNT; o++)
        if (w.counts[o] && n < (int)sizeof text)
            n += snprintf(text + n, sizeof text - (size_t)n, ", %lu %s", w.counts[o],
                          core_outcome_name((enum core_outcome)o));
    w.records = w.repeats = w.expired = 0;
    memset(w.counts, 0, sizeof w.counts);
    return text;
}

#define SUBJECT(kind, word, help_text)                                                             \
    static void begin_##word(struct prng *p)                                                       \
    {                                                                                              \
        begin(p, kind);                                                                            \
    }                                                                                              \
    const struct subject subject_##word = {                                                        \
        .name = #word,                                                                             \
        .help = help_text,                                                                         \
        .rounds = 20,                                                                              \
        .freezable = UINT32_MAX,                                                                   \
        .begin = begin_##word,                                                                     \
        .end = end,                                                                                \
        .make = make,                                                                              \
        .body = body,                                                                              \
        .judge = judge,                                                                            \
        .tell = tell,                                                                              \
    }
SUBJECT(ENDS, ends, "a hold's ends: commit, release, extension, expiry");
SUBJECT(FLOOR, floor, "the floor, late duplicates, slots that are used again");
SUBJECT(ORDERS, orders, "orders combined in batches, wide ones, equal ids at once");
SUBJECT(MIXED, mixed, "all verbs");
