// A record of the journal: the frame that this module knows, and the index keys that the archive
// is handed. What the payload means is core/record.h's.
//
//    0      4      6     7     8                      24                          units * 8
//    +------+------+-----+-----+-----------------------+--------------------------+
//    | crc  |units |type |flags| id (16 bytes)         | payload ...              |
//    +------+------+-----+-----+-----------------------+--------------------------+
//
// Little-endian. crc is CRC32C of everything after it. Unused bytes are zero.
#ifndef HOLDFAST_JOURNAL_RECORD_H
#define HOLDFAST_JOURNAL_RECORD_H

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/uuid.h"

#include <stdint.h>

struct journal_record {
    uint32_t crc;
    uint16_t units; // length in 8-byte units, frame included; at least 3
    uint8_t type;   // 0 is never a record
    uint8_t flags;
    struct hf_uuid id; // reservation or operation; the archive's first index key
};
static_assert(sizeof(struct journal_record) == 24, "frame");

static inline uint32_t journal_record_bytes(const struct journal_record *r)
{
    return (uint32_t)r->units * 8;
}

static inline uint32_t journal_record_crc(const struct journal_record *r)
{
    // The first word holds the crc itself: its second half is units, type, flags.
    const char *p = (const char *)r;
#ifdef __SSE4_2__
    uint32_t w;
    memcpy(&w, p + 4, 4);
    uint32_t c = ~_mm_crc32_u32(~UINT32_C(0), w);
#else
    uint32_t c = hf_crc32c(0, p + 4, 4);
#endif
    return hf_crc32c_words(c, p + 8, journal_record_bytes(r) - 8);
}

#endif
