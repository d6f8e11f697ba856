// The packet client against a door that is not there and a network that does its worst.
#include "unit/fake_door.h"

#define ITEMS_MAX 20000

struct world {
    struct fake_door *door;
    struct packet_client *client;
    struct packet_client_options o;
    struct packet_client_item items[ITEMS_MAX];
    struct packet_line line;
    struct packet_line_answer line_answer;
    uint32_t done, unknown, sessions, session_failures;
    bool commits;                // a hold that is done is committed, with the same id
    uint32_t commit_answers_bad; // that were the hold's
};

static void done(void *ctx, struct packet_client_item *item)
{
    struct world *w = ctx;
    w->done++;
    w->unknown += item->end == PACKET_CLIENT_UNKNOWN;
    // The door says in `detail` of which kind its answer is.
    if (item->end == PACKET_CLIENT_ANSWERED && item->outcome == PACKET_OUT_DONE)
        w->commit_answers_bad += item->detail != item->kind;
    if (w->commits && item->kind == PACKET_HOLD) {
        item->kind = PACKET_COMMIT;
        item->time_ms = 0; // and the same line: the two differ by their kind alone
        assert_int_equal(packet_client_submit(w->client, item), PACKET_CLIENT_OK);
    }
}

static void session(void *ctx, const struct packet_grant *grant, const char *why)
{
    struct world *w = ctx;
    assert_true((grant == NULL) != (why == NULL));
    w->sessions += grant != NULL;
    w->session_failures += grant == NULL;
}

static struct world *world_make(uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->door = door_make(seed);
    w->line = (struct packet_line){7, 3};
    w->o = (struct packet_client_options){.items_max = 2000,
                                          .try_ms = 20,
                                          .try_ms_max = 200,
                                          .silence_ms = 150,
                                          .open_ms = 20,
                                          .open_ms_max = 100,
                                          .seed = seed,
                                          .transport = &w->door->transport,
                                          .control = &w->door->control,
                                          .done = done,
                                          .session = session,
                                          .ctx = w};
    return w;
}

static void world_start(struct world *w)
{
    char why[PACKET_CLIENT_WHY];
    if (packet_client_create(&w->o, &w->client, why) != PACKET_CLIENT_OK)
        fail_msg("%s", why);
}

static void world_free(struct world *w)
{
    if (w->client)
        packet_client_destroy(w->client);
    door_free(w->door);
    free(w);
}

static struct packet_client_item *item_make(struct world *w, uint32_t n, enum packet_kind kind)
{
    struct packet_client_item *i = &w->items[n];
    *i = (struct packet_client_item){.kind = (uint8_t)kind, .lines = &w->line, .line_count = 1};
    i->time_ms = kind == PACKET_HOLD ? 1000 : 0;
    memcpy(i->id + 10, &n, sizeof n);
    i->id[6] = 0x70;
    return i;
}

static void submit(struct world *w, uint32_t n, enum packet_kind kind)
{
    assert_int_equal(packet_client_submit(w->client, item_make(w, n, kind)), PACKET_CLIENT_OK);
}

// Polls until so many are done; the fake clock bounds it.
static void run(struct world *w, uint32_t count)
{
    uint64_t end = w->door->now_ns + 100000 * MS;
    while (w->done < count && w->door->now_ns < end)
        packet_client_poll(w->client, w->door->now_ns + 10 * MS);
    assert_int_equal(w->done, count);
}

static void pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->door->now_ns + ms * MS;
    while (w->door->now_ns < end)
        packet_client_poll(w->client, end);
}

static const struct packet_client_counts *counts(const struct world *w)
{
    return packet_client_counts(w->client);
}

// ------------------------------------------------------------------------------- one by one

static void an_order_is_answered(void **state)
{
    struct world *w = world_make(1);
    (void)state;
    world_start(w);
    assert_null(packet_client_grant(w->client));
    submit(w, 0, PACKET_ORDER);
    w->items[0].line_answers = &w->line_answer;
    assert_int_equal(packet_client_open(w->client), 1);
    run(w, 1);
    const struct packet_client_item *i = &w->items[0];
    assert_int_equal(i->end, PACKET_CLIENT_ANSWERED);
    assert_int_equal(i->outcome, PACKET_OUT_DONE);
    assert_int_equal(i->state, PACKET_STATE_COMMITTED);
    assert_int_equal(i->reply_flags, PACKET_DURABLE);
    assert_int_equal(i->tries, 1);
    assert_int_equal(i->generation, w->door->grant.generation);
    assert_true(i->answered_ns >= i->submitted_ns + 2 * MS);
    assert_int_equal(w->line_answer.amount, 3);
    assert_int_equal(w->line_answer.available, 1000);
    assert_int_equal(packet_client_open(w->client), 0);
    assert_non_null(packet_client_grant(w->client));
    assert_int_equal(w->sessions, 1);
    world_free(w);
}

static void items_share_frames(void **state)
{
    struct world *w = world_make(2);
    (void)state;
    world_start(w);
    for (uint32_t n = 0; n < 100; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 100);
    assert_int_equal(w->door->frames_in, 4); // 32 + 32 + 32 + 4
    assert_int_equal(w->door->widest, 32);
    world_free(w);
}

// 150 lines are 1,224 bytes: two such items fit no frame together.
static void wide_items_fill_frames_by_their_bytes(void **state)
{
    struct world *w = world_make(3);
    struct packet_line lines[PACKET_LINES_MAX];
    (void)state;
    for (uint32_t i = 0; i < PACKET_LINES_MAX; i++)
        lines[i] = (struct packet_line){i, 1};
    world_start(w);
    for (uint32_t n = 0; n < 5; n++) {
        struct packet_client_item *i = item_make(w, n, PACKET_ORDER);
        i->lines = lines;
        i->line_count = n == 4 ? PACKET_LINES_MAX : 150;
        assert_int_equal(packet_client_submit(w->client, i), PACKET_CLIENT_OK);
    }
    run(w, 5);
    assert_int_equal(w->door->frames_in, 5);
    assert_int_equal(w->door->quantity, 4 * 150 + PACKET_LINES_MAX);
    world_free(w);
}

static void what_fits_no_frame_of_the_session_is_told(void **state)
{
    struct world *w = world_make(4);
    struct packet_line lines[20];
    (void)state;
    for (uint32_t i = 0; i < 20; i++)
        lines[i] = (struct packet_line){i, 1};
    w->door->grant.frame_bytes_max = 128;
    world_start(w);
    submit(w, 0, PACKET_ORDER);
    struct packet_client_item *i = item_make(w, 1, PACKET_ORDER);
    i->lines = lines;
    i->line_count = 20;
    assert_int_equal(packet_client_submit(w->client, i), PACKET_CLIENT_OK);
    submit(w, 2, PACKET_ORDER);
    run(w, 3);
    assert_int_equal(i->outcome, PACKET_OUT_INVALID);
    assert_int_equal(i->detail >> 16, PACKET_FIELD_LINES);
    assert_int_equal(i->tries, 0);
    assert_int_equal(w->items[2].outcome, PACKET_OUT_DONE);
    assert_int_equal(w->door->decided_count, 2);
    world_free(w);
}

static void bad_items_are_refused_at_once(void **state)
{
    struct world *w = world_make(5);
    struct packet_line none = {1, 0};
    (void)state;
    w->o.items_max = 1;
    world_start(w);
    struct packet_client_item *i = item_make(w, 0, PACKET_ORDER);
    i->line_count = 0;
    assert_int_equal(packet_client_submit(w->client, i), PACKET_CLIENT_INVALID);
    i = item_make(w, 0, PACKET_ORDER);
    i->lines = &none; // no quantity
    assert_int_equal(packet_client_submit(w->client, i), PACKET_CLIENT_INVALID);
    i = item_make(w, 0, PACKET_HOLD);
    i->time_ms = 0;
    assert_int_equal(packet_client_submit(w->client, i), PACKET_CLIENT_INVALID);
    submit(w, 0, PACKET_ORDER);
    assert_int_equal(packet_client_submit(w->client, item_make(w, 1, PACKET_ORDER)),
                     PACKET_CLIENT_FULL);
    run(w, 1);
    submit(w, 1, PACKET_ORDER);
    run(w, 2);
    world_free(w);
}

static void options_out_of_range_are_refused(void **state)
{
    struct world *w = world_make(6);
    char why[PACKET_CLIENT_WHY];
    (void)state;
    w->o.frame_items = 60;
    assert_int_equal(packet_client_create(&w->o, &w->client, why), PACKET_CLIENT_INVALID);
    assert_non_null(strstr(why, "frame_items"));
    w->o.frame_items = 0;
    w->o.control = NULL;
    assert_int_equal(packet_client_create(&w->o, &w->client, why), PACKET_CLIENT_INVALID);
    w->client = NULL;
    world_free(w);
}

// ------------------------------------------------------------------------------- again

static void busy_is_asked_again_and_waits(void **state)
{
    struct world *w = world_make(7);
    (void)state;
    w->door->busy_left = 2;
    w->door->busy_outcome = PACKET_OUT_BUSY;
    w->door->busy_ms = 70;
    world_start(w);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_DONE);
    assert_int_equal(w->items[0].tries, 3);
    assert_int_equal(counts(w)->again, 2);
    assert_int_equal(counts(w)->lost, 0);
    assert_int_equal(w->door->decided_count, 1);
    assert_true(w->items[0].answered_ns - w->items[0].submitted_ns >= 140 * MS);
    world_free(w);
}

// A frame whose items are all to be asked again is not on its way any more.
static void busy_frames_leave_the_window(void **state)
{
    struct world *w = world_make(21);
    (void)state;
    w->o.frame_items = 1;
    w->o.frames_max = 2;
    w->o.try_ms = 1000;
    w->door->busy_left = 100;
    w->door->busy_outcome = PACKET_OUT_IN_PROGRESS;
    world_start(w);
    for (uint32_t n = 0; n < 20; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 20);
    assert_int_equal(counts(w)->again, 100);
    assert_true(w->items[19].answered_ns - w->items[19].submitted_ns < 1000 * MS);
    world_free(w);
}

static void a_lost_frame_is_sent_again_as_a_new_one(void **state)
{
    struct world *w = world_make(8);
    (void)state;
    world_start(w);
    pass(w, 10); // the session is there
    w->door->lose = 1000;
    submit(w, 0, PACKET_ORDER);
    pass(w, 30);
    w->door->lose = 0;
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_DONE);
    assert_true(w->items[0].tries >= 2);
    assert_true(counts(w)->lost >= 1);
    assert_int_equal(w->door->quantity, 3);
    world_free(w);
}

static void nobody_tells_and_it_is_unknown(void **state)
{
    struct world *w = world_make(9);
    (void)state;
    w->o.give_up_ms = 300;
    world_start(w);
    pass(w, 10);
    w->door->dead = true;
    submit(w, 0, PACKET_ORDER);
    uint64_t before = w->door->now_ns;
    run(w, 1);
    assert_int_equal(w->items[0].end, PACKET_CLIENT_UNKNOWN);
    assert_true(w->door->now_ns - before >= 300 * MS && w->door->now_ns - before < 320 * MS);
    assert_int_equal(counts(w)->unknown, 1);
    w->door->dead = false; // asked again, with the same id
    assert_int_equal(packet_client_submit(w->client, &w->items[0]), PACKET_CLIENT_OK);
    run(w, 2);
    assert_int_equal(w->items[0].end, PACKET_CLIENT_ANSWERED);
    assert_int_equal(w->door->decided_count, 1);
    world_free(w);
}

static void without_a_session_items_are_given_up_in_time(void **state)
{
    struct world *w = world_make(10);
    (void)state;
    w->o.give_up_ms = 200;
    w->door->open_step = PACKET_CONTROL_REFUSED;
    world_start(w);
    for (uint32_t n = 0; n < 10; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 10);
    assert_int_equal(w->unknown, 10);
    assert_int_equal(w->items[3].tries, 0);
    assert_true(w->session_failures >= 2);
    w->door->open_step = PACKET_CONTROL_OPENED;
    submit(w, 10, PACKET_ORDER);
    run(w, 11);
    assert_int_equal(w->items[10].end, PACKET_CLIENT_ANSWERED);
    world_free(w);
}

// The first try is refused, and nobody remembers that; the second, sent meanwhile, succeeds.
static void an_earlier_try_s_refusal_is_not_the_last_word(void **state)
{
    (void)state;
    static const struct {
        enum packet_kind kind;
        uint8_t flags;
        enum packet_outcome first;
    } cases[] = {{PACKET_HOLD, 0, PACKET_OUT_REFUSED},
                 {PACKET_COMMIT, PACKET_RETAKE, PACKET_OUT_REFUSED},
                 {PACKET_ORDER, 0, PACKET_OUT_ID_IN_FUTURE},
                 {PACKET_ORDER, 0, PACKET_OUT_INVALID},
                 {PACKET_COMMIT, 0, PACKET_OUT_UNKNOWN}};
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world *w = world_make(24 + i);
        w->door->delay_ns = 15 * MS; // each way; tried again after 20
        w->door->busy_left = 1;
        w->door->busy_outcome = (uint8_t)cases[i].first;
        world_start(w);
        pass(w, 10);
        struct packet_client_item *item = item_make(w, i, cases[i].kind);
        item->flags = cases[i].flags;
        assert_int_equal(packet_client_submit(w->client, item), PACKET_CLIENT_OK);
        run(w, 1);
        assert_int_equal(item->outcome, PACKET_OUT_DONE);
        assert_int_equal(item->tries, 2); // and it has waited for the second's answer
        world_free(w);
    }
}

// Every order's refusal is the same: no need to wait.
static void an_earlier_try_s_refusal_of_an_order_is_taken(void **state)
{
    struct world *w = world_make(29);
    (void)state;
    w->door->delay_ns = 15 * MS;
    w->door->outcome = PACKET_OUT_REFUSED;
    world_start(w);
    pass(w, 10);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_REFUSED);
    assert_true(w->items[0].answered_ns - w->items[0].submitted_ns < 35 * MS);
    world_free(w);
}

// The later try is lost, or its answer is slower than tries are sent: it ends all the same.
static void a_refusal_comes_to_an_end(void **state)
{
    struct world *w = world_make(30);
    (void)state;
    w->o.silence_ms = 2000;
    w->door->delay_ns = 15 * MS;
    w->door->busy_left = UINT32_MAX;
    w->door->busy_outcome = PACKET_OUT_REFUSED;
    world_start(w);
    pass(w, 10);
    submit(w, 0, PACKET_HOLD);
    pass(w, 16);
    w->door->lose = 1000;
    pass(w, 10); // the second try, at 20
    w->door->lose = 0;
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_REFUSED);
    assert_int_equal(w->items[0].tries, 3);

    w->door->delay_ns = 700 * MS; // try_ms_max is 200
    w->door->delay_more_ns = 100 * MS;
    for (uint32_t n = 1; n < 200; n++)
        submit(w, n, PACKET_HOLD);
    uint64_t before = w->door->now_ns;
    run(w, 200);
    assert_int_equal(w->unknown, 0);
    assert_true(w->door->now_ns - before < 10000 * MS);
    for (uint32_t n = 1; n < 200; n++)
        assert_int_equal(w->items[n].outcome, PACKET_OUT_REFUSED);
    world_free(w);
}

// ------------------------------------------------------------------------------- sessions

static void a_server_that_forgot_gets_a_new_session(void **state)
{
    struct world *w = world_make(11);
    (void)state;
    world_start(w);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    door_restart(w->door);
    for (uint32_t n = 1; n < 50; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 50);
    assert_int_equal(w->sessions, 2);
    assert_int_equal(counts(w)->silences, 1);
    assert_int_equal(w->unknown, 0);
    assert_int_equal(w->door->decided_count, 50);
    world_free(w);
}

// The server comes back with another directory. What was made for the old one must not sell the
// cell that has its handle in the new one; what has no handles goes on.
static void handles_stay_those_of_their_directory(void **state)
{
    struct world *w = world_make(31);
    (void)state;
    world_start(w);
    pass(w, 10);
    w->door->lose = 1000;
    for (uint32_t n = 0; n < 10; n++)
        submit(w, n, PACKET_ORDER);
    struct packet_client_item *bare = item_make(w, 10, PACKET_COMMIT);
    bare->line_count = 0;
    assert_int_equal(packet_client_submit(w->client, bare), PACKET_CLIENT_OK);
    pass(w, 50);
    door_restart(w->door);
    w->door->grant.generation++;
    w->door->moved = true;
    w->door->lose = 0;
    run(w, 11);
    for (uint32_t n = 0; n < 10; n++)
        assert_int_equal(w->items[n].outcome, PACKET_OUT_STALE_DIRECTORY);
    assert_int_equal(w->items[0].generation, w->door->grant.generation);
    assert_int_equal(bare->outcome, PACKET_OUT_DONE);
    assert_int_equal(w->door->quantity, 0);
    submit(w, 11, PACKET_ORDER);
    run(w, 12);
    assert_int_equal(w->items[11].outcome, PACKET_OUT_DONE);
    world_free(w);
}

static void silence_without_questions_is_none(void **state)
{
    struct world *w = world_make(12);
    (void)state;
    world_start(w);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    pass(w, 5000);
    assert_int_equal(w->sessions, 1);
    assert_int_equal(counts(w)->silences, 0);
    world_free(w);
}

static void a_session_is_renewed_before_its_end(void **state)
{
    struct world *w = world_make(13);
    (void)state;
    w->door->grant.life_ms = 1000;
    world_start(w);
    for (uint32_t n = 0; n < 400; n++) {
        submit(w, n, PACKET_ORDER);
        run(w, n + 1);
        pass(w, 8);
    }
    assert_true(w->sessions >= 4 && w->sessions <= 6);
    assert_int_equal(counts(w)->silences, 0);
    assert_int_equal(w->door->decided_count, 400);
    world_free(w);
}

// A door that this transport knows no way to: the session is given back, and the old one goes on.
static void a_door_of_no_use_is_closed(void **state)
{
    struct world *w = world_make(32);
    (void)state;
    snprintf(w->door->grant.door, sizeof w->door->grant.door, "shop.example");
    w->door->grant.life_ms = 4000;
    world_start(w);
    pass(w, 1000);
    assert_in_range(w->session_failures, 5, 30);
    assert_int_equal(w->door->sessions_open, 0);
    assert_null(packet_client_grant(w->client));
    snprintf(w->door->grant.door, sizeof w->door->grant.door, "door");
    pass(w, 1000);
    assert_int_equal(w->sessions, 1);
    snprintf(w->door->grant.door, sizeof w->door->grant.door, "shop.example");
    pass(w, 3000); // after 3/4 of its life the next one is asked for
    assert_int_equal(w->sessions, 1);
    assert_int_equal(w->door->sessions_open, 1);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_DONE);
    world_free(w);
}

static void the_session_is_closed_at_the_end(void **state)
{
    struct world *w = world_make(14);
    (void)state;
    world_start(w);
    submit(w, 0, PACKET_ORDER);
    run(w, 1);
    packet_client_destroy(w->client);
    w->client = NULL;
    assert_int_equal(w->door->closes, 1);
    assert_int_equal(w->door->sessions_open, 0);
    world_free(w);
}

// Nothing comes through, and whoever opens sessions goes on: no more of them are kept than a few,
// so that the other clients of the key find room, and one is left when the path is back.
static void a_broken_path_uses_up_no_sessions(void **state)
{
    struct world *w = world_make(22);
    (void)state;
    w->o.silence_ms = w->o.open_ms = w->o.open_ms_max = 0; // as they are by default
    world_start(w);
    pass(w, 10);
    w->door->lose = 1000;
    submit(w, 0, PACKET_ORDER);
    pass(w, 59000);
    assert_in_range(w->door->opens, 20, 40);
    assert_in_range(w->door->sessions_open, 1, 8);
    assert_in_range(w->items[0].tries, 40, 400); // as without other sessions, and once more in each
    w->door->lose = 0;
    run(w, 1);
    assert_int_equal(w->items[0].end, PACKET_CLIENT_ANSWERED);
    pass(w, 5000);
    assert_int_equal(w->door->sessions_open, 1);
    assert_int_equal(w->door->opens, w->door->closes + 1);
    world_free(w);
}

// Answers that take longer than a silence are answers, in whichever session they come.
static void slow_answers_are_read(void **state)
{
    struct world *w = world_make(23);
    (void)state;
    w->door->delay_ns = 400 * MS; // each way
    w->o.give_up_ms = 5000;
    world_start(w);
    for (uint32_t n = 0; n < 50; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 50);
    assert_int_equal(w->unknown, 0);
    assert_int_equal(counts(w)->foreign, 0);
    assert_int_equal(w->door->decided_count, 50);
    for (uint32_t n = 50; n < 500; n++) {
        submit(w, n, PACKET_ORDER);
        pass(w, 10);
    }
    run(w, 500);
    pass(w, 5000);
    assert_int_equal(w->unknown, 0);
    assert_int_equal(counts(w)->foreign, 0);
    assert_in_range(w->sessions, 1, 16); // none more, once somebody has answered
    assert_int_equal(w->door->sessions_open, 1);
    world_free(w);
}

// ------------------------------------------------------------------------------- restraint

static void the_rate_is_kept(void **state)
{
    struct world *w = world_make(15);
    (void)state;
    w->door->grant.items_per_second = 1000;
    world_start(w);
    for (uint32_t n = 0; n < 1000; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 1000);
    uint64_t took_ms = (w->door->frame_last_ns - w->door->frame_first_ns) / MS;
    assert_true(took_ms >= 880 && took_ms <= 1200);
    world_free(w);
}

static void no_more_frames_are_on_their_way_than_may_be(void **state)
{
    struct world *w = world_make(16);
    (void)state;
    w->o.frame_items = 1;
    w->o.frames_max = 10;
    w->door->delay_ns = 5 * MS;
    world_start(w);
    for (uint32_t n = 0; n < 100; n++)
        submit(w, n, PACKET_ORDER);
    run(w, 100);
    // Ten at a time, each 10 ms under way.
    uint64_t took_ms = (w->door->frame_last_ns - w->door->frame_first_ns) / MS;
    assert_true(took_ms >= 90 && took_ms <= 130);
    world_free(w);
}

static void lone_items_wait_for_company(void **state)
{
    struct world *w = world_make(17);
    (void)state;
    w->o.linger_us = 3000;
    world_start(w);
    pass(w, 10);
    for (uint32_t n = 0; n < 10; n++) {
        submit(w, n, PACKET_ORDER);
        packet_client_poll(w->client, 0);
        w->door->now_ns += MS / 10;
    }
    run(w, 10);
    assert_int_equal(w->door->frames_in, 1);
    world_free(w);
}

// ------------------------------------------------------------------------------- the worst

// The reply to a hold comes twice, the second copy while the commit of the same id is under way.
static void a_late_copy_does_not_answer_the_next_kind(void **state)
{
    struct world *w = world_make(18);
    (void)state;
    w->commits = true;
    w->door->duplicate = 1000;
    w->door->delay_more_ns = 10 * MS;
    world_start(w);
    for (uint32_t n = 0; n < 500; n++)
        submit(w, n, PACKET_HOLD);
    run(w, 1000);
    assert_int_equal(w->commit_answers_bad, 0);
    assert_true(counts(w)->late > 0);
    world_free(w);
}

static void forged_replies_answer_nothing(void **state)
{
    struct world *w = world_make(19);
    (void)state;
    world_start(w);
    pass(w, 10);
    submit(w, 0, PACKET_ORDER);
    w->door->damage = 1000; // one bit of every frame, both ways
    pass(w, 60);
    assert_int_equal(w->done, 0);
    w->door->damage = 0;
    run(w, 1);
    assert_int_equal(w->items[0].outcome, PACKET_OUT_DONE);
    world_free(w);
}

static void storm(uint64_t seed, bool restarts)
{
    struct world *w = world_make(seed);
    uint32_t items = 2000, next = 0;
    w->commits = true;
    w->door->lose = w->door->duplicate = w->door->damage = 50;
    w->door->delay_more_ns = 15 * MS;
    world_start(w);
    while (w->done < 2 * items) {
        while (next < items && packet_client_open(w->client) < 1000)
            submit(w, next++, PACKET_HOLD);
        packet_client_poll(w->client, w->door->now_ns + 10 * MS);
        if (restarts && door_random(w->door) % 200 == 0)
            door_restart(w->door);
        assert_true(w->door->now_ns < 2000000 * MS);
    }
    assert_int_equal(w->unknown, 0);
    assert_int_equal(w->commit_answers_bad, 0);
    assert_int_equal(w->door->decided_count, 2 * items);
    assert_int_equal(w->door->quantity, 2 * 3 * items);
    assert_int_equal(packet_client_open(w->client), 0);
    assert_true(counts(w)->lost > 0 && counts(w)->late > 0 && counts(w)->forged > 0);
    world_free(w);
}

static void every_item_acts_once_whatever_the_network_does(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 120; seed++)
        storm(seed, false);
}

static void every_item_acts_once_whatever_is_killed(void **state)
{
    (void)state;
    for (uint64_t seed = 200; seed < 220; seed++)
        storm(seed, true);
}

// ------------------------------------------------------------------------------- real parts

// The kernel's transport, to a socket of the test's own.
static void udp_goes_there_and_back(void **state)
{
    char why[PACKET_CLIENT_WHY];
    struct packet_transport *a = packet_transport_udp("127.0.0.1:0", why);
    uint8_t bytes[4][PACKET_BYTES_MAX] = {"one", "two"};
    struct packet_buffer out[2] = {{bytes[0], 4}, {bytes[1], 4}}, in[2];
    (void)state;
    assert_non_null(a);
    assert_false(a->connect(a, "localhost", 1)); // no names: a look-up would block
    assert_true(a->connect(a, "127.0.0.1", 9));
    assert_int_equal(a->receive(a, in, 0), 0);
    uint64_t now = a->now_ns(a);
    a->wait(a, now + 2 * MS);
    assert_true(a->now_ns(a) >= now + 2 * MS);
    assert_true(a->send(a, out, 2) <= 2); // nobody is there: refusals are no errors
    in[0] = (struct packet_buffer){bytes[2], PACKET_BYTES_MAX};
    in[1] = (struct packet_buffer){bytes[3], PACKET_BYTES_MAX};
    assert_int_equal(a->receive(a, in, 2), 0);
    a->destroy(a);
    assert_null(packet_transport_udp("nonsense", why));
    assert_null(packet_transport_udp("[::1:0", why));
    a = packet_transport_udp("[::1]:0", why);
    assert_non_null(a);
    a->destroy(a);
}

static void control_options_are_checked(void **state)
{
    char why[PACKET_CLIENT_WHY];
    struct packet_control_options o = {.address = "192.0.2.7:7420"};
    (void)state;
    assert_null(packet_control_grpc(&o, why)); // a session's key in clear, beyond the machine
    assert_non_null(strstr(why, "TLS"));
    o.clear_anywhere = true;
    struct packet_control *c = packet_control_grpc(&o, why);
    assert_non_null(c);
    c->destroy(c);
    o.cert_pem = "x";
    assert_null(packet_control_grpc(&o, why));
}

static void a_server_that_is_away_is_away(void **state)
{
    char why[PACKET_CLIENT_WHY];
    struct packet_control_options o = {.address = "unix:/nonexistent/holdfast", .call_ms = 300};
    struct packet_name name = {.sku = "a", .location = "b"};
    struct packet_grant grant;
    uint64_t generation;
    enum packet_control_step step;
    (void)state;
    struct packet_control *c = packet_control_grpc(&o, why);
    assert_non_null(c);
    assert_int_equal(c->step(c, &grant, why), PACKET_CONTROL_IDLE);
    c->open(c);
    while ((step = c->step(c, &grant, why)) == PACKET_CONTROL_WAITING)
        continue;
    assert_int_equal(step, PACKET_CONTROL_AWAY);
    assert_false(packet_control_handles(c, &name, 1, &generation, why));
    assert_true(why[0]);
    c->destroy(c);
}

static void outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(packet_outcome_name(PACKET_OUT_STALE_DIRECTORY), "STALE_DIRECTORY");
    assert_string_equal(packet_outcome_name(0), "unknown");
    assert_string_equal(packet_outcome_name(200), "unknown");
    assert_non_null(packet_outcome_help(PACKET_OUT_DONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_is_answered),
        cmocka_unit_test(items_share_frames),
        cmocka_unit_test(wide_items_fill_frames_by_their_bytes),
        cmocka_unit_test(what_fits_no_frame_of_the_session_is_told),
        cmocka_unit_test(bad_items_are_refused_at_once),
        cmocka_unit_test(options_out_of_range_are_refused),
        cmocka_unit_test(busy_is_asked_again_and_waits),
        cmocka_unit_test(busy_frames_leave_the_window),
        cmocka_unit_test(a_lost_frame_is_sent_again_as_a_new_one),
        cmocka_unit_test(nobody_tells_and_it_is_unknown),
        cmocka_unit_test(without_a_session_items_are_given_up_in_time),
        cmocka_unit_test(an_earlier_try_s_refusal_is_not_the_last_word),
        cmocka_unit_test(an_earlier_try_s_refusal_of_an_order_is_taken),
        cmocka_unit_test(a_refusal_comes_to_an_end),
        cmocka_unit_test(a_server_that_forgot_gets_a_new_session),
        cmocka_unit_test(handles_stay_those_of_their_directory),
        cmocka_unit_test(silence_without_questions_is_none),
        cmocka_unit_test(a_session_is_renewed_before_its_end),
        cmocka_unit_test(a_door_of_no_use_is_closed),
        cmocka_unit_test(the_session_is_closed_at_the_end),
        cmocka_unit_test(a_broken_path_uses_up_no_sessions),
        cmocka_unit_test(slow_answers_are_read),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(no_more_frames_are_on_their_way_than_may_be),
        cmocka_unit_test(lone_items_wait_for_company),
        cmocka_unit_test(a_late_copy_does_not_answer_the_next_kind),
        cmocka_unit_test(forged_replies_answer_nothing),
        cmocka_unit_test(every_item_acts_once_whatever_the_network_does),
        cmocka_unit_test(every_item_acts_once_whatever_is_killed),
        cmocka_unit_test(udp_goes_there_and_back),
        cmocka_unit_test(control_options_are_checked),
        cmocka_unit_test(a_server_that_is_away_is_away),
        cmocka_unit_test(outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
