// The loop over a port in memory: who is let in, what items do, when answers leave.
#include "unit/packet_world.h"

#define BURST 8

static int set_up(void **state)
{
    struct packet_world *t = calloc(1, sizeof *t);
    world_init(&t->w);
    packets_open(t, 64, BURST);
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct packet_world *t = *state;
    packets_close(t);
    world_fini(&t->w);
    free(t);
    return 0;
}

static struct ingest_metrics metrics(struct packet_world *t)
{
    struct ingest_metrics m = {0};
    ingest_queue_metrics(t->queue, &m);
    return m;
}

static void one(struct packet_world *t, enum packet_kind kind, struct hf_uuid id, uint32_t handle,
                uint32_t quantity)
{
    packets_begin(t);
    packets_add(t, kind, id, &(struct packet_line){handle, quantity}, 1);
    packets_put(t);
}

static void bare(struct packet_world *t, enum packet_kind kind, struct hf_uuid id)
{
    packets_begin(t);
    packets_add(t, kind, id, NULL, 0);
    packets_put(t);
}

// Runs, makes durable, runs again; answer 0 of reply 0.
static struct packet_answer settled(struct packet_world *t, const uint8_t **lines)
{
    packets_run(t);
    world_settle(&t->w);
    packets_run(t);
    return packets_answer(t, 0, 0, lines);
}

static void an_order_is_answered_when_durable(void **state)
{
    struct packet_world *t = *state;
    const uint8_t *lines;
    uint32_t cell = packets_cell(t, "tea", 10);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 3);
    packets_run(t);
    assert_int_equal(t->port.out_count, 0); // decided, not durable
    assert_int_equal(packets_available(t, cell), 7);
    assert_int_equal(metrics(t).held, 1);
    world_settle(&t->w);
    packets_run(t);
    struct packet_answer a = packets_answer(t, 0, 0, &lines);
    assert_int_equal(a.outcome, PACKET_OUT_DONE);
    assert_int_equal(a.state, PACKET_STATE_COMMITTED);
    assert_int_equal(a.flags, PACKET_DURABLE);
    assert_int_equal(a.detail, 0);
    assert_int_equal(packet_line_answer_read(lines).available, 7);
    assert_int_equal(packet_line_answer_read(lines).amount, 3);
    struct ingest_metrics m = metrics(t);
    assert_int_equal(m.held, 0);
    assert_int_equal(m.frames, 1);
    assert_int_equal(m.items, 1);
    assert_int_equal(m.answered, 1);
    assert_int_equal(m.outcomes[PACKET_OUT_DONE], 1);
}

static void a_refusal_tells_what_is_missing(void **state)
{
    struct packet_world *t = *state;
    const uint8_t *lines;
    uint32_t cell = packets_cell(t, "tea", 10), other = packets_cell(t, "cup", 1);
    one(t, PACKET_HOLD, world_id(&t->w), cell, 8);
    (void)settled(t, NULL);
    fake_clear(&t->port);
    packets_begin(t);
    packets_add(t, PACKET_HOLD, world_id(&t->w),
                (struct packet_line[]){{other, 1}, {cell, 3}, {cell, 2}}, 3);
    packets_put(t);
    packets_run(t); // a refused hold waits for nothing
    struct packet_answer a = packets_answer(t, 0, 0, &lines);
    assert_int_equal(a.outcome, PACKET_OUT_REFUSED);
    assert_int_equal(a.state, PACKET_STATE_NONE);
    assert_in_range(a.detail, 59000, 61000); // until the hold on it ends
    assert_int_equal(packet_line_answer_read(lines).amount, 0);
    assert_int_equal(packet_line_answer_read(lines).available, 1);
    assert_int_equal(packet_line_answer_read(lines + PACKET_LINE_BYTES).amount, 3);
    assert_int_equal(packet_line_answer_read(lines + PACKET_LINE_BYTES).available, 2);
    assert_int_equal(packet_line_answer_read(lines + 2 * PACKET_LINE_BYTES).amount, 0);
    assert_int_equal(packets_available(t, other), 1);
}

static void a_hold_lives_and_ends_once(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    struct hf_uuid id = world_id(&t->w);
    one(t, PACKET_HOLD, id, cell, 4);
    struct packet_answer a = settled(t, NULL);
    assert_int_equal(a.state, PACKET_STATE_HELD);
    assert_int_equal(a.detail, 60000);
    fake_clear(&t->port);

    bare(t, PACKET_QUERY, id);
    a = settled(t, NULL);
    assert_int_equal(a.outcome, PACKET_OUT_DONE);
    assert_int_equal(a.state, PACKET_STATE_HELD);
    assert_in_range(a.detail, 1, 60000);
    fake_clear(&t->port);

    packets_begin(t); // three of four are sold, the rest comes back
    packets_add(t, PACKET_COMMIT, id, &(struct packet_line){cell, 3}, 1);
    packets_put(t);
    a = settled(t, NULL);
    assert_int_equal(a.outcome, PACKET_OUT_DONE);
    assert_int_equal(a.state, PACKET_STATE_COMMITTED);
    assert_int_equal(packets_available(t, cell), 7);
    fake_clear(&t->port);

    bare(t, PACKET_RELEASE, id);
    a = settled(t, NULL);
    assert_int_equal(a.outcome, PACKET_OUT_WRONG_STATE);
    assert_int_equal(a.state, PACKET_STATE_COMMITTED);
    fake_clear(&t->port);

    bare(t, PACKET_RELEASE, world_id(&t->w));
    assert_int_equal(settled(t, NULL).outcome, PACKET_OUT_UNKNOWN);
    fake_clear(&t->port);
    bare(t, PACKET_QUERY, world_id(&t->w));
    assert_int_equal(settled(t, NULL).outcome, PACKET_OUT_UNKNOWN);
}

static void records_and_cells_are_told(void **state)
{
    struct packet_world *t = *state;
    const uint8_t *lines;
    uint32_t cell = packets_cell(t, "tea", 2), big = packets_cell(t, "sand", INT64_C(1) << 40);
    one(t, PACKET_RECORD, world_id(&t->w), cell, 5); // even when short
    assert_int_equal(settled(t, &lines).state, PACKET_STATE_COMMITTED);
    assert_int_equal(packet_line_answer_read(lines).available, -3);
    fake_clear(&t->port);

    packets_begin(t);
    packets_add(t, PACKET_QUERY, (struct hf_uuid){0, 0},
                (struct packet_line[]){{cell, 0}, {big, 0}}, 2);
    packets_add(t, PACKET_QUERY, (struct hf_uuid){0, 0}, (struct packet_line[]){{cell, 0}, {99, 0}},
                2);
    packets_put(t);
    packets_run(t);
    assert_int_equal(packets_answer(t, 0, 0, &lines).outcome, PACKET_OUT_DONE);
    assert_int_equal(packet_line_answer_read(lines).available, -3);
    assert_int_equal(packet_line_answer_read(lines + PACKET_LINE_BYTES).available, INT32_MAX);
    struct packet_answer a = packets_answer(t, 0, 1, &lines);
    assert_int_equal(a.outcome, PACKET_OUT_INVALID);
    assert_int_equal(a.detail, PACKET_FIELD_HANDLE << 16 | 1);
    assert_int_equal(packet_line_answer_read(lines).available, 0); // nothing half told
}

// P3 at this door: another frame, the same id.
static void a_resend_is_a_repeat(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    struct hf_uuid id = world_id(&t->w);
    for (int i = 0; i < 3; i++)
        one(t, PACKET_ORDER, id, cell, 3);
    packets_run(t);
    assert_int_equal(t->port.out_count, 0); // a repeat, too, waits for the first's ticket
    world_settle(&t->w);
    packets_run(t);
    assert_int_equal(t->port.out_count, 3);
    assert_int_equal(packets_answer(t, 0, 0, NULL).flags, PACKET_DURABLE);
    for (uint32_t i = 1; i < 3; i++) {
        struct packet_answer a = packets_answer(t, i, 0, NULL);
        assert_int_equal(a.outcome, PACKET_OUT_DONE);
        assert_int_equal(a.flags, PACKET_DURABLE | PACKET_REPEAT);
    }
    assert_int_equal(packets_available(t, cell), 7);
    fake_clear(&t->port);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1); // leaves its lines where a repeat's would be
    packets_run(t);
    one(t, PACKET_ORDER, id, cell, 3);
    (void)settled(t, NULL);
    const uint8_t *lines;
    assert_int_equal(packets_answer(t, 0, 0, &lines).flags, PACKET_DURABLE | PACKET_REPEAT);
    assert_int_equal(packet_line_answer_read(lines).available, 6); // now, not then
    assert_int_equal(packet_line_answer_read(lines).amount, 3);
    fake_clear(&t->port);
    one(t, PACKET_ORDER, id, cell, 2);
    assert_int_equal(settled(t, NULL).outcome, PACKET_OUT_CONFLICT);
}

// Whose reply was lost asks again, and has to hear how much a best effort took.
static void a_resend_tells_what_was_taken(void **state)
{
    struct packet_world *t = *state;
    const uint8_t *told;
    static const struct {
        const char *tea, *mug;
        enum packet_kind kind;
        uint8_t flags, lines;
        uint32_t amounts[3], again[3];
    } cases[] = {
        {"a", "b", PACKET_HOLD, PACKET_BEST_EFFORT, 3, {2, 4, 0}, {2, 4, 0}},
        {"c", "d", PACKET_ORDER, PACKET_BEST_EFFORT, 1, {2, 0, 0}, {2, 0, 0}},
        {"e", "f", PACKET_ORDER, PACKET_BEST_EFFORT, 3, {2, 4, 0}, {0, 0, 0}}, // away at once
        {"g", "h", PACKET_ORDER, 0, 2, {2, 4, 0}, {2, 4, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t tea = packets_cell(t, cases[i].tea, 10), mug = packets_cell(t, cases[i].mug, 2);
        struct packet_line lines[3] = {{mug, 2}, {tea, 4}, {mug, 3}};
        if (cases[i].lines == 1)
            lines[0].quantity = 5; // more than there are
        struct packet_item item = {
            .kind = (uint8_t)cases[i].kind, .flags = cases[i].flags, .lines = cases[i].lines};
        item.time = item.kind == PACKET_HOLD ? 60000 : 0;
        packets_id(world_id(&t->w), item.id);
        for (int again = 0; again < 2; again++) {
            packets_begin(t);
            assert_true(packet_add(&t->writer, item, lines));
            packets_put(t);
            struct packet_answer a = settled(t, &told);
            assert_int_equal(a.outcome, PACKET_OUT_DONE);
            assert_int_equal(a.flags & PACKET_REPEAT, again);
            for (uint32_t k = 0; k < cases[i].lines; k++)
                assert_int_equal(packet_line_answer_read(told + k * PACKET_LINE_BYTES).amount,
                                 again ? cases[i].again[k] : cases[i].amounts[k]);
            fake_clear(&t->port);
        }
    }
}

static void items_of_one_frame_act_in_its_order(void **state)
{
    struct packet_world *t = *state;
    const uint8_t *lines;
    uint32_t cell = packets_cell(t, "tea", 10);
    struct hf_uuid id = world_id(&t->w);
    packets_begin(t);
    packets_add(t, PACKET_QUERY, id, NULL, 0);
    packets_add(t, PACKET_HOLD, id, &(struct packet_line){cell, 2}, 1);
    packets_add(t, PACKET_HOLD, id, &(struct packet_line){cell, 2}, 1);
    packets_add(t, PACKET_QUERY, id, NULL, 0);
    packets_add(t, PACKET_QUERY, (struct hf_uuid){0, 0}, &(struct packet_line){cell, 0}, 1);
    packets_add(t, PACKET_COMMIT, id, NULL, 0);
    packets_add(t, PACKET_QUERY, id, NULL, 0);
    packets_add(t, PACKET_RELEASE, id, NULL, 0);
    packets_put(t);
    (void)settled(t, NULL);
    static const struct {
        uint8_t outcome, state, repeat;
    } wanted[] = {
        {PACKET_OUT_UNKNOWN, PACKET_STATE_NONE, 0},
        {PACKET_OUT_DONE, PACKET_STATE_HELD, 0},
        {PACKET_OUT_DONE, PACKET_STATE_HELD, PACKET_REPEAT},
        {PACKET_OUT_DONE, PACKET_STATE_HELD, 0},
        {PACKET_OUT_DONE, PACKET_STATE_NONE, 0},
        {PACKET_OUT_DONE, PACKET_STATE_COMMITTED, 0},
        {PACKET_OUT_DONE, PACKET_STATE_COMMITTED, 0},
        {PACKET_OUT_WRONG_STATE, PACKET_STATE_COMMITTED, 0},
    };
    for (uint32_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct packet_answer a = packets_answer(t, 0, i, &lines);
        assert_int_equal(a.outcome, wanted[i].outcome);
        assert_int_equal(a.state, wanted[i].state);
        assert_int_equal(a.flags & PACKET_REPEAT, wanted[i].repeat);
        if (i == 4)
            assert_int_equal(packet_line_answer_read(lines).available, 8);
    }
}

static void full_frames_are_decided_in_pieces(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 1000000);
    uint32_t items = 0;
    for (int f = 0; f < 12; f++) { // more than are gathered, and more than a burst
        struct packet_item item = {.kind = PACKET_ORDER, .lines = 1};
        packets_begin(t);
        for (;; items++) {
            packets_id(world_id(&t->w), item.id);
            if (!packet_add(&t->writer, item, &(struct packet_line){cell, 1}))
                break;
        }
        packets_put(t);
    }
    struct packet_line lines[PACKET_LINES_MAX];
    for (int f = 0; f < 4; f++) { // and frames of one wide item
        for (uint32_t i = 0; i < PACKET_LINES_MAX; i++)
            lines[i] = (struct packet_line){cell, 1};
        packets_begin(t);
        packets_add(t, PACKET_ORDER, world_id(&t->w), lines, PACKET_LINES_MAX);
        packets_put(t);
    }
    (void)settled(t, NULL);
    assert_int_equal(t->port.out_count, 16);
    assert_int_equal(metrics(t).outcomes[PACKET_OUT_DONE], items + 4);
    assert_int_equal(packets_available(t, cell), 1000000 - (int64_t)items - 4 * PACKET_LINES_MAX);
    const uint8_t *told;
    assert_int_equal(packets_answer(t, 15, 0, &told).outcome, PACKET_OUT_DONE);
    assert_int_equal(packet_line_answer_read(told).amount,
                     PACKET_LINES_MAX); // at the first of them
    assert_int_equal(packet_line_answer_read(told + PACKET_LINE_BYTES).amount, 0);
}

// ------------------------------------------------------------------------------- who is let in

static void counted(struct packet_world *t, enum ingest_drop why)
{
    struct ingest_metrics before = metrics(t);
    uint32_t dropped = t->port.dropped;
    packets_run(t);
    struct ingest_metrics m = metrics(t);
    for (int i = 0; i < INGEST_DROP_COUNT; i++)
        assert_int_equal(m.dropped[i] - before.dropped[i], i == (int)why);
    assert_int_equal(t->port.dropped - dropped, 1);
    assert_int_equal(t->port.out_count, 0);
    fake_clear(&t->port);
}

static void strangers_never_reach_the_engine(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    struct core_metrics c;
    core_metrics(t->w.core, &c);
    uint64_t decisions = c.decisions;
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    uint32_t bytes = packets_end(t);
    uint8_t good[PACKET_BYTES_MAX];
    memcpy(good, t->frame, bytes);

    fake_put(&t->port, good, 39);
    counted(t, INGEST_DROP_SHORT);
    fake_put(&t->port, good, bytes - 1);
    counted(t, INGEST_DROP_TRUNCATED);
    fake_put(&t->port, good, bytes + 1);
    counted(t, INGEST_DROP_LONGER);
    static const struct {
        uint8_t at;
        enum ingest_drop why;
    } bits[] = {{0, INGEST_DROP_MAGIC},   {2, INGEST_DROP_VERSION}, {3, INGEST_DROP_KIND},
                {4, INGEST_DROP_SESSION}, {7, INGEST_DROP_SESSION}, {8, INGEST_DROP_HEADER},
                {16, INGEST_DROP_FORGED}, {24, INGEST_DROP_FORGED}, {30, INGEST_DROP_FORGED},
                {31, INGEST_DROP_HEADER}, {32, INGEST_DROP_FORGED}, {39, INGEST_DROP_FORGED},
                {40, INGEST_DROP_FORGED}, {58, INGEST_DROP_FORGED}, {71, INGEST_DROP_FORGED}};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        memcpy(t->frame, good, bytes);
        t->frame[bits[i].at] ^= 1;
        fake_put(&t->port, t->frame, bytes);
        counted(t, bits[i].why);
    }
    memcpy(t->frame, good, bytes); // the form is wrong, under a right tag
    t->frame[30] = 2;
    packet_seal(t->frame, bytes, t->what.key);
    fake_put(&t->port, t->frame, bytes);
    counted(t, INGEST_DROP_ITEMS);

    core_metrics(t->w.core, &c);
    assert_int_equal(c.decisions, decisions);
    assert_int_equal(packets_available(t, cell), 10);
}

static void a_sequence_acts_once(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10000);
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    uint32_t bytes = packets_end(t);
    uint8_t first[PACKET_BYTES_MAX];
    memcpy(first, t->frame, bytes);
    fake_put(&t->port, first, bytes);
    (void)settled(t, NULL);
    fake_clear(&t->port);
    fake_put(&t->port, first, bytes);
    counted(t, INGEST_DROP_REPLAYED);
    // A forged number, far ahead, does not move the window.
    memcpy(t->frame, first, bytes);
    t->frame[14] = 0x40;
    fake_put(&t->port, t->frame, bytes);
    counted(t, INGEST_DROP_FORGED);
    t->sequence = 1000; // the next are good, out of order, and the first is now too old
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    t->sequence = 500;
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    (void)settled(t, NULL);
    assert_int_equal(t->port.out_count, 2);
    fake_clear(&t->port);
    fake_put(&t->port, first, bytes);
    counted(t, INGEST_DROP_OLD);
}

static void sessions_end(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    t->what.expires_ms = core_now(t->w.core) + 100;
    packets_session(t);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    assert_int_equal(settled(t, NULL).outcome, PACKET_OUT_DONE);
    fake_clear(&t->port);
    world_pass(&t->w, 100);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    counted(t, INGEST_DROP_EXPIRED);
    t->what.expires_ms = INGEST_SESSION_FOREVER;
    packets_session(t);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    assert_int_equal(ingest_session_close(t->sessions, t->session), HF_OK);
    world_settle(&t->w);
    packets_run(t); // what was decided is answered all the same
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_DONE);
    fake_clear(&t->port);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    counted(t, INGEST_DROP_SESSION);
}

static void another_queue_may_not_have_it(void **state)
{
    struct packet_world *t = *state;
    struct fake_port other = {.port = {.ops = &fake_port_ops, .frames_max = 64}};
    struct ingest_queue_options o = {.core = t->w.core,
                                     .worker = t->w.worker,
                                     .sessions = t->sessions,
                                     .port = &other.port,
                                     .number = 1,
                                     .burst = BURST};
    struct ingest_queue *q;
    struct ingest_metrics m = {0};
    assert_int_equal(ingest_queue_create(&o, &q), HF_OK);
    uint32_t cell = packets_cell(t, "tea", 10);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1); // pins it to queue 0
    packets_run(t);
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    uint32_t bytes = packets_end(t);
    fake_put(&other, t->frame, bytes);
    while (ingest_queue_step(q))
        ;
    ingest_queue_metrics(q, &m);
    assert_int_equal(m.dropped[INGEST_DROP_QUEUE], 1);
    assert_int_equal(packets_available(t, cell), 9);
    ingest_queue_destroy(q);
    fake_clear(&other);
    world_settle(&t->w);
    packets_run(t);
}

// ------------------------------------------------------------------------------- what may be asked

static void a_stale_directory_is_refused(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    packets_add(t, PACKET_RELEASE, world_id(&t->w), NULL, 0);
    for (uint64_t stale = 0; stale < 2; stale++) {
        uint64_t generation = stale ? core_generation(t->w.core) ^ 1 : 0;
        uint32_t bytes = packet_end(&t->writer, t->session, ++t->sequence, generation, 0x5eed);
        packet_seal(t->frame, bytes, t->what.key);
        fake_put(&t->port, t->frame, bytes);
        packets_run(t);
        assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_STALE_DIRECTORY);
        assert_int_equal(packets_answer(t, 0, 1, NULL).outcome,
                         stale ? PACKET_OUT_STALE_DIRECTORY : PACKET_OUT_UNKNOWN);
        fake_clear(&t->port);
    }
    assert_int_equal(packets_available(t, cell), 10);
    packets_begin(t); // nothing asked: the reply tells the generation
    uint32_t bytes = packet_end(&t->writer, t->session, ++t->sequence, 0, 0x5eed);
    packet_seal(t->frame, bytes, t->what.key);
    fake_put(&t->port, t->frame, bytes);
    packets_run(t);
    struct packet_header h;
    assert_int_equal(t->port.out_count, 1);
    assert_int_equal(packet_read(t->port.out[0].data, t->port.out[0].bytes, PACKET_REPLY, &h),
                     PACKET_FAULT_NONE);
    assert_true(h.generation == core_generation(t->w.core));
}

static void bad_items_are_told_one_by_one(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    struct packet_item odd = {.kind = 99, .lines = 1};
    world_pass(&t->w, 5000); // the floor is where it belongs
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    assert_true(packet_add(&t->writer, odd, &(struct packet_line){cell, 1}));
    packets_add(t, PACKET_ORDER, world_id(&t->w), (struct packet_line[]){{cell, 1}, {77, 1}}, 2);
    packets_add(t, PACKET_ORDER, hf_uuid_v7(5, 1, 2), &(struct packet_line){cell, 1}, 1);
    packets_add(t, PACKET_ORDER, (struct hf_uuid){1, 2}, &(struct packet_line){cell, 1}, 1);
    packets_put(t);
    (void)settled(t, NULL);
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_DONE);
    assert_int_equal(packets_answer(t, 0, 1, NULL).outcome, PACKET_OUT_INVALID);
    assert_int_equal(packets_answer(t, 0, 1, NULL).detail, PACKET_FIELD_KIND << 16);
    assert_int_equal(packets_answer(t, 0, 2, NULL).detail, PACKET_FIELD_HANDLE << 16 | 1);
    assert_int_equal(packets_answer(t, 0, 3, NULL).outcome, PACKET_OUT_ID_TOO_OLD);
    assert_int_equal(packets_answer(t, 0, 4, NULL).detail, PACKET_FIELD_ID << 16);
    assert_int_equal(packets_available(t, cell), 9);
}

static void a_session_is_held_to_its_rights(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    t->what.kinds = INGEST_KINDS_QUERY;
    packets_session(t);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_FORBIDDEN);
    fake_clear(&t->port);
    t->what.kinds = INGEST_KINDS_ALL;
    t->what.rate = 100;
    t->what.burst = 2;
    packets_session(t);
    for (int i = 0; i < 3; i++)
        one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t); // the third is answered before the others: it waits for nothing
    assert_int_equal(t->port.out_count, 1);
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_RATE_LIMITED);
    assert_int_equal(packets_answer(t, 0, 0, NULL).detail, 10);
    assert_int_equal(packets_available(t, cell), 8);
    world_settle(&t->w);
    packets_run(t);
    assert_int_equal(t->port.out_count, 3);
}

static void a_closed_network_needs_no_tags(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    t->what.tagged = false;
    packets_session(t);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    assert_int_equal(settled(t, NULL).outcome, PACKET_OUT_DONE);
    fake_clear(&t->port);
    packets_begin(t);
    packets_add(t, PACKET_ORDER, world_id(&t->w), &(struct packet_line){cell, 1}, 1);
    uint32_t bytes = packets_end(t);
    t->frame[32] = 1;
    fake_put(&t->port, t->frame, bytes);
    counted(t, INGEST_DROP_FORGED);
}

static void a_channel_goes_with_the_session(void **state)
{
    struct packet_world *t = *state;
    struct core_admin_answer made;
    struct core_view view;
    uint32_t cell = packets_cell(t, "tea", 10);
    core_channel_make(t->w.worker, core_now(t->w.core), "web", 3, &made);
    assert_int_equal(made.outcome, CORE_OUT_DONE);
    t->what.channel = (uint16_t)made.handle;
    packets_session(t);
    struct hf_uuid id = world_id(&t->w);
    one(t, PACKET_HOLD, id, cell, 1);
    bare(t, PACKET_COMMIT, id);
    (void)settled(t, NULL);
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_DONE);
    assert_int_equal(packets_answer(t, 1, 0, NULL).outcome, PACKET_OUT_DONE);
    assert_int_equal(core_get(t->w.worker, core_now(t->w.core), id, &view, NULL, 0), HF_OK);
    assert_int_equal(view.state, CORE_STATE_COMMITTED);
    assert_int_equal(view.channel, made.handle);
}

// ------------------------------------------------------------------------------- full, and asleep

static void too_many_held_is_busy_before_it_is_decided(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 1000);
    for (int i = 0; i < 80; i++) // 56 may be held: 64 buffers less a burst
        one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    assert_int_equal(packets_available(t, cell), 1000 - 56);
    assert_int_equal(t->port.out_count, 24);
    for (uint32_t i = 0; i < 24; i++) {
        struct packet_answer a = packets_answer(t, i, 0, NULL);
        assert_int_equal(a.outcome, PACKET_OUT_BUSY);
        assert_true(a.detail > 0);
        assert_int_equal(a.state, PACKET_STATE_NONE);
    }
    assert_int_equal(metrics(t).held_busy, 24);
    assert_int_equal(metrics(t).held, 56);
    world_settle(&t->w);
    packets_run(t);
    assert_int_equal(t->port.out_count, 80);
    for (uint32_t i = 24; i < 80; i++)
        assert_int_equal(packets_answer(t, i, 0, NULL).outcome, PACKET_OUT_DONE);
}

static void a_stopped_engine_is_busy(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    // The next writes fail: what was decided stays untold, for ever.
    t->w.disk->faults.write_error_in = 1;
    while (core_step_writer(t->w.core, false) == HF_OK)
        ;
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    assert_int_equal(packets_answer(t, 0, 0, NULL).outcome, PACKET_OUT_BUSY);
    assert_int_equal(t->port.out_count, 1);
    assert_false(ingest_queue_drain(t->queue));
}

static void it_sleeps_and_is_woken_when_durable(void **state)
{
    struct packet_world *t = *state;
    uint32_t cell = packets_cell(t, "tea", 10);
    ingest_queue_durable_advanced(t->queue);
    assert_int_equal(t->port.rings, 0); // nothing waits
    ingest_queue_wait(t->queue, 1000);
    assert_int_equal(t->port.waits, 1);
    one(t, PACKET_ORDER, world_id(&t->w), cell, 1);
    packets_run(t);
    ingest_queue_wait(t->queue, 1000);
    assert_int_equal(t->port.waits, 2);
    world_settle(&t->w);
    ingest_queue_wait(t->queue, 1000); // no sleep: it can be told already
    assert_int_equal(t->port.waits, 2);
    assert_true(ingest_queue_drain(t->queue));
    assert_int_equal(t->port.out_count, 1);
    ingest_queue_ring(t->queue);
    assert_int_equal(t->port.rings, 1);
}

// In the modes that don't wait for the disk nothing is held, and nothing says that it is durable.
static void without_durability_answers_leave_at_once(void **state)
{
    struct packet_world *t = *state;
    packets_close(t);
    fake_storage_kill(t->w.disk);
    t->w.options.journal.mode = JOURNAL_NONE;
    packets_open(t, 64, BURST);
    uint32_t cell = packets_cell(t, "tea", 10);
    struct hf_uuid id = world_id(&t->w);
    one(t, PACKET_ORDER, id, cell, 1);
    packets_run(t);
    struct packet_answer a = packets_answer(t, 0, 0, NULL);
    assert_int_equal(a.outcome, PACKET_OUT_DONE);
    assert_int_equal(a.flags, 0);
    bare(t, PACKET_QUERY, id);
    packets_run(t);
    a = packets_answer(t, 1, 0, NULL);
    assert_int_equal(a.state, PACKET_STATE_COMMITTED);
    assert_int_equal(a.flags, 0);
}

static void names_and_helps_are_there(void **state)
{
    (void)state;
    assert_string_equal(ingest_drop_name(INGEST_DROP_FORGED), "FORGED");
    assert_string_equal(ingest_drop_help(INGEST_DROP_FORGED), "a wrong tag");
    assert_string_equal(ingest_drop_name(INGEST_DROP_COUNT), "unknown");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_order_is_answered_when_durable),
        TEST(a_refusal_tells_what_is_missing),
        TEST(a_hold_lives_and_ends_once),
        TEST(records_and_cells_are_told),
        TEST(a_resend_is_a_repeat),
        TEST(a_resend_tells_what_was_taken),
        TEST(items_of_one_frame_act_in_its_order),
        TEST(full_frames_are_decided_in_pieces),
        TEST(strangers_never_reach_the_engine),
        TEST(a_sequence_acts_once),
        TEST(sessions_end),
        TEST(another_queue_may_not_have_it),
        TEST(a_stale_directory_is_refused),
        TEST(bad_items_are_told_one_by_one),
        TEST(a_session_is_held_to_its_rights),
        TEST(a_closed_network_needs_no_tags),
        TEST(a_channel_goes_with_the_session),
        TEST(too_many_held_is_busy_before_it_is_decided),
        TEST(a_stopped_engine_is_busy),
        TEST(it_sleeps_and_is_woken_when_durable),
        TEST(without_durability_answers_leave_at_once),
        cmocka_unit_test(names_and_helps_are_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
