#include "ctl/format.h"

#include "base/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

const char *format_quantity(int64_t quantity, unsigned scale, char text[FORMAT_BYTES])
{
    uint64_t left = quantity < 0 ? -(uint64_t)quantity : (uint64_t)quantity;
    char *at = text + FORMAT_BYTES - 1;
    *at = 0;
    for (unsigned digits = 0; left > 0 || digits <= scale; digits++) {
        if (digits == scale && scale > 0)
            *--at = '.';
        *--at = (char)('0' + left % 10);
        left /= 10;
    }
    if (quantity < 0)
        *--at = '-';
    return at;
}

bool parse_quantity(const char *text, unsigned scale, int64_t *quantity, const char **why)
{
    bool minus = *text == '-';
    const char *at = text + (minus || *text == '+');
    int64_t value = 0;
    unsigned after = 0, digits = 0;
    bool point = false;
    for (; *at; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(*at)) {
            *why = "is no number";
            return false;
        }
        digits++;
        if (point && after == scale) {
            if (*at != '0') {
                *why = "has more decimal places than the unit scale";
                return false;
            }
            continue;
        }
        after += point;
        value = value * 10 + (*at - '0');
        if (value > HF_QUANTITY_MAX)
            break;
    }
    for (; after < scale && value <= HF_QUANTITY_MAX; after++)
        value *= 10;
    if (digits == 0) {
        *why = "is no number";
        return false;
    }
    if (value > HF_QUANTITY_MAX) {
        *why = "is larger than 2^53 - 1 smallest units";
        return false;
    }
    *quantity = minus ? -value : value;
    return true;
}

const char *format_time(int64_t ms, char text[FORMAT_BYTES])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm local;
    if (ms <= 0 || !localtime_r(&seconds, &local) ||
        strftime(text, FORMAT_BYTES, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(text, FORMAT_BYTES, "-");
    return text;
}

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

const char *format_span(int64_t ms, char text[FORMAT_BYTES])
{
    if (ms <= 0) {
        snprintf(text, FORMAT_BYTES, "now");
        return text;
    }
    size_t u = 0;
    while (ms < units[u].ms)
        u++;
    int64_t large = ms / units[u].ms, rest = u < 3 ? ms % units[u].ms / units[u + 1].ms : 0;
    if (rest > 0)
        snprintf(text, FORMAT_BYTES, "%" PRId64 "%s%" PRId64 "%s", large, units[u].name, rest,
                 units[u + 1].name);
    else
        snprintf(text, FORMAT_BYTES, "%" PRId64 "%s", large, units[u].name);
    return text;
}

bool parse_number(const char *text, uint64_t *number)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; is_digit(text[n]) && n < 18; n++)
        value = value * 10 + (uint64_t)(text[n] - '0');
    if (n == 0 || text[n])
        return false;
    *number = value;
    return true;
}

bool parse_span(const char *text, uint32_t *ms)
{
    char digits[20];
    size_t n = strspn(text, "0123456789");
    uint64_t number;
    if (n >= sizeof digits)
        return false;
    memcpy(digits, text, n);
    digits[n] = 0;
    if (!parse_number(digits, &number) || number == 0 || number > UINT32_MAX)
        return false;
    const char *unit = strcmp(text + n, "min") == 0 ? "m" : text + n; // as holdfastd has it
    for (size_t u = 0; u < sizeof units / sizeof *units; u++)
        if (strcmp(unit, units[u].name) == 0 && number * (uint64_t)units[u].ms <= UINT32_MAX) {
            *ms = (uint32_t)(number * (uint64_t)units[u].ms);
            return true;
        }
    return false;
}

static const char *last(const char *begin, const char *end, char c)
{
    while (end > begin)
        if (*--end == c)
            return end;
    return NULL;
}

bool parse_line(const char *text, struct format_line *line, const char **why)
{
    const char *end = text + strlen(text), *equal = last(text, end, '=');
    const char *name_end = equal ? equal : end, *at = last(text, name_end, '@');
    line->quantity = equal ? equal + 1 : NULL;
    *why = "is not of the form SKU@LOCATION=QUANTITY";
    if (!at)
        return false;
    size_t sku = (size_t)(at - text), location = (size_t)(name_end - at - 1);
    if (sku == 0 || sku >= sizeof line->sku || location == 0 || location >= sizeof line->location) {
        *why = "a SKU has 1 to 64 bytes, a location 1 to 32";
        return false;
    }
    memcpy(line->sku, text, sku);
    line->sku[sku] = 0;
    memcpy(line->location, at + 1, location);
    line->location[location] = 0;
    return true;
}

// Length of the valid character at `s`; 0: there is none.
static size_t character(const unsigned char *s, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    if (n == 0)
        return 0;
    uint32_t p = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        p = p << 6 | (s[i] & 0x3f);
    }
    *point = p;
    return p < least[n] || p > 0x10ffff || (p >= 0xd800 && p < 0xe000) ? 0 : n;
}

// Controls of both sets, line and paragraph separators, and what reorders text.
static bool moves_cursor(uint32_t p)
{
    return p < 0x20 || (p >= 0x7f && p < 0xa0) || (p >= 0x2028 && p <= 0x202e) ||
           (p >= 0x2066 && p <= 0x2069);
}

size_t format_clean(const char *text, char *out, size_t out_bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t columns = 0, at = 0;
    while (*s) {
        uint32_t point;
        size_t n = character(s, &point), keep = n;
        if (n == 0 || moves_cursor(point)) {
            n = n > 0 ? n : 1;
            keep = 0;
        }
        if (at + (keep ? keep : 1) >= out_bytes)
            break;
        if (keep == 0) {
            out[at++] = '?';
            columns++;
        } else {
            memcpy(out + at, s, keep);
            at += keep;
            int width = wcwidth((wchar_t)point); // -1: this locale does not know
            columns += width >= 0 ? (size_t)width : 1;
        }
        s += n;
    }
    out[at] = 0;
    return columns;
}
