// ReservationService without a network: what an answer rests on is told with it, so that the
// listener can wait for the disk.
#include "unit/service_world.h"

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

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_conflict_rests_on_the_decision_that_it_conflicts_with),
        TEST(a_conflict_of_operations_rests_on_the_first),
        TEST(what_rests_on_nothing_waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
