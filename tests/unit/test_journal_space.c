// Credits: what was promised can be written, whatever the sizes, on a full disk too.
#include "unit/journal_world.h"

#include "base/prng.h"

#define ok(call) assert_int_equal((call), HF_OK)

static struct journal_space space_of(struct world *w)
{
    struct journal_space s;
    journal_space(w->j, &s);
    return s;
}

static void credits_end_at_the_margin(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.space_margin_blocks = 2;
    world_open(&w);
    while (journal_maintain(w.j, 0) == HF_OK)
        ;
    struct journal_space s = space_of(&w);
    assert_int_equal(s.promised_bytes, 0);
    // Each segment of 7 free blocks counts 5: a burst of 2 blocks may not fit the rest.
    assert_int_equal(s.usable_bytes, (uint64_t)s.segments * 5 * HF_BLOCK);
    assert_int_equal(s.segments_free, s.segments);
    uint64_t credit = (s.usable_bytes - 2 * HF_BLOCK) / 2;
    assert_false(journal_credit_take(w.j, credit + 1));
    assert_true(journal_credit_take(w.j, credit));
    assert_false(journal_credit_take(w.j, 8));
    assert_int_equal(space_of(&w).promised_bytes, 2 * credit);
    journal_credit_give(w.j, 64);
    assert_true(journal_credit_take(w.j, 64));
    assert_false(journal_credit_take(w.j, UINT64_MAX));
    // Promises make the housekeeper add segments, up to the limit.
    while (journal_maintain(w.j, 0) == HF_OK)
        ;
    s = space_of(&w);
    assert_true(s.usable_bytes >= s.promised_bytes + 2 * HF_BLOCK);
    uint64_t more = (s.usable_bytes - s.promised_bytes - 2 * HF_BLOCK) / 2;
    assert_true(more > 0);
    while (journal_credit_take(w.j, 512)) {
        while (journal_maintain(w.j, 0) == HF_OK)
            ;
    }
    s = space_of(&w);
    assert_int_equal(s.segments, 6);
    assert_int_equal(s.usable_bytes, 6 * 5 * HF_BLOCK);
    journal_credit_force(w.j, 10000);
    s = space_of(&w);
    assert_true(s.promised_bytes > s.usable_bytes);
    assert_false(journal_credit_take(w.j, 8));
    world_fini(&w);
}

static void written_records_redeem_their_credit(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    struct journal_space s = space_of(&w);
    assert_true(journal_credit_take(w.j, 3000));
    assert_true(world_push(&w, 3, 1000));
    ok(world_step(&w));
    struct journal_space t = space_of(&w);
    assert_int_equal(t.promised_bytes, 0);
    assert_int_equal(t.usable_bytes, s.usable_bytes - HF_BLOCK);
    // Without a credit nothing is redeemed.
    assert_true(world_push(&w, 3, 1000));
    ok(world_step(&w));
    assert_int_equal(space_of(&w).promised_bytes, 0);
    // Recovery counts anew.
    world_reopen(&w);
    assert_int_equal(space_of(&w).promised_bytes, 0);
    world_fini(&w);
}

static void under_pressure_a_lone_record_waits_for_company(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    // All is promised, and a little more.
    journal_credit_force(w.j, space_of(&w).usable_bytes / 2 + 8);
    for (int i = 0; i < 31; i++) { // 62 bytes short of half a block
        assert_true(world_push(&w, 1, 64));
        assert_int_equal(world_step(&w), HF_AGAIN);
        assert_true(space_of(&w).pressure);
    }
    assert_int_equal(journal_writer_step(w.j, w.time_ms, true), HF_AGAIN);
    assert_int_equal(journal_durable(w.j), 0);
    assert_true(world_push(&w, 1, 64));
    ok(world_step(&w));
    assert_int_equal(journal_durable(w.j), 32);
    assert_false(space_of(&w).pressure);
    struct journal_metrics m;
    journal_metrics(w.j, &m);
    assert_int_equal(m.pressure_waits, 31 + 1);
    // Freed space lets a lone one go.
    assert_true(world_push(&w, 1, 64));
    assert_int_equal(world_step(&w), HF_AGAIN);
    while (journal_maintain(w.j, 0) == HF_OK)
        ;
    ok(world_step(&w));
    world_reopen(&w);
    assert_int_equal(w.seen, 33);
    world_fini(&w);
}

static uint32_t size_of(struct prng *g, uint32_t kind, uint32_t max)
{
    switch (kind) {
    case 0:
        return 64;
    case 1:
        return max;
    case 2:
        return prng_below(g, 2) ? 24 : max;
    case 3:
        return 3968 / 8 * 8 < max ? 3968 : max; // fills a block exactly
    case 4:
        return 3976 < max ? 3976 : max; // just does not
    default:
        return 24 + 8 * (uint32_t)prng_below(g, (max - 24) / 8 + 1);
    }
}

// Takes all the credit that can be had, then appends it in the worst order, while no segment is
// made or freed any more: everything must get through, but for less than half a block.
static void spend(uint64_t seed, uint32_t blocks, uint32_t buffer, uint32_t kind, bool lonely)
{
    struct prng g = {seed};
    struct world w;
    world_init(&w, seed);
    w.o.segment_bytes = (uint64_t)blocks * HF_BLOCK;
    w.o.segments_max = 3 + (uint32_t)prng_below(&g, 4);
    w.o.segments_ready = w.o.segments_max - 1;
    w.o.buffer_bytes = buffer;
    w.o.group_bytes_max = buffer < HF_BLOCK ? HF_BLOCK : buffer;
    w.o.space_margin_blocks = 0;
    world_open(&w);
    while (journal_maintain(w.j, 0) == HF_OK)
        ;
    uint64_t credit = 0;
    while (journal_credit_take(w.j, 8))
        credit += 8;
    while (credit > 0) {
        uint32_t bytes = size_of(&g, kind, buffer);
        if (bytes > credit)
            bytes = credit >= 24 ? (uint32_t)credit : 0;
        if (bytes == 0)
            break;
        if (!world_push(&w, 1, bytes)) {
            while (world_step(&w) == HF_OK)
                ;
            assert_true(world_push(&w, 1, bytes)); // waiting never keeps buffers
        }
        credit -= bytes;
        while (lonely || prng_below(&g, 3) == 0)
            if (world_step(&w) != HF_OK)
                break;
        struct journal_space s = space_of(&w);
        assert_true(s.promised_bytes <= s.usable_bytes);
        assert_false(w.j->writer.blocked);
    }
    while (world_step(&w) == HF_OK)
        ;
    assert_null(w.j->writer.pending);
    assert_false(w.j->writer.blocked);
    assert_true(w.j->writer.body < HF_BLOCK);
    uint64_t durable = journal_durable(w.j);
    world_reopen(&w);
    assert_int_equal(w.seen, durable);
    world_fini(&w);
}

static void whatever_was_promised_can_be_written(void **state)
{
    (void)state;
    const uint32_t buffers[] = {1024, 2048, 4032, 4096, 8192, 12288};
    for (uint64_t seed = 1; seed <= 12; seed++)
        for (size_t b = 0; b < sizeof buffers / sizeof *buffers; b++)
            for (uint32_t kind = 0; kind < 7; kind++) {
                uint32_t least = 2 + (uint32_t)journal_group_blocks(buffers[b] + HF_BLOCK);
                if (least < 4)
                    least = 4;
                spend(seed, least + (uint32_t)(seed * 7 + kind) % 14, buffers[b], kind, seed % 2);
            }
}

static void space_comes_back_by_recycling_only_what_is_kept_elsewhere(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segments_max = 3;
    world_open(&w);
    world_append_lone(&w, 18, 0); // 7, 7, 4
    struct journal_segment closed[3];
    assert_int_equal(journal_closed_segments(w.j, closed, 3), 2);
    assert_int_equal(closed[0].last_lsn, 7);
    assert_int_equal(journal_maintain(w.j, 6), HF_AGAIN);
    ok(journal_maintain(w.j, 7));
    assert_int_equal(journal_maintain(w.j, 7), HF_AGAIN);
    assert_false(fake_storage_exists(w.disk, "journal-000000000001.hfj"));
    assert_true(fake_storage_exists(w.disk, "journal-000000000004.hfj"));
    assert_int_equal(journal_closed_segments(w.j, closed, 3), 1);
    assert_int_equal(closed[0].number, 2);
    ok(journal_maintain(w.j, 1000)); // never the one in use
    assert_int_equal(journal_maintain(w.j, 1000), HF_AGAIN);
    assert_int_equal(journal_closed_segments(w.j, closed, 3), 0);
    world_append_lone(&w, 40, 50);
    world_kill(&w);
    ok(world_create(&w));
    ok(world_recover(&w, 50));
    assert_int_equal(w.seen, 8);
    world_fini(&w);
}

// The writer has moved on, but nothing in the next segment is durable yet.
static void the_last_durable_group_is_never_recycled(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.mode = JOURNAL_GROUP;
    w.o.group_ms = 10;
    world_open(&w);
    for (int i = 0; i < 7; i++) {
        fake_clock_advance_ms(&w.clock, 10);
        world_append_lone(&w, 1, 0);
    }
    assert_true(world_push(&w, 1, 64));
    assert_int_equal(world_step(&w), HF_AGAIN); // staged for segment 2
    while (journal_maintain(w.j, 7) == HF_OK)
        ;
    assert_true(fake_storage_exists(w.disk, "journal-000000000001.hfj"));
    world_kill(&w);
    ok(world_create(&w));
    ok(world_recover(&w, 7));
    assert_int_equal(journal_durable(w.j), 7);
    world_fini(&w);
}

static const struct storage_ops *renames_below;
static unsigned renames_refused;

static enum hf_status rename_refused(struct storage *s, const char *from, const char *to)
{
    if (renames_refused == 0)
        return renames_below->rename(s, from, to);
    renames_refused--;
    return HF_NO_SPACE;
}

static void a_segment_that_cannot_be_renamed_for_want_of_space_stays(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    renames_below = w.disk->base.ops;
    struct storage_ops ops = *renames_below;
    ops.rename = rename_refused;
    w.disk->base.ops = &ops;
    world_open(&w);
    for (int i = 0; i < 20; i++) {
        while (journal_maintain(w.j, 0) == HF_OK)
            ;
        assert_true(world_push(&w, 1, 64));
        ok(world_step(&w));
    }
    struct journal_segment closed[2];
    assert_int_equal(journal_closed_segments(w.j, closed, 2), 2);
    renames_refused = 1;
    assert_int_equal(journal_maintain(w.j, closed[1].last_lsn), HF_NO_SPACE);
    // It was left out, and the one behind it recycled: a gap, which a start calls damage.
    while (journal_maintain(w.j, closed[1].last_lsn) == HF_OK)
        ;
    world_kill(&w);
    ok(world_create(&w));
    ok(world_recover(&w, closed[1].last_lsn));
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(credits_end_at_the_margin),
        cmocka_unit_test(written_records_redeem_their_credit),
        cmocka_unit_test(under_pressure_a_lone_record_waits_for_company),
        cmocka_unit_test(whatever_was_promised_can_be_written),
        cmocka_unit_test(space_comes_back_by_recycling_only_what_is_kept_elsewhere),
        cmocka_unit_test(the_last_durable_group_is_never_recycled),
        cmocka_unit_test(a_segment_that_cannot_be_renamed_for_want_of_space_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
