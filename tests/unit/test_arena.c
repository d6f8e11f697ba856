#include "base/arena.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PIECES     64
#define SMALL      (4u << 10)
#define LARGE      (1u << 20)
#define IN_PURPOSE (PIECES * (uint64_t)(SMALL + LARGE))

static void *pieces[2 * PIECES];

static void pieces_take(void)
{
    for (int i = 0; i < PIECES; i++) {
        pieces[2 * i] = malloc(SMALL);
        pieces[2 * i + 1] = malloc(LARGE);
        assert_true(pieces[2 * i] && pieces[2 * i + 1]);
    }
}

static void pieces_free(void)
{
    for (int i = 0; i < 2 * PIECES; i++)
        free(pieces[i]);
}

static uint64_t allocated(enum hf_arena a)
{
    return hf_arena_read(a).allocated_bytes;
}

static bool measures(void)
{
    return hf_arena_read(HF_ARENA_OTHER).measured;
}

// What this build must be able to do is known: see tests/unit/meson.build.
static void every_build_does_what_it_can(void **state)
{
    (void)state;
#ifdef WITH_JEMALLOC
    assert_true(measures());
    assert_true(allocated(HF_ARENA_OTHER) > 0);
#else
    assert_false(measures());
    assert_int_equal(hf_arena_use(HF_ARENA_GRPC), HF_ARENA_OTHER);
    assert_int_equal(hf_arena_use(HF_ARENA_OTHER), HF_ARENA_OTHER);
#endif
    assert_false(hf_arena_read(HF_ARENA_FLUSH).measured); // never used
    assert_string_equal(hf_arena_name(HF_ARENA_HTTP), "http");
    assert_string_equal(hf_arena_name(HF_ARENA_COUNT), "unknown");
    assert_string_not_equal(hf_arena_help(HF_ARENA_KEEPER), "");
}

static void *grpc_run(void *ctx)
{
    (void)ctx;
    hf_arena_use(HF_ARENA_GRPC);
    pieces_take();
    return NULL;
}

static void a_threads_memory_is_counted_where_it_is_bound(void **state)
{
    (void)state;
    pthread_t thread;
    if (!measures())
        skip();
    uint64_t other = allocated(HF_ARENA_OTHER);
    assert_int_equal(pthread_create(&thread, NULL, grpc_run, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_in_range(allocated(HF_ARENA_GRPC), IN_PURPOSE, IN_PURPOSE * 11 / 10);
    assert_true(allocated(HF_ARENA_OTHER) < other + LARGE);
    assert_true(hf_arena_read(HF_ARENA_GRPC).resident_bytes > 0);
    pieces_free(); // by another thread: it leaves the arena all the same
    assert_true(allocated(HF_ARENA_GRPC) < LARGE);
}

static void a_binding_is_undone(void **state)
{
    (void)state;
    if (!measures())
        skip();
    assert_int_equal(hf_arena_use(HF_ARENA_SETUP), HF_ARENA_OTHER);
    assert_int_equal(hf_arena_use(HF_ARENA_HTTP), HF_ARENA_SETUP);
    pieces_take();
    assert_int_equal(hf_arena_use(HF_ARENA_SETUP), HF_ARENA_HTTP);
    assert_int_equal(hf_arena_use(HF_ARENA_OTHER), HF_ARENA_SETUP);
    assert_true(allocated(HF_ARENA_HTTP) >= IN_PURPOSE);
    assert_true(allocated(HF_ARENA_SETUP) < LARGE);
    pieces_free();
    uint64_t other = allocated(HF_ARENA_OTHER), http = allocated(HF_ARENA_HTTP);
    pieces_take();
    assert_true(allocated(HF_ARENA_OTHER) >= other + IN_PURPOSE);
    assert_int_equal(allocated(HF_ARENA_HTTP), http);
    pieces_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_build_does_what_it_can),
        cmocka_unit_test(a_threads_memory_is_counted_where_it_is_bound),
        cmocka_unit_test(a_binding_is_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
