// The table of packet sessions, the replay window and the rate, each on its own.
#include "ingest/session.h"
#include "ingest/session_internal.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW 1000000

static struct ingest_session plain(void)
{
    return (struct ingest_session){.key = {1, 2, 3, [15] = 9},
                                   .tagged = true,
                                   .kinds = INGEST_KINDS_ALL,
                                   .channel = 7,
                                   .rate = 1000,
                                   .burst = 50,
                                   .expires_ms = NOW + 1000,
                                   .owner = 77};
}

static void opens_and_closes(void **state)
{
    (void)state;
    struct ingest_sessions *s;
    struct ingest_session what = plain(), told;
    struct session_slot slot = {0};
    uint32_t id, again, queue;
    assert_int_equal(ingest_sessions_create(4, 12345, &s), HF_OK);
    struct session_table t = ingest_sessions_table(s);
    assert_int_equal(ingest_session_open(s, &what, NOW, &id), HF_OK);
    assert_int_not_equal(id, 0);
    assert_int_equal(ingest_sessions_open_count(s), 1);
    assert_true(session_find(&t, id, &slot));
    assert_memory_equal(slot.key, what.key, sizeof what.key);
    assert_int_equal(session_word_channel(slot.word), 7);
    assert_int_equal(session_word_kinds(slot.word), INGEST_KINDS_ALL);
    assert_true(session_word_tagged(slot.word));
    assert_int_equal(ingest_session_read(s, id, &told, &queue), HF_OK);
    assert_memory_equal(told.key, what.key, sizeof what.key);
    assert_int_equal(told.burst, 50);
    assert_int_equal(queue, INGEST_QUEUE_NONE);
    assert_false(session_find(&t, id ^ 0x10000, &slot)); // another life of the same place
    assert_false(session_find(&t, 0, &slot));

    assert_int_equal(ingest_session_extend(s, id, NOW + 5), HF_OK);
    assert_true(session_find(&t, id, &slot));
    assert_int_equal(slot.expires_ms, NOW + 5);
    assert_int_equal(ingest_session_close(s, id), HF_OK);
    assert_int_equal(ingest_session_close(s, id), HF_NOT_FOUND);
    assert_int_equal(ingest_session_extend(s, id, NOW + 5), HF_NOT_FOUND);
    assert_false(session_find(&t, id, &slot));
    assert_int_equal(ingest_sessions_open_count(s), 0);
    for (int i = 0; i < 8; i++) { // every place once more
        assert_int_equal(ingest_session_open(s, &what, NOW, &again), HF_OK);
        assert_int_not_equal(again, id);
        assert_int_equal(ingest_session_close(s, again), HF_OK);
    }
    what.kinds = 0;
    assert_int_equal(ingest_session_open(s, &what, NOW, &id), HF_INVALID);
    what = plain();
    what.expires_ms = NOW;
    assert_int_equal(ingest_session_open(s, &what, NOW, &id), HF_INVALID);
    ingest_sessions_destroy(s);
}

static void is_full_until_some_expire(void **state)
{
    (void)state;
    struct ingest_sessions *s;
    struct ingest_session what = plain();
    struct session_slot slot = {0};
    uint32_t ids[3], id;
    assert_int_equal(ingest_sessions_create(3, 0, &s), HF_OK); // fewer than places
    struct session_table t = ingest_sessions_table(s);
    for (int i = 0; i < 3; i++) {
        what.owner = (uint64_t)i & 1;
        what.expires_ms = NOW + 100 + (uint64_t)i;
        assert_int_equal(ingest_session_open(s, &what, NOW, &ids[i]), HF_OK);
    }
    assert_int_equal(ingest_session_open(s, &what, NOW + 99, &id), HF_FULL);
    assert_int_equal(ingest_session_count_owner(s, 0, NOW), 2);
    assert_int_equal(ingest_session_count_owner(s, 0, NOW + 100), 1);
    assert_int_equal(ingest_session_open(s, &what, NOW + 100, &id), HF_OK); // in the first's place
    assert_false(session_find(&t, ids[0], &slot));
    assert_int_equal(ingest_session_close_owner(s, 1), 1);
    assert_false(session_find(&t, ids[1], &slot));
    assert_true(session_find(&t, ids[2], &slot));
    assert_int_equal(ingest_sessions_sweep(s, NOW + 1000), 2);
    assert_int_equal(ingest_sessions_open_count(s), 0);
    ingest_sessions_destroy(s);
}

static void one_queue_owns_a_session(void **state)
{
    (void)state;
    struct ingest_sessions *s;
    struct ingest_session what = plain();
    struct session_slot slot = {0};
    uint32_t id, queue;
    assert_int_equal(ingest_sessions_create(1, 0, &s), HF_OK);
    struct session_table t = ingest_sessions_table(s);
    assert_int_equal(ingest_session_open(s, &what, NOW, &id), HF_OK);
    assert_true(session_find(&t, id, &slot));
    assert_true(session_pin(&t, id, slot.pin, 3));
    assert_true(session_pin(&t, id, slot.pin, 3)); // with what was seen before
    assert_false(session_pin(&t, id, slot.pin, 2));
    assert_true(session_find(&t, id, &slot));
    assert_false(session_pin(&t, id, slot.pin, 0));
    assert_int_equal(ingest_session_read(s, id, &what, &queue), HF_OK);
    assert_int_equal(queue, 3);
    uint32_t old = id;
    uint64_t seen = slot.pin;
    assert_int_equal(ingest_session_close(s, id), HF_OK);
    what = plain();
    assert_int_equal(ingest_session_open(s, &what, NOW, &id), HF_OK);
    (void)session_pin(&t, old, 0, 5); // a late one does not touch the next
    (void)seen;
    assert_int_equal(ingest_session_read(s, id, &what, &queue), HF_OK);
    assert_int_equal(queue, INGEST_QUEUE_NONE);
    ingest_sessions_destroy(s);
}

// Against the obvious: every number that was seen, and the newest.
static void the_window_takes_each_number_once(void **state)
{
    (void)state;
    static bool seen[1 << 16];
    struct session_window w;
    struct prng rng = {42};
    memset(seen, 0, sizeof seen);
    window_begin(&w, 9);
    uint64_t newest = 0, at = 1;
    for (int i = 0; i < 200000 && at < (1 << 16) - 4096; i++) {
        uint64_t r = prng_next(&rng);
        uint64_t n = r % 3 == 0                ? at += r % 7
                     : r % 5 == 0 && at > 1200 ? at - r % 1200
                                               : at - r % 40;
        if (r % 1009 == 0)
            n = at += 1500 * (r % 2) + 63; // beyond the whole window, now and then
        if ((int64_t)n < 1)
            n = 1;
        enum window_says says = window_look(&w, n);
        if (n <= newest && newest - n >= WINDOW_BACK)
            assert_int_equal(says, WINDOW_OLD);
        else
            assert_int_equal(says, seen[n] ? WINDOW_REPLAYED : WINDOW_NEW);
        if (says == WINDOW_NEW) {
            window_note(&w, n);
            seen[n] = true;
            newest = n > newest ? n : newest;
            assert_int_equal(window_look(&w, n), WINDOW_REPLAYED);
        }
    }
    assert_true(newest > 50000);
    window_note(&w, UINT64_MAX - 1); // the last number there is
    assert_int_equal(window_look(&w, UINT64_MAX - 1), WINDOW_REPLAYED);
    assert_int_equal(window_look(&w, newest), WINDOW_OLD);
}

static void the_rate_is_kept(void **state)
{
    (void)state;
    struct session_window w;
    uint64_t rate = UINT64_C(50) << 32 | 1000; // 1,000 a second, 50 at once
    uint32_t wait = 0, taken = 0;
    window_begin(&w, 1);
    assert_true(window_afford(&w, rate, 50, NOW, &wait));
    assert_false(window_afford(&w, rate, 1, NOW, &wait));
    assert_int_equal(wait, 1);
    assert_false(window_afford(&w, rate, 30, NOW + 10, &wait));
    assert_int_equal(wait, 20);
    assert_true(window_afford(&w, rate, 10, NOW + 10, &wait));
    for (uint64_t ms = 10; ms < 1010; ms++)
        for (int i = 0; i < 5; i++)
            taken += window_afford(&w, rate, 1, NOW + ms, &wait);
    assert_in_range(taken, 999, 1000);
    assert_true(window_afford(&w, rate, 50, NOW + 100000000, &wait));
    assert_false(window_afford(&w, rate, 1, NOW + 100000000, &wait)); // never more than its burst
    assert_true(window_afford(&w, 0, 1000000, NOW, &wait));           // none was set
}

// A client that does as it is told gets every frame through, and no more than the rate all the
// same.
static void a_frame_beyond_the_burst_is_paid_for_later(void **state)
{
    (void)state;
    struct session_window w;
    uint64_t rate = UINT64_C(10) << 32 | 10, now = NOW;
    uint32_t wait = 0;
    window_begin(&w, 1);
    for (int i = 0; i < 100; i++) {
        assert_true(window_afford(&w, rate, 32, now, &wait));
        assert_false(window_afford(&w, rate, 32, now, &wait));
        assert_int_equal(wait, 3200);
        assert_false(window_afford(&w, rate, 1, now, &wait));
        assert_int_equal(wait, 2300);
        now += 3200;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_and_closes),
        cmocka_unit_test(is_full_until_some_expire),
        cmocka_unit_test(one_queue_owns_a_session),
        cmocka_unit_test(the_window_takes_each_number_once),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(a_frame_beyond_the_burst_is_paid_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
