// The oracle by hand-made examples: if it is wrong, nothing that it proves is worth anything.
#include "model/oracle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NOW 1000000u

static struct oracle o;
static struct oracle_times t;
static uint64_t lsn;

static struct hf_uuid id(uint64_t ms, uint64_t n)
{
    return hf_uuid_v7(ms, 0, n << 2);
}

static void event(struct oracle_event e, const struct core_line *lines, uint32_t count)
{
    uint32_t handle;
    e.lsn = ++lsn;
    e.time_ms = e.time_ms ? e.time_ms : NOW;
    if (count)
        (void)oracle_merge(lines, count, &e.lines, &e.line_count);
    if (e.kind == ORACLE_COMMIT || e.kind == ORACLE_RELEASE || e.kind == ORACLE_EXPIRE)
        e.ends = oracle_held_lines(oracle_find(&o, e.id), &e.end_count);
    oracle_apply_state(&o, &e);
    assert_true(oracle_apply_cells(&o, &e, &handle));
    free(e.lines);
    free(e.ends);
}

static int make(void **state)
{
    (void)state;
    oracle_init(&o);
    lsn = 0;
    t = (struct oracle_times){.now_ms = NOW,
                              .floor_ms = NOW - 1000,
                              .window_ms = 1000,
                              .window_ms_low = 1000,
                              .skew_ms = 100,
                              .ttl_max_ms = 5000};
    for (uint32_t h = 0; h < 3; h++) {
        event((struct oracle_event){.kind = ORACLE_CELL, .handle = h}, NULL, 0);
        event((struct oracle_event){.kind = ORACLE_CHANGE,
                                    .handle = h,
                                    .setting = CORE_SET_ON_HAND,
                                    .value = 10},
              NULL, 0);
    }
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    oracle_fini(&o);
    return 0;
}

static struct core_request request(enum core_verb verb, struct hf_uuid i,
                                   const struct core_line *lines, uint32_t count)
{
    return (struct core_request){.verb = verb,
                                 .id = i,
                                 .lines = lines,
                                 .line_count = count,
                                 .ttl_ms = verb == CORE_RESERVE ? 500 : 0};
}

static void take(enum core_verb verb, struct hf_uuid i, const struct core_line *lines,
                 uint32_t count)
{
    struct core_request r = request(verb, i, lines, count);
    struct core_line *merged;
    uint32_t n;
    assert_true(oracle_merge(lines, count, &merged, &n));
    struct oracle_event e = {.kind = ORACLE_TAKE,
                             .verb = verb,
                             .id = i,
                             .ttl_ms = r.ttl_ms,
                             .body_hash = oracle_body_hash(&r, merged, n)};
    free(merged);
    event(e, lines, count);
}

static bool allows(const struct core_request *r, enum core_outcome outcome, bool repeat)
{
    struct oracle_judgement j;
    oracle_judge(&o, &t, r, &j);
    for (uint32_t i = 0; i < j.count; i++)
        if (j.verdicts[i].outcome == outcome && j.verdicts[i].repeat == repeat)
            return true;
    return false;
}

static bool only(const struct core_request *r, enum core_outcome outcome, bool repeat)
{
    struct oracle_judgement j;
    oracle_judge(&o, &t, r, &j);
    return j.count == 1 && allows(r, outcome, repeat);
}

static bool blames(const struct core_request *r, enum core_field field)
{
    struct oracle_judgement j;
    oracle_judge(&o, &t, r, &j);
    return j.count && j.verdicts[0].outcome == CORE_OUT_INVALID && j.fields == UINT32_C(1) << field;
}

static int64_t available(uint32_t handle)
{
    return (int64_t)oracle_available(&o.cells[handle]);
}

static void a_hold_moves_available_and_ends_once(void **state)
{
    (void)state;
    struct core_line lines[] = {{0, 0, 2}, {1, 0, 3}, {0, 0, 1}};
    struct hf_uuid i = id(NOW, 1);
    struct core_request r = request(CORE_RESERVE, i, lines, 3);
    assert_true(allows(&r, CORE_OUT_DONE, false) && allows(&r, CORE_OUT_REFUSED, false));
    take(CORE_RESERVE, i, lines, 3);
    assert_int_equal(available(0), 7);
    assert_int_equal(available(1), 7);
    assert_int_equal((int64_t)oracle_held(&o, 0), 3);
    assert_true(only(&r, CORE_OUT_DONE, true));
    lines[0].quantity = 5;
    assert_true(only(&r, CORE_OUT_CONFLICT, false));
    struct core_request release = request(CORE_RELEASE, i, NULL, 0);
    assert_true(only(&release, CORE_OUT_DONE, false));
    event((struct oracle_event){.kind = ORACLE_RELEASE, .id = i}, NULL, 0);
    assert_int_equal(available(0), 10);
    assert_true(only(&release, CORE_OUT_DONE, true));
    struct core_request commit = request(CORE_COMMIT, i, NULL, 0);
    assert_true(only(&commit, CORE_OUT_WRONG_STATE, false));
}

static void a_partial_commit_returns_the_rest(void **state)
{
    (void)state;
    struct core_line all = {0, 0, 6}, part = {0, 0, 4}, more = {0, 0, 7}, other = {1, 0, 1};
    struct hf_uuid i = id(NOW, 1);
    take(CORE_RESERVE, i, &all, 1);
    struct core_request r = request(CORE_COMMIT, i, &more, 1);
    assert_true(only(&r, CORE_OUT_EXCEEDS, false));
    r.lines = &other;
    assert_true(only(&r, CORE_OUT_EXCEEDS, false));
    r.lines = &part;
    assert_true(only(&r, CORE_OUT_DONE, false));
    event((struct oracle_event){.kind = ORACLE_COMMIT, .id = i}, &part, 1);
    assert_int_equal(available(0), 6);
    assert_int_equal((int64_t)o.cells[0].committed, 4);
    assert_int_equal((int64_t)o.cells[0].held, 0);
    event((struct oracle_event){.kind = ORACLE_ACKNOWLEDGE}, &part, 1);
    assert_int_equal(available(0), 6);
    assert_int_equal((int64_t)o.cells[0].on_hand, 6);
}

static void a_deadline_entitles_and_the_window_forgets(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 6};
    struct hf_uuid i = id(NOW, 1);
    take(CORE_RESERVE, i, &line, 1);
    struct core_request commit = request(CORE_COMMIT, i, NULL, 0);
    assert_true(only(&commit, CORE_OUT_DONE, false));
    t.now_ms = NOW + 500;
    assert_true(allows(&commit, CORE_OUT_DONE, false));
    assert_true(allows(&commit, CORE_OUT_EXPIRED, false));
    event((struct oracle_event){.kind = ORACLE_EXPIRE, .id = i, .time_ms = t.now_ms}, NULL, 0);
    assert_int_equal(available(0), 10);
    assert_true(only(&commit, CORE_OUT_EXPIRED, false));
    commit.flags = CORE_RETAKE;
    assert_true(allows(&commit, CORE_OUT_DONE, false));
    t.now_ms += 1099;
    t.floor_ms = t.now_ms - 1000;
    struct core_request again = request(CORE_RESERVE, i, &line, 1);
    assert_true(only(&again, CORE_OUT_DONE, true));
    t.now_ms += 1;
    t.floor_ms += 1;
    assert_true(allows(&again, CORE_OUT_DONE, true));
    assert_true(allows(&again, CORE_OUT_ID_TOO_OLD, false));
    assert_false(allows(&again, CORE_OUT_DONE, false));
}

static void an_unknown_id_is_judged_by_its_time(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 1};
    struct core_request r = request(CORE_ORDER, id(NOW + 100, 1), &line, 1);
    assert_true(allows(&r, CORE_OUT_DONE, false));
    r.id = id(NOW + 101, 1);
    assert_true(only(&r, CORE_OUT_ID_IN_FUTURE, false));
    r.id = id(NOW - 1000, 1);
    assert_true(allows(&r, CORE_OUT_DONE, false) && !allows(&r, CORE_OUT_ID_TOO_OLD, false));
    r.id = id(NOW - 1001, 1);
    assert_true(only(&r, CORE_OUT_ID_TOO_OLD, false));
    struct core_request commit = request(CORE_COMMIT, id(NOW, 2), NULL, 0);
    assert_true(only(&commit, CORE_OUT_UNKNOWN, false));
}

static void a_sale_is_taken_back_once_and_never_more(void **state)
{
    (void)state;
    struct core_line all = {0, 0, 6}, part = {0, 0, 4};
    struct hf_uuid i = id(NOW, 1);
    take(CORE_ORDER, i, &all, 1);
    struct core_request r = request(CORE_CANCEL, i, &part, 1);
    assert_true(blames(&r, CORE_FIELD_OPERATION_ID));
    r.op_id = id(NOW, 100);
    assert_true(allows(&r, CORE_OUT_DONE, false));
    event((struct oracle_event){.kind = ORACLE_CANCEL,
                                .id = i,
                                .op_id = r.op_id,
                                .body_hash = oracle_body_hash(&r, &part, 1)},
          &part, 1);
    assert_int_equal(available(0), 8);
    assert_true(only(&r, CORE_OUT_DONE, true));
    r.op_id = id(NOW, 101);
    r.verb = CORE_RETURN;
    assert_true(allows(&r, CORE_OUT_EXCEEDS, false) && !allows(&r, CORE_OUT_DONE, false));
    part.quantity = 2;
    assert_true(allows(&r, CORE_OUT_DONE, false));
    event((struct oracle_event){.kind = ORACLE_RETURN, .id = i, .flags = CORE_SCRAP}, &part, 1);
    assert_int_equal(available(0), 8);
}

static void a_fact_may_oversell_and_a_decision_may_not(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 12};
    take(CORE_RECORD, id(NOW, 1), &line, 1);
    assert_int_equal(available(0), -2);
    struct core_line one = {1, 0, 11};
    struct oracle_event e = {.lsn = ++lsn,
                             .kind = ORACLE_TAKE,
                             .verb = CORE_ORDER,
                             .id = id(NOW, 2),
                             .lines = &one,
                             .line_count = 1};
    uint32_t handle = 9;
    oracle_apply_state(&o, &e);
    assert_false(oracle_apply_cells(&o, &e, &handle));
    assert_int_equal(handle, 1);
}

static void bad_input_names_its_field(void **state)
{
    (void)state;
    struct core_line line = {0, 0, 1}, unknown = {9, 0, 1}, zero = {0, 0, 0};
    struct core_line huge[] = {{0, 0, HF_QUANTITY_MAX}, {0, 0, 1}};
    struct core_request r = request(CORE_RESERVE, id(NOW, 1), &unknown, 1);
    assert_true(blames(&r, CORE_FIELD_HANDLE));
    r.lines = &zero;
    assert_true(blames(&r, CORE_FIELD_QUANTITY));
    r.lines = huge;
    r.line_count = 2;
    assert_true(blames(&r, CORE_FIELD_QUANTITY));
    r = request(CORE_RESERVE, id(NOW, 1), &line, 0);
    assert_true(blames(&r, CORE_FIELD_LINES));
    r = request(CORE_RESERVE, id(NOW, 1), &line, 1);
    r.ttl_ms = 5001;
    assert_true(blames(&r, CORE_FIELD_TTL));
    r = request(CORE_RESERVE, (struct hf_uuid){1, 1}, &line, 1);
    assert_true(blames(&r, CORE_FIELD_ID));
    o.cells[0].active = false;
    r = request(CORE_RESERVE, id(NOW, 1), &line, 1);
    assert_true(blames(&r, CORE_FIELD_INACTIVE));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make, unmake)
    const struct CMUnitTest tests[] = {
        TEST(a_hold_moves_available_and_ends_once),
        TEST(a_partial_commit_returns_the_rest),
        TEST(a_deadline_entitles_and_the_window_forgets),
        TEST(an_unknown_id_is_judged_by_its_time),
        TEST(a_sale_is_taken_back_once_and_never_more),
        TEST(a_fact_may_oversell_and_a_decision_may_not),
        TEST(bad_input_names_its_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
