// The offline tool: what it prints and how it exits.
#include "unit/journal_world.h"

#include "ctl/journal_tool.h"

#include <unistd.h>

#define ok(call) assert_int_equal((call), HF_OK)

static char folder[] = "/tmp/holdfast-test-tool-XXXXXX";
static char *out, *err;
static journal_tool_print printer;

static enum ctl_exit run(const char *a, const char *b, const char *c, const char *d)
{
    char *argv[] = {(char *)"journal", (char *)a, (char *)b, (char *)c, (char *)d};
    int argc = 1;
    while (argc < 5 && argv[argc])
        argc++;
    size_t n;
    free(out);
    free(err);
    FILE *o = open_memstream(&out, &n), *e = open_memstream(&err, &n);
    const struct journal_tool t = {o, e, printer};
    enum ctl_exit code = journal_tool_run(&t, argc, argv);
    fclose(o);
    fclose(e);
    return code;
}

static void folder_path(char path[128], const char *name)
{
    snprintf(path, 128, "%s/%s", folder, name);
}

// Three groups with records of 32 bytes.
static int folder_make(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    struct storage *s;
    if (storage_os_create(folder, false, &s) != HF_OK)
        return -1;
    struct world w;
    world_init(&w, 1);
    w.o.storage = s;
    world_open(&w);
    for (int i = 0; i < 3; i++) {
        world_push(&w, 2, 32);
        ok(world_step(&w));
    }
    world_stop(&w);
    storage_destroy(&w.disk->base);
    storage_destroy(s);
    return 0;
}

static void remove_one(void *ctx, const char *name)
{
    char path[128];
    (void)ctx;
    folder_path(path, name);
    unlink(path);
}

static int folder_remove(void **state)
{
    (void)state;
    struct storage *s;
    ok(storage_os_create(folder, false, &s));
    ok(s->ops->list(s, remove_one, NULL));
    storage_destroy(s);
    free(out);
    free(err);
    return rmdir(folder);
}

static uint32_t lines_of(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void wrong_words_show_the_usage(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, NULL, NULL, NULL), CTL_USAGE);
    assert_int_equal(run("verify", NULL, NULL, NULL), CTL_USAGE);
    assert_int_equal(run("repair", folder, NULL, NULL), CTL_USAGE);
    assert_int_equal(run("verify", folder, folder, NULL), CTL_USAGE);
    assert_int_equal(run("verify", "--xml", folder, NULL), CTL_USAGE);
    assert_non_null(strstr(err, "usage:"));
    assert_int_equal(run("verify", "/nonexistent", NULL, NULL), CTL_FAILED);
    assert_int_equal(run("verify", "/", NULL, NULL), CTL_FAILED); // no journal there
}

static void print_more(FILE *f, const struct journal_record *r)
{
    fprintf(f, ",\"units\":%u", r->units);
}

static void a_good_folder_is_told(void **state)
{
    (void)state;
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_OK);
    assert_string_equal(out, "OK: 3 groups, 6 records, lsn 1 to 6, next epoch 2\n");
    assert_int_equal(run("inspect", folder, NULL, NULL), CTL_OK);
    assert_int_equal(lines_of(out), 4);
    assert_non_null(strstr(out, "group 3  epoch 1  lsn 5  records 2  bytes 64"));
    assert_int_equal(run("inspect", "--json", folder, NULL), CTL_OK);
    assert_int_equal(lines_of(out), 4);
    assert_non_null(strstr(out, "{\"kind\":\"group\",\"segment\":\"journal-000000000001.hfj\","
                                "\"offset\":4096,\"group\":1,"));
    assert_non_null(strstr(out, "{\"kind\":\"report\",\"status\":\"OK\",\"groups\":3,"));
    assert_int_equal(run("export", folder, "--json", NULL), CTL_OK);
    assert_int_equal(lines_of(out), 6);
    assert_int_equal(lines_of(err), 0);
    assert_non_null(strstr(out, "{\"lsn\":2,\"time_ms\":1700000000000,\"type\":3,\"flags\":0,"
                                "\"id\":\"00000000-0000-0002-ffff-fffffffffffd\","
                                "\"payload\":\"0202020202020202\"}\n"));
    printer = print_more;
    assert_int_equal(run("export", folder, NULL, NULL), CTL_OK);
    assert_non_null(strstr(out, "fffffffffffd\",\"units\":4}\n"));
    printer = NULL;
}

static void flip(uint64_t offset)
{
    char path[128];
    folder_path(path, "journal-000000000001.hfj");
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, (long)offset, SEEK_SET);
    int c = fgetc(f);
    fseek(f, (long)offset, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void damage_is_located(void **state)
{
    (void)state;
    flip(3 * HF_BLOCK + 140); // the last group: a torn tail is no damage
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_OK);
    assert_non_null(strstr(out, "journal-000000000001.hfj at 12288: the last group is unfinished"));
    assert_int_equal(run("export", folder, NULL, NULL), CTL_OK);
    assert_int_equal(lines_of(out), 4);
    assert_non_null(strstr(err, "unfinished"));
    flip(3 * HF_BLOCK + 140);
    flip(2 * HF_BLOCK + 140);
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_DAMAGED);
    assert_non_null(strstr(out, "journal-000000000001.hfj at 8192: group 2 is unreadable"));
    assert_int_equal(run("export", "--json", folder, NULL), CTL_DAMAGED);
    assert_int_equal(lines_of(out), 5); // group 1, of group 2 the second record, group 3
    assert_non_null(strstr(out, "{\"lsn\":2,"));
    assert_null(strstr(out, "{\"lsn\":3,"));
    assert_non_null(strstr(out, "{\"lsn\":4,"));
    assert_non_null(strstr(out, "{\"lsn\":6,"));
    assert_non_null(strstr(err, "\"status\":\"DAMAGED\""));
    assert_non_null(strstr(err, "{\"kind\":\"damage\",\"where\":\"journal-000000000001.hfj\","
                                "\"offset\":8320,\"lsn\":3,"));
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_DAMAGED);
    assert_non_null(strstr(out, "journal-000000000001.hfj at 8320: record 3: "));
    flip(2 * HF_BLOCK + 140);
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_OK);
}

// A group that the journal never went on from may have been told to nobody.
static void an_unfinished_end_is_not_exported(void **state)
{
    (void)state;
    flip(1 * HF_BLOCK + 20);  // group 1's header
    flip(3 * HF_BLOCK + 140); // and a record of the last group
    assert_int_equal(run("export", folder, NULL, NULL), CTL_DAMAGED);
    assert_int_equal(lines_of(out), 2);
    assert_non_null(strstr(out, "{\"lsn\":3,"));
    assert_non_null(strstr(out, "{\"lsn\":4,"));
    flip(1 * HF_BLOCK + 20);
    flip(3 * HF_BLOCK + 140);
    assert_int_equal(run("verify", folder, NULL, NULL), CTL_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_words_show_the_usage),
        cmocka_unit_test(a_good_folder_is_told),
        cmocka_unit_test(damage_is_located),
        cmocka_unit_test(an_unfinished_end_is_not_exported),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
