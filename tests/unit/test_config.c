#include "daemon/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define ARGS_MAX 16

static char path[] = "/tmp/holdfast-config.XXXXXX";
static const char *source_root; // of the tree, for its documents
static struct config c;
static struct config_errors e;

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

// Arguments and environment as NULL-ended lists.
static bool load(const char *const *args, const char *const *environment)
{
    char *argv[ARGS_MAX] = {"holdfastd"}, *env[ARGS_MAX] = {NULL};
    int argc = 1;
    for (; args && *args; args++)
        argv[argc++] = (char *)*args;
    for (int i = 0; environment && environment[i]; i++)
        env[i] = (char *)environment[i];
    config_fini(&c);
    return config_load(&c, argc, argv, env, &e);
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void load_good(const char *const *args, const char *const *environment)
{
    if (!load(args, environment))
        fail_msg("%s", e.texts[0]);
}

static bool told(const char *part)
{
    for (uint32_t i = 0; i < e.count; i++)
        if (strstr(e.texts[i], part))
            return true;
    return false;
}

static void assert_told(const char *part)
{
    if (!told(part))
        fail_msg("not told: %s; first of %u: %s", part, e.count, e.count ? e.texts[0] : "none");
}

static bool load_yaml(const char *text)
{
    file_write(text);
    return load(ARGS("--config", path), NULL);
}

static void defaults_are_those_of_the_parts(void **state)
{
    (void)state;
    load_good(NULL, NULL);
    assert_int_equal(e.count, 0);
    struct node_options mine, theirs;
    config_to_node(&c, 16, &mine);
    node_options_default(&theirs);
    assert_string_equal(mine.folder, "/var/lib/holdfast");
    mine.folder = NULL;
    // Field by field, as padding may differ.
#define SAME(field) assert_int_equal(mine.core.field, theirs.core.field)
    SAME(cells_max);
    SAME(ids_max);
    SAME(blocks_max);
    SAME(workers_max);
    SAME(window_ms);
    SAME(window_min_ms);
    SAME(skew_ms);
    SAME(ttl_max_ms);
    SAME(restart_grace_ms);
    SAME(allow_v4);
    SAME(accept_clock);
    SAME(huge_pages);
    SAME(prefault);
    SAME(checkpoint_bytes);
    SAME(checkpoint_ms);
    SAME(lag_max_bytes);
    SAME(archive);
    SAME(retention_ms);
    SAME(journal.segment_bytes);
    SAME(journal.segments_max);
    SAME(journal.segments_ready);
    SAME(journal.group_bytes_max);
    SAME(journal.buffer_bytes);
    SAME(journal.buffers_per_producer);
    SAME(journal.mode);
    SAME(journal.group_ms);
    SAME(journal.space_margin_blocks);
    struct rpc_limits l;
    config_to_rpc(&c, &l);
#define X(name, value, help) assert_int_equal(l.name, value);
    RPC_LIMIT_TABLE(X)
#undef X
}

static void every_option_reaches_its_part(void **state)
{
    (void)state;
    load_good(ARGS("--data-folder=/d", "--durability", "group:20ms", "--cells-max=7",
                   "--id-window=20min", "--id-skew=1s", "--ttl-max=1h", "--no-archive",
                   "--grpc-pollers=3", "--grpc-message-bytes-max=1MiB", "--allow-v4",
                   "--checkpoint-lag-max=2GiB", "--archive-retention=30d"),
              NULL);
    struct node_options n;
    struct rpc_limits l;
    config_to_node(&c, 5, &n);
    config_to_rpc(&c, &l);
    assert_string_equal(n.folder, "/d");
    assert_int_equal(n.core.workers_max, 5);
    assert_int_equal(n.core.journal.mode, JOURNAL_GROUP);
    assert_int_equal(n.core.journal.group_ms, 20);
    assert_int_equal(n.core.cells_max, 7);
    assert_int_equal(n.core.window_ms, 20 * 60000);
    assert_int_equal(n.core.skew_ms, 1000);
    assert_int_equal(n.core.ttl_max_ms, 3600000);
    assert_false(n.core.archive);
    assert_true(n.core.allow_v4);
    assert_int_equal(n.core.lag_max_bytes, UINT64_C(2) << 30);
    assert_int_equal(n.core.retention_ms, UINT64_C(30) * 86400000);
    assert_int_equal(l.pollers, 3);
    assert_int_equal(l.message_bytes_max, 1 << 20);
}

static void flag_over_environment_over_file_over_default(void **state)
{
    (void)state;
    file_write("ids_max: 10\ncells_max: 10\nblocks_max: 10\n");
    load_good(ARGS("--config", path, "--ids-max", "30"),
              ARGS("HOLDFAST_IDS_MAX=20", "HOLDFAST_CELLS_MAX=20", "PATH=/bin"));
    assert_int_equal(c.ids_max, 30);
    assert_int_equal(c.cells_max, 20);
    assert_int_equal(c.blocks_max, 10);
    assert_int_equal(c.segments_max, 64);
    assert_int_equal(c.sources[CONFIG_ids_max], CONFIG_FLAG);
    assert_int_equal(c.sources[CONFIG_cells_max], CONFIG_ENVIRONMENT);
    assert_int_equal(c.sources[CONFIG_blocks_max], CONFIG_FILE);
    assert_int_equal(c.lines[CONFIG_blocks_max], 3);
    assert_int_equal(c.sources[CONFIG_segments_max], CONFIG_DEFAULT);
}

static void the_file_may_be_named_by_the_environment(void **state)
{
    (void)state;
    char name[100];
    snprintf(name, sizeof name, "HOLDFAST_CONFIG=%s", path);
    file_write("# nothing but\n\nids_max: 11 # a comment\n");
    load_good(NULL, ARGS(name));
    assert_int_equal(c.ids_max, 11);
    file_write("# nothing at all\n");
    load_good(NULL, ARGS(name));
    assert_false(load(ARGS("--config=/nowhere/x.yaml"), ARGS(name)));
    assert_told("/nowhere/x.yaml is not there");
}

static void everything_wrong_is_told_at_once_with_its_line(void **state)
{
    (void)state;
    file_write("cells_max: many\n"
               "idsmax: 3\n"
               "blocks_max: 10\n"
               "blocks_max: 11\n"
               "id_window: 60\n"
               "archive: yes\n"
               "listen: [a, b]\n"
               "segment_bytes: 64MB\n"
               "ttl_max: 46d\n"
               "cells-max: 3\n"
               "tls_key:\n"
               "? [x]\n"
               ": 1\n"
               "durability: group:5\n");
    assert_false(load(ARGS("--config", path, "--ids-max=-1", "--colour=red", "stray"),
                      ARGS("HOLDFAST_LOG_LEVEL=loud")));
    static const char *const parts[] = {
        ":1: cells_max: 'many' is no number",
        ":2: idsmax: no such option",
        ":4: blocks_max is there twice, first in line 3",
        ":5: id_window: '60' needs a unit",
        ":6: archive: 'yes' is neither true nor false",
        ":7: listen: must be a single value",
        ":8: segment_bytes: '64MB' needs a unit of KiB",
        ":9: ttl_max: '46d' is out of range: 1s .. 45d",
        ":10: cells-max: no such option",
        ":11: tls_key: needs a value",
        ":12: a key must be",
        ":14: durability: '5' needs a unit",
        "--ids-max: '-1' is no number",
        "--colour=red: no such option",
        "stray: options begin with --",
        "HOLDFAST_LOG_LEVEL: 'loud' is none of",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_told(parts[i]);
    assert_int_equal(e.count, sizeof parts / sizeof *parts);
    assert_int_equal(e.warnings, 0);
}

static void no_more_is_told_than_there_is_room_for(void **state)
{
    (void)state;
    char text[20 * (CONFIG_ERRORS_MAX + 6)];
    size_t n = 0;
    for (int i = 0; i < CONFIG_ERRORS_MAX + 5; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "nonsense%d: 1\n", i);
    assert_false(load_yaml(text));
    assert_int_equal(e.count, CONFIG_ERRORS_MAX);
    assert_int_equal(e.left_out, 5);
}

static void what_is_no_yaml_is_told_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"ids_max: 1\n\tcells_max: 2\n", ":2: no YAML"},
        {"ids_max: 'open\n", "no YAML"},
        {"- ids_max\n", ":1: must be lines of"},
        {"just text\n", ":1: must be lines of"},
        {"ids_max: 1\n---\nids_max: 2\n", ":3: a second document"},
        {"ids_max: \"1\\0\"\n", "has a NUL"},
        {"ids_max: *nothing\n", ":1: no YAML"},
        {"listen: \"a\\nb:1\"\n", "control character"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(load_yaml(cases[i].text));
        assert_told(cases[i].part);
    }
    char deep[30001];
    memset(deep, '[', 30000);
    deep[30000] = 0;
    assert_false(load_yaml(deep));
    assert_told("no YAML");
}

static void numbers_have_units_and_bounds(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        uint64_t value; // of the option; 0: refused
    } sizes[] = {
        {"--checkpoint-bytes=1MiB", 1 << 20},
        {"--checkpoint-bytes=1048576", 1 << 20},
        {"--checkpoint-bytes=3GiB", UINT64_C(3) << 30},
        {"--checkpoint-bytes=1023KiB", 0},
        {"--checkpoint-bytes=1 MiB", 0},
        {"--checkpoint-bytes=1.5GiB", 0},
        {"--checkpoint-bytes=1mib", 0},
        {"--checkpoint-bytes=99999999999999999999", 0},
        {"--checkpoint-bytes=18014398509481984KiB", 0}, // 2^64 bytes
        {"--checkpoint-bytes=", 0},
        {"--checkpoint-bytes=MiB", 0},
        {"--checkpoint-bytes=0x100000", 0},
        {"--checkpoint-bytes=+1048576", 0},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_int_equal(load(ARGS(sizes[i].flag), NULL), sizes[i].value != 0);
        if (sizes[i].value != 0)
            assert_int_equal(c.checkpoint_bytes, sizes[i].value);
    }
    load_good(ARGS("--restart-grace=0", "--id-window=2d", "--ttl-max=90min", "--id-skew=250ms"),
              NULL);
    assert_int_equal(c.restart_grace_ms, 0);
    assert_int_equal(c.window_ms, 2 * 86400000);
    assert_int_equal(c.ttl_max_ms, 5400000);
    assert_int_equal(c.skew_ms, 250);
    assert_false(load(ARGS("--cells-max=1MiB"), NULL));
    assert_false(load(ARGS("--durability=group:0"), NULL));
    assert_false(load(ARGS("--durability=group:11s"), NULL));
    assert_false(load(ARGS("--durability=fast"), NULL));
    load_good(ARGS("--durability=none"), NULL);
    assert_int_equal(c.durability.mode, JOURNAL_NONE);
}

static void flags_in_all_their_forms(void **state)
{
    (void)state;
    load_good(ARGS("--no-huge-pages", "--prefault=true", "--archive=false", "--allow_v4"), NULL);
    assert_false(c.huge_pages);
    assert_true(c.prefault);
    assert_false(c.archive);
    assert_true(c.allow_v4);
    assert_false(load(ARGS("--no-huge-pages=true"), NULL));
    assert_false(load(ARGS("--no-ids-max"), NULL));
    assert_false(load(ARGS("--ids-max"), NULL));
    assert_told("--ids-max needs a value");
    assert_false(load(ARGS("--ids-max=1", "--ids-max=1"), NULL));
    assert_told("--ids-max is given twice");
    assert_false(load(ARGS("--"), NULL));
    assert_false(load(ARGS("-x"), NULL));
}

static void an_unknown_name_in_the_environment_is_a_warning(void **state)
{
    (void)state;
    load_good(NULL, ARGS("HOLDFAST_SERVICE_HOST=10.0.0.1", "HOLDFAST_ids_max=3", "HOLDFAST_=1",
                         "HOLDFAST_ADDRESS=x", "HOLDFAST_CLIENT_KEY_FILE=x")); // the tools'
    assert_int_equal(e.warnings, 3);
    assert_int_equal(c.ids_max, 4000000);
    assert_told("HOLDFAST_SERVICE_HOST");
}

static void outside_loopback_needs_tls_and_known_callers(void **state)
{
    (void)state;
    static const struct {
        const char *args[5];
        bool good;
    } cases[] = {
        {{"--listen=0.0.0.0:1"}, false},
        {{"--listen=[::]:1"}, false},
        {{"--listen=shop.example:1"}, false},
        {{"--listen=127.0.0.1.example:1"}, false},
        {{"--listen=[::ffff:10.0.0.1]:1"}, false},
        {{"--listen=0.0.0.0:1", "--insecure"}, true},
        {{"--listen=127.8.9.1:1"}, true},
        {{"--listen=[::1]:0"}, true},
        {{"--listen=[::ffff:127.0.0.1]:0"}, true},
        {{"--listen=localhost:1"}, true},
        {{"--listen=unix:/run/holdfast.sock"}, true},
        {{"--listen=0.0.0.0:1", "--tls-certificate=c", "--tls-key=k"}, false},
        {{"--listen=0.0.0.0:1", "--tls-certificate=c", "--tls-key=k", "--key-file=f"}, true},
        {{"--listen=0.0.0.0:1", "--tls-certificate=c", "--tls-key=k", "--tls-client-ca=a"}, true},
        {{"--listen=0.0.0.0:1", "--key-file=f"}, false},
        {{"--tls-certificate=c"}, false},
        {{"--tls-key=k"}, false},
        {{"--tls-client-ca=a"}, false},
        {{"--listen=127.0.0.1"}, false},
        {{"--listen=127.0.0.1:"}, false},
        {{"--listen=127.0.0.1:65536"}, false},
        {{"--listen=:7420"}, false},
        {{"--listen=::1:7420"}, false},
        {{"--listen=[::1]7420"}, false},
        {{"--admin-listen=0.0.0.0:1"}, false},
        {{"--admin-listen=0.0.0.0:1", "--insecure"}, false},
        {{"--admin-listen=0.0.0.0:1", "--admin-public"}, true},
        {{"--admin-listen=unix:/x"}, false},
        {{"--admin-listen="}, true},
        {{"--admin-timeout=1500ms"}, false},
        {{"--packet-listen=10.0.0.2:1"}, true},
        {{"--packet-listen=10.0.0.2:1", "--no-packet-tags"}, false},
        {{"--packet-listen=10.0.0.2:1", "--no-packet-tags", "--insecure"}, true},
        {{"--packet-listen=127.0.0.1:1", "--no-packet-tags"}, true},
        {{"--packet-listen=0.0.0.0:1"}, false},
        {{"--packet-listen=0.0.0.0:1", "--packet-advertise=10.0.0.2:1"}, true},
        {{"--packet-listen=0.0.0.0:1", "--packet-advertise=0:0::0:1"}, false},
        {{"--packet-listen=0.0.0.0:1", "--packet-advertise=[0:0::0]:1"}, false},
        {{"--packet-listen=0.0.0.0:1", "--packet-advertise=[fd00::2]:0"}, true},
        {{"--packet-listen=0.0.0.0:1", "--packet-advertise=shop.example:1"}, false},
        {{"--packet-listen=10.0.0.2:1", "--packet-advertise=localhost:1"}, false},
        {{"--packet-listen=localhost:1"}, false},
        {{"--packet-listen=unix:/x"}, false},
        {{"--packet-listen=10.0.0.2:1", "--packet-advertise=unix:/x"}, false},
        {{"--packet-eal=-x", "--packet-listen=10.0.0.2:1"}, true},
        {{"--packet-eal=-x", "--packet-listen=10.0.0.2:0"}, false},
        {{"--packet-eal=-x", "--packet-listen=localhost:1"}, false},
        {{"--packet-eal=-x", "--packet-listen=[fd00::2]:1", "--packet-vlan=7"}, true},
        {{"--packet-eal=-x", "--packet-listen=[ff02::2]:1"}, false},
        {{"--packet-vlan=7", "--packet-listen=10.0.0.2:1"}, false},
        {{"--packet-also=fd00::2", "--packet-listen=10.0.0.2:1"}, false},
        {{"--packet-also=fd00::2", "--packet-listen=10.0.0.2:1", "--packet-eal=-x"}, true},
        {{"--packet-also=10.0.0.3", "--packet-listen=10.0.0.2:1", "--packet-eal=-x"}, false},
        {{"--packet-also=10.0.0.3", "--packet-listen=[fd00::2]:1", "--packet-eal=-x"}, true},
        {{"--listen=127.0.0.1:4", "--admin-listen=127.0.0.1:4"}, false},
        {{"--listen=127.0.0.1:4", "--admin-listen=0.0.0.0:4", "--admin-public"}, false},
        {{"--listen=127.0.0.1:4", "--admin-listen=127.0.0.2:4"}, true},
        {{"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"}, true},
        {{"--packet-listen=127.0.0.1:1", "--packet-cores=0"}, true},
        {{"--packet-listen=127.0.0.1:1", "--packet-cores=0", "--packet-queues=2"}, false},
        {{"--packet-listen=127.0.0.1:1", "--packet-cores=9999999"}, false},
        {{"--packet-listen=127.0.0.1:1", "--packet-cores=0,"}, false},
        {{"--packet-listen=127.0.0.1:1", "--packet-cores=,0"}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (load(cases[i].args, NULL) != cases[i].good)
            fail_msg("case %zu: %s: %s", i, cases[i].args[0], e.count ? e.texts[0] : "taken");
    // What cannot be read lies neither here nor there.
    assert_false(load(ARGS("--listen=127.0.0.1:99999", "--admin-listen=x"), NULL));
    assert_int_equal(e.count, 2);
}

static void yaml_has_words_for_nothing(void **state)
{
    (void)state;
    assert_false(load_yaml("data_folder: ~\nkey_file: null\n"));
    assert_told(":1: data_folder: needs a value");
    assert_told(":2: key_file: needs a value");
    assert_true(load_yaml("data_folder: '~'\n"));
}

static void relations_between_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *args[4], *part;
    } cases[] = {
        {{"--id-window=1min", "--id-window-min=2min"}, "id_window_min: must be at most"},
        {{"--segment-bytes=8388609"}, "segment_bytes: must be a multiple"},
        {{"--segment-bytes=1MiB"}, "segment_bytes: must be 64KiB larger"},
        {{"--group-bytes-max=65537"}, "group_bytes_max: must be a multiple"},
        {{"--buffer-bytes=65537"}, "buffer_bytes: must be a multiple"},
        {{"--buffer-bytes=2MiB"}, "buffer_bytes: must be at most"},
        {{"--segments-max=3", "--segments-ready=3"}, "segments_ready: must be less"},
        {{"--segments-max=3", "--segment-bytes=4MiB", "--space-margin-blocks=65536"},
         "space_margin_blocks: must be at most"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_false(load(cases[i].args, NULL));
        assert_told(cases[i].part);
        assert_int_equal(e.count, 1);
    }
}

static void commands_are_read_whatever_else_is_there(void **state)
{
    (void)state;
    load_good(ARGS("--check-config"), NULL);
    assert_int_equal(c.command, CONFIG_CHECK);
    load_good(ARGS("--check-config", "--print-config"), NULL);
    assert_int_equal(c.command, CONFIG_PRINT);
    load_good(ARGS("--listen=0.0.0.0:1", "-h"), ARGS("HOLDFAST_IDS_MAX=x"));
    assert_int_equal(c.command, CONFIG_HELP);
    load_good(ARGS("-V"), NULL);
    assert_int_equal(c.command, CONFIG_VERSION);
}

static char *written(void (*write)(FILE *out))
{
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    write(f);
    fclose(f);
    return text;
}

static void print_loaded(FILE *out)
{
    config_print(&c, out);
}

static void what_is_printed_says_the_same_when_loaded(void **state)
{
    (void)state;
    load_good(ARGS("--data-folder=it's here", "--durability=group:3ms", "--ids-max=12",
                   "--no-archive", "--log-level=warn", "--segment-bytes=100MiB"),
              ARGS("HOLDFAST_ID_WINDOW=36h"));
    char *first = written(print_loaded);
    assert_non_null(strstr(first, "ids_max: 12  # flag"));
    assert_non_null(strstr(first, "id_window: 36h  # environment"));
    assert_non_null(strstr(first, "data_folder: 'it''s here'  # flag"));
    assert_non_null(strstr(first, "cells_max: 1000000  # default"));
    if (!load_yaml(first))
        fail_msg("%s", e.texts[0]);
    assert_string_equal(c.data_folder, "it's here");
    assert_int_equal(c.durability.group_ms, 3);
    assert_int_equal(c.window_ms, 36 * 3600000);
    assert_int_equal(c.segment_bytes, 100 << 20);
    assert_int_equal(c.log_level, HF_LOG_WARN);
    assert_false(c.archive);
    for (unsigned id = 0; id < CONFIG_OPTION_COUNT; id++)
        assert_int_equal(c.sources[id], CONFIG_FILE);
    free(first);
}

static void help_names_every_option_within_100_columns(void **state)
{
    (void)state;
    char *help = written(config_help);
    static const char *const keys[] = {
#define G(title)
#define X(field, key, ...) key,
        CONFIG_TABLE(G, X)
#undef X
#undef G
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char flag[80];
        snprintf(flag, sizeof flag, "--%s ", keys[i]);
        for (char *p = flag; *p; p++)
            *p = *p == '_' ? '-' : *p;
        if (!strstr(help, flag))
            fail_msg("%s is not in the help", flag);
    }
    size_t column = 0;
    for (const char *p = help; *p; p++) {
        column = *p == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    free(help);
}

static char *tree_file(const char *name)
{
    char full[4096];
    snprintf(full, sizeof full, "%s/%s", source_root, name);
    FILE *f = fopen(full, "r");
    if (!f)
        fail_msg("%s is not there", full);
    char *text = calloc(1, 1 << 20);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void the_page_of_options_is_what_the_table_says(void **state)
{
    (void)state;
    char *page = tree_file("docs/configuration.md"), *made = written(config_document);
    if (strcmp(page, made) != 0)
        fail_msg("docs/configuration.md: make it again: holdfastd --document-config");
    free(page);
    free(made);
}

static void the_packaged_example_loads(void **state)
{
    (void)state;
    char full[4096];
    snprintf(full, sizeof full, "%s/packaging/holdfast.yaml", source_root);
    load_good(ARGS("--config", full), NULL);
    assert_int_equal(e.count, 0);
    assert_int_equal(c.cells_max, 200000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_parts),
        cmocka_unit_test(every_option_reaches_its_part),
        cmocka_unit_test(flag_over_environment_over_file_over_default),
        cmocka_unit_test(the_file_may_be_named_by_the_environment),
        cmocka_unit_test(everything_wrong_is_told_at_once_with_its_line),
        cmocka_unit_test(no_more_is_told_than_there_is_room_for),
        cmocka_unit_test(what_is_no_yaml_is_told_with_its_line),
        cmocka_unit_test(numbers_have_units_and_bounds),
        cmocka_unit_test(flags_in_all_their_forms),
        cmocka_unit_test(an_unknown_name_in_the_environment_is_a_warning),
        cmocka_unit_test(outside_loopback_needs_tls_and_known_callers),
        cmocka_unit_test(yaml_has_words_for_nothing),
        cmocka_unit_test(relations_between_numbers),
        cmocka_unit_test(commands_are_read_whatever_else_is_there),
        cmocka_unit_test(what_is_printed_says_the_same_when_loaded),
        cmocka_unit_test(help_names_every_option_within_100_columns),
        cmocka_unit_test(the_page_of_options_is_what_the_table_says),
        cmocka_unit_test(the_packaged_example_loads),
    };
    if (argc != 2)
        return 2;
    source_root = argv[1];
    int failed = cmocka_run_group_tests(tests, file_make, file_remove);
    config_fini(&c);
    return failed;
}
