// PacketService, method by method: the directory of handles, and sessions.
#include "unit/service_world.h"

#include "ingest/session.h"

#define PACKET(method) "/holdfast.v1.PacketService/" method

#define FREE_ANSWER(m) protobuf_c_message_free_unpacked(&(m)->base, NULL)

// protobuf-c's strings are not const; nobody writes to them here.
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill(struct service_world *t, uint32_t cells)
{
    char sku[16];
    for (uint32_t i = 0; i < cells; i++) {
        snprintf(sku, sizeof sku, "s%u", i);
        const char *location = i % 5 ? "main" : "other";
        struct core_admin_answer a;
        core_cell_make(t->w.worker, core_now(t->w.core), sku, (uint32_t)strlen(sku), location,
                       (uint32_t)strlen(location), 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
    }
    world_settle(&t->w);
}

// ------------------------------------------------------------------------------- the directory

static void names_get_their_handles(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__GetHandlesRequest r = HOLDFAST__V1__GET_HANDLES_REQUEST__INIT;
    Holdfast__V1__StockName names[3], *list[3];
    fill(t, 8);
    for (int i = 0; i < 3; i++) {
        holdfast__v1__stock_name__init(&names[i]);
        list[i] = &names[i];
    }
    names[0].sku = text("s5");
    names[0].location = text("other");
    names[1].sku = text("s5");
    names[1].location = text("main");
    names[2].handle = 6;
    names[2].generation = core_generation(t->w.core);
    r.n_stock = 3;
    r.stock = list;
    world_call(t, PACKET("GetHandles"), &r);
    Holdfast__V1__GetHandlesResponse *a =
        world_answer(t, &holdfast__v1__get_handles_response__descriptor);
    assert_int_equal(a->n_results, 3);
    assert_int_equal(a->generation, core_generation(t->w.core));
    assert_int_equal(t->call.ticket, journal_appended(core_journal(t->w.core)));
    assert_int_equal(a->results[0]->result_case, HOLDFAST__V1__HANDLE_RESULT__RESULT_HANDLE);
    assert_int_equal(a->results[0]->handle->handle, 5);
    assert_true(a->results[0]->handle->active);
    assert_int_equal(a->results[1]->result_case, HOLDFAST__V1__HANDLE_RESULT__RESULT_ERROR);
    assert_int_equal(a->results[1]->error->code, RPC_NOT_FOUND);
    assert_string_equal(a->results[1]->error->field, "stock[1].sku");
    assert_string_equal(a->results[2]->handle->sku, "s6");
    assert_string_equal(a->results[2]->handle->location, "main");
    FREE_ANSWER(a);
    names[2].generation++; // a handle of another directory is refused, never misread
    world_call(t, PACKET("GetHandles"), &r);
    a = world_answer(t, &holdfast__v1__get_handles_response__descriptor);
    assert_string_equal(a->results[2]->error->reason, "STALE_GENERATION");
    FREE_ANSWER(a);
    r.n_stock = 0;
    world_call(t, PACKET("GetHandles"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "stock");
}

static uint32_t list_all(struct service_world *t, Holdfast__V1__ListHandlesRequest *r,
                         uint64_t *sum)
{
    uint32_t handles = 0;
    char token[64] = "";
    *sum = 0;
    do {
        r->page_token = token;
        world_call(t, PACKET("ListHandles"), r);
        Holdfast__V1__ListHandlesResponse *a =
            world_answer(t, &holdfast__v1__list_handles_response__descriptor);
        assert_true(a->n_handles <= (r->page_size ? r->page_size : 100));
        assert_int_equal(a->generation, core_generation(t->w.core));
        handles += (uint32_t)a->n_handles;
        for (size_t i = 0; i < a->n_handles; i++)
            *sum += a->handles[i]->handle;
        snprintf(token, sizeof token, "%s", a->next_page_token);
        FREE_ANSWER(a);
    } while (token[0]);
    r->page_token = text("");
    return handles;
}

static void the_directory_is_listed_page_by_page(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__ListHandlesRequest r = HOLDFAST__V1__LIST_HANDLES_REQUEST__INIT;
    uint64_t sum;
    fill(t, 250);
    assert_int_equal(list_all(t, &r, &sum), 250);
    assert_int_equal(sum, 249 * 250 / 2);
    r.page_size = 7;
    assert_int_equal(list_all(t, &r, &sum), 250);
    r.location = text("other");
    assert_int_equal(list_all(t, &r, &sum), 50);
    r.location = text("");
    t->who.location_count = 1; // and a limited key sees what it may
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "main");
    assert_int_equal(list_all(t, &r, &sum), 200);
    r.location = text("other");
    world_call(t, PACKET("ListHandles"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "location");
}

static void bad_pages_are_refused(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__ListHandlesRequest r = HOLDFAST__V1__LIST_HANDLES_REQUEST__INIT;
    fill(t, 3);
    r.page_size = 1001;
    world_call(t, PACKET("ListHandles"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_size");
    r.page_size = 1;
    world_call(t, PACKET("ListHandles"), &r);
    Holdfast__V1__ListHandlesResponse *a =
        world_answer(t, &holdfast__v1__list_handles_response__descriptor);
    char token[64];
    snprintf(token, sizeof token, "%s", a->next_page_token);
    FREE_ANSWER(a);
    token[3] = token[3] == '0' ? '1' : '0'; // of another generation
    r.page_token = token;
    world_call(t, PACKET("ListHandles"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_token");
}

// ------------------------------------------------------------------------------- sessions

static bool counting(void *bytes, size_t count)
{
    static uint8_t next;
    for (size_t i = 0; i < count; i++)
        ((uint8_t *)bytes)[i] = next++;
    return true;
}

static bool no_randomness(void *bytes, size_t count)
{
    (void)bytes, (void)count;
    return false;
}

static void packets_on(struct service_world *t)
{
    struct ingest_sessions *sessions;
    assert_int_equal(ingest_sessions_create(8, 1, &sessions), HF_OK);
    t->packets = (struct service_packets){.sessions = sessions,
                                          .tagged = true,
                                          .life_ms = 60000,
                                          .items_per_second = 1000,
                                          .key_sessions_max = 3,
                                          .window_frames = 960,
                                          .door_count = 1,
                                          .doors = {{"192.0.2.7", 7422}},
                                          .random = counting};
    service_world_leave(t);
    service_world_serve(t);
}

static int packets_set_up(void **state)
{
    int failed = service_world_set_up(state);
    packets_on(*state);
    return failed;
}

static int packets_tear_down(void **state)
{
    struct service_world *t = *state;
    struct ingest_sessions *sessions = t->packets.sessions;
    int failed = service_world_tear_down(state);
    ingest_sessions_destroy(sessions);
    return failed;
}

static Holdfast__V1__OpenSessionResponse *session_opened(struct service_world *t,
                                                         const Holdfast__V1__OpenSessionRequest *r)
{
    world_call(t, PACKET("OpenSession"), r);
    return world_answer(t, &holdfast__v1__open_session_response__descriptor);
}

static uint32_t session_open(struct service_world *t)
{
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    Holdfast__V1__OpenSessionResponse *a = session_opened(t, &r);
    uint32_t session = a->session_id;
    FREE_ANSWER(a);
    return session;
}

static bool session_is_open(struct service_world *t, uint32_t session)
{
    struct ingest_session found;
    uint32_t queue;
    return ingest_session_read(t->packets.sessions, session, &found, &queue) == HF_OK;
}

static void a_session_is_what_the_table_has(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    struct core_admin_answer made;
    struct ingest_session found;
    uint32_t queue;
    core_channel_make(t->w.worker, core_now(t->w.core), "web", 3, &made);
    world_settle(&t->w);
    r.channel = text("web");
    r.life_ms = 5000;
    r.items_per_second = 70;
    Holdfast__V1__OpenSessionResponse *a = session_opened(t, &r);
    assert_int_equal(ingest_session_read(t->packets.sessions, a->session_id, &found, &queue),
                     HF_OK);
    assert_int_equal(a->key.len, PACKET_KEY_BYTES);
    assert_memory_equal(a->key.data, found.key, PACKET_KEY_BYTES);
    assert_true(a->tagged && found.tagged);
    assert_int_equal(found.channel, made.handle);
    assert_int_equal(found.kinds, INGEST_KINDS_ALL);
    assert_int_equal(found.rate, 70);
    assert_int_equal(found.expires_ms, core_now(t->w.core) + 5000);
    assert_int_equal(a->expires_at_ms, found.expires_ms);
    assert_int_equal(a->expires_in_ms, 5000);
    assert_int_equal(a->items_per_second, 70);
    assert_int_equal(a->generation, core_generation(t->w.core));
    assert_int_equal(a->frame_bytes_max, PACKET_BYTES_MAX);
    assert_int_equal(a->window_frames, 960);
    assert_int_equal(a->n_kinds, 6);
    assert_int_equal(a->n_doors, 1);
    assert_string_equal(a->doors[0]->address, "192.0.2.7");
    assert_int_equal(a->doors[0]->port, 7422);
    FREE_ANSWER(a);
    r.life_ms = r.items_per_second = 0; // the server's most, which more is cut to
    for (int i = 0; i < 2; i++) {
        a = session_opened(t, &r);
        assert_int_equal(a->items_per_second, 1000);
        assert_int_equal(a->expires_in_ms, 60000);
        FREE_ANSWER(a);
        r.life_ms = r.items_per_second = UINT32_MAX;
    }
}

static void frames_fit_ipv6_where_a_door_has_it(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    t->packets.doors[1] = (struct service_door){"fd77::2", 7422};
    t->packets.door_count = 2;
    service_world_leave(t);
    service_world_serve(t);
    Holdfast__V1__OpenSessionResponse *a = session_opened(t, &r);
    assert_int_equal(a->n_doors, 2);
    assert_string_equal(a->doors[1]->address, "fd77::2");
    assert_int_equal(a->frame_bytes_max, PACKET_BYTES_IPV6);
    FREE_ANSWER(a);
}

static void sessions_without_tags_tell_no_key(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    t->packets.tagged = false;
    service_world_leave(t);
    service_world_serve(t);
    Holdfast__V1__OpenSessionResponse *a = session_opened(t, &r);
    assert_false(a->tagged);
    assert_int_equal(a->key.len, 0);
    FREE_ANSWER(a);
}

static void without_packets_all_is_refused(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    Holdfast__V1__CloseSessionRequest c = HOLDFAST__V1__CLOSE_SESSION_REQUEST__INIT;
    Holdfast__V1__ListSessionsRequest l = HOLDFAST__V1__LIST_SESSIONS_REQUEST__INIT;
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_FAILED_PRECONDITION, "");
    assert_string_equal(t->call.error.reason, "PACKETS_OFF");
    assert_non_null(strstr(t->call.error.message, "packet_listen"));
    world_call(t, PACKET("CloseSession"), &c);
    world_refused(t, RPC_FAILED_PRECONDITION, "");
    world_call(t, PACKET("ListSessions"), &l);
    world_refused(t, RPC_FAILED_PRECONDITION, "");
    assert_int_equal(service_keys_changed(t->service), 0);
}

static void a_keys_limits_hold_for_its_sessions(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    struct core_admin_answer made;
    struct ingest_session found;
    uint32_t queue;
    core_channel_make(t->w.worker, core_now(t->w.core), "web", 3, &made);
    core_channel_make(t->w.worker, core_now(t->w.core), "app", 3, &made);
    world_settle(&t->w);
    r.channel = text("till");
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "channel");
    r.channel = text("web");
    r.life_ms = 999;
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "life_ms");
    r.life_ms = 0;
    t->who.channel_count = 1;
    snprintf(t->who.channels[0], sizeof t->who.channels[0], "web");
    Holdfast__V1__OpenSessionResponse *a = session_opened(t, &r);
    assert_int_equal(ingest_session_read(t->packets.sessions, a->session_id, &found, &queue),
                     HF_OK);
    // Commit, release and query would reach reservations of other channels.
    assert_int_equal(found.kinds, INGEST_KIND(PACKET_HOLD) | INGEST_KIND(PACKET_ORDER) |
                                      INGEST_KIND(PACKET_RECORD));
    assert_int_equal(a->n_kinds, 3);
    FREE_ANSWER(a);
    r.channel = text("app");
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "channel");
    r.channel = text("");
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "channel");
    t->who.channel_count = 0;
    t->who.location_count = 1;
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "main");
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "");
    assert_string_equal(t->call.error.reason, "LOCATION");
}

static void a_key_has_so_many_sessions(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    uint32_t first = session_open(t);
    session_open(t);
    session_open(t);
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_RESOURCE_EXHAUSTED, "");
    assert_string_equal(t->call.error.reason, "TOO_MANY_SESSIONS");
    world_pass(&t->w, 60000); // they expire, and are forgotten
    session_open(t);
    assert_false(session_is_open(t, first));
    assert_int_equal(ingest_sessions_open_count(t->packets.sessions), 1);
}

static void without_randomness_there_is_no_session(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    t->packets.random = no_randomness;
    service_world_leave(t);
    service_world_serve(t);
    world_call(t, PACKET("OpenSession"), &r);
    world_refused(t, RPC_INTERNAL, "");
    assert_int_equal(ingest_sessions_open_count(t->packets.sessions), 0);
}

static uint32_t sessions_listed(struct service_world *t, uint32_t page_size)
{
    Holdfast__V1__ListSessionsRequest r = HOLDFAST__V1__LIST_SESSIONS_REQUEST__INIT;
    uint32_t sessions = 0;
    char token[64] = "";
    r.page_size = page_size;
    do {
        r.page_token = token;
        world_call(t, PACKET("ListSessions"), &r);
        Holdfast__V1__ListSessionsResponse *a =
            world_answer(t, &holdfast__v1__list_sessions_response__descriptor);
        for (size_t i = 0; i < a->n_sessions; i++)
            assert_true(session_is_open(t, a->sessions[i]->session_id));
        sessions += (uint32_t)a->n_sessions;
        snprintf(token, sizeof token, "%s", a->next_page_token);
        FREE_ANSWER(a);
    } while (token[0]);
    return sessions;
}

// A call by another key than the world's: keys are told apart by where they are.
static void call_by(struct service_world *t, const struct auth_key *key, const char *path,
                    const ProtobufCMessage *request)
{
    struct rpc_call *pub = &t->call.pub;
    fake_call_fini(&t->call);
    fake_call_init(&t->call, &key->who);
    pub->method = method_of(path);
    fake_request(&t->call, request);
    pub->method->run(t->hooks.ctx, t->local, pub);
}

static uint32_t open_by(struct service_world *t, const struct auth_key *key)
{
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    call_by(t, key, PACKET("OpenSession"), &r.base);
    Holdfast__V1__OpenSessionResponse *a =
        world_answer(t, &holdfast__v1__open_session_response__descriptor);
    uint32_t session = a->session_id;
    FREE_ANSWER(a);
    return session;
}

static void a_session_is_its_keys_own(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__CloseSessionRequest c = HOLDFAST__V1__CLOSE_SESSION_REQUEST__INIT;
    Holdfast__V1__ListSessionsRequest l = HOLDFAST__V1__LIST_SESSIONS_REQUEST__INIT;
    struct auth_key shop = t->key, till = t->key; // and the world's own is an operator
    shop.who.roles = till.who.roles = AUTH_STOREFRONT | AUTH_READER;
    uint32_t session = open_by(t, &shop);
    c.session_id = session;
    call_by(t, &till, PACKET("CloseSession"), &c.base);
    world_refused(t, RPC_NOT_FOUND, "session_id");
    call_by(t, &till, PACKET("ListSessions"), &l.base);
    Holdfast__V1__ListSessionsResponse *a =
        world_answer(t, &holdfast__v1__list_sessions_response__descriptor);
    assert_int_equal(a->n_sessions, 0);
    FREE_ANSWER(a);
    assert_true(session_is_open(t, session));
    assert_int_equal(sessions_listed(t, 0), 1);
    world_call(t, PACKET("CloseSession"), &c);
    FREE_ANSWER((Holdfast__V1__CloseSessionResponse *)world_answer(
        t, &holdfast__v1__close_session_response__descriptor));
    assert_false(session_is_open(t, session));
    world_call(t, PACKET("CloseSession"), &c);
    world_refused(t, RPC_NOT_FOUND, "session_id");
}

static void sessions_end_when_their_key_is_revoked(void **state)
{
    struct service_world *t = *state;
    struct auth_key shop = t->key;
    uint32_t theirs = open_by(t, &shop), ours = session_open(t);
    assert_int_equal(service_keys_changed(t->service), 0);
    shop.in_force = 0;
    assert_int_equal(service_keys_changed(t->service), 1);
    assert_false(session_is_open(t, theirs));
    assert_true(session_is_open(t, ours));
    // A call that was under way when its key was revoked opens none.
    Holdfast__V1__OpenSessionRequest r = HOLDFAST__V1__OPEN_SESSION_REQUEST__INIT;
    call_by(t, &shop, PACKET("OpenSession"), &r.base);
    world_refused(t, RPC_UNAUTHENTICATED, "");
    assert_int_equal(ingest_sessions_open_count(t->packets.sessions), 1);
    t->key.in_force = 1;
}

static void sessions_are_listed_page_by_page(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__ListSessionsRequest r = HOLDFAST__V1__LIST_SESSIONS_REQUEST__INIT;
    for (int i = 0; i < 3; i++)
        session_open(t);
    assert_int_equal(sessions_listed(t, 2), 3);
    assert_int_equal(sessions_listed(t, 0), 3);
    r.page_size = 1001;
    world_call(t, PACKET("ListSessions"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_size");
    r.page_size = 0;
    r.page_token = text("nonsense");
    world_call(t, PACKET("ListSessions"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_token");
}

int main(void)
{
#define TEST(f)    cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
#define PACKETS(f) cmocka_unit_test_setup_teardown(f, packets_set_up, packets_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(names_get_their_handles),
        TEST(the_directory_is_listed_page_by_page),
        TEST(bad_pages_are_refused),
        TEST(without_packets_all_is_refused),
        PACKETS(a_session_is_what_the_table_has),
        PACKETS(frames_fit_ipv6_where_a_door_has_it),
        PACKETS(sessions_without_tags_tell_no_key),
        PACKETS(a_keys_limits_hold_for_its_sessions),
        PACKETS(a_key_has_so_many_sessions),
        PACKETS(without_randomness_there_is_no_session),
        PACKETS(a_session_is_its_keys_own),
        PACKETS(sessions_end_when_their_key_is_revoked),
        PACKETS(sessions_are_listed_page_by_page),
    };
#undef TEST
#undef PACKETS
    return cmocka_run_group_tests(tests, NULL, NULL);
}
