// People and Odoo: cells, settings, acknowledgements.
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct core_worker *any_worker(struct sim *s)
{
    return s->workers[prng_below(&s->prng, s->plan.workers)];
}

static bool cell_make(struct sim *s, uint32_t number)
{
    char sku[24], location[24];
    uint32_t sku_bytes = (uint32_t)snprintf(sku, sizeof sku, "SKU-%u", number / 2);
    uint32_t location_bytes = (uint32_t)snprintf(location, sizeof location, "WH%u", number % 2);
    struct core_admin_answer out;
    uint64_t now = sim_now(s);
    uint8_t scale = (uint8_t)(number % (HF_UNIT_SCALE_MAX + 1));
    core_cell_make(any_worker(s), now, sku, sku_bytes, location, location_bytes, scale, &out);
    sim_log(s, "cell %s %s -> %s handle %u ticket %lu", sku, location,
            core_outcome_name(out.outcome), out.handle, out.ticket);
    return auditor_cell_made(&s->audit, now, sku, location, scale, &out);
}

static bool change(struct sim *s, const struct core_change *c)
{
    struct core_admin_answer out;
    uint64_t now = sim_now(s);
    if (!auditor_look(&s->audit, s->core, now))
        return false;
    core_change(any_worker(s), now, c, &out);
    s->stats.admin++;
    sim_log(s, "change cell %u setting %d value %ld -> %s value %ld ticket %lu", c->handle,
            c->setting, c->value, core_outcome_name(out.outcome), out.value, out.ticket);
    return auditor_expiries(&s->audit, s->core, s->workers[0], now) &&
           auditor_changed(&s->audit, now, c, &out) && auditor_settle(&s->audit) &&
           auditor_check_cells(&s->audit, s->core);
}

static bool set_stock(struct sim *s, uint32_t handle, int64_t value)
{
    struct core_change c = {.op_id = hf_uuid_v7(sim_now(s), prng_next(&s->prng),
                                                prng_next(&s->prng)),
                            .handle = handle,
                            .setting = CORE_SET_ON_HAND,
                            .value = value};
    return change(s, &c);
}

bool sim_cells_make(struct sim *s, uint32_t count)
{
    for (uint32_t tries = 0; s->audit.oracle.cell_count < count && tries < 8 * count; tries++) {
        uint32_t made = s->audit.oracle.cell_count;
        if (!cell_make(s, made))
            return false;
        bool fresh = s->audit.oracle.cell_count > made;
        if (fresh && !set_stock(s, made, (int64_t)prng_below(&s->prng, s->plan.stock + 1)))
            return false;
        if (!sim_writer(s, false) || s->stopped)
            return sim_ok(s);
        if (!fresh && !sim_pump(s, 4))
            return false;
    }
    return sim_ok(s);
}

static struct core_change random_change(struct sim *s)
{
    struct prng *p = &s->prng;
    const struct oracle *o = &s->audit.oracle;
    struct core_change c = {.op_id = sim_id(s),
                            .handle = (uint32_t)prng_below(p, o->cell_count),
                            .setting = CORE_SET_ON_HAND,
                            .reason = prng_chance(p, 1, 2) ? "counted" : NULL};
    const struct oracle_cell *cell = &o->cells[c.handle];
    switch (prng_below(p, 10)) {
    case 0:
        c.setting = CORE_SET_SAFETY;
        c.value = (int64_t)prng_below(p, 5);
        break;
    case 1:
        c.setting = CORE_SET_BACKORDER;
        c.value = (int64_t)prng_below(p, 10);
        break;
    case 2:
        c.setting = CORE_SET_EXTERNAL;
        c.value = (int64_t)prng_below(p, 5);
        break;
    case 3:
        c.setting = CORE_SET_ACTIVE;
        c.value = prng_chance(p, 3, 4);
        break;
    case 4 ... 6:
        c.relative = true;
        c.value = (int64_t)prng_below(p, 20) - 8;
        break;
    default:
        c.value = (int64_t)prng_below(p, s->plan.stock + 10);
        c.compare = prng_chance(p, 1, 3);
        c.expected = (int64_t)cell->on_hand + prng_chance(p, 1, 3);
    }
    return c;
}

bool sim_acknowledge(struct sim *s, bool all)
{
    static struct core_line lines[HF_LINES_MAX];
    uint32_t count = 0;
    if (s->plan.odoo)
        return true; // the flusher does
    const struct oracle *o = &s->audit.oracle;
    for (uint32_t h = 0; h < o->cell_count && count < 32; h++) {
        int64_t sold = (int64_t)o->cells[h].committed;
        int64_t most = HF_QUANTITY_MAX;
        sold = sold > most ? most : sold < -most ? -most : sold;
        if (sold == 0 || (!all && prng_chance(&s->prng, 1, 2)))
            continue;
        int64_t q = all || sold < 0 ? sold : (int64_t)prng_between(&s->prng, 1, (uint64_t)sold);
        lines[count++] = (struct core_line){.handle = h, .quantity = q};
    }
    if (!count)
        return true;
    struct hf_uuid op =
        hf_uuid_v7(sim_now(s), prng_next(&s->prng), prng_next(&s->prng));
    for (int twice = 0; twice < 2; twice++) {
        struct core_admin_answer out;
        uint64_t now = sim_now(s);
        core_acknowledge(any_worker(s), now, op, lines, count, &out);
        sim_log(s, "acknowledge %u lines -> %s%s ticket %lu", count,
                core_outcome_name(out.outcome), out.repeat ? " repeat" : "", out.ticket);
        if (!auditor_expiries(&s->audit, s->core, s->workers[0], now) ||
            !auditor_acknowledged(&s->audit, now, op, lines, count, &out) ||
            !auditor_settle(&s->audit) || !auditor_check_cells(&s->audit, s->core))
            return false;
        if (prng_chance(&s->prng, 1, 2))
            break;
    }
    return true;
}

static bool channel_make(struct sim *s)
{
    char name[16];
    uint32_t bytes =
        (uint32_t)snprintf(name, sizeof name, "ch-%u", (unsigned)prng_below(&s->prng, 4));
    struct core_admin_answer out;
    uint64_t now = sim_now(s);
    core_channel_make(any_worker(s), now, name, bytes, &out);
    return auditor_channel_made(&s->audit, now, name, &out);
}

bool sim_admin(struct sim *s)
{
    if (!s->audit.oracle.cell_count)
        return sim_cells_make(s, s->plan.cells);
    switch (prng_below(&s->prng, 10)) {
    case 0:
        return cell_make(s, (uint32_t)prng_below(&s->prng, s->audit.oracle.cell_count + 2));
    case 1:
        return channel_make(s);
    case 2 ... 4:
        return sim_acknowledge(s, false);
    default: {
        struct core_change c = random_change(s);
        if (!change(s, &c))
            return false;
        return prng_chance(&s->prng, 3, 4) || s->stopped || change(s, &c);
    }
    }
}
