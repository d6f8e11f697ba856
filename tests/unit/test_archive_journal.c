// The archive fed by the real journal: segments are recycled as soon as they are archived, and no
// durable record is ever in neither, whatever a power loss does.
#include "base/log.h"
#include "journal/archive.h"
#include "unit/journal_world.h"

static uint64_t no_hash(const struct journal_record *r)
{
    (void)r;
    return 0;
}
static bool no_second(const struct journal_record *r, struct hf_uuid *id)
{
    (void)r;
    (void)id;
    return false;
}
static void no_erase(struct journal_record *r)
{
    (void)r;
}
static const struct archive_keys keys = {no_hash, no_hash, no_second, no_erase};

static struct archive *archive_open(struct world *w)
{
    const struct archive_options o = {
        .storage = &w->disk->base, .engine_id = world_engine, .keys = &keys, .block_bytes = 1024};
    struct archive *a;
    assert_int_equal(archive_create(&o, &a), HF_OK);
    return a;
}

static void journal_open(struct world *w, uint64_t after)
{
    assert_int_equal(world_create(w), HF_OK);
    assert_int_equal(world_recover(w, after), HF_OK);
    assert_int_equal(journal_start(w->j), HF_OK);
    w->p = journal_producer_create(w->j);
    assert_non_null(w->p);
}

// All that the archive has, then what the journal has past it: seen as one.
static uint64_t read_all(struct world *w, struct archive *a)
{
    w->seen = w->last_seen = w->first_seen = w->last_time = 0;
    assert_int_equal(archive_walk(a, 0, world_visit, w), HF_OK);
    assert_int_equal(w->last_seen, archive_lsn(a));
    struct journal_reader *r;
    assert_int_equal(journal_reader_create(w->j, w->last_seen, &r), HF_OK);
    enum hf_status status;
    while ((status = journal_reader_step(r, 3, world_visit, w)) == HF_OK)
        ;
    journal_reader_destroy(r);
    assert_int_equal(status, HF_AGAIN);
    if (w->seen)
        assert_int_equal(w->first_seen, 1);
    return w->last_seen;
}

// A file takes about 27 steps: restarts fall between them, and the journal does not fill up.
static void segments_move_into_the_archive(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    struct archive *a = archive_open(&w);
    journal_open(&w, 0);
    for (uint32_t i = 0; i < 300; i++) {
        assert_true(world_push(&w, 1 + i % 20, 0));
        assert_int_equal(world_drain(&w, archive_lsn(a)), HF_OK);
        for (int k = 0; k < 10; k++) {
            enum hf_status status = archive_step(a, w.j);
            assert_true(status == HF_OK || status == HF_AGAIN);
        }
        if (i % 90 == 89) { // a restart, most often in the middle of a file
            archive_destroy(a);
            world_kill(&w);
            a = archive_open(&w);
            journal_open(&w, archive_lsn(a));
        }
    }
    while (archive_step(a, w.j) == HF_OK)
        ;
    assert_int_equal(read_all(&w, a), journal_durable(w.j));
    assert_true(archive_lsn(a) > 2000);
    for (uint64_t lsn = 1; lsn <= archive_lsn(a); lsn += 7) {
        w.seen = w.last_time = 0;
        const struct hf_uuid id = {lsn, ~lsn};
        assert_int_equal(archive_find_id(a, id, world_visit, &w), HF_OK);
        assert_int_equal(w.seen, 1);
        assert_int_equal(w.last_seen, lsn);
    }
    archive_destroy(a);
    world_fini(&w);
}

// False: the power failed. *durable: what was acknowledged before.
static bool work(struct world *w, struct archive *a, uint64_t *durable)
{
    for (uint32_t i = 0; i < 60; i++) {
        if (!world_push(w, 1 + i % 20, 0))
            return false;
        enum hf_status status = world_drain(w, archive_lsn(a));
        *durable = journal_durable(w->j);
        if (status != HF_OK)
            return false;
        for (int k = 0; k < 6; k++) {
            status = archive_step(a, w->j);
            if (status != HF_OK && status != HF_AGAIN)
                return false;
        }
    }
    return true;
}

static void no_power_loss_loses_a_durable_record(void **state)
{
    (void)state;
    hf_log_set_level(HF_LOG_ERROR + 1);
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct world w;
        world_init(&w, n);
        struct archive *a = archive_open(&w);
        journal_open(&w, 0);
        w.disk->faults.crash_in = n;
        uint64_t durable = 0;
        crashed = !work(&w, a, &durable);
        const uint64_t told = archive_lsn(a);
        archive_destroy(a);
        world_stop(&w);
        if (!w.disk->crashed)
            fake_storage_crash(w.disk);
        fake_storage_restart(w.disk);
        a = archive_open(&w);
        assert_true(archive_lsn(a) >= told);
        journal_open(&w, archive_lsn(a));
        assert_true(read_all(&w, a) >= durable);
        archive_destroy(a);
        world_fini(&w);
    }
    hf_log_set_level(HF_LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_move_into_the_archive),
        cmocka_unit_test(no_power_loss_loses_a_durable_record),
    };
    return cmocka_run_group_tests_name("archive_journal", tests, NULL, NULL);
}
