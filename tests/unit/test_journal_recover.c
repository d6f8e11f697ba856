// What recovery makes of every state that a crash, a disk or an operator can leave behind.
#include "unit/journal_world.h"

#define ok(call)  assert_int_equal((call), HF_OK)
#define SEGMENT_1 "journal-000000000001.hfj"
#define SEGMENT_2 "journal-000000000002.hfj"
#define SEGMENT_3 "journal-000000000003.hfj"

// create and recover; the journal is open afterwards, not started.
static enum hf_status found(struct world *w, uint64_t after)
{
    world_kill(w);
    ok(world_create(w));
    return world_recover(w, after);
}

static void assert_damaged(struct world *w, uint64_t after, const char *where, uint64_t offset,
                           const char *why)
{
    assert_int_equal(found(w, after), HF_DAMAGED);
    if (!strstr(w->report.why, why))
        fail_msg("\"%s\" does not say \"%s\"", w->report.why, why);
    assert_string_equal(w->report.where, where);
    assert_int_equal(w->report.offset, offset);
    // The same for the tool that looks without locking or changing.
    struct journal_report report;
    uint64_t changes = w->disk->changes;
    if (after == 0) {
        assert_int_equal(journal_inspect(&w->disk->base, NULL, NULL, NULL, &report), HF_DAMAGED);
        assert_string_equal(report.why, w->report.why);
        assert_string_equal(report.where, w->report.where);
    }
    assert_int_equal(w->disk->changes, changes);
}

// n records, each in a block of its own, in segments of 7.
static void lone(struct world *w, uint32_t n)
{
    world_init(w, 1);
    world_open(w);
    world_append_lone(w, n, 0);
}

static void an_empty_folder_is_fine(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    assert_int_equal(w.report.last_lsn, 0);
    world_reopen(&w);
    assert_int_equal(w.report.last_lsn, 0);
    assert_int_equal(w.seen, 0);
    ok(world_drain(&w, 0));
    assert_damaged(&w, 3, SEGMENT_1, HF_BLOCK, "the checkpoint is of record 3");
    world_fini(&w);
}

static void the_walk_begins_after_the_checkpoint(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 20);
    for (uint64_t after = 0; after <= 20; after++) {
        ok(found(&w, after));
        assert_int_equal(w.seen, 20 - after);
        if (after < 20)
            assert_int_equal(w.first_seen, after + 1);
        assert_int_equal(w.report.records, 20 - after);
        assert_int_equal(journal_durable(w.j), 20);
    }
    assert_damaged(&w, 21, SEGMENT_3, 7 * HF_BLOCK, "but the journal ends at 20");
    world_fini(&w);
}

static enum hf_status refuse_third(void *ctx, uint64_t lsn, uint64_t time_ms,
                                   const struct journal_record *r)
{
    (void)ctx;
    (void)time_ms;
    (void)r;
    return lsn == 3 ? HF_FULL : HF_OK;
}

static void a_visitor_ends_the_walk(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 5);
    world_kill(&w);
    ok(world_create(&w));
    assert_int_equal(journal_recover(w.j, 0, refuse_third, NULL, NULL, &w.report), HF_FULL);
    world_fini(&w);
}

static void torn(uint32_t cut_blocks, bool header_too)
{
    struct world w;
    world_init(&w, 1);
    w.o.group_bytes_max = 3 * HF_BLOCK;
    world_open(&w);
    world_append_lone(&w, 2, 0);
    assert_true(world_push(&w, 5, 2000)); // 3 blocks at 3
    ok(world_drain(&w, 0));
    const struct journal_group_header *h = world_group(&w, SEGMENT_1, 3 * HF_BLOCK);
    assert_int_equal(journal_group_blocks(h->body_bytes), 3);
    if (header_too)
        assert_true(fake_storage_zero(w.disk, SEGMENT_1, 3 * HF_BLOCK + 64, 448));
    else
        assert_true(fake_storage_zero(w.disk, SEGMENT_1, (6 - cut_blocks) * HF_BLOCK,
                                      cut_blocks * HF_BLOCK));
    ok(found(&w, 0));
    assert_int_equal(w.seen, 2);
    assert_int_equal(w.report.torn_tail, cut_blocks < 3 || header_too);
    if (w.report.torn_tail) {
        assert_string_equal(w.report.where, SEGMENT_1);
        assert_int_equal(w.report.offset, 3 * HF_BLOCK);
        assert_int_not_equal(w.report.why[0], 0);
    }
    // The cut is durable, and appending goes on right there.
    assert_int_equal(world_group(&w, SEGMENT_1, 3 * HF_BLOCK)->magic, 0);
    ok(journal_start(w.j));
    w.p = journal_producer_create(w.j);
    world_append_lone(&w, 1, 0);
    h = world_group(&w, SEGMENT_1, 3 * HF_BLOCK);
    assert_int_equal(h->number, 3);
    assert_int_equal(h->epoch, 2);
    assert_int_equal(h->first_lsn, 3);
    // What is left of the torn group behind it is neither data nor damage.
    world_reopen(&w);
    assert_int_equal(w.seen, 3);
    assert_false(w.report.torn_tail);
    world_append_lone(&w, 9, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 12);
    world_fini(&w);
}

static void a_torn_tail_is_cut_and_written_over(void **state)
{
    (void)state;
    for (uint32_t blocks = 1; blocks <= 3; blocks++)
        torn(blocks, false);
    torn(1, true);
}

static void padding_that_is_not_zero_is_a_torn_tail(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 3);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_1, 3 * HF_BLOCK + 4000, 1));
    ok(found(&w, 0));
    assert_int_equal(w.seen, 2);
    assert_true(w.report.torn_tail);
    world_fini(&w);
}

static void a_torn_group_that_began_a_segment_is_cut_there(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 8);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_2, HF_BLOCK + 140, 1));
    ok(found(&w, 0));
    assert_int_equal(w.seen, 7);
    assert_true(w.report.torn_tail);
    assert_string_equal(w.report.where, SEGMENT_2);
    ok(journal_start(w.j));
    w.p = journal_producer_create(w.j);
    world_append_lone(&w, 3, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 10);
    world_fini(&w);
}

// The torn group did not fit what is left of a segment; the next one does.
static void the_cut_goes_back_to_the_segment_before(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 6);                              // one block left
    assert_true(world_push(&w, 1, HF_BLOCK)); // takes two: begins segment 2
    ok(world_drain(&w, 0));
    assert_int_equal(world_group(&w, SEGMENT_2, HF_BLOCK)->number, 7);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_2, HF_BLOCK + 140, 1));
    ok(found(&w, 0));
    assert_int_equal(w.seen, 6);
    ok(journal_start(w.j));
    w.p = journal_producer_create(w.j);
    world_append_lone(&w, 1, 0); // into segment 1
    assert_int_equal(world_group(&w, SEGMENT_1, 7 * HF_BLOCK)->number, 7);
    world_reopen(&w); // segment 2 holds nothing of the torn one that could confuse
    assert_int_equal(w.seen, 7);
    assert_false(w.report.torn_tail);
    world_append_lone(&w, 3, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 10);
    world_fini(&w);
}

static void damage_in_the_middle_is_located(void **state)
{
    (void)state;
    const struct {
        uint64_t lsn, byte;
        const char *segment;
    } cases[] = {
        {3, 140, SEGMENT_1},                       // body
        {3, 60, SEGMENT_1},                        // header
        {3, 0, SEGMENT_1},                         // magic
        {3, 4000, SEGMENT_1}, {7, 140, SEGMENT_1}, // last of its segment
        {8, 140, SEGMENT_2},                       // first of its segment
        {14, 140, SEGMENT_2},                      // just before the last
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        lone(&w, 16);
        uint64_t offset = ((cases[i].lsn - 1) % 7 + 1) * HF_BLOCK;
        assert_true(fake_storage_flip_bit(w.disk, cases[i].segment, offset + cases[i].byte, 2));
        assert_damaged(&w, 0, cases[i].segment, offset, "is unreadable, but group");
        world_fini(&w);
    }
}

static void the_first_header_of_a_middle_segment_is_damage(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 16);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_2, HF_BLOCK + 60, 2));
    assert_damaged(&w, 0, SEGMENT_2, HF_BLOCK, "first group is unreadable");
    world_fini(&w);
}

static void damage_before_the_checkpoint_does_not_stop_a_start(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 16);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_1, 3 * HF_BLOCK + 140, 2));
    ok(found(&w, 10));
    assert_int_equal(w.seen, 6);
    // But whoever reads it is told.
    struct journal_record *r = malloc(HF_RECORD_BYTES_MAX);
    assert_int_equal(journal_read_one(w.j, 3, r, HF_RECORD_BYTES_MAX), HF_DAMAGED);
    ok(journal_read_one(w.j, 2, r, HF_RECORD_BYTES_MAX));
    assert_int_equal(r->id.hi, 2);
    free(r);
    world_fini(&w);
}

static void a_missing_segment_is_damage(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 20);
    ok(w.disk->base.ops->unlink(&w.disk->base, SEGMENT_2));
    assert_damaged(&w, 0, SEGMENT_3, 0, "segment 2 is missing");
    assert_damaged(&w, 19, SEGMENT_3, 0, "segment 2 is missing");
    world_fini(&w);
}

static void missing_first_records_are_damage(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 20);
    ok(w.disk->base.ops->unlink(&w.disk->base, SEGMENT_1));
    assert_damaged(&w, 5, SEGMENT_2, HF_BLOCK, "records 6 to 7 are gone");
    ok(found(&w, 7));
    assert_int_equal(w.seen, 13);
    // Only the ready segment is left.
    ok(w.disk->base.ops->unlink(&w.disk->base, SEGMENT_2));
    ok(w.disk->base.ops->unlink(&w.disk->base, SEGMENT_3));
    assert_damaged(&w, 20, "journal-000000000004.hfj", HF_BLOCK, "no group is readable");
    world_fini(&w);
}

static void a_bad_segment_header_is_damage(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 10);
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_1, 4000, 2));
    assert_damaged(&w, 0, SEGMENT_1, 0, "header is unreadable");
    assert_true(fake_storage_flip_bit(w.disk, SEGMENT_1, 4000, 2));
    assert_true(fake_storage_misdirect(w.disk, SEGMENT_1, 0, SEGMENT_2, 0, HF_BLOCK));
    assert_damaged(&w, 0, SEGMENT_2, 0, "another number than its name");
    world_fini(&w);
}

static void header_write(struct world *w, uint32_t version, struct hf_uuid engine, uint64_t bytes)
{
    unsigned char block[HF_BLOCK];
    journal_segment_header_fill(block, engine, 1, bytes);
    struct journal_segment_header *h = (struct journal_segment_header *)block;
    h->version = version;
    h->crc = journal_header_crc(block, HF_BLOCK);
    world_write(w, SEGMENT_1, 0, block, HF_BLOCK);
}

static void segments_of_other_engines_sizes_and_versions(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 3);
    struct hf_uuid other = {1, 2};
    header_write(&w, 1, other, w.o.segment_bytes);
    assert_damaged(&w, 0, SEGMENT_1, 0, "belongs to another engine");
    header_write(&w, 1, world_engine, 9 * HF_BLOCK);
    assert_damaged(&w, 0, SEGMENT_1, 0, "size is not the one");
    header_write(&w, 2, world_engine, w.o.segment_bytes);
    assert_int_equal(found(&w, 0), HF_TOO_NEW);
    assert_string_equal(w.report.where, SEGMENT_1);
    header_write(&w, 1, world_engine, w.o.segment_bytes);
    ok(found(&w, 0));
    assert_true(fake_storage_truncate(w.disk, SEGMENT_1, 5 * HF_BLOCK));
    assert_damaged(&w, 0, SEGMENT_1, 0, "size is not the one");
    assert_true(fake_storage_truncate(w.disk, SEGMENT_1, HF_BLOCK));
    assert_damaged(&w, 0, SEGMENT_1, 0, "the file ends too early");
    world_fini(&w);
}

// Rewrites a group's header after `edit`, with a right checksum.
static void group_edit(struct world *w, const char *segment, uint64_t offset,
                       void (*edit)(struct journal_group_header *h))
{
    unsigned char block[HF_BLOCK];
    memcpy(block, world_group(w, segment, offset), HF_BLOCK);
    struct journal_group_header *h = (struct journal_group_header *)block;
    edit(h);
    h->crc = journal_header_crc(h, JOURNAL_GROUP_HEADER);
    world_write(w, segment, offset, block, HF_BLOCK);
}
static void newer(struct journal_group_header *h)
{
    h->version = 2;
}
static void lower_epoch(struct journal_group_header *h)
{
    h->epoch = 1;
}
static void other_engine(struct journal_group_header *h)
{
    h->engine_id.lo++;
}
static void other_chain(struct journal_group_header *h)
{
    h->previous++;
}
static void other_lsn(struct journal_group_header *h)
{
    h->first_lsn++;
}
static void lower_number(struct journal_group_header *h)
{
    h->number--;
}
static void earlier_time(struct journal_group_header *h)
{
    h->time_ms -= 1000;
}
static void more_records(struct journal_group_header *h)
{
    h->records++;
}
static void long_body(struct journal_group_header *h)
{
    h->body_bytes = 7 * HF_BLOCK;
}

static void a_newer_group_is_too_new(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 5);
    group_edit(&w, SEGMENT_1, 3 * HF_BLOCK, newer);
    assert_int_equal(found(&w, 0), HF_TOO_NEW);
    assert_int_equal(w.report.offset, 3 * HF_BLOCK);
    world_fini(&w);
}

static void a_lower_epoch_ends_the_journal(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 2);
    world_reopen(&w);
    world_append_lone(&w, 2, 0);
    world_reopen(&w); // epoch 3
    world_append_lone(&w, 1, 0);
    // Were the last group from the first start, a process that should be dead wrote it.
    group_edit(&w, SEGMENT_1, 5 * HF_BLOCK, lower_epoch);
    ok(found(&w, 0));
    assert_int_equal(w.seen, 4);
    assert_true(w.report.torn_tail);
    ok(journal_start(w.j));
    w.p = journal_producer_create(w.j);
    world_append_lone(&w, 1, 0);
    assert_int_equal(world_group(&w, SEGMENT_1, 5 * HF_BLOCK)->epoch, 4);
    world_reopen(&w);
    assert_int_equal(w.seen, 5);
    world_fini(&w);
}

static void a_group_that_does_not_follow_is_damage(void **state)
{
    (void)state;
    const struct {
        void (*edit)(struct journal_group_header *h);
        const char *why;
    } cases[] = {
        {other_engine, "another engine"},
        {other_chain, "does not continue the chain"},
        {other_lsn, "does not continue the record numbers"},
        {lower_number, "lower than the one before"},
        {earlier_time, "time is before"},
        {more_records, "fewer records than its header says"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w;
        lone(&w, 4);
        group_edit(&w, SEGMENT_1, 4 * HF_BLOCK, cases[i].edit);
        world_kill(&w);
        ok(world_create(&w));
        assert_int_equal(world_recover(&w, 0), HF_DAMAGED);
        assert_non_null(strstr(w.report.why, cases[i].why));
        assert_string_equal(w.report.where, SEGMENT_1);
        assert_in_range(w.report.offset, 4 * HF_BLOCK, 5 * HF_BLOCK - 1);
        world_fini(&w);
    }
    // A length that cannot be is an unfinished header, and nothing is read past the file.
    struct world w;
    lone(&w, 4);
    group_edit(&w, SEGMENT_1, 4 * HF_BLOCK, long_body);
    ok(found(&w, 0));
    assert_int_equal(w.seen, 3);
    world_fini(&w);
}

// Not a crash: the group was written whole, with a record that nobody sealed.
static void a_bad_record_in_a_whole_group_is_damage(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 1);
    struct journal_record *r = journal_reserve(w.p, 64);
    world_fill(r, 2, 64);
    r = journal_reserve(w.p, 64);
    world_fill(r, 3, 64);
    r->crc ^= 1;
    uint32_t count;
    journal_push(w.p, &count);
    ok(world_step(&w));
    assert_damaged(&w, 0, SEGMENT_1, 2 * HF_BLOCK + 128 + 64, "record's checksum is wrong");
    world_fini(&w);
}

// Payloads that are, where a block begins, byte for byte a group header that would be believed.
static void lookalike(uint64_t number, bool tear)
{
    struct world w;
    world_init(&w, 1);
    w.o.group_bytes_max = 3 * HF_BLOCK;
    w.o.buffer_bytes = 3 * HF_BLOCK;
    world_open(&w);
    world_append_lone(&w, 1, 0);
    // One record of 3 blocks at 2: the second block begins 4,096 - 128 bytes into it.
    uint32_t bytes = 2 * HF_BLOCK, count;
    struct journal_record *r = journal_reserve(w.p, bytes);
    world_fill(r, 2, bytes);
    for (uint64_t b = 0; b < 2; b++) {
        struct journal_group_header fake = {
            .magic = JOURNAL_MAGIC_GROUP,
            .version = 1,
            .engine_id = world_engine,
            .epoch = 1,
            .number = number,
            .segment = 1,
            .offset = (3 + b) * HF_BLOCK,
            .first_lsn = 9,
        };
        fake.crc = journal_header_crc(&fake, JOURNAL_GROUP_HEADER);
        uint64_t at = (b + 1) * HF_BLOCK - JOURNAL_GROUP_HEADER;
        if (at + sizeof fake <= bytes)
            memcpy((char *)r + at, &fake, sizeof fake);
    }
    journal_seal(r);
    assert_int_equal(journal_push(w.p, &count), 2);
    ok(world_drain(&w, 0));
    const struct journal_group_header *h = world_group(&w, SEGMENT_1, 2 * HF_BLOCK);
    assert_int_not_equal(h->mask, 0);
    assert_int_not_equal(world_group(&w, SEGMENT_1, 3 * HF_BLOCK)->magic, JOURNAL_MAGIC_GROUP);
    if (tear)
        assert_true(fake_storage_zero(w.disk, SEGMENT_1, 2 * HF_BLOCK, 512));
    world_reopen(&w);
    assert_int_equal(w.seen, tear ? 1 : 2);
    if (tear) { // appends in front of what looks like a header
        world_append_lone(&w, 1, 0);
        world_reopen(&w);
        assert_int_equal(w.seen, 2);
    } else {
        struct journal_record *copy = malloc(bytes);
        ok(journal_read_one(w.j, 2, copy, bytes));
        uint64_t magic;
        memcpy(&magic, (char *)copy + HF_BLOCK - JOURNAL_GROUP_HEADER, 8);
        assert_int_equal(magic, JOURNAL_MAGIC_GROUP);
        assert_int_equal(copy->crc, journal_record_crc(copy));
        free(copy);
    }
    world_fini(&w);
}

static void lookalike_headers_in_payloads_are_never_believed(void **state)
{
    (void)state;
    for (uint64_t number = 1; number <= 6; number++) {
        lookalike(number, false);
        lookalike(number, true);
    }
}

static void the_mask_avoids_every_block(void **state)
{
    (void)state;
    // All words that small masks would turn into the magic.
    enum { BLOCKS = 20 };
    unsigned char *group = calloc(BLOCKS, HF_BLOCK);
    for (uint64_t b = 1; b < BLOCKS; b++) {
        uint64_t w = JOURNAL_MAGIC_GROUP ^ (b - 1);
        memcpy(group + b * HF_BLOCK, &w, 8);
    }
    uint32_t body = BLOCKS * HF_BLOCK - JOURNAL_GROUP_HEADER;
    uint64_t mask = journal_mask_choose(group, body);
    assert_int_equal(mask, BLOCKS - 1);
    journal_mask_apply(group, body, mask);
    assert_int_equal(journal_mask_choose(group, body), 0);
    journal_mask_apply(group, body, mask);
    assert_memory_equal(group + HF_BLOCK, &(uint64_t){JOURNAL_MAGIC_GROUP}, 8);
    // A block that only padding begins is left alone.
    assert_int_equal(journal_mask_choose(group, HF_BLOCK - JOURNAL_GROUP_HEADER), 0);
    free(group);
}

static void recycled_segments_carry_stale_groups(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segments_max = 3;
    world_open(&w);
    for (uint32_t i = 1; i <= 100; i++) {
        world_append_lone(&w, 1, i > 3 ? i - 3 : 0);
        if (i % 9 == 0) {
            world_kill(&w);
            ok(world_create(&w));
            ok(world_recover(&w, i - 3));
            assert_int_equal(w.seen, 3);
            assert_false(w.report.torn_tail);
            ok(journal_start(w.j));
            w.p = journal_producer_create(w.j);
        }
    }
    char names[16][STORAGE_NAME_BYTES];
    uint32_t n = fake_storage_names(w.disk, names, 16), segments = 0;
    for (uint32_t i = 0; i < n; i++)
        segments += journal_segment_number(names[i]) != 0;
    assert_in_range(segments, 2, 3);
    assert_true(journal_segment_number(names[0]) > 10);
    world_fini(&w);
}

static void a_temporary_file_is_removed(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 3);
    struct storage *s = &w.disk->base;
    int file;
    ok(s->ops->open(s, JOURNAL_TEMP_NAME, STORAGE_WRITE | STORAGE_CREATE, &file));
    s->ops->close(s, file);
    ok(s->ops->open(s, "journal-7.hfj", STORAGE_WRITE | STORAGE_CREATE,
                    &file)); // not a name of ours
    s->ops->close(s, file);
    world_reopen(&w);
    assert_int_equal(w.seen, 3);
    assert_false(fake_storage_exists(w.disk, JOURNAL_TEMP_NAME));
    world_fini(&w);
}

// A process that ends between making a segment and syncing the folder leaves a name that only the
// page cache knows. Seen by the simulator: a later segment's name outlived it.
static void names_are_durable_before_a_start_serves(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 3);
    struct storage *s = &w.disk->base;
    ok(s->ops->sync_folder(s));
    ok(s->ops->rename(s, "journal-000000000001.hfj", "elsewhere"));
    ok(s->ops->rename(s, "elsewhere", "journal-000000000001.hfj"));
    assert_true(fake_storage_unsynced(w.disk) > 0);
    world_kill(&w);
    ok(world_create(&w));
    ok(world_recover(&w, 0));
    assert_int_equal(w.seen, 3);
    assert_int_equal(fake_storage_unsynced(w.disk), 0);
    world_fini(&w);
}

// A group that is whole but was never synced: accepted, and synced before anybody relies on it.
static void what_recovery_accepts_survives_the_next_power_loss(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w;
        world_init(&w, seed);
        w.o.mode = JOURNAL_NONE;
        world_open(&w);
        for (int i = 0; i < 9; i++) {
            assert_true(world_push(&w, 1, 64));
            ok(world_drain(&w, 0));
        }
        ok(found(&w, 0));
        assert_int_equal(w.seen, 9);
        world_stop(&w);
        fake_storage_crash(w.disk);
        fake_storage_restart(w.disk);
        ok(world_create(&w));
        ok(world_recover(&w, 0));
        assert_int_equal(w.seen, 9);
        world_fini(&w);
    }
}

static void reading_errors_are_errors_not_ends(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 12);
    for (uint64_t n = 1; n <= 4; n++) {
        world_kill(&w);
        w.disk->faults.read_error_in = n;
        enum hf_status st = world_create(&w);
        if (st == HF_OK)
            st = world_recover(&w, 0);
        assert_int_equal(st, HF_IO);
    }
    w.disk->faults.read_error_in = 0;
    ok(found(&w, 0));
    assert_int_equal(w.seen, 12);
    world_fini(&w);
}

static enum hf_status no_descriptor(struct storage *s, const char *name, unsigned flags, int *file)
{
    (void)s, (void)name, (void)flags, (void)file;
    return HF_NO_MEMORY;
}

// The housekeeper tries again later; the writer, with decided records in its hand, could not.
static void ready_segments_that_were_found_need_no_descriptor_later(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    w.o.segments_ready = 3;
    world_open(&w);
    world_append_lone(&w, 3, 0);
    world_reopen(&w);
    struct journal_space space;
    journal_space(w.j, &space);
    assert_int_equal(space.segments_free, 3);
    const struct storage_ops *real = w.disk->base.ops;
    struct storage_ops ops = *real;
    ops.open = no_descriptor;
    w.disk->base.ops = &ops;
    for (uint64_t i = 0; i < 3 * 7; i++) {
        assert_true(world_push(&w, 1, 64));
        ok(world_step(&w));
    }
    w.disk->base.ops = real;
    assert_int_equal(journal_durable(w.j), 24);
    journal_space(w.j, &space);
    assert_int_equal(space.segments_free, 0);
    world_reopen(&w);
    assert_int_equal(w.seen, 24);
    world_fini(&w);
}

static void segments_of_an_earlier_size_are_used_up_and_dropped(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 10);
    world_kill(&w);
    w.o.segment_bytes = 6 * HF_BLOCK;
    w.o.segments_max = 3;
    world_open(&w);
    assert_int_equal(w.seen, 10);
    for (uint32_t i = 11; i <= 60; i++)
        world_append_lone(&w, 1, i - 2);
    world_kill(&w);
    ok(world_create(&w));
    ok(world_recover(&w, 58));
    assert_int_equal(w.seen, 2);
    struct journal_space space;
    journal_space(w.j, &space);
    assert_in_range(space.segments, 2, 3);
    world_fini(&w);
}

static void count_group(void *ctx, const struct journal_group_info *g)
{
    struct journal_group_info *last = ctx;
    assert_int_equal(g->number, last->number + 1);
    assert_true(g->epoch >= last->epoch);
    *last = *g;
}

static void inspection_sees_what_recovery_sees(void **state)
{
    (void)state;
    struct world w;
    lone(&w, 10);
    struct journal_group_info last = {0};
    struct journal_report report;
    // While the engine runs, too.
    ok(journal_inspect(&w.disk->base, count_group, NULL, &last, &report));
    assert_int_equal(last.number, 10);
    assert_string_equal(last.segment, SEGMENT_2);
    assert_int_equal(last.offset, 3 * HF_BLOCK);
    assert_int_equal(report.records, 10);
    assert_int_equal(report.last_lsn, 10);
    w.seen = 0;
    ok(journal_inspect(&w.disk->base, NULL, world_visit, &w, &report));
    assert_int_equal(w.seen, 10);
    struct fake_storage *empty = fake_storage_create(1, NULL);
    assert_int_equal(journal_inspect(&empty->base, NULL, NULL, NULL, &report), HF_NOT_FOUND);
    storage_destroy(&empty->base);
    world_fini(&w);
}

// Found by fuzzing: a salvage that had not got as far as the segments closed a file all the same.
static void salvage_without_a_meta_file_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    world_open(&w);
    world_append_lone(&w, 3, 0);
    world_kill(&w);
    assert_true(fake_storage_zero(w.disk, JOURNAL_META_NAME, 0, 2 * HF_BLOCK));
    assert_int_equal(journal_salvage(&w.disk->base, 0, world_visit, NULL, &w), HF_DAMAGED);
    assert_int_equal(w.disk->base.ops->unlink(&w.disk->base, JOURNAL_META_NAME), HF_OK);
    assert_int_equal(journal_salvage(&w.disk->base, 0, world_visit, NULL, &w), HF_NOT_FOUND);
    assert_int_equal(w.seen, 0);
    world_fini(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(salvage_without_a_meta_file_is_refused),
        cmocka_unit_test(an_empty_folder_is_fine),
        cmocka_unit_test(the_walk_begins_after_the_checkpoint),
        cmocka_unit_test(a_visitor_ends_the_walk),
        cmocka_unit_test(a_torn_tail_is_cut_and_written_over),
        cmocka_unit_test(padding_that_is_not_zero_is_a_torn_tail),
        cmocka_unit_test(a_torn_group_that_began_a_segment_is_cut_there),
        cmocka_unit_test(the_cut_goes_back_to_the_segment_before),
        cmocka_unit_test(damage_in_the_middle_is_located),
        cmocka_unit_test(the_first_header_of_a_middle_segment_is_damage),
        cmocka_unit_test(damage_before_the_checkpoint_does_not_stop_a_start),
        cmocka_unit_test(a_missing_segment_is_damage),
        cmocka_unit_test(missing_first_records_are_damage),
        cmocka_unit_test(a_bad_segment_header_is_damage),
        cmocka_unit_test(segments_of_other_engines_sizes_and_versions),
        cmocka_unit_test(a_newer_group_is_too_new),
        cmocka_unit_test(a_lower_epoch_ends_the_journal),
        cmocka_unit_test(a_group_that_does_not_follow_is_damage),
        cmocka_unit_test(a_bad_record_in_a_whole_group_is_damage),
        cmocka_unit_test(lookalike_headers_in_payloads_are_never_believed),
        cmocka_unit_test(the_mask_avoids_every_block),
        cmocka_unit_test(recycled_segments_carry_stale_groups),
        cmocka_unit_test(a_temporary_file_is_removed),
        cmocka_unit_test(names_are_durable_before_a_start_serves),
        cmocka_unit_test(what_recovery_accepts_survives_the_next_power_loss),
        cmocka_unit_test(reading_errors_are_errors_not_ends),
        cmocka_unit_test(ready_segments_that_were_found_need_no_descriptor_later),
        cmocka_unit_test(segments_of_an_earlier_size_are_used_up_and_dropped),
        cmocka_unit_test(inspection_sees_what_recovery_sees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
