// A file of stock to import: the reader of fields against a slow one, then the whole file through
// the import's checks.
#include "fuzz/fuzz.h"

#include "base/status.h"
#include "ctl/csv.h"
#include "ctl/import.h"
#include "stock/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int file = -1;
static char path[64];
static FILE *nowhere;

void fuzz_set_up(void)
{
    file = memfd_create("rows", MFD_CLOEXEC);
    nowhere = fopen("/dev/null", "w");
    HF_ASSERT(file >= 0 && nowhere);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
}

void fuzz_seeds(void)
{
    static const char *const words[] = {
        "sku", "location", "unit_scale", "on_hand",    "safety_stock",    "backorder_limit",
        ",",   "\\x0a",    "\\x0d\\x0a", "\\x22\\x22", "9007199254740991"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        fuzz_word(words[i]);
    fuzz_seed_text("plain", "sku,location,on_hand\nA,main,10\nB,main,20\n");
    fuzz_seed_text("all",
                   "\xef\xbb\xbfsku,location,unit_scale,on_hand,safety_stock,backorder_limit\r\n"
                   "A,main,2,1.25,0.5,3\r\n\r\n\"B,\"\"b\"\"\",\"W\n2\",0,-5,,\r\n");
    fuzz_seed_text("twice", "location,sku\nmain,A\nmain,B\nmain,A");
    fuzz_seed_text("bad", "sku,location\n\"A\"x,main\nA\"b,main\n\"open,main\n");
    fuzz_seed_text("semicolon", "sku;location\nA;main\n");
}

// ------------------------------------------------------------------------ the oracle
// One character after the other, as RFC 4180 and the page in csv.h tell it.

struct slow {
    const char *at, *end;
    uint64_t line;
};

static bool at_line_end(const struct slow *s, const char *p)
{
    return p == s->end || *p == '\n' || (*p == '\r' && p + 1 < s->end && p[1] == '\n');
}

// Appends one field's characters to out; false: forbidden.
static bool slow_field(struct slow *s, char *out, size_t *bytes)
{
    bool quoted = s->at < s->end && *s->at == '"';
    *bytes = 0;
    if (!quoted) {
        while (!at_line_end(s, s->at) && *s->at != ',') {
            if (*s->at == '"' || *s->at == 0)
                return false;
            out[(*bytes)++] = *s->at++;
        }
        return true;
    }
    for (s->at++; s->at < s->end && *s->at != 0; s->at++) {
        if (*s->at == '"') {
            s->at++;
            if (s->at == s->end || *s->at != '"') // it closes
                return at_line_end(s, s->at) || *s->at == ',';
        }
        s->line += *s->at == '\n';
        out[(*bytes)++] = *s->at;
    }
    return false;
}

static void slow_line_end(struct slow *s)
{
    if (s->at < s->end) {
        s->at += *s->at == '\r' ? 2 : 1;
        s->line++;
    }
}

static enum csv_result slow_row(struct slow *s, char *out, struct csv_row *row)
{
    while (s->at < s->end && at_line_end(s, s->at))
        slow_line_end(s);
    *row = (struct csv_row){.line = s->line};
    if (s->at == s->end)
        return CSV_END;
    const char *from = s->at;
    for (;;) {
        if (row->count == CSV_FIELDS_MAX || !slow_field(s, out, &row->bytes[row->count])) {
            const char *newline = memchr(from, '\n', (size_t)(s->end - from));
            s->at = newline ? newline + 1 : s->end;
            s->line = row->line + 1;
            return CSV_BAD;
        }
        row->fields[row->count] = out;
        out += row->bytes[row->count++];
        if (at_line_end(s, s->at))
            break;
        s->at++;
    }
    slow_line_end(s);
    return CSV_ROW;
}

static void fields_judge(const uint8_t *data, size_t bytes)
{
    char *text = fuzz_text(data, bytes), *copy = fuzz_text(data, bytes), *out = malloc(bytes + 1);
    struct slow s = {copy, copy + bytes, 1};
    struct csv csv;
    struct csv_row row, wanted;
    enum csv_result r;
    if (bytes >= 3 && memcmp(copy, "\xef\xbb\xbf", 3) == 0)
        s.at += 3;
    csv_init(&csv, text, bytes);
    do {
        const char *why = NULL;
        r = csv_next(&csv, &row, &why);
        HF_ASSERT(r == slow_row(&s, out, &wanted));
        HF_ASSERT(row.line == wanted.line && (r != CSV_BAD || (why && why[0])));
        HF_ASSERT(r != CSV_ROW || row.count == wanted.count);
        for (size_t i = 0; r == CSV_ROW && i < row.count; i++)
            HF_ASSERT(row.bytes[i] == wanted.bytes[i] && row.fields[i][row.bytes[i]] == 0 &&
                      memcmp(row.fields[i], wanted.fields[i], row.bytes[i]) == 0);
    } while (r != CSV_END);
    free(text);
    free(copy);
    free(out);
}

static void row_judge(const struct import_row *r)
{
    HF_ASSERT(stock_name_valid(r->sku, (uint32_t)strlen(r->sku), HF_SKU_BYTES_MAX));
    HF_ASSERT(stock_name_valid(r->location, (uint32_t)strlen(r->location), HF_LOCATION_BYTES_MAX));
    HF_ASSERT(r->unit_scale <= HF_UNIT_SCALE_MAX && !r->done && r->line > 1);
    for (int k = 0; k < IMPORT_VALUES; k++) {
        HF_ASSERT(r->values[k] <= HF_QUANTITY_MAX && r->values[k] >= -HF_QUANTITY_MAX);
        HF_ASSERT(k == 0 || r->values[k] >= 0);
        HF_ASSERT(r->given[k] || r->values[k] == 0);
    }
}

void fuzz_one(const uint8_t *data, size_t bytes)
{
    struct ctl c = {.io = {.out = nowhere, .err = nowhere}, .raw = bytes % 2};
    struct import_file f;
    fields_judge(data, bytes);
    HF_ASSERT(ftruncate(file, 0) == 0 && pwrite(file, data, bytes, 0) == (ssize_t)bytes);
    enum ctl_exit e = import_read(&c, path, &f);
    HF_ASSERT(e == CTL_OK || e == CTL_USAGE);
    for (size_t i = 0; e == CTL_OK && i < f.count; i++) {
        row_judge(&f.rows[i]);
        for (size_t k = 0; k < i && f.count < 50; k++)
            HF_ASSERT(strcmp(f.rows[i].sku, f.rows[k].sku) != 0 ||
                      strcmp(f.rows[i].location, f.rows[k].location) != 0);
    }
    import_fini(&f);
}
