#include "auth/auth.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define OPEN_SESAME "open-sesame-0123456789"
#define SESAME_HASH "9112d278a91be5e2d5ff9a44515f73e03efeb10da5bd9b7dbedceacc969ce6b0"

static char path[] = "/tmp/holdfast-keys.XXXXXX";
static char why[200];

static int file_make(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int file_remove(void **state)
{
    (void)state;
    return unlink(path);
}

static void file_write(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

struct made {
    char key[AUTH_KEY_BYTES_MAX];
    char line[400];
};

static struct made make(const char *name, const char *roles, const char *limits)
{
    struct made m;
    assert_true(auth_key_make(name, roles, m.key, m.line, 300));
    size_t n = strlen(m.line);
    snprintf(m.line + n, sizeof m.line - n, " %s\n", limits);
    return m;
}

static struct auth *load(const char *text)
{
    struct auth *a;
    file_write(text);
    if (auth_create(path, &a, why) != HF_OK)
        fail_msg("%s", why);
    return a;
}

static const struct auth_identity *check(const struct auth *a, const char *key)
{
    return auth_check(a, key, strlen(key));
}

static void a_made_key_is_known_and_nothing_like_it(void **state)
{
    (void)state;
    struct made m = make("shop-eu", "storefront", "channels=web,app locations=WH1");
    struct auth *a = load(m.line);
    const struct auth_identity *who = check(a, m.key);
    assert_non_null(who);
    assert_string_equal(who->name, "shop-eu");
    assert_false(auth_open(a));
    assert_int_equal(auth_key_count(a), 1);
    assert_int_equal(strlen(m.key), 46);
    m.key[10] ^= 1;
    assert_null(check(a, m.key));
    assert_null(check(a, ""));
    assert_null(auth_check(a, m.key, 15));
    char longest[300];
    memset(longest, 'a', sizeof longest);
    assert_null(auth_check(a, longest, AUTH_KEY_BYTES_MAX));
    assert_null(auth_check(a, longest, AUTH_KEY_BYTES_MAX + 1));
    auth_destroy(a);
}

static void the_hash_is_plain_sha256(void **state)
{
    (void)state;
    struct auth *a = load("ops operator " SESAME_HASH "\n");
    assert_non_null(check(a, OPEN_SESAME));
    auth_destroy(a);
}

static void two_keys_made_differ(void **state)
{
    (void)state;
    struct made a = make("x", "reader", ""), b = make("x", "reader", "");
    assert_string_not_equal(a.key, b.key);
    assert_null(strstr(a.line, a.key));
    char key[AUTH_KEY_BYTES_MAX], line[300];
    assert_false(auth_key_make("x y", "reader", key, line, sizeof line));
    assert_false(auth_key_make("x", "reader,", key, line, sizeof line));
    assert_false(auth_key_make("x", "admin", key, line, sizeof line));
    assert_false(auth_key_make("x", "reader", key, line, 60));
}

static void roles_imply_what_is_below_them(void **state)
{
    (void)state;
    static const struct {
        const char *roles;
        unsigned all;
    } cases[] = {
        {"reader", AUTH_READER},
        {"storefront", AUTH_STOREFRONT | AUTH_READER},
        {"stock_admin", AUTH_STOCK_ADMIN | AUTH_READER},
        {"storefront,stock_admin", AUTH_STOREFRONT | AUTH_STOCK_ADMIN | AUTH_READER},
        {"operator", AUTH_OPERATOR | AUTH_STOREFRONT | AUTH_STOCK_ADMIN | AUTH_READER},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made m = make("k", cases[i].roles, "");
        struct auth *a = load(m.line);
        assert_int_equal(check(a, m.key)->roles, cases[i].all);
        auth_destroy(a);
    }
}

static void limits_limit(void **state)
{
    (void)state;
    struct made m = make("k", "storefront", "locations=WH1 channels=web,app");
    struct made free_one = make("all", "reader", "# no limit");
    char text[900];
    snprintf(text, sizeof text, "# keys\n\n%s  \t%s", m.line, free_one.line);
    struct auth *a = load(text);
    const struct auth_identity *who = check(a, m.key), *all = check(a, free_one.key);
    assert_true(auth_channel_ok(who, "web", 3));
    assert_true(auth_channel_ok(who, "app", 3));
    assert_false(auth_channel_ok(who, "ap", 2));
    assert_false(auth_channel_ok(who, "", 0));
    assert_true(auth_location_ok(who, "WH1", 3));
    assert_false(auth_location_ok(who, "WH10", 4));
    assert_true(auth_channel_ok(all, "", 0));
    assert_true(auth_location_ok(all, "anywhere", 8));
    assert_true(auth_may(who, AUTH_READER));
    assert_false(auth_may(all, AUTH_STOREFRONT));
    auth_destroy(a);
}

static void without_a_file_everybody_may_everything(void **state)
{
    (void)state;
    struct auth *a;
    assert_int_equal(auth_create(NULL, &a, why), HF_OK);
    assert_true(auth_open(a));
    assert_ptr_equal(check(a, "whatever"), auth_anonymous());
    assert_true(auth_may(auth_anonymous(), AUTH_OPERATOR));
    assert_true(auth_in_force(auth_anonymous()));
    assert_int_equal(auth_reload(a, why), HF_OK);
    auth_destroy(a);
}

static void bad_files_are_refused_with_the_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where, *what;
    } cases[] = {
        {"", ":1:", "no key"},
        {"# only a comment\n", ":2:", "no key"},
        {"a reader " SESAME_HASH "\nb writer " SESAME_HASH "\n", ":2:", "roles are"},
        {"\n\na reader\n", ":3:", "a line is"},
        {"a reader " OPEN_SESAME "\n", ":1:", "64 hex digits"},
        {"a reader " SESAME_HASH "ff\n", ":1:", "64 hex digits"},
        {"a reader g112d278a91be5e2d5ff9a44515f73e03efeb10da5bd9b7dbedceacc969ce6b0\n",
         ":1:", "64 hex digits"},
        {"a b/c reader\n", ":1:", "roles are"},
        {"a/b reader " SESAME_HASH "\n", ":1:", "a name has"},
        {"a123456789012345678901234567890123 reader " SESAME_HASH "\n", ":1:", "a name has"},
        {"a reader " SESAME_HASH " colour=blue\n", ":1:", "channels="},
        {"a reader " SESAME_HASH " channels=a,,b\n", ":1:", "empty name"},
        {"a reader " SESAME_HASH " channels=a channels=b\n", ":1:", "twice"},
        {"a reader " SESAME_HASH " channels=123456789012345678901234567890123\n",
         ":1:", "too long"},
        {"a reader " SESAME_HASH " locations=1,2,3,4,5,6,7,8,9,0,a,b,c,d,e,f,g\n",
         ":1:", "more than 16"},
        {"a reader " SESAME_HASH "\nb operator " SESAME_HASH "\n", ":2:", "line 1"},
        {"\na reader,operator " SESAME_HASH " channels=web\n", ":2:", "limited by 'channels='"},
        {"a operator " SESAME_HASH " locations=WH1\n", ":1:", "limited by 'locations='"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth *a;
        file_write(cases[i].text);
        assert_int_equal(auth_create(path, &a, why), HF_INVALID);
        if (!strstr(why, cases[i].where) || !strstr(why, cases[i].what))
            fail_msg("case %zu: %s", i, why);
        assert_null(strstr(why, OPEN_SESAME)); // what may be a key in clear is never repeated
    }
}

static void missing_and_unsafe_files(void **state)
{
    (void)state;
    struct auth *a;
    assert_int_equal(auth_create("/nowhere/keys", &a, why), HF_NOT_FOUND);
    assert_int_equal(auth_create("/tmp", &a, why), HF_INVALID);
    file_write("ops operator " SESAME_HASH "\n");
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(auth_create(path, &a, why), HF_INVALID);
    assert_non_null(strstr(why, "everybody"));
    assert_int_equal(chmod(path, 0600), 0);
}

static void a_reload_adds_and_revokes(void **state)
{
    (void)state;
    struct made old = make("shop", "storefront", ""), fresh = make("shop", "storefront", "");
    struct auth *a = load(old.line);
    const struct auth_identity *first = check(a, old.key);
    char both[900];
    snprintf(both, sizeof both, "%s%s", old.line, fresh.line);
    file_write(both);
    assert_int_equal(auth_reload(a, why), HF_OK);
    assert_ptr_equal(check(a, old.key), first);
    assert_non_null(check(a, fresh.key));
    assert_int_equal(auth_key_count(a), 2);
    file_write(fresh.line);
    assert_int_equal(auth_reload(a, why), HF_OK);
    assert_null(check(a, old.key));
    assert_false(auth_in_force(first));
    assert_string_equal(first->name, "shop"); // still readable
    assert_true(auth_in_force(check(a, fresh.key)));
    file_write(both); // and back
    assert_int_equal(auth_reload(a, why), HF_OK);
    assert_ptr_equal(check(a, old.key), first);
    auth_destroy(a);
}

static void a_bad_reload_changes_nothing(void **state)
{
    (void)state;
    struct made m = make("shop", "storefront", "");
    struct auth *a = load(m.line);
    file_write("broken\n");
    assert_int_equal(auth_reload(a, why), HF_INVALID);
    assert_true(auth_in_force(check(a, m.key)));
    unlink(path);
    assert_int_equal(auth_reload(a, why), HF_NOT_FOUND);
    assert_non_null(check(a, m.key));
    auth_destroy(a);
    file_write("");
}

static void other_rights_for_a_key_revoke_the_old_identity(void **state)
{
    (void)state;
    struct auth *a = load("ops operator " SESAME_HASH "\n");
    const struct auth_identity *before = check(a, OPEN_SESAME);
    file_write("ops reader " SESAME_HASH "\n");
    assert_int_equal(auth_reload(a, why), HF_OK);
    const struct auth_identity *after = check(a, OPEN_SESAME);
    assert_false(auth_in_force(before));
    assert_int_equal(before->roles & AUTH_OPERATOR, AUTH_OPERATOR);
    assert_int_equal(after->roles, AUTH_READER);
    auth_destroy(a);
}

static char *many_keys(uint32_t from, uint32_t count)
{
    char *text = malloc((size_t)count * 80 + 1), *at = text;
    for (uint32_t i = from; i < from + count; i++)
        at += snprintf(at, 80, "k reader %08x%056x\n", i * 2654435761u, i);
    return text;
}

static void bounds_on_keys(void **state)
{
    (void)state;
    struct auth *a;
    char *text = many_keys(0, AUTH_KEYS_MAX + 1);
    file_write(text);
    assert_int_equal(auth_create(path, &a, why), HF_INVALID);
    assert_non_null(strstr(why, ":4097: more than 4096 keys"));
    free(text);
    text = many_keys(0, AUTH_KEYS_MAX);
    a = load(text);
    for (uint32_t i = 1; i < AUTH_SEEN_MAX / AUTH_KEYS_MAX; i++) {
        free(text);
        text = many_keys(i * AUTH_KEYS_MAX, AUTH_KEYS_MAX);
        file_write(text);
        assert_int_equal(auth_reload(a, why), HF_OK);
    }
    file_write("ops operator " SESAME_HASH "\n"); // one more than is ever remembered
    assert_int_equal(auth_reload(a, why), HF_FULL);
    assert_int_equal(auth_key_count(a), AUTH_KEYS_MAX);
    file_write(text);
    assert_int_equal(auth_reload(a, why), HF_OK);
    free(text);
    auth_destroy(a);
}

struct checker {
    const struct auth *a;
    const char *stays;
    int stop, missed; // atomic
};

static void *checker_run(void *ctx)
{
    struct checker *c = ctx;
    while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
        const struct auth_identity *who = check(c->a, c->stays);
        if (!who || strcmp(who->name, "stays") != 0)
            __atomic_store_n(&c->missed, 1, __ATOMIC_RELAXED);
        who = check(c->a, OPEN_SESAME);
        if (who && strcmp(who->name, "comes") != 0)
            __atomic_store_n(&c->missed, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void checks_beside_reloads_never_miss_a_key_that_stays(void **state)
{
    (void)state;
    struct made m = make("stays", "reader", "");
    struct auth *a = load(m.line);
    struct checker c = {.a = a, .stays = m.key};
    pthread_t thread;
    char both[900];
    snprintf(both, sizeof both, "comes operator " SESAME_HASH "\n%s", m.line);
    assert_int_equal(pthread_create(&thread, NULL, checker_run, &c), 0);
    for (int i = 0; i < 300; i++) {
        file_write(i % 2 ? m.line : both);
        assert_int_equal(auth_reload(a, why), HF_OK);
    }
    __atomic_store_n(&c.stop, 1, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    assert_int_equal(c.missed, 0);
    auth_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_key_is_known_and_nothing_like_it),
        cmocka_unit_test(the_hash_is_plain_sha256),
        cmocka_unit_test(two_keys_made_differ),
        cmocka_unit_test(roles_imply_what_is_below_them),
        cmocka_unit_test(limits_limit),
        cmocka_unit_test(without_a_file_everybody_may_everything),
        cmocka_unit_test(bad_files_are_refused_with_the_line),
        cmocka_unit_test(missing_and_unsafe_files),
        cmocka_unit_test(a_reload_adds_and_revokes),
        cmocka_unit_test(a_bad_reload_changes_nothing),
        cmocka_unit_test(other_rights_for_a_key_revoke_the_old_identity),
        cmocka_unit_test(bounds_on_keys),
        cmocka_unit_test(checks_beside_reloads_never_miss_a_key_that_stays),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
