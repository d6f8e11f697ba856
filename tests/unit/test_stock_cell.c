#include "stock/stock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#define CELLS 1100

struct world {
    struct stock stock;
    struct stock_thread t, other;
};

static int setup(void **state)
{
    static struct world w;
    const struct stock_sizes sizes = {.cells = CELLS, .ids = 1, .blocks = 1, .threads = 2};
    memset(&w, 0, sizeof w);
    if (stock_init(&w.stock, &sizes) != HF_OK)
        return -1;
    stock_thread_init(&w.stock, &w.t, 0);
    stock_thread_init(&w.stock, &w.other, 1);
    *state = &w;
    return 0;
}

static int teardown(void **state)
{
    stock_fini(&((struct world *)*state)->stock);
    return 0;
}

static struct stock_cell *cell_set(struct world *w, uint32_t cell, int64_t available)
{
    struct stock_cell *c = &w->stock.cells.cells[cell];
    c->decision.lo = stock_word(available, STOCK_FLAG_ACTIVE);
    return c;
}

static int64_t have(struct world *w, uint32_t cell)
{
    return stock_available(&w->stock.cells.cells[cell]);
}

static void sizes_out_of_range_are_refused(void **state)
{
    (void)state;
    struct stock s;
    struct stock_sizes z = {.cells = 1, .ids = 1, .blocks = 1, .threads = HF_THREADS_MAX + 1};
    assert_int_equal(stock_init(&s, &z), HF_INVALID);
    z.threads = 0;
    assert_int_equal(stock_init(&s, &z), HF_INVALID);
    z.threads = 1;
    z.cells = 0;
    assert_int_equal(stock_init(&s, &z), HF_INVALID);
}

static void a_word_keeps_sign_and_flags_at_the_bounds(void **state)
{
    (void)state;
    const int64_t amounts[] = {
        0, 1, -1, HF_QUANTITY_MAX, -HF_QUANTITY_MAX, HF_AVAILABLE_MAX - 1, -HF_AVAILABLE_MAX};
    for (uint32_t i = 0; i < sizeof amounts / sizeof *amounts; i++)
        for (unsigned flags = 0; flags < 256; flags += 255) {
            assert_int_equal(stock_word_available(stock_word(amounts[i], flags)), amounts[i]);
            assert_int_equal(stock_word(amounts[i], flags) & 255, flags);
        }
}

static void one_take_leaves_exactly_zero_and_no_less(void **state)
{
    struct world *w = *state;
    const int64_t amounts[] = {1, 7, HF_QUANTITY_MAX};
    int64_t left;
    for (uint32_t i = 0; i < 3; i++) {
        struct stock_cell *c = cell_set(w, 0, amounts[i]);
        assert_false(stock_take_one(&w->t.taker, 0, amounts[i] + 1, false, &left));
        assert_int_equal(left, amounts[i]);
        assert_true(stock_take_one(&w->t.taker, 0, amounts[i], false, &left));
        assert_int_equal(left, 0);
        assert_false(stock_take_one(&w->t.taker, 0, 1, false, &left));
        assert_int_equal(left, 0);
        stock_give(c, amounts[i]);
        assert_int_equal(have(w, 0), amounts[i]);
        assert_true(stock_active(c));
    }
}

static void a_fact_goes_below_zero_down_to_its_bound(void **state)
{
    struct world *w = *state;
    int64_t left;
    cell_set(w, 0, 3);
    assert_true(stock_take_one(&w->t.taker, 0, 5, true, &left));
    assert_int_equal(left, -2);
    assert_false(stock_take_one(&w->t.taker, 0, 1, false, &left));
    cell_set(w, 0, 0);
    assert_true(stock_take_one(&w->t.taker, 0, HF_QUANTITY_MAX, true, &left));
    assert_true(stock_take_one(&w->t.taker, 0, HF_QUANTITY_MAX, true, &left));
    assert_int_equal(left, -2 * HF_QUANTITY_MAX);
    cell_set(w, 0, -HF_AVAILABLE_MAX / 2 + 1);
    assert_true(stock_take_one(&w->t.taker, 0, 1, true, &left));
    assert_false(stock_take_one(&w->t.taker, 0, 1, true, &left));
    assert_int_equal(have(w, 0), -HF_AVAILABLE_MAX / 2);
}

static void an_inactive_cell_gives_to_facts_alone(void **state)
{
    struct world *w = *state;
    const struct stock_take takes[] = {{0, 0, 1}, {1, 0, 1}};
    struct stock_wish wish = {1, 9, true};
    uint32_t refused;
    int64_t left;
    cell_set(w, 0, 10);
    cell_set(w, 1, 10);
    stock_flags_set(&w->t.taker, 1, 0, STOCK_FLAG_ACTIVE);
    assert_false(stock_active(&w->stock.cells.cells[1]));
    assert_false(stock_take_one(&w->t.taker, 1, 1, false, &left));
    stock_take_combined(&w->t.taker, 1, &wish, 1, &left);
    assert_int_equal(wish.given, 0);
    assert_int_equal(left, 10);
    assert_false(stock_take_all(&w->t.taker, takes, 2, &refused));
    assert_int_equal(refused, 1);
    assert_true(stock_take_one(&w->t.taker, 1, 1, true, &left));
    stock_flags_set(&w->t.taker, 1, STOCK_FLAG_ACTIVE, 0);
    assert_true(stock_take_all(&w->t.taker, takes, 2, &refused));
    assert_int_equal(have(w, 0), 9);
    assert_int_equal(have(w, 1), 8);
}

static void combined_wishes_are_served_in_order(void **state)
{
    struct world *w = *state;
    struct stock_wish wishes[] = {{4, 0, false}, {7, 0, false}, {3, 0, false},
                                  {9, 0, true},  {1, 0, false}, {1, 0, true}};
    const int64_t given[] = {4, 0, 3, 3, 0, 0};
    int64_t left;
    cell_set(w, 0, 10);
    stock_take_combined(&w->t.taker, 0, wishes, 6, &left);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(wishes[i].given, given[i]);
    assert_int_equal(left, 0);
    assert_int_equal(have(w, 0), 0);
    cell_set(w, 0, -5); // short: nothing, not even a part
    stock_take_combined(&w->t.taker, 0, wishes, 6, &left);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(wishes[i].given, 0);
    assert_int_equal(left, -5);
    cell_set(w, 0, HF_QUANTITY_MAX);
    struct stock_wish all[] = {{HF_QUANTITY_MAX, 0, false}, {HF_QUANTITY_MAX, 0, true}};
    stock_take_combined(&w->t.taker, 0, all, 2, &left);
    assert_int_equal(all[0].given, HF_QUANTITY_MAX);
    assert_int_equal(all[1].given, 0);
}

static void a_wide_take_has_all_or_nothing(void **state)
{
    struct world *w = *state;
    static struct stock_take takes[HF_LINES_MAX];
    uint32_t refused;
    for (uint32_t i = 0; i < HF_LINES_MAX; i++) {
        cell_set(w, i, HF_QUANTITY_MAX);
        takes[i] = (struct stock_take){i, 0, HF_QUANTITY_MAX};
    }
    cell_set(w, HF_LINES_MAX - 1, HF_QUANTITY_MAX - 1); // the last one has one too few
    assert_false(stock_take_all(&w->t.taker, takes, HF_LINES_MAX, &refused));
    assert_int_equal(refused, HF_LINES_MAX - 1);
    for (uint32_t i = 0; i < HF_LINES_MAX - 1; i++)
        assert_int_equal(have(w, i), HF_QUANTITY_MAX);
    stock_give(&w->stock.cells.cells[HF_LINES_MAX - 1], 1);
    assert_true(stock_take_all(&w->t.taker, takes, HF_LINES_MAX, &refused));
    for (uint32_t i = 0; i < HF_LINES_MAX; i++) {
        assert_int_equal(have(w, i), 0);
        assert_false(w->stock.cells.cells[i].decision.hi >> 63);
    }
    assert_false(stock_take_all(&w->t.taker, takes, 1, &refused));
    assert_int_equal(refused, 0);
}

static void tags_never_come_again(void **state)
{
    struct world *w = *state;
    const struct stock_take takes[] = {{0, 0, 1}, {1, 0, 1}};
    struct stock_cell *c = cell_set(w, 0, 100000);
    uint64_t last = c->decision.hi;
    uint32_t refused;
    int64_t left;
    cell_set(w, 1, 100000);
    for (int i = 0; i < 1000; i++) {
        assert_true(i % 2 ? stock_take_one(&w->t.taker, 0, 1, false, &left)
                          : stock_take_all(&w->t.taker, takes, 2, &refused));
        assert_true(c->decision.hi > last); // one thread: its sequence alone
        last = c->decision.hi;
        if (i == 500) { // a thread that takes the number over goes on with the sequence
            stock_thread_fini(&w->t);
            stock_thread_init(&w->stock, &w->t, 0);
        }
    }
    assert_true(stock_take_one(&w->other.taker, 0, 1, false, &left));
    assert_int_not_equal(c->decision.hi >> 57, last >> 57);
}

static void a_reading_adds_up_or_says_that_it_may_not(void **state)
{
    struct world *w = *state;
    struct stock_reading r;
    struct stock_cell *c = cell_set(w, 0, 5);
    c->on_hand = 9;
    c->committed = 4;
    assert_true(stock_cell_read(&w->stock.cells, 0, &r));
    assert_int_equal(r.available, 5);
    assert_int_equal(r.on_hand, 9);
    assert_int_equal(r.committed, 4);
    assert_int_equal(r.flags, STOCK_FLAG_ACTIVE);
    c->admin_seq = 1; // a change that does not end
    assert_false(stock_cell_read(&w->stock.cells, 0, &r));
    assert_int_equal(r.available, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_out_of_range_are_refused),
        cmocka_unit_test(a_word_keeps_sign_and_flags_at_the_bounds),
        cmocka_unit_test_setup_teardown(one_take_leaves_exactly_zero_and_no_less, setup, teardown),
        cmocka_unit_test_setup_teardown(a_fact_goes_below_zero_down_to_its_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(an_inactive_cell_gives_to_facts_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(combined_wishes_are_served_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_wide_take_has_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(tags_never_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reading_adds_up_or_says_that_it_may_not, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
