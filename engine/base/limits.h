// Every bound of the engine in one place, and how they relate.
#ifndef HOLDFAST_BASE_LIMITS_H
#define HOLDFAST_BASE_LIMITS_H

#include <assert.h>
#include <stdint.h>

#define HF_SKU_BYTES_MAX       64
#define HF_LOCATION_BYTES_MAX  32
#define HF_CHANNEL_BYTES_MAX   32
#define HF_BUYER_BYTES_MAX     32
#define HF_REFERENCE_BYTES_MAX 64
#define HF_REASON_BYTES_MAX    64
#define HF_LINES_MAX           1024
// Exact in a double, so Odoo holds the same number.
#define HF_QUANTITY_MAX ((INT64_C(1) << 53) - 1)
// |available| stays below this: sums of a few quantities, in 56 signed bits.
#define HF_AVAILABLE_MAX (INT64_C(1) << 55)
#define HF_THREADS_MAX   64
#define HF_CHANNELS_MAX  1023
#define HF_BATCH_MAX     1024
#define HF_UNIT_SCALE_MAX 6

#define HF_CACHE_LINE 64
#define HF_BLOCK      4096 // unit of every journal write, bytes

// Longest record: frame and fixed part, lines (16 bytes each, a commit names two roles a line),
// and the text extension. A record is a multiple of 8 bytes.
#define HF_RECORD_BYTES_MAX (48 + 2 * HF_LINES_MAX * 16 + 256)

static_assert(HF_QUANTITY_MAX * 4 <= HF_AVAILABLE_MAX, "a cell's terms fit its decision word");
static_assert(HF_RECORD_BYTES_MAX % 8 == 0, "records are counted in 8-byte units");
static_assert(HF_RECORD_BYTES_MAX / 8 <= UINT16_MAX, "a record's length fits its frame");

#endif
