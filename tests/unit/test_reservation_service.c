// ReservationService without a network: what an answer rests on is told with it, so that the
// listener can wait for the disk.
#include "unit/service_world.h"

#include "holdfast/v1/erp.pb-c.h"

#define VERB(method)   "/holdfast.v1.ReservationService/" method
#define FREE_ANSWER(m) protobuf_c_message_free_unpacked(&(m)->base, NULL)

typedef Holdfast__V1__ReserveRequest Reserve;

struct ask {
    Reserve request;
    Holdfast__V1__Line line, *lines[1];
    char id[HF_UUID_TEXT_BYTES];
};

static void ask_make(struct service_world *t, struct ask *a, uint32_t handle, int64_t quantity)
{
    holdfast__v1__reserve_request__init(&a->request);
    holdfast__v1__line__init(&a->line);
    hf_uuid_format(world_id(&t->w), a->id);
    a->line.handle = handle;
    a->line.generation = core_generation(t->w.core);
    a->line.quantity = quantity;
    a->lines[0] = &a->line;
    a->request.reservation_id = a->id;
    a->request.ttl_ms = 60000;
    a->request.lines = a->lines;
    a->request.n_lines = 1;
}

// Its ticket; the hold is not on the disk yet.
static uint64_t reserve(struct service_world *t, struct ask *a)
{
    world_call(t, VERB("Reserve"), &a->request);
    Holdfast__V1__ReserveResponse *r = world_answer(t, &holdfast__v1__reserve_response__descriptor);
    assert_int_equal(r->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
    FREE_ANSWER(r);
    return t->call.ticket;
}

// Whoever is told of a conflict could act on what a crash then undoes.
static void a_conflict_rests_on_the_decision_that_it_conflicts_with(void **state)
{
    struct service_world *t = *state;
    struct ask a;
    ask_make(t, &a, world_cell(&t->w, "apple", 100), 2);
    uint64_t ticket = reserve(t, &a);
    assert_true(ticket > core_durable(t->w.core));
    a.line.quantity = 3;
    world_call(t, VERB("Reserve"), &a.request);
    world_refused(t, RPC_ALREADY_EXISTS, NULL);
    assert_string_equal(t->call.error.reason, "CONFLICT");
    assert_int_equal(t->call.ticket, ticket);
    a.line.quantity = 2;
    assert_int_equal(reserve(t, &a), ticket); // so does the repeat
    world_settle(&t->w);
    a.line.quantity = 3;
    world_call(t, VERB("Reserve"), &a.request);
    world_refused(t, RPC_ALREADY_EXISTS, NULL);
    assert_true(t->call.ticket <= core_durable(t->w.core));
}

// An operation id that was used: the same through a verb that changes.
static void a_conflict_of_operations_rests_on_the_first(void **state)
{
    struct service_world *t = *state;
    struct ask a;
    char op[HF_UUID_TEXT_BYTES];
    ask_make(t, &a, world_cell(&t->w, "apple", 100), 2);
    reserve(t, &a);
    world_settle(&t->w);
    hf_uuid_format(world_id(&t->w), op);
    Holdfast__V1__ExtendRequest e = HOLDFAST__V1__EXTEND_REQUEST__INIT;
    e.reservation_id = a.id;
    e.operation_id = op;
    e.ttl_ms = 70000;
    world_call(t, VERB("Extend"), &e);
    Holdfast__V1__ExtendResponse *r = world_answer(t, &holdfast__v1__extend_response__descriptor);
    assert_int_equal(r->decision->version, 2);
    FREE_ANSWER(r);
    uint64_t ticket = t->call.ticket;
    assert_true(ticket > core_durable(t->w.core));
    e.ttl_ms = 80000;
    world_call(t, VERB("Extend"), &e);
    world_refused(t, RPC_ALREADY_EXISTS, NULL);
    assert_int_equal(t->call.ticket, ticket);
}

static void what_rests_on_nothing_waits_for_nothing(void **state)
{
    struct service_world *t = *state;
    struct ask a;
    uint32_t handle = world_cell(&t->w, "apple", 1);
    ask_make(t, &a, handle, 1);
    reserve(t, &a);
    assert_true(t->call.ticket > core_durable(t->w.core));
    ask_make(t, &a, handle, -1);
    world_call(t, VERB("Reserve"), &a.request);
    world_refused(t, RPC_INVALID_ARGUMENT, "lines[0].quantity");
    assert_int_equal(t->call.ticket, 0);
    Holdfast__V1__ReleaseRequest r = HOLDFAST__V1__RELEASE_REQUEST__INIT;
    r.reservation_id = a.id;
    world_call(t, VERB("Release"), &r);
    world_refused(t, RPC_NOT_FOUND, NULL);
    assert_int_equal(t->call.ticket, 0);
}

// ------------------------------------------------------------------------------- limits of keys

// Orders of two lines leave memory as soon as they are decided: whose they are stands on the disk.
struct limits {
    struct rpc_call *pub;
    struct service_local *slow;
    uint32_t north[2], south[2];
};

static uint32_t cell_at(struct service_world *t, const char *sku, const char *location)
{
    struct core_admin_answer a;
    uint64_t now_ms = core_now(t->w.core);
    core_cell_make(t->w.worker, now_ms, sku, (uint32_t)strlen(sku), location,
                   (uint32_t)strlen(location), 0, &a);
    struct core_change ch = {.op_id = world_id(&t->w), .handle = a.handle, .value = 100};
    core_change(t->w.worker, now_ms, &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    return ch.handle;
}

static struct limits limits_make(struct service_world *t)
{
    struct limits k = {.pub = &t->call.pub};
    k.slow = t->hooks.thread_start(t->hooks.ctx, 1);
    assert_non_null(k.slow);
    for (int i = 0; i < 2; i++) {
        k.north[i] = cell_at(t, i ? "pear" : "apple", "north");
        k.south[i] = cell_at(t, i ? "pear" : "apple", "south");
    }
    world_settle(&t->w);
    t->who.location_count = 1;
    memcpy(t->who.locations[0], "north", sizeof "north");
    return k;
}

static struct hf_uuid two_lines(struct service_world *t, enum core_verb verb, uint32_t one,
                                uint32_t other)
{
    struct core_line lines[2] = {{.handle = one, .quantity = 1}, {.handle = other, .quantity = 1}};
    struct core_request r = {.verb = verb,
                             .id = world_id(&t->w),
                             .lines = lines,
                             .line_count = 2,
                             .ttl_ms = verb == CORE_RESERVE ? 1000 : 0};
    struct core_answer a;
    core_execute(t->w.worker, core_now(t->w.core), &r, &a, 1);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    return r.id;
}

// Asks in the poller, which must hand it on, then in the slow lane.
static void ask_slowly(struct service_world *t, struct limits *k, const char *path,
                       const void *request)
{
    fake_call_fini(&t->call);
    fake_call_init(&t->call, &t->who);
    t->call.may_defer = true;
    k->pub->method = method_of(path);
    fake_request(&t->call, request);
    t->hooks.burst(t->hooks.ctx, t->local, &k->pub, 1);
    assert_true(t->call.deferred && !t->call.ended);
    t->hooks.deferred(t->hooks.ctx, k->slow, k->pub);
    assert_true(t->call.ended);
}

static void get_slowly(struct service_world *t, struct limits *k, struct hf_uuid id)
{
    Holdfast__V1__GetReservationRequest get = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
    char text[HF_UUID_TEXT_BYTES];
    hf_uuid_format(id, text);
    get.reservation_id = text;
    ask_slowly(t, k, VERB("GetReservation"), &get);
}

static void refused_for(struct service_world *t, enum rpc_code code, const char *reason)
{
    world_refused(t, code, NULL);
    assert_string_equal(t->call.error.reason, reason);
}

static size_t listed(struct service_world *t)
{
    Holdfast__V1__ListReservationsRequest list = HOLDFAST__V1__LIST_RESERVATIONS_REQUEST__INIT;
    world_call(t, VERB("ListReservations"), &list);
    Holdfast__V1__ListReservationsResponse *r =
        world_answer(t, &holdfast__v1__list_reservations_response__descriptor);
    size_t n = r->n_reservations;
    FREE_ANSWER(r);
    return n;
}

static void a_key_with_locations_does_not_see_what_is_away(void **state)
{
    struct service_world *t = *state;
    struct limits k = limits_make(t);
    struct hf_uuid held = two_lines(t, CORE_RESERVE, k.south[0], k.south[1]);
    struct hf_uuid mine = two_lines(t, CORE_ORDER, k.north[0], k.north[1]);
    struct hf_uuid others = two_lines(t, CORE_ORDER, k.south[0], k.south[1]);
    struct hf_uuid both = two_lines(t, CORE_RECORD, k.north[0], k.south[1]);
    get_slowly(t, &k, others); // not on the disk yet: nobody knows whose it is
    refused_for(t, RPC_RESOURCE_EXHAUSTED, "BUSY");
    world_pass(&t->w, 2000); // the hold ends
    assert_int_equal(listed(t), 0);
    struct hf_uuid foreign[] = {held, others, both};
    for (int i = 0; i < 3; i++) {
        get_slowly(t, &k, foreign[i]);
        refused_for(t, RPC_PERMISSION_DENIED, "RESERVATION");
    }
    get_slowly(t, &k, mine);
    Holdfast__V1__GetReservationResponse *r =
        world_answer(t, &holdfast__v1__get_reservation_response__descriptor);
    assert_int_equal(r->reservation->n_lines, 2);
    FREE_ANSWER(r);
    assert_int_equal(listed(t), 1);
    t->hooks.thread_stop(t->hooks.ctx, k.slow);
}

// What has no lines any more can't be shown to be the key's.
static void a_key_with_locations_does_not_see_what_has_no_lines(void **state)
{
    struct service_world *t = *state;
    struct limits k = limits_make(t);
    struct core_line line = {.handle = k.south[0], .quantity = 1000};
    struct core_request order = {
        .verb = CORE_ORDER, .id = world_id(&t->w), .lines = &line, .line_count = 1};
    assert_int_equal(world_do(&t->w, &order).outcome, CORE_OUT_REFUSED);
    struct core_request release = {.verb = CORE_RELEASE,
                                   .id = two_lines(t, CORE_RESERVE, k.south[0], k.south[1])};
    assert_int_equal(world_do(&t->w, &release).outcome, CORE_OUT_DONE);
    struct hf_uuid ids[] = {order.id, release.id};
    for (int i = 0; i < 2; i++) {
        Holdfast__V1__GetReservationRequest get = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
        char text[HF_UUID_TEXT_BYTES];
        hf_uuid_format(ids[i], text);
        get.reservation_id = text;
        world_call(t, VERB("GetReservation"), &get);
        refused_for(t, RPC_PERMISSION_DENIED, "RESERVATION");
    }
    assert_int_equal(listed(t), 0);
    t->hooks.thread_stop(t->hooks.ctx, k.slow);
}

// Whoever is to look on the disk has no room for it.
static void a_full_slow_queue_is_told_as_such(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__GetReservationRequest get = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
    char text[HF_UUID_TEXT_BYTES];
    uint32_t cells[2] = {world_cell(&t->w, "apple", 10), world_cell(&t->w, "pear", 10)};
    hf_uuid_format(two_lines(t, CORE_ORDER, cells[0], cells[1]), text);
    get.reservation_id = text;
    world_call(t, VERB("GetReservation"), &get);
    refused_for(t, RPC_RESOURCE_EXHAUSTED, "SLOW_QUEUE_FULL");
    assert_true(t->call.error.retry_ms > 0);
}

// One line lies at the key's location, so the request itself is as it should be.
static void cancel_slowly(struct service_world *t, struct limits *k, struct hf_uuid id)
{
    Holdfast__V1__CancelRequest cancel = HOLDFAST__V1__CANCEL_REQUEST__INIT;
    Holdfast__V1__Line line = HOLDFAST__V1__LINE__INIT, *lines[1] = {&line};
    char text[HF_UUID_TEXT_BYTES], op[HF_UUID_TEXT_BYTES];
    hf_uuid_format(id, text);
    hf_uuid_format(world_id(&t->w), op);
    line.handle = k->north[0];
    line.generation = core_generation(t->w.core);
    line.quantity = 1;
    cancel.reservation_id = text;
    cancel.operation_id = op;
    cancel.lines = lines;
    cancel.n_lines = 1;
    ask_slowly(t, k, VERB("Cancel"), &cancel);
}

static void a_key_with_locations_changes_nothing_that_is_away(void **state)
{
    struct service_world *t = *state;
    struct limits k = limits_make(t);
    struct hf_uuid both = two_lines(t, CORE_ORDER, k.north[0], k.south[1]);
    struct hf_uuid mine = two_lines(t, CORE_ORDER, k.north[0], k.north[1]);
    cancel_slowly(t, &k, both);
    refused_for(t, RPC_RESOURCE_EXHAUSTED, "BUSY");
    world_settle(&t->w);
    cancel_slowly(t, &k, both);
    refused_for(t, RPC_PERMISSION_DENIED, "RESERVATION");
    assert_int_equal(world_read(&t->w, k.north[0]).committed, 2);
    cancel_slowly(t, &k, mine);
    Holdfast__V1__CancelResponse *r = world_answer(t, &holdfast__v1__cancel_response__descriptor);
    assert_int_equal(r->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
    FREE_ANSWER(r);
    world_settle(&t->w);
    assert_int_equal(world_read(&t->w, k.north[0]).committed, 1);
    t->hooks.thread_stop(t->hooks.ctx, k.slow);
}

// Its lines have left memory with its end; asked again, it is answered as before.
static void a_key_with_locations_gets_its_repeats(void **state)
{
    struct service_world *t = *state;
    struct limits k = limits_make(t);
    char id[HF_UUID_TEXT_BYTES];
    Holdfast__V1__CommitRequest commit = HOLDFAST__V1__COMMIT_REQUEST__INIT;
    Holdfast__V1__ReleaseRequest release = HOLDFAST__V1__RELEASE_REQUEST__INIT;
    commit.reservation_id = release.reservation_id = id;
    hf_uuid_format(two_lines(t, CORE_RESERVE, k.north[0], k.north[1]), id);
    for (int repeat = 0; repeat < 2; repeat++) {
        if (repeat)
            ask_slowly(t, &k, VERB("Commit"), &commit);
        else
            world_call(t, VERB("Commit"), &commit);
        Holdfast__V1__CommitResponse *r =
            world_answer(t, &holdfast__v1__commit_response__descriptor);
        assert_int_equal(r->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
        assert_int_equal(r->decision->repeat, repeat);
        FREE_ANSWER(r);
        world_settle(&t->w);
    }
    hf_uuid_format(two_lines(t, CORE_RESERVE, k.north[0], k.north[1]), id);
    for (int repeat = 0; repeat < 2; repeat++) {
        world_call(t, VERB("Release"), &release);
        Holdfast__V1__ReleaseResponse *r =
            world_answer(t, &holdfast__v1__release_response__descriptor);
        assert_int_equal(r->decision->outcome, HOLDFAST__V1__OUTCOME__OUTCOME_DONE);
        assert_int_equal(r->decision->repeat, repeat);
        FREE_ANSWER(r);
        world_settle(&t->w);
    }
    t->hooks.thread_stop(t->hooks.ctx, k.slow);
}

// ------------------------------------------------------------------------------- long scans

#define MANY  70000 // more than a page looks at
#define HOLDS 300

static int set_up_many(void **state)
{
    struct service_world *t = calloc(1, sizeof *t);
    world_init(&t->w);
    t->w.options.ids_max = 2 * MANY;
    t->w.options.workers_max = 3;
    t->w.options.journal.segment_bytes = 16 << 20;
    t->who = *auth_anonymous();
    t->key.in_force = 1;
    fake_call_init(&t->call, &t->who);
    service_world_open(t);
    *state = t;
    return 0;
}

static void many_make(struct service_world *t, enum core_verb verb, uint32_t handle, uint32_t count)
{
    struct core_line line = {.handle = handle, .quantity = 1};
    static struct core_request r[64];
    static struct core_answer a[64];
    for (uint32_t at = 0; at < count; at += 64) {
        uint32_t n = count - at < 64 ? count - at : 64;
        for (uint32_t i = 0; i < n; i++)
            r[i] = (struct core_request){.verb = verb,
                                         .id = world_id(&t->w),
                                         .lines = &line,
                                         .line_count = 1,
                                         .ttl_ms = verb == CORE_RESERVE ? 60000 : 0};
        core_execute(t->w.worker, core_now(t->w.core), r, a, n);
        for (uint32_t i = 0; i < n; i++)
            assert_int_equal(a[i].outcome, CORE_OUT_DONE);
        world_settle(&t->w);
    }
}

// A page that finds little ends all the same, so that others in the slow lane have their turn.
static void a_page_of_a_list_looks_only_so_far(void **state)
{
    struct service_world *t = *state;
    uint32_t handle = world_cell(&t->w, "apple", MANY + HOLDS);
    char token[20] = "";
    many_make(t, CORE_ORDER, handle, MANY);
    many_make(t, CORE_RESERVE, handle, HOLDS);
    Holdfast__V1__ListReservationsRequest list = HOLDFAST__V1__LIST_RESERVATIONS_REQUEST__INIT;
    list.state = HOLDFAST__V1__RESERVATION_STATE__RESERVATION_STATE_HELD;
    list.page_size = 1000;
    list.page_token = token;
    size_t pages = 0, found = 0;
    do {
        world_call(t, VERB("ListReservations"), &list);
        Holdfast__V1__ListReservationsResponse *r =
            world_answer(t, &holdfast__v1__list_reservations_response__descriptor);
        found += r->n_reservations;
        pages++;
        if (pages == 1) // though there was room for all
            assert_true(found < HOLDS);
        snprintf(token, sizeof token, "%s", r->next_page_token);
        FREE_ANSWER(r);
    } while (token[0]);
    assert_int_equal(found, HOLDS);
    assert_int_equal(pages, 2);
}

// Holds on any of the short cells, the same on two of them once for each.
static void short_cells_are_listed_with_their_holds(void **state)
{
    struct service_world *t = *state;
    uint32_t cells[3] = {world_cell(&t->w, "apple", 10), world_cell(&t->w, "pear", 10),
                         world_cell(&t->w, "plum", 10)};
    two_lines(t, CORE_RESERVE, cells[0], cells[2]);
    two_lines(t, CORE_RESERVE, cells[0], cells[1]);
    for (int i = 0; i < 3; i += 2) { // apple and plum
        struct core_admin_answer a;
        struct core_change ch = {.op_id = world_id(&t->w), .handle = cells[i]};
        core_change(t->w.worker, core_now(t->w.core), &ch, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
    }
    Holdfast__V1__ListShortRequest list = HOLDFAST__V1__LIST_SHORT_REQUEST__INIT;
    list.orders = true;
    world_call(t, "/holdfast.v1.ErpService/ListShort", &list);
    Holdfast__V1__ListShortResponse *r =
        world_answer(t, &holdfast__v1__list_short_response__descriptor);
    assert_int_equal(r->n_cells, 2);
    assert_false(r->cut);
    assert_string_equal(r->cells[0]->sku, "apple");
    assert_int_equal(r->cells[0]->n_orders, 2);
    assert_string_equal(r->cells[1]->sku, "plum");
    assert_int_equal(r->cells[1]->n_orders, 1);
    assert_int_equal(r->cells[1]->orders[0]->quantity, 1);
    FREE_ANSWER(r);
    fake_call_fini(&t->call);
    fake_call_init(&t->call, &t->who);
    t->call.pub.method = method_of("/holdfast.v1.ErpService/ListShort");
    fake_request(&t->call, &list.base);
    t->call.expired = true; // nobody waits any more
    t->call.pub.method->run(t->hooks.ctx, t->local, &t->call.pub);
    world_refused(t, RPC_DEADLINE_EXCEEDED, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_conflict_rests_on_the_decision_that_it_conflicts_with),
        TEST(a_conflict_of_operations_rests_on_the_first),
        TEST(what_rests_on_nothing_waits_for_nothing),
        TEST(a_key_with_locations_does_not_see_what_is_away),
        TEST(a_key_with_locations_does_not_see_what_has_no_lines),
        TEST(a_key_with_locations_changes_nothing_that_is_away),
        TEST(a_key_with_locations_gets_its_repeats),
        TEST(a_full_slow_queue_is_told_as_such),
        TEST(short_cells_are_listed_with_their_holds),
        cmocka_unit_test_setup_teardown(a_page_of_a_list_looks_only_so_far, set_up_many,
                                        service_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
