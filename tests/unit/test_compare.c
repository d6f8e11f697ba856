// The built-in check of the live state against the replayed one: what it must find, and what it
// must not take for damage.
#include "core/core_internal.h"
#include "unit/core_world.h"

static int set_up(void **state)
{
    struct world *w = malloc(sizeof *w);
    world_init(w);
    world_open(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

static struct hf_uuid hold(struct world *w, uint32_t cell)
{
    struct core_line line = {cell, 0, 1};
    struct core_request r = {
        .verb = CORE_RESERVE, .id = world_id(w), .ttl_ms = 600000, .lines = &line, .line_count = 1};
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE);
    return r.id;
}

// Steps until the check has said equal once more, or `ms` have passed.
static enum hf_status look(struct world *w, uint32_t ms, uint32_t pace)
{
    struct core_metrics m;
    core_metrics(w->core, &m);
    uint64_t before = m.compared;
    enum hf_status s = HF_OK;
    for (uint32_t t = 0; t < ms && s <= HF_AGAIN && m.compared == before; t += pace) {
        fake_clock_advance_ms(&w->clock, pace);
        for (int i = 0; i < 8 && s <= HF_AGAIN; i++)
            s = core_step_checkpoint(w->core, core_now(w->core), 4);
        core_metrics(w->core, &m);
    }
    return s > HF_AGAIN ? s : m.compared > before ? HF_OK : HF_AGAIN;
}

static struct stock_slot *slot_of(struct world *w, struct hf_uuid id)
{
    struct stock_slots *slots = &w->core->stock.slots;
    uint32_t at = stock_find(slots, id, stock_hash(slots, &id));
    assert_int_not_equal(at, 0);
    return &slots->slots[at];
}

static void a_cell_that_drifts_is_found(void **state)
{
    struct world *w = *state;
    uint32_t cell = world_cell(w, "apple", 50);
    hold(w, cell);
    world_settle(w);
    assert_int_equal(look(w, 1000, 10), HF_OK);
    hold(w, cell);
    world_settle(w);
    w->core->stock.cells.cells[cell].on_hand++;
    assert_int_equal(look(w, 10000, 10), HF_DAMAGED);
}

static void a_hold_that_drifts_is_found(void **state)
{
    struct world *w = *state;
    struct hf_uuid id = hold(w, world_cell(w, "apple", 50));
    world_settle(w);
    slot_of(w, id)->time_channel += UINT64_C(1) << 16;
    assert_int_equal(look(w, 10000, 10), HF_DAMAGED);
}

static void a_hold_of_another_id_is_found(void **state)
{
    struct world *w = *state;
    struct hf_uuid id = hold(w, world_cell(w, "apple", 50));
    world_settle(w);
    slot_of(w, id)->id.lo ^= 1;
    assert_int_equal(look(w, 10000, 10), HF_DAMAGED);
}

static void a_pause_of_the_machine_is_no_damage(void **state)
{
    struct world *w = *state;
    uint32_t cell = world_cell(w, "apple", 50);
    hold(w, cell);
    world_settle(w);
    struct stock_cell *c = &w->core->stock.cells.cells[cell];
    c->on_hand++; // as if a decision stood between its swap and its push
    assert_int_equal(look(w, 40, 10), HF_AGAIN);
    assert_int_equal(look(w, 3600000, 3600000), HF_AGAIN); // the whole machine slept
    c->on_hand--;
    assert_int_equal(look(w, 1000, 10), HF_OK);
    // And the looks begin anew.
    hold(w, cell);
    world_settle(w);
    c->on_hand++;
    assert_int_equal(look(w, 1000, 20), HF_AGAIN);
    c->on_hand--;
    assert_int_equal(look(w, 1000, 10), HF_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cell_that_drifts_is_found),
        TEST(a_hold_that_drifts_is_found),
        TEST(a_hold_of_another_id_is_found),
        TEST(a_pause_of_the_machine_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
