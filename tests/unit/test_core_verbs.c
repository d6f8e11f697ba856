// What each verb and each reading of the engine's interface does, beyond the common path of
// test_core.c. Every answer of every mix is held against the oracle elsewhere (tests/sim).
#include "core/record.h"
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

static struct core_request request(struct world *w, enum core_verb verb,
                                   const struct core_line *lines, uint32_t n)
{
    bool op = verb >= CORE_EXTEND || verb == CORE_RELEASE;
    return (struct core_request){.verb = verb,
                                 .id = world_id(w),
                                 .op_id = op ? world_id(w) : (struct hf_uuid){0, 0},
                                 .lines = lines,
                                 .line_count = n,
                                 .ttl_ms = verb == CORE_RESERVE ? 5000 : 0};
}

static struct hf_uuid done(struct world *w, const struct core_request *r)
{
    assert_int_equal(world_do(w, r).outcome, CORE_OUT_DONE);
    return r->id;
}

static uint32_t cell_at(struct world *w, const char *sku, const char *location, int64_t on_hand)
{
    struct core_admin_answer a;
    core_cell_make(w->worker, core_now(w->core), sku, (uint32_t)strlen(sku), location,
                   (uint32_t)strlen(location), 0, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    struct core_change ch = {.op_id = world_id(w), .handle = a.handle, .value = on_hand};
    core_change(w->worker, core_now(w->core), &ch, &a);
    world_settle(w);
    return ch.handle;
}

static struct core_admin_answer change(struct world *w, struct core_change ch)
{
    struct core_admin_answer a;
    ch.op_id = world_id(w);
    core_change(w->worker, core_now(w->core), &ch, &a);
    world_settle(w);
    return a;
}

// ------------------------------------------------------------------------------- reasons

struct reasons {
    uint32_t releases;
    char text[4][HF_REASON_BYTES_MAX + 1];
};

static enum hf_status reasons_visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                                    const struct journal_record *r)
{
    struct reasons *found = ctx;
    struct core_record_parts p;
    (void)lsn, (void)time_ms;
    if (r->type != CORE_RECORD_RELEASE)
        return HF_OK;
    assert_true(core_record_parse(r, &p));
    assert_in_range(found->releases, 0, 3);
    memcpy(found->text[found->releases++], p.reason, p.reason_bytes);
    return HF_OK;
}

static void a_release_says_why_in_the_journal(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 10);
    struct core_line line = {h, 0, 2}, part = {h, 0, 1};
    struct core_text left = {.reason = "buyer left", .reason_bytes = 10};
    struct core_text broken = {
        .reason = "broken", .reason_bytes = 6, .reference = "ignored", .reference_bytes = 7};
    struct core_request hold = request(w, CORE_RESERVE, &line, 1);
    done(w, &hold);
    struct core_request some = {.verb = CORE_RELEASE,
                                .id = hold.id,
                                .op_id = world_id(w),
                                .lines = &part,
                                .line_count = 1,
                                .text = &broken};
    struct core_request all = {.verb = CORE_RELEASE, .id = hold.id, .text = &left};
    done(w, &some);
    done(w, &all);
    all.text = &broken; // a reason is no part of what makes a repeat
    struct core_answer a = world_do(w, &all);
    assert_true(a.outcome == CORE_OUT_DONE && a.repeat);
    world_close(w);
    fake_storage_kill(w->disk);
    world_open(w); // and replay has no objection
    assert_int_equal(world_read(w, h).available, 10);
    struct reasons found = {0};
    struct journal_report report = {0};
    world_close(w);
    assert_int_equal(journal_inspect(&w->disk->base, NULL, reasons_visit, &found, &report), HF_OK);
    assert_int_equal(found.releases, 2);
    assert_string_equal(found.text[0], "broken");
    assert_string_equal(found.text[1], "buyer left");
}

static void a_bad_reason_is_named_and_releases_nothing(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 10);
    struct core_line line = {h, 0, 2};
    static const char *const bad[] = {
        "line\nbreak", "\xff\xfe",
        "65 bytes.................................................65 bytes"};
    struct core_request hold = request(w, CORE_RESERVE, &line, 1);
    done(w, &hold);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct core_text text = {.reason = bad[i], .reason_bytes = (uint8_t)strlen(bad[i])};
        struct core_request r = {.verb = CORE_RELEASE, .id = hold.id, .text = &text};
        struct core_answer a = world_do(w, &r);
        assert_true(a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_REASON);
    }
    assert_int_equal(world_read(w, h).held, 2);
}

// ------------------------------------------------------------------------------- stock

static void terms_move_available_and_compare_guards_them(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 10);
    struct core_admin_answer a;
    a = change(w,
               (struct core_change){.handle = h, .value = 5, .relative = true, .reason = "found"});
    assert_true(a.outcome == CORE_OUT_DONE && a.value == 15);
    a = change(w, (struct core_change){.handle = h, .value = 3, .compare = true, .expected = 14});
    assert_true(a.outcome == CORE_OUT_REFUSED && a.value == 15);
    a = change(w, (struct core_change){.handle = h, .value = 20, .compare = true, .expected = 15});
    assert_true(a.outcome == CORE_OUT_DONE && a.value == 20);
    change(w, (struct core_change){.handle = h, .setting = CORE_SET_SAFETY, .value = 4});
    change(w, (struct core_change){.handle = h, .setting = CORE_SET_BACKORDER, .value = 2});
    change(w, (struct core_change){.handle = h, .setting = CORE_SET_EXTERNAL, .value = 7});
    struct core_cell c = world_read(w, h);
    assert_int_equal(c.available, 20 - 4 + 2 - 7);
    assert_true(c.on_hand == 20 && c.safety == 4 && c.backorder == 2 && c.external == 7);
    a = change(w, (struct core_change){.handle = h, .setting = CORE_SET_SAFETY, .value = -1});
    assert_true(a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_VALUE);
    change(w, (struct core_change){.handle = h, .setting = CORE_SET_ACTIVE, .value = 0});
    struct core_line line = {h, 0, 1};
    struct core_request r = request(w, CORE_ORDER, &line, 1);
    struct core_answer o = world_do(w, &r);
    assert_true(o.outcome == CORE_OUT_INVALID && o.field == CORE_FIELD_INACTIVE);
    change(w, (struct core_change){.handle = h, .setting = CORE_SET_ACTIVE, .value = 1});
    done(w, &r);
}

static void totals_of_a_sku_are_its_cells_sums(void **state)
{
    struct world *w = *state;
    uint32_t a = cell_at(w, "shirt", "north", 10), cells;
    cell_at(w, "trousers", "north", 1000);
    uint32_t b = cell_at(w, "shirt", "south", 7);
    struct core_line lines[2] = {{a, 0, 2}, {b, 0, 3}};
    struct core_request hold = request(w, CORE_RESERVE, lines, 2);
    struct core_request order = request(w, CORE_ORDER, lines, 1);
    done(w, &hold);
    done(w, &order);
    change(w, (struct core_change){.handle = b, .setting = CORE_SET_SAFETY, .value = 1});
    struct core_cell sum;
    assert_int_equal(core_sku_totals(w->core, "shirt", 5, &sum, &cells), HF_OK);
    assert_int_equal(cells, 2);
    assert_true(sum.on_hand == 17 && sum.held == 5 && sum.committed == 2 && sum.safety == 1);
    assert_int_equal(sum.available, 17 - 5 - 2 - 1);
    assert_true(sum.active);
    assert_int_equal(core_sku_totals(w->core, "hat", 3, &sum, &cells), HF_NOT_FOUND);
    struct core_admin_answer made; // added up, so of one scale
    core_cell_make(w->worker, core_now(w->core), "shirt", 5, "east", 4, 2, &made);
    assert_true(made.outcome == CORE_OUT_CONFLICT && made.field == CORE_FIELD_SCALE);
    core_cell_make(w->worker, core_now(w->core), "shirt", 5, "east", 4, 0, &made);
    assert_int_equal(made.outcome, CORE_OUT_DONE);
    assert_int_equal(core_sku_totals(w->core, "shirt", 5, &sum, &cells), HF_OK);
    assert_int_equal(cells, 2); // the third is not durable yet
    world_settle(w);
    core_sku_totals(w->core, "shirt", 5, &sum, &cells);
    assert_int_equal(cells, 3);
}

// ------------------------------------------------------------------------------- verbs

static void lines_of_one_cell_count_together(void **state)
{
    struct world *w = *state;
    uint32_t h = world_cell(w, "a", 5);
    struct core_line lines[2] = {{h, 0, 3}, {h, 0, 3}};
    struct core_line_answer told[2];
    struct core_request r = request(w, CORE_ORDER, lines, 2);
    r.line_answers = told;
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_REFUSED);
    assert_true(told[0].shortfall == 1 && told[1].shortfall == 0);
    lines[1].quantity = 2;
    r.id = world_id(w);
    done(w, &r);
    assert_true(told[0].taken == 5 && told[1].taken == 0 && told[0].available == 0);
}

static void best_effort_takes_what_there_is(void **state)
{
    struct world *w = *state;
    struct core_line lines[3] = {{world_cell(w, "a", 4), 0, 6},
                                 {world_cell(w, "b", 0), 0, 1},
                                 {world_cell(w, "c", 9), 0, 2}};
    struct core_line_answer told[3];
    struct core_request r = request(w, CORE_RESERVE, lines, 3);
    r.flags = CORE_BEST_EFFORT;
    r.line_answers = told;
    done(w, &r);
    assert_true(told[0].taken == 4 && told[1].taken == 0 && told[2].taken == 2);
    assert_int_equal(world_read(w, lines[0].handle).available, 0);
    struct core_view v;
    struct core_line got[3];
    assert_int_equal(core_get(w->worker, core_now(w->core), r.id, &v, got, 3), HF_OK);
    assert_int_equal(v.line_count, 2); // it holds what it took
    r.id = world_id(w);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_DONE); // of the third alone
    lines[2].quantity = 1;
    r.line_count = 2;
    r.id = world_id(w);
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_REFUSED); // nothing was there
}

static void a_fact_is_booked_even_when_short(void **state)
{
    struct world *w = *state;
    struct core_line line = {world_cell(w, "a", 2), 0, 5};
    struct core_request r = request(w, CORE_RECORD, &line, 1);
    done(w, &r);
    struct core_cell c = world_read(w, line.handle);
    assert_true(c.available == -3 && c.committed == 5 && c.held == 0);
    line.quantity = 1;
    struct core_request order = request(w, CORE_ORDER, &line, 1);
    assert_int_equal(world_do(w, &order).outcome, CORE_OUT_REFUSED);
    world_kill(w);
    world_open(w);
    assert_int_equal(world_read(w, line.handle).available, -3);
}

static void extend_is_capped_and_never_shortens(void **state)
{
    struct world *w = *state;
    struct core_line line = {world_cell(w, "a", 10), 0, 1};
    struct core_request r = request(w, CORE_RESERVE, &line, 1);
    done(w, &r);
    struct core_request e = request(w, CORE_EXTEND, NULL, 0);
    e.id = r.id;
    e.ttl_ms = w->options.ttl_max_ms + 1;
    struct core_answer a = world_do(w, &e);
    assert_true(a.outcome == CORE_OUT_INVALID && a.field == CORE_FIELD_TTL);
    e.ttl_ms = 1;
    a = world_do(w, &e);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    assert_in_range(a.time_ms, core_now(w->core) + 4900, core_now(w->core) + 5000);
    e.op_id = world_id(w);
    e.ttl_ms = w->options.ttl_max_ms;
    uint64_t most = core_now(w->core) + w->options.ttl_max_ms;
    assert_int_equal(world_do(w, &e).time_ms, most); // from now, however often it is asked for
    e.op_id = world_id(w);
    assert_int_equal(world_do(w, &e).time_ms, most);
    world_kill(w);
    world_open(w);
    struct core_view v;
    assert_int_equal(core_get(w->worker, core_now(w->core), r.id, &v, NULL, 0), HF_OK);
    assert_int_equal(v.time_ms, most);
}

static void sales_come_back_restocked_scrapped_or_cancelled(void **state)
{
    struct world *w = *state;
    struct core_line line = {world_cell(w, "a", 10), 0, 6}, two = {line.handle, 0, 2};
    struct core_request order = request(w, CORE_ORDER, &line, 1);
    done(w, &order);
    struct core_request back[3] = {request(w, CORE_CANCEL, &two, 1),
                                   request(w, CORE_RETURN, &two, 1),
                                   request(w, CORE_RETURN, &two, 1)};
    back[2].flags = CORE_SCRAP;
    // on hand, committed, available after each
    static const int64_t after[3][3] = {{10, 4, 6}, {12, 4, 8}, {12, 4, 8}};
    for (int i = 0; i < 3; i++) {
        back[i].id = order.id;
        done(w, &back[i]);
        assert_true(world_do(w, &back[i]).repeat);
        struct core_cell c = world_read(w, line.handle);
        assert_int_equal(c.on_hand, after[i][0]);
        assert_int_equal(c.committed, after[i][1]);
        assert_int_equal(c.available, after[i][2]);
    }
    back[0].op_id = world_id(w); // six of six are back
    assert_int_equal(world_do(w, &back[0]).outcome, CORE_OUT_EXCEEDS);
}

static void a_refusal_hints_at_the_earliest_expiry(void **state)
{
    struct world *w = *state;
    struct core_line line = {world_cell(w, "a", 3), 0, 1};
    struct core_line_answer told;
    struct core_request r = request(w, CORE_RESERVE, &line, 1);
    uint64_t first = core_now(w->core) + 2000;
    static const uint32_t ttls[] = {9000, 2000, 4000};
    for (int i = 0; i < 3; i++) {
        r.id = world_id(w);
        r.ttl_ms = ttls[i];
        done(w, &r);
    }
    r.id = world_id(w);
    r.line_answers = &told;
    assert_int_equal(world_do(w, &r).outcome, CORE_OUT_REFUSED);
    assert_in_range(told.hint_ms, first - 100, first + 200);
}

// ------------------------------------------------------------------------------- lists

static uint32_t list_all(struct world *w, const struct core_filter *f, uint32_t page,
                         struct hf_uuid *ids, uint32_t max)
{
    struct core_view views[64];
    uint64_t cursor = 0;
    uint32_t n = 0;
    do {
        uint32_t got = core_list(w->worker, f, &cursor, views, page);
        assert_true(got <= page);
        for (uint32_t i = 0; i < got; i++) {
            assert_true(n < max);
            ids[n++] = views[i].id;
        }
    } while (cursor != 0);
    return n;
}

static void lists_filter_by_cell_state_channel_and_reference(void **state)
{
    struct world *w = *state;
    struct core_line lines[2] = {{world_cell(w, "a", 1000), 0, 1},
                                 {world_cell(w, "b", 1000), 0, 1}};
    struct core_admin_answer web, till;
    core_channel_make(w->worker, core_now(w->core), "web", 3, &web);
    core_channel_make(w->worker, core_now(w->core), "till", 4, &till);
    struct core_text text = {.reference = "cart-7", .reference_bytes = 6};
    struct hf_uuid ids[400], with_text = {0, 0};
    for (int i = 0; i < 300; i++) {
        struct core_request r = request(w, CORE_RESERVE, &lines[i % 2], 1);
        r.channel = (uint16_t)(i % 3 ? web.handle : till.handle);
        r.text = i == 77 ? &text : NULL;
        r.ttl_ms = i < 50 ? 1000 : 60000;
        done(w, &r);
        if (i == 77)
            with_text = r.id;
        struct core_request commit = {.verb = CORE_COMMIT, .id = r.id};
        if (i >= 280)
            done(w, &commit);
    }
    for (uint32_t page = 1; page <= 64; page += 21) {
        struct core_filter f = {0};
        assert_int_equal(list_all(w, &f, page, ids, 400), 300);
        f = (struct core_filter){.by_handle = true, .handle = lines[1].handle};
        assert_int_equal(list_all(w, &f, page, ids, 400), 150);
        f = (struct core_filter){.by_channel = true, .channel = (uint16_t)till.handle};
        assert_int_equal(list_all(w, &f, page, ids, 400), 100);
        f = (struct core_filter){.by_state = true, .state = CORE_STATE_COMMITTED};
        assert_int_equal(list_all(w, &f, page, ids, 400), 20);
        f = (struct core_filter){.reference = "cart-7"};
        assert_int_equal(list_all(w, &f, page, ids, 400), 1);
        assert_true(hf_uuid_equal(ids[0], with_text));
    }
    // A reader past the deadline ends the hold itself: no step of the timers in between.
    fake_clock_advance_ms(&w->clock, 2000);
    struct core_filter held = {.by_state = true, .state = CORE_STATE_HELD};
    assert_int_equal(list_all(w, &held, 10, ids, 400), 230);
    struct core_filter expired = {.by_state = true, .state = CORE_STATE_EXPIRED};
    assert_int_equal(list_all(w, &expired, 10, ids, 400), 50);
    assert_int_equal(world_read(w, lines[0].handle).held + world_read(w, lines[1].handle).held,
                     230);
}

static void a_list_looks_no_further_than_it_is_told(void **state)
{
    struct world *w = *state;
    struct core_line lines[3] = {{world_cell(w, "a", 1000), 0, 1},
                                 {world_cell(w, "b", 1000), 0, 1},
                                 {world_cell(w, "c", 1000), 0, 1}};
    struct core_view views[64];
    struct hf_uuid ids[400];
    for (int i = 0; i < 300; i++) {
        struct core_request r = request(w, CORE_RESERVE, &lines[i == 299 ? 2 : i % 2], 1);
        r.ttl_ms = 60000;
        done(w, &r);
    }
    struct core_filter f = {.by_handle = true, .handle = lines[2].handle, .looks_max = 100};
    uint64_t cursor = 0;
    for (uint64_t at = 101; at <= 201; at += 100) {
        assert_int_equal(core_list(w->worker, &f, &cursor, views, 64), 0);
        assert_int_equal(cursor, at);
    }
    assert_int_equal(list_all(w, &f, 64, ids, 400), 1);
    f = (struct core_filter){.looks_max = 7};
    assert_int_equal(list_all(w, &f, 64, ids, 400), 300);
    uint32_t handles[] = {lines[0].handle, lines[2].handle};
    f = (struct core_filter){.handles = handles, .handle_count = 2};
    assert_int_equal(list_all(w, &f, 64, ids, 400), 151);
    f = (struct core_filter){.handles = handles, .handle_count = 0};
    assert_int_equal(list_all(w, &f, 64, ids, 400), 0);
}

static void a_reference_is_found_however_long_ago(void **state)
{
    struct world *w = *state;
    struct core_line lines[2] = {{world_cell(w, "a", 1000000), 0, 1},
                                 {world_cell(w, "b", 9), 0, 1}};
    struct core_text text = {.reference = "S0042", .reference_bytes = 5};
    struct hf_uuid made[3], found[2];
    uint32_t count;
    world_kill(w);
    w->options.ids_max = 30000;
    world_open(w);
    struct core *c = w->core;
    assert_int_equal(core_find_reference(c, "S0042", 5, found, 2, &count), HF_NOT_FOUND);
    assert_int_equal(core_find_reference(c, "", 0, found, 2, &count), HF_INVALID);
    for (int i = 0; i < 3; i++) { // in the archive, in both, and in the open segment alone
        struct core_request r = request(w, i == 1 ? CORE_RECORD : CORE_ORDER, lines, 2);
        r.text = &text;
        made[i] = done(w, &r);
        for (int n = 0; i < 2 && n < 8000; n++) {
            struct core_request other = request(w, CORE_ORDER, lines, 1);
            struct core_answer a;
            core_execute(w->worker, core_now(c), &other, &a, 1);
            assert_true(a.outcome == CORE_OUT_DONE || a.outcome == CORE_OUT_BUSY);
            if (n % 50 == 0)
                world_settle(w);
            if (n % 50 == 0 && i == 0)
                core_step_archive(c, core_now(c));
        }
        world_pass(w, 4000);
    }
    assert_true(archive_lsn(core_archive(c)) > 0);
    assert_true(archive_lsn(core_archive(c)) < core_durable(c));
    assert_int_equal(core_find_reference(c, "S0042", 5, found, 2, &count), HF_OK);
    assert_int_equal(count, 3);
    assert_true(hf_uuid_equal(found[0], made[0]) && hf_uuid_equal(found[1], made[1]));
    assert_int_equal(core_find_reference(c, "S004", 4, found, 2, &count), HF_NOT_FOUND);
}

// Stock can be corrected, and what Odoo has booked is acknowledged, when ordinary requests have
// taken every id; they get none of what is kept for that.
static void administration_goes_on_when_no_id_is_free(void **state)
{
    struct world *w = *state;
    struct core_line line = {0, 0, 1};
    struct core_admin_answer told;
    struct core_answer a = {.outcome = CORE_OUT_DONE};
    world_kill(w);
    w->options.ids_max = 8192;
    world_open(w);
    line.handle = world_cell(w, "a", 1000000);
    struct core_request order = request(w, CORE_ORDER, &line, 1);
    done(w, &order);
    for (int held = 0; a.outcome != CORE_OUT_BUSY; held++) {
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        r.ttl_ms = 3600000;
        core_execute(w->worker, core_now(w->core), &r, &a, 1);
        assert_true(a.outcome == CORE_OUT_DONE || held > 8192 - 512);
        if (held % 50 == 0)
            world_settle(w);
    }
    world_settle(w);
    for (int round = 0; round < 4; round++) { // what was used is forgotten, and kept again
        for (int i = 0; i < 100; i++) {
            struct core_change ch = {
                .op_id = world_id(w), .handle = line.handle, .relative = true, .value = 1};
            core_change(w->worker, core_now(w->core), &ch, &told);
            assert_int_equal(told.outcome, CORE_OUT_DONE);
            core_change(w->worker, core_now(w->core), &ch, &told);
            assert_true(told.outcome == CORE_OUT_DONE && told.repeat);
        }
        world_settle(w);
        struct core_request r = request(w, CORE_RESERVE, &line, 1);
        r.ttl_ms = 60000;
        a = world_do(w, &r);
        assert_int_equal(a.outcome, CORE_OUT_BUSY);
        world_pass(w, 12000);
        world_pass(w, 1000);
    }
    core_acknowledge(w->worker, core_now(w->core), world_id(w), &line, 1, &told);
    assert_int_equal(told.outcome, CORE_OUT_DONE);
    world_settle(w);
    world_kill(w); // and all of it fits again
    world_open(w);
    assert_int_equal(world_read(w, line.handle).on_hand, 1000000 + 400 - 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(administration_goes_on_when_no_id_is_free),
        TEST(a_release_says_why_in_the_journal),
        TEST(a_bad_reason_is_named_and_releases_nothing),
        TEST(terms_move_available_and_compare_guards_them),
        TEST(totals_of_a_sku_are_its_cells_sums),
        TEST(lines_of_one_cell_count_together),
        TEST(best_effort_takes_what_there_is),
        TEST(a_fact_is_booked_even_when_short),
        TEST(extend_is_capped_and_never_shortens),
        TEST(sales_come_back_restocked_scrapped_or_cancelled),
        TEST(a_refusal_hints_at_the_earliest_expiry),
        TEST(lists_filter_by_cell_state_channel_and_reference),
        TEST(a_list_looks_no_further_than_it_is_told),
        TEST(a_reference_is_found_however_long_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
