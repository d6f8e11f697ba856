// UUIDs (RFC 9562) as two 64-bit numbers in network order: hi holds time and version.
#ifndef HOLDFAST_BASE_UUID_H
#define HOLDFAST_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

struct hf_uuid {
    uint64_t hi; // v7: unix milliseconds in the top 48 bits, version in bits 12..15
    uint64_t lo; // variant in the top 2 bits
};

#define HF_UUID_TEXT_BYTES 37 // 36 characters and the terminator

static inline bool hf_uuid_equal(struct hf_uuid a, struct hf_uuid b)
{
    return a.hi == b.hi && a.lo == b.lo;
}
static inline bool hf_uuid_is_nil(struct hf_uuid a)
{
    return (a.hi | a.lo) == 0;
}
static inline unsigned hf_uuid_version(struct hf_uuid a)
{
    return (unsigned)(a.hi >> 12) & 0xf;
}
static inline bool hf_uuid_variant_ok(struct hf_uuid a)
{
    return (a.lo >> 62) == 2;
}
// Milliseconds since 1970 of a v7 id.
static inline uint64_t hf_uuid_ms(struct hf_uuid a)
{
    return a.hi >> 16;
}
// A v7 id of the given time, filled from 74 bits of the caller's randomness.
static inline struct hf_uuid hf_uuid_v7(uint64_t ms, uint64_t random_hi, uint64_t random_lo)
{
    struct hf_uuid id = {(ms << 16) | 0x7000 | (random_hi & 0xfff),
                         (random_lo >> 2) | (UINT64_C(2) << 62)};
    return id;
}

// Canonical lower-case text, terminated. Any thread.
void hf_uuid_format(struct hf_uuid id, char text[HF_UUID_TEXT_BYTES]);
// Accepts exactly 36 characters 8-4-4-4-12, either case. False leaves *id alone.
bool hf_uuid_parse(const char *text, struct hf_uuid *id);
// The same of 36 bytes that need no terminator.
#define HF_UUID_CHARACTERS (HF_UUID_TEXT_BYTES - 1)
bool hf_uuid_parse_bytes(const char text[HF_UUID_CHARACTERS], struct hf_uuid *id);

#endif
