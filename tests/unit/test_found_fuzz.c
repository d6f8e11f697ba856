// Faults that fuzzing found in what reads a data folder: contents that no engine writes, under
// checksums that hold. A start says that they are damage.
#include "unit/core_world.h"

#include "core/files_format.h"
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

static void checkpoint_take(struct world *w, char name[STORAGE_NAME_BYTES])
{
    char names[64][STORAGE_NAME_BYTES];
    world_open(w);
    fake_clock_advance_ms(&w->clock, w->options.checkpoint_ms + 1);
    while (core_step_checkpoint(w->core, core_now(w->core), 100) == HF_OK)
        ;
    world_kill(w);
    uint32_t count = fake_storage_names(w->disk, names, 64);
    name[0] = 0;
    for (uint32_t i = 0; i < count; i++)
        if (strncmp(names[i], "ckpt-", 5) == 0)
            memcpy(name, names[i], STORAGE_NAME_BYTES);
    assert_string_not_equal(name, "");
}

// The checkpoint again, with another first cell under good checksums.
static void checkpoint_forge(struct world *w, const char *name,
                             void (*change)(struct file_cell *cell))
{
    struct storage *s = &w->disk->base;
    struct chunkfile_header h;
    struct chunkfile_reader *in;
    struct chunkfile_writer *out;
    struct file_meta m;
    struct file_cell cell;
    struct core_id_file ids[CORE_ID_FILES_MAX];
    assert_int_equal(chunkfile_reader_create(s, name, CORE_CHECKPOINT_KIND, CORE_FILE_VERSION,
                                             w->options.fresh_id, &h, &in),
                     HF_OK);
    assert_int_equal(chunkfile_read(in, &m, sizeof m), HF_OK);
    assert_true(m.cells == 1 && m.channels == 0 && m.slots == 0);
    assert_int_equal(chunkfile_read(in, ids, m.id_files * sizeof *ids), HF_OK);
    assert_int_equal(chunkfile_read(in, &cell, sizeof cell), HF_OK);
    uint32_t bytes = (cell.sku_bytes + cell.location_bytes + 7u) & ~7u;
    char names[HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 8];
    assert_int_equal(chunkfile_read(in, names, bytes), HF_OK);
    assert_int_equal(chunkfile_read_end(in), HF_OK);
    chunkfile_reader_destroy(in);
    change(&cell);
    assert_int_equal(chunkfile_writer_create(s, name, &h, HF_BLOCK, &out), HF_OK);
    assert_int_equal(chunkfile_write(out, &m, sizeof m), HF_OK);
    assert_int_equal(chunkfile_write(out, ids, m.id_files * sizeof *ids), HF_OK);
    assert_int_equal(chunkfile_write(out, &cell, sizeof cell), HF_OK);
    assert_int_equal(chunkfile_write(out, names, bytes), HF_OK);
    assert_int_equal(chunkfile_finish(out), HF_OK);
}

// A record of one line and the text of two names of at most two bytes.
#define NAMED_BYTES (sizeof(struct core_record) + sizeof(struct core_record_line) + 8)
struct named {
    uint64_t words[NAMED_BYTES / 8];
};

static struct named named(unsigned type, const char *name)
{
    struct named n = {{0}};
    struct core_record *r = (struct core_record *)n.words;
    struct core_record_line *line = (struct core_record_line *)(r + 1);
    uint8_t *text = (uint8_t *)(line + 1);
    r->frame.units = sizeof n / 8;
    r->frame.type = (uint8_t)type;
    r->frame.flags = CORE_RECORD_TEXT;
    r->time_version = 1;
    r->channel = 1;
    r->line_count = 1;
    *line = (struct core_record_line){1, CORE_ROLE_SCALE, 0};
    text[0] = (uint8_t)strlen(name);
    text[1] = 1;
    memcpy(text + 4, name, strlen(name));
    text[4 + strlen(name)] = 'x';
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

static void nothing(struct file_cell *cell)
{
    (void)cell;
}
static void committed_least(struct file_cell *cell)
{
    cell->committed = INT64_MIN;
}
static void scale_of_seven(struct file_cell *cell)
{
    cell->scale = 7;
}

// The only checkpoint: the journal behind it is all there, and takes its place.
static void a_checkpoint_with_a_term_out_of_bounds_is_damage(void **state)
{
    static void (*const changes[])(struct file_cell * cell) = {committed_least, scale_of_seven};
    struct world *w = *state;
    char name[STORAGE_NAME_BYTES];
    checkpoint_take(w, name);
    checkpoint_forge(w, name, nothing);
    world_open(w);
    assert_string_equal(w->report.checkpoint, name);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        world_kill(w);
        checkpoint_forge(w, name, changes[i]);
        world_open(w);
        assert_string_equal(w->report.checkpoint, "");
        assert_int_equal(world_read(w, 0).available, 1000);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_channel_without_a_name_is_damage),
        TEST(a_name_with_a_control_character_is_damage),
        TEST(a_name_as_it_should_be_is_taken),
        TEST(a_checkpoint_with_a_term_out_of_bounds_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
