// Traces: what is read out of a file, and what is held against which order.
#include "trace/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char header[] = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,"
                             "CustomerID,Country\n";

static void read_text(struct trace *t, const char *head, const char *rows, bool one_location)
{
    char path[] = "/tmp/test_trace_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, head, strlen(head)), (ssize_t)strlen(head));
    assert_int_equal(write(fd, rows, strlen(rows)), (ssize_t)strlen(rows));
    close(fd);
    if (!trace_read(t, path, one_location))
        fail_msg("%s", t->why);
    unlink(path);
}

static void test_rows_become_invoices(void **state)
{
    struct trace t;
    (void)state;
    read_text(&t, header,
              "1,10a,\"MUG, \"\"BLUE\"\"\",2,2010-12-01 08:26:00,2.55,17850.0,France\r\n"
              "1,10A,MUG,3,2010-12-01 08:26:00,2.55,17850.0,France\n"
              "1,POST,POSTAGE,1,2010-12-01 08:26:00,2.55,17850.0,France\n"
              "2,11,PLATE,-4,2010-12-01 08:30:00,2.55,,France\n"
              "C3,10A,MUG,-1,2010-12-02 08:26:00,2.55,17850.0,France\n"
              "4,11,PLATE,zero,2010-12-02 08:27:00,2.55,17850.0,France\n",
              false);
    assert_int_equal(t.invoice_count, 3);
    assert_int_equal(t.invoices[0].kind, TRACE_ORDER);
    assert_int_equal(t.invoices[0].count, 1);
    assert_int_equal(t.lines[t.invoices[0].first].quantity, 5);
    assert_string_equal(t.cells[0].sku, "10A");
    assert_string_equal(t.cells[0].location, "France");
    assert_int_equal(t.invoices[1].kind, TRACE_CORRECTION);
    assert_int_equal(t.invoices[1].customer, TRACE_NONE);
    assert_int_equal(t.invoices[1].minute, 4);
    assert_int_equal(t.invoices[2].kind, TRACE_RETURN);
    assert_int_equal(t.invoices[2].before, 0);
    assert_int_equal(t.invoices[2].minute, 1440);
    assert_int_equal(t.rows_skipped, 1);
    assert_int_equal(t.rows_bad, 1);
    trace_free(&t);
}

static void test_both_editions_dates(void **state)
{
    struct trace t;
    (void)state;
    read_text(&t, header,
              "1,10,A,1,2/28/2012 23:59,1,5,X\n2,10,A,1,3/1/2012 0:01,1,5,X\n"
              "3,10,A,1,never,1,5,X\n4,10,A,1,3/1/2012 0:00,1,5,X\n",
              true);
    assert_int_equal(t.invoices[1].minute, 1442); // over a leap day
    assert_int_equal(t.invoices[2].minute, 1442);
    assert_int_equal(t.invoices[3].minute, 1442); // time never goes back
    assert_string_equal(t.cells[0].location, "main");
    trace_free(&t);
    read_text(&t, "InvoiceNo,StockCode,Quantity,CustomerID,Country\n", "1,10,1,5,X\n", true);
    assert_int_equal(t.invoices[0].minute, 0);
    trace_free(&t);
}

static void why_of(char *why, size_t room, const char *bytes, size_t count)
{
    char path[] = "/tmp/test_trace_XXXXXX";
    struct trace t;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, count), (ssize_t)count);
    close(fd);
    assert_false(trace_read(&t, path, true));
    snprintf(why, room, "%s", t.why);
    trace_free(&t);
    unlink(path);
}

// Found: what was wrong with a file was not told, or something else was.
static void test_what_is_wrong_is_told_with_its_line(void **state)
{
    static const unsigned char cut[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x4b, 0x4c};
    struct trace t;
    char why[400], text[512];
    (void)state;
    why_of(why, sizeof why, "", 0);
    assert_non_null(strstr(why, "it is empty"));
    why_of(why, sizeof why, (const char *)cut, sizeof cut);
    assert_non_null(strstr(why, "in the middle of the compressed data"));
    int n = snprintf(text, sizeof text, "%s1,TEA,A,1,,1,5,X\n2,OIL,A,1,,1,5,X\n3,10,A,x,,1,5,X\n",
                     header);
    why_of(why, sizeof why, text, (size_t)n);
    assert_non_null(strstr(why, "of 3 rows 2 are no goods and 1 can't be read; line 2: StockCode"));
    assert_non_null(strstr(why, "'TEA'"));
    read_text(&t, header, "1,10,\"A\nB\",1.0,,1,5,X\n2,10,A,12x,,1,5,X\n3,10,A,1,never,1,5,X\n",
              true);
    assert_int_equal(t.rows_bad, 1);
    assert_int_equal(t.dates_bad, 1);
    assert_string_equal(t.first, "line 4: Quantity is 0, or no number: '12x'");
    trace_free(&t);
}

static bool not_second(const void *ctx, uint32_t invoice)
{
    (void)ctx;
    return invoice != 1;
}

static void test_take_back_newest_first(void **state)
{
    struct trace t;
    struct trace_piece p[2 * TRACE_PIECES_MAX];
    (void)state;
    read_text(&t, header,
              "1,10,A,5,,1,7,X\n2,10,A,5,,1,7,X\n3,10,A,2,,1,7,X\n4,10,A,9,,1,8,X\n"
              "C5,10,A,-4,,1,7,X\nC6,10,A,-9,,1,7,X\n7,10,A,-2,,1,,X\n",
              true);
    int64_t *taken = calloc(t.line_count, sizeof *taken);
    assert_non_null(taken);
    // Order 2 was refused, 4 is another customer's.
    assert_int_equal(trace_take_back(&t, 4, not_second, NULL, taken, p), 2);
    assert_int_equal(p[0].order, 0);
    assert_int_equal(p[0].quantity, 2);
    assert_int_equal(p[1].order, 2);
    assert_int_equal(p[1].quantity, 2);
    // 3 are left of order 1; nobody sold the other 6.
    assert_int_equal(trace_take_back(&t, 5, not_second, NULL, taken, p), 2);
    assert_int_equal(p[0].order, 0);
    assert_int_equal(p[0].quantity, 3);
    assert_int_equal(p[1].order, TRACE_NONE);
    assert_int_equal(p[1].quantity, 6);
    assert_int_equal(trace_take_back(&t, 6, not_second, NULL, taken, p), 1);
    assert_int_equal(p[0].order, TRACE_NONE);
    assert_int_equal(p[0].quantity, -2);
    free(taken);
    trace_free(&t);
}

// Found by a replay over the network: a return over five orders wrote past its pieces.
static void test_a_return_over_many_orders_is_bounded(void **state)
{
    struct trace t;
    struct trace_piece p[TRACE_PIECES_MAX + 4] = {{0}};
    int64_t taken[16] = {0}, sum = 0;
    (void)state;
    read_text(&t, header,
              "1,10,A,1,,1,7,X\n2,10,A,1,,1,7,X\n3,10,A,1,,1,7,X\n4,10,A,1,,1,7,X\n"
              "5,10,A,1,,1,7,X\n6,10,A,1,,1,7,X\n7,10,A,1,,1,7,X\nC8,10,A,-7,,1,7,X\n",
              true);
    uint32_t n = trace_take_back(&t, 7, not_second, NULL, taken, p);
    assert_int_equal(n, TRACE_PIECES_MAX);
    for (uint32_t i = 0; i < n; i++)
        sum += p[i].quantity;
    assert_int_equal(sum, 7);
    assert_int_equal(p[n - 1].order, TRACE_NONE);
    assert_int_equal(p[n - 1].quantity, 4);
    assert_int_equal(p[n].quantity, 0);
    trace_free(&t);
}

static void test_made_up_trace_is_read(void **state)
{
    struct trace t;
    char path[] = "/tmp/test_trace_XXXXXX";
    (void)state;
    close(mkstemp(path));
    assert_true(trace_make(path, 1000, 7));
    assert_true(trace_read(&t, path, false));
    unlink(path);
    assert_int_equal(t.invoice_count, 1000);
    assert_int_equal(t.widest, 705);
    assert_int_equal(t.rows_bad, 0);
    assert_true(t.returns > 50 && t.corrections > 10);
    assert_true(t.invoices[999].minute > t.invoices[0].minute);
    trace_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_become_invoices),
        cmocka_unit_test(test_both_editions_dates),
        cmocka_unit_test(test_what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(test_take_back_newest_first),
        cmocka_unit_test(test_a_return_over_many_orders_is_bounded),
        cmocka_unit_test(test_made_up_trace_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
