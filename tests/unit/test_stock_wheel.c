#include "stock/stock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define SLOTS 64
#define TURN  UINT64_C(4096)
#define DAYS  (TURN * TURN) // one place of the highest level
// An edge of every level at once.
#define EDGE (UINT64_C(3) << 36)

struct world {
    struct stock stock;
    struct stock_wheels *wheels;
};

static int setup(void **state)
{
    static struct world w;
    const struct stock_sizes sizes = {
        .cells = 1, .ids = SLOTS, .blocks = 1, .threads = 2, .timers = true};
    if (stock_init(&w.stock, &sizes) != HF_OK)
        return -1;
    w.wheels = &w.stock.wheels;
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    stock_fini(&((struct world *)*state)->stock);
    return 0;
}

static void nothing_until(struct world *w, uint64_t tick)
{
    assert_int_equal(stock_wheel_next(w->wheels, tick), 0);
}

// Drains up to `tick`, putting back what is early: returns the tick at which the slot is due.
static uint64_t comes_up(struct world *w, uint32_t slot, uint64_t due, uint64_t tick)
{
    for (uint32_t got; (got = stock_wheel_next(w->wheels, tick)) != 0;) {
        assert_int_equal(got, slot);
        if (w->wheels->now >= due)
            return w->wheels->now;
        stock_wheel_push(w->wheels, 1, got, due);
    }
    return 0;
}

static void a_slot_comes_up_at_its_tick_and_once(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE - 10);
    stock_wheel_push(w->wheels, 0, 7, EDGE);
    nothing_until(w, EDGE - 1);
    assert_int_equal(stock_wheel_next(w->wheels, EDGE), 7);
    assert_int_equal(w->wheels->now, EDGE);
    nothing_until(w, EDGE + 3 * TURN);
}

static void past_and_present_come_up_at_the_next_tick(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE);
    nothing_until(w, EDGE + 5);
    stock_wheel_push(w->wheels, 0, 1, 0);
    stock_wheel_push(w->wheels, 0, 2, EDGE + 4);
    stock_wheel_push(w->wheels, 1, 3, EDGE + 5);
    nothing_until(w, EDGE + 5);
    uint32_t seen = 0;
    for (uint32_t slot; (slot = stock_wheel_next(w->wheels, EDGE + 6)) != 0;)
        seen |= 1u << slot;
    assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3);
}

// Drains the last ticks up to `tick`, at which an upper place may open, of which the slot is put
// where it now belongs.
static void skip_to(struct world *w, uint64_t tick, uint64_t due)
{
    if (tick <= w->wheels->now)
        return;
    if (tick - w->wheels->now > 3)
        w->wheels->now = tick - 3;
    uint32_t slot = tick < due ? stock_wheel_next(w->wheels, tick) : 0;
    if (slot != 0)
        stock_wheel_push(w->wheels, 1, slot, due);
}

// From before, at and after an edge of each level, over distances at the levels' bounds.
static void every_distance_at_every_edge_is_kept(void **state)
{
    struct world *w = *state;
    const uint64_t edges[] = {EDGE, EDGE + TURN, EDGE + DAYS, EDGE + 5 * DAYS - TURN};
    const uint64_t distances[] = {1,
                                  2,
                                  TURN - 1,
                                  TURN,
                                  TURN + 1,
                                  2 * TURN,
                                  3 * TURN,
                                  DAYS - 1,
                                  DAYS - TURN,
                                  DAYS,
                                  DAYS + 1,
                                  2 * DAYS,
                                  DAYS + TURN + 1,
                                  2 * TURN - 1,
                                  2 * TURN + 1,
                                  2 * DAYS - 1,
                                  2 * DAYS - TURN,
                                  2 * DAYS + 1,
                                  3 * DAYS};
    for (uint32_t e = 0; e < 4; e++)
        for (int off = -2; off <= 2; off++)
            for (uint32_t d = 0; d < sizeof distances / sizeof *distances; d++) {
                uint64_t from = edges[e] + (uint64_t)(int64_t)off, due = from + distances[d];
                stock_wheel_start(w->wheels, from);
                nothing_until(w, from);
                stock_wheel_push(w->wheels, 0, 1, due);
                // Nothing lies before the places that hold it: don't drain millions of ticks.
                skip_to(w, (due / DAYS - 1) * DAYS, due);
                skip_to(w, (due / TURN - 1) * TURN, due);
                skip_to(w, due, due);
                assert_int_equal(comes_up(w, 1, due, due - 1), 0);
                assert_int_equal(comes_up(w, 1, due, due), due);
                nothing_until(w, due + 2);
            }
}

static void what_lies_beyond_the_span_is_looked_at_early(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE + 12345);
    stock_wheel_push(w->wheels, 0, 1, UINT64_MAX / 2);
    stock_wheel_push(w->wheels, 0, 2, EDGE + STOCK_WHEEL_SPAN + 12345);
    stock_wheel_push(w->wheels, 1, 3, EDGE + STOCK_WHEEL_SPAN + 12344);
    nothing_until(w, EDGE + 12345 + TURN);
    uint32_t seen = 0;
    for (uint32_t i = 0; i < stock_wheel_places(w->wheels); i++) {
        stock_wheel_ahead(w->wheels, 1);
        for (uint32_t slot; (slot = stock_wheel_next(w->wheels, w->wheels->now)) != 0;) {
            assert_false(seen & 1u << slot);
            seen |= 1u << slot;
        }
    }
    assert_int_equal(seen, 1u << 1 | 1u << 2 | 1u << 3);
}

static void a_sweep_ahead_finds_each_place_once(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE + 1);
    for (uint32_t i = 0; i < 20; i++) {
        stock_wheel_push(w->wheels, i % 2, 1 + i, EDGE + TURN * (3 + 100 * i));
        stock_wheel_push(w->wheels, i % 2, 21 + i, EDGE + DAYS * (3 + 100 * i));
    }
    stock_wheel_push(w->wheels, 0, 41, EDGE + 100); // of the lowest level
    uint64_t seen = 0, rounds = stock_wheel_places(w->wheels);
    for (uint64_t i = 0; i < 2 * rounds; i++) {
        stock_wheel_ahead(w->wheels, 1);
        for (uint32_t slot; (slot = stock_wheel_next(w->wheels, w->wheels->now)) != 0;) {
            assert_false(seen & UINT64_C(1) << slot);
            seen |= UINT64_C(1) << slot;
        }
    }
    assert_int_equal(seen, ((UINT64_C(1) << 42) - 1) & ~UINT64_C(1));
}

// Hands out up to `count`, putting back what is early. Returns how many of slots 1.. came.
static uint32_t hand_out(struct world *w, uint64_t tick, uint32_t count)
{
    uint32_t early = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = stock_wheel_next(w->wheels, tick);
        if (slot == 0)
            break;
        assert_in_range(slot, 1, 50);
        stock_wheel_push(w->wheels, 1, slot, EDGE + 100 + slot);
        early++;
    }
    return early;
}

static void deadlines_do_not_wait_for_an_upper_list(void **state)
{
    struct world *w = *state;
    // Slots of both wheels, in a list of the second level; of 51 and more, one is due each tick.
    stock_wheel_start(w->wheels, EDGE - 2 * TURN - 2);
    for (uint32_t i = 1; i <= 50; i++)
        stock_wheel_push(w->wheels, i % 2, i, EDGE + 100 + i);
    for (uint32_t i = 0; i < 10; i++)
        stock_wheel_push(w->wheels, 0, 51 + i, EDGE - TURN - 1 + i);
    uint32_t early = 0;
    for (uint32_t i = 0; i < 10; i++) {
        uint64_t tick = EDGE - TURN - 1 + i;
        assert_int_equal(stock_wheel_next(w->wheels, tick), 51 + i);
        assert_int_equal(w->wheels->now, tick);
        early += hand_out(w, tick, 3);
    }
    assert_int_equal(early, 9 * 3); // the list opened at the second tick
    early += hand_out(w, EDGE - TURN + 20, 50);
    assert_int_equal(early, 50);
    for (uint32_t i = 1; i <= 50; i++)
        assert_int_equal(comes_up(w, i, EDGE + 100 + i, EDGE + 100 + i), EDGE + 100 + i);
    nothing_until(w, EDGE + 3 * TURN);
}

static void an_upper_list_is_handed_out_before_its_first_tick(void **state)
{
    struct world *w = *state;
    for (uint64_t unit = TURN; unit <= DAYS; unit *= TURN) {
        uint64_t edge = EDGE + 4 * DAYS;
        stock_wheel_start(w->wheels, edge - 2 * unit - 2);
        for (uint32_t i = 1; i <= 50; i++)
            stock_wheel_push(w->wheels, i % 2, i, edge + i);
        // Never caught up: the last ticks are looked at in one go.
        if (unit == DAYS)
            w->wheels->now = edge - unit - 1;
        assert_int_not_equal(stock_wheel_next(w->wheels, edge - unit), 0);
        if (unit == DAYS)
            w->wheels->now = edge - 1;
        for (uint32_t i = 2; i <= 50; i++) {
            assert_int_not_equal(stock_wheel_next(w->wheels, edge + 10), 0);
            assert_true(w->wheels->now < edge);
        }
        nothing_until(w, edge + TURN);
    }
}

static void a_slot_goes_round_as_often_as_it_is_pushed(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE - TURN - 3);
    uint64_t due = EDGE - TURN;
    stock_wheel_push(w->wheels, 0, 9, due);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(comes_up(w, 9, due, due), due);
        due += 1 + (uint64_t)i * 211;
        stock_wheel_push(w->wheels, (uint32_t)i % 2, 9, due);
    }
}

static void many_come_up_together(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE);
    stock_wheel_push(w->wheels, 0, 10, EDGE + 5);
    uint32_t slots[50];
    for (uint32_t i = 0; i < 50; i++)
        slots[i] = 11 + i;
    stock_wheel_push_all(w->wheels, 0, slots, 3, EDGE + 5); // one block, then three more
    stock_wheel_push_all(w->wheels, 0, slots + 3, 47, EDGE + 5);
    uint64_t seen = 0;
    for (uint32_t slot; (slot = stock_wheel_next(w->wheels, EDGE + 5)) != 0;) {
        assert_false(seen & UINT64_C(1) << slot);
        seen |= UINT64_C(1) << slot;
    }
    assert_int_equal(seen, ((UINT64_C(1) << 51) - 1) << 10);
}

static void blocks_come_back_whoever_pushed(void **state)
{
    struct world *w = *state;
    uint32_t slots[SLOTS];
    for (uint32_t i = 0; i < SLOTS; i++)
        slots[i] = 1 + i;
    stock_wheel_start(w->wheels, EDGE);
    uint64_t unused = stock_pool_free(&w->wheels->pool);
    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t tick = EDGE + 2 * (round + 1);
        stock_wheel_push_all(w->wheels, round % 2, slots, SLOTS / 2, tick);
        for (uint32_t i = SLOTS / 2; i < SLOTS; i++)
            stock_wheel_push(w->wheels, i % 2, slots[i], tick - i % 2);
        uint32_t up = 0;
        while (stock_wheel_next(w->wheels, tick))
            up++;
        assert_int_equal(up, SLOTS);
        if (w->wheels->retired_count >= STOCK_WHEEL_RETIRED)
            stock_wheel_reclaim(w->wheels);
    }
    stock_wheel_reclaim(w->wheels);
    for (uint32_t i = 0; i < 2; i++)
        stock_cache_flush(&w->wheels->wheels[i].cache);
    assert_int_equal(stock_pool_free(&w->wheels->pool), unused);
}

static void a_drainer_that_slept_finds_all(void **state)
{
    struct world *w = *state;
    stock_wheel_start(w->wheels, EDGE);
    for (uint32_t i = 1; i <= 40; i++)
        stock_wheel_push(w->wheels, i % 2, i, EDGE + i * i * 9);
    uint64_t seen = 0, last = EDGE;
    for (uint32_t slot; (slot = stock_wheel_next(w->wheels, EDGE + 10 * TURN)) != 0;) {
        uint64_t due = EDGE + slot * slot * 9;
        assert_true(w->wheels->now >= last);
        last = w->wheels->now;
        if (due > last) {
            stock_wheel_push(w->wheels, 0, slot, due);
            continue;
        }
        assert_int_equal(due, last);
        assert_false(seen & UINT64_C(1) << slot);
        seen |= UINT64_C(1) << slot;
    }
    assert_int_equal(seen, ((UINT64_C(1) << 41) - 1) & ~UINT64_C(1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slot_comes_up_at_its_tick_and_once, setup, teardown),
        cmocka_unit_test_setup_teardown(past_and_present_come_up_at_the_next_tick, setup, teardown),
        cmocka_unit_test_setup_teardown(every_distance_at_every_edge_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_lies_beyond_the_span_is_looked_at_early, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_sweep_ahead_finds_each_place_once, setup, teardown),
        cmocka_unit_test_setup_teardown(deadlines_do_not_wait_for_an_upper_list, setup, teardown),
        cmocka_unit_test_setup_teardown(an_upper_list_is_handed_out_before_its_first_tick, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_slot_goes_round_as_often_as_it_is_pushed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_come_up_together, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_come_back_whoever_pushed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drainer_that_slept_finds_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
