// odoo tell-again's parts: the shop's file, the comparison, the choice of orders, the plan.
#include "base/limits.h"
#include "ctl/again.h"
#include "sys/zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define DAY_MS UINT64_C(86400000)
#define NOON   (20000 * DAY_MS + DAY_MS / 2) // of day 20000, 2024-10-04

static const struct flush_location locations[] = {
    {.name = "main", .warehouse = "WH"},
    {.name = "tokyo", .warehouse = "TK", .zone = "Asia/Tokyo"},
    {.name = "web", .warehouse = "WW", .mode = FLUSH_MODE_EXTERNAL},
};
static struct again_place places[3];
static struct again_book book;
static struct ctl ctl;
static char *err;
static size_t err_bytes;
static char path[] = "/tmp/holdfast-again-XXXXXX";

static int begin(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++)
        places[i] = (struct again_place){
            .location = &locations[i],
            .zone = zone_create(locations[i].zone ? locations[i].zone : "UTC")};
    again_init(&book, places, 3);
    ctl = (struct ctl){.io.err = open_memstream(&err, &err_bytes)};
    return ctl.io.err ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    again_fini(&book);
    for (size_t i = 0; i < 3; i++)
        zone_destroy(places[i].zone);
    (void)fclose(ctl.io.err);
    free(err);
    return 0;
}

// ------------------------------------------------------------------------------- the file

static enum ctl_exit read_text(const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    enum ctl_exit e = again_read(&ctl, path, &book);
    (void)fflush(ctl.io.err);
    return e;
}

static const struct again_cell *cell_of(const char *sku, const char *location)
{
    uint32_t at = again_cell(&book, sku, location, false);
    assert_true(at != AGAIN_NONE);
    return &book.cells[at];
}

static void rows_are_read_in_any_order_of_columns(void **state)
{
    (void)state;
    assert_int_equal(read_text("quantity,sku,channel,reference,location,sold_at\n"
                               "2.5,tea,web,S-1,main,2024-10-04T12:00:00Z\n"
                               "-1,\"pot, blue\",,S-1,tokyo,2024-10-04T23:30:00+09:00\n"
                               "3,tea,,S-2,main,2024-10-04T12:00:00.250-02:00\n"),
                     CTL_OK);
    assert_int_equal(book.row_count, 3);
    assert_int_equal(book.cell_count, 2);
    assert_int_equal(book.order_count, 2);
    assert_int_equal(book.rows[0].sold_ms, NOON);
    assert_int_equal(book.rows[2].sold_ms, NOON + 2 * 3600 * 1000 + 250);
    assert_string_equal(book.orders[0].channel, "web");
    assert_string_equal(book.orders[1].channel, "");
    book.cells[0].scale = 1;
    assert_true(again_read_quantities(&ctl, &book));
    assert_int_equal(book.rows[0].quantity, 25);
    assert_int_equal(book.rows[1].quantity, -1);
    assert_int_equal(book.rows[2].quantity, 30);
    // By a scale that it does not fit it is told, with its line.
    book.cells[0].scale = 0;
    assert_false(again_read_quantities(&ctl, &book));
    (void)fflush(ctl.io.err);
    assert_non_null(strstr(err, ":2: quantity "));
}

#define HEAD "reference,sold_at,sku,location,quantity\n"
#define GOOD "S-1,2024-10-04T12:00:00Z,tea,main,1\n"

static void each_bad_row_is_told_with_its_line_and_field(void **state)
{
    (void)state;
    static const struct {
        const char *row, *field;
    } rows[] = {
        {",2024-10-04T12:00:00Z,tea,main,1\n", "reference"},
        {"S,2024-10-04 noon,tea,main,1\n", "sold_at"},
        {"S,2024-10-04T12:00:00,tea,main,1\n", "sold_at"}, // in whose time?
        {"S,,tea,main,1\n", "sold_at"},
        {"S,2024-10-04T12:00:00Z,,main,1\n", "sku"},
        {"S,2024-10-04T12:00:00Z,tea,,1\n", "location"},
        {"S,2024-10-04T12:00:00Z,tea,moon,1\n", "location"},
        {"S,2024-10-04T12:00:00Z,tea,web,1\n", "location has mode external"},
        {"S,2024-10-04T12:00:00Z,tea,main,\n", "quantity"},
        {"S,2024-10-04T12:00:00Z,tea,main,0\n", "quantity must not be 0"},
        {"S,2024-10-04T12:00:00Z,tea,main,one\n", "quantity"},
        {"S,2024-10-04T12:00:00Z,tea,main,1.1234567\n", "quantity"},
        {"S,2024-10-04T12:00:00Z,tea,main\n", "4 fields"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[300], told[100];
        snprintf(text, sizeof text, HEAD GOOD "%s" GOOD, rows[i].row);
        assert_int_equal(read_text(text), CTL_USAGE);
        assert_int_equal(book.csv.bad, 1);
        snprintf(told, sizeof told, "%s:3: %s", path, rows[i].field);
        if (!strstr(err, told))
            fail_msg("%s: %s", told, err);
        (void)end(NULL);
        assert_int_equal(begin(NULL), 0);
    }
    assert_int_equal(read_text("reference,sku,location,quantity\n"), CTL_USAGE);
    assert_non_null(strstr(err, ":1: the header needs reference, sold_at, sku, location and "
                                "quantity"));
    csv_file_fini(&book.csv);
    assert_int_equal(read_text("reference;sold_at;sku;location;quantity\n"), CTL_USAGE);
    assert_non_null(strstr(err, "semicolons"));
    csv_file_fini(&book.csv);
    assert_int_equal(again_read(&ctl, "/nonexistent", &book), CTL_USAGE);
}

static void a_day_is_that_of_the_location(void **state)
{
    (void)state;
    // 16:00 UTC is the next day in Tokyo.
    assert_int_equal(read_text(HEAD "S-1,2024-10-04T14:00:00Z,tea,main,1\n"
                                    "S-2,2024-10-04T16:00:00Z,tea,main,2\n"
                                    "S-3,2024-10-04T14:00:00Z,tea,tokyo,4\n"
                                    "S-4,2024-10-04T16:00:00Z,tea,tokyo,8\n"
                                    "S-5,2024-10-05T00:00:00Z,tea,main,16\n"),
                     CTL_OK);
    assert_true(again_read_quantities(&ctl, &book));
    assert_null(again_sum(&book, 20001)); // 2024-10-05
    assert_int_equal(cell_of("tea", "main")->shop, 16);
    assert_int_equal(cell_of("tea", "tokyo")->shop, 8);
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(book.since, 20000);
    assert_int_equal(cell_of("tea", "main")->shop, 19);
    assert_int_equal(cell_of("tea", "tokyo")->shop, 12);
}

static void what_cannot_be_counted_is_told(void **state)
{
    (void)state;
    assert_int_equal(read_text(HEAD "S-1,2024-10-04T14:00:00Z,tea,main,9007199254740991\n"
                                    "S-2,2024-10-04T14:00:00Z,oil,main,9007199254740991\n"
                                    "S-3,2024-10-04T14:00:00Z,tea,main,1\n"),
                     CTL_OK);
    assert_true(again_read_quantities(&ctl, &book));
    const struct again_row *much = again_sum(&book, AGAIN_SINCE_OLDEST);
    assert_non_null(much);
    assert_int_equal(much->line, 4);
}

// ------------------------------------------------------------------------------- the choice

static uint64_t next_line;

static void sell(const char *reference, uint64_t minute, const char *sku, int64_t quantity)
{
    struct again_row r = {
        .line = ++next_line, .sold_ms = NOON + minute * 60000, .day = 20000, .quantity = quantity};
    again_row_add(&book, &r, sku, "main", reference, "");
}

static void odoo_has(const char *sku, int64_t units)
{
    struct again_cell *cell = &book.cells[again_cell(&book, sku, "main", true)];
    cell->micro = units * AGAIN_MICRO;
    again_odoo_sum(cell);
}

struct folder { // what it knows: units of every line of these orders
    const char *references[4];
    int64_t units[4];
    char asked[200];
};

static enum ctl_exit known(void *ctx, const struct again_order *o, struct again_line *lines)
{
    struct folder *f = ctx;
    size_t at = strlen(f->asked);
    snprintf(f->asked + at, sizeof f->asked - at, "%s ", o->reference);
    for (size_t i = 0; i < 4 && f->references[i]; i++)
        for (size_t k = 0; k < o->count && strcmp(f->references[i], o->reference) == 0; k++)
            lines[k].known = f->units[i];
    return strcmp(o->reference, "broken") == 0 ? CTL_UNREACHED : CTL_OK;
}

static int64_t told_of(const char *reference, const char *sku)
{
    int64_t told = 0;
    for (uint32_t i = 0; i < book.order_count; i++) {
        const struct again_order *o = &book.orders[i];
        for (size_t k = o->first; k < o->first + o->count; k++)
            if (strcmp(o->reference, reference) == 0 &&
                strcmp(book.cells[book.lines[k].cell].sku, sku) == 0)
                told += book.lines[k].told;
    }
    return told;
}

static void the_newest_orders_are_told_up_to_what_is_missing(void **state)
{
    (void)state;
    struct folder none = {0};
    sell("new", 30, "tea", 3);
    sell("old", 10, "tea", 5);
    sell("old", 10, "oil", 2);
    sell("mid", 20, "tea", 4);
    sell("mid", 20, "oil", 1);
    odoo_has("tea", 7); // of 12
    odoo_has("oil", 3); // of 3
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_missing(cell_of("tea", "main")), 5);
    assert_int_equal(again_missing(cell_of("oil", "main")), 0);
    assert_int_equal(again_choose(&book, known, &none), CTL_OK);
    assert_int_equal(told_of("new", "tea"), 3);
    assert_int_equal(told_of("mid", "tea"), 2);
    assert_int_equal(told_of("mid", "oil"), 0);
    assert_int_equal(told_of("old", "tea"), 0);
    assert_string_equal(none.asked, "new mid "); // nobody is asked for what is not needed
    assert_int_equal(cell_of("tea", "main")->told, 5);
    assert_int_equal(cell_of("tea", "main")->orders, 2);
}

static void what_this_folder_knows_is_not_told(void **state)
{
    (void)state;
    struct folder some = {.references = {"new", "mid"}, .units = {3, 1}};
    sell("old", 10, "tea", 5);
    sell("mid", 20, "tea", 4); // a part of it was told by a run before
    sell("new", 30, "tea", 3);
    odoo_has("tea", 2);
    book.cells[0].here = 1; // a dead letter
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_missing(cell_of("tea", "main")), 9);
    assert_int_equal(again_choose(&book, known, &some), CTL_OK);
    assert_int_equal(told_of("new", "tea"), 0);
    assert_int_equal(told_of("mid", "tea"), 3);
    assert_int_equal(told_of("old", "tea"), 5);
    assert_int_equal(cell_of("tea", "main")->told, 8); // one is of nobody
}

static void what_was_taken_back_is_not_told(void **state)
{
    (void)state;
    struct folder none = {0};
    sell("old", 10, "tea", 5);
    sell("new", 20, "tea", 4);
    sell("new", 40, "tea", -3); // later, which makes its order no newer
    sell("mid", 30, "tea", 2);
    sell("mid", 35, "tea", -2);
    sell("note", 50, "tea", -1); // of another number than its order
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    odoo_has("tea", 0);
    assert_int_equal(again_missing(cell_of("tea", "main")), 5);
    assert_int_equal(again_choose(&book, known, &none), CTL_OK);
    assert_int_equal(told_of("new", "tea"), 1);
    assert_int_equal(told_of("mid", "tea"), 0);
    assert_int_equal(told_of("old", "tea"), 4);
    assert_string_equal(none.asked, "new old ");
}

static void where_odoo_has_more_nothing_is_told(void **state)
{
    (void)state;
    struct folder none = {0};
    sell("a", 10, "tea", 5);
    odoo_has("tea", 7);
    odoo_has("fig", 2); // which the file does not have at all
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_missing(cell_of("tea", "main")), -2);
    assert_int_equal(again_missing(cell_of("fig", "main")), -2);
    assert_false(cell_of("fig", "main")->in_file);
    assert_int_equal(again_choose(&book, known, &none), CTL_OK);
    assert_string_equal(none.asked, "");
    assert_int_equal(told_of("a", "tea"), 0);
}

static void a_failure_ends_the_choice(void **state)
{
    (void)state;
    struct folder none = {0};
    sell("a", 10, "tea", 5);
    sell("broken", 20, "tea", 1);
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_choose(&book, known, &none), CTL_UNREACHED);
}

static void parts_of_units_are_read_from_millionths(void **state)
{
    (void)state;
    struct again_cell cell = {.scale = 3, .micro = 2500000};
    again_odoo_sum(&cell);
    assert_int_equal(cell.odoo, 2500);
    cell.micro = -2500000;
    again_odoo_sum(&cell);
    assert_int_equal(cell.odoo, -2500);
    cell = (struct again_cell){.scale = 0, .micro = -1};
    again_odoo_sum(&cell);
    assert_int_equal(cell.odoo, -1); // down
    cell = (struct again_cell){.scale = 6, .micro = 7};
    again_odoo_sum(&cell);
    assert_int_equal(cell.odoo, 7);
}

static void an_engine_is_read_from_a_document(void **state)
{
    (void)state;
    char out[FLUSH_ENGINE_BYTES_MAX + 1];
    assert_string_equal(again_engine_of("HF/shop-2/0123456789ab/0/77", out), "shop-2");
    static const char *const bad[] = {"",
                                      "HF/",
                                      "HF/shop",
                                      "HF//0/1",
                                      "WH/OUT/00001",
                                      "hf/shop/0/0/1",
                                      "HF/a-name-that-is-longer-than-an-engine-s/0/0/1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_null(again_engine_of(bad[i], out));
}

// ------------------------------------------------------------------------------- the plan

static const char *id_of(const struct again_plan *p, size_t order)
{
    return json_string_value(json_object_get(json_array_get(p->orders, order), "reservation_id"));
}

static void a_plan_has_the_same_ids_each_time(void **state)
{
    (void)state;
    struct hf_uuid run = hf_uuid_v7(NOON, 1, 2), other = hf_uuid_v7(NOON, 1, 12), id;
    struct folder none = {0};
    struct again_plan p, q;
    char skus[1500][8];
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(skus[i], sizeof skus[i], "s%u", i);
        sell("wide", 20, skus[i], 2);
    }
    sell("narrow", 10, "s7", 1);
    sell("posted", 5, "tea", 1);
    odoo_has("tea", 1);
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_choose(&book, known, &none), CTL_OK);
    again_plan_make(&book, run, &p);
    again_plan_make(&book, run, &q);
    // More lines than a reservation may have come in parts, each under an id of its own.
    assert_int_equal(json_array_size(p.orders), 3);
    assert_true(json_equal(p.orders, q.orders));
    const json_t *first = json_object_get(json_array_get(p.orders, 0), "lines");
    assert_int_equal(json_array_size(first), HF_LINES_MAX);
    for (size_t i = 0; i < 3; i++) {
        assert_true(hf_uuid_parse(id_of(&p, i), &id));
        assert_int_equal(hf_uuid_version(id), 7);
        assert_int_equal(hf_uuid_ms(id), NOON); // the run's time, by which the server's window goes
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(id_of(&p, i), id_of(&p, k));
    }
    again_plan_fini(&q);
    again_plan_make(&book, other, &q);
    assert_string_not_equal(id_of(&p, 0), id_of(&q, 0));
    again_plan_fini(&q);
    again_plan_fini(&p);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void a_plan_is_read_back(void **state)
{
    (void)state;
    struct folder none = {0};
    struct again_plan p, back;
    sell("S-1", 10, "tea", 5);
    sell("S-\"2\"", 20, "oil", 1);
    assert_null(again_sum(&book, AGAIN_SINCE_OLDEST));
    assert_int_equal(again_choose(&book, known, &none), CTL_OK);
    again_plan_make(&book, hf_uuid_v7(NOON, 3, 4), &p);
    assert_true(again_plan_write(&ctl, path, &p));
    assert_true(again_plan_write(&ctl, path, &p)); // replaces
    assert_true(again_plan_read(&ctl, path, &back));
    assert_true(hf_uuid_equal(back.run, p.run));
    assert_true(json_equal(back.orders, p.orders));
    again_plan_fini(&back);
    again_plan_fini(&p);
    static const char *const bad[] = {
        "",
        "{}",
        "[1]",
        "{\"tell_again\":2,\"run_id\":\"x\",\"orders\":[]}",
        "{\"tell_again\":1,\"run_id\":\"01920000-0000-7000-8000-000000000000\",\"orders\":{}}",
        "{\"tell_again\":1,\"run_id\":\"01920000-0000-7000-8000-000000000000\",\"orders\":[{}]}",
        "{\"tell_again\":1,\"run_id\":\"01920000-0000-7000-8000-000000000000\",\"orders\":["
        "{\"reservation_id\":\"01920000-0000-7000-8000-000000000000\",\"reference\":\"S\","
        "\"channel\":\"\",\"sold_ms\":1,\"lines\":[{\"sku\":\"tea\",\"location\":\"main\","
        "\"unit_scale\":0,\"quantity\":-1}]}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(bad[i]);
        assert_false(again_plan_read(&ctl, path, &back));
        again_plan_fini(&back);
    }
    assert_false(again_plan_write(&ctl, "/nonexistent/plan", &(struct again_plan){0}));
    assert_false(again_plan_read(&ctl, "/nonexistent/plan", &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_read_in_any_order_of_columns, begin, end),
        cmocka_unit_test_setup_teardown(each_bad_row_is_told_with_its_line_and_field, begin, end),
        cmocka_unit_test_setup_teardown(a_day_is_that_of_the_location, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_counted_is_told, begin, end),
        cmocka_unit_test_setup_teardown(the_newest_orders_are_told_up_to_what_is_missing, begin,
                                        end),
        cmocka_unit_test_setup_teardown(what_this_folder_knows_is_not_told, begin, end),
        cmocka_unit_test_setup_teardown(what_was_taken_back_is_not_told, begin, end),
        cmocka_unit_test_setup_teardown(where_odoo_has_more_nothing_is_told, begin, end),
        cmocka_unit_test_setup_teardown(a_failure_ends_the_choice, begin, end),
        cmocka_unit_test_setup_teardown(parts_of_units_are_read_from_millionths, begin, end),
        cmocka_unit_test_setup_teardown(an_engine_is_read_from_a_document, begin, end),
        cmocka_unit_test_setup_teardown(a_plan_has_the_same_ids_each_time, begin, end),
        cmocka_unit_test_setup_teardown(a_plan_is_read_back, begin, end),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
