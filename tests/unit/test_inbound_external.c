// Mode external: orders that Odoo itself ships are deducted once, by its moves.
#include "inbound_world.h"

static struct inbound_world *external_world_make(uint64_t seed)
{
    struct inbound_world *t = inbound_world_make(seed);
    t->fw.places[0].mode = FLUSH_MODE_EXTERNAL;
    inbound_world_restart(t);
    assert_true(poll(t));
    return t;
}

static struct hf_uuid sell_as(struct inbound_world *t, enum core_verb verb, uint32_t i,
                              const char *reference, int64_t quantity)
{
    struct core_line line = {t->fw.cells[i], 0, quantity};
    struct core_text text = {.reference = reference, .reference_bytes = (uint8_t)strlen(reference)};
    struct core_request r = {
        .verb = verb, .id = world_id(&t->fw.w), .lines = &line, .line_count = 1, .text = &text};
    assert_int_equal(fworld_do(&t->fw, &r).outcome, CORE_OUT_DONE);
    world_settle(&t->fw.w);
    return r.id;
}

static void is(struct inbound_world *t, uint32_t i, int64_t on_hand, int64_t committed,
               int64_t external)
{
    struct core_cell c = cell(t, i);
    if (c.on_hand != on_hand || c.committed != committed || c.external != external)
        fail_msg("on hand %lld, committed %lld, external %lld", (long long)c.on_hand,
                 (long long)c.committed, (long long)c.external);
}

// Goods that left are read again and again, and the negative cache of references runs out.
static void poll_on(struct inbound_world *t)
{
    for (int i = 0; i < 3; i++) {
        assert_true(poll(t));
        fake_clock_advance_ms(&t->fw.w.clock, 61000);
    }
}

static void an_order_that_odoo_ships_is_deducted_once(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(11);
    sell_as(t, CORE_ORDER, 0, "SO-1", 5);
    json_int_t first = move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 2, false);
    json_int_t second = move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 3, false);
    poll_on(t);
    is(t, 0, START, 5, 0); // its own demand is not somebody else's
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", first)));
    poll_on(t);
    is(t, 0, START - 2, 3, 0);
    json_decref(
        other(t, "/json/2/stock.picking/button_validate", json_pack("{s:[I]}", "ids", second)));
    poll_on(t);
    is(t, 0, START - 5, 0, 0);
    assert_int_equal(cell(t, 0).available, START - 5);
    assert_true(fworld_run(&t->fw)); // nothing is posted, nothing is amiss
    assert_int_equal(sandbox_pickings(t->fw.sandbox, "done"), 2);
    assert_int_equal(odoo_of(t, 0), START - 5);
    inbound_world_free(t);
}

static void what_is_moved_beyond_the_order_is_somebodys(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(12);
    sell_as(t, CORE_ORDER, 0, "SO-1", 3);
    move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 5, false);
    move_for(t, "SO-2", "tea", "WH/Stock", CUSTOMERS, 7, false);
    poll_on(t);
    is(t, 0, START, 3, 2 + 7);
    move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 4, true);
    move_for(t, "SO-3", "tea", "WH/Stock", CUSTOMERS, 1, true);
    poll_on(t);
    is(t, 0, START - 5, 0, 5 + 7);
    inbound_world_free(t);
}

static void a_move_before_its_commit_is_settled_later(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(13);
    move_for(t, "SO-9", "tea", "WH/Stock", CUSTOMERS, 4, true);
    poll_on(t);
    is(t, 0, START - 4, 0, 0);
    fake_clock_advance_ms(&t->fw.w.clock, 3600000);
    move(t, "rye", VENDORS, "WH/Stock", 1, true); // moves of an hour ago are not read any more
    poll_on(t);
    inbound_world_restart(t);
    poll_on(t);
    sell_as(t, CORE_RECORD, 0, "SO-9", 4);
    is(t, 0, START - 4, 4, 0);
    poll_on(t);
    is(t, 0, START - 4, 0, 0);
    assert_int_equal(cell(t, 0).available, START - 4);
    inbound_world_free(t);
}

static void a_reservations_id_is_a_reference_too(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(14);
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(sell_as(t, CORE_ORDER, 0, "SO-1", 5), id);
    move_for(t, id, "tea", "WH/Stock", CUSTOMERS, 5, true);
    poll_on(t);
    is(t, 0, START - 5, 0, 0);
    inbound_world_free(t);
}

static void power_fails_at_every_storage_call_and_orders_count_once(void **state)
{
    (void)state;
    uint64_t crashes = 0;
    for (uint64_t at = 1, through = 0; !through; at++) {
        struct inbound_world *t = external_world_make(15);
        sell_as(t, CORE_ORDER, 0, "SO-1", 6);
        move_for(t, "SO-1", "tea", "WH/Stock", CUSTOMERS, 6, true);
        move_for(t, "SO-2", "oil", "WH/Stock", CUSTOMERS, 4, true);
        through = poll_through(t, at);
        crashes += !through;
        sell_as(t, CORE_RECORD, 2, "SO-2", 5);
        poll_on(t);
        inbound_world_restart(t);
        poll_on(t);
        is(t, 0, START - 6, 0, 0);
        is(t, 2, START - 4, 1, 0);
        assert_true(fworld_run(&t->fw));
        inbound_world_free(t);
    }
    printf("%llu power losses\n", (unsigned long long)crashes);
    assert_true(crashes >= 8);
}

// An order of somebody else's whose name looks like a reservation's id was searched on the disk by
// each poll.
static void a_strangers_order_that_looks_like_an_id_is_not_searched_again_and_again(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(32);
    char id[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->fw.w), id);
    for (uint32_t i = 0; i < 40; i++)
        sell_as(t, CORE_ORDER, 0, "SO-1", 1);
    move_for(t, id, "tea", "WH/Stock", CUSTOMERS, 5, false);
    assert_true(poll(t));
    is(t, 0, START, 40, 5);
    uint64_t reads = t->fw.w.disk->counts.reads;
    for (int i = 0; i < 5; i++)
        assert_int_equal(inbound_poll(t->in, t->fw.w.worker, core_now(t->fw.w.core)), HF_OK);
    assert_int_equal(t->fw.w.disk->counts.reads, reads);
    is(t, 0, START, 40, 5);
    inbound_world_free(t);
}

// A shop whose order numbers are UUIDs, and not the reservations' ids.
static void a_reference_may_look_like_an_id(void **state)
{
    (void)state;
    struct inbound_world *t = external_world_make(33);
    char reference[HF_UUID_TEXT_BYTES];
    hf_uuid_format(world_id(&t->fw.w), reference);
    sell_as(t, CORE_ORDER, 0, reference, 5);
    move_for(t, reference, "tea", "WH/Stock", CUSTOMERS, 2, false);
    poll_on(t);
    is(t, 0, START, 5, 0);
    move_for(t, reference, "tea", "WH/Stock", CUSTOMERS, 3, true);
    poll_on(t);
    is(t, 0, START - 3, 2, 0);
    inbound_world_free(t);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_that_odoo_ships_is_deducted_once),
        cmocka_unit_test(what_is_moved_beyond_the_order_is_somebodys),
        cmocka_unit_test(a_move_before_its_commit_is_settled_later),
        cmocka_unit_test(a_reservations_id_is_a_reference_too),
        cmocka_unit_test(power_fails_at_every_storage_call_and_orders_count_once),
        cmocka_unit_test(a_strangers_order_that_looks_like_an_id_is_not_searched_again_and_again),
        cmocka_unit_test(a_reference_may_look_like_an_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
