// Reads the file: CSV rows, then invoices out of rows, then lines sorted and summed.
#include "trace/trace.h"

#include "trace/table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define FIELDS_MAX 16
#define ROW_BYTES  4096

enum column { NUMBER, CODE, QUANTITY, CUSTOMER, COUNTRY, DATE, COLUMNS };

struct row {
    char text[ROW_BYTES];
    char *fields[FIELDS_MAX];
    uint32_t count;
};

struct raw_line {
    uint32_t invoice, cell;
    int64_t quantity;
};

struct reading {
    struct trace *t;
    gzFile file;
    struct row row;
    int columns[COLUMNS];
    uint64_t lines, line; // of the file: read so far; of the row's beginning
    bool one_location;
    int64_t first_minute;
    struct table invoices, cells, customers;
    struct raw_line *raw;
    uint32_t raw_count, raw_room, invoice_room;
};

// ------------------------------------------------------------------------------- rows

// One CSV row: fields in quotes may hold commas, doubled quotes and line ends.
static bool row_read(struct reading *r)
{
    struct row *row = &r->row;
    bool quoted = false;
    size_t at = 0;
    int c = gzgetc(r->file);
    if (c == -1)
        return false;
    r->line = ++r->lines;
    row->count = 1;
    row->fields[0] = row->text;
    for (; c != -1 && (quoted || c != '\n'); c = gzgetc(r->file)) {
        if (c == '"' && quoted) {
            int next = gzgetc(r->file);
            if (next != '"') {
                quoted = false;
                gzungetc(next, r->file);
                continue;
            }
        } else if (c == '"') {
            quoted = true;
            continue;
        }
        r->lines += c == '\n';
        bool ends = c == ',' && !quoted && row->count < FIELDS_MAX;
        if (at < ROW_BYTES - 1 && c != '\r')
            row->text[at++] = ends ? '\0' : (char)c;
        if (ends)
            row->fields[row->count++] = &row->text[at];
    }
    row->text[at] = '\0';
    return true;
}

static bool header_read(struct reading *r)
{
    static const char *const names[COLUMNS][2] = {
        {"InvoiceNo", "Invoice"},      {"StockCode", "StockCode"}, {"Quantity", "Quantity"},
        {"CustomerID", "Customer ID"}, {"Country", "Country"},     {"InvoiceDate", "InvoiceDate"}};
    if (!row_read(r)) {
        snprintf(r->t->why, sizeof r->t->why, "it is empty");
        return false;
    }
    for (int c = 0; c < COLUMNS; c++) {
        r->columns[c] = -1;
        for (uint32_t f = 0; f < r->row.count; f++)
            if (strstr(r->row.fields[f], names[c][0]) == r->row.fields[f] ||
                strcmp(r->row.fields[f], names[c][1]) == 0)
                r->columns[c] = (int)f;
        if (r->columns[c] < 0 && c != DATE) {
            snprintf(r->t->why, sizeof r->t->why, "there is no column %s", names[c][0]);
            return false;
        }
    }
    return true;
}

// Keeps the first row that was left out, or whose date was.
static void tell(struct reading *r, const char *what, const char *text)
{
    if (!r->t->first[0])
        snprintf(r->t->first, sizeof r->t->first, "line %llu: %s '%.40s'",
                 (unsigned long long)r->line, what, text ? text : "");
}

static char *field(struct reading *r, enum column c)
{
    bool there = r->columns[c] >= 0 && r->columns[c] < (int)r->row.count;
    return there ? r->row.fields[r->columns[c]] : NULL;
}

// Days since 1970 of a date of the Gregorian calendar (Hinnant, chrono-compatible algorithms).
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

// "2010-12-01 08:26:00", or the first edition's "12/1/2010 8:26". Minutes since 1970; 0: neither.
static int64_t minute_of(const char *text)
{
    static const int year[2] = {0, 2}, month[2] = {1, 0}, day[2] = {2, 1};
    long n[5];
    bool american = strchr(text, '/') != NULL;
    char *end = (char *)(uintptr_t)text;
    for (int i = 0; i < 5; i++) {
        const char *begin = end + (i > 0 && *end != '\0');
        n[i] = strtol(begin, &end, 10);
        if (end == begin || n[i] < 0 || n[i] > 9999)
            return 0;
    }
    return days_of(n[year[american]], n[month[american]], n[day[american]]) * 1440 + n[3] * 60 +
           n[4];
}

// ------------------------------------------------------------------------------- invoices

// Goods have a code that begins with a number; the rest are postage, fees, discounts, vouchers.
static bool is_goods(const char *code)
{
    return isdigit((unsigned char)code[0]) || strncmp(code, "DCGS", 4) == 0;
}

static uint32_t cell_of(struct reading *r, const char *code, const char *country)
{
    char name[HF_SKU_BYTES_MAX + HF_LOCATION_BYTES_MAX + 2];
    const char *place = r->one_location ? "main" : country;
    int n = snprintf(name, sizeof name, "%.*s\n%.*s", HF_SKU_BYTES_MAX, code, HF_LOCATION_BYTES_MAX,
                     place);
    for (int i = 0; name[i] != '\n'; i++) // 85123a is 85123A
        name[i] = (char)toupper((unsigned char)name[i]);
    return n > 0 ? table_number(&r->cells, name) : 0;
}

static uint32_t customer_of(struct reading *r)
{
    char *text = field(r, CUSTOMER);
    if (!text || text[0] == '\0')
        return TRACE_NONE;
    text[strcspn(text, ".")] = '\0'; // 17850.0
    return table_number(&r->customers, text);
}

// Rows are in the order of time; one that is not counts as the latest before it.
static uint32_t minute_since(struct reading *r)
{
    const char *text = field(r, DATE);
    int64_t minute = text ? minute_of(text) : 0;
    if (text && text[0] && minute == 0) {
        r->t->dates_bad++;
        tell(r, "InvoiceDate is no date:", text);
    }
    if (r->first_minute == 0)
        r->first_minute = minute;
    uint32_t latest = r->t->invoice_count > 1 ? r->t->invoices[r->t->invoice_count - 2].minute : 0;
    int64_t since = minute - r->first_minute;
    return minute == 0 || since < latest ? latest : since < UINT32_MAX ? (uint32_t)since : latest;
}

// The invoice that this row belongs to; made when it is new. Corrections are one of their own.
static uint32_t invoice_of(struct reading *r, const char *number, bool negative)
{
    struct trace *t = r->t;
    char key[32];
    bool takes_back = toupper((unsigned char)number[0]) == 'C';
    snprintf(key, sizeof key, "%.15s%s", number, negative && !takes_back ? "-" : "");
    uint32_t index = table_number(&r->invoices, key);
    if (index < t->invoice_count)
        return index;
    if (index == r->invoice_room) {
        r->invoice_room = r->invoice_room ? r->invoice_room * 2 : 1024;
        t->invoices = realloc(t->invoices, r->invoice_room * sizeof *t->invoices);
        if (!t->invoices)
            abort();
    }
    struct trace_invoice *i = &t->invoices[t->invoice_count++];
    memset(i, 0, sizeof *i);
    snprintf(i->number, sizeof i->number, "%.15s", number);
    i->kind = takes_back ? TRACE_RETURN : negative ? TRACE_CORRECTION : TRACE_ORDER;
    i->customer = customer_of(r);
    i->minute = minute_since(r);
    return index;
}

// "12", and some editions' "12.0". 0: it is neither, or out of range.
static long long quantity_of(const char *text)
{
    char *end;
    long long q = strtoll(text, &end, 10);
    bool whole =
        end != text && (*end == '\0' || (*end == '.' && end[1 + strspn(end + 1, "0")] == 0));
    return whole && llabs(q) <= HF_QUANTITY_MAX / 1000000 ? q : 0;
}

static void row_take(struct reading *r)
{
    static const char *const names[] = {"InvoiceNo", "StockCode", "Quantity", NULL, "Country"};
    struct trace *t = r->t;
    t->rows++;
    for (int c = NUMBER; c <= COUNTRY; c++) {
        const char *text = field(r, (enum column)c);
        if (names[c] && (!text || !text[0])) {
            t->rows_bad++;
            tell(r, "it is empty, or not there:", names[c]);
            return;
        }
    }
    char *number = field(r, NUMBER), *code = field(r, CODE), *country = field(r, COUNTRY);
    long long q = quantity_of(field(r, QUANTITY));
    if (q == 0) {
        t->rows_bad++;
        tell(r, "Quantity is 0, or no number:", field(r, QUANTITY));
        return;
    }
    if (!is_goods(code)) {
        t->rows_skipped++;
        tell(r, "StockCode is no goods, it begins with no digit:", code);
        return;
    }
    if (r->raw_count == r->raw_room) {
        r->raw_room = r->raw_room ? r->raw_room * 2 : 4096;
        r->raw = realloc(r->raw, r->raw_room * sizeof *r->raw);
        if (!r->raw)
            abort();
    }
    uint32_t cell = cell_of(r, code, country);
    r->raw[r->raw_count++] = (struct raw_line){invoice_of(r, number, q < 0), cell, llabs(q)};
}

// ------------------------------------------------------------------------------- finishing

static int by_invoice_and_cell(const void *a, const void *b)
{
    const struct raw_line *x = a, *y = b;
    if (x->invoice != y->invoice)
        return x->invoice < y->invoice ? -1 : 1;
    return x->cell < y->cell ? -1 : x->cell > y->cell;
}

static void lines_finish(struct reading *r)
{
    struct trace *t = r->t;
    if (r->raw_count)
        qsort(r->raw, r->raw_count, sizeof *r->raw, by_invoice_and_cell);
    t->lines = calloc(r->raw_count + 1, sizeof *t->lines);
    if (!t->lines)
        abort();
    for (uint32_t i = 0; i < r->raw_count; i++) {
        const struct raw_line *raw = &r->raw[i];
        struct trace_invoice *invoice = &t->invoices[raw->invoice];
        if (invoice->count == 0)
            invoice->first = t->line_count;
        if (invoice->count && t->lines[t->line_count - 1].cell == raw->cell) {
            t->lines[t->line_count - 1].quantity += raw->quantity;
        } else {
            t->lines[t->line_count++] = (struct trace_line){raw->cell, raw->quantity};
            invoice->count++;
        }
    }
}

static void cells_finish(struct reading *r)
{
    struct trace *t = r->t;
    t->cell_count = r->cells.count;
    t->cells = calloc(t->cell_count + 1, sizeof *t->cells);
    if (!t->cells)
        abort();
    for (uint32_t i = 0; i < t->cell_count; i++) {
        const char *name = r->cells.texts[i], *cut = strchr(name, '\n');
        memcpy(t->cells[i].sku, name, (size_t)(cut - name));
        memcpy(t->cells[i].location, cut + 1, strlen(cut + 1));
    }
}

static void invoices_finish(struct reading *r)
{
    struct trace *t = r->t;
    t->customer_count = r->customers.count;
    uint32_t *latest = malloc((t->customer_count + 1) * sizeof *latest);
    if (!latest)
        abort();
    memset(latest, 0xff, (t->customer_count + 1) * sizeof *latest);
    for (uint32_t n = 0; n < t->invoice_count; n++) {
        struct trace_invoice *i = &t->invoices[n];
        t->orders += i->kind == TRACE_ORDER;
        t->returns += i->kind == TRACE_RETURN;
        t->corrections += i->kind == TRACE_CORRECTION;
        i->before = TRACE_NONE;
        if (i->customer != TRACE_NONE) {
            i->before = latest[i->customer];
            latest[i->customer] = n;
        }
        if (i->kind == TRACE_ORDER && i->count > t->widest)
            t->widest = i->count;
        for (uint32_t k = 0; k < i->count && i->kind == TRACE_ORDER; k++)
            t->cells[t->lines[i->first + k].cell].demand += t->lines[i->first + k].quantity;
    }
    free(latest);
}

// What zlib has to say, such as that the file ends too soon, is the cause of everything else.
static bool file_read(struct reading *r, const char *path)
{
    int error;
    bool ok = header_read(r);
    while (ok && row_read(r))
        row_take(r);
    const char *text = gzerror(r->file, &error);
    if (error != Z_OK && error != Z_STREAM_END) {
        snprintf(r->t->why, sizeof r->t->why, "%.80s",
                 error == Z_BUF_ERROR ? "it ends in the middle of the compressed data" : text);
        ok = false;
    }
    if (!ok) {
        char why[100];
        snprintf(why, sizeof why, "%.99s", r->t->why);
        snprintf(r->t->why, sizeof r->t->why, "%.200s: %s", path, why);
    }
    return ok;
}

static bool orders_check(struct trace *t)
{
    if (t->orders == 0)
        snprintf(t->why, sizeof t->why,
                 "no orders: of %llu rows %llu are no goods and %llu can't be read; %s",
                 (unsigned long long)t->rows, (unsigned long long)t->rows_skipped,
                 (unsigned long long)t->rows_bad, t->first);
    else if (t->widest > HF_LINES_MAX)
        snprintf(t->why, sizeof t->why, "an order has %u lines, at most %d", t->widest,
                 HF_LINES_MAX);
    return t->why[0] == '\0';
}

bool trace_read(struct trace *t, const char *path, bool one_location)
{
    struct reading *r = calloc(1, sizeof *r);
    memset(t, 0, sizeof *t);
    snprintf(t->why, sizeof t->why, "no memory");
    if (!r)
        return false;
    r->t = t;
    r->one_location = one_location;
    r->file = gzopen(path, "rb");
    t->why[0] = '\0';
    if (!r->file)
        snprintf(t->why, sizeof t->why, "%.200s cannot be opened", path);
    bool ok = r->file && file_read(r, path);
    if (r->file)
        gzclose(r->file);
    if (ok) {
        cells_finish(r);
        lines_finish(r);
        invoices_finish(r);
        ok = orders_check(t);
    }
    table_free(&r->invoices);
    table_free(&r->cells);
    table_free(&r->customers);
    free(r->raw);
    free(r);
    return ok;
}

void trace_free(struct trace *t)
{
    free(t->invoices);
    free(t->lines);
    free(t->cells);
}

const struct trace_line *trace_find(const struct trace *t, const struct trace_invoice *i,
                                    uint32_t cell)
{
    uint32_t least = i->first, end = i->first + i->count;
    while (least < end) {
        uint32_t middle = (least + end) / 2;
        if (t->lines[middle].cell < cell)
            least = middle + 1;
        else
            end = middle;
    }
    return least < i->first + i->count && t->lines[least].cell == cell ? &t->lines[least] : NULL;
}
