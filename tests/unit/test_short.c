// Cells that go short by what others do in Odoo.
#include "inbound_world.h"

#include "flush/short.h"

static struct hf_uuid hold(struct inbound_world *t, uint32_t i, int64_t quantity)
{
    struct core_line line = {t->fw.cells[i], 0, quantity};
    struct core_request r = {.verb = CORE_RESERVE,
                             .id = world_id(&t->fw.w),
                             .lines = &line,
                             .line_count = 1,
                             .ttl_ms = 600000};
    assert_int_equal(fworld_do(&t->fw, &r).outcome, CORE_OUT_DONE);
    fake_clock_advance_ms(&t->fw.w.clock, 5);
    return r.id;
}

static void a_short_cell_gives_back_its_newest_holds_or_not(void **state)
{
    (void)state;
    for (int policy = SHORT_KEEP; policy <= SHORT_RELEASE; policy++) {
        struct inbound_world *t = inbound_world_make(8);
        assert_true(poll(t));
        struct hf_uuid old = hold(t, 0, 600), middle = hold(t, 0, 200), young = hold(t, 0, 200);
        move(t, "tea", "WH/Stock", CUSTOMERS, 150, true);
        assert_true(poll(t));
        assert_int_equal(cell(t, 0).available, -150);
        struct short_watch s = {.core = t->fw.w.core, .policy = (enum short_policy)policy};
        assert_int_equal(short_look(&s, t->fw.w.worker), HF_OK);
        struct core_view v;
        struct core_worker *w = t->fw.w.worker;
        assert_int_equal(core_get(w, core_now(t->fw.w.core), old, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, CORE_STATE_HELD);
        assert_int_equal(core_get(w, core_now(t->fw.w.core), middle, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, CORE_STATE_HELD);
        assert_int_equal(core_get(w, core_now(t->fw.w.core), young, &v, NULL, 0), HF_OK);
        assert_int_equal(v.state, policy == SHORT_KEEP ? CORE_STATE_HELD : CORE_STATE_RELEASED);
        assert_int_equal(s.cells, policy == SHORT_KEEP);
        assert_int_equal(s.released, policy == SHORT_RELEASE);
        short_fini(&s);
        inbound_world_free(t);
    }
}

// Found: of more holds than are looked at in one go, those were given back that lay first in
// memory.
static void of_very_many_holds_the_newest_is_given_back(void **state)
{
    (void)state;
    struct inbound_world *t = inbound_world_make(36);
    struct hf_uuid newest = {0, 0};
    struct core_view v;
    fworld_change(&t->fw, 0, 5000, FLUSH_REASON_INBOUND "import");
    for (int i = 0; i < 4800; i++) {
        newest = hold(t, 0, 1);
        if (i % 100 == 0)
            world_settle(&t->fw.w);
    }
    fworld_change(&t->fw, 0, -cell(t, 0).available - 1, FLUSH_REASON_INBOUND "count");
    assert_int_equal(cell(t, 0).available, -1);
    struct short_watch s = {.core = t->fw.w.core, .policy = SHORT_RELEASE};
    assert_int_equal(short_look(&s, t->fw.w.worker), HF_OK);
    assert_int_equal(s.released, 1);
    assert_int_equal(core_get(t->fw.w.worker, core_now(t->fw.w.core), newest, &v, NULL, 0), HF_OK);
    assert_int_equal(v.state, CORE_STATE_RELEASED);
    short_fini(&s);
    inbound_world_free(t);
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_cell_gives_back_its_newest_holds_or_not),
        cmocka_unit_test(of_very_many_holds_the_newest_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
