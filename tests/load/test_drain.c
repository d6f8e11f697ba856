// A server that is told to end while it still asks gRPC for its first calls: it ends. A request
// that gRPC lost would leave the poller waiting for ever.
#include "load/fake_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#define STARTS  4000
#define LIMIT_S 100

static void a_server_that_ends_at_once_ends(void **state)
{
    (void)state;
    struct fake *f = calloc(1, sizeof *f);
    assert_non_null(f);
    pthread_mutex_init(&f->mutex, NULL);
    alarm(LIMIT_S); // stuck: the test dies
    for (int i = 0; i < STARTS; i++) {
        fake_start(f, 0);
        fake_stop(f);
    }
    alarm(0);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_server_that_ends_at_once_ends)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
