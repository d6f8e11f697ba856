#include "sys/clock.h"
#include "base/memory.h"
#include "sys/park.h"
#include "sys/storage.h"
#include "sys/text_file.h"
#include "sys/thread.h"
#include "sys/udp.h"
#include "sys/zone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/holdfast-test-sys-XXXXXX";

static int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void count_name(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
}

// No descriptor left is no broken disk.
static void descriptors_that_are_used_up_come_back(void **state)
{
    (void)state;
    struct storage *s;
    struct rlimit before, none;
    int f, names = 0;
    assert_int_equal(storage_os_create(folder, false, &s), HF_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum hf_status opened = s->ops->open(s, "x", STORAGE_WRITE | STORAGE_CREATE, &f);
    enum hf_status listed = s->ops->list(s, count_name, &names);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(opened, HF_NO_MEMORY);
    assert_int_equal(listed, HF_NO_MEMORY);
    storage_destroy(s);
}

static void files_are_made_written_renamed_removed(void **state)
{
    (void)state;
    struct storage *s;
    assert_int_equal(storage_os_create(folder, false, &s), HF_OK);
    int f, names = 0;
    unsigned flags = STORAGE_READ | STORAGE_WRITE | STORAGE_CREATE | STORAGE_DIRECT;
    assert_int_equal(s->ops->open(s, "missing", STORAGE_READ, &f), HF_NOT_FOUND);
    assert_int_equal(s->ops->open(s, "a", flags, &f), HF_OK);
    void *block = aligned_alloc(4096, 4096);
    memset(block, 7, 4096);
    assert_int_equal(s->ops->pwrite(s, f, block, 4096, 4096), HF_OK);
    assert_int_equal(s->ops->sync(s, f), HF_OK);
    uint64_t bytes;
    assert_int_equal(s->ops->size(s, f, &bytes), HF_OK);
    assert_int_equal(bytes, 8192);
    memset(block, 0, 4096);
    size_t done;
    assert_int_equal(s->ops->pread(s, f, block, 4096, 4096, &done), HF_OK);
    assert_int_equal(done, 4096);
    assert_int_equal(((unsigned char *)block)[4095], 7);
    s->ops->close(s, f);
    int g;
    assert_int_equal(s->ops->open(s, "a", flags, &g), HF_EXISTS);
    assert_int_equal(s->ops->rename(s, "a", "b"), HF_OK);
    assert_int_equal(s->ops->list(s, count_name, &names), HF_OK);
    assert_int_equal(names, 1);
    assert_int_equal(s->ops->unlink(s, "b"), HF_OK);
    assert_int_equal(s->ops->unlink(s, "b"), HF_NOT_FOUND);
    free(block);
    storage_destroy(s);
}

// What an operator can mend is no broken disk.
static void what_is_no_folder_is_told_apart_from_a_failure(void **state)
{
    (void)state;
    struct storage *s;
    int f;
    char path[sizeof folder + 16];
    assert_int_equal(storage_os_create(folder, true, &s), HF_OK);
    assert_int_equal(s->ops->open(s, "plain", STORAGE_WRITE | STORAGE_CREATE, &f), HF_OK);
    s->ops->close(s, f);
    snprintf(path, sizeof path, "%s/plain", folder);
    struct storage *none;
    for (int make = 0; make < 2; make++) {
        assert_int_equal(storage_os_create(path, make, &none), HF_INVALID);
        assert_int_equal(errno, ENOTDIR);
    }
    assert_string_equal(storage_os_why(errno), "is no folder");
    snprintf(path, sizeof path, "%s/none/here", folder);
    assert_int_equal(storage_os_create(path, true, &none), HF_NOT_FOUND);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(storage_os_why(EACCES), "Permission denied");
    assert_int_equal(s->ops->unlink(s, "plain"), HF_OK);
    storage_destroy(s);
}

static void a_second_lock_is_refused(void **state)
{
    (void)state;
    struct storage *a, *b;
    assert_int_equal(storage_os_create(folder, false, &a), HF_OK);
    assert_int_equal(storage_os_create(folder, false, &b), HF_OK);
    assert_int_equal(a->ops->lock(a), HF_OK);
    assert_int_equal(b->ops->lock(b), HF_LOCKED);
    storage_destroy(a);
    assert_int_equal(b->ops->lock(b), HF_OK);
    assert_int_equal(b->ops->unlink(b, "lock"), HF_OK);
    storage_destroy(b);
}

static void memory_is_zero_and_aligned(void **state)
{
    (void)state;
    struct hf_memory m;
    assert_true(hf_memory_map(&m, 3u << 20, HF_PAGES_EXPLICIT));
    assert_int_equal((uintptr_t)m.base % (2u << 20), 0);
    for (size_t i = 0; i < (3u << 20); i += 4096)
        assert_int_equal(((char *)m.base)[i], 0);
    hf_memory_unmap(&m);
    assert_null(m.base);
}

static void a_park_times_out_and_a_wake_is_not_lost(void **state)
{
    (void)state;
    struct park p = {0};
    uint64_t before = clock_monotonic_ns(clock_os());
    park_wait(&p, park_prepare(&p), 5);
    assert_true(clock_monotonic_ns(clock_os()) - before >= 4000000);
    uint32_t key = park_prepare(&p);
    park_wake(&p);
    before = clock_monotonic_ns(clock_os());
    park_wait(&p, key, 10000); // the epoch has moved on: returns at once
    assert_true(clock_monotonic_ns(clock_os()) - before < 5000000000u);
}

static void text_files_are_read_whole_or_refused(void **state)
{
    (void)state;
    char path[100], *text;
    size_t bytes;
    const char *why = NULL;
    snprintf(path, sizeof path, "%s/text", folder);
    assert_int_equal(text_file_read(path, 100, &text, &bytes, &why), HF_NOT_FOUND);
    FILE *f = fopen(path, "w");
    fputs("one\ntwo", f);
    fclose(f);
    assert_int_equal(text_file_read(path, 7, &text, &bytes, &why), HF_OK);
    assert_int_equal(bytes, 7);
    assert_string_equal(text, "one\ntwo");
    free(text);
    assert_int_equal(text_file_read(path, 6, &text, &bytes, &why), HF_INVALID);
    assert_string_equal(why, "is too large");
    assert_int_equal(chmod(path, 0646), 0);
    assert_int_equal(text_file_read(path, 7, &text, &bytes, &why), HF_INVALID);
    assert_int_equal(chmod(path, 0600), 0);
    f = fopen(path, "w");
    fwrite("a\0b", 1, 3, f);
    fclose(f);
    assert_int_equal(text_file_read(path, 7, &text, &bytes, &why), HF_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); // does not wait for a writer
    assert_int_equal(text_file_read(path, 7, &text, &bytes, &why), HF_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(text_file_read(folder, 7, &text, &bytes, &why), HF_INVALID);
}

struct levels {
    bool tied; // it may not come back
    bool free;
    int first, made, back, again;
};

// A thread's capabilities are its own, and end with it.
static void tie(void)
{
    struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct d[_LINUX_CAPABILITY_U32S_3];
    struct rlimit none;
    getrlimit(RLIMIT_NICE, &none);
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NICE, &none);
    if (syscall(SYS_capget, &h, d) != 0)
        return;
    d[CAP_TO_INDEX(CAP_SYS_NICE)].effective &= ~(unsigned)CAP_TO_MASK(CAP_SYS_NICE);
    syscall(SYS_capset, &h, d);
}

static void *levels_main(void *ctx)
{
    struct levels *l = ctx;
    struct thread_place p;
    if (l->tied)
        tie();
    thread_prompt();
    l->first = getpriority(PRIO_PROCESS, 0);
    thread_place_init(&p);
    l->free = p.free;
    l->made = getpriority(PRIO_PROCESS, 0);
    thread_stand_back(&p, true);
    l->back = getpriority(PRIO_PROCESS, 0);
    thread_stand_back(&p, false);
    l->again = getpriority(PRIO_PROCESS, 0);
    return NULL;
}

static struct levels levels_of(bool tied)
{
    struct levels l = {.tied = tied};
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, levels_main, &l), 0);
    pthread_join(t, NULL);
    return l;
}

static void a_thread_stands_back_and_comes_again(void **state)
{
    (void)state;
    int mine = getpriority(PRIO_PROCESS, 0);
    struct levels l = levels_of(false);
    assert_int_equal(l.first, mine);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine); // only that thread
    if (!l.free) {
        print_message("no right to come back: that it stands back was not tested\n");
        return;
    }
    assert_int_equal(l.made, mine);
    assert_int_equal(l.back, mine + 10 < 19 ? mine + 10 : 19);
    assert_int_equal(l.again, mine);
}

static void a_thread_that_could_not_come_back_does_not_go(void **state)
{
    (void)state;
    struct rlimit before;
    getrlimit(RLIMIT_NICE, &before);
    struct levels l = levels_of(true);
    setrlimit(RLIMIT_NICE, &before);
    assert_false(l.free);
    assert_true(l.made <= l.first + 1);
    assert_int_equal(l.back, l.made);
    assert_int_equal(l.again, l.made);
}

// A client that is connected hears nobody but the address that it asked. False: that family is not
// there.
static bool asked_and_answered(const char *host, const char *door)
{
    char why[200], text[4] = "";
    uint8_t data[16];
    struct udp *u;
    struct udp_options o = {.host = host};
    struct udp_datagram d = {.data = data, .room = sizeof data}, *list[1] = {&d};
    if (udp_os_create(&o, &u, why) != HF_OK)
        return false;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(udp_port(u))};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6, .sin6_port = htons(udp_port(u))};
    bool six = inet_pton(AF_INET6, door, &to6.sin6_addr) == 1;
    assert_true(six || inet_pton(AF_INET, door, &to.sin_addr) == 1);
    int s = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(s, six ? (struct sockaddr *)&to6 : (struct sockaddr *)&to,
                             six ? sizeof to6 : sizeof to),
                     0);
    assert_int_equal(send(s, "ask", 4, 0), 4);
    udp_wait(u, 10000);
    assert_int_equal(udp_receive(u, list, 1), 1);
    assert_int_equal(udp_send(u, list, 1), 1);
    struct pollfd p = {.fd = s, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    assert_int_equal(recv(s, text, sizeof text, 0), 4);
    assert_string_equal(text, "ask");
    close(s);
    udp_destroy(u);
    return true;
}

static void answers_leave_from_where_they_were_asked(void **state)
{
    (void)state;
    assert_true(asked_and_answered("127.0.0.1", "127.0.0.1"));
    assert_true(asked_and_answered("0.0.0.0", "127.0.0.1"));
    assert_true(asked_and_answered("0.0.0.0", "127.0.0.2"));
    if (!asked_and_answered("::", "::1") || !asked_and_answered("::", "127.0.0.2"))
        print_message("no IPv6 here: not tried\n");
}

static void times_are_read_with_their_zone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms; // 0: not understood
    } rows[] = {{"2024-10-04T12:00:00Z", 1728043200000},
                {"2024-10-04t12:00:00z", 0},
                {"2024-10-04T12:00:00.250Z", 1728043200250},
                {"2024-10-04T14:00:00+02:00", 1728043200000},
                {"2024-10-04 12:00:00Z", 1728043200000},
                {"2024-02-29T00:00:00-23:00", 1709247600000},
                {"2024-10-04T12:00:00", 0}, // in whose time?
                {"2023-02-29T00:00:00Z", 0},
                {"2024-10-04T24:01:00Z", 0},
                {"2024-10-04T12:00Z", 0},
                {"20241004T120000Z", 0},
                {"2024-W40-5T12:00:00Z", 0},
                {"1969-12-31T23:59:59Z", 0},
                {"2024-10-04T12:00:00Z ", 0},
                {"", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t ms = 0;
        bool good = zone_time_parse(rows[i].text, &ms);
        if (good != (rows[i].ms > 0) || ms != rows[i].ms)
            fail_msg("%s: %d, %llu", rows[i].text, good, (unsigned long long)ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_that_are_used_up_come_back),
        cmocka_unit_test(files_are_made_written_renamed_removed),
        cmocka_unit_test(text_files_are_read_whole_or_refused),
        cmocka_unit_test(what_is_no_folder_is_told_apart_from_a_failure),
        cmocka_unit_test(a_second_lock_is_refused),
        cmocka_unit_test(answers_leave_from_where_they_were_asked),
        cmocka_unit_test(times_are_read_with_their_zone),
        cmocka_unit_test(memory_is_zero_and_aligned),
        cmocka_unit_test(a_thread_stands_back_and_comes_again),
        cmocka_unit_test(a_thread_that_could_not_come_back_does_not_go),
        cmocka_unit_test(a_park_times_out_and_a_wake_is_not_lost),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
