// StockReadService and StockAdminService, method by method: answers, fields of bad input, and what
// a repeat does.
#include "unit/service_world.h"

#define READ(method)  "/holdfast.v1.StockReadService/" method
#define ADMIN(method) "/holdfast.v1.StockAdminService/" method

#define FREE_ANSWER(m) protobuf_c_message_free_unpacked(&(m)->base, NULL)
#define DONE           HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_DONE
#define MISMATCH       HOLDFAST__V1__STOCK_CHANGE_OUTCOME__STOCK_CHANGE_OUTCOME_MISMATCH
#define SETTING(name)  HOLDFAST__V1__STOCK_SETTING__STOCK_SETTING_##name

// protobuf-c's strings are not const; nobody writes to them here.
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void id_text(struct service_world *t, char text[HF_UUID_TEXT_BYTES])
{
    hf_uuid_format(world_id(&t->w), text);
}

static uint32_t create(struct service_world *t, const char *sku, const char *location,
                       uint32_t scale)
{
    Holdfast__V1__CreateStockRequest r = HOLDFAST__V1__CREATE_STOCK_REQUEST__INIT;
    r.sku = text(sku);
    r.location = text(location);
    r.unit_scale = scale;
    world_call(t, ADMIN("CreateStock"), &r);
    Holdfast__V1__CreateStockResponse *a =
        world_answer(t, &holdfast__v1__create_stock_response__descriptor);
    uint32_t handle = a->handle;
    assert_int_equal(a->generation, core_generation(t->w.core));
    assert_true(t->call.ticket > 0);
    FREE_ANSWER(a);
    world_settle(&t->w);
    return handle;
}

static int64_t set(struct service_world *t, uint32_t handle, Holdfast__V1__StockSetting setting,
                   int64_t value)
{
    Holdfast__V1__SetStockRequest r = HOLDFAST__V1__SET_STOCK_REQUEST__INIT;
    char id[HF_UUID_TEXT_BYTES];
    id_text(t, id);
    r.operation_id = id;
    r.handle = handle;
    r.generation = core_generation(t->w.core);
    r.setting = setting;
    r.value = value;
    world_call(t, ADMIN("SetStock"), &r);
    Holdfast__V1__SetStockResponse *a =
        world_answer(t, &holdfast__v1__set_stock_response__descriptor);
    assert_int_equal(a->outcome, DONE);
    assert_int_equal(a->value, value);
    assert_int_equal(t->call.ticket, journal_appended(core_journal(t->w.core)));
    FREE_ANSWER(a);
    world_settle(&t->w);
    return value;
}

// ------------------------------------------------------------------------------- reading

static void a_cell_is_told_with_all_its_terms(void **state)
{
    struct service_world *t = *state;
    uint32_t h = create(t, "shirt", "WH1", 3);
    set(t, h, SETTING(ON_HAND), 100);
    set(t, h, SETTING(SAFETY_STOCK), 7);
    set(t, h, SETTING(BACKORDER_LIMIT), 20);
    set(t, h, SETTING(EXTERNAL), 150);
    set(t, h, SETTING(ACTIVE), 0);
    Holdfast__V1__GetStockRequest r = HOLDFAST__V1__GET_STOCK_REQUEST__INIT;
    Holdfast__V1__StockName name = HOLDFAST__V1__STOCK_NAME__INIT;
    r.stock = &name;
    name.sku = text("shirt");
    name.location = text("WH1");
    world_call(t, READ("GetStock"), &r);
    Holdfast__V1__GetStockResponse *a =
        world_answer(t, &holdfast__v1__get_stock_response__descriptor);
    const Holdfast__V1__StockCell *c = a->cell;
    assert_string_equal(c->sku, "shirt");
    assert_string_equal(c->location, "WH1");
    assert_int_equal(c->handle, h);
    assert_int_equal(c->generation, core_generation(t->w.core));
    assert_int_equal(c->unit_scale, 3);
    assert_false(c->active);
    assert_int_equal(c->on_hand, 100);
    assert_int_equal(c->safety_stock, 7);
    assert_int_equal(c->backorder_limit, 20);
    assert_int_equal(c->external, 150);
    assert_int_equal(c->available, 100 - 7 + 20 - 150);
    assert_int_equal(c->held, 0);
    FREE_ANSWER(a);
    r.stock = NULL;
    world_call(t, READ("GetStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "stock");
    r.stock = &name;
    name.location = text("WH2");
    world_call(t, READ("GetStock"), &r);
    world_refused(t, RPC_NOT_FOUND, "stock.sku");
}

static void a_batch_answers_each_name_by_itself(void **state)
{
    struct service_world *t = *state;
    uint32_t h = create(t, "a", "m", 0);
    set(t, h, SETTING(ON_HAND), 5);
    Holdfast__V1__BatchGetStockRequest r = HOLDFAST__V1__BATCH_GET_STOCK_REQUEST__INIT;
    Holdfast__V1__StockName names[3], *list[3];
    for (int i = 0; i < 3; i++) {
        holdfast__v1__stock_name__init(&names[i]);
        list[i] = &names[i];
    }
    names[0].generation = core_generation(t->w.core);
    names[1].sku = text("b");
    names[1].location = text("m");
    names[2].sku = text("a");
    names[2].location = text("m");
    r.n_stock = 3;
    r.stock = list;
    world_call(t, READ("BatchGetStock"), &r);
    Holdfast__V1__BatchGetStockResponse *a =
        world_answer(t, &holdfast__v1__batch_get_stock_response__descriptor);
    assert_int_equal(a->n_results, 3);
    assert_int_equal(a->results[0]->result_case, HOLDFAST__V1__STOCK_RESULT__RESULT_CELL);
    assert_int_equal(a->results[0]->cell->available, 5);
    assert_int_equal(a->results[1]->result_case, HOLDFAST__V1__STOCK_RESULT__RESULT_ERROR);
    assert_int_equal(a->results[1]->error->code, RPC_NOT_FOUND);
    assert_string_equal(a->results[1]->error->field, "stock[1].sku");
    assert_int_equal(a->results[2]->cell->handle, h);
    FREE_ANSWER(a);
    Holdfast__V1__StockName **many = calloc(1001, sizeof(void *));
    for (int i = 0; i < 1001; i++)
        many[i] = &names[0];
    r.stock = many;
    r.n_stock = 1001;
    world_call(t, READ("BatchGetStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "stock");
    r.n_stock = 1000;
    world_call(t, READ("BatchGetStock"), &r);
    a = world_answer(t, &holdfast__v1__batch_get_stock_response__descriptor);
    assert_int_equal(a->n_results, 1000);
    FREE_ANSWER(a);
    r.n_stock = 0;
    world_call(t, READ("BatchGetStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "stock");
    free(many);
}

// Follows the pages; returns how many cells there were, the sum of their handles in *sum.
static uint32_t list_all(struct service_world *t, Holdfast__V1__ListStockRequest *r, uint64_t *sum)
{
    uint32_t cells = 0;
    char token[64] = "";
    *sum = 0;
    do {
        r->page_token = token;
        world_call(t, READ("ListStock"), r);
        Holdfast__V1__ListStockResponse *a =
            world_answer(t, &holdfast__v1__list_stock_response__descriptor);
        assert_true(a->n_cells <= (r->page_size ? r->page_size : 100));
        cells += (uint32_t)a->n_cells;
        for (size_t i = 0; i < a->n_cells; i++)
            *sum += a->cells[i]->handle;
        snprintf(token, sizeof token, "%s", a->next_page_token);
        FREE_ANSWER(a);
    } while (token[0]);
    r->page_token = text("");
    return cells;
}

static void lists_go_through_all_cells_page_by_page(void **state)
{
    struct service_world *t = *state;
    char sku[16];
    uint64_t sum;
    for (uint32_t i = 0; i < 250; i++) {
        snprintf(sku, sizeof sku, "s%u", i);
        create(t, sku, i % 5 ? "main" : "other", 0);
    }
    set(t, 10, SETTING(EXTERNAL), 3);
    set(t, 201, SETTING(EXTERNAL), 3);
    Holdfast__V1__ListStockRequest r = HOLDFAST__V1__LIST_STOCK_REQUEST__INIT;
    assert_int_equal(list_all(t, &r, &sum), 250);
    assert_int_equal(sum, 249 * 250 / 2);
    r.page_size = 7;
    assert_int_equal(list_all(t, &r, &sum), 250);
    assert_int_equal(sum, 249 * 250 / 2);
    r.location = text("other");
    assert_int_equal(list_all(t, &r, &sum), 50);
    r.short_only = true;
    assert_int_equal(list_all(t, &r, &sum), 1);
    assert_int_equal(sum, 10);
    r.location = text("");
    assert_int_equal(list_all(t, &r, &sum), 2);
    assert_int_equal(sum, 211);
    t->who.location_count = 1; // and a limited key sees what it may
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "other");
    assert_int_equal(list_all(t, &r, &sum), 1);
    r.location = text("main");
    world_call(t, READ("ListStock"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "location");
}

static void bad_pages_are_refused(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__ListStockRequest r = HOLDFAST__V1__LIST_STOCK_REQUEST__INIT;
    char token[64];
    create(t, "a", "m", 0);
    r.page_size = 1001;
    world_call(t, READ("ListStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_size");
    r.page_size = 1000;
    static const char *const bad[] = {"x", "0", "000000000000000000000001",
                                      "zzzzzzzzzzzzzzzz00000000", " 00000000000000000000000"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.page_token = text(bad[i]);
        world_call(t, READ("ListStock"), &r);
        world_refused(t, RPC_INVALID_ARGUMENT, "page_token");
    }
    r.page_token = token;
    snprintf(token, sizeof token, "%016llx%08x", (unsigned long long)core_generation(t->w.core),
             2u); // beyond the last cell
    world_call(t, READ("ListStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "page_token");
    r.page_token = text("");
    r.location = text("a location of more than thirty-two bytes");
    world_call(t, READ("ListStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "location");
}

static void a_skus_total_adds_its_cells_up(void **state)
{
    struct service_world *t = *state;
    char location[16];
    for (uint32_t i = 0; i < 40; i++) {
        snprintf(location, sizeof location, "l%u", i);
        set(t, create(t, "a", location, 2), SETTING(ON_HAND), i);
    }
    set(t, create(t, "b", "l0", 0), SETTING(ON_HAND), 1000);
    Holdfast__V1__GetSkuStockRequest r = HOLDFAST__V1__GET_SKU_STOCK_REQUEST__INIT;
    r.sku = text("a");
    world_call(t, READ("GetSkuStock"), &r);
    Holdfast__V1__GetSkuStockResponse *a =
        world_answer(t, &holdfast__v1__get_sku_stock_response__descriptor);
    assert_int_equal(a->n_cells, 40);
    assert_int_equal(a->total->on_hand, 39 * 40 / 2);
    assert_int_equal(a->total->available, 39 * 40 / 2);
    assert_int_equal(a->total->unit_scale, 2);
    assert_true(a->total->active);
    assert_string_equal(a->total->sku, "a");
    assert_string_equal(a->total->location, "");
    FREE_ANSWER(a);
    t->who.location_count = 1;
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "l3");
    world_call(t, READ("GetSkuStock"), &r);
    a = world_answer(t, &holdfast__v1__get_sku_stock_response__descriptor);
    assert_int_equal(a->n_cells, 1);
    assert_int_equal(a->total->on_hand, 3);
    FREE_ANSWER(a);
    r.sku = text("c");
    world_call(t, READ("GetSkuStock"), &r);
    world_refused(t, RPC_NOT_FOUND, "sku");
    r.sku = text("");
    world_call(t, READ("GetSkuStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "sku");
}

// ------------------------------------------------------------------------------- administration

static void a_cell_is_made_once(void **state)
{
    struct service_world *t = *state;
    uint32_t h = create(t, "a", "m", 2);
    assert_int_equal(create(t, "a", "m", 2), h);
    Holdfast__V1__CreateStockRequest r = HOLDFAST__V1__CREATE_STOCK_REQUEST__INIT;
    r.sku = text("a");
    r.location = text("m");
    r.unit_scale = 3;
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_ALREADY_EXISTS, "unit_scale");
    r.unit_scale = 258; // not 2
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "unit_scale");
    r.unit_scale = 2;
    r.sku = text("");
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "sku");
    char sku[66];
    memset(sku, 'x', 65);
    sku[65] = 0;
    r.sku = sku;
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "sku");
    r.sku = text("a\nb");
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "sku");
    r.sku = text("a");
    r.location = text("");
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "location");
    t->who.location_count = 1;
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "n");
    r.location = text("m");
    world_call(t, ADMIN("CreateStock"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "location");
}

static void a_value_is_set_once_and_only_when_it_is_what_was_expected(void **state)
{
    struct service_world *t = *state;
    uint32_t h = create(t, "a", "m", 0);
    Holdfast__V1__SetStockRequest r = HOLDFAST__V1__SET_STOCK_REQUEST__INIT;
    Holdfast__V1__SetStockResponse *a;
    char id[HF_UUID_TEXT_BYTES];
    set(t, h, SETTING(ON_HAND), 10);
    id_text(t, id);
    r.operation_id = id;
    r.sku = text("a");
    r.location = text("m");
    r.setting = SETTING(ON_HAND);
    r.value = 30;
    r.compare = true;
    r.expected = 9;
    r.reason = text("count of the 3rd");
    world_call(t, ADMIN("SetStock"), &r);
    a = world_answer(t, &holdfast__v1__set_stock_response__descriptor);
    assert_int_equal(a->outcome, MISMATCH);
    assert_int_equal(a->value, 10);
    FREE_ANSWER(a);
    r.expected = 10;
    for (int i = 0; i < 2; i++) {
        world_call(t, ADMIN("SetStock"), &r);
        a = world_answer(t, &holdfast__v1__set_stock_response__descriptor);
        assert_int_equal(a->outcome, DONE);
        assert_int_equal(a->value, 30);
        assert_int_equal(a->repeat, i == 1);
        assert_true(t->call.ticket > 0);
        FREE_ANSWER(a);
        world_settle(&t->w);
    }
    r.value = 31;
    world_call(t, ADMIN("SetStock"), &r);
    world_refused(t, RPC_ALREADY_EXISTS, NULL);
    assert_int_equal(world_read(&t->w, h).on_hand, 30);
}

static void bad_changes_name_the_field(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__SetStockRequest good = HOLDFAST__V1__SET_STOCK_REQUEST__INIT, r;
    char id[HF_UUID_TEXT_BYTES], reason[66];
    create(t, "a", "m", 0);
    world_pass(&t->w, 20000); // the floor moves: ids can be too old
    id_text(t, id);
    good.operation_id = id;
    good.sku = text("a");
    good.location = text("m");
    good.setting = SETTING(SAFETY_STOCK);
    memset(reason, 'x', 65);
    reason[65] = 0;
#define BAD(code, field_, assignment)                                                              \
    do {                                                                                           \
        r = good;                                                                                  \
        assignment;                                                                                \
        world_call(t, ADMIN("SetStock"), &r);                                                      \
        world_refused(t, code, field_);                                                            \
    } while (0)
    BAD(RPC_INVALID_ARGUMENT, "operation_id", r.operation_id = text(""));
    BAD(RPC_INVALID_ARGUMENT, "operation_id", r.operation_id = text("not an id"));
    BAD(RPC_INVALID_ARGUMENT, "operation_id",
        r.operation_id = text("f47ac10b-58cc-4372-a567-0e02b2c3d479")); // version 4
    BAD(RPC_FAILED_PRECONDITION, NULL,
        r.operation_id = text("01890a5d-ac96-774b-bcce-b302099a8057")); // too old
    BAD(RPC_INVALID_ARGUMENT, "setting", r.setting = SETTING(UNSPECIFIED));
    BAD(RPC_INVALID_ARGUMENT, "setting", r.setting = 6);
    BAD(RPC_INVALID_ARGUMENT, "setting", r.setting = -1);
    BAD(RPC_INVALID_ARGUMENT, "value", r.value = -1);
    BAD(RPC_INVALID_ARGUMENT, "value", r.value = INT64_MAX);
    BAD(RPC_INVALID_ARGUMENT, "value", r.value = INT64_MIN);
    BAD(RPC_INVALID_ARGUMENT, "value", (r.setting = SETTING(ACTIVE), r.value = 2));
    assert_string_equal(t->call.error.message, "0 or 1");
    BAD(RPC_INVALID_ARGUMENT, "reason", r.reason = reason);
    BAD(RPC_INVALID_ARGUMENT, "reason", r.reason = text("a\tb"));
    BAD(RPC_INVALID_ARGUMENT, "sku", r.sku = text(""));
    BAD(RPC_NOT_FOUND, "sku", r.sku = text("b"));
    BAD(RPC_INVALID_ARGUMENT, "sku", r.generation = core_generation(t->w.core));
    BAD(RPC_INVALID_ARGUMENT, "generation", r.handle = 1);
    world_call(t, ADMIN("SetStock"), &good); // nothing of this was remembered
    Holdfast__V1__SetStockResponse *a =
        world_answer(t, &holdfast__v1__set_stock_response__descriptor);
    assert_false(a->repeat);
    FREE_ANSWER(a);
}

static void an_adjustment_adds_once(void **state)
{
    struct service_world *t = *state;
    uint32_t h = create(t, "a", "m", 0);
    Holdfast__V1__AdjustStockRequest r = HOLDFAST__V1__ADJUST_STOCK_REQUEST__INIT;
    char id[HF_UUID_TEXT_BYTES];
    id_text(t, id);
    r.operation_id = id;
    r.handle = h;
    r.generation = core_generation(t->w.core);
    r.difference = -4;
    for (int i = 0; i < 2; i++) {
        world_call(t, ADMIN("AdjustStock"), &r);
        Holdfast__V1__AdjustStockResponse *a =
            world_answer(t, &holdfast__v1__adjust_stock_response__descriptor);
        assert_int_equal(a->outcome, DONE);
        assert_int_equal(a->value, -4); // a fact: the cell is short
        assert_int_equal(a->repeat, i == 1);
        FREE_ANSWER(a);
    }
    r.difference = 0;
    world_call(t, ADMIN("AdjustStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "difference");
    id_text(t, id);
    r.difference = INT64_MIN;
    world_call(t, ADMIN("AdjustStock"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "difference");
    r.difference = -HF_QUANTITY_MAX;
    world_call(t, ADMIN("AdjustStock"), &r); // the sum is out of range
    world_refused(t, RPC_INVALID_ARGUMENT, "difference");
    assert_non_null(strstr(t->call.error.message, "stock on hand"));
    t->who.location_count = 1;
    r.difference = 1;
    world_call(t, ADMIN("AdjustStock"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "location");
}

static void channels_are_made_once(void **state)
{
    struct service_world *t = *state;
    Holdfast__V1__CreateChannelRequest r = HOLDFAST__V1__CREATE_CHANNEL_REQUEST__INIT;
    uint32_t number[2];
    r.channel = text("web");
    for (int i = 0; i < 2; i++) {
        world_call(t, ADMIN("CreateChannel"), &r);
        Holdfast__V1__CreateChannelResponse *a =
            world_answer(t, &holdfast__v1__create_channel_response__descriptor);
        number[i] = a->number;
        FREE_ANSWER(a);
    }
    assert_int_equal(number[0], 1);
    assert_int_equal(number[1], 1);
    r.channel = text("");
    world_call(t, ADMIN("CreateChannel"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "channel");
    r.channel = text("a channel of more than thirty-two bytes");
    world_call(t, ADMIN("CreateChannel"), &r);
    world_refused(t, RPC_INVALID_ARGUMENT, "channel");
    t->who.channel_count = 1;
    snprintf(t->who.channels[0], sizeof t->who.channels[0], "web");
    r.channel = text("app");
    world_call(t, ADMIN("CreateChannel"), &r);
    world_refused(t, RPC_PERMISSION_DENIED, "channel");
}

// ------------------------------------------------------------------------------- import

#define ROWS 4

struct rows {
    Holdfast__V1__ImportStockRequest request;
    Holdfast__V1__ImportStockRow rows[ROWS], *list[ROWS];
    Holdfast__V1__OptionalQuantity on_hand[ROWS], safety[ROWS], backorder[ROWS];
    char ids[ROWS][HF_UUID_TEXT_BYTES], skus[ROWS][16];
};

static void rows_make(struct service_world *t, struct rows *r)
{
    memset(r, 0, sizeof *r);
    holdfast__v1__import_stock_request__init(&r->request);
    for (int i = 0; i < ROWS; i++) {
        holdfast__v1__import_stock_row__init(&r->rows[i]);
        holdfast__v1__optional_quantity__init(&r->on_hand[i]);
        holdfast__v1__optional_quantity__init(&r->safety[i]);
        holdfast__v1__optional_quantity__init(&r->backorder[i]);
        id_text(t, r->ids[i]);
        snprintf(r->skus[i], sizeof r->skus[i], "s%d", i);
        r->rows[i].operation_id = r->ids[i];
        r->rows[i].sku = r->skus[i];
        r->rows[i].location = text("m");
        r->on_hand[i].value = 100 + i;
        r->safety[i].value = 10 + i;
        r->backorder[i].value = 1 + i;
        r->rows[i].on_hand = &r->on_hand[i];
        r->rows[i].safety_stock = &r->safety[i];
        r->rows[i].backorder_limit = &r->backorder[i];
        r->list[i] = &r->rows[i];
    }
    r->rows[3].location = text("n");
    r->request.n_rows = ROWS;
    r->request.rows = r->list;
}

static Holdfast__V1__ImportStockResponse *import(struct service_world *t, struct rows *r)
{
    world_call(t, ADMIN("ImportStock"), &r->request);
    return world_answer(t, &holdfast__v1__import_stock_response__descriptor);
}

static void an_import_acts_once_however_often_it_is_sent(void **state)
{
    struct service_world *t = *state;
    struct rows r;
    rows_make(t, &r);
    for (int round = 0; round < 3; round++) {
        Holdfast__V1__ImportStockResponse *a = import(t, &r);
        assert_int_equal(a->n_results, ROWS);
        assert_int_equal(a->generation, core_generation(t->w.core));
        assert_true(round > 0 || t->call.ticket == journal_appended(core_journal(t->w.core)));
        for (int i = 0; i < ROWS; i++) {
            assert_null(a->results[i]->error);
            assert_int_equal(a->results[i]->handle, i);
            struct core_cell c = world_read(&t->w, (uint32_t)i);
            assert_int_equal(c.on_hand, 100 + i + (round > 0 ? 5 : 0));
            assert_int_equal(c.safety, 10 + i);
            assert_int_equal(c.backorder, 1 + i);
        }
        FREE_ANSWER(a);
        world_settle(&t->w);
        uint64_t records = journal_appended(core_journal(t->w.core));
        for (uint32_t i = 0; round == 0 && i < ROWS; i++)
            set(t, i, SETTING(ON_HAND), 105 + i); // a repeat of the import leaves this alone
        if (round == 2)
            assert_int_equal(records, t->call.ticket + ROWS); // repeats wrote nothing
        if (round == 1) {                                     // and after a restart too
            service_world_close(t);
            world_kill(&t->w);
            service_world_open(t);
        }
    }
}

static void absent_values_stay_as_they_are(void **state)
{
    struct service_world *t = *state;
    struct rows r;
    rows_make(t, &r);
    FREE_ANSWER(import(t, &r));
    world_settle(&t->w);
    rows_make(t, &r);
    r.rows[0].safety_stock = r.rows[0].backorder_limit = NULL;
    r.on_hand[0].value = 0; // present and 0
    r.rows[1].on_hand = r.rows[1].safety_stock = r.rows[1].backorder_limit = NULL;
    FREE_ANSWER(import(t, &r));
    struct core_cell c = world_read(&t->w, 0);
    assert_true(c.on_hand == 0 && c.safety == 10 && c.backorder == 1);
    c = world_read(&t->w, 1);
    assert_true(c.on_hand == 101 && c.safety == 11 && c.backorder == 2);
}

static void a_bad_row_leaves_the_others_alone(void **state)
{
    struct service_world *t = *state;
    struct rows r;
    create(t, "s0", "m", 2);
    rows_make(t, &r); // row 0: another unit scale
    snprintf(r.ids[1], sizeof r.ids[1], "%s", "f47ac10b-58cc-4372-a567-0e02b2c3d479");
    r.safety[2].value = -1;
    t->who.location_count = 1; // row 3 is elsewhere
    snprintf(t->who.locations[0], sizeof t->who.locations[0], "m");
    Holdfast__V1__ImportStockResponse *a = import(t, &r);
    static const struct {
        enum rpc_code code;
        const char *field;
    } wanted[ROWS] = {{RPC_ALREADY_EXISTS, "rows[0].unit_scale"},
                      {RPC_INVALID_ARGUMENT, "rows[1].operation_id"},
                      {RPC_INVALID_ARGUMENT, "rows[2].safety_stock"},
                      {RPC_PERMISSION_DENIED, "rows[3].location"}};
    for (int i = 0; i < ROWS; i++) {
        assert_non_null(a->results[i]->error);
        assert_int_equal(a->results[i]->error->code, wanted[i].code);
        assert_string_equal(a->results[i]->error->field, wanted[i].field);
    }
    assert_int_equal(a->results[2]->handle, 1); // made, not set
    assert_int_equal(core_cell_count(t->w.core), 2);
    FREE_ANSWER(a);
    t->who.location_count = 0;
    rows_make(t, &r);
    r.rows[0].unit_scale = 2;
    a = import(t, &r);
    for (int i = 0; i < ROWS; i++)
        assert_null(a->results[i]->error);
    FREE_ANSWER(a);
    r.request.n_rows = 0;
    world_call(t, ADMIN("ImportStock"), &r.request);
    world_refused(t, RPC_INVALID_ARGUMENT, "rows");
}

// GetReservation in the slow lane.
static void get_deferred(struct service_world *t, const char *id)
{
    Holdfast__V1__GetReservationRequest r = HOLDFAST__V1__GET_RESERVATION_REQUEST__INIT;
    r.reservation_id = text(id);
    fake_call_fini(&t->call);
    fake_call_init(&t->call, &t->who);
    t->call.pub.method = method_of("/holdfast.v1.ReservationService/GetReservation");
    fake_request(&t->call, &r.base);
    t->hooks.deferred(t->hooks.ctx, t->local, &t->call.pub);
}

static void a_search_that_fails_is_not_told_as_unknown(void **state)
{
    struct service_world *t = *state;
    static const char long_ago[] = "015d3ef7-9800-7000-8000-000000000001"; // in 2017
    create(t, "tea", "main", 0);
    world_pass(&t->w, 1000); // the floor is set
    world_settle(&t->w);
    get_deferred(t, long_ago);
    world_refused(t, RPC_NOT_FOUND, NULL);
    t->w.disk->faults.read_error_in = 1;
    get_deferred(t, long_ago);
    assert_int_equal(t->w.disk->faults.read_error_in, 0);
    world_refused(t, RPC_RESOURCE_EXHAUSTED, NULL);
}

#define LOCATIONS 40000

static int many_cells_set_up(void **state)
{
    return service_world_set_up_cells(state, LOCATIONS);
}

// Names as long as they may be, and more cells than an answer may hold.
static void a_sku_at_too_many_places_is_summed_whole_and_told_in_part(void **state)
{
    struct service_world *t = *state;
    char sku[HF_SKU_BYTES_MAX + 1], location[HF_LOCATION_BYTES_MAX + 1];
    struct core_admin_answer a;
    memset(sku, 's', HF_SKU_BYTES_MAX);
    sku[HF_SKU_BYTES_MAX] = 0;
    for (uint32_t i = 0; i < LOCATIONS; i++) {
        snprintf(location, sizeof location, "%032u", i);
        core_cell_make(t->w.worker, core_now(t->w.core), sku, HF_SKU_BYTES_MAX, location,
                       HF_LOCATION_BYTES_MAX, 0, &a);
        assert_int_equal(a.outcome, CORE_OUT_DONE);
        if (i % 100 == 0)
            world_settle(&t->w);
    }
    world_settle(&t->w);
    struct core_change last = {.op_id = world_id(&t->w), .handle = a.handle, .value = 7};
    core_change(t->w.worker, core_now(t->w.core), &last, &a);
    assert_int_equal(a.outcome, CORE_OUT_DONE);
    world_settle(&t->w);
    Holdfast__V1__GetSkuStockRequest r = HOLDFAST__V1__GET_SKU_STOCK_REQUEST__INIT;
    r.sku = sku;
    world_call(t, READ("GetSkuStock"), &r);
    Holdfast__V1__GetSkuStockResponse *s =
        world_answer(t, &holdfast__v1__get_sku_stock_response__descriptor);
    assert_true(s->cells_left_out > 0);
    assert_int_equal(s->n_cells + s->cells_left_out, LOCATIONS);
    assert_int_equal(s->total->on_hand, 7);
    size_t bytes = protobuf_c_message_get_packed_size(&s->base);
    assert_true(bytes <= ANSWER_BYTES_MAX && bytes > ANSWER_BYTES_MAX / 10 * 9);
    FREE_ANSWER(s);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, service_world_set_up, service_world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_cell_is_told_with_all_its_terms),
        TEST(a_search_that_fails_is_not_told_as_unknown),
        TEST(a_batch_answers_each_name_by_itself),
        TEST(lists_go_through_all_cells_page_by_page),
        TEST(bad_pages_are_refused),
        TEST(a_skus_total_adds_its_cells_up),
        TEST(a_cell_is_made_once),
        TEST(a_value_is_set_once_and_only_when_it_is_what_was_expected),
        TEST(bad_changes_name_the_field),
        TEST(an_adjustment_adds_once),
        TEST(channels_are_made_once),
        TEST(an_import_acts_once_however_often_it_is_sent),
        TEST(absent_values_stay_as_they_are),
        TEST(a_bad_row_leaves_the_others_alone),
        cmocka_unit_test_setup_teardown(a_sku_at_too_many_places_is_summed_whole_and_told_in_part,
                                        many_cells_set_up, service_world_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
