// The stand-in for Odoo, held to the contract: what it accepts, refuses and answers.
#include "sandbox/sandbox.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define STOCK     "WH/Stock"
#define CUSTOMERS "Partners/Customers"
#define CREATE    "stock.picking/create"
#define VALIDATE  "stock.picking/button_validate"
#define RUN       "ir.actions.server/run"

struct fixture {
    struct sandbox *s;
    struct sandbox_answer answer;
    json_t *body; // of the last answer
};

static int handle(struct fixture *f, const char *method, const char *path, const char *body)
{
    struct sandbox_request r = {.method = method,
                                .path = path,
                                .authorization = "Bearer sandbox",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = body,
                                .body_bytes = body ? strlen(body) : 0,
                                .now_ms = 1700000000000};
    json_decref(f->body);
    free(f->answer.body);
    sandbox_handle(f->s, &r, &f->answer);
    f->body = f->answer.body
                  ? json_loadb(f->answer.body, f->answer.body_bytes, JSON_DECODE_ANY, NULL)
                  : NULL;
    return f->answer.delivery == SANDBOX_SEND ? f->answer.status : 0;
}

static int call(struct fixture *f, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int call(struct fixture *f, const char *what, const char *format, ...)
{
    char path[160], body[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(body, sizeof body, format, args);
    va_end(args);
    snprintf(path, sizeof path, "/json/2/%s", what);
    return handle(f, "POST", path, body);
}

static void expect_error(struct fixture *f, const char *name)
{
    assert_string_equal(json_string_value(json_object_get(f->body, "name")), name);
    assert_non_null(json_object_get(f->body, "message"));
    assert_true(json_is_array(json_object_get(f->body, "arguments")));
    assert_true(json_is_object(json_object_get(f->body, "context")));
    assert_non_null(json_object_get(f->body, "debug"));
}

static int create(struct fixture *f, const char *name, const char *move)
{
    return call(f, CREATE,
                "{\"vals_list\":[{\"name\":\"%s\",\"origin\":\"o\",\"picking_type_id\":12000000,"
                "\"location_id\":10000004,\"location_dest_id\":10000000,\"move_ids\":[[0,0,{"
                "\"location_id\":10000004,\"location_dest_id\":10000000,\"product_uom\":1,%s}]]}]}",
                name, move);
}

static json_int_t first_id(struct fixture *f)
{
    return json_integer_value(json_array_get(f->body, 0));
}

static int validate(struct fixture *f, json_int_t id)
{
    return call(f, VALIDATE,
                "{\"ids\":[%lld],\"context\":{\"skip_backorder\":true,"
                "\"picking_ids_not_to_backorder\":[%lld]}}",
                (long long)id, (long long)id);
}

static int run(struct fixture *f, const char *name, int product, double quantity)
{
    return call(
        f, RUN,
        "{\"ids\":[13000000],\"context\":{\"hf_batch\":{\"name\":\"%s\",\"origin\":\"%s x\","
        "\"company_id\":1,\"type\":12000000,\"src\":10000004,\"dst\":10000000,"
        "\"lines\":[[%d,1,%g,\"LSN 7..9\"]]}}}",
        name, name, product, quantity);
}

static const char *state_of(struct fixture *f, const char *name)
{
    assert_int_equal(call(f, "stock.picking/search_read",
                          "{\"domain\":[[\"name\",\"=\",\"%s\"],[\"company_id\",\"=\",1]],"
                          "\"fields\":[\"state\"],\"load\":null}",
                          name),
                     200);
    return json_array_size(f->body) == 0
               ? "absent"
               : json_string_value(json_object_get(json_array_get(f->body, 0), "state"));
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sandbox_options o;
    static const char csv[] = "default_code,warehouse,quantity,tracking\nA,WH,10\nB,WH,2.5\r\n"
                              "LOT,WH,5,lot\nA,SHOP,7\n";
    uint32_t line;
    sandbox_options_default(&o);
    o.pickings_max = 300;
    f->s = sandbox_create(&o);
    assert_true(sandbox_seed_csv(f->s, csv, sizeof csv - 1, &line));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    json_decref(f->body);
    free(f->answer.body);
    sandbox_destroy(f->s);
    free(f);
    return 0;
}

#define A_3 "\"product_id\":1000,\"product_uom_qty\":3,\"quantity\":3,\"picked\":true"

static void two_calls_move_stock_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "N1", A_3), 200);
    json_int_t id = first_id(f);
    assert_string_equal(state_of(f, "N1"), "assigned");
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 10000000);
    assert_int_equal(call(f, "stock.quant/search_read",
                          "{\"domain\":[[\"location_id.usage\",\"=\",\"internal\"],[\"product_id\","
                          "\"=\",1000]],\"fields\":[\"reserved_quantity\",\"location_id\"]}"),
                     200);
    assert_int_equal(json_array_size(f->body), 2);
    assert_true(
        json_number_value(json_object_get(json_array_get(f->body, 0), "reserved_quantity")) == 3.0);
    assert_int_equal(validate(f, id), 200);
    assert_true(json_is_true(f->body));
    assert_int_equal(validate(f, id), 200); // again: nothing moves
    assert_true(json_is_true(f->body));
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 7000000);
    assert_int_equal(sandbox_quantity(f->s, "A", CUSTOMERS), 3000000);
    assert_string_equal(state_of(f, "N1"), "done");
}

static void a_name_is_taken_once_even_when_cancelled(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "N1", A_3), 200);
    json_int_t id = first_id(f);
    assert_int_equal(create(f, "N1", A_3), 422);
    expect_error(f, "odoo.exceptions.ValidationError");
    assert_int_equal(call(f, "stock.picking/action_cancel", "{\"ids\":[%lld]}", (long long)id),
                     200);
    assert_int_equal(create(f, "N1", A_3), 422);
    assert_int_equal(run(f, "N1", 1000, 1), 200); // told, not validated
    assert_string_equal(json_string_value(json_object_get(f->body, "state")), "cancel");
    assert_string_equal(state_of(f, "N1"), "cancel");
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 10000000);
}

static void wizards_and_refusals_post_nothing(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        create(f, "S", "\"product_id\":1000,\"product_uom_qty\":3,\"quantity\":1,\"picked\":true"),
        200);
    assert_int_equal(call(f, VALIDATE, "{\"ids\":[%lld]}", (long long)first_id(f)), 200);
    assert_string_equal(json_string_value(json_object_get(f->body, "res_model")),
                        "stock.backorder.confirmation");
    assert_string_equal(state_of(f, "S"), "assigned");
    assert_int_equal(create(f, "D", "\"product_id\":1000,\"product_uom_qty\":99"), 200);
    assert_int_equal(validate(f, first_id(f)), 422); // demand alone, and not enough there
    expect_error(f, "odoo.exceptions.UserError");
    assert_int_equal(create(f, "L", "\"product_id\":1002,\"product_uom_qty\":1,\"quantity\":1"),
                     200);
    assert_int_equal(validate(f, first_id(f)), 422); // a lot is needed
    assert_string_equal(state_of(f, "L"), "assigned");
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 10000000);
    // With a quantity more than there is posts silently.
    assert_int_equal(create(f, "M", "\"product_id\":1001,\"quantity\":4,\"picked\":true"), 200);
    assert_int_equal(validate(f, first_id(f)), 200);
    assert_int_equal(sandbox_quantity(f->s, "B", STOCK), -1500000);
}

static void bad_input_is_told_as_odoo_tells_it(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "X", "\"product_id\":1000,\"name\":\"n\""), 500);
    expect_error(f, "builtins.ValueError"); // an unknown field in 19
    assert_int_equal(create(f, "X", "\"product_id\":999999"), 422);
    expect_error(f, "odoo.exceptions.ValidationError");
    assert_string_equal(state_of(f, "X"), "absent");
    assert_int_equal(run(f, "X", 999999, 1), 500);
    expect_error(f, "builtins.ValueError");
    assert_int_equal(validate(f, 40000299), 404);
    expect_error(f, "odoo.exceptions.MissingError");
    assert_int_equal(call(f, "no.model/search_read", "{}"), 404);
    expect_error(f, "werkzeug.exceptions.NotFound");
    assert_int_equal(call(f, "stock.picking/unlink", "{}"), 404);
    assert_int_equal(call(f, CREATE, "no json"), 400);
    assert_int_equal(call(f, "stock.quant/search_read", "{\"domain\":[[\"nope\",\"=\",1]]}"), 500);
    struct sandbox_request r = {.method = "POST",
                                .path = "/json/2/stock.picking/search_read",
                                .authorization = "Bearer wrong",
                                .database = "odoo",
                                .content_type = "application/json",
                                .body = "{}",
                                .body_bytes = 2};
    struct sandbox_answer a;
    sandbox_handle(f->s, &r, &a);
    assert_int_equal(a.status, 401);
    free(a.body);
    r.database = "another";
    sandbox_handle(f->s, &r, &a);
    assert_int_equal(a.status, 404);
    assert_non_null(strstr(a.content_type, "text/html"));
    free(a.body);
}

static void the_action_tells_its_database_and_leaves_another_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(call(f, RUN, "{\"ids\":[13000000]}"), 200);
    assert_int_equal(json_integer_value(json_object_get(f->body, "holdfast")), 1);
    assert_int_equal(call(f, RUN,
                          "{\"ids\":[13000000],\"context\":{\"hf_batch\":{\"uuid\":\"x\","
                          "\"name\":\"U\",\"origin\":\"U x\",\"company_id\":1,\"lines\":[]}}}"),
                     200);
    assert_null(json_object_get(f->body, "state"));
    assert_string_equal(state_of(f, "U"), "absent");
}

static void a_document_of_another_content_is_not_validated(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        create(f, "V", "\"product_id\":1000,\"product_uom_qty\":2,\"quantity\":2,\"picked\":true"),
        200);
    assert_int_equal(run(f, "V", 1000, 2), 200);
    assert_string_equal(json_string_value(json_object_get(f->body, "state")), "assigned");
    assert_string_equal(state_of(f, "V"), "assigned");
}

static void one_call_posts_once(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, "R", 1000, 2.5), 200);
    assert_true(json_is_false(json_object_get(f->body, "dup")));
    assert_int_equal(run(f, "R", 1000, 2.5), 200);
    assert_true(json_is_true(json_object_get(f->body, "dup")));
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 7500000);
    assert_int_equal(run(f, "R2", 1002, 1), 422); // tracked by lot: all of it is undone
    assert_string_equal(state_of(f, "R2"), "absent");
    assert_int_equal(call(f, "stock.quant/search_read",
                          "{\"domain\":[[\"reserved_quantity\",\"!=\",0]],\"fields\":[\"id\"]}"),
                     200);
    assert_int_equal(json_array_size(f->body), 0);
}

static void reads_filter_sort_and_page(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "HF/e/%d", i);
        assert_int_equal(run(f, name, 1000, 1), 200);
    }
    assert_int_equal(run(f, "WH/OUT/1", 1000, 1), 200);
    assert_int_equal(call(f, "stock.move.line/search_read",
                          "{\"domain\":[[\"state\",\"=\",\"done\"],\"!\",[\"reference\",\"like\","
                          "\"HF/e/\"]],\"fields\":[\"reference\"]}"),
                     200);
    assert_int_equal(json_array_size(f->body), 1);
    assert_int_equal(call(f, "stock.move.line/search_read",
                          "{\"domain\":[\"|\",[\"reference\",\"=like\",\"HF/%%/1\"],[\"reference\","
                          "\"=\",\"HF/e/3\"]],\"fields\":[\"reference\"],"
                          "\"order\":\"reference desc\",\"limit\":1,\"load\":null}"),
                     200);
    assert_int_equal(json_array_size(f->body), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(f->body, 0), "reference")),
                        "HF/e/3");
    assert_int_equal(call(f, "product.product/search_read",
                          "{\"domain\":[[\"default_code\",\"in\",[\"A\",\"none\",\"B\",\"A\"]]],"
                          "\"fields\":[\"default_code\",\"tracking\",\"uom_id\"]}"),
                     200);
    assert_int_equal(json_array_size(f->body), 2);
    assert_int_equal(call(f, "stock.quant/search_read",
                          "{\"domain\":[[\"product_id\",\"=\",1000],[\"location_id\",\"=\","
                          "10000004]],\"fields\":[\"product_id\"]}"),
                     200);
    const json_t *link = json_object_get(json_array_get(f->body, 0), "product_id");
    assert_int_equal(json_integer_value(json_array_get(link, 0)), 1000); // [id, name] unless asked
    assert_string_equal(json_string_value(json_array_get(link, 1)), "A");
}

static int fault(struct fixture *f, const char *text)
{
    char body[300];
    snprintf(body, sizeof body, "{\"faults\":[%s]}", text);
    return handle(f, "POST", "/sandbox/faults", body);
}

static void faults_strike_before_or_after_the_commit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fault(f, "{\"kind\":\"close\",\"method\":\"run\"},"
                              "{\"kind\":\"commit_close\",\"method\":\"run\"},"
                              "{\"kind\":\"commit_504\",\"method\":\"run\",\"skip\":1}"),
                     200);
    assert_int_equal(run(f, "F", 1000, 1), 0);
    assert_string_equal(state_of(f, "F"), "absent");
    assert_int_equal(run(f, "F", 1000, 1), 0);
    assert_string_equal(state_of(f, "F"), "done");
    assert_int_equal(run(f, "F", 1000, 1), 200); // let pass
    assert_int_equal(run(f, "F2", 1000, 1), 504);
    assert_non_null(strstr(f->answer.content_type, "text/html"));
    assert_string_equal(state_of(f, "F2"), "done");
    assert_int_equal(fault(f, "{\"kind\":\"validation\",\"product\":\"B\",\"count\":-1},"
                              "{\"kind\":\"serialization\",\"method\":\"run\"},"
                              "{\"kind\":\"hang\",\"method\":\"run\",\"ms\":300}"),
                     200);
    assert_int_equal(run(f, "F3", 1001, 1), 422);
    assert_int_equal(run(f, "F3", 1000, 1), 500);
    expect_error(f, "psycopg2.errors.SerializationFailure");
    assert_int_equal(run(f, "F3", 1000, 1), 0);
    assert_int_equal(f->answer.delay_ms, 300);
    assert_string_equal(state_of(f, "F3"), "absent");
    assert_int_equal(run(f, "F3", 1001, 1), 422);
    assert_int_equal(handle(f, "DELETE", "/sandbox/faults", NULL), 200);
    assert_int_equal(run(f, "F3", 1001, 1), 200);
    assert_int_equal(fault(f, "{\"kind\":\"no such fault\"}"), 400);
}

static void its_memory_has_a_bound(void **state)
{
    struct fixture *f = *state;
    char name[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "B%d", i);
        assert_int_equal(run(f, name, 1000, 1), 200);
    }
    assert_int_equal(run(f, "more", 1000, 1), 507);
    assert_int_equal(sandbox_quantity(f->s, "A", CUSTOMERS), 300000000);
    assert_int_equal(sandbox_pickings(f->s, "done"), 300);
}

static void the_state_can_be_looked_at(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, "V", 1000, 4), 200);
    assert_int_equal(handle(f, "GET", "/sandbox/pickings", NULL), 200);
    const json_t *p = json_array_get(json_object_get(f->body, "pickings"), 0);
    assert_string_equal(json_string_value(json_object_get(p, "name")), "V");
    assert_string_equal(json_string_value(json_object_get(p, "destination")), CUSTOMERS);
    assert_int_equal(handle(f, "GET", "/sandbox/stock", NULL), 200);
    assert_int_equal(json_array_size(json_object_get(f->body, "stock")), 5);
    assert_int_equal(handle(f, "GET", "/sandbox/counters", NULL), 200);
    assert_int_equal(json_integer_value(json_object_get(f->body, "calls")), 1);
    assert_int_equal(handle(f, "GET", "/sandbox/nothing", NULL), 404);
    uint32_t line;
    assert_false(sandbox_seed_csv(f->s, "A,WH,1\nA,WH,x\n", 14, &line));
    assert_int_equal(line, 2);
    assert_non_null(strstr(sandbox_seed_wrong(f->s), "quantity"));
    static const char *const bad[] = {",WH,1", "A", "A,", "A,WH", "A,WH,1e13", "A,WH,1,boxes"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(sandbox_seed_csv(f->s, bad[i], strlen(bad[i]), &line));
        assert_true(sandbox_seed_wrong(f->s)[0] != 0);
    }
}

// What somebody edits is what is booked; a done document's stock follows.
static void a_move_is_edited_by_hand(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "H", A_3), 200);
    json_int_t id = first_id(f);
    assert_int_equal(call(f, "stock.move/write", "{\"ids\":[60000000],\"vals\":{\"quantity\":2}}"),
                     200);
    assert_int_equal(validate(f, id), 200);
    assert_int_equal(sandbox_quantity(f->s, "A", CUSTOMERS), 2000000);
    assert_int_equal(call(f, "stock.move/write", "{\"ids\":[60000000],\"vals\":{\"quantity\":5}}"),
                     200);
    assert_int_equal(sandbox_quantity(f->s, "A", CUSTOMERS), 5000000);
    assert_int_equal(sandbox_quantity(f->s, "A", STOCK), 5000000);
    assert_int_equal(call(f, "stock.move/write", "{\"ids\":[7],\"vals\":{\"quantity\":5}}"), 404);
    assert_int_equal(call(f, "stock.move/write", "{\"ids\":[60000000],\"vals\":{\"colour\":5}}"),
                     500);
    assert_int_equal(handle(f, "POST", "/sandbox/catalogue",
                            "{\"products\":[{\"default_code\":\"A\",\"rename\":\"AA\"}]}"),
                     200);
    assert_int_equal(sandbox_quantity(f->s, "AA", STOCK), 5000000);
}

// Two decimal places, half up, as Odoo has them unless told otherwise.
static void quantities_are_rounded_to_the_units_digits(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run(f, "R", 1000, 0.125), 200);
    assert_int_equal(sandbox_quantity(f->s, "A", CUSTOMERS), 130000);
    assert_int_equal(call(f, "uom.uom/search_read",
                          "{\"domain\":[[\"id\",\"in\",[1]]],\"fields\":[\"rounding\"]}"),
                     200);
    assert_int_equal(json_array_size(f->body), 1);
    assert_true(json_number_value(json_object_get(json_array_get(f->body, 0), "rounding")) == 0.01);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(two_calls_move_stock_once),
        EACH(a_name_is_taken_once_even_when_cancelled),
        EACH(wizards_and_refusals_post_nothing),
        EACH(bad_input_is_told_as_odoo_tells_it),
        EACH(the_action_tells_its_database_and_leaves_another_alone),
        EACH(a_document_of_another_content_is_not_validated),
        EACH(one_call_posts_once),
        EACH(reads_filter_sort_and_page),
        EACH(faults_strike_before_or_after_the_commit),
        EACH(its_memory_has_a_bound),
        EACH(the_state_can_be_looked_at),
        EACH(quantities_are_rounded_to_the_units_digits),
        EACH(a_move_is_edited_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
