#include "daemon/self_check.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

// A listener that says `word` to whoever has spoken; without one it never accepts.
struct fake {
    int fd;
    uint16_t port;
    const char *word;
    size_t word_bytes;
    bool hangs_up;    // says nothing and closes
    bool every_other; // does so every other time
    pthread_t thread;
    _Atomic bool stopping;
    _Atomic uint32_t heard;
    _Atomic int first; // byte of what was heard last
};

struct end {
    _Atomic uint32_t told;
    char why[200];
};

static const char settings[] = "\0\0\0\4\0\0\0\0\0";
static const char handshake[] = "\26\3\3\0\1";

static void on_deaf(void *ctx, const char *why)
{
    struct end *e = ctx;
    snprintf(e->why, sizeof e->why, "%s", why);
    e->told++;
}

static void *fake_run(void *ctx)
{
    struct fake *f = ctx;
    while (!f->stopping) {
        struct pollfd p = {.fd = f->fd, .events = POLLIN};
        if (poll(&p, 1, 20) != 1)
            continue;
        int c = accept(f->fd, NULL, NULL);
        unsigned char hello[4096];
        ssize_t n = read(c, hello, sizeof hello);
        if (n > 0) {
            f->first = hello[0];
            f->heard++;
        }
        if (!f->hangs_up && !(f->every_other && f->heard % 2) &&
            write(c, f->word, f->word_bytes) < 0)
            f->stopping = true;
        close(c);
    }
    return NULL;
}

static void fake_start(struct fake *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(f->fd, 16), 0);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &bytes), 0);
    f->port = ntohs(at.sin_port);
    if (f->word || f->hangs_up)
        assert_int_equal(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static void fake_stop(struct fake *f)
{
    f->stopping = true;
    if (f->word || f->hangs_up)
        pthread_join(f->thread, NULL);
    close(f->fd);
}

static struct self_check_options options(struct fake *f, struct end *e)
{
    return (struct self_check_options){.address = "127.0.0.1:0",
                                       .port = f->port,
                                       .interval_ms = 10,
                                       .answer_ms = 100,
                                       .failures_max = 3,
                                       .on_deaf = on_deaf,
                                       .ctx = e};
}

static bool within_5_s(_Atomic uint32_t *what, uint32_t least)
{
    for (int i = 0; i < 500 && *what < least; i++)
        poll(NULL, 0, 10);
    return *what >= least;
}

static void a_listener_that_answers_is_left_alone(void **state)
{
    (void)state;
    struct fake f = {.word = settings, .word_bytes = sizeof settings - 1};
    struct end e = {0};
    struct self_check *c;
    fake_start(&f);
    struct self_check_options o = options(&f, &e);
    o.address = "0.0.0.0:0"; // is asked at loopback
    assert_int_equal(self_check_create(&o, &c), HF_OK);
    assert_true(within_5_s(&f.heard, 6));
    assert_int_equal(f.first, 'P');
    assert_int_equal(e.told, 0);
    self_check_destroy(c);
    fake_stop(&f);
}

static void end_is_told(struct fake *f, struct self_check_options *o, struct end *e,
                        const char *why)
{
    struct self_check *c;
    assert_int_equal(self_check_create(o, &c), HF_OK);
    assert_true(within_5_s(&e->told, 1));
    self_check_destroy(c);
    assert_int_equal(e->told, 1);
    if (!strstr(e->why, why))
        fail_msg("%s", e->why);
    fake_stop(f);
}

static void one_that_only_the_kernel_accepts_for_is_deaf(void **state)
{
    (void)state;
    struct fake f = {0};
    struct end e = {0};
    fake_start(&f);
    struct self_check_options o = options(&f, &e);
    end_is_told(&f, &o, &e, "no answer in time");
}

static void one_that_hangs_up_or_speaks_otherwise_is_deaf(void **state)
{
    (void)state;
    struct fake closes = {.hangs_up = true};
    struct fake other = {.word = "HTTP/1.1 400 Bad\r\n", .word_bytes = 18};
    struct end e = {0}, e2 = {0};
    fake_start(&closes);
    struct self_check_options o = options(&closes, &e);
    end_is_told(&closes, &o, &e, "");
    assert_int_equal(closes.heard, 3); // no sooner than asked
    fake_start(&other);
    o = options(&other, &e2);
    end_is_told(&other, &o, &e2, "something else");
}

static void nobody_there_is_deaf(void **state)
{
    (void)state;
    struct fake f = {0}, none = {.hangs_up = false};
    struct end e = {0};
    fake_start(&f);
    struct self_check_options o = options(&f, &e);
    close(f.fd);
    none.fd = -1;
    end_is_told(&none, &o, &e, "connect: Connection refused");
}

static void one_answer_begins_the_count_anew(void **state)
{
    (void)state;
    // Every other one is hung up on: many failures in all, never two in a row.
    struct fake f = {.every_other = true, .word = settings, .word_bytes = sizeof settings - 1};
    struct end e = {0};
    struct self_check *c;
    fake_start(&f);
    struct self_check_options o = options(&f, &e);
    o.failures_max = 2;
    assert_int_equal(self_check_create(&o, &c), HF_OK);
    assert_true(within_5_s(&f.heard, 10));
    assert_int_equal(e.told, 0);
    self_check_destroy(c);
    fake_stop(&f);
}

static void under_tls_the_handshake_is_the_answer(void **state)
{
    (void)state;
    struct fake f = {.word = handshake, .word_bytes = sizeof handshake - 1};
    struct fake plain = {.word = settings, .word_bytes = sizeof settings - 1};
    struct end e = {0}, e2 = {0};
    struct self_check *c;
    fake_start(&f);
    struct self_check_options o = options(&f, &e);
    o.tls = true;
    assert_int_equal(self_check_create(&o, &c), HF_OK);
    assert_true(within_5_s(&f.heard, 6));
    assert_int_equal(f.first, 22); // a handshake record, too
    assert_int_equal(e.told, 0);
    self_check_destroy(c);
    fake_stop(&f);
    fake_start(&plain);
    o = options(&plain, &e2);
    o.tls = true;
    end_is_told(&plain, &o, &e2, "something else");
}

static void bad_addresses_are_refused(void **state)
{
    (void)state;
    struct fake f = {0};
    struct end e = {0};
    struct self_check *c;
    struct self_check_options o = options(&f, &e);
    o.address = "nonsense";
    assert_int_equal(self_check_create(&o, &c), HF_INVALID);
    o.address = "unix:";
    assert_int_equal(self_check_create(&o, &c), HF_INVALID);
    o.address = "no such host:1";
    assert_int_equal(self_check_create(&o, &c), HF_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_that_answers_is_left_alone),
        cmocka_unit_test(one_that_only_the_kernel_accepts_for_is_deaf),
        cmocka_unit_test(one_that_hangs_up_or_speaks_otherwise_is_deaf),
        cmocka_unit_test(nobody_there_is_deaf),
        cmocka_unit_test(one_answer_begins_the_count_anew),
        cmocka_unit_test(under_tls_the_handshake_is_the_answer),
        cmocka_unit_test(bad_addresses_are_refused),
    };
    hf_log_set_level(HF_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
