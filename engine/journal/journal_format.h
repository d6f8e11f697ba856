// What the journal's files look like. Reasons and the table of damage: docs/journal-format.md.
//
// All numbers are little-endian. Three things have a header: the meta file's slots, a segment, a
// group. Each begins with the same 16 bytes, in every version to come, so that an older program
// can say "too new" instead of "damaged":
//
//    0         8         12        16
//    +---------+---------+---------+--------------------- ...
//    | magic   | version | crc     | (the rest)
//    +---------+---------+---------+--------------------- ...
//
// crc is CRC32C of the header (4,096 bytes; a group's 128) without the crc field itself.
#ifndef HOLDFAST_JOURNAL_FORMAT_H
#define HOLDFAST_JOURNAL_FORMAT_H

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/uuid.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal's files are little-endian; this host needs a conversion at its door"
#endif

#define JOURNAL_FORMAT_VERSION 1u

#define JOURNAL_MAGIC_META    UINT64_C(0x314154454d4a4648) // "HFJMETA1"
#define JOURNAL_MAGIC_SEGMENT UINT64_C(0x314d4745534a4648) // "HFJSEGM1"
#define JOURNAL_MAGIC_GROUP   UINT64_C(0x31505552474a4648) // "HFJGRUP1"

#define JOURNAL_META_NAME    "journal-meta.hfm"
#define JOURNAL_TEMP_NAME    "journal-next.tmp" // a meta file or segment that is not finished
#define JOURNAL_SEGMENT_NAME "journal-%012llu.hfj"

// One of the two slots of the meta file; the valid one with the higher sequence counts.
struct journal_meta_slot {
    uint64_t magic;
    uint32_t version;
    uint32_t crc; // of the slot's 4,096 bytes
    struct hf_uuid engine_id;
    uint64_t sequence;
    uint64_t epoch;
    uint32_t format; // newest format that was written into this folder
    uint32_t zero;
};
static_assert(sizeof(struct journal_meta_slot) == 56, "meta slot");
static_assert(offsetof(struct journal_meta_slot, engine_id) == 16, "meta slot");
static_assert(offsetof(struct journal_meta_slot, sequence) == 32, "meta slot");
static_assert(offsetof(struct journal_meta_slot, epoch) == 40, "meta slot");
static_assert(offsetof(struct journal_meta_slot, format) == 48, "meta slot");

// First block of a segment. It says which life the file is in, nothing about what is written
// later: the chain of groups tells that, so a segment needs no write when its use begins.
struct journal_segment_header {
    uint64_t magic;
    uint32_t version;
    uint32_t crc; // of the block's 4,096 bytes
    struct hf_uuid engine_id;
    uint64_t number; // same as in the name
    uint64_t bytes;  // of the file
};
static_assert(sizeof(struct journal_segment_header) == 48, "segment header");
static_assert(offsetof(struct journal_segment_header, engine_id) == 16, "segment header");
static_assert(offsetof(struct journal_segment_header, number) == 32, "segment header");
static_assert(offsetof(struct journal_segment_header, bytes) == 40, "segment header");

//   block 0 of the group                              block 1              last block
//   +-------------+---------------------------------+--------------------+-------------+-------+
//   | header, 128 | records ...                     | records ...        | records ... | zeros |
//   +-------------+---------------------------------+--------------------+-------------+-------+
struct journal_group_header {
    uint64_t magic;
    uint32_t version;
    uint32_t crc; // of these 128 bytes
    struct hf_uuid engine_id;
    uint64_t epoch;
    uint64_t number;    // 1, 2, 3 ... over the engine's life
    uint64_t previous;  // checksum of group number - 1; 0 for the first
    uint64_t segment;   // number of the segment it was written to: tells lives apart
    uint64_t offset;    // in that segment, bytes
    uint64_t first_lsn; // of its records; of the next one when it is empty
    uint64_t time_ms;   // engine time
    uint32_t body_crc;  // CRC32C of the body as it is on disk
    uint32_t records;
    uint32_t body_bytes;
    uint32_t flags; // 0
    // Each further block's first word is xor-ed with this, so that none begins with the magic.
    uint64_t mask;
    uint64_t zero[2];
};
#define JOURNAL_GROUP_HEADER 128u
static_assert(sizeof(struct journal_group_header) == JOURNAL_GROUP_HEADER, "group header");
static_assert(offsetof(struct journal_group_header, version) == 8, "group header");
static_assert(offsetof(struct journal_group_header, crc) == 12, "group header");
static_assert(offsetof(struct journal_group_header, engine_id) == 16, "group header");
static_assert(offsetof(struct journal_group_header, epoch) == 32, "group header");
static_assert(offsetof(struct journal_group_header, number) == 40, "group header");
static_assert(offsetof(struct journal_group_header, previous) == 48, "group header");
static_assert(offsetof(struct journal_group_header, segment) == 56, "group header");
static_assert(offsetof(struct journal_group_header, offset) == 64, "group header");
static_assert(offsetof(struct journal_group_header, first_lsn) == 72, "group header");
static_assert(offsetof(struct journal_group_header, time_ms) == 80, "group header");
static_assert(offsetof(struct journal_group_header, body_crc) == 88, "group header");
static_assert(offsetof(struct journal_group_header, records) == 92, "group header");
static_assert(offsetof(struct journal_group_header, body_bytes) == 96, "group header");
static_assert(offsetof(struct journal_group_header, flags) == 100, "group header");
static_assert(offsetof(struct journal_group_header, mask) == 104, "group header");

// The crc of any of the three headers.
static inline uint32_t journal_header_crc(const void *header, size_t bytes)
{
    uint32_t c = hf_crc32c(0, header, 12);
    return hf_crc32c(c, (const char *)header + 16, bytes - 16);
}

// What the next group's `previous` must be.
static inline uint64_t journal_group_checksum(const struct journal_group_header *h)
{
    return (uint64_t)h->crc << 32 | h->body_crc;
}

// Blocks that a group with this body takes.
static inline uint64_t journal_group_blocks(uint64_t body_bytes)
{
    return (JOURNAL_GROUP_HEADER + body_bytes + HF_BLOCK - 1) / HF_BLOCK;
}

#endif
