// A made-up trace: skewed popularity, skewed widths, customers who come back and send back.
#include "trace/trace.h"

#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SKUS      2400
#define CUSTOMERS 400
#define WIDEST    705
#define KEPT      64 // latest invoices that a return may refer to

struct past {
    uint32_t customer, country, count;
    uint32_t skus[8];
    uint32_t quantities[8];
};

struct making {
    gzFile file;
    struct prng random;
    struct past past[KEPT];
    uint32_t past_count;
    uint64_t minute;
};

static const char *const countries[] = {"United Kingdom", "Germany", "France", "EIRE", "Spain"};

static void row(struct making *m, const char *number, const char *code, int64_t quantity,
                uint32_t customer, uint32_t country)
{
    // Descriptions as they come: with commas, and with quotes.
    uint64_t kind = prng_below(&m->random, 20);
    const char *text = kind == 0   ? "\"MUG, BLUE, SET OF 6\""
                       : kind == 1 ? "\"12\"\" PLATE \"\"ROSE\"\"\""
                                   : "LANTERN";
    char who[16] = "";
    if (customer)
        snprintf(who, sizeof who, "%u.0", 12000 + customer);
    uint64_t day = m->minute / 1440;
    gzprintf(m->file, "%s,%s,%s,%lld,2010-%02u-%02u %02u:%02u:00,2.55,%s,%s\r\n", number, code,
             text, (long long)quantity, (unsigned)(1 + day / 28 % 12), (unsigned)(1 + day % 28),
             (unsigned)(m->minute / 60 % 24), (unsigned)(m->minute % 60), who, countries[country]);
}

static uint32_t width(struct making *m, uint32_t n)
{
    uint64_t u = prng_below(&m->random, 1000);
    if (n % 500 == 250)
        return WIDEST;
    return (uint32_t)(u < 300   ? 1 + prng_below(&m->random, 3)
                      : u < 750 ? 2 + prng_below(&m->random, 24)
                      : u < 950 ? 20 + prng_below(&m->random, 45)
                      : u < 995 ? 64 + prng_below(&m->random, 150)
                                : 200 + prng_below(&m->random, 400));
}

static uint32_t popular(struct making *m)
{
    double u = (double)(prng_next(&m->random) >> 11) * 0x1p-53;
    return (uint32_t)(SKUS * u * u * u);
}

static void order(struct making *m, uint32_t n)
{
    struct past *p = &m->past[m->past_count++ % KEPT];
    char number[16], code[16];
    uint32_t lines = width(m, n), first = (uint32_t)prng_below(&m->random, SKUS);
    *p = (struct past){.customer = (uint32_t)prng_below(&m->random, CUSTOMERS),
                       .country = prng_chance(&m->random, 1, 8) // 0: a shop's till
                                      ? (uint32_t)prng_below(&m->random, 5)
                                      : 0};
    snprintf(number, sizeof number, "%u", 500000 + n);
    for (uint32_t i = 0; i < lines; i++) {
        // The widest take every SKU in turn, the others what is popular, some of it twice.
        uint32_t sku = lines == WIDEST ? (first + i) % SKUS : popular(m);
        int64_t quantity =
            (int64_t)(prng_chance(&m->random, 1, 40) ? 50 + prng_below(&m->random, 400)
                                                     : 1 + prng_below(&m->random, 12));
        snprintf(code, sizeof code, "%05u%s", 10000 + sku, sku % 7 == 0 ? "A" : "");
        if (sku % 7 == 0 && prng_chance(&m->random, 1, 10))
            code[5] = 'a';
        row(m, number, code, quantity, p->customer, p->country);
        if (p->count < 8) {
            p->skus[p->count] = sku;
            p->quantities[p->count++] = (uint32_t)quantity;
        }
    }
    if (prng_chance(&m->random, 1, 12))
        row(m, number, "POST", 1, p->customer, p->country);
}

static void take_back(struct making *m, uint32_t n)
{
    const struct past *p =
        &m->past[prng_below(&m->random, m->past_count < KEPT ? m->past_count : KEPT)];
    char number[16], code[16];
    snprintf(number, sizeof number, "C%u", 500000 + n);
    uint32_t lines = 1 + (uint32_t)prng_below(&m->random, p->count);
    for (uint32_t i = 0; i < lines; i++) {
        int64_t quantity = (int64_t)(1 + prng_below(&m->random, p->quantities[i] + 1));
        snprintf(code, sizeof code, "%05u%s", 10000 + p->skus[i], p->skus[i] % 7 == 0 ? "A" : "");
        row(m, number, code, -quantity, p->customer, p->country);
    }
    if (prng_chance(&m->random, 1, 20))
        row(m, number, "M", -1, p->customer, p->country);
}

static void correct(struct making *m, uint32_t n)
{
    char number[16], code[16];
    uint32_t sku = popular(m);
    snprintf(number, sizeof number, "%u", 500000 + n);
    snprintf(code, sizeof code, "%05u%s", 10000 + sku, sku % 7 == 0 ? "A" : "");
    row(m, number, code, -(int64_t)(1 + prng_below(&m->random, 30)), 0, 0);
}

bool trace_make(const char *path, uint32_t invoices, uint64_t seed)
{
    struct making *m = calloc(1, sizeof *m);
    if (!m)
        return false;
    m->random.state = seed;
    m->file = gzopen(path, "wb1");
    bool ok = m->file != NULL;
    if (ok) {
        gzprintf(m->file, "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,"
                          "CustomerID,Country\r\n");
        for (uint32_t n = 0; n < invoices; n++) {
            uint64_t kind = n < 20 ? 99 : prng_below(&m->random, 100);
            m->minute += prng_below(&m->random, 30);
            if (kind < 15)
                take_back(m, n);
            else if (kind < 19)
                correct(m, n);
            else
                order(m, n);
        }
        ok = gzclose(m->file) == Z_OK;
    }
    free(m);
    return ok;
}
