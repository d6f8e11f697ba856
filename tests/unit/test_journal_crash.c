// Power fails at every call to the disk in turn, and again during the recovery from it. What was
// durable is there, what is there was appended, and no crash is ever taken for damage.
#include "unit/journal_world.h"

#include "base/prng.h"

#define ok(call) assert_int_equal((call), HF_OK)
#define LSN_MAX  4096

// What the records of each LSN may be: the content carries the life in which it was appended.
struct crash {
    struct world w;
    struct prng prng;
    uint64_t life;
    uint64_t settled;               // recovery has promised everything up to here
    uint64_t lives[LSN_MAX + 1];    // of the settled records
    uint64_t durable;               // told to somebody, in this life
    uint64_t appended[LSN_MAX + 1]; // life of the latest append of this LSN
    uint64_t keep;                  // the checkpoint
    uint64_t visited;
};

static bool push(struct crash *c, uint32_t n)
{
    uint64_t lsn = journal_appended(c->w.j) + 1;
    for (uint32_t i = 0; i < n; i++, lsn++) {
        uint32_t bytes =
            32 + 8 * (uint32_t)prng_below(&c->prng, prng_chance(&c->prng, 1, 4) ? 400 : 9);
        struct journal_record *r = journal_reserve(c->w.p, bytes);
        if (!r)
            break;
        memset(r, 0x5a, bytes);
        r->units = (uint16_t)(bytes / 8);
        r->type = 1;
        r->flags = 0;
        r->id = (struct hf_uuid){lsn, c->life};
        journal_seal(r);
        c->appended[lsn] = c->life;
    }
    uint32_t count;
    journal_push(c->w.p, &count);
    return count != 0;
}

static enum hf_status visit(void *ctx, uint64_t lsn, uint64_t time_ms,
                            const struct journal_record *r)
{
    struct crash *c = ctx;
    (void)time_ms;
    assert_int_equal(lsn, c->visited + 1);
    assert_int_equal(r->id.hi, lsn);
    // A settled record never changes; another one is the latest that was appended there.
    if (lsn <= c->settled)
        assert_int_equal(r->id.lo, c->lives[lsn]);
    else
        assert_int_equal(r->id.lo, c->appended[lsn]);
    c->lives[lsn] = r->id.lo;
    c->visited = lsn;
    return HF_OK;
}

// One start; HF_IO when the power failed in it. Anything else is a bug.
static enum hf_status start(struct crash *c)
{
    struct world *w = &c->w;
    enum hf_status st = world_create(w);
    c->visited = c->keep;
    if (st == HF_OK) {
        st = journal_recover(w->j, c->keep, visit, NULL, c, &w->report);
        if (st == HF_OK) {
            assert_true(c->visited >= c->durable);
            assert_true(c->visited >= c->settled);
            c->settled = c->durable = c->visited;
            c->life++;
            st = journal_start(w->j);
        }
    }
    if (st == HF_OK)
        w->p = journal_producer_create(w->j);
    if (st != HF_OK && st != HF_IO)
        fail_msg("start: %s: %s at %llu: %s", hf_status_name(st), w->report.where,
                 (unsigned long long)w->report.offset, w->report.why);
    return st;
}

static void tell(struct crash *c)
{
    uint64_t durable = journal_durable(c->w.j);
    for (uint64_t lsn = c->durable + 1; lsn <= durable; lsn++)
        c->lives[lsn] = c->appended[lsn];
    if (durable > c->durable)
        c->durable = durable;
    if (durable > c->settled)
        c->settled = durable;
}

static void work(struct crash *c, int steps)
{
    struct world *w = &c->w;
    for (int i = 0; i < steps && !w->disk->crashed; i++) {
        push(c, 1 + (uint32_t)prng_below(&c->prng, 4));
        if (prng_chance(&c->prng, 2, 3))
            (void)journal_writer_step(w->j, w->time_ms++, prng_chance(&c->prng, 1, 3));
        tell(c);
        if (prng_chance(&c->prng, 1, 3)) {
            (void)!journal_maintain(w->j, c->keep);
            // The checkpoint follows, now and then; its file is not this test's.
            if (prng_chance(&c->prng, 1, 2) && !w->disk->crashed)
                c->keep += prng_below(&c->prng, c->durable - c->keep + 1);
        }
    }
}

static void stop(struct crash *c, bool power)
{
    world_stop(&c->w);
    if (c->w.disk->crashed || power)
        fake_storage_restart(c->w.disk);
    else
        fake_storage_kill(c->w.disk);
}

// False: the work ended before the crash came.
static bool run(uint64_t seed, uint64_t crash_in, uint64_t crash_again_in, int steps)
{
    struct crash *c = calloc(1, sizeof *c);
    c->prng = (struct prng){seed};
    world_init(&c->w, seed * 1000003 + crash_in * 101 + crash_again_in);
    c->w.o.segment_bytes = (4 + seed % 5) * HF_BLOCK;
    c->w.o.segments_max = 4;
    c->w.disk->faults.crash_in = crash_in;
    if (start(c) == HF_OK)
        work(c, steps);
    bool crashed = c->w.disk->crashed;
    stop(c, true);
    c->w.disk->faults.crash_in = crash_again_in;
    if (start(c) == HF_OK)
        work(c, 6);
    stop(c, seed % 2);
    ok(start(c)); // the last start is left alone
    uint64_t before = journal_durable(c->w.j);
    assert_int_equal(before, c->settled);
    work(c, 6);
    stop(c, false);
    ok(start(c));
    assert_true(journal_durable(c->w.j) >= before);
    world_fini(&c->w);
    free(c);
    return crashed;
}

static uint64_t seeds(uint64_t normal)
{
    const char *s = getenv("HOLDFAST_SEEDS");
#ifdef HF_TSAN // one thread: nothing to find, and ten times slower
    normal /= 6;
#endif
    return s ? strtoull(s, NULL, 10) : normal;
}

static void a_crash_at_every_call_loses_nothing_durable(void **state)
{
    (void)state;
    uint64_t runs = 0;
    for (uint64_t seed = 1; seed <= seeds(12); seed++)
        for (uint64_t n = 1; run(seed, n, 0, 40); n++)
            runs++;
    print_message("%llu crashes\n", (unsigned long long)runs);
    assert_true(runs > 100);
}

static void a_crash_in_the_recovery_from_a_crash_is_one_too(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= seeds(12); seed++)
        for (uint64_t n = 5; n <= 120; n += 1 + seed % 3)
            run(seed, n, 1 + n % 23, 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_at_every_call_loses_nothing_durable),
        cmocka_unit_test(a_crash_in_the_recovery_from_a_crash_is_one_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
