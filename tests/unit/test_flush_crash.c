// P7: Odoo has each movement exactly once. P8: nothing disappears. Power fails at every storage
// call and at every call to Odoo, before and after it is done; then everything comes up again, and
// Odoo's stock must be the engine's to the unit.
#include "flush_world.h"

// A sanitizer makes each of a world's many megabytes costly: it tries a third of the points, other
// ones in each variant. The release builds try them all.
#if defined __SANITIZE_ADDRESS__ || defined HF_DEBUG_CHECKS
#define STRIDE 3
#else
#define STRIDE 1
#endif

struct variant {
    const char *name;
    bool action, archive;
    uint32_t batch_lines;
    const char *login; // by JSON-RPC
};
static const struct variant variants[] = {
    {"two calls", false, true, 3, NULL},
    {"one call, JSON-RPC", true, true, 2, "admin"},
    {"without archive", false, false, 100, NULL},
};

static struct flush_world *world_make(const struct variant *v, uint64_t seed)
{
    struct flush_world *fw = malloc(sizeof *fw);
    fworld_init(fw, seed);
    fw->options.action_id = v->action ? 13000000 : 0;
    fw->options.batch_lines = v->batch_lines;
    fw->options.login = v->login;
    fw->w.options.archive = v->archive;
    fworld_restart(fw);
    for (int i = 0; i < 40; i++)
        fworld_work(fw);
    world_settle(&fw->w);
    return fw;
}

static void world_free(struct flush_world *fw)
{
    fworld_fini(fw);
    free(fw);
}

static void faults_post(struct flush_world *fw, const char *method, const char *text)
{
    char body[512];
    struct sandbox_answer a;
    snprintf(body, sizeof body, "{\"faults\":[%s]}", text);
    struct sandbox_request r = {
        .method = method, .path = "/sandbox/faults", .body = body, .body_bytes = strlen(body)};
    sandbox_handle(fw->sandbox, &r, &a);
    assert_int_equal(a.status, 200);
    free(a.body);
}

// Operators retry what was given up until nothing is left.
static void dead_letters_retry(struct flush_world *fw)
{
    for (int round = 0; round < 20; round++) {
        struct flush_dead_letter d[64];
        uint32_t n = flush_dead_list(fw->f, 0, d, 64);
        if (n == 0)
            return;
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(flush_dead_retry(fw->f, d[i].id, core_now(fw->w.core)), HF_OK);
        assert_true(fworld_run(fw));
    }
    fail_msg("dead letters keep coming");
}

static void settle_and_check(struct flush_world *fw)
{
    fw->w.disk->faults.crash_in = fw->odoo.crash_at = 0;
    assert_true(fworld_run(fw));
    fake_odoo_settle(&fw->odoo);
    dead_letters_retry(fw);
    fworld_check(fw);
}

static void p7_p8_power_fails_at_every_storage_call(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        uint64_t crashes = 0;
        for (uint64_t at = 1 + v % STRIDE;; at += STRIDE) {
            struct flush_world *fw = world_make(&variants[v], 5);
            fw->w.disk->faults.crash_in = at;
            bool through = fworld_run(fw);
            if (!through) {
                assert_true(fw->w.disk->crashed);
                crashes++;
                fworld_restart(fw);
            }
            settle_and_check(fw);
            world_free(fw);
            if (through)
                break;
        }
        printf("%s: %llu power losses\n", variants[v].name, (unsigned long long)crashes);
        assert_true(crashes > 20 / STRIDE);
    }
}

static void p7_p8_power_fails_at_every_call_to_odoo(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (int after = 0; after < 2; after++) {
            uint64_t crashes = 0;
            for (uint64_t at = 1 + (v + (size_t)after) % STRIDE;; at += STRIDE) {
                struct flush_world *fw = world_make(&variants[v], 6);
                // One line is refused for a while: splitting and burning are on the way too.
                faults_post(fw, "POST",
                            "{\"kind\":\"user_error\",\"product\":\"tea\","
                            "\"method\":\"create\",\"count\":3},"
                            "{\"kind\":\"user_error\",\"product\":\"oil\","
                            "\"method\":\"button_validate\",\"count\":3},"
                            "{\"kind\":\"user_error\",\"product\":\"rye\","
                            "\"method\":\"run\",\"count\":3}");
                fw->odoo.crash_at = fw->odoo.calls + at;
                fw->odoo.crash_after = after;
                bool through = fworld_run(fw);
                if (!through) {
                    crashes++;
                    fworld_restart(fw);
                }
                settle_and_check(fw);
                world_free(fw);
                if (through)
                    break;
            }
            printf("%s, %s: %llu power losses\n", variants[v].name, after ? "after" : "before",
                   (unsigned long long)crashes);
            assert_true(crashes > 10 / STRIDE);
        }
}

// Months lie between the posting and the next start: the id window is long past.
static void an_acknowledgement_months_late_acts_once(void **state)
{
    (void)state;
    for (uint64_t at = 1;; at++) {
        struct flush_world *fw = world_make(&variants[0], 7);
        fw->w.disk->faults.crash_in = at;
        bool through = fworld_run(fw);
        if (!through) {
            fworld_close(fw);
            fake_storage_restart(fw->w.disk);
            fake_clock_advance_ms(&fw->w.clock, UINT64_C(29) * 24 * 3600 * 1000);
            fworld_open(fw);
            for (int i = 0; i < 4; i++)
                world_pass(&fw->w, 20000); // the floor moves, ids are forgotten
            struct core_metrics m;
            core_metrics(fw->w.core, &m);
            assert_true(m.forgotten > 0);
        }
        settle_and_check(fw);
        world_free(fw);
        if (through)
            break;
    }
}

// What was discarded is in the engine's stock as if Odoo had it, once, and in Odoo not at all.
static void discards_check(struct flush_world *fw)
{
    struct flush_discarded d[8];
    uint32_t n = flush_discard_list(fw->f, 0, d, 8);
    int64_t apart[CELLS] = {0};
    for (uint32_t k = 0; k < n; k++) {
        assert_true(d[k].booked);
        assert_string_equal(d[k].actor, "ann");
        for (uint32_t i = 0; i < CELLS; i++)
            if (d[k].letter.handle == fw->cells[i])
                apart[i] +=
                    d[k].letter.kind == FLUSH_SALE ? -d[k].letter.quantity : d[k].letter.quantity;
    }
    for (uint32_t i = 0; i < CELLS; i++) {
        struct core_cell c = world_read(&fw->w, fw->cells[i]);
        int64_t odoo = sandbox_quantity(fw->sandbox, sku_of(i), stock_of(i));
        assert_int_equal(c.committed, 0);
        assert_int_equal(c.available, c.on_hand);
        if (millionths(fw, i, c.on_hand - apart[i]) != odoo)
            fail_msg("%s in %s: on hand %lld, discarded %lld, Odoo %lld millionths", sku_of(i),
                     stock_of(i), (long long)c.on_hand, (long long)apart[i], (long long)odoo);
    }
}

// A sale and a correction that Odoo refuses for good, and an operator who discards both and asks
// again after each power loss.
static bool discard_both(struct flush_world *fw, const struct hf_uuid ids[2])
{
    for (int i = 0; i < 2; i++) {
        struct flush_discarding k = {(uint64_t)i + 1, ids[i], "ann", "the product is gone"};
        enum hf_status s = flush_dead_discard(fw->f, &k, core_now(fw->w.core));
        if (fw->w.disk->crashed)
            return false;
        assert_int_equal(s, HF_OK);
        if (!fworld_run(fw))
            return false;
    }
    for (int i = 0; i < 50; i++) {
        bool did;
        if (!fworld_pump(fw, &did) || fw->w.disk->crashed)
            return false;
    }
    return true;
}

static void p7_p8_power_fails_while_a_dead_letter_is_discarded(void **state)
{
    (void)state;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++) {
        uint64_t crashes = 0;
        for (uint64_t at = 1, through = 0; !through; at++) {
            struct flush_world *fw = malloc(sizeof *fw);
            fworld_init(fw, 8);
            fw->options.action_id = variants[v].action ? 13000000 : 0;
            fw->w.options.archive = variants[v].archive;
            fworld_restart(fw);
            faults_post(fw, "POST", "{\"kind\":\"user_error\",\"product\":\"tea\",\"count\":-1}");
            fworld_sell(fw, 0, 5, false);
            fworld_change(fw, 1, -4, "counted");
            fworld_sell(fw, 2, 1, false);
            assert_true(fworld_run(fw));
            struct flush_dead_letter d[4];
            assert_int_equal(flush_dead_list(fw->f, 0, d, 4), 2);
            const struct hf_uuid ids[2] = {world_id(&fw->w), world_id(&fw->w)};
            fw->w.disk->faults.crash_in = at;
            through = discard_both(fw, ids);
            if (!through) {
                crashes++;
                fworld_restart(fw);
                fw->w.disk->faults.crash_in = 0;
                assert_true(discard_both(fw, ids));
            }
            fw->w.disk->faults.crash_in = 0;
            fworld_restart(fw); // and what is done is not done again
            assert_true(discard_both(fw, ids));
            assert_int_equal(flush_dead_list(fw->f, 0, d, 4), 0);
            discards_check(fw);
            world_free(fw);
        }
        printf("%s: %llu power losses\n", variants[v].name, (unsigned long long)crashes);
        assert_true(crashes > 15);
    }
}

// The wish to retry is durable: whoever was told so does not ask again.
static void p8_a_retry_survives_a_power_loss(void **state)
{
    (void)state;
    for (uint64_t at = 1, through = 0; !through; at++) {
        struct flush_world *fw = malloc(sizeof *fw);
        fworld_init(fw, 9);
        faults_post(fw, "POST", "{\"kind\":\"user_error\",\"product\":\"tea\",\"count\":-1}");
        fworld_sell(fw, 0, 5, false);
        assert_true(fworld_run(fw));
        faults_post(fw, "DELETE", "");
        assert_int_equal(flush_dead_retry(fw->f, 1, core_now(fw->w.core)), HF_OK);
        fw->w.disk->faults.crash_in = at;
        through = fworld_run(fw);
        fw->w.disk->faults.crash_in = 0;
        if (!through)
            fworld_restart(fw);
        assert_true(fworld_run(fw));
        struct flush_metrics m;
        flush_metrics(fw->f, &m);
        assert_int_equal(m.dead_letters, 0);
        fworld_check(fw);
        world_free(fw);
    }
}

static const char *const mishaps[] = {
    "close",      "commit_close",  "commit_hang", "http_502",      "http_503",
    "commit_504", "database_down", "html_200",    "serialization", "operational",
    "user_error", "validation",    "wizard",      "value_error"};

static void mishap(struct flush_world *fw)
{
    static const char *const methods[] = {"create", "button_validate", "search_read", "run",
                                          "action_cancel"};
    char text[160];
    snprintf(text, sizeof text, "{\"kind\":\"%s\",\"method\":\"%s\",\"count\":%u,\"skip\":%u}",
             mishaps[prng_below(&fw->prng, sizeof mishaps / sizeof *mishaps)],
             methods[prng_below(&fw->prng, 5)], (unsigned)prng_between(&fw->prng, 1, 3),
             (unsigned)prng_below(&fw->prng, 4));
    faults_post(fw, "POST", text);
}

static void soak(uint64_t seed)
{
    struct flush_world *fw = world_make(&variants[seed % 3], seed);
    for (int round = 0; round < 12; round++) {
        for (uint64_t n = prng_below(&fw->prng, 60); n > 0; n--)
            fworld_work(fw);
        world_settle(&fw->w);
        for (uint64_t n = prng_below(&fw->prng, 4); n > 0; n--)
            mishap(fw);
        if (prng_chance(&fw->prng, 1, 2))
            fw->w.disk->faults.crash_in = prng_between(&fw->prng, 1, 60);
        else if (prng_chance(&fw->prng, 1, 2))
            fw->odoo.crash_at = fw->odoo.calls + prng_between(&fw->prng, 1, 30);
        fw->odoo.crash_after = prng_chance(&fw->prng, 1, 2);
        if (!fw->odoo.late_waits) {
            fw->odoo.late_at = fw->odoo.calls + prng_between(&fw->prng, 1, 30);
            fw->odoo.late_by = (uint32_t)prng_below(&fw->prng, 12);
        }
        if (!fworld_run(fw)) {
            if (!fw->w.disk->crashed)
                fail_msg("it stopped without a power loss");
            fworld_restart(fw);
        }
        fw->w.disk->faults.crash_in = fw->odoo.crash_at = 0;
        faults_post(fw, "DELETE", "");
    }
    settle_and_check(fw);
    world_free(fw);
}

static void p7_p8_whatever_happens(void **state)
{
    (void)state;
    const char *one = getenv("HOLDFAST_SEED"), *many = getenv("HOLDFAST_SEEDS");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1000;
    uint64_t last = one ? first : first + (many ? strtoull(many, NULL, 10) : 150);
    for (uint64_t seed = first; seed <= last; seed++) {
        if (one || many)
            printf("seed %llu\n", (unsigned long long)seed);
        soak(seed);
    }
}

int main(void)
{
    hf_log_set_level(getenv("HOLDFAST_SEED") ? HF_LOG_DEBUG : HF_LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p7_p8_power_fails_at_every_storage_call),
        cmocka_unit_test(p7_p8_power_fails_at_every_call_to_odoo),
        cmocka_unit_test(an_acknowledgement_months_late_acts_once),
        cmocka_unit_test(p7_p8_power_fails_while_a_dead_letter_is_discarded),
        cmocka_unit_test(p8_a_retry_survives_a_power_loss),
        cmocka_unit_test(p7_p8_whatever_happens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
