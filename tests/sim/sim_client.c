// The clients of a simulated engine: storefronts that retry, repeat, mix up and come late.
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_request_free(struct sim_request *r)
{
    free(r->lines);
    memset(r, 0, sizeof *r);
}

struct hf_uuid sim_id(struct sim *s)
{
    uint64_t now = sim_now(s), ms = now;
    const struct core_options *o = &s->options;
    switch (prng_below(&s->prng, 24)) {
    case 0:
        ms = now + o->skew_ms;
        break;
    case 1:
        ms = now + o->skew_ms + 1;
        break;
    case 2:
        ms = now - o->window_ms;
        break;
    case 3:
        ms = now - o->window_ms - 1;
        break;
    case 4:
        ms = now - prng_below(&s->prng, o->window_ms + 1);
        break;
    }
    return hf_uuid_v7(ms, prng_next(&s->prng), prng_next(&s->prng));
}

static struct hf_uuid id_v4(struct sim *s)
{
    return (struct hf_uuid){(prng_next(&s->prng) & ~UINT64_C(0xf000)) | 0x4000,
                            (prng_next(&s->prng) >> 2) | UINT64_C(2) << 62};
}

struct core_request *sim_request_new(struct sim *s, uint32_t n, enum core_verb verb,
                                     uint32_t lines)
{
    struct sim_request *k = &s->kept[n];
    sim_request_free(k);
    k->lines = calloc(lines + 1, sizeof *k->lines);
    HF_ASSERT(k->lines);
    k->r = (struct core_request){.verb = verb, .line_count = lines};
    return &k->r;
}

static int64_t quantity(struct sim *s)
{
    switch (prng_below(&s->prng, 20)) {
    case 0:
        return (int64_t)prng_between(&s->prng, 1, s->plan.stock + 1);
    case 1:
        // The stand-in for Odoo counts in millionths.
        return prng_chance(&s->prng, 1, 10) && !s->plan.odoo ? HF_QUANTITY_MAX : 7;
    default:
        return (int64_t)prng_between(&s->prng, 1, 3);
    }
}

static uint32_t any_cell(struct sim *s)
{
    if (prng_chance(&s->prng, s->plan.hot_in_100, 100))
        return 0;
    return (uint32_t)prng_below(&s->prng, s->audit.oracle.cell_count);
}

static void add_text(struct sim *s, struct sim_request *k)
{
    k->text.reference = k->reference;
    k->text.buyer = k->buyer;
    k->text.reference_bytes = (uint8_t)snprintf(k->reference, sizeof k->reference, "O-%u",
                                                (unsigned)prng_below(&s->prng, 50));
    if (prng_chance(&s->prng, 1, 2))
        k->text.buyer_bytes = (uint8_t)snprintf(k->buyer, sizeof k->buyer, "b%u",
                                                (unsigned)prng_below(&s->prng, 10));
    if (prng_chance(&s->prng, 1, 3)) {
        for (uint32_t i = 0; i < CORE_TRACE_BYTES; i++)
            k->trace[i] = (uint8_t)prng_next(&s->prng);
        k->text.trace = k->trace;
    }
    k->r.text = &k->text;
}

static void fresh_take(struct sim *s, uint32_t n)
{
    struct prng *p = &s->prng;
    enum core_verb verb = prng_chance(p, 3, 5)   ? CORE_RESERVE
                          : prng_chance(p, 9, 10) ? CORE_ORDER
                                                  : CORE_RECORD;
    uint32_t lines = prng_chance(p, s->plan.wide_in_100, 100)
                         ? (uint32_t)prng_between(p, 2, s->plan.lines_wide)
                         : 1;
    struct core_request *r = sim_request_new(s, n, verb, lines);
    for (uint32_t i = 0; i < lines; i++) {
        s->kept[n].lines[i].handle = any_cell(s);
        s->kept[n].lines[i].quantity = quantity(s);
    }
    r->id = sim_id(s);
    if (verb == CORE_RESERVE && prng_chance(p, 1, 8))
        r->id = id_v4(s);
    if (verb == CORE_RESERVE)
        r->ttl_ms = prng_chance(p, 1, 20) ? s->options.ttl_max_ms
                                          : (uint32_t)prng_between(p, 1, s->plan.ttl_ms);
    if (verb != CORE_RECORD && prng_chance(p, 1, 6))
        r->flags = CORE_BEST_EFFORT;
    if (prng_chance(p, 1, 3))
        r->channel = (uint16_t)prng_below(p, s->audit.oracle.channel_count + 1);
    if (prng_chance(p, 1, 3))
        add_text(s, &s->kept[n]);
}

// A part of what the reservation has, sometimes too much, sometimes a cell that it has not.
static uint32_t some_lines(struct sim *s, uint32_t n, const struct oracle_reservation *k)
{
    struct prng *p = &s->prng;
    uint32_t count = 0;
    for (uint32_t i = 0; i < k->line_count; i++) {
        const struct oracle_line *l = &k->lines[i];
        int64_t have = k->state == CORE_STATE_COMMITTED ? l->committed - l->taken_back : l->held;
        if (have <= 0 || prng_chance(p, 1, 4))
            continue;
        int64_t q = prng_chance(p, 1, 2) ? have : (int64_t)prng_between(p, 1, (uint64_t)have);
        if (prng_chance(p, 1, 25) && have < HF_QUANTITY_MAX)
            q = have + 1;
        s->kept[n].lines[count++] = (struct core_line){.handle = l->handle, .quantity = q};
    }
    if (count == 0 || (count < k->line_count && prng_chance(p, 1, 30)))
        s->kept[n].lines[count++] =
            (struct core_line){.handle = any_cell(s), .quantity = quantity(s)};
    return count;
}

// Drawn from the id, so that older seeds tell the stories that they told; one in 128 is too long.
static void add_reason(struct sim_request *k)
{
    uint32_t bytes = (uint32_t)(k->r.id.lo % (2 * HF_REASON_BYTES_MAX));
    if (bytes == 0 || bytes > HF_REASON_BYTES_MAX + 1)
        return;
    memset(k->reason, 'a' + (int)(k->r.id.lo % 26), bytes);
    k->text.reason = k->reason;
    k->text.reason_bytes = (uint8_t)bytes;
    k->r.text = &k->text;
}

static bool end_live(struct sim *s, uint32_t n, const struct oracle_reservation *k)
{
    struct prng *p = &s->prng;
    uint32_t what = (uint32_t)prng_below(p, 10);
    enum core_verb verb = what < 5 ? CORE_COMMIT : what < 8 ? CORE_RELEASE : CORE_EXTEND;
    struct core_request *r = sim_request_new(s, n, verb, k->line_count + 1);
    bool part = verb != CORE_EXTEND && prng_chance(p, 2, 5);
    r->id = k->id;
    r->line_count = part ? some_lines(s, n, k) : 0;
    if (verb == CORE_EXTEND)
        r->ttl_ms = (uint32_t)prng_between(p, 1, s->options.ttl_max_ms);
    if (verb == CORE_EXTEND || (verb == CORE_RELEASE && part))
        r->op_id = sim_id(s);
    if (verb == CORE_COMMIT && prng_chance(p, 1, 3))
        r->flags = CORE_RETAKE;
    if (verb == CORE_RELEASE)
        add_reason(&s->kept[n]);
    return true;
}

static void take_back(struct sim *s, uint32_t n, const struct oracle_reservation *k)
{
    struct prng *p = &s->prng;
    enum core_verb verb = prng_chance(p, 1, 2) ? CORE_CANCEL : CORE_RETURN;
    struct core_request *r = sim_request_new(s, n, verb, k->line_count + 1);
    r->id = k->id;
    r->line_count = some_lines(s, n, k);
    r->op_id = sim_id(s);
    if (verb == CORE_RETURN && prng_chance(p, 1, 2))
        r->flags = CORE_SCRAP;
}

// Something with a reservation that exists, or did: recent ones more often.
static bool follow_up(struct sim *s, uint32_t n)
{
    const struct oracle *o = &s->audit.oracle;
    if (!o->reservation_count)
        return false;
    uint64_t back = prng_below(&s->prng, o->reservation_count);
    if (prng_chance(&s->prng, 3, 4))
        back = prng_below(&s->prng, back < 16 ? back + 1 : 16);
    const struct oracle_reservation *k = &o->reservations[o->reservation_count - 1 - back];
    if (k->state == CORE_STATE_COMMITTED && prng_chance(&s->prng, 3, 4))
        take_back(s, n, k);
    else
        return end_live(s, n, k);
    return true;
}

static void keep_copy(struct sim_request *to, const struct sim_request *from)
{
    sim_request_free(to);
    *to = *from;
    to->lines = calloc(from->r.line_count + 1, sizeof *to->lines);
    HF_ASSERT(to->lines);
    if (from->r.line_count)
        memcpy(to->lines, from->lines, from->r.line_count * sizeof *to->lines);
    to->text.reference = to->reference;
    to->text.reason = to->reason;
    to->text.buyer = to->buyer;
    to->text.trace = from->text.trace ? to->trace : NULL;
    to->r.text = from->r.text ? &to->text : NULL;
}

// The same again, exactly or with another body.
static bool again(struct sim *s, uint32_t n)
{
    if (!s->history_count)
        return false;
    struct prng *p = &s->prng;
    uint64_t have = s->history_count < SIM_HISTORY ? s->history_count : SIM_HISTORY;
    uint64_t back = prng_below(p, have);
    if (prng_chance(p, 1, 2))
        back = prng_below(p, have < 20 ? have : 20);
    const struct sim_request *h = &s->history[(s->history_count - 1 - back) % SIM_HISTORY];
    keep_copy(&s->kept[n], h);
    struct core_request *r = &s->kept[n].r;
    if (prng_chance(p, 1, 6)) {
        if (r->line_count && prng_chance(p, 2, 3))
            s->kept[n].lines[prng_below(p, r->line_count)].quantity = quantity(s);
        else if (r->ttl_ms)
            r->ttl_ms = r->ttl_ms % s->options.ttl_max_ms + 1;
        else if (r->verb == CORE_RESERVE || r->verb == CORE_ORDER)
            r->flags ^= CORE_BEST_EFFORT;
    }
    return true;
}

// One thing is wrong with it.
static void spoil(struct sim *s, uint32_t n)
{
    fresh_take(s, n);
    struct core_request *r = &s->kept[n].r;
    switch (prng_below(&s->prng, 8)) {
    case 0:
        s->kept[n].lines[0].handle = s->options.cells_max + 5;
        break;
    case 1:
        s->kept[n].lines[0].quantity = prng_chance(&s->prng, 1, 2) ? 0 : -1;
        break;
    case 2:
        s->kept[n].lines[0].quantity = HF_QUANTITY_MAX + 1;
        break;
    case 3:
        r->id = (struct hf_uuid){prng_next(&s->prng) & ~UINT64_C(0xf000), 5};
        break;
    case 4:
        r->flags |= 1u << 20;
        break;
    case 5:
        r->op_id = sim_id(s);
        break;
    case 6:
        r->ttl_ms = r->verb == CORE_RESERVE ? s->options.ttl_max_ms + 1 : 3;
        break;
    default:
        r->channel = 900;
    }
}

static void draw(struct sim *s, uint32_t n)
{
    struct prng *p = &s->prng;
    if (prng_chance(p, 1, 60))
        spoil(s, n);
    else if (prng_chance(p, s->plan.retry_in_100, 100) && again(s, n))
        return;
    else if (prng_chance(p, 1, 2) && follow_up(s, n))
        return;
    else
        fresh_take(s, n);
}

// ------------------------------------------------------------------------------- sending

static void prepare(struct sim *s, uint32_t count)
{
    s->line_answer_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct core_request *r = &s->kept[i].r;
        r->lines = s->kept[i].lines;
        HF_ASSERT(s->line_answer_count + r->line_count <= SIM_ARENA_LINES);
        r->line_answers = r->line_count ? &s->line_answers[s->line_answer_count] : NULL;
        s->line_answer_count += r->line_count;
        s->requests[i] = *r;
    }
    memset(s->line_answers, 0, s->line_answer_count * sizeof *s->line_answers);
    memset(s->answers, 0xee, count * sizeof *s->answers); // the engine must fill all of it
}

// Reservations whose lines have left memory are brought back, and asked again one by one.
static bool recall(struct sim *s, uint32_t count)
{
    for (uint32_t i = 0; i < count && !s->stopped; i++) {
        if (s->answers[i].outcome != CORE_OUT_NEEDS_RECALL)
            continue;
        struct core_worker *w = s->workers[0];
        enum hf_status st = core_recall(w, sim_now(s), s->requests[i].id);
        s->stats.recalls++;
        s->stats.recalls_failed += st != HF_OK;
        if (!auditor_recalled(&s->audit, s->requests[i].id, st))
            return false;
        if (st != HF_OK) {
            if (st != HF_NOT_FOUND && st != HF_BUSY && !sim_status(s, st, "recall"))
                return false;
            continue;
        }
        struct core_request r = s->requests[i];
        struct core_answer a;
        uint64_t now = sim_now(s);
        core_execute(w, now, &r, &a, 1);
        sim_log(s, "recalled, then %s", core_outcome_name(a.outcome));
        if (!auditor_batch(&s->audit, s->core, w, now, &r, &a, 1))
            return false;
        if (a.outcome == CORE_OUT_NEEDS_RECALL)
            return auditor_violate(&s->audit, "recalled, and needs to be recalled again");
    }
    return sim_ok(s);
}

bool sim_execute(struct sim *s, uint32_t count)
{
    prepare(s, count);
    struct core_worker *w = s->workers[prng_below(&s->prng, s->plan.workers)];
    uint64_t now = sim_now(s);
    s->stats.requests += count;
    if (!auditor_look(&s->audit, s->core, now))
        return false;
    core_execute(w, now, s->requests, s->answers, count);
    for (uint32_t i = 0; s->verbose && i < count; i++) {
        char id[HF_UUID_TEXT_BYTES];
        hf_uuid_format(s->requests[i].id, id);
        sim_log(s, "%s %s lines %u -> %s %s v%u ticket %lu%s",
                core_verb_name(s->requests[i].verb), id, s->requests[i].line_count,
                core_outcome_name(s->answers[i].outcome), core_state_name(s->answers[i].state),
                s->answers[i].version, s->answers[i].ticket,
                s->answers[i].repeat ? " repeat" : "");
    }
    if (!auditor_batch(&s->audit, s->core, w, now, s->requests, s->answers, count))
        return false;
    if (s->plan.packets && !sim_packets_told(s, s->requests, s->answers, count))
        return false;
    if (s->stopped)
        return true;
    return auditor_check_cells(&s->audit, s->core) && recall(s, count);
}

static void remember(struct sim *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        keep_copy(&s->history[s->history_count++ % SIM_HISTORY], &s->kept[i]);
}

// What has the form for it goes by packet. Returns how many stay, in front, for the other door.
static uint32_t by_packet(struct sim *s, uint32_t count)
{
    uint32_t stay = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (sim_packets_add(s, &s->kept[i]))
            continue;
        if (stay != i)
            keep_copy(&s->kept[stay], &s->kept[i]);
        stay++;
    }
    sim_packets_send(s);
    return stay;
}

bool sim_batch(struct sim *s)
{
    uint32_t most = prng_chance(&s->prng, 1, 3) ? 1 : s->plan.batch;
    uint32_t count = (uint32_t)prng_between(&s->prng, 1, most);
    for (uint32_t i = 0; i < count; i++) {
        if (i && prng_chance(&s->prng, 1, 12))
            keep_copy(&s->kept[i], &s->kept[prng_below(&s->prng, i)]); // twice in one batch
        else
            draw(s, i);
    }
    if (s->plan.packets && prng_chance(&s->prng, s->plan.packets_in_100, 100)) {
        remember(s, count);
        count = by_packet(s, count);
        return count == 0 || sim_execute(s, count);
    }
    if (!sim_execute(s, count))
        return false;
    remember(s, count);
    return true;
}
