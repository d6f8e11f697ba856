// holdfastctl's parts: quantities, spans, lines, CSV, tables, an import's ids and state.
#include "base/limits.h"
#include "ctl/csv.h"
#include "ctl/format.h"
#include "ctl/import.h"
#include "ctl/table.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static void quantities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned scale;
        int64_t value;
        const char *canonical; // NULL: not accepted
    } rows[] = {
        {"0", 0, 0, "0"},
        {"0", 3, 0, "0.000"},
        {"2.5", 3, 2500, "2.500"},
        {"2.", 1, 20, "2.0"},
        {".5", 1, 5, "0.5"},
        {"-.05", 2, -5, "-0.05"},
        {"-12", 0, -12, "-12"},
        {"+7", 0, 7, "7"},
        {"2.5000", 3, 2500, "2.500"},
        {"9007199254740991", 0, HF_QUANTITY_MAX, "9007199254740991"},
        {"9007199254.740991", 6, HF_QUANTITY_MAX, "9007199254.740991"},
        {"-9007199254740991", 0, -HF_QUANTITY_MAX, "-9007199254740991"},
        {"9007199254740992", 0, 0, NULL},
        {"9007199254.740992", 6, 0, NULL},
        {"99999999999999999999999999", 0, 0, NULL},
        {"9007199255", 6, 0, NULL},
        {"2.5", 0, 0, NULL},
        {"2.5001", 3, 0, NULL},
        {"", 0, 0, NULL},
        {".", 2, 0, NULL},
        {"-", 0, 0, NULL},
        {"1e3", 0, 0, NULL},
        {"1,5", 1, 0, NULL},
        {" 1", 0, 0, NULL},
        {"1.2.3", 3, 0, NULL},
        {"--1", 0, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t value = 77;
        const char *why = NULL;
        char text[FORMAT_BYTES];
        bool good = parse_quantity(rows[i].text, rows[i].scale, &value, &why);
        assert_int_equal(good, rows[i].canonical != NULL);
        if (!good) {
            assert_non_null(why);
            assert_int_equal(value, 77);
            continue;
        }
        assert_true(value == rows[i].value);
        assert_string_equal(format_quantity(value, rows[i].scale, text), rows[i].canonical);
    }
    char text[FORMAT_BYTES];
    assert_string_equal(format_quantity(INT64_MIN, 6, text), "-9223372036854.775808");
}

static void spans_and_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms; // 0: not accepted
    } rows[] = {{"250ms", 250},
                {"30s", 30000},
                {"10m", 600000},
                {"10min", 600000},
                {"2h", 7200000},
                {"1d", 86400000},
                {"49d", 4233600000},
                {"50d", 0},
                {"0s", 0},
                {"10", 0},
                {"s", 0},
                {"-1s", 0},
                {"1.5s", 0},
                {"1s ", 0},
                {"4294967296ms", 0},
                {"99999999999999999999999d", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t ms = 0;
        assert_int_equal(parse_span(rows[i].text, &ms), rows[i].ms > 0);
        assert_int_equal(ms, rows[i].ms);
    }
    char text[FORMAT_BYTES];
    assert_string_equal(format_span(598000, text), "9m58s");
    assert_string_equal(format_span(999, text), "999ms");
    assert_string_equal(format_span(5999, text), "5s");
    assert_string_equal(format_span(90000000, text), "1d1h");
    assert_string_equal(format_span(0, text), "now");
    assert_string_equal(format_span(INT64_MIN, text), "now");
    assert_string_equal(format_time(0, text), "-");
    assert_int_equal(setenv("TZ", "UTC-3", 1), 0);
    tzset();
    assert_string_equal(format_time(1800000000000, text), "2027-01-15 11:00:00");
}

static void lines_of_requests(void **state)
{
    (void)state;
    struct format_line line;
    const char *why;
    assert_true(parse_line("TEA@WH1=2.5", &line, &why));
    assert_string_equal(line.sku, "TEA");
    assert_string_equal(line.location, "WH1");
    assert_string_equal(line.quantity, "2.5");
    assert_true(parse_line("a@b=c@WH=1", &line, &why));
    assert_string_equal(line.sku, "a@b=c");
    assert_string_equal(line.location, "WH");
    assert_true(parse_line("TEA@WH1", &line, &why));
    assert_null(line.quantity);
    static const char *const bad[] = {"TEA", "TEA=1", "@WH1=1", "TEA@=1", "", "=", "@"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(parse_line(bad[i], &line, &why));
    char text[120] = {0}; // a SKU of 64 bytes fits, of 65 does not; a location of 32 and 33
    memset(text, 's', 64);
    memcpy(text + 64, "@L=1", 5);
    assert_true(parse_line(text, &line, &why));
    memcpy(text + 64, "s@L=1", 6);
    assert_false(parse_line(text, &line, &why));
    memcpy(text, "S@", 2);
    memset(text + 2, 'l', 32);
    memcpy(text + 34, "=1", 3);
    assert_true(parse_line(text, &line, &why));
    memcpy(text + 34, "l=1", 4);
    assert_false(parse_line(text, &line, &why));
}

static void clean_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain", "plain"},
        {"a\x1b[2Jb\n", "a?[2Jb?"},
        {"\xc2\x9b", "?"}, // a control of the second set
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xff\xc3", "??"},      // no UTF-8, and an unfinished character
        {"\xed\xa0\x80", "???"}, // a surrogate
        {"\xe2\x80\xae"
         "x",
         "?x"}, // writes from right to left
    };
    char out[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        format_clean(rows[i].in, out, sizeof out);
        assert_string_equal(out, rows[i].out);
    }
    assert_int_equal(format_clean("abcdef", out, 4), 3);
    assert_string_equal(out, "abc");
    format_clean("ab\xc3\xa9", out, 4); // never half a character
    assert_string_equal(out, "ab");
}

// ------------------------------------------------------------------------------------ CSV

static char text[4096];
static struct csv csv;
static struct csv_row row;

static void csv_of(const char *from, size_t bytes)
{
    memcpy(text, from, bytes);
    csv_init(&csv, text, bytes);
}

static void expect_row(uint64_t line, size_t count, const char *first, const char *last)
{
    const char *why = NULL;
    assert_int_equal(csv_next(&csv, &row, &why), CSV_ROW);
    assert_int_equal(row.line, line);
    assert_int_equal(row.count, count);
    assert_string_equal(row.fields[0], first);
    assert_string_equal(row.fields[count - 1], last);
}

static void expect_bad(uint64_t line)
{
    const char *why = NULL;
    assert_int_equal(csv_next(&csv, &row, &why), CSV_BAD);
    assert_int_equal(row.line, line);
    assert_non_null(why);
}

static void expect_end(void)
{
    const char *why = NULL;
    assert_int_equal(csv_next(&csv, &row, &why), CSV_END);
}

static void csv_rows(void **state)
{
    (void)state;
#define CSV_OF(s) csv_of(s, sizeof(s) - 1)
    CSV_OF("");
    expect_end();
    CSV_OF("\n\r\n\n");
    expect_end();
    CSV_OF("\xef\xbb\xbf"
           "a,b\r\n\r\nc,\n,d");
    expect_row(1, 2, "a", "b");
    expect_row(3, 2, "c", "");
    expect_row(4, 2, "", "d");
    expect_end();
    CSV_OF("\"a,\"\"b\"\"\r\nc\",\"\"\n\"x\"\r\ny\"z,1\nlast,2");
    expect_row(1, 2, "a,\"b\"\r\nc", "");
    expect_row(3, 1, "x", "x");
    expect_bad(4);
    expect_row(5, 2, "last", "2");
    expect_end();
    CSV_OF("\"open,1\nb,2\n\"closed\"x,3\nc,4\n\"");
    expect_bad(1);
    expect_row(2, 2, "b", "2");
    expect_bad(3);
    expect_row(4, 2, "c", "4");
    expect_bad(5);
    expect_end();
    CSV_OF("a,\0b\n\"a\0\",b\nc\n");
    expect_bad(1);
    expect_bad(2);
    expect_row(3, 1, "c", "c");
    expect_end();
    CSV_OF(",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\n,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\nb\n");
    expect_row(1, 32, "", "");
    expect_bad(2);
    expect_row(3, 1, "b", "b");
    expect_end();
}

// Whatever the bytes: it ends, lines rise, fields lie inside the text and are terminated.
static void csv_of_noise(void **state)
{
    (void)state;
    static const char letters[] = "a\",\n\r\0b;";
    struct prng r;
    r.state = 7;
    for (int run = 0; run < 20000; run++) {
        size_t bytes = prng_below(&r, 40);
        for (size_t i = 0; i < bytes; i++)
            text[i] = letters[prng_below(&r, sizeof letters - 1)];
        text[bytes + 1] = 'g'; // a guard behind the terminator
        csv_init(&csv, text, bytes);
        uint64_t line = 0;
        size_t steps = 0;
        const char *why = NULL;
        for (enum csv_result c; (c = csv_next(&csv, &row, &why)) != CSV_END; steps++) {
            assert_true(steps <= bytes && row.line > line);
            line = row.line;
            for (size_t i = 0; c == CSV_ROW && i < row.count; i++) {
                assert_true(row.fields[i] >= text);
                assert_true(row.fields[i] + row.bytes[i] <= text + bytes);
                assert_int_equal(strlen(row.fields[i]), row.bytes[i]);
            }
        }
        assert_int_equal(text[bytes + 1], 'g');
    }
}

// What a writer puts into quotes comes out again.
static void csv_round_trip(void **state)
{
    (void)state;
    static const char letters[] = "a\",\n\r b";
    struct prng r;
    r.state = 11;
    for (int run = 0; run < 5000; run++) {
        char fields[4][16];
        size_t at = 0;
        for (int f = 0; f < 4; f++) {
            size_t n = prng_below(&r, 12);
            text[at++] = '"';
            for (size_t i = 0; i < n; i++) {
                fields[f][i] = letters[prng_below(&r, sizeof letters - 1)];
                text[at++] = fields[f][i];
                if (fields[f][i] == '"')
                    text[at++] = '"';
            }
            fields[f][n] = 0;
            text[at++] = '"';
            text[at++] = f < 3 ? ',' : '\n';
        }
        csv_init(&csv, text, at);
        const char *why = NULL;
        assert_int_equal(csv_next(&csv, &row, &why), CSV_ROW);
        assert_int_equal(row.count, 4);
        for (int f = 0; f < 4; f++)
            assert_string_equal(row.fields[f], fields[f]);
        expect_end();
    }
}

// ------------------------------------------------------------------------------------ tables

static char *printed;

static void print_table(int columns_max, size_t rows, const char *const cells[][3])
{
    static const struct table_column columns[] = {
        {"NAME", false, true}, {"N", true, false}, {"LAST", false, true}, {NULL, false, false}};
    size_t n;
    free(printed);
    FILE *out = open_memstream(&printed, &n);
    struct table t;
    table_init(&t, columns);
    for (size_t i = 0; i < rows; i++) {
        for (size_t k = 0; k < 3; k++)
            table_add(&t, cells[i][k]);
        if (i == 0)
            table_print(&t, out, columns_max); // a page of its own: titles once
    }
    table_print(&t, out, columns_max);
    table_fini(&t);
    fclose(out);
}

static void tables(void **state)
{
    (void)state;
    static const char *const cells[][3] = {{"a", "1", "x"}, {"a name of 22 letters..", "-10", ""}};
    print_table(0, 2, cells);
    assert_string_equal(printed, "NAME  N  LAST\n"
                                 "a     1  x\n"
                                 "a name of 22 letters..  -10  -\n");
    print_table(20, 2, cells);
    assert_string_equal(printed, "NAME  N  LAST\n"
                                 "a     1  x\n"
                                 "a name o…  -10  -\n");
    print_table(1, 2, cells); // too narrow for anything: not less than 8 each
    assert_non_null(strstr(printed, "a name …  -10  -\n"));
    print_table(0, 0, NULL);
    assert_string_equal(printed, "NAME  N  LAST\n");
}

// ------------------------------------------------------------------------------------ imports

static void operations_of_an_import(void **state)
{
    (void)state;
    struct hf_uuid one = hf_uuid_v7(1800000000000, 1, 2), two = hf_uuid_v7(1800000000000, 1, 6);
    struct hf_uuid id = import_operation(one, "TEA", "WH1");
    assert_int_equal(hf_uuid_ms(id), 1800000000000);
    assert_int_equal(hf_uuid_version(id), 7);
    assert_true(hf_uuid_variant_ok(id));
    assert_true(hf_uuid_equal(id, import_operation(one, "TEA", "WH1")));
    assert_false(hf_uuid_equal(id, import_operation(two, "TEA", "WH1")));
    assert_false(hf_uuid_equal(id, import_operation(one, "TEA", "WH2")));
    assert_false(hf_uuid_equal(import_operation(one, "TEAW", "H1"), id));
    // Resumed by a later version of this program, the ids must be the same: these never change.
    char name[HF_UUID_TEXT_BYTES];
    hf_uuid_format(id, name);
    assert_string_equal(name, "01a3185c-5000-7383-9f6d-0d2aed324670");
}

static struct ctl silent(char **err, size_t *n)
{
    struct ctl c = {.io.err = open_memstream(err, n)};
    return c;
}

static void state_of_an_import(void **state)
{
    (void)state;
    char folder[] = "/tmp/holdfast-test-ctl-XXXXXX", path[64], beside[80];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/state", folder);
    snprintf(beside, sizeof beside, "%s.new", path);
    char *err;
    size_t n;
    struct ctl c = silent(&err, &n);
    struct import_state s = {.id = hf_uuid_v7(1800000000000, 1, 2),
                             .file_hash = UINT64_C(0xfedcba9876543210),
                             .next_row = 77,
                             .raw = true,
                             .reason = "a \"count\""},
                        back;
    assert_false(import_state_read(&c, path, &back));
    assert_true(import_state_write(&c, path, &s));
    s.next_row = 78;
    assert_true(import_state_write(&c, path, &s)); // replaces
    assert_int_not_equal(access(beside, F_OK), 0);
    assert_true(import_state_read(&c, path, &back));
    assert_true(hf_uuid_equal(back.id, s.id));
    assert_true(back.file_hash == s.file_hash && back.next_row == 78 && back.raw);
    assert_string_equal(back.reason, s.reason);
    static const char *const damaged[] = {"", "{", "[]", "{}", "{\"version\":1}"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        FILE *f = fopen(path, "w");
        fputs(damaged[i], f);
        fclose(f);
        assert_false(import_state_read(&c, path, &back));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_false(import_state_write(&c, path, &s)); // the folder is gone
    fclose(c.io.err);
    assert_non_null(strstr(err, "cannot be written"));
    free(err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantities),
        cmocka_unit_test(spans_and_times),
        cmocka_unit_test(lines_of_requests),
        cmocka_unit_test(clean_text),
        cmocka_unit_test(csv_rows),
        cmocka_unit_test(csv_of_noise),
        cmocka_unit_test(csv_round_trip),
        cmocka_unit_test(tables),
        cmocka_unit_test(operations_of_an_import),
        cmocka_unit_test(state_of_an_import),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(printed);
    return failed;
}
