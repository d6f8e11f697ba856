// grpc.health.v1 and server reflection by their protocols, called as the listener would.
#include "unit/service_world.h"

#include "rpc/descriptor.h"

#include "grpc/reflection/v1/reflection.pb-c.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

// ------------------------------------------------------------------------------- health

static void check(struct service_world *t, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    r.service = text(service);
    world_call(t, "/grpc.health.v1.Health/Check", &r);
}

static int checked(struct service_world *t, const char *service)
{
    check(t, service);
    Grpc__Health__V1__HealthCheckResponse *a =
        world_answer(t, &grpc__health__v1__health_check_response__descriptor);
    int status = a->status;
    protobuf_c_message_free_unpacked(&a->base, NULL);
    return status;
}

static void check_tells_the_state_of_every_service(void **state)
{
    struct service_world *t = *state;
    char name[DESCRIPTOR_NAME_BYTES];
    assert_int_equal(checked(t, ""), STATUS(NOT_SERVING));
    service_serving(t->service, true);
    assert_int_equal(checked(t, ""), STATUS(SERVING));
    uint32_t i = 0;
    for (; descriptor_service(i, name); i++) // whatever reflection lists can be asked about
        assert_int_equal(checked(t, name), STATUS(SERVING));
    assert_true(i >= 6);
    service_serving(t->service, false);
    assert_int_equal(checked(t, "holdfast.v1.ReservationService"), STATUS(NOT_SERVING));
    static const char *const unknown[] = {"x",           "holdfast.v1.Reservation",
                                          "holdfast.v1", "holdfast.v1.ReservationService/Reserve",
                                          "/",           "holdfast.v1.ReservationServices"};
    for (i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        check(t, unknown[i]);
        world_refused(t, RPC_NOT_FOUND, NULL);
    }
}

static const struct rpc_method *stream_open(struct service_world *t, struct fake_call *c,
                                            const char *path)
{
    fake_call_init(c, &t->who);
    c->pub.method = method_of(path);
    c->pub.method->opened(t->hooks.ctx, t->local, &c->pub);
    assert_true(c->receiving);
    return c->pub.method;
}

static void watch(struct service_world *t, struct fake_call *c, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest r = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    r.service = text(service);
    const struct rpc_method *m = stream_open(t, c, "/grpc.health.v1.Health/Watch");
    fake_request(c, &r.base);
    m->received(t->hooks.ctx, t->local, &c->pub);
}

// What the client reads next; -1: nothing.
static int watched(struct service_world *t, struct fake_call *c)
{
    while (c->wakes) {
        c->wakes = 0;
        c->pub.method->woken(t->hooks.ctx, t->local, &c->pub);
    }
    Grpc__Health__V1__HealthCheckResponse *a =
        fake_take(c, &grpc__health__v1__health_check_response__descriptor);
    if (!a)
        return -1;
    int status = a->status;
    protobuf_c_message_free_unpacked(&a->base, NULL);
    c->pub.method->sent(t->hooks.ctx, t->local, &c->pub);
    return status;
}

static void watch_close(struct service_world *t, struct fake_call *c)
{
    c->pub.method->closed(t->hooks.ctx, t->local, &c->pub);
    fake_call_fini(c);
}

static void watch_tells_each_change(void **state)
{
    struct service_world *t = *state;
    struct fake_call a, b;
    watch(t, &a, "");
    watch(t, &b, "holdfast.v1.StockReadService");
    assert_int_equal(watched(t, &a), STATUS(NOT_SERVING));
    assert_int_equal(watched(t, &a), -1);
    service_serving(t->service, true);
    assert_int_equal(watched(t, &a), STATUS(SERVING));
    service_serving(t->service, true); // no change
    assert_int_equal(watched(t, &a), -1);
    assert_int_equal(watched(t, &b), STATUS(NOT_SERVING)); // it has not read until now
    assert_int_equal(watched(t, &b), STATUS(SERVING));
    watch_close(t, &a);
    service_serving(t->service, false);
    service_serving(t->service, true); // back again before it looked
    assert_int_equal(watched(t, &b), -1);
    watch_close(t, &b);
}

static void watching_an_unknown_service_says_so(void **state)
{
    struct service_world *t = *state;
    struct fake_call c;
    watch(t, &c, "nobody");
    assert_int_equal(watched(t, &c), STATUS(SERVICE_UNKNOWN));
    service_serving(t->service, true);
    assert_int_equal(watched(t, &c), -1);
    watch_close(t, &c);
    stream_open(t, &c, "/grpc.health.v1.Health/Watch");
    c.pub.method->half_closed(t->hooks.ctx, t->local, &c.pub);
    assert_int_equal(c.error.code, RPC_INVALID_ARGUMENT);
    watch_close(t, &c);
}

// ------------------------------------------------------------------------------- reflection

typedef Grpc__Reflection__V1__ServerReflectionRequest Question;
typedef Grpc__Reflection__V1__ServerReflectionResponse Answer;
#define ASKS(name)    GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWERS(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name
#define V1            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
#define V1ALPHA       "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

static Answer *ask(struct service_world *t, struct fake_call *c, int kind, const char *what)
{
    Question q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    q.host = text("here");
    q.message_request_case = kind;
    q.file_by_filename = text(what); // all of them are strings at one place
    assert_true(c->receiving);
    c->receiving = false;
    arena_reset(&c->pub.arena);
    fake_request(c, &q.base);
    c->pub.method->received(t->hooks.ctx, t->local, &c->pub);
    assert_false(c->receiving); // not before the answer has left
    Answer *a = fake_take(c, &grpc__reflection__v1__server_reflection_response__descriptor);
    assert_non_null(a);
    assert_string_equal(a->valid_host, "here");
    assert_int_equal(a->original_request->message_request_case, kind);
    c->pub.method->sent(t->hooks.ctx, t->local, &c->pub);
    return a;
}

static void answer_free(Answer *a)
{
    protobuf_c_message_free_unpacked(&a->base, NULL);
}

static void file_is(const ProtobufCBinaryData *d, const char *name)
{
    struct descriptor_file f;
    assert_true(descriptor_file_named(name, &f));
    assert_int_equal(d->len, f.byte_count);
    assert_memory_equal(d->data, f.bytes, f.byte_count);
}

static void both_versions_list_services_and_find_files(void **state)
{
    struct service_world *t = *state;
    static const char *const paths[] = {V1, V1ALPHA};
    for (int i = 0; i < 2; i++) {
        struct fake_call c;
        const struct rpc_method *m = stream_open(t, &c, paths[i]);
        Answer *a = ask(t, &c, ASKS(LIST_SERVICES), "*");
        assert_int_equal(a->message_response_case, ANSWERS(LIST_SERVICES_RESPONSE));
        assert_int_equal(a->list_services_response->n_service, 8);
        answer_free(a);
        a = ask(t, &c, ASKS(FILE_CONTAINING_SYMBOL), "holdfast.v1.StockAdminService.SetStock");
        assert_int_equal(a->message_response_case, ANSWERS(FILE_DESCRIPTOR_RESPONSE));
        assert_int_equal(a->file_descriptor_response->n_file_descriptor_proto, 2); // and its import
        file_is(&a->file_descriptor_response->file_descriptor_proto[0],
                "holdfast/v1/stock_admin.proto");
        file_is(&a->file_descriptor_response->file_descriptor_proto[1], "holdfast/v1/common.proto");
        answer_free(a);
        a = ask(t, &c, ASKS(FILE_BY_FILENAME), "grpc/health/v1/health.proto");
        assert_int_equal(a->file_descriptor_response->n_file_descriptor_proto, 1);
        answer_free(a);
        m->half_closed(t->hooks.ctx, t->local, &c.pub);
        assert_true(c.ended && !c.failed);
        m->closed(t->hooks.ctx, t->local, &c.pub);
        fake_call_fini(&c);
    }
}

static void what_is_not_there_is_an_answer_and_the_stream_goes_on(void **state)
{
    struct service_world *t = *state;
    static const struct {
        int kind;
        const char *what;
        enum rpc_code code;
    } rows[] = {{ASKS(FILE_BY_FILENAME), "nothing.proto", RPC_NOT_FOUND},
                {ASKS(FILE_CONTAINING_SYMBOL), "holdfast.v1.Nothing", RPC_NOT_FOUND},
                {ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE), "holdfast.v1.Line", RPC_NOT_FOUND},
                {0, "", RPC_INVALID_ARGUMENT}};
    struct fake_call c;
    stream_open(t, &c, V1);
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        Answer *a = ask(t, &c, rows[i].kind, rows[i].what);
        assert_int_equal(a->message_response_case, ANSWERS(ERROR_RESPONSE));
        assert_int_equal(a->error_response->error_code, rows[i].code);
        assert_true(a->error_response->error_message[0] != '\0');
        answer_free(a);
    }
    fake_call_fini(&c);
}

// ------------------------------------------------------------------------------- the table

static void the_table_is_what_the_descriptors_say(void **state)
{
    (void)state;
    uint32_t count, described = 0;
    const struct rpc_method *m = service_methods(&count);
    for (uint32_t i = 0; i < count; i++) {
        bool client, server;
        if (!descriptor_method(m[i].path, &client, &server))
            fail_msg("%s is not described", m[i].path);
        assert_int_equal(m[i].kind == RPC_STREAM, client || server);
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(m[i].path, m[k].path);
    }
    // Whether every described method is served, python's reading of the set tells (tests/clients).
    char name[DESCRIPTOR_NAME_BYTES];
    for (; descriptor_service(described, name); described++) {
        uint32_t of = 0;
        for (uint32_t i = 0; i < count; i++)
            of += strncmp(m[i].path + 1, name, strlen(name)) == 0 &&
                  m[i].path[1 + strlen(name)] == '/';
        if (of == 0)
            fail_msg("no method of %s is served", name);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(check_tells_the_state_of_every_service),
        TEST(watch_tells_each_change),
        TEST(watching_an_unknown_service_says_so),
        TEST(both_versions_list_services_and_find_files),
        TEST(what_is_not_there_is_an_answer_and_the_stream_goes_on),
        TEST(the_table_is_what_the_descriptors_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
