// WatchStock by its contract: what a client is told, in which order, and what a slow one costs.
#include "unit/service_world.h"

#define PATH "/holdfast.v1.StockReadService/WatchStock"

typedef Holdfast__V1__WatchStockResponse Message;
typedef Holdfast__V1__WatchStockRequest Request;

static const struct rpc_method *watch_method;

static void stream_open(struct service_world *t, struct fake_call *c, const Request *request)
{
    watch_method = method_of(PATH);
    fake_call_init(c, &t->who);
    c->pub.method = watch_method;
    watch_method->opened(t->hooks.ctx, t->local, &c->pub);
    if (c->ended)
        return;
    assert_true(c->receiving);
    fake_request(c, &request->base);
    watch_method->received(t->hooks.ctx, t->local, &c->pub);
}

static void stream_close(struct service_world *t, struct fake_call *c)
{
    watch_method->closed(t->hooks.ctx, t->local, &c->pub);
    assert_null(c->pub.state);
    fake_call_fini(c);
}

// What the listener does: wakes that were asked for, while the stream is open.
static void stream_run(struct service_world *t, struct fake_call *c)
{
    for (int i = 0; c->wakes > 0 && i < 1000 && !c->ended; i++) {
        c->wakes = 0;
        watch_method->woken(t->hooks.ctx, t->local, &c->pub);
    }
}

// The client reads one message.
static Message *stream_read(struct service_world *t, struct fake_call *c)
{
    stream_run(t, c);
    Message *m = fake_take(c, &holdfast__v1__watch_stock_response__descriptor);
    if (m && !c->ended)
        watch_method->sent(t->hooks.ctx, t->local, &c->pub);
    return m;
}

static void message_free(Message *m)
{
    protobuf_c_message_free_unpacked(&m->base, NULL);
}

static void cells_make(struct service_world *t, uint32_t count)
{
    struct core_admin_answer a;
    char sku[16];
    for (uint32_t i = 0; i < count; i++) {
        int n = snprintf(sku, sizeof sku, "s%u", core_cell_count(t->w.core));
        core_cell_make(t->w.worker, core_now(t->w.core), sku, (uint32_t)n, i % 2 ? "odd" : "even",
                       i % 2 ? 3 : 4, 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 64 == 63)
            world_settle(&t->w);
    }
    world_drain(t);
}

static void stock_set(struct service_world *t, uint32_t handle, int64_t value)
{
    struct core_change ch = {.op_id = world_id(&t->w), .handle = handle, .value = value};
    struct core_admin_answer a;
    core_change(t->w.worker, core_now(t->w.core), &ch, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(&t->w);
}

// What a client knows.
struct seen {
    uint32_t cells, messages, largest;
    bool complete;
    struct {
        uint32_t told, named;
        int64_t available;
        uint64_t position;
    } of[20000];
};

static void seen_add(struct service_world *t, struct seen *s, const Message *m)
{
    assert_int_equal(m->generation, core_generation(t->w.core));
    assert_false(s->complete && !m->snapshot_complete);
    s->complete = m->snapshot_complete;
    s->messages++;
    s->largest = m->n_cells > s->largest ? (uint32_t)m->n_cells : s->largest;
    for (size_t i = 0; i < m->n_cells; i++) {
        const Holdfast__V1__WatchedCell *c = m->cells[i];
        struct core_name name;
        assert_int_equal(core_cell_name(t->w.core, c->handle, &name), HF_OK);
        bool first = s->of[c->handle].told++ == 0;
        assert_int_equal(c->sku[0] != '\0', first); // named the first time, and only then
        if (first) {
            assert_int_equal(strlen(c->sku), name.sku_bytes);
            assert_memory_equal(c->sku, name.sku, name.sku_bytes);
            assert_int_equal(strlen(c->location), name.location_bytes);
            assert_memory_equal(c->location, name.location, name.location_bytes);
            s->cells++;
        }
        assert_true(c->position >= s->of[c->handle].position);
        s->of[c->handle].position = c->position;
        s->of[c->handle].available = c->available;
    }
}

static void read_all(struct service_world *t, struct fake_call *c, struct seen *s)
{
    Message *m;
    while ((m = stream_read(t, c)) != NULL) {
        seen_add(t, s, m);
        message_free(m);
        assert_true(c->sent - c->taken <= 1);
    }
}

// ------------------------------------------------------------------------------- tests

static void a_snapshot_tells_every_cell_once_with_its_names(void **state)
{
    struct service_world *t = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    cells_make(t, 5000);
    stock_set(t, 4999, 17);
    world_drain(t);
    stream_open(t, &c, &r);
    read_all(t, &c, s);
    assert_int_equal(s->cells, 5000);
    assert_true(s->complete);
    assert_int_equal(s->of[4999].available, 17);
    assert_true(s->largest <= 256);
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(s->of[i].told, 1);
    stream_close(t, &c);
    free(s);
}

static void an_empty_engine_has_a_complete_snapshot(void **state)
{
    struct service_world *t = *state;
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    stream_open(t, &c, &r);
    Message *m = stream_read(t, &c);
    assert_non_null(m);
    assert_int_equal(m->n_cells, 0);
    assert_true(m->snapshot_complete);
    message_free(m);
    assert_null(stream_read(t, &c));
    stream_close(t, &c);
}

static void what_was_durable_before_is_in_the_snapshot(void **state)
{
    struct service_world *t = *state;
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    cells_make(t, 1);
    stock_set(t, 0, 5); // told to whoever set it; the hub has not read it yet
    assert_true(watch_hub_lsn(t->hub) < core_durable(t->w.core));
    stream_open(t, &c, &r);
    assert_null(stream_read(t, &c));
    world_drain(t);
    Message *m = stream_read(t, &c);
    assert_non_null(m);
    assert_true(m->snapshot_complete);
    assert_int_equal(m->n_cells, 1);
    assert_int_equal(m->cells[0]->available, 5);
    message_free(m);
    stream_close(t, &c);
}

static void changes_within_the_interval_come_as_one(void **state)
{
    struct service_world *t = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    r.interval_ms = 100;
    cells_make(t, 10);
    stream_open(t, &c, &r);
    read_all(t, &c, s);
    stock_set(t, 3, 1); // after a quiet time: told at once
    world_drain(t);
    read_all(t, &c, s);
    assert_int_equal(s->of[3].available, 1);
    uint32_t messages = s->messages;
    for (int64_t i = 2; i <= 9; i++) {
        stock_set(t, 3, i);
        stock_set(t, 4, 10 * i);
        world_drain(t);
        read_all(t, &c, s);
    }
    assert_int_equal(s->messages, messages); // within the interval: nothing
    fake_clock_advance_ms(&t->w.clock, 100);
    world_drain(t);
    read_all(t, &c, s);
    assert_int_equal(s->messages, messages + 1);
    assert_int_equal(s->of[3].available, 9);
    assert_int_equal(s->of[4].available, 90);
    assert_int_equal(s->of[4].told, 2);
    assert_int_equal(s->of[5].told, 1); // unchanged
    cells_make(t, 3);                   // new ones come by themselves, with names
    stock_set(t, 11, 5);
    fake_clock_advance_ms(&t->w.clock, 100);
    world_drain(t);
    read_all(t, &c, s);
    assert_int_equal(s->cells, 13);
    assert_int_equal(s->of[11].available, 5);
    stream_close(t, &c);
    free(s);
}

static void a_client_that_does_not_read_costs_one_message(void **state)
{
    struct service_world *t = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    r.interval_ms = 10;
    cells_make(t, 2000);
    stream_open(t, &c, &r);
    for (int64_t i = 1; i <= 300; i++) { // it reads a message every thirtieth change
        stock_set(t, (uint32_t)(i * 7919 % 2000), i);
        fake_clock_advance_ms(&t->w.clock, 20);
        world_drain(t);
        stream_run(t, &c);
        assert_true(c.sent - c.taken <= 1);
        assert_true(c.bytes[(c.sent - 1) % FAKE_SENT_MAX] < 256 * 150);
        Message *m = i % 30 == 0 ? stream_read(t, &c) : NULL;
        if (m) {
            seen_add(t, s, m);
            message_free(m);
        }
    }
    for (int i = 0; i < 3; i++) { // it catches up
        read_all(t, &c, s);
        fake_clock_advance_ms(&t->w.clock, 20);
        world_drain(t);
    }
    assert_int_equal(s->cells, 2000);
    for (uint32_t i = 0; i < 2000; i++)
        assert_int_equal(s->of[i].available, world_read(&t->w, i).available);
    stream_close(t, &c);
    free(s);
}

static void chosen_cells_are_told_and_no_others(void **state)
{
    struct service_world *t = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    Holdfast__V1__StockName names[4], *list[4];
    cells_make(t, 100);
    for (int i = 0; i < 4; i++) {
        holdfast__v1__stock_name__init(&names[i]);
        list[i] = &names[i];
    }
    names[0].sku = (char[]){"s77"};
    names[0].location = (char[]){"odd"};
    names[1].handle = names[3].handle = 5; // twice the same
    names[1].generation = names[2].generation = names[3].generation = core_generation(t->w.core);
    names[2].handle = 0;
    r.n_stock = 4;
    r.stock = list;
    stream_open(t, &c, &r);
    read_all(t, &c, s);
    assert_int_equal(s->cells, 3);
    assert_true(s->complete);
    assert_true(s->of[77].told == 1 && s->of[5].told == 1 && s->of[0].told == 1);
    stock_set(t, 6, 4);
    stock_set(t, 77, 4);
    fake_clock_advance_ms(&t->w.clock, 1000);
    world_drain(t);
    read_all(t, &c, s);
    assert_int_equal(s->of[6].told, 0);
    assert_int_equal(s->of[77].available, 4);
    assert_int_equal(s->of[5].told, 1);
    stream_close(t, &c);
    free(s);
}

static void a_limited_key_sees_its_locations_only(void **state)
{
    struct service_world *t = *state;
    struct seen *s = calloc(1, sizeof *s);
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    cells_make(t, 1000);
    t->who.location_count = 1;
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "odd");
    stream_open(t, &c, &r);
    read_all(t, &c, s);
    assert_int_equal(s->cells, 500);
    assert_int_equal(s->of[0].told, 0);
    stream_close(t, &c);
    free(s);
}

// Opens, must be refused so, closes.
static void refused(struct service_world *t, const Request *r, enum rpc_code code,
                    const char *field)
{
    struct fake_call c;
    stream_open(t, &c, r);
    if (!c.failed || c.error.code != code || strcmp(c.error.field, field) != 0)
        fail_msg("wanted %d at %s, got failed=%d %d at %s", code, field, c.failed, c.error.code,
                 c.error.field);
    assert_int_equal(c.sent, 0);
    stream_close(t, &c);
}

static void bad_requests_name_the_field(void **state)
{
    struct service_world *t = *state;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    Holdfast__V1__StockName names[2], *list[2] = {&names[0], &names[1]};
    cells_make(t, 3);
    r.interval_ms = 9;
    refused(t, &r, RPC_INVALID_ARGUMENT, "interval_ms");
    r.interval_ms = 60001;
    refused(t, &r, RPC_INVALID_ARGUMENT, "interval_ms");
    r.interval_ms = 60000;
    r.stock = list;
    r.n_stock = 2;
    holdfast__v1__stock_name__init(&names[0]);
    holdfast__v1__stock_name__init(&names[1]);
    names[0].generation = core_generation(t->w.core);
    names[1].sku = (char[]){"nobody"};
    names[1].location = (char[]){"odd"};
    refused(t, &r, RPC_NOT_FOUND, "stock[1].sku");
    names[1].sku = (char[]){""};
    refused(t, &r, RPC_INVALID_ARGUMENT, "stock[1].sku");
    names[1].location = (char[]){""};
    names[1].handle = 3;
    names[1].generation = core_generation(t->w.core);
    refused(t, &r, RPC_NOT_FOUND, "stock[1].handle");
    names[1].handle = 2;
    names[1].generation ^= 1;
    refused(t, &r, RPC_FAILED_PRECONDITION, "stock[1].generation");
    Holdfast__V1__StockName **many = calloc(10001, sizeof(void *));
    for (int i = 0; i < 10001; i++)
        many[i] = &names[0];
    r.stock = many;
    r.n_stock = 10001;
    refused(t, &r, RPC_INVALID_ARGUMENT, "stock");
    struct fake_call c;
    r.n_stock = 10000;
    stream_open(t, &c, &r);
    assert_false(c.failed);
    stream_close(t, &c);
    free(many);
}

static void watchers_are_bounded(void **state)
{
    struct service_world *t = *state;
    struct fake_call a, b;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    stream_open(t, &a, &r);
    stream_open(t, &b, &r);
    refused(t, &r, RPC_RESOURCE_EXHAUSTED, "");
    stream_close(t, &a);
    stream_open(t, &a, &r); // its place is free again
    assert_false(a.failed);
    stream_close(t, &a);
    stream_close(t, &b);
    assert_int_equal(watch_hub_watchers(t->hub), 0);
}

static void ends_with(struct fake_call *c, const char *reason)
{
    assert_true(c->ended && c->failed);
    assert_int_equal(c->error.code, RPC_UNAVAILABLE);
    assert_string_equal(c->error.reason, reason);
}

static void when_the_hub_ends_its_watchers_are_told(void **state)
{
    struct service_world *t = *state;
    struct fake_call idle, slow, late;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    cells_make(t, 10);
    stream_open(t, &idle, &r);
    message_free(stream_read(t, &idle));
    stream_open(t, &slow, &r); // its message has not left
    stock_set(t, 3, 5);
    t->w.disk->faults.read_error_in = 1;
    assert_int_equal(watch_hub_step(t->hub), HF_IO);
    stream_run(t, &idle);
    ends_with(&idle, "WATCH_ENDED");
    stream_run(t, &slow);
    assert_false(slow.ended);
    message_free(stream_read(t, &slow)); // after what was told
    ends_with(&slow, "WATCH_ENDED");
    stream_close(t, &slow);
    stream_open(t, &late, &r);
    ends_with(&late, "WATCH_ENDED");
    stream_close(t, &late);
    stream_close(t, &idle);
}

static void a_server_that_goes_ends_its_watches(void **state)
{
    struct service_world *t = *state;
    struct fake_call c;
    Request r = HOLDFAST__V1__WATCH_STOCK_REQUEST__INIT;
    cells_make(t, 10);
    stream_open(t, &c, &r);
    message_free(stream_read(t, &c));
    c.draining = true;
    c.wakes = 1;
    stream_run(t, &c);
    ends_with(&c, "DRAINING");
    stream_close(t, &c);
}

static void a_stream_that_ends_before_its_request_is_refused(void **state)
{
    struct service_world *t = *state;
    struct fake_call c;
    watch_method = method_of(PATH);
    fake_call_init(&c, &t->who);
    watch_method->opened(t->hooks.ctx, t->local, &c.pub);
    watch_method->half_closed(t->hooks.ctx, t->local, &c.pub);
    assert_int_equal(c.error.code, RPC_INVALID_ARGUMENT);
    stream_close(t, &c);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_tells_every_cell_once_with_its_names),
        TEST(an_empty_engine_has_a_complete_snapshot),
        TEST(what_was_durable_before_is_in_the_snapshot),
        TEST(changes_within_the_interval_come_as_one),
        TEST(a_client_that_does_not_read_costs_one_message),
        TEST(chosen_cells_are_told_and_no_others),
        TEST(a_limited_key_sees_its_locations_only),
        TEST(bad_requests_name_the_field),
        TEST(watchers_are_bounded),
        TEST(when_the_hub_ends_its_watchers_are_told),
        TEST(a_server_that_goes_ends_its_watches),
        TEST(a_stream_that_ends_before_its_request_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
