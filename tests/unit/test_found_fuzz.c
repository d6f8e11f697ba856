// Faults that fuzzing found in what reads a data folder: contents that no engine writes, under
// checksums that hold. A start says that they are damage.
#include "unit/core_world.h"

#include "core/record.h"

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    world_init(w);
    world_open(w);
    world_cell(w, "apple", 1000);
    world_kill(w);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_fini(*state);
    free(*state);
    return 0;
}

// A whole group with this record, after everything that is there.
static void append(struct world *w, const void *record, uint32_t bytes)
{
    struct journal_options o = w->options.journal;
    struct journal_report report;
    struct journal *j;
    uint32_t count;
    o.storage = w->options.storage;
    o.clock = w->options.clock;
    o.producers_max = 1;
    assert_int_equal(journal_create(&o, w->options.fresh_id, &j, &report), HF_OK);
    assert_int_equal(journal_recover(j, 0, NULL, NULL, NULL, &report), HF_OK);
    assert_int_equal(journal_start(j), HF_OK);
    struct journal_producer *p = journal_producer_create(j);
    void *at = journal_reserve(p, bytes);
    assert_non_null(at);
    memcpy(at, record, bytes);
    journal_seal(at);
    assert_int_not_equal(journal_push(p, &count), 0);
    while (journal_maintain(j, 0) == HF_OK ||
           journal_writer_step(j, report.engine_time_ms, false) == HF_OK)
        ;
    assert_int_equal(journal_durable(j), journal_appended(j));
    journal_destroy(j);
    fake_storage_kill(w->disk);
}

static void refuses(struct world *w, const char *why)
{
    assert_int_equal(world_try_open(w), HF_DAMAGED);
    assert_non_null(strstr(w->report.why, why));
}

struct named {
    struct core_record record;
    struct core_record_line line;
    uint8_t lengths[4];
    char names[4];
};

static struct named named(unsigned type, const char *name)
{
    struct named n = {.record.frame = {.units = sizeof n / 8, .type = (uint8_t)type},
                      .record.time_version = 1,
                      .record.channel = 1,
                      .record.line_count = 1,
                      .line = {1, CORE_ROLE_SCALE, 0},
                      .lengths = {(uint8_t)strlen(name), 1, 0, 0}};
    n.record.frame.flags = CORE_RECORD_TEXT;
    memcpy(n.names, name, strlen(name));
    n.names[strlen(name)] = 'x';
    return n;
}

static void a_channel_without_a_name_is_damage(void **state)
{
    struct core_record r = {.frame = {.units = sizeof r / 8, .type = CORE_RECORD_CHANNEL},
                            .time_version = 1,
                            .channel = 1};
    append(*state, &r, sizeof r); // no text at all: its name was taken from nowhere
    refuses(*state, "a channel without a valid name");
}

static void a_name_with_a_control_character_is_damage(void **state)
{
    struct named cell = named(CORE_RECORD_CELL, "\n");
    append(*state, &cell, sizeof cell);
    refuses(*state, "a cell without valid names");
}

static void a_name_as_it_should_be_is_taken(void **state)
{
    struct world *w = *state;
    struct named cell = named(CORE_RECORD_CELL, "b");
    append(w, &cell, sizeof cell);
    world_open(w);
    assert_int_equal(core_cell_count(w->core), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_channel_without_a_name_is_damage),
        TEST(a_name_with_a_control_character_is_damage),
        TEST(a_name_as_it_should_be_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
