// The flusher in a story, and an Odoo that loses answers, commits late, answers nonsense and goes
// away. P7: at the end Odoo's stock is the engine's, to the unit. P8: nothing is left over.
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACKS_MAX 64

// The flusher acknowledges what Odoo has booked by itself: what it asked of the engine is noted
// here (the program is linked with --wrap=core_acknowledge) and told to the auditor.
struct ack {
    struct hf_uuid op_id;
    uint64_t now_ms;
    struct core_line lines[HF_LINES_MAX];
    uint32_t count;
    struct core_admin_answer answer;
};
static struct {
    bool listening;
    uint32_t count;
    struct ack acks[ACKS_MAX];
} noted;

void __real_core_acknowledge(struct core_worker *w, uint64_t now_ms, struct hf_uuid op_id,
                             const struct core_line *lines, uint32_t count,
                             struct core_admin_answer *out);
void __wrap_core_acknowledge(struct core_worker *w, uint64_t now_ms, struct hf_uuid op_id,
                             const struct core_line *lines, uint32_t count,
                             struct core_admin_answer *out);
void __wrap_core_acknowledge(struct core_worker *w, uint64_t now_ms, struct hf_uuid op_id,
                             const struct core_line *lines, uint32_t count,
                             struct core_admin_answer *out)
{
    __real_core_acknowledge(w, now_ms, op_id, lines, count, out);
    if (!noted.listening)
        return;
    HF_ASSERT(noted.count < ACKS_MAX);
    struct ack *a = &noted.acks[noted.count++];
    a->op_id = op_id;
    a->now_ms = now_ms;
    memcpy(a->lines, lines, count * sizeof *lines);
    a->count = count;
    a->answer = *out;
}

static uint32_t pick(struct prng *p, const uint32_t *from, uint32_t count)
{
    return from[prng_below(p, count)];
}
#define PICK(p, ...)                                                                               \
    pick(p, (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

// ------------------------------------------------------------------------------- set-up

static void options_make(struct sim *s, struct flush_options *o)
{
    static const struct flush_location places[2] = {{.name = "WH0", .warehouse = "WH0"},
                                                    {.name = "WH1", .warehouse = "WH1"}};
    struct prng *p = &s->odoo.prng;
    flush_options_default(o);
    o->storage = &s->fs->base;
    o->http = &s->odoo.http.base;
    o->engine = "sim";
    o->database = "odoo";
    o->key = "sandbox";
    o->locations = places;
    o->location_count = 2;
    o->action_id = prng_chance(p, 1, 3) ? 13000000 : 0;
    o->fresh_id = (struct hf_uuid){0x0190000000007abc, 0x8000000000000000 | prng_next(p) >> 2};
    o->seed = prng_next(p);
    o->window_ms = PICK(p, 1, 50, 500);
    o->window_lines = o->open_lines_max = 2 * HF_LINES_MAX;
    o->batch_lines = PICK(p, 1, 3, 20, 100);
    o->dead_max = PICK(p, 3, 100);
    o->retry_ms = PICK(p, 1, 20);
    o->retry_max_ms = PICK(p, 50, 1000);
    o->attempts_max = PICK(p, 2, 8);
    o->contact_ms = PICK(p, 10, 1000, 60000);
}

void sim_odoo_init(struct sim *s)
{
    struct sim_odoo *o = &s->odoo;
    struct sandbox_options so;
    char csv[4096] = "";
    uint32_t line, bytes = 0;
    sandbox_options_default(&so);
    so.unit_digits = 6;
    so.seed = prng_next(&o->prng);
    o->sandbox = sandbox_create(&so);
    HF_ASSERT(o->sandbox);
    // Cells come in pairs, a SKU in two places; every cell that there can be has its product.
    for (uint32_t n = 0; n <= s->options.cells_max + 2; n++)
        bytes +=
            (uint32_t)snprintf(csv + bytes, sizeof csv - bytes, "SKU-%u,WH%u,0\n", n / 2, n % 2);
    HF_ASSERT(bytes < sizeof csv && sandbox_seed_csv(o->sandbox, csv, bytes, &line));
    fake_odoo_init(&o->http, o->sandbox, s->fs, &s->clock);
    options_make(s, &o->options);
}

void sim_odoo_fini(struct sim *s)
{
    if (!s->plan.odoo)
        return;
    fake_odoo_fini(&s->odoo.http);
    sandbox_destroy(s->odoo.sandbox);
}

enum hf_status sim_odoo_open(struct sim *s, char why[200])
{
    s->odoo.options.core = s->core;
    return flush_open(&s->odoo.options, &s->odoo.flush, why);
}

void sim_odoo_close(struct sim *s)
{
    if (s->odoo.flush)
        flush_close(s->odoo.flush);
    s->odoo.flush = NULL;
    s->odoo.http.crash_at = 0; // the machine that comes back knows nothing of it
}

// ------------------------------------------------------------------------------- mishaps

static void faults(struct sim *s, const char *method, const char *text)
{
    char body[512];
    struct sandbox_answer a;
    snprintf(body, sizeof body, "{\"faults\":[%s]}", text);
    struct sandbox_request r = {
        .method = method, .path = "/sandbox/faults", .body = body, .body_bytes = strlen(body)};
    sandbox_handle(s->odoo.sandbox, &r, &a);
    free(a.body);
}

static void fault_draw(struct sim *s)
{
    static const char *const kinds[] = {
        "close",         "commit_close", "commit_hang", "http_429",    "http_500",
        "http_502",      "http_503",     "commit_502",  "commit_504",  "database_down",
        "html_200",      "operational",  "user_error",  "validation",  "wizard",
        "serialization", "value_error",  "access",      "unauthorized"};
    static const char *const methods[] = {"create", "button_validate", "search_read", "run",
                                          "action_cancel"};
    struct prng *p = &s->odoo.prng;
    char text[160];
    snprintf(text, sizeof text, "{\"kind\":\"%s\",\"method\":\"%s\",\"count\":%u,\"skip\":%u}",
             kinds[prng_below(p, sizeof kinds / sizeof *kinds)], methods[prng_below(p, 5)],
             (unsigned)prng_between(p, 1, 3), (unsigned)prng_below(p, 4));
    sim_log(s, "mishap %s", text);
    faults(s, "POST", text);
    s->stats.odoo_mishaps++;
}

void sim_odoo_mishap(struct sim *s)
{
    struct fake_odoo *o = &s->odoo.http;
    struct prng *p = &s->odoo.prng;
    switch (prng_below(p, 8)) {
    case 0:
        o->away = !o->away;
        sim_log(s, "Odoo is %s", o->away ? "away" : "back");
        break;
    case 1:
        if (o->late_waits || o->calls < o->late_at)
            break;
        o->late_at = o->calls + prng_between(p, 1, 10);
        o->late_by = (uint32_t)prng_below(p, 12);
        break;
    case 2:
        if (!s->plan.crashes || s->exact)
            break;
        o->crash_at = o->calls + prng_between(p, 1, 20);
        o->crash_after = prng_chance(p, 1, 2);
        break;
    case 3:
        faults(s, "DELETE", "");
        break;
    default:
        fault_draw(s);
    }
}

// ------------------------------------------------------------------------------- steps

static bool acks_tell(struct sim *s)
{
    for (uint32_t i = 0; i < noted.count; i++) {
        const struct ack *a = &noted.acks[i];
        sim_log(s, "the flusher acknowledges %u lines -> %s%s ticket %lu", a->count,
                core_outcome_name(a->answer.outcome), a->answer.repeat ? " repeat" : "",
                a->answer.ticket);
        s->stats.odoo_acks += a->answer.outcome == CORE_OUT_DONE && !a->answer.repeat;
        if (!auditor_expiries(&s->audit, s->core, s->workers[0], a->now_ms) ||
            !auditor_acknowledged(&s->audit, a->now_ms, a->op_id, a->lines, a->count, &a->answer) ||
            !auditor_settle(&s->audit) || !auditor_check_cells(&s->audit, s->core))
            return false;
    }
    noted.count = 0;
    return true;
}

enum hf_status sim_odoo_step(struct sim *s)
{
    noted.listening = true;
    noted.count = 0;
    enum hf_status st = flush_step(s->odoo.flush, s->workers[0], sim_now(s));
    noted.listening = false;
    return acks_tell(s) ? st : HF_DAMAGED;
}

// ------------------------------------------------------------------------------- the end

bool sim_odoo_idle(const struct sim *s)
{
    struct flush_metrics m;
    flush_metrics(s->odoo.flush, &m);
    return m.read_lsn == core_durable(s->core) && m.window_movements == 0 && m.open_batches == 0 &&
           journal_appended(core_journal(s->core)) == m.read_lsn;
}

// No room for what was given up next: it waits for an operator.
static bool full_of_dead(const struct sim *s)
{
    struct flush_metrics m;
    flush_metrics(s->odoo.flush, &m);
    return m.pause == FLUSH_PAUSE_DEAD_LETTERS;
}

bool sim_odoo_dead_retry(struct sim *s, uint32_t *count)
{
    struct flush_dead_letter d[100];
    *count = flush_dead_list(s->odoo.flush, 0, d, 100);
    s->stats.odoo_dead += *count;
    for (uint32_t i = 0; i < *count; i++) {
        enum hf_status st = flush_dead_retry(s->odoo.flush, d[i].id, sim_now(s));
        if (st != HF_OK)
            return auditor_violate(&s->audit, "ODOO: the retry of a dead letter answers %s",
                                   hf_status_name(st));
    }
    return true;
}

// The keeper of the files has all the time that it needs: groups that only move the floor must not
// come faster than their segments are archived.
static bool housekeeping(struct sim *s)
{
    for (uint32_t n = 0, which = 0; n < 500 && which < 3 && !s->stopped; n++) {
        if (!sim_background(s, which, 64))
            return false;
        which += !s->did_something;
    }
    return true;
}

static bool everything_is_posted(struct sim *s)
{
    for (uint32_t tries = 0; tries < 5000; tries++) {
        uint32_t dead = 0;
        if (!sim_pump(s, 1) || s->stopped || !housekeeping(s) || s->stopped)
            return sim_ok(s);
        if (!sim_odoo_idle(s) && !full_of_dead(s)) {
            // A clock that was set back by a quarter of an hour has to come to where it was: ids of
            // acknowledgements wait for that.
            fake_clock_advance_ms(&s->clock, flush_wait_ms(s->odoo.flush, sim_now(s), 500) +
                                                 (tries > 500 ? 2000 : 0));
            continue;
        }
        if (!sim_odoo_dead_retry(s, &dead))
            return false;
        if (dead == 0 && sim_odoo_idle(s))
            return true;
    }
    struct flush_metrics m;
    flush_metrics(s->odoo.flush, &m);
    return auditor_violate(&s->audit,
                           "ODOO: %lu movements in the window, %lu batches open, %lu dead, pause "
                           "%s, read %lu of %lu durable, %lu appended",
                           m.window_movements, m.open_batches, m.dead_letters,
                           flush_pause_name((enum flush_pause)m.pause), m.read_lsn,
                           core_durable(s->core), journal_appended(core_journal(s->core)));
}

// What went to customers of each cell, by everything that was ever answered.
static __int128 sold(const struct sim *s, uint32_t handle)
{
    __int128 sum = 0;
    for (uint32_t i = 0; i < s->audit.event_count; i++) {
        const struct oracle_event *e = &s->audit.events[i];
        bool back = e->kind == ORACLE_CANCEL || e->kind == ORACLE_RETURN;
        bool out = e->kind == ORACLE_COMMIT || e->kind == ORACLE_RETAKE ||
                   (e->kind == ORACLE_TAKE && e->verb != CORE_RESERVE);
        for (uint32_t k = 0; (back || out) && k < e->line_count; k++)
            if (e->lines[k].handle == handle)
                sum += back ? -e->lines[k].quantity : e->lines[k].quantity;
    }
    return sum;
}

static __int128 millionths(const struct oracle_cell *c, __int128 quantity)
{
    for (uint32_t i = c->scale; i < HF_UNIT_SCALE_MAX; i++)
        quantity *= 10;
    return quantity;
}

// Odoo's stock is the engine's, and its customers got what was sold.
static bool odoo_agrees(struct sim *s)
{
    const struct oracle *o = &s->audit.oracle;
    for (uint32_t h = 0; h < o->cell_count; h++) {
        const struct oracle_cell *c = &o->cells[h];
        char place[48];
        snprintf(place, sizeof place, "%s/Stock", c->location);
        __int128 have = sandbox_quantity(s->odoo.sandbox, c->sku, place);
        if (c->committed != 0 || have != millionths(c, c->on_hand))
            return auditor_violate(&s->audit,
                                   "ODOO: %s in %s: %ld millionths; on hand %ld, committed %ld, "
                                   "scale %u",
                                   c->sku, place, (int64_t)have, (int64_t)c->on_hand,
                                   (int64_t)c->committed, c->scale);
        __int128 customers = 0;
        bool first = true;
        for (uint32_t k = 0; k < o->cell_count; k++)
            if (strcmp(o->cells[k].sku, c->sku) == 0) {
                customers += millionths(&o->cells[k], sold(s, k));
                first &= k >= h;
            }
        have = sandbox_quantity(s->odoo.sandbox, c->sku, "Partners/Customers");
        if (first && have != customers)
            return auditor_violate(&s->audit, "ODOO: customers have %ld millionths of %s, not %ld",
                                   (int64_t)have, c->sku, (int64_t)customers);
    }
    s->stats.odoo_agreed++;
    s->stats.odoo_calls += s->odoo.http.calls;
    s->stats.odoo_posted += sandbox_pickings(s->odoo.sandbox, "done");
    return true;
}

void sim_odoo_calm(struct sim *s)
{
    struct fake_odoo *o = &s->odoo.http;
    faults(s, "DELETE", "");
    o->away = false;
    o->crash_at = o->late_at = 0;
}

bool sim_odoo_settle(struct sim *s)
{
    if (!everything_is_posted(s))
        return false;
    fake_odoo_settle(&s->odoo.http);
    return everything_is_posted(s) && odoo_agrees(s);
}
