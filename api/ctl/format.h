// Quantities, times and spans as people write them. No side effects; any thread.
#ifndef HOLDFAST_CTL_FORMAT_H
#define HOLDFAST_CTL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORMAT_BYTES 48

// 2500 at scale 3: "2.500".
const char *format_quantity(int64_t quantity, unsigned scale, char text[FORMAT_BYTES]);
// The reverse: digits after the point beyond the scale must be 0. False: *why is static text.
bool parse_quantity(const char *text, unsigned scale, int64_t *quantity, const char **why);
// Local time: "2026-11-24 08:51:07"; 0: "-".
const char *format_time(int64_t ms, char text[FORMAT_BYTES]);
// "9m58s"; 0 or less: "now".
const char *format_span(int64_t ms, char text[FORMAT_BYTES]);
// "250ms", "30s", "10m" or "10min", "2h", "1d"; 1 ms at least, and fits.
bool parse_span(const char *text, uint32_t *ms);
bool parse_number(const char *text, uint64_t *number); // decimal digits only

// SKU@LOCATION=QTY. The last '=' and the last '@' before it count, so that a SKU may have both.
struct format_line {
    char sku[65], location[33];
    const char *quantity; // into the text; NULL: there is no '='
};
bool parse_line(const char *text, struct format_line *line, const char **why);

// Copies text without what would move a terminal's cursor: controls become '?', bytes that are no
// UTF-8 too. Returns the columns that it takes.
size_t format_clean(const char *text, char *out, size_t out_bytes);

#endif
